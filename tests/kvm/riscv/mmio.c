// SPDX-License-Identifier: MIT
/*
 * Loads and stores where no memory is, instruction by instruction: every form, with every register as the result, the value and the address, both signs, in all
 * modes of a guest, and what cannot be emulated. All registers but the result keep their values.
 */
#include <sys/eventfd.h>

#include "insn.h"

#define MMIO UINT64_C(0x20000000)
#define VIRTUAL UINT64_C(0x80000000) /* two pages of code, which are no neighbours in memory */
#define PAGE UINT64_C(4096)
#define PAGE_A CODE
#define PAGE_B (CODE + 2 * PAGE)
#define V 1u
#define R 2u
#define W 4u
#define X 8u
#define U 16u
#define A_D 0xc0u

/* How an instruction's fields lie: a 32-bit load or store; compressed, with the eight registers from x8; compressed, with the stack pointer. */
enum form { I, S, CL, CS, CI_SP, CSS_SP };

static const struct insn {
	const char *name;
	enum form form;
	unsigned int funct3, len;
	bool is_signed;
} insns[] = {
	{ "lb", I, 0, 1, true },      { "lbu", I, 4, 1, false },     { "lh", I, 1, 2, true },       { "lhu", I, 5, 2, false },      { "lw", I, 2, 4, true },
	{ "lwu", I, 6, 4, false },    { "ld", I, 3, 8, false },      { "c.lw", CL, 2, 4, true },    { "c.ld", CL, 3, 8, false },    { "c.lwsp", CI_SP, 2, 4, true },
	{ "c.ldsp", CI_SP, 3, 8, false }, { "sb", S, 0, 1, false },  { "sh", S, 1, 2, false },      { "sw", S, 2, 4, false },       { "sd", S, 3, 8, false },
	{ "c.sw", CS, 6, 4, false },  { "c.sd", CS, 7, 8, false },   { "c.swsp", CSS_SP, 6, 4, false }, { "c.sdsp", CSS_SP, 7, 8, false },
};

static bool is_store(const struct insn *i)
{
	return i->form == S || i->form == CS || i->form == CSS_SP;
}

/* The offset of a compressed access is a multiple of its length: imm is 0 or that length. */
static uint32_t encode(const struct insn *i, unsigned int reg, unsigned int base, int imm)
{
	uint32_t word = i->len == 8, off = (uint32_t)imm;

	switch (i->form) {
	case I: return insn_load(i->funct3, reg, base, imm);
	case S: return insn_store(i->funct3, reg, base, imm);
	case CL:
	case CS: /* the offset's bits 5:3 at 12:10; bit 2 at 6 (w), bit 6 at 5 (w), bits 7:6 at 6:5 (d) */
		return i->funct3 << 13 | (off >> 3 & 7) << 10 | (base - 8) << 7 | (word ? (off >> 6 & 3) << 5 : (off >> 2 & 1) << 6 | (off >> 6 & 1) << 5) |
		       (reg - 8) << 2;
	case CI_SP: /* bit 5 at 12; w: bits 4:2 at 6:4, 7:6 at 3:2; d: bits 4:3 at 6:5, 8:6 at 4:2 */
		return i->funct3 << 13 | (off >> 5 & 1) << 12 | reg << 7 |
		       (word ? (off >> 3 & 3) << 5 | (off >> 6 & 7) << 2 : (off >> 2 & 7) << 4 | (off >> 6 & 3) << 2) | 2;
	case CSS_SP: /* w: bits 5:2 at 12:9, 7:6 at 8:7; d: bits 5:3 at 12:10, 8:6 at 9:7 */
		return i->funct3 << 13 | (word ? (off >> 3 & 7) << 10 | (off >> 6 & 7) << 7 : (off >> 2 & 15) << 9 | (off >> 6 & 3) << 7) | reg << 2 | 2;
	}
	return 0;
}

/* Can this form name these registers? */
static bool encodes(const struct insn *i, unsigned int reg, unsigned int base)
{
	switch (i->form) {
	case I:
	case S: return base != 0;
	case CL:
	case CS: return reg >= 8 && reg < 16 && base >= 8 && base < 16;
	case CI_SP: return base == 2 && reg != 0;
	case CSS_SP: return base == 2;
	}
	return false;
}

/* Where the code lies for the guest, how it got there, and how to run there. */
static const struct place {
	const char *name;
	uint64_t satp_mode, mode;
	unsigned int pte;
	bool at_end; /* of the page: what is longer than a halfword lies in both pages */
} places[] = {
	{ "bare", 0, KVM_RISCV_MODE_S, 0, false },
	{ "sv39", 8, KVM_RISCV_MODE_S, V | R | W | X | A_D, false },
	{ "sv39-execute-only", 8, KVM_RISCV_MODE_S, V | X | A_D, true },
	{ "sv39-user", 8, KVM_RISCV_MODE_U, V | R | X | U | A_D, true },
	{ "sv39-user-execute-only", 8, KVM_RISCV_MODE_U, V | X | U | A_D, false },
};

