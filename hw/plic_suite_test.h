// SPDX-License-Identifier: MIT
/*
 * What the tests of the PLIC's behaviour share. They run against the PLIC of this folder and against the one in the kernel (tests/kvm/riscv): a rig gives them
 * struct rig, rig_start, rig_end, peek, poke, eip, line, pulse, peek_pending, told_once, odd_access,
 * RIG_WAYS and RIG_MAX_HARTS.
 */
#ifndef LKVM_HW_PLIC_SUITE_H
#define LKVM_HW_PLIC_SUITE_H

#define BASE UINT64_C(0x08000000)
#define PENDING(source) (0x1000 + (source) / 32 * 4)
#define ENABLE(context, source) (0x2000 + (context) * 0x80 + (source) / 32 * 4)
#define THRESHOLD(context) (0x200000 + (context) * 0x1000)
#define CLAIM(context) (0x200004 + (context) * 0x1000)
#define S(hart) (2 * (hart) + 1)
#define M(hart) (2 * (hart))

struct rig;

static inline uint32_t peek(struct rig *r, uint64_t offset);
static inline void poke(struct rig *r, uint64_t offset, uint32_t value);

static inline void enable(struct rig *r, unsigned int context, unsigned int source, bool on)
{
	uint32_t word = peek(r, ENABLE(context, source)), bit = UINT32_C(1) << source % 32;

	poke(r, ENABLE(context, source), on ? word | bit : word & ~bit);
}

static inline bool pending(struct rig *r, unsigned int source)
{
	return peek(r, PENDING(source)) >> source % 32 & 1;
}

/* Chance that repeats; rng_state is not 0. */
static uint64_t rng_state;

static inline unsigned int rnd(unsigned int below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (unsigned int)(rng_state >> 33) % below;
}

static const unsigned int interesting[] = { 1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 511, 512, 991, 992, 1022, 1023 };

static inline unsigned int some_source(void)
{
	return rnd(8) ? interesting[rnd(ARRAY_SIZE(interesting))] : 1 + rnd(PLIC_MAX_SOURCES);
}

#endif
