// SPDX-License-Identifier: MIT
#include "virtio/device.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/sys.h"

#define FEATURE_VERSION_1 (UINT64_C(1) << 32)
#define CONFIG_MAX 256 /* bytes of the largest configuration space that a legacy driver sees */
/* What a driver may set by writing. */
#define STATUS_DRIVER_BITS \
	(VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_FAILED)
/* Without a loop: how often kick may ask for itself again at once, so that a device cannot hang its caller. */
#define KICKS_AT_ONCE 1024

int virtio_create(const struct virtio_class *class, void *dev, const struct virtio_env *env, uint64_t offered,
		  uint32_t config_size, const uint16_t *queue_sizes, unsigned int n_queues, struct virtio_device **ret)
{
	struct virtio_device *vd;
	pthread_mutexattr_t attr;

	if (!n_queues || n_queues > VIRTIO_MAX_QUEUES)
		return -EINVAL;
	for (unsigned int i = 0; i < n_queues; i++)
		if (!queue_sizes[i] || queue_sizes[i] > QUEUE_MAX_SIZE)
			return -EINVAL;
	vd = calloc(1, sizeof(*vd) + n_queues * sizeof(vd->queue[0]));
	if (!vd)
		return -ENOMEM;
	vd->class = class;
	vd->dev = dev;
	vd->env = env;
	vd->offered = offered | VIRTIO_CORE_FEATURES;
	vd->config_size = config_size;
	vd->n_queues = n_queues;
	for (unsigned int i = 0; i < n_queues; i++) {
		struct virtio_queue_slot *slot = &vd->queue[i];

		slot->max_num = queue_sizes[i];
		atomic_init(&slot->doorbell_fd, -1);
		slot->vd = vd;
		queue_reset(&slot->q, slot->max_num);
	}
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&vd->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	pthread_cond_init(&vd->idle, NULL);
	*ret = vd;
	return 0;
}

static void tell_changed(struct virtio_device *vd)
{
	if (vd->transport && vd->transport->changed)
		vd->transport->changed(vd->transport_ctx);
}

static void quiesce(struct virtio_device *vd)
{
	if (vd->active && vd->class->quiesce)
		vd->class->quiesce(vd->dev);
}

void virtio_destroy(struct virtio_device *vd)
{
	if (!vd)
		return;
	virtio_lock(vd);
	vd->paused = true;
	vd->destroying = true;
	quiesce(vd);
	vd->active = false;
	virtio_unlock(vd);
	virtio_connect(vd, NULL, NULL);
	/* Without the lock: a doorbell's handler that runs now wants it. */
	for (unsigned int i = 0; i < vd->n_queues; i++) {
		int fd = atomic_load(&vd->queue[i].doorbell_fd);

		loop_remove(vd->queue[i].doorbell);
		close_fd(&fd);
	}
	vd->class->destroy(vd->dev);
	pthread_cond_destroy(&vd->idle);
	pthread_mutex_destroy(&vd->lock);
	free(vd);
}

static void doorbell_disconnect(struct virtio_device *vd, unsigned int n)
{
	struct virtio_queue_slot *slot = &vd->queue[n];

	if (slot->connected)
		vd->transport->doorbell(vd->transport_ctx, n, atomic_load(&slot->doorbell_fd), false);
	slot->connected = false;
}

void virtio_connect(struct virtio_device *vd, const struct virtio_transport_ops *ops, void *ctx)
{
	virtio_lock(vd);
	for (unsigned int i = 0; i < vd->n_queues; i++)
		doorbell_disconnect(vd, i);
	vd->transport = ops;
	vd->transport_ctx = ctx;
	virtio_unlock(vd);
}

/* --- doorbells --- */

/* Lock held. What a device signals during kick is collected: one interrupt for a batch. */
static void kick(struct virtio_queue_slot *slot)
{
	struct virtio_device *vd = slot->vd;
	unsigned int n = slot - vd->queue;

	if (!virtio_running(vd) || !queue_running(&slot->q) || slot->outside)
		return;
	vd->in_kick++;
	vd->class->kick(vd->dev, n);
	if (!--vd->in_kick) {
		uint64_t signals = vd->signals;

		vd->signals = 0;
		for (; signals; signals &= signals - 1)
			virtio_signal(vd, __builtin_ctzll(signals));
	}
}

