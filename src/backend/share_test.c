// SPDX-License-Identifier: MIT
#include "backend/share.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "tests/temp_dir.h"
#include "tests/test.h"

static const struct share_owner nobody_in_particular = { (uid_t)-1, (gid_t)-1 };

/* top/share is shared, top/outside is what must never be seen. */
struct place {
	char top[256], dir[300], outside[300];
	struct share *share;
	struct share_node *root;
};

static void place_make(struct place *p, struct share_config config)
{
	struct err e = { 0 };

	temp_dir_make(p->top, sizeof(p->top));
	snprintf(p->dir, sizeof(p->dir), "%s/share", p->top);
	snprintf(p->outside, sizeof(p->outside), "%s/outside", p->top);
	if (mkdir(p->dir, 0755) || mkdir(p->outside, 0755))
		abort();
	temp_file_write(p->outside, "secret", "secret");
	config.path = p->dir;
	if (share_open(&config, &p->share, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		abort();
	}
	p->root = share_root(p->share);
}

static void place_drop(struct place *p)
{
	char text[256];

	CHECK_STR(temp_file_read(p->outside, "secret", text), "secret");
	share_unref(p->root);
	share_close(p->share);
	temp_dir_remove(p->top);
}

static const char *in(const struct place *p, const char *name)
{
	static char path[4][4096];
	static unsigned int n;

	n = (n + 1) % 4;
	snprintf(path[n], sizeof(path[n]), "%s/%s", p->dir, name);
	return path[n];
}

/* A path, one component at a time; from is kept. */
static int go(struct share_node *from, const char *path, struct share_node **ret)
{
	struct share_node *node = share_ref(from), *next;
	char copy[4096], *rest = copy, *name;
	struct stat st;
	int r;

	snprintf(copy, sizeof(copy), "%s", path);
	while ((name = strsep(&rest, "/"))) {
		r = share_walk(node, name, &next, &st);
		share_unref(node);
		if (r < 0)
			return r;
		node = next;
	}
	*ret = node;
	return 0;
}

static int go_and_read(struct share_node *from, const char *path, char *text, size_t size)
{
	struct iovec iov = { text, size - 1 };
	struct share_node *node;
	struct share_file *file;
	int r = go(from, path, &node);
	int64_t n;

	if (r < 0)
		return r;
	r = share_file_open(node, O_RDONLY, &file);
	share_unref(node);
	if (r < 0)
		return r;
	n = share_read(file, &iov, 1, 0);
	share_file_close(file);
	text[n < 0 ? 0 : n] = 0;
	return n < 0 ? (int)n : 0;
}

static int64_t put(struct share_file *f, const char *text, uint64_t offset)
{
	struct iovec iov = { (char *)(uintptr_t)text, strlen(text) };

	return share_write(f, &iov, 1, offset);
}

static int make_file(struct share_node *dir, const char *name, const char *text)
{
	struct share_node *node;
	struct share_file *file;
	struct stat st;
	int r = share_create(dir, name, O_RDWR | O_TRUNC, 0644, nobody_in_particular, &node, &file, &st);

	if (r < 0)
		return r;
	CHECK_EQ(put(file, text, 0), strlen(text));
	share_file_close(file);
	share_unref(node);
	return 0;
}

/* --- escapes --- */

static void test_escapes(void)
{
	struct share_node *node, *up;
	struct share_file *file;
	struct place p;
	struct stat st, top;
	char text[256];

	place_make(&p, (struct share_config){ 0 });
	CHECK_EQ(symlink(p.outside, in(&p, "absolute")), 0);
	CHECK_EQ(symlink("../outside", in(&p, "relative")), 0);
	CHECK_EQ(symlink("../outside/secret", in(&p, "file")), 0);
	CHECK_EQ(mkdir(in(&p, "a"), 0755), 0);
	CHECK_EQ(symlink("..", in(&p, "a/up")), 0);
	temp_file_write(p.dir, "a/f", "inside");

	/* Up ends at the root. */
	CHECK_EQ(lstat(p.dir, &top), 0);
	CHECK_EQ(share_walk(p.root, "..", &up, &st), 0);
	CHECK(up == p.root);
	CHECK_EQ(st.st_ino, top.st_ino);
	share_unref(up);
	CHECK_EQ(go(p.root, "a/../../..", &node), 0);
	CHECK(node == p.root);
	share_unref(node);
	CHECK_EQ(go_and_read(p.root, "a/../a/../../a/f", text, sizeof(text)), 0);
	CHECK_STR(text, "inside");

	/* Symlinks are seen, never followed. */
	CHECK_EQ(go_and_read(p.root, "absolute/secret", text, sizeof(text)), -ENOTDIR);
	CHECK_EQ(go_and_read(p.root, "relative/secret", text, sizeof(text)), -ENOTDIR);
	CHECK_EQ(go_and_read(p.root, "a/up/../../outside/secret", text, sizeof(text)), -ENOTDIR);
	CHECK_EQ(go_and_read(p.root, "file", text, sizeof(text)), -ELOOP);
	CHECK_EQ(make_file(p.root, "file", "x"), -ELOOP);
	CHECK_EQ(go(p.root, "file", &node), 0);
	CHECK_EQ(share_readlink(node, text, sizeof(text)), 17);
	CHECK(!memcmp(text, "../outside/secret", 17));
	CHECK_EQ(share_file_open(node, O_WRONLY | O_TRUNC, &file), -ELOOP);
	CHECK_EQ(share_set(node, &(struct share_attr){ .valid = SHARE_SET_MODE, .mode = 0 }), -EOPNOTSUPP);
	CHECK_EQ(share_set(node, &(struct share_attr){ .valid = SHARE_SET_SIZE }), -EINVAL);
	CHECK_EQ(share_set(node, &(struct share_attr){ .valid = SHARE_SET_MTIME, .times[1].tv_sec = 5 }), 0);
	CHECK_EQ(share_link(p.root, "hard", node), 0); /* of the symlink itself */
	CHECK_EQ(lstat(in(&p, "hard"), &st), 0);
	CHECK(S_ISLNK(st.st_mode));
	CHECK_EQ(st.st_mtim.tv_sec, 5);
	share_unref(node);
	CHECK_EQ(stat(in(&p, "../outside/secret"), &st), 0);
	CHECK(st.st_mtim.tv_sec != 5);
	CHECK_EQ(st.st_nlink, 1);

	/* Names that are none. */
	static const char *const bad[] = { "", ".", "a/f", "/", "../outside", "/etc" };

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_EQ(share_walk(p.root, bad[i], &node, &st), -EINVAL);
		CHECK_EQ(share_mkdir(p.root, bad[i], 0755, nobody_in_particular, &st), -EINVAL);
		CHECK_EQ(make_file(p.root, bad[i], "x"), -EINVAL);
		CHECK_EQ(share_unlink(p.root, bad[i], true), -EINVAL);
		CHECK_EQ(share_rename(p.root, bad[i], p.root, "n"), -EINVAL);
		CHECK_EQ(share_rename(p.root, "a", p.root, bad[i]), -EINVAL);
		CHECK_EQ(share_symlink(p.root, bad[i], "x", nobody_in_particular, &st), -EINVAL);
	}
	CHECK_EQ(share_mkdir(p.root, "..", 0755, nobody_in_particular, &st), -EINVAL);
	CHECK_EQ(share_unlink(p.root, "..", true), -EINVAL);
	CHECK_EQ(share_rename(p.root, "a", p.root, ".."), -EINVAL);
	memset(text, 'x', 255);
	text[255] = 0;
	CHECK_EQ(share_mkdir(p.root, text, 0755, nobody_in_particular, &st), 0);
	CHECK_EQ(share_walk(p.root, "absolutely-not", &node, &st), -ENOENT);
	place_drop(&p);
}

