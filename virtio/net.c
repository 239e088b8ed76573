// SPDX-License-Identifier: MIT
#include "virtio/net.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <sys/epoll.h>

#include "base/endian.h"
#include "virtio/vhost_net.h"

/* 5.1.3 */
enum {
	F_CSUM = 0,
	F_GUEST_CSUM = 1,
	F_CTRL_GUEST_OFFLOADS = 2,
	F_MTU = 3,
	F_MAC = 5,
	F_GUEST_TSO4 = 7,
	F_GUEST_TSO6 = 8,
	F_GUEST_ECN = 9,
	F_HOST_TSO4 = 11,
	F_HOST_TSO6 = 12,
	F_HOST_ECN = 13,
	F_MRG_RXBUF = 15,
	F_STATUS = 16,
	F_CTRL_VQ = 17,
	F_CTRL_RX = 18,
	F_CTRL_VLAN = 19,
	F_MQ = 22,
	F_CTRL_MAC_ADDR = 23,
};

#define BIT(n) (UINT64_C(1) << (n))
#define GUEST_OFFLOADS (BIT(F_GUEST_CSUM) | BIT(F_GUEST_TSO4) | BIT(F_GUEST_TSO6) | BIT(F_GUEST_ECN))
#define HOST_OFFLOADS (BIT(F_CSUM) | BIT(F_HOST_TSO4) | BIT(F_HOST_TSO6) | BIT(F_HOST_ECN))

/* Configuration space, 5.1.4: offsets. */
enum { C_MAC = 0, C_STATUS = 6, C_PAIRS = 8, C_MTU = 10, C_SIZE = 12 };
#define STATUS_LINK_UP 1

/* The header, 5.1.6: offsets; flags and types. */
enum { H_FLAGS = 0, H_GSO_TYPE = 1, H_GSO_SIZE = 4, H_NUM_BUFFERS = 10 };
#define H_NEEDS_CSUM 1
#define H_LEGACY 10 /* bytes of a legacy driver's without MRG_RXBUF: no num_buffers */
enum { GSO_NONE = 0, GSO_TCPV4 = 1, GSO_TCPV6 = 4, GSO_ECN = 0x80 };

/* The control queue, 5.1.6.5 */
enum { CTRL_RX = 0, CTRL_MAC = 1, CTRL_VLAN = 2, CTRL_MQ = 4, CTRL_GUEST_OFFLOADS = 5 };
enum { CTRL_MAC_TABLE_SET = 0, CTRL_MAC_ADDR_SET = 1 };
enum { CTRL_OK = 0, CTRL_ERR = 1 };

#define DEVICE_ID_NET 1
#define QUEUE_SIZE 256
#define FRAME_MAX 65600	/* header, Ethernet, VLAN tag and the largest IP packet, with some room */
#define FRAME_EXTRA 30	/* what a frame has beside the MTU: header, Ethernet, VLAN tag */
#define BATCH 64	/* frames of one kick before others get their turn */
#define CTRL_BATCH 16
#define CHAIN_IOV (QUEUE_SIZE + MEMORY_MAX_REGIONS)
#define HELD_MAX 64	/* receive buffers taken from the ring ahead of time: 64 KiB in pages of 1.5 KiB and more */
#define RX_IOV (LINK_MAX_IOV - 1)

/*
 * A queue pair. Receive buffers are taken from the ring before a frame is read, enough for the largest one, and stay held until frames use them. What a frame
 * has more than the guest offers just now waits in `spill` for buffers.
 */
struct pair {
	struct net *net;
	unsigned int index;
	struct loop_source *source;
	bool tx_blocked, delivered;
	unsigned int first, n_held;	     /* held[first..first + n_held) */
	unsigned int iov_first, iov_end;     /* their iovecs, in the same order */
	uint64_t room;			     /* bytes in them */
	uint64_t frame;			     /* length of the frame that waits, 0: none */
	uint64_t direct;		     /* so much of it is in the held buffers already */
	struct chain held[HELD_MAX];
	struct iovec iov[RX_IOV + 1];
	char spill[FRAME_MAX];
};

