// SPDX-License-Identifier: MIT
#include "test_report.h"

#include <string.h>

#define TAIL_LINES 15
#define SHOWN_SKIPS 5
#define WHY 600

static const char *const verdict_word[VERDICTS] = { [VERDICT_PASS] = "PASS", [VERDICT_FAIL] = "FAIL", [VERDICT_SKIP] = "SKIP" };
static const char *const kind_words[RESULT_KINDS] = {
	[RESULT_PASS] = "passed", [RESULT_FAIL] = "failed", [RESULT_XFAIL] = "failed as expected", [RESULT_SKIP] = "skipped",
};

static unsigned int total(const unsigned int count[RESULT_KINDS])
{
	return count[RESULT_PASS] + count[RESULT_FAIL] + count[RESULT_XFAIL] + count[RESULT_SKIP];
}

/* "3 passed, 1 skipped" */
static void print_counts(FILE *f, const unsigned int count[RESULT_KINDS])
{
	const char *separator = "";

	for (unsigned int k = 0; k < RESULT_KINDS; k++) {
		if (!count[k])
			continue;
		fprintf(f, "%s%u %s", separator, count[k], kind_words[k]);
		separator = ", ";
	}
}

static void print_indented(FILE *f, const char *prefix, const char *text)
{
	while (*text) {
		int n = (int)strcspn(text, "\n");

		fprintf(f, "%s%.*s\n", prefix, n, text);
		text += n + (text[n] == '\n');
	}
}

/* What the program said, when it is more than the reason. */
static const char *log_beyond(const struct suite_case *c, const char *why)
{
	const char *said = tail_last(&c->log, 4 * TAIL_LINES);

	return *why && strstr(said, why) && !strchr(said, '\n')[1] ? "" : said;
}

static void count_case(const struct suite_case *c, enum verdict v, struct report_counts *counts)
{
	counts->files[v]++;
	for (unsigned int k = 0; k < RESULT_KINDS; k++)
		counts->results[k] += c->record.count[k];
}

/* ---- for people ---- */

static void print_results(FILE *f, const struct record *r, enum result_kind kind, unsigned int most)
{
	unsigned int shown = 0;

	for (unsigned int i = 0; i < r->n_results && shown < most; i++) {
		const struct result *x = &r->results[i];

		if (x->kind != kind)
			continue;
		fprintf(f, "        %s %s%s%s\n", kind == RESULT_FAIL ? "failed: " : "skipped:", x->name, x->reason ? ": " : "", x->reason ? x->reason : "");
		shown++;
	}
	if (r->count[kind] > shown)
		fprintf(f, "        ... and %u more %s\n", r->count[kind] - shown, kind_words[kind]);
}

void report_text(FILE *f, const struct suite_case *c, int width, struct report_counts *counts)
{
	char why[WHY];
	enum verdict v = suite_judge(c, why, sizeof(why));

	count_case(c, v, counts);
	fprintf(f, "%s  %-*s  ", verdict_word[v], width, c->file);
	print_counts(f, c->record.count);
	fprintf(f, "%s%s (%.1f s)\n", total(c->record.count) && *why ? "; " : "", why, (double)c->took_ms / 1000);
	if (v == VERDICT_FAIL)
		print_results(f, &c->record, RESULT_FAIL, 20);
	if (c->record.count[RESULT_SKIP])
		print_results(f, &c->record, RESULT_SKIP, SHOWN_SKIPS);
	if (v != VERDICT_FAIL)
		return;
	if (c->record.console.n) {
		fprintf(f, "        its console ends:\n");
		print_indented(f, "        | ", tail_last(&c->record.console, TAIL_LINES));
	}
	if (*log_beyond(c, why)) {
		fprintf(f, "        lkvm said:\n");
		print_indented(f, "        | ", log_beyond(c, why));
	}
}

void report_summary(FILE *f, const struct suite *s, const struct report_counts *counts, int64_t took_ms)
{
	unsigned int ran = counts->files[VERDICT_PASS] + counts->files[VERDICT_FAIL] + counts->files[VERDICT_SKIP];

	fprintf(f, "\n%u of %u tests passed", counts->files[VERDICT_PASS], s->n);
	if (counts->files[VERDICT_FAIL])
		fprintf(f, ", %u failed", counts->files[VERDICT_FAIL]);
	if (counts->files[VERDICT_SKIP])
		fprintf(f, ", %u skipped", counts->files[VERDICT_SKIP]);
	if (ran < s->n)
		fprintf(f, ", %u not run", s->n - ran);
	if (total(counts->results)) {
		fprintf(f, "; of %u results ", total(counts->results));
		print_counts(f, counts->results);
	}
	fprintf(f, " (%.1f s)\n", (double)took_ms / 1000);
	for (unsigned int i = 0; i < s->n && counts->files[VERDICT_FAIL]; i++) {
		char why[WHY];

		if (s->cases[i].stage && suite_judge(&s->cases[i], why, sizeof(why)) == VERDICT_FAIL)
			fprintf(f, "failed: %s\n", s->cases[i].file);
	}
}

/* ---- TAP ---- */

/* '#' begins a directive. */
static void tap_text(FILE *f, const char *text)
{
	for (; *text; text++) {
		if (*text == '#' || *text == '\\')
			fputc('\\', f);
		fputc(*text, f);
	}
}

