// SPDX-License-Identifier: MIT
#include "backend/share_node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/sys.h"

/* --- opening and closing --- */

static unsigned int part_of(uint64_t all, unsigned int divisor, unsigned int most)
{
	uint64_t n = all / divisor;

	return (unsigned int)MAX(MIN(n, most), 16);
}

static int add_overlay(struct share *s, const struct share_overlay *o, struct err *e)
{
	CLEANUP_CLOSE int fd = -1;
	const char *name = o->path + (*o->path == '/');
	int r = share_name_check(name);

	if (r < 0 || s->n_overlays == SHARE_MAX_OVERLAYS || share_overlay_at(s->root, name))
		return err_set(e, -EINVAL, "%s cannot be shown at %s of a shared folder", o->host_path, o->path);
	fd = sys_open(o->host_path, O_PATH | O_DIRECTORY, 0);
	r = fd < 0 ? fd : share_node_root(s, fd, s->root, name, &s->overlay[s->n_overlays]);
	if (r < 0)
		return err_set(e, r, "the shared folder %s cannot be opened: %s", o->host_path, err_name(r));
	fd = -1;
	s->overlay[s->n_overlays++]->readonly = true;
	return 0;
}

int share_open(const struct share_config *config, struct share **ret, struct err *e)
{
	CLEANUP(cleanup_share_close) struct share *s = calloc(1, sizeof(*s));
	CLEANUP_CLOSE int fd = -1;
	struct rlimit limit;
	int r;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->proc_fd = -1;
	fd = sys_open(config->path, O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		return err_set(e, fd, "the shared folder %s cannot be opened: %s%s", config->path, err_name(fd),
			       fd == -ENOENT ? "; make it, or check the path" :
			       fd == -ENOTDIR ? "; give a folder, not a file" :
			       fd == -EACCES ? "; give one that you may enter" : "");
	s->proc_fd = sys_open("/proc/self/fd", O_PATH | O_DIRECTORY, 0);
	if (s->proc_fd < 0)
		return err_set(e, s->proc_fd, "the shared folder %s needs /proc, which cannot be opened: %s", config->path,
			       err_name(s->proc_fd));
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		limit.rlim_cur = 1024;
	s->max_paths = config->max_paths ? config->max_paths : part_of(limit.rlim_cur, 8, 4096);
	s->max_files = config->max_files ? config->max_files : part_of(limit.rlim_cur, 4, 16384);
	r = sys_random(&s->seed, sizeof(s->seed));
	if (r >= 0)
		r = share_node_root(s, fd, NULL, "", &s->root);
	if (r < 0)
		return err_set(e, r, "the shared folder %s cannot be opened: %s", config->path, err_name(r));
	fd = -1;
	s->root->readonly = config->readonly;
	for (unsigned int i = 0; i < config->n_overlays; i++) {
		r = add_overlay(s, &config->overlays[i], e);
		if (r < 0)
			return r;
	}
	*ret = TAKE(s);
	return 0;
}

void share_close(struct share *s)
{
	if (!s)
		return;
	while (s->n_overlays)
		share_unref(s->overlay[--s->n_overlays]);
	share_unref(s->root);
	close_fd(&s->proc_fd);
	free(s);
}

/* --- nodes --- */

struct share_node *share_root(struct share *s)
{
	return share_ref(s->root);
}

/* Device and inode as one number: exact for the first devices and usual inodes, a hash beyond. */
uint64_t share_id(struct share *s, dev_t dev, ino_t ino)
{
	uint64_t h = ((uint64_t)dev * UINT64_C(0x9e3779b97f4a7c15)) ^ (uint64_t)ino;
	unsigned int i;

	for (i = 0; i < s->n_devices && s->device[i] != dev; i++)
		;
	if (i == s->n_devices && i < SHARE_MAX_DEVICES)
		s->device[s->n_devices++] = dev;
	if (i < SHARE_MAX_DEVICES && !((uint64_t)ino >> 48))
		return (uint64_t)i << 48 | (uint64_t)ino;
	h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return (h ^ h >> 32) | UINT64_C(1) << 63;
}

int share_walk(struct share_node *dir, const char *name, struct share_node **ret, struct stat *ret_stat)
{
	CLEANUP(cleanup_share_unref) struct share_node *node = NULL;
	CLEANUP_CLOSE int fd = -1;
	struct stat st;
	int r;

	if (!S_ISDIR(dir->type))
		return -ENOTDIR;
	if (!strcmp(name, ".."))
		node = share_ref(dir->parent ? dir->parent : dir);
	else if ((r = share_name_check(name)) < 0)
		return r;
	else if (dir->sealed)
		return -ENOENT;
	else if ((node = share_overlay_at(dir, name)))
		share_ref(node);
	if (node) {
		r = share_stat(node, &st);
	} else {
		fd = share_node_openat(dir, name, O_PATH | O_NOFOLLOW, 0);
		if (fd < 0)
			return fd;
		r = fstat(fd, &st) < 0 ? -errno : share_node_get(dir, name, take_fd(&fd), &st, &node);
	}
	if (r < 0)
		return r;
	*ret = TAKE(node);
	*ret_stat = st;
	return 0;
}

int share_stat(struct share_node *node, struct stat *ret)
{
	int fd = share_node_any_fd(node);

	if (fd < 0)
		return fd;
	return fstat(fd, ret) < 0 ? -errno : 0;
}

int share_statfs(struct share_node *node, struct statfs *ret)
{
	int fd = share_node_any_fd(node);

	if (fd < 0)
		return fd;
	return fstatfs(fd, ret) < 0 ? -errno : 0;
}

int share_readlink(struct share_node *node, char *buf, size_t size)
{
	int fd = share_node_fd(node);
	ssize_t n;

	if (fd < 0)
		return fd;
	if (!S_ISLNK(node->type))
		return -EINVAL;
	n = readlinkat(fd, "", buf, size);
	return n < 0 ? -errno : (int)n;
}

/* --- attributes --- */

/* The name of a descriptor in /proc/self/fd. */
struct fd_name {
	char text[12];
};

static struct fd_name fd_name(int fd)
{
	struct fd_name n;

	snprintf(n.text, sizeof(n.text), "%d", fd);
	return n;
}

static int change_owner(int fd, uid_t uid, gid_t gid)
{
	if (uid == (uid_t)-1 && gid == (gid_t)-1)
		return 0;
	if (!fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) || errno == EPERM)
		return 0;
	return -errno;
}

