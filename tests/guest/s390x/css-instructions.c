// SPDX-License-Identifier: MIT
/* Each instruction of the channel subsystem: every condition code that it can be brought to, and every program interruption. */
#include "judge.h"

static uint32_t sid;
static struct schib schib, other;
static struct irb irb;
static struct ccw nop[1], suspended[2];
static struct orb orb;
static uint8_t area[4096] __attribute__((aligned(4096)));

#define NOWHERE ((void *)(1UL << 44)) /* beyond any memory */
#define NO_SUBCHANNEL SID(0xffff)

/* Status pending, with its interruption not taken. */
static bool pend(void)
{
	nop[0] = CCW(CMD_NOP, 0, 0, 0);
	orb = (struct orb){ .parameter = 77, .flags = ORB_FORMAT_1 | 0x80u << ORB_LPM_SHIFT, .program = ABSOLUTE(nop) };
	return css_ssch(sid, &orb) == 0;
}

static bool enable(bool on)
{
	return css_enable(sid, on, 3, 0);
}

/* --- what all of them refuse --- */

struct instruction {
	const char *name;
	long (*plain)(uint32_t sid);
	long (*operand)(uint32_t sid, void *at);
};

static long msch(uint32_t at_sid, void *at) { return css_msch(at_sid, at); }
static long ssch(uint32_t at_sid, void *at) { return css_ssch(at_sid, at); }

static const struct instruction instructions[] = {
	{ "stsch", NULL, css_stsch }, { "msch", NULL, msch }, { "ssch", NULL, ssch }, { "tsch", NULL, css_tsch },
	{ "hsch", css_hsch, NULL }, { "csch", css_csch, NULL }, { "rsch", css_rsch, NULL }, { "xsch", css_xsch, NULL },
};

static char name_buffer[64];

static const char *named(const char *a, const char *b)
{
	unsigned int n = 0;

	for (; *a; a++)
		name_buffer[n++] = *a;
	name_buffer[n++] = '-';
	for (; *b && n < sizeof(name_buffer) - 1; b++)
		name_buffer[n++] = *b;
	name_buffer[n] = 0;
	return name_buffer;
}

/* Something that each of them takes where its operand is wanted. */
static void fill(const struct instruction *i)
{
	memset(area, 0, sizeof(area));
	if (i->operand == msch && css_stsch(sid, &schib) == 0)
		memcpy(area, &schib, sizeof(schib));
}

static long call(const struct instruction *i, uint32_t at_sid, void *at)
{
	return i->plain ? i->plain(at_sid) : i->operand(at_sid, at);
}

static long problem_cause;

static void in_problem(void *ctx)
{
	problem_cause = call(ctx, sid, area);
}

static void refusals(const struct instruction *i)
{
	fill(i);
	judge_equal(named(i->name, "sid-without-one"), call(i, 0, area), -PIC_OPERAND);
	judge_equal(named(i->name, "sid-reserved"), call(i, sid | 0x00f00000, area), -PIC_OPERAND);
	judge_equal(named(i->name, "sid-image-without-m"), call(i, sid | 0x01000000, area), -PIC_OPERAND);
	if (i->operand) {
		judge_equal(named(i->name, "unaligned"), call(i, sid, area + 2), -PIC_SPECIFICATION);
		judge_equal(named(i->name, "addressing"), call(i, sid, NOWHERE), -PIC_ADDRESSING);
	}
	in_problem_state(in_problem, (void *)(uintptr_t)i);
	judge_equal(named(i->name, "privileged"), problem_cause, -PIC_PRIVILEGED);
	fill(i);
	judge_equal(named(i->name, "no-subchannel"), call(i, NO_SUBCHANNEL, area), 3);
	/* Other sets of subchannels have names once they are switched on. */
	judge_equal(named(i->name, "no-set"), call(i, sid | 0x00060000, area), -PIC_OPERAND);
}

/* --- one by one --- */

