/* SPDX-License-Identifier: MIT */
/*
 * The lkvm program: words in, calls of <lkvm/lkvm.h>, text out. One const table of commands, each with a table of options, drives parsing, help,
 * the man page and completion; `run` takes the library's option table besides.
 */
#ifndef LKVM_CLI_CLI_H
#define LKVM_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include <lkvm/lkvm.h>

#define CLI_COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct cli_command {
	const char *name;
	const char *arguments; /* after the options, for the usage line */
	const char *summary;   /* one line */
	const char *text;      /* paragraphs of the man page and of help, or NULL */
	const struct lkvm_option *options;
	unsigned int n_options;
	bool machine; /* the options of a virtual machine, too */
	bool more;    /* not among the most commonly used */
	int (*main)(const struct cli_command *command, int argc, char **argv); /* returns the exit status */
};

extern const struct cli_command cli_commands[];
extern const unsigned int cli_n_commands;
const struct cli_command *cli_find_command(const char *name);

/* Option `index` of a command: its own, then the machine's. False past the end. */
bool cli_option(const struct cli_command *command, unsigned int index, struct lkvm_option *ret);

/*
 * Reads argv[1] and on. fn gets each option with its value (NULL for a flag), and each bare word with name NULL; it returns 0, or an exit status after
 * having said why. Result: -1 to go on, or the exit status (0 after --help).
 */
typedef int (*cli_option_fn)(void *ctx, const char *name, const char *value);
int cli_parse(const struct cli_command *command, int argc, char **argv, cli_option_fn fn, void *ctx);

/* One sentence on stderr. cli_fatal returns EXIT_FAILED, cli_misused EXIT_USAGE. */
int cli_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int cli_misused(const struct cli_command *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What a failed lkvm_config_set amounts to. */
int cli_refused(const struct cli_command *command, const struct lkvm_error *e);
/* lkvm_config_set: 0, or the exit status after the sentence. */
int cli_set(const struct cli_command *command, struct lkvm_config *config, const char *name, const char *value);

/* help.c */
void help_overview(void);
void help_command(const struct cli_command *command);
int help_main(const struct cli_command *command, int argc, char **argv);
int man_main(const struct cli_command *command, int argc, char **argv);
int completion_main(const struct cli_command *command, int argc, char **argv);

/* run.c */
#define RUN_OPTIONS 2
extern const struct lkvm_option run_options[RUN_OPTIONS];
int run_main(const struct cli_command *command, int argc, char **argv);
int setup_main(const struct cli_command *command, int argc, char **argv);
/* An option of a machine (or "config") as run takes it: 0, or the exit status after the sentence. */
int run_option(const struct cli_command *command, struct lkvm_config *config, const char *name, const char *value);
/* Runs the guest to its end on the standard streams; run's exit status. Once in a process. */
int run_guest(const struct cli_command *command, struct lkvm_config *config);
/* The folder of the guests' own roots, "$HOME/.lkvm", in front of name; false without $HOME. */
bool run_root_path(char *buf, size_t len, const char *name);

/* guests.c */
int list_main(const struct cli_command *command, int argc, char **argv);
int guests_main(const struct cli_command *command, int argc, char **argv);

/* host.c */
int doctor_main(const struct cli_command *command, int argc, char **argv);
int regs_main(const struct cli_command *command, int argc, char **argv);
int version_main(const struct cli_command *command, int argc, char **argv);

/* test.c */
int test_main(const struct cli_command *command, int argc, char **argv);

/* terminal.c */
/*
 * Whether descriptor 0 is a terminal whose foreground we are in. From then on the terminal is restored however the process ends, also when it is killed: a small
 * process of its own waits for that. Before there is a VM: what that process inherits would have to be copied when the guest changes it.
 */
bool terminal_prepare(void);
/* Nothing without a terminal_prepare() that was true. */
void terminal_make_raw(void);
bool terminal_is_raw(void);
/* Idempotent. */
void terminal_restore(void);

/* guest_init.c: the program as the first process of a guest */
int guest_init_main(int argc, char **argv);

#endif
