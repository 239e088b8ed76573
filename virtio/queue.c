// SPDX-License-Identifier: MIT
#include "virtio/queue.h"

#include <errno.h>

#include "virtio/queue_internal.h"

void queue_reset(struct queue *q, uint16_t max_num)
{
	*q = (struct queue){
		.s = {.num = max_num, .avail_wrap = true, .used_wrap = true},
	};
}

void queue_area_sizes(uint16_t num, bool packed, uint64_t *ret_desc, uint64_t *ret_driver, uint64_t *ret_device)
{
	*ret_desc = (uint64_t)DESC_SIZE * num;
	*ret_driver = packed ? 4 : 6 + 2 * (uint64_t)num;
	*ret_device = packed ? 4 : 6 + 8 * (uint64_t)num;
}

/* Positions that come from a saved state are as little to be trusted as the guest's numbers. */
static bool positions_ok(const struct queue_state *s, bool packed)
{
	if (!packed)
		return (uint16_t)(s->next_avail - s->next_used) <= s->num;
	if (s->next_avail >= s->num || s->next_used >= s->num)
		return false;
	return s->avail_wrap == s->used_wrap ? s->next_avail >= s->next_used : s->next_avail <= s->next_used;
}

int queue_start(struct queue *q, struct memory *memory, uint64_t features)
{
	bool packed = features >> FEATURE_RING_PACKED & 1 && !queue_legacy(q);
	uint64_t desc_len, driver_len, device_len;
	struct slice desc, driver, device;
	const struct queue_state *s = &q->s;

	if (!s->num || s->num > QUEUE_MAX_SIZE || (!packed && !is_pow2(s->num)))
		return -EINVAL;
	if (s->desc % 16 || s->driver % (packed ? 4 : 2) || s->device % 4)
		return -EINVAL;
	if (!positions_ok(s, packed))
		return -EINVAL;
	queue_area_sizes(s->num, packed, &desc_len, &driver_len, &device_len);
	if (memory_slice(memory, s->desc, desc_len, &desc) < 0 ||
	    memory_slice(memory, s->driver, driver_len, &driver) < 0 ||
	    memory_slice(memory, s->device, device_len, &device) < 0)
		return -EINVAL;
	q->memory = memory;
	q->desc = desc;
	q->driver = driver;
	q->device = device;
	q->event_idx = features >> FEATURE_EVENT_IDX & 1;
	q->indirect = features >> FEATURE_INDIRECT_DESC & 1;
	q->ops = packed ? &queue_packed_ops : &queue_split_ops;
	if (!s->next_used && s->used_wrap && !s->signalled_valid) {
		/* A new ring: the last decision was made before its first entry. */
		q->s.signalled_used = packed ? QUEUE_POSITION_WRAP : 0;
		q->s.signalled_valid = true;
	}
	return 0;
}

void queue_stop(struct queue *q)
{
	q->ops = NULL;
	q->desc = q->driver = q->device = (struct slice){0};
}

int queue_pop(struct queue *q, struct chain *c)
{
	return q->ops->pop(q, c);
}

void queue_unpop(struct queue *q, const struct chain *c)
{
	q->ops->unpop(q, c);
}

static bool tracking(const struct memory *m)
{
	for (unsigned int i = 0; i < m->n_regions; i++)
		if (m->region[i].dirty)
			return true;
	return false;
}

static void mark_written(struct queue *q, const struct chain *c, uint32_t written)
{
	for (unsigned int i = c->n_out; written && i < c->n_out + c->n_in; i++) {
		uint32_t n = MIN(written, c->iov[i].iov_len);

		memory_mark_dirty(q->memory, memory_gpa(q->memory, c->iov[i].iov_base), n);
		written -= n;
	}
}

void queue_push(struct queue *q, const struct chain *c, uint32_t written)
{
	queue_push_many(q, c, &written, 1);
}

void queue_push_many(struct queue *q, const struct chain *c, const uint32_t *written, unsigned int n)
{
	if (tracking(q->memory))
		for (unsigned int i = 0; i < n; i++)
			mark_written(q, &c[i], written[i]);
	if (n)
		q->ops->push(q, c, written, n);
}

bool queue_wants_interrupt(struct queue *q)
{
	return q->ops->wants_interrupt(q);
}

void queue_doorbell_off(struct queue *q)
{
	q->ops->doorbell_off(q);
}

bool queue_doorbell_on(struct queue *q)
{
	return q->ops->doorbell_on(q);
}

void queue_chain_start(struct chain *c)
{
	c->n_out = c->n_in = 0;
	c->out_len = c->in_len = 0;
	c->id = c->n_desc = 0;
}

int queue_chain_add(struct queue *q, struct chain *c, const struct desc *d)
{
	unsigned int used = c->n_out + c->n_in;
	bool write = d->flags & DESC_WRITE;
	uint64_t *total = write ? &c->in_len : &c->out_len;
	int n;

	/* 2.7.4.2 and 2.8.14: device-writable parts come after all device-readable ones. */
	if (!write && c->n_in)
		return -EPROTO;
	if (!d->len) /* nowhere forbidden */
		return 0;
	if (*total + d->len > UINT32_MAX)
		return -EPROTO;
	n = memory_iov(q->memory, d->addr, d->len, c->iov + used, c->cap - used);
	if (n < 0)
		return -EPROTO;
	if (write)
		c->n_in += n;
	else
		c->n_out += n;
	*total += d->len;
	return 0;
}

int queue_chain_end(const struct chain *c)
{
	return c->n_out + c->n_in ? 0 : -EPROTO;
}

int queue_indirect_entries(const struct queue *q, const struct desc *d)
{
	/*
	 * 2.7.5.3: only when negotiated, never with NEXT. The specification bounds a table by the queue size, but Linux exceeds that (as many
	 * segments as the device takes, in a smaller ring); so the bound is the largest queue.
	 */
	if (!q->indirect || d->flags & DESC_NEXT)
		return -EPROTO;
	if (!d->len || d->len % DESC_SIZE || d->len / DESC_SIZE > QUEUE_MAX_SIZE)
		return -EPROTO;
	return d->len / DESC_SIZE;
}

int queue_read_indirect(struct queue *q, uint64_t gpa, uint32_t i, bool packed, struct desc *ret)
{
	uint64_t at = gpa + (uint64_t)i * DESC_SIZE;
	uint8_t raw[DESC_SIZE];

	if (at < gpa || memory_read(q->memory, at, raw, sizeof(raw)) < 0)
		return -EPROTO;
	*ret = (struct desc){
		.addr = queue_legacy(q) ? get_be64(raw) : get_le64(raw),
		.len = queue_32(q, get_le32(raw + 8)),
		.flags = queue_16(q, get_le16(raw + (packed ? 14 : 12))),
		.link = queue_16(q, get_le16(raw + (packed ? 12 : 14))),
	};
	return 0;
}
