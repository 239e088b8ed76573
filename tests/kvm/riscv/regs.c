// SPDX-License-Identifier: MIT
/*
 * What user space sees of a vCPU without running it, or nearly: its life, its registers by id, the list of these, what may be written and when, and what KVM says
 * it can do. Ids, sizes and errors as in Documentation/virt/kvm/api.rst and the UAPI headers.
 */
#include "insn.h"

#define ID(size, type, n) (KVM_REG_RISCV | KVM_REG_SIZE_##size | (type) | (n))
#define CONFIG(field) ID(U64, KVM_REG_RISCV_CONFIG, KVM_REG_RISCV_CONFIG_REG(field))
#define TIMER(field) ID(U64, KVM_REG_RISCV_TIMER, KVM_REG_RISCV_TIMER_REG(field))
#define ISA_ENABLE(n) ID(U64, KVM_REG_RISCV_ISA_EXT, KVM_REG_RISCV_ISA_MULTI_EN | (n))
#define ISA_DISABLE(n) ID(U64, KVM_REG_RISCV_ISA_EXT, KVM_REG_RISCV_ISA_MULTI_DIS | (n))
#define SBI(n) ID(U64, KVM_REG_RISCV_SBI_EXT, KVM_REG_RISCV_SBI_SINGLE | (n))
#define SBI_ENABLE(n) ID(U64, KVM_REG_RISCV_SBI_EXT, KVM_REG_RISCV_SBI_MULTI_EN | (n))
#define SBI_DISABLE(n) ID(U64, KVM_REG_RISCV_SBI_EXT, KVM_REG_RISCV_SBI_MULTI_DIS | (n))
#define MAX_IDS 1024

struct value {
	uint8_t bytes[256];
};

static struct kvm_reg_list *list_of(struct vcpu *v)
{
	struct kvm_reg_list *l = calloc(1, sizeof(*l) + MAX_IDS * sizeof(l->reg[0]));

	must(l ? 0 : -1, "memory");
	l->n = MAX_IDS;
	must(ioctl(v->fd, KVM_GET_REG_LIST, l), "KVM_GET_REG_LIST");
	return l;
}

static bool in_list(const struct kvm_reg_list *l, uint64_t id)
{
	for (uint64_t i = 0; i < l->n; i++)
		if (l->reg[i] == id)
			return true;
	return false;
}

/* ---- life ---- */

static void capabilities(void)
{
	static const struct {
		const char *name;
		int number, least, most;
	} rows[] = {
		{ "user-memory", KVM_CAP_USER_MEMORY, 1, 1 }, { "destroy-memory-region", KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1, 1 },
		{ "one-reg", KVM_CAP_ONE_REG, 1, 1 },	      { "readonly-mem", KVM_CAP_READONLY_MEM, 1, 1 },
		{ "mp-state", KVM_CAP_MP_STATE, 1, 1 },	      { "immediate-exit", KVM_CAP_IMMEDIATE_EXIT, 1, 1 },
		{ "ioeventfd", KVM_CAP_IOEVENTFD, 1, 1 },     { "device-ctrl", KVM_CAP_DEVICE_CTRL, 1, 1 },
		{ "coalesced-mmio", KVM_CAP_COALESCED_MMIO, 1, 4096 }, { "memslots", KVM_CAP_NR_MEMSLOTS, 32, 1 << 20 },
		{ "vcpus", KVM_CAP_NR_VCPUS, 1, 4096 },	      { "max-vcpus", KVM_CAP_MAX_VCPUS, 8, 1 << 20 },
		{ "gpa-bits", KVM_CAP_VM_GPA_BITS, 34, 59 },
		{ "no-such", 100000, 0, 0 },
	};
	struct vm vm;

	vm_create(&vm, 1);
	check(ioctl(vm.kvm, KVM_GET_API_VERSION, 0) == 12, "api-version", "%d", ioctl(vm.kvm, KVM_GET_API_VERSION, 0));
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		int has = ioctl(vm.fd, KVM_CHECK_EXTENSION, rows[i].number);

		check(has >= rows[i].least && has <= rows[i].most, rows[i].name, "%d, should be %d to %d", has, rows[i].least, rows[i].most);
	}
	vm_destroy(&vm);
}

