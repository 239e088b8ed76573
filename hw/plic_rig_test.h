// SPDX-License-Identifier: MIT
/* A machine of nothing but vCPUs and a PLIC, for the PLIC's tests. */
#ifndef LKVM_HW_PLIC_RIG_H
#define LKVM_HW_PLIC_RIG_H

#include "hw/plic.h"

#include <errno.h>
#include <linux/kvm.h>

#include "base/endian.h"
#include "base/sys.h"
#include "hv/scripted.h"
#include "tests/test.h"

#define BASE UINT64_C(0x08000000)
#define PENDING(source) (0x1000 + (source) / 32 * 4)
#define ENABLE(context, source) (0x2000 + (context) * 0x80 + (source) / 32 * 4)
#define THRESHOLD(context) (0x200000 + (context) * 0x1000)
#define CLAIM(context) (0x200004 + (context) * 0x1000)
#define S(hart) (2 * (hart) + 1)
#define M(hart) (2 * (hart))

struct rig {
	struct hv *hv;
	struct loop *loop;
	struct coalescer *coalescer;
	struct hv_vcpu *vcpu[PLIC_MAX_VCPUS];
	unsigned int n;
	struct plic *plic;
};

static inline void rig_start(struct rig *r, unsigned int n, unsigned int sources, bool queued)
{
	static const struct scripted_cap caps[] = { { KVM_CAP_COALESCED_MMIO, 1 } };
	const struct scripted_config config = { .caps = caps, .n_caps = queued };
	struct plic_config plic = { .n_vcpus = n, .n_sources = sources, .base = BASE };
	struct err e = { 0 };

	*r = (struct rig){ .n = n };
	CHECK(hv_scripted_create(&config, &r->hv) >= 0);
	CHECK(loop_create(&r->loop, &e) >= 0);
	CHECK_EQ(coalescer_create(r->hv, r->loop, &r->coalescer), queued ? 0 : -EOPNOTSUPP);
	for (unsigned int i = 0; i < n; i++)
		CHECK(r->hv->ops->create_vcpu(r->hv, i, &r->vcpu[i]) >= 0);
	plic.vcpus = r->vcpu;
	plic.coalescer = r->coalescer;
	CHECK_EQ(plic_create(&plic, NULL, &r->plic, &e), 0);
}

static inline void rig_end(struct rig *r)
{
	plic_destroy(r->plic);
	coalescer_destroy(r->coalescer);
	for (unsigned int i = 0; i < r->n; i++)
		hv_vcpu_destroy(r->vcpu[i]);
	loop_destroy(r->loop);
	hv_destroy(r->hv);
}

static inline uint32_t peek(struct rig *r, uint64_t offset)
{
	uint8_t data[8] = { 0 };

	plic_bus_ops.read(r->plic, offset, data, 4);
	return get_le32(data);
}

/* As KVM does it: into the ring if there is a zone, else an exit. */
static inline void poke(struct rig *r, uint64_t offset, uint32_t value)
{
	uint8_t data[8] = { 0 };

	put_le32(data, value);
	if (!hv_scripted_guest_write(r->hv, BASE + offset, data, 4))
		plic_bus_ops.write(r->plic, offset, data, 4);
}

static inline bool eip(struct rig *r, unsigned int hart)
{
	return hv_scripted_interrupt(r->vcpu[hart], NULL, NULL);
}

static inline void line(struct rig *r, unsigned int source, bool level)
{
	struct irq_line l = { 0 };

	CHECK_EQ(plic_line(r->plic, source, &l), 0);
	irq_sync(&l);
	irq_set(&l, level);
}

static inline void pulse(struct rig *r, unsigned int source)
{
	struct irq_line l = { 0 };

	CHECK_EQ(plic_line(r->plic, source, &l), 0);
	irq_sync(&l);
	irq_pulse(&l);
}

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
