/* SPDX-License-Identifier: MIT */
/*
 * Single instructions of a guest, with all its registers set and read by user space: no other code of the guest runs. What is run is put at CODE, and ends in
 * a store to the guest physical address 0, where no memory is.
 */
#ifndef TESTS_KVM_RISCV_INSN_H
#define TESTS_KVM_RISCV_INSN_H

#include "machine.h"

#define CODE (RAM_BASE + RAM_SIZE / 2)
#define TABLES (CODE + 0x10000) /* page tables */
#define ECALL 0x00000073u
#define NOP 0x00000013u
#define STORE_TO_0 0x00002023u /* sw x0, 0(x0) */

/* RISC-V unprivileged, chapter "Instruction Set Listings". */
static inline uint32_t insn_load(unsigned int funct3, unsigned int rd, unsigned int rs1, int imm)
{
	return ((uint32_t)imm & 0xfff) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x03;
}

static inline uint32_t insn_store(unsigned int funct3, unsigned int rs2, unsigned int rs1, int imm)
{
	return ((uint32_t)imm >> 5 & 0x7f) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | ((uint32_t)imm & 0x1f) << 7 | 0x23;
}

/* csrrs rd, csr, x0 and csrrw x0, csr, rs1 */
static inline uint32_t insn_csrr(unsigned int rd, unsigned int csr)
{
	return csr << 20 | 2 << 12 | rd << 7 | 0x73;
}

static inline uint32_t insn_csrw(unsigned int csr, unsigned int rs1)
{
	return csr << 20 | rs1 << 15 | 1 << 12 | 0x73;
}

static inline unsigned int insn_bytes(uint32_t insn)
{
	return (insn & 3) == 3 ? 4 : 2;
}

/* Puts it where the guest physical address is; where it ends. */
static inline uint64_t insn_put(struct vm *vm, uint64_t at, uint32_t insn)
{
	memcpy((char *)vm->ram + (at - RAM_BASE), &insn, insn_bytes(insn));
	return at + insn_bytes(insn);
}

static inline uint64_t reg_x(unsigned int n)
{
	return KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_CORE | n;
}

/* x[0] is the pc. */
static inline void regs_set(struct vcpu *v, const uint64_t x[32])
{
	for (unsigned int n = 0; n < 32; n++)
		reg_set(v, reg_x(n), x[n]);
}

static inline void regs_get(struct vcpu *v, uint64_t x[32])
{
	for (unsigned int n = 0; n < 32; n++)
		x[n] = reg_get(v, reg_x(n));
}

/* Something of its own for each register, unlike any address. */
static inline uint64_t pattern(unsigned int n, uint64_t seed)
{
	return (n + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ seed * UINT64_C(0xc2b2ae3d27d4eb4f);
}

/* What it left with is completed, and no instruction is executed. */
static inline void vcpu_complete(struct vcpu *v)
{
	v->run->immediate_exit = 1;
	ioctl(v->fd, KVM_RUN, 0);
	v->run->immediate_exit = 0;
}

/* Runs it until it stores to 0; else what KVM_RUN returned (-errno), or 1: run->exit_reason, the store completed. */
static inline int run_to_end(struct vcpu *v)
{
	int r;

	do
		r = ioctl(v->fd, KVM_RUN, 0) < 0 ? -errno : 0;
	while (r == -EINTR || r == -EAGAIN);
	if (r)
		return r;
	if (v->run->exit_reason != KVM_EXIT_MMIO || !v->run->mmio.is_write || v->run->mmio.phys_addr)
		return 1;
	vcpu_complete(v);
	return 0;
}

#endif
