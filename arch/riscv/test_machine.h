// SPDX-License-Identifier: MIT
/* For tests: a RISC-V machine over the scripted hypervisor, with a register file like a host's, and files that have no name. */
#ifndef LKVM_ARCH_RISCV_TEST_MACHINE_H
#define LKVM_ARCH_RISCV_TEST_MACHINE_H

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "arch/riscv/riscv.h"
#include "arch/test_common.h"
#include "base/endian.h"
#include "base/sys.h"
#include "hv/compat_kvm.h"

#define TM_MAX_REGS 512
#define TM_RAM MIB(64)

struct test_machine {
	struct machine m;
	struct machine_vcpu vcpus[8];
	struct riscv_config config;
	struct hv_ops inner, ops; /* the scripted ones; with ours in between */
	uint64_t regs[TM_MAX_REGS];
	unsigned int n_regs;
	struct scripted_cap caps[8];
	struct scripted_config scripted;
	struct log log;
	/* what the in-between ops saw */
	unsigned int aia_ids, n_attrs, n_irq_line, n_init;
	uint32_t aia_mode; /* as set last, UINT32_MAX: never */
	uint64_t aplic, imsic[8];
	char lines[32]; /* U and D, in order; E: an edge of the kernel's PLIC */
	/* the PLIC in the kernel: whether there is one, what was set, and what it is to have as its state */
	bool plic_kernel, plic_made;
	uint32_t plic_sources, plic_contexts;
	uint64_t plic_base;
	unsigned int n_plic_init, n_plic_reset, n_irqfds;
	struct kvm_riscv_plic_state plic_state;
	char console[256];
	size_t n_console;
	const char *input;
};

/* The test under way; a test has one machine at a time. */
static struct test_machine *tm_current;
static const struct hv_ops *tm_inner;

static int tm_create_vcpu(struct hv *hv, unsigned long id, struct hv_vcpu **ret)
{
	uint64_t on = 1, hz = 10000000, satp = 9, block = 64;
	static const unsigned int exts[] = {
		KVM_RISCV_ISA_EXT_I, KVM_RISCV_ISA_EXT_M, KVM_RISCV_ISA_EXT_A, KVM_RISCV_ISA_EXT_F, KVM_RISCV_ISA_EXT_D,
		KVM_RISCV_ISA_EXT_C, KVM_RISCV_ISA_EXT_ZICBOM, KVM_RISCV_ISA_EXT_ZBB, KVM_RISCV_ISA_EXT_SSAIA, KVM_RISCV_ISA_EXT_SSTC,
	};
	int r = tm_inner->create_vcpu(hv, id, ret);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < ARRAY_SIZE(exts); i++)
		tm_inner->set_reg(*ret, RISCV_REG_ISA(exts[i]), &on);
	tm_inner->set_reg(*ret, RISCV_REG_TIMER(frequency), &hz);
	tm_inner->set_reg(*ret, RISCV_REG_CONFIG(satp_mode), &satp);
	tm_inner->set_reg(*ret, RISCV_REG_CONFIG(zicbom_block_size), &block);
	return 0;
}

static int tm_create_device(struct hv *hv, uint32_t type, int *ret_fd)
{
	if (type != KVM_DEV_TYPE_RISCV_AIA && !(type == KVM_DEV_TYPE_RISCV_PLIC && tm_current->plic_kernel))
		return -ENODEV;
	tm_current->plic_made |= type == KVM_DEV_TYPE_RISCV_PLIC && ret_fd;
	return tm_inner->create_device(hv, type, ret_fd);
}

