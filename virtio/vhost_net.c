// SPDX-License-Identifier: MIT
#include "virtio/vhost_net.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/sys.h"

#define F_MQ 22
#define USED_IDX 2 /* 2.7.8: flags, idx */

struct vhost_side {
	struct vhost_net *net;
	unsigned int n; /* the queue */
	int call, err;
	struct loop_source *call_source; /* watched when the transport takes no eventfd */
	struct loop_source *err_source;
	bool connected; /* the transport took it */
};

struct vhost_net {
	struct virtio_device *vd;
	struct vhost *vhost;
	struct link *link;
	unsigned int pairs, active; /* active: those the driver knows of */
	bool started;
	struct vhost_side side[];
};

/* Loop thread: used buffers that vhost says the driver wants to hear of. */
static void on_call(void *ctx, uint32_t events)
{
	struct vhost_side *side = ctx;
	struct virtio_device *vd = side->net->vd;

	virtio_lock(vd);
	if (vd->active && !side->connected && vd->transport)
		vd->transport->notify_queue(vd->transport_ctx, side->n);
	virtio_unlock(vd);
}

static void on_err(void *ctx, uint32_t events)
{
	struct vhost_side *side = ctx;

	virtio_lock(side->net->vd);
	if (side->net->started) {
		vhost_net_stop(side->net);
		virtio_broken(side->net->vd, side->n % 2 ? "net: the transmit queue is malformed" : "net: the receive queue is malformed");
	}
	virtio_unlock(side->net->vd);
}

int vhost_net_create(struct virtio_device *vd, struct vhost *vhost, struct link *link, unsigned int pairs, struct vhost_net **ret)
{
	CLEANUP(cleanup_vhost_net_destroy) struct vhost_net *v = calloc(1, sizeof(*v) + 2 * pairs * sizeof(v->side[0]));

	if (!v)
		return -ENOMEM;
	v->vd = vd;
	v->link = link;
	v->pairs = pairs;
	for (unsigned int i = 0; i < 2 * pairs; i++)
		v->side[i] = (struct vhost_side){ .net = v, .n = i, .call = -1, .err = -1 };
	for (unsigned int i = 0; i < 2 * pairs; i++) {
		struct vhost_side *side = &v->side[i];
		int r;

		if ((side->call = sys_eventfd()) < 0)
			return side->call;
		if ((side->err = sys_eventfd()) < 0)
			return side->err;
		r = loop_add(vd->env->loop, side->err, EPOLLIN | EPOLLET, on_err, side, &side->err_source);
		if (r < 0)
			return r;
	}
	v->vhost = vhost;
	*ret = TAKE(v);
	return 0;
}

void vhost_net_destroy(struct vhost_net *v)
{
	if (!v)
		return;
	vhost_close(v->vhost);
	for (unsigned int i = 0; i < 2 * v->pairs; i++) {
		loop_remove(v->side[i].call_source);
		loop_remove(v->side[i].err_source);
		close_fd(&v->side[i].call);
		close_fd(&v->side[i].err);
	}
	free(v);
}

int vhost_net_activate(struct vhost_net *v)
{
	int r = 0;

	v->active = virtio_has(v->vd, F_MQ) ? v->pairs : 1; /* 5.1.2: without it queue 2 is the control queue */
	for (unsigned int i = 0; i < 2 * v->active && r >= 0; i++)
		if (virtio_queue(v->vd, i))
			r = virtio_serve_outside(v->vd, i);
	return r < 0 ? r : 0;
}

/* Has vhost's signals reach the driver. */
static int connect_call(struct vhost_side *side)
{
	struct virtio_device *vd = side->net->vd;

	if (vd->transport && vd->transport->call)
		side->connected = vd->transport->call(vd->transport_ctx, side->n, side->call, true) >= 0;
	if (side->connected || side->call_source)
		return 0;
	return loop_add(vd->env->loop, side->call, EPOLLIN | EPOLLET, on_call, side, &side->call_source);
}

static void disconnect_call(struct vhost_side *side)
{
	struct virtio_device *vd = side->net->vd;

	if (side->connected && vd->transport)
		vd->transport->call(vd->transport_ctx, side->n, side->call, false);
	side->connected = false;
}

static int start_pair(struct vhost_net *v, unsigned int pair)
{
	struct vhost_ring ring[2] = { 0 };

	for (unsigned int i = 0; i < 2; i++) {
		struct vhost_side *side = &v->side[2 * pair + i];
		struct queue *q = virtio_queue(v->vd, side->n);
		int r;

		if (!q)
			continue;
		r = connect_call(side);
		if (r < 0)
			return r;
		ring[i] = (struct vhost_ring){
			.desc = q->desc.p,
			.driver = q->driver.p,
			.device = q->device.p,
			.num = q->s.num,
			.next_avail = q->s.next_avail,
			.kick = virtio_doorbell(v->vd, side->n),
			.call = side->call,
			.err = side->err,
		};
	}
	return vhost_start(v->vhost, pair, v->vd->features, ring, link_fd(v->link, pair));
}

int vhost_net_start(struct vhost_net *v)
{
	int r = 0;

	v->started = true;
	for (unsigned int i = 0; i < v->active && r >= 0; i++)
		r = start_pair(v, i);
	if (r < 0)
		vhost_net_stop(v);
	/* What was used before a pause may not have been told. */
	for (unsigned int i = 0; i < 2 * v->active && r >= 0; i++)
		if (virtio_queue(v->vd, i) && v->vd->queue[i].q.s.next_used)
			sys_eventfd_signal(v->side[i].call);
	return r;
}

void vhost_net_stop(struct vhost_net *v)
{
	if (!v->started)
		return;
	v->started = false;
	for (unsigned int pair = 0; pair < v->active; pair++) {
		uint16_t next[2];

		for (unsigned int i = 0; i < 2; i++)
			next[i] = v->vd->queue[2 * pair + i].q.s.next_avail;
		vhost_stop(v->vhost, pair, next);
		for (unsigned int i = 0; i < 2; i++) {
			struct queue *q = virtio_queue(v->vd, 2 * pair + i);

			disconnect_call(&v->side[2 * pair + i]);
			if (!q)
				continue;
			q->s.next_avail = next[i];
			/* Where vhost, too, goes on from: it keeps this position nowhere else. */
			q->s.next_used = slice_load_le16(&q->device, USED_IDX, memory_order_acquire);
			q->s.signalled_valid = false;
		}
	}
}
