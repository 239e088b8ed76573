// SPDX-License-Identifier: MIT
/* What leaves the guest and is no device's: PSCI's system events, accesses that KVM cannot describe, memory that failed, and failures. */
#include <errno.h>
#include <inttypes.h>

#include "arch/arm64/arm64.h"
#include "arch/machine.h"

/* Arm DEN0022 "Power State Coordination Interface", 5.1: results */
#define PSCI_INVALID_ADDRESS UINT64_C(-9)

/* ESR_ELx.EC of aborts from a lower exception level */
#define ESR_EC(esr) ((esr) >> 26 & 0x3f)
#define EC_DATA_ABORT 0x24

#define PSTATE_T UINT64_C(0x20) /* a 32-bit guest's Thumb instructions */

/*
 * SYSTEM_SUSPEND (DEN0022 5.19): all other vCPUs are off, KVM has seen to that. The caller starts anew at the entry point in x1 with
 * the context in x0, when it is resumed; it is held by the verdict. 32-bit callers have pc and context in the same registers.
 */
static enum arch_verdict suspend(struct machine *m, unsigned int i, struct err *e)
{
	const struct hv_ops *ops = m->hv->ops;
	struct hv_vcpu *vcpu = m->vcpu[i].hv;
	const bool aarch32 = arm64_state(m)->has[ARM64_AARCH32];
	uint64_t entry = 0, context = 0, pstate = 0, refused = PSCI_INVALID_ADDRESS;
	bool thumb;
	int r = ops->get_reg(vcpu, ARM64_REG_X(1), &entry);

	if (r >= 0)
		r = ops->get_reg(vcpu, ARM64_REG_X(2), &context);
	if (r < 0) {
		err_set(e, r, "vCPU %u cannot be suspended: KVM does not give its registers (%s)", i, err_name(r));
		return ARCH_ERROR;
	}
	thumb = aarch32 && entry & 1;
	entry &= ~(uint64_t)thumb;
	if (entry < m->ram_base || entry - m->ram_base >= m->ram_size || entry & (thumb ? 1 : 3)) {
		r = arm64_set_reg(m, i, ARM64_REG_X(0), refused, e);
		return r < 0 ? ARCH_ERROR : ARCH_CONTINUE;
	}
	r = arm64_init_vcpu(m, i, e);
	if (r >= 0 && i) {
		r = ops->set_mp_state(vcpu, KVM_MP_STATE_RUNNABLE);
		if (r < 0)
			err_set(e, r, "vCPU %u cannot be suspended: KVM does not start it anew (%s)", i, err_name(r));
	}
	if (r >= 0 && thumb) {
		r = ops->get_reg(vcpu, ARM64_REG_PSTATE, &pstate);
		r = r < 0 ? err_set(e, r, "vCPU %u cannot be suspended: KVM does not give its state (%s)", i, err_name(r))
			  : arm64_set_reg(m, i, ARM64_REG_PSTATE, pstate | PSTATE_T, e);
	}
	if (r >= 0)
		r = arm64_set_reg(m, i, ARM64_REG_PC, entry, e);
	if (r >= 0)
		r = arm64_set_reg(m, i, ARM64_REG_X(0), context, e);
	return r < 0 ? ARCH_ERROR : ARCH_SUSPEND;
}

static enum arch_verdict handle_system_event(struct machine *m, unsigned int i, struct hv_exit *exit, struct err *e)
{
	switch (exit->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		return ARCH_POWEROFF;
	case KVM_SYSTEM_EVENT_RESET:
		return ARCH_REBOOT;
	case KVM_SYSTEM_EVENT_CRASH:
		return ARCH_PANIC;
	case KVM_SYSTEM_EVENT_SUSPEND:
		return suspend(m, i, e);
	case KVM_SYSTEM_EVENT_WAKEUP:
		return ARCH_CONTINUE;
	}
	err_set(e, -EIO, "vCPU %u: KVM reports system event %u, which lkvm does not know; a newer lkvm may", i, exit->system_event.type);
	return ARCH_ERROR;
}

/* The guest gets what a bus gives that has nobody there: a synchronous external abort of its load or store. */
static enum arch_verdict abort_access(struct machine *m, unsigned int i, const char *why, uint64_t gpa, struct err *e)
{
	struct kvm_vcpu_events events = { .exception.ext_dabt_pending = 1 };
	struct hv_vcpu *vcpu = m->vcpu[i].hv;
	int r = vcpu->hv->ops->vcpu_ioctl(vcpu, KVM_SET_VCPU_EVENTS, &events);

	if (r < 0) {
		err_set(e, r, "vCPU %u: %s at 0x%" PRIx64 ", and KVM cannot tell the guest (%s)", i, why, gpa, err_name(r));
		return ARCH_ERROR;
	}
	if (machine_may_say(m))
		log_info(m->log, "vCPU %u: %s at 0x%" PRIx64 ": the guest gets an external abort", i, why, gpa);
	return ARCH_CONTINUE;
}

static enum arch_verdict handle_sea(struct machine *m, unsigned int i, struct hv_exit *exit, struct err *e)
{
	uint64_t at = exit->sea.flags & KVM_EXIT_ARM_SEA_FLAG_GPA_VALID ? exit->sea.gpa : exit->sea.gva;

	if (ESR_EC(exit->sea.esr) == EC_DATA_ABORT)
		return abort_access(m, i, "memory of the host has failed", at, e);
	err_set(e, -EIO, "vCPU %u: memory of the host has failed under the guest's instructions at 0x%" PRIx64 "; see the host's kernel log", i, at);
	return ARCH_ERROR;
}

enum arch_verdict arm64_handle_exit(struct machine *m, unsigned int i, struct hv_exit *exit, struct err *e)
{
	switch (exit->kind) {
	case HV_EXIT_INTR:
	case HV_EXIT_MMIO: /* nobody there: reads give zeroes, writes vanish */
		return ARCH_CONTINUE;
	case HV_EXIT_SYSTEM_EVENT:
		return handle_system_event(m, i, exit, e);
	case HV_EXIT_ARM_NISV:
		return abort_access(m, i, "an access that KVM cannot decode", exit->memory_fault.gpa, e);
	case HV_EXIT_ARM_SEA:
		return handle_sea(m, i, exit, e);
	case HV_EXIT_FAIL_ENTRY:
		if (!(exit->fail_entry.reason & KVM_EXIT_FAIL_ENTRY_CPU_UNSUPPORTED))
			break;
		err_set(e, -EIO, "vCPU %u cannot run on host CPU %u, which is of another kind than its PMU; give CPUs of one kind with "
			"--vcpu-affinity", i, exit->fail_entry.cpu);
		return ARCH_ERROR;
	default:
		break;
	}
	return machine_failed_exit(m, i, exit, e);
}
