// SPDX-License-Identifier: MIT
#include "base/option.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static int parse_digits(const char *text, const char **ret_end, uint64_t *ret)
{
	unsigned int base = 10, digit;
	const char *p = text;
	uint64_t v = 0;

	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
		base = 16;
		p += 2;
		text = p;
	}
	for (;; p++) {
		if (*p >= '0' && *p <= '9')
			digit = (unsigned int)(*p - '0');
		else if (base == 16 && isxdigit((unsigned char)*p))
			digit = (unsigned int)(tolower((unsigned char)*p) - 'a') + 10;
		else
			break;
		if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)digit, &v))
			return -ERANGE;
	}
	if (p == text)
		return -EINVAL;
	*ret_end = p;
	*ret = v;
	return 0;
}

int option_parse_uint(const char *text, uint64_t *ret)
{
	const char *end;
	uint64_t v;
	int code = parse_digits(text, &end, &v);

	if (code < 0)
		return -EINVAL;
	if (*end)
		return -EINVAL;
	*ret = v;
	return 0;
}

int option_parse_size(const char *text, uint64_t unit, uint64_t *ret)
{
	static const char suffixes[] = "BKMGTP";
	const char *end, *s;
	uint64_t v;

	if (parse_digits(text, &end, &v) < 0)
		return -EINVAL;
	if (*end) {
		s = strchr(suffixes, toupper((unsigned char)*end));
		if (!s)
			return -EINVAL;
		unit = UINT64_C(1) << (10 * (s - suffixes));
		end++;
		/* "512M", "512MB" and "512MiB" are one. */
		if (unit > 1 && (end[0] == 'i' || end[0] == 'I') && (end[1] == 'B' || end[1] == 'b'))
			end++;
		if (unit > 1 && (*end == 'B' || *end == 'b'))
			end++;
		if (*end)
			return -EINVAL;
	}
	if (__builtin_mul_overflow(v, unit ? unit : 1, &v))
		return -EINVAL;
	*ret = v;
	return 0;
}

/* A size in the largest unit that divides it, as option_parse_size reads it. */
static int print_size(uint64_t v, char *buf, size_t len)
{
	static const char suffixes[] = "BKMGTP";
	unsigned int i = 0;

	while (v && !(v & 1023) && i < 5) {
		v >>= 10;
		i++;
	}
	return snprintf(buf, len, "%" PRIu64 "%c", v, suffixes[i]);
}

static int set_number(const struct option *o, void *field, const char *value, struct err *e)
{
	char low[32], high[32];
	uint64_t v;
	int code;

	if (o->type == OPTION_SIZE)
		code = option_parse_size(value, o->unit, &v);
	else
		code = option_parse_uint(value, &v);
	if (code < 0)
		return err_set(e, -EINVAL, o->type == OPTION_SIZE
				       ? "--%s takes a size such as 512M or 2G, not \"%s\""
				       : "--%s takes a number, not \"%s\"", o->name, value);
	if (v < o->min || (o->max && v > o->max)) {
		if (o->type == OPTION_SIZE) {
			print_size(o->min, low, sizeof(low));
			print_size(o->max, high, sizeof(high));
		} else {
			snprintf(low, sizeof(low), "%" PRIu64, o->min);
			snprintf(high, sizeof(high), "%" PRIu64, o->max);
		}
		if (o->max)
			return err_set(e, -EINVAL, "--%s takes %s to %s, not %s", o->name, low,
				       high, value);
		return err_set(e, -EINVAL, "--%s takes at least %s, not %s", o->name, low, value);
	}
	*(uint64_t *)field = v;
	return 0;
}

/* "512M@0x90000000": the address goes to its own field. */
static int set_size(const struct option *o, void *config, const char *value, struct err *e)
{
	const char *sign = o->at_offset ? strchr(value, '@') : NULL;
	uint64_t at = 0;
	char size[64];
	int r;

	if (sign && (sign - value >= (ptrdiff_t)sizeof(size) || option_parse_size(sign + 1, 1, &at) < 0 || !at))
		return err_set(e, -EINVAL, "--%s takes a size and an address such as 512M@0x90000000, not \"%s\"", o->name, value);
	if (sign)
		snprintf(size, sizeof(size), "%.*s", (int)(sign - value), value);
	r = set_number(o, (char *)config + o->offset, sign ? size : value, e);
	if (r >= 0 && o->at_offset)
		memcpy((char *)config + o->at_offset, &at, sizeof(at));
	return r;
}