static void tap_point(FILE *f, struct report_counts *counts, bool ok, const char *file, const char *name, const char *directive, const char *reason)
{
	fprintf(f, "%s %u - ", ok ? "ok" : "not ok", ++counts->points);
	tap_text(f, file);
	if (name) {
		fputs(": ", f);
		tap_text(f, name);
	}
	if (!directive && reason)
		fprintf(f, "\n# %s\n", reason);
	else if (directive)
		fprintf(f, " # %s%s%s\n", directive, reason ? " " : "", reason ? reason : "");
	else
		fputc('\n', f);
}

void report_tap(FILE *f, const struct suite_case *c, struct report_counts *counts)
{
	static const char *const directive[RESULT_KINDS] = { [RESULT_XFAIL] = "TODO", [RESULT_SKIP] = "SKIP" };
	const struct record *r = &c->record;
	char why[WHY], more[64];
	enum verdict v = suite_judge(c, why, sizeof(why));

	count_case(c, v, counts);
	for (unsigned int i = 0; i < r->n_results; i++)
		tap_point(f, counts, r->results[i].kind == RESULT_PASS || r->results[i].kind == RESULT_SKIP, c->file, r->results[i].name,
			  directive[r->results[i].kind], r->results[i].reason);
	if (total(r->count) > r->n_results && r->n_results) {
		snprintf(more, sizeof(more), "%u more results", total(r->count) - r->n_results);
		tap_point(f, counts, v != VERDICT_FAIL, c->file, more, NULL, NULL);
	}
	/* Its end is a point of its own where the results do not say it all. */
	if (v == VERDICT_FAIL && (*why || !r->count[RESULT_FAIL]))
		tap_point(f, counts, false, c->file, NULL, NULL, *why ? why : "the guest says that it has crashed");
	else if (!r->n_results)
		tap_point(f, counts, true, c->file, NULL, v == VERDICT_SKIP ? "SKIP" : NULL, NULL);
	if (v == VERDICT_FAIL) {
		print_indented(f, "# | ", tail_last(&r->console, TAIL_LINES));
		print_indented(f, "# ", log_beyond(c, why));
	}
}

/* ---- JUnit ---- */

static void xml_text(FILE *f, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<': fputs("&lt;", f); break;
		case '>': fputs("&gt;", f); break;
		case '&': fputs("&amp;", f); break;
		case '"': fputs("&quot;", f); break;
		default: fputc(*text, f);
		}
	}
}

/* A file's name is any bytes: through the same cleaning as a console's. */
static void xml_name(FILE *f, const char *name)
{
	struct tail t = { 0 };

	tail_feed(&t, name, strlen(name));
	tail_close(&t);
	t.text[t.n ? t.n - 1 : 0] = 0;
	xml_text(f, t.text);
}

static void xml_case(FILE *f, const char *file, const char *name, int64_t took_ms)
{
	fprintf(f, "    <testcase classname=\"");
	xml_name(f, file);
	fprintf(f, "\" name=\"");
	xml_text(f, name);
	fprintf(f, "\" time=\"%.3f\">", (double)took_ms / 1000);
}

static void xml_child(FILE *f, const char *element, const char *message)
{
	fprintf(f, "<%s message=\"", element);
	xml_text(f, message ? message : "");
	fprintf(f, "\"/>");
}

/* Whether the file's end is a case of its own. */
static bool end_counts(const struct suite_case *c, enum verdict v, const char *why)
{
	return *why || !c->record.n_results || (v == VERDICT_FAIL && !c->record.count[RESULT_FAIL]);
}

static void junit_suite(FILE *f, const struct suite_case *c)
{
	const struct record *r = &c->record;
	char why[WHY] = "not run";
	enum verdict v = c->stage ? suite_judge(c, why, sizeof(why)) : VERDICT_SKIP;
	unsigned int failed = 0, skipped = 0;
	bool end = end_counts(c, v, why);

	for (unsigned int i = 0; i < r->n_results; i++) {
		failed += r->results[i].kind == RESULT_FAIL;
		skipped += r->results[i].kind == RESULT_SKIP || r->results[i].kind == RESULT_XFAIL;
	}
	fprintf(f, "  <testsuite name=\"");
	xml_name(f, c->file);
	fprintf(f, "\" tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\" time=\"%.3f\">\n", r->n_results + end, failed,
		end && v == VERDICT_FAIL, skipped + (end && v == VERDICT_SKIP), (double)c->took_ms / 1000);
	for (unsigned int i = 0; i < r->n_results; i++) {
		const struct result *x = &r->results[i];

		xml_case(f, c->file, x->name, 0);
		if (x->kind == RESULT_FAIL)
			xml_child(f, "failure", x->reason);
		else if (x->kind != RESULT_PASS)
			xml_child(f, "skipped", x->kind == RESULT_XFAIL ? "failed as expected" : x->reason);
		fprintf(f, "</testcase>\n");
	}
	if (end) {
		xml_case(f, c->file, "end", c->took_ms);
		if (v == VERDICT_FAIL)
			xml_child(f, "error", *why ? why : "the guest says that it has crashed");
		else if (v == VERDICT_SKIP)
			xml_child(f, "skipped", why);
		fprintf(f, "</testcase>\n");
	}
	fprintf(f, "    <system-out>");
	xml_text(f, tail_last(&r->console, RECORD_TAIL));
	fprintf(f, "</system-out>\n    <system-err>");
	xml_text(f, tail_last(&c->log, RECORD_TAIL));
	fprintf(f, "</system-err>\n  </testsuite>\n");
}

void report_junit(FILE *f, const struct suite *s)
{
	fprintf(f, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"lkvm test\">\n");
	for (unsigned int i = 0; i < s->n; i++)
		junit_suite(f, &s->cases[i]);
	fprintf(f, "</testsuites>\n");
}
