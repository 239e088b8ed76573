// SPDX-License-Identifier: MIT
/* The client's side of 9P2000.L over the mock driver, for tests and fuzzers of the 9p device. */
#ifndef LKVM_TESTS_P9_CLIENT_H
#define LKVM_TESTS_P9_CLIENT_H

#include <errno.h>
#include <stdarg.h>

#include "base/endian.h"
#include "tests/mock_driver.h"

enum {
	T_STATFS = 8, T_LOPEN = 12, T_LCREATE = 14, T_SYMLINK = 16, T_MKNOD = 18, T_RENAME = 20, T_READLINK = 22,
	T_GETATTR = 24, T_SETATTR = 26, T_XATTRWALK = 30, T_XATTRCREATE = 32, T_READDIR = 40, T_FSYNC = 50,
	T_LOCK = 52, T_GETLOCK = 54, T_LINK = 70, T_MKDIR = 72, T_RENAMEAT = 74, T_UNLINKAT = 76, T_VERSION = 100,
	T_AUTH = 102, T_ATTACH = 104, T_FLUSH = 108, T_WALK = 110, T_READ = 116, T_WRITE = 118, T_CLUNK = 120,
	T_REMOVE = 122,
};

#define P9_NO_TAG 0xffff
#define P9_NO_FID UINT32_MAX

struct p9_client {
	struct mock_driver *d;
	uint8_t out[70000], in[70000];
	uint32_t out_len, in_len, in_size; /* in_size: what the reply may take */
	uint8_t *at;			   /* next byte of the reply */
	uint16_t tag;
};

/* Letters: b, w, d, q numbers of 1, 2, 4, 8 bytes; s a string; D data and its length (void *, unsigned). */
static inline void p9_build(struct p9_client *c, unsigned int type, const char *format, va_list ap)
{
	uint8_t *p = c->out + 7;

	for (; *format; format++) {
		unsigned int bytes = *format == 'b' ? 1 : *format == 'w' ? 2 : *format == 'd' ? 4 : 8;
		const char *text;

		if (*format == 's' || *format == 'D') {
			text = va_arg(ap, const char *);
			bytes = *format == 's' ? (unsigned int)strlen(text) : va_arg(ap, unsigned int);
			if (*format == 's') {
				put_le16(p, (uint16_t)bytes);
				p += 2;
			}
			memcpy(p, text, bytes);
		} else {
			put_le(p, bytes, *format == 'q' ? va_arg(ap, uint64_t) : va_arg(ap, unsigned int));
		}
		p += bytes;
	}
	c->out_len = (uint32_t)(p - c->out);
	put_le32(c->out, c->out_len);
	c->out[4] = (uint8_t)type;
	put_le16(c->out + 5, type == T_VERSION ? P9_NO_TAG : ++c->tag);
}

/* mock_request for a device without a loop, which answers while it is kicked or never: for fuzzers, who break rings. */
static inline int64_t p9_request_now(struct p9_client *c)
{
	struct mock_vm *vm = c->d->vm;
	uint64_t mark = vm->next, at = mock_alloc(vm, (uint64_t)c->out_len + c->in_size, 64);
	const struct mock_buf bufs[] = { { at, c->out_len, false }, { at + c->out_len, c->in_size, true } };
	uint32_t written = 0;
	int token, got;

	memory_write(vm->memory, at, c->out, c->out_len);
	token = mock_add(c->d, 0, bufs, 2, MOCK_DIRECT);
	if (token >= 0)
		mock_kick(c->d, 0);
	do {
		got = mock_used(c->d, 0, &written);
	} while (got >= 0 && got != token);
	vm->next = mark;
	if (token < 0 || got != token || written > c->in_size)
		return -1;
	memory_read(vm->memory, at + c->out_len, c->in, c->in_size);
	return written;
}

/* Sends what was built: the length of the reply's body (c->at), or -errno from the server; -EPROTO: a reply that is none. */
static inline int p9_send(struct p9_client *c)
{
	int64_t n;

	memset(c->in, 0xee, 32);
	n = c->d->vm->loop ? mock_request(c->d, 0, c->out, c->out_len, c->in, c->in_size) : p9_request_now(c);
	if (n < 7 || get_le32(c->in) != n || memcmp(c->in + 5, c->out + 5, 2))
		return -EPROTO;
	c->in_len = (uint32_t)n;
	c->at = c->in + 7;
	if (c->in[4] == 7 && n == 11)
		return -(int)get_le32(c->in + 7);
	return c->in[4] == c->out[4] + 1 ? (int)n - 7 : -EPROTO;
}

static inline int p9_call(struct p9_client *c, unsigned int type, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	p9_build(c, type, format, ap);
	va_end(ap);
	return p9_send(c);
}

static inline uint64_t p9_get(struct p9_client *c, unsigned int bytes)
{
	uint64_t v = get_le(c->at, bytes);

	c->at += bytes;
	return v;
}

/* The path of a qid. */
static inline uint64_t p9_get_qid(struct p9_client *c, uint8_t *ret_type)
{
	uint8_t type = (uint8_t)p9_get(c, 1);

	p9_get(c, 4);
	if (ret_type)
		*ret_type = type;
	return p9_get(c, 8);
}

/* Version and root at fid 0. */
static inline int p9_begin(struct p9_client *c, struct mock_driver *d, uint32_t msize)
{
	int r;

	c->d = d;
	c->in_size = MIN(msize, (uint32_t)sizeof(c->in));
	r = p9_call(c, T_VERSION, "ds", msize, "9P2000.L");
	return r < 0 ? r : p9_call(c, T_ATTACH, "ddssd", 0, P9_NO_FID, "root", "", 0);
}

/* One name, or "" for another fid of the same. */
static inline int p9_walk(struct p9_client *c, uint32_t fid, uint32_t newfid, const char *name)
{
	return *name ? p9_call(c, T_WALK, "ddws", fid, newfid, 1, name) : p9_call(c, T_WALK, "ddw", fid, newfid, 0);
}

#endif
