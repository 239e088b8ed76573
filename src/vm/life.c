// SPDX-License-Identifier: MIT
/*
 * Life and death of a VM. vCPU threads run while nothing holds them; a hold kicks them, each parks in vm_gate(), and the last one
 * to park wakes whoever waits. A vCPU parks only after an interrupted run, when no MMIO access of it is half done. The first reason to end wins. vm->lock is a leaf.
 */
#include <errno.h>
#include <stdio.h>

#include "base/sys.h"
#include "vm/vm.h"

static const int exit_status[] = {
	[LKVM_END_POWEROFF] = 0,
	[LKVM_END_REBOOT] = 3,
	[LKVM_END_PANIC] = 4,
	[LKVM_END_STOPPED] = 0,
	[LKVM_END_HALTED] = 5,
	[LKVM_END_ERROR] = 1,
};

/* vm->lock held: who leaves takes it first, and nobody is joined before the end, so no thread is kicked that is gone. */
static void kick_all(struct lkvm_vm *vm)
{
	for (unsigned int i = 0; i < vm->machine.n_vcpus; i++)
		if (vm->machine.vcpu[i].hv)
			vm->machine.hv->ops->vcpu_kick(vm->machine.vcpu[i].hv);
}

void vm_event(struct lkvm_vm *vm, enum lkvm_event_type type)
{
	struct lkvm_event event = { .type = type };

	if (type == LKVM_EVENT_ENDED)
		event.end = &vm->end;
	if (vm->callbacks.event)
		vm->callbacks.event(vm->callbacks.ctx, vm, &event);
}

static void say_ended(void *ctx)
{
	vm_event(ctx, LKVM_EVENT_ENDED);
}

void vm_end(struct lkvm_vm *vm, enum lkvm_end_reason reason, const struct err *e)
{
	bool first;

	pthread_mutex_lock(&vm->lock);
	first = !vm->has_end;
	if (first) {
		vm->has_end = true;
		vm->end.reason = reason;
		vm->end.exit_status = exit_status[reason];
		if (e)
			vm_error_copy(&vm->end.error, e);
		vm->state = VM_ENDED;
		pthread_cond_broadcast(&vm->changed);
		kick_all(vm);
	}
	pthread_mutex_unlock(&vm->lock);
	if (first)
		loop_post(vm->machine.loop, say_ended, vm);
}

/* The last vCPU to stop makes the guest's own suspend known. vm->lock held. */
static bool all_stopped(struct lkvm_vm *vm)
{
	bool say = false;

	if (--vm->n_running == 0) {
		say = vm->suspended && !vm->said_suspended && vm->state == VM_RUNNING;
		vm->said_suspended |= say;
		pthread_cond_broadcast(&vm->changed);
	}
	return say;
}

bool vm_gate(struct lkvm_vm *vm)
{
	bool go_on;

	pthread_mutex_lock(&vm->lock);
	if (vm->state == VM_RUNNING && vm->holds) {
		if (all_stopped(vm)) {
			pthread_mutex_unlock(&vm->lock);
			vm_event(vm, LKVM_EVENT_SUSPENDED);
			pthread_mutex_lock(&vm->lock);
		}
		while (vm->state == VM_RUNNING && vm->holds)
			pthread_cond_wait(&vm->changed, &vm->lock);
		vm->n_running++;
	}
	go_on = vm->state == VM_RUNNING;
	pthread_mutex_unlock(&vm->lock);
	return go_on;
}

void vm_leave(struct lkvm_vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	all_stopped(vm);
	pthread_mutex_unlock(&vm->lock);
}

int vm_hold(struct lkvm_vm *vm)
{
	bool running;

	pthread_mutex_lock(&vm->lock);
	running = vm->state == VM_RUNNING;
	if (!running) {
		pthread_mutex_unlock(&vm->lock);
		return -ESRCH;
	}
	vm->holds++;
	kick_all(vm);
	while (vm->n_running)
		pthread_cond_wait(&vm->changed, &vm->lock);
	running = vm->state == VM_RUNNING;
	if (!running)
		vm->holds--;
	pthread_mutex_unlock(&vm->lock);
	return running ? 0 : -ESRCH;
}

void vm_release(struct lkvm_vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	if (--vm->holds == 0)
		pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
}

void vm_suspend(struct lkvm_vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	if (vm->state == VM_RUNNING && !vm->suspended) {
		vm->suspended = true;
		vm->said_suspended = false;
		vm->holds++;
		kick_all(vm);
	}
	pthread_mutex_unlock(&vm->lock);
}

