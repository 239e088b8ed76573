// SPDX-License-Identifier: MIT
/* The state of a machine goes from one VM to another, on the scripted hypervisor: nothing is missing, and what is no state is refused. */
#include <unistd.h>

#include "tests/scripted_vm.h"

#define WRITE(at, v, n) { .what = STEP_MMIO_WRITE, .gpa = (at), .value = (v), .len = (n) }
#define READ(at, v, n) { .what = STEP_MMIO_READ, .gpa = (at), .value = (v), .len = (n), .check = true }
#define SCRATCH (RISCV_UART_BASE + 0x1000 + 7)
#define PRIORITY_1 (RISCV_IRQCHIP_BASE + 4)
#define STATUS (RISCV_VIRTIO_BASE + 0x70)

static atomic_uint arrived;

static void arrive(struct hv_vcpu *vcpu)
{
	const uint64_t sp = 0x1234567890;

	vcpu->hv->ops->set_reg(vcpu, RISCV_REG_CORE(regs.sp), &sp);
	atomic_fetch_add(&arrived, 1);
}

static const struct scripted_step first[] = { WRITE(SCRATCH, 0x5a, 1), WRITE(PRIORITY_1, 3, 4), WRITE(STATUS, 1, 4), { .what = STEP_CALL, .call = arrive } };
/* The scripted vCPU checks what it reads. */
static const struct scripted_step next[] = { READ(SCRATCH, 0x5a, 1), READ(PRIORITY_1, 3, 4), READ(STATUS, 1, 4), { .what = STEP_CALL, .call = arrive } };

static void make(struct test_vm *t, const char *cpus)
{
	tv_init(t);
	tv_set(t, "cpus", cpus);
	tv_set(t, "rng", NULL);
	tv_set(t, "irqchip", "plic");
}

static void play(struct test_vm *t)
{
	unsigned int before = atomic_load(&arrived);

	CHECK_EQ(lkvm_start(t->vm, &t->e), 0);
	while (atomic_load(&arrived) == before)
		usleep(1000);
	CHECK_EQ(lkvm_pause(t->vm), 0);
}

static void *save(struct test_vm *t, size_t *ret_len)
{
	struct err e = { 0 };
	int64_t n = vm_save(t->vm, NULL, 0, &e);
	void *buf = malloc((size_t)n + 16);

	CHECK(n > 0 && buf);
	memset(buf, 0xa5, (size_t)n + 16);
	CHECK_EQ(vm_save(t->vm, buf, (size_t)n - 1, &e), n);
	CHECK_EQ(vm_save(t->vm, buf, (size_t)n, &e), n);
	CHECK_EQ(((uint8_t *)buf)[n], 0xa5);
	*ret_len = (size_t)n;
	return buf;
}

static void test_round_trip(void)
{
	struct test_vm a, b;
	struct err e = { 0 };
	size_t len, len_b;
	uint64_t sp = 0;
	void *state, *again;

	make(&a, "2");
	a.script[0] = first;
	a.script_len[0] = ARRAY_SIZE(first);
	CHECK_EQ(tv_create(&a), 0);
	CHECK_EQ(vm_save(a.vm, NULL, 0, &e), -EBUSY);
	play(&a);
	state = save(&a, &len);
	CHECK_EQ(vm_load(a.vm, state, len, &e), -EBUSY);
	lkvm_destroy(TAKE(a.vm));
	tv_done(&a);

	make(&b, "2");
	b.script[0] = next;
	b.script_len[0] = ARRAY_SIZE(next);
	CHECK_EQ(tv_create(&b), 0);
	CHECK_EQ(vm_load(b.vm, state, len, &e), 0);
	b.vm->machine.hv->ops->get_reg(b.vm->machine.vcpu[0].hv, RISCV_REG_CORE(regs.sp), &sp);
	CHECK_EQ(sp, 0x1234567890);
	play(&b);
	again = save(&b, &len_b);
	CHECK_EQ(len_b, len);
	CHECK(!memcmp(again, state, len));
	lkvm_destroy(TAKE(b.vm));
	tv_done(&b);

	/* Cut off anywhere, too long, of another machine, damaged. */
	for (size_t cut = 0; cut <= len + 8; cut += cut < 64 ? 8 : 328) {
		if (cut == len)
			continue;
		make(&b, "2");
		CHECK_EQ(tv_create(&b), 0);
		again = realloc(again, cut + 1);
		memset(again, 0, cut + 1);
		memcpy(again, state, MIN(cut, len));
		CHECK_EQ(vm_load(b.vm, again, cut, &e), -EINVAL);
		lkvm_destroy(TAKE(b.vm));
		tv_done(&b);
	}
	make(&b, "1");
	CHECK_EQ(tv_create(&b), 0);
	CHECK_EQ(vm_load(b.vm, state, len, &e), -EINVAL);
	lkvm_destroy(TAKE(b.vm));
	tv_done(&b);
	free(again);
	free(state);
}

int main(void)
{
	test_round_trip();
	return test_result();
}
