// SPDX-License-Identifier: MIT
/* Channel programs: each check of a CCW, IDAW and MIDAW, chaining, lengths, status. */
#include "hw/css_rig_test.h"

static uint8_t guest_byte(struct rig *r, uint64_t at)
{
	uint8_t b = 0xee;

	CHECK_EQ(memory_read(r->memory, at, &b, 1), 0);
	return b;
}

static void wipe(struct rig *r)
{
	CHECK_EQ(memory_zero(r->memory, 0, RAM_SIZE), 0);
	r->next = PROGRAM;
}

static void test_basic_commands(void)
{
	struct css_sense_id id;
	uint8_t sense[32];
	struct rig r;

	rig_start(&r);
	ccw(&r, CCW_CMD_SENSE_ID, 0, sizeof(id), DATA);
	RUN_GOOD(&r, 1, 0);
	CHECK_EQ(memory_read(r.memory, DATA, &id, sizeof(id)), 0);
	CHECK_EQ(id.ff, 0xff);
	CHECK_EQ(get_be16(id.cu_type), 0x3832);
	CHECK_EQ(id.cu_model, 2);
	CHECK_EQ(get_be16(id.dev_type), 0x1234);
	CHECK_EQ(id.dev_model, 5);
	/* Unit check without concurrent sense: SENSE gets it, once; another command loses it. */
	ccw(&r, CMD_CHECK, CCW_CC, 0, 0);
	ccw(&r, CMD_CONTROL, 0, 0, 0);
	RUN(&r, DONE_BADLY, GOOD_END | DSTAT_UNIT_CHECK, 0, 1, 0);
	CHECK_EQ(r.dev.commands, 1);
	ccw(&r, CCW_CMD_NOP, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_SENSE, 0, 32, DATA);
	RUN_GOOD(&r, 2, 0);
	CHECK_EQ(memory_read(r.memory, DATA, sense, sizeof(sense)), 0);
	CHECK_EQ(get_be32(sense), 0x20010203);
	RUN_GOOD(&r, 2, 0);
	CHECK_EQ(guest_byte(&r, DATA), 0);
	ccw(&r, 0xff, 0, 0, 0);
	RUN(&r, DONE_BADLY, GOOD_END | DSTAT_UNIT_CHECK, 0, 1, 0);
	ccw(&r, CCW_CMD_SENSE, 0, 32, DATA);
	RUN_GOOD(&r, 1, 0);
	CHECK_EQ(guest_byte(&r, DATA), SENSE_COMMAND_REJECT);
	ccw(&r, CMD_CHECK, 0, 0, 0);
	RUN(&r, DONE_BADLY, GOOD_END | DSTAT_UNIT_CHECK, 0, 1, 0);
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_SENSE, 0, 32, DATA);
	RUN_GOOD(&r, 2, 0);
	CHECK_EQ(guest_byte(&r, DATA), 0);
	/* Unit exception ends a chain as well; status modifier skips a CCW. */
	ccw(&r, CMD_EXCEPTION, CCW_CC | CCW_SLI, 3, DATA);
	ccw(&r, CMD_CONTROL, 0, 0, 0);
	RUN(&r, DONE_BADLY, GOOD_END | DSTAT_UNIT_EXCEPTION, 0, 1, 3);
	ccw(&r, CMD_MODIFIER, CCW_CC, 0, 0);
	ccw(&r, CMD_CHECK, 0, 0, 0);
	ccw(&r, CMD_CONTROL, 0, 0, 0);
	RUN_GOOD(&r, 3, 0);
	ccw(&r, CMD_MODIFIER, 0, 0, 0);
	RUN(&r, DONE, GOOD_END | DSTAT_STATUS_MODIFIER, 0, 1, 0);
	/* The device's own program check. */
	ccw(&r, CMD_BROKEN, CCW_CC, 0, 0);
	RUN_DATA_CHECK(&r, 1, 0);
	rig_stop(&r);
}

