// SPDX-License-Identifier: MIT
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GRACE_MS 5000 /* from one signal to the next stronger one */
#define CHUNK 65536

enum stage { STAGE_WAITING, STAGE_RUNNING, STAGE_ASKED, STAGE_KILLED, STAGE_DONE };

int64_t suite_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool runs(const struct suite_case *c)
{
	return c->stage > STAGE_WAITING && c->stage < STAGE_DONE;
}

/* ---- one process ---- */

static _Noreturn void be_guest(const struct suite *s, const struct suite_case *c, int console, int log, pid_t parent, const sigset_t *mask)
{
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || nothing < 0 || dup2(nothing, 0) < 0 || dup2(console, 1) < 0 || dup2(log, 2) < 0)
		_exit(1);
	sigprocmask(SIG_SETMASK, mask, NULL);
	exit(s->guest(s->ctx, c->file));
}

static int start(struct suite *s, struct suite_case *c, const sigset_t *mask)
{
	int console[2] = { -1, -1 }, log[2] = { -1, -1 }, r = 0;
	pid_t parent = getpid();

	if (pipe2(console, O_CLOEXEC) < 0 || pipe2(log, O_CLOEXEC) < 0) {
		r = -errno;
		goto out;
	}
	/* Or the child would say it again. */
	fflush(NULL);
	c->pid = fork();
	if (c->pid < 0)
		r = -errno;
	else if (c->pid == 0)
		be_guest(s, c, console[1], log[1], parent, mask);
out:
	for (int i = 0; i < 2; i++) {
		if (console[i] >= 0 && (i || r < 0))
			close(console[i]);
		if (log[i] >= 0 && (i || r < 0))
			close(log[i]);
	}
	if (r < 0)
		return r;
	fcntl(console[0], F_SETFL, O_NONBLOCK);
	fcntl(log[0], F_SETFL, O_NONBLOCK);
	c->console_fd = console[0];
	c->log_fd = log[0];
	c->stage = STAGE_RUNNING;
	c->started_ms = suite_now_ms();
	c->deadline_ms = c->started_ms + s->timeout_ms;
	if (s->started)
		s->started(s->ctx, c);
	return 0;
}

/* One chunk. False at the end, or when there is nothing now. */
static bool drain(int *fd, struct tail *t)
{
	char buf[CHUNK];
	ssize_t n = *fd < 0 ? -1 : read(*fd, buf, sizeof(buf));

	if (n > 0) {
		tail_feed(t, buf, (size_t)n);
	} else if (*fd >= 0 && (!n || (errno != EAGAIN && errno != EINTR))) {
		close(*fd);
		*fd = -1;
	}
	return n > 0;
}

static void finish(struct suite *s, struct suite_case *c)
{
	/* What it wrote before it went is there by now; a helper of it that still writes is not waited for. */
	for (int i = 0; i < 16 && drain(&c->console_fd, &c->record.console); i++)
		;
	for (int i = 0; i < 16 && drain(&c->log_fd, &c->log); i++)
		;
	if (c->console_fd >= 0)
		close(c->console_fd);
	if (c->log_fd >= 0)
		close(c->log_fd);
	record_close(&c->record);
	tail_close(&c->log);
	c->took_ms = suite_now_ms() - c->started_ms;
	c->stage = STAGE_DONE;
	s->done(s->ctx, c);
}

static void reap(struct suite *s)
{
	for (unsigned int i = 0; i < s->n; i++) {
		struct suite_case *c = &s->cases[i];
		int status;

		if (!runs(c) || waitpid(c->pid, &status, WNOHANG) != c->pid)
			continue;
		if (c->end == CASE_EXITED) {
			c->end = WIFSIGNALED(status) ? CASE_SIGNALED : CASE_EXITED;
			c->status = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
		}
		finish(s, c);
	}
}

/* The time of this stage is over. */
static void press(struct suite *s, struct suite_case *c)
{
	if (c->stage == STAGE_RUNNING) {
		c->end = CASE_OUT_OF_TIME;
		c->status = (int)(s->timeout_ms / 1000);
		if (s->timed_out)
			s->timed_out(s->ctx, c);
		kill(c->pid, SIGTERM);
	} else if (c->stage == STAGE_ASKED) {
		kill(c->pid, SIGKILL);
	} else {
		if (c->end != CASE_INTERRUPTED)
			c->end = CASE_STUCK;
		finish(s, c);
		return;
	}
	c->stage++;
	c->deadline_ms = suite_now_ms() + GRACE_MS;
}

static void interrupt_all(struct suite *s)
{
	for (unsigned int i = 0; i < s->n; i++) {
		struct suite_case *c = &s->cases[i];

		if (c->stage != STAGE_RUNNING)
			continue;
		c->end = CASE_INTERRUPTED;
		kill(c->pid, SIGTERM);
		c->stage = STAGE_ASKED;
		c->deadline_ms = suite_now_ms() + GRACE_MS;
	}
}

/* ---- all of them ---- */

/* Starts as many as may run; the number that run. */
static unsigned int fill(struct suite *s, bool more, const sigset_t *mask)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < s->n; i++)
		n += runs(&s->cases[i]);
	for (unsigned int i = 0; more && i < s->n && n < s->jobs; i++) {
		struct suite_case *c = &s->cases[i];
		int r;

		if (c->stage != STAGE_WAITING)
			continue;
		r = start(s, c, mask);
		n += r >= 0;
		if (r < 0) {
			c->stage = STAGE_DONE;
			c->end = CASE_NOT_STARTED;
			c->status = -r;
			s->done(s->ctx, c);
		}
	}
	return n;
}

