// SPDX-License-Identifier: MIT
/*
 * Interrupts and time without an interrupt controller in the kernel: KVM_INTERRUPT, sip from all sides, who is woken by what, and the timer of a vCPU as user space
 * and as the guest sees it.
 */
#include "insn.h"

#define TIMER(field) (KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_TIMER | KVM_REG_RISCV_TIMER_REG(field))
#define PATIENCE 20000 /* ms */
#define ROUNDS 300

enum { READY, TOOK, DONE };

static struct shared {
	volatile uint64_t taken[16], ready, seen, go, at, late;
} shared;

/* ---- guest ---- */

/* The external interrupt is a level: user space lowers it in the call. */
static void on_irq(uint64_t cause)
{
	shared.taken[cause % 16]++;
	if (cause == 9)
		guest_call(TOOK, cause);
	else if (cause == 5)
		guest_sbi(SBI_TIME, 0, UINT64_MAX, 0, 0);
	else
		csr_clear(sip, SIP_SSIP);
}

static void spin(uint64_t sie)
{
	guest_irq = on_irq;
	csr_write(sie, sie);
	guest_irqs_on();
	shared.ready = 1;
	for (;;)
		shared.seen++;
}

static void sleep_on(uint64_t sie)
{
	guest_irq = on_irq;
	csr_write(sie, sie);
	guest_irqs_on();
	shared.ready = 1;
	for (;;) {
		__asm__ volatile("wfi" : : : "memory");
		shared.seen++;
	}
}

/* What is pending, with none enabled; and what WFI does with one that is enabled in sie alone. */
static void look(uint64_t sie)
{
	csr_write(sie, sie);
	guest_call(READY, csr_read(sip));
	for (;;) {
		__asm__ volatile("wfi" : : : "memory");
		guest_call(READY, csr_read(sip));
	}
}

static void self(uint64_t arg)
{
	uint64_t pending;

	guest_irq = on_irq;
	csr_set(sip, SIP_SSIP);
	pending = csr_read(sip) & SIP_SSIP;
	csr_set(sie, SIP_SSIP);
	guest_irqs_on();
	__asm__ volatile("nop\n\tnop");
	guest_irqs_off();
	guest_call(DONE, pending << 16 | (csr_read(sip) & SIP_SSIP) << 8 | shared.taken[1]);
	for (;;)
		;
}

/* A guest cannot pend what is not its own to pend. */
static void pend_others(uint64_t arg)
{
	csr_set(sip, SIP_SEIP | SIP_STIP);
	guest_call(DONE, csr_read(sip) & (SIP_SEIP | SIP_STIP));
	for (;;)
		;
}

static void tell_time(uint64_t arg)
{
	for (;;)
		guest_call(READY, csr_read(time));
}

/* ---- host ---- */

static int interrupt(struct vcpu *v, uint32_t irq)
{
	return ioctl(v->fd, KVM_INTERRUPT, &irq) < 0 ? -errno : 0;
}

static void external(void)
{
	uint64_t value;
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];

	vm_create(&vm, 1);
	vcpu_enter(v, look, 0);
	must(vcpu_expect(v, "sip-none", READY, &value) ? 0 : -1, "a guest");
	check(!(value & 0x222), "sip-none", "0x%" PRIx64 " is pending in a new vCPU", value);
	vcpu_enter(v, look, SIP_SEIP);
	check(!interrupt(v, KVM_INTERRUPT_SET) && !interrupt(v, KVM_INTERRUPT_SET), "interrupt-set", "KVM_INTERRUPT: %s", strerror(errno));
	if (vcpu_expect(v, "interrupt-pending", READY, &value))
		check(value & SIP_SEIP, "interrupt-pending", "sip is 0x%" PRIx64, value);
	check(reg_get(v, REG_CSR(sip)) & SIP_SEIP, "interrupt-reg", "sip is 0x%" PRIx64 " for user space", reg_get(v, REG_CSR(sip)));
	/* It is pending, and enabled in sie, so WFI does not wait. */
	if (vcpu_expect(v, "wfi-pending", READY, &value))
		check(value & SIP_SEIP, "wfi-pending", "sip is 0x%" PRIx64, value);
	check(!interrupt(v, KVM_INTERRUPT_UNSET), "interrupt-unset", "KVM_INTERRUPT: %s", strerror(errno));
	check(!(reg_get(v, REG_CSR(sip)) & SIP_SEIP), "interrupt-unset-reg", "sip is 0x%" PRIx64 " for user space", reg_get(v, REG_CSR(sip)));
	vcpu_enter(v, look, 0);
	if (vcpu_expect(v, "interrupt-gone", READY, &value))
		check(!(value & SIP_SEIP), "interrupt-gone", "sip is 0x%" PRIx64, value);
	vm_destroy(&vm);
}

static volatile uint64_t tooks;

