// SPDX-License-Identifier: MIT
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "arch/image.h"
#include "base/endian.h"
#include "base/sys.h"
#include "tests/test.h"

#define RAM UINT64_C(0x80000000)
#define SIZE MIB(32)

static struct memory *memory;

/* Magic "IMG!" at 0, text offset at 8, size at 16; 0xbad as offset is refused. */
static int header(const uint8_t head[IMAGE_HEAD], struct image_header *ret, struct err *e)
{
	if (memcmp(head, "IMG!", 4))
		return 0;
	if (get_le64(head + 8) == 0xbad)
		return err_set(e, -EINVAL, "its header is bad");
	*ret = (struct image_header){ get_le64(head + 8), get_le64(head + 16) };
	return 1;
}

static struct image_target target(void)
{
	return (struct image_target){
		.memory = memory,
		.ram_base = RAM,
		.ram_size = SIZE,
		.align = MIB(2),
		.flat_offset = MIB(2),
		.elf_machine = 243,
		.name = "test64",
		.header = header,
	};
}

/* Loads bytes as a kernel file. */
static int load(const void *data, size_t len, struct image *ret, struct err *e)
{
	const struct image_target t = target();
	struct image_file f = { 0 };
	char path[32];
	int fd = memfd_create("test", MFD_CLOEXEC), r;

	memset(e, 0, sizeof(*e));
	if (fd < 0 || sys_write_all(fd, data, len) < 0)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	memory_discard(memory, RAM, SIZE);
	r = image_open(path, "kernel", SIZE, &f, e);
	if (r >= 0)
		r = image_load(&f, &t, ret, e);
	/* Each refusal is one sentence that names the file. */
	CHECK(r >= 0 || (strstr(e->text, "/proc/self/fd/") && !strchr(e->text, '\n')));
	image_close(&f);
	close(fd);
	return r;
}

static bool guest_is(uint64_t gpa, const void *data, size_t len)
{
	char *buf = malloc(len);
	bool same = buf && !memory_read(memory, gpa, buf, len) && !memcmp(buf, data, len);

	free(buf);
	return same;
}

static void fill(uint8_t *p, size_t len)
{
	uint32_t x = 12345;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		p[i] = (uint8_t)(x >> 24);
	}
}

/* A gzip file whose content is stored, not compressed: what any gzip program may make. */
static size_t gz_stored(const uint8_t *data, size_t len, uint8_t *out)
{
	static const uint8_t head[10] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3 };
	uint32_t crc = UINT32_MAX;
	size_t n = 10;

	memcpy(out, head, 10);
	for (size_t i = 0; i < len;) {
		size_t k = MIN(len - i, 65535);

		out[n++] = i + k == len;
		put_le16(out + n, (uint16_t)k);
		put_le16(out + n + 2, (uint16_t)~k);
		memcpy(out + n + 4, data + i, k);
		n += 4 + k;
		i += k;
	}
	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		for (int b = 0; b < 8; b++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	put_le32(out + n, ~crc);
	put_le32(out + n + 4, (uint32_t)len);
	return n + 8;
}

static uint8_t body[300000], packed[310000];

static void make_image(uint64_t offset, uint64_t size)
{
	fill(body, sizeof(body));
	memset(body, 0, 64);
	memcpy(body, "IMG!", 4);
	put_le64(body + 8, offset);
	put_le64(body + 16, size);
}

static void test_flat(void)
{
	struct image im;
	struct err e;

	fill(body, sizeof(body));
	CHECK_EQ(load(body, sizeof(body), &im, &e), 0);
	CHECK_EQ(im.start, RAM + MIB(2));
	CHECK_EQ(im.entry, RAM + MIB(2));
	CHECK_EQ(im.end, RAM + MIB(2) + sizeof(body));
	CHECK(guest_is(im.start, body, sizeof(body)));
	/* one instruction is a kernel, nothing is not */
	CHECK_EQ(load(body, 4, &im, &e), 0);
	CHECK(load(body, 0, &im, &e) < 0 && strstr(e.text, "empty"));
}

