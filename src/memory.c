// SPDX-License-Identifier: MIT
#include "memory.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/vfs.h>

/* Guest and host address agree below this, so that a host's huge page can back a guest's. */
#define HUGE_ALIGN MIB(2)

int memory_create(struct memory **ret)
{
	struct memory *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	*ret = m;
	return 0;
}

void memory_destroy(struct memory *m)
{
	if (!m)
		return;
	for (unsigned int i = 0; i < m->n_regions; i++) {
		munmap(m->region[i].map, m->region[i].map_size);
		free(m->region[i].dirty);
	}
	free(m);
}

static int map_anonymous(struct memory_region *r, const struct memory_backing *backing,
			 struct err *e)
{
	uint64_t slack = r->size >= HUGE_ALIGN ? HUGE_ALIGN : 0;
	uint64_t map_size = r->size + slack;
	void *map = MAP_FAILED;

	if (map_size == (size_t)map_size)
		map = mmap(NULL, (size_t)map_size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return err_set(e, -ENOMEM,
			       "cannot reserve %" PRIu64 " MiB of address space for guest RAM: %s; "
			       "give the guest less memory, or raise the limit (ulimit -v, "
			       "vm.overcommit_memory)",
			       r->size >> 20, err_name(-ENOMEM));
	r->map = map;
	r->map_size = map_size;
	r->host = map;
	if (slack)
		r->host += (r->gpa - (uintptr_t)map) & (HUGE_ALIGN - 1);
	/* Advice that the host's kernel was built without is not missed. For all of the mapping, so that it stays in one piece. */
	if (slack)
		madvise(map, (size_t)map_size, MADV_HUGEPAGE);
	if (backing->merge)
		madvise(map, (size_t)map_size, MADV_MERGEABLE);
	return 0;
}

static int map_hugetlbfs(struct memory_region *r, const char *folder, struct err *e)
{
	CLEANUP_FREE char *path = NULL;
	CLEANUP_CLOSE int fd = -1;
	struct statfs fs;
	void *map;
	int code;

	if (statfs(folder, &fs) < 0) {
		code = -errno;
		return err_set(e, code, "hugetlbfs folder %s: %s; make it and mount one there (mount -t hugetlbfs none %s)", folder,
			       err_name(code), folder);
	}
	if ((uint32_t)fs.f_type != HUGETLBFS_MAGIC)
		return err_set(e, -EINVAL,
			       "%s is not on a hugetlbfs; mount one there (mount -t hugetlbfs none %s)",
			       folder, folder);
	r->host_page = (uint64_t)fs.f_bsize;
	if (r->size % r->host_page)
		return err_set(e, -EINVAL,
			       "guest RAM of %" PRIu64 " KiB is no multiple of the huge pages of %s "
			       "(%" PRIu64 " KiB): give it -m %" PRIu64 "K",
			       r->size >> 10, folder, r->host_page >> 10, round_up(r->size, r->host_page) >> 10);
	if (asprintf(&path, "%s/lkvm-XXXXXX", folder) < 0) {
		path = NULL;
		return err_set(e, -ENOMEM, "out of memory");
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0) {
		code = -errno;
		return err_set(e, code, "cannot make a file in the hugetlbfs folder %s: %s", folder,
			       err_name(code));
	}
	unlink(path);
	/* Huge pages are reserved here: running out later would be a SIGBUS in the middle of the guest. */
	map = MAP_FAILED;
	code = -EFBIG;
	if (r->size == (size_t)r->size && ftruncate(fd, (off_t)r->size) == 0)
		map = mmap(NULL, (size_t)r->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED) {
		code = -errno;
		return err_set(e, code,
			       "cannot take %" PRIu64 " huge pages of %" PRIu64 " KiB from %s: %s; "
			       "reserve more (vm.nr_hugepages)",
			       r->size / r->host_page, r->host_page >> 10, folder, err_name(code));
	}
	r->map = map;
	r->map_size = r->size;
	r->host = map;
	return 0;
}

int memory_add(struct memory *m, uint64_t gpa, uint64_t size, const struct memory_backing *backing,
	       struct err *e)
{
	static const struct memory_backing anonymous = {0};
	struct memory_region r = {.gpa = gpa, .size = size, .host_page = getauxval(AT_PAGESZ)};
	unsigned int at;
	int code;

