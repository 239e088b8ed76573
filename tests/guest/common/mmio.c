// SPDX-License-Identifier: MIT
/*
 * virtio-mmio registers as drivers see them: the same before the first DRIVER_OK, when reads leave the guest, and afterwards, when a page answers;
 * what may be written when; resets, also with requests in flight.
 * Arguments: resets=N.
 */
#include "guest.h"

#define MAX_QUEUES 18
#define CONFIG_WORDS 16

struct picture {
	uint32_t id[4], features[4], queue_max[MAX_QUEUES], ready[MAX_QUEUES], status, isr, generation, shm[4];
	uint32_t config[CONFIG_WORDS];
	uint8_t bytes[4 * CONFIG_WORDS];
	uint16_t halves[2 * CONFIG_WORDS];
};

static struct vdev v;
static struct picture before, after;
static uint8_t data[512], head[16], answer;
static char name[32];

static const char *named(unsigned int device, const char *what)
{
	unsigned int n = 0;

	for (const char *s = "device"; *s; s++)
		name[n++] = *s;
	if (device > 9)
		name[n++] = (char)('0' + device / 10);
	name[n++] = (char)('0' + device % 10);
	name[n++] = '-';
	while (*what && n < sizeof(name) - 1)
		name[n++] = *what++;
	name[n] = 0;
	return name;
}

static void look(uint64_t b, struct picture *p)
{
	for (unsigned int i = 0; i < 4; i++) {
		p->id[i] = read32(b + 4 * i);
		write32(b + V_FEATURES_SEL, i);
		p->features[i] = read32(b + V_FEATURES);
		p->shm[i] = read32(b + 0x0b0 + 4 * i);
	}
	for (unsigned int q = 0; q < MAX_QUEUES; q++) {
		write32(b + V_QUEUE_SEL, q == MAX_QUEUES - 1 ? UINT32_MAX : q);
		p->queue_max[q] = read32(b + V_QUEUE_MAX);
		p->ready[q] = read32(b + V_QUEUE_READY);
	}
	write32(b + V_QUEUE_SEL, 0);
	p->status = read32(b + V_STATUS);
	p->isr = read32(b + V_ISR);
	p->generation = read32(b + V_GENERATION);
	for (unsigned int i = 0; i < CONFIG_WORDS; i++)
		p->config[i] = read32(b + V_CONFIG + 4 * i);
	for (unsigned int i = 0; i < 4 * CONFIG_WORDS; i++)
		p->bytes[i] = read8(b + V_CONFIG + i);
	for (unsigned int i = 0; i < 2 * CONFIG_WORDS; i++)
		p->halves[i] = read16(b + V_CONFIG + 2 * i);
	/* A disk's cache mode: a driver that does not take FLUSH turns it to write-through (virtio 1.3, 5.2.6.2). */
	if (p->id[2] == 2)
		p->config[8] = p->bytes[32] = p->halves[16] = 0;
}

/* The first word that differs, or -1. */
static int difference(const struct picture *a, const struct picture *b)
{
	const uint8_t *x = (const uint8_t *)a, *y = (const uint8_t *)b;

	for (unsigned int i = 0; i < sizeof(*a); i++)
		if (x[i] != y[i])
			return (int)i;
	return -1;
}

static void compare(unsigned int device, const char *what)
{
	int at = difference(&before, &after);

	check(at < 0, named(device, what), "differs at byte %d of the picture: 0x%x, before 0x%x", at,
	      ((const uint8_t *)&after)[at < 0 ? 0 : at], ((const uint8_t *)&before)[at < 0 ? 0 : at]);
}

/* A request and its answer, without interrupts. */
static bool answered(void *ctx)
{
	return virtio_used(&v) != v.seen;
}

/* The used buffer is there before the interrupt that tells of it. */
static bool told(void *ctx)
{
	return answered(NULL) && read32(v.at->base + V_ISR) & 1;
}

static void ask(unsigned int slot)
{
	struct vseg seg[3] = { { head, 16, false }, { data, sizeof(data), true }, { &answer, 1, true } };

	if (v.id == 4) {
		virtio_add(&v, slot, seg + 1, 1);
	} else {
		*(uint64_t *)(void *)head = 0;
		*(uint64_t *)(void *)(head + 8) = slot;
		virtio_add(&v, slot, seg, 3);
	}
}

static bool works(void)
{
	if (v.id != 2 && v.id != 4)
		return true;
	answer = 0xff;
	ask(0);
	virtio_kick(&v);
	if (!wait_ms(10000, told, NULL))
		return false;
	virtio_pop(&v, NULL);
	if (v.id == 2 && *(volatile uint8_t *)&answer)
		return false;
	write32(v.at->base + V_ACK, 1);
	/* May wait in the host's ring until this leaves the guest. */
	write32(v.at->base + V_QUEUE_SEL, 0);
	return !read32(v.at->base + V_ISR);
}

