// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define NAME { .name = "name", .letter = 'n', .value = "NAME", .help = "the guest" }
#define ALL { .name = "all", .letter = 'a', .help = "every running guest" }
#define JSON { .name = "json", .help = "print JSON" }

static const struct lkvm_option list_options[] = {
	{ .name = "run", .letter = 'i', .help = "only guests that run" },
	{ .name = "rootfs", .letter = 'r', .help = "only the root folders that lkvm setup has made" },
};
static const struct lkvm_option state_options[] = { ALL, NAME };
static const struct lkvm_option stat_options[] = {
	{ .name = "memory", .letter = 'm', .help = "what the guest says of its memory (needs --balloon)" }, ALL, NAME, JSON,
};
static const struct lkvm_option balloon_options[] = {
	NAME,
	{ .name = "inflate", .letter = 'i', .value = "MIB", .help = "take so much memory more from the guest" },
	{ .name = "deflate", .letter = 'd', .value = "MIB", .help = "give so much back" },
	{ .name = "size", .letter = 's', .value = "MIB", .help = "take so much in all" },
};
static const struct lkvm_option attach_options[] = {
	NAME,
	{ .name = "disk", .letter = 'd', .value = "PATH[,KEY]...", .help = "a disk, as for run" },
	{ .name = "9p", .value = "DIR,TAG[,KEY]...", .help = "a shared folder, as for run" },
	{ .name = "network", .value = "mode=tap[,KEY]...", .help = "a network card, as for run" },
};
static const struct lkvm_option detach_options[] = { NAME };
static const struct lkvm_option debug_options[] = {
	ALL, NAME,
	{ .name = "dump", .letter = 'd', .help = "print the vCPUs' registers" },
	{ .name = "nmi", .letter = 'm', .value = "CPU", .help = "send a vCPU a non-maskable interrupt, where the architecture has one (s390x: a PSW restart)" },
	{ .name = "sysrq", .letter = 's', .value = "CHAR", .help = "a break and then CHAR on the guest's first serial port (s390x: the SCLP console)" },
};
static const struct lkvm_option regs_options[] = { JSON };
static const struct lkvm_option doctor_options[] = {
	{ .name = "dev", .value = "PATH", .help = "the KVM device (default: /dev/kvm)" },
};

static const struct lkvm_option test_options[] = {
	{ .name = "timeout", .value = "SECONDS", .group = "Tests", .help = "the time each test has (default: 90)" },
	{ .name = "jobs", .letter = 'j', .value = "N", .group = "Tests", .help = "run so many tests at once (default: 1)" },
	{ .name = "verbose", .letter = 'v', .group = "Tests", .help = "show the consoles as they go" },
	{ .name = "tap", .group = "Tests", .help = "print the results in the Test Anything Protocol, and nothing else" },
	{ .name = "junit", .value = "FILE", .group = "Tests", .help = "also write the results as JUnit's XML" },
	{ .name = "config", .value = "FILE", .group = "Configuration", .help = "read options from a JSON file; its keys are the long names", .repeatable = 1 },
};

#define OPTIONS(o) .options = o, .n_options = CLI_COUNT(o)

