// SPDX-License-Identifier: MIT
/*
 * A channel subsystem with scripted devices, a machine that notes what it is told, and 1 MiB of guest memory at 0 (and 64 KiB at the
 * end of the first 16 MiB).
 */
#ifndef LKVM_HW_CSS_RIG_TEST_H
#define LKVM_HW_CSS_RIG_TEST_H

#include <errno.h>
#include <pthread.h>

#include "base/endian.h"
#include "hw/css.h"
#include "tests/test.h"

#define RAM_SIZE 0x100000
#define HIGH_RAM 0xff0000
#define PROGRAM 0x1000
#define DATA 0x8000
#define LISTS 0x4000 /* of IDAWs and MIDAWs */

/* Commands of the scripted device. */
enum {
	CMD_WRITE = 0x01,    /* takes dev->want bytes */
	CMD_READ = 0x02,     /* gives dev->want bytes: 1, 2, 3... */
	CMD_BACKWARD = 0x0c, /* the same */
	CMD_IMMEDIATE = 0x0b,
	CMD_CONTROL = 0x13,  /* ends later, moves nothing */
	CMD_MODIFIER = 0x23, /* status modifier */
	CMD_EXCEPTION = 0x33,
	CMD_CHECK = 0x43,    /* unit check with sense 0x20, 1, 2, 3... */
	CMD_READ_CHECK = 0x42, /* dev->want bytes, then that */
	CMD_HOOK = 0x53,     /* calls dev->hook */
	CMD_BOTH = 0x62,     /* takes 2 bytes, gives 2 */
	CMD_BROKEN = 0x73,   /* css_program_check */
};

struct rig;

struct scripted {
	struct rig *rig;
	unsigned int commands, halts, clears, resets;
	size_t want;
	int moved; /* by the last command */
	uint8_t data[70000];
	void (*hook)(struct rig *rig);
};

struct rig {
	struct memory *memory;
	struct css *css;
	struct scripted dev, dev2;
	struct css_subchannel *sch, *sch2;
	uint32_t sid, sid2;
	unsigned int interrupts, withdrawn, reports, defers;
	uint32_t last_sid, last_intparm;
	unsigned int last_isc;
	uint32_t next; /* where the next CCW goes */
	uint32_t orb;  /* flags of the next SSCH */
	struct css_irb irb;
	size_t irb_len;
};

static inline unsigned int rig_command(void *ctx, struct css_command *c)
{
	static const uint8_t sense[] = { 0x20, 1, 2, 3 };
	struct scripted *dev = ctx;
	uint8_t two[2];

	dev->commands++;
	switch (c->code) {
	case CMD_WRITE:
		dev->moved = css_data_read(c, dev->data, dev->want);
		return 0;
	case CMD_READ:
	case CMD_BACKWARD:
	case CMD_READ_CHECK:
		for (size_t i = 0; i < dev->want; i++)
			dev->data[i] = (uint8_t)(i + 1);
		dev->moved = css_data_write(c, dev->data, dev->want);
		return c->code == CMD_READ_CHECK ? css_unit_check(c, sense, sizeof(sense)) : 0;
	case CMD_IMMEDIATE:
		return CSS_IMMEDIATE;
	case CMD_CONTROL:
		return 0;
	case CMD_MODIFIER:
		return DSTAT_CHANNEL_END | DSTAT_DEVICE_END | DSTAT_STATUS_MODIFIER;
	case CMD_EXCEPTION:
		return DSTAT_CHANNEL_END | DSTAT_DEVICE_END | DSTAT_UNIT_EXCEPTION;
	case CMD_CHECK:
		return css_unit_check(c, sense, sizeof(sense));
	case CMD_HOOK:
		dev->hook(dev->rig);
		return 0;
	case CMD_BOTH:
		dev->moved = css_data_read(c, two, 2);
		if (css_data_write(c, two, 2) == 2)
			dev->moved += 2;
		return 0;
	case CMD_BROKEN:
		css_program_check(c);
		return 0;
	default:
		return css_command_reject(c);
	}
}

