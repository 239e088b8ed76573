// SPDX-License-Identifier: MIT
#include "coalesce.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/endian.h"
#include "base/sys.h"
#include "hv/scripted.h"
#include "tests/test.h"

static const struct scripted_cap caps[] = {{KVM_CAP_COALESCED_MMIO, 1}};
static const struct scripted_config config = {.caps = caps, .n_caps = 1};

struct heard {
	uint64_t gpa[256], value[256];
	unsigned int n;
	atomic_uint total;
	struct coalescer *again; /* put the watch on from the handler */
};

static void hear(void *ctx, uint64_t gpa, const void *data, unsigned int len)
{
	struct heard *h = ctx;

	if (h->n < 256) {
		h->gpa[h->n] = gpa;
		h->value[h->n++] = get_le(data, len);
	}
	atomic_fetch_add(&h->total, 1);
	if (h->again)
		coalescer_watch(h->again);
}

static bool guest_write(struct hv *hv, uint64_t gpa, uint32_t v)
{
	uint8_t data[4];

	put_le32(data, v);
	return hv_scripted_guest_write(hv, gpa, data, 4);
}

static void test_order(void)
{
	struct heard h = {0};
	struct coalescer *c = NULL;
	struct loop *loop;
	struct hv *hv;
	unsigned int n;

	hv_scripted_create(&config, &hv);
	loop_create(&loop, NULL);
	CHECK_EQ(coalescer_create(hv, loop, &c), 0);
	CHECK(!guest_write(hv, 0x1064, 1));
	CHECK_EQ(coalescer_add(c, 0x2064, 4, hear, &h), 0);
	CHECK_EQ(coalescer_add(c, 0x1064, 4, hear, &h), 0);
	CHECK_EQ(coalescer_add(c, 0x1066, 1, hear, &h), (uint64_t)-EEXIST);
	CHECK_EQ(coalescer_add(c, 0x1060, 8, hear, &h), (uint64_t)-EEXIST);
	CHECK_EQ(coalescer_add(c, 0x1068, 0, hear, &h), (uint64_t)-EINVAL);
	CHECK_EQ(coalescer_add(c, 0x1068, 9, hear, &h), (uint64_t)-EINVAL);
	CHECK_EQ(coalescer_add(c, 0x1068, 4, hear, &h), 0);
	coalescer_drain(c);
	CHECK_EQ(h.n, 0);
	for (uint32_t i = 0; i < 60; i++)
		CHECK(guest_write(hv, i % 3 == 0 ? 0x1064 : i % 3 == 1 ? 0x2064 : 0x1068, i));
	CHECK_EQ(h.n, 0);
	coalescer_drain(c);
	CHECK_EQ(h.n, 60);
	for (uint32_t i = 0; i < h.n; i++) {
		CHECK_EQ(h.value[i], i);
		CHECK_EQ(h.gpa[i], i % 3 == 0 ? 0x1064 : i % 3 == 1 ? 0x2064 : 0x1068);
	}
	/* A full ring makes an exit; whoever handles it drains first, so the order holds. */
	for (n = 0; n < 1000 && guest_write(hv, 0x1064, n); n++)
		;
	CHECK(n > 0 && n < 1000);
	h.n = 0;
	coalescer_drain(c);
	CHECK_EQ(h.n, n);
	/* What is queued at removal is still applied; afterwards it is an exit. */
	guest_write(hv, 0x2064, 77);
	h.n = 0;
	coalescer_remove(c, 0x2064);
	CHECK_EQ(h.n, 1);
	CHECK(!guest_write(hv, 0x2064, 78));
	CHECK(guest_write(hv, 0x1064, 79));
	coalescer_destroy(c);
	CHECK(!guest_write(hv, 0x1064, 80));
	loop_destroy(loop);
	hv_destroy(hv);
}

/* A guest that writes as quickly as the ring is emptied: whoever empties it gets away. */
struct flood {
	struct hv *hv;
	unsigned int n;
};

static void flood(void *ctx, uint64_t gpa, const void *data, unsigned int len)
{
	struct flood *f = ctx;

	if (++f->n < 1000000)
		guest_write(f->hv, gpa, f->n);
}

static void test_flood(void)
{
	struct flood f = {0};
	struct coalescer *c;
	struct loop *loop;

	hv_scripted_create(&config, &f.hv);
	loop_create(&loop, NULL);
	coalescer_create(f.hv, loop, &c);
	coalescer_add(c, 0x1064, 4, flood, &f);
	guest_write(f.hv, 0x1064, 1);
	coalescer_drain(c);
	CHECK(f.n >= 170 && f.n < 10000);
	coalescer_destroy(c);
	loop_destroy(loop);
	hv_destroy(f.hv);
}

static void test_missing(void)
{
	static const struct scripted_config bare = {0};
	struct coalescer *c = NULL;
	struct loop *loop;
	struct hv *hv;

	hv_scripted_create(&bare, &hv);
	loop_create(&loop, NULL);
	CHECK_EQ(coalescer_create(hv, loop, &c), (uint64_t)-EOPNOTSUPP);
	CHECK(!c);
	coalescer_drain(NULL);
	coalescer_watch(NULL);
	coalescer_remove(NULL, 0);
	coalescer_set_busy(NULL, NULL, NULL);
	coalescer_destroy(NULL);
	loop_destroy(loop);
	hv_destroy(hv);
}

