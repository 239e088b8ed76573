// SPDX-License-Identifier: MIT
/* The messages of 9P2000.L, one handler each. */
#include <errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "virtio/9p_server.h"

/* Open flags are numbered as in Linux's asm-generic/fcntl.h, which not every host has. */
enum {
	L_ACCMODE = 03,
	L_EXCL = 0200,
	L_TRUNC = 01000,
	L_DSYNC = 010000,
	L_DIRECTORY = 0200000,
	L_SYNC = 04000000,
};

enum { L_AT_REMOVEDIR = 0x200 };
enum { GETATTR_BASIC = 0x7ff };
enum { SET_ATIME = 0x10, SET_MTIME = 0x20, SET_ATIME_TO = 0x80, SET_MTIME_TO = 0x100 };
enum { LOCK_SUCCESS = 0, LOCK_TYPE_UNLCK = 2 };

#define VERSION "9P2000.L"
#define ENTRY_SIZE 24 /* of a folder's listing, without the name: qid[13] offset[8] type[1] name_len[2] */

static int flags_of(uint32_t l)
{
	static const struct {
		uint32_t l;
		int host;
	} flags[] = { { L_EXCL, O_EXCL }, { L_TRUNC, O_TRUNC }, { L_DSYNC, O_DSYNC },
		      { L_DIRECTORY, O_DIRECTORY }, { L_SYNC, O_SYNC } };
	int host = (int)(l & L_ACCMODE); /* the same everywhere */

	for (unsigned int i = 0; i < ARRAY_SIZE(flags); i++)
		if (l & flags[i].l)
			host |= flags[i].host;
	return host;
}

static struct p9_fid *take_fid(struct p9_server *s)
{
	return p9_fid(s, (uint32_t)p9_take(s, 4));
}

/* What a message names is wrong in itself, or its fid is. */
#define REQUIRE(s, fid)                                                                            \
	do {                                                                                       \
		if ((s)->bad)                                                                      \
			return -EINVAL;                                                            \
		if (!(fid))                                                                        \
			return -EBADF;                                                             \
	} while (0)

static struct share_owner owner_of(const struct p9_fid *fid, uint32_t gid)
{
	return (struct share_owner){ .uid = fid->uid, .gid = gid };
}

/* --- sessions --- */

/* size[4] Tversion tag[2] msize[4] version[s] */
static int version(struct p9_server *s)
{
	uint32_t msize = (uint32_t)p9_take(s, 4);
	const char *name = p9_take_string(s);

	REQUIRE(s, s);
	p9_reset(s);
	if (strcmp(name, VERSION)) {
		p9_put(s, 4, MIN(msize, P9_MAX_MSIZE));
		p9_put_string(s, "unknown", 7);
		return 0;
	}
	if (msize < P9_MIN_MSIZE)
		return -EMSGSIZE;
	s->msize = (uint32_t)MIN(msize, P9_MAX_MSIZE);
	p9_put(s, 4, s->msize);
	p9_put_string(s, VERSION, strlen(VERSION));
	return 0;
}

/* size[4] Tattach tag[2] fid[4] afid[4] uname[s] aname[s] n_uname[4]; aname: a folder of the share */
static int attach(struct p9_server *s)
{
	uint32_t fid = (uint32_t)p9_take(s, 4), afid = (uint32_t)p9_take(s, 4), uid;
	CLEANUP(cleanup_share_unref) struct share_node *node = NULL;
	struct stat st;
	char *name, *rest;
	int r;

	p9_take_string(s);
	rest = (char *)(uintptr_t)p9_take_string(s);
	uid = (uint32_t)p9_take(s, 4);
	REQUIRE(s, s);
	if (afid != P9_NOFID)
		return -EINVAL;
	node = share_root(s->share);
	r = share_stat(node, &st);
	while (r >= 0 && (name = strsep(&rest, "/"))) {
		struct share_node *up = node;

		if (!*name)
			continue;
		r = share_walk(up, name, &node, &st);
		if (r >= 0)
			share_unref(up);
	}
	if (r < 0)
		return r;
	if ((r = p9_fid_new(s, fid, uid, node)) < 0)
		return r;
	node = NULL;
	p9_put_qid(s, &st);
	return 0;
}

/* size[4] Tflush tag[2] oldtag[2]: whatever it was has been answered */
static int flush(struct p9_server *s)
{
	return 0;
}

/* size[4] Tclunk tag[2] fid[4] */
static int clunk(struct p9_server *s)
{
	struct p9_fid *fid = take_fid(s);

	REQUIRE(s, fid);
	p9_fid_clunk(s, fid);
	return 0;
}

