// SPDX-License-Identifier: MIT
/*
 * Interrupts under load: disks, entropy and serial ports at once, on all harts. Every used buffer must be noticed through an interrupt, and with one
 * request at a time every interrupt must find exactly one. Then devices are reset in the middle of it.
 * Arguments: requests=N of each device and phase.
 */
#include "irqstress.h"

#define LOST_MS 5000   /* a used buffer without its interrupt */
#define STUCK_MS 60000 /* a request without an answer */

struct slot {
	uint8_t head[16], data[512], status;
	uint32_t serial;
};

struct load {
	struct vdev *v;
	const struct place *uart;
	const char *name;
	unsigned int depth;
	uint32_t want, submitted, done;
	uint32_t irqs, empty, silent, errors; /* interrupts; of them without a used buffer, without a status bit; wrong answers */
	struct slot slot[VQ_SLOTS];
	/* watch */
	uint32_t last_done;
	uint64_t unseen_since, done_since;
};

static struct vdev vdev[3];
static struct load loads[5];
static unsigned int n_loads;

static uint8_t pattern(const struct load *l, unsigned int slot, uint32_t serial, unsigned int i)
{
	return (uint8_t)(l->v->at->irq * 31 + slot * 7 + serial * 13 + i);
}

/* Requests of one slot alternate: write a pattern to its sector, read it back. */
static void submit(struct load *l, unsigned int slot)
{
	struct slot *s = &l->slot[slot];
	struct vseg seg[3];
	bool write = !(s->serial & 1);

	l->submitted++;
	if (l->v->id == 4) {
		seg[0] = (struct vseg){ s->data, sizeof(s->data), true };
		for (unsigned int i = 0; i < 8; i++)
			s->data[i] = 0;
		virtio_add(l->v, slot, seg, 1);
		return;
	}
	*(uint32_t *)(void *)s->head = write;
	*(uint32_t *)(void *)(s->head + 4) = 0;
	*(uint64_t *)(void *)(s->head + 8) = slot;
	for (unsigned int i = 0; i < sizeof(s->data); i++)
		s->data[i] = write ? pattern(l, slot, s->serial, i) : 0;
	s->status = 0xff;
	seg[0] = (struct vseg){ s->head, sizeof(s->head), false };
	seg[1] = (struct vseg){ s->data, sizeof(s->data), !write };
	seg[2] = (struct vseg){ &s->status, 1, true };
	virtio_add(l->v, slot, seg, 3);
}

static bool right(struct load *l, unsigned int slot, uint32_t len)
{
	struct slot *s = &l->slot[slot];

	if (l->v->id == 4)
		return len && len <= sizeof(s->data);
	if (*(volatile uint8_t *)&s->status)
		return false;
	if (!(s->serial & 1))
		return true;
	for (unsigned int i = 0; i < sizeof(s->data); i++)
		if (*(volatile uint8_t *)&s->data[i] != pattern(l, slot, s->serial - 1, i))
			return false;
	return true;
}

static void on_virtio(void *ctx)
{
	struct load *l = ctx;
	uint64_t base = l->v->at->base;
	uint32_t status = read32(base + V_ISR), len;
	unsigned int again[VQ_SLOTS], n = 0;
	int slot;

	l->irqs++;
	if (!status)
		l->silent++;
	write32(base + V_ACK, status);
	fence();
	while ((slot = virtio_pop(l->v, &len)) >= 0) {
		if (slot >= VQ_SLOTS) {
			l->errors++;
			continue;
		}
		if (!right(l, (unsigned int)slot, len))
			l->errors++;
		l->slot[slot].serial++;
		again[n++ % VQ_SLOTS] = (unsigned int)slot;
	}
	if (!n)
		l->empty++;
	for (unsigned int i = 0; i < n && l->submitted < l->want; i++)
		submit(l, again[i]);
	fence();
	__atomic_store_n(&l->done, l->done + n, __ATOMIC_RELEASE);
	if (n && l->submitted != l->done)
		virtio_kick(l->v);
}