static void test_image(void)
{
	struct image im;
	struct err e;

	make_image(0x400000, MIB(8));
	CHECK_EQ(load(body, sizeof(body), &im, &e), 0);
	CHECK_EQ(im.start, RAM + 0x400000);
	CHECK_EQ(im.end, RAM + 0x400000 + MIB(8)); /* bss counts */
	CHECK(guest_is(im.start, body, sizeof(body)));
	/* a header of before image_size was there */
	make_image(0x200000, 0);
	CHECK_EQ(load(body, sizeof(body), &im, &e), 0);
	CHECK_EQ(im.end, RAM + 0x200000 + sizeof(body));
	/* RAM too small, by a little and by wild numbers: says what is needed */
	make_image(0x200000, SIZE - 0x200000 + 1);
	CHECK_EQ(load(body, sizeof(body), &im, &e), -ENOSPC);
	CHECK(strstr(e.text, "needs 33 MiB") && strstr(e.text, "-m"));
	make_image(UINT64_MAX, 4096);
	CHECK_EQ(load(body, sizeof(body), &im, &e), -ENOSPC);
	make_image(4096, UINT64_MAX);
	CHECK_EQ(load(body, sizeof(body), &im, &e), -ENOSPC);
	make_image(SIZE, 0);
	CHECK_EQ(load(body, sizeof(body), &im, &e), -ENOSPC);
	make_image(SIZE - 4096, 4096);
	CHECK_EQ(load(body, sizeof(body), &im, &e), -ENOSPC);
	make_image(SIZE - 4096, 4096);
	CHECK_EQ(load(body, 4096, &im, &e), 0);
	make_image(0xbad, 0);
	CHECK_EQ(load(body, sizeof(body), &im, &e), -EINVAL);
	CHECK(strstr(e.text, "its header is bad"));
}

/* An EFI stub's header tells how long the file must be. */
static void test_truncated_pe(void)
{
	struct image im;
	struct err e;

	fill(body, sizeof(body));
	memset(body, 0, 512);
	memcpy(body, "MZ", 2);
	put_le32(body + 60, 64);
	memcpy(body + 64, "PE\0\0", 4);
	put_le16(body + 64 + 6, 2);
	put_le16(body + 64 + 20, 40);
	put_le32(body + 64 + 24 + 40 + 16, 0x1000);
	put_le32(body + 64 + 24 + 40 + 20, 0x1000);
	put_le32(body + 64 + 24 + 80 + 16, 0x8000);
	put_le32(body + 64 + 24 + 80 + 20, 0x2000);
	CHECK_EQ(load(body, 0xa000, &im, &e), 0);
	CHECK_EQ(load(body, 0x9fff, &im, &e), -EINVAL);
	CHECK(strstr(e.text, "truncated"));
	put_le16(body + 64 + 6, 0xffff); /* wild numbers of sections and sizes are no crash */
	load(body, 0x9000, &im, &e);
	put_le32(body + 60, UINT32_MAX);
	CHECK_EQ(load(body, 0x9fff, &im, &e), 0);
}

static void test_gzip(void)
{
	struct image im;
	struct err e;
	size_t n;

	make_image(0x200000, MIB(1));
	n = gz_stored(body, sizeof(body), packed);
	CHECK_EQ(load(packed, n, &im, &e), 0);
	CHECK_EQ(im.end, RAM + 0x200000 + MIB(1));
	CHECK(guest_is(im.start, body, sizeof(body)));
	/* truncated at every place that matters, damaged at others */
	for (size_t cut = 2; cut < n; cut = cut < 100 ? cut + 1 : cut * 3 / 2) {
		CHECK_EQ(load(packed, cut, &im, &e), -EINVAL);
		CHECK(strstr(e.text, "truncated") || strstr(e.text, "damaged"));
	}
	packed[n - 6] ^= 1;
	CHECK_EQ(load(packed, n, &im, &e), -EINVAL);
	CHECK(strstr(e.text, "damaged"));
	/* unpacks to more than the guest's RAM: bounded, and said */
	{
		uint8_t *big = calloc(1, SIZE), *out = malloc(SIZE + MIB(1));

		if (!big || !out)
			abort();
		n = gz_stored(big, SIZE - MIB(1), out);
		CHECK_EQ(load(out, n, &im, &e), -ENOSPC);
		CHECK(strstr(e.text, "-m"));
		free(big);
		free(out);
	}
}

