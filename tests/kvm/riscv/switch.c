// SPDX-License-Identifier: MIT
/*
 * The switch between worlds: guests of two VMs, three vCPUs, take turns on one hart, and each finds its integer registers, its CSRs, its floating point and vector
 * state as it left them, or as user space set them meanwhile; the VMM finds its own.
 */
#include <sys/syscall.h>

#include "insn.h"

#define GUESTS 3
#define ROUNDS 20
#define ROOT(i) (TABLES + 0x1000 * (uint64_t)(i)) /* a page table for each */
#define FP_D(n) (KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_FP_D | (n))
#define FCSR (KVM_REG_RISCV | KVM_REG_SIZE_U32 | KVM_REG_RISCV_FP_D | 32)
#define FS(n) ((uint64_t)(n) << 13)
enum { OFF, INITIAL, CLEAN, DIRTY };

static const struct csr {
	const char *name;
	unsigned int number;
	uint64_t id, mask, fixed;
} csrs[] = {
	{ "sstatus", 0x100, REG_CSR(sstatus), 0xc6120, 0 }, /* MXR, SUM, FS, SPP, SPIE */
	{ "sie", 0x104, REG_CSR(sie), 0x222, 0 },
	{ "stvec", 0x105, REG_CSR(stvec), ~UINT64_C(3), 0 },
	{ "scounteren", 0x106, REG_CSR(scounteren), 7, 0 },
	{ "sscratch", 0x140, REG_CSR(sscratch), ~UINT64_C(0), 0 },
	{ "sepc", 0x141, REG_CSR(sepc), ~UINT64_C(3), 0 },
	{ "scause", 0x142, REG_CSR(scause), UINT64_C(0x800000000000000f), 0 },
	{ "stval", 0x143, REG_CSR(stval), ~UINT64_C(0), 0 },
	{ "satp", 0x180, REG_CSR(satp), 0, UINT64_C(8) << 60 }, /* the table: its own */
};

/* ---- a sequence of instructions, in all guests ---- */

static struct vm vms[2];
static struct vcpu *guests[GUESTS];
static uint64_t end_of_code;

static void code(uint32_t insn)
{
	insn_put(&vms[0], end_of_code, insn);
	end_of_code = insn_put(&vms[1], end_of_code, insn);
}

static uint64_t code_start(void)
{
	end_of_code = (end_of_code + 63) / 64 * 64;
	return end_of_code;
}

static void start(void)
{
	const struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };

	vm_create(&vms[0], 2);
	vm_create(&vms[1], 1);
	guests[0] = &vms[0].vcpu[0];
	guests[1] = &vms[1].vcpu[0];
	guests[2] = &vms[0].vcpu[1];
	end_of_code = CODE;
	for (unsigned int i = 0; i < GUESTS; i++) {
		must(ioctl(guests[i]->fd, KVM_SET_MP_STATE, &runnable), "KVM_SET_MP_STATE");
		for (unsigned int k = 0; k < 2; k++) {
			uint64_t *root = (uint64_t *)((char *)vms[k].ram + (ROOT(i) - RAM_BASE));

			root[0] = 0xcf;
			root[RAM_BASE >> 30] = RAM_BASE >> 2 | 0xcf;
		}
	}
}

static void stop(void)
{
	vm_destroy(&vms[0]);
	vm_destroy(&vms[1]);
}

/* Runs guest i's code from there, with its registers as they are. */
static bool run_at(const char *what, unsigned int i, uint64_t pc)
{
	int r;

	reg_set(guests[i], reg_x(0), pc);
	r = run_to_end(guests[i]);
	if (r)
		fail(what, "guest %u: KVM_RUN: %d, exit %u", i, r, guests[i]->run->exit_reason);
	return !r;
}

/* ---- integer registers ---- */