static void *loop_main(void *ctx)
{
	struct lkvm_vm *vm = ctx;
	int r = loop_run(vm->machine.loop);

	if (r < 0) {
		struct err e = { 0 };

		err_set(&e, r, "the event loop failed: %s", err_name(r));
		vm_end(vm, LKVM_END_ERROR, &e);
		/* Nobody takes posts any more, and ENDED may be among them. */
		loop_turn(vm->machine.loop, 0);
	}
	return NULL;
}

/* False: it is not new any more. */
static bool leave_created(struct lkvm_vm *vm)
{
	bool created;

	pthread_mutex_lock(&vm->pause_lock);
	pthread_mutex_lock(&vm->lock);
	created = vm->state == VM_CREATED;
	if (created) {
		vm->state = VM_RUNNING;
		vm->started_ns = sys_now_ns();
	}
	pthread_mutex_unlock(&vm->lock);
	/* As vm_load() leaves them. */
	for (unsigned int i = 0; created && i < vm->n_virtio; i++)
		virtio_resume(vm->virtio[i].vd);
	pthread_mutex_unlock(&vm->pause_lock);
	return created;
}

static int start(struct lkvm_vm *vm, struct err *e)
{
	int r;

	if (!leave_created(vm))
		return err_set(e, -EBUSY, "this virtual machine was started before");
	r = sys_thread_start(loop_main, vm, "lkvm-loop", &vm->loop_thread);
	if (r < 0)
		return err_set(e, r, "a thread cannot be started: %s", err_name(r));
	vm->loop_started = true;
	for (unsigned int i = 0; i < vm->machine.n_vcpus; i++) {
		char name[32];

		snprintf(name, sizeof(name), "lkvm-vcpu-%u", i);
		pthread_mutex_lock(&vm->lock);
		vm->n_running++;
		pthread_mutex_unlock(&vm->lock);
		r = sys_thread_start(vm_vcpu_main, &vm->vcpu[i], name, &vm->vcpu[i].thread);
		if (r < 0) {
			pthread_mutex_lock(&vm->lock);
			vm->n_running--;
			pthread_mutex_unlock(&vm->lock);
			err_set(e, r, "vCPU thread %u cannot be started: %s", i, err_name(r));
			vm_end(vm, LKVM_END_ERROR, e);
			return r;
		}
		vm->vcpu[i].started = true;
	}
	vm_event(vm, LKVM_EVENT_STARTED);
	return 0;
}

int lkvm_start(struct lkvm_vm *vm, struct lkvm_error *e)
{
	struct err err = { 0 };
	int r = start(vm, &err);

	if (r < 0)
		vm_error_copy(e, &err);
	return r;
}

/* Everything that was started is gone when this returns. */
static void join_all(struct lkvm_vm *vm)
{
	if (vm->joined)
		return;
	for (unsigned int i = 0; i < vm->machine.n_vcpus; i++)
		if (vm->vcpu[i].started)
			pthread_join((pthread_t)vm->vcpu[i].thread, NULL);
	for (unsigned int i = 0; vm->config->debug && i < vm->machine.n_vcpus; i++)
		if (vm->vcpu[i].started)
			vm_log_registers(vm, i, LOG_DEBUG);
	pthread_mutex_lock(&vm->lock);
	vm->joined = true;
	pthread_mutex_unlock(&vm->lock);
	control_close(vm->control);
	vm->control = NULL;
	if (vm->loop_started) {
		/* Devices still need the loop to finish what is in flight. No device comes any more, as the state says, but one may be on its way. */
		pthread_mutex_lock(&vm->pause_lock);
		for (unsigned int i = 0; i < vm->n_virtio; i++)
			virtio_pause(vm->virtio[i].vd);
		pthread_mutex_unlock(&vm->pause_lock);
		loop_stop(vm->machine.loop);
		pthread_join((pthread_t)vm->loop_thread, NULL);
		vm->loop_started = false;
		/* It may have stopped before the last posts, and LKVM_EVENT_ENDED is one. */
		loop_turn(vm->machine.loop, 0);
	}
}

int lkvm_wait(struct lkvm_vm *vm, struct lkvm_end *ret)
{
	pthread_mutex_lock(&vm->lock);
	if (vm->state == VM_CREATED) {
		pthread_mutex_unlock(&vm->lock);
		return -EINVAL;
	}
	while (vm->state != VM_ENDED)
		pthread_cond_wait(&vm->changed, &vm->lock);
	pthread_mutex_unlock(&vm->lock);
	join_all(vm);
	if (ret)
		*ret = vm->end;
	return 0;
}

