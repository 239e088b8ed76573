// SPDX-License-Identifier: MIT
/*
 * The one device status machine (virtio 1.3, 2.1 to 2.6 and 3.1), shared by every transport and device. A device gives a const class
 * and its own state; a transport gives const ops. The core alone owns negotiation, selectors, generation and the order of reset; a queue cannot
 * change after activation (DRIVER_OK).
 *
 * Locking: one mutex a device, recursive, since loop_submit may complete a request while kick is still running. vCPU threads enter through the
 * transport, the loop thread through doorbells and completions. Every class op except destroy is called with the lock held; completions
 * take it themselves with virtio_lock().
 *
 * A device that is reset or paused waits for its requests in flight, which complete on the loop thread. On that thread itself virtio_pause() turns the
 * loop meanwhile (so handlers of other sources run inside it); a transport's registers are for other threads.
 */
#ifndef LKVM_VIRTIO_DEVICE_H
#define LKVM_VIRTIO_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/endian.h"
#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "loop/loop.h"
#include "memory.h"
#include "virtio/queue.h"

#define VIRTIO_MAX_QUEUES 34 /* the largest device: 16 net queue pairs and a control queue */

struct virtio_device;

/* What a device needs of its VM; outlives the device. */
struct virtio_env {
	struct memory *memory;
	struct loop *loop; /* NULL: kicks run in virtio_ring() itself (tests and fuzzers of devices that need no loop) */
	const struct log *log;
};

/* Features that the core and the queues serve for every device. */
#define VIRTIO_CORE_FEATURES                                                                       \
	(UINT64_C(1) << 32 /* VERSION_1 */ | UINT64_C(1) << 34 /* RING_PACKED */ |                 \
	 UINT64_C(1) << 28 /* INDIRECT_DESC */ | UINT64_C(1) << 29 /* EVENT_IDX */)
#define VIRTIO_ACCESS_PLATFORM (UINT64_C(1) << 33)

struct virtio_class {
	const char *name;   /* "blk" */
	uint32_t device_id; /* virtio 1.3, section 5 */
	/* Widths of the configuration space's fields, in order; what follows them are bytes. For legacy drivers of big-endian guests; NULL: no field has more than a byte. */
	const char *config_fields;
	uint32_t state_version, state_size; /* of the plain state struct behind save and load */
	/* Copies len bytes at offset of the configuration space; the core has checked that they lie in config_size. */
	void (*config_read)(void *dev, uint32_t offset, void *buf, uint32_t len);
	void (*config_write)(void *dev, uint32_t offset, const void *buf, uint32_t len); /* may be NULL */
	/* DRIVER_OK: features and queues are final (vd->features, vd->queue[]). -errno makes the core set NEEDS_RESET. May be NULL. */
	int (*activate)(void *dev);
	/* The driver rang queue n: on the loop thread, device active, queue running. */
	void (*kick)(void *dev, unsigned int n);
	/* Let nothing touch guest memory when it returns: cancel or wait for what is in flight (virtio_wait_idle helps). May be NULL. */
	void (*quiesce)(void *dev);
	/* After a pause, device active: what quiesce stopped and no kick restarts. -errno makes the core set NEEDS_RESET. May be NULL. */
	int (*resume)(void *dev);
	/* After quiesce, on device reset: back to the state after creation. May be NULL. */
	void (*reset)(void *dev);
	int (*save)(void *dev, void *state); /* -errno when it has what cannot go elsewhere */
	int (*load)(void *dev, const void *state); /* -errno when the state is not one */
	void (*destroy)(void *dev); /* not locked; after quiesce */
};

/* A transport: how the driver is told. Called with the device's lock held. */
struct virtio_transport_ops {
	void (*notify_queue)(void *t, unsigned int n);	/* used buffers */
	void (*notify_config)(void *t);			/* configuration changed, or NEEDS_RESET */
	/* Something that registers show has changed (status, selectors, config, generation): refresh mirrors. May be NULL. */
	void (*changed)(void *t);
	/* Connects or disconnects an eventfd to the driver's doorbell of queue n; -errno: the transport traps it and calls virtio_ring(). */
	int (*doorbell)(void *t, unsigned int n, int fd, bool connect);
	/*
	 * Has each signal of fd tell the driver of used buffers in queue n, without us (connect false: no longer). -errno: it cannot, and whoever has the
	 * eventfd calls notify_queue. May be NULL.
	 */
	int (*call)(void *t, unsigned int n, int fd, bool connect);
};

/* Device status (2.1). */
enum {
	VIRTIO_STATUS_ACKNOWLEDGE = 1,
	VIRTIO_STATUS_DRIVER = 2,
	VIRTIO_STATUS_DRIVER_OK = 4,
	VIRTIO_STATUS_FEATURES_OK = 8,
	VIRTIO_STATUS_NEEDS_RESET = 64,
	VIRTIO_STATUS_FAILED = 128,
};

/* Plain state that the guest can see; saved and loaded by copy. */
struct virtio_state {
	uint64_t driver_features;
	uint32_t device_features_sel, driver_features_sel, queue_sel;
	uint32_t config_generation;
	uint8_t status;
	bool legacy; /* the driver knows the time before 1.0 only, in a big-endian guest: rings, configuration space and device structures are big-endian */
};

