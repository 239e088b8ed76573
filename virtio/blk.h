// SPDX-License-Identifier: MIT
/* virtio block device (virtio 1.3, 5.2) on a disk. */
#ifndef LKVM_VIRTIO_BLK_H
#define LKVM_VIRTIO_BLK_H

#include "backend/disk.h"
#include "virtio/device.h"

#define VIRTIO_BLK_MAX_QUEUES 16

struct virtio_blk_config {
	struct disk *disk;	/* the device's from success on */
	const char *serial;	/* at most 20 bytes are shown; NULL: none */
	unsigned int queues;	/* 1 to VIRTIO_BLK_MAX_QUEUES; 0: 1 */
	unsigned int queue_size; /* entries, a power of two from 4 to 256; 0: 128 */
};

/* -EINVAL with a sentence for a number out of range, -ENOMEM. */
int virtio_blk_create(const struct virtio_blk_config *config, const struct virtio_env *env, struct virtio_device **ret,
		      struct err *e);

#endif
