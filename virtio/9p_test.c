// SPDX-License-Identifier: MIT
#include "virtio/9p.h"

#include <pthread.h>

#include "tests/p9_client.h"
#include "tests/temp_dir.h"
#include "tests/test.h"

#define NEEDS_RESET 64

struct bench {
	struct mock_vm *vm;
	struct virtio_device *vd;
	struct mock_driver *d;
	struct p9_client c;
	char top[256], dir[300], outside[300];
};

static void bench_make(struct bench *b, unsigned int flags, uint64_t features, struct share_config config)
{
	struct virtio_9p_config nc = { .tag = "data" };
	struct err e = { 0 };

	temp_dir_make(b->top, sizeof(b->top));
	snprintf(b->dir, sizeof(b->dir), "%s/share", b->top);
	snprintf(b->outside, sizeof(b->outside), "%s/outside", b->top);
	if (mkdir(b->dir, 0755) || mkdir(b->outside, 0755))
		abort();
	temp_file_write(b->outside, "secret", "secret");
	config.path = b->dir;
	if (share_open(&config, &nc.share, &e) < 0)
		abort();
	b->vm = mock_vm_create(flags);
	CHECK_EQ(virtio_9p_create(&nc, &b->vm->env, &b->vd, &e), 0);
	b->d = mock_driver_create(b->vm, b->vd, IRQ_LEVEL);
	CHECK_EQ(mock_start(b->d, features), 0);
	CHECK_EQ(b->d->n_queues, 1);
	CHECK(p9_begin(&b->c, b->d, 65536) >= 0);
}

static void bench_drop(struct bench *b)
{
	char text[256];

	CHECK(!(mock_status(b->d) & NEEDS_RESET));
	CHECK_STR(temp_file_read(b->outside, "secret", text), "secret");
	mock_driver_destroy(b->d);
	mock_vm_stop(b->vm);
	virtio_destroy(b->vd);
	mock_vm_destroy(b->vm);
	temp_dir_remove(b->top);
}

static int read_text(struct p9_client *c, uint32_t fid, uint64_t offset, uint32_t count, char text[256])
{
	int r = p9_call(c, T_READ, "dqd", fid, offset, count);
	uint32_t n;

	text[0] = 0;
	if (r < 0)
		return r;
	n = (uint32_t)p9_get(c, 4);
	CHECK_EQ(r, 4 + n);
	memcpy(text, c->at, MIN(n, 255));
	text[MIN(n, 255)] = 0;
	return (int)n;
}

static int write_text(struct p9_client *c, uint32_t fid, uint64_t offset, const char *text)
{
	unsigned int len = (unsigned int)strlen(text);
	int r = p9_call(c, T_WRITE, "dqdD", fid, offset, len, text, len);

	return r < 0 ? r : (int)p9_get(c, 4);
}

/* --- the device --- */

static void test_device(void)
{
	struct virtio_9p_config nc = { .tag = "" };
	struct err e = { 0 };
	static struct bench b;
	char tag[300];
	uint8_t raw[6];

	bench_make(&b, 0, MOCK_ALL, (struct share_config){ 0 });
	CHECK_EQ(mock_device_id(b.d), 9);
	CHECK_EQ(mock_offered(b.d) & 1, 1);
	mock_config_read(b.d, 0, raw, 6);
	CHECK_EQ(get_le16(raw), 4);
	CHECK(!memcmp(raw + 2, "data", 4));
	CHECK_EQ(virtio_9p_create(&nc, &b.vm->env, &b.vd, &e), -EINVAL);
	memset(tag, 'x', sizeof(tag));
	tag[256] = 0;
	nc.tag = tag;
	CHECK_EQ(virtio_9p_create(&nc, &b.vm->env, &b.vd, &e), -EINVAL);
	tag[255] = 0;
	CHECK_EQ(share_open(&(struct share_config){ .path = b.dir }, &nc.share, NULL), 0);
	{
		struct virtio_device *vd;

		CHECK_EQ(virtio_9p_create(&nc, &b.vm->env, &vd, &e), 0);
		virtio_destroy(vd);
	}

	/* A reset forgets everything. */
	CHECK(p9_walk(&b.c, 0, 1, "") >= 0);
	CHECK_EQ(mock_start(b.d, MOCK_ALL), 0);
	CHECK_EQ(p9_walk(&b.c, 0, 2, ""), -EINVAL); /* no version */
	CHECK(p9_begin(&b.c, b.d, 65536) >= 0);
	CHECK(p9_walk(&b.c, 0, 1, "") >= 0);
	/* And so does a new version. */
	CHECK(p9_call(&b.c, T_VERSION, "ds", 8192, "9P2000.L") >= 0);
	CHECK_EQ(p9_walk(&b.c, 1, 2, ""), -EBADF);

	/* State: without fids it goes over, with fids it is not given. */
	for (unsigned int i = 0; i < 2; i++) {
		char state[4096];
		struct virtio_device *other;
		int64_t len;

		nc.tag = "data";
		CHECK_EQ(share_open(&(struct share_config){ .path = b.dir }, &nc.share, NULL), 0);
		CHECK_EQ(virtio_9p_create(&nc, &b.vm->env, &other, &e), 0);
		virtio_pause(b.vd);
		len = virtio_save(b.vd, state, sizeof(state));
		virtio_pause(other);
		if (!i)
			CHECK(len > 0 && virtio_load(other, state, (size_t)len, &e) >= 0);
		else
			CHECK_EQ(len, -EOPNOTSUPP);
		virtio_destroy(other);
		virtio_resume(b.vd);
		CHECK(p9_call(&b.c, T_ATTACH, "ddssd", 0, P9_NO_FID, "root", "", 0) >= 0 || i);
	}
	bench_drop(&b);
}

