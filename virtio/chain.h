// SPDX-License-Identifier: MIT
/* One request taken from a virtqueue: the guest's buffers, checked and described by iovecs. virtio 1.3, 2.7.5 and 2.8.5. */
#ifndef LKVM_VIRTIO_CHAIN_H
#define LKVM_VIRTIO_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * The caller provides the iovecs (iov, cap) before queue_pop; they may live in the request structure of the device.
 * iov[0..n_out) are device-readable, iov[n_out..n_out+n_in) device-writable, in the driver's order.
 */
struct chain {
	struct iovec *iov;
	unsigned int cap;
	unsigned int n_out, n_in;
	uint64_t out_len, in_len; /* bytes, each at most 2^32-1 */
	uint16_t id;		  /* split: head descriptor; packed: buffer id */
	uint16_t n_desc;	  /* ring slots taken (packed) */
};

/* Copies from the readable part at byte `offset`; returns bytes copied (fewer when the chain ends). Host memory only: never fails. */
size_t chain_read(const struct chain *c, uint64_t offset, void *buf, size_t len);
/* Copies into the writable part at byte `offset`; returns bytes copied. */
size_t chain_write(const struct chain *c, uint64_t offset, const void *buf, size_t len);

/*
 * Cuts [offset, offset+len) out of an iovec array into ret (room for max); returns the number of entries, or -ENOSPC. Bytes past the end are left out.
 */
int iov_slice(const struct iovec *iov, unsigned int n, uint64_t offset, uint64_t len, struct iovec *ret,
	      unsigned int max);

#endif
