// SPDX-License-Identifier: MIT
/* The two devices that say how a guest ended: the test finisher and pvpanic. Every width and many values, of which few mean something. */
#include "hw/poweroff.h"

#include <errno.h>

#include "base/endian.h"
#include "hw/pvpanic.h"
#include "tests/test.h"

static unsigned int n, last_kind, last_code, last_events;

static void on_poweroff(void *ctx, enum poweroff_kind kind, unsigned int code)
{
	CHECK(ctx == &n);
	n++;
	last_kind = kind;
	last_code = code;
}

static void on_panic(void *ctx, unsigned int events)
{
	CHECK(ctx == &n);
	n++;
	last_events = events;
}

static void test_poweroff(struct bus *bus, struct bus_reader *reader)
{
	const struct poweroff_config config = { .base = 0x100000, .phandle = 77, .fn = on_poweroff, .ctx = &n };
	static const struct {
		uint32_t value;
		unsigned int kind, code;
	} rows[] = {
		{ 0x5555, POWEROFF_PASS, 0 },	   { 0x7777, POWEROFF_RESET, 0 },	{ 0x3333, POWEROFF_FAIL, 0 },
		{ 0x00073333, POWEROFF_FAIL, 7 }, { 0xffff3333, POWEROFF_FAIL, 0xffff }, { 0xffff5555, POWEROFF_PASS, 0 },
	};
	struct poweroff *p;
	struct err e = { 0 };
	uint8_t data[8];
	struct dt dt;
	void *blob;
	size_t size;

	CHECK_EQ(poweroff_create(&config, bus, &p, &e), 0);
	n = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		put_le32(data, rows[i].value);
		CHECK(bus_write(bus, reader, 0x100000, data, 4));
		CHECK_EQ(n, i + 1);
		CHECK_EQ(last_kind, rows[i].kind);
		CHECK_EQ(last_code, rows[i].code);
	}
	/* 16 bits are enough; no other value, width or place does anything. */
	n = 0;
	put_le64(data, 0x5555);
	for (unsigned int len = 1; len <= 8; len++)
		for (uint64_t offset = 0; offset < 16; offset++)
			bus_write(bus, reader, 0x100000 + offset, data, len);
	CHECK_EQ(n, 2);
	for (uint32_t v = 0; v < 0x10000; v++) {
		put_le32(data, v);
		poweroff_bus_ops.write(p, 0, data, 4);
	}
	CHECK_EQ(n, 5);
	put_le32(data, 0);
	CHECK(bus_read(bus, reader, 0x100000, data, 4));
	CHECK_EQ(get_le32(data), 0);

	CHECK_EQ(dt_start(&dt), 0);
	dt_begin(&dt, "%s", "");
	poweroff_write_dt(p, &dt);
	poweroff_write_syscon_dt(p, &dt);
	dt_end(&dt);
	CHECK_EQ(dt_finish(&dt, &blob, &size), 0);
	CHECK(memmem(blob, size, "test@100000", 12) != NULL);
	CHECK(memmem(blob, size, "sifive,test1\0sifive,test0\0syscon", 33) != NULL);
	CHECK(memmem(blob, size, "syscon-poweroff", 16) != NULL);
	CHECK(memmem(blob, size, "syscon-reboot", 14) != NULL);
	free(blob);
	poweroff_destroy(p);
	poweroff_destroy(NULL);
	CHECK(!bus_read(bus, reader, 0x100000, data, 4));
}

static void test_pvpanic(struct bus *bus, struct bus_reader *reader)
{
	const struct pvpanic_config config = { .base = 0x101000, .fn = on_panic, .ctx = &n };
	struct pvpanic *p, *q;
	struct err e = { 0 };
	uint8_t data[8] = { 0 };
	struct dt dt;
	void *blob;
	size_t size;

	CHECK_EQ(pvpanic_create(&config, bus, &p, &e), 0);
	CHECK_EQ(pvpanic_create(&config, bus, &q, &e), -EEXIST);
	CHECK(bus_read(bus, reader, 0x101000, data, 1));
	CHECK_EQ(data[0], 7);
	n = 0;
	for (unsigned int v = 0; v < 256; v++) {
		unsigned int before = n;

		data[0] = (uint8_t)v;
		CHECK(bus_write(bus, reader, 0x101000, data, 1));
		CHECK_EQ(n - before, (v & 7) != 0);
		if (v & 7)
			CHECK_EQ(last_events, v & 7);
	}
	n = 0;
	data[0] = 1;
	for (unsigned int len = 1; len <= 8; len++)
		for (uint64_t offset = 0; offset < 3; offset++)
			bus_write(bus, reader, 0x101000 + offset, data, len);
	CHECK_EQ(n, 1);
	CHECK_EQ(dt_start(&dt), 0);
	dt_begin(&dt, "%s", "");
	pvpanic_write_dt(p, &dt);
	dt_end(&dt);
	CHECK_EQ(dt_finish(&dt, &blob, &size), 0);
	CHECK(memmem(blob, size, "qemu,pvpanic-mmio", 18) != NULL);
	free(blob);
	pvpanic_destroy(p);
	pvpanic_destroy(NULL);
}

int main(void)
{
	struct bus_reader reader = { .next = NULL };
	struct bus *bus;

	CHECK(bus_create(&bus) >= 0);
	bus_add_reader(bus, &reader);
	test_poweroff(bus, &reader);
	test_pvpanic(bus, &reader);
	bus_remove_reader(bus, &reader);
	bus_destroy(bus);
	return test_result();
}