static int create(struct vm *vm, uint64_t id)
{
	int fd = ioctl(vm->fd, KVM_CREATE_VCPU, id);

	return fd < 0 ? -errno : fd;
}

static void vcpu_ids(void)
{
	struct vm vm;
	int most, n, fd;

	vm_create(&vm, 2);
	/* KVM_CAP_MAX_VCPU_ID is 0: as many as vCPUs. */
	most = ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID) ?: ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	check(create(&vm, 1) == -EEXIST, "vcpu-twice", "a second vCPU 1 is there");
	check(create(&vm, (uint64_t)most) == -EINVAL, "vcpu-id-high", "vCPU %d is there", most);
	check(create(&vm, UINT32_MAX) == -EINVAL, "vcpu-id-highest", "vCPU 0xffffffff is there");
	fd = create(&vm, (uint64_t)most - 1);
	if (check(fd >= 0, "vcpu-id-last", "vCPU %d: %s", most - 1, strerror(-fd)))
		close(fd);
	vm_destroy(&vm);

	vm_create(&vm, 0);
	most = ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	for (n = 0; n <= most && n < 4096 && (fd = create(&vm, (uint64_t)n)) >= 0; n++)
		close(fd);
	check(n == most, "vcpu-most", "%d vCPUs of %d can be made", n, most);
	vm_destroy(&vm);
}

static uint32_t mp_state(struct vcpu *v)
{
	struct kvm_mp_state s = { 77 };

	must(ioctl(v->fd, KVM_GET_MP_STATE, &s), "KVM_GET_MP_STATE");
	return s.mp_state;
}

static int mp_state_set(struct vcpu *v, uint32_t state)
{
	struct kvm_mp_state s = { state };

	return ioctl(v->fd, KVM_SET_MP_STATE, &s) < 0 ? -errno : 0;
}

static void mp_states(void)
{
	uint64_t x[32] = { CODE };
	struct vm vm;
	struct vcpu *v = &vm.vcpu[1];
	int r;

	vm_create(&vm, 2);
	check(mp_state(&vm.vcpu[0]) == KVM_MP_STATE_RUNNABLE, "vcpu-0-runnable", "its state is %u", mp_state(&vm.vcpu[0]));
	check(mp_state(v) == KVM_MP_STATE_STOPPED, "vcpu-1-stopped", "its state is %u", mp_state(v));
	check(mp_state_set(v, 4711) == -EINVAL, "mp-state-wild", "it can be set");
	insn_put(&vm, CODE, STORE_TO_0);
	regs_set(v, x);
	r = run_briefly(v);
	check(r == -EINTR || r == -EAGAIN, "stopped-waits", "KVM_RUN of a stopped vCPU: %d, exit %u", r, v->run->exit_reason);
	check(reg_get(v, reg_x(0)) == CODE, "stopped-stays", "a stopped vCPU has run to 0x%" PRIx64, reg_get(v, reg_x(0)));
	check(!mp_state_set(v, KVM_MP_STATE_RUNNABLE) && mp_state(v) == KVM_MP_STATE_RUNNABLE, "runnable", "the state is %u", mp_state(v));
	r = run_to_end(v);
	check(!r, "runnable-runs", "KVM_RUN: %d, exit %u", r, v->run->exit_reason);
	check(!mp_state_set(v, KVM_MP_STATE_STOPPED) && mp_state(v) == KVM_MP_STATE_STOPPED, "stop", "the state is %u", mp_state(v));
	r = run_briefly(v);
	check(r == -EINTR || r == -EAGAIN, "stop-waits", "KVM_RUN: %d, exit %u", r, v->run->exit_reason);
	/* immediate_exit and a pending signal keep it out of the guest. */
	mp_state_set(v, KVM_MP_STATE_RUNNABLE);
	regs_set(v, x);
	v->run->immediate_exit = 1;
	r = ioctl(v->fd, KVM_RUN, 0) < 0 ? -errno : 0;
	v->run->immediate_exit = 0;
	check(r == -EINTR && reg_get(v, reg_x(0)) == CODE, "immediate-exit-first", "KVM_RUN: %d, pc 0x%" PRIx64, r, reg_get(v, reg_x(0)));
	vm_destroy(&vm);
}

