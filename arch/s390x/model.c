// SPDX-License-Identifier: MIT
/*
 * The guest's CPU model: the machine's own, as far as KVM can give it (Linux: Documentation/virt/kvm/devices/vm.rst, KVM_S390_VM_CPU_MODEL), less what nothing
 * stands behind here.
 */
#include <errno.h>

#include "arch/s390x/s390x.h"
#include "base/sys.h"

const struct option s390x_options[S390X_N_OPTIONS] = {
	{ "hide-facility", 0, OPTION_LIST, offsetof(struct s390x_config, hide), .value = "N", .group = "s390x",
	  .help = "a facility (STFLE's number) that the guest does not get" },
};

/* Facilities that need devices or a host's co-operation that this machine does not have. */
static const uint16_t hidden[] = {
	12,  /* AP: query configuration information */
	15,  /* AP: facilities test */
	65,  /* AP: interruption control */
	69,  /* PCI */
	70,  /* PCI: I/O interruptions' suppression */
	71,  /* adapter-event notification */
	72,  /* adapter-interruption suppression */
	139, /* multiple-epoch: the TOD clock is KVM's business alone */
};

#define N_FACILITIES (256 * 64)

bool s390x_has_facility(const __u64 *list, unsigned int n)
{
	return list[n / 64] >> (63 - n % 64) & 1;
}

static void clear_facility(__u64 *list, unsigned int n)
{
	list[n / 64] &= ~(UINT64_C(1) << (63 - n % 64));
}

static int hide(const struct option_list *asked, __u64 *list, struct err *e)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(hidden); i++)
		clear_facility(list, hidden[i]);
	for (unsigned int i = 0; i < asked->n; i++) {
		uint64_t n;

		if (option_parse_uint(asked->items[i], &n) < 0 || n >= N_FACILITIES)
			return err_set(e, -EINVAL, "--hide-facility %s: give the number of a facility, 0 to %u", asked->items[i], N_FACILITIES - 1);
		clear_facility(list, (unsigned int)n);
	}
	return 0;
}

static int model_attr(struct machine *m, unsigned long request, uint64_t attr, void *value)
{
	struct kvm_device_attr a = { .group = KVM_S390_VM_CPU_MODEL, .attr = attr, .addr = (uintptr_t)value };

	return m->hv->ops->vm_ioctl(m->hv, request, &a);
}

int s390x_choose_model(struct machine *m, struct err *e)
{
	CLEANUP_FREE struct kvm_s390_vm_cpu_machine *host = calloc(1, sizeof(*host));
	CLEANUP_FREE struct kvm_s390_vm_cpu_processor *guest = calloc(1, sizeof(*guest));
	int r;

	if (!host || !guest)
		return err_set(e, -ENOMEM, "out of memory");
	r = model_attr(m, KVM_GET_DEVICE_ATTR, KVM_S390_VM_CPU_MACHINE, host);
	if (r >= 0)
		r = model_attr(m, KVM_GET_DEVICE_ATTR, KVM_S390_VM_CPU_PROCESSOR, guest);
	if (r < 0)
		return err_set(e, r, "KVM does not tell what CPU this machine has (%s): use Linux 6.1 or newer on the host", err_name(r));
	for (unsigned int i = 0; i < ARRAY_SIZE(guest->fac_list); i++)
		guest->fac_list[i] = host->fac_list[i] & host->fac_mask[i];
	r = hide(&s390x_config(m)->hide, guest->fac_list, e);
	if (r < 0)
		return r;
	r = model_attr(m, KVM_SET_DEVICE_ATTR, KVM_S390_VM_CPU_PROCESSOR, guest);
	return r < 0 ? err_set(e, r, "KVM refuses the guest's CPU model: %s", err_name(r)) : 0;
}
