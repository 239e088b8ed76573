// SPDX-License-Identifier: MIT
/* Each I/O instruction that names a subchannel, with each condition code, in each state of the subchannel. */
#include "hw/css_rig_test.h"

#define EACH(css, sid, expected)                                                                   \
	do {                                                                                       \
		struct css_schib schib_ = { 0 };                                                   \
		struct css_orb orb_ = { 0 };                                                       \
		struct css_irb irb_;                                                               \
		size_t len_;                                                                       \
                                                                                                   \
		CHECK_EQ(css_stsch(css, sid, &schib_), expected);                                  \
		CHECK_EQ(css_msch(css, sid, &schib_), expected);                                   \
		CHECK_EQ(css_ssch(css, sid, &orb_), expected);                                     \
		CHECK_EQ(css_tsch(css, sid, &irb_, &len_), expected);                              \
		CHECK_EQ(css_hsch(css, sid), expected);                                            \
		CHECK_EQ(css_csch(css, sid), expected);                                            \
		CHECK_EQ(css_rsch(css, sid), expected);                                            \
		CHECK_EQ(css_xsch(css, sid), expected);                                            \
	} while (0)

static void set_domain(struct rig *r, uint16_t operation)
{
	uint8_t page[CHSC_PAGE] = { 0x04, 0x00, 0x00, CHSC_SET_DOMAIN };

	put_be16(page + 6, operation);
	CHECK_EQ(css_chsc(r->css, page), 0);
	CHECK_EQ(get_be16(page + 0x402), CHSC_OK);
}

static void test_names(void)
{
	struct css_device_config dc = { .devno = 0x10, .ops = &rig_dev_ops, .cu_model = 7, .ssid = 2 };
	struct css_subchannel *sch;
	struct css_schib schib;
	struct rig r;

	rig_start(&r);
	CHECK_EQ(r.sid, 0x00010000);
	CHECK_EQ(r.sid2, 0x00010001);
	/* Not one; reserved bits; another set or image without the facility. */
	EACH(r.css, 0x00000000, -CSS_PGM_OPERAND);
	EACH(r.css, 0x00110000, -CSS_PGM_OPERAND);
	EACH(r.css, 0x00810000, -CSS_PGM_OPERAND);
	EACH(r.css, 0x00030000, -CSS_PGM_OPERAND);
	EACH(r.css, 0xfe010000, -CSS_PGM_OPERAND);
	EACH(r.css, 0xfe090000, -CSS_PGM_OPERAND);
	/* Not provided. */
	EACH(r.css, 0x00010002, 3);
	EACH(r.css, 0x0001ffff, 3);

	dc.dev = &r.dev2;
	CHECK_EQ(css_add_device(r.css, &dc, &sch, NULL), 0);
	set_domain(&r, 2);
	EACH(r.css, 0x00030000, 3);
	CHECK_EQ(css_stsch(r.css, 0x00050000, &schib), 0);
	CHECK_EQ(get_be16(schib.pmcw.devno), 0x10);
	EACH(r.css, 0x00050001, 3);
	set_domain(&r, 0);
	CHECK_EQ(css_stsch(r.css, 0xfe090001, &schib), 0);
	CHECK_EQ(get_be16(schib.pmcw.devno), 0x11);
	CHECK_EQ(css_stsch(r.css, 0x00010001, &schib), 0);
	EACH(r.css, 0x00090001, 3);
	EACH(r.css, 0x01090001, 3);
	EACH(r.css, 0x01010001, -CSS_PGM_OPERAND);
	CHECK_EQ(css_subchannel_sid(r.css, sch), 0xfe0d0000);
	rig_stop(&r);
}

