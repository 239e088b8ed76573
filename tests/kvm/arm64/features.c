// SPDX-License-Identifier: MIT
/*
 * What a guest's ID registers promise, the guest gets: for each feature that they name, one instruction or register of it must not be UNDEFINED. (Not the other way round: what is
 * not promised may be there all the same.) Pointer authentication has a program of its own, ptrauth.c.
 */
#include "machine.h"

#define ISAR0 SYS(3, 0, 0, 6, 0)
#define ISAR1 SYS(3, 0, 0, 6, 1)
#define ISAR2 SYS(3, 0, 0, 6, 2)
#define PFR0 SYS(3, 0, 0, 4, 0)
#define PFR1 SYS(3, 0, 0, 4, 1)
#define PFR2 SYS(3, 0, 0, 4, 2)
#define MMFR1 SYS(3, 0, 0, 7, 1)
#define MMFR2 SYS(3, 0, 0, 7, 2)
#define MMFR3 SYS(3, 0, 0, 7, 3)

static uint64_t words[64] __attribute__((aligned(64)));

/* Name, ID register, the field's place, its least value, instructions that may change x0 to x3 and v0 (x0: words). Arm ARM D19.2, ID_AA64*. */
#define FEATURES(F) \
	F(aes, ISAR0, 4, 1, ".arch_extension aes\n\taese v0.16b, v0.16b") \
	F(pmull, ISAR0, 4, 2, ".arch_extension aes\n\tpmull v0.1q, v0.1d, v0.1d") \
	F(sha1, ISAR0, 8, 1, ".arch_extension sha2\n\tsha1h s0, s0") \
	F(sha256, ISAR0, 12, 1, ".arch_extension sha2\n\tsha256su0 v0.4s, v0.4s") \
	F(sha512, ISAR0, 12, 2, ".inst 0xcec08000") \
	F(crc32, ISAR0, 16, 1, ".arch_extension crc\n\tcrc32x w0, w0, x0") \
	F(atomics, ISAR0, 20, 2, ".arch_extension lse\n\tldadd x1, x2, [x0]") \
	F(rdm, ISAR0, 28, 1, ".arch_extension rdma\n\tsqrdmlah v0.4s, v0.4s, v0.4s") \
	F(sha3, ISAR0, 32, 1, ".inst 0xce000000") \
	F(dotprod, ISAR0, 44, 1, ".inst 0x6e809400") \
	F(fhm, ISAR0, 48, 1, ".inst 0x4e20ec00") \
	F(flagm, ISAR0, 52, 1, ".inst 0xd500401f") \
	F(tlbi_os, ISAR0, 56, 1, "sys #0, c8, c1, #0") \
	F(tlbi_range, ISAR0, 56, 2, "mov x0, xzr\n\tsys #0, c8, c6, #1, x0") \
	F(rndr, ISAR0, 60, 1, "mrs x0, s3_3_c2_c4_0") \
	F(dc_cvap, ISAR1, 0, 1, "sys #3, c7, c12, #1, x0") \
	F(dc_cvadp, ISAR1, 0, 2, "sys #3, c7, c13, #1, x0") \
	F(jscvt, ISAR1, 12, 1, ".inst 0x1e7e0000") \
	F(fcma, ISAR1, 16, 1, ".inst 0x6e80c400") \
	F(ldapr, ISAR1, 20, 1, ".inst 0xf8bfc001") \
	F(ldapur, ISAR1, 20, 2, ".inst 0xd9400001") \
	F(frintts, ISAR1, 32, 1, ".inst 0x1e684000") \
	F(sb, ISAR1, 36, 1, ".inst 0xd50330ff") \
	F(specres, ISAR1, 40, 1, "mov x0, xzr\n\tsys #3, c7, c3, #4, x0") \
	F(bf16, ISAR1, 44, 1, ".inst 0x1e634000") \
	F(i8mm, ISAR1, 52, 1, ".inst 0x4e80a400") \
	F(wfet, ISAR2, 0, 2, "mov x0, xzr\n\t.inst 0xd5031000") \
	F(mops_set, ISAR2, 16, 1, "mov x1, #64\n\tmov x2, #0x5a\n\t.inst 0x19c20420\n\t.inst 0x19c24420\n\t.inst 0x19c28420") \
	F(mops_copy, ISAR2, 16, 1, "add x1, x0, #128\n\tmov x2, #64\n\t.inst 0x1d010440\n\t.inst 0x1d410440\n\t.inst 0x1d810440") \
	F(cssc, ISAR2, 52, 1, ".inst 0xdac02000") \
	F(dit, PFR0, 48, 1, "mrs x0, s3_3_c4_c2_5") \
	F(ssbs, PFR1, 4, 2, "mrs x0, s3_3_c4_c2_6") \
	F(fpmr, PFR2, 32, 1, "mrs x0, s3_3_c4_c4_2") \
	F(pan, MMFR1, 20, 1, "mrs x0, s3_0_c4_c2_3") \
	F(at_pan, MMFR1, 20, 2, "sys #0, c7, c9, #0, x0") \
	F(uao, MMFR2, 4, 1, "mrs x0, s3_0_c4_c2_4") \
	F(tcr2, MMFR3, 0, 1, "mrs x0, s3_0_c2_c0_3") \
	F(sctlr2, MMFR3, 4, 1, "mrs x0, s3_0_c1_c0_3") \
	F(pir, MMFR3, 8, 1, "mrs x0, s3_0_c10_c2_3") \
	F(por, MMFR3, 16, 1, "mrs x0, s3_0_c10_c2_4")

