// SPDX-License-Identifier: MIT
/*
 * What leaves the guest and is no device's: SBI calls, CSRs, accesses to nothing, sleep.
 * Arguments: end=N ends the machine in one of many ways at once; no console: nothing is typed (dbcn-read expects none).
 */
#include "guest.h"

void hsm_target(void);

#define ERR_NOT_SUPPORTED -2
#define ERR_INVALID_PARAM -3
#define ERR_ALREADY_AVAILABLE -6

static struct sbi call(unsigned long extension, unsigned long function, unsigned long a0, unsigned long a1, unsigned long a2)
{
	return sbi_call(extension, function, a0, a1, a2, 0, 0, 0);
}

static void check_error(const char *what, struct sbi r, long should)
{
	check(r.error == should, what, "error %ld, should be %ld", r.error, should);
}

static void base(void)
{
	static const struct {
		unsigned long id;
		const char *name;
	} known[] = { { SBI_TIME, "time" }, { SBI_IPI, "ipi" }, { SBI_RFENCE, "rfence" }, { SBI_HSM, "hsm" }, { SBI_SRST, "srst" } };
	struct sbi r = call(SBI_BASE, 0, 0, 0, 0);

	check(!r.error && r.value >= 2, "spec-version", "error %ld, value %ld", r.error, r.value);
	r = call(SBI_BASE, 1, 0, 0, 0);
	check(!r.error && r.value == 3, "implementation", "error %ld, value %ld", r.error, r.value);
	for (unsigned int i = 0; i < ARRAY_SIZE(known); i++) {
		r = call(SBI_BASE, 3, known[i].id, 0, 0);
		check(!r.error && r.value == 1, known[i].name, "is not there");
	}
	r = call(SBI_BASE, 3, 0x12345678, 0, 0);
	check(!r.error && !r.value, "probe-unknown", "error %ld, value %ld", r.error, r.value);
	for (unsigned long f = 4; f < 7; f++)
		check_error("machine-ids", call(SBI_BASE, f, 0, 0, 0), 0);
	check_error("base-unknown-function", call(SBI_BASE, 99, 0, 0, 0), ERR_NOT_SUPPORTED);
	check_error("unknown-extension", call(0x12345678, 0, 1, 2, 3), ERR_NOT_SUPPORTED);
	check_error("unknown-extension-all-ones", call(~0UL, ~0UL, 1, 2, 3), ERR_NOT_SUPPORTED);
	check_error("experimental-extension", call(0x08000000, 0, 1, 2, 3), ERR_NOT_SUPPORTED);
	check_error("vendor-extension", call(0x09000000, 0, 1, 2, 3), ERR_NOT_SUPPORTED);
}

static bool ticked(void *ctx)
{
	return timer_count[0] > *(uint64_t *)ctx;
}

static void timers(void)
{
	uint64_t before = timer_count[0], start;

	csr_set(sie, SIE_TIMER);
	interrupts_on();
	start = now();
	timer_at(start + ms(20));
	check(wait_ms(5000, ticked, &before), "timer", "does not tick");
	check(now() - start >= ms(20), "timer-early", "after %lu us", in_us(now() - start));
	interrupts_off();
	start = now();
	doze_ms(30);
	check(now() - start >= ms(30) || csr_read(sip), "wfi-timer", "woke after %lu us", in_us(now() - start));
	check(now() - start < ms(10000), "wfi-late", "woke after %lu us", in_us(now() - start));
	csr_clear(sie, SIE_TIMER);
}

static bool all_interrupted(void *ctx)
{
	for (unsigned int h = 0; h < machine.harts; h++)
		if (software_count[h] < *(uint64_t *)ctx)
			return false;
	return true;
}

static void ipis(void)
{
	uint64_t want;

	csr_set(sie, SIE_SOFTWARE);
	interrupts_on();
	for (unsigned int h = 0; h < machine.harts; h++)
		software_count[h] = 0;
	want = 1;
	check_error("ipi-mask", call(SBI_IPI, 0, (1UL << machine.harts) - 1, 0, 0), 0);
	check(wait_ms(5000, all_interrupted, &want), "ipi-mask-arrives", "a hart got none");
	want = 2;
	check_error("ipi-all", call(SBI_IPI, 0, 0, ~0UL, 0), 0);
	check(wait_ms(5000, all_interrupted, &want), "ipi-all-arrives", "a hart got none");
	interrupts_off();
	check_error("fence-i", call(SBI_RFENCE, 0, (1UL << machine.harts) - 1, 0, 0), 0);
	check_error("sfence", sbi_call(SBI_RFENCE, 1, 0, ~0UL, 0x80000000, 0x10000, 0, 0), 0);
	check_error("sfence-asid", sbi_call(SBI_RFENCE, 2, 0, ~0UL, 0, ~0UL, 5, 0), 0);
	check_error("rfence-unknown", call(SBI_RFENCE, 77, 0, ~0UL, 0), ERR_NOT_SUPPORTED);
}

