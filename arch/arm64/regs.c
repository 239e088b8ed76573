// SPDX-License-Identifier: MIT
/*
 * The registers of a vCPU by name. Which there are the host lists (KVM_GET_REG_LIST); what this does not know is shown by its
 * encoding, or its number.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "arch/arm64/arm64.h"
#include "arch/arm64/sysreg.h"
#include "arch/machine.h"

#define NAME 48

struct named {
	const char *name; /* # is the number when count > 1 */
	uint64_t id;	  /* of the first */
	unsigned int count, step;
};

#define CORE(n, f) { "core." n, ARM64_REG_CORE(U64, f), 1, 1 }
#define FW(n, r) { "fw." n, KVM_REG_ARM_FW_REG(r), 1, 1 }
#define FEAT(n, r) { "fw." n, KVM_REG_ARM_FW_FEAT_BMAP_REG(r), 1, 1 }

static const struct named others[] = {
	{ "core.x#", ARM64_REG_CORE(U64, regs.regs[0]), 31, 2 },
	CORE("sp", regs.sp), CORE("pc", regs.pc), CORE("pstate", regs.pstate), CORE("sp_el1", sp_el1), CORE("elr_el1", elr_el1),
	CORE("spsr_el1", spsr[KVM_SPSR_EL1]), CORE("spsr_abt", spsr[KVM_SPSR_ABT]), CORE("spsr_und", spsr[KVM_SPSR_UND]),
	CORE("spsr_irq", spsr[KVM_SPSR_IRQ]), CORE("spsr_fiq", spsr[KVM_SPSR_FIQ]),
	{ "fp.v#", ARM64_REG_CORE(U128, fp_regs.vregs[0]), 32, 4 },
	{ "fp.fpsr", ARM64_REG_CORE(U32, fp_regs.fpsr), 1, 1 },
	{ "fp.fpcr", ARM64_REG_CORE(U32, fp_regs.fpcr), 1, 1 },
	/* KVM has exchanged the encodings of the virtual timer's count and compare value, for ever. */
	{ "timer.cntv_ctl_el0", KVM_REG_ARM_TIMER_CTL, 1, 1 },
	{ "timer.cntv_cval_el0", KVM_REG_ARM_TIMER_CVAL, 1, 1 },
	{ "timer.cntvct_el0", KVM_REG_ARM_TIMER_CNT, 1, 1 },
	{ "timer.cntp_ctl_el0", KVM_REG_ARM_PTIMER_CTL, 1, 1 },
	{ "timer.cntp_cval_el0", KVM_REG_ARM_PTIMER_CVAL, 1, 1 },
	{ "timer.cntpct_el0", KVM_REG_ARM_PTIMER_CNT, 1, 1 },
	{ "demux.ccsidr#", KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_DEMUX | KVM_REG_ARM_DEMUX_ID_CCSIDR, 256, 1 },
	{ "sve.z#", KVM_REG_ARM64_SVE_ZREG(0, 0), KVM_ARM64_SVE_NUM_ZREGS, 32 },
	{ "sve.p#", KVM_REG_ARM64_SVE_PREG(0, 0), KVM_ARM64_SVE_NUM_PREGS, 32 },
	{ "sve.ffr", KVM_REG_ARM64_SVE_FFR(0), 1, 1 },
	{ "sve.vls", KVM_REG_ARM64_SVE_VLS, 1, 1 },
	FW("psci_version", 0), FW("smccc_arch_workaround_1", 1), FW("smccc_arch_workaround_2", 2), FW("smccc_arch_workaround_3", 3),
	FEAT("std_bmap", 0), FEAT("std_hyp_bmap", 1), FEAT("vendor_hyp_bmap", 2), FEAT("vendor_hyp_bmap_2", 3),
};

/* Puts the number where the # is. */
static void print_name(char name[NAME], const char *prefix, const char *text, unsigned int n)
{
	const char *sharp = strchr(text, '#');

	if (sharp)
		snprintf(name, NAME, "%s%.*s%u%s", prefix, (int)(sharp - text), text, n, sharp + 1);
	else
		snprintf(name, NAME, "%s%s", prefix, text);
}

