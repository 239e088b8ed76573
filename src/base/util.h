// SPDX-License-Identifier: MIT
/* Small helpers every file may use: sizes, rounding, and cleanup by scope. */
#ifndef LKVM_BASE_UTIL_H
#define LKVM_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* Rounding to a power of two; the caller guarantees that round_up does not overflow. */
static inline uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) & ~(to - 1);
}

static inline uint64_t round_down(uint64_t n, uint64_t to)
{
	return n & ~(to - 1);
}

static inline bool is_pow2(uint64_t n)
{
	return n && !(n & (n - 1));
}

/* True when [a, a+alen) and [b, b+blen) meet; none of them may wrap. */
static inline bool ranges_overlap(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return a < b + blen && b < a + alen;
}

/* Scope cleanup: the destructor runs when the variable leaves its scope; TAKE() moves ownership out. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define CLEANUP_FREE CLEANUP(cleanup_free)
#define CLEANUP_CLOSE CLEANUP(cleanup_close)

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Defines cleanup_<fn>() for `struct type *` destroyed by fn(struct type *), which accepts NULL. */
#define DEFINE_CLEANUP(type, fn)                                                                   \
	static inline void cleanup_##fn(struct type **p)                                           \
	{                                                                                          \
		fn(*p);                                                                            \
	}

#define TAKE(p)                                                                                    \
	__extension__({                                                                            \
		__typeof__(p) take_ = (p);                                                         \
		(p) = NULL;                                                                        \
		take_;                                                                             \
	})

static inline int take_fd(int *fd)
{
	int n = *fd;

	*fd = -1;
	return n;
}

/* Closes *fd if it is open and sets it to -1. */
static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		close(take_fd(fd));
}

#endif
