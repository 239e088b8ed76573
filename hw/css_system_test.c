// SPDX-License-Identifier: MIT
/* The channel subsystem as a whole: CHSC, channel reports and devices that come and go, measurement, reset, saved state, several CPUs at once. */
#include "hw/css_rig_test.h"

/* ---- CHSC ---- */

static uint8_t page[CHSC_PAGE];

/* The response code, or what the instruction said if that was not condition code 0. */
static int chsc(struct rig *r, uint16_t len, uint16_t code, uint32_t word0, uint32_t word1, uint32_t word2)
{
	int cc;

	memset(page, 0, 16);
	memset(page + 16, 0xee, sizeof(page) - 16);
	put_be16(page, len);
	put_be16(page + 2, code);
	put_be32(page + 4, word0);
	put_be32(page + 8, word1);
	put_be32(page + 12, word2);
	cc = css_chsc(r->css, page);
	if (cc < 0 || cc > 0)
		return cc;
	CHECK_EQ(get_be16(page), len);
	/* What is behind the response is zero. */
	for (unsigned int i = len + get_be16(page + len); i < sizeof(page); i++)
		CHECK_EQ(page[i], 0);
	return get_be16(page + len + 2);
}

static void test_chsc(void)
{
	struct rig r;

	rig_start(&r);
	CHECK_EQ(chsc(&r, 8, 0x10, 0, 0, 0), -CSS_PGM_OPERAND);
	CHECK_EQ(chsc(&r, 17, 0x10, 0, 0, 0), -CSS_PGM_OPERAND);
	CHECK_EQ(chsc(&r, 4096, 0x10, 0, 0, 0), -CSS_PGM_OPERAND);
	CHECK_EQ(chsc(&r, 0xfff8, 0x10, 0, 0, 0), -CSS_PGM_OPERAND);
	CHECK_EQ(chsc(&r, 4088, 0x10, 0, 0, 0), CHSC_BAD_REQUEST);
	CHECK_EQ(chsc(&r, 16, 0xffff, 0, 0, 0), CHSC_NOT_PROVIDED);
	CHECK_EQ(get_be16(page + 16), 8);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_EVENT, 0, 0, 0), CHSC_NO_EVENT);

	/* Characteristics. */
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_CHARACTERISTICS, 0, 0, 0), CHSC_OK);
	CHECK_EQ(get_be16(page + 16), 4080);
	CHECK_EQ(get_be64(page + 24), UINT64_C(1) << (63 - 41) | UINT64_C(1) << (63 - 45) | UINT64_C(1) << (63 - 46) | UINT64_C(1) << (63 - 48));
	CHECK_EQ(chsc(&r, 24, CHSC_STORE_CHARACTERISTICS, 0, 0, 0), CHSC_BAD_REQUEST);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_CHARACTERISTICS, 0x10000, 0, 0), CHSC_BAD_FORMAT);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_CHARACTERISTICS, 0x100, 0, 0), CHSC_BAD_IMAGE);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_CHARACTERISTICS, 0x2000fe00, 0, 0), CHSC_OK);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_CHARACTERISTICS, 1, 0, 0), CHSC_BAD_REQUEST);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_CHARACTERISTICS, 0, 1, 0), CHSC_BAD_REQUEST);

	/* Channel paths: there is one, 0. */
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_PATH_DESCRIPTION, 0, 0, 0), CHSC_OK);
	CHECK_EQ(get_be16(page + 16), 16);
	CHECK_EQ(get_be32(page + 24), 0x80003200);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_PATH_DESCRIPTION, 0, 0xff, 0), CHSC_OK);
	CHECK_EQ(get_be16(page + 16), 16);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_PATH_DESCRIPTION, 0x10000100, 0, 0), CHSC_OK);
	CHECK_EQ(get_be16(page + 16), 40);
	CHECK_EQ(get_be32(page + 20), 1);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_PATH_DESCRIPTION, 1, 2, 0), CHSC_OK);
	CHECK_EQ(get_be16(page + 16), 8);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_PATH_DESCRIPTION, 2, 1, 0), CHSC_BAD_REQUEST);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_PATH_DESCRIPTION, 0x01000000, 0, 0), CHSC_BAD_FORMAT);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_PATH_DESCRIPTION, 0x200, 0, 0), CHSC_BAD_FORMAT);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_PATH_DESCRIPTION, 0x00010000, 0, 0), CHSC_BAD_IMAGE);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_PATH_DESCRIPTION, 0, 0, 1), CHSC_BAD_REQUEST);
	CHECK_EQ(chsc(&r, 32, CHSC_STORE_PATH_DESCRIPTION, 0, 0, 0), CHSC_BAD_REQUEST);

	/* Subchannels. */
	css_remove_device(r.css, r.sch);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_SUBCHANNEL_DESCRIPTION, 0, 0xffff, 0), CHSC_OK);
	CHECK_EQ(get_be16(page + 16), 8 + 2 * 32);
	CHECK_EQ(get_be32(page + 24), 0x80000000);
	CHECK_EQ(get_be32(page + 28), 0);
	CHECK_EQ(get_be32(page + 56), 0xc0000011);
	CHECK_EQ(get_be32(page + 60), 0x80000001);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_SUBCHANNEL_DESCRIPTION, 5, 5, 0), CHSC_OK);
	CHECK_EQ(get_be16(page + 16), 8);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_SUBCHANNEL_DESCRIPTION, 5, 4, 0), CHSC_BAD_REQUEST);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_SUBCHANNEL_DESCRIPTION, 0x00100000, 0, 0), CHSC_BAD_REQUEST);

	/* More sets, more images; twice does no harm. */
	CHECK_EQ(chsc(&r, 16, CHSC_SET_DOMAIN, 2, 0, 0), CHSC_BAD_REQUEST);
	CHECK_EQ(chsc(&r, 0x400, CHSC_SET_DOMAIN, 1, 0, 0), CHSC_BAD_REQUEST);
	CHECK_EQ(chsc(&r, 0x400, CHSC_SET_DOMAIN, 0x01000002, 0, 0), CHSC_BAD_FORMAT);
	CHECK_EQ(css_hsch(r.css, 0x00030000), -CSS_PGM_OPERAND);
	CHECK_EQ(chsc(&r, 0x400, CHSC_SET_DOMAIN, 2, 0, 0), CHSC_OK);
	CHECK_EQ(chsc(&r, 0x400, CHSC_SET_DOMAIN, 2, 0, 0), CHSC_OK);
	CHECK_EQ(css_hsch(r.css, 0x00030000), 3);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_SUBCHANNEL_DESCRIPTION, 0x00100000, 0, 0), CHSC_OK);
	CHECK_EQ(css_hsch(r.css, r.sid2), 0);
	CHECK_EQ(chsc(&r, 0x400, CHSC_SET_DOMAIN, 0, 0, 0), CHSC_OK);
	CHECK_EQ(r.withdrawn, 1);
	CHECK_EQ(r.interrupts, 2);
	CHECK_EQ(r.last_sid, 0xfe090001);
	r.sid = 0xfe090001;
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(css_hsch(r.css, 0xfe090001), 0);
	CHECK_EQ(r.last_sid, 0xfe090001);
	rig_stop(&r);
}

