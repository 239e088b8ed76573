// SPDX-License-Identifier: MIT
/*
 * SBI, call by call: what comes back in a0 and a1, what leaves the guest and with what, and which registers are kept (all others). The calls are made with the
 * vCPU's registers set by user space, see insn.h.
 */
#include <sys/mount.h>

#include "insn.h"

#define SUCCESS 0
#define FAILED -1
#define NOT_SUPPORTED -2
#define INVALID_PARAM -3
#define INVALID_ADDRESS -5
#define ALREADY_AVAILABLE -6
#define ALL UINT64_MAX
#define NOWHERE UINT64_C(0x20000000)
#define DATA (CODE + 0x1000)
#define LEGACY(n) (n)
#define ENABLED(extension) (KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_SBI_EXT | KVM_REG_RISCV_SBI_SINGLE | (extension))
#define CONFIG(field) (KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_CONFIG | KVM_REG_RISCV_CONFIG_REG(field))
#define TIMER(field) (KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_TIMER | KVM_REG_RISCV_TIMER_REG(field))
#define A0 10

/* Returned to the guest; left for user space as an SBI call; left as a system event; trapped in the guest. */
enum end { RETURNS, FORWARDED, SHUTDOWN, RESET, TRAPS, OTHER };
static const char *const end_names[] = { "returns", "is forwarded", "is a shutdown", "is a reset", "traps", "ends in another way" };

struct call {
	const char *name;
	uint64_t extension, function, a[6];
	enum end end;
	int64_t error;
	uint64_t value; /* of TRAPS: the cause */
};

#define ANY UINT64_C(0xaaaaaaaaaaaaaaaa) /* as a value: not looked at */
#define KEPT UINT64_C(0xbbbbbbbbbbbbbbbb) /* as a value: a1 is as it was (SBI v0.1) */

static void call_prepare(struct vcpu *v, const struct call *c, uint64_t x[32])
{
	uint64_t at = insn_put(v->vm, CODE, ECALL);

	insn_put(v->vm, at, STORE_TO_0);
	insn_put(v->vm, CODE + 0x800, STORE_TO_0);
	for (unsigned int n = 1; n < 32; n++)
		x[n] = pattern(n, c->extension + c->function);
	x[0] = CODE;
	memcpy(&x[A0], c->a, sizeof(c->a));
	x[16] = c->function;
	x[17] = c->extension;
	regs_set(v, x);
	reg_set(v, REG_CORE(mode), KVM_RISCV_MODE_S);
	reg_set(v, REG_CSR(sstatus), 0);
	reg_set(v, REG_CSR(stvec), CODE + 0x800);
	reg_set(v, REG_CSR(scause), ANY);
}

/* Makes the call; the registers after it in x. What user space would answer is `error` and `value`. */
static enum end call(struct vcpu *v, const struct call *c, uint64_t x[32])
{
	const struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_run *run = v->run;
	enum end end = RETURNS;
	int r;

	call_prepare(v, c, x);
	must(ioctl(v->fd, KVM_SET_MP_STATE, &runnable), "KVM_SET_MP_STATE");
	r = run_to_end(v);
	if (r == 1 && run->exit_reason == KVM_EXIT_RISCV_SBI) {
		end = FORWARDED;
		if (run->riscv_sbi.extension_id != c->extension || run->riscv_sbi.function_id != c->function ||
		    memcmp((const void *)run->riscv_sbi.args, c->a, sizeof(c->a)))
			fail(c->name, "is forwarded as another call");
		if (run->riscv_sbi.ret[0] != (uint64_t)NOT_SUPPORTED || run->riscv_sbi.ret[1])
			fail(c->name, "is not forwarded with \"not supported\" as the answer of who does not know it");
		run->riscv_sbi.ret[0] = (uint64_t)c->error;
		run->riscv_sbi.ret[1] = c->value;
		r = run_to_end(v);
	}
	if (r == 1 && run->exit_reason == KVM_EXIT_SYSTEM_EVENT) {
		end = run->system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN ? SHUTDOWN : run->system_event.type == KVM_SYSTEM_EVENT_RESET ? RESET : OTHER;
		/* The reason is where older kernels have their flags, too. */
		if (run->system_event.data[0] != c->value || (ioctl(v->vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_SYSTEM_EVENT_DATA) > 0 && run->system_event.ndata != 1))
			fail(c->name, "the reason is %" PRIu64 ", should be %" PRIu64, (uint64_t)run->system_event.data[0], c->value);
		return end;
	}
	if (r)
		return OTHER;
	if (reg_get(v, REG_CSR(scause)) != ANY)
		end = TRAPS;
	return end;
}