/* What the guest can see or has set. */
struct net_state {
	uint64_t offloads; /* guest's, a subset of the negotiated ones */
	uint16_t pairs;	   /* in use */
	uint16_t status;
	uint8_t mac[6];
	uint8_t reserved[6];
};

struct net {
	struct virtio_device *vd;
	struct link *link;
	struct vhost_net *vhost; /* serves the pairs, or NULL */
	struct net_state s;
	uint8_t mac[6];
	uint16_t mtu;
	unsigned int n_pairs;
	struct iovec iov[CHAIN_IOV + 1]; /* sending, control */
	struct pair pair[];
};

/* --- settings --- */

static int apply(struct net *net)
{
	static const struct {
		uint8_t feature;
		unsigned int tun;
	} map[] = {
		{F_GUEST_CSUM, TUN_F_CSUM},
		{F_GUEST_TSO4, TUN_F_TSO4},
		{F_GUEST_TSO6, TUN_F_TSO6},
		{F_GUEST_ECN, TUN_F_TSO_ECN},
	};
	unsigned int flags = 0;
	int r;

	/* 5.1.3.1: segmentation needs checksum offload. */
	if (net->s.offloads & BIT(F_GUEST_CSUM))
		for (unsigned int i = 0; i < ARRAY_SIZE(map); i++)
			if (net->s.offloads & BIT(map[i].feature))
				flags |= map[i].tun;
	r = link_set_offloads(net->link, flags);
	if (r >= 0)
		r = link_set_pairs(net->link, net->s.pairs);
	return r;
}

static void lose_link(struct net *net, int r)
{
	if (!net->s.status)
		return;
	log_warning(net->vd->env->log, "net: the interface %s is gone: %s", link_info(net->link)->ifname, err_name(r));
	net->s.status = 0;
	virtio_config_changed(net->vd);
}

/* --- the header of a legacy driver, 5.1.6.1 --- */

static size_t header_size(const struct net *net)
{
	return virtio_legacy(net->vd) && !virtio_has(net->vd, F_MRG_RXBUF) ? H_LEGACY : LINK_HEADER;
}

/* Between the driver's byte order and the link's, which are one but for legacy drivers. */
static void header_order(const struct net *net, uint8_t *h)
{
	for (unsigned int at = 2; virtio_legacy(net->vd) && at < H_NUM_BUFFERS; at += 2)
		put_le16(h + at, virtio_get16(net->vd, h + at));
}

/* --- receive --- */

/* Makes room at the end of the tables by moving what is held to their start. */
static void rx_compact(struct pair *p)
{
	unsigned int n = p->iov_end - p->iov_first;

	memmove(p->held, p->held + p->first, p->n_held * sizeof(p->held[0]));
	memmove(p->iov, p->iov + p->iov_first, n * sizeof(p->iov[0]));
	for (unsigned int i = 0; i < p->n_held; i++)
		p->held[i].iov -= p->iov_first;
	p->first = p->iov_first = 0;
	p->iov_end = n;
}

static bool rx_table_full(struct pair *p)
{
	if (p->first + p->n_held < HELD_MAX && p->iov_end + CHAIN_IOV <= RX_IOV)
		return false;
	rx_compact(p);
	return p->n_held == HELD_MAX || p->iov_end + CHAIN_IOV > RX_IOV;
}

/* Takes buffers until `need` bytes are held, the ring is empty, or the tables are full. -EPROTO when the guest is wrong. */
static int rx_gather(struct pair *p, struct queue *q, uint64_t need)
{
	while (p->room < need && !rx_table_full(p)) {
		struct chain *c = &p->held[p->first + p->n_held];
		int r;

		*c = (struct chain){.iov = p->iov + p->iov_end, .cap = CHAIN_IOV};
		r = queue_pop(q, c);
		if (r <= 0)
			return r;
		/* 5.1.6.3.1: at least the header fits. */
		if (c->n_out || c->in_len < header_size(p->net))
			return -EPROTO;
		p->n_held++;
		p->iov_end += c->n_in;
		p->room += c->in_len;
	}
	return 0;
}

static void rx_forget(struct pair *p)
{
	p->first = p->n_held = p->iov_first = p->iov_end = 0;
	p->room = p->frame = 0;
}

