// SPDX-License-Identifier: MIT
/* The methods, and the runtime socket with clients of every kind. */
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "hw/uart8250.h"
#include "vm/runtime.h"
#include "tests/scripted_vm.h"

static char folder[64]; /* XDG_RUNTIME_DIR */

/* Calls a method through the API and looks for a text in the reply, or in the sentence when it fails with `code`. */
static void method(struct test_vm *t, const char *name, const char *params, int code, const char *says)
{
	struct lkvm_error e = { 0 };
	char *reply = NULL;
	int r = lkvm_control(t->vm, name, params, &reply, &e);

	CHECK_EQ(r, code);
	CHECK((r < 0) == !reply);
	if (says && !strstr(r < 0 ? e.message : reply, says)) {
		fprintf(stderr, "%s(%s) gives %s, without \"%s\"\n", name, params ? params : "", r < 0 ? e.message : reply, says);
		CHECK(!"the reply");
	}
	free(reply);
}

static void test_methods(void)
{
	static const struct scripted_step steps[] = {
		{ .what = STEP_MMIO_WRITE, .gpa = RISCV_UART_BASE, .value = 'x', .len = 1 },
		{ .what = STEP_MMIO_READ, .gpa = RISCV_UART_BASE + 5, .len = 1 },
		{ .what = STEP_MMIO_READ, .gpa = 0x70000000, .len = 4 },
	};
	struct test_vm t;

	tv_init(&t);
	tv_set(&t, "cpus", "2");
	tv_set(&t, "rng", NULL);
	tv_set(&t, "irqchip", "plic"); /* the one that counts */
	t.script[0] = steps;
	t.script_len[0] = ARRAY_SIZE(steps);
	CHECK_EQ(tv_create(&t), 0);
	method(&t, "state", NULL, 0, "\"created\"");
	method(&t, "pause", NULL, -ESRCH, "not running");
	CHECK_EQ(lkvm_start(t.vm, &t.e), 0);
	while (atomic_load(&t.vm->vcpu[0].stat.unclaimed) < 1)
		poll(NULL, 0, 1);
	method(&t, "help", NULL, 0, "\"balloon\"");
	method(&t, "version", "{}", 0, LKVM_VERSION);
	method(&t, "state", NULL, 0, "\"running\"");
	method(&t, "stat", NULL, 0, "\"exits\":3,\"mmio_reads\":2,\"mmio_writes\":1,\"unclaimed\":1");
	method(&t, "stat", NULL, 0, "{\"name\":\"rng0\",\"mmio_exits\":0}");
	method(&t, "stat", NULL, 0, "\"irqchip\":{\"kind\":\"plic\",\"exits\":0");
	method(&t, "stat", NULL, 0, "\"ram\":33554432");
	method(&t, "stat", "{\"memory\":true}", -ENODEV, "--balloon");
	method(&t, "pause", NULL, 0, "\"paused\"");
	method(&t, "pause", NULL, 0, "\"paused\"");
	method(&t, "regs", NULL, 0, "\"core.pc\":\"0x");
	method(&t, "debug", "{\"dump\":true}", 0, "pc");
	method(&t, "resume", NULL, 0, "\"running\"");
	method(&t, "regs", NULL, 0, "\"core.a1\"");
	method(&t, "debug", "{\"nmi\":0}", -EOPNOTSUPP, "non-maskable");
	method(&t, "debug", "{\"sysrq\":\"h\"}", 0, NULL);
	method(&t, "debug", "{\"sysrq\":\"help\"}", -EINVAL, "one character");
	method(&t, "debug", "{\"sysrq\":1}", -EINVAL, "one character");
	method(&t, "balloon", "{\"size\":4}", -ENODEV, "--balloon");
	method(&t, "frobnicate", NULL, -ENOENT, "frobnicate");
	method(&t, "stat", "[]", -EBADMSG, "object");
	method(&t, "stat", "{", -EBADMSG, "object");
	method(&t, "stop", NULL, 0, NULL);
	CHECK_EQ(lkvm_wait(t.vm, NULL), 0);
	method(&t, "state", NULL, 0, "\"ended\"");
	method(&t, "stat", NULL, 0, "\"ended\"");
	method(&t, "regs", NULL, -ESRCH, "not running");
	tv_done(&t);
}

