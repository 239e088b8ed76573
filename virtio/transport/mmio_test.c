// SPDX-License-Identifier: MIT
/* virtio-mmio: registers of every width, the page that shows them without exits, queued acknowledges, and a model of the interrupt. */
#include "tests/test.h"

#include <errno.h>
#include <pthread.h>

#include "base/endian.h"
#include "base/sys.h"
#include "hv/scripted.h"
#include "tests/mock_device.h"
#include "tests/mock_driver.h"

enum { ISR = 0x60, ACK = 0x64, STATUS = 0x70, NOTIFY = 0x50, QUEUE_SEL = 0x30, GENERATION = 0xfc, CONFIG = 0x100 };
enum { NEEDS_RESET = 64 };

static const uint16_t sizes[] = {16, 64};

static uint32_t rng = 1;

static uint32_t next(uint32_t below)
{
	rng = rng * 1664525 + 1013904223;
	return (rng >> 8) % below;
}

struct rig {
	struct mock_vm *vm;
	struct mock_device *m;
	struct mock_driver *d;
};

static void rig_open(struct rig *r, unsigned int flags, enum irq_trigger trigger)
{
	r->vm = mock_vm_create(flags);
	CHECK_EQ(mock_device_create(&r->vm->env, sizes, 2, &r->m), 0);
	r->d = mock_driver_create(r->vm, r->m->vd, trigger);
}

static void rig_close(struct rig *r)
{
	mock_driver_destroy(r->d);
	if (r->vm->hv) {
		CHECK_EQ(hv_scripted_ioeventfds(r->vm->hv), 0);
		CHECK_EQ(hv_scripted_memory_slots(r->vm->hv), 0);
	}
	mock_vm_stop(r->vm);
	virtio_destroy(r->m->vd);
	mock_vm_destroy(r->vm);
}

static bool works(struct mock_driver *d)
{
	char answer[4] = "";

	return mock_request(d, 0, "ping", 4, answer, 4) == 4 && !memcmp(answer, "ping", 4);
}

/* --- registers --- */

static void registers(unsigned int flags)
{
	struct rig r;
	struct mock_driver *d;
	uint8_t buf[8];

	rig_open(&r, flags, IRQ_LEVEL);
	d = r.d;
	for (unsigned int started = 0; started < 2; started++) {
		CHECK_EQ(mock_read32(d, 0x00), 0x74726976);
		CHECK_EQ(mock_read32(d, 0x04), 2);
		CHECK_EQ(mock_read32(d, 0x08), MOCK_DEVICE_ID);
		CHECK_EQ(mock_read32(d, 0x0c), 0x4d564b4c);
		CHECK_EQ(mock_read32(d, 0xb0), UINT32_MAX); /* no shared memory */
		CHECK_EQ(mock_read32(d, 0xb4), UINT32_MAX);
		CHECK_EQ(mock_read32(d, 0xc0), 0); /* QueueReset: not offered */
		mock_write32(d, 0xc0, 1);
		CHECK_EQ(mock_read32(d, 0xc0), 0);
		mock_write32(d, 0x00, 7); /* read-only */
		CHECK_EQ(mock_read32(d, 0x00), 0x74726976);
		for (uint32_t at = 0x14; at < 0x30; at += 4)
			CHECK_EQ(mock_read32(d, at), 0); /* write-only or reserved */
		for (unsigned int i = 0; i < MOCK_DEVICE_CONFIG; i++) {
			mock_read(d, CONFIG + i, buf, 1);
			CHECK_EQ(buf[0], i);
		}
		for (unsigned int len = 2; len <= 8; len *= 2) {
			mock_read(d, CONFIG + 16, buf, len);
			CHECK_EQ(buf[len - 1], 16 + len - 1);
		}
		mock_read(d, CONFIG + MOCK_DEVICE_CONFIG, buf, 8);
		CHECK_EQ(get_le64(buf), 0);
		mock_read(d, VIRTIO_MMIO_SIZE - 8, buf, 8);
		CHECK_EQ(get_le64(buf), 0);
		if (!started)
			CHECK_EQ(mock_start(d, MOCK_ALL), 0);
	}
	/* Control registers are words: other widths read as 0 and write nothing. */
	mock_reset(d);
	mock_write(d, STATUS, "\1", 1);
	mock_write(d, STATUS, "\1\0", 2);
	mock_write(d, STATUS, "\1\0\0\0\0\0\0\0", 8);
	mock_write(d, STATUS + 1, "\1\0\0\0", 4);
	CHECK_EQ(mock_read32(d, STATUS), 0);
	if (!(flags & MOCK_HV)) {
		mock_read(d, 0x00, buf, 2);
		CHECK_EQ(get_le16(buf), 0);
		mock_read(d, 0x02, buf, 4);
		CHECK_EQ(get_le32(buf), 0);
		mock_read(d, 0x00, buf, 8);
		CHECK_EQ(get_le64(buf), 0);
	}
	rig_close(&r);
}