/* size[4] Twalk tag[2] fid[4] newfid[4] nwname[2] nwname*(wname[s]) */
static int walk(struct p9_server *s)
{
	struct p9_fid *fid = take_fid(s), *old;
	uint32_t newfid = (uint32_t)p9_take(s, 4), uid;
	unsigned int n = (unsigned int)p9_take(s, 2), i;
	CLEANUP(cleanup_share_unref) struct share_node *node = NULL;
	const char *name[P9_MAX_WALK];
	int r = 0;

	if (n > P9_MAX_WALK)
		return -EINVAL;
	for (i = 0; i < n; i++)
		name[i] = p9_take_string(s);
	REQUIRE(s, fid);
	old = p9_fid(s, newfid);
	if (old && old != fid)
		return -EINVAL;
	node = share_ref(fid->node);
	p9_put(s, 2, 0);
	for (i = 0; i < n; i++) {
		struct share_node *up = node;
		struct stat st;

		r = share_walk(up, name[i], &node, &st);
		if (r < 0)
			break;
		share_unref(up);
		p9_put_qid(s, &st);
	}
	if (i < n && !i)
		return r;
	put_le16(s->out + P9_HEADER, (uint16_t)i);
	if (i < n)
		return 0; /* newfid is not made */
	if (!old) {
		r = p9_fid_new(s, newfid, fid->uid, node);
	} else if (fid->file) {
		return -EBUSY;
	} else {
		uid = fid->uid;
		p9_fid_clunk(s, fid);
		r = p9_fid_new(s, newfid, uid, node);
	}
	if (r >= 0)
		node = NULL;
	return r < 0 ? r : 0;
}

/* --- opening, reading, writing --- */

/* size[4] Tlopen tag[2] fid[4] flags[4] */
static int lopen(struct p9_server *s)
{
	struct p9_fid *fid = take_fid(s);
	uint32_t flags = (uint32_t)p9_take(s, 4);
	struct share_file *file;
	struct stat st;
	int r;

	REQUIRE(s, fid);
	if (fid->file)
		return -EBUSY;
	r = share_file_open(fid->node, flags_of(flags), &file);
	if (r < 0)
		return r;
	fid->file = file;
	r = share_stat(fid->node, &st);
	if (r < 0)
		return r;
	p9_put_qid(s, &st);
	p9_put(s, 4, 0); /* iounit: whatever fits into msize */
	return 0;
}

/* size[4] Tlcreate tag[2] fid[4] name[s] flags[4] mode[4] gid[4]: fid becomes the new file's */
static int lcreate(struct p9_server *s)
{
	struct p9_fid *fid = take_fid(s);
	const char *name = p9_take_string(s);
	uint32_t flags = (uint32_t)p9_take(s, 4), mode = (uint32_t)p9_take(s, 4), gid = (uint32_t)p9_take(s, 4);
	struct share_node *node;
	struct share_file *file;
	struct stat st;
	int r;

	REQUIRE(s, fid);
	if (fid->file)
		return -EBUSY;
	r = share_create(fid->node, name, flags_of(flags), mode, owner_of(fid, gid), &node, &file, &st);
	if (r < 0)
		return r;
	share_unref(fid->node);
	fid->node = node;
	fid->file = file;
	p9_put_qid(s, &st);
	p9_put(s, 4, 0);
	return 0;
}

/* size[4] Tread tag[2] fid[4] offset[8] count[4] */
static int read_data(struct p9_server *s)
{
	struct p9_fid *fid = take_fid(s);
	uint64_t offset = p9_take(s, 8), count = p9_take(s, 4);
	const struct chain *c = s->chain;
	int64_t done;
	int n;

	REQUIRE(s, fid);
	if (!fid->file)
		return -EBADF;
	count = MIN(count, s->room - P9_DATA_HEADER);
	n = iov_slice(c->iov + c->n_out, c->n_in, P9_DATA_HEADER, count, s->iov, P9_IOV_CAP);
	if (n < 0)
		return n;
	done = share_read(fid->file, s->iov, (unsigned int)n, offset);
	if (done < 0)
		return (int)done;
	p9_put(s, 4, (uint64_t)done);
	s->direct = (uint64_t)done;
	return 0;
}

