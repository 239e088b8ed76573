// SPDX-License-Identifier: MIT
/* Channel-command words: each check, chaining, length, skip, program-controlled interruption, sense. */
#include "judge.h"

static uint32_t sid;
static struct ccw p[8] __attribute__((aligned(64)));
static struct ccw0 q[4];
static uint8_t data[64], again[64];
static uint64_t end_of_memory;
#define UNKNOWN 0x55 /* a command that no device here knows */

static struct result run(void)
{
	return css_run(sid, p, 0);
}

static struct result run0(void)
{
	struct orb orb = { .parameter = 1, .flags = 0x80u << ORB_LPM_SHIFT, .program = ABSOLUTE(q) };

	return css_start(sid, &orb);
}

static struct ccw0 ccw0(uint8_t command, uint8_t flags, uint16_t count, const void *at)
{
	uint32_t a = ABSOLUTE(at);

	return (struct ccw0){ command, { (uint8_t)(a >> 16), (uint8_t)(a >> 8), (uint8_t)a }, flags, 0, count };
}

static void bad(const char *what, struct ccw c)
{
	struct result r;

	p[0] = CCW(CMD_NOP, CCW_CHAIN, 0, 0);
	p[1] = c;
	p[2] = CCW(CMD_NOP, 0, 0, 0);
	r = run();
	judge_program_check(what, &r, &p[1]);
}

static void commands(void)
{
	struct result r;
	static const uint8_t invalid[] = { 0x00, 0x10, 0xf0 };

	for (unsigned int i = 0; i < ARRAY_SIZE(invalid); i++) {
		p[0] = CCW(invalid[i], CCW_SLI, 8, data);
		r = run();
		judge_program_check(i == 0 ? "command-00" : i == 1 ? "command-10" : "command-f0", &r, p);
	}
	bad("command-0-chained", CCW(0, CCW_SLI, 8, data));
	bad("address-bit-0", CCW(CMD_SENSE_ID, CCW_SLI, 8, 0x80000000u));
	bad("data-nowhere", CCW(CMD_SENSE_ID, CCW_SLI, 8, 0x7fffff00));
	bad("data-across-the-end", CCW(CMD_SENSE_ID, CCW_SLI, 7, end_of_memory - 2));
	bad("suspend-without-control", CCW(CMD_NOP, CCW_SUSPEND, 0, 0));
	bad("midaw-without-control", CCW(CMD_SENSE_ID, CCW_SLI | CCW_MIDA, 7, data));
	bad("chain-data-count-0", CCW(CMD_SENSE_ID, CCW_CHAIN_DATA, 0, data));
	p[0] = CCW(CMD_NOP, 0, 0, 0);
	r = run();
	judge_good("nop", &r, p, 0);
	q[0] = ccw0(CMD_NOP, CCW_SLI, 0, data);
	r = run0();
	judge_program_check("format-0-count-0", &r, q);
	p[0] = CCW(UNKNOWN, CCW_CHAIN | CCW_SLI, 1, data);
	p[1] = CCW(CMD_SENSE_ID, CCW_SLI, 7, data);
	memset(data, 0, sizeof(data));
	r = run();
	judge_unit_check("command-reject", sid, &r, 0x80);
	judge_equal("command-reject-ends-chain", data[0], 0);
	p[0] = CCW(CMD_SENSE, CCW_SLI, sizeof(again), again);
	memset(again, 0xff, sizeof(again));
	r = run();
	judge("sense-is-taken", !r.cc && again[0] == 0);
}

