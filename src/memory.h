// SPDX-License-Identifier: MIT
/*
 * Guest physical memory. Every access is a checked (address, length) copy, or a slice inside one region; nobody
 * else holds a pointer into the guest. Regions are added while the VM is assembled and live as long as the
 * memory does, so slices stay valid; all functions but memory_add* are thread-safe.
 */
#ifndef LKVM_MEMORY_H
#define LKVM_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/util.h"

#define MEMORY_MAX_REGIONS 8

struct memory_region {
	uint64_t gpa;  /* guest physical address, page-aligned */
	uint64_t size; /* bytes, page-aligned */
	char *host;
	uint64_t *dirty; /* one bit a page of the host while tracking, else NULL */
	uint64_t host_page; /* bytes of a page of its backing: the grain of memory_discard */
	void *map;	    /* the whole mapping; host lies in it so that huge pages fit */
	uint64_t map_size;
};

struct memory {
	struct memory_region region[MEMORY_MAX_REGIONS]; /* sorted by gpa, disjoint */
	unsigned int n_regions;
};

/* How RAM is backed on the host. */
struct memory_backing {
	const char *hugetlbfs; /* folder of a mounted hugetlbfs, or NULL for anonymous memory */
	bool merge;	       /* let the host's KSM merge equal pages */
};

/* A piece of guest memory inside one region: checked once, then as good as the host's own. */
struct slice {
	char *p; /* NULL when empty */
	size_t len;
};

int memory_create(struct memory **ret);
void memory_destroy(struct memory *m); /* unmaps all regions; NULL is fine */
DEFINE_CLEANUP(memory, memory_destroy)

/*
 * Adds `size` bytes of RAM at `gpa`, reserved but not touched (MAP_NORESERVE: more than the host has is fine).
 * Errors: -EINVAL unaligned or overlapping, -ENOSPC too many regions, -ENOMEM or hugetlbfs's own with a sentence.
 */
int memory_add(struct memory *m, uint64_t gpa, uint64_t size, const struct memory_backing *backing,
	       struct err *e);

/* Copies; 0, or -EFAULT when any byte lies outside RAM (nothing is copied then). Ranges may cross regions. */
int memory_read(const struct memory *m, uint64_t gpa, void *buf, size_t len);
int memory_write(struct memory *m, uint64_t gpa, const void *buf, size_t len);
int memory_zero(struct memory *m, uint64_t gpa, uint64_t len);
/* Sets bits of one byte atomically, after everything stored before and before everything loaded later: its old value, or -EFAULT. For indicators that the guest clears. */
int memory_set_bits(struct memory *m, uint64_t gpa, uint8_t bits);

/* The slice [gpa, gpa+len) when it lies in one region; -EFAULT otherwise. len 0 gives an empty slice. */
int memory_slice(const struct memory *m, uint64_t gpa, uint64_t len, struct slice *ret);

/*
 * Describes [gpa, gpa+len) with at most max iovecs (more than one only where regions meet). Returns their
 * number, -EFAULT outside RAM, -ENOSPC when max is too small. Whoever writes through them says so with
 * memory_mark_dirty().
 */
int memory_iov(const struct memory *m, uint64_t gpa, uint64_t len, struct iovec *iov, unsigned int max);

/* The guest address of a host pointer made by a slice or iovec of this memory; asserts that it is one. */
uint64_t memory_gpa(const struct memory *m, const void *p);

/* Notes that the device wrote there (outside RAM: ignored). Costs a test when nobody tracks. */
void memory_mark_dirty(struct memory *m, uint64_t gpa, uint64_t len);

/*
 * Little of the 2 MiB blocks that [gpa, gpa+len) touches will ever be used: no huge pages there, whose zeroing costs as much as fifty small ones. For what
 * the machine itself puts into RAM before a guest runs (a small kernel, the device tree). While the VM is assembled; outside RAM: ignored.
 */
void memory_expect_sparse(struct memory *m, uint64_t gpa, uint64_t len);

/* Gives pages back to the host (balloon, free page reporting): they read as zero afterwards. 0, -EFAULT, -EINVAL. */
int memory_discard(struct memory *m, uint64_t gpa, uint64_t len);

/*
 * Ring fields: atomic, with explicit order and byte order. The slice must be aligned to the number; the caller
 * checked that when the ring was set up. `off` is asserted to lie inside.
 */
uint16_t slice_load_le16(const struct slice *s, size_t off, memory_order order);
uint32_t slice_load_le32(const struct slice *s, size_t off, memory_order order);
uint64_t slice_load_le64(const struct slice *s, size_t off, memory_order order);
void slice_store_le16(const struct slice *s, size_t off, uint16_t v, memory_order order);
void slice_store_le32(const struct slice *s, size_t off, uint32_t v, memory_order order);
void slice_store_le64(const struct slice *s, size_t off, uint64_t v, memory_order order);

#endif
