// SPDX-License-Identifier: MIT
/* What the files of the RISC-V machine share. Compiled against riscv's own UAPI headers on every host. */
#ifndef LKVM_ARCH_RISCV_RISCV_H
#define LKVM_ARCH_RISCV_RISCV_H

#include <asm/kvm.h>
#include <linux/kvm.h>

#include "arch/arch.h"
#include "arch/boot.h"

#define RISCV_RAM_BASE UINT64_C(0x80000000)
#define RISCV_IRQCHIP_BASE UINT64_C(0x08000000) /* PLIC, or the first hart's IMSIC */
#define RISCV_APLIC_BASE UINT64_C(0x0c000000)
#define RISCV_UART_BASE UINT64_C(0x10000000)
#define RISCV_POWEROFF_BASE UINT64_C(0x10008000)
#define RISCV_PVPANIC_BASE UINT64_C(0x10009000)
#define RISCV_RTC_BASE UINT64_C(0x10010000)
#define RISCV_VIRTIO_BASE UINT64_C(0x10020000)
#define RISCV_N_VIRTIO 48
#define RISCV_N_IRQS 95 /* wired sources 1 to 95: all UARTs, RTC and virtio-mmio places, with room */

#define RISCV_MIN_RAM MIB(32)

enum riscv_irqchip { RISCV_IRQCHIP_AUTO, RISCV_IRQCHIP_PLIC, RISCV_IRQCHIP_AIA, RISCV_IRQCHIP_PLIC_KERNEL };

/* Filled by the option table. */
struct riscv_config {
	unsigned int irqchip; /* enum riscv_irqchip */
	uint64_t mvendorid, marchid, mimpid; /* 0: the host's */
	bool disable_isa[KVM_RISCV_ISA_EXT_MAX];
	bool disable_sbi[KVM_RISCV_SBI_EXT_MAX];
};

struct aia;
struct plic;
struct plic_kernel;

struct riscv_state {
	enum riscv_irqchip irqchip; /* never AUTO after prepare */
	struct aia *aia;	    /* one of the three */
	struct plic *plic;
	struct plic_kernel *plic_kernel;
	unsigned int next_irq;
	bool loaded;	 /* load ran before: this is a restart */
	bool reset_by_hv; /* KVM_CAP_RISCV_MP_STATE_RESET is on */
	struct boot boot;

	/* What the guest's harts are, read from vCPU 0 after the options were applied. */
	bool isa[KVM_RISCV_ISA_EXT_MAX];
	uint64_t satp_mode;	     /* the mode field: 8, 9, 10 */
	uint64_t cbom, cboz, cbop;   /* block sizes in bytes, 0: none */
	uint64_t timebase;	     /* Hz */
};

static inline struct riscv_state *riscv_state(struct machine *m)
{
	return m->arch_state;
}

static inline const struct riscv_config *riscv_config(struct machine *m)
{
	return m->arch_config;
}

/* ONE_REG ids: type and subtype of the UAPI, and the number within. */
#define RISCV_REG(size, type, n) (KVM_REG_RISCV | KVM_REG_SIZE_##size | (uint64_t)(type) | (uint64_t)(n))
#define RISCV_REG_CONFIG(field) RISCV_REG(U64, KVM_REG_RISCV_CONFIG, KVM_REG_RISCV_CONFIG_REG(field))
#define RISCV_REG_CORE(field) RISCV_REG(U64, KVM_REG_RISCV_CORE, KVM_REG_RISCV_CORE_REG(field))
#define RISCV_REG_CSR(field) RISCV_REG(U64, KVM_REG_RISCV_CSR | KVM_REG_RISCV_CSR_GENERAL, KVM_REG_RISCV_CSR_REG(field))
#define RISCV_REG_TIMER(field) RISCV_REG(U64, KVM_REG_RISCV_TIMER, KVM_REG_RISCV_TIMER_REG(field))
#define RISCV_REG_ISA(ext) RISCV_REG(U64, KVM_REG_RISCV_ISA_EXT | KVM_REG_RISCV_ISA_SINGLE, ext)
#define RISCV_REG_SBI(ext) RISCV_REG(U64, KVM_REG_RISCV_SBI_EXT | KVM_REG_RISCV_SBI_SINGLE, ext)
#define RISCV_REG_STA(field) RISCV_REG(U64, KVM_REG_RISCV_SBI_STATE | KVM_REG_RISCV_SBI_STA, KVM_REG_RISCV_SBI_STA_REG(field))
#define RISCV_REG_FWFT(field) RISCV_REG(U64, KVM_REG_RISCV_SBI_STATE | KVM_REG_RISCV_SBI_FWFT, KVM_REG_RISCV_SBI_FWFT_REG(field))

