// SPDX-License-Identifier: MIT
/* Little- and big-endian numbers in byte buffers of any alignment, and for fields of wire structures. */
#ifndef LKVM_BASE_ENDIAN_H
#define LKVM_BASE_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define ENDIAN_ACCESSORS(bits, order)                                                              \
	static inline uint##bits##_t get_##order##bits(const void *p)                              \
	{                                                                                          \
		uint##bits##_t n;                                                                  \
                                                                                                   \
		memcpy(&n, p, sizeof(n));                                                          \
		return order##bits##toh(n);                                                        \
	}                                                                                          \
	static inline void put_##order##bits(void *p, uint##bits##_t v)                            \
	{                                                                                          \
		uint##bits##_t n = hto##order##bits(v);                                            \
                                                                                                   \
		memcpy(p, &n, sizeof(n));                                                          \
	}

ENDIAN_ACCESSORS(16, le)
ENDIAN_ACCESSORS(32, le)
ENDIAN_ACCESSORS(64, le)
ENDIAN_ACCESSORS(16, be)
ENDIAN_ACCESSORS(32, be)
ENDIAN_ACCESSORS(64, be)
#undef ENDIAN_ACCESSORS

/* A little-endian number of 1, 2, 4 or 8 bytes: what an MMIO access of that width carries. */
static inline uint64_t get_le(const void *p, unsigned int len)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < len && i < 8; i++)
		v |= (uint64_t)((const uint8_t *)p)[i] << (8 * i);
	return v;
}

static inline void put_le(void *p, unsigned int len, uint64_t v)
{
	for (unsigned int i = 0; i < len; i++)
		((uint8_t *)p)[i] = i < 8 ? (uint8_t)(v >> (8 * i)) : 0;
}

#endif
