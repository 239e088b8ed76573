// SPDX-License-Identifier: MIT
/* onpty COMMAND...: runs it on a terminal of its own; standard input is what is typed there, standard output what it shows. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int copy(int from, int to)
{
	char buf[4096];
	ssize_t n = read(from, buf, sizeof(buf)), done = 0, m;

	while (n > done) {
		m = write(to, buf + done, (size_t)(n - done));
		if (m < 0 && errno != EINTR)
			return -1;
		done += m > 0 ? m : 0;
	}
	return n > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), status;
	struct pollfd p[2] = { { .fd = 0, .events = POLLIN }, { .fd = master, .events = POLLIN } };
	pid_t pid;

	if (argc < 2 || master < 0 || grantpt(master) || unlockpt(master)) {
		perror("onpty");
		return 125;
	}
	pid = fork();
	if (!pid) {
		setsid();
		for (int fd = 0; fd < 3; fd++)
			close(fd);
		if (open(ptsname(master), O_RDWR) != 0 || dup2(0, 1) != 1 || dup2(0, 2) != 2)
			_exit(125);
		ioctl(0, TIOCSCTTY, 0);
		close(master);
		execvp(argv[1], argv + 1);
		_exit(126);
	}
	/* The master gives EIO when the last user of the terminal has closed it. */
	while (poll(p, 2, -1) > 0 || errno == EINTR) {
		if (p[0].revents && copy(0, master) < 0)
			p[0].fd = -1;
		if (p[1].revents && copy(master, 1) < 0)
			break;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
