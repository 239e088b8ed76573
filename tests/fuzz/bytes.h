// SPDX-License-Identifier: MIT
/* A fuzzer's input, taken from the front; zeroes when it has ended. */
#ifndef LKVM_TESTS_FUZZ_BYTES_H
#define LKVM_TESTS_FUZZ_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct bytes {
	const uint8_t *data;
	size_t len;
};

static inline uint64_t bytes_take(struct bytes *b, unsigned int n)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (!b->len)
			return v;
		v |= (uint64_t)*b->data << (8 * i);
		b->data++;
		b->len--;
	}
	return v;
}

/* What must hold whatever the guest does. */
#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #cond);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#endif
