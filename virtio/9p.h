// SPDX-License-Identifier: MIT
/* virtio 9P transport (virtio 1.3, 5.9) with a 9P2000.L server on a shared folder. */
#ifndef LKVM_VIRTIO_9P_H
#define LKVM_VIRTIO_9P_H

#include "backend/share.h"
#include "virtio/device.h"

struct virtio_9p_config {
	struct share *share; /* the device's from success on */
	const char *tag;     /* copied */
};

int virtio_9p_create(const struct virtio_9p_config *config, const struct virtio_env *env,
		     struct virtio_device **ret, struct err *e);

#endif
