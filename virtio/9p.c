// SPDX-License-Identifier: MIT
#include "virtio/9p.h"

#include <errno.h>

int virtio_9p_create(const struct virtio_9p_config *config, const struct virtio_env *env,
		     struct virtio_device **ret, struct err *e)
{
	return err_set(e, -EOPNOTSUPP, "shared folders are not there yet");
}
