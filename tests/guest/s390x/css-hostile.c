// SPDX-License-Identifier: MIT
/* Channel programs that want to keep the machine: they end, or can be ended, and other devices answer meanwhile. */
#include "judge.h"

static uint32_t sid, other;
static struct ccw p[512] __attribute__((aligned(4096)));
static struct ccw ask[1];
static uint8_t answer[8], scratch[65536] __attribute__((aligned(4096)));
static uint64_t list[64] __attribute__((aligned(4096)));
static struct irb irb;
#define ALIVE_MS 3000

static bool alive(void)
{
	uint64_t start = now();
	struct result r;

	memset(answer, 0, sizeof(answer));
	ask[0] = CCW(CMD_SENSE_ID, CCW_SLI, 7, answer);
	r = css_run(other, ask, 0);
	return !r.cc && !r.tsch && answer[0] == 0xff && now() - start < ms(ALIVE_MS);
}

/* Starts it; the other device has to be alive; then it is at its end, or halted. */
static void endure(const char *what, uint32_t flags)
{
	struct orb orb = { .parameter = 66, .flags = ORB_FORMAT_1 | 0x80u << ORB_LPM_SHIFT | flags, .program = ABSOLUTE(p) };
	uint64_t start = now();
	bool ended = false;
	uint32_t was;
	long cc = css_ssch(sid, &orb);

	judge(what, cc == 0 && now() - start < ms(ALIVE_MS));
	if (sid != other)
		judge("others-alive", alive());
	for (unsigned int i = 0; i < 20 && !ended; i++) {
		ended = css_tsch(sid, &irb) == 0 && irb.scsw.word0 & (SC_SECONDARY | SC_ALERT);
		if (!ended)
			doze_ms(10);
	}
	if (ended) {
		print("  %s ends by itself", what);
	} else {
		was = io_count;
		cc = css_hsch(sid);
		judge("can-be-halted", cc == 0 || cc == 1);
		css_wait(was);
		for (unsigned int i = 0; i < 4 && css_tsch(sid, &irb) == 0; i++)
			;
		print("  %s is halted", what);
	}
	/* And it works as before. */
	css_clear(sid);
	ask[0] = CCW(CMD_SENSE_ID, CCW_SLI, 7, answer);
	memset(answer, 0, sizeof(answer));
	judge("works-after", css_run(sid, ask, 0).cc == 0 && answer[0] == 0xff);
}

static void loops(void)
{
	p[0] = CCW(CMD_NOP, CCW_CHAIN, 0, scratch);
	p[1] = CCW(CMD_TIC, 0, 0, p);
	endure("endless-tic", 0);
	p[0] = CCW(CMD_SENSE_ID, CCW_CHAIN | CCW_SLI, 7, scratch);
	endure("endless-sense", 0);
	p[0] = CCW(CMD_NOP, CCW_CHAIN | CCW_PCI, 0, scratch);
	endure("endless-pci", 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(p) - 1; i++)
		p[i] = CCW(CMD_NOP, CCW_CHAIN, 0, scratch);
	p[ARRAY_SIZE(p) - 1] = CCW(CMD_TIC, 0, 0, p);
	endure("long-loop", 0);
	p[0] = CCW(CMD_SENSE_ID, CCW_CHAIN_DATA | CCW_SLI, 1, scratch);
	p[1] = CCW(CMD_TIC, 0, 0, &p[2]);
	p[2] = CCW(0, CCW_CHAIN_DATA | CCW_SLI, 1, scratch);
	p[3] = CCW(CMD_TIC, 0, 0, &p[2]);
	endure("endless-data", 0);
}

static void rewriting(void)
{
	/* SENSE ID stores over its own program, and over what would be next. */
	p[0] = CCW(CMD_SENSE_ID, CCW_CHAIN | CCW_SLI, 7, p);
	p[1] = CCW(CMD_NOP, 0, 0, 0);
	endure("overwrites-itself", 0);
	p[0] = CCW(CMD_SENSE_ID, CCW_CHAIN | CCW_SLI, 7, &p[1]);
	p[1] = CCW(CMD_NOP, 0, 0, 0);
	endure("overwrites-next", 0);
	p[0] = CCW(CMD_SENSE, CCW_CHAIN | CCW_SLI, 32, p);
	endure("overwrites-with-zeroes", 0);
	list[0] = ABSOLUTE(list);
	p[0] = CCW(CMD_SENSE_ID, CCW_IDA | CCW_SLI, 7, list);
	endure("overwrites-list", ORB_IDAW_2);
}