/* A folder becomes a symlink to the outside and back, as fast as somebody can. */
static void *swapper(void *ctx)
{
	struct place *p = ctx;
	char *a = strdup(in(p, "swap")), *b = strdup(in(p, "link"));

	for (unsigned int i = 0; i < 20000; i++)
		syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2 /* RENAME_EXCHANGE */);
	free(a);
	free(b);
	return NULL;
}

static void test_race(void)
{
	unsigned int inside = 0, refused = 0;
	struct place p;
	pthread_t thread;
	char text[256];
	struct stat st;

	place_make(&p, (struct share_config){ .max_paths = 16 });
	CHECK_EQ(mkdir(in(&p, "swap"), 0755), 0);
	temp_file_write(p.dir, "swap/secret", "inside");
	CHECK_EQ(symlink(p.outside, in(&p, "link")), 0);
	CHECK_EQ(pthread_create(&thread, NULL, swapper, &p), 0);
	for (unsigned int i = 0; i < 5000; i++) {
		struct share_node *dir;
		int r = go_and_read(p.root, "swap/secret", text, sizeof(text));

		if (r >= 0 && !strcmp(text, "inside"))
			inside++;
		else if (r < 0)
			refused++;
		else
			CHECK_STR(text, "inside");
		if (go(p.root, "swap", &dir) >= 0) {
			make_file(dir, "made", "by the guest");
			share_mkdir(dir, "folder", 0777, nobody_in_particular, &st);
			share_unlink(dir, "folder", true);
			share_rename(dir, "made", p.root, "moved");
			share_unref(dir);
		}
	}
	pthread_join(thread, NULL);
	CHECK(inside > 0);
	CHECK(inside + refused == 5000);
	CHECK(!temp_exists(p.outside, "made"));
	CHECK(!temp_exists(p.outside, "folder"));
	place_drop(&p);
}

