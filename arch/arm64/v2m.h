// SPDX-License-Identifier: MIT
/*
 * The MSI frame of a GICv2m (Arm DEN 0029, "Server Base System Architecture", appendix on GICv2m): a write of an interrupt's number pulses its line. No state.
 */
#ifndef LKVM_ARCH_ARM64_V2M_H
#define LKVM_ARCH_ARM64_V2M_H

#include "base/err.h"
#include "base/util.h"
#include "bus.h"
#include "dt.h"
#include "irq.h"

#define V2M_SIZE 0x1000

struct v2m;

struct v2m_config {
	uint64_t base;
	unsigned int first_intid, n; /* the SPIs it serves, as INTIDs */
	const struct irq_line *line; /* n of them, copied */
	uint32_t phandle;
};

/* -ENOMEM, -EEXIST. bus NULL: on none. */
int v2m_create(const struct v2m_config *config, struct bus *bus, struct v2m **ret, struct err *e);
void v2m_destroy(struct v2m *v); /* NULL is fine */
DEFINE_CLEANUP(v2m, v2m_destroy)

extern const struct bus_ops v2m_bus_ops;

/* v2m@<base>, inside the GIC's node. */
void v2m_write_dt(const struct v2m *v, struct dt *dt);

#endif
