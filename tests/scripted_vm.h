/* SPDX-License-Identifier: MIT */
/* For tests: a whole RISC-V virtual machine over the scripted hypervisor, with a kernel of a few bytes. Compiled with riscv's UAPI headers. */
#ifndef LKVM_TESTS_SCRIPTED_VM_H
#define LKVM_TESTS_SCRIPTED_VM_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>

#include "arch/riscv/riscv.h"
#include "base/endian.h"
#include "base/sys.h"
#include "hv/scripted.h"
#include "tests/test.h"
#include "vm/vm.h"

#define TV_MAX_CPUS 4

struct test_vm {
	struct lkvm_config *config;
	struct lkvm_vm *vm;
	struct hv *hv; /* the VM's */
	struct lkvm_error e;
	struct hv_ops ops;
	const struct scripted_step *script[TV_MAX_CPUS];
	unsigned int script_len[TV_MAX_CPUS];
	struct scripted_cap caps[4];
	uint64_t regs[512];
	unsigned int n_regs;
	unsigned long fail_nth;
	int kernel_fd, console[2];
	char kernel[32];
	atomic_uint events[LKVM_EVENT_ENDED + 1];
	atomic_uint log_lines;
};

static const struct hv_ops *tv_inner;

/* What KVM would say of a hart. */
static int tv_create_vcpu(struct hv *hv, unsigned long id, struct hv_vcpu **ret)
{
	static const unsigned int exts[] = { KVM_RISCV_ISA_EXT_I, KVM_RISCV_ISA_EXT_M, KVM_RISCV_ISA_EXT_A, KVM_RISCV_ISA_EXT_SSTC };
	uint64_t on = 1, hz = 10000000, satp = 9;
	int r = tv_inner->create_vcpu(hv, id, ret);

	if (r < 0)
		return r;
	/* A call that shall fail may be one of these; the VM then sees a hart without that register's value. */
	for (unsigned int i = 0; i < ARRAY_SIZE(exts); i++)
		tv_inner->set_reg(*ret, RISCV_REG_ISA(exts[i]), &on);
	tv_inner->set_reg(*ret, RISCV_REG_TIMER(frequency), &hz);
	tv_inner->set_reg(*ret, RISCV_REG_CONFIG(satp_mode), &satp);
	return 0;
}

static void tv_event(void *ctx, struct lkvm_vm *vm, const struct lkvm_event *event)
{
	struct test_vm *t = ctx;

	atomic_fetch_add(&t->events[event->type], 1);
	if (event->type == LKVM_EVENT_LOG)
		atomic_fetch_add(&t->log_lines, 1);
}

static inline void tv_set(struct test_vm *t, const char *name, const char *value)
{
	struct lkvm_error e = { 0 };

	if (lkvm_config_set(t->config, name, value, &e) < 0) {
		fprintf(stderr, "--%s: %s\n", name, e.message);
		abort();
	}
}

static inline void tv_init(struct test_vm *t)
{
	static const uint32_t code[16] = { 0x10500073 }; /* wfi */

	memset(t, 0, sizeof(*t));
	if (config_create_for(&arch_riscv64, &t->config) < 0 || pipe2(t->console, O_CLOEXEC | O_NONBLOCK) < 0)
		abort();
	t->kernel_fd = memfd_create("kernel", MFD_CLOEXEC);
	if (t->kernel_fd < 0 || sys_write_all(t->kernel_fd, code, sizeof(code)) < 0)
		abort();
	snprintf(t->kernel, sizeof(t->kernel), "/proc/self/fd/%d", t->kernel_fd);
	for (unsigned int i = 0; i < riscv_n_reg_names; i++)
		for (unsigned int k = 0; k < MAX(riscv_reg_names[i].count, 1u) && t->n_regs < ARRAY_SIZE(t->regs); k++)
			if (!strstr(riscv_reg_names[i].name, "multi") && !strstr(riscv_reg_names[i].name, "vector"))
				t->regs[t->n_regs++] = riscv_reg_names[i].id + k;
	for (unsigned int i = 0; i < riscv_n_isa_exts && t->n_regs < ARRAY_SIZE(t->regs); i++)
		t->regs[t->n_regs++] = RISCV_REG_ISA(riscv_isa_exts[i].id);
	for (unsigned int i = 0; i < riscv_n_sbi_exts && t->n_regs < ARRAY_SIZE(t->regs); i++)
		t->regs[t->n_regs++] = RISCV_REG_SBI(riscv_sbi_exts[i].id);
	t->caps[0] = (struct scripted_cap){ KVM_CAP_MAX_VCPUS, TV_MAX_CPUS };
	t->caps[1] = (struct scripted_cap){ KVM_CAP_VM_GPA_BITS, 41 };
	t->caps[2] = (struct scripted_cap){ KVM_CAP_READONLY_MEM, 1 };
	t->caps[3] = (struct scripted_cap){ KVM_CAP_COALESCED_MMIO, 1 };
	tv_set(t, "kernel", t->kernel);
	tv_set(t, "mem", "32");
	tv_set(t, "nodefaults", NULL);
	lkvm_config_set_console(t->config, 0, -1, t->console[1]);
}