/* On the loop's thread. The eventfd is edge-triggered and never read: each ring is an edge. */
static void doorbell_event(void *ctx, uint32_t events)
{
	struct virtio_queue_slot *slot = ctx;

	virtio_lock(slot->vd);
	kick(slot);
	virtio_unlock(slot->vd);
}

static void kick_at_once(struct virtio_queue_slot *slot)
{
	virtio_lock(slot->vd);
	if (slot->vd->in_kick) {
		slot->again = true;
	} else {
		unsigned int n = 0;

		do {
			slot->again = false;
			kick(slot);
		} while (slot->again && ++n < KICKS_AT_ONCE);
	}
	virtio_unlock(slot->vd);
}

static int doorbell_create(struct virtio_device *vd, unsigned int n)
{
	struct virtio_queue_slot *slot = &vd->queue[n];
	int fd = atomic_load(&slot->doorbell_fd), r;

	if (!vd->env->loop)
		return 0;
	if (fd < 0) {
		fd = sys_eventfd();
		if (fd < 0)
			return fd;
		atomic_store_explicit(&slot->doorbell_fd, fd, memory_order_release);
	}
	if (!slot->doorbell && !slot->outside) {
		r = loop_add(vd->env->loop, fd, EPOLLIN | EPOLLET, doorbell_event, slot, &slot->doorbell);
		if (r < 0)
			return r;
	}
	if (!slot->connected && vd->transport && vd->transport->doorbell)
		slot->connected = vd->transport->doorbell(vd->transport_ctx, n, fd, true) >= 0;
	return 0;
}

int virtio_serve_outside(struct virtio_device *vd, unsigned int n)
{
	vd->queue[n].outside = true;
	return vd->env->loop ? doorbell_create(vd, n) : -EOPNOTSUPP;
}

void virtio_ring(struct virtio_device *vd, uint32_t n)
{
	int fd;

	if (n >= vd->n_queues)
		return;
	/* The descriptor lives as long as vd, so no lock is needed; before the first activation there is none to ring. */
	fd = atomic_load_explicit(&vd->queue[n].doorbell_fd, memory_order_acquire);
	if (fd >= 0)
		sys_eventfd_signal(fd);
	else if (!vd->env->loop)
		kick_at_once(&vd->queue[n]);
}

void virtio_kick_later(struct virtio_device *vd, unsigned int n)
{
	virtio_ring(vd, n);
}

static void ring_all(struct virtio_device *vd)
{
	for (unsigned int i = 0; i < vd->n_queues; i++)
		if (queue_running(&vd->queue[i].q))
			virtio_ring(vd, i);
}

/* --- features and status --- */

uint32_t virtio_device_features(const struct virtio_device *vd)
{
	if (virtio_legacy(vd) && vd->s.device_features_sel)
		return 0;
	return vd->s.device_features_sel < 2 ? (uint32_t)(vd->offered >> (32 * vd->s.device_features_sel)) : 0;
}

void virtio_set_driver_features(struct virtio_device *vd, uint32_t word)
{
	unsigned int shift = 32 * vd->s.driver_features_sel;

	/* 3.1.1: FEATURES_OK ends the negotiation. Words past 63 are not offered; a driver can only accept nothing of them. */
	if (vd->resetting || vd->s.status & VIRTIO_STATUS_FEATURES_OK || vd->s.driver_features_sel > 1)
		return;
	vd->s.driver_features &= ~(UINT64_C(0xffffffff) << shift);
	vd->s.driver_features |= (uint64_t)word << shift;
	if (virtio_legacy(vd) && !vd->active) /* no FEATURES_OK: what is known of both holds at once */
		vd->features = (uint32_t)(vd->s.driver_features & vd->offered);
}