static inline void rig_dev_halt(void *dev)
{
	((struct scripted *)dev)->halts++;
}

static inline void rig_dev_clear(void *dev)
{
	((struct scripted *)dev)->clears++;
}

static inline void rig_dev_reset(void *dev)
{
	((struct scripted *)dev)->resets++;
}

static const struct css_device_ops rig_dev_ops = {
	.cu_type = 0x3832,
	.cu_model = 2,
	.dev_type = 0x1234,
	.dev_model = 5,
	.command = rig_command,
	.halt = rig_dev_halt,
	.clear = rig_dev_clear,
	.reset = rig_dev_reset,
};

static inline void rig_io_interrupt(void *ctx, uint32_t sid, uint32_t intparm, unsigned int isc)
{
	struct rig *r = ctx;

	r->interrupts++;
	r->last_sid = sid;
	r->last_intparm = intparm;
	r->last_isc = isc;
}

static inline void rig_io_interrupt_clear(void *ctx, uint32_t sid, unsigned int isc)
{
	((struct rig *)ctx)->withdrawn++;
}

static inline void rig_crw_pending(void *ctx)
{
	((struct rig *)ctx)->reports++;
}

static inline void rig_defer(void *ctx)
{
	((struct rig *)ctx)->defers++;
}

static const struct css_machine_ops rig_ops = {
	.io_interrupt = rig_io_interrupt,
	.io_interrupt_clear = rig_io_interrupt_clear,
	.crw_pending = rig_crw_pending,
	.defer = rig_defer,
};

/* The subchannel is enabled: interruption parameter 0x1111, subclass 3. */
static inline void rig_enable(struct rig *r, uint32_t sid, uint16_t flags, uint32_t chars)
{
	struct css_schib schib;

	CHECK_EQ(css_stsch(r->css, sid, &schib), 0);
	put_be32(schib.pmcw.intparm, 0x1111);
	put_be16(schib.pmcw.flags, (uint16_t)(get_be16(schib.pmcw.flags) | PMCW_ENABLED | 3 << 11 | flags));
	put_be32(schib.pmcw.chars, chars);
	CHECK_EQ(css_msch(r->css, sid, &schib), 0);
}

/* Two devices, 0.0.0010 and 0.0.0011, enabled. */
static inline void rig_start(struct rig *r)
{
	struct css_device_config dc = { .devno = 0x10, .ops = &rig_dev_ops, .cu_model = -1 };
	struct css_config config = { .ops = &rig_ops, .ctx = r };
	struct memory_backing backing = { 0 };

	memset(r, 0, sizeof(*r));
	CHECK_EQ(memory_create(&r->memory), 0);
	CHECK_EQ(memory_add(r->memory, 0, RAM_SIZE, &backing, NULL), 0);
	CHECK_EQ(memory_add(r->memory, HIGH_RAM, 0x10000, &backing, NULL), 0);
	config.memory = r->memory;
	CHECK_EQ(css_create(&config, &r->css, NULL), 0);
	r->dev.rig = r->dev2.rig = r;
	dc.dev = &r->dev;
	CHECK_EQ(css_add_device(r->css, &dc, &r->sch, NULL), 0);
	dc.dev = &r->dev2;
	dc.devno++;
	CHECK_EQ(css_add_device(r->css, &dc, &r->sch2, NULL), 0);
	r->sid = css_subchannel_sid(r->css, r->sch);
	r->sid2 = css_subchannel_sid(r->css, r->sch2);
	rig_enable(r, r->sid, 0, 0);
	rig_enable(r, r->sid2, 0, 0);
	r->next = PROGRAM;
	r->orb = ORB_FORMAT1 | 0x8000;
}

static inline void rig_stop(struct rig *r)
{
	css_destroy(r->css);
	memory_destroy(r->memory);
}

static inline void put_guest(struct rig *r, uint64_t at, const void *p, size_t len)
{
	CHECK_EQ(memory_write(r->memory, at, p, len), 0);
}

