// SPDX-License-Identifier: MIT
/*
 * The real-time clock of the goldfish platform ("google,goldfish-rtc"): nanoseconds since 1970 in two 32-bit halves, and one alarm. Reading TIME_LOW latches
 * TIME_HIGH; writing ALARM_LOW arms the alarm, at once when its time has passed. Registers are 32 bits wide; other widths read 0 and write nothing.
 * The clock is the host's plus what the guest has set; it is not written back to the host.
 *
 * Locking: one mutex; order: clock, loop, interrupt controller. Thread-safe unless said otherwise.
 */
#ifndef LKVM_HW_GOLDFISH_RTC_H
#define LKVM_HW_GOLDFISH_RTC_H

#include "base/err.h"
#include "base/util.h"
#include "bus.h"
#include "dt.h"
#include "hw/alarm.h"
#include "irq.h"

#define GOLDFISH_RTC_SIZE 0x1000

struct goldfish_rtc;

struct goldfish_rtc_config {
	uint64_t base;
	struct irq_line irq;
	struct alarm_config alarm;
};

#define GOLDFISH_RTC_STATE_VERSION 1

struct goldfish_rtc_state {
	uint32_t version;
	uint32_t time_high; /* latched */
	int64_t offset;	    /* ns; guest's time less the host's */
	uint64_t alarm;	    /* ns, the guest's time */
	uint32_t irq_enabled, irq_pending, armed, reserved;
};

/* -ENOMEM, -EEXIST. bus NULL: on none. */
int goldfish_rtc_create(const struct goldfish_rtc_config *config, struct bus *bus, struct goldfish_rtc **ret,
			struct err *e);
void goldfish_rtc_destroy(struct goldfish_rtc *rtc); /* NULL is fine */
DEFINE_CLEANUP(goldfish_rtc, goldfish_rtc_destroy)

extern const struct bus_ops goldfish_rtc_bus_ops;

/* rtc@<base> */
void goldfish_rtc_write_dt(const struct goldfish_rtc *rtc, struct dt *dt);

/* No alarm, no interrupt; the time set by the guest stays. With vCPUs stopped. */
void goldfish_rtc_reset(struct goldfish_rtc *rtc);

/* With vCPUs stopped. load: -EINVAL for a state that cannot be. */
void goldfish_rtc_save(struct goldfish_rtc *rtc, struct goldfish_rtc_state *ret);
int goldfish_rtc_load(struct goldfish_rtc *rtc, const struct goldfish_rtc_state *state);

#endif