/* ---- guest ---- */

#define TRY_(name, reg, shift, least, text) \
	static void try_##name(void) \
	{ \
		register uint64_t x0 __asm__("x0") = (uintptr_t)words; \
\
		__asm__ volatile(text : "+r"(x0) : : "x1", "x2", "x3", "cc", "memory"); \
	}
FEATURES(TRY_)

static void guest(uint64_t fn)
{
	for (unsigned int i = 0; i < 8; i++) {
		words[i] = 0;
		words[16 + i] = UINT64_C(0x0101010101010101) * (i + 1);
	}
	guest_state[0].skip_exceptions = 1;
	((void (*)(void))(uintptr_t)fn)();
	guest_call(0, guest_state[0].n_exceptions);
}

/* ---- host ---- */

static const struct feature {
	const char *name;
	uint64_t reg;
	unsigned int shift, least;
	void (*fn)(void);
} features[] = {
#define ROW(name, reg, shift, least, text) { #name, reg, shift, least, try_##name },
	FEATURES(ROW)
};

/* What it did to `words`, where one can tell. */
static bool did(struct vm *vm, const struct feature *f)
{
	const uint64_t *w = guest_of(vm, words);
	uint64_t should;

	for (unsigned int i = 0; i < 8; i++) {
		if (f->fn == try_mops_set)
			should = UINT64_C(0x5a5a5a5a5a5a5a5a);
		else if (f->fn == try_mops_copy)
			should = w[16 + i];
		else
			return true;
		if (w[i] != should)
			return false;
	}
	return true;
}

int main(void)
{
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];
	unsigned int promised = 0;

	vm_create(&vm, 1, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(features); i++) {
		const struct feature *f = &features[i];
		uint64_t exceptions = 0;

		if ((reg_get(v, f->reg) >> f->shift & 15) < f->least)
			continue;
		promised++;
		/* Ends the last call, whose instruction KVM would skip in the next run wherever that starts. */
		v->run->immediate_exit = 1;
		vcpu_run(v, NULL);
		v->run->immediate_exit = 0;
		must(vcpu_init(v, false), "KVM_ARM_VCPU_INIT");
		memset(guest_of(&vm, guest_state), 0, sizeof(guest_state));
		vcpu_enter(v, guest, (uintptr_t)f->fn);
		if (!vcpu_expect(v, f->name, 0, &exceptions))
			break;
		if (exceptions)
			fail(f->name, "the guest was promised it and gets an exception, ESR_EL1 0x%" PRIx64, guest_of(&vm, guest_state)[0].esr);
		else
			check(did(&vm, f), f->name, "the guest executes it, and it does something else");
	}
	printf("# %u of %zu were promised\n", promised, ARRAY_SIZE(features));
	vm_destroy(&vm);
	return finish();
}
