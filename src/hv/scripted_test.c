// SPDX-License-Identifier: MIT
#include "hv/scripted.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>

#include "base/endian.h"
#include "base/sys.h"
#include "tests/test.h"

#define REG_A (KVM_REG_SIZE_U64 | 1)
#define REG_B (KVM_REG_SIZE_U32 | 2)

static unsigned int called;

static void guest_code(struct hv_vcpu *vcpu)
{
	called++;
}

static const struct scripted_step script[] = {
	{.what = STEP_MMIO_WRITE, .gpa = 0x1000, .value = 0x11223344, .len = 4},
	{.what = STEP_CALL, .call = guest_code},
	{.what = STEP_MMIO_READ, .gpa = 0x1004, .len = 4, .value = 0xabcd, .check = true},
	{.what = STEP_EXIT, .exit = {.kind = HV_EXIT_SYSTEM_EVENT, .system_event = {.type = 1}}},
	{.what = STEP_MMIO_WRITE, .gpa = 0x2050, .value = 3, .len = 4}, /* rings the doorbell */
	{.what = STEP_ERROR, .error = EFAULT},
};
static const struct scripted_step *const scripts[] = {script};
static const unsigned int script_len[] = {ARRAY_SIZE(script)};
static const uint64_t regs[] = {REG_A, REG_B};
static const struct scripted_cap caps[] = {{KVM_CAP_COALESCED_MMIO, 1}, {KVM_CAP_NR_VCPUS, 8}};
static const struct scripted_config config = {
	.caps = caps, .n_caps = 2, .regs = regs, .n_regs = 2,
	.scripts = scripts, .script_len = script_len, .n_scripts = 1,
};

static void *kick_soon(void *arg)
{
	struct hv_vcpu *vcpu = arg;

	usleep(5000);
	vcpu->hv->ops->vcpu_kick(vcpu);
	return NULL;
}

static void test_run(void)
{
	struct hv_ioeventfd io = {.gpa = 0x2050, .len = 4, .data = 3, .match = true};
	struct hv_vcpu *vcpu;
	struct hv_exit exit;
	unsigned long thread;
	uint64_t v = 0;
	struct hv *hv;

	CHECK_EQ(hv_scripted_create(&config, &hv), 0);
	CHECK_EQ(hv_capability(hv, KVM_CAP_NR_VCPUS), 8);
	CHECK_EQ(hv_capability(hv, KVM_CAP_IRQCHIP), 0);
	io.fd = sys_eventfd();
	CHECK_EQ(hv->ops->ioeventfd(hv, &io, true), 0);
	CHECK_EQ(hv->ops->ioeventfd(hv, &io, true), (uint64_t)-EEXIST);
	CHECK_EQ(hv_scripted_ioeventfds(hv), 1);
	CHECK_EQ(hv->ops->create_vcpu(hv, 0, &vcpu), 0);
	CHECK_EQ(hv->ops->vcpu_bind(vcpu), 0);
	CHECK_EQ(hv->ops->vcpu_run(vcpu, &exit), 0);
	CHECK_EQ(exit.kind, HV_EXIT_MMIO);
	CHECK(exit.mmio.is_write && exit.mmio.len == 4 && get_le32(exit.mmio.data) == 0x11223344);
	/* A kick before the run is not lost, and loses nothing. */
	hv->ops->vcpu_kick(vcpu);
	CHECK_EQ(hv->ops->vcpu_run(vcpu, &exit), 0);
	CHECK_EQ(exit.kind, HV_EXIT_INTR);
	CHECK_EQ(hv->ops->vcpu_run(vcpu, &exit), 0);
	CHECK_EQ(called, 1);
	CHECK(exit.kind == HV_EXIT_MMIO && !exit.mmio.is_write && exit.mmio.gpa == 0x1004);
	put_le32(exit.mmio.data, 0xabcd);
	CHECK_EQ(hv->ops->vcpu_run(vcpu, &exit), 0);
	CHECK_EQ(exit.kind, HV_EXIT_SYSTEM_EVENT);
	CHECK_EQ(hv->ops->vcpu_run(vcpu, &exit), (uint64_t)-EFAULT);
	CHECK_EQ(read(io.fd, &v, 8), 8);
	CHECK_EQ(v, 1);
	/* At its end it sleeps until kicked. */
	sys_thread_start(kick_soon, vcpu, "kicker", &thread);
	CHECK_EQ(hv->ops->vcpu_run(vcpu, &exit), 0);
	CHECK_EQ(exit.kind, HV_EXIT_INTR);
	pthread_join((pthread_t)thread, NULL);
	CHECK_EQ(hv->ops->ioeventfd(hv, &io, false), 0);
	CHECK_EQ(hv_scripted_ioeventfds(hv), 0);
	CHECK_EQ(hv->ops->ioeventfd(hv, &io, false), (uint64_t)-ENOENT);
	close(io.fd);
	hv_vcpu_destroy(vcpu);
	hv_destroy(hv);
}

