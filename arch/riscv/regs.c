// SPDX-License-Identifier: MIT
/*
 * The registers of a hart by name. The ids come from <asm/kvm.h>; a host may have fewer (older kernels, missing extensions) or more (newer
 * kernels: shown by number).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "arch/machine.h"
#include "arch/riscv/riscv.h"

#define CONFIG(f) { "config." #f, RISCV_REG_CONFIG(f), 1 }
#define CORE(f) { "core." #f, RISCV_REG_CORE(regs.f), 1 }
#define CSR(f) { "csr." #f, RISCV_REG_CSR(f), 1 }
#define AIA(f) { "aia." #f, RISCV_REG(U64, KVM_REG_RISCV_CSR | KVM_REG_RISCV_CSR_AIA, KVM_REG_RISCV_CSR_AIA_REG(f)), 1 }
#define TIMER(f) { "timer." #f, RISCV_REG_TIMER(f), 1 }
#define VCSR(f) { "vector." #f, RISCV_REG(U64, KVM_REG_RISCV_VECTOR, KVM_REG_RISCV_VECTOR_CSR_REG(f)), 1 }
#define FWFT(f)                                                                                                                \
	{ "fwft." #f ".enable", RISCV_REG_FWFT(f.enable), 1 }, { "fwft." #f ".flags", RISCV_REG_FWFT(f.flags), 1 },            \
	{ "fwft." #f ".value", RISCV_REG_FWFT(f.value), 1 }

#define VECTOR_V0 (KVM_REG_RISCV | (uint64_t)KVM_REG_RISCV_VECTOR | KVM_REG_RISCV_VECTOR_REG(0)) /* its size is the host's */

const struct riscv_reg_name riscv_reg_names[] = {
	CONFIG(isa), CONFIG(zicbom_block_size), CONFIG(mvendorid), CONFIG(marchid), CONFIG(mimpid), CONFIG(zicboz_block_size),
	CONFIG(satp_mode), CONFIG(zicbop_block_size),
	CORE(pc), CORE(ra), CORE(sp), CORE(gp), CORE(tp), CORE(t0), CORE(t1), CORE(t2), CORE(s0), CORE(s1), CORE(a0), CORE(a1),
	CORE(a2), CORE(a3), CORE(a4), CORE(a5), CORE(a6), CORE(a7), CORE(s2), CORE(s3), CORE(s4), CORE(s5), CORE(s6), CORE(s7),
	CORE(s8), CORE(s9), CORE(s10), CORE(s11), CORE(t3), CORE(t4), CORE(t5), CORE(t6),
	{ "core.mode", RISCV_REG_CORE(mode), 1 },
	CSR(sstatus), CSR(sie), CSR(stvec), CSR(sscratch), CSR(sepc), CSR(scause), CSR(stval), CSR(sip), CSR(satp),
	CSR(scounteren), CSR(senvcfg),
	AIA(siselect), AIA(iprio1), AIA(iprio2), AIA(sieh), AIA(siph), AIA(iprio1h), AIA(iprio2h),
	{ "smstateen.sstateen0",
	  RISCV_REG(U64, KVM_REG_RISCV_CSR | KVM_REG_RISCV_CSR_SMSTATEEN, KVM_REG_RISCV_CSR_SMSTATEEN_REG(sstateen0)), 1 },
	{ "zicfiss.ssp", RISCV_REG(U64, KVM_REG_RISCV_CSR | KVM_REG_RISCV_CSR_ZICFISS, KVM_REG_RISCV_CSR_ZICFISS_REG(ssp)), 1 },
	TIMER(frequency), TIMER(time), TIMER(compare), TIMER(state),
	{ "fp.f.f", RISCV_REG(U32, KVM_REG_RISCV_FP_F, KVM_REG_RISCV_FP_F_REG(f[0])), 32 },
	{ "fp.f.fcsr", RISCV_REG(U32, KVM_REG_RISCV_FP_F, KVM_REG_RISCV_FP_F_REG(fcsr)), 1 },
	{ "fp.d.f", RISCV_REG(U64, KVM_REG_RISCV_FP_D, KVM_REG_RISCV_FP_D_REG(f[0])), 32 },
	{ "fp.d.fcsr", RISCV_REG(U32, KVM_REG_RISCV_FP_D, KVM_REG_RISCV_FP_D_REG(fcsr)), 1 },
	VCSR(vstart), VCSR(vl), VCSR(vtype), VCSR(vcsr), VCSR(vlenb),
	{ "vector.v", VECTOR_V0, 32 },
	{ "isa.multi_en.", RISCV_REG(U64, KVM_REG_RISCV_ISA_EXT | KVM_REG_RISCV_ISA_MULTI_EN, 0), KVM_REG_RISCV_ISA_MULTI_REG_LAST + 1 },
	{ "isa.multi_dis.", RISCV_REG(U64, KVM_REG_RISCV_ISA_EXT | KVM_REG_RISCV_ISA_MULTI_DIS, 0), KVM_REG_RISCV_ISA_MULTI_REG_LAST + 1 },
	{ "sbi.multi_en", RISCV_REG(U64, KVM_REG_RISCV_SBI_EXT | KVM_REG_RISCV_SBI_MULTI_EN, 0), 1 },
	{ "sbi.multi_dis", RISCV_REG(U64, KVM_REG_RISCV_SBI_EXT | KVM_REG_RISCV_SBI_MULTI_DIS, 0), 1 },
	{ "sta.shmem_lo", RISCV_REG_STA(shmem_lo), 1 }, { "sta.shmem_hi", RISCV_REG_STA(shmem_hi), 1 },
	FWFT(misaligned_deleg), FWFT(pointer_masking), FWFT(pte_ad_hw_updating), FWFT(landing_pad), FWFT(shadow_stack),
};
const unsigned int riscv_n_reg_names = ARRAY_SIZE(riscv_reg_names);

