// SPDX-License-Identifier: MIT
#include "virtio/blk.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/endian.h"
#include "base/sys.h"
#include "tests/mock_driver.h"
#include "tests/test.h"

#define SECTORS 4096
#define SIZE (SECTORS * 512)
#define HELD_MAX 256
#define NEEDS_RESET 64

/* virtio 1.3, 5.2.3 and 5.2.6; the UAPI header has a struct virtio_blk_config of its own. */
enum { F_SIZE_MAX = 1, F_GEOMETRY = 4, F_RO = 5, F_FLUSH = 9, F_CONFIG_WCE = 11, F_MQ = 12, F_DISCARD = 13, F_WRITE_ZEROES = 14 };
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13, T_SECURE_ERASE = 14 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };

/* --- a disk in memory that fails, and keeps requests back, when told --- */

struct fake {
	struct disk disk;
	char data[SIZE];
	int64_t fail;	  /* every request's result, when not 0 */
	bool hold;	  /* keep requests until fake_release */
	unsigned int n[8]; /* requests, by op */
	struct disk_request *held[HELD_MAX];
	unsigned int n_held;
	bool closed;
};

/* On the loop's thread, where CHECK must not count. */
#define REQUIRE(cond)                                                                              \
	do {                                                                                       \
		if (!(cond))                                                                       \
			abort();                                                                   \
	} while (0)

static int64_t fake_perform(struct fake *f, struct disk_request *r)
{
	uint64_t at = r->offset, left = r->len;

	if (f->fail)
		return f->fail;
	if (r->op == DISK_FLUSH)
		return 0;
	REQUIRE(r->offset <= SIZE && r->len <= SIZE - r->offset);
	if (r->op == DISK_DISCARD || r->op == DISK_WRITE_ZEROES) {
		memset(f->data + at, r->op == DISK_DISCARD ? 0xdd : 0, left);
		return 0;
	}
	for (unsigned int i = 0; i < r->n_iov; i++) {
		size_t n = r->iov[i].iov_len;

		REQUIRE(n && n <= left);
		if (r->op == DISK_READ)
			memcpy(r->iov[i].iov_base, f->data + at, n);
		else
			memcpy(f->data + at, r->iov[i].iov_base, n);
		at += n;
		left -= n;
	}
	REQUIRE(!left);
	return (int64_t)r->len;
}

static void fake_submit(struct disk *disk, struct disk_request *r)
{
	struct fake *f = container_of(disk, struct fake, disk);

	f->n[r->op]++;
	if (f->hold && f->n_held < HELD_MAX)
		f->held[f->n_held++] = r;
	else
		r->done(r, fake_perform(f, r));
}

static void fake_close(struct disk *disk)
{
	container_of(disk, struct fake, disk)->closed = true;
}

/* Completes what was kept, the last one first. On the loop thread. */
static void fake_release(void *ctx)
{
	struct fake *f = ctx;

	f->hold = false;
	while (f->n_held) {
		struct disk_request *r = f->held[--f->n_held];

		r->done(r, fake_perform(f, r));
	}
}

static const struct disk_ops fake_ops = { .submit = fake_submit, .close = fake_close };

static struct fake *fake_create(bool readonly)
{
	struct fake *f = calloc(1, sizeof(*f));

	f->disk.ops = &fake_ops;
	f->disk.info = (struct disk_info){
		.size = SIZE,
		.block_size = 512,
		.readonly = readonly,
		.can_discard = !readonly,
		.can_write_zeroes = !readonly,
	};
	for (unsigned int i = 0; i < SIZE; i++)
		f->data[i] = (char)(i / 512 + i);
	return f;
}

/* --- a device and its driver --- */

struct bench {
	struct mock_vm *vm;
	struct fake *f;
	struct virtio_device *vd;
	struct mock_driver *d;
};

static void bench_open(struct bench *b, unsigned int flags, bool readonly, unsigned int queues, uint64_t features)
{
	struct virtio_blk_config config = { .serial = "serial-0123456789abcdef", .queues = queues };

	b->vm = mock_vm_create(flags);
	b->f = fake_create(readonly);
	config.disk = &b->f->disk;
	CHECK_EQ(virtio_blk_create(&config, &b->vm->env, &b->vd, NULL), 0);
	b->d = mock_driver_create(b->vm, b->vd, IRQ_LEVEL);
	CHECK_EQ(mock_start(b->d, features), 0);
}

