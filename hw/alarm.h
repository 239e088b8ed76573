// SPDX-License-Identifier: MIT
/*
 * What real-time clocks have in common: the host's time of day, and being woken when a moment of it has come. The owner's lock serialises all calls but
 * alarm_stop; order: the owner's lock, loop.
 */
#ifndef LKVM_HW_ALARM_H
#define LKVM_HW_ALARM_H

#include "loop/loop.h"

struct alarm_config {
	struct loop *loop; /* NULL: moments that lie in the future do not come */
	uint64_t (*now_ns)(void *ctx); /* time since 1970; NULL: the host's clock */
	void *now_ctx;
};

struct alarm {
	struct alarm_config config;
	void (*look)(void *owner); /* on the loop's thread, without locks: ask alarm_due again */
	void *owner;
	struct loop_source *timer; /* made for the first moment that lies in the future */
};

void alarm_start(struct alarm *a, const struct alarm_config *config, void (*look)(void *owner), void *owner);
/* Without the owner's lock; look() does not run any more afterwards. Zeroed: fine. */
void alarm_stop(struct alarm *a);

static inline uint64_t alarm_now(const struct alarm *a)
{
	return a->config.now_ns(a->config.now_ctx);
}

/* Whether the moment `at` of a clock that shows `now` (both ns) has come; else look() is called when it may have. */
bool alarm_due(struct alarm *a, uint64_t now, uint64_t at);

#endif
