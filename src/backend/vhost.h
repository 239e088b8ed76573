// SPDX-License-Identifier: MIT
/*
 * Rings of a network card that the host's kernel serves (/dev/vhost-net): frames go between a tap and the guest without us. One descriptor for each queue pair;
 * ring 0 of a pair receives, ring 1 sends. The caller serialises calls.
 */
#ifndef LKVM_BACKEND_VHOST_H
#define LKVM_BACKEND_VHOST_H

#include <stdint.h>

#include "base/err.h"
#include "base/util.h"
#include "memory.h"

struct vhost;

struct vhost_config {
	unsigned int pairs;	     /* 1 to 16 */
	const struct memory *memory; /* outlives the vhost; all of its regions can be rings and buffers */
	const char *path;	     /* NULL: /dev/vhost-net */
	int (*ioctl)(int fd, unsigned long request, void *arg); /* NULL: the kernel's; -errno. For tests */
};

/* A split virtqueue. The areas are guest memory that was checked; the eventfds stay the caller's. */
struct vhost_ring {
	void *desc, *driver, *device; /* desc NULL: this ring is not served */
	uint16_t num;
	uint16_t next_avail; /* free-running position in the available ring */
	int kick;	     /* the driver's doorbell */
	int call;	     /* signalled for used buffers that the driver wants to hear of */
	int err;	     /* signalled when the ring cannot be served */
};

/* Errors, each with a sentence: no /dev/vhost-net, no permission, a kernel that refuses. */
int vhost_open(const struct vhost_config *config, struct vhost **ret, struct err *e);
void vhost_close(struct vhost *v); /* stops what runs; NULL is fine */
DEFINE_CLEANUP(vhost, vhost_close)

/* Of the features that concern rings and the frame's header, those that the kernel serves; others are not its business. */
#define VHOST_RING_FEATURES                                                                        \
	(UINT64_C(1) << 15 /* MRG_RXBUF */ | UINT64_C(1) << 28 /* INDIRECT_DESC */ | UINT64_C(1) << 29 /* EVENT_IDX */ |  \
	 UINT64_C(1) << 32 /* VERSION_1 */)
uint64_t vhost_features(const struct vhost *v);

/* The pair's rings are served from now on, frames through the tap. `features` are the negotiated ones. 0 or -errno, and nothing is served then. */
int vhost_start(struct vhost *v, unsigned int pair, uint64_t features, const struct vhost_ring ring[2], int tap);
/* When it returns nothing touches guest memory any more. ret_next_avail: the positions that the rings have come to. */
void vhost_stop(struct vhost *v, unsigned int pair, uint16_t ret_next_avail[2]);

#endif