static void test_balloon(void)
{
	struct test_vm t;

	tv_init(&t);
	tv_set(&t, "balloon", NULL);
	tv_start(&t);
	method(&t, "balloon", "{\"size\":8}", 0, "\"target\":8388608");
	method(&t, "balloon", "{\"inflate\":4}", 0, "\"target\":12582912");
	method(&t, "balloon", "{\"deflate\":2}", 0, "\"target\":10485760");
	method(&t, "balloon", "{\"deflate\":20}", 0, "\"target\":0");
	method(&t, "balloon", "{\"size\":32}", -EINVAL, "32 MiB");
	method(&t, "balloon", "{\"inflate\":33}", -EINVAL, "at most");
	method(&t, "balloon", "{\"size\":-1}", -EINVAL, "MiB");
	method(&t, "balloon", "{\"size\":\"4\"}", -EINVAL, "MiB");
	method(&t, "balloon", NULL, 0, "\"target\":0");
	method(&t, "stat", NULL, 0, "\"balloon\":{\"target\":0,\"actual\":0");
	method(&t, "stat", "{\"memory\":true}", 0, "\"balloon\"");
	tv_done(&t);
}

/* ---- the socket ---- */

/* A guest by name, through the socket. */
static void guest(const char *name, const char *what, const char *params, int code, const char *says)
{
	struct lkvm_error e = { 0 };
	char *reply = NULL;
	int r = lkvm_guest_control(name, what, params, 5000, &reply, &e);

	CHECK_EQ(r, code);
	if (says && !strstr(r < 0 ? e.message : reply, says)) {
		fprintf(stderr, "%s.%s gives %s, without \"%s\"\n", name, what, r < 0 ? e.message : reply, says);
		CHECK(!"the reply");
	}
	free(reply);
}

static int dial(const char *name)
{
	struct runtime r;
	int fd;

	if (runtime_open(false, &r, NULL) < 0)
		abort();
	fd = runtime_connect(&r, name, NULL);
	runtime_close(&r);
	return fd;
}

/* Sends bytes as they are; the reply line. */
static void raw(const char *name, const char *bytes, size_t len, bool shut, const char *says)
{
	int fd = dial(name);
	char *line = NULL;

	CHECK(fd >= 0);
	runtime_write(fd, bytes, len, sys_now_ns() + GIB(5));
	if (shut)
		shutdown(fd, SHUT_WR);
	CHECK_EQ(runtime_read_line(fd, 1 << 20, sys_now_ns() + GIB(5), &line), 0);
	if (line && !strstr(line, says)) {
		fprintf(stderr, "the reply is %s, without \"%s\"\n", line, says);
		CHECK(!"the reply");
	}
	free(line);
	close(fd);
}

static int count_guest(void *ctx, const char *name, int pid)
{
	char *names = ctx;

	CHECK_EQ(pid, getpid());
	strcat(strcat(names, name), " ");
	return !strcmp(name, "stop-here");
}

static const char *guests(char names[256])
{
	names[0] = 0;
	CHECK_EQ(lkvm_guests(count_guest, names, NULL), 0);
	return names;
}

