// SPDX-License-Identifier: MIT
#include "virtio/blk.h"

#include <errno.h>

#include "base/endian.h"

/* 5.2.3 */
enum {
	F_SEG_MAX = 2,
	F_RO = 5,
	F_BLK_SIZE = 6,
	F_FLUSH = 9,
	F_TOPOLOGY = 10,
	F_CONFIG_WCE = 11,
	F_MQ = 12,
	F_DISCARD = 13,
	F_WRITE_ZEROES = 14,
};

/* 5.2.6 */
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };

/* Configuration space, 5.2.4: offsets. */
enum {
	C_CAPACITY = 0,
	C_SEG_MAX = 12,
	C_BLK_SIZE = 20,
	C_PHYSICAL_BLOCK_EXP = 24,
	C_MIN_IO_SIZE = 26,
	C_WRITEBACK = 32,
	C_NUM_QUEUES = 34,
	C_MAX_DISCARD_SECTORS = 36,
	C_MAX_DISCARD_SEG = 40,
	C_DISCARD_SECTOR_ALIGNMENT = 44,
	C_MAX_WRITE_ZEROES_SECTORS = 48,
	C_MAX_WRITE_ZEROES_SEG = 52,
	C_WRITE_ZEROES_MAY_UNMAP = 56,
	C_SIZE = 60,
};

#define DEVICE_ID_BLK 2
#define SECTOR 512
#define HEADER_SIZE 16 /* le32 type, le32 ioprio, le64 sector */
#define ID_SIZE 20
#define RANGE_SIZE 16 /* le64 sector, le32 num_sectors, le32 flags */
#define RANGE_UNMAP 1
#define MAX_RANGES 16
#define MAX_DISCARD_SECTORS (1U << 22)
#define MAX_WRITE_ZEROES_SECTORS (1U << 18)
#define PHYSICAL_BLOCK 4096
#define QUEUE_SIZE 128
#define QUEUE_SIZE_MAX 256
/* Segments of one request: the ring's worth, and pieces of buffers that cross from one memory region to the next. */
#define IOV_MAX_CHAIN (QUEUE_SIZE_MAX + 2 + MEMORY_MAX_REGIONS)
#define IOV_SMALL 8
#define SLAB_REQUESTS 8
#define BATCH 256 /* requests of one kick before others get their turn */

/* At most as many as the queues have entries: the rings refuse more. */
struct request {
	struct disk_request disk;
	struct blk *blk;
	struct request *next; /* in blk->idle */
	struct chain chain;   /* iov: small, or allocated for a long chain */
	char *status;	      /* the last byte of the writable part */
	uint32_t type;
	unsigned int queue;
	unsigned int range, n_ranges; /* discard, write zeroes */
	bool trimmed;		      /* the last writable iovec is held one byte shorter */
	bool flushing;		      /* a write-through write has been written */
	struct iovec small[IOV_SMALL];
};

struct slab {
	struct slab *next;
	struct request request[SLAB_REQUESTS];
};

struct blk {
	struct virtio_device *vd;
	struct disk *disk;
	uint64_t sectors;
	uint8_t writeback;
	char id[ID_SIZE];
	uint32_t seg_max;
	/*
	 * Loop thread only. Completions may arrive inside disk_submit, with the lock held: `locked` tells them, and those then leave
	 * the interrupt to whoever took the lock, who looks at `pushed` (a bit a queue) at the end of his batch.
	 */
	bool locked;
	uint32_t pushed;
	struct slab *slabs;
	struct request *idle;
	struct iovec scratch[IOV_MAX_CHAIN];
};

struct blk_state {
	uint8_t writeback;
	uint8_t reserved[7];
};

static void disk_done(struct disk_request *r, int64_t result);

/* --- requests --- */

static struct request *request_get(struct blk *blk)
{
	struct request *r;

	if (!blk->idle) {
		struct slab *slab = calloc(1, sizeof(*slab));

		if (!slab)
			return NULL;
		slab->next = blk->slabs;
		blk->slabs = slab;
		for (unsigned int i = 0; i < SLAB_REQUESTS; i++) {
			slab->request[i].blk = blk;
			slab->request[i].disk.done = disk_done;
			slab->request[i].next = blk->idle;
			blk->idle = &slab->request[i];
		}
	}
	r = blk->idle;
	blk->idle = r->next;
	return r;
}