/* --- files that lose or change their names --- */

static void test_names(void)
{
	struct share_node *f, *d, *other;
	struct share_file *file, *again;
	struct place p;
	struct iovec iov;
	struct stat st;
	char text[256];

	place_make(&p, (struct share_config){ .max_paths = 16 });
	CHECK_EQ(share_mkdir(p.root, "d", 02770, nobody_in_particular, &st), 0);
	CHECK_EQ(st.st_mode, S_IFDIR | 02770);
	CHECK_EQ(go(p.root, "d", &d), 0);
	CHECK_EQ(share_create(d, "f", O_RDWR, 0666, nobody_in_particular, &f, &file, &st), 0);
	CHECK_EQ(st.st_mode, S_IFREG | 0666); /* whatever the umask */
	CHECK_EQ(put(file, "hello", 0), 5);

	/* Renamed while it is open, folder and file. */
	CHECK_EQ(share_rename(p.root, "d", p.root, "e"), 0);
	CHECK_EQ(share_rename(d, "f", d, "g"), 0);
	CHECK_EQ(put(file, "J", 0), 1);
	CHECK_STR(temp_file_read(p.dir, "e/g", text), "Jello");
	CHECK_EQ(go(p.root, "e/g", &other), 0);
	CHECK(other == f);
	share_unref(other);
	CHECK_EQ(share_move(f, p.root, "h"), 0);
	CHECK_STR(temp_file_read(p.dir, "h", text), "Jello");

	/* Many others push its descriptor out; it is found by its new name. */
	for (unsigned int i = 0; i < 64; i++) {
		static struct share_node *kept[64];

		snprintf(text, sizeof(text), "many%u", i);
		CHECK_EQ(make_file(d, text, text), 0);
		CHECK_EQ(share_walk(d, text, &kept[i], &st), 0);
		for (unsigned int k = 0; i == 63 && k < 64; k++) {
			CHECK_EQ(share_stat(kept[k], &st), 0);
			CHECK_EQ(st.st_size, k < 10 ? 5 : 6);
			share_unref(kept[k]);
		}
	}
	share_file_close(file);
	CHECK_EQ(share_stat(f, &st), 0);
	CHECK_EQ(share_file_open(f, O_RDWR, &file), 0);

	/* Removed while it is open: reading, writing, cutting, looking go on. */
	CHECK_EQ(share_unlink(p.root, "h", false), 0);
	CHECK(!temp_exists(p.dir, "h"));
	CHECK_EQ(share_walk(p.root, "h", &other, &st), -ENOENT);
	CHECK_EQ(put(file, " there", 5), 6);
	iov = (struct iovec){ text, sizeof(text) };
	CHECK_EQ(share_read(file, &iov, 1, 0), 11);
	CHECK(!memcmp(text, "Jello there", 11));
	CHECK_EQ(share_set(f, &(struct share_attr){ .valid = SHARE_SET_SIZE | SHARE_SET_MODE, .size = 3, .mode = 0400 }), 0);
	CHECK_EQ(share_set(f, &(struct share_attr){ .valid = SHARE_SET_SIZE, .size = 4 }), 0);
	CHECK_EQ(share_stat(f, &st), 0);
	CHECK_EQ(st.st_size, 4);
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(st.st_mode & 07777, 0400);
	/* A second one by another way in is the same file; its name again is another. */
	CHECK_EQ(share_file_open(f, O_RDONLY, &again), 0);
	CHECK_EQ(share_read(again, &iov, 1, 0), 4);
	share_file_close(again);
	CHECK_EQ(make_file(p.root, "h", "new"), 0);
	CHECK_EQ(go(p.root, "h", &other), 0);
	CHECK(other != f);
	share_file_close(file);
	CHECK_EQ(share_stat(f, &st), 0);
	CHECK_EQ(share_remove(f), -ENOENT);
	share_unref(f);

	/* Replaced by a rename: the old one is still there for who has it. */
	CHECK_EQ(make_file(p.root, "i", "next"), 0);
	CHECK_EQ(share_rename(p.root, "i", p.root, "h"), 0);
	CHECK_EQ(share_stat(other, &st), 0);
	CHECK_EQ(st.st_size, 3);
	CHECK_EQ(st.st_nlink, 0);
	share_unref(other);
	CHECK_EQ(go_and_read(p.root, "h", text, sizeof(text)), 0);
	CHECK_STR(text, "next");

	/* The host replaces it behind our back. */
	CHECK_EQ(go(p.root, "h", &f), 0);
	temp_file_write(p.dir, "h2", "from the host");
	CHECK_EQ(rename(in(&p, "h2"), in(&p, "h")), 0);
	CHECK_EQ(go_and_read(p.root, "h", text, sizeof(text)), 0);
	CHECK_STR(text, "from the host");
	CHECK_EQ(share_stat(f, &st), 0);
	CHECK_EQ(st.st_size, 4);
	share_unref(f);

	/* Folders: not into themselves, not over full ones; hard links are two names of one file. */
	CHECK_EQ(share_rename(p.root, "e", d, "self"), -EINVAL);
	CHECK_EQ(share_unlink(p.root, "e", true), -ENOTEMPTY);
	CHECK_EQ(share_unlink(p.root, "e", false), -EISDIR);
	CHECK_EQ(share_unlink(p.root, "h", true), -ENOTDIR);
	CHECK_EQ(share_remove(p.root), -EBUSY);
	CHECK_EQ(go(p.root, "h", &f), 0);
	CHECK_EQ(share_link(d, "twin", f), 0);
	CHECK_EQ(share_link(d, "twin", f), -EEXIST);
	CHECK_EQ(share_link(d, "folder", d), -EPERM);
	CHECK_EQ(go(d, "twin", &other), 0);
	CHECK(other != f);
	CHECK_EQ(share_rename(d, "twin", p.root, "h"), 0); /* does nothing: rename(2) */
	CHECK(temp_exists(p.dir, "e/twin"));
	CHECK_EQ(share_remove(other), 0);
	share_unref(other);
	CHECK_EQ(share_stat(f, &st), 0);
	CHECK_EQ(st.st_nlink, 1);
	share_unref(f);
	share_unref(d);
	place_drop(&p);
}

