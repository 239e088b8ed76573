// SPDX-License-Identifier: MIT
/*
 * The in-kernel interrupt controller of arm64: GICv3 with or without an ITS (Arm IHI 0069), GICv2 (IHI 0048) with or without a v2m frame (Arm DEN 0029, "GICv2m").
 * KVM emulates or accelerates them; this is the set-up, the lines, the reset and the device tree. The v2m frame is ours, on the bus.
 *
 * Where it lies: the distributor at dist_base, everything else below it, page by 64 KiB page: the ITS (128 KiB) and then the redistributors (128 KiB a vCPU, growing down
 * with their number), or the CPU interface (128 KiB) and then the v2m frame.
 */
#ifndef LKVM_ARCH_ARM64_GIC_H
#define LKVM_ARCH_ARM64_GIC_H

#include "arch/arch.h"
#include "base/err.h"
#include "base/util.h"
#include "bus.h"
#include "dt.h"
#include "hv/hv.h"
#include "irq.h"

#define GIC_MAX_VCPUS 512
#define GICV2_MAX_VCPUS 8
#define GIC_MAX_SPIS 960	/* an INTID below 1020, in blocks of 32 */
#define GIC_V2M_SPIS 32		/* the last ones, when there is a v2m frame */
#define GIC_MAINTENANCE_INTID 25 /* a PPI, "Base System Architecture" */

enum arm64_irqchip {
	ARM64_IRQCHIP_AUTO,
	ARM64_IRQCHIP_GICV3_ITS,
	ARM64_IRQCHIP_GICV3,
	ARM64_IRQCHIP_GICV2M,
	ARM64_IRQCHIP_GICV2,
};

struct gic;

struct gic_config {
	enum arm64_irqchip kind;
	unsigned int n_vcpus;
	const struct machine_vcpu *vcpu; /* n_vcpus of them, as long as the GIC; their MPIDR is read at each reset */
	unsigned int n_spis;		 /* wished, 1 to GIC_MAX_SPIS; rounded up to full blocks of 32 */
	uint64_t dist_base;		 /* aligned to 64 KiB */
	uint64_t redist_floor;		 /* the redistributors below the distributor do not reach below this address */
	uint64_t redist_high;		 /* those of further vCPUs start here, in a region of their own (aligned to 64 KiB); 0: no place */
	struct bus *bus;		 /* for the v2m frame */
	uint32_t phandle;		 /* the GIC's; the ITS's or the frame's is the next */
	bool nested;			 /* the guests have an EL2: the maintenance interrupt is set and stands in the tree */
};

/*
 * Never AUTO in *ret: for AUTO the best that this host can create. Works before any vCPU exists. -EOPNOTSUPP when the host cannot create what was asked for, -EINVAL when
 * it has no place for so many vCPUs; the sentence says what to give instead.
 */
int gic_choose(struct hv *hv, enum arm64_irqchip wish, unsigned int n_vcpus, enum arm64_irqchip *ret, struct err *e);

/* After all vCPUs (and their finalization). Errors: KVM's, each with the sentence that says which step it refused; -EEXIST when the bus is taken. */
int gic_create(struct hv *hv, const struct gic_config *config, struct gic **ret, struct err *e);
void gic_destroy(struct gic *g); /* before its hv; NULL is fine */
DEFINE_CLEANUP(gic, gic_destroy)

enum arm64_irqchip gic_kind(const struct gic *g);
const char *gic_name(enum arm64_irqchip kind); /* as --irqchip spells it; not AUTO */
/* SPIs that gic_line gives out, from 0: those of a v2m frame lie behind them. */
unsigned int gic_n_spis(const struct gic *g);
/* The line of shared peripheral interrupt `spi` (INTID 32 + spi); its n is the spi. -EINVAL from gic_n_spis() on. Line operations are thread-safe. */
int gic_line(struct gic *g, unsigned int spi, enum irq_trigger trigger, struct irq_line *ret);

/* As after power-on, with all vCPUs stopped (KVM refuses to write registers while one runs). 0, or the first error of KVM. */
int gic_reset(struct gic *g);

/* interrupt-controller@<dist_base> with its MSI controller inside, where two cells each are an address and a size. */
void gic_write_node(const struct gic *g, struct dt *dt);
/* How struct dt_irq spells this controller's lines: three cells. */
unsigned int gic_dt_cells(const struct irq_line *line, uint32_t cells[4]);
/* The three cells of the private peripheral interrupt with this INTID (16 to 31), level high. */
void gic_dt_ppi(const struct gic *g, unsigned int intid, uint32_t cells[3]);

#endif
