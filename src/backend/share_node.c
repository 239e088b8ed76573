// SPDX-License-Identifier: MIT
#include "backend/share_node.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>

/* File systems that are a door to the kernel, not a store of files. */
static const uint32_t sealed_types[] = {
	PROC_SUPER_MAGIC, SYSFS_MAGIC, DEVPTS_SUPER_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC,
	TRACEFS_MAGIC, SECURITYFS_MAGIC, BPF_FS_MAGIC, EFIVARFS_MAGIC, PSTOREFS_MAGIC, SELINUX_MAGIC, SMACK_MAGIC,
	NSFS_MAGIC, BINFMTFS_MAGIC, AUTOFS_SUPER_MAGIC, 0x62656570 /* configfs */, 0x19800202 /* mqueue */,
	0x65735543 /* fusectl */,
};

static bool is_sealed(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return true;
	for (unsigned int i = 0; i < ARRAY_SIZE(sealed_types); i++)
		if ((uint32_t)fs.f_type == sealed_types[i])
			return true;
	return false;
}

int share_name_check(const char *name)
{
	size_t len = strlen(name);

	if (!len || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
		return -EINVAL;
	return len > 255 ? -ENAMETOOLONG : 0;
}

struct share_node *share_overlay_at(struct share_node *dir, const char *name)
{
	struct share *s = dir->share;

	for (unsigned int i = 0; dir == s->root && i < s->n_overlays; i++)
		if (!strcmp(s->overlay[i]->name, name))
			return s->overlay[i];
	return NULL;
}

/* --- the list of descriptors that may be given up --- */

static void unlist(struct share_node *n)
{
	struct share *s = n->share;

	if (!n->listed)
		return;
	*(n->newer ? &n->newer->older : &s->newest) = n->older;
	*(n->older ? &n->older->newer : &s->oldest) = n->newer;
	n->newer = n->older = NULL;
	n->listed = false;
}

/* Its descriptor was used just now. Those of roots and of nodes without a name cannot be opened again and are kept. */
static void list(struct share_node *n)
{
	struct share *s = n->share;

	unlist(n);
	if (n->fd < 0 || !n->linked)
		return;
	n->older = s->newest;
	*(s->newest ? &s->newest->newer : &s->oldest) = n;
	s->newest = n;
	n->listed = true;
}

static void drop_fd(struct share_node *n)
{
	unlist(n);
	if (n->fd >= 0)
		n->share->n_paths--;
	close_fd(&n->fd);
}

bool share_node_evict(struct share *s)
{
	for (struct share_node *n = s->oldest; n; n = n->newer) {
		if (!n->pins) {
			drop_fd(n);
			return true;
		}
	}
	return false;
}

/* --- the tree --- */

static struct share_node **bucket_of(struct share *s, const struct share_node *dir, const char *name)
{
	uint64_t h = s->seed ^ (uintptr_t)dir;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	h *= UINT64_C(0x9e3779b97f4a7c15);
	return &s->bucket[h >> 52];
}

static void enter(struct share_node *n)
{
	struct share_node **b = bucket_of(n->share, n->parent, n->name);

	n->next = *b;
	*b = n;
	n->linked = true;
}

static void leave(struct share_node *n)
{
	struct share_node **p;

	if (!n->linked)
		return;
	for (p = bucket_of(n->share, n->parent, n->name); *p != n; p = &(*p)->next)
		;
	*p = n->next;
	n->linked = false;
}

struct share_node *share_node_find(struct share_node *dir, const char *name)
{
	struct share_node *n = *bucket_of(dir->share, dir, name);

	while (n && (n->parent != dir || strcmp(n->name, name)))
		n = n->next;
	return n;
}

static int node_new(struct share *s, struct share_node *parent, const char *name, const struct stat *st,
		    struct share_node **ret)
{
	struct share_node *n;

	if (s->n_nodes >= SHARE_MAX_NODES)
		return -ENFILE;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->name = strdup(name);
	if (!n->name) {
		free(n);
		return -ENOMEM;
	}
	n->share = s;
	n->parent = parent ? share_ref(parent) : NULL;
	n->dev = st->st_dev;
	n->ino = st->st_ino;
	n->type = st->st_mode & S_IFMT;
	n->refs = 1;
	n->fd = -1;
	s->n_nodes++;
	*ret = n;
	return 0;
}

int share_node_root(struct share *s, int fd, struct share_node *parent, const char *name, struct share_node **ret)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	r = node_new(s, parent, name, &st, ret);
	if (r < 0)
		return r;
	(*ret)->fd = fd;
	s->n_paths++;
	return 0;
}

