// SPDX-License-Identifier: MIT
#include "virtio/rng.h"

#include <errno.h>

#include "base/sys.h"

#define DEVICE_ID_RNG 4
#define QUEUE_SIZE 16
#define IOV_CAP (QUEUE_SIZE + MEMORY_MAX_REGIONS)
#define REQUEST_BYTES KIB(4) /* of one request; the driver takes what it gets */
#define BATCH 16	     /* requests of one kick before others get their turn */

struct rng {
	struct virtio_device *vd;
	struct iovec iov[IOV_CAP];
};

static int64_t fill(const struct chain *c)
{
	uint32_t done = 0;

	for (unsigned int i = 0; i < c->n_in && done < REQUEST_BYTES; i++) {
		const struct iovec *iov = &c->iov[c->n_out + i];
		uint32_t n = (uint32_t)MIN(iov->iov_len, REQUEST_BYTES - done);

		if (sys_random(iov->iov_base, n) < 0)
			break;
		done += n;
	}
	return done;
}

static int64_t rng_serve(void *dev, struct chain *c)
{
	return c->in_len ? fill(c) : -EPROTO;
}

static void rng_kick(void *dev, unsigned int n)
{
	struct rng *rng = dev;
	const struct virtio_service service = {
		.iov = rng->iov,
		.cap = IOV_CAP,
		.batch = BATCH,
		.serve = rng_serve,
		.why = "a request for random numbers has no place for them",
	};

	virtio_serve(rng->vd, n, &service);
}

static void rng_config_read(void *dev, uint32_t offset, void *buf, uint32_t len)
{
	memset(buf, 0, len);
}

static void rng_destroy(void *dev)
{
	free(dev);
}

static const struct virtio_class rng_class = {
	.name = "rng",
	.device_id = DEVICE_ID_RNG,
	.config_read = rng_config_read,
	.kick = rng_kick,
	.destroy = rng_destroy,
};

int virtio_rng_create(const struct virtio_env *env, struct virtio_device **ret, struct err *e)
{
	static const uint16_t size = QUEUE_SIZE;
	struct rng *rng = calloc(1, sizeof(*rng));
	int r;

	if (!rng)
		return err_set(e, -ENOMEM, "out of memory");
	r = virtio_create(&rng_class, rng, env, 0, 0, &size, 1, &rng->vd);
	if (r < 0) {
		free(rng);
		return err_set(e, r, "out of memory");
	}
	*ret = rng->vd;
	return 0;
}
