// SPDX-License-Identifier: MIT
#include "loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "base/sys.h"
#include "loop/internal.h"

#define BATCH 16
#define RETRY_MS 1

int loop_create(struct loop **ret, struct err *e)
{
	CLEANUP(cleanup_loop_destroy) struct loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	int code;

	if (!loop)
		return err_set(e, -ENOMEM, "out of memory");
	loop->epfd = loop->wake_fd = -1;
	loop->posts_end = &loop->posts;
	io_list_init(&loop->io_done);
	io_list_init(&loop->io_new);
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->cond, NULL);
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epfd < 0) {
		code = -errno;
		return err_set(e, code, "cannot make an event loop: %s", err_name(code));
	}
	loop->wake_fd = sys_eventfd();
	if (loop->wake_fd < 0)
		return err_set(e, loop->wake_fd, "cannot make an event descriptor: %s",
			       err_name(loop->wake_fd));
	if (epoll_ctl(loop->epfd, EPOLL_CTL_ADD, loop->wake_fd, &ev) < 0) {
		code = -errno;
		return err_set(e, code, "cannot watch the event descriptor: %s", err_name(code));
	}
	*ret = TAKE(loop);
	return 0;
}

static void free_sources(struct loop_source *s)
{
	for (struct loop_source *next; s; s = next) {
		next = s->next_removed;
		free(s);
	}
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	io_destroy(loop->io);
	free_sources(loop->removed);
	for (struct post *p = loop->posts, *next; p; p = next) {
		next = p->next;
		free(p);
	}
	close_fd(&loop->wake_fd);
	close_fd(&loop->epfd);
	pthread_cond_destroy(&loop->cond);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

/* --- the thread that runs the loop --- */

static bool is_owner(const struct loop *loop)
{
	return loop->owned && pthread_equal(loop->owner, pthread_self());
}

bool loop_is_self(struct loop *loop)
{
	bool self;

	pthread_mutex_lock(&loop->lock);
	self = is_owner(loop);
	pthread_mutex_unlock(&loop->lock);
	return self;
}

static void take_ownership(struct loop *loop)
{
	while (loop->owned)
		pthread_cond_wait(&loop->cond, &loop->lock);
	loop->owned = true;
	loop->owner = pthread_self();
}

static void leave_ownership(struct loop *loop)
{
	loop->owned = false;
	pthread_cond_broadcast(&loop->cond);
}

/*
 * Runs the posts that are there now; what they post themselves waits for the next turn. One is taken at a time, so that a turn inside of one finds
 * the others.
 */
static unsigned int run_posts(struct loop *loop)
{
	unsigned int handled = 0;
	struct post *p;

	pthread_mutex_lock(&loop->lock);
	for (unsigned int n = loop->n_posts; n && (p = loop->posts); n--) {
		loop->posts = p->next;
		if (!loop->posts)
			loop->posts_end = &loop->posts;
		loop->n_posts--;
		pthread_mutex_unlock(&loop->lock);
		p->fn(p->ctx);
		handled++;
		pthread_mutex_lock(&loop->lock);
		if (p->done) {
			/* After the unlock p is gone: it lives on the caller's stack. */
			*p->done = true;
			pthread_cond_broadcast(&loop->cond);
		} else {
			free(p);
		}
	}
	pthread_mutex_unlock(&loop->lock);
	return handled;
}

static void dispatch(struct loop *loop, struct loop_source *s, uint32_t events)
{
	pthread_mutex_lock(&loop->lock);
	if (s->removed) {
		pthread_mutex_unlock(&loop->lock);
		return;
	}
	s->running++;
	pthread_mutex_unlock(&loop->lock);
	s->fn(s->ctx, events);
	pthread_mutex_lock(&loop->lock);
	s->running--;
	if (s->removed)
		pthread_cond_broadcast(&loop->cond);
	pthread_mutex_unlock(&loop->lock);
}

static int turn(struct loop *loop, int timeout_ms)
{
	struct loop_source *removed = NULL;
	struct epoll_event ev[BATCH];
	unsigned int handled = 0;
	int n;

	if (!io_flush(loop) && (timeout_ms < 0 || timeout_ms > RETRY_MS))
		timeout_ms = RETRY_MS;
	/* What has completed may stand in an outer turn's batch, and would not wake this one. */
	if (loop->depth)
		handled = io_reap(loop);
	pthread_mutex_lock(&loop->lock);
	/*
	 * What was removed before epoll_wait starts cannot be among its results; what is removed later is skipped by
	 * dispatch() and lives until the next turn. A turn inside a turn leaves them to the outer one's batch.
	 */
	if (!loop->depth) {
		removed = loop->removed;
		loop->removed = NULL;
	}
	if (handled || loop->posts || loop->io_done.first || atomic_load(&loop->stop))
		timeout_ms = 0;
	loop->sleeping = timeout_ms != 0;
	pthread_mutex_unlock(&loop->lock);
	free_sources(removed);

	n = epoll_wait(loop->epfd, ev, BATCH, timeout_ms);
	if (n < 0 && errno != EINTR)
		return -errno;

	loop->depth++;
	pthread_mutex_lock(&loop->lock);
	loop->sleeping = false;
	pthread_mutex_unlock(&loop->lock);
	for (int i = 0; i < n; i++)
		if (ev[i].data.ptr) {
			dispatch(loop, ev[i].data.ptr, ev[i].events);
			handled++;
		}
	handled += io_finish(loop);
	handled += run_posts(loop);
	loop->depth--;
	return (int)handled;
}

int loop_run(struct loop *loop)
{
	int code = 0;

	pthread_mutex_lock(&loop->lock);
	take_ownership(loop);
	pthread_mutex_unlock(&loop->lock);
	while (!atomic_load(&loop->stop) && code >= 0)
		code = turn(loop, -1);
	io_flush(loop);
	pthread_mutex_lock(&loop->lock);
	atomic_store(&loop->stop, false);
	leave_ownership(loop);
	pthread_mutex_unlock(&loop->lock);
	return code < 0 ? code : 0;
}

int loop_turn(struct loop *loop, int timeout_ms)
{
	bool mine;
	int code;

	pthread_mutex_lock(&loop->lock);
	mine = is_owner(loop);
	if (!mine)
		take_ownership(loop);
	pthread_mutex_unlock(&loop->lock);
	code = turn(loop, timeout_ms);
	io_flush(loop);
	if (!mine) {
		pthread_mutex_lock(&loop->lock);
		leave_ownership(loop);
		pthread_mutex_unlock(&loop->lock);
	}
	return code;
}

void loop_wake(struct loop *loop)
{
	if (!loop->sleeping)
		return;
	loop->sleeping = false;
	sys_eventfd_signal(loop->wake_fd);
}

void loop_stop(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	atomic_store(&loop->stop, true);
	loop_wake(loop);
	pthread_mutex_unlock(&loop->lock);
}

/* --- posts --- */

/* Locked. */
static void add_post(struct loop *loop, struct post *p)
{
	*loop->posts_end = p;
	loop->posts_end = &p->next;
	loop->n_posts++;
	loop_wake(loop);
}

int loop_post(struct loop *loop, void (*fn)(void *ctx), void *ctx)
{
	struct post *p = malloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = (struct post){.fn = fn, .ctx = ctx};
	pthread_mutex_lock(&loop->lock);
	add_post(loop, p);
	pthread_mutex_unlock(&loop->lock);
	return 0;
}

int loop_call(struct loop *loop, void (*fn)(void *ctx), void *ctx)
{
	bool done = false;
	struct post p = {.fn = fn, .ctx = ctx, .done = &done};

	pthread_mutex_lock(&loop->lock);
	if (is_owner(loop)) {
		pthread_mutex_unlock(&loop->lock);
		fn(ctx);
		return 0;
	}
	if (!loop->owned) {
		take_ownership(loop);
		pthread_mutex_unlock(&loop->lock);
		fn(ctx);
		io_flush(loop);
		pthread_mutex_lock(&loop->lock);
		leave_ownership(loop);
		pthread_mutex_unlock(&loop->lock);
		return 0;
	}
	add_post(loop, &p);
	/* When the owner left without having run it, it is on us to. */
	while (!done && loop->owned)
		pthread_cond_wait(&loop->cond, &loop->lock);
	while (!done) {
		take_ownership(loop);
		pthread_mutex_unlock(&loop->lock);
		run_posts(loop);
		io_flush(loop);
		pthread_mutex_lock(&loop->lock);
		leave_ownership(loop);
	}
	pthread_mutex_unlock(&loop->lock);
	return 0;
}

/* --- sources --- */

static int watch(struct loop_source *s, int op, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = s};

	return epoll_ctl(s->loop->epfd, op, s->fd, &ev) < 0 ? -errno : 0;
}

