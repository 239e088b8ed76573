// SPDX-License-Identifier: MIT
/* The interrupt controller, as a guest sees it: private and shared interrupts, level and edge, and the timers that are wired to it. */
#include "irqstress.h"

static volatile uint64_t taken[32], taken_on[MAX_HARTS], shared_taken;
static const struct place *port;
static volatile bool lower;

static void on_private(unsigned int intid)
{
	if (intid == TIMER_INTID)
		sysreg_write(cntv_ctl_el0, 0);
	if (intid == 30)
		sysreg_write(cntp_ctl_el0, 0);
	__atomic_fetch_add(&taken[intid], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&taken_on[this_hart()], 1, __ATOMIC_RELAXED);
}

struct wanted {
	volatile uint64_t *counter;
	uint64_t value;
};

static bool reached(void *ctx)
{
	const struct wanted *w = ctx;

	return __atomic_load_n(w->counter, __ATOMIC_ACQUIRE) >= w->value;
}

static bool comes(volatile uint64_t *counter, uint64_t value)
{
	return wait_ms(5000, reached, &(struct wanted){ counter, value });
}

static void sgis(void)
{
	bool ok = true;

	for (unsigned int id = 0; id < 16; id++)
		gic_private_enable(id, true);
	interrupts_on();
	for (unsigned int id = 0; id < 16 && ok; id++) {
		uint64_t before = taken[id];

		gic_send_sgi(0, id);
		ok = comes(&taken[id], before + 1);
		check(ok, "sgi-self", "%u does not come", id);
	}
	for (unsigned int h = 1; h < machine.harts; h++) {
		ok = true;
		for (unsigned int i = 0; i < 100 && ok; i++) {
			uint64_t before = taken_on[h];

			gic_send_sgi(h, KICK_SGI);
			ok = comes(&taken_on[h], before + 1) && taken_on[h] == before + 1;
		}
		check(ok, "sgi-other", "CPU %u got %lu", h, (unsigned long)taken_on[h]);
	}
	if (machine.harts < 2)
		skip("sgi-other", "one CPU");
}

/* Masked ones wait, and come once. */
static void masked(void)
{
	uint64_t before;

	interrupts_off();
	before = taken[5];
	for (unsigned int i = 0; i < 10; i++)
		gic_send_sgi(0, 5);
	delay_ms(5);
	check(taken[5] == before, "masked", "taken with interrupts off");
	check(gic_pending(5), "masked-pending", "is not pending");
	interrupts_on();
	check(comes(&taken[5], before + 1), "masked-comes", "never came");
	delay_ms(5);
	check_equal("masked-once", taken[5], before + 1);
	check(!gic_pending(5) && !gic_active(5), "masked-done", "pending %d, active %d", gic_pending(5), gic_active(5));
	gic_private_enable(5, false);
	gic_send_sgi(0, 5);
	delay_ms(5);
	check_equal("disabled", taken[5], before + 1);
	gic_private_enable(5, true);
	check(comes(&taken[5], before + 2), "enabled-again", "never came");
}

static void on_uart(void *ctx)
{
	/* Counted last: who waits for the count may raise the line again at once. */
	if (lower || (shared_taken + 1) % 100 == 0)
		uart_lower(port);
	__atomic_fetch_add(&shared_taken, 1, __ATOMIC_RELEASE);
}

/* A serial port's line stays up until its cause is read. */
static void level(void)
{
	uint64_t before;

	port = &machine.uart[2];
	irq_setup(port->irq, true, on_uart, NULL);
	check(machine.level[port->irq], "uart-level", "the tree says that it is an edge");
	for (unsigned int h = 0; h < machine.harts; h++) {
		irq_enable(port->irq, h, true);
		lower = true;
		before = shared_taken;
		uart_raise(port);
		check(comes(&shared_taken, before + 1), "level", "does not come to CPU %u", h);
		delay_ms(5);
		check_equal("level-once", shared_taken, before + 1);
	}
	irq_enable(port->irq, 0, true);
	lower = false;
	before = shared_taken = 0;
	uart_raise(port);
	check(comes(&shared_taken, 50), "level-again", "%lu times while the line is up", (unsigned long)shared_taken);
	check(comes(&shared_taken, 100), "level-ends", "%lu times", (unsigned long)shared_taken);
	delay_ms(5);
	check_equal("level-down", shared_taken, 100);
	interrupts_off();
	lower = true;
	uart_raise(port);
	check(gic_pending(port->irq), "level-pending", "is not pending while the line is up");
	uart_lower(port);
	check(!gic_pending(port->irq), "level-not-pending", "is pending when the line is down again");
	before = shared_taken;
	interrupts_on();
	delay_ms(5);
	check_equal("level-gone", shared_taken, before);
	/* By the guest's own hand. */
	gic_set_pending(port->irq, true);
	check(comes(&shared_taken, before + 1), "set-pending", "does not come");
	irq_enable(port->irq, 0, false);
}

static bool is_used(void *ctx)
{
	struct vdev *v = ctx;

	return virtio_used(v) != v->seen;
}

