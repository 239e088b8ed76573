// SPDX-License-Identifier: MIT
/*
 * The platform-level interrupt controller of RISC-V, in user space ("RISC-V Platform-Level Interrupt Controller Specification",
 * 1.0.0; section names below are its own).
 *
 * Context 2h is hart h's M mode: all its registers work, its notification is not connected, since a guest has no M mode. Context 2h+1 is
 * hart h's S mode, wired to the vCPU's external interrupt, which is touched only when the level changes.
 *
 * Gateways: each source has a level input (set) and an edge input (pulse); both may be used. A request goes to the core when the gateway is
 * idle; the gateway is idle again after completion, when it looks at its level once more. A line that falls before the claim leaves the pending bit as it
 * is ("Interrupt Gateways"). One edge during service is remembered; edges before the claim merge.
 *
 * Where a coalescer is given, completions of an S context wait in its ring from that context's first successful claim on; the coalescer's watch is the
 * PLIC's (coalescer_set_busy).
 *
 * From the first claim on, the enable registers are a read-only memory slot where the host has such: Linux reads one at each end of interrupt. They then
 * answer accesses of any width.
 *
 * Locking: one leaf lock. The line operations may be called with any lock held, a coalescer's handler included; they never wait for the guest.
 */
#ifndef LKVM_HW_PLIC_H
#define LKVM_HW_PLIC_H

#include "base/bitmap.h"
#include "base/err.h"
#include "base/util.h"
#include "bus.h"
#include "coalesce.h"
#include "dt.h"
#include "hv/hv.h"
#include "irq.h"

#define PLIC_SIZE 0x4000000 /* bytes of address space: 15872 contexts */
#define PLIC_MAX_SOURCES 1023
#define PLIC_MAX_VCPUS 512
#define PLIC_MAX_PRIORITY 7 /* three bits; Linux masks everything with a threshold of 7 */

struct plic;

struct plic_config {
	struct hv_vcpu *const *vcpus; /* n_vcpus; the pointers are copied, the vCPUs outlive the PLIC */
	unsigned int n_vcpus;	      /* 1 to PLIC_MAX_VCPUS */
	unsigned int n_sources;	      /* 1 to PLIC_MAX_SOURCES */
	uint64_t base;
	struct coalescer *coalescer; /* or NULL: plain exits */
	struct hv *hv;		     /* or NULL: enables are read by exits; outlives the PLIC */
	unsigned int slot;	     /* the memory slot for them, the PLIC's own */
	uint32_t phandle;	     /* of the PLIC's own node */
	uint32_t intc_phandle;	     /* hart h's interrupt controller is intc_phandle + h */
};

/* For `lkvm stat`, the benchmarks and tests. */
struct plic_stats {
	uint64_t exits;	       /* register accesses that left the guest */
	uint64_t claims;       /* claims that returned a source */
	uint64_t empty_claims; /* claims that returned 0 */
	uint64_t completions;  /* taken by a gateway, queued ones included */
	uint64_t notifications; /* changes of a vCPU's external interrupt */
};

/* Plain state: what is saved is one plic_state and then 2 * n_vcpus contexts. */
#define PLIC_STATE_VERSION 1

struct plic_state {
	uint32_t version, n_sources, n_contexts, reserved;
	uint8_t priority[PLIC_MAX_SOURCES + 1];
	uint64_t pending[BITMAP_WORDS(PLIC_MAX_SOURCES + 1)];
	uint64_t busy[BITMAP_WORDS(PLIC_MAX_SOURCES + 1)];  /* the gateway waits for completion */
	uint64_t level[BITMAP_WORDS(PLIC_MAX_SOURCES + 1)]; /* the line's level */
	uint64_t edge[BITMAP_WORDS(PLIC_MAX_SOURCES + 1)];  /* an edge came during service */
};

struct plic_context_state {
	uint64_t enable[BITMAP_WORDS(PLIC_MAX_SOURCES + 1)];
	uint32_t threshold, reserved;
};

/* Puts the PLIC on the bus at config->base (bus NULL: on none, for tests that call plic_bus_ops themselves). -EINVAL, -ENOMEM, -EEXIST. */
int plic_create(const struct plic_config *config, struct bus *bus, struct plic **ret, struct err *e);
/* No line of it may be used any more. NULL is fine. */
void plic_destroy(struct plic *p);
DEFINE_CLEANUP(plic, plic_destroy)

extern const struct bus_ops plic_bus_ops;

/* The line of a source, 1 to n_sources; else -EINVAL. Level; a caller may pulse it as well. */
int plic_line(struct plic *p, unsigned int source, struct irq_line *ret);

/* "sifive,plic-1.0.0" node. */
void plic_write_dt(const struct plic *p, struct dt *dt);

/* The same of another PLIC that is configured so (in the kernel). */
void plic_write_node(const struct plic_config *config, struct dt *dt);

/* How struct dt_irq spells this controller's lines: one cell, the source. */
unsigned int plic_dt_cells(const struct irq_line *line, uint32_t cells[4]);

void plic_stats(struct plic *p, struct plic_stats *ret);

/* Registers and gateways as after creation, with vCPUs stopped. Lines keep their level: one that is high requests anew. */
void plic_reset(struct plic *p);

/*
 * Saving and loading, with vCPUs stopped. plic_save returns the size, and fills buf if len is large enough. plic_load: -EINVAL for what this PLIC could not
 * have saved; notifications follow the loaded state.
 */
size_t plic_save(struct plic *p, void *buf, size_t len);
int plic_load(struct plic *p, const void *buf, size_t len, struct err *e);

#endif
