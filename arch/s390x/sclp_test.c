// SPDX-License-Identifier: MIT
#include "arch/s390x/sclp.h"
#include "arch/s390x/test_machine.h"
#include "tests/test.h"

static struct test_machine t;

#define SCCB UINT64_C(0x30000)
#define MASK_ASCII 0x40u
#define MASK_OPERATOR 0x80000000u
#define MASK_QUIESCE 0x8u

static uint8_t sccb[4096];

/* SERVICE CALL as the instruction: the command in register 1, the address in 2. -1 when it ended in a program interruption. */
static int call_at(uint64_t addr, uint32_t command)
{
	struct hv_s390_regs *g = tm_regs(&t, 0);
	unsigned int n = t.seen[0].n_program;
	struct err e = { 0 };

	g->gpr[1] = command;
	g->gpr[2] = addr;
	CHECK(tm_instruction(&t, 0, 0xb220, 0x00120000, &e) == ARCH_CONTINUE);
	return t.seen[0].n_program != n ? -1 : (int)tm_cc(&t, 0);
}

/* With the SCCB that `sccb` holds; its answer there. The response code. */
static uint16_t call(uint32_t command, uint16_t len)
{
	unsigned int n = t.n_irqs;

	put_be16(sccb, len);
	memory_write(t.m.memory, SCCB, sccb, sizeof(sccb));
	CHECK_EQ((uint64_t)call_at(SCCB, command), 0);
	CHECK_EQ(t.n_irqs, n + 1);
	CHECK_EQ(t.irq[n].type, KVM_S390_INT_SERVICE);
	CHECK_EQ(t.irq[n].u.ext.ext_params & ~7u, SCCB);
	t.n_irqs = n;
	memory_read(t.m.memory, SCCB, sccb, sizeof(sccb));
	return get_be16(sccb + 6);
}

static bool more_pending(void)
{
	return t.irq[t.n_irqs].u.ext.ext_params & 1;
}

static void set_masks(uint32_t receive)
{
	memset(sccb, 0, sizeof(sccb));
	put_be16(sccb + 10, 4);
	put_be32(sccb + 12, receive);
	CHECK_EQ(call(0x00780005, 28), 0x0020);
	CHECK_EQ(get_be32(sccb + 20), 0x40000040);
	CHECK_EQ(get_be32(sccb + 24), 0x80000048);
}

static void test_info(void)
{
	memset(sccb, 0xff, sizeof(sccb));
	CHECK_EQ(call(0x00020001, 4096), 0x0010);
	CHECK_EQ(get_be16(sccb + 8) * sccb[10], TM_RAM >> 20);
	CHECK_EQ(get_be16(sccb + 16), 3);
	CHECK_EQ(get_be16(sccb + 18), 128);
	CHECK_EQ(sccb[128 + 2 * 16], 2);
	CHECK_EQ(get_be64(sccb + 48) >> 56 & 8, 8);
	CHECK_EQ(sccb[24], 0x40);
	CHECK_EQ(get_be16(sccb + 120), 2);
	CHECK_EQ(call(0x00120001, 128 + 3 * 16 - 1), 0x0300);
	CHECK_EQ(call(0x00010001, 4096), 0x0010);
	CHECK_EQ(get_be16(sccb + 8), 3);
	CHECK_EQ(sccb[get_be16(sccb + 10) + 16], 1);
	CHECK_EQ(get_be16(sccb + 12), 0);
	CHECK_EQ(call(0x00990001, 4096), 0x01f0);
}

static void test_addresses(void)
{
	static const struct {
		uint64_t addr;
		unsigned int code;
	} bad[] = { { 0x1000, PGM_SPECIFICATION }, { 0x30004, PGM_SPECIFICATION }, { 0x100030000, PGM_SPECIFICATION }, { TM_RAM, PGM_ADDRESSING },
		    { 0x40000, PGM_SPECIFICATION } /* the prefix area */ };
	uint8_t len[2];

	*tm_regs(&t, 0)->prefix = 0x40000;
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_EQ((uint64_t)call_at(bad[i].addr, 0x00020001), (uint64_t)-1);
		CHECK_EQ(t.seen[0].program, bad[i].code);
	}
	/* Too short for a header, and over the end of its 4 KiB. */
	put_be16(sccb, 7);
	memory_write(t.m.memory, SCCB, sccb, 8);
	CHECK_EQ((uint64_t)call_at(SCCB, 0x00020001), (uint64_t)-1);
	put_be16(len, 4096);
	memory_write(t.m.memory, SCCB + 8, len, 2);
	CHECK_EQ((uint64_t)call_at(SCCB + 8, 0x00020001), 0);
	memory_read(t.m.memory, SCCB + 8 + 6, len, 2);
	CHECK_EQ(get_be16(len), 0x0100);
	t.n_irqs = 0;
}

