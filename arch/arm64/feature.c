// SPDX-License-Identifier: MIT
/* Features of a vCPU and of the VM: one row is the option, its help, doctor's line, KVM's capability and the bit of KVM_ARM_VCPU_INIT. */
#include <errno.h>
#include <stdio.h>

#include "arch/arm64/arm64.h"

/* feature, capability, bit, on demand, what, cure; with an option: name and help */
#define FEATURES(X, PLAIN)                                                                                                      \
	X(PTRAUTH_ADDRESS, KVM_CAP_ARM_PTRAUTH_ADDRESS, KVM_ARM_VCPU_PTRAUTH_ADDRESS, false, "pointer authentication of addresses", \
	  "use a machine with FEAT_PAuth", "disable-ptrauth", "hide pointer authentication from the guest")                     \
	PLAIN(PTRAUTH_GENERIC, KVM_CAP_ARM_PTRAUTH_GENERIC, KVM_ARM_VCPU_PTRAUTH_GENERIC, false, "pointer authentication, generic", \
	      "use a machine with FEAT_PAuth")                                                                                  \
	X(SVE, KVM_CAP_ARM_SVE, KVM_ARM_VCPU_SVE, false, "SVE (--sve-max-vl)", "use a machine with FEAT_SVE",                   \
	  "disable-sve", "hide the scalable vector extension from the guest")                                                   \
	X(PMU, KVM_CAP_ARM_PMU_V3, KVM_ARM_VCPU_PMU_V3, true, "performance counters (--pmu)",                                   \
	  "use a machine with a PMUv3, and a host kernel with CONFIG_ARM_PMUV3", "pmu", "give the guest performance counters")  \
	X(MTE, KVM_CAP_ARM_MTE, -1, false, "memory tagging", "use a machine with FEAT_MTE2", "disable-mte",                     \
	  "hide memory tagging from the guest")                                                                                 \
	X(EL2, KVM_CAP_ARM_EL2, KVM_ARM_VCPU_HAS_EL2, true, "guests with an EL2 of their own (--nested)",                       \
	  "use a machine with FEAT_NV2, Linux 6.16 or newer, and kvm-arm.mode=nested on the host's command line", "nested",     \
	  "start the guest at EL2, so that it can be a hypervisor")                                                             \
	X(E2H0, KVM_CAP_ARM_EL2_E2H0, KVM_ARM_VCPU_HAS_EL2_E2H0, true, "guests with an EL2 without VHE (--e2h0)",               \
	  "use a machine with FEAT_NV2 and an optional HCR_EL2.E2H, and Linux 6.16 or newer", "e2h0",                           \
	  "with --nested: an EL2 whose HCR_EL2.E2H is 0")                                                                       \
	X(AARCH32, KVM_CAP_ARM_EL1_32BIT, KVM_ARM_VCPU_EL1_32BIT, true, "32-bit guests (--aarch32)",                            \
	  "use a machine whose EL1 has AArch32", "aarch32", "start a 32-bit guest")                                             \
	X(PVTIME, KVM_CAP_STEAL_TIME, -1, false, "stolen time", "use Linux 5.10 or newer on the host", "no-pvtime",             \
	  "do not tell the guest how long its vCPUs waited for a host CPU")                                                     \
	PLAIN(COUNTER_OFFSET, KVM_CAP_COUNTER_OFFSET, -1, true, "an offset for the guest's counters (--counter-offset)",        \
	      "use Linux 6.4 or newer on the host")

