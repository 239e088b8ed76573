// SPDX-License-Identifier: MIT
/*
 * virtio over channel I/O (virtio 1.3, section 4.3), revisions 0 (legacy, big-endian) to 2: a device of the channel subsystem whose control-unit type is 0x3832 and whose
 * control-unit model is the virtio device's id.
 */
#ifndef LKVM_VIRTIO_TRANSPORT_CCW_H
#define LKVM_VIRTIO_TRANSPORT_CCW_H

#include "base/err.h"
#include "hv/hv.h"
#include "hw/css.h"
#include "virtio/device.h"

#define VIRTIO_CCW_CU_TYPE 0x3832

struct virtio_ccw;

/* What the machine does for the transport. Called with the device's lock held, on any thread; they do not call back. */
struct virtio_ccw_machine_ops {
	/* Makes an adapter interruption of this subclass (0 to 7) pending. */
	void (*adapter_interrupt)(void *ctx, unsigned int isc);
	/*
	 * Has each signal of fd set the indicators that route->adapter names (its id and gsi are the machine's to fill in) and interrupt with this subclass, all in the kernel; connect
	 * false: no longer. -errno: it cannot. NULL: no host can.
	 */
	int (*adapter_irqfd)(void *ctx, const struct hv_route *route, unsigned int isc, int fd, bool connect);
};

struct virtio_ccw_config {
	struct hv *hv; /* for doorbells that never leave the kernel, or NULL */
	const struct virtio_ccw_machine_ops *ops;
	void *ctx;
	unsigned int ssid; /* subchannel set */
	uint16_t devno;
	bool hotplug; /* the guest runs: it is told by a channel report */
};

/* Connects vd, which stays the caller's and outlives the transport; so does css. css_add_device's errors, -ENOMEM. */
int virtio_ccw_create(struct virtio_device *vd, struct css *css, const struct virtio_ccw_config *config,
		      struct virtio_ccw **ret, struct err *e);
void virtio_ccw_destroy(struct virtio_ccw *c); /* NULL is fine */
DEFINE_CLEANUP(virtio_ccw, virtio_ccw_destroy)

/*
 * 4.3.3.2, diagnose 500 with subcode 3: the driver rings a queue of the device at this subchannel (the right half of general register 2). What general register 2 gets: a cookie,
 * or a negative error (-EINVAL: no such device or queue). Any thread.
 */
int64_t virtio_ccw_notify(struct css *css, uint32_t sid, uint64_t queue);

/*
 * What a driver has told the transport, beside the state of the device and of the channel subsystem. Both while the device is paused; loaded before the device's own state, or else
 * it must fit what that says of the driver.
 */
struct virtio_ccw_state {
	uint32_t version;
	int32_t revision; /* -1: unset */
	uint64_t queues, bit_nr, summary, config;
	uint8_t kind, isc;
	uint8_t reserved[6];
};
void virtio_ccw_save(const struct virtio_ccw *c, struct virtio_ccw_state *ret);
int virtio_ccw_load(struct virtio_ccw *c, const struct virtio_ccw_state *s); /* -EINVAL: it is none of this device, -EOPNOTSUPP: a legacy driver's, which this device does not serve */

/* Channel commands and doorbells that were handled by us so far; any thread. */
uint64_t virtio_ccw_exits(const struct virtio_ccw *c);

#endif
