// SPDX-License-Identifier: MIT
/* Streams on every kind of descriptor: nothing lost, nothing blocked, nothing done to descriptors that others share. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <termios.h>

#include "backend/stream.h"
#include "base/sys.h"
#include "tests/test.h"

struct user {
	unsigned int inputs, outputs, escapes;
};

static void on_input(void *ctx)
{
	((struct user *)ctx)->inputs++;
}

static void on_output(void *ctx)
{
	((struct user *)ctx)->outputs++;
}

static void on_escape(void *ctx)
{
	((struct user *)ctx)->escapes++;
}

struct fixture {
	struct loop *loop;
	struct stream *s;
	struct user user;
};

static void open_stream(struct fixture *f, int in, int out, bool escape)
{
	struct stream_config config = {in, out, escape ? on_escape : NULL, &f->user};
	struct stream_user user = {on_input, on_output, &f->user};
	struct err e = {0};

	memset(f, 0, sizeof(*f));
	if (loop_create(&f->loop, &e) < 0 || stream_open(f->loop, &config, &f->s, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
	stream_attach(f->s, &user);
}

static void turn(struct fixture *f, unsigned int ms)
{
	uint64_t until = sys_now_ns() + ms * UINT64_C(1000000);

	do
		loop_turn(f->loop, 5);
	while (sys_now_ns() < until);
}

static void close_stream(struct fixture *f)
{
	stream_close(f->s);
	f->s = NULL;
}

static void end(struct fixture *f)
{
	close_stream(f);
	loop_destroy(f->loop);
}

static void put(int fd, const char *text, size_t len)
{
	CHECK_EQ(write(fd, text, len), len);
}

static void test_pipes(void)
{
	struct fixture f;
	char buf[64];
	int in[2], out[2];

	CHECK_EQ(pipe(in) | pipe(out), 0);
	open_stream(&f, in[0], out[1], false);
	CHECK(!(fcntl(in[0], F_GETFL) & O_NONBLOCK));
	CHECK(!(fcntl(out[1], F_GETFL) & O_NONBLOCK));
	turn(&f, 10);
	CHECK_EQ(f.user.inputs, 0);
	CHECK_EQ(stream_read(f.s, buf, sizeof(buf)), 0);
	put(in[1], "a\1xc", 4);
	turn(&f, 20);
	CHECK_EQ(f.user.inputs, 1);
	CHECK_EQ(stream_read(f.s, buf, 2), 2);
	CHECK_EQ(stream_read(f.s, buf + 2, 60), 2);
	CHECK(!memcmp(buf, "a\1xc", 4)); /* no escape asked for: Ctrl-A is a character */
	for (const char *c = "one by one"; *c; c++)
		CHECK_EQ(stream_write(f.s, c, 1), 1);
	turn(&f, 20);
	CHECK_EQ(read(out[0], buf, sizeof(buf)), 10); /* one write for all of them */
	CHECK(!memcmp(buf, "one by one", 10));
	/* The other end goes: no more input, and nothing spins. */
	close(in[1]);
	turn(&f, 10);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(loop_turn(f.loop, 0), 0);
	CHECK_EQ(stream_write(f.s, "rest", 4), 4);
	end(&f);
	CHECK_EQ(read(out[0], buf, sizeof(buf)), 4); /* written at close */
	CHECK(fcntl(in[0], F_GETFL) >= 0);	     /* the caller's still */
	close(in[0]);
	close(out[0]);
	close(out[1]);
}

