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
	memcpy(packed + 24, "zstd22", 6);
	CHECK_EQ(load(packed, 0x1000 + n, &im, &e), -EINVAL);
	CHECK(strstr(e.text, "zstd22"));
	memcpy(packed + 24, "gzip\0\0", 6);
	put_le32(packed + 8, UINT32_MAX);
	CHECK_EQ(load(packed, 0x1000 + n, &im, &e), -EINVAL);
	/* other compressions by themselves */
	CHECK_EQ(load("\x28\xb5\x2f\xfd    ", 8, &im, &e), -EINVAL);
	CHECK(strstr(e.text, "zstd"));
	CHECK_EQ(load("\xfd" "7zXZ\0    ", 8, &im, &e), -EINVAL);
	CHECK(strstr(e.text, "xz"));
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
	test_elf();
	test_foreign();
	test_open();
	memory_destroy(memory);
	return test_result();
}
