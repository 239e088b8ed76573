// SPDX-License-Identifier: MIT
/* Options of a command, made from its table for getopt_long. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define LONG_BASE 256 /* getopt_long's result for row i: beyond any letter */

bool cli_option(const struct cli_command *command, unsigned int index, struct lkvm_option *ret)
{
	if (index < command->n_options) {
		*ret = command->options[index];
		return true;
	}
	return command->machine && !lkvm_option_get(index - command->n_options, ret);
}

struct words {
	struct option *longs;
	char shorts[128];
	unsigned int n;
};

/* The last row is --help. */
static bool make_words(const struct cli_command *command, struct words *w)
{
	struct lkvm_option o;
	size_t at;

	*w = (struct words){ .shorts = "-:h" };
	while (cli_option(command, w->n, &o))
		w->n++;
	w->longs = calloc(w->n + 2, sizeof(*w->longs));
	if (!w->longs)
		return false;
	at = strlen(w->shorts);
	for (unsigned int i = 0; i < w->n; i++) {
		cli_option(command, i, &o);
		/* A refused one takes whatever may follow, so that its sentence comes and no other. */
		w->longs[i] = (struct option){ o.name, o.refused ? optional_argument : o.value ? required_argument : no_argument, NULL,
					       (int)(LONG_BASE + i) };
		if (o.letter && at + 3 < sizeof(w->shorts)) {
			w->shorts[at++] = o.letter;
			if (o.value)
				w->shorts[at++] = ':';
		}
	}
	w->longs[w->n] = (struct option){ "help", no_argument, NULL, 'h' };
	return true;
}

/* The row of a letter; false: none. */
static bool find_letter(const struct cli_command *command, int letter, struct lkvm_option *ret)
{
	for (unsigned int i = 0; cli_option(command, i, ret); i++)
		if (ret->letter == letter)
			return true;
	return false;
}

/* getopt's complaint in a sentence. */
static int complain(const struct cli_command *command, int c, char **argv)
{
	struct lkvm_option o;
	char word[3] = { '-', (char)optopt, 0 };
	const char *what = word;

	if (optopt >= LONG_BASE || !optopt) {
		what = argv[optind - 1];
		if (optopt >= LONG_BASE && cli_option(command, (unsigned int)optopt - LONG_BASE, &o) && !o.value)
			return cli_misused(command, "--%s takes no value", o.name);
	}
	if (c == ':')
		return cli_misused(command, "%s needs a value", what);
	return cli_misused(command, "there is no option %s; lkvm help %s lists them", what, command->name);
}

static int parse(const struct cli_command *command, const struct words *w, int argc, char **argv, cli_option_fn fn, void *ctx)
{
	struct lkvm_option o;
	int c, status = 0;

	opterr = 0;
	optind = 1;
	while (!status && (c = getopt_long(argc, argv, w->shorts, w->longs, NULL)) != -1) {
		if (c == 'h') {
			help_command(command);
			return 0;
		}
		if (c == '?' || c == ':')
			return complain(command, c, argv);
		if (c == 1) {
			status = fn(ctx, NULL, optarg);
			continue;
		}
		if (c >= LONG_BASE)
			cli_option(command, (unsigned int)c - LONG_BASE, &o);
		else if (!find_letter(command, c, &o))
			continue;
		status = fn(ctx, o.name, optarg);
	}
	while (!status && optind < argc)
		status = fn(ctx, NULL, argv[optind++]);
	return status ? status : -1;
}

int cli_parse(const struct cli_command *command, int argc, char **argv, cli_option_fn fn, void *ctx)
{
	struct words w;
	int status;

	if (!make_words(command, &w))
		return cli_fatal("out of memory");
	status = parse(command, &w, argc, argv, fn, ctx);
	free(w.longs);
	return status;
}
