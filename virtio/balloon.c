// SPDX-License-Identifier: MIT
#include "virtio/balloon.h"

#include <errno.h>

#include "base/endian.h"
#include "base/sys.h"

/* 5.5.3 */
enum { F_STATS_VQ = 1, F_DEFLATE_ON_OOM = 2, F_PAGE_REPORTING = 5, F_RING_PACKED = 34 };

/*
 * 5.5.2. Drivers number only the queues that exist: without statistics, reporting comes third. The fourth and fifth number both
 * mean reporting here, as the free page hint queue in between is never offered.
 */
enum { Q_INFLATE, Q_DEFLATE, Q_STATS, Q_COUNT = 5 };

/* 5.5.4 */
enum { C_NUM_PAGES = 0, C_ACTUAL = 4, C_SIZE = 8 };

#define DEVICE_ID_BALLOON 5
#define QUEUE_SIZE 128
#define IOV_CAP (QUEUE_SIZE + MEMORY_MAX_REGIONS)
#define PAGE_SHIFT 12
#define PFNS_MAX 16384 /* of one request */
#define PAGES_BATCH 4096 /* given back in one kick before others get their turn */
#define REQUESTS_BATCH 64
#define REPORTS_BATCH 16
#define STAT_SIZE 10 /* le16 tag, le64 value */
#define STATS_READ 64 /* entries looked at in one report */

struct balloon_state {
	uint32_t num_pages, actual;
	/* The statistics buffer that the device holds until it wants fresh ones. */
	uint16_t held_id, held_n_desc;
	uint8_t held;
	uint8_t reserved[3];
};

struct balloon {
	struct virtio_device *vd;
	struct balloon_state s;
	struct virtio_balloon_stats stats;
	struct iovec iov[IOV_CAP];
};

/* Gives the pages [pfn, pfn+n) back. Pages outside RAM, or smaller than the host's, are the guest's own affair: ignored. */
static void discard(struct balloon *b, uint64_t pfn, uint64_t n)
{
	if (n)
		memory_discard(b->vd->env->memory, pfn << PAGE_SHIFT, n << PAGE_SHIFT);
}

/* Runs of neighbours, upwards or downwards, go in one call; so one bad page number takes no good ones with it unless they touch it. */
static void discard_run(struct balloon *b, uint64_t pfn, uint64_t n)
{
	struct slice unused;

	if (!n)
		return;
	if (!memory_slice(b->vd->env->memory, pfn << PAGE_SHIFT, n << PAGE_SHIFT, &unused)) {
		discard(b, pfn, n);
		return;
	}
	for (uint64_t i = 0; i < n; i++)
		discard(b, pfn + i, 1);
}

/* Pages handled, or -EPROTO. */
static int inflate(struct balloon *b, const struct chain *c)
{
	uint64_t n = c->out_len / 4, first = 0, len = 0;
	uint8_t raw[256 * 4];

	if (n > PFNS_MAX)
		return -EPROTO;
	for (uint64_t i = 0; i < n;) {
		uint64_t got = chain_read(c, i * 4, raw, MIN(sizeof(raw), (n - i) * 4)) / 4;

		for (uint64_t k = 0; k < got; k++) {
			uint64_t pfn = virtio_get32(b->vd, raw + k * 4);

			if (len && pfn == first + len) {
				len++;
			} else if (len && pfn + 1 == first) {
				first--;
				len++;
			} else {
				discard_run(b, first, len);
				first = pfn;
				len = 1;
			}
		}
		i += got;
	}
	discard_run(b, first, len);
	return (int)n;
}

/* Free page reporting: the writable buffers are the free pages themselves. Pages handled: with huge pages, clearing parts of them takes time. */
static int report(struct balloon *b, const struct chain *c)
{
	struct memory *m = b->vd->env->memory;

	for (unsigned int i = c->n_out; i < c->n_out + c->n_in; i++)
		memory_discard(m, memory_gpa(m, c->iov[i].iov_base), c->iov[i].iov_len);
	return (int)MAX(c->in_len >> PAGE_SHIFT, (uint64_t)PAGES_BATCH / REPORTS_BATCH);
}

static void stats_give_back(struct balloon *b)
{
	struct queue *q = virtio_queue(b->vd, Q_STATS);
	struct chain c = { .id = b->s.held_id, .n_desc = b->s.held_n_desc };

	if (!b->s.held || !q)
		return;
	b->s.held = 0;
	queue_push(q, &c, 0);
}

/* A report came: its numbers are kept by tag, and its buffer until the next is wanted. */
static void stats_take(struct balloon *b, const struct chain *c)
{
	uint64_t n = MIN(c->out_len / STAT_SIZE, STATS_READ);
	uint8_t raw[STAT_SIZE];

	stats_give_back(b);
	for (uint64_t i = 0; i < n; i++) {
		uint16_t tag;

		chain_read(c, i * STAT_SIZE, raw, sizeof(raw));
		tag = virtio_get16(b->vd, raw);
		if (tag >= VIRTIO_BALLOON_STATS)
			continue;
		b->stats.value[tag] = virtio_get64(b->vd, raw + 2);
		b->stats.valid |= 1U << tag;
	}
	b->stats.when = sys_now_ns();
	b->s.held = 1;
	b->s.held_id = c->id;
	b->s.held_n_desc = c->n_desc;
}