struct virtio_queue_slot {
	struct queue q;
	uint16_t max_num;
	atomic_int doorbell_fd; /* -1 until the queue is first active; then kept until destroy, as other threads ring it without a lock */
	struct loop_source *doorbell;
	bool connected; /* the transport rings doorbell_fd by itself */
	bool outside;	/* virtio_serve_outside() */
	bool again;	/* without a loop: virtio_kick_later() during kick */
	struct virtio_device *vd;
};

struct virtio_device {
	const struct virtio_class *class;
	void *dev; /* the device's own structure */
	const struct virtio_env *env;
	const struct virtio_transport_ops *transport;
	void *transport_ctx;
	pthread_mutex_t lock;
	pthread_cond_t idle; /* in_flight became 0 */
	unsigned int in_flight;
	uint64_t offered;  /* features the device offers, core's included */
	uint64_t features; /* negotiated, valid from FEATURES_OK on */
	uint32_t config_size;
	struct virtio_state s;
	bool active, paused;
	bool resetting;	       /* a reset waits for requests in flight: the driver's other accesses change nothing */
	bool modern;	       /* no legacy driver is served */
	bool destroying;       /* virtio_put() ends the turn of the loop that virtio_destroy() waits in */
	unsigned int in_kick;
	uint64_t signals;      /* queues to signal at the end of kick */
	atomic_int said_broken;
	unsigned int n_queues;
	struct virtio_queue_slot queue[]; /* n_queues */
};

/*
 * Makes the core for a device. `offered` are the device's own feature bits; VIRTIO_CORE_FEATURES are added. queue_sizes: the maximum for each queue (1 to QUEUE_MAX_SIZE).
 * The core owns dev from success on and destroys it through the class.
 */
int virtio_create(const struct virtio_class *class, void *dev, const struct virtio_env *env, uint64_t offered,
		  uint32_t config_size, const uint16_t *queue_sizes, unsigned int n_queues,
		  struct virtio_device **ret);
/*
 * Quiesces, disconnects and destroys. The loop must be stopped or the caller be on it: requests still in flight are waited for by turning
 * the loop here. NULL is fine.
 */
void virtio_destroy(struct virtio_device *vd);
DEFINE_CLEANUP(virtio_device, virtio_destroy)

static inline void virtio_lock(struct virtio_device *vd)
{
	pthread_mutex_lock(&vd->lock);
}

static inline void virtio_unlock(struct virtio_device *vd)
{
	pthread_mutex_unlock(&vd->lock);
}

/* --- for transports (lock held unless said otherwise) --- */
/* Takes the lock itself. ops NULL: the transport goes away; its doorbells are disconnected first. */
void virtio_connect(struct virtio_device *vd, const struct virtio_transport_ops *ops, void *ctx);
uint32_t virtio_device_features(const struct virtio_device *vd);	  /* the selected word; 0 beyond 63 */
void virtio_set_driver_features(struct virtio_device *vd, uint32_t word); /* the selected word; only before FEATURES_OK */
/*
 * 3.1.1: FEATURES_OK refused for bits not offered, without VERSION_1, or without ACCESS_PLATFORM when that is offered; DRIVER_OK activates; bits are never cleared but by writing
 * 0, which resets.
 */
void virtio_set_status(struct virtio_device *vd, uint8_t status);
/* Whether that would leave exactly this status, but for what the device itself says. */
bool virtio_accepts_status(const struct virtio_device *vd, uint8_t status);
/*
 * Says which sort of driver comes, from the next negotiation on; a device that a driver has begun with is reset first. Legacy is for transports whose legacy drivers are
 * big-endian. -EOPNOTSUPP: this device serves no legacy driver.
 */
int virtio_set_legacy(struct virtio_device *vd, bool legacy);
/* The selected queue, or NULL when there is none. */
struct virtio_queue_slot *virtio_selected_queue(struct virtio_device *vd);
/* Changes to a queue are taken only from FEATURES_OK to DRIVER_OK and while it is not ready; otherwise ignored. */
void virtio_queue_set_num(struct virtio_device *vd, uint32_t num);
enum virtio_area { VIRTIO_AREA_DESC, VIRTIO_AREA_DRIVER, VIRTIO_AREA_DEVICE };
void virtio_queue_set_address(struct virtio_device *vd, enum virtio_area area, bool high, uint32_t word);
void virtio_queue_set_ready(struct virtio_device *vd, uint32_t ready);
/* All of it at once, for queue n: ready, or with num 0 not. -ENOENT: there is none; -EINVAL: num is above its maximum; -EBUSY: not the time for it. */
int virtio_queue_configure(struct virtio_device *vd, uint32_t n, const struct queue_state *want);
/* The driver rang queue n (any number); thread-safe, lock not needed. */
void virtio_ring(struct virtio_device *vd, uint32_t n);
/*
 * The same, where it cannot go by eventfd. 3.1.2: legacy drivers use a device before they set DRIVER_OK, and their first ring of a queue stands for it. Takes the lock; virtio_ring()
 * does not.
 */
