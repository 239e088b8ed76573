// SPDX-License-Identifier: MIT
/* lkvm run, lkvm setup. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli.h"

#define MAX_CONFIG_FILE (1 << 20) /* bytes */
#define WAKE_SIGNAL SIGUSR2	  /* to the main thread: the guest has ended */

#if defined(__riscv)
#define ARCH_FOLDER "riscv"
#elif defined(__aarch64__)
#define ARCH_FOLDER "arm64"
#elif defined(__s390x__)
#define ARCH_FOLDER "s390"
#else
#define ARCH_FOLDER "x86"
#endif

const struct lkvm_option run_options[RUN_OPTIONS] = {
	{ .name = "config", .value = "FILE", .group = "Configuration", .help = "read options from a JSON file; its keys are the long names", .repeatable = 1 },
	{ .name = "dump-config", .group = "Configuration", .help = "print the configuration as JSON and start nothing" },
};

struct run {
	const struct cli_command *command;
	struct lkvm_config *config;
	bool dump_config;
	bool console_elsewhere; /* --tty 0: the guest's console is not on our terminal */
	bool verbose;
	pthread_t main_thread;
	atomic_bool ended;
};

bool run_root_path(char *buf, size_t len, const char *name)
{
	const char *home = getenv("HOME");

	return home && *home && (size_t)snprintf(buf, len, "%s/.lkvm/%s", home, name) < len;
}

/* ---- options ---- */

static int set(struct run *r, const char *name, const char *value)
{
	return cli_set(r->command, r->config, name, value);
}

static bool given(const struct run *r, const char *name)
{
	char text[8];

	return lkvm_config_get(r->config, name, text, sizeof(text)) > 0;
}

