/* SPDX-License-Identifier: MIT */
/* RISC-V: supervisor mode without paging, SBI. */
#ifndef GUEST_ARCH_H
#define GUEST_ARCH_H

#define csr_read(csr) ({ uint64_t v_; __asm__ volatile("csrr %0, " #csr : "=r"(v_) : : "memory"); v_; })
#define csr_write(csr, v) __asm__ volatile("csrw " #csr ", %0" : : "r"((uint64_t)(v)) : "memory")
#define csr_swap(csr, v) ({ uint64_t v_; __asm__ volatile("csrrw %0, " #csr ", %1" : "=r"(v_) : "r"((uint64_t)(v)) : "memory"); v_; })
#define csr_set(csr, v) __asm__ volatile("csrs " #csr ", %0" : : "r"((uint64_t)(v)) : "memory")
#define csr_clear(csr, v) __asm__ volatile("csrc " #csr ", %0" : : "r"((uint64_t)(v)) : "memory")
#define fence() __asm__ volatile("fence iorw, iorw" : : : "memory")

#define SIE_SOFTWARE (1UL << 1)
#define SIE_TIMER (1UL << 5)
#define SIE_EXTERNAL (1UL << 9)
#define SSTATUS_SIE 2UL

#define ARCH_MACHINE                 \
	bool aia;                    \
	uint64_t plic, aplic, imsic; \
	uint32_t n_sources, n_ids;
#define IRQ_ONE_TARGET machine.aia

/* --- SBI --- */

struct sbi {
	long error, value;
};

struct sbi sbi_call(unsigned long extension, unsigned long function, unsigned long a0, unsigned long a1, unsigned long a2,
		    unsigned long a3, unsigned long a4, unsigned long a5);
/* The SBI's timer, also on a host that loses it (see doze_ms). */
void timer_at(uint64_t at);
#define SBI_BASE 0x10
#define SBI_TIME 0x54494d45
#define SBI_IPI 0x735049
#define SBI_RFENCE 0x52464e43
#define SBI_HSM 0x48534d
#define SBI_SRST 0x53525354
#define SBI_DBCN 0x4442434e

/* --- time and harts --- */

static inline uint64_t now(void)
{
	return csr_read(time);
}

static inline unsigned int this_hart(void)
{
	unsigned long n;

	__asm__("mv %0, tp" : "=r"(n));
	return (unsigned int)n;
}

static inline void interrupts_on(void)
{
	csr_set(sstatus, SSTATUS_SIE);
}

static inline void interrupts_off(void)
{
	csr_clear(sstatus, SSTATUS_SIE);
}

static inline uint64_t interrupts_save(void)
{
	uint64_t was = csr_read(sstatus) & SSTATUS_SIE;

	interrupts_off();
	return was;
}

static inline void interrupts_restore(uint64_t was)
{
	csr_set(sstatus, was);
}

/* Called for an external interrupt in place of claim, handler and complete; NULL: those. */
extern void (*volatile external_hook)(void);

/* --- registers --- */

/* Not lw: KVM (6.12) forgets to extend the sign of what a device answers, and the compiler counts on it. */
static inline uint32_t read32(uint64_t a)
{
	uint64_t v;

	__asm__ volatile("lwu %0, (%1)" : "=r"(v) : "r"(a) : "memory");
	return (uint32_t)v;
}

static inline void write32(uint64_t a, uint32_t v) { *(volatile uint32_t *)a = v; }
static inline uint8_t read8(uint64_t a) { return *(volatile uint8_t *)a; }
static inline void write8(uint64_t a, uint8_t v) { *(volatile uint8_t *)a = v; }
static inline uint16_t read16(uint64_t a) { return *(volatile uint16_t *)a; }
static inline void write16(uint64_t a, uint16_t v) { *(volatile uint16_t *)a = v; }
static inline uint64_t read64(uint64_t a) { return *(volatile uint64_t *)a; }
static inline void write64(uint64_t a, uint64_t v) { *(volatile uint64_t *)a = v; }

/* --- the PLIC --- */

uint32_t plic_claim(unsigned int hart);
void plic_complete(unsigned int hart, uint32_t source);
void plic_enable(unsigned int hart, uint32_t source, bool on);
void plic_priority(uint32_t source, uint32_t value);
void plic_threshold(unsigned int hart, uint32_t value);
#define PLIC_CONTEXT(hart) (2 * (hart) + 1)
#define PLIC_CLAIM_AT(hart) (machine.plic + 0x200004 + PLIC_CONTEXT(hart) * 0x1000UL)
#define PLIC_ENABLE_AT(hart) (machine.plic + 0x2000 + PLIC_CONTEXT(hart) * 0x80UL)
#define PLIC_PENDING_AT (machine.plic + 0x1000)

/* The external interrupt is pending at this hart (looked at, not taken). */
static inline bool eip(void)
{
	return csr_read(sip) & SIE_EXTERNAL;
}

/* Takes the claims that are there until one reads 0; for the boot hart with interrupts off. */
void plic_quiet(unsigned int hart);

#endif