/* size[4] Twrite tag[2] fid[4] offset[8] count[4] data[count] */
static int write_data(struct p9_server *s)
{
	struct p9_fid *fid = take_fid(s);
	uint64_t offset = p9_take(s, 8), count = p9_take(s, 4);
	const struct chain *c = s->chain;
	int64_t done;
	int n;

	REQUIRE(s, fid);
	if (!fid->file)
		return -EBADF;
	if (count > c->out_len - P9_WRITE_HEADER || count > s->msize - P9_WRITE_HEADER)
		return -EINVAL;
	n = iov_slice(c->iov, c->n_out, P9_WRITE_HEADER, count, s->iov, P9_IOV_CAP);
	if (n < 0)
		return n;
	done = share_write(fid->file, s->iov, (unsigned int)n, offset);
	if (done < 0)
		return (int)done;
	p9_put(s, 4, (uint64_t)done);
	return 0;
}

/* size[4] Tfsync tag[2] fid[4] datasync[4] */
static int fsync_file(struct p9_server *s)
{
	struct p9_fid *fid = take_fid(s);
	bool data_only = s->left >= 4 && p9_take(s, 4); /* older drivers do not say */

	REQUIRE(s, fid);
	return fid->file ? share_sync(fid->file, data_only) : -EBADF;
}

struct listing {
	struct p9_server *s;
	size_t end;
	bool full;
};

static bool put_entry(void *ctx, const struct share_entry *e)
{
	struct listing *l = ctx;
	size_t len = strlen(e->name);

	if (l->s->out_len + ENTRY_SIZE + len > l->end) {
		l->full = true;
		return false;
	}
	p9_put(l->s, 1, e->type == 4 /* DT_DIR */ ? 0x80 : e->type == 10 /* DT_LNK */ ? 2 : 0);
	p9_put(l->s, 4, 0);
	p9_put(l->s, 8, e->id);
	p9_put(l->s, 8, e->next);
	p9_put(l->s, 1, e->type);
	p9_put_string(l->s, e->name, len);
	return true;
}

/* size[4] Treaddir tag[2] fid[4] offset[8] count[4] */
static int readdir_entries(struct p9_server *s)
{
	struct p9_fid *fid = take_fid(s);
	uint64_t offset = p9_take(s, 8), count = p9_take(s, 4);
	struct listing l = { .s = s };
	int r;

	REQUIRE(s, fid);
	if (!fid->file)
		return -EBADF;
	count = MIN(count, MIN(s->room, sizeof(s->out)) - P9_DATA_HEADER);
	p9_put(s, 4, 0);
	l.end = P9_DATA_HEADER + (size_t)count;
	r = share_list(fid->file, offset, put_entry, &l);
	if (r < 0)
		return r;
	if (l.full && s->out_len == P9_DATA_HEADER)
		return -EINVAL; /* not even one fits: nothing would mean the end */
	put_le32(s->out + P9_HEADER, (uint32_t)(s->out_len - P9_DATA_HEADER));
	return 0;
}

/* --- attributes --- */

/* As the kernel hands device numbers out to programs of any architecture. */
static uint64_t rdev_of(dev_t dev)
{
	return (minor(dev) & 0xff) | (uint64_t)major(dev) << 8 | (uint64_t)(minor(dev) & ~0xffU) << 12;
}

/* size[4] Tgetattr tag[2] fid[4] request_mask[8] */
static int getattr(struct p9_server *s)
{
	struct p9_fid *fid = take_fid(s);
	uint64_t mask = p9_take(s, 8);
	struct stat st;
	int r;

	REQUIRE(s, fid);
	r = share_stat(fid->node, &st);
	if (r < 0)
		return r;
	p9_put(s, 8, mask & GETATTR_BASIC);
	p9_put_qid(s, &st);
	p9_put(s, 4, st.st_mode);
	p9_put(s, 4, st.st_uid);
	p9_put(s, 4, st.st_gid);
	p9_put(s, 8, st.st_nlink);
	p9_put(s, 8, rdev_of(st.st_rdev));
	p9_put(s, 8, (uint64_t)st.st_size);
	p9_put(s, 8, (uint64_t)st.st_blksize);
	p9_put(s, 8, (uint64_t)st.st_blocks);
	p9_put(s, 8, (uint64_t)st.st_atim.tv_sec);
	p9_put(s, 8, (uint64_t)st.st_atim.tv_nsec);
	p9_put(s, 8, (uint64_t)st.st_mtim.tv_sec);
	p9_put(s, 8, (uint64_t)st.st_mtim.tv_nsec);
	p9_put(s, 8, (uint64_t)st.st_ctim.tv_sec);
	p9_put(s, 8, (uint64_t)st.st_ctim.tv_nsec);
	for (unsigned int i = 0; i < 4; i++)
		p9_put(s, 8, 0); /* btime, gen, data_version */
	return 0;
}

