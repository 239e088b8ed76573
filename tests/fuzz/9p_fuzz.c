// SPDX-License-Identifier: MIT
/*
 * A shared folder against a hostile guest: 9P messages from the input, well-formed for the most part, mixed with what a neighbour on the host does to the
 * folder and with all that drive.h does to the device. Whatever they do, what lies outside of the folder stays as it is and is never read.
 */
#include <dirent.h>

#include "drive.h"
#include "tests/p9_client.h"
#include "tests/temp_dir.h"
#include "virtio/9p.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CANARY "yellow-canary-83120"
#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #cond);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* top/share is shared; top/outside and top/host (an overlay) must not change, top/outside not even be seen. */
static struct place {
	char top[256], share[300], outside[300], host[300];
	struct stat was_outside, was_host;
	bool suspicious; /* the input itself has the canary's words */
	struct p9_client client;
} place;

static void in_outside(char path[600], const char *dir, const char *name)
{
	snprintf(path, 600, "%s/%s", dir, name);
}

static void stat_secret(const char *dir, struct stat *st)
{
	char path[600];

	in_outside(path, dir, CANARY);
	MUST(!lstat(path, st));
}

static void remove_top(void)
{
	temp_dir_remove(place.top);
}

/* An empty share. A new place when what the last guest left cannot be removed. */
static void prepare(void)
{
	chmod(place.share, 0755);
	if (*place.share) {
		temp_dir_remove(place.share);
		if (!mkdir(place.share, 0755))
			return;
	}
	if (!*place.top)
		atexit(remove_top);
	if (!access("/dev/shm", W_OK) && !getenv("TMPDIR"))
		setenv("TMPDIR", "/dev/shm", 1);
	temp_dir_make(place.top, sizeof(place.top));
	snprintf(place.share, sizeof(place.share), "%s/share", place.top);
	snprintf(place.outside, sizeof(place.outside), "%s/outside", place.top);
	snprintf(place.host, sizeof(place.host), "%s/host", place.top);
	MUST(!mkdir(place.share, 0755) && !mkdir(place.outside, 0755) && !mkdir(place.host, 0755));
	temp_file_write(place.outside, CANARY, CANARY);
	temp_file_write(place.host, CANARY, "of the host");
	stat_secret(place.outside, &place.was_outside);
	stat_secret(place.host, &place.was_host);
}

static void check_folder(const char *dir, const struct stat *was, const char *text)
{
	struct dirent *entry;
	unsigned int n = 0;
	struct stat now;
	char got[256];
	DIR *d = opendir(dir);

	MUST(d);
	while ((entry = readdir(d)))
		n++;
	closedir(d);
	MUST(n == 3); /* ., .., the canary */
	stat_secret(dir, &now);
	MUST(now.st_ino == was->st_ino && now.st_nlink == 1 && now.st_size == was->st_size && now.st_mode == was->st_mode &&
	     now.st_mtim.tv_sec == was->st_mtim.tv_sec && now.st_mtim.tv_nsec == was->st_mtim.tv_nsec &&
	     now.st_ctim.tv_sec == was->st_ctim.tv_sec && now.st_ctim.tv_nsec == was->st_ctim.tv_nsec);
	MUST(!strcmp(temp_file_read(dir, CANARY, got), text));
}

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

static struct virtio_device *create(struct drive *v)
{
	struct share_overlay overlay = { .path = "/host", .host_path = place.host };
	struct share_config sc = { .path = place.share, .overlays = &overlay, .n_overlays = 1, .max_paths = 16, .max_files = 8 };
	struct virtio_9p_config nc = { .tag = "fuzz" };
	struct virtio_device *vd;

	MUST(share_open(&sc, &nc.share, NULL) >= 0);
	MUST(virtio_9p_create(&nc, &v->vm->env, &vd, NULL) >= 0);
	return vd;
}

/* --- messages --- */

static const char *name(struct drive *v)
{
	static const char *const names[] = {
		"a", "b", "c", "d", "link", "file", "fifo", "..", ".", "", "host", "a/b", "../outside", "/", CANARY, "outside",
	};

	return names[drive_take(v, 1) % ARRAY_SIZE(names)];
}

static uint32_t fid(struct drive *v)
{
	uint8_t n = (uint8_t)drive_take(v, 1);

	return n == 0xff ? P9_NO_FID : n % 10;
}

#define D(v) ((uint32_t)drive_take(v, 4))
#define W(v) ((uint32_t)drive_take(v, 2))
#define B(v) ((uint32_t)drive_take(v, 1))
#define Q(v) (drive_take(v, 8))
#define NEAR(v) ((uint64_t)drive_take(v, 1) << (B(v) % 56))