static void test_ccw_checks(void)
{
	struct rig r;

	rig_start(&r);
	for (unsigned int format = 0; format < 2; format++) {
		r.orb = 0x8000 | (format ? ORB_FORMAT1 : 0);
		/* Invalid command: four zeroes, or TIC first. Not looked at when data is chained. */
		for (unsigned int cmd = 0; cmd < 256; cmd += 16) {
			ccw(&r, (uint8_t)cmd, 0, 1, 0);
			RUN_CHECK(&r, 1);
		}
		ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM + 8);
		ccw(&r, CCW_CMD_NOP, 0, 1, 0);
		RUN_CHECK(&r, 1);
		/* ...on command chaining too, named by its own address. */
		ccw(&r, CCW_CMD_NOP, CCW_CC | CCW_SLI, 1, 0);
		ccw(&r, 0xf0, 0, 1, 0);
		RUN_CHECK(&r, 2);
		/* The suspend flag without suspend control. */
		ccw(&r, CCW_CMD_NOP, CCW_SUSPEND, 1, 0);
		RUN_CHECK(&r, 1);
		/* MIDA without MIDAW control; with IDA, with skip. */
		ccw(&r, CMD_READ, CCW_MIDA, 1, LISTS);
		RUN_CHECK(&r, 1);
		r.orb |= ORB_MIDAW;
		ccw(&r, CMD_READ, CCW_MIDA | CCW_IDA, 1, LISTS);
		RUN_CHECK(&r, 1);
		ccw(&r, CMD_READ, CCW_MIDA | CCW_SKIP, 1, LISTS);
		RUN_CHECK(&r, 1);
		/* Where CCWs are not: past the end of storage; not on a doubleword. */
		CHECK_EQ(ssch_at(&r, RAM_SIZE), 0);
		CHECK_EQ(tsch(&r), 0);
		CHECK_EQ(r.irb.scsw.cstat, CSTAT_PROGRAM_CHECK);
		CHECK_EQ(IRB_CPA(&r), RAM_SIZE + 8);
		CHECK_EQ(IRB_CTRL(&r), DONE_BADLY);
		(r.orb & ORB_FORMAT1 ? put_ccw1 : put_ccw0)(&r, PROGRAM + 4, CMD_CONTROL, CCW_SLI, 1, 0);
		CHECK_EQ(ssch_at(&r, PROGRAM + 4), 0);
		CHECK_EQ(tsch(&r), 0);
		CHECK_EQ(r.irb.scsw.cstat, CSTAT_PROGRAM_CHECK);
		CHECK_EQ(IRB_CPA(&r), PROGRAM + 12);
		CHECK_EQ(r.dev.commands, 0);
		/* The last CCW of storage chains to what is none. */
		r.next = RAM_SIZE - 8;
		ccw(&r, CCW_CMD_NOP, CCW_CC | CCW_SLI, 1, 0);
		CHECK_EQ(ssch_at(&r, RAM_SIZE - 8), 0);
		CHECK_EQ(tsch(&r), 0);
		CHECK_EQ(r.irb.scsw.cstat, CSTAT_PROGRAM_CHECK);
		CHECK_EQ(IRB_CPA(&r), RAM_SIZE + 8);
	}
	/* Format 0 addresses end at 16 MiB. */
	r.orb = 0x8000;
	CHECK_EQ(ssch_at(&r, 0x1000000), 0);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(r.irb.scsw.cstat, CSTAT_PROGRAM_CHECK);
	put_ccw0(&r, 0xfffff8, CCW_CMD_NOP, CCW_CC, 1, 0);
	CHECK_EQ(ssch_at(&r, 0xfffff8), 0);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_CPA(&r), 0x1000008);
	/* Format 1 addresses at 2 GiB; other commands that end like TIC are none. */
	r.orb = 0x8000 | ORB_FORMAT1;
	ccw(&r, CCW_CMD_NOP, 0, 1, 0x80000000);
	RUN_CHECK(&r, 1);
	ccw(&r, 0x18, 0, 0, PROGRAM + 8);
	RUN_CHECK(&r, 1);
	CHECK_EQ(r.dev.commands, 0);
	rig_stop(&r);
}