/* --- what a mounted folder does --- */

static void test_session(struct bench *b)
{
	struct p9_client *c = &b->c;

	CHECK(p9_call(c, T_VERSION, "ds", 1 << 30, "9P2000.L") >= 0);
	CHECK_EQ(p9_get(c, 4), 512 << 10);
	CHECK_EQ(p9_get(c, 2), 8);
	CHECK(!memcmp(c->at, "9P2000.L", 8));
	CHECK(p9_call(c, T_VERSION, "ds", 8192, "9P2000.u") >= 0);
	p9_get(c, 4);
	CHECK_EQ(p9_get(c, 2), 7);
	CHECK(!memcmp(c->at, "unknown", 7));
	CHECK_EQ(p9_call(c, T_VERSION, "ds", 100, "9P2000.L"), -EMSGSIZE);
	CHECK_EQ(p9_call(c, T_ATTACH, "ddssd", 0, P9_NO_FID, "root", "", 0), -EINVAL);
	CHECK(p9_call(c, T_VERSION, "ds", 65536, "9P2000.L") >= 0);
	CHECK_EQ(p9_call(c, T_AUTH, "dssd", 1, "root", "", 0), -EOPNOTSUPP);
	CHECK_EQ(p9_call(c, T_ATTACH, "ddssd", 0, 1, "root", "", 0), -EINVAL);
	CHECK_EQ(p9_call(c, T_ATTACH, "ddssd", 0, P9_NO_FID, "root", "nothing", 0), -ENOENT);
	CHECK_EQ(p9_call(c, T_ATTACH, "ddssd", 0, P9_NO_FID, "root", "/", 0), 13);
	CHECK_EQ(p9_call(c, T_ATTACH, "ddssd", 0, P9_NO_FID, "root", "/", 0), -EINVAL);
	CHECK_EQ(p9_call(c, T_FLUSH, "w", 1), 0);
	CHECK_EQ(p9_call(c, T_CLUNK, "d", 77), -EBADF);
	CHECK_EQ(p9_call(c, T_XATTRWALK, "dds", 0, 1, "user.x"), -EOPNOTSUPP);
	CHECK_EQ(p9_call(c, T_XATTRCREATE, "dsqd", 0, "user.x", (uint64_t)1, 0), -EOPNOTSUPP);
	CHECK_EQ(p9_call(c, 112, "db", 0, 0), -EOPNOTSUPP);
	CHECK_EQ(p9_call(c, 13, "d", 0), -EOPNOTSUPP);
	CHECK_EQ(p9_call(c, 255, "d", 0), -EOPNOTSUPP);
	/* Cut off, and longer than what was agreed on. */
	CHECK_EQ(p9_call(c, T_CLUNK, "w", 0), -EINVAL);
	CHECK_EQ(p9_call(c, T_WALK, "ddww", 0, 1, 1, 40), -EINVAL);
	CHECK_EQ(p9_call(c, T_WALK, "ddww", 0, 1, 17, 40), -EINVAL);
	CHECK_EQ(p9_call(c, T_WALK, "ddwwD", 0, 1, 1, 3, "a\0b", 3), -EINVAL);
	CHECK_EQ(p9_call(c, T_MKDIR, "dwD", 0, 60000, c->in, 60000), -ENAMETOOLONG);
	CHECK_EQ(p9_call(c, T_MKDIR, "dwD", 0, 65000, c->in, 66000), -EMSGSIZE);
}

