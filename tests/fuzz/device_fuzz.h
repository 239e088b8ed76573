// SPDX-License-Identifier: MIT
/*
 * A hostile guest for device fuzzers: the input is a list of operations on a device behind virtio-mmio, most of them well-formed enough to get past the
 * first check, done by the mock driver in one thread without a loop. A target includes this file, fills struct fuzz_device and calls fuzz_run().
 */
#ifndef LKVM_TESTS_DEVICE_FUZZ_H
#define LKVM_TESTS_DEVICE_FUZZ_H

#include <stdlib.h>

#include "base/endian.h"
#include "tests/mock_driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_input {
	const uint8_t *p;
	size_t left;
};

struct fuzz_guest {
	struct fuzz_input in;
	struct mock_vm *vm;
	struct virtio_device *vd;
	struct mock_driver *d;
	const struct fuzz_device *device;
	void *ctx;
	uint64_t pool; /* FUZZ_POOL bytes of guest memory that requests lie in */
	uint64_t mark; /* of mock_alloc, after the pool and the rings */
};

struct fuzz_device {
	int (*create)(struct fuzz_guest *g); /* sets g->vd */
	/* One well-formed request of this device, cut up as the input says: fills g's pool and bufs (room for 16); returns their number and the queue. */
	unsigned int (*request)(struct fuzz_guest *g, struct mock_buf *bufs, unsigned int *ret_queue);
	void (*act)(struct fuzz_guest *g, uint8_t what); /* something the host does. May be NULL */
	bool (*alive)(struct fuzz_guest *g); /* is an honest request served? Asked at the end, after a reset */
	void (*settle)(struct fuzz_guest *g); /* ends what is in flight, before a reset may wait for it. May be NULL */
};

#define FUZZ_POOL KIB(64)
#define FUZZ_MAX_OPS 512

static inline uint64_t fuzz_bytes(struct fuzz_guest *g, unsigned int n)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < n && g->in.left; i++, g->in.left--)
		v |= (uint64_t)*g->in.p++ << (8 * i);
	return v;
}

static inline void fuzz_settle(struct fuzz_guest *g)
{
	if (g->device->settle)
		g->device->settle(g);
}

/* An address: in the pool, near an edge of RAM, a ring, or anywhere. */
static inline uint64_t fuzz_gpa(struct fuzz_guest *g)
{
	uint8_t what = (uint8_t)fuzz_bytes(g, 1);
	uint16_t v = (uint16_t)fuzz_bytes(g, 2);
	const struct mock_queue *q = &g->d->queue[v % 4];

	switch (what % 16) {
	case 0:
		return MOCK_RAM_BASE + MOCK_RAM_SIZE - v;
	case 1:
		return MOCK_RAM_BASE - v;
	case 2:
		return fuzz_bytes(g, 8);
	case 3:
		return q->desc + (v >> 6);
	case 4:
		return q->driver + (v >> 6);
	case 5:
		return q->device + (v >> 6);
	default:
		return g->pool + v % FUZZ_POOL;
	}
}

static inline uint32_t fuzz_len(struct fuzz_guest *g)
{
	static const uint32_t lengths[] = { 0, 1, 4, 10, 15, 16, 17, 512, 513, 4096, 8192, 1 << 20, 1 << 25, UINT32_MAX };
	uint8_t what = (uint8_t)fuzz_bytes(g, 1);

	return what < ARRAY_SIZE(lengths) ? lengths[what] : what & 1 ? what : (uint32_t)fuzz_bytes(g, 2);
}

static inline void fuzz_add(struct fuzz_guest *g, const struct mock_buf *bufs, unsigned int n, unsigned int queue, uint8_t how)
{
	if (!n || queue >= g->d->n_queues || !g->d->queue[queue].num)
		return;
	if (g->vm->next > MOCK_RAM_BASE + MOCK_RAM_SIZE - MIB(1))
		g->vm->next = g->mark;
	mock_add(g->d, queue, bufs, n, how & 1 && g->d->features & MOCK_F_INDIRECT ? MOCK_INDIRECT : MOCK_DIRECT);
	if (how & 2)
		mock_kick(g->d, queue);
}

static inline void fuzz_start(struct fuzz_guest *g)
{
	static const uint64_t masks[] = {
		MOCK_ALL, MOCK_ALL & ~MOCK_F_PACKED, MOCK_ALL & ~MOCK_F_EVENT_IDX, MOCK_F_INDIRECT, 0,
	};
	uint8_t what = (uint8_t)fuzz_bytes(g, 1);

	fuzz_settle(g);
	g->vm->next = g->pool + FUZZ_POOL;
	g->d->queue_size = what & 8 ? (uint16_t)1 << (what >> 4 & 7) : 0;
	mock_start(g->d, what % 8 < ARRAY_SIZE(masks) ? masks[what % 8] : fuzz_bytes(g, 8));
	g->mark = g->vm->next;
}

