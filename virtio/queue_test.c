// SPDX-License-Identifier: MIT
/* The queues: traffic in every format, hostile rings, event suppression, positions. */
#include "tests/test.h"

#include <errno.h>

#include "base/endian.h"
#include "tests/mock_device.h"
#include "tests/mock_driver.h"
#include "virtio/queue.h"

#define PACKED MOCK_F_PACKED
#define EVENT MOCK_F_EVENT_IDX
#define INDIRECT MOCK_F_INDIRECT

static uint32_t rng = 1;

static uint32_t next(uint32_t below)
{
	rng = rng * 1664525 + 1013904223;
	return (rng >> 8) % below;
}

/* --- traffic --- */

struct pending {
	bool busy;
	uint32_t out, in, n_in;
	uint64_t at;
	uint8_t fill;
};

#define PENDING_BYTES 256

/* Adds one request of up to 6 random buffers; its bytes are `fill`. */
static int add_random(struct mock_driver *d, uint64_t at, struct pending *p)
{
	struct mock_buf bufs[6];
	unsigned int n_out = next(4), n_in = next(3), n = 0;
	uint8_t bytes[PENDING_BYTES];
	uint64_t gpa = at;
	int token;

	*p = (struct pending){.busy = true, .at = at, .fill = (uint8_t)next(256)};
	if (!(n_out + n_in))
		n_out = 1;
	for (unsigned int i = 0; i < n_out + n_in; i++) {
		uint32_t len = next(40) + (i == 0 || i == n_out); /* empty ones, too, but no empty request */

		bufs[n++] = (struct mock_buf){gpa, len, i >= n_out};
		gpa += len;
		if (i < n_out)
			p->out += len;
		else
			p->in += len;
	}
	memset(bytes, p->fill, p->out);
	memset(bytes + p->out, 0, p->in);
	memory_write(d->vm->memory, at, bytes, p->out + p->in);
	token = mock_add(d, 0, bufs, n,
			 d->features & INDIRECT && next(2) ? MOCK_INDIRECT : MOCK_DIRECT);
	if (token < 0)
		p->busy = false;
	return token;
}

static void check_answer(struct mock_driver *d, const struct pending *p, uint32_t written)
{
	uint8_t bytes[PENDING_BYTES];
	uint32_t expected = MIN(p->out, p->in);
	bool ok = true;

	CHECK_EQ(written, expected);
	memory_read(d->vm->memory, p->at + p->out, bytes, p->in);
	for (uint32_t i = 0; i < p->in; i++)
		ok &= bytes[i] == (i < expected ? p->fill : 0);
	CHECK(ok);
}

