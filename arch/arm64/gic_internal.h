// SPDX-License-Identifier: MIT
/* Between gic.c (set-up, lines, tree) and gic_reset.c. */
#ifndef LKVM_ARCH_ARM64_GIC_INTERNAL_H
#define LKVM_ARCH_ARM64_GIC_INTERNAL_H

#include "arch/arm64/gic.h"
#include "arch/arm64/v2m.h"
#include "arch/hv_lines.h"

#define GIC_FIRST_SPI 32 /* INTID */
#define GIC_MAX_REDISTS 2

struct gic_redist {
	uint64_t base;
	unsigned int n; /* vCPUs */
};

struct gic {
	struct hv *hv;
	struct gic_config config; /* kind is never AUTO */
	const char *name;
	bool v3, its;
	int fd, its_fd;
	unsigned int n_spis; /* without those of the v2m frame */
	struct gic_redist redist[GIC_MAX_REDISTS];
	unsigned int n_redists;
	struct hv_lines *lines; /* line i is SPI i */
	struct v2m *v2m;
};

#endif