/* Sending: each byte written brings the next "transmitter empty". */
static void on_sender(void *ctx)
{
	struct load *l = ctx;
	uint8_t iir = read8(l->uart->base + UART_IIR) & 0x0f;

	l->irqs++;
	if (iir != 2) {
		l->empty++;
		return;
	}
	__atomic_store_n(&l->done, l->done + 1, __ATOMIC_RELEASE);
	if (l->done < l->want)
		write8(l->uart->base + UART_THR, 'x');
}

/* In loopback: each byte taken sends the next one. */
static void on_receiver(void *ctx)
{
	struct load *l = ctx;
	uint8_t iir = read8(l->uart->base + UART_IIR) & 0x0f;

	l->irqs++;
	if (iir != 4 && iir != 12) {
		l->empty++;
		return;
	}
	if (read8(l->uart->base + UART_RBR) != (uint8_t)l->done)
		l->errors++;
	__atomic_store_n(&l->done, l->done + 1, __ATOMIC_RELEASE);
	if (l->done < l->want)
		write8(l->uart->base + UART_THR, (uint8_t)l->done);
}

static void enable(unsigned int source, unsigned int nth, bool on)
{
	if (IRQ_ONE_TARGET)
		irq_enable(source, nth % machine.harts, on);
	else
		for (unsigned int h = 0; h < machine.harts; h++)
			irq_enable(source, h, on);
}

static void begin(struct load *l)
{
	if (l->v) {
		for (unsigned int s = 0; s < l->depth; s++)
			submit(l, s);
		virtio_kick(l->v);
	} else if (l->uart == &machine.uart[1]) {
		write8(l->uart->base + UART_IER, 2);
	} else {
		write8(l->uart->base + UART_FCR, 1);
		write8(l->uart->base + UART_MCR, 0x10);
		write8(l->uart->base + UART_IER, 1);
		write8(l->uart->base + UART_THR, 0);
	}
}

static void end(struct load *l)
{
	if (!l->uart)
		return;
	write8(l->uart->base + UART_IER, 0);
	write8(l->uart->base + UART_MCR, 0);
}

/* False: this load will not come to its end. */
static bool watch(struct load *l, const char *phase)
{
	uint32_t done = __atomic_load_n(&l->done, __ATOMIC_ACQUIRE);
	uint64_t t = now();

	if (done != l->last_done || !l->done_since) {
		l->last_done = done;
		l->done_since = t;
		l->unseen_since = 0;
	}
	if (l->v && virtio_used(l->v) != *(volatile uint16_t *)&l->v->seen) {
		if (!l->unseen_since)
			l->unseen_since = t;
		if (t - l->unseen_since > ms(LOST_MS) && l->done == done) {
			fail(phase, "lost: %s has a used buffer and no interrupt after %u of %u (status 0x%x)", l->name, done, l->want,
			     read32(l->v->at->base + V_ISR));
			return false;
		}
	}
	if (t - l->done_since > ms(l->v ? STUCK_MS : LOST_MS)) {
		fail(phase, "lost: %s stands still after %u of %u", l->name, done, l->want);
		return false;
	}
	return true;
}

static bool report(struct load *l, const char *phase)
{
	bool ok = !l->errors;

	print("# %s %s: %u done, %u interrupts, %u empty, %u silent", phase, l->name, l->done, l->irqs, l->empty, l->silent);
	if (l->errors)
		fail(phase, "%s: %u wrong answers", l->name, l->errors);
	/* One at a time: an interrupt each, and nothing besides. Several: an interrupt may find that the one before saw it all. */
	if ((l->depth == 1 && (l->irqs != l->want || l->empty || l->silent)) || l->irqs > l->want) {
		fail(phase, "spurious: %s got %u interrupts for %u requests, %u found nothing, %u no status", l->name, l->irqs, l->want, l->empty,
		     l->silent);
		ok = false;
	}
	return ok;
}

