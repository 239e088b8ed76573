// SPDX-License-Identifier: MIT
#include "arch/arch.h"

const struct arch_ops *arch_host(void)
{
#if defined(__riscv) && __riscv_xlen == 64
	return &arch_riscv64;
#elif defined(__aarch64__)
	return &arch_arm64;
#elif defined(__s390x__)
	return &arch_s390x;
#else
	return NULL;
#endif
}
