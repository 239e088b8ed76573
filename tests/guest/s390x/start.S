/* SPDX-License-Identifier: MIT */
/* The head of an image as loaders of s390x kernels know it, entry of the boot CPU and of those that SIGP restarts, interrupts. */
#include "layout.h"

	.section .text.start, "ax"
	.globl _start
_start:
	j	begin
	.org	8
	.ascii	"S390EP"
	.byte	0, 1
	/* The parameter area. */
	.org	GUEST_COMMAND_LINE - GUEST_BASE - 0x50
	.quad	GUEST_COMMAND_LINE_SIZE
	.org	GUEST_COMMAND_LINE - GUEST_BASE
	.ascii	"root=/dev/ram0 ro"
	.org	GUEST_COMMAND_LINE - GUEST_BASE + GUEST_COMMAND_LINE_SIZE
	.org	0x1000

begin:
	stnsm	LC_RETURN_PSW, MASK_NEITHER
	sam64
	larl	%r1, __bss_start
	larl	%r2, __bss_end
1:	clgrjhe	%r1, %r2, 2f
	mvghi	0(%r1), 0
	aghi	%r1, 8
	j	1b
2:	larl	%r15, stacks + STACK_SIZE - STACK_FRAME
	lghi	%r2, 0
	brasl	%r14, lowcore_init
	lghi	%r2, 0
	llilf	%r3, GUEST_COMMAND_LINE
	brasl	%r14, guest_main

	.globl	secondary_start
secondary_start:
	lg	%r15, LC_STACK
	llgf	%r2, LC_HART
	brasl	%r14, guest_secondary

	/* r2: the frame, on the stack of whom it interrupted; what is stored there may be changed. */
.macro INTERRUPT name, class, code, length
	.globl	\name
\name:
	lay	%r15, -(STACK_FRAME + FRAME_SIZE)(%r15)
	stmg	%r0, %r14, STACK_FRAME(%r15)
	mvc	STACK_FRAME + FRAME_PSW(16, %r15), 0x130 + 16 * \class
	mvc	STACK_FRAME + FRAME_CODE(\length, %r15), \code
	la	%r2, STACK_FRAME(%r15)
	lghi	%r3, \class
	brasl	%r14, interrupt
	stnsm	LC_HART + 4, MASK_NEITHER
	mvc	LC_RETURN_PSW + 16 * \class(16), STACK_FRAME + FRAME_PSW(%r15)
	lmg	%r0, %r14, STACK_FRAME(%r15)
	lay	%r15, STACK_FRAME + FRAME_SIZE(%r15)
	lpswe	LC_RETURN_PSW + 16 * \class
.endm

	INTERRUPT external_interrupt, INTERRUPT_EXTERNAL, 0x80, 8
	INTERRUPT svc_interrupt, INTERRUPT_SVC, 0x88, 4
	INTERRUPT program_interrupt, INTERRUPT_PROGRAM, 0x8c, 4
	INTERRUPT machine_check_interrupt, INTERRUPT_MACHINE_CHECK, 0xe8, 8
	INTERRUPT io_interrupt, INTERRUPT_IO, 0xb8, 16

	.bss
	.balign 16
	.globl	stacks
stacks:
	.space	MAX_HARTS * STACK_SIZE

	.section .note.GNU-stack, "", @progbits
