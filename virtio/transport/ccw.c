// SPDX-License-Identifier: MIT
/*
 * virtio-ccw (virtio 1.3, section 4.3).
 *
 * Channel commands come on the thread that runs the channel program, with no lock held; data is moved before the device's lock is taken, or after it. Lock order: device, channel
 * subsystem.
 *
 * Indicators are bits in guest memory that the driver clears and we set, both atomically. For virtqueues they are either classic ones, told by unsolicited status of the
 * subchannel, or those of an adapter interruption, told once until the driver clears the summary indicator. To tell, the device (1) has stored the used buffer, (2) sets the indicator, (3)
 * sets the summary indicator, and interrupts if that was clear. The driver clears the summary, then looks at indicators, clears those and looks at its rings; so what it has
 * not seen was stored after it had cleared the summary, and interrupts again. memory_set_bits() is the barrier between the steps.
 */
#include "virtio/transport/ccw.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/endian.h"

/* 4.3.1.2 */
enum {
	CMD_WRITE_FEAT = 0x11,
	CMD_READ_FEAT = 0x12,
	CMD_SET_VQ = 0x13,
	CMD_WRITE_CONF = 0x21,
	CMD_READ_CONF = 0x22,
	CMD_WRITE_STATUS = 0x31,
	CMD_READ_VQ_CONF = 0x32,
	CMD_VDEV_RESET = 0x33,
	CMD_SET_IND = 0x43,
	CMD_SET_CONF_IND = 0x53,
	CMD_READ_STATUS = 0x72,
	CMD_SET_IND_ADAPTER = 0x73,
	CMD_SET_VIRTIO_REV = 0x83,
};

#define REVISION_UNSET -1
#define REVISION_MAX 2
#define CONFIG_MAX 256
#define INDICATOR_BITS 64 /* of classic indicators */
#define SUMMARY_BIT 7	  /* counted from the left: the byte becomes 0x01 */
#define ISC_MAX 7
#define STATE_VERSION 1

enum indicators { IND_NONE, IND_CLASSIC, IND_ADAPTER };

/* Where the driver wants to be told. Device's lock. */
struct indicator_area {
	enum indicators kind;
	uint64_t queues;  /* guest address; classic: of 64 bits, big-endian; adapter: bit_nr counts from its left */
	uint64_t bit_nr;
	uint64_t summary; /* of a byte */
	uint8_t isc;
	uint64_t config; /* of 64 bits, or 0: none */
};

struct virtio_ccw {
	struct virtio_device *vd;
	struct css *css;
	struct css_subchannel *sch;
	struct virtio_ccw_config config;
	atomic_int revision; /* or REVISION_UNSET; changes under the device's lock */
	struct indicator_area ind;
	_Atomic uint64_t exits;
};

/* --- the driver is told --- */

static void set_classic(struct virtio_ccw *c, uint64_t area, unsigned int bit)
{
	/* Bit 0 is the last one of a big-endian doubleword. */
	if (memory_set_bits(c->vd->env->memory, area + 7 - bit / 8, (uint8_t)(1u << bit % 8)) >= 0)
		css_present_alert(c->css, c->sch, 0);
}

static void set_adapter(struct virtio_ccw *c, unsigned int n)
{
	struct memory *m = c->vd->env->memory;
	uint64_t bit = c->ind.bit_nr + n;

	if (memory_set_bits(m, c->ind.queues + bit / 8, (uint8_t)(0x80u >> bit % 8)) < 0)
		return;
	if (memory_set_bits(m, c->ind.summary, 0x80u >> SUMMARY_BIT) == 0)
		c->config.ops->adapter_interrupt(c->config.ctx, c->ind.isc);
}

static void ccw_notify_queue(void *t, unsigned int n)
{
	struct virtio_ccw *c = t;

	if (c->ind.kind == IND_ADAPTER)
		set_adapter(c, n);
	else if (c->ind.kind == IND_CLASSIC && n < INDICATOR_BITS)
		set_classic(c, c->ind.queues, n);
}

static void ccw_notify_config(void *t)
{
	struct virtio_ccw *c = t;

	if (c->ind.config)
		set_classic(c, c->ind.config, 0);
}

static int ccw_doorbell(void *t, unsigned int n, int fd, bool connect)
{
	struct virtio_ccw *c = t;
	/* The shorter name for good, or a doorbell is not found again once the guest has enabled images. By the longer one it rings at our place. */
	const struct hv_ioeventfd io = {
		.gpa = (uint16_t)css_subchannel_sid(c->css, c->sch) | CSS_SID_ONE | c->config.ssid << 17,
		.len = 8,
		.data = n,
		.match = true,
		.fd = fd,
		.ccw = true,
	};

	if (!c->config.hv)
		return -EOPNOTSUPP;
	return c->config.hv->ops->ioeventfd(c->config.hv, &io, connect);
}