static bool features_ok(const struct virtio_device *vd)
{
	uint64_t f = vd->s.driver_features;

	if (virtio_legacy(vd) || f & ~vd->offered || !(f & FEATURE_VERSION_1))
		return false;
	return f & VIRTIO_ACCESS_PLATFORM || !(vd->offered & VIRTIO_ACCESS_PLATFORM);
}

bool virtio_accepts_status(const struct virtio_device *vd, uint8_t status)
{
	uint8_t old = vd->s.status, set = status & ~old;

	if (!status)
		return true;
	if (vd->resetting || set & ~STATUS_DRIVER_BITS || old & ~status & STATUS_DRIVER_BITS)
		return false;
	if (set & VIRTIO_STATUS_FEATURES_OK && (!(status & VIRTIO_STATUS_DRIVER) || !features_ok(vd)))
		return false;
	if (!(set & VIRTIO_STATUS_DRIVER_OK))
		return true;
	return (virtio_legacy(vd) || old & VIRTIO_STATUS_FEATURES_OK) && !(old & VIRTIO_STATUS_NEEDS_RESET);
}

void virtio_offer_access_platform(struct virtio_device *vd)
{
	vd->offered |= VIRTIO_ACCESS_PLATFORM;
	vd->modern = true;
}

/* Queues and device come alive. A failure is followed by NEEDS_RESET or a reset, which undo what was done. */
static int activate(struct virtio_device *vd, const char **ret_why)
{
	int r;

	for (unsigned int i = 0; i < vd->n_queues; i++) {
		struct queue *q = &vd->queue[i].q;

		if (!q->s.ready)
			continue;
		q->big_endian = virtio_legacy(vd);
		r = queue_start(q, vd->env->memory, vd->features);
		if (r < 0) {
			*ret_why = "a queue that is not aligned, not in RAM, or of a wrong size";
			return r;
		}
	}
	if (vd->class->activate) {
		r = vd->class->activate(vd->dev);
		if (r < 0) {
			*ret_why = err_name(r);
			return r;
		}
	}
	vd->active = true;
	for (unsigned int i = 0; i < vd->n_queues; i++) {
		if (!queue_running(&vd->queue[i].q))
			continue;
		r = doorbell_create(vd, i);
		if (r < 0) {
			*ret_why = err_name(r);
			return r;
		}
	}
	return 0;
}

static void stop_queues(struct virtio_device *vd)
{
	for (unsigned int i = 0; i < vd->n_queues; i++)
		queue_stop(&vd->queue[i].q);
}

/*
 * 2.4: when the driver reads 0 the device has forgotten everything. Requests in flight are waited for first (the lock is released
 * meanwhile, `resetting` keeps everybody else out), so no completion can reach memory or a ring of the next driver.
 */
static void reset(struct virtio_device *vd)
{
	vd->resetting = true;
	quiesce(vd);
	vd->active = false;
	stop_queues(vd);
	vd->signals = 0;
	if (vd->class->reset)
		vd->class->reset(vd->dev);
	for (unsigned int i = 0; i < vd->n_queues; i++) {
		queue_reset(&vd->queue[i].q, vd->queue[i].max_num);
		vd->queue[i].outside = false;
	}
	vd->features = 0;
	/* The generation goes on counting: a driver must not take the old one for the new. */
	vd->s = (struct virtio_state){.config_generation = vd->s.config_generation, .legacy = vd->s.legacy};
	vd->resetting = false;
	tell_changed(vd);
}

