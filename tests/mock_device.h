// SPDX-License-Identifier: MIT
/* The simplest virtio device: gives back what it is sent. For tests of the queues, the status machine and the transports. */
#ifndef LKVM_TESTS_MOCK_DEVICE_H
#define LKVM_TESTS_MOCK_DEVICE_H

#include "virtio/device.h"

#define MOCK_DEVICE_ID 42
#define MOCK_DEVICE_CONFIG 64 /* bytes of configuration space */
#define MOCK_DEVICE_SEGMENTS 64
#define MOCK_DEVICE_F (UINT64_C(1) << 5) /* its one feature */

struct mock_held {
	struct chain c;
	struct iovec iov[MOCK_DEVICE_SEGMENTS];
	unsigned int queue;
};

struct mock_device {
	struct virtio_device *vd;
	uint8_t config[MOCK_DEVICE_CONFIG];
	bool hold;	    /* keep requests until mock_device_complete() */
	int activate_error; /* what activate answers */
	unsigned int activated, kicks, quiesced, resets, popped, overrun, loaded;
	bool *destroyed;	  /* set by destroy, when not NULL */
	unsigned int held_limit;  /* sum of the queues' sizes; popping more counts as overrun */
	struct mock_held *held;
	unsigned int n_held;
};

int mock_device_create(const struct virtio_env *env, const uint16_t *sizes, unsigned int n, struct mock_device **ret);
/* Completes at most max of the held requests, oldest first or in the order of `seed`; takes the lock. Any thread. The number completed. */
unsigned int mock_device_complete(struct mock_device *m, unsigned int max, uint32_t seed);

#endif
