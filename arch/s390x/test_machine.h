// SPDX-License-Identifier: MIT
/* For tests: an s390x machine over the scripted hypervisor, with a host in between that moves guest memory, takes interruptions and counts resets. Logical addresses are absolute. */
#ifndef LKVM_ARCH_S390X_TEST_MACHINE_H
#define LKVM_ARCH_S390X_TEST_MACHINE_H

#include <errno.h>
#include <stdio.h>

#include "arch/s390x/s390x.h"
#include "arch/test_common.h"

#define TM_RAM MIB(64)
#define TM_VCPUS 8

struct tm_vcpu_seen {
	unsigned int n_clear, n_initial, n_normal, n_restart, n_program;
	unsigned int program; /* the last program interruption */
	uint64_t stored_at; /* the last KVM_S390_STORE_STATUS */
	unsigned int n_stored;
	bool css; /* KVM_CAP_S390_CSS_SUPPORT was enabled */
};

struct test_machine {
	struct machine m;
	struct machine_vcpu vcpus[TM_VCPUS];
	struct s390x_config config;
	struct hv_ops inner, ops; /* the scripted ones; with ours in between */
	struct scripted_cap caps[16];
	struct scripted_config scripted;
	struct log log;
	/* the host */
	uint64_t machine_facilities, mask; /* facilities 0 to 63 */
	/* what the in-between ops saw */
	struct tm_vcpu_seen seen[TM_VCPUS];
	struct kvm_s390_irq irq[64]; /* floating ones */
	unsigned int n_irqs, n_cleared, n_withdrawn, n_adapters, n_routes;
	uint64_t facilities; /* what the guest got */
	int refuse; /* the answer to further floating interruptions, 0: they are taken */
	char console[16384];
	size_t n_console, room; /* room: what the console still takes */
	const char *input;
};

/* The test under way; a test has one machine at a time. */
static struct test_machine *tm_current;
static const struct hv_ops *tm_inner;

static int tm_device_attr(struct hv *hv, int fd, uint32_t group, uint64_t attr, void *value, bool set)
{
	int r = tm_inner->device_attr(hv, fd, group, attr, value, set);

	if (r < 0)
		return r;
	switch (group) {
	case KVM_DEV_FLIC_ENQUEUE:
		if (tm_current->refuse)
			return tm_current->refuse;
		if (attr != sizeof(struct kvm_s390_irq) || tm_current->n_irqs >= ARRAY_SIZE(tm_current->irq))
			return -EINVAL;
		memcpy(&tm_current->irq[tm_current->n_irqs++], value, sizeof(struct kvm_s390_irq));
		break;
	case KVM_DEV_FLIC_CLEAR_IRQS:
		tm_current->n_cleared++;
		break;
	case KVM_DEV_FLIC_CLEAR_IO_IRQ:
		tm_current->n_withdrawn++;
		break;
	case KVM_DEV_FLIC_ADAPTER_REGISTER:
		tm_current->n_adapters++;
		break;
	}
	return 0;
}

static int tm_vm_ioctl(struct hv *hv, unsigned long request, void *arg)
{
	const struct kvm_device_attr *a = arg;
	int r = tm_inner->vm_ioctl(hv, request, arg);

	if (r < 0 || request == KVM_CREATE_IRQCHIP)
		return r;
	if (request == KVM_GET_DEVICE_ATTR && a->group == KVM_S390_VM_CPU_MODEL && a->attr == KVM_S390_VM_CPU_MACHINE) {
		struct kvm_s390_vm_cpu_machine *machine = (void *)(uintptr_t)a->addr;

		machine->fac_list[0] = tm_current->machine_facilities;
		machine->fac_list[1] = UINT64_MAX; /* 64 to 127, with PCI's */
		machine->fac_mask[0] = tm_current->mask;
		machine->fac_mask[1] = UINT64_MAX;
	} else if (request == KVM_SET_DEVICE_ATTR && a->group == KVM_S390_VM_CPU_MODEL) {
		const struct kvm_s390_vm_cpu_processor *guest = (void *)(uintptr_t)a->addr;

		tm_current->facilities = guest->fac_list[0];
		return s390x_has_facility(guest->fac_list, 69) || s390x_has_facility(guest->fac_list, 71) || !s390x_has_facility(guest->fac_list, 66) ? -EPERM : 0;
	}
	return 0;
}

static int tm_memory(const struct kvm_s390_mem_op *o)
{
	struct memory *memory = tm_current->m.memory;
	void *buf = (void *)(uintptr_t)o->buf;
	struct slice s;

	if (memory_slice(memory, o->gaddr, o->size, &s) < 0)
		return PGM_ADDRESSING;
	if (o->flags & KVM_S390_MEMOP_F_CHECK_ONLY)
		return 0;
	return o->op == KVM_S390_MEMOP_LOGICAL_READ ? memory_read(memory, o->gaddr, buf, o->size) : memory_write(memory, o->gaddr, buf, o->size);
}

