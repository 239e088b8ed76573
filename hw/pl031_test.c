// SPDX-License-Identifier: MIT
#include "hw/pl031.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "base/endian.h"
#include "base/sys.h"
#include "tests/test.h"

#define NS UINT64_C(1000000000)

enum { DR = 0x00, MR = 0x04, LR = 0x08, CR = 0x0c, IMSC = 0x10, RIS = 0x14, MIS = 0x18, ICR = 0x1c };

static uint64_t now;
static atomic_bool level;

static uint64_t test_now(void *ctx)
{
	return now;
}

static void set(void *ctx, unsigned int n, bool l)
{
	atomic_store(&level, l);
}

static const struct irq_ops ops = { .set = set };

static uint32_t in(struct pl031 *rtc, uint64_t offset)
{
	uint8_t data[8] = { 0 };

	pl031_bus_ops.read(rtc, offset, data, 4);
	return get_le32(data);
}

static void out(struct pl031 *rtc, uint64_t offset, uint32_t value)
{
	uint8_t data[8];

	put_le64(data, value);
	pl031_bus_ops.write(rtc, offset, data, 4);
}

static const struct pl031_config test_config = { .base = 0x1010000, .clock_phandle = 5, .irq = { .ops = &ops, .n = 3 }, .alarm.now_ns = test_now };

static void test_clock(void)
{
	struct pl031 *rtc;

	now = 1790000000 * NS + 999999999;
	CHECK_EQ(pl031_create(&test_config, NULL, &rtc, NULL), 0);
	CHECK_EQ(in(rtc, DR), 1790000000);
	now++;
	CHECK_EQ(in(rtc, DR), 1790000001);
	CHECK_EQ(in(rtc, CR), 1);
	out(rtc, CR, 0); /* it cannot be stopped */
	CHECK_EQ(in(rtc, CR), 1);
	CHECK_EQ(in(rtc, LR), 0);
	out(rtc, LR, 5);
	CHECK_EQ(in(rtc, LR), 5);
	CHECK_EQ(in(rtc, DR), 5);
	now += 7 * NS;
	CHECK_EQ(in(rtc, DR), 12);
	CHECK_EQ(in(rtc, LR), 5);
	/* Seconds wrap after 2^32. */
	out(rtc, LR, UINT32_MAX);
	now += NS;
	CHECK_EQ(in(rtc, DR), 0);
	out(rtc, DR, 77);
	CHECK_EQ(in(rtc, DR), 0);
	pl031_destroy(rtc);
	pl031_destroy(NULL);
}

static void test_match(void)
{
	struct pl031_state s;
	struct pl031 *rtc, *copy;

	now = 100 * NS;
	CHECK_EQ(pl031_create(&test_config, NULL, &rtc, NULL), 0);
	/* Equal now: at once. The raw status does not ask the mask, the line does. */
	out(rtc, MR, 100);
	CHECK_EQ(in(rtc, RIS), 1);
	CHECK_EQ(in(rtc, MIS), 0);
	CHECK(!level);
	out(rtc, IMSC, 0xffffffff);
	CHECK_EQ(in(rtc, IMSC), 1);
	CHECK_EQ(in(rtc, MIS), 1);
	CHECK(level);
	out(rtc, ICR, 0);
	CHECK(level);
	out(rtc, ICR, 1);
	CHECK(!level);
	CHECK_EQ(in(rtc, RIS), 0);
	/* Passed: it comes again only after 2^32 seconds. */
	out(rtc, MR, 99);
	CHECK_EQ(in(rtc, MR), 99);
	CHECK(!level);
	pl031_save(rtc, &s);
	CHECK_EQ(s.alarm, UINT64_C(0x100000000) + 99);
	CHECK_EQ(s.armed, 1);
	/* Setting the clock to the second before it: it is waited for; to the very second: at once. */
	out(rtc, LR, 98);
	CHECK(!level);
	out(rtc, LR, 99);
	CHECK(level);
	out(rtc, ICR, 1);
	CHECK(!level);

	/* A copy that wakes up after the moment. */
	out(rtc, MR, 200);
	CHECK(!level);
	pl031_save(rtc, &s);
	now += 500 * NS;
	CHECK_EQ(pl031_create(&test_config, NULL, &copy, NULL), 0);
	CHECK_EQ(pl031_load(copy, &s), 0);
	CHECK(level);
	CHECK_EQ(in(copy, MR), 200);
	CHECK_EQ(in(copy, DR), 599);
	pl031_reset(copy);
	CHECK(!level);
	CHECK_EQ(in(copy, IMSC), 0);
	CHECK_EQ(in(copy, MR), 0);
	CHECK_EQ(in(copy, DR), 599);
	/* States that cannot be. */
	for (unsigned int i = 0; i < 5; i++) {
		struct pl031_state bad = s;

		*(uint32_t *[]){ &bad.version, &bad.imsc, &bad.ris, &bad.armed, &bad.match }[i] += 2;
		CHECK_EQ(pl031_load(copy, &bad), -EINVAL);
	}
	/* Times at the edge of what 64 bits of nanoseconds hold. */
	s.offset = INT64_MIN;
	s.alarm = UINT64_MAX - (UINT32_MAX - s.match);
	CHECK_EQ(pl031_load(copy, &s), 0);
	CHECK(!level);
	out(copy, MR, in(copy, DR) - 1);
	CHECK(!level);
	pl031_destroy(copy);
	pl031_destroy(rtc);
}