/* --- HSM --- */

__asm__(".globl hsm_target\n"
	"hsm_target:\n"
	"	la	t0, hsm_arrived\n"
	"	slli	t1, a0, 8\n"
	"	xor	t1, t1, a1\n"
	"	sd	t1, 0(t0)\n"
	"	fence\n"
	"	li	a7, 0x48534d\n"
	"	li	a6, 1\n"
	"	ecall\n"
	"1:	j	1b\n");
extern volatile uint64_t hsm_arrived;
volatile uint64_t hsm_arrived;

static bool has_stopped(void *ctx)
{
	return hsm_arrived && call(SBI_HSM, 2, 1, 0, 0).value == 1;
}

static void hsm(void)
{
	bool ok = true;

	if (machine.harts < 2) {
		skip("hsm", "one hart");
		return;
	}
	check_equal("hsm-stopped", (uint64_t)call(SBI_HSM, 2, 1, 0, 0).value, 1);
	check_equal("hsm-started", (uint64_t)call(SBI_HSM, 2, 0, 0, 0).value, 0);
	if (call(SBI_HSM, 2, 4711, 0, 0).error)
		check_error("hsm-status-wild", call(SBI_HSM, 2, 4711, 0, 0), ERR_INVALID_PARAM);
	else
		skip("hsm-status-wild", "this host's KVM says success");
	check_error("hsm-start-wild", call(SBI_HSM, 0, 4711, (unsigned long)hsm_target, 0), ERR_INVALID_PARAM);
	check_error("hsm-start-self", call(SBI_HSM, 0, 0, (unsigned long)hsm_target, 0), ERR_ALREADY_AVAILABLE);
	for (unsigned int i = 0; i < 50 && ok; i++) {
		hsm_arrived = 0;
		ok = !call(SBI_HSM, 0, 1, (unsigned long)hsm_target, 0x5500 + i).error && wait_ms(5000, has_stopped, NULL) &&
		     hsm_arrived == (0x100 ^ (0x5500 + i));
	}
	check(ok, "hsm-start-stop", "hart 1 left 0x%lx, its status is %ld", hsm_arrived, call(SBI_HSM, 2, 1, 0, 0).value);
	timer_at(now() + ms(20));
	csr_set(sie, SIE_TIMER);
	check_error("hsm-suspend", call(SBI_HSM, 3, 0, 0, 0), 0);
	csr_clear(sie, SIE_TIMER);
	sbi_call(SBI_TIME, 0, UINT64_MAX, 0, 0, 0, 0, 0);
	check(call(SBI_HSM, 3, 0x1234, 0, 0).error < 0, "hsm-suspend-wild", "succeeds");
}

/* --- consoles --- */

static void consoles(void)
{
	static const char text[] = "# dbcn writes this\n";
	uint64_t end = machine.ram + machine.ram_size;
	static char in[8];
	struct sbi r;

	if (!call(SBI_BASE, 3, SBI_DBCN, 0, 0).value) {
		skip("dbcn", "this host's KVM has none");
	} else {
		r = call(SBI_DBCN, 0, sizeof(text) - 1, (unsigned long)text, 0);
		check(!r.error && r.value == sizeof(text) - 1, "dbcn-write", "error %ld, value %ld", r.error, r.value);
		r = call(SBI_DBCN, 0, 0, 0, 0);
		check(!r.error && !r.value, "dbcn-write-nothing", "error %ld, value %ld", r.error, r.value);
		check_error("dbcn-write-0", call(SBI_DBCN, 0, 8, 0, 0), ERR_INVALID_PARAM);
		check_error("dbcn-write-high", call(SBI_DBCN, 0, 8, (unsigned long)text, 1), ERR_INVALID_PARAM);
		check_error("dbcn-write-end", call(SBI_DBCN, 0, 9, end - 8, 0), ERR_INVALID_PARAM);
		check_error("dbcn-write-behind", call(SBI_DBCN, 0, 1, end, 0), ERR_INVALID_PARAM);
		check_error("dbcn-write-wrap", call(SBI_DBCN, 0, ~0UL, (unsigned long)text, 0), ERR_INVALID_PARAM);
		check_error("dbcn-write-device", call(SBI_DBCN, 0, 4, 0x10000000, 0), ERR_INVALID_PARAM);
		check_error("dbcn-read-wild", call(SBI_DBCN, 1, 8, 0x10000000, 0), ERR_INVALID_PARAM);
		check_error("dbcn-read-end", call(SBI_DBCN, 1, 9, end - 8, 0), ERR_INVALID_PARAM);
		r = call(SBI_DBCN, 1, sizeof(in), (unsigned long)in, 0);
		check(!r.error && !r.value, "dbcn-read-nothing", "error %ld, value %ld", r.error, r.value);
		for (const char *c = "# dbcn writes bytes"; *c; c++)
			call(SBI_DBCN, 2, (unsigned char)*c, 0, 0);
		check_error("dbcn-byte", call(SBI_DBCN, 2, '\n', 0, 0), 0);
		check_error("dbcn-unknown", call(SBI_DBCN, 3, 0, 0, 0), ERR_NOT_SUPPORTED);
	}
	if (!call(SBI_BASE, 3, 1, 0, 0).value) {
		skip("legacy-console", "this host's KVM has none");
	} else {
		for (const char *s = "# legacy\n"; *s; s++)
			call(1, 0, (unsigned char)*s, 0, 0);
		check_error("legacy-getchar", call(2, 0, 0, 0, 0), -1);
	}
}

