// SPDX-License-Identifier: MIT
#include "arch/s390x/test_machine.h"
#include "tests/test.h"

static struct test_machine t;

#define OPERAND 0x20000
#define B2(op) ((uint16_t)(0xb200 | (op)))
/* S format: base register 2, no displacement. */
#define S_BASE2 0x20000000u

static enum arch_verdict run(uint16_t ipa, uint32_t ipb)
{
	struct err e = { 0 };

	return tm_instruction(&t, 0, ipa, ipb, &e);
}

static void expect_program(uint16_t ipa, uint32_t ipb, unsigned int code)
{
	unsigned int n = t.seen[0].n_program;

	CHECK(run(ipa, ipb) == ARCH_CONTINUE);
	CHECK_EQ(t.seen[0].n_program, n + 1);
	CHECK_EQ(t.seen[0].program, code);
}

static void test_unknown(void)
{
	expect_program(0x0001, 0, PGM_OPERATION);
	expect_program(B2(0xff), 0, PGM_OPERATION);
	expect_program(0xb9ff, 0, PGM_OPERATION);
	expect_program(0xe3d0, 0, PGM_OPERATION);
	tm_regs(&t, 0)->gpr[1] = 0;
	expect_program(0x8300, 0x07770000, PGM_SPECIFICATION);
	expect_program(0x8300, 0x05010000, PGM_SPECIFICATION); /* 501: nobody's breakpoint */
	expect_program(0x8300, 0x05000000, PGM_SPECIFICATION); /* 500, function 0 */
	tm_regs(&t, 0)->gpr[2] = 7;
	expect_program(0x8302, 0x03080000, PGM_SPECIFICATION); /* 308, a subcode of nothing */
}

/* The supervisor's instructions in problem state. */
static void test_privileged(void)
{
	static const uint16_t ops[] = { 0x8300, 0xae00, B2(0x20), B2(0x34), B2(0x5f), 0xb9a2 };

	*tm_regs(&t, 0)->psw_mask = PSW_PROBLEM;
	for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++)
		expect_program(ops[i], 0, PGM_PRIVILEGED);
	*tm_regs(&t, 0)->psw_mask = 0;
}

/* Operands: alignment before access, access before anything changes. */
static void test_channel_operands(void)
{
	static const uint8_t with_operand[] = { 0x32, 0x33, 0x34, 0x39 };
	struct hv_s390_regs *g = tm_regs(&t, 0);

	g->gpr[1] = 0x00010000;
	for (unsigned int i = 0; i < ARRAY_SIZE(with_operand); i++) {
		g->gpr[2] = OPERAND + 2;
		expect_program(B2(with_operand[i]), S_BASE2, PGM_SPECIFICATION);
		g->gpr[2] = TM_RAM;
		expect_program(B2(with_operand[i]), S_BASE2, PGM_ADDRESSING);
	}
	/* There is no device: 3; a word that names no subchannel: operand. */
	g->gpr[2] = OPERAND;
	CHECK(run(B2(0x34), S_BASE2) == ARCH_CONTINUE);
	CHECK_EQ(tm_cc(&t, 0), 3);
	CHECK(run(B2(0x30), 0) == ARCH_CONTINUE);
	CHECK_EQ(tm_cc(&t, 0), 3);
	g->gpr[1] = 0;
	expect_program(B2(0x34), S_BASE2, PGM_OPERAND);
	/* No channel report is pending. */
	CHECK(run(B2(0x39), S_BASE2) == ARCH_CONTINUE);
	CHECK_EQ(tm_cc(&t, 0), 1);
	/* SAL and SCHM leave the condition code alone. */
	*g->psw_mask = UINT64_C(2) << PSW_CC_SHIFT;
	CHECK(run(B2(0x3c), 0) == ARCH_CONTINUE);
	CHECK_EQ(tm_cc(&t, 0), 2);
	g->gpr[1] = 0x80000000;
	expect_program(B2(0x37), 0, PGM_OPERAND);
}

