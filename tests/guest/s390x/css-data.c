// SPDX-License-Identifier: MIT
/* Indirect data addressing: IDAWs of both formats and sizes, MIDAWs; each check. */
#include "judge.h"

static uint32_t sid;
static struct ccw p[4];
static uint8_t memory[4 * 4096] __attribute__((aligned(4096)));
static uint8_t id[7];
static uint32_t words[64] __attribute__((aligned(4096)));
static uint64_t doubles[520] __attribute__((aligned(4096)));
static struct midaw midaws[300] __attribute__((aligned(4096)));
#define NOWHERE 0x7fff0000u

static uint32_t at(const void *a)
{
	return ABSOLUTE(a);
}

static struct result sense(uint8_t flags, unsigned int count, uint32_t list, uint32_t orb_flags)
{
	memset(memory, 0xee, sizeof(memory));
	p[0] = CCW(CMD_SENSE_ID, CCW_SLI | flags, count, list);
	return css_run(sid, p, orb_flags);
}

/* The seven bytes lie in two pieces, and nothing beside them. */
static bool pieces(const uint8_t *a, unsigned int n, const uint8_t *b)
{
	return !memcmp(a, id, n) && !memcmp(b, id + n, sizeof(id) - n) && a[-1] == 0xee && b[sizeof(id) - n] == 0xee;
}

static void format_1(void)
{
	struct result r;

	words[0] = at(memory + 100);
	r = sense(CCW_IDA, 7, at(words), 0);
	judge_good("ida1", &r, p, 0);
	judge("ida1-data", pieces(memory + 100, 7, memory + 107));
	words[0] = at(memory + 2048 - 3);
	words[1] = at(memory + 6144);
	r = sense(CCW_IDA, 7, at(words), 0);
	judge_good("ida1-two", &r, p, 0);
	judge("ida1-two-data", pieces(memory + 2045, 3, memory + 6144));
	/* Only what the count needs is looked at. */
	words[0] = at(memory + 2048 - 7);
	words[1] = 0xffffffff;
	r = sense(CCW_IDA, 7, at(words), 0);
	judge_good("ida1-unused", &r, p, 0);
	r = sense(CCW_IDA, 7, at(words) + 2, 0);
	judge_program_check("ida1-list-unaligned", &r, p);
	words[0] = at(memory) | 0x80000000;
	r = sense(CCW_IDA, 7, at(words), 0);
	judge_program_check("ida1-bit-0", &r, p);
	words[0] = at(memory + 2048 - 3);
	words[1] = at(memory + 6144 + 8);
	r = sense(CCW_IDA, 7, at(words), 0);
	judge_program_check("ida1-second-unaligned", &r, p);
	words[0] = NOWHERE;
	r = sense(CCW_IDA, 7, at(words), 0);
	judge_program_check("ida1-nowhere", &r, p);
	words[0] = at(memory + 2048 - 3);
	words[1] = NOWHERE;
	r = sense(CCW_IDA, 7, at(words), 0);
	judge_program_check("ida1-second-nowhere", &r, p);
	r = sense(CCW_IDA, 7, NOWHERE, 0);
	judge_program_check("ida1-list-nowhere", &r, p);
}

static void format_2(void)
{
	struct result r;

	doubles[0] = at(memory + 4096 - 4);
	doubles[1] = at(memory + 8192);
	r = sense(CCW_IDA, 7, at(doubles), ORB_IDAW_2);
	judge_good("ida2", &r, p, 0);
	judge("ida2-data", pieces(memory + 4092, 4, memory + 8192));
	r = sense(CCW_IDA, 7, at(doubles) + 4, ORB_IDAW_2);
	judge_program_check("ida2-list-unaligned", &r, p);
	doubles[1] = at(memory + 8192 + 2048);
	r = sense(CCW_IDA, 7, at(doubles), ORB_IDAW_2);
	judge_program_check("ida2-second-unaligned", &r, p);
	doubles[1] = 1UL << 44;
	r = sense(CCW_IDA, 7, at(doubles), ORB_IDAW_2);
	judge_program_check("ida2-second-nowhere", &r, p);
	doubles[0] = UINT64_MAX - 2;
	r = sense(CCW_IDA, 7, at(doubles), ORB_IDAW_2);
	judge_program_check("ida2-wraps", &r, p);
	doubles[0] = at(memory + 2048 - 5);
	doubles[1] = at(memory + 8192 + 2048);
	r = sense(CCW_IDA, 7, at(doubles), ORB_IDAW_2 | ORB_IDAW_2K);
	judge_good("ida2-2k", &r, p, 0);
	judge("ida2-2k-data", pieces(memory + 2043, 5, memory + 10240));
	/* The list itself may cross pages. */
	doubles[511] = at(memory + 4096 - 4);
	doubles[512] = at(memory + 4096);
	r = sense(CCW_IDA, 7, at(&doubles[511]), ORB_IDAW_2);
	judge_good("ida2-list-across-pages", &r, p, 0);
	judge("ida2-list-across-pages-data", pieces(memory + 4092, 4, memory + 4096));
	doubles[0] = at(memory + 4096 - 2);
	doubles[1] = at(memory + 8192);
	p[1] = CCW(0, CCW_SLI | CCW_IDA, 4, &doubles[1]);
	r = sense(CCW_IDA | CCW_CHAIN_DATA, 3, at(doubles), ORB_IDAW_2);
	judge("ida2-chain-data", !r.cc && !memcmp(memory + 4094, id, 2) && !memcmp(memory + 8192, id + 3, 4));
	r = sense(CCW_IDA | CCW_SKIP, 7, NOWHERE, ORB_IDAW_2);
	judge_good("ida2-skip-looks-at-nothing", &r, p, 0);
}

