// SPDX-License-Identifier: MIT
/*
 * Memory that must stay what it was put to, whatever the host does with it: all of RAM is filled with numbers that tell address, owner and round, which all harts check
 * and put anew, each in its slice, and in turn in another hart's.
 * Arguments: seconds=N; mib=N of RAM, at most; stride=N bytes from number to number; seed=N; idle=N ms after each round in which no memory is touched.
 */
#include "guest.h"

#define PAGE 4096UL
#define TURN 16 /* rounds with one slice */

extern char __bss_end[];

static uint64_t first, pages, stride, seed, idle, length_ms, end_time;
static volatile uint32_t arrived, turn, over, bad;
static volatile uint64_t rounds[MAX_HARTS];
static uint32_t written[MAX_HARTS]; /* slice -> the round it was last put in */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15;
	x ^= x >> 29;
	return x;
}

static uint64_t number(uint64_t address, uint32_t round)
{
	return mix(address ^ mix(seed << 32 | round));
}

static void slice_of(unsigned int n, uint64_t *from, uint64_t *to)
{
	*from = first + pages * n / machine.harts * PAGE;
	*to = first + pages * (n + 1) / machine.harts * PAGE;
}

static void complain(uint64_t at, uint64_t is, uint32_t round)
{
	if (__atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED) >= 5)
		return;
	for (uint32_t was = round; was-- > 0 && was + 1000 > round;)
		if (is == number(at, was)) {
			fail("memory", "0x%lx has round %u, should have round %u", at, was, round);
			return;
		}
	fail("memory", "0x%lx is 0x%lx, should be 0x%lx, of round %u", at, is, number(at, round), round);
}

static void put(unsigned int n, uint32_t round)
{
	uint64_t from, to;

	slice_of(n, &from, &to);
	for (uint64_t at = from; at < to; at += stride)
		write64(at, number(at, round));
	written[n] = round;
}

static void look(unsigned int n)
{
	uint64_t from, to, is;

	slice_of(n, &from, &to);
	for (uint64_t at = from; at < to; at += stride) {
		is = read64(at);
		if (is != number(at, written[n]))
			complain(at, is, written[n]);
	}
}

/* All harts, or the time is over for all. Returns whether to go on. */
static bool meet(uint32_t n)
{
	if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == machine.harts) {
		arrived = 0;
		/* Filling it does not count: on a busy host that takes long. */
		if (n == 0)
			end_time = now() + ms(length_ms);
		over = now() >= end_time;
		__atomic_store_n(&turn, n + 1, __ATOMIC_RELEASE);
	}
	while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) == n)
		;
	return !over;
}

static void work(void *ctx)
{
	unsigned int hart = this_hart(), n;

	(void)ctx;

	put(hart, 0);
	for (uint32_t t = 0; meet(t); t++) {
		if (t == 0 && hart == 0)
			print("READY");
		n = (hart + t) % machine.harts;
		for (unsigned int r = 0; r < TURN && (!rounds[hart] || now() < end_time); r++) {
			look(n);
			put(n, written[n] + 1);
			rounds[hart]++;
			if (idle)
				delay_ms(idle);
		}
	}
	look(hart);
}

void guest(void)
{
	uint64_t total = 0;

	stride = arg_number("stride", 256);
	seed = arg_number("seed", 1);
	idle = arg_number("idle", 0);
	first = ((uint64_t)__bss_end + PAGE - 1) & ~(PAGE - 1);
	pages = (machine.ram + machine.ram_size - first) / PAGE;
	if (pages > arg_number("mib", pages) << 8)
		pages = arg_number("mib", 0) << 8;
	length_ms = 1000 * arg_number("seconds", 10);
	harts_start();
	for (unsigned int h = 1; h < machine.harts; h++)
		start_on(h, work, NULL);
	work(NULL);
	for (unsigned int h = 1; h < machine.harts; h++)
		if (!join(h, 60000))
			fail("harts", "hart %u does not come to an end", h);
	for (unsigned int h = 0; h < machine.harts; h++)
		total += rounds[h];
	if (!bad)
		check(total > 0, "memory", "no round came to its end");
	print("ROUNDS %lu of %lu pages", total, pages);
}