static void test_hostile(void)
{
	static const uint8_t ids[] = { 0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };
	struct pl031 *rtc;
	uint8_t data[8];

	now = 1000 * NS;
	CHECK_EQ(pl031_create(&test_config, NULL, &rtc, NULL), 0);
	for (unsigned int i = 0; i < 8; i++)
		CHECK_EQ(in(rtc, 0xfe0 + 4 * i), ids[i]);
	for (unsigned int len = 1; len <= 8; len++) {
		if (len == 4)
			continue;
		memset(data, 0xff, sizeof(data));
		pl031_bus_ops.write(rtc, LR, data, len);
		pl031_bus_ops.write(rtc, IMSC, data, len);
		for (uint64_t offset = 0; offset < PL031_SIZE; offset += offset < 0x20 ? 1 : 0x7e0) {
			memset(data, 0, sizeof(data));
			pl031_bus_ops.read(rtc, offset, data, len);
			CHECK_EQ(get_le64(data), 0);
		}
	}
	out(rtc, 0x11, 1);
	out(rtc, 0xfe0, 1);
	CHECK_EQ(in(rtc, 2), 0);
	CHECK_EQ(in(rtc, 0xffd), 0);
	CHECK_EQ(in(rtc, 0xffe), 0);
	CHECK_EQ(in(rtc, 0x20), 0);
	CHECK_EQ(in(rtc, 0x80), 0);
	CHECK_EQ(in(rtc, IMSC), 0);
	CHECK_EQ(in(rtc, DR), 1000);
	pl031_destroy(rtc);
}

static unsigned int cells(const struct irq_line *line, uint32_t c[4])
{
	c[0] = line->n;
	return 1;
}

static void test_tree(void)
{
	struct pl031 *rtc;
	struct bus *bus;
	struct err e = { 0 };
	struct dt dt;
	void *blob;
	size_t size;

	CHECK_EQ(bus_create(&bus), 0);
	CHECK_EQ(pl031_create(&test_config, bus, &rtc, &e), 0);
	{
		struct pl031 *second = NULL;

		CHECK_EQ(pl031_create(&test_config, bus, &second, &e), -EEXIST);
		CHECK(!second && strstr(e.text, "rtc"));
	}
	CHECK_EQ(dt_start(&dt), 0);
	dt.irq.cells = cells;
	dt_begin(&dt, "%s", "");
	pl031_write_dt(rtc, &dt);
	pl031_write_clock_dt(rtc, &dt);
	dt_end(&dt);
	CHECK_EQ(dt_finish(&dt, &blob, &size), 0);
	CHECK(memmem(blob, size, "arm,pl031\0arm,primecell", 24) != NULL);
	CHECK(memmem(blob, size, "fixed-clock", 12) != NULL);
	CHECK(memmem(blob, size, "apb_pclk", 9) != NULL);
	free(blob);
	pl031_destroy(rtc);
	bus_destroy(bus);
}

static void *run_loop(void *loop)
{
	loop_run(loop);
	return NULL;
}

static void test_host_clock(void)
{
	struct pl031_config config = { .base = 0x1010000, .irq = { .ops = &ops, .n = 3 } };
	struct pl031 *rtc;
	struct loop *loop;
	struct err e = { 0 };
	unsigned long thread;
	uint64_t start;
	uint32_t at;
	bool early;

	CHECK(loop_create(&loop, &e) >= 0);
	CHECK(sys_thread_start(run_loop, loop, "loop", &thread) >= 0);
	config.alarm.loop = loop;
	CHECK_EQ(pl031_create(&config, NULL, &rtc, &e), 0);
	CHECK(in(rtc, DR) - (uint32_t)time(NULL) + 1 <= 2);
	out(rtc, IMSC, 1);
	at = in(rtc, DR) + 2;
	out(rtc, MR, at);
	early = atomic_load(&level);
	CHECK(!early || in(rtc, DR) >= at);
	start = sys_now_ns();
	while (!atomic_load(&level) && sys_now_ns() - start < 20 * NS)
		sched_yield();
	CHECK(level);
	CHECK(in(rtc, DR) >= at);
	/* Destroyed with a match under way. */
	out(rtc, ICR, 1);
	out(rtc, MR, at + 2);
	pl031_destroy(rtc);
	loop_stop(loop);
	pthread_join((pthread_t)thread, NULL);
	loop_destroy(loop);
}

int main(void)
{
	test_clock();
	test_match();
	test_hostile();
	test_tree();
	test_host_clock();
	return test_result();
}
