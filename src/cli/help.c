// SPDX-License-Identifier: MIT
/* Help, man page and completion: all from the tables. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

#define HELP_COLUMN 30u
#define HELP_WIDTH 100u

void help_overview(void)
{
	printf("\n To start a simple non-privileged shell run 'lkvm run'\n\nusage: lkvm COMMAND [ARGS]\n\n"
	       "The most commonly used lkvm commands are:\n");
	for (unsigned int i = 0; i < cli_n_commands; i++)
		if (!cli_commands[i].more)
			printf("   %-12s%s\n", cli_commands[i].name, cli_commands[i].summary);
	printf("\nand also:\n");
	for (unsigned int i = 0; i < cli_n_commands; i++)
		if (cli_commands[i].more)
			printf("   %-12s%s\n", cli_commands[i].name, cli_commands[i].summary);
	printf("\nSee 'lkvm help COMMAND' for more information on a specific command.\n\n");
}

/* Words of text from `column` on, broken before HELP_WIDTH, further lines at `indent`. */
static void print_wrapped(const char *text, unsigned int indent, unsigned int column)
{
	while (*text) {
		unsigned int n = (unsigned int)strcspn(text, " ");

		if (column + n > HELP_WIDTH && column > indent) {
			printf("\n%*s", (int)indent, "");
			column = indent;
		}
		printf("%.*s", (int)n, text);
		column += n;
		text += n;
		if (*text == ' ') {
			putchar(' ');
			column++;
			text++;
		}
	}
	putchar('\n');
}

