// SPDX-License-Identifier: MIT
/* The PLIC's registers as "RISC-V Platform-Level Interrupt Controller Specification" 1.0.0 has them, seen from a guest. */
#include "guest.h"

#define PRIORITY(n) (machine.plic + 4UL * (n))
#define M_ENABLE (machine.plic + 0x2000)
#define M_THRESHOLD (machine.plic + 0x200000)
#define S_ENABLE PLIC_ENABLE_AT(0)
#define S_THRESHOLD (PLIC_CLAIM_AT(0) - 4)

static const struct place *a, *b, *c; /* three lines of ours, sources in rising order */

static bool is_pending(uint32_t source)
{
	return read32(PLIC_PENDING_AT + source / 32 * 4) >> source % 32 & 1;
}

static void widths(void)
{
	static const uint64_t at[] = { 0x4 * 4, 0x1000, 0x2080, 0x201000, 0x201004, 0x1ff8, 0x1f2000, 0x3fffff8 };
	static const unsigned int sizes[] = { 1, 2, 8 };
	uint64_t v;

	write32(PRIORITY(4), 5);
	write32(S_THRESHOLD, 3);
	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
		for (unsigned int s = 0; s < ARRAY_SIZE(sizes); s++) {
			uint64_t address = (machine.plic + at[i]) & ~(uint64_t)(sizes[s] - 1);

			if (try_store(address, sizes[s], UINT64_MAX) != -1 || try_load(address, sizes[s], &v) != -1 || v) {
				fail("widths", "%u bytes at +0x%lx read 0x%lx", sizes[s], address - machine.plic, v);
				return;
			}
		}
	}
	if (check_equal("widths-priority", read32(PRIORITY(4)), 5) && check_equal("widths-threshold", read32(S_THRESHOLD), 3))
		pass("widths");
	write32(PRIORITY(4), 0);
	write32(S_THRESHOLD, 0);
}

static void priorities(void)
{
	bool ok = true;

	for (uint32_t n = 1; n <= machine.n_sources; n++) {
		write32(PRIORITY(n), n % 8);
		ok &= read32(PRIORITY(n)) == n % 8;
	}
	for (uint32_t n = 1; n <= machine.n_sources; n++)
		ok &= read32(PRIORITY(n)) == n % 8;
	check(ok, "priority-kept", "a priority reads differently");
	write32(PRIORITY(1), UINT32_MAX);
	check_equal("priority-warl", read32(PRIORITY(1)), 7);
	write32(PRIORITY(0), 7);
	check_equal("priority-0", read32(PRIORITY(0)), 0);
	write32(PRIORITY(machine.n_sources + 1), 7);
	check_equal("priority-beyond", read32(PRIORITY(machine.n_sources + 1)), 0);
	write32(PRIORITY(1023), 7);
	check_equal("priority-1023", read32(PRIORITY(1023)), 0);
	for (uint32_t n = 1; n <= machine.n_sources; n++)
		write32(PRIORITY(n), 0);
}

static void thresholds(void)
{
	bool ok = true;

	for (uint32_t v = 0; v < 8; v++) {
		write32(S_THRESHOLD, v);
		write32(M_THRESHOLD, 7 - v);
		ok &= read32(S_THRESHOLD) == v && read32(M_THRESHOLD) == 7 - v;
	}
	check(ok, "threshold-kept", "a threshold reads differently");
	write32(S_THRESHOLD, 0xfffffff9);
	check(read32(S_THRESHOLD) <= 7, "threshold-warl", "reads 0x%x", read32(S_THRESHOLD));
	write32(S_THRESHOLD, 0);
	write32(M_THRESHOLD, 0);
}

