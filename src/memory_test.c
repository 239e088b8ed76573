// SPDX-License-Identifier: MIT
#include "memory.h"

#include <errno.h>
#include <sys/mman.h>

#include "tests/test.h"

#define PAGE UINT64_C(65536) /* a multiple of every host's page */

static bool dirty(const struct memory *m, unsigned int region, uint64_t page)
{
	return m->region[region].dirty[page / 64] >> (page % 64) & 1;
}

static void test_add(void)
{
	CLEANUP(cleanup_memory_destroy) struct memory *m = NULL;
	struct err e = {0};

	CHECK_EQ(memory_create(&m), 0);
	CHECK_EQ(memory_add(m, 0x80000000, 16 * PAGE, NULL, &e), 0);
	CHECK_EQ(memory_add(m, 0x80000000 + PAGE, PAGE, NULL, &e), (uint64_t)-EINVAL);
	CHECK(strstr(e.text, "overlaps"));
	CHECK_EQ(memory_add(m, 0x80000000 - PAGE, 2 * PAGE, NULL, NULL), (uint64_t)-EINVAL);
	CHECK_EQ(memory_add(m, 1, PAGE, NULL, NULL), (uint64_t)-EINVAL);
	CHECK_EQ(memory_add(m, 0, PAGE + 1, NULL, NULL), (uint64_t)-EINVAL);
	CHECK_EQ(memory_add(m, 0, 0, NULL, NULL), (uint64_t)-EINVAL);
	CHECK_EQ(memory_add(m, -PAGE, 2 * PAGE, NULL, NULL), (uint64_t)-EINVAL);
	CHECK_EQ(m->n_regions, 1);
	/* Before, behind, and right at the end of the first. */
	CHECK_EQ(memory_add(m, 0x40000000, PAGE, NULL, NULL), 0);
	CHECK_EQ(memory_add(m, 0x80000000 + 16 * PAGE, PAGE, NULL, NULL), 0);
	CHECK_EQ(m->region[0].gpa, 0x40000000);
	CHECK_EQ(m->region[2].gpa, 0x80000000 + 16 * PAGE);
	for (unsigned int i = 3; i < MEMORY_MAX_REGIONS; i++)
		CHECK_EQ(memory_add(m, i * PAGE, PAGE, NULL, NULL), 0);
	CHECK_EQ(memory_add(m, 64 * PAGE, PAGE, NULL, NULL), (uint64_t)-ENOSPC);
	memory_destroy(NULL);
}

static void test_huge(void)
{
	CLEANUP(cleanup_memory_destroy) struct memory *m = NULL;
	uint64_t size = UINT64_C(1) << 40, v = 0x1122334455667788;
	struct slice s;

	/* More than any host here has: reserved, not touched. */
	memory_create(&m);
	CHECK_EQ(memory_add(m, 0x80200000, size, NULL, NULL), 0);
	CHECK_EQ(((uintptr_t)m->region[0].host ^ m->region[0].gpa) & (MIB(2) - 1), 0);
	CHECK_EQ(memory_write(m, 0x80200000 + size - 8, &v, 8), 0);
	CHECK_EQ(memory_write(m, 0x80200000 + size - 7, &v, 8), (uint64_t)-EFAULT);
	CHECK_EQ(memory_slice(m, 0x80200000 + size - 8, 8, &s), 0);
	CHECK_EQ(slice_load_le64(&s, 0, memory_order_acquire), v);
	CHECK(memory_add(m, PAGE, UINT64_C(1) << 62, NULL, NULL) < 0);
}