static int tm_vcpu_ioctl(struct hv_vcpu *vcpu, unsigned long request, void *arg)
{
	struct tm_vcpu_seen *s = &tm_current->seen[vcpu->id % TM_VCPUS];
	int r = tm_inner->vcpu_ioctl(vcpu, request, arg);

	if (r < 0)
		return r;
	switch (request) {
	case KVM_ENABLE_CAP:
		s->css |= ((struct kvm_enable_cap *)arg)->cap == KVM_CAP_S390_CSS_SUPPORT;
		return 0;
	case KVM_S390_CLEAR_RESET:
		s->n_clear++;
		return 0;
	case KVM_S390_INITIAL_RESET:
		s->n_initial++;
		return 0;
	case KVM_S390_NORMAL_RESET:
		s->n_normal++;
		return 0;
	case KVM_S390_STORE_STATUS:
		s->n_stored++;
		s->stored_at = (uintptr_t)arg;
		return 0;
	case KVM_S390_IRQ: {
		const struct kvm_s390_irq *irq = arg;

		if (irq->type == KVM_S390_PROGRAM_INT) {
			s->n_program++;
			s->program = irq->u.pgm.code;
		} else if (irq->type == KVM_S390_RESTART) {
			s->n_restart++;
		} else {
			return -EINVAL;
		}
		return 0;
	}
	case KVM_S390_MEM_OP:
		r = tm_memory(arg);
		if (r > 0) {
			s->n_program++;
			s->program = (unsigned int)r;
		}
		return r;
	case KVM_GET_REGS:
	case KVM_GET_SREGS:
	case KVM_GET_FPU:
		return 0;
	}
	return -ENOTTY;
}

static int tm_set_routes(struct hv *hv, const struct hv_route *routes, unsigned int n)
{
	tm_current->n_routes = n;
	return tm_inner->set_routes(hv, routes, n);
}

static size_t tm_console_put(void *ctx, const void *data, size_t len)
{
	struct test_machine *t = ctx;
	size_t n = MIN(MIN(len, t->room), sizeof(t->console) - 1 - t->n_console);

	memcpy(t->console + t->n_console, data, n);
	t->n_console += n;
	t->room -= n;
	return n;
}

static size_t tm_console_get(void *ctx, void *buf, size_t len)
{
	struct test_machine *t = ctx;
	size_t n = t->input ? MIN(len, strlen(t->input)) : 0;

	if (n) {
		memcpy(buf, t->input, n);
		t->input += n;
	}
	return n;
}

static void tm_between(struct hv_ops *ops)
{
	tm_current->inner = *ops;
	tm_inner = &tm_current->inner;
	ops->device_attr = tm_device_attr;
	ops->vm_ioctl = tm_vm_ioctl;
	ops->vcpu_ioctl = tm_vcpu_ioctl;
	ops->set_routes = tm_set_routes;
}

static inline void tm_init_without(struct test_machine *t, unsigned int cpus, unsigned int missing_cap)
{
	static const unsigned int caps[] = { KVM_CAP_S390_USER_SIGP, KVM_CAP_S390_CSS_SUPPORT, KVM_CAP_S390_MEM_OP, KVM_CAP_S390_INJECT_IRQ,
					     KVM_CAP_S390_VCPU_RESETS, KVM_CAP_S390_IRQCHIP, KVM_CAP_S390_USER_STSI, KVM_CAP_IOEVENTFD };

	memset(t, 0, sizeof(*t));
	tm_current = t;
	t->scripted = (struct scripted_config){ .caps = t->caps };
	t->caps[t->scripted.n_caps++] = (struct scripted_cap){ KVM_CAP_MAX_VCPUS, 248 };
	for (unsigned int i = 0; i < ARRAY_SIZE(caps); i++)
		if (caps[i] != missing_cap)
			t->caps[t->scripted.n_caps++] = (struct scripted_cap){ caps[i], 1 };
	t->machine_facilities = UINT64_MAX;
	t->mask = UINT64_MAX;
	t->room = SIZE_MAX;
	t->m.arch = &arch_s390x;
	t->m.arch_config = &t->config;
	t->m.log = &t->log;
	t->m.name = "tested-guest";
	t->m.ram_size = TM_RAM;
	t->m.n_vcpus = cpus;
	t->m.vcpu = t->vcpus;
	t->m.boot.cmdline = "console=ttysclp0";
	t->m.console_put = tm_console_put;
	t->m.console_get = tm_console_get;
	t->m.console_ctx = t;
}

static inline void tm_init(struct test_machine *t, unsigned int cpus)
{
	tm_init_without(t, cpus, UINT32_MAX);
}

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
	tm_machine_destroy(&t->m, TM_VCPUS);
	option_clear(s390x_options, S390X_N_OPTIONS, &t->config);
}

static inline struct hv_s390_regs *tm_regs(struct test_machine *t, unsigned int i)
{
	return &s390x_cpu(&t->m, i)->regs;
}

/* An instruction that KVM leaves to us. */
static inline enum arch_verdict tm_instruction(struct test_machine *t, unsigned int i, uint16_t ipa, uint32_t ipb, struct err *e)
{
	struct hv_exit x = { .kind = HV_EXIT_S390_SIEIC, .s390_sieic = { .icptcode = 4, .ipa = ipa, .ipb = ipb } };

	return t->m.arch->handle_exit(&t->m, i, &x, e);
}

static inline unsigned int tm_cc(struct test_machine *t, unsigned int i)
{
	return *tm_regs(t, i)->psw_mask >> PSW_CC_SHIFT & 3;
}

/* What the vCPU's thread would do next: true when it sleeps. */
static inline bool tm_waits(struct test_machine *t, unsigned int i, enum arch_verdict *ret_verdict, struct err *e)
{
	bool wait = false;

	*ret_verdict = t->m.arch->before_run(&t->m, i, &wait, e);
	return wait;
}

#endif