static void modify(void)
{
	static const struct {
		uint16_t bit;
		const char *name;
	} reserved[] = { { 0x8000, "msch-word1-bit0" }, { 0x4000, "msch-word1-bit1" }, { 0x0200, "msch-word1-bit6" }, { 0x0100, "msch-word1-bit7" } };

	css_stsch(sid, &schib);
	schib.pmcw.devno ^= 0x1111;
	schib.pmcw.pim = 0x55;
	schib.pmcw.pam = 0x55;
	schib.pmcw.chpid[0] ^= 0xff;
	schib.pmcw.parameter = 0x12345678;
	schib.pmcw.measurement_index = 0x4321;
	schib.pmcw.lpm = 0xc0;
	schib.pmcw.flags = (uint16_t)((schib.pmcw.flags & ~(PMCW_ISC | PMCW_VALID)) | 5 << PMCW_ISC_SHIFT);
	schib.scsw.word0 = 0xffffffff;
	judge_equal("msch-cc0", css_msch(sid, &schib), 0);
	css_stsch(sid, &other);
	judge("msch-leaves-device", other.pmcw.devno != schib.pmcw.devno && other.pmcw.flags & PMCW_VALID);
	judge("msch-leaves-paths", other.pmcw.pim == 0x80 && other.pmcw.chpid[0] != schib.pmcw.chpid[0] && other.pmcw.pam == 0x80);
	judge("msch-leaves-status", !(other.scsw.word0 & (FC | AC | SC)));
	judge_equal("msch-parameter", other.pmcw.parameter, 0x12345678);
	judge_equal("msch-measurement-index", other.pmcw.measurement_index, 0x4321);
	judge_equal("msch-logical-paths", other.pmcw.lpm, 0xc0);
	judge_equal("msch-subclass", (other.pmcw.flags & PMCW_ISC) >> PMCW_ISC_SHIFT, 5);
	for (unsigned int i = 0; i < ARRAY_SIZE(reserved); i++) {
		other.pmcw.flags |= reserved[i].bit;
		judge_equal(reserved[i].name, css_msch(sid, &other), -PIC_OPERAND);
		other.pmcw.flags &= (uint16_t)~reserved[i].bit;
	}
	other.pmcw.flags |= PMCW_LIMIT;
	judge_equal("msch-limit-mode-3", css_msch(sid, &other), -PIC_OPERAND);
	other.pmcw.flags &= (uint16_t)~PMCW_LIMIT;
	other.pmcw.more_flags |= 0x00010000;
	judge_equal("msch-word6-bit15", css_msch(sid, &other), -PIC_OPERAND);
	other.pmcw.more_flags &= ~0x00010000u;
	enable(true);
	/* Not modified by a refused one. */
	css_stsch(sid, &schib);
	other = schib;
	other.pmcw.parameter ^= 0xff;
	other.pmcw.flags |= 0x0200;
	css_msch(sid, &other);
	css_stsch(sid, &other);
	judge("msch-refused-changes-nothing", !memcmp(&schib, &other, sizeof(schib)));
	judge("msch-pend", pend());
	css_stsch(sid, &schib);
	judge_equal("msch-cc1", css_msch(sid, &schib), 1);
	judge_equal("stsch-shows-pending", schib.scsw.word0 & SC_PENDING, SC_PENDING);
	judge_equal("stsch-keeps-pending", css_tsch(sid, &irb), 0);
}

static void start_and_test(void)
{
	judge_equal("tsch-cc1", css_tsch(sid, &irb), 1);
	judge_equal("tsch-cc1-status", irb.scsw.word0 & SC, 0);
	judge("ssch-cc0", pend());
	judge_equal("ssch-cc1", css_ssch(sid, &orb), 1);
	judge_equal("tsch-addressing-status", css_tsch(sid, NOWHERE), -PIC_ADDRESSING);
	judge_equal("tsch-keeps-status", css_tsch(sid, &irb), 0);
	judge_equal("tsch-cc0-status", irb.scsw.word0 & SC, SC_ENDED);
	judge_equal("tsch-takes-status", css_tsch(sid, &irb), 1);
	css_stsch(sid, &schib);
	judge_equal("ssch-sets-parameter", schib.pmcw.parameter, 77);
	enable(false);
	judge_equal("ssch-disabled", css_ssch(sid, &orb), 3);
	judge_equal("tsch-disabled", css_tsch(sid, &irb), 3);
	judge_equal("hsch-disabled", css_hsch(sid), 3);
	judge_equal("csch-disabled", css_csch(sid), 3);
	judge_equal("rsch-disabled", css_rsch(sid), 3);
	judge_equal("xsch-disabled", css_xsch(sid), 3);
	judge_equal("stsch-disabled", css_stsch(sid, &schib), 0);
	enable(true);
}