/* The driver sleeps until interrupted and the device until rung: a lost event of either kind ends in requests that never come back. */
static void traffic(uint64_t features, uint16_t size, bool hold)
{
	struct mock_vm *vm = mock_vm_create(0);
	struct pending *pending = calloc(QUEUE_MAX_SIZE, sizeof(*pending));
	uint16_t sizes[] = {256};
	struct mock_device *m;
	struct mock_driver *d;
	uint64_t buffers, tables;
	unsigned int done = 0, rings = 0, in_flight = 0, interrupts = 0;

	CHECK_EQ(mock_device_create(&vm->env, sizes, 1, &m), 0);
	m->hold = hold;
	d = mock_driver_create(vm, m->vd, IRQ_LEVEL);
	d->queue_size = size;
	CHECK_EQ(mock_start(d, features), 0);
	CHECK_EQ(d->queue[0].num, size);
	buffers = mock_alloc(vm, (uint64_t)QUEUE_MAX_SIZE * PENDING_BYTES, 8);
	tables = vm->next;
	for (unsigned int round = 0; done < 6000 && round < 60000; round++) {
		uint32_t written;
		int token;

		if (!in_flight)
			vm->next = tables;
		for (unsigned int n = next(size + 1); n; n--) {
			struct pending p;
			/* A token's buffer is its own; it is only known afterwards, so the request is made in a spare place of this slot. */
			unsigned int slot = 0;

			while (slot < QUEUE_MAX_SIZE && pending[slot].busy)
				slot++;
			if (slot == QUEUE_MAX_SIZE)
				break;
			token = add_random(d, buffers + (uint64_t)slot * PENDING_BYTES, &p);
			if (token < 0)
				break;
			p.n_in = token;
			pending[slot] = p;
			in_flight++;
		}
		rings += mock_kick(d, 0);
		if (hold)
			mock_device_complete(m, next(m->n_held + 1), next(3) ? next(100000) : 0);
		/* No interrupt, no look: what is used must have been told. */
		if (!atomic_load(&d->level)) {
			if (!hold && in_flight)
				CHECK(!"a used request without interrupt");
			continue;
		}
		interrupts++;
		CHECK_EQ(mock_isr(d), 1);
		while ((token = mock_used(d, 0, &written)) >= 0) {
			unsigned int slot = 0;

			while (slot < QUEUE_MAX_SIZE && !(pending[slot].busy && pending[slot].n_in == (uint32_t)token))
				slot++;
			CHECK(slot < QUEUE_MAX_SIZE);
			if (slot == QUEUE_MAX_SIZE)
				break;
			check_answer(d, &pending[slot], written);
			pending[slot].busy = false;
			in_flight--;
			done++;
		}
		CHECK_EQ(token, (uint64_t)-1);
	}
	CHECK(done >= 6000);
	CHECK(rings && interrupts);
	CHECK_EQ(m->overrun, 0);
	CHECK_EQ(vm->n_said, 0);
	mock_device_complete(m, UINT32_MAX, 0);
	mock_driver_destroy(d);
	virtio_destroy(m->vd);
	mock_vm_destroy(vm);
	free(pending);
}

/* --- hostile rings --- */

struct ring {
	struct memory *memory;
	struct queue q;
	struct iovec iov[8];
	struct chain c;
	bool packed;
};

#define DESC MOCK_RAM_BASE
#define AVAIL (MOCK_RAM_BASE + 0x1000)
#define USED (MOCK_RAM_BASE + 0x2000)
#define BUFFER (MOCK_RAM_BASE + 0x4000)
#define TABLE (MOCK_RAM_BASE + 0x8000)
#define RAM_END (MOCK_RAM_BASE + 0x100000)

static void ring_open(struct ring *r, uint64_t features, uint16_t num)
{
	memset(r, 0, sizeof(*r));
	r->packed = features & PACKED;
	CHECK_EQ(memory_create(&r->memory), 0);
	CHECK_EQ(memory_add(r->memory, MOCK_RAM_BASE, 0x100000, &(struct memory_backing){0}, NULL), 0);
	queue_reset(&r->q, num);
	r->q.s.desc = DESC;
	r->q.s.driver = AVAIL;
	r->q.s.device = USED;
	CHECK_EQ(queue_start(&r->q, r->memory, features), 0);
	r->c = (struct chain){.iov = r->iov, .cap = 8};
}

static void ring_close(struct ring *r)
{
	queue_stop(&r->q);
	CHECK(!queue_running(&r->q));
	memory_destroy(r->memory);
}

static void put_desc(struct ring *r, uint64_t at, uint64_t addr, uint32_t len, uint16_t flags, uint16_t link)
{
	uint8_t raw[16];

	put_le64(raw, addr);
	put_le32(raw + 8, len);
	put_le16(raw + (r->packed ? 14 : 12), flags);
	put_le16(raw + (r->packed ? 12 : 14), link);
	memory_write(r->memory, at, raw, 16);
}

static void put16(struct ring *r, uint64_t at, uint16_t v)
{
	uint8_t raw[2];

	put_le16(raw, v);
	memory_write(r->memory, at, raw, 2);
}

static void put32(struct ring *r, uint64_t at, uint32_t v)
{
	uint8_t raw[4];

	put_le32(raw, v);
	memory_write(r->memory, at, raw, 4);
}

static uint32_t get32(struct ring *r, uint64_t at)
{
	uint8_t raw[4];

	memory_read(r->memory, at, raw, 4);
	return get_le32(raw);
}