static int change_mode(struct share *s, int fd, mode_t mode)
{
	return fchmodat(s->proc_fd, fd_name(fd).text, mode & 07777, 0) < 0 ? -errno : 0;
}

static int change_size(struct share_node *node, uint64_t size)
{
	CLEANUP(cleanup_share_file_close) struct share_file *file = NULL;
	struct share_file *f = node->files;
	int r;

	if (!S_ISREG(node->type))
		return S_ISDIR(node->type) ? -EISDIR : -EINVAL;
	if (size > INT64_MAX)
		return -EFBIG;
	/* A file that is open for writing can be cut whatever its mode has become. */
	while (f && (f->flags & O_ACCMODE) == O_RDONLY)
		f = f->next;
	if (!f) {
		r = share_file_open(node, O_WRONLY, &file);
		if (r < 0)
			return r;
		f = file;
	}
	return ftruncate(f->fd, (off_t)size) < 0 ? -errno : 0;
}

int share_set(struct share_node *node, const struct share_attr *attr)
{
	static const struct timespec omit = { .tv_nsec = UTIME_OMIT };
	const struct timespec times[2] = {
		attr->valid & SHARE_SET_ATIME ? attr->times[0] : omit,
		attr->valid & SHARE_SET_MTIME ? attr->times[1] : omit,
	};
	int fd, r = 0;

	if (node->readonly)
		return -EROFS;
	if (node->sealed)
		return -EACCES;
	if (attr->valid & SHARE_SET_SIZE)
		r = change_size(node, attr->size);
	fd = r < 0 ? r : share_node_any_fd(node);
	if (fd < 0)
		return fd;
	if (attr->valid & (SHARE_SET_UID | SHARE_SET_GID))
		r = change_owner(fd, attr->valid & SHARE_SET_UID ? attr->uid : (uid_t)-1,
				 attr->valid & SHARE_SET_GID ? attr->gid : (gid_t)-1);
	if (!r && attr->valid & SHARE_SET_MODE)
		r = S_ISLNK(node->type) ? -EOPNOTSUPP : change_mode(node->share, fd, attr->mode);
	if (!r && attr->valid & (SHARE_SET_ATIME | SHARE_SET_MTIME) && utimensat(fd, "", times, AT_EMPTY_PATH) < 0)
		r = -errno;
	return r;
}

