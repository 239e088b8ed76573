// SPDX-License-Identifier: MIT
/* The edge cases, one interrupt at a time. Interrupts stay off on the boot hart: it looks at sip, which leaves the guest for nothing. */
#include "irqstress.h"

#define SOON_MS 10000 /* COALESCER_WATCH_NS is 1 ms; the rest is for a busy machine */
#define NEVER_MS 20

static struct vdev *rng;
static const struct place *port; /* its line is ours to move */
static uint8_t bytes[64];

static bool pending(void *ctx)
{
	return eip();
}

static bool comes(void)
{
	return wait_ms(SOON_MS, pending, NULL);
}

static bool stays_away(void)
{
	return !wait_ms(NEVER_MS, pending, NULL);
}

/* The source is claimed when its interrupt comes; false and a FAIL otherwise. */
static bool take(const char *what, uint32_t source)
{
	uint32_t claimed;

	if (!comes()) {
		fail(what, "no interrupt of source %u within %u ms", source, SOON_MS);
		plic_quiet(0);
		return false;
	}
	claimed = plic_claim(0);
	if (claimed != source) {
		fail(what, "claimed %u, should be %u", claimed, source);
		return false;
	}
	return true;
}

static bool away(const char *what, const char *why)
{
	return stays_away() || (fail(what, "an interrupt %s", why), false);
}

static void ask_rng(void)
{
	const struct vseg seg = { bytes, sizeof(bytes), true };

	virtio_add(rng, 0, &seg, 1);
	virtio_kick(rng);
}

static bool answered(void *ctx)
{
	return virtio_used(rng) != rng->seen;
}

/* A complete waits in the ring, no register is read after it, the line is high: it must come again by itself. */
static void complete_while_high(void)
{
	const char *what = "complete-while-high";
	uint64_t worst = 0, since;

	uart_raise(port);
	if (!take(what, port->irq))
		return;
	for (unsigned int i = 0; i < 100; i++) {
		plic_complete(0, port->irq);
		since = now();
		if (!take(what, port->irq))
			return;
		if (now() - since > worst)
			worst = now() - since;
	}
	uart_lower(port);
	plic_complete(0, port->irq);
	print("# longest wait %lu us", in_us(worst));
	if (away(what, "came with the line low"))
		pass(what);
}

/* The same asleep: the interrupt is all that ends wfi. */
static void complete_then_sleep(void)
{
	const char *what = "complete-then-sleep";

	uart_raise(port);
	if (!take(what, port->irq))
		return;
	for (unsigned int i = 0; i < 20; i++) {
		uint64_t end = now() + ms(SOON_MS);

		plic_complete(0, port->irq);
		csr_set(sie, SIE_EXTERNAL);
		while (!eip() && now() < end)
			doze_ms(SOON_MS);
		if (!take(what, port->irq))
			return;
	}
	uart_lower(port);
	plic_complete(0, port->irq);
	if (away(what, "came with the line low"))
		pass(what);
}

/* A device's next notification between acknowledge and complete, both in the ring: it needs an interrupt of its own. */
static void notification_in_service(void)
{
	const char *what = "notification-in-service";

	ask_rng();
	for (unsigned int i = 0; i < 100; i++) {
		if (!take(what, rng->at->irq))
			return;
		write32(rng->at->base + V_ACK, read32(rng->at->base + V_ISR));
		fence();
		if (virtio_pop(rng, NULL) < 0) {
			fail(what, "round %u: no used buffer", i);
			return;
		}
		ask_rng();
		/* Half of the rounds with the answer there before the complete. */
		if (i & 1 && !wait_ms(SOON_MS, answered, NULL)) {
			fail(what, "round %u: no answer", i);
			return;
		}
		plic_complete(0, rng->at->irq);
	}
	if (!take(what, rng->at->irq))
		return;
	write32(rng->at->base + V_ACK, 1);
	fence();
	virtio_pop(rng, NULL);
	plic_complete(0, rng->at->irq);
	if (away(what, "came without a request"))
		pass(what);
}

static void acknowledge_without_complete(void)
{
	const char *what = "acknowledge-without-complete";

	ask_rng();
	if (!take(what, rng->at->irq))
		return;
	write32(rng->at->base + V_ACK, 1);
	virtio_pop(rng, NULL);
	ask_rng();
	if (!wait_ms(SOON_MS, answered, NULL)) {
		fail(what, "no answer");
		return;
	}
	if (!away(what, "of a source in service"))
		return;
	uart_raise(port);
	if (!take(what, port->irq))
		return;
	uart_lower(port);
	plic_complete(0, port->irq);
	if (!away(what, "of a source in service, after another's"))
		return;
	plic_complete(0, rng->at->irq);
	if (!take(what, rng->at->irq))
		return;
	if (!(read32(rng->at->base + V_ISR) & 1)) {
		fail(what, "no status bit");
		return;
	}
	write32(rng->at->base + V_ACK, 1);
	virtio_pop(rng, NULL);
	plic_complete(0, rng->at->irq);
	if (away(what, "came without a request"))
		pass(what);
}