static void transfers(void)
{
	struct result r;

	p[0] = CCW(CMD_TIC, 0, 0, &p[2]);
	p[2] = CCW(CMD_NOP, 0, 0, 0);
	r = run();
	judge_program_check("tic-first", &r, p);
	p[0] = CCW(CMD_NOP, CCW_CHAIN, 0, 0);
	p[1] = CCW(CMD_TIC, 0, 0, &p[4]);
	p[4] = CCW(CMD_SENSE_ID, CCW_SLI, 7, data);
	memset(data, 0, sizeof(data));
	r = run();
	judge_good("tic", &r, &p[4], 0);
	judge_equal("tic-data", data[0], 0xff);
	p[4] = CCW(CMD_TIC, 0, 0, &p[6]);
	p[6] = CCW(CMD_NOP, 0, 0, 0);
	r = run();
	judge_program_check("tic-to-tic", &r, &p[4]);
	bad("tic-unaligned", CCW(CMD_TIC, 0, 0, (uintptr_t)&p[2] + 4));
	bad("tic-address-bit-0", CCW(CMD_TIC, 0, 0, (uintptr_t)&p[2] | 0x80000000u));
	bad("tic-flags", CCW(CMD_TIC, CCW_SLI, 0, &p[2]));
	bad("tic-count", CCW(CMD_TIC, 0, 1, &p[2]));
	bad("tic-high-bits", CCW(CMD_TIC | 0x10, 0, 0, &p[2]));
	p[1] = CCW(CMD_TIC, 0, 0, 0x7ffffff0);
	r = run();
	judge("tic-nowhere", !r.cc && r.irb.scsw.channel == CS_PROGRAM_CHECK);
	/* In format 0 only the last four bits of the code and the address count. */
	q[0] = ccw0(CMD_NOP, CCW_CHAIN | CCW_SLI, 1, data);
	q[1] = ccw0(CMD_TIC | 0xa0, 0xff, 0, &q[3]);
	q[3] = ccw0(CMD_NOP, CCW_SLI, 1, data);
	r = run0();
	judge_good("tic-format-0", &r, &q[3], ANY_COUNT);
}

static void chains(void)
{
	struct result r;

	for (unsigned int i = 0; i < 8; i++)
		p[i] = CCW(CMD_NOP, i < 7 ? CCW_CHAIN : 0, 0, 0);
	r = run();
	judge_good("chain-of-8", &r, &p[7], 0);
	/* The pieces of a data chain become one transfer; where they lie does not matter. */
	memset(data, 0xee, sizeof(data));
	memset(again, 0xee, sizeof(again));
	p[0] = CCW(CMD_SENSE_ID, CCW_SLI, 7, again);
	r = run();
	p[0] = CCW(CMD_SENSE_ID, CCW_CHAIN_DATA, 2, data);
	p[1] = CCW(0, CCW_CHAIN_DATA, 3, data + 10);
	p[2] = CCW(CMD_NOP, CCW_SLI, 2, data + 20);
	r = run();
	judge_good("chain-data", &r, &p[2], ANY_COUNT);
	judge("chain-data-bytes", !memcmp(data, again, 2) && !memcmp(data + 10, again + 2, 3) && !memcmp(data + 20, again + 5, 2) && data[2] == 0xee &&
				      data[13] == 0xee && data[22] == 0xee);
	/* With a transfer in channel among them. */
	p[1] = CCW(CMD_TIC, 0, 0, &p[4]);
	p[4] = CCW(0xff, CCW_SLI, 5, data + 30);
	r = run();
	judge_good("chain-data-tic", &r, &p[4], ANY_COUNT);
	judge("chain-data-tic-bytes", !memcmp(data + 30, again + 2, 5));
	/* Its end is the end of the command, which chains on. */
	p[1] = CCW(0, CCW_CHAIN | CCW_SLI, 5, data + 40);
	p[2] = CCW(CMD_SENSE_ID, CCW_SLI, 7, data + 50);
	r = run();
	judge_good("chain-data-and-command", &r, &p[2], 0);
	judge("chain-data-and-command-bytes", !memcmp(data + 40, again + 2, 5) && !memcmp(data + 50, again, 7));
	p[1] = CCW(0, CCW_SLI, 0, data);
	r = run();
	judge_program_check("chain-data-to-count-0", &r, &p[1]);
}