/* --- making names --- */

/* May something be made under this name? Its folder's descriptor, with a pin on it. */
static int enter_dir(struct share_node *dir, const char *name)
{
	int r = share_name_check(name);

	if (r < 0)
		return r;
	if (!S_ISDIR(dir->type))
		return -ENOTDIR;
	if (dir->readonly)
		return -EROFS;
	if (dir->sealed)
		return -EACCES;
	r = share_node_fd(dir);
	if (r >= 0)
		dir->pins++;
	return r;
}

static void leave_dir(struct share_node **dir)
{
	if (*dir)
		(*dir)->pins--;
}

/*
 * What has just been made gets the owner and the mode that the guest asked for, past the umask of this process. Somebody of the host may have put
 * another thing in its place meanwhile: that is left alone unless it is of this user and kind.
 */
static int finish_new(struct share_node *dir, const char *name, mode_t mode, struct share_owner owner, struct stat *ret)
{
	CLEANUP_CLOSE int fd = share_node_openat(dir, name, O_PATH | O_NOFOLLOW, 0);
	int r;

	if (fd < 0)
		return fd;
	if (fstat(fd, ret) < 0)
		return -errno;
	if ((ret->st_mode & S_IFMT) != (mode & S_IFMT) || ret->st_uid != geteuid() ||
	    (!S_ISDIR(mode) && ret->st_nlink != 1))
		return 0;
	r = change_owner(fd, owner.uid, owner.gid);
	if (!r && !S_ISLNK(mode))
		r = change_mode(dir->share, fd, mode);
	return r < 0 || !fstat(fd, ret) ? r : -errno;
}

int share_mkdir(struct share_node *dir, const char *name, mode_t mode, struct share_owner owner, struct stat *ret)
{
	CLEANUP(leave_dir) struct share_node *pinned = NULL;
	int fd = enter_dir(dir, name);

	if (fd < 0)
		return fd;
	pinned = dir;
	if (share_overlay_at(dir, name))
		return -EEXIST;
	if (mkdirat(fd, name, mode & 0777) < 0)
		return -errno;
	return finish_new(dir, name, (mode & 07777) | S_IFDIR, owner, ret);
}

int share_symlink(struct share_node *dir, const char *name, const char *target, struct share_owner owner, struct stat *ret)
{
	CLEANUP(leave_dir) struct share_node *pinned = NULL;
	int fd = enter_dir(dir, name);

	if (fd < 0)
		return fd;
	pinned = dir;
	if (share_overlay_at(dir, name))
		return -EEXIST;
	if (symlinkat(target, fd, name) < 0)
		return -errno;
	return finish_new(dir, name, S_IFLNK, owner, ret);
}

