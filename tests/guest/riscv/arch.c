// SPDX-License-Identifier: MIT
/* RISC-V's half of the runtime: SBI, traps, timers. */
#include "guest.h"

void (*volatile external_hook)(void);
static bool have_dbcn;

uint64_t trap(uint64_t cause, uint64_t epc, uint64_t tval);
void secondary_start(void);
void irq_external(void);

/* --- SBI --- */

struct sbi sbi_call(unsigned long extension, unsigned long function, unsigned long a0, unsigned long a1, unsigned long a2,
		    unsigned long a3, unsigned long a4, unsigned long a5)
{
	register unsigned long r0 __asm__("a0") = a0;
	register unsigned long r1 __asm__("a1") = a1;
	register unsigned long r2 __asm__("a2") = a2;
	register unsigned long r3 __asm__("a3") = a3;
	register unsigned long r4 __asm__("a4") = a4;
	register unsigned long r5 __asm__("a5") = a5;
	register unsigned long r6 __asm__("a6") = function;
	register unsigned long r7 __asm__("a7") = extension;

	__asm__ volatile("ecall" : "+r"(r0), "+r"(r1) : "r"(r2), "r"(r3), "r"(r4), "r"(r5), "r"(r6), "r"(r7) : "memory");
	return (struct sbi){ (long)r0, (long)r1 };
}

void arch_console(const char *text, unsigned int n)
{
	for (unsigned int i = 0; i < n;) {
		struct sbi r = { -1, 0 };

		if (have_dbcn)
			r = sbi_call(SBI_DBCN, 0, n - i, (unsigned long)text + i, 0, 0, 0, 0);
		if (!r.error && r.value > 0)
			i += (unsigned int)r.value;
		else
			write8(0x10000000, (uint8_t)text[i++]);
	}
}

void arch_property(const char *node, const char *name, const void *value, uint32_t len)
{
	if (same(node, "cpus") && same(name, "timebase-frequency")) {
		machine.timebase = be32(value);
	} else if (starts(node, "interrupt-controller@") && same(name, "reg")) {
		machine.plic = be64(value);
	} else if (same(name, "riscv,ndev") || same(name, "riscv,num-sources")) {
		machine.n_sources = be32(value);
	} else if (starts(node, "aplic@") && same(name, "reg")) {
		machine.aplic = be64(value);
		machine.aia = true;
	} else if (starts(node, "imsics@") && same(name, "reg")) {
		machine.imsic = be64(value);
	} else if (same(name, "riscv,num-ids")) {
		machine.n_ids = be32(value);
	}
}

uint32_t arch_interrupt(const void *value)
{
	return be32(value);
}

/* --- time --- */

static void set_timer(uint64_t at)
{
	sbi_call(SBI_TIME, 0, at, 0, 0, 0, 0, 0);
}

static void read_stimecmp(void *ctx)
{
	uint64_t v = 0;

	__asm__ volatile("csrr %0, 0x14d" : "+r"(v));
	*(uint64_t *)ctx = v;
}

void timer_at(uint64_t at)
{
	uint64_t is = at;

	/* Where the guest has Sstc it can see what became of the call; what it has seen is not lost any more. */
	for (unsigned int i = 0; i < 100; i++) {
		set_timer(at);
		if (trap_of(read_stimecmp, &is) >= 0 || is == at)
			return;
	}
}

/*
 * Sleeps. On Linux 6.12 as the host a hart may never wake (seen: in WFI, its timer enabled, the PLIC idle). By its source: on a host with Sstc, SBI set_timer writes
 * VSTIMECMP and nothing else (kvm_riscv_vcpu_update_vstimecmp); a vCPU that is scheduled out before it enters the guest again gets the value back that the last exit
 * had read, and the deadline is lost. So it is looked at; tests/kvm/riscv/wake.c is the test of the host's KVM.
 */
void doze_ms(uint64_t n)
{
	uint64_t status = csr_read(sstatus) & SSTATUS_SIE;

	/* Not taken before the sleep, or nothing would end it. */
	interrupts_off();
	timer_at(now() + ms(n));
	csr_set(sie, SIE_TIMER);
	__asm__ volatile("wfi" : : : "memory");
	csr_clear(sie, SIE_TIMER);
	set_timer(UINT64_MAX);
	csr_set(sstatus, status);
}

/* --- traps --- */

uint64_t trap(uint64_t cause, uint64_t epc, uint64_t tval)
{
	unsigned int hart = this_hart();

	if ((int64_t)cause < 0) {
		switch (cause & 0xff) {
		case 1:
			csr_clear(sip, SIE_SOFTWARE);
			__atomic_fetch_add(&software_count[hart], 1, __ATOMIC_RELAXED);
			break;
		case 5:
			set_timer(UINT64_MAX);
			__atomic_fetch_add(&timer_count[hart], 1, __ATOMIC_RELAXED);
			break;
		case 9:
			if (external_hook)
				external_hook();
			else
				irq_external();
			break;
		}
		return epc;
	}
	if (probe[hart].armed) {
		if (probe[hart].cause < 0)
			probe[hart].cause = (long)cause;
		return epc + ((*(volatile uint16_t *)epc & 3) == 3 ? 4 : 2);
	}
	fail("trap", "hart %u: cause %ld at 0x%lx, 0x%lx", hart, (long)cause, epc, tval);
	sbi_call(SBI_SRST, 0, 0, 1, 0, 0, 0, 0);
	for (;;)
		;
}

/* --- harts --- */

void arch_init(void)
{
	have_dbcn = sbi_call(SBI_BASE, 3, SBI_DBCN, 0, 0, 0, 0, 0).value != 0;
}

void arch_hart_init(void)
{
	csr_write(sie, 0);
	irq_hart_init();
	csr_write(sie, SIE_EXTERNAL | SIE_SOFTWARE);
}

void arch_start_hart(unsigned int hart)
{
	sbi_call(SBI_HSM, 0, hart, (unsigned long)secondary_start, 0, 0, 0, 0);
}

void arch_kick_hart(unsigned int hart)
{
	sbi_call(SBI_IPI, 0, 1, hart, 0, 0, 0, 0);
}

/* KVM before 6.17 may wait for a sleeping hart's messages on the wrong CPU, and it sleeps for ever; a timer gets it out, and then it has them all. */
void arch_sleep(void)
{
	if (machine.aia)
		doze_ms(10);
	else
		__asm__ volatile("wfi" : : : "memory");
}

void arch_power_off(bool crashed)
{
	sbi_call(SBI_SRST, 0, 0, crashed, 0, 0, 0, 0);
}
