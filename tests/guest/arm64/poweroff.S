/* SPDX-License-Identifier: MIT */
/* The smallest guest: PSCI SYSTEM_OFF, behind the 64 bytes of an arm64 Image's header (Linux, Documentation/arch/arm64/booting.rst). */
	.globl _start
_start:
	b	1f
	.long	0
	.quad	0			/* text offset */
	.quad	0x1000			/* image size */
	.quad	0xa			/* little endian, 4K pages, anywhere */
	.quad	0, 0, 0
	.ascii	"ARM\x64"
	.long	0
1:	movz	x0, #0x8400, lsl #16
	movk	x0, #0x0008
	hvc	#0
2:	b	2b