/* A full page of subchannels; the rest is asked for later. */
static void test_many_subchannels(void)
{
	struct css_device_config dc = { .ops = &rig_dev_ops, .cu_model = -1, .ssid = 1 };
	struct css_subchannel *sch;
	struct css_schib schib;
	struct rig r;

	rig_start(&r);
	dc.dev = &r.dev;
	for (unsigned int i = 0; i < 300; i++) {
		dc.devno = (uint16_t)(i + 0x100);
		CHECK_EQ(css_add_device(r.css, &dc, &sch, NULL), 0);
	}
	CHECK_EQ(css_add_device(r.css, &dc, &sch, NULL), -EEXIST);
	dc.ssid = 4;
	CHECK_EQ(css_add_device(r.css, &dc, &sch, NULL), -EINVAL);
	CHECK_EQ(chsc(&r, 0x400, CHSC_SET_DOMAIN, 2, 0, 0), CHSC_OK);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_SUBCHANNEL_DESCRIPTION, 0x00100000, 0xffff, 0), CHSC_OK);
	CHECK_EQ(get_be16(page + 16), 8 + 127 * 32);
	CHECK_EQ(chsc(&r, 16, CHSC_STORE_SUBCHANNEL_DESCRIPTION, 0x00100000 | 127, 0xffff, 0), CHSC_OK);
	CHECK_EQ(get_be16(page + 24 + 2), 0x100 + 127);
	CHECK_EQ(css_stsch(r.css, 0x0003012b, &schib), 0);
	CHECK_EQ(css_stsch(r.css, 0x0003012c, &schib), 3);
	rig_stop(&r);
}

