// SPDX-License-Identifier: MIT
/* What queue.c shares with the two ring formats; for nobody else. */
#ifndef LKVM_VIRTIO_QUEUE_INTERNAL_H
#define LKVM_VIRTIO_QUEUE_INTERNAL_H

#include "base/endian.h"
#include "virtio/queue.h"

#define FEATURE_INDIRECT_DESC 28
#define FEATURE_EVENT_IDX 29
#define FEATURE_RING_PACKED 34

/* Flags of a descriptor; AVAIL and USED are the packed ring's (2.8.1). */
#define DESC_NEXT 1
#define DESC_WRITE 2
#define DESC_INDIRECT 4
#define DESC_AVAIL (1u << 7)
#define DESC_USED (1u << 15)
#define DESC_SIZE 16
#define QUEUE_POSITION_WRAP 0x8000u /* a position in a packed ring: slot, and the wrap counter here */

/* The copy of one descriptor; `link` is next (split) or the buffer id (packed). */
struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, link;
};

struct queue_ops {
	int (*pop)(struct queue *q, struct chain *c);
	void (*unpop)(struct queue *q, const struct chain *c);
	void (*push)(struct queue *q, const struct chain *c, const uint32_t *written, unsigned int n);
	bool (*wants_interrupt)(struct queue *q);
	void (*doorbell_off)(struct queue *q);
	bool (*doorbell_on)(struct queue *q);
};

extern const struct queue_ops queue_split_ops, queue_packed_ops;

/* Empties *c before descriptors are added. */
void queue_chain_start(struct chain *c);
/* Appends the buffer of d; its WRITE flag says which part it belongs to. -EPROTO. An empty buffer adds nothing. */
int queue_chain_add(struct queue *q, struct chain *c, const struct desc *d);
/* Checks what can only be said of the whole: a request has at least one byte. */
int queue_chain_end(const struct chain *c);
/* Copies descriptor i of the indirect table at gpa, which may have any alignment; the two last fields are in the format's order. */
int queue_read_indirect(struct queue *q, uint64_t gpa, uint32_t i, bool packed, struct desc *ret);
/* Entries of the indirect table that d refers to, or -EPROTO for a length that is none. */
int queue_indirect_entries(const struct queue *q, const struct desc *d);

static inline bool queue_legacy(const struct queue *q)
{
	return VIRTIO_LEGACY && q->big_endian;
}

/* A number of a split ring or descriptor that was loaded, or is to be stored, as little-endian. */
static inline uint16_t queue_16(const struct queue *q, uint16_t v)
{
	return queue_legacy(q) ? __builtin_bswap16(v) : v;
}

static inline uint32_t queue_32(const struct queue *q, uint32_t v)
{
	return queue_legacy(q) ? __builtin_bswap32(v) : v;
}

static inline void queue_stored(struct queue *q, uint64_t gpa, uint64_t len)
{
	memory_mark_dirty(q->memory, gpa, len);
}

#endif