static void lower(struct vcpu *v, unsigned int op, uint64_t value)
{
	if (op == TOOK)
		interrupt(v, KVM_INTERRUPT_UNSET);
	__atomic_fetch_add(&tooks, 1, __ATOMIC_RELEASE);
}

/* Each that is raised is taken once, whatever the guest does at that time. */
static void delivered_once(const char *what, void (*fn)(uint64_t sie))
{
	struct shared *s;
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];
	unsigned int n = 0;

	vm_create(&vm, 1);
	s = guest_of(&vm, &shared);
	tooks = 0;
	vcpu_enter(v, fn, SIP_SEIP);
	vcpu_start(v, -1, lower);
	wait_for(&s->ready, 1, PATIENCE);
	while (n < ROUNDS) {
		if (n % 3 == 2)
			usleep(200);
		must(interrupt(v, KVM_INTERRUPT_SET), "KVM_INTERRUPT");
		if (!wait_for(&tooks, n + 1, PATIENCE))
			break;
		n++;
	}
	usleep(20000);
	check(n == ROUNDS && tooks == ROUNDS && s->taken[9] == ROUNDS, what, "%u of %u interrupts, taken %" PRIu64 " times", n, ROUNDS, s->taken[9]);
	vcpu_stop(v);
	vm_destroy(&vm);
}

static void nothing(struct vcpu *v, unsigned int op, uint64_t value)
{
}

/* What is disabled wakes nobody. */
static void disabled(void)
{
	struct shared *s;
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];
	uint64_t before;

	vm_create(&vm, 1);
	s = guest_of(&vm, &shared);
	vcpu_enter(v, sleep_on, SIP_SSIP);
	vcpu_start(v, -1, nothing);
	wait_for(&s->ready, 1, PATIENCE);
	usleep(50000);
	before = s->seen;
	must(interrupt(v, KVM_INTERRUPT_SET), "KVM_INTERRUPT");
	usleep(100000);
	/* Signals and kicks may let it go round a few times, a level that wakes it all the time does not. */
	check(s->seen - before < 50 && !s->taken[9], "wfi-disabled", "it went round %" PRIu64 " times and took %" PRIu64, s->seen - before, s->taken[9]);
	vcpu_stop(v);
	vm_destroy(&vm);
}

/* What user space writes to sip is what the guest reads. */
static void sip_written(struct vcpu *v, uint64_t bit, const char *set, const char *cleared)
{
	uint64_t value;

	vcpu_enter(v, look, 0);
	reg_set(v, REG_CSR(sip), bit);
	if (vcpu_expect(v, set, READY, &value))
		check(value & bit, set, "sip is 0x%" PRIx64, value);
	vcpu_enter(v, look, 0);
	reg_set(v, REG_CSR(sip), 0);
	if (vcpu_expect(v, cleared, READY, &value))
		check(!(value & bit), cleared, "sip is 0x%" PRIx64, value);
}

static void software(void)
{
	uint64_t value;
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];

	vm_create(&vm, 1);
	vcpu_enter(v, self, 0);
	if (vcpu_expect(v, "sip-self", DONE, &value))
		check(value == (SIP_SSIP << 16 | 1), "sip-self", "pending, still pending, taken: 0x%" PRIx64, value);
	vcpu_enter(v, pend_others, 0);
	if (vcpu_expect(v, "sip-others", DONE, &value))
		check(!value, "sip-others", "a guest pends 0x%" PRIx64 " for itself", value);
	/* By user space, without running; and away again. */
	sip_written(v, SIP_SSIP, "sip-written", "sip-cleared");
	/* And it is as good as any other for who waits. */
	vcpu_enter(v, look, SIP_SSIP);
	must(vcpu_expect(v, "sip-written", READY, &value) ? 0 : -1, "a guest");
	vcpu_complete(v);
	reg_set(v, REG_CSR(sip), SIP_SSIP);
	check(!run_for(v, 5000), "wfi-written", "what user space makes pending does not end WFI");
	vm_destroy(&vm);
}

/* The guest's clock is the one user space sees, and goes where it is put. */
static void time_of_day(void)
{
	uint64_t user, value;
	struct vm vm;

	vm_create(&vm, 2);
	for (unsigned int i = 0; i < 2; i++)
		vcpu_enter(&vm.vcpu[i], tell_time, 0);
	for (unsigned int round = 0; round < 6; round++) {
		uint64_t frequency = reg_get(&vm.vcpu[0], TIMER(frequency));
		struct vcpu *v = &vm.vcpu[round % 2];

		if (round % 3 == 2)
			reg_set(&vm.vcpu[0], TIMER(time), (uint64_t)round << 50);
		user = reg_get(v, TIMER(time));
		if (vcpu_expect(v, "time", READY, &value))
			check(value >= user && value - user < 5 * frequency, "time", "the guest reads %" PRIu64 ", user space before %" PRIu64, value, user);
		user = reg_get(v, TIMER(time));
		check(user >= value && user - value < 5 * frequency, "time-user", "user space reads %" PRIu64 ", the guest before %" PRIu64, user, value);
	}
	vm_destroy(&vm);
}

