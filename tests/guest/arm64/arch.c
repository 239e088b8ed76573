// SPDX-License-Identifier: MIT
/* arm64's half of the runtime: PSCI, exceptions, the timer, what the device tree says. */
#include "guest.h"

volatile uint64_t last_esr[MAX_HARTS], last_far[MAX_HARTS];

uint64_t trap(uint64_t kind, uint64_t elr);

int64_t psci(uint64_t function, uint64_t a1, uint64_t a2, uint64_t a3)
{
	register uint64_t x0 __asm__("x0") = function;
	register uint64_t x1 __asm__("x1") = a1;
	register uint64_t x2 __asm__("x2") = a2;
	register uint64_t x3 __asm__("x3") = a3;

	__asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
			 "x15", "x16", "x17", "memory");
	return (int64_t)x0;
}

/* The first 8250, whose address harnesses know; its transmitter never makes one wait for long. */
void arch_console(const char *text, unsigned int n)
{
	const uint64_t uart = 0x01000000;

	for (unsigned int i = 0; i < n; i++) {
		while (!(read8(uart + UART_LSR) & 0x20))
			;
		write8(uart + UART_THR, (uint8_t)text[i]);
	}
}

static bool says(const char *list, uint32_t len, const char *what)
{
	for (uint32_t i = 0; i < len; i++)
		if ((!i || !list[i - 1]) && same(list + i, what))
			return true;
	return false;
}

static unsigned int n_cpus;

void arch_property(const char *node, const char *name, const void *value, uint32_t len)
{
	const char *v = value;

	if (starts(node, "cpu@") && same(name, "reg")) {
		if (n_cpus < MAX_HARTS)
			machine.mpidr[n_cpus++] = len == 8 ? be64(v) : be32(v);
	} else if (same(name, "compatible")) {
		machine.gicv3 |= says(v, len, "arm,gic-v3");
		machine.gicv2 |= says(v, len, "arm,cortex-a15-gic") || says(v, len, "arm,gic-400");
		machine.has_its |= says(v, len, "arm,gic-v3-its");
		machine.has_v2m |= says(v, len, "arm,gic-v2m-frame");
	} else if (starts(node, "v2m@") && same(name, "reg")) {
		machine.v2m = be64(v);
	} else if (starts(node, "interrupt-controller@") && same(name, "reg")) {
		machine.gic_dist = be64(v);
		machine.gic_cpu = be64(v + 16);
		for (uint32_t i = 1; i < len / 16 && i <= ARRAY_SIZE(machine.gic_redist); i++) {
			machine.gic_redist[machine.n_redist].base = be64(v + 16 * i);
			machine.gic_redist[machine.n_redist++].size = be64(v + 16 * i + 8);
		}
	}
}

/* Three cells: 0 for a shared one, its number there, flags (4: level high). */
uint32_t arch_interrupt(const void *value)
{
	const char *v = value;
	uint32_t intid = be32(v + 4) + (be32(v) ? 16 : 32);

	if (intid < ARRAY_SIZE(machine.level))
		machine.level[intid] = be32(v + 8) & 4;
	return intid;
}

/* --- time --- */

static void set_timer(uint64_t at)
{
	sysreg_write(cntv_cval_el0, at);
	sysreg_write(cntv_ctl_el0, at != UINT64_MAX);
}

void doze_ms(uint64_t n)
{
	uint64_t was = interrupts_save();

	set_timer(now() + ms(n));
	gic_private_enable(TIMER_INTID, true);
	__asm__ volatile("dsb sy\n\twfi" : : : "memory");
	set_timer(UINT64_MAX);
	interrupts_restore(was);
}

/* --- exceptions --- */

uint64_t trap(uint64_t kind, uint64_t elr)
{
	unsigned int hart = this_hart();
	uint64_t esr = sysreg_read(esr_el1), far = sysreg_read(far_el1);

	if (kind == 5) {
		while (gic_take())
			;
		return elr;
	}
	/* External aborts may come as SErrors, too: those have no instruction to skip. */
	if (kind == 4 && probe[hart].armed) {
		last_esr[hart] = esr;
		last_far[hart] = far;
		if (probe[hart].cause < 0)
			probe[hart].cause = (long)EC_OF(esr);
		/* An instruction that is not there: back to the caller of it. */
		return EC_OF(esr) == 0x21 ? 0 : elr + 4;
	}
	fail("trap", "CPU %u: vector %lu, ESR 0x%lx at 0x%lx, 0x%lx", hart, kind, esr, elr, far);
	arch_power_off(true);
	return elr;
}

/* --- CPUs --- */

void arch_init(void)
{
	machine.timebase = sysreg_read(cntfrq_el0);
}

void arch_hart_init(void)
{
	sysreg_write(cntv_ctl_el0, 0);
	irq_hart_init();
}

void arch_start_hart(unsigned int hart)
{
	psci(PSCI_CPU_ON, machine.mpidr[hart], (uint64_t)(uintptr_t)secondary_start, hart);
}

void arch_kick_hart(unsigned int hart)
{
	gic_send_sgi(hart, KICK_SGI);
}

void arch_sleep(void)
{
	__asm__ volatile("dsb sy\n\twfi" : : : "memory");
}

/* PSCI has no word for "crashed": pvpanic has. */
void arch_power_off(bool crashed)
{
	if (crashed)
		write8(0x01021000, 1);
	psci(PSCI_SYSTEM_OFF, 0, 0, 0);
	for (;;)
		;
}
