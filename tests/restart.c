// SPDX-License-Identifier: MIT
/*
 * restart KERNEL [NAME=VALUE]...: a guest that runs to its power-off, and then once more in the same VM: vCPUs, interrupt controller and RAM are reset in place, on a
 * real KVM. The options are lkvm_config_set's. Exit status 0 when it powered off each time; its console is standard output.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hw/uart8250.h"
#include "vm/vm.h"

#define ROUNDS 3

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	return 1;
}

/* What life.c knows of a VM that has ended, forgotten. */
static int again(struct lkvm_vm *vm, struct err *e)
{
	vm->state = VM_CREATED;
	vm->joined = vm->has_end = false;
	for (unsigned int i = 0; i < vm->machine.n_vcpus; i++)
		vm->vcpu[i].started = false;
	for (unsigned int i = 0; i < CONFIG_CONSOLES; i++)
		if (vm->uart[i])
			uart8250_reset(vm->uart[i]);
	return vm->machine.arch->load(&vm->machine, e);
}

static int configure(struct lkvm_config *c, char **words, struct lkvm_error *e)
{
	int r = lkvm_config_set(c, "nodefaults", NULL, e);

	for (; r >= 0 && *words; words++) {
		char *value = strchr(*words, '=');

		if (value)
			*value++ = 0;
		r = lkvm_config_set(c, *words, value, e);
	}
	return r;
}

int main(int argc, char **argv)
{
	struct lkvm_config *config = NULL;
	struct lkvm_vm *vm = NULL;
	struct lkvm_error error = { 0 };
	struct lkvm_end end = { 0 };
	struct err e = { 0 };
	int status = 0;

	if (argc < 2)
		return fail("usage", "restart KERNEL [NAME=VALUE]...");
	if (lkvm_config_create(&config) < 0)
		return fail("restart", "not enough memory");
	if (lkvm_config_set(config, "kernel", argv[1], &error) < 0 || configure(config, argv + 2, &error) < 0 ||
	    lkvm_config_set_console(config, 0, -1, STDOUT_FILENO) < 0 || lkvm_create(config, NULL, &vm, &error) < 0)
		return fail("restart", error.message);
	for (unsigned int i = 0; !status && i < ROUNDS; i++) {
		if (i && again(vm, &e) < 0)
			status = fail("reset", e.text);
		else if (lkvm_start(vm, &error) < 0)
			status = fail("start", error.message);
		else if (lkvm_wait(vm, &end) < 0 || end.reason != LKVM_END_POWEROFF)
			status = fail("end", end.error.message[0] ? end.error.message : "no power-off");
	}
	lkvm_destroy(vm);
	lkvm_config_destroy(config);
	return status;
}
