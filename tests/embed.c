// SPDX-License-Identifier: MIT
/*
 * An example of embedding: two virtual machines in one process, at the same time, each with a console of its own.
 *
 *	cc embed.c $(pkg-config --static --cflags --libs lkvm) && ./a.out Image initrd
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <lkvm/lkvm.h>

#define GUESTS 2

struct guest {
	char name[16];
	struct lkvm_config *config;
	struct lkvm_vm *vm;
	int console[2]; /* a pipe: the guest writes to [1] */
	pthread_t reader;
};

/* Each line of a guest's console, with the guest's name in front. */
static void *show_console(void *ctx)
{
	struct guest *g = ctx;
	FILE *f = fdopen(g->console[0], "r");
	char line[1024];

	while (f && fgets(line, sizeof(line), f)) {
		printf("%s: %s%s", g->name, line, strchr(line, '\n') ? "" : "\n");
		fflush(stdout);
	}
	if (f)
		fclose(f);
	return NULL;
}

static void on_event(void *ctx, struct lkvm_vm *vm, const struct lkvm_event *event)
{
	const struct guest *g = ctx;

	(void)vm;
	if (event->type == LKVM_EVENT_LOG)
		fprintf(stderr, "%s: %s\n", g->name, event->text);
}

static int boot(struct guest *g, const char *kernel, const char *initrd, struct lkvm_error *e)
{
	const struct lkvm_callbacks callbacks = { on_event, g };

	if (pipe(g->console) || lkvm_config_create(&g->config) < 0)
		return -1;
	if (lkvm_config_set(g->config, "kernel", kernel, e) < 0 ||
	    (initrd && lkvm_config_set(g->config, "initrd", initrd, e) < 0) ||
	    lkvm_config_set(g->config, "params", "quiet lkvmtest=poweroff", e) < 0 ||
	    lkvm_config_set(g->config, "mem", "160M", e) < 0 ||
	    lkvm_config_set_console(g->config, 0, -1, g->console[1]) < 0 ||
	    lkvm_create(g->config, &callbacks, &g->vm, e) < 0)
		return -1;
	if (pthread_create(&g->reader, NULL, show_console, g))
		return -1;
	return lkvm_start(g->vm, e);
}

int main(int argc, char **argv)
{
	struct guest guests[GUESTS] = { 0 };
	struct lkvm_error e = { 0 };
	int failed = 0;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: %s KERNEL [INITRD]\n", argv[0]);
		return 2;
	}
	for (int i = 0; i < GUESTS; i++) {
		snprintf(guests[i].name, sizeof(guests[i].name), "guest%d", i);
		if (boot(&guests[i], argv[1], argv[2], &e) < 0) {
			fprintf(stderr, "%s: %s\n", guests[i].name, e.code ? e.message : "out of resources");
			return 1;
		}
	}
	for (int i = 0; i < GUESTS; i++) {
		struct guest *g = &guests[i];
		struct lkvm_end end;

		lkvm_wait(g->vm, &end);
		lkvm_destroy(g->vm);
		lkvm_config_destroy(g->config);
		close(g->console[1]);
		pthread_join(g->reader, NULL);
		printf("%s ended with status %d%s%s\n", g->name, end.exit_status, end.error.code ? ": " : "",
		       end.error.message);
		failed |= end.exit_status;
	}
	return failed;
}