static void complete_twice(void)
{
	const char *what = "complete-twice";

	uart_raise(port);
	if (!take(what, port->irq))
		return;
	uart_lower(port);
	plic_complete(0, port->irq);
	plic_complete(0, port->irq);
	if (!away(what, "came with the line low"))
		return;
	uart_raise(port);
	plic_complete(0, port->irq); /* not even claimed */
	if (!take(what, port->irq))
		return;
	uart_lower(port);
	plic_complete(0, port->irq);
	if (!away(what, "came twice"))
		return;
	if (plic_claim(0))
		fail(what, "claimed twice");
	else
		pass(what);
}

static void complete_port(void *ctx)
{
	plic_complete(this_hart(), port->irq);
}

static void claim_and_complete(void *ctx)
{
	uint32_t *got = ctx;

	*got = plic_claim(this_hart());
	plic_complete(this_hart(), *got);
}

/* Completion is not compared with who claimed; but who does not enable the source cannot complete it. */
static void complete_elsewhere(const char *what)
{
	uart_raise(port);
	if (!take(what, port->irq))
		return;
	run_on(1, complete_port, NULL);
	if (!away(what, "after the complete of a hart that does not enable it"))
		return;
	plic_enable(1, port->irq, true);
	/* The other hart takes no interrupts of ours. */
	run_on(1, complete_port, NULL);
	if (!take(what, port->irq))
		return;
	uart_lower(port);
	plic_complete(0, port->irq);
	plic_enable(1, port->irq, false);
	if (away(what, "came with the line low"))
		pass(what);
}

static void no_interrupts(void *ctx)
{
	csr_clear(sie, SIE_EXTERNAL);
}

static void interrupts_again(void *ctx)
{
	csr_set(sie, SIE_EXTERNAL);
}

/* Far more queued writes than the ring holds, without a read in between. */
static void overflow(void)
{
	const char *what = "ring-overflow";

	uart_raise(port);
	for (unsigned int round = 0; round < 10; round++) {
		if (!take(what, port->irq))
			return;
		for (unsigned int i = 0; i < 500 + round; i++)
			plic_complete(0, i & 1 ? 0 : rng->at->irq + 20);
		plic_complete(0, port->irq);
	}
	if (!take(what, port->irq))
		return;
	uart_lower(port);
	plic_complete(0, port->irq);
	for (unsigned int round = 0; round < 10; round++) {
		ask_rng();
		if (!take(what, rng->at->irq))
			return;
		for (unsigned int i = 0; i < 300 + round; i++)
			write32(rng->at->base + V_ACK, 0);
		write32(rng->at->base + V_ACK, 1);
		for (unsigned int i = 0; i < 300 + round; i++)
			write32(rng->at->base + V_ACK, 0);
		fence();
		if (virtio_pop(rng, NULL) < 0) {
			fail(what, "no used buffer");
			return;
		}
		plic_complete(0, rng->at->irq);
		if (!away(what, "came after all was acknowledged"))
			return;
	}
	pass(what);
}

static void changed_while_pending(void)
{
	const char *what = "changed-while-pending";

	uart_raise(port);
	if (!comes()) {
		fail(what, "no interrupt");
		return;
	}
	plic_threshold(0, 1);
	if (!away(what, "below the threshold"))
		return;
	plic_priority(port->irq, 2);
	if (!comes()) {
		fail(what, "none above the threshold");
		return;
	}
	plic_priority(port->irq, 0);
	plic_threshold(0, 0);
	if (!away(what, "of priority 0"))
		return;
	if (plic_claim(0)) {
		fail(what, "priority 0 was claimed");
		return;
	}
	plic_priority(port->irq, 1);
	if (!comes()) {
		fail(what, "none after its priority came back");
		return;
	}
	plic_enable(0, port->irq, false);
	if (!away(what, "of a source that is not enabled"))
		return;
	plic_enable(0, port->irq, true);
	/* "not affected by the threshold": claims go on above it */
	plic_threshold(0, 7);
	if (!away(what, "below the threshold"))
		return;
	if (plic_claim(0) != port->irq) {
		fail(what, "a claim is subject to the threshold");
		return;
	}
	plic_threshold(0, 0);
	/* In service: disabled, its complete counts for nothing. */
	plic_enable(0, port->irq, false);
	plic_complete(0, port->irq);
	plic_enable(0, port->irq, true);
	if (!away(what, "completed while not enabled"))
		return;
	plic_complete(0, port->irq);
	if (!take(what, port->irq))
		return;
	uart_lower(port);
	plic_complete(0, port->irq);
	if (away(what, "came with the line low"))
		pass(what);
}

/* --- one source, all harts --- */

static volatile uint32_t winners, losers, wrong;

static void on_shared(void)
{
	uint32_t source = plic_claim(this_hart());

	if (source == port->irq) {
		uart_lower(port);
		__atomic_fetch_add(&winners, 1, __ATOMIC_SEQ_CST);
		plic_complete(this_hart(), source);
	} else {
		__atomic_fetch_add(source ? &wrong : &losers, 1, __ATOMIC_SEQ_CST);
	}
}

