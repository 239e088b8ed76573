// SPDX-License-Identifier: MIT
#include "virtio/console.h"

#include <errno.h>

#include "base/endian.h"

/* 5.3.3 */
enum { F_SIZE = 0, F_MULTIPORT = 1, F_EMERG_WRITE = 2 };
#define BIT(n) (UINT64_C(1) << (n))

/* Configuration space, 5.3.4: offsets. */
enum { C_COLS = 0, C_ROWS = 2, C_MAX_PORTS = 4, C_EMERG_WR = 8, C_SIZE = 12 };

/*
 * Control messages, 5.3.6.2: le32 id, le16 event, le16 value. RESIZE is never sent: the specification puts columns first and Linux read rows
 * first, so a guest might have it the wrong way round.
 */
enum {
	DEVICE_READY = 0,
	DEVICE_ADD = 1,
	PORT_READY = 3,
	CONSOLE_PORT = 4,
	PORT_OPEN = 6,
	PORT_NAME = 7,
};
#define MESSAGE_SIZE 8

#define DEVICE_ID_CONSOLE 3
#define QUEUE_SIZE 64
#define CHAIN_IOV (QUEUE_SIZE + MEMORY_MAX_REGIONS)
#define BATCH_BYTES 65536 /* of one kick before others get their turn */
#define BATCH_REQUESTS 64
#define NAME_MAX_LEN 63

enum { Q_CONTROL_RX = 2, Q_CONTROL_TX = 3 };

/* What the guest can see or has set. What is to be said to the driver is kept as bits, so that a driver who asks without listening makes nothing grow. */
struct port_state {
	uint32_t tx_done; /* bytes of the first request in the transmit queue that the stream has taken */
	uint16_t say;	  /* bit n: event n is to be sent */
	uint8_t open;	  /* by the guest */
	uint8_t reserved;
};

struct console_state {
	uint16_t columns, rows;
	uint32_t reserved;
	struct port_state port[VIRTIO_CONSOLE_MAX_PORTS];
};

struct port {
	struct console *console;
	struct stream *stream;
	unsigned int rx, tx; /* queues */
	char name[NAME_MAX_LEN + 1];
};

struct console {
	struct virtio_device *vd;
	struct console_state s;
	unsigned int n_ports;
	struct iovec iov[CHAIN_IOV];
	struct port port[];
};

static struct port_state *state_of(struct port *p)
{
	return &p->console->s.port[p - p->console->port];
}

static bool multiport(const struct console *c)
{
	return virtio_has(c->vd, F_MULTIPORT);
}

/* --- data --- */

/* Input waits in the stream until the guest has buffers, and, where it says so, has the port open. */
static void receive(struct port *p)
{
	struct console *c = p->console;
	struct virtio_device *vd = c->vd;
	struct queue *q = virtio_queue(vd, p->rx);
	uint64_t total = 0;
	bool more = true;

	if (!q || !p->stream || (multiport(c) && !state_of(p)->open))
		return;
	queue_doorbell_off(q);
	while (more && total < BATCH_BYTES) {
		struct chain chain = {.iov = c->iov, .cap = CHAIN_IOV};
		int r = queue_pop(q, &chain);
		size_t got = 0;

		if (r == 0) {
			/* The driver rings when it has buffers again. */
			if (queue_doorbell_on(q))
				continue;
			break;
		}
		if (r < 0 || chain.n_out) {
			virtio_broken(vd, "console: a receive buffer is malformed");
			return;
		}
		for (unsigned int i = 0; i < chain.n_in && more; i++) {
			size_t n = stream_read(p->stream, chain.iov[i].iov_base, chain.iov[i].iov_len);

			got += n;
			more = n == chain.iov[i].iov_len;
		}
		if (!got) {
			queue_unpop(q, &chain);
			break;
		}
		queue_push(q, &chain, (uint32_t)got);
		total += got;
	}
	if (total)
		virtio_signal(vd, p->rx);
	if (total >= BATCH_BYTES)
		virtio_kick_later(vd, p->rx);
}

