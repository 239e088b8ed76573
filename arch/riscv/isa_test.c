// SPDX-License-Identifier: MIT
#include "arch/riscv/test_machine.h"
#include "tests/test.h"

/* The canonical order of the unprivileged specification, worked out anew. */
static unsigned int category(char c)
{
	const char *order = "imafdqlcbkjtpvnh", *p = strchr(order, c);

	return p ? (unsigned int)(p - order) : 99;
}

static int canonical(const char *a, const char *b)
{
	unsigned int ka = !a[1] ? 0 : a[0] == 'z' ? 1 : 2, kb = !b[1] ? 0 : b[0] == 'z' ? 1 : 2;

	if (ka != kb)
		return (int)ka - (int)kb;
	if (ka == 0)
		return (int)category(a[0]) - (int)category(b[0]);
	if (ka == 1 && a[1] != b[1])
		return (int)category(a[1]) - (int)category(b[1]);
	return strcmp(a, b);
}

static void test_tables(void)
{
	bool seen[KVM_RISCV_ISA_EXT_MAX] = { false }, seen_sbi[KVM_RISCV_SBI_EXT_MAX] = { false };

	for (unsigned int i = 0; i < riscv_n_isa_exts; i++) {
		CHECK(riscv_isa_exts[i].id < KVM_RISCV_ISA_EXT_MAX && !seen[riscv_isa_exts[i].id]);
		seen[riscv_isa_exts[i].id] = true;
		CHECK(!i || canonical(riscv_isa_exts[i - 1].name, riscv_isa_exts[i].name) < 0);
	}
	for (unsigned int i = 0; i < riscv_n_sbi_exts; i++) {
		CHECK(riscv_sbi_exts[i].id < KVM_RISCV_SBI_EXT_MAX && !seen_sbi[riscv_sbi_exts[i].id]);
		seen_sbi[riscv_sbi_exts[i].id] = true;
	}
	/* the comparison itself can fail */
	CHECK(canonical("zbb", "zicsr") > 0);
	CHECK(canonical("svinval", "zba") > 0);
}

static const struct option *option(const char *name)
{
	for (unsigned int i = 0; i < arch_riscv64.n_options; i++)
		if (!strcmp(arch_riscv64.options[i].name, name))
			return &arch_riscv64.options[i];
	return NULL;
}

/* Each row's option sets that row's flag and nothing else. */
static void test_options(void)
{
	struct riscv_config c, zero = { 0 };
	char name[64];
	struct err e = { 0 };

	for (unsigned int i = 0; i < arch_riscv64.n_options; i++)
		for (unsigned int k = 0; k < i; k++)
			CHECK(strcmp(arch_riscv64.options[i].name, arch_riscv64.options[k].name));
	for (unsigned int i = 0; i < riscv_n_isa_exts; i++) {
		c = zero;
		snprintf(name, sizeof(name), "disable-%s", riscv_isa_exts[i].name);
		CHECK(option(name) && !option_set(option(name), &c, NULL, &e));
		CHECK(c.disable_isa[riscv_isa_exts[i].id]);
		c.disable_isa[riscv_isa_exts[i].id] = false;
		CHECK(!memcmp(&c, &zero, sizeof(c)));
	}
	for (unsigned int i = 0; i < riscv_n_sbi_exts; i++) {
		c = zero;
		snprintf(name, sizeof(name), "disable-sbi-%s", riscv_sbi_exts[i].name);
		CHECK(option(name) && !option_set(option(name), &c, NULL, &e));
		CHECK(c.disable_sbi[riscv_sbi_exts[i].id]);
	}
	c = zero;
	CHECK(!option_set(option("irqchip"), &c, "aia", &e) && c.irqchip == RISCV_IRQCHIP_AIA);
	CHECK(option_set(option("irqchip"), &c, "gic", &e) < 0);
	CHECK(!option_set(option("custom-mvendorid"), &c, "0x1234", &e));
	CHECK_EQ(c.mvendorid, 0x1234);
	CHECK(!option("disable-zzz"));
}

