// SPDX-License-Identifier: MIT
/* For tests: an arm64 machine over the scripted hypervisor, with a host in between that has features, ID registers and interrupt controllers. */
#ifndef LKVM_ARCH_ARM64_TEST_MACHINE_H
#define LKVM_ARCH_ARM64_TEST_MACHINE_H

#include <errno.h>
#include <stdio.h>

#include "arch/arm64/arm64.h"
#include "arch/test_common.h"
#include "base/endian.h"

#define TM_MAX_REGS 512
#define TM_RAM MIB(64)
#define TM_ISAR0 ARM64_SYS(3, 0, 0, 6, 0)
#define TM_ISAR0_VALUE UINT64_C(0x1221111110212120)

struct tm_vcpu_seen {
	struct kvm_vcpu_init init; /* the last one */
	unsigned int n_init, n_finalize;
	uint64_t pvtime;
	int pmu_irq, pmu_type;
	unsigned int n_pmu_init, n_aborts;
};

struct test_machine {
	struct machine m;
	struct machine_vcpu vcpus[16];
	struct arm64_config config;
	struct hv_ops inner, ops; /* the scripted ones; with ours in between */
	uint64_t regs[TM_MAX_REGS];
	unsigned int n_regs;
	struct scripted_cap caps[32];
	struct scripted_config scripted;
	struct log log;
	/* the host */
	bool no_gicv3, no_pvtime_attr;
	uint32_t refused_bits; /* VCPU_INIT with one of them is -EINVAL */
	/* what the in-between ops saw */
	struct tm_vcpu_seen seen[16];
	uint64_t counter_offset;
	struct kvm_smccc_filter denied; /* the last */
	unsigned int enabled[16], n_enabled;
};

/* The test under way; a test has one machine at a time. */
static struct test_machine *tm_current;
static const struct hv_ops *tm_inner;

static int tm_create_vcpu(struct hv *hv, unsigned long id, struct hv_vcpu **ret)
{
	const uint64_t mpidr = UINT64_C(0x80000000) | (id & 15) | (id >> 4) << 8, isar0 = TM_ISAR0_VALUE;
	uint64_t vls[KVM_ARM64_SVE_VLS_WORDS] = { 0x8b }; /* 128, 256, 512, 1024 bits */
	int r = tm_inner->create_vcpu(hv, id, ret);

	if (r < 0)
		return r;
	tm_inner->set_reg(*ret, ARM64_REG_MPIDR_EL1, &mpidr);
	tm_inner->set_reg(*ret, TM_ISAR0, &isar0);
	tm_inner->set_reg(*ret, KVM_REG_ARM64_SVE_VLS, vls);
	return 0;
}

static int tm_create_device(struct hv *hv, uint32_t type, int *ret_fd)
{
	if (tm_current->no_gicv3 && type != KVM_DEV_TYPE_ARM_VGIC_V2)
		return -ENODEV;
	return tm_inner->create_device(hv, type, ret_fd);
}

static int tm_device_attr(struct hv *hv, int fd, uint32_t group, uint64_t attr, void *value, bool set)
{
	int r = tm_inner->device_attr(hv, fd, group, attr, value, set);

	if (r >= 0 && !set && value)
		memset(value, 0, group == KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS || group == KVM_DEV_ARM_VGIC_GRP_ITS_REGS ? 8 : 4);
	return r;
}

static int tm_enable_capability(struct hv *hv, unsigned int cap, const uint64_t args[4])
{
	if (tm_current->n_enabled < ARRAY_SIZE(tm_current->enabled))
		tm_current->enabled[tm_current->n_enabled++] = cap;
	return tm_inner->enable_capability(hv, cap, args);
}

