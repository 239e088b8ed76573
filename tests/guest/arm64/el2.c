// SPDX-License-Identifier: MIT
/*
 * A hypervisor in a guest: at EL2 (with E2H or without) it gives a program at EL1 a stage 2 of its own, changes it, and looks whether TLBI IPAS2E1, with and without the hint of a
 * level (ARMv8.4-TTL), and TLBI VMALLS12E1 make the program see the change in all of the range. Arm ARM D8.1 (stage 2), D8.16 (TLB maintenance), C5.5 (TLBI). Without the common runtime,
 * which lives at EL1; one CPU, MMU off at both levels.
 */
#include <stdbool.h>
#include <stdint.h>

#define UART 0x01000000UL
#define PAGE 0x1000UL
#define BLOCK 0x200000UL
#define GIB 0x40000000UL
#define RAM 0x80000000UL

/* What the program at EL1 sees: RAM where it is, for its code, and in the GiB below what is tried. */
#define TRIED GIB
#define FIRST (RAM + 8 * BLOCK) /* two blocks of RAM with different contents */
#define SECOND (RAM + 9 * BLOCK)

#define read_sysreg(reg) ({ uint64_t v_; __asm__ volatile("mrs %0, " #reg : "=r"(v_)); v_; })
#define write_sysreg(reg, v) __asm__ volatile("msr " #reg ", %0\n\tisb" : : "r"((uint64_t)(v)) : "memory")

#define HCR_VM (1UL << 0)
#define HCR_RW (1UL << 31)
#define HCR_E2H (1UL << 34)
#define VTCR (25UL | 1 << 6 | 3 << 12 | 2 << 16 | 1UL << 31) /* 39 bits from level 1, 4 KiB, 40 bits out */
#define LEAF (1UL | 1 << 10 | 3 << 8 | 3 << 6 | 0xf << 2)    /* AF, inner shareable, read and write, normal memory */
#define IS_TABLE 2UL					     /* and what makes a page of a leaf at level 3 */
#define SCTLR 0x30d00800 /* of EL1, MMU off */
#define PARANGE 15UL /* of ID_AA64MMFR0_EL1 */
#define PARANGE_40 2
#define EC_HVC 0x16
#define EC_DATA_ABORT_LOWER 0x24

static uint64_t level1[512] __attribute__((aligned(4096)));
static uint64_t level2[512] __attribute__((aligned(4096)));
static uint64_t level3[512] __attribute__((aligned(4096)));
static unsigned int failures;

/* --- entry, the program at EL1, and the way between --- */

struct answer {
	uint64_t value, esr;
};
void run_el1(uint64_t address, struct answer *ret);

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
	"	ldr	x1, =el2_vectors\n"
	"	msr	vbar_el2, x1\n"
	"	isb\n"
	"	bl	el2_main\n"
	"2:	b	2b\n"
	"	.ltorg\n"
	".popsection\n"
	".text\n"
	/* The program: loads what x0 points to. Its addresses are those of the RAM. */
	"program:\n"
	"	ldr	x0, [x0]\n"
	"	hvc	#0\n"
	"	b	program\n"
	".globl run_el1\n"
	"run_el1:\n"
	"	stp	x29, x30, [sp, #-112]!\n"
	"	stp	x19, x20, [sp, #16]\n"
	"	stp	x21, x22, [sp, #32]\n"
	"	stp	x23, x24, [sp, #48]\n"
	"	stp	x25, x26, [sp, #64]\n"
	"	stp	x27, x28, [sp, #80]\n"
	"	str	x1, [sp, #96]\n"
	"	ldr	x2, =program\n"
	"	msr	elr_el2, x2\n"
	"	mov	x2, #0x3c5\n" /* EL1h, all masked */
	"	msr	spsr_el2, x2\n"
	"	isb\n"
	"	eret\n"
	"back:\n"
	"	ldr	x1, [sp, #96]\n"
	"	mrs	x2, esr_el2\n"
	"	stp	x0, x2, [x1]\n"
	"	ldp	x19, x20, [sp, #16]\n"
	"	ldp	x21, x22, [sp, #32]\n"
	"	ldp	x23, x24, [sp, #48]\n"
	"	ldp	x25, x26, [sp, #64]\n"
	"	ldp	x27, x28, [sp, #80]\n"
	"	ldp	x29, x30, [sp], #112\n"
	"	ret\n"
	"	.ltorg\n"
	"	.balign	2048\n"
	"el2_vectors:\n"
	"	.rept	8\n"
	"	b	el2_lost\n"
	"	.balign	128\n"
	"	.endr\n"
	"	b	back\n" /* synchronous, from EL1 */
	"	.balign	128\n"
	"	.rept	7\n"
	"	b	el2_lost\n"
	"	.balign	128\n"
	"	.endr\n"
	".pushsection .bss\n"
	"	.balign	16\n"
	"	.space	16384\n"
	"stack_end:\n"
	".popsection\n");

