/* SPDX-License-Identifier: MIT */
/*
 * A machine for the conformance programs. The guest's code is functions of the program itself: its image (linked at RAM_BASE) is copied into the guest's RAM
 * at the same address, without translation. Host and guest share variables by guest_of(). Guests use no floating point unless they mean it.
 */
#ifndef TESTS_KVM_RISCV_MACHINE_H
#define TESTS_KVM_RISCV_MACHINE_H

#include <pthread.h>

#include "hv/compat_kvm.h"

#include "../kvm.h"

#define RAM_BASE UINT64_C(0x40000000)
#define RAM_SIZE UINT64_C(0x01000000)
#define CALL_BASE UINT64_C(0x10000000) /* MMIO: guest_call() */
#define PLIC_BASE UINT64_C(0x0c000000)
#define MAX_VCPUS 64
#define N_CALLS 16
#define CALL_TRAP (N_CALLS - 1) /* not expected: see struct guest_state */

#define REG_CORE(field) (KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_CORE | KVM_REG_RISCV_CORE_REG(field))
#define REG_CSR(field) (KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_CSR | KVM_REG_RISCV_CSR_REG(field))
#define REG_ISA(n) (KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_ISA_EXT | KVM_REG_RISCV_ISA_SINGLE | (n)) /* KVM_RISCV_ISA_EXT_n */
#define SIP_SEIP (UINT64_C(1) << 9)
#define SIP_STIP (UINT64_C(1) << 5)
#define SIP_SSIP (UINT64_C(1) << 1)

struct vm;

struct vcpu {
	struct vm *vm;
	unsigned int i;
	int fd;
	struct kvm_run *run;
	/* a thread that runs it, see vcpu_start */
	pthread_t thread;
	bool stop;
	void (*called)(struct vcpu *v, unsigned int op, uint64_t value);
	bool (*other)(struct vcpu *v); /* any other exit: whether it goes on; NULL: a failure */
};

struct vm {
	int kvm, fd, plic;
	void *ram;
	struct vcpu vcpu[MAX_VCPUS];
	unsigned int n;
};

/* ---- host ---- */

/* Ends the program with SKIP where /dev/kvm cannot be opened. vCPU i has the id i; all but vCPU 0 are stopped. */
void vm_create(struct vm *vm, unsigned int n);
/* The kernel's PLIC at PLIC_BASE, initialized, contexts M and S; false, errno: why not. After vm_create. */
bool vm_add_plic(struct vm *vm, unsigned int n_sources);
void vm_destroy(struct vm *vm);
/* This program as it is now goes into the RAM. */
void vm_copy_image(struct vm *vm);
/* One more memory slot, or with size 0 no more. 0 or -errno. */
int vm_set_slot(struct vm *vm, uint32_t slot, uint64_t gpa, void *memory, uint64_t size, uint32_t flags);
/* 0 or -errno. */
int vm_irq_line(struct vm *vm, uint32_t irq, uint32_t level);
int vm_irqfd(struct vm *vm, uint32_t gsi, int fd, uint32_t flags, int resamplefd);
int device_attr(int fd, bool set, uint32_t group, uint64_t attr, void *value);
/* Where the guest's copy of a variable is. */
#define guest_of(vm, p) ((__typeof__(&(p)[0]))((char *)(vm)->ram + ((uintptr_t)(p) - RAM_BASE)))

uint64_t reg_get(struct vcpu *v, uint64_t id);
void reg_set(struct vcpu *v, uint64_t id, uint64_t value);
/* Any size; 0 or -errno. */
int reg_read(struct vcpu *v, uint64_t id, void *value);
int reg_write(struct vcpu *v, uint64_t id, const void *value);

/* Lets it start in fn(arg) with a stack; it is runnable then. */
void vcpu_enter(struct vcpu *v, void (*fn)(uint64_t arg), uint64_t arg);
/* For a start by SBI: guest_start with &guest_boot[i] as the second argument begins in fn(arg). */
void vcpu_boot(struct vcpu *v, void (*fn)(uint64_t arg), uint64_t arg);

#define RUN_OTHER -1
/*
 * Runs it until it calls: the number, and the value. RUN_OTHER: another exit (run->exit_reason), or an error (errno; EINTR: kicked); a trap
 * in the guest is said as FAIL.
 */
int vcpu_run(struct vcpu *v, uint64_t *ret_value);
/* The same, and anything but this call is a FAIL of what. */
bool vcpu_expect(struct vcpu *v, const char *what, unsigned int op, uint64_t *ret_value);

/* Linux before 5.16 has no KVM on RISC-V but that of arch/riscv/kernel/linux-5.10. */
bool kvm_is_ours(void);

/* KVM_RUN, with signals from so many ms on, and every 50 ms: 0 or -errno. Briefly: 50 ms, for what should not end by itself. */
int run_for(struct vcpu *v, unsigned int ms);
int run_briefly(struct vcpu *v);

