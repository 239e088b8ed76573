// SPDX-License-Identifier: MIT
/*
 * The user ABI of registers is none of the kernel's layout: ELR_EL1, SP_EL1, every SPSR and the timers' compare values keep the encodings they always had, and all
 * registers their values, from one VM into another.
 */
#include "machine.h"

enum { CALL_SAVED, CALL_LOADED };

#define ELR UINT64_C(0x0000800012345678)
#define SPSR UINT64_C(0x200003c5)
#define CNTV UINT64_C(0x7000000012345678)
#define CNTP UINT64_C(0x7000000087654321)
#define SP0 UINT64_C(0x00000000abcdef00)
#define TPIDR UINT64_C(0x1122334455667788)

static struct shared {
	uint64_t elr, spsr, cntv, cntp, sp0, sp, tpidr, q[2];
} shared;

/* As numbers, since that is what lives in files and streams: Documentation/virt/kvm/api.rst, "arm64 registers". The timers' are swapped, and stay so. */
static const struct row {
	const char *name;
	uint64_t id, header, value; /* 0: the guest writes it */
} rows[] = {
	{ "SP_EL1", 0x6030000000100044, CORE(sp_el1), 0 },
	{ "ELR_EL1", 0x6030000000100046, CORE(elr_el1), 0 },
	{ "SPSR_EL1", 0x6030000000100048, CORE(spsr[0]), 0 },
	{ "SPSR_ABT", 0x603000000010004a, CORE(spsr[1]), 0x600001d7 },
	{ "SPSR_UND", 0x603000000010004c, CORE(spsr[2]), 0x600001db },
	{ "SPSR_IRQ", 0x603000000010004e, CORE(spsr[3]), 0x600001d2 },
	{ "SPSR_FIQ", 0x6030000000100050, CORE(spsr[4]), 0x600001d1 },
	{ "X0", 0x6030000000100000, CORE(regs.regs[0]), 0 },
	{ "SP_EL0", 0x603000000010003e, CORE(regs.sp), 0 },
	{ "PC", 0x6030000000100040, CORE(regs.pc), 0 },
	{ "PSTATE", 0x6030000000100042, CORE(regs.pstate), 0 },
	{ "CNTV_CTL_EL0", 0x603000000013df19, KVM_REG_ARM_TIMER_CTL, 0 },
	{ "CNTVCT_EL0", 0x603000000013df1a, KVM_REG_ARM_TIMER_CNT, 0 },
	{ "CNTV_CVAL_EL0", 0x603000000013df02, KVM_REG_ARM_TIMER_CVAL, 0 },
	{ "CNTP_CTL_EL0", 0x603000000013df11, KVM_REG_ARM_PTIMER_CTL, 0 },
	{ "CNTP_CVAL_EL0", 0x603000000013df12, KVM_REG_ARM_PTIMER_CVAL, 0 },
	{ "CNTPCT_EL0", 0x603000000013df01, KVM_REG_ARM_PTIMER_CNT, 0 },
};

/* ---- guest ---- */

static void guest(uint64_t arg)
{
	sysreg_write(elr_el1, ELR);
	sysreg_write(spsr_el1, SPSR);
	sysreg_write(cntv_cval_el0, CNTV);
	sysreg_write(cntp_cval_el0, CNTP);
	sysreg_write(sp_el0, SP0);
	sysreg_write(tpidr_el0, TPIDR);
	__asm__ volatile("mov %0, sp\n\tfmov v31.d[1], %1" : "=&r"(shared.sp) : "r"(TPIDR));
	guest_call(CALL_SAVED, 0);
	shared.elr = sysreg_read(elr_el1);
	shared.spsr = sysreg_read(spsr_el1);
	shared.cntv = sysreg_read(cntv_cval_el0);
	shared.cntp = sysreg_read(cntp_cval_el0);
	shared.sp0 = sysreg_read(sp_el0);
	shared.tpidr = sysreg_read(tpidr_el0);
	__asm__ volatile("mov %0, sp\n\tfmov %1, v31.d[1]" : "=r"(shared.q[0]), "=r"(shared.q[1]));
	guest_call(CALL_LOADED, 0);
}

/* ---- host ---- */

static bool listed(const struct kvm_reg_list *list, uint64_t id)
{
	for (uint64_t i = 0; i < list->n; i++)
		if (list->reg[i] == id)
			return true;
	return false;
}

static void encodings(struct vcpu *v, const struct kvm_reg_list *list)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		char what[64];
		uint64_t value;
		int r = reg_read(v, rows[i].id, &value);

		snprintf(what, sizeof(what), "encoding-%s", rows[i].name);
		check(rows[i].id == rows[i].header && listed(list, rows[i].id) && !r, what, "0x%" PRIx64 ": in the header 0x%" PRIx64 ", %s listed, read: %s", rows[i].id,
		      rows[i].header, listed(list, rows[i].id) ? "is" : "not", strerror(-r));
	}
}

