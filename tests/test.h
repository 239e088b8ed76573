// SPDX-License-Identifier: MIT
/* The smallest test frame: CHECK says where and what, and the program's exit status is 1 when any failed. */
#ifndef LKVM_TESTS_TEST_H
#define LKVM_TESTS_TEST_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned int test_checks, test_failures;

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		test_checks++;                                                                     \
		if (!(cond)) {                                                                     \
			test_failures++;                                                           \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);         \
		}                                                                                  \
	} while (0)

#define CHECK_EQ(a, b)                                                                             \
	do {                                                                                       \
		uint64_t a_ = (uint64_t)(a), b_ = (uint64_t)(b);                                   \
                                                                                                   \
		test_checks++;                                                                     \
		if (a_ != b_) {                                                                    \
			test_failures++;                                                           \
			fprintf(stderr, "%s:%d: %s is 0x%" PRIx64 ", expected 0x%" PRIx64 "\n",    \
				__FILE__, __LINE__, #a, a_, b_);                                   \
		}                                                                                  \
	} while (0)

#define CHECK_STR(a, b)                                                                            \
	do {                                                                                       \
		const char *sa_ = (a), *sb_ = (b);                                                 \
                                                                                                   \
		test_checks++;                                                                     \
		if (strcmp(sa_, sb_)) {                                                            \
			test_failures++;                                                           \
			fprintf(stderr, "%s:%d: %s is \"%s\", expected \"%s\"\n", __FILE__,        \
				__LINE__, #a, sa_, sb_);                                           \
		}                                                                                  \
	} while (0)

/* At the end of main: fails when nothing was checked at all. */
static inline int test_result(void)
{
	fprintf(stderr, "%u checks, %u failed\n", test_checks, test_failures);
	return test_failures || !test_checks;
}

/* Exit status 77: skipped, with the reason. */
static inline int test_skip(const char *why)
{
	printf("SKIP: %s\n", why);
	return 77;
}

#endif
