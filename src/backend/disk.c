// SPDX-License-Identifier: MIT
#include "backend/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/endian.h"
#include "base/sys.h"

#define SECTOR 512
#define DIRECT_ALIGN_MAX 4096
#define BOUNCE_SIZE KIB(128)
#define BOUNCE_MAX 8 /* buffers at once; further misaligned requests go through the page cache */
#define ZEROES_SIZE MIB(1)
#define IOV_BATCH 1024 /* the kernel's UIO_MAXIOV */

struct raw {
	struct disk disk;
	struct loop *loop;
	int fd;	      /* locked; O_DIRECT when asked for */
	int cache_fd; /* the same file through the page cache when fd is O_DIRECT, else -1 */
	enum loop_io_path path, cache_path;
	uint32_t align; /* of offset, length and buffers for O_DIRECT */
	unsigned int bounces;
	void *zeroes; /* ZEROES_SIZE of the zero page, mapped when first needed */
	bool no_punch, no_zero_range;
};

/* disk_request.state: who looks at the result of a step. */
enum { STATE_STARTING, STATE_WAITING, STATE_COMPLETED };

/* disk_request.stage */
enum {
	STAGE_FIRST,  /* transfers: as configured */
	STAGE_CACHED, /* transfers: O_DIRECT refused this one, or there is no bounce buffer left */
	STAGE_PUNCH,
	STAGE_ZERO_RANGE,
	STAGE_WRITE_ZEROES,
};

static struct raw *raw_of(struct disk *disk)
{
	return container_of(disk, struct raw, disk);
}

/* --- transfers --- */

/* The entry that holds byte `offset` of the buffers, and the offset within. */
static unsigned int iov_find(const struct disk_request *r, uint64_t offset, size_t *ret_within)
{
	unsigned int i = 0;

	while (i < r->n_iov && offset >= r->iov[i].iov_len)
		offset -= r->iov[i++].iov_len;
	*ret_within = (size_t)offset;
	return i;
}

enum copy { COPY_GATHER, COPY_SCATTER, COPY_ZERO };

/* Between buf and the request's buffers from byte `offset` on. */
static void iov_copy(const struct disk_request *r, uint64_t offset, void *buf, uint64_t len, enum copy what)
{
	size_t within;

	for (unsigned int i = iov_find(r, offset, &within); i < r->n_iov && len; i++, within = 0) {
		char *p = (char *)r->iov[i].iov_base + within;
		size_t n = MIN(r->iov[i].iov_len - within, len);

		if (what == COPY_GATHER)
			memcpy(buf, p, n);
		else if (what == COPY_SCATTER)
			memcpy(p, buf, n);
		else
			memset(p, 0, n);
		if (buf)
			buf = (char *)buf + n;
		len -= n;
	}
}

static bool aligned(const struct iovec *iov, unsigned int n, uint32_t align)
{
	for (unsigned int i = 0; i < n; i++)
		if (((uintptr_t)iov[i].iov_base | iov[i].iov_len) & (align - 1))
			return false;
	return true;
}

static void use_iov(struct disk_request *r, const struct iovec *iov, unsigned int n)
{
	r->io.iov = iov;
	r->io.n_iov = MIN(n, IOV_BATCH);
}

static void use_fd(struct raw *raw, struct disk_request *r, bool direct)
{
	bool cache = raw->cache_fd >= 0 && !direct;

	r->io.fd = cache ? raw->cache_fd : raw->fd;
	r->io.path = cache ? raw->cache_path : raw->path;
}

