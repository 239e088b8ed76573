// SPDX-License-Identifier: MIT
/*
 * Flash memory as Linux's cfi driver and UEFI use it: two chips of 16 bits on a bus of 32. What is programmed stays in the host's file; "magic=N" is what the first word of
 * block 3 becomes, "was=N" what it is before.
 */
#include "guest.h"

#define FLASH 0x02000000
#define BLOCK 0x10000
#define READY 0x00800080u
#define BOTH(v) ((uint32_t)(v) * 0x10001)

static void command(uint64_t offset, uint8_t what)
{
	write32(FLASH + offset, BOTH(what));
}

static uint32_t word(uint64_t offset)
{
	return read32(FLASH + offset);
}

static uint32_t array(uint64_t offset)
{
	command(offset, 0xff);
	return word(offset);
}

static void erase(uint64_t offset)
{
	command(offset, 0x20);
	command(offset, 0xd0);
}

static void program(uint64_t offset, uint32_t value)
{
	command(offset, 0x40);
	write32(FLASH + offset, value);
}

static void test_query(void)
{
	command(0x55 * 4, 0x98);
	check(word(0x10 * 4) == BOTH('Q') && word(0x11 * 4) == BOTH('R') && word(0x12 * 4) == BOTH('Y'), "query", "%x %x %x", word(0x40), word(0x44),
	      word(0x48));
	check_equal("query: command set", word(0x13 * 4), BOTH(1));
	check_equal("query: block size", word(0x2f * 4) & 0xff, 0x80);
	command(0, 0x90);
	check_equal("manufacturer", word(0), BOTH(0x89));
	command(0, 0xff);
}

static void test_program(void)
{
	erase(BLOCK);
	check_equal("erase: status", word(BLOCK), READY);
	check_equal("erase: first word", array(BLOCK), UINT32_MAX);
	check_equal("erase: last word", word(2 * BLOCK - 4), UINT32_MAX);
	program(BLOCK + 0x100, 0x12345678);
	check_equal("program: status", word(BLOCK), READY);
	check_equal("program", array(BLOCK + 0x100), 0x12345678);
	program(BLOCK + 0x100, 0xffff0000);
	check_equal("program: bits are only cleared", array(BLOCK + 0x100), 0x12340000);
	command(BLOCK, 0xe8);
	command(BLOCK, 31);
	for (uint32_t i = 0; i < 32; i++)
		write32(FLASH + BLOCK + 0x200 + 4 * i, i << 16);
	command(BLOCK, 0xd0);
	check_equal("buffer: status", word(BLOCK), READY);
	command(BLOCK, 0xff);
	for (uint32_t i = 0; i < 32; i++)
		if (word(BLOCK + 0x200 + 4 * i) != i << 16)
			check_equal("buffer: a word", word(BLOCK + 0x200 + 4 * i), i << 16);
	check_equal("buffer: the word behind", word(BLOCK + 0x280), UINT32_MAX);
	check(read8(FLASH + BLOCK + 0x206) == 1 && read16(FLASH + BLOCK + 0x206) == 1 && read64(FLASH + BLOCK + 0x200) == 0x1000000000000, "narrow and wide reads",
	      "%x", read8(FLASH + BLOCK + 0x206));
}

static void test_lock(void)
{
	command(2 * BLOCK, 0x60);
	command(2 * BLOCK, 0x01);
	erase(2 * BLOCK);
	check_equal("a locked block is not erased", word(0), READY | BOTH(0x22));
	command(0, 0x50);
	command(0, 0x90);
	check_equal("its lock shows", word(2 * BLOCK + 8), BOTH(1));
	command(2 * BLOCK, 0x60);
	command(2 * BLOCK, 0xd0);
	erase(2 * BLOCK);
	check_equal("unlocked, it is", word(0), READY);
	check_equal("unlocked: array", array(2 * BLOCK), UINT32_MAX);
}

/* The shortest time that so many reads take: an exit costs each of them, a host that is busy elsewhere only some. */
static uint64_t cost(unsigned int n)
{
	uint64_t least = UINT64_MAX;

	for (unsigned int round = 0; round < 10; round++) {
		uint64_t t = now();

		for (unsigned int i = 0; i < n; i++)
			(void)word(0);
		t = now() - t;
		least = t < least ? t : least;
	}
	return least;
}

/* Reads of the array cost no exit: they are far cheaper than those of the status. */
static void test_cost(void)
{
	const unsigned int n = 200;
	uint64_t slow, fast;

	command(0, 0x70);
	slow = cost(n);
	command(0, 0xff);
	fast = cost(n);
	check(fast * 4 < slow, "the array reads without exits", "%u reads took %u us, as many of the status %u us", n, (unsigned int)in_us(fast),
	      (unsigned int)in_us(slow));
}

void guest(void)
{
	uint64_t magic = arg_number("magic", 0x600df1a5);

	check_equal("what was there", array(3 * BLOCK), arg_number("was", UINT32_MAX));
	test_query();
	test_program();
	test_lock();
	test_cost();
	erase(3 * BLOCK);
	program(3 * BLOCK, (uint32_t)magic);
	check_equal("what is left there", array(3 * BLOCK), magic);
}
