// SPDX-License-Identifier: MIT
/*
 * Only the loop thread reads and writes the descriptors (and stream_close, when the loop's sources are gone); the writers and readers of the VM
 * touch two rings under the lock. One timer is the stream's doorbell to the loop: arming it is thread-safe, and removing it leaves nothing behind.
 */
#include "backend/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#include "base/sys.h"

#define OUT_SIZE 16384u
#define IN_SIZE 4096u
#define FLUSH_BYTES 1024u	   /* so much is written at once ... */
#define FLUSH_NS 1000000u	   /* ... fewer bytes wait so long for company */
#define RETRY_NS 250000000u	   /* a terminal that refuses us in the background, or a full ring */
#define STALL_NS 1000000000u	   /* a guest that reads nothing for so long loses input rather than the escape */
#define CLOSE_NS 1000000000u
#define FLUSH_ROUNDS 4		   /* writes in one turn of the loop */
#define TTY_CHUNK 64u		   /* what a terminal takes after POLLOUT without blocking */
#define CTRL_A 1

/* One descriptor of ours, and how to use it without blocking on it. */
struct end {
	int fd;
	bool socket;   /* MSG_DONTWAIT */
	bool polled;   /* shares a blocking description: ask poll first */
	bool terminal;
	bool master;   /* of a pty: its other side may come and go */
	bool always;   /* cannot be waited for: always ready (regular file, /dev/null) */
};

enum wake { WAKE_NONE, WAKE_SOON, WAKE_NOW };

struct stream {
	struct loop *loop;
	struct loop_source *timer, *in_source, *out_source;
	struct end in, out;
	void (*escaped)(void *ctx);
	void *escaped_ctx;
	bool got_ctrl_a; /* loop thread only */

	pthread_mutex_t lock;
	pthread_cond_t called; /* `calling` became false */
	struct stream_user user;
	bool calling;
	enum wake wake;
	bool in_ended, in_full, in_pending, in_notify;
	bool out_waiting, out_broken, out_wanted;
	uint64_t last_read_ns;
	unsigned int in_head, in_count, out_head, out_count; /* head: the oldest byte */
	char in_ring[IN_SIZE], out_ring[OUT_SIZE];
};

/* --- descriptors --- */

/* A description of our own for what would block, so that O_NONBLOCK does not leak to those who share the caller's. */
static int reopen(int fd, bool output)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return sys_open(path, (output ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_NOCTTY, 0);
}

static int end_open(struct end *end, int fd, bool output, struct err *e)
{
	int flags, own = -1;
	unsigned int pty;
	struct stat st;

	*end = (struct end){.fd = -1};
	if (fd < 0)
		return 0;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fstat(fd, &st) < 0)
		return err_set(e, -errno, "console: descriptor %d, given for %s, is not open", fd,
			       output ? "output" : "input");
	end->socket = S_ISSOCK(st.st_mode);
	end->terminal = S_ISCHR(st.st_mode) && isatty(fd);
	end->master = end->terminal && sys_ioctl(fd, TIOCGPTN, &pty) >= 0;
	if (!(flags & O_NONBLOCK) && (S_ISFIFO(st.st_mode) || end->terminal)) {
		/* Opening a pty's master again would make another pty. */
		if (!end->master)
			own = reopen(fd, output);
		end->polled = own < 0;
	}
	if (own < 0)
		own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return err_set(e, -errno, "console: cannot duplicate descriptor %d: %s", fd, err_name(-errno));
	end->fd = own;
	return 0;
}

static bool end_ready(const struct end *end, short events)
{
	struct pollfd p = {.fd = end->fd, .events = events};

	return poll(&p, 1, 0) > 0;
}

