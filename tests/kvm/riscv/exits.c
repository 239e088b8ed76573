// SPDX-License-Identifier: MIT
/* What KVM does between a guest's trap and its next instruction: MMIO loads and stores of all widths, floating point state, traps it has to pass on, SBI. */
#include "machine.h"

#define MMIO UINT64_C(0x20000000)
#define TABLE (RAM_BASE + RAM_SIZE / 2) /* page tables */

static struct shared {
	volatile uint64_t loaded[16], fp[32], fp_bad, cause, epc, tval, expected_epc;
} shared;

/* ---- guest ---- */

/* Every load there is, at MMIO. */
static void loads(uint64_t arg)
{
	register uint64_t at __asm__("s1") = MMIO;
	register uint64_t v __asm__("a5");

#define LOAD(i, insn)                                                                 \
	do {                                                                          \
		__asm__ volatile(insn : "=r"(v) : "r"(at) : "memory");                \
		shared.loaded[i] = v;                                                 \
	} while (0)
	LOAD(0, "lb %0, 0(%1)");
	LOAD(1, "lbu %0, 0(%1)");
	LOAD(2, "lh %0, 0(%1)");
	LOAD(3, "lhu %0, 0(%1)");
	LOAD(4, "lw %0, 0(%1)");
	LOAD(5, "lwu %0, 0(%1)");
	LOAD(6, "ld %0, 0(%1)");
	LOAD(7, "c.lw %0, 0(%1)");
	LOAD(8, "c.ld %0, 0(%1)");
	__asm__ volatile("mv t0, sp\n\tmv sp, %1\n\tc.lwsp %0, 0(sp)\n\tmv sp, t0" : "=r"(v) : "r"(at) : "t0", "memory");
	shared.loaded[9] = v;
	__asm__ volatile("mv t0, sp\n\tmv sp, %1\n\tc.ldsp %0, 0(sp)\n\tmv sp, t0" : "=r"(v) : "r"(at) : "t0", "memory");
	shared.loaded[10] = v;
	/* Nothing is loaded into x0. */
	__asm__ volatile("lw x0, 0(%1)\n\tmv %0, x0" : "=r"(v) : "r"(at) : "memory");
	shared.loaded[11] = v;
	guest_call(0, 0);
	for (;;)
		;
}

static void stores(uint64_t arg)
{
	register uint64_t at __asm__("s1") = MMIO;
	register uint64_t v __asm__("a5") = UINT64_C(0x8091a2b3c4d5e6f7);

	__asm__ volatile("sb %0, 0(%1)\n\tsh %0, 0(%1)\n\tsw %0, 0(%1)\n\tsd %0, 0(%1)\n\tc.sw %0, 0(%1)\n\tc.sd %0, 0(%1)\n\t"
			 "mv t0, sp\n\tmv sp, %1\n\tc.swsp %0, 0(sp)\n\tc.sdsp %0, 0(sp)\n\tmv sp, t0"
			 : : "r"(v), "r"(at) : "t0", "memory");
	guest_call(0, 0);
	for (;;)
		;
}

#define ALL_FP(X)                                                                                                                             \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) \
	X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)

static void fp_fill(uint64_t seed)
{
#define X(n) __asm__ volatile("fmv.d.x f" #n ", %0" : : "r"(seed + n));
	ALL_FP(X)
#undef X
}