static void enables(void)
{
	bool ok = true;
	uint32_t last = machine.n_sources / 32;

	for (uint32_t w = 0; w < 32; w++) {
		uint32_t should = w < last ? UINT32_MAX : w == last ? (uint32_t)((2UL << machine.n_sources % 32) - 1) : 0;

		if (!w)
			should &= ~1u;
		write32(S_ENABLE + 4 * w, UINT32_MAX);
		write32(M_ENABLE + 4 * w, 0);
		if (read32(S_ENABLE + 4 * w) != should || read32(M_ENABLE + 4 * w)) {
			fail("enable", "word %u reads 0x%x, should be 0x%x; 0x%x in the other context, should be 0", w, read32(S_ENABLE + 4 * w), should,
			     read32(M_ENABLE + 4 * w));
			ok = false;
		}
	}
	for (uint32_t w = 0; w < 32; w++)
		write32(S_ENABLE + 4 * w, 0);
	if (ok)
		pass("enable");
	/* No such context. */
	write32(machine.plic + 0x2000 + 0x80UL * 2 * machine.harts, UINT32_MAX);
	check_equal("enable-beyond", read32(machine.plic + 0x2000 + 0x80UL * 2 * machine.harts), 0);
	write32(machine.plic + 0x200000 + 0x1000UL * 2 * machine.harts, 5);
	check_equal("threshold-beyond", read32(machine.plic + 0x200000 + 0x1000UL * 2 * machine.harts), 0);
	check_equal("claim-beyond", read32(machine.plic + 0x200004 + 0x1000UL * 2 * machine.harts), 0);
	check_equal("claim-last-context", read32(machine.plic + 0x200004 + 0x1000UL * 15871), 0);
}

static void pendings(void)
{
	check(!is_pending(a->irq), "pending-before", "source %u is pending", a->irq);
	uart_raise(a);
	check(is_pending(a->irq), "pending", "source %u is not pending", a->irq);
	check(!eip(), "pending-priority-0", "interrupts");
	write32(PLIC_PENDING_AT, 0);
	check(is_pending(a->irq), "pending-read-only", "was cleared by a write");
	write32(PLIC_PENDING_AT, UINT32_MAX);
	check(!is_pending(b->irq), "pending-read-only-set", "was set by a write");
	plic_enable(0, a->irq, true);
	check_equal("claim-priority-0", plic_claim(0), 0);
	plic_priority(a->irq, 1);
	check(eip(), "interrupt", "does not come");
	/* "Interrupt Gateways": a request that was made stays */
	uart_lower(a);
	check(is_pending(a->irq) && eip(), "pending-line-fell", "went away with the line");
	check_equal("claim", plic_claim(0), a->irq);
	check(!is_pending(a->irq) && !eip(), "claim-clears", "still pending");
	check_equal("claim-again", plic_claim(0), 0);
	uart_raise(a);
	check(!is_pending(a->irq), "gateway-in-service", "is pending while in service");
	plic_complete(0, 0);
	plic_complete(0, 1024);
	plic_complete(0, UINT32_MAX);
	plic_complete(0, a->irq | 1u << 31);
	plic_complete(0, b->irq);
	check(!is_pending(a->irq), "complete-of-others", "completed this one");
	plic_complete(0, a->irq);
	check(is_pending(a->irq) && eip(), "complete", "does not let a high line in");
	uart_lower(a);
	check_equal("claim-stale", plic_claim(0), a->irq);
	plic_complete(0, a->irq);
	check(!is_pending(a->irq) && !eip(), "complete-low", "is pending with the line low");
}