static void test_counts(void)
{
	struct rig r;

	rig_start(&r);
	r.dev.want = 4;
	/* Zero: never in format 0; in format 1 not where data is chained. */
	r.orb = 0x8000;
	ccw(&r, CCW_CMD_NOP, 0, 0, 0);
	RUN_CHECK(&r, 1);
	r.orb |= ORB_FORMAT1;
	ccw(&r, CMD_READ, CCW_CD, 0, DATA);
	RUN_CHECK(&r, 1);
	ccw(&r, CMD_READ, CCW_CD, 2, DATA);
	ccw(&r, 0, 0, 0, DATA);
	RUN_DATA_CHECK(&r, 2, 0);
	CHECK_EQ(guest_byte(&r, DATA + 1), 2);
	/* A count of zero for a command with data. */
	ccw(&r, CMD_READ, 0, 0, DATA);
	RUN(&r, DONE_BADLY, GOOD_END, CSTAT_INCORRECT_LENGTH, 1, 0);
	ccw(&r, CMD_READ, CCW_SLI, 0, DATA);
	RUN_GOOD(&r, 1, 0);
	CHECK_EQ(r.dev.moved, 0);

	/* Too long, too short, just right; suppressed; chained. */
	wipe(&r);
	ccw(&r, CMD_READ, 0, 6, DATA);
	RUN(&r, DONE_BADLY, GOOD_END, CSTAT_INCORRECT_LENGTH, 1, 2);
	CHECK_EQ(guest_byte(&r, DATA + 3), 4);
	CHECK_EQ(guest_byte(&r, DATA + 4), 0);
	ccw(&r, CMD_READ, 0, 3, DATA);
	RUN(&r, DONE_BADLY, GOOD_END, CSTAT_INCORRECT_LENGTH, 1, 0);
	CHECK_EQ(r.dev.moved, 3);
	ccw(&r, CMD_READ, 0, 4, DATA);
	RUN_GOOD(&r, 1, 0);
	ccw(&r, CMD_READ, CCW_SLI, 6, DATA);
	RUN_GOOD(&r, 1, 2);
	ccw(&r, CMD_READ, CCW_SLI, 1, DATA);
	RUN_GOOD(&r, 1, 0);
	r.dev.commands = 0;
	ccw(&r, CMD_READ, CCW_CC, 6, DATA);
	ccw(&r, CMD_READ, 0, 4, DATA);
	RUN(&r, DONE_BADLY, GOOD_END, CSTAT_INCORRECT_LENGTH, 1, 2);
	CHECK_EQ(r.dev.commands, 1);
	ccw(&r, CMD_READ, CCW_CC | CCW_SLI, 6, DATA);
	ccw(&r, CMD_WRITE, CCW_SLI, 5, DATA);
	RUN_GOOD(&r, 2, 1);
	CHECK_EQ(r.dev.commands, 3);
	/* Nothing suppresses it where data was to be chained. */
	ccw(&r, CMD_READ, CCW_CD | CCW_SLI, 6, DATA);
	ccw(&r, 0, 0, 1, DATA);
	RUN(&r, DONE_BADLY, GOOD_END, CSTAT_INCORRECT_LENGTH, 1, 2);
	/* Commands that end at once are forgiven, unless format 1 is strict; ones that end later are not. */
	r.orb = 0x8000;
	ccw(&r, CMD_IMMEDIATE, 0, 5, 0);
	RUN_GOOD(&r, 1, 5);
	r.orb = 0x8000 | ORB_FORMAT1;
	ccw(&r, CMD_IMMEDIATE, 0, 5, 0);
	RUN(&r, DONE_BADLY, GOOD_END, CSTAT_INCORRECT_LENGTH, 1, 5);
	ccw(&r, CMD_IMMEDIATE, CCW_SLI, 5, 0);
	RUN_GOOD(&r, 1, 5);
	ccw(&r, CMD_IMMEDIATE, 0, 0, 0);
	RUN_GOOD(&r, 1, 0);
	r.orb |= ORB_LENGTH;
	ccw(&r, CMD_IMMEDIATE, 0, 5, 0);
	RUN_GOOD(&r, 1, 5);
	ccw(&r, CMD_CONTROL, 0, 5, 0);
	RUN(&r, DONE_BADLY, GOOD_END, CSTAT_INCORRECT_LENGTH, 1, 5);
	/* With a unit check, the residual count is there too. */
	ccw(&r, CMD_READ_CHECK, CCW_SLI, 10, DATA);
	RUN(&r, DONE_BADLY, GOOD_END | DSTAT_UNIT_CHECK, 0, 1, 6);
	rig_stop(&r);
}

static void test_tic(void)
{
	struct rig r;

	rig_start(&r);
	r.dev.want = 4;
	/* In a chain of commands, and of data. */
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM + 32);
	ccw(&r, 0, 0, 0, 0);
	ccw(&r, 0, 0, 0, 0);
	ccw(&r, CMD_READ, CCW_CD, 1, DATA);
	ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM + 16);
	put_ccw1(&r, PROGRAM + 16, 0x18, 0, 3, DATA + 16); /* no TIC, and not looked at */
	RUN_GOOD(&r, 3, 0);
	CHECK_EQ(guest_byte(&r, DATA + 16), 2);
	/* To another TIC: the second one is at fault. */
	wipe(&r);
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM + 16);
	ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM);
	RUN_CHECK(&r, 3);
	/* Itself. */
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM + 8);
	RUN_CHECK(&r, 2);
	/* Not to a doubleword; to no storage; with what must be zero. */
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM + 20);
	RUN_CHECK(&r, 2);
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_TIC, 0, 0, 0x7ffffff8);
	RUN_CHECK(&r, 2);
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_TIC, 0, 0, 0x80000000 | PROGRAM);
	RUN_CHECK(&r, 2);
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_TIC, CCW_SLI, 0, PROGRAM + 16);
	RUN_CHECK(&r, 2);
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_TIC, 0, 1, PROGRAM + 16);
	RUN_CHECK(&r, 2);
	/* Format 0 ignores all that, and the code's first half. */
	r.orb = 0x8000;
	ccw(&r, CMD_CONTROL, CCW_CC | CCW_SLI, 1, 0);
	ccw(&r, 0xf8, 0xff, 1, PROGRAM + 24);
	ccw(&r, 0, 0, 0, 0);
	ccw(&r, CMD_CONTROL, CCW_SLI, 1, 0);
	RUN_GOOD(&r, 4, 1);
	rig_stop(&r);
}