static void test_files(struct bench *b)
{
	struct p9_client *c = &b->c;
	uint64_t id, mode;
	char text[256];
	uint8_t type;

	/* Make, write, read. */
	CHECK(p9_walk(c, 0, 1, "") >= 0);
	CHECK_EQ(p9_call(c, T_LCREATE, "dsddd", 1, "f", 2 | 0100 | 0200, 0640, getegid()), 17);
	id = p9_get_qid(c, &type);
	CHECK_EQ(type, 0);
	CHECK_EQ(write_text(c, 1, 0, "hello there"), 11);
	CHECK_EQ(write_text(c, 1, 6, "THERE"), 5);
	CHECK_EQ(read_text(c, 1, 0, 100, text), 11);
	CHECK_STR(text, "hello THERE");
	CHECK_EQ(read_text(c, 1, 6, 2, text), 2);
	CHECK_STR(text, "TH");
	CHECK_EQ(read_text(c, 1, 11, 100, text), 0);
	CHECK_EQ(read_text(c, 1, UINT64_MAX, 100, text), -EINVAL);
	CHECK_EQ(read_text(c, 1, 0, UINT32_MAX, text), 11);
	CHECK_EQ(p9_call(c, T_WRITE, "dqd", 1, (uint64_t)0, 5), -EINVAL); /* no data */
	CHECK_EQ(write_text(c, 1, UINT64_MAX, "x"), -EINVAL);
	CHECK_EQ(p9_call(c, T_FSYNC, "dd", 1, 0), 0);
	CHECK_EQ(p9_call(c, T_FSYNC, "d", 1), 0);
	CHECK_EQ(p9_call(c, T_LOCK, "dbdqqds", 1, 1, 0, (uint64_t)0, (uint64_t)0, 5, "me"), 1);
	CHECK_EQ(p9_get(c, 1), 0);
	CHECK_EQ(p9_call(c, T_GETLOCK, "dbqqds", 1, 1, (uint64_t)3, (uint64_t)4, 5, "me"), 1 + 8 + 8 + 4 + 4);
	CHECK_EQ(p9_get(c, 1), 2);
	CHECK_EQ(p9_get(c, 8), 3);
	CHECK_STR(temp_file_read(b->dir, "f", text), "hello THERE");

	/* The same through another fid. */
	CHECK(p9_walk(c, 0, 2, "f") >= 0);
	CHECK_EQ(p9_get(c, 2), 1);
	CHECK_EQ(p9_get_qid(c, &type), id);
	CHECK_EQ(read_text(c, 2, 0, 100, text), -EBADF);
	CHECK_EQ(p9_call(c, T_LOPEN, "dd", 2, 0100000), 17);
	CHECK_EQ(read_text(c, 2, 0, 100, text), 11);
	CHECK_EQ(write_text(c, 2, 0, "x"), -EBADF);
	CHECK_EQ(p9_call(c, T_LOPEN, "dd", 2, 0), -EBUSY);
	CHECK_EQ(p9_call(c, T_LCREATE, "dsddd", 2, "g", 2, 0644, 0), -EBUSY);
	CHECK_EQ(p9_walk(c, 2, 2, ""), -EBUSY);

	/* Attributes. */
	CHECK_EQ(p9_call(c, T_GETATTR, "dq", 2, (uint64_t)0x7ff), 153);
	CHECK_EQ(p9_get(c, 8), 0x7ff);
	CHECK_EQ(p9_get_qid(c, NULL), id);
	mode = p9_get(c, 4);
	CHECK_EQ(mode, S_IFREG | 0640);
	CHECK_EQ(p9_get(c, 4), geteuid());
	CHECK_EQ(p9_get(c, 4), getegid());
	CHECK_EQ(p9_get(c, 8), 1);
	CHECK_EQ(p9_get(c, 8), 0);
	CHECK_EQ(p9_get(c, 8), 11);
	CHECK_EQ(p9_call(c, T_SETATTR, "dddddqqqqq", 1, 1 | 8 | 0x10 | 0x20 | 0x80 | 0x100, 0600, 0, 0, (uint64_t)5,
			 (uint64_t)111, (uint64_t)1, (uint64_t)222, (uint64_t)2), 0);
	CHECK_EQ(p9_call(c, T_GETATTR, "dq", 2, (uint64_t)0x7ff), 153);
	c->at += 8 + 13;
	CHECK_EQ(p9_get(c, 4), S_IFREG | 0600);
	c->at += 4 + 4 + 8 + 8;
	CHECK_EQ(p9_get(c, 8), 5);
	c->at += 16;
	CHECK_EQ(p9_get(c, 8), 111);
	CHECK_EQ(p9_get(c, 8), 1);
	CHECK_EQ(p9_get(c, 8), 222);
	CHECK_EQ(p9_get(c, 8), 2);
	CHECK_EQ(p9_call(c, T_SETATTR, "dddddqqqqq", 1, 0x20 | 0x100, 0, 0, 0, (uint64_t)0, (uint64_t)0, (uint64_t)0,
			 (uint64_t)0, (uint64_t)1073741823 /* UTIME_NOW */), -EINVAL);
	CHECK_EQ(p9_call(c, T_STATFS, "d", 0), 60);
	CHECK_EQ(p9_call(c, T_CLUNK, "d", 1), 0);
	CHECK_EQ(p9_call(c, T_LCREATE, "dsddd", 2, "g", 2, 0644, 0), -EBUSY);

	/* Open and removed. */
	CHECK_EQ(p9_call(c, T_UNLINKAT, "dsd", 0, "f", 0), 0);
	CHECK_EQ(p9_walk(c, 0, 3, "f"), -ENOENT);
	CHECK_EQ(read_text(c, 2, 0, 100, text), 5);
	CHECK_EQ(p9_call(c, T_GETATTR, "dq", 2, (uint64_t)0x7ff), 153);
	CHECK_EQ(p9_call(c, T_SETATTR, "dddddqqqqq", 2, 1 | 8, 0400, 0, 0, (uint64_t)2, (uint64_t)0, (uint64_t)0, (uint64_t)0,
			 (uint64_t)0), 0);
	CHECK_EQ(read_text(c, 2, 0, 100, text), 2);
	CHECK(p9_walk(c, 2, 3, "") >= 0); /* and its twin */
	CHECK_EQ(p9_call(c, T_LOPEN, "dd", 3, 0), 17);
	CHECK_EQ(read_text(c, 3, 0, 100, text), 2);
	CHECK_EQ(p9_call(c, T_CLUNK, "d", 2), 0);
	CHECK_EQ(p9_call(c, T_CLUNK, "d", 3), 0);
}

