// SPDX-License-Identifier: MIT
/*
 * What leaves the guest and is no device's: SIGNAL PROCESSOR, the forms of reset, diagnoses, STORE SYSTEM INFORMATION, what there is no instruction or storage for.
 * Arguments: end=N ends the machine in one of many ways at once; keys: storage keys alone; vm=N is what the machine is called: eight EBCDIC characters as one number.
 */
#include "judge.h"

enum {
	SENSE = 1, EMERGENCY_SIGNAL = 3, START = 4, STOP = 5, RESTART = 6, STOP_AND_STORE_STATUS = 9, INITIAL_CPU_RESET = 11, CPU_RESET = 12, SET_PREFIX = 13,
	STORE_STATUS_AT_ADDRESS = 14, SET_ARCHITECTURE = 18,
};
enum { STATUS_INCORRECT_STATE = 0x200, STATUS_INVALID_PARAMETER = 0x100, STATUS_STOPPED = 0x40, STATUS_INVALID_ORDER = 0x02 };

/* What the store-status functions leave behind, at absolute 0x1200 or at an address that is given (Principles of Operation, 4, Store Status). */
struct status {
	uint64_t fpr[16], gpr[16];
	struct psw psw;
	uint64_t reserved_110;
	uint32_t prefix, fpc, reserved_120, tod_programmable;
	uint64_t timer, comparator, reserved_138;
	uint32_t ar[16];
	uint64_t cr[16];
};
#define STATUS_AT 0x1200
#define AT(member, offset) _Static_assert(offsetof(struct status, member) == (offset) - STATUS_AT, #member)
AT(gpr, 0x1280);
AT(psw, 0x1300);
AT(prefix, 0x1318);
AT(timer, 0x1328);
AT(ar, 0x1340);
AT(cr, 0x1380);

/* The order, as soon as it is not refused for being busy; the status with condition code 1, else 0. */
static int order(unsigned int what, unsigned int cpu, uint64_t parameter, uint32_t *ret)
{
	uint32_t status = 0;
	int cc;

	while ((cc = sigp(what, cpu, parameter, &status)) == 2)
		;
	*ret = cc == 1 ? status : 0;
	return cc;
}

static void expect_order(const char *name, unsigned int what, unsigned int cpu, uint64_t parameter, int cc, uint32_t status)
{
	uint32_t is;
	int r = order(what, cpu, parameter, &is);

	check(r == cc && is == status, name, "condition code %d, status 0x%x; should be %d, 0x%x", r, is, cc, status);
}

/* --- CPU 1, which runs what is in its lowcore --- */

#define MARK 0x0123456789abcdef

static struct lowcore other __attribute__((aligned(8192)));
static struct status status __attribute__((aligned(512)));
extern char mark_and_spin[];
static volatile uint64_t turns;

/* A register that can be found again, a sign of life. */
__asm__(".pushsection .text\n"
	".balign 8\n"
	"mark_and_spin:\n"
	"	larl %r1, turns\n"
	"	llihf %r7, 0x01234567\n"
	"	oilf %r7, 0x89abcdef\n"
	"0:	agsi 0(%r1), 1\n"
	"	j 0b\n"
	".popsection\n");

static bool turns_on(void *ctx)
{
	return turns != *(uint64_t *)ctx;
}

static bool is_turning(void)
{
	uint64_t was = turns;

	return wait_ms(5000, turns_on, &was);
}

static bool is_stopped(void *ctx)
{
	uint32_t s;

	(void)ctx;
	return order(SENSE, 1, 0, &s) == 1 && s & STATUS_STOPPED;
}

/* From SIGP restart on. */
static void let_spin(void)
{
	uint32_t s;

	other.restart_new = (struct psw){ PSW_64, (uint64_t)mark_and_spin };
	order(STOP, 1, 0, &s);
	wait_ms(5000, is_stopped, NULL);
	order(SET_PREFIX, 1, (uint64_t)&other, &s);
	order(RESTART, 1, 0, &s);
}

static bool in_spin(uint64_t address)
{
	return address - (uint64_t)mark_and_spin < 64;
}