static void test_data(void)
{
	struct rig r;

	rig_start(&r);
	r.dev.want = 10;
	/* Chained over three areas, with a skip; both directions. */
	ccw(&r, CMD_READ, CCW_CD, 3, DATA);
	ccw(&r, 0, CCW_CD | CCW_SKIP, 2, 0x7fffffff);
	ccw(&r, 0, 0, 5, DATA + 100);
	RUN_GOOD(&r, 3, 0);
	CHECK_EQ(guest_byte(&r, DATA + 2), 3);
	CHECK_EQ(guest_byte(&r, DATA + 3), 0);
	CHECK_EQ(guest_byte(&r, DATA + 100), 6);
	CHECK_EQ(guest_byte(&r, DATA + 104), 10);
	ccw(&r, CMD_WRITE, CCW_CD | CCW_SKIP, 3, DATA); /* skip means nothing to output */
	ccw(&r, 0, 0, 7, DATA + 100);
	memset(r.dev.data, 0, sizeof(r.dev.data));
	RUN_GOOD(&r, 2, 0);
	CHECK_EQ(r.dev.data[2], 3);
	CHECK_EQ(r.dev.data[3], 6);
	ccw(&r, CMD_BOTH, 0, 4, DATA);
	RUN_GOOD(&r, 1, 0);
	CHECK_EQ(r.dev.moved, 4);
	CHECK_EQ(guest_byte(&r, DATA + 2), 1);
	CHECK_EQ(guest_byte(&r, DATA + 3), 2);
	/* The suspend flag has no business in a data chain. */
	r.orb |= ORB_SUSPEND;
	ccw(&r, CMD_READ, CCW_CD, 3, DATA);
	ccw(&r, 0, CCW_SUSPEND, 7, DATA);
	RUN_DATA_CHECK(&r, 2, 0);
	/* No storage: nothing, or part of it. */
	ccw(&r, CMD_READ, 0, 10, RAM_SIZE);
	RUN_DATA_CHECK(&r, 1, 10);
	ccw(&r, CMD_WRITE, 0, 10, RAM_SIZE - 5);
	RUN_DATA_CHECK(&r, 1, 10);
	ccw(&r, CMD_READ, CCW_CD, 4, DATA);
	ccw(&r, 0, 0, 6, 0x7ffffffe);
	RUN_DATA_CHECK(&r, 2, 6);
	/* Up to the end of what a format can address, and past it. */
	r.orb = 0x8000;
	ccw(&r, CMD_READ, 0, 10, 0xfffff6);
	RUN_GOOD(&r, 1, 0);
	CHECK_EQ(guest_byte(&r, 0xffffff), 10);
	ccw(&r, CMD_READ, 0, 10, 0xfffff7);
	RUN_DATA_CHECK(&r, 1, 1);
	/* Backward: downward from the address; not past 0. */
	wipe(&r);
	ccw(&r, CMD_BACKWARD, CCW_CD, 4, DATA + 3);
	ccw(&r, 0, 0, 6, DATA + 105);
	RUN_GOOD(&r, 2, 0);
	CHECK_EQ(guest_byte(&r, DATA + 3), 1);
	CHECK_EQ(guest_byte(&r, DATA), 4);
	CHECK_EQ(guest_byte(&r, DATA + 105), 5);
	CHECK_EQ(guest_byte(&r, DATA + 100), 10);
	ccw(&r, CMD_BACKWARD, 0, 10, 8);
	RUN_DATA_CHECK(&r, 1, 1);
	CHECK_EQ(guest_byte(&r, 0), 9);
	rig_stop(&r);
}

static void idaw1(struct rig *r, uint32_t at, uint32_t address)
{
	uint8_t w[4];

	put_be32(w, address);
	put_guest(r, at, w, 4);
}