static void creation(void)
{
	struct mock_vm *vm = mock_vm_create(0);
	struct mock_device *m, *other;
	struct virtio_mmio *mmio = NULL, *second = NULL;
	struct err e = {0};
	struct virtio_mmio_config config = {.base = 0x10000000};

	CHECK_EQ(mock_device_create(&vm->env, sizes, 2, &m), 0);
	CHECK_EQ(mock_device_create(&vm->env, sizes, 2, &other), 0);
	config.base = 0x10000800;
	CHECK_EQ(virtio_mmio_create(m->vd, vm->bus, &config, &mmio, &e), -EINVAL);
	CHECK(strlen(e.text) > 0);
	config.base = 0x10000000;
	CHECK_EQ(virtio_mmio_create(m->vd, vm->bus, &config, &mmio, &e), 0);
	CHECK_EQ(virtio_mmio_create(other->vd, vm->bus, &config, &second, &e), -EEXIST);
	CHECK(!second);
	virtio_mmio_destroy(mmio);
	CHECK_EQ(virtio_mmio_create(other->vd, vm->bus, &config, &second, &e), 0);
	/* No line connected, no hypervisor: nothing to fall over. */
	virtio_lock(other->vd);
	other->vd->s.status = 4;
	virtio_config_changed(other->vd);
	virtio_unlock(other->vd);
	virtio_mmio_destroy(second);
	virtio_mmio_destroy(NULL);
	virtio_destroy(m->vd);
	virtio_destroy(other->vd);
	mock_vm_destroy(vm);
}

/* --- the page --- */

/* What the page shows is what the registers read. */
static bool page_true(struct rig *r)
{
	bool same = true;

	for (uint32_t at = 0; at < CONFIG + MOCK_DEVICE_CONFIG + 16; at += 4) {
		uint8_t shown[4], truth[4] = {0};

		if (!hv_scripted_guest_read(r->vm->hv, r->d->base + at, shown, 4))
			return false;
		bus_read(r->vm->bus, &r->vm->reader, r->d->base + at, truth, 4);
		if (memcmp(shown, truth, 4)) {
			fprintf(stderr, "register 0x%x shows 0x%x, is 0x%x\n", at, get_le32(shown), get_le32(truth));
			same = false;
		}
	}
	return same;
}

