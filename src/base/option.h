// SPDX-License-Identifier: MIT
/*
 * Options as data: one row gives the command-line spelling, the JSON key, the range, the help text, the man page and the place in the
 * configuration structure. Each floor that has settings exports a table; the assembly joins them.
 */
#ifndef LKVM_BASE_OPTION_H
#define LKVM_BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum option_type {
	OPTION_FLAG,   /* bool; no value */
	OPTION_UINT,   /* uint64_t, decimal or 0x..., within [min, max] */
	OPTION_SIZE,   /* uint64_t bytes; suffixes B K M G T P; without one the row's unit counts */
	OPTION_STRING, /* char *, owned by the configuration */
	OPTION_LIST,   /* struct option_list, repeatable strings, owned */
	OPTION_CHOICE, /* unsigned int: the index into choices */
};

struct option_list {
	char **items;
	unsigned int n;
};

struct option {
	const char *name; /* long name without dashes, also the JSON key */
	char letter;	  /* short name, or 0 */
	enum option_type type;
	size_t offset;	       /* of the field in the configuration structure */
	uint64_t min, max;     /* OPTION_UINT, OPTION_SIZE; max 0: no bound */
	uint64_t unit;	       /* OPTION_SIZE: what a number without suffix counts, in bytes */
	size_t at_offset;      /* OPTION_SIZE: of a uint64_t for what follows an '@' (an address in bytes, suffixes as well); 0: none may */
	const char *const *choices; /* OPTION_CHOICE, NULL-terminated */
	const char *value;     /* what help calls the value: "MiB", "PATH" */
	const char *help;      /* one line */
	const char *group;     /* heading in help */
	const char *refused;   /* an option of kvmtool that nothing serves yet: the sentence; the other fields do not matter */
};

/* Stores one value given as text (NULL for a flag: true) into config. -EINVAL with a sentence that names the option and what it takes. */
int option_set(const struct option *o, void *config, const char *value, struct err *e);
/* The value as text into buf, for dumps; returns snprintf's length, 0 when it has its zero default. OPTION_LIST: item `index`. */
int option_get(const struct option *o, const void *config, unsigned int index, char *buf, size_t len);
/* Frees the strings of every row. */
void option_clear(const struct option *options, unsigned int n, void *config);

/* A size such as "512M" or "2G": bytes, or -EINVAL. unit is what a bare number counts. */
int option_parse_size(const char *text, uint64_t unit, uint64_t *ret);
int option_parse_uint(const char *text, uint64_t *ret);

/*
 * Options inside a value: "path=x,ro,tag=y". Calls fn for each "key" (value NULL) or "key=value"; stops at the first negative
 * result, which it returns. The text is not changed.
 */
int option_for_each_key(const char *text, int (*fn)(void *ctx, const char *key, const char *value), void *ctx);

#endif