/* --- lines --- */

static void put(const char *s)
{
	for (; *s; s++)
		__asm__ volatile("strb %w0, [%1]" : : "r"(*s), "r"(UART) : "memory");
}

static void put_number(uint64_t n)
{
	char digits[19], *p = digits + sizeof(digits);

	*--p = '\0';
	do
		*--p = "0123456789abcdef"[n & 15];
	while (n >>= 4);
	put("0x");
	put(p);
}

static void result(bool ok, const char *what, const char *how, uint64_t is)
{
	put(ok ? "PASS " : "FAIL ");
	put(what);
	put(how);
	if (!ok) {
		put(": got ");
		put_number(is);
		failures++;
	}
	put("\n");
}

/* PSCI by SMC, which is how EL2 asks: HVC is its own. */
static void psci(uint64_t function)
{
	register uint64_t x0 __asm__("x0") = function;

	__asm__ volatile("smc #0" : "+r"(x0) : : "memory");
}

static void off(void)
{
	put(failures ? "DONE with failures\n" : "DONE 0 failures\n");
	psci(failures ? 0x84000009 : 0x84000008); /* SYSTEM_RESET, SYSTEM_OFF */
}

void el2_lost(void);
void el2_lost(void)
{
	put("FAIL exception at EL2: ESR ");
	put_number(read_sysreg(esr_el2));
	put("\n");
	failures++;
	off();
	for (;;)
		;
}

/* --- stage 2 --- */

/* The tables are written with the MMU off, past the caches that a walk may use. */
static void entry_set(uint64_t *entry, uint64_t value)
{
	*(volatile uint64_t *)entry = value;
	__asm__ volatile("dsb sy\n\tdc civac, %0\n\tdsb sy" : : "r"(entry) : "memory");
}

static void flush_address(uint64_t ipa, unsigned int level, bool hint)
{
	uint64_t x = ipa >> 12 | (hint ? (uint64_t)(1 << 2 | level) << 44 : 0); /* TTL: 4 KiB granule, level */

	__asm__ volatile("dsb ish\n\ttlbi ipas2e1, %0\n\tdsb ish\n\ttlbi vmalle1\n\tdsb ish\n\tisb" : : "r"(x) : "memory");
}

static bool loads(uint64_t address, uint64_t should, uint64_t *ret_is)
{
	struct answer a;

	run_el1(address, &a);
	*ret_is = a.esr >> 26 == EC_HVC ? a.value : a.esr;
	return a.esr >> 26 == EC_HVC && a.value == should;
}

static bool faults(uint64_t address, uint64_t *ret_is)
{
	struct answer a;

	run_el1(address, &a);
	*ret_is = a.esr >> 26 == EC_HVC ? a.value : a.esr;
	return a.esr >> 26 == EC_DATA_ABORT_LOWER && (a.esr & 0x3c) == 0x04 && read_sysreg(hpfar_el2) >> 4 << 12 == (address & ~(PAGE - 1));
}

/* Where the tried entry stands, how much it maps, and where in it EL1 looks while another address is flushed. */
static const struct size {
	const char *name;
	uint64_t *entry;
	uint64_t ipa, flushed, first, second, look[3];
	unsigned int level;
} sizes[] = {
	{ "page", &level3[5], TRIED + 5 * PAGE, TRIED + 5 * PAGE, FIRST + 3 * PAGE, SECOND + 4 * PAGE, { 0, 8, PAGE - 8 }, 3 },
	{ "block", &level2[7], TRIED + 7 * BLOCK, TRIED + 7 * BLOCK + 0x123 * PAGE, FIRST, SECOND, { 0, 0x123 * PAGE, BLOCK - 8 }, 2 },
};

/* Memory holds its own address, so that what is read says where it was read. */
static bool sees(const struct size *s, uint64_t from, uint64_t *ret_is)
{
	for (unsigned int i = 0; i < 3; i++)
		if (from ? !loads(s->ipa + s->look[i], from + s->look[i], ret_is) : !faults(s->ipa + s->look[i], ret_is))
			return false;
	return true;
}

