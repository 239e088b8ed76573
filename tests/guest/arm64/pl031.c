// SPDX-License-Identifier: MIT
/* The real-time clock (Arm DDI 0224): it counts seconds, and says when one has come. */
#include "guest.h"

enum { DR = 0x00, MR = 0x04, LR = 0x08, CR = 0x0c, IMSC = 0x10, RIS = 0x14, MIS = 0x18, ICR = 0x1c };

static volatile unsigned int alarms;

static uint32_t in(uint64_t reg)
{
	return read32(machine.rtc.base + reg);
}

static void out(uint64_t reg, uint32_t value)
{
	write32(machine.rtc.base + reg, value);
}

static void on_alarm(void *ctx)
{
	alarms++;
	out(ICR, 1);
}

static bool came(void *ctx)
{
	return alarms > 0;
}

static bool came_again(void *ctx)
{
	return alarms > 1;
}

static bool is_due(void *ctx)
{
	return in(RIS);
}

static bool later(void *ctx)
{
	return in(DR) != *(uint32_t *)ctx;
}

void guest(void)
{
	uint32_t start = in(DR), match, set;
	unsigned int early;
	uint64_t t;

	check(in(0xfe0) == 0x31 && in(0xfe4) == 0x10 && in(0xff0) == 0x0d && in(0xffc) == 0xb1, "identity", "%x %x", in(0xfe0), in(0xfe4));
	check_equal("it runs", in(CR), 1);
	check(start > 1700000000, "it knows the time", "%u", start);
	check(wait_ms(3000, later, &start), "a second passes", "still %u", start);
	interrupts_on();
	irq_hart_init();
	irq_setup(machine.rtc.irq, true, on_alarm, NULL);
	irq_enable(machine.rtc.irq, 0, true);
	match = in(DR) + 2;
	out(MR, match);
	out(IMSC, 1);
	early = alarms;
	check(!early || in(DR) >= match, "not yet", "%u alarms", early);
	check(wait_ms(8000, came, NULL), "an alarm comes", "raw status %u", in(RIS));
	check_equal("once", alarms, 1);
	check_equal("and is over", in(RIS), 0);
	out(IMSC, 0);
	out(MR, in(DR) + 1);
	wait_ms(8000, is_due, NULL);
	delay_ms(50);
	check(alarms == 1 && in(RIS) == 1 && in(MIS) == 0, "a masked one waits", "%u alarms, status %u", alarms, in(RIS));
	out(IMSC, 1);
	wait_ms(5000, came_again, NULL);
	delay_ms(50);
	check_equal("until it may come", alarms, 2);
	t = now();
	out(LR, 5);
	set = in(DR);
	check(set - 5 < 2 + in_us(now() - t) / 1000000, "it can be set", "%u", set);
}
