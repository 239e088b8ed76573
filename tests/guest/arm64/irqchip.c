// SPDX-License-Identifier: MIT
/* GICv3 (Arm IHI 0069) by system registers and redistributors, or GICv2 (Arm IHI 0048) by its CPU interface. */
#include "guest.h"

#define GICD_CTLR 0x0000
#define GICD_IGROUPR 0x0080
#define GICD_ISENABLER 0x0100
#define GICD_ICENABLER 0x0180
#define GICD_ISPENDR 0x0200
#define GICD_ICPENDR 0x0280
#define GICD_ISACTIVER 0x0300
#define GICD_IPRIORITYR 0x0400
#define GICD_ITARGETSR 0x0800
#define GICD_ICFGR 0x0c00
#define GICD_SGIR 0x0f00
#define GICD_IROUTER 0x6000
#define GICR_TYPER 0x0008
#define GICR_WAKER 0x0014
#define GICR_SGI 0x10000 /* the frame whose registers are as the distributor's first ones */
#define GICC_CTLR 0x00
#define GICC_PMR 0x04
#define GICC_IAR 0x0c
#define GICC_EOIR 0x10

static struct {
	irq_fn fn;
	void *ctx;
} handler[1024];

volatile bool irq_single_claim;
volatile uint64_t irq_claims, irq_empty_claims;
void (*volatile private_hook)(unsigned int intid);
static uint64_t redist[MAX_HARTS]; /* of a CPU, once it has come up */

const char *irq_chip(void)
{
	return machine.gicv3 ? machine.has_its ? "GICv3 with ITS" : "GICv3" : machine.has_v2m ? "GICv2 with v2m" : "GICv2";
}

/* The redistributor whose affinity is this CPU's; the last frame of a region says that it is. */
static uint64_t find_redist(void)
{
	uint64_t mpidr = sysreg_read(mpidr_el1);
	uint32_t affinity = (uint32_t)((mpidr & 0xffffff) | (mpidr >> 8 & 0xff000000));

	for (unsigned int i = 0; i < machine.n_redist; i++) {
		for (uint64_t at = machine.gic_redist[i].base; at < machine.gic_redist[i].base + machine.gic_redist[i].size; at += 0x20000) {
			uint64_t typer = read64(at + GICR_TYPER);

			if (typer >> 32 == affinity)
				return at;
			if (typer & 0x10)
				break;
		}
	}
	fail("redistributor", "CPU %u has none", this_hart());
	return machine.gic_redist[0].base;
}

/* The frame that has an interrupt's bits: its own CPU's for private ones. */
static uint64_t frame(unsigned int intid)
{
	return intid < 32 && machine.gicv3 ? redist[this_hart()] + GICR_SGI : machine.gic_dist;
}

static void set_bit(unsigned int intid, uint64_t at)
{
	write32(frame(intid) + at + intid / 32 * 4, 1u << intid % 32);
}

static bool get_bit(unsigned int intid, uint64_t at)
{
	return read32(frame(intid) + at + intid / 32 * 4) >> intid % 32 & 1;
}

bool gic_pending(unsigned int intid) { return get_bit(intid, GICD_ISPENDR); }
bool gic_active(unsigned int intid) { return get_bit(intid, GICD_ISACTIVER); }
void gic_set_pending(unsigned int intid, bool on) { set_bit(intid, on ? GICD_ISPENDR : GICD_ICPENDR); }
void gic_private_enable(unsigned int intid, bool on) { set_bit(intid, on ? GICD_ISENABLER : GICD_ICENABLER); }

void irq_hart_init(void)
{
	unsigned int hart = this_hart();

	if (machine.gicv3) {
		redist[hart] = find_redist();
		write32(machine.gic_dist + GICD_CTLR, 0x12); /* ARE, EnableGrp1 */
		write32(redist[hart] + GICR_WAKER, 0);
		write32(redist[hart] + GICR_SGI + GICD_IGROUPR, UINT32_MAX);
		sysreg_write(s3_0_c12_c12_5, 1);  /* ICC_SRE_EL1 */
		sysreg_write(s3_0_c4_c6_0, 0xff); /* ICC_PMR_EL1 */
		sysreg_write(s3_0_c12_c12_7, 1);  /* ICC_IGRPEN1_EL1 */
	} else {
		write32(machine.gic_dist + GICD_CTLR, 1);
		write32(machine.gic_cpu + GICC_PMR, 0xff);
		write32(machine.gic_cpu + GICC_CTLR, 1);
	}
	gic_private_enable(KICK_SGI, true);
}

void irq_setup(unsigned int source, bool level, irq_fn fn, void *ctx)
{
	uint64_t at = machine.gic_dist + GICD_ICFGR + source / 16 * 4;
	uint32_t shift = source % 16 * 2, v = read32(at) & ~(3u << shift);

	handler[source].ctx = ctx;
	handler[source].fn = fn;
	fence();
	write32(at, v | (machine.level[source] ? 0 : 2u << shift));
	write8(machine.gic_dist + GICD_IPRIORITYR + source, 0x80);
	if (machine.gicv3) {
		at = machine.gic_dist + GICD_IGROUPR + source / 32 * 4;
		write32(at, read32(at) | 1u << source % 32);
	}
}

void irq_enable(unsigned int source, unsigned int hart, bool on)
{
	if (!on) {
		set_bit(source, GICD_ICENABLER);
		return;
	}
	if (machine.gicv3)
		write64(machine.gic_dist + GICD_IROUTER + 8UL * source, machine.mpidr[hart]);
	else
		write8(machine.gic_dist + GICD_ITARGETSR + source, (uint8_t)(1u << hart));
	set_bit(source, GICD_ISENABLER);
}

void gic_send_sgi(unsigned int hart, unsigned int intid)
{
	uint64_t m = machine.mpidr[hart];

	__asm__ volatile("dsb ishst" : : : "memory");
	if (machine.gicv3)
		sysreg_write(s3_0_c12_c11_5, (m >> 32 & 0xff) << 48 | (m >> 16 & 0xff) << 32 | (uint64_t)intid << 24 | (m >> 8 & 0xff) << 16 | 1u << (m & 0xf));
	else
		write32(machine.gic_dist + GICD_SGIR, 1u << (16 + hart) | intid);
}

static void dispatch(unsigned int intid)
{
	unsigned int hart = this_hart();

	if (intid < 32 && private_hook) {
		private_hook(intid);
	} else if (intid == KICK_SGI) {
		__atomic_fetch_add(&software_count[hart], 1, __ATOMIC_RELAXED);
	} else if (intid == TIMER_INTID) {
		sysreg_write(cntv_ctl_el0, 0);
		__atomic_fetch_add(&timer_count[hart], 1, __ATOMIC_RELAXED);
	} else {
		__atomic_fetch_add(&irq_claims, 1, __ATOMIC_RELAXED);
		if (handler[intid].fn)
			handler[intid].fn(handler[intid].ctx);
		else
			fail("interrupt", "%u, which nobody wants", intid);
	}
}

bool gic_take(void)
{
	uint32_t iar = machine.gicv3 ? (uint32_t)sysreg_read(s3_0_c12_c12_0) : read32(machine.gic_cpu + GICC_IAR);
	uint32_t intid = iar & (machine.gicv3 ? 0xffffff : 0x3ff);

	fence();
	if (intid >= 1020)
		return false;
	dispatch(intid);
	fence();
	if (machine.gicv3)
		sysreg_write(s3_0_c12_c12_1, iar);
	else
		write32(machine.gic_cpu + GICC_EOIR, iar);
	return true;
}
