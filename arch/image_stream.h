// SPDX-License-Identifier: MIT
/* Between the files of image.h: the content of a kernel file, from its start to its end, as it is or unpacked. */
#ifndef LKVM_ARCH_IMAGE_STREAM_H
#define LKVM_ARCH_IMAGE_STREAM_H

#include "arch/image.h"

#define IMAGE_PEEK 4096 /* how much of a compressed file's content can be looked at before its place is known */

/* A way of packing; `image_packings` lists them. */
struct image_packing;

struct image_stream {
	const struct image_file *f;
	uint64_t pos, end; /* in the file: next byte to read, first byte that is not ours */
	uint64_t start;	   /* of plain content in the file */
	uint64_t offset;   /* of the next byte given out, in the content */
	const struct image_packing *packing; /* NULL: none */
	void *unpacker;
	bool ended, pending; /* nothing more comes; more may come without input */
	uint64_t unpacked;
	uint8_t *in; /* a piece of the file, packed only */
	uint32_t in_at, n_in;
	uint8_t head[IMAGE_PEEK]; /* the content's first n_head bytes, read ahead */
	uint32_t n_head;
};

/* How content that begins so is packed; NULL: it is not, as far as we know. */
const struct image_packing *image_packing_of(const uint8_t *head, size_t n);
/* The packing that EFI zboot files call so, or NULL. */
const struct image_packing *image_packing_by_name(const char *name);

/* [start, start + size) of f. Close it also after a failure. -ENOMEM. */
int image_stream_open(struct image_stream *s, const struct image_file *f, uint64_t start, uint64_t size, const struct image_packing *packing,
		      struct err *e);
void image_stream_close(struct image_stream *s);

/* Reads ahead into head; once, before anything else. */
int image_stream_peek(struct image_stream *s, struct err *e);
/* Up to len bytes; fewer only at the content's end. -EINVAL for damaged or truncated packing, -ENOMEM, or reading's own; each with a sentence. */
int64_t image_stream_read(struct image_stream *s, void *buf, uint64_t len, struct err *e);
/* Goes forward to an offset of the content; backward only in what is not packed. */
int image_stream_seek(struct image_stream *s, uint64_t offset, struct err *e);

#endif
