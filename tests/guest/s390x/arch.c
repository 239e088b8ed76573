// SPDX-License-Identifier: MIT
/* s390x's half of the runtime: lowcore, interrupts, clock, CPUs. */
#include "guest.h"

void lowcore_init(unsigned int hart);
void interrupt(struct frame *f, unsigned int class);
void secondary_start(void);
void external_interrupt(void), svc_interrupt(void), program_interrupt(void), machine_check_interrupt(void), io_interrupt(void);
extern char stacks[];

static struct lowcore lowcores[MAX_HARTS] __attribute__((aligned(8192)));
static interrupt_fn handlers[INTERRUPTS];
static const char *const class_names[INTERRUPTS] = { "external", "supervisor-call", "program", "machine-check", "I/O" };
static void (*const entries[INTERRUPTS])(void) = { external_interrupt, svc_interrupt, program_interrupt, machine_check_interrupt, io_interrupt };

enum { SIGP_SENSE = 1, SIGP_EXTERNAL_CALL = 2, SIGP_STOP = 5, SIGP_RESTART = 6, SIGP_SET_PREFIX = 13 };
enum { EXTERNAL_CLOCK_COMPARATOR = 0x1004, EXTERNAL_EMERGENCY = 0x1201, EXTERNAL_CALL = 0x1202, EXTERNAL_SERVICE = 0x2401 };

static void lowcore_fill(volatile struct lowcore *l, unsigned int hart)
{
	for (unsigned int i = 0; i < INTERRUPTS; i++)
		l->new[i] = (struct psw){ PSW_64, (uint64_t)entries[i] };
	l->restart_new = (struct psw){ PSW_64, (uint64_t)secondary_start };
	l->hart = hart;
	l->stack = (uint64_t)stacks + (hart + 1) * STACK_SIZE - STACK_FRAME;
}

void lowcore_init(unsigned int hart)
{
	lowcore_fill(LOWCORE, hart);
}

/* --- interrupts --- */

interrupt_fn interrupt_on(unsigned int class, interrupt_fn fn)
{
	return __atomic_exchange_n(&handlers[class], fn, __ATOMIC_ACQ_REL);
}

/* Nullifying ones leave the address at the instruction; the others behind it. */
static bool nullifies(unsigned int code)
{
	return (code >= 0x10 && code <= 0x11) || code == 0x20 || (code >= 0x24 && code <= 0x2d) || (code >= 0x38 && code <= 0x3b);
}

static bool expected_program(struct frame *f)
{
	struct probe *p = &probe[this_hart()];

	if (!p->armed)
		return false;
	if (p->cause < 0)
		p->cause = f->program.code & 0xff;
	if (nullifies(f->program.code & 0xff))
		f->psw.address += f->program.ilc & 6;
	f->psw.mask &= ~PSW_PROBLEM;
	return true;
}

static bool own_external(struct frame *f)
{
	switch (f->external.code) {
	case EXTERNAL_CLOCK_COMPARATOR:
		__asm__ volatile("sckc %0" : : "Q"((uint64_t){ UINT64_MAX }));
		__atomic_fetch_add(&timer_count[this_hart()], 1, __ATOMIC_RELAXED);
		return true;
	case EXTERNAL_CALL:
	case EXTERNAL_EMERGENCY:
		__atomic_fetch_add(&software_count[this_hart()], 1, __ATOMIC_RELAXED);
		return true;
	case EXTERNAL_SERVICE:
		return true;
	default:
		return false;
	}
}

void interrupt(struct frame *f, unsigned int class)
{
	interrupt_fn fn = __atomic_load_n(&handlers[class], __ATOMIC_ACQUIRE);

	f->psw.mask &= ~PSW_WAIT;
	if (class == INTERRUPT_PROGRAM && expected_program(f))
		return;
	if (class == INTERRUPT_EXTERNAL && own_external(f))
		return;
	if (fn) {
		fn(f);
		return;
	}
	fail("interrupt", "%s on CPU %u: 0x%lx 0x%lx at 0x%lx, PSW 0x%lx", class_names[class], this_hart(), f->code[0], f->code[1], f->psw.address, f->psw.mask);
	arch_power_off(true);
}

struct guard guard(void)
{
	struct probe *p = &probe[this_hart()];
	struct guard was = { p->armed, p->cause };

	p->cause = -1;
	p->armed = true;
	return was;
}

