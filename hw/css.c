// SPDX-License-Identifier: MIT
/* The channel subsystem as a whole: its subchannels and their devices, interruptions, reports, reset, saved state. */
#include "hw/css.h"

#include <errno.h>

#include "base/endian.h"
#include "hw/css_internal.h"

int css_create(const struct css_config *config, struct css **ret, struct err *e)
{
	struct css *css = calloc(1, sizeof(*css));

	if (!css)
		return err_set(e, -ENOMEM, "no memory for the channel subsystem");
	css->config = *config;
	css->s.version = CSS_STATE_VERSION;
	css->last = &css->first;
	pthread_mutex_init(&css->lock, NULL);
	pthread_cond_init(&css->idle, NULL);
	*ret = css;
	return 0;
}

void css_destroy(struct css *css)
{
	if (!css)
		return;
	for (unsigned int ssid = 0; ssid < CSS_SETS; ssid++) {
		for (unsigned int i = 0; i < css->set[ssid].n; i++)
			free(css->set[ssid].sch[i]);
		free(css->set[ssid].sch);
	}
	pthread_cond_destroy(&css->idle);
	pthread_mutex_destroy(&css->lock);
	free(css);
}

/* ---- Names of subchannels ---- */

/*
 * The subchannel that a subsystem-identification word names; NULL with *ret_result a program-interruption code for an invalid one, or
 * condition code 3 where none is provided ("I/O Instructions", subsystem-identification word).
 */
struct css_subchannel *css_lookup(struct css *css, uint32_t sid, int *ret_result)
{
	unsigned int ssid = CSS_SID_SSID(sid);

	*ret_result = -CSS_PGM_OPERAND;
	if (sid & CSS_SID_RESERVED || !(sid & CSS_SID_ONE) || (ssid && !css->s.mss))
		return NULL;
	if (sid & CSS_SID_M ? !css->s.mcsse : CSS_SID_CSSID(sid) != 0)
		return NULL;
	*ret_result = 3;
	if ((sid & CSS_SID_M && CSS_SID_CSSID(sid) != CSS_ID) || CSS_SID_NUMBER(sid) >= css->set[ssid].n)
		return NULL;
	return css->set[ssid].sch[CSS_SID_NUMBER(sid)];
}

static uint32_t sid_of(const struct css *css, const struct css_subchannel *sch)
{
	uint32_t sid = CSS_SID_ONE | sch->ssid << 17 | sch->number;

	return css->s.mcsse ? sid | CSS_SID_M | (uint32_t)CSS_ID << 24 : sid;
}

uint32_t css_subchannel_sid(struct css *css, const struct css_subchannel *sch)
{
	uint32_t sid;

	pthread_mutex_lock(&css->lock);
	sid = sid_of(css, sch);
	pthread_mutex_unlock(&css->lock);
	return sid;
}

/* ---- Interruptions ---- */

/* Whatever was pending for the subchannel is replaced: there is one at most. */
void css_interrupt(struct css *css, struct css_subchannel *sch)
{
	css_withdraw(css, sch);
	sch->s.interrupt = 1;
	css->config.ops->io_interrupt(css->config.ctx, sid_of(css, sch), sch->s.intparm, PMCW_ISC(sch->s.pmcw));
}

void css_withdraw(struct css *css, struct css_subchannel *sch)
{
	if (!sch->s.interrupt)
		return;
	sch->s.interrupt = 0;
	css->config.ops->io_interrupt_clear(css->config.ctx, sid_of(css, sch), PMCW_ISC(sch->s.pmcw));
}

void css_interrupt_taken(struct css *css, uint32_t sid)
{
	struct css_subchannel *sch;
	int r;

	pthread_mutex_lock(&css->lock);
	sch = css_lookup(css, sid, &r);
	if (sch)
		sch->s.interrupt = 0;
	pthread_mutex_unlock(&css->lock);
}

int css_tpi(struct css *css, uint8_t isc_mask, struct css_tpi *ret)
{
	struct css_subchannel *best = NULL;

	pthread_mutex_lock(&css->lock);
	for (unsigned int ssid = 0; ssid < CSS_SETS; ssid++) {
		for (unsigned int i = 0; i < css->set[ssid].n; i++) {
			struct css_subchannel *sch = css->set[ssid].sch[i];

			if (sch->s.interrupt && isc_mask & 0x80 >> PMCW_ISC(sch->s.pmcw) &&
			    (!best || PMCW_ISC(sch->s.pmcw) < PMCW_ISC(best->s.pmcw)))
				best = sch;
		}
	}
	if (best) {
		put_be32(ret->sid, sid_of(css, best));
		put_be32(ret->intparm, best->s.intparm);
		put_be32(ret->word, (uint32_t)PMCW_ISC(best->s.pmcw) << 27);
		css_withdraw(css, best);
	}
	pthread_mutex_unlock(&css->lock);
	return best ? 1 : 0;
}