/* Describes the next step of a transfer in r->io. */
static void prepare_transfer(struct raw *raw, struct disk_request *r, bool write)
{
	uint64_t pos = r->offset + r->total, left = r->len - r->total;
	bool direct = raw->cache_fd >= 0 && r->stage == STAGE_FIRST && !((pos | left) & (raw->align - 1));
	size_t within = 0;
	unsigned int i = r->total ? iov_find(r, r->total, &within) : 0;

	r->io.op = write ? LOOP_IO_WRITE : LOOP_IO_READ;
	r->io.offset = pos;
	if (!within) {
		use_iov(r, r->iov + i, r->n_iov - i);
	} else { /* the rest of a half-done buffer first, the others after it */
		r->part.iov_base = (char *)r->iov[i].iov_base + within;
		r->part.iov_len = r->iov[i].iov_len - within;
		use_iov(r, &r->part, 1);
	}

	if (direct && !aligned(r->io.iov, r->io.n_iov, raw->align)) {
		if (!r->bounce && raw->bounces < BOUNCE_MAX) {
			r->bounce = aligned_alloc(DIRECT_ALIGN_MAX, BOUNCE_SIZE);
			raw->bounces += r->bounce != NULL;
		}
		if (r->bounce) {
			r->part.iov_base = r->bounce;
			r->part.iov_len = MIN(left, BOUNCE_SIZE);
			if (write)
				iov_copy(r, r->total, r->bounce, r->part.iov_len, COPY_GATHER);
			use_iov(r, &r->part, 1);
		} else {
			r->stage = STAGE_CACHED;
			direct = false;
		}
	}
	use_fd(raw, r, direct);
}

static void prepare_zeroes(struct raw *raw, struct disk_request *r)
{
	uint64_t pos = r->offset + r->total, left = r->len - r->total;
	bool direct = raw->cache_fd >= 0;

	r->part.iov_base = raw->zeroes;
	r->part.iov_len = MIN(left, ZEROES_SIZE);
	if ((pos | r->part.iov_len) & (raw->align - 1))
		direct = false;
	r->io.op = LOOP_IO_WRITE;
	use_fd(raw, r, direct);
	/* Not all pieces at once where each is a copy: others get their turn in between. */
	if (r->len > ZEROES_SIZE && r->io.path == LOOP_IO_NOW)
		r->io.path = LOOP_IO_ASYNC;
	r->io.offset = pos;
	use_iov(r, &r->part, 1);
}

static void prepare(struct raw *raw, struct disk_request *r)
{
	switch (r->op) {
	case DISK_READ:
	case DISK_WRITE:
		prepare_transfer(raw, r, r->op == DISK_WRITE);
		break;
	case DISK_FLUSH:
		r->io.op = LOOP_IO_FDATASYNC;
		use_fd(raw, r, true);
		break;
	case DISK_DISCARD:
	case DISK_WRITE_ZEROES:
		if (r->stage == STAGE_WRITE_ZEROES) {
			prepare_zeroes(raw, r);
			break;
		}
		/* On a block device, punching is a discard that also reads as zero afterwards. */
		r->io.op = LOOP_IO_FALLOCATE;
		use_fd(raw, r, true);
		r->io.fallocate_mode = FALLOC_FL_KEEP_SIZE | (r->stage == STAGE_PUNCH ? FALLOC_FL_PUNCH_HOLE :
											FALLOC_FL_ZERO_RANGE);
		r->io.offset = r->offset;
		r->io.len = r->len;
		break;
	}
}

static void finish(struct raw *raw, struct disk_request *r, int64_t result)
{
	if (r->bounce) {
		free(TAKE(r->bounce));
		raw->bounces--;
	}
	r->done(r, result);
}

/* Takes the result of a step of a transfer: true when there is another step to do. */
static bool advance_transfer(struct raw *raw, struct disk_request *r, int64_t result)
{
	if (result == -EINVAL && raw->cache_fd >= 0 && r->io.fd == raw->fd && r->stage == STAGE_FIRST) {
		r->stage = STAGE_CACHED;
		return true;
	}
	if (result < 0) {
		finish(raw, r, result);
		return false;
	}
	if (result == 0) {
		if (r->op != DISK_READ) {
			finish(raw, r, -EIO);
			return false;
		}
		/* The end of a file whose last sector is not whole (or that someone has shortened). */
		iov_copy(r, r->total, NULL, r->len - r->total, COPY_ZERO);
		result = (int64_t)(r->len - r->total);
	} else if (r->op == DISK_READ && r->io.iov == &r->part && r->part.iov_base == r->bounce) {
		iov_copy(r, r->total, r->bounce, (uint64_t)result, COPY_SCATTER);
	}
	r->total += (uint64_t)result;
	if (r->total < r->len)
		return true;
	finish(raw, r, r->op == DISK_WRITE_ZEROES ? 0 : (int64_t)r->total);
	return false;
}

static bool cannot(int64_t result)
{
	return result == -EOPNOTSUPP || result == -ENOSYS || result == -EINVAL || result == -ENODEV;
}

