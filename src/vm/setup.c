// SPDX-License-Identifier: MIT
/*
 * A guest's own root folder. The guest may have worked in it before, so nothing it left there is trusted: every step is taken from an open folder and
 * follows no symlink, and what exists stays as it is, except for virt/init, which is always today's program.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/sys.h"
#include "vm/config.h"

static const struct {
	const char *path;
	mode_t mode;
} folders[] = {
	{ "dev", 0755 }, { "etc", 0755 }, { "home", 0755 }, { "host", 0755 }, { "mnt", 0755 }, { "opt", 0755 },
	{ "proc", 0755 }, { "root", 0700 }, { "run", 0755 }, { "sys", 0755 }, { "tmp", 01777 }, { "var", 0755 },
	{ "virt", 0755 },
};

/* Folders below the second level: parent and name. */
static const struct {
	const char *parent, *name;
	mode_t mode;
} subfolders[] = {
	{ "var", "lib", 0755 }, { "var", "log", 0755 }, { "var", "tmp", 01777 }, { "virt", "home", 0755 },
};

/* parent "": the root. The host's programs stand where they expect each other. */
static const struct {
	const char *parent, *name, *target;
	const char *needs; /* only when the host has it */
} links[] = {
	{ "", "bin", "host/bin", "/bin" },
	{ "", "lib", "host/lib", "/lib" },
	{ "", "lib32", "host/lib32", "/lib32" },
	{ "", "lib64", "host/lib64", "/lib64" },
	{ "", "sbin", "host/sbin", "/sbin" },
	{ "", "usr", "host/usr", "/usr" },
	{ "etc", "alternatives", "../host/etc/alternatives", "/etc/alternatives" },
	{ "etc", "ld.so.cache", "../host/etc/ld.so.cache", "/etc/ld.so.cache" },
	{ "etc", "ssl", "../host/etc/ssl", "/etc/ssl" },
	{ "etc", "terminfo", "../host/etc/terminfo", "/etc/terminfo" },
	{ "var", "run", "../run", "/" },
};

static const struct {
	const char *name, *text;
} texts[] = {
	{ "passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n" },
	{ "group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n" },
	{ "hosts", "127.0.0.1\tlocalhost lkvm\n::1\tlocalhost\n" },
	{ "hostname", "lkvm\n" },
	{ "nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n" },
};

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define COPY_MAX MIB(64) /* of a file copied into the folder */

/* Opens a folder made before; -errno when the guest has put something else there. */
static int open_folder(int root, const char *name)
{
	int fd = openat(root, *name ? name : ".", FOLDER_FLAGS);

	return fd < 0 ? -errno : fd;
}

static int make_folder(int dir, const char *name, mode_t mode)
{
	CLEANUP_CLOSE int fd = -1;

	if (mkdirat(dir, name, mode) < 0)
		return errno == EEXIST ? 0 : -errno;
	fd = openat(dir, name, FOLDER_FLAGS);
	return fd < 0 || fchmod(fd, mode) < 0 ? -errno : 0;
}

static int make_file(int dir, const char *name, const void *text, size_t len, mode_t mode)
{
	CLEANUP_CLOSE int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	int r;

	if (fd < 0)
		return errno == EEXIST ? 0 : -errno;
	r = sys_write_all(fd, text, len);
	if (r >= 0 && fchmod(fd, mode) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir, name, 0);
	return r < 0 ? r : 0;
}

/* All of a regular file, malloc'ed. */
static int read_file(int fd, char **ret, size_t *ret_len)
{
	CLEANUP_FREE char *text = NULL;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)COPY_MAX)
		return -EFBIG;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	n = sys_read_all(fd, text, (size_t)st.st_size);
	if (n < 0)
		return (int)n;
	*ret_len = (size_t)n;
	*ret = TAKE(text);
	return 0;
}

