// SPDX-License-Identifier: MIT
/* Channel programs that are longer than a go, or have no end: their turns on a thread that serves others. */
#include <unistd.h>

#include "hw/css_rig_test.h"

static void overwrite(struct rig *r)
{
	put_ccw1(r, PROGRAM + 8, CMD_CONTROL, 0, 0, 0);
}

static void dawdle(struct rig *r)
{
	usleep(1500);
}

/* Programs without end take turns, and can be stopped; CCWs are fetched when they are due. */
static void test_endless(void)
{
	unsigned int commands;
	struct rig r;

	rig_start(&r);
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM);
	CHECK_EQ(ssch(&r), 0);
	CHECK_EQ(r.defers, 1);
	CHECK_EQ(r.interrupts, 0);
	commands = r.dev.commands;
	CHECK(commands > 0 && commands <= CSS_GO);
	/* The other device gets its turn at once. */
	r.sid ^= 1;
	ccw(&r, CCW_CMD_NOP, 0, 0, 0);
	put_ccw1(&r, PROGRAM + 0x800, CCW_CMD_NOP, 0, 0, 0);
	CHECK_EQ(ssch_at(&r, PROGRAM + 0x800), 0);
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_CTRL(&r), DONE);
	r.sid ^= 1;
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	CHECK(css_continue(r.css));
	CHECK_EQ(r.defers, 2);
	CHECK(r.dev.commands > commands && r.dev.commands <= 2 * CSS_GO);
	/* Two of them, in turns. */
	r.sid ^= 1;
	CHECK_EQ(ssch(&r), 0);
	commands = r.dev2.commands;
	CHECK(css_continue(r.css));
	CHECK(r.dev2.commands > commands);
	CHECK_EQ(css_csch(r.css, r.sid), 0);
	r.sid ^= 1;
	/* The program ends itself. */
	overwrite(&r);
	while (css_continue(r.css))
		;
	CHECK_EQ(tsch(&r), 0);
	CHECK_EQ(IRB_CTRL(&r), DONE);
	CHECK_EQ(IRB_CPA(&r), PROGRAM + 16);
	CHECK(!css_continue(r.css));
	/* A command whose data is the next CCW. */
	r.dev.want = 8;
	r.dev.hook = overwrite;
	ccw(&r, CMD_HOOK, CCW_CC, 0, 0);
	ccw(&r, CMD_CHECK, 0, 0, 0);
	RUN_GOOD(&r, 2, 0);
	/* A data chain without end is as long as the device's data. */
	r.dev.want = sizeof(r.dev.data);
	ccw(&r, CMD_WRITE, CCW_CD, 1, DATA);
	ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM);
	RUN(&r, DONE_BADLY, GOOD_END, CSTAT_INCORRECT_LENGTH, 1, 0);
	CHECK_EQ(r.dev.moved, sizeof(r.dev.data));
	/* Slow commands: one a turn on a thread that serves others. */
	r.dev.hook = dawdle;
	ccw(&r, CMD_HOOK, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM);
	CHECK_EQ(ssch(&r), 0);
	commands = r.dev.commands;
	CHECK(css_continue(r.css));
	CHECK_EQ(r.dev.commands, commands + 1);
	CHECK_EQ(css_csch(r.css, r.sid), 0);
	CHECK_EQ(tsch(&r), 0);
	/* Its next TICs, program-check. */
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	for (unsigned int i = 0; i < 100; i++)
		ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM + 16 + 8 * i);
	RUN_CHECK(&r, 3);
	rig_stop(&r);
}

/* A turn takes each program that waited before it once, also when the last of those is gone by then. */
static void stop_other(struct rig *r)
{
	const unsigned int n = r->dev.commands;

	if (n == CSS_GO / 2 + 10)
		CHECK_EQ(css_csch(r->css, r->sid2), 0);
	if (n == 10 * CSS_GO)
		put_ccw1(r, PROGRAM, CMD_HOOK, 0, 0, 0); /* it would never end */
}