/* EBREAK is the guest's own, but for who debugs it. */
static void debug(void)
{
	struct kvm_guest_debug on = { .control = KVM_GUESTDBG_ENABLE }, off = { 0 };
	uint64_t x[32] = { CODE };
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];
	int r;

	vm_create(&vm, 1);
	if (ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG) <= 0) {
		skip("debug", "the host's KVM does not offer it");
		vm_destroy(&vm);
		return;
	}
	insn_put(&vm, CODE, 0x00100073);
	insn_put(&vm, CODE + 0x800, STORE_TO_0);
	reg_set(v, REG_CSR(stvec), CODE + 0x800);
	for (unsigned int round = 0; round < 3; round++) {
		must(ioctl(v->fd, KVM_SET_GUEST_DEBUG, round % 2 ? &on : &off), "KVM_SET_GUEST_DEBUG");
		regs_set(v, x);
		reg_set(v, REG_CORE(mode), KVM_RISCV_MODE_S);
		reg_set(v, REG_CSR(scause), 0);
		r = run_to_end(v);
		if (round % 2)
			check(r == 1 && v->run->exit_reason == KVM_EXIT_DEBUG && reg_get(v, reg_x(0)) == CODE, "debug-on", "KVM_RUN: %d, exit %u, pc 0x%" PRIx64, r,
			      v->run->exit_reason, reg_get(v, reg_x(0)));
		else
			check(!r && reg_get(v, REG_CSR(scause)) == 3 && reg_get(v, REG_CSR(sepc)) == CODE, "debug-off", "KVM_RUN: %d, exit %u, scause %" PRIu64, r,
			      v->run->exit_reason, reg_get(v, REG_CSR(scause)));
	}
	vm_destroy(&vm);
}

/* ---- the list ---- */

/* It says how long it is, each id is there once and can be read with its size, and what was read can be written. */
static void list(void)
{
	struct kvm_reg_list none = { 0 };
	uint64_t twice = 0, unreadable = 0, unwritable = 0, changed = 0;
	struct kvm_reg_list *l;
	struct value before, after;
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];
	int r;

	vm_create(&vm, 1);
	r = ioctl(v->fd, KVM_GET_REG_LIST, &none) < 0 ? -errno : 0;
	l = list_of(v);
	check(r == -E2BIG && none.n == l->n, "list-size", "%s, %" PRIu64 " ids of %" PRIu64, strerror(-r), (uint64_t)none.n, (uint64_t)l->n);
	for (uint64_t i = 0; i < l->n; i++) {
		uint64_t id = l->reg[i];

		for (uint64_t k = 0; k < i; k++)
			if (l->reg[k] == id)
				twice = id;
		memset(&before, 0xa5, sizeof(before));
		if (reg_read(v, id, &before)) {
			unreadable = id;
			continue;
		}
		r = reg_write(v, id, &before);
		/* That a timer is off which is off already may be refused. */
		if (r && !(id == TIMER(state) && r == -EINVAL))
			unwritable = id;
		memset(&after, 0xa5, sizeof(after));
		if (id != TIMER(time) && (reg_read(v, id, &after) || memcmp(&before, &after, sizeof(before))))
			changed = id;
	}
	check(!twice, "list-unique", "0x%" PRIx64 " is listed twice", twice);
	check(!unreadable, "list-readable", "0x%" PRIx64 " cannot be read", unreadable);
	check(!unwritable, "list-writable", "0x%" PRIx64 " cannot be written with what was read", unwritable);
	check(!changed, "list-stable", "0x%" PRIx64 " is another after it was written with what was read", changed);
	printf("# %" PRIu64 " registers\n", (uint64_t)l->n);
	free(l);
	vm_destroy(&vm);
}

