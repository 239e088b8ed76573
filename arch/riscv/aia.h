// SPDX-License-Identifier: MIT
/*
 * The in-kernel interrupt controller of RISC-V ("The RISC-V Advanced Interrupt Architecture", 1.0): one APLIC in MSI mode for wires, one IMSIC per
 * hart. KVM emulates or accelerates them; this is the set-up, the lines and the device tree.
 *
 * Lines that prefer edges get them (sourcecfg "edge1"): one pulse is one message. KVM's irqfd raises an APLIC wire and leaves it high, so a second edge would
 * be lost (kvm_arch_set_irq_inatomic); KVM_IRQ_LINE up and down under a lock of the line is used instead.
 */
#ifndef LKVM_ARCH_RISCV_AIA_H
#define LKVM_ARCH_RISCV_AIA_H

#include "base/err.h"
#include "base/util.h"
#include "dt.h"
#include "hv/hv.h"
#include "irq.h"

struct aia;

struct aia_config {
	unsigned int n_vcpus;
	unsigned int n_sources; /* wished; the host may grant fewer */
	uint64_t aplic_base, imsic_base; /* IMSIC of hart h: + h * 4096; aligned to that size rounded up to a power of two */
	uint32_t phandle;		 /* the APLIC's; the IMSICs' is the next */
	uint32_t intc_phandle;		 /* hart h's interrupt controller is intc_phandle + h */
	bool emulate;			 /* no guest interrupt files, even where the hardware has them */
};

/*
 * Whether a kernel of this release (uname -r) can leave a hart asleep that has an interrupt in its guest interrupt file: before Linux 6.17 KVM may wait for
 * the wake-up on a host CPU that the hart has left.
 */
bool aia_loses_wakeups(const char *release);
bool aia_host_loses_wakeups(void); /* the kernel under us */

/* After all vCPUs. Errors: KVM's, each with the sentence that says which step it refused. */
int aia_create(struct hv *hv, const struct aia_config *config, struct aia **ret, struct err *e);
void aia_destroy(struct aia *a);
DEFINE_CLEANUP(aia, aia_destroy)

unsigned int aia_n_sources(const struct aia *a);
/*
 * How many interrupts a hart can be sure to get: identities 1 to this. KVM (seen in 6.12) changes no more than the lower half of a register of an interrupt file that it emulates,
 * so that of each 64 identities 32 are never enabled.
 */
unsigned int aia_n_delivered(const struct aia *a);
/* The line of a source, 1 to aia_n_sources(); else -EINVAL. Line operations are thread-safe. */
int aia_line(struct aia *a, unsigned int source, enum irq_trigger preferred, struct irq_line *ret);

/* As after power-on, with vCPUs stopped. */
void aia_reset(struct aia *a);

/*
 * The state of APLIC and IMSICs, with vCPUs stopped: how many bytes it takes, or -errno; nothing is written when that is more than len. Loading begins with a reset;
 * levels of lines are their devices' to set again. -EINVAL: it is no state of a machine like this one.
 */
int64_t aia_save(struct aia *a, void *buf, size_t len);
int aia_load(struct aia *a, const void *buf, size_t len, struct err *e);

void aia_write_dt(const struct aia *a, struct dt *dt);
/* How struct dt_irq spells this controller's lines: source and trigger. */
unsigned int aia_dt_cells(const struct irq_line *line, uint32_t cells[4]);

#endif
