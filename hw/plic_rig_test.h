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

#include "hw/plic_suite_test.h"

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

/* Pending bits, 32 sources a word. */
static inline void peek_pending(struct rig *r, uint32_t words[32])
{
	for (unsigned int w = 0; w < 32; w++)
		words[w] = peek(r, 0x1000 + 4 * w);
}

/* The hart was told of each change, and only then. */
static inline bool told_once(struct rig *r, unsigned int hart)
{
	unsigned int changes = 0, calls = 0;

	hv_scripted_interrupt(r->vcpu[hart], &changes, &calls);
	return changes == calls;
}

static inline void odd_access(struct rig *r, uint64_t offset, unsigned int len, uint8_t data[8])
{
	plic_bus_ops.write(r->plic, offset, data, len);
	memset(data, 0, 8);
	plic_bus_ops.read(r->plic, offset, data, len);
}

#define RIG_WAYS 2 /* plain exits, queued completions */
#define RIG_MAX_HARTS PLIC_MAX_VCPUS

#endif
