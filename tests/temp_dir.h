// SPDX-License-Identifier: MIT
/* A folder of a test's own, and files in it. */
#ifndef LKVM_TESTS_TEMP_DIR_H
#define LKVM_TESTS_TEMP_DIR_H

#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Made in $TMPDIR or /tmp; aborts when it cannot be. */
static inline void temp_dir_make(char *path, size_t size)
{
	const char *tmp = getenv("TMPDIR");

	if ((size_t)snprintf(path, size, "%s/lkvm-test.XXXXXX", tmp ? tmp : "/tmp") >= size || !mkdtemp(path))
		abort();
}

static inline int temp_dir_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	remove(path);
	return 0;
}

/* With everything in it; follows no symlink. */
static inline void temp_dir_remove(const char *path)
{
	nftw(path, temp_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static inline void temp_file_write(const char *dir, const char *name, const char *text)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	if (!f || fputs(text, f) < 0 || fclose(f))
		abort();
}

/* What the file holds, cut to 255 bytes; "(none)" when it cannot be read. */
static inline const char *temp_file_read(const char *dir, const char *name, char text[256])
{
	char path[4096];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	strcpy(text, "(none)");
	f = fopen(path, "r");
	if (f) {
		n = fread(text, 1, 255, f);
		text[n] = 0;
		fclose(f);
	}
	return text;
}

static inline bool temp_exists(const char *dir, const char *name)
{
	char path[4096];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return !lstat(path, &st);
}

#endif