/* What the stream does not take stays in the ring; tx_done says where to go on. */
static void transmit(struct port *p)
{
	struct virtio_device *vd = p->console->vd;
	struct port_state *s = state_of(p);
	struct queue *q = virtio_queue(vd, p->tx);
	unsigned int done = 0;
	bool full = false;

	if (!q)
		return;
	queue_doorbell_off(q);
	while (!full && done < BATCH_REQUESTS) {
		struct chain chain = {.iov = p->console->iov, .cap = CHAIN_IOV};
		int r = queue_pop(q, &chain);
		uint64_t at = 0;

		if (r == 0) {
			if (queue_doorbell_on(q))
				continue;
			break;
		}
		if (r < 0) {
			virtio_broken(vd, "console: the transmit queue is malformed");
			return;
		}
		for (unsigned int i = 0; i < chain.n_out && p->stream && !full; i++) {
			char *from = chain.iov[i].iov_base;
			size_t len = chain.iov[i].iov_len, skip, n;

			skip = s->tx_done > at ? MIN(len, s->tx_done - at) : 0;
			n = skip < len ? stream_write(p->stream, from + skip, len - skip) : 0;
			at += skip + n;
			full = skip + n < len;
		}
		if (full) {
			s->tx_done = (uint32_t)at;
			queue_unpop(q, &chain);
			break;
		}
		s->tx_done = 0;
		queue_push(q, &chain, 0);
		done++;
	}
	if (done)
		virtio_signal(vd, p->tx);
	if (done == BATCH_REQUESTS)
		virtio_kick_later(vd, p->tx);
}

/* Loop thread, no lock held. */
static void on_input(void *ctx)
{
	struct port *p = ctx;

	virtio_kick_later(p->console->vd, p->rx);
}

static void on_output(void *ctx)
{
	struct port *p = ctx;

	virtio_kick_later(p->console->vd, p->tx);
}

/* --- control --- */

static void say(struct port *p, unsigned int event)
{
	state_of(p)->say |= (uint16_t)(1 << event);
}

/* One message into the driver's buffer; false when its buffer is too small for it (5.3.6.2.2 forbids that). */
static bool put_message(struct port *p, unsigned int event, const struct chain *chain, uint32_t *ret_written)
{
	struct console *c = p->console;
	uint8_t m[MESSAGE_SIZE + NAME_MAX_LEN];
	size_t len = MESSAGE_SIZE;

	virtio_put32(c->vd, m, (uint32_t)(p - c->port));
	virtio_put16(c->vd, m + 4, (uint16_t)event);
	virtio_put16(c->vd, m + 6, 1);
	if (event == PORT_NAME) {
		size_t n = strlen(p->name);

		memcpy(m + len, p->name, n);
		len += n;
	}
	*ret_written = (uint32_t)chain_write(chain, 0, m, len);
	return *ret_written == len;
}

/* Sends what is to be said, as far as the driver has given buffers. In the order of the event numbers: add, console, open, name. */
static void control_receive(struct console *c)
{
	struct queue *q = virtio_queue(c->vd, Q_CONTROL_RX);
	unsigned int done = 0;

	if (!q)
		return;
	for (unsigned int i = 0; i < c->n_ports; i++) {
		while (c->s.port[i].say) {
			struct chain chain = {.iov = c->iov, .cap = CHAIN_IOV};
			unsigned int event = (unsigned int)__builtin_ctz(c->s.port[i].say);
			int r = queue_pop(q, &chain);
			uint32_t written;

			if (r == 0) {
				if (queue_doorbell_on(q))
					continue;
				goto out;
			}
			if (r < 0 || chain.n_out || !put_message(&c->port[i], event, &chain, &written)) {
				virtio_broken(c->vd, "console: a buffer for control messages is malformed");
				return;
			}
			c->s.port[i].say &= (uint16_t)~(1 << event);
			queue_push(q, &chain, written);
			done++;
		}
	}
out:
	if (done)
		virtio_signal(c->vd, Q_CONTROL_RX);
}