static void test_back_pressure(void)
{
	static char chunk[1000], back[65536];
	size_t accepted = 0, got = 0, n;
	bool equal = true;
	struct fixture f;
	int out[2];

	CHECK_EQ(pipe(out), 0);
	CHECK(fcntl(out[0], F_SETFL, O_NONBLOCK) >= 0);
	open_stream(&f, -1, out[1], false);
	do {
		for (size_t i = 0; i < sizeof(chunk); i++)
			chunk[i] = (char)((accepted + i) % 251);
		n = stream_write(f.s, chunk, sizeof(chunk));
		accepted += n;
		loop_turn(f.loop, 0);
	} while (n == sizeof(chunk) && accepted < 1 << 20);
	CHECK(n < sizeof(chunk)); /* bounded: the pipe's and ours */
	CHECK(accepted < 200000);
	CHECK_EQ(f.user.outputs, 0);
	for (unsigned int i = 0; i < 50 && got < accepted; i++) {
		ssize_t r = read(out[0], back, sizeof(back));

		for (ssize_t k = 0; k < r; k++)
			equal &= (uint8_t)back[k] == (got + (size_t)k) % 251;
		got += r > 0 ? (size_t)r : 0;
		turn(&f, 5);
	}
	CHECK_EQ(got, accepted);
	CHECK(equal);
	CHECK_EQ(f.user.outputs, 1);
	end(&f);
	close(out[0]);
	close(out[1]);
}

static void test_broken(void)
{
	static char much[100000];
	struct fixture f;
	uint64_t start;
	int out[2];

	CHECK_EQ(pipe(out), 0);
	open_stream(&f, -1, out[1], false);
	close(out[0]);
	signal(SIGPIPE, SIG_IGN); /* stands for the loop thread's mask */
	CHECK_EQ(stream_write(f.s, "x", 1), 1);
	turn(&f, 10);
	signal(SIGPIPE, SIG_DFL);
	CHECK_EQ(stream_write(f.s, much, sizeof(much)), sizeof(much)); /* swallowed, not kept */
	CHECK_EQ(stream_write(f.s, "x", 1), 1);
	end(&f);
	close(out[1]);

	/* Broken only at close, with the signal at its default: must survive. */
	CHECK_EQ(pipe(out), 0);
	open_stream(&f, -1, out[1], false);
	CHECK_EQ(stream_write(f.s, "x", 1), 1);
	close(out[0]);
	end(&f);
	close(out[1]);

	/* A reader that never reads holds us for a second, not for ever. */
	CHECK_EQ(pipe(out), 0);
	open_stream(&f, -1, out[1], false);
	for (int i = 0; i < 20; i++) {
		stream_write(f.s, much, 16384);
		loop_turn(f.loop, 0);
	}
	start = sys_now_ns();
	end(&f);
	CHECK(sys_now_ns() - start > UINT64_C(500000000));
	CHECK(sys_now_ns() - start < UINT64_C(40000000000));
	close(out[0]);
	close(out[1]);
}

static void test_files(void)
{
	static char text[20000], back[20000];
	char name[] = "/tmp/lkvm-stream-XXXXXX";
	int fd = mkstemp(name);
	struct fixture f;
	size_t got = 0;

	CHECK(fd >= 0);
	unlink(name);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 7 % 253);
	put(fd, text, sizeof(text));
	lseek(fd, 0, SEEK_SET);
	open_stream(&f, fd, -1, false);
	turn(&f, 20);
	CHECK(loop_turn(f.loop, 0) == 0); /* the ring is full: nothing spins */
	for (int i = 0; i < 2000 && got < sizeof(text); i++) {
		got += stream_read(f.s, back + got, MIN(sizeof(back) - got, 777u));
		loop_turn(f.loop, 0);
	}
	CHECK_EQ(got, sizeof(text));
	CHECK(!memcmp(text, back, sizeof(text)));
	turn(&f, 5);
	CHECK_EQ(loop_turn(f.loop, 0), 0); /* end of file */
	end(&f);

	/* Output goes where the shared offset stands. */
	CHECK_EQ(ftruncate(fd, 0), 0);
	lseek(fd, 0, SEEK_SET);
	put(fd, "before ", 7);
	open_stream(&f, -1, fd, false);
	stream_write(f.s, "after", 5);
	turn(&f, 10);
	end(&f);
	put(fd, " end", 4);
	CHECK_EQ(pread(fd, back, sizeof(back), 0), 16);
	CHECK(!memcmp(back, "before after end", 16));
	close(fd);

	fd = open("/dev/null", O_RDWR);
	open_stream(&f, fd, fd, true);
	stream_write(f.s, text, 100);
	turn(&f, 10);
	CHECK_EQ(loop_turn(f.loop, 0), 0);
	CHECK_EQ(stream_read(f.s, back, 10), 0);
	end(&f);
	close(fd);

	/* Neither end. */
	open_stream(&f, -1, -1, false);
	CHECK_EQ(stream_write(f.s, text, sizeof(text)), sizeof(text));
	end(&f);
}