static void integers(void)
{
	uint64_t x[GUESTS][32], after[32], at;
	unsigned int wrong = 0, which = 0;

	start();
	at = code_start();
	code(NOP);
	code(STORE_TO_0);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (unsigned int i = 0; i < GUESTS; i++) {
			for (unsigned int n = 0; n < 32; n++)
				x[i][n] = pattern(n, round * GUESTS + i);
			regs_set(guests[i], x[i]);
		}
		for (unsigned int twice = 0; twice < 2; twice++) {
			for (unsigned int i = 0; i < GUESTS; i++) {
				if (!run_at("registers", i, at))
					return;
				regs_get(guests[i], after);
				for (unsigned int n = 1; n < 32; n++)
					if (after[n] != x[i][n])
						wrong++, which = n;
			}
		}
	}
	check(!wrong, "registers", "%u times a register is not what it was, x%u for one", wrong, which);
	stop();
}

/* ---- CSRs ---- */

static uint64_t csr_value(const struct csr *c, unsigned int i, uint64_t seed)
{
	if (c->number == 0x180)
		return c->fixed | ROOT(i) >> 12;
	/* FS stays on one of its values that are as good as any other. */
	return pattern(c->number, seed * GUESTS + i) & c->mask;
}

static void guest_csrs(void)
{
	uint64_t read_all, write_all, x[32];

	start();
	read_all = code_start();
	for (unsigned int n = 0; n < ARRAY_SIZE(csrs); n++)
		code(insn_csrr(5 + n, csrs[n].number));
	code(STORE_TO_0);
	write_all = code_start();
	for (unsigned int n = 0; n < ARRAY_SIZE(csrs); n++)
		code(insn_csrw(csrs[n].number, 5 + n));
	code(STORE_TO_0);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		unsigned int by_guest = round % 2;

		/* Written by the guest or by user space, and read by the other, or by both. */
		for (unsigned int i = 0; i < GUESTS; i++) {
			for (unsigned int n = 0; n < ARRAY_SIZE(csrs); n++)
				reg_set(guests[i], by_guest ? reg_x(5 + n) : csrs[n].id, csr_value(&csrs[n], i, round));
			reg_set(guests[i], REG_CORE(mode), KVM_RISCV_MODE_S);
			if (by_guest && !run_at("csrs", i, write_all))
				return;
		}
		for (unsigned int i = 0; i < GUESTS; i++) {
			memset(x, 0, sizeof(x));
			regs_set(guests[i], x);
			if (!run_at("csrs", i, read_all))
				return;
			for (unsigned int n = 0; n < ARRAY_SIZE(csrs); n++) {
				uint64_t should = csr_value(&csrs[n], i, round), mask = csrs[n].mask | csrs[n].fixed | (n == 8 ? UINT64_MAX : 0);
				uint64_t guest = reg_get(guests[i], reg_x(5 + n)) & mask, user = reg_get(guests[i], csrs[n].id) & mask;

				if (guest != should || user != should) {
					fail(csrs[n].name, "guest %u, round %u: it reads 0x%" PRIx64 ", user space 0x%" PRIx64 ", should be 0x%" PRIx64, i, round, guest,
					     user, should);
					goto out;
				}
			}
		}
	}
	check(true, "csrs", "-");
out:
	stop();
}

/* The interrupt that a guest pends for itself is its own. */
static void guest_sip(void)
{
	uint64_t set, get;

	start();
	set = code_start();
	code(0x14416073); /* csrsi sip, 2 */
	code(STORE_TO_0);
	get = code_start();
	code(insn_csrr(5, 0x144));
	code(STORE_TO_0);
	if (run_at("sip", 1, set) && run_at("sip", 0, get) && run_at("sip", 1, get) && run_at("sip", 2, get)) {
		check((reg_get(guests[1], reg_x(5)) & SIP_SSIP) && (reg_get(guests[1], REG_CSR(sip)) & SIP_SSIP), "sip", "what the guest pends for itself is lost");
		check(!((reg_get(guests[0], reg_x(5)) | reg_get(guests[2], reg_x(5)) | reg_get(guests[0], REG_CSR(sip)) | reg_get(guests[2], REG_CSR(sip))) & SIP_SSIP),
		      "sip-others", "what a guest pends for itself, others have, too");
	}
	stop();
}

/* ---- floating point ---- */

static uint64_t fp_write, fp_read, fp_set_fs;