/* The host moves things about so that what we think is below would come above. */
static void test_moved_by_host(void)
{
	struct share_node *a, *b, *n;
	struct place p;
	struct stat st;

	place_make(&p, (struct share_config){ 0 });
	CHECK_EQ(mkdir(in(&p, "a"), 0755), 0);
	CHECK_EQ(mkdir(in(&p, "a/b"), 0755), 0);
	CHECK_EQ(go(p.root, "a", &a), 0);
	CHECK_EQ(go(a, "b", &b), 0);
	CHECK_EQ(rename(in(&p, "a/b"), in(&p, "b")), 0);
	CHECK_EQ(share_rename(p.root, "a", b, "x"), 0); /* a goes below b, whose node is below a's */
	CHECK(temp_exists(p.dir, "b/x"));
	CHECK_EQ(go(p.root, "b/x/..", &n), 0);
	CHECK_EQ(share_stat(n, &st), 0);
	share_unref(n);
	CHECK_EQ(share_walk(b, "..", &n, &st), 0);
	share_unref(n);
	share_unref(a);
	share_unref(b);
	place_drop(&p);
}

/* --- what is not a file or a folder --- */

static void test_special(void)
{
	struct share_node *node;
	struct share_file *file;
	struct place p;
	struct stat st;
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	place_make(&p, (struct share_config){ 0 });
	CHECK_EQ(share_mknod(p.root, "fifo", S_IFIFO | 0666, nobody_in_particular, &st), 0);
	CHECK(S_ISFIFO(st.st_mode));
	CHECK_EQ(st.st_mode & 0777, 0666);
	CHECK_EQ(share_mknod(p.root, "char", S_IFCHR | 0666, nobody_in_particular, &st), -EPERM);
	CHECK_EQ(share_mknod(p.root, "block", S_IFBLK | 0666, nobody_in_particular, &st), -EPERM);
	CHECK_EQ(share_mknod(p.root, "folder", S_IFDIR | 0755, nobody_in_particular, &st), -EINVAL);
	CHECK_EQ(share_mknod(p.root, "plain", 0640, nobody_in_particular, &st), 0);
	CHECK_EQ(st.st_mode, S_IFREG | 0640);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", in(&p, "socket"));
	CHECK_EQ(bind(s, (struct sockaddr *)&address, sizeof(address)), 0);
	for (unsigned int i = 0; i < 2; i++) {
		const char *name = i ? "socket" : "fifo";

		/* None of this blocks. */
		CHECK_EQ(go(p.root, name, &node), 0);
		CHECK_EQ(share_file_open(node, O_RDONLY, &file), -ENXIO);
		CHECK_EQ(share_file_open(node, O_WRONLY, &file), -ENXIO);
		CHECK_EQ(make_file(p.root, name, "x"), -ENXIO);
		CHECK_EQ(share_set(node, &(struct share_attr){ .valid = SHARE_SET_SIZE }), -EINVAL);
		CHECK_EQ(share_set(node, &(struct share_attr){ .valid = SHARE_SET_MODE, .mode = 0600 }), 0);
		share_unref(node);
	}
	/* As a folder of another kind. */
	CHECK_EQ(go(p.root, "plain", &node), 0);
	CHECK_EQ(share_file_open(node, O_RDONLY | O_DIRECTORY, &file), -ENOTDIR);
	CHECK_EQ(share_file_open(node, O_ACCMODE, &file), -EINVAL);
	CHECK_EQ(share_mkdir(node, "x", 0755, nobody_in_particular, &st), -ENOTDIR);
	CHECK_EQ(share_set(node, &(struct share_attr){ .valid = SHARE_SET_SIZE, .size = UINT64_MAX }), -EFBIG);
	CHECK_EQ(share_set(node, &(struct share_attr){ .valid = SHARE_SET_UID | SHARE_SET_GID, .uid = geteuid(), .gid = getegid() }), 0);
	share_unref(node);
	CHECK_EQ(share_file_open(p.root, O_RDWR, &file), -EISDIR);
	CHECK_EQ(share_file_open(p.root, O_RDONLY, &file), 0);
	CHECK_EQ(share_read(file, &(struct iovec){ &st, 1 }, 1, 0), -EISDIR);
	share_file_close(file);
	close(s);
	place_drop(&p);
}

