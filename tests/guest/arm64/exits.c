// SPDX-License-Identifier: MIT
/*
 * What leaves the guest and is no device's: PSCI, accesses that the CPU does not describe, accesses to nothing, sleep.
 * Arguments: end=N ends the machine in one of many ways at once.
 */
#include "guest.h"

#define NOT_SUPPORTED -1
#define INVALID_PARAMETERS -2
#define ALREADY_ON -4

static void check_error(const char *what, int64_t is, int64_t should)
{
	check(is == should, what, "returns %ld, should be %ld", (long)is, (long)should);
}

static void versions(void)
{
	static const struct {
		const char *name;
		uint32_t id;
	} known[] = {
		{ "feature-cpu-suspend", 0xc4000001 }, { "feature-cpu-off", PSCI_CPU_OFF }, { "feature-cpu-on", 0xc4000003 }, { "feature-affinity-info", 0xc4000004 },
		{ "feature-system-off", PSCI_SYSTEM_OFF }, { "feature-system-reset", PSCI_SYSTEM_RESET }, { "feature-features", PSCI_FEATURES },
	};
	int64_t r = psci(PSCI_VERSION, 0, 0, 0);

	check(r >= 0x10000 && r < 0x20000, "psci-version", "0x%lx", (unsigned long)r);
	for (unsigned int i = 0; i < ARRAY_SIZE(known); i++)
		check(psci(PSCI_FEATURES, known[i].id, 0, 0) >= 0, known[i].name, "is not there");
	check_error("feature-unknown", psci(PSCI_FEATURES, 0x84001234, 0, 0), NOT_SUPPORTED);
	check_error("psci-unknown", psci(0x8400001f, 0, 0, 0), NOT_SUPPORTED);
	check_error("smccc-unknown", psci(0xc7001234, 1, 2, 3), NOT_SUPPORTED);
	check_error("smccc-vendor", psci(0xc2000123, 1, 2, 3), NOT_SUPPORTED);
	r = psci(SMCCC_VERSION, 0, 0, 0);
	check(r >= 0x10001, "smccc-version", "0x%lx", (unsigned long)r);
	check_error("migrate-info", psci(PSCI_MIGRATE_INFO_TYPE, 0, 0, 0), 2);
}

static volatile uint64_t arrived, round_of;
void psci_target(void);

/* MMU off; says what it was given and goes off. */
__asm__(".pushsection .text\n"
	".globl psci_target\n"
	"psci_target:\n"
	"	adrp	x1, arrived\n"
	"	add	x1, x1, :lo12:arrived\n"
	"	str	x0, [x1]\n"
	"	dsb	sy\n"
	"	dc	civac, x1\n"
	"	dsb	sy\n"
	"	movz	x0, #0x8400, lsl #16\n"
	"	movk	x0, #0x0002\n"
	"	hvc	#0\n"
	"1:	b	1b\n"
	".popsection\n");

static bool is_off(void *ctx)
{
	__asm__ volatile("dc civac, %0\n\tdsb sy" : : "r"(&arrived) : "memory");
	return arrived == round_of && psci(PSCI_AFFINITY_INFO, machine.mpidr[1], 0, 0) == 1;
}

static void cpus(void)
{
	uint64_t entry = (uint64_t)(uintptr_t)psci_target;
	bool ok = true;
	int64_t r = 0;

	check_error("affinity-self", psci(PSCI_AFFINITY_INFO, machine.mpidr[0], 0, 0), 0);
	check_error("affinity-wild", psci(PSCI_AFFINITY_INFO, 0xff00ff, 0, 0), INVALID_PARAMETERS);
	check_error("affinity-level-wild", psci(PSCI_AFFINITY_INFO, machine.mpidr[0], 9, 0), INVALID_PARAMETERS);
	check_error("cpu-on-self", psci(PSCI_CPU_ON, machine.mpidr[0], entry, 0), ALREADY_ON);
	check_error("cpu-on-wild", psci(PSCI_CPU_ON, 0xff00ff, entry, 0), INVALID_PARAMETERS);
	if (machine.harts < 2) {
		skip("cpu-on", "one CPU");
		return;
	}
	check_error("affinity-off", psci(PSCI_AFFINITY_INFO, machine.mpidr[1], 0, 0), 1);
	for (unsigned int i = 0; i < 50 && ok; i++) {
		round_of = 0x5500 + i;
		r = psci(PSCI_CPU_ON, machine.mpidr[1], entry, round_of);
		ok = !r && wait_ms(5000, is_off, NULL);
	}
	check(ok, "cpu-on-off", "returns %ld, left 0x%lx", (long)r, (unsigned long)arrived);
}

