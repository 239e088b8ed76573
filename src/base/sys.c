// SPDX-License-Identifier: MIT
#include "base/bitmap.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int sys_ioctl(int fd, unsigned long request, void *arg)
{
#ifdef __GLIBC__
	int r = ioctl(fd, request, arg);
#else
	int r = ioctl(fd, (int)request, arg);
#endif

	return r < 0 ? -errno : r;
}

int sys_ioctl_value(int fd, unsigned long request, unsigned long value)
{
	return sys_ioctl(fd, request, (void *)(uintptr_t)value);
}

int sys_open(const char *path, int flags, unsigned int mode)
{
	int fd;

	/* Not open(): some C libraries follow it with a second call for O_CLOEXEC, for kernels that nobody runs. */
	do
		fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC | O_LARGEFILE, mode);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

ssize_t sys_read_all(int fd, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t sys_pread_all(int fd, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int sys_write_all(int fd, const void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, (const char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

int sys_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

void sys_eventfd_signal(int fd)
{
	uint64_t one = 1;

	/* EAGAIN means the counter is full: it is signalled already. */
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void sys_eventfd_clear(int fd)
{
	uint64_t n;

	while (read(fd, &n, sizeof(n)) < 0 && errno == EINTR)
		;
}

int sys_random(void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = getrandom((char *)buf + done, len - done, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

uint64_t sys_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

struct start {
	void *(*fn)(void *);
	void *arg;
	char name[16];
};

static void *run_thread(void *ctx)
{
	struct start start = *(struct start *)ctx;

	free(ctx);
	prctl(PR_SET_NAME, start.name, 0, 0, 0);
	return start.fn(start.arg);
}

int sys_parse_cpulist(const char *text, uint64_t *map, size_t bits)
{
	bool any = false;

	memset(map, 0, bits / 8);
	while (*text && *text != '\n') {
		unsigned long first, last;
		char *end;

		if (*text < '0' || *text > '9')
			return -EINVAL;
		first = last = strtoul(text, &end, 10);
		if (*end == '-' && end[1] >= '0' && end[1] <= '9')
			last = strtoul(end + 1, &end, 10);
		if (first > last || last >= bits || (*end && *end != ',' && *end != '\n'))
			return -EINVAL;
		for (; first <= last; first++)
			bitmap_set(map, first);
		any = true;
		text = *end == ',' ? end + 1 : end;
	}
	return any ? 0 : -EINVAL;
}

int sys_set_affinity(const uint64_t *map, size_t bits)
{
	/* The system call itself: the kernel takes words, C libraries sets of a fixed size. */
	return syscall(SYS_sched_setaffinity, 0, bits / 8, map) < 0 ? -errno : 0;
}

int sys_thread_start(void *(*fn)(void *), void *arg, const char *name, unsigned long *ret_thread)
{
	struct start *start = calloc(1, sizeof(*start));
	sigset_t all, old;
	pthread_t thread;
	int r;

	if (!start)
		return -ENOMEM;
	start->fn = fn;
	start->arg = arg;
	strncpy(start->name, name, sizeof(start->name) - 1);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, NULL, run_thread, start);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r) {
		free(start);
		return -r;
	}
	*ret_thread = (unsigned long)thread;
	return 0;
}
