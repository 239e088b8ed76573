// SPDX-License-Identifier: MIT
/*
 * Shared folders: a part of the host's file system that a guest may see and nothing above it. All names are resolved one component at a time
 * below an open root descriptor (openat2 RESOLVE_BENEATH where the host has it); symlinks are the guest's to follow, never the host's.
 */
#ifndef LKVM_BACKEND_SHARE_H
#define LKVM_BACKEND_SHARE_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/err.h"
#include "base/util.h"

struct share;

/* A folder of the host shown read-only at a path of the share that has no file of its own (host programs under the guest's own root). */
struct share_overlay {
	const char *path;      /* "/host" inside the share */
	const char *host_path; /* "/" on the host */
};

struct share_config {
	const char *path;
	bool readonly;
	const struct share_overlay *overlays;
	unsigned int n_overlays;
};

int share_open(const struct share_config *config, struct share **ret, struct err *e);
void share_close(struct share *share);
DEFINE_CLEANUP(share, share_close)

#endif
