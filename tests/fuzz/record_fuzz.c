// SPDX-License-Identifier: MIT
/* A hostile guest's console, as lkvm test reads it. Input: how large the pieces are, and the text. */
#include "src/cli/record.h"

#include <string.h>

#include "tests/fuzz/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What people and XML parsers can read: no control characters; whole sequences are record.c's own tests' business. */
static void readable(const char *text, size_t most)
{
	MUST(strlen(text) <= most);
	for (; *text; text++)
		MUST((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void on_line(void *ctx, const char *line)
{
	++*(unsigned int *)ctx;
	readable(line, RECORD_LINE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int lines = 0, sum = 0, newlines = 0;
	struct record r;
	size_t piece;

	if (!size)
		return 0;
	piece = (size_t)data[0] + 1;
	record_init(&r);
	r.line_done = on_line;
	r.ctx = &lines;
	for (size_t at = 1; at < size; at += piece)
		record_feed(&r, data + at, size - at < piece ? size - at : piece);
	record_close(&r);
	for (unsigned int i = 0; i < RESULT_KINDS; i++)
		sum += r.count[i];
	MUST(r.n_results <= sum && sum <= lines + 1);
	for (unsigned int i = 0; i < r.n_results; i++) {
		MUST(r.results[i].kind < RESULT_KINDS && *r.results[i].name);
		readable(r.results[i].name, RECORD_LINE);
		if (r.results[i].reason)
			readable(r.results[i].reason, RECORD_LINE);
	}
	MUST(!r.has_status || (r.status >= 0 && r.status <= 255));
	for (const char *s = tail_last(&r.console, 3); *s; s++)
		newlines += *s == '\n';
	MUST(newlines <= 3);
	MUST(strlen(tail_last(&r.console, UINT32_MAX)) <= RECORD_TAIL);
	record_free(&r);
	return 0;
}
