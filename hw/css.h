// SPDX-License-Identifier: MIT
/*
 * The channel subsystem of one machine (z/Architecture Principles of Operation, chapters 13 to 17), with one image and one virtual channel
 * path.
 *
 * Instructions are functions on values: the caller decodes operands, checks the CPU's state and alignments, and moves control blocks between
 * guest and us. A result of 0 to 3 is the condition code; a negative one is minus the program-interruption code (CSS_PGM_*), with nothing
 * changed. What stores into the guest (TSCH, STCRW, TPI) takes the status away: the caller has made sure that the operand can be stored.
 *
 * Channel programs run on the thread of the vCPU that started them, a bounded number of CCWs; what is left is continued where ops->defer says.
 * HSCH and CSCH act in between. Storage keys are not looked at: a guest's own keys protect nothing here.
 *
 * Locking: all functions are thread-safe. One lock, held for moments only, never while a device's command runs. ops are called with it held:
 * they may take leaf locks and must not call back. Device ops are called without it.
 */
#ifndef LKVM_HW_CSS_H
#define LKVM_HW_CSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/util.h"
#include "hw/css_blocks.h"
#include "memory.h"

#define CSS_ID 0xfe /* the image of virtual devices; guests see it once they enable multiple images */
#define CSS_SETS 4
#define CSS_PATH_ID 0
#define CSS_PATH_TYPE 0x32
#define CSS_SENSE_SIZE 32
#define CSS_GO 64 /* CCWs fetched before other work gets its turn */

enum {
	CSS_PGM_ADDRESSING = 0x05,
	CSS_PGM_SPECIFICATION = 0x06,
	CSS_PGM_OPERAND = 0x15,
};

struct css;
struct css_subchannel;

/* What the machine does for us. */
struct css_machine_ops {
	/* Makes an I/O interruption pending: sid and intparm as they are stored at real 184 and 188. At most one for each sid. */
	void (*io_interrupt)(void *ctx, uint32_t sid, uint32_t intparm, unsigned int isc);
	/* Withdraws it, if it has not been taken yet. */
	void (*io_interrupt_clear)(void *ctx, uint32_t sid, unsigned int isc);
	/* A channel report is pending: a machine check. Called when the queue is no longer empty. */
	void (*crw_pending)(void *ctx);
	/* Call css_continue() soon, from another thread's or later context; one call is enough however often this is asked before. */
	void (*defer)(void *ctx);
};

struct css_config {
	struct memory *memory; /* outlives us */
	const struct css_machine_ops *ops;
	void *ctx;
};

int css_create(const struct css_config *config, struct css **ret, struct err *e);
void css_destroy(struct css *css); /* devices were removed before, or are forgotten; NULL is fine */
DEFINE_CLEANUP(css, css_destroy)

/*
 * Runs each channel program that waits for its turn for one go. True when some are left (defer has then been called again). Within itself, from a
 * command that turns its thread's loop, it does nothing: defer is called at the end of the outer one.
 */
bool css_continue(struct css *css);

/*
 * Held: programs that wait for their turn go on waiting, and none is in a turn when this returns (but for the caller's own, from a command). vCPUs stopped before, and until
 * it is held no longer.
 */
void css_hold(struct css *css, bool held);

/* ---- Devices ---- */

/* One command in execution: from the CCW that names it to the end of its data chain. */
struct css_command {
	uint8_t code;	/* command code */
	uint32_t count; /* of its first CCW */
	bool more;	/* that CCW chains data: there is more than count */
	bool sli;	/* suppress-length indication in it */
	struct css_run *run; /* ours */
};

struct css_device_ops {
	uint16_t cu_type, dev_type;
	uint8_t cu_model, dev_model; /* see css_add_device for a model that is not constant */
	/*
	 * Executes a command other than SENSE, SENSE ID, NOP and TIC, and returns the device status (DSTAT_*) at its end; 0 stands for channel
	 * end with device end, what css_command_reject() and css_unit_check() return for themselves. No data command: CSS_IMMEDIATE added
	 * tells that it ended at initial status.
	 */
	unsigned int (*command)(void *dev, struct css_command *c);
	/* The guest ended what was going on: nothing of it may go on. After HSCH and CSCH; NULL: nothing to do. */
	void (*halt)(void *dev);
	void (*clear)(void *dev);
	/* MSCH enabled the subchannel, which was not. On the vCPU's thread, before MSCH ends; not locked. NULL: nothing to do. */
	void (*enabled)(void *dev);
	/* Reset of the whole subsystem, vCPUs stopped. NULL: nothing to do. */
	void (*reset)(void *dev);
};

#define CSS_IMMEDIATE 0x100

/*
 * Data moves between the device and the storage that CCWs, IDAWs or MIDAWs name. css_data_read: out of guest storage (write and control
 * commands); css_data_write: into it (read and sense commands). Bytes moved: fewer than len where the program's count ends first (noted as
 * incorrect length; css_data_left says how many the current CCW still has). -EFAULT: a check ended the channel program; the command just
 * returns 0. One call can follow another.
 */
