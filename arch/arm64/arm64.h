// SPDX-License-Identifier: MIT
/* What the files of the arm64 machine share. Compiled against arm64's own UAPI headers on every host. */
#ifndef LKVM_ARCH_ARM64_ARM64_H
#define LKVM_ARCH_ARM64_ARM64_H

#include <asm/kvm.h>
#include <linux/kvm.h>

#include <stdatomic.h>

#include "arch/arch.h"
#include "arch/arm64/gic.h"
#include "arch/boot.h"
#include "base/bitmap.h"

/* The addresses that kvmtool's arm64 guests have. */
#define ARM64_UART_BASE UINT64_C(0x01000000)
#define ARM64_RTC_BASE UINT64_C(0x01010000)
#define ARM64_POWEROFF_BASE UINT64_C(0x01020000)
#define ARM64_PVPANIC_BASE UINT64_C(0x01021000)
#define ARM64_FLASH_BASE UINT64_C(0x02000000)
#define ARM64_FLASH_MAX UINT64_C(0x01000000)
#define ARM64_VIRTIO_BASE UINT64_C(0x03000000)
#define ARM64_N_VIRTIO 48
#define ARM64_PVTIME_BASE UINT64_C(0x04000000) /* stolen time, 64 bytes a vCPU (Arm DEN0057A) */
#define ARM64_PVTIME_SIZE KIB(64)
#define ARM64_GIC_DIST_BASE UINT64_C(0x3fff0000) /* the rest of the GIC directly below */
#define ARM64_REDIST_FLOOR UINT64_C(0x3e000000)	 /* 254 redistributors and an ITS, or 255; */
#define ARM64_REDIST_MORE UINT64_C(0x20000000)	 /* those of further vCPUs from here up */
#define ARM64_RAM_BASE UINT64_C(0x80000000)	 /* or what -m SIZE@ADDRESS says, at or above this */

#define ARM64_MIN_RAM MIB(32)
#define ARM64_N_IRQS 96 /* SPIs: all UARTs, RTC and virtio-mmio places, with room */

/* INTIDs of private peripheral interrupts, as the "Base System Architecture" gives them; GIC_MAINTENANCE_INTID is the GIC's own. */
#define ARM64_PPI_PMU 23
#define ARM64_PPI_HYP_TIMER 26
#define ARM64_PPI_VIRT_TIMER 27
#define ARM64_PPI_HYP_VIRT_TIMER 28
#define ARM64_PPI_SECURE_TIMER 29
#define ARM64_PPI_PHYS_TIMER 30

#define ARM64_PHANDLE_GIC 1 /* and 2: the ITS or the v2m frame */
#define ARM64_PHANDLE_CPU 16 /* + vCPU */

/* One row per feature that a person can ask for or leave out; see feature.c. */
enum arm64_feature {
	ARM64_PTRAUTH_ADDRESS,
	ARM64_PTRAUTH_GENERIC,
	ARM64_SVE,
	ARM64_PMU,
	ARM64_MTE,
	ARM64_EL2,
	ARM64_E2H0,
	ARM64_AARCH32,
	ARM64_PVTIME,
	ARM64_COUNTER_OFFSET,
	ARM64_N_FEATURES
};

/* Filled by the option table. */
struct arm64_config {
	unsigned int irqchip; /* enum arm64_irqchip */
	bool asked[ARM64_N_FEATURES]; /* on demand: must be there; others: left out */
	bool in_kernel_smccc;	 /* always so */
	uint64_t sve_max_vl;	 /* bits, 0: the host's */
	uint64_t kaslr_seed;	 /* 0: random */
	uint64_t counter_offset; /* ticks that the guest's counters are behind the host's; 0: KVM's choice */
	struct option_list cpu_id;     /* REG=VALUE */
	struct option_list smccc_deny; /* FUNCTION[:COUNT] */
};

struct arm64_state {
	struct boot boot;
	enum arm64_irqchip irqchip; /* never AUTO after prepare */
	struct gic *gic;
	unsigned int next_spi;
	bool loaded;		    /* load ran before: this is a restart */
	bool has[ARM64_N_FEATURES]; /* what the guest gets */
	struct kvm_vcpu_init init;  /* target and features, without POWER_OFF */
	uint64_t pmu_cpus[BITMAP_WORDS(MACHINE_MAX_HOST_CPUS)]; /* where m->affinity points when the PMU decides it */
};

static inline struct arm64_state *arm64_state(struct machine *m)
{
	return m->arch_state;
}

static inline const struct arm64_config *arm64_config(struct machine *m)
{
	return m->arch_config;
}

/* ONE_REG ids of the core registers. */
#define ARM64_REG_CORE(size, field) (KVM_REG_ARM64 | KVM_REG_SIZE_##size | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(field))
#define ARM64_REG_X(n) (ARM64_REG_CORE(U64, regs.regs[0]) + 2 * (uint64_t)(n))
#define ARM64_REG_PC ARM64_REG_CORE(U64, regs.pc)
#define ARM64_REG_PSTATE ARM64_REG_CORE(U64, regs.pstate)
#define ARM64_SYS(op0, op1, crn, crm, op2) ARM64_SYS_REG(op0, op1, crn, crm, op2)
#define ARM64_REG_MPIDR_EL1 ARM64_SYS(3, 0, 0, 0, 5)

