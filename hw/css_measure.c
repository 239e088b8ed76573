// SPDX-License-Identifier: MIT
/*
 * Measurement and the instructions for the whole subsystem that go with it ("I/O Support Functions"): counts and times of the start function,
 * in the measurement block of the program's choice, in units of 128 microseconds.
 */
#include <time.h>

#include "base/endian.h"
#include "hw/css_internal.h"

#define UNIT_NS 128000

uint64_t css_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static bool measured(const struct css_subchannel *sch)
{
	return sch->s.pmcw & PMCW_MEASURE;
}

static void add(uint8_t *field, unsigned int len, uint64_t n)
{
	if (len == 2)
		put_be16(field, (uint16_t)(get_be16(field) + n));
	else
		put_be32(field, (uint32_t)(get_be32(field) + n));
}

/* What is less than a unit is kept for the next time. */
static uint32_t units(uint64_t *ns)
{
	uint32_t n = (uint32_t)(*ns / UNIT_NS);

	*ns %= UNIT_NS;
	return n;
}

/* Adds to the block; one that is not in storage ends the measurement of this subchannel. */
static void update(struct css *css, struct css_subchannel *sch, unsigned int starts, unsigned int samples)
{
	struct css_sch_state *s = &sch->s;
	union {
		struct css_block0 f0;
		struct css_block1 f1;
	} b;
	bool format1 = s->chars & PMCW_CHARS_FORMAT1;
	size_t len = format1 ? sizeof(b.f1) : sizeof(b.f0);
	uint64_t at = format1 ? s->mba : css->s.measure_origin + (uint64_t)s->mbi * sizeof(b.f0);
	uint32_t connect, pending;

	if (!(css->s.measure & SCHM_BLOCKS) || !(s->pmcw & PMCW_MEASURE_BLOCK))
		return;
	if (at < css->s.measure_origin && !format1)
		goto fail;
	if (memory_read(css->config.memory, at, &b, len) < 0)
		goto fail;
	connect = units(&s->connect_ns);
	pending = units(&s->pending_ns);
	if (format1) {
		add(b.f1.starts, 4, starts);
		add(b.f1.samples, 4, samples);
		add(b.f1.connect, 4, connect);
		add(b.f1.pending, 4, pending);
	} else {
		add(b.f0.starts, 2, starts);
		add(b.f0.samples, 2, samples);
		add(b.f0.connect, 4, connect);
		add(b.f0.pending, 4, pending);
	}
	if (memory_write(css->config.memory, at, &b, len) < 0)
		goto fail;
	return;
fail:
	s->pmcw &= (uint16_t)~PMCW_MEASURE_BLOCK;
}

void css_measure_start(struct css *css, struct css_subchannel *sch)
{
	if (!measured(sch))
		return;
	sch->s.started_ns = css_now_ns();
	sch->s.dcti_ns = 0;
	update(css, sch, 1, 0);
}

void css_measure_accepted(struct css_subchannel *sch)
{
	uint64_t now;

	if (!measured(sch))
		return;
	now = css_now_ns();
	sch->s.pending_ns += now - MIN(sch->s.started_ns, now);
	sch->s.started_ns = now;
}

void css_measure_end(struct css *css, struct css_subchannel *sch)
{
	uint64_t now;

	if (!measured(sch) || !sch->s.begun)
		return;
	now = css_now_ns();
	sch->s.dcti_ns = now - MIN(sch->s.started_ns, now);
	sch->s.connect_ns += sch->s.dcti_ns;
	update(css, sch, 0, 1);
}

int css_schm(struct css *css, uint64_t gr1, uint64_t gr2)
{
	if (gr1 & SCHM_INVALID || (gr1 & SCHM_BLOCKS && gr2 % sizeof(struct css_block0)))
		return -CSS_PGM_OPERAND;
	pthread_mutex_lock(&css->lock);
	css->s.measure = gr1 & (SCHM_BLOCKS | SCHM_TIME);
	if (gr1 & SCHM_BLOCKS) {
		css->s.measure_key = (uint8_t)((gr1 & SCHM_KEY) >> 28);
		css->s.measure_origin = gr2;
	}
	pthread_mutex_unlock(&css->lock);
	return 0;
}

int css_sal(struct css *css, uint64_t gr1)
{
	if (gr1 & UINT32_C(0x8000ffff))
		return -CSS_PGM_OPERAND;
	pthread_mutex_lock(&css->lock);
	css->s.limit = (uint32_t)gr1;
	pthread_mutex_unlock(&css->lock);
	return 0;
}

/* The path is virtual: its reset is done at once, and a solicited report says so. */
int css_rchp(struct css *css, uint64_t gr1)
{
	uint8_t image = (uint8_t)(gr1 >> 16);
	int cc = 0;

	if (gr1 & UINT32_C(0xff00ff00))
		return -CSS_PGM_OPERAND;
	pthread_mutex_lock(&css->lock);
	if (image && !css->s.mcsse)
		cc = -CSS_PGM_OPERAND;
	else if ((uint8_t)gr1 != CSS_PATH_ID || (image && image != CSS_ID))
		cc = 3;
	else
		css_report(css, CRW_SOLICITED, CRW_RSC_PATH, CRW_ERC_INITIALIZED, CSS_PATH_ID);
	pthread_mutex_unlock(&css->lock);
	return cc;
}
