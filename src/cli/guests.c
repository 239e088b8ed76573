// SPDX-License-Identifier: MIT
/* Commands for guests that run: one method call each, and text from its reply. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <yyjson.h>

#include "cli.h"

#define TIMEOUT_MS 10000 /* a pause waits for I/O in flight */
#define STATE_TIMEOUT_MS 2000

struct wish {
	const struct cli_command *command;
	const char *name;
	bool all, memory, json, dump;
	const char *inflate, *deflate, *size, *nmi, *sysrq, *disk, *share, *network, *device;
};

/* Options of these commands, and where they go: a flag or a text. */
static const struct {
	const char *name;
	size_t flag, text;
} fields[] = {
	{ "all", offsetof(struct wish, all), 0 },
	{ "memory", offsetof(struct wish, memory), 0 },
	{ "json", offsetof(struct wish, json), 0 },
	{ "dump", offsetof(struct wish, dump), 0 },
	{ "name", 0, offsetof(struct wish, name) },
	{ "inflate", 0, offsetof(struct wish, inflate) },
	{ "deflate", 0, offsetof(struct wish, deflate) },
	{ "size", 0, offsetof(struct wish, size) },
	{ "nmi", 0, offsetof(struct wish, nmi) },
	{ "sysrq", 0, offsetof(struct wish, sysrq) },
	{ "disk", 0, offsetof(struct wish, disk) },
	{ "9p", 0, offsetof(struct wish, share) },
	{ "network", 0, offsetof(struct wish, network) },
};

static bool takes_all(const struct cli_command *command)
{
	for (unsigned int i = 0; i < command->n_options; i++)
		if (!strcmp(command->options[i].name, "all"))
			return true;
	return false;
}

static int take_option(void *ctx, const char *name, const char *value)
{
	struct wish *w = ctx;

	if (!name) {
		if (w->name && !w->device && !strcmp(w->command->name, "detach")) {
			w->device = value;
			return 0;
		}
		if (w->name)
			return cli_misused(w->command, "one guest at a time%s; what is \"%s\"?", takes_all(w->command) ? ", or --all" : "", value);
		w->name = value;
		return 0;
	}
	for (unsigned int i = 0; i < CLI_COUNT(fields); i++) {
		if (strcmp(fields[i].name, name))
			continue;
		if (fields[i].flag)
			*(bool *)((char *)w + fields[i].flag) = true;
		else
			*(const char **)(void *)((char *)w + fields[i].text) = value;
	}
	return 0;
}

/* ---- text from replies ---- */

static void print_size(const char *what, yyjson_val *bytes)
{
	printf("  %-22s %" PRIu64 " MiB\n", what, yyjson_get_uint(bytes) >> 20);
}

/* An object's numbers on one line: "exits 12, mmio_reads 3". */
static void print_numbers(const char *title, yyjson_val *obj)
{
	yyjson_val *key, *v;
	const char *separator = "";
	size_t i, n;

	printf("  %-22s ", title);
	yyjson_obj_foreach(obj, i, n, key, v)
	{
		if (!yyjson_is_num(v))
			continue;
		printf("%s%s %" PRIu64, separator, yyjson_get_str(key), yyjson_get_uint(v));
		separator = ", ";
	}
	putchar('\n');
}

static void print_memory(yyjson_val *stat)
{
	yyjson_val *balloon = yyjson_obj_get(stat, "balloon"), *stats = yyjson_obj_get(balloon, "stats"), *key, *v;
	size_t i, n;

	print_size("RAM", yyjson_obj_get(yyjson_obj_get(stat, "memory"), "ram"));
	if (!balloon)
		return;
	print_size("balloon, asked", yyjson_obj_get(balloon, "target"));
	print_size("balloon, given", yyjson_obj_get(balloon, "actual"));
	yyjson_obj_foreach(stats, i, n, key, v)
		printf("  %-22s %" PRIu64 "\n", yyjson_get_str(key), yyjson_get_uint(v));
}

static void print_stat(const struct wish *w, const char *name, yyjson_val *stat)
{
	yyjson_val *v;
	size_t i, n;
	char title[32];

	if (w->memory) {
		printf("\n  *** Guest memory statistics: %s ***\n\n", name);
		print_memory(stat);
		return;
	}
	printf("%s: %s, pid %" PRIu64 ", up %.1f s\n", name, yyjson_get_str(yyjson_obj_get(stat, "state")),
	       yyjson_get_uint(yyjson_obj_get(stat, "pid")), (double)yyjson_get_uint(yyjson_obj_get(stat, "uptime_ms")) / 1000);
	print_memory(stat);
	yyjson_arr_foreach(yyjson_obj_get(stat, "vcpus"), i, n, v)
	{
		snprintf(title, sizeof(title), "vCPU %zu", i);
		print_numbers(title, v);
	}
	yyjson_arr_foreach(yyjson_obj_get(stat, "devices"), i, n, v)
		print_numbers(yyjson_get_str(yyjson_obj_get(v, "name")), v);
	v = yyjson_obj_get(stat, "irqchip");
	if (v) {
		snprintf(title, sizeof(title), "irqchip %s", yyjson_get_str(yyjson_obj_get(v, "kind")));
		print_numbers(title, v);
	}
}

