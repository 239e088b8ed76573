// SPDX-License-Identifier: MIT
#include "bus.h"

#include <errno.h>
#include <pthread.h>

#include "base/endian.h"
#include "base/sys.h"
#include "tests/test.h"

struct dev {
	uint64_t offset, value;
	unsigned int len, reads, writes;
	atomic_int inside;
	atomic_bool gone; /* being called now is an error */
	atomic_uint calls, late;
	struct bus *bus;
	struct bus_reader *reader;
};

static void dev_read(void *p, uint64_t offset, void *data, unsigned int len)
{
	struct dev *d = p;

	d->offset = offset;
	d->len = len;
	d->reads++;
	put_le(data, len, d->value);
}

static void dev_write(void *p, uint64_t offset, const void *data, unsigned int len)
{
	struct dev *d = p;

	d->offset = offset;
	d->len = len;
	d->writes++;
	d->value = get_le(data, len);
}

static const struct bus_ops dev_ops = {.read = dev_read, .write = dev_write};

static void add_name(void *ctx, const char *name, uint64_t base, uint64_t size)
{
	strcat(ctx, name);
}

static void test_dispatch(void)
{
	CLEANUP(cleanup_bus_destroy) struct bus *bus = NULL;
	struct dev a = {.value = 0x11223344}, b = {0}, top = {0};
	struct bus_reader r;
	struct err e = {0};
	char names[16] = "";
	uint64_t v = 99;

	CHECK_EQ(bus_create(&bus), 0);
	bus_add_reader(bus, &r);
	CHECK(!bus_read(bus, &r, 0x1000, &v, 8));
	CHECK_EQ(v, 0);
	CHECK_EQ(bus_add(bus, "b", 0x2000, 0x100, &dev_ops, &b, &e), 0);
	CHECK_EQ(bus_add(bus, "a", 0x1000, 0x1000, &dev_ops, &a, &e), 0);
	CHECK_EQ(bus_add(bus, "t", UINT64_MAX - 0xff, 0x100, &dev_ops, &top, &e), 0);
	CHECK_EQ(bus_add(bus, "x", 0x1fff, 2, &dev_ops, &b, &e), (uint64_t)-EEXIST);
	CHECK(strstr(e.text, "overlaps") && strstr(e.text, "x at 0x1fff"));
	CHECK_EQ(bus_add(bus, "x", 0x0, 0x1001, &dev_ops, &b, NULL), (uint64_t)-EEXIST);
	CHECK_EQ(bus_add(bus, "x", 0x1800, 0x10, &dev_ops, &b, NULL), (uint64_t)-EEXIST);
	CHECK_EQ(bus_add(bus, "x", 0x10, 0x10000, &dev_ops, &b, NULL), (uint64_t)-EEXIST);
	CHECK_EQ(bus_add(bus, "x", 0x5000, 0, &dev_ops, &b, NULL), (uint64_t)-EINVAL);
	CHECK_EQ(bus_add(bus, "x", UINT64_MAX, 2, &dev_ops, &b, NULL), (uint64_t)-EINVAL);
	bus_for_each(bus, add_name, names);
	CHECK_STR(names, "abt");

	v = ~UINT64_C(0);
	CHECK(bus_read(bus, &r, 0x1ffc, &v, 4));
	CHECK_EQ(v & 0xffffffff, 0x11223344);
	CHECK_EQ(a.offset, 0xffc);
	CHECK_EQ(a.len, 4);
	/* Across the end: nobody's, though the next device begins right there. */
	CHECK(!bus_read(bus, &r, 0x1ffc, &v, 8));
	CHECK_EQ(v, 0);
	CHECK_EQ(a.reads, 1);
	CHECK_EQ(b.reads, 0);
	v = 7;
	CHECK(bus_write(bus, &r, 0x2000, &v, 1));
	CHECK(b.value == 7 && b.offset == 0 && b.len == 1);
	CHECK(!bus_write(bus, &r, 0x2100, &v, 1));
	CHECK(!bus_write(bus, &r, 0xfff, &v, 1));
	CHECK(bus_write(bus, &r, UINT64_MAX, &v, 1));
	CHECK(!bus_write(bus, &r, UINT64_MAX, &v, 2));
	bus_remove(bus, 0x1000);
	bus_remove(bus, 0x1001); /* no device begins there */
	CHECK(!bus_write(bus, &r, 0x1000, &v, 1));
	CHECK(bus_write(bus, &r, 0x2000, &v, 1));
	bus_remove_reader(bus, &r);
}