static ssize_t end_read(const struct end *end, void *buf, size_t len)
{
	ssize_t n;

	if (end->polled && !end_ready(end, POLLIN))
		return -EAGAIN;
	do
		n = end->socket ? recv(end->fd, buf, len, MSG_DONTWAIT) : read(end->fd, buf, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static ssize_t end_write(const struct end *end, struct iovec *iov, int n_iov)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (unsigned int)n_iov};
	ssize_t n;

	/* Nobody has the other side open: as a cable that is not plugged in. */
	if (end->master && end_ready(end, 0))
		return -EIO;
	if (end->polled) {
		if (!end_ready(end, POLLOUT))
			return -EAGAIN;
		iov[0].iov_len = MIN(iov[0].iov_len, end->terminal ? TTY_CHUNK : (size_t)PIPE_BUF);
		n_iov = 1;
	}
	do
		n = end->socket ? sendmsg(end->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) :
				  writev(end->fd, iov, n_iov);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* --- the doorbell, and the user's callbacks --- */

/* Lock held. */
static void wake_up(struct stream *s, enum wake wake)
{
	if (s->wake >= wake)
		return;
	s->wake = wake;
	loop_arm(s->timer, wake == WAKE_NOW ? 1 : FLUSH_NS);
}

/* Comes back later to look again, unless something brings us here sooner. Lock held. */
static void look_again(struct stream *s)
{
	s->in_pending = true;
	if (s->wake == WAKE_NONE)
		loop_arm(s->timer, RETRY_NS);
}

/* Loop thread, lock not held. */
static void call_user(struct stream *s, bool input)
{
	struct stream_user user;

	pthread_mutex_lock(&s->lock);
	user = s->user;
	s->calling = true;
	pthread_mutex_unlock(&s->lock);
	if (input && user.input_ready)
		user.input_ready(user.ctx);
	else if (!input && user.output_ready)
		user.output_ready(user.ctx);
	pthread_mutex_lock(&s->lock);
	s->calling = false;
	pthread_cond_broadcast(&s->called);
	pthread_mutex_unlock(&s->lock);
}

/* --- output --- */

static void ring_iov(char *ring, unsigned int size, unsigned int head, unsigned int count, struct iovec iov[2])
{
	unsigned int first = MIN(count, size - head);

	iov[0] = (struct iovec){ring + head, first};
	iov[1] = (struct iovec){ring, count - first};
}

/* One write of what is there: bytes, 0 when there is nothing, -EAGAIN, or another error: the output is broken and drops everything from now on. */
static ssize_t flush_once(struct stream *s)
{
	struct iovec iov[2];
	ssize_t n;

	pthread_mutex_lock(&s->lock);
	ring_iov(s->out_ring, OUT_SIZE, s->out_head, s->out_count, iov);
	pthread_mutex_unlock(&s->lock);
	if (!iov[0].iov_len)
		return 0;
	/* Writers only append: what the iovecs name stays in place. */
	n = end_write(&s->out, iov, iov[1].iov_len ? 2 : 1);
	if (n == -EAGAIN)
		return n;
	pthread_mutex_lock(&s->lock);
	if (n <= 0 && n != -ENOSPC && n != -EDQUOT && n != -EFBIG && !s->out.master)
		s->out_broken = true;
	if (n <= 0)
		n = s->out_count;
	s->out_head = (s->out_head + (unsigned int)n) % OUT_SIZE;
	s->out_count -= (unsigned int)n;
	pthread_mutex_unlock(&s->lock);
	return n;
}

static void on_output(void *ctx, uint32_t events);

/* Asks the loop to say when the output takes bytes again. */
static void wait_output(struct stream *s)
{
	uint32_t events = EPOLLOUT | EPOLLONESHOT;
	int r;

	pthread_mutex_lock(&s->lock);
	s->out_waiting = true;
	pthread_mutex_unlock(&s->lock);
	r = s->out_source ? loop_modify(s->out_source, events) :
			    loop_add(s->loop, s->out.fd, events, on_output, s, &s->out_source);
	if (r >= 0)
		return;
	pthread_mutex_lock(&s->lock);
	s->out_waiting = false;
	wake_up(s, WAKE_SOON);
	pthread_mutex_unlock(&s->lock);
}

/* Loop thread, lock not held. */
static void tell_output(struct stream *s)
{
	bool tell;

	pthread_mutex_lock(&s->lock);
	tell = s->out_wanted && s->out_count <= OUT_SIZE / 2;
	if (tell)
		s->out_wanted = false;
	pthread_mutex_unlock(&s->lock);
	if (tell)
		call_user(s, false);
}

static void flush(struct stream *s)
{
	ssize_t n = 1;

	for (unsigned int i = 0; i < FLUSH_ROUNDS && n > 0; i++)
		n = flush_once(s);
	pthread_mutex_lock(&s->lock);
	if (n > 0 && s->out_count)
		wake_up(s, WAKE_NOW);
	pthread_mutex_unlock(&s->lock);
	if (n == -EAGAIN)
		wait_output(s);
	tell_output(s);
}

static void on_output(void *ctx, uint32_t events)
{
	struct stream *s = ctx;

	pthread_mutex_lock(&s->lock);
	s->out_waiting = false;
	pthread_mutex_unlock(&s->lock);
	flush(s);
}

size_t stream_write(struct stream *s, const void *buf, size_t len)
{
	struct iovec iov[2];
	size_t n = len;

	pthread_mutex_lock(&s->lock);
	if (s->out.fd >= 0 && !s->out_broken) {
		n = MIN(len, OUT_SIZE - s->out_count);
		ring_iov(s->out_ring, OUT_SIZE, (s->out_head + s->out_count) % OUT_SIZE, (unsigned int)n, iov);
		memcpy(iov[0].iov_base, buf, iov[0].iov_len);
		memcpy(iov[1].iov_base, (const char *)buf + iov[0].iov_len, iov[1].iov_len);
		s->out_count += (unsigned int)n;
		if (n < len)
			s->out_wanted = true;
		if (!s->out_waiting && s->out_count)
			wake_up(s, s->out_count >= FLUSH_BYTES ? WAKE_NOW : WAKE_SOON);
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

void stream_want_output(struct stream *s, bool now)
{
	pthread_mutex_lock(&s->lock);
	s->out_wanted = true;
	wake_up(s, now ? WAKE_NOW : WAKE_SOON);
	pthread_mutex_unlock(&s->lock);
}

/* --- input --- */

/* Puts what was typed into the ring, less the escapes; what does not fit is dropped. Returns whether the user asked to leave. Lock held. */
static bool take_input(struct stream *s, const char *buf, size_t len)
{
	bool leave = false;

	for (size_t i = 0; i < len; i++) {
		char c = buf[i];

		if (s->escaped && s->got_ctrl_a) {
			s->got_ctrl_a = false;
			if (c == 'x' || c == 'X') {
				leave = true;
				continue;
			}
			if (c == 'a')
				c = CTRL_A;
		} else if (s->escaped && c == CTRL_A) {
			s->got_ctrl_a = true;
			continue;
		}
		if (s->in_count == IN_SIZE)
			continue;
		s->in_ring[(s->in_head + s->in_count++) % IN_SIZE] = c;
	}
	return leave;
}

/* How many bytes to read now; 0 when the ring is full and must stay as it is. Lock held. */
static size_t input_room(struct stream *s)
{
	size_t room = IN_SIZE - s->in_count;

	s->in_full = !room;
	if (room || !s->escaped || !s->in.terminal)
		return room;
	/* The way out must work on a guest that does not read. */
	if (sys_now_ns() - s->last_read_ns > STALL_NS)
		return IN_SIZE;
	look_again(s);
	return 0;
}

static void fill(struct stream *s)
{
	char buf[IN_SIZE];
	bool leave = false, added = false;
	size_t room;
	ssize_t n;

	if (s->in.fd < 0)
		return;
	pthread_mutex_lock(&s->lock);
	s->in_pending = false;
	room = s->in_ended ? 0 : input_room(s);
	pthread_mutex_unlock(&s->lock);
	if (!room)
		return;
	n = end_read(&s->in, buf, room);

	pthread_mutex_lock(&s->lock);
	if (n > 0) {
		unsigned int before = s->in_count;

		leave = take_input(s, buf, (size_t)n);
		added = s->in_count > before;
		if (s->in.always) {
			s->in_pending = true;
			wake_up(s, WAKE_NOW);
		}
	} else if (n == -EIO && s->in.terminal && (s->in.master || !end_ready(&s->in, 0))) {
		look_again(s); /* we are in the terminal's background, or nobody has the other side open */
	} else if (n != -EAGAIN) {
		s->in_ended = true;
	}
	pthread_mutex_unlock(&s->lock);
	if (s->in_source && (n > 0 || n == -EAGAIN))
		loop_modify(s->in_source, EPOLLIN | EPOLLONESHOT);
	if (leave)
		s->escaped(s->escaped_ctx);
	if (added)
		call_user(s, true);
}

static void on_input(void *ctx, uint32_t events)
{
	fill(ctx);
}

size_t stream_read(struct stream *s, void *buf, size_t len)
{
	struct iovec iov[2];
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = MIN(len, s->in_count);
	ring_iov(s->in_ring, IN_SIZE, s->in_head, (unsigned int)n, iov);
	memcpy(buf, iov[0].iov_base, iov[0].iov_len);
	memcpy((char *)buf + iov[0].iov_len, iov[1].iov_base, iov[1].iov_len);
	s->in_head = (s->in_head + (unsigned int)n) % IN_SIZE;
	s->in_count -= (unsigned int)n;
	if (n && s->in.terminal && s->escaped)
		s->last_read_ns = sys_now_ns();
	if (s->in_full && s->in_count <= IN_SIZE / 2) {
		s->in_full = false;
		s->in_pending = true;
		wake_up(s, WAKE_NOW);
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* --- life --- */

/* The doorbell: whatever was asked for. */
static void on_timer(void *ctx, uint32_t events)
{
	struct stream *s = ctx;
	bool out, in, notify;

	pthread_mutex_lock(&s->lock);
	s->wake = WAKE_NONE;
	out = s->out_count && !s->out_waiting;
	in = s->in_pending;
	notify = s->in_notify && s->in_count;
	s->in_notify = false;
	pthread_mutex_unlock(&s->lock);
	if (out)
		flush(s);
	else
		tell_output(s);
	if (notify)
		call_user(s, true);
	if (in)
		fill(s);
}

void stream_attach(struct stream *s, const struct stream_user *user)
{
	pthread_mutex_lock(&s->lock);
	s->user = user ? *user : (struct stream_user){0};
	while (s->calling && !loop_is_self(s->loop))
		pthread_cond_wait(&s->called, &s->lock);
	if (user && s->in_count) {
		s->in_notify = true;
		wake_up(s, WAKE_NOW);
	}
	pthread_mutex_unlock(&s->lock);
}

int stream_open(struct loop *loop, const struct stream_config *config, struct stream **ret, struct err *e)
{
	CLEANUP(cleanup_stream_close) struct stream *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(e, -ENOMEM, "console: out of memory");
	s->loop = loop;
	s->in.fd = s->out.fd = -1;
	s->escaped = config->escaped;
	s->escaped_ctx = config->escaped_ctx;
	s->last_read_ns = sys_now_ns();
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->called, NULL);
	r = end_open(&s->in, config->in_fd, false, e);
	if (r >= 0)
		r = end_open(&s->out, config->out_fd, true, e);
	if (r < 0)
		return r;
	r = loop_add_timer(loop, on_timer, s, &s->timer);
	if (r < 0)
		return err_set(e, r, "console: cannot make a timer: %s", err_name(r));
	if (s->in.fd >= 0) {
		r = loop_add(loop, s->in.fd, EPOLLIN | EPOLLONESHOT, on_input, s, &s->in_source);
		if (r < 0 && r != -EPERM)
			return err_set(e, r, "console: cannot wait for descriptor %d: %s", config->in_fd,
				       err_name(r));
		if (r == -EPERM) {
			pthread_mutex_lock(&s->lock);
			s->in.always = s->in_pending = true;
			wake_up(s, WAKE_NOW);
			pthread_mutex_unlock(&s->lock);
		}
	}
	*ret = TAKE(s);
	return 0;
}

/* Writes out what the VM has said, as long as the other side takes it within a second. */
static void drain(struct stream *s)
{
	uint64_t now = sys_now_ns(), until = now + CLOSE_NS;
	const struct timespec none = {0};
	sigset_t quiet, old, pending;
	ssize_t n;

	/* This may be a thread of the host's program: a closed pipe, or a file as long as files may be, must not end it. */
	sigemptyset(&quiet);
	sigaddset(&quiet, SIGPIPE);
	sigaddset(&quiet, SIGXFSZ);
	pthread_sigmask(SIG_BLOCK, &quiet, &old);
	/* What was pending before stays so. */
	sigpending(&pending);
	if (sigismember(&pending, SIGPIPE))
		sigdelset(&quiet, SIGPIPE);
	if (sigismember(&pending, SIGXFSZ))
		sigdelset(&quiet, SIGXFSZ);
	while ((n = flush_once(s)) && now < until) {
		struct pollfd p = {.fd = s->out.fd, .events = POLLOUT};

		if (n == -EAGAIN)
			poll(&p, 1, (int)((until - now) / 1000000 + 1));
		now = sys_now_ns();
	}
	while ((n = sigtimedwait(&quiet, NULL, &none)) > 0 || (n < 0 && errno == EINTR))
		;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void stream_close(struct stream *s)
{
	if (!s)
		return;
	loop_remove(s->in_source);
	loop_remove(s->out_source);
	loop_remove(s->timer);
	if (s->out_count)
		drain(s);
	close_fd(&s->in.fd);
	close_fd(&s->out.fd);
	pthread_cond_destroy(&s->called);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
