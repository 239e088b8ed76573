// SPDX-License-Identifier: MIT
/* For tests of machines: files that have no name, and the device tree that a guest finds. */
#ifndef LKVM_ARCH_TEST_TREE_H
#define LKVM_ARCH_TEST_TREE_H

#include <libfdt.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/endian.h"
#include "base/sys.h"
#include "memory.h"

/* A file with this content; its path goes to path[32]. The descriptor is the caller's. */
static inline int tm_file(const void *data, size_t len, char path[32])
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	if (fd < 0 || sys_write_all(fd, data, len) < 0)
		abort();
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

/* The tree that a guest was given at gpa, copied out of its memory; the caller frees it. NULL: there is none. */
static inline void *tm_tree(struct memory *memory, uint64_t gpa)
{
	uint8_t head[8];
	void *blob;
	uint32_t size;

	if (memory_read(memory, gpa, head, 8) < 0 || get_be32(head) != FDT_MAGIC)
		return NULL;
	size = get_be32(head + 4);
	blob = malloc(size);
	if (!blob || memory_read(memory, gpa, blob, size) < 0 || fdt_check_header(blob) || gpa & 7) {
		free(blob);
		return NULL;
	}
	return blob;
}

static inline const void *tree_prop(const void *fdt, const char *path, const char *name, int *ret_len)
{
	int n = fdt_path_offset(fdt, path), len = -1;
	const void *p = n < 0 ? NULL : fdt_getprop(fdt, n, name, &len);

	if (ret_len)
		*ret_len = len;
	return p;
}

static inline uint32_t tree_u32(const void *fdt, const char *path, const char *name)
{
	int len;
	const void *p = tree_prop(fdt, path, name, &len);

	return p && len == 4 ? get_be32(p) : 0xdeadbeef;
}

static inline uint64_t tree_u64(const void *fdt, const char *path, const char *name)
{
	int len;
	const void *p = tree_prop(fdt, path, name, &len);

	return p && len == 8 ? get_be64(p) : 0xdeadbeef;
}

static inline const char *tree_str(const void *fdt, const char *path, const char *name)
{
	const char *p = tree_prop(fdt, path, name, NULL);

	return p ? p : "";
}

#endif
