/* SPDX-License-Identifier: MIT */
/* The rig of hw/plic_suite_test.h around the kernel's PLIC. Any vCPU can access any context: vCPU 0 does all accesses, the others never run. */
#ifndef TESTS_KVM_RISCV_PLIC_RIG_H
#define TESTS_KVM_RISCV_PLIC_RIG_H

#include "machine.h"

#define PLIC_MAX_SOURCES KVM_DEV_RISCV_PLIC_SRCS_MAX

#include "hw/plic_suite_test.h"

#undef BASE
#define BASE PLIC_BASE

#define RIG_WAYS 1
#define RIG_MAX_HARTS MAX_VCPUS

#define CHECK(cond)                                                             \
	do {                                                                    \
		if (cond)                                                       \
			__atomic_fetch_add(&said_passes, 1, __ATOMIC_RELAXED);  \
		else                                                            \
			fail("suite", "%s:%d: not so: %s", __FILE__, __LINE__, #cond); \
	} while (0)
#define CHECK_EQ(a, b)                                                                                                        \
	do {                                                                                                                  \
		uint64_t a_ = (uint64_t)(a), b_ = (uint64_t)(b);                                                              \
                                                                                                                              \
		if (a_ == b_)                                                                                                 \
			__atomic_fetch_add(&said_passes, 1, __ATOMIC_RELAXED);                                                \
		else                                                                                                          \
			fail("suite", "%s:%d: %s is 0x%" PRIx64 ", expected 0x%" PRIx64, __FILE__, __LINE__, #a, a_, b_); \
	} while (0)

struct rig {
	struct vm vm;
	unsigned int n;
	struct access *access;
};

enum { ACCESS_READ, ACCESS_WRITE, ACCESS_PENDING };

/* What vCPU 0 does next. */
struct access {
	volatile uint64_t kind, at, len, value;
	volatile uint32_t words[32];
};

static struct access rig_access;

/* Guest. */
static void rig_serve(uint64_t arg)
{
	struct access *a = &rig_access;

	for (;;) {
		guest_call(0, 0);
		if (a->kind == ACCESS_PENDING) {
			for (unsigned int w = 0; w < 32; w++)
				a->words[w] = guest_read32(PLIC_BASE + 0x1000 + 4 * w);
		} else if (a->kind == ACCESS_WRITE) {
			switch (a->len) {
			case 1:
				__asm__ volatile("sb %0, 0(%1)" : : "r"(a->value), "r"(a->at) : "memory");
				break;
			case 2:
				__asm__ volatile("sh %0, 0(%1)" : : "r"(a->value), "r"(a->at) : "memory");
				break;
			case 4:
				__asm__ volatile("sw %0, 0(%1)" : : "r"(a->value), "r"(a->at) : "memory");
				break;
			default:
				__asm__ volatile("sd %0, 0(%1)" : : "r"(a->value), "r"(a->at) : "memory");
			}
		} else {
			uint64_t v;

			switch (a->len) {
			case 1:
				__asm__ volatile("lbu %0, 0(%1)" : "=r"(v) : "r"(a->at) : "memory");
				break;
			case 2:
				__asm__ volatile("lhu %0, 0(%1)" : "=r"(v) : "r"(a->at) : "memory");
				break;
			case 4:
				__asm__ volatile("lwu %0, 0(%1)" : "=r"(v) : "r"(a->at) : "memory");
				break;
			default:
				__asm__ volatile("ld %0, 0(%1)" : "=r"(v) : "r"(a->at) : "memory");
			}
			a->value = v;
		}
	}
}

static inline void rig_do(struct rig *r, unsigned int kind, uint64_t offset, unsigned int len, uint64_t value)
{
	r->access->kind = kind;
	r->access->at = PLIC_BASE + offset;
	r->access->len = len;
	r->access->value = value;
	if (!vcpu_expect(&r->vm.vcpu[0], "access", 0, NULL))
		exit(1);
}

static inline void rig_start(struct rig *r, unsigned int n, unsigned int sources, bool queued)
{
	r->n = n;
	vm_create(&r->vm, n);
	if (!vm_add_plic(&r->vm, sources)) {
		skip("plic", "this host's KVM has none: %s", strerror(errno));
		exit(77);
	}
	r->access = guest_of(&r->vm, &rig_access);
	vcpu_enter(&r->vm.vcpu[0], rig_serve, 0);
	if (!vcpu_expect(&r->vm.vcpu[0], "start", 0, NULL))
		exit(1);
}

static inline void rig_end(struct rig *r)
{
	vm_destroy(&r->vm);
}

static inline uint32_t peek(struct rig *r, uint64_t offset)
{
	rig_do(r, ACCESS_READ, offset, 4, 0);
	return (uint32_t)r->access->value;
}

static inline void poke(struct rig *r, uint64_t offset, uint32_t value)
{
	rig_do(r, ACCESS_WRITE, offset, 4, value);
}

static inline void peek_pending(struct rig *r, uint32_t words[32])
{
	rig_do(r, ACCESS_PENDING, 0, 4, 0);
	for (unsigned int w = 0; w < 32; w++)
		words[w] = r->access->words[w];
}

/* A misaligned access is the guest's own trap. */
static inline void odd_access(struct rig *r, uint64_t offset, unsigned int len, uint8_t data[8])
{
	uint64_t value;

	if ((len & (len - 1)) || offset % len) {
		memset(data, 0, 8);
		return;
	}
	rig_do(r, ACCESS_WRITE, offset, len, UINT64_MAX);
	rig_do(r, ACCESS_READ, offset, len, UINT64_MAX);
	value = r->access->value;
	memcpy(data, &value, 8);
}

static inline bool eip(struct rig *r, unsigned int hart)
{
	return reg_get(&r->vm.vcpu[hart], REG_CSR(sip)) & SIP_SEIP;
}

static inline bool told_once(struct rig *r, unsigned int hart)
{
	return true;
}

static inline void line(struct rig *r, unsigned int source, bool level)
{
	CHECK_EQ(vm_irq_line(&r->vm, source, level), 0);
}

static inline void pulse(struct rig *r, unsigned int source)
{
	CHECK_EQ(vm_irq_line(&r->vm, source | KVM_RISCV_PLIC_IRQ_EDGE, 1), 0);
}

static inline int test_result(void)
{
	return finish();
}

#endif
