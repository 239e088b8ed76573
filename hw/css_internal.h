// SPDX-License-Identifier: MIT
/* What the parts of the channel subsystem share. Everything here is guarded by css->lock unless it says otherwise. */
#ifndef LKVM_HW_CSS_INTERNAL_H
#define LKVM_HW_CSS_INTERNAL_H

#include <pthread.h>

#include "hw/css.h"

#define CSS_PATH_MASK 0x80 /* the one path */
#define CSS_MAX_REPORTS 64
#define CSS_MAX_SUBCHANNELS 65536 /* a set */
#define CSS_STATE_VERSION 1

/* A subchannel, as plain state: what STSCH and TSCH show, in host order, and the rest of what is known of it. */
struct css_sch_state {
	uint32_t intparm;
	uint16_t pmcw, devno, mbi; /* pmcw: PMCW_* flags */
	uint8_t lpm, pnom, lpum, pim, pom, pam;
	uint32_t chars;
	uint16_t flags, ctrl; /* SCSW */
	uint32_t cpa;
	uint8_t dstat, cstat;
	uint16_t count;
	uint64_t mba;

	uint8_t sense[CSS_SENSE_SIZE];
	uint8_t sense_valid;	  /* the device has sense data, or the subchannel shows it: */
	uint8_t sense_concurrent; /* in the next IRB */
	uint8_t interrupt;	  /* made pending, and not taken as far as we know */
	uint8_t held, held_dstat; /* unsolicited status that waits */

	/* The channel program. */
	uint8_t begun;	   /* its first command was accepted */
	uint8_t after_tic; /* the last CCW was a TIC */
	uint32_t orb;	   /* ORB_* */
	uint32_t next;	   /* the next CCW's address */
	uint32_t tic;	   /* where that TIC was */
	uint32_t block_starts;
	uint64_t started_ns, connect_ns, pending_ns, dcti_ns; /* measurement */
};

struct css_subchannel {
	unsigned int ssid, number;
	struct css_sch_state s;
	const struct css_device_ops *ops; /* NULL: no device */
	uint8_t cu_model;
	void *dev;
	bool running;	    /* some thread performs its functions */
	unsigned int users; /* css_with_device */
	bool queued;	    /* waits in css->first for its turn */
	uint64_t turn;	    /* css->turn when it began to wait */
	struct css_subchannel *next;
};

struct css_state {
	uint32_t version;
	uint8_t mss, mcsse;
	uint8_t measure, measure_key; /* SCHM_*, and its key */
	uint64_t measure_origin;
	uint32_t limit; /* SAL */
	uint32_t n_reports;
	struct css_crw report[CSS_MAX_REPORTS];
	uint32_t n_subchannels[CSS_SETS];
};

struct css_set {
	struct css_subchannel **sch;
	unsigned int n; /* subchannels that are provided */
};

struct css {
	struct css_config config;
	pthread_mutex_t lock;
	pthread_cond_t idle; /* some subchannel is no longer running or used, or continuing became false */
	struct css_state s;
	struct css_set set[CSS_SETS];
	struct css_subchannel *first, **last; /* waiting for css_continue */
	uint64_t turn;			      /* css_continue has begun so often */
	bool continuing;		      /* somebody is in css_continue, and defers what is left when he leaves: */
	pthread_t continuer;
	bool held;
	bool deferred;			      /* ops->defer was called and css_continue has not begun */
};

/* One turn of a channel program; belongs to the thread that sets sch->running. */
struct css_run {
	struct css *css;
	struct css_subchannel *sch;
	uint32_t orb;
	unsigned int fetched;
	uint64_t until_ns; /* no command begins after that; 0: not limited */
	uint8_t limit_mode; /* PMCW_LIMIT_*, 0 without ORB_LIMIT */
	uint32_t limit;

	/* The current CCW. */
	uint8_t code, flags;
	uint32_t left;	  /* bytes of its count */
	uint32_t address; /* as it says; walks on with the data when direct */
	uint32_t cpa;	  /* its own address plus 8 */
	uint64_t block;	      /* the current (M)IDAW's data... */
	uint32_t block_left;  /* ...and how much of it is left */
	bool block_used, block_last, block_skip;

	struct {
		uint8_t flags;
		uint32_t left, address, cpa;
	} begin; /* the CCW that names the command */

	uint8_t check;	/* CSTAT_*: the program ends */
	bool wanted_more; /* the device had more for it than the program's count */
	bool moved;	/* data moved at all */
	uint8_t sense[CSS_SENSE_SIZE];
	bool sensed;
};

/* css.c */
struct css_subchannel *css_lookup(struct css *css, uint32_t sid, int *ret_result);
void css_interrupt(struct css *css, struct css_subchannel *sch);
void css_withdraw(struct css *css, struct css_subchannel *sch);
void css_present_held(struct css *css, struct css_subchannel *sch);
void css_report(struct css *css, unsigned int flags, unsigned int rsc, unsigned int erc, uint16_t rsid);

/* css_function.c */
void css_perform(struct css *css, struct css_subchannel *sch, bool turn);
void css_enqueue(struct css *css, struct css_subchannel *sch);
void css_unqueue(struct css *css, struct css_subchannel *sch);

/* css_ccw.c: one go; true when it has not ended. Without the lock. */
bool css_run_program(struct css_run *r);
int css_fetch_ccw(struct css_run *r, bool data_chain);

/* css_measure.c */
uint64_t css_now_ns(void);
void css_measure_start(struct css *css, struct css_subchannel *sch);
void css_measure_accepted(struct css_subchannel *sch);
void css_measure_end(struct css *css, struct css_subchannel *sch);

#endif