static void test_zboot(void)
{
	struct image im;
	struct err e;
	size_t n;

	make_image(0x200000, MIB(1));
	memset(packed, 0, 0x1000);
	memcpy(packed, "MZ\0\0zimg", 8);
	n = gz_stored(body, 200000, packed + 0x1000);
	put_le32(packed + 8, 0x1000);
	put_le32(packed + 12, (uint32_t)n);
	memcpy(packed + 24, "gzip", 4);
	CHECK_EQ(load(packed, 0x1000 + n, &im, &e), 0);
	CHECK_EQ(im.end, RAM + 0x200000 + MIB(1));
	CHECK(guest_is(im.start, body, 200000));
	CHECK_EQ(load(packed, 0x1000 + n - 1, &im, &e), -EINVAL);
	CHECK(strstr(e.text, "truncated"));
	memcpy(packed + 24, "xzkern", 6);
	CHECK_EQ(load(packed, 0x1000 + n, &im, &e), -EINVAL);
	CHECK(strstr(e.text, "xzkern"));
	memcpy(packed + 24, "gzip\0\0", 6);
	put_le32(packed + 8, UINT32_MAX);
	CHECK_EQ(load(packed, 0x1000 + n, &im, &e), -EINVAL);
	/* other compressions by themselves */
	CHECK_EQ(load("\x04\x22\x4d\x18    ", 8, &im, &e), -EINVAL);
	CHECK(strstr(e.text, "lz4"));
	CHECK_EQ(load("\xfd" "7zXZ\0    ", 8, &im, &e), -EINVAL);
	CHECK(strstr(e.text, "xz"));
}

/* A zstd frame of raw blocks and, at its end, n_more blocks of 128 KiB of a byte each; its window has 2^(10 + window) bytes. */
static size_t zst_stored(const uint8_t *data, size_t len, unsigned int window, unsigned int n_more, uint8_t *out)
{
	size_t n = 6;

	put_le32(out, 0xfd2fb528);
	out[4] = 0; /* no size, no checksum */
	out[5] = (uint8_t)(window << 3);
	for (size_t i = 0; i < len;) {
		size_t k = MIN(len - i, 100000);
		uint32_t head = (uint32_t)k << 3 | (i + k == len && !n_more);

		out[n++] = (uint8_t)head;
		out[n++] = (uint8_t)(head >> 8);
		out[n++] = (uint8_t)(head >> 16);
		memcpy(out + n, data + i, k);
		n += k;
		i += k;
	}
	for (unsigned int i = 1; i <= n_more; i++) {
		uint32_t head = 0x20000 << 3 | 1 << 1 | (i == n_more);

		out[n++] = (uint8_t)head;
		out[n++] = (uint8_t)(head >> 8);
		out[n++] = (uint8_t)(head >> 16);
		out[n++] = (uint8_t)i;
	}
	return n;
}