void virtio_set_status(struct virtio_device *vd, uint8_t status)
{
	uint8_t old = vd->s.status, set;
	const char *why = NULL;

	if (vd->resetting)
		return;
	if (!status) {
		reset(vd);
		return;
	}
	set = status & STATUS_DRIVER_BITS & ~old;
	if (set & VIRTIO_STATUS_FEATURES_OK) {
		/* 2.2.2: not accepted: the bit stays clear, and the driver sees that. */
		if (!((old | set) & VIRTIO_STATUS_DRIVER) || !features_ok(vd))
			set &= ~VIRTIO_STATUS_FEATURES_OK;
		else
			vd->features = vd->s.driver_features;
	}
	/* 3.1.1: queues are set up in between, so FEATURES_OK has been there before. */
	if (!(old & VIRTIO_STATUS_FEATURES_OK || virtio_legacy(vd)) || old & VIRTIO_STATUS_NEEDS_RESET)
		set &= ~VIRTIO_STATUS_DRIVER_OK;
	vd->s.status |= set;
	if (set & VIRTIO_STATUS_DRIVER_OK && !vd->active) {
		if (activate(vd, &why) < 0) {
			virtio_broken(vd, why);
			return;
		}
		tell_changed(vd);
		ring_all(vd); /* what was made available before */
		return;
	}
	tell_changed(vd);
}

void virtio_ring_early(struct virtio_device *vd, uint32_t n)
{
	const char *why = NULL;

	virtio_lock(vd);
	if (virtio_legacy(vd) && !vd->active && !vd->resetting && n < vd->n_queues && vd->queue[n].q.s.ready &&
	    !(vd->s.status & VIRTIO_STATUS_NEEDS_RESET)) {
		if (activate(vd, &why) < 0)
			virtio_broken(vd, why);
		else
			ring_all(vd);
	}
	virtio_unlock(vd);
}

int virtio_set_legacy(struct virtio_device *vd, bool legacy)
{
	if (legacy && (!VIRTIO_LEGACY || vd->modern || vd->config_size > CONFIG_MAX))
		return -EOPNOTSUPP;
	if (vd->s.status || vd->s.driver_features)
		reset(vd);
	vd->s.legacy = legacy;
	return 0;
}

/* --- queues --- */

struct virtio_queue_slot *virtio_selected_queue(struct virtio_device *vd)
{
	return vd->s.queue_sel < vd->n_queues ? &vd->queue[vd->s.queue_sel] : NULL;
}

/* The selected queue while the driver may set it up; after DRIVER_OK only a reset changes it. */
static struct virtio_queue_slot *changeable(struct virtio_device *vd)
{
	uint8_t phase = vd->s.status & (VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);

	if (vd->resetting || (virtio_legacy(vd) ? phase != 0 : phase != VIRTIO_STATUS_FEATURES_OK))
		return NULL;
	return virtio_selected_queue(vd);
}

void virtio_queue_set_num(struct virtio_device *vd, uint32_t num)
{
	struct virtio_queue_slot *slot = changeable(vd);

	if (!slot || slot->q.s.ready)
		return;
	slot->q.s.num = num <= slot->max_num ? num : 0; /* 0: refused at DRIVER_OK */
}

void virtio_queue_set_address(struct virtio_device *vd, enum virtio_area area, bool high, uint32_t word)
{
	struct virtio_queue_slot *slot = changeable(vd);
	uint64_t *at;

	if (!slot || slot->q.s.ready)
		return;
	at = area == VIRTIO_AREA_DESC	? &slot->q.s.desc
	     : area == VIRTIO_AREA_DRIVER ? &slot->q.s.driver
					  : &slot->q.s.device;
	if (high)
		*at = (uint32_t)*at | (uint64_t)word << 32;
	else
		*at = (*at & ~UINT64_C(0xffffffff)) | word;
}

void virtio_queue_set_ready(struct virtio_device *vd, uint32_t ready)
{
	struct virtio_queue_slot *slot = changeable(vd);

	if (!slot)
		return;
	slot->q.s.ready = ready & 1;
	tell_changed(vd);
}

int virtio_queue_configure(struct virtio_device *vd, uint32_t n, const struct queue_state *want)
{
	struct virtio_queue_slot *slot;

	if (n >= vd->n_queues)
		return -ENOENT;
	if (want->num > vd->queue[n].max_num)
		return -EINVAL;
	vd->s.queue_sel = n;
	slot = changeable(vd);
	if (!slot)
		return -EBUSY;
	queue_reset(&slot->q, slot->max_num);
	if (want->num) {
		slot->q.s.desc = want->desc;
		slot->q.s.driver = want->driver;
		slot->q.s.device = want->device;
		slot->q.s.num = want->num;
		slot->q.s.ready = true;
	}
	tell_changed(vd);
	return 0;
}