/* An edge waits while it is masked, however often it comes, and comes once. */
static void edge(void)
{
	static struct vdev v;
	const struct place *rng = virtio_find(4, 0);
	static uint8_t data[64];
	const struct vseg seg = { data, sizeof(data), true };
	uint64_t before;

	if (!rng) {
		skip("edge", "no entropy device: --rng");
		return;
	}
	if (machine.level[rng->irq]) {
		skip("edge", "virtio interrupts are levels on this machine");
		return;
	}
	port = NULL;
	check(virtio_start(&v, rng), "edge-start", "the device does not start");
	interrupts_off();
	lower = false;
	shared_taken = 0;
	irq_setup(rng->irq, false, on_uart, NULL);
	irq_enable(rng->irq, 0, true);
	for (unsigned int i = 0; i < 3; i++) {
		virtio_add(&v, i, &seg, 1);
		virtio_kick(&v);
		check(wait_ms(5000, is_used, &v), "edge-answer", "request %u has none", i);
		virtio_pop(&v, NULL);
		/* The interrupt is raised when this returns: the register takes the device's lock. */
		write32(rng->base + V_QUEUE_SEL, 0);
		write32(rng->base + V_ACK, 1);
		(void)read32(rng->base + V_STATUS);
	}
	check(gic_pending(rng->irq), "edge-pending", "is not pending");
	before = shared_taken;
	interrupts_on();
	check(comes(&shared_taken, before + 1), "edge-comes", "never came");
	delay_ms(5);
	check_equal("edge-once", shared_taken, before + 1);
	irq_enable(rng->irq, 0, false);
	write32(rng->base + V_STATUS, 0);
}

/* The numbers that an MSI frame offers come as edges when they are written to it, and no others. */
static void messages(void)
{
	uint32_t typer, first, n;

	if (!machine.has_v2m)
		return;
	typer = read32(machine.v2m + 0x008);
	first = typer >> 16 & 0x3ff;
	n = typer & 0x3ff;
	port = NULL;
	lower = false;
	check(first >= 32 && n > 0 && first + n <= 1020, "v2m-range", "%u from %u on", n, first);
	for (unsigned int i = 0; i < 2; i++) {
		const uint32_t intid = i ? first + n - 1 : first;
		uint64_t came = 0;

		shared_taken = 0;
		irq_setup(intid, false, on_uart, NULL);
		irq_enable(intid, machine.harts - 1, true);
		do
			write32(machine.v2m + 0x040, intid);
		while (comes(&shared_taken, came + 1) && ++came < 5);
		check_equal("v2m-message", came, 5);
		delay_ms(5);
		check_equal("v2m-once", shared_taken, 5);
		irq_enable(intid, machine.harts - 1, false);
	}
	/* Others' interrupts are not to be had there. */
	shared_taken = 0;
	irq_setup(first - 1, false, on_uart, NULL);
	irq_enable(first - 1, 0, true);
	write32(machine.v2m + 0x040, first - 1);
	write32(machine.v2m + 0x040, first + n);
	write32(machine.v2m + 0x040, 16);
	delay_ms(5);
	check_equal("v2m-foreign", shared_taken, 0);
	irq_enable(first - 1, 0, false);
}

static void timers(void)
{
	uint64_t before = taken[TIMER_INTID], start = now();

	gic_private_enable(TIMER_INTID, true);
	sysreg_write(cntv_cval_el0, start + ms(20));
	sysreg_write(cntv_ctl_el0, 1);
	check(comes(&taken[TIMER_INTID], before + 1), "virtual-timer", "never came");
	check(now() - start >= ms(20), "virtual-timer-early", "after %lu us", in_us(now() - start));
	before = taken[30];
	gic_private_enable(30, true);
	start = sysreg_read(cntpct_el0);
	sysreg_write(cntp_cval_el0, start + ms(20));
	sysreg_write(cntp_ctl_el0, 1);
	check(comes(&taken[30], before + 1), "physical-timer", "never came");
	check(sysreg_read(cntpct_el0) - start >= ms(20), "physical-timer-early", "after %lu us", in_us(sysreg_read(cntpct_el0) - start));
	/* In the past: at once. Masked at the timer: never. */
	before = taken[TIMER_INTID];
	sysreg_write(cntv_cval_el0, 0);
	sysreg_write(cntv_ctl_el0, 1);
	check(comes(&taken[TIMER_INTID], before + 1), "timer-past", "never came");
	sysreg_write(cntv_ctl_el0, 3);
	delay_ms(5);
	check(sysreg_read(cntv_ctl_el0) & 4, "timer-istatus", "0x%lx", (unsigned long)sysreg_read(cntv_ctl_el0));
	check_equal("timer-imask", taken[TIMER_INTID], before + 1);
	sysreg_write(cntv_ctl_el0, 0);
	interrupts_off();
	for (unsigned int i = 0; i < 20; i++) {
		start = now();
		doze_ms(5);
		if (now() - start > ms(5000)) {
			fail("timer-wakes", "after %lu us", in_us(now() - start));
			break;
		}
	}
	interrupts_on();
	check(true, "timer-wakes", "-");
}

/* Counters go on everywhere, and never back. */
static volatile uint64_t seen[MAX_HARTS];

static void look(void *ctx)
{
	seen[this_hart()] = now();
}

static void counters(void)
{
	uint64_t last = now();
	bool ok = true;

	for (unsigned int i = 0; i < 1000 && ok; i++) {
		uint64_t t = now();

		ok = t >= last;
		last = t;
	}
	check(ok, "counter", "goes back");
	ok = true;
	for (unsigned int h = 1; h < machine.harts && ok; h++) {
		last = now();
		ok = run_on(h, look, NULL) && seen[h] >= last && seen[h] <= now();
		check(ok, "counter-others", "CPU %u: 0x%lx, here 0x%lx", h, (unsigned long)seen[h], (unsigned long)last);
	}
	check(machine.timebase >= 1000000, "frequency", "%lu Hz", (unsigned long)machine.timebase);
}

void guest(void)
{
	print("# %u CPUs, %s", machine.harts, irq_chip());
	private_hook = on_private;
	harts_start();
	sgis();
	masked();
	level();
	edge();
	messages();
	timers();
	counters();
}