static void test_turn_loses_its_end(void)
{
	unsigned int commands;
	struct rig r;

	rig_start(&r);
	r.dev.hook = stop_other;
	ccw(&r, CMD_HOOK, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM);
	put_ccw1(&r, PROGRAM + 0x800, CMD_CONTROL, CCW_CC, 0, 0);
	put_ccw1(&r, PROGRAM + 0x808, CCW_CMD_TIC, 0, 0, PROGRAM + 0x800);
	CHECK_EQ(ssch(&r), 0);
	CHECK(r.dev.commands < CSS_GO / 2 + 10);
	r.sid ^= 1;
	CHECK_EQ(ssch_at(&r, PROGRAM + 0x800), 0);
	r.sid ^= 1;
	/* A turn of which the machine kept most for itself may be over before that command. */
	do {
		commands = r.dev.commands;
		CHECK(css_continue(r.css));
		CHECK(r.dev.commands > commands && r.dev.commands <= commands + CSS_GO);
	} while (r.dev.commands > commands && r.dev.commands <= CSS_GO / 2 + 10);
	CHECK_EQ(css_csch(r.css, r.sid), 0);
	CHECK(!css_continue(r.css));
	rig_stop(&r);
}

/* Held, an endless program stands still, however often its turn is asked for; then it goes on. */
static void test_held(void)
{
	unsigned int commands, defers;
	struct rig r;

	rig_start(&r);
	ccw(&r, CMD_CONTROL, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM);
	CHECK_EQ(ssch(&r), 0);
	CHECK(css_continue(r.css));
	commands = r.dev.commands;
	css_hold(r.css, true);
	CHECK(!css_continue(r.css) && !css_continue(r.css));
	CHECK_EQ(r.dev.commands, commands);
	defers = r.defers;
	css_hold(r.css, false);
	CHECK_EQ(r.defers, defers + 1);
	CHECK(css_continue(r.css));
	CHECK(r.dev.commands > commands);
	CHECK_EQ(css_csch(r.css, r.sid), 0);
	rig_stop(&r);
}

/* From another thread: the turn under way is over when it is held. */
static void *turn_forever(void *ctx)
{
	struct rig *r = ctx;

	while (!__atomic_load_n(&r->dev2.halts, __ATOMIC_RELAXED))
		css_continue(r->css);
	return NULL;
}

static void test_held_by_another(void)
{
	pthread_t turner;
	struct rig r;

	rig_start(&r);
	r.dev.hook = dawdle;
	ccw(&r, CMD_HOOK, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM);
	CHECK_EQ(ssch(&r), 0);
	pthread_create(&turner, NULL, turn_forever, &r);
	for (unsigned int i = 0; i < 20; i++) {
		unsigned int commands;

		usleep(3000);
		css_hold(r.css, true);
		commands = r.dev.commands;
		usleep(3000);
		CHECK_EQ(r.dev.commands, commands);
		css_hold(r.css, false);
	}
	__atomic_store_n(&r.dev2.halts, 1, __ATOMIC_RELAXED);
	pthread_join(turner, NULL);
	CHECK_EQ(css_csch(r.css, r.sid), 0);
	rig_stop(&r);
}

static unsigned int nested;

static void turn_again(struct rig *r)
{
	const unsigned int commands = r->dev2.commands;

	if (!nested)
		return;
	nested++;
	CHECK(css_continue(r->css)); /* the other one waits */
	CHECK_EQ(r->dev2.commands, commands);
}

/* Commands that turn the loop do not pile up on its stack. */
static void test_turn_in_turn(void)
{
	unsigned int commands, defers;
	struct rig r;

	rig_start(&r);
	r.dev.hook = turn_again;
	ccw(&r, CMD_HOOK, CCW_CC, 0, 0);
	ccw(&r, CCW_CMD_TIC, 0, 0, PROGRAM);
	put_ccw1(&r, PROGRAM + 0x800, CMD_CONTROL, CCW_CC, 0, 0);
	put_ccw1(&r, PROGRAM + 0x808, CCW_CMD_TIC, 0, 0, PROGRAM + 0x800);
	CHECK_EQ(ssch(&r), 0);
	r.sid ^= 1;
	CHECK_EQ(ssch_at(&r, PROGRAM + 0x800), 0);
	r.sid ^= 1;
	nested = 1;
	commands = r.dev2.commands;
	defers = r.defers;
	CHECK(css_continue(r.css));
	CHECK(nested > 1);
	CHECK(r.dev2.commands > commands);
	CHECK_EQ(r.defers, defers + 1);
	rig_stop(&r);
}

int main(void)
{
	test_endless();
	test_turn_loses_its_end();
	test_turn_in_turn();
	test_held();
	test_held_by_another();
	return test_result();
}