static void test_stsch(void)
{
	struct css_schib schib;
	struct rig r;

	rig_start(&r);
	CHECK_EQ(css_stsch(r.css, r.sid2, &schib), 0);
	CHECK_EQ(get_be32(schib.pmcw.intparm), 0x1111);
	CHECK_EQ(get_be16(schib.pmcw.flags), 3 << 11 | PMCW_ENABLED | PMCW_TIMING | PMCW_VALID);
	CHECK_EQ(get_be16(schib.pmcw.devno), 0x11);
	CHECK_EQ(schib.pmcw.pim, 0x80);
	CHECK_EQ(schib.pmcw.pam, 0x80);
	CHECK_EQ(schib.pmcw.lpm, 0x80);
	CHECK_EQ(schib.pmcw.pom, 0xff);
	CHECK_EQ(schib.pmcw.pnom, 0);
	CHECK_EQ(get_be16(schib.scsw.ctrl), 0);
	/* A subchannel without a device is there, but has no valid device number. */
	css_remove_device(r.css, r.sch);
	CHECK_EQ(css_stsch(r.css, r.sid, &schib), 0);
	CHECK_EQ(get_be16(schib.pmcw.flags), 0);
	CHECK_EQ(schib.pmcw.pim, 0);
	CHECK_EQ(css_hsch(r.css, r.sid), 3);
	CHECK_EQ(css_msch(r.css, r.sid, &schib), 0);
	put_be16(schib.pmcw.flags, PMCW_ENABLED | PMCW_VALID);
	CHECK_EQ(css_msch(r.css, r.sid, &schib), 0);
	CHECK_EQ(css_stsch(r.css, r.sid, &schib), 0);
	CHECK_EQ(get_be16(schib.pmcw.flags), 0);
	rig_stop(&r);
}

static void msch_flags(struct rig *r, uint16_t flags, uint32_t chars, uint64_t mba, int expected)
{
	struct css_schib schib;

	CHECK_EQ(css_stsch(r->css, r->sid, &schib), 0);
	put_be16(schib.pmcw.flags, flags);
	put_be32(schib.pmcw.chars, chars);
	put_be64(schib.mba, mba);
	CHECK_EQ(css_msch(r->css, r->sid, &schib), expected);
}

