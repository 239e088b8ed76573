// SPDX-License-Identifier: MIT
#include "arch/arm64/sysreg.h"
#include "arch/arm64/test_machine.h"
#include "tests/test.h"

static struct test_machine t;

/* Rows do not meet: each encoding finds its own name again, and the name finds the encoding. */
static void test_sysregs(void)
{
	static char seen[65536][48];
	unsigned int n = 0;

	for (unsigned int i = 0; i < n_sysreg_names; i++) {
		const struct sysreg_name *row = &sysreg_names[i];

		CHECK((row->count > 1) == (strchr(row->name, '#') != NULL));
		CHECK((row->count > 1) == (row->step > 0));
		for (unsigned int k = 0; k < MAX(row->count, 1); k++) {
			const unsigned int enc = row->encoding + k * row->step;
			const uint64_t id = ARM64_SYS(0, 0, 0, 0, 0) | enc;
			uint64_t back = 0;
			char name[48];

			CHECK(enc < 65536 && !*seen[enc]);
			CHECK(arm64_reg_name(id, name));
			/* KVM's timers have names of their own */
			if (!strncmp(name, "timer.", 6))
				continue;
			CHECK(!strncmp(name, "sys.", 4));
			CHECK_EQ(arm64_sysreg_id(name, &back), 0);
			CHECK_EQ(back, id);
			snprintf(seen[enc], 48, "%s", name);
			n++;
		}
	}
	CHECK(n > 700);
}

static void test_names(void)
{
	static const struct {
		uint64_t id;
		const char *name;
		bool known;
	} cases[] = {
		{ ARM64_REG_X(0), "core.x0", true },
		{ ARM64_REG_X(30), "core.x30", true },
		{ ARM64_REG_PC, "core.pc", true },
		{ ARM64_REG_CORE(U64, spsr[0]), "core.spsr_el1", true },
		{ ARM64_REG_CORE(U128, fp_regs.vregs[31]), "fp.v31", true },
		{ ARM64_REG_CORE(U32, fp_regs.fpcr), "fp.fpcr", true },
		{ ARM64_SYS(3, 0, 1, 0, 0), "sys.sctlr_el1", true },
		{ ARM64_SYS(3, 0, 2, 1, 0), "sys.apiakeylo_el1", true },
		{ ARM64_SYS(2, 0, 0, 15, 7), "sys.dbgwcr15_el1", true },
		{ ARM64_SYS(3, 3, 14, 11, 6), "sys.pmevcntr30_el0", true },
		{ ARM64_SYS(3, 3, 14, 15, 7), "sys.pmccfiltr_el0", true },
		{ ARM64_SYS(3, 4, 12, 13, 7), "sys.ich_lr15_el2", true },
		{ ARM64_SYS(3, 4, 1, 1, 0), "sys.hcr_el2", true },
		/* the exchanged pair */
		{ ARM64_SYS(3, 3, 14, 3, 2), "timer.cntvct_el0", true },
		{ ARM64_SYS(3, 3, 14, 0, 2), "timer.cntv_cval_el0", true },
		{ ARM64_SYS(3, 0, 0, 7, 7), "sys.s3_0_c0_c7_7", false },
		{ KVM_REG_ARM64_SVE_ZREG(31, 0), "sve.z31", true },
		{ KVM_REG_ARM64_SVE_PREG(15, 0), "sve.p15", true },
		{ KVM_REG_ARM64_SVE_FFR(0), "sve.ffr", true },
		{ KVM_REG_ARM64_SVE_VLS, "sve.vls", true },
		{ KVM_REG_ARM64_SVE_ZREG(0, 1), "0x60800000001500", false },
		{ KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_DEMUX | 2, "demux.ccsidr2", true },
		{ KVM_REG_ARM_PSCI_VERSION, "fw.psci_version", true },
		{ KVM_REG_ARM_STD_HYP_BMAP, "fw.std_hyp_bmap", true },
		{ KVM_REG_ARM_VENDOR_HYP_BMAP_2, "fw.vendor_hyp_bmap_2", true },
		{ KVM_REG_ARM64 | KVM_REG_SIZE_U64 | 0x170000, "0x6030000000170000", false },
	};
	char name[48];
	uint64_t id;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK(arm64_reg_name(cases[i].id, name) == cases[i].known);
		if (cases[i].name[0] != '0')
			CHECK_STR(name, cases[i].name);
		else
			CHECK(name[0] == '0' && name[1] == 'x');
	}
	CHECK(arm64_sysreg_id("SCTLR_EL1", &id) == 0 && id == ARM64_SYS(3, 0, 1, 0, 0));
	CHECK(arm64_sysreg_id("DbgBvr3_EL1", &id) == 0 && id == ARM64_SYS(2, 0, 0, 3, 4));
	CHECK_EQ(arm64_sysreg_id("SCTLR_EL", &id), -ENOENT);
	CHECK_EQ(arm64_sysreg_id("SCTLR_EL11", &id), -ENOENT);
	CHECK_EQ(arm64_sysreg_id("", &id), -ENOENT);
	CHECK_EQ(arm64_sysreg_id("dbgbvr#_el1", &id), -ENOENT);
	CHECK_EQ(arm64_sysreg_id("dbgbvr16_el1", &id), -ENOENT);
}

static unsigned int n_seen, n_hex;

static void collect(void *ctx, const struct arch_reg *reg)
{
	n_seen++;
	n_hex += reg->name[0] == '0';
	CHECK(reg->readable && reg->size >= 4 && reg->size <= 256);
}

static void test_list_and_dump(void)
{
	struct err e = { 0 };
	char text[2048], small[40];

	tm_init(&t, 1);
	tm_add_reg(&t, KVM_REG_ARM64 | KVM_REG_SIZE_U64 | 0x170000); /* a newer host's */
	tm_add_reg(&t, KVM_REG_ARM64_SVE_ZREG(3, 0));
	tm_add_reg(&t, ARM64_SYS(3, 0, 5, 2, 0));
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK_EQ(arm64_for_each_reg(&t.m, 0, collect, NULL), t.n_regs);
	CHECK(n_seen == t.n_regs && n_hex == 1);
	tm_set_reg(&t, 0, ARM64_REG_PC, 0x123456789a);
	tm_set_reg(&t, 0, ARM64_SYS(3, 0, 5, 2, 0), 0x96000010);
	arm64_dump_vcpu(&t.m, 0, text, sizeof(text));
	CHECK(strstr(text, "pc 0x000000123456789a") && strstr(text, "esr_el1 0x0000000096000010"));
	CHECK(strstr(text, "x30") && text[strlen(text) - 1] == '\n' && strlen(text) < sizeof(text) - 1);
	arm64_dump_vcpu(&t.m, 0, small, sizeof(small));
	CHECK_EQ(strlen(small), sizeof(small) - 1);
	arm64_dump_vcpu(&t.m, 7, text, sizeof(text)); /* no such vCPU */
	CHECK_STR(text, "");
	tm_destroy(&t);
}

int main(void)
{
	test_sysregs();
	test_names();
	test_list_and_dump();
	return test_result();
}