static void test_copy(void)
{
	CLEANUP(cleanup_memory_destroy) struct memory *m = NULL;
	uint64_t seam = 0x80000000 + PAGE;
	char in[64], out[64], untouched[64];
	struct iovec iov[2];
	struct slice s;

	memory_create(&m);
	memory_add(m, 0x80000000, PAGE, NULL, NULL);
	memory_add(m, seam, PAGE, NULL, NULL);
	for (unsigned int i = 0; i < sizeof(in); i++)
		in[i] = (char)(i + 1);
	CHECK_EQ(memory_write(m, seam - 32, in, 64), 0);
	CHECK_EQ(memory_read(m, seam - 32, out, 64), 0);
	CHECK(!memcmp(in, out, 64));
	CHECK_EQ(m->region[0].host[PAGE - 1], 32);
	CHECK_EQ(m->region[1].host[0], 33);
	/* All or nothing. */
	memset(untouched, 0x55, sizeof(untouched));
	memcpy(out, untouched, sizeof(out));
	CHECK_EQ(memory_read(m, seam + PAGE - 32, out, 64), (uint64_t)-EFAULT);
	CHECK(!memcmp(out, untouched, sizeof(out)));
	CHECK_EQ(memory_write(m, seam + PAGE - 32, in, 64), (uint64_t)-EFAULT);
	CHECK_EQ(m->region[1].host[PAGE - 32], 0);
	CHECK_EQ(memory_read(m, UINT64_MAX - 8, out, 64), (uint64_t)-EFAULT);
	CHECK_EQ(memory_read(m, 0x80000000 - 1, out, 2), (uint64_t)-EFAULT);
	CHECK_EQ(memory_read(m, 12345, out, 0), 0);
	/* Slices stay in one region; iovecs may cross. */
	CHECK_EQ(memory_slice(m, seam - 32, 64, &s), (uint64_t)-EFAULT);
	CHECK_EQ(memory_slice(m, seam - 32, 32, &s), 0);
	CHECK_EQ(s.len, 32);
	CHECK_EQ(memory_gpa(m, s.p + 5), seam - 27);
	CHECK_EQ(memory_slice(m, 77, 0, &s), 0);
	CHECK(!s.p && !s.len);
	CHECK_EQ(memory_slice(m, seam, UINT64_MAX, &s), (uint64_t)-EFAULT);
	CHECK_EQ(memory_iov(m, seam - 32, 64, iov, 2), 2);
	CHECK(iov[0].iov_len == 32 && iov[1].iov_len == 32);
	CHECK_EQ(memory_gpa(m, iov[1].iov_base), seam);
	CHECK_EQ(memory_iov(m, seam - 32, 64, iov, 1), (uint64_t)-ENOSPC);
	CHECK_EQ(memory_iov(m, seam - 32, 3 * PAGE, iov, 2), (uint64_t)-EFAULT);
	CHECK_EQ(memory_iov(m, 5, 0, iov, 2), 0);
	CHECK_EQ(memory_zero(m, seam - 1, 2), 0);
	CHECK_EQ(m->region[0].host[PAGE - 1], 0);
	CHECK_EQ(m->region[1].host[0], 0);
	CHECK_EQ(m->region[1].host[1], 34);
	CHECK_EQ(memory_zero(m, seam + PAGE - 1, 2), (uint64_t)-EFAULT);
}

static void test_dirty(void)
{
	CLEANUP(cleanup_memory_destroy) struct memory *m = NULL;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), n = 4 * PAGE / page;

	memory_create(&m);
	memory_add(m, 0x80000000, 4 * PAGE, NULL, NULL);
	memory_mark_dirty(m, 0x80000000, 4); /* nobody tracks: nothing happens */
	m->region[0].dirty = calloc((size_t)n / 64 + 1, 8);
	memory_mark_dirty(m, 0x80000000 + page - 1, 2);
	CHECK(dirty(m, 0, 0) && dirty(m, 0, 1) && !dirty(m, 0, 2));
	memory_mark_dirty(m, 0x80000000 + 4 * PAGE - 1, 100);
	CHECK(dirty(m, 0, n - 1) && !dirty(m, 0, n - 2));
	memory_mark_dirty(m, 0x80000000 - 100, 100);
	memory_mark_dirty(m, UINT64_MAX, 100);
	CHECK_EQ(m->region[0].dirty[0], 3 | (n <= 64 ? UINT64_C(1) << (n - 1) : 0));
	memory_write(m, 0x80000000 + 3 * page, "x", 1);
	CHECK(dirty(m, 0, 3));
}

static void test_discard(void)
{
	CLEANUP(cleanup_memory_destroy) struct memory *m = NULL;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned char in_core = 1;

	memory_create(&m);
	memory_add(m, 0x80000000, 4 * PAGE, NULL, NULL);
	memset(m->region[0].host, 1, 4 * PAGE);
	CHECK_EQ(memory_discard(m, 0x80000000 + page, page), 0);
	CHECK_EQ(m->region[0].host[page - 1], 1);
	CHECK(mincore(m->region[0].host + page, page, &in_core) == 0 && !(in_core & 1));
	CHECK_EQ(m->region[0].host[page], 0);
	CHECK_EQ(m->region[0].host[2 * page], 1);
	CHECK_EQ(memory_discard(m, 0x80000000 + 1, page), (uint64_t)-EINVAL);
	CHECK_EQ(memory_discard(m, 0x80000000, page - 1), (uint64_t)-EINVAL);
	CHECK_EQ(memory_discard(m, 0x80000000 + 4 * PAGE, page), (uint64_t)-EFAULT);
	CHECK_EQ(memory_discard(m, 0x80000000, UINT64_MAX - page + 1), (uint64_t)-EFAULT);
}

