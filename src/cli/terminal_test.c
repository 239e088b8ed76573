// SPDX-License-Identifier: MIT
/* The terminal is as before, however the process that made it raw ends. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "cli.h"
#include "tests/test.h"

enum how { UNUSED, BY_RESTORE, BY_EXIT, BY_KILL, BY_ABORT, BY_OTHER_SETTING };

/* Says 'r' on the pipe when the terminal is raw. */
static void use_terminal(enum how how, int said)
{
	struct termios t;

	if (how == UNUSED && terminal_prepare() && write(said, "r", 1) == 1)
		_exit(0);
	if (!terminal_prepare() || terminal_is_raw())
		_exit(8);
	terminal_make_raw();
	if (!terminal_is_raw() || tcgetattr(0, &t) < 0 || (t.c_lflag & (ICANON | ECHO | ISIG)) || (t.c_oflag & OPOST))
		_exit(4);
	if (write(said, "r", 1) != 1)
		_exit(5);
	switch (how) {
	case BY_RESTORE:
		terminal_restore();
		terminal_restore();
		/* The watcher is gone when this returns. */
		_exit(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD ? 0 : 6);
	case UNUSED:
	case BY_EXIT:
		_exit(0);
	case BY_KILL:
		raise(SIGKILL);
		break;
	case BY_ABORT:
		signal(SIGABRT, SIG_DFL);
		raise(SIGABRT);
		break;
	case BY_OTHER_SETTING:
		/* Somebody else sets the terminal up before we go: theirs stays. */
		tcgetattr(0, &t);
		t.c_lflag |= ICANON;
		t.c_cc[VEOF] = 7;
		tcsetattr(0, TCSANOW, &t);
		_exit(0);
	}
	_exit(7);
}

/* The shell, so to speak: leads a session with the terminal as its own, and ends (which hangs the terminal up) when `until` does. */
static void lead_session(const char *name, enum how how, int said, int until, int status_to)
{
	int fd, status;
	pid_t pid;
	char byte;

	setsid();
	fd = open(name, O_RDWR);
	if (fd < 0 || ioctl(fd, TIOCSCTTY, 0) < 0)
		_exit(3);
	dup2(fd, 0);
	pid = fork();
	if (!pid)
		use_terminal(how, said);
	close(said);
	waitpid(pid, &status, 0);
	if (write(status_to, &status, sizeof(status)) == sizeof(status) && read(until, &byte, 1) == 0)
		_exit(0);
	_exit(4);
}

static bool same(const struct termios *a, const struct termios *b)
{
	return a->c_iflag == b->c_iflag && a->c_oflag == b->c_oflag && a->c_lflag == b->c_lflag && !memcmp(a->c_cc, b->c_cc, sizeof(a->c_cc));
}

static void test_end(enum how how)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave, said[2], until[2], result[2], status;
	struct termios before, now;
	struct pollfd p;
	char byte;
	pid_t pid;

	if (master < 0 || grantpt(master) || unlockpt(master) || pipe2(said, O_CLOEXEC) || pipe2(until, O_CLOEXEC) ||
	    pipe2(result, O_CLOEXEC))
		abort();
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	CHECK_EQ(tcgetattr(slave, &before), 0);
	before.c_cc[VINTR] = 5; /* something of its own */
	CHECK_EQ(tcsetattr(slave, TCSANOW, &before), 0);
	pid = fork();
	if (!pid) {
		close(until[1]);
		lead_session(ptsname(master), how, said[1], until[0], result[1]);
	}
	close(said[1]);
	CHECK_EQ(read(said[0], &byte, 1), 1);
	/* End of file on the pipe: not even the watcher holds it. */
	p = (struct pollfd){ .fd = said[0], .events = POLLIN };
	CHECK_EQ(poll(&p, 1, 40000), 1);
	CHECK_EQ(read(said[0], &byte, 1), 0);
	CHECK_EQ(read(result[0], &status, sizeof(status)), sizeof(status));
	if (how == BY_RESTORE)
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	for (unsigned int i = 0; i < 4000; i++) {
		CHECK_EQ(tcgetattr(slave, &now), 0);
		if (same(&now, &before) || (how == BY_OTHER_SETTING && i > 20))
			break;
		poll(NULL, 0, 10);
	}
	if (how == BY_OTHER_SETTING)
		CHECK(now.c_cc[VEOF] == 7 && !(now.c_lflag & ECHO));
	else
		CHECK(same(&now, &before));
	close(until[1]);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(said[0]);
	close(until[0]);
	close(result[0]);
	close(result[1]);
	close(slave);
	close(master);
}

int main(void)
{
	int fd = open("/dev/null", O_RDONLY);

	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (master < 0 || grantpt(master) || unlockpt(master) || !ptsname(master) || access(ptsname(master), R_OK | W_OK))
		return test_skip("there are no pseudo-terminals here: no /dev/ptmx, or no devpts on /dev/pts");
	close(master);
	alarm(250);
	for (enum how how = UNUSED; how <= BY_OTHER_SETTING; how++)
		test_end(how);
	/* What is no terminal is left alone. */
	dup2(fd, 0);
	CHECK(!terminal_prepare());
	terminal_make_raw();
	CHECK(!terminal_is_raw());
	terminal_restore();
	return test_result();
}
