// SPDX-License-Identifier: MIT
#include "virtio/balloon.h"

#include <errno.h>

#include "base/endian.h"
#include "tests/mock_driver.h"
#include "tests/test.h"

#define NEEDS_RESET 64
#define F_STATS_VQ 1
#define F_DEFLATE_ON_OOM 2
#define F_PAGE_REPORTING 5
#define REGION2 (MOCK_RAM_BASE + MOCK_RAM_SIZE + MIB(64))

struct bench {
	struct mock_vm *vm;
	struct virtio_device *vd;
	struct mock_driver *d;
};

static void bench_open(struct bench *b, unsigned int flags, uint64_t features)
{
	b->vm = mock_vm_create(flags);
	CHECK(memory_add(b->vm->memory, REGION2, MIB(1), NULL, NULL) >= 0);
	CHECK_EQ(virtio_balloon_create(&b->vm->env, &b->vd, NULL), 0);
	b->d = mock_driver_create(b->vm, b->vd, IRQ_LEVEL);
	CHECK_EQ(mock_start(b->d, features), 0);
}

static void bench_close(struct bench *b)
{
	mock_driver_destroy(b->d);
	mock_vm_stop(b->vm);
	virtio_destroy(b->vd);
	mock_vm_destroy(b->vm);
}

static bool broken(struct bench *b)
{
	mock_settle(b->vm);
	return mock_status(b->d) & NEEDS_RESET;
}

static void mark(struct bench *b, uint64_t gpa)
{
	CHECK_EQ(memory_write(b->vm->memory, gpa, "used", 4), 0);
}

static bool marked(struct bench *b, uint64_t gpa)
{
	char got[4];

	CHECK_EQ(memory_read(b->vm->memory, gpa, got, 4), 0);
	return !memcmp(got, "used", 4);
}

static int64_t send_pfns(struct bench *b, unsigned int queue, const uint32_t *pfns, unsigned int n)
{
	uint8_t raw[4 * 512];

	for (unsigned int i = 0; i < n; i++)
		put_le32(raw + 4 * i, pfns[i]);
	return mock_request(b->d, queue, raw, 4 * n, NULL, 0);
}

static void test_pages(unsigned int flags, uint64_t features)
{
	uint32_t base, pfns[300], word;
	struct bench b;
	uint64_t at;
	uint8_t c[8];

	bench_open(&b, flags, features);
	CHECK_EQ(mock_device_id(b.d), 5);
	CHECK(!(mock_offered(b.d) & (1 << 0 | 1 << 3 | 1 << 4))); /* must-tell-host, hints, poison */
	at = mock_alloc(b.vm, MIB(2), MIB(1));
	base = (uint32_t)(at >> 12);
	for (unsigned int i = 0; i < 300; i++)
		mark(&b, at + i * 4096);

	/* Upwards, downwards, single ones, one twice. */
	for (unsigned int i = 0; i < 16; i++) {
		pfns[i] = base + i;
		pfns[16 + i] = base + 47 - i;
	}
	pfns[32] = base + 100;
	pfns[33] = base + 102;
	pfns[34] = base + 102;
	CHECK_EQ(send_pfns(&b, 0, pfns, 35), 0);
	for (unsigned int i = 0; i < 300; i++)
		CHECK_EQ(marked(&b, at + i * 4096), !(i < 16 || (i >= 32 && i < 48) || i == 100 || i == 102));

	/* Outside RAM, across its end, and next to both: the good ones still go, others are untouched. */
	pfns[0] = 0;
	pfns[1] = UINT32_MAX;
	pfns[2] = (uint32_t)((REGION2 + MIB(1)) >> 12) - 1;
	pfns[3] = (uint32_t)((REGION2 + MIB(1)) >> 12);
	pfns[4] = base + 200;
	mark(&b, REGION2 + MIB(1) - 4096);
	mark(&b, REGION2 + MIB(1) - 8192);
	CHECK_EQ(send_pfns(&b, 0, pfns, 5), 0);
	CHECK(!marked(&b, REGION2 + MIB(1) - 4096));
	CHECK(marked(&b, REGION2 + MIB(1) - 8192));
	CHECK(!marked(&b, at + 200 * 4096));
	CHECK(marked(&b, at + 201 * 4096));

	/* Deflated pages are there again, and keep what is written to them. */
	CHECK_EQ(send_pfns(&b, 1, pfns, 5), 0);
	mark(&b, at + 200 * 4096);
	CHECK(marked(&b, at + 200 * 4096));
	/* Bytes that make no whole number are left out. */
	pfns[0] = base + 210;
	put_le32(c, base + 210);
	CHECK_EQ(mock_request(b.d, 0, c, 3, NULL, 0), 0);
	CHECK(marked(&b, at + 210 * 4096));

	/* The configuration space: the target is ours, the size the driver's. */
	virtio_balloon_set_target(b.vd, 1234);
	mock_config_read(b.d, 0, c, 8);
	CHECK_EQ(get_le32(c), 1234);
	CHECK_EQ(mock_isr(b.d) & 2, 2);
	word = atomic_load(&b.d->raises);
	virtio_balloon_set_target(b.vd, 1234); /* nothing new */
	CHECK_EQ(atomic_load(&b.d->raises), word);
	mock_config_write(b.d, 4, "\43\0\0", 4);
	mock_config_write(b.d, 0, "\143\0\0", 4);
	virtio_balloon_get(b.vd, &word, NULL, NULL);
	CHECK_EQ(word, 1234);
	virtio_balloon_get(b.vd, NULL, &word, NULL);
	CHECK_EQ(word, 35);
	c[0] = 1;
	mock_config_write(b.d, 5, c, 1);
	virtio_balloon_get(b.vd, NULL, &word, NULL);
	CHECK_EQ(word, 35 + 256);
	mock_reset(b.d);
	virtio_balloon_get(b.vd, &pfns[0], &word, NULL);
	CHECK_EQ(word, 0);
	CHECK_EQ(pfns[0], 1234);
	CHECK_EQ(mock_start(b.d, features), 0);

	/* Too many at once. */
	{
		struct mock_buf buf = { at, 4 * 16384, false };

		memory_zero(b.vm->memory, at, 4 * 16385);
		CHECK(mock_add(b.d, 0, &buf, 1, MOCK_DIRECT) >= 0);
		mock_kick(b.d, 0);
		CHECK(mock_wait(b.d, 0, NULL) >= 0);
		CHECK(!broken(&b));
		buf.len += 4;
		CHECK(mock_add(b.d, 0, &buf, 1, MOCK_DIRECT) >= 0);
		mock_kick(b.d, 0);
		CHECK(broken(&b));
	}
	bench_close(&b);
}