struct bad {
	const char *what;
	uint64_t features;
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, link;
	} desc[6], table[6];
	uint16_t head, avail_idx;
	int expected;
	unsigned int n_out, n_in;
};

enum { NEXT = 1, WRITE = 2, IND = 4 };

static const struct bad split_rings[] = {
	{"nothing there", 0, .avail_idx = 0, .expected = 0},
	{"one buffer (control)", 0, {{BUFFER, 16}}, .avail_idx = 1, .expected = 1, .n_out = 1},
	{"read and write (control)", 0, {{BUFFER, 16, NEXT, 1}, {BUFFER + 16, 8, WRITE}}, .avail_idx = 1, .expected = 1, .n_out = 1, .n_in = 1},
	{"head outside", 0, {{BUFFER, 16}}, .head = 8, .avail_idx = 1, .expected = -EPROTO},
	{"head far outside", 0, {{BUFFER, 16}}, .head = 0xffff, .avail_idx = 1, .expected = -EPROTO},
	{"more available than entries", 0, {{BUFFER, 16}}, .avail_idx = 9, .expected = -EPROTO},
	{"index going back", 0, {{BUFFER, 16}}, .avail_idx = 0xffff, .expected = -EPROTO},
	{"next outside", 0, {{BUFFER, 16, NEXT, 8}}, .avail_idx = 1, .expected = -EPROTO},
	{"loop of one", 0, {{BUFFER, 16, NEXT, 0}}, .avail_idx = 1, .expected = -EPROTO},
	{"loop of empty ones", 0, {{BUFFER, 0, NEXT, 1}, {BUFFER, 0, NEXT, 0}}, .avail_idx = 1, .expected = -EPROTO},
	{"outside RAM", 0, {{RAM_END, 1}}, .avail_idx = 1, .expected = -EPROTO},
	{"across the end of RAM", 0, {{RAM_END - 4, 5}}, .avail_idx = 1, .expected = -EPROTO},
	{"up to the end of RAM (control)", 0, {{RAM_END - 4, 4}}, .avail_idx = 1, .expected = 1, .n_out = 1},
	{"address that wraps", 0, {{UINT64_MAX - 1, 16}}, .avail_idx = 1, .expected = -EPROTO},
	{"huge length", 0, {{BUFFER, UINT32_MAX}}, .avail_idx = 1, .expected = -EPROTO},
	{"readable after writable", 0, {{BUFFER, 4, NEXT | WRITE, 1}, {BUFFER, 4}}, .avail_idx = 1, .expected = -EPROTO},
	{"an empty request", 0, {{BUFFER, 0}}, .avail_idx = 1, .expected = -EPROTO},
	{"empty buffers between (control)", 0, {{BUFFER, 0, NEXT, 1}, {BUFFER, 4, NEXT, 2}, {0, 0, WRITE}}, .avail_idx = 1, .expected = 1, .n_out = 1},
	{"indirect, not negotiated", 0, {{TABLE, 16, IND}}, {{BUFFER, 4}}, .avail_idx = 1, .expected = -EPROTO},
	{"indirect (control)", INDIRECT, {{TABLE, 48, IND}}, {{BUFFER, 4, NEXT, 2}, {0}, {BUFFER, 4, WRITE}}, .avail_idx = 1, .expected = 1, .n_out = 1, .n_in = 1},
	{"indirect after direct (control)", INDIRECT, {{BUFFER, 4, NEXT, 1}, {TABLE, 16, IND}}, {{BUFFER, 4, WRITE}}, .avail_idx = 1, .expected = 1, .n_out = 1, .n_in = 1},
	{"indirect and next", INDIRECT, {{TABLE, 16, IND | NEXT, 1}, {BUFFER, 4}}, {{BUFFER, 4}}, .avail_idx = 1, .expected = -EPROTO},
	{"indirect table of no length", INDIRECT, {{TABLE, 0, IND}}, .avail_idx = 1, .expected = -EPROTO},
	{"indirect table of odd length", INDIRECT, {{TABLE, 17, IND}}, {{BUFFER, 4}}, .avail_idx = 1, .expected = -EPROTO},
	{"indirect table too long", INDIRECT, {{TABLE, 16 * 2048, IND}}, {{BUFFER, 4}}, .avail_idx = 1, .expected = -EPROTO},
	{"indirect table outside RAM", INDIRECT, {{RAM_END - 16, 32, IND}}, .avail_idx = 1, .expected = -EPROTO},
	{"indirect table at the end of addresses", INDIRECT, {{UINT64_MAX - 15, 32, IND}}, .avail_idx = 1, .expected = -EPROTO},
	{"nested indirect", INDIRECT, {{TABLE, 32, IND}}, {{TABLE, 16, IND}, {BUFFER, 4}}, .avail_idx = 1, .expected = -EPROTO},
	{"loop in the table", INDIRECT, {{TABLE, 32, IND}}, {{BUFFER, 4, NEXT, 1}, {BUFFER, 4, NEXT, 0}}, .avail_idx = 1, .expected = -EPROTO},
	{"next outside the table", INDIRECT, {{TABLE, 32, IND}}, {{BUFFER, 4, NEXT, 2}, {BUFFER, 4}, {BUFFER, 4}}, .avail_idx = 1, .expected = -EPROTO},
};