/* Gives a frame that lies in the held buffers to the driver. */
static void rx_deliver(struct pair *p, struct queue *q, uint64_t len)
{
	struct chain *c = &p->held[p->first];
	uint32_t written[HELD_MAX];
	unsigned int n = 0, n_iov = 0;
	uint8_t count[2];

	while (len) {
		written[n] = (uint32_t)MIN(len, c[n].in_len);
		len -= written[n];
		n_iov += c[n].n_in;
		p->room -= c[n].in_len;
		n++;
	}
	virtio_put16(p->net->vd, count, (uint16_t)n);
	if (header_size(p->net) == LINK_HEADER)
		chain_write(c, H_NUM_BUFFERS, count, sizeof(count));
	/* 5.1.6.4.1: the kernel says DATA_VALID also to a driver that did not ask. */
	if (!(p->net->s.offloads & BIT(F_GUEST_CSUM)))
		chain_write(c, H_FLAGS, "\0", 2);
	queue_push_many(q, c, written, n);
	p->delivered = true;
	p->first += n;
	p->n_held -= n;
	p->iov_first += n_iov;
	if (!p->n_held)
		rx_forget(p);
}

/* The rest of the waiting frame goes where the buffers taken since begin. */
static void rx_unspill(struct pair *p, struct queue *q)
{
	struct chain all = {
		.iov = p->iov + p->iov_first,
		.n_in = p->iov_end - p->iov_first,
		.in_len = p->room,
	};
	uint64_t len = p->frame;

	p->frame = 0;
	chain_write(&all, p->direct, p->spill, len - p->direct);
	rx_deliver(p, q, len);
}

/* A legacy driver's frame comes through the spill, where its header is made: as rx_frame. */
static int rx_legacy(struct pair *p)
{
	struct net *net = p->net;
	size_t size = header_size(net);
	uint8_t header[LINK_HEADER];
	struct iovec iov[] = {{header, sizeof(header)}, {p->spill + size, sizeof(p->spill) - size}};
	int64_t len = link_receive(net->link, p->index, iov, 2);

	if (len == -EBADFD || len == -ENODEV)
		lose_link(net, (int)len);
	if (len < 0)
		return 0;
	header_order(net, header);
	memcpy(p->spill, header, size);
	len += (int64_t)size - LINK_HEADER;
	if (len <= (int64_t)size || (!virtio_has(net->vd, F_MRG_RXBUF) && (uint64_t)len > p->room))
		return 1;
	p->frame = (uint64_t)len;
	p->direct = 0;
	return 1;
}

/* One frame: 1 when there may be more, 0 when there is no frame or no buffer, -errno. */
static int rx_frame(struct pair *p, struct queue *q)
{
	struct net *net = p->net;
	bool mergeable = virtio_has(net->vd, F_MRG_RXBUF);
	bool big = net->s.offloads & (BIT(F_GUEST_TSO4) | BIT(F_GUEST_TSO6));
	uint64_t need = !mergeable ? 1 : big ? FRAME_MAX : FRAME_EXTRA + MAX(net->mtu, 1500u);
	struct iovec *iov;
	int64_t len;
	int r;

	r = rx_gather(p, q, p->frame ? p->frame : need);
	if (r < 0)
		return r;
	if (p->frame && p->frame > p->room) {
		if (!rx_table_full(p))
			return queue_doorbell_on(q);
		p->frame = 0; /* such small buffers will never hold it */
	}
	if (p->frame) {
		rx_unspill(p, q);
		return 1;
	}
	if (!p->n_held)
		return queue_doorbell_on(q);
	if (virtio_legacy(net->vd))
		return rx_legacy(p);
	iov = p->iov + p->iov_first;
	p->iov[p->iov_end] = (struct iovec){p->spill, sizeof(p->spill)};
	len = link_receive(net->link, p->index, iov, p->iov_end - p->iov_first + 1);
	if (len == -EAGAIN)
		return 0;
	if (len < 0) {
		if (len == -EBADFD || len == -ENODEV)
			lose_link(net, (int)len);
		return 0;
	}
	if (len <= LINK_HEADER)
		return 1;
	if ((uint64_t)len <= p->room) {
		rx_deliver(p, q, (uint64_t)len);
	} else if (mergeable) {
		p->frame = (uint64_t)len;
		p->direct = p->room;
	}
	return 1; /* without mergeable buffers a frame that does not fit is lost */
}