static void test_chsc(void)
{
	struct hv_s390_regs *g = tm_regs(&t, 0);
	uint8_t page[16] = { 0, 16, 0, 0x10 }, answer[4];

	g->gpr[3] = OPERAND + 8;
	expect_program(B2(0x5f), 0x00300000, PGM_SPECIFICATION);
	g->gpr[3] = TM_RAM;
	expect_program(B2(0x5f), 0x00300000, PGM_ADDRESSING);
	g->gpr[3] = OPERAND;
	memory_write(t.m.memory, OPERAND, page, sizeof(page));
	CHECK(run(B2(0x5f), 0x00300000) == ARCH_CONTINUE);
	CHECK_EQ(tm_cc(&t, 0), 0);
	CHECK_EQ(memory_read(t.m.memory, OPERAND + 16, answer, sizeof(answer)), 0);
	CHECK_EQ(get_be16(answer + 2), CHSC_OK);
}

/* KVM has taken an interruption out of its queue: it goes back when the instruction is suppressed. */
static void test_tsch(void)
{
	struct hv_exit x = { .kind = HV_EXIT_S390_TSCH,
			     .s390_tsch = { .subchannel_id = 1, .subchannel_nr = 7, .io_int_parm = 0xaabb, .io_int_word = 0x18000000, .ipb = S_BASE2, .dequeued = true } };
	struct hv_s390_regs *g = tm_regs(&t, 0);
	unsigned int n = t.n_irqs;
	struct err e = { 0 };

	g->gpr[1] = 0x00010000;
	g->gpr[2] = OPERAND;
	CHECK(arch_s390x.handle_exit(&t.m, 0, &x, &e) == ARCH_CONTINUE);
	CHECK_EQ(tm_cc(&t, 0), 3);
	CHECK_EQ(t.n_irqs, n);
	g->gpr[2] = OPERAND + 1;
	CHECK(arch_s390x.handle_exit(&t.m, 0, &x, &e) == ARCH_CONTINUE);
	CHECK_EQ(t.seen[0].program, PGM_SPECIFICATION);
	CHECK_EQ(t.n_irqs, n + 1);
	CHECK_EQ(t.irq[n].u.io.subchannel_nr, 7);
	CHECK_EQ(t.irq[n].u.io.io_int_parm, 0xaabb);
	g->gpr[2] = TM_RAM;
	CHECK(arch_s390x.handle_exit(&t.m, 0, &x, &e) == ARCH_CONTINUE);
	CHECK_EQ(t.n_irqs, n + 2);
	g->gpr[1] = 0;
	g->gpr[2] = OPERAND;
	CHECK(arch_s390x.handle_exit(&t.m, 0, &x, &e) == ARCH_CONTINUE);
	CHECK_EQ(t.seen[0].program, PGM_OPERAND);
	CHECK_EQ(t.n_irqs, n + 3);
	x.s390_tsch.dequeued = false;
	CHECK(arch_s390x.handle_exit(&t.m, 0, &x, &e) == ARCH_CONTINUE);
	CHECK_EQ(t.n_irqs, n + 3);
}

static void test_topology(void)
{
	struct hv_s390_regs *g = tm_regs(&t, 0);

	g->gpr[4] = 2;
	CHECK(run(0xb9a2, 0x00400000) == ARCH_CONTINUE);
	CHECK_EQ(tm_cc(&t, 0), 0);
	g->gpr[4] = 0;
	CHECK(run(0xb9a2, 0x00400000) == ARCH_CONTINUE);
	CHECK_EQ(tm_cc(&t, 0), 2);
	CHECK_EQ(g->gpr[4], 0x100);
	g->gpr[4] = 3;
	expect_program(0xb9a2, 0x00400000, PGM_SPECIFICATION);
}