static void test_tree(struct bench *b)
{
	struct p9_client *c = &b->c;
	char text[256];
	uint8_t type;

	CHECK_EQ(p9_call(c, T_MKDIR, "dsdd", 0, "d", 0755, getegid()), 13);
	p9_get_qid(c, &type);
	CHECK_EQ(type, 0x80);
	CHECK_EQ(p9_call(c, T_MKDIR, "dsdd", 0, "d", 0755, getegid()), -EEXIST);
	CHECK(p9_walk(c, 0, 1, "d") >= 0);
	CHECK_EQ(p9_call(c, T_MKDIR, "dsdd", 1, "e", 0700, getegid()), 13);
	CHECK_EQ(p9_call(c, T_SYMLINK, "dssd", 1, "s", "../../outside/secret", getegid()), 13);
	p9_get_qid(c, &type);
	CHECK_EQ(type, 2);
	CHECK_EQ(p9_call(c, T_MKNOD, "dsdddd", 1, "p", S_IFIFO | 0600, 0, 0, getegid()), 13);
	CHECK_EQ(p9_call(c, T_MKNOD, "dsdddd", 1, "c", S_IFCHR | 0600, 1, 3, getegid()), -EPERM);
	CHECK_EQ(p9_call(c, T_MKNOD, "dsdddd", 1, "f", S_IFREG | 0600, 0, 0, getegid()), 13);

	/* Several steps: all, some, none. */
	CHECK_EQ(p9_call(c, T_WALK, "ddwss", 0, 2, 2, "d", "e"), 2 + 26);
	CHECK_EQ(p9_get(c, 2), 2);
	CHECK_EQ(p9_call(c, T_WALK, "ddwsss", 0, 3, 3, "d", "none", "e"), 2 + 13);
	CHECK_EQ(p9_get(c, 2), 1);
	CHECK_EQ(p9_call(c, T_CLUNK, "d", 3), -EBADF);
	CHECK_EQ(p9_call(c, T_WALK, "ddwss", 0, 3, 2, "none", "e"), -ENOENT);
	CHECK_EQ(p9_call(c, T_WALK, "ddws", 0, 2, 1, "d"), -EINVAL); /* 2 is taken */
	CHECK_EQ(p9_call(c, T_WALK, "ddwss", 2, 2, 2, "..", "s"), 2 + 26); /* onto itself */
	CHECK_EQ(p9_call(c, T_READLINK, "d", 2), 22);
	CHECK_EQ(p9_get(c, 2), 20);
	CHECK(!memcmp(c->at, "../../outside/secret", 20));
	CHECK_EQ(p9_call(c, T_LOPEN, "dd", 2, 0), -ELOOP);
	CHECK_EQ(p9_call(c, T_READLINK, "d", 1), -EINVAL);
	CHECK_EQ(p9_call(c, T_WALK, "ddws", 2, 4, 1, "x"), -ENOTDIR);
	CHECK_EQ(p9_call(c, T_WALK, "ddwssss", 1, 4, 4, "..", "..", "..", "outside"), 2 + 39);
	CHECK_EQ(p9_call(c, T_WALK, "ddws", 0, 4, 1, "d/e"), -EINVAL);
	CHECK_EQ(p9_call(c, T_CLUNK, "d", 2), 0);

	/* Opening a pipe waits for nobody. */
	CHECK(p9_walk(c, 1, 2, "p") >= 0);
	CHECK_EQ(p9_call(c, T_LOPEN, "dd", 2, 0), -ENXIO);
	CHECK_EQ(p9_call(c, T_LOPEN, "dd", 2, 1), -ENXIO);
	CHECK_EQ(p9_call(c, T_CLUNK, "d", 2), 0);

	/* Renamed while it is open. */
	CHECK(p9_walk(c, 1, 2, "f") >= 0);
	CHECK_EQ(p9_call(c, T_LOPEN, "dd", 2, 2), 17);
	CHECK_EQ(p9_call(c, T_RENAMEAT, "dsds", 1, "f", 0, "g"), 0);
	CHECK_EQ(p9_call(c, T_RENAMEAT, "dsds", 0, "d", 0, "dd"), 0);
	CHECK_EQ(write_text(c, 2, 0, "renamed"), 7);
	CHECK_STR(temp_file_read(b->dir, "g", text), "renamed");
	CHECK_EQ(p9_call(c, T_RENAME, "dds", 2, 1, "h"), 0);
	CHECK_STR(temp_file_read(b->dir, "dd/h", text), "renamed");
	CHECK_EQ(p9_call(c, T_LINK, "dds", 0, 2, "twin"), 0);
	CHECK_STR(temp_file_read(b->dir, "twin", text), "renamed");
	CHECK_EQ(p9_call(c, T_GETATTR, "dq", 2, (uint64_t)0x7ff), 153);
	CHECK_EQ(p9_call(c, T_REMOVE, "d", 2), 0);
	CHECK(!temp_exists(b->dir, "dd/h"));
	CHECK_EQ(p9_call(c, T_CLUNK, "d", 2), -EBADF);
	CHECK_EQ(p9_call(c, T_REMOVE, "d", 0), -EBUSY); /* and the root's fid is gone */
	CHECK_EQ(p9_call(c, T_ATTACH, "ddssd", 0, P9_NO_FID, "root", "dd", 0), 13);
	CHECK_EQ(p9_call(c, T_UNLINKAT, "dsd", 0, "e", 0), -EISDIR);
	CHECK_EQ(p9_call(c, T_UNLINKAT, "dsd", 0, "e", 0x400), -EINVAL);
	CHECK_EQ(p9_call(c, T_UNLINKAT, "dsd", 0, "e", 0x200), 0);
	CHECK_EQ(p9_call(c, T_CLUNK, "d", 0), 0);
	CHECK_EQ(p9_call(c, T_CLUNK, "d", 1), 0);
	CHECK_EQ(p9_call(c, T_ATTACH, "ddssd", 0, P9_NO_FID, "root", "", 0), 13);
}

