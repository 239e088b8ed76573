// SPDX-License-Identifier: MIT
/*
 * virtio 9P transport (virtio 1.3, 5.9) with a 9P2000.L server on a shared folder. Requests are served one after the other on the loop thread, and block it as
 * the host's file system does; after a batch others get their turn. Locks are the guest's own affair: they are granted, and do not reach the host or other guests.
 * Extended attributes are not served. What a driver has opened is not part of a saved state: such a state is refused when loaded.
 */
#ifndef LKVM_VIRTIO_9P_H
#define LKVM_VIRTIO_9P_H

#include "backend/share.h"
#include "virtio/device.h"

#define VIRTIO_9P_MAX_TAG 255

struct virtio_9p_config {
	struct share *share; /* the device's from success on */
	const char *tag;     /* copied; 1 to VIRTIO_9P_MAX_TAG bytes */
};

int virtio_9p_create(const struct virtio_9p_config *config, const struct virtio_env *env,
		     struct virtio_device **ret, struct err *e);

#endif
