// SPDX-License-Identifier: MIT
/* Names of system registers; a table without a mechanism, which is in regs.c. */
#ifndef LKVM_ARCH_ARM64_SYSREG_H
#define LKVM_ARCH_ARM64_SYSREG_H

#include <stdint.h>

/* As in the low 16 bits of a ONE_REG id. */
#define SYSREG(op0, op1, crn, crm, op2) ((op0) << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))

struct sysreg_name {
	char name[20];	  /* lower case; # is the number when count > 1 */
	uint16_t encoding; /* of the first */
	uint8_t count;	  /* 0 counts as 1 */
	uint8_t step;	  /* from one encoding to the next; 0: count is 1 */
};
extern const struct sysreg_name sysreg_names[];
extern const unsigned int n_sysreg_names;

#endif
