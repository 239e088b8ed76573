// SPDX-License-Identifier: MIT
/*
 * The service-call logical processor: what a guest learns about its machine, and its console. One request at a time; its end is a service signal. A request of more output than
 * the console takes stays under way until the console has taken it, and further ones find us busy.
 */
#ifndef LKVM_ARCH_S390X_SCLP_H
#define LKVM_ARCH_S390X_SCLP_H

#include "arch/s390x/s390x.h"

#define SCCB_MAX 4096 /* bytes of a service-call control block, in one block of as many */
#define SCCB_HEADER 8
#define SCLP_IN 1024

/* Response codes: class in the low byte. */
enum {
	SCLP_RC_READ = 0x0010,
	SCLP_RC_DONE = 0x0020,
	SCLP_RC_BOUNDARY = 0x0100,
	SCLP_RC_COMMAND = 0x01f0,
	SCLP_RC_LENGTH = 0x0300,
	SCLP_RC_FUNCTION = 0x40f0,
	SCLP_RC_NO_EVENTS = 0x60f0,
	SCLP_RC_SELECTION_MASK = 0x70f0,
	SCLP_RC_INCONSISTENT = 0x72f0,
	SCLP_RC_SYNTAX = 0x73f0,
	SCLP_RC_MASK_LENGTH = 0x74f0,
};

/* Event types are bits of the event masks, from the left and from 1. */
enum {
	EVENT_OPERATOR_COMMAND = 0x01,
	EVENT_MESSAGE = 0x02,
	EVENT_ASCII_CONSOLE = 0x1a,
	EVENT_SIGNAL_QUIESCE = 0x1d,
};
#define EVENT_BIT(type) (UINT32_C(1) << (32 - (type)))

struct sclp {
	struct machine *m;
	pthread_mutex_t lock; /* before the console's and KVM's */
	uint32_t receive;     /* events that the guest takes */
	bool quiesce;	      /* to be told */
	bool busy;	      /* output of the request at sccb is still on its way: */
	uint32_t sccb;
	unsigned int out_at, n_out;
	char out[SCCB_MAX];
	bool line_mode; /* the face that the guest wrote to last, and so the one that hears us */
	unsigned int n_in;
	char in[SCLP_IN]; /* typed, and not yet told */
};

/* Each works on a copy of the SCCB, as long as its header says (at least SCCB_HEADER), and returns a response code. Lock held. */
uint16_t sclp_write_events(struct sclp *s, uint8_t *sccb, unsigned int len);
uint16_t sclp_read_events(struct sclp *s, uint8_t *sccb, unsigned int len);
uint16_t sclp_write_masks(struct sclp *s, uint8_t *sccb, unsigned int len);
/* Whether there is something to read for who reads these events; takes input from the console. */
uint32_t sclp_pending(struct sclp *s);
/* Whether input goes to the guest as lines, and not as it is typed; *ret_heard: whether it goes to it at all. */
bool sclp_by_line(const struct sclp *s, bool *ret_heard);
/* Sends what is in `out`; true when all of it is gone. */
bool sclp_flush(struct sclp *s);

#endif
