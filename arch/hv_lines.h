// SPDX-License-Identifier: MIT
/*
 * The wires of an interrupt controller that is in the kernel (KVM_IRQ_LINE): level lines keep their level and call only when it changes; a pulse is one edge, never
 * merged with another one of the same line. Line operations are thread-safe.
 */
#ifndef LKVM_ARCH_HV_LINES_H
#define LKVM_ARCH_HV_LINES_H

#include "base/util.h"
#include "hv/hv.h"
#include "irq.h"

struct hv_lines;

/* Lines 0 to n - 1; line i is KVM_IRQ_LINE's number first + i. hv must outlive them. -ENOMEM. */
int hv_lines_create(struct hv *hv, uint32_t first, unsigned int n, struct hv_lines **ret);
void hv_lines_destroy(struct hv_lines *lines); /* NULL is fine */
DEFINE_CLEANUP(hv_lines, hv_lines_destroy)

/* -EINVAL past the last one. */
int hv_lines_get(struct hv_lines *lines, unsigned int i, enum irq_trigger trigger, struct irq_line *ret);

#endif
