// SPDX-License-Identifier: MIT
/*
 * Rings from the input: descriptors, indices, indirect tables and event suppression areas, in both formats, into a device that gives everything
 * back. Input: features, queue size, then operations. Honest requests in between, so that the queue is met in every state.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/endian.h"
#include "tests/mock_device.h"
#include "tests/mock_driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(cond)                                                                              \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

enum { POOL_BYTES = 4096, NEEDS_RESET = 64, STATUS = 0x70, NOTIFY = 0x50 };

struct input {
	const uint8_t *p;
	size_t left;
};

static uint64_t take(struct input *in, unsigned int n)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < n && in->left; i++, in->left--)
		v |= (uint64_t)*in->p++ << (8 * i);
	return v;
}

static uint64_t take_gpa(struct input *in, uint64_t pool, const struct mock_queue *q)
{
	uint8_t what = (uint8_t)take(in, 1);
	uint16_t v = (uint16_t)take(in, 2);

	switch (what % 8) {
	case 0:
		return MOCK_RAM_BASE + MOCK_RAM_SIZE - v % 64;
	case 1:
		return take(in, 8);
	case 2:
		return q->desc + v % (16 * 16);
	case 3:
		return q->device + v % 64;
	default:
		return pool + v % POOL_BYTES;
	}
}

static uint32_t take_len(struct input *in)
{
	static const uint32_t lengths[] = {0, 1, 15, 16, 17, 32, 48, 256, 4096, 16 * 1024, 16 * 1025, 1 << 25, UINT32_MAX};
	uint8_t what = (uint8_t)take(in, 1);

	return what < ARRAY_SIZE(lengths) ? lengths[what] : what % 64;
}

/* A descriptor in the ring or in a table, with flags of either format. */
static void op_desc(struct input *in, struct mock_driver *d, const struct mock_queue *q, uint64_t pool)
{
	uint8_t where = (uint8_t)take(in, 1), flags = (uint8_t)take(in, 1), link = (uint8_t)take(in, 1), raw[16];
	uint64_t at = where & 0x80 ? pool + 16 * (uint64_t)(where & 0x7f) : q->desc + 16 * (uint64_t)(where % q->num);
	bool packed = d->features & MOCK_F_PACKED;
	uint16_t f = flags & 7;

	if (packed)
		f |= (flags & 8 ? 0x80 : 0) | (flags & 16 ? 0x8000 : 0);
	put_le64(raw, take_gpa(in, pool, q));
	put_le32(raw + 8, take_len(in));
	put_le16(raw + (packed ? 14 : 12), f);
	put_le16(raw + (packed ? 12 : 14), flags & 0x80 ? link * 257u : link);
	memory_write(d->vm->memory, at, raw, 16);
}

static void op_poke(struct input *in, struct mock_driver *d, const struct mock_queue *q)
{
	uint8_t area = (uint8_t)take(in, 1), raw[2];
	uint64_t desc, driver, device, at;

	queue_area_sizes(q->num, d->features & MOCK_F_PACKED, &desc, &driver, &device);
	at = take(in, 1) * 2;
	at = area % 3 == 0 ? q->desc + at % desc : area % 3 == 1 ? q->driver + at % driver : q->device + at % device;
	put_le16(raw, (uint16_t)take(in, 2));
	memory_write(d->vm->memory, at, raw, 2);
}

static void op_add(struct input *in, struct mock_driver *d, unsigned int n, uint64_t pool)
{
	uint8_t what = (uint8_t)take(in, 1);
	struct mock_buf bufs[8];

	for (unsigned int i = 0; i < 1u + what % 8; i++) {
		bufs[i].gpa = what & 0x10 ? take_gpa(in, pool, &d->queue[n]) : pool + 32 * i;
		bufs[i].len = what & 0x20 ? take_len(in) : 32;
		bufs[i].write = i >= (what >> 6);
	}
	mock_add(d, n, bufs, 1 + what % 8, what & 8 && d->features & MOCK_F_INDIRECT ? MOCK_INDIRECT : MOCK_DIRECT);
}

static void start(struct input *in, struct mock_driver *d, struct mock_device *m, uint64_t mark)
{
	uint8_t how = (uint8_t)take(in, 1);
	uint64_t features = (how & 1 ? MOCK_F_PACKED : 0) | (how & 2 ? MOCK_F_EVENT_IDX : 0) | (how & 4 ? MOCK_F_INDIRECT : 0);

	mock_device_complete(m, UINT32_MAX, 0);
	m->hold = how & 8;
	d->queue_size = how & 1 ? 1 + (how >> 4) : 1u << (how >> 4 & 7);
	d->vm->next = mark;
	REQUIRE(mock_start(d, features) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t sizes[] = {16, 1};
	struct input in = {data, size};
	struct mock_vm *vm = mock_vm_create(0);
	uint64_t pool = mock_alloc(vm, POOL_BYTES + 16 * 128, 4096), mark = vm->next;
	struct mock_device *m;
	struct mock_driver *d;
	char answer[4] = "";

	REQUIRE(mock_device_create(&vm->env, sizes, 2, &m) == 0);
	d = mock_driver_create(vm, m->vd, IRQ_LEVEL);
	start(&in, d, m, mark);
	for (unsigned int ops = 0; in.left && ops < 400; ops++) {
		uint8_t op = (uint8_t)take(&in, 1);
		unsigned int n = op >> 7;
		struct mock_queue *q = &d->queue[n];

		if (vm->next > MOCK_RAM_BASE + MIB(16))
			break;
		switch (op % 8) {
		case 0:
		case 1:
			op_desc(&in, d, q, pool);
			break;
		case 2:
			op_poke(&in, d, q);
			break;
		case 3:
			op_add(&in, d, n, pool);
			break;
		case 4:
			if (op & 0x40)
				mock_kick(d, n);
			else
				mock_write32(d, NOTIFY, n);
			break;
		case 5:
			for (unsigned int k = 0; k < 64 && mock_used(d, n, NULL) >= 0; k++)
				;
			mock_isr(d);
			break;
		case 6:
			mock_device_complete(m, 1 + (op >> 3 & 7), op);
			break;
		case 7:
			if (op & 0x40) {
				start(&in, d, m, mark);
			} else if (!(d->features & MOCK_F_PACKED)) { /* make some entries available by the index alone */
				uint8_t raw[2];

				memory_read(vm->memory, q->driver + 2, raw, 2);
				put_le16(raw, get_le16(raw) + 1 + (op >> 3 & 7));
				memory_write(vm->memory, q->driver + 2, raw, 2);
				mock_write32(d, NOTIFY, n);
			}
			break;
		}
		/* More in flight than the queues hold would be memory that the guest controls. */
		REQUIRE(!m->overrun);
		REQUIRE(m->n_held <= 17);
	}
	/* Whatever happened: a reset, and an honest driver is served. */
	mock_device_complete(m, UINT32_MAX, 0);
	m->hold = false;
	d->queue_size = 0;
	vm->next = mark;
	REQUIRE(mock_start(d, MOCK_ALL) == 0);
	REQUIRE(mock_request(d, 0, "ping", 4, answer, 4) == 4);
	REQUIRE(!memcmp(answer, "ping", 4));
	mock_driver_destroy(d);
	virtio_destroy(m->vd);
	mock_vm_destroy(vm);
	return 0;
}
