// SPDX-License-Identifier: MIT
/* The clock as Linux's rtc-goldfish drives it, with a clock of the test's own and then with the host's. */
#include "hw/goldfish_rtc.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "base/endian.h"
#include "base/sys.h"
#include "tests/test.h"

enum { TIME_LOW = 0, TIME_HIGH = 4, ALARM_LOW = 8, ALARM_HIGH = 12, IRQ_ENABLED = 16, CLEAR_ALARM = 20, ALARM_STATUS = 24, CLEAR_INTERRUPT = 28 };

static atomic_bool level;

static void set(void *ctx, unsigned int n, bool on)
{
	atomic_store(&level, on);
}

static const struct irq_ops ops = { .set = set };

static uint64_t now;

static uint64_t test_now(void *ctx)
{
	return now;
}

static uint32_t in(struct goldfish_rtc *rtc, uint64_t offset)
{
	uint8_t data[8] = { 0 };

	goldfish_rtc_bus_ops.read(rtc, offset, data, 4);
	return get_le32(data);
}

static void out(struct goldfish_rtc *rtc, uint64_t offset, uint32_t value)
{
	uint8_t data[8];

	put_le32(data, value);
	goldfish_rtc_bus_ops.write(rtc, offset, data, 4);
}

static uint64_t get_time(struct goldfish_rtc *rtc)
{
	uint32_t low = in(rtc, TIME_LOW);

	return (uint64_t)in(rtc, TIME_HIGH) << 32 | low;
}

static void set_time(struct goldfish_rtc *rtc, uint64_t ns)
{
	out(rtc, TIME_HIGH, (uint32_t)(ns >> 32));
	out(rtc, TIME_LOW, (uint32_t)ns);
}

static void set_alarm(struct goldfish_rtc *rtc, uint64_t ns)
{
	out(rtc, ALARM_HIGH, (uint32_t)(ns >> 32));
	out(rtc, ALARM_LOW, (uint32_t)ns);
	out(rtc, IRQ_ENABLED, 1);
}

static void test_registers(void)
{
	struct goldfish_rtc_config config = { .base = 0x10010000, .irq = { .ops = &ops, .n = 3 }, .alarm.now_ns = test_now };
	struct goldfish_rtc_state s;
	struct goldfish_rtc *rtc, *copy;
	uint8_t data[8];

	CHECK_EQ(goldfish_rtc_create(&config, NULL, &rtc, NULL), 0);
	/* Reading the low half latches the high one. */
	now = UINT64_C(0x1234567fffffffff);
	CHECK_EQ(in(rtc, TIME_LOW), 0xffffffff);
	now++;
	CHECK_EQ(in(rtc, TIME_HIGH), 0x1234567f);
	CHECK_EQ(get_time(rtc), now);
	set_time(rtc, UINT64_C(0xfedcba9876543210));
	now += 7;
	CHECK_EQ(get_time(rtc), UINT64_C(0xfedcba9876543217));
	set_time(rtc, 1000);
	CHECK_EQ(get_time(rtc), 1000);

	/* An alarm in the past goes off at once; enabling and clearing move the line. */
	set_alarm(rtc, 500);
	CHECK(level);
	CHECK_EQ(in(rtc, ALARM_STATUS), 0);
	out(rtc, IRQ_ENABLED, 0);
	CHECK(!level);
	out(rtc, IRQ_ENABLED, 1);
	CHECK(level);
	out(rtc, CLEAR_INTERRUPT, 1);
	CHECK(!level);
	/* One in the future waits, may be read, and may be cleared. */
	set_alarm(rtc, UINT64_C(0x500000001));
	CHECK(!level);
	CHECK_EQ(in(rtc, ALARM_STATUS), 1);
	CHECK_EQ(in(rtc, ALARM_LOW), 1);
	CHECK_EQ(in(rtc, ALARM_HIGH), 5);
	goldfish_rtc_save(rtc, &s);
	out(rtc, CLEAR_ALARM, 1);
	set_time(rtc, UINT64_C(0x600000000));
	CHECK(!level);
	/* Setting the clock past it makes it go off, in a restored copy as well. */
	CHECK_EQ(goldfish_rtc_create(&config, NULL, &copy, NULL), 0);
	CHECK_EQ(goldfish_rtc_load(copy, &s), 0);
	CHECK_EQ(in(copy, ALARM_STATUS), 1);
	CHECK(!level);
	set_time(copy, UINT64_C(0x600000000));
	CHECK(level);
	out(copy, CLEAR_INTERRUPT, 1);
	set_alarm(copy, 1);
	CHECK(level);
	goldfish_rtc_reset(copy);
	CHECK(!level);
	CHECK_EQ(in(copy, IRQ_ENABLED), 0);
	s.armed = 2;
	CHECK_EQ(goldfish_rtc_load(copy, &s), -EINVAL);

	/* Other widths and places. */
	for (unsigned int len = 1; len <= 8; len++) {
		if (len == 4)
			continue;
		memset(data, 0xff, sizeof(data));
		goldfish_rtc_bus_ops.write(copy, IRQ_ENABLED, data, len);
		goldfish_rtc_bus_ops.write(copy, TIME_LOW, data, len);
		memset(data, 0, sizeof(data));
		goldfish_rtc_bus_ops.read(copy, TIME_LOW, data, len);
		CHECK_EQ(get_le64(data), 0);
	}
	CHECK_EQ(get_time(copy), UINT64_C(0x600000000));
	CHECK_EQ(in(copy, 0x20), 0);
	CHECK_EQ(in(copy, 0xffc), 0);
	CHECK_EQ(in(copy, 2), 0);
	goldfish_rtc_destroy(copy);
	goldfish_rtc_destroy(rtc);
	goldfish_rtc_destroy(NULL);
}