static void expect(struct vcpu *v, const struct call *c)
{
	uint64_t x[32], after[32];
	enum end end = call(v, c, x);

	if (end != c->end) {
		fail(c->name, "%s, and should be one that %s (exit %u)", end_names[end], end_names[c->end], v->run->exit_reason);
		return;
	}
	if (end == SHUTDOWN || end == RESET) {
		check(true, c->name, "-");
		return;
	}
	regs_get(v, after);
	if (end == TRAPS) {
		check(reg_get(v, REG_CSR(scause)) == c->value && reg_get(v, REG_CSR(stval)) == c->a[0] && reg_get(v, REG_CSR(sepc)) == CODE, c->name,
		      "scause %" PRIu64 ", stval 0x%" PRIx64 ", sepc 0x%" PRIx64, reg_get(v, REG_CSR(scause)), reg_get(v, REG_CSR(stval)),
		      reg_get(v, REG_CSR(sepc)));
		x[0] = CODE + 0x800 + 4;
	} else {
		/* Upstream's does not support the type where the specification has an invalid parameter. */
		bool srst = c->extension == SBI_SRST && after[A0] == (uint64_t)NOT_SUPPORTED;

		if (!check(after[A0] == (uint64_t)c->error || srst, c->name, "a0 is %" PRId64 ", should be %" PRId64, (int64_t)after[A0], c->error))
			return;
		if (c->value != ANY && c->value != KEPT && after[A0 + 1] != c->value)
			fail(c->name, "a1 is 0x%" PRIx64 ", should be 0x%" PRIx64, after[A0 + 1], c->value);
		x[0] = CODE + 8;
		x[A0] = after[A0];
		if (c->value != KEPT)
			x[A0 + 1] = after[A0 + 1];
	}
	for (unsigned int n = 0; n < 32; n++)
		if (x[n] != after[n])
			fail(c->name, "x%u is 0x%" PRIx64 ", was 0x%" PRIx64, n, after[n], x[n]);
}

/* SBI v0.1 is an option of the kernel's. */
static bool legacy;

static bool is_legacy(const struct call *c)
{
	return c->extension <= LEGACY(8) || (c->extension == SBI_BASE && c->function == 3 && c->a[0] <= LEGACY(8));
}

static void look_for_legacy(void)
{
	static const struct call probe = { "probe-legacy", SBI_BASE, 3, { LEGACY(0) }, RETURNS, SUCCESS, ANY };
	uint64_t x[32];
	struct vm vm;

	vm_create(&vm, 1);
	legacy = call(&vm.vcpu[0], &probe, x) == RETURNS && reg_get(&vm.vcpu[0], reg_x(A0 + 1)) == 1;
	vm_destroy(&vm);
	if (!legacy)
		skip("legacy", "the host's kernel is built without SBI v0.1");
}

static void expect_all(struct vcpu *v, const struct call *rows, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (legacy || !is_legacy(&rows[i]))
			expect(v, &rows[i]);
}

/* ---- the calls of a hart that is alone ---- */

