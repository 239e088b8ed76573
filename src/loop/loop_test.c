// SPDX-License-Identifier: MIT
#include "loop/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/sys.h"
#include "tests/test.h"

static void *loop_main(void *arg)
{
	CHECK_EQ(loop_run(arg), 0);
	return NULL;
}

static unsigned long start_loop(struct loop *loop)
{
	unsigned long thread;

	CHECK_EQ(sys_thread_start(loop_main, loop, "loop", &thread), 0);
	return thread;
}

static void end_loop(struct loop *loop, unsigned long thread)
{
	loop_stop(loop);
	pthread_join((pthread_t)thread, NULL);
}

struct seen {
	atomic_uint n;
	uint32_t events;
	struct loop *loop;
	struct loop_source *source, *other;
	int fd;
};

static void on_event(void *ctx, uint32_t events)
{
	struct seen *s = ctx;

	s->events = events;
	atomic_fetch_add(&s->n, 1);
}

static void on_event_remove_both(void *ctx, uint32_t events)
{
	struct seen *s = ctx;

	atomic_fetch_add(&s->n, 1);
	loop_remove(s->source);
	loop_remove(s->other);
}

static void test_sources(void)
{
	CLEANUP(cleanup_loop_destroy) struct loop *loop = NULL;
	struct seen a = {0}, b = {0}, both = {0};
	struct loop_source *source;
	int fd, fd2, pair[2];

	CHECK_EQ(loop_create(&loop, NULL), 0);
	CHECK_EQ(loop_turn(loop, 0), 0);
	CHECK(!loop_is_self(loop));
	/* An edge-triggered eventfd is never read. */
	fd = sys_eventfd();
	CHECK_EQ(loop_add(loop, fd, EPOLLIN | EPOLLET, on_event, &a, &a.source), 0);
	for (unsigned int i = 1; i < 5; i++) {
		sys_eventfd_signal(fd);
		CHECK_EQ(loop_turn(loop, 1000), 1);
		CHECK_EQ(a.n, i);
		CHECK_EQ(loop_turn(loop, 0), 0);
	}
	source = NULL;
	CHECK_EQ(loop_add(loop, fd, EPOLLIN, on_event, &b, &source), (uint64_t)-EEXIST);
	CHECK(!source);
	CHECK_EQ(loop_add(loop, -1, EPOLLIN, on_event, &b, &source), (uint64_t)-EBADF);
	loop_remove(a.source);
	sys_eventfd_signal(fd);
	CHECK_EQ(loop_turn(loop, 0), 0);
	/* Level-triggered goes on until it is read; modify changes what is waited for. */
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	CHECK_EQ(loop_add(loop, pair[0], EPOLLIN, on_event, &b, &b.source), 0);
	CHECK_EQ(loop_turn(loop, 0), 0);
	CHECK_EQ(write(pair[1], "x", 1), 1);
	CHECK_EQ(loop_turn(loop, 1000), 1);
	CHECK_EQ(loop_turn(loop, 1000), 1);
	CHECK_EQ(loop_modify(b.source, EPOLLOUT), 0);
	CHECK_EQ(loop_turn(loop, 1000), 1);
	CHECK_EQ(b.events, EPOLLOUT);
	CHECK_EQ(loop_modify(b.source, 0), 0);
	CHECK_EQ(loop_turn(loop, 0), 0);
	loop_remove(b.source);
	/* Two are ready in one batch; the first removes both: the second is not called. */
	fd2 = sys_eventfd();
	both.loop = loop;
	loop_add(loop, fd, EPOLLIN | EPOLLET, on_event_remove_both, &both, &both.source);
	loop_add(loop, fd2, EPOLLIN | EPOLLET, on_event_remove_both, &both, &both.other);
	sys_eventfd_signal(fd);
	sys_eventfd_signal(fd2);
	loop_turn(loop, 1000);
	CHECK_EQ(both.n, 1);
	CHECK_EQ(loop_turn(loop, 0), 0);
	loop_remove(NULL);
	loop_destroy(NULL);
	close(fd);
	close(fd2);
	close(pair[0]);
	close(pair[1]);
}

