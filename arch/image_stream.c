// SPDX-License-Identifier: MIT
#include "arch/image_stream.h"

#include <errno.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/endian.h"
#include "base/sys.h"

#define CHUNK 65536
#define WINDOW_LOG 27 /* what zstd -22 --ultra takes; a stream that wants more memory than that is refused */

struct image_packing {
	const char *name;
	uint8_t n_magic;
	uint8_t magic[4];
	const char *zboot[2]; /* names in the header of EFI zboot files */
	void *(*create)(void);
	void (*destroy)(void *unpacker);
	/* From in[in_at, n_in) to at most len bytes at `to`: moves in_at, sets ended. Bytes made; -ENOMEM, -E2BIG (window), -EINVAL (damage). */
	int64_t (*unpack)(struct image_stream *s, uint8_t *to, size_t len);
};

static void *gzip_create(void)
{
	z_stream *z = calloc(1, sizeof(*z));

	if (z && inflateInit2(z, 16 + MAX_WBITS) != Z_OK) {
		free(z);
		z = NULL;
	}
	return z;
}

static void gzip_destroy(void *unpacker)
{
	inflateEnd(unpacker);
	free(unpacker);
}

static int64_t gzip_unpack(struct image_stream *s, uint8_t *to, size_t len)
{
	z_stream *z = s->unpacker;
	int r;

	z->next_in = s->in + s->in_at;
	z->avail_in = s->n_in - s->in_at;
	z->next_out = to;
	z->avail_out = (unsigned int)len;
	r = inflate(z, Z_NO_FLUSH);
	s->in_at = s->n_in - z->avail_in;
	s->ended = r == Z_STREAM_END;
	if (r == Z_MEM_ERROR)
		return -ENOMEM;
	return r == Z_STREAM_END || r == Z_OK || r == Z_BUF_ERROR ? (int64_t)(len - z->avail_out) : -EINVAL;
}

static void *zstd_create(void)
{
	ZSTD_DCtx *d = ZSTD_createDCtx();

	if (d && ZSTD_isError(ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, WINDOW_LOG))) {
		ZSTD_freeDCtx(d);
		d = NULL;
	}
	return d;
}

static void zstd_destroy(void *unpacker)
{
	ZSTD_freeDCtx(unpacker);
}

/* EFI zboot files say the unpacked size in four bytes behind the frame. */
static bool zstd_size_fits(const struct image_stream *s, uint64_t unpacked)
{
	uint8_t size[4];

	return s->n_in - s->in_at + (s->end - s->pos) != 4 || sys_pread_all(s->f->fd, size, 4, s->end - 4) != 4 ||
	       get_le32(size) == (uint32_t)unpacked;
}

static int64_t zstd_unpack(struct image_stream *s, uint8_t *to, size_t len)
{
	ZSTD_inBuffer in = { s->in, s->n_in, s->in_at };
	ZSTD_outBuffer out = { to, len, 0 };
	size_t r = ZSTD_decompressStream(s->unpacker, &out, &in);

	s->in_at = (uint32_t)in.pos;
	if (ZSTD_isError(r))
		return ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation		? -ENOMEM
		       : ZSTD_getErrorCode(r) == ZSTD_error_frameParameter_windowTooLarge ? -E2BIG
											  : -EINVAL;
	s->ended = !r;
	return !s->ended || zstd_size_fits(s, s->unpacked + out.pos) ? (int64_t)out.pos : -EINVAL;
}

static const struct image_packing packings[] = {
	{ "gzip", 2, { 0x1f, 0x8b }, { "gzip" }, gzip_create, gzip_destroy, gzip_unpack },
	{ "zstd", 4, { 0x28, 0xb5, 0x2f, 0xfd }, { "zstd", "zstd22" }, zstd_create, zstd_destroy, zstd_unpack },
};

const struct image_packing *image_packing_of(const uint8_t *head, size_t n)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(packings); i++)
		if (n >= packings[i].n_magic && !memcmp(head, packings[i].magic, packings[i].n_magic))
			return &packings[i];
	return NULL;
}

const struct image_packing *image_packing_by_name(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(packings); i++)
		for (unsigned int k = 0; k < ARRAY_SIZE(packings[i].zboot); k++)
			if (packings[i].zboot[k] && !strcmp(packings[i].zboot[k], name))
				return &packings[i];
	return NULL;
}