static void bench_close(struct bench *b)
{
	mock_driver_destroy(b->d);
	mock_vm_stop(b->vm);
	virtio_destroy(b->vd);
	CHECK(b->f->closed);
	free(b->f);
	mock_vm_destroy(b->vm);
}

static void put_header(uint8_t *h, uint32_t type, uint64_t sector)
{
	memset(h, 0, 16);
	put_le32(h, type);
	put_le64(h + 8, sector);
}

/* One request, header and data in one buffer, answer and status in another: the status, or -1 when nothing came. */
static int io(struct bench *b, uint32_t type, uint64_t sector, void *data, uint32_t len)
{
	bool in = type == T_IN || type == T_GET_ID;
	uint8_t *out = malloc(16 + len), *answer = malloc(len + 1);
	uint32_t in_len = in ? len + 1 : 1;
	int64_t written;
	int status;

	put_header(out, type, sector);
	if (!in && len)
		memcpy(out + 16, data, len);
	memset(answer, 0xaa, len + 1);
	written = mock_request(b->d, 0, out, in ? 16 : 16 + len, answer, in_len);
	status = written < 0 ? -1 : answer[in_len - 1];
	CHECK(written < 0 || written == in_len || (status && written == 0));
	if (in && written >= 0)
		memcpy(data, answer, len);
	free(out);
	free(answer);
	return status;
}

static int range(struct bench *b, uint32_t type, uint64_t sector, uint32_t n, uint32_t flags)
{
	uint8_t raw[16];

	put_le64(raw, sector);
	put_le32(raw + 8, n);
	put_le32(raw + 12, flags);
	return io(b, type, 0, raw, 16);
}

static bool broken(struct bench *b)
{
	mock_settle(b->vm);
	return mock_status(b->d) & NEEDS_RESET;
}

static void test_config(void)
{
	struct bench b;
	uint8_t c[60];
	uint64_t f;

	bench_open(&b, MOCK_LOOP | MOCK_HV, false, 3, MOCK_ALL);
	mock_config_read(b.d, 0, c, sizeof(c));
	CHECK_EQ(get_le64(c), SECTORS);
	CHECK_EQ(get_le32(c + 12), 126);
	CHECK_EQ(get_le32(c + 20), 512);
	CHECK_EQ(c[24], 3);
	CHECK_EQ(get_le16(c + 26), 8);
	CHECK_EQ(c[32], 1);
	CHECK_EQ(get_le16(c + 34), 3);
	CHECK(get_le32(c + 36) && get_le32(c + 40) == 16 && get_le32(c + 44) == 8);
	CHECK(get_le32(c + 48) && get_le32(c + 52) == 16 && c[56] == 1);
	f = b.d->features;
	CHECK(f >> F_MQ & 1 && f >> F_FLUSH & 1 && f >> F_DISCARD & 1);
	CHECK(!(f >> F_RO & 1) && !(f >> F_SIZE_MAX & 1) && !(f >> F_GEOMETRY & 1));
	CHECK_EQ(b.d->n_queues, 3);
	bench_close(&b);

	bench_open(&b, 0, true, 1, MOCK_ALL);
	f = b.d->features;
	CHECK(f >> F_RO & 1);
	CHECK(!(f >> F_DISCARD & 1) && !(f >> F_WRITE_ZEROES & 1) && !(f >> F_MQ & 1));
	CHECK_EQ(io(&b, T_OUT, 0, c, 0), S_IOERR);
	CHECK_EQ(range(&b, T_DISCARD, 0, 8, 0), S_UNSUPP);
	CHECK_EQ(b.f->n[DISK_WRITE] + b.f->n[DISK_DISCARD], 0);
	CHECK_EQ(io(&b, T_FLUSH, 0, NULL, 0), S_OK);
	bench_close(&b);
}