/* What can be read is listed, but for the sets of extensions, which are other ways to the same; every size but the right one is refused. */
static void list_complete(void)
{
	static const struct {
		const char *name;
		uint64_t type;
		unsigned int n, least;
	} types[] = {
		{ "config", KVM_REG_RISCV_CONFIG, 64, 4 },
		{ "core", KVM_REG_RISCV_CORE, 64, 33 },
		{ "csr", KVM_REG_RISCV_CSR | KVM_REG_RISCV_CSR_GENERAL, 64, 9 },
		{ "csr-smstateen", KVM_REG_RISCV_CSR | KVM_REG_RISCV_CSR_SMSTATEEN, 64, 0 },
		{ "csr-of-no-kind", KVM_REG_RISCV_CSR | UINT64_C(0x7) << KVM_REG_RISCV_SUBTYPE_SHIFT, 16, 0 },
		{ "timer", KVM_REG_RISCV_TIMER, 16, 4 },
		{ "fp-f", KVM_REG_RISCV_FP_F, 64, 33 },
		{ "fp-d", KVM_REG_RISCV_FP_D, 64, 33 },
		{ "isa", KVM_REG_RISCV_ISA_EXT | KVM_REG_RISCV_ISA_SINGLE, 512, 6 },
		{ "sbi", KVM_REG_RISCV_SBI_EXT | KVM_REG_RISCV_SBI_SINGLE, 64, 8 },
		{ "vector", KVM_REG_RISCV_VECTOR, 64, 0 },
		{ "sbi-state", KVM_REG_RISCV_SBI_STATE, 16, 0 },
		{ "of-no-kind", UINT64_C(0x7f) << KVM_REG_RISCV_TYPE_SHIFT, 16, 0 },
		{ "of-no-kind-0", 0, 16, 0 },
	};
	struct kvm_reg_list *l;
	struct value value;
	struct vm vm;

	vm_create(&vm, 1);
	l = list_of(&vm.vcpu[0]);
	for (unsigned int t = 0; t < ARRAY_SIZE(types); t++) {
		uint64_t missing = 0, listed = 0;
		int odd = 0;

		for (unsigned int n = 0; n < types[t].n; n++) {
			for (uint64_t size = 0; size < 9; size++) {
				uint64_t id = KVM_REG_RISCV | size << KVM_REG_SIZE_SHIFT | types[t].type | n;
				int r = reg_read(&vm.vcpu[0], id, &value);

				listed += in_list(l, id);
				if (!r && !in_list(l, id))
					missing = id;
				if (r && r != -EINVAL && r != -ENOENT)
					odd = r;
			}
		}
		check(!missing, types[t].name, "0x%" PRIx64 " can be read and is not listed", missing);
		check(!odd, types[t].name, "what is not there is an error of its own: %s", strerror(-odd));
		check(listed >= types[t].least, types[t].name, "only %" PRIu64 " registers", listed);
	}
	free(l);
	vm_destroy(&vm);
}

/* ---- errors ---- */