/* ---- Channel reports, and devices that come and go ---- */

static uint32_t crw(struct rig *r)
{
	struct css_crw w;
	int cc = css_stcrw(r->css, &w);

	CHECK_EQ(cc, get_be32(w.flags) ? 0 : 1);
	return get_be32(w.flags);
}

static void test_reports(void)
{
	struct rig r;

	rig_start(&r);
	CHECK_EQ(crw(&r), 0);
	css_queue_crw(r.css, CRW_RSC_PATH, CRW_ERC_TERMINAL, 7);
	css_queue_crw(r.css, CRW_RSC_PATH, CRW_ERC_AVAILABLE, 8);
	CHECK_EQ(r.reports, 1);
	CHECK_EQ(crw(&r), 0x04050007);
	CHECK_EQ(crw(&r), 0x04010008);
	CHECK_EQ(crw(&r), 0);
	/* Bounded: the last one says that others are lost. */
	for (unsigned int i = 0; i < 1000; i++)
		css_queue_crw(r.css, CRW_RSC_PATH, CRW_ERC_AVAILABLE, (uint16_t)i);
	CHECK_EQ(r.reports, 2);
	for (unsigned int i = 0; i < 63; i++)
		CHECK_EQ(crw(&r), 0x04010000 | i);
	CHECK_EQ(crw(&r), 0x2401003f);
	CHECK_EQ(crw(&r), 0);

	/* RCHP: a solicited report. */
	CHECK_EQ(css_rchp(r.css, 0x100), -CSS_PGM_OPERAND);
	CHECK_EQ(css_rchp(r.css, 0xfe0000), -CSS_PGM_OPERAND);
	CHECK_EQ(css_rchp(r.css, 1), 3);
	CHECK_EQ(crw(&r), 0);
	CHECK_EQ(css_rchp(r.css, 0), 0);
	CHECK_EQ(crw(&r), 0x44020000);
	CHECK_EQ(chsc(&r, 0x400, CHSC_SET_DOMAIN, 0, 0, 0), CHSC_OK);
	CHECK_EQ(css_rchp(r.css, 0xfe0000), 0);
	CHECK_EQ(css_rchp(r.css, 0x010000), 3);
	rig_stop(&r);
}

static int answer(void *dev, void *arg)
{
	*(void **)arg = dev;
	return 42;
}

static void test_hotplug(void)
{
	struct css_device_config dc = { .devno = 0x77, .ops = &rig_dev_ops, .cu_model = 9, .hotplug = true };
	static const struct css_device_ops other_ops;
	struct css_subchannel *sch;
	struct css_schib schib;
	void *dev = NULL;
	struct rig r;

	rig_start(&r);
	dc.dev = &r.dev2;
	CHECK_EQ(css_add_device(r.css, &dc, &sch, NULL), 0);
	CHECK_EQ(r.reports, 1);
	CHECK_EQ(crw(&r), 0x03040002);
	CHECK_EQ(css_stsch(r.css, 0x00010002, &schib), 0);
	CHECK_EQ(get_be16(schib.pmcw.devno), 0x77);
	CHECK_EQ(css_with_device(r.css, 0x00010002, &rig_dev_ops, answer, &dev), 42);
	CHECK(dev == &r.dev2);
	CHECK_EQ(css_with_device(r.css, 0x00010002, &other_ops, answer, &dev), -ENODEV);
	CHECK_EQ(css_with_device(r.css, 0x00010003, &rig_dev_ops, answer, &dev), -ENODEV);
	CHECK_EQ(css_with_device(r.css, 0, &rig_dev_ops, answer, &dev), -ENODEV);
	css_remove_device(r.css, sch);
	CHECK_EQ(crw(&r), 0x03040002);
	CHECK_EQ(css_with_device(r.css, 0x00010002, &rig_dev_ops, answer, &dev), -ENODEV);

	/* One that is active, with its program waiting for its turn; one that has an interruption pending. */
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(css_hsch(r.css, r.sid2), 0);
	css_remove_device(r.css, r.sch);
	css_remove_device(r.css, r.sch2);
	CHECK_EQ(r.withdrawn, 1);
	CHECK(!css_continue(r.css));
	CHECK_EQ(ctrl(&r), 0);
	CHECK_EQ(tsch(&r), 3);
	CHECK_EQ(crw(&r), 0x03040000);
	CHECK_EQ(crw(&r), 0x03040001);
	/* The first subchannel is used again; with more sets, a second word tells which. */
	CHECK_EQ(chsc(&r, 0x400, CHSC_SET_DOMAIN, 2, 0, 0), CHSC_OK);
	CHECK_EQ(css_add_device(r.css, &dc, &sch, NULL), 0);
	CHECK_EQ(crw(&r), 0x13040000);
	CHECK_EQ(crw(&r), 0x03040000);
	CHECK_EQ(ctrl(&r), 0);
	dc.ssid = 3;
	CHECK_EQ(css_add_device(r.css, &dc, &sch, NULL), 0);
	CHECK_EQ(crw(&r), 0x13040000);
	CHECK_EQ(crw(&r), 0x03040030);
	rig_stop(&r);
}