/* What zstd -22 --ultra makes of a header and 400 lines "line N of the kernel": entropy coding, repeated offsets, checksum. */
static const uint8_t zst_lines[] = {
	0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x88, 0xa4, 0x08, 0x00, 0x66, 0x14, 0x2c, 0x18, 0x70, 0x4b, 0x9a,
	0x03, 0xce, 0x2b, 0x38, 0x82, 0xd5, 0x7b, 0xbe, 0x1e, 0x41, 0x44, 0x44, 0x84, 0xc8, 0xd0, 0x04,
	0x2b, 0x7b, 0xf1, 0x83, 0x02, 0x30, 0x00, 0x25, 0x00, 0x1d, 0x00, 0x55, 0x44, 0x44, 0x44, 0x44,
	0x44, 0x33, 0x33, 0x33, 0x33, 0x33, 0x6d, 0xdb, 0xb6, 0xed, 0xff, 0xff, 0x27, 0x9e, 0x15, 0x4d,
	0x47, 0x02, 0x8b, 0x84, 0xe1, 0x48, 0x14, 0x48, 0x82, 0x78, 0x20, 0x87, 0x06, 0x52, 0x90, 0x84,
	0x91, 0x58, 0x00, 0x04, 0x00, 0x04, 0x30, 0x20, 0x18, 0x0a, 0x01, 0xff, 0xff, 0xff, 0x5f, 0x2e,
	0x97, 0xcb, 0xe5, 0x72, 0xb9, 0x5c, 0x2e, 0x67, 0x66, 0x66, 0x66, 0x66, 0x22, 0x22, 0x22, 0x22,
	0x22, 0xde, 0xdd, 0xdd, 0xdd, 0xdd, 0x99, 0x99, 0x99, 0x99, 0x99, 0x55, 0x55, 0x55, 0x55, 0x05,
	0x75, 0x5d, 0xd7, 0x75, 0x5d, 0xd7, 0x34, 0x4d, 0xd3, 0x34, 0x4d, 0xd3, 0x34, 0x3d, 0xcf, 0xf3,
	0x3c, 0xcf, 0xf3, 0x3c, 0xcf, 0xbd, 0xf7, 0xde, 0x7b, 0xef, 0xbd, 0xff, 0x7f, 0x79, 0x9e, 0xe7,
	0x79, 0x9e, 0xe7, 0x38, 0x8e, 0xe3, 0x38, 0x8e, 0xe3, 0x38, 0x7e, 0xdf, 0xf7, 0x7d, 0xdf, 0xf7,
	0x7d, 0xdf, 0xb6, 0x6d, 0xdb, 0xb6, 0x6d, 0xdb, 0xb6, 0x5d, 0xd7, 0x01, 0x80, 0xc9, 0xa8, 0x11,
	0x00, 0xf6, 0x65, 0xbf, 0x03, 0xd0, 0x53, 0x75, 0x12, 0x40, 0x20, 0x10, 0x04, 0xfe, 0x39, 0xf8,
	0xfb, 0xbf, 0x01, 0x6b, 0xca, 0x31, 0xcb, 0x3c, 0xb5, 0x58, 0x63, 0x8e, 0x5b, 0xc6, 0x29, 0xc7,
	0x3a, 0x73, 0xd8, 0xa6, 0x37, 0x3a, 0xcf, 0x8b, 0x39, 0x96, 0x37, 0x39, 0xc6, 0x5b, 0x9c, 0xe1,
	0x0d, 0xc6, 0xfe, 0xdb, 0xd7, 0xfb, 0x7d, 0xb7, 0xaf, 0xf7, 0xfb, 0x6e, 0x5f, 0xef, 0xf7, 0x7f,
	0xa5, 0x37, 0xbb, 0x9b, 0x9b, 0xdb, 0xad, 0x8d, 0xd9, 0x8d, 0xcd, 0xeb, 0xb6, 0x7e, 0xf9, 0x63,
	0x31, 0x8b, 0xd9, 0x58, 0x30, 0x99, 0x08, 0x58, 0xab, 0xe9, 0x9c, 0x5e, 0x35, 0x75, 0x05, 0x00,
	0x26, 0x99, 0x24, 0x0a, 0xb0, 0x5b, 0x03, 0x24, 0x89, 0x12, 0x00, 0x92, 0xa9, 0x0a, 0x26, 0x00,
	0x28, 0x00, 0x1a, 0x00, 0x0a, 0x85, 0x42, 0xa1, 0x50, 0x28, 0x14, 0xee, 0xee, 0xee, 0xee, 0xee,
	0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0x06, 0x83, 0xc1, 0x60, 0x30, 0x18, 0x0c, 0x06, 0x83, 0x40, 0x20,
	0x10, 0x08, 0x04, 0x02, 0x81, 0x40, 0xe0, 0x09, 0x27, 0x04, 0x66, 0x66, 0x66, 0x66, 0x66, 0xa6,
	0x46, 0xa3, 0xd1, 0x68, 0x34, 0x1a, 0x8b, 0xc5, 0x62, 0xb1, 0x58, 0x2c, 0x16, 0x8b, 0x45, 0x22,
	0x91, 0x48, 0x24, 0x12, 0x89, 0x44, 0x22, 0x71, 0x38, 0x1c, 0x0e, 0x87, 0xc3, 0xe1, 0x70, 0x38,
	0x14, 0x8a, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd,
	0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0x05, 0x77, 0x77, 0x77, 0x77,
	0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77,
	0x77, 0x77, 0x77, 0x77, 0x77, 0x80, 0xca, 0xa8, 0x10, 0x10, 0x3f, 0xe0, 0xf7, 0x33, 0x11, 0xfc,
	0x27, 0x04, 0xfe, 0x06, 0xc9, 0x72, 0xba, 0x9b, 0xc0, 0x3f, 0x56, 0xad, 0x4d, 0xcf, 0xf0, 0x5e,
	0x2e, 0xfc,
};

