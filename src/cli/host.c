// SPDX-License-Identifier: MIT
/* What the host has: doctor, regs, version. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yyjson.h>

#include "cli.h"

#define TIMEOUT_MS 10000

/* ---- version ---- */

static int take_nothing(void *ctx, const char *name, const char *value)
{
	return cli_misused(ctx, "what is \"%s\"?", value);
}

int version_main(const struct cli_command *command, int argc, char **argv)
{
	int status = cli_parse(command, argc, argv, take_nothing, (void *)(uintptr_t)command);

	if (status >= 0)
		return status;
	printf("lkvm %s\n", lkvm_version());
	return 0;
}

/* ---- options of a machine ---- */

struct host {
	const struct cli_command *command;
	struct lkvm_config *config;
	const char *name;
	bool json;
};

static int take_option(void *ctx, const char *name, const char *value)
{
	struct lkvm_error e = { 0 };
	struct host *h = ctx;

	if (!name && (h->name || h->command->arguments == NULL))
		return cli_misused(h->command, "what is \"%s\"?", value);
	if (!name || !strcmp(name, "name"))
		h->name = value;
	else if (!strcmp(name, "json"))
		h->json = true;
	else if (lkvm_config_set(h->config, name, value, &e) < 0)
		return cli_refused(h->command, &e);
	return 0;
}

/* ---- doctor ---- */

static void print_finding(void *ctx, const char *what, int present, const char *cure)
{
	unsigned int *missing = ctx;

	*missing += !present;
	if (present)
		printf("  yes  %s\n", what);
	else
		printf("  no   %s\n         %s\n", what, cure);
}

int doctor_main(const struct cli_command *command, int argc, char **argv)
{
	struct host h = { .command = command };
	struct lkvm_error e = { 0 };
	unsigned int missing = 0;
	int status;

	if (lkvm_config_create(&h.config) < 0)
		return cli_fatal("out of memory");
	status = cli_parse(command, argc, argv, take_option, &h);
	if (status < 0 && lkvm_doctor(h.config, print_finding, &missing, &e) < 0)
		status = cli_fatal("guests cannot run here: %s", e.message);
	else if (status < 0) {
		printf("\nGuests run here%s.\n", missing ? "; what is missing is not needed by every guest" : "");
		status = 0;
	}
	lkvm_config_destroy(h.config);
	return status;
}

/* ---- regs ---- */

struct registers {
	bool json, any;
};

/* Bytes in the host's order as one number. */
static void print_value(const void *value, unsigned int size)
{
	const uint16_t probe = 1;
	bool little = *(const unsigned char *)&probe;

	printf("0x");
	for (unsigned int i = 0; i < size; i++)
		printf("%02x", ((const unsigned char *)value)[little ? size - 1 - i : i]);
}

static void print_register(void *ctx, const char *name, uint64_t id, const void *value, unsigned int size)
{
	struct registers *r = ctx;

	if (r->json) {
		printf("%s\n  \"%s\": %s", r->any ? "," : "{", name, size ? "\"" : "null");
		if (size) {
			print_value(value, size);
			putchar('"');
		}
	} else {
		printf("%-32s ", name);
		if (size)
			print_value(value, size);
		else
			printf("(cannot be read)");
		putchar('\n');
	}
	r->any = true;
}

static int print_fresh(const struct host *h)
{
	struct registers r = { .json = h->json };
	struct lkvm_error e = { 0 };

	if (lkvm_fresh_registers(h->config, print_register, &r, &e) < 0)
		return cli_fatal("%s", e.message);
	if (h->json)
		printf("\n}\n");
	return 0;
}

static int print_running(const struct host *h)
{
	struct lkvm_error e = { 0 };
	yyjson_val *vcpu, *key, *v;
	yyjson_doc *doc;
	size_t i, n, k, m;
	char *reply;

	if (lkvm_guest_control(h->name, "regs", NULL, TIMEOUT_MS, &reply, &e) < 0)
		return cli_fatal("%s", e.message);
	doc = h->json ? NULL : yyjson_read(reply, strlen(reply), 0);
	if (h->json)
		puts(reply);
	yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "vcpus"), i, n, vcpu)
	{
		printf("%svCPU %zu:\n", i ? "\n" : "", i);
		yyjson_obj_foreach(yyjson_obj_get(vcpu, "registers"), k, m, key, v)
			printf("%-32s %s\n", yyjson_get_str(key), yyjson_is_str(v) ? yyjson_get_str(v) : "(cannot be read)");
	}
	yyjson_doc_free(doc);
	free(reply);
	return 0;
}

int regs_main(const struct cli_command *command, int argc, char **argv)
{
	struct host h = { .command = command };
	int status;

	if (lkvm_config_create(&h.config) < 0)
		return cli_fatal("out of memory");
	status = cli_parse(command, argc, argv, take_option, &h);
	if (status < 0)
		status = h.name ? print_running(&h) : print_fresh(&h);
	lkvm_config_destroy(h.config);
	return status;
}
