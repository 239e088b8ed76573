/* SPDX-License-Identifier: MIT */
/*
 * What a test guest said on its console: results, and the end of the text. The guest is hostile: lines are cut, what is kept is bounded, and what people and XML
 * parsers cannot read is replaced, so that all text here is printable UTF-8.
 *
 * A result is a line that begins with PASS, FAIL, XFAIL (KFAIL), XPASS or SKIP, as kvm-unit-tests prints them, "PASS: NAME", or "FAIL NAME: REASON".
 * "EXIT: STATUS=N", N being the guest's exit status * 2 + 1, is kvm-unit-tests' last word (77: skipped).
 */
#ifndef LKVM_CLI_RECORD_H
#define LKVM_CLI_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#define RECORD_LINE 1024	/* bytes of a line; the rest is dropped */
#define RECORD_TAIL 8192	/* bytes of text kept */
#define RECORD_RESULTS 4096	/* results kept by name; more are counted */

/* The end of a text, by lines. All zero is empty. */
struct tail {
	char line[RECORD_LINE + 1];
	size_t n_line;
	char text[2 * RECORD_TAIL + RECORD_LINE + 2];
	size_t n;
	void (*line_done)(void *ctx, const char *line); /* each line when it is whole, or NULL */
	void *ctx;
};

void tail_feed(struct tail *t, const void *bytes, size_t len);
/* Ends the last line if there is one. */
void tail_close(struct tail *t);
/* The last lines of the text, at most n of them; each ends with a newline. */
const char *tail_last(const struct tail *t, unsigned int n);

enum result_kind { RESULT_PASS, RESULT_FAIL, RESULT_XFAIL, RESULT_SKIP };
#define RESULT_KINDS 4

struct result {
	enum result_kind kind;
	char *name, *reason; /* reason may be NULL */
};

struct record {
	struct tail console;
	unsigned int count[RESULT_KINDS]; /* all, also those not kept */
	struct result *results;
	unsigned int n_results;
	bool has_status;
	int status; /* of the guest, by its EXIT line */
	void (*line_done)(void *ctx, const char *line);
	void *ctx;
};

void record_init(struct record *r);
void record_feed(struct record *r, const void *bytes, size_t len);
void record_close(struct record *r);
void record_free(struct record *r);

#endif