/* pause_lock: pauses and resumes, from any threads, come one after the other. Events are told without it. */
int lkvm_pause(struct lkvm_vm *vm)
{
	bool already;
	int r = 0;

	pthread_mutex_lock(&vm->pause_lock);
	pthread_mutex_lock(&vm->lock);
	already = vm->user_paused;
	pthread_mutex_unlock(&vm->lock);
	if (!already)
		r = vm_hold(vm);
	if (!already && r >= 0) {
		if (vm->machine.arch->hold)
			vm->machine.arch->hold(&vm->machine, true);
		for (unsigned int i = 0; i < vm->n_virtio; i++)
			virtio_pause(vm->virtio[i].vd);
		pthread_mutex_lock(&vm->lock);
		vm->user_paused = true;
		pthread_mutex_unlock(&vm->lock);
	}
	pthread_mutex_unlock(&vm->pause_lock);
	if (r < 0)
		return r;
	if (!already)
		vm_event(vm, LKVM_EVENT_PAUSED);
	return 0;
}

int lkvm_resume(struct lkvm_vm *vm)
{
	bool running, paused, suspended;

	pthread_mutex_lock(&vm->pause_lock);
	pthread_mutex_lock(&vm->lock);
	running = vm->state == VM_RUNNING;
	paused = running && vm->user_paused;
	suspended = running && vm->suspended;
	if (running)
		vm->user_paused = vm->suspended = false;
	pthread_mutex_unlock(&vm->lock);
	if (paused) {
		for (unsigned int i = 0; i < vm->n_virtio; i++)
			virtio_resume(vm->virtio[i].vd);
		if (vm->machine.arch->hold)
			vm->machine.arch->hold(&vm->machine, false);
		vm_release(vm);
	}
	if (suspended)
		vm_release(vm);
	pthread_mutex_unlock(&vm->pause_lock);
	if (!running)
		return -ESRCH;
	if (paused || suspended)
		vm_event(vm, LKVM_EVENT_RESUMED);
	return 0;
}

int lkvm_stop(struct lkvm_vm *vm)
{
	vm_end(vm, LKVM_END_STOPPED, NULL);
	return 0;
}

static void forward_log(void *ctx, enum log_level level, const char *line)
{
	struct lkvm_vm *vm = ctx;
	struct lkvm_event event = {
		.type = LKVM_EVENT_LOG,
		.level = (enum lkvm_log_level)level,
		.text = line,
	};

	if (vm->callbacks.event)
		vm->callbacks.event(vm->callbacks.ctx, vm, &event);
}

int vm_create_on(const struct lkvm_config *config, const struct lkvm_callbacks *callbacks, struct hv *hv,
		 struct lkvm_vm **ret, struct err *e)
{
	struct lkvm_vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm) {
		hv_destroy(hv);
		return err_set(e, -ENOMEM, "out of memory");
	}
	pthread_mutex_init(&vm->lock, NULL);
	pthread_mutex_init(&vm->pause_lock, NULL);
	pthread_cond_init(&vm->changed, NULL);
	for (unsigned int i = 0; i < CONFIG_CONSOLES; i++)
		vm->pty[i] = -1;
	if (callbacks)
		vm->callbacks = *callbacks;
	r = config_copy(config, &vm->config);
	if (r < 0) {
		hv_destroy(hv);
		err_set(e, r, "out of memory");
		goto fail;
	}
	vm->log = (struct log){
		.emit = forward_log,
		.ctx = vm,
		.level = config->debug ? LOG_DEBUG : (enum log_level)config->loglevel,
	};
	r = vm_assemble(vm, hv, e);
	if (r < 0)
		goto fail;
	*ret = vm;
	return 0;
fail:
	lkvm_destroy(vm);
	return r;
}

int lkvm_create(const struct lkvm_config *config, const struct lkvm_callbacks *callbacks, struct lkvm_vm **ret,
		struct lkvm_error *e)
{
	struct err err = { 0 };
	struct hv *hv;
	int r;

	if (!config->arch)
		r = err_set(&err, -EOPNOTSUPP, "guests cannot run on this machine's architecture yet; use a riscv64, arm64 or s390x host");
	else
		r = hv_kvm_create(config->dev, arch_gpa_bits(config->arch, config->mem_base, config->mem), &hv, &err);
	if (r >= 0)
		r = vm_create_on(config, callbacks, hv, ret, &err);
	if (r < 0)
		vm_error_copy(e, &err);
	return r;
}

void lkvm_destroy(struct lkvm_vm *vm)
{
	if (!vm)
		return;
	if (vm->state == VM_RUNNING)
		vm_end(vm, LKVM_END_STOPPED, NULL);
	if (vm->loop_started)
		join_all(vm);
	control_close(vm->control);
	vm_disassemble(vm);
	lkvm_config_destroy(vm->config);
	pthread_cond_destroy(&vm->changed);
	pthread_mutex_destroy(&vm->pause_lock);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}
