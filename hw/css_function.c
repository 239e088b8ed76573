// SPDX-License-Identifier: MIT
/* The start, halt, clear and resume functions as the subchannel performs them, on whatever thread finds it idle ("Basic I/O Functions"). */
#include "hw/css_internal.h"

#define TURN_NS 1000000

void css_enqueue(struct css *css, struct css_subchannel *sch)
{
	sch->queued = true;
	sch->turn = css->turn;
	sch->next = NULL;
	*css->last = sch;
	css->last = &sch->next;
	if (!css->deferred) {
		css->deferred = true;
		css->config.ops->defer(css->config.ctx);
	}
}

void css_unqueue(struct css *css, struct css_subchannel *sch)
{
	struct css_subchannel **p = &css->first;

	if (!sch->queued)
		return;
	while (*p != sch)
		p = &(*p)->next;
	*p = sch->next;
	if (css->last == &sch->next)
		css->last = p;
	sch->queued = false;
}

static void tell_device(struct css *css, struct css_subchannel *sch, void (*fn)(void *dev))
{
	if (!fn)
		return;
	pthread_mutex_unlock(&css->lock);
	fn(sch->dev);
	pthread_mutex_lock(&css->lock);
}

static void clear_function(struct css *css, struct css_subchannel *sch)
{
	struct css_sch_state *s = &sch->s;

	css_unqueue(css, sch);
	s->ctrl &= (uint16_t)~SCSW_ACTL;
	tell_device(css, sch, sch->ops->clear);
	if (s->ctrl & SCSW_ACTL_CLEAR_PENDING)
		return; /* another one came meanwhile */
	s->pnom = 0;
	s->pom = 0xff;
	s->lpum = CSS_PATH_MASK;
	s->flags = 0;
	s->ctrl = SCSW_FCTL_CLEAR | SCSW_STCTL_PENDING;
	s->cpa = 0;
	s->count = 0;
	s->dstat = s->cstat = 0;
	s->sense_valid = s->sense_concurrent = 0;
	s->held = s->held_dstat = 0;
	css_interrupt(css, sch);
}

/*
 * A function that had not reached the device keeps its start-pending or suspended indication, to tell that it never began or stopped there:
 * status pending alone. One in progress ends with the device's ending status.
 */
static void halt_function(struct css *css, struct css_subchannel *sch)
{
	struct css_sch_state *s = &sch->s;
	bool active = s->ctrl & (SCSW_ACTL_SUBCHANNEL | SCSW_ACTL_DEVICE);

	css_unqueue(css, sch);
	tell_device(css, sch, sch->ops->halt);
	if (s->ctrl & SCSW_ACTL_CLEAR_PENDING)
		return;
	s->ctrl &= (uint16_t)~SCSW_ACTL_HALT_PENDING;
	s->lpum = CSS_PATH_MASK;
	if (active) {
		s->ctrl &= (uint16_t)~SCSW_ACTL;
		s->ctrl |= SCSW_STCTL_PRIMARY | SCSW_STCTL_SECONDARY;
		s->dstat = DSTAT_CHANNEL_END | DSTAT_DEVICE_END;
	}
	s->ctrl |= SCSW_STCTL_PENDING;
	css_interrupt(css, sch);
}

/* None of the paths that the program allows can be used: deferred condition code 3. */
static void no_path(struct css *css, struct css_subchannel *sch)
{
	struct css_sch_state *s = &sch->s;

	s->flags |= SCSW_CC;
	s->ctrl &= (uint16_t)~SCSW_ACTL;
	s->ctrl |= SCSW_STCTL_ALERT | SCSW_STCTL_PRIMARY | SCSW_STCTL_SECONDARY | SCSW_STCTL_PENDING;
	css_interrupt(css, sch);
}