static void test_create_errors(void)
{
	struct mock_vm *vm = mock_vm_create(0);
	struct fake *f = fake_create(false);
	struct virtio_blk_config config = { .disk = &f->disk, .queues = 17 };
	struct virtio_device *vd = NULL;
	struct err e = { 0 };

	CHECK_EQ(virtio_blk_create(&config, &vm->env, &vd, &e), -EINVAL);
	CHECK(strstr(e.text, "17"));
	config.queues = 1;
	for (unsigned int size = 1; size <= 1024; size = size * 2 + (size == 64)) {
		bool good = size == 4 || size == 8 || size == 16 || size == 32 || size == 64;

		config.queue_size = size;
		if (!good)
			CHECK_EQ(virtio_blk_create(&config, &vm->env, &vd, NULL), -EINVAL);
	}
	CHECK(!vd && !f->closed);
	free(f);
	mock_vm_destroy(vm);
}

static void test_io(unsigned int flags, uint64_t features)
{
	char buf[8192], id[20];
	struct bench b;

	bench_open(&b, flags, false, 1, features);
	CHECK_EQ(io(&b, T_IN, 7, buf, 4096), S_OK);
	CHECK(!memcmp(buf, b.f->data + 7 * 512, 4096));
	memset(buf, 0x3c, sizeof(buf));
	CHECK_EQ(io(&b, T_OUT, SECTORS - 16, buf, 8192), S_OK);
	CHECK(!memcmp(buf, b.f->data + SIZE - 8192, 8192));
	CHECK_EQ(b.f->data[SIZE - 8193], (char)((SIZE - 8193) / 512 + SIZE - 8193));
	CHECK_EQ(io(&b, T_FLUSH, 0, NULL, 0), S_OK);
	CHECK_EQ(b.f->n[DISK_FLUSH], 1);
	CHECK_EQ(io(&b, T_GET_ID, 0, id, 20), S_OK);
	CHECK(!memcmp(id, "serial-0123456789abcdef", 20));
	CHECK_EQ(io(&b, T_GET_ID, 0, id, 3), S_OK);
	CHECK_EQ(io(&b, T_IN, 0, buf, 0), S_OK);

	/* What the disk does not have. */
	CHECK_EQ(io(&b, T_IN, SECTORS, buf, 512), S_IOERR);
	CHECK_EQ(io(&b, T_IN, SECTORS - 1, buf, 1024), S_IOERR);
	CHECK_EQ(io(&b, T_OUT, UINT64_MAX, buf, 512), S_IOERR);
	CHECK_EQ(io(&b, T_OUT, UINT64_MAX / 512 + 1, buf, 512), S_IOERR);
	CHECK_EQ(io(&b, T_IN, 0, buf, 513), S_IOERR);
	CHECK_EQ(io(&b, T_OUT, 0, buf, 100), S_IOERR);
	CHECK_EQ(io(&b, T_SECURE_ERASE, 0, buf, 16), S_UNSUPP);
	CHECK_EQ(io(&b, 0x12345678, 0, buf, 512), S_UNSUPP);

	/* Ranges. */
	CHECK_EQ(range(&b, T_WRITE_ZEROES, 16, 8, 1), S_OK);
	CHECK(!b.f->data[16 * 512] && !b.f->data[24 * 512 - 1] && b.f->data[24 * 512]);
	CHECK_EQ(range(&b, T_DISCARD, 32, 8, 0), S_OK);
	CHECK_EQ((uint8_t)b.f->data[32 * 512], 0xdd);
	CHECK_EQ(range(&b, T_DISCARD, 32, 8, 1), S_UNSUPP);
	CHECK_EQ(range(&b, T_WRITE_ZEROES, 32, 8, 2), S_UNSUPP);
	CHECK_EQ(range(&b, T_DISCARD, SECTORS, 1, 0), S_IOERR);
	CHECK_EQ(range(&b, T_DISCARD, UINT64_MAX, 2, 0), S_IOERR);
	CHECK_EQ(range(&b, T_WRITE_ZEROES, 0, UINT32_MAX, 0), S_IOERR);
	CHECK_EQ(io(&b, T_DISCARD, 0, buf, 15), S_IOERR);
	CHECK_EQ(io(&b, T_DISCARD, 0, buf, 0), S_IOERR);
	memset(buf, 0, sizeof(buf));
	for (unsigned int i = 0; i < 17; i++) {
		put_le64(buf + 16 * i, 100 + 2 * i);
		put_le32(buf + 16 * i + 8, 1);
	}
	CHECK_EQ(io(&b, T_WRITE_ZEROES, 0, buf, 16 * 17), S_IOERR);
	CHECK_EQ(b.f->n[DISK_WRITE_ZEROES], 1);
	CHECK_EQ(io(&b, T_WRITE_ZEROES, 0, buf, 16 * 16), S_OK);
	CHECK_EQ(b.f->n[DISK_WRITE_ZEROES], 17);
	CHECK(!b.f->data[130 * 512] && b.f->data[131 * 512] && b.f->data[132 * 512]);

	/* A failing disk: each request still ends, and with an error. */
	b.f->fail = -EIO;
	CHECK_EQ(io(&b, T_IN, 0, buf, 512), S_IOERR);
	CHECK_EQ(io(&b, T_OUT, 0, buf, 512), S_IOERR);
	CHECK_EQ(io(&b, T_FLUSH, 0, NULL, 0), S_IOERR);
	CHECK_EQ(range(&b, T_DISCARD, 0, 8, 0), S_IOERR);
	memset(buf, 0, sizeof(buf));
	CHECK_EQ(io(&b, T_WRITE_ZEROES, 0, buf, 32), S_IOERR);
	b.f->fail = 100; /* a short transfer is none */
	CHECK_EQ(io(&b, T_IN, 0, buf, 512), S_IOERR);
	CHECK_EQ(io(&b, T_OUT, 0, buf, 512), S_IOERR);
	b.f->fail = 0;
	CHECK_EQ(io(&b, T_IN, 0, buf, 512), S_OK);
	CHECK(!broken(&b));
	bench_close(&b);
}

