// SPDX-License-Identifier: MIT
#include "arch/s390x/test_machine.h"
#include "tests/test.h"

static struct test_machine t;

#define STATUS_NOTHING 0xffffffff

/* vCPU 0 gives an order by the instruction itself: r1 = 4 (parameter in 5), r3 = 3. */
static unsigned int sigp(uint16_t target, uint8_t order, uint64_t parameter, uint32_t *ret_status)
{
	struct hv_s390_regs *g = tm_regs(&t, 0);
	struct err e = { 0 };

	g->gpr[4] = UINT64_C(0x1234567800000000) | STATUS_NOTHING;
	g->gpr[5] = parameter;
	g->gpr[3] = target;
	CHECK(tm_instruction(&t, 0, 0xae43, (uint32_t)order << 16, &e) == ARCH_CONTINUE);
	CHECK_EQ(g->gpr[4] >> 32, 0x12345678);
	*ret_status = (uint32_t)g->gpr[4];
	return tm_cc(&t, 0);
}

static void expect(uint16_t target, uint8_t order, uint64_t parameter, unsigned int cc, uint32_t status)
{
	uint32_t got;

	CHECK_EQ(sigp(target, order, parameter, &got), cc);
	CHECK_EQ(got, status);
}

static bool sleeps(unsigned int i)
{
	enum arch_verdict verdict;
	struct err e = { 0 };
	bool wait = tm_waits(&t, i, &verdict, &e);

	CHECK(verdict == ARCH_CONTINUE);
	return wait;
}

static uint32_t mp_state(unsigned int i)
{
	uint32_t state = 0;

	t.m.hv->ops->get_mp_state(t.vcpus[i].hv, &state);
	return state;
}

static void build(unsigned int cpus)
{
	struct err e = { 0 };

	tm_init(&t, cpus);
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK_EQ(s390x_start_vcpu(&t.m, 0, PSW_64BIT, 0x10000, &e), 0);
}

static void test_start_stop(void)
{
	build(2);
	CHECK(!sleeps(0) && sleeps(1));
	CHECK_EQ(mp_state(0), KVM_MP_STATE_OPERATING);
	CHECK_EQ(mp_state(1), KVM_MP_STATE_STOPPED);
	expect(7, 0x04, 0, 3, STATUS_NOTHING);
	expect(1, 0x04, 0, 0, STATUS_NOTHING);
	CHECK(!sleeps(1));
	CHECK_EQ(mp_state(1), KVM_MP_STATE_OPERATING);
	/* It runs: an order waits until its own thread obeys, and another one finds it busy. */
	expect(1, 0x05, 0, 0, STATUS_NOTHING);
	CHECK_EQ(mp_state(1), KVM_MP_STATE_OPERATING);
	expect(1, 0x04, 0, 2, STATUS_NOTHING);
	CHECK(sleeps(1));
	CHECK_EQ(mp_state(1), KVM_MP_STATE_STOPPED);
	expect(1, 0x05, 0, 0, STATUS_NOTHING);
	expect(1, 0x09, 0, 0, STATUS_NOTHING);
	CHECK_EQ(t.seen[1].n_stored, 1);
	CHECK_EQ(t.seen[1].stored_at, KVM_S390_STORE_STATUS_NOADDR);
	/* Restart, stopped and operating. */
	expect(1, 0x06, 0, 0, STATUS_NOTHING);
	CHECK(!sleeps(1));
	expect(1, 0x06, 0, 0, STATUS_NOTHING);
	CHECK_EQ(t.seen[1].n_restart, 2);
	CHECK_EQ((uint64_t)arch_s390x.nmi(&t.m, 1), 0);
	CHECK_EQ(t.seen[1].n_restart, 3);
	CHECK_EQ((uint64_t)arch_s390x.nmi(&t.m, 2), (uint64_t)-EINVAL);
	tm_destroy(&t);
}

static void test_resets(void)
{
	build(2);
	expect(1, 0x0b, 0, 0, STATUS_NOTHING);
	CHECK_EQ(t.seen[1].n_initial, 1);
	expect(1, 0x04, 0, 0, STATUS_NOTHING);
	CHECK(!sleeps(1));
	expect(1, 0x0c, 0, 0, STATUS_NOTHING);
	CHECK_EQ(t.seen[1].n_normal, 0);
	CHECK(sleeps(1));
	CHECK_EQ(t.seen[1].n_normal, 1);
	tm_destroy(&t);
}