/* ---- Measurement ---- */

static void measured(struct rig *r, uint64_t at, bool format1, unsigned int starts, unsigned int samples)
{
	struct css_block1 b;

	CHECK_EQ(memory_read(r->memory, at, &b, sizeof(b)), 0);
	CHECK_EQ(format1 ? get_be32(b.starts) : get_be16(b.starts), starts);
	CHECK_EQ(format1 ? get_be32(b.samples) : get_be16(&b.starts[2]), samples);
}

static void monitor(struct rig *r, uint16_t mode, uint16_t mbi, bool format1, uint64_t mba)
{
	struct css_schib schib;

	CHECK_EQ(css_stsch(r->css, r->sid, &schib), 0);
	put_be16(schib.pmcw.flags, (uint16_t)((get_be16(schib.pmcw.flags) & ~PMCW_MEASURE) | mode));
	put_be16(schib.pmcw.mbi, mbi);
	put_be32(schib.pmcw.chars, format1 ? PMCW_CHARS_FORMAT1 : 0);
	put_be64(schib.mba, mba);
	CHECK_EQ(css_msch(r->css, r->sid, &schib), 0);
}

static void test_measurement(void)
{
	struct css_schib schib;
	struct rig r;

	rig_start(&r);
	CHECK_EQ(css_schm(r.css, 4, 0), -CSS_PGM_OPERAND);
	CHECK_EQ(css_schm(r.css, 0x08000000, 0), -CSS_PGM_OPERAND);
	CHECK_EQ(css_schm(r.css, SCHM_BLOCKS, 0x30010), -CSS_PGM_OPERAND);
	CHECK_EQ(css_schm(r.css, SCHM_TIME, 0x30010), 0);
	CHECK_EQ(css_schm(r.css, 0xa0000000 | SCHM_BLOCKS | SCHM_TIME, 0x30000), 0);
	/* Not without both switches. */
	ccw(&r, CMD_CONTROL, 0, 0, 0);
	RUN_GOOD(&r, 1, 0);
	measured(&r, 0x30000 + 32 * 3, false, 0, 0);
	monitor(&r, PMCW_MEASURE_BLOCK, 3, false, 0);
	RUN_GOOD(&r, 1, 0);
	RUN_GOOD(&r, 1, 0);
	measured(&r, 0x30000 + 32 * 3, false, 2, 2);
	/* Condition codes but 0 do not count; a program that never began is no sample. */
	ccw(&r, 0, 0, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(ssch(&r), 1);
	CHECK_EQ(tsch(&r), 0);
	measured(&r, 0x30000 + 32 * 3, false, 3, 2);
	/* RSCH counts too. */
	r.orb |= ORB_SUSPEND | ORB_SUPPRESS;
	ccw(&r, CMD_CONTROL, CCW_SUSPEND, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(css_rsch(r.css, r.sid), 0);
	measured(&r, 0x30000 + 32 * 3, false, 5, 2);
	CHECK_EQ(css_csch(r.css, r.sid), 0);
	CHECK_EQ(tsch(&r), 0);
	r.orb &= ~(uint32_t)ORB_SUSPEND;
	ccw(&r, CMD_CONTROL, 0, 0, 0);
	/* Format 1: at the subchannel's own address, whatever the origin. */
	monitor(&r, PMCW_MEASURE_BLOCK, 0, true, 0x40040);
	RUN_GOOD(&r, 1, 0);
	measured(&r, 0x40040, true, 1, 1);
	measured(&r, 0x30000, false, 0, 0);
	CHECK_EQ(css_schm(r.css, 0, 0), 0);
	RUN_GOOD(&r, 1, 0);
	measured(&r, 0x40040, true, 1, 1);
	/* A block outside storage ends the measurement, not the program. */
	CHECK_EQ(css_schm(r.css, SCHM_BLOCKS, UINT64_C(0xffffffffffffffe0)), 0);
	for (unsigned int i = 0; i < 2; i++) {
		monitor(&r, PMCW_MEASURE_BLOCK, 5, i, UINT64_C(0xffffffffffffffc0));
		RUN_GOOD(&r, 1, 0);
		CHECK_EQ(css_stsch(r.css, r.sid, &schib), 0);
		CHECK_EQ(get_be16(schib.pmcw.flags) & PMCW_MEASURE, 0);
	}
	rig_stop(&r);
}

/* ---- Reset and saved state ---- */

static void test_reset(void)
{
	struct css_schib schib;
	struct rig r;

	rig_start(&r);
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(css_hsch(r.css, r.sid2), 0);
	css_queue_crw(r.css, CRW_RSC_PATH, CRW_ERC_TERMINAL, 7);
	CHECK_EQ(chsc(&r, 0x400, CHSC_SET_DOMAIN, 2, 0, 0), CHSC_OK);
	css_reset(r.css);
	CHECK_EQ(r.dev.resets, 1);
	CHECK_EQ(r.dev2.resets, 1);
	CHECK_EQ(r.withdrawn, 1);
	CHECK(!css_continue(r.css));
	CHECK_EQ(crw(&r), 0);
	CHECK_EQ(css_hsch(r.css, 0x00030000), -CSS_PGM_OPERAND);
	CHECK_EQ(css_stsch(r.css, r.sid, &schib), 0);
	CHECK_EQ(get_be16(schib.pmcw.flags), PMCW_VALID | PMCW_TIMING);
	CHECK_EQ(get_be32(schib.pmcw.intparm), 0);
	CHECK_EQ(get_be16(schib.scsw.ctrl), 0);
	CHECK_EQ(get_be16(schib.pmcw.devno), 0x10);
	CHECK_EQ(schib.pmcw.lpm, 0x80);
	CHECK_EQ(tsch(&r), 3);
	rig_enable(&r, r.sid, 0, 0);
	ccw(&r, CMD_CONTROL, 0, 0, 0);
	RUN_GOOD(&r, 1, 0);
	rig_stop(&r);
}

static void test_state(void)
{
	static uint8_t state[65536], again[sizeof(state)];
	size_t size;
	struct rig r, s;

	rig_start(&r);
	rig_start(&s);
	/* One subchannel is active, the other has status and its interruption pending; a report is there. */
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(css_hsch(r.css, r.sid2), 0);
	css_queue_crw(r.css, CRW_RSC_PATH, CRW_ERC_TERMINAL, 7);
	size = css_save(r.css, NULL, 0);
	CHECK(size && size < sizeof(state));
	CHECK_EQ(css_save(r.css, state, size), size);
	CHECK_EQ(css_load(s.css, state, size, NULL), 0);
	CHECK_EQ(css_save(s.css, again, sizeof(again)), size);
	CHECK(!memcmp(state, again, size));
	CHECK_EQ(s.reports, 1);
	CHECK_EQ(s.interrupts, 1);
	CHECK_EQ(s.last_sid, s.sid2);
	CHECK_EQ(crw(&s), 0x04050007);
	put_ccw1(&s, PROGRAM, CMD_CONTROL, CCW_CC, 0, 0);
	put_ccw1(&s, PROGRAM + 8, CMD_CONTROL, 0, 0, 0);
	CHECK_EQ(s.dev.commands, 0);
	CHECK(s.defers > 0);
	while (css_continue(s.css))
		;
	CHECK(s.dev.commands > 0);
	CHECK_EQ(tsch(&s), 0);
	CHECK_EQ(IRB_CTRL(&s), DONE);
	CHECK_EQ(IRB_CPA(&s), PROGRAM + 16);
	/* A program that began where no CCW can be is a state like others. */
	CHECK_EQ(ssch_at(&s, PROGRAM + 4), 0);
	CHECK_EQ(css_save(s.css, again, sizeof(again)), size);
	CHECK_EQ(css_load(s.css, again, size, NULL), 0);
	/* Of another size, version, machine. */
	CHECK_EQ(css_load(s.css, state, size - 1, NULL), -EINVAL);
	state[0] ^= 1;
	CHECK_EQ(css_load(s.css, state, size, NULL), -EINVAL);
	state[0] ^= 1;
	css_remove_device(s.css, s.sch2);
	CHECK_EQ(css_load(s.css, state, size, NULL), -EINVAL);
	rig_stop(&s);
	rig_stop(&r);
}

/* ---- Several threads ---- */

#define ROUNDS 3000

static atomic_bool stop;

static void *pump(void *arg)
{
	struct rig *r = arg;

	while (!atomic_load(&stop)) {
		css_continue(r->css);
		css_present_alert(r->css, r->sch, 0);
	}
	return NULL;
}

/* Another CPU, at the same subchannel. */
static void *meddle(void *arg)
{
	struct rig *r = arg;
	struct css_irb irb;
	size_t len;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		if (i % 3)
			css_hsch(r->css, r->sid);
		else
			css_csch(r->css, r->sid);
		css_xsch(r->css, r->sid);
		css_rsch(r->css, r->sid);
		css_tsch(r->css, r->sid, &irb, &len);
	}
	return NULL;
}

/* Devices come and go at the other subchannel. */
static void *plug(void *arg)
{
	struct css_device_config dc = { .devno = 0x11, .ops = &rig_dev_ops, .cu_model = -1, .hotplug = true };
	struct rig *r = arg;

	dc.dev = &r->dev2;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		css_remove_device(r->css, r->sch2);
		if (css_add_device(r->css, &dc, &r->sch2, NULL) < 0)
			return r;
	}
	return NULL;
}