static void rules(const struct place *at, unsigned int d)
{
	uint64_t b = at->base;

	/* DRIVER_OK before FEATURES_OK, FEATURES_OK without VIRTIO_F_VERSION_1, and with what was not offered */
	write32(b + V_STATUS, 0);
	write32(b + V_STATUS, 1 | 2 | 4);
	check_equal(named(d, "driver-ok-early"), read32(b + V_STATUS), 1 | 2);
	write32(b + V_STATUS, 1 | 2 | 8);
	check_equal(named(d, "no-version-1"), read32(b + V_STATUS), 1 | 2);
	write32(b + V_DRIVER_FEATURES_SEL, 1);
	write32(b + V_DRIVER_FEATURES, UINT32_MAX);
	write32(b + V_STATUS, 1 | 2 | 8);
	check_equal(named(d, "not-offered"), read32(b + V_STATUS), 1 | 2);
	write32(b + V_STATUS, 1);
	check_equal(named(d, "status-kept"), read32(b + V_STATUS), 1 | 2);
	/* A queue that is not aligned */
	write32(b + V_DRIVER_FEATURES, 1);
	write32(b + V_STATUS, 1 | 2 | 8);
	write32(b + V_QUEUE_SEL, 0);
	write32(b + V_QUEUE_NUM, 8);
	write32(b + V_DESC, 0x80000001);
	write32(b + V_QUEUE_READY, 1);
	write32(b + V_STATUS, 1 | 2 | 8 | 4);
	check(read32(b + V_STATUS) & 0x40, named(d, "needs-reset"), "status 0x%x", read32(b + V_STATUS));
	write32(b + V_STATUS, 0);
	check_equal(named(d, "reset"), read32(b + V_STATUS), 0);
}

static void frozen(unsigned int d)
{
	uint64_t b = v.at->base;

	write32(b + V_QUEUE_READY, 0);
	write32(b + V_QUEUE_NUM, 2);
	write32(b + V_DESC, 0);
	write32(b + V_DRIVER_FEATURES, 0);
	write8(b + V_STATUS, 0);
	write16(b + V_STATUS, 0);
	write64(b + V_STATUS, 0);
	check_equal(named(d, "ready-frozen"), read32(b + V_QUEUE_READY), 1);
	check_equal(named(d, "status-frozen"), read32(b + V_STATUS), 15);
	check(works(), named(d, "queue-frozen"), "no answer");
}

/* Anything but what moves queues and writes to them. */
static void noise(uint64_t b)
{
	uint32_t x = 12345;

	for (unsigned int i = 0; i < 500; i++) {
		uint32_t offset;

		x = x * 1664525 + 1013904223;
		offset = (x >> 12) % 0x200;
		switch (x >> 28 & 3) {
		case 0: offset &= ~3u; break;
		case 1: write8(b + offset, (uint8_t)(x >> 8)); continue;
		case 2: write16(b + (offset & ~1u), (uint16_t)(x >> 8)); continue;
		default: write64(b + (offset & ~7u), x); continue;
		}
		if (offset == V_QUEUE_READY || offset == V_STATUS || (offset >= V_DESC && offset < V_DEVICE + 8))
			continue;
		write32(b + offset, x >> 3);
	}
}

static void device(unsigned int d)
{
	const struct place *at = &machine.virtio[d];
	uint64_t b = at->base;
	uint32_t resets = (uint32_t)arg_number("resets", 50);
	bool ok = true;

	look(b, &before);
	check(before.id[0] == 0x74726976 && before.id[1] == 2 && before.id[2], named(d, "identity"), "0x%x, %u, %u", before.id[0],
	      before.id[1], before.id[2]);
	check(before.features[1] & 1, named(d, "version-1"), "is not offered");
	check(!before.features[2] && !before.features[3], named(d, "features-beyond"), "are not 0");
	check(before.queue_max[0] && !before.queue_max[MAX_QUEUES - 1], named(d, "queue-max"), "%u, wild %u", before.queue_max[0],
	      before.queue_max[MAX_QUEUES - 1]);
	rules(at, d);
	look(b, &after);
	compare(d, "before-page");
	if (!virtio_start(&v, at)) {
		fail(named(d, "start"), "status 0x%x", read32(b + V_STATUS));
		return;
	}
	look(b, &after);
	check(after.ready[0] == 1 && after.status == 15, named(d, "active"), "ready %u, status 0x%x", after.ready[0], after.status);
	before.ready[0] = 1;
	before.status = 15;
	compare(d, "page");
	before.ready[0] = before.status = 0;
	check(works(), named(d, "works"), "no answer");
	frozen(d);
	write32(b + V_STATUS, 0);
	look(b, &after);
	/* The generation may go on counting; here nothing changed. */
	compare(d, "page-after-reset");
	rules(at, d);
	noise(b);
	print("%s", ""); /* a console's noise ends with its line */
	write32(b + V_STATUS, 0);
	look(b, &after);
	compare(d, "page-after-noise");
	for (uint32_t i = 0; i < resets && ok; i++) {
		ok = virtio_start(&v, at) && works();
		if (ok && (v.id == 2 || v.id == 4)) {
			/* Reset with requests in flight: after it nothing more may be used. */
			for (unsigned int s = 0; s < VQ_SLOTS; s++)
				ask(s);
			virtio_kick(&v);
			if (i & 1)
				delay_ms(1);
			write32(b + V_STATUS, 0);
			ok = !read32(b + V_STATUS) && !read32(b + V_ISR);
			if (ok) {
				uint16_t used = virtio_used(&v);

				delay_ms(1);
				ok = virtio_used(&v) == used && !read32(b + V_ISR);
			}
		}
	}
	check(ok, named(d, "resets"), "not like new, status 0x%x, interrupt status 0x%x", read32(b + V_STATUS), read32(b + V_ISR));
	write32(b + V_STATUS, 0);
	look(b, &after);
	compare(d, "page-after-resets");
}

void guest(void)
{
	check(machine.n_virtio > 0, "devices", "there are none");
	for (unsigned int d = 0; d < machine.n_virtio; d++)
		device(d);
}
