// SPDX-License-Identifier: MIT
/* Control blocks in words. */
#include "css.h"

struct word {
	uint32_t bit;
	const char *text;
};

static const struct word pmcw_words[] = {
	{ PMCW_ENABLED, "enabled" }, { PMCW_MEASURE_UPDATE, "measured" }, { PMCW_MEASURE_CONNECT, "connect-time" }, { PMCW_MULTIPATH, "multipath" },
	{ PMCW_TIMING, "timing" }, { PMCW_VALID, "valid" },
};
static const struct word scsw_words[] = {
	{ SCSW_SUSPEND, "suspend-control" }, { SCSW_EXTENDED, "extended" }, { SCSW_FORMAT_1, "format-1" }, { SCSW_PREFETCH, "prefetch" },
	{ SCSW_INITIAL, "initial-status" }, { SCSW_Z, "zero-condition" }, { SCSW_E, "extended-control" }, { SCSW_NOT_OPERATIONAL, "path-not-operational" },
	{ FC_START, "START" }, { FC_HALT, "HALT" }, { FC_CLEAR, "CLEAR" },
	{ AC_RESUME_PENDING, "resume-pending" }, { AC_START_PENDING, "start-pending" }, { AC_HALT_PENDING, "halt-pending" },
	{ AC_CLEAR_PENDING, "clear-pending" }, { AC_SUBCHANNEL, "subchannel-active" }, { AC_DEVICE, "device-active" }, { AC_SUSPENDED, "suspended" },
	{ SC_ALERT, "alert" }, { SC_INTERMEDIATE, "intermediate" }, { SC_PRIMARY, "primary" }, { SC_SECONDARY, "secondary" }, { SC_PENDING, "pending" },
};
static const struct word device_words[] = {
	{ 0x80, "attention" }, { 0x40, "modifier" }, { 0x20, "control-unit-end" }, { 0x10, "busy" }, { 0x08, "channel-end" }, { 0x04, "device-end" },
	{ 0x02, "unit-check" }, { 0x01, "unit-exception" },
};
static const struct word channel_words[] = {
	{ 0x80, "PCI" }, { 0x40, "incorrect-length" }, { 0x20, "program-check" }, { 0x10, "protection-check" }, { 0x08, "channel-data-check" },
	{ 0x04, "channel-control-check" }, { 0x02, "interface-control-check" }, { 0x01, "chaining-check" },
};
static const struct word orb_words[] = {
	{ ORB_SUSPEND, "suspend" }, { ORB_FORMAT_1, "format-1" }, { ORB_PREFETCH, "prefetch" }, { ORB_INITIAL, "initial-status" },
	{ ORB_ADDRESS_LIMIT, "address-limit" }, { ORB_SUPPRESS_SUSPENDED, "suppress-suspended" }, { ORB_IDAW_2, "idaw-2" }, { ORB_IDAW_2K, "idaw-2k" },
	{ ORB_SUPPRESS_LENGTH, "suppress-length" }, { ORB_MIDAW, "midaw" }, { ORB_EXTENDED, "extended" },
};
static const struct word ccw_words[] = {
	{ CCW_CHAIN_DATA, "chain-data" }, { CCW_CHAIN, "chain" }, { CCW_SLI, "suppress-length" }, { CCW_SKIP, "skip" }, { CCW_PCI, "PCI" }, { CCW_IDA, "ida" },
	{ CCW_SUSPEND, "suspend" }, { CCW_MIDA, "mida" },
};

struct text {
	char s[200];
	unsigned int n;
};

/* The names of the bits that are set. */
static const char *words(struct text *t, uint32_t v, const struct word *table, unsigned int n)
{
	t->n = 0;
	for (unsigned int i = 0; i < n; i++) {
		if (!(v & table[i].bit) || t->n + length(table[i].text) + 2 > sizeof(t->s))
			continue;
		if (t->n)
			t->s[t->n++] = ' ';
		for (const char *s = table[i].text; *s; s++)
			t->s[t->n++] = *s;
	}
	t->s[t->n] = 0;
	return t->n ? t->s : "none";
}
#define WORDS(t, v, table) words(t, v, table, ARRAY_SIZE(table))

void css_dump_scsw(const struct scsw *s)
{
	struct text t, d, c;

	print("  SCSW 0x%x (%s), cc %u", s->word0, WORDS(&t, s->word0, scsw_words), (s->word0 & SCSW_CC) / 0x01000000);
	print("    CCW 0x%x, device 0x%x (%s), channel 0x%x (%s), residual count %u", s->ccw, s->device, WORDS(&d, s->device, device_words), s->channel,
	      WORDS(&c, s->channel, channel_words), s->count);
}

void css_dump_irb(const struct irb *i)
{
	css_dump_scsw(&i->scsw);
	print("    ESW 0x%x 0x%x 0x%x 0x%x 0x%x, ECW 0x%x 0x%x", i->esw[0], i->esw[1], i->esw[2], i->esw[3], i->esw[4], i->ecw[0], i->ecw[1]);
}

void css_dump_schib(const struct schib *s)
{
	struct text t;

	print("  PMCW parameter 0x%x, subclass %u (%s), device 0x%x", s->pmcw.parameter, (s->pmcw.flags & PMCW_ISC) >> PMCW_ISC_SHIFT,
	      WORDS(&t, s->pmcw.flags, pmcw_words), s->pmcw.devno);
	print("    paths: logical 0x%x, not operational 0x%x, last used 0x%x, installed 0x%x, operational 0x%x, available 0x%x, first 0x%x", s->pmcw.lpm,
	      s->pmcw.pnom, s->pmcw.lpum, s->pmcw.pim, s->pmcw.pom, s->pmcw.pam, s->pmcw.chpid[0]);
	css_dump_scsw(&s->scsw);
}

void css_dump_orb(const struct orb *o)
{
	struct text t;

	print("  ORB parameter 0x%x, key %u, paths 0x%x, program 0x%x (%s)", o->parameter, o->flags >> ORB_KEY_SHIFT, o->flags >> ORB_LPM_SHIFT & 0xff, o->program,
	      WORDS(&t, o->flags, orb_words));
}

void css_dump_program(const struct ccw *c, unsigned int n)
{
	struct text t;

	for (unsigned int i = 0; i < n; i++)
		print("  CCW at 0x%x: command 0x%x, count %u, data 0x%x (%s)", ABSOLUTE(&c[i]), c[i].command, c[i].count, c[i].data,
		      WORDS(&t, c[i].flags, ccw_words));
}