static void errors(void)
{
	static const struct {
		const char *name;
		uint64_t id;
		int get;
	} rows[] = {
		{ "config-size", ID(U32, KVM_REG_RISCV_CONFIG, 0), -EINVAL },	{ "config-unknown", ID(U64, KVM_REG_RISCV_CONFIG, 63), -ENOENT },
		{ "core-size", ID(U32, KVM_REG_RISCV_CORE, 1), -EINVAL },	{ "core-unknown", ID(U64, KVM_REG_RISCV_CORE, 33), -ENOENT },
		{ "csr-size", ID(U32, KVM_REG_RISCV_CSR, 1), -EINVAL },		{ "csr-unknown", ID(U64, KVM_REG_RISCV_CSR, 63), -ENOENT },
		{ "timer-size", ID(U32, KVM_REG_RISCV_TIMER, 1), -EINVAL },	{ "timer-unknown", ID(U64, KVM_REG_RISCV_TIMER, 4), -ENOENT },
		{ "fp-f-size", ID(U64, KVM_REG_RISCV_FP_F, 1), -EINVAL },	{ "fp-f-unknown", ID(U32, KVM_REG_RISCV_FP_F, 33), -ENOENT },
		{ "fp-d-size", ID(U32, KVM_REG_RISCV_FP_D, 1), -EINVAL },	{ "fp-d-unknown", ID(U64, KVM_REG_RISCV_FP_D, 33), -ENOENT },
		{ "fcsr-size", ID(U64, KVM_REG_RISCV_FP_D, 32), -EINVAL },	{ "isa-size", ID(U32, KVM_REG_RISCV_ISA_EXT, 0), -EINVAL },
		{ "isa-unknown", REG_ISA(500), -ENOENT },				{ "isa-set-unknown", ISA_ENABLE(99), -ENOENT },
		{ "isa-of-no-kind", ID(U64, KVM_REG_RISCV_ISA_EXT, UINT64_C(5) << KVM_REG_RISCV_SUBTYPE_SHIFT), -ENOENT },
		{ "sbi-size", ID(U32, KVM_REG_RISCV_SBI_EXT, 0), -EINVAL },	{ "sbi-unknown", SBI(60), -ENOENT },
		{ "sbi-set-unknown", SBI_ENABLE(99), -ENOENT },
		{ "sbi-of-no-kind", ID(U64, KVM_REG_RISCV_SBI_EXT, UINT64_C(5) << KVM_REG_RISCV_SUBTYPE_SHIFT), -ENOENT },
		{ "type-unknown", ID(U64, UINT64_C(0x7f) << KVM_REG_RISCV_TYPE_SHIFT, 0), -ENOENT },
	};
	struct value value = { { 0 } };
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];

	vm_create(&vm, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		int get = reg_read(v, rows[i].id, &value), set = reg_write(v, rows[i].id, &value);

		/* Of what is in no header, either word for "there is none" will do. */
		check(get == rows[i].get || (rows[i].get == -ENOENT && get == -EINVAL && strstr(rows[i].name, "fp-d-unknown")), rows[i].name, "reading it: %d, should be %d",
		      get, rows[i].get);
		check(set == get, rows[i].name, "writing it: %d, should be %d", set, get);
	}
	check(reg_read(v, REG_CORE(regs.a0), (void *)1) == -EFAULT, "unmapped-get", "a register is read to where no memory is");
	check(reg_write(v, REG_CORE(regs.a0), (void *)1) == -EFAULT, "unmapped-set", "a register is written from where no memory is");
	check(ioctl(v->fd, KVM_INTERRUPT, (void *)1) < 0 && errno == EFAULT, "unmapped-interrupt", "KVM_INTERRUPT: %s", strerror(errno));
	vm_destroy(&vm);
}

/* ---- what is written is read ---- */

