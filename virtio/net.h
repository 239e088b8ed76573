// SPDX-License-Identifier: MIT
/* virtio network device (virtio 1.3, 5.1) on a link: frames go between the link and the guest's buffers without a copy. */
#ifndef LKVM_VIRTIO_NET_H
#define LKVM_VIRTIO_NET_H

#include <stdint.h>

#include "backend/link.h"
#include "backend/vhost.h"
#include "virtio/device.h"

#define VIRTIO_NET_MAX_PAIRS 16

struct virtio_net_config {
	struct link *link;  /* the device's from success on */
	uint8_t mac[6];	    /* a unicast address */
	unsigned int pairs; /* queue pairs offered: 1 to the link's; 0: the link's */
	unsigned int mtu;   /* 68 to 65521, or 0: the driver's own choice */
	struct vhost *vhost; /* serves the queue pairs of a link with vnet_hdr; of as many pairs; the device's from success on. NULL: we do */
};

/* -EINVAL with a sentence for a number out of range, -ENOMEM. */
int virtio_net_create(const struct virtio_net_config *config, const struct virtio_env *env,
		      struct virtio_device **ret, struct err *e);

#endif
