// SPDX-License-Identifier: MIT
#include "arch/arm64/test_machine.h"
#include "tests/test.h"

static struct test_machine t;

static enum arch_verdict handle(struct hv_exit x, struct err *e)
{
	*e = (struct err){ 0 };
	return arch_arm64.handle_exit(&t.m, 0, &x, e);
}

static void test_events(void)
{
	static const struct {
		uint32_t type;
		enum arch_verdict want;
	} cases[] = {
		{ KVM_SYSTEM_EVENT_SHUTDOWN, ARCH_POWEROFF }, { KVM_SYSTEM_EVENT_RESET, ARCH_REBOOT }, { KVM_SYSTEM_EVENT_CRASH, ARCH_PANIC },
		{ KVM_SYSTEM_EVENT_WAKEUP, ARCH_CONTINUE },   { 4711, ARCH_ERROR },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct hv_exit x = { .kind = HV_EXIT_SYSTEM_EVENT };
		struct err e;

		x.system_event.type = cases[i].type;
		CHECK(handle(x, &e) == cases[i].want);
		CHECK(!*e.text == (cases[i].want != ARCH_ERROR));
	}
}

/* SYSTEM_SUSPEND: x1 the entry point, x2 the context. */
static void test_suspend(void)
{
	static const struct {
		uint64_t entry;
		bool good;
	} cases[] = {
		{ ARM64_RAM_BASE + 0x1000, true }, { ARM64_RAM_BASE + TM_RAM - 4, true }, { ARM64_RAM_BASE + TM_RAM, false },
		{ ARM64_RAM_BASE - 4, false },	   { ARM64_RAM_BASE + 2, false },	  { UINT64_MAX, false },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct hv_exit x = { .kind = HV_EXIT_SYSTEM_EVENT };
		unsigned int inits = t.seen[0].n_init;
		struct err e;

		x.system_event.type = KVM_SYSTEM_EVENT_SUSPEND;
		tm_set_reg(&t, 0, ARM64_REG_X(0), 0xc400000e);
		tm_set_reg(&t, 0, ARM64_REG_X(1), cases[i].entry);
		tm_set_reg(&t, 0, ARM64_REG_X(2), 0xc0ffee);
		tm_set_reg(&t, 0, ARM64_REG_PC, 0x1234);
		CHECK(handle(x, &e) == (cases[i].good ? ARCH_SUSPEND : ARCH_CONTINUE));
		CHECK_EQ(t.seen[0].n_init, inits + cases[i].good);
		CHECK_EQ(tm_reg(&t, 0, ARM64_REG_PC), cases[i].good ? cases[i].entry : 0x1234);
		CHECK_EQ(tm_reg(&t, 0, ARM64_REG_X(0)), cases[i].good ? 0xc0ffee : (uint64_t)-9);
	}
}

/* Another vCPU than the first, which began waiting for CPU_ON; and a 32-bit guest's Thumb entry. */
static void test_suspend_second(void)
{
	struct hv_exit x = { .kind = HV_EXIT_SYSTEM_EVENT };
	uint32_t state = KVM_MP_STATE_STOPPED;
	struct err e = { 0 };

	x.system_event.type = KVM_SYSTEM_EVENT_SUSPEND;
	CHECK_EQ(t.m.hv->ops->get_mp_state(t.vcpus[1].hv, &state), 0);
	CHECK_EQ(state, KVM_MP_STATE_STOPPED);
	tm_set_reg(&t, 1, ARM64_REG_X(1), ARM64_RAM_BASE + 0x1001);
	tm_set_reg(&t, 1, ARM64_REG_X(2), 0xc0ffee);
	CHECK(arch_arm64.handle_exit(&t.m, 1, &x, &e) == ARCH_CONTINUE);
	arm64_state(&t.m)->has[ARM64_AARCH32] = true;
	tm_set_reg(&t, 1, ARM64_REG_PSTATE, 0x1d3);
	CHECK(arch_arm64.handle_exit(&t.m, 1, &x, &e) == ARCH_SUSPEND);
	CHECK_STR(e.text, "");
	CHECK_EQ(tm_reg(&t, 1, ARM64_REG_PC), ARM64_RAM_BASE + 0x1000);
	CHECK_EQ(tm_reg(&t, 1, ARM64_REG_PSTATE), 0x1f3);
	CHECK_EQ(t.m.hv->ops->get_mp_state(t.vcpus[1].hv, &state), 0);
	CHECK_EQ(state, KVM_MP_STATE_RUNNABLE);
	arm64_state(&t.m)->has[ARM64_AARCH32] = false;
}

static void count_line(void *ctx, enum log_level level, const char *line)
{
	++*(unsigned int *)ctx;
}

static void test_aborts(void)
{
	struct hv_exit nisv = { .kind = HV_EXIT_ARM_NISV }, sea = { .kind = HV_EXIT_ARM_SEA };
	unsigned int lines = 0;
	const struct log log = { .emit = count_line, .ctx = &lines, .level = LOG_DEBUG };
	struct err e;

	nisv.memory_fault.gpa = 0x3000000;
	CHECK(handle(nisv, &e) == ARCH_CONTINUE);
	CHECK_EQ(t.seen[0].n_aborts, 1);
	sea.sea.esr = UINT64_C(0x24) << 26 | 0x10; /* a load or store of the guest */
	CHECK(handle(sea, &e) == ARCH_CONTINUE);
	CHECK_EQ(t.seen[0].n_aborts, 2);
	sea.sea.esr = UINT64_C(0x20) << 26 | 0x10; /* its instructions */
	sea.sea.flags = KVM_EXIT_ARM_SEA_FLAG_GPA_VALID;
	sea.sea.gpa = 0x80123000;
	CHECK(handle(sea, &e) == ARCH_ERROR && strstr(e.text, "0x80123000"));
	CHECK_EQ(t.seen[0].n_aborts, 2);
	/* a guest can do this for ever, and the log stays short */
	t.m.log = &log;
	for (unsigned int i = 0; i < 10000; i++)
		CHECK(handle(nisv, &e) == ARCH_CONTINUE);
	CHECK(lines > 10 && lines < 1000);
	t.m.log = &t.log;
}