/* --- CSRs and accesses to nothing --- */

static uint64_t seed;

static void read_seed(void *ctx)
{
	__asm__ volatile("csrrw %0, 0x015, x0" : "=r"(seed));
}

static void read_wild_csr(void *ctx)
{
	__asm__ volatile("csrr t0, 0x5c0" : : : "t0");
}

static void csrs(void)
{
	uint64_t first = 0, different = 0, good = 0;

	if (trap_of(read_seed, NULL) >= 0) {
		skip("seed", "the host's harts have no Zkr for guests");
	} else {
		for (unsigned int i = 0; i < 64; i++) {
			read_seed(NULL);
			good += seed >> 30 == 2;
			different += i && (seed & 0xffff) != (first & 0xffff);
			first = seed;
		}
		check(good >= 32 && different >= 32, "seed", "%lu of 64 are good, %lu differ", good, different);
	}
	check_equal("wild-csr", (uint64_t)trap_of(read_wild_csr, NULL), 2);
}

static void nothing(void)
{
	uint64_t end = machine.ram + machine.ram_size, v;
	const uint64_t at[] = { 0x0, 0x100, 0x7000000, 0x20000000, 0x10000008, 0x10000100, 0x1000f000, 0x7ffffff8, end, end + 0x1000, end + 0x40000000 };
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
	__asm__ volatile("lb %0, (%1)" : "=r"(v) : "r"(machine.uart[1].base + UART_SCR) : "memory");
	if (v == 0x80)
		skip("lb", "this host's KVM does not extend the sign of what a device answers");
	else
		check_equal("lb", v, (uint64_t)-128);
	check(read8(machine.uart[1].base + UART_SCR) == 0x80, "lbu", "extends the sign");
	check_equal("alias", read8(0x3f8 + UART_SCR), read8(machine.uart[0].base + UART_SCR));
}

static void clock(void)
{
	uint64_t first, second;

	first = read32(machine.rtc.base);
	first |= (uint64_t)read32(machine.rtc.base + 4) << 32;
	delay_ms(20);
	second = read32(machine.rtc.base);
	second |= (uint64_t)read32(machine.rtc.base + 4) << 32;
	check(second >= first + 10000000 && second < first + 60000000000, "clock", "went %lu ns in 20 ms", second - first);
	check(first > 1600000000UL * 1000000000UL, "clock-date", "%lu s", first / 1000000000);
}

static void amo(void *ctx)
{
	__asm__ volatile("amoswap.w t0, zero, (%0)" : : "r"(0x20000000UL) : "t0", "memory");
}

static void end_now(uint64_t how)
{
	switch (how) {
	case 1: call(SBI_SRST, 0, 0, 0, 0); break;
	case 2: call(SBI_SRST, 0, 1, 0, 0); break;
	case 3: call(SBI_SRST, 0, 2, 0, 0); break;
	case 4: call(SBI_SRST, 0, 0, 1, 0); break;
	case 5:
		if (!call(SBI_BASE, 3, 8, 0, 0).value)
			skip("legacy-shutdown", "this host's KVM has none");
		call(8, 0, 0, 0, 0);
		call(SBI_SRST, 0, 0, 0, 0);
		break;
	case 6: write32(0x10008000, 0x5555); break;
	case 7: write32(0x10008000, 0x7777); break;
	case 8: write32(0x10008000, 0x53333); break;
	case 9: write8(0x10009000, 1); break;
	case 10: ((void (*)(void))0x20000000)(); break; /* there is no code */
	case 11: amo(NULL); break; /* KVM does not emulate it on devices */
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
	base();
	timers();
	hsm();
	harts_start();
	ipis();
	consoles();
	csrs();
	nothing();
	clock();
	check(call(SBI_SRST, 0, 0x1234, 0, 0).error < 0, "srst-wild-type", "succeeds");
}
