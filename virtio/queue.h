// SPDX-License-Identifier: MIT
/*
 * Virtqueues, split (virtio 1.3, 2.7) and packed (2.8) behind one face. Descriptors are copied once before they are looked at, chains are
 * bounded by the queue size, and every number of the guest is checked before use. A broken ring is the guest's fault: -EPROTO, and the core
 * sets NEEDS_RESET. Callers hold the device's lock.
 */
#ifndef LKVM_VIRTIO_QUEUE_H
#define LKVM_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "memory.h"
#include "virtio/chain.h"

#define QUEUE_MAX_SIZE 1024

/* Whether any transport of this build has legacy drivers: meson.build says 0 for machines without one, which then hold nothing for them. */
#ifndef VIRTIO_LEGACY
#define VIRTIO_LEGACY 1
#endif

/* What the guest can see or has set: plain data, saved and loaded by copy. */
struct queue_state {
	uint64_t desc;	 /* guest addresses of the three areas */
	uint64_t driver; /* split: available ring; packed: driver event suppression */
	uint64_t device; /* split: used ring; packed: device event suppression */
	uint16_t num;	 /* entries, set by the driver; split: a power of two */
	bool ready;
	uint16_t next_avail, next_used;	    /* split: free-running; packed: slot numbers */
	bool avail_wrap, used_wrap;	    /* packed */
	uint16_t signalled_used;	    /* used position at the last interrupt decision (event index) */
	bool signalled_valid;
};

struct queue_ops;

struct queue {
	struct queue_state s;
	const struct queue_ops *ops; /* NULL until queue_start */
	struct memory *memory;
	struct slice desc, driver, device;
	bool event_idx, indirect;
	bool big_endian; /* a legacy ring of a big-endian guest (2.7, legacy interfaces): set before queue_start, split only */
};

/* Puts the state to its value after reset; num becomes max_num. */
void queue_reset(struct queue *q, uint16_t max_num);

/*
 * Checks the areas the driver set (aligned, in RAM, num right for the format) and makes the queue usable; `features` are the negotiated ones
 * (VIRTIO_F_RING_PACKED, VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC). Keeps the positions in q->s, so it also serves after a load. -EINVAL otherwise.
 */
int queue_start(struct queue *q, struct memory *memory, uint64_t features);
void queue_stop(struct queue *q); /* unusable until the next queue_start; state kept */
static inline bool queue_running(const struct queue *q)
{
	return q->ops;
}

/*
 * Takes the next request: 1 with *c filled, 0 when there is none, -EPROTO when the ring is broken (also: more segments than
 * c->cap, a readable after a writable descriptor, a looping chain, an address outside RAM, more in flight than num, a request without a single byte).
 * Empty descriptors among others are skipped, as nothing in the specification forbids them.
 */
int queue_pop(struct queue *q, struct chain *c);
/* Gives back the request last taken, as if queue_pop had not been called. */
void queue_unpop(struct queue *q, const struct chain *c);
/* Hands a request back with `written` bytes in its writable part (from its start), which are marked dirty. Requests may be pushed in any order. */
void queue_push(struct queue *q, const struct chain *c, uint32_t written);
/* The same for n requests, written[i] bytes in c[i]: the driver sees all of them or none (a network frame in several buffers). */
void queue_push_many(struct queue *q, const struct chain *c, const uint32_t *written, unsigned int n);

/* After a batch of pushes: does the driver want an interrupt? Contains the barrier that event suppression needs. */
bool queue_wants_interrupt(struct queue *q);

/* Doorbells off while the device is working; on again before it sleeps. queue_doorbell_on returns true when requests came meanwhile: pop again. */
void queue_doorbell_off(struct queue *q);
bool queue_doorbell_on(struct queue *q);

/* Bytes that the three areas need for num entries (for the fuzzers and the driver-side mock too). */
void queue_area_sizes(uint16_t num, bool packed, uint64_t *ret_desc, uint64_t *ret_driver, uint64_t *ret_device);

#endif
