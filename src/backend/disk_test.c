// SPDX-License-Identifier: MIT
#include "backend/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/sys.h"
#include "tests/test.h"

#define SIZE (MIB(2) + 700) /* an odd size: the last sector is not whole */
#define ROUNDED (MIB(2) + 1024)

static char folder[64], path[96];

struct job {
	struct disk_request r;
	bool done;
	int64_t result;
};

static void job_done(struct disk_request *r, int64_t result)
{
	struct job *job = container_of(r, struct job, r);

	CHECK(!job->done);
	job->done = true;
	job->result = result;
}

static int64_t go(struct loop *loop, struct disk *disk, enum disk_op op, uint64_t offset, uint64_t len,
		  const struct iovec *iov, unsigned int n)
{
	struct job job = { .r = { .op = op, .offset = offset, .len = len, .iov = iov, .n_iov = n, .done = job_done } };

	disk_submit(disk, &job.r);
	while (!job.done)
		loop_turn(loop, 1000);
	return job.result;
}

static int64_t go_unmap(struct loop *loop, struct disk *disk, uint64_t offset, uint64_t len)
{
	struct job job = { .r = { .op = DISK_WRITE_ZEROES, .unmap = true, .offset = offset, .len = len, .done = job_done } };

	disk_submit(disk, &job.r);
	while (!job.done)
		loop_turn(loop, 1000);
	return job.result;
}

static uint8_t pattern(uint64_t i)
{
	return (uint8_t)(i * 7 + (i >> 9) * 13 + 1);
}

static void make_image(void)
{
	char *buf = malloc(SIZE);
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);

	for (uint64_t i = 0; i < SIZE; i++)
		buf[i] = (char)pattern(i);
	CHECK(fd >= 0 && !sys_write_all(fd, buf, SIZE));
	close(fd);
	free(buf);
}

static void put_file(const void *data, size_t len)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);

	CHECK(fd >= 0 && !sys_write_all(fd, data, len));
	close(fd);
}

static int try_open(struct loop *loop, bool readonly, bool direct, struct disk **ret, struct err *e)
{
	struct disk_config config = { .path = path, .readonly = readonly, .direct = direct };

	*e = (struct err){ 0 };
	return disk_open(loop, &config, ret, e);
}

/* Buffers cut in the given pieces, all behind each other with a gap, starting at an odd or even address. */
static unsigned int cut(char *buf, size_t piece, size_t gap, uint64_t len, struct iovec *iov)
{
	unsigned int n = 0;

	for (; len; n++) {
		iov[n].iov_base = buf;
		iov[n].iov_len = MIN(piece, len);
		len -= iov[n].iov_len;
		buf += piece + gap;
	}
	return n;
}

static bool matches(const struct iovec *iov, unsigned int n, uint64_t offset, uint64_t xor)
{
	uint64_t at = offset;

	for (unsigned int i = 0; i < n; i++)
		for (size_t k = 0; k < iov[i].iov_len; k++, at++)
			if (((uint8_t *)iov[i].iov_base)[k] != (at >= SIZE ? 0 : (uint8_t)(pattern(at) ^ xor)))
				return false;
	return true;
}

