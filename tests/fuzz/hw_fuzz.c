// SPDX-License-Identifier: MIT
/*
 * A hostile guest at the small devices: both clocks, finisher and pvpanic on one bus. Input: operations of four bytes and a value: device and direction, width, offset.
 */
#include "hw/goldfish_rtc.h"
#include "hw/pl031.h"
#include "hw/poweroff.h"
#include "hw/pvpanic.h"

#include "base/endian.h"
#include "tests/fuzz/bytes.h"

#define MAX_OPS 500
#define RTC UINT64_C(0x10010000)
#define PL031 UINT64_C(0x1010000)
#define FINISHER UINT64_C(0x100000)
#define PANIC UINT64_C(0x101000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void set(void *ctx, unsigned int n, bool level)
{
	bool *line = ctx;

	MUST(*line != level);
	*line = level;
}

static const struct irq_ops ops = { .set = set };

static uint64_t now_ns(void *ctx)
{
	return *(uint64_t *)ctx += 1000;
}

static void on_poweroff(void *ctx, enum poweroff_kind kind, unsigned int code)
{
	MUST(kind == POWEROFF_FAIL || ((kind == POWEROFF_PASS || kind == POWEROFF_RESET) && !code));
	MUST(code <= 0xffff);
}

static void on_panic(void *ctx, unsigned int events)
{
	MUST(events && events <= 7);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t bases[] = { RTC, PL031, FINISHER, PANIC };
	struct bytes in = { data, size };
	bool line = false, pl_line = false;
	uint64_t now = bytes_take(&in, 8);
	struct goldfish_rtc_config rc = { .base = RTC, .irq = { .ops = &ops, .ctx = &line }, .alarm = { .now_ns = now_ns, .now_ctx = &now } };
	struct pl031_config plc = { .base = PL031, .irq = { .ops = &ops, .ctx = &pl_line }, .alarm = rc.alarm };
	const struct poweroff_config oc = { .base = FINISHER, .fn = on_poweroff };
	const struct pvpanic_config pc = { .base = PANIC, .fn = on_panic };
	struct goldfish_rtc_state s;
	struct pl031_state pls;
	struct goldfish_rtc *rtc;
	struct pl031 *pl;
	struct poweroff *off;
	struct pvpanic *panic;
	struct bus_reader reader = { .next = NULL };
	static struct loop *loop;
	struct bus *bus;

	if (!loop)
		MUST(loop_create(&loop, NULL) >= 0);
	rc.alarm.loop = plc.alarm.loop = loop;
	MUST(bus_create(&bus) >= 0);
	bus_add_reader(bus, &reader);
	MUST(goldfish_rtc_create(&rc, bus, &rtc, NULL) >= 0);
	MUST(pl031_create(&plc, bus, &pl, NULL) >= 0);
	MUST(poweroff_create(&oc, bus, &off, NULL) >= 0);
	MUST(pvpanic_create(&pc, bus, &panic, NULL) >= 0);
	for (unsigned int op = 0; op < MAX_OPS && in.len; op++) {
		uint8_t what = (uint8_t)bytes_take(&in, 1), buf[8] = { 0 };
		unsigned int len = what & 0x80 ? 1 + (what >> 3) % 8 : 4;
		uint64_t addr = bases[what & 3] + bytes_take(&in, 1) % 40;

		if (what == 0xff) {
			goldfish_rtc_save(rtc, &s);
			((uint8_t *)&s)[bytes_take(&in, 1) % sizeof(s)] ^= (uint8_t)bytes_take(&in, 1);
			goldfish_rtc_load(rtc, &s);
			pl031_save(pl, &pls);
			((uint8_t *)&pls)[bytes_take(&in, 1) % sizeof(pls)] ^= (uint8_t)bytes_take(&in, 1);
			pl031_load(pl, &pls);
			continue;
		}
		if (what & 0x40)
			addr += bytes_take(&in, 2);
		if (what & 4) {
			bus_read(bus, &reader, addr, buf, len);
		} else {
			put_le64(buf, bytes_take(&in, len));
			bus_write(bus, &reader, addr, buf, len);
		}
	}
	goldfish_rtc_save(rtc, &s);
	MUST(line == (s.irq_enabled && s.irq_pending));
	MUST(goldfish_rtc_load(rtc, &s) >= 0);
	pl031_save(pl, &pls);
	MUST(pl_line == (pls.imsc & pls.ris));
	MUST(pl031_load(pl, &pls) >= 0);
	pvpanic_destroy(panic);
	poweroff_destroy(off);
	pl031_destroy(pl);
	goldfish_rtc_destroy(rtc);
	bus_remove_reader(bus, &reader);
	bus_destroy(bus);
	return 0;
}