static bool all_interrupted(void *ctx)
{
	for (unsigned int h = 1; h < machine.harts; h++)
		if (!software_count[h])
			return false;
	return true;
}

static void sleep_and_wake(void)
{
	uint64_t start = now();

	doze_ms(30);
	check(now() - start < ms(10000), "wfi-timer", "woke after %lu us", in_us(now() - start));
	start = now();
	sysreg_write(cntv_cval_el0, now() + ms(20));
	sysreg_write(cntv_ctl_el0, 1);
	gic_private_enable(TIMER_INTID, true);
	check_error("cpu-suspend", psci(PSCI_CPU_SUSPEND, 0, 0, 0), 0);
	sysreg_write(cntv_ctl_el0, 0);
	check(now() - start < ms(10000), "cpu-suspend-wakes", "after %lu us", in_us(now() - start));
	for (unsigned int h = 1; h < machine.harts; h++) {
		software_count[h] = 0;
		arch_kick_hart(h);
	}
	check(wait_ms(5000, all_interrupted, NULL), "sgi-all", "a CPU got none");
}

/* --- accesses that have no syndrome (ESR_EL2.ISV 0): the guest gets an external abort, the machine goes on --- */

static void load_pair(void *ctx) { __asm__ volatile("ldp x2, x3, [%0]" : : "r"(*(uint64_t *)ctx) : "x2", "x3", "memory"); }
static void store_pair(void *ctx) { __asm__ volatile("stp xzr, xzr, [%0]" : : "r"(*(uint64_t *)ctx) : "memory"); }
static void load_post(void *ctx) { uint64_t a = *(uint64_t *)ctx; __asm__ volatile("ldr w2, [%0], #4" : "+r"(a) : : "x2", "memory"); }
static void store_post(void *ctx) { uint64_t a = *(uint64_t *)ctx; __asm__ volatile("str wzr, [%0], #4" : "+r"(a) : : "memory"); }
static void load_vector(void *ctx) { __asm__ volatile("ldr q0, [%0]" : : "r"(*(uint64_t *)ctx) : "memory"); }
static void atomic(void *ctx) { uint64_t v; __asm__ volatile("ldxr %0, [%1]" : "=&r"(v) : "r"(*(uint64_t *)ctx) : "memory"); }

static void undescribed(void)
{
	static const struct {
		const char *name;
		void (*fn)(void *ctx);
	} kinds[] = {
		{ "ldp", load_pair }, { "stp", store_pair }, { "ldr-post", load_post }, { "str-post", store_post }, { "ldr-q", load_vector }, { "ldxr", atomic },
	};
	uint64_t at[] = { machine.uart[1].base, machine.virtio[0].base, 0x05000000 };

	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		bool ok = true;

		for (unsigned int k = 0; k < ARRAY_SIZE(at); k++) {
			uint64_t address = at[k] ? at[k] : 0x06000000;
			long ec = trap_of(kinds[i].fn, &address), fsc = (long)(last_esr[0] & 0x3f);

			if (ec != EC_DATA_ABORT || (fsc != FSC_EXTERNAL && !(kinds[i].fn == atomic && fsc == 0x35))) {
				fail(kinds[i].name, "at 0x%lx: exception class %ld, status 0x%lx", address, ec, (unsigned long)fsc);
				ok = false;
			}
		}
		if (ok)
			pass(kinds[i].name);
	}
}