static int ccw_call(void *t, unsigned int n, int fd, bool connect)
{
	struct virtio_ccw *c = t;
	const uint64_t bit = c->ind.bit_nr + n;
	/* KVM maps the page that ind is in and nothing behind it: hosts without a check of their own set a bit that is further away in memory of theirs. */
	const struct hv_route route = {
		.is_adapter = true,
		.adapter = {
			.ind = c->ind.queues + bit / 8,
			.ind_offset = bit % 8,
			.summary = c->ind.summary,
			.summary_offset = SUMMARY_BIT,
		},
	};

	if (c->ind.kind != IND_ADAPTER || !c->config.ops->adapter_irqfd)
		return -EOPNOTSUPP;
	return c->config.ops->adapter_irqfd(c->config.ctx, &route, c->ind.isc, fd, connect);
}

static const struct virtio_transport_ops transport_ops = {
	.notify_queue = ccw_notify_queue,
	.notify_config = ccw_notify_config,
	.doorbell = ccw_doorbell,
	.call = ccw_call,
};

/* --- commands --- */

/* The command's data, all of it: 1; 0 when the program has less or a check ended it, with *ret_status what the command returns. */
static bool take(struct css_command *cmd, void *buf, size_t len, unsigned int *ret_status)
{
	int n = css_data_read(cmd, buf, len);

	if (n >= 0 && (size_t)n == len)
		return true;
	*ret_status = n < 0 ? 0 : css_command_reject(cmd);
	return false;
}

static unsigned int give(struct css_command *cmd, const void *buf, size_t len)
{
	int n = css_data_write(cmd, buf, len);

	return n < 0 || (size_t)n == len ? 0 : css_command_reject(cmd);
}

static unsigned int done(struct css_command *cmd, bool ok)
{
	return ok ? 0 : css_command_reject(cmd);
}

/* struct virtio_rev_info: be16 revision, be16 length, data[length]; no revision so far has data. */
static unsigned int set_virtio_rev(struct virtio_ccw *c, struct css_command *cmd)
{
	uint8_t raw[4];
	unsigned int status;
	uint16_t revision;
	bool ok;

	if (!take(cmd, raw, sizeof(raw), &status))
		return status;
	revision = get_be16(raw);
	if (revision > REVISION_MAX || get_be16(raw + 2))
		return css_command_reject(cmd);
	virtio_lock(c->vd);
	ok = c->revision == REVISION_UNSET && virtio_set_legacy(c->vd, !revision) >= 0;
	if (ok) {
		c->revision = revision;
		c->ind = (struct indicator_area){0};
	}
	virtio_unlock(c->vd);
	return done(cmd, ok);
}

/* struct vq_info_block_legacy: be64 queue, be32 align, be16 index, be16 num. 2.7.2: one area, its used ring aligned. */
static bool legacy_queue(const uint8_t *raw, struct queue_state *ret)
{
	uint64_t queue = get_be64(raw), desc, driver, device;
	uint32_t align = get_be32(raw + 8);

	*ret = (struct queue_state){.num = queue ? get_be16(raw + 14) : 0};
	if (!ret->num)
		return true;
	if (!is_pow2(align) || queue > UINT64_MAX - UINT32_MAX * UINT64_C(2))
		return false;
	queue_area_sizes(ret->num, false, &desc, &driver, &device);
	ret->desc = queue;
	ret->driver = queue + desc;
	ret->device = round_up(ret->driver + driver, align);
	return true;
}

/* struct vq_info_block: be64 desc, be32 reserved, be16 index, be16 num, be64 driver, be64 device. Linux takes queues down with zeroes, also after the reset. */
static unsigned int set_vq(struct virtio_ccw *c, struct css_command *cmd)
{
	struct queue_state want = {0};
	unsigned int status;
	uint8_t raw[32];
	int r = 0;

	if (!take(cmd, raw, c->revision ? sizeof(raw) : 16, &status))
		return status;
	if (!c->revision) {
		if (!legacy_queue(raw, &want))
			return css_command_reject(cmd);
	} else {
		want.desc = get_be64(raw);
		want.num = get_be16(raw + 14);
		want.driver = get_be64(raw + 16);
		want.device = get_be64(raw + 24);
		if (!want.num && want.desc)
			return css_command_reject(cmd);
	}
	virtio_lock(c->vd);
	r = virtio_queue_configure(c->vd, get_be16(raw + 12), &want);
	if (r == -EBUSY && !want.num && !c->vd->s.status)
		r = 0;
	virtio_unlock(c->vd);
	return done(cmd, r >= 0);
}

