// SPDX-License-Identifier: MIT
/*
 * Back to the state after power-on, register by register: KVM has no reset of its GIC but the ITS's. Offsets are those of IHI 0069 chapter 12 and IHI 0048 chapter 4; what they mean
 * when user space writes them (a pending register is set as a whole, for example) is in the kernel's devices/arm-vgic-v3 and arm-vgic.
 */
#include <asm/kvm.h>
#include <linux/kvm.h>

#include "arch/arm64/gic_internal.h"

#define GICD_CTLR 0x0000
#define GICR_CTLR 0x0000
#define GICR_PROPBASER 0x0070
#define GICR_PENDBASER 0x0078
#define GICR_SGI_BASE 0x10000

/* Registers with some bits for each interrupt, at the same offsets in a distributor and (with SGI_BASE) in a redistributor: written in this order. */
static const struct bank {
	uint32_t offset;
	unsigned int bits; /* an interrupt */
	uint32_t value;	   /* of a whole register */
	bool v3_only;
} banks[] = {
	{ 0x0180, 1, UINT32_MAX, false }, /* ICENABLER: first, since an enabled interrupt may not be changed */
	{ 0x0200, 1, 0, false },	  /* ISPENDR: on a GICv3 the written value is the state */
	{ 0x0280, 1, UINT32_MAX, false }, /* ICPENDR: on a GICv2 this clears */
	{ 0x0380, 1, UINT32_MAX, false }, /* ICACTIVER */
	{ 0x0400, 8, 0, false },	  /* IPRIORITYR */
	{ 0x0c00, 2, 0, false },	  /* ICFGR: level */
	{ 0x0080, 1, UINT32_MAX, true },  /* IGROUPR: KVM's GICv3 starts with group 1 */
};

/* Software-generated interrupts are enabled from the start. */
#define GIC_ISENABLER 0x0100
#define GIC_SGIS 0xffff

/* Those that KVM has for shared interrupts only. */
#define GICD_ITARGETSR 0x0800
#define GICD_IROUTER 0x6000
#define GICD_CPENDSGIR 0x0f10
#define GICC_APR 0x00d0

#define ICC(op1, crn, crm, op2) (3u << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))
#define ICC_CTLR_EL1 ICC(0, 12, 12, 4)
#define ICC_CTLR_GUEST UINT64_C(0x3) /* EOImode and CBPR; the rest says what the hardware has */

static const struct {
	uint32_t id;
	bool optional; /* exists with more bits of priority */
} icc_zero[] = {
	{ ICC(0, 12, 12, 6), false }, /* IGRPEN0 */
	{ ICC(0, 12, 12, 7), false }, /* IGRPEN1 */
	{ ICC(0, 4, 6, 0), false },   /* PMR */
	{ ICC(0, 12, 8, 3), false },  /* BPR0: the least that the hardware has */
	{ ICC(0, 12, 12, 3), false }, /* BPR1 */
	{ ICC(0, 12, 8, 4), false },  /* AP0R0 to 3 */
	{ ICC(0, 12, 8, 5), true },
	{ ICC(0, 12, 8, 6), true },
	{ ICC(0, 12, 8, 7), true },
	{ ICC(0, 12, 9, 0), false }, /* AP1R0 to 3 */
	{ ICC(0, 12, 9, 1), true },
	{ ICC(0, 12, 9, 2), true },
	{ ICC(0, 12, 9, 3), true },
};

/* The first error stays; what can be reset is reset all the same. */
struct reset {
	struct gic *g;
	unsigned int n_spis; /* all of them */
	int result;
};

static void note(struct reset *s, int r)
{
	if (r < 0 && s->result >= 0)
		s->result = r;
}

static void write_reg(struct reset *s, uint32_t group, uint64_t number, uint32_t value)
{
	note(s, s->g->hv->ops->device_attr(s->g->hv, s->g->fd, group, number, &value, true));
}

/* Interrupts [first, end) of all banks; `where` goes into each attribute: a vCPU, and the offset of the frame. */
static void write_banks(struct reset *s, uint32_t group, uint64_t where, unsigned int first, unsigned int end)
{
	for (unsigned int b = 0; b < ARRAY_SIZE(banks); b++) {
		unsigned int per_reg = 32 / banks[b].bits;

		if (banks[b].v3_only && !s->g->v3)
			continue;
		for (unsigned int i = first; i < end; i += per_reg)
			write_reg(s, group, where + banks[b].offset + i / per_reg * 4, banks[b].value);
	}
}