int loop_add(struct loop *loop, int fd, uint32_t events, loop_fn fn, void *ctx,
	     struct loop_source **ret)
{
	struct loop_source *s = malloc(sizeof(*s));
	int code;

	if (!s)
		return -ENOMEM;
	*s = (struct loop_source){.loop = loop, .fn = fn, .ctx = ctx, .fd = fd};
	/* Locked, so that fn does not run before *ret is set. */
	pthread_mutex_lock(&loop->lock);
	code = watch(s, EPOLL_CTL_ADD, events);
	if (code == 0)
		*ret = s;
	pthread_mutex_unlock(&loop->lock);
	if (code < 0)
		free(s);
	return code;
}

int loop_modify(struct loop_source *s, uint32_t events)
{
	return watch(s, EPOLL_CTL_MOD, events);
}

void loop_remove(struct loop_source *s)
{
	struct loop *loop;

	if (!s)
		return;
	loop = s->loop;
	pthread_mutex_lock(&loop->lock);
	assert(!s->removed);
	if (s->fd >= 0)
		watch(s, EPOLL_CTL_DEL, 0);
	if (s->is_timer)
		close_fd(&s->fd);
	s->removed = true;
	if (!is_owner(loop))
		while (s->running)
			pthread_cond_wait(&loop->cond, &loop->lock);
	/* Only now: on the list, the loop may free it. */
	s->next_removed = loop->removed;
	loop->removed = s;
	pthread_mutex_unlock(&loop->lock);
}

int loop_add_timer(struct loop *loop, loop_fn fn, void *ctx, struct loop_source **ret)
{
	struct loop_source *s = malloc(sizeof(*s));
	int code;

	if (!s)
		return -ENOMEM;
	*s = (struct loop_source){.loop = loop, .fn = fn, .ctx = ctx, .fd = -1, .is_timer = true};
	/* Made here, so that arming cannot fail. */
	s->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	code = s->fd < 0 ? -errno : watch(s, EPOLL_CTL_ADD, EPOLLIN | EPOLLET);
	if (code < 0) {
		close_fd(&s->fd);
		free(s);
		return code;
	}
	*ret = s;
	return 0;
}

void loop_arm(struct loop_source *timer, uint64_t ns)
{
	struct itimerspec when = {.it_value = {.tv_sec = (time_t)(ns / 1000000000),
					       .tv_nsec = (long)(ns % 1000000000)}};

	timerfd_settime(timer->fd, 0, &when, NULL);
}