static void idaw2(struct rig *r, uint32_t at, uint64_t address)
{
	uint8_t w[8];

	put_be64(w, address);
	put_guest(r, at, w, 8);
}

static void test_idaws(void)
{
	struct rig r;

	rig_start(&r);
	r.dev.want = 4100;
	/* Format 1: blocks of 2 KiB, the first one entered anywhere. */
	idaw1(&r, LISTS, 0x20000 + 2040);
	idaw1(&r, LISTS + 4, 0x30000);
	idaw1(&r, LISTS + 8, 0x28800);
	ccw(&r, CMD_READ, CCW_IDA, 4100, LISTS);
	RUN_GOOD(&r, 1, 0);
	CHECK_EQ(guest_byte(&r, 0x20000 + 2047), 8);
	CHECK_EQ(guest_byte(&r, 0x30000), 9);
	CHECK_EQ(guest_byte(&r, 0x30000 + 2047), (8 + 2048) & 0xff);
	CHECK_EQ(guest_byte(&r, 0x28800), 9);
	CHECK_EQ(guest_byte(&r, 0x28800 + 2043), 4100 & 0xff);
	CHECK_EQ(guest_byte(&r, 0x28800 + 2044), 0);
	/* The words: aligned, in storage, below 2 GiB, at a block's start. */
	ccw(&r, CMD_READ, CCW_IDA, 4100, LISTS + 2);
	RUN_DATA_CHECK(&r, 1, 4100);
	ccw(&r, CMD_READ, CCW_IDA, 4100, RAM_SIZE - 4);
	idaw1(&r, RAM_SIZE - 4, 0x20000);
	RUN_DATA_CHECK(&r, 1, 4100 - 2048);
	idaw1(&r, LISTS + 4, 0x80030000);
	ccw(&r, CMD_READ, CCW_IDA, 4100, LISTS);
	RUN_DATA_CHECK(&r, 1, 4092);
	idaw1(&r, LISTS + 4, 0x30400);
	ccw(&r, CMD_READ, CCW_IDA, 4100, LISTS);
	RUN_DATA_CHECK(&r, 1, 4092);
	idaw1(&r, LISTS + 4, RAM_SIZE);
	ccw(&r, CMD_WRITE, CCW_IDA, 4100, LISTS);
	RUN_DATA_CHECK(&r, 1, 4092);
	/* Data chaining begins a new list. */
	idaw1(&r, LISTS + 4, 0x30004);
	ccw(&r, CMD_WRITE, CCW_IDA | CCW_CD, 4, LISTS);
	ccw(&r, 0, CCW_IDA | CCW_SLI, 4, LISTS + 4);
	RUN_GOOD(&r, 2, 0);
	CHECK_EQ(r.dev.moved, 8);
	/* Backward: from the block's end down. */
	r.dev.want = 10;
	idaw1(&r, LISTS, 0x20000 + 3);
	idaw1(&r, LISTS + 4, 0x30000 + 2047);
	ccw(&r, CMD_BACKWARD, CCW_IDA, 10, LISTS);
	RUN_GOOD(&r, 1, 0);
	CHECK_EQ(guest_byte(&r, 0x20000), 4);
	CHECK_EQ(guest_byte(&r, 0x30000 + 2047), 5);
	idaw1(&r, LISTS + 4, 0x30000);
	ccw(&r, CMD_BACKWARD, CCW_IDA, 10, LISTS);
	RUN_DATA_CHECK(&r, 1, 6);
	/* Skip and IDA: the words are not looked at. */
	ccw(&r, CMD_READ, CCW_IDA | CCW_SKIP, 10, 3);
	RUN_GOOD(&r, 1, 0);

	/* Format 2: doublewords, blocks of 4 KiB, or of 2 KiB. Format-0 CCWs can use them. */
	for (unsigned int i = 0; i < 4; i++) {
		uint32_t size = i & 1 ? 2048 : 4096;

		wipe(&r);
		r.orb = 0x8000 | ORB_IDAW2 | (i & 1 ? ORB_IDAW2K : 0) | (i & 2 ? ORB_FORMAT1 : 0);
		r.dev.want = size + 20;
		idaw2(&r, LISTS, 0x20000 + size - 10);
		idaw2(&r, LISTS + 8, 0x30000 + (i & 1 ? 2048 : 0));
		idaw2(&r, LISTS + 16, 0x40000);
		ccw(&r, CMD_READ, CCW_IDA, (uint16_t)(size + 20), LISTS);
		RUN_GOOD(&r, 1, 0);
		CHECK_EQ(guest_byte(&r, 0x40009), (size + 20) & 0xff);
		CHECK_EQ(guest_byte(&r, 0x4000a), 0);
		ccw(&r, CMD_READ, CCW_IDA, (uint16_t)(size + 20), LISTS + 4);
		RUN_DATA_CHECK(&r, 1, size + 20);
		idaw2(&r, LISTS + 8, 0x30400);
		ccw(&r, CMD_READ, CCW_IDA, (uint16_t)(size + 20), LISTS);
		RUN_DATA_CHECK(&r, 1, size + 10);
		idaw2(&r, LISTS + 8, UINT64_C(0xfffffffffffff000));
		ccw(&r, CMD_READ, CCW_IDA, (uint16_t)(size + 20), LISTS);
		RUN_DATA_CHECK(&r, 1, size + 10);
	}
	rig_stop(&r);
}