static void put_stat(uint8_t *raw, uint16_t tag, uint64_t value)
{
	put_le16(raw, tag);
	put_le64(raw + 2, value);
}

/* A driver's statistics: it gives a buffer, and another each time it gets one back. */
static void test_stats(unsigned int flags, uint64_t features)
{
	struct virtio_balloon_stats s;
	uint8_t raw[100 * 10];
	struct bench b;
	struct mock_buf buf;
	int token;

	bench_open(&b, flags, features);
	buf = (struct mock_buf){ mock_alloc(b.vm, KIB(64), 16), 30, false };
	virtio_balloon_get(b.vd, NULL, NULL, &s);
	CHECK(!s.valid && !s.when);
	put_stat(raw, BALLOON_FREE_MEMORY, MIB(7));
	put_stat(raw + 10, 0x7fff, 1);
	put_stat(raw + 20, BALLOON_TOTAL_MEMORY, MIB(32));
	memory_write(b.vm->memory, buf.gpa, raw, 30);
	token = mock_add(b.d, 2, &buf, 1, MOCK_DIRECT);
	mock_kick(b.d, 2);
	mock_settle(b.vm);
	CHECK_EQ(mock_used(b.d, 2, NULL), -1); /* kept */
	virtio_balloon_get(b.vd, NULL, NULL, &s);
	CHECK_EQ(s.valid, 1U << BALLOON_FREE_MEMORY | 1U << BALLOON_TOTAL_MEMORY);
	CHECK_EQ(s.value[BALLOON_FREE_MEMORY], MIB(7));
	CHECK(s.when);
	CHECK_EQ(mock_used(b.d, 2, NULL), token); /* asked for fresh ones */
	CHECK_EQ(mock_isr(b.d) & 1, 1);
	virtio_balloon_get(b.vd, NULL, NULL, &s); /* once */
	CHECK_EQ(mock_used(b.d, 2, NULL), -1);

	/* More entries than are looked at; the last one is past the bound. */
	for (unsigned int i = 0; i < 100; i++)
		put_stat(raw + 10 * i, BALLOON_SWAP_IN, i);
	memory_write(b.vm->memory, buf.gpa, raw, sizeof(raw));
	buf.len = sizeof(raw);
	mock_add(b.d, 2, &buf, 1, MOCK_DIRECT);
	mock_kick(b.d, 2);
	mock_settle(b.vm);
	virtio_balloon_get(b.vd, NULL, NULL, &s);
	CHECK_EQ(s.value[BALLOON_SWAP_IN], 63);
	CHECK_EQ(mock_used(b.d, 2, NULL) >= 0, 1);

	/* Two buffers: the older one comes back. */
	buf.len = 10;
	token = mock_add(b.d, 2, &buf, 1, MOCK_DIRECT);
	buf.len = 1 << 15; /* nonsense is read as far as the bound */
	mock_add(b.d, 2, &buf, 1, MOCK_DIRECT);
	mock_kick(b.d, 2);
	CHECK_EQ(mock_wait(b.d, 2, NULL), token);
	mock_settle(b.vm);
	CHECK_EQ(mock_used(b.d, 2, NULL), -1);
	CHECK(!broken(&b));
	bench_close(&b);
}

