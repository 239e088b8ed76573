// SPDX-License-Identifier: MIT
/*
 * state HOW KERNEL [NAME=VALUE]...: a guest whose machine's state is taken away, on a real KVM. The options are lkvm_config_set's, the guest's console is standard output.
 * HOW is a row of hows[]. Exit status 0 when it powered off (each time) and all was as it should be.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/util.h"
#include "hw/uart8250.h"
#include "loop/loop.h"
#include "vm/vm.h"

#define RESTARTS 3
#define FORGOTTEN 10 /* rounds before it is forgotten, whenever the guest has set it up again */

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	return 1;
}

struct subject {
	const struct how *how;
	struct lkvm_config *config;
	struct lkvm_vm *vm;
};

struct how {
	const char *name, *what;
	int (*run)(struct subject *s);
	unsigned int every_us; /* at most, between two pauses */
	unsigned int rounds;   /* so many must find the guest at work */
};

/* --- restart: runs once more in the same VM; vCPUs, interrupt controller and RAM are reset in place --- */

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
	for (unsigned int i = 0; i < vm->n_virtio; i++) {
		virtio_lock(vm->virtio[i].vd);
		virtio_set_status(vm->virtio[i].vd, 0);
		virtio_unlock(vm->virtio[i].vd);
	}
	return vm->machine.arch->load(&vm->machine, e);
}

static int create(struct subject *s)
{
	struct lkvm_error e = { 0 };

	return lkvm_create(s->config, NULL, &s->vm, &e) < 0 ? fail("create", e.message) : 0;
}

static int start(struct lkvm_vm *vm)
{
	struct lkvm_error e = { 0 };

	return lkvm_start(vm, &e) < 0 ? fail("start", e.message) : 0;
}

static int end(struct lkvm_vm *vm)
{
	struct lkvm_end end = { 0 };

	if (lkvm_wait(vm, &end) < 0 || end.reason != LKVM_END_POWEROFF)
		return fail("end", end.error.message[0] ? end.error.message : "no power-off");
	return 0;
}

static int restart(struct subject *s)
{
	struct lkvm_vm *vm = s->vm;
	struct err e = { 0 };

	for (unsigned int i = 0; i < RESTARTS; i++)
		if ((i && again(vm, &e) < 0 && fail("reset", e.text)) || start(vm) || end(vm))
			return 1;
	return 0;
}

/* --- what is done to a guest while it runs, time and again --- */

struct blob {
	void *data;
	int64_t len; /* or -errno */
};

static void drop(struct blob *b)
{
	free(b->data);
	*b = (struct blob){ 0 };
}

static bool same(const struct blob *a, const struct blob *b)
{
	return a->len == b->len && !memcmp(a->data, b->data, (size_t)a->len);
}

struct round {
	struct lkvm_vm *vm;
	struct blob before, after;
	unsigned int n;		 /* that found the guest at work */
	bool at_work, forget;
	const char *wrong;
	struct err e;
};

static bool save_irqchip(struct round *r, struct blob *b)
{
	struct machine *m = &r->vm->machine;

	drop(b);
	b->len = m->arch->save_irqchip(m, NULL, 0);
	b->data = b->len > 0 ? malloc((size_t)b->len) : NULL;
	if (b->data)
		b->len = m->arch->save_irqchip(m, b->data, (size_t)b->len);
	if (!b->data || b->len <= 0)
		r->wrong = "the interrupt controller cannot be saved";
	return !r->wrong;
}

/* On the loop thread, with vCPUs and virtio devices paused: nobody moves a line meanwhile. */
static void take_irqchip(void *ctx)
{
	struct round *r = ctx;
	struct machine *m = &r->vm->machine;

	if (!save_irqchip(r, &r->before))
		return;
	if (m->arch->reset_irqchip(m, &r->e) < 0) {
		r->wrong = "the interrupt controller cannot be reset";
		return;
	}
	if (!save_irqchip(r, &r->after))
		return;
	/* Else the guest has not begun with it, or is done. */
	r->at_work = !same(&r->before, &r->after);
	if (r->at_work && r->forget && r->n >= FORGOTTEN)
		return;
	if (m->arch->load_irqchip(m, r->before.data, (size_t)r->before.len, &r->e) < 0)
		r->wrong = "the interrupt controller cannot be loaded";
	else if (save_irqchip(r, &r->after) && !same(&r->before, &r->after))
		r->wrong = "the interrupt controller is not what was loaded";
}

static void only_pause(void *ctx)
{
	struct round *r = ctx;

	r->at_work = true;
}

/* Not the same time each time. */
static void sleep_some(const struct subject *s)
{
	usleep((unsigned int)rand() % s->how->every_us);
}

static int enough(const struct subject *s, unsigned int n)
{
	printf("# %u times, on a guest at work\n", n);
	fflush(stdout);
	return n < s->how->rounds ? fail("rounds", "too few of them found the guest at work") : 0;
}

