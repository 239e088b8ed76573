// SPDX-License-Identifier: MIT
#include "mock_device.h"

#include <errno.h>

static void config_read(void *dev, uint32_t offset, void *buf, uint32_t len)
{
	struct mock_device *m = dev;

	memcpy(buf, m->config + offset, len);
}

static void config_write(void *dev, uint32_t offset, const void *buf, uint32_t len)
{
	struct mock_device *m = dev;

	memcpy(m->config + offset, buf, len);
}

static int activate(void *dev)
{
	struct mock_device *m = dev;

	m->activated++;
	return m->activate_error;
}

/* As much of the readable part as fits goes into the writable one. */
static void answer(struct queue *q, const struct chain *c)
{
	uint8_t buf[256];
	uint64_t done = 0;

	while (done < c->in_len) {
		size_t n = chain_read(c, done, buf, MIN(sizeof(buf), c->in_len - done));

		if (!n)
			break;
		chain_write(c, done, buf, n);
		done += n;
	}
	queue_push(q, c, done);
}

static void kick(void *dev, unsigned int n)
{
	struct mock_device *m = dev;
	struct queue *q = virtio_queue(m->vd, n);
	int r;

	m->kicks++;
	do {
		queue_doorbell_off(q);
		for (;;) {
			struct mock_held h = {.queue = n};

			h.c.iov = h.iov;
			h.c.cap = MOCK_DEVICE_SEGMENTS;
			r = queue_pop(q, &h.c);
			if (r <= 0)
				break;
			m->popped++;
			if (!m->hold) {
				answer(q, &h.c);
				continue;
			}
			if (m->n_held == m->held_limit) {
				m->overrun++;
				queue_unpop(q, &h.c);
				return;
			}
			m->held[m->n_held] = h;
			virtio_get(m->vd);
			m->n_held++;
		}
		if (r < 0) {
			virtio_broken(m->vd, "a test's ring");
			break;
		}
	} while (queue_doorbell_on(q));
	virtio_signal(m->vd, n);
}

unsigned int mock_device_complete(struct mock_device *m, unsigned int max, uint32_t seed)
{
	unsigned int done = 0;

	virtio_lock(m->vd);
	while (done < max && m->n_held) {
		unsigned int i = seed ? seed % m->n_held : 0;
		struct mock_held h = m->held[i];
		struct queue *q = virtio_queue(m->vd, h.queue);

		seed = seed * 1664525 + (seed ? 1013904223 : 0);
		memmove(&m->held[i], &m->held[i + 1], (m->n_held - i - 1) * sizeof(h));
		m->n_held--;
		h.c.iov = h.iov;
		if (q) {
			answer(q, &h.c);
			virtio_signal(m->vd, h.queue);
		} else {
			m->overrun++; /* a completion after reset: must not happen */
		}
		virtio_put(m->vd);
		done++;
	}
	virtio_unlock(m->vd);
	return done;
}

static void quiesce(void *dev)
{
	struct mock_device *m = dev;

	m->quiesced++;
	virtio_wait_idle(m->vd);
}

static void reset(void *dev)
{
	struct mock_device *m = dev;

	m->resets++;
}

static int save(void *dev, void *state)
{
	struct mock_device *m = dev;

	memcpy(state, m->config, sizeof(m->config));
	return 0;
}

static int load(void *dev, const void *state)
{
	struct mock_device *m = dev;

	memcpy(m->config, state, sizeof(m->config));
	m->loaded++;
	return m->config[0] == 0xff ? -EINVAL : 0;
}

static void destroy(void *dev)
{
	struct mock_device *m = dev;

	if (m->destroyed)
		*m->destroyed = true;
	free(m->held);
	free(m);
}

static const struct virtio_class mock_class = {
	.name = "mock",
	.device_id = MOCK_DEVICE_ID,
	.config_fields = "\4\2\1\1\10",
	.state_version = 1,
	.state_size = MOCK_DEVICE_CONFIG,
	.config_read = config_read,
	.config_write = config_write,
	.activate = activate,
	.kick = kick,
	.quiesce = quiesce,
	.reset = reset,
	.save = save,
	.load = load,
	.destroy = destroy,
};

int mock_device_create(const struct virtio_env *env, const uint16_t *sizes, unsigned int n, struct mock_device **ret)
{
	struct mock_device *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++)
		m->held_limit += sizes[i];
	m->held = calloc(m->held_limit, sizeof(*m->held));
	if (!m->held) {
		free(m);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < MOCK_DEVICE_CONFIG; i++)
		m->config[i] = i;
	r = virtio_create(&mock_class, m, env, MOCK_DEVICE_F, MOCK_DEVICE_CONFIG, sizes, n, &m->vd);
	if (r < 0) {
		free(m->held);
		free(m);
		return r;
	}
	*ret = m;
	return 0;
}
