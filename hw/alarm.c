// SPDX-License-Identifier: MIT
#include "hw/alarm.h"

#include <time.h>

#include "base/util.h"

/* The host's clock may be set while an alarm waits: look again so often. */
#define LOOK_AGAIN_NS (UINT64_C(3600) * 1000000000)

static uint64_t host_now(void *ctx)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void on_timer(void *ctx, uint32_t events)
{
	struct alarm *a = ctx;

	a->look(a->owner);
}

void alarm_start(struct alarm *a, const struct alarm_config *config, void (*look)(void *owner), void *owner)
{
	*a = (struct alarm){ .config = *config, .look = look, .owner = owner };
	if (!a->config.now_ns)
		a->config.now_ns = host_now;
}

void alarm_stop(struct alarm *a)
{
	loop_remove(a->timer);
	a->timer = NULL;
}

bool alarm_due(struct alarm *a, uint64_t now, uint64_t at)
{
	if (now >= at)
		return true;
	if (a->config.loop && (a->timer || loop_add_timer(a->config.loop, on_timer, a, &a->timer) >= 0))
		loop_arm(a->timer, MIN(at - now, LOOK_AGAIN_NS));
	return false;
}
