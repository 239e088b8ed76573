// SPDX-License-Identifier: MIT
/*
 * The state of a machine goes from one VM to another, on the scripted hypervisor: nothing is missing, and what is no state is refused. Cut off or damaged at any place, it is
 * refused with a sentence, or taken without harm to the host (it may well be a state, of a guest in trouble). So are failures of the host.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "tests/scripted_vm.h"

#define SCRATCH (RISCV_UART_BASE + 0x1000 + 7)
#define PRIORITY_1 (RISCV_IRQCHIP_BASE + 4)
#define SP 0x1234567890
#define RAM 0x80000000
#define RAM_SIZE MIB(32)
#define ALIVE 15 /* STATUS of a driver that is ready */

static struct lkvm_vm *running; /* whose guest code runs below */
static atomic_uint arrived;

/* --- guest code --- */

static uint64_t reg(unsigned int device, unsigned int offset)
{
	return RISCV_VIRTIO_BASE + device * 0x1000 + offset;
}

static uint64_t ring(unsigned int device, unsigned int n)
{
	return RAM + MIB(16) + device * 0x10000 + n * 0x1000;
}

/* Two queues of four entries; the first of a network (1), a console (3), and an entropy source (4), which alone uses it at once, has a buffer to be written. */
static void drive(struct hv_vcpu *vcpu, unsigned int device)
{
	const uint8_t avail[6] = { 0, 0, 1 };
	const uint32_t id = tv_guest_get(running, vcpu, reg(device, 0x08), 4);
	uint8_t desc[16] = { 0 }, used[2] = { 0 };

	tv_guest_put(running, vcpu, reg(device, 0x70), 3, 4);
	tv_guest_put(running, vcpu, reg(device, 0x24), 1, 4);
	tv_guest_put(running, vcpu, reg(device, 0x20), 1, 4); /* VIRTIO_F_VERSION_1 */
	tv_guest_put(running, vcpu, reg(device, 0x70), 11, 4);
	for (unsigned int n = 0; n < 2; n++) {
		const uint64_t at = ring(device, n);

		put_le64(desc, at + 0x800);
		put_le32(desc + 8, 0x800);
		put_le16(desc + 12, 2);
		if (!n && (id == 1 || id == 3 || id == 4)) {
			memory_write(running->machine.memory, at, desc, sizeof(desc));
			memory_write(running->machine.memory, at + 0x100, avail, sizeof(avail));
		}
		tv_guest_put(running, vcpu, reg(device, 0x30), n, 4);
		tv_guest_put(running, vcpu, reg(device, 0x38), 4, 4);
		tv_guest_put(running, vcpu, reg(device, 0x80), at, 4);
		tv_guest_put(running, vcpu, reg(device, 0x90), at + 0x100, 4);
		tv_guest_put(running, vcpu, reg(device, 0xa0), at + 0x200, 4);
		tv_guest_put(running, vcpu, reg(device, 0x44), 1, 4);
	}
	tv_guest_put(running, vcpu, reg(device, 0x70), ALIVE, 4);
	tv_guest_put(running, vcpu, reg(device, 0x50), 0, 4);
	while (id == 4 && !used[0]) {
		usleep(100);
		memory_read(running->machine.memory, ring(device, 0) + 0x202, used, sizeof(used));
	}
}

static void begin(struct hv_vcpu *vcpu)
{
	const uint64_t sp = SP;

	tv_guest_put(running, vcpu, SCRATCH, 0x5a, 1);
	tv_guest_put(running, vcpu, PRIORITY_1, 3, 4);
	for (unsigned int i = 0; i < running->n_virtio; i++) {
		drive(vcpu, i);
		CHECK_EQ(tv_guest_get(running, vcpu, reg(i, 0x70), 4), ALIVE);
	}
	vcpu->hv->ops->set_reg(vcpu, RISCV_REG_CORE(regs.sp), &sp);
	atomic_fetch_add(&arrived, 1);
}

static void go_on(struct hv_vcpu *vcpu)
{
	uint64_t sp = 0;

	vcpu->hv->ops->get_reg(vcpu, RISCV_REG_CORE(regs.sp), &sp);
	CHECK_EQ(sp, SP);
	CHECK_EQ(tv_guest_get(running, vcpu, SCRATCH, 1), 0x5a);
	CHECK_EQ(tv_guest_get(running, vcpu, PRIORITY_1, 4), 3);
	for (unsigned int i = 0; i < running->n_virtio; i++)
		CHECK_EQ(tv_guest_get(running, vcpu, reg(i, 0x70), 4), ALIVE);
	atomic_fetch_add(&arrived, 1);
}

