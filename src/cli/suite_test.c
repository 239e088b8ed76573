// SPDX-License-Identifier: MIT
/* Guests that are functions here: every way in which a test can end, and what the reports make of it. */
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "test_report.h"

#include "tests/test.h"

static void put(const char *text)
{
	if (write(1, text, strlen(text)) < 0)
		_exit(9);
}

static int good(void) { put("PASS a\nSKIP b: none\n"); return 0; }
static int bad(void) { put("PASS a\nFAIL b: 1 < 2 & \"3\" # x\n"); return 4; }
static int skipped(void) { put("SKIP b: none\n"); return 0; }
static int kut_good(void) { put("PASS: a: b\nEXIT: STATUS=1\n"); return 0; }
static int kut_silent(void) { put("EXIT: STATUS=1\n"); return 0; }
static int kut_bad(void) { put("PASS: a: b\nEXIT: STATUS=3\n"); return 0; }
static int kut_skipped(void) { put("EXIT: STATUS=155\n"); return 0; }
static int expected(void) { put("XFAIL: a\n"); return 0; }
static int nothing(void) { put("hello\n"); return 0; }
static int reset(void) { put("PASS a\n"); return 3; }
static int panicked(void) { put("PASS a\n"); return 4; }
static int halted(void) { put("FAIL a: b\n"); fprintf(stderr, "  Fatal: the guest is in a disabled wait\n"); return 5; }
static int lost(void) { put("PASS a\n"); fprintf(stderr, "  Fatal: the guest is in a disabled wait\n"); return 5; }

static int failing(void)
{
	fprintf(stderr, "  Warning: a\n  Fatal: vCPU 0 cannot run\n");
	return 1;
}

static int crashing(void)
{
	const struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	signal(SIGABRT, SIG_DFL);
	abort();
}

static int hanging(void)
{
	put("PASS a\nhere it ha");
	while (pause() < 0)
		;
	return 0;
}

static int deaf(void)
{
	signal(SIGTERM, SIG_IGN);
	while (pause() < 0)
		;
	return 0;
}

static int flooding(void)
{
	static char text[65536];

	memset(text, 'x', sizeof(text));
	for (;;)
		if (write(1, text, sizeof(text)) < 0)
			return 1;
}

/* A process that outlives it and keeps its console open. */
static int leaving(void)
{
	put("PASS a\n");
	if (!fork()) {
		usleep(1500000);
		_exit(0);
	}
	return 0;
}

static const struct {
	const char *name;
	int (*fn)(void);
	enum verdict verdict;
	const char *why; /* part of it */
} guests[] = {
	{ "good", good, VERDICT_PASS, "" },
	{ "bad", bad, VERDICT_FAIL, "" },
	{ "skipped", skipped, VERDICT_SKIP, "" },
	{ "kut_good", kut_good, VERDICT_PASS, "" },
	{ "kut_silent", kut_silent, VERDICT_PASS, "" },
	{ "kut_bad", kut_bad, VERDICT_FAIL, "exit status is 1" },
	{ "kut_skipped", kut_skipped, VERDICT_SKIP, "" },
	{ "expected", expected, VERDICT_PASS, "" },
	{ "nothing", nothing, VERDICT_FAIL, "without a result" },
	{ "reset", reset, VERDICT_FAIL, "reset" },
	{ "panicked", panicked, VERDICT_FAIL, "crashed" },
	{ "halted", halted, VERDICT_FAIL, "" },
	{ "lost", lost, VERDICT_FAIL, "disabled wait" },
	{ "failing", failing, VERDICT_FAIL, "vCPU 0 cannot run" },
	{ "crashing", crashing, VERDICT_FAIL, "killed by signal 6" },
	{ "hanging", hanging, VERDICT_FAIL, "out of time after 1 s" },
	{ "flooding", flooding, VERDICT_FAIL, "out of time" },
	{ "leaving", leaving, VERDICT_PASS, "" },
	{ "deaf", deaf, VERDICT_FAIL, "out of time" },
};
#define GUESTS (sizeof(guests) / sizeof(guests[0]))

#define PATIENCE_MS 40000

static struct suite_case cases[GUESTS];
static unsigned int n_started, n_done, n_timed_out;

static int guest(void *ctx, const char *file)
{
	for (unsigned int i = 0; i < GUESTS; i++)
		if (!strcmp(guests[i].name, file))
			return guests[i].fn();
	return 99;
}

/* The short limit is for those that never end, and theirs begins when they have said what they have to say. Others have as long as a busy machine takes. */
static void started(void *ctx, struct suite_case *c)
{
	struct pollfd p = { .fd = c->console_fd, .events = POLLIN };

	n_started++;
	for (unsigned int i = 0; i < GUESTS; i++) {
		if (strcmp(guests[i].name, c->file))
			continue;
		if (!strstr(guests[i].why, "out of time"))
			c->deadline_ms += PATIENCE_MS;
		else if (guests[i].fn == hanging && poll(&p, 1, PATIENCE_MS) == 1)
			c->deadline_ms = suite_now_ms() + 1000;
	}
}

static void done(void *ctx, struct suite_case *c) { n_done++; }

static void timed_out(void *ctx, struct suite_case *c)
{
	n_timed_out++;
	tail_feed(&c->log, "pc 0x80000000\n", 14);
}