static void test_msch(void)
{
	static const uint16_t bad_flags[] = { 0x8000, 0x4000, 0x0400, 0x0200, 0x0100, PMCW_LIMIT };
	struct css_schib schib, all;
	struct rig r;

	rig_start(&r);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad_flags); i++)
		msch_flags(&r, bad_flags[i], 0, 0, -CSS_PGM_OPERAND);
	for (unsigned int bit = 3; bit < 32; bit++)
		msch_flags(&r, 0, UINT32_C(1) << bit, 0, bit >= 21 && bit <= 23 ? 0 : -CSS_PGM_OPERAND);
	msch_flags(&r, 0, PMCW_CHARS_FORMAT1, 32, -CSS_PGM_OPERAND);
	msch_flags(&r, 0, PMCW_CHARS_FORMAT1, 64, 0);
	msch_flags(&r, 0, 0, 33, 0);

	/* What can be modified, and what cannot. */
	memset(&all, 0xff, sizeof(all));
	put_be16(all.pmcw.flags, (uint16_t)(~PMCW_INVALID & ~PMCW_LIMIT_LOW));
	put_be32(all.pmcw.chars, ~PMCW_CHARS_INVALID);
	put_be64(all.mba, 0x123440);
	CHECK_EQ(css_msch(r.css, r.sid, &all), 0);
	CHECK_EQ(css_stsch(r.css, r.sid, &schib), 0);
	CHECK_EQ(get_be32(schib.pmcw.intparm), 0xffffffff);
	CHECK_EQ(get_be16(schib.pmcw.flags), 0x38df);
	CHECK_EQ(get_be16(schib.pmcw.devno), 0x10);
	CHECK_EQ(schib.pmcw.lpm, 0xff);
	CHECK_EQ(schib.pmcw.pom, 0xff);
	CHECK_EQ(get_be16(schib.pmcw.mbi), 0xffff);
	CHECK_EQ(schib.pmcw.pnom, 0);
	CHECK_EQ(schib.pmcw.lpum, 0);
	CHECK_EQ(schib.pmcw.pim, 0x80);
	CHECK_EQ(schib.pmcw.pam, 0x80);
	CHECK_EQ(schib.pmcw.chpid[1], 0);
	CHECK_EQ(get_be32(schib.pmcw.chars), 7);
	CHECK_EQ(get_be64(schib.mba), 0x123440);
	CHECK_EQ(get_be16(schib.scsw.ctrl), 0);
	CHECK_EQ(schib.scsw.dstat, 0);

	/* Disabled: nothing but STSCH and MSCH. */
	msch_flags(&r, 0, 0, 0, 0);
	CHECK_EQ(ssch(&r), 3);
	CHECK_EQ(tsch(&r), 3);
	CHECK_EQ(css_hsch(r.css, r.sid), 3);
	CHECK_EQ(css_csch(r.css, r.sid), 3);
	CHECK_EQ(css_rsch(r.css, r.sid), 3);
	CHECK_EQ(css_xsch(r.css, r.sid), 3);
	CHECK_EQ(r.dev.commands, 0);
	/* Status pending: 1. A function in progress: 2. */
	rig_enable(&r, r.sid, 0, 0);
	ccw(&r, CCW_CMD_NOP, 0, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	msch_flags(&r, 0, 0, 0, 1);
	CHECK_EQ(tsch(&r), 0);
	msch_flags(&r, PMCW_ENABLED, 0, 0, 0);
	r.orb |= ORB_SUSPEND | ORB_SUPPRESS;
	ccw(&r, CCW_CMD_NOP, CCW_SUSPEND, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	msch_flags(&r, 0, 0, 0, 2);
	msch_flags(&r, 0x8000, 0, 0, -CSS_PGM_OPERAND);
	rig_stop(&r);
}

static void test_ssch(void)
{
	struct rig r;

	rig_start(&r);
	for (unsigned int bit = 0; bit < 32; bit++) {
		r.orb = 0x8000 | ORB_FORMAT1 | UINT32_C(1) << bit;
		if (r.orb & ORB_INVALID)
			CHECK_EQ(ssch(&r), -CSS_PGM_OPERAND);
	}
	r.orb = 0x8000 | ORB_FORMAT1;
	CHECK_EQ(ssch_at(&r, 0x80001000), -CSS_PGM_OPERAND);
	CHECK_EQ(ctrl(&r), 0);
	CHECK_EQ(r.interrupts, 0);

	/* The ORB shows in the SCSW, its interruption parameter comes with the interruption. */
	ccw(&r, CCW_CMD_NOP, 0, 0, 0);
	r.orb = 0x5 << 28 | ORB_SUSPEND | ORB_FORMAT1 | ORB_PREFETCH | ORB_LIMIT | ORB_SUPPRESS |
		ORB_STREAMING | ORB_MODIFICATION | ORB_SYNCHRONIZE | ORB_LENGTH | 0x8000;
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(r.interrupts, 1);
	CHECK_EQ(r.last_sid, r.sid);
	CHECK_EQ(r.last_intparm, 0xabcd1234);
	CHECK_EQ(r.last_isc, 3);
	CHECK_EQ(ssch(&r), 1);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_FLAGS(&r), 0x58d8);
	CHECK_EQ(IRB_CTRL(&r), DONE);
	CHECK_EQ(IRB_CPA(&r), PROGRAM + 8);
	CHECK_EQ(r.irb.scsw.dstat, GOOD_END);
	CHECK_EQ(r.irb.scsw.cstat, 0);
	CHECK_EQ(get_be32(r.irb.esw), 0x00800000);

	/* Busy. */
	ccw(&r, CCW_CMD_NOP, CCW_SUSPEND, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(ssch(&r), 2);
	CHECK_EQ(css_csch(r.css, r.sid), 0);
	CHECK_EQ(tsch(&r), 0);

	/* No path that the program allows: deferred condition code 3. */
	r.orb = ORB_FORMAT1 | 0x7f00;
	r.dev.commands = 0;
	ccw(&r, CMD_CONTROL, 0, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_FLAGS(&r) & SCSW_CC, SCSW_CC);
	CHECK_EQ(IRB_CTRL(&r), DONE_BADLY);
	CHECK_EQ(r.dev.commands, 0);
	CHECK_EQ(ctrl(&r), 0);
	rig_stop(&r);
}

static void test_tsch(void)
{
	struct css_schib schib;
	struct rig r;

	rig_start(&r);
	/* No status: the IRB is there, condition code 1. */
	memset(&r.irb, 0xff, sizeof(r.irb));
	CHECK_EQ(tsch(&r), 1);
	CHECK_EQ(IRB_CTRL(&r), 0);
	CHECK_EQ(r.irb_len, 64);
	CHECK_EQ(get_be32(r.irb.esw), 0);
	ccw(&r, CCW_CMD_NOP, 0, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(ctrl(&r), DONE);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(r.withdrawn, 1);
	CHECK_EQ(tsch(&r), 1);
	CHECK_EQ(ctrl(&r), 0);
	CHECK_EQ(r.withdrawn, 1);
	/* Taken before: nothing to withdraw. */
	CHECK_EQ(ssch(&r), 0);
	css_interrupt_taken(r.css, r.sid);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(r.withdrawn, 1);
	CHECK_EQ(r.interrupts, 2);

	/* Intermediate status alone: the start function goes on, suspended as it is. */
	r.orb |= ORB_SUSPEND;
	ccw(&r, CCW_CMD_NOP, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_NOP, CCW_SUSPEND, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(r.interrupts, 3);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_CTRL(&r), SCSW_FCTL_START | SCSW_ACTL_SUSPENDED | SCSW_STCTL_INTERMEDIATE | SCSW_STCTL_PENDING);
	CHECK_EQ(IRB_CPA(&r), PROGRAM + 16);
	CHECK_EQ(ctrl(&r), SCSW_FCTL_START | SCSW_ACTL_SUSPENDED);
	CHECK_EQ(tsch(&r), 1);
	/* With the halt function as well, it goes. */
	CHECK_EQ(css_hsch(r.css, r.sid), 0);
	CHECK_EQ(ctrl(&r), SCSW_FCTL_START | SCSW_FCTL_HALT | SCSW_ACTL_SUSPENDED | SCSW_STCTL_PENDING);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(ctrl(&r), 0);

	/* Concurrent sense: in the ECW, once. */
	r.orb = 0x8000 | ORB_FORMAT1;
	rig_enable(&r, r.sid, 0, PMCW_CHARS_SENSE);
	ccw(&r, CMD_CHECK, 0, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_CTRL(&r), DONE_BADLY);
	CHECK_EQ(r.irb.scsw.dstat, GOOD_END | DSTAT_UNIT_CHECK);
	CHECK_EQ(IRB_FLAGS(&r) & (SCSW_ESWF | SCSW_EXTENDED), SCSW_ESWF | SCSW_EXTENDED);
	CHECK_EQ(get_be32(r.irb.esw + 4), 0x01200000);
	CHECK_EQ(get_be32(r.irb.ecw), 0x20010203);
	CHECK_EQ(get_be32(r.irb.ecw + 4), 0);
	ccw(&r, CCW_CMD_SENSE, 0, 32, DATA);
	put_guest(&r, DATA, "xxxx", 4);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_FLAGS(&r) & (SCSW_ESWF | SCSW_EXTENDED), 0);
	memory_read(r.memory, DATA, schib.mba, 4);
	CHECK_EQ(get_be32(schib.mba), 0);
	/* The extended measurement word makes the IRB longer. */
	rig_enable(&r, r.sid, 0, PMCW_CHARS_EXTENDED);
	CHECK_EQ(tsch(&r), 1);
	CHECK_EQ(r.irb_len, 96);
	rig_stop(&r);
}

/* Endless, but not by TIC alone: never done in one go. */
static void loop_program(struct rig *r)
{
	r->orb = ORB_FORMAT1 | ORB_SUSPEND | 0x8000;
	ccw(r, CMD_CONTROL, CCW_CC, 0, 0);
	ccw(r, CCW_CMD_TIC, 0, 0, PROGRAM);
	CHECK_EQ(ssch(r), 0);
	CHECK_EQ(ctrl(r), SCSW_FCTL_START | SCSW_ACTL_SUBCHANNEL | SCSW_ACTL_DEVICE);
}

static void test_hsch(void)
{
	struct rig r;

	rig_start(&r);
	/* Idle: status pending alone. */
	CHECK_EQ(css_hsch(r.css, r.sid), 0);
	CHECK_EQ(r.dev.halts, 1);
	CHECK_EQ(r.interrupts, 1);
	CHECK_EQ(ctrl(&r), SCSW_FCTL_HALT | SCSW_STCTL_PENDING);
	CHECK_EQ(css_hsch(r.css, r.sid), 1);
	CHECK_EQ(ssch(&r), 1);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_CTRL(&r), SCSW_FCTL_HALT | SCSW_STCTL_PENDING);
	CHECK_EQ(r.irb.scsw.dstat, 0);
	CHECK_EQ(ctrl(&r), 0);
	/* Ended: status is there. */
	ccw(&r, CCW_CMD_NOP, 0, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(css_hsch(r.css, r.sid), 1);
	CHECK_EQ(ctrl(&r), DONE);
	CHECK_EQ(tsch(&r), 0);
	/* Active: the device ends. */
	loop_program(&r);
	CHECK_EQ(css_hsch(r.css, r.sid), 0);
	CHECK_EQ(r.dev.halts, 2);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_CTRL(&r), DONE | SCSW_FCTL_HALT);
	CHECK_EQ(r.irb.scsw.dstat, GOOD_END);
	CHECK_EQ(ctrl(&r), 0);
	CHECK(!css_continue(r.css));
	/* Suspended, with intermediate status: that does not stand in the way. */
	r.orb = ORB_FORMAT1 | ORB_SUSPEND | 0x8000;
	ccw(&r, CCW_CMD_NOP, CCW_SUSPEND, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(css_hsch(r.css, r.sid), 0);
	CHECK_EQ(ctrl(&r), SCSW_FCTL_START | SCSW_FCTL_HALT | SCSW_ACTL_SUSPENDED | SCSW_STCTL_INTERMEDIATE | SCSW_STCTL_PENDING);
	CHECK_EQ(css_rsch(r.css, r.sid), 1);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(ctrl(&r), 0);
	rig_stop(&r);
}

static void test_csch(void)
{
	struct css_schib schib;
	struct rig r;

	rig_start(&r);
	CHECK_EQ(css_csch(r.css, r.sid), 0);
	CHECK_EQ(r.dev.clears, 1);
	CHECK_EQ(r.interrupts, 1);
	CHECK_EQ(ctrl(&r), SCSW_FCTL_CLEAR | SCSW_STCTL_PENDING);
	CHECK_EQ(css_hsch(r.css, r.sid), 1);
	CHECK_EQ(ssch(&r), 1);
	/* Again, with the first one's interruption still pending: one is. */
	CHECK_EQ(css_csch(r.css, r.sid), 0);
	CHECK_EQ(r.interrupts - r.withdrawn, 1);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_CTRL(&r), SCSW_FCTL_CLEAR | SCSW_STCTL_PENDING);
	CHECK_EQ(IRB_FLAGS(&r), 0);
	CHECK_EQ(ctrl(&r), 0);
	/* Status and interruption of what was done before are gone. */
	ccw(&r, CMD_CHECK, 0, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	r.interrupts = r.withdrawn = 0;
	CHECK_EQ(css_csch(r.css, r.sid), 0);
	CHECK_EQ(r.withdrawn, 1);
	CHECK_EQ(r.interrupts, 1);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_CTRL(&r), SCSW_FCTL_CLEAR | SCSW_STCTL_PENDING);
	CHECK_EQ(r.irb.scsw.dstat, 0);
	/* Active, then suspended. */
	loop_program(&r);
	CHECK_EQ(css_csch(r.css, r.sid), 0);
	CHECK_EQ(ctrl(&r), SCSW_FCTL_CLEAR | SCSW_STCTL_PENDING);
	CHECK(!css_continue(r.css));
	CHECK_EQ(tsch(&r), 0);
	ccw(&r, CCW_CMD_NOP, CCW_SUSPEND, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(css_csch(r.css, r.sid), 0);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_CTRL(&r), SCSW_FCTL_CLEAR | SCSW_STCTL_PENDING);
	/* Paths are taken for operational again. */
	CHECK_EQ(css_stsch(r.css, r.sid, &schib), 0);
	schib.pmcw.pom = 0;
	CHECK_EQ(css_msch(r.css, r.sid, &schib), 0);
	CHECK_EQ(css_csch(r.css, r.sid), 0);
	CHECK_EQ(css_stsch(r.css, r.sid, &schib), 0);
	CHECK_EQ(schib.pmcw.pom, 0xff);
	CHECK_EQ(schib.pmcw.pnom, 0);
	rig_stop(&r);
}