static void test_isa_string(void)
{
	struct test_machine t;
	struct err e = { 0 };
	char isa[512];

	tm_init(&t, 2, true);
	CHECK_EQ(tm_build(&t, &e), 0);
	riscv_isa_string(riscv_state(&t.m), isa, sizeof(isa));
	CHECK_STR(isa, "rv64imafdc_zicbom_zbb_ssaia_sstc");
	CHECK_EQ(riscv_state(&t.m)->cbom, 64);
	CHECK_EQ(riscv_state(&t.m)->cboz, 0);
	CHECK_EQ(riscv_state(&t.m)->satp_mode, 9);
	/* a buffer too small is cut, and its needed length told */
	memset(isa, 'x', sizeof(isa));
	CHECK_EQ(riscv_isa_string(riscv_state(&t.m), isa, 8), strlen("rv64imafdc_zicbom_zbb_ssaia_sstc"));
	CHECK_STR(isa, "rv64ima");
	CHECK(isa[8] == 'x');
	/* what we serve is on, on each hart */
	CHECK_EQ(tm_reg(&t, 0, RISCV_REG_SBI(KVM_RISCV_SBI_EXT_DBCN)), 1);
	CHECK_EQ(tm_reg(&t, 1, RISCV_REG_SBI(KVM_RISCV_SBI_EXT_SUSP)), 1);
	CHECK_EQ(tm_reg(&t, 1, RISCV_REG_SBI(KVM_RISCV_SBI_EXT_MPXY)), 0);
	tm_destroy(&t);

	/* with the PLIC the AIA's extension is hidden */
	tm_init(&t, 1, true);
	t.config.irqchip = RISCV_IRQCHIP_PLIC;
	CHECK_EQ(tm_build(&t, &e), 0);
	riscv_isa_string(riscv_state(&t.m), isa, sizeof(isa));
	CHECK_STR(isa, "rv64imafdc_zicbom_zbb_sstc");
	CHECK_EQ(tm_reg(&t, 0, RISCV_REG_ISA(KVM_RISCV_ISA_EXT_SSAIA)), 0);
	tm_destroy(&t);
}

static void test_disable(void)
{
	struct test_machine t;
	struct err e = { 0 };
	char isa[512];

	tm_init(&t, 2, false);
	t.config.disable_isa[KVM_RISCV_ISA_EXT_ZBB] = true;
	t.config.disable_isa[KVM_RISCV_ISA_EXT_ZVKB] = true; /* the host does not have it on: nothing to do */
	t.config.disable_sbi[KVM_RISCV_SBI_EXT_DBCN] = true;
	t.config.mvendorid = 0x10;
	t.config.marchid = 0x20;
	t.config.mimpid = 0x30;
	CHECK_EQ(tm_build(&t, &e), 0);
	riscv_isa_string(riscv_state(&t.m), isa, sizeof(isa));
	CHECK_STR(isa, "rv64imafdc_zicbom_sstc");
	for (unsigned int i = 0; i < 2; i++) {
		CHECK_EQ(tm_reg(&t, i, RISCV_REG_ISA(KVM_RISCV_ISA_EXT_ZBB)), 0);
		CHECK_EQ(tm_reg(&t, i, RISCV_REG_SBI(KVM_RISCV_SBI_EXT_DBCN)), 0);
		CHECK_EQ(tm_reg(&t, i, RISCV_REG_CONFIG(mvendorid)), 0x10);
		CHECK_EQ(tm_reg(&t, i, RISCV_REG_CONFIG(marchid)), 0x20);
		CHECK_EQ(tm_reg(&t, i, RISCV_REG_CONFIG(mimpid)), 0x30);
	}
	tm_destroy(&t);
}