static void page(void)
{
	struct rig r;
	uint64_t exits;

	rig_open(&r, MOCK_LOOP | MOCK_HV, IRQ_LEVEL);
	CHECK_EQ(hv_scripted_memory_slots(r.vm->hv), 0);
	CHECK_EQ(mock_start(r.d, MOCK_ALL), 0);
	CHECK_EQ(hv_scripted_memory_slots(r.vm->hv), 1);
	CHECK_EQ(hv_scripted_ioeventfds(r.vm->hv), 2);
	CHECK(page_true(&r));
	/* A request, its interrupt and its acknowledge: no exit. */
	exits = virtio_mmio_exits(r.d->mmio);
	for (unsigned int i = 0; i < 100; i++) {
		CHECK(works(r.d));
		CHECK_EQ(mock_isr(r.d), 1);
	}
	CHECK_EQ(virtio_mmio_exits(r.d->mmio), exits);
	CHECK(page_true(&r));
	/* Whatever is written, the page stays true. */
	for (unsigned int i = 0; i < 3000; i++) {
		uint8_t buf[8];
		uint32_t at = next(4) ? 4 * next((CONFIG + MOCK_DEVICE_CONFIG) / 4) : next(VIRTIO_MMIO_SIZE - 8);
		unsigned int len = next(4) ? 4 : 1u << next(4);

		for (unsigned int k = 0; k < 8; k++)
			buf[k] = next(3) ? 0 : (uint8_t)next(256);
		if (at == STATUS && next(4))
			continue;
		mock_write(r.d, at, buf, len);
		if (next(8) == 0) {
			virtio_lock(r.m->vd);
			for (unsigned int k = next(20); k; k--)
				r.m->config[next(MOCK_DEVICE_CONFIG)] = (uint8_t)next(256);
			virtio_config_changed(r.m->vd);
			virtio_unlock(r.m->vd);
		}
		if (next(50) == 0) {
			CHECK_EQ(mock_start(r.d, MOCK_ALL), 0);
			r.vm->next = MOCK_RAM_BASE;
		}
		mock_settle(r.vm);
		coalescer_drain(r.vm->coalescer);
		if (!page_true(&r)) {
			CHECK(!"the page tells the truth");
			break;
		}
	}
	CHECK_EQ(mock_start(r.d, MOCK_ALL), 0);
	CHECK_EQ(hv_scripted_memory_slots(r.vm->hv), 1);
	CHECK(works(r.d));
	mock_reset(r.d);
	CHECK(page_true(&r));
	rig_close(&r);
}

/* One thread changes all of the configuration space to one value, again and again; the driver, reading the page, never sees two. */
struct writer {
	struct mock_device *m;
	atomic_bool stop;
	atomic_uint changes;
	bool few; /* one word only */
};

static void *writer_thread(void *ctx)
{
	struct writer *w = ctx;

	for (uint8_t v = 1; !atomic_load(&w->stop); v++) {
		virtio_lock(w->m->vd);
		memset(w->m->config, v, w->few ? 4 : MOCK_DEVICE_CONFIG);
		virtio_config_changed(w->m->vd);
		virtio_unlock(w->m->vd);
		atomic_fetch_add(&w->changes, 1);
		sched_yield();
	}
	return NULL;
}

static void config_consistent(bool few)
{
	struct writer w = {.few = few};
	struct rig r;
	pthread_t thread;
	unsigned int torn = 0, reads = 0;
	uint64_t end;

	rig_open(&r, MOCK_LOOP | MOCK_HV, IRQ_EDGE);
	memset(r.m->config, 0, sizeof(r.m->config));
	CHECK_EQ(mock_start(r.d, MOCK_ALL), 0);
	w.m = r.m;
	pthread_create(&thread, NULL, writer_thread, &w);
	/* Two numbers, or 5 seconds where the machine has other things to do. */
	for (end = sys_now_ns() + UINT64_C(5000000000);
	     sys_now_ns() < end && (reads < 2000 || atomic_load(&w.changes) < 200); reads++) {
		uint8_t buf[MOCK_DEVICE_CONFIG];
		uint32_t words[MOCK_DEVICE_CONFIG / 4], before, after;
		unsigned int tries = 0, n = few ? 1 : MOCK_DEVICE_CONFIG / 4;

		do {
			before = mock_read32(r.d, GENERATION);
			atomic_thread_fence(memory_order_seq_cst);
			for (unsigned int i = 0; i < n; i++)
				words[i] = mock_read32(r.d, CONFIG + 4 * i);
			atomic_thread_fence(memory_order_seq_cst);
			after = mock_read32(r.d, GENERATION);
		} while (before != after && tries++ < 1000);
		if (before != after)
			continue;
		memcpy(buf, words, sizeof(words));
		for (unsigned int i = 1; i < 4 * n; i++)
			torn += buf[i] != buf[0];
	}
	atomic_store(&w.stop, true);
	pthread_join(thread, NULL);
	CHECK(reads > 10 && atomic_load(&w.changes) > 10);
	CHECK_EQ(torn, 0);
	rig_close(&r);
}

/* --- without this or that --- */