static void signals(void)
{
	const volatile struct status *fixed = (const volatile struct status *)STATUS_AT;
	uint64_t was;

	expect_order("sigp-missing", SENSE, machine.harts, 0, 3, 0);
	expect_order("sigp-set-architecture", SET_ARCHITECTURE, 0, 1, 1, STATUS_INVALID_PARAMETER);
	if (machine.harts < 2) {
		skip("sigp", "one CPU");
		return;
	}
	expect_order("sigp-sense-stopped", SENSE, 1, 0, 1, STATUS_STOPPED);
	expect_order("sigp-unknown", 0x7f, 1, 0, 1, STATUS_INVALID_ORDER);
	expect_order("sigp-set-prefix-nowhere", SET_PREFIX, 1, 0x7fffe000, 1, STATUS_INVALID_PARAMETER);
	let_spin();
	check(is_turning(), "sigp-restart", "CPU 1 does not run");
	expect_order("sigp-sense", SENSE, 1, 0, 0, 0);
	expect_order("sigp-set-prefix-running", SET_PREFIX, 1, (uint64_t)&other, 1, STATUS_INCORRECT_STATE);
	expect_order("sigp-store-status-running", STORE_STATUS_AT_ADDRESS, 1, ABSOLUTE(&status), 1, STATUS_INCORRECT_STATE);

	expect_order("sigp-stop", STOP, 1, 0, 0, 0);
	check(wait_ms(5000, is_stopped, NULL), "sigp-stop-stops", "it goes on");
	was = turns;
	delay_ms(20);
	check_equal("sigp-stop-holds", turns, was);
	expect_order("sigp-store-status", STORE_STATUS_AT_ADDRESS, 1, ABSOLUTE(&status), 0, 0);
	check_equal("status-register", status.gpr[7], MARK);
	check(in_spin(status.psw.address), "status-psw", "is 0x%lx 0x%lx", status.psw.mask, status.psw.address);
	check_equal("status-prefix", status.prefix, ABSOLUTE(&other));
	expect_order("sigp-start", START, 1, 0, 0, 0);
	if (!judge_skip("sigp-start-runs"))
		check(is_turning(), "sigp-start-runs", "CPU 1 does not run");
	check_equal("status-nowhere-else", fixed->gpr[7], 0);
	expect_order("sigp-stop-and-store", STOP_AND_STORE_STATUS, 1, 0, 0, 0);
	check(wait_ms(5000, is_stopped, NULL), "sigp-stop-and-store-stops", "it goes on");
	check_equal("fixed-status-register", fixed->gpr[7], MARK);
	check(in_spin(fixed->psw.address), "fixed-status-psw", "is 0x%lx 0x%lx", fixed->psw.mask, fixed->psw.address);
	check_equal("fixed-status-prefix", fixed->prefix, ABSOLUTE(&other));
}

/* What a CPU reset leaves and what an initial one clears (4, Resets). */
static void resets(void)
{
	if (machine.harts < 2)
		return;
	let_spin();
	if (!judge_skip("restart-again"))
		check(is_turning(), "restart-again", "CPU 1 does not run");
	expect_order("cpu-reset", CPU_RESET, 1, 0, 0, 0);
	check(wait_ms(5000, is_stopped, NULL), "cpu-reset-stops", "it goes on");
	order(STORE_STATUS_AT_ADDRESS, 1, ABSOLUTE(&status), &(uint32_t){ 0 });
	check_equal("cpu-reset-keeps-register", status.gpr[7], MARK);
	check(in_spin(status.psw.address), "cpu-reset-keeps-psw", "is 0x%lx", status.psw.address);
	check_equal("cpu-reset-keeps-prefix", status.prefix, ABSOLUTE(&other));
	expect_order("initial-reset", INITIAL_CPU_RESET, 1, 0, 0, 0);
	check(wait_ms(5000, is_stopped, NULL), "initial-reset-stops", "it goes on");
	order(STORE_STATUS_AT_ADDRESS, 1, ABSOLUTE(&status), &(uint32_t){ 0 });
	check_equal("initial-reset-keeps-register", status.gpr[7], MARK);
	check_equal("initial-reset-psw", status.psw.address, 0);
	check_equal("initial-reset-psw-mask", status.psw.mask, 0);
	check_equal("initial-reset-prefix", status.prefix, 0);
	check_equal("initial-reset-timer", status.timer, 0);
	check_equal("initial-reset-cr0", status.cr[0], 0xe0);
	check_equal("initial-reset-cr14", status.cr[14], 0xc2000000);
	check_equal("initial-reset-cr6", status.cr[6], 0);
	let_spin();
	check(is_turning(), "restart-after-reset", "CPU 1 does not run");
	order(STOP, 1, 0, &(uint32_t){ 0 });
	wait_ms(5000, is_stopped, NULL);
}

