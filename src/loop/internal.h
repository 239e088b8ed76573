// SPDX-License-Identifier: MIT
/* What loop.c and io.c know of each other. */
#ifndef LKVM_LOOP_INTERNAL_H
#define LKVM_LOOP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "loop/loop.h"

struct io;

struct io_list {
	struct loop_io *first, **end;
};

struct post {
	struct post *next;
	void (*fn)(void *ctx);
	void *ctx;
	bool *done; /* loop_call waits for it on loop->cond; else the post is freed */
};

struct loop_source {
	struct loop *loop;
	loop_fn fn;
	void *ctx;
	int fd;
	bool is_timer, removed;
	unsigned int running; /* calls of fn on the stack (turns nest) */
	struct loop_source *next_removed;
};

struct loop {
	int epfd;
	int wake_fd; /* never read: EPOLLET */
	atomic_bool stop;
	pthread_mutex_t lock; /* everything down to `io_done` */
	pthread_cond_t cond;  /* owned, a removed source's running, or a loop_call's post changed */
	bool owned;
	pthread_t owner;
	bool sleeping; /* in epoll_wait without being due: work needs wake_fd */
	struct loop_source *removed; /* to be freed before the next epoll_wait */
	struct post *posts, **posts_end;
	unsigned int n_posts;
	struct io_list io_done; /* by threads; results in loop_io.result */
	/* The owner's own. */
	unsigned int depth; /* turns inside turns */
	struct io_list io_new; /* to be submitted at the end of this turn */
	struct io *io;	       /* NULL until needed */
	bool force_threads;
};

static inline void io_list_init(struct io_list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static inline void io_list_add(struct io_list *l, struct loop_io *io)
{
	io->next = NULL;
	*l->end = io;
	l->end = &io->next;
}

static inline struct loop_io *io_list_take(struct io_list *l)
{
	struct loop_io *io = l->first;

	if (io) {
		l->first = io->next;
		if (!l->first)
			l->end = &l->first;
	}
	return io;
}

/* Locked. Sees to it that the owner looks at posts and finished I/O soon. */
void loop_wake(struct loop *loop);

/* Hands what was collected to the kernel, or to threads. False: the kernel had no room, and nothing in flight will wake us. */
bool io_flush(struct loop *loop);
/* Completes what the ring has finished; returns how many. */
unsigned int io_reap(struct loop *loop);
/* Completes what threads have finished; returns how many. */
unsigned int io_finish(struct loop *loop);
void io_destroy(struct io *io);

#endif
