/* SPDX-License-Identifier: MIT */
/*
 * Entry of the boot CPU and of those that PSCI starts, the MMU, and the vectors. Everything is mapped one to one in blocks of 1 GiB: below RAM devices, from there normal
 * memory. Each CPU has a stack of its own; TPIDR_EL1 is its number.
 */
#include "layout.h"

#define TCR (25 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 2 << 32) /* 39 bits, 4 KiB, write-back walks, no TTBR1 */
#define MAIR 0x00ff
#define SCTLR (0x30d00800 | 1 << 0 | 1 << 2 | 1 << 12)
#define BLOCK(attribute) (1 | attribute << 2 | 3 << 8 | 1 << 10)
#define NEVER_EXECUTE (3 << 53)

	.section .text.start, "ax"
	.globl _start
_start:
	/* x0: the device tree. The table, with the MMU off. */
	adrp	x1, table
	ldr	x2, =BLOCK(1) | NEVER_EXECUTE
	mov	x3, #0
1:	cmp	x3, #2
	b.ne	2f
	ldr	x2, =BLOCK(0)
2:	add	x4, x2, x3, lsl #30
	str	x4, [x1, x3, lsl #3]
	add	x3, x3, #1
	cmp	x3, #512
	b.ne	1b
	dmb	sy
	mov	x3, #0
3:	add	x4, x1, x3
	dc	civac, x4
	add	x3, x3, #16
	cmp	x3, #4096
	b.ne	3b
	dsb	sy
	mov	x19, x0
	mov	x20, #0
	bl	mmu_on
	ldr	x1, =__bss_start
	ldr	x2, =__bss_end
4:	str	xzr, [x1], #8
	cmp	x1, x2
	b.lo	4b
	mov	x1, x19
	mov	x0, x20
	ldr	x30, =guest_main
	b	enter

	/* x0: the number */
	.globl secondary_start
secondary_start:
	mov	x20, x0
	bl	mmu_on
	mov	x0, x20
	ldr	x30, =guest_secondary
enter:
	msr	tpidr_el1, x0
	ldr	x2, =stacks
	add	x3, x0, #1
	mov	x4, #STACK_SIZE
	madd	x2, x3, x4, x2
	mov	sp, x2
	ret	x30

mmu_on:
	adrp	x1, table
	msr	ttbr0_el1, x1
	ldr	x2, =TCR
	msr	tcr_el1, x2
	mov	x2, #MAIR
	msr	mair_el1, x2
	ldr	x2, =vectors
	msr	vbar_el1, x2
	mov	x2, #3 << 20
	msr	cpacr_el1, x2
	tlbi	vmalle1
	ic	iallu
	dsb	nsh
	isb
	ldr	x2, =SCTLR
	msr	sctlr_el1, x2
	isb
	ret

	.ltorg

	.macro	vector kind
	.balign	128
	sub	sp, sp, #256
	stp	x0, x1, [sp]
	mov	x0, #\kind
	b	exception
	.endm

	.balign	2048
vectors:
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
	stp	x18, x29, [sp, #144]
	str	x30, [sp, #160]
	mrs	x1, elr_el1
	mrs	x2, spsr_el1
	stp	x1, x2, [sp, #176]
	bl	trap
	msr	elr_el1, x0
	ldr	x2, [sp, #184]
	msr	spsr_el1, x2
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
	ldp	x18, x29, [sp, #144]
	ldr	x30, [sp, #160]
	ldp	x0, x1, [sp], #16
	add	sp, sp, #240
	eret

	.bss
	.balign	16
stacks:
	.space	MAX_HARTS * STACK_SIZE

	.section .table, "aw", %nobits
	.balign	4096
table:
	.space	4096