static void test_threads(void)
{
	pthread_t threads[3];
	void *failed = NULL;
	struct css_irb irb;
	struct css_orb orb = { 0 };
	struct css_crw w;
	struct rig r;
	size_t len;

	rig_start(&r);
	r.orb |= ORB_SUSPEND;
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	ccw(&r, CMD_CONTROL, CCW_CC | CCW_PCI, 0, 0);
	ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM);
	put_be32(orb.flags, r.orb);
	put_be32(orb.cpa, PROGRAM);
	CHECK_EQ(pthread_create(&threads[0], NULL, meddle, &r), 0);
	CHECK_EQ(pthread_create(&threads[1], NULL, plug, &r), 0);
	CHECK_EQ(pthread_create(&threads[2], NULL, pump, &r), 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		css_ssch(r.css, r.sid, &orb);
		css_tsch(r.css, r.sid, &irb, &len);
		css_hsch(r.css, r.sid2);
		css_stcrw(r.css, &w);
	}
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], &failed);
	CHECK(!failed);
	atomic_store(&stop, true);
	pthread_join(threads[2], NULL);
	/* As good as new. */
	css_csch(r.css, r.sid);
	while (tsch(&r) == 0)
		;
	CHECK_EQ(ctrl(&r), 0);
	r.orb = ORB_FORMAT1 | 0x8000;
	r.next = PROGRAM;
	ccw(&r, CMD_CONTROL, 0, 0, 0);
	RUN_GOOD(&r, 1, 0);
	rig_stop(&r);
}

int main(void)
{
	test_chsc();
	test_many_subchannels();
	test_reports();
	test_hotplug();
	test_measurement();
	test_reset();
	test_state();
	test_threads();
	return test_result();
}
