// SPDX-License-Identifier: MIT
/* A driver's half of virtio-mmio and of one split queue. */
#include "guest.h"

const struct place *virtio_find(uint32_t id, unsigned int n)
{
	for (unsigned int i = 0; i < machine.n_virtio; i++)
		if (read32(machine.virtio[i].base + V_DEVICE_ID) == id && !n--)
			return &machine.virtio[i];
	return NULL;
}

static void write_address(uint64_t at, const void *p)
{
	write32(at, (uint32_t)(uintptr_t)p);
	write32(at + 4, (uint32_t)((uintptr_t)p >> 32));
}

bool virtio_start(struct vdev *v, const struct place *at)
{
	uint64_t b = at->base;

	*v = (struct vdev){ .at = at };
	v->id = read32(b + V_DEVICE_ID);
	write32(b + V_STATUS, 0);
	if (read32(b + V_STATUS))
		return false;
	write32(b + V_STATUS, 1);
	write32(b + V_STATUS, 1 | 2);
	write32(b + V_DRIVER_FEATURES_SEL, 0);
	write32(b + V_DRIVER_FEATURES, 0);
	write32(b + V_DRIVER_FEATURES_SEL, 1);
	write32(b + V_DRIVER_FEATURES, 1);
	write32(b + V_STATUS, 1 | 2 | 8);
	if (read32(b + V_STATUS) != (1 | 2 | 8))
		return false;
	write32(b + V_QUEUE_SEL, 0);
	if (read32(b + V_QUEUE_MAX) < VQ_SIZE)
		return false;
	write32(b + V_QUEUE_NUM, VQ_SIZE);
	write_address(b + V_DESC, v->desc);
	write_address(b + V_DRIVER, &v->avail);
	write_address(b + V_DEVICE, &v->used);
	write32(b + V_QUEUE_READY, 1);
	write32(b + V_STATUS, 1 | 2 | 8 | 4);
	return read32(b + V_STATUS) == (1 | 2 | 8 | 4);
}

void virtio_add(struct vdev *v, unsigned int slot, const struct vseg *seg, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		v->desc[3 * slot + i] = (struct vq_desc){
			.addr = (uintptr_t)seg[i].base,
			.len = seg[i].len,
			.flags = (uint16_t)((seg[i].in ? 2 : 0) | (i + 1 < n ? 1 : 0)),
			.next = (uint16_t)(3 * slot + i + 1),
		};
	v->avail.ring[v->avail.idx % VQ_SIZE] = (uint16_t)(3 * slot);
	fence();
	*(volatile uint16_t *)&v->avail.idx = (uint16_t)(v->avail.idx + 1);
	fence();
}

void virtio_kick(struct vdev *v)
{
	fence();
	write32(v->at->base + V_QUEUE_NOTIFY, 0);
}

int virtio_pop(struct vdev *v, uint32_t *ret_len)
{
	uint32_t id;

	if (virtio_used(v) == v->seen)
		return -1;
	fence();
	id = *(volatile uint32_t *)&v->used.ring[v->seen % VQ_SIZE].id;
	if (ret_len)
		*ret_len = *(volatile uint32_t *)&v->used.ring[v->seen % VQ_SIZE].len;
	v->seen++;
	return (int)(id / 3);
}