#define A 0x80
#define U 0x8000

static const struct bad packed_rings[] = {
	{"nothing there", 0, .expected = 0},
	{"used, not available", 0, {{BUFFER, 16, A | U}}, .expected = 0},
	{"of the round before", 0, {{BUFFER, 16, U}}, .expected = 0},
	{"one buffer (control)", 0, {{BUFFER, 16, A, 7}}, .expected = 1, .n_out = 1},
	{"any buffer id (control)", 0, {{BUFFER, 16, A, 0xffff}}, .expected = 1, .n_out = 1},
	{"read and write (control)", 0, {{BUFFER, 16, A | NEXT}, {BUFFER, 8, A | WRITE}}, .expected = 1, .n_out = 1, .n_in = 1},
	{"a list without end", 0, {{BUFFER, 1, A | NEXT}, {BUFFER, 1, A | NEXT}, {BUFFER, 1, A | NEXT}, {BUFFER, 1, A | NEXT}}, .expected = -EPROTO},
	{"outside RAM", 0, {{RAM_END, 1, A}}, .expected = -EPROTO},
	{"address that wraps", 0, {{UINT64_MAX - 1, 16, A}}, .expected = -EPROTO},
	{"readable after writable", 0, {{BUFFER, 4, A | NEXT | WRITE}, {BUFFER, 4, A}}, .expected = -EPROTO},
	{"an empty request", 0, {{BUFFER, 0, A}}, .expected = -EPROTO},
	{"indirect, not negotiated", 0, {{TABLE, 16, A | IND}}, {{BUFFER, 4}}, .expected = -EPROTO},
	{"indirect (control)", INDIRECT, {{TABLE, 32, A | IND}}, {{BUFFER, 4}, {BUFFER, 4, WRITE}}, .expected = 1, .n_out = 1, .n_in = 1},
	{"indirect, other flags in the table ignored (control)", INDIRECT, {{TABLE, 32, A | IND | WRITE}}, {{BUFFER, 4, NEXT | IND, 9}, {BUFFER, 4, WRITE | NEXT}}, .expected = 1, .n_out = 1, .n_in = 1},
	{"indirect and next", INDIRECT, {{TABLE, 16, A | IND | NEXT}, {BUFFER, 4, A}}, {{BUFFER, 4}}, .expected = -EPROTO},
	{"indirect in a list", INDIRECT, {{BUFFER, 4, A | NEXT}, {TABLE, 16, A | IND}}, {{BUFFER, 4}}, .expected = -EPROTO},
	{"indirect table of odd length", INDIRECT, {{TABLE, 8, A | IND}}, {{BUFFER, 4}}, .expected = -EPROTO},
	{"indirect table outside RAM", INDIRECT, {{RAM_END - 16, 32, A | IND}}, .expected = -EPROTO},
};

