// SPDX-License-Identifier: MIT
/*
 * A hostile guest at the flash: the file is always what the array is, and a state is taken only if it can be. Input: operations of
 * three bytes and a value: what and width, block and word, command or data.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hw/cfi_flash.h"

#include "base/endian.h"
#include "tests/fuzz/bytes.h"

#define MAX_OPS 300
#define BASE UINT64_C(0x2000000)
#define SIZE (2 * CFI_FLASH_BLOCK)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Places that matter: the first words of a block, its last ones, and any. */
static uint64_t place(struct bytes *in)
{
	uint8_t b = (uint8_t)bytes_take(in, 1);
	uint64_t word = b >> 4 & 7;

	if (b & 0x80)
		word = CFI_FLASH_BLOCK / 4 - 1 - word;
	else if ((b & 0x70) == 0x70)
		word = bytes_take(in, 2) % (CFI_FLASH_BLOCK / 4);
	return (b & 1) * CFI_FLASH_BLOCK + word * 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t commands[] = { 0xff, 0x20, 0xd0, 0x40, 0xe8, 0x60, 0x01, 0x50, 0x70, 0x90, 0x98, 0x10, 0xb0, 0x2f, 0xf0, 0x03 };
	static uint8_t content[SIZE];
	static int fd = -1;
	static char path[40];
	struct cfi_flash_config config = { .path = path, .base = BASE, .room = MIB(16) };
	struct bytes in = { data, size };
	struct cfi_flash_state s;
	struct cfi_flash *flash;

	if (fd < 0) {
		fd = memfd_create("fuzz", MFD_CLOEXEC);
		MUST(fd >= 0 && !ftruncate(fd, SIZE));
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	memset(content, 0xff, SIZE);
	MUST(pwrite(fd, content, SIZE, 0) == SIZE);
	MUST(cfi_flash_create(&config, NULL, &flash, NULL) == 0 && cfi_flash_size(flash) == SIZE);
	for (unsigned int op = 0; op < MAX_OPS && in.len; op++) {
		uint8_t what = (uint8_t)bytes_take(&in, 1), buf[8] = { 0 };
		unsigned int len = what & 0x80 ? 1 + (what >> 4) % 8 : 4;
		uint64_t at = place(&in) + (what & 0x80 ? what & 3 : 0);

		if (what == 0xff) {
			cfi_flash_save(flash, &s);
			((uint8_t *)&s)[bytes_take(&in, 1) % sizeof(s)] ^= (uint8_t)bytes_take(&in, 1);
			cfi_flash_load(flash, &s);
		} else if (what & 4) {
			cfi_flash_bus_ops.read(flash, at, buf, len);
		} else if (what & 8) {
			put_le64(buf, bytes_take(&in, len));
			cfi_flash_bus_ops.write(flash, at, buf, len);
		} else {
			put_le64(buf, commands[bytes_take(&in, 1) % sizeof(commands)]);
			cfi_flash_bus_ops.write(flash, at, buf, len);
		}
	}
	cfi_flash_save(flash, &s);
	MUST(cfi_flash_load(flash, &s) == 0);
	cfi_flash_reset(flash);
	MUST(pread(fd, content, SIZE, 0) == SIZE);
	for (uint64_t i = 0; i < SIZE; i += i % CFI_FLASH_BLOCK < 64 || i % CFI_FLASH_BLOCK >= CFI_FLASH_BLOCK - 72 ? 8 : 56) {
		uint8_t word[8];

		cfi_flash_bus_ops.read(flash, i, word, 8);
		MUST(!memcmp(word, content + i, 8));
	}
	cfi_flash_destroy(flash);
	return 0;
}
