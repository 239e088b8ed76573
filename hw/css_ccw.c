// SPDX-License-Identifier: MIT
/*
 * Channel programs ("Basic I/O Functions", execution of channel programs): CCWs are fetched, checked and executed one command after the other,
 * until one ends the program, it is suspended, a halt or clear function waits, or its turn is over.
 */
#include <errno.h>

#include "base/endian.h"
#include "hw/css_internal.h"

#define NORMAL_END (DSTAT_CHANNEL_END | DSTAT_DEVICE_END)

static int program_check(struct css_run *r)
{
	r->check |= CSTAT_PROGRAM_CHECK;
	return -EFAULT;
}

static void read_ccw(struct css_run *r, const uint8_t raw[8], uint32_t *ret_count)
{
	const struct css_ccw0 *c0 = (const void *)raw;
	const struct css_ccw1 *c1 = (const void *)raw;

	r->code = raw[0];
	if (r->orb & ORB_FORMAT1) {
		r->flags = c1->flags;
		*ret_count = get_be16(c1->count);
		r->address = get_be32(c1->address);
	} else {
		r->flags = c0->flags;
		*ret_count = get_be16(c0->count);
		r->address = get_be32(raw) & 0xffffff;
	}
}

/* The program-controlled interruption: as soon as the CCW is the current one. */
static void interrupt_for_pci(struct css_run *r)
{
	struct css_sch_state *s = &r->sch->s;

	pthread_mutex_lock(&r->css->lock);
	if (!(s->ctrl & (SCSW_ACTL_CLEAR_PENDING | SCSW_ACTL_HALT_PENDING))) {
		bool pending = s->ctrl & SCSW_STCTL_INTERMEDIATE;

		s->cstat |= CSTAT_PCI;
		s->cpa = r->cpa;
		s->ctrl |= SCSW_STCTL_INTERMEDIATE | SCSW_STCTL_PENDING;
		if (!pending)
			css_interrupt(r->css, r->sch);
	}
	pthread_mutex_unlock(&r->css->lock);
}

/* A CCW other than TIC: flags and count that cannot be. */
static bool ccw_good(const struct css_run *r, bool data_chain, uint32_t count)
{
	bool format1 = r->orb & ORB_FORMAT1;

	if (!data_chain && (!(r->code & 0xf) || (r->code & 0xf) == CCW_CMD_TIC))
		return false;
	if (format1 && r->address & UINT32_C(0x80000000))
		return false;
	if (r->flags & CCW_SUSPEND && (data_chain || !(r->orb & ORB_SUSPEND)))
		return false;
	if (r->flags & CCW_MIDA && (!(r->orb & ORB_MIDAW) || r->flags & (CCW_IDA | CCW_SKIP)))
		return false;
	return count || (format1 && !data_chain && !(r->flags & CCW_CD));
}

/*
 * Makes the next CCW the current one, through a TIC. -EFAULT: program check; r->cpa is then the address that the SCSW shows: that of the CCW
 * at fault plus 8, where a TIC led out of storage its own.
 */
int css_fetch_ccw(struct css_run *r, bool data_chain)
{
	struct css_sch_state *s = &r->sch->s;
	uint32_t max = r->orb & ORB_FORMAT1 ? INT32_MAX : 0xffffff, count, at;
	uint8_t code = r->code, raw[8];

	for (;;) {
		at = s->next;
		r->cpa = (s->after_tic ? s->tic : at) + 8;
		r->left = 0;
		r->fetched++;
		if (at > max || at & 7 || memory_read(r->css->config.memory, at, raw, sizeof(raw)) < 0)
			return program_check(r);
		r->cpa = at + 8;
		read_ccw(r, raw, &count);
		if (r->orb & ORB_FORMAT1 ? r->code != CCW_CMD_TIC : (r->code & 0xf) != CCW_CMD_TIC)
			break;
		/* Neither the first CCW nor after another TIC. */
		if ((!s->begun && !data_chain) || s->after_tic || r->address & 7)
			return program_check(r);
		if (r->orb & ORB_FORMAT1 && (r->flags || count || r->address > INT32_MAX))
			return program_check(r);
		s->tic = at;
		s->after_tic = 1;
		s->next = r->address;
	}
	if (!ccw_good(r, data_chain, count))
		return program_check(r);
	s->after_tic = 0;
	s->next = at + 8;
	r->left = count;
	r->block_left = 0;
	r->block_used = r->block_last = r->block_skip = false;
	if (data_chain) {
		r->code = code;
		if (r->flags & CCW_PCI)
			interrupt_for_pci(r);
	}
	return 0;
}