static void hostile(const struct bad *bad, bool packed)
{
	struct ring r;
	int got;

	ring_open(&r, bad->features | (packed ? PACKED : 0), packed ? 3 : 8);
	for (unsigned int i = 0; i < (packed ? 3 : 6); i++)
		put_desc(&r, DESC + 16 * i, bad->desc[i].addr, bad->desc[i].len, bad->desc[i].flags, bad->desc[i].link);
	for (unsigned int i = 0; i < 6; i++)
		put_desc(&r, TABLE + 16 * i, bad->table[i].addr, bad->table[i].len, bad->table[i].flags, bad->table[i].link);
	if (!packed) {
		put16(&r, AVAIL + 4, bad->head);
		put16(&r, AVAIL + 2, bad->avail_idx);
	}
	got = queue_pop(&r.q, &r.c);
	if (got != bad->expected)
		fprintf(stderr, "%s ring, %s: %d, expected %d\n", packed ? "packed" : "split", bad->what, got, bad->expected);
	CHECK_EQ(got, bad->expected);
	if (got == 1) {
		CHECK_EQ(r.c.n_out, bad->n_out);
		CHECK_EQ(r.c.n_in, bad->n_in);
		queue_push(&r.q, &r.c, 0);
	}
	ring_close(&r);
}

/* More segments than the device takes, and requests of 4 GiB and more. */
static void limits(bool packed)
{
	uint16_t more = packed ? A | NEXT : NEXT, last = packed ? A : 0;
	struct ring r;

	ring_open(&r, packed ? PACKED : 0, 16);
	for (unsigned int i = 0; i < 9; i++)
		put_desc(&r, DESC + 16 * i, BUFFER, 1, i < 8 ? more : last, packed ? 3 : i + 1);
	put16(&r, AVAIL + 2, packed ? 0 : 1);
	CHECK_EQ(queue_pop(&r.q, &r.c), (uint64_t)-EPROTO);
	put_desc(&r, DESC + 16 * 7, BUFFER, 1, last, 3);
	CHECK_EQ(queue_pop(&r.q, &r.c), 1);
	CHECK_EQ(r.c.n_out, 8);
	CHECK_EQ(r.c.id, packed ? 3 : 0);
	CHECK_EQ(r.c.n_desc, packed ? 8 : 1);

	/* Given back, it comes again; a written length beyond the buffers is cut. */
	queue_unpop(&r.q, &r.c);
	CHECK_EQ(queue_pop(&r.q, &r.c), 1);
	CHECK_EQ(r.c.n_out, 8);
	queue_push(&r.q, &r.c, 1000);
	CHECK_EQ(get32(&r, packed ? DESC + 8 : USED + 8), 0);
	ring_close(&r);
}

/* A driver that makes requests available again and again, without any coming back, does not grow the device. */
static void bounded(bool packed)
{
	struct ring r;
	unsigned int n = 0;
	int got = 1;

	ring_open(&r, packed ? PACKED : 0, 4);
	for (unsigned int i = 0; i < 40 && got == 1; i++) {
		bool wrap = (i / 4) % 2 == 0;

		put_desc(&r, DESC + 16 * (i % 4), BUFFER, 4, packed ? (wrap ? A : U) : 0, 0);
		if (!packed)
			put16(&r, AVAIL + 2, i + 1);
		got = queue_pop(&r.q, &r.c);
		n += got == 1;
	}
	CHECK_EQ(n, 4);
	CHECK_EQ(got, (uint64_t)-EPROTO);
	ring_close(&r);
}

/* --- start --- */