/* struct vq_config_block: be16 index, asked for in the storage that be16 max_num comes to. */
static unsigned int read_vq_conf(struct virtio_ccw *c, struct css_command *cmd)
{
	unsigned int status;
	uint8_t raw[4];
	uint16_t n;

	if (!take(cmd, raw, sizeof(raw), &status))
		return status;
	n = get_be16(raw);
	if (n >= c->vd->n_queues)
		return css_command_reject(cmd);
	put_be16(raw + 2, c->vd->queue[n].max_num);
	css_data_rewind(cmd);
	return give(cmd, raw, sizeof(raw));
}

/* struct virtio_feature_desc: le32 features, u8 index, which is asked for in the storage that the features come to. */
static unsigned int read_feat(struct virtio_ccw *c, struct css_command *cmd)
{
	unsigned int status;
	uint8_t raw[5];

	if (!take(cmd, raw, sizeof(raw), &status))
		return status;
	virtio_lock(c->vd);
	c->vd->s.device_features_sel = raw[4];
	put_le32(raw, virtio_device_features(c->vd));
	virtio_unlock(c->vd);
	css_data_rewind(cmd);
	return give(cmd, raw, sizeof(raw));
}

static unsigned int write_feat(struct virtio_ccw *c, struct css_command *cmd)
{
	unsigned int status;
	uint8_t raw[5];

	if (!take(cmd, raw, sizeof(raw), &status))
		return status;
	virtio_lock(c->vd);
	c->vd->s.driver_features_sel = raw[4];
	virtio_set_driver_features(c->vd, get_le32(raw));
	virtio_unlock(c->vd);
	return 0;
}

/* How much of the configuration space the program asks for: Linux reads and writes up to the field it is about. */
static size_t config_length(const struct virtio_ccw *c, const struct css_command *cmd)
{
	size_t size = MIN(c->vd->config_size, CONFIG_MAX);

	return cmd->more ? size : MIN(size, cmd->count);
}

static unsigned int read_conf(struct virtio_ccw *c, struct css_command *cmd)
{
	size_t len = config_length(c, cmd);
	uint8_t config[CONFIG_MAX];

	virtio_lock(c->vd);
	virtio_config_read(c->vd, 0, config, (unsigned int)len);
	virtio_unlock(c->vd);
	css_data_write(cmd, config, len);
	return 0;
}

static unsigned int write_conf(struct virtio_ccw *c, struct css_command *cmd)
{
	uint8_t config[CONFIG_MAX];
	int len = css_data_read(cmd, config, config_length(c, cmd));

	if (len <= 0)
		return 0;
	virtio_lock(c->vd);
	virtio_config_write(c->vd, 0, config, (unsigned int)len);
	virtio_unlock(c->vd);
	return 0;
}

/* Device locked. 4.3.3.3: everything is over when the command ends, notifications too. */
static void reset_device(struct virtio_ccw *c)
{
	virtio_set_status(c->vd, 0);
	c->ind = (struct indicator_area){0};
}

static unsigned int write_status(struct virtio_ccw *c, struct css_command *cmd)
{
	unsigned int status;
	uint8_t want;
	bool ok;

	if (!take(cmd, &want, 1, &status))
		return status;
	virtio_lock(c->vd);
	ok = virtio_accepts_status(c->vd, want);
	if (ok && want)
		virtio_set_status(c->vd, want);
	else if (ok)
		reset_device(c);
	virtio_unlock(c->vd);
	return done(cmd, ok);
}

static unsigned int read_status(struct virtio_ccw *c, struct css_command *cmd)
{
	uint8_t status;

	virtio_lock(c->vd);
	status = c->vd->s.status;
	virtio_unlock(c->vd);
	return give(cmd, &status, 1);
}

static unsigned int vdev_reset(struct virtio_ccw *c, struct css_command *cmd)
{
	virtio_lock(c->vd);
	reset_device(c);
	virtio_unlock(c->vd);
	return CSS_IMMEDIATE;
}

/* Every byte that bits will be set in is guest memory now, and stays it. */
static bool in_memory(const struct virtio_ccw *c, uint64_t gpa, uint64_t len)
{
	struct slice unused;

	return memory_slice(c->vd->env->memory, gpa, len, &unused) >= 0;
}

static bool classic_ok(const struct virtio_ccw *c, uint64_t at)
{
	return !at || in_memory(c, at, INDICATOR_BITS / 8);
}

