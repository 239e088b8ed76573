// SPDX-License-Identifier: MIT
/* Plain bitmaps of 64-bit words; callers lock. */
#ifndef LKVM_BASE_BITMAP_H
#define LKVM_BASE_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BITMAP_WORDS(bits) (((bits) + 63) / 64)

static inline void bitmap_set(uint64_t *map, size_t bit)
{
	map[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static inline void bitmap_clear(uint64_t *map, size_t bit)
{
	map[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
}

static inline void bitmap_assign(uint64_t *map, size_t bit, bool on)
{
	if (on)
		bitmap_set(map, bit);
	else
		bitmap_clear(map, bit);
}

static inline bool bitmap_test(const uint64_t *map, size_t bit)
{
	return map[bit / 64] >> (bit % 64) & 1;
}

#endif