static unsigned int fp_wrong(uint64_t seed)
{
	unsigned int wrong = 0;
	uint64_t v;

#define X(n)                                           \
	__asm__ volatile("fmv.x.d %0, f" #n : "=r"(v)); \
	wrong += v != seed + n;
	ALL_FP(X)
#undef X
	return wrong;
}

/* Its registers hold its own values, exit after exit. */
static void fp_user(uint64_t arg)
{
	for (uint64_t round = 0;; round++) {
		uint64_t seed = (arg + 1) << 48 | round << 16;

		fp_fill(seed);
		csr_write(fcsr, arg + 1);
		guest_call(0, seed);
		guest_call(1, fp_wrong(seed) + (csr_read(fcsr) != arg + 1) * 100);
	}
}

/* One page table: 1 GiB leaves one to one; what a root entry of RAM needs is made of 4 KiB leaves, so that one page can be taken away. */
static void map_all(void)
{
	uint64_t *root = (uint64_t *)TABLE, *middle = root + 512, *leaf = middle + 512;

	for (uint64_t i = 0; i < 512; i++) {
		root[i] = i < 4 ? i << 28 | 0xcf : 0;
		middle[i] = (RAM_BASE >> 12 << 10) + (i << 19) + 0xcf;
		leaf[i] = (RAM_BASE >> 12 << 10) + (i << 10) + 0xcf;
	}
	root[RAM_BASE >> 30] = (uintptr_t)middle >> 12 << 10 | 1;
	middle[0] = (uintptr_t)leaf >> 12 << 10 | 1; /* the program: its first 2 MiB */
	__asm__ volatile("sfence.vma" : : : "memory");
	csr_write(satp, UINT64_C(8) << 60 | TABLE >> 12);
	__asm__ volatile("sfence.vma" : : : "memory");
}

/* On a page of its own: takes this page away from itself, and goes on from the TLB. cbo.zero is no instruction that hardware describes in htinst. */
__attribute__((aligned(4096), noinline, section(".text.lonely"))) static void lonely(volatile uint64_t *pte, uint64_t at)
{
	__asm__ volatile("la t0, 1f\n\tsd t0, 0(%2)\n\tsd x0, 0(%0)\n1:\n\t.insn i 0x0f, 2, x0, %1, 4\n\tnop"
			 : : "r"(pte), "r"(at), "r"(&shared.expected_epc) : "t0", "memory");
}
__attribute__((aligned(4096), noinline, used, section(".text.lonely2"))) static void behind_lonely(void)
{
}

static uint64_t lonely_pte_value;

static volatile uint64_t *lonely_pte(void)
{
	return (uint64_t *)TABLE + 1024 + (((uintptr_t)lonely - RAM_BASE) >> 12);
}

/* The page comes back, and the instruction is left out. */
static uint64_t page_fault(const struct guest_state *s)
{
	shared.cause = s->cause;
	shared.epc = s->epc;
	shared.tval = s->tval;
	*lonely_pte() = lonely_pte_value;
	__asm__ volatile("sfence.vma" : : : "memory");
	return s->epc + 4;
}

static void gone_page(uint64_t arg)
{
	map_all();
	lonely_pte_value = *lonely_pte();
	guest_exception = page_fault;
	guest_call(0, 0);
	lonely(lonely_pte(), MMIO);
	guest_call(1, guest_state[0].n_traps);
	for (;;)
		;
}

static void sbi(uint64_t arg)
{
	struct sbi_ret r = guest_sbi(SBI_HSM, SBI_HSM_STATUS, 0, 0, 0);

	guest_call(0, (uint64_t)r.error << 32 | (uint32_t)r.value);
	r = guest_sbi(SBI_HSM, SBI_HSM_STATUS, 1, 0, 0);
	guest_call(0, (uint64_t)r.error << 32 | (uint32_t)r.value);
	r = guest_sbi(SBI_HSM, SBI_HSM_STATUS, 77, 0, 0);
	guest_call(0, (uint64_t)r.error << 32 | (uint32_t)r.value);
	r = guest_sbi(SBI_HSM, SBI_HSM_START, 77, (uintptr_t)guest_start, 0);
	guest_call(0, (uint64_t)r.error << 32 | (uint32_t)r.value);
	r = guest_sbi(SBI_HSM, SBI_HSM_START, 0, (uintptr_t)guest_start, 0);
	guest_call(0, (uint64_t)r.error << 32 | (uint32_t)r.value);
	for (;;)
		;
}

/* An instruction that is none, one that guests must not use, and an address that is none. */
static void traps(uint64_t arg)
{
	guest_state[0].skip_traps = 1;
	__asm__ volatile(".4byte 0xffffffff");
	guest_call(0, guest_state[0].cause);
	__asm__ volatile("csrr t0, hstatus" : : : "t0");
	guest_call(0, guest_state[0].cause);
	__asm__ volatile("csrr t0, mstatus" : : : "t0");
	guest_call(0, guest_state[0].cause);
	guest_call(0, guest_state[0].n_traps);
	for (;;)
		;
}

/* ---- host ---- */

static void mmio_loads(void)
{
	static const struct {
		const char *name;
		unsigned int len;
		uint64_t expected;
	} rows[] = {
		{ "lb", 1, UINT64_C(0xffffffffffffff88) },     { "lbu", 1, 0x88 },
		{ "lh", 2, UINT64_C(0xffffffffffff9988) },     { "lhu", 2, 0x9988 },
		{ "lw", 4, UINT64_C(0xffffffffbbaa9988) },     { "lwu", 4, 0xbbaa9988 },
		{ "ld", 8, UINT64_C(0xffeeddccbbaa9988) },     { "c.lw", 4, UINT64_C(0xffffffffbbaa9988) },
		{ "c.ld", 8, UINT64_C(0xffeeddccbbaa9988) },   { "c.lwsp", 4, UINT64_C(0xffffffffbbaa9988) },
		{ "c.ldsp", 8, UINT64_C(0xffeeddccbbaa9988) }, { "lw-x0", 4, 0 },
	};
	static const uint64_t data = UINT64_C(0xffeeddccbbaa9988);
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];
	uint64_t value;
	int r = RUN_OTHER;

	vm_create(&vm, 1);
	vcpu_enter(v, loads, 0);
	for (unsigned int i = 0; i <= ARRAY_SIZE(rows); i++) {
		r = vcpu_run(v, &value);
		if (r != RUN_OTHER || errno || v->run->exit_reason != KVM_EXIT_MMIO || i == ARRAY_SIZE(rows))
			break;
		check(!v->run->mmio.is_write && v->run->mmio.phys_addr == MMIO && v->run->mmio.len == rows[i].len, rows[i].name,
		      "%s of %u bytes at 0x%" PRIx64, v->run->mmio.is_write ? "a store" : "a load", v->run->mmio.len, (uint64_t)v->run->mmio.phys_addr);
		memset(v->run->mmio.data, 0xee, 8);
		memcpy(v->run->mmio.data, &data, rows[i].len);
	}
	if (!check(r == 0, "loads", "the guest does not come to its end: %d, %s", r, strerror(errno)))
		return;
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++)
		check(guest_of(&vm, &shared)->loaded[i] == rows[i].expected, rows[i].name, "loaded 0x%" PRIx64 ", should be 0x%" PRIx64,
		      guest_of(&vm, &shared)->loaded[i], rows[i].expected);
	vm_destroy(&vm);
}