static void degrade(void)
{
	unsigned long nth = 1, calls = 0;

	/* Every host call of a whole life fails once; the device works all the same. */
	do {
		struct rig r;

		r.vm = mock_vm_create_failing(MOCK_LOOP | MOCK_HV, nth);
		CHECK_EQ(mock_device_create(&r.vm->env, sizes, 2, &r.m), 0);
		r.d = mock_driver_create(r.vm, r.m->vd, nth & 1 ? IRQ_LEVEL : IRQ_EDGE);
		CHECK_EQ(mock_start(r.d, MOCK_ALL), 0);
		CHECK(works(r.d));
		CHECK_EQ(mock_isr(r.d), 1);
		coalescer_drain(r.vm->coalescer);
		CHECK(!atomic_load(&r.d->level));
		virtio_lock(r.m->vd);
		memset(r.m->config, 0x5a, sizeof(r.m->config));
		virtio_config_changed(r.m->vd);
		virtio_unlock(r.m->vd);
		CHECK_EQ(mock_read32(r.d, CONFIG + 8), 0x5a5a5a5a);
		CHECK_EQ(mock_isr(r.d), 2);
		CHECK(works(r.d));
		mock_driver_destroy(r.d);
		calls = hv_scripted_calls(r.vm->hv);
		mock_vm_stop(r.vm);
		virtio_destroy(r.m->vd);
		mock_vm_destroy(r.vm);
	} while (++nth <= calls && nth < 100);
	CHECK(nth > 5 && nth < 100);
}

static void plain(void)
{
	struct rig r;

	rig_open(&r, MOCK_LOOP, IRQ_LEVEL);
	CHECK_EQ(mock_start(r.d, MOCK_ALL), 0);
	for (unsigned int i = 0; i < 10; i++) {
		CHECK(works(r.d));
		CHECK(atomic_load(&r.d->level));
		CHECK_EQ(mock_isr(r.d), 1);
		CHECK(!atomic_load(&r.d->level));
	}
	CHECK_EQ(atomic_load(&r.d->raises), 10);
	CHECK(virtio_mmio_exits(r.d->mmio) >= 30);
	rig_close(&r);
}

static void level_and_edge(void)
{
	struct rig r;

	rig_open(&r, MOCK_LOOP | MOCK_HV, IRQ_LEVEL);
	CHECK_EQ(mock_start(r.d, MOCK_ALL), 0);
	CHECK(works(r.d));
	CHECK(atomic_load(&r.d->level));
	CHECK_EQ(mock_isr(r.d), 1);
	CHECK(atomic_load(&r.d->level)); /* the acknowledge waits */
	coalescer_drain(r.vm->coalescer);
	CHECK(!atomic_load(&r.d->level));
	CHECK_EQ(atomic_load(&r.d->raises), 1);
	/* Queued, and then the next request: low, then high again. */
	CHECK(works(r.d));
	CHECK_EQ(mock_isr(r.d), 1);
	CHECK(works(r.d));
	CHECK_EQ(atomic_load(&r.d->raises), 3);
	/* A bit that was not there when the handler read stays. */
	CHECK_EQ(mock_read32(r.d, ISR), 1);
	virtio_lock(r.m->vd);
	virtio_config_changed(r.m->vd);
	virtio_unlock(r.m->vd);
	mock_write32(r.d, ACK, 1);
	coalescer_drain(r.vm->coalescer);
	CHECK_EQ(mock_read32(r.d, ISR), 2);
	CHECK(atomic_load(&r.d->level));
	/* Acknowledges of other widths and bits are nothing. */
	mock_write(r.d, ACK, "\2", 1);
	mock_write(r.d, ACK + 2, "\2\0", 2);
	mock_write32(r.d, ACK, ~2u);
	coalescer_drain(r.vm->coalescer);
	CHECK_EQ(mock_read32(r.d, ISR), 2);
	mock_reset(r.d);
	CHECK_EQ(mock_read32(r.d, ISR), 0);
	CHECK(!atomic_load(&r.d->level));
	rig_close(&r);

	rig_open(&r, MOCK_LOOP | MOCK_HV, IRQ_EDGE);
	CHECK_EQ(mock_start(r.d, MOCK_ALL), 0);
	for (unsigned int i = 0; i < 5; i++) {
		CHECK(works(r.d));
		CHECK_EQ(atomic_load(&r.d->raises), i + 1);
		CHECK_EQ(mock_isr(r.d), 1);
	}
	CHECK(!atomic_load(&r.d->level));
	rig_close(&r);
}