/* Unsolicited status that waited, once nothing else is going on. */
void css_present_held(struct css *css, struct css_subchannel *sch)
{
	struct css_sch_state *s = &sch->s;

	if (!s->held || s->ctrl & (SCSW_FCTL | SCSW_STCTL))
		return;
	s->held = 0;
	s->flags = 0;
	s->ctrl = SCSW_STCTL_ALERT | SCSW_STCTL_PENDING;
	s->cpa = 0;
	s->count = 0;
	s->cstat = 0;
	s->dstat = s->held_dstat;
	s->held_dstat = 0;
	s->lpum = CSS_PATH_MASK;
	css_interrupt(css, sch);
}

void css_present_alert(struct css *css, struct css_subchannel *sch, uint8_t dstat)
{
	pthread_mutex_lock(&css->lock);
	if (sch->ops && sch->s.pmcw & PMCW_ENABLED) {
		sch->s.held = 1;
		sch->s.held_dstat |= dstat;
		css_present_held(css, sch);
	}
	pthread_mutex_unlock(&css->lock);
}

/* ---- Channel reports ---- */

/* The queue is bounded; its last report then says that others were lost. */
void css_report(struct css *css, unsigned int flags, unsigned int rsc, unsigned int erc, uint16_t rsid)
{
	struct css_state *s = &css->s;

	if (s->n_reports == CSS_MAX_REPORTS) {
		struct css_crw *last = &s->report[CSS_MAX_REPORTS - 1];

		put_be16(last->flags, get_be16(last->flags) | CRW_OVERFLOW);
		return;
	}
	put_be16(s->report[s->n_reports].flags, (uint16_t)(flags | CRW_RSC(rsc) | (erc & CRW_ERC)));
	put_be16(s->report[s->n_reports].rsid, rsid);
	if (!s->n_reports++)
		css->config.ops->crw_pending(css->config.ctx);
}

void css_queue_crw(struct css *css, unsigned int rsc, unsigned int erc, uint16_t rsid)
{
	pthread_mutex_lock(&css->lock);
	css_report(css, 0, rsc, erc, rsid);
	pthread_mutex_unlock(&css->lock);
}

int css_stcrw(struct css *css, struct css_crw *ret)
{
	struct css_state *s = &css->s;
	int cc = 1;

	memset(ret, 0, sizeof(*ret));
	pthread_mutex_lock(&css->lock);
	if (s->n_reports) {
		*ret = s->report[0];
		s->n_reports--;
		memmove(s->report, s->report + 1, s->n_reports * sizeof(s->report[0]));
		cc = 0;
	}
	pthread_mutex_unlock(&css->lock);
	return cc;
}

/* A subchannel got or lost its device. With several sets or images a second, chained word names them. */
static void report_subchannel(struct css *css, const struct css_subchannel *sch)
{
	bool chained = css->s.mss || css->s.mcsse;

	/* Both words or none: half a pair would name another subchannel. */
	if (chained && css->s.n_reports == CSS_MAX_REPORTS - 1) {
		struct css_crw *last = &css->s.report[css->s.n_reports - 1];

		put_be16(last->flags, get_be16(last->flags) | CRW_OVERFLOW);
		return;
	}
	css_report(css, chained ? CRW_CHAIN : 0, CRW_RSC_SUBCHANNEL, CRW_ERC_INSTALLED, (uint16_t)sch->number);
	if (chained)
		css_report(css, 0, CRW_RSC_SUBCHANNEL, CRW_ERC_INSTALLED, (uint16_t)((css->s.mcsse ? CSS_ID << 8 : 0) | sch->ssid << 4));
}

/* ---- Devices ---- */

/* What I/O-system reset makes of a subchannel. */
static void reset_state(struct css_subchannel *sch)
{
	uint16_t devno = sch->s.devno;

	memset(&sch->s, 0, sizeof(sch->s));
	if (!sch->ops)
		return;
	sch->s.devno = devno;
	sch->s.pmcw = PMCW_VALID | PMCW_TIMING;
	sch->s.pim = sch->s.pam = sch->s.lpm = CSS_PATH_MASK;
	sch->s.pom = 0xff;
}