struct queue *virtio_queue(struct virtio_device *vd, unsigned int n)
{
	if (n >= vd->n_queues || !queue_running(&vd->queue[n].q))
		return NULL;
	return &vd->queue[n].q;
}

/* --- configuration space --- */

/* Legacy: from little- to big-endian, or back. [*from, *to) grows to whole fields, since their bytes change places. */
static void swap_fields(const struct virtio_device *vd, uint8_t *config, uint32_t *from, uint32_t *to)
{
	uint32_t at = 0, end;

	for (const char *width = vd->class->config_fields; width && *width; at = end, width++) {
		end = at + (uint32_t)*width;
		if (end > vd->config_size)
			return;
		if (*from > at && *from < end)
			*from = at;
		if (*to > at && *to < end)
			*to = end;
		for (uint32_t i = at, k = end - 1; i < k; i++, k--) {
			uint8_t byte = config[i];

			config[i] = config[k];
			config[k] = byte;
		}
	}
}

static void read_legacy(struct virtio_device *vd, uint8_t *ret)
{
	uint32_t from = 0, to = 0;

	vd->class->config_read(vd->dev, 0, ret, vd->config_size);
	swap_fields(vd, ret, &from, &to);
}

void virtio_config_read(struct virtio_device *vd, uint64_t offset, void *buf, unsigned int len)
{
	uint8_t config[CONFIG_MAX];

	memset(buf, 0, len);
	if (offset >= vd->config_size)
		return;
	if (virtio_legacy(vd)) {
		read_legacy(vd, config);
		memcpy(buf, config + offset, MIN(len, vd->config_size - offset));
		return;
	}
	vd->class->config_read(vd->dev, offset, buf, MIN(len, vd->config_size - offset));
}

void virtio_config_write(struct virtio_device *vd, uint64_t offset, const void *buf, unsigned int len)
{
	uint8_t config[CONFIG_MAX];

	if (vd->resetting || offset >= vd->config_size || !vd->class->config_write)
		return;
	len = MIN(len, vd->config_size - offset);
	if (virtio_legacy(vd)) {
		uint32_t from = (uint32_t)offset, to = from + len;

		read_legacy(vd, config);
		memcpy(config + offset, buf, len);
		swap_fields(vd, config, &from, &to);
		buf = config + from;
		offset = from;
		len = to - from;
	}
	vd->class->config_write(vd->dev, offset, buf, len);
	tell_changed(vd);
}

void virtio_config_changed(struct virtio_device *vd)
{
	vd->s.config_generation++;
	tell_changed(vd);
	/* 2.5.1, 2.3: no notification before DRIVER_OK. */
	if (vd->s.status & VIRTIO_STATUS_DRIVER_OK && vd->transport)
		vd->transport->notify_config(vd->transport_ctx);
}

/* --- for devices --- */

void virtio_signal(struct virtio_device *vd, unsigned int n)
{
	struct queue *q = virtio_queue(vd, n);

	if (!q)
		return;
	if (vd->in_kick) {
		vd->signals |= UINT64_C(1) << n;
		return;
	}
	if (queue_wants_interrupt(q) && vd->transport)
		vd->transport->notify_queue(vd->transport_ctx, n);
}

void virtio_broken(struct virtio_device *vd, const char *why)
{
	if (log_once(&vd->said_broken))
		log_warning(vd->env->log, "virtio-%s: the guest's driver broke the protocol: %s; the device waits to be reset", vd->class->name, why);
	if (vd->s.status & VIRTIO_STATUS_NEEDS_RESET)
		return;
	vd->s.status |= VIRTIO_STATUS_NEEDS_RESET;
	tell_changed(vd);
	/* 2.1.2: with DRIVER_OK set, the driver is told. */
	if (vd->s.status & VIRTIO_STATUS_DRIVER_OK && vd->transport)
		vd->transport->notify_config(vd->transport_ctx);
}