/* Huge pages that lie whole inside go back to the host; only the ends are cleared by hand. */
static void test_discard_huge(void)
{
	CLEANUP(cleanup_memory_destroy) struct memory *m = NULL;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), huge = 16 * page;
	const uint64_t at = 0x80000000;
	unsigned char core[64];
	unsigned int wrong = 0;
	char *host;

	memory_create(&m);
	memory_add(m, at, 4 * huge, NULL, NULL);
	m->region[0].host_page = huge; /* as if it were */
	host = m->region[0].host;
	memset(host, 1, 4 * huge);
	CHECK_EQ(memory_discard(m, at + huge - page, 2 * huge + 2 * page), 0);
	for (uint64_t i = 0; i < 4 * huge; i++)
		wrong += i / page < 64 && host[i] != (i < huge - page || i >= 3 * huge + page);
	CHECK_EQ(wrong, 0);
	memset(host, 1, 4 * huge);
	CHECK_EQ(memory_discard(m, at + huge - page, 2 * huge + 2 * page), 0);
	CHECK_EQ(mincore(host, 4 * huge, core), 0);
	for (unsigned int i = 0; i < 64; i++)
		CHECK_EQ(core[i] & 1, i < 16 || i >= 48);
	/* No whole one inside, at either side of a border. */
	memset(host, 1, 4 * huge);
	CHECK_EQ(memory_discard(m, at + page, huge), 0);
	CHECK(host[page - 1] == 1 && !host[page] && !host[huge] && !host[huge + page - 1] && host[huge + page] == 1);
}

static void test_ring_fields(void)
{
	_Alignas(8) char bytes[16] = {0};
	struct slice s = {.p = bytes, .len = sizeof(bytes)};

	slice_store_le16(&s, 2, 0x1234, memory_order_relaxed);
	slice_store_le32(&s, 4, 0x89abcdef, memory_order_release);
	slice_store_le64(&s, 8, 0x0123456789abcdef, memory_order_seq_cst);
	CHECK(!memcmp(bytes, "\0\0\x34\x12\xef\xcd\xab\x89\xef\xcd\xab\x89\x67\x45\x23\x01", 16));
	CHECK_EQ(slice_load_le16(&s, 2, memory_order_seq_cst), 0x1234);
	CHECK_EQ(slice_load_le32(&s, 4, memory_order_acquire), 0x89abcdef);
	CHECK_EQ(slice_load_le64(&s, 8, memory_order_relaxed), 0x0123456789abcdef);
}

/* Bytes of p's mapping that are resident, from p on. */
static size_t resident(char *p, size_t len)
{
	static unsigned char map[16384];
	size_t n = 0, page = (size_t)sysconf(_SC_PAGESIZE);

	if (mincore(p, len, map) < 0)
		return 0;
	for (size_t i = 0; i < len / page; i++)
		n += (map[i] & 1) * page;
	return n;
}

static void test_sparse(void)
{
	CLEANUP(cleanup_memory_destroy) struct memory *m = NULL;

	memory_create(&m);
	memory_add(m, 0x80000000, MIB(32), NULL, NULL);
	memory_expect_sparse(m, 0x80000000 + MIB(2) + 100, 1000);
	memory_expect_sparse(m, 0x80000000 + MIB(31), MIB(64)); /* to the end, not beyond */
	memory_expect_sparse(m, 0x1000, 5);
	memory_expect_sparse(m, 0x80000000, 0);
	m->region[0].host[MIB(2)] = 1;
	CHECK(resident(m->region[0].host + MIB(2), MIB(2)) <= 65536);
	CHECK_EQ(memory_write(m, 0x80000000 + MIB(32) - 1, "x", 1), 0);
	CHECK(resident(m->region[0].host + MIB(30), MIB(2)) <= 65536);
}

static void test_hugetlbfs(void)
{
	CLEANUP(cleanup_memory_destroy) struct memory *m = NULL;
	struct memory_backing none = {.hugetlbfs = "/nonexistent/folder"};
	struct memory_backing wrong = {.hugetlbfs = "/"};
	struct err e = {0};

	memory_create(&m);
	CHECK_EQ(memory_add(m, 0, PAGE, &none, &e), (uint64_t)-ENOENT);
	CHECK(strstr(e.text, "/nonexistent/folder"));
	e = (struct err){0};
	CHECK_EQ(memory_add(m, 0, PAGE, &wrong, &e), (uint64_t)-EINVAL);
	CHECK(strstr(e.text, "hugetlbfs"));
	CHECK_EQ(m->n_regions, 0);
}

int main(void)
{
	test_add();
	test_huge();
	test_copy();
	test_dirty();
	test_discard();
	test_discard_huge();
	test_ring_fields();
	test_sparse();
	test_hugetlbfs();
	return test_result();
}