/* The CCW holds the suspend flag. True: the subchannel is suspended now. */
static bool suspend(struct css_run *r)
{
	struct css_sch_state *s = &r->sch->s;

	pthread_mutex_lock(&r->css->lock);
	s->next = r->cpa - 8;
	s->cpa = r->cpa;
	s->ctrl &= (uint16_t)~(SCSW_ACTL_START_PENDING | SCSW_ACTL_SUBCHANNEL | SCSW_ACTL_DEVICE);
	s->ctrl |= SCSW_ACTL_SUSPENDED;
	if (!(r->orb & ORB_SUPPRESS) && !(s->ctrl & (SCSW_ACTL_HALT_PENDING | SCSW_ACTL_CLEAR_PENDING))) {
		s->ctrl |= SCSW_STCTL_INTERMEDIATE | SCSW_STCTL_PENDING;
		css_interrupt(r->css, r->sch);
	}
	pthread_mutex_unlock(&r->css->lock);
	return true;
}

/* A resume function that came before the suspension has the CCW fetched once more; takes it up. */
static bool resume_waits(struct css_run *r)
{
	struct css_sch_state *s = &r->sch->s;
	bool waits;

	pthread_mutex_lock(&r->css->lock);
	waits = s->ctrl & SCSW_ACTL_RESUME_PENDING;
	s->ctrl &= (uint16_t)~SCSW_ACTL_RESUME_PENDING;
	if (waits)
		s->next = r->cpa - 8;
	pthread_mutex_unlock(&r->css->lock);
	return waits;
}

/* ---- Status ---- */

/* The start function ends: primary and secondary status together, since devices present channel end with device end. */
static void finish(struct css_run *r, uint8_t dstat)
{
	struct css_sch_state *s = &r->sch->s;

	pthread_mutex_lock(&r->css->lock);
	if (r->sensed) {
		memcpy(s->sense, r->sense, sizeof(s->sense));
		s->sense_valid = 1;
	}
	/* A clear function takes it all away. */
	if (!(s->ctrl & SCSW_ACTL_CLEAR_PENDING)) {
		s->sense_concurrent = dstat & DSTAT_UNIT_CHECK && s->sense_valid && s->chars & PMCW_CHARS_SENSE;
		s->dstat = dstat;
		s->cstat |= r->check;
		s->cpa = r->cpa;
		s->count = (uint16_t)r->left;
		s->ctrl &= (uint16_t)~SCSW_ACTL;
		s->ctrl |= SCSW_STCTL_PRIMARY | SCSW_STCTL_SECONDARY | SCSW_STCTL_PENDING;
		if (r->check || dstat & ~(NORMAL_END | DSTAT_STATUS_MODIFIER))
			s->ctrl |= SCSW_STCTL_ALERT;
		css_measure_end(r->css, r->sch);
		css_interrupt(r->css, r->sch);
	}
	pthread_mutex_unlock(&r->css->lock);
}

unsigned int css_unit_check(struct css_command *c, const uint8_t *sense, size_t len)
{
	memset(c->run->sense, 0, sizeof(c->run->sense));
	memcpy(c->run->sense, sense, MIN(len, sizeof(c->run->sense)));
	c->run->sensed = true;
	return NORMAL_END | DSTAT_UNIT_CHECK;
}

unsigned int css_command_reject(struct css_command *c)
{
	return css_unit_check(c, &(uint8_t){ SENSE_COMMAND_REJECT }, 1);
}

void css_program_check(struct css_command *c)
{
	program_check(c->run);
}

/* ---- Commands ---- */

static unsigned int sense(struct css_run *r, struct css_command *c)
{
	uint8_t data[CSS_SENSE_SIZE] = { 0 };

	pthread_mutex_lock(&r->css->lock);
	if (r->sch->s.sense_valid)
		memcpy(data, r->sch->s.sense, sizeof(data));
	r->sch->s.sense_valid = 0;
	pthread_mutex_unlock(&r->css->lock);
	css_data_write(c, data, sizeof(data));
	return 0;
}

static unsigned int sense_id(struct css_run *r, struct css_command *c)
{
	const struct css_device_ops *ops = r->sch->ops;
	struct css_sense_id id = { .ff = 0xff, .cu_model = r->sch->cu_model, .dev_model = ops->dev_model };

	put_be16(id.cu_type, ops->cu_type);
	put_be16(id.dev_type, ops->dev_type);
	css_data_write(c, &id, sizeof(id));
	return 0;
}