static void test_host_failures(void)
{
	static const unsigned int numbers[] = { 0, 3, 24, 28, 39, 41, 42, 1000, UINT32_MAX };
	struct hv_exit x = { .kind = HV_EXIT_FAIL_ENTRY };
	struct err e;

	x.fail_entry.reason = KVM_EXIT_FAIL_ENTRY_CPU_UNSUPPORTED;
	x.fail_entry.cpu = 5;
	CHECK(handle(x, &e) == ARCH_ERROR && strstr(e.text, "CPU 5") && strstr(e.text, "--vcpu-affinity"));
	x.fail_entry.reason = 0x40;
	CHECK(handle(x, &e) == ARCH_ERROR && strstr(e.text, "0x40") && strstr(e.text, "vCPU 0"));
	CHECK(handle((struct hv_exit){ .kind = HV_EXIT_INTERNAL_ERROR }, &e) == ARCH_ERROR && *e.text);
	x = (struct hv_exit){ .kind = HV_EXIT_MEMORY_FAULT };
	x.memory_fault.gpa = 0x80001000;
	CHECK(handle(x, &e) == ARCH_ERROR && strstr(e.text, "0x80001000"));
	for (unsigned int i = 0; i < ARRAY_SIZE(numbers); i++)
		CHECK(handle((struct hv_exit){ .kind = HV_EXIT_UNKNOWN, .unknown_reason = numbers[i] }, &e) == ARCH_ERROR && strstr(e.text, "("));
	CHECK(handle((struct hv_exit){ .kind = HV_EXIT_INTR }, &e) == ARCH_CONTINUE);
}

static unsigned int n_present, n_missing;

static unsigned int n_undefined;

static void doctor_line(void *ctx, const char *what, bool present, const char *cure)
{
	n_undefined += cure && strstr(cure, "UNDEFINED");
	CHECK(what && *what);
	CHECK(present == !cure); /* each missing thing says what to do */
	if (present)
		n_present++;
	else
		n_missing++;
}

static void test_doctor(void)
{
	arch_arm64.doctor(t.m.hv, t.vcpus[0].hv, doctor_line, NULL);
	CHECK(n_present > 10 && n_missing > 3);
	t.refused_bits = 1u << KVM_ARM_VCPU_SVE; /* a host that says yes and means no */
	n_missing = 0;
	arch_arm64.doctor(t.m.hv, t.vcpus[0].hv, doctor_line, NULL);
	CHECK(n_missing > 4);
	arch_arm64.doctor(t.m.hv, NULL, doctor_line, NULL);
}

/* A host whose guests find out, one by one, what they cannot execute of what is promised. */
static void test_probe(void)
{
	static const unsigned int undefined[] = { 0, 1, 2, 4, 7 }; /* a bit for each instruction */
	static struct test_machine other;
	struct err e = { 0 };

	for (unsigned int i = 0; i < ARRAY_SIZE(undefined) + 2; i++) {
		struct scripted_step steps[ARM64_N_PROBES + 1] = { { .what = STEP_EXIT, .exit = { .kind = HV_EXIT_INTR } } };
		const struct scripted_step *script = steps;
		const unsigned int n = ARRAY_SIZE(steps), bits = i < ARRAY_SIZE(undefined) ? undefined[i] : 0;
		const uint64_t isar2 = 1 << 16;

		for (unsigned int k = 0; k < ARM64_N_PROBES; k++)
			steps[1 + k] = (struct scripted_step){ .what = STEP_MMIO_WRITE, .gpa = 0x10000000, .value = !(bits >> k & 1), .len = 4 };
		/* It is lost, or goes somewhere else: nothing is said. */
		if (i == ARRAY_SIZE(undefined))
			steps[2].value = 2;
		if (i == ARRAY_SIZE(undefined) + 1)
			steps[1] = (struct scripted_step){ .what = STEP_ERROR, .error = EFAULT };
		tm_init(&other, 1);
		tm_add_reg(&other, ARM64_SYS(3, 0, 1, 0, 0));
		tm_add_reg(&other, ARM64_SYS(3, 0, 12, 0, 0));
		tm_add_reg(&other, ARM64_SYS(3, 0, 0, 6, 2));
		other.scripted.scripts = &script;
		other.scripted.script_len = &n;
		other.scripted.n_scripts = 1;
		CHECK_EQ(tm_build(&other, &e), 0);
		tm_set_reg(&other, 0, ARM64_SYS(3, 0, 0, 6, 2), isar2);
		n_undefined = 0;
		arch_arm64.doctor(other.m.hv, other.vcpus[0].hv, doctor_line, NULL);
		CHECK_EQ(n_undefined, (unsigned int)__builtin_popcount(bits));
		CHECK_EQ(hv_scripted_memory_slots(other.m.hv), 1);
		tm_destroy(&other);
	}
}

int main(void)
{
	struct err e = { 0 };

	tm_init(&t, 2);
	CHECK_EQ(tm_build(&t, &e), 0);
	test_events();
	test_suspend();
	test_suspend_second();
	test_aborts();
	test_host_failures();
	test_doctor();
	tm_destroy(&t);
	test_probe();
	return test_result();
}