static void order(void)
{
	static const struct {
		const char *name;
		uint8_t priority[3], turn[3];
	} cases[] = {
		{ "tie", { 3, 3, 3 }, { 0, 1, 2 } },
		{ "by-priority", { 1, 7, 4 }, { 1, 2, 0 } },
		{ "tie-of-two", { 2, 5, 5 }, { 1, 2, 0 } },
	};
	const struct place *line[3] = { a, b, c };

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		bool ok = true;

		for (unsigned int n = 3; n-- > 0;) {
			plic_enable(0, line[n]->irq, true);
			plic_priority(line[n]->irq, cases[i].priority[n]);
			uart_raise(line[n]);
		}
		for (unsigned int n = 0; n < 3; n++) {
			uint32_t got = plic_claim(0), should = line[cases[i].turn[n]]->irq;

			if (got != should) {
				fail(cases[i].name, "claim %u is %u, should be %u", n, got, should);
				ok = false;
			}
		}
		for (unsigned int n = 0; n < 3; n++) {
			uart_lower(line[n]);
			plic_complete(0, line[n]->irq);
		}
		if (ok && !plic_claim(0))
			pass(cases[i].name);
		plic_quiet(0);
	}
	/* A threshold hides what is not above it, and only from the notification. */
	plic_priority(a->irq, 2);
	plic_priority(b->irq, 4);
	plic_threshold(0, 4);
	uart_raise(a);
	uart_raise(b);
	check(!eip(), "threshold-equal", "interrupts");
	plic_threshold(0, 3);
	check(eip(), "threshold-below", "does not interrupt");
	check_equal("threshold-claim", plic_claim(0), b->irq);
	check(!eip(), "threshold-rest", "interrupts");
	check_equal("threshold-claim-rest", plic_claim(0), a->irq);
	uart_lower(a);
	uart_lower(b);
	plic_complete(0, a->irq);
	plic_complete(0, b->irq);
	plic_threshold(0, 0);
}

/* M contexts have all registers and no wire. */
static void machine_context(void)
{
	for (unsigned int i = 0; i < 3; i++)
		plic_enable(0, (i == 0 ? a : i == 1 ? b : c)->irq, false);
	plic_priority(a->irq, 1);
	write32(M_ENABLE + a->irq / 32 * 4, 1u << a->irq % 32);
	uart_raise(a);
	delay_ms(5);
	check(!eip(), "m-context-wire", "interrupts S mode");
	check_equal("m-context-s-claim", plic_claim(0), 0);
	check_equal("m-context-claim", read32(M_THRESHOLD + 4), a->irq);
	uart_lower(a);
	write32(M_THRESHOLD + 4, a->irq);
	check(!is_pending(a->irq), "m-context-complete", "is pending");
	write32(M_ENABLE + a->irq / 32 * 4, 0);
}

static void reserved(void)
{
	static const uint64_t at[] = { 0x1080, 0x1ffc, 0x1f2000, 0x1ffffc, 0x200008, 0x200ffc, 0x201008, 0x3fffffc };
	bool ok = true;

	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
		write32(machine.plic + at[i], UINT32_MAX);
		ok &= !read32(machine.plic + at[i]);
	}
	check(ok, "reserved", "a reserved register keeps something");
}

static volatile uint32_t tally[MAX_HARTS];

static void on_tally(void)
{
	uint32_t source;

	while ((source = plic_claim(this_hart()))) {
		uart_lower(a);
		plic_complete(this_hart(), source);
		/* Last: who waits for it takes the source away from this hart, and then no complete of it counts. */
		__atomic_fetch_add(&tally[this_hart()], 1, __ATOMIC_SEQ_CST);
	}
}

static bool tallied(void *ctx)
{
	return tally[(uintptr_t)ctx];
}

/* A source enabled on one hart interrupts that one. */
static void targets(void)
{
	bool ok = true;

	external_hook = on_tally;
	plic_priority(a->irq, 1);
	for (unsigned int h = 1; h < machine.harts; h++) {
		plic_enable(h, a->irq, true);
		uart_raise(a);
		ok &= wait_ms(5000, tallied, (void *)(uintptr_t)h);
		plic_enable(h, a->irq, false);
	}
	for (unsigned int h = 0; h < machine.harts; h++)
		ok &= tally[h] == (h > 0);
	check(ok, "targets", "a hart took none, or too many");
	external_hook = NULL;
}

void guest(void)
{
	if (machine.aia) {
		fail("plic", "this machine has none");
		return;
	}
	a = &machine.uart[1];
	b = &machine.uart[2];
	c = &machine.uart[3];
	csr_clear(sie, SIE_EXTERNAL);
	check(a->irq < b->irq && b->irq < c->irq, "sources", "are not in order");
	widths();
	priorities();
	thresholds();
	enables();
	reserved();
	pendings();
	order();
	machine_context();
	harts_start();
	if (machine.harts > 1)
		targets();
}