/* Diagnose 308: the parameter block that a guest leaves for its next self. */
static void test_parameter_block(void)
{
	struct hv_s390_regs *g = tm_regs(&t, 0);
	uint8_t block[32] = { 0, 0, 0, 32, 1, 2, 3, 4 }, back[32] = { 0 };

	g->gpr[6] = OPERAND;
	g->gpr[3] = 6;
	CHECK(run(0x8363, 0x03080000) == ARCH_CONTINUE);
	CHECK_EQ(g->gpr[7], 0x0102);
	memory_write(t.m.memory, OPERAND, block, sizeof(block));
	g->gpr[3] = 5;
	CHECK(run(0x8363, 0x03080000) == ARCH_CONTINUE);
	CHECK_EQ(g->gpr[7], 1);
	g->gpr[6] = OPERAND + 0x1000;
	g->gpr[3] = 6;
	CHECK(run(0x8363, 0x03080000) == ARCH_CONTINUE);
	CHECK_EQ(g->gpr[7], 1);
	memory_read(t.m.memory, OPERAND + 0x1000, back, sizeof(back));
	CHECK(!memcmp(block, back, sizeof(back)));
	/* Bad lengths, addresses and registers. */
	put_be32(block, 4097);
	memory_write(t.m.memory, OPERAND, block, sizeof(block));
	g->gpr[3] = 5;
	g->gpr[6] = OPERAND;
	CHECK(run(0x8363, 0x03080000) == ARCH_CONTINUE);
	CHECK_EQ(g->gpr[7], 0x0402);
	g->gpr[6] = OPERAND + 8;
	expect_program(0x8363, 0x03080000, PGM_SPECIFICATION);
	g->gpr[6] = TM_RAM;
	expect_program(0x8363, 0x03080000, PGM_ADDRESSING);
	g->gpr[5] = OPERAND;
	expect_program(0x8353, 0x03080000, PGM_SPECIFICATION);
}

static void test_virtio(void)
{
	struct hv_s390_regs *g = tm_regs(&t, 0);

	g->gpr[1] = 3;
	g->gpr[2] = 0x00010000;
	g->gpr[3] = 0;
	CHECK(run(0x8324, 0x05000000) == ARCH_CONTINUE);
	CHECK_EQ((int64_t)g->gpr[2], -EINVAL);
}

/* The guest's name, in EBCDIC and in UTF-8. */
static void test_stsi(void)
{
	struct hv_exit x = { .kind = HV_EXIT_S390_STSI, .s390_stsi = { .addr = OPERAND, .fc = 3, .sel1 = 2, .sel2 = 2 } };
	static const uint8_t tested[] = { 0xa3, 0x85, 0xa2, 0xa3, 0x85, 0x84, 0x60, 0x87 };
	uint8_t name[16] = { 0 };
	struct err e = { 0 };

	CHECK(arch_s390x.handle_exit(&t.m, 0, &x, &e) == ARCH_CONTINUE);
	memory_read(t.m.memory, OPERAND + 44, name, 8);
	CHECK(!memcmp(name, tested, sizeof(tested)));
	memory_read(t.m.memory, OPERAND + 2048, name, 13);
	CHECK(!strcmp((char *)name, "tested-guest"));
}

static void test_ends(void)
{
	struct hv_exit reset = { .kind = HV_EXIT_S390_RESET };
	struct hv_exit wild = { .kind = HV_EXIT_S390_SIEIC, .s390_sieic.icptcode = 0x7c };
	struct hv_exit fail = { .kind = HV_EXIT_FAIL_ENTRY };
	struct err e = { 0 };

	CHECK(arch_s390x.handle_exit(&t.m, 0, &reset, &e) == ARCH_REBOOT);
	CHECK(arch_s390x.handle_exit(&t.m, 0, &wild, &e) == ARCH_ERROR);
	CHECK(strstr(e.text, "0x7c"));
	e = (struct err){ 0 };
	CHECK(arch_s390x.handle_exit(&t.m, 0, &fail, &e) == ARCH_ERROR);
}

static void test_model(void)
{
	/* Everything that KVM can give, less AP's facilities 12 and 15. */
	CHECK_EQ(t.facilities, UINT64_MAX & ~(UINT64_C(1) << 51 | UINT64_C(1) << 48) & t.mask);
	CHECK(t.seen[0].css);
	CHECK_EQ(t.n_adapters, 8);
}

int main(void)
{
	struct err e = { 0 };

	tm_init(&t, 1);
	t.mask = ~UINT64_C(0xff);
	CHECK_EQ(tm_build(&t, &e), 0);
	test_model();
	test_unknown();
	test_privileged();
	test_channel_operands();
	test_chsc();
	test_tsch();
	test_topology();
	test_parameter_block();
	test_virtio();
	test_stsi();
	test_ends();
	tm_destroy(&t);
	return test_result();
}