/* Queued acknowledges count as taken; a level line follows what is loaded, an edge line has no edge of it. */
static void saved(enum irq_trigger trigger)
{
	struct rig r;

	rig_open(&r, MOCK_LOOP | MOCK_HV, trigger);
	CHECK_EQ(mock_start(r.d, MOCK_ALL), 0);
	CHECK_EQ(virtio_mmio_save(r.d->mmio), 0);
	CHECK(works(r.d));
	CHECK_EQ(virtio_mmio_save(r.d->mmio), 1);
	CHECK_EQ(mock_isr(r.d), 1);
	CHECK_EQ(virtio_mmio_save(r.d->mmio), 0);
	CHECK(!atomic_load(&r.d->level));
	CHECK_EQ(virtio_mmio_load(r.d->mmio, 3), 0);
	CHECK_EQ(mock_read32(r.d, ISR), 3);
	CHECK_EQ(atomic_load(&r.d->level), trigger == IRQ_LEVEL);
	CHECK_EQ(virtio_mmio_load(r.d->mmio, 4), -EINVAL);
	CHECK_EQ(virtio_mmio_save(r.d->mmio), 3);
	CHECK_EQ(virtio_mmio_load(r.d->mmio, 0), 0);
	CHECK_EQ(mock_read32(r.d, ISR), 0);
	CHECK(!atomic_load(&r.d->level));
	CHECK_EQ(atomic_load(&r.d->raises), 1 + (trigger == IRQ_LEVEL));
	rig_close(&r);
}

/* --- the model --- */

/*
 * A guest with an interrupt controller (level with a gateway, or edge with a latch) whose complete waits in the same ring as the
 * acknowledge. Its handler is cut into its single accesses, and these are played at random moments: between the device's steps, and inside
 * them where the device calls out (before and after it applies queued writes, around a change of the line).
 */
enum guest_at { GUEST_IDLE, GUEST_READ, GUEST_ACK, GUEST_LOOK, GUEST_COMPLETE };

struct model {
	struct mock_vm *vm;
	struct mock_device *m;
	struct virtio_mmio *mmio;
	enum irq_trigger trigger;
	bool lossy; /* negative control: queued writes are not applied before raising */
	/* the controller */
	bool level, latched, in_service;
	/* the device */
	unsigned int used, config, raises;
	/* the guest */
	enum guest_at at;
	uint32_t isr;
	unsigned int used_seen, config_seen, claims, nothing;
	unsigned int queued; /* at most: keeps the ring from filling up where a full one could not be handled */
};

#define MODEL_BASE UINT64_C(0x10020000)
#define MODEL_COMPLETE UINT64_C(0x0c201004)

static void model_drain(struct model *g)
{
	coalescer_drain(g->vm->coalescer);
	g->queued = 0;
}

static void model_complete(void *ctx, uint64_t gpa, const void *data, unsigned int len)
{
	struct model *g = ctx;

	g->in_service = false;
}

static void model_write(struct model *g, uint64_t gpa, uint32_t v)
{
	uint8_t buf[4];

	put_le32(buf, v);
	if (!hv_scripted_guest_write(g->vm->hv, gpa, buf, 4)) {
		model_drain(g);
		if (!bus_write(g->vm->bus, &g->vm->reader, gpa, buf, 4) && gpa == MODEL_COMPLETE)
			model_complete(g, gpa, buf, 4);
	}
	g->queued++;
}