static void rx_run(struct pair *p)
{
	struct virtio_device *vd = p->net->vd;
	unsigned int n = 2 * p->index;
	struct queue *q;
	int r = 1;

	if (!virtio_running(vd) || p->index >= p->net->s.pairs)
		return;
	q = virtio_queue(vd, n);
	if (!q)
		return;
	queue_doorbell_off(q);
	p->delivered = false;
	for (unsigned int i = 0; i < BATCH && r > 0; i++)
		r = rx_frame(p, q);
	if (r < 0) {
		rx_forget(p);
		virtio_broken(vd, "net: a receive buffer is malformed");
		return;
	}
	if (p->delivered)
		virtio_signal(vd, n);
	if (r > 0)
		virtio_kick_later(vd, n);
}

/* --- send --- */

/* Whether the header is one that the negotiated features allow; what the features do not know is taken out. 5.1.6.2. */
static bool tx_header_ok(const struct net *net, uint8_t *h)
{
	unsigned int type = h[H_GSO_TYPE];
	unsigned int feature;

	put_le16(h + H_NUM_BUFFERS, 0);
	if (!virtio_has(net->vd, F_CSUM)) {
		memset(h, 0, LINK_HEADER);
		return true;
	}
	h[H_FLAGS] &= H_NEEDS_CSUM;
	if (type == GSO_NONE)
		return true;
	if ((type & GSO_ECN) && !virtio_has(net->vd, F_HOST_ECN))
		return false;
	switch (type & ~GSO_ECN) {
	case GSO_TCPV4:
		feature = F_HOST_TSO4;
		break;
	case GSO_TCPV6:
		feature = F_HOST_TSO6;
		break;
	default:
		return false;
	}
	return virtio_has(net->vd, feature) && h[H_FLAGS] && get_le16(h + H_GSO_SIZE);
}

/* Sends one frame straight from the guest's memory, with our own copy of its header. -EAGAIN: not now. */
static int64_t tx_frame(struct pair *p, struct chain *c)
{
	struct net *net = p->net;
	uint8_t header[LINK_HEADER] = {0};
	struct iovec *iov = c->iov;
	size_t skip = header_size(net);
	unsigned int n = c->n_out;

	if (c->out_len <= skip || c->out_len > FRAME_MAX)
		return 0;
	chain_read(c, 0, header, skip);
	header_order(net, header);
	if (!tx_header_ok(net, header))
		return 0;
	while (skip >= iov->iov_len) {
		skip -= iov->iov_len;
		iov++;
		n--;
	}
	iov->iov_base = (char *)iov->iov_base + skip;
	iov->iov_len -= skip;
	/* There is a place in front: net->iov[0], or an iovec of the header that is done with. */
	iov--;
	*iov = (struct iovec){header, sizeof(header)};
	return link_send(net->link, p->index, iov, n + 1);
}

static void tx_run(struct pair *p)
{
	struct net *net = p->net;
	struct virtio_device *vd = net->vd;
	unsigned int n = 2 * p->index + 1, sent = 0;
	struct queue *q;

	if (!virtio_running(vd) || p->tx_blocked)
		return;
	q = virtio_queue(vd, n);
	if (!q)
		return;
	queue_doorbell_off(q);
	while (sent < BATCH) {
		struct chain c = {.iov = net->iov + 1, .cap = CHAIN_IOV};
		int r = queue_pop(q, &c);

		if (r < 0) {
			virtio_broken(vd, "net: the transmit queue is malformed");
			return;
		}
		if (r == 0) {
			if (!queue_doorbell_on(q))
				break;
			queue_doorbell_off(q);
			continue;
		}
		if (tx_frame(p, &c) == -EAGAIN) {
			queue_unpop(q, &c);
			if (!p->source)
				break;
			p->tx_blocked = true;
			loop_modify(p->source, EPOLLIN | EPOLLOUT | EPOLLET);
			break;
		}
		/* A frame that the link refuses is lost, as on a wire. */
		queue_push(q, &c, 0);
		sent++;
	}
	if (sent)
		virtio_signal(vd, n);
	if (sent == BATCH)
		virtio_kick_later(vd, n);
}

