// SPDX-License-Identifier: MIT
/* PLIC, or APLIC and IMSIC, whichever the machine has. */
#include "guest.h"

#define MAX_SOURCES 1024
#define CLAIMS_OF_EACH 32 /* of a source by a hart in one trap: several times the requests of a whole phase */

void irq_external(void);

static struct {
	irq_fn fn;
	void *ctx;
	bool level;
} handler[MAX_SOURCES];
static volatile uint32_t enable_lock;

volatile bool irq_single_claim;
volatile uint64_t irq_claims, irq_empty_claims;

/* --- PLIC --- */

uint32_t plic_claim(unsigned int hart)
{
	uint32_t source = read32(PLIC_CLAIM_AT(hart));

	fence();
	return source;
}

void plic_complete(unsigned int hart, uint32_t source)
{
	fence();
	write32(PLIC_CLAIM_AT(hart), source);
}

void plic_enable(unsigned int hart, uint32_t source, bool on)
{
	uint64_t at = PLIC_ENABLE_AT(hart) + source / 32 * 4, status = csr_read(sstatus) & SSTATUS_SIE;
	uint32_t v;

	interrupts_off();
	while (__atomic_exchange_n(&enable_lock, 1, __ATOMIC_ACQUIRE))
		;
	v = read32(at);
	write32(at, on ? v | 1u << source % 32 : v & ~(1u << source % 32));
	__atomic_store_n(&enable_lock, 0, __ATOMIC_RELEASE);
	csr_set(sstatus, status);
}

void plic_priority(uint32_t source, uint32_t value)
{
	write32(machine.plic + 4UL * source, value);
}

void plic_threshold(unsigned int hart, uint32_t value)
{
	write32(PLIC_CLAIM_AT(hart) - 4, value);
}

void plic_quiet(unsigned int hart)
{
	uint32_t source;

	/* A line that stays high would never be done. */
	for (unsigned int i = 0; i < 64 && (source = plic_claim(hart)); i++)
		plic_complete(hart, source);
}

/* --- AIA --- */

#define APLIC_DOMAINCFG 0x0000
#define APLIC_SOURCECFG(n) (0x0000 + 4UL * (n))
#define APLIC_SETIENUM 0x1edc
#define APLIC_CLRIENUM 0x1fdc
#define APLIC_SETIPNUM 0x1cdc
#define APLIC_TARGET(n) (0x3000 + 4UL * (n))
#define SOURCECFG_EDGE_RISE 4
#define SOURCECFG_LEVEL_HIGH 6

static void imsic_write(uint64_t select, uint64_t v)
{
	csr_write(0x150, select);
	csr_write(0x151, v);
}

static void imsic_enable(uint32_t id, bool on)
{
	csr_write(0x150, 0xc0 + 2 * (id / 64));
	if (on)
		csr_set(0x151, 1UL << id % 64);
	else
		csr_clear(0x151, 1UL << id % 64);
}

/* --- both --- */

void irq_hart_init(void)
{
	if (machine.aia) {
		imsic_write(0x72, 0);
		imsic_write(0x70, 1);
		/* Identities are sources here. */
		for (uint32_t id = 1; id <= machine.n_sources && id < machine.n_ids; id++)
			imsic_enable(id, true);
		write32(machine.aplic + APLIC_DOMAINCFG, 1u << 8 | 1u << 2);
	} else {
		plic_threshold(this_hart(), 0);
	}
}

void irq_setup(unsigned int source, bool level, irq_fn fn, void *ctx)
{
	handler[source].ctx = ctx;
	handler[source].level = level;
	handler[source].fn = fn;
	fence();
	if (machine.aia)
		write32(machine.aplic + APLIC_SOURCECFG(source), level ? SOURCECFG_LEVEL_HIGH : SOURCECFG_EDGE_RISE);
	else
		plic_priority(source, 1);
}

void irq_enable(unsigned int source, unsigned int hart, bool on)
{
	if (!machine.aia) {
		plic_enable(hart, source, on);
		return;
	}
	if (on)
		write32(machine.aplic + APLIC_TARGET(source), hart << 18 | source);
	write32(machine.aplic + (on ? APLIC_SETIENUM : APLIC_CLRIENUM), source);
}

static void call(unsigned int source)
{
	__atomic_fetch_add(&irq_claims, 1, __ATOMIC_RELAXED);
	if (source < MAX_SOURCES && handler[source].fn)
		handler[source].fn(handler[source].ctx);
	else
		fail("interrupt", "of source %u, which nobody wants", source);
}

void irq_external(void)
{
	unsigned int hart = this_hart();
	uint32_t source, n = 0, end = CLAIMS_OF_EACH * machine.n_sources * machine.harts;

	if (machine.aia) {
		while ((source = (uint32_t)(csr_swap(0x15c, 0) >> 16))) {
			call(source);
			/* A line that is still high asks again (AIA 4.9.2). */
			if (source < MAX_SOURCES && handler[source].level)
				write32(machine.aplic + APLIC_SETIPNUM, source);
		}
		return;
	}
	while ((source = plic_claim(hart))) {
		if (++n > end) {
			fail("interrupt", "hart %u has claimed %u times in one trap, source %u the last, and there is always one more", hart, n, source);
			guest_end();
		}
		call(source);
		plic_complete(hart, source);
		if (irq_single_claim)
			return;
	}
	__atomic_fetch_add(&irq_empty_claims, 1, __ATOMIC_RELAXED);
}

const char *irq_chip(void)
{
	return machine.aia ? "AIA" : "PLIC";
}