static void test_transfers(struct loop *loop, bool direct)
{
	static const struct {
		uint64_t offset, len;
		size_t piece, gap, shift;
	} cases[] = {
		{ 0, 512, 4096, 0, 0 },
		{ 4096, 4096, 4096, 0, 0 },
		{ 512, 4096, 4096, 0, 0 },
		{ 4096, 8192, 512, 512, 0 },
		{ 4096, 8192, 1, 1, 3 },
		{ 0, MIB(1), MIB(1), 0, 1 },	      /* bounced in several pieces */
		{ 8192, MIB(1), 5000, 24, 512 },
		{ 0, KIB(700), 512, 0, 0 },	      /* more pieces than one call takes */
		{ MIB(2), 1024, 4096, 0, 0 },	      /* over the end */
		{ MIB(2) + 512, 512, 100, 3, 1 },
		{ 0, ROUNDED, KIB(64), 0, 0 },
	};
	static struct iovec iov[MIB(2) / 256];
	char *buf = aligned_alloc(4096, MIB(8));
	struct disk *disk;
	struct err e;
	int r;

	make_image();
	r = try_open(loop, false, direct, &disk, &e);
	if (r == -EINVAL && direct) {
		fprintf(stderr, "no O_DIRECT in %s\n", folder);
		CHECK(strstr(e.text, "O_DIRECT"));
		free(buf);
		return;
	}
	CHECK_EQ(r, 0);
	CHECK_EQ(disk_info(disk)->size, ROUNDED);
	CHECK_EQ(disk_info(disk)->block_size, 512);
	CHECK(disk_info(disk)->can_write_zeroes);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t offset = cases[i].offset, len = cases[i].len;
		unsigned int n = cut(buf + cases[i].shift, cases[i].piece, cases[i].gap, len, iov);

		memset(buf, 0xee, MIB(8));
		CHECK_EQ(go(loop, disk, DISK_READ, offset, len, iov, n), len);
		CHECK(matches(iov, n, offset, 0));

		/* Written inverted, read back, and written as it was. */
		if (offset + len > SIZE)
			continue;
		for (unsigned int round = 0; round < 2; round++) {
			for (unsigned int k = 0; k < n; k++)
				for (size_t b = 0; b < iov[k].iov_len; b++)
					((uint8_t *)iov[k].iov_base)[b] ^= 0xff;
			CHECK_EQ(go(loop, disk, DISK_WRITE, offset, len, iov, n), len);
			memset(buf + cases[i].shift, 0xee, 1);
			CHECK_EQ(go(loop, disk, DISK_READ, offset, len, iov, n), len);
			CHECK(matches(iov, n, offset, round ? 0 : 0xff));
		}
	}
	CHECK_EQ(go(loop, disk, DISK_FLUSH, 0, 0, NULL, 0), 0);
	CHECK_EQ(go(loop, disk, DISK_READ, 0, 0, iov, 0), 0);

	/* The last, unfinished sector can be written whole. */
	memset(buf, 0x5a, 512);
	cut(buf, 512, 0, 512, iov);
	CHECK_EQ(go(loop, disk, DISK_WRITE, MIB(2) + 512, 512, iov, 1), 512);
	memset(buf, 0, 512);
	CHECK_EQ(go(loop, disk, DISK_READ, MIB(2) + 512, 512, iov, 1), 512);
	CHECK_EQ(buf[511], 0x5a);
	disk_close(disk);
	free(buf);
}

static bool is_zero(struct loop *loop, struct disk *disk, uint64_t offset, uint64_t len)
{
	char *buf = aligned_alloc(4096, MIB(2));
	struct iovec iov = { buf, len };
	bool zero = true;

	memset(buf, 0xee, MIB(2));
	CHECK_EQ(go(loop, disk, DISK_READ, offset, len, &iov, 1), len);
	for (uint64_t i = 0; i < len; i++)
		zero &= !buf[i];
	free(buf);
	return zero;
}

static uint64_t blocks(void)
{
	struct stat st;

	CHECK(!stat(path, &st));
	return (uint64_t)st.st_blocks;
}

static void test_zeroes(struct loop *loop, bool direct)
{
	struct disk *disk;
	struct job job = { .r = { .op = DISK_WRITE_ZEROES, .len = ROUNDED, .done = job_done } };
	uint64_t before;
	struct err e;

	make_image();
	if (try_open(loop, false, direct, &disk, &e) < 0)
		return;
	CHECK(!is_zero(loop, disk, 0, 512));
	CHECK_EQ(go(loop, disk, DISK_WRITE_ZEROES, 512, 1024, NULL, 0), 0);
	CHECK(!is_zero(loop, disk, 0, 512));
	CHECK(is_zero(loop, disk, 512, 1024));
	CHECK(!is_zero(loop, disk, 1536, 512));
	CHECK_EQ(go_unmap(loop, disk, 8192, 512), 0);
	CHECK(is_zero(loop, disk, 8192, 512));
	CHECK(!is_zero(loop, disk, 8704, 512));
	before = blocks();
	CHECK_EQ(go(loop, disk, DISK_DISCARD, MIB(1), KIB(512), NULL, 0), 0);
	if (disk_info(disk)->can_discard) {
		CHECK(blocks() < before);
		CHECK(is_zero(loop, disk, MIB(1), KIB(512)));
	}
	CHECK(!is_zero(loop, disk, MIB(1) - 512, 512));
	/* The whole of it, however it is done: not while everybody else waits. */
	disk_submit(disk, &job.r);
	CHECK(!job.done);
	while (!job.done)
		loop_turn(loop, 1000);
	CHECK_EQ(job.result, 0);
	CHECK(is_zero(loop, disk, 0, MIB(2)));
	CHECK(is_zero(loop, disk, MIB(2), 1024));
	CHECK_EQ(go(loop, disk, DISK_DISCARD, 0, 0, NULL, 0), 0);
	disk_close(disk);
}