static void test_readdir(struct bench *b)
{
	static const uint32_t counts[] = { 60000, 24000, 1000, 200, 60, 20 };
	struct p9_client *c = &b->c;
	char name[256];

	CHECK_EQ(p9_call(c, T_MKDIR, "dsdd", 0, "many", 0755, 0), 13);
	CHECK(p9_walk(c, 0, 5, "many") >= 0);
	for (unsigned int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		CHECK_EQ(p9_call(c, T_MKNOD, "dsdddd", 5, name, S_IFREG | 0600, 0, 0, 0), 13);
	}
	CHECK_EQ(p9_call(c, T_READDIR, "dqd", 5, (uint64_t)0, 1000), -EBADF);
	CHECK_EQ(p9_call(c, T_LOPEN, "dd", 5, 0200000), 17);
	CHECK_EQ(p9_call(c, T_READ, "dqd", 5, (uint64_t)0, 1000), -EISDIR);
	for (unsigned int k = 0; k < ARRAY_SIZE(counts); k++) {
		bool seen[300] = { false };
		unsigned int n = 0, dots = 0;
		uint64_t offset = 0;
		int r;

		for (;;) {
			uint8_t *end;

			r = p9_call(c, T_READDIR, "dqd", 5, offset, counts[k]);
			if (r < 4)
				break;
			end = c->at + 4 + p9_get(c, 4);
			CHECK_EQ(end - c->in, c->in_len);
			CHECK(c->in_len - 11 <= counts[k]);
			if (c->at == end)
				break;
			while (c->at < end) {
				unsigned int len, type, i;

				p9_get_qid(c, NULL);
				offset = p9_get(c, 8);
				type = (unsigned int)p9_get(c, 1);
				len = (unsigned int)p9_get(c, 2);
				memcpy(name, c->at, MIN(len, 255));
				name[MIN(len, 255)] = 0;
				c->at += len;
				n++;
				dots += name[0] == '.';
				if (sscanf(name, "file-%u", &i) == 1 && i < 300) {
					CHECK(!seen[i]);
					seen[i] = true;
					CHECK(type == 8 || type == 0);
				}
			}
		}
		if (counts[k] < 40) {
			CHECK_EQ(r, -EINVAL); /* not even one fits */
		} else {
			CHECK_EQ(r, 4);
			CHECK_EQ(n, 302);
			CHECK_EQ(dots, 2);
		}
	}
	CHECK_EQ(p9_call(c, T_READDIR, "dqd", 5, UINT64_MAX, 1000), -EINVAL);
	CHECK_EQ(p9_call(c, T_CLUNK, "d", 5), 0);
}