static void reset_icc(struct reset *s, uint64_t cpu)
{
	struct hv *hv = s->g->hv;
	uint64_t value = 0;
	int r;

	for (unsigned int i = 0; i < ARRAY_SIZE(icc_zero); i++) {
		value = 0;
		r = hv->ops->device_attr(hv, s->g->fd, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, cpu | icc_zero[i].id, &value, true);
		if (!icc_zero[i].optional)
			note(s, r);
	}
	r = hv->ops->device_attr(hv, s->g->fd, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, cpu | ICC_CTLR_EL1, &value, false);
	if (r >= 0) {
		value &= ~ICC_CTLR_GUEST;
		r = hv->ops->device_attr(hv, s->g->fd, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, cpu | ICC_CTLR_EL1, &value, true);
	}
	note(s, r);
}

static void reset_v3(struct reset *s)
{
	struct gic *g = s->g;

	for (unsigned int i = 0; i < g->config.n_vcpus; i++) {
		struct hv_vcpu *vcpu = g->config.vcpu[i].hv;
		uint64_t mpidr = 0, cpu;
		int r = g->hv->ops->get_reg(vcpu, ARM64_SYS_REG(3, 0, 0, 0, 5), &mpidr);

		note(s, r);
		if (r < 0)
			continue;
		/* Aff3 lies at 63..56 of the attribute, the other three below it (devices/arm-vgic-v3). */
		cpu = (mpidr & 0xffffff) << 32 | (mpidr >> 32 & 0xff) << 56;
		write_reg(s, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, cpu | GICR_CTLR, 0); /* no LPIs: else the tables cannot be written */
		for (unsigned int half = 0; half < 8; half += 4) {
			write_reg(s, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, cpu | (GICR_PROPBASER + half), 0);
			write_reg(s, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, cpu | (GICR_PENDBASER + half), 0);
		}
		write_banks(s, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, cpu | GICR_SGI_BASE, 0, GIC_FIRST_SPI);
		write_reg(s, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, cpu | GICR_SGI_BASE | GIC_ISENABLER, GIC_SGIS);
		reset_icc(s, cpu);
	}
	/* the upper halves are not KVM's: it has no Aff3 */
	for (unsigned int i = 0; i < s->n_spis; i++)
		write_reg(s, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, GICD_IROUTER + 8 * (GIC_FIRST_SPI + i), 0);
}

static void reset_v2(struct reset *s)
{
	/* GICC_CTLR, PMR, BPR, ABPR, and the active priorities */
	static const uint32_t gicc[] = { 0x00, 0x04, 0x08, 0x1c, GICC_APR };

	for (unsigned int i = 0; i < s->g->config.n_vcpus; i++) {
		uint64_t cpu = (uint64_t)i << KVM_DEV_ARM_VGIC_CPUID_SHIFT;

		write_banks(s, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, cpu, 0, GIC_FIRST_SPI);
		write_reg(s, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, cpu | GIC_ISENABLER, GIC_SGIS);
		for (unsigned int w = 0; w < 16; w += 4)
			write_reg(s, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, cpu | (GICD_CPENDSGIR + w), UINT32_MAX);
		for (unsigned int r = 0; r < ARRAY_SIZE(gicc); r++)
			write_reg(s, KVM_DEV_ARM_VGIC_GRP_CPU_REGS, cpu | gicc[r], 0);
	}
	for (unsigned int i = 0; i < s->n_spis; i += 4)
		write_reg(s, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, GICD_ITARGETSR + GIC_FIRST_SPI + i, 0);
}

int gic_reset(struct gic *g)
{
	struct reset s = { g, g->n_spis + (g->v2m ? GIC_V2M_SPIS : 0), 0 };

	if (g->its)
		note(&s, g->hv->ops->device_attr(g->hv, g->its_fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_ITS_CTRL_RESET, NULL, true));
	write_reg(&s, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, GICD_CTLR, 0);
	write_banks(&s, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, GIC_FIRST_SPI, GIC_FIRST_SPI + s.n_spis);
	if (g->v3)
		reset_v3(&s);
	else
		reset_v2(&s);
	return s.result;
}
