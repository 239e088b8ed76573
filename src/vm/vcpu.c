// SPDX-License-Identifier: MIT
/* The body of a vCPU thread: run the guest, answer its exit, until the VM ends. */
#include <errno.h>
#include <inttypes.h>

#include "base/endian.h"
#include "base/sys.h"
#include "vm/vm.h"

static void count(atomic_ulong *n)
{
	/* One writer: no locked instruction needed. */
	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1, memory_order_relaxed);
}

static void handle_mmio(struct lkvm_vm *vm, struct vm_vcpu *v, const struct hv_exit *x)
{
	struct bus_reader *reader = &vm->machine.vcpu[v->index].reader;
	bool taken;

	if (x->mmio.is_write) {
		count(&v->stat.mmio_writes);
		taken = bus_write(vm->machine.bus, reader, x->mmio.gpa, x->mmio.data, x->mmio.len);
	} else {
		count(&v->stat.mmio_reads);
		taken = bus_read(vm->machine.bus, reader, x->mmio.gpa, x->mmio.data, x->mmio.len);
	}
	if (taken)
		return;
	count(&v->stat.unclaimed);
	if (vm->config->debug_mmio)
		log_line(&vm->log, LOG_ERROR, "vCPU %u: %s of %u bytes at 0x%" PRIx64 " reaches no device, data 0x%" PRIx64,
			 v->index, x->mmio.is_write ? "write" : "read", x->mmio.len, x->mmio.gpa,
			 get_le(x->mmio.data, x->mmio.len));
}

void vm_log_registers(struct lkvm_vm *vm, unsigned int i, enum log_level level)
{
	char text[2048] = "";

	vm->machine.arch->dump_vcpu(&vm->machine, i, text, sizeof(text));
	for (char *line = text, *next; *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = 0;
		log_line(&vm->log, level, "%s", line);
	}
}

static void fail(struct lkvm_vm *vm, struct vm_vcpu *v, struct err *e)
{
	vm_log_registers(vm, v->index, LOG_ERROR);
	vm_end(vm, LKVM_END_ERROR, e);
}

/* True: the vCPU goes on. */
static bool judge(struct lkvm_vm *vm, struct vm_vcpu *v, enum arch_verdict verdict, struct err *e)
{
	static const enum lkvm_end_reason ends[] = {
		[ARCH_POWEROFF] = LKVM_END_POWEROFF,
		[ARCH_REBOOT] = LKVM_END_REBOOT,
		[ARCH_PANIC] = LKVM_END_PANIC,
	};

	switch (verdict) {
	case ARCH_CONTINUE:
		return true;
	case ARCH_SUSPEND:
		vm_suspend(vm);
		return true;
	case ARCH_HALTED:
		vm_end(vm, LKVM_END_HALTED, e);
		return false;
	case ARCH_ERROR:
		fail(vm, v, e);
		return false;
	default:
		vm_end(vm, ends[verdict], NULL);
		return false;
	}
}

static void run(struct lkvm_vm *vm, struct vm_vcpu *v)
{
	struct machine *m = &vm->machine;
	struct hv_vcpu *hv = m->vcpu[v->index].hv;
	const struct hv_ops *ops = m->hv->ops;
	struct err e = { 0 };
	struct hv_exit x;
	int r;

	r = ops->vcpu_bind(hv);
	if (r < 0) {
		err_set(&e, r, "vCPU %u cannot be bound to its thread: %s", v->index, err_name(r));
		vm_end(vm, LKVM_END_ERROR, &e);
		return;
	}
	r = m->affinity ? sys_set_affinity(m->affinity, MACHINE_MAX_HOST_CPUS) : 0;
	if (r < 0) {
		err_set(&e, r, "vCPU %u cannot run on the host CPUs that --vcpu-affinity gives it: %s; give some that are online", v->index, err_name(r));
		vm_end(vm, LKVM_END_ERROR, &e);
		return;
	}
	/* Somebody may hold the VM from its start on. */
	if (!vm_gate(vm))
		return;
	for (;;) {
		bool wait = false;

		if (m->arch->before_run && !judge(vm, v, m->arch->before_run(m, v->index, &wait, &e), &e))
			return;
		if (wait) {
			ops->vcpu_wait(hv);
			if (!vm_gate(vm))
				return;
			continue;
		}
		r = ops->vcpu_run(hv, &x);
		count(&v->stat.exits);
		if (r < 0) {
			err_set(&e, r, "vCPU %u cannot run: %s%s", v->index, err_name(r),
				r == -EOPNOTSUPP ? "; the guest fetches instructions where it has no RAM" :
				r == -EFAULT	 ? "; the guest's RAM has no memory of the host behind it" : "");
			fail(vm, v, &e);
			return;
		}
		switch (x.kind) {
		case HV_EXIT_INTR:
			/* The one place to park: the interrupted run has completed a pending MMIO access. */
			count(&v->stat.interrupted);
			if (!vm_gate(vm))
				return;
			break;
		case HV_EXIT_MMIO:
			coalescer_drain(m->coalescer);
			handle_mmio(vm, v, &x);
			break;
		default:
			count(&v->stat.other);
			coalescer_drain(m->coalescer);
			if (!judge(vm, v, m->arch->handle_exit(m, v->index, &x, &e), &e))
				return;
		}
	}
}

void *vm_vcpu_main(void *ctx)
{
	struct vm_vcpu *v = ctx;

	run(v->vm, v);
	vm_leave(v->vm);
	return NULL;
}