static void fp_code(void)
{
	fp_write = code_start();
	for (unsigned int n = 1; n < 32; n++)
		code(0xf2000053u | n << 15 | n << 7); /* fmv.d.x fn, xn */
	code(STORE_TO_0);
	fp_read = code_start();
	for (unsigned int n = 1; n < 32; n++)
		code(0xe2000053u | n << 15 | n << 7); /* fmv.x.d xn, fn */
	code(STORE_TO_0);
	fp_set_fs = code_start();
	code(0x1002b073); /* csrc sstatus, x5 */
	code(0x10032073); /* csrs sstatus, x6 */
	code(STORE_TO_0);
}

static bool fs_is(const char *what, unsigned int i, unsigned int fs)
{
	reg_set(guests[i], reg_x(5), FS(3));
	reg_set(guests[i], reg_x(6), FS(fs));
	return run_at(what, i, fp_set_fs);
}

/* How many of f1 ... f31 are not what they should be, for the guest. */
static unsigned int fp_wrong(unsigned int i, uint64_t seed)
{
	unsigned int wrong = 0;

	if (!run_at("fp", i, fp_read))
		return 32;
	for (unsigned int n = 1; n < 32; n++)
		wrong += reg_get(guests[i], reg_x(n)) != pattern(n, seed);
	return wrong;
}

static bool fp_fill(unsigned int i, uint64_t seed)
{
	for (unsigned int n = 1; n < 32; n++)
		reg_set(guests[i], reg_x(n), pattern(n, seed));
	return run_at("fp", i, fp_write);
}

static void floating_point(void)
{
	static const char *const names[] = { "off", "initial", "clean", "dirty" };
	uint64_t x[32];
	uint32_t fcsr = 0xa5;

	start();
	fp_code();
	/* Whatever guest 0 says of its state, others use theirs, and it finds its own. */
	for (unsigned int fs = OFF; fs <= DIRTY; fs++) {
		unsigned int wrong = 0, status = 0;
		char what[32];

		snprintf(what, sizeof(what), "fp-%s", names[fs]);
		if (!fs_is(what, 0, DIRTY) || !fp_fill(0, 100 + fs) || !fs_is(what, 0, fs))
			goto out;
		for (unsigned int round = 0; round < 3; round++) {
			for (unsigned int i = 1; i < GUESTS; i++)
				if (!fs_is(what, i, INITIAL) || !fp_fill(i, 1000 + 10 * round + i))
					goto out;
			for (unsigned int i = 1; i < GUESTS; i++)
				wrong += fp_wrong(i, 1000 + 10 * round + i);
			/* It runs, too, without using any. */
			if (!run_at(what, 0, fp_set_fs + 8))
				goto out;
			status = reg_get(guests[0], REG_CSR(sstatus)) >> 13 & 3;
			if (status != fs)
				break;
		}
		check(status == fs, what, "sstatus.FS is %u, was %u", status, fs);
		if (!fs_is(what, 0, CLEAN))
			goto out;
		check(!wrong, what, "other guests find %u registers that are not theirs", wrong);
		wrong = fp_wrong(0, 100 + fs);
		check(!wrong, what, "%u registers are not what they were", wrong);
	}
	/* User space reads what the guest wrote last, and the guest what user space wrote. */
	for (unsigned int round = 0; round < 3; round++) {
		unsigned int wrong = 0;

		for (unsigned int i = 0; i < GUESTS; i++)
			if (!fs_is("fp-regs", i, DIRTY) || !fp_fill(i, 7 + round * GUESTS + i))
				goto out;
		for (unsigned int i = 0; i < GUESTS; i++)
			for (unsigned int n = 1; n < 32; n++)
				wrong += reg_get(guests[i], FP_D(n)) != pattern(n, 7 + round * GUESTS + i);
		check(!wrong, "fp-regs-read", "user space reads %u other values", wrong);
		for (unsigned int i = 0; i < GUESTS; i++)
			for (unsigned int n = 1; n < 32; n++)
				reg_set(guests[i], FP_D(n), pattern(n, 77 + round * GUESTS + i));
		wrong = 0;
		for (unsigned int i = 0; i < GUESTS; i++)
			wrong += fp_wrong(i, 77 + round * GUESTS + i);
		check(!wrong, "fp-regs-written", "guests read %u other values", wrong);
	}
	must(reg_write(guests[0], FCSR, &fcsr) ? -1 : 0, "fcsr");
	fcsr = 0x42;
	must(reg_write(guests[1], FCSR, &fcsr) ? -1 : 0, "fcsr");
	x[0] = code_start();
	code(insn_csrr(5, 3));
	code(insn_csrw(3, 6));
	code(0xf20000d3); /* fmv.d.x f1, x0: in VS mode QEMU does not take a write to fcsr alone for a change of the host's sstatus.FS */
	code(STORE_TO_0);
	reg_set(guests[0], reg_x(6), 0x21);
	reg_set(guests[1], reg_x(6), 0x61);
	if (run_at("fcsr", 0, x[0]) && run_at("fcsr", 1, x[0]) && !reg_read(guests[0], FCSR, &fcsr))
		check(reg_get(guests[0], reg_x(5)) == 0xa5 && reg_get(guests[1], reg_x(5)) == 0x42 && fcsr == 0x21, "fcsr",
		      "guests read 0x%" PRIx64 ", 0x%" PRIx64 ", user space 0x%x", reg_get(guests[0], reg_x(5)), reg_get(guests[1], reg_x(5)), fcsr);
	/* Off means off: an illegal instruction, for the guest. */
	if (!fs_is("fp-illegal", 0, OFF))
		goto out;
	reg_set(guests[0], REG_CSR(stvec), end_of_code);
	code(STORE_TO_0);
	if (run_at("fp-illegal", 0, fp_read))
		check(reg_get(guests[0], REG_CSR(scause)) == 2 && reg_get(guests[0], REG_CSR(sepc)) == fp_read, "fp-illegal", "scause %" PRIu64 ", sepc 0x%" PRIx64,
		      reg_get(guests[0], REG_CSR(scause)), reg_get(guests[0], REG_CSR(sepc)));
out:
	stop();
}