static int set_choice(const struct option *o, void *field, const char *value, struct err *e)
{
	char list[200];
	size_t n = 0;

	for (unsigned int i = 0; o->choices[i]; i++)
		if (!strcmp(o->choices[i], value)) {
			*(unsigned int *)field = i;
			return 0;
		}
	list[0] = 0;
	for (unsigned int i = 0; o->choices[i] && n < sizeof(list); i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s",
				      !i ? "" : o->choices[i + 1] ? ", " : " or ", o->choices[i]);
	return err_set(e, -EINVAL, "--%s takes %s, not \"%s\"", o->name, list, value);
}

static int set_flag(const struct option *o, void *field, const char *value, struct err *e)
{
	bool on = true;

	if (value && !strcmp(value, "false"))
		on = false;
	else if (value && strcmp(value, "true"))
		return err_set(e, -EINVAL, "--%s takes no value, and got \"%s\"", o->name, value);
	*(bool *)field = on;
	return 0;
}

static int add_item(struct option_list *list, const char *value)
{
	char **items = realloc(list->items, (list->n + 1) * sizeof(*items));
	char *copy = strdup(value);

	if (items)
		list->items = items;
	if (!items || !copy) {
		free(copy);
		return -ENOMEM;
	}
	list->items[list->n++] = copy;
	return 0;
}

int option_set(const struct option *o, void *config, const char *value, struct err *e)
{
	void *field = (char *)config + o->offset;
	char *copy;

	if (o->refused)
		return err_set(e, -EINVAL, "%s", o->refused);
	if (o->type == OPTION_FLAG)
		return set_flag(o, field, value, e);
	if (!value)
		return err_set(e, -EINVAL, "--%s needs a value", o->name);
	switch (o->type) {
	case OPTION_SIZE:
		return set_size(o, config, value, e);
	case OPTION_UINT:
		return set_number(o, field, value, e);
	case OPTION_CHOICE:
		return set_choice(o, field, value, e);
	case OPTION_STRING:
		copy = strdup(value);
		if (!copy)
			return err_set(e, -ENOMEM, "out of memory");
		free(*(char **)field);
		*(char **)field = copy;
		return 0;
	case OPTION_LIST:
		if (add_item(field, value) < 0)
			return err_set(e, -ENOMEM, "out of memory");
		return 0;
	case OPTION_FLAG:
		break;
	}
	return -EINVAL;
}

int option_get(const struct option *o, const void *config, unsigned int index, char *buf, size_t len)
{
	const void *field = (const char *)config + o->offset;
	const struct option_list *list;
	const char *s = NULL;
	char size[32];
	uint64_t v, at = 0;

	if (len)
		buf[0] = 0;
	if (o->refused)
		return 0;
	switch (o->type) {
	case OPTION_FLAG:
		s = *(const bool *)field ? "true" : NULL;
		break;
	case OPTION_UINT:
		v = *(const uint64_t *)field;
		return v ? snprintf(buf, len, "%" PRIu64, v) : 0;
	case OPTION_SIZE:
		v = *(const uint64_t *)field;
		if (o->at_offset)
			memcpy(&at, (const char *)config + o->at_offset, sizeof(at));
		if (!v || !at)
			return v ? print_size(v, buf, len) : 0;
		print_size(v, size, sizeof(size));
		return snprintf(buf, len, "%s@0x%" PRIx64, size, at);
	case OPTION_STRING:
		s = *(char *const *)field;
		break;
	case OPTION_LIST:
		list = field;
		s = index < list->n ? list->items[index] : NULL;
		break;
	case OPTION_CHOICE:
		s = *(const unsigned int *)field ? o->choices[*(const unsigned int *)field] : NULL;
		break;
	}
	return s ? snprintf(buf, len, "%s", s) : 0;
}

void option_clear(const struct option *options, unsigned int n, void *config)
{
	for (unsigned int i = 0; i < n; i++) {
		void *field = (char *)config + options[i].offset;

		if (options[i].refused)
			continue;
		if (options[i].type == OPTION_STRING) {
			free(*(char **)field);
			*(char **)field = NULL;
		} else if (options[i].type == OPTION_LIST) {
			struct option_list *list = field;

			for (unsigned int k = 0; k < list->n; k++)
				free(list->items[k]);
			free(list->items);
			*list = (struct option_list){0};
		}
	}
}

int option_for_each_key(const char *text, int (*fn)(void *ctx, const char *key, const char *value),
			void *ctx)
{
	CLEANUP_FREE char *copy = strdup(text);
	char *rest = copy, *item, *value;
	int code;

	if (!copy)
		return -ENOMEM;
	while ((item = strsep(&rest, ","))) {
		if (!*item)
			continue;
		value = strchr(item, '=');
		if (value)
			*value++ = 0;
		code = fn(ctx, item, value);
		if (code < 0)
			return code;
	}
	return 0;
}