static bool has_winner(void *ctx)
{
	return winners >= *(uint32_t *)ctx;
}

static void one_winner(void)
{
	const char *what = "one-winner";
	uint32_t round;

	external_hook = on_shared;
	for (unsigned int h = 0; h < machine.harts; h++)
		plic_enable(h, port->irq, true);
	csr_set(sie, SIE_EXTERNAL);
	interrupts_on();
	for (round = 1; round <= 200; round++) {
		uart_raise(port);
		if (!wait_ms(5000, has_winner, &round)) {
			fail(what, "lost: round %u, %u winners, %u losers", round, winners, losers);
			break;
		}
		delay_ms(round % 10 ? 0 : 3);
		if (winners != round)
			break;
	}
	delay_ms(20);
	interrupts_off();
	print("# %u rounds, %u winners, %u losers", round - 1, winners, losers);
	if (round == 201)
		check(winners == 200 && !wrong, what, "%u winners in 200 rounds, %u wrong sources", winners, wrong);
	else if (winners != round)
		fail(what, "%u winners in round %u", winners, round);
	for (unsigned int h = 1; h < machine.harts; h++)
		plic_enable(h, port->irq, false);
	external_hook = NULL;
}

/* --- AIA --- */

static volatile uint32_t taken, other;

static void on_message(void)
{
	uint32_t id;

	while ((id = (uint32_t)(csr_swap(0x15c, 0) >> 16)))
		__atomic_fetch_add(id == port->irq ? &taken : &other, 1, __ATOMIC_SEQ_CST);
}

static bool was_taken(void *ctx)
{
	return taken >= *(uint32_t *)ctx;
}

/* Messages written by hand reach the hart whose page they are written to; a level that stays high asks again when told to. */
static void messages(void)
{
	uint32_t n = 0, again = 0;

	external_hook = on_message;
	interrupts_on();
	for (unsigned int round = 0; round < 50; round++) {
		for (unsigned int h = 0; h < machine.harts; h++) {
			n++;
			write32(machine.imsic + 0x1000UL * h, port->irq);
			/*
			 * No part of this is ours: the store goes to the hart's interrupt file, which KVM (6.12) moves between CPUs without
			 * keeping a message that comes meanwhile.
			 */
			if (!wait_ms(1000, was_taken, &n)) {
				again++;
				write32(machine.imsic + 0x1000UL * h, port->irq);
			}
			if (!wait_ms(5000, was_taken, &n)) {
				fail("messages", "lost: hart %u, %u of %u", h, taken, n);
				goto out;
			}
		}
	}
	delay_ms(10);
	if (again)
		skip("messages", "this host's KVM loses messages between harts");
	else
		check(taken == n && !other, "messages", "%u taken, %u others, %u sent", taken, other, n);
	irq_setup(port->irq, true, NULL, NULL);
	for (unsigned int h = 0; h < machine.harts; h++) {
		irq_enable(port->irq, h, true);
		n = taken + 1;
		uart_raise(port);
		if (!wait_ms(5000, was_taken, &n)) {
			fail("level", "lost: hart %u, first", h);
			goto out;
		}
		for (unsigned int i = 0; i < 20; i++) {
			n = taken + 1;
			write32(machine.aplic + 0x1cdc, port->irq);
			if (!wait_ms(5000, was_taken, &n)) {
				fail("level", "lost: hart %u, again", h);
				goto out;
			}
		}
		uart_lower(port);
		n = taken;
		write32(machine.aplic + 0x1cdc, port->irq);
		delay_ms(NEVER_MS);
		if (!check(taken == n, "level", "%u interrupts with the line low", taken - n))
			break;
		irq_enable(port->irq, h, false);
	}
out:
	interrupts_off();
	external_hook = NULL;
}

void edges(struct vdev *v)
{
	uint32_t got = 0;

	rng = v;
	port = &machine.uart[3];
	if (machine.aia) {
		messages();
		return;
	}
	for (unsigned int h = 1; h < machine.harts; h++)
		run_on(h, no_interrupts, NULL);
	plic_priority(port->irq, 1);
	plic_enable(0, port->irq, true);
	plic_enable(0, rng->at->irq, true);
	plic_quiet(0);
	complete_while_high();
	complete_then_sleep();
	notification_in_service();
	acknowledge_without_complete();
	complete_twice();
	if (machine.harts > 1) {
		/* Before and after the other hart's completes are queued, which its first claim begins. */
		complete_elsewhere("complete-elsewhere");
		plic_enable(0, port->irq, false);
		plic_enable(1, port->irq, true);
		uart_raise(port);
		run_on(1, claim_and_complete, &got);
		uart_lower(port);
		run_on(1, claim_and_complete, &got);
		plic_enable(1, port->irq, false);
		plic_enable(0, port->irq, true);
		plic_quiet(0);
		complete_elsewhere("complete-elsewhere-queued");
	}
	overflow();
	changed_while_pending();
	for (unsigned int h = 1; h < machine.harts; h++)
		run_on(h, interrupts_again, NULL);
	one_winner();
}