static int tm_vm_ioctl(struct hv *hv, unsigned long request, void *arg)
{
	int r = tm_inner->vm_ioctl(hv, request, arg);

	if (r < 0)
		return r;
	switch (request) {
	case KVM_ARM_PREFERRED_TARGET:
		*(struct kvm_vcpu_init *)arg = (struct kvm_vcpu_init){ .target = KVM_ARM_TARGET_GENERIC_V8 };
		return 0;
	case KVM_ARM_SET_COUNTER_OFFSET:
		tm_current->counter_offset = ((struct kvm_arm_counter_offset *)arg)->counter_offset;
		return 0;
	case KVM_HAS_DEVICE_ATTR:
		return 0;
	case KVM_SET_DEVICE_ATTR:
		tm_current->denied = *(const struct kvm_smccc_filter *)(uintptr_t)((struct kvm_device_attr *)arg)->addr;
		return tm_current->denied.base == 0x80000000 ? -EEXIST : 0;
	case KVM_ARM_GET_REG_WRITABLE_MASKS: {
		uint64_t *masks = (uint64_t *)(uintptr_t)((struct reg_mask_range *)arg)->addr;

		masks[KVM_ARM_FEATURE_ID_RANGE_IDX(3, 0, 0, 6, 0)] = ~UINT64_C(0xf); /* ID_AA64ISAR0_EL1 without its reserved field */
		return 0;
	}
	}
	return -ENOTTY;
}

static int tm_vcpu_attr(struct tm_vcpu_seen *s, const struct kvm_device_attr *a, bool set)
{
	const void *value = (const void *)(uintptr_t)a->addr;

	if (a->group == KVM_ARM_VCPU_PVTIME_CTRL && tm_current->no_pvtime_attr)
		return -ENXIO;
	if (!set)
		return 0;
	if (a->group == KVM_ARM_VCPU_PVTIME_CTRL)
		memcpy(&s->pvtime, value, 8);
	else if (a->group == KVM_ARM_VCPU_PMU_V3_CTRL && a->attr == KVM_ARM_VCPU_PMU_V3_IRQ)
		memcpy(&s->pmu_irq, value, 4);
	else if (a->group == KVM_ARM_VCPU_PMU_V3_CTRL && a->attr == KVM_ARM_VCPU_PMU_V3_SET_PMU)
		memcpy(&s->pmu_type, value, 4);
	else if (a->group == KVM_ARM_VCPU_PMU_V3_CTRL && a->attr == KVM_ARM_VCPU_PMU_V3_INIT)
		s->n_pmu_init++;
	else
		return -ENXIO;
	return 0;
}

static int tm_vcpu_ioctl(struct hv_vcpu *vcpu, unsigned long request, void *arg)
{
	struct tm_vcpu_seen *s = &tm_current->seen[vcpu->id % ARRAY_SIZE(tm_current->seen)];
	int r = tm_inner->vcpu_ioctl(vcpu, request, arg);

	if (r < 0)
		return r;
	switch (request) {
	case KVM_ARM_VCPU_INIT:
		/* As kernels before 6.5 do. */
		if (s->n_init && (s->init.features[0] ^ ((struct kvm_vcpu_init *)arg)->features[0]) & 1u << KVM_ARM_VCPU_POWER_OFF)
			return -EINVAL;
		s->init = *(struct kvm_vcpu_init *)arg;
		s->n_init++;
		tm_inner->set_mp_state(vcpu, s->init.features[0] & 1u << KVM_ARM_VCPU_POWER_OFF ? KVM_MP_STATE_STOPPED : KVM_MP_STATE_RUNNABLE);
		return s->init.features[0] & tm_current->refused_bits ? -EINVAL : 0;
	case KVM_ARM_VCPU_FINALIZE:
		s->n_finalize++;
		return 0;
	case KVM_SET_DEVICE_ATTR:
		return tm_vcpu_attr(s, arg, true);
	case KVM_HAS_DEVICE_ATTR:
		return tm_vcpu_attr(s, arg, false);
	case KVM_SET_VCPU_EVENTS:
		s->n_aborts += ((struct kvm_vcpu_events *)arg)->exception.ext_dabt_pending;
		return 0;
	}
	return -ENOTTY;
}

static inline void tm_add_reg(struct test_machine *t, uint64_t id)
{
	if (t->n_regs < TM_MAX_REGS)
		t->regs[t->n_regs++] = id;
}

static inline void tm_add_cap(struct test_machine *t, unsigned int cap, int value)
{
	t->caps[t->scripted.n_caps++] = (struct scripted_cap){ cap, value };
}