long guarded(struct guard was, long cc)
{
	struct probe *p = &probe[this_hart()];
	long cause = p->cause;

	p->cause = was.cause;
	p->armed = was.armed;
	return cause >= 0 ? -cause : cc;
}

/* --- time --- */

void load_psw(uint64_t masks)
{
	struct psw psw = { PSW_64 | masks, 0 };

	__asm__ volatile("larl %%r1, 0f\n"
			 "stg %%r1, 8(%0)\n"
			 "lpswe 0(%0)\n"
			 "0:" : : "a"(&psw) : "r1", "cc", "memory");
}

void sleep_psw(uint64_t masks)
{
	load_psw(PSW_WAIT | masks);
	/* The interrupt came back to the masks of the sleep. */
	load_psw(0);
}

/* Interrupts come while it sleeps, and are off or on again behind it as they were before. */
void doze_ms(uint64_t n)
{
	uint64_t was = interrupts_save(), cr0 = control_read(0), until = now() + ms(n);

	__asm__ volatile("sckc %0" : : "Q"(until));
	control_write(0, cr0 | CR0_CLOCK_COMPARATOR);
	sleep_psw(PSW_IO | PSW_EXTERNAL);
	control_write(0, cr0);
	__asm__ volatile("sckc %0" : : "Q"((uint64_t){ UINT64_MAX }));
	interrupts_restore(was);
}

/* --- CPUs --- */

int sigp(unsigned int order, unsigned int cpu, uint64_t parameter, uint32_t *status)
{
	register uint64_t r2 __asm__("2") = 0;
	register uint64_t r3 __asm__("3") = parameter;
	int cc;

	__asm__ volatile("sigp %%r2, %2, 0(%3)\n"
			 "ipm %1\n"
			 "srl %1, 28" : "+d"(r2), "=d"(cc) : "d"((uint64_t)cpu), "a"((uint64_t)order), "d"(r3) : "cc", "memory");
	if (status)
		*status = (uint32_t)r2;
	return cc;
}

void machine_read(const void *boot)
{
	const char *line = boot;

	for (unsigned int i = 0; i < sizeof(machine.args) - 1 && line[i]; i++)
		machine.args[i] = line[i];
	machine.timebase = 4096000000;
	machine.second = arg_word("second");
	/* CPUs answer to their addresses, or are not operational. */
	while (machine.harts < MAX_HARTS && (!machine.harts || sigp(SIGP_SENSE, machine.harts, 0, NULL) != 3))
		machine.harts++;
}

void arch_init(void)
{
	sclp_init();
}

void arch_console(const char *text, unsigned int n)
{
	sclp_write(text, n);
}

void arch_hart_init(void)
{
	__asm__ volatile("sckc %0" : : "Q"((uint64_t){ UINT64_MAX }));
	control_write(0, CR0_EXTERNAL_CALL);
	control_write(6, this_hart() ? 0 : CR6_ALL_SUBCLASSES);
	control_write(14, 0);
}

void arch_start_hart(unsigned int hart)
{
	lowcore_fill(&lowcores[hart], hart);
	sigp(SIGP_STOP, hart, 0, NULL);
	while (sigp(SIGP_SET_PREFIX, hart, (uint64_t)&lowcores[hart], NULL) == 2)
		;
	while (sigp(SIGP_RESTART, hart, 0, NULL) == 2)
		;
}

void arch_kick_hart(unsigned int hart)
{
	while (sigp(SIGP_EXTERNAL_CALL, hart, 0, NULL) == 2)
		;
}

void arch_sleep(void)
{
	sleep_psw(PSW_IO | PSW_EXTERNAL);
}

void disabled_wait(uint64_t address)
{
	struct psw wait = { PSW_64 | PSW_WAIT, address };

	__asm__ volatile("lpswe %0" : : "Q"(wait));
}

/* A machine whose last CPU stops is powered off; a disabled wait is a failure, and its address says how it came. */
void arch_power_off(bool crashed)
{
	for (unsigned int h = 0; h < machine.harts; h++)
		if (h != this_hart())
			while (sigp(SIGP_STOP, h, 0, NULL) == 2)
				;
	if (crashed)
		disabled_wait(0xbad);
	while (sigp(SIGP_STOP, this_hart(), 0, NULL) == 2)
		;
	for (;;)
		;
}
