// SPDX-License-Identifier: MIT
/*
 * Shared folders: a part of the host's file system that a guest may see and nothing above it.
 *
 * A name is one component, looked up below an open descriptor without following symlinks; ".." goes up a tree of nodes kept here and ends at the root. So
 * symlinks are the guest's to follow, never the host's, whatever is swapped behind our back. A node keeps an O_PATH descriptor as long as there is room,
 * and is found again by its name and checked by device and inode number (-ESTALE) when it had to be given up; renames and removals made through
 * the share are followed, and a removed file lives on in its node. Only regular files and folders are ever opened. What lies on proc, sysfs and their like can
 * be seen from outside but not entered (a share that is such a folder itself can). Everything is done as the user who runs the program; changes of owner that the host does not permit are ignored.
 *
 * One thread at a time. All calls block as the host's file system does. Functions return 0 (or what is said), or -errno.
 */
#ifndef LKVM_BACKEND_SHARE_H
#define LKVM_BACKEND_SHARE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#include "base/err.h"
#include "base/util.h"

struct share;
struct share_node; /* a file or folder of the share, counted by references; all must be dropped before share_close */
struct share_file; /* an open one, counted by references, too */

/* A folder of the host shown read-only at the share's root (host programs under the guest's own root). Nothing can be made or removed under this name. */
struct share_overlay {
	const char *path;      /* "/host" inside the share: one component */
	const char *host_path; /* "/" on the host */
};

struct share_config {
	const char *path;
	bool readonly;
	const struct share_overlay *overlays;
	unsigned int n_overlays;
	/* Limits of descriptors; 0: a part of RLIMIT_NOFILE. */
	unsigned int max_paths, max_files;
};

#define SHARE_MAX_NODES 131072
#define SHARE_MAX_DEPTH 1024

int share_open(const struct share_config *config, struct share **ret, struct err *e);
void share_close(struct share *share); /* NULL is fine */
DEFINE_CLEANUP(share, share_close)

/* --- nodes --- */
struct share_node *share_root(struct share *share); /* a new reference */
struct share_node *share_ref(struct share_node *node);
void share_unref(struct share_node *node); /* NULL is fine */
DEFINE_CLEANUP(share_node, share_unref)
/* One component, or "..". The share keeps its fields st_dev, st_ino: see share_id. */
int share_walk(struct share_node *dir, const char *name, struct share_node **ret, struct stat *ret_stat);
int share_stat(struct share_node *node, struct stat *ret);
int share_statfs(struct share_node *node, struct statfs *ret);
/* Into buf, without NUL; returns the length. */
int share_readlink(struct share_node *node, char *buf, size_t size);
/* A number for an inode that no other file of the share has at the same time. */
uint64_t share_id(struct share *share, dev_t dev, ino_t ino);

enum { SHARE_SET_MODE = 1, SHARE_SET_UID = 2, SHARE_SET_GID = 4, SHARE_SET_SIZE = 8, SHARE_SET_ATIME = 16, SHARE_SET_MTIME = 32 };

struct share_attr {
	unsigned int valid; /* SHARE_SET_... */
	mode_t mode;
	uid_t uid;
	gid_t gid;
	uint64_t size;
	struct timespec times[2]; /* access, modification; tv_nsec may be UTIME_NOW */
};

int share_set(struct share_node *node, const struct share_attr *attr);

/* --- names --- */
struct share_owner {
	uid_t uid; /* -1: whoever the host makes it */
	gid_t gid;
};

int share_mkdir(struct share_node *dir, const char *name, mode_t mode, struct share_owner owner, struct stat *ret);
int share_symlink(struct share_node *dir, const char *name, const char *target, struct share_owner owner, struct stat *ret);
/* Regular files, FIFOs and sockets; -EPERM for device nodes. */
int share_mknod(struct share_node *dir, const char *name, mode_t mode, struct share_owner owner, struct stat *ret);
int share_link(struct share_node *dir, const char *name, struct share_node *node);
int share_unlink(struct share_node *dir, const char *name, bool is_dir);
int share_remove(struct share_node *node);
int share_rename(struct share_node *old_dir, const char *old_name, struct share_node *new_dir, const char *new_name);
int share_move(struct share_node *node, struct share_node *new_dir, const char *new_name);

/* --- open files --- */
/* flags: access mode, O_TRUNC, O_EXCL, O_DIRECTORY, O_SYNC, O_DSYNC; others are ignored. Whoever opens the same node in the same way shares a descriptor. */
int share_file_open(struct share_node *node, int flags, struct share_file **ret);
/* As open() with O_CREAT. */
int share_create(struct share_node *dir, const char *name, int flags, mode_t mode, struct share_owner owner,
		 struct share_node **ret_node, struct share_file **ret, struct stat *ret_stat);
void share_file_close(struct share_file *file); /* NULL is fine */
DEFINE_CLEANUP(share_file, share_file_close)
/* The bytes moved, fewer at the end of the file. */
int64_t share_read(struct share_file *file, const struct iovec *iov, unsigned int n, uint64_t offset);
int64_t share_write(struct share_file *file, const struct iovec *iov, unsigned int n, uint64_t offset);
int share_sync(struct share_file *file, bool data_only);

struct share_entry {
	const char *name;
	uint64_t id;   /* share_id */
	uint64_t next; /* cookie of the entry after it */
	uint8_t type;  /* DT_... */
};

/*
 * Lists an open folder from a cookie on (0: its start, else an entry's `next`) until fn returns false, which means that it did not take the entry.
 * May stop before the end, but not without an entry.
 */
int share_list(struct share_file *file, uint64_t cookie, bool (*fn)(void *ctx, const struct share_entry *entry), void *ctx);

#endif
