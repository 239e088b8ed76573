// SPDX-License-Identifier: MIT
/* Phandles of the RISC-V machine's tree; a hart's number is added where there are several. */
#ifndef LKVM_ARCH_RISCV_FDT_H
#define LKVM_ARCH_RISCV_FDT_H

#define RISCV_PHANDLE_CPU 0x1
#define RISCV_PHANDLE_INTC 0x1000
#define RISCV_PHANDLE_IRQCHIP 0x2000 /* PLIC or APLIC; the IMSICs' is the next */

#endif
