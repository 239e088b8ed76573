// SPDX-License-Identifier: MIT
/*
 * The event loop: one thread per VM waits here for descriptors, timers and finished file I/O. File I/O goes through io_uring,
 * set up at the first request that the page cache cannot serve; where io_uring is refused, a few threads do the same.
 * Unless said otherwise, functions are for the loop's own thread (or for any thread before loop_run starts).
 */
#ifndef LKVM_LOOP_LOOP_H
#define LKVM_LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/util.h"

struct loop;
struct loop_source;

int loop_create(struct loop **ret, struct err *e);
void loop_destroy(struct loop *loop); /* all I/O finished and sources removed before; NULL is fine */
DEFINE_CLEANUP(loop, loop_destroy)

/* Runs until loop_stop. loop_stop: any thread. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/*
 * Handles one batch of events, posts and finished I/O, waiting for it up to timeout_ms (-1: without end, 0: not at all). For who must wait on the loop's
 * own thread (also from inside a callback), or while no thread runs the loop. Returns how many were handled, or -errno.
 */
int loop_turn(struct loop *loop, int timeout_ms);
bool loop_is_self(struct loop *loop); /* is the caller the thread that runs the loop now? */

/*
 * Watches fd (EPOLLIN, EPOLLOUT, EPOLLET...; level-triggered by default). fn gets the events that came. An eventfd watched with EPOLLET need never be
 * read. -EPERM for a regular file, which is always ready. Adding and removing are thread-safe; after loop_remove returns, fn is not running (unless called from fn itself) and will not be called.
 */
typedef void (*loop_fn)(void *ctx, uint32_t events);
int loop_add(struct loop *loop, int fd, uint32_t events, loop_fn fn, void *ctx, struct loop_source **ret);
int loop_modify(struct loop_source *source, uint32_t events);
void loop_remove(struct loop_source *source); /* NULL is fine; does not close fd */

/* A timer (CLOCK_MONOTONIC); arm with 0 to disarm. Arming is thread-safe. Removed with loop_remove. */
int loop_add_timer(struct loop *loop, loop_fn fn, void *ctx, struct loop_source **ret);
void loop_arm(struct loop_source *timer, uint64_t ns_from_now);

/*
 * Runs fn(ctx) on the loop thread, in order; any thread. loop_call waits for it to return (runs at once on the loop thread itself, and on the caller's,
 * which stands in for the loop thread meanwhile, when none runs the loop). What is posted while none does waits for the next loop_run.
 */
int loop_post(struct loop *loop, void (*fn)(void *ctx), void *ctx);
int loop_call(struct loop *loop, void (*fn)(void *ctx), void *ctx);

/* One file operation. The caller owns it and everything it points to until done() has been called. */
enum loop_io_op { LOOP_IO_READ, LOOP_IO_WRITE, LOOP_IO_FDATASYNC, LOOP_IO_FALLOCATE };

/* How the operation is best done; loop_io_path() finds out once for a file. The zero value is always right, if slower. */
enum loop_io_path {
	LOOP_IO_CACHE_FIRST, /* reads try the page cache, then as LOOP_IO_ASYNC */
	LOOP_IO_ASYNC,	     /* O_DIRECT, or a file system that cannot say what is cached */
	LOOP_IO_NOW,	     /* the file lives in memory (tmpfs): a copy, done before loop_submit returns if it is not large */
};
enum loop_io_path loop_io_path(int fd);

struct loop_io {
	enum loop_io_op op;
	enum loop_io_path path;
	int fd;
	int fallocate_mode;
	uint64_t offset, len; /* bytes; len only for fallocate */
	const struct iovec *iov;
	unsigned int n_iov;
	/* Called once, on the loop thread: bytes moved (may be short), 0, or -errno. */
	void (*done)(struct loop_io *io, int64_t result);
	struct loop_io *next; /* the loop's own, as is result */
	int64_t result;
};

/*
 * Starts the operation; done() may be called before this returns. A read is first tried from the page cache (RWF_NOWAIT). Large transfers (over
 * 2 MiB) are never done on the loop's thread, so that no request holds up the others for long.
 * Submissions collected while one batch of events is handled reach the kernel together at its end.
 */
void loop_submit(struct loop *loop, struct loop_io *io);

/* True while io_uring serves the file I/O (false before the first use, or when refused); for doctor and tests. */
bool loop_uses_io_uring(struct loop *loop);
/* For tests: never use io_uring in this loop. */
void loop_force_threads(struct loop *loop);

#endif