static const struct call calls[] = {
	{ "base-spec-version", SBI_BASE, 0, { 0 }, RETURNS, SUCCESS, ANY },
	{ "base-implementation", SBI_BASE, 1, { 0 }, RETURNS, SUCCESS, 3 },
	{ "base-implementation-version", SBI_BASE, 2, { 0 }, RETURNS, SUCCESS, ANY },
	{ "base-mvendorid", SBI_BASE, 4, { 0 }, RETURNS, SUCCESS, 0x5151 },
	{ "base-marchid", SBI_BASE, 5, { 0 }, RETURNS, SUCCESS, 0x6161 },
	{ "base-mimpid", SBI_BASE, 6, { 0 }, RETURNS, SUCCESS, 0x7171 },
	{ "base-7", SBI_BASE, 7, { 0 }, RETURNS, NOT_SUPPORTED, 0 },
	{ "base-high", SBI_BASE, ALL, { 0 }, RETURNS, NOT_SUPPORTED, 0 },
	{ "probe-base", SBI_BASE, 3, { SBI_BASE }, RETURNS, SUCCESS, 1 },
	{ "probe-time", SBI_BASE, 3, { SBI_TIME }, RETURNS, SUCCESS, 1 },
	{ "probe-ipi", SBI_BASE, 3, { SBI_IPI }, RETURNS, SUCCESS, 1 },
	{ "probe-rfence", SBI_BASE, 3, { SBI_RFENCE }, RETURNS, SUCCESS, 1 },
	{ "probe-hsm", SBI_BASE, 3, { SBI_HSM }, RETURNS, SUCCESS, 1 },
	{ "probe-srst", SBI_BASE, 3, { SBI_SRST }, RETURNS, SUCCESS, 1 },
	{ "probe-set-timer", SBI_BASE, 3, { LEGACY(0) }, RETURNS, SUCCESS, 1 },
	{ "probe-shutdown", SBI_BASE, 3, { LEGACY(8) }, RETURNS, SUCCESS, 1 },
	{ "probe-9", SBI_BASE, 3, { 9 }, RETURNS, SUCCESS, 0 },
	{ "probe-unknown", SBI_BASE, 3, { 0x12345678 }, RETURNS, SUCCESS, 0 },
	{ "probe-high", SBI_BASE, 3, { UINT64_C(0x100000000) | SBI_TIME }, RETURNS, SUCCESS, 0 },
	{ "probe-experimental", SBI_BASE, 3, { 0x08000000 }, FORWARDED, SUCCESS, 0x1234 },
	{ "probe-vendor", SBI_BASE, 3, { 0x09ffffff }, FORWARDED, SUCCESS, 0x4321 },
	{ "time", SBI_TIME, 0, { ALL }, RETURNS, SUCCESS, 0 },
	{ "time-1", SBI_TIME, 1, { ALL }, RETURNS, NOT_SUPPORTED, 0 },
	{ "ipi-1", SBI_IPI, 1, { 1 }, RETURNS, NOT_SUPPORTED, 0 },
	{ "fence-i", SBI_RFENCE, 0, { 1 }, RETURNS, SUCCESS, 0 },
	{ "fence-i-all", SBI_RFENCE, 0, { 0, ALL }, RETURNS, SUCCESS, 0 },
	{ "sfence-vma", SBI_RFENCE, 1, { 1, 0, 0x80000000, 0x10000 }, RETURNS, SUCCESS, 0 },
	{ "sfence-vma-all", SBI_RFENCE, 1, { 1, 0, 0, 0 }, RETURNS, SUCCESS, 0 },
	{ "sfence-vma-whole", SBI_RFENCE, 1, { 1, 0, 0x1000, ALL }, RETURNS, SUCCESS, 0 },
	{ "sfence-vma-large", SBI_RFENCE, 1, { 0, ALL, 0, UINT64_C(0x4000000000) }, RETURNS, SUCCESS, 0 },
	{ "sfence-vma-asid", SBI_RFENCE, 2, { 1, 0, 0x80000000, 0x10000, 5 }, RETURNS, SUCCESS, 0 },
	{ "sfence-vma-asid-all", SBI_RFENCE, 2, { 0, ALL, 0, ALL, 5 }, RETURNS, SUCCESS, 0 },
	{ "hfence-gvma-vmid", SBI_RFENCE, 3, { 1 }, RETURNS, NOT_SUPPORTED, 0 },
	{ "hfence-gvma", SBI_RFENCE, 4, { 1 }, RETURNS, NOT_SUPPORTED, 0 },
	{ "hfence-vvma-asid", SBI_RFENCE, 5, { 1 }, RETURNS, NOT_SUPPORTED, 0 },
	{ "hfence-vvma", SBI_RFENCE, 6, { 1 }, RETURNS, NOT_SUPPORTED, 0 },
	{ "rfence-7", SBI_RFENCE, 7, { 1 }, RETURNS, NOT_SUPPORTED, 0 },
	{ "hsm-status", SBI_HSM, SBI_HSM_STATUS, { 0 }, RETURNS, SUCCESS, 0 },
	{ "hsm-status-stopped", SBI_HSM, SBI_HSM_STATUS, { 1 }, RETURNS, SUCCESS, 1 },
	{ "hsm-start-none", SBI_HSM, SBI_HSM_START, { 77, CODE }, RETURNS, INVALID_PARAM, 0 },
	{ "hsm-start-self", SBI_HSM, SBI_HSM_START, { 0, CODE }, RETURNS, ALREADY_AVAILABLE, 0 },
	{ "hsm-suspend-nonretentive", SBI_HSM, SBI_HSM_SUSPEND, { 0x80000000, CODE }, RETURNS, NOT_SUPPORTED, 0 },
	{ "hsm-suspend-reserved", SBI_HSM, SBI_HSM_SUSPEND, { 1 }, RETURNS, INVALID_PARAM, 0 },
	{ "hsm-status-wide", SBI_HSM, SBI_HSM_STATUS, { UINT64_C(0x100000001) }, RETURNS, INVALID_PARAM, 0 },
	{ "hsm-start-wide", SBI_HSM, SBI_HSM_START, { UINT64_C(0x100000001), CODE }, RETURNS, INVALID_PARAM, 0 },
	{ "hsm-4", SBI_HSM, 4, { 0 }, RETURNS, NOT_SUPPORTED, 0 },
	{ "srst-type", SBI_SRST, 0, { 3, 0 }, RETURNS, INVALID_PARAM, 0 },
	{ "srst-1", SBI_SRST, 1, { 0, 0 }, RETURNS, NOT_SUPPORTED, 0 },
	{ "dbcn-write", SBI_DBCN, 0, { 5, DATA, 0 }, FORWARDED, SUCCESS, 5 },
	{ "dbcn-read", SBI_DBCN, 1, { 5, DATA, 0 }, FORWARDED, INVALID_PARAM, 0 },
	{ "dbcn-write-byte", SBI_DBCN, 2, { 'x' }, FORWARDED, SUCCESS, 0 },
	{ "dbcn-3", SBI_DBCN, 3, { 0 }, RETURNS, NOT_SUPPORTED, 0 },
	{ "experimental", 0x08000000, 3, { 1, 2, 3, 4, 5, 6 }, FORWARDED, SUCCESS, 0x7777 },
	{ "experimental-last", 0x08ffffff, 3, { 6, 5, 4, 3, 2, 1 }, FORWARDED, FAILED, 0x7777 },
	{ "vendor", 0x09000000, ALL, { ALL, ALL, 3, 4, 5, 6 }, FORWARDED, -77, ALL },
	{ "vendor-last", 0x09ffffff, 0, { 1, 2, 3, 4, 5, 6 }, FORWARDED, SUCCESS, 0 },
	{ "firmware", 0x0a000000, 0, { 1, 2, 3 }, RETURNS, NOT_SUPPORTED, 0 },
	{ "unknown", 0x12345678, 9, { 1, 2, 3 }, RETURNS, NOT_SUPPORTED, 0 },
	{ "unknown-high", ALL, ALL, { 1, 2, 3 }, RETURNS, NOT_SUPPORTED, 0 },
	{ "unknown-wide", UINT64_C(0x100000000) | SBI_BASE, 0, { 1, 2, 3 }, RETURNS, NOT_SUPPORTED, 0 },
	{ "legacy-9", LEGACY(9), 0, { 1 }, RETURNS, NOT_SUPPORTED, 0 },
	{ "legacy-15", LEGACY(15), 0, { 1 }, RETURNS, NOT_SUPPORTED, 0 },
	{ "legacy-set-timer", LEGACY(0), 0, { ALL }, RETURNS, SUCCESS, KEPT },
	{ "legacy-putchar", LEGACY(1), 0, { 'x' }, FORWARDED, SUCCESS, 0 },
	{ "legacy-getchar", LEGACY(2), 0, { 0 }, FORWARDED, 'y', 0 },
	{ "legacy-clear-ipi", LEGACY(3), 0, { 0 }, RETURNS, SUCCESS, KEPT },
	{ "legacy-fence-i", LEGACY(5), 0, { DATA }, RETURNS, SUCCESS, KEPT },
	{ "legacy-fence-i-all", LEGACY(5), 0, { 0 }, RETURNS, SUCCESS, KEPT },
	{ "legacy-sfence-vma", LEGACY(6), 0, { DATA, 0x80000000, 0x10000 }, RETURNS, SUCCESS, KEPT },
	{ "legacy-sfence-vma-all", LEGACY(6), 0, { DATA, 0, 0 }, RETURNS, SUCCESS, KEPT },
	{ "legacy-sfence-vma-asid", LEGACY(7), 0, { DATA, 0x80000000, 0x10000, 5 }, RETURNS, SUCCESS, KEPT },
	/* Their mask of harts lies where there is no memory (5: load access fault) or no page (13). */
	{ "legacy-ipi-nowhere", LEGACY(4), 0, { NOWHERE }, TRAPS, 0, 5 },
	{ "legacy-fence-i-nowhere", LEGACY(5), 0, { NOWHERE }, TRAPS, 0, 5 },
	/* The harts of these bits and this base are none: not all of a mask's harts exist. */
	{ "ipi-none", SBI_IPI, 0, { 1 << 2, 0 }, RETURNS, INVALID_PARAM, 0 },
	{ "ipi-base-none", SBI_IPI, 0, { 1, 4711 }, RETURNS, INVALID_PARAM, 0 },
	{ "ipi-base-wide", SBI_IPI, 0, { 1, UINT64_C(0x100000000) }, RETURNS, INVALID_PARAM, 0 },
	{ "ipi-base-last", SBI_IPI, 0, { 3, ALL - 1 }, RETURNS, INVALID_PARAM, 0 },
	{ "ipi-nobody", SBI_IPI, 0, { 0, 0 }, RETURNS, SUCCESS, 0 },
	/* The machine's end is last. */
	{ "srst-shutdown", SBI_SRST, 0, { 0, 0 }, SHUTDOWN, 0, 0 },
	{ "srst-shutdown-failure", SBI_SRST, 0, { 0, 1 }, SHUTDOWN, 0, 1 },
	{ "srst-cold-reboot", SBI_SRST, 0, { 1, 0 }, RESET, 0, 0 },
	{ "srst-warm-reboot", SBI_SRST, 0, { 2, 0xe0000000 }, RESET, 0, 0xe0000000 },
	{ "legacy-shutdown", LEGACY(8), 0, { 0 }, SHUTDOWN, 0, 0 },
};

