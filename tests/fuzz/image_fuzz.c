// SPDX-License-Identifier: MIT
/*
 * Kernel files: whatever a file claims of itself, what is loaded lies in RAM, and a refusal has a sentence. The first byte says in what
 * the rest is wrapped: nothing, a gzip file of stored blocks, an EFI zboot program with that inside, a zstd frame of raw blocks, or a zboot program with a zstd payload as it is.
 */
#include <sys/mman.h>

#include "arch/image.h"
#include "base/endian.h"
#include "base/sys.h"
#include "tests/fuzz/bytes.h"

#define RAM UINT64_C(0x80000000)
#define SIZE MIB(4)
#define GUARD 4096

static int header(const uint8_t head[IMAGE_HEAD], struct image_header *ret, struct err *e)
{
	if (memcmp(head + 56, "RSC\x05", 4))
		return 0;
	*ret = (struct image_header){ get_le64(head + 8), get_le64(head + 16) };
	return 1;
}

/* A gzip member of stored blocks, with the checksum of what is in it. */
static size_t wrap_gzip(const uint8_t *data, size_t len, uint8_t *out)
{
	static const uint8_t head[10] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3 };
	uint32_t crc = UINT32_MAX;
	size_t n = 10;

	memcpy(out, head, sizeof(head));
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

/* A zstd frame of raw blocks without a checksum, and the size that zboot files have behind it. */
static size_t wrap_zstd(const uint8_t *data, size_t len, uint8_t *out)
{
	size_t n = 6;

	put_le32(out, 0xfd2fb528);
	out[4] = 0;
	out[5] = 8 << 3;
	for (size_t i = 0; i < len;) {
		size_t k = MIN(len - i, 60000);

		put_le32(out + n, (uint32_t)k << 3 | (i + k == len));
		memcpy(out + n + 3, data + i, k);
		n += 3 + k;
		i += k;
	}
	put_le32(out + n, (uint32_t)len);
	return n + 4;
}

static size_t zboot(const char *packing, uint8_t *out, size_t n)
{
	memset(out, 0, 64);
	memcpy(out, "MZ\0\0zimg", 8);
	memcpy(out + 24, packing, 4);
	put_le32(out + 8, 64);
	put_le32(out + 12, (uint32_t)n);
	return n + 64;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct memory *memory;
	static uint8_t packed[1 << 17];
	const struct memory_backing backing = { 0 };
	struct image_target t = {
		.ram_base = RAM, .ram_size = SIZE, .align = MIB(2), .flat_offset = MIB(2), .elf_machine = 243, .name = "riscv64", .header = header,
	};
	struct image_file f = { .path = "fuzz" };
	struct image im = { 0 };
	struct err e = { 0 };
	size_t n = 0;
	int r;

	if (!memory)
		MUST(memory_create(&memory) == 0 && memory_add(memory, RAM, SIZE, &backing, &e) == 0);
	if (size < 2 || size > 65000)
		return 0;
	t.memory = memory;
	switch (*data++ % 5) {
	case 0:
		memcpy(packed, data, n = size - 1);
		break;
	case 1:
		n = wrap_gzip(data, size - 1, packed);
		break;
	case 2:
		n = zboot("gzip", packed, wrap_gzip(data, size - 1, packed + 64));
		break;
	case 3:
		n = zboot("zstd", packed, wrap_zstd(data, size - 1, packed + 64));
		break;
	case 4:
		memcpy(packed + 64, data, size - 1);
		n = zboot("zstd", packed, size - 1);
		break;
	}
	f.fd = memfd_create("fuzz", MFD_CLOEXEC);
	MUST(f.fd >= 0 && sys_write_all(f.fd, packed, n) == 0);
	f.size = n;
	r = image_load(&f, &t, &im, &e);
	if (r < 0) {
		MUST(*e.text && !strchr(e.text, '\n') && strstr(e.text, "fuzz"));
	} else {
		MUST(im.start >= RAM && im.end >= im.start && im.end <= RAM + SIZE);
		MUST(im.entry >= RAM && im.entry < RAM + SIZE);
	}
	image_close(&f);
	return 0;
}
