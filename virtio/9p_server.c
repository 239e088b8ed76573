// SPDX-License-Identifier: MIT
#include "virtio/9p_server.h"

#include <errno.h>

enum { RLERROR = 7, TVERSION = 100, TWRITE = 118 };
enum { QTDIR = 0x80, QTSYMLINK = 2 };

#define RLERROR_SIZE 11

/* --- reading and writing messages --- */

uint64_t p9_take(struct p9_server *s, unsigned int bytes)
{
	uint64_t v;

	if (s->bad || s->left < bytes) {
		s->bad = true;
		return 0;
	}
	v = get_le(s->at, bytes);
	s->at += bytes;
	s->left -= bytes;
	return v;
}

const char *p9_take_string(struct p9_server *s)
{
	size_t len = p9_take(s, 2);
	char *text;

	if (s->bad || s->left < len || memchr(s->at, 0, len)) {
		s->bad = true;
		return "";
	}
	/* Its length is known: one byte down there is room for the NUL. */
	text = (char *)s->at - 1;
	memmove(text, s->at, len);
	text[len] = 0;
	s->at += len;
	s->left -= len;
	return text;
}

void p9_put(struct p9_server *s, unsigned int bytes, uint64_t value)
{
	put_le(s->out + s->out_len, bytes, value);
	s->out_len += bytes;
}

void p9_put_string(struct p9_server *s, const char *text, size_t len)
{
	p9_put(s, 2, len);
	memcpy(s->out + s->out_len, text, len);
	s->out_len += len;
}

/* Linux caches nothing of a file whose version is 0. */
void p9_put_qid(struct p9_server *s, const struct stat *st)
{
	uint32_t version = (uint32_t)st->st_mtim.tv_sec ^ (uint32_t)st->st_mtim.tv_nsec ^ (uint32_t)st->st_size << 8;

	p9_put(s, 1, S_ISDIR(st->st_mode) ? QTDIR : S_ISLNK(st->st_mode) ? QTSYMLINK : 0);
	p9_put(s, 4, version ? version : 1);
	p9_put(s, 8, share_id(s->share, st->st_dev, st->st_ino));
}

/* --- fids --- */

static struct p9_fid **bucket(struct p9_server *s, uint32_t number)
{
	return &s->fid[(number * UINT32_C(0x9e3779b1)) >> 22];
}

struct p9_fid *p9_fid(struct p9_server *s, uint32_t number)
{
	struct p9_fid *f = *bucket(s, number);

	while (f && f->number != number)
		f = f->next;
	return f;
}

int p9_fid_new(struct p9_server *s, uint32_t number, uint32_t uid, struct share_node *node)
{
	struct p9_fid *f;

	if (number == P9_NOFID || p9_fid(s, number))
		return -EINVAL;
	if (s->n_fids >= P9_MAX_FIDS)
		return -ENFILE;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->number = number;
	f->uid = uid;
	f->node = node;
	f->next = *bucket(s, number);
	*bucket(s, number) = f;
	s->n_fids++;
	return 0;
}

void p9_fid_clunk(struct p9_server *s, struct p9_fid *fid)
{
	struct p9_fid **p;

	for (p = bucket(s, fid->number); *p != fid; p = &(*p)->next)
		;
	*p = fid->next;
	s->n_fids--;
	share_file_close(fid->file);
	share_unref(fid->node);
	free(fid);
}

void p9_reset(struct p9_server *s)
{
	for (unsigned int i = 0; i < P9_FID_BUCKETS; i++)
		while (s->fid[i])
			p9_fid_clunk(s, s->fid[i]);
	s->msize = 0;
}

/* --- one request --- */

static int dispatch(struct p9_server *s, uint8_t type, uint64_t size)
{
	if (type & 1 || type >= 2 * ARRAY_SIZE(p9_handlers) || !p9_handlers[type / 2])
		return -EOPNOTSUPP;
	if (size < P9_HEADER || size > s->chain->out_len)
		return -EINVAL;
	if (type != TVERSION && (!s->msize || size > s->msize))
		return s->msize ? -EMSGSIZE : -EINVAL;
	if (type != TWRITE && size > sizeof(s->in))
		return -ENAMETOOLONG;
	return p9_handlers[type / 2](s);
}

int64_t p9_handle(struct p9_server *s, const struct chain *c)
{
	uint64_t size;
	uint8_t type;
	uint16_t tag;
	size_t got;
	int r;

	if (c->in_len < RLERROR_SIZE)
		return -EPROTO;
	got = chain_read(c, 0, s->in, sizeof(s->in));
	if (got < P9_HEADER)
		return -EPROTO;
	size = get_le32(s->in);
	type = s->in[4];
	tag = get_le16(s->in + 5);
	s->chain = c;
	s->at = s->in + P9_HEADER;
	s->left = MAX(MIN(size, got), P9_HEADER) - P9_HEADER;
	s->bad = false;
	/* Before a version is agreed on the buffers alone say how much fits. */
	s->room = s->msize ? MIN(c->in_len, s->msize) : c->in_len;
	s->out_len = P9_HEADER;
	s->direct = 0;

	r = dispatch(s, type, size);
	if (r >= 0 && s->out_len + s->direct > s->room)
		r = -EMSGSIZE;
	if (r < 0) {
		type = RLERROR - 1;
		s->direct = 0;
		s->out_len = P9_HEADER;
		p9_put(s, 4, (uint64_t)-r);
	}
	put_le32(s->out, (uint32_t)(s->out_len + s->direct));
	s->out[4] = type + 1;
	put_le16(s->out + 5, tag);
	chain_write(c, 0, s->out, s->out_len);
	s->chain = NULL;
	return (int64_t)(s->out_len + s->direct);
}