static bool phase(const char *name, unsigned int depth, bool single, uint32_t want)
{
	uint64_t claims, start = now();
	uint32_t sum = 0;
	bool ok = true, busy = true;

	interrupts_off();
	irq_single_claim = single;
	for (unsigned int i = 0; i < n_loads; i++) {
		struct load *l = &loads[i];

		l->depth = l->v ? depth : 1;
		l->want = l->v ? want : want / 4 + 1;
		l->submitted = l->done = l->irqs = l->empty = l->silent = l->errors = l->last_done = 0;
		l->unseen_since = l->done_since = 0;
		for (unsigned int s = 0; s < VQ_SLOTS; s++)
			l->slot[s].serial = 0;
	}
	claims = irq_claims;
	fence();
	for (unsigned int i = 0; i < n_loads; i++)
		begin(&loads[i]);
	interrupts_on();
	while (busy && ok) {
		busy = false;
		/* Not asleep: KVM can lose the timer that ends a sleep, see doze_ms. */
		delay_ms(5);
		for (unsigned int i = 0; i < n_loads; i++) {
			if (__atomic_load_n(&loads[i].done, __ATOMIC_ACQUIRE) < loads[i].want) {
				busy = true;
				ok &= watch(&loads[i], name);
			}
		}
	}
	/* Late ones count too. */
	delay_ms(30);
	for (unsigned int i = 0; i < n_loads; i++) {
		end(&loads[i]);
		ok &= report(&loads[i], name);
		sum += loads[i].irqs;
	}
	if (ok && irq_claims - claims != sum) {
		fail(name, "%lu claims for %u handled interrupts", irq_claims - claims, sum);
		ok = false;
	}
	print("# %s: %lu ms", name, in_us(now() - start) / 1000);
	if (ok)
		pass(name);
	return ok;
}

/* --- resets --- */

/* Who is interrupted for a device that is reset under its feet looks at nothing but the status. */
static void on_victim(void *ctx)
{
	struct load *l = ctx;

	write32(l->v->at->base + V_ACK, read32(l->v->at->base + V_ISR));
	fence();
	__atomic_fetch_add(&l->irqs, 1, __ATOMIC_SEQ_CST);
}

static bool is_used(void *ctx)
{
	struct load *l = ctx;

	return virtio_used(l->v) != l->v->seen;
}

static bool is_told(void *ctx)
{
	return __atomic_load_n(&((struct load *)ctx)->irqs, __ATOMIC_SEQ_CST);
}

/* Nothing that the device did before is under way when this returns: the register takes its lock. */
static void settle(struct load *l)
{
	write32(l->v->at->base + V_QUEUE_SEL, 0);
}

static uint32_t came_late; /* interrupts of devices that had been reset */

/* How far it has come when the device is reset. */
enum stage { STAGE_ASKED, STAGE_SOON, STAGE_PENDING, STAGE_TOLD, STAGES };

static void nothing(void *ctx)
{
}

/* What a hart was interrupted for until now it has taken when this returns. */
static void taken_by(unsigned int hart)
{
	delay_ms(1);
	if (hart != this_hart())
		run_on(hart, nothing, NULL);
}

static bool as_new(const char *what, struct load *l, bool ok)
{
	if (!ok)
		fail("resets", "%s has %s after a reset", l->name, what);
	return ok;
}

