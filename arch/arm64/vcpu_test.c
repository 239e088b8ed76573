// SPDX-License-Identifier: MIT
/* What a vCPU is created with, for each option and host. */
#include "arch/arm64/test_machine.h"
#include "tests/test.h"

static struct test_machine t;

#define BIT(b) (1u << KVM_ARM_VCPU_##b)
#define BOTH_KEYS (BIT(PTRAUTH_ADDRESS) | BIT(PTRAUTH_GENERIC))

/* One option more or one capability less, and the features that result; 0: refused, with a sentence that has this word. */
static void test_features(void)
{
	static const struct {
		const char *option, *value;
		unsigned int missing;
		uint32_t features;
		const char *word;
	} cases[] = {
		{ NULL, NULL, 0, BOTH_KEYS | BIT(SVE), NULL },
		{ NULL, NULL, KVM_CAP_ARM_SVE, BOTH_KEYS, NULL },
		/* KVM takes both kinds of keys, or none */
		{ NULL, NULL, KVM_CAP_ARM_PTRAUTH_GENERIC, BIT(SVE), NULL },
		{ NULL, NULL, KVM_CAP_ARM_PTRAUTH_ADDRESS, BIT(SVE), NULL },
		{ "disable-ptrauth", NULL, 0, BIT(SVE), NULL },
		{ "disable-sve", NULL, 0, BOTH_KEYS, NULL },
		{ "disable-sve", NULL, KVM_CAP_ARM_SVE, BOTH_KEYS, NULL },
		{ "pmu", NULL, 0, BOTH_KEYS | BIT(SVE) | BIT(PMU_V3), NULL },
		{ "pmu", NULL, KVM_CAP_ARM_PMU_V3, 0, "--pmu" },
		{ "nested", NULL, 0, BOTH_KEYS | BIT(SVE) | BIT(HAS_EL2), NULL },
		{ "nested", NULL, KVM_CAP_ARM_EL2, 0, "kvm-arm.mode=nested" },
		{ "e2h0", NULL, 0, 0, "--nested" },
		{ "aarch32", NULL, 0, BIT(EL1_32BIT), NULL },
		{ "aarch32", NULL, KVM_CAP_ARM_EL1_32BIT, 0, "--aarch32" },
		{ "counter-offset", "77", KVM_CAP_COUNTER_OFFSET, 0, "--counter-offset" },
		{ "sve-max-vl", "512", KVM_CAP_ARM_SVE, 0, "--sve-max-vl" },
		{ "sve-max-vl", "300", 0, 0, "128" },
		{ "irqchip", "gicv2", 0, BOTH_KEYS | BIT(SVE), NULL },
		{ "in-kernel-smccc", NULL, 0, BOTH_KEYS | BIT(SVE), NULL },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = { 0 };
		int r;

		tm_init_without(&t, 2, cases[i].missing ? cases[i].missing : UINT32_MAX);
		if (cases[i].option)
			CHECK_EQ(tm_option(&t, cases[i].option, cases[i].value, &e), 0);
		r = tm_build(&t, &e);
		if (cases[i].word) {
			CHECK(r < 0 && strstr(e.text, cases[i].word));
		} else {
			CHECK_STR(e.text, "");
			CHECK_EQ(t.seen[0].init.features[0], cases[i].features | BIT(PSCI_0_2));
			CHECK_EQ(t.seen[1].init.features[0], cases[i].features | BIT(PSCI_0_2) | BIT(POWER_OFF));
			CHECK_EQ(t.seen[0].init.target, KVM_ARM_TARGET_GENERIC_V8);
			CHECK_EQ(t.seen[1].n_finalize, (cases[i].features & BIT(SVE)) != 0);
		}
		tm_destroy(&t);
	}
}

static void test_nested(void)
{
	struct err e = { 0 };

	tm_init(&t, 1);
	tm_option(&t, "nested", NULL, &e);
	tm_option(&t, "e2h0", NULL, &e);
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK_EQ(t.seen[0].init.features[0] & (BIT(HAS_EL2) | BIT(HAS_EL2_E2H0)), BIT(HAS_EL2) | BIT(HAS_EL2_E2H0));
	tm_destroy(&t);
	/* a GICv2 cannot be given to a hypervisor */
	tm_init(&t, 1);
	tm_option(&t, "nested", NULL, &e);
	t.no_gicv3 = true;
	CHECK(tm_build(&t, &e) < 0 && strstr(e.text, "GICv3"));
	tm_destroy(&t);
}