/* Which one of `count` encodings that are `step` apart, or -1. */
static int position(uint64_t v, uint64_t first, unsigned int count, unsigned int step)
{
	uint64_t n = v - first;

	count = MAX(count, 1);
	step = MAX(step, 1);
	return v >= first && n % step == 0 && n / step < count ? (int)(n / step) : -1;
}

static bool is_sysreg(uint64_t id)
{
	return (id & ~UINT64_C(0xffff)) == (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM64_SYSREG);
}

bool arm64_reg_name(uint64_t id, char name[NAME])
{
	const unsigned int enc = id & 0xffff;
	int n;

	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++) {
		n = position(id, others[i].id, others[i].count, others[i].step);
		if (n >= 0) {
			print_name(name, "", others[i].name, (unsigned int)n);
			return true;
		}
	}
	for (unsigned int i = 0; is_sysreg(id) && i < n_sysreg_names; i++) {
		n = position(enc, sysreg_names[i].encoding, sysreg_names[i].count, sysreg_names[i].step);
		if (n >= 0) {
			print_name(name, "sys.", sysreg_names[i].name, (unsigned int)n);
			return true;
		}
	}
	if (is_sysreg(id))
		snprintf(name, NAME, "sys.s%u_%u_c%u_c%u_%u", enc >> 14, enc >> 11 & 7, enc >> 7 & 15, enc >> 3 & 15, enc & 7);
	else
		snprintf(name, NAME, "0x%016" PRIx64, id);
	return false;
}

static bool same_name(const char *a, const char *b)
{
	while (*a && tolower((unsigned char)*a) == tolower((unsigned char)*b)) {
		a++;
		b++;
	}
	return !*a && !*b;
}

int arm64_sysreg_id(const char *name, uint64_t *ret)
{
	char known[NAME];

	if (!strncmp(name, "sys.", 4))
		name += 4;
	for (unsigned int i = 0; i < n_sysreg_names; i++) {
		const struct sysreg_name *row = &sysreg_names[i];

		for (unsigned int k = 0; k < MAX(row->count, 1); k++) {
			print_name(known, "", row->name, k);
			if (!same_name(known, name))
				continue;
			*ret = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM64_SYSREG | (uint64_t)(row->encoding + k * row->step);
			return 0;
		}
	}
	return -ENOENT;
}

int arm64_for_each_reg(struct machine *m, unsigned int i, void (*fn)(void *ctx, const struct arch_reg *reg), void *ctx)
{
	return reg_give_all(m->vcpu[i].hv, arm64_reg_name, fn, ctx);
}

#define X(n) { "x" #n, ARM64_REG_CORE(U64, regs.regs[n]) }
static const struct reg_dumped dumped[] = {
	{ "pc", ARM64_REG_PC }, { "pstate", ARM64_REG_PSTATE }, { "sp_el0", ARM64_REG_CORE(U64, regs.sp) }, { "sp_el1", ARM64_REG_CORE(U64, sp_el1) },
	X(0), X(1), X(2), X(3), X(4), X(5), X(6), X(7), X(8), X(9), X(10), X(11), X(12), X(13), X(14), X(15), X(16), X(17), X(18), X(19), X(20),
	X(21), X(22), X(23), X(24), X(25), X(26), X(27), X(28), X(29), X(30), { "elr_el1", ARM64_REG_CORE(U64, elr_el1) },
	{ "spsr_el1", ARM64_REG_CORE(U64, spsr[KVM_SPSR_EL1]) }, { "esr_el1", ARM64_SYS(3, 0, 5, 2, 0) }, { "far_el1", ARM64_SYS(3, 0, 6, 0, 0) },
	{ "sctlr", ARM64_SYS(3, 0, 1, 0, 0) }, { "ttbr0", ARM64_SYS(3, 0, 2, 0, 0) }, { "ttbr1", ARM64_SYS(3, 0, 2, 0, 1) },
	{ "tcr_el1", ARM64_SYS(3, 0, 2, 0, 2) }, { "vbar_el1", ARM64_SYS(3, 0, 12, 0, 0) },
};

void arm64_dump_vcpu(struct machine *m, unsigned int i, char *buf, size_t len)
{
	reg_dump(i < m->n_vcpus ? m->vcpu[i].hv : NULL, dumped, ARRAY_SIZE(dumped), buf, len);
}