/* --- read-only --- */

static void try_to_change(struct share_node *dir, const char *name, struct share_node *writable, int why)
{
	struct share_node *node;
	struct share_file *file;
	struct stat st;

	CHECK_EQ(share_walk(dir, name, &node, &st), 0);
	CHECK_EQ(share_file_open(node, O_WRONLY, &file), why);
	CHECK_EQ(share_file_open(node, O_RDWR, &file), why);
	CHECK_EQ(share_file_open(node, O_RDONLY | O_TRUNC, &file), why);
	CHECK_EQ(share_set(node, &(struct share_attr){ .valid = SHARE_SET_MODE, .mode = 0777 }), why);
	CHECK_EQ(share_set(node, &(struct share_attr){ .valid = SHARE_SET_SIZE }), why);
	CHECK_EQ(share_set(node, &(struct share_attr){ .valid = SHARE_SET_MTIME }), why);
	CHECK_EQ(make_file(dir, "new", "x"), why);
	CHECK_EQ(make_file(dir, name, "x"), why);
	CHECK_EQ(share_mkdir(dir, "new", 0755, nobody_in_particular, &st), why);
	CHECK_EQ(share_symlink(dir, "new", "x", nobody_in_particular, &st), why);
	CHECK_EQ(share_mknod(dir, "new", S_IFIFO, nobody_in_particular, &st), why);
	CHECK_EQ(share_unlink(dir, name, false), why);
	CHECK_EQ(share_remove(node), why);
	CHECK_EQ(share_rename(dir, name, dir, "new"), why);
	CHECK_EQ(share_link(dir, "new", node), why);
	if (writable) {
		CHECK_EQ(share_rename(dir, name, writable, "new"), why);
		CHECK_EQ(share_move(node, writable, "new"), why);
		CHECK_EQ(share_link(writable, "new", node), -EXDEV);
		CHECK_EQ(make_file(writable, "mine", "x"), 0);
		CHECK_EQ(share_rename(writable, "mine", dir, "new"), why);
		CHECK_EQ(share_unlink(writable, "mine", false), 0);
	}
	CHECK_EQ(share_file_open(node, O_RDONLY, &file), 0);
	CHECK_EQ(put(file, "x", 0), -EBADF);
	share_file_close(file);
	share_unref(node);
}

