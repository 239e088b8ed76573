// SPDX-License-Identifier: MIT
#include "backend/share_node.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>

#define KEPT_FLAGS (O_ACCMODE | O_SYNC | O_DSYNC)
#define COOKIE_OVERLAY (UINT64_C(1) << 63) /* + number of the next overlay; the host's own cookies are positive */

/* Whoever opens waits for nothing and gets no terminal: what is opened is a regular file or a folder anyway. */
#define OPEN_FLAGS (O_NONBLOCK | O_NOCTTY)

static int file_new(struct share_node *node, int flags, int *fd, struct share_file **ret)
{
	struct share_file *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->node = share_ref(node);
	f->next = node->files;
	f->fd = take_fd(fd);
	f->flags = flags & KEPT_FLAGS;
	f->refs = 1;
	node->files = f;
	node->share->n_files++;
	*ret = f;
	return 0;
}

void share_file_close(struct share_file *file)
{
	struct share_file **p;

	if (!file || --file->refs)
		return;
	for (p = &file->node->files; *p != file; p = &(*p)->next)
		;
	*p = file->next;
	file->node->share->n_files--;
	close(file->fd);
	share_unref(file->node);
	free(file);
}

static int check_open(const struct share_node *node, int flags)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;

	if ((flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	if (S_ISLNK(node->type))
		return -ELOOP;
	if (!S_ISREG(node->type) && !S_ISDIR(node->type))
		return -ENXIO;
	if (S_ISDIR(node->type) ? writes : flags & O_DIRECTORY)
		return S_ISDIR(node->type) ? -EISDIR : -ENOTDIR;
	if (writes && node->readonly)
		return -EROFS;
	return node->sealed ? -EACCES : 0;
}

/* O_PATH became a descriptor for use: /proc/self/fd leads to the very file, whatever its name is now. */
static int open_again(struct share_node *node, int flags)
{
	struct share *s = node->share;
	int path_fd = share_node_any_fd(node), fd;
	char name[12];

	if (path_fd < 0)
		return path_fd;
	if (s->n_files >= s->max_files)
		return -EMFILE;
	snprintf(name, sizeof(name), "%d", path_fd);
	node->pins++;
	do {
		fd = openat(s->proc_fd, name, (flags & (KEPT_FLAGS | O_TRUNC)) | OPEN_FLAGS | O_CLOEXEC);
	} while (fd < 0 && (errno == EINTR || ((errno == EMFILE || errno == ENFILE) && share_node_evict(s))));
	node->pins--;
	return fd < 0 ? -errno : fd;
}

int share_file_open(struct share_node *node, int flags, struct share_file **ret)
{
	CLEANUP_CLOSE int fd = -1;
	struct share_file *f;
	int r = check_open(node, flags);

	if (r < 0)
		return r;
	for (f = node->files; f; f = f->next) {
		if (f->flags != (flags & KEPT_FLAGS))
			continue;
		if (flags & O_TRUNC && (flags & O_ACCMODE) == O_RDONLY)
			break;
		if (flags & O_TRUNC && ftruncate(f->fd, 0) < 0)
			return -errno;
		f->refs++;
		*ret = f;
		return 0;
	}
	fd = open_again(node, flags);
	return fd < 0 ? fd : file_new(node, flags, &fd, ret);
}

static int open_existing(struct share_node *dir, const char *name, int flags, struct share_node **ret_node,
			 struct share_file **ret, struct stat *ret_stat)
{
	CLEANUP(cleanup_share_unref) struct share_node *node = NULL;
	int r = share_walk(dir, name, &node, ret_stat);

	if (r >= 0)
		r = share_file_open(node, flags, ret);
	if (r >= 0)
		*ret_node = TAKE(node);
	return r;
}

int share_create(struct share_node *dir, const char *name, int flags, mode_t mode, struct share_owner owner,
		 struct share_node **ret_node, struct share_file **ret, struct stat *ret_stat)
{
	CLEANUP(cleanup_share_unref) struct share_node *node = NULL;
	CLEANUP_CLOSE int fd = -1;
	struct stat st;
	int r = share_name_check(name);

	if (r < 0)
		return r;
	if (!S_ISDIR(dir->type))
		return -ENOTDIR;
	if (dir->readonly)
		return -EROFS;
	if (dir->sealed)
		return -EACCES;
	if ((flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	if (share_overlay_at(dir, name))
		return -EEXIST;
	if (dir->share->n_files >= dir->share->max_files)
		return -EMFILE;
	/* O_EXCL always: what exists already is only opened once its kind is known. */
	fd = share_node_openat(dir, name, (flags & KEPT_FLAGS) | OPEN_FLAGS | O_CREAT | O_EXCL | O_NOFOLLOW, mode & 0777);
	if (fd == -EEXIST && !(flags & O_EXCL))
		return open_existing(dir, name, flags, ret_node, ret, ret_stat);
	if (fd < 0)
		return fd;
	if ((owner.uid != (uid_t)-1 || owner.gid != (gid_t)-1) && fchown(fd, owner.uid, owner.gid) < 0 && errno != EPERM)
		return -errno;
	if (fchmod(fd, mode & 07777) < 0 || fstat(fd, &st) < 0)
		return -errno;
	r = share_node_get(dir, name, -1, &st, &node);
	if (r >= 0)
		r = file_new(node, flags, &fd, ret);
	if (r < 0)
		return r;
	*ret_node = TAKE(node);
	*ret_stat = st;
	return 0;
}

/* --- data --- */

static int check_io(const struct share_file *f, uint64_t offset, unsigned int n, int refused)
{
	if (S_ISDIR(f->node->type))
		return -EISDIR;
	if ((f->flags & O_ACCMODE) == refused)
		return -EBADF;
	return offset > INT64_MAX || n > 1024 /* the kernel's limit of iovecs */ ? -EINVAL : 0;
}

int64_t share_read(struct share_file *file, const struct iovec *iov, unsigned int n, uint64_t offset)
{
	int r = check_io(file, offset, n, O_WRONLY);
	ssize_t done;

	if (r < 0 || !n)
		return r;
	do {
		done = preadv(file->fd, iov, (int)n, (off_t)offset);
	} while (done < 0 && errno == EINTR);
	return done < 0 ? -errno : done;
}

int64_t share_write(struct share_file *file, const struct iovec *iov, unsigned int n, uint64_t offset)
{
	int r = check_io(file, offset, n, O_RDONLY);
	ssize_t done;

	if (r < 0 || !n)
		return r;
	do {
		done = pwritev(file->fd, iov, (int)n, (off_t)offset);
	} while (done < 0 && errno == EINTR);
	return done < 0 ? -errno : done;
}

int share_sync(struct share_file *file, bool data_only)
{
	return (data_only ? fdatasync(file->fd) : fsync(file->fd)) < 0 ? -errno : 0;
}

/* --- listing --- */

/* getdents64(2); the C library's readdir() would keep a position of its own. */
struct raw_entry {
	uint64_t ino;
	int64_t next;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* The overlays come first. Returns how many were taken, *ret_full when fn wanted no more. */
static unsigned int list_overlays(struct share *s, unsigned int first, bool (*fn)(void *, const struct share_entry *),
				  void *ctx, bool *ret_full)
{
	unsigned int i;

	*ret_full = false;
	for (i = first; i < s->n_overlays; i++) {
		const struct share_node *o = s->overlay[i];
		const struct share_entry entry = {
			.name = o->name,
			.id = share_id(s, o->dev, o->ino),
			.next = COOKIE_OVERLAY + i + 1,
			.type = DT_DIR,
		};

		if (!fn(ctx, &entry)) {
			*ret_full = true;
			break;
		}
	}
	return i - first;
}

int share_list(struct share_file *file, uint64_t cookie, bool (*fn)(void *ctx, const struct share_entry *entry), void *ctx)
{
	struct share_node *dir = file->node;
	struct share *s = dir->share;
	unsigned int taken = 0;
	bool full;

	if (!S_ISDIR(dir->type))
		return -ENOTDIR;
	if (dir == s->root && (!cookie || cookie & COOKIE_OVERLAY)) {
		uint64_t first = cookie & ~COOKIE_OVERLAY;

		if (first > s->n_overlays)
			return -EINVAL;
		taken = list_overlays(s, (unsigned int)first, fn, ctx, &full);
		if (full)
			return 0;
		cookie = 0;
	}
	if (cookie > INT64_MAX)
		return -EINVAL;
	if (lseek(file->fd, (off_t)cookie, SEEK_SET) < 0)
		return -errno;
	for (;;) {
		long n = syscall(SYS_getdents64, file->fd, s->raw, sizeof(s->raw));

		if (n < 0)
			return taken ? 0 : -errno;
		if (!n)
			return 0;
		for (long at = 0; at < n;) {
			const struct raw_entry *raw = (const void *)(s->raw + at);
			/* What lies above the root is nobody's business. */
			bool up = !strcmp(raw->name, "..") && dir->parent;
			const struct share_entry entry = {
				.name = raw->name,
				.id = up ? share_id(s, dir->parent->dev, dir->parent->ino) :
				      strcmp(raw->name, "..") ? share_id(s, dir->dev, raw->ino) :
								share_id(s, dir->dev, dir->ino),
				.next = (uint64_t)raw->next,
				.type = raw->type,
			};

			at += raw->len;
			if (share_overlay_at(dir, raw->name))
				continue;
			if (!fn(ctx, &entry))
				return 0;
			taken++;
		}
		if (taken)
			return 0;
	}
}
