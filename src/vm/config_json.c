// SPDX-License-Identifier: MIT
/* The configuration as JSON: an object whose keys are option names. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <yyjson.h>

#include "vm/config.h"

static int at(struct err *e, const char *source, const char *text, size_t len, size_t pos, const char *what)
{
	size_t line = 1, column = 1;

	for (size_t i = 0; i < pos && i < len; i++) {
		column++;
		if (text[i] == '\n') {
			line++;
			column = 1;
		}
	}
	return err_set(e, -EINVAL, "%s:%zu:%zu: %s", source, line, column, what);
}

/* Where key stands in the text: yyjson keeps no positions of values, but strings without escapes point into its copy in order of appearance. */
static size_t position_of(const char *text, size_t len, const char *key)
{
	size_t n = strlen(key);

	for (size_t i = 0; i + n + 2 <= len; i++)
		if (text[i] == '"' && !memcmp(text + i + 1, key, n) && text[i + 1 + n] == '"')
			return i;
	return 0;
}

static int set_value(struct lkvm_config *c, const struct option *o, void *base, yyjson_val *v, struct err *e)
{
	char number[32];

	switch (yyjson_get_type(v)) {
	case YYJSON_TYPE_BOOL:
		if (o->type != OPTION_FLAG)
			return err_set(e, -EINVAL, "\"%s\" is no flag", o->name);
		return yyjson_get_bool(v) ? option_set(o, base, NULL, e) : 0;
	case YYJSON_TYPE_NUM:
		if (!yyjson_is_uint(v) || o->type == OPTION_FLAG)
			return err_set(e, -EINVAL, "\"%s\" does not take this number", o->name);
		snprintf(number, sizeof(number), "%" PRIu64, yyjson_get_uint(v));
		if (config_check_value(o, number, e) < 0)
			return -EINVAL;
		return option_set(o, base, number, e);
	case YYJSON_TYPE_STR:
		if (o->type == OPTION_FLAG)
			return err_set(e, -EINVAL, "\"%s\" takes true or false", o->name);
		if (strlen(yyjson_get_str(v)) != yyjson_get_len(v))
			return err_set(e, -EINVAL, "\"%s\" holds a NUL character", o->name);
		if (config_check_value(o, yyjson_get_str(v), e) < 0)
			return -EINVAL;
		return option_set(o, base, yyjson_get_str(v), e);
	default:
		return err_set(e, -EINVAL, "\"%s\" takes %s", o->name,
			       o->type == OPTION_FLAG ? "true or false" :
			       o->type == OPTION_LIST ? "a string or an array of strings" : "a string or a number");
	}
}

static int load_key(struct lkvm_config *c, const char *key, yyjson_val *v, struct err *e)
{
	const struct option *o;
	yyjson_val *item;
	size_t i, n;
	void *base;
	int r;

	o = config_find_option(c, key, &base);
	if (!o)
		return err_set(e, -EINVAL, "\"%s\" is no option; lkvm help run lists them", key);
	if (o->refused)
		return err_set(e, -EOPNOTSUPP, "%s", o->refused);
	if (!yyjson_is_arr(v) || o->type != OPTION_LIST)
		return set_value(c, o, base, v, e);
	yyjson_arr_foreach(v, i, n, item)
	{
		r = set_value(c, o, base, item, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int load_json(struct lkvm_config *c, const char *text, size_t len, const char *source, struct err *e)
{
	yyjson_read_err bad = { 0 };
	yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)text, len, 0, NULL, &bad);
	yyjson_val *key, *v;
	size_t i, n;
	int r = 0;

	if (!doc)
		return at(e, source, text, len, bad.pos, bad.msg ? bad.msg : "not JSON");
	if (!yyjson_is_obj(yyjson_doc_get_root(doc)))
		r = at(e, source, text, len, 0, "the configuration is a JSON object: { \"kernel\": ... }");
	yyjson_obj_foreach(yyjson_doc_get_root(doc), i, n, key, v)
	{
		struct err inner = { 0 };

		r = load_key(c, yyjson_get_str(key), v, &inner);
		if (r < 0) {
			at(e, source, text, len, position_of(text, len, yyjson_get_str(key)), inner.text);
			break;
		}
	}
	yyjson_doc_free(doc);
	return r;
}

int lkvm_config_load_json(struct lkvm_config *c, const char *text, size_t len, const char *source,
			  struct lkvm_error *e)
{
	struct err err = { 0 };
	int r = load_json(c, text, len, source, &err);

	if (r < 0)
		vm_error_copy(e, &err);
	return r;
}

static void dump_option(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct option *o, const void *base)
{
	char text[4096];
	uint64_t number;

	switch (o->type) {
	case OPTION_FLAG:
		yyjson_mut_obj_add_bool(doc, obj, o->name, true);
		break;
	case OPTION_UINT:
		memcpy(&number, (const char *)base + o->offset, sizeof(number));
		yyjson_mut_obj_add_uint(doc, obj, o->name, number);
		break;
	case OPTION_LIST: {
		const struct option_list *list = (const void *)((const char *)base + o->offset);
		yyjson_mut_val *array = yyjson_mut_arr(doc);

		for (unsigned int i = 0; i < list->n; i++)
			yyjson_mut_arr_add_strcpy(doc, array, list->items[i]);
		yyjson_mut_obj_add_val(doc, obj, o->name, array);
		break;
	}
	case OPTION_STRING: {
		char *s;

		memcpy(&s, (const char *)base + o->offset, sizeof(s));
		yyjson_mut_obj_add_strcpy(doc, obj, o->name, s);
		break;
	}
	default:
		option_get(o, base, 0, text, sizeof(text));
		yyjson_mut_obj_add_strcpy(doc, obj, o->name, text);
	}
}

int lkvm_config_dump_json(const struct lkvm_config *c, char **ret_text)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	const struct option *o;
	struct lkvm_config *defaults;
	yyjson_mut_val *obj;
	void *base, *default_base;
	int r;

	if (!doc)
		return -ENOMEM;
	r = config_create_for(c->arch, &defaults);
	if (r < 0) {
		yyjson_mut_doc_free(doc);
		return r;
	}
	obj = yyjson_mut_obj(doc);
	yyjson_mut_doc_set_root(doc, obj);
	for (unsigned int i = 0; (o = config_option(c, i, &base)); i++) {
		char now[4096], before[4096] = "";

		if (o->refused)
			continue;
		config_option(defaults, i, &default_base);
		if (option_get(o, base, 0, now, sizeof(now)) <= 0)
			continue;
		option_get(o, default_base, 0, before, sizeof(before));
		if (strcmp(now, before))
			dump_option(doc, obj, o, base);
	}
	*ret_text = yyjson_mut_write(doc, YYJSON_WRITE_PRETTY, NULL);
	yyjson_mut_doc_free(doc);
	lkvm_config_destroy(defaults);
	return *ret_text ? 0 : -ENOMEM;
}
