// SPDX-License-Identifier: MIT
/* What this host can do for a guest, for `lkvm doctor`. */
#include <errno.h>
#include <stdio.h>

#include "arch/arm64/arm64.h"
#include "arch/machine.h"

static const struct machine_cap caps[] = {
	{ KVM_CAP_ARM_PSCI_0_2, "PSCI in the kernel", "use Linux 6.1 or newer on the host" },
	{ KVM_CAP_ARM_NISV_TO_USER, "accesses that KVM cannot decode become the guest's external aborts",
	  "such an access ends the guest; use Linux 5.5 or newer" },
	{ KVM_CAP_ARM_SYSTEM_SUSPEND, "guests that suspend", "use Linux 6.0 or newer on the host" },
	{ KVM_CAP_ARM_SEA_TO_USER, "memory of the host that fails under a guest", "the guest alone gets the error; Linux 6.19 or newer asks lkvm" },
	{ KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES, "ID registers that can be changed (--cpu-id)",
	  "lkvm tries all the same; Linux 6.7 or newer says which" },
	{ KVM_CAP_ARM_WRITABLE_IMP_ID_REGS, "MIDR_EL1 and its like can be changed (--cpu-id)", "use Linux 6.15 or newer on the host" },
};

static const struct {
	uint32_t type;
	const char *what, *cure;
} controllers[] = {
	{ KVM_DEV_TYPE_ARM_VGIC_V3, "GICv3 (--irqchip gicv3)", "a GICv2 serves instead; use a machine with a GICv3" },
	{ KVM_DEV_TYPE_ARM_VGIC_ITS, "ITS (--irqchip gicv3-its)", "interrupts are wires alone; use a machine with a GICv3" },
	{ KVM_DEV_TYPE_ARM_VGIC_V2, "GICv2 (--irqchip gicv2m, gicv2)",
	  "use a machine with a GICv2, or a GICv3 that can be one; most guests do well without" },
};

struct found {
	void (*fn)(void *ctx, const char *what, bool present, const char *cure);
	void *ctx;
	unsigned int n;
};

static int give_pmu(void *ctx, const char *name, int type, const uint64_t *cpus)
{
	struct found *f = ctx;
	char what[128];
	unsigned int n = 0;

	for (unsigned int i = 0; i < MACHINE_MAX_HOST_CPUS; i++)
		n += bitmap_test(cpus, i);
	snprintf(what, sizeof(what), "PMU %s on %u host CPU%s", name, n, n == 1 ? "" : "s");
	f->fn(f->ctx, what, true, NULL);
	f->n++;
	return 0;
}

static void vector_lengths(struct hv_vcpu *vcpu, const struct found *f)
{
	uint64_t vls[KVM_ARM64_SVE_VLS_WORDS] = { 0 };
	char what[96];
	unsigned int most = 0;

	if (vcpu->hv->ops->get_reg(vcpu, KVM_REG_ARM64_SVE_VLS, vls) < 0)
		return;
	for (unsigned int n = 0; n < KVM_ARM64_SVE_VLS_WORDS * 64; n++)
		if (bitmap_test(vls, n))
			most = (n + 1) * 128;
	snprintf(what, sizeof(what), "SVE vectors of up to %u bits", most);
	f->fn(f->ctx, what, true, NULL);
}

#define REG_ID_AA64ISAR2_EL1 ARM64_SYS(3, 0, 0, 6, 2)
#define ISAR2_MOPS(v) ((v) >> 16 & 15)

/* A vCPU with all that has a capability, but not what makes it another kind of CPU. */
struct trial {
	bool has[ARM64_N_FEATURES];
	int r;		/* -errno: there is none; e says why */
	bool probed;	/* works is known */
	bool works[ARM64_N_PROBES];
	bool mops;	/* promised */
	struct err e;
};