const struct cli_command cli_commands[] = {
	{ .name = "run", .arguments = "[KERNEL]", .summary = "Start a new virtual machine", .options = run_options,
	  .n_options = RUN_OPTIONS, .machine = true, .main = run_main,
	  .text = "Without a kernel, the usual places are searched for one. Without a disk and an initial ramdisk, the guest's root is the folder "
		  "~/.lkvm/default, which is made when it is not there; -d NAME stands for ~/.lkvm/NAME if there is no such file. "
		  "On a terminal, Ctrl-A x stops the guest. "
		  "Exit status: 0 the guest powered off or was stopped, 1 an error, 2 wrong usage, 3 it asked for a reset, 4 it panicked, 5 its CPUs stand still, "
		  "128+N signal N." },
	{ .name = "setup", .arguments = "NAME", .summary = "Make a root folder for guests", .main = setup_main,
	  .text = "Makes ~/.lkvm/NAME, a writable root whose programs are the host's, shared read-only. lkvm run -d NAME uses it." },
	{ .name = "list", .summary = "Show running guests and root folders", OPTIONS(list_options), .main = list_main },
	{ .name = "stat", .arguments = "[NAME]", .summary = "Print counters of a running guest", OPTIONS(stat_options), .main = guests_main },
	{ .name = "pause", .arguments = "[NAME]", .summary = "Pause a guest", OPTIONS(state_options), .main = guests_main },
	{ .name = "resume", .arguments = "[NAME]", .summary = "Let a paused or sleeping guest go on", OPTIONS(state_options), .main = guests_main },
	{ .name = "shutdown", .arguments = "[NAME]", .summary = "Ask a guest to shut itself down (s390x)", OPTIONS(state_options), .main = guests_main },
	{ .name = "stop", .arguments = "[NAME]", .summary = "Stop a guest, as if its power were cut", OPTIONS(state_options), .main = guests_main },
	{ .name = "balloon", .arguments = "[NAME]", .summary = "Take memory from a guest, or give it back", OPTIONS(balloon_options), .main = guests_main,
	  .text = "The guest must have been started with --balloon." },
	{ .name = "attach", .arguments = "[NAME]", .summary = "Give a running guest a device (s390x)", OPTIONS(attach_options), .main = guests_main,
	  .text = "Prints the name that lkvm stat shows and lkvm detach takes, and the device's number. On riscv64 and arm64 hosts devices are there from the start." },
	{ .name = "detach", .arguments = "[NAME] DEVICE", .summary = "Take a device away from a running guest (s390x)", OPTIONS(detach_options), .main = guests_main,
	  .text = "DEVICE is a disk, a shared folder or a network card by the name that lkvm stat shows: blk1, 9p0, net0. What it has begun it ends; what the guest has not written to it by then is lost." },
	{ .name = "debug", .arguments = "[NAME]", .summary = "Look into a guest", OPTIONS(debug_options), .main = guests_main },
	{ .name = "test", .arguments = "FILE...", .summary = "Run guests that are tests, each in a fresh machine", OPTIONS(test_options), .machine = true,
	  .main = test_main,
	  .text = "A test is a kernel (bare-metal or not) that says lines beginning with PASS, FAIL, XFAIL or SKIP on its console, \"PASS: NAME\" or \"FAIL NAME: REASON\", "
		  "and powers off; what kvm-unit-tests builds are such, with their last line \"EXIT: STATUS=N\". It fails when it says FAIL, ends without a result, "
		  "crashes, asks for a reset or is out of time. Nothing is added to the machine that the options of run do not ask for; "
		  "of these, --kernel, --firmware, --name and --tty are not for tests. "
		  "Exit status: 0 all passed or were skipped, 1 something failed, 2 wrong usage, 128+N signal N." },
	{ .name = "doctor", .summary = "Tell what this host can do, and what to do about the rest", OPTIONS(doctor_options), .main = doctor_main },
	{ .name = "regs", .arguments = "[NAME]", .summary = "List the registers of a fresh vCPU or of a running guest", OPTIONS(regs_options),
	  .machine = true, .more = true, .main = regs_main },
	{ .name = "version", .summary = "Print the version", .main = version_main },
	{ .name = "help", .arguments = "[COMMAND]", .summary = "Print what a command does and takes", .main = help_main },
	{ .name = "completion", .arguments = "bash", .summary = "Print a completion script for a shell", .more = true, .main = completion_main },
	{ .name = "man", .summary = "Print this page in roff", .more = true, .main = man_main },
};
const unsigned int cli_n_commands = CLI_COUNT(cli_commands);

const struct cli_command *cli_find_command(const char *name)
{
	for (unsigned int i = 0; i < cli_n_commands; i++)
		if (!strcmp(cli_commands[i].name, name))
			return &cli_commands[i];
	return NULL;
}

static void say(const char *prefix, const char *fmt, va_list ap)
{
	fputs(prefix, stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int cli_fatal(const char *fmt, ...)
{
	va_list ap;

	terminal_restore();
	va_start(ap, fmt);
	say("  Fatal: ", fmt, ap);
	va_end(ap);
	return EXIT_FAILED;
}

int cli_misused(const struct cli_command *command, const char *fmt, ...)
{
	char prefix[64];
	va_list ap;

	snprintf(prefix, sizeof(prefix), "lkvm %s: ", command->name);
	va_start(ap, fmt);
	say(prefix, fmt, ap);
	va_end(ap);
	return EXIT_USAGE;
}

int cli_refused(const struct cli_command *command, const struct lkvm_error *e)
{
	return cli_misused(command, "%s", e->code ? e->message : "out of memory");
}

int cli_set(const struct cli_command *command, struct lkvm_config *config, const char *name, const char *value)
{
	struct lkvm_error e = { 0 };

	return lkvm_config_set(config, name, value, &e) < 0 ? cli_refused(command, &e) : 0;
}

/* A program started with a standard stream closed would give its number to the next file opened. */
static void fill_standard_streams(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_WRONLY : O_RDONLY) != fd)
			_exit(EXIT_FAILED);
}

int main(int argc, char **argv)
{
	const char *base = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const struct cli_command *command;

	base = base ? base + 1 : argc > 0 ? argv[0] : "lkvm";
	/* By name, too: lkvm itself may be the first process of a container. */
	if (getpid() == 1 && !strcmp(base, "init"))
		return guest_init_main(argc, argv);
	fill_standard_streams();
	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		help_overview();
		return 0;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("lkvm %s\n", lkvm_version());
		return 0;
	}
	command = cli_find_command(argv[1]);
	if (!command) {
		fprintf(stderr, "lkvm: there is no command \"%s\"; lkvm help lists them\n", argv[1]);
		return EXIT_USAGE;
	}
	return command->main(command, argc - 1, argv + 1);
}
