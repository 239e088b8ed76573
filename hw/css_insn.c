// SPDX-License-Identifier: MIT
/*
 * The I/O instructions that name a subchannel ("I/O Instructions"). Operand checks come first, then condition code 3, then status
 * pending, then busy.
 */
#include "base/endian.h"
#include "hw/css_internal.h"

/* The subchannel with the lock held, or NULL without it. need: PMCW_* flags without which it is not operational. */
static struct css_subchannel *enter(struct css *css, uint32_t sid, uint16_t need, int *ret_result)
{
	struct css_subchannel *sch;

	pthread_mutex_lock(&css->lock);
	sch = css_lookup(css, sid, ret_result);
	if (sch && (sch->s.pmcw & need) != need) {
		sch = NULL;
		*ret_result = 3;
	}
	if (!sch)
		pthread_mutex_unlock(&css->lock);
	return sch;
}

/* What needs a device and a subchannel that is enabled. */
#define OPERATIONAL (PMCW_VALID | PMCW_ENABLED)

static int leave(struct css *css, int cc)
{
	pthread_mutex_unlock(&css->lock);
	return cc;
}

static void put_scsw(struct css_scsw *w, const struct css_sch_state *s)
{
	put_be16(w->flags, s->flags);
	put_be16(w->ctrl, s->ctrl);
	put_be32(w->cpa, s->cpa);
	w->dstat = s->dstat;
	w->cstat = s->cstat;
	put_be16(w->count, s->count);
}

int css_stsch(struct css *css, uint32_t sid, struct css_schib *ret)
{
	const struct css_sch_state *s;
	struct css_subchannel *sch;
	int cc;

	sch = enter(css, sid, 0, &cc);
	if (!sch)
		return cc;
	s = &sch->s;
	memset(ret, 0, sizeof(*ret));
	put_be32(ret->pmcw.intparm, s->intparm);
	put_be16(ret->pmcw.flags, s->pmcw);
	put_be16(ret->pmcw.devno, s->devno);
	ret->pmcw.lpm = s->lpm;
	ret->pmcw.pnom = s->pnom;
	ret->pmcw.lpum = s->lpum;
	ret->pmcw.pim = s->pim;
	put_be16(ret->pmcw.mbi, s->mbi);
	ret->pmcw.pom = s->pom;
	ret->pmcw.pam = s->pam;
	if (s->pim)
		ret->pmcw.chpid[0] = CSS_PATH_ID;
	put_be32(ret->pmcw.chars, s->chars);
	put_scsw(&ret->scsw, s);
	put_be64(ret->mba, s->mba);
	return leave(css, 0);
}

#define MSCH_PMCW (PMCW_ISC_MASK | PMCW_ENABLED | PMCW_LIMIT | PMCW_MEASURE | PMCW_MULTIPATH)
#define MSCH_CHARS (PMCW_CHARS_FORMAT1 | PMCW_CHARS_EXTENDED | PMCW_CHARS_SENSE)

int css_msch(struct css *css, uint32_t sid, const struct css_schib *schib)
{
	const struct css_pmcw *w = &schib->pmcw;
	uint16_t flags = get_be16(w->flags);
	uint32_t chars = get_be32(w->chars);
	struct css_subchannel *sch;
	struct css_sch_state *s;
	bool enabled;
	int cc;

	if (flags & PMCW_INVALID || (flags & PMCW_LIMIT) == PMCW_LIMIT || chars & PMCW_CHARS_INVALID ||
	    (chars & PMCW_CHARS_FORMAT1 && get_be64(schib->mba) % sizeof(struct css_block1)))
		return -CSS_PGM_OPERAND;
	sch = enter(css, sid, 0, &cc);
	if (!sch)
		return cc;
	s = &sch->s;
	/* Without a device there is nothing to modify. */
	if (!(s->pmcw & PMCW_VALID))
		return leave(css, 0);
	if (s->ctrl & SCSW_STCTL_PENDING)
		return leave(css, 1);
	if (s->ctrl & SCSW_FCTL)
		return leave(css, 2);
	enabled = flags & ~s->pmcw & PMCW_ENABLED && sch->ops->enabled;
	s->intparm = get_be32(w->intparm);
	s->pmcw = (uint16_t)((s->pmcw & ~MSCH_PMCW) | (flags & MSCH_PMCW));
	s->lpm = w->lpm;
	s->pom = w->pom;
	s->mbi = get_be16(w->mbi);
	s->chars = (s->chars & ~(uint32_t)MSCH_CHARS) | (chars & MSCH_CHARS);
	if (chars & PMCW_CHARS_FORMAT1)
		s->mba = get_be64(schib->mba);
	if (!(s->pmcw & PMCW_ENABLED))
		s->held = s->held_dstat = 0;
	if (enabled) {
		sch->users++; /* it is not removed meanwhile */
		pthread_mutex_unlock(&css->lock);
		sch->ops->enabled(sch->dev);
		pthread_mutex_lock(&css->lock);
		sch->users--;
		pthread_cond_broadcast(&css->idle);
	}
	return leave(css, 0);
}