static void prepare(struct vm *vm)
{
	struct vcpu *v = &vm->vcpu[0];

	vm_create(vm, 2);
	reg_set(v, CONFIG(mvendorid), 0x5151);
	reg_set(v, CONFIG(marchid), 0x6161);
	reg_set(v, CONFIG(mimpid), 0x7171);
	for (unsigned int i = 0; i < 2; i++)
		reg_set(&vm->vcpu[i], ENABLED(KVM_RISCV_SBI_EXT_DBCN), 1);
	*(uint64_t *)((char *)vm->ram + (DATA - RAM_BASE)) = 1;
}

static void all(void)
{
	struct vm vm;

	prepare(&vm);
	expect_all(&vm.vcpu[0], calls, ARRAY_SIZE(calls));
	vm_destroy(&vm);
}

/* The mask of harts of SBI v0.1 is read as the guest would: with its page tables, and what it may not read traps there. */
static void translated_masks(void)
{
	static const struct call rows[] = {
		{ "legacy-mask-mapped", LEGACY(5), 0, { UINT64_C(0x80000000) }, RETURNS, SUCCESS, KEPT },
		{ "legacy-mask-unmapped", LEGACY(5), 0, { UINT64_C(0x80001000) }, TRAPS, 0, 13 },
		{ "legacy-mask-unreadable", LEGACY(4), 0, { UINT64_C(0x80002000) }, TRAPS, 0, 13 },
		{ "legacy-mask-no-address", LEGACY(6), 0, { UINT64_C(0x4000000000) }, TRAPS, 0, 13 },
	};
	uint64_t *table;
	struct vm vm;

	if (!legacy)
		return;
	prepare(&vm);
	table = (uint64_t *)((char *)vm.ram + (TABLES - RAM_BASE));
	table[0] = 0xcf;
	table[1] = RAM_BASE >> 2 | 0xcf;
	table[2] = (TABLES + 4096) >> 2 | 1;
	table[512] = (TABLES + 8192) >> 2 | 1;
	table[1024] = DATA >> 2 | 0xcf;
	table[1026] = DATA >> 2 | 0xc9; /* execute only */
	reg_set(&vm.vcpu[0], REG_CSR(satp), UINT64_C(8) << 60 | TABLES >> 12);
	expect_all(&vm.vcpu[0], rows, ARRAY_SIZE(rows));
	vm_destroy(&vm);
}