static void others(void)
{
	judge_equal("rsch-cc2-idle", css_rsch(sid), 2);
	judge_equal("xsch-cc2-idle", css_xsch(sid), 2);
	pend();
	judge_equal("rsch-cc1", css_rsch(sid), 1);
	judge_equal("xsch-cc1", css_xsch(sid), 1);
	judge_equal("hsch-cc1", css_hsch(sid), 1);
	css_tsch(sid, &irb);
	/* Suspended: a start function in progress without status. */
	suspended[0] = CCW(CMD_NOP, CCW_SUSPEND, 0, 0);
	orb = (struct orb){ .flags = ORB_FORMAT_1 | ORB_SUSPEND | ORB_SUPPRESS_SUSPENDED | 0x80u << ORB_LPM_SHIFT, .program = ABSOLUTE(suspended) };
	judge_equal("ssch-suspend", css_ssch(sid, &orb), 0);
	delay_ms(5);
	judge_equal("ssch-cc2", css_ssch(sid, &orb), 2);
	css_stsch(sid, &schib);
	judge_equal("msch-cc2", css_msch(sid, &schib), 2);
	judge_equal("xsch-cc0-suspended", css_xsch(sid), 0);
	judge_equal("xsch-leaves-idle", css_ssch(sid, &orb), 0);
	judge_equal("csch-suspended", css_csch(sid), 0);
	css_tsch(sid, &irb);
}

/* --- reports, measurement, paths, interruptions --- */

static void stcrw_in_problem(void *ctx) { problem_cause = css_stcrw(ctx); }
static void tpi_in_problem(void *ctx) { problem_cause = css_tpi(ctx); }
static void schm_in_problem(void *ctx) { (void)ctx; problem_cause = css_schm(0, 0); }
static void chsc_in_problem(void *ctx) { problem_cause = css_chsc(ctx); }

static void reports(void)
{
	uint32_t *crw = (uint32_t *)(void *)area;

	*crw = 0x55555555;
	judge_equal("stcrw-cc1", css_stcrw(crw), 1);
	judge_equal("stcrw-zero", *crw, 0);
	judge_equal("stcrw-unaligned", css_stcrw(area + 2), -PIC_SPECIFICATION);
	judge_equal("stcrw-addressing", css_stcrw(NOWHERE), -PIC_ADDRESSING);
	in_problem_state(stcrw_in_problem, area);
	judge_equal("stcrw-privileged", problem_cause, -PIC_PRIVILEGED);
	judge_equal("schm-reserved", css_schm(0x04000000, 0), -PIC_OPERAND);
	judge_equal("schm-unaligned", css_schm(2, 16), -PIC_OPERAND);
	judge_equal("schm-off", css_schm(0, 16), 0);
	in_problem_state(schm_in_problem, NULL);
	judge_equal("schm-privileged", problem_cause, -PIC_PRIVILEGED);
}

