/* SPDX-License-Identifier: MIT */
/*
 * A runtime for bare guests: no paging, supervisor mode, one stack a hart. A guest defines guest(), which runs on the boot hart, and says PASS, FAIL or SKIP lines;
 * when it returns the machine is powered off, with the reason "system failure" after a FAIL.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

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

/* --- the machine, from its device tree --- */

struct place {
	uint64_t base;
	uint32_t irq;
};

struct guest_machine {
	unsigned int harts;
	uint64_t timebase; /* Hz */
	uint64_t ram, ram_size;
	char args[256];
	bool aia;
	uint64_t plic, aplic, imsic;
	uint32_t n_sources, n_ids;
	struct place uart[4], virtio[48], rtc;
	unsigned int n_uarts, n_virtio;
};

extern struct guest_machine machine;

/* The number behind "name=" in the kernel's arguments, or otherwise. */
uint64_t arg_number(const char *name, uint64_t otherwise);
bool arg_word(const char *word);

/* --- results --- */

void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void pass(const char *what);
void fail(const char *what, const char *format, ...) __attribute__((format(printf, 2, 3)));
void skip(const char *what, const char *why);
/* PASS what, or FAIL what: reason. Returns ok. */
bool check(bool ok, const char *what, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool check_equal(const char *what, uint64_t is, uint64_t should);

void guest(void);

/* --- SBI --- */

struct sbi {
	long error, value;
};

struct sbi sbi_call(unsigned long extension, unsigned long function, unsigned long a0, unsigned long a1, unsigned long a2,
		    unsigned long a3, unsigned long a4, unsigned long a5);
#define SBI_BASE 0x10
#define SBI_TIME 0x54494d45
#define SBI_IPI 0x735049
#define SBI_RFENCE 0x52464e43
#define SBI_HSM 0x48534d
#define SBI_SRST 0x53525354
#define SBI_DBCN 0x4442434e

/* --- time --- */

static inline uint64_t now(void)
{
	return csr_read(time);
}

static inline uint64_t ms(uint64_t n)
{
	return n * machine.timebase / 1000;
}

static inline uint64_t in_us(uint64_t ticks)
{
	return ticks * 1000000 / machine.timebase;
}

/* Spins; leaves the guest for nothing. */
void delay_ms(uint64_t n);
/* Until fn(ctx) or the time is over; spins. Returns what fn said last. */
bool wait_ms(uint64_t n, bool (*fn)(void *ctx), void *ctx);
/* Sleeps until an interrupt that is enabled in sie is pending, at most n ms. */
void doze_ms(uint64_t n);

/* --- harts --- */

static inline unsigned int this_hart(void)
{
	unsigned long n;

	__asm__("mv %0, tp" : "=r"(n));
	return (unsigned int)n;
}

/* Starts all other harts; they sleep, take interrupts, and run what run_on gives them. */
void harts_start(void);
/* Runs fn(ctx) on a started hart and waits for its end; false after ten seconds. */
bool run_on(unsigned int hart, void (*fn)(void *ctx), void *ctx);

static inline void interrupts_on(void)
{
	csr_set(sstatus, SSTATUS_SIE);
}

static inline void interrupts_off(void)
{
	csr_clear(sstatus, SSTATUS_SIE);
}

/* --- traps --- */

/* One access or instruction that may trap; the cause, or -1 when it did not. The value goes to *value. */
long try_load(uint64_t address, unsigned int size, uint64_t *value);
long try_store(uint64_t address, unsigned int size, uint64_t value);
/* An exception inside fn skips the instruction; the first one's cause, or -1. */
long trap_of(void (*fn)(void *ctx), void *ctx);

/* Called for an external interrupt in place of claim, handler and complete; NULL: those. */
extern void (*volatile external_hook)(void);
extern volatile uint64_t timer_count[MAX_HARTS], software_count[MAX_HARTS];

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

/* --- interrupts --- */

typedef void (*irq_fn)(void *ctx);

/* level: how the source behaves with the AIA. The PLIC gives it priority 1. */
void irq_setup(unsigned int source, bool level, irq_fn fn, void *ctx);
/* PLIC: one hart more or less. AIA: the one hart that gets it. */
void irq_enable(unsigned int source, unsigned int hart, bool on);
/* On each hart, before its first interrupt. */
void irq_hart_init(void);
/* With the PLIC: no claim after a complete; what is left comes by a new interrupt. */
extern volatile bool irq_single_claim;
extern volatile uint64_t irq_claims, irq_empty_claims;

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

/* --- serial ports --- */

enum { UART_RBR = 0, UART_THR = 0, UART_IER = 1, UART_IIR = 2, UART_FCR = 2, UART_LCR = 3, UART_MCR = 4, UART_LSR = 5, UART_SCR = 7 };

/* A port without a stream as an interrupt line: up by enabling the transmitter's interrupt, down by reading the cause. */
static inline void uart_raise(const struct place *u)
{
	write8(u->base + UART_IER, 0);
	write8(u->base + UART_IER, 2);
}

static inline void uart_lower(const struct place *u)
{
	write8(u->base + UART_IER, 0);
	(void)read8(u->base + UART_IIR);
}

/* --- virtio --- */

enum {
	V_MAGIC = 0x000, V_VERSION = 0x004, V_DEVICE_ID = 0x008, V_VENDOR_ID = 0x00c, V_FEATURES = 0x010, V_FEATURES_SEL = 0x014,
	V_DRIVER_FEATURES = 0x020, V_DRIVER_FEATURES_SEL = 0x024, V_QUEUE_SEL = 0x030, V_QUEUE_MAX = 0x034, V_QUEUE_NUM = 0x038,
	V_QUEUE_READY = 0x044, V_QUEUE_NOTIFY = 0x050, V_ISR = 0x060, V_ACK = 0x064, V_STATUS = 0x070, V_DESC = 0x080,
	V_DRIVER = 0x090, V_DEVICE = 0x0a0, V_GENERATION = 0x0fc, V_CONFIG = 0x100,
};

#define VQ_SIZE 16
#define VQ_SLOTS 4 /* requests at once: slot s has descriptors 3s to 3s+2 */

struct vq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

struct vdev {
	struct vq_desc desc[VQ_SIZE];
	struct {
		uint16_t flags, idx, ring[VQ_SIZE], event;
	} avail __attribute__((aligned(16)));
	struct {
		uint16_t flags, idx;
		struct {
			uint32_t id, len;
		} ring[VQ_SIZE];
		uint16_t event;
	} used __attribute__((aligned(16)));
	uint16_t seen;
	const struct place *at;
	uint32_t id;
} __attribute__((aligned(4096)));

struct vseg {
	void *base;
	uint32_t len;
	bool in; /* the device writes it */
};

/* The nth device of a type, or NULL. */
const struct place *virtio_find(uint32_t id, unsigned int n);
/* Reset to DRIVER_OK, with queue 0. False when the device does not take a step. */
bool virtio_start(struct vdev *v, const struct place *at);
void virtio_add(struct vdev *v, unsigned int slot, const struct vseg *seg, unsigned int n);
void virtio_kick(struct vdev *v);
/* A used slot, or -1. */
int virtio_pop(struct vdev *v, uint32_t *ret_len);

static inline uint16_t virtio_used(struct vdev *v)
{
	return *(volatile uint16_t *)&v->used.idx;
}

#endif
