// SPDX-License-Identifier: MIT
/* Inside of a share: the tree of nodes and its budget of descriptors. For share.c, share_node.c and share_file.c only. */
#ifndef LKVM_BACKEND_SHARE_NODE_H
#define LKVM_BACKEND_SHARE_NODE_H

#include "backend/share.h"

#define SHARE_MAX_OVERLAYS 4
#define SHARE_MAX_DEVICES 32
#define SHARE_BUCKETS 4096
#define SHARE_RAW_SIZE 16384

struct share_node {
	struct share *share;
	struct share_node *parent;	  /* a reference; NULL: the root of the share */
	struct share_node *next;	  /* in its bucket, while linked */
	struct share_node *newer, *older; /* in the list of those whose descriptor may be given up */
	struct share_file *files;
	char *name;
	dev_t dev;
	ino_t ino;
	mode_t type; /* S_IFMT bits */
	unsigned int refs;
	unsigned int pins; /* an operation uses fd */
	int fd;		   /* O_PATH, or -1 */
	bool listed;	   /* in that list */
	bool linked;	   /* found by its parent and name */
	bool readonly;
	bool sealed; /* on proc, sysfs, ...: shown, not entered */
};

struct share_file {
	struct share_file *next; /* of its node */
	struct share_node *node; /* a reference */
	int fd, flags;
	unsigned int refs;
};

struct share {
	struct share_node *root;
	struct share_node *overlay[SHARE_MAX_OVERLAYS];
	unsigned int n_overlays;
	int proc_fd; /* /proc/self/fd: turns O_PATH descriptors into what can be opened, linked, changed */
	unsigned int n_nodes, n_paths, n_files;
	unsigned int max_paths, max_files;
	struct share_node *newest, *oldest;
	uint64_t seed;
	dev_t device[SHARE_MAX_DEVICES];
	unsigned int n_devices;
	struct share_node *bucket[SHARE_BUCKETS];
	_Alignas(8) char raw[SHARE_RAW_SIZE]; /* of getdents64 */
};

/* A node without a name from an open descriptor, which it takes on success: the root of a tree. */
int share_node_root(struct share *share, int fd, struct share_node *parent, const char *name, struct share_node **ret);
/* The node of a name with what fstat says of it, known already or new (a reference). fd: its O_PATH descriptor, taken in any case, or -1. */
int share_node_get(struct share_node *dir, const char *name, int fd, const struct stat *st, struct share_node **ret);
/* The known node of a name, or NULL. No reference. */
struct share_node *share_node_find(struct share_node *dir, const char *name);
/* Its O_PATH descriptor, opened again if it was given up. It may go at the next call of anything here, unless pins is raised. */
int share_node_fd(struct share_node *node);
/* Any descriptor of it, an open file's too: for what works with both. */
int share_node_any_fd(struct share_node *node);
/* The name is gone: the node stays, with its descriptor if it has one. */
void share_node_detach(struct share_node *node);
/* The name is another now. */
void share_node_move(struct share_node *node, struct share_node *dir, const char *name);
/* openat() below a node's descriptor with room made for another one: the descriptor, or -errno. */
int share_node_openat(struct share_node *dir, const char *name, int flags, mode_t mode);
/* Gives up the O_PATH descriptor used longest ago; false: there is none. */
bool share_node_evict(struct share *share);

/* 0, or why a name cannot be one of a file made, removed or looked up. */
int share_name_check(const char *name);
/* Is it the place of an overlay? */
struct share_node *share_overlay_at(struct share_node *dir, const char *name);

#endif
