// SPDX-License-Identifier: MIT
/* Start, halt, clear, resume and cancel in each state of a subchannel: idle, status pending, suspended, running without end, disabled. */
#include "judge.h"

static uint32_t sid;
static struct ccw p[4];
static struct irb irb;
static struct schib schib;
static struct orb orb;
static uint8_t target[8];

enum state { IDLE, PENDING, SUSPENDED, SUSPENDED_QUIETLY, RUNNING, STATES };
static const char *const state_names[STATES] = { "idle", "pending", "suspended", "suspended-quietly", "running" };

static char name_buffer[64];

static const char *named(const char *what, enum state s)
{
	unsigned int n = 0;

	for (; *what; what++)
		name_buffer[n++] = *what;
	name_buffer[n++] = '-';
	for (const char *c = state_names[s]; *c; c++)
		name_buffer[n++] = *c;
	name_buffer[n] = 0;
	return name_buffer;
}

static bool start(uint32_t flags)
{
	orb = (struct orb){ .parameter = 9, .flags = ORB_FORMAT_1 | 0x80u << ORB_LPM_SHIFT | flags, .program = ABSOLUTE(p) };
	return css_ssch(sid, &orb) == 0;
}

/* Brings the subchannel there, with interruptions held back. */
static bool bring(enum state s)
{
	css_csch(sid);
	css_quiet(sid);
	css_quiet(sid);
	switch (s) {
	case IDLE:
		return true;
	case PENDING:
		p[0] = CCW(CMD_NOP, 0, 0, 0);
		return start(0);
	case SUSPENDED:
	case SUSPENDED_QUIETLY:
		p[0] = CCW(CMD_NOP, CCW_CHAIN, 0, 0);
		p[1] = CCW(CMD_SENSE_ID, CCW_SUSPEND | CCW_SLI, 7, target);
		if (!start(ORB_SUSPEND | (s == SUSPENDED_QUIETLY ? ORB_SUPPRESS_SUSPENDED : 0)))
			return false;
		delay_ms(5);
		/* Suspension is an intermediate interruption condition, unless it was suppressed. */
		return s == SUSPENDED_QUIETLY || (css_tsch(sid, &irb) == 0 && irb.scsw.word0 & AC_SUSPENDED);
	default:
		/* Data addresses other than 0: what counts CCWs without data leaves these alone. */
		p[0] = CCW(CMD_NOP, CCW_CHAIN, 0, target);
		p[1] = CCW(CMD_TIC, 0, 0, p);
		return start(0);
	}
}

static void halt(enum state s)
{
	uint32_t was;
	long cc;

	if (!bring(s)) {
		judge(named("halt-bring", s), false);
		return;
	}
	was = io_count;
	cc = css_hsch(sid);
	if (s == PENDING) {
		judge_equal(named("halt", s), cc, 1);
		return;
	}
	judge_equal(named("halt", s), cc, 0);
	judge(named("halt-interrupt", s), css_wait(was));
	judge_equal(named("halt-tsch", s), css_tsch(sid, &irb), 0);
	if (!judge(named("halt-status", s), (irb.scsw.word0 & (FC_HALT | FC_CLEAR | SC_PENDING)) == (FC_HALT | SC_PENDING) && !irb.scsw.channel))
		css_dump_irb(&irb);
	css_stsch(sid, &schib);
	judge_equal(named("halt-leaves-idle", s), schib.scsw.word0 & (FC | AC | SC), 0);
	judge_equal(named("halt-twice", s), css_tsch(sid, &irb), 1);
}

static void clear(enum state s)
{
	uint32_t was;

	if (!bring(s)) {
		judge(named("clear-bring", s), false);
		return;
	}
	css_stsch(sid, &schib);
	was = io_count;
	judge_equal(named("clear", s), css_csch(sid), 0);
	judge(named("clear-interrupt", s), css_wait(was));
	judge_equal(named("clear-tsch", s), css_tsch(sid, &irb), 0);
	if (!judge(named("clear-status", s), (irb.scsw.word0 & (FC | SC)) == (FC_CLEAR | SC_PENDING) && !irb.scsw.channel && !irb.scsw.device))
		css_dump_irb(&irb);
	css_stsch(sid, &schib);
	judge_equal(named("clear-leaves-idle", s), schib.scsw.word0 & (FC | AC | SC), 0);
	was = io_count;
	doze_ms(2);
	judge_equal(named("clear-interrupts-once", s), io_count, was);
}

