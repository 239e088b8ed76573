// SPDX-License-Identifier: MIT
/*
 * The wires of an interrupt controller that is in the kernel (KVM_IRQ_LINE): level lines keep their level and call only when it changes; a pulse is one edge, never
 * merged with another one of the same line. Eventfds of others (irq_ops.irqfd) pulse a line without these. Line operations are thread-safe.
 */
#ifndef LKVM_ARCH_HV_LINES_H
#define LKVM_ARCH_HV_LINES_H

#include "base/util.h"
#include "hv/hv.h"
#include "irq.h"

struct hv_lines;

struct hv_lines_config {
	unsigned int n; /* lines 0 to n - 1 */
	uint32_t first; /* line i is KVM_IRQ_LINE's number first + i, */
	uint32_t gsi;	/* and KVM_IRQFD's gsi + i */
	bool irqfd;	/* an irqfd of KVM's delivers every edge: irq_ops.irqfd works */
	uint32_t edge;	/* KVM_IRQ_LINE's number edge + i is an edge of line i; 0: an edge is up and down */
	/*
	 * Memory that KVM shares: line i is bit i % 64 of level[i / 64]. A rise is told by KVM_IRQ_LINE all the same, or, from a vCPU's thread, by *raised, which
	 * that thread's next vcpu_run sees; a fall is told by nothing. NULL: there is none.
	 */
	uint64_t *level;
	uint32_t *raised;
	bool pulse_by_irqfd; /* a pulse is a write to an eventfd; for controllers that take it there and then */
};

/* hv must outlive the lines. -ENOMEM. */
int hv_lines_create(struct hv *hv, const struct hv_lines_config *config, struct hv_lines **ret);
void hv_lines_destroy(struct hv_lines *lines); /* NULL is fine */
DEFINE_CLEANUP(hv_lines, hv_lines_destroy)

/* -EINVAL past the last one. */
int hv_lines_get(struct hv_lines *lines, unsigned int i, enum irq_trigger trigger, struct irq_line *ret);

#endif