static bool take_time(struct p9_server *s, bool given, struct timespec *ret)
{
	uint64_t sec = p9_take(s, 8), nsec = p9_take(s, 8);

	*ret = (struct timespec){ .tv_nsec = UTIME_NOW };
	if (!given)
		return true;
	ret->tv_sec = (time_t)sec;
	ret->tv_nsec = (long)nsec;
	return nsec < 1000000000;
}

/* size[4] Tsetattr tag[2] fid[4] valid[4] mode[4] uid[4] gid[4] size[8] atime_sec[8] atime_nsec[8] mtime_sec[8] mtime_nsec[8] */
static int setattr(struct p9_server *s)
{
	struct p9_fid *fid = take_fid(s);
	uint32_t valid = (uint32_t)p9_take(s, 4);
	struct share_attr attr = { .valid = valid & (SHARE_SET_MODE | SHARE_SET_UID | SHARE_SET_GID | SHARE_SET_SIZE) };
	bool ok;

	attr.mode = (mode_t)p9_take(s, 4);
	attr.uid = (uid_t)p9_take(s, 4);
	attr.gid = (gid_t)p9_take(s, 4);
	attr.size = p9_take(s, 8);
	ok = take_time(s, valid & SET_ATIME_TO, &attr.times[0]);
	ok = take_time(s, valid & SET_MTIME_TO, &attr.times[1]) && ok;
	REQUIRE(s, fid);
	if (!ok)
		return -EINVAL;
	attr.valid |= (valid & SET_ATIME ? SHARE_SET_ATIME : 0) | (valid & SET_MTIME ? SHARE_SET_MTIME : 0);
	return share_set(fid->node, &attr);
}

/* size[4] Tstatfs tag[2] fid[4] */
static int statfs_fid(struct p9_server *s)
{
	struct p9_fid *fid = take_fid(s);
	struct statfs fs;
	uint64_t fsid;
	int r;

	REQUIRE(s, fid);
	r = share_statfs(fid->node, &fs);
	if (r < 0)
		return r;
	memcpy(&fsid, &fs.f_fsid, sizeof(fsid));
	p9_put(s, 4, (uint64_t)fs.f_type);
	p9_put(s, 4, (uint64_t)fs.f_bsize);
	p9_put(s, 8, fs.f_blocks);
	p9_put(s, 8, fs.f_bfree);
	p9_put(s, 8, fs.f_bavail);
	p9_put(s, 8, fs.f_files);
	p9_put(s, 8, fs.f_ffree);
	p9_put(s, 8, fsid);
	p9_put(s, 4, (uint64_t)fs.f_namelen);
	return 0;
}

/* size[4] Treadlink tag[2] fid[4] */
static int readlink_fid(struct p9_server *s)
{
	struct p9_fid *fid = take_fid(s);
	char *text = (char *)s->out + P9_HEADER + 2;
	int n;

	REQUIRE(s, fid);
	n = share_readlink(fid->node, text, 4096);
	if (n < 0)
		return n;
	p9_put(s, 2, (uint64_t)n);
	s->out_len += (size_t)n;
	return 0;
}

/* --- names --- */

/* size[4] Tmkdir tag[2] dfid[4] name[s] mode[4] gid[4] */
static int mkdir_name(struct p9_server *s)
{
	struct p9_fid *dir = take_fid(s);
	const char *name = p9_take_string(s);
	uint32_t mode = (uint32_t)p9_take(s, 4), gid = (uint32_t)p9_take(s, 4);
	struct stat st;
	int r;

	REQUIRE(s, dir);
	r = share_mkdir(dir->node, name, mode, owner_of(dir, gid), &st);
	if (r >= 0)
		p9_put_qid(s, &st);
	return r;
}

/* size[4] Tsymlink tag[2] dfid[4] name[s] symtgt[s] gid[4] */
static int symlink_name(struct p9_server *s)
{
	struct p9_fid *dir = take_fid(s);
	const char *name = p9_take_string(s), *target = p9_take_string(s);
	uint32_t gid = (uint32_t)p9_take(s, 4);
	struct stat st;
	int r;

	REQUIRE(s, dir);
	r = share_symlink(dir->node, name, target, owner_of(dir, gid), &st);
	if (r >= 0)
		p9_put_qid(s, &st);
	return r;
}