static void midaw(struct rig *r, uint32_t at, uint8_t flags, uint16_t count, uint64_t address)
{
	struct css_midaw m = { .flags = flags };

	put_be16(m.count, count);
	put_be64(m.address, address);
	put_guest(r, at, &m, sizeof(m));
}

static void test_midaws(void)
{
	struct rig r;

	rig_start(&r);
	r.orb |= ORB_MIDAW;
	r.dev.want = 100;
	midaw(&r, LISTS, 0, 10, 0x20ff6);
	midaw(&r, LISTS + 16, MIDAW_SKIP, 50, 0x20fff);
	midaw(&r, LISTS + 32, MIDAW_LAST, 40, 0x30000);
	ccw(&r, CMD_READ, CCW_MIDA, 100, LISTS);
	RUN_GOOD(&r, 1, 0);
	CHECK_EQ(guest_byte(&r, 0x20fff), 10);
	CHECK_EQ(guest_byte(&r, 0x30000), 61);
	CHECK_EQ(guest_byte(&r, 0x30027), 100);
	r.dev.want = 5;
	ccw(&r, CMD_WRITE, CCW_MIDA | CCW_SLI, 100, LISTS);
	RUN_GOOD(&r, 1, 95);
	r.dev.want = 100;
	/* Across a block; more than the CCW has, less, nothing; flags; no end. */
	midaw(&r, LISTS, 0, 11, 0x20ff6);
	ccw(&r, CMD_READ, CCW_MIDA, 100, LISTS);
	RUN_DATA_CHECK(&r, 1, 100);
	midaw(&r, LISTS, MIDAW_LAST, 101, 0x20000);
	ccw(&r, CMD_READ, CCW_MIDA, 100, LISTS);
	RUN_DATA_CHECK(&r, 1, 100);
	midaw(&r, LISTS, MIDAW_LAST, 99, 0x20000);
	ccw(&r, CMD_READ, CCW_MIDA, 100, LISTS);
	RUN_DATA_CHECK(&r, 1, 100);
	midaw(&r, LISTS, 0, 100, 0x20000);
	ccw(&r, CMD_READ, CCW_MIDA, 100, LISTS);
	RUN_DATA_CHECK(&r, 1, 100);
	midaw(&r, LISTS, 0, 0, 0x20000);
	ccw(&r, CMD_READ, CCW_MIDA, 100, LISTS);
	RUN_DATA_CHECK(&r, 1, 100);
	for (unsigned int bit = 0; bit < 6; bit++) {
		midaw(&r, LISTS, (uint8_t)(MIDAW_LAST | 1 << bit), 100, 0x20000);
		ccw(&r, CMD_READ, CCW_MIDA, 100, LISTS);
		RUN_DATA_CHECK(&r, 1, 100);
	}
	midaw(&r, LISTS, MIDAW_LAST, 100, 0x20000);
	put_guest(&r, LISTS + 4, "\1", 1);
	ccw(&r, CMD_READ, CCW_MIDA, 100, LISTS);
	RUN_DATA_CHECK(&r, 1, 100);
	put_guest(&r, LISTS + 4, "\0", 1);
	ccw(&r, CMD_READ, CCW_MIDA, 100, LISTS + 8);
	RUN_DATA_CHECK(&r, 1, 100);
	midaw(&r, LISTS, MIDAW_LAST, 100, RAM_SIZE);
	ccw(&r, CMD_READ, CCW_MIDA, 100, LISTS);
	RUN_DATA_CHECK(&r, 1, 100);
	midaw(&r, LISTS, MIDAW_LAST, 100, 0x20000);
	ccw(&r, CMD_BACKWARD, CCW_MIDA, 100, LISTS);
	RUN_DATA_CHECK(&r, 1, 100);
	/* The list may end with its block, not go on in the next. */
	midaw(&r, LISTS + 4080, MIDAW_LAST, 100, 0x20000);
	ccw(&r, CMD_READ, CCW_MIDA, 100, LISTS + 4080);
	RUN_GOOD(&r, 1, 0);
	midaw(&r, LISTS + 4080, 0, 60, 0x20000);
	midaw(&r, LISTS + 4096, MIDAW_LAST, 40, 0x20000);
	ccw(&r, CMD_READ, CCW_MIDA, 100, LISTS + 4080);
	RUN_DATA_CHECK(&r, 1, 40);
	rig_stop(&r);
}