/* The next way to write zeroes, quickest first; false when there is none. */
static bool next_zeroes_stage(struct raw *raw, struct disk_request *r)
{
	if (r->stage < STAGE_PUNCH && r->unmap && !raw->no_punch) {
		r->stage = STAGE_PUNCH;
		return true;
	}
	if (r->stage < STAGE_ZERO_RANGE && !raw->no_zero_range) {
		r->stage = STAGE_ZERO_RANGE;
		return true;
	}
	if (!raw->zeroes) {
		void *p = mmap(NULL, ZEROES_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return false;
		raw->zeroes = p;
	}
	r->stage = STAGE_WRITE_ZEROES;
	return true;
}

static bool advance(struct raw *raw, struct disk_request *r, int64_t result)
{
	if (result == -EINTR)
		return true;
	switch (r->op) {
	case DISK_READ:
	case DISK_WRITE:
		return advance_transfer(raw, r, result);
	case DISK_FLUSH:
		break;
	case DISK_DISCARD:
		if (result == -EOPNOTSUPP || result == -ENOSYS)
			raw->no_punch = true;
		if (cannot(result))
			result = 0;
		break;
	case DISK_WRITE_ZEROES:
		if (r->stage == STAGE_WRITE_ZEROES)
			return advance_transfer(raw, r, result);
		if (!cannot(result))
			break;
		if (result != -EINVAL) {
			if (r->stage == STAGE_PUNCH)
				raw->no_punch = true;
			else
				raw->no_zero_range = true;
		}
		if (next_zeroes_stage(raw, r))
			return true;
		result = -ENOMEM;
		break;
	}
	finish(raw, r, MIN(result, 0));
	return false;
}

/* Runs steps until one has to be waited for: a loop, so that steps that complete at once do not pile up on the stack. */
static void run(struct raw *raw, struct disk_request *r)
{
	do {
		prepare(raw, r);
		r->state = STATE_STARTING;
		loop_submit(raw->loop, &r->io);
		if (r->state == STATE_STARTING) {
			r->state = STATE_WAITING;
			return;
		}
	} while (advance(raw, r, r->result));
}

static void step_done(struct loop_io *io, int64_t result)
{
	struct disk_request *r = container_of(io, struct disk_request, io);
	struct raw *raw = raw_of(r->disk);

	if (r->state == STATE_STARTING) {
		r->result = result;
		r->state = STATE_COMPLETED;
	} else if (advance(raw, r, result)) {
		run(raw, r);
	}
}

static void raw_submit(struct disk *disk, struct disk_request *r)
{
	struct raw *raw = raw_of(disk);

	r->disk = disk;
	r->bounce = NULL;
	r->total = 0;
	r->stage = STAGE_FIRST;
	r->io.done = step_done;
	switch (r->op) {
	case DISK_FLUSH:
		if (disk->info.readonly) {
			finish(raw, r, 0);
			return;
		}
		run(raw, r);
		return;
	case DISK_READ:
		break;
	default:
		if (disk->info.readonly) {
			finish(raw, r, -EROFS);
			return;
		}
	}
	if (!r->len || (r->op == DISK_DISCARD && raw->no_punch)) {
		finish(raw, r, 0);
		return;
	}
	if (r->op == DISK_DISCARD) {
		r->stage = STAGE_PUNCH;
	} else if (r->op == DISK_WRITE_ZEROES && !next_zeroes_stage(raw, r)) {
		finish(raw, r, -ENOMEM);
		return;
	}
	run(raw, r);
}

static void raw_close(struct disk *disk)
{
	struct raw *raw = raw_of(disk);

	if (raw->zeroes)
		munmap(raw->zeroes, ZEROES_SIZE);
	close_fd(&raw->cache_fd);
	close_fd(&raw->fd);
	free(raw);
}

static const struct disk_ops raw_ops = {
	.submit = raw_submit,
	.close = raw_close,
};

/* --- opening --- */

static int open_error(struct err *e, int code, const char *path, const struct disk_config *config)
{
	switch (code) {
	case -ENOENT:
	case -ENOTDIR:
		return err_set(e, code, "disk %s: no such file; check the path", path);
	case -EACCES:
	case -EPERM:
		return err_set(e, code, "disk %s: no permission to open it for %s; %s", path,
			       config->readonly ? "reading" : "writing",
			       config->readonly ? "change its mode or owner" :
						  "make it writable, or add ,ro to the disk");
	case -EROFS:
		return err_set(e, code, "disk %s is on a read-only file system: add ,ro to the disk", path);
	case -EBUSY:
		return err_set(e, code, "disk %s is in use (mounted, or another program's): unmount it first", path);
	case -EINVAL:
		if (config->direct)
			return err_set(e, code, "disk %s: its file system has no O_DIRECT: leave out ,direct", path);
		break;
	}
	return err_set(e, code, "disk %s cannot be opened: %s", path, err_name(code));
}

/* Another format treated as raw would be shown to the guest as garbage, and written to. */
static const struct {
	unsigned int offset, len;
	const char *magic, *name;
} formats[] = {
	{ 0, 4, "QFI\xfb", "qcow2" },
	{ 0, 4, "QED", "QED" },
	{ 0, 4, "KDMV", "VMDK" },
	{ 0, 4, "COWD", "VMDK" },
	{ 0, 21, "# Disk DescriptorFile", "VMDK" },
	{ 0, 8, "vhdxfile", "VHDX" },
	{ 0, 8, "conectix", "VHD" },
	{ 0x40, 4, "\x7f\x10\xda\xbe", "VDI" },
	{ 0, 16, "WithoutFreeSpace", "Parallels" },
	{ 0, 16, "WithouFreSpacExt", "Parallels" },
};

static int refuse_formats(int fd, const char *path, struct err *e)
{
	char head[128] = "";
	ssize_t n = sys_pread_all(fd, head, sizeof(head), 0);

	if (n < 0)
		return err_set(e, (int)n, "disk %s cannot be read: %s", path, err_name((int)n));
	for (unsigned int i = 0; i < ARRAY_SIZE(formats); i++) {
		if (memcmp(head + formats[i].offset, formats[i].magic, formats[i].len))
			continue;
		return err_set(e, -EMEDIUMTYPE,
			       "disk %s is a %s image, which is not supported: convert it with "
			       "`qemu-img convert -O raw`",
			       path, formats[i].name);
	}
	return 0;
}

static int lock_image(int fd, const char *path, bool readonly, struct err *e)
{
	struct flock lock = { .l_type = readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };

	if (!fcntl(fd, F_OFD_SETLK, &lock))
		return 0;
	switch (errno) {
	case EAGAIN:
	case EACCES:
		return err_set(e, -EBUSY,
			       "disk %s is in use by another guest: stop that one, or add ,ro to the disk of each", path);
	case ENOLCK: /* a file system without locks */
	case EINVAL:
	case EOPNOTSUPP:
	case ENOSYS:
		return 0;
	default:
		return err_set(e, -errno, "disk %s cannot be locked: %s", path, err_name(errno));
	}
}

/* The alignment that O_DIRECT insists on. */
static int direct_align(int fd, uint32_t *ret)
{
	char *buf = aligned_alloc(DIRECT_ALIGN_MAX, 2 * DIRECT_ALIGN_MAX);
	int r = -EINVAL;

	if (!buf)
		return -ENOMEM;
	for (uint32_t align = SECTOR; align <= DIRECT_ALIGN_MAX; align *= 2) {
		ssize_t n = pread(fd, buf + align, align, align);

		if (n >= 0) {
			*ret = align;
			r = 0;
			break;
		}
		r = -errno;
	}
	free(buf);
	return r;
}

/* A number from the queue's folder of a block device (a partition's is its parent's); 0 when there is none. */
static uint64_t queue_limit(dev_t dev, const char *name)
{
	static const char *const where[] = { "", "../" };
	char path[128], text[32] = "";

	for (unsigned int i = 0; i < ARRAY_SIZE(where); i++) {
		CLEANUP_CLOSE int fd = -1;

		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%squeue/%s", major(dev), minor(dev), where[i],
			 name);
		fd = sys_open(path, O_RDONLY, 0);
		if (fd >= 0 && sys_read_all(fd, text, sizeof(text) - 1) > 0)
			return strtoull(text, NULL, 10);
	}
	return 0;
}

