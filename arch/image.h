// SPDX-License-Identifier: MIT
/*
 * Kernel files, for every architecture: flat binaries, Linux Images, ELF64, each also packed with gzip or zstd, or inside an EFI zboot program.
 * A file is read straight into guest memory; what it claims about itself is checked, and what it unpacks to is bounded by the guest's RAM.
 */
#ifndef LKVM_ARCH_IMAGE_H
#define LKVM_ARCH_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/util.h"
#include "memory.h"

/* A file that can be read again from its start, even when it came through a pipe. */
struct image_file {
	const char *path; /* borrowed */
	int fd;
	uint64_t size; /* bytes */
};

/*
 * Opens a kernel or initrd ("what" names it in sentences) of at most max bytes; what is no regular file is copied to memory first.
 * Errors: -errno of open with "Unable to open <what> <path>", -EISDIR, -EFBIG, -EINVAL when empty.
 */
int image_open(const char *path, const char *what, uint64_t max, struct image_file *ret, struct err *e);
void image_close(struct image_file *f); /* zeroed or closed before: fine */

/* What an architecture's Image header says. */
struct image_header {
	uint64_t text_offset; /* from the alignment boundary, bytes */
	uint64_t image_size;  /* memory needed from there on (with bss), 0: not said */
};

#define IMAGE_HEAD 64

struct image_target {
	struct memory *memory;
	uint64_t ram_base, ram_size; /* bytes */
	uint64_t align;		     /* the boundary below Image and flat kernels */
	uint64_t flat_offset;	     /* where flat kernels go, from ram_base */
	uint16_t elf_machine;	     /* EM_* */
	const char *name;	     /* of the architecture, for sentences */
	/* Reads an Image header: 1 and *ret, 0 when it is none, -EINVAL with a sentence (that need not name the file). */
	int (*header)(const uint8_t head[IMAGE_HEAD], struct image_header *ret, struct err *e);
};

/* Where the kernel lies now, guest physical; end includes bss and more than the file when the header says so. */
struct image {
	uint64_t start, end, entry;
};

/*
 * Loads the kernel. -EINVAL for what is no kernel, is truncated or lies about itself, -ENOSPC when RAM is too small (the sentence says what is
 * needed), -EIO and friends from reading; each sentence names the file and the cure.
 */
int image_load(const struct image_file *f, const struct image_target *target, struct image *ret, struct err *e);

/* Reads the whole file to gpa, in place. */
int image_read_to(const struct image_file *f, struct memory *memory, uint64_t gpa, struct err *e);

#endif