static void try_vcpu(struct hv *hv, struct hv_vcpu *vcpu, struct trial *t)
{
	struct kvm_vcpu_init init;
	uint64_t isar2 = 0;

	for (unsigned int i = 0; i < ARM64_N_FEATURES; i++)
		t->has[i] = !arm64_features[i].on_demand && hv_capability(hv, arm64_features[i].cap) > 0;
	t->has[ARM64_PTRAUTH_ADDRESS] = t->has[ARM64_PTRAUTH_GENERIC] = t->has[ARM64_PTRAUTH_ADDRESS] && t->has[ARM64_PTRAUTH_GENERIC];
	t->r = arm64_init_features(hv, t->has, &init, &t->e);
	if (t->r >= 0) {
		t->r = hv->ops->vcpu_ioctl(vcpu, KVM_ARM_VCPU_INIT, &init);
		if (t->r < 0)
			err_set(&t->e, t->r, "KVM refuses it; try --disable-sve, --disable-ptrauth or --disable-mte");
	}
	if (t->r < 0 || arm64_finalize_vcpu(vcpu, &init, 0, &t->e) < 0)
		return;
	t->mops = hv->ops->get_reg(vcpu, REG_ID_AA64ISAR2_EL1, &isar2) >= 0 && ISAR2_MOPS(isar2);
	t->probed = arm64_probe(vcpu, t->works) >= 0;
}

static void features(struct hv *hv, const struct trial *t, const struct found *f)
{
	for (unsigned int i = 0; i < ARM64_N_FEATURES; i++) {
		bool present = hv_capability(hv, arm64_features[i].cap) > 0, works = true;
		const char *cure = arm64_features[i].cure;

		if (present && t->probed && t->has[i] && (i == ARM64_PTRAUTH_ADDRESS || i == ARM64_PTRAUTH_GENERIC))
			works = t->works[i == ARM64_PTRAUTH_ADDRESS ? ARM64_PROBE_PTRAUTH_ADDRESS : ARM64_PROBE_PTRAUTH_GENERIC];
		if (!works)
			cure = "KVM promises it, and it is UNDEFINED for guests: give --disable-ptrauth, or use a host kernel with lkvm's patch for it";
		f->fn(f->ctx, arm64_features[i].what, present && works, present && works ? NULL : cure);
	}
	/* Not for lkvm to give or take: only said where it is promised. */
	if (t->probed && t->mops)
		f->fn(f->ctx, "instructions that copy and set memory", t->works[ARM64_PROBE_MOPS],
		      t->works[ARM64_PROBE_MOPS] ? NULL :
		      "KVM promises them, and they are UNDEFINED for guests, which Linux does not survive: start the host with arm64.nomops, or use a host "
		      "kernel with lkvm's patch for it");
}

static void registers(struct hv *hv, struct hv_vcpu *vcpu, const struct trial *t, const struct found *f)
{
	char what[96];
	uint64_t id;
	int n;

	if (t->r < 0) {
		f->fn(f->ctx, "a vCPU with these features", false, t->e.text);
		return;
	}
	if (t->has[ARM64_SVE])
		vector_lengths(vcpu, f);
	n = *t->e.text ? 0 : hv->ops->reg_list(vcpu, &id, 0);
	if (n > 0)
		snprintf(what, sizeof(what), "list of registers (%d)", n);
	else
		snprintf(what, sizeof(what), "list of registers");
	f->fn(f->ctx, what, n > 0, n > 0 ? NULL : *t->e.text ? t->e.text : "use Linux 6.1 or newer on the host");
}

void arm64_doctor(struct hv *hv, struct hv_vcpu *vcpu, void (*fn)(void *ctx, const char *what, bool present, const char *cure),
		  void *ctx)
{
	struct found f = { .fn = fn, .ctx = ctx };
	struct trial trial = { .r = -ENOENT };
	char what[96];
	bool present;
	int n;

	if (vcpu)
		try_vcpu(hv, vcpu, &trial);
	for (unsigned int i = 0; i < ARRAY_SIZE(controllers); i++) {
		present = hv->ops->create_device(hv, controllers[i].type, NULL) >= 0;

		fn(ctx, controllers[i].what, present, present ? NULL : controllers[i].cure);
	}
	features(hv, &trial, &f);
	present = arm64_has_smccc_filter(hv);
	fn(ctx, "a filter for firmware calls (--smccc-deny)", present, present ? NULL : "use Linux 6.4 or newer on the host");
	machine_doctor(hv, caps, ARRAY_SIZE(caps), fn, ctx);
	machine_doctor_common(hv, "vCPUs", fn, ctx);
	n = hv_capability(hv, KVM_CAP_ARM_VM_IPA_SIZE);
	snprintf(what, sizeof(what), "%d bits of guest physical address", n > 0 ? n : 40);
	fn(ctx, what, true, NULL);
	arm64_for_each_pmu(give_pmu, &f);
	if (vcpu)
		registers(hv, vcpu, &trial, &f);
}
