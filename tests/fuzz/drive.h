// SPDX-License-Identifier: MIT
/*
 * What a hostile guest can do to a virtio-mmio device, as a little language of bytes: registers of any width, requests of any shape, scribbles over
 * the rings, resets, saved states with wrong bytes. A fuzz target gives the device and its own operations. After every input the device must serve an honest driver again.
 */
#ifndef LKVM_TESTS_FUZZ_DRIVE_H
#define LKVM_TESTS_FUZZ_DRIVE_H

#include <stdio.h>
#include <stdlib.h>

#include "tests/mock_driver.h"

#define DRIVE_ARENA 0x40000
#define DRIVE_OPS 400
#define DRIVE_STARTS 12

struct drive {
	const uint8_t *p, *end;
	struct mock_vm *vm;
	struct virtio_device *vd;
	struct mock_driver *d;
	uint64_t arena;
	unsigned int starts;
	/* The target's own: */
	struct virtio_device *(*create)(struct drive *v);
	void (*op)(struct drive *v, uint8_t what); /* something on the host's side of the device */
	bool (*alive)(struct drive *v);		   /* after an honest start: does it work? */
	void *ctx;
};

static inline uint64_t drive_take(struct drive *v, unsigned int bytes)
{
	uint64_t n = 0;

	while (bytes-- && v->p < v->end)
		n = n << 8 | *v->p++;
	return n;
}

/* One request, or the same one again and again further on in memory, with one ring of the bell. */
static void drive_add(struct drive *v, unsigned int times)
{
	unsigned int n = drive_take(v, 1) % VIRTIO_MAX_QUEUES, n_bufs = 1 + drive_take(v, 1) % 8;
	enum mock_layout layout = drive_take(v, 1) & 1 ? MOCK_INDIRECT : MOCK_DIRECT;
	struct mock_buf bufs[8];

	if (!v->d->queue[n].num)
		return;
	for (unsigned int i = 0; i < n_bufs; i++) {
		uint32_t at = (uint32_t)drive_take(v, 3), len = (uint32_t)drive_take(v, 2);
		uint8_t what = (uint8_t)drive_take(v, 1);

		bufs[i] = (struct mock_buf){v->arena + at % DRIVE_ARENA, len, what & 1};
		if (what == 0xfe)
			bufs[i].len = UINT32_MAX - len;
		if (what == 0xfc)
			bufs[i].gpa += UINT64_C(1) << 40;
	}
	while (times-- && mock_add(v->d, n, bufs, n_bufs, layout) >= 0)
		for (unsigned int i = 0; i < n_bufs; i++)
			bufs[i].gpa += bufs[i].len;
	mock_kick(v->d, n);
}

static void drive_scribble(struct drive *v)
{
	struct mock_queue *q = &v->d->queue[drive_take(v, 1) % VIRTIO_MAX_QUEUES];
	uint8_t area = (uint8_t)drive_take(v, 1);
	uint32_t at = (uint32_t)drive_take(v, 2);
	uint8_t bytes[8];

	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)drive_take(v, 1);
	at = area & 4 ? at % 64 : at;
	memory_write(v->vm->memory, (area & 3) == 0 ? q->desc + at : (area & 3) == 1 ? q->driver + at :
				    (area & 3) == 2 ? q->device + at : v->arena + at, bytes, 1 + (area >> 3) % 8);
}

/* A saved state with up to three wrong bytes, taken or refused by another device on the same memory. */
static void drive_reload(struct drive *v)
{
	static char state[32768];
	struct virtio_device *other = v->create(v);
	int64_t len;

	virtio_pause(v->vd);
	len = virtio_save(v->vd, state, sizeof(state));
	for (unsigned int i = 0; len > 0 && i < 3; i++) {
		uint32_t at = (uint32_t)drive_take(v, 2);

		state[at % (uint64_t)len] ^= (char)drive_take(v, 1);
	}
	virtio_pause(other);
	if (len > 0 && virtio_load(other, state, (size_t)len, NULL) >= 0) {
		virtio_resume(other);
		for (unsigned int i = 0; i < other->n_queues; i++)
			virtio_ring(other, i);
	}
	virtio_destroy(other);
	virtio_resume(v->vd);
}

static void drive_step(struct drive *v)
{
	uint8_t what = (uint8_t)drive_take(v, 1);
	uint32_t offset;
	uint64_t value;

	switch (what % 10) {
	case 0: /* a driver comes up */
		if (v->starts++ < DRIVE_STARTS) {
			v->d->queue_size = (uint16_t)drive_take(v, 1);
			mock_start(v->d, what & 0x80 ? MOCK_ALL : drive_take(v, 8));
		}
		break;
	case 1:
		offset = (uint32_t)drive_take(v, 2) % 0x200;
		value = drive_take(v, 8);
		mock_write(v->d, offset, &value, 1u << (what >> 4 & 3));
		break;
	case 2:
		offset = (uint32_t)drive_take(v, 2) % 0x200;
		mock_read(v->d, offset, &value, 1u << (what >> 4 & 3));
		break;
	case 3:
		drive_add(v, 1);
		break;
	case 4:
		drive_add(v, 1 + (what / 10) * 4);
		break;
	case 5:
		drive_scribble(v);
		break;
	case 6:
		value = drive_take(v, 1);
		virtio_ring(v->vd, (uint32_t)value);
		break;
	case 7:
		value = drive_take(v, 1) % VIRTIO_MAX_QUEUES;
		while (v->d->queue[value].num && mock_used(v->d, (unsigned int)value, NULL) >= 0)
			;
		break;
	case 8:
		if (what & 0x80)
			drive_reload(v);
		else if (what & 0x40)
			virtio_pause(v->vd);
		else
			virtio_resume(v->vd);
		break;
	default:
		v->op(v, (uint8_t)drive_take(v, 1));
	}
}

static int drive_run(struct drive *v, const uint8_t *data, size_t size)
{
	v->p = data;
	v->end = data + size;
	v->vm = mock_vm_create(drive_take(v, 1) & 1 ? MOCK_HV : 0);
	v->arena = mock_alloc(v->vm, DRIVE_ARENA, 4096);
	v->vd = v->create(v);
	v->d = mock_driver_create(v->vm, v->vd, IRQ_LEVEL);
	for (unsigned int i = 0; i < DRIVE_OPS && v->p < v->end; i++)
		drive_step(v);
	virtio_resume(v->vd);
	v->d->queue_size = 0;
	if (mock_start(v->d, MOCK_ALL) < 0 || !v->alive(v)) {
		fprintf(stderr, "the device does not serve an honest driver any more\n");
		abort();
	}
	mock_driver_destroy(v->d);
	virtio_destroy(v->vd);
	mock_vm_destroy(v->vm);
	return 0;
}

#endif
