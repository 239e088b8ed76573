// SPDX-License-Identifier: MIT
/*
 * As many CPUs as there are (up to 512): PSCI starts each and knows when each is off again, and each has its redistributor (a GICv3 without an ITS is wanted). Without the
 * common runtime, which has stacks for a few; MMU off.
 */
#include <stdbool.h>
#include <stdint.h>

#define UART 0x01000000UL
#define DIST 0x3fff0000UL
#define REDIST_SIZE 0x20000UL
#define FIRST_REGION 255 /* as many redistributors lie below the distributor, */
#define MORE 0x20000000UL /* the others from here on */
#define MAX 512
#define CPU_OFF 0x84000002
#define CPU_ON 0xc4000003
#define AFFINITY_INFO 0xc4000004
#define SYSTEM_OFF 0x84000008
#define SYSTEM_RESET 0x84000009
#define INVALID_PARAMETERS -2
#define OFF 1
#define PATIENCE 90 /* s for all of them */

static volatile uint64_t seen[MAX]; /* MPIDR_EL1 of each, as it came up */
static unsigned int failures;

__asm__(".pushsection .text.start, \"ax\"\n"
	".globl _start\n"
	"_start:\n"
	"	ldr	x1, =stack_end\n"
	"	mov	sp, x1\n"
	"	ldr	x1, =__bss_start\n"
	"	ldr	x2, =__bss_end\n"
	"1:	str	xzr, [x1], #8\n"
	"	cmp	x1, x2\n"
	"	b.lo	1b\n"
	"	bl	main\n"
	"2:	b	2b\n"
	/* x0: where its MPIDR goes */
	".globl other\n"
	"other:\n"
	"	mrs	x1, mpidr_el1\n"
	"	str	x1, [x0]\n"
	"	dsb	sy\n"
	"	ldr	x0, =0x84000002\n"
	"	hvc	#0\n"
	"3:	b	3b\n"
	"	.ltorg\n"
	".popsection\n"
	".pushsection .bss\n"
	"	.balign	16\n"
	"	.space	16384\n"
	"stack_end:\n"
	".popsection\n");
void other(void);

static int64_t psci(uint64_t function, uint64_t a1, uint64_t a2, uint64_t a3)
{
	register uint64_t x0 __asm__("x0") = function;
	register uint64_t x1 __asm__("x1") = a1;
	register uint64_t x2 __asm__("x2") = a2;
	register uint64_t x3 __asm__("x3") = a3;

	__asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : : "memory");
	return (int64_t)x0;
}

static void put(const char *s)
{
	for (; *s; s++)
		__asm__ volatile("strb %w0, [%1]" : : "r"(*s), "r"(UART) : "memory");
}

static void put_number(uint64_t n)
{
	char digits[21], *p = digits + sizeof(digits);

	*--p = '\0';
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	put(p);
}

static void result(bool ok, const char *what, uint64_t which)
{
	put(ok ? "PASS " : "FAIL ");
	put(what);
	if (!ok) {
		put(": CPU ");
		put_number(which);
		failures++;
	}
	put("\n");
}

/* As KVM numbers them: 16 in a cluster. */
static uint64_t affinity(unsigned int i)
{
	return (i & 15) | (uint64_t)(i >> 4 & 0xff) << 8 | (uint64_t)(i >> 12) << 16;
}

static uint64_t counter(void)
{
	uint64_t t;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(t) : : "memory");
	return t;
}

static uint64_t typer(unsigned int i, unsigned int n)
{
	const unsigned int first = n < FIRST_REGION ? n : FIRST_REGION;
	const uint64_t at = (i < first ? DIST - (first - i) * REDIST_SIZE : MORE + (i - first) * REDIST_SIZE) + 8;
	uint32_t low, high;

	__asm__ volatile("ldr %w0, [%1]" : "=r"(low) : "r"(at) : "memory");
	__asm__ volatile("ldr %w0, [%1]" : "=r"(high) : "r"(at + 4) : "memory");
	return (uint64_t)high << 32 | low;
}

void main(void);
void main(void)
{
	uint64_t frequency, start = counter();
	unsigned int n = 1, i;
	int64_t r = 0;

	__asm__("mrs %0, cntfrq_el0" : "=r"(frequency));
	while (n < MAX && !(r = psci(CPU_ON, affinity(n), (uintptr_t)other, (uintptr_t)&seen[n])))
		n++;
	put("# ");
	put_number(n);
	put(" CPUs\n");
	result(n == MAX || r == INVALID_PARAMETERS, "started", n);
	for (i = 1; i < n && counter() - start < PATIENCE * frequency;)
		i += seen[i] && psci(AFFINITY_INFO, affinity(i), 0, 0) == OFF;
	result(i == n, "came-and-went", i);
	for (i = 1; i < n && (seen[i] & 0xff00ffffff) == affinity(i);)
		i++;
	result(i == n, "affinity", i);
	/* GICR_TYPER: affinity, number, whether it is the region's last. */
	for (i = 0; i < n && typer(i, n) >> 32 == affinity(i) && (typer(i, n) >> 8 & 0xffff) == i && (typer(i, n) >> 4 & 1) == (i == n - 1 || i == FIRST_REGION - 1);)
		i++;
	result(i == n, "redistributor", i);
	/* One more time: a CPU that is off can be started. */
	if (n > 1) {
		seen[n - 1] = 0;
		r = psci(CPU_ON, affinity(n - 1), (uintptr_t)other, (uintptr_t)&seen[n - 1]);
		while (!r && !seen[n - 1] && counter() - start < 2 * PATIENCE * frequency)
			;
		result(!r && seen[n - 1], "again", n - 1);
	}
	put(failures ? "DONE with failures\n" : "DONE 0 failures\n");
	psci(failures ? SYSTEM_RESET : SYSTEM_OFF, 0, 0, 0);
}