/* Loop thread. Edge-triggered: while the guest has no buffers the frames wait in the tap, and nothing spins. */
static void on_link(void *ctx, uint32_t events)
{
	struct pair *p = ctx;

	virtio_lock(p->net->vd);
	if (p->tx_blocked && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
		p->tx_blocked = false;
		loop_modify(p->source, EPOLLIN | EPOLLET);
		tx_run(p);
	}
	rx_run(p);
	virtio_unlock(p->net->vd);
}

/* --- control queue --- */

static uint8_t ctrl_mq(struct net *net, const struct chain *c)
{
	uint8_t raw[2];
	uint16_t n;

	if (!virtio_has(net->vd, F_MQ) || chain_read(c, 2, raw, sizeof(raw)) != sizeof(raw))
		return CTRL_ERR;
	n = virtio_get16(net->vd, raw);
	if (!n || n > net->n_pairs || link_set_pairs(net->link, n) < 0)
		return CTRL_ERR;
	net->s.pairs = n;
	for (unsigned int i = 0; i < n; i++)
		virtio_kick_later(net->vd, 2 * i);
	return CTRL_OK;
}

static uint8_t ctrl_offloads(struct net *net, const struct chain *c)
{
	uint64_t old = net->s.offloads, want;
	uint8_t raw[8];

	if (!virtio_has(net->vd, F_CTRL_GUEST_OFFLOADS) || chain_read(c, 2, raw, sizeof(raw)) != sizeof(raw))
		return CTRL_ERR;
	want = virtio_get64(net->vd, raw);
	if (want & ~(GUEST_OFFLOADS & net->vd->features))
		return CTRL_ERR;
	net->s.offloads = want;
	if (apply(net) >= 0)
		return CTRL_OK;
	net->s.offloads = old;
	return CTRL_ERR;
}

static uint8_t ctrl_mac(struct net *net, const struct chain *c, uint8_t command)
{
	uint8_t mac[6];

	if (command == CTRL_MAC_TABLE_SET)
		return CTRL_OK; /* best effort, 5.1.6.5.2.1: every frame passes */
	if (command != CTRL_MAC_ADDR_SET || !virtio_has(net->vd, F_CTRL_MAC_ADDR) ||
	    chain_read(c, 2, mac, sizeof(mac)) != sizeof(mac))
		return CTRL_ERR;
	memcpy(net->s.mac, mac, sizeof(mac));
	if (net->vd->transport && net->vd->transport->changed) /* what registers show; no news to the driver */
		net->vd->transport->changed(net->vd->transport_ctx);
	return CTRL_OK;
}

static uint8_t ctrl_command(struct net *net, const struct chain *c)
{
	uint8_t head[2]; /* class, command */

	if (chain_read(c, 0, head, sizeof(head)) != sizeof(head))
		return CTRL_ERR;
	switch (head[0]) {
	case CTRL_RX: /* no filter is kept: promiscuous is what the guest gets */
		return head[1] <= 1 && virtio_has(net->vd, F_CTRL_RX) ? CTRL_OK : CTRL_ERR;
	case CTRL_VLAN:
		return head[1] <= 1 && virtio_has(net->vd, F_CTRL_VLAN) ? CTRL_OK : CTRL_ERR;
	case CTRL_MAC:
		return ctrl_mac(net, c, head[1]);
	case CTRL_MQ:
		return head[1] == 0 ? ctrl_mq(net, c) : CTRL_ERR;
	case CTRL_GUEST_OFFLOADS:
		return head[1] == 0 ? ctrl_offloads(net, c) : CTRL_ERR;
	default:
		return CTRL_ERR;
	}
}

static int64_t ctrl_serve(void *dev, struct chain *c)
{
	uint8_t ack;

	if (!c->in_len)
		return -EPROTO;
	ack = ctrl_command(dev, c);
	chain_write(c, 0, &ack, 1);
	return 1;
}