static inline int tv_create(struct test_vm *t)
{
	const struct lkvm_callbacks callbacks = { tv_event, t };
	const struct scripted_config sc = {
		.caps = t->caps,
		.n_caps = ARRAY_SIZE(t->caps),
		.regs = t->regs,
		.n_regs = t->n_regs,
		.scripts = t->script,
		.script_len = t->script_len,
		.n_scripts = TV_MAX_CPUS,
		.fail_nth = t->fail_nth,
	};
	struct err err = { 0 };
	int r;

	if (hv_scripted_create(&sc, &t->hv) < 0)
		abort();
	tv_inner = t->hv->ops;
	t->ops = *tv_inner;
	t->ops.create_vcpu = tv_create_vcpu;
	t->hv->ops = &t->ops;
	r = vm_create_on(t->config, &callbacks, t->hv, &t->vm, &err);
	if (r < 0)
		vm_error_copy(&t->e, &err);
	return r;
}

/* Creates and starts; aborts the test when that fails. */
static inline void tv_start(struct test_vm *t)
{
	if (tv_create(t) < 0 || lkvm_start(t->vm, &t->e) < 0) {
		fprintf(stderr, "the test's VM does not start: %s\n", t->e.message);
		abort();
	}
}

static inline void tv_done(struct test_vm *t)
{
	lkvm_destroy(t->vm);
	lkvm_config_destroy(t->config);
	close(t->kernel_fd);
	close(t->console[0]);
	close(t->console[1]);
}

/* From guest code in C (STEP_CALL): an access of the guest's, as KVM and lkvm would treat it. */
static inline void tv_guest_put(struct lkvm_vm *vm, struct hv_vcpu *vcpu, uint64_t gpa, uint64_t v, unsigned int len)
{
	uint8_t data[8];

	put_le64(data, v);
	if (hv_scripted_guest_write(vcpu->hv, gpa, data, len))
		return;
	coalescer_drain(vm->machine.coalescer);
	bus_write(vm->machine.bus, &vm->machine.vcpu[vcpu->id].reader, gpa, data, len);
}

static inline uint32_t tv_guest_get(struct lkvm_vm *vm, struct hv_vcpu *vcpu, uint64_t gpa, unsigned int len)
{
	uint8_t data[8] = { 0 };

	if (!hv_scripted_guest_read(vcpu->hv, gpa, data, len)) {
		coalescer_drain(vm->machine.coalescer);
		bus_read(vm->machine.bus, &vm->machine.vcpu[vcpu->id].reader, gpa, data, len);
	}
	return get_le32(data);
}

/* What the guest printed so far. */
static inline const char *tv_console(struct test_vm *t, char *buf, size_t size)
{
	ssize_t n = read(t->console[0], buf, size - 1);

	buf[MAX(n, 0)] = 0;
	return buf;
}

/* Waits up to 5 s for an event to have come `n` times. */
static inline bool tv_saw(struct test_vm *t, enum lkvm_event_type type, unsigned int n)
{
	for (int i = 0; i < 500 && atomic_load(&t->events[type]) < n; i++)
		poll(NULL, 0, 10);
	return atomic_load(&t->events[type]) >= n;
}

#endif