static struct css_subchannel *free_subchannel(struct css *css, unsigned int ssid)
{
	struct css_set *set = &css->set[ssid];
	struct css_subchannel *sch, **more;

	for (unsigned int i = 0; i < set->n; i++)
		if (!set->sch[i]->ops && !set->sch[i]->running)
			return set->sch[i];
	if (set->n == CSS_MAX_SUBCHANNELS)
		return NULL;
	if (!(set->n & (set->n + 1))) { /* 0, 1, 3, 7...: full */
		more = realloc(set->sch, 2 * (set->n + 1) * sizeof(*more));
		if (!more)
			return NULL;
		set->sch = more;
	}
	sch = calloc(1, sizeof(*sch));
	if (!sch)
		return NULL;
	sch->ssid = ssid;
	sch->number = set->n;
	set->sch[set->n++] = sch;
	return sch;
}

int css_add_device(struct css *css, const struct css_device_config *config, struct css_subchannel **ret, struct err *e)
{
	struct css_subchannel *sch;
	int r = 0;

	if (config->ssid >= CSS_SETS || config->cu_model > 0xff)
		return err_set(e, -EINVAL, "no subchannel set %u: there are %u", config->ssid, CSS_SETS);
	pthread_mutex_lock(&css->lock);
	for (unsigned int i = 0; i < css->set[config->ssid].n; i++)
		if (css->set[config->ssid].sch[i]->ops && css->set[config->ssid].sch[i]->s.devno == config->devno)
			r = err_set(e, -EEXIST, "device number 0.%u.%04x is taken", config->ssid, config->devno);
	sch = r < 0 ? NULL : free_subchannel(css, config->ssid);
	if (sch) {
		sch->ops = config->ops;
		sch->dev = config->dev;
		sch->cu_model = config->cu_model < 0 ? config->ops->cu_model : (uint8_t)config->cu_model;
		sch->s.devno = config->devno;
		reset_state(sch);
		if (config->hotplug)
			report_subchannel(css, sch);
		*ret = sch;
	} else if (!r) {
		r = err_set(e, -ENOSPC, "no free subchannel in set %u", config->ssid);
	}
	pthread_mutex_unlock(&css->lock);
	return r;
}

void css_remove_device(struct css *css, struct css_subchannel *sch)
{
	pthread_mutex_lock(&css->lock);
	/* No new command begins: everything needs a valid device number. */
	css_unqueue(css, sch);
	sch->s.pmcw &= (uint16_t)~(PMCW_VALID | PMCW_ENABLED);
	sch->s.ctrl |= SCSW_ACTL_CLEAR_PENDING;
	while (sch->running || sch->users)
		pthread_cond_wait(&css->idle, &css->lock);
	css_withdraw(css, sch);
	sch->ops = NULL;
	sch->dev = NULL;
	reset_state(sch);
	report_subchannel(css, sch);
	pthread_mutex_unlock(&css->lock);
}

int css_with_device(struct css *css, uint32_t sid, const struct css_device_ops *ops, int (*fn)(void *dev, void *arg), void *arg)
{
	struct css_subchannel *sch;
	int r;

	pthread_mutex_lock(&css->lock);
	sch = css_lookup(css, sid, &r);
	if (!sch || sch->ops != ops || !(sch->s.pmcw & PMCW_VALID)) {
		pthread_mutex_unlock(&css->lock);
		return -ENODEV;
	}
	sch->users++;
	pthread_mutex_unlock(&css->lock);
	r = fn(sch->dev, arg);
	pthread_mutex_lock(&css->lock);
	sch->users--;
	pthread_cond_broadcast(&css->idle);
	pthread_mutex_unlock(&css->lock);
	return r;
}

/* ---- Life ---- */

static void for_each(struct css *css, void (*fn)(struct css *css, struct css_subchannel *sch))
{
	for (unsigned int ssid = 0; ssid < CSS_SETS; ssid++)
		for (unsigned int i = 0; i < css->set[ssid].n; i++)
			fn(css, css->set[ssid].sch[i]);
}

