// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/sys.h"
#include "loop/loop.h"
#include "tests/test.h"

#define BLOCK 4096
#define BLOCKS 1024

struct request {
	struct loop_io io;
	struct iovec iov[2];
	int64_t result;
	unsigned int calls;
	uint8_t buf[BLOCK];
};

static unsigned int pending;

static void done(struct loop_io *io, int64_t result)
{
	struct request *r = container_of(io, struct request, io);

	r->result = result;
	r->calls++;
	pending--;
}

static void submit(struct loop *loop, struct request *r, enum loop_io_op op, int fd, uint64_t offset,
		   enum loop_io_path path)
{
	r->iov[0] = (struct iovec){r->buf, BLOCK / 4};
	r->iov[1] = (struct iovec){r->buf + BLOCK / 4, BLOCK - BLOCK / 4};
	r->io = (struct loop_io){.op = op, .path = path, .fd = fd, .offset = offset, .iov = r->iov,
				 .n_iov = 2, .done = done};
	r->calls = 0;
	pending++;
	loop_submit(loop, &r->io);
}

static void finish(struct loop *loop)
{
	for (int i = 0; i < 10000 && pending; i++)
		loop_turn(loop, 1000);
	CHECK_EQ(pending, 0);
}

/* A file with the block's number in each word, and nothing of it cached. */
static int make_file(void)
{
	char path[] = "/var/tmp/lkvm-io-test-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		return fd;
	unlink(path);
	for (uint32_t i = 0; i < BLOCKS; i++) {
		uint32_t block[BLOCK / 4];

		for (unsigned int k = 0; k < BLOCK / 4; k++)
			block[k] = i;
		CHECK_EQ(sys_write_all(fd, block, sizeof(block)), 0);
	}
	fsync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return fd;
}

static bool holds(const struct request *r, uint32_t number)
{
	for (unsigned int k = 0; k < BLOCK / 4; k++)
		if (memcmp(r->buf + k * 4, &number, 4))
			return false;
	return true;
}

static void test_file(struct loop *loop, enum loop_io_path path)
{
	struct request *r = calloc(BLOCKS, sizeof(*r));
	int fd = make_file();
	unsigned int wrong = 0, empty;

	CHECK(fd >= 0);
	/* More at once than any ring of ours holds. */
	for (uint32_t i = 0; i < BLOCKS; i++)
		submit(loop, &r[i], LOOP_IO_READ, fd, (uint64_t)i * BLOCK, path);
	finish(loop);
	for (uint32_t i = 0; i < BLOCKS; i++)
		wrong += r[i].calls != 1 || r[i].result != BLOCK || !holds(&r[i], i);
	CHECK_EQ(wrong, 0);
	/* Write half of them, make it durable, read all again. */
	for (uint32_t i = 0; i < BLOCKS; i += 2) {
		uint32_t v = ~i;

		for (unsigned int k = 0; k < BLOCK / 4; k++)
			memcpy(r[i].buf + k * 4, &v, 4);
		submit(loop, &r[i], LOOP_IO_WRITE, fd, (uint64_t)i * BLOCK, path);
	}
	finish(loop);
	for (uint32_t i = 0; i < BLOCKS; i += 2)
		wrong += r[i].result != BLOCK;
	CHECK_EQ(wrong, 0);
	submit(loop, &r[0], LOOP_IO_FDATASYNC, fd, 0, path);
	finish(loop);
	CHECK_EQ(r[0].result, 0);
	for (uint32_t i = 0; i < BLOCKS; i++)
		submit(loop, &r[i], LOOP_IO_READ, fd, (uint64_t)i * BLOCK, path);
	finish(loop);
	for (uint32_t i = 0; i < BLOCKS; i++)
		wrong += r[i].result != BLOCK || !holds(&r[i], i % 2 ? i : ~i);
	CHECK_EQ(wrong, 0);
	/* The end of the file, past it, a bad descriptor. */
	submit(loop, &r[0], LOOP_IO_READ, fd, BLOCKS * BLOCK - 100, path);
	submit(loop, &r[1], LOOP_IO_READ, fd, (BLOCKS + 5) * BLOCK, path);
	submit(loop, &r[2], LOOP_IO_READ, -1, 0, path);
	finish(loop);
	CHECK_EQ(r[0].result, 100);
	CHECK_EQ(r[1].result, 0);
	CHECK_EQ(r[2].result, (uint64_t)-EBADF);
	/* A hole. */
	empty = 4;
	r[empty].io = (struct loop_io){.op = LOOP_IO_FALLOCATE, .path = path, .fd = fd, .offset = BLOCK,
				       .len = BLOCK, .done = done,
				       .fallocate_mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE};
	pending++;
	loop_submit(loop, &r[empty].io);
	finish(loop);
	if (r[empty].result == 0) {
		submit(loop, &r[1], LOOP_IO_READ, fd, BLOCK, path);
		finish(loop);
		CHECK(r[1].result == BLOCK && holds(&r[1], 0));
	} else {
		CHECK_EQ(r[empty].result, (uint64_t)-EOPNOTSUPP);
	}
	close(fd);
	free(r);
}