/* What user space disables is not there for the guest; DBCN is disabled from the start. */
static void disabled(void)
{
	static const struct {
		unsigned int id;
		struct call probe, call;
	} rows[] = {
		{ KVM_RISCV_SBI_EXT_DBCN, { "dbcn-default-probe", SBI_BASE, 3, { SBI_DBCN }, RETURNS, SUCCESS, 0 }, { "dbcn-default", SBI_DBCN, 2, { 'x' }, RETURNS, NOT_SUPPORTED, 0 } },
		{ KVM_RISCV_SBI_EXT_TIME, { "time-off-probe", SBI_BASE, 3, { SBI_TIME }, RETURNS, SUCCESS, 0 }, { "time-off", SBI_TIME, 0, { ALL }, RETURNS, NOT_SUPPORTED, 0 } },
		{ KVM_RISCV_SBI_EXT_SRST, { "srst-off-probe", SBI_BASE, 3, { SBI_SRST }, RETURNS, SUCCESS, 0 }, { "srst-off", SBI_SRST, 0, { 0 }, RETURNS, NOT_SUPPORTED, 0 } },
		{ KVM_RISCV_SBI_EXT_V01, { "v01-off-probe", SBI_BASE, 3, { 0 }, RETURNS, SUCCESS, 0 }, { "v01-off", LEGACY(8), 0, { 0 }, RETURNS, NOT_SUPPORTED, 0 } },
		{ KVM_RISCV_SBI_EXT_EXPERIMENTAL, { "experimental-off-call", 0x08000000, 1, { 0 }, RETURNS, NOT_SUPPORTED, 0 }, { "experimental-off", 0x08ffffff, 0, { 0 }, RETURNS, NOT_SUPPORTED, 0 } },
	};
	struct vm vm;

	vm_create(&vm, 1);
	for (unsigned int i = 1; i < ARRAY_SIZE(rows); i++)
		if (legacy || rows[i].id != KVM_RISCV_SBI_EXT_V01)
			reg_set(&vm.vcpu[0], ENABLED(rows[i].id), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		expect(&vm.vcpu[0], &rows[i].probe);
		expect(&vm.vcpu[0], &rows[i].call);
	}
	vm_destroy(&vm);
}

/* ---- several harts ---- */

static uint64_t sip(struct vcpu *v)
{
	return reg_get(v, REG_CSR(sip));
}

/* Who is interrupted: exactly the harts that exist of those that are meant. */
static void ipi_masks(void)
{
	static const struct {
		const char *name;
		struct call call;
		unsigned int reached; /* of harts 0 to 3 and 66 */
	} rows[] = {
		{ "ipi-self", { "ipi", SBI_IPI, 0, { 1, 0 }, RETURNS, SUCCESS, 0 }, 1 },
		{ "ipi-other", { "ipi", SBI_IPI, 0, { 4, 0 }, RETURNS, SUCCESS, 0 }, 4 },
		{ "ipi-two", { "ipi", SBI_IPI, 0, { 10, 0 }, RETURNS, SUCCESS, 0 }, 10 },
		{ "ipi-base", { "ipi", SBI_IPI, 0, { 5, 1 }, RETURNS, SUCCESS, 0 }, 10 },
		{ "ipi-base-66", { "ipi", SBI_IPI, 0, { 4, 64 }, RETURNS, SUCCESS, 0 }, 16 },
		{ "ipi-all", { "ipi", SBI_IPI, 0, { 0, ALL }, RETURNS, SUCCESS, 0 }, 31 },
		{ "ipi-all-whatever", { "ipi", SBI_IPI, 0, { 2, ALL }, RETURNS, SUCCESS, 0 }, 31 },
		{ "legacy-ipi", { "ipi", LEGACY(4), 0, { DATA }, RETURNS, SUCCESS, KEPT }, 6 },
	};
	struct vcpu far = { 0 };
	struct vm vm;

	vm_create(&vm, 4);
	far.vm = &vm;
	far.fd = (int)must(ioctl(vm.fd, KVM_CREATE_VCPU, 66), "vCPU 66");
	*(uint64_t *)((char *)vm.ram + (DATA - RAM_BASE)) = 6;
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned int reached = 0;

		if (!legacy && is_legacy(&rows[i].call))
			continue;
		expect(&vm.vcpu[0], &rows[i].call);
		for (unsigned int h = 0; h < 5; h++) {
			struct vcpu *v = h < 4 ? &vm.vcpu[h] : &far;

			reached |= (sip(v) & SIP_SSIP ? 1u : 0) << h;
			reg_set(v, REG_CSR(sip), 0);
		}
		check(reached == rows[i].reached, rows[i].name, "harts 0x%x, should be 0x%x", reached, rows[i].reached);
	}
	close(far.fd);
	vm_destroy(&vm);
}

#define TRACING "/sys/kernel/tracing/"

static volatile uint64_t in_guest[3];

static void spinner(uint64_t arg)
{
	guest_call(0, arg);
	for (;;)
		;
}

static void spins(struct vcpu *v, unsigned int op, uint64_t value)
{
	__atomic_store_n(&in_guest[v->i], 1, __ATOMIC_RELEASE);
}

/* The harts that have done this fence, by the trace; false: there is another one. */
static bool fenced(const char *event, unsigned int *ret_harts)
{
	static const char *const events[] = { "kvm_fence_i: VCPU: ", "kvm_hfence: VCPU: " };
	FILE *f = fopen(TRACING "trace", "re");
	char line[512];
	bool others = false;

	must(f ? 0 : -1, TRACING "trace");
	*ret_harts = 0;
	while (fgets(line, sizeof(line), f))
		for (unsigned int i = 0; i < ARRAY_SIZE(events); i++) {
			char *at = strstr(line, events[i]), *end;
			unsigned long hart;

			if (!at)
				continue;
			hart = strtoul(at + strlen(events[i]), &end, 10);
			end[strcspn(end, "\n")] = 0;
			if (!strcmp(end, event))
				*ret_harts |= 1u << hart;
			else
				others = true;
		}
	fclose(f);
	return !others;
}