/* KVM_RUN by hand, with the seed in the VMM's registers: whether they are the same behind it. */
__attribute__((noinline)) static bool run_keeps_fp(int fd, uint64_t seed)
{
	register long a0 __asm__("a0") = fd;
	register long a1 __asm__("a1") = KVM_RUN;
	register long a2 __asm__("a2") = 0;
	register long a7 __asm__("a7") = SYS_ioctl;
	uint64_t first, last, status, rounding = seed % 5 << 5;

	__asm__ volatile("fmv.d.x fs0, %4\n\tfmv.d.x ft11, %4\n\tfscsr %5\n\tecall\n\tfmv.x.d %1, fs0\n\tfmv.x.d %2, ft11\n\tfrcsr %3\n\tfscsr x0"
			 : "+r"(a0), "=&r"(first), "=&r"(last), "=&r"(status)
			 : "r"(seed), "r"(rounding), "r"(a1), "r"(a2), "r"(a7)
			 : "memory", "fs0", "ft11");
	return !a0 && first == seed && last == seed && status == rounding;
}

/* The VMM's own, while the guest fills all of the hart's. */
static void host_floating_point(void)
{
	unsigned int bad = 0;

	start();
	fp_code();
	for (unsigned int round = 1; round <= ROUNDS; round++) {
		if (!fs_is("host-fp", 0, INITIAL))
			break;
		for (unsigned int n = 1; n < 32; n++)
			reg_set(guests[0], reg_x(n), ~(uint64_t)round);
		reg_set(guests[0], reg_x(0), fp_write);
		bad += !run_keeps_fp(guests[0]->fd, round);
		vcpu_complete(guests[0]);
	}
	check(!bad, "host-fp", "%u times the VMM's registers were others after KVM_RUN", bad);
	stop();
}

/* ---- vectors ---- */

