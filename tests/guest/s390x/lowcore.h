/* SPDX-License-Identifier: MIT */
/* The prefix area (z/Architecture Principles of Operation, 3, Assigned Storage Locations), and what this framework keeps in it. */
#ifndef GUEST_LOWCORE_H
#define GUEST_LOWCORE_H

#include <stddef.h>
#include <stdint.h>

#include "layout.h"

struct psw {
	uint64_t mask, address;
};

struct lowcore {
	uint8_t ipl[128];
	uint32_t external_parameter;
	uint16_t external_cpu, external_code;
	uint16_t svc_ilc, svc_code, program_ilc, program_code;
	uint32_t data_exception;
	uint16_t monitor_class, per_code;
	uint64_t per_address;
	uint8_t exception_access, per_access, operand_access, architecture;
	uint8_t reserved_a4[4];
	uint64_t translation_exception, monitor_code;
	uint32_t subchannel_id, io_parameter, io_word;
	uint8_t reserved_c4[4];
	uint8_t reserved_c8[32];
	uint64_t machine_check_code;
	uint8_t reserved_f0[48];
	struct psw restart_old, old[INTERRUPTS];
	uint8_t reserved_180[32];
	struct psw restart_new, new[INTERRUPTS];
	struct psw return_psw[INTERRUPTS];
	uint32_t hart, reserved_254;
	uint64_t stack;
	uint8_t reserved_260[0x2000 - 0x260];
};

#define LOWCORE_AT(member, offset) _Static_assert(offsetof(struct lowcore, member) == (offset), #member)
LOWCORE_AT(external_parameter, 0x80);
LOWCORE_AT(external_cpu, 0x84);
LOWCORE_AT(external_code, 0x86);
LOWCORE_AT(svc_code, 0x8a);
LOWCORE_AT(program_ilc, 0x8c);
LOWCORE_AT(program_code, 0x8e);
LOWCORE_AT(data_exception, 0x90);
LOWCORE_AT(per_address, 0x98);
LOWCORE_AT(architecture, 0xa3);
LOWCORE_AT(translation_exception, 0xa8);
LOWCORE_AT(monitor_code, 0xb0);
LOWCORE_AT(subchannel_id, 0xb8);
LOWCORE_AT(io_parameter, 0xbc);
LOWCORE_AT(io_word, 0xc0);
LOWCORE_AT(machine_check_code, 0xe8);
LOWCORE_AT(restart_old, 0x120);
LOWCORE_AT(old, 0x130);
LOWCORE_AT(restart_new, 0x1a0);
LOWCORE_AT(new, 0x1b0);
LOWCORE_AT(return_psw, LC_RETURN_PSW);
LOWCORE_AT(hart, LC_HART);
LOWCORE_AT(stack, LC_STACK);
_Static_assert(sizeof(struct lowcore) == 8192, "two pages");

/* This CPU's. */
#define LOWCORE ((volatile struct lowcore *)0)

#endif