static void start(void)
{
	static const struct {
		uint64_t desc, driver, device;
		uint16_t num;
		bool packed, ok;
	} row[] = {
		{DESC, AVAIL, USED, 8, false, true},
		{DESC, AVAIL, USED, 8, true, true},
		{DESC, AVAIL, USED, 0, false, false},
		{DESC, AVAIL, USED, 0, true, false},
		{DESC, AVAIL, USED, 6, false, false}, /* no power of two */
		{DESC, AVAIL, USED, 6, true, true},
		{DESC, AVAIL, USED, 2048, false, false},
		{DESC + 8, AVAIL, USED, 8, false, false},
		{DESC + 8, AVAIL, USED, 8, true, false},
		{DESC, AVAIL + 1, USED, 8, false, false},
		{DESC, AVAIL + 2, USED, 8, false, true},
		{DESC, AVAIL + 2, USED, 8, true, false},
		{DESC, AVAIL, USED + 2, 8, false, false},
		{DESC, AVAIL, USED + 2, 8, true, false},
		{RAM_END, AVAIL, USED, 8, false, false},
		{RAM_END - 128, AVAIL, USED, 8, false, true},
		{RAM_END - 112, AVAIL, USED, 8, false, false},
		{DESC, RAM_END - 20, USED, 8, false, false},
		{DESC, RAM_END - 22, USED, 8, false, true},
		{DESC, AVAIL, RAM_END - 68, 8, false, false},
		{DESC, AVAIL, RAM_END - 72, 8, false, true},
		{DESC, AVAIL, UINT64_MAX - 3, 8, true, false},
		{0, 0, 0, 8, false, false},
	};
	struct memory *memory;

	CHECK_EQ(memory_create(&memory), 0);
	CHECK_EQ(memory_add(memory, MOCK_RAM_BASE, 0x100000, &(struct memory_backing){0}, NULL), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++) {
		struct queue q;
		int r;

		queue_reset(&q, 8);
		q.s.desc = row[i].desc;
		q.s.driver = row[i].driver;
		q.s.device = row[i].device;
		q.s.num = row[i].num;
		r = queue_start(&q, memory, row[i].packed ? PACKED : 0);
		if ((r == 0) != row[i].ok)
			fprintf(stderr, "row %u\n", i);
		CHECK_EQ(r, row[i].ok ? 0 : -EINVAL);
		CHECK_EQ(queue_running(&q), row[i].ok);
	}
	/* Positions of a saved state. */
	for (unsigned int packed = 0; packed < 2; packed++) {
		struct queue q;

		queue_reset(&q, 8);
		q.s.desc = DESC;
		q.s.driver = AVAIL;
		q.s.device = USED;
		q.s.next_avail = 9;
		CHECK_EQ(queue_start(&q, memory, packed ? PACKED : 0), -EINVAL);
		q.s.next_avail = 3;
		q.s.next_used = 4;
		CHECK_EQ(queue_start(&q, memory, packed ? PACKED : 0), -EINVAL);
		q.s.next_used = 2;
		CHECK_EQ(queue_start(&q, memory, packed ? PACKED : 0), 0);
	}
	memory_destroy(memory);
}

/* --- event suppression --- */

/* Pushes n requests of one descriptor and says whether that wants an interrupt. */
static bool push_n(struct ring *r, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct queue_state *s = &r->q.s;

		if (r->packed) {
			put_desc(r, DESC + 16 * (uint64_t)s->next_avail, BUFFER, 4, s->avail_wrap ? A : U, 0);
		} else {
			put_desc(r, DESC, BUFFER, 4, 0, 0);
			put16(r, AVAIL + 4 + 2 * (uint64_t)(s->next_avail % s->num), 0);
			put16(r, AVAIL + 2, s->next_avail + 1);
		}
		CHECK_EQ(queue_pop(&r->q, &r->c), 1);
		queue_push(&r->q, &r->c, 0);
	}
	return queue_wants_interrupt(&r->q);
}