/* One access of the guest. may_exit: claims leave the guest (and drain), which is not possible while the device's locks are held. */
static void guest_step(struct model *g, bool may_exit)
{
	uint8_t buf[4];

	switch (g->at) {
	case GUEST_IDLE:
		if (!may_exit)
			return;
		model_drain(g);
		if (g->in_service || !(g->trigger == IRQ_LEVEL ? g->level : g->latched))
			return;
		g->in_service = true;
		g->latched = false;
		g->claims++;
		g->at = GUEST_READ;
		return;
	case GUEST_READ:
		if (!hv_scripted_guest_read(g->vm->hv, MODEL_BASE + ISR, buf, 4)) {
			CHECK(!"the page is there");
			return;
		}
		g->isr = get_le32(buf);
		g->nothing += !g->isr;
		g->at = g->isr ? GUEST_ACK : GUEST_COMPLETE;
		return;
	case GUEST_ACK:
		if (!may_exit && g->queued > 40)
			return;
		model_write(g, MODEL_BASE + ACK, g->isr);
		g->at = GUEST_LOOK;
		return;
	case GUEST_LOOK:
		if (g->isr & 1)
			g->used_seen = g->used;
		if (g->isr & 2)
			g->config_seen = g->config;
		g->at = GUEST_COMPLETE;
		return;
	case GUEST_COMPLETE:
		if (!may_exit && g->queued > 40)
			return;
		model_write(g, MODEL_COMPLETE, 1);
		g->at = GUEST_IDLE;
		return;
	}
}

static void guest_some(struct model *g, bool may_exit)
{
	for (unsigned int n = next(6); n; n--)
		guest_step(g, may_exit);
}

static void model_set(void *ctx, unsigned int n, bool level)
{
	struct model *g = ctx;

	guest_some(g, false);
	g->level = level;
	guest_some(g, false);
}

static void model_pulse(void *ctx, unsigned int n)
{
	struct model *g = ctx;

	guest_some(g, false);
	g->latched = true;
	guest_some(g, false);
}

static void model_sync(void *ctx)
{
	struct model *g = ctx;

	guest_some(g, true);
	if (!g->lossy)
		model_drain(g);
	guest_some(g, true);
}

static const struct irq_ops model_irq = {
	.set = model_set,
	.pulse = model_pulse,
	.sync = model_sync,
};

static void device_step(struct model *g)
{
	struct virtio_device *vd = g->m->vd;

	virtio_lock(vd);
	if (next(4)) {
		g->used++;
		g->raises++;
		vd->transport->notify_queue(vd->transport_ctx, 0);
	} else {
		g->config++;
		g->raises++;
		vd->transport->notify_config(vd->transport_ctx);
	}
	virtio_unlock(vd);
}

/* True when nothing was lost. */
static bool model_run(struct model *g, unsigned int steps)
{
	for (unsigned int i = 0; i < steps; i++) {
		switch (next(5)) {
		case 0:
			device_step(g);
			break;
		case 1:
			model_drain(g);
			break;
		default:
			guest_step(g, true);
			break;
		}
		if (g->at == GUEST_IDLE && !g->lossy) {
			/* Idle and with everything applied: a line that is low means that there is nothing to see. */
			model_drain(g);
			if (!(g->trigger == IRQ_LEVEL ? g->level : g->latched) &&
			    (g->used_seen != g->used || g->config_seen != g->config))
				return false;
		}
	}
	for (unsigned int i = 0; i < 100; i++)
		guest_step(g, true);
	model_drain(g);
	return g->used_seen == g->used && g->config_seen == g->config;
}