static void edges(void)
{
	uint64_t end, v;

	for (end = 1 << 20; try_load(end, 8, &v) < 0; end += 1 << 20)
		;
	/* The last doubleword of memory chains on. */
	write64(end - 8, 0x0340000000000000);
	p[0] = CCW(CMD_NOP, CCW_CHAIN, 0, 0);
	p[1] = CCW(CMD_TIC, 0, 0, end - 8);
	endure("runs-off-the-end", 0);
	write64(end - 8, ABSOLUTE(scratch) + 4093);
	p[0] = CCW(CMD_SENSE_ID, CCW_IDA | CCW_SLI, 7, end - 8);
	endure("list-across-the-end", ORB_IDAW_2);
	list[0] = end - 3;
	list[1] = end;
	p[0] = CCW(CMD_SENSE_ID, CCW_IDA | CCW_SLI, 7, list);
	endure("data-across-the-end", ORB_IDAW_2);
	/* Much more than there is to say. */
	for (unsigned int i = 0; i < ARRAY_SIZE(list); i++)
		list[i] = ABSOLUTE(scratch);
	for (unsigned int i = 0; i < ARRAY_SIZE(p) - 1; i++)
		p[i] = CCW(CMD_SENSE, CCW_IDA | CCW_SLI | CCW_CHAIN, 65535, list);
	p[ARRAY_SIZE(p) - 1] = CCW(CMD_NOP, 0, 0, 0);
	endure("much", ORB_IDAW_2);
}

static void noise(void)
{
	uint32_t x = 4711;
	unsigned int n = (unsigned int)arg_number("programs", 200);
	bool ok = true;

	for (unsigned int i = 0; i < n && ok; i++) {
		struct orb orb = { .parameter = i, .program = ABSOLUTE(&p[400]) };

		for (unsigned int k = 400; k < ARRAY_SIZE(p); k++) {
			uint8_t *b = (uint8_t *)&p[k];

			for (unsigned int j = 0; j < 8; j++) {
				x = x * 1664525 + 1013904223;
				b[j] = (uint8_t)(x >> 20);
			}
			/* Data stays in the scratch area, and no command is one of virtio's, some of the time. */
			p[k].data = ABSOLUTE(scratch) + (x >> 16 & 0x7fff);
			if (x & 0x100)
				p[k].command = (uint8_t)(x & 0x200 ? CMD_NOP : CMD_SENSE_ID);
			if (p[k].command == CMD_TIC)
				p[k].data = ABSOLUTE(&p[400 + (x >> 12) % 100]);
			if ((p[k].command & 0x0f) == 2 || (p[k].command & 0x0f) == 4)
				p[k].count &= 0x3fff;
			/* What sets indicators and queues would have the device write elsewhere for good. */
			if ((p[k].command & 0x0f) == 3 && p[k].command != CMD_NOP)
				p[k].command = CMD_NOP;
		}
		x = x * 1664525 + 1013904223;
		orb.flags = ORB_FORMAT_1 | 0x80u << ORB_LPM_SHIFT | (x & (ORB_SUSPEND | ORB_IDAW_2 | ORB_IDAW_2K | ORB_PREFETCH | ORB_SUPPRESS_LENGTH | ORB_INITIAL));
		ok = css_ssch(sid, &orb) >= 0;
		if (i % 16 == 0 && sid != other)
			ok &= alive();
		ok &= css_clear(sid);
	}
	judge("noise", ok);
}

void guest(void)
{
	if (!css_find())
		return fail("devices", "there are none");
	sid = devices[0].sid;
	other = devices[n_devices - 1].sid;
	if (!judge_skip("running"))
		loops();
	rewriting();
	edges();
	if (!judge_skip("running"))
		noise();
	judge("others-at-the-end", alive());
}