/* The last words to a file that may not grow: lost, but nobody dies of the signal that says so. */
static void test_file_limit(void)
{
	struct rlimit old, little;
	struct fixture f;
	sigset_t pending;
	int fd = memfd_create("full", MFD_CLOEXEC);

	open_stream(&f, -1, fd, false);
	CHECK_EQ(stream_write(f.s, "0123456789", 10), 10);
	getrlimit(RLIMIT_FSIZE, &old);
	little = old;
	little.rlim_cur = 4;
	setrlimit(RLIMIT_FSIZE, &little);
	end(&f);
	setrlimit(RLIMIT_FSIZE, &old);
	sigpending(&pending);
	CHECK(!sigismember(&pending, SIGXFSZ));
	CHECK_EQ(lseek(fd, 0, SEEK_END), 4);
	close(fd);
}

static void test_escape(void)
{
	struct fixture f;
	char buf[32];
	int in[2];

	CHECK_EQ(pipe(in), 0);
	open_stream(&f, in[0], -1, true);
	put(in[1], "a\1", 2);
	turn(&f, 10);
	put(in[1], "ab\1\1c\1zd", 8);
	turn(&f, 10);
	CHECK_EQ(f.user.escapes, 0);
	CHECK_EQ(stream_read(f.s, buf, sizeof(buf)), 7);
	CHECK(!memcmp(buf, "a\1b\1czd", 7));
	put(in[1], "e\1xf", 4);
	turn(&f, 10);
	CHECK_EQ(f.user.escapes, 1);
	CHECK_EQ(stream_read(f.s, buf, sizeof(buf)), 2);
	end(&f);
	close(in[0]);
	close(in[1]);
}

static int open_pty(int *ret_slave)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	struct termios t;

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		return -1;
	*ret_slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	tcgetattr(*ret_slave, &t);
	cfmakeraw(&t);
	tcsetattr(*ret_slave, TCSANOW, &t);
	return master;
}

static void test_terminal(void)
{
	static char many[3000];
	struct fixture f;
	char buf[64], name[64];
	unsigned int turns;
	size_t swallowed = 0;
	int slave, master = open_pty(&slave);

	if (master < 0) {
		fprintf(stderr, "no pseudo-terminals here\n");
		return;
	}
	open_stream(&f, slave, slave, true);
	CHECK(!(fcntl(slave, F_GETFL) & O_NONBLOCK));
	put(master, "hello", 5);
	turn(&f, 300); /* a terminal's bytes come by a worker of the kernel's */
	CHECK_EQ(stream_read(f.s, buf, sizeof(buf)), 5);
	stream_write(f.s, "world", 5);
	turn(&f, 300);
	CHECK_EQ(read(master, buf, sizeof(buf)), 5);
	/* A guest that reads nothing: the ring fills up, and the way out still works. */
	for (int i = 0; i < 2; i++) {
		put(master, many, sizeof(many));
		turn(&f, 50);
	}
	put(master, "\1x", 2);
	turn(&f, 1600);
	CHECK_EQ(f.user.escapes, 1);
	end(&f);

	/* The stream on the master's side: it must not become another terminal. */
	open_stream(&f, master, master, false);
	stream_write(f.s, "down", 4);
	turn(&f, 300);
	CHECK_EQ(read(slave, buf, sizeof(buf)), 4);
	put(slave, "up", 2);
	turn(&f, 300);
	CHECK_EQ(stream_read(f.s, buf, sizeof(buf)), 2);
	CHECK(!(fcntl(master, F_GETFL) & O_NONBLOCK));
	/* Who was connected goes, and comes back. */
	snprintf(name, sizeof(name), "%s", ptsname(master));
	close(slave);
	turn(&f, 300);
	for (int i = 0; i < 100; i++) {
		swallowed += stream_write(f.s, many, sizeof(many));
		turn(&f, 2);
	}
	CHECK_EQ(swallowed, 100 * sizeof(many));
	turns = 0;
	for (int i = 0; i < 20; i++)
		turns += loop_turn(f.loop, 5) > 0;
	CHECK(turns < 5);
	slave = open(name, O_RDWR | O_NOCTTY);
	turn(&f, 300);
	put(slave, "back", 4);
	turn(&f, 300);
	CHECK_EQ(stream_read(f.s, buf, sizeof(buf)), 4);
	stream_write(f.s, "welcome", 7);
	turn(&f, 300);
	CHECK_EQ(read(slave, buf, sizeof(buf)), 7);
	CHECK(!memcmp(buf, "welcome", 7));
	end(&f);
	close(master);
	close(slave);
}

