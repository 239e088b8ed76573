// SPDX-License-Identifier: MIT
/*
 * Input that comes by itself: the CPU sleeps, nothing of the guest's is under way, and a console's receive queue is told by a classic and by an adapter interruption in turn. Whoever types
 * answers "READY n" by a line "line n". Arguments: lines=N of each kind, wait=MS for each.
 */
#include "vccw.h"

#define SUBCLASS 3

static struct vccw console;
static uint8_t summary;
static uint64_t bits;
static volatile uint32_t adapters;

static void on_input(struct frame *f)
{
	if (f->io.word >> 31) {
		adapters++;
		__atomic_store_n(&summary, 0, __ATOMIC_SEQ_CST);
	}
	css_on_io(f);
}

static bool lines(const char *kind, bool adapter, unsigned int first, unsigned int n)
{
	const struct vccw_adapter area = { ABSOLUTE(&summary), ABSOLUTE(&bits), 0, SUBCLASS };
	const uint64_t mine = adapter ? 1ull << 63 : 1;
	uint64_t *indicators = adapter ? &bits : &console.indicators;
	struct irb irb;

	if (!vccw_start(&console, console.sid, SUBCLASS, adapter ? &area : NULL)) {
		fail(kind, "the console does not start");
		return false;
	}
	vccw_add(&console, 0);
	vccw_add(&console, 1);
	vccw_notify(&console, 0);
	for (unsigned int i = first; i < first + n; i++) {
		const char want[] = { 'l', 'i', 'n', 'e', ' ', (char)('0' + i / 10), (char)('0' + i % 10), '\n' };
		const uint32_t was = io_count, adapters_was = adapters;
		uint64_t until;
		int slot;

		print("READY %u%u", i / 10, i % 10);
		for (until = now() + ms(arg_number("wait", 30000)); io_count == was && now() < until;)
			doze_ms(arg_number("wait", 30000));
		if (io_count == was) {
			fail(kind, "line %u: no interruption; used buffers %s, indicators 0x%lx, summary 0x%x", i, vccw_used(&console) ? "there are" : "there are none",
			     *indicators, summary);
			return false;
		}
		if (adapter != (adapters != adapters_was) || (!adapter && css_tsch(console.sid, &irb))) {
			fail(kind, "line %u: an interruption of the other kind, or without status", i);
			return false;
		}
		if (__atomic_exchange_n(indicators, 0, __ATOMIC_SEQ_CST) != mine) {
			fail(kind, "line %u: another indicator", i);
			return false;
		}
		slot = vccw_pop(&console);
		if (slot < 0 || memcmp(console.slot[slot].data, want, sizeof(want))) {
			fail(kind, "line %u: not what was typed", i);
			return false;
		}
		vccw_add(&console, (unsigned int)slot);
		vccw_notify(&console, 0);
	}
	return true;
}

void guest(void)
{
	const unsigned int n = (unsigned int)arg_number("lines", 5);
	struct device *d;

	if (!css_find() || !(d = css_virtio(3))) {
		fail("console", "there is none");
		return;
	}
	console.sid = d->sid;
	interrupt_on(INTERRUPT_IO, on_input);
	if (lines("adapter", true, 1, n))
		pass("adapter");
	if (lines("classic", false, 1 + n, n))
		pass("classic");
}