void virtio_serve(struct virtio_device *vd, unsigned int n, const struct virtio_service *service)
{
	struct queue *q = virtio_queue(vd, n);
	unsigned int budget = service->batch;

	if (!q)
		return;
	do {
		int64_t r = 0;

		queue_doorbell_off(q);
		while (budget) {
			struct chain c = { .iov = service->iov, .cap = service->cap };

			r = queue_pop(q, &c);
			if (r <= 0)
				break;
			budget--;
			r = service->serve(vd->dev, &c);
			if (r < 0)
				break;
			queue_push(q, &c, (uint32_t)r);
		}
		if (r < 0) {
			virtio_broken(vd, service->why);
			return;
		}
		if (budget < service->batch)
			virtio_signal(vd, n);
		if (!budget) {
			virtio_kick_later(vd, n);
			return;
		}
	} while (queue_doorbell_on(q));
}

void virtio_get(struct virtio_device *vd)
{
	vd->in_flight++;
}

void virtio_put(struct virtio_device *vd)
{
	if (--vd->in_flight)
		return;
	pthread_cond_broadcast(&vd->idle);
	if (vd->destroying && vd->env->loop)
		loop_stop(vd->env->loop);
}

void virtio_wait_idle(struct virtio_device *vd)
{
	while (vd->in_flight) {
		if (vd->destroying && vd->env->loop) {
			/* Nobody else turns the loop any more. */
			virtio_unlock(vd);
			loop_run(vd->env->loop);
			virtio_lock(vd);
		} else if (vd->env->loop && loop_is_self(vd->env->loop)) {
			/* A control command pauses on the thread that completions need. */
			virtio_unlock(vd);
			loop_turn(vd->env->loop, -1);
			virtio_lock(vd);
		} else {
			pthread_cond_wait(&vd->idle, &vd->lock);
		}
	}
}

/* --- for the VM --- */

void virtio_pause(struct virtio_device *vd)
{
	virtio_lock(vd);
	vd->paused = true;
	quiesce(vd);
	virtio_unlock(vd);
}

void virtio_resume(struct virtio_device *vd)
{
	virtio_lock(vd);
	vd->paused = false;
	if (virtio_running(vd) && vd->class->resume) {
		int r = vd->class->resume(vd->dev);

		if (r < 0)
			virtio_broken(vd, err_name(r));
	}
	if (vd->active)
		ring_all(vd); /* stands for every doorbell that was ignored */
	virtio_unlock(vd);
}

#define SAVE_MAGIC UINT32_C(0x6f697672) /* "rvio" */
#define SAVE_VERSION 2

struct save_header {
	uint32_t magic, version, device_id, n_queues, state_version, state_size;
	struct virtio_state s;
};

static size_t save_size(const struct virtio_device *vd)
{
	return sizeof(struct save_header) + vd->n_queues * sizeof(struct queue_state) + vd->class->state_size;
}

static void fill_header(const struct virtio_device *vd, struct save_header *h)
{
	memset(h, 0, sizeof(*h)); /* padding, too */
	h->magic = SAVE_MAGIC;
	h->version = SAVE_VERSION;
	h->device_id = vd->class->device_id;
	h->n_queues = vd->n_queues;
	h->state_version = vd->class->state_version;
	h->state_size = vd->class->state_size;
	h->s.driver_features = vd->s.driver_features;
	h->s.device_features_sel = vd->s.device_features_sel;
	h->s.driver_features_sel = vd->s.driver_features_sel;
	h->s.queue_sel = vd->s.queue_sel;
	h->s.config_generation = vd->s.config_generation;
	h->s.status = vd->s.status;
	h->s.legacy = vd->s.legacy;
}