int css_ssch(struct css *css, uint32_t sid, const struct css_orb *orb)
{
	uint32_t flags = get_be32(orb->flags), cpa = get_be32(orb->cpa);
	struct css_subchannel *sch;
	struct css_sch_state *s;
	int cc;

	if (flags & ORB_INVALID || cpa > INT32_MAX)
		return -CSS_PGM_OPERAND;
	sch = enter(css, sid, OPERATIONAL, &cc);
	if (!sch)
		return cc;
	s = &sch->s;
	if (s->ctrl & SCSW_STCTL_PENDING)
		return leave(css, 1);
	if (s->ctrl & SCSW_FCTL)
		return leave(css, 2);
	s->intparm = get_be32(orb->intparm);
	s->orb = flags;
	/* The same bits in both. */
	s->flags = flags >> 16 & (SCSW_KEY | SCSW_SUSPEND | SCSW_FORMAT1 | SCSW_PREFETCH | SCSW_INITIAL | SCSW_LIMIT | SCSW_SUPPRESS);
	s->ctrl = SCSW_FCTL_START | SCSW_ACTL_START_PENDING;
	s->cpa = cpa;
	s->dstat = s->cstat = 0;
	s->count = 0;
	s->pnom = 0;
	s->begun = s->after_tic = 0;
	s->next = cpa;
	css_measure_start(css, sch);
	css_perform(css, sch, false);
	return leave(css, 0);
}

/* What TSCH clears of the status it has stored: figure "Conditions and Indications Cleared at the Subchannel by TEST SUBCHANNEL". */
static void clear_status(struct css_sch_state *s)
{
	uint16_t stctl = s->ctrl & SCSW_STCTL, gone = SCSW_STCTL;
	bool intermediate = stctl == (SCSW_STCTL_INTERMEDIATE | SCSW_STCTL_PENDING);
	bool halted = s->ctrl & SCSW_FCTL_HALT && s->ctrl & SCSW_ACTL_SUSPENDED;

	if (!intermediate || halted)
		gone |= SCSW_FCTL | SCSW_ACTL_RESUME_PENDING | SCSW_ACTL_START_PENDING | SCSW_ACTL_HALT_PENDING | SCSW_ACTL_CLEAR_PENDING | SCSW_ACTL_SUSPENDED;
	else if (s->ctrl & SCSW_ACTL_SUSPENDED)
		gone |= SCSW_ACTL_RESUME_PENDING;
	if (!intermediate || s->ctrl & SCSW_ACTL_SUSPENDED)
		s->flags &= (uint16_t)~SCSW_PNO;
	s->flags &= (uint16_t)~(SCSW_ZERO | SCSW_CC);
	s->ctrl &= (uint16_t)~gone;
	s->cstat = 0;
	if (!intermediate)
		s->dstat = 0;
}

