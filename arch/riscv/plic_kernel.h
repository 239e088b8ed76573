// SPDX-License-Identifier: MIT
/*
 * The PLIC inside KVM that the patches of arch/riscv/kernel bring (hv/compat_kvm.h): to the guest it is hw/plic.h's, with its claims, completions and
 * thresholds served without leaving the kernel. This is the set-up, the lines and the saved state.
 *
 * Lines take both levels and edges, and eventfds (irq_ops.irqfd). The device tree cannot tell: its cell is the source alone.
 */
#ifndef LKVM_ARCH_RISCV_PLIC_KERNEL_H
#define LKVM_ARCH_RISCV_PLIC_KERNEL_H

#include "base/err.h"
#include "base/util.h"
#include "dt.h"
#include "hv/hv.h"
#include "hw/plic.h"
#include "irq.h"

struct plic_kernel;

bool plic_kernel_present(struct hv *hv);

/* After all vCPUs. Of the configuration n_vcpus, n_sources, base and the phandles count. Errors: KVM's, each with a sentence that says which step it refused. */
int plic_kernel_create(struct hv *hv, const struct plic_config *config, struct plic_kernel **ret, struct err *e);
void plic_kernel_destroy(struct plic_kernel *p); /* NULL is fine */
DEFINE_CLEANUP(plic_kernel, plic_kernel_destroy)

/* The line of a source, 1 to n_sources; else -EINVAL. Line operations are thread-safe. */
int plic_kernel_line(struct plic_kernel *p, unsigned int source, enum irq_trigger preferred, struct irq_line *ret);

/* Registers and gateways as after creation, with vCPUs stopped; lines keep their level. 0 or KVM's -errno. */
int plic_kernel_reset(struct plic_kernel *p, struct err *e);

/*
 * Saving and loading (struct kvm_riscv_plic_state), with vCPUs stopped. The size, filled in when len is large enough; or KVM's -errno. Loading comes after the
 * vCPUs' registers; -EINVAL for what this PLIC could not have saved.
 */
int64_t plic_kernel_save(struct plic_kernel *p, void *buf, size_t len);
int plic_kernel_load(struct plic_kernel *p, const void *buf, size_t len, struct err *e);

void plic_kernel_write_dt(const struct plic_kernel *p, struct dt *dt);

#endif