static void test_readonly(void)
{
	struct place p;
	char text[256];

	place_make(&p, (struct share_config){ .readonly = true });
	temp_file_write(p.dir, "f", "as it was");
	try_to_change(p.root, "f", NULL, -EROFS);
	CHECK_EQ(go_and_read(p.root, "f", text, sizeof(text)), 0);
	CHECK_STR(text, "as it was");
	CHECK(!temp_exists(p.dir, "new"));
	place_drop(&p);
}

struct names {
	char text[4096];
	unsigned int n, limit;
	uint64_t next;
};

static bool note(void *ctx, const struct share_entry *e)
{
	struct names *l = ctx;

	if (l->limit && l->n == l->limit)
		return false;
	l->n++;
	l->next = e->next;
	if (strlen(l->text) + strlen(e->name) + 2 < sizeof(l->text)) {
		strcat(l->text, e->name);
		strcat(l->text, " ");
	}
	return true;
}

static void test_overlay(void)
{
	char top[256], path[300], text[256];
	struct share_overlay overlay = { .path = "/host", .host_path = top };
	struct share_node *host, *node;
	struct share_file *file;
	struct names l = { .n = 0 };
	struct err e = { 0 };
	struct share *none;
	struct place p;
	struct stat st;

	temp_dir_make(top, sizeof(top));
	temp_file_write(top, "f", "of the host");
	snprintf(path, sizeof(path), "%s/d", top);
	CHECK_EQ(mkdir(path, 0755), 0);
	temp_file_write(top, "d/g", "deep");
	place_make(&p, (struct share_config){ .overlays = &overlay, .n_overlays = 1 });
	temp_file_write(p.dir, "own", "mine");

	CHECK_EQ(share_walk(p.root, "host", &host, &st), 0);
	CHECK_EQ(go_and_read(host, "f", text, sizeof(text)), 0);
	CHECK_STR(text, "of the host");
	try_to_change(host, "f", p.root, -EROFS);
	CHECK_EQ(go(host, "d", &node), 0);
	try_to_change(node, "g", p.root, -EROFS);
	share_unref(node);
	CHECK_EQ(go(host, "d/../..", &node), 0);
	CHECK(node == p.root);
	share_unref(node);

	/* Its name is taken, whether or not there is a folder below it. */
	for (unsigned int i = 0; i < 2; i++) {
		CHECK_EQ(share_mkdir(p.root, "host", 0755, nobody_in_particular, &st), -EEXIST);
		CHECK_EQ(make_file(p.root, "host", "x"), -EEXIST);
		CHECK_EQ(share_symlink(p.root, "host", "/", nobody_in_particular, &st), -EEXIST);
		CHECK_EQ(share_unlink(p.root, "host", true), -EBUSY);
		CHECK_EQ(share_remove(host), -EBUSY);
		CHECK_EQ(share_move(host, p.root, "x"), -EBUSY);
		CHECK_EQ(share_rename(p.root, "host", p.root, "x"), -EBUSY);
		CHECK_EQ(share_rename(p.root, "own", p.root, "host"), -EBUSY);
		CHECK_EQ(share_set(host, &(struct share_attr){ .valid = SHARE_SET_MODE, .mode = 0 }), -EROFS);
		/* And listed, once; in whatever pieces. */
		CHECK_EQ(share_file_open(p.root, O_RDONLY, &file), 0);
		l = (struct names){ .n = 0 };
		CHECK_EQ(share_list(file, 0, note, &l), 0);
		CHECK_EQ(l.n, 4);
		CHECK(strstr(l.text, "host ") && strstr(l.text, "own ") && strstr(l.text, ".. "));
		l = (struct names){ .n = 0 };
		for (unsigned int k = 1; k <= 5; k++) {
			l.limit = k;
			CHECK_EQ(share_list(file, l.next, note, &l), 0);
			CHECK_EQ(l.n, MIN(k, 4));
		}
		CHECK(strstr(l.text, "host ") && strstr(l.text, "own ") && strstr(l.text, ".. "));
		CHECK_EQ(share_list(file, UINT64_MAX, note, &l), -EINVAL);
		share_file_close(file);
		if (!i)
			CHECK_EQ(mkdir(in(&p, "host"), 0755), 0);
	}
	share_unref(host);

	/* Only at the root; only one of a name. */
	overlay.path = "/a/b";
	CHECK_EQ(share_open(&(struct share_config){ .path = p.dir, .overlays = &overlay, .n_overlays = 1 }, &none, &e), -EINVAL);
	CHECK(strstr(e.text, "/a/b"));
	e = (struct err){ 0 };
	overlay = (struct share_overlay){ "host", "/there/is/no/such/folder" };
	CHECK_EQ(share_open(&(struct share_config){ .path = p.dir, .overlays = &overlay, .n_overlays = 1 }, &none, &e), -ENOENT);
	CHECK(strstr(e.text, "/there/is/no/such/folder"));
	temp_dir_remove(top);
	place_drop(&p);
}

