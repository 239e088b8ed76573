/* SPDX-License-Identifier: MIT */
/* For C and for the assembler. */
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

#include "psw.h"

#define MAX_HARTS 8
#define STACK_SIZE 16384

/* Where a kernel is loaded, and what its loader fills in there. */
#define GUEST_BASE 0x10000
#define GUEST_COMMAND_LINE 0x10480
#define GUEST_COMMAND_LINE_SIZE 896

/* The lowcore beyond what the architecture assigns: one return PSW for each class of interrupts, this CPU's number and stack. */
#define LC_RETURN_PSW 0x200
#define LC_HART 0x250
#define LC_STACK 0x258

/* A frame of an interrupt, beside the 160 bytes that a called function may use. */
#define FRAME_PSW 128
#define FRAME_CODE 144
#define FRAME_SIZE 168
#define STACK_FRAME 160

#define INTERRUPT_EXTERNAL 0
#define INTERRUPT_SVC 1
#define INTERRUPT_PROGRAM 2
#define INTERRUPT_MACHINE_CHECK 3
#define INTERRUPT_IO 4
#define INTERRUPTS 5

#endif