static struct midaw piece(uint8_t flags, unsigned int count, const void *to)
{
	return (struct midaw){ { 0 }, flags, (uint16_t)count, ABSOLUTE(to) };
}

static void modified(void)
{
	struct result r;

	midaws[0] = piece(0, 2, memory + 100);
	midaws[1] = piece(0, 1, memory + 4095);
	midaws[2] = piece(MIDAW_LAST, 4, memory + 8001);
	r = sense(CCW_MIDA, 7, at(midaws), ORB_MIDAW);
	judge_good("midaw", &r, p, 0);
	judge("midaw-data", !memcmp(memory + 100, id, 2) && memory[4095] == id[2] && !memcmp(memory + 8001, id + 3, 4) && memory[102] == 0xee);
	midaws[1].flags = MIDAW_SKIP;
	r = sense(CCW_MIDA, 7, at(midaws), ORB_MIDAW);
	judge_good("midaw-skip", &r, p, 0);
	judge("midaw-skip-data", memory[4095] == 0xee && !memcmp(memory + 8001, id + 3, 4));
	midaws[1].flags = 0;
	r = sense(CCW_MIDA, 7, at(midaws) + 8, ORB_MIDAW);
	judge_program_check("midaw-unaligned", &r, p);
	midaws[1].reserved[4] = 1;
	r = sense(CCW_MIDA, 7, at(midaws), ORB_MIDAW);
	judge_program_check("midaw-reserved", &r, p);
	midaws[1].reserved[4] = 0;
	midaws[1].count = 0;
	r = sense(CCW_MIDA, 7, at(midaws), ORB_MIDAW);
	judge_program_check("midaw-count-0", &r, p);
	midaws[1] = piece(0, 2, memory + 4095);
	r = sense(CCW_MIDA, 8, at(midaws), ORB_MIDAW);
	judge_program_check("midaw-across-page", &r, p);
	midaws[1] = piece(MIDAW_LAST, 1, memory + 4095);
	r = sense(CCW_MIDA, 7, at(midaws), ORB_MIDAW);
	judge_program_check("midaw-last-too-early", &r, p);
	midaws[1] = piece(0, 1, memory + 4095);
	midaws[2].flags = 0;
	r = sense(CCW_MIDA, 7, at(midaws), ORB_MIDAW);
	judge_program_check("midaw-without-last", &r, p);
	midaws[2].flags = MIDAW_LAST;
	midaws[1] = piece(0, 1, 0);
	midaws[1].data = 1UL << 44;
	r = sense(CCW_MIDA, 7, at(midaws), ORB_MIDAW);
	judge_program_check("midaw-nowhere", &r, p);
	r = sense(CCW_MIDA, 7, NOWHERE, ORB_MIDAW);
	judge_program_check("midaw-list-nowhere", &r, p);
	/* A list stays in its page. */
	midaws[255] = piece(0, 3, memory + 100);
	midaws[256] = piece(MIDAW_LAST, 4, memory + 200);
	r = sense(CCW_MIDA, 7, at(&midaws[255]), ORB_MIDAW);
	judge_program_check("midaw-list-across-page", &r, p);
	midaws[0] = piece(MIDAW_LAST, 7, memory);
	r = sense(CCW_MIDA | CCW_IDA, 7, at(midaws), ORB_MIDAW);
	judge_program_check("midaw-and-idaw", &r, p);
	r = sense(CCW_MIDA | CCW_SKIP, 7, at(midaws), ORB_MIDAW);
	judge_program_check("midaw-and-skip", &r, p);
	r = sense(CCW_MIDA, 7, at(midaws), 0);
	judge_program_check("midaw-not-asked-for", &r, p);
}

static void set_limit(uint64_t limit)
{
	register uint64_t r1 __asm__("1") = limit;

	__asm__ volatile("sal" : : "d"(r1) : "cc", "memory");
}

static bool limit_mode(uint16_t mode)
{
	struct schib s;

	css_stsch(sid, &s);
	s.pmcw.flags = (uint16_t)((s.pmcw.flags & ~PMCW_LIMIT) | mode);
	return css_msch(sid, &s) == 0;
}

/* Data on the wrong side of the address limit, where MSCH and the ORB ask for it to be looked at. */
static void limits(void)
{
	struct result r;

	set_limit(0x10000);
	judge("limit-low", limit_mode(0x20));
	r = sense(0, 7, at(memory), ORB_ADDRESS_LIMIT);
	judge_good("limit-low-above", &r, p, 0);
	judge("limit-high", limit_mode(0x40));
	r = sense(0, 7, at(memory), ORB_ADDRESS_LIMIT);
	judge_program_check("limit-high-above", &r, p);
	judge_equal("limit-high-stores-nothing", memory[0], 0xee);
	r = sense(0, 7, at(memory), 0);
	judge_good("limit-not-asked-for", &r, p, 0);
	r = sense(0, 7, 0xf000, ORB_ADDRESS_LIMIT);
	judge_good("limit-high-below", &r, p, 0);
	limit_mode(0);
	r = sense(0, 7, at(memory), ORB_ADDRESS_LIMIT);
	judge_good("limit-off", &r, p, 0);
	set_limit(0);
}

void guest(void)
{
	struct result r;

	if (!css_find())
		return fail("devices", "there are none");
	sid = devices[0].sid;
	p[0] = CCW(CMD_SENSE_ID, CCW_SLI, sizeof(id), id);
	r = css_run(sid, p, 0);
	judge_good("direct", &r, p, 0);
	format_1();
	format_2();
	modified();
	limits();
	/* All of that was without consequences. */
	p[0] = CCW(CMD_SENSE_ID, CCW_SLI, sizeof(id), memory);
	r = css_run(sid, p, 0);
	judge("still-there", !r.cc && !memcmp(memory, id, sizeof(id)));
}