static int message(struct drive *v, uint8_t what)
{
	struct p9_client *c = &place.client;
	const char *one, *two, *three;
	uint8_t data[64];
	uint32_t f, g, h;

	switch (what % 24) {
	case 0:
		f = fid(v);
		g = fid(v);
		one = name(v);
		return p9_call(c, T_WALK, "ddws", f, g, 1, one);
	case 1:
		f = fid(v);
		g = fid(v);
		one = name(v);
		two = name(v);
		three = name(v);
		return p9_call(c, T_WALK, "ddwsss", f, g, 3, one, two, three);
	case 2:
		f = fid(v);
		g = fid(v);
		return p9_call(c, T_WALK, "ddw", f, g, 0);
	case 3:
		f = fid(v);
		return p9_call(c, T_LOPEN, "dd", f, W(v));
	case 4:
		f = fid(v);
		one = name(v);
		g = W(v);
		h = W(v);
		return p9_call(c, T_LCREATE, "dsddd", f, one, g, h, B(v));
	case 5:
		f = fid(v);
		g = B(v) % sizeof(data);
		memset(data, (int)f, sizeof(data));
		return p9_call(c, T_WRITE, "dqdD", f, NEAR(v), g, data, g);
	case 6:
		f = fid(v);
		return p9_call(c, T_READ, "dqd", f, NEAR(v), W(v));
	case 7:
		f = fid(v);
		return p9_call(c, T_READDIR, "dqd", f, (uint64_t)B(v), W(v));
	case 8:
		f = fid(v);
		one = name(v);
		return p9_call(c, T_MKDIR, "dsdd", f, one, W(v) | 0700, B(v));
	case 9:
		f = fid(v);
		one = name(v);
		two = B(v) & 1 ? place.outside : name(v);
		return p9_call(c, T_SYMLINK, "dssd", f, one, two, B(v));
	case 10:
		f = fid(v);
		one = name(v);
		g = W(v);
		return p9_call(c, T_MKNOD, "dsdddd", f, one, g, B(v), B(v), B(v));
	case 11:
		f = fid(v);
		one = name(v);
		g = fid(v);
		two = name(v);
		return p9_call(c, T_RENAMEAT, "dsds", f, one, g, two);
	case 12:
		f = fid(v);
		g = fid(v);
		one = name(v);
		return p9_call(c, T_RENAME, "dds", f, g, one);
	case 13:
		f = fid(v);
		g = fid(v);
		one = name(v);
		return p9_call(c, T_LINK, "dds", f, g, one);
	case 14:
		f = fid(v);
		one = name(v);
		return p9_call(c, T_UNLINKAT, "dsd", f, one, B(v) & 1 ? 0x200 : 0);
	case 15:
		f = fid(v);
		return p9_call(c, T_GETATTR, "dq", f, Q(v));
	case 16:
		f = fid(v);
		g = W(v);
		return p9_call(c, T_SETATTR, "dddddqqqqq", f, g, W(v), B(v), B(v), NEAR(v), NEAR(v), NEAR(v), NEAR(v), NEAR(v));
	case 17:
		return p9_call(c, what & 0x80 ? T_REMOVE : T_CLUNK, "d", fid(v));
	case 18:
		return p9_call(c, what & 0x80 ? T_READLINK : T_STATFS, "d", fid(v));
	case 19:
		f = fid(v);
		return p9_call(c, what & 0x80 ? T_FSYNC : T_LOCK, "db", f, B(v));
	case 20:
		f = fid(v);
		return p9_call(c, T_GETLOCK, "dbqqds", f, B(v), Q(v), Q(v), D(v), name(v));
	case 21:
		if (!(what & 0x80))
			return p9_begin(c, v->d, 4096 + W(v));
		f = fid(v);
		return p9_call(c, T_ATTACH, "ddssd", f, P9_NO_FID, "", name(v), D(v));
	case 22: /* any bytes with a good frame */
		for (g = 0; g < sizeof(data); g++)
			data[g] = (uint8_t)drive_take(v, 1);
		return p9_call(c, data[0], "D", data + 1, data[1] % 62);
	default: /* any bytes */
		c->out_len = 7 + B(v) % 64;
		for (g = 0; g < c->out_len; g++)
			c->out[g] = (uint8_t)drive_take(v, 1);
		return p9_send(c);
	}
}

static void neighbour(struct drive *v, uint8_t what)
{
	static const char *const names[] = { "a", "b", "link", "file" };
	char path[600], other[600];

	in_outside(path, place.share, names[drive_take(v, 1) % ARRAY_SIZE(names)]);
	in_outside(other, place.share, names[drive_take(v, 1) % ARRAY_SIZE(names)]);
	switch (what >> 3 & 7) {
	case 0:
		if (symlink(place.outside, path))
			unlink(path);
		break;
	case 1:
		if (rename(path, other))
			rmdir(path);
		break;
	case 2:
		if (mkdir(path, 0755))
			unlink(path);
		break;
	case 3:
		if (symlink("../outside/" CANARY, path))
			unlink(path);
		break;
	case 4:
		if (mkfifo(path, 0666))
			unlink(path);
		break;
	default:
		unlink(path);
	}
}

static void op(struct drive *v, uint8_t what)
{
	struct p9_client *c = &place.client;

	if ((what & 7) == 7) {
		neighbour(v, what);
		return;
	}
	/* The driver may have left the ring in any state: then nothing comes back, and is not waited for. */
	if (!v->d->queue[0].num || !virtio_running(v->vd) || v->d->queue[0].n_free < 2)
		return;
	c->d = v->d;
	c->in_len = 0;
	if (message(v, (uint8_t)drive_take(v, 1)) < 0 || c->in_len <= 7 || place.suspicious)
		return;
	/* Names and texts that the input can choose aside, no reply may hold it. */
	if (c->in[4] != T_READLINK + 1 && c->in[4] != T_GETLOCK + 1 && c->in[4] != T_READDIR + 1)
		MUST(!memmem(c->in, c->in_len, CANARY, strlen(CANARY)));
}

static bool alive(struct drive *v)
{
	return p9_begin(&place.client, v->d, 8192) >= 0 && p9_call(&place.client, T_GETATTR, "dq", 0, UINT64_MAX) == 153;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct drive v = { .create = create, .op = op, .alive = alive };
	unsigned int before;

	prepare();
	place.suspicious = memmem(data, size, CANARY, 8);
	place.client.in_size = 8192;
	before = count_descriptors();
	drive_run(&v, data, size);
	MUST(count_descriptors() == before);
	check_folder(place.outside, &place.was_outside, CANARY);
	check_folder(place.host, &place.was_host, "of the host");
	return 0;
}
