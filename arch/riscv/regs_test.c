// SPDX-License-Identifier: MIT
#include "arch/riscv/test_machine.h"
#include "tests/test.h"

struct seen {
	unsigned int n, unreadable, hex;
	char name[1024][48];
	uint64_t id[1024];
};

static void collect(void *ctx, const struct arch_reg *reg)
{
	struct seen *s = ctx;

	if (s->n == 1024)
		return;
	for (unsigned int i = 0; i < s->n; i++) {
		CHECK(strcmp(s->name[i], reg->name));
		CHECK(s->id[i] != reg->id);
	}
	memcpy(s->name[s->n], reg->name, 48);
	s->id[s->n++] = reg->id;
	s->unreadable += !reg->readable;
	s->hex += reg->name[0] == '0';
	CHECK(reg->size >= 1 && reg->size <= 256);
}

static bool has(const struct seen *s, const char *name)
{
	for (unsigned int i = 0; i < s->n; i++)
		if (!strcmp(s->name[i], name))
			return true;
	return false;
}

/* Rows do not meet: each id of each row finds its own name again. */
static void test_names(void)
{
	char name[48], want[48];

	for (unsigned int i = 0; i < riscv_n_reg_names; i++) {
		const struct riscv_reg_name *row = &riscv_reg_names[i];

		CHECK(row->count >= 1);
		for (unsigned int k = 0; k < row->count; k++) {
			snprintf(want, sizeof(want), row->count > 1 ? "%s%u" : "%s", row->name, k);
			CHECK(riscv_reg_name(row->id + k, name));
			CHECK_STR(name, want);
		}
	}
	CHECK(riscv_reg_name(RISCV_REG_CORE(regs.pc), name));
	CHECK_STR(name, "core.pc");
	CHECK(riscv_reg_name(RISCV_REG_ISA(KVM_RISCV_ISA_EXT_ZBB), name));
	CHECK_STR(name, "isa.zbb");
	CHECK(riscv_reg_name(RISCV_REG_SBI(KVM_RISCV_SBI_EXT_DBCN), name));
	CHECK_STR(name, "sbi.dbcn");
	/* a vector register of 32 bytes */
	CHECK(riscv_reg_name(KVM_REG_RISCV | KVM_REG_SIZE_U256 | KVM_REG_RISCV_VECTOR | KVM_REG_RISCV_VECTOR_REG(31), name));
	CHECK_STR(name, "vector.v31");
	CHECK(!riscv_reg_name(0x8030000003ffffff, name));
	CHECK_STR(name, "0x8030000003ffffff");
	CHECK(!riscv_reg_name(RISCV_REG_ISA(KVM_RISCV_ISA_EXT_MAX), name));
	/* the size belongs to the id */
	CHECK(!riscv_reg_name(RISCV_REG(U32, KVM_REG_RISCV_CORE, 0), name));
}

static void test_list(void)
{
	static struct seen s;
	struct test_machine t;
	struct err e = { 0 };

	memset(&s, 0, sizeof(s));
	tm_init(&t, 1, false);
	tm_add_reg(&t, 0x8030000003000042); /* a newer host's */
	t.scripted.n_regs = t.n_regs;
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK_EQ(riscv_for_each_reg(&t.m, 0, collect, &s), t.n_regs);
	CHECK_EQ(s.n, t.n_regs);
	CHECK_EQ(s.unreadable, 0);
	CHECK_EQ(s.hex, 1);
	CHECK(has(&s, "core.pc") && has(&s, "fp.d.f31") && has(&s, "timer.time") && has(&s, "aia.siselect"));
	CHECK(has(&s, "0x8030000003000042"));
	tm_destroy(&t);
}

static int no_list(struct hv_vcpu *vcpu, uint64_t *ids, unsigned int max)
{
	return -EINVAL;
}