static void suppression_split(void)
{
	struct ring r;

	ring_open(&r, 0, 8);
	CHECK(push_n(&r, 1));
	CHECK(!push_n(&r, 0));
	put16(&r, AVAIL, 1); /* VIRTQ_AVAIL_F_NO_INTERRUPT */
	CHECK(!push_n(&r, 3));
	put16(&r, AVAIL, 0);
	CHECK(push_n(&r, 1));
	queue_doorbell_off(&r.q);
	CHECK_EQ(get32(&r, USED) & 0xffff, 1);
	CHECK(!queue_doorbell_on(&r.q));
	CHECK_EQ(get32(&r, USED) & 0xffff, 0);
	put16(&r, AVAIL + 2, r.q.s.next_avail + 1);
	CHECK(queue_doorbell_on(&r.q));
	ring_close(&r);

	ring_open(&r, EVENT, 8);
	put16(&r, AVAIL + 4 + 16, 0); /* used_event: at the first */
	CHECK(push_n(&r, 1));
	CHECK(!push_n(&r, 2)); /* 1, 2: the driver waits for 0 */
	put16(&r, AVAIL + 4 + 16, 5);
	CHECK(!push_n(&r, 2)); /* 3, 4 */
	CHECK(push_n(&r, 1));  /* 5 */
	CHECK(!push_n(&r, 1));
	put16(&r, AVAIL + 4 + 16, 9);
	CHECK(push_n(&r, 7)); /* 7 to 13, across it */
	/* Twice around 16 bits, with every position as the event. */
	for (uint32_t i = 0; i < 0x20000; i += 3) {
		put16(&r, AVAIL + 4 + 16, r.q.s.next_used + 2);
		if (push_n(&r, 2) || !push_n(&r, 1)) {
			CHECK(!"event index around the end");
			break;
		}
	}
	queue_doorbell_on(&r.q);
	CHECK_EQ(get32(&r, USED + 4 + 64) & 0xffff, r.q.s.next_avail);
	ring_close(&r);
}

static void suppression_packed(void)
{
	struct ring r;

	ring_open(&r, PACKED, 5);
	CHECK(push_n(&r, 1));
	put32(&r, AVAIL, 1 << 16); /* disable */
	CHECK(!push_n(&r, 3));
	put32(&r, AVAIL, 2 << 16 | 0); /* a wish for one descriptor, not negotiated: as if enabled */
	CHECK(push_n(&r, 1));
	queue_doorbell_off(&r.q);
	CHECK_EQ(get32(&r, USED), 1 << 16);
	CHECK(!queue_doorbell_on(&r.q));
	CHECK_EQ(get32(&r, USED), 0);
	ring_close(&r);

	ring_open(&r, PACKED | EVENT, 5);
	put32(&r, AVAIL, 2 << 16 | 0x8000); /* slot 0 of the first round */
	CHECK(push_n(&r, 1));
	CHECK(!push_n(&r, 1));
	put32(&r, AVAIL, 2 << 16 | 0x8000 | 4);
	CHECK(!push_n(&r, 2)); /* 2, 3 */
	CHECK(push_n(&r, 1));  /* 4 */
	CHECK(!push_n(&r, 4)); /* 0 to 3 of the second round */
	put32(&r, AVAIL, 2 << 16 | 0x8000 | 1);
	CHECK(push_n(&r, 3)); /* 4, and 0, 1 of the third */
	for (unsigned int i = 0; i < 1000; i++) {
		unsigned int to = r.q.s.next_used + 2;
		bool wrap = r.q.s.used_wrap;

		if (to >= 5) {
			to -= 5;
			wrap = !wrap;
		}
		put32(&r, AVAIL, 2u << 16 | (wrap ? 0x8000 : 0) | to);
		if (push_n(&r, 2) || !push_n(&r, 1)) {
			CHECK(!"event offset around the end");
			break;
		}
	}
	/* A whole round, or more, without a decision: an interrupt, whatever the offset. */
	put32(&r, AVAIL, 2u << 16 | (r.q.s.used_wrap ? 0 : 0x8000) | r.q.s.next_used);
	CHECK(push_n(&r, 7));
	put32(&r, AVAIL, 2u << 16 | 0x7fff); /* no such slot */
	CHECK(push_n(&r, 1));
	queue_doorbell_on(&r.q);
	CHECK_EQ(get32(&r, USED), 2u << 16 | (r.q.s.avail_wrap ? 0x8000u : 0) | r.q.s.next_avail);
	ring_close(&r);
}

