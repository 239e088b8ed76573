// SPDX-License-Identifier: MIT
/* virtio memory balloon (virtio 1.3, 5.5): inflate and deflate, statistics, free page reporting, deflate on out-of-memory. */
#ifndef LKVM_VIRTIO_BALLOON_H
#define LKVM_VIRTIO_BALLOON_H

#include "virtio/device.h"

#define VIRTIO_BALLOON_STATS 16 /* tags 0 to 15 are kept, 5.5.6.4 */

enum virtio_balloon_tag {
	BALLOON_SWAP_IN,
	BALLOON_SWAP_OUT,
	BALLOON_MAJOR_FAULTS,
	BALLOON_MINOR_FAULTS,
	BALLOON_FREE_MEMORY,
	BALLOON_TOTAL_MEMORY,
	BALLOON_AVAILABLE_MEMORY,
	BALLOON_DISK_CACHES,
	BALLOON_HUGETLB_ALLOCATIONS,
	BALLOON_HUGETLB_FAILURES,
};

struct virtio_balloon_stats {
	uint64_t value[VIRTIO_BALLOON_STATS]; /* bytes or counts, by tag */
	uint32_t valid;			      /* a bit for each tag that the guest has told */
	uint64_t when;			      /* sys_now_ns() of the last report, 0: never */
};

/* -ENOMEM. */
int virtio_balloon_create(const struct virtio_env *env, struct virtio_device **ret, struct err *e);

/* How many 4 KiB pages the guest is asked to give. Any thread. */
void virtio_balloon_set_target(struct virtio_device *vd, uint32_t pages4k);

/*
 * What was asked for, what the guest says it has given, and the last statistics; asks the guest for fresh ones, which come later (look at
 * `when`). ret_* may be NULL. Any thread.
 */
void virtio_balloon_get(struct virtio_device *vd, uint32_t *ret_target, uint32_t *ret_actual,
			struct virtio_balloon_stats *ret_stats);

#endif