static void try_size(const struct size *s)
{
	uint64_t leaf = LEAF | (s->level == 3 ? IS_TABLE : 0), is = 0;
	const uint64_t neighbour = TRIED + 6 * PAGE;

	for (unsigned int hint = 0; hint < 2; hint++) {
		const char *how = hint ? "-ttl" : "-without-hint";

		entry_set(s->entry, s->first | leaf);
		flush_address(s->flushed, s->level, false);
		result(sees(s, s->first, &is), s->name, hint ? "-before-ttl" : "-before", is);
		/* Break before make, D8.16.1: gone is gone in all of the range ... */
		entry_set(s->entry, 0);
		flush_address(s->flushed, s->level, hint);
		result(sees(s, 0, &is), hint ? "unmap-ttl-" : "unmap-", s->name, is);
		/* ... and what comes is seen in all of it. */
		entry_set(s->entry, s->second | leaf);
		flush_address(s->flushed, s->level, hint);
		result(sees(s, s->second, &is), s->name, how, is);
		result(loads(neighbour, FIRST + 6 * PAGE, &is), s->name, hint ? "-ttl-neighbour" : "-neighbour", is);
	}
	/* The control: what is not flushed may be remembered, and if it is, then the flushes above did something. */
	entry_set(s->entry, 0);
	if (sees(s, s->second, &is))
		result(true, s->name, "-control", 0);
	else {
		put("SKIP ");
		put(s->name);
		put("-control: this host forgets by itself\n");
	}
	flush_address(s->flushed, s->level, false);
	result(sees(s, 0, &is), "end-", s->name, is);
}

/*
 * All of this stage 2 at once. KVM unmaps, in steps of 1 GiB and deaf to signals, all that an address of this CPU could say: with the 40 bits that the VM has no time,
 * with 48 or 52 minutes, so there it is not tried. arch/arm64/kernel/linux-7.3 is the cure.
 */
static void try_all(void)
{
	const struct size *s = &sizes[1]; /* a block */
	uint64_t is = 0;

	if ((read_sysreg(id_aa64mmfr0_el1) & PARANGE) > PARANGE_40) {
		put("SKIP all: this KVM would flush more bits of address than the VM has, for minutes\n");
		return;
	}
	entry_set(s->entry, s->first | LEAF);
	flush_address(s->flushed, s->level, false);
	result(sees(s, s->first, &is), "all", "-before", is);
	entry_set(s->entry, s->second | LEAF);
	__asm__ volatile("dsb ish\n\ttlbi vmalls12e1\n\tdsb ish\n\tisb" : : : "memory");
	result(sees(s, s->second, &is), "all", "", is);
	entry_set(s->entry, 0);
	__asm__ volatile("dsb ish\n\ttlbi vmalls12e1is\n\tdsb ish\n\tisb" : : : "memory");
	result(sees(s, 0, &is), "unmap-all", "", is);
	result(loads(FIRST, FIRST, &is), "all", "-el1", is);
}

static void try_gib(void)
{
	uint64_t is = 0;

	for (unsigned int hint = 0; hint < 2; hint++) {
		entry_set(&level1[1], RAM | LEAF);
		flush_address(TRIED, 1, false);
		result(loads(TRIED + (FIRST - RAM), FIRST, &is), "gib-", hint ? "before-ttl" : "before", is);
		entry_set(&level1[1], 0);
		flush_address(TRIED + 0x5555 * PAGE, 1, hint);
		result(faults(TRIED + (FIRST - RAM), &is), "unmap-gib", hint ? "-ttl" : "", is);
	}
}

void el2_main(void);
void el2_main(void)
{
	uint64_t hcr = read_sysreg(hcr_el2), is = 0;

	result(read_sysreg(CurrentEL) == 2 << 2, "level", "", read_sysreg(CurrentEL));
	put(hcr & HCR_E2H ? "PASS e2h: on\n" : "PASS e2h: off\n");
	for (uint64_t at = FIRST; at < SECOND + BLOCK; at += 8)
		*(volatile uint64_t *)at = at;
	entry_set(&level1[RAM / GIB], RAM | LEAF);
	entry_set(&level1[1], (uint64_t)level2 | 3);
	entry_set(&level2[0], (uint64_t)level3 | 3);
	entry_set(&level3[6], (FIRST + 6 * PAGE) | LEAF | IS_TABLE);
	write_sysreg(vttbr_el2, (uint64_t)level1 | 1UL << 48);
	write_sysreg(vtcr_el2, VTCR);
	if (hcr & HCR_E2H)
		write_sysreg(s3_5_c1_c0_0, SCTLR); /* SCTLR_EL12 */
	else
		write_sysreg(sctlr_el1, SCTLR);
	write_sysreg(hcr_el2, (hcr & HCR_E2H) | HCR_RW | HCR_VM);
	result(loads(FIRST, FIRST, &is), "el1", "", is);
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		try_size(&sizes[i]);
	try_all();
	try_gib();
	off();
}