static void interruptions(void)
{
	struct {
		uint32_t sid, parameter, word;
	} code __attribute__((aligned(8))) = { 0, 0, 0 };

	judge_equal("tpi-cc0", css_tpi(&code), 0);
	judge_equal("tpi-unaligned", css_tpi((char *)&code + 2), -PIC_SPECIFICATION);
	in_problem_state(tpi_in_problem, &code);
	judge_equal("tpi-privileged", problem_cause, -PIC_PRIVILEGED);
	pend();
	judge_equal("tpi-addressing", css_tpi(NOWHERE), -PIC_ADDRESSING);
	control_write(6, CR6_ALL_SUBCLASSES & ~(0x80000000u >> 3));
	judge_equal("tpi-masked", css_tpi(&code), 0);
	control_write(6, CR6_ALL_SUBCLASSES);
	judge_equal("tpi-cc1", css_tpi(&code), 1);
	judge("tpi-code", code.sid == sid && code.parameter == 77);
	judge_equal("tpi-takes", css_tpi(&code), 0);
	judge_equal("tpi-leaves-status", css_tsch(sid, &irb), 0);
	pend();
	LOWCORE->subchannel_id = LOWCORE->io_parameter = LOWCORE->io_word = 0;
	judge_equal("tpi-lowcore-cc1", css_tpi(NULL), 1);
	judge("tpi-lowcore", LOWCORE->subchannel_id == sid && LOWCORE->io_parameter == 77 && LOWCORE->io_word == 3u << 27);
	css_tsch(sid, &irb);
	/* Status that was taken takes its interruption with it. */
	pend();
	css_tsch(sid, &irb);
	judge_equal("tsch-withdraws", css_tpi(&code), 0);
	pend();
	css_csch(sid);
	css_tsch(sid, &irb);
	judge_equal("csch-withdraws", css_tpi(&code), 0);
	css_quiet(sid);
}

static uint16_t chsc(uint16_t command, uint16_t bytes, uint32_t word1, uint32_t word2)
{
	memset(area, 0, sizeof(area));
	write16((uint64_t)area, bytes);
	write16((uint64_t)area + 2, command);
	write32((uint64_t)area + 4, word1);
	write32((uint64_t)area + 8, word2);
	if (css_chsc(area))
		return 0xffff;
	return read16((uint64_t)area + bytes + 2);
}

static void characteristics(void)
{
	judge_equal("chsc-unaligned", css_chsc(area + 8), -PIC_SPECIFICATION);
	judge_equal("chsc-addressing", css_chsc(NOWHERE), -PIC_ADDRESSING);
	memset(area, 0, 32);
	judge_equal("chsc-length-0", css_chsc(area), -PIC_OPERAND);
	write16((uint64_t)area, 4096);
	judge_equal("chsc-length-4096", css_chsc(area), -PIC_OPERAND);
	write16((uint64_t)area, 17);
	judge_equal("chsc-length-17", css_chsc(area), -PIC_OPERAND);
	in_problem_state(chsc_in_problem, area);
	judge_equal("chsc-privileged", problem_cause, -PIC_PRIVILEGED);
	judge_equal("chsc-unknown", chsc(0x7777, 16, 0, 0), 4);
	judge_equal("chsc-characteristics", chsc(0x0010, 16, 0, 0), 1);
	judge("chsc-characteristics-length", read16((uint64_t)area + 16) >= 16);
	/* One path, 0: its description, with its identifier and type. */
	judge_equal("chsc-path", chsc(0x0002, 16, 0, 0), 1);
	judge_equal("chsc-path-type", read8((uint64_t)area + 16 + 8 + 2), 0x32);
	judge_equal("chsc-path-order", chsc(0x0002, 16, 1, 0), 3);
	/* Enables a facility; there is none with this number, and there are sets of subchannels. */
	judge("chsc-enable-unknown", chsc(0x0031, 1024, 0x77, 0) > 1);
	judge_equal("chsc-enable-sets", chsc(0x0031, 1024, 2, 0), 1);
	judge_equal("stsch-other-set", css_stsch(0x00070000, area), 3);
}

void guest(void)
{
	if (!css_find()) {
		fail("devices", "there are none");
		return;
	}
	sid = devices[0].sid;
	for (unsigned int i = 0; i < ARRAY_SIZE(instructions); i++)
		refusals(&instructions[i]);
	enable(true);
	css_quiet(sid);
	modify();
	start_and_test();
	others();
	css_quiet(sid);
	reports();
	interruptions();
	characteristics();
}