/* Whatever the state makes of it. */
static void look_around(struct hv_vcpu *vcpu)
{
	for (unsigned int i = 0; i < running->n_virtio; i++) {
		for (unsigned int n = 0; n < 2; n++)
			tv_guest_put(running, vcpu, reg(i, 0x50), n, 4);
		tv_guest_put(running, vcpu, reg(i, 0x64), tv_guest_get(running, vcpu, reg(i, 0x60), 4), 4);
		tv_guest_get(running, vcpu, reg(i, 0x100), 4);
	}
	for (unsigned int i = 0; i < 8; i++)
		tv_guest_get(running, vcpu, RISCV_UART_BASE + i, 1);
	for (unsigned int i = 0; i < 4; i++)
		tv_guest_put(running, vcpu, RISCV_IRQCHIP_BASE + 0x201004, tv_guest_get(running, vcpu, RISCV_IRQCHIP_BASE + 0x201004, 4), 4);
	atomic_fetch_add(&arrived, 1);
}

/* --- VMs --- */

struct rig {
	struct test_vm t;
	struct scripted_step step;
	int wire[2], disk;
};

static void rig_open(struct rig *r, const char *cpus, void (*code)(struct hv_vcpu *vcpu))
{
	char word[64];

	r->disk = memfd_create("disk", MFD_CLOEXEC);
	CHECK(!ftruncate(r->disk, MIB(1)) && !socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, r->wire));
	tv_init(&r->t);
	tv_set(&r->t, "cpus", cpus);
	tv_set(&r->t, "irqchip", "plic");
	tv_set(&r->t, "console", "virtio");
	tv_set(&r->t, "rng", NULL);
	tv_set(&r->t, "balloon", NULL);
	tv_set(&r->t, "9p", "/tmp,t");
	snprintf(word, sizeof(word), "/proc/self/fd/%d", r->disk);
	tv_set(&r->t, "disk", word);
	snprintf(word, sizeof(word), "mode=tap,fd=%d", r->wire[0]);
	tv_set(&r->t, "network", word);
	r->step = (struct scripted_step){ .what = STEP_CALL, .call = code };
	r->t.script[0] = &r->step;
	r->t.script_len[0] = !!code;
}

static int rig_create(struct rig *r)
{
	int created = tv_create(&r->t);

	running = r->t.vm;
	return created;
}

static void rig_close(struct rig *r)
{
	lkvm_destroy(TAKE(r->t.vm));
	tv_done(&r->t);
	close(r->wire[1]);
	close(r->disk);
}

/* Until the guest has done its part and sleeps. */
static void play(struct rig *r)
{
	unsigned int before = atomic_load(&arrived);

	CHECK_EQ(lkvm_start(r->t.vm, &r->t.e), 0);
	while (atomic_load(&arrived) == before)
		usleep(100);
	CHECK_EQ(lkvm_pause(r->t.vm), 0);
}

static uint8_t *save(struct rig *r, size_t *ret_len)
{
	struct err e = { 0 };
	int64_t n = vm_save(r->t.vm, NULL, 0, &e);
	uint8_t *buf = malloc((size_t)n + 16);

	CHECK(n > 0 && buf);
	memset(buf, 0xa5, (size_t)n + 16);
	CHECK_EQ(vm_save(r->t.vm, buf, (size_t)n - 1, &e), n);
	CHECK_EQ(vm_save(r->t.vm, buf, (size_t)n, &e), n);
	CHECK_EQ(buf[n], 0xa5);
	*ret_len = (size_t)n;
	return buf;
}

/* The VM's RAM, or what it gets. */
static void copy_ram(struct rig *r, uint8_t *buf, bool out)
{
	CHECK_EQ(out ? memory_read(r->t.vm->machine.memory, RAM, buf, RAM_SIZE) : memory_write(r->t.vm->machine.memory, RAM, buf, RAM_SIZE), 0);
}

/* Returns the state of a machine whose guest is at work. */
static uint8_t *test_round_trip(size_t *ret_len)
{
	uint8_t *state, *again, *ram = malloc(RAM_SIZE);
	struct err e = { 0 };
	size_t len, len_b;
	struct rig a, b;

	rig_open(&a, "2", begin);
	CHECK_EQ(rig_create(&a), 0);
	CHECK_EQ(vm_save(a.t.vm, NULL, 0, &e), -EBUSY);
	play(&a);
	state = save(&a, &len);
	copy_ram(&a, ram, true);
	CHECK_EQ(vm_load(a.t.vm, state, len, &e), -EBUSY);
	rig_close(&a);

	rig_open(&b, "2", go_on);
	CHECK_EQ(rig_create(&b), 0);
	CHECK_EQ(vm_load(b.t.vm, state, len, &e), 0);
	for (unsigned int i = 0; i < b.t.vm->n_virtio; i++)
		CHECK(b.t.vm->virtio[i].vd->paused); /* there is no RAM yet */
	copy_ram(&b, ram, false);
	play(&b);
	again = save(&b, &len_b);
	CHECK_EQ(len_b, len);
	CHECK(!memcmp(again, state, len));
	rig_close(&b);
	free(again);
	free(ram);
	*ret_len = len;
	return state;
}

/* --- states that are none --- */

static unsigned int n_refused, n_taken;

