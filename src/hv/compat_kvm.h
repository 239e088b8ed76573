/* SPDX-License-Identifier: MIT */
/*
 * <linux/kvm.h>, and what the kernel patches of arch/riscv/kernel add to it: a PLIC inside KVM. The names, numbers and layouts are those of the patched headers,
 * and stand back where these are used.
 *
 * Whether the host has it: KVM_CREATE_DEVICE with KVM_CREATE_DEVICE_TEST; -ENODEV where it has not. (KVM_CAP_IRQCHIP goes on to mean the AIA, and is 1 for a VM
 * that has a PLIC once the device is created.) A VM has one AIA or one PLIC; -EEXIST for a second one.
 *
 * Order: create the device, CONFIG and ADDR, create all vCPUs (before or after), CTRL_INIT. After CTRL_INIT, KVM_CREATE_VCPU is -EBUSY, CONFIG and ADDR can be
 * read only (-EBUSY), and the registers answer at the base address without an exit, in a window of KVM_DEV_RISCV_PLIC_SIZE. The vCPU with the id h is hart h; harts
 * are counted from 0 to the highest vCPU id. KVM_INTERRUPT is -ENXIO on a VM with this device.
 *
 * Interrupts. Each source's gateway has a level input and an edge input; both may be used.
 *   KVM_IRQ_LINE, irq = source: its level input. -EINVAL: no such source. -EBUSY: before CTRL_INIT.
 *   mmap() of the device: all level inputs, as memory; see struct kvm_riscv_plic_lines.
 *   KVM_IRQ_LINE, irq = source | KVM_RISCV_PLIC_IRQ_EDGE: with level 1 one edge; level 0 is nothing.
 *   KVM_IRQFD without KVM_IRQFD_FLAG_RESAMPLE: each signal is one edge. Edges before the claim merge, one during service is remembered.
 *   KVM_IRQFD with it (KVM_CAP_IRQFD_RESAMPLE): a signal raises a level input of its own, which a completion of the source lowers; then resamplefd is
 *   signalled, and who still wants service signals again.
 *   -EINVAL for either before CTRL_INIT, and on VMs without an irqchip.
 * Routing: from CTRL_INIT on GSI n is pin n of irqchip 0 for n = 0 ... number of sources; KVM_SET_GSI_ROUTING may change it (pin = source; no MSIs).
 * Only irqfds go through it.
 */
#ifndef LKVM_HV_COMPAT_KVM_H
#define LKVM_HV_COMPAT_KVM_H

#include <linux/kvm.h>

#ifndef KVM_DEV_TYPE_RISCV_PLIC

/* Types from here on are never given out by the upstream kernel's enumeration, which counts from 1. */
#define KVM_DEV_TYPE_DOWNSTREAM 0x80000000U
#define KVM_DEV_TYPE_RISCV_PLIC (KVM_DEV_TYPE_DOWNSTREAM + 0)

#define KVM_DEV_RISCV_PLIC_ALIGN 0x1000
#define KVM_DEV_RISCV_PLIC_SIZE 0x4000000
#define KVM_DEV_RISCV_PLIC_SRCS_MAX 1023
#define KVM_DEV_RISCV_PLIC_PRIORITY_MAX 7 /* priorities and thresholds have three bits */
#define KVM_DEV_RISCV_PLIC_WORDS 16	  /* 64-bit words of a set of sources; source n is bit n % 64 of word n / 64 */

/* Each a __u32. */
#define KVM_DEV_RISCV_PLIC_GRP_CONFIG 0
#define KVM_DEV_RISCV_PLIC_CONFIG_SRCS 0     /* sources 1 ... n; 1 to SRCS_MAX, which is the default; else -EINVAL */
#define KVM_DEV_RISCV_PLIC_CONFIG_CONTEXTS 1 /* CONTEXTS_S or CONTEXTS_MS (default); else -EINVAL */
#define KVM_DEV_RISCV_PLIC_CONFIG_NR_HARTS 2 /* read-only, 0 before CTRL_INIT; writing it is -EPERM */

#define KVM_DEV_RISCV_PLIC_CONTEXTS_S 1	 /* context h is hart h's S mode */
#define KVM_DEV_RISCV_PLIC_CONTEXTS_MS 2 /* context 2h is hart h's M mode, whose notification leads nowhere; 2h + 1 is its S mode */

/* A __u64: where the registers are; a multiple of ALIGN, and all of the window below 2^64, else -EINVAL. To be set before CTRL_INIT. */
#define KVM_DEV_RISCV_PLIC_GRP_ADDR 1
#define KVM_DEV_RISCV_PLIC_ADDR_BASE 0

/* Set only, no value (addr is not looked at). */
#define KVM_DEV_RISCV_PLIC_GRP_CTRL 2
/* Once: -EBUSY for a second time or while a vCPU is being created; -EINVAL without base address or vCPU. */
#define KVM_DEV_RISCV_PLIC_CTRL_INIT 0
/* Registers and gateways as after CTRL_INIT, but lines keep their level: one that is high requests anew. -EBUSY before CTRL_INIT. */
#define KVM_DEV_RISCV_PLIC_CTRL_RESET 1

/*
 * attr 0: the whole state, a struct kvm_riscv_plic_state with nr_contexts contexts at its end. -EBUSY before CTRL_INIT. vCPUs should not be running.
 * Get: the caller says in `size` how large the buffer is; -E2BIG if too small, and `size` is then what it takes (also the way to learn it).
 * Set: `version`, `size`, `nr_sources` and `nr_contexts` must be as this PLIC would save them and the rest possible, else -EINVAL and nothing has changed;
 * every vCPU's external interrupt follows. To be set after the vCPUs' registers (sip).
 */
#define KVM_DEV_RISCV_PLIC_GRP_STATE 3

#define KVM_RISCV_PLIC_STATE_VERSION 1

struct kvm_riscv_plic_context {
	__u64 enable[KVM_DEV_RISCV_PLIC_WORDS];
	__u32 threshold;
	__u32 reserved; /* 0 */
};

struct kvm_riscv_plic_state {
	__u32 version;
	__u32 size; /* bytes, of all */
	__u32 nr_sources;
	__u32 nr_contexts;
	__u8 priority[64 * KVM_DEV_RISCV_PLIC_WORDS];
	__u64 pending[KVM_DEV_RISCV_PLIC_WORDS];
	__u64 busy[KVM_DEV_RISCV_PLIC_WORDS];	  /* the gateway waits for completion */
	__u64 level[KVM_DEV_RISCV_PLIC_WORDS];	  /* level inputs: KVM_IRQ_LINE */
	__u64 resample[KVM_DEV_RISCV_PLIC_WORDS]; /* level inputs: irqfds with KVM_IRQFD_FLAG_RESAMPLE */
	__u64 edge[KVM_DEV_RISCV_PLIC_WORDS];	  /* an edge came during service */
	struct kvm_riscv_plic_context context[];
};

/*
 * mmap() of the device, one page at offset 0, after CTRL_INIT (-EBUSY before): the level inputs. User space may set and clear bits instead of calling KVM_IRQ_LINE.
 * A bit that is cleared needs no more. Who sets one calls KVM_IRQ_LINE for it, or makes `raised` 1 and calls KVM_RUN, which looks at all of them.
 */
struct kvm_riscv_plic_lines {
	__u64 level[KVM_DEV_RISCV_PLIC_WORDS];
	__u32 raised;
	__u32 reserved;
};

/* In kvm_irq_level.irq. */
#define KVM_RISCV_PLIC_IRQ_EDGE (1U << 24)

#endif

#endif