static void vectors(void)
{
	uint64_t isa = 0, fill, read, wrong = 0;

	start();
	if (reg_read(guests[0], KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_ISA_EXT | KVM_RISCV_ISA_EXT_V, &isa) || !isa) {
		skip("vectors", "the host's KVM has no vector extension for guests");
		stop();
		return;
	}
	fill = code_start();
	code(insn_csrw(0x100, 31));
	code(0xcd80f057); /* vsetivli x0, 1, e64, m1, ta, ma */
	for (unsigned int n = 0; n < 30; n++)
		code(0x5e004057u | (n + 1) << 15 | n << 7); /* vmv.v.x vn, x(n+1) */
	code(STORE_TO_0);
	read = code_start();
	code(0xcd80f057);
	for (unsigned int n = 0; n < 30; n++)
		code(0x42002057u | n << 20 | (n + 1) << 7); /* vmv.x.s x(n+1), vn */
	code(STORE_TO_0);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (unsigned int i = 0; i < GUESTS; i++) {
			for (unsigned int n = 1; n < 31; n++)
				reg_set(guests[i], reg_x(n), pattern(n, round * GUESTS + i));
			reg_set(guests[i], reg_x(31), FS(INITIAL) | 1 << 9);
			if (!run_at("vectors", i, fill))
				return;
		}
		for (unsigned int i = 0; i < GUESTS; i++) {
			if (!run_at("vectors", i, read))
				return;
			for (unsigned int n = 1; n < 31; n++)
				wrong += reg_get(guests[i], reg_x(n)) != pattern(n, round * GUESTS + i);
		}
	}
	check(!wrong, "vectors", "%" PRIu64 " times a register is not what it was", wrong);
	stop();
}

/* ---- at any time ---- */

static struct shared {
	volatile uint64_t bad[2], rounds[2];
} shared;

/* CSRs and floating point, looked at all the time: the host takes the hart away between any two instructions. */
static void watch(uint64_t seed)
{
	uint64_t me = guest_index(), end = csr_read(time) + (seed >> 8), v;

	csr_write(sscratch, seed);
	csr_write(sepc, seed << 4);
	csr_write(stval, ~seed);
	__asm__ volatile("fmv.d.x f0, %0\n\tfmv.d.x f31, %1" : : "r"(seed), "r"(~seed));
	while (csr_read(time) < end) {
		for (unsigned int i = 0; i < 200; i++) {
			shared.bad[me] += csr_read(sscratch) != seed || csr_read(sepc) != seed << 4 || csr_read(stval) != ~seed;
			__asm__ volatile("fmv.x.d %0, f0" : "=r"(v));
			shared.bad[me] += v != seed;
			__asm__ volatile("fmv.x.d %0, f31" : "=r"(v));
			shared.bad[me] += v != ~seed;
		}
		shared.rounds[me]++;
	}
	guest_call(0, 0);
	for (;;)
		;
}

static volatile uint64_t finished;

static void on_call(struct vcpu *v, unsigned int op, uint64_t value)
{
	v->stop = true;
	__atomic_fetch_add(&finished, 1, __ATOMIC_RELEASE);
}

static void preempted(void)
{
	struct shared *s;
	struct vm vm;
	uint64_t ticks;

	vm_create(&vm, 2);
	s = guest_of(&vm, &shared);
	ticks = reg_get(&vm.vcpu[0], KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_TIMER | KVM_REG_RISCV_TIMER_REG(frequency)) / 2;
	finished = 0;
	for (unsigned int i = 0; i < 2; i++) {
		vcpu_enter(&vm.vcpu[i], watch, ticks << 8 | (0x10 + i));
		vcpu_start(&vm.vcpu[i], 0, on_call);
	}
	check(wait_for(&finished, 2, 60000), "preempted", "it takes too long");
	for (unsigned int i = 0; i < 2; i++)
		vcpu_stop(&vm.vcpu[i]);
	check(!s->bad[0] && !s->bad[1] && s->rounds[0] && s->rounds[1], "preempted", "%" PRIu64 " and %" PRIu64 " times in %" PRIu64 " and %" PRIu64 " rounds a register was another",
	      s->bad[0], s->bad[1], s->rounds[0], s->rounds[1]);
	vm_destroy(&vm);
}

int main(void)
{
	integers();
	guest_csrs();
	guest_sip();
	floating_point();
	host_floating_point();
	vectors();
	preempted();
	return finish();
}
