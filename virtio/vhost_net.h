// SPDX-License-Identifier: MIT
/*
 * The queue pairs of a network device in the host's kernel: doorbells go to vhost directly, interrupts come from it directly where the transport can have an
 * eventfd do that, else over the loop. The control queue and everything else stay with the device (virtio/net.c), which calls this with its lock held.
 */
#ifndef LKVM_VIRTIO_VHOST_NET_H
#define LKVM_VIRTIO_VHOST_NET_H

#include "backend/link.h"
#include "backend/vhost.h"
#include "virtio/device.h"

struct vhost_net;

/* vd has queues 2 * i (receive) and 2 * i + 1 (send) for pair i. vhost is ours from success on. -ENOMEM, or eventfd's and the loop's own. */
int vhost_net_create(struct virtio_device *vd, struct vhost *vhost, struct link *link, unsigned int pairs, struct vhost_net **ret);
void vhost_net_destroy(struct vhost_net *v); /* not locked; after the device's last stop. NULL is fine */
DEFINE_CLEANUP(vhost_net, vhost_net_destroy)

/* From class->activate: pairs that the negotiated features know of are not the loop's. 0 or -errno. */
int vhost_net_activate(struct vhost_net *v);
/* The running queues are served by the kernel from where they are. 0, or -errno with all stopped. */
int vhost_net_start(struct vhost_net *v);
/* Nothing touches guest memory when it returns; the queues' positions are those that vhost has come to. Harmless when nothing runs. */
void vhost_net_stop(struct vhost_net *v);

#endif