static int inspect_block(struct raw *raw, const struct stat *st, const char *path, struct err *e)
{
	struct disk_info *info = &raw->disk.info;
	uint64_t size = 0;
	int sector = SECTOR, r;

	r = sys_ioctl(raw->fd, BLKGETSIZE64, &size);
	if (r >= 0)
		r = sys_ioctl(raw->fd, BLKSSZGET, &sector);
	if (r < 0)
		return err_set(e, r, "disk %s does not tell its size: %s", path, err_name(r));
	info->size = size;
	info->block_size = sector >= SECTOR && is_pow2((unsigned int)sector) ? (uint32_t)sector : SECTOR;
	info->can_discard = !info->readonly && queue_limit(st->st_rdev, "discard_max_bytes");
	return 0;
}

static void inspect_file(struct raw *raw, const struct stat *st)
{
	struct disk_info *info = &raw->disk.info;

	info->size = round_up((uint64_t)st->st_size, SECTOR);
	info->block_size = SECTOR;
	/* Behind the end there is nothing to lose, and the file system still says whether it can. */
	if (!info->readonly && fallocate(raw->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					 (off_t)round_up(info->size, MIB(1)), DIRECT_ALIGN_MAX) == 0)
		info->can_discard = true;
	else
		raw->no_punch = true;
}