static void request_put(struct blk *blk, struct request *r)
{
	if (r->chain.iov != r->small)
		free(r->chain.iov);
	r->next = blk->idle;
	blk->idle = r;
}

/*
 * Puts the status byte and gives the buffers back. The used length counts bytes from the first writable one on, so it is only told when all were
 * written (`whole`); otherwise what may have been written is marked dirty here.
 */
static void complete(struct blk *blk, unsigned int n, const struct chain *c, char *status, uint8_t value, bool whole)
{
	struct memory *m = blk->vd->env->memory;
	struct queue *q = virtio_queue(blk->vd, n);

	if (!q)
		return;
	*status = (char)value;
	if (whole || c->in_len == 1) {
		queue_push(q, c, (uint32_t)c->in_len);
	} else {
		for (unsigned int i = c->n_out; i < c->n_out + c->n_in; i++)
			memory_mark_dirty(m, memory_gpa(m, c->iov[i].iov_base), c->iov[i].iov_len);
		queue_push(q, c, 0);
	}
	blk->pushed |= 1U << n;
}

static void request_finish(struct blk *blk, struct request *r, uint8_t status)
{
	struct chain *c = &r->chain;

	if (r->trimmed)
		c->iov[c->n_out + c->n_in - 1].iov_len++;
	complete(blk, r->queue, c, r->status, status, status == S_OK && r->type == T_IN);
	request_put(blk, r);
	virtio_put(blk->vd);
}

static bool in_range(const struct blk *blk, uint64_t sector, uint64_t n)
{
	return sector <= blk->sectors && n <= blk->sectors - sector;
}

/* Starts range number r->range of a discard or write-zeroes request; S_OK when it is under way. 5.2.6.2 */
static uint8_t start_range(struct blk *blk, struct request *r)
{
	bool discard = r->type == T_DISCARD;
	uint32_t sectors, flags;
	uint8_t raw[RANGE_SIZE];
	uint64_t sector;

	if (chain_read(&r->chain, HEADER_SIZE + (uint64_t)r->range * RANGE_SIZE, raw, sizeof(raw)) != sizeof(raw))
		return S_IOERR;
	sector = virtio_get64(blk->vd, raw);
	sectors = virtio_get32(blk->vd, raw + 8);
	flags = virtio_get32(blk->vd, raw + 12);
	if (flags & ~(discard ? 0U : RANGE_UNMAP))
		return S_UNSUPP;
	if (sectors > (discard ? MAX_DISCARD_SECTORS : MAX_WRITE_ZEROES_SECTORS) || !in_range(blk, sector, sectors))
		return S_IOERR;
	r->range++;
	r->disk.op = discard ? DISK_DISCARD : DISK_WRITE_ZEROES;
	r->disk.unmap = flags & RANGE_UNMAP;
	r->disk.offset = sector * SECTOR;
	r->disk.len = (uint64_t)sectors * SECTOR;
	r->disk.iov = NULL;
	r->disk.n_iov = 0;
	disk_submit(blk->disk, &r->disk);
	return S_OK;
}

/* 5.2.6.2: without a volatile cache that the driver knows of, a write is stable when it completes. */
static bool write_through(const struct blk *blk)
{
	return virtio_has(blk->vd, F_CONFIG_WCE) ? !blk->writeback : !virtio_has(blk->vd, F_FLUSH);
}

/* One step of a request is done: the next one, or the end. Locked. */
static void request_advance(struct blk *blk, struct request *r, int64_t result)
{
	bool moves = (r->type == T_IN || r->type == T_OUT) && !r->flushing;
	uint8_t status;

	if (result < 0 || (moves && (uint64_t)result != r->disk.len)) {
		request_finish(blk, r, S_IOERR);
		return;
	}
	if (r->range < r->n_ranges) {
		status = start_range(blk, r);
		if (status != S_OK)
			request_finish(blk, r, status);
		return;
	}
	if (r->type != T_IN && r->type != T_FLUSH && !r->flushing && write_through(blk)) {
		r->flushing = true;
		r->disk.op = DISK_FLUSH;
		disk_submit(blk->disk, &r->disk);
		return;
	}
	request_finish(blk, r, S_OK);
}