static void nothing(void)
{
	uint64_t end = machine.ram + machine.ram_size, v;
	const uint64_t at[] = { 0x0, 0x100, 0x00f00000, 0x01000008, 0x01004000, 0x0101f000, 0x05000000, 0x20000000, 0x7ffffff8, end, end + 0x1000, end + 0x40000000 };
	bool ok = true;

	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
		for (unsigned int size = 1; size <= 8; size *= 2) {
			long s = try_store(at[i], size, 0x1122334455667788), l = try_load(at[i], size, &v);

			if (s != -1 || l != -1 || v) {
				fail("nothing", "%u bytes at 0x%lx: causes %ld and %ld, value 0x%lx", size, at[i], s, l, v);
				ok = false;
			}
		}
	}
	if (ok)
		pass("nothing");
	*(volatile uint64_t *)(end - 8) = 0x0123456789abcdef;
	check_equal("end-of-ram", *(volatile uint64_t *)(end - 8), 0x0123456789abcdef);
	write8(machine.uart[1].base + UART_SCR, 0x80);
	__asm__ volatile("ldrsb %0, [%1]" : "=r"(v) : "r"(machine.uart[1].base + UART_SCR) : "memory");
	if (v == 0x80) {
		/* QEMU 10 says in ESR_EL2 that such a load is none with a sign, and KVM believes it. */
		skip("ldrsb", "this host does not extend the sign of what a device answers");
	} else {
		check_equal("ldrsb", v, (uint64_t)-128);
		__asm__ volatile("ldrsb %w0, [%1]" : "=r"(v) : "r"(machine.uart[1].base + UART_SCR) : "memory");
		check_equal("ldrsb-w", v, 0xffffff80);
	}
	check(read8(machine.uart[1].base + UART_SCR) == 0x80, "ldrb", "extends the sign");
}

/* PL031: seconds. */
static void clock(void)
{
	uint32_t first = read32(machine.rtc.base), second;

	delay_ms(1200);
	second = read32(machine.rtc.base);
	check(second > first && second - first < 60, "clock", "went %u s in 1.2 s", second - first);
	check(first > 1600000000, "clock-date", "%u s", first);
	check_equal("clock-id", read32(machine.rtc.base + 0xfe0) & 0xff, 0x31);
}

static void wild_sysreg(void *ctx)
{
	__asm__ volatile("mrs x2, s3_3_c15_c7_7" : : : "x2");
}

static void end_now(uint64_t how)
{
	uint64_t address = 0x05000000;

	switch (how) {
	case 1: psci(PSCI_SYSTEM_OFF, 0, 0, 0); break;
	case 2: psci(PSCI_SYSTEM_RESET, 0, 0, 0); break;
	case 3: psci(PSCI_SYSTEM_RESET2, 0, 0, 0); break;
	case 4: psci(PSCI_SYSTEM_RESET2, 0x80000001, 0x1234, 0); break; /* vendor's own kind */
	case 5: write8(0x01021000, 1); break;
	case 6: ((void (*)(void))0x20000000)(); break; /* there is no code: an exception of the guest's own */
	case 7: load_pair(&address); break;
	case 8: psci(PSCI_CPU_OFF, 0, 0, 0); break; /* nobody is left: out of time */
	}
	delay_ms(2000);
	fail("end", "%lu goes on", how);
}

void guest(void)
{
	uint64_t how = arg_number("end", 0);

	if (how) {
		end_now(how);
		return;
	}
	print("# %u CPUs, %s", machine.harts, irq_chip());
	versions();
	cpus();
	harts_start();
	sleep_and_wake();
	undescribed();
	nothing();
	clock();
	check_equal("wild-sysreg", (uint64_t)trap_of(wild_sysreg, NULL), 0);
	check(psci(PSCI_SYSTEM_RESET2, 7, 0, 0) < 0, "reset2-wild-type", "succeeds");
}