/* Whether incorrect length alone alerts is left to the machine. */
static void judge_length(const char *what, const struct result *r, uint16_t count)
{
	const struct scsw *s = &r->irb.scsw;

	if (!judge(what, !r->cc && !r->tsch && (s->word0 & SC_ENDED) == SC_ENDED && s->device == DS_ENDED && s->channel == CS_INCORRECT_LENGTH && s->count == count))
		css_dump_irb(&r->irb);
}

static void lengths(void)
{
	struct result r;

	memset(data, 0xee, sizeof(data));
	p[0] = CCW(CMD_SENSE_ID, CCW_SLI, 4, data);
	r = run();
	judge_good("short-count-suppressed", &r, p, 0);
	judge("short-count-bytes", data[0] == 0xff && data[1] == 0x38 && data[2] == 0x32 && data[4] == 0xee);
	p[0].flags = 0;
	r = run();
	judge_length("short-count", &r, 0);
	p[0] = CCW(CMD_SENSE, 0, 4, data);
	p[0].flags = CCW_CHAIN;
	p[1] = CCW(CMD_SENSE_ID, CCW_SLI, 7, again);
	memset(again, 0, sizeof(again));
	r = run();
	judge_length("incorrect-length-chained", &r, 0);
	judge_equal("incorrect-length-ends-chain", again[0], 0);
	p[0].flags = CCW_CHAIN | CCW_SLI;
	r = run();
	judge_good("suppressed-goes-on", &r, &p[1], 0);
	judge_equal("suppressed-goes-on-data", again[0], 0xff);
	/* More than a device has: 32 sense bytes. */
	p[0] = CCW(CMD_SENSE, CCW_SLI, 60, data);
	r = run();
	judge_good("long-count-suppressed", &r, p, 28);
	p[0].flags = 0;
	r = run();
	judge_length("long-count", &r, 28);
	/* An immediate command with a count: its length is wrong, too, unless that is suppressed in the ORB. */
	p[0] = CCW(CMD_NOP, 0, 5, data);
	r = css_run(sid, p, ORB_SUPPRESS_LENGTH);
	judge_good("immediate-suppressed", &r, p, 5);
	r = run();
	judge_length("immediate-with-count", &r, 5);
	memset(data, 0xee, sizeof(data));
	p[0] = CCW(CMD_SENSE_ID, CCW_SLI | CCW_SKIP, 7, data);
	r = run();
	judge_good("skip", &r, p, 0);
	judge_equal("skip-stores-nothing", data[0], 0xee);
	memset(data, 0xee, sizeof(data));
	p[0] = CCW(CMD_SENSE_ID, CCW_CHAIN_DATA | CCW_SKIP, 3, 0);
	p[1] = CCW(0, CCW_SLI, 4, data);
	r = run();
	judge("skip-then-store", !r.cc && !memcmp(data, again + 3, 4));
}

static void interruptions(void)
{
	struct result r;

	p[0] = CCW(CMD_NOP, CCW_CHAIN | CCW_PCI, 0, 0);
	p[1] = CCW(CMD_NOP, 0, 0, 0);
	r = run();
	judge("pci-intermediate", !r.cc && r.irb.scsw.word0 & SC_INTERMEDIATE);
	judge("pci-flag", !r.cc && r.irb.scsw.channel == CS_PCI);
	judge("pci-ends", !r.cc && (r.irb.scsw.word0 & SC_ENDED) == SC_ENDED && r.irb.scsw.ccw == ABSOLUTE(&p[2]));
	p[0].flags = CCW_CHAIN;
	r = run();
	judge_good("no-pci", &r, &p[1], 0);
}

static void find_end(void)
{
	uint64_t v;

	for (end_of_memory = 1 << 20; try_load(end_of_memory, 8, &v) < 0; end_of_memory += 1 << 20)
		;
	print("%lu MiB of memory", end_of_memory >> 20);
}

void guest(void)
{
	if (!css_find())
		return fail("devices", "there are none");
	sid = devices[0].sid;
	find_end();
	commands();
	transfers();
	chains();
	lengths();
	interruptions();
}