static void test_save(uint64_t features)
{
	struct virtio_balloon_stats s;
	struct virtio_device *copy;
	char state[4096], bad[4096];
	struct mock_driver *d;
	struct err e = { 0 };
	struct mock_buf buf;
	struct bench b;
	int64_t len;
	uint32_t word;
	int token;

	bench_open(&b, MOCK_LOOP, features);
	buf = (struct mock_buf){ mock_alloc(b.vm, 16, 16), 10, false };
	virtio_balloon_set_target(b.vd, 55);
	mock_config_write(b.d, 4, "\54\0\0", 4);
	token = mock_add(b.d, 2, &buf, 1, MOCK_DIRECT);
	mock_kick(b.d, 2);
	mock_settle(b.vm);
	virtio_pause(b.vd);
	virtio_balloon_get(b.vd, NULL, NULL, &s); /* a paused device gives nothing back */
	CHECK_EQ(mock_used(b.d, 2, NULL), -1);
	len = virtio_save(b.vd, state, sizeof(state));
	CHECK(len > 0);

	/* Held slots that the ring never gave are refused. */
	CHECK_EQ(virtio_balloon_create(&b.vm->env, &copy, NULL), 0);
	virtio_pause(copy);
	memcpy(bad, state, (size_t)len);
	bad[len - 16 + 10] = 100; /* held_n_desc */
	CHECK_EQ(virtio_load(copy, bad, (size_t)len, &e), -EINVAL);
	CHECK_EQ(virtio_load(copy, state, (size_t)len, &e), 0);
	virtio_balloon_get(copy, &word, NULL, NULL);
	CHECK_EQ(word, 55);
	virtio_balloon_get(copy, NULL, &word, NULL);
	CHECK_EQ(word, 44);

	/* The copy goes on where the other stopped: the driver's rings are the same. */
	d = mock_driver_create(b.vm, copy, IRQ_LEVEL);
	virtio_resume(copy);
	virtio_balloon_get(copy, NULL, NULL, &s);
	CHECK_EQ(mock_used(b.d, 2, NULL), token);
	mock_driver_destroy(d);
	mock_driver_destroy(b.d);
	mock_vm_stop(b.vm);
	virtio_destroy(copy);
	virtio_destroy(b.vd);
	mock_vm_destroy(b.vm);
}

/* Drivers number only the queues that exist. */
static void test_reporting(unsigned int flags, uint64_t features, unsigned int queue)
{
	struct mock_buf bufs[3];
	struct bench b;
	uint64_t at;

	bench_open(&b, flags, features);
	at = mock_alloc(b.vm, MIB(1), MIB(1));
	for (unsigned int i = 0; i < 256; i++)
		mark(&b, at + 4096 * i);
	bufs[0] = (struct mock_buf){ at, KIB(64), true };
	bufs[1] = (struct mock_buf){ at + KIB(128), KIB(64), true };
	bufs[2] = (struct mock_buf){ at + KIB(256) + 100, 8192, true }; /* no whole pages: nothing, or those inside */
	CHECK(mock_add(b.d, queue, bufs, 3, MOCK_DIRECT) >= 0);
	mock_kick(b.d, queue);
	CHECK(mock_wait(b.d, queue, NULL) >= 0);
	for (unsigned int i = 0; i < 256; i++)
		if (i < 64 || i > 66)
			CHECK_EQ(marked(&b, at + 4096 * i), !(i < 16 || (i >= 32 && i < 48)));
	CHECK(marked(&b, at + KIB(256)));
	/* Many, more than one kick takes. */
	for (unsigned int i = 0; i < 40; i++) {
		bufs[0] = (struct mock_buf){ at + 4096 * (100 + i), 4096, true };
		CHECK(mock_add(b.d, queue, bufs, 1, MOCK_DIRECT) >= 0);
	}
	mock_kick(b.d, queue);
	for (unsigned int i = 0; i < 40; i++)
		CHECK(mock_wait(b.d, queue, NULL) >= 0);
	CHECK(!marked(&b, at + 4096 * 139));
	CHECK(marked(&b, at + 4096 * 140));
	CHECK(!broken(&b));
	bench_close(&b);
}

int main(void)
{
	const uint64_t no_packed = MOCK_ALL & ~MOCK_F_PACKED, no_stats = ~(UINT64_C(1) << F_STATS_VQ);

	for (unsigned int flags = 0; flags <= (MOCK_LOOP | MOCK_HV); flags++) {
		test_pages(flags, MOCK_ALL);
		test_pages(flags, no_packed);
		test_stats(flags, MOCK_ALL);
		test_stats(flags, no_packed);
		test_reporting(flags, MOCK_ALL, 3);
		test_reporting(flags, no_packed, 4);
		test_reporting(flags, no_packed & no_stats, 2);
	}
	test_save(MOCK_ALL);
	test_save(no_packed);
	return test_result();
}