static void mmio_stores(void)
{
	static const struct {
		const char *name;
		unsigned int len;
	} rows[] = { { "sb", 1 }, { "sh", 2 }, { "sw", 4 }, { "sd", 8 }, { "c.sw", 4 }, { "c.sd", 8 }, { "c.swsp", 4 }, { "c.sdsp", 8 } };
	static const uint64_t data = UINT64_C(0x8091a2b3c4d5e6f7);
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];
	uint64_t value;
	unsigned int i;
	int r = RUN_OTHER;

	vm_create(&vm, 1);
	vcpu_enter(v, stores, 0);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		r = vcpu_run(v, &value);
		if (r != RUN_OTHER || errno || v->run->exit_reason != KVM_EXIT_MMIO)
			break;
		check(v->run->mmio.is_write && v->run->mmio.len == rows[i].len && !memcmp(v->run->mmio.data, &data, rows[i].len), rows[i].name,
		      "%s of %u bytes", v->run->mmio.is_write ? "a store" : "a load", v->run->mmio.len);
	}
	check(i == ARRAY_SIZE(rows) && vcpu_run(v, &value) == 0, "stores", "the guest does not come to its end: %d, %s", r, strerror(errno));
	vm_destroy(&vm);
}

/* Two vCPUs, one host CPU: each finds its own registers, and user space finds them, too. */
static void floating_point(void)
{
	uint64_t seed[2] = { 0 }, value;
	unsigned int wrong = 0, wrong_reg = 0;
	struct vm vm;

	vm_create(&vm, 2);
	for (unsigned int i = 0; i < 2; i++)
		vcpu_enter(&vm.vcpu[i], fp_user, i);
	for (unsigned int round = 0; round < 50; round++) {
		for (unsigned int i = 0; i < 2; i++)
			if (!vcpu_expect(&vm.vcpu[i], "fp", 0, &seed[i]))
				return;
		for (unsigned int i = 0; i < 2; i++) {
			uint64_t id = KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_FP_D;

			for (unsigned int n = 0; n < 32; n++)
				wrong_reg += reg_get(&vm.vcpu[i], id | KVM_REG_RISCV_FP_D_REG(f[n])) != seed[i] + n;
		}
		for (unsigned int i = 0; i < 2; i++) {
			if (!vcpu_expect(&vm.vcpu[i], "fp", 1, &value))
				return;
			wrong += value;
		}
	}
	check(!wrong, "fp-kept", "%u times a register was not what the guest had put there", wrong);
	check(!wrong_reg, "fp-read", "%u times user space read another value", wrong_reg);
	vm_destroy(&vm);
}