/* feature.c */
extern const struct option arm64_options[];
#define ARM64_N_OPTIONS 15
struct arm64_feature_row {
	const char *what;   /* for doctor */
	const char *option; /* that asks for it, or leaves it out; for sentences */
	const char *cure;
	unsigned int cap; /* KVM_CAP_* */
	int bit;	  /* KVM_ARM_VCPU_*, -1: not a vCPU feature */
	bool on_demand;	  /* only when asked for; else whenever the host has it */
};
extern const struct arm64_feature_row arm64_features[ARM64_N_FEATURES];
/*
 * Decides has[] and init from options and host, and turns on what the VM as a whole has; what was asked for and is not there is
 * -EOPNOTSUPP. Before the first vCPU.
 */
int arm64_choose_features(struct machine *m, struct err *e);
/* Whether KVM can filter the guest's firmware calls; for doctor. */
bool arm64_has_smccc_filter(struct hv *hv);
/* Sets init to the preferred target of this host with all of has[]. */
int arm64_init_features(struct hv *hv, const bool has[ARM64_N_FEATURES], struct kvm_vcpu_init *ret, struct err *e);

/* probe.c */
enum arm64_probe { ARM64_PROBE_PTRAUTH_ADDRESS, ARM64_PROBE_PTRAUTH_GENERIC, ARM64_PROBE_MOPS, ARM64_N_PROBES };
/*
 * For doctor: which of these instructions a guest can execute (the others are UNDEFINED there, which is right only when they were not promised). With the first vCPU of a VM
 * that has no memory yet, initialised and finalised; its state is lost. -errno, or -EIO: one cannot tell.
 */
int arm64_probe(struct hv_vcpu *vcpu, bool ret_works[ARM64_N_PROBES]);

/* vcpu.c */
/* Creates, initialises and finalises vCPU i, and gives it the ID registers that --cpu-id asks for. */
int arm64_create_vcpu(struct machine *m, unsigned int i, struct err *e);
/* KVM_ARM_VCPU_FINALIZE for what init asks; max_vl in bits, 0: the host's. */
int arm64_finalize_vcpu(struct hv_vcpu *vcpu, const struct kvm_vcpu_init *init, uint64_t max_vl, struct err *e);
/*
 * KVM_ARM_VCPU_INIT: the state after power-on; all but vCPU 0 wait for PSCI CPU_ON. With the same features each time: kernels before 6.5
 * count POWER_OFF among them, and refuse a change.
 */
int arm64_init_vcpu(struct machine *m, unsigned int i, struct err *e);
int arm64_set_reg(struct machine *m, unsigned int i, uint64_t id, uint64_t v, struct err *e);
/* What needs the interrupt controller: PMU, stolen time. All vCPUs. */
int arm64_finish_vcpus(struct machine *m, struct err *e);
/* The affinity fields of MPIDR_EL1, as cpu nodes spell them. */
int arm64_mpidr(struct machine *m, unsigned int i, uint64_t *ret, struct err *e);
/* The host's PMU drivers that KVM might lend: calls fn with name, perf type and CPUs of each until it returns nonzero, and returns that. */
int arm64_for_each_pmu(int (*fn)(void *ctx, const char *name, int type, const uint64_t *cpus), void *ctx);

/* id.c */
/* Gives a vCPU the ID registers that --cpu-id asks for. */
int arm64_set_cpu_id(struct machine *m, struct hv_vcpu *vcpu, struct err *e);

/* regs.c */
/*
 * The name of an id into name[48]: from the tables, "sys.s3_0_c1_c0_0" for a system register without a row, or its number. True when a
 * table knew it.
 */
bool arm64_reg_name(uint64_t id, char name[48]);
/* The id of a system register by its architected name ("ID_AA64ISAR0_EL1", any case, with or without "sys."), or -ENOENT. */
int arm64_sysreg_id(const char *name, uint64_t *ret);
int arm64_for_each_reg(struct machine *m, unsigned int i, void (*fn)(void *ctx, const struct arch_reg *reg), void *ctx);
void arm64_dump_vcpu(struct machine *m, unsigned int i, char *buf, size_t len);

/* fdt.c: the whole tree; the blob is the caller's. initrd_size 0: none. */
int arm64_fdt_build(struct machine *m, uint64_t initrd, uint64_t initrd_size, void **ret_blob, size_t *ret_size, struct err *e);

/* load.c */
int arm64_load(struct machine *m, struct err *e);

/* exit.c */
enum arch_verdict arm64_handle_exit(struct machine *m, unsigned int i, struct hv_exit *exit, struct err *e);

/* doctor.c */
void arm64_doctor(struct hv *hv, struct hv_vcpu *vcpu, void (*fn)(void *ctx, const char *what, bool present, const char *cure),
		  void *ctx);

#endif
