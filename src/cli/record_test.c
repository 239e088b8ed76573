// SPDX-License-Identifier: MIT
#include "record.h"

#include "tests/test.h"

static struct record r;

static void say(const char *text)
{
	record_free(&r);
	record_init(&r);
	record_feed(&r, text, strlen(text));
	record_close(&r);
}

static void is(unsigned int i, enum result_kind kind, const char *name, const char *reason)
{
	CHECK(i < r.n_results);
	if (i >= r.n_results)
		return;
	CHECK_EQ(r.results[i].kind, kind);
	CHECK_STR(r.results[i].name, name);
	CHECK_STR(r.results[i].reason ? r.results[i].reason : "-", reason ? reason : "-");
}

static void results(void)
{
	say("PASS one\r\nFAIL two: is 3, should be: 4\nSKIP three: no such device\nDONE 1 failures\n");
	CHECK_EQ(r.n_results, 3);
	is(0, RESULT_PASS, "one", NULL);
	is(1, RESULT_FAIL, "two", "is 3, should be: 4");
	is(2, RESULT_SKIP, "three", "no such device");
	CHECK(!r.has_status);

	say("PASS: gicv3: ipi: self: Interrupts received\nXFAIL: x: y\nXPASS: better\nKFAIL: known\nSKIP: z\nINFO: FAIL: no\n");
	CHECK_EQ(r.n_results, 5);
	is(0, RESULT_PASS, "gicv3: ipi: self: Interrupts received", NULL);
	is(1, RESULT_XFAIL, "x: y", NULL);
	is(2, RESULT_FAIL, "better", NULL);
	is(3, RESULT_XFAIL, "known", NULL);
	is(4, RESULT_SKIP, "z", NULL);

	say("PASSED all\nPASSword\nFAILED\n PASS indented\nxPASS: x\npass: small\nFAIL\nPASS:\nSKIP last, no newline");
	CHECK_EQ(r.n_results, 3);
	is(0, RESULT_FAIL, "(no name)", NULL);
	is(1, RESULT_PASS, "(no name)", NULL);
	is(2, RESULT_SKIP, "last, no newline", NULL);

	/* In any pieces. */
	record_free(&r);
	record_init(&r);
	for (const char *s = "FAIL a: b\nPASS c"; *s; s++)
		record_feed(&r, s, 1);
	CHECK_EQ(r.n_results, 1);
	record_close(&r);
	CHECK_EQ(r.n_results, 2);
}

static void exit_lines(void)
{
	static const struct {
		const char *text;
		int status; /* -1: none */
	} rows[] = {
		{ "EXIT: STATUS=1\n", 0 },    { "\nEXIT: STATUS=3\r\n", 1 }, { "EXIT: STATUS=155\n", 77 },
		{ "EXIT: STATUS=255\n", 127 }, { "EXIT: STATUS=0\n", 255 },   { "EXIT: STATUS=2\n", 255 },
		{ "EXIT: STATUS=-1\n", 255 }, { "EXIT: STATUS=99999999999999999999\n", 255 }, { "EXIT: STATUS=\n", -1 },
		{ "EXIT: STATUS\n", -1 },     { "EXIT: STATUS=x\n", -1 },    { "no EXIT: STATUS=1\n", -1 },
	};

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		say(rows[i].text);
		CHECK_EQ(r.has_status ? r.status : -1, rows[i].status);
	}
	say("EXIT: STATUS=155\n");
	CHECK_EQ(r.count[RESULT_SKIP], 1);
}

static void cleaning(void)
{
	say("PASS \x1b[1;31mred\x1b[0m\tx\x01y\x7f\x1b\n");
	is(0, RESULT_PASS, "red x?y?", NULL);
	/* Good UTF-8, C1 controls, overlong forms, surrogates, what XML leaves out, sequences cut short. */
	say("PASS gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\n");
	is(0, RESULT_PASS, "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", NULL);
	say("PASS \xc2\x85|\xc0\xaf|\xe0\x80\xaf|\xed\xa0\x80|\xef\xbf\xbe|\xf4\x90\x80\x80|\xff|\x80|\xe2\x82\n");
	is(0, RESULT_PASS, "?" "?|??|???|???|???|????|?|?|??", NULL);
	record_free(&r);
	record_init(&r);
	record_feed(&r, "PASS nu\0l\n", 10);
	is(0, RESULT_PASS, "nu?l", NULL);
}

static void bounds(void)
{
	enum { BIG = 1 << 20 };
	char *big = malloc(BIG);
	const char *last;
	char line[32];

	/* No newline at all. */
	memset(big, 'A', BIG);
	memcpy(big, "FAIL ", 5);
	record_free(&r);
	record_init(&r);
	for (int i = 0; i < 20; i++)
		record_feed(&r, big, BIG);
	record_close(&r);
	CHECK_EQ(r.n_results, 1);
	CHECK_EQ(strlen(r.results[0].name), RECORD_LINE - 5);

	/* More results than are kept. */
	record_free(&r);
	record_init(&r);
	for (unsigned int i = 0; i < 3 * RECORD_RESULTS; i++) {
		snprintf(line, sizeof(line), "%s %u\n", i % 2 ? "PASS" : "FAIL", i);
		record_feed(&r, line, strlen(line));
	}
	CHECK_EQ(r.n_results, RECORD_RESULTS);
	CHECK_EQ(r.count[RESULT_PASS] + r.count[RESULT_FAIL], 3 * RECORD_RESULTS);
	CHECK_STR(tail_last(&r.console, 1), "PASS 12287\n");
	CHECK_STR(tail_last(&r.console, 2), "FAIL 12286\nPASS 12287\n");
	last = tail_last(&r.console, 100000);
	CHECK(strlen(last) <= RECORD_TAIL);
	CHECK(strlen(last) > RECORD_TAIL / 2);
	CHECK(!strncmp(last, "PASS ", 5) || !strncmp(last, "FAIL ", 5));

	/* Bytes of every kind in pieces of every size: nothing to see but that text is printable. */
	record_free(&r);
	record_init(&r);
	for (unsigned int i = 0, x = 1; i < 20000; i++) {
		unsigned char piece[97];

		for (unsigned int k = 0; k < sizeof(piece); k++) {
			x = x * 1103515245 + 12345;
			piece[k] = (unsigned char)(x >> 16);
		}
		record_feed(&r, piece, x >> 16 & 63);
	}
	record_close(&r);
	for (const char *s = tail_last(&r.console, 1000000); *s; s++)
		CHECK((unsigned char)*s >= 0x20 || *s == '\n');
	record_free(&r);
	record_init(&r);
	CHECK_STR(tail_last(&r.console, 5), "");
	free(big);
}

int main(void)
{
	record_init(&r);
	results();
	exit_lines();
	cleaning();
	bounds();
	record_free(&r);
	return test_result();
}