/* A machine before prepare(): 64 MiB, `cpus` vCPUs, a host with everything but what is given. */
static inline void tm_init_without(struct test_machine *t, unsigned int cpus, unsigned int missing_cap)
{
	static const unsigned int caps[] = { KVM_CAP_ARM_PTRAUTH_ADDRESS, KVM_CAP_ARM_PTRAUTH_GENERIC, KVM_CAP_ARM_SVE, KVM_CAP_ARM_PMU_V3,
					     KVM_CAP_ARM_MTE, KVM_CAP_ARM_EL2, KVM_CAP_ARM_EL2_E2H0, KVM_CAP_ARM_EL1_32BIT, KVM_CAP_STEAL_TIME,
					     KVM_CAP_COUNTER_OFFSET, KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES, KVM_CAP_ARM_NISV_TO_USER };

	memset(t, 0, sizeof(*t));
	tm_current = t;
	for (unsigned int i = 0; i < 31; i++)
		tm_add_reg(t, ARM64_REG_X(i));
	tm_add_reg(t, ARM64_REG_PC);
	tm_add_reg(t, ARM64_REG_PSTATE);
	tm_add_reg(t, ARM64_REG_MPIDR_EL1);
	tm_add_reg(t, TM_ISAR0);
	tm_add_reg(t, ARM64_SYS(3, 0, 0, 4, 0));
	tm_add_reg(t, KVM_REG_ARM64_SVE_VLS);
	t->scripted = (struct scripted_config){ .caps = t->caps, .regs = t->regs };
	tm_add_cap(t, KVM_CAP_MAX_VCPUS, 512);
	tm_add_cap(t, KVM_CAP_ARM_VM_IPA_SIZE, 40);
	for (unsigned int i = 0; i < ARRAY_SIZE(caps); i++)
		if (caps[i] != missing_cap)
			tm_add_cap(t, caps[i], 1);
	t->m.arch = &arch_arm64;
	t->m.arch_config = &t->config;
	t->m.log = &t->log;
	t->m.ram_size = TM_RAM;
	t->m.n_vcpus = cpus;
	t->m.vcpu = t->vcpus;
	t->m.boot.cmdline = "console=ttyS0";
}

static inline void tm_init(struct test_machine *t, unsigned int cpus)
{
	tm_init_without(t, cpus, UINT32_MAX);
}

static void tm_between(struct hv_ops *ops)
{
	tm_current->inner = *ops;
	tm_inner = &tm_current->inner;
	ops->create_vcpu = tm_create_vcpu;
	ops->create_device = tm_create_device;
	ops->device_attr = tm_device_attr;
	ops->enable_capability = tm_enable_capability;
	ops->vm_ioctl = tm_vm_ioctl;
	ops->vcpu_ioctl = tm_vcpu_ioctl;
}

/* Up to and including prepare. */
static inline int tm_prepare(struct test_machine *t, struct err *e)
{
	t->scripted.n_regs = t->n_regs;
	return tm_machine_prepare(&t->m, &t->scripted, &t->ops, tm_between, e);
}

/* Up to and including the interrupt controller. */
static inline int tm_build(struct test_machine *t, struct err *e)
{
	int r = tm_prepare(t, e);

	return r < 0 ? r : tm_machine_build(&t->m, e);
}

static inline void tm_destroy(struct test_machine *t)
{
	tm_machine_destroy(&t->m, ARRAY_SIZE(t->vcpus));
	option_clear(arm64_options, ARM64_N_OPTIONS, &t->config);
}

static inline uint64_t tm_reg(struct test_machine *t, unsigned int i, uint64_t id)
{
	return tm_machine_reg(&t->m, i, id);
}

static inline void tm_set_reg(struct test_machine *t, unsigned int i, uint64_t id, uint64_t v)
{
	tm_machine_set_reg(&t->m, i, id, v);
}

/* Sets an option of the table by its name. */
static inline int tm_option(struct test_machine *t, const char *name, const char *value, struct err *e)
{
	for (unsigned int i = 0; i < ARM64_N_OPTIONS; i++)
		if (!strcmp(arm64_options[i].name, name))
			return option_set(&arm64_options[i], &t->config, value, e);
	return -ENOENT;
}

#endif
