/* SPDX-License-Identifier: MIT */
/*
 * A machine for the conformance programs. The guest's code is functions of the program itself: its image (linked at RAM_BASE) is copied into the guest's RAM
 * at the same address, with the MMU on and everything mapped one to one. Host and guest share variables by guest_of().
 */
#ifndef TESTS_KVM_ARM64_MACHINE_H
#define TESTS_KVM_ARM64_MACHINE_H

#include <pthread.h>

#include "../kvm.h"

#define RAM_BASE UINT64_C(0x80000000)
#define RAM_SIZE UINT64_C(0x02000000)
#define CALL_BASE UINT64_C(0x09000000) /* MMIO: guest_call() */
#define GIC_DIST UINT64_C(0x08000000)
#define GIC_REDIST UINT64_C(0x080a0000)
#define MAX_VCPUS 4
#define N_CALLS 16
#define CALL_EXCEPTION (N_CALLS - 1) /* not expected: see struct guest_state */

#define SYS(op0, op1, crn, crm, op2) ARM64_SYS_REG(op0, op1, crn, crm, op2)
#define CORE(field) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(field))
#define REG_MPIDR SYS(3, 0, 0, 0, 5)

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
	int kvm, fd, gic;
	void *ram;
	struct kvm_vcpu_init init;
	struct vcpu vcpu[MAX_VCPUS];
	unsigned int n;
	uint64_t sctlr; /* more bits */
};

/* ---- host ---- */

/* Ends the program with SKIP where /dev/kvm cannot be opened. features: KVM_ARM_VCPU_* bits; PSCI 0.2 is always there. All but vCPU 0 are powered off. */
void vm_create(struct vm *vm, unsigned int n, uint32_t features);
/* GICv3; false, errno: why not. After vm_create. */
bool vm_add_gic(struct vm *vm);
void vm_destroy(struct vm *vm);
/* This program as it is now goes into the RAM. */
void vm_copy_image(struct vm *vm);
/* One more memory slot, or with size 0 no more. 0 or -errno. */
int vm_set_slot(struct vm *vm, uint32_t slot, uint64_t gpa, void *memory, uint64_t size, uint32_t flags);
/* Where the guest's copy of a variable is. */
#define guest_of(vm, p) ((__typeof__(&(p)[0]))((char *)(vm)->ram + ((uintptr_t)(p) - RAM_BASE)))

uint64_t reg_get(struct vcpu *v, uint64_t id);
void reg_set(struct vcpu *v, uint64_t id, uint64_t value);
unsigned int reg_size(uint64_t id);
/* Any size; 0 or -errno. */
int reg_read(struct vcpu *v, uint64_t id, void *value);
int reg_write(struct vcpu *v, uint64_t id, const void *value);
/* All of KVM_GET_REG_LIST, the caller's. */
struct kvm_reg_list *reg_list(struct vcpu *v);

/* KVM_ARM_VCPU_INIT with the machine's features. */
int vcpu_init(struct vcpu *v, bool powered_off);
/* Lets it start in fn(arg) with a stack, MMU on. */
void vcpu_enter(struct vcpu *v, void (*fn)(uint64_t arg), uint64_t arg);

#define RUN_OTHER -1
/*
 * Runs it until it calls: the number, and the value. RUN_OTHER: another exit (run->exit_reason), or an error (errno; EINTR: kicked); an exception
 * in the guest is said as FAIL.
 */
int vcpu_run(struct vcpu *v, uint64_t *ret_value);
/* The same, and anything but this call is a FAIL of what. */
bool vcpu_expect(struct vcpu *v, const char *what, unsigned int op, uint64_t *ret_value);

/* Runs it in a thread of its own, `called` for each call, until vcpu_stop. cpu: -1 or the host CPU it stays on. */
void vcpu_start(struct vcpu *v, int cpu, void (*called)(struct vcpu *v, unsigned int op, uint64_t value));
void vcpu_stop(struct vcpu *v);
void pin(int cpu);

/* ---- guest ---- */

/* How a vCPU comes up that PSCI starts: its context argument. Physical address, written back from the caches. */
struct guest_boot {
	uint64_t ttbr, tcr, mair, sctlr, vbar, cpacr, sp;
	void (*fn)(uint64_t arg);
	uint64_t arg, index;
};

struct guest_state {
	/* Exceptions are skipped and counted while wanted. */
	volatile uint64_t skip_exceptions, n_exceptions, esr, elr, far;
};
extern struct guest_state guest_state[MAX_VCPUS];
extern struct guest_boot guest_boot[MAX_VCPUS];

/* Where CPU_ON lets it start, with a struct guest_boot as context. */
void guest_secondary(void);
/* The interrupt that came, NULL: none is expected. */
extern void (*volatile guest_irq)(void);

#define sysreg_read(reg) ({ uint64_t v_; __asm__ volatile("mrs %0, " #reg : "=r"(v_) : : "memory"); v_; })
#define sysreg_write(reg, v) __asm__ volatile("msr " #reg ", %0\n\tisb" : : "r"((uint64_t)(v)) : "memory")

static inline void guest_call(unsigned int op, uint64_t value)
{
	__asm__ volatile("str %0, [%1]" : : "r"(value), "r"(CALL_BASE + 8 * op) : "memory");
}

/* The distributor (once), and a vCPU's own half: SGIs enabled, all priorities taken. */
void guest_gic_init(void);
void guest_gic_vcpu_init(unsigned int i);
#define guest_irq_acknowledge() ((uint32_t)sysreg_read(s3_0_c12_c12_0))
#define guest_irq_end(intid) sysreg_write(s3_0_c12_c12_1, intid)

static inline void guest_send_sgi(unsigned int vcpu, unsigned int intid)
{
	__asm__ volatile("dsb ishst" : : : "memory");
	sysreg_write(s3_0_c12_c11_5, (uint64_t)intid << 24 | 1u << vcpu);
}

#define guest_irqs_on() __asm__ volatile("msr daifclr, #2" : : : "memory")
#define guest_irqs_off() __asm__ volatile("msr daifset, #2" : : : "memory")

/* PSCI and SMCCC by HVC. */
static inline int64_t guest_hvc(uint64_t function, uint64_t a1, uint64_t a2, uint64_t a3)
{
	register uint64_t x0 __asm__("x0") = function;
	register uint64_t x1 __asm__("x1") = a1;
	register uint64_t x2 __asm__("x2") = a2;
	register uint64_t x3 __asm__("x3") = a3;

	__asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
			 "x15", "x16", "x17", "memory");
	return (int64_t)x0;
}

#define PSCI_CPU_OFF 0x84000002
#define PSCI_CPU_ON 0xc4000003
#define PSCI_AFFINITY_INFO 0xc4000004

#endif