static void test_errors(struct loop *loop)
{
	struct disk *disk = NULL, *other = NULL;
	static char sector[512];
	struct iovec iov = { sector, 512 };
	char text[600] = "", save[sizeof(path)];
	struct err e;

	memcpy(save, path, sizeof(path));
	snprintf(path, sizeof(path), "%s/none", folder);
	CHECK_EQ(try_open(loop, false, false, &disk, &e), -ENOENT);
	CHECK(strstr(e.text, path) && strstr(e.text, "no such file"));
	snprintf(path, sizeof(path), "%s", folder);
	CHECK_EQ(try_open(loop, false, false, &disk, &e), -EINVAL);
	snprintf(path, sizeof(path), "/dev/zero");
	CHECK_EQ(try_open(loop, false, false, &disk, &e), -EINVAL);
	snprintf(path, sizeof(path), "%s/fifo", folder);
	CHECK(!mkfifo(path, 0600));
	CHECK_EQ(try_open(loop, true, false, &disk, &e), -EINVAL); /* and does not wait for a writer */
	unlink(path);
	memcpy(path, save, sizeof(path));

	put_file("", 0);
	CHECK_EQ(try_open(loop, false, false, &disk, &e), -EINVAL);
	CHECK(strstr(e.text, "empty"));
	CHECK(!disk);

	/* Formats other than raw. */
	static const struct {
		unsigned int at;
		const char *magic, *name;
	} formats[] = {
		{ 0, "QFI\xfb", "qcow2" }, { 0, "KDMV", "VMDK" }, { 0, "# Disk DescriptorFile", "VMDK" },
		{ 0, "vhdxfile", "VHDX" }, { 0x40, "\x7f\x10\xda\xbe", "VDI" }, { 0, "conectix", "VHD" },
	};
	for (unsigned int i = 0; i < ARRAY_SIZE(formats); i++) {
		memset(text, 0, sizeof(text));
		memcpy(text + formats[i].at, formats[i].magic, strlen(formats[i].magic));
		put_file(text, sizeof(text));
		CHECK_EQ(try_open(loop, true, false, &disk, &e), -EMEDIUMTYPE);
		CHECK(strstr(e.text, formats[i].name) && strstr(e.text, "convert"));
	}
	/* Negative control: one byte further on it is data. */
	memset(text, 0, sizeof(text));
	memcpy(text + 1, "QFI\xfb", 4);
	put_file(text, sizeof(text));
	CHECK_EQ(try_open(loop, true, false, &disk, &e), 0);
	disk_close(TAKE(disk));

	/* Locks: writers are alone, readers share; the same within one process. */
	make_image();
	CHECK_EQ(try_open(loop, false, false, &disk, &e), 0);
	CHECK_EQ(try_open(loop, false, false, &other, &e), -EBUSY);
	CHECK(strstr(e.text, "in use"));
	CHECK_EQ(try_open(loop, true, false, &other, &e), -EBUSY);
	disk_close(TAKE(disk));
	CHECK_EQ(try_open(loop, true, false, &disk, &e), 0);
	CHECK_EQ(try_open(loop, false, false, &other, &e), -EBUSY);
	CHECK_EQ(try_open(loop, true, false, &other, &e), 0);
	disk_close(TAKE(other));

	/* A read-only disk is only read. */
	CHECK(disk_info(disk)->readonly && !disk_info(disk)->can_discard && !disk_info(disk)->can_write_zeroes);
	CHECK_EQ(go(loop, disk, DISK_WRITE, 0, 512, &iov, 1), -EROFS);
	CHECK_EQ(go(loop, disk, DISK_DISCARD, 0, 512, NULL, 0), -EROFS);
	CHECK_EQ(go(loop, disk, DISK_WRITE_ZEROES, 0, 512, NULL, 0), -EROFS);
	CHECK_EQ(go(loop, disk, DISK_FLUSH, 0, 0, NULL, 0), 0);
	disk_close(TAKE(disk));
	disk_close(NULL);

	/* A write that the host refuses. */
	struct rlimit old, small = { MIB(1), RLIM_INFINITY };

	CHECK_EQ(try_open(loop, false, false, &disk, &e), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_FSIZE, &small);
	CHECK_EQ(go(loop, disk, DISK_WRITE, MIB(1), 512, &iov, 1), -EFBIG);
	/* Half of it fits: the short transfer is continued and meets the error. */
	{
		char *buf = calloc(1, 8192);
		struct iovec two[2] = { { buf, 4096 }, { buf + 4096, 4096 } };

		CHECK_EQ(go(loop, disk, DISK_WRITE, MIB(1) - 4096, 8192, two, 2), -EFBIG);
		CHECK_EQ(go(loop, disk, DISK_WRITE, MIB(1) - 8192, 8192, two, 2), 8192);
		free(buf);
	}
	setrlimit(RLIMIT_FSIZE, &old);
	CHECK_EQ(go(loop, disk, DISK_WRITE, MIB(1), 512, &iov, 1), 512);
	disk_close(disk);
}