static void test_rsch(void)
{
	struct rig r;

	rig_start(&r);
	CHECK_EQ(css_rsch(r.css, r.sid), 2);
	ccw(&r, CCW_CMD_NOP, 0, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(css_rsch(r.css, r.sid), 1);
	CHECK_EQ(tsch(&r), 0);
	/* The suspend control of the ORB has to be there. */
	loop_program(&r);
	CHECK_EQ(css_rsch(r.css, r.sid), 0);
	CHECK_EQ(css_rsch(r.css, r.sid), 2);
	CHECK_EQ(css_csch(r.css, r.sid), 0);
	CHECK_EQ(css_rsch(r.css, r.sid), 1);
	CHECK_EQ(tsch(&r), 0);
	r.orb = ORB_FORMAT1 | 0x8000;
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(css_rsch(r.css, r.sid), 2);
	CHECK_EQ(css_csch(r.css, r.sid), 0);
	CHECK_EQ(tsch(&r), 0);

	/* Suspended: the CCW is fetched again. First it still says so. */
	r.orb = ORB_FORMAT1 | ORB_SUSPEND | ORB_SUPPRESS | 0x8000;
	r.interrupts = r.dev.commands = 0;
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	ccw(&r, CMD_CONTROL, CCW_SUSPEND, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(r.interrupts, 0);
	CHECK_EQ(r.dev.commands, 1);
	CHECK_EQ(ctrl(&r), SCSW_FCTL_START | SCSW_ACTL_SUSPENDED);
	CHECK_EQ(css_rsch(r.css, r.sid), 0);
	CHECK_EQ(ctrl(&r), SCSW_FCTL_START | SCSW_ACTL_SUSPENDED);
	CHECK_EQ(r.dev.commands, 1);
	put_ccw1(&r, PROGRAM + 8, CMD_CONTROL, 0, 0, 0);
	CHECK_EQ(css_rsch(r.css, r.sid), 0);
	CHECK_EQ(r.dev.commands, 2);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_CTRL(&r), DONE);
	CHECK_EQ(IRB_CPA(&r), PROGRAM + 16);
	/* Intermediate status stands in the way of resuming, until it is taken. */
	r.orb &= ~(uint32_t)ORB_SUPPRESS;
	ccw(&r, CMD_CONTROL, CCW_SUSPEND, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(css_rsch(r.css, r.sid), 1);
	CHECK_EQ(tsch(&r), 0);
	put_ccw1(&r, PROGRAM, CMD_CONTROL, 0, 0, 0);
	CHECK_EQ(css_rsch(r.css, r.sid), 0);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_CTRL(&r), DONE);
	rig_stop(&r);
}

static void test_xsch(void)
{
	struct rig r;

	rig_start(&r);
	CHECK_EQ(css_xsch(r.css, r.sid), 2);
	ccw(&r, CCW_CMD_NOP, 0, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(css_xsch(r.css, r.sid), 1);
	CHECK_EQ(tsch(&r), 0);
	loop_program(&r);
	CHECK_EQ(css_xsch(r.css, r.sid), 2);
	CHECK_EQ(css_hsch(r.css, r.sid), 0);
	CHECK_EQ(css_xsch(r.css, r.sid), 1);
	CHECK_EQ(tsch(&r), 0);
	/* Suspended: gone without an interruption. */
	r.orb |= ORB_SUPPRESS;
	ccw(&r, CCW_CMD_NOP, CCW_SUSPEND, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	r.interrupts = 0;
	CHECK_EQ(css_xsch(r.css, r.sid), 0);
	CHECK_EQ(ctrl(&r), 0);
	CHECK_EQ(r.interrupts, 0);
	CHECK_EQ(tsch(&r), 1);
	CHECK_EQ(css_xsch(r.css, r.sid), 2);
	rig_stop(&r);
}

static void msch_isc(struct rig *r, uint32_t sid, unsigned int isc)
{
	struct css_schib schib;

	CHECK_EQ(css_stsch(r->css, sid, &schib), 0);
	put_be16(schib.pmcw.flags, (uint16_t)((get_be16(schib.pmcw.flags) & ~PMCW_ISC_MASK) | isc << 11));
	CHECK_EQ(css_msch(r->css, sid, &schib), 0);
}

static void test_interrupts(void)
{
	struct css_tpi tpi;
	struct rig r;

	rig_start(&r);
	CHECK_EQ(css_tpi(r.css, 0xff, &tpi), 0);
	msch_isc(&r, r.sid, 5);
	msch_isc(&r, r.sid2, 2);
	CHECK_EQ(css_hsch(r.css, r.sid), 0);
	CHECK_EQ(css_hsch(r.css, r.sid2), 0);
	CHECK_EQ(r.last_isc, 2);
	CHECK_EQ(r.last_intparm, 0x1111);
	CHECK_EQ(css_tpi(r.css, 0xff & ~(0x80 >> 5) & ~(0x80 >> 2), &tpi), 0);
	CHECK_EQ(css_tpi(r.css, 0xff, &tpi), 1);
	CHECK_EQ(get_be32(tpi.sid), r.sid2);
	CHECK_EQ(get_be32(tpi.intparm), 0x1111);
	CHECK_EQ(get_be32(tpi.word), 2 << 27);
	CHECK_EQ(css_tpi(r.css, 0x80 >> 2, &tpi), 0);
	CHECK_EQ(css_tpi(r.css, 0x80 >> 5, &tpi), 1);
	CHECK_EQ(get_be32(tpi.sid), r.sid);
	CHECK_EQ(css_tpi(r.css, 0xff, &tpi), 0);
	/* The status is still there for TSCH. */
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(tsch(&r), 1);

	/* Unsolicited status: alert; while other status is there it waits, and merges. */
	r.interrupts = 0;
	css_present_alert(r.css, r.sch, DSTAT_ATTENTION);
	CHECK_EQ(r.interrupts, 1);
	css_present_alert(r.css, r.sch, DSTAT_DEVICE_END);
	css_present_alert(r.css, r.sch, 0);
	CHECK_EQ(r.interrupts, 1);
	CHECK_EQ(ssch(&r), 1);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_CTRL(&r), SCSW_STCTL_ALERT | SCSW_STCTL_PENDING);
	CHECK_EQ(r.irb.scsw.dstat, DSTAT_ATTENTION);
	CHECK_EQ(r.interrupts, 2);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_CTRL(&r), SCSW_STCTL_ALERT | SCSW_STCTL_PENDING);
	CHECK_EQ(r.irb.scsw.dstat, DSTAT_DEVICE_END);
	CHECK_EQ(tsch(&r), 1);
	/* During a start function, it waits for its end and its TSCH. */
	loop_program(&r);
	css_present_alert(r.css, r.sch, 0);
	CHECK_EQ(r.interrupts, 2);
	CHECK_EQ(css_hsch(r.css, r.sid), 0);
	CHECK_EQ(r.interrupts, 3);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(r.interrupts, 4);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_CTRL(&r), SCSW_STCTL_ALERT | SCSW_STCTL_PENDING);
	/* A clear function drops it, and so does a subchannel that is not enabled. */
	loop_program(&r);
	css_present_alert(r.css, r.sch, 0);
	CHECK_EQ(css_csch(r.css, r.sid), 0);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(tsch(&r), 1);
	msch_flags(&r, 0, 0, 0, 0);
	css_present_alert(r.css, r.sch, 0);
	CHECK_EQ(ctrl(&r), 0);
	rig_enable(&r, r.sid, 0, 0);
	CHECK_EQ(tsch(&r), 1);
	rig_stop(&r);
}

int main(void)
{
	test_names();
	test_stsch();
	test_msch();
	test_ssch();
	test_tsch();
	test_hsch();
	test_csch();
	test_rsch();
	test_xsch();
	test_interrupts();
	return test_result();
}
