/* SPDX-License-Identifier: MIT */
/*
 * Conformance programs for a host's KVM: raw ioctls, and no code of lkvm, since it is the kernel that is tested. Each prints PASS, FAIL and SKIP lines
 * ("FAIL name: reason") and exits with 0 when all passed, 1 when something failed, 77 when there was nothing to test.
 */
#ifndef TESTS_KVM_KVM_H
#define TESTS_KVM_KVM_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Counted atomically: the vCPUs' threads say results, too. In vcpu.c: what one file of a program finds counts for all of it. */
extern unsigned int said_passes, said_failures;

/*
 * The check under way, for the watchdog: with KVM_WATCHDOG=SECONDS in the environment, a program that has not ended by then says FAIL with this name, and ends
 * with timeout(1)'s status, 124.
 * A guest that hangs is so found by a program, in its words, and not by who waits for it. Without it, programs take their time.
 */
void under_way(const char *what);

static inline void say(const char *word, const char *what, const char *fmt, va_list ap)
{
	char line[512];
	int n = snprintf(line, sizeof(line), "%s %s%s", word, what, fmt ? ": " : "");

	if (fmt && n < (int)sizeof(line))
		vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	puts(line);
	fflush(stdout);
	snprintf(line, sizeof(line), "after-%s", what);
	under_way(line);
}

__attribute__((format(printf, 2, 3))) static inline void fail(const char *what, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("FAIL", what, fmt, ap);
	va_end(ap);
	__atomic_fetch_add(&said_failures, 1, __ATOMIC_RELAXED);
}

__attribute__((format(printf, 2, 3))) static inline void skip(const char *what, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("SKIP", what, fmt, ap);
	va_end(ap);
}

/* Known of kernels, and no promise broken: does not count. */
__attribute__((format(printf, 2, 3))) static inline void expected_failure(const char *what, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("XFAIL", what, fmt, ap);
	va_end(ap);
}

/* PASS, or FAIL with the reason. Returns ok. */
__attribute__((format(printf, 3, 4))) static inline bool check(bool ok, const char *what, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (ok) {
		say("PASS", what, NULL, ap);
		__atomic_fetch_add(&said_passes, 1, __ATOMIC_RELAXED);
	} else {
		say("FAIL", what, fmt, ap);
		__atomic_fetch_add(&said_failures, 1, __ATOMIC_RELAXED);
	}
	va_end(ap);
	return ok;
}

static inline int finish(void)
{
	return said_failures ? 1 : said_passes ? 0 : 77;
}

/* What the test cannot go on without: ends the program. */
static inline long must(long r, const char *what)
{
	if (r < 0) {
		fail("setup", "%s: %s", what, strerror(errno));
		exit(1);
	}
	return r;
}

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Such as of sysfs and tracefs: whether it took all of it. */
static inline bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Until *word (which others write) is value, at most so long. */
static inline bool wait_for(const volatile uint64_t *word, uint64_t value, unsigned int ms)
{
	uint64_t end = now_ns() + ms * UINT64_C(1000000);

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value)
		if (now_ns() > end)
			return false;
	return true;
}

#endif