int share_mknod(struct share_node *dir, const char *name, mode_t mode, struct share_owner owner, struct stat *ret)
{
	CLEANUP(leave_dir) struct share_node *pinned = NULL;
	int fd = enter_dir(dir, name);

	if (fd < 0)
		return fd;
	pinned = dir;
	if (share_overlay_at(dir, name))
		return -EEXIST;
	if (!(mode & S_IFMT))
		mode |= S_IFREG;
	if (!S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode))
		return S_ISCHR(mode) || S_ISBLK(mode) ? -EPERM : -EINVAL;
	if (mknodat(fd, name, mode & (S_IFMT | 0777), 0) < 0)
		return -errno;
	return finish_new(dir, name, mode & (S_IFMT | 07777), owner, ret);
}

int share_link(struct share_node *dir, const char *name, struct share_node *node)
{
	CLEANUP(leave_dir) struct share_node *pinned = NULL;
	int to = enter_dir(dir, name), fd;

	if (to < 0)
		return to;
	pinned = dir;
	if (share_overlay_at(dir, name))
		return -EEXIST;
	/* A second name in a writable place would open what is read-only. */
	if (node->readonly || node->sealed)
		return -EXDEV;
	if (S_ISDIR(node->type))
		return -EPERM;
	fd = share_node_any_fd(node);
	if (fd < 0)
		return fd;
	return linkat(dir->share->proc_fd, fd_name(fd).text, to, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* --- removing and renaming --- */

int share_unlink(struct share_node *dir, const char *name, bool is_dir)
{
	CLEANUP(leave_dir) struct share_node *pinned = NULL;
	int fd = enter_dir(dir, name);
	struct share_node *node;

	if (fd < 0)
		return fd;
	pinned = dir;
	if (share_overlay_at(dir, name))
		return -EBUSY;
	node = share_node_find(dir, name);
	if (node)
		share_node_fd(node); /* without a name it could not be opened again */
	if (unlinkat(fd, name, is_dir ? AT_REMOVEDIR : 0) < 0)
		return -errno;
	if (node)
		share_node_detach(node);
	return 0;
}

int share_remove(struct share_node *node)
{
	if (!node->parent || node->share->root == node || share_overlay_at(node->parent, node->name) == node)
		return -EBUSY;
	return node->linked ? share_unlink(node->parent, node->name, S_ISDIR(node->type)) : -ENOENT;
}

int share_rename(struct share_node *old_dir, const char *old_name, struct share_node *new_dir, const char *new_name)
{
	CLEANUP(leave_dir) struct share_node *old_pinned = NULL;
	CLEANUP(leave_dir) struct share_node *new_pinned = NULL;
	int from = enter_dir(old_dir, old_name), to;
	struct share_node *moved, *replaced;

	if (from < 0)
		return from;
	old_pinned = old_dir;
	to = enter_dir(new_dir, new_name);
	if (to < 0)
		return to;
	new_pinned = new_dir;
	if (share_overlay_at(old_dir, old_name) || share_overlay_at(new_dir, new_name))
		return -EBUSY;
	moved = share_node_find(old_dir, old_name);
	replaced = share_node_find(new_dir, new_name);
	if (replaced)
		share_node_fd(replaced);
	if (renameat(from, old_name, to, new_name) < 0)
		return -errno;
	/* Two names of one file: rename(2) leaves both. */
	if (moved && replaced && moved->dev == replaced->dev && moved->ino == replaced->ino)
		return 0;
	if (replaced)
		share_node_detach(replaced);
	if (moved)
		share_node_move(moved, new_dir, new_name);
	return 0;
}

int share_move(struct share_node *node, struct share_node *new_dir, const char *new_name)
{
	CLEANUP_FREE char *name = NULL;

	if (!node->parent || share_overlay_at(node->parent, node->name) == node)
		return -EBUSY;
	if (!node->linked)
		return -ENOENT;
	name = strdup(node->name); /* the node's own changes on the way */
	return name ? share_rename(node->parent, name, new_dir, new_name) : -ENOMEM;
}