static void test_cached(void)
{
	CLEANUP(cleanup_loop_destroy) struct loop *loop = NULL;
	struct request r;
	int fd = make_file();
	char byte[BLOCK];

	loop_create(&loop, NULL);
	/* In the page cache: done before loop_submit returns, and no ring is made. */
	CHECK_EQ(sys_pread_all(fd, byte, sizeof(byte), 0), BLOCK);
	submit(loop, &r, LOOP_IO_READ, fd, 0, LOOP_IO_CACHE_FIRST);
	if (loop_io_path(fd) == LOOP_IO_CACHE_FIRST)
		CHECK_EQ(r.calls, 1);
	finish(loop);
	CHECK(r.result == BLOCK && holds(&r, 0));
	CHECK(loop_io_path(fd) != LOOP_IO_CACHE_FIRST || !loop_uses_io_uring(loop));
	close(fd);
}

static void test_memory_file(void)
{
	CLEANUP(cleanup_loop_destroy) struct loop *loop = NULL;
	struct request r = {.buf = "written"};
	int fd = memfd_create("io-test", MFD_CLOEXEC);

	CHECK_EQ(loop_io_path(fd), LOOP_IO_NOW);
	loop_create(&loop, NULL);
	submit(loop, &r, LOOP_IO_WRITE, fd, 0, LOOP_IO_NOW);
	CHECK(r.calls == 1 && r.result == BLOCK);
	memset(r.buf, 0, sizeof(r.buf));
	submit(loop, &r, LOOP_IO_READ, fd, 0, LOOP_IO_NOW);
	CHECK(r.calls == 1 && r.result == BLOCK && !memcmp(r.buf, "written", 8));
	CHECK(!loop_uses_io_uring(loop));
	close(fd);
}

/* done() that starts the next one, and a turn inside done(). */
struct chained {
	struct request r;
	struct loop *loop;
	int fd;
	unsigned int left;
};

static void chain_done(struct loop_io *io, int64_t result)
{
	struct request *r = container_of(io, struct request, io);
	struct chained *c = container_of(r, struct chained, r);

	CHECK_EQ(result, BLOCK);
	if (--c->left == 0) {
		pending--;
		return;
	}
	c->r.io.offset += BLOCK;
	loop_submit(c->loop, &c->r.io);
	loop_turn(c->loop, 0);
}

/* What is large is copied elsewhere: the loop's thread goes on meanwhile, wherever the data lie. */
static void test_large(struct loop *loop, enum loop_io_path path)
{
	const size_t size = MIB(2);
	struct request *r = calloc(3, sizeof(*r));
	char *buf = calloc(1, size);
	struct iovec large[2] = {{buf, size}, {buf, size}};
	int fd = memfd_create("large", MFD_CLOEXEC);

	CHECK_EQ(ftruncate(fd, 2 * (off_t)size), 0);
	for (unsigned int i = 0; i < 3; i++) {
		r[i].io = (struct loop_io){.op = i == 2 ? LOOP_IO_WRITE : LOOP_IO_READ, .path = path, .fd = fd,
					   .iov = large, .n_iov = i ? 2 : 1, .done = done};
		pending++;
		loop_submit(loop, &r[i].io);
		CHECK_EQ(r[i].calls, i == 0);
	}
	finish(loop);
	CHECK_EQ(r[0].result, size);
	CHECK_EQ(r[1].result, 2 * size);
	CHECK_EQ(r[2].result, 2 * size);
	close(fd);
	free(buf);
	free(r);
}

static void test_chained(struct loop *loop)
{
	struct chained c = {.loop = loop, .left = 100};

	c.fd = make_file();
	c.r.iov[0] = (struct iovec){c.r.buf, BLOCK};
	c.r.io = (struct loop_io){.op = LOOP_IO_READ, .path = LOOP_IO_ASYNC, .fd = c.fd,
				  .iov = c.r.iov, .n_iov = 1, .done = chain_done};
	pending++;
	loop_submit(loop, &c.r.io);
	finish(loop);
	CHECK_EQ(c.left, 0);
	CHECK(holds(&c.r, 99));
	close(c.fd);
}

int main(void)
{
	struct loop *ring, *threads;

	test_cached();
	test_memory_file();
	CHECK_EQ(loop_create(&ring, NULL), 0);
	CHECK(!loop_uses_io_uring(ring));
	test_file(ring, LOOP_IO_ASYNC);
	test_file(ring, LOOP_IO_CACHE_FIRST);
	test_chained(ring);
	test_large(ring, LOOP_IO_NOW);
	fprintf(stderr, "io_uring: %s\n", loop_uses_io_uring(ring) ? "used" : "refused by this host");
	loop_destroy(ring);
	CHECK_EQ(loop_create(&threads, NULL), 0);
	loop_force_threads(threads);
	test_file(threads, LOOP_IO_ASYNC);
	test_file(threads, LOOP_IO_CACHE_FIRST);
	test_chained(threads);
	test_large(threads, LOOP_IO_NOW);
	CHECK(!loop_uses_io_uring(threads));
	loop_destroy(threads);
	return test_result();
}