static int load_config(struct lkvm_config *config, const char *path)
{
	struct lkvm_error e = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC), result = 0;
	char *text = malloc(MAX_CONFIG_FILE);
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0 || !text) {
		result = cli_fatal("Unable to open configuration %s: %s; check the path given to --config", path, strerror(errno));
		goto out;
	}
	while (len < MAX_CONFIG_FILE && (n = read(fd, text + len, MAX_CONFIG_FILE - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		result = cli_fatal("configuration %s cannot be read: %s", path, strerror(errno));
	else if (len == MAX_CONFIG_FILE)
		result = cli_fatal("configuration %s is larger than 1 MiB: is it the right file?", path);
	else if (lkvm_config_load_json(config, text, len, path, &e) < 0)
		result = cli_fatal("%s", e.message);
out:
	free(text);
	if (fd >= 0)
		close(fd);
	return result;
}

/* -d NAME: the root folder that lkvm setup made under this name, unless there is a file of that name. */
static int set_disk(const struct cli_command *command, struct lkvm_config *config, const char *value)
{
	size_t n = strcspn(value, ",");
	char name[256], path[4096], full[4608];
	struct stat st;

	if (n < sizeof(name) && !memchr(value, '/', n)) {
		memcpy(name, value, n);
		name[n] = 0;
		if (n && stat(name, &st) < 0 && run_root_path(path, sizeof(path), name) && !stat(path, &st) && S_ISDIR(st.st_mode)) {
			snprintf(full, sizeof(full), "%s%s", path, value + n);
			return cli_set(command, config, "disk", full);
		}
	}
	return cli_set(command, config, "disk", value);
}

int run_option(const struct cli_command *command, struct lkvm_config *config, const char *name, const char *value)
{
	if (!strcmp(name, "config"))
		return load_config(config, value);
	if (!strcmp(name, "disk"))
		return set_disk(command, config, value);
	return cli_set(command, config, name, value);
}

static int take_option(void *ctx, const char *name, const char *value)
{
	struct run *r = ctx;

	if (!name) {
		if (given(r, "kernel"))
			return cli_misused(r->command, "what is \"%s\"? a bare word is the kernel, and there is one already", value);
		return set(r, "kernel", value);
	}
	if (!strcmp(name, "dump-config")) {
		r->dump_config = true;
		return 0;
	}
	if (!strcmp(name, "tty") && !strcmp(value, "0"))
		r->console_elsewhere = true;
	return run_option(r->command, r->config, name, value);
}

/* ---- what was not given ---- */

static int default_kernel(struct run *r)
{
	static const char *const places[] = {
		"Image", "arch/" ARCH_FOLDER "/boot/Image", "../../arch/" ARCH_FOLDER "/boot/Image", "Image.gz",
		"arch/" ARCH_FOLDER "/boot/Image.gz", "/boot/vmlinuz-%s", "/boot/Image-%s", "/boot/Image", "/boot/vmlinuz",
	};
	struct utsname u;
	char path[256];

	uname(&u);
	for (unsigned int i = 0; i < CLI_COUNT(places); i++) {
		const char *release = strstr(places[i], "%s");

		if (release)
			snprintf(path, sizeof(path), "%.*s%s", (int)(release - places[i]), places[i], u.release);
		else
			snprintf(path, sizeof(path), "%s", places[i]);
		if (!access(path, R_OK))
			return set(r, "kernel", path);
	}
	return cli_fatal("no kernel given, and none found as ./Image, arch/" ARCH_FOLDER "/boot/Image or /boot/vmlinuz-%s: use -k PATH", u.release);
}

/* First of all: before a folder is made or a device opened for it. */
static int check_kernel(const struct run *r)
{
	static const char *const options[] = { "kernel", "firmware" };
	char path[4096];

	for (unsigned int i = 0; i < CLI_COUNT(options); i++) {
		int n = lkvm_config_get(r->config, options[i], path, sizeof(path));

		if (n > 0 && (size_t)n < sizeof(path) && access(path, R_OK) < 0)
			return cli_fatal("Unable to open %s %s: %s", options[i], path, strerror(errno));
	}
	return 0;
}

static int default_root(struct run *r)
{
	struct lkvm_error e = { 0 };
	char path[4096];

	if (!run_root_path(path, sizeof(path), "default"))
		return cli_fatal("no disk and no initrd given, and without $HOME there is no ~/.lkvm/default either: use -d, -i or --nodefaults");
	if (lkvm_setup_root(path, "/proc/self/exe", &e) < 0)
		return cli_fatal("%s", e.message);
	return set(r, "disk", path);
}

static int add_defaults(struct run *r)
{
	char name[32], level[16] = "";
	int status;

	if (!given(r, "kernel") && !given(r, "firmware") && (status = default_kernel(r)))
		return status;
	if ((status = check_kernel(r)))
		return status;
	if (!given(r, "disk") && !given(r, "initrd") && !given(r, "nodefaults") && !given(r, "firmware") && (status = default_root(r)))
		return status;
	snprintf(name, sizeof(name), "guest-%d", (int)getpid());
	if (!given(r, "name") && (status = set(r, "name", name)))
		return status;
	lkvm_config_get(r->config, "loglevel", level, sizeof(level));
	r->verbose = given(r, "debug") || !strcmp(level, "info") || !strcmp(level, "debug");
	return 0;
}

/* ---- the guest's life ---- */

static void on_event(void *ctx, struct lkvm_vm *vm, const struct lkvm_event *event)
{
	static const char *const prefix[] = {
		[LKVM_LOG_ERROR] = "Error",
		[LKVM_LOG_WARNING] = "Warning",
		[LKVM_LOG_INFO] = "Info",
		[LKVM_LOG_DEBUG] = "Debug",
	};
	struct run *r = ctx;

	if (event->type == LKVM_EVENT_LOG) {
		fprintf(stderr, "  %s: %s%s\n", prefix[event->level], event->text, terminal_is_raw() ? "\r" : "");
	} else if (event->type == LKVM_EVENT_ENDED) {
		atomic_store(&r->ended, true);
		pthread_kill(r->main_thread, WAKE_SIGNAL);
	}
}

/* Signals that end the guest are waited for, not caught. Those that were ignored stay so: nohup, a job in the background of a script. */
static void block_signals(sigset_t *ret_wait)
{
	static const int ends[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT };
	struct sigaction old;
	sigset_t block;

	sigemptyset(ret_wait);
	sigaddset(ret_wait, WAKE_SIGNAL);
	for (unsigned int i = 0; i < CLI_COUNT(ends); i++)
		if (!sigaction(ends[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaddset(ret_wait, ends[i]);
	block = *ret_wait;
	sigaddset(&block, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &block, NULL);
}

static void say_start(const struct run *r)
{
	static const char *const names[] = { "kernel", "mem", "cpus", "name" };
	char text[CLI_COUNT(names)][512] = { "" };

	for (unsigned int i = 0; i < CLI_COUNT(names); i++)
		lkvm_config_get(r->config, names[i], text[i], sizeof(text[i]));
	fprintf(stderr, "  # lkvm run -k %s -m %s -c %s --name %s\n", text[0], text[1], text[2], text[3]);
}

/* Until the guest has ended: the signal that ended it, or 0. */
static int attend(struct run *r, struct lkvm_vm *vm, const sigset_t *signals)
{
	int ended_by = 0;

	while (!atomic_load(&r->ended)) {
		int n = sigwaitinfo(signals, NULL);

		if (n > 0 && n != WAKE_SIGNAL && !ended_by) {
			ended_by = n;
			lkvm_stop(vm);
		}
	}
	return ended_by;
}

/* Shared folders hold as many files open as this process may. */
static void raise_file_limit(void)
{
	struct rlimit l;

	if (!getrlimit(RLIMIT_NOFILE, &l) && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

static int start(struct run *r)
{
	const struct lkvm_callbacks callbacks = { on_event, r };
	struct lkvm_error e = { 0 };
	struct lkvm_end end = { 0 };
	struct lkvm_vm *vm = NULL;
	sigset_t signals;
	int ended_by;

	r->main_thread = pthread_self();
	block_signals(&signals);
	if (!r->console_elsewhere)
		terminal_prepare();
	lkvm_config_set_console(r->config, 0, STDIN_FILENO, STDOUT_FILENO);
	lkvm_config_set_escape(r->config, !r->console_elsewhere && isatty(STDIN_FILENO));
	if (r->verbose)
		say_start(r);
	raise_file_limit();
	if (lkvm_create(r->config, &callbacks, &vm, &e) < 0)
		return cli_fatal("%s", e.message);
	terminal_make_raw();
	if (lkvm_start(vm, &e) < 0) {
		lkvm_destroy(vm);
		return cli_fatal("%s", e.message);
	}
	ended_by = attend(r, vm, &signals);
	lkvm_wait(vm, &end);
	lkvm_destroy(vm);
	terminal_restore();
	if (end.reason == LKVM_END_ERROR)
		return cli_fatal("%s", end.error.message);
	if (end.reason == LKVM_END_HALTED)
		cli_fatal("%s", end.error.message);
	return ended_by && end.reason == LKVM_END_STOPPED ? 128 + ended_by : end.exit_status;
}

int run_guest(const struct cli_command *command, struct lkvm_config *config)
{
	struct run r = { .command = command, .config = config };

	return start(&r);
}

static int dump_config(struct run *r)
{
	char *text;

	if (lkvm_config_dump_json(r->config, &text) < 0)
		return cli_fatal("out of memory");
	puts(text);
	free(text);
	return 0;
}

int run_main(const struct cli_command *command, int argc, char **argv)
{
	struct run r = { .command = command };
	int status;

	if (lkvm_config_create(&r.config) < 0)
		return cli_fatal("out of memory");
	status = cli_parse(command, argc, argv, take_option, &r);
	if (status < 0 && r.dump_config)
		status = dump_config(&r);
	if (status < 0)
		status = add_defaults(&r);
	else
		goto out;
	if (!status)
		status = start(&r);
out:
	lkvm_config_destroy(r.config);
	return status;
}

/* ---- setup ---- */

static int take_name(void *ctx, const char *name, const char *value)
{
	const char **ret = ctx;

	if (*ret)
		return cli_misused(cli_find_command("setup"), "one name is enough; what is \"%s\"?", value);
	*ret = value;
	return 0;
}

int setup_main(const struct cli_command *command, int argc, char **argv)
{
	struct lkvm_error e = { 0 };
	const char *name = NULL;
	char path[4096];
	int status = cli_parse(command, argc, argv, take_name, &name);

	if (status >= 0)
		return status;
	if (!name || !*name || strchr(name, '/') || name[0] == '.')
		return cli_misused(command, "give the new root folder a name: lkvm setup NAME");
	if (!run_root_path(path, sizeof(path), name))
		return cli_fatal("$HOME is not set, and the root folder would be $HOME/.lkvm/%s", name);
	if (lkvm_setup_root(path, "/proc/self/exe", &e) < 0)
		return cli_fatal("%s", e.message);
	printf("A new root folder '%s' has been created in '%s'.\n\nYou can now start it by running the following command:\n\n"
	       "  lkvm run -d %s\n", name, path, name);
	return 0;
}
