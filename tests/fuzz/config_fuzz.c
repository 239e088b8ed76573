// SPDX-License-Identifier: MIT
/* What people and programs write: configurations as JSON and as options, requests to a running guest. The first byte chooses. */
#include "tests/fuzz/bytes.h"
#include "tests/scripted_vm.h"

static struct lkvm_config *config(void)
{
	struct lkvm_config *c;

	MUST(config_create_for(&arch_riscv64, &c) == 0);
	return c;
}

/* A configuration that was accepted gives itself again. */
static void round_trip(const struct lkvm_config *c)
{
	struct lkvm_config *d = config(), *copy;
	struct lkvm_error e = { 0 };
	char *text, *again;

	if (lkvm_config_dump_json(c, &text) == 0) {
		MUST(lkvm_config_load_json(d, text, strlen(text), "dump", &e) == 0);
		MUST(lkvm_config_dump_json(d, &again) == 0);
		MUST(!strcmp(text, again));
		free(again);
		MUST(config_copy(c, &copy) == 0);
		lkvm_config_destroy(copy);
		free(text);
	}
	lkvm_config_destroy(d);
}

static void as_json(const char *text, size_t len)
{
	struct lkvm_config *c = config();
	struct lkvm_error e = { 0 };

	if (lkvm_config_load_json(c, text, len, "f", &e) == 0)
		round_trip(c);
	else
		MUST(e.code < 0 && !strncmp(e.message, "f:", 2));
	lkvm_config_destroy(c);
}

/* Lines "name=value", or "name". */
static void as_options(char *text)
{
	struct lkvm_config *c = config();
	char *line;

	while ((line = strsep(&text, "\n"))) {
		char *value = strchr(line, '=');
		struct lkvm_error e = { 0 };

		if (value)
			*value++ = 0;
		MUST(lkvm_config_set(c, line, value, &e) == 0 || (e.code < 0 && e.message[0]));
	}
	lkvm_config_destroy(c);
}

/* The first line is the method, the rest its parameters. */
static void as_request(char *text)
{
	static struct test_vm t;
	char *params = strchr(text, '\n'), *reply = NULL;
	struct lkvm_error e = { 0 };

	if (!t.vm) {
		tv_init(&t);
		tv_set(&t, "balloon", NULL);
		tv_start(&t);
	}
	if (params)
		*params++ = 0;
	if (!strcmp(text, "stop"))
		return;
	if (lkvm_control(t.vm, text, params, &reply, &e) < 0)
		MUST(e.code < 0 && e.message[0]);
	else
		MUST(reply && reply[0] == '{');
	free(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (!size || size > 65536)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	switch (data[0] % 4) {
	case 0:
	case 1:
		as_json((const char *)data + 1, size - 1);
		break;
	case 2:
		as_options(text);
		break;
	default:
		as_request(text);
	}
	free(text);
	return 0;
}