/* Low addresses and RAM one to one, and the two pages. */
static void map(struct vm *vm, const struct place *p)
{
	uint64_t *table = (uint64_t *)((char *)vm->ram + (TABLES - RAM_BASE)), *middle = table + 512, *leaf = middle + 512;

	memset(table, 0, 3 * PAGE);
	table[0] = V | R | W | A_D | (p->pte & U);
	table[RAM_BASE >> 30] = RAM_BASE >> 2 | V | R | W | X | A_D | (p->pte & U);
	table[VIRTUAL >> 30] = (TABLES + PAGE) >> 2 | V;
	middle[0] = (TABLES + 2 * PAGE) >> 2 | V;
	leaf[0] = PAGE_A >> 2 | p->pte;
	leaf[1] = PAGE_B >> 2 | p->pte;
}

/* Puts the instruction and the end there; where it starts, for the guest. */
static uint64_t place(struct vm *vm, const struct place *p, uint32_t insn)
{
	uint64_t offset = p->at_end ? PAGE - 2 : 0, at = offset;
	const uint32_t words[2] = { insn, STORE_TO_0 };

	for (unsigned int w = 0; w < 2; w++)
		for (unsigned int b = 0; b < insn_bytes(words[w]); b += 2, at += 2)
			memcpy((char *)vm->ram + ((at < PAGE ? PAGE_A + at : PAGE_B + at - PAGE) - RAM_BASE), (const char *)&words[w] + b, 2);
	return (p->satp_mode ? VIRTUAL : PAGE_A) + offset;
}

static void enter(struct vcpu *v, const struct place *p)
{
	const struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };

	map(v->vm, p);
	reg_set(v, REG_CSR(satp), p->satp_mode << 60 | (p->satp_mode ? TABLES >> 12 : 0));
	reg_set(v, REG_CSR(sstatus), 3 << 13);
	reg_set(v, REG_CORE(mode), p->mode);
	reg_set(v, REG_CSR(stvec), CODE + 0x800);
	insn_put(v->vm, CODE + 0x800, STORE_TO_0);
	must(ioctl(v->fd, KVM_SET_MP_STATE, &runnable), "KVM_SET_MP_STATE");
}

/* What a load of that data leaves in the register. */
static uint64_t extended(const struct insn *i, uint64_t data)
{
	unsigned int shift = 64 - 8 * i->len;

	return i->is_signed ? (uint64_t)((int64_t)(data << shift) >> shift) : data << shift >> shift;
}

/* One access. What is wrong with it, or NULL. */
static const char *wrong(struct vcpu *v, const struct place *p, const struct insn *i, unsigned int reg, unsigned int base, int imm, uint64_t data)
{
	static char reason[200];
	uint64_t before[32], after[32], address = MMIO + 0x100, seen = 0;
	uint32_t insn = encode(i, reg, base, imm);
	struct kvm_run *run = v->run;
	int r;

	for (unsigned int n = 1; n < 32; n++)
		before[n] = pattern(n, data);
	before[0] = place(v->vm, p, insn);
	if (is_store(i) && reg && reg != base)
		before[reg] = data;
	before[base] = address - (uint64_t)(int64_t)imm;
	regs_set(v, before);
	r = run_to_end(v);
	if (r != 1 || run->exit_reason != KVM_EXIT_MMIO) {
		snprintf(reason, sizeof(reason), "KVM_RUN says %d, exit %u", r, run->exit_reason);
		return reason;
	}
	if (run->mmio.phys_addr != address || run->mmio.len != i->len || run->mmio.is_write != is_store(i)) {
		snprintf(reason, sizeof(reason), "%s of %u bytes at 0x%" PRIx64, run->mmio.is_write ? "a store" : "a load", run->mmio.len,
			 (uint64_t)run->mmio.phys_addr);
		return reason;
	}
	if (is_store(i)) {
		memcpy(&seen, run->mmio.data, i->len);
		if (seen != (reg ? before[reg] << (64 - 8 * i->len) >> (64 - 8 * i->len) : 0)) {
			snprintf(reason, sizeof(reason), "stores 0x%" PRIx64 " of 0x%" PRIx64, seen, reg ? before[reg] : 0);
			return reason;
		}
	} else {
		memset(run->mmio.data, 0xa5, sizeof(run->mmio.data));
		memcpy(run->mmio.data, &data, i->len);
		if (reg)
			before[reg] = extended(i, data);
	}
	vcpu_complete(v);
	regs_get(v, after);
	before[0] += insn_bytes(insn);
	for (unsigned int n = 0; n < 32; n++) {
		if (after[n] == before[n])
			continue;
		snprintf(reason, sizeof(reason), "%s%u is 0x%" PRIx64 ", should be 0x%" PRIx64, n ? "x" : "pc, x", n, after[n], before[n]);
		return reason;
	}
	r = run_to_end(v);
	if (!r)
		return NULL;
	snprintf(reason, sizeof(reason), "what follows: KVM_RUN says %d, exit %u", r, run->exit_reason);
	return reason;
}

