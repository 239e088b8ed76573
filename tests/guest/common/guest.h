/* SPDX-License-Identifier: MIT */
/*
 * A runtime for bare guests: no operating system, privileged mode, one stack a hart (a CPU, by whatever name). A guest defines guest(), which runs on the boot hart, and says
 * PASS, FAIL or SKIP lines; when it returns the machine is powered off, after a FAIL as crashed. arch.h is the architecture's own.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* --- the machine --- */

struct place {
	uint64_t base;
	uint32_t irq;
};

/* ARCH_MACHINE: further members. */
#include "arch.h"

struct guest_machine {
	unsigned int harts;
	uint64_t timebase; /* Hz */
	uint64_t ram, ram_size;
	char args[256];
	struct place uart[4], virtio[48], rtc;
	unsigned int n_uarts, n_virtio;
	ARCH_MACHINE
};

extern struct guest_machine machine;

/* Fills machine from what the boot hart was given: a device tree (tree.c), or whatever an architecture has. */
void machine_read(const void *boot);
/* The number behind "name=" in the kernel's arguments, decimal or with 0x, or otherwise. */
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
/* What follows when guest() returns, for those that cannot. */
void guest_end(void);

/* --- time --- */

/* arch.h: uint64_t now(void), in ticks */

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
/* Sleeps until an interrupt that this hart has enabled is pending, at most n ms. */
void doze_ms(uint64_t n);

/* --- harts --- */

/* arch.h: unsigned int this_hart(void), interrupts_on(), interrupts_off(), uint64_t interrupts_save() (off, and what they were), interrupts_restore(was) */

/* Starts all other harts; they sleep, take interrupts, and run what run_on gives them. */
void harts_start(void);
/* Runs fn(ctx) on a started hart and waits for its end; false after ten seconds. */
bool run_on(unsigned int hart, void (*fn)(void *ctx), void *ctx);
/* The two halves: starts it; waits n ms for its end. */
void start_on(unsigned int hart, void (*fn)(void *ctx), void *ctx);
bool join(unsigned int hart, uint64_t n);

/* --- traps --- */

/* One access that may trap; the cause, or -1 when it did not. The value goes to *value. */
long try_load(uint64_t address, unsigned int size, uint64_t *value);
long try_store(uint64_t address, unsigned int size, uint64_t value);
/* An exception inside fn skips the instruction; the first one's cause, or -1. */
long trap_of(void (*fn)(void *ctx), void *ctx);
extern volatile uint64_t timer_count[MAX_HARTS], software_count[MAX_HARTS];

/* --- registers: arch.h has read8, read16, read32, write8, write16, write32, write64, each one plain instruction --- */

/* --- interrupts --- */

typedef void (*irq_fn)(void *ctx);

/* level: how the source behaves, where that is not the device tree's to say. */
void irq_setup(unsigned int source, bool level, irq_fn fn, void *ctx);
/* One hart more or less; where IRQ_ONE_TARGET (arch.h), the one hart that gets it. */
void irq_enable(unsigned int source, unsigned int hart, bool on);
/* On each hart, before its first interrupt. */
void irq_hart_init(void);
/* Its name, for people. */
const char *irq_chip(void);
extern volatile uint64_t irq_claims, irq_empty_claims;
/* Where several harts may claim: no claim after a complete; what is left comes by a new interrupt. */
extern volatile bool irq_single_claim;

/* --- what the runtime needs of an architecture --- */

/* The text of one line; one hart at a time. */
void arch_console(const char *text, unsigned int n);
/* Properties of the tree that are none of the common ones. */
void arch_property(const char *node, const char *name, const void *value, uint32_t len);
/* What an interrupts property says. */
uint32_t arch_interrupt(const void *value);
/* On the boot hart after the tree was read, on each hart when it starts; interrupts stay off. */
void arch_init(void);
void arch_hart_init(void);
void arch_start_hart(unsigned int hart);
/* An interrupt that does nothing but end a sleep and count in software_count. */
void arch_kick_hart(unsigned int hart);
/* With interrupts off; until one is pending. */
void arch_sleep(void);
void arch_power_off(bool crashed);
/* The exceptions' half of trap_of: armed, they are skipped and noted. */
struct probe {
	volatile bool armed;
	volatile long cause;
};
extern struct probe probe[MAX_HARTS];
void guest_main(unsigned long hart, const void *boot);
void guest_secondary(unsigned long hart);

/* Big-endian numbers, strings. */
uint32_t be32(const void *p);
uint64_t be64(const void *p);
bool same(const char *a, const char *b);
bool starts(const char *s, const char *with);
unsigned int length(const char *s);
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);

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
