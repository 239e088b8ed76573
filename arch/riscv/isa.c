// SPDX-License-Identifier: MIT
/*
 * ISA and SBI extensions: one row makes the option --disable-<name>, its help, the ONE_REG calls, the register's name and, for ISA
 * extensions, the names in the device tree. ISA rows stand in the canonical order of the unprivileged specification's naming chapter
 * (single letters, then Z by second letter and alphabet, then S), which is the order of the riscv,isa string.
 */
#include <errno.h>
#include <stdio.h>

#include "arch/riscv/riscv.h"

#define ISA_EXTENSIONS(X) \
	X(i, I) X(m, M) X(a, A) X(f, F) X(d, D) X(c, C) X(v, V) X(h, H) \
	X(zicbom, ZICBOM) X(zicbop, ZICBOP) X(zicboz, ZICBOZ) X(ziccrse, ZICCRSE) X(zicfilp, ZICFILP) X(zicfiss, ZICFISS) \
	X(zicntr, ZICNTR) X(zicond, ZICOND) X(zicsr, ZICSR) X(zifencei, ZIFENCEI) X(zihintntl, ZIHINTNTL) \
	X(zihintpause, ZIHINTPAUSE) X(zihpm, ZIHPM) X(zilsd, ZILSD) X(zimop, ZIMOP) \
	X(zaamo, ZAAMO) X(zabha, ZABHA) X(zacas, ZACAS) X(zalasr, ZALASR) X(zalrsc, ZALRSC) X(zawrs, ZAWRS) \
	X(zfa, ZFA) X(zfbfmin, ZFBFMIN) X(zfh, ZFH) X(zfhmin, ZFHMIN) \
	X(zca, ZCA) X(zcb, ZCB) X(zcd, ZCD) X(zcf, ZCF) X(zclsd, ZCLSD) X(zcmop, ZCMOP) \
	X(zba, ZBA) X(zbb, ZBB) X(zbc, ZBC) X(zbkb, ZBKB) X(zbkc, ZBKC) X(zbkx, ZBKX) X(zbs, ZBS) \
	X(zknd, ZKND) X(zkne, ZKNE) X(zknh, ZKNH) X(zkr, ZKR) X(zksed, ZKSED) X(zksh, ZKSH) X(zkt, ZKT) \
	X(ztso, ZTSO) \
	X(zvbb, ZVBB) X(zvbc, ZVBC) X(zvfbfmin, ZVFBFMIN) X(zvfbfwma, ZVFBFWMA) X(zvfh, ZVFH) X(zvfhmin, ZVFHMIN) \
	X(zvkb, ZVKB) X(zvkg, ZVKG) X(zvkned, ZVKNED) X(zvknha, ZVKNHA) X(zvknhb, ZVKNHB) X(zvksed, ZVKSED) X(zvksh, ZVKSH) \
	X(zvkt, ZVKT) \
	X(smnpm, SMNPM) X(smstateen, SMSTATEEN) X(ssaia, SSAIA) X(sscofpmf, SSCOFPMF) X(ssnpm, SSNPM) X(sstc, SSTC) \
	X(svade, SVADE) X(svadu, SVADU) X(svinval, SVINVAL) X(svnapot, SVNAPOT) X(svpbmt, SVPBMT) X(svvptc, SVVPTC)

/* name, id, enable: extensions that KVM leaves off and forwards to us */
#define SBI_EXTENSIONS(X) \
	X(legacy, V01, false) X(time, TIME, false) X(ipi, IPI, false) X(rfence, RFENCE, false) X(srst, SRST, false) \
	X(hsm, HSM, false) X(pmu, PMU, false) X(experimental, EXPERIMENTAL, false) X(vendor, VENDOR, false) \
	X(dbcn, DBCN, true) X(sta, STA, false) X(susp, SUSP, true) X(fwft, FWFT, false) X(mpxy, MPXY, false)

#define ISA_ROW(n, ID) { .name = #n, .id = KVM_RISCV_ISA_EXT_##ID },
#define SBI_ROW(n, ID, on) { .name = #n, .id = KVM_RISCV_SBI_EXT_##ID, .enable = on },

const struct riscv_ext riscv_isa_exts[] = { ISA_EXTENSIONS(ISA_ROW) };
const unsigned int riscv_n_isa_exts = ARRAY_SIZE(riscv_isa_exts);
const struct riscv_ext riscv_sbi_exts[] = { SBI_EXTENSIONS(SBI_ROW) };
const unsigned int riscv_n_sbi_exts = ARRAY_SIZE(riscv_sbi_exts);

_Static_assert(ARRAY_SIZE(riscv_isa_exts) == KVM_RISCV_ISA_EXT_MAX, "an ISA extension of <asm/kvm.h> has no row");
_Static_assert(ARRAY_SIZE(riscv_sbi_exts) == KVM_RISCV_SBI_EXT_MAX, "an SBI extension of <asm/kvm.h> has no row");