static void signal_pushed(struct blk *blk)
{
	for (unsigned int n = 0; blk->pushed; n++) {
		if (blk->pushed & 1U << n) {
			blk->pushed &= ~(1U << n);
			virtio_signal(blk->vd, n);
		}
	}
}

static void disk_done(struct disk_request *disk, int64_t result)
{
	struct request *r = container_of(disk, struct request, disk);
	struct blk *blk = r->blk;

	if (blk->locked) {
		request_advance(blk, r, result);
		return;
	}
	virtio_lock(blk->vd);
	blk->locked = true;
	request_advance(blk, r, result);
	blk->locked = false;
	signal_pushed(blk);
	virtio_unlock(blk->vd);
}

/* Makes the data of a transfer the disk request's buffers, without header and status byte. */
static void take_data(struct request *r, bool in)
{
	struct chain *c = &r->chain;

	if (in) {
		struct iovec *last = &c->iov[c->n_out + c->n_in - 1];

		r->disk.iov = c->iov + c->n_out;
		r->disk.n_iov = c->n_in;
		r->disk.len = c->in_len - 1;
		last->iov_len--;
		r->trimmed = true;
		if (!last->iov_len)
			r->disk.n_iov--;
	} else {
		size_t skip = HEADER_SIZE;
		unsigned int i = 0;

		while (i < c->n_out && skip >= c->iov[i].iov_len)
			skip -= c->iov[i++].iov_len;
		if (i < c->n_out) {
			/* The readable part is not looked at again, so it may be cut for good. */
			c->iov[i].iov_base = (char *)c->iov[i].iov_base + skip;
			c->iov[i].iov_len -= skip;
		}
		r->disk.iov = c->iov + i;
		r->disk.n_iov = c->n_out - i;
		r->disk.len = c->out_len - HEADER_SIZE;
	}
}

/* Checks what can be said without the disk: S_OK when the request is to be started. */
static uint8_t check(const struct blk *blk, const struct chain *c, uint32_t type, uint64_t sector)
{
	uint64_t out = c->out_len - HEADER_SIZE, in = c->in_len - 1, len = type == T_IN ? in : out;

	switch (type) {
	case T_OUT:
		if (blk->disk->info.readonly)
			return S_IOERR;
		__attribute__((fallthrough));
	case T_IN:
		return len % SECTOR || !in_range(blk, sector, len / SECTOR) ? S_IOERR : S_OK;
	case T_FLUSH:
		return S_OK;
	case T_DISCARD:
	case T_WRITE_ZEROES:
		if (!virtio_has(blk->vd, type == T_DISCARD ? F_DISCARD : F_WRITE_ZEROES))
			return S_UNSUPP;
		return !out || out % RANGE_SIZE || out / RANGE_SIZE > MAX_RANGES ? S_IOERR : S_OK;
	default:
		return S_UNSUPP;
	}
}

/* A request just taken, its buffers in blk->scratch. False: the guest broke the protocol. */
static bool start(struct blk *blk, unsigned int n, const struct chain *c)
{
	uint8_t header[HEADER_SIZE], value;
	struct iovec *last = &c->iov[c->n_out + c->n_in - 1];
	unsigned int n_iov = c->n_out + c->n_in;
	struct request *r;
	uint64_t sector;
	uint32_t type;
	char *status;

	if (!c->in_len) {
		virtio_broken(blk->vd, "a block request has no place for its status");
		return false;
	}
	if (chain_read(c, 0, header, sizeof(header)) != sizeof(header)) {
		virtio_broken(blk->vd, "a block request has no whole header");
		return false;
	}
	status = (char *)last->iov_base + last->iov_len - 1;
	type = virtio_get32(blk->vd, header);
	sector = virtio_get64(blk->vd, header + 8);

	if (type == T_GET_ID) {
		chain_write(c, 0, blk->id, MIN(c->in_len - 1, sizeof(blk->id)));
		complete(blk, n, c, status, S_OK, c->in_len <= sizeof(blk->id) + 1);
		return true;
	}
	value = check(blk, c, type, sector);
	r = value == S_OK ? request_get(blk) : NULL;
	if (!r) {
		complete(blk, n, c, status, value == S_OK ? S_IOERR : value, false);
		return true;
	}

	r->chain = *c;
	r->chain.iov = n_iov <= IOV_SMALL ? r->small : malloc(n_iov * sizeof(*r->small));
	if (!r->chain.iov) {
		r->chain.iov = r->small;
		request_put(blk, r);
		complete(blk, n, c, status, S_IOERR, false);
		return true;
	}
	memcpy(r->chain.iov, c->iov, n_iov * sizeof(*r->small));
	r->status = status;
	r->type = type;
	r->queue = n;
	r->range = r->n_ranges = 0;
	r->trimmed = r->flushing = false;
	virtio_get(blk->vd);
	switch (type) {
	case T_FLUSH:
		r->disk.op = DISK_FLUSH;
		break;
	case T_IN:
	case T_OUT:
		take_data(r, type == T_IN);
		r->disk.op = type == T_IN ? DISK_READ : DISK_WRITE;
		r->disk.offset = sector * SECTOR;
		break;
	default:
		r->n_ranges = (unsigned int)((c->out_len - HEADER_SIZE) / RANGE_SIZE);
		request_advance(blk, r, 0);
		return true;
	}
	disk_submit(blk->disk, &r->disk);
	return true;
}