/* Header, data and status wherever a driver may put them. 2.7.4.3: the layout means nothing. */
static void test_layouts(uint64_t features, enum mock_layout layout)
{
	struct bench b;
	uint8_t h[16], status;
	uint32_t written;
	char got[1024];
	uint64_t at;

	bench_open(&b, MOCK_LOOP, false, 1, features);
	at = mock_alloc(b.vm, 16384, 4096);
	for (unsigned int cut = 1; cut < 16; cut += 3) {
		struct mock_buf in[] = {
			{ at, cut, false },	   { at + cut, 16 - cut, false },
			{ at + 100, 1, true },	   { at + 101, 511, true },
			{ at + 612, 513, true },
		};
		struct mock_buf out[] = {
			{ at, cut, false },
			{ at + cut, 16 - cut + 500, false },
			{ at + 516, 12, false },
			{ at + 1000, 512, false },
			{ at + 2000, 1, true },
		};

		put_header(h, T_IN, 9);
		memory_write(b.vm->memory, at, h, 16);
		memory_write(b.vm->memory, at + 612 + 512, "\xaa", 1);
		CHECK(mock_add(b.d, 0, in, 5, layout) >= 0);
		mock_kick(b.d, 0);
		CHECK(mock_wait(b.d, 0, &written) >= 0);
		CHECK_EQ(written, 1025);
		memory_read(b.vm->memory, at + 100, got, 1024);
		CHECK(!memcmp(got, b.f->data + 9 * 512, 1024));
		memory_read(b.vm->memory, at + 612 + 512, &status, 1);
		CHECK_EQ(status, S_OK);

		put_header(h, T_OUT, 20);
		memory_write(b.vm->memory, at, h, 16);
		memset(got, (int)cut, sizeof(got));
		memory_write(b.vm->memory, at + 16, got, 512);
		memset(got, (int)cut + 1, sizeof(got));
		memory_write(b.vm->memory, at + 1000, got, 512);
		CHECK(mock_add(b.d, 0, out, 5, layout) >= 0);
		mock_kick(b.d, 0);
		CHECK(mock_wait(b.d, 0, &written) >= 0);
		CHECK_EQ(written, 1);
		CHECK_EQ(b.f->data[20 * 512], cut);
		CHECK_EQ(b.f->data[21 * 512 - 1], cut);
		CHECK_EQ(b.f->data[21 * 512], cut + 1);
		CHECK_EQ(b.f->data[22 * 512 - 1], cut + 1);
	}
	bench_close(&b);
}

