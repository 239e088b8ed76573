// SPDX-License-Identifier: MIT
/*
 * Guest writes that KVM queues instead of leaving the kernel (coalesced MMIO). Handlers are called in the order the guest wrote, under the
 * coalescer's lock: they take no device's lock and never wait. Lock order: device, coalescer, interrupt status, interrupt controller.
 *
 * Whoever reads or computes state that a queued write could change drains first; each vCPU drains before it handles an exit. A guest that leaves
 * nothing but queued writes is served by a timer (coalescer_watch) within COALESCER_WATCH_NS.
 */
#ifndef LKVM_COALESCE_H
#define LKVM_COALESCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/util.h"
#include "hv/hv.h"
#include "loop/loop.h"

#define COALESCER_WATCH_NS UINT64_C(1000000)

struct coalescer;

/* -EOPNOTSUPP when the host has no coalesced MMIO: callers then go without (NULL coalescer). */
int coalescer_create(struct hv *hv, struct loop *loop, struct coalescer **ret);
void coalescer_destroy(struct coalescer *c);
DEFINE_CLEANUP(coalescer, coalescer_destroy)

/* Writes within [gpa, gpa+size) (size 1 to 8) go to fn from now on. Thread-safe. */
typedef void (*coalescer_fn)(void *ctx, uint64_t gpa, const void *data, unsigned int len);
int coalescer_add(struct coalescer *c, uint64_t gpa, uint32_t size, coalescer_fn fn, void *ctx);
void coalescer_remove(struct coalescer *c, uint64_t gpa);

/* Applies what is queued; c may be NULL. Any thread; cheap when the ring is empty. */
void coalescer_drain(struct coalescer *c);

/*
 * Something is in service whose end may be a queued write: drain soon even if no vCPU exits. c may be NULL, any thread, handlers too. Costs a load
 * when the watch is on already. The watch goes on while `busy` (coalescer_set_busy) says that something is still in service; without
 * busy, until a queued write has been applied.
 */
void coalescer_watch(struct coalescer *c);
/* Called on the loop thread, without locks held; for one owner (the interrupt controller). fn NULL takes it away. c may be NULL. */
void coalescer_set_busy(struct coalescer *c, bool (*fn)(void *ctx), void *ctx);

#endif
