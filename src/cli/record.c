// SPDX-License-Identifier: MIT
#include "record.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define GUEST_SKIPPED 77

/* ---- text ---- */

/* Length of the valid, printable UTF-8 sequence at s (Unicode 15, table 3-7), or 0. */
static size_t sequence(const unsigned char *s, size_t len)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	uint32_t c;

	if (n == 1)
		return s[0] >= 0x20 && s[0] != 0x7f;
	if (s[0] < 0xc2 || s[0] > 0xf4 || len < n)
		return 0;
	c = s[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)))
		return 0;
	/* C1 controls, surrogates, and what XML leaves out. */
	return c < 0xa0 || (c >= 0xd800 && c < 0xe000) || (c & 0xfffe) == 0xfffe ? 0 : n;
}

/* Length of the terminal's control sequence at s (ECMA-48, 5.4), or 0. */
static size_t escape(const unsigned char *s, size_t len)
{
	size_t n = 2;

	if (s[0] != 0x1b)
		return 0;
	if (len < 2 || s[1] != '[')
		return 1;
	while (n < len && s[n] >= 0x20 && s[n] < 0x40)
		n++;
	return n < len ? n + 1 : n;
}

/* In place; never longer than before. */
static size_t clean(char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t out = 0;

	for (size_t i = 0, n; i < len; i += n) {
		n = escape(s + i, len - i);
		if (n)
			continue;
		n = sequence(s + i, len - i);
		if (n) {
			memmove(text + out, text + i, n);
			out += n;
			continue;
		}
		n = 1;
		text[out++] = s[i] == '\t' ? ' ' : '?';
	}
	return out;
}

static void end_line(struct tail *t)
{
	size_t n = clean(t->line, t->n_line);

	t->line[n] = 0;
	t->n_line = 0;
	if (t->n + n + 1 >= sizeof(t->text)) {
		memmove(t->text, t->text + t->n - RECORD_TAIL, RECORD_TAIL);
		t->n = RECORD_TAIL;
	}
	memcpy(t->text + t->n, t->line, n);
	t->n += n;
	t->text[t->n++] = '\n';
	t->text[t->n] = 0;
	if (t->line_done)
		t->line_done(t->ctx, t->line);
}

void tail_feed(struct tail *t, const void *bytes, size_t len)
{
	const char *s = bytes;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\n')
			end_line(t);
		else if (s[i] != '\r' && t->n_line < RECORD_LINE)
			t->line[t->n_line++] = s[i];
	}
}

void tail_close(struct tail *t)
{
	if (t->n_line)
		end_line(t);
}

const char *tail_last(const struct tail *t, unsigned int n)
{
	size_t from = t->n > RECORD_TAIL ? t->n - RECORD_TAIL : 0, at = t->n;

	/* What was cut in front is no whole line. */
	while (from && from < t->n && t->text[from - 1] != '\n')
		from++;
	for (; at > from; at--)
		if (t->text[at - 1] == '\n' && at < t->n && !--n)
			break;
	return t->text + at;
}

/* ---- results ---- */

static const struct {
	const char *word;
	enum result_kind kind;
} words[] = {
	{ "PASS", RESULT_PASS },   { "FAIL", RESULT_FAIL },  { "XFAIL", RESULT_XFAIL },
	{ "KFAIL", RESULT_XFAIL }, { "XPASS", RESULT_FAIL }, { "SKIP", RESULT_SKIP },
};

static void keep(struct record *r, enum result_kind kind, const char *name, size_t len, const char *reason)
{
	struct result *more;

	r->count[kind]++;
	if (r->n_results == RECORD_RESULTS)
		return;
	/* Room for twice as many whenever the number is a power of two. */
	if (!(r->n_results & (r->n_results - 1))) {
		more = realloc(r->results, (r->n_results ? 2 * r->n_results : 1) * sizeof(*more));
		if (!more)
			return;
		r->results = more;
	}
	more = &r->results[r->n_results];
	*more = (struct result){ kind, len ? strndup(name, len) : strdup("(no name)"), reason && *reason ? strdup(reason) : NULL };
	if (more->name)
		r->n_results++;
	else
		free(more->reason);
}

static const char *skip_blanks(const char *s)
{
	return s + strspn(s, " ");
}

static bool take_result(struct record *r, const char *line)
{
	for (unsigned int i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t n = strlen(words[i].word);
		const char *rest = line + n, *colon;

		if (strncmp(line, words[i].word, n) || (*rest && *rest != ' ' && *rest != ':'))
			continue;
		if (*rest == ':') {
			rest = skip_blanks(rest + 1);
			keep(r, words[i].kind, rest, strlen(rest), NULL);
			return true;
		}
		rest = skip_blanks(rest);
		colon = strstr(rest, ": ");
		keep(r, words[i].kind, rest, colon ? (size_t)(colon - rest) : strlen(rest), colon ? skip_blanks(colon + 1) : NULL);
		return true;
	}
	return false;
}

static void take_line(void *ctx, const char *line)
{
	static const char exit_line[] = "EXIT: STATUS=";
	struct record *r = ctx;

	if (!strncmp(line, exit_line, sizeof(exit_line) - 1)) {
		char *end;
		long n = strtol(line + sizeof(exit_line) - 1, &end, 10);

		/* A number that says nothing known is no success. */
		if (end != line + sizeof(exit_line) - 1) {
			r->has_status = true;
			r->status = n < 0 || n > 511 || !(n & 1) ? 255 : (int)(n >> 1);
		}
	} else {
		take_result(r, line);
	}
	if (r->line_done)
		r->line_done(r->ctx, line);
}

void record_init(struct record *r)
{
	*r = (struct record){ 0 };
	r->console.line_done = take_line;
	r->console.ctx = r;
}

void record_feed(struct record *r, const void *bytes, size_t len)
{
	tail_feed(&r->console, bytes, len);
}

void record_close(struct record *r)
{
	tail_close(&r->console);
	if (r->has_status && r->status == GUEST_SKIPPED && !r->count[RESULT_SKIP])
		r->count[RESULT_SKIP]++;
}

void record_free(struct record *r)
{
	for (unsigned int i = 0; i < r->n_results; i++) {
		free(r->results[i].name);
		free(r->results[i].reason);
	}
	free(r->results);
	r->results = NULL;
	r->n_results = 0;
}