static void test_limit(void)
{
	struct rig r;

	rig_start(&r);
	CHECK_EQ(css_sal(r.css, 0x20000), 0);
	CHECK_EQ(css_sal(r.css, 0x20001), -CSS_PGM_OPERAND);
	CHECK_EQ(css_sal(r.css, 0x80020000), -CSS_PGM_OPERAND);
	r.dev.want = 10;
	for (unsigned int i = 0; i < 3; i++) {
		struct css_schib schib;

		CHECK_EQ(css_stsch(r.css, r.sid, &schib), 0);
		put_be16(schib.pmcw.flags, (uint16_t)(PMCW_ENABLED | PMCW_VALID | i << 5));
		CHECK_EQ(css_msch(r.css, r.sid, &schib), 0);
		for (unsigned int use = 0; use < 2; use++) {
			bool low = use && i == 1, high = use && i == 2;

			r.orb = 0x8000 | ORB_FORMAT1 | (use ? ORB_LIMIT : 0);
			ccw(&r, CMD_READ, 0, 10, 0x10000);
			if (low)
				RUN_DATA_CHECK(&r, 1, 10);
			else
				RUN_GOOD(&r, 1, 0);
			ccw(&r, CMD_WRITE, 0, 10, 0x20000);
			if (high)
				RUN_DATA_CHECK(&r, 1, 10);
			else
				RUN_GOOD(&r, 1, 0);
			ccw(&r, CMD_READ, 0, 10, 0x20000 - 4);
			if (low)
				RUN_DATA_CHECK(&r, 1, 10);
			else if (high)
				RUN_DATA_CHECK(&r, 1, 6);
			else
				RUN_GOOD(&r, 1, 0);
			ccw(&r, CMD_BACKWARD, 0, 10, 0x20003);
			if (low)
				RUN_DATA_CHECK(&r, 1, 6);
			else if (high)
				RUN_DATA_CHECK(&r, 1, 10);
			else
				RUN_GOOD(&r, 1, 0);
		}
	}
	rig_stop(&r);
}

static void look(struct rig *r)
{
	r->dev.moved = ctrl(r);
}

static void take(struct rig *r)
{
	CHECK_EQ(tsch(r), 0);
}

static void test_intermediate(void)
{
	struct rig r;

	rig_start(&r);
	/* PCI: with the CCW that has the flag, before the end; here nobody takes it in between. */
	r.dev.hook = look;
	ccw(&r, CCW_CMD_NOP, CCW_CC, 0, 0);
	ccw(&r, CMD_HOOK, CCW_PCI | CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_NOP, 0, 0, 0);
	RUN(&r, DONE | SCSW_STCTL_INTERMEDIATE, GOOD_END, CSTAT_PCI, 3, 0);
	CHECK_EQ(r.dev.moved, SCSW_FCTL_START | SCSW_ACTL_SUBCHANNEL | SCSW_ACTL_DEVICE | SCSW_STCTL_INTERMEDIATE | SCSW_STCTL_PENDING);
	CHECK_EQ(r.interrupts, 2);
	CHECK_EQ(r.withdrawn, 2);
	/* Taken in between: the program goes on, and ends without it. */
	r.dev.hook = take;
	ccw(&r, CMD_HOOK, CCW_PCI | CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_NOP, 0, 0, 0);
	RUN_GOOD(&r, 2, 0);
	/* In a data chain. */
	r.dev.want = 2;
	ccw(&r, CMD_READ, CCW_CD, 1, DATA);
	ccw(&r, 0, CCW_PCI, 1, DATA);
	RUN(&r, DONE | SCSW_STCTL_INTERMEDIATE, GOOD_END, CSTAT_PCI, 2, 0);
	/* Initial status: for the first command that is accepted and does not end the program at once. */
	r.orb |= ORB_INITIAL;
	ccw(&r, CMD_CONTROL, 0, 0, 0);
	RUN(&r, DONE | SCSW_STCTL_INTERMEDIATE, GOOD_END, 0, 1, 0);
	CHECK_EQ(IRB_FLAGS(&r) & (SCSW_INITIAL | SCSW_ZERO), SCSW_INITIAL | SCSW_ZERO);
	ccw(&r, CMD_IMMEDIATE, 0, 0, 0);
	RUN_GOOD(&r, 1, 0);
	CHECK_EQ(IRB_FLAGS(&r) & SCSW_ZERO, 0);
	ccw(&r, CMD_IMMEDIATE, CCW_CC, 0, 0);
	ccw(&r, CMD_HOOK, 0, 0, 0);
	RUN_GOOD(&r, 2, 0);
	CHECK_EQ(IRB_FLAGS(&r) & SCSW_ZERO, 0);
	ccw(&r, CMD_CHECK, 0, 0, 0);
	RUN(&r, DONE_BADLY, GOOD_END | DSTAT_UNIT_CHECK, 0, 1, 0);
	rig_stop(&r);
}