static void resume(void)
{
	struct result r;
	uint32_t was;

	memset(target, 0, sizeof(target));
	p[0] = CCW(CMD_NOP, CCW_CHAIN, 0, 0);
	p[1] = CCW(CMD_SENSE_ID, CCW_SUSPEND | CCW_SLI, 7, target);
	r = css_run(sid, p, ORB_SUSPEND);
	judge("suspend-status", !r.cc && !r.tsch && (r.irb.scsw.word0 & (SC | AC | FC)) == (SC_INTERMEDIATE | SC_PENDING | AC_SUSPENDED | FC_START));
	judge("suspend-ccw", !r.cc && r.irb.scsw.ccw == ABSOLUTE(&p[2]));
	judge_equal("suspend-moves-nothing", target[0], 0);
	css_stsch(sid, &schib);
	judge_equal("suspended", schib.scsw.word0 & (FC | AC | SC), FC_START | AC_SUSPENDED);
	/* The flag still stands: suspended again, at the same place. */
	was = io_count;
	judge_equal("resume-with-flag", css_rsch(sid), 0);
	judge("suspended-again", css_wait(was) && css_tsch(sid, &irb) == 0 && irb.scsw.word0 & AC_SUSPENDED && target[0] == 0);
	p[1].flags &= (uint8_t)~CCW_SUSPEND;
	was = io_count;
	judge_equal("resume", css_rsch(sid), 0);
	judge("resume-interrupt", css_wait(was));
	judge_equal("resume-tsch", css_tsch(sid, &irb), 0);
	judge("resume-status", (irb.scsw.word0 & SC) == SC_ENDED && irb.scsw.device == DS_ENDED && irb.scsw.ccw == ABSOLUTE(&p[2]));
	judge_equal("resume-data", target[0], 0xff);
	judge_equal("resume-ended", css_rsch(sid), 2);
	/* Without suspend control in the ORB there is nothing to resume. */
	bring(SUSPENDED_QUIETLY);
	css_stsch(sid, &schib);
	judge_equal("suppressed-no-status", schib.scsw.word0 & (AC | SC), AC_SUSPENDED);
	was = io_count;
	doze_ms(5);
	judge_equal("suppressed-no-interrupt", io_count, was);
	was = io_count;
	judge_equal("cancel-suspended", css_xsch(sid), 0);
	css_stsch(sid, &schib);
	judge_equal("cancel-leaves-idle", schib.scsw.word0 & (FC | AC | SC), 0);
	doze_ms(5);
	judge_equal("cancel-no-interrupt", io_count, was);
}

/* While it runs without end it is busy, and can be asked about. */
static void running(void)
{
	bring(RUNNING);
	judge_equal("running-tsch", css_tsch(sid, &irb), 1);
	judge_equal("running-ssch", css_ssch(sid, &orb), 2);
	css_stsch(sid, &schib);
	judge_equal("running-msch", css_msch(sid, &schib), 2);
	judge_equal("running-start-function", schib.scsw.word0 & FC, FC_START);
	judge("running-active", schib.scsw.word0 & AC);
	judge_equal("running-rsch", css_rsch(sid), 2);
	judge_equal("running-xsch", css_xsch(sid), 2);
	css_clear(sid);
}

void guest(void)
{
	if (!css_find())
		return fail("devices", "there are none");
	sid = devices[0].sid;
	for (enum state s = IDLE; s < STATES; s++) {
		if (s == RUNNING && judge_skip("running"))
			continue;
		halt(s);
		clear(s);
	}
	css_clear(sid);
	css_quiet(sid);
	if (!judge_skip("suspending"))
		resume();
	if (!judge_skip("running"))
		running();
	css_quiet(sid);
	p[0] = CCW(CMD_SENSE_ID, CCW_SLI, 7, target);
	memset(target, 0, sizeof(target));
	judge("still-there", css_run(sid, p, 0).cc == 0 && target[0] == 0xff);
}