/* As many segments as the device says it takes. */
static void test_long(uint64_t features, enum mock_layout layout)
{
	struct mock_buf bufs[128];
	struct bench b;
	uint8_t h[16];
	uint64_t at;

	bench_open(&b, MOCK_LOOP, false, 1, features);
	at = mock_alloc(b.vm, 256 * 1024, 4096);
	put_header(h, T_IN, 0);
	memory_write(b.vm->memory, at, h, 16);
	bufs[0] = (struct mock_buf){ at, 16, false };
	for (unsigned int i = 0; i < 126; i++)
		bufs[1 + i] = (struct mock_buf){ at + 1024 * (i + 1), 512, true };
	bufs[127] = (struct mock_buf){ at + 512, 1, true };
	for (unsigned int round = 0; round < 3; round++) {
		char got[512];

		CHECK(mock_add(b.d, 0, bufs, 128, layout) >= 0);
		mock_kick(b.d, 0);
		CHECK(mock_wait(b.d, 0, NULL) >= 0);
		memory_read(b.vm->memory, at + 1024 * 126, got, 512);
		CHECK(!memcmp(got, b.f->data + 125 * 512, 512));
	}
	bench_close(&b);
}

static void test_broken(uint64_t features)
{
	uint8_t h[16];
	char buf[512];
	struct bench b;

	bench_open(&b, MOCK_LOOP | MOCK_HV, false, 1, features);
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t at = mock_alloc(b.vm, 1024, 16);
		struct mock_buf bufs[3][2] = {
			{ { at, 16, false }, { at + 16, 512, false } }, /* no place for a status */
			{ { at, 15, false }, { at + 16, 513, true } },	/* header too short */
			{ { at, 16, false }, { 64, 513, true } },	/* no RAM there */
		};

		put_header(h, T_IN, 0);
		memory_write(b.vm->memory, at, h, 16);
		CHECK_EQ(io(&b, T_IN, 1, buf, 512), S_OK);
		CHECK(!broken(&b));
		mock_add(b.d, 0, bufs[i], 2, MOCK_DIRECT);
		mock_kick(b.d, 0);
		CHECK(broken(&b));
		CHECK_EQ(mock_used(b.d, 0, NULL), -1);
		CHECK_EQ(mock_start(b.d, features), 0);
	}
	CHECK_EQ(io(&b, T_IN, 1, buf, 512), S_OK);
	CHECK_EQ(atomic_load(&b.vm->n_said), 1);
	bench_close(&b);
}

/* Puts n one-sector reads into the ring without ringing; buffers at `at`, 1 KiB each. */
static void add_reads(struct bench *b, uint64_t at, unsigned int n)
{
	uint8_t h[16];

	for (unsigned int i = 0; i < n; i++, at += 1024) {
		struct mock_buf bufs[3] = { { at, 16, false }, { at + 16, 512, true }, { at + 600, 1, true } };

		put_header(h, T_IN, i);
		memory_write(b->vm->memory, at, h, 16);
		memory_write(b->vm->memory, at + 600, "\xaa", 1);
		CHECK(mock_add(b->d, 0, bufs, 3, MOCK_DIRECT) >= 0);
	}
}

static uint8_t byte(struct bench *b, uint64_t at)
{
	uint8_t v;

	memory_read(b->vm->memory, at, &v, 1);
	return v;
}

static unsigned int collect(struct bench *b)
{
	unsigned int n = 0;

	while (mock_used(b->d, 0, NULL) >= 0)
		n++;
	return n;
}

/* A batch is one interrupt; with the interrupt suppressed, none. */
static void test_batch(uint64_t features)
{
	struct bench b;
	uint64_t at;

	bench_open(&b, MOCK_LOOP | MOCK_HV, false, 1, features);
	at = mock_alloc(b.vm, KIB(64), 4096);
	for (unsigned int round = 0; round < 5; round++) {
		unsigned int raises = atomic_load(&b.d->raises);

		add_reads(&b, at, 30);
		mock_kick(b.d, 0);
		mock_settle(b.vm);
		CHECK_EQ(atomic_load(&b.d->raises), raises + 1);
		CHECK_EQ(mock_isr(b.d), 1);
		CHECK_EQ(collect(&b), 30);
	}
	mock_interrupts(b.d, 0, false);
	{
		unsigned int raises = atomic_load(&b.d->raises);

		add_reads(&b, at, 10);
		mock_kick(b.d, 0);
		mock_settle(b.vm);
		CHECK_EQ(atomic_load(&b.d->raises), raises);
		CHECK_EQ(collect(&b), 10);
	}
	bench_close(&b);
}