static void forms(struct vcpu *v, const struct place *p)
{
	static const uint64_t values[] = { UINT64_C(0x8091a2b3c4d5e6f7), UINT64_C(0x7f6e5d4c3b2a1908) };

	enter(v, p);
	for (const struct insn *i = insns; i < insns + ARRAY_SIZE(insns); i++) {
		const int imms[] = { 0, (int)i->len, i->form == I || i->form == S ? -2048 : 0 };
		const char *reason = NULL;
		char what[64];
		unsigned int n = 0;

		snprintf(what, sizeof(what), "%s-%s", p->name, i->name);
		for (unsigned int reg = 0; reg < 32 && !reason; reg++) {
			/* With every register in bare mode; each base, too. */
			for (unsigned int base = 1; base < 32 && !reason; base++) {
				if (!encodes(i, reg, base) || (base != 2 && base != 9 && base != reg && reg != 10))
					continue;
				/* Loads into x0: see nothing_in_x0. With translation a few are enough. */
				if ((!reg && !is_store(i)) || (p->satp_mode && (reg % 10 || (base != 2 && base != 9 && base != reg))))
					continue;
				reason = wrong(v, p, i, reg, base, imms[n % 3], values[n / 3 % 2]);
				if (reason) {
					check(false, what, "x%u, %d(x%u): %s", reg, imms[n % 3], base, reason);
					vcpu_complete(v);
				}
				n++;
			}
		}
		if (!reason)
			check(n >= (p->satp_mode ? 2 : 8), what, "only %u were tried", n);
	}
}

/* What is loaded into x0 is gone: a store of x0 stores 0. */
static void nothing_in_x0(struct vcpu *v)
{
	const struct insn *load = &insns[6], *store = &insns[14];
	const char *reason;

	enter(v, &places[0]);
	reason = wrong(v, &places[0], load, 0, 11, 0, UINT64_C(0x8091a2b3c4d5e6f7));
	check(!reason, "ld-x0", "%s", reason);
	reason = wrong(v, &places[0], store, 0, 11, 0, 0);
	check(!reason, "sd-x0-after-ld-x0", "%s", reason);
	vcpu_complete(v);
}

/* The guest was given this exception there. */
static bool trapped(struct vcpu *v, uint64_t cause, uint64_t pc, uint64_t address)
{
	return reg_get(v, REG_CSR(scause)) == cause && reg_get(v, REG_CSR(sepc)) == pc && reg_get(v, REG_CSR(stval)) == address &&
	       reg_get(v, reg_x(0)) == CODE + 0x800 + 4;
}

/* An access that is not aligned: an error for the VMM, or a trap for the guest (then the guest's own), but never a wrong address or value. */
static void misaligned(struct vcpu *v)
{
	const struct place *p = &places[0];

	enter(v, p);
	for (const struct insn *i = insns; i < insns + ARRAY_SIZE(insns); i++) {
		uint64_t x[32];
		char what[64];
		int r;

		if (i->len == 1 || (i->form != I && i->form != S))
			continue;
		snprintf(what, sizeof(what), "misaligned-%s", i->name);
		for (unsigned int n = 1; n < 32; n++)
			x[n] = pattern(n, 1);
		x[0] = place(v->vm, p, encode(i, 10, 11, 0));
		x[11] = MMIO + 0x100 + i->len / 2;
		regs_set(v, x);
		r = run_to_end(v);
		if (!r) {
			check(trapped(v, is_store(i) ? 6 : 4, x[0], x[11]) || trapped(v, is_store(i) ? 7 : 5, x[0], x[11]), what, "scause %" PRIu64 ", stval 0x%" PRIx64,
			      reg_get(v, REG_CSR(scause)), reg_get(v, REG_CSR(stval)));
		} else {
			check(r == -EIO && reg_get(v, reg_x(0)) == x[0], what, "KVM_RUN says %d, exit %u, and the pc has moved by %" PRId64, r, v->run->exit_reason,
			      (int64_t)(reg_get(v, reg_x(0)) - x[0]));
		}
	}
}