int css_tsch(struct css *css, uint32_t sid, struct css_irb *ret, size_t *ret_len)
{
	struct css_subchannel *sch;
	struct css_sch_state *s;
	uint32_t word0 = 0;
	int cc;

	sch = enter(css, sid, OPERATIONAL, &cc);
	if (!sch)
		return cc;
	s = &sch->s;
	memset(ret, 0, sizeof(*ret));
	put_scsw(&ret->scsw, s);
	cc = 1;
	if (s->ctrl & SCSW_STCTL_PENDING) {
		/* The last-path-used mask is there for what came from the device. */
		if (s->ctrl & (SCSW_STCTL & ~SCSW_STCTL_PENDING))
			word0 = (uint32_t)s->lpum << 16;
		if (s->ctrl & SCSW_STCTL_PRIMARY && s->pmcw & PMCW_MEASURE_TIME && css->s.measure & SCHM_TIME)
			word0 |= (uint32_t)MIN(s->dcti_ns / 128000, UINT64_C(0xffff));
		put_be32(ret->esw, word0);
		if (s->sense_concurrent) {
			put_be16(ret->scsw.flags, s->flags | SCSW_ESWF | SCSW_EXTENDED);
			put_be32(ret->esw + 4, ERW_SENSE | ERW_SENSE_COUNT(CSS_SENSE_SIZE));
			memcpy(ret->ecw, s->sense, sizeof(ret->ecw));
			s->sense_concurrent = s->sense_valid = 0;
		}
		css_withdraw(css, sch);
		clear_status(s);
		css_present_held(css, sch);
		cc = 0;
	}
	*ret_len = s->chars & PMCW_CHARS_EXTENDED ? sizeof(*ret) : IRB_SIZE;
	return leave(css, cc);
}

int css_hsch(struct css *css, uint32_t sid)
{
	struct css_subchannel *sch;
	struct css_sch_state *s;
	uint16_t stctl;
	int cc;

	sch = enter(css, sid, OPERATIONAL, &cc);
	if (!sch)
		return cc;
	s = &sch->s;
	stctl = s->ctrl & SCSW_STCTL;
	/* Intermediate status alone does not stand in the way. */
	if (stctl && stctl != (SCSW_STCTL_INTERMEDIATE | SCSW_STCTL_PENDING))
		return leave(css, 1);
	if (s->ctrl & (SCSW_FCTL_HALT | SCSW_FCTL_CLEAR))
		return leave(css, 2);
	if (stctl) {
		css_withdraw(css, sch);
		s->ctrl &= (uint16_t)~SCSW_STCTL_PENDING;
	}
	s->ctrl |= SCSW_FCTL_HALT | SCSW_ACTL_HALT_PENDING;
	css_perform(css, sch, false);
	return leave(css, 0);
}

int css_csch(struct css *css, uint32_t sid)
{
	struct css_subchannel *sch;
	int cc;

	sch = enter(css, sid, OPERATIONAL, &cc);
	if (!sch)
		return cc;
	css_withdraw(css, sch);
	sch->s.ctrl &= (uint16_t)~(SCSW_FCTL | SCSW_STCTL | SCSW_ACTL);
	sch->s.ctrl |= SCSW_FCTL_CLEAR | SCSW_ACTL_CLEAR_PENDING;
	css_perform(css, sch, false);
	return leave(css, 0);
}

int css_rsch(struct css *css, uint32_t sid)
{
	struct css_subchannel *sch;
	struct css_sch_state *s;
	int cc;

	sch = enter(css, sid, OPERATIONAL, &cc);
	if (!sch)
		return cc;
	s = &sch->s;
	if (s->ctrl & SCSW_STCTL_PENDING)
		return leave(css, 1);
	if ((s->ctrl & SCSW_FCTL) != SCSW_FCTL_START || s->ctrl & SCSW_ACTL_RESUME_PENDING || !(s->orb & ORB_SUSPEND))
		return leave(css, 2);
	s->ctrl |= SCSW_ACTL_RESUME_PENDING;
	css_measure_start(css, sch);
	css_perform(css, sch, false);
	return leave(css, 0);
}

int css_xsch(struct css *css, uint32_t sid)
{
	struct css_subchannel *sch;
	struct css_sch_state *s;
	int cc;

	sch = enter(css, sid, OPERATIONAL, &cc);
	if (!sch)
		return cc;
	s = &sch->s;
	if (s->ctrl & SCSW_STCTL_PENDING)
		return leave(css, 1);
	/* A thread that performs the function has begun it. */
	if ((s->ctrl & SCSW_FCTL) != SCSW_FCTL_START || sch->running || s->ctrl & (SCSW_ACTL_SUBCHANNEL | SCSW_ACTL_DEVICE) ||
	    !(s->ctrl & (SCSW_ACTL_START_PENDING | SCSW_ACTL_RESUME_PENDING | SCSW_ACTL_SUSPENDED)))
		return leave(css, 2);
	css_unqueue(css, sch);
	s->ctrl &= (uint16_t)~(SCSW_FCTL | SCSW_ACTL);
	s->dstat = s->cstat = 0;
	css_present_held(css, sch);
	return leave(css, 0);
}