int image_stream_open(struct image_stream *s, const struct image_file *f, uint64_t start, uint64_t size, const struct image_packing *packing,
		      struct err *e)
{
	/* All but `head`, which n_head covers. */
	memset(s, 0, offsetof(struct image_stream, head));
	s->n_head = 0;
	s->f = f;
	s->pos = s->start = start;
	s->end = start + size;
	s->packing = packing;
	if (!packing)
		return 0;
	s->in = malloc(CHUNK);
	s->unpacker = packing->create();
	if (!s->in || !s->unpacker)
		return err_set(e, -ENOMEM, "%s: not enough memory to unpack it", f->path);
	return 0;
}

void image_stream_close(struct image_stream *s)
{
	if (s->unpacker)
		s->packing->destroy(s->unpacker);
	free(s->in);
}

/* The file's next bytes; fewer than wished only at the end. */
static int64_t read_file(struct image_stream *s, void *buf, uint64_t len, struct err *e)
{
	uint64_t n = MIN(len, s->end - s->pos);
	ssize_t got = n ? sys_pread_all(s->f->fd, buf, n, s->pos) : 0;

	if (got < 0)
		return err_set(e, (int)got, "%s cannot be read: %s", s->f->path, err_name((int)got));
	s->pos += (uint64_t)got;
	return got;
}

static int refused(const struct image_stream *s, int code, struct err *e)
{
	switch (code) {
	case -ENOMEM:
		return err_set(e, code, "%s: not enough memory to unpack it", s->f->path);
	case -E2BIG:
		return err_set(e, -EINVAL, "%s is packed so that unpacking takes more than %u MiB of memory: unpack it first, or pack it without --long",
			       s->f->path, 1u << (WINDOW_LOG - 20));
	default:
		return err_set(e, code, "%s is damaged inside its %s data: copy or build it again", s->f->path, s->packing->name);
	}
}

static int64_t read_raw(struct image_stream *s, void *buf, uint64_t len, struct err *e)
{
	uint64_t done = 0;

	if (!s->packing)
		return read_file(s, buf, len, e);
	while (done < len && !s->ended) {
		uint64_t room = MIN(len - done, UINT64_C(1) << 30);
		int64_t n;

		if (s->in_at == s->n_in && !s->pending) {
			n = read_file(s, s->in, CHUNK, e);
			if (n < 0)
				return n;
			if (!n)
				return err_set(e, -EINVAL, "%s ends in the middle of its %s data: it is truncated, copy it again", s->f->path, s->packing->name);
			s->in_at = 0;
			s->n_in = (uint32_t)n;
		}
		n = s->packing->unpack(s, (uint8_t *)buf + done, room);
		if (n < 0)
			return refused(s, (int)n, e);
		s->pending = (uint64_t)n == room;
		s->unpacked += (uint64_t)n;
		done += (uint64_t)n;
	}
	return (int64_t)done;
}

int image_stream_peek(struct image_stream *s, struct err *e)
{
	int64_t n = read_raw(s, s->head, IMAGE_PEEK, e);

	if (n < 0)
		return (int)n;
	s->n_head = (uint32_t)n;
	return 0;
}

int64_t image_stream_read(struct image_stream *s, void *buf, uint64_t len, struct err *e)
{
	uint64_t done = 0;
	int64_t n;

	if (s->offset < s->n_head) {
		done = MIN(len, s->n_head - s->offset);
		memcpy(buf, s->head + s->offset, done);
		s->offset += done;
	}
	if (done < len) {
		n = read_raw(s, (char *)buf + done, len - done, e);
		if (n < 0)
			return n;
		s->offset += (uint64_t)n;
		done += (uint64_t)n;
	}
	return (int64_t)done;
}

int image_stream_seek(struct image_stream *s, uint64_t offset, struct err *e)
{
	uint8_t waste[1024];

	if (!s->packing) {
		s->pos = s->start + MIN(offset, s->end - s->start);
		s->pos = MAX(s->pos, s->start + s->n_head);
		s->offset = offset;
		return 0;
	}
	if (offset < s->n_head && s->offset <= s->n_head) {
		s->offset = offset;
		return 0;
	}
	if (offset < s->offset)
		return err_set(e, -EINVAL, "%s: the segments of this compressed ELF file are not in order; unpack it with %s -d first",
			       s->f->path, s->packing->name);
	while (s->offset < offset) {
		int64_t n = image_stream_read(s, waste, MIN(offset - s->offset, sizeof(waste)), e);

		if (n < 0)
			return (int)n;
		if (!n)
			break;
	}
	return 0;
}
