// SPDX-License-Identifier: MIT
/* Errors: a negative errno for code, one sentence for a person. */
#ifndef LKVM_BASE_ERR_H
#define LKVM_BASE_ERR_H

/* Holds one sentence that names the file, option or address at fault, and the cure. */
struct err {
	int code; /* negative errno, 0 when nothing happened */
	char text[480];
};

/*
 * Records the sentence and returns `code` (a negative errno), so that `return err_set(...)` reads well.
 * e may be NULL. A second call does not replace the first sentence: the deepest cause is kept.
 */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before a sentence already recorded; for callers who know the option that led here. */
void err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The words for a negative errno; never NULL; thread-safe. */
const char *err_name(int code);

#endif
