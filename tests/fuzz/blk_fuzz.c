// SPDX-License-Identifier: MIT
/* virtio blk on a disk in memory, which checks what it is asked, fails, and keeps requests back. */
#include <errno.h>

#include "device_fuzz.h"
#include "virtio/blk.h"

#define SECTORS 64
#define SIZE (SECTORS * 512)
#define HELD_MAX 512

struct fake {
	struct disk disk;
	char data[SIZE];
	uint8_t mood; /* 1: fails, 2: holds */
	struct disk_request *held[HELD_MAX];
	unsigned int n_held;
};

#define REQUIRE(cond)                                                                              \
	do {                                                                                       \
		if (!(cond))                                                                       \
			abort();                                                                   \
	} while (0)

static int64_t perform(struct fake *f, struct disk_request *r)
{
	uint64_t at = r->offset, sum = 0;

	if (r->op == DISK_FLUSH)
		return f->mood & 1 ? -EIO : 0;
	REQUIRE(r->offset <= SIZE && r->len <= SIZE - r->offset);
	REQUIRE(r->offset % 512 == 0 && r->len % 512 == 0);
	REQUIRE(!f->disk.info.readonly || r->op == DISK_READ);
	if (f->mood & 1)
		return -EIO;
	if (r->op != DISK_READ && r->op != DISK_WRITE) {
		memset(f->data + at, 0, r->len);
		return 0;
	}
	for (unsigned int i = 0; i < r->n_iov; i++) {
		REQUIRE(r->iov[i].iov_len <= r->len - sum);
		if (r->op == DISK_READ)
			memcpy(r->iov[i].iov_base, f->data + at + sum, r->iov[i].iov_len);
		else
			memcpy(f->data + at + sum, r->iov[i].iov_base, r->iov[i].iov_len);
		sum += r->iov[i].iov_len;
	}
	REQUIRE(sum == r->len);
	return (int64_t)sum;
}

static void submit(struct disk *disk, struct disk_request *r)
{
	struct fake *f = container_of(disk, struct fake, disk);

	if (f->mood & 2 && f->n_held < HELD_MAX)
		f->held[f->n_held++] = r;
	else
		r->done(r, perform(f, r));
}

/* The structure is the caller's. */
static void close_fake(struct disk *disk)
{
	REQUIRE(!container_of(disk, struct fake, disk)->n_held);
}

static const struct disk_ops fake_ops = { .submit = submit, .close = close_fake };

static int create(struct fuzz_guest *g)
{
	struct fake *f = g->ctx;
	uint8_t how = (uint8_t)fuzz_bytes(g, 1);
	struct virtio_blk_config config = {
		.disk = &f->disk,
		.serial = "fuzz",
		.queues = 1 + how % 3,
		.queue_size = 4u << (how >> 2 & 3),
	};

	f->disk.ops = &fake_ops;
	f->disk.info = (struct disk_info){
		.size = SIZE,
		.block_size = 512,
		.readonly = how >> 6 == 1,
		.can_discard = how >> 6 != 1,
		.can_write_zeroes = how >> 6 != 1,
	};
	return virtio_blk_create(&config, &g->vm->env, &g->vd, NULL);
}

/* Header, data and status, each of them possibly cut, too short or too long. */
static unsigned int request(struct fuzz_guest *g, struct mock_buf *bufs, unsigned int *ret_queue)
{
	static const uint8_t types[] = { 0, 1, 0, 1, 4, 8, 11, 13 };
	uint8_t type = (uint8_t)fuzz_bytes(g, 1), shape = (uint8_t)fuzz_bytes(g, 1), h[48] = { 0 };
	uint64_t at = g->pool + (fuzz_bytes(g, 2) & ~UINT64_C(15)) % (FUZZ_POOL / 2);
	uint32_t len = fuzz_len(g) % (FUZZ_POOL / 2), header = 16;
	bool in = types[type % 8] == 0 || types[type % 8] == 8;
	unsigned int n = 0;

	*ret_queue = type >> 3 & 3;
	put_le32(h, type & 0x80 ? type : types[type % 8]);
	put_le64(h + 8, shape & 0x80 ? fuzz_bytes(g, 8) : fuzz_bytes(g, 1) % (SECTORS + 2));
	if (types[type % 8] >= 11) { /* ranges */
		put_le64(h + 16, fuzz_bytes(g, 1));
		put_le32(h + 24, (uint32_t)fuzz_bytes(g, 1));
		put_le32(h + 28, (uint32_t)fuzz_bytes(g, 1) % 4);
		header += len % 2 ? 32 : 16;
	}
	memory_write(g->vm->memory, at, h, header);
	if (shape & 1) {
		bufs[n++] = (struct mock_buf){ at, shape >> 4 & 7, false };
		bufs[n++] = (struct mock_buf){ at + bufs[0].len, header - bufs[0].len, false };
	} else if (shape & 2 && !in) {
		header += len;
		len = 0;
		bufs[n++] = (struct mock_buf){ at, header, false };
	} else {
		bufs[n++] = (struct mock_buf){ at, header, false };
	}
	at += 64;
	if (len && in && shape & 4) {
		bufs[n++] = (struct mock_buf){ at, len + 1, true };
		return n;
	}
	if (len && shape & 8) {
		bufs[n++] = (struct mock_buf){ at, len / 2, in };
		bufs[n++] = (struct mock_buf){ at + len / 2, len - len / 2, in };
	} else if (len) {
		bufs[n++] = (struct mock_buf){ at, len, in };
	}
	if ((shape & 0x70) != 0x70)
		bufs[n++] = (struct mock_buf){ at + len, 1, true };
	return n;
}

static void settle(struct fuzz_guest *g)
{
	struct fake *f = g->ctx;

	f->mood &= ~2;
	while (f->n_held) {
		struct disk_request *r = f->held[--f->n_held];

		r->done(r, perform(f, r));
	}
}

static void act(struct fuzz_guest *g, uint8_t what)
{
	struct fake *f = g->ctx;

	if (what & 4)
		settle(g);
	f->mood = what & 3;
}

static bool alive(struct fuzz_guest *g)
{
	uint8_t header[16] = { 0 }, answer[513];
	struct fake *f = g->ctx;

	f->mood = 0;
	put_le64(header + 8, SECTORS - 1);
	answer[512] = 0xaa;
	return mock_request(g->d, 0, header, 16, answer, 513) == 513 && !answer[512];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_device device = {
		.create = create,
		.request = request,
		.act = act,
		.settle = settle,
		.alive = alive,
	};
	struct fake *f = calloc(1, sizeof(*f));

	if (!f)
		return 0;
	fuzz_run(&device, f, data, size);
	free(f);
	return 0;
}
