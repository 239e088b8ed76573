// SPDX-License-Identifier: MIT
#include "virtio/chain.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

/* Copies between buf and iov[] from byte `offset` on, in the direction asked for. */
static size_t copy(const struct iovec *iov, unsigned int n, uint64_t offset, char *to, const char *from, size_t len)
{
	size_t done = 0;

	for (unsigned int i = 0; i < n && done < len; i++) {
		size_t here;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		here = MIN(len - done, iov[i].iov_len - offset);
		if (to)
			memcpy(to + done, (const char *)iov[i].iov_base + offset, here);
		else
			memcpy((char *)iov[i].iov_base + offset, from + done, here);
		done += here;
		offset = 0;
	}
	return done;
}

size_t chain_read(const struct chain *c, uint64_t offset, void *buf, size_t len)
{
	return copy(c->iov, c->n_out, offset, buf, NULL, len);
}

size_t chain_write(const struct chain *c, uint64_t offset, const void *buf, size_t len)
{
	return copy(c->iov + c->n_out, c->n_in, offset, NULL, buf, len);
}

int iov_slice(const struct iovec *iov, unsigned int n, uint64_t offset, uint64_t len, struct iovec *ret, unsigned int max)
{
	unsigned int out = 0;

	for (unsigned int i = 0; i < n && len; i++) {
		size_t here;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		if (out == max)
			return -ENOSPC;
		here = MIN(len, iov[i].iov_len - offset);
		ret[out++] = (struct iovec){.iov_base = (char *)iov[i].iov_base + offset, .iov_len = here};
		len -= here;
		offset = 0;
	}
	return out;
}