/* Data in many pieces, as Linux hands its pages over; replies that do not fit; requests that are none. */
static void test_buffers(struct bench *b)
{
	enum { PAGES = 32 };
	struct p9_client *c = &b->c;
	struct memory *m = b->vm->memory;
	uint64_t mark = b->vm->next, head = mock_alloc(b->vm, 64, 64), reply = mock_alloc(b->vm, 64, 64);
	uint64_t pages = mock_alloc(b->vm, PAGES * 8192, 4096);
	struct mock_buf bufs[PAGES + 2];
	uint8_t raw[64], page[4096], back[4096];
	uint32_t written;

	memset(page, 0, sizeof(page));
	for (unsigned int i = 0; i < PAGES * 2; i++)
		memory_write(m, pages + i * 4096, page, sizeof(page));
	CHECK(p9_walk(c, 0, 6, "") >= 0);
	CHECK_EQ(p9_call(c, T_LCREATE, "dsddd", 6, "pages", 2, 0600, 0), 17);
	put_le32(raw, 23 + PAGES * 4096);
	raw[4] = T_WRITE;
	put_le16(raw + 5, 9);
	put_le32(raw + 7, 6);
	put_le64(raw + 11, 100);
	put_le32(raw + 19, PAGES * 4096);
	CHECK(p9_call(c, T_VERSION, "ds", 512 << 10, "9P2000.L") >= 0);
	CHECK(p9_call(c, T_ATTACH, "ddssd", 0, P9_NO_FID, "root", "pages", 0) >= 0);
	CHECK(p9_walk(c, 0, 6, "") >= 0);
	CHECK_EQ(p9_call(c, T_LOPEN, "dd", 6, 2), 17);
	for (unsigned int way = 0; way < 2; way++) {
		/* Header in two pieces, then the pages, every other one of memory. */
		memory_write(m, head, raw, 23);
		bufs[0] = (struct mock_buf){ head, 10, false };
		bufs[1] = (struct mock_buf){ head + 10, 13, false };
		for (unsigned int i = 0; i < PAGES - 1; i++)
			bufs[2 + i] = (struct mock_buf){ pages + i * 8192, 4096, false };
		for (unsigned int i = 0; i < PAGES; i++) {
			memset(page, (int)i + 1, sizeof(page));
			memory_write(m, pages + i * 8192, page, sizeof(page));
		}
		put_le32(raw, 23 + (PAGES - 1) * 4096);
		put_le32(raw + 19, (PAGES - 1) * 4096);
		memory_write(m, head, raw, 23);
		bufs[PAGES + 1] = (struct mock_buf){ reply, 11, true };
		CHECK(mock_add(b->d, 0, bufs, PAGES + 2, way && b->d->features & MOCK_F_INDIRECT ? MOCK_INDIRECT : MOCK_DIRECT) >= 0);
		mock_kick(b->d, 0);
		CHECK(mock_wait(b->d, 0, &written) >= 0);
		CHECK_EQ(written, 11);
		memory_read(m, reply, back, 11);
		CHECK_EQ(back[4], T_WRITE + 1);
		CHECK_EQ(get_le32(back + 7), (PAGES - 1) * 4096);

		/* And back. */
		raw[4] = T_READ;
		put_le32(raw, 23);
		memory_write(m, head, raw, 23);
		raw[4] = T_WRITE;
		memset(page, 0, sizeof(page));
		for (unsigned int i = 0; i < PAGES; i++)
			memory_write(m, pages + i * 8192, page, sizeof(page));
		bufs[1] = (struct mock_buf){ head + 10, 13, false };
		bufs[2] = (struct mock_buf){ reply, 11, true };
		for (unsigned int i = 0; i < PAGES - 1; i++)
			bufs[3 + i] = (struct mock_buf){ pages + i * 8192, 4096, true };
		CHECK(mock_add(b->d, 0, bufs, PAGES + 2, MOCK_DIRECT) >= 0);
		mock_kick(b->d, 0);
		CHECK(mock_wait(b->d, 0, &written) >= 0);
		CHECK_EQ(written, 11 + (PAGES - 1) * 4096);
		for (unsigned int i = 0; i < PAGES - 1; i++) {
			memory_read(m, pages + i * 8192, back, sizeof(back));
			CHECK_EQ(back[0], i + 1);
			CHECK_EQ(back[4095], i + 1);
			memory_read(m, pages + i * 8192 + 4096, back, 1);
			CHECK_EQ(back[0], 0);
		}
	}

	/* A reply that does not fit becomes an error that does; data is cut to what fits. */
	c->in_size = 20;
	CHECK_EQ(p9_call(c, T_GETATTR, "dq", 6, (uint64_t)0x7ff), -EMSGSIZE);
	CHECK_EQ(p9_call(c, T_READ, "dqd", 6, (uint64_t)100, 4096), 13);
	CHECK_EQ(p9_get(c, 4), 9);
	c->in_size = sizeof(c->in);
	/* A wrong size in the header. */
	CHECK_EQ(p9_call(c, T_CLUNK, "d", 6), 0);
	c->out_len = 11;
	put_le32(c->out, 12);
	CHECK_EQ(p9_send(c), -EINVAL);
	put_le32(c->out, 3);
	CHECK_EQ(p9_send(c), -EINVAL);
	put_le32(c->out, UINT32_MAX);
	CHECK_EQ(p9_send(c), -EINVAL);
	CHECK(p9_begin(c, b->d, 65536) >= 0);

	/* More than one kick takes. */
	put_le32(raw, 23);
	raw[4] = T_GETATTR;
	put_le32(raw + 7, 0);
	for (unsigned int i = 0; i < 40; i++) {
		put_le16(raw + 5, (uint16_t)i);
		memory_write(m, pages + i * 256, raw, 23);
		CHECK(mock_add(b->d, 0, (struct mock_buf[]){ { pages + i * 256, 23, false }, { pages + i * 256 + 32, 200, true } },
			       2, MOCK_DIRECT) >= 0);
	}
	mock_kick(b->d, 0);
	for (unsigned int i = 0; i < 40; i++) {
		CHECK(mock_wait(b->d, 0, &written) >= 0);
		CHECK_EQ(written, 160);
	}

	/* No message, and no place for a reply: the driver's fault. */
	for (unsigned int i = 0; i < 2; i++) {
		bufs[0] = (struct mock_buf){ head, i ? 23 : 6, false };
		bufs[1] = (struct mock_buf){ reply, i ? 10 : 64, true };
		CHECK(mock_add(b->d, 0, bufs, 2, MOCK_DIRECT) >= 0);
		mock_kick(b->d, 0);
		mock_settle(b->vm);
		CHECK(mock_status(b->d) & NEEDS_RESET);
		b->vm->next = mark;
		CHECK_EQ(mock_start(b->d, b->d->features), 0);
		head = mock_alloc(b->vm, 64, 64);
		reply = mock_alloc(b->vm, 64, 64);
	}
	CHECK(p9_begin(c, b->d, 65536) >= 0);
}