/*
 * Fences are done by exactly the harts that are meant, and of what was asked: seen by trace events, since emulators that forget all translations at each change
 * between guest and host show no fence that is missing.
 */
static void fences(void)
{
#define RANGE ", START: 0x80000000, SIZE: 0x2000"
	static const struct {
		const char *name;
		struct call call;
		unsigned int harts;
		const char *event; /* what the trace says behind the hart */
	} rows[] = {
		{ "fence-i-self", { "fence", SBI_RFENCE, 0, { 1, 0 }, RETURNS, SUCCESS, 0 }, 1, "" },
		{ "fence-i-other", { "fence", SBI_RFENCE, 0, { 2, 0 }, RETURNS, SUCCESS, 0 }, 2, "" },
		{ "fence-i-all", { "fence", SBI_RFENCE, 0, { 0, ALL }, RETURNS, SUCCESS, 0 }, 7, "" },
		{ "fence-self", { "fence", SBI_RFENCE, 1, { 1, 0, 0x80000000, 0x2000 }, RETURNS, SUCCESS, 0 }, 1, RANGE ", ASID: 0xffffffffffffffff" },
		{ "fence-other", { "fence", SBI_RFENCE, 1, { 4, 0, 0x80000000, 0x2000 }, RETURNS, SUCCESS, 0 }, 4, RANGE ", ASID: 0xffffffffffffffff" },
		{ "fence-base", { "fence", SBI_RFENCE, 1, { 3, 1, 0x80000000, 0x2000 }, RETURNS, SUCCESS, 0 }, 6, RANGE ", ASID: 0xffffffffffffffff" },
		{ "fence-asid", { "fence", SBI_RFENCE, 2, { 5, 0, 0x80000000, 0x2000, 5 }, RETURNS, SUCCESS, 0 }, 5, RANGE ", ASID: 0x5" },
		{ "legacy-fence-i", { "fence", LEGACY(5), 0, { DATA }, RETURNS, SUCCESS, KEPT }, 6, "" },
		{ "legacy-fence", { "fence", LEGACY(6), 0, { DATA, 0x80000000, 0x2000 }, RETURNS, SUCCESS, KEPT }, 6, RANGE ", ASID: 0xffffffffffffffff" },
		{ "legacy-fence-asid", { "fence", LEGACY(7), 0, { DATA, 0x80000000, 0x2000, 5 }, RETURNS, SUCCESS, KEPT }, 6, RANGE ", ASID: 0x5" },
	};
	struct vm vm;

	mount("none", TRACING, "tracefs", 0, NULL);
	if (!write_file(TRACING "events/kvm/kvm_hfence/enable", "1") || !write_file(TRACING "events/kvm/kvm_fence_i/enable", "1")) {
		skip("fences", "this kernel has no trace events that tell");
		return;
	}
	vm_create(&vm, 3);
	*(uint64_t *)((char *)vm.ram + (DATA - RAM_BASE)) = 6;
	for (unsigned int i = 1; i < 3; i++) {
		vcpu_enter(&vm.vcpu[i], spinner, i);
		vcpu_start(&vm.vcpu[i], -1, spins);
		check(wait_for(&in_guest[i], 1, 20000), "fence-spins", "vCPU %u does not come to its guest", i);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t end = now_ns() + UINT64_C(10000000000);
		unsigned int harts;
		bool alone;

		if (!legacy && is_legacy(&rows[i].call))
			continue;
		write_file(TRACING "trace", "");
		expect(&vm.vcpu[0], &rows[i].call);
		/* No hart executes another instruction of its guest without it; the host may have other things to do before. */
		do
			alone = fenced(rows[i].event, &harts);
		while (harts != rows[i].harts && now_ns() < end);
		check(alone && harts == rows[i].harts, rows[i].name, "is done by harts 0x%x, should be 0x%x; %s others", harts, rows[i].harts, alone ? "no" : "and");
	}
	for (unsigned int i = 1; i < 3; i++)
		vcpu_stop(&vm.vcpu[i]);
	write_file(TRACING "events/kvm/kvm_hfence/enable", "0");
	write_file(TRACING "events/kvm/kvm_fence_i/enable", "0");
	vm_destroy(&vm);
}