	if (!backing)
		backing = &anonymous;
	if (!size || (gpa | size) & (r.host_page - 1) || gpa + size < gpa ||
	    size > UINT64_MAX - HUGE_ALIGN)
		return err_set(e, -EINVAL,
			       "RAM at 0x%" PRIx64 ", 0x%" PRIx64 " bytes, is not made of whole pages",
			       gpa, size);
	if (m->n_regions == MEMORY_MAX_REGIONS)
		return err_set(e, -ENOSPC, "guest RAM is in more than %d pieces",
			       MEMORY_MAX_REGIONS);
	for (at = 0; at < m->n_regions && m->region[at].gpa < gpa; at++)
		;
	for (unsigned int i = 0; i < m->n_regions; i++)
		if (ranges_overlap(gpa, size, m->region[i].gpa, m->region[i].size))
			return err_set(e, -EINVAL,
				       "RAM at 0x%" PRIx64 " overlaps other RAM at 0x%" PRIx64, gpa,
				       m->region[i].gpa);
	code = backing->hugetlbfs ? map_hugetlbfs(&r, backing->hugetlbfs, e)
				  : map_anonymous(&r, backing, e);
	if (code < 0)
		return code;
	memmove(&m->region[at + 1], &m->region[at], (m->n_regions - at) * sizeof(r));
	m->region[at] = r;
	m->n_regions++;
	return 0;
}

static const struct memory_region *find(const struct memory *m, uint64_t gpa)
{
	for (unsigned int i = 0; i < m->n_regions; i++)
		if (gpa - m->region[i].gpa < m->region[i].size)
			return &m->region[i];
	return NULL;
}

/* The host's address of gpa and how many of the len bytes from there on its region holds; NULL outside RAM. */
static char *piece(const struct memory *m, uint64_t gpa, uint64_t len, uint64_t *ret_len)
{
	const struct memory_region *r = find(m, gpa);

	if (!r)
		return NULL;
	*ret_len = MIN(len, r->size - (gpa - r->gpa));
	return r->host + (gpa - r->gpa);
}

static bool inside(const struct memory *m, uint64_t gpa, uint64_t len)
{
	uint64_t n;

	while (len) {
		if (!piece(m, gpa, len, &n))
			return false;
		gpa += n;
		len -= n;
	}
	return true;
}

int memory_read(const struct memory *m, uint64_t gpa, void *buf, size_t len)
{
	uint64_t n;

	if (!inside(m, gpa, len))
		return -EFAULT;
	for (size_t done = 0; done < len; done += (size_t)n) {
		const char *p = piece(m, gpa + done, len - done, &n);

		memcpy((char *)buf + done, p, (size_t)n);
	}
	return 0;
}

int memory_write(struct memory *m, uint64_t gpa, const void *buf, size_t len)
{
	uint64_t n;

	if (!inside(m, gpa, len))
		return -EFAULT;
	for (size_t done = 0; done < len; done += (size_t)n) {
		char *p = piece(m, gpa + done, len - done, &n);

		memcpy(p, (const char *)buf + done, (size_t)n);
	}
	memory_mark_dirty(m, gpa, len);
	return 0;
}

int memory_zero(struct memory *m, uint64_t gpa, uint64_t len)
{
	uint64_t n;

	if (!inside(m, gpa, len))
		return -EFAULT;
	for (uint64_t done = 0; done < len; done += n) {
		char *p = piece(m, gpa + done, len - done, &n);

		memset(p, 0, (size_t)n);
	}
	memory_mark_dirty(m, gpa, len);
	return 0;
}

int memory_slice(const struct memory *m, uint64_t gpa, uint64_t len, struct slice *ret)
{
	uint64_t n = 0;
	char *p = NULL;

	if (len)
		p = piece(m, gpa, len, &n);
	if (n != len)
		return -EFAULT;
	*ret = (struct slice){.p = p, .len = (size_t)len};
	return 0;
}

int memory_iov(const struct memory *m, uint64_t gpa, uint64_t len, struct iovec *iov,
	       unsigned int max)
{
	struct iovec found[MEMORY_MAX_REGIONS];
	unsigned int n = 0;

	for (uint64_t here; len; gpa += here, len -= here) {
		char *p = piece(m, gpa, len, &here);

		if (!p)
			return -EFAULT;
		found[n++] = (struct iovec){.iov_base = p, .iov_len = (size_t)here};
	}
	if (n > max)
		return -ENOSPC;
	memcpy(iov, found, n * sizeof(*iov));
	return (int)n;
}

uint64_t memory_gpa(const struct memory *m, const void *p)
{
	for (unsigned int i = 0; i < m->n_regions; i++) {
		const struct memory_region *r = &m->region[i];
		uintptr_t off = (uintptr_t)p - (uintptr_t)r->host;

		if (off < r->size)
			return r->gpa + off;
	}
	assert(!"a pointer that no slice of this memory gave");
	return UINT64_MAX;
}

void memory_mark_dirty(struct memory *m, uint64_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < m->n_regions; i++) {
		const struct memory_region *r = &m->region[i];
		uint64_t *dirty = __atomic_load_n(&r->dirty, __ATOMIC_ACQUIRE);
		uint64_t from, to, page = getauxval(AT_PAGESZ);

		if (!dirty || !len || gpa + len < gpa || !ranges_overlap(gpa, len, r->gpa, r->size))
			continue;
		from = MAX(gpa, r->gpa) - r->gpa;
		to = MIN(gpa + len, r->gpa + r->size) - r->gpa;
		for (uint64_t n = from / page; n <= (to - 1) / page; n++)
			__atomic_fetch_or(&dirty[n / 64], UINT64_C(1) << (n % 64),
					  __ATOMIC_RELAXED);
	}
}