static void core_and_csrs(void)
{
	static const struct {
		const char *name;
		uint64_t id, mask;
	} csrs[] = {
		{ "stvec", REG_CSR(stvec), ~UINT64_C(3) }, { "sscratch", REG_CSR(sscratch), ~UINT64_C(0) }, { "sepc", REG_CSR(sepc), ~UINT64_C(3) },
		{ "scause", REG_CSR(scause), 0xff },	   { "stval", REG_CSR(stval), ~UINT64_C(0) },	     { "satp", REG_CSR(satp), 0xfffff },
		{ "scounteren", REG_CSR(scounteren), 7 },  { "sie", REG_CSR(sie), 0x222 },		     { "sip", REG_CSR(sip), 0x202 },
		{ "sstatus", REG_CSR(sstatus), 0x6122 },   { "mode", REG_CORE(mode), 1 },
	};
	uint64_t x[32], after[32];
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];

	vm_create(&vm, 1);
	for (unsigned int n = 0; n < 32; n++)
		x[n] = pattern(n, 9);
	regs_set(v, x);
	regs_get(v, after);
	check(!memcmp(x, after, sizeof(x)), "core", "a register is another than was written");
	for (unsigned int i = 0; i < ARRAY_SIZE(csrs); i++) {
		for (unsigned int k = 0; k < 2; k++) {
			uint64_t value = (k ? ~pattern(i, 9) : pattern(i, 9)) & csrs[i].mask, is;

			reg_set(v, csrs[i].id, value);
			is = reg_get(v, csrs[i].id);
			check((is & csrs[i].mask) == value, csrs[i].name, "is 0x%" PRIx64 ", should be 0x%" PRIx64, is, value);
		}
	}
	/* What is WPRI does not reach vsstatus: there QEMU takes bits for TVM, MPRV and MPP of mstatus, and the host ends. */
	if (kvm_is_ours()) {
		reg_set(v, REG_CSR(sstatus), ~UINT64_C(0));
		x[0] = reg_get(v, REG_CSR(sstatus));
		check(x[0] == UINT64_C(0x2000c6122), "sstatus-wpri", "is 0x%" PRIx64, x[0]);
	} else {
		skip("sstatus-wpri", "upstream's KVM writes what user space gives");
	}
	vm_destroy(&vm);
}

