// SPDX-License-Identifier: MIT
/* Measurement blocks: SCHM, both formats, what counts and what does not. */
#include "judge.h"

static uint32_t sid;
static struct ccw p[1];
static struct {
	uint16_t starts, samples;
	uint32_t times[7];
} blocks[16] __attribute__((aligned(4096)));
static struct {
	uint32_t starts, samples;
	uint32_t times[14];
} wide __attribute__((aligned(64)));
enum { SCHM_BLOCKS = 2, SCHM_TIME = 1 };

static bool measure(bool on, uint16_t index, uint64_t wide_at)
{
	struct schib s;

	css_stsch(sid, &s);
	s.pmcw.flags = (uint16_t)((s.pmcw.flags & ~PMCW_MEASURE_UPDATE) | (on ? PMCW_MEASURE_UPDATE : 0));
	s.pmcw.measurement_index = index;
	s.pmcw.more_flags = wide_at ? PMCW_FORMAT_1 : 0;
	s.measurement_block = wide_at;
	return css_msch(sid, &s) == 0;
}

static void run_starts(unsigned int n)
{
	p[0] = CCW(CMD_NOP, 0, 0, 0);
	for (unsigned int i = 0; i < n; i++)
		css_run(sid, p, 0);
}

void guest(void)
{
	if (!css_find())
		return fail("devices", "there are none");
	sid = devices[0].sid;
	judge_equal("schm", css_schm(SCHM_BLOCKS, (uint64_t)blocks), 0);
	judge("enable", measure(true, 5, 0));
	run_starts(3);
	judge_equal("starts", blocks[5].starts, 3);
	judge("others-untouched", !blocks[4].starts && !blocks[6].starts && !blocks[0].starts);
	judge("disable", measure(false, 5, 0));
	run_starts(1);
	judge_equal("disabled-does-not-count", blocks[5].starts, 3);
	measure(true, 6, 0);
	run_starts(2);
	judge_equal("other-index", blocks[6].starts, 2);
	blocks[6].starts = 0xffff;
	run_starts(1);
	judge_equal("wraps", blocks[6].starts, 0);
	/* Off for all. */
	judge_equal("schm-off", css_schm(0, 0), 0);
	run_starts(1);
	judge_equal("off-does-not-count", blocks[6].starts, 0);
	judge("format-1", measure(true, 0, (uint64_t)&wide));
	judge_equal("schm-again", css_schm(SCHM_BLOCKS, (uint64_t)blocks), 0);
	run_starts(4);
	judge_equal("format-1-starts", wide.starts, 4);
	/* A block where there is no memory harms nothing but the measurement. */
	measure(true, 0, 1UL << 44);
	p[0] = CCW(CMD_NOP, 0, 0, 0);
	judge("block-nowhere", css_run(sid, p, 0).cc == 0);
	css_quiet(sid);
	measure(false, 0, 0);
	css_schm(0, 0);
	judge("still-there", css_run(sid, p, 0).cc == 0);
}