/* size[4] Tmknod tag[2] dfid[4] name[s] mode[4] major[4] minor[4] gid[4] */
static int mknod_name(struct p9_server *s)
{
	struct p9_fid *dir = take_fid(s);
	const char *name = p9_take_string(s);
	uint32_t mode = (uint32_t)p9_take(s, 4), gid;
	struct stat st;
	int r;

	p9_take(s, 8);
	gid = (uint32_t)p9_take(s, 4);
	REQUIRE(s, dir);
	r = share_mknod(dir->node, name, mode, owner_of(dir, gid), &st);
	if (r >= 0)
		p9_put_qid(s, &st);
	return r;
}

/* size[4] Tlink tag[2] dfid[4] fid[4] name[s] */
static int link_name(struct p9_server *s)
{
	struct p9_fid *dir = take_fid(s), *fid = take_fid(s);
	const char *name = p9_take_string(s);

	REQUIRE(s, dir && fid);
	return share_link(dir->node, name, fid->node);
}

/* size[4] Trename tag[2] fid[4] dfid[4] name[s] */
static int rename_fid(struct p9_server *s)
{
	struct p9_fid *fid = take_fid(s), *dir = take_fid(s);
	const char *name = p9_take_string(s);

	REQUIRE(s, dir && fid);
	return share_move(fid->node, dir->node, name);
}

/* size[4] Trenameat tag[2] olddirfid[4] oldname[s] newdirfid[4] newname[s] */
static int renameat_names(struct p9_server *s)
{
	struct p9_fid *from = take_fid(s), *to;
	const char *old_name = p9_take_string(s), *new_name;

	to = take_fid(s);
	new_name = p9_take_string(s);
	REQUIRE(s, from && to);
	return share_rename(from->node, old_name, to->node, new_name);
}

/* size[4] Tunlinkat tag[2] dirfd[4] name[s] flags[4] */
static int unlinkat_name(struct p9_server *s)
{
	struct p9_fid *dir = take_fid(s);
	const char *name = p9_take_string(s);
	uint32_t flags = (uint32_t)p9_take(s, 4);

	REQUIRE(s, dir);
	return flags & ~L_AT_REMOVEDIR ? -EINVAL : share_unlink(dir->node, name, flags);
}

/* size[4] Tremove tag[2] fid[4]: the fid is gone in any case */
static int remove_fid(struct p9_server *s)
{
	struct p9_fid *fid = take_fid(s);
	int r;

	REQUIRE(s, fid);
	r = share_remove(fid->node);
	p9_fid_clunk(s, fid);
	return r;
}

/* --- locks: between the guest's own programs its kernel has decided already --- */

/* size[4] Tlock tag[2] fid[4] type[1] flags[4] start[8] length[8] proc_id[4] client_id[s] */
static int lock(struct p9_server *s)
{
	struct p9_fid *fid = take_fid(s);

	REQUIRE(s, fid);
	p9_put(s, 1, LOCK_SUCCESS);
	return 0;
}

/* size[4] Tgetlock tag[2] fid[4] type[1] start[8] length[8] proc_id[4] client_id[s] */
static int getlock(struct p9_server *s)
{
	struct p9_fid *fid = take_fid(s);
	uint64_t start, length;
	const char *client;
	uint32_t proc;

	p9_take(s, 1);
	start = p9_take(s, 8);
	length = p9_take(s, 8);
	proc = (uint32_t)p9_take(s, 4);
	client = p9_take_string(s);
	REQUIRE(s, fid);
	p9_put(s, 1, LOCK_TYPE_UNLCK);
	p9_put(s, 8, start);
	p9_put(s, 8, length);
	p9_put(s, 4, proc);
	p9_put_string(s, client, strlen(client));
	return 0;
}

/* Tauth (102), Txattrwalk (30), Txattrcreate (32) and the messages that 9P2000.L has replaced are not served. */
const p9_handler p9_handlers[128 / 2] = {
	[8 / 2] = statfs_fid,
	[12 / 2] = lopen,
	[14 / 2] = lcreate,
	[16 / 2] = symlink_name,
	[18 / 2] = mknod_name,
	[20 / 2] = rename_fid,
	[22 / 2] = readlink_fid,
	[24 / 2] = getattr,
	[26 / 2] = setattr,
	[40 / 2] = readdir_entries,
	[50 / 2] = fsync_file,
	[52 / 2] = lock,
	[54 / 2] = getlock,
	[70 / 2] = link_name,
	[72 / 2] = mkdir_name,
	[74 / 2] = renameat_names,
	[76 / 2] = unlinkat_name,
	[100 / 2] = version,
	[104 / 2] = attach,
	[108 / 2] = flush,
	[110 / 2] = walk,
	[116 / 2] = read_data,
	[118 / 2] = write_data,
	[120 / 2] = clunk,
	[122 / 2] = remove_fid,
};