static void test_timers(void)
{
	CLEANUP(cleanup_loop_destroy) struct loop *loop = NULL;
	struct seen a = {0};
	struct loop_source *t;
	uint64_t start;

	loop_create(&loop, NULL);
	CHECK_EQ(loop_add_timer(loop, on_event, &a, &t), 0);
	CHECK_EQ(loop_turn(loop, 5), 0);
	start = sys_now_ns();
	loop_arm(t, 5000000);
	CHECK_EQ(loop_turn(loop, 5000), 1);
	CHECK(sys_now_ns() - start >= 5000000);
	CHECK_EQ(loop_turn(loop, 10), 0); /* once */
	loop_arm(t, 1000000);
	loop_arm(t, 0);
	CHECK_EQ(loop_turn(loop, 10), 0);
	loop_arm(t, 1);
	CHECK_EQ(loop_turn(loop, 5000), 1);
	/* Disarmed after it fired, before it was seen. */
	loop_arm(t, 1);
	usleep(2000);
	loop_arm(t, 0);
	CHECK_EQ(loop_turn(loop, 10), 0);
	CHECK_EQ(a.n, 2);
	loop_arm(t, 1);
	loop_remove(t);
	CHECK_EQ(loop_turn(loop, 5), 0);
}

struct order {
	struct loop *loop;
	unsigned int got[64], n;
	unsigned int next;
	bool self;
};

static void append(void *ctx)
{
	struct order *o = ctx;

	o->got[o->n++] = o->next++;
	o->self = loop_is_self(o->loop);
}

static void post_again(void *ctx)
{
	struct order *o = ctx;

	o->n++;
	if (o->n < 10)
		loop_post(o->loop, post_again, o);
}

static void call_inside(void *ctx)
{
	struct order *o = ctx;
	unsigned int before = o->n;

	CHECK_EQ(loop_call(o->loop, append, o), 0);
	CHECK_EQ(o->n, before + 1);
}

static void stop_it(void *ctx)
{
	loop_stop(ctx);
}

static void test_posts(void)
{
	CLEANUP(cleanup_loop_destroy) struct loop *loop = NULL;
	struct order o = {0}, again = {0};
	unsigned long thread;

	loop_create(&loop, NULL);
	o.loop = again.loop = loop;
	for (unsigned int i = 0; i < 5; i++)
		loop_post(loop, append, &o);
	CHECK_EQ(o.n, 0);
	CHECK_EQ(loop_turn(loop, -1), 5);
	CHECK_EQ(o.n, 5);
	CHECK(o.self);
	/* What a post posts waits for the next turn, and wakes it. */
	loop_post(loop, post_again, &again);
	CHECK_EQ(loop_turn(loop, -1), 1);
	CHECK_EQ(again.n, 1);
	CHECK_EQ(loop_turn(loop, -1), 1);
	CHECK_EQ(again.n, 2);
	/* Nobody runs it: the caller stands in. */
	o.self = false;
	CHECK_EQ(loop_call(loop, append, &o), 0);
	CHECK(o.self && o.n == 6);
	CHECK(!loop_is_self(loop));
	thread = start_loop(loop);
	CHECK_EQ(loop_call(loop, append, &o), 0);
	CHECK(o.self && o.n == 7);
	CHECK_EQ(loop_call(loop, call_inside, &o), 0);
	CHECK_EQ(o.n, 8);
	end_loop(loop, thread);
	/* A stop before the run ends it at once; then the loop can be run again. */
	loop_stop(loop);
	CHECK_EQ(loop_run(loop), 0);
	loop_post(loop, stop_it, loop);
	CHECK_EQ(loop_run(loop), 0);
}

/* Calls from several threads while the loop is started and stopped: none is lost, none runs twice at once. */
struct callers {
	struct loop *loop;
	unsigned int *count; /* not atomic: the loop serialises */
	unsigned int calls;
};

static void count_up(void *ctx)
{
	struct callers *c = ctx;

	(*c->count)++;
}

static void *caller(void *arg)
{
	struct callers *c = arg;

	for (unsigned int i = 0; i < c->calls; i++)
		if (loop_call(c->loop, count_up, c) < 0)
			return c;
	return NULL;
}

