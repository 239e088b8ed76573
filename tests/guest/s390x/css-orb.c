// SPDX-License-Identifier: MIT
/* Operation-request blocks: each check, and what of them shows in the status. */
#include "judge.h"

static uint32_t sid;
static struct ccw program[4];
static struct ccw0 program0[2];
static struct sense_id id;
static struct schib schib;

static struct orb plain(const void *at)
{
	return (struct orb){ .parameter = 0x600d, .flags = ORB_FORMAT_1 | 0x80u << ORB_LPM_SHIFT, .program = ABSOLUTE(at) };
}

static void refused(const char *what, uint32_t flags, uint32_t address)
{
	struct orb orb = plain(program);

	orb.flags |= flags;
	orb.program |= address;
	judge_equal(what, css_ssch(sid, &orb), -PIC_OPERAND);
	css_quiet(sid);
}

static struct result from(uint32_t address, uint32_t format)
{
	struct orb orb = plain(NULL);

	orb.flags = (orb.flags & ~ORB_FORMAT_1) | format;
	orb.program = address;
	return css_start(sid, &orb);
}

void guest(void)
{
	struct result r;
	struct orb orb;

	if (!css_find())
		return fail("devices", "there are none");
	sid = devices[0].sid;
	program[0] = CCW(CMD_NOP, 0, 0, 0);
	refused("bit-26", 0x20, 0);
	refused("bit-27", 0x10, 0);
	refused("bit-28", 0x08, 0);
	refused("bit-29", 0x04, 0);
	refused("bit-30", 0x02, 0);
	refused("transport-mode", 0x00040000, 0);
	refused("address-bit-0", 0, 0x80000000);

	orb = plain(program);
	r = css_start(sid, &orb);
	judge_good("nop", &r, program, 0);
	judge_equal("parameter", io_parameter, 0x600d);
	css_stsch(sid, &schib);
	judge_equal("parameter-kept", schib.pmcw.parameter, 0x600d);
	judge_equal("last-used-path", schib.pmcw.lpum, 0x80);
	judge_equal("format-1", r.irb.scsw.word0 & SCSW_FORMAT_1, SCSW_FORMAT_1);
	judge_equal("no-flags", r.irb.scsw.word0 & (SCSW_SUSPEND | SCSW_PREFETCH | SCSW_INITIAL), 0);

	orb.flags |= ORB_PREFETCH | ORB_SUSPEND;
	r = css_start(sid, &orb);
	judge_good("prefetch", &r, program, 0);
	judge_equal("flags-shown", r.irb.scsw.word0 & (SCSW_PREFETCH | SCSW_SUSPEND), SCSW_PREFETCH | SCSW_SUSPEND);

	/* Initial status is asked for: the first command was accepted, which the Z bit says. */
	program[0] = CCW(CMD_SENSE_ID, CCW_SLI, sizeof(id), &id);
	orb = plain(program);
	orb.flags |= ORB_INITIAL;
	r = css_start(sid, &orb);
	judge("initial-status", !r.cc && !r.tsch && r.irb.scsw.word0 & SC_INTERMEDIATE && (r.irb.scsw.word0 & SC_ENDED) == SC_ENDED);
	judge_equal("zero-condition", r.irb.scsw.word0 & SCSW_Z, SCSW_Z);
	css_quiet(sid);

	r = from(ABSOLUTE(program) + 4, ORB_FORMAT_1);
	judge_program_check("program-unaligned", &r, ANY_CCW);
	r = from(0x7ffffff8, ORB_FORMAT_1);
	judge_program_check("program-nowhere", &r, ANY_CCW);
	r = from(0x01000000 + ABSOLUTE(program), 0);
	judge_program_check("program-above-24-bits", &r, ANY_CCW);

	program0[0] = (struct ccw0){ .command = CMD_SENSE_ID, .flags = CCW_SLI, .count = sizeof(id) };
	program0[0].data[0] = (uint8_t)(ABSOLUTE(&id) >> 16);
	program0[0].data[1] = (uint8_t)(ABSOLUTE(&id) >> 8);
	program0[0].data[2] = (uint8_t)ABSOLUTE(&id);
	memset(&id, 0, sizeof(id));
	r = from(ABSOLUTE(program0), 0);
	judge_good("format-0", &r, program0, ANY_COUNT);
	judge_equal("format-0-shown", r.irb.scsw.word0 & SCSW_FORMAT_1, 0);
	judge_equal("format-0-data", id.cu_type, CU_VIRTIO);

	/* No path is left to choose: condition code 3, at once or deferred. */
	program[0] = CCW(CMD_NOP, 0, 0, 0);
	orb = plain(program);
	orb.flags &= ~(0xffu << ORB_LPM_SHIFT);
	r = css_start(sid, &orb);
	judge("no-path", r.cc == 3 || (!r.cc && (r.irb.scsw.word0 & SCSW_CC) == SCSW_CC));
	orb.flags |= 0x40u << ORB_LPM_SHIFT;
	r = css_start(sid, &orb);
	judge("other-path", r.cc == 3 || (!r.cc && (r.irb.scsw.word0 & SCSW_CC) == SCSW_CC));
	orb.flags |= 0xffu << ORB_LPM_SHIFT;
	r = css_start(sid, &orb);
	judge_good("all-paths", &r, program, 0);
}