/* --- DIAGNOSE and others --- */

static long diagnose_308(uint64_t subcode, void *block)
{
	struct guard was = guard();
	register uint64_t r2 __asm__("2") = (uint64_t)block;
	register uint64_t r3 __asm__("3") = 0;

	__asm__ volatile("diag %%r2, %2, 0x308" : "+d"(r2), "+d"(r3) : "d"(subcode) : "cc", "memory");
	return guarded(was, (long)r3);
}

static void unknown_diagnose(void *ctx) { (void)ctx; __asm__ volatile("diag %%r0, %%r0, 0x777" : : : "memory"); }
static void unknown_instruction(void *ctx) { (void)ctx; __asm__ volatile(".insn rre, 0xb9ff0000, %%r0, %%r0" : : : "memory"); }
static void beyond_storage(void *ctx) { (void)ctx; (void)read8(0x7fffffff); }

static uint8_t page[4096] __attribute__((aligned(4096)));

static void diagnoses(void)
{
	/* Length, version, length of what follows; an IPL from a channel. */
	static const uint32_t mine[] = { 200, 1, 192, 0x02000000, 0xcafe };

	check_equal("diag-unknown", (uint64_t)trap_of(unknown_diagnose, NULL), PIC_SPECIFICATION);
	check_equal("diag-308-unknown", (uint64_t)diagnose_308(99, page), (uint64_t)-PIC_SPECIFICATION);
	check_equal("diag-308-unaligned", (uint64_t)diagnose_308(6, page + 8), (uint64_t)-PIC_SPECIFICATION);
	check_equal("diag-308-nowhere", (uint64_t)diagnose_308(6, (void *)0x7ffff000), (uint64_t)-PIC_ADDRESSING);
	memset(page, 0, sizeof(page));
	page[3] = 4;
	check_equal("diag-308-set-short", (uint64_t)diagnose_308(5, page), 0x402);
	memcpy(page, mine, sizeof(mine));
	check_equal("diag-308-set", (uint64_t)diagnose_308(5, page), 1);
	memset(page, 0, sizeof(page));
	check_equal("diag-308-store", (uint64_t)diagnose_308(6, page), 1);
	check(!memcmp(page, mine, sizeof(mine)), "diag-308-block", "another one came back");
	check_equal("operation", (uint64_t)trap_of(unknown_instruction, NULL), PIC_OPERATION);
	check_equal("addressing", (uint64_t)trap_of(beyond_storage, NULL), PIC_ADDRESSING);
}

static int stsi(unsigned int fc, unsigned int sel1, unsigned int sel2, void *at, uint32_t *ret)
{
	register uint32_t r0 __asm__("0") = fc << 28 | sel1;
	register uint32_t r1 __asm__("1") = sel2;
	int cc;

	__asm__ volatile("stsi 0(%3)\nipm %1\nsrl %1, 28" : "+d"(r0), "=d"(cc) : "d"(r1), "a"(at) : "cc", "memory");
	*ret = r0;
	return cc;
}

/* 3.2.2: the name of the innermost virtual machine, in EBCDIC. */
static void system_information(void)
{
	uint64_t want = arg_number("vm", 0);
	uint32_t r0;

	check_equal("stsi-level", (uint64_t)stsi(0, 0, 0, page, &r0) << 4 | r0 >> 28, 3);
	check_equal("stsi-unknown", (uint64_t)stsi(3, 9, 9, page, &r0), 3);
	memset(page, 0, sizeof(page));
	check_equal("stsi-vm", (uint64_t)stsi(3, 2, 2, page, &r0), 0);
	check(page[31] & 0xf, "stsi-vm-machines", "there is none");
	if (want)
		check_equal("stsi-vm-name", be64(page + 44), want);
}