/* What no VMM is asked to do, atomics and floating point: an error for the VMM, or an access fault for the guest; nothing else has changed. */
static void not_emulated(struct vcpu *v)
{
	static const struct {
		const char *name;
		uint32_t insn;
		uint64_t cause;
	} rows[] = {
		{ "amoadd.w", 0x00c5a52f, 7 }, { "lr.d", 0x1005b52f, 5 }, { "fld", 0x0005b507, 5 }, { "fsw", 0x00a5a027, 7 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t x[32], after[32];
		bool same;
		int r;

		enter(v, &places[0]);
		for (unsigned int n = 1; n < 32; n++)
			x[n] = pattern(n, 2);
		x[0] = place(v->vm, &places[0], rows[i].insn);
		x[11] = MMIO;
		regs_set(v, x);
		r = run_to_end(v);
		regs_get(v, after);
		same = !memcmp(x + 1, after + 1, sizeof(x) - sizeof(x[0]));
		if (!r)
			check(same && trapped(v, rows[i].cause, x[0], MMIO), rows[i].name, "scause %" PRIu64 ", the registers are %s", reg_get(v, REG_CSR(scause)),
			      same ? "the same" : "others");
		else
			check(r == -EOPNOTSUPP && same && after[0] == x[0], rows[i].name, "KVM_RUN says %d, exit %u, the registers are %s", r, v->run->exit_reason,
			      same ? "the same" : "others");
	}
}

/* CBO.ZERO is no instruction that hardware describes in htinst: KVM reads it, across pages and from those that can only be executed, too. */
static void read_instruction(struct vcpu *v)
{
	uint64_t isa = 0;

	if (reg_read(v, KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_ISA_EXT | KVM_RISCV_ISA_EXT_ZICBOZ, &isa) || !isa) {
		skip("cbo.zero", "the host's KVM has no Zicboz for guests, and so no instruction that it would have to read");
		return;
	}
	for (const struct place *p = places; p < places + ARRAY_SIZE(places); p++) {
		uint64_t x[32] = { 0 };
		char what[64];
		int r;

		if (p->mode != KVM_RISCV_MODE_S)
			continue;
		snprintf(what, sizeof(what), "cbo.zero-%s", p->name);
		enter(v, p);
		x[0] = place(v->vm, p, 0x0045a00f);
		x[11] = MMIO;
		regs_set(v, x);
		r = run_to_end(v);
		check(r == -EOPNOTSUPP || (!r && trapped(v, 7, x[0], MMIO)), what, "KVM_RUN says %d, exit %u, scause %" PRIu64 ", stval 0x%" PRIx64, r,
		      v->run->exit_reason, reg_get(v, REG_CSR(scause)), reg_get(v, REG_CSR(stval)));
	}
}

/* A store that is an eventfd's does not leave the kernel, and the guest goes on behind it. */
static void in_kernel(struct vcpu *v)
{
	const struct place *p = &places[0];

	enter(v, p);
	for (const struct insn *i = insns; i < insns + ARRAY_SIZE(insns); i++) {
		int fd = (int)must(eventfd(0, EFD_NONBLOCK), "eventfd"), r;
		struct kvm_ioeventfd e = { .addr = MMIO + 0x200, .len = i->len, .fd = fd };
		unsigned int base = i->form == S ? 11 : i->form == CS ? 9 : 2;
		uint64_t x[32], count = 0;
		char what[64];

		if (!is_store(i)) {
			close(fd);
			continue;
		}
		snprintf(what, sizeof(what), "eventfd-%s", i->name);
		must(ioctl(v->vm->fd, KVM_IOEVENTFD, &e), "KVM_IOEVENTFD");
		for (unsigned int n = 1; n < 32; n++)
			x[n] = pattern(n, 3);
		x[0] = place(v->vm, p, encode(i, 10, base, 0));
		x[base] = e.addr;
		regs_set(v, x);
		r = run_to_end(v);
		check(!r && read(fd, &count, sizeof(count)) > 0 && count == 1, what, "KVM_RUN says %d, exit %u; %" PRIu64 " signals", r, v->run->exit_reason, count);
		e.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
		must(ioctl(v->vm->fd, KVM_IOEVENTFD, &e), "KVM_IOEVENTFD");
		if (r == 1)
			vcpu_complete(v);
		close(fd);
	}
}

int main(void)
{
	struct vm vm;

	vm_create(&vm, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(places); i++)
		forms(&vm.vcpu[0], &places[i]);
	nothing_in_x0(&vm.vcpu[0]);
	misaligned(&vm.vcpu[0]);
	not_emulated(&vm.vcpu[0]);
	read_instruction(&vm.vcpu[0]);
	in_kernel(&vm.vcpu[0]);
	vm_destroy(&vm);
	return finish();
}
