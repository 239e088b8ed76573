/* SPDX-License-Identifier: MIT */
/* The guest's vectors, and where PSCI starts a vCPU. */
	.text
	.globl guest_secondary
	/* x0: struct guest_boot. MMU off. */
guest_secondary:
	ldp	x1, x2, [x0]
	ldp	x3, x4, [x0, #16]
	ldp	x5, x6, [x0, #32]
	ldp	x7, x8, [x0, #48]
	ldp	x9, x10, [x0, #64]
	msr	ttbr0_el1, x1
	msr	tcr_el1, x2
	msr	mair_el1, x3
	msr	vbar_el1, x5
	msr	cpacr_el1, x6
	msr	tpidr_el1, x10
	isb
	tlbi	vmalle1
	dsb	nsh
	msr	sctlr_el1, x4
	isb
	mov	sp, x7
	mov	x0, x9
	mov	x29, xzr
	mov	x30, xzr
	blr	x8
1:	wfi
	b	1b

	.macro	vector kind
	.balign	128
	sub	sp, sp, #288
	stp	x0, x1, [sp]
	mov	x0, #\kind
	b	exception
	.endm

	.balign	2048
	.globl guest_vectors
guest_vectors:
	.irp	kind, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vector	\kind
	.endr

exception:
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x19, [sp, #144]
	stp	x29, x30, [sp, #160]
	mrs	x1, elr_el1
	mrs	x2, spsr_el1
	stp	x1, x2, [sp, #176]
	stp	q0, q1, [sp, #192]
	stp	q2, q3, [sp, #224]
	stp	q4, q5, [sp, #256]
	bl	guest_exception
	msr	elr_el1, x0
	ldr	x2, [sp, #184]
	msr	spsr_el1, x2
	ldp	q0, q1, [sp, #192]
	ldp	q2, q3, [sp, #224]
	ldp	q4, q5, [sp, #256]
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
	ldp	x18, x19, [sp, #144]
	ldp	x29, x30, [sp, #160]
	ldp	x0, x1, [sp], #16
	add	sp, sp, #272
	eret

	.section .note.GNU-stack, "", %progbits