static void load(const uint8_t *state, size_t len, bool must_refuse)
{
	struct err e = { 0 };
	struct rig r;
	int loaded;

	rig_open(&r, "2", look_around);
	CHECK_EQ(rig_create(&r), 0);
	loaded = vm_load(r.t.vm, state, len, &e);
	if (loaded >= 0) {
		CHECK(!must_refuse);
		play(&r);
	} else {
		CHECK_EQ(loaded, -EINVAL);
		CHECK(e.text[0]);
	}
	*(loaded < 0 ? &n_refused : &n_taken) += 1;
	rig_close(&r);
}

/* In memory of just its size. */
static void load_cut(const uint8_t *state, size_t len)
{
	uint8_t *cut = malloc(len);

	memcpy(cut, state, len);
	load(cut, len, true);
	free(cut);
}

static void load_damaged(uint8_t *state, size_t len, size_t at, uint8_t mask, bool must_refuse)
{
	state[at] ^= mask;
	load(state, len, must_refuse);
	state[at] ^= mask;
}

struct part {
	uint32_t kind, index;
	uint64_t len;
};

static void test_damaged(uint8_t *state, size_t len)
{
	static const uint8_t masks[] = { 0x01, 0x80, 0xff, 0x10 };
	size_t at = 0, step;
	struct part p;

	for (; at < len; at += sizeof(p) + round_up(p.len, 8)) {
		memcpy(&p, state + at, sizeof(p));
		for (size_t k = 0; k < sizeof(p); k++)
			load_damaged(state, len, at + k, masks[k % ARRAY_SIZE(masks)], true);
		for (size_t k = 0; k <= sizeof(p) + p.len; k += MAX(p.len / 2, 7u))
			load_cut(state, at + k);
		/* The registers of a vCPU are many, and KVM's to judge. */
		step = p.kind == 2 ? 61 : 1 + p.len / 128;
		for (size_t k = 0; k < p.len; k += step)
			load_damaged(state, len, at + sizeof(p) + k, masks[k / step % ARRAY_SIZE(masks)], false);
	}
	CHECK_EQ(at, len);
	load_cut(state, len - 1);
	state = realloc(state, len + 8);
	memset(state + len, 0, 8);
	load(state, len + 8, true);
	fprintf(stderr, "%u damaged states refused, %u taken\n", n_refused, n_taken);
	CHECK(n_refused && n_taken);
	free(state);
}

/* --- a host that fails --- */

static unsigned int reads_left;

static int read_fails(struct hv_vcpu *vcpu, uint64_t id, void *value)
{
	return reads_left-- ? tv_inner->get_reg(vcpu, id, value) : -EIO;
}

static int mp_state_fails(struct hv_vcpu *vcpu, uint32_t *ret)
{
	return -EIO;
}

/* A register that is larger than any. */
static int list_grows(struct hv_vcpu *vcpu, uint64_t *ids, unsigned int max)
{
	ids[0] = KVM_REG_RISCV | 9ull << KVM_REG_SIZE_SHIFT;
	return 1;
}

static void save_fails(struct rig *r, const char *says)
{
	const size_t len = KIB(256);
	uint8_t *buf = malloc(len);
	struct err e = { 0 };

	CHECK_EQ(vm_save(r->t.vm, buf, len, &e), -EIO);
	CHECK(strstr(e.text, says));
	r->t.ops = *tv_inner;
	free(buf);
}

static void test_host_fails(const uint8_t *state, size_t len)
{
	unsigned long created, loaded, failed = 0;
	struct err e = { 0 };
	struct rig r;

	rig_open(&r, "2", begin);
	CHECK_EQ(rig_create(&r), 0);
	play(&r);
	for (unsigned int i = 0; i < 2; i++) {
		r.t.ops.get_reg = read_fails;
		reads_left = i ? r.t.n_regs + 1 : 1;
		save_fails(&r, i ? "vCPU 1" : "vCPU 0");
	}
	r.t.ops.get_mp_state = mp_state_fails;
	save_fails(&r, "vCPU 0");
	r.t.ops.reg_list = list_grows;
	save_fails(&r, "vCPU 0");
	rig_close(&r);

	rig_open(&r, "2", NULL);
	CHECK_EQ(rig_create(&r), 0);
	created = hv_scripted_calls(r.t.hv);
	CHECK_EQ(vm_load(r.t.vm, state, len, &e), 0);
	loaded = hv_scripted_calls(r.t.hv);
	rig_close(&r);
	for (unsigned long n = created + 1; n <= loaded; n++) {
		rig_open(&r, "2", NULL);
		r.t.fail_nth = n;
		CHECK_EQ(rig_create(&r), 0);
		e = (struct err){ 0 };
		if (vm_load(r.t.vm, state, len, &e) < 0) {
			CHECK(e.text[0]);
			failed++;
		}
		rig_close(&r);
	}
	CHECK(failed >= 3); /* each MP state, and the one register that is not what it is in a new vCPU */
}

int main(void)
{
	size_t len;
	uint8_t *state = test_round_trip(&len);

	test_host_fails(state, len);
	test_damaged(state, len);
	return test_result();
}