struct later {
	struct bench *b;
	atomic_bool released;
};

static void release_flagged(void *ctx)
{
	struct later *l = ctx;

	atomic_store(&l->released, true);
	fake_release(l->b->f);
}

static void pause_on_loop(void *ctx)
{
	virtio_pause(ctx);
}

static void *release_later(void *ctx)
{
	struct later *l = ctx;

	usleep(30000);
	loop_post(l->b->vm->loop, release_flagged, l);
	return NULL;
}

/* Requests in flight over a pause, a reset and the end of the device: waited for, and nothing comes after. */
static void test_in_flight(uint64_t features)
{
	struct later l;
	struct bench b;
	pthread_t thread;
	char buf[512], state[4096];
	int64_t len;
	uint64_t at;

	bench_open(&b, MOCK_LOOP | MOCK_HV, false, 1, features);
	at = mock_alloc(b.vm, KIB(64), 4096);
	l.b = &b;

	/* Out of order. */
	b.f->hold = true;
	add_reads(&b, at, 20);
	mock_kick(b.d, 0);
	mock_settle(b.vm);
	CHECK_EQ(b.f->n_held, 20);
	CHECK_EQ(collect(&b), 0);
	loop_call(b.vm->loop, fake_release, b.f);
	CHECK_EQ(collect(&b), 20);
	CHECK_EQ(byte(&b, at + 600), 0);

	/* A pause waits, and the requests are complete in the saved state. */
	b.f->hold = true;
	add_reads(&b, at, 5);
	mock_kick(b.d, 0);
	mock_settle(b.vm);
	atomic_store(&l.released, false);
	CHECK(!pthread_create(&thread, NULL, release_later, &l));
	virtio_pause(b.vd);
	CHECK(atomic_load(&l.released));
	CHECK_EQ(collect(&b), 5);
	len = virtio_save(b.vd, NULL, 0);
	CHECK(len > 0 && len <= (int64_t)sizeof(state));
	CHECK_EQ(virtio_save(b.vd, state, sizeof(state)), len);
	pthread_join(thread, NULL);
	virtio_resume(b.vd);
	CHECK_EQ(io(&b, T_IN, 1, buf, 512), S_OK);

	/* So does one on the loop's own thread, as a control command does it. */
	b.f->hold = true;
	add_reads(&b, at, 5);
	mock_kick(b.d, 0);
	mock_settle(b.vm);
	CHECK_EQ(b.f->n_held, 5);
	atomic_store(&l.released, false);
	CHECK(!pthread_create(&thread, NULL, release_later, &l));
	loop_call(b.vm->loop, pause_on_loop, b.vd);
	CHECK(atomic_load(&l.released));
	CHECK_EQ(collect(&b), 5);
	pthread_join(thread, NULL);
	virtio_resume(b.vd);

	/* A reset waits. */
	b.f->hold = true;
	add_reads(&b, at, 5);
	mock_kick(b.d, 0);
	mock_settle(b.vm);
	CHECK_EQ(b.f->n_held, 5);
	atomic_store(&l.released, false);
	CHECK(!pthread_create(&thread, NULL, release_later, &l));
	mock_reset(b.d);
	CHECK(atomic_load(&l.released));
	CHECK_EQ(mock_status(b.d), 0);
	/* From here the memory is the driver's again. */
	memory_zero(b.vm->memory, at, KIB(64));
	pthread_join(thread, NULL);
	mock_settle(b.vm);
	for (unsigned int i = 0; i < KIB(64); i += 8)
		CHECK_EQ(byte(&b, at + i), 0);
	CHECK_EQ(mock_start(b.d, features), 0);
	CHECK_EQ(io(&b, T_IN, 1, buf, 512), S_OK);

	/* A failing one among those in flight. */
	b.f->hold = true;
	add_reads(&b, at, 2);
	mock_kick(b.d, 0);
	mock_settle(b.vm);
	b.f->fail = -ECANCELED;
	loop_call(b.vm->loop, fake_release, b.f);
	b.f->fail = 0;
	CHECK_EQ(collect(&b), 2);
	CHECK_EQ(byte(&b, at + 600), S_IOERR);

	/* Failing and short ones while a reset waits. */
	b.f->hold = true;
	add_reads(&b, at, 5);
	mock_kick(b.d, 0);
	mock_settle(b.vm);
	b.f->fail = 100;
	CHECK(!pthread_create(&thread, NULL, release_later, &l));
	mock_reset(b.d);
	pthread_join(thread, NULL);
	b.f->fail = 0;
	CHECK_EQ(mock_start(b.d, features), 0);
	CHECK_EQ(io(&b, T_IN, 1, buf, 512), S_OK);

	/* The end of the device, which turns the loop itself. */
	b.f->hold = true;
	add_reads(&b, at, 5);
	mock_kick(b.d, 0);
	mock_settle(b.vm);
	mock_driver_destroy(b.d);
	mock_vm_stop(b.vm);
	loop_post(b.vm->loop, fake_release, b.f);
	virtio_destroy(b.vd);
	CHECK(b.f->closed);
	free(b.f);
	mock_vm_destroy(b.vm);
}