static void test_callers(void)
{
	CLEANUP(cleanup_loop_destroy) struct loop *loop = NULL;
	unsigned long thread[2], run;
	unsigned int count = 0;
	struct callers c;

	loop_create(&loop, NULL);
	c = (struct callers){.loop = loop, .count = &count, .calls = 3000};
	for (unsigned int i = 0; i < 2; i++)
		sys_thread_start(caller, &c, "caller", &thread[i]);
	for (unsigned int i = 0; i < 100; i++) {
		run = start_loop(loop);
		sched_yield();
		end_loop(loop, run);
	}
	for (unsigned int i = 0; i < 2; i++)
		pthread_join((pthread_t)thread[i], NULL);
	CHECK_EQ(count, 6000);
}

/* Removal from another thread: the context is freed right after it, which a sanitizer watches. */
struct freed {
	unsigned int n;
	atomic_bool gone;
};

static atomic_uint late;
static atomic_bool quiet;

static void on_freed(void *ctx, uint32_t events)
{
	struct freed *f = ctx;

	if (atomic_load(&f->gone))
		atomic_fetch_add(&late, 1);
	for (volatile int i = 0; i < 200; i++)
		;
	f->n++;
	if (atomic_load(&f->gone))
		atomic_fetch_add(&late, 1);
}

static void *ringer(void *arg)
{
	while (!atomic_load(&quiet)) {
		sys_eventfd_signal(((int *)arg)[0]);
		sys_eventfd_signal(((int *)arg)[1]);
	}
	return NULL;
}

static void test_removal(void)
{
	CLEANUP(cleanup_loop_destroy) struct loop *loop = NULL;
	unsigned long thread, ring;
	unsigned int calls = 0;
	int fd[2];

	loop_create(&loop, NULL);
	fd[0] = sys_eventfd();
	fd[1] = sys_eventfd();
	thread = start_loop(loop);
	sys_thread_start(ringer, fd, "ringer", &ring);
	/* On a busy machine it takes longer until one is called. */
	for (unsigned int round = 0; round < 1500 || (!calls && round < 100000); round++) {
		struct freed *f[2];
		struct loop_source *s[2];

		for (unsigned int i = 0; i < 2; i++) {
			f[i] = calloc(1, sizeof(**f));
			CHECK_EQ(loop_add(loop, fd[i], EPOLLIN | EPOLLET, on_freed, f[i], &s[i]), 0);
		}
		if (round % 3 == 0)
			usleep(50);
		for (unsigned int i = 0; i < 2; i++) {
			loop_remove(s[i]);
			atomic_store(&f[i]->gone, true);
			calls += f[i]->n;
			free(f[i]);
		}
	}
	atomic_store(&quiet, true);
	pthread_join((pthread_t)ring, NULL);
	end_loop(loop, thread);
	CHECK_EQ(atomic_load(&late), 0);
	CHECK(calls > 0);
	close(fd[0]);
	close(fd[1]);
}

/* A turn inside a callback: the outer callback counts as running, so removal from elsewhere waits for it. */
struct nested {
	struct loop *loop;
	struct loop_source *source;
	atomic_bool inside, left, inner;
	bool was_left;
};

static void set_inner(void *ctx)
{
	struct nested *n = ctx;

	atomic_store(&n->inner, true);
}

static void on_nested(void *ctx, uint32_t events)
{
	struct nested *n = ctx;

	atomic_store(&n->inside, true);
	while (!atomic_load(&n->inner))
		loop_turn(n->loop, 10);
	usleep(20000);
	atomic_store(&n->left, true);
}

static void *remover(void *arg)
{
	struct nested *n = arg;

	loop_remove(n->source);
	n->was_left = atomic_load(&n->left);
	return NULL;
}

static void test_nested(void)
{
	CLEANUP(cleanup_loop_destroy) struct loop *loop = NULL;
	struct nested n = {0};
	unsigned long thread, other;
	int fd = sys_eventfd();

	loop_create(&loop, NULL);
	n.loop = loop;
	loop_add(loop, fd, EPOLLIN | EPOLLET, on_nested, &n, &n.source);
	thread = start_loop(loop);
	sys_eventfd_signal(fd);
	while (!atomic_load(&n.inside))
		usleep(100);
	sys_thread_start(remover, &n, "remover", &other);
	usleep(5000);
	loop_post(loop, set_inner, &n);
	pthread_join((pthread_t)other, NULL);
	CHECK(n.was_left);
	end_loop(loop, thread);
	close(fd);
}

int main(void)
{
	test_sources();
	test_timers();
	test_posts();
	test_callers();
	test_removal();
	test_nested();
	return test_result();
}
