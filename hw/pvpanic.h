// SPDX-License-Identifier: MIT
/*
 * pvpanic over MMIO (QEMU's docs/specs/pvpanic): one byte at offset 0. Reading gives the events the device takes, writing reports some of them. Everything
 * else reads 0 and writes nothing.
 */
#ifndef LKVM_HW_PVPANIC_H
#define LKVM_HW_PVPANIC_H

#include "base/err.h"
#include "base/util.h"
#include "bus.h"
#include "dt.h"

#define PVPANIC_SIZE 2

#define PVPANIC_PANICKED 0x01	 /* the guest has crashed */
#define PVPANIC_CRASHLOADED 0x02 /* it has crashed and goes on into its crash kernel */
#define PVPANIC_SHUTDOWN 0x04	 /* it has powered off in order */

struct pvpanic;

struct pvpanic_config {
	uint64_t base;
	/* On the vCPU's thread, inside its bus call; returns soon. events: one or more PVPANIC_* bits. May come more than once. */
	void (*fn)(void *ctx, unsigned int events);
	void *ctx;
};

/* -ENOMEM, -EEXIST. bus NULL: on none. It has no state. */
int pvpanic_create(const struct pvpanic_config *config, struct bus *bus, struct pvpanic **ret, struct err *e);
void pvpanic_destroy(struct pvpanic *p); /* NULL is fine */
DEFINE_CLEANUP(pvpanic, pvpanic_destroy)

extern const struct bus_ops pvpanic_bus_ops;

/* pvpanic@<base> */
void pvpanic_write_dt(const struct pvpanic *p, struct dt *dt);

#endif
