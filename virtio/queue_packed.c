// SPDX-License-Identifier: MIT
/*
 * The packed virtqueue (virtio 1.3, 2.8). One ring of descriptors, read at next_avail and written back at next_used; a wrap counter for each says in which
 * round it is. The driver's and the device's event suppression areas are {off:15 wrap:1, flags:2} each.
 *
 * Slots in flight are the distance from next_used to next_avail, never more than num: a driver that makes a slot available again before
 * it was used breaks the ring.
 */
#include <errno.h>

#include "virtio/queue_internal.h"

enum { EVENT_ENABLE, EVENT_DISABLE, EVENT_DESC };

static unsigned int in_flight(const struct queue_state *s)
{
	return s->next_avail + (s->avail_wrap == s->used_wrap ? 0 : s->num) - s->next_used;
}

/* 2.8.1: available when AVAIL equals our wrap counter and USED does not. */
static bool available(struct queue *q, memory_order order, uint16_t *ret_flags)
{
	uint16_t flags = slice_load_le16(&q->desc, (size_t)DESC_SIZE * q->s.next_avail + 14, order);

	*ret_flags = flags;
	return !!(flags & DESC_AVAIL) == q->s.avail_wrap && !!(flags & DESC_USED) != q->s.avail_wrap;
}

static void read_desc(struct queue *q, uint16_t i, struct desc *ret)
{
	size_t at = (size_t)DESC_SIZE * i;
	uint64_t low = slice_load_le64(&q->desc, at, memory_order_relaxed);
	uint64_t high = slice_load_le64(&q->desc, at + 8, memory_order_relaxed);

	*ret = (struct desc){
		.addr = low,
		.len = (uint32_t)high,
		.link = (uint16_t)(high >> 32),
		.flags = (uint16_t)(high >> 48),
	};
}

/* 2.8.9: the table is a plain array; WRITE is its only flag, others are ignored. */
static int walk_indirect(struct queue *q, struct chain *c, const struct desc *table)
{
	int n = queue_indirect_entries(q, table);

	for (int i = 0; i < n; i++) {
		struct desc d;
		int r = queue_read_indirect(q, table->addr, i, true, &d);

		if (r >= 0)
			r = queue_chain_add(q, c, &d);
		if (r < 0)
			return r;
	}
	return n;
}

static int walk(struct queue *q, struct chain *c, uint16_t head_flags)
{
	struct queue_state *s = &q->s;
	unsigned int room = s->num - in_flight(s);
	uint16_t i = s->next_avail;

	for (unsigned int n = 0; n < room; n++) {
		struct desc d;
		int r;

		read_desc(q, i, &d);
		if (!n)
			d.flags = head_flags; /* what was seen when it became available, not a second look */
		c->id = d.link;		      /* 2.8.8: the last one's counts */
		c->n_desc = n + 1;
		if (d.flags & DESC_INDIRECT) /* 2.8.19: never part of a list */
			return n ? -EPROTO : walk_indirect(q, c, &d);
		r = queue_chain_add(q, c, &d);
		if (r < 0)
			return r;
		if (!(d.flags & DESC_NEXT))
			return 0;
		i = i + 1 == s->num ? 0 : i + 1;
	}
	return -EPROTO;
}

static int packed_pop(struct queue *q, struct chain *c)
{
	struct queue_state *s = &q->s;
	uint16_t flags;
	int r;

	/* Pairs with the driver's barrier before it stores the flags of a list's first descriptor (2.8.21.1). */
	if (!available(q, memory_order_acquire, &flags))
		return 0;
	queue_chain_start(c);
	r = walk(q, c, flags);
	if (r >= 0)
		r = queue_chain_end(c);
	if (r < 0)
		return r;
	s->next_avail += c->n_desc;
	if (s->next_avail >= s->num) {
		s->next_avail -= s->num;
		s->avail_wrap = !s->avail_wrap;
	}
	return 1;
}

static void packed_unpop(struct queue *q, const struct chain *c)
{
	struct queue_state *s = &q->s;

	if (s->next_avail < c->n_desc) {
		s->next_avail += s->num;
		s->avail_wrap = !s->avail_wrap;
	}
	s->next_avail -= c->n_desc;
}

static uint16_t position(uint16_t slot, bool wrap)
{
	return slot | (wrap ? QUEUE_POSITION_WRAP : 0);
}

