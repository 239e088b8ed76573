// SPDX-License-Identifier: MIT
/*
 * File I/O. What the page cache or memory can serve is done at once; the rest goes to an io_uring that is made when it is first needed, or, where
 * io_uring is refused, to a few threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#include "loop/internal.h"

#define RING_ENTRIES 128
#define THREADS_MAX 4
#define THREAD_STACK (128 << 10) /* room for a sanitizer's frames; only what is touched counts */
#define AT_ONCE_MAX MIB(2) /* bytes copied on the loop's thread in one go: a guest may ask for gigabytes, again and again */

struct io {
	struct loop *loop;
	/* io_uring; the loop owner's. */
	bool has_ring, refused;
	struct io_uring ring;
	struct loop_source *source;
	unsigned int in_flight;	 /* taken by the kernel, not completed */
	struct io_list unsubmitted; /* have an SQE that the kernel has not taken; same order */
	unsigned int n_unsubmitted;
	/* Threads. */
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct io_list queue;
	unsigned int n_queued, idle, n_threads;
	bool stop;
	pthread_t thread[THREADS_MAX];
};

/* preadv2 with RWF_NOWAIT, by number: the C library of bookworm's s390x has no name for it. */
static ssize_t read_nowait(int fd, const struct iovec *iov, int n, off_t offset)
{
	return syscall(SYS_preadv2, fd, iov, n, offset, 0, RWF_NOWAIT);
}

enum loop_io_path loop_io_path(int fd)
{
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct statfs fs;
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && flags & O_DIRECT)
		return LOOP_IO_ASYNC;
	if (fstatfs(fd, &fs) == 0 &&
	    ((uint32_t)fs.f_type == TMPFS_MAGIC || (uint32_t)fs.f_type == RAMFS_MAGIC))
		return LOOP_IO_NOW;
	if (read_nowait(fd, &iov, 1, 0) < 0 && errno == EOPNOTSUPP)
		return LOOP_IO_ASYNC;
	return LOOP_IO_CACHE_FIRST;
}

static uint64_t total(const struct loop_io *io)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < io->n_iov; i++)
		n += io->iov[i].iov_len;
	return n;
}

