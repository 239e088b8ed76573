// SPDX-License-Identifier: MIT
#include "hw/cfi_flash.h"

#include <errno.h>
#include <linux/kvm.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/endian.h"
#include "hv/scripted.h"
#include "tests/test.h"

#define BASE UINT64_C(0x2000000)
#define ROOM MIB(16)
#define BLOCK CFI_FLASH_BLOCK
#define READY UINT32_C(0x00800080)

static int file;
static char path[40];

static void make_file(uint64_t size)
{
	char c;

	if (file > 0)
		close(file);
	file = memfd_create("flash", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	CHECK_EQ(ftruncate(file, (off_t)size), 0);
	for (uint64_t i = 0; i < size; i += BLOCK / 2) {
		c = (char)(i / (BLOCK / 2) + 1);
		CHECK_EQ(pwrite(file, &c, 1, (off_t)i), 1);
	}
}

static uint32_t in_file(uint64_t offset)
{
	uint8_t data[4] = { 0 };

	CHECK_EQ(pread(file, data, 4, (off_t)offset), 4);
	return get_le32(data);
}

static struct cfi_flash *flash;

static uint32_t in(uint64_t offset)
{
	uint8_t data[8] = { 0 };

	cfi_flash_bus_ops.read(flash, offset, data, 4);
	return get_le32(data);
}

static void out(uint64_t offset, uint32_t value)
{
	uint8_t data[8] = { 0 };

	put_le32(data, value);
	cfi_flash_bus_ops.write(flash, offset, data, 4);
}

/* A command goes to both chips. */
static void cmd(uint64_t offset, uint16_t command)
{
	out(offset, (uint32_t)command << 16 | command);
}

static uint32_t array(uint64_t offset)
{
	cmd(offset, 0xff);
	return in(offset);
}

static void create(void)
{
	const struct cfi_flash_config config = { .path = path, .base = BASE, .room = ROOM };
	struct err e = { 0 };

	CHECK_EQ(cfi_flash_create(&config, NULL, &flash, &e), 0);
}

static void test_identity(void)
{
	static const char qry[] = "QRY", pri[] = "PRI";

	make_file(MIB(1));
	create();
	CHECK_EQ(cfi_flash_size(flash), MIB(1));
	CHECK_EQ(in(0), 1);
	CHECK_EQ(in(BLOCK), 3);
	cmd(0x55 * 4, 0x98);
	for (unsigned int i = 0; i < 3; i++) {
		CHECK_EQ(in(4 * (0x10 + i)), qry[i] * 0x10001u);
		CHECK_EQ(in(4 * (0x31 + i)), pri[i] * 0x10001u);
	}
	CHECK_EQ(in(4 * 0x13), 0x10001); /* command set 0x0001 */
	CHECK_EQ(in(4 * 0x27), 0x130013); /* each chip has half */
	CHECK_EQ(in(4 * 0x2a), 0x60006);
	CHECK_EQ(in(4 * 0x2d), 0xf000f); /* 16 blocks of 32 KiB in each chip */
	CHECK_EQ(in(4 * 0x2e), 0);
	CHECK_EQ(in(4 * 0x2f), 0x800080);
	CHECK_EQ(in(4 * 0x3f), 0);
	CHECK_EQ(in(4 * 0x40), 0);
	CHECK_EQ(in(4 * 0x0f), 0);
	CHECK_EQ(in(MIB(1) - 4), 0);
	/* What a probe for another command set or another number of chips sends ends in the array. */
	out(0, 0xf0f0f0f0);
	CHECK_EQ(in(0), 1);
	cmd(0, 0x90);
	CHECK_EQ(in(0), 0x890089);
	CHECK_EQ(in(4), 0x180018);
	CHECK_EQ(in(8), 0);
	CHECK_EQ(array(BLOCK), 3);
	cfi_flash_destroy(flash);
}

static void test_program_and_erase(void)
{
	make_file(256 << 10);
	create();
	/* A word: bits only go from 1 to 0. */
	cmd(BLOCK, 0x20);
	CHECK_EQ(in(0), READY);
	cmd(BLOCK + 0x1230, 0xd0);
	CHECK_EQ(in(BLOCK), READY);
	CHECK_EQ(array(BLOCK), UINT32_MAX);
	CHECK_EQ(in(2 * BLOCK - 4), UINT32_MAX);
	CHECK_EQ(in(2 * BLOCK), 5);
	CHECK_EQ(in(BLOCK / 2), 2);
	CHECK_EQ(in_file(BLOCK), UINT32_MAX);
	cmd(BLOCK + 8, 0x40);
	out(BLOCK + 8, 0x12345678);
	CHECK_EQ(in(BLOCK + 8), READY);
	CHECK_EQ(in_file(BLOCK + 8), 0x12345678);
	cmd(BLOCK + 8, 0x10);
	out(BLOCK + 8, 0xff00ff0f);
	CHECK_EQ(array(BLOCK + 8), 0x12005608);
	CHECK_EQ(in_file(BLOCK + 8), 0x12005608);
	CHECK_EQ(in(BLOCK + 4), UINT32_MAX);
	CHECK_EQ(in(BLOCK + 12), UINT32_MAX);

	/* Buffered: 32 words at the end of a block. */
	cmd(BLOCK, 0xe8);
	CHECK_EQ(in(BLOCK), READY);
	cmd(BLOCK, 31);
	for (uint32_t i = 0; i < 32; i++)
		out(2 * BLOCK - 128 + 4 * i, i << 24 | i);
	CHECK_EQ(in_file(2 * BLOCK - 4), UINT32_MAX);
	cmd(BLOCK, 0xd0);
	CHECK_EQ(in(BLOCK), READY);
	for (uint32_t i = 0; i < 32; i++)
		CHECK_EQ(in_file(2 * BLOCK - 128 + 4 * i), i << 24 | i);
	CHECK_EQ(in_file(2 * BLOCK - 132), UINT32_MAX);
	/* Out of order and with a gap. */
	cmd(BLOCK, 0xe8);
	cmd(BLOCK, 2);
	out(BLOCK + 0x100, 1);
	out(BLOCK + 0x108, 2);
	out(BLOCK + 0x108, 3);
	cmd(BLOCK, 0xd0);
	CHECK_EQ(array(BLOCK + 0x100), 1);
	CHECK_EQ(in(BLOCK + 0x104), UINT32_MAX);
	CHECK_EQ(in(BLOCK + 0x108), 3);
	CHECK_EQ(in_file(2 * BLOCK), 5);
	cfi_flash_destroy(flash);
	/* The next guest finds it. */
	create();
	CHECK_EQ(in(BLOCK + 8), 0x12005608);
	cfi_flash_destroy(flash);
}

static void test_mistakes(void)
{
	make_file(256 << 10);
	create();
	cmd(0, 0x20); /* erase, not confirmed */
	cmd(0, 0xff);
	CHECK_EQ(in(0), READY | 0x00300030);
	cmd(0, 0x50);
	CHECK_EQ(in(0), READY);
	cmd(0, 0xe8); /* more than the buffer */
	cmd(0, 32);
	CHECK_EQ(in(0), READY | 0x00300030);
	cmd(0, 0x50);
	cmd(0, 0xe8); /* not confirmed */
	cmd(0, 0);
	out(4, 0);
	cmd(0, 0xff);
	CHECK_EQ(in(0), READY | 0x00300030);
	CHECK_EQ(array(4), 0);
	cmd(0, 0x50);
	/* Words before the first, behind the last, and over the block's end. */
	for (unsigned int i = 0; i < 3; i++) {
		const uint64_t second[] = { BLOCK - 8, BLOCK + 4, BLOCK };

		cmd(0, 0x50);
		cmd(0, 0xe8);
		cmd(0, 1);
		out(i == 2 ? BLOCK - 4 : BLOCK - 4 - 4 * i, 0);
		out(second[i], 0);
		CHECK_EQ(in(0), READY | 0x00300030);
		CHECK_EQ(in_file(BLOCK), 3);
	}
	CHECK_EQ(array(0), 1);
	cmd(0, 0x50);
	/* Locked. */
	cmd(BLOCK + 4, 0x60);
	cmd(BLOCK + 4, 0x01);
	CHECK_EQ(in(0), READY);
	cmd(0, 0x90);
	CHECK_EQ(in(8), 0);
	CHECK_EQ(in(BLOCK + 8), 0x10001);
	CHECK_EQ(in(2 * BLOCK + 8), 0);
	cmd(BLOCK, 0x20);
	cmd(BLOCK, 0xd0);
	CHECK_EQ(in(0), READY | 0x00220022);
	cmd(0, 0x50);
	cmd(BLOCK, 0x40);
	out(BLOCK, 0);
	CHECK_EQ(in(0), READY | 0x00120012);
	CHECK_EQ(array(BLOCK), 3);
	cmd(0, 0x50);
	cmd(BLOCK, 0x60);
	cmd(BLOCK, 0xd0);
	cmd(BLOCK, 0x40);
	out(BLOCK, 0);
	CHECK_EQ(in(0), READY);
	CHECK_EQ(array(BLOCK), 0);
	cmd(0, 0x60);
	cmd(0, 0x77);
	CHECK_EQ(in(0), READY | 0x00300030);
	cmd(0, 0x2f);
	cmd(0, 0x50);
	/* Suspend and resume: there is nothing. */
	cmd(0, 0xb0);
	CHECK_EQ(in(0), READY);
	cmd(0, 0xd0);
	CHECK_EQ(in(0), READY);
	CHECK_EQ(array(0), 1);
	/* Other widths, other places. */
	for (unsigned int len = 1; len <= 8; len++) {
		uint8_t data[8];

		memset(data, 0x98, sizeof(data));
		if (len != 4)
			cfi_flash_bus_ops.write(flash, 0, data, len);
		cfi_flash_bus_ops.write(flash, 2, data, len);
		cfi_flash_bus_ops.write(flash, (256 << 10) - 3, data, len);
		cfi_flash_bus_ops.write(flash, UINT64_MAX - 3, data, len);
		CHECK_EQ(in(0), 1);
		memset(data, 0x77, sizeof(data));
		cfi_flash_bus_ops.read(flash, (256 << 10) - 4, data, len);
		CHECK_EQ(data[0], len <= 4 ? 0 : 0x77);
		CHECK_EQ(data[4], 0x77);
		cfi_flash_bus_ops.read(flash, UINT64_MAX, data, len);
	}
	/* Reads of parts of a word. */
	cmd(0, 0x90);
	for (unsigned int i = 0; i < 8; i++) {
		uint8_t byte = 0;

		cfi_flash_bus_ops.read(flash, i, &byte, 1);
		CHECK_EQ(byte, i & 1 ? 0 : i < 4 ? 0x89 : 0x18);
	}
	cfi_flash_destroy(flash);
}

static unsigned int said;
static char last[200];

static void say(void *ctx, enum log_level level, const char *line)
{
	said++;
	snprintf(last, sizeof(last), "%s", line);
}

static void test_write_failure(void)
{
	const struct log log = { .emit = say, .level = LOG_DEBUG };
	const struct cfi_flash_config config = { .path = path, .base = BASE, .room = ROOM, .log = &log };

	close(file);
	file = memfd_create("flash", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	CHECK_EQ(ftruncate(file, 200000), 0);
	said = 0;
	CHECK_EQ(cfi_flash_create(&config, NULL, &flash, NULL), 0);
	CHECK_EQ(said, 1);
	CHECK(strstr(last, "128 KiB"));
	CHECK_EQ(cfi_flash_size(flash), 128 << 10);
	CHECK_EQ(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE), 0);
	for (unsigned int i = 0; i < 2; i++) {
		cmd(0, 0x20);
		cmd(0, 0xd0);
		CHECK_EQ(in(0), READY | 0x00200020);
		CHECK_EQ(array(0), 0);
		CHECK_EQ(said, 2);
	}
	CHECK(strstr(last, "cannot be written"));
	cfi_flash_destroy(flash);
}

/* The memory slot is there in array mode only, and absent where the host cannot have it. */
static void test_slot(void)
{
	static const struct scripted_cap caps[] = { { KVM_CAP_READONLY_MEM, 1 } };
	uint8_t data[8], *word = data;

	make_file(MIB(1));
	for (unsigned int n_caps = 0; n_caps < 2; n_caps++) {
		const struct scripted_config sc = { .caps = caps, .n_caps = n_caps };
		struct cfi_flash_config config = { .path = path, .base = BASE, .room = ROOM, .slot = 3 };
		struct bus_reader reader = { .next = NULL };
		struct bus *bus;

		CHECK_EQ(hv_scripted_create(&sc, &config.hv), 0);
		CHECK_EQ(bus_create(&bus), 0);
		bus_add_reader(bus, &reader);
		CHECK_EQ(cfi_flash_create(&config, bus, &flash, NULL), 0);
		CHECK_EQ(hv_scripted_memory_slots(config.hv), n_caps);
		CHECK_EQ(hv_scripted_guest_read(config.hv, BASE + BLOCK, word, 4), n_caps == 1);
		put_le32(data, 0x00980098);
		CHECK(!hv_scripted_guest_write(config.hv, BASE, data, 4));
		CHECK(bus_write(bus, &reader, BASE, data, 4));
		CHECK_EQ(hv_scripted_memory_slots(config.hv), 0);
		CHECK(!hv_scripted_guest_read(config.hv, BASE + 0x40, word, 4));
		CHECK(bus_read(bus, &reader, BASE + 0x40, data, 4));
		CHECK_EQ(get_le32(data), 0x00510051);
		cmd(0, 0x40);
		out(BLOCK, 0xfffffff2);
		cmd(0, 0xff);
		CHECK_EQ(hv_scripted_memory_slots(config.hv), n_caps);
		memset(data, 0, 4);
		if (n_caps)
			CHECK(hv_scripted_guest_read(config.hv, BASE + BLOCK, word, 4));
		else
			CHECK(bus_read(bus, &reader, BASE + BLOCK, data, 4));
		CHECK_EQ(get_le32(data), 2);
		cfi_flash_destroy(flash);
		CHECK_EQ(hv_scripted_memory_slots(config.hv), 0);
		CHECK(!bus_read(bus, &reader, BASE, data, 4));
		bus_remove_reader(bus, &reader);
		bus_destroy(bus);
		hv_destroy(config.hv);
	}
	/* Every call fails once: it still is a flash. */
	for (unsigned long nth = 1; nth <= 3; nth++) {
		const struct scripted_config sc = { .caps = caps, .n_caps = 1, .fail_nth = nth };
		struct cfi_flash_config config = { .path = path, .base = BASE, .room = ROOM, .slot = 3 };

		CHECK_EQ(hv_scripted_create(&sc, &config.hv), 0);
		CHECK_EQ(cfi_flash_create(&config, NULL, &flash, NULL), 0);
		cmd(0, 0x98);
		CHECK_EQ(in(0x40), 0x00510051);
		CHECK_EQ(array(0), 1);
		cmd(0, 0x70);
		CHECK_EQ(hv_scripted_memory_slots(config.hv), 0);
		cfi_flash_destroy(flash);
		hv_destroy(config.hv);
	}
}

static void test_files(void)
{
	struct cfi_flash_config config = { .path = "/nowhere/flash", .base = BASE, .room = ROOM };
	struct cfi_flash *second = NULL;
	struct err e = { 0 };

	CHECK_EQ(cfi_flash_create(&config, NULL, &second, &e), -ENOENT);
	CHECK(strstr(e.text, "/nowhere/flash"));
	e = (struct err){ 0 };
	config.path = "/";
	CHECK_EQ(cfi_flash_create(&config, NULL, &second, &e), -EINVAL);
	CHECK(strstr(e.text, "no file"));
	e = (struct err){ 0 };
	config.path = "/dev/null";
	CHECK_EQ(cfi_flash_create(&config, NULL, &second, &e), -EINVAL);
	CHECK(strstr(e.text, "no file"));
	e = (struct err){ 0 };
	config.path = path;
	make_file(BLOCK - 1);
	CHECK_EQ(cfi_flash_create(&config, NULL, &second, &e), -EINVAL);
	CHECK(strstr(e.text, "too small"));
	make_file(BLOCK);
	create();
	e = (struct err){ 0 };
	CHECK_EQ(cfi_flash_create(&config, NULL, &second, &e), -EBUSY);
	CHECK(strstr(e.text, "another guest"));
	CHECK(!second);
	cfi_flash_destroy(flash);
	make_file(MIB(40));
	create();
	CHECK_EQ(cfi_flash_size(flash), MIB(16));
	cmd(0, 0x98);
	CHECK_EQ(in(4 * 0x2d), 0xff00ff);
	CHECK_EQ(in(4 * 0x27), 0x170017);
	cfi_flash_destroy(flash);
	cfi_flash_destroy(NULL);
}

static void test_state(void)
{
	struct cfi_flash_state s, bad;
	struct dt dt;
	void *blob;
	size_t size;

	make_file(MIB(1));
	create();
	cmd(BLOCK, 0x60);
	cmd(BLOCK, 0x01);
	cmd(0, 0xe8);
	cmd(0, 3);
	out(2 * BLOCK - 8, 5);
	out(2 * BLOCK - 4, 6);
	cfi_flash_save(flash, &s);
	/* On in another life, up to the end of the buffered program: its last two words lie outside the block. */
	cfi_flash_reset(flash);
	CHECK_EQ(in(0), 1);
	CHECK_EQ(cfi_flash_load(flash, &s), 0);
	CHECK_EQ(in(0), READY);
	out(2 * BLOCK, 7);
	CHECK_EQ(in(0), READY | 0x00300030);
	CHECK_EQ(cfi_flash_load(flash, &s), 0);
	out(2 * BLOCK - 8, 5);
	out(2 * BLOCK - 4, 4);
	cmd(0, 0xd0);
	CHECK_EQ(in(0), READY | 0x00120012); /* it is locked */
	/* States that cannot be. */
#define BAD(...)                                                                                                                \
	do {                                                                                                                    \
		bad = s;                                                                                                        \
		__VA_ARGS__;                                                                                                    \
		CHECK_EQ(cfi_flash_load(flash, &bad), -EINVAL);                                                                 \
	} while (0)
	BAD(bad.version++);
	BAD(bad.mode = 4);
	BAD(bad.expects = 7);
	BAD(bad.status = 0x80);
	BAD(bad.count = 0);
	BAD(bad.count = 33);
	BAD(bad.filled = 5);
	BAD(bad.filled = 4);
	BAD(bad.mask = 0x10);
	BAD(bad.mask = 0x4); /* over the block's end */
	BAD(bad.start = (uint32_t)MIB(1));
	BAD(bad.start += 2);
	CHECK_EQ(dt_start(&dt), 0);
	dt_begin(&dt, "%s", "");
	cfi_flash_write_dt(flash, &dt);
	dt_end(&dt);
	CHECK_EQ(dt_finish(&dt, &blob, &size), 0);
	CHECK(memmem(blob, size, "cfi-flash", 10) && memmem(blob, size, "System-firmware", 16) && memmem(blob, size, "flash@2000000", 14));
	free(blob);
	cfi_flash_destroy(flash);
}

int main(void)
{
	test_identity();
	test_program_and_erase();
	test_mistakes();
	test_write_failure();
	test_slot();
	test_files();
	test_state();
	return test_result();
}