/* A host without KVM_GET_REG_LIST: what can be read is found by trying. */
static void test_probe(void)
{
	static struct seen s;
	struct test_machine t;
	struct err e = { 0 };
	const uint64_t vlenb = RISCV_REG(U64, KVM_REG_RISCV_VECTOR, KVM_REG_RISCV_VECTOR_CSR_REG(vlenb));
	const uint64_t v0 = KVM_REG_RISCV | KVM_REG_SIZE_U128 | KVM_REG_RISCV_VECTOR | KVM_REG_RISCV_VECTOR_REG(0);

	memset(&s, 0, sizeof(s));
	tm_init(&t, 1, false);
	for (unsigned int i = 0; i < 32; i++)
		tm_add_reg(&t, v0 + i);
	t.scripted.n_regs = t.n_regs;
	CHECK_EQ(tm_build(&t, &e), 0);
	t.ops.reg_list = no_list;
	tm_set_reg(&t, 0, vlenb, 16);
	CHECK_EQ(riscv_for_each_reg(&t.m, 0, collect, &s), t.n_regs);
	CHECK_EQ(s.hex, 0);
	CHECK(has(&s, "vector.v0") && has(&s, "vector.v31") && has(&s, "isa.svvptc") && has(&s, "sbi.mpxy"));
	CHECK(!has(&s, "isa.multi_en.0"));
	/* a wild vlenb leaves the vector registers out */
	tm_set_reg(&t, 0, vlenb, 3);
	memset(&s, 0, sizeof(s));
	CHECK_EQ(riscv_for_each_reg(&t.m, 0, collect, &s), t.n_regs - 32);
	tm_destroy(&t);
}

static void test_dump(void)
{
	struct test_machine t;
	struct err e = { 0 };
	char text[2048], small[40];

	tm_init(&t, 1, false);
	CHECK_EQ(tm_build(&t, &e), 0);
	tm_set_reg(&t, 0, RISCV_REG_CORE(regs.pc), 0x123456789a);
	tm_set_reg(&t, 0, RISCV_REG_CSR(scause), 13);
	riscv_dump_vcpu(&t.m, 0, text, sizeof(text));
	CHECK(strstr(text, "pc 0x000000123456789a"));
	CHECK(strstr(text, "scause 0x000000000000000d"));
	CHECK(strstr(text, "s11") && strstr(text, "satp") && text[strlen(text) - 1] == '\n');
	riscv_dump_vcpu(&t.m, 0, small, sizeof(small));
	CHECK(strlen(small) == sizeof(small) - 1);
	riscv_dump_vcpu(&t.m, 7, text, sizeof(text)); /* no such vCPU */
	CHECK_STR(text, "");
	tm_destroy(&t);
}

static void test_reset(void)
{
	struct test_machine t;
	struct err e = { 0 };

	tm_init(&t, 1, false);
	CHECK_EQ(tm_build(&t, &e), 0);
	tm_set_reg(&t, 0, RISCV_REG_CSR(satp), 0x8000000000081234);
	tm_set_reg(&t, 0, RISCV_REG_CORE(mode), KVM_RISCV_MODE_U);
	tm_set_reg(&t, 0, RISCV_REG_CORE(regs.t6), 77);
	tm_set_reg(&t, 0, RISCV_REG_STA(shmem_lo), 0x80001000);
	CHECK_EQ(riscv_reset_vcpu(&t.m, 0, &e), 0);
	CHECK_EQ(tm_reg(&t, 0, RISCV_REG_CSR(satp)), 0);
	CHECK_EQ(tm_reg(&t, 0, RISCV_REG_CORE(mode)), KVM_RISCV_MODE_S);
	CHECK_EQ(tm_reg(&t, 0, RISCV_REG_CORE(regs.t6)), 0);
	CHECK_EQ(tm_reg(&t, 0, RISCV_REG_STA(shmem_lo)), UINT64_MAX);
	CHECK_EQ(tm_reg(&t, 0, RISCV_REG_CSR(scounteren)), 7);
	tm_destroy(&t);
}

int main(void)
{
	test_names();
	test_list();
	test_probe();
	test_dump();
	test_reset();
	return test_result();
}