static bool is_busy(void *ctx)
{
	return atomic_load((atomic_bool *)ctx);
}

static void test_watch(void)
{
	struct heard h = {0};
	struct coalescer *c;
	atomic_bool busy = true;
	struct loop *loop;
	struct hv *hv;

	hv_scripted_create(&config, &hv);
	loop_create(&loop, NULL);
	coalescer_create(hv, loop, &c);
	coalescer_add(c, 0x1064, 4, hear, &h);
	/* Off: the loop has nothing to do. */
	guest_write(hv, 0x1064, 1);
	CHECK_EQ(loop_turn(loop, 20), 0);
	CHECK_EQ(h.n, 0);
	/* On: the write is applied, and then the watch ends by itself. */
	coalescer_watch(c);
	coalescer_watch(c);
	CHECK_EQ(loop_turn(loop, 1000), 1);
	CHECK_EQ(h.n, 1);
	CHECK_EQ(loop_turn(loop, 20), 0);
	/* It goes on until there is one. */
	coalescer_watch(c);
	for (int i = 0; i < 5; i++)
		CHECK_EQ(loop_turn(loop, 1000), 1);
	guest_write(hv, 0x1064, 2);
	CHECK_EQ(loop_turn(loop, 1000), 1);
	CHECK_EQ(h.n, 2);
	CHECK_EQ(loop_turn(loop, 20), 0);
	/* A write applied by others since the watch was put on ends it, too, but not one before. */
	guest_write(hv, 0x1064, 3);
	coalescer_drain(c);
	coalescer_watch(c);
	CHECK_EQ(loop_turn(loop, 1000), 1);
	CHECK_EQ(loop_turn(loop, 1000), 1);
	guest_write(hv, 0x1064, 4);
	coalescer_drain(c);
	CHECK_EQ(loop_turn(loop, 1000), 1);
	CHECK_EQ(loop_turn(loop, 20), 0);
	/* Or while the owner says so, whatever comes. */
	coalescer_set_busy(c, is_busy, &busy);
	coalescer_watch(c);
	for (uint32_t i = 0; i < 5; i++) {
		guest_write(hv, 0x1064, i);
		CHECK_EQ(loop_turn(loop, 1000), 1);
	}
	atomic_store(&busy, false);
	CHECK_EQ(loop_turn(loop, 1000), 1);
	CHECK_EQ(loop_turn(loop, 20), 0);
	/* A handler may put it on. */
	coalescer_set_busy(c, NULL, NULL);
	h.again = c;
	guest_write(hv, 0x1064, 9);
	coalescer_drain(c);
	CHECK_EQ(loop_turn(loop, 1000), 1);
	coalescer_destroy(c);
	loop_destroy(loop);
	hv_destroy(hv);
}

/* Writers, drainers and the watch at once: each write that was queued is applied exactly once. */
struct guest {
	struct hv *hv;
	struct coalescer *c;
	unsigned int queued;
};

static void *guest_main(void *arg)
{
	struct guest *g = arg;

	for (uint32_t i = 0; i < 20000; i++) {
		if (guest_write(g->hv, 0x1064, i))
			g->queued++;
		else
			coalescer_drain(g->c);
		if (i % 64 == 0)
			coalescer_watch(g->c);
	}
	return NULL;
}

static void *loop_main(void *arg)
{
	loop_run(arg);
	return NULL;
}

static void test_threads(void)
{
	struct heard h = {0};
	struct guest g[3];
	unsigned long thread[3], loop_thread;
	struct coalescer *c;
	struct loop *loop;
	struct hv *hv;
	unsigned int queued = 0;

	hv_scripted_create(&config, &hv);
	loop_create(&loop, NULL);
	coalescer_create(hv, loop, &c);
	coalescer_add(c, 0x1064, 4, hear, &h);
	sys_thread_start(loop_main, loop, "loop", &loop_thread);
	for (unsigned int i = 0; i < 3; i++) {
		g[i] = (struct guest){.hv = hv, .c = c};
		sys_thread_start(guest_main, &g[i], "guest", &thread[i]);
	}
	for (unsigned int i = 0; i < 3; i++) {
		pthread_join((pthread_t)thread[i], NULL);
		queued += g[i].queued;
	}
	/* No exit any more: the watch alone brings the last ones home. */
	coalescer_watch(c);
	guest_write(hv, 0x1064, 0);
	for (int i = 0; i < 5000 && atomic_load(&h.total) < queued + 1; i++)
		usleep(1000);
	CHECK_EQ(atomic_load(&h.total), queued + 1);
	loop_stop(loop);
	pthread_join((pthread_t)loop_thread, NULL);
	coalescer_destroy(c);
	loop_destroy(loop);
	hv_destroy(hv);
}

int main(void)
{
	test_order();
	test_flood();
	test_missing();
	test_watch();
	test_threads();
	return test_result();
}