/* Slots from position `from` forward to `to`, over two rounds: 0 to 2*num-1. */
static unsigned int distance(uint16_t from, uint16_t to, uint16_t num)
{
	unsigned int a = (from & ~QUEUE_POSITION_WRAP) + (from & QUEUE_POSITION_WRAP ? num : 0);
	unsigned int b = (to & ~QUEUE_POSITION_WRAP) + (to & QUEUE_POSITION_WRAP ? num : 0);

	return b >= a ? b - a : b + 2 * num - a;
}

static void packed_push(struct queue *q, const struct chain *c, const uint32_t *written, unsigned int n)
{
	struct queue_state *s = &q->s;
	size_t first_at = (size_t)DESC_SIZE * s->next_used;
	uint16_t first_flags = 0;

	for (unsigned int i = 0; i < n; i++) {
		size_t at = (size_t)DESC_SIZE * s->next_used;
		uint16_t flags = (s->used_wrap ? DESC_AVAIL | DESC_USED : 0) | (written[i] ? DESC_WRITE : 0);

		slice_store_le32(&q->desc, at + 8, MIN(written[i], c[i].in_len), memory_order_relaxed);
		slice_store_le16(&q->desc, at + 12, c[i].id, memory_order_relaxed);
		if (i)
			slice_store_le16(&q->desc, at + 14, flags, memory_order_release);
		else
			first_flags = flags;
		queue_stored(q, s->desc + at + 8, 8);
		s->next_used += c[i].n_desc;
		if (s->next_used >= s->num) {
			s->next_used -= s->num;
			s->used_wrap = !s->used_wrap;
		}
		/* A whole round without a decision: the next one must not compare. */
		if (distance(s->signalled_used, position(s->next_used, s->used_wrap), s->num) >= s->num)
			s->signalled_valid = false;
	}
	/*
	 * The first one's flags come last, as the driver looks at no later slot before (2.8.11). Pairs with its read barrier after it has seen
	 * USED (2.8.22): data, ids and lengths come first.
	 */
	slice_store_le16(&q->desc, first_at + 14, first_flags, memory_order_release);
}

static bool packed_wants_interrupt(struct queue *q)
{
	struct queue_state *s = &q->s;
	uint16_t now = position(s->next_used, s->used_wrap), before = s->signalled_used, event;
	bool valid = s->signalled_valid;
	uint32_t area;

	/*
	 * Pairs with the driver's full barrier between writing its event suppression and looking for used descriptors once more: either it
	 * sees our flags, or we see its wish.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	s->signalled_used = now;
	s->signalled_valid = true;
	if (valid && now == before)
		return false;
	area = slice_load_le32(&q->driver, 0, memory_order_relaxed);
	event = (uint16_t)area;
	switch (area >> 16 & 3) {
	case EVENT_DISABLE:
		return false;
	case EVENT_DESC:
		if (!q->event_idx || !valid || (event & ~QUEUE_POSITION_WRAP) >= s->num)
			return true;
		return distance(before, event, s->num) < distance(before, now, s->num);
	default:
		return true;
	}
}

static void store_event(struct queue *q, uint16_t off_wrap, uint16_t flags)
{
	/* Offset and flags at once: the driver never sees half of a change. */
	slice_store_le32(&q->device, 0, off_wrap | (uint32_t)flags << 16, memory_order_relaxed);
	queue_stored(q, q->s.device, 4);
}

static void packed_doorbell_off(struct queue *q)
{
	store_event(q, 0, EVENT_DISABLE);
}

static bool packed_doorbell_on(struct queue *q)
{
	uint16_t flags;

	if (q->event_idx)
		store_event(q, position(q->s.next_avail, q->s.avail_wrap), EVENT_DESC);
	else
		store_event(q, 0, EVENT_ENABLE);
	/* Pairs with the driver's full barrier between making descriptors available and reading this area (2.8.21.3). */
	atomic_thread_fence(memory_order_seq_cst);
	return available(q, memory_order_relaxed, &flags);
}

const struct queue_ops queue_packed_ops = {
	.pop = packed_pop,
	.unpop = packed_unpop,
	.push = packed_push,
	.wants_interrupt = packed_wants_interrupt,
	.doorbell_off = packed_doorbell_off,
	.doorbell_on = packed_doorbell_on,
};