static void test_save(void)
{
	uint64_t features = MOCK_ALL & ~(UINT64_C(1) << F_FLUSH);
	struct bench b;
	char state[4096];
	uint8_t off = 0, wce;
	int64_t len;

	/* Write-through by configuration: each write is followed by a flush before it completes. */
	bench_open(&b, MOCK_LOOP, false, 1, MOCK_ALL);
	CHECK_EQ(io(&b, T_OUT, 0, state, 512), S_OK);
	CHECK_EQ(b.f->n[DISK_FLUSH], 0);
	mock_config_write(b.d, 32, &off, 1);
	mock_config_read(b.d, 32, &wce, 1);
	CHECK_EQ(wce, 0);
	CHECK_EQ(io(&b, T_OUT, 0, state, 512), S_OK);
	CHECK_EQ(b.f->n[DISK_FLUSH], 1);
	CHECK_EQ(range(&b, T_WRITE_ZEROES, 0, 8, 0), S_OK);
	CHECK_EQ(b.f->n[DISK_FLUSH], 2);
	CHECK_EQ(io(&b, T_IN, 0, state, 512), S_OK);
	CHECK_EQ(b.f->n[DISK_FLUSH], 2);
	/* Other fields are read-only. */
	mock_config_write(b.d, 0, "\xff\xff\xff\xff", 4);
	mock_config_read(b.d, 0, state, 8);
	CHECK_EQ(get_le64(state), SECTORS);

	/* The setting is in the saved state, and nothing but 0 and 1 is taken. */
	virtio_pause(b.vd);
	len = virtio_save(b.vd, state, sizeof(state));
	CHECK(len > 0);
	bench_close(&b);
	for (unsigned int i = 0; i < 2; i++) {
		struct virtio_blk_config config = { 0 };
		struct virtio_device *vd;
		struct err e = { 0 };

		b.vm = mock_vm_create(0);
		b.f = fake_create(false);
		config.disk = &b.f->disk;
		CHECK_EQ(virtio_blk_create(&config, &b.vm->env, &vd, NULL), 0);
		virtio_pause(vd);
		state[len - 8] = i ? 2 : 0;
		CHECK_EQ(virtio_load(vd, state, (size_t)len, &e), i ? -EINVAL : 0);
		virtio_destroy(vd);
		free(b.f);
		mock_vm_destroy(b.vm);
	}

	/* Neither flushes nor the cache's setting known: write-through, too. */
	bench_open(&b, MOCK_LOOP, false, 1, features & ~(UINT64_C(1) << F_CONFIG_WCE));
	CHECK_EQ(io(&b, T_OUT, 0, state, 512), S_OK);
	CHECK_EQ(b.f->n[DISK_FLUSH], 1);
	mock_config_read(b.d, 32, &wce, 1);
	CHECK_EQ(wce, 0);
	bench_close(&b);
}

