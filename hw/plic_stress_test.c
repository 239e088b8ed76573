// SPDX-License-Identifier: MIT
/* The PLIC under threads: no interrupt is lost and none doubled, with plain exits and with queued completions. */
#include "hw/plic_rig_test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

static void *run_loop(void *loop)
{
	loop_run(loop);
	return NULL;
}

/* A guest that leaves nothing but its completion, its line high: the watch applies it. */
static void test_watch(void)
{
	unsigned long thread;
	struct rig r;
	uint64_t start;

	rig_start(&r, 1, 10, true);
	CHECK(sys_thread_start(run_loop, r.loop, "loop", &thread) >= 0);
	poke(&r, 4, 1);
	enable(&r, S(0), 1, true);
	for (unsigned int i = 0; i < 20; i++) {
		line(&r, 1, true);
		CHECK_EQ(peek(&r, CLAIM(S(0))), 1);
		/* A handler slower than the watch's first looks. */
		usleep(i * 300);
		CHECK(!eip(&r, 0));
		poke(&r, CLAIM(S(0)), 1);
		start = sys_now_ns();
		while (!eip(&r, 0) && sys_now_ns() - start < UINT64_C(5000000000))
			sched_yield();
		CHECK(eip(&r, 0));
		CHECK_EQ(peek(&r, CLAIM(S(0))), 1);
		line(&r, 1, false);
		poke(&r, CLAIM(S(0)), 1);
	}
	loop_stop(r.loop);
	pthread_join((pthread_t)thread, NULL);
	rig_end(&r);
}

#define STRESS_HARTS 2
#define STRESS_DEVICES 3
#define STRESS_EVENTS 4000

struct stress_device {
	struct rig *r;
	struct irq_line line;
	pthread_mutex_t lock;
	unsigned int made, seen; /* events */
	atomic_uint in_handler;
};

struct stress {
	struct rig r;
	struct stress_device device[STRESS_DEVICES];
	atomic_uint seen, doubled;
	atomic_bool stop;
};

struct stress_hart {
	struct stress *s;
	unsigned int hart;
};

static void *stress_device_run(void *arg)
{
	struct stress_device *d = arg;

	for (unsigned int i = 0; i < STRESS_EVENTS; i++) {
		pthread_mutex_lock(&d->lock);
		irq_sync(&d->line);
		d->made++;
		irq_set(&d->line, true);
		pthread_mutex_unlock(&d->lock);
		if (i % 3 == 0)
			sched_yield();
		if (i % 50 == 0)
			usleep(100);
	}
	return NULL;
}

static void *stress_hart_run(void *arg)
{
	struct stress_hart *h = arg;
	struct stress *s = h->s;

	while (!atomic_load(&s->stop)) {
		unsigned int source;

		if (!eip(&s->r, h->hart)) {
			sched_yield();
			continue;
		}
		/* As Linux does: claim until nothing is left. */
		while ((source = peek(&s->r, CLAIM(S(h->hart))))) {
			struct stress_device *d = &s->device[source - 1];

			if (atomic_fetch_add(&d->in_handler, 1))
				atomic_fetch_add(&s->doubled, 1);
			pthread_mutex_lock(&d->lock);
			irq_sync(&d->line);
			atomic_fetch_add(&s->seen, d->made - d->seen);
			d->seen = d->made;
			irq_set(&d->line, false);
			pthread_mutex_unlock(&d->lock);
			atomic_fetch_sub(&d->in_handler, 1);
			poke(&s->r, CLAIM(S(h->hart)), source);
		}
	}
	return NULL;
}

static void test_stress(bool queued)
{
	static struct stress s;
	pthread_t device[STRESS_DEVICES], hart[STRESS_HARTS];
	struct stress_hart h[STRESS_HARTS];
	unsigned long loop;
	uint64_t start;

	memset(&s, 0, sizeof(s));
	rig_start(&s.r, STRESS_HARTS, STRESS_DEVICES, queued);
	CHECK(sys_thread_start(run_loop, s.r.loop, "loop", &loop) >= 0);
	for (unsigned int i = 0; i < STRESS_HARTS; i++) {
		poke(&s.r, ENABLE(S(i), 0), UINT32_MAX);
		h[i] = (struct stress_hart){ &s, i };
		CHECK_EQ(pthread_create(&hart[i], NULL, stress_hart_run, &h[i]), 0);
	}
	for (unsigned int i = 0; i < STRESS_DEVICES; i++) {
		poke(&s.r, (i + 1) * 4, i + 1);
		s.device[i].r = &s.r;
		pthread_mutex_init(&s.device[i].lock, NULL);
		CHECK_EQ(plic_line(s.r.plic, i + 1, &s.device[i].line), 0);
		CHECK_EQ(pthread_create(&device[i], NULL, stress_device_run, &s.device[i]), 0);
	}
	for (unsigned int i = 0; i < STRESS_DEVICES; i++)
		pthread_join(device[i], NULL);
	start = sys_now_ns();
	while (atomic_load(&s.seen) < STRESS_DEVICES * STRESS_EVENTS && sys_now_ns() - start < UINT64_C(10000000000))
		usleep(100);
	CHECK_EQ(s.seen, STRESS_DEVICES * STRESS_EVENTS);
	CHECK_EQ(s.doubled, 0);
	atomic_store(&s.stop, true);
	for (unsigned int i = 0; i < STRESS_HARTS; i++)
		pthread_join(hart[i], NULL);
	loop_stop(s.r.loop);
	pthread_join((pthread_t)loop, NULL);
	rig_end(&s.r);
}

int main(void)
{
	test_watch();
	test_stress(false);
	test_stress(true);
	return test_result();
}