static inline void fuzz_op(struct fuzz_guest *g)
{
	uint8_t op = (uint8_t)fuzz_bytes(g, 1), how = op >> 4;
	struct mock_buf bufs[16];
	unsigned int n, queue = 0;
	uint8_t raw[64];

	switch (op % 16) {
	case 0: case 1: case 2: case 3:
		n = g->device->request(g, bufs, &queue);
		fuzz_add(g, bufs, n, queue, how);
		break;
	case 4: /* any chain */
		queue = (unsigned int)fuzz_bytes(g, 1);
		n = queue >> 4;
		for (unsigned int i = 0; i < n; i++) {
			uint8_t w = (uint8_t)fuzz_bytes(g, 1);

			bufs[i] = (struct mock_buf){ .write = w & 1 };
			bufs[i].gpa = fuzz_gpa(g);
			bufs[i].len = fuzz_len(g);
		}
		fuzz_add(g, bufs, n, queue % 8, how);
		break;
	case 5:
		queue = (unsigned int)fuzz_bytes(g, 1);
		if (queue < g->d->n_queues && how & 1)
			mock_kick(g->d, queue);
		else
			mock_write32(g->d, 0x50, queue);
		break;
	case 6: /* any register */
		fuzz_settle(g);
		n = (unsigned int)fuzz_bytes(g, 2) % VIRTIO_MMIO_SIZE;
		put_le64(raw, fuzz_bytes(g, 8));
		mock_write(g->d, n, raw, 1 + how % 8);
		break;
	case 7:
		mock_read(g->d, (uint32_t)fuzz_bytes(g, 2) % VIRTIO_MMIO_SIZE, raw, 1 + how % 8);
		break;
	case 8: /* the device's own registers */
		n = (unsigned int)fuzz_bytes(g, 1);
		put_le64(raw, fuzz_bytes(g, 8));
		if (how & 8)
			mock_write(g->d, 0x100 + n, raw, 1 + how % 8);
		else
			mock_read(g->d, 0x100 + n, raw, 1 + how % 8);
		break;
	case 9: /* bytes anywhere, rings included */
		for (n = 0; n <= how; n++)
			raw[n] = (uint8_t)fuzz_bytes(g, 1);
		memory_write(g->vm->memory, fuzz_gpa(g), raw, n);
		break;
	case 10:
		for (queue = 0; queue < g->d->n_queues; queue++)
			while (mock_used(g->d, queue, NULL) >= 0)
				;
		mock_isr(g->d);
		break;
	case 11:
		fuzz_start(g);
		break;
	case 12: /* saved and loaded: into itself it is refused, a reset one takes it or says why not */
		fuzz_settle(g);
		virtio_pause(g->vd);
		{
			size_t len = (size_t)virtio_save(g->vd, NULL, 0), at;
			char *state = malloc(len);
			struct err e = { 0 };

			if (virtio_save(g->vd, state, len) == (int64_t)len) {
				if (how & 1)
					mock_write32(g->d, 0x70, 0);
				for (n = how >> 1; n; n--) {
					at = (size_t)fuzz_bytes(g, 2) % len;
					state[at] ^= (char)fuzz_bytes(g, 1);
				}
				virtio_load(g->vd, state, len, &e);
			}
			free(state);
		}
		virtio_resume(g->vd);
		break;
	case 13:
		fuzz_settle(g);
		if (how & 1)
			virtio_pause(g->vd);
		else
			virtio_resume(g->vd);
		break;
	default:
		if (g->device->act)
			g->device->act(g, (uint8_t)fuzz_bytes(g, 1));
	}
}

static inline int fuzz_run(const struct fuzz_device *device, void *ctx, const uint8_t *data, size_t size)
{
	struct fuzz_guest g = { .in = { data, size }, .device = device, .ctx = ctx };

	g.vm = mock_vm_create(0);
	g.pool = mock_alloc(g.vm, FUZZ_POOL, 4096);
	if (device->create(&g) < 0)
		abort();
	g.d = mock_driver_create(g.vm, g.vd, IRQ_LEVEL);
	fuzz_start(&g);
	for (unsigned int i = 0; g.in.left && i < FUZZ_MAX_OPS; i++)
		fuzz_op(&g);
	/* Whatever the guest did: after a reset the device serves an honest driver. */
	fuzz_settle(&g);
	virtio_resume(g.vd);
	g.vm->next = g.pool + FUZZ_POOL;
	g.d->queue_size = 0;
	if (mock_start(g.d, MOCK_ALL) < 0 || !device->alive(&g))
		abort();
	mock_driver_destroy(g.d);
	virtio_destroy(g.vd);
	mock_vm_destroy(g.vm);
	return 0;
}

#endif