static bool was_enabled(unsigned int cap)
{
	for (unsigned int i = 0; i < t.n_enabled; i++)
		if (t.enabled[i] == cap)
			return true;
	return false;
}

static void test_vm_switches(void)
{
	struct err e = { 0 };

	tm_init(&t, 1);
	CHECK_EQ(tm_option(&t, "counter-offset", "0x123456789", &e), 0);
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK(was_enabled(KVM_CAP_ARM_MTE) && was_enabled(KVM_CAP_ARM_NISV_TO_USER));
	CHECK(arm64_state(&t.m)->has[ARM64_MTE]);
	t.m.backing.hugetlbfs = "/dev/hugepages";
	CHECK_EQ(arm64_choose_features(&t.m, &e), 0);
	CHECK(!arm64_state(&t.m)->has[ARM64_MTE]);
	CHECK(!was_enabled(KVM_CAP_ARM_SEA_TO_USER)); /* not on this host */
	CHECK_EQ(t.counter_offset, 0x123456789);
	tm_destroy(&t);
	tm_init(&t, 1);
	tm_option(&t, "disable-mte", NULL, &e);
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK(!was_enabled(KVM_CAP_ARM_MTE));
	CHECK_EQ(t.counter_offset, 0);
	tm_destroy(&t);
}

static void test_vector_length(void)
{
	static const struct {
		const char *bits;
		uint64_t vls; /* 0: refused */
	} cases[] = { { "2048", 0x8b }, { "1024", 0x8b }, { "512", 0xb }, { "384", 0x3 }, { "128", 0x1 } };
	struct err e = { 0 };

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		tm_init(&t, 1);
		tm_option(&t, "sve-max-vl", cases[i].bits, &e);
		CHECK_EQ(tm_build(&t, &e), 0);
		CHECK_EQ(tm_reg(&t, 0, KVM_REG_ARM64_SVE_VLS), cases[i].vls);
		CHECK_EQ(t.seen[0].n_finalize, 1);
		tm_destroy(&t);
	}
}

static void test_pvtime(void)
{
	struct err e = { 0 };

	tm_init(&t, 3);
	CHECK_EQ(tm_build(&t, &e), 0);
	for (unsigned int i = 0; i < 3; i++)
		CHECK_EQ(t.seen[i].pvtime, ARM64_PVTIME_BASE + 64 * i);
	CHECK_EQ(hv_scripted_memory_slots(t.m.hv), 2);
	tm_destroy(&t);
	for (int how = 0; how < 2; how++) {
		tm_init(&t, 1);
		if (how)
			t.no_pvtime_attr = true;
		else
			tm_option(&t, "no-pvtime", NULL, &e);
		CHECK_EQ(tm_build(&t, &e), 0);
		CHECK_EQ(t.seen[0].pvtime, 0);
		CHECK_EQ(hv_scripted_memory_slots(t.m.hv), 1);
		tm_destroy(&t);
	}
}

static void test_pmu(void)
{
	struct err e = { 0 };

	tm_init(&t, 2);
	tm_option(&t, "pmu", NULL, &e);
	CHECK_EQ(tm_build(&t, &e), 0);
	for (unsigned int i = 0; i < 2; i++)
		CHECK(t.seen[i].pmu_irq == 23 && t.seen[i].n_pmu_init == 1);
	tm_destroy(&t);
	tm_init(&t, 1);
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK_EQ(t.seen[0].n_pmu_init, 0);
	tm_destroy(&t);
}