/* The kernel's own file systems are doors, not folders. */
static void test_sealed(void)
{
	struct share_overlay overlay = { .path = "/host", .host_path = "/" };
	struct share_node *node, *below;
	struct share_file *file;
	struct place p;
	struct stat st;
	char text[256];

	place_make(&p, (struct share_config){ .overlays = &overlay, .n_overlays = 1 });
	CHECK_EQ(go(p.root, "host/proc", &node), 0);
	CHECK_EQ(share_stat(node, &st), 0);
	CHECK(S_ISDIR(st.st_mode));
	CHECK_EQ(share_walk(node, "self", &below, &st), -ENOENT);
	CHECK_EQ(share_file_open(node, O_RDONLY, &file), -EACCES);
	share_unref(node);
	CHECK_EQ(go_and_read(p.root, "host/proc/version", text, sizeof(text)), -ENOENT);
	if (go(p.root, "host/dev/null", &node) >= 0) {
		CHECK_EQ(share_file_open(node, O_RDONLY, &file), -ENXIO);
		share_unref(node);
	}
	CHECK_EQ(go_and_read(p.root, "host/etc/passwd", text, sizeof(text)), 0);
	CHECK(strstr(text, "root:"));
	place_drop(&p);
}

/* --- limits --- */

static unsigned int count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static void test_limits(void)
{
	static struct share_node *node[400];
	static struct share_file *file[400];
	unsigned int before = count_descriptors(), opened = 0, deep = 0;
	struct share_node *dir, *next;
	struct place p;
	struct names l = { .n = 0 };
	struct stat st;
	char name[32];
	int r = 0;

	place_make(&p, (struct share_config){ .max_paths = 20, .max_files = 30 });
	for (unsigned int i = 0; i < 400; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		CHECK_EQ(share_mknod(p.root, name, 0644, nobody_in_particular, &st), 0);
		CHECK_EQ(share_walk(p.root, name, &node[i], &st), 0);
	}
	for (unsigned int i = 0; i < 400; i++) {
		r = share_file_open(node[i], O_RDWR, &file[i]);
		opened += r >= 0;
		if (r < 0) {
			CHECK_EQ(r, -EMFILE);
			file[i] = NULL;
		}
	}
	CHECK_EQ(opened, 30);
	CHECK(count_descriptors() <= before + 20 + 30 + 4);
	/* The same file in the same way costs nothing more. */
	CHECK_EQ(share_file_open(node[0], O_RDWR, &file[399]), 0);
	CHECK(file[399] == file[0]);
	CHECK_EQ(share_file_open(node[0], O_RDONLY, &file[398]), -EMFILE);
	for (unsigned int i = 0; i < 400; i++)
		share_file_close(file[i]);
	/* Removed ones need theirs: from some number on they are not kept. */
	for (unsigned int i = 0; i < 400; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		CHECK_EQ(share_unlink(p.root, name, false), 0);
	}
	CHECK(count_descriptors() <= before + 20 + 4);
	opened = 0;
	for (unsigned int i = 0; i < 400; i++) {
		r = share_stat(node[i], &st);
		opened += r >= 0;
		if (r < 0)
			CHECK_EQ(r, -ESTALE);
		share_unref(node[i]);
	}
	CHECK(opened >= 15 && opened <= 20);
	/* And afterwards everything is as before. */
	CHECK_EQ(make_file(p.root, "after", "x"), 0);

	/* Depth. */
	dir = share_ref(p.root);
	while (share_mkdir(dir, "d", 0755, nobody_in_particular, &st) >= 0 && (r = share_walk(dir, "d", &next, &st)) >= 0) {
		share_unref(dir);
		dir = next;
		deep++;
	}
	CHECK_EQ(r, -ENAMETOOLONG);
	CHECK(deep > 1000 && deep <= SHARE_MAX_DEPTH);
	CHECK_EQ(share_stat(dir, &st), 0);
	CHECK_EQ(share_unlink(dir, "d", true), 0);
	for (;;) {
		if (share_walk(dir, "..", &next, &st) < 0 || next == dir)
			break;
		share_unref(dir);
		dir = next;
		if (share_unlink(dir, "d", true) < 0)
			break;
	}
	if (next == dir)
		share_unref(next);
	CHECK_EQ(share_file_open(p.root, O_RDONLY, &file[0]), 0);
	CHECK_EQ(share_list(file[0], 0, note, &l), 0);
	CHECK_STR(strstr(l.text, "after") ? "after" : l.text, "after");
	CHECK_EQ(l.n, 3);
	share_file_close(file[0]);
	share_unref(dir);
	place_drop(&p);
	CHECK_EQ(count_descriptors(), before);
}