/* One go of the channel program; a turn on a thread that serves others is bounded in time as well, since commands may be slow. */
static void go(struct css *css, struct css_subchannel *sch, bool turn)
{
	struct css_sch_state *s = &sch->s;
	struct css_run r = { .css = css, .sch = sch, .orb = s->orb, .limit = css->s.limit };
	bool more;

	if (!s->begun && !(ORB_LPM(s->orb) & s->pam)) {
		no_path(css, sch);
		return;
	}
	s->lpum = CSS_PATH_MASK;
	if (turn)
		r.until_ns = css_now_ns() + TURN_NS;
	if (s->orb & ORB_LIMIT)
		r.limit_mode = s->pmcw & PMCW_LIMIT;
	if (s->ctrl & SCSW_ACTL_SUSPENDED) {
		s->ctrl &= (uint16_t)~(SCSW_ACTL_SUSPENDED | SCSW_ACTL_RESUME_PENDING);
		s->ctrl |= s->begun ? SCSW_ACTL_SUBCHANNEL | SCSW_ACTL_DEVICE : SCSW_ACTL_START_PENDING;
	}
	pthread_mutex_unlock(&css->lock);
	more = css_run_program(&r);
	pthread_mutex_lock(&css->lock);
	if (more && s->pmcw & PMCW_VALID)
		css_enqueue(css, sch);
}

static bool perform_one(struct css *css, struct css_subchannel *sch, bool turn)
{
	uint16_t ctrl = sch->s.ctrl;

	if (!(sch->s.pmcw & PMCW_VALID))
		return false;
	if (ctrl & SCSW_ACTL_CLEAR_PENDING) {
		clear_function(css, sch);
	} else if (ctrl & SCSW_ACTL_HALT_PENDING) {
		halt_function(css, sch);
	} else {
		if ((ctrl & SCSW_FCTL) != SCSW_FCTL_START || sch->queued)
			return false;
		if (ctrl & SCSW_ACTL_SUSPENDED ? !(ctrl & SCSW_ACTL_RESUME_PENDING) :
						 !(ctrl & (SCSW_ACTL_START_PENDING | SCSW_ACTL_SUBCHANNEL)))
			return false;
		go(css, sch, turn);
	}
	return true;
}

/*
 * Does what is pending, with the lock held at both ends. A thread that finds it running leaves the work to that one, which looks
 * again before it goes.
 */
void css_perform(struct css *css, struct css_subchannel *sch, bool turn)
{
	if (sch->running)
		return;
	sch->running = true;
	while (perform_one(css, sch, turn))
		;
	sch->running = false;
	css_present_held(css, sch);
	pthread_cond_broadcast(&css->idle);
}

bool css_continue(struct css *css)
{
	struct css_subchannel *sch;
	uint64_t turn;
	bool left;

	pthread_mutex_lock(&css->lock);
	css->deferred = false;
	if (css->continuing) {
		/* A command may turn the loop while it waits. Programs of all devices within one another would take more stack than a thread has. */
		left = css->first;
		pthread_mutex_unlock(&css->lock);
		return left;
	}
	css->continuing = true;
	css->continuer = pthread_self();
	/* Each of those that wait now once, whoever of them leaves meanwhile; who comes back does so behind them. */
	turn = ++css->turn;
	while (!css->held && (sch = css->first) && sch->turn < turn) {
		css_unqueue(css, sch);
		css_perform(css, sch, true);
	}
	css->continuing = false;
	pthread_cond_broadcast(&css->idle);
	left = css->first && !css->held;
	if (left && !css->deferred) {
		css->deferred = true;
		css->config.ops->defer(css->config.ctx);
	}
	pthread_mutex_unlock(&css->lock);
	return left;
}

void css_hold(struct css *css, bool held)
{
	pthread_mutex_lock(&css->lock);
	css->held = held;
	while (held && css->continuing && !pthread_equal(css->continuer, pthread_self()))
		pthread_cond_wait(&css->idle, &css->lock);
	if (!held && css->first && !css->deferred) {
		css->deferred = true;
		css->config.ops->defer(css->config.ctx);
	}
	pthread_mutex_unlock(&css->lock);
}