_Static_assert(KVM_REG_RISCV_SBI_MULTI_REG_LAST == 0, "sbi.multi_* has more than one register");

static bool ext_name(const char *kind, const struct riscv_ext *exts, unsigned int n, uint64_t id, uint64_t base, char name[48])
{
	for (unsigned int i = 0; i < n; i++) {
		if (id != base + exts[i].id)
			continue;
		snprintf(name, 48, "%s.%s", kind, exts[i].name);
		return true;
	}
	return false;
}

bool riscv_reg_name(uint64_t id, char name[48])
{
	/* A vector register's size depends on the host. */
	uint64_t unsized = (id & KVM_REG_RISCV_TYPE_MASK) == KVM_REG_RISCV_VECTOR ? id & ~KVM_REG_SIZE_MASK : id;

	for (unsigned int i = 0; i < riscv_n_reg_names; i++) {
		const struct riscv_reg_name *row = &riscv_reg_names[i];
		uint64_t n = (row->id == VECTOR_V0 ? unsized : id) - row->id;

		if (n >= row->count)
			continue;
		if (row->count > 1)
			snprintf(name, 48, "%s%u", row->name, (unsigned int)n);
		else
			snprintf(name, 48, "%s", row->name);
		return true;
	}
	if (ext_name("isa", riscv_isa_exts, riscv_n_isa_exts, id, RISCV_REG_ISA(0), name) ||
	    ext_name("sbi", riscv_sbi_exts, riscv_n_sbi_exts, id, RISCV_REG_SBI(0), name))
		return true;
	snprintf(name, 48, "0x%016" PRIx64, id);
	return false;
}

struct walk {
	struct hv_vcpu *vcpu;
	void (*fn)(void *ctx, const struct arch_reg *reg);
	void *ctx;
	int n;
};

static void visit(struct walk *w, uint64_t id)
{
	w->n += reg_give(w->vcpu, id, true, riscv_reg_name, w->fn, w->ctx);
}

static void visit_exts(struct walk *w, const struct riscv_ext *exts, unsigned int n, uint64_t base)
{
	for (unsigned int i = 0; i < n; i++)
		visit(w, base + exts[i].id);
}

/* The UAPI's number for a power-of-two size in bytes. */
static uint64_t size_bits(uint64_t bytes)
{
	uint64_t log = 0;

	while (bytes > 1 && log < 15) {
		bytes >>= 1;
		log++;
	}
	return log << KVM_REG_SIZE_SHIFT;
}

static void walk_table(struct walk *w)
{
	for (unsigned int i = 0; i < riscv_n_reg_names; i++) {
		const struct riscv_reg_name *row = &riscv_reg_names[i];
		uint64_t id = row->id;

		if (id == VECTOR_V0) {
			uint64_t vlenb = 0;

			if (w->vcpu->hv->ops->get_reg(w->vcpu, RISCV_REG(U64, KVM_REG_RISCV_VECTOR, KVM_REG_RISCV_VECTOR_CSR_REG(vlenb)),
						      &vlenb) < 0 || !is_pow2(vlenb) || vlenb > 256)
				continue;
			id |= size_bits(vlenb);
		}
		for (unsigned int k = 0; k < row->count; k++)
			visit(w, id + k);
	}
	visit_exts(w, riscv_isa_exts, riscv_n_isa_exts, RISCV_REG_ISA(0));
	visit_exts(w, riscv_sbi_exts, riscv_n_sbi_exts, RISCV_REG_SBI(0));
}

int riscv_for_each_reg(struct machine *m, unsigned int i, void (*fn)(void *ctx, const struct arch_reg *reg), void *ctx)
{
	struct walk w = { .vcpu = m->vcpu[i].hv, .fn = fn, .ctx = ctx };
	int n = reg_give_all(w.vcpu, riscv_reg_name, fn, ctx);

	if (n)
		return n;
	walk_table(&w);
	return w.n;
}