static unsigned int ascii_event(const char *text)
{
	memset(sccb, 0, sizeof(sccb));
	put_be16(sccb + 8, (uint16_t)(6 + strlen(text)));
	sccb[10] = 0x1a;
	memcpy(sccb + 14, text, strlen(text));
	return 14 + (unsigned int)strlen(text);
}

static void test_ascii(void)
{
	unsigned int len = ascii_event("hello\r\n");

	t.n_console = 0;
	CHECK_EQ(call(0x00760005, (uint16_t)len), 0x0020);
	CHECK(t.n_console == 7 && !memcmp(t.console, "hello\r\n", 7));
	CHECK_EQ(sccb[11], 0x80);
	/* Input comes to who asked for it. */
	t.input = "ls\n";
	s390x_state(&t.m)->sclp->n_in = 0;
	sclp_console_changed(&t.m);
	CHECK_EQ(t.n_irqs, 0);
	set_masks(MASK_ASCII);
	CHECK(more_pending());
	memset(sccb, 0, sizeof(sccb));
	sccb[5] = 0x80;
	CHECK_EQ(call(0x00770005, 4096), 0x0020);
	CHECK(!more_pending());
	CHECK_EQ(get_be16(sccb), 8 + 7 + 3);
	CHECK_EQ(get_be16(sccb + 8), 7 + 3);
	CHECK_EQ(sccb[10], 0x1a);
	CHECK_EQ(sccb[14], 0);
	CHECK(!memcmp(sccb + 15, "ls\n", 3));
	CHECK_EQ(call(0x00770005, 4096), 0x60f0);
	t.input = "x";
	sclp_console_changed(&t.m);
	CHECK_EQ(t.n_irqs, 1);
	CHECK_EQ(t.irq[0].u.ext.ext_params, 1);
	t.n_irqs = 0;
	/* Selective reads. */
	memset(sccb, 0, sizeof(sccb));
	sccb[2] = 1;
	put_be16(sccb + 10, 4);
	put_be32(sccb + 12, MASK_OPERATOR);
	CHECK_EQ(call(0x00770005, 4096), 0x70f0);
	sccb[2] = 9;
	CHECK_EQ(call(0x00770005, 4096), 0x40f0);
	sccb[2] = 0;
	CHECK_EQ(call(0x00770005, 4096), 0x0020);
}

/* A message data block with two lines and something else between. */
static unsigned int message_event(void)
{
	static const uint8_t text[] = { 0xc8, 0x89, 0x40, 0xad, 0x4a }; /* "Hi " and what differs between code pages */
	unsigned int at = 14 + 12;

	memset(sccb, 0, sizeof(sccb));
	sccb[10] = 0x02;
	put_be16(sccb + 16, 1);
	put_be32(sccb + 18, 0xd4c4c240);
	put_be32(sccb + 22, 1);
	put_be16(sccb + at, 10 + sizeof(text));
	put_be16(sccb + at + 2, 4);
	memcpy(sccb + at + 10, text, sizeof(text));
	at += 10 + (unsigned int)sizeof(text);
	put_be16(sccb + at, 20);
	put_be16(sccb + at + 2, 1);
	at += 20;
	put_be16(sccb + at, 11);
	put_be16(sccb + at + 2, 4);
	sccb[at + 10] = 0xe7;
	at += 11;
	put_be16(sccb + 14, (uint16_t)(at - 14));
	put_be16(sccb + 8, (uint16_t)(at - 8));
	return at;
}

static void test_lines(void)
{
	unsigned int len = message_event();
	static const uint8_t want[] = { 0x13, 0x10, 0x12, 0x12, 0x13, 0x20 };

	t.n_console = 0;
	CHECK_EQ(call(0x00760005, (uint16_t)len), 0x0020);
	t.console[t.n_console] = 0;
	CHECK_STR(t.console, "Hi .[\nX\n");
	/* Inconsistent lengths. */
	message_event();
	put_be16(sccb + 26, 200);
	CHECK_EQ(call(0x00760005, (uint16_t)len), 0x72f0);
	message_event();
	sccb[18] = 0;
	CHECK_EQ(call(0x00760005, (uint16_t)len), 0x73f0);
	message_event();
	sccb[10] = 0x33;
	CHECK_EQ(call(0x00760005, (uint16_t)len), 0x40f0);
	/* An operator's command: only whole lines. The face last written to hears us. */
	message_event();
	CHECK_EQ(call(0x00760005, (uint16_t)len), 0x0020);
	set_masks(MASK_ASCII | MASK_OPERATOR);
	t.input = "ech";
	sclp_console_changed(&t.m);
	CHECK_EQ(t.n_irqs, 0);
	t.input = "o\nrest";
	sclp_console_changed(&t.m);
	CHECK_EQ(t.n_irqs, 1);
	t.n_irqs = 0;
	memset(sccb, 0, sizeof(sccb));
	CHECK_EQ(call(0x00770005, 4096), 0x0020);
	CHECK_EQ(sccb[10], 0x01);
	CHECK_EQ(get_be16(sccb + 8), 6 + 12 + 4 + 4);
	for (unsigned int i = 0; i < 3; i++) {
		CHECK_EQ(get_be16(sccb + 14 + 4 * i), 12 + 4 + 4 - 4 * i);
		CHECK(!memcmp(sccb + 14 + 4 * i + 2, want + 2 * i, 2));
	}
	CHECK_EQ(sccb[26], 8);
	CHECK_EQ(sccb[27], 0x31);
	CHECK_EQ(sccb[28], 6);
	CHECK_EQ(sccb[29], 0x30);
	CHECK_EQ(sccb[30], 0x85);
	CHECK_EQ(sccb[33], 0x96);
	CHECK_EQ(call(0x00770005, 4096), 0x60f0);
	ascii_event("");
	CHECK_EQ(call(0x00760005, 14), 0x0020);
	CHECK(more_pending());
	CHECK_EQ(call(0x00770005, 4096), 0x0020);
	CHECK_EQ(sccb[10], 0x1a);
}