static void blk_kick(void *dev, unsigned int n)
{
	struct blk *blk = dev;
	struct queue *q = virtio_queue(blk->vd, n);
	unsigned int budget = BATCH;
	struct chain c;
	int r;

	if (!q)
		return;
	do {
		queue_doorbell_off(q);
		blk->locked = true;
		for (;;) {
			c = (struct chain){ .iov = blk->scratch, .cap = IOV_MAX_CHAIN };
			r = budget ? queue_pop(q, &c) : 0;
			if (r <= 0)
				break;
			budget--;
			if (!start(blk, n, &c)) {
				blk->locked = false;
				return;
			}
		}
		blk->locked = false;
		signal_pushed(blk);
		if (r < 0) {
			virtio_broken(blk->vd, "the ring of a block queue is broken");
			return;
		}
		if (!budget) {
			virtio_kick_later(blk->vd, n);
			return;
		}
	} while (queue_doorbell_on(q));
}

static void blk_quiesce(void *dev)
{
	struct blk *blk = dev;

	virtio_wait_idle(blk->vd);
}

/* --- the rest of the class --- */

static bool writeback(const struct blk *blk)
{
	/* 5.2.5: a driver that does not know of flushes is told write-through. */
	bool known = !(blk->vd->features >> 32) || virtio_has(blk->vd, F_FLUSH);

	return blk->writeback && known;
}

static void blk_config_read(void *dev, uint32_t offset, void *buf, uint32_t len)
{
	const struct blk *blk = dev;
	const struct disk_info *info = disk_info(blk->disk);
	uint32_t physical = info->block_size < PHYSICAL_BLOCK ? PHYSICAL_BLOCK : info->block_size;
	uint8_t c[C_SIZE] = { 0 };

	put_le64(c + C_CAPACITY, blk->sectors);
	put_le32(c + C_SEG_MAX, blk->seg_max);
	put_le32(c + C_BLK_SIZE, info->block_size);
	c[C_PHYSICAL_BLOCK_EXP] = (uint8_t)__builtin_ctz(physical / info->block_size);
	put_le16(c + C_MIN_IO_SIZE, (uint16_t)(physical / info->block_size));
	c[C_WRITEBACK] = writeback(blk);
	put_le16(c + C_NUM_QUEUES, (uint16_t)blk->vd->n_queues);
	if (info->can_discard) {
		put_le32(c + C_MAX_DISCARD_SECTORS, MAX_DISCARD_SECTORS);
		put_le32(c + C_MAX_DISCARD_SEG, MAX_RANGES);
		put_le32(c + C_DISCARD_SECTOR_ALIGNMENT, physical / SECTOR);
	}
	if (info->can_write_zeroes) {
		put_le32(c + C_MAX_WRITE_ZEROES_SECTORS, MAX_WRITE_ZEROES_SECTORS);
		put_le32(c + C_MAX_WRITE_ZEROES_SEG, MAX_RANGES);
		c[C_WRITE_ZEROES_MAY_UNMAP] = info->can_discard;
	}
	memcpy(buf, c + offset, len);
}