int css_data_read(struct css_command *c, void *buf, size_t len);
int css_data_write(struct css_command *c, const void *buf, size_t len);
uint32_t css_data_left(const struct css_command *c);
/*
 * Back to the first byte of the command's data, as if nothing had been moved: virtio-ccw's read commands take what is asked for out of the
 * storage that they answer in (css_data_read works for them, too).
 */
void css_data_rewind(struct css_command *c);
/* The channel program ends in a program check after this command, whatever status is returned. */
void css_program_check(struct css_command *c);

/* Unit check with sense bytes (up to CSS_SENSE_SIZE), as the command's return value. */
unsigned int css_unit_check(struct css_command *c, const uint8_t *sense, size_t len);
unsigned int css_command_reject(struct css_command *c);

struct css_device_config {
	unsigned int ssid; /* 0 to 3 */
	uint16_t devno;
	const struct css_device_ops *ops;
	int cu_model; /* 0 to 255, or -1: ops->cu_model */
	void *dev;
	bool hotplug; /* the guest runs: tell it with a channel report */
};

/*
 * Gives the device the first subchannel of its set that has none. -EEXIST: the number is taken; -ENOSPC: the set is full; -EINVAL. The handle
 * is good until css_remove_device.
 */
int css_add_device(struct css *css, const struct css_device_config *config, struct css_subchannel **ret, struct err *e);
/* Waits for a running command; the guest is told by a channel report. Not from a device's own op. The subchannel stays, without a device. */
void css_remove_device(struct css *css, struct css_subchannel *sch);

uint32_t css_subchannel_sid(struct css *css, const struct css_subchannel *sch); /* as the guest names it */

/*
 * Calls fn with the device at sid if it has these ops; it cannot be removed meanwhile. Returns what fn does, or -ENODEV, also for a sid that
 * is no valid one.
 */
int css_with_device(struct css *css, uint32_t sid, const struct css_device_ops *ops, int (*fn)(void *dev, void *arg), void *arg);

/*
 * Unsolicited status: alert status with this device status (0 is fine). While other status is pending or a function in progress it waits for
 * its turn (merged with what waits already); a subchannel that is not enabled drops it.
 */
void css_present_alert(struct css *css, struct css_subchannel *sch, uint8_t dstat);

/* ---- Instructions; sid is general register 1, bits 32 to 63 ---- */

int css_stsch(struct css *css, uint32_t sid, struct css_schib *ret);
int css_msch(struct css *css, uint32_t sid, const struct css_schib *schib);
int css_ssch(struct css *css, uint32_t sid, const struct css_orb *orb);
/* The IRB is filled for condition codes 0 and 1; ret_len says how many bytes of it are stored (64, or 96). */
int css_tsch(struct css *css, uint32_t sid, struct css_irb *ret, size_t *ret_len);
int css_hsch(struct css *css, uint32_t sid);
int css_csch(struct css *css, uint32_t sid);
int css_rsch(struct css *css, uint32_t sid);
int css_xsch(struct css *css, uint32_t sid);
int css_stcrw(struct css *css, struct css_crw *ret); /* condition code 1: none, zeroes are stored */
int css_schm(struct css *css, uint64_t gr1, uint64_t gr2);
int css_rchp(struct css *css, uint64_t gr1);
int css_sal(struct css *css, uint64_t gr1);
/*
 * The pending interruption of highest priority among the subclasses in isc_mask (control register 6, bits 32 to 39 as a byte: 0x80 is subclass
 * 0), which it accepts. Condition code 1: one was stored, 0: none. Only where the machine's own interrupt controller does not do it.
 */
int css_tpi(struct css *css, uint8_t isc_mask, struct css_tpi *ret);
/* The CPU, or the machine's controller, took the interruption of sid: nothing is left to withdraw. */
void css_interrupt_taken(struct css *css, uint32_t sid);
/* The request at the start of the page is answered in it. The whole page comes in and goes out. */
int css_chsc(struct css *css, uint8_t page[CHSC_PAGE]);

/* ---- Life ---- */

/* A channel report of our making, e.g. for a channel path. rsid and codes are CRW_*; bounded, with overflow noted. */
void css_queue_crw(struct css *css, unsigned int rsc, unsigned int erc, uint16_t rsid);

/* I/O-system reset: functions, status and reports are gone, subchannels disabled, devices reset. vCPUs stopped. */
void css_reset(struct css *css);

/*
 * Saving and loading, vCPUs stopped and no css_continue running; devices are the same and save themselves. css_save returns the size, and
 * fills buf if len is large enough. -EINVAL: not a state of this subsystem. Interruptions that were pending are made pending again.
 */
size_t css_save(struct css *css, void *buf, size_t len);
int css_load(struct css *css, const void *buf, size_t len, struct err *e);

#endif