static inline void put_ccw1(struct rig *r, uint32_t at, uint8_t cmd, uint8_t flags, uint16_t count, uint32_t address)
{
	struct css_ccw1 c = { .cmd = cmd, .flags = flags };

	put_be16(c.count, count);
	put_be32(c.address, address);
	put_guest(r, at, &c, sizeof(c));
}

static inline void put_ccw0(struct rig *r, uint32_t at, uint8_t cmd, uint8_t flags, uint16_t count, uint32_t address)
{
	struct css_ccw0 c = { .flags = flags };

	put_be32(&c, address);
	c.cmd = cmd;
	put_be16(c.count, count);
	put_guest(r, at, &c, sizeof(c));
}

/* The next CCW, in the format that r->orb says. */
static inline void ccw(struct rig *r, uint8_t cmd, uint8_t flags, uint16_t count, uint32_t address)
{
	(r->orb & ORB_FORMAT1 ? put_ccw1 : put_ccw0)(r, r->next, cmd, flags, count, address);
	r->next += 8;
}

static inline int ssch_at(struct rig *r, uint32_t at)
{
	struct css_orb orb = { 0 };

	put_be32(orb.intparm, 0xabcd1234);
	put_be32(orb.flags, r->orb);
	put_be32(orb.cpa, at);
	r->next = PROGRAM;
	return css_ssch(r->css, r->sid, &orb);
}

static inline int ssch(struct rig *r)
{
	return ssch_at(r, PROGRAM);
}

static inline int tsch(struct rig *r)
{
	return css_tsch(r->css, r->sid, &r->irb, &r->irb_len);
}

#define IRB_FLAGS(r) get_be16((r)->irb.scsw.flags)
#define IRB_CTRL(r) get_be16((r)->irb.scsw.ctrl)
#define IRB_CPA(r) get_be32((r)->irb.scsw.cpa)
#define IRB_COUNT(r) get_be16((r)->irb.scsw.count)

#define DONE (SCSW_FCTL_START | SCSW_STCTL_PRIMARY | SCSW_STCTL_SECONDARY | SCSW_STCTL_PENDING)
#define DONE_BADLY (DONE | SCSW_STCTL_ALERT)
#define GOOD_END (DSTAT_CHANNEL_END | DSTAT_DEVICE_END)

/* What is going on, as STSCH tells it. */
static inline uint16_t ctrl(struct rig *r)
{
	struct css_schib schib;

	CHECK_EQ(css_stsch(r->css, r->sid, &schib), 0);
	return get_be16(schib.scsw.ctrl);
}

/* Starts the program at PROGRAM, and expects it to end like this. n: CCWs from PROGRAM on that the address counts. */
#define RUN(r, ctrl_, dstat_, cstat_, n, count_)                                                   \
	do {                                                                                       \
		CHECK_EQ(ssch(r), 0);                                                              \
		CHECK_EQ(tsch(r), 0);                                                              \
		CHECK_EQ(IRB_CTRL(r), ctrl_);                                                      \
		CHECK_EQ((r)->irb.scsw.dstat, dstat_);                                             \
		CHECK_EQ((r)->irb.scsw.cstat, cstat_);                                             \
		CHECK_EQ(IRB_CPA(r), PROGRAM + 8 * (n));                                           \
		CHECK_EQ(IRB_COUNT(r), count_);                                                    \
	} while (0)

#define RUN_GOOD(r, n, count) RUN(r, DONE, GOOD_END, 0, n, count)
/* A program check by the nth CCW, before its command began. */
#define RUN_CHECK(r, n) RUN(r, DONE_BADLY, 0, CSTAT_PROGRAM_CHECK, n, 0)
/* A program check while the command of which the nth CCW is part moved data. */
#define RUN_DATA_CHECK(r, n, count) RUN(r, DONE_BADLY, GOOD_END, CSTAT_PROGRAM_CHECK, n, count)

#endif