static void balloon_kick(void *dev, unsigned int n)
{
	struct balloon *b = dev;
	struct queue *q = virtio_queue(b->vd, n);
	bool stats = n == Q_STATS && virtio_has(b->vd, F_STATS_VQ);
	int budget = PAGES_BATCH, r;
	struct chain c;

	if (!q || (n >= Q_STATS && !stats && !virtio_has(b->vd, F_PAGE_REPORTING)))
		return;
	do {
		queue_doorbell_off(q);
		for (;;) {
			c = (struct chain){ .iov = b->iov, .cap = IOV_CAP };
			r = budget > 0 ? queue_pop(q, &c) : 0;
			if (r <= 0)
				break;
			if (stats) {
				stats_take(b, &c);
				budget -= PAGES_BATCH / REQUESTS_BATCH;
				continue;
			}
			if (n == Q_INFLATE)
				r = inflate(b, &c);
			else if (n != Q_DEFLATE) /* pages taken back come when they are touched */
				r = report(b, &c);
			if (r < 0)
				break;
			budget -= MAX(r, PAGES_BATCH / REQUESTS_BATCH);
			queue_push(q, &c, 0);
		}
		if (r < 0) {
			virtio_broken(b->vd, "a request or the ring of a balloon queue is broken");
			return;
		}
		if (budget < PAGES_BATCH)
			virtio_signal(b->vd, n);
		if (budget <= 0) {
			virtio_kick_later(b->vd, n);
			return;
		}
	} while (queue_doorbell_on(q));
}

/* Little-endian for legacy drivers, too: 5.5.4, unlike all other devices' (no config_fields). */
static void balloon_config_read(void *dev, uint32_t offset, void *buf, uint32_t len)
{
	const struct balloon *b = dev;
	uint8_t c[C_SIZE];

	put_le32(c + C_NUM_PAGES, b->s.num_pages);
	put_le32(c + C_ACTUAL, b->s.actual);
	memcpy(buf, c + offset, len);
}

static void balloon_config_write(void *dev, uint32_t offset, const void *buf, uint32_t len)
{
	struct balloon *b = dev;
	uint8_t c[C_SIZE];

	/* num_pages is the device's alone. */
	put_le32(c + C_ACTUAL, b->s.actual);
	memcpy(c + offset, buf, len);
	b->s.actual = get_le32(c + C_ACTUAL);
}

static void balloon_reset(void *dev)
{
	struct balloon *b = dev;

	/* The target is the host's and stays. */
	b->s = (struct balloon_state){ .num_pages = b->s.num_pages };
	b->stats = (struct virtio_balloon_stats){ 0 };
}

static int balloon_save(void *dev, void *state)
{
	const struct balloon *b = dev;

	*(struct balloon_state *)state = b->s;
	return 0;
}

/* Ring slots of the statistics queue that are taken and not given back. */
static unsigned int stats_slots(struct balloon *b)
{
	const struct queue *q = virtio_queue(b->vd, Q_STATS);

	if (virtio_has(b->vd, F_RING_PACKED))
		return q->s.next_avail + (q->s.avail_wrap == q->s.used_wrap ? 0 : q->s.num) - q->s.next_used;
	return (uint16_t)(q->s.next_avail - q->s.next_used);
}

static int balloon_load(void *dev, const void *state)
{
	struct balloon *b = dev;
	const struct balloon_state *s = state;

	bool running = virtio_queue(b->vd, Q_STATS);

	/* The core has started the queues (unless the device waits for its reset): what is held must be one of theirs. */
	if (s->held > 1 || (s->held && running && (!s->held_n_desc || s->held_n_desc > stats_slots(b))))
		return -EINVAL;
	b->s = *s;
	if (!running)
		b->s.held = 0;
	return 0;
}

static void balloon_destroy(void *dev)
{
	free(dev);
}

static const struct virtio_class balloon_class = {
	.name = "balloon",
	.device_id = DEVICE_ID_BALLOON,
	.state_version = 1,
	.state_size = sizeof(struct balloon_state),
	.config_read = balloon_config_read,
	.config_write = balloon_config_write,
	.kick = balloon_kick,
	.reset = balloon_reset,
	.save = balloon_save,
	.load = balloon_load,
	.destroy = balloon_destroy,
};

int virtio_balloon_create(const struct virtio_env *env, struct virtio_device **ret, struct err *e)
{
	static const uint16_t sizes[Q_COUNT] = { QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE };
	uint64_t features = UINT64_C(1) << F_STATS_VQ | UINT64_C(1) << F_DEFLATE_ON_OOM |
			    UINT64_C(1) << F_PAGE_REPORTING;
	struct balloon *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return err_set(e, -ENOMEM, "out of memory");
	r = virtio_create(&balloon_class, b, env, features, C_SIZE, sizes, Q_COUNT, &b->vd);
	if (r < 0) {
		free(b);
		return err_set(e, r, "out of memory");
	}
	*ret = b->vd;
	return 0;
}

void virtio_balloon_set_target(struct virtio_device *vd, uint32_t pages4k)
{
	struct balloon *b = vd->dev;

	virtio_lock(vd);
	if (b->s.num_pages != pages4k) {
		b->s.num_pages = pages4k;
		virtio_config_changed(vd);
	}
	virtio_unlock(vd);
}

void virtio_balloon_get(struct virtio_device *vd, uint32_t *ret_target, uint32_t *ret_actual,
			struct virtio_balloon_stats *ret_stats)
{
	struct balloon *b = vd->dev;

	virtio_lock(vd);
	if (ret_target)
		*ret_target = b->s.num_pages;
	if (ret_actual)
		*ret_actual = b->s.actual;
	if (ret_stats) {
		*ret_stats = b->stats;
		if (b->s.held && virtio_running(vd) && virtio_queue(vd, Q_STATS)) {
			stats_give_back(b);
			virtio_signal(vd, Q_STATS);
		}
	}
	virtio_unlock(vd);
}
