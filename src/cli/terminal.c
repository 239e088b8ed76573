// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "cli.h"

static struct termios before;
static bool prepared, raw;
static pid_t watcher = -1;
static int leash = -1; /* our end of the watcher's pipe */

static void set_terminal(const struct termios *t)
{
	sigset_t ttou, old;

	/* From the background this would stop us. */
	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	sigprocmask(SIG_BLOCK, &ttou, &old);
	while (tcsetattr(STDIN_FILENO, TCSADRAIN, t) < 0 && errno == EINTR)
		;
	sigprocmask(SIG_SETMASK, &old, NULL);
}

/* The watcher: holds nothing but the terminal and the pipe, lives until the pipe says something. */
static void watch(int fd)
{
	struct termios now;
	ssize_t n;
	char byte;

	/* A session of its own: no signal of the terminal reaches it, and no job control stops it. */
	setsid();
	prctl(PR_SET_NAME, "lkvm-terminal");
	dup2(fd, 1);
	/* Whoever waits for the end of our other files must not wait for us. */
	if (syscall(SYS_close_range, 2u, ~0u, 0u) < 0)
		for (int i = 2; i < 1024; i++)
			close(i);
	do
		n = read(1, &byte, 1);
	while (n < 0 && errno == EINTR);
	/* End of file without a word: it is gone. If somebody has set the terminal up since, it stays so. */
	if (n == 0 && !tcgetattr(STDIN_FILENO, &now) && !(now.c_lflag & (ICANON | ECHO)))
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
	_exit(0);
}

static void start_watcher(void)
{
	int fds[2];

	if (pipe(fds) < 0)
		return;
	watcher = fork();
	if (!watcher) {
		close(fds[1]);
		watch(fds[0]);
	}
	close(fds[0]);
	if (watcher < 0) {
		close(fds[1]);
		return;
	}
	leash = fds[1];
	/* A child that outlived us would hold the leash. */
	fcntl(leash, F_SETFD, FD_CLOEXEC);
}

bool terminal_prepare(void)
{
	if (tcgetattr(STDIN_FILENO, &before) < 0 || tcgetpgrp(STDIN_FILENO) != getpgrp())
		return false;
	start_watcher();
	prepared = true;
	return true;
}

void terminal_make_raw(void)
{
	struct termios t = before;

	if (!prepared)
		return;
	cfmakeraw(&t);
	set_terminal(&t);
	raw = true;
}

bool terminal_is_raw(void)
{
	return raw;
}

void terminal_restore(void)
{
	ssize_t n;

	if (raw)
		set_terminal(&before);
	raw = prepared = false;
	if (leash < 0)
		return;
	do
		n = write(leash, "", 1);
	while (n < 0 && errno == EINTR);
	close(leash);
	leash = -1;
	while (waitpid(watcher, NULL, 0) < 0 && errno == EINTR)
		;
}