static void test_state(void)
{
	_Alignas(4096) static char page[4096];
	struct hv_vcpu *vcpu;
	unsigned int changes, calls;
	uint64_t v = 5, ids[4];
	uint32_t word = 0;
	struct hv *hv;

	hv_scripted_create(&config, &hv);
	hv->ops->create_vcpu(hv, 7, &vcpu);
	CHECK_EQ(hv->ops->get_reg(vcpu, REG_A, &v), 0);
	CHECK_EQ(v, 0);
	v = 0x1122334455667788;
	CHECK_EQ(hv->ops->set_reg(vcpu, REG_A, &v), 0);
	v = 0;
	CHECK_EQ(hv->ops->get_reg(vcpu, REG_A, &v), 0);
	CHECK_EQ(v, 0x1122334455667788);
	CHECK_EQ(hv->ops->get_reg(vcpu, REG_A + 1, &v), (uint64_t)-ENOENT);
	CHECK_EQ(hv->ops->reg_list(vcpu, ids, 1), 2);
	CHECK_EQ(ids[0], REG_A);
	hv->ops->vcpu_interrupt(vcpu, true);
	hv->ops->vcpu_interrupt(vcpu, true);
	hv->ops->vcpu_interrupt(vcpu, false);
	CHECK(!hv_scripted_interrupt(vcpu, &changes, &calls));
	CHECK_EQ(changes, 2);
	CHECK_EQ(calls, 3);
	/* A read-only slot answers reads and lets writes out. */
	page[4] = 0x21;
	CHECK_EQ(hv->ops->set_memory(hv, 3, KVM_MEM_READONLY, 0x5000, 4096, page), 0);
	CHECK_EQ(hv->ops->set_memory(hv, 4, 0, 0x5000, 4096, page), (uint64_t)-EEXIST);
	CHECK_EQ(hv_scripted_memory_slots(hv), 1);
	CHECK(hv_scripted_guest_read(hv, 0x5004, &word, 4));
	CHECK_EQ(word & 0xff, 0x21);
	CHECK(!hv_scripted_guest_read(hv, 0x5ffe, &word, 4));
	CHECK(!hv_scripted_guest_write(hv, 0x5004, &word, 4));
	CHECK_EQ(hv->ops->set_memory(hv, 3, 0, 0x5000, 0, NULL), 0);
	CHECK(!hv_scripted_guest_read(hv, 0x5004, &word, 4));
	hv_vcpu_destroy(vcpu);
	hv_destroy(hv);
}

/* Each host call of a fixed sequence fails once, and only once. */
static void test_fail_nth(void)
{
	struct scripted_config c = config;
	unsigned long n;

	c.fail_errno = ENOMEM;
	for (n = 1;; n++) {
		struct hv_vcpu *vcpu = NULL;
		unsigned int failures = 0;
		unsigned long total;
		uint64_t v = 0;
		struct hv *hv;

		c.fail_nth = n;
		hv_scripted_create(&c, &hv);
		while (hv->ops->create_vcpu(hv, 1, &vcpu) == -ENOMEM)
			failures++;
		failures += hv->ops->set_reg(vcpu, REG_A, &v) == -ENOMEM;
		failures += hv->ops->coalesce(hv, 0x1000, 4, true) == -ENOMEM;
		failures += hv->ops->vcpu_interrupt(vcpu, true) == -ENOMEM;
		total = hv_scripted_calls(hv);
		hv_vcpu_destroy(vcpu);
		hv_destroy(hv);
		CHECK_EQ(failures, n <= total);
		if (n > total)
			break;
	}
	CHECK_EQ(n, 5);
}

int main(void)
{
	test_run();
	test_state();
	test_fail_nth();
	return test_result();
}