static void test_zstd(void)
{
	CLEANUP_FREE char *lines = calloc(1, 16000), *damaged = malloc(sizeof(zst_lines)), *small = malloc(sizeof(zst_lines));
	unsigned int survived = 0;
	struct image im;
	struct err e;
	size_t n = 64, k;

	memcpy(lines, "IMG!", 4);
	put_le64(lines + 8, 0x200000);
	put_le64(lines + 16, MIB(1));
	for (unsigned int i = 0; i < 400; i++)
		n += (size_t)sprintf(lines + n, "line %u of the kernel\n", i);
	CHECK_EQ(load(zst_lines, sizeof(zst_lines), &im, &e), 0);
	CHECK_EQ(im.end, RAM + 0x200000 + MIB(1));
	CHECK(guest_is(im.start, lines, n));
	/* A window of 64 KiB does for these lines: clearing that of level 22 each time would be what the test does for most of its time. */
	memcpy(small, zst_lines, sizeof(zst_lines));
	small[5] = 6 << 3;
	for (size_t i = 5; i < sizeof(zst_lines); i++) {
		CHECK_EQ(load(small, i, &im, &e), -EINVAL);
		CHECK(strstr(e.text, "truncated"));
		memcpy(damaged, small, sizeof(zst_lines));
		damaged[i] ^= 0x55;
		survived += load(damaged, sizeof(zst_lines), &im, &e) == 0 && !guest_is(im.start, lines, n);
	}
	CHECK_EQ(survived, 0);

	make_image(0x200000, MIB(1));
	for (unsigned int window = 7; window <= 17; window += 10) {
		n = zst_stored(body, 250000, window, 0, packed);
		CHECK_EQ(load(packed, n, &im, &e), 0);
		CHECK_EQ(im.start, RAM + 0x200000);
		CHECK(guest_is(im.start, body, 250000));
		CHECK_EQ(load(packed, n - 1, &im, &e), -EINVAL);
		CHECK(strstr(e.text, "truncated"));
	}
	n = zst_stored(body, 250000, 18, 0, packed);
	CHECK_EQ(load(packed, n, &im, &e), -EINVAL);
	CHECK(strstr(e.text, "128 MiB"));
	/* More than RAM, from almost nothing. */
	n = zst_stored(body, 100, 7, 10000, packed);
	CHECK(n < 50000);
	CHECK_EQ(load(packed, n, &im, &e), -ENOSPC);
	CHECK(strstr(e.text, "-m"));

	/* In a zboot file four bytes behind the frame say how long it is unpacked. */
	memset(packed, 0, 0x1000);
	memcpy(packed, "MZ\0\0zimg", 8);
	n = zst_stored(body, 200000, 10, 0, packed + 0x1000);
	put_le32(packed + 0x1000 + n, 200000);
	put_le32(packed + 8, 0x1000);
	for (unsigned int i = 0; i < 2; i++) {
		memcpy(packed + 24, i ? "zstd22\0" : "zstd\0\0", 7);
		put_le32(packed + 12, (uint32_t)n + 4);
		CHECK_EQ(load(packed, 0x1000 + n + 4, &im, &e), 0);
		CHECK_EQ(im.end, RAM + 0x200000 + MIB(1));
		CHECK(guest_is(im.start, body, 200000));
		put_le32(packed + 12, (uint32_t)n); /* or not */
		CHECK_EQ(load(packed, 0x1000 + n + 4, &im, &e), 0);
	}
	for (k = 1; k < 4; k++) {
		put_le32(packed + 12, (uint32_t)(n + k));
		CHECK_EQ(load(packed, 0x1000 + n + 4, &im, &e), 0);
	}
	put_le32(packed + 12, (uint32_t)n + 4);
	put_le32(packed + 0x1000 + n, 200001);
	CHECK_EQ(load(packed, 0x1000 + n + 4, &im, &e), -EINVAL);
	CHECK(strstr(e.text, "damaged"));
	memcpy(packed + 24, "gzip\0\0", 6); /* it lies about how it is packed */
	CHECK_EQ(load(packed, 0x1000 + n + 4, &im, &e), -EINVAL);
	CHECK(strstr(e.text, "damaged"));
}