static void print_dump(yyjson_val *reply)
{
	yyjson_val *v;
	size_t i, n;

	yyjson_arr_foreach(yyjson_obj_get(reply, "dump"), i, n, v)
		printf("vCPU %zu:\n%s\n", i, yyjson_get_str(v));
}

static void print_reply(const struct wish *w, const char *name, const char *text)
{
	yyjson_doc *doc = yyjson_read(text, strlen(text), 0);
	yyjson_val *root = yyjson_doc_get_root(doc);

	if (w->json)
		puts(text);
	else if (!strcmp(w->command->name, "stat"))
		print_stat(w, name, root);
	else if (!strcmp(w->command->name, "debug"))
		print_dump(root);
	else if (!strcmp(w->command->name, "pause") || !strcmp(w->command->name, "resume"))
		printf("Guest %s is %s\n", name, yyjson_get_str(yyjson_obj_get(root, "state")));
	else if (!strcmp(w->command->name, "stop"))
		printf("Guest %s is being stopped\n", name);
	else if (!strcmp(w->command->name, "attach"))
		printf("Guest %s has %s, device 0.0.%04x\n", name, yyjson_get_str(yyjson_obj_get(root, "name")),
		       (unsigned int)yyjson_get_uint(yyjson_obj_get(root, "number")));
	else if (!strcmp(w->command->name, "detach"))
		printf("Guest %s no longer has %s\n", name, w->device);
	yyjson_doc_free(doc);
}

/* ---- calls ---- */

static int number(const struct wish *w, const char *option, const char *text, yyjson_mut_doc *doc)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 0);

	if (end == text || *end || *text == '-' || n > UINT32_MAX)
		return cli_misused(w->command, "--%s takes a number, not \"%s\"", option, text);
	yyjson_mut_obj_add_uint(doc, yyjson_mut_doc_get_root(doc), option, n);
	return 0;
}

/* Values that begin with a path: the guest's process has another working directory. */
static int file(const struct wish *w, const char *option, const char *text, yyjson_mut_doc *doc)
{
	char folder[4096], *whole;

	if (*text == '/' || !*text) {
		yyjson_mut_obj_add_strcpy(doc, yyjson_mut_doc_get_root(doc), option, text);
		return 0;
	}
	if (!getcwd(folder, sizeof(folder)) || strchr(folder, ','))
		return cli_misused(w->command, "--%s %s: this folder cannot be named here; give a path that begins with /", option, text);
	if (asprintf(&whole, "%s/%s", folder, text) < 0)
		return cli_fatal("out of memory");
	yyjson_mut_obj_add_strcpy(doc, yyjson_mut_doc_get_root(doc), option, whole);
	free(whole);
	return 0;
}

static int make_params(const struct wish *w, yyjson_mut_doc *doc)
{
	yyjson_mut_val *obj = yyjson_mut_obj(doc);
	int status = 0;

	yyjson_mut_doc_set_root(doc, obj);
	if (w->memory)
		yyjson_mut_obj_add_bool(doc, obj, "memory", true);
	if (w->dump)
		yyjson_mut_obj_add_bool(doc, obj, "dump", true);
	if (w->sysrq) {
		if (strlen(w->sysrq) != 1)
			return cli_misused(w->command, "--sysrq takes one character, not \"%s\"", w->sysrq);
		yyjson_mut_obj_add_str(doc, obj, "sysrq", w->sysrq);
	}
	if (w->inflate)
		status = number(w, "inflate", w->inflate, doc);
	if (!status && w->deflate)
		status = number(w, "deflate", w->deflate, doc);
	if (!status && w->size)
		status = number(w, "size", w->size, doc);
	if (!status && w->nmi)
		status = number(w, "nmi", w->nmi, doc);
	if (!status && !strcmp(w->command->name, "balloon") && !w->inflate + !w->deflate + !w->size != 2)
		return cli_misused(w->command, "give one of --inflate, --deflate and --size, in MiB");
	if (w->device)
		yyjson_mut_obj_add_str(doc, obj, "device", w->device);
	if (!status && w->disk)
		status = file(w, "disk", w->disk, doc);
	if (!status && w->share)
		status = file(w, "9p", w->share, doc);
	if (w->network)
		yyjson_mut_obj_add_str(doc, obj, "network", w->network);
	if (!status && !strcmp(w->command->name, "attach") && !w->disk + !w->share + !w->network != 2)
		return cli_misused(w->command, "give one of --disk, --9p and --network");
	if (!status && !strcmp(w->command->name, "detach") && !w->device)
		return cli_misused(w->command, "which device? lkvm stat lists them");
	if (!status && !strcmp(w->command->name, "debug") && !w->dump && !w->nmi && !w->sysrq)
		return cli_misused(w->command, "give at least one of --dump, --nmi and --sysrq");
	return status;
}

