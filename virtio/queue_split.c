// SPDX-License-Identifier: MIT
/*
 * The split virtqueue (virtio 1.3, 2.7).
 *
 * Available ring: flags, idx, ring[num], used_event. Used ring: flags, idx, ring[num] of {id, len}, avail_event. Positions run freely
 * over 16 bits; requests in flight are next_avail - next_used, never more than num, so that devices need no more than num request structures.
 */
#include <errno.h>

#include "virtio/queue_internal.h"

#define AVAIL_FLAGS 0
#define AVAIL_IDX 2
#define AVAIL_RING 4
#define USED_FLAGS 0
#define USED_IDX 2
#define USED_RING 4
#define AVAIL_NO_INTERRUPT 1
#define USED_NO_NOTIFY 1

static uint16_t available(struct queue *q, memory_order order)
{
	return queue_16(q, slice_load_le16(&q->driver, AVAIL_IDX, order)) - q->s.next_avail;
}

/* A descriptor in two loads: a guest that changes it meanwhile is seen at one moment for each half, and never again. */
static void read_desc(struct queue *q, uint16_t i, struct desc *ret)
{
	size_t at = (size_t)DESC_SIZE * i;
	uint64_t low = slice_load_le64(&q->desc, at, memory_order_relaxed);
	uint64_t high = slice_load_le64(&q->desc, at + 8, memory_order_relaxed);

	*ret = (struct desc){
		.addr = queue_legacy(q) ? __builtin_bswap64(low) : low,
		.len = queue_32(q, (uint32_t)high),
		.flags = queue_16(q, (uint16_t)(high >> 32)),
		.link = queue_16(q, (uint16_t)(high >> 48)),
	};
}

static int walk_indirect(struct queue *q, struct chain *c, const struct desc *table)
{
	int n = queue_indirect_entries(q, table);
	uint32_t i = 0;

	if (n < 0)
		return n;
	for (int steps = 0; steps < n; steps++) {
		struct desc d;
		int r = queue_read_indirect(q, table->addr, i, false, &d);

		if (r < 0)
			return r;
		if (d.flags & DESC_INDIRECT) /* 2.7.5.3.1: not nested */
			return -EPROTO;
		r = queue_chain_add(q, c, &d);
		if (r < 0)
			return r;
		if (!(d.flags & DESC_NEXT))
			return 0;
		if (d.link >= n)
			return -EPROTO;
		i = d.link;
	}
	return -EPROTO; /* more steps than entries: a loop */
}

/* 2.7.5.3.2: some chained descriptors may come before one that refers to an indirect table. */
static int walk(struct queue *q, struct chain *c, uint16_t head)
{
	uint16_t i = head;

	for (unsigned int steps = 0; steps < q->s.num; steps++) {
		struct desc d;
		int r;

		if (i >= q->s.num)
			return -EPROTO;
		read_desc(q, i, &d);
		if (d.flags & DESC_INDIRECT)
			return walk_indirect(q, c, &d);
		r = queue_chain_add(q, c, &d);
		if (r < 0)
			return r;
		if (!(d.flags & DESC_NEXT))
			return 0;
		i = d.link;
	}
	return -EPROTO;
}

static int split_pop(struct queue *q, struct chain *c)
{
	struct queue_state *s = &q->s;
	/* Pairs with the driver's barrier between filling descriptors and ring[] and storing avail->idx (2.7.13.3). */
	uint16_t n = available(q, memory_order_acquire);
	uint16_t in_flight = s->next_avail - s->next_used;
	int r;

	if (!n)
		return 0;
	if (n > s->num || in_flight >= s->num)
		return -EPROTO;
	queue_chain_start(c);
	c->id = queue_16(q, slice_load_le16(&q->driver, AVAIL_RING + 2 * (size_t)(s->next_avail & (s->num - 1)),
					    memory_order_relaxed));
	c->n_desc = 1;
	r = walk(q, c, c->id);
	if (r >= 0)
		r = queue_chain_end(c);
	if (r < 0)
		return r;
	s->next_avail++;
	return 1;
}

static void split_unpop(struct queue *q, const struct chain *c)
{
	(void)c;
	q->s.next_avail--;
}

static void split_push(struct queue *q, const struct chain *c, const uint32_t *written, unsigned int n)
{
	struct queue_state *s = &q->s;

	for (unsigned int i = 0; i < n; i++) {
		size_t at = USED_RING + 8 * (size_t)(s->next_used & (s->num - 1));

		slice_store_le32(&q->device, at, queue_32(q, c[i].id), memory_order_relaxed);
		slice_store_le32(&q->device, at + 4, queue_32(q, MIN(written[i], c[i].in_len)), memory_order_relaxed);
		queue_stored(q, s->device + at, 8);
		s->next_used++;
		if (s->next_used == s->signalled_used) /* once around without a decision: the next one must not compare */
			s->signalled_valid = false;
	}
	/* Pairs with the driver's read barrier after it has read used->idx (2.7.14): data and ring entries come first. */
	slice_store_le16(&q->device, USED_IDX, queue_16(q, s->next_used), memory_order_release);
	queue_stored(q, s->device + USED_IDX, 2);
}

static bool split_wants_interrupt(struct queue *q)
{
	struct queue_state *s = &q->s;
	uint16_t now = s->next_used, before = s->signalled_used, event;
	bool valid = s->signalled_valid;

	/*
	 * Pairs with the driver's full barrier between storing used_event (or clearing NO_INTERRUPT) and looking at used->idx once more
	 * (2.7.7.2): either it sees our idx, or we see its wish.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	s->signalled_used = now;
	s->signalled_valid = true;
	if (valid && now == before)
		return false;
	if (!q->event_idx)
		return !(queue_16(q, slice_load_le16(&q->driver, AVAIL_FLAGS, memory_order_relaxed)) & AVAIL_NO_INTERRUPT);
	event = queue_16(q, slice_load_le16(&q->driver, AVAIL_RING + 2 * (size_t)s->num, memory_order_relaxed));
	/* 2.7.7.2: interrupt when the entry numbered used_event is one of those written since the last decision. */
	return !valid || (uint16_t)(event - before) < (uint16_t)(now - before);
}

static void split_doorbell_off(struct queue *q)
{
	if (q->event_idx)
		return; /* avail_event lies behind: the driver has no reason to ring */
	slice_store_le16(&q->device, USED_FLAGS, queue_16(q, USED_NO_NOTIFY), memory_order_relaxed);
	queue_stored(q, q->s.device + USED_FLAGS, 2);
}

static bool split_doorbell_on(struct queue *q)
{
	size_t at = USED_RING + 8 * (size_t)q->s.num;

	if (q->event_idx) {
		slice_store_le16(&q->device, at, queue_16(q, q->s.next_avail), memory_order_relaxed);
		queue_stored(q, q->s.device + at, 2);
	} else {
		slice_store_le16(&q->device, USED_FLAGS, 0, memory_order_relaxed);
		queue_stored(q, q->s.device + USED_FLAGS, 2);
	}
	/*
	 * Pairs with the driver's full barrier between storing avail->idx and reading avail_event or flags (2.7.13.4.1): either it
	 * sees that we want to be told, or we see its request.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	return available(q, memory_order_relaxed);
}

const struct queue_ops queue_split_ops = {
	.pop = split_pop,
	.unpop = split_unpop,
	.push = split_push,
	.wants_interrupt = split_wants_interrupt,
	.doorbell_off = split_doorbell_off,
	.doorbell_on = split_doorbell_on,
};
