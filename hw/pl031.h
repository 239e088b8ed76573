// SPDX-License-Identifier: MIT
/*
 * The real-time clock "PrimeCell PL031" (Arm DDI 0224): seconds since 1970 in 32 bits, and an interrupt when they are equal to the match register. It always runs, as after the
 * first write to its control register. Registers are 32 bits wide; other widths read 0 and write nothing. The clock is the host's plus what the guest has set; it is not
 * written back to the host.
 *
 * Locking: one mutex; order: clock, loop, interrupt controller. Thread-safe unless said otherwise.
 */
#ifndef LKVM_HW_PL031_H
#define LKVM_HW_PL031_H

#include "base/err.h"
#include "base/util.h"
#include "bus.h"
#include "dt.h"
#include "hw/alarm.h"
#include "irq.h"

#define PL031_SIZE 0x1000

struct pl031;

struct pl031_config {
	uint64_t base;
	uint32_t clock_phandle; /* of its bus clock, which Linux insists on */
	struct irq_line irq;
	struct alarm_config alarm;
};

#define PL031_STATE_VERSION 1

struct pl031_state {
	uint32_t version;
	uint32_t match, load, imsc, ris, armed;
	int64_t offset; /* ns; guest's time less the host's */
	uint64_t alarm; /* when armed: the second since 1970, guest's time, that ends in `match` */
};

/* -ENOMEM, -EEXIST. bus NULL: on none. */
int pl031_create(const struct pl031_config *config, struct bus *bus, struct pl031 **ret, struct err *e);
void pl031_destroy(struct pl031 *rtc); /* NULL is fine */
DEFINE_CLEANUP(pl031, pl031_destroy)

extern const struct bus_ops pl031_bus_ops;

/* rtc@<base>, for a bus. */
void pl031_write_dt(const struct pl031 *rtc, struct dt *dt);
/* Its bus clock, which has no address: for the root. */
void pl031_write_clock_dt(const struct pl031 *rtc, struct dt *dt);

/* No match, no interrupt; the time set by the guest stays. With vCPUs stopped. */
void pl031_reset(struct pl031 *rtc);

/* With vCPUs stopped. load: -EINVAL for a state that cannot be. */
void pl031_save(struct pl031 *rtc, struct pl031_state *ret);
int pl031_load(struct pl031 *rtc, const struct pl031_state *state);

#endif