struct calls {
	const struct wish *w;
	const char *params;
	char (*names)[128];
	unsigned int n;
};

static int call(struct calls *c, const char *name)
{
	struct lkvm_error e = { 0 };
	char *reply;

	if (lkvm_guest_control(name, c->w->command->name, c->params, TIMEOUT_MS, &reply, &e) < 0)
		return cli_fatal("%s", e.message);
	print_reply(c->w, name, reply);
	free(reply);
	return 0;
}

static int remember(void *ctx, const char *name, int pid)
{
	struct calls *c = ctx;
	void *more = realloc(c->names, (c->n + 1) * sizeof(*c->names));

	if (!more)
		return EXIT_FAILED;
	c->names = more;
	snprintf(c->names[c->n++], sizeof(*c->names), "%s", name);
	return 0;
}

/* First the names, then the calls: a stop changes what there is to list. */
static int call_all(struct calls *c)
{
	struct lkvm_error e = { 0 };
	int status = 0;

	if (lkvm_guests(remember, c, &e) < 0)
		status = cli_fatal("%s", e.message);
	for (unsigned int i = 0; i < c->n; i++)
		status |= call(c, c->names[i]);
	free(c->names);
	return status;
}

int guests_main(const struct cli_command *command, int argc, char **argv)
{
	struct wish w = { .command = command };
	struct calls c = { .w = &w };
	yyjson_mut_doc *doc;
	int status = cli_parse(command, argc, argv, take_option, &w);

	if (status >= 0)
		return status;
	if (!w.name && !w.all)
		return cli_misused(command, "which guest? give --name NAME%s; lkvm list shows them", takes_all(command) ? " or --all" : "");
	doc = yyjson_mut_doc_new(NULL);
	if (!doc)
		return cli_fatal("out of memory");
	status = make_params(&w, doc);
	if (!status) {
		char *params = yyjson_mut_write(doc, 0, NULL);

		c.params = params;
		status = w.all ? call_all(&c) : call(&c, w.name);
		free(params);
	}
	yyjson_mut_doc_free(doc);
	return status;
}

/* ---- list ---- */

struct list {
	bool run, rootfs;
};

static int take_list_option(void *ctx, const char *name, const char *value)
{
	struct list *l = ctx;

	if (!name)
		return cli_misused(cli_find_command("list"), "what is \"%s\"? list takes options only", value);
	*(strcmp(name, "run") ? &l->rootfs : &l->run) = true;
	return 0;
}

static int print_guest(void *ctx, const char *name, int pid)
{
	struct lkvm_error e = { 0 };
	yyjson_doc *doc = NULL;
	const char *state = NULL;
	char *reply = NULL;

	if (!lkvm_guest_control(name, "state", NULL, STATE_TIMEOUT_MS, &reply, &e) && (doc = yyjson_read(reply, strlen(reply), 0)))
		state = yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "state"));
	printf("%6d %-20s %s\n", pid, name, state ? state : "does not answer");
	yyjson_doc_free(doc);
	free(reply);
	return 0;
}

static void print_roots(void)
{
	char path[4096], inner[4608];
	struct dirent **entries;
	struct stat st;
	int n;

	if (!run_root_path(path, sizeof(path), "") || (n = scandir(path, &entries, NULL, alphasort)) < 0)
		return;
	for (int i = 0; i < n; i++) {
		snprintf(inner, sizeof(inner), "%s%s", path, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.' && !stat(inner, &st) && S_ISDIR(st.st_mode))
			printf("%6s %-20s root folder\n", "", entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
}

int list_main(const struct cli_command *command, int argc, char **argv)
{
	struct lkvm_error e = { 0 };
	struct list l = { 0 };
	int status = cli_parse(command, argc, argv, take_list_option, &l);

	if (status >= 0)
		return status;
	printf("%6s %-20s %s\n------------------------------------\n", "PID", "NAME", "STATE");
	if (!l.rootfs || l.run)
		if (lkvm_guests(print_guest, NULL, &e) < 0)
			return cli_fatal("%s", e.message);
	if (!l.run || l.rootfs)
		print_roots();
	return 0;
}