/* Runs it in a thread of its own, `called` for each call, until vcpu_stop. cpu: -1 or the host CPU it stays on. */
void vcpu_start(struct vcpu *v, int cpu, void (*called)(struct vcpu *v, unsigned int op, uint64_t value));
/* A signal: it leaves the guest and enters it again. */
void vcpu_poke(struct vcpu *v);
void vcpu_stop(struct vcpu *v);
void pin(int cpu);

/* ---- guest ---- */

struct guest_boot {
	uint64_t sp, index;
	void (*fn)(uint64_t arg);
	uint64_t arg;
};

struct guest_state {
	/* Exceptions are skipped (4 bytes) and counted while wanted. */
	volatile uint64_t skip_traps, n_traps, cause, epc, tval;
};
extern struct guest_state guest_state[MAX_VCPUS];
extern struct guest_boot guest_boot[MAX_VCPUS];
void guest_start(void);
/* The interrupt that came (scause less its top bit), NULL: none is expected. */
extern void (*volatile guest_irq)(uint64_t cause);
/* Where it goes on after an exception, if not NULL. */
extern uint64_t (*volatile guest_exception)(const struct guest_state *s);

#define csr_read(csr) ({ uint64_t v_; __asm__ volatile("csrr %0, " #csr : "=r"(v_) : : "memory"); v_; })
#define csr_write(csr, v) __asm__ volatile("csrw " #csr ", %0" : : "r"((uint64_t)(v)) : "memory")
#define csr_set(csr, v) __asm__ volatile("csrs " #csr ", %0" : : "r"((uint64_t)(v)) : "memory")
#define csr_clear(csr, v) __asm__ volatile("csrc " #csr ", %0" : : "r"((uint64_t)(v)) : "memory")

static inline uint64_t guest_index(void)
{
	uint64_t v;

	__asm__ volatile("mv %0, tp" : "=r"(v));
	return v;
}

static inline void guest_call(unsigned int op, uint64_t value)
{
	__asm__ volatile("sd %0, 0(%1)" : : "r"(value), "r"(CALL_BASE + 8 * op) : "memory");
}

static inline uint32_t guest_read32(uint64_t at)
{
	uint32_t v;

	__asm__ volatile("lw %0, 0(%1)" : "=r"(v) : "r"(at) : "memory");
	return v;
}

static inline void guest_write32(uint64_t at, uint32_t v)
{
	__asm__ volatile("sw %0, 0(%1)" : : "r"(v), "r"(at) : "memory");
}

#define guest_irqs_on() csr_set(sstatus, 2)
#define guest_irqs_off() csr_clear(sstatus, 2)

struct sbi_ret {
	int64_t error;
	uint64_t value;
};

static inline struct sbi_ret guest_sbi5(uint64_t extension, uint64_t function, uint64_t arg0, uint64_t arg1, uint64_t arg2, uint64_t arg3, uint64_t arg4)
{
	register uint64_t a0 __asm__("a0") = arg0;
	register uint64_t a1 __asm__("a1") = arg1;
	register uint64_t a2 __asm__("a2") = arg2;
	register uint64_t a3 __asm__("a3") = arg3;
	register uint64_t a4 __asm__("a4") = arg4;
	register uint64_t a6 __asm__("a6") = function;
	register uint64_t a7 __asm__("a7") = extension;

	__asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7) : "memory");
	return (struct sbi_ret){ (int64_t)a0, a1 };
}

static inline struct sbi_ret guest_sbi(uint64_t extension, uint64_t function, uint64_t arg0, uint64_t arg1, uint64_t arg2)
{
	return guest_sbi5(extension, function, arg0, arg1, arg2, 0, 0);
}

#define SBI_BASE 0x10
#define SBI_TIME 0x54494d45
#define SBI_IPI 0x735049
#define SBI_RFENCE 0x52464e43
#define SBI_SRST 0x53525354
#define SBI_DBCN 0x4442434e
#define SBI_STA 0x535441
#define SBI_HSM 0x48534d
#define SBI_HSM_START 0
#define SBI_HSM_STOP 1
#define SBI_HSM_STATUS 2
#define SBI_HSM_SUSPEND 3

/* PLIC registers. */
#define PLIC_PRIORITY(source) (PLIC_BASE + 4 * (uint64_t)(source))
#define PLIC_PENDING(source) (PLIC_BASE + 0x1000 + (source) / 32 * 4)
#define PLIC_ENABLE(context, source) (PLIC_BASE + 0x2000 + 0x80 * (uint64_t)(context) + (source) / 32 * 4)
#define PLIC_THRESHOLD(context) (PLIC_BASE + 0x200000 + 0x1000 * (uint64_t)(context))
#define PLIC_CLAIM(context) (PLIC_THRESHOLD(context) + 4)
#define S_CONTEXT(hart) (2 * (hart) + 1)

#endif