/* Several queues at once, on a real file. */
static void test_file(uint64_t features)
{
	char path[] = "/var/tmp/lkvm-blk-XXXXXX", *want = malloc(SIZE);
	struct disk_config config = { .path = path };
	struct virtio_blk_config blk = { .queues = 4 };
	struct mock_vm *vm = mock_vm_create(MOCK_LOOP | MOCK_HV);
	int fd = mkstemp(path);
	struct virtio_device *vd;
	struct mock_driver *d;
	struct err e = { 0 };
	uint64_t mark, seed = 1;

	for (unsigned int i = 0; i < SIZE; i++)
		want[i] = (char)(i * 31 >> 3);
	CHECK(fd >= 0 && !sys_write_all(fd, want, SIZE));
	CHECK_EQ(disk_open(vm->loop, &config, &blk.disk, &e), 0);
	CHECK_EQ(virtio_blk_create(&blk, &vm->env, &vd, &e), 0);
	d = mock_driver_create(vm, vd, IRQ_EDGE);
	CHECK_EQ(mock_start(d, features), 0);
	CHECK_EQ(d->n_queues, 4);
	mark = vm->next;
	for (unsigned int round = 0; round < 200; round++) {
		uint64_t at[4], sector[4];
		bool write = round % 3 == 0;

		vm->next = mark;
		for (unsigned int q = 0; q < 4; q++) {
			struct mock_buf bufs[3];
			uint8_t h[16];

			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
			sector[q] = q * 1024 + (seed >> 33) % 1016; /* each queue has its own quarter */
			at[q] = mock_alloc(vm, 4096 + 32, 512);
			put_header(h, write ? T_OUT : T_IN, sector[q]);
			memory_write(vm->memory, at[q] + 4096, h, 16);
			if (write) {
				memset(want + sector[q] * 512, (int)(seed >> 20), 4096);
				memory_write(vm->memory, at[q], want + sector[q] * 512, 4096);
			}
			bufs[0] = (struct mock_buf){ at[q] + 4096, 16, false };
			bufs[1] = (struct mock_buf){ at[q], 4096, !write };
			bufs[2] = (struct mock_buf){ at[q] + 4112, 1, true };
			CHECK(mock_add(d, q, bufs, 3, MOCK_INDIRECT) >= 0);
		}
		for (unsigned int q = 0; q < 4; q++)
			mock_kick(d, q);
		for (unsigned int q = 0; q < 4; q++) {
			char got[4096];
			uint8_t status = 0xaa;

			CHECK(mock_wait(d, q, NULL) >= 0);
			memory_read(vm->memory, at[q] + 4112, &status, 1);
			CHECK_EQ(status, S_OK);
			memory_read(vm->memory, at[q], got, 4096);
			CHECK(!memcmp(got, want + sector[q] * 512, 4096));
		}
	}
	mock_driver_destroy(d);
	mock_vm_stop(vm);
	virtio_destroy(vd);
	mock_vm_destroy(vm);
	{
		char *got = malloc(SIZE);

		CHECK_EQ(sys_pread_all(fd, got, SIZE, 0), SIZE);
		CHECK(!memcmp(got, want, SIZE));
		free(got);
	}
	close(fd);
	unlink(path);
	free(want);
}

int main(void)
{
	static const uint64_t features[] = {
		MOCK_ALL,
		MOCK_ALL & ~MOCK_F_PACKED,
		MOCK_ALL & ~(MOCK_F_PACKED | MOCK_F_EVENT_IDX),
	};

	test_config();
	test_create_errors();
	test_save();
	for (unsigned int i = 0; i < ARRAY_SIZE(features); i++) {
		test_io(0, features[i]);
		test_io(MOCK_LOOP | MOCK_HV, features[i]);
		for (enum mock_layout layout = MOCK_DIRECT; layout <= MOCK_INDIRECT; layout++) {
			test_layouts(features[i], layout);
			test_long(features[i], layout);
		}
		test_broken(features[i]);
		test_batch(features[i]);
		test_in_flight(features[i]);
		test_file(features[i]);
	}
	return test_result();
}