/* The write that made the exit is done when the vCPU runs again, and not before. */
static void finish_exit(struct vcpu *v)
{
	v->run->immediate_exit = 1;
	ioctl(v->fd, KVM_RUN, 0);
	v->run->immediate_exit = 0;
}

static bool counts(uint64_t id)
{
	return id == KVM_REG_ARM_TIMER_CNT || id == KVM_REG_ARM_PTIMER_CNT;
}

static void compare(struct vcpu *from, struct vcpu *to, const struct kvm_reg_list *list)
{
	unsigned int differing = 0;

	for (uint64_t i = 0; i < list->n; i++) {
		unsigned char a[256] = { 0 }, b[256] = { 0 };
		uint64_t is, should;

		if (counts(list->reg[i]) || reg_read(from, list->reg[i], a) < 0)
			continue;
		reg_read(to, list->reg[i], b);
		memcpy(&is, b, 8);
		memcpy(&should, a, 8);
		if (memcmp(a, b, sizeof(a)) && differing++ < 5)
			fail("load", "register 0x%" PRIx64 " is 0x%" PRIx64 ", should be 0x%" PRIx64, (uint64_t)list->reg[i], is, should);
	}
	check(!differing, "load", "%u of %" PRIu64 " registers differ", differing, (uint64_t)list->n);
}

static void check_value(const char *what, uint64_t is, uint64_t should)
{
	check(is == should, what, "the guest reads 0x%" PRIx64 ", wrote 0x%" PRIx64, is, should);
}

int main(void)
{
	struct kvm_reg_list *list;
	struct vm a, b;
	struct vcpu *from = &a.vcpu[0], *to = &b.vcpu[0];
	struct shared *s;

	vm_create(&a, 1, 0);
	list = reg_list(from);
	encodings(from, list);
	vcpu_enter(from, guest, 0);
	if (!vcpu_expect(from, "save", CALL_SAVED, NULL))
		return finish();
	finish_exit(from);
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].value)
			reg_set(from, rows[i].id, rows[i].value);
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].value)
			check(reg_get(from, rows[i].id) == rows[i].value, rows[i].name, "is 0x%" PRIx64, reg_get(from, rows[i].id));
	check(reg_get(from, CORE(elr_el1)) == ELR, "host-ELR_EL1", "is 0x%" PRIx64, reg_get(from, CORE(elr_el1)));
	check(reg_get(from, CORE(spsr[0])) == SPSR, "host-SPSR_EL1", "is 0x%" PRIx64, reg_get(from, CORE(spsr[0])));
	check(reg_get(from, CORE(sp_el1)) == guest_of(&a, &shared)->sp, "host-SP_EL1", "is 0x%" PRIx64, reg_get(from, CORE(sp_el1)));
	check(reg_get(from, CORE(regs.sp)) == SP0, "host-SP_EL0", "is 0x%" PRIx64, reg_get(from, CORE(regs.sp)));
	check(reg_get(from, KVM_REG_ARM_TIMER_CVAL) == CNTV, "host-CNTV_CVAL_EL0", "is 0x%" PRIx64, reg_get(from, KVM_REG_ARM_TIMER_CVAL));
	check(reg_get(from, KVM_REG_ARM_PTIMER_CVAL) == CNTP, "host-CNTP_CVAL_EL0", "is 0x%" PRIx64, reg_get(from, KVM_REG_ARM_PTIMER_CVAL));

	vm_create(&b, 1, 0);
	memcpy(b.ram, a.ram, RAM_SIZE);
	for (uint64_t i = 0; i < list->n; i++) {
		unsigned char value[256];

		/* What cannot be written must be the same by itself: compared below. */
		if (!counts(list->reg[i]) && !reg_read(from, list->reg[i], value))
			reg_write(to, list->reg[i], value);
	}
	compare(from, to, list);
	if (vcpu_expect(to, "loaded", CALL_LOADED, NULL)) {
		s = guest_of(&b, &shared);
		check_value("guest-ELR_EL1", s->elr, ELR);
		check_value("guest-SPSR_EL1", s->spsr, SPSR);
		check_value("guest-CNTV_CVAL_EL0", s->cntv, CNTV);
		check_value("guest-CNTP_CVAL_EL0", s->cntp, CNTP);
		check_value("guest-SP_EL0", s->sp0, SP0);
		check_value("guest-SP_EL1", s->q[0], s->sp);
		check_value("guest-TPIDR_EL0", s->tpidr, TPIDR);
		check_value("guest-V31", s->q[1], TPIDR);
	}
	free(list);
	vm_destroy(&b);
	vm_destroy(&a);
	return finish();
}