static void port_ready(struct port *p)
{
	say(p, *p->name ? PORT_NAME : CONSOLE_PORT);
	say(p, PORT_OPEN); /* the host's side is always open */
}

static void control_message(struct console *c, const uint8_t *m)
{
	uint32_t id = virtio_get32(c->vd, m);
	uint16_t event = virtio_get16(c->vd, m + 4), value = virtio_get16(c->vd, m + 6);
	struct port *p = id < c->n_ports ? &c->port[id] : NULL;

	if (event == DEVICE_READY) {
		for (unsigned int i = 0; i < c->n_ports && value == 1; i++)
			say(&c->port[i], DEVICE_ADD);
	} else if (event == PORT_READY && p && value == 1) {
		port_ready(p);
	} else if (event == PORT_OPEN && p) {
		state_of(p)->open = value == 1;
		if (value == 1)
			virtio_kick_later(c->vd, p->rx);
	}
}

static int64_t control_serve(void *dev, struct chain *chain)
{
	uint8_t m[MESSAGE_SIZE];

	if (chain_read(chain, 0, m, sizeof(m)) == sizeof(m))
		control_message(dev, m);
	return 0;
}

static void control_transmit(struct console *c)
{
	const struct virtio_service service = {
		.iov = c->iov,
		.cap = CHAIN_IOV,
		.batch = BATCH_REQUESTS,
		.serve = control_serve,
		.why = "console: the control queue is malformed",
	};

	virtio_serve(c->vd, Q_CONTROL_TX, &service);
	control_receive(c);
}

/* --- the class --- */

static void console_kick(void *dev, unsigned int n)
{
	struct console *c = dev;
	unsigned int i = n < Q_CONTROL_RX ? 0 : (n - 2) / 2;

	/* Without MULTIPORT there are the two queues of port 0 and nothing else. */
	if (n >= Q_CONTROL_RX && !multiport(c))
		return;
	if (n == Q_CONTROL_RX)
		control_receive(c);
	else if (n == Q_CONTROL_TX)
		control_transmit(c);
	else if (n % 2)
		transmit(&c->port[i]);
	else
		receive(&c->port[i]);
}

static void console_config_read(void *dev, uint32_t offset, void *buf, uint32_t len)
{
	struct console *c = dev;
	uint8_t config[C_SIZE] = {0};

	put_le16(config + C_COLS, c->s.columns);
	put_le16(config + C_ROWS, c->s.rows);
	put_le32(config + C_MAX_PORTS, c->n_ports);
	memcpy(buf, config + offset, len);
}

/* 5.3.4: one character without queues, for the earliest and the last words. */
static void console_config_write(void *dev, uint32_t offset, const void *buf, uint32_t len)
{
	struct console *c = dev;

	/* virtio-ccw writes all fields from the first on. */
	if (offset <= C_EMERG_WR && C_EMERG_WR - offset < len && c->port[0].stream)
		stream_write(c->port[0].stream, (const char *)buf + (C_EMERG_WR - offset), 1);
}

static void console_reset(void *dev)
{
	struct console *c = dev;

	memset(c->s.port, 0, sizeof(c->s.port));
}

static int console_save(void *dev, void *state)
{
	memcpy(state, &((struct console *)dev)->s, sizeof(struct console_state));
	return 0;
}

