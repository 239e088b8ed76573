// SPDX-License-Identifier: MIT
/* lkvm test. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <yyjson.h>

#include "cli.h"
#include "test_report.h"

#define DUMP_TIMEOUT_MS 3000
#define MAX_NAME 40

struct test {
	const struct cli_command *command;
	struct lkvm_config *config;
	struct suite suite;
	const char *junit;
	unsigned int timeout; /* seconds */
	bool verbose, tap;
	bool live; /* the name of the test that runs is on the terminal's last line */
	int width;
	struct report_counts counts;
};

/* ---- words ---- */

static int add_file(struct test *t, const char *file)
{
	struct suite_case *more = realloc(t->suite.cases, (t->suite.n + 1) * sizeof(*more));
	int n = (int)strlen(file);
	struct stat st;

	if (!more)
		return cli_fatal("out of memory");
	t->suite.cases = more;
	/* Before anything runs: a word mistyped. */
	if (stat(file, &st) < 0 || access(file, R_OK) < 0)
		return cli_fatal("Unable to open test %s: %s", file, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return cli_misused(t->command, "%s is a folder: name the tests in it", file);
	memset(&more[t->suite.n], 0, sizeof(*more));
	more[t->suite.n++].file = file;
	if (n > t->width)
		t->width = n < MAX_NAME ? n : MAX_NAME;
	return 0;
}

static int number(const struct test *t, const char *name, const char *text, unsigned int max, unsigned int *ret)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || *text == '-' || !n || n > max)
		return cli_misused(t->command, "--%s takes a number from 1 to %u, not \"%s\"", name, max, text);
	*ret = (unsigned int)n;
	return 0;
}

static int not_for_tests(const struct test *t, const char *name)
{
	return cli_misused(t->command, "--%s is not for tests: each file is the kernel of a machine of its own, its console is read", name);
}

static int take_option(void *ctx, const char *name, const char *value)
{
	struct test *t = ctx;

	if (!name)
		return add_file(t, value);
	if (!strcmp(name, "timeout"))
		return number(t, name, value, 86400, &t->timeout);
	if (!strcmp(name, "jobs"))
		return number(t, name, value, 256, &t->suite.jobs);
	if (!strcmp(name, "verbose"))
		t->verbose = true;
	else if (!strcmp(name, "tap"))
		t->tap = true;
	else if (!strcmp(name, "junit"))
		t->junit = value;
	else if (!strcmp(name, "kernel") || !strcmp(name, "firmware") || !strcmp(name, "name") || !strcmp(name, "tty"))
		return not_for_tests(t, name);
	else
		return run_option(t->command, t->config, name, value);
	return 0;
}

/* ---- one test ---- */

static void guest_name(char *buf, size_t len, pid_t pid)
{
	snprintf(buf, len, "test-%d", (int)pid);
}

/* In the new process. */
static int guest(void *ctx, const char *file)
{
	struct test *t = ctx;
	char name[32];
	int status;

	guest_name(name, sizeof(name), getpid());
	status = cli_set(t->command, t->config, "kernel", file);
	if (!status)
		status = cli_set(t->command, t->config, "name", name);
	return status ? status : run_guest(t->command, t->config);
}

static void started(void *ctx, struct suite_case *c)
{
	struct test *t = ctx;

	if (t->live) {
		printf("....  %s", c->file);
		fflush(stdout);
	}
}

/* Where its vCPUs are goes to its log: that is what one wants to know first. */
static void timed_out(void *ctx, struct suite_case *c)
{
	char name[32], *reply;
	yyjson_val *v;
	yyjson_doc *doc;
	size_t i, n;

	guest_name(name, sizeof(name), c->pid);
	if (lkvm_guest_control(name, "debug", "{\"dump\":true}", DUMP_TIMEOUT_MS, &reply, NULL) < 0)
		return;
	doc = yyjson_read(reply, strlen(reply), 0);
	yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "dump"), i, n, v)
	{
		char title[32];

		snprintf(title, sizeof(title), "vCPU %zu:\n", i);
		tail_feed(&c->log, title, strlen(title));
		tail_feed(&c->log, yyjson_get_str(v), yyjson_get_len(v));
		tail_close(&c->log);
	}
	yyjson_doc_free(doc);
	free(reply);
}