static void reset_subchannel(struct css *css, struct css_subchannel *sch)
{
	const struct css_device_ops *ops;

	css_unqueue(css, sch);
	while (sch->running)
		pthread_cond_wait(&css->idle, &css->lock);
	css_unqueue(css, sch);
	css_withdraw(css, sch);
	reset_state(sch);
	ops = sch->ops;
	if (!ops || !ops->reset)
		return;
	sch->users++;
	pthread_mutex_unlock(&css->lock);
	ops->reset(sch->dev);
	pthread_mutex_lock(&css->lock);
	sch->users--;
	pthread_cond_broadcast(&css->idle);
}

void css_reset(struct css *css)
{
	pthread_mutex_lock(&css->lock);
	for_each(css, reset_subchannel);
	css->s = (struct css_state){ .version = CSS_STATE_VERSION };
	pthread_mutex_unlock(&css->lock);
}

size_t css_save(struct css *css, void *buf, size_t len)
{
	struct css_sch_state *out;
	size_t size = sizeof(css->s);

	pthread_mutex_lock(&css->lock);
	for (unsigned int ssid = 0; ssid < CSS_SETS; ssid++) {
		css->s.n_subchannels[ssid] = css->set[ssid].n;
		size += css->set[ssid].n * sizeof(*out);
	}
	if (len >= size) {
		char *p = (char *)buf + sizeof(css->s);

		memcpy(buf, &css->s, sizeof(css->s));
		for (unsigned int ssid = 0; ssid < CSS_SETS; ssid++)
			for (unsigned int i = 0; i < css->set[ssid].n; i++, p += sizeof(*out))
				memcpy(p, &css->set[ssid].sch[i]->s, sizeof(*out));
	}
	pthread_mutex_unlock(&css->lock);
	return size;
}

/* Could this have been saved by a subchannel with, or without, a device? What is only shown is not judged. */
static bool state_good(const struct css_subchannel *sch, const struct css_sch_state *s)
{
	if (!sch->ops)
		return !(s->pmcw & PMCW_VALID) && !s->ctrl && !s->interrupt && !s->held;
	/* next may be any address: a program that began on none, or ended at the end of storage. It is judged when a CCW is fetched. */
	return s->pmcw & PMCW_VALID && !(s->pmcw & PMCW_INVALID) && s->devno == sch->s.devno && !(s->orb & ORB_INVALID);
}

/* What was going on goes on with the next css_continue: devices may not have loaded their own state yet. */
static void requeue(struct css *css, struct css_subchannel *sch)
{
	if (sch->s.interrupt)
		css->config.ops->io_interrupt(css->config.ctx, sid_of(css, sch), sch->s.intparm, PMCW_ISC(sch->s.pmcw));
	if (sch->s.ctrl & SCSW_ACTL && !sch->queued)
		css_enqueue(css, sch);
}

int css_load(struct css *css, const void *buf, size_t len, struct err *e)
{
	size_t size = css_save(css, NULL, 0);
	struct css_sch_state sch;
	struct css_state s;
	const char *p;
	int r = 0;

	if (len != size)
		return err_set(e, -EINVAL, "state of another channel subsystem: %zu bytes, this one's has %zu", len, size);
	memcpy(&s, buf, sizeof(s));
	pthread_mutex_lock(&css->lock);
	if (s.version != CSS_STATE_VERSION || s.n_reports > CSS_MAX_REPORTS || memcmp(s.n_subchannels, css->s.n_subchannels, sizeof(s.n_subchannels)))
		r = -EINVAL;
	p = (const char *)buf + sizeof(s);
	for (unsigned int ssid = 0; ssid < CSS_SETS && !r; ssid++)
		for (unsigned int i = 0; i < css->set[ssid].n; i++, p += sizeof(sch)) {
			memcpy(&sch, p, sizeof(sch));
			if (!state_good(css->set[ssid].sch[i], &sch))
				r = -EINVAL;
		}
	if (!r) {
		for_each(css, css_withdraw);
		for_each(css, css_unqueue);
		css->s = s;
		p = (const char *)buf + sizeof(s);
		for (unsigned int ssid = 0; ssid < CSS_SETS; ssid++)
			for (unsigned int i = 0; i < css->set[ssid].n; i++, p += sizeof(sch))
				memcpy(&css->set[ssid].sch[i]->s, p, sizeof(sch));
		if (s.n_reports)
			css->config.ops->crw_pending(css->config.ctx);
		for_each(css, requeue);
	}
	pthread_mutex_unlock(&css->lock);
	return r < 0 ? err_set(e, r, "this is no state of the channel subsystem as it is configured") : 0;
}
