// SPDX-License-Identifier: MIT
/*
 * conduct SECONDS HOOK COMMAND...: runs COMMAND with its console here. For each line "@NAME VALUE" it prints "NAME VALUE"; for "@init" also
 * "init-after NS", the nanoseconds since COMMAND was started. At a line "@NAME?" it prints "NAME-after NS", too, runs `HOOK NAME PID`, whose output goes out
 * as it is, and then sends COMMAND a newline. At the end it prints "status N" and "ns NS", from exec to exit. All else COMMAND says goes to stderr.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int to_child;
static pid_t child;
static const char *hook;
static long long started;

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void run_hook(const char *name)
{
	char pid[24];
	pid_t p;
	int status;

	snprintf(pid, sizeof(pid), "%d", (int)child);
	fflush(stdout);
	p = fork();
	if (!p) {
		execl(hook, hook, name, pid, (char *)NULL);
		_exit(127);
	}
	waitpid(p, &status, 0);
	if (write(to_child, "\n", 1) < 0)
		fprintf(stderr, "conduct: nobody reads the console\n");
}

static void take_line(char *line, long long when)
{
	size_t len;

	line[strcspn(line, "\r\n")] = 0;
	fprintf(stderr, "%s\n", line);
	if (line[0] != '@')
		return;
	len = strlen(line);
	if (line[len - 1] == '?') {
		line[len - 1] = 0;
		printf("%s-after %lld\n", line + 1, when - started);
		run_hook(line + 1);
		return;
	}
	printf("%s\n", line + 1);
	if (!strncmp(line, "@init ", 6))
		printf("init-after %lld\n", when - started);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char line[512];
	size_t used = 0;
	int in[2], out[2], status;

	if (argc < 4) {
		fprintf(stderr, "usage: conduct SECONDS HOOK COMMAND...\n");
		return 2;
	}
	hook = argv[2];
	if (pipe(in) < 0 || pipe(out) < 0)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	started = now();
	child = fork();
	if (!child) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[0]);
		close(in[1]);
		close(out[0]);
		close(out[1]);
		execvp(argv[3], argv + 3);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	to_child = in[1];
	for (;;) {
		struct pollfd p = { .fd = out[0], .events = POLLIN };
		long long left = started / 1000000 + atoll(argv[1]) * 1000 - now() / 1000000;
		char part[512];
		ssize_t n;

		if (left <= 0 || poll(&p, 1, (int)left) == 0) {
			printf("failed out of time\n");
			kill(child, SIGKILL);
			break;
		}
		n = read(out[0], part, sizeof(part));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++) {
			if (part[i] != '\n') {
				if (used < sizeof(line) - 1)
					line[used++] = part[i];
				continue;
			}
			line[used] = 0;
			used = 0;
			take_line(line, now());
		}
	}
	waitpid(child, &status, 0);
	printf("status %d\nns %lld\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), now() - started);
	return 0;
}
