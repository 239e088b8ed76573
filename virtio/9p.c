// SPDX-License-Identifier: MIT
#include "virtio/9p.h"

#include <errno.h>

#include "virtio/9p_server.h"

#define DEVICE_ID_9P 9
#define F_MOUNT_TAG 0
#define BATCH 32 /* requests of one kick before others get their turn */

struct p9_device {
	struct virtio_device *vd;
	struct iovec iov[P9_IOV_CAP];
	uint16_t tag_len;
	char tag[VIRTIO_9P_MAX_TAG];
	struct p9_server server;
};

struct p9_state {
	uint32_t msize, reserved;
};

static int64_t p9_serve(void *dev, struct chain *c)
{
	struct p9_device *p = dev;

	return p9_handle(&p->server, c);
}

static void p9_kick(void *dev, unsigned int n)
{
	struct p9_device *p = dev;
	const struct virtio_service service = {
		.iov = p->iov,
		.cap = P9_IOV_CAP,
		.batch = BATCH,
		.serve = p9_serve,
		.why = "a 9P request holds no message, or has no place for a reply",
	};

	virtio_serve(p->vd, n, &service);
}

/* 5.9.4: le16 tag_len, tag */
static void p9_config_read(void *dev, uint32_t offset, void *buf, uint32_t len)
{
	const struct p9_device *p = dev;
	uint8_t c[2 + VIRTIO_9P_MAX_TAG];

	put_le16(c, p->tag_len);
	memcpy(c + 2, p->tag, sizeof(p->tag));
	memcpy(buf, c + offset, len);
}

static void p9_dev_reset(void *dev)
{
	struct p9_device *p = dev;

	p9_reset(&p->server);
}

/* Fids are files that are open here. */
static int p9_save(void *dev, void *state)
{
	const struct p9_device *p = dev;

	*(struct p9_state *)state = (struct p9_state){ .msize = p->server.msize };
	return p->server.n_fids ? -EOPNOTSUPP : 0;
}

static int p9_load(void *dev, const void *state)
{
	const struct p9_state *s = state;
	struct p9_device *p = dev;

	if ((s->msize && (s->msize < P9_MIN_MSIZE || s->msize > P9_MAX_MSIZE)) || s->reserved)
		return -EINVAL;
	p9_reset(&p->server);
	p->server.msize = s->msize;
	return 0;
}

static void p9_destroy(void *dev)
{
	struct p9_device *p = dev;

	p9_reset(&p->server);
	share_close(p->server.share);
	free(p);
}

static const struct virtio_class p9_class = {
	.name = "9p",
	.device_id = DEVICE_ID_9P,
	.config_fields = "\2",
	.state_version = 1,
	.state_size = sizeof(struct p9_state),
	.config_read = p9_config_read,
	.kick = p9_kick,
	.reset = p9_dev_reset,
	.save = p9_save,
	.load = p9_load,
	.destroy = p9_destroy,
};

int virtio_9p_create(const struct virtio_9p_config *config, const struct virtio_env *env,
		     struct virtio_device **ret, struct err *e)
{
	static const uint16_t size = P9_RING;
	size_t tag_len = strlen(config->tag);
	struct p9_device *p;
	int r;

	if (!tag_len || tag_len > VIRTIO_9P_MAX_TAG)
		return err_set(e, -EINVAL, "the tag of a shared folder has 1 to %d characters, not %zu: \"%s\"",
			       VIRTIO_9P_MAX_TAG, tag_len, config->tag);
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(e, -ENOMEM, "out of memory");
	p->tag_len = (uint16_t)tag_len;
	memcpy(p->tag, config->tag, tag_len);
	r = virtio_create(&p9_class, p, env, UINT64_C(1) << F_MOUNT_TAG, 2 + (uint32_t)tag_len, &size, 1, &p->vd);
	if (r < 0) {
		free(p);
		return err_set(e, r, "out of memory");
	}
	p->server.share = config->share;
	*ret = p->vd;
	return 0;
}