static int console_load(void *dev, const void *state)
{
	const uint16_t events = 1 << DEVICE_ADD | 1 << CONSOLE_PORT | 1 << PORT_OPEN | 1 << PORT_NAME;
	struct console *c = dev;
	struct console_state s;

	memcpy(&s, state, sizeof(s));
	for (unsigned int i = 0; i < VIRTIO_CONSOLE_MAX_PORTS; i++) {
		struct port_state *p = &s.port[i];

		if (p->open > 1 || (p->say & ~events) || (i >= c->n_ports && (p->tx_done || p->say || p->open)))
			return -EINVAL;
	}
	/* The terminal is the one that is here now. */
	memcpy(c->s.port, s.port, sizeof(s.port));
	return 0;
}

static void console_destroy(void *dev)
{
	struct console *c = dev;

	for (unsigned int i = 0; i < c->n_ports; i++)
		if (c->port[i].stream)
			stream_attach(c->port[i].stream, NULL);
	free(c);
}

static const struct virtio_class console_class = {
	.name = "console",
	.device_id = DEVICE_ID_CONSOLE,
	.config_fields = "\2\2\4\4",
	.state_version = 1,
	.state_size = sizeof(struct console_state),
	.config_read = console_config_read,
	.config_write = console_config_write,
	.kick = console_kick,
	.reset = console_reset,
	.save = console_save,
	.load = console_load,
	.destroy = console_destroy,
};

int virtio_console_create(const struct virtio_console_config *config, const struct virtio_env *env,
			  struct virtio_device **ret, struct err *e)
{
	uint64_t features = BIT(F_EMERG_WRITE);
	uint16_t sizes[2 * VIRTIO_CONSOLE_MAX_PORTS + 2];
	unsigned int n = config->n, n_queues = 2;
	struct virtio_device *vd;
	struct console *c;
	int r;

	if (!n || n > VIRTIO_CONSOLE_MAX_PORTS)
		return err_set(e, -EINVAL, "console: %u ports, 1 to %d are possible", n, VIRTIO_CONSOLE_MAX_PORTS);
	c = calloc(1, sizeof(*c) + n * sizeof(c->port[0]));
	if (!c)
		return err_set(e, -ENOMEM, "console: out of memory");
	c->n_ports = n;
	c->s.columns = config->columns;
	c->s.rows = config->rows;
	for (unsigned int i = 0; i < n; i++) {
		const char *name = config->names ? config->names[i] : NULL;

		c->port[i].console = c;
		c->port[i].stream = config->streams[i];
		c->port[i].rx = i ? 2 * i + 2 : 0;
		c->port[i].tx = c->port[i].rx + 1;
		if (name && strlen(name) > NAME_MAX_LEN) {
			free(c);
			return err_set(e, -EINVAL, "console: the port name %.80s is longer than %d bytes", name, NAME_MAX_LEN);
		}
		if (name)
			memcpy(c->port[i].name, name, strlen(name));
	}
	if (n > 1 || *c->port[0].name) {
		features |= BIT(F_MULTIPORT);
		n_queues = 2 * n + 2;
	}
	if (config->columns && config->rows)
		features |= BIT(F_SIZE);
	for (unsigned int i = 0; i < n_queues; i++)
		sizes[i] = QUEUE_SIZE;
	r = virtio_create(&console_class, c, env, features, C_SIZE, sizes, n_queues, &vd);
	if (r < 0) {
		free(c);
		return err_set(e, r, "console: %s", err_name(r));
	}
	c->vd = vd;
	for (unsigned int i = 0; i < n; i++) {
		struct stream_user user = {on_input, on_output, &c->port[i]};

		if (c->port[i].stream)
			stream_attach(c->port[i].stream, &user);
	}
	*ret = vd;
	return 0;
}

void virtio_console_resize(struct virtio_device *vd, uint16_t columns, uint16_t rows)
{
	struct console *c = vd->dev;

	virtio_lock(vd);
	if (vd->offered & BIT(F_SIZE) && (columns != c->s.columns || rows != c->s.rows)) {
		c->s.columns = columns;
		c->s.rows = rows;
		if (virtio_has(vd, F_SIZE))
			virtio_config_changed(vd);
	}
	virtio_unlock(vd);
}