struct share_node *share_ref(struct share_node *node)
{
	node->refs++;
	return node;
}

void share_unref(struct share_node *node)
{
	while (node && !--node->refs) {
		struct share_node *parent = node->parent;

		leave(node);
		drop_fd(node);
		node->share->n_nodes--;
		free(node->name);
		free(node);
		node = parent;
	}
}

static bool is_same(const struct share_node *n, const struct stat *st)
{
	return n->dev == st->st_dev && n->ino == st->st_ino && n->type == (st->st_mode & S_IFMT);
}

static void take_path_fd(struct share_node *n, int fd)
{
	if (fd < 0)
		return;
	if (n->fd >= 0) {
		close(fd);
	} else {
		n->fd = fd;
		n->share->n_paths++;
	}
	list(n);
}

int share_node_get(struct share_node *dir, const char *name, int path_fd, const struct stat *st, struct share_node **ret)
{
	struct share_node *n = share_node_find(dir, name);
	CLEANUP_CLOSE int fd = path_fd;
	unsigned int depth = 0;
	int r;

	if (n && is_same(n, st)) {
		share_ref(n);
		take_path_fd(n, take_fd(&fd));
		*ret = n;
		return 0;
	}
	if (n)
		share_node_detach(n);
	for (const struct share_node *up = dir; up; up = up->parent)
		if (++depth >= SHARE_MAX_DEPTH)
			return -ENAMETOOLONG;
	r = node_new(dir->share, dir, name, st, &n);
	if (r < 0)
		return r;
	n->readonly = dir->readonly;
	n->sealed = dir->sealed || (fd >= 0 && st->st_dev != dir->dev && is_sealed(fd));
	enter(n);
	take_path_fd(n, take_fd(&fd));
	*ret = n;
	return 0;
}

void share_node_detach(struct share_node *n)
{
	unlist(n);
	leave(n);
}

void share_node_move(struct share_node *n, struct share_node *dir, const char *name)
{
	struct share_node *old = n->parent;
	char *copy = strdup(name);

	/* Under itself it can only come when the host has moved things meanwhile: then it is not where we think. */
	for (const struct share_node *up = dir; up && copy; up = up->parent) {
		if (up == n) {
			free(copy);
			copy = NULL;
			break;
		}
	}
	if (!copy) {
		share_node_detach(n);
		return;
	}
	leave(n);
	free(n->name);
	n->name = copy;
	n->parent = share_ref(dir);
	enter(n);
	list(n);
	share_unref(old);
}

/* --- descriptors --- */

int share_node_openat(struct share_node *dir, const char *name, int flags, mode_t mode)
{
	struct share *s = dir->share;
	int fd, r = share_node_fd(dir);

	if (r < 0)
		return r;
	dir->pins++;
	for (;;) {
		if (flags & O_PATH && s->n_paths >= s->max_paths && !share_node_evict(s)) {
			fd = -ENFILE;
			break;
		}
		fd = openat(dir->fd, name, flags | O_CLOEXEC, mode);
		if (fd < 0)
			fd = -errno;
		if (fd == -EINTR || ((fd == -EMFILE || fd == -ENFILE) && share_node_evict(s)))
			continue;
		break;
	}
	dir->pins--;
	return fd;
}

static int reopen(struct share_node *n)
{
	CLEANUP_CLOSE int fd = share_node_openat(n->parent, n->name, O_PATH | O_NOFOLLOW, 0);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!is_same(n, &st))
		return -ESTALE;
	take_path_fd(n, take_fd(&fd));
	return 0;
}

int share_node_fd(struct share_node *node)
{
	struct share_node *up[SHARE_MAX_DEPTH], *n;
	unsigned int depth = 0;
	int r;

	for (n = node; n->fd < 0; n = n->parent) {
		if (!n->linked || depth == SHARE_MAX_DEPTH)
			return -ESTALE;
		up[depth++] = n;
	}
	list(n);
	while (depth) {
		r = reopen(up[--depth]);
		if (r < 0)
			return r;
	}
	return node->fd;
}

int share_node_any_fd(struct share_node *node)
{
	if (node->fd < 0 && node->files)
		return node->files->fd;
	return share_node_fd(node);
}