static struct suite make(unsigned int n, unsigned int jobs, int64_t timeout_ms)
{
	memset(cases, 0, sizeof(cases));
	for (unsigned int i = 0; i < n; i++) {
		cases[i].file = guests[i].name;
		record_init(&cases[i].record);
	}
	n_started = n_done = n_timed_out = 0;
	return (struct suite){ .cases = cases, .n = n, .jobs = jobs, .timeout_ms = timeout_ms, .guest = guest,
			       .started = started, .done = done, .timed_out = timed_out };
}

static char *written;
static size_t written_len;

static bool says(const char *text)
{
	bool ok = strstr(written, text) != NULL;

	if (!ok)
		fprintf(stderr, "\"%s\" is not in:\n%s\n", text, written);
	return ok;
}

static void reports(const struct suite *s)
{
	struct report_counts counts = { 0 }, again = { 0 };
	unsigned int points = 0;
	FILE *f = open_memstream(&written, &written_len);

	for (unsigned int i = 0; i < s->n; i++)
		report_text(f, &s->cases[i], 8, &counts);
	report_summary(f, s, &counts, 1234);
	fclose(f);
	CHECK_EQ(counts.files[VERDICT_PASS], 5);
	CHECK_EQ(counts.files[VERDICT_FAIL], 12);
	CHECK_EQ(counts.files[VERDICT_SKIP], 2);
	CHECK(says("PASS  good      1 passed, 1 skipped ("));
	CHECK(says("FAIL  hanging   1 passed; out of time after 1 s ("));
	CHECK(says("| here it ha\n"));
	CHECK(says("| pc 0x80000000\n"));
	CHECK(says("failed:  b: 1 < 2"));
	CHECK(says("5 of 19 tests passed, 12 failed, 2 skipped; of "));
	CHECK(says("\nfailed: deaf\n"));
	CHECK(says("|   Warning: a\n"));
	free(written);

	f = open_memstream(&written, &written_len);
	for (unsigned int i = 0; i < s->n; i++)
		report_tap(f, &s->cases[i], &again);
	fclose(f);
	for (const char *line = written; *line; line += strcspn(line, "\n") + 1) {
		CHECK(!strncmp(line, "ok ", 3) || !strncmp(line, "not ok ", 7) || *line == '#');
		points += *line != '#';
	}
	CHECK_EQ(points, again.points);
	CHECK(says("\nok 2 - good: b # SKIP none\n"));
	CHECK(says("not ok 4 - bad: b\n# 1 < 2 & \"3\" # x\n"));
	CHECK(says(" - expected: a # TODO\n"));
	CHECK(says(" - skipped: b # SKIP none\n"));
	CHECK(says("ok 10 - kut_skipped # SKIP\n"));
	CHECK(says(" - hanging\n# out of time"));
	free(written);

	f = open_memstream(&written, &written_len);
	report_junit(f, s);
	fclose(f);
	CHECK(says("<testsuite name=\"bad\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\""));
	CHECK(says("<failure message=\"1 &lt; 2 &amp; &quot;3&quot; # x\"/>"));
	CHECK(says("<error message=\"out of time after 1 s\"/>"));
	CHECK(says("<testsuite name=\"skipped\" tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"1\""));
	free(written);
}

static void every_end(void)
{
	struct suite s = make(GUESTS, 4, 1000);
	char why[600];

	CHECK_EQ(suite_run(&s), 0);
	CHECK_EQ(n_started, GUESTS);
	CHECK_EQ(n_done, GUESTS);
	CHECK_EQ(n_timed_out, 3);
	for (unsigned int i = 0; i < GUESTS; i++) {
		enum verdict v = suite_judge(&cases[i], why, sizeof(why));

		if (v != guests[i].verdict || !strstr(why, guests[i].why) || (!*guests[i].why && *why))
			fprintf(stderr, "%s: verdict %d, \"%s\"\n", guests[i].name, v, why);
		CHECK_EQ(v, guests[i].verdict);
		CHECK(strstr(why, guests[i].why));
		CHECK(*guests[i].why || !*why);
	}
	reports(&s);
	for (unsigned int i = 0; i < GUESTS; i++)
		record_free(&cases[i].record);
}

static void interrupt(void *ctx, struct suite_case *c)
{
	n_started++;
	kill(getpid(), SIGINT);
}

static void interrupted(void)
{
	struct suite s = make(2, 1, 60000);
	struct report_counts counts = { 0 };
	char why[600];
	FILE *f = open_memstream(&written, &written_len);

	cases[0].file = "hanging";
	s.started = interrupt;
	CHECK_EQ(suite_run(&s), SIGINT);
	CHECK_EQ(n_started, 1);
	CHECK_EQ(n_done, 1);
	CHECK_EQ(suite_judge(&cases[0], why, sizeof(why)), VERDICT_FAIL);
	CHECK_STR(why, "interrupted");
	report_text(f, &cases[0], 8, &counts);
	report_summary(f, &s, &counts, 0);
	report_junit(f, &s);
	fclose(f);
	CHECK(says("0 of 2 tests passed, 1 failed, 1 not run"));
	CHECK(says("<skipped message=\"not run\"/>"));
	free(written);
	for (unsigned int i = 0; i < 2; i++)
		record_free(&cases[i].record);
}

int main(void)
{
	every_end();
	interrupted();
	return test_result();
}