/* Started anew it begins as the specification says, whatever it was before; it stops, and begins again. */
static void hart_life(void)
{
	static const struct call start = { "hsm-start", SBI_HSM, SBI_HSM_START, { 1, CODE + 0x900, 0x5150 }, RETURNS, SUCCESS, 0 };
	static const struct call again = { "hsm-start-again", SBI_HSM, SBI_HSM_START, { 1, CODE + 0x900, 0x5150 }, RETURNS, ALREADY_AVAILABLE, 0 };
	static const struct call started = { "hsm-is-started", SBI_HSM, SBI_HSM_STATUS, { 1 }, RETURNS, SUCCESS, 0 };
	static const struct call stopped = { "hsm-is-stopped", SBI_HSM, SBI_HSM_STATUS, { 1 }, RETURNS, SUCCESS, 1 };
	static const struct call stop = { "hsm-stop", SBI_HSM, SBI_HSM_STOP, { 0 }, RETURNS, SUCCESS, 0 };
	uint64_t x[32];
	struct vm vm;
	struct vcpu *v = &vm.vcpu[1];
	int r;

	vm_create(&vm, 2);
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int n = 0; n < 32; n++)
			x[n] = pattern(n, round);
		regs_set(v, x);
		reg_set(v, REG_CSR(satp), UINT64_C(8) << 60 | 0x1234);
		reg_set(v, REG_CSR(sstatus), 2);
		reg_set(v, REG_CSR(sie), 0x222);
		insn_put(&vm, CODE + 0x900, STORE_TO_0);
		expect(&vm.vcpu[0], &stopped);
		expect(&vm.vcpu[0], &start);
		expect(&vm.vcpu[0], &started);
		expect(&vm.vcpu[0], &again);
		r = run_to_end(v);
		if (!check(!r, "hsm-runs", "KVM_RUN: %d, exit %u, pc 0x%" PRIx64, r, v->run->exit_reason, reg_get(v, reg_x(0))))
			break;
		check(reg_get(v, reg_x(A0)) == 1 && reg_get(v, reg_x(A0 + 1)) == 0x5150 && reg_get(v, reg_x(0)) == CODE + 0x904, "hsm-arguments",
		      "a0 is 0x%" PRIx64 ", a1 0x%" PRIx64 ", pc 0x%" PRIx64, reg_get(v, reg_x(A0)), reg_get(v, reg_x(A0 + 1)), reg_get(v, reg_x(0)));
		check(!reg_get(v, REG_CSR(satp)) && !(reg_get(v, REG_CSR(sstatus)) & 2) && reg_get(v, REG_CORE(mode)) == KVM_RISCV_MODE_S, "hsm-state",
		      "satp is 0x%" PRIx64 ", sstatus 0x%" PRIx64 ", mode %" PRIu64, reg_get(v, REG_CSR(satp)), reg_get(v, REG_CSR(sstatus)), reg_get(v, REG_CORE(mode)));
		/* A call that does not return. */
		call_prepare(v, &stop, x);
		r = run_briefly(v);
		check(r == -EINTR || r == -EAGAIN, "hsm-stops", "KVM_RUN: %d, exit %u", r, v->run->exit_reason);
	}
	expect(&vm.vcpu[0], &stopped);
	vm_destroy(&vm);
}

/*
 * Started while its thread is not in KVM_RUN: user space, which may be saving the VM, finds it where it will begin; and what user space sets after that stays.
 * Interrupts from before the call are gone; one that is sent after it is there when the hart begins.
 */
static void started_asleep(void)
{
	static const struct call ipi = { "hsm-start-asleep-ipi", SBI_IPI, 0, { 2, 0 }, RETURNS, SUCCESS, 0 };
	static const struct call start = { "hsm-start-asleep", SBI_HSM, SBI_HSM_START, { 1, CODE + 0x900, 0x5150 }, RETURNS, SUCCESS, 0 };
	uint64_t x[32];
	struct vm vm;
	struct vcpu *v = &vm.vcpu[1];
	int r;

	if (!kvm_is_ours()) {
		skip("hsm-start-asleep", "upstream's KVM resets a hart only when it runs");
		return;
	}
	vm_create(&vm, 2);
	for (unsigned int n = 0; n < 32; n++)
		x[n] = pattern(n, 7);
	regs_set(v, x);
	reg_set(v, REG_CSR(satp), UINT64_C(8) << 60 | 0x1234);
	expect(&vm.vcpu[0], &ipi);
	expect(&vm.vcpu[0], &start);
	check(!(sip(v) & SIP_SSIP), "hsm-start-no-ipi", "sip is 0x%" PRIx64, sip(v));
	check(reg_get(v, reg_x(0)) == CODE + 0x900 && reg_get(v, reg_x(A0)) == 1 && reg_get(v, reg_x(A0 + 1)) == 0x5150 && !reg_get(v, REG_CSR(satp)), "hsm-start-seen",
	      "pc is 0x%" PRIx64 ", a0 0x%" PRIx64 ", a1 0x%" PRIx64 ", satp 0x%" PRIx64, reg_get(v, reg_x(0)), reg_get(v, reg_x(A0)), reg_get(v, reg_x(A0 + 1)),
	      reg_get(v, REG_CSR(satp)));
	insn_put(&vm, CODE + 0x900, STORE_TO_0);
	insn_put(&vm, CODE + 0xa00, STORE_TO_0);
	reg_set(v, reg_x(0), CODE + 0xa00);
	r = run_to_end(v);
	check(!r && reg_get(v, reg_x(0)) == CODE + 0xa04, "hsm-start-set", "KVM_RUN: %d, exit %u, pc 0x%" PRIx64, r, v->run->exit_reason, reg_get(v, reg_x(0)));
	vm_destroy(&vm);

	vm_create(&vm, 2);
	expect(&vm.vcpu[0], &start);
	expect(&vm.vcpu[0], &ipi);
	insn_put(&vm, CODE + 0x900, STORE_TO_0);
	r = run_to_end(v);
	check(!r && sip(v) & SIP_SSIP, "hsm-start-ipi", "KVM_RUN: %d, exit %u, sip is 0x%" PRIx64, r, v->run->exit_reason, sip(v));
	vm_destroy(&vm);
}