/* Is virt/init these bytes already? */
static bool is_current(int virt, const char *text, size_t len)
{
	CLEANUP_CLOSE int fd = openat(virt, "init", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	CLEANUP_FREE char *now = NULL;
	size_t now_len;

	return fd >= 0 && read_file(fd, &now, &now_len) >= 0 && now_len == len && !memcmp(now, text, len);
}

static int make_init(int root, const char *path, const char *init, struct err *e)
{
	CLEANUP_CLOSE int virt = open_folder(root, "virt");
	CLEANUP_CLOSE int fd = sys_open(init, O_RDONLY, 0);
	CLEANUP_FREE char *text = NULL;
	char name[32];
	uint64_t number;
	size_t len;
	int r;

	if (virt < 0)
		return err_set(e, virt, "%s/virt is no folder that can be used: %s", path, err_name(virt));
	r = fd < 0 ? fd : read_file(fd, &text, &len);
	if (r < 0)
		return err_set(e, r, "the program %s for %s/virt/init cannot be read: %s", init, path, err_name(r));
	if (is_current(virt, text, len))
		return 0;
	r = sys_random(&number, sizeof(number));
	snprintf(name, sizeof(name), ".init-%016llx", (unsigned long long)number);
	if (r >= 0)
		r = make_file(virt, name, text, len, 0755);
	if (r >= 0 && renameat(virt, name, virt, "init") < 0) {
		r = -errno;
		unlinkat(virt, name, 0);
	}
	return r < 0 ? err_set(e, r, "%s/virt/init cannot be made: %s", path, err_name(r)) : 0;
}

static int make_links(int root, const char *path, struct err *e)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(links); i++) {
		CLEANUP_CLOSE int dir = -1;

		if (access(links[i].needs, F_OK) < 0)
			continue;
		dir = open_folder(root, links[i].parent);
		if (dir >= 0 && symlinkat(links[i].target, dir, links[i].name) < 0 && errno != EEXIST)
			return err_set(e, -errno, "%s/%s cannot be made: %s", path, links[i].name, err_name(-errno));
	}
	return 0;
}

static int make_texts(int root, const char *path, struct err *e)
{
	CLEANUP_CLOSE int etc = open_folder(root, "etc");
	CLEANUP_CLOSE int resolv = sys_open("/etc/resolv.conf", O_RDONLY, 0);
	CLEANUP_FREE char *text = NULL;
	size_t len;
	int r;

	for (unsigned int i = 0; etc >= 0 && i < ARRAY_SIZE(texts); i++) {
		r = make_file(etc, texts[i].name, texts[i].text, strlen(texts[i].text), 0644);
		if (r < 0)
			return err_set(e, r, "%s/etc/%s cannot be made: %s", path, texts[i].name, err_name(r));
	}
	if (etc >= 0 && resolv >= 0 && read_file(resolv, &text, &len) >= 0)
		make_file(etc, "resolv.conf", text, len, 0644); /* a guest without names of hosts is one still */
	return 0;
}

static int make_folders(int root, const char *path, struct err *e)
{
	int r;

	for (unsigned int i = 0; i < ARRAY_SIZE(folders); i++) {
		r = make_folder(root, folders[i].path, folders[i].mode);
		if (r < 0)
			return err_set(e, r, "%s/%s cannot be made: %s", path, folders[i].path, err_name(r));
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(subfolders); i++) {
		CLEANUP_CLOSE int dir = open_folder(root, subfolders[i].parent);

		r = dir < 0 ? 0 : make_folder(dir, subfolders[i].name, subfolders[i].mode);
		if (r < 0)
			return err_set(e, r, "%s/%s/%s cannot be made: %s", path, subfolders[i].parent,
				       subfolders[i].name, err_name(r));
	}
	return 0;
}

/* The folder itself and the one it lies in. */
static int open_root(const char *path, struct err *e)
{
	CLEANUP_FREE char *parent = strdup(path);
	size_t len = strlen(path);
	char *slash;
	int fd, r = 0;

	if (!parent)
		return err_set(e, -ENOMEM, "out of memory");
	while (len > 1 && parent[len - 1] == '/')
		parent[--len] = 0;
	slash = strrchr(parent, '/');
	if (slash && slash != parent) {
		*slash = 0;
		if (mkdir(parent, 0755) < 0 && errno != EEXIST)
			r = -errno;
	}
	if (!r && mkdir(path, 0755) < 0 && errno != EEXIST)
		r = -errno;
	fd = r < 0 ? r : sys_open(path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return err_set(e, fd, "the root folder %s cannot be made: %s", path, err_name(fd));
	return fd;
}

static int setup_root(const char *path, const char *init, struct err *e)
{
	CLEANUP_CLOSE int root = open_root(path, e);
	int r;

	if (root < 0)
		return root;
	if ((r = make_folders(root, path, e)) < 0 || (r = make_links(root, path, e)) < 0 ||
	    (r = make_texts(root, path, e)) < 0)
		return r;
	return make_init(root, path, init, e);
}

int lkvm_setup_root(const char *path, const char *init, struct lkvm_error *error)
{
	struct err e = { 0 };
	int r = setup_root(path, init, &e);

	if (r < 0)
		vm_error_copy(error, &e);
	return r;
}