void memory_expect_sparse(struct memory *m, uint64_t gpa, uint64_t len)
{
	const struct memory_region *r = find(m, gpa);
	uintptr_t from, to;

	if (!r || !len || r->host_page != getauxval(AT_PAGESZ) || r->size < HUGE_ALIGN)
		return;
	len = MIN(len, r->size - (gpa - r->gpa));
	from = (uintptr_t)round_down((uintptr_t)r->host + (gpa - r->gpa), HUGE_ALIGN);
	to = (uintptr_t)round_up((uintptr_t)r->host + (gpa - r->gpa) + len, HUGE_ALIGN);
	from = MAX(from, (uintptr_t)r->map);
	to = MIN(to, (uintptr_t)r->map + r->map_size);
	madvise((void *)from, to - from, MADV_NOHUGEPAGE);
}

int memory_discard(struct memory *m, uint64_t gpa, uint64_t len)
{
	uint64_t page = getauxval(AT_PAGESZ), n;

	if (!inside(m, gpa, len))
		return -EFAULT;
	if ((gpa | len) & (page - 1))
		return -EINVAL;
	for (uint64_t done = 0; done < len; done += n) {
		const struct memory_region *r = find(m, gpa + done);
		char *p = piece(m, gpa + done, len - done, &n);
		uint64_t off = (uint64_t)(p - r->host);
		char *from = r->host + round_up(off, r->host_page), *to = r->host + round_down(off + n, r->host_page);

		/* Parts of huge pages cannot be given back; they still read as zero. */
		if (from >= to || madvise(from, (size_t)(to - from), MADV_DONTNEED) < 0)
			from = to = p + n;
		memset(p, 0, (size_t)(from - p));
		memset(to, 0, (size_t)(p + n - to));
	}
	memory_mark_dirty(m, gpa, len);
	return 0;
}

int memory_set_bits(struct memory *m, uint64_t gpa, uint8_t bits)
{
	struct slice s;
	int old;

	if (memory_slice(m, gpa, 1, &s) < 0)
		return -EFAULT;
	old = __atomic_fetch_or((uint8_t *)s.p, bits, __ATOMIC_SEQ_CST);
	memory_mark_dirty(m, gpa, 1);
	return old;
}

/*
 * The builtins want the order as a constant (any other is taken for seq_cst, a full barrier). consume is acquire; a load ordered as a store, or
 * the other way round, is our own bug and gets seq_cst.
 */
#define SLICE_ACCESSORS(bits)                                                                      \
	uint##bits##_t slice_load_le##bits(const struct slice *s, size_t off, memory_order order)  \
	{                                                                                          \
		const uint##bits##_t *p = slot(s, off, sizeof(*p));                                \
		uint##bits##_t v;                                                                  \
                                                                                                   \
		if (order == memory_order_relaxed)                                                 \
			v = __atomic_load_n(p, __ATOMIC_RELAXED);                                  \
		else if (order == memory_order_acquire || order == memory_order_consume)           \
			v = __atomic_load_n(p, __ATOMIC_ACQUIRE);                                  \
		else                                                                               \
			v = __atomic_load_n(p, __ATOMIC_SEQ_CST);                                  \
		return le##bits##toh(v);                                                           \
	}                                                                                          \
	void slice_store_le##bits(const struct slice *s, size_t off, uint##bits##_t v,             \
				  memory_order order)                                              \
	{                                                                                          \
		uint##bits##_t *p = slot(s, off, sizeof(*p));                                      \
                                                                                                   \
		v = htole##bits(v);                                                                \
		if (order == memory_order_relaxed)                                                 \
			__atomic_store_n(p, v, __ATOMIC_RELAXED);                                  \
		else if (order == memory_order_release)                                            \
			__atomic_store_n(p, v, __ATOMIC_RELEASE);                                  \
		else                                                                               \
			__atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                  \
	}

static void *slot(const struct slice *s, size_t off, size_t size)
{
	assert(off <= s->len && size <= s->len - off);
	assert(((uintptr_t)s->p + off) % size == 0);
	return s->p + off;
}

SLICE_ACCESSORS(16)
SLICE_ACCESSORS(32)
SLICE_ACCESSORS(64)
