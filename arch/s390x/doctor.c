// SPDX-License-Identifier: MIT
/* What this host can do for a guest, for `lkvm doctor`. */
#include <stdio.h>

#include "arch/machine.h"
#include "arch/s390x/s390x.h"

static const struct machine_cap caps[] = {
	{ KVM_CAP_S390_CSS_SUPPORT, "channel I/O by lkvm", "use Linux 6.1 or newer on the host" },
	{ KVM_CAP_S390_USER_SIGP, "SIGNAL PROCESSOR by lkvm", "use Linux 6.1 or newer on the host" },
	{ KVM_CAP_S390_MEM_OP, "guest memory at logical addresses", "use Linux 6.1 or newer on the host" },
	{ KVM_CAP_S390_INJECT_IRQ, "interruptions with all their parameters", "use Linux 6.1 or newer on the host" },
	{ KVM_CAP_S390_VCPU_RESETS, "CPU resets of every kind", "a CPU reset clears less; use Linux 5.7 or newer" },
	{ KVM_CAP_S390_IRQCHIP, "adapter interruptions from eventfds", "each interruption of a device takes a thread; use Linux 6.1 or newer" },
	{ KVM_CAP_S390_USER_STSI, "the guest's name in what it learns of its machine", "it learns KVM's own; use Linux 6.1 or newer" },
	{ KVM_CAP_S390_VECTOR_REGISTERS, "vector registers", "the machine has none; guests for z10 to zEC12 do without" },
};

/* The facilities that a guest would get, from 0 on. */
static void facilities(struct hv *hv, void (*fn)(void *ctx, const char *what, bool present, const char *cure), void *ctx)
{
	struct kvm_s390_vm_cpu_machine *host = calloc(1, sizeof(*host));
	struct kvm_device_attr a = { .group = KVM_S390_VM_CPU_MODEL, .attr = KVM_S390_VM_CPU_MACHINE, .addr = (uintptr_t)host };
	unsigned int n = 0;
	char what[96];

	if (host && hv->ops->vm_ioctl(hv, KVM_GET_DEVICE_ATTR, &a) >= 0) {
		for (unsigned int i = 0; i < ARRAY_SIZE(host->fac_list); i++)
			n += (unsigned int)__builtin_popcountll(host->fac_list[i] & host->fac_mask[i]);
		snprintf(what, sizeof(what), "CPU %04x with %u facilities for guests", (unsigned int)(host->cpuid >> 16 & 0xffff), n);
		fn(ctx, what, true, NULL);
	} else {
		fn(ctx, "a CPU model for guests", false, "use Linux 6.1 or newer on the host");
	}
	free(host);
}

void s390x_doctor(struct hv *hv, struct hv_vcpu *vcpu, void (*fn)(void *ctx, const char *what, bool present, const char *cure), void *ctx)
{
	const bool flic = hv->ops->create_device(hv, KVM_DEV_TYPE_FLIC, NULL) >= 0;
	char what[96];

	machine_doctor(hv, caps, ARRAY_SIZE(caps), fn, ctx);
	fn(ctx, "floating interrupt controller", flic, flic ? NULL : "use Linux 6.1 or newer on the host");
	facilities(hv, fn, ctx);
	snprintf(what, sizeof(what), "ioeventfd (doorbells without exit)");
	fn(ctx, what, hv_capability(hv, KVM_CAP_IOEVENTFD) > 0, "use a host kernel with CONFIG_EVENTFD");
	snprintf(what, sizeof(what), "guests with up to %d CPUs", MIN(MAX(hv_capability(hv, KVM_CAP_MAX_VCPUS), 1), S390X_MAX_VCPUS));
	fn(ctx, what, true, NULL);
}