/* Names in rows of a dump, with where they come from. */
static const struct reg_dumped dumped[] = {
#define D(f) { #f, RISCV_REG_CORE(regs.f) }
#define DC(f) { #f, RISCV_REG_CSR(f) }
	D(pc), { "mode", RISCV_REG_CORE(mode) }, DC(sstatus), DC(satp),
	D(ra), D(sp), D(gp), D(tp), D(t0), D(t1), D(t2), D(t3), D(t4), D(t5), D(t6), D(s0),
	D(a0), D(a1), D(a2), D(a3), D(a4), D(a5), D(a6), D(a7), D(s1), D(s2), D(s3), D(s4),
	D(s5), D(s6), D(s7), D(s8), D(s9), D(s10), D(s11), DC(stvec),
	DC(sepc), DC(scause), DC(stval), DC(sie), DC(sip), DC(sscratch),
#undef D
#undef DC
};

void riscv_dump_vcpu(struct machine *m, unsigned int i, char *buf, size_t len)
{
	reg_dump(i < m->n_vcpus ? m->vcpu[i].hv : NULL, dumped, ARRAY_SIZE(dumped), buf, len);
}

/* Registers whose value after reset is not left to the guest's software. The rest (x1 to x31, fp, vector) is cleared for privacy's sake. */
static const struct {
	uint64_t id, value;
	bool must; /* exists on every host */
} reset_values[] = {
	{ RISCV_REG_CORE(mode), KVM_RISCV_MODE_S, true },
	{ RISCV_REG_CSR(sstatus), 0, true },
	{ RISCV_REG_CSR(sie), 0, true },
	{ RISCV_REG_CSR(stvec), 0, true },
	{ RISCV_REG_CSR(sscratch), 0, true },
	{ RISCV_REG_CSR(sepc), 0, true },
	{ RISCV_REG_CSR(scause), 0, true },
	{ RISCV_REG_CSR(stval), 0, true },
	{ RISCV_REG_CSR(sip), 0, true },
	{ RISCV_REG_CSR(satp), 0, true },
	{ RISCV_REG_CSR(scounteren), 7, false },
	{ RISCV_REG_CSR(senvcfg), 0, false },
	{ RISCV_REG(U64, KVM_REG_RISCV_CSR | KVM_REG_RISCV_CSR_AIA, KVM_REG_RISCV_CSR_AIA_REG(siselect)), 0, false },
	{ RISCV_REG(U64, KVM_REG_RISCV_CSR | KVM_REG_RISCV_CSR_AIA, KVM_REG_RISCV_CSR_AIA_REG(iprio1)), 0, false },
	{ RISCV_REG(U64, KVM_REG_RISCV_CSR | KVM_REG_RISCV_CSR_AIA, KVM_REG_RISCV_CSR_AIA_REG(iprio2)), 0, false },
	{ RISCV_REG(U64, KVM_REG_RISCV_CSR | KVM_REG_RISCV_CSR_SMSTATEEN, KVM_REG_RISCV_CSR_SMSTATEEN_REG(sstateen0)), 0, false },
	{ RISCV_REG_TIMER(compare), UINT64_MAX, false },
	{ RISCV_REG_TIMER(state), KVM_RISCV_TIMER_STATE_OFF, false },
	/* No shared memory: KVM must not write stolen time into what is somebody else's now. */
	{ RISCV_REG_STA(shmem_lo), UINT64_MAX, false },
	{ RISCV_REG_STA(shmem_hi), UINT64_MAX, false },
};

int riscv_reset_vcpu(struct machine *m, unsigned int i, struct err *e)
{
	struct hv_vcpu *vcpu = m->vcpu[i].hv;
	const struct hv_ops *ops = vcpu->hv->ops;
	uint64_t v;
	int r;

	if (riscv_state(m)->reset_by_hv && ops->set_mp_state(vcpu, KVM_MP_STATE_INIT_RECEIVED) >= 0)
		return 0;
	for (unsigned int k = 0; k < ARRAY_SIZE(reset_values); k++) {
		v = reset_values[k].value;
		r = ops->set_reg(vcpu, reset_values[k].id, &v);
		if (r < 0 && reset_values[k].must)
			return err_set(e, r, "hart %u cannot be reset: KVM refuses register 0x%" PRIx64 " (%s)", i, reset_values[k].id,
				       err_name(r));
	}
	for (unsigned int k = 1; k < 32; k++) {
		v = 0;
		r = ops->set_reg(vcpu, RISCV_REG_CORE(regs.pc) + k, &v);
		if (r < 0)
			return err_set(e, r, "hart %u cannot be reset: KVM refuses register x%u (%s)", i, k, err_name(r));
	}
	return 0;
}
