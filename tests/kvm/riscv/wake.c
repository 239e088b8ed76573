// SPDX-License-Identifier: MIT
/* What wakes a hart that waits, and what must not get lost on the way: IPIs, SBI timers (of vCPUs that user space interrupts all the time, too). */
#include "machine.h"

#define IPIS 200
#define TIMERS 2000
#define MAY_BE_EARLY 20 /* of them, see on_irq() */
#define PATIENCE 20000 /* ms */

static struct shared {
	volatile uint64_t ready, ipis, deadline, fired, done, lost, asleep, early;
} shared;

/* ---- guest ---- */

static void on_irq(uint64_t cause)
{
	if (cause == 1) {
		csr_clear(sip, SIP_SSIP);
		shared.ipis++;
	} else if (cause == 5 && csr_read(time) < shared.deadline) {
		/*
		 * The Sstc extension lets STIP follow the compare register late, so the last timer may come twice, once in a while.
		 * The real one still has to come, after it is asked for again.
		 */
		guest_sbi(SBI_TIME, 0, shared.deadline, 0, 0);
		shared.early++;
	} else if (cause == 5) {
		guest_sbi(SBI_TIME, 0, UINT64_MAX, 0, 0);
		shared.fired++;
	}
}

static void sleeper(uint64_t arg)
{
	guest_irq = on_irq;
	csr_set(sie, SIP_SSIP);
	guest_irqs_on();
	shared.ready = 1;
	for (;;)
		__asm__ volatile("wfi" : : : "memory");
}

static void ipi_sender(uint64_t arg)
{
	for (uint64_t i = 1; i <= IPIS; i++) {
		uint64_t end = csr_read(time) + arg;

		guest_sbi(SBI_IPI, 0, 1 << 1, 0, 0);
		while (shared.ipis < i && csr_read(time) < end)
			;
		if (shared.ipis < i)
			break;
		shared.done = i;
	}
	guest_call(0, shared.done);
	for (;;)
		;
}

/* A timer soon, and then wait for it by looking (arg 0) or asleep; not for ever: the other bits of arg. */
static void timer_user(uint64_t arg)
{
	guest_irq = on_irq;
	csr_set(sie, SIP_STIP);
	for (uint64_t i = 1; i <= TIMERS && !shared.lost; i++) {
		/* Some so far away that KVM no longer looks for them before it lets the thread sleep. */
		uint64_t at = csr_read(time) + (i % 16 ? 300 : 50000), end = at + (arg >> 1);

		shared.deadline = at;
		guest_sbi(SBI_TIME, 0, at, 0, 0);
		while (shared.fired < i && csr_read(time) < end) {
			/* Interrupts are off, or it could come between the look and the wait. */
			if (arg & 1)
				__asm__ volatile("wfi" : : : "memory");
			guest_irqs_on();
			__asm__ volatile("nop");
			guest_irqs_off();
		}
		if (shared.fired < i)
			shared.lost = i;
		shared.done = i;
	}
	guest_call(0, shared.lost);
	for (;;)
		;
}

/* ---- host ---- */

static volatile uint64_t over, result;

static void on_call(struct vcpu *v, unsigned int op, uint64_t value)
{
	result = value;
	__atomic_store_n(&over, 1, __ATOMIC_RELEASE);
	v->stop = true;
}

static uint64_t ticks_of_ms(struct vcpu *v, uint64_t ms)
{
	return reg_get(v, KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_TIMER | KVM_REG_RISCV_TIMER_REG(frequency)) / 1000 * ms;
}

static void ipis(void)
{
	struct shared *s;
	struct vm vm;

	vm_create(&vm, 2);
	s = guest_of(&vm, &shared);
	over = 0;
	vcpu_enter(&vm.vcpu[1], sleeper, 0);
	vcpu_start(&vm.vcpu[1], -1, on_call);
	if (!check(wait_for(&s->ready, 1, PATIENCE), "sleeper", "the other vCPU does not start"))
		exit(1);
	vcpu_enter(&vm.vcpu[0], ipi_sender, ticks_of_ms(&vm.vcpu[0], 3000));
	vcpu_start(&vm.vcpu[0], -1, on_call);
	check(wait_for(&over, 1, 3 * PATIENCE) && result == IPIS, "ipi-wakes", "%" PRIu64 " of %u IPIs were answered", s->done, IPIS);
	vcpu_stop(&vm.vcpu[0]);
	vcpu_stop(&vm.vcpu[1]);
	vm_destroy(&vm);
}

static void timers(const char *what, bool asleep, bool poked)
{
	struct shared *s;
	struct vm vm;
	const uint64_t patience = 20 * UINT64_C(1000000000); /* without any timer */
	uint64_t end = now_ns() + patience, done = 0, pokes = 0;

	vm_create(&vm, 1);
	s = guest_of(&vm, &shared);
	over = 0;
	vcpu_enter(&vm.vcpu[0], timer_user, ticks_of_ms(&vm.vcpu[0], 2000) << 1 | asleep);
	vcpu_start(&vm.vcpu[0], -1, on_call);
	while (!over && now_ns() < end) {
		/* At any point of its way, the one between the SBI call and the guest's next instruction included. */
		if (poked)
			vcpu_poke(&vm.vcpu[0]);
		usleep(poked ? 20 : 1000);
		pokes += poked;
		if (s->done != done) {
			done = s->done;
			end = now_ns() + patience;
		}
	}
	if (check(over, what, "stuck after %" PRIu64 " timers", s->done))
		check(!result, what, "timer %" PRIu64 " never came", result);
	check(s->early <= MAY_BE_EARLY, what, "%" PRIu64 " timers came early", s->early);
	printf("# %s: %" PRIu64 " timers, %" PRIu64 " early, %" PRIu64 " pokes\n", what, s->done, s->early, pokes);
	vcpu_stop(&vm.vcpu[0]);
	vm_destroy(&vm);
}

/* Starting a timer that was loaded keeps the deadline it was loaded with. */
static void timer_loaded(void)
{
	const uint64_t timer = KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_TIMER, far = UINT64_MAX / 2;
	uint64_t compare;
	struct vm vm;

	vm_create(&vm, 1);
	reg_set(&vm.vcpu[0], timer | KVM_REG_RISCV_TIMER_REG(compare), far);
	reg_set(&vm.vcpu[0], timer | KVM_REG_RISCV_TIMER_REG(state), KVM_RISCV_TIMER_STATE_ON);
	compare = reg_get(&vm.vcpu[0], timer | KVM_REG_RISCV_TIMER_REG(compare));
	check(compare == far, "timer-loaded", "the deadline is 0x%" PRIx64 ", was loaded as 0x%" PRIx64, compare, far);
	vm_destroy(&vm);
}

int main(void)
{
	ipis();
	timer_loaded();
	timers("timer", false, false);
	timers("timer-wakes", true, false);
	timers("timer-interrupted", false, true);
	timers("timer-wakes-interrupted", true, true);
	return finish();
}