/* As hv/compat_kvm.h has it. */
static int tm_plic_attr(uint32_t group, uint64_t attr, void *value, bool set)
{
	struct test_machine *t = tm_current;
	struct kvm_riscv_plic_state *state = value;
	uint32_t size;

	if (group == KVM_DEV_RISCV_PLIC_GRP_STATE) {
		size = state->size;
		if (!t->n_plic_init)
			return -EBUSY;
		if (set && (state->version != KVM_RISCV_PLIC_STATE_VERSION || size != sizeof(*state)))
			return -EINVAL;
		if (set) {
			t->plic_state = *state;
			return 0;
		}
		state->size = sizeof(*state);
		if (size < sizeof(*state))
			return -E2BIG;
		*state = t->plic_state;
		return 0;
	}
	if (group == KVM_DEV_RISCV_PLIC_GRP_CTRL) {
		t->n_plic_init += attr == KVM_DEV_RISCV_PLIC_CTRL_INIT;
		t->n_plic_reset += attr == KVM_DEV_RISCV_PLIC_CTRL_RESET;
		return t->plic_sources && t->plic_base ? 0 : -EINVAL;
	}
	if (group == KVM_DEV_RISCV_PLIC_GRP_ADDR)
		memcpy(&t->plic_base, value, 8);
	else if (attr == KVM_DEV_RISCV_PLIC_CONFIG_SRCS)
		memcpy(&t->plic_sources, value, 4);
	else
		memcpy(&t->plic_contexts, value, 4);
	return 0;
}

static int tm_device_attr(struct hv *hv, int fd, uint32_t group, uint64_t attr, void *value, bool set)
{
	int r = tm_inner->device_attr(hv, fd, group, attr, value, set);

	if (r < 0)
		return r;
	tm_current->n_attrs++;
	if (tm_current->plic_made)
		return tm_plic_attr(group, attr, value, set);
	if (group == KVM_DEV_RISCV_AIA_GRP_CONFIG && attr == KVM_DEV_RISCV_AIA_CONFIG_IDS && !set)
		memcpy(value, &tm_current->aia_ids, 4);
	if (group == KVM_DEV_RISCV_AIA_GRP_CONFIG && attr == KVM_DEV_RISCV_AIA_CONFIG_MODE && set)
		memcpy(&tm_current->aia_mode, value, 4);
	if (group == KVM_DEV_RISCV_AIA_GRP_ADDR && attr == KVM_DEV_RISCV_AIA_ADDR_APLIC)
		memcpy(&tm_current->aplic, value, 8);
	else if (group == KVM_DEV_RISCV_AIA_GRP_ADDR && attr <= 8)
		memcpy(&tm_current->imsic[attr - 1], value, 8);
	if (group == KVM_DEV_RISCV_AIA_GRP_CTRL && attr == KVM_DEV_RISCV_AIA_CTRL_INIT)
		tm_current->n_init++;
	return 0;
}

static int tm_irq_line(struct hv *hv, uint32_t irq, bool level)
{
	if (tm_current->n_irq_line < sizeof(tm_current->lines) - 1)
		tm_current->lines[tm_current->n_irq_line] = irq & KVM_RISCV_PLIC_IRQ_EDGE ? 'E' : level ? 'U' : 'D';
	tm_current->n_irq_line++;
	return tm_inner->irq_line(hv, irq, level);
}

static int tm_irqfd(struct hv *hv, uint32_t gsi, int fd, int resample_fd, bool assign)
{
	tm_current->n_irqfds += assign;
	return tm_inner->irqfd(hv, gsi, fd, resample_fd, assign);
}

static size_t tm_console_put(void *ctx, const void *data, size_t len)
{
	struct test_machine *t = ctx;
	size_t n = MIN(len, sizeof(t->console) - 1 - t->n_console);

	memcpy(t->console + t->n_console, data, n);
	t->n_console += n;
	return n;
}

static size_t tm_console_get(void *ctx, void *buf, size_t len)
{
	struct test_machine *t = ctx;
	size_t n = t->input ? MIN(len, strlen(t->input)) : 0;

	if (n)
		memcpy(buf, t->input, n);
	if (n)
		t->input += n;
	return n;
}