static void test_fids(struct bench *b)
{
	struct p9_client *c = &b->c;
	unsigned int n = 0;
	int r;

	while ((r = p9_walk(c, 0, 1 + n, "")) >= 0 && n < 100000)
		n++;
	CHECK_EQ(r, -ENFILE);
	CHECK_EQ(n, 65535);
	CHECK_EQ(p9_call(c, T_CLUNK, "d", 5), 0);
	CHECK(p9_walk(c, 0, P9_NO_FID - 1, "") >= 0);
	CHECK_EQ(p9_call(c, T_CLUNK, "d", 6), 0);
	CHECK_EQ(p9_walk(c, 0, P9_NO_FID, ""), -EINVAL);
	CHECK(p9_begin(c, b->d, 65536) >= 0);
}

static void test_readonly_and_overlay(void)
{
	static struct bench b;
	struct share_overlay overlay = { .path = "/host", .host_path = "/" };
	struct p9_client *c = &b.c;
	char text[256];
	bool seen = false;

	bench_make(&b, MOCK_LOOP, MOCK_ALL, (struct share_config){ .readonly = true });
	temp_file_write(b.dir, "f", "as it was");
	CHECK(p9_walk(c, 0, 1, "f") >= 0);
	CHECK_EQ(p9_call(c, T_LOPEN, "dd", 1, 1), -EROFS);
	CHECK_EQ(p9_call(c, T_LOPEN, "dd", 1, 01000), -EROFS);
	CHECK_EQ(p9_call(c, T_MKDIR, "dsdd", 0, "d", 0755, 0), -EROFS);
	CHECK_EQ(p9_call(c, T_UNLINKAT, "dsd", 0, "f", 0), -EROFS);
	CHECK_EQ(p9_call(c, T_LOPEN, "dd", 1, 0), 17);
	CHECK_EQ(read_text(c, 1, 0, 100, text), 9);
	bench_drop(&b);

	bench_make(&b, MOCK_LOOP, MOCK_ALL, (struct share_config){ .overlays = &overlay, .n_overlays = 1 });
	CHECK_EQ(p9_call(c, T_WALK, "ddwsss", 0, 1, 3, "host", "etc", "passwd"), 2 + 39);
	CHECK_EQ(p9_call(c, T_LOPEN, "dd", 1, 2), -EROFS);
	CHECK_EQ(p9_call(c, T_SETATTR, "dddddqqqqq", 1, 1, 0777, 0, 0, (uint64_t)0, (uint64_t)0, (uint64_t)0, (uint64_t)0, (uint64_t)0), -EROFS);
	CHECK_EQ(p9_call(c, T_LINK, "dds", 0, 1, "mine"), -EXDEV);
	CHECK_EQ(p9_call(c, T_RENAME, "dds", 1, 0, "mine"), -EROFS);
	CHECK_EQ(p9_call(c, T_LOPEN, "dd", 1, 0), 17);
	CHECK(read_text(c, 1, 0, 100, text) > 0);
	CHECK(strstr(text, "root:"));
	CHECK(p9_walk(c, 0, 2, "") >= 0);
	CHECK_EQ(p9_call(c, T_LOPEN, "dd", 2, 0), 17);
	CHECK(p9_call(c, T_READDIR, "dqd", 2, (uint64_t)0, 1000) > 4);
	for (unsigned int i = 7; i + 4 <= c->in_len; i++)
		seen |= !memcmp(c->in + i, "host", 4);
	CHECK(seen);
	CHECK_EQ(p9_call(c, T_UNLINKAT, "dsd", 0, "host", 0x200), -EBUSY);
	bench_drop(&b);
}

