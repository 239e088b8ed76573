/* SPDX-License-Identifier: MIT */
/* s390x: supervisor state, no address translation, channel I/O. */
#ifndef GUEST_ARCH_H
#define GUEST_ARCH_H

#include "lowcore.h"

#define ARCH_MACHINE \
	bool second; /* not lkvm but another machine, whose known differences are no failures: see judge.h */

#define fence() __asm__ volatile("bcr 15, 0" : : : "memory")

static inline uint64_t now(void)
{
	uint64_t v;

	/* In 1/4096 us. */
	__asm__ volatile("stck %0" : "=Q"(v) : : "cc");
	return v;
}

static inline unsigned int this_hart(void)
{
	return LOWCORE->hart;
}

static inline void interrupts_on(void)
{
	uint8_t was;

	__asm__ volatile("stosm %0, %1" : "=Q"(was) : "i"(MASK_IO_EXTERNAL) : "memory");
}

static inline uint64_t interrupts_save(void)
{
	uint8_t was;

	__asm__ volatile("stnsm %0, %1" : "=Q"(was) : "i"(MASK_NEITHER) : "memory");
	return was & MASK_IO_EXTERNAL;
}

static inline void interrupts_off(void)
{
	(void)interrupts_save();
}

static inline void interrupts_restore(uint64_t was)
{
	if (was)
		interrupts_on();
}

#define control_read(n) ({ uint64_t v_; __asm__ volatile("stctg %1, %1, %0" : "=Q"(v_) : "i"(n) : "memory"); v_; })
#define control_write(n, v) ({ uint64_t v_ = (v); __asm__ volatile("lctlg %1, %1, %0" : : "Q"(v_), "i"(n) : "memory"); })

/* --- interrupts --- */

/* What an interrupt left behind, on the stack of whom it interrupted: handlers may let further ones in, of their own class too. */
struct frame {
	uint64_t gpr[16];
	struct psw psw; /* where it goes on */
	union {
		struct {
			uint32_t parameter;
			uint16_t cpu, code;
		} external;
		struct {
			uint16_t ilc, code;
		} svc, program;
		uint64_t machine_check;
		struct {
			uint32_t sid, parameter, word, reserved;
		} io;
		uint64_t code[3];
	};
};
_Static_assert(offsetof(struct frame, psw) == FRAME_PSW && offsetof(struct frame, code) == FRAME_CODE && sizeof(struct frame) == FRAME_SIZE, "frame");

typedef void (*interrupt_fn)(struct frame *f);
/* What is called with interrupts off; NULL: a failure, except for what the framework itself waits for. Returns what was there. */
interrupt_fn interrupt_on(unsigned int class, interrupt_fn fn);

/*
 * Program interruptions that are expected: between guard() and guarded() they are noted and the instruction is left out. They nest with those of
 * interrupt handlers.
 */
struct guard {
	bool armed;
	long cause;
};
struct guard guard(void);
/* The condition code, or the interruption code below 0. */
long guarded(struct guard was, long cc);

/* With these bits of the PSW, and no others beside the addressing mode. */
void load_psw(uint64_t masks);
/* Sleeps with these bits of the PSW on until an interrupt was taken; interrupts are off behind it. */
void sleep_psw(uint64_t masks);
/* Stands still for good; the address says why. */
void disabled_wait(uint64_t address);
/* The condition code; *status is the status with code 1. */
int sigp(unsigned int order, unsigned int cpu, uint64_t parameter, uint32_t *status);

/* --- the service-call processor --- */

bool sclp_init(void);
void sclp_write(const char *text, unsigned int n);
/* Executes a command on a block of 4 KiB; its response code, or -1. */
int sclp_call(uint32_t command, void *block);

/* --- memory: one plain instruction each --- */

static inline uint8_t read8(uint64_t a) { return *(volatile uint8_t *)a; }
static inline void write8(uint64_t a, uint8_t v) { *(volatile uint8_t *)a = v; }
static inline uint16_t read16(uint64_t a) { return *(volatile uint16_t *)a; }
static inline void write16(uint64_t a, uint16_t v) { *(volatile uint16_t *)a = v; }
static inline uint32_t read32(uint64_t a) { return *(volatile uint32_t *)a; }
static inline void write32(uint64_t a, uint32_t v) { *(volatile uint32_t *)a = v; }
static inline uint64_t read64(uint64_t a) { return *(volatile uint64_t *)a; }
static inline void write64(uint64_t a, uint64_t v) { *(volatile uint64_t *)a = v; }

#endif