static void test_addresses(void)
{
	build(2);
	expect(1, 0x0d, 0x24000, 0, STATUS_NOTHING);
	CHECK_EQ(*tm_regs(&t, 1)->prefix, 0x24000);
	CHECK(*tm_regs(&t, 1)->dirty & KVM_SYNC_PREFIX);
	expect(1, 0x0d, 0x80027fff, 0, STATUS_NOTHING); /* what is no part of the address does not count */
	CHECK_EQ(*tm_regs(&t, 1)->prefix, 0x26000);
	expect(1, 0x0d, TM_RAM, 1, 0x100);
	expect(0, 0x0d, 0x24000, 1, 0x200);
	expect(1, 0x0e, 0x30200, 0, STATUS_NOTHING);
	CHECK_EQ(t.seen[1].stored_at, 0x30200);
	expect(1, 0x0e, TM_RAM, 1, 0x100);
	expect(0, 0x0e, 0x30200, 1, 0x200);
	expect(1, 0x12, 1, 1, 0x100);
	expect(1, 0x77, 0, 1, 0x002);
	tm_destroy(&t);
}

static enum arch_verdict wait_exit(unsigned int i, uint8_t icptcode, uint64_t mask, uint64_t addr)
{
	struct hv_exit x = { .kind = HV_EXIT_S390_SIEIC, .s390_sieic.icptcode = icptcode };
	struct err e = { 0 };

	*tm_regs(&t, i)->psw_mask = mask;
	*tm_regs(&t, i)->psw_addr = addr;
	return arch_s390x.handle_exit(&t.m, i, &x, &e);
}

static void test_disabled_wait(void)
{
	enum arch_verdict verdict;
	struct err e = { 0 };

	/* The machine goes on as long as one vCPU does. */
	build(2);
	expect(1, 0x04, 0, 0, STATUS_NOTHING);
	CHECK(wait_exit(1, 0x1c, 0x0002000180000000, 0xdead0) == ARCH_CONTINUE);
	CHECK(sleeps(1) && !sleeps(0));
	/* A restart wakes even such a one. */
	expect(1, 0x06, 0, 0, STATUS_NOTHING);
	CHECK(!sleeps(1));
	CHECK(wait_exit(1, 0x1c, 0x0002000180000000, 0xdead0) == ARCH_CONTINUE);
	CHECK(sleeps(1));
	expect(0, 0x05, 0, 0, STATUS_NOTHING);
	CHECK(tm_waits(&t, 0, &verdict, &e));
	CHECK(verdict == ARCH_HALTED);
	CHECK(strstr(e.text, "vCPU 1") && strstr(e.text, "0002000180000000 00000000000dead0"));
	tm_destroy(&t);
	/* A loop of program interruptions. */
	build(1);
	e = (struct err){ 0 };
	CHECK(wait_exit(0, 0x08, 0, 0xfff) == ARCH_CONTINUE);
	CHECK(tm_waits(&t, 0, &verdict, &e) && verdict == ARCH_HALTED);
	CHECK(strstr(e.text, "loop"));
	tm_destroy(&t);
}

static void test_poweroff(void)
{
	enum arch_verdict verdict;
	struct err e = { 0 };

	/* All stopped. */
	build(2);
	expect(0, 0x05, 0, 0, STATUS_NOTHING);
	CHECK(tm_waits(&t, 0, &verdict, &e) && verdict == ARCH_POWEROFF);
	CHECK(!*e.text);
	tm_destroy(&t);
	/* Linux's quiesced wait. */
	build(2);
	CHECK(wait_exit(0, 0x1c, 0x0002000180000000, 0xfff) == ARCH_CONTINUE);
	CHECK(tm_waits(&t, 0, &verdict, &e) && verdict == ARCH_POWEROFF);
	tm_destroy(&t);
}