void virtio_ring_early(struct virtio_device *vd, uint32_t n);
/* Out-of-range parts read as 0 and swallow writes. */
void virtio_config_read(struct virtio_device *vd, uint64_t offset, void *buf, unsigned int len);
void virtio_config_write(struct virtio_device *vd, uint64_t offset, const void *buf, unsigned int len);

/* --- for devices (lock held) --- */
static inline bool virtio_has(const struct virtio_device *vd, unsigned int bit)
{
	return vd->features >> bit & 1;
}
static inline bool virtio_legacy(const struct virtio_device *vd)
{
	return VIRTIO_LEGACY && vd->s.legacy;
}
/* Numbers of a request or reply: little-endian, but for legacy drivers. */
#define VIRTIO_NUMBER(bits)                                                                        \
	static inline uint##bits##_t virtio_get##bits(const struct virtio_device *vd, const void *p) \
	{                                                                                          \
		return virtio_legacy(vd) ? get_be##bits(p) : get_le##bits(p);                           \
	}                                                                                          \
	static inline void virtio_put##bits(const struct virtio_device *vd, void *p, uint##bits##_t v) \
	{                                                                                          \
		if (virtio_legacy(vd))                                                               \
			put_be##bits(p, v);                                                        \
		else                                                                               \
			put_le##bits(p, v);                                                        \
	}
VIRTIO_NUMBER(16)
VIRTIO_NUMBER(32)
VIRTIO_NUMBER(64)
#undef VIRTIO_NUMBER
/* May new requests be taken? kick is only called then; other sources of work (input) ask, or go through virtio_kick_later(). */
static inline bool virtio_running(const struct virtio_device *vd)
{
	return vd->active && !vd->paused && !vd->resetting && !(vd->s.status & VIRTIO_STATUS_NEEDS_RESET);
}
/* NULL when the queue is not running. Usable for pushes while a pause or reset waits for what is in flight. */
struct queue *virtio_queue(struct virtio_device *vd, unsigned int n);
/* After pushes: interrupts the driver if it wants to be. Within kick it is remembered, and done once when kick returns. */
void virtio_signal(struct virtio_device *vd, unsigned int n);
/* The device's configuration space changed: new generation, interrupt. */
void virtio_config_changed(struct virtio_device *vd);
/* The guest broke the protocol on queue n: NEEDS_RESET, said once in the log, nothing is processed until reset. */
void virtio_broken(struct virtio_device *vd, const char *why);
/* Requests that outlive kick(): count them; quiesce waits with virtio_wait_idle (releases the lock while waiting; the loop keeps turning). */
void virtio_get(struct virtio_device *vd);
void virtio_put(struct virtio_device *vd);
void virtio_wait_idle(struct virtio_device *vd);
/*
 * The kick of a queue whose requests are answered at once: takes up to `batch` of them into iov[cap] and pushes what `serve` answers, the bytes written; below 0:
 * the request is malformed. Signals, asks to go on later, or breaks the device with `why`, as it turns out.
 */
struct virtio_service {
	struct iovec *iov;
	unsigned int cap, batch;
	int64_t (*serve)(void *dev, struct chain *c);
	const char *why;
};
void virtio_serve(struct virtio_device *vd, unsigned int n, const struct virtio_service *service);
/* Asks for kick(n) from the loop soon (to go on after a bounded batch, or when input came). Any thread. */
void virtio_kick_later(struct virtio_device *vd, unsigned int n);
/*
 * From class->activate: until the next reset queue n is served by somebody else (the kernel's vhost), and rings reach virtio_doorbell() alone; class->kick is
 * not called for it. 0 or -errno.
 */
int virtio_serve_outside(struct virtio_device *vd, unsigned int n);
/* The eventfd that rings of queue n signal; never read. */
static inline int virtio_doorbell(struct virtio_device *vd, unsigned int n)
{
	return atomic_load(&vd->queue[n].doorbell_fd);
}

/* --- for the VM --- */
/*
 * Before the device is connected to its transport: it offers VIRTIO_F_ACCESS_PLATFORM and works with no driver that does not accept it (6.2 allows that). Its addresses are
 * guest physical ones as ever.
 */
void virtio_offer_access_platform(struct virtio_device *vd);
/* Stops and restarts processing around pause, save and load; doorbells rung meanwhile are kept. */
void virtio_pause(struct virtio_device *vd);
void virtio_resume(struct virtio_device *vd);
/*
 * A serial picture of virtio_state, each queue_state, and the device's own state: its size, or -errno (-EBUSY when not paused, -ENOSPC, the device's). Size query with buf NULL.
 * virtio_load wants a device in its state after creation, of the same class, features and queues, and of a transport that has said which sort of driver it has. It activates (class->activate), then class->load,
 * and notifies every queue, since the interrupt's own state is the transport's. Both while paused.
 */
int64_t virtio_save(struct virtio_device *vd, void *buf, size_t len);
int virtio_load(struct virtio_device *vd, const void *buf, size_t len, struct err *e);

#endif