static void test_socket(void)
{
	static char big[200000];
	struct lkvm_error e = { 0 };
	struct test_vm t, twin;
	char names[256];

	CHECK_STR(guests(names), "");
	guest("one", "stat", NULL, -ENOENT, "\"one\"");
	tv_init(&t);
	tv_set(&t, "name", "one");
	tv_start(&t);
	CHECK_STR(guests(names), "one ");
	guest("one", "stat", NULL, 0, "\"name\":\"one\"");
	guest("one", "stat", "{\n\"memory\":\nfalse}", 0, "\"pid\"");
	guest("one", "regs", NULL, 0, "core.pc");
	guest("one", "frobnicate", NULL, -ENOENT, "guest \"one\": there is no method");
	guest("two", "stat", NULL, -ENOENT, "\"two\"");
	guest("a/b", "stat", NULL, -EINVAL, "name");
	guest("", "stat", NULL, -EINVAL, "name");

	/* The name is taken; a failed twin leaves the first alone. */
	tv_init(&twin);
	tv_set(&twin, "name", "one");
	CHECK_EQ(tv_create(&twin), -EEXIST);
	CHECK(strstr(twin.e.message, "\"one\""));
	tv_done(&twin);
	guest("one", "state", NULL, 0, "running");
	tv_init(&twin);
	tv_set(&twin, "name", "another");
	CHECK_EQ(tv_create(&twin), 0);
	CHECK_STR(guests(names), "another one ");
	tv_done(&twin);
	CHECK_STR(guests(names), "one ");

	/* Whatever is sent gets an error and harms nobody. */
	raw("one", "hello\n", 6, false, "\"ok\":false");
	raw("one", "{}\n", 3, false, "a request is a line");
	raw("one", "{\"method\":3}\n", 13, false, "a request is a line");
	raw("one", "{\"method\":\"stat\",\"params\":3}\n", 29, false, "no JSON object");
	raw("one", "{\"method\":\"\\u0000\"}\n", 20, false, "\"ok\":false");
	raw("one", "a\0b\n", 4, false, "NUL");
	raw("one", "{\"method\":\"state\"}", 18, true, "\"ok\":true");
	raw("one", "{\"method\":\"state\"}\n{\"method\":\"stop\"}\n", 37, false, "running");
	memset(big, '[', sizeof(big));
	raw("one", big, sizeof(big), false, "at most 65536");
	memset(big, ' ', sizeof(big));
	raw("one", big, 70000, true, "at most 65536");
	guest("one", "state", NULL, 0, "running");

	guest("one", "stop", NULL, 0, "{}");
	CHECK_EQ(lkvm_wait(t.vm, NULL), 0);
	CHECK_STR(guests(names), "");
	guest("one", "state", NULL, -ENOENT, "\"one\"");
	tv_done(&t);

	/* A name that cannot be is no guest's. */
	tv_init(&t);
	CHECK_EQ(lkvm_config_set(t.config, "name", ".hidden", NULL), -EINVAL);
	tv_done(&t);
	CHECK_EQ(lkvm_guests(count_guest, names, &e), 0);
}

/* Eight who say nothing hold up nobody but a ninth, and the end of the VM waits for none of them. */
static void test_silent(void)
{
	struct test_vm t;
	uint64_t before;
	int silent[8], n = 0;

	tv_init(&t);
	tv_set(&t, "name", "quiet");
	tv_start(&t);
	for (unsigned int i = 0; i < 7; i++) {
		silent[i] = dial("quiet");
		CHECK(silent[i] >= 0);
	}
	/* One place is left; it is free again a moment after the reply. */
	for (unsigned int i = 0; i < 500 && n < 3; i++) {
		char *reply = NULL;
		int r = lkvm_guest_control("quiet", "state", NULL, 5000, &reply, NULL);

		CHECK(!r || r == -EBUSY);
		n += !r;
		free(reply);
		poll(NULL, 0, 10);
	}
	CHECK_EQ(n, 3);
	silent[7] = dial("quiet");
	guest("quiet", "state", NULL, -EBUSY, "8 others");
	close(silent[0]);
	for (unsigned int i = 0; i < 500; i++) {
		char *reply = NULL;
		bool good = !lkvm_guest_control("quiet", "state", NULL, 5000, &reply, NULL);

		free(reply);
		if (good)
			break;
		poll(NULL, 0, 10);
		CHECK(i < 499);
	}
	before = sys_now_ns();
	lkvm_stop(t.vm);
	CHECK_EQ(lkvm_wait(t.vm, NULL), 0);
	CHECK(sys_now_ns() - before < UINT64_C(8000000000)); /* a silent one alone would take ten seconds */
	for (unsigned int i = 1; i < 8; i++)
		close(silent[i]);
	tv_done(&t);
}