/* True for the errors by which kernels of different age say that there is no such register. */
static inline bool riscv_reg_missing(int r)
{
	return r == -2 /* ENOENT */ || r == -22 /* EINVAL */ || r == -95 /* EOPNOTSUPP */;
}

/* riscv.c: with vCPUs stopped; lines keep their levels. */
int riscv_reset_irqchip(struct machine *m, struct err *e);

/* isa.c */
const char *riscv_irqchip_name(enum riscv_irqchip chip); /* as --irqchip spells it */

struct riscv_ext {
	const char *name; /* the register's: "zbb"; for ISA extensions the device tree's as well */
	unsigned int id;  /* KVM_RISCV_ISA_EXT_* or KVM_RISCV_SBI_EXT_* */
	bool enable;	  /* SBI: off in KVM until asked for, and served by exit.c */
};
extern const struct riscv_ext riscv_isa_exts[];
extern const unsigned int riscv_n_isa_exts;
extern const struct riscv_ext riscv_sbi_exts[];
extern const unsigned int riscv_n_sbi_exts;
extern const struct option riscv_options[];
#define RISCV_N_OPTIONS (5 + KVM_RISCV_ISA_EXT_MAX + KVM_RISCV_SBI_EXT_MAX)

/* Applies --disable-*, --custom-* and what is enabled for our own use to one vCPU. */
int riscv_isa_apply(struct machine *m, struct hv_vcpu *vcpu, struct err *e);
/* Fills the ISA part of riscv_state from a vCPU. */
int riscv_isa_read(struct machine *m, struct hv_vcpu *vcpu, struct err *e);
/* "rv64imafdc_zicsr_..." of the state; returns snprintf's length. */
int riscv_isa_string(const struct riscv_state *s, char *buf, size_t len);

/* regs.c */
struct riscv_reg_name {
	const char *name;   /* with a number appended when count > 1 */
	uint64_t id;	    /* of the first */
	unsigned int count; /* 0 counts as 1 */
};
extern const struct riscv_reg_name riscv_reg_names[];
extern const unsigned int riscv_n_reg_names;
/* The name of an id into name[48]: from the tables, or its number. True when known. */
bool riscv_reg_name(uint64_t id, char name[48]);
int riscv_for_each_reg(struct machine *m, unsigned int i, void (*fn)(void *ctx, const struct arch_reg *reg), void *ctx);
void riscv_dump_vcpu(struct machine *m, unsigned int i, char *buf, size_t len);
/* The state a hart has after power-on, as far as the host lets us set it. */
int riscv_reset_vcpu(struct machine *m, unsigned int i, struct err *e);

/* fdt.c: the whole tree; the blob is the caller's. initrd_size 0: none. */
int riscv_fdt_build(struct machine *m, uint64_t initrd, uint64_t initrd_size, void **ret_blob, size_t *ret_size, struct err *e);

/* boot.c */
int riscv_load(struct machine *m, struct err *e);

/* exit.c */
enum arch_verdict riscv_handle_exit(struct machine *m, unsigned int i, struct hv_exit *exit, struct err *e);

/* doctor.c */
void riscv_doctor(struct hv *hv, struct hv_vcpu *vcpu, void (*fn)(void *ctx, const char *what, bool present, const char *cure),
		  void *ctx);

#endif
