// SPDX-License-Identifier: MIT
#include "arch/riscv/test_machine.h"
#include "tests/test.h"

static struct test_machine t;

struct sbi_result {
	long error;
	unsigned long value;
	enum arch_verdict verdict;
};

static struct sbi_result sbi(unsigned long ext, unsigned long fn, unsigned long a0, unsigned long a1, unsigned long a2)
{
	unsigned long ret[2] = { 111, 222 };
	struct hv_exit x = { .kind = HV_EXIT_RISCV_SBI };
	struct err e = { 0 };
	struct sbi_result r;

	x.sbi.extension = ext;
	x.sbi.function = fn;
	x.sbi.args[0] = a0;
	x.sbi.args[1] = a1;
	x.sbi.args[2] = a2;
	x.sbi.ret = ret;
	r.verdict = arch_riscv64.handle_exit(&t.m, 0, &x, &e);
	r.error = (long)ret[0];
	r.value = ret[1];
	CHECK_STR(e.text, "");
	return r;
}

#define DBCN 0x4442434e

static void test_console(void)
{
	struct sbi_result r;
	char buf[8] = "";

	r = sbi(1, 0, 'A', 7, 0);
	CHECK(r.error == 0 && r.value == 7 && r.verdict == ARCH_CONTINUE);
	t.input = "xyz";
	CHECK_EQ(sbi(2, 0, 0, 0, 0).error, 'x');
	memory_write(t.m.memory, RISCV_RAM_BASE + 100, "hello", 5);
	r = sbi(DBCN, 0, 5, RISCV_RAM_BASE + 100, 0);
	CHECK(r.error == 0 && r.value == 5);
	r = sbi(DBCN, 2, '!', 0, 0);
	CHECK(r.error == 0 && r.value == 0);
	CHECK_STR(t.console, "Ahello!");
	/* reads give what is there, and nothing without waiting */
	r = sbi(DBCN, 1, 8, RISCV_RAM_BASE + 200, 0);
	CHECK(r.error == 0 && r.value == 2);
	memory_read(t.m.memory, RISCV_RAM_BASE + 200, buf, 3);
	CHECK_STR(buf, "yz");
	r = sbi(DBCN, 1, 8, RISCV_RAM_BASE + 200, 0);
	CHECK(r.error == 0 && r.value == 0);
	CHECK_EQ(sbi(2, 0, 0, 0, 0).error, -1);
	/* a range at the end of RAM, and ranges that are not RAM */
	CHECK_EQ(sbi(DBCN, 0, 4096, RISCV_RAM_BASE + TM_RAM - 4096, 0).error, 0);
	CHECK_EQ(sbi(DBCN, 0, 4096, RISCV_RAM_BASE + TM_RAM - 4095, 0).error, -3);
	CHECK_EQ(sbi(DBCN, 0, 1, RISCV_RAM_BASE - 1, 0).error, -3);
	CHECK_EQ(sbi(DBCN, 1, 1, 0, 0).error, -3);
	CHECK_EQ(sbi(DBCN, 0, 2, UINT64_MAX, 0).error, -3);
	CHECK_EQ(sbi(DBCN, 0, UINT64_MAX, RISCV_RAM_BASE, 0).error, -3);
	CHECK_EQ(sbi(DBCN, 0, 1, RISCV_RAM_BASE, 1).error, -3);
	CHECK_EQ(sbi(DBCN, 0, 0, 0, 0).error, 0);
	/* one call moves a bounded amount */
	r = sbi(DBCN, 0, MIB(32), RISCV_RAM_BASE, 0);
	CHECK(r.error == 0 && r.value == 65536);
	CHECK_EQ(sbi(DBCN, 3, 0, 0, 0).error, -2);
}

static void test_calls(void)
{
	CHECK_EQ(sbi(0x12345678, 0, 0, 0, 0).error, -2);
	CHECK_EQ(sbi(0x4d505859, 0, 0, 0, 0).error, -2); /* MPXY */
	CHECK(sbi(0x12345678, 0, 0, 0, 0).verdict == ARCH_CONTINUE);
	CHECK(sbi(8, 0, 0, 0, 0).verdict == ARCH_POWEROFF);
	CHECK(sbi(0x53555350, 0, 0, 0, 0).verdict == ARCH_SUSPEND);
	CHECK_EQ(sbi(0x53555350, 0, 0, 0, 0).error, 0);
	CHECK_EQ(sbi(0x53555350, 1, 0, 0, 0).error, -2);
	CHECK(sbi(0x53525354, 0, 0, 0, 0).verdict == ARCH_POWEROFF);
	CHECK(sbi(0x53525354, 0, 1, 0, 0).verdict == ARCH_REBOOT);
	CHECK(sbi(0x53525354, 0, 0, 1, 0).verdict == ARCH_PANIC);
}

static void test_csr(void)
{
	struct hv_exit x = { .kind = HV_EXIT_RISCV_CSR };
	unsigned long value = 99, first = 0;
	struct err e = { 0 };
	bool differs = false;

	x.csr.ret_value = &value;
	for (int i = 0; i < 64; i++) {
		x.csr.number = 0x015;
		CHECK(arch_riscv64.handle_exit(&t.m, 0, &x, &e) == ARCH_CONTINUE);
		CHECK_EQ(value >> 16, 0x8000); /* ES16, nothing between */
		differs |= i && value != first;
		first = value;
	}
	CHECK(differs);
	x.csr.number = 0x15c;
	CHECK(arch_riscv64.handle_exit(&t.m, 0, &x, &e) == ARCH_CONTINUE);
	CHECK_EQ(value, 0);
}

static void count_line(void *ctx, enum log_level level, const char *line)
{
	++*(unsigned int *)ctx;
}