/* Linux 6.1: no isa-ext registers of newer extensions, no SBI registers, no satp_mode; and, poorer still, config.isa alone. */
static void test_old_hosts(void)
{
	struct test_machine t;
	struct err e = { 0 };
	char isa[512];
	uint64_t letters = 1 << ('i' - 'a') | 1 << ('m' - 'a') | 1 << ('a' - 'a') | 1 << ('c' - 'a');

	tm_init(&t, 1, false);
	t.n_regs = 0;
	for (unsigned int i = 0; i < riscv_n_reg_names; i++)
		if (!strncmp(riscv_reg_names[i].name, "core.", 5) || !strcmp(riscv_reg_names[i].name, "timer.frequency"))
			tm_add_reg(&t, riscv_reg_names[i].id);
	tm_add_reg(&t, RISCV_REG_ISA(KVM_RISCV_ISA_EXT_I));
	tm_add_reg(&t, RISCV_REG_ISA(KVM_RISCV_ISA_EXT_SSTC));
	t.scripted.n_regs = t.n_regs;
	t.config.disable_sbi[KVM_RISCV_SBI_EXT_STA] = true;
	CHECK_EQ(tm_build(&t, &e), 0);
	riscv_isa_string(riscv_state(&t.m), isa, sizeof(isa));
	CHECK_STR(isa, "rv64i_sstc");
	CHECK_EQ(riscv_state(&t.m)->satp_mode, 8);
	tm_destroy(&t);

	tm_init(&t, 1, false);
	t.n_regs = 0;
	tm_add_reg(&t, RISCV_REG_TIMER(frequency));
	tm_add_reg(&t, RISCV_REG_CONFIG(isa));
	t.scripted.n_regs = t.n_regs;
	CHECK_EQ(tm_prepare(&t, &e), 0);
	CHECK_EQ(t.m.hv->ops->create_vcpu(t.m.hv, 0, &t.vcpus[0].hv), 0);
	tm_set_reg(&t, 0, RISCV_REG_CONFIG(isa), letters);
	CHECK_EQ(riscv_isa_read(&t.m, t.vcpus[0].hv, &e), 0);
	riscv_isa_string(riscv_state(&t.m), isa, sizeof(isa));
	CHECK_STR(isa, "rv64imac");
	tm_destroy(&t);

	/* a host that says nothing is refused with a sentence */
	tm_init(&t, 1, false);
	t.scripted.n_regs = 0;
	CHECK(tm_build(&t, &e) < 0);
	CHECK(strstr(e.text, "6.1"));
	tm_destroy(&t);
}

/* Newer hosts: 64 extensions per register. */
static void test_multi(void)
{
	struct test_machine t;
	struct err e = { 0 };
	char isa[512];
	uint64_t id0 = RISCV_REG(U64, KVM_REG_RISCV_ISA_EXT | KVM_REG_RISCV_ISA_MULTI_EN, 0);

	tm_init(&t, 1, false);
	t.n_regs = 0;
	tm_add_reg(&t, RISCV_REG_TIMER(frequency));
	tm_add_reg(&t, id0);
	tm_add_reg(&t, id0 + 1);
	t.scripted.n_regs = t.n_regs;
	CHECK_EQ(tm_prepare(&t, &e), 0);
	CHECK_EQ(t.m.hv->ops->create_vcpu(t.m.hv, 0, &t.vcpus[0].hv), 0);
	tm_set_reg(&t, 0, id0, UINT64_C(1) << KVM_RISCV_ISA_EXT_I | UINT64_C(1) << KVM_RISCV_ISA_EXT_ZBA);
	tm_set_reg(&t, 0, id0 + 1, UINT64_C(1) << (KVM_RISCV_ISA_EXT_ZABHA - 64));
	CHECK_EQ(riscv_isa_read(&t.m, t.vcpus[0].hv, &e), 0);
	riscv_isa_string(riscv_state(&t.m), isa, sizeof(isa));
	CHECK_STR(isa, "rv64i_zabha_zba");
	tm_destroy(&t);
}

int main(void)
{
	test_tables();
	test_options();
	test_isa_string();
	test_disable();
	test_old_hosts();
	test_multi();
	return test_result();
}