static void done(void *ctx, struct suite_case *c)
{
	struct test *t = ctx;

	if (t->live)
		printf("\r\033[K");
	if (t->tap)
		report_tap(stdout, c, &t->counts);
	else
		report_text(stdout, c, t->width, &t->counts);
	fflush(stdout);
}

static void show_line(void *ctx, const char *line)
{
	printf("| %s\n", line);
	fflush(stdout);
}

/* With more than one at once, each line says whose it is. */
static void show_named_line(void *ctx, const char *line)
{
	const struct suite_case *c = ctx;

	printf("%s| %s\n", c->file, line);
	fflush(stdout);
}

/* ---- all ---- */

static int run_all(struct test *t)
{
	FILE *junit = NULL;
	int64_t begin = suite_now_ms();
	int r, status = 0;

	/* Opened before the tests take their time. */
	if (t->junit && !(junit = fopen(t->junit, "we")))
		return cli_fatal("Unable to write %s: %s; check the path given to --junit", t->junit, strerror(errno));
	t->suite.ctx = t;
	t->suite.timeout_ms = (int64_t)t->timeout * 1000;
	t->suite.guest = guest;
	t->suite.started = started;
	t->suite.timed_out = timed_out;
	t->suite.done = done;
	t->live = !t->tap && !t->verbose && t->suite.jobs == 1 && isatty(STDOUT_FILENO);
	for (unsigned int i = 0; i < t->suite.n; i++) {
		struct suite_case *c = &t->suite.cases[i];

		record_init(&c->record);
		c->record.line_done = !t->verbose || t->tap ? NULL : t->suite.jobs > 1 ? show_named_line : show_line;
		c->record.ctx = c;
	}
	if (t->tap)
		puts("TAP version 13");
	r = suite_run(&t->suite);
	if (t->tap)
		printf("1..%u\n", t->counts.points);
	else if (r >= 0)
		report_summary(stdout, &t->suite, &t->counts, suite_now_ms() - begin);
	if (junit) {
		report_junit(junit, &t->suite);
		if (fclose(junit))
			status = cli_fatal("Unable to write %s: %s", t->junit, strerror(errno));
	}
	if (r < 0)
		return cli_fatal("tests cannot be run: %s", strerror(-r));
	if (fflush(stdout) || ferror(stdout))
		status = cli_fatal("the results cannot be written: %s", strerror(errno));
	return r > 0 ? 128 + r : status ? status : t->counts.files[VERDICT_FAIL] ? EXIT_FAILED : 0;
}

int test_main(const struct cli_command *command, int argc, char **argv)
{
	struct test t = { .command = command, .timeout = 90, .suite.jobs = 1 };
	int status;

	if (lkvm_config_create(&t.config) < 0)
		return cli_fatal("out of memory");
	status = cli_parse(command, argc, argv, take_option, &t);
	if (status < 0)
		status = cli_set(command, t.config, "nodefaults", NULL);
	else
		goto out;
	/* From a file of --config, whose kernel and name are each test's own in the end. */
	if (!status && lkvm_config_get(t.config, "tty", NULL, 0) > 0)
		status = not_for_tests(&t, "tty");
	if (!status && lkvm_config_get(t.config, "firmware", NULL, 0) > 0)
		status = not_for_tests(&t, "firmware");
	if (!status && !t.suite.n)
		status = cli_misused(command, "name the tests to run: lkvm test FILE...");
	if (!status)
		status = run_all(&t);
out:
	for (unsigned int i = 0; i < t.suite.n; i++)
		record_free(&t.suite.cases[i].record);
	free(t.suite.cases);
	lkvm_config_destroy(t.config);
	return status;
}