static void halt(struct rig *r)
{
	CHECK_EQ(css_hsch(r->css, r->sid), 0);
	CHECK_EQ(css_hsch(r->css, r->sid), 2);
	CHECK_EQ(ctrl(r), SCSW_FCTL_START | SCSW_FCTL_HALT | SCSW_ACTL_HALT_PENDING | SCSW_ACTL_SUBCHANNEL | SCSW_ACTL_DEVICE);
}

static void clear(struct rig *r)
{
	CHECK_EQ(css_csch(r->css, r->sid), 0);
	CHECK_EQ(ctrl(r), SCSW_FCTL_CLEAR | SCSW_ACTL_CLEAR_PENDING);
	CHECK_EQ(css_hsch(r->css, r->sid), 2);
	CHECK_EQ(css_xsch(r->css, r->sid), 2);
	CHECK_EQ(css_csch(r->css, r->sid), 0);
}

static void resume(struct rig *r)
{
	CHECK_EQ(css_xsch(r->css, r->sid), 2);
	CHECK_EQ(css_rsch(r->css, r->sid), 0);
	CHECK_EQ(ctrl(r), SCSW_FCTL_START | SCSW_ACTL_RESUME_PENDING | SCSW_ACTL_SUBCHANNEL | SCSW_ACTL_DEVICE);
}

/* Another CPU acts while a command runs. */
static void test_meanwhile(void)
{
	struct rig r;

	rig_start(&r);
	r.dev.hook = halt;
	ccw(&r, CMD_HOOK, CCW_CC, 0, 0);
	ccw(&r, CMD_CONTROL, 0, 0, 0);
	RUN(&r, DONE | SCSW_FCTL_HALT, GOOD_END, 0, 1, 0);
	CHECK_EQ(r.dev.halts, 1);
	CHECK_EQ(r.dev.commands, 1);
	/* The last command: it ends as it would have. */
	ccw(&r, CMD_HOOK, 0, 0, 0);
	RUN(&r, DONE | SCSW_FCTL_HALT, GOOD_END, 0, 1, 0);
	CHECK_EQ(ctrl(&r), 0);
	r.dev.hook = clear;
	for (unsigned int last = 0; last < 2; last++) {
		r.interrupts = 0;
		ccw(&r, CMD_HOOK, last ? 0 : CCW_CC, 0, 0);
		ccw(&r, CMD_CONTROL, 0, 0, 0);
		CHECK_EQ(ssch(&r), 0);
		CHECK_EQ(r.interrupts, 1);
		CHECK_EQ(tsch(&r), 0);
		CHECK_EQ(IRB_CTRL(&r), SCSW_FCTL_CLEAR | SCSW_STCTL_PENDING);
		CHECK_EQ(r.irb.scsw.dstat, 0);
		CHECK_EQ(r.dev.clears, last + 1);
	}
	/* Resumed before it is suspended: the CCW is fetched once more, and is still the same. */
	r.dev.hook = resume;
	r.orb |= ORB_SUSPEND | ORB_SUPPRESS;
	ccw(&r, CMD_HOOK, CCW_CC, 0, 0);
	ccw(&r, CMD_CONTROL, CCW_SUSPEND, 0, 0);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(ctrl(&r), SCSW_FCTL_START | SCSW_ACTL_SUSPENDED);
	rig_stop(&r);
}

int main(void)
{
	test_basic_commands();
	test_ccw_checks();
	test_counts();
	test_tic();
	test_data();
	test_idaws();
	test_midaws();
	test_limit();
	test_intermediate();
	test_meanwhile();
	return test_result();
}