/* Not every socket in the folder is a guest, and not every guest is well. */
static void test_stale(void)
{
	char path[sizeof(folder) + 64], names[256];
	struct lkvm_error e = { 0 };
	struct runtime r;
	struct sockaddr_un a;
	struct stat st;
	struct test_vm t;
	char *reply;
	int fd;

	/* Bound, and its owner gone. */
	CHECK_EQ(runtime_open(true, &r, NULL), 0);
	CHECK_EQ(runtime_address(&r, "dead", &a, NULL), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	CHECK_STR(guests(names), "");
	CHECK(stat(a.sun_path, &st) < 0);

	/* The same again: a new guest takes the name over. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	tv_init(&t);
	tv_set(&t, "name", "dead");
	tv_start(&t);
	guest("dead", "state", NULL, 0, "running");
	tv_done(&t);
	CHECK(stat(a.sun_path, &st) < 0);

	/* One that hangs. */
	fd = runtime_listen(&r, "hung", NULL);
	CHECK(fd >= 0);
	CHECK_EQ(lkvm_guest_control("hung", "state", NULL, 100, &reply, &e), -ETIMEDOUT);
	CHECK(strstr(e.message, "does not answer"));
	CHECK_STR(guests(names), "hung ");
	close(fd);
	runtime_remove(&r, "hung");
	runtime_close(&r);

	/* A folder that is open to others is not used; the guest runs all the same. */
	snprintf(path, sizeof(path), "%s/lkvm", folder);
	CHECK_EQ(chmod(path, 0755), 0);
	e = (struct lkvm_error){ 0 };
	CHECK(lkvm_guests(count_guest, names, &e) == -EPERM && strstr(e.message, path));
	tv_init(&t);
	tv_set(&t, "name", "alone");
	tv_start(&t);
	CHECK(!t.vm->control);
	CHECK(atomic_load(&t.log_lines) >= 1);
	tv_done(&t);
	CHECK_EQ(chmod(path, 0700), 0);
}

/* Clients in numbers while the guest comes and goes. */
static void *chatter(void *ctx)
{
	for (unsigned int i = 0; i < 50; i++) {
		char *reply = NULL;

		if (!lkvm_guest_control("busy", i & 1 ? "regs" : "pause", NULL, 5000, &reply, NULL))
			free(reply);
		reply = NULL;
		if (!lkvm_guest_control("busy", "resume", NULL, 5000, &reply, NULL))
			free(reply);
	}
	return NULL;
}

static void test_crowd(void)
{
	pthread_t thread[4];

	for (unsigned int k = 0; k < ARRAY_SIZE(thread); k++)
		pthread_create(&thread[k], NULL, chatter, NULL);
	for (unsigned int i = 0; i < 20; i++) {
		struct test_vm t;

		tv_init(&t);
		tv_set(&t, "name", "busy");
		tv_start(&t);
		poll(NULL, 0, 10);
		tv_done(&t);
	}
	for (unsigned int k = 0; k < ARRAY_SIZE(thread); k++)
		pthread_join(thread[k], NULL);
	CHECK(true);
}

int main(void)
{
	char path[sizeof(folder) + 8];

	signal(SIGPIPE, SIG_IGN);
	strcpy(folder, "/tmp/lkvm-test-XXXXXX");
	if (!mkdtemp(folder))
		return test_skip("no folder can be made in /tmp");
	setenv("XDG_RUNTIME_DIR", folder, 1);
	alarm(250);
	test_methods();
	test_balloon();
	test_socket();
	test_silent();
	test_stale();
	test_crowd();
	snprintf(path, sizeof(path), "%s/lkvm", folder);
	CHECK_EQ(rmdir(path), 0); /* nothing is left in it */
	CHECK_EQ(rmdir(folder), 0);
	return test_result();
}