int disk_open(struct loop *loop, const struct disk_config *config, struct disk **ret, struct err *e)
{
	const char *path = config->path;
	int mode = config->readonly ? O_RDONLY : O_RDWR, flags = config->direct ? O_DIRECT : 0, r;
	struct raw *raw = NULL;
	struct stat st, other;

	/* Before opening: to open a FIFO waits, and to open some devices does something. */
	if (stat(path, &st)) {
		r = -errno;
		return open_error(e, r, path, config);
	}
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(e, -EINVAL, "disk %s is neither a file nor a block device%s", path,
			       S_ISDIR(st.st_mode) ? ": share a folder with --9p" : ": give a raw image or a block device");

	raw = calloc(1, sizeof(*raw));
	if (!raw)
		return err_set(e, -ENOMEM, "out of memory");
	raw->disk.ops = &raw_ops;
	raw->disk.info.readonly = config->readonly;
	raw->disk.info.can_write_zeroes = !config->readonly;
	raw->loop = loop;
	raw->fd = raw->cache_fd = -1;
	raw->align = SECTOR;

	if (S_ISBLK(st.st_mode) && !config->readonly)
		flags |= O_EXCL;
	r = raw->fd = sys_open(path, mode | flags, 0);
	if (r < 0) {
		r = open_error(e, r, path, config);
		goto fail;
	}
	if (fstat(raw->fd, &st)) {
		r = open_error(e, -errno, path, config);
		goto fail;
	}
	r = lock_image(raw->fd, path, config->readonly, e);
	if (r < 0)
		goto fail;
	if (config->direct) {
		r = raw->cache_fd = sys_open(path, mode, 0);
		if (r < 0 || fstat(raw->cache_fd, &other) || other.st_ino != st.st_ino || other.st_dev != st.st_dev) {
			r = open_error(e, r < 0 ? r : -EBUSY, path, config);
			goto fail;
		}
		r = direct_align(raw->fd, &raw->align);
		if (r < 0) {
			r = open_error(e, r, path, config);
			goto fail;
		}
	}

	raw->path = loop_io_path(raw->fd);
	if (raw->cache_fd >= 0)
		raw->cache_path = loop_io_path(raw->cache_fd);
	if (S_ISBLK(st.st_mode)) {
		r = inspect_block(raw, &st, path, e);
		if (r < 0)
			goto fail;
	} else {
		inspect_file(raw, &st);
	}
	if (!raw->disk.info.size) {
		r = err_set(e, -EINVAL, "disk %s is empty: give it a size (`truncate -s 1G`)", path);
		goto fail;
	}
	r = refuse_formats(raw->cache_fd >= 0 ? raw->cache_fd : raw->fd, path, e);
	if (r < 0)
		goto fail;
	*ret = &raw->disk;
	return 0;
fail:
	disk_close(&raw->disk);
	return r;
}

void disk_close(struct disk *disk)
{
	if (disk)
		disk->ops->close(disk);
}

const struct disk_info *disk_info(const struct disk *disk)
{
	return &disk->info;
}

void disk_submit(struct disk *disk, struct disk_request *r)
{
	disk->ops->submit(disk, r);
}