static _Atomic bool racing;

static void *swapper(void *ctx)
{
	struct bench *b = ctx;
	char dir[400], link[400], away[400];

	snprintf(dir, sizeof(dir), "%s/swap", b->dir);
	snprintf(link, sizeof(link), "%s/link", b->dir);
	snprintf(away, sizeof(away), "%s/away", b->dir);
	while (racing) {
		if (rename(dir, away) || rename(link, dir) || rename(dir, link) || rename(away, dir))
			abort();
	}
	return NULL;
}

static void test_race(void)
{
	static struct bench b;
	struct p9_client *c = &b.c;
	pthread_t thread;
	char path[400], text[256];
	unsigned int inside = 0;

	bench_make(&b, 0, MOCK_ALL, (struct share_config){ 0 });
	snprintf(path, sizeof(path), "%s/swap", b.dir);
	CHECK_EQ(mkdir(path, 0755), 0);
	temp_file_write(b.dir, "swap/secret", "inside");
	snprintf(path, sizeof(path), "%s/link", b.dir);
	CHECK_EQ(symlink("../outside", path), 0);
	racing = true;
	CHECK_EQ(pthread_create(&thread, NULL, swapper, &b), 0);
	for (unsigned int i = 0; i < 4000; i++) {
		if (p9_call(c, T_WALK, "ddwss", 0, 1, 2, "swap", "secret") >= 0 && p9_get(c, 2) == 2) {
			if (p9_call(c, T_LOPEN, "dd", 1, 0) >= 0 && read_text(c, 1, 0, 100, text) >= 0) {
				CHECK_STR(text, "inside");
				inside++;
			}
			CHECK_EQ(p9_call(c, T_CLUNK, "d", 1), 0);
		}
		if (p9_walk(c, 0, 1, "swap") >= 0) {
			p9_call(c, T_MKDIR, "dsdd", 1, "made", 0755, 0);
			p9_call(c, T_UNLINKAT, "dsd", 1, "made", 0x200);
			CHECK_EQ(p9_call(c, T_CLUNK, "d", 1), 0);
		}
	}
	racing = false;
	pthread_join(thread, NULL);
	CHECK(inside > 0);
	CHECK(!temp_exists(b.outside, "made"));
	bench_drop(&b);
}

int main(void)
{
	static const uint64_t features[] = { MOCK_ALL, MOCK_ALL & ~MOCK_F_PACKED, 0 };
	static struct bench b;

	test_device();
	for (unsigned int flags = 0; flags <= (MOCK_LOOP | MOCK_HV); flags++) {
		bench_make(&b, flags, features[flags % ARRAY_SIZE(features)], (struct share_config){ 0 });
		test_session(&b);
		test_files(&b);
		test_tree(&b);
		test_readdir(&b);
		test_buffers(&b);
		if (!flags)
			test_fids(&b);
		bench_drop(&b);
	}
	test_readonly_and_overlay();
	test_race();
	return test_result();
}