static void unreadable_instruction(void)
{
	uint64_t isa = 0;
	struct shared *s;
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];
	uint64_t value = 0;
	int r;

	vm_create(&vm, 1);
	s = guest_of(&vm, &shared);
	if (reg_read(v, KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_ISA_EXT | KVM_RISCV_ISA_EXT_ZICBOZ, &isa) || !isa) {
		skip("unreadable", "no Zicboz here, and so no instruction that KVM would have to read");
		vm_destroy(&vm);
		return;
	}
	vcpu_enter(v, gone_page, 0);
	if (!vcpu_expect(v, "unreadable", 0, NULL))
		return;
	r = vcpu_run(v, &value);
	if (check(r == 1, "unreadable", "KVM_RUN: call %d, exit %u, %s", r, v->run->exit_reason, strerror(errno))) {
		check(value == 1 && s->cause == 12 && s->epc == s->expected_epc && s->tval == s->expected_epc, "unreadable-trap",
		      "%" PRIu64 " traps, scause %" PRIu64 ", sepc 0x%" PRIx64 ", stval 0x%" PRIx64 "; should be 12, twice 0x%" PRIx64, value, s->cause, s->epc,
		      s->tval, s->expected_epc);
	}
	vm_destroy(&vm);
}

static void expect_values(const char *what, void (*fn)(uint64_t arg), unsigned int vcpus, const uint64_t *values, unsigned int n)
{
	struct vm vm;
	uint64_t value;

	vm_create(&vm, vcpus);
	vcpu_enter(&vm.vcpu[0], fn, 0);
	for (unsigned int i = 0; i < n; i++) {
		if (!vcpu_expect(&vm.vcpu[0], what, 0, &value))
			break;
		check(value == values[i], what, "answer %u is 0x%" PRIx64 ", should be 0x%" PRIx64, i, value, values[i]);
	}
	vm_destroy(&vm);
}

int main(void)
{
	/* Error in the upper half, value in the lower: started; stopped; no such hart, twice; it runs already. */
	static const uint64_t hsm[] = { 0, 1, UINT64_C(0xfffffffd00000000), UINT64_C(0xfffffffd00000000), UINT64_C(0xfffffffa00000000) };
	/* Illegal; illegal, for the guest has no H; illegal. */
	static const uint64_t illegal[] = { 2, 2, 2, 3 };

	mmio_loads();
	mmio_stores();
	floating_point();
	unreadable_instruction();
	expect_values("hsm", sbi, 2, hsm, ARRAY_SIZE(hsm));
	expect_values("traps", traps, 1, illegal, ARRAY_SIZE(illegal));
	return finish();
}