static void test_listing(void)
{
	struct share_file *file;
	struct names l = { .n = 0 };
	struct place p;
	struct stat st;
	char name[256];

	place_make(&p, (struct share_config){ 0 });
	for (unsigned int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "%u-%0*d", i, (int)(i % 200) + 1, 0);
		CHECK_EQ(share_mknod(p.root, name, 0644, nobody_in_particular, &st), 0);
	}
	CHECK_EQ(share_file_open(p.root, O_RDONLY, &file), 0);
	for (unsigned int before = ~0U; before != l.n;) {
		before = l.n;
		l.limit = l.n + 37;
		CHECK_EQ(share_list(file, l.next, note, &l), 0);
	}
	CHECK_EQ(l.n, 1002);
	share_file_close(file);
	place_drop(&p);
}

static void test_ids(void)
{
	struct place p;
	uint64_t a, b;

	place_make(&p, (struct share_config){ 0 });
	a = share_id(p.share, 1, 100);
	CHECK(a != share_id(p.share, 2, 100));
	CHECK(a != share_id(p.share, 1, 101));
	CHECK_EQ(a, share_id(p.share, 1, 100));
	b = share_id(p.share, 1, (ino_t)1 << 60 | 100);
	CHECK(a != b && b != share_id(p.share, 2, (ino_t)1 << 60 | 100));
	for (unsigned int i = 0; i < 100; i++)
		CHECK(share_id(p.share, 1000 + i, 100) != a);
	CHECK(share_id(p.share, 5000, 1) != share_id(p.share, 5001, 1));
	CHECK_EQ(a, share_id(p.share, 1, 100));
	place_drop(&p);
}

static void test_refused(void)
{
	struct err e = { 0 };
	struct share *s;

	CHECK_EQ(share_open(&(struct share_config){ .path = "/there/is/none" }, &s, &e), -ENOENT);
	CHECK(strstr(e.text, "/there/is/none"));
	e = (struct err){ 0 };
	CHECK_EQ(share_open(&(struct share_config){ .path = "/etc/passwd" }, &s, &e), -ENOTDIR);
	CHECK(strstr(e.text, "/etc/passwd"));
	share_close(NULL);
}

int main(void)
{
	test_refused();
	test_escapes();
	test_race();
	test_names();
	test_moved_by_host();
	test_special();
	test_readonly();
	test_overlay();
	test_sealed();
	test_limits();
	test_listing();
	test_ids();
	return test_result();
}