static void test_cpu_id(void)
{
	static const struct {
		const char *text, *word; /* word NULL: it works */
		uint64_t value;
	} cases[] = {
		{ "ID_AA64ISAR0_EL1=0", NULL, 0 },
		{ "id_aa64isar0_el1=0x1221111110212120", NULL, TM_ISAR0_VALUE },
		{ "sys.id_aa64isar0_el1=0x10", NULL, 0x10 },
		{ "ID_AA64ISAR0_EL1=1", "cannot change the bits 0x0000000000000001", 0 },
		{ "ID_AA64PFR0_EL1=0x11", "cannot change", 0 },
		{ "ID_AA64PFR0_EL1=0", NULL, TM_ISAR0_VALUE },
		{ "ID_AA64ISAR1_EL1=0", "no such register", 0 },
		{ "SCTLR_EL1=0", "no ID register", 0 },
		{ "NONSENSE=1", "no system register", 0 },
		{ "ID_AA64ISAR0_EL1", "a register and a value", 0 },
		{ "ID_AA64ISAR0_EL1=", "a register and a value", 0 },
		{ "ID_AA64ISAR0_EL1=-1", "a register and a value", 0 },
		{ "=1", "a register and a value", 0 },
		{ "ID_AA64ISAR0_EL1_AND_MUCH_MORE_OF_IT=1", "a register and a value", 0 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = { 0 };
		int r;

		tm_init(&t, 2);
		CHECK_EQ(tm_option(&t, "cpu-id", cases[i].text, &e), 0);
		r = tm_build(&t, &e);
		if (cases[i].word) {
			CHECK(r < 0 && strstr(e.text, cases[i].word) && strstr(e.text, "--cpu-id"));
		} else {
			CHECK_STR(e.text, "");
			CHECK_EQ(tm_reg(&t, 0, TM_ISAR0), cases[i].value);
			CHECK_EQ(tm_reg(&t, 1, TM_ISAR0), cases[i].value);
		}
		tm_destroy(&t);
	}
}

static void test_smccc_filter(void)
{
	static const struct {
		const char *text;
		uint32_t base, n; /* n 0: refused */
	} cases[] = {
		{ "0x84000050:4", 0x84000050, 4 }, { "0x84000001", 0x84000001, 1 }, { "0x80000000", 0, 0 }, { "", 0, 0 },	 { "1:0", 0, 0 },
		{ "x", 0, 0 },			   { "1:x", 0, 0 },		    { "0x100000000", 0, 0 }, { "0xffffffff:2", 0, 0 }, { ":", 0, 0 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = { 0 };
		int r;

		tm_init(&t, 1);
		CHECK_EQ(tm_option(&t, "smccc-deny", cases[i].text, &e), 0);
		r = tm_build(&t, &e);
		CHECK((r >= 0) == (cases[i].n > 0));
		if (cases[i].n)
			CHECK(t.denied.base == cases[i].base && t.denied.nr_functions == cases[i].n && t.denied.action == KVM_SMCCC_FILTER_DENY);
		else
			CHECK(strstr(e.text, "--smccc-deny"));
		tm_destroy(&t);
	}
}

static void test_limits(void)
{
	static const struct {
		unsigned int cpus;
		uint64_t base, size;
		const char *irqchip, *word;
	} cases[] = {
		{ 1, 0, MIB(16), "auto", "-m 32" },
		{ 1, 0, GIB(2048), "auto", "at most -m" },
		{ 1, GIB(1), MIB(64), "auto", "0x80000000" },
		{ 1, 0x80100000, MIB(64), "auto", "multiples of 2M" },
		{ 1, UINT64_C(1) << 40, MIB(64), "auto", "RAM can begin" },
		{ 1, (UINT64_C(1) << 40) - MIB(32), MIB(64), "auto", "at most -m 32" },
		{ 0, 0, MIB(64), "auto", "-c" },
		{ 513, 0, MIB(64), "auto", "-c" },
		{ 9, 0, MIB(64), "gicv2", "GICv2" },
	};
	struct err e = { 0 };

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		e = (struct err){ 0 };
		tm_init(&t, cases[i].cpus);
		t.m.ram_base = cases[i].base;
		t.m.ram_size = cases[i].size;
		tm_option(&t, "irqchip", cases[i].irqchip, &e);
		CHECK(tm_prepare(&t, &e) < 0);
		CHECK(strstr(e.text, cases[i].word));
		t.m.n_vcpus = 0;
		tm_destroy(&t);
	}
	/* what the VM's type must allow */
	CHECK_EQ(arch_arm64.gpa_bits(0, MIB(64)), 32);
	CHECK_EQ(arch_arm64.gpa_bits(0, GIB(2)), 32);
	CHECK_EQ(arch_arm64.gpa_bits(0, GIB(2) + 1), 33);
	CHECK_EQ(arch_arm64.gpa_bits(GIB(1024), MIB(64)), 41);
	CHECK_EQ(arch_arm64.gpa_bits(UINT64_MAX - MIB(1), MIB(64)), 64);
}

int main(void)
{
	test_features();
	test_nested();
	test_vm_switches();
	test_vector_length();
	test_pvtime();
	test_pmu();
	test_cpu_id();
	test_smccc_filter();
	test_limits();
	return test_result();
}