static void blk_config_write(void *dev, uint32_t offset, const void *buf, uint32_t len)
{
	struct blk *blk = dev;

	if (offset <= C_WRITEBACK && C_WRITEBACK - offset < len && virtio_has(blk->vd, F_CONFIG_WCE))
		blk->writeback = ((const uint8_t *)buf)[C_WRITEBACK - offset] & 1;
}

static int blk_activate(void *dev)
{
	struct blk *blk = dev;

	if (!virtio_has(blk->vd, F_FLUSH))
		blk->writeback = 0;
	return 0;
}

static void blk_reset(void *dev)
{
	struct blk *blk = dev;

	blk->writeback = 1;
	blk->pushed = 0;
}

static int blk_save(void *dev, void *state)
{
	const struct blk *blk = dev;

	*(struct blk_state *)state = (struct blk_state){ .writeback = blk->writeback };
	return 0;
}

static int blk_load(void *dev, const void *state)
{
	struct blk *blk = dev;
	const struct blk_state *s = state;

	if (s->writeback > 1)
		return -EINVAL;
	blk->writeback = s->writeback;
	return 0;
}

static void blk_destroy(void *dev)
{
	struct blk *blk = dev;

	for (struct slab *slab = blk->slabs, *next; slab; slab = next) {
		next = slab->next;
		free(slab);
	}
	disk_close(blk->disk);
	free(blk);
}

static const struct virtio_class blk_class = {
	.name = "blk",
	.device_id = DEVICE_ID_BLK,
	.config_fields = "\10\4\4\2\1\1\4\1\1\2\4\1\1\2\4\4\4\4\4",
	.state_version = 1,
	.state_size = sizeof(struct blk_state),
	.config_read = blk_config_read,
	.config_write = blk_config_write,
	.activate = blk_activate,
	.kick = blk_kick,
	.quiesce = blk_quiesce,
	.reset = blk_reset,
	.save = blk_save,
	.load = blk_load,
	.destroy = blk_destroy,
};

static uint64_t bit(bool on, unsigned int n)
{
	return on ? UINT64_C(1) << n : 0;
}

int virtio_blk_create(const struct virtio_blk_config *config, const struct virtio_env *env, struct virtio_device **ret,
		      struct err *e)
{
	unsigned int queues = config->queues ? config->queues : 1;
	unsigned int size = config->queue_size ? config->queue_size : QUEUE_SIZE;
	const struct disk_info *info = disk_info(config->disk);
	uint16_t sizes[VIRTIO_BLK_MAX_QUEUES];
	uint64_t features;
	struct blk *blk;
	int r;

	if (queues > VIRTIO_BLK_MAX_QUEUES)
		return err_set(e, -EINVAL, "a disk has 1 to %u queues, not %u", VIRTIO_BLK_MAX_QUEUES, queues);
	if (!is_pow2(size) || size < 4 || size > QUEUE_SIZE_MAX)
		return err_set(e, -EINVAL, "a disk's queue has a power of two from 4 to %u entries, not %u",
			       QUEUE_SIZE_MAX, size);
	blk = calloc(1, sizeof(*blk));
	if (!blk)
		return err_set(e, -ENOMEM, "out of memory");
	blk->sectors = info->size / SECTOR;
	blk->writeback = 1;
	blk->seg_max = size - 2;
	if (config->serial)
		memcpy(blk->id, config->serial, strnlen(config->serial, sizeof(blk->id)));
	for (unsigned int i = 0; i < queues; i++)
		sizes[i] = (uint16_t)size;
	features = bit(true, F_SEG_MAX) | bit(true, F_BLK_SIZE) | bit(true, F_TOPOLOGY) | bit(true, F_FLUSH) |
		   bit(info->readonly, F_RO) | bit(!info->readonly, F_CONFIG_WCE) | bit(queues > 1, F_MQ) |
		   bit(info->can_discard, F_DISCARD) | bit(info->can_write_zeroes, F_WRITE_ZEROES);
	r = virtio_create(&blk_class, blk, env, features, C_SIZE, sizes, queues, &blk->vd);
	if (r < 0) {
		free(blk);
		return err_set(e, r, "out of memory");
	}
	blk->disk = config->disk;
	*ret = blk->vd;
	return 0;
}