static void test_socket(void)
{
	struct fixture f;
	char buf[64];
	int sv[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	open_stream(&f, sv[0], sv[0], false);
	put(sv[1], "abc", 3);
	stream_write(f.s, "defg", 4);
	turn(&f, 20);
	CHECK_EQ(stream_read(f.s, buf, sizeof(buf)), 3);
	CHECK_EQ(read(sv[1], buf, sizeof(buf)), 4);
	close(sv[1]);
	turn(&f, 10);
	stream_write(f.s, "x", 1); /* no SIGPIPE from sockets */
	turn(&f, 10);
	end(&f);
	close(sv[0]);
}

static void test_attach(void)
{
	struct stream_user user;
	struct user other = {0};
	struct fixture f;
	struct err e = {0};
	struct stream_config bad = {.in_fd = 999, .out_fd = -1};
	struct stream *s = NULL;
	char buf[8];
	int in[2];

	CHECK_EQ(pipe(in), 0);
	open_stream(&f, in[0], -1, false);
	stream_attach(f.s, NULL);
	put(in[1], "early", 5);
	turn(&f, 20);
	CHECK_EQ(f.user.inputs, 0);
	user = (struct stream_user){on_input, on_output, &other};
	stream_attach(f.s, &user);
	turn(&f, 20);
	CHECK_EQ(other.inputs, 1);
	CHECK_EQ(stream_read(f.s, buf, 8), 5);
	CHECK_EQ(stream_open(f.loop, &bad, &s, &e), -EBADF);
	CHECK(!s && strstr(e.text, "999"));
	end(&f);
	close(in[0]);
	close(in[1]);
}

/* The writers of the VM against a loop in its own thread. */
#define STRESS_BYTES 300000

static void *run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

static void *collect(void *arg)
{
	int fd = *(int *)arg;
	static char buf[4096];
	size_t n = 0, wrong = 0;
	ssize_t r;

	while (n < STRESS_BYTES && (r = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < r; i++, n++)
			wrong += (uint8_t)buf[i] != n % 249;
	return (void *)(n == STRESS_BYTES ? wrong : n + 1);
}

static void test_threads(void)
{
	unsigned long loop_thread;
	pthread_t reader;
	struct fixture f;
	uint8_t buf[8];
	void *wrong;
	int out[2];
	size_t n = 0;

	CHECK_EQ(pipe(out), 0);
	open_stream(&f, -1, out[1], false);
	CHECK_EQ(sys_thread_start(run_loop, f.loop, "loop", &loop_thread), 0);
	pthread_create(&reader, NULL, collect, &out[0]);
	while (n < STRESS_BYTES) {
		size_t len = MIN(1 + n % 8, STRESS_BYTES - n);

		for (size_t i = 0; i < len; i++)
			buf[i] = (uint8_t)((n + i) % 249);
		n += stream_write(f.s, buf, len);
	}
	pthread_join(reader, &wrong);
	CHECK_EQ((uintptr_t)wrong, 0);
	close_stream(&f); /* while the loop runs */
	loop_stop(f.loop);
	pthread_join(loop_thread, NULL);
	end(&f);
	close(out[0]);
	close(out[1]);
}

int main(void)
{
	test_pipes();
	test_back_pressure();
	test_broken();
	test_files();
	test_file_limit();
	test_escape();
	test_terminal();
	test_socket();
	test_attach();
	test_threads();
	return test_result();
}