/* Configuration is open until the vCPU has run once; then only what it is already can be written. */
static void config(void)
{
	static const struct {
		const char *name;
		uint64_t id;
	} ids[] = { { "mvendorid", CONFIG(mvendorid) }, { "marchid", CONFIG(marchid) }, { "mimpid", CONFIG(mimpid) } };
	static const struct {
		const char *name;
		uint64_t id;
	} fixed[] = { { "zicbom-block-size", CONFIG(zicbom_block_size) }, { "zicboz-block-size", CONFIG(zicboz_block_size) }, { "satp-mode", CONFIG(satp_mode) },
		      { "frequency", TIMER(frequency) } };
	uint64_t isa, x[32] = { CODE }, value;
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];
	int r;

	vm_create(&vm, 1);
	isa = reg_get(v, CONFIG(isa));
	check((isa & 0x1105) == 0x1105 && !(isa >> 26) && !(isa >> 7 & 1), "isa", "0x%" PRIx64, isa);
	check(reg_get(v, CONFIG(satp_mode)) >= 8 && reg_get(v, CONFIG(satp_mode)) <= 10, "satp-mode", "%" PRIu64, reg_get(v, CONFIG(satp_mode)));
	for (unsigned int i = 0; i < ARRAY_SIZE(fixed); i++) {
		if (reg_read(v, fixed[i].id, &value) == -ENOENT) {
			skip(fixed[i].name, "not on this host");
			continue;
		}
		check(!reg_write(v, fixed[i].id, &value), fixed[i].name, "cannot be written with what it is");
		value++;
		check(reg_write(v, fixed[i].id, &value) == -EINVAL, fixed[i].name, "can be written with something else");
	}
	value = isa | UINT64_C(1) << 30;
	check(reg_write(v, CONFIG(isa), &value) == -EINVAL, "isa-high", "bit 30 can be written");
	/* Single letters without a switch stay; F and D can go, and come again. */
	reg_set(v, CONFIG(isa), isa & ~UINT64_C(0x0d));
	check((reg_get(v, CONFIG(isa)) & 0x0d) == 0x05, "isa-without-d", "0x%" PRIx64, reg_get(v, CONFIG(isa)));
	check(reg_read(v, ID(U64, KVM_REG_RISCV_FP_D, 0), &value) == -ENOENT || reg_read(v, ID(U64, KVM_REG_RISCV_FP_D, 0), &value) == -EINVAL, "fp-d-without-d",
	      "a vCPU without D has its registers");
	reg_set(v, CONFIG(isa), isa);
	check(reg_get(v, CONFIG(isa)) == isa, "isa-again", "0x%" PRIx64, reg_get(v, CONFIG(isa)));
	for (unsigned int i = 0; i < ARRAY_SIZE(ids); i++) {
		reg_set(v, ids[i].id, 0x1234 + i);
		check(reg_get(v, ids[i].id) == 0x1234 + i, ids[i].name, "0x%" PRIx64, reg_get(v, ids[i].id));
	}
	insn_put(&vm, CODE, STORE_TO_0);
	regs_set(v, x);
	must(run_to_end(v) ? -1 : 0, "a first run");
	for (unsigned int i = 0; i < ARRAY_SIZE(ids); i++) {
		value = 0x1234 + i;
		check(!reg_write(v, ids[i].id, &value), ids[i].name, "a vCPU that has run refuses what it has");
		value++;
		check(reg_write(v, ids[i].id, &value) == -EBUSY, ids[i].name, "can be changed when the vCPU has run");
	}
	value = isa & ~UINT64_C(8);
	r = reg_write(v, CONFIG(isa), &value);
	check(r == -EBUSY, "isa-late", "extensions of a vCPU that has run can be changed: %d", r);
	check(!reg_write(v, CONFIG(isa), &isa), "isa-late-same", "a vCPU that has run refuses what it has");
	value = 0;
	check(reg_write(v, REG_ISA(KVM_RISCV_ISA_EXT_D), &value) == -EBUSY, "isa-ext-late", "D of a vCPU that has run can be taken away");
	check(reg_write(v, SBI(KVM_RISCV_SBI_EXT_TIME), &value) == -EBUSY, "sbi-ext-late", "SBI of a vCPU that has run can be taken away");
	vm_destroy(&vm);
}