static void print_option(const struct lkvm_option *o)
{
	char left[200];
	int n;

	if (o->letter)
		n = snprintf(left, sizeof(left), "  -%c, --%s%s%s", o->letter, o->name, o->value ? " " : "", o->value ? o->value : "");
	else
		n = snprintf(left, sizeof(left), "      --%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
	if (n + 2 > (int)HELP_COLUMN)
		printf("%s\n%*s", left, (int)HELP_COLUMN, "");
	else
		printf("%-*s", (int)HELP_COLUMN, left);
	print_wrapped(o->help ? o->help : "", HELP_COLUMN, HELP_COLUMN);
}

void help_command(const struct cli_command *command)
{
	const char *group = NULL;
	struct lkvm_option o;
	bool has_options = cli_option(command, 0, &o);

	printf("usage: lkvm %s%s%s%s\n\n%s.\n", command->name, has_options ? " [OPTION]..." : "", command->arguments ? " " : "",
	       command->arguments ? command->arguments : "", command->summary);
	if (command->text) {
		putchar('\n');
		print_wrapped(command->text, 0, 0);
	}
	for (unsigned int i = 0; cli_option(command, i, &o); i++) {
		const char *of = o.group ? o.group : "Options";

		if (o.refused)
			continue;
		if (!group || strcmp(group, of))
			printf("\n%s:\n", of);
		group = of;
		print_option(&o);
	}
}

static int take_word(void *ctx, const char *name, const char *value)
{
	const char **word = ctx;

	*word = value;
	return 0;
}

int help_main(const struct cli_command *command, int argc, char **argv)
{
	const char *word = NULL;
	int status = cli_parse(command, argc, argv, take_word, &word);

	if (status >= 0)
		return status;
	if (!word) {
		help_overview();
		return 0;
	}
	command = cli_find_command(word);
	if (!command) {
		fprintf(stderr, "lkvm help: there is no command \"%s\"; lkvm help lists them\n", word);
		return EXIT_USAGE;
	}
	help_command(command);
	return 0;
}

/* ---- man page ---- */

/* Text with what roff would take for its own escaped. */
static void print_roff(const char *text)
{
	for (bool start = true; *text; text++) {
		if (start && (*text == '.' || *text == '\''))
			printf("\\&");
		if (*text == '-')
			printf("\\-");
		else if (*text == '\\')
			printf("\\e");
		else
			putchar(*text);
		start = *text == '\n';
	}
}

static void man_option(const struct lkvm_option *o)
{
	printf(".TP\n");
	if (o->letter)
		printf("\\fB\\-%c\\fR, ", o->letter);
	printf("\\fB\\-\\-");
	print_roff(o->name);
	printf("\\fR");
	if (o->value) {
		printf(" \\fI");
		print_roff(o->value);
		printf("\\fR");
	}
	putchar('\n');
	print_roff(o->help ? o->help : "");
	printf("%s\n", o->repeatable ? " (may be given several times)" : "");
}

static void man_command(const struct cli_command *c)
{
	struct lkvm_option o;

	printf(".SS \"lkvm %s%s%s%s\"\n", c->name, cli_option(c, 0, &o) ? " [OPTION]..." : "", c->arguments ? " " : "",
	       c->arguments ? c->arguments : "");
	print_roff(c->summary);
	printf(".\n");
	if (c->text) {
		printf(".PP\n");
		print_roff(c->text);
		putchar('\n');
	}
	if (c->machine && strcmp(c->name, "run"))
		printf(".PP\nThe options of \\fBrun\\fR say what the machine is like.\n");
	for (unsigned int i = 0; cli_option(c, i, &o); i++)
		if (!o.refused && (i < c->n_options || !strcmp(c->name, "run")))
			man_option(&o);
}

int man_main(const struct cli_command *command, int argc, char **argv)
{
	const char *word = NULL;
	int status = cli_parse(command, argc, argv, take_word, &word);

	if (status >= 0)
		return status;
	printf(".TH LKVM 1 \"\" \"lkvm %s\"\n.SH NAME\nlkvm \\- run virtual machines on Linux KVM\n.SH SYNOPSIS\n"
	       ".B lkvm\n.I COMMAND\n[\\fIARGUMENT\\fR]...\n.SH DESCRIPTION\n", lkvm_version());
	printf("lkvm starts virtual machines, each in a process of its own, and controls those that run.\n.SH COMMANDS\n");
	for (unsigned int i = 0; i < cli_n_commands; i++)
		man_command(&cli_commands[i]);
	printf(".SH FILES\n.TP\n\\fI$XDG_RUNTIME_DIR/lkvm\\fR, \\fI/run/user/UID/lkvm\\fR or \\fI/tmp/lkvm\\-UID\\fR\n"
	       "A socket for each running guest.\n.TP\n\\fI~/.lkvm\\fR\nThe root folders that \\fBlkvm setup\\fR makes.\n");
	return 0;
}

/* ---- completion ---- */

static void completion_options(const struct cli_command *c)
{
	struct lkvm_option o;

	printf("\t%s) words=\"--help", c->name);
	for (unsigned int i = 0; cli_option(c, i, &o); i++)
		if (!o.refused)
			printf(" --%s", o.name);
	printf("\" ;;\n");
}

static void completion_choices(void)
{
	const struct cli_command *run = cli_find_command("run");
	struct lkvm_option o;

	for (unsigned int i = 0; cli_option(run, i, &o); i++) {
		if (!o.choices)
			continue;
		printf("\t--%s) words=\"", o.name);
		for (unsigned int k = 0; o.choices[k]; k++)
			printf("%s%s", k ? " " : "", o.choices[k]);
		printf("\" ;;\n");
	}
}

int completion_main(const struct cli_command *command, int argc, char **argv)
{
	const char *word = NULL;
	int status = cli_parse(command, argc, argv, take_word, &word);

	if (status >= 0)
		return status;
	if (!word || strcmp(word, "bash"))
		return cli_misused(command, "there is a script for bash: lkvm completion bash");
	printf("# bash completion for lkvm; put it into /usr/share/bash-completion/completions/lkvm\n"
	       "_lkvm() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\n\tCOMPREPLY=()\n"
	       "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\tCOMPREPLY=($(compgen -W \"--help --version");
	for (unsigned int i = 0; i < cli_n_commands; i++)
		printf(" %s", cli_commands[i].name);
	printf("\" -- \"$cur\"))\n\t\treturn\n\tfi\n\tcase $prev in\n");
	completion_choices();
	printf("\t--name|-n) words=$(lkvm list --run 2>/dev/null | sed '1,2d' | while read -r _ n _; do echo \"$n\"; done) ;;\n"
	       "\t--kernel|-k|--initrd|-i|--disk|-d|--config|--dump-dtb|--dev) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n\tesac\n"
	       "\tif [ -n \"$words\" ]; then\n\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n\t\treturn\n\tfi\n\tcase ${COMP_WORDS[1]} in\n");
	for (unsigned int i = 0; i < cli_n_commands; i++)
		completion_options(&cli_commands[i]);
	printf("\tesac\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	       "\t[ \"${cur#-}\" != \"$cur\" ] || COMPREPLY+=($(compgen -f -- \"$cur\"))\n}\ncomplete -o filenames -F _lkvm lkvm\n");
	return 0;
}