/* --- reset of the whole machine, and the PSW at absolute 0 --- */

#define SHORT_PSW_64 0x0008000180000000
static volatile unsigned int reset_stage;
extern char after_reset_entry[];
void after_reset(void);

__asm__(".pushsection .text\n"
	".balign 8\n"
	"after_reset_entry:\n"
	"	larl %r15, stacks + 16384 - 160\n"
	"	brasl %r14, after_reset\n"
	".popsection\n");

static void system_reset(unsigned int subcode)
{
	write64(0, SHORT_PSW_64 | (uint64_t)after_reset_entry);
	diagnose_308(subcode, NULL);
}

/* On CPU 0, whatever this was. Storage is as it was: nobody asked for it to be cleared. */
void after_reset(void)
{
	static const char *const names[][4] = {
		{ "load-normal", "load-normal-subchannel", "load-normal-other", "load-normal-control" },
		{ "modified-clear", "modified-clear-subchannel", "modified-clear-other", "modified-clear-control" },
	};
	const char *const *name = names[reset_stage];
	struct schib schib;

	pass(name[0]);
	check(css_stsch(devices[0].sid, &schib) == 0 && !(schib.pmcw.flags & PMCW_ENABLED), name[1], "is enabled");
	if (machine.harts > 1)
		check(is_stopped(NULL), name[2], "CPU 1 runs");
	check_equal(name[3], control_read(6), 0);
	arch_hart_init();
	if (!reset_stage++) {
		css_enable(devices[0].sid, true, 3, 0);
		if (machine.harts > 1)
			let_spin();
		system_reset(0);
	}
	guest_end();
}

/* --- ends --- */

static void end_now(uint64_t how)
{
	volatile struct lowcore *l = LOWCORE;

	switch (how) {
	case 1: sigp(STOP, this_hart(), 0, NULL); break;
	case 2: diagnose_308(3, NULL); break; /* the same system again, clear */
	case 3: diagnose_308(4, NULL); break; /* or without clearing: dumps */
	case 4: disabled_wait(0xfff); break; /* where Linux stays when it has powered off */
	case 5: disabled_wait(0xbad); break;
	case 6: /* an odd address: each program interruption leads to the next */
		l->new[INTERRUPT_PROGRAM] = (struct psw){ PSW_64, 1 };
		unknown_instruction(NULL);
		break;
	case 7: /* the clock comparator's is open again before its handler's first instruction */
		l->new[INTERRUPT_EXTERNAL].mask |= PSW_EXTERNAL;
		__asm__ volatile("sckc %0" : : "Q"((uint64_t){ 0 }));
		control_write(0, CR0_CLOCK_COMPARATOR);
		interrupts_on();
		break;
	}
	delay_ms(2000);
	fail("end", "%lu goes on", how);
}

/* Sets a page's key and looks at it. Some hosts never come back from the first of these. */
static void storage_keys(void)
{
	uint64_t key = 0x30;

	__asm__ volatile(".insn rre, 0xb22b0000, %0, %1" : : "d"(key), "a"(page) : "memory");
	key = 0;
	__asm__ volatile(".insn rre, 0xb2290000, %0, %1" : "+d"(key) : "a"(page) : "memory");
	check_equal("keys", key & 0xf0, 0x30);
}

void guest(void)
{
	uint64_t how = arg_number("end", 0);

	if (arg_word("keys")) {
		storage_keys();
		return;
	}
	if (how) {
		end_now(how);
		return;
	}
	print("# %u CPUs", machine.harts);
	signals();
	resets();
	diagnoses();
	system_information();
	if (!css_find()) {
		skip("load-normal", "there is no device to be reset");
		return;
	}
	css_enable(devices[0].sid, true, 3, 0);
	if (machine.harts > 1)
		let_spin();
	system_reset(1);
	fail("load-normal", "goes on");
}
