// SPDX-License-Identifier: MIT
/* A guest of a few instructions: which of the promised ones it can execute. KVM's word is not enough for some, see arch/arm64/kernel. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "arch/arm64/arm64.h"
#include "base/endian.h"

#define PAGE_MAX KIB(64) /* the largest of a host */
#define SLOT 0
#define ANSWER UINT64_C(0x10000000) /* MMIO: each answer is a store there */
#define TRIES 100		    /* runs that were interrupted */

#define REG_SCTLR_EL1 ARM64_SYS(3, 0, 1, 0, 0)
#define REG_VBAR_EL1 ARM64_SYS(3, 0, 12, 0, 0)
#define SCTLR_ENIA (UINT64_C(1) << 31)

/* Each ends in a store of x0, which is 1, or 0 after an exception, to x1. */
static const uint32_t code[] = {
	/* ARM64_PROBE_PTRAUTH_ADDRESS */ 0x52800020 /* mov w0, #1 */, 0xdac123e3 /* paciza x3 */, 0xb9000020 /* str w0, [x1] */,
	/* ARM64_PROBE_PTRAUTH_GENERIC */ 0x52800020, 0x9ac33063 /* pacga x3, x3, x3 */, 0xb9000020,
	/* ARM64_PROBE_MOPS, of no bytes */ 0x52800020, 0x19c50483 /* setp [x3]!, x4!, x5 */, 0x19c54483 /* setm */, 0x19c58483 /* sete */, 0xb9000020,
};

/* At this offset from VBAR_EL1, a synchronous exception of EL1: goes on after the instruction, with w0 0. */
#define VECTOR 0x200
static const uint32_t vector[] = {
	0x52800000 /* mov w0, #0 */, 0xd5384022 /* mrs x2, elr_el1 */, 0x91001042 /* add x2, x2, #4 */, 0xd5184022 /* msr elr_el1, x2 */, 0xd69f03e0 /* eret */,
};

#define LOST 0xb9000026 /* str w6, [x1]: where the guest should never come. It cannot go astray for long. */
#define LOST_VALUE 2

struct probe {
	struct hv *hv;
	struct hv_vcpu *vcpu;
	bool works[ARM64_N_PROBES];
	int r;
};

static void fill(uint8_t *page)
{
	for (unsigned int i = 0; i < PAGE_MAX; i += 4)
		put_le32(page + i, LOST);
	for (unsigned int i = 0; i < ARRAY_SIZE(code); i++)
		put_le32(page + 4 * i, code[i]);
	for (unsigned int i = 0; i < ARRAY_SIZE(vector); i++)
		put_le32(page + VECTOR + 4 * i, vector[i]);
}

static int set_up(struct hv_vcpu *vcpu)
{
	const struct hv_ops *ops = vcpu->hv->ops;
	uint64_t sctlr = 0;
	int r = ops->get_reg(vcpu, REG_SCTLR_EL1, &sctlr);
	const struct {
		uint64_t id, value;
	} regs[] = {
		{ REG_SCTLR_EL1, sctlr | SCTLR_ENIA },
		{ REG_VBAR_EL1, ARM64_RAM_BASE },
		{ ARM64_REG_PC, ARM64_RAM_BASE },
		{ ARM64_REG_X(1), ANSWER },
		{ ARM64_REG_X(6), LOST_VALUE },
	};

	for (unsigned int i = 0; r >= 0 && i < ARRAY_SIZE(regs); i++)
		r = ops->set_reg(vcpu, regs[i].id, &regs[i].value);
	return r < 0 ? r : ops->vcpu_bind(vcpu);
}

static int run(struct probe *p)
{
	struct hv_exit x;
	unsigned int n = 0;
	int r = set_up(p->vcpu);

	for (unsigned int i = 0; r >= 0 && i < TRIES && n < ARM64_N_PROBES; i++) {
		r = p->hv->ops->vcpu_run(p->vcpu, &x);
		if (r < 0 || x.kind == HV_EXIT_INTR)
			continue;
		if (x.kind != HV_EXIT_MMIO || !x.mmio.is_write || x.mmio.len != 4 || x.mmio.gpa != ANSWER || get_le32(x.mmio.data) > 1)
			return -EIO;
		p->works[n++] = get_le32(x.mmio.data);
	}
	return r < 0 ? r : n < ARM64_N_PROBES ? -EIO : 0;
}

/* In a thread of its own: what vcpu_bind does to the thread's signals is not the caller's affair. */
static void *thread_main(void *ctx)
{
	struct probe *p = ctx;

	p->r = run(p);
	return NULL;
}

int arm64_probe(struct hv_vcpu *vcpu, bool ret_works[ARM64_N_PROBES])
{
	struct probe p = { .hv = vcpu->hv, .vcpu = vcpu };
	uint8_t *page = aligned_alloc(PAGE_MAX, PAGE_MAX);
	pthread_t thread;

	if (!page)
		return -ENOMEM;
	fill(page);
	p.r = p.hv->ops->set_memory(p.hv, SLOT, 0, ARM64_RAM_BASE, PAGE_MAX, page);
	if (p.r >= 0) {
		/* Not into p.r, which is the thread's from here on. */
		int r = -pthread_create(&thread, NULL, thread_main, &p);

		if (r >= 0)
			pthread_join(thread, NULL);
		else
			p.r = r;
		p.hv->ops->set_memory(p.hv, SLOT, 0, ARM64_RAM_BASE, 0, NULL);
	}
	free(page);
	if (p.r >= 0)
		memcpy(ret_works, p.works, sizeof(p.works));
	return p.r;
}