static bool adapter_ok(const struct virtio_ccw *c, const struct indicator_area *ind)
{
	uint64_t first = ind->queues + ind->bit_nr / 8;

	return first >= ind->queues && ind->isc <= ISC_MAX && in_memory(c, ind->summary, 1) &&
	       in_memory(c, first, (ind->bit_nr % 8 + c->vd->n_queues + 7) / 8);
}

/* be64 address of 64 indicators; 0 (which is low core) takes them away, as Linux does. Each kind refuses the other. */
static unsigned int set_ind(struct virtio_ccw *c, struct css_command *cmd)
{
	unsigned int status;
	uint8_t raw[8];
	uint64_t at;
	bool ok;

	if (!take(cmd, raw, sizeof(raw), &status))
		return status;
	at = get_be64(raw);
	if (!classic_ok(c, at))
		return css_command_reject(cmd);
	virtio_lock(c->vd);
	ok = c->ind.kind != IND_ADAPTER;
	if (ok) {
		c->ind.kind = at ? IND_CLASSIC : IND_NONE;
		c->ind.queues = at;
	}
	virtio_unlock(c->vd);
	return done(cmd, ok);
}

static unsigned int set_conf_ind(struct virtio_ccw *c, struct css_command *cmd)
{
	unsigned int status;
	uint8_t raw[8];
	uint64_t at;

	if (!take(cmd, raw, sizeof(raw), &status))
		return status;
	at = get_be64(raw);
	if (!classic_ok(c, at))
		return css_command_reject(cmd);
	virtio_lock(c->vd);
	c->ind.config = at;
	virtio_unlock(c->vd);
	return 0;
}

/* struct virtio_thinint_area: be64 summary_indicator, be64 indicator, be64 bit_nr, u8 isc. */
static unsigned int set_ind_adapter(struct virtio_ccw *c, struct css_command *cmd)
{
	unsigned int status;
	struct indicator_area want = {0};
	uint8_t raw[25];
	bool ok;

	if (!take(cmd, raw, sizeof(raw), &status))
		return status;
	want.summary = get_be64(raw);
	want.queues = get_be64(raw + 8);
	want.bit_nr = get_be64(raw + 16);
	want.isc = raw[24];
	want.kind = want.queues ? IND_ADAPTER : IND_NONE;
	if (want.queues && !adapter_ok(c, &want))
		return css_command_reject(cmd);
	virtio_lock(c->vd);
	ok = c->ind.kind != IND_CLASSIC;
	if (ok) {
		want.config = c->ind.config;
		c->ind = want;
	}
	virtio_unlock(c->vd);
	return done(cmd, ok);
}

static const struct {
	uint8_t code, since; /* revision */
	unsigned int (*run)(struct virtio_ccw *c, struct css_command *cmd);
} commands[] = {
	{CMD_WRITE_FEAT, 0, write_feat},
	{CMD_READ_FEAT, 0, read_feat},
	{CMD_SET_VQ, 0, set_vq},
	{CMD_WRITE_CONF, 0, write_conf},
	{CMD_READ_CONF, 0, read_conf},
	{CMD_WRITE_STATUS, 0, write_status},
	{CMD_READ_VQ_CONF, 0, read_vq_conf},
	{CMD_VDEV_RESET, 0, vdev_reset},
	{CMD_SET_IND, 0, set_ind},
	{CMD_SET_CONF_IND, 0, set_conf_ind},
	{CMD_READ_STATUS, 2, read_status},
	{CMD_SET_IND_ADAPTER, 0, set_ind_adapter},
};

/* A driver that begins without a revision is a legacy one. Then, or later: may it give a command that is there since this revision? */
static bool in_revision(struct virtio_ccw *c, int since)
{
	bool ok = true;

	virtio_lock(c->vd);
	if (c->revision == REVISION_UNSET) {
		ok = virtio_set_legacy(c->vd, true) >= 0;
		if (ok) {
			c->revision = 0;
			c->ind = (struct indicator_area){0};
		}
	}
	ok = ok && since <= c->revision;
	virtio_unlock(c->vd);
	return ok;
}

static void count_exit(struct virtio_ccw *c)
{
	atomic_fetch_add_explicit(&c->exits, 1, memory_order_relaxed);
}

static unsigned int ccw_command(void *dev, struct css_command *cmd)
{
	struct virtio_ccw *c = dev;

	count_exit(c);
	if (cmd->code == CMD_SET_VIRTIO_REV)
		return set_virtio_rev(c, cmd);
	for (unsigned int i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].code == cmd->code)
			return in_revision(c, commands[i].since) ? commands[i].run(c, cmd) : css_command_reject(cmd);
	return css_command_reject(cmd);
}