/* Suspended, with an interrupt that waits already: it does not. Its registers are kept. */
static void suspend(void)
{
	static const struct call ipi = { "hsm-suspend-ipi", SBI_IPI, 0, { 1, 0 }, RETURNS, SUCCESS, 0 };
	static const struct call row = { "hsm-suspend", SBI_HSM, SBI_HSM_SUSPEND, { 0 }, RETURNS, SUCCESS, 0 };
	struct vm vm;

	vm_create(&vm, 1);
	reg_set(&vm.vcpu[0], REG_CSR(sie), SIP_SSIP);
	expect(&vm.vcpu[0], &ipi);
	expect(&vm.vcpu[0], &row);
	vm_destroy(&vm);
}

/* ---- time ---- */

/* In the past: pending at once. Never: no more. */
static void timer(void)
{
	static const struct {
		const char *name;
		struct call past, never;
	} rows[] = {
		{ "time", { "time-past", SBI_TIME, 0, { 0 }, RETURNS, SUCCESS, 0 }, { "time-never", SBI_TIME, 0, { ALL }, RETURNS, SUCCESS, 0 } },
		{ "legacy-timer", { "legacy-time-past", LEGACY(0), 0, { 0 }, RETURNS, SUCCESS, KEPT }, { "legacy-time-never", LEGACY(0), 0, { ALL }, RETURNS, SUCCESS, KEPT } },
	};
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];

	vm_create(&vm, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct call *const both[] = { &rows[i].past, &rows[i].never };

		if (!legacy && is_legacy(both[0]))
			continue;
		for (unsigned int k = 0; k < 2; k++) {
			uint64_t x[32], pending = 0, end = now_ns() + UINT64_C(5000000000);

			expect(v, both[k]);
			/* csrr x5, sip, until it is as it should: a timer of the host's may take its time. */
			do {
				memset(x, 0, sizeof(x));
				x[0] = CODE + 0x400;
				insn_put(&vm, insn_put(&vm, CODE + 0x400, insn_csrr(5, 0x144)), STORE_TO_0);
				regs_set(v, x);
				if (run_to_end(v))
					break;
				pending = reg_get(v, reg_x(5)) & SIP_STIP;
			} while (!pending == !k && now_ns() < end);
			check(!pending == !!k, both[k]->name, "sip.STIP is %u", pending != 0);
		}
	}
	vm_destroy(&vm);
}

/* ---- steal time ---- */

static void steal_time(void)
{
	static const struct call rows[] = {
		{ "sta-misaligned", SBI_STA, 0, { DATA + 8, 0, 0 }, RETURNS, INVALID_PARAM, 0 },
		{ "sta-flags", SBI_STA, 0, { DATA, 0, 1 }, RETURNS, INVALID_PARAM, 0 },
		{ "sta-high", SBI_STA, 0, { DATA, 1, 0 }, RETURNS, INVALID_ADDRESS, 0 },
		{ "sta-nowhere", SBI_STA, 0, { NOWHERE, 0, 0 }, RETURNS, INVALID_ADDRESS, 0 },
		{ "sta-1", SBI_STA, 1, { DATA, 0, 0 }, RETURNS, NOT_SUPPORTED, 0 },
		{ "sta-off", SBI_STA, 0, { ALL, ALL, 0 }, RETURNS, SUCCESS, 0 },
		{ "sta-on", SBI_STA, 0, { DATA, 0, 0 }, RETURNS, SUCCESS, 0 },
		{ "sta-probe", SBI_BASE, 3, { SBI_STA }, RETURNS, SUCCESS, 1 },
	};
	const uint64_t state = KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_SBI_STATE | KVM_REG_RISCV_SBI_STA;
	uint64_t enabled = 0, before;
	struct {
		uint32_t sequence, flags;
		uint64_t steal;
		uint8_t preempted, pad[47];
	} *sta;
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];

	vm_create(&vm, 1);
	if (reg_read(v, ENABLED(KVM_RISCV_SBI_EXT_STA), &enabled) || !enabled) {
		skip("steal-time", "the host's KVM does not account it");
		vm_destroy(&vm);
		return;
	}
	sta = (void *)((char *)vm.ram + (DATA - RAM_BASE));
	memset(sta, 0xff, sizeof(*sta));
	expect_all(v, rows, ARRAY_SIZE(rows));
	check(!(sta->sequence & 1) && !sta->flags, "sta-cleared", "sequence %u, flags %u", sta->sequence, sta->flags);
	check(reg_get(v, state | KVM_REG_RISCV_SBI_STA_REG(shmem_lo)) == DATA && !reg_get(v, state | KVM_REG_RISCV_SBI_STA_REG(shmem_hi)), "sta-state",
	      "user space reads another address");
	/* The thread waits for its CPU while others have it. */
	before = sta->steal;
	for (unsigned int i = 0; i < 200 && sta->steal == before; i++) {
		int status = fork();

		if (!status) {
			pin(0);
			for (uint64_t end = now_ns() + 30000000; now_ns() < end;)
				;
			_exit(0);
		}
		pin(0);
		for (uint64_t end = now_ns() + 20000000; now_ns() < end;)
			expect(v, &rows[ARRAY_SIZE(rows) - 1]);
	}
	check(sta->steal > before && !(sta->sequence & 1), "sta-counts", "%" PRIu64 " ns are stolen, sequence %u", sta->steal, sta->sequence);
	vm_destroy(&vm);
}

int main(void)
{
	look_for_legacy();
	all();
	translated_masks();
	disabled();
	ipi_masks();
	fences();
	hart_life();
	started_asleep();
	suspend();
	timer();
	steal_time();
	return finish();
}
