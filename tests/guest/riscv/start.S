/* SPDX-License-Identifier: MIT */
/* Entry of the boot hart and of those that HSM starts, and the trap vector. Each hart has a stack of its own; tp is its number. */
#include "layout.h"

	.section .text.start, "ax"
	.globl _start
_start:
	la	t0, __bss_start
	la	t1, __bss_end
1:	bgeu	t0, t1, 2f
	sd	zero, 0(t0)
	addi	t0, t0, 8
	j	1b
2:	mv	s1, a1
	la	ra, guest_main
	/* a0: hart, a1: the device tree, or what hart_start was given */
enter:
	mv	tp, a0
	la	sp, stacks
	li	t0, STACK_SIZE
	addi	t1, a0, 1
	mul	t1, t1, t0
	add	sp, sp, t1
	la	t0, trap_vector
	csrw	stvec, t0
	csrw	sie, zero
	jr	ra

	.globl secondary_start
secondary_start:
	la	ra, guest_secondary
	j	enter

	.balign 4
trap_vector:
	addi	sp, sp, -FRAME_SIZE
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
	csrr	t0, sstatus
	sd	t0, 128(sp)
	call	trap
	csrw	sepc, a0
	ld	t0, 128(sp)
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
	addi	sp, sp, FRAME_SIZE
	sret

	.bss
	.balign 16
stacks:
	.space	MAX_HARTS * STACK_SIZE
