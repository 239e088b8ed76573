// SPDX-License-Identifier: MIT
/* virtio entropy device (virtio 1.3, 5.4): the host kernel's random numbers. */
#ifndef LKVM_VIRTIO_RNG_H
#define LKVM_VIRTIO_RNG_H

#include "virtio/device.h"

/* -ENOMEM. */
int virtio_rng_create(const struct virtio_env *env, struct virtio_device **ret, struct err *e);

#endif