static void *run_loop(void *loop)
{
	loop_run(loop);
	return NULL;
}

static void test_host_clock(void)
{
	struct goldfish_rtc_config config = { .base = 0x10010000, .irq = { .ops = &ops, .n = 3 } };
	struct goldfish_rtc *rtc;
	struct loop *loop;
	struct err e = { 0 };
	unsigned long thread;
	struct dt dt;
	void *blob;
	size_t size;
	uint64_t start, at;
	bool early;

	CHECK(loop_create(&loop, &e) >= 0);
	CHECK(sys_thread_start(run_loop, loop, "loop", &thread) >= 0);
	config.alarm.loop = loop;
	CHECK_EQ(goldfish_rtc_create(&config, NULL, &rtc, &e), 0);
	CHECK(get_time(rtc) / 1000000000 - (uint64_t)time(NULL) + 1 <= 2);
	for (unsigned int i = 0; i < 2; i++) {
		at = get_time(rtc) + 30000000;
		set_alarm(rtc, at);
		early = atomic_load(&level);
		CHECK(!early || get_time(rtc) >= at);
		start = sys_now_ns();
		while (!atomic_load(&level) && sys_now_ns() - start < UINT64_C(10000000000))
			sched_yield();
		CHECK(level);
		CHECK(get_time(rtc) >= at);
		out(rtc, CLEAR_INTERRUPT, 1);
		CHECK(!level);
	}
	CHECK_EQ(dt_start(&dt), 0);
	dt_begin(&dt, "%s", "");
	config.irq.ops = NULL;
	goldfish_rtc_destroy(rtc);
	CHECK_EQ(goldfish_rtc_create(&config, NULL, &rtc, &e), 0);
	goldfish_rtc_write_dt(rtc, &dt);
	dt_end(&dt);
	CHECK_EQ(dt_finish(&dt, &blob, &size), 0);
	CHECK(memmem(blob, size, "google,goldfish-rtc", 20) != NULL);
	free(blob);
	/* Destroyed with an alarm under way. */
	set_alarm(rtc, get_time(rtc) + 1000000);
	goldfish_rtc_destroy(rtc);
	loop_stop(loop);
	pthread_join((pthread_t)thread, NULL);
	loop_destroy(loop);
}

int main(void)
{
	test_registers();
	test_host_clock();
	return test_result();
}