#define PH(i) (body + 64 + 56 * (i))

/* Two segments, at 0x1000 (code) and 0x3000 (data with bss). */
static void make_elf(uint64_t paddr, uint64_t vaddr)
{
	fill(body, sizeof(body));
	memset(body, 0, 64 + 56 * 3);
	memcpy(body, "\x7f" "ELF\2\1\1", 7);
	put_le16(body + 16, ET_EXEC);
	put_le16(body + 18, 243);
	put_le64(body + 24, vaddr + 0x10);
	put_le64(body + 32, 64);
	put_le16(body + 54, 56);
	put_le16(body + 56, 3);
	put_le32(PH(0), PT_NOTE);
	for (unsigned int i = 1; i < 3; i++) {
		uint64_t off = i == 1 ? 0x1000 : 0x3000;

		put_le32(PH(i), PT_LOAD);
		put_le64(PH(i) + 8, off);
		put_le64(PH(i) + 16, vaddr + (i - 1) * 0x10000);
		put_le64(PH(i) + 24, paddr + (i - 1) * 0x10000);
		put_le64(PH(i) + 32, 0x1800);
		put_le64(PH(i) + 40, i == 1 ? 0x1800 : 0x5000);
	}
}

static void test_elf(void)
{
	static const uint8_t zero[0x3800];
	struct image im;
	struct err e;
	size_t n;

	make_elf(RAM + MIB(4), RAM + MIB(4)); /* linked to where it runs */
	CHECK_EQ(load(body, 0x4800, &im, &e), 0);
	CHECK_EQ(im.start, RAM + MIB(4));
	CHECK_EQ(im.entry, RAM + MIB(4) + 0x10);
	CHECK_EQ(im.end, RAM + MIB(4) + 0x15000);
	CHECK(guest_is(im.start, body + 0x1000, 0x1800));
	CHECK(guest_is(im.start + 0x10000, body + 0x3000, 0x1800));
	CHECK(guest_is(im.start + 0x11800, zero, sizeof(zero)));
	CHECK_EQ(load(body, 0x47ff, &im, &e), -EINVAL); /* truncated in the last segment */
	CHECK_EQ(load(body, 63, &im, &e), -EINVAL);
	CHECK_EQ(load(body, 100, &im, &e), -EINVAL);

	make_elf(0, 0xffffffff80000000); /* vmlinux: moved, entry by its virtual address */
	CHECK_EQ(load(body, 0x4800, &im, &e), 0);
	CHECK_EQ(im.start, RAM + MIB(2));
	CHECK_EQ(im.entry, RAM + MIB(2) + 0x10);
	CHECK(guest_is(im.start + 0x10000, body + 0x3000, 0x1800));
	n = gz_stored(body, 0x4800, packed);
	CHECK_EQ(load(packed, n, &im, &e), 0);
	CHECK(guest_is(im.start, body + 0x1000, 0x1800));

	make_elf(RAM, RAM);
	put_le16(body + 18, EM_X86_64);
	CHECK_EQ(load(body, 0x4800, &im, &e), -EINVAL);
	CHECK(strstr(e.text, "test64"));
	make_elf(RAM, RAM);
	body[4] = ELFCLASS32;
	CHECK_EQ(load(body, 0x4800, &im, &e), -EINVAL);
	make_elf(RAM, RAM);
	put_le64(body + 24, 0x1234); /* entry outside */
	CHECK_EQ(load(body, 0x4800, &im, &e), -EINVAL);
	CHECK(strstr(e.text, "entry"));
	make_elf(RAM, RAM);
	put_le32(PH(1), PT_NOTE);
	put_le32(PH(2), PT_NOTE);
	CHECK_EQ(load(body, 0x4800, &im, &e), -EINVAL);

	/* one wild number at a time, in each field of each header */
	for (unsigned int off = 16; off < 64 + 56 * 3; off += 2) {
		make_elf(RAM + MIB(4), RAM + MIB(4));
		put_le16(body + off, 0xffff);
		load(body, 0x4800, &im, &e);
		make_elf(0, 0xffffffff80000000);
		put_le16(body + off, 0x8000);
		load(body, 0x4800, &im, &e);
	}
	for (unsigned int i = 1; i < 3; i++) {
		for (unsigned int field = 8; field < 56; field += 8) {
			static const uint64_t wild[] = { UINT64_MAX, INT64_MAX, SIZE, UINT64_MAX - 0x1000, RAM + SIZE - 1 };

			for (unsigned int w = 0; w < ARRAY_SIZE(wild); w++) {
				make_elf(RAM + MIB(4), RAM + MIB(4));
				put_le64(PH(i) + field, wild[w]);
				load(body, 0x4800, &im, &e);
			}
		}
	}
}