static unsigned int command(struct css_run *r)
{
	struct css_command c = { .code = r->code, .count = r->left, .more = r->flags & CCW_CD, .sli = r->flags & CCW_SLI, .run = r };

	r->begin.flags = r->flags;
	r->begin.left = r->left;
	r->begin.address = r->address;
	r->begin.cpa = r->cpa;
	switch (r->code) {
	case CCW_CMD_NOP:
		return CSS_IMMEDIATE;
	case CCW_CMD_SENSE:
		return sense(r, &c);
	case CCW_CMD_SENSE_ID:
		return sense_id(r, &c);
	default:
		/* Sense data is kept until the next command. */
		pthread_mutex_lock(&r->css->lock);
		r->sch->s.sense_valid = 0;
		pthread_mutex_unlock(&r->css->lock);
		return r->sch->ops->command(r->sch->dev, &c);
	}
}

/*
 * Incorrect length ("Subchannel-Status Word"): bytes were left on either side and the program did not suppress it; it cannot where data was to
 * be chained. A command that ended at initial status is forgiven, unless the ORB asks for strictness and the CCW can say that it wants no
 * data.
 */
static bool incorrect_length(const struct css_run *r, bool immediate)
{
	if (immediate && !(r->orb & ORB_FORMAT1 && !(r->orb & ORB_LENGTH)))
		return false;
	if (r->flags & CCW_CD)
		return true;
	return (r->left || r->wanted_more) && !(r->flags & CCW_SLI);
}

/* The current CCW's command, to its end. True: the next command follows. */
static bool execute(struct css_run *r)
{
	struct css_sch_state *s = &r->sch->s;
	uint8_t first = !s->begun, dstat;
	unsigned int result;
	bool immediate;

	r->check = 0;
	r->wanted_more = r->moved = r->sensed = false;
	pthread_mutex_lock(&r->css->lock);
	s->begun = 1;
	s->cpa = r->cpa;
	if (!(s->ctrl & SCSW_ACTL_CLEAR_PENDING)) {
		s->ctrl &= (uint16_t)~SCSW_ACTL_START_PENDING;
		s->ctrl |= SCSW_ACTL_SUBCHANNEL | SCSW_ACTL_DEVICE;
	}
	if (first)
		css_measure_accepted(r->sch);
	pthread_mutex_unlock(&r->css->lock);
	if (r->flags & CCW_PCI)
		interrupt_for_pci(r);

	result = command(r);
	immediate = result & CSS_IMMEDIATE && !r->moved;
	dstat = result & 0xff ? (uint8_t)result : NORMAL_END;
	if (r->check & CSTAT_PROGRAM_CHECK || (dstat & ~(NORMAL_END | DSTAT_STATUS_MODIFIER) && !r->moved)) {
		finish(r, dstat);
		return false;
	}
	if (incorrect_length(r, immediate))
		r->check |= CSTAT_INCORRECT_LENGTH;
	/* The first command's acceptance, where it did not end at once, or is followed by another. */
	if (first && r->orb & ORB_INITIAL && (!immediate || r->flags & CCW_CC)) {
		pthread_mutex_lock(&r->css->lock);
		if (!(s->ctrl & (SCSW_ACTL_CLEAR_PENDING | SCSW_ACTL_HALT_PENDING))) {
			s->flags |= SCSW_ZERO;
			s->ctrl |= SCSW_STCTL_INTERMEDIATE | SCSW_STCTL_PENDING;
			css_interrupt(r->css, r->sch);
		}
		pthread_mutex_unlock(&r->css->lock);
	}
	if (r->check || dstat & ~(NORMAL_END | DSTAT_STATUS_MODIFIER) || r->flags & CCW_CD || !(r->flags & CCW_CC)) {
		finish(r, dstat);
		return false;
	}
	if (dstat & DSTAT_STATUS_MODIFIER)
		s->next += 8;
	return true;
}

static bool told_to_stop(struct css_run *r)
{
	bool stop;

	pthread_mutex_lock(&r->css->lock);
	stop = r->sch->s.ctrl & (SCSW_ACTL_CLEAR_PENDING | SCSW_ACTL_HALT_PENDING);
	pthread_mutex_unlock(&r->css->lock);
	return stop;
}

bool css_run_program(struct css_run *r)
{
	while (!told_to_stop(r)) {
		if (r->fetched >= CSS_GO || (r->until_ns && r->fetched && css_now_ns() >= r->until_ns))
			return true;
		r->check = 0;
		if (css_fetch_ccw(r, false) < 0) {
			finish(r, 0);
			return false;
		}
		if (r->flags & CCW_SUSPEND) {
			if (!resume_waits(r) && suspend(r))
				return false;
			continue;
		}
		if (!execute(r))
			return false;
	}
	return false;
}
