// SPDX-License-Identifier: MIT
#include "coalesce.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A guest that never ends what it has in service shall not cost a wake-up each millisecond for ever. */
#define FRUITLESS_MAX 256
#define SLOW_WATCH_NS (16 * COALESCER_WATCH_NS)
/* More than any ring holds (a page of 64 KiB: 2730), so what was queued before the call is applied; vCPUs that go on writing cannot keep us here. */
#define DRAIN_MAX 4096

struct zone {
	uint64_t gpa;
	uint32_t size;
	coalescer_fn fn;
	void *ctx;
};

struct coalescer {
	struct hv *hv;
	struct loop *loop;
	_Atomic(struct loop_source *) timer; /* made with the first zone: many guests end before it */
	atomic_int watching; /* a word: RISC-V has no atomic exchange of bytes */
	atomic_ulong applied; /* queued writes so far */
	atomic_ulong seen;    /* of them, when the watch was last put on */
	unsigned int fruitless;
	pthread_mutex_t busy_lock;
	bool (*busy)(void *ctx);
	void *busy_ctx;
	pthread_mutex_t lock; /* the ring's reading end and everything below */
	struct zone *zone;    /* sorted by gpa, disjoint */
	unsigned int n_zones, room;
};

static bool put_on(struct coalescer *c)
{
	if (atomic_exchange(&c->watching, true))
		return false;
	atomic_store(&c->seen, atomic_load(&c->applied));
	return true;
}

static void on_timer(void *ctx, uint32_t events)
{
	struct coalescer *c = ctx;
	unsigned long seen = atomic_load(&c->seen);
	bool busy, fruitless;

	/*
	 * Cleared before the drain: what is put in service from here on arms the timer itself. Pairs with the exchange in
	 * coalescer_watch.
	 */
	atomic_store(&c->watching, false);
	coalescer_drain(c);
	fruitless = atomic_load(&c->applied) == seen;
	pthread_mutex_lock(&c->busy_lock);
	busy = c->busy ? c->busy(c->busy_ctx) : fruitless;
	pthread_mutex_unlock(&c->busy_lock);
	c->fruitless = busy && fruitless ? MIN(c->fruitless + 1, FRUITLESS_MAX) : 0;
	if (busy && put_on(c))
		loop_arm(atomic_load(&c->timer),
			 c->fruitless == FRUITLESS_MAX ? SLOW_WATCH_NS : COALESCER_WATCH_NS);
}

int coalescer_create(struct hv *hv, struct loop *loop, struct coalescer **ret)
{
	struct coalescer *c;

	if (hv_capability(hv, KVM_CAP_COALESCED_MMIO) <= 0)
		return -EOPNOTSUPP;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->hv = hv;
	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->busy_lock, NULL);
	c->loop = loop;
	*ret = c;
	return 0;
}

void coalescer_destroy(struct coalescer *c)
{
	if (!c)
		return;
	loop_remove(atomic_load(&c->timer));
	for (unsigned int i = 0; i < c->n_zones; i++)
		c->hv->ops->coalesce(c->hv, c->zone[i].gpa, c->zone[i].size, false);
	free(c->zone);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->busy_lock);
	free(c);
}

/* The first zone that ends behind gpa. */
static unsigned int zone_at(const struct coalescer *c, uint64_t gpa)
{
	unsigned int low = 0, high = c->n_zones;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;

		if (c->zone[mid].gpa + (c->zone[mid].size - 1) < gpa)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void drain(struct coalescer *c)
{
	struct hv_coalesced w;

	for (unsigned int n = 0; n < DRAIN_MAX && c->hv->ops->coalesced_pop(c->hv, &w) > 0; n++) {
		unsigned int i = zone_at(c, w.gpa);

		atomic_fetch_add_explicit(&c->applied, 1, memory_order_relaxed);
		if (i < c->n_zones && w.gpa >= c->zone[i].gpa && w.len <= sizeof(w.data))
			c->zone[i].fn(c->zone[i].ctx, w.gpa, w.data, w.len);
	}
}

void coalescer_drain(struct coalescer *c)
{
	if (!c)
		return;
	/*
	 * Locked even when the ring is empty: another thread may have taken a write out and not applied it yet, and who drains relies
	 * on all earlier writes having been applied.
	 */
	pthread_mutex_lock(&c->lock);
	drain(c);
	pthread_mutex_unlock(&c->lock);
}

int coalescer_add(struct coalescer *c, uint64_t gpa, uint32_t size, coalescer_fn fn, void *ctx)
{
	struct zone *zones;
	unsigned int at;
	int code;

	if (size < 1 || size > 8 || gpa + (size - 1) < gpa)
		return -EINVAL;
	pthread_mutex_lock(&c->lock);
	at = zone_at(c, gpa);
	if (at < c->n_zones && c->zone[at].gpa <= gpa + (size - 1)) {
		code = -EEXIST;
		goto out;
	}
	if (c->n_zones == c->room) {
		zones = realloc(c->zone, (c->room + 16) * sizeof(*zones));
		if (!zones) {
			code = -ENOMEM;
			goto out;
		}
		c->zone = zones;
		c->room += 16;
	}
	if (!atomic_load(&c->timer)) {
		struct loop_source *timer;

		code = loop_add_timer(c->loop, on_timer, c, &timer);
		if (code < 0)
			goto out;
		atomic_store(&c->timer, timer);
	}
	code = c->hv->ops->coalesce(c->hv, gpa, size, true);
	if (code < 0)
		goto out;
	memmove(&c->zone[at + 1], &c->zone[at], (c->n_zones - at) * sizeof(c->zone[0]));
	c->zone[at] = (struct zone){gpa, size, fn, ctx};
	c->n_zones++;
	code = 0;
out:
	pthread_mutex_unlock(&c->lock);
	return code;
}

void coalescer_remove(struct coalescer *c, uint64_t gpa)
{
	unsigned int at;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	at = zone_at(c, gpa);
	if (at < c->n_zones && c->zone[at].gpa == gpa) {
		c->hv->ops->coalesce(c->hv, gpa, c->zone[at].size, false);
		drain(c);
		memmove(&c->zone[at], &c->zone[at + 1],
			(c->n_zones - at - 1) * sizeof(c->zone[0]));
		c->n_zones--;
	}
	pthread_mutex_unlock(&c->lock);
}

void coalescer_watch(struct coalescer *c)
{
	if (!c || !atomic_load(&c->timer) || atomic_load(&c->watching))
		return;
	if (put_on(c))
		loop_arm(atomic_load(&c->timer), COALESCER_WATCH_NS);
}

void coalescer_set_busy(struct coalescer *c, bool (*fn)(void *ctx), void *ctx)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->busy_lock);
	c->busy = fn;
	c->busy_ctx = ctx;
	pthread_mutex_unlock(&c->busy_lock);
}