/* A block device: the image through the kernel's loop driver, where we may. It goes away with its last user. */
static void test_block(struct loop *loop)
{
	struct loop_config config = { .info.lo_flags = LO_FLAGS_AUTOCLEAR, .block_size = 4096 };
	struct disk *disk = NULL, *other = NULL;
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), n, fd, image;
	char *buf, save[sizeof(path)];
	struct iovec iov[2];
	struct err e;

	put_file(folder, strlen(folder));
	CHECK(!truncate(path, MIB(4)));
	image = open(path, O_RDWR | O_CLOEXEC);
	n = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	memcpy(save, path, sizeof(path));
	snprintf(path, sizeof(path), "/dev/loop%d", n);
	fd = n < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC);
	config.fd = (uint32_t)image;
	if (fd < 0 || ioctl(fd, LOOP_CONFIGURE, &config) < 0) {
		fprintf(stderr, "no block device to test with: %s\n", strerror(errno));
		goto out;
	}
	buf = aligned_alloc(4096, 16384);
	for (unsigned int direct = 0; direct < 2; direct++) {
		CHECK_EQ(try_open(loop, false, direct, &disk, &e), 0);
		if (!disk)
			break;
		CHECK_EQ(disk_info(disk)->size, MIB(4));
		CHECK_EQ(disk_info(disk)->block_size, 4096);
		CHECK_EQ(try_open(loop, false, false, &other, &e), -EBUSY); /* claimed */
		CHECK_EQ(try_open(loop, true, false, &other, &e), -EBUSY);  /* locked */
		memset(buf, 0x11, 16384);
		iov[0] = (struct iovec){ buf, 5000 };
		iov[1] = (struct iovec){ buf + 5001, 16384 - 5000 - 2 * 4096 };
		CHECK_EQ(go(loop, disk, DISK_WRITE, 4096, 8192, iov, 2), 8192);
		memset(buf, 0, 16384);
		CHECK_EQ(go(loop, disk, DISK_READ, 4096, 8192, iov, 2), 8192);
		CHECK(buf[0] == 0x11 && buf[4999] == 0x11 && !buf[5000] && buf[5001] == 0x11 && buf[8192] == 0x11);
		/* Half a block of the device, past O_DIRECT. */
		memset(buf, 0x22, 512);
		iov[0] = (struct iovec){ buf, 512 };
		CHECK_EQ(go(loop, disk, DISK_WRITE, 4096 + 512, 512, iov, 1), 512);
		CHECK_EQ(go(loop, disk, DISK_READ, 4096, 512, iov, 1), 512);
		CHECK_EQ(buf[0], 0x11);
		CHECK_EQ(go(loop, disk, DISK_READ, 4096 + 512, 512, iov, 1), 512);
		CHECK_EQ(buf[0], 0x22);
		CHECK_EQ(go(loop, disk, DISK_FLUSH, 0, 0, NULL, 0), 0);
		CHECK_EQ(go_unmap(loop, disk, 4096, 4096), 0);
		CHECK(is_zero(loop, disk, 4096, 4096));
		CHECK(!is_zero(loop, disk, 8192, 4096));
		CHECK_EQ(go(loop, disk, DISK_WRITE_ZEROES, 8192 + 512, 512, NULL, 0), 0);
		CHECK(is_zero(loop, disk, 8192 + 512, 512));
		CHECK(!is_zero(loop, disk, 8192, 512));
		CHECK_EQ(go(loop, disk, DISK_DISCARD, 8192, 4096, NULL, 0), 0);
		CHECK_EQ(go(loop, disk, DISK_DISCARD, 8192 + 512, 512, NULL, 0), 0);
		disk_close(TAKE(disk));
	}
	free(buf);
	CHECK_EQ(try_open(loop, true, false, &disk, &e), 0);
	CHECK_EQ(try_open(loop, true, true, &other, &e), 0);
	disk_close(disk);
	disk_close(other);
out:
	memcpy(path, save, sizeof(path));
	close_fd(&fd);
	close_fd(&image);
	close_fd(&control);
}

int main(void)
{
	/* A file system with a page cache and O_DIRECT, and one in memory. */
	for (unsigned int i = 0; i < 4; i++) {
		unsigned int threads = i & 1;
		struct loop *loop;
		struct err e = { 0 };

		snprintf(folder, sizeof(folder), "%s/lkvm-disk-XXXXXX", i < 2 ? "/var/tmp" : "/dev/shm");
		if (!mkdtemp(folder))
			continue;
		snprintf(path, sizeof(path), "%s/image", folder);
		CHECK_EQ(loop_create(&loop, &e), 0);
		if (threads)
			loop_force_threads(loop);
		for (unsigned int direct = 0; direct < 2; direct++) {
			test_transfers(loop, direct);
			test_zeroes(loop, direct);
		}
		test_errors(loop);
		test_block(loop);
		loop_destroy(loop);
		unlink(path);
		rmdir(folder);
	}
	return test_result();
}