/* Waits for whatever comes first. */
static int turn(struct suite *s, int signals, struct pollfd *fds)
{
	int64_t next = INT64_MAX, left;
	struct signalfd_siginfo info;
	unsigned int n = 0;
	int result = 0;

	fds[n++] = (struct pollfd){ .fd = signals, .events = POLLIN };
	for (unsigned int i = 0; i < s->n; i++) {
		struct suite_case *c = &s->cases[i];

		if (!runs(c))
			continue;
		fds[n++] = (struct pollfd){ .fd = c->console_fd, .events = POLLIN };
		fds[n++] = (struct pollfd){ .fd = c->log_fd, .events = POLLIN };
		next = c->deadline_ms < next ? c->deadline_ms : next;
	}
	left = next - suite_now_ms();
	poll(fds, n, left < 0 ? 0 : left > 60000 ? 60000 : (int)left);
	for (unsigned int i = 0; i < s->n; i++) {
		struct suite_case *c = &s->cases[i];

		if (runs(c)) {
			drain(&c->console_fd, &c->record.console);
			drain(&c->log_fd, &c->log);
		}
	}
	while (read(signals, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo != SIGCHLD && !result)
			result = (int)info.ssi_signo;
	reap(s);
	for (unsigned int i = 0; i < s->n; i++)
		if (runs(&s->cases[i]) && suite_now_ms() >= s->cases[i].deadline_ms)
			press(s, &s->cases[i]);
	return result;
}

int suite_run(struct suite *s)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct pollfd *fds = calloc(1 + 2 * (size_t)s->n, sizeof(*fds));
	int signals, ended_by = 0, r;
	struct sigaction old;
	sigset_t set, mask;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	/* Those that were ignored stay so. */
	for (unsigned int i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (!sigaction(ends[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaddset(&set, ends[i]);
	sigprocmask(SIG_BLOCK, &set, &mask);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0 || !fds) {
		r = fds ? -errno : -ENOMEM;
		free(fds);
		sigprocmask(SIG_SETMASK, &mask, NULL);
		return r;
	}
	for (unsigned int i = 0; i < s->n; i++) {
		s->cases[i].console_fd = s->cases[i].log_fd = -1;
		s->cases[i].stage = STAGE_WAITING;
	}
	while (fill(s, !ended_by, &mask)) {
		r = turn(s, signals, fds);
		if (r && !ended_by) {
			ended_by = r;
			interrupt_all(s);
		}
	}
	close(signals);
	free(fds);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return ended_by;
}

/* ---- judgement ---- */

/* The program's own last sentence. */
static const char *last_words(const struct tail *log, char *buf, size_t len)
{
	static const char prefix[] = "Fatal: ";
	const char *line = tail_last(log, 1), *fatal = strstr(line, prefix);

	if (fatal)
		line = fatal + sizeof(prefix) - 1;
	snprintf(buf, len, "%.*s", (int)strcspn(line, "\n"), line);
	return buf;
}

enum verdict suite_judge(const struct suite_case *c, char *why, size_t len)
{
	const struct record *r = &c->record;
	char said[480];

	*why = 0;
	switch (c->end) {
	case CASE_OUT_OF_TIME: snprintf(why, len, "out of time after %d s", c->status); return VERDICT_FAIL;
	case CASE_STUCK: snprintf(why, len, "out of time, and not even SIGKILL ends it: the host's kernel may be stuck (see dmesg)"); return VERDICT_FAIL;
	case CASE_INTERRUPTED: snprintf(why, len, "interrupted"); return VERDICT_FAIL;
	case CASE_NOT_STARTED: snprintf(why, len, "cannot be started: %s", strerror(c->status)); return VERDICT_FAIL;
	case CASE_SIGNALED: snprintf(why, len, "lkvm itself was killed by signal %d: a defect of it, or of the host", c->status); return VERDICT_FAIL;
	case CASE_EXITED: break;
	}
	if (c->status == 3)
		snprintf(why, len, "the guest asked for a reset");
	else if (c->status == 4 && !r->count[RESULT_FAIL])
		snprintf(why, len, "the guest says that it has crashed");
	else if (c->status && c->status != 4 && !(c->status == 5 && r->count[RESULT_FAIL])) /* how a bare s390x guest ends after a FAIL */
		snprintf(why, len, "%s", *last_words(&c->log, said, sizeof(said)) ? said : "lkvm failed");
	else if (r->has_status && r->status && r->status != 77)
		snprintf(why, len, "the guest's exit status is %d", r->status);
	else if (!r->has_status && !r->count[RESULT_PASS] && !r->count[RESULT_FAIL] && !r->count[RESULT_XFAIL] && !r->count[RESULT_SKIP])
		snprintf(why, len, "it ended without a result: no PASS, FAIL or SKIP line, no EXIT line");
	if (*why || c->status || r->count[RESULT_FAIL])
		return VERDICT_FAIL;
	return r->count[RESULT_SKIP] && !r->count[RESULT_PASS] && !r->count[RESULT_XFAIL] ? VERDICT_SKIP : VERDICT_PASS;
}
