/* SPDX-License-Identifier: MIT */
/*
 * Runs guests one after the other or some at once, each in a process of its own, with a time limit: a guest that hangs the program, or a host whose kernel
 * does not let go of it, costs one test and not the run.
 */
#ifndef LKVM_CLI_SUITE_H
#define LKVM_CLI_SUITE_H

#include <stdint.h>
#include <sys/types.h>

#include "record.h"

enum case_end {
	CASE_EXITED,	  /* status is the process's */
	CASE_SIGNALED,	  /* status is the signal: the program itself failed */
	CASE_OUT_OF_TIME, /* status is the limit in seconds */
	CASE_STUCK,	  /* out of time, and its process has not gone even so */
	CASE_INTERRUPTED, /* the run was ended by a signal */
	CASE_NOT_STARTED, /* status is an errno */
};

enum verdict { VERDICT_PASS, VERDICT_FAIL, VERDICT_SKIP };
#define VERDICTS 3

/* record is record_init()ed by the caller, the rest starts all zero. */
struct suite_case {
	const char *file;
	struct record record;
	struct tail log; /* what the program itself said */
	enum case_end end;
	int status;
	int64_t took_ms;

	/* while it runs */
	pid_t pid;
	int console_fd, log_fd;
	int64_t started_ms, deadline_ms;
	unsigned int stage;
};

struct suite {
	struct suite_case *cases;
	unsigned int n, jobs;
	int64_t timeout_ms;
	void *ctx;
	/* In the new process, whose standard output is the guest's console: the exit status. */
	int (*guest)(void *ctx, const char *file);
	void (*started)(void *ctx, struct suite_case *c); /* may be NULL, as the next one */
	void (*timed_out)(void *ctx, struct suite_case *c); /* it still runs */
	void (*done)(void *ctx, struct suite_case *c);
};

/* Runs all. Returns 0, the signal that ended the run early (done() was still called for each case that had started), or -errno. Not thread-safe: it forks and waits. */
int suite_run(struct suite *s);

/* Monotonic. */
int64_t suite_now_ms(void);

/* What it comes to, and why in words; why is empty when there is nothing to say beyond its results. */
enum verdict suite_judge(const struct suite_case *c, char *why, size_t len);

#endif
