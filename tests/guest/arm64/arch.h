/* SPDX-License-Identifier: MIT */
/* arm64: EL1 with the MMU on, PSCI by HVC, GICv3 or GICv2. */
#ifndef GUEST_ARCH_H
#define GUEST_ARCH_H

#define sysreg_read(reg) ({ uint64_t v_; __asm__ volatile("mrs %0, " #reg : "=r"(v_) : : "memory"); v_; })
#define sysreg_write(reg, v) __asm__ volatile("msr " #reg ", %0\n\tisb" : : "r"((uint64_t)(v)) : "memory")
#define fence() __asm__ volatile("dsb sy" : : : "memory")

#define ARCH_MACHINE                                                           \
	uint64_t mpidr[MAX_HARTS];                                             \
	bool gicv3, gicv2, has_its, has_v2m;                                   \
	uint64_t gic_dist, gic_cpu; /* gic_cpu: GICv2's CPU interface */       \
	uint64_t v2m; /* the MSI frame */                                      \
	struct { uint64_t base, size; } gic_redist[4];                         \
	unsigned int n_redist;                                                 \
	bool level[1024]; /* of interrupts, as the tree says */
#define IRQ_ONE_TARGET true

/* --- PSCI (Arm DEN 0022) --- */

int64_t psci(uint64_t function, uint64_t a1, uint64_t a2, uint64_t a3);
#define PSCI_VERSION 0x84000000
#define PSCI_CPU_OFF 0x84000002
#define PSCI_CPU_ON 0xc4000003
#define PSCI_AFFINITY_INFO 0xc4000004
#define PSCI_MIGRATE_INFO_TYPE 0x84000006
#define PSCI_SYSTEM_OFF 0x84000008
#define PSCI_SYSTEM_RESET 0x84000009
#define PSCI_FEATURES 0x8400000a
#define PSCI_CPU_SUSPEND 0xc4000001
#define PSCI_SYSTEM_SUSPEND 0xc400000e
#define PSCI_SYSTEM_RESET2 0xc4000012
#define SMCCC_VERSION 0x80000000

/* --- time and CPUs --- */

static inline uint64_t now(void)
{
	__asm__ volatile("isb" : : : "memory");
	return sysreg_read(cntvct_el0);
}

static inline unsigned int this_hart(void)
{
	uint64_t n;

	__asm__("mrs %0, tpidr_el1" : "=r"(n));
	return (unsigned int)n;
}

static inline void interrupts_on(void)
{
	__asm__ volatile("msr daifclr, #2" : : : "memory");
}

static inline void interrupts_off(void)
{
	__asm__ volatile("msr daifset, #2" : : : "memory");
}

static inline uint64_t interrupts_save(void)
{
	uint64_t was = sysreg_read(daif);

	interrupts_off();
	return was;
}

static inline void interrupts_restore(uint64_t was)
{
	__asm__ volatile("msr daif, %0" : : "r"(was) : "memory");
}

void secondary_start(void);
/* The last exception that a probe skipped. */
extern volatile uint64_t last_esr[MAX_HARTS], last_far[MAX_HARTS];
#define EC_OF(esr) ((esr) >> 26 & 0x3f)
#define EC_DATA_ABORT 0x25
#define FSC_EXTERNAL 0x10

/* --- registers: without write-back or pairs, so that the CPU describes the access to the host (ESR_EL2.ISV) --- */

#define REGISTER_ACCESS(bits, type, suffix, width)                                                   \
	static inline type read##bits(uint64_t a)                                                    \
	{                                                                                            \
		uint64_t v;                                                                          \
                                                                                                     \
		__asm__ volatile("ldr" suffix " %" width "0, [%1]" : "=r"(v) : "r"(a) : "memory");   \
		return (type)v;                                                                      \
	}                                                                                            \
	static inline void write##bits(uint64_t a, type v)                                           \
	{                                                                                            \
		__asm__ volatile("str" suffix " %" width "0, [%1]" : : "r"((uint64_t)v), "r"(a) : "memory"); \
	}
REGISTER_ACCESS(8, uint8_t, "b", "w")
REGISTER_ACCESS(16, uint16_t, "h", "w")
REGISTER_ACCESS(32, uint32_t, "", "w")
REGISTER_ACCESS(64, uint64_t, "", "x")

/* --- the GIC --- */

#define TIMER_INTID 27 /* the virtual timer's PPI */
#define KICK_SGI 1

void gic_send_sgi(unsigned int hart, unsigned int intid);
/* Counts and ends one interrupt; false: there is none. */
bool gic_take(void);
/* In place of a private interrupt's handler. */
extern void (*volatile private_hook)(unsigned int intid);
/* Private interrupts of this CPU. */
void gic_private_enable(unsigned int intid, bool on);
/* ISPENDR, ISACTIVER: whether the bit is set; any interrupt of the distributor. */
bool gic_pending(unsigned int intid);
bool gic_active(unsigned int intid);
void gic_set_pending(unsigned int intid, bool on);

#endif