/* Rounds until the guest ends by itself. */
static int rounds(const struct subject *s, struct round *r, void (*fn)(void *ctx))
{
	while (!r->wrong) {
		sleep_some(s);
		r->at_work = false;
		if (lkvm_pause(r->vm) < 0)
			break;
		loop_call(r->vm->machine.loop, fn, r);
		r->n += r->at_work;
		/* The guest may have ended since. */
		lkvm_resume(r->vm);
	}
	if (r->wrong) {
		lkvm_stop(r->vm);
		return fail(r->wrong, r->e.text);
	}
	return enough(s, r->n);
}

static int take(struct subject *s, bool forget)
{
	struct round r = { .vm = s->vm, .forget = forget };
	int status = 1;

	if (!s->vm->machine.arch->save_irqchip)
		fail("irqchip", "this architecture's cannot be saved");
	else
		status = start(s->vm) || rounds(s, &r, take_irqchip) || end(s->vm);
	drop(&r.before);
	drop(&r.after);
	return status;
}

static int irqchip(struct subject *s)
{
	return take(s, false);
}

static int forget(struct subject *s)
{
	return take(s, true);
}

static int pause_only(struct subject *s)
{
	struct round r = { .vm = s->vm };

	return start(s->vm) || rounds(s, &r, only_pause) || end(s->vm);
}

/* --- move --- */

static bool save_vm(struct lkvm_vm *vm, struct blob *b, struct err *e)
{
	b->len = vm_save(vm, NULL, 0, e);
	b->data = b->len > 0 ? malloc((size_t)b->len) : NULL;
	return b->data && vm_save(vm, b->data, (size_t)b->len, e) == b->len;
}

/* The VM's RAM, one region, into `ram` or out of it. */
static void copy_ram(struct lkvm_vm *vm, void *ram, bool out)
{
	const struct memory_region *r = &vm->machine.memory->region[0];

	memcpy(out ? ram : r->host, out ? r->host : ram, r->size);
}

/* A paused guest's way into another VM. */
static int move_once(struct subject *s, void *ram)
{
	struct blob state = { 0 };
	struct err e = { 0 };
	int status = save_vm(s->vm, &state, &e) ? 0 : fail("save", e.text);

	if (!status) {
		copy_ram(s->vm, ram, true);
		/* Its disks let nobody else have them. */
		lkvm_destroy(TAKE(s->vm));
		status = create(s);
	}
	if (!status) {
		copy_ram(s->vm, ram, false);
		status = vm_load(s->vm, state.data, (size_t)state.len, &e) < 0 ? fail("load", e.text) : start(s->vm);
	}
	drop(&state);
	return status;
}

static int move(struct subject *s)
{
	void *ram = malloc(s->vm->machine.ram_size);
	int status = ram ? start(s->vm) : fail("move", "not enough memory");
	unsigned int n = 0;
	uint64_t began;

	while (!status) {
		sleep_some(s);
		if (lkvm_pause(s->vm) < 0)
			break;
		began = sys_now_ns();
		status = move_once(s, ram);
		/* A large guest on a slow host gets a third of the time all the same. */
		usleep((unsigned int)((sys_now_ns() - began) / 2000));
		n++;
	}
	free(ram);
	return status || end(s->vm) || enough(s, n);
}

static const struct how hows[] = {
	{ "restart", "it runs three times in one VM; vCPUs, interrupt controller and RAM are reset in place", restart, 0, 0 },
	{ "pause", "it is paused and resumed, time and again", pause_only, 20000, 15 },
	{ "irqchip", "in each pause its interrupt controller is saved, reset, and loaded", irqchip, 20000, 15 },
	{ "forget", "after some rounds its interrupt controller is reset and not loaded again: it should miss something", forget, 20000, FORGOTTEN + 1 },
	{ "move", "in each pause it moves to another VM, with all its machine's state", move, 100000, 3 },
};

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
	struct subject s = { .how = hows };
	struct lkvm_error error = { 0 };
	int status;

	while (argc > 2 && s.how < hows + ARRAY_SIZE(hows) && strcmp(s.how->name, argv[1]))
		s.how++;
	if (argc < 3 || s.how == hows + ARRAY_SIZE(hows)) {
		fprintf(stderr, "usage: state HOW KERNEL [NAME=VALUE]...\n");
		for (s.how = hows; s.how < hows + ARRAY_SIZE(hows); s.how++)
			fprintf(stderr, "  %-8s %s\n", s.how->name, s.how->what);
		return 2;
	}
	if (lkvm_config_create(&s.config) < 0)
		return fail("state", "not enough memory");
	if (lkvm_config_set(s.config, "kernel", argv[2], &error) < 0 || configure(s.config, argv + 3, &error) < 0 ||
	    lkvm_config_set_console(s.config, 0, -1, STDOUT_FILENO) < 0)
		status = fail("state", error.message);
	else
		status = create(&s) || s.how->run(&s);
	lkvm_destroy(s.vm);
	lkvm_config_destroy(s.config);
	return status;
}
