// SPDX-License-Identifier: MIT
/* virtio console device (virtio 1.3, 5.3): one or several ports, each connected to a character stream. */
#ifndef LKVM_VIRTIO_CONSOLE_H
#define LKVM_VIRTIO_CONSOLE_H

#include <stdint.h>

#include "backend/stream.h"
#include "virtio/device.h"

#define VIRTIO_CONSOLE_MAX_PORTS 16

struct virtio_console_config {
	struct stream *const *streams; /* n of them, the caller's; they outlive the device. NULL: reads nothing, swallows everything */
	/* n names, copied, or NULL: a port without a name is a console (hvc), one with a name a plain port (/dev/virtio-ports/NAME). */
	const char *const *names;
	unsigned int n;		  /* ports: 1 to VIRTIO_CONSOLE_MAX_PORTS; multiport is offered from 2 ports on, or when port 0 has a name */
	uint16_t columns, rows;	  /* of the terminal behind port 0; 0: unknown */
};

/* -EINVAL with a sentence for a number out of range, -ENOMEM. */
int virtio_console_create(const struct virtio_console_config *config, const struct virtio_env *env,
			  struct virtio_device **ret, struct err *e);

/* The terminal has a new size. Any thread, lock not held. vd was made by virtio_console_create. */
void virtio_console_resize(struct virtio_device *vd, uint16_t columns, uint16_t rows);

#endif