/* A VM of one vCPU; without Sstc: false where a vCPU cannot be without. */
static bool timer_vm(struct vm *vm, bool sstc)
{
	uint64_t value = 0;

	vm_create(vm, 1);
	if (sstc)
		return true;
	reg_write(&vm->vcpu[0], REG_ISA(KVM_RISCV_ISA_EXT_SSTC), &value);
	if (reg_read(&vm->vcpu[0], REG_ISA(KVM_RISCV_ISA_EXT_SSTC), &value) || !value)
		return true;
	vm_destroy(vm);
	return false;
}

static void set_deadline(struct vcpu *v, uint64_t parts_of_second)
{
	reg_set(v, TIMER(compare), reg_get(v, TIMER(time)) + reg_get(v, TIMER(frequency)) / parts_of_second);
}

/* It runs until its timer interrupt has come; once. */
static void timer_comes(struct vcpu *v, const char *what, struct shared *s)
{
	s->taken[5] = 0;
	vcpu_start(v, -1, nothing);
	check(wait_for(&s->taken[5], 1, PATIENCE), what, "it never comes");
	usleep(50000);
	check(s->taken[5] == 1, what, "it comes %" PRIu64 " times", s->taken[5]);
	vcpu_stop(v);
}

/* A deadline that user space loads fires, like one the guest sets, asleep or not. */
static void loaded_timers(void)
{
	static const struct {
		const char *name;
		void (*fn)(uint64_t sie);
		bool sstc;
	} rows[] = {
		{ "timer-loaded-running", spin, true },
		{ "timer-loaded-asleep", sleep_on, true },
		{ "timer-loaded-running-no-sstc", spin, false },
		{ "timer-loaded-asleep-no-sstc", sleep_on, false },
	};
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!timer_vm(&vm, rows[i].sstc))
			continue;
		vcpu_enter(v, rows[i].fn, SIP_STIP);
		set_deadline(v, 20);
		reg_set(v, TIMER(state), KVM_RISCV_TIMER_STATE_ON);
		timer_comes(v, rows[i].name, guest_of(&vm, &shared));
		vm_destroy(&vm);
	}
}

/* Without Sstc, the timer is KVM's: it can be stopped, and user space sees and says whether its interrupt is pending. */
static void timer_of_kvm(void)
{
	struct shared *s;
	uint64_t value;
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];

	if (!timer_vm(&vm, false))
		return;
	s = guest_of(&vm, &shared);
	check(reg_get(v, TIMER(state)) == KVM_RISCV_TIMER_STATE_OFF, "timer-off", "a new vCPU's timer is on");
	set_deadline(v, 10);
	value = reg_get(v, TIMER(compare));
	reg_set(v, TIMER(state), KVM_RISCV_TIMER_STATE_ON);
	check(reg_get(v, TIMER(state)) == KVM_RISCV_TIMER_STATE_ON, "timer-on", "it is off");
	reg_set(v, TIMER(state), KVM_RISCV_TIMER_STATE_OFF);
	check(reg_get(v, TIMER(state)) == KVM_RISCV_TIMER_STATE_OFF && reg_get(v, TIMER(compare)) == value, "timer-stopped", "it is on, or has another deadline");
	vcpu_enter(v, spin, SIP_STIP);
	vcpu_start(v, -1, nothing);
	wait_for(&s->ready, 1, PATIENCE);
	usleep(300000);
	check(!s->taken[5], "timer-stopped-quiet", "it comes though it is stopped");
	vcpu_stop(v);
	/* Again: the deadline has passed. */
	check(!(reg_get(v, REG_CSR(sip)) & SIP_STIP), "timer-stopped-sip", "its interrupt is pending");
	reg_set(v, TIMER(state), KVM_RISCV_TIMER_STATE_ON);
	check(reg_get(v, REG_CSR(sip)) & SIP_STIP, "timer-past-sip", "its interrupt is not pending");
	timer_comes(v, "timer-past", s);
	check(!(reg_get(v, REG_CSR(sip)) & SIP_STIP), "timer-taken-sip", "its interrupt is still pending");
	/* The interrupt without a timer, as it is loaded into a new vCPU. */
	reg_set(v, REG_CSR(sip), SIP_STIP);
	timer_comes(v, "timer-sip-written", s);
	sip_written(v, SIP_STIP, "timer-sip-seen", "timer-sip-cleared");
	vm_destroy(&vm);
}

int main(void)
{
	external();
	delivered_once("interrupts-running", spin);
	delivered_once("interrupts-asleep", sleep_on);
	disabled();
	software();
	time_of_day();
	loaded_timers();
	timer_of_kvm();
	return finish();
}