#define ROW(f, c, b, demand, text, heal, opt, help) PLAIN_ROW(f, c, b, demand, text, heal, opt)
#define PLAIN_ROW(f, c, b, demand, text, heal, ...)                                                                              \
	[ARM64_##f] = { .what = text, .cure = heal, .cap = c, .bit = b, .on_demand = demand, __VA_OPT__(.option = "--" __VA_ARGS__) },

const struct arm64_feature_row arm64_features[ARM64_N_FEATURES] = { FEATURES(ROW, PLAIN_ROW) };

#define FIELD(f) offsetof(struct arm64_config, f)
#define GROUP "arm64"
#define OPTION(f, c, b, demand, text, heal, opt, words)                                                                         \
	{ .name = opt, .type = OPTION_FLAG, .offset = FIELD(asked[ARM64_##f]), .help = words, .group = GROUP },
#define NO_OPTION(...)

static const char *const irqchips[] = { "auto", "gicv3-its", "gicv3", "gicv2m", "gicv2", NULL };

const struct option arm64_options[] = {
	{ .name = "irqchip", .type = OPTION_CHOICE, .offset = FIELD(irqchip), .choices = irqchips, .value = "auto|gicv3-its|gicv3|gicv2m|gicv2",
	  .help = "interrupt controller; auto takes the first that the host can give", .group = GROUP },
	FEATURES(OPTION, NO_OPTION)
	{ .name = "sve-max-vl", .type = OPTION_UINT, .offset = FIELD(sve_max_vl), .min = 128, .max = 2048, .value = "BITS",
	  .help = "longest SVE vector that the guest sees", .group = GROUP },
	{ .name = "kaslr-seed", .type = OPTION_UINT, .offset = FIELD(kaslr_seed), .value = "N",
	  .help = "what the kernel's place in its address space is computed from (default: random)", .group = GROUP },
	{ .name = "counter-offset", .type = OPTION_UINT, .offset = FIELD(counter_offset), .value = "TICKS",
	  .help = "how far the guest's counters are behind the host's physical one", .group = GROUP },
	{ .name = "cpu-id", .type = OPTION_LIST, .offset = FIELD(cpu_id), .value = "REGISTER=VALUE",
	  .help = "value of an ID register, such as ID_AA64ISAR0_EL1=0x..., to present an older CPU", .group = GROUP },
	{ .name = "smccc-deny", .type = OPTION_LIST, .offset = FIELD(smccc_deny), .value = "FUNCTION[:COUNT]",
	  .help = "firmware calls that the guest does not get, by their number, such as 0x84000050:4", .group = GROUP },
	{ .name = "in-kernel-smccc", .type = OPTION_FLAG, .offset = FIELD(in_kernel_smccc),
	  .help = "the guest's firmware calls are served by KVM, as they always are", .group = GROUP },
};
_Static_assert(ARRAY_SIZE(arm64_options) == ARM64_N_OPTIONS, "ARM64_N_OPTIONS counts the rows above");

static bool host_has(struct hv *hv, enum arm64_feature f)
{
	return hv_capability(hv, arm64_features[f].cap) > 0;
}

static bool asked_for(const struct arm64_config *c, enum arm64_feature f)
{
	return f == ARM64_COUNTER_OFFSET ? c->counter_offset != 0 : c->asked[f];
}

int arm64_init_features(struct hv *hv, const bool has[ARM64_N_FEATURES], struct kvm_vcpu_init *ret, struct err *e)
{
	struct kvm_vcpu_init init = { 0 };
	int r = hv->ops->vm_ioctl(hv, KVM_ARM_PREFERRED_TARGET, &init);

	if (r < 0)
		return err_set(e, r, "KVM does not say what kind of vCPU this host has (%s): it may be too old, or two kinds of CPU differ too much",
			       err_name(r));
	init.features[0] = 1u << KVM_ARM_VCPU_PSCI_0_2;
	for (unsigned int f = 0; f < ARM64_N_FEATURES; f++)
		if (has[f] && arm64_features[f].bit >= 0)
			init.features[0] |= 1u << arm64_features[f].bit;
	*ret = init;
	return 0;
}

#define SMCCC_FILTER(filter_)                                                                                                \
	(struct kvm_device_attr){ .group = KVM_ARM_VM_SMCCC_CTRL, .attr = KVM_ARM_VM_SMCCC_FILTER, .addr = (uintptr_t)(filter_) }

bool arm64_has_smccc_filter(struct hv *hv)
{
	struct kvm_device_attr a = SMCCC_FILTER(NULL);

	return hv->ops->vm_ioctl(hv, KVM_HAS_DEVICE_ATTR, &a) >= 0;
}

/* Functions that answer NOT_SUPPORTED (Arm DEN0028, 5.2), whatever KVM could do. */
static int deny_calls(struct machine *m, const char *text, struct err *e)
{
	struct kvm_smccc_filter filter = { .action = KVM_SMCCC_FILTER_DENY };
	struct kvm_device_attr a = SMCCC_FILTER(&filter);
	uint64_t first, count = 1;
	const char *sign = strchr(text, ':');
	char number[32];
	int r;

	snprintf(number, sizeof(number), "%.*s", (int)(sign ? sign - text : (ptrdiff_t)strlen(text)), text);
	if (option_parse_uint(number, &first) < 0 || (sign && option_parse_uint(sign + 1, &count) < 0) || first > UINT32_MAX || !count ||
	    count > UINT32_MAX - first)
		return err_set(e, -EINVAL, "--smccc-deny takes the number of a function, and how many from there on, such as 0x84000050:4, "
			       "not \"%s\"", text);
	filter.base = (uint32_t)first;
	filter.nr_functions = (uint32_t)count;
	r = m->hv->ops->vm_ioctl(m->hv, KVM_SET_DEVICE_ATTR, &a);
	if (r == -EEXIST)
		return err_set(e, r, "--smccc-deny %s: that is denied already, or an Arm architecture call, which KVM always answers", text);
	if (r < 0)
		return err_set(e, r, "--smccc-deny %s: KVM refuses it (%s); Linux 6.4 or newer can", text, err_name(r));
	return 0;
}

/* Switches of the VM, before its first vCPU. */
static int enable(struct machine *m, struct err *e)
{
	const struct arm64_config *c = arm64_config(m);
	const struct arm64_state *s = arm64_state(m);
	const struct hv_ops *ops = m->hv->ops;
	/* What is there is switched on; a host without it ends the guest instead of asking us. */
	static const unsigned int wished[] = { KVM_CAP_ARM_NISV_TO_USER, KVM_CAP_ARM_SYSTEM_SUSPEND, KVM_CAP_ARM_SEA_TO_USER };
	const uint64_t none[4] = { 0 };
	int r;

	for (unsigned int i = 0; i < ARRAY_SIZE(wished); i++)
		if (hv_capability(m->hv, wished[i]) > 0)
			ops->enable_capability(m->hv, wished[i], none);
	if (s->has[ARM64_MTE]) {
		r = ops->enable_capability(m->hv, KVM_CAP_ARM_MTE, none);
		if (r < 0)
			return err_set(e, r, "KVM refuses memory tagging (%s): leave it out with --disable-mte", err_name(r));
	}
	if (s->has[ARM64_COUNTER_OFFSET]) {
		struct kvm_arm_counter_offset offset = { .counter_offset = c->counter_offset };

		r = ops->vm_ioctl(m->hv, KVM_ARM_SET_COUNTER_OFFSET, &offset);
		if (r < 0)
			return err_set(e, r, "--counter-offset: KVM refuses it (%s); leave it out", err_name(r));
	}
	for (unsigned int i = 0; i < c->smccc_deny.n; i++) {
		r = deny_calls(m, c->smccc_deny.items[i], e);
		if (r < 0)
			return r;
	}
	/* MIDR_EL1 and its like can be written only then. */
	if (c->cpu_id.n && hv_capability(m->hv, KVM_CAP_ARM_WRITABLE_IMP_ID_REGS) > 0)
		ops->enable_capability(m->hv, KVM_CAP_ARM_WRITABLE_IMP_ID_REGS, none);
	return 0;
}

int arm64_choose_features(struct machine *m, struct err *e)
{
	const struct arm64_config *c = arm64_config(m);
	struct arm64_state *s = arm64_state(m);
	int r;

	for (unsigned int f = 0; f < ARM64_N_FEATURES; f++) {
		const struct arm64_feature_row *row = &arm64_features[f];
		bool there = host_has(m->hv, f);

		s->has[f] = row->on_demand ? asked_for(c, f) : there && !c->asked[f];
		if (s->has[f] && !there)
			return err_set(e, -EOPNOTSUPP, "%s: this host cannot; %s", row->option ? row->option : "--counter-offset", row->cure);
	}
	/* KVM gives both or none. */
	s->has[ARM64_PTRAUTH_ADDRESS] = s->has[ARM64_PTRAUTH_GENERIC] = s->has[ARM64_PTRAUTH_ADDRESS] && s->has[ARM64_PTRAUTH_GENERIC];
	if (s->has[ARM64_E2H0] && !s->has[ARM64_EL2])
		return err_set(e, -EINVAL, "--e2h0 says what kind of EL2 --nested gives: give both");
	if (s->has[ARM64_AARCH32]) {
		if (s->has[ARM64_EL2])
			return err_set(e, -EINVAL, "--aarch32 and --nested: a 32-bit guest has no EL2; leave one out");
		s->has[ARM64_PTRAUTH_ADDRESS] = s->has[ARM64_PTRAUTH_GENERIC] = s->has[ARM64_SVE] = s->has[ARM64_MTE] = false;
	}
	/* Kernels before 6.13 have no tags in hugetlb pages, and end such a guest at its first access. */
	if (m->backing.hugetlbfs)
		s->has[ARM64_MTE] = false;
	if (c->sve_max_vl && !s->has[ARM64_SVE])
		return err_set(e, -EOPNOTSUPP, "--sve-max-vl: the guest has no SVE; leave it out");
	if (c->sve_max_vl & 127)
		return err_set(e, -EINVAL, "--sve-max-vl takes a multiple of 128, not %u", (unsigned int)c->sve_max_vl);
	r = arm64_init_features(m->hv, s->has, &s->init, e);
	return r < 0 ? r : enable(m, e);
}