/* With --debug each of these is told; a guest that goes on for ever does not fill the host's disk. */
static void test_log_is_bounded(void)
{
	struct hv_exit csr = { .kind = HV_EXIT_RISCV_CSR }, sbi = { .kind = HV_EXIT_RISCV_SBI };
	const struct log *old = t.m.log;
	unsigned int lines = 0;
	const struct log log = { .emit = count_line, .ctx = &lines, .level = LOG_DEBUG };
	unsigned long value, ret[2];
	struct err e = { 0 };

	csr.csr.number = 0x15c;
	csr.csr.ret_value = &value;
	sbi.sbi.extension = 0x0a000000;
	sbi.sbi.ret = ret;
	t.m.log = &log;
	for (unsigned int i = 0; i < 10000; i++) {
		CHECK(arch_riscv64.handle_exit(&t.m, 0, &csr, &e) == ARCH_CONTINUE);
		CHECK(arch_riscv64.handle_exit(&t.m, 0, &sbi, &e) == ARCH_CONTINUE);
	}
	CHECK(lines > 10 && lines < 1000);
	t.m.log = old;
}

static void test_events(void)
{
	static const struct {
		uint32_t type;
		uint64_t reason;
		enum arch_verdict want;
	} cases[] = {
		{ KVM_SYSTEM_EVENT_SHUTDOWN, 0, ARCH_POWEROFF }, { KVM_SYSTEM_EVENT_SHUTDOWN, 1, ARCH_PANIC },
		{ KVM_SYSTEM_EVENT_RESET, 0, ARCH_REBOOT },	 { KVM_SYSTEM_EVENT_RESET, 1, ARCH_PANIC },
		{ KVM_SYSTEM_EVENT_CRASH, 0, ARCH_PANIC },	 { KVM_SYSTEM_EVENT_SUSPEND, 0, ARCH_SUSPEND },
		{ 4711, 0, ARCH_ERROR },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct hv_exit x = { .kind = HV_EXIT_SYSTEM_EVENT };
		struct err e = { 0 };

		x.system_event.type = cases[i].type;
		x.system_event.ndata = 1;
		x.system_event.data[0] = cases[i].reason;
		CHECK(arch_riscv64.handle_exit(&t.m, 0, &x, &e) == cases[i].want);
		CHECK(!*e.text == (cases[i].want != ARCH_ERROR));
		/* without data there is no reason */
		x.system_event.ndata = 0;
		CHECK(arch_riscv64.handle_exit(&t.m, 0, &x, &e) != ARCH_PANIC || cases[i].type == KVM_SYSTEM_EVENT_CRASH);
	}
}

static void test_host_failures(void)
{
	static const unsigned int numbers[] = { 0, 3, 18, 24, 43, 44, 1000, UINT32_MAX };
	struct hv_exit x = { .kind = HV_EXIT_FAIL_ENTRY };
	struct err e = { 0 };

	x.fail_entry.reason = KVM_EXIT_FAIL_ENTRY_NO_VSFILE;
	CHECK(arch_riscv64.handle_exit(&t.m, 3, &x, &e) == ARCH_ERROR);
	CHECK(strstr(e.text, "hart 3") && strstr(e.text, "--irqchip plic"));
	e = (struct err){ 0 };
	x.fail_entry.reason = 0x40;
	CHECK(arch_riscv64.handle_exit(&t.m, 0, &x, &e) == ARCH_ERROR && strstr(e.text, "0x40"));
	e = (struct err){ 0 };
	x = (struct hv_exit){ .kind = HV_EXIT_INTERNAL_ERROR };
	CHECK(arch_riscv64.handle_exit(&t.m, 0, &x, &e) == ARCH_ERROR && *e.text);
	e = (struct err){ 0 };
	x = (struct hv_exit){ .kind = HV_EXIT_MEMORY_FAULT };
	x.memory_fault.gpa = 0x80001000;
	CHECK(arch_riscv64.handle_exit(&t.m, 0, &x, &e) == ARCH_ERROR && strstr(e.text, "0x80001000"));
	for (unsigned int i = 0; i < ARRAY_SIZE(numbers); i++) {
		e = (struct err){ 0 };
		x = (struct hv_exit){ .kind = HV_EXIT_UNKNOWN, .unknown_reason = numbers[i] };
		CHECK(arch_riscv64.handle_exit(&t.m, 0, &x, &e) == ARCH_ERROR && strstr(e.text, "("));
	}
	x = (struct hv_exit){ .kind = HV_EXIT_INTR };
	CHECK(arch_riscv64.handle_exit(&t.m, 0, &x, &e) == ARCH_CONTINUE);
}

static unsigned int n_present, n_missing;

static void doctor_line(void *ctx, const char *what, bool present, const char *cure)
{
	CHECK(what && *what);
	CHECK(present == !cure); /* each missing thing says what to do */
	if (present)
		n_present++;
	else
		n_missing++;
}

static void test_doctor(void)
{
	arch_riscv64.doctor(t.m.hv, t.vcpus[0].hv, doctor_line, NULL);
	CHECK(n_present > 10 && n_missing > 10);
	CHECK(n_present + n_missing > KVM_RISCV_ISA_EXT_MAX + KVM_RISCV_SBI_EXT_MAX);
	n_present = n_missing = 0;
	arch_riscv64.doctor(t.m.hv, NULL, doctor_line, NULL);
	CHECK(n_missing > 3);
}

int main(void)
{
	struct err e = { 0 };

	tm_init(&t, 1, false);
	CHECK_EQ(tm_build(&t, &e), 0);
	test_console();
	test_calls();
	test_csr();
	test_log_is_bounded();
	test_events();
	test_host_failures();
	test_doctor();
	tm_destroy(&t);
	return test_result();
}