static void test_open(void)
{
	struct image_file f = { 0 };
	struct err e = { 0 };
	int fds[2];
	char path[32];

	CHECK_EQ(image_open("/nonexistent/Image", "kernel", SIZE, &f, &e), -ENOENT);
	CHECK_STR(e.text, "Unable to open kernel /nonexistent/Image: No such file or directory");
	e = (struct err){ 0 };
	CHECK_EQ(image_open("/proc", "initrd", SIZE, &f, &e), -EISDIR);
	CHECK(strstr(e.text, "initrd /proc is a folder"));
	image_close(&f);

	/* through a pipe, and readable twice */
	if (pipe(fds) < 0 || sys_write_all(fds[1], "hello", 5) < 0)
		abort();
	close(fds[1]);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	e = (struct err){ 0 };
	CHECK_EQ(image_open(path, "initrd", SIZE, &f, &e), 0);
	CHECK_EQ(f.size, 5);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(image_read_to(&f, memory, RAM + 0x1000, &e), 0);
		CHECK(guest_is(RAM + 0x1000, "hello", 5));
		memory_zero(memory, RAM + 0x1000, 5);
	}
	CHECK(image_read_to(&f, memory, RAM + SIZE - 4, &e) < 0);
	image_close(&f);
	image_close(&f);
	close(fds[0]);
	/* bounded: what never ends is refused */
	e = (struct err){ 0 };
	CHECK_EQ(image_open("/dev/zero", "kernel", MIB(1), &f, &e), -EFBIG);
	CHECK(strstr(e.text, "/dev/zero") && strstr(e.text, "-m"));
}