/* Diagnose 308, subcodes 0 and 1: everybody stops and is reset, the last one to get there resets the rest and starts the one that asked. */
static void test_system_reset(uint64_t subcode)
{
	uint8_t psw[8];
	struct err e = { 0 };

	build(3);
	expect(2, 0x04, 0, 0, STATUS_NOTHING);
	CHECK(!sleeps(2));
	put_be64(psw, UINT64_C(0x0008000080012340));
	memory_write(t.m.memory, 0, psw, sizeof(psw));
	tm_regs(&t, 0)->gpr[7] = subcode;
	CHECK(tm_instruction(&t, 0, 0x8307, 0x03080000, &e) == ARCH_CONTINUE);
	/* vCPU 2 still runs: nothing has been reset but the one that was stopped. */
	CHECK(sleeps(0));
	CHECK_EQ(t.n_cleared, 0);
	expect(1, 0x04, 0, 2, STATUS_NOTHING);
	CHECK(sleeps(2));
	CHECK_EQ(t.n_cleared, 1);
	CHECK(!sleeps(0) && sleeps(1));
	CHECK_EQ(*tm_regs(&t, 0)->psw_mask, 0x80000000);
	CHECK_EQ(*tm_regs(&t, 0)->psw_addr, 0x12340);
	for (unsigned int i = 0; i < 3; i++) {
		CHECK_EQ(t.seen[i].n_clear, subcode == 0);
		CHECK_EQ(t.seen[i].n_initial, subcode == 1 && i == 0);
		CHECK_EQ(t.seen[i].n_normal, subcode == 1 && i != 0);
	}
	tm_destroy(&t);
}

static void test_missing(void)
{
	static const unsigned int needed[] = { KVM_CAP_S390_USER_SIGP, KVM_CAP_S390_CSS_SUPPORT, KVM_CAP_S390_MEM_OP };
	struct err e = { 0 };

	for (unsigned int i = 0; i < ARRAY_SIZE(needed); i++) {
		e = (struct err){ 0 };
		tm_init_without(&t, 1, needed[i]);
		CHECK_EQ(tm_prepare(&t, &e), -EOPNOTSUPP);
		CHECK(strstr(e.text, "lacks"));
		tm_destroy(&t);
	}
	e = (struct err){ 0 };
	tm_init(&t, 1);
	CHECK_EQ(option_set(&s390x_options[0], &t.config, "20000", &e), 0);
	CHECK_EQ(tm_prepare(&t, &e), -EINVAL);
	tm_destroy(&t);
	e = (struct err){ 0 };
	tm_init(&t, 1);
	CHECK_EQ(option_set(&s390x_options[0], &t.config, "0", &e), 0);
	CHECK_EQ(tm_prepare(&t, &e), 0);
	CHECK(!(t.facilities >> 63));
	tm_destroy(&t);
}

struct named {
	unsigned int n, n_psw;
};

static void count_reg(void *ctx, const struct arch_reg *reg)
{
	struct named *n = ctx;

	n->n++;
	n->n_psw += !strcmp(reg->name, "core.psw_addr") && reg->size == 8 && get_le64(reg->value) == 0x10000;
}

static void test_regs(void)
{
	struct named n = { 0 };
	char text[4096];

	build(1);
	CHECK_EQ((uint64_t)arch_s390x.for_each_reg(&t.m, 0, count_reg, &n), n.n);
	CHECK_EQ(n.n, 3 + 16 + 16 + 16 + 16 + 1);
	CHECK_EQ(n.n_psw, 1);
	arch_s390x.dump_vcpu(&t.m, 0, text, sizeof(text));
	CHECK(strstr(text, "PSW 0000000180000000 0000000000010000"));
	tm_destroy(&t);
}

/* An interruption that KVM has no memory for ends the machine, also the vCPU that sleeps; one too many for a guest that takes none does not. */
static void test_refused_interruption(void)
{
	enum arch_verdict verdict;
	struct err e = { 0 };

	build(2);
	t.refuse = -EBUSY;
	CHECK_EQ((uint64_t)s390x_adapter_interrupt(&t.m, 3), (uint64_t)-EBUSY);
	CHECK(!sleeps(0) && sleeps(1));
	t.refuse = -ENOMEM;
	CHECK_EQ((uint64_t)s390x_adapter_interrupt(&t.m, 3), (uint64_t)-ENOMEM);
	for (unsigned int i = 0; i < 2; i++) {
		e = (struct err){ 0 };
		tm_waits(&t, i, &verdict, &e);
		CHECK(verdict == ARCH_ERROR && strstr(e.text, "does not take an interruption"));
	}
	tm_destroy(&t);
}

int main(void)
{
	test_start_stop();
	test_resets();
	test_addresses();
	test_disabled_wait();
	test_poweroff();
	test_system_reset(0);
	test_system_reset(1);
	test_missing();
	test_regs();
	test_refused_interruption();
	return test_result();
}