static void ctrl_run(struct net *net, unsigned int n)
{
	const struct virtio_service service = {
		.iov = net->iov,
		.cap = CHAIN_IOV,
		.batch = CTRL_BATCH,
		.serve = ctrl_serve,
		.why = "net: a control command is malformed",
	};

	virtio_serve(net->vd, n, &service);
}

/* --- the class --- */

/* 5.1.2: the control queue is the last of those that the driver knows of. */
static unsigned int ctrl_index(const struct net *net)
{
	return virtio_has(net->vd, F_MQ) ? 2 * net->n_pairs : 2;
}

static void net_kick(void *dev, unsigned int n)
{
	struct net *net = dev;

	if (n == ctrl_index(net)) {
		if (virtio_has(net->vd, F_CTRL_VQ))
			ctrl_run(net, n);
		if (net->vhost && !virtio_running(net->vd)) /* broken: nothing is served until reset */
			vhost_net_stop(net->vhost);
	} else if (n < 2 * net->n_pairs) {
		if (n % 2)
			tx_run(&net->pair[n / 2]);
		else
			rx_run(&net->pair[n / 2]);
	}
}

static void net_config_read(void *dev, uint32_t offset, void *buf, uint32_t len)
{
	struct net *net = dev;
	uint8_t config[C_SIZE];

	memcpy(config + C_MAC, net->s.mac, 6);
	put_le16(config + C_STATUS, net->s.status);
	put_le16(config + C_PAIRS, (uint16_t)net->n_pairs);
	put_le16(config + C_MTU, net->mtu);
	memcpy(buf, config + offset, len);
}

static int net_resume(void *dev)
{
	struct net *net = dev;

	return net->vhost && !net->vd->paused ? vhost_net_start(net->vhost) : 0;
}

static int net_activate(void *dev)
{
	struct net *net = dev;
	int r;

	net->s.offloads = net->vd->features & GUEST_OFFLOADS;
	net->s.pairs = 1;
	r = apply(net); /* the core kicks every queue: frames that came before are read */
	if (r >= 0 && net->vhost)
		r = vhost_net_activate(net->vhost);
	return r < 0 ? r : net_resume(net);
}

/* Held buffers go back into the ring, the last one first; a frame that had begun to fill them is lost. */
static void net_quiesce(void *dev)
{
	struct net *net = dev;

	if (net->vhost)
		vhost_net_stop(net->vhost);
	for (unsigned int i = 0; i < net->n_pairs; i++) {
		struct pair *p = &net->pair[i];
		struct queue *q = &net->vd->queue[2 * i].q;

		if (queue_running(q))
			while (p->n_held)
				queue_unpop(q, &p->held[p->first + --p->n_held]);
		rx_forget(p);
	}
}

static void net_reset(void *dev)
{
	struct net *net = dev;

	for (unsigned int i = 0; i < net->n_pairs; i++) {
		rx_forget(&net->pair[i]);
		net->pair[i].tx_blocked = false;
	}
	memcpy(net->s.mac, net->mac, sizeof(net->mac));
	net->s.offloads = 0;
	net->s.pairs = 1;
	apply(net);
}

static int net_save(void *dev, void *state)
{
	memcpy(state, &((struct net *)dev)->s, sizeof(struct net_state));
	return 0;
}

static int net_load(void *dev, const void *state)
{
	struct net *net = dev;
	struct net_state s;
	uint16_t status = net->s.status;

	memcpy(&s, state, sizeof(s));
	if (!s.pairs || s.pairs > net->n_pairs || (s.offloads & ~(GUEST_OFFLOADS & net->vd->offered)))
		return -EINVAL;
	net->s = s;
	net->s.status = status; /* of the link here */
	memset(net->s.reserved, 0, sizeof(net->s.reserved));
	return apply(net);
}

static void net_destroy(void *dev)
{
	struct net *net = dev;

	for (unsigned int i = 0; i < net->n_pairs; i++)
		loop_remove(net->pair[i].source);
	vhost_net_destroy(net->vhost);
	link_close(net->link);
	free(net);
}