/* A device that calls the bus with its caller's reader, and adds a device from inside. */
static void nest_write(void *p, uint64_t offset, const void *data, unsigned int len)
{
	struct dev *d = p;
	uint8_t v = 5;

	d->writes++;
	CHECK(bus_write(d->bus, d->reader, 0x2000, &v, 1));
	if (offset == 1)
		CHECK_EQ(bus_add(d->bus, "new", 0x3000, 16, &dev_ops, d, NULL), 0);
}

static void test_nested(void)
{
	static const struct bus_ops nest_ops = {.read = dev_read, .write = nest_write};
	CLEANUP(cleanup_bus_destroy) struct bus *bus = NULL;
	struct bus_reader r;
	struct dev outer = {0}, inner = {0};
	uint8_t v = 1;

	bus_create(&bus);
	bus_add_reader(bus, &r);
	outer.bus = bus;
	outer.reader = &r;
	bus_add(bus, "outer", 0x1000, 16, &nest_ops, &outer, NULL);
	bus_add(bus, "inner", 0x2000, 16, &dev_ops, &inner, NULL);
	CHECK(bus_write(bus, &r, 0x1001, &v, 1));
	CHECK_EQ(inner.value, 5);
	CHECK(atomic_load(&r.table) == NULL);
	CHECK(bus_write(bus, &r, 0x3000, &v, 1));
	bus_remove_reader(bus, &r);
}

/* Threads hammer a device that is added and removed; freed memory stands in for "removed". */
static atomic_bool stop;

struct hammer {
	struct bus *bus;
	struct bus_reader reader;
	uint64_t hits, other;
};

static void slow_write(void *p, uint64_t offset, const void *data, unsigned int len)
{
	struct dev *d = p;

	atomic_fetch_add(&d->inside, 1);
	if (atomic_load(&d->gone))
		atomic_fetch_add(&d->late, 1);
	for (volatile int i = 0; i < 50; i++)
		;
	if (atomic_load(&d->gone))
		atomic_fetch_add(&d->late, 1);
	atomic_fetch_add(&d->calls, 1);
	atomic_fetch_sub(&d->inside, 1);
}

static const struct bus_ops slow_ops = {.read = dev_read, .write = slow_write};

static void *hammer(void *arg)
{
	struct hammer *h = arg;
	uint32_t v = 1;

	bus_add_reader(h->bus, &h->reader);
	while (!atomic_load(&stop)) {
		h->hits += bus_write(h->bus, &h->reader, 0x1000, &v, 4);
		h->other += bus_write(h->bus, &h->reader, 0x9000, &v, 4);
	}
	bus_remove_reader(h->bus, &h->reader);
	return NULL;
}

static void test_threads(void)
{
	CLEANUP(cleanup_bus_destroy) struct bus *bus = NULL;
	struct dev always = {0};
	struct hammer h[3] = {0};
	unsigned long thread[3];
	unsigned int late = 0, calls = 0;

	bus_create(&bus);
	bus_add(bus, "always", 0x9000, 16, &slow_ops, &always, NULL);
	for (unsigned int i = 0; i < 3; i++) {
		h[i].bus = bus;
		CHECK_EQ(sys_thread_start(hammer, &h[i], "hammer", &thread[i]), 0);
	}
	for (unsigned int round = 0; round < 120; round++) {
		struct dev *d = calloc(1, sizeof(*d));

		CHECK_EQ(bus_add(bus, "d", 0x1000, 16, &slow_ops, d, NULL), 0);
		for (unsigned int i = 0; i < 1000 && !atomic_load(&d->calls); i++)
			sched_yield();
		bus_remove(bus, 0x1000);
		atomic_store(&d->gone, true);
		CHECK_EQ(atomic_load(&d->inside), 0);
		calls += atomic_load(&d->calls);
		late += atomic_load(&d->late);
		free(d);
	}
	atomic_store(&stop, true);
	for (unsigned int i = 0; i < 3; i++)
		pthread_join((pthread_t)thread[i], NULL);
	CHECK_EQ(late, 0);
	CHECK(calls > 0);
	CHECK_EQ(calls, h[0].hits + h[1].hits + h[2].hits);
	CHECK_EQ(atomic_load(&always.calls), h[0].other + h[1].other + h[2].other);
}

int main(void)
{
	test_dispatch();
	test_nested();
	test_threads();
	return test_result();
}
