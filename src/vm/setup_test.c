// SPDX-License-Identifier: MIT
#include <lkvm/lkvm.h>

#include <errno.h>

#include "tests/temp_dir.h"
#include "tests/test.h"

static const char *at(const char *dir, const char *name)
{
	static char path[4][4096];
	static unsigned int n;

	n = (n + 1) % 4;
	snprintf(path[n], sizeof(path[n]), "%s/%s", dir, name);
	return path[n];
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? 0 : st.st_mode;
}

int main(void)
{
	char top[256], root[300], init[300], text[256];
	struct lkvm_error e = { 0 };
	struct stat before, after;
	ssize_t n;

	temp_dir_make(top, sizeof(top));
	snprintf(root, sizeof(root), "%s/guests/default", top);
	snprintf(init, sizeof(init), "%s/init", top);
	temp_file_write(top, "init", "#!first\n");

	/* A new one, and the folder it lies in. */
	CHECK_EQ(lkvm_setup_root(root, init, &e), 0);
	CHECK_EQ(mode_of(at(root, "tmp")), S_IFDIR | 01777);
	CHECK_EQ(mode_of(at(root, "proc")), S_IFDIR | 0755);
	CHECK_EQ(mode_of(at(root, "root")), S_IFDIR | 0700);
	CHECK_EQ(mode_of(at(root, "var/tmp")), S_IFDIR | 01777);
	CHECK_EQ(mode_of(at(root, "host")), S_IFDIR | 0755);
	CHECK_EQ(mode_of(at(root, "virt/init")), S_IFREG | 0755);
	CHECK_STR(temp_file_read(root, "virt/init", text), "#!first\n");
	CHECK(strstr(temp_file_read(root, "etc/passwd", text), "root:x:0:0:"));
	n = readlink(at(root, "bin"), text, sizeof(text));
	CHECK_EQ(n, 8);
	CHECK(!memcmp(text, "host/bin", 8));

	/* Again: nothing changes. */
	CHECK_EQ(lstat(at(root, "virt/init"), &before), 0);
	temp_file_write(root, "etc/passwd", "mine");
	CHECK_EQ(unlink(at(root, "lib")) && errno != ENOENT, 0);
	CHECK_EQ(symlink("elsewhere", at(root, "lib")), 0);
	CHECK_EQ(chmod(at(root, "tmp"), 0700), 0);
	CHECK_EQ(lkvm_setup_root(root, init, &e), 0);
	CHECK_EQ(lstat(at(root, "virt/init"), &after), 0);
	CHECK_EQ(before.st_ino, after.st_ino);
	CHECK_STR(temp_file_read(root, "etc/passwd", text), "mine");
	CHECK_EQ(readlink(at(root, "lib"), text, sizeof(text)), 9);
	CHECK_EQ(mode_of(at(root, "tmp")), S_IFDIR | 0700);

	/* But for the program, which is today's. */
	temp_file_write(top, "init", "#!second, and longer\n");
	CHECK_EQ(lkvm_setup_root(root, init, &e), 0);
	CHECK_STR(temp_file_read(root, "virt/init", text), "#!second, and longer\n");

	/* What a guest leaves there leads nowhere. */
	CHECK_EQ(mkdir(at(top, "outside"), 0755), 0);
	temp_file_write(top, "outside/file", "untouched");
	CHECK_EQ(rename(at(root, "etc"), at(root, "old")), 0);
	CHECK_EQ(symlink("../../outside", at(root, "etc")), 0);
	CHECK_EQ(rmdir(at(root, "var/tmp")), 0);
	CHECK_EQ(rename(at(root, "var"), at(root, "oldvar")), 0);
	CHECK_EQ(symlink("../../outside", at(root, "var")), 0);
	CHECK_EQ(unlink(at(root, "virt/init")), 0);
	CHECK_EQ(symlink("../../../outside/file", at(root, "virt/init")), 0);
	CHECK_EQ(lkvm_setup_root(root, init, &e), 0);
	CHECK_STR(temp_file_read(top, "outside/file", text), "untouched");
	CHECK(!temp_exists(top, "outside/passwd"));
	CHECK(!temp_exists(top, "outside/tmp"));
	CHECK_EQ(mode_of(at(root, "virt/init")), S_IFREG | 0755);
	CHECK_EQ(unlink(at(root, "virt/init")), 0);
	CHECK_EQ(mkfifo(at(root, "virt/init"), 0600), 0); /* nobody waits on it */
	CHECK_EQ(lkvm_setup_root(root, init, &e), 0);
	CHECK_EQ(mode_of(at(root, "virt/init")), S_IFREG | 0755);
	CHECK_EQ(unlink(at(root, "virt/init")), 0);
	CHECK_EQ(rmdir(at(root, "virt/home")), 0);
	CHECK_EQ(rmdir(at(root, "virt")), 0);
	CHECK_EQ(symlink("../../outside", at(root, "virt")), 0);
	CHECK(lkvm_setup_root(root, init, &e) < 0);
	CHECK(strstr(e.message, "virt"));
	CHECK(!temp_exists(top, "outside/init"));

	/* Refused in a sentence. */
	e = (struct lkvm_error){ 0 };
	CHECK_EQ(lkvm_setup_root(at(top, "other"), at(top, "missing"), &e), -ENOENT);
	CHECK(strstr(e.message, "missing"));
	e = (struct lkvm_error){ 0 };
	CHECK_EQ(lkvm_setup_root(init, init, &e), -ENOTDIR);
	CHECK(strstr(e.message, init));
	CHECK_EQ(lkvm_setup_root("/proc/1/no/such/place", init, NULL), -ENOENT);
	temp_dir_remove(top);
	return test_result();
}