/* With requests in flight and their interrupts at every stage. What was under way may still come, one in service and one behind it; then the device is as new. */
static bool reset_once(struct load *l, enum stage stage, unsigned int round)
{
	struct vdev *v = l->v;
	const struct place *at = v->at;
	unsigned int hart = stage == STAGE_PENDING ? this_hart() : round % machine.harts;
	uint32_t late, len;
	uint16_t used;
	bool ok;

	irq_enable(at->irq, hart, true);
	l->irqs = 0;
	if (stage == STAGE_PENDING)
		interrupts_off();
	for (unsigned int s = 0; s < VQ_SLOTS; s++) {
		submit(l, s);
		virtio_kick(v);
	}
	if (stage == STAGE_SOON)
		for (volatile unsigned int i = 0; i < 500 * (round % 7); i++)
			;
	if ((stage == STAGE_PENDING && !wait_ms(LOST_MS, is_used, l)) || (stage == STAGE_TOLD && !wait_ms(LOST_MS, is_told, l))) {
		interrupts_on();
		fail("resets", "lost: %s does not answer", l->name);
		return false;
	}
	if (stage == STAGE_PENDING)
		settle(l);
	late = __atomic_load_n(&l->irqs, __ATOMIC_SEQ_CST);
	write32(at->base + V_STATUS, 0);
	ok = as_new("a status", l, !read32(at->base + V_STATUS) && !read32(at->base + V_ISR));
	used = virtio_used(v);
	interrupts_on();
	taken_by(hart);
	late = __atomic_load_n(&l->irqs, __ATOMIC_SEQ_CST) - late;
	came_late += late;
	ok = ok && as_new("used buffers", l, virtio_used(v) == used) && as_new("interrupts", l, late <= 2);
	if (!ok || !as_new("no start", l, virtio_start(v, at)))
		return false;
	l->irqs = 0;
	l->slot[0].serial = 0;
	submit(l, 0);
	virtio_kick(v);
	if (!wait_ms(LOST_MS, is_told, l)) {
		fail("resets", "lost: %s has no interrupt for the first request after a reset, used %u", l->name, virtio_used(v));
		return false;
	}
	taken_by(hart);
	if (l->irqs != 1 || virtio_pop(v, &len) || !right(l, 0, len)) {
		fail("resets", "%s: %u interrupts for the first request after a reset, used %u", l->name, l->irqs, virtio_used(v));
		return false;
	}
	irq_enable(at->irq, hart, false);
	return true;
}

static bool resets(uint32_t rounds)
{
	uint64_t start = now();
	bool ok = true;

	interrupts_on();
	for (unsigned int i = 0; i < n_loads; i++) {
		if (!loads[i].v)
			continue;
		irq_setup(loads[i].v->at->irq, false, on_victim, &loads[i]);
		for (unsigned int round = 0; ok && round < rounds; round++)
			ok = reset_once(&loads[i], round % STAGES, round);
	}
	interrupts_off();
	print("# resets: %u of each, %u interrupts came after one, %lu ms", rounds, came_late, in_us(now() - start) / 1000);
	if (ok)
		pass("resets");
	return ok;
}

/* --- all of it --- */

static bool add_virtio(uint32_t id, unsigned int n, const char *name)
{
	struct load *l = &loads[n_loads];
	const struct place *at = virtio_find(id, n);

	if (!at)
		return false;
	l->v = &vdev[n_loads];
	l->name = name;
	if (!virtio_start(l->v, at)) {
		fail("start", "%s does not take DRIVER_OK", name);
		return false;
	}
	irq_setup(at->irq, false, on_virtio, l);
	enable(at->irq, n_loads, true);
	n_loads++;
	return true;
}

static void add_uart(unsigned int n, irq_fn fn, const char *name)
{
	struct load *l = &loads[n_loads];

	l->uart = &machine.uart[n];
	l->name = name;
	irq_setup(l->uart->irq, true, fn, l);
	enable(l->uart->irq, n_loads, true);
	n_loads++;
}

void guest(void)
{
	uint32_t requests = (uint32_t)arg_number("requests", 500);
	bool ok;

	harts_start();
	if (!add_virtio(2, 0, "disk0") || !add_virtio(2, 1, "disk1") || !add_virtio(4, 0, "rng")) {
		fail("devices", "two disks and rng are needed, there are %u devices", machine.n_virtio);
		return;
	}
	add_uart(1, on_sender, "sender");
	add_uart(2, on_receiver, "receiver");
	print("# %u harts, %s, %u requests", machine.harts, irq_chip(), requests);
	ok = phase("one", 1, false, requests);
	ok = ok && phase("several", VQ_SLOTS, false, requests);
	if (!IRQ_ONE_TARGET) {
		ok = ok && phase("one-single-claim", 1, true, requests);
		ok = ok && phase("several-single-claim", VQ_SLOTS, true, requests);
	}
	interrupts_off();
	irq_single_claim = false;
	for (unsigned int i = 0; i < n_loads; i++)
		for (unsigned int h = 0; h < machine.harts; h++)
			irq_enable(loads[i].v ? loads[i].v->at->irq : loads[i].uart->irq, h, false);
	/* After a failure, what follows would wait long for what does not come. */
	if (!ok || !resets(4 * STAGES + requests / 10))
		return;
	edges(&vdev[2]);
}