#define FIELD(f) offsetof(struct riscv_config, f)
#define ISA_OPTION(n, ID)                                                                                                      \
	{ .name = "disable-" #n, .type = OPTION_FLAG, .offset = FIELD(disable_isa[KVM_RISCV_ISA_EXT_##ID]),                    \
	  .help = "hide the ISA extension " #n " from the guest", .group = "RISC-V" },
#define SBI_OPTION(n, ID, on)                                                                                                  \
	{ .name = "disable-sbi-" #n, .type = OPTION_FLAG, .offset = FIELD(disable_sbi[KVM_RISCV_SBI_EXT_##ID]),                \
	  .help = "hide the SBI extension " #n " from the guest", .group = "RISC-V" },

static const char *const irqchips[] = { "auto", "plic", "aia", "plic-kernel", NULL };

const struct option riscv_options[] = {
	{ .name = "irqchip", .type = OPTION_CHOICE, .offset = FIELD(irqchip), .choices = irqchips, .value = "auto|plic|aia|plic-kernel",
	  .help = "interrupt controller; auto takes the first that the host can give: aia, plic-kernel, plic", .group = "RISC-V" },
	{ .name = "custom-mvendorid", .type = OPTION_UINT, .offset = FIELD(mvendorid), .value = "ID",
	  .help = "vendor id that the guest sees (0: the host's)", .group = "RISC-V" },
	{ .name = "custom-marchid", .type = OPTION_UINT, .offset = FIELD(marchid), .value = "ID",
	  .help = "architecture id that the guest sees (0: the host's)", .group = "RISC-V" },
	{ .name = "custom-mimpid", .type = OPTION_UINT, .offset = FIELD(mimpid), .value = "ID",
	  .help = "implementation id that the guest sees (0: the host's)", .group = "RISC-V" },
	{ .name = "no-pvtime", .group = "Not served", .refused = "--no-pvtime: stolen time is an SBI extension on this architecture; use --disable-sbi-sta" },
	ISA_EXTENSIONS(ISA_OPTION)
	SBI_EXTENSIONS(SBI_OPTION)
};
_Static_assert(ARRAY_SIZE(riscv_options) == RISCV_N_OPTIONS, "RISCV_N_OPTIONS counts the rows above");

const char *riscv_irqchip_name(enum riscv_irqchip chip)
{
	return irqchips[chip];
}

static int get(struct hv_vcpu *vcpu, uint64_t id, uint64_t *ret)
{
	uint64_t v = 0;
	int r = vcpu->hv->ops->get_reg(vcpu, id, &v);

	if (r >= 0)
		*ret = v;
	return r;
}

static int set(struct hv_vcpu *vcpu, uint64_t id, uint64_t v)
{
	return vcpu->hv->ops->set_reg(vcpu, id, &v);
}

/* Turns an extension off: 1 done (one that the host does not have is off already), 0 when KVM cannot take it away, -errno. */
static int disable(struct hv_vcpu *vcpu, uint64_t id)
{
	uint64_t v = 0;
	int r = get(vcpu, id, &v);

	if (riscv_reg_missing(r) || (r >= 0 && !v))
		return 1;
	if (r >= 0)
		r = set(vcpu, id, 0);
	if (riscv_reg_missing(r))
		return 0;
	return r < 0 ? r : 1;
}

static int disable_error(struct err *e, int r, const char *option, const char *name)
{
	return err_set(e, r, "--%s%s: KVM refuses to hide %s from the guest (%s); leave the option out", option, name, name, err_name(r));
}

static int set_custom(struct hv_vcpu *vcpu, uint64_t id, uint64_t v, const char *option, struct err *e)
{
	int r = v ? set(vcpu, id, v) : 0;

	if (r < 0)
		return err_set(e, r, "--%s: this host's KVM cannot change it (%s); Linux 6.2 or newer can", option, err_name(r));
	return 0;
}

int riscv_isa_apply(struct machine *m, struct hv_vcpu *vcpu, struct err *e)
{
	const struct riscv_config *c = riscv_config(m);
	int r;

	for (unsigned int i = 0; i < riscv_n_isa_exts; i++) {
		const struct riscv_ext *x = &riscv_isa_exts[i];

		if (!c->disable_isa[x->id])
			continue;
		/* Much of the unprivileged ISA has no switch in hardware; then the tree alone says that it is not there. */
		r = disable(vcpu, RISCV_REG_ISA(x->id));
		if (r < 0)
			return disable_error(e, r, "disable-", x->name);
		if (!r && !vcpu->id)
			log_warning(m->log, "--disable-%s: hidden in the device tree only, this host cannot trap its instructions", x->name);
	}
	/* Interrupts come through the PLIC: the guest must not look for them in the AIA's registers. Old kernels cannot hide them. */
	if (riscv_state(m)->irqchip != RISCV_IRQCHIP_AIA)
		disable(vcpu, RISCV_REG_ISA(KVM_RISCV_ISA_EXT_SSAIA));
	for (unsigned int i = 0; i < riscv_n_sbi_exts; i++) {
		const struct riscv_ext *x = &riscv_sbi_exts[i];

		if (c->disable_sbi[x->id]) {
			r = disable(vcpu, RISCV_REG_SBI(x->id));
			if (r <= 0)
				return disable_error(e, r ? r : -EINVAL, "disable-sbi-", x->name);
		} else if (x->enable) {
			r = set(vcpu, RISCV_REG_SBI(x->id), 1);
			if (r < 0 && !riscv_reg_missing(r))
				return err_set(e, r, "KVM refuses the SBI extension %s: %s; try --disable-sbi-%s", x->name, err_name(r),
					       x->name);
		}
	}
	r = set_custom(vcpu, RISCV_REG_CONFIG(mvendorid), c->mvendorid, "custom-mvendorid", e);
	if (r >= 0)
		r = set_custom(vcpu, RISCV_REG_CONFIG(marchid), c->marchid, "custom-marchid", e);
	if (r >= 0)
		r = set_custom(vcpu, RISCV_REG_CONFIG(mimpid), c->mimpid, "custom-mimpid", e);
	return r;
}

/* The extensions of a vCPU: 64 at once where the host can (6.4), else one by one; single letters as a last resort. */
static int read_extensions(struct riscv_state *s, struct hv_vcpu *vcpu, struct err *e)
{
	uint64_t multi[KVM_REG_RISCV_ISA_MULTI_REG_LAST + 1] = { 0 }, v, letters;
	bool have_multi = true, any = false;
	int r;

	for (unsigned int i = 0; i < ARRAY_SIZE(multi); i++) {
		r = get(vcpu, RISCV_REG(U64, KVM_REG_RISCV_ISA_EXT | KVM_REG_RISCV_ISA_MULTI_EN, i), &multi[i]);
		/* A host that knows fewer than 64 extensions has the first register only. */
		if (r < 0 && !i)
			have_multi = false;
	}
	for (unsigned int i = 0; i < riscv_n_isa_exts; i++) {
		unsigned int id = riscv_isa_exts[i].id;

		v = 0;
		if (have_multi)
			v = multi[id / 64] >> (id % 64) & 1;
		else
			get(vcpu, RISCV_REG_ISA(id), &v);
		s->isa[id] = v;
		any |= s->isa[id];
	}
	if (any)
		return 0;
	r = get(vcpu, RISCV_REG_CONFIG(isa), &letters);
	if (r < 0)
		return err_set(e, r, "KVM does not say which instructions the guest has (%s): a host kernel from 6.1 on is needed",
			       err_name(r));
	for (unsigned int i = 0; i < riscv_n_isa_exts; i++)
		if (!riscv_isa_exts[i].name[1])
			s->isa[riscv_isa_exts[i].id] = letters >> (riscv_isa_exts[i].name[0] - 'a') & 1;
	return 0;
}

int riscv_isa_read(struct machine *m, struct hv_vcpu *vcpu, struct err *e)
{
	struct riscv_state *s = riscv_state(m);
	int r = read_extensions(s, vcpu, e);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < riscv_n_isa_exts; i++)
		if (riscv_config(m)->disable_isa[riscv_isa_exts[i].id])
			s->isa[riscv_isa_exts[i].id] = false;
	if (s->irqchip != RISCV_IRQCHIP_AIA)
		s->isa[KVM_RISCV_ISA_EXT_SSAIA] = false;
	s->satp_mode = 8;
	s->timebase = 0;
	s->cbom = s->cboz = s->cbop = 0;
	get(vcpu, RISCV_REG_CONFIG(satp_mode), &s->satp_mode);
	if (s->isa[KVM_RISCV_ISA_EXT_ZICBOM])
		get(vcpu, RISCV_REG_CONFIG(zicbom_block_size), &s->cbom);
	if (s->isa[KVM_RISCV_ISA_EXT_ZICBOZ])
		get(vcpu, RISCV_REG_CONFIG(zicboz_block_size), &s->cboz);
	if (s->isa[KVM_RISCV_ISA_EXT_ZICBOP])
		get(vcpu, RISCV_REG_CONFIG(zicbop_block_size), &s->cbop);
	r = get(vcpu, RISCV_REG_TIMER(frequency), &s->timebase);
	if (r < 0 || !s->timebase)
		return err_set(e, r < 0 ? r : -EINVAL, "KVM does not say how fast the guest's clock runs: a host kernel from 6.1 on is needed");
	return 0;
}

/* Adds text at byte n as far as it fits, always ended; returns where the whole would end. (snprintf costs a thousand instructions a call.) */
static size_t append(char *buf, size_t len, size_t n, const char *text)
{
	size_t l = strlen(text);

	if (n < len) {
		size_t fits = MIN(l, len - 1 - n);

		memcpy(buf + n, text, fits);
		buf[n + fits] = 0;
	}
	return n + l;
}

int riscv_isa_string(const struct riscv_state *s, char *buf, size_t len)
{
	size_t n = append(buf, len, 0, "rv64");

	for (unsigned int i = 0; i < riscv_n_isa_exts; i++) {
		const struct riscv_ext *x = &riscv_isa_exts[i];

		if (!s->isa[x->id])
			continue;
		if (x->name[1])
			n = append(buf, len, n, "_");
		n = append(buf, len, n, x->name);
	}
	return (int)n;
}