/* What is no kernel, each with a word of its sentence; and what is nearly one of these and may well be a kernel. */
static void test_foreign(void)
{
	static const struct {
		const char *word;
		unsigned int offset, len;
		const char *magic;
	} files[] = {
		{ "script", 0, 9, "#!/bin/sh" },
		{ "cpio", 0, 6, "070701" },
		{ "cpio", 0, 6, "070707" },
		{ "xz", 0, 6, "\xfd" "7zXZ" },
		{ "zstd", 0, 4, "\x28\xb5\x2f\xfd" },
		{ "bzip2", 0, 4, "BZh9" },
		{ "lz4", 0, 4, "\x02\x21\x4c\x18" },
		{ "lz4", 0, 4, "\x04\x22\x4d\x18" },
		{ "squashfs", 0, 4, "hsqs" },
		{ "ZIP", 0, 4, "PK\x03\x04" },
		{ "PNG", 0, 8, "\x89PNG\r\n\x1a\n" },
		{ "PDF", 0, 5, "%PDF-" },
		{ "JPEG", 0, 3, "\xff\xd8\xff" },
		{ "qcow2", 0, 4, "QFI\xfb" },
		{ "device tree", 0, 4, "\xd0\x0d\xfe\xed" },
		{ "U-Boot", 0, 4, "\x27\x05\x19\x56" },
		{ "tar", 257, 5, "ustar" },
		{ "x86", 514, 4, "HdrS" },
		{ "arm64", 56, 4, "ARM\x64" },
		{ "riscv", 56, 4, "RSC\x05" },
		{ "test64", 56, 4, "RSC\x05" },
	};
	static const char script[] = "make me a kernel\n\tof \xc3\xa4 and \xe2\x82\xac\n";
	struct image im;
	struct err e;

	for (unsigned int i = 0; i < ARRAY_SIZE(files); i++) {
		fill(body, sizeof(body));
		CHECK_EQ(load(body, sizeof(body), &im, &e), 0);
		memcpy(body + files[i].offset, files[i].magic, files[i].len);
		CHECK_EQ(load(body, sizeof(body), &im, &e), -EINVAL);
		CHECK(strstr(e.text, files[i].word) && strstr(e.text, ": "));
		/* packed, it is no better */
		CHECK_EQ(load(packed, gz_stored(body, sizeof(body), packed), &im, &e), -EINVAL);
		CHECK(strstr(e.text, files[i].word));
		/* short of its last byte it is anything */
		body[files[i].offset + files[i].len - 1] ^= 0xff;
		if (strcmp(files[i].word, "script") && strcmp(files[i].word, "bzip2"))
			CHECK_EQ(load(body, sizeof(body), &im, &e), 0);
	}
	CHECK_EQ(load(script, sizeof(script) - 1, &im, &e), -EINVAL);
	CHECK(strstr(e.text, "text"));
	CHECK_EQ(load(script, strlen("make me a kernel\n\tof \xc3"), &im, &e), -EINVAL);
	CHECK_EQ(load(script, sizeof(script), &im, &e), 0); /* NUL is no text */

	fill(body, sizeof(body));
	put_le16(body + 1080, 0xef53);
	CHECK_EQ(load(body, sizeof(body), &im, &e), 0);
	put_le16(body + 1082, 1);
	put_le32(body + 1100, 1);
	CHECK_EQ(load(body, sizeof(body), &im, &e), -EINVAL);
	CHECK(strstr(e.text, "ext4"));
	fill(body, sizeof(body));
	put_le16(body + 510, 0xaa55);
	body[446] = 1;
	CHECK_EQ(load(body, sizeof(body), &im, &e), 0);
	memset(body + 446, 0, 64);
	CHECK_EQ(load(body, sizeof(body), &im, &e), -EINVAL);
	CHECK(strstr(e.text, "partition"));
	/* an EFI program, and one whose header lies about where it is */
	fill(body, sizeof(body));
	memcpy(body, "MZ", 2);
	put_le32(body + 60, 128);
	memcpy(body + 128, "PE\0\0\x64\x86", 6);
	CHECK_EQ(load(body, sizeof(body), &im, &e), -EINVAL);
	CHECK(strstr(e.text, "EFI") && strstr(e.text, "0x8664"));
	put_le32(body + 60, UINT32_MAX);
	CHECK_EQ(load(body, sizeof(body), &im, &e), 0);
	/* an Image's own header counts first */
	make_image(0x400000, MIB(8));
	put_le16(body + 510, 0xaa55);
	memset(body + 446, 0, 64);
	CHECK_EQ(load(body, sizeof(body), &im, &e), 0);
}

int main(void)
{
	struct memory_backing backing = { 0 };
	struct err e = { 0 };

	if (memory_create(&memory) < 0 || memory_add(memory, RAM, SIZE, &backing, &e) < 0)
		return 1;
	test_flat();
	test_image();
	test_truncated_pe();
	test_gzip();
	test_zboot();
	test_zstd();
	test_elf();
	test_foreign();
	test_open();
	memory_destroy(memory);
	return test_result();
}