/* Does it on this thread, waiting as long as it takes. */
static int64_t perform(const struct loop_io *io)
{
	int64_t n = -1;

	do {
		switch (io->op) {
		case LOOP_IO_READ:
			n = preadv(io->fd, io->iov, (int)io->n_iov, (off_t)io->offset);
			break;
		case LOOP_IO_WRITE:
			n = pwritev(io->fd, io->iov, (int)io->n_iov, (off_t)io->offset);
			break;
		case LOOP_IO_FDATASYNC:
			n = fdatasync(io->fd);
			break;
		case LOOP_IO_FALLOCATE:
			n = fallocate(io->fd, io->fallocate_mode, (off_t)io->offset,
				      (off_t)io->len);
			break;
		}
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static bool is_large(const struct loop_io *io)
{
	return (io->op == LOOP_IO_READ || io->op == LOOP_IO_WRITE) && total(io) > AT_ONCE_MAX;
}

/* True with *ret_result when the page cache had all of it. */
static bool read_cached(const struct loop_io *io, int64_t *ret_result)
{
	uint64_t want = total(io);
	ssize_t n;

	if (want > AT_ONCE_MAX)
		return false;
	n = read_nowait(io->fd, io->iov, (int)io->n_iov, (off_t)io->offset);
	/* Less than all: the end of the file or of what is cached; whoever may wait finds out. */
	if (n < 0 || (uint64_t)n != want)
		return false;
	*ret_result = n;
	return true;
}

void loop_submit(struct loop *loop, struct loop_io *io)
{
	int64_t result;

	if (io->path == LOOP_IO_NOW && !is_large(io)) {
		io->done(io, perform(io));
		return;
	}
	if (io->op == LOOP_IO_READ && io->path == LOOP_IO_CACHE_FIRST && read_cached(io, &result)) {
		io->done(io, result);
		return;
	}
	io_list_add(&loop->io_new, io);
}

/* --- threads --- */

static void *thread_main(void *arg)
{
	struct io *x = arg;
	struct loop *loop = x->loop;
	struct loop_io *io;
	int64_t result;

	pthread_mutex_lock(&x->lock);
	for (;;) {
		x->idle++;
		while (!x->stop && !x->queue.first)
			pthread_cond_wait(&x->work, &x->lock);
		x->idle--;
		if (x->stop)
			break;
		io = io_list_take(&x->queue);
		x->n_queued--;
		pthread_mutex_unlock(&x->lock);
		result = perform(io);
		pthread_mutex_lock(&loop->lock);
		io->result = result;
		io_list_add(&loop->io_done, io);
		loop_wake(loop);
		pthread_mutex_unlock(&loop->lock);
		pthread_mutex_lock(&x->lock);
	}
	pthread_mutex_unlock(&x->lock);
	return NULL;
}

static int start_thread(struct io *x)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int code;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	code = pthread_create(&x->thread[x->n_threads], &attr, thread_main, x);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (code == 0)
		x->n_threads++;
	return -code;
}

static void flush_to_threads(struct loop *loop)
{
	struct io *x = loop->io;
	unsigned int n = 0, idle;
	struct loop_io *io;

	pthread_mutex_lock(&x->lock);
	while ((io = io_list_take(&loop->io_new))) {
		io_list_add(&x->queue, io);
		x->n_queued++;
	}
	n = x->n_queued;
	idle = x->idle;
	pthread_mutex_unlock(&x->lock);
	for (unsigned int i = 0; i < MIN(n, idle); i++)
		pthread_cond_signal(&x->work);
	for (; idle < n && x->n_threads < THREADS_MAX; idle++)
		if (start_thread(x) < 0)
			break;
	if (x->n_threads)
		return;
	/* Not even one thread: slow, but done. */
	x->n_queued = 0;
	while ((io = io_list_take(&x->queue))) {
		int64_t result = perform(io);

		pthread_mutex_lock(&loop->lock);
		io->result = result;
		io_list_add(&loop->io_done, io);
		pthread_mutex_unlock(&loop->lock);
	}
}

unsigned int io_finish(struct loop *loop)
{
	unsigned int n = 0;
	struct loop_io *io;

	if (!loop->io)
		return 0;
	for (;; n++) {
		pthread_mutex_lock(&loop->lock);
		io = io_list_take(&loop->io_done);
		pthread_mutex_unlock(&loop->lock);
		if (!io)
			return n;
		io->done(io, io->result);
	}
}

/* --- io_uring --- */

static void on_ring(void *ctx, uint32_t events)
{
	io_reap(ctx);
}

unsigned int io_reap(struct loop *loop)
{
	struct io *x = loop->io;
	struct io_uring_cqe *cqe;
	unsigned int n = 0;

	if (!x || !x->has_ring)
		return 0;
	/* One at a time: done() may turn the loop itself. */
	for (; io_uring_peek_cqe(&x->ring, &cqe) == 0; n++) {
		struct loop_io *io = io_uring_cqe_get_data(cqe);
		int64_t result = cqe->res;

		io_uring_cqe_seen(&x->ring, cqe);
		x->in_flight--;
		io->done(io, result);
	}
	return n;
}

static void prepare(struct io_uring_sqe *sqe, struct loop_io *io)
{
	switch (io->op) {
	case LOOP_IO_READ:
		io_uring_prep_readv(sqe, io->fd, io->iov, io->n_iov, io->offset);
		break;
	case LOOP_IO_WRITE:
		io_uring_prep_writev(sqe, io->fd, io->iov, io->n_iov, io->offset);
		break;
	case LOOP_IO_FDATASYNC:
		io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
		break;
	case LOOP_IO_FALLOCATE:
		io_uring_prep_fallocate(sqe, io->fd, io->fallocate_mode, (off_t)io->offset,
					(off_t)io->len);
		break;
	}
	/* Else the kernel copies what is cached inside io_uring_submit. */
	if (is_large(io))
		io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
	io_uring_sqe_set_data(sqe, io);
}

static bool flush_to_ring(struct loop *loop)
{
	struct io *x = loop->io;
	struct io_uring_sqe *sqe;
	struct loop_io *io;
	int n;

	do {
		/* Never more in flight than the completion ring holds (twice the entries): it cannot overflow. */
		while ((io = loop->io_new.first) &&
		       x->in_flight + x->n_unsubmitted < 2 * RING_ENTRIES &&
		       (sqe = io_uring_get_sqe(&x->ring))) {
			io_list_take(&loop->io_new);
			prepare(sqe, io);
			io_list_add(&x->unsubmitted, io);
			x->n_unsubmitted++;
		}
		if (!x->n_unsubmitted)
			return true;
		n = io_uring_submit(&x->ring);
		for (int i = 0; i < n; i++) {
			io_list_take(&x->unsubmitted);
			x->n_unsubmitted--;
			x->in_flight++;
		}
	} while (n > 0 && loop->io_new.first && x->in_flight < 2 * RING_ENTRIES);
	if (n >= 0 || n == -EAGAIN || n == -EBUSY || n == -EINTR || n == -ENOMEM)
		return !x->n_unsubmitted || x->in_flight;
	/*
	 * Refused from now on (a filter came into force): what the kernel has not taken goes to threads, and so does all that follows.
	 * Its SQEs stay behind in a ring that is not submitted again.
	 */
	x->refused = true;
	while ((io = io_list_take(&loop->io_new)))
		io_list_add(&x->unsubmitted, io);
	loop->io_new = x->unsubmitted;
	if (!loop->io_new.first)
		io_list_init(&loop->io_new);
	io_list_init(&x->unsubmitted);
	x->n_unsubmitted = 0;
	flush_to_threads(loop);
	return true;
}

static void open_ring(struct io *x)
{
	struct loop *loop = x->loop;

	if (io_uring_queue_init(RING_ENTRIES, &x->ring, 0) < 0)
		return;
	/* Each completion makes an edge, and io_reap empties the ring. */
	if (loop_add(loop, x->ring.ring_fd, EPOLLIN | EPOLLET, on_ring, loop, &x->source) < 0) {
		io_uring_queue_exit(&x->ring);
		return;
	}
	x->has_ring = true;
}

/* --- either --- */

/* Out of memory for the little that any of it needs: done here and now. */
static void flush_here(struct loop *loop)
{
	struct io_list list = loop->io_new;
	struct loop_io *io;

	io_list_init(&loop->io_new);
	while ((io = io_list_take(&list)))
		io->done(io, perform(io));
}

bool io_flush(struct loop *loop)
{
	struct io *x = loop->io;

	if (!loop->io_new.first && (!x || !x->n_unsubmitted))
		return true;
	if (!x) {
		x = calloc(1, sizeof(*x));
		if (!x) {
			flush_here(loop);
			return true;
		}
		x->loop = loop;
		io_list_init(&x->unsubmitted);
		io_list_init(&x->queue);
		pthread_mutex_init(&x->lock, NULL);
		pthread_cond_init(&x->work, NULL);
		loop->io = x;
		if (!loop->force_threads)
			open_ring(x);
	}
	if (x->has_ring && !x->refused)
		return flush_to_ring(loop);
	flush_to_threads(loop);
	return true;
}

void io_destroy(struct io *x)
{
	if (!x)
		return;
	pthread_mutex_lock(&x->lock);
	x->stop = true;
	pthread_cond_broadcast(&x->work);
	pthread_mutex_unlock(&x->lock);
	for (unsigned int i = 0; i < x->n_threads; i++)
		pthread_join(x->thread[i], NULL);
	if (x->has_ring) {
		loop_remove(x->source);
		io_uring_queue_exit(&x->ring);
	}
	pthread_mutex_destroy(&x->lock);
	pthread_cond_destroy(&x->work);
	free(x);
}

bool loop_uses_io_uring(struct loop *loop)
{
	return loop->io && loop->io->has_ring && !loop->io->refused;
}

void loop_force_threads(struct loop *loop)
{
	loop->force_threads = true;
}
