/* SPDX-License-Identifier: MIT */
/* Where a vCPU starts, and the guest's trap vector. All runs in VS mode, without translation. */
	.text
	.option norvc
	.globl guest_start
	/* a0: hart, or what the caller likes; a1: struct guest_boot. As SBI HSM starts harts, too. */
guest_start:
	.option push
	.option norelax
	la	gp, __global_pointer$
	.option pop
	ld	sp, 0(a1)
	ld	tp, 8(a1)
	ld	t0, 16(a1)
	ld	a0, 24(a1)
	la	t1, guest_vector
	csrw	stvec, t1
	li	t1, 0x2000	/* sstatus.FS = initial */
	csrs	sstatus, t1
	jalr	t0
1:	wfi
	j	1b

	.balign	4
	.globl guest_vector
guest_vector:
	addi	sp, sp, -256
	sd	ra, 0(sp)
	sd	t0, 8(sp)
	sd	t1, 16(sp)
	sd	t2, 24(sp)
	sd	a0, 32(sp)
	sd	a1, 40(sp)
	sd	a2, 48(sp)
	sd	a3, 56(sp)
	sd	a4, 64(sp)
	sd	a5, 72(sp)
	sd	a6, 80(sp)
	sd	a7, 88(sp)
	sd	t3, 96(sp)
	sd	t4, 104(sp)
	sd	t5, 112(sp)
	sd	t6, 120(sp)
	csrr	a0, scause
	csrr	a1, sepc
	csrr	a2, stval
	sd	a1, 128(sp)
	csrr	t0, sstatus
	sd	t0, 136(sp)
	call	guest_trap
	csrw	sepc, a0
	ld	t0, 136(sp)
	csrw	sstatus, t0
	ld	ra, 0(sp)
	ld	t0, 8(sp)
	ld	t1, 16(sp)
	ld	t2, 24(sp)
	ld	a0, 32(sp)
	ld	a1, 40(sp)
	ld	a2, 48(sp)
	ld	a3, 56(sp)
	ld	a4, 64(sp)
	ld	a5, 72(sp)
	ld	a6, 80(sp)
	ld	a7, 88(sp)
	ld	t3, 96(sp)
	ld	t4, 104(sp)
	ld	t5, 112(sp)
	ld	t6, 120(sp)
	addi	sp, sp, 256
	sret

	.section .note.GNU-stack, "", @progbits