int64_t virtio_save(struct virtio_device *vd, void *buf, size_t len)
{
	size_t size = save_size(vd);
	struct save_header h;
	char *at = buf;
	int r = 0;

	if (!buf)
		return size;
	if (len < size)
		return -ENOSPC;
	virtio_lock(vd);
	if (!vd->paused || vd->in_flight) {
		virtio_unlock(vd);
		return -EBUSY;
	}
	fill_header(vd, &h);
	memcpy(at, &h, sizeof(h));
	at += sizeof(h);
	for (unsigned int i = 0; i < vd->n_queues; i++, at += sizeof(struct queue_state))
		memcpy(at, &vd->queue[i].q.s, sizeof(struct queue_state));
	memset(at, 0, vd->class->state_size);
	if (vd->class->save)
		r = vd->class->save(vd->dev, at);
	virtio_unlock(vd);
	return r < 0 ? r : (int64_t)size;
}

static int load_locked(struct virtio_device *vd, const char *buf, struct err *e)
{
	const char *queues = buf + sizeof(struct save_header);
	const char *state = queues + vd->n_queues * sizeof(struct queue_state);
	const uint8_t known = STATUS_DRIVER_BITS | VIRTIO_STATUS_NEEDS_RESET;
	const char *why = "the device refuses it";
	struct save_header h, mine;
	int r;

	if (!vd->paused || vd->active || vd->s.status)
		return err_set(e, -EBUSY, "virtio-%s: a state can only be loaded into a new, paused device", vd->class->name);
	memcpy(&h, buf, sizeof(h));
	fill_header(vd, &mine);
	if (memcmp(&h, &mine, offsetof(struct save_header, s)))
		return err_set(e, -EINVAL, "virtio-%s: the saved state is of another device or version", vd->class->name);
	if (*(const uint8_t *)&h.s.legacy != virtio_legacy(vd))
		return err_set(e, -EINVAL, "virtio-%s: the saved state is of another sort of driver than its transport's", vd->class->name);
	vd->s = h.s;
	if (h.s.status & ~known || (h.s.status & VIRTIO_STATUS_FEATURES_OK && !features_ok(vd)) ||
	    (h.s.status & VIRTIO_STATUS_DRIVER_OK && !(h.s.status & VIRTIO_STATUS_FEATURES_OK) && !virtio_legacy(vd))) {
		r = -EINVAL;
		why = "its status or features are not this device's";
		goto fail;
	}
	vd->features = h.s.status & VIRTIO_STATUS_FEATURES_OK ? h.s.driver_features :
		       virtio_legacy(vd) ? (uint32_t)(h.s.driver_features & vd->offered) : 0;
	for (unsigned int i = 0; i < vd->n_queues; i++, queues += sizeof(struct queue_state)) {
		struct queue_state *s = &vd->queue[i].q.s;

		memcpy(s, queues, sizeof(*s));
		/* A bool that was read from a file may be anything. */
		s->ready = *(const uint8_t *)&s->ready & 1;
		s->avail_wrap = *(const uint8_t *)&s->avail_wrap & 1;
		s->used_wrap = *(const uint8_t *)&s->used_wrap & 1;
		s->signalled_valid = *(const uint8_t *)&s->signalled_valid & 1;
		if (s->num > vd->queue[i].max_num) {
			r = -EINVAL;
			why = "a queue is larger than this device's";
			goto fail;
		}
	}
	if (h.s.status & VIRTIO_STATUS_DRIVER_OK && !(h.s.status & VIRTIO_STATUS_NEEDS_RESET) && (r = activate(vd, &why)) < 0)
		goto fail;
	if (vd->class->load && (r = vd->class->load(vd->dev, state)) < 0)
		goto fail;
	tell_changed(vd);
	for (unsigned int i = 0; i < vd->n_queues && vd->active; i++)
		if (queue_running(&vd->queue[i].q) && vd->transport)
			vd->transport->notify_queue(vd->transport_ctx, i);
	return 0;
fail:
	reset(vd);
	return err_set(e, r, "virtio-%s: the saved state does not fit: %s", vd->class->name, why);
}

int virtio_load(struct virtio_device *vd, const void *buf, size_t len, struct err *e)
{
	int r;

	if (len != save_size(vd))
		return err_set(e, -EINVAL, "virtio-%s: the saved state has %zu bytes, not %zu", vd->class->name, len, save_size(vd));
	virtio_lock(vd);
	r = load_locked(vd, buf, e);
	virtio_unlock(vd);
	return r;
}
