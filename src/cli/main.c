// SPDX-License-Identifier: MIT
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lkvm/lkvm.h>

static void on_event(void *ctx, struct lkvm_vm *vm, const struct lkvm_event *event)
{
	if (event->type == LKVM_EVENT_LOG)
		fprintf(stderr, "  %s\n", event->text);
}

int main(int argc, char **argv)
{
	static struct option longs[256];
	static char shorts[256];
	const struct lkvm_callbacks cb = { on_event, NULL };
	struct lkvm_option o;
	struct lkvm_error e = { 0 };
	struct lkvm_config *config;
	struct lkvm_vm *vm = NULL;
	struct lkvm_end end;
	unsigned int n = 0;
	int c, index;

	lkvm_config_create(&config);
	for (; !lkvm_option_get(n, &o); n++) {
		longs[n] = (struct option){ o.name, o.value ? required_argument : no_argument, NULL, 0 };
		if (o.letter)
			sprintf(shorts + strlen(shorts), "%c%s", o.letter, o.value ? ":" : "");
	}
	while ((c = getopt_long(argc - 1, argv + 1, shorts, longs, &index)) != -1) {
		if (c == '?')
			return 2;
		for (unsigned int i = 0; c && !lkvm_option_get(i, &o); i++)
			if (o.letter == c)
				index = (int)i;
		if (lkvm_config_set(config, longs[index].name, optarg, &e) < 0)
			goto fail;
	}
	lkvm_config_set_console(config, 0, 0, 1);
	if (lkvm_create(config, &cb, &vm, &e) < 0 || lkvm_start(vm, &e) < 0)
		goto fail;
	lkvm_wait(vm, &end);
	if (end.reason == LKVM_END_ERROR)
		fprintf(stderr, "  Fatal: %s\n", end.error.message);
	lkvm_destroy(vm);
	lkvm_config_destroy(config);
	return end.exit_status;
fail:
	fprintf(stderr, "  Fatal: %s\n", e.message);
	lkvm_destroy(vm);
	lkvm_config_destroy(config);
	return 1;
}