static void model(enum irq_trigger trigger, bool lossy)
{
	struct model g = {.vm = mock_vm_create(MOCK_LOOP | MOCK_HV), .trigger = trigger, .lossy = lossy};
	struct mock_driver *d;
	struct virtio_mmio_config config;
	unsigned int lost = 0;

	CHECK_EQ(mock_device_create(&g.vm->env, sizes, 2, &g.m), 0);
	/* Started through the mock's transport of the same address, then taken over by ours with the model's line. */
	config = (struct virtio_mmio_config){
		.hv = g.vm->hv,
		.slot = 3,
		.base = MODEL_BASE,
		.coalescer = g.vm->coalescer,
		.irq = {.ops = &model_irq, .ctx = &g, .n = 1, .trigger = trigger},
	};
	CHECK_EQ(MODEL_BASE, MOCK_MMIO_BASE);
	CHECK_EQ(coalescer_add(g.vm->coalescer, MODEL_COMPLETE, 4, model_complete, &g), 0);
	CHECK_EQ(virtio_mmio_create(g.m->vd, g.vm->bus, &config, &g.mmio, NULL), 0);
	d = calloc(1, sizeof(*d));
	d->transport = &mock_over_mmio;
	d->vm = g.vm;
	d->vd = g.m->vd;
	d->base = MODEL_BASE;
	g.at = GUEST_COMPLETE; /* not in its handler during the set-up */
	g.queued = 1000;
	CHECK_EQ(mock_start(d, MOCK_ALL), 0);
	mock_settle(g.vm);
	g.at = GUEST_IDLE;
	g.queued = 0;
	for (unsigned int round = 0; round < 400; round++) {
		rng = round + 1;
		g.claims = g.raises = 0;
		if (!model_run(&g, 100)) {
			lost++;
			break; /* the state is of no use any more */
		}
		if (lossy)
			continue;
		CHECK(g.claims <= g.raises); /* none doubled */
		CHECK_EQ(mock_read32(d, ISR), 0);
		CHECK(!g.level);
		if (trigger == IRQ_LEVEL)
			CHECK_EQ(g.nothing, 0); /* and none for nothing */
	}
	CHECK_EQ(lost, lossy);
	g.at = GUEST_COMPLETE;
	g.queued = 1000;
	g.lossy = true;
	virtio_mmio_destroy(g.mmio);
	coalescer_remove(g.vm->coalescer, MODEL_COMPLETE);
	free(d);
	mock_vm_stop(g.vm);
	virtio_destroy(g.m->vd);
	mock_vm_destroy(g.vm);
}

/* The same with real threads: a driver that sleeps until interrupted, and a device that is never asked twice. */
struct stress {
	struct rig r;
	atomic_uint used;
	atomic_bool stop;
};

static void *stress_device(void *ctx)
{
	struct stress *s = ctx;
	struct virtio_device *vd = s->r.m->vd;

	for (unsigned int i = 0; !atomic_load(&s->stop); i++) {
		virtio_lock(vd);
		atomic_store_explicit(&s->used, i + 1, memory_order_release);
		vd->transport->notify_queue(vd->transport_ctx, 0);
		virtio_unlock(vd);
		/* Only go on when it was seen now and then, so that the last one counts. */
		if (i % 7 == 0)
			sched_yield();
	}
	return NULL;
}

static void stress(void)
{
	static struct stress s;
	pthread_t thread;
	unsigned int seen = 0, handled = 0;
	uint64_t end = 0;
	bool done = false;

	rig_open(&s.r, MOCK_LOOP | MOCK_HV, IRQ_LEVEL);
	CHECK_EQ(mock_start(s.r.d, MOCK_ALL), 0);
	mock_settle(s.r.vm);
	pthread_create(&thread, NULL, stress_device, &s);
	end = sys_now_ns() + UINT64_C(5000000000);
	while (!done) {
		if (!atomic_load(&s.stop) && ((handled > 5000 && seen > 5000) || sys_now_ns() > end)) {
			atomic_store(&s.stop, true);
			pthread_join(thread, NULL);
		}
		if (atomic_load(&s.r.d->level)) {
			uint32_t isr = mock_isr(s.r.d);

			atomic_thread_fence(memory_order_seq_cst); /* the kernel's, between queueing the write and the guest's next access */
			if (isr)
				seen = atomic_load_explicit(&s.used, memory_order_acquire);
			handled++;
			if (next(4) == 0)
				coalescer_drain(s.r.vm->coalescer);
		} else if (atomic_load(&s.stop)) {
			coalescer_drain(s.r.vm->coalescer);
			done = !atomic_load(&s.r.d->level);
		}
	}
	CHECK_EQ(seen, atomic_load(&s.used));
	CHECK(handled > 10 && seen > 10);
	rig_close(&s.r);
}

int main(void)
{
	creation();
	registers(0);
	registers(MOCK_LOOP);
	registers(MOCK_LOOP | MOCK_HV);
	plain();
	page();
	config_consistent(true);
	config_consistent(false);
	degrade();
	level_and_edge();
	saved(IRQ_LEVEL);
	saved(IRQ_EDGE);
	model(IRQ_LEVEL, false);
	model(IRQ_EDGE, false);
	model(IRQ_LEVEL, true);
	model(IRQ_EDGE, true);
	stress();
	return test_result();
}