/* Extensions one by one and in sets say the same, and so do the letters of the configuration. */
static void extensions(void)
{
	static const struct {
		const char *name;
		uint64_t single, enable, disable;
		unsigned int n, fixed, off; /* one that cannot go, one that can */
	} kinds[] = {
		{ "isa-ext", REG_ISA(0), ISA_ENABLE(0), ISA_DISABLE(0), KVM_RISCV_ISA_EXT_MAX, KVM_RISCV_ISA_EXT_A, KVM_RISCV_ISA_EXT_D },
		{ "sbi-ext", SBI(0), SBI_ENABLE(0), SBI_DISABLE(0), KVM_RISCV_SBI_EXT_MAX, KVM_RISCV_SBI_EXT_MAX, KVM_RISCV_SBI_EXT_SRST },
	};
	uint64_t value, isa;
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];

	vm_create(&vm, 1);
	for (unsigned int k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (unsigned int word = 0; word <= (kinds[k].n - 1) / 64; word++) {
			uint64_t on = 0, enabled = 0, disabled = ~UINT64_C(0);

			/* The headers may know of more than the kernel. */
			if (!word || reg_read(v, kinds[k].enable + word, &enabled) != -ENOENT) {
				enabled = reg_get(v, kinds[k].enable + word);
				disabled = reg_get(v, kinds[k].disable + word);
			}
			for (unsigned int i = 64 * word; i < kinds[k].n && i < 64 * word + 64; i++)
				if (!reg_read(v, kinds[k].single + i, &value) && value)
					on |= UINT64_C(1) << i % 64;
			check(enabled == on, kinds[k].name, "enabled one by one 0x%" PRIx64 ", as a set 0x%" PRIx64, on, enabled);
			check(disabled == ~enabled, kinds[k].name, "enabled 0x%" PRIx64 ", disabled 0x%" PRIx64, enabled, disabled);
		}
		value = 0;
		check(!reg_write(v, kinds[k].single + kinds[k].off, &value) && !reg_get(v, kinds[k].single + kinds[k].off), kinds[k].name, "one cannot be taken away");
		value = UINT64_C(1) << kinds[k].off;
		check(!reg_write(v, kinds[k].enable, &value) && reg_get(v, kinds[k].single + kinds[k].off) == 1, kinds[k].name, "a set does not enable");
		check(!reg_write(v, kinds[k].disable, &value) && !reg_get(v, kinds[k].single + kinds[k].off), kinds[k].name, "a set does not disable");
		value = 1;
		check(!reg_write(v, kinds[k].single + kinds[k].off, &value) && reg_get(v, kinds[k].single + kinds[k].off) == 1, kinds[k].name, "one cannot come again");
		if (kinds[k].fixed < kinds[k].n) {
			value = 0;
			check(reg_write(v, kinds[k].single + kinds[k].fixed, &value) == -EINVAL, kinds[k].name, "what has no switch can be taken away");
			value = 1;
			check(!reg_write(v, kinds[k].single + kinds[k].fixed, &value), kinds[k].name, "what is there cannot be written so");
		}
	}
	value = 2;
	check(reg_write(v, SBI(KVM_RISCV_SBI_EXT_TIME), &value) == -EINVAL, "sbi-ext-value", "2 can be written");
	value = 1;
	check(reg_write(v, REG_ISA(KVM_RISCV_ISA_EXT_H), &value) < 0, "isa-h", "a guest can have the hypervisor extension");
	isa = reg_get(v, CONFIG(isa));
	check((isa >> 3 & 1) == reg_get(v, REG_ISA(KVM_RISCV_ISA_EXT_D)) && (isa >> 5 & 1) == reg_get(v, REG_ISA(KVM_RISCV_ISA_EXT_F)), "isa-letters", "0x%" PRIx64, isa);
	vm_destroy(&vm);
}

static void timer(void)
{
	uint64_t t, later;
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];

	vm_create(&vm, 1);
	check(reg_get(v, TIMER(frequency)) > 1000, "timer-frequency", "%" PRIu64, reg_get(v, TIMER(frequency)));
	t = reg_get(v, TIMER(time));
	check(t < reg_get(v, TIMER(frequency)) * 5, "timer-starts", "a new VM's time is %" PRIu64, t);
	usleep(10000);
	later = reg_get(v, TIMER(time));
	check(later >= t + reg_get(v, TIMER(frequency)) / 100, "timer-goes", "from %" PRIu64 " to %" PRIu64 " in 10 ms", t, later);
	reg_set(v, TIMER(time), UINT64_C(1) << 60);
	later = reg_get(v, TIMER(time)) - (UINT64_C(1) << 60);
	check(later < reg_get(v, TIMER(frequency)) * 5, "timer-set", "%" PRIu64 " behind what was written", later);
	reg_set(v, TIMER(compare), UINT64_C(1) << 61);
	check(reg_get(v, TIMER(compare)) == UINT64_C(1) << 61, "timer-compare", "0x%" PRIx64, reg_get(v, TIMER(compare)));
	/* With Sstc, the guest's timer is never off. */
	t = reg_get(v, TIMER(state));
	check(t == KVM_RISCV_TIMER_STATE_OFF || t == KVM_RISCV_TIMER_STATE_ON, "timer-state", "%" PRIu64, t);
	vm_destroy(&vm);
}

int main(void)
{
	capabilities();
	vcpu_ids();
	mp_states();
	debug();
	list();
	list_complete();
	errors();
	core_and_csrs();
	config();
	extensions();
	timer();
	return finish();
}