static const struct virtio_class net_class = {
	.name = "net",
	.device_id = DEVICE_ID_NET,
	.config_fields = "\1\1\1\1\1\1\2\2\2",
	.state_version = 1,
	.state_size = sizeof(struct net_state),
	.config_read = net_config_read,
	.activate = net_activate,
	.kick = net_kick,
	.quiesce = net_quiesce,
	.resume = net_resume,
	.reset = net_reset,
	.save = net_save,
	.load = net_load,
	.destroy = net_destroy,
};

static uint64_t offered_features(const struct virtio_net_config *config, const struct link_info *info,
				 unsigned int pairs)
{
	uint64_t f = BIT(F_MAC) | BIT(F_STATUS) | BIT(F_MRG_RXBUF) | BIT(F_CTRL_VQ) | BIT(F_CTRL_RX) |
		     BIT(F_CTRL_VLAN) | BIT(F_CTRL_MAC_ADDR);

	if (config->mtu)
		f |= BIT(F_MTU);
	if (pairs > 1)
		f |= BIT(F_MQ);
	if (info->vnet_hdr && info->offloads)
		f |= GUEST_OFFLOADS | HOST_OFFLOADS | BIT(F_CTRL_GUEST_OFFLOADS);
	return f;
}

int virtio_net_create(const struct virtio_net_config *config, const struct virtio_env *env,
		      struct virtio_device **ret, struct err *e)
{
	const struct link_info *info = link_info(config->link);
	unsigned int pairs = config->pairs ? config->pairs : info->pairs;
	uint16_t sizes[2 * VIRTIO_NET_MAX_PAIRS + 1];
	struct virtio_device *vd;
	struct net *net;
	int r;

	if (pairs > info->pairs || pairs > VIRTIO_NET_MAX_PAIRS)
		return err_set(e, -EINVAL, "net: %u queue pairs, but its link has %u", pairs, info->pairs);
	if (config->mtu && (config->mtu < 68 || config->mtu > 65521))
		return err_set(e, -EINVAL, "net: mtu %u is not between 68 and 65521", config->mtu);
	if (config->mac[0] & 1)
		return err_set(e, -EINVAL, "net: the MAC address is one of a group: its first byte must be even");
	if (config->vhost && !info->vnet_hdr)
		return err_set(e, -EINVAL, "net: vhost=1 needs a tap that takes headers (IFF_VNET_HDR): leave it out");
	net = calloc(1, sizeof(*net) + pairs * sizeof(net->pair[0]));
	if (!net)
		return err_set(e, -ENOMEM, "net: out of memory");
	memcpy(net->mac, config->mac, sizeof(net->mac));
	memcpy(net->s.mac, config->mac, sizeof(net->mac));
	net->s.status = STATUS_LINK_UP;
	net->s.pairs = 1;
	net->mtu = (uint16_t)config->mtu;
	net->n_pairs = pairs;
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++)
		sizes[i] = QUEUE_SIZE;
	r = virtio_create(&net_class, net, env, offered_features(config, info, pairs), C_SIZE, sizes, 2 * pairs + 1,
			  &vd);
	if (r < 0) {
		free(net);
		return err_set(e, r, "net: %s", err_name(r));
	}
	net->vd = vd;
	if (config->vhost) {
		vd->modern = true; /* the header's byte order is the tap's */
		vd->offered &= ~(VHOST_RING_FEATURES | VIRTIO_CORE_FEATURES) | vhost_features(config->vhost);
		r = vhost_net_create(vd, config->vhost, config->link, pairs, &net->vhost);
	}
	for (unsigned int i = 0; i < pairs; i++) {
		net->pair[i].net = net;
		net->pair[i].index = i;
	}
	/* Without a loop (in tests), frames are only received when the driver rings. */
	for (unsigned int i = 0; i < pairs && r >= 0 && env->loop && !config->vhost; i++)
		r = loop_add(env->loop, link_fd(config->link, i), EPOLLIN | EPOLLET, on_link, &net->pair[i],
			     &net->pair[i].source);
	if (r < 0) {
		virtio_destroy(vd); /* the link stays the caller's */
		return err_set(e, r, "net: cannot wait for %s: %s", info->ifname, err_name(r));
	}
	net->link = config->link;
	*ret = vd;
	return 0;
}