static inline void tm_add_reg(struct test_machine *t, uint64_t id)
{
	if (t->n_regs < TM_MAX_REGS)
		t->regs[t->n_regs++] = id;
}

/* A machine before prepare(): 64 MiB, `cpus` harts, all registers of the tables but the multi ones; caps as given. */
static inline void tm_init(struct test_machine *t, unsigned int cpus, bool aia)
{
	memset(t, 0, sizeof(*t));
	tm_current = t;
	for (unsigned int i = 0; i < riscv_n_reg_names; i++)
		for (unsigned int k = 0; k < riscv_reg_names[i].count; k++)
			if (!strstr(riscv_reg_names[i].name, "multi") && strcmp(riscv_reg_names[i].name, "vector.v"))
				tm_add_reg(t, riscv_reg_names[i].id + k);
	for (unsigned int i = 0; i < riscv_n_isa_exts; i++)
		tm_add_reg(t, RISCV_REG_ISA(riscv_isa_exts[i].id));
	for (unsigned int i = 0; i < riscv_n_sbi_exts; i++)
		tm_add_reg(t, RISCV_REG_SBI(riscv_sbi_exts[i].id));
	t->caps[0] = (struct scripted_cap){ KVM_CAP_MAX_VCPUS, 8 };
	t->caps[1] = (struct scripted_cap){ KVM_CAP_IRQCHIP, aia };
	t->caps[2] = (struct scripted_cap){ KVM_CAP_VM_GPA_BITS, 41 };
	t->scripted = (struct scripted_config){ .caps = t->caps, .n_caps = 3, .regs = t->regs, .n_regs = t->n_regs };
	t->aia_ids = 255;
	t->aia_mode = UINT32_MAX;
	t->m.arch = &arch_riscv64;
	t->m.arch_config = &t->config;
	t->m.log = &t->log;
	t->m.ram_size = TM_RAM;
	t->m.n_vcpus = cpus;
	t->m.vcpu = t->vcpus;
	t->m.boot.cmdline = "console=ttyS0";
	t->m.console_put = tm_console_put;
	t->m.console_get = tm_console_get;
	t->m.console_ctx = t;
}

static void tm_between(struct hv_ops *ops)
{
	tm_current->inner = *ops;
	tm_inner = &tm_current->inner;
	ops->create_vcpu = tm_create_vcpu;
	ops->create_device = tm_create_device;
	ops->device_attr = tm_device_attr;
	ops->irq_line = tm_irq_line;
	ops->irqfd = tm_irqfd;
}

/* Up to and including prepare. */
static inline int tm_prepare(struct test_machine *t, struct err *e)
{
	return tm_machine_prepare(&t->m, &t->scripted, &t->ops, tm_between, e);
}

/* Up to and including the interrupt controller. */
static inline int tm_build(struct test_machine *t, struct err *e)
{
	int r = tm_prepare(t, e);

	return r < 0 ? r : tm_machine_build(&t->m, e);
}

static inline void tm_destroy(struct test_machine *t)
{
	tm_machine_destroy(&t->m, ARRAY_SIZE(t->vcpus));
}

static inline uint64_t tm_reg(struct test_machine *t, unsigned int i, uint64_t id)
{
	return tm_machine_reg(&t->m, i, id);
}

static inline void tm_set_reg(struct test_machine *t, unsigned int i, uint64_t id, uint64_t v)
{
	tm_machine_set_reg(&t->m, i, id, v);
}

/* A RISC-V Image of len bytes (at least 64) into buf: header, then bytes that count up. */
static inline void tm_image(uint8_t *buf, size_t len, uint64_t image_size)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(i * 7);
	memset(buf, 0, 64);
	put_le64(buf + 8, 0x200000);
	put_le64(buf + 16, image_size);
	memcpy(buf + 48, "RISCV\0\0", 8);
	memcpy(buf + 56, "RSC\x05", 4);
}

#endif