/* A console that takes no more: the request stays under way. */
static void test_full_console(void)
{
	unsigned int len = ascii_event("0123456789");

	t.n_console = 0;
	t.room = 4;
	put_be16(sccb, (uint16_t)len);
	memory_write(t.m.memory, SCCB, sccb, sizeof(sccb));
	CHECK_EQ((uint64_t)call_at(SCCB, 0x00760005), 0);
	CHECK_EQ(t.n_irqs, 0);
	CHECK_EQ((uint64_t)call_at(SCCB, 0x00760005), 2);
	t.room = 3;
	sclp_console_changed(&t.m);
	CHECK_EQ(t.n_irqs, 0);
	t.room = SIZE_MAX;
	sclp_console_changed(&t.m);
	CHECK_EQ(t.n_irqs, 1);
	CHECK_EQ(t.irq[0].u.ext.ext_params & ~1u, SCCB);
	CHECK(t.n_console == 10 && !memcmp(t.console, "0123456789", 10));
	t.n_irqs = 0;
	/* With nobody to say when there is room, what does not fit is lost. */
	t.m.console_changed = NULL;
	t.room = 4;
	CHECK_EQ(call(0x00760005, (uint16_t)len), 0x0020);
	t.room = SIZE_MAX;
	t.m.console_changed = sclp_console_changed;
}

static void test_quiesce(void)
{
	set_masks(MASK_ASCII);
	CHECK_EQ((uint64_t)arch_s390x.ask_shutdown(&t.m), (uint64_t)-EAGAIN);
	set_masks(MASK_ASCII | MASK_QUIESCE);
	CHECK_EQ((uint64_t)arch_s390x.ask_shutdown(&t.m), 0);
	CHECK_EQ(t.n_irqs, 1);
	t.n_irqs = 0;
	memset(sccb, 0, sizeof(sccb));
	CHECK_EQ(call(0x00770005, 4096), 0x0020);
	CHECK_EQ(sccb[10], 0x1d);
	CHECK_EQ(call(0x00770005, 4096), 0x60f0);
}

static void test_sysrq(void)
{
	set_masks(0);
	CHECK_EQ((uint64_t)arch_s390x.sysrq(&t.m, 'h'), (uint64_t)-EAGAIN);
	set_masks(MASK_ASCII);
	CHECK_EQ((uint64_t)arch_s390x.sysrq(&t.m, 'h'), 0);
	memset(sccb, 0, sizeof(sccb));
	t.n_irqs = 0;
	CHECK_EQ(call(0x00770005, 4096), 0x0020);
	CHECK(sccb[10] == 0x1a && sccb[15] == 0x0f && sccb[16] == 'h');
	set_masks(MASK_OPERATOR);
	CHECK_EQ((uint64_t)arch_s390x.sysrq(&t.m, 'h'), 0);
	memset(sccb, 0, sizeof(sccb));
	t.n_irqs = 0;
	CHECK_EQ(call(0x00770005, 4096), 0x0020);
	CHECK(sccb[10] == 0x01 && sccb[28] == 5 && sccb[30] == 0x5f && sccb[31] == 0x60 && sccb[32] == 0x88);
}

static void test_masks(void)
{
	memset(sccb, 0, sizeof(sccb));
	CHECK_EQ(call(0x00780005, 28), 0x74f0);
	put_be16(sccb + 10, 5);
	CHECK_EQ(call(0x00780005, 28), 0x74f0);
	put_be16(sccb + 10, 2);
	CHECK_EQ(call(0x00780005, 28), 0x0020);
	CHECK_EQ(get_be16(sccb + 16), 0x4000);
}

int main(void)
{
	struct err e = { 0 };

	tm_init(&t, 3);
	CHECK_EQ(tm_build(&t, &e), 0);
	test_info();
	test_addresses();
	test_masks();
	test_ascii();
	test_lines();
	test_full_console();
	test_quiesce();
	test_sysrq();
	tm_destroy(&t);
	return test_result();
}