/* 4.3.2.1: revisions do not outlast the subchannel's being disabled. What the last driver left is reset when the next one shows which sort it is. */
static void ccw_enabled(void *dev)
{
	struct virtio_ccw *c = dev;

	virtio_lock(c->vd);
	c->revision = REVISION_UNSET;
	virtio_unlock(c->vd);
}

static void ccw_reset(void *dev)
{
	struct virtio_ccw *c = dev;

	virtio_lock(c->vd);
	c->revision = REVISION_UNSET;
	reset_device(c);
	virtio_unlock(c->vd);
}

static const struct css_device_ops device_ops = {
	.cu_type = VIRTIO_CCW_CU_TYPE,
	.command = ccw_command,
	.enabled = ccw_enabled,
	.reset = ccw_reset,
};

static int ring(void *dev, void *arg)
{
	struct virtio_ccw *c = dev;
	uint64_t n = *(uint64_t *)arg;

	count_exit(c);
	if (n >= c->vd->n_queues)
		return -EINVAL;
	if (!atomic_load(&c->revision))
		virtio_ring_early(c->vd, (uint32_t)n);
	virtio_ring(c->vd, (uint32_t)n);
	return 0;
}

int64_t virtio_ccw_notify(struct css *css, uint32_t sid, uint64_t queue)
{
	return css_with_device(css, sid, &device_ops, ring, &queue) < 0 ? -EINVAL : 0;
}

uint64_t virtio_ccw_exits(const struct virtio_ccw *c)
{
	return atomic_load_explicit(&c->exits, memory_order_relaxed);
}

/* --- life --- */

void virtio_ccw_save(const struct virtio_ccw *c, struct virtio_ccw_state *ret)
{
	virtio_lock(c->vd);
	*ret = (struct virtio_ccw_state){
		.version = STATE_VERSION,
		.revision = c->revision,
		.queues = c->ind.queues,
		.bit_nr = c->ind.bit_nr,
		.summary = c->ind.summary,
		.config = c->ind.config,
		.kind = (uint8_t)c->ind.kind,
		.isc = c->ind.isc,
	};
	virtio_unlock(c->vd);
}

int virtio_ccw_load(struct virtio_ccw *c, const struct virtio_ccw_state *s)
{
	const struct indicator_area ind = {
		.kind = s->kind,
		.queues = s->queues,
		.bit_nr = s->bit_nr,
		.summary = s->summary,
		.isc = s->isc,
		.config = s->config,
	};
	int r = 0;

	if (s->version != STATE_VERSION || s->revision < REVISION_UNSET || s->revision > REVISION_MAX || s->kind > IND_ADAPTER ||
	    !classic_ok(c, s->config) || (s->kind == IND_CLASSIC && !classic_ok(c, s->queues)) ||
	    (s->kind == IND_ADAPTER && !adapter_ok(c, &ind)))
		return -EINVAL;
	virtio_lock(c->vd);
	if (s->revision != REVISION_UNSET && !s->revision != c->vd->s.legacy)
		r = c->vd->s.status ? -EINVAL : virtio_set_legacy(c->vd, !s->revision);
	if (r >= 0) {
		c->revision = s->revision;
		c->ind = ind;
	}
	virtio_unlock(c->vd);
	return r;
}

int virtio_ccw_create(struct virtio_device *vd, struct css *css, const struct virtio_ccw_config *config,
		      struct virtio_ccw **ret, struct err *e)
{
	CLEANUP(cleanup_virtio_ccw_destroy) struct virtio_ccw *c = calloc(1, sizeof(*c));
	struct css_device_config device = {
		.ssid = config->ssid,
		.devno = config->devno,
		.ops = &device_ops,
		.cu_model = (int)vd->class->device_id,
		.dev = c,
		.hotplug = config->hotplug,
	};
	int r;

	if (!c)
		return err_set(e, -ENOMEM, "no memory for virtio-%s", vd->class->name);
	c->vd = vd;
	c->css = css;
	c->config = *config;
	atomic_init(&c->revision, REVISION_UNSET);
	virtio_connect(vd, &transport_ops, c);
	virtio_lock(vd); /* who notifies waits until sch is there */
	r = css_add_device(css, &device, &c->sch, e);
	virtio_unlock(vd);
	if (r < 0)
		return r;
	*ret = TAKE(c);
	return 0;
}

void virtio_ccw_destroy(struct virtio_ccw *c)
{
	if (!c)
		return;
	if (c->sch)
		css_remove_device(c->css, c->sch);
	if (c->vd->transport_ctx == c)
		virtio_connect(c->vd, NULL, NULL);
	free(c);
}