/* Several buffers of one frame appear together, in both formats, also across the end of the ring. */
static void push_many(bool packed)
{
	struct ring r;
	struct chain c[3];
	const uint32_t written[3] = {4, 4, 2};

	ring_open(&r, packed ? PACKED : 0, 4);
	for (unsigned int round = 0; round < 9; round++) {
		struct queue_state *s = &r.q.s;
		uint16_t first = s->next_used;
		bool wrap = s->used_wrap;

		for (unsigned int i = 0; i < 3; i++) {
			unsigned int slot = packed ? s->next_avail : i;

			put_desc(&r, DESC + 16 * slot, BUFFER + 4 * i, 4, WRITE | (!packed ? 0 : s->avail_wrap ? A : U), packed ? 10 + i : 0);
			if (!packed) {
				put16(&r, AVAIL + 4 + 2 * (uint64_t)(s->next_avail % 4), i);
				put16(&r, AVAIL + 2, s->next_avail + 1);
			}
			c[i] = (struct chain){.iov = &r.iov[i], .cap = 1};
			CHECK_EQ(queue_pop(&r.q, &c[i]), 1);
		}
		queue_push_many(&r.q, c, written, 3);
		CHECK(queue_wants_interrupt(&r.q));
		for (unsigned int i = 0; i < 3; i++) {
			unsigned int slot = (first + i) % 4;
			bool w = wrap ^ (first + i >= 4);

			if (packed) {
				CHECK_EQ(get32(&r, DESC + 16 * slot + 8), written[i]);
				CHECK_EQ(get32(&r, DESC + 16 * slot + 12), (10 + i) | (uint32_t)((w ? A | U : 0) | WRITE) << 16);
			} else {
				CHECK_EQ(get32(&r, USED + 4 + 8 * slot), i);
				CHECK_EQ(get32(&r, USED + 8 + 8 * slot), written[i]);
			}
		}
		if (!packed)
			CHECK_EQ(get32(&r, USED) >> 16, 3 * (round + 1));
	}
	ring_close(&r);
}

static void chains(void)
{
	char a[4] = "abc", b[3] = "de", in[6];
	struct iovec iov[] = {{a, 3}, {b, 2}, {in, 1}, {in + 1, 4}}, part[2];
	struct chain c = {.iov = iov, .cap = 4, .n_out = 2, .n_in = 2, .out_len = 5, .in_len = 5};
	char buf[8] = "";

	CHECK_EQ(chain_read(&c, 0, buf, 8), 5);
	CHECK(!memcmp(buf, "abcde", 5));
	CHECK_EQ(chain_read(&c, 2, buf, 2), 2);
	CHECK(!memcmp(buf, "cd", 2));
	CHECK_EQ(chain_read(&c, 5, buf, 8), 0);
	CHECK_EQ(chain_write(&c, 0, "vwxyz!", 6), 5);
	CHECK(!memcmp(in, "vwxyz", 5));
	CHECK_EQ(chain_write(&c, 4, "??", 2), 1);
	CHECK(!memcmp(in, "vwxy?", 5));
	CHECK_EQ(iov_slice(iov, 4, 2, 2, part, 2), 2);
	CHECK(part[0].iov_base == a + 2 && part[0].iov_len == 1 && part[1].iov_base == b && part[1].iov_len == 1);
	CHECK_EQ(iov_slice(iov, 4, 2, 4, part, 2), -ENOSPC);
	CHECK_EQ(iov_slice(iov, 4, 9, 100, part, 2), 1);
	CHECK_EQ(iov_slice(iov, 4, 10, 1, part, 2), 0);
	CHECK_EQ(iov_slice(iov, 4, 0, 0, part, 2), 0);
}

int main(void)
{
	chains();
	start();
	for (unsigned int i = 0; i < ARRAY_SIZE(split_rings); i++)
		hostile(&split_rings[i], false);
	for (unsigned int i = 0; i < ARRAY_SIZE(packed_rings); i++)
		hostile(&packed_rings[i], true);
	for (unsigned int packed = 0; packed < 2; packed++) {
		limits(packed);
		bounded(packed);
		push_many(packed);
	}
	suppression_split();
	suppression_packed();
	for (unsigned int i = 0; i < 8; i++) {
		uint64_t features = (i & 1 ? PACKED : 0) | (i & 2 ? EVENT : 0) | (i & 4 ? INDIRECT : 0);

		traffic(features, 8, false);
		traffic(features, 256, true);
		traffic(features, i & 1 ? 7 : 16, true);
	}
	return test_result();
}
