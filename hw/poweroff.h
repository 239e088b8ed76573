// SPDX-License-Identifier: MIT
/*
 * The test finisher of SiFive ("sifive,test1"): one 32-bit register at offset 0. Writing 0x5555 powers off, 0x7777 resets, 0x3333 with a code in the upper half reports a
 * failure. Linux drives it through its syscon-poweroff and syscon-reboot nodes. 16-bit writes count too; everything else is ignored.
 */
#ifndef LKVM_HW_POWEROFF_H
#define LKVM_HW_POWEROFF_H

#include "base/err.h"
#include "base/util.h"
#include "bus.h"
#include "dt.h"

#define POWEROFF_SIZE 0x1000

enum poweroff_kind { POWEROFF_PASS, POWEROFF_RESET, POWEROFF_FAIL };

struct poweroff;

struct poweroff_config {
	uint64_t base;
	uint32_t phandle; /* of its own node, for the syscon nodes */
	/* On the vCPU's thread, inside its bus call; returns soon. code: 0 to 65535, 0 but for POWEROFF_FAIL. May come more than once. */
	void (*fn)(void *ctx, enum poweroff_kind kind, unsigned int code);
	void *ctx;
};

/* -ENOMEM, -EEXIST. bus NULL: on none. It has no state. */
int poweroff_create(const struct poweroff_config *config, struct bus *bus, struct poweroff **ret, struct err *e);
void poweroff_destroy(struct poweroff *p); /* NULL is fine */
DEFINE_CLEANUP(poweroff, poweroff_destroy)

extern const struct bus_ops poweroff_bus_ops;

/* test@<base>, for a bus. */
void poweroff_write_dt(const struct poweroff *p, struct dt *dt);
/* poweroff and reboot, which have no address: for the root. */
void poweroff_write_syscon_dt(const struct poweroff *p, struct dt *dt);

#endif
