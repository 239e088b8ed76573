// SPDX-License-Identifier: MIT
/* The registers of a vCPU by name. s390 has no list of them: most come in the classic structures, the rest by the numbers below. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "arch/machine.h"
#include "arch/s390x/s390x.h"

static const struct {
	const char *name;
	uint64_t id;
} by_number[] = {
	{ "timer.todpr", KVM_REG_S390_TODPR },	       { "timer.epochdiff", KVM_REG_S390_EPOCHDIFF }, { "timer.cpu_timer", KVM_REG_S390_CPU_TIMER },
	{ "timer.clock_comp", KVM_REG_S390_CLOCK_COMP }, { "pfault.token", KVM_REG_S390_PFTOKEN },     { "pfault.compare", KVM_REG_S390_PFCOMPARE },
	{ "pfault.select", KVM_REG_S390_PFSELECT },      { "core.pp", KVM_REG_S390_PP },		       { "core.gbea", KVM_REG_S390_GBEA },
};

static bool numbered_name(uint64_t id, char name[48])
{
	for (unsigned int k = 0; k < ARRAY_SIZE(by_number); k++)
		if (by_number[k].id == id)
			snprintf(name, 48, "%s", by_number[k].name);
	return true;
}

struct all {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	uint64_t psw_mask, psw_addr, prefix;
};

static int read_all(struct machine *m, unsigned int i, struct all *ret)
{
	const struct hv_ops *ops = m->hv->ops;
	struct hv_vcpu *vcpu = m->vcpu[i].hv;
	const struct s390x_cpu *c = s390x_cpu(m, i);
	struct all a = { .psw_mask = *c->regs.psw_mask, .psw_addr = *c->regs.psw_addr, .prefix = *c->regs.prefix };
	int r = ops->vcpu_ioctl(vcpu, KVM_GET_REGS, &a.regs);

	if (r >= 0)
		r = ops->vcpu_ioctl(vcpu, KVM_GET_SREGS, &a.sregs);
	if (r >= 0)
		r = ops->vcpu_ioctl(vcpu, KVM_GET_FPU, &a.fpu);
	if (r < 0)
		return r;
	*ret = a;
	return 0;
}

static unsigned int give(const char *format, const void *values, unsigned int n, unsigned int size, void (*fn)(void *ctx, const struct arch_reg *reg),
			 void *ctx)
{
	for (unsigned int k = 0; k < n; k++) {
		struct arch_reg reg = { .size = size, .readable = true };

		snprintf(reg.name, sizeof(reg.name), format, k);
		memcpy(reg.value, (const char *)values + (size_t)k * size, size);
		fn(ctx, &reg);
	}
	return n;
}

int s390x_for_each_reg(struct machine *m, unsigned int i, void (*fn)(void *ctx, const struct arch_reg *reg), void *ctx)
{
	unsigned int n = 0;
	struct all a;
	int r = read_all(m, i, &a);

	if (r < 0)
		return r;
	n += give("core.psw_mask", &a.psw_mask, 1, 8, fn, ctx);
	n += give("core.psw_addr", &a.psw_addr, 1, 8, fn, ctx);
	n += give("core.prefix", &a.prefix, 1, 8, fn, ctx);
	n += give("core.r%u", a.regs.gprs, 16, 8, fn, ctx);
	n += give("core.a%u", a.sregs.acrs, 16, 4, fn, ctx);
	n += give("core.c%u", a.sregs.crs, 16, 8, fn, ctx);
	n += give("fp.f%u", a.fpu.fprs, 16, 8, fn, ctx);
	n += give("fp.fpc", &a.fpu.fpc, 1, 4, fn, ctx);
	for (unsigned int k = 0; k < ARRAY_SIZE(by_number); k++)
		n += (unsigned int)reg_give(m->vcpu[i].hv, by_number[k].id, true, numbered_name, fn, ctx);
	return (int)n;
}

static size_t print_rows(char *buf, size_t len, size_t used, char name, const uint64_t v[16])
{
	for (unsigned int k = 0; k < 16 && used < len; k++)
		used += (size_t)snprintf(buf + used, len - used, "%c%-2u 0x%016" PRIx64 "%s", name, k, v[k], k % 4 == 3 ? "\n" : "  ");
	return used;
}

void s390x_dump_vcpu(struct machine *m, unsigned int i, char *buf, size_t len)
{
	uint64_t v[16];
	size_t used;
	struct all a;

	if (!len)
		return;
	buf[0] = 0;
	if (i >= m->n_vcpus || !m->vcpu[i].hv || read_all(m, i, &a) < 0)
		return;
	used = (size_t)snprintf(buf, len, "PSW %016" PRIx64 " %016" PRIx64 ", prefix 0x%08" PRIx64 ", %s\n", a.psw_mask, a.psw_addr, a.prefix,
				s390x_cpu(m, i)->stopped ? "stopped" : s390x_cpu(m, i)->waits_for_good ? "in a disabled wait" : "operating");
	memcpy(v, a.regs.gprs, sizeof(v));
	used = print_rows(buf, len, used, 'r', v);
	memcpy(v, a.sregs.crs, sizeof(v));
	print_rows(buf, len, used, 'c', v);
}
