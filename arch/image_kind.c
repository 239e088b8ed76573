// SPDX-License-Identifier: MIT
/* What a file is that is no kernel: known magic numbers, and text. */
#include <errno.h>

#include "arch/image_kind.h"
#include "base/endian.h"
#include "base/util.h"

#define PACKED "only gzip and zstd are understood: unpack it first"
#define INITRD "give the kernel, and this with -i"
#define ROOT "give the kernel, and this with -d"
#define KERNEL "give the kernel's Image"

static const struct {
	const char *name, *cure;
	uint8_t len;
	uint8_t magic[8];
} foreign[] = {
	{ "packed with xz", PACKED, 6, { 0xfd, '7', 'z', 'X', 'Z', 0 } },
	{ "packed twice, with zstd inside", "unpack it first", 4, { 0x28, 0xb5, 0x2f, 0xfd } },
	{ "packed with bzip2", PACKED, 3, { 'B', 'Z', 'h' } },
	{ "packed with lz4", PACKED, 4, { 0x04, 0x22, 0x4d, 0x18 } },
	{ "packed with lz4", PACKED, 4, { 0x02, 0x21, 0x4c, 0x18 } },
	{ "packed with lzo", PACKED, 5, { 0x89, 'L', 'Z', 'O', 0 } },
	{ "a cpio archive", INITRD, 6, { '0', '7', '0', '7', '0', '1' } },
	{ "a cpio archive", INITRD, 6, { '0', '7', '0', '7', '0', '2' } },
	{ "a cpio archive", INITRD, 6, { '0', '7', '0', '7', '0', '7' } },
	{ "a squashfs file system", ROOT, 4, { 'h', 's', 'q', 's' } },
	{ "an XFS file system", ROOT, 4, { 'X', 'F', 'S', 'B' } },
	{ "a qcow2 disk image", KERNEL, 4, { 'Q', 'F', 'I', 0xfb } },
	{ "an ar archive (or a .deb package)", KERNEL, 8, { '!', '<', 'a', 'r', 'c', 'h', '>', '\n' } },
	{ "an RPM package", KERNEL, 4, { 0xed, 0xab, 0xee, 0xdb } },
	{ "a ZIP archive", KERNEL, 4, { 'P', 'K', 3, 4 } },
	{ "a 7-Zip archive", KERNEL, 6, { '7', 'z', 0xbc, 0xaf, 0x27, 0x1c } },
	{ "a PNG picture", KERNEL, 8, { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' } },
	{ "a JPEG picture", KERNEL, 3, { 0xff, 0xd8, 0xff } },
	{ "a PDF document", KERNEL, 5, { '%', 'P', 'D', 'F', '-' } },
	{ "a device tree blob", KERNEL, 4, { 0xd0, 0x0d, 0xfe, 0xed } },
	{ "a U-Boot image", "give the Image inside", 4, { 0x27, 0x05, 0x19, 0x56 } },
	{ "a script", KERNEL, 3, { '#', '!', '/' } },
	{ "a script", KERNEL, 3, { '#', '!', ' ' } },
};

/* Headers of kernels; each is a foreign one where the architecture did not know it as its own. */
static const struct {
	const char *name;
	uint16_t offset;
	uint8_t magic[4];
} kernels[] = {
	{ "an x86 kernel", 514, { 'H', 'd', 'r', 'S' } },
	{ "an arm64 kernel", 56, { 'A', 'R', 'M', 0x64 } },
	{ "a riscv kernel", 56, { 'R', 'S', 'C', 5 } },
	{ "an arm zImage", 36, { 0x18, 0x28, 0x6f, 0x01 } },
};

static bool has(const uint8_t *head, size_t n, size_t offset, const uint8_t *magic, size_t len)
{
	return n >= len && offset <= n - len && !memcmp(head + offset, magic, len);
}

/* UTF-8 without control characters but those that text has; a character may be cut off at the end. */
static bool is_text(const uint8_t *p, size_t n)
{
	unsigned int more = 0;

	for (size_t i = 0; i < n; i++) {
		if (more) {
			if ((p[i] & 0xc0) != 0x80)
				return false;
			more--;
		} else if (p[i] >= 0xc2 && p[i] <= 0xf4) {
			more = p[i] < 0xe0 ? 1 : p[i] < 0xf0 ? 2 : 3;
		} else if (p[i] >= 0x7f || (p[i] < ' ' && !(p[i] >= '\t' && p[i] <= '\r') && p[i] != 0x1b)) {
			return false;
		}
	}
	return n > 0;
}

/* Two bytes of magic are too few for a file that may be code: the fields around must fit, too. */
static bool is_ext(const uint8_t *p, size_t n)
{
	return n >= 1104 && get_le16(p + 1080) == 0xef53 && get_le16(p + 1082) <= 7 && get_le32(p + 1100) <= 1;
}

static bool is_disk(const uint8_t *p, size_t n)
{
	if (n < 512 || get_le16(p + 510) != 0xaa55)
		return false;
	for (unsigned int i = 0; i < 4; i++)
		if (p[446 + 16 * i] & 0x7f)
			return false;
	return true;
}

static int refuse(const char *path, const char *name, const char *cure, struct err *e)
{
	return err_set(e, -EINVAL, "kernel %s is %s: %s", path, name, cure);
}

int image_refuse_file(const char *path, const uint8_t *head, size_t n, struct err *e)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(foreign); i++)
		if (has(head, n, 0, foreign[i].magic, foreign[i].len))
			return refuse(path, foreign[i].name, foreign[i].cure, e);
	return 0;
}

int image_refuse_flat(const char *path, const char *machine, const uint8_t *head, size_t n, struct err *e)
{
	static const uint16_t machines[] = { 0x014c, 0x01c0, 0x01c2, 0x01c4, 0x5032, 0x5064, 0x6264, 0x8664, 0xaa64 };
	uint32_t pe;

	for (unsigned int i = 0; i < ARRAY_SIZE(kernels); i++)
		if (has(head, n, kernels[i].offset, kernels[i].magic, 4))
			return err_set(e, -EINVAL, "kernel %s is %s, and this guest is %s: give one for that", path, kernels[i].name, machine);
	if (n >= 64 && head[0] == 'M' && head[1] == 'Z') {
		pe = get_le32(head + 60);
		for (unsigned int i = 0; i < ARRAY_SIZE(machines) && pe <= n - 6 && !memcmp(head + pe, "PE\0\0", 4); i++)
			if (get_le16(head + pe + 4) == machines[i])
				return err_set(e, -EINVAL, "kernel %s is an EFI or Windows program (machine 0x%x) without a Linux kernel for %s: " KERNEL,
					       path, machines[i], machine);
	}
	if (is_ext(head, n))
		return refuse(path, "an ext2, ext3 or ext4 file system", ROOT, e);
	if (is_disk(head, n))
		return refuse(path, "a disk with a partition table", ROOT, e);
	if (has(head, n, 257, (const uint8_t *)"ustar", 5))
		return refuse(path, "a tar archive", KERNEL, e);
	if (is_text(head, n))
		return refuse(path, "text", KERNEL, e);
	return 0;
}
