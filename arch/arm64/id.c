// SPDX-License-Identifier: MIT
/* --cpu-id: ID registers that say less than the host has. Which bits may change KVM_ARM_GET_REG_WRITABLE_MASKS says (Linux 6.7). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "arch/arm64/arm64.h"

#define FIELD(id, what) (((id) & KVM_REG_ARM64_SYSREG_##what##_MASK) >> KVM_REG_ARM64_SYSREG_##what##_SHIFT)

/* The place of a register in KVM's array of masks, or -1 outside the feature ID space. */
static int mask_index(uint64_t id)
{
	const unsigned int op0 = FIELD(id, OP0), op1 = FIELD(id, OP1), crn = FIELD(id, CRN), crm = FIELD(id, CRM), op2 = FIELD(id, OP2);

	if (op0 != 3 || crn || crm > 7 || (op1 != 0 && op1 != 1 && op1 != 3))
		return -1;
	return (int)KVM_ARM_FEATURE_ID_RANGE_IDX(op0, op1, crn, crm, op2);
}

static int parse(const char *text, uint64_t *ret_id, uint64_t *ret_value, struct err *e)
{
	const char *sign = strchr(text, '=');
	char name[32];

	if (!sign || sign == text || (size_t)(sign - text) >= sizeof(name) || option_parse_uint(sign + 1, ret_value) < 0)
		return err_set(e, -EINVAL, "--cpu-id %s: give a register and a value, such as ID_AA64ISAR0_EL1=0x0011000110211120", text);
	snprintf(name, sizeof(name), "%.*s", (int)(sign - text), text);
	if (arm64_sysreg_id(name, ret_id) < 0)
		return err_set(e, -EINVAL, "--cpu-id %s: there is no system register %s; lkvm regs lists them", text, name);
	if (mask_index(*ret_id) < 0)
		return err_set(e, -EINVAL, "--cpu-id %s: %s is no ID register", text, name);
	return 0;
}

static int set_one(struct hv_vcpu *vcpu, const char *text, const uint64_t *masks, struct err *e)
{
	uint64_t id, value, old = 0, fixed;
	int r = parse(text, &id, &value, e);

	if (r < 0)
		return r;
	r = vcpu->hv->ops->get_reg(vcpu, id, &old);
	if (r < 0)
		return err_set(e, r, "--cpu-id %s: this host's vCPUs have no such register (%s)", text, err_name(r));
	if (value == old)
		return 0;
	fixed = masks ? (value ^ old) & ~masks[mask_index(id)] : 0;
	if (fixed)
		return err_set(e, -EINVAL, "--cpu-id %s: this host has 0x%016" PRIx64 " there, and cannot change the bits 0x%016" PRIx64, text,
			       old, fixed);
	r = vcpu->hv->ops->set_reg(vcpu, id, &value);
	if (r < 0)
		return err_set(e, r, "--cpu-id %s: KVM refuses it (%s); this host has 0x%016" PRIx64 " there, of which features can be taken "
			       "away", text, err_name(r), old);
	return 0;
}

int arm64_set_cpu_id(struct machine *m, struct hv_vcpu *vcpu, struct err *e)
{
	const struct option_list *list = &arm64_config(m)->cpu_id;
	uint64_t masks[KVM_ARM_FEATURE_ID_RANGE_SIZE] = { 0 };
	struct reg_mask_range range = { .addr = (uintptr_t)masks, .range = KVM_ARM_FEATURE_ID_RANGE };
	bool known = false;
	int r = 0;

	if (list->n && hv_capability(m->hv, KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES) & 1 << KVM_ARM_FEATURE_ID_RANGE)
		known = m->hv->ops->vm_ioctl(m->hv, KVM_ARM_GET_REG_WRITABLE_MASKS, &range) >= 0;
	for (unsigned int i = 0; r >= 0 && i < list->n; i++)
		r = set_one(vcpu, list->items[i], known ? masks : NULL, e);
	return r;
}
