// SPDX-License-Identifier: MIT
/* Disk images: a raw file or a block device, read and written asynchronously. */
#ifndef LKVM_BACKEND_DISK_H
#define LKVM_BACKEND_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/util.h"
#include "loop/loop.h"

struct disk;
struct disk_request;

struct disk_config {
	const char *path;
	bool readonly;
	bool direct; /* O_DIRECT */
};

struct disk_info {
	uint64_t size;	     /* bytes, rounded up to whole 512-byte sectors */
	uint32_t block_size; /* logical block size in bytes: 512, or the device's own */
	bool readonly;
	bool can_discard, can_write_zeroes;
};

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD, DISK_WRITE_ZEROES };

/* One request; the caller owns it until done() was called, on the loop thread: bytes moved or 0, or -errno. */
struct disk_request {
	enum disk_op op;
	bool unmap; /* DISK_WRITE_ZEROES may deallocate */
	uint64_t offset, len; /* bytes; [offset, offset+len) inside the disk: the caller checked */
	const struct iovec *iov;
	unsigned int n_iov;
	void (*done)(struct disk_request *r, int64_t result);
	/* The backend's own from here on. */
	struct loop_io io;
	struct disk *disk;
	void *bounce;
	struct iovec part;
	uint64_t total;
	int64_t result;
	uint8_t state, stage;
};

/*
 * What stands behind a disk. The raw backend is disk_open's; another one (a format, a test's failing disk) embeds struct disk
 * and gives its own. submit: as disk_submit. close frees the structure.
 */
struct disk_ops {
	void (*submit)(struct disk *disk, struct disk_request *r);
	void (*close)(struct disk *disk);
};

struct disk {
	const struct disk_ops *ops;
	struct disk_info info;
};

/*
 * Opens and locks the image (a read-write image excludes every other user, read-only ones share; OFD locks, released with the disk however
 * the process ends; a block device opened for writing is claimed with O_EXCL as well, which refuses a mounted one. A file system without
 * locks is taken without). Errors, each with a sentence and a cure: no such file, no permission, not a file or block device, in use, an image in another
 * format than raw (qcow2, VMDK, VHDX... are refused, never treated as raw), empty.
 */
int disk_open(struct loop *loop, const struct disk_config *config, struct disk **ret, struct err *e);
void disk_close(struct disk *disk); /* no request may be in flight; NULL is fine */
DEFINE_CLEANUP(disk, disk_close)

const struct disk_info *disk_info(const struct disk *disk);

/*
 * Starts r; done() may run before this returns. Loop thread only. Short transfers are continued, reads behind the end of an odd-sized file
 * give zeroes; O_DIRECT alignment is bounced. A discard that the host cannot do succeeds without effect; zeroes are written where nothing quicker works.
 */
void disk_submit(struct disk *disk, struct disk_request *r);

#endif
