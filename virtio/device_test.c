// SPDX-License-Identifier: MIT
/* The status machine: negotiation, what a driver may change when, reset with requests in flight, pause, save and load. */
#include "tests/test.h"

#include <errno.h>
#include <time.h>

#include "base/sys.h"
#include "tests/mock_device.h"
#include "tests/mock_driver.h"

enum { ACK = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64, FAILED = 128 };
enum { STATUS = 0x70, QUEUE_SEL = 0x30, QUEUE_NUM = 0x38, QUEUE_READY = 0x44, NOTIFY = 0x50, GENERATION = 0xfc };

static const uint16_t sizes[] = {16, 64};

struct rig {
	struct mock_vm *vm;
	struct mock_device *m;
	struct mock_driver *d;
	bool destroyed;
};

static void rig_open(struct rig *r, unsigned int flags)
{
	memset(r, 0, sizeof(*r));
	r->vm = mock_vm_create(flags);
	CHECK_EQ(mock_device_create(&r->vm->env, sizes, 2, &r->m), 0);
	r->m->destroyed = &r->destroyed;
	r->d = mock_driver_create(r->vm, r->m->vd, IRQ_LEVEL);
}

static void rig_close(struct rig *r)
{
	mock_driver_destroy(r->d);
	mock_vm_stop(r->vm);
	virtio_destroy(r->m->vd);
	CHECK(r->destroyed);
	mock_vm_destroy(r->vm);
}

static bool works(struct mock_driver *d)
{
	char answer[4] = "";

	return mock_request(d, 0, "ping", 4, answer, 4) == 4 && !memcmp(answer, "ping", 4);
}

static void negotiation(void)
{
	struct rig r;
	struct mock_driver *d;

	rig_open(&r, 0);
	d = r.d;
	CHECK_EQ(mock_offered(d), VIRTIO_CORE_FEATURES | MOCK_DEVICE_F);
	mock_write32(d, 0x14, 2);
	CHECK_EQ(mock_read32(d, 0x10), 0);
	mock_write32(d, 0x14, UINT32_MAX);
	CHECK_EQ(mock_read32(d, 0x10), 0);
	CHECK_EQ(mock_negotiate(d, MOCK_F_VERSION_1), 0);
	CHECK_EQ(mock_negotiate(d, 0), -1);				     /* no VERSION_1 */
	CHECK_EQ(mock_negotiate(d, MOCK_DEVICE_F), -1);			     /* nor here */
	CHECK_EQ(mock_negotiate(d, MOCK_F_VERSION_1 | UINT64_C(1) << 6), -1);  /* not offered */
	CHECK_EQ(mock_negotiate(d, MOCK_F_VERSION_1 | UINT64_C(1) << 63), -1);
	CHECK_EQ(mock_negotiate(d, VIRTIO_CORE_FEATURES | MOCK_DEVICE_F), 0);
	CHECK_EQ(r.m->vd->features, VIRTIO_CORE_FEATURES | MOCK_DEVICE_F);
	/* After FEATURES_OK nothing changes them. */
	mock_write32(d, 0x24, 0);
	mock_write32(d, 0x20, 0);
	mock_write32(d, STATUS, ACK | DRIVER | FEATURES_OK);
	CHECK_EQ(r.m->vd->features, VIRTIO_CORE_FEATURES | MOCK_DEVICE_F);
	/* Words past 63 are nobody's. */
	mock_reset(d);
	mock_write32(d, 0x24, 2);
	mock_write32(d, 0x20, UINT32_MAX);
	CHECK_EQ(r.m->vd->s.driver_features, 0);
	rig_close(&r);
}

static void status(void)
{
	struct rig r;
	struct mock_driver *d;

	rig_open(&r, 0);
	d = r.d;
	CHECK_EQ(mock_read32(d, STATUS), 0);
	mock_write32(d, STATUS, ACK);
	mock_write32(d, STATUS, DRIVER); /* does not clear the first */
	CHECK_EQ(mock_read32(d, STATUS), ACK | DRIVER);
	mock_write32(d, STATUS, DRIVER_OK); /* before FEATURES_OK */
	CHECK_EQ(mock_read32(d, STATUS), ACK | DRIVER);
	mock_write32(d, STATUS, NEEDS_RESET | 0x30); /* not a driver's to set; unknown */
	CHECK_EQ(mock_read32(d, STATUS), ACK | DRIVER);
	mock_write32(d, STATUS, FEATURES_OK); /* refused: no VERSION_1 */
	CHECK_EQ(mock_read32(d, STATUS), ACK | DRIVER);
	CHECK_EQ(mock_negotiate(d, MOCK_F_VERSION_1), 0);
	mock_write32(d, STATUS, FAILED);
	CHECK_EQ(mock_read32(d, STATUS), ACK | DRIVER | FEATURES_OK | FAILED);
	mock_reset(d);
	CHECK_EQ(mock_read32(d, STATUS), 0);
	/* FEATURES_OK and DRIVER_OK at once: no queue can have been set up in between. */
	mock_write32(d, 0x24, 1);
	mock_write32(d, 0x20, 1);
	mock_write32(d, STATUS, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
	CHECK_EQ(mock_read32(d, STATUS), ACK | DRIVER | FEATURES_OK);
	CHECK_EQ(r.m->activated, 0);
	rig_close(&r);
}

/* Queue registers are taken only from FEATURES_OK to DRIVER_OK, and not while the queue is ready. */
static void queue_registers(void)
{
	struct queue_state *s;
	struct rig r;
	struct mock_driver *d;
	uint64_t desc;

	rig_open(&r, 0);
	d = r.d;
	s = &r.m->vd->queue[0].q.s;
	mock_reset(d);
	mock_write32(d, QUEUE_SEL, 0);
	mock_write32(d, QUEUE_NUM, 8);
	mock_write32(d, 0x80, 0x1000);
	mock_write32(d, QUEUE_READY, 1);
	CHECK(s->num == 16 && !s->desc && !s->ready);
	CHECK_EQ(mock_negotiate(d, MOCK_F_VERSION_1), 0);
	mock_write32(d, QUEUE_SEL, 2); /* there is none */
	CHECK_EQ(mock_read32(d, 0x34), 0);
	CHECK_EQ(mock_read32(d, QUEUE_READY), 0);
	mock_write32(d, QUEUE_NUM, 8);
	mock_write32(d, QUEUE_READY, 1);
	mock_write32(d, QUEUE_SEL, UINT32_MAX);
	mock_write32(d, QUEUE_READY, 1);
	mock_write32(d, QUEUE_SEL, 1);
	CHECK_EQ(mock_read32(d, 0x34), 64);
	CHECK_EQ(mock_read32(d, QUEUE_READY), 0);
	mock_write32(d, QUEUE_SEL, 0);
	mock_write32(d, QUEUE_NUM, 17); /* larger than offered: cannot become active */
	CHECK_EQ(s->num, 0);
	mock_write32(d, QUEUE_NUM, 0x10008);
	CHECK_EQ(s->num, 0);
	mock_write32(d, QUEUE_NUM, 8);
	mock_write32(d, 0x84, 0x11);
	mock_write32(d, 0x80, 0x1000);
	CHECK_EQ(s->desc, UINT64_C(0x1100001000));
	mock_write32(d, 0x84, 0);
	CHECK_EQ(s->desc, 0x1000);
	mock_write32(d, QUEUE_READY, 1);
	CHECK_EQ(mock_read32(d, QUEUE_READY), 1);
	mock_write32(d, QUEUE_NUM, 4);
	mock_write32(d, 0x80, 0x2000);
	CHECK(s->num == 8 && s->desc == 0x1000);
	mock_write32(d, QUEUE_READY, 0);
	CHECK_EQ(mock_read32(d, QUEUE_READY), 0);
	mock_write32(d, QUEUE_NUM, 4);
	CHECK_EQ(s->num, 4);

	CHECK_EQ(mock_start(d, MOCK_ALL), 0);
	desc = s->desc;
	mock_write32(d, QUEUE_SEL, 0);
	mock_write32(d, QUEUE_READY, 0);
	CHECK_EQ(mock_read32(d, QUEUE_READY), 1);
	mock_write32(d, QUEUE_NUM, 4);
	mock_write32(d, 0x80, 0x2000);
	mock_write32(d, 0x90, 0x2000);
	mock_write32(d, 0xa4, 0x2000);
	CHECK(s->num == 16 && s->desc == desc);
	CHECK(works(d));
	rig_close(&r);
}

static void activation(void)
{
	struct rig r;
	struct mock_driver *d;

	rig_open(&r, MOCK_LOOP);
	d = r.d;
	/* The device refuses. */
	r.m->activate_error = -EIO;
	CHECK_EQ(mock_start(d, MOCK_ALL), -1);
	CHECK_EQ(mock_read32(d, STATUS), ACK | DRIVER | FEATURES_OK | DRIVER_OK | NEEDS_RESET);
	CHECK_EQ(mock_isr(d), 2);
	CHECK_EQ(r.vm->n_said, 1);
	mock_write32(d, NOTIFY, 0);
	mock_settle(r.vm);
	CHECK_EQ(r.m->kicks, 0);
	CHECK_EQ(mock_start(d, MOCK_ALL), -1); /* said once, not once each */
	CHECK_EQ(r.vm->n_said, 1);
	/* A reset makes it good. */
	r.m->activate_error = 0;
	CHECK_EQ(mock_start(d, MOCK_ALL), 0);
	CHECK_EQ(mock_isr(d), 0);
	CHECK(works(d));
	/* A queue outside RAM. */
	CHECK_EQ(mock_negotiate(d, MOCK_F_VERSION_1), 0);
	mock_setup_queue(d, 0);
	mock_write32(d, QUEUE_READY, 0);
	mock_write32(d, 0x84, 0x7fff);
	mock_write32(d, QUEUE_READY, 1);
	mock_write32(d, STATUS, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
	CHECK_EQ(mock_read32(d, STATUS), ACK | DRIVER | FEATURES_OK | DRIVER_OK | NEEDS_RESET);
	/* Only one of two queues: fine, the other is not there. */
	CHECK_EQ(mock_negotiate(d, MOCK_F_VERSION_1), 0);
	mock_setup_queue(d, 0);
	mock_write32(d, STATUS, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
	CHECK_EQ(mock_read32(d, STATUS), ACK | DRIVER | FEATURES_OK | DRIVER_OK);
	CHECK(!virtio_queue(r.m->vd, 1));
	CHECK(!virtio_queue(r.m->vd, 2));
	CHECK(works(d));
	mock_write32(d, NOTIFY, 1);
	mock_write32(d, NOTIFY, 2);
	mock_write32(d, NOTIFY, UINT32_MAX);
	mock_settle(r.vm);
	CHECK(works(d));
	rig_close(&r);
}

static void broken_ring(bool packed)
{
	struct rig r;
	struct mock_driver *d;
	struct mock_buf bad = {0, 16, false};
	unsigned int kicks;

	rig_open(&r, MOCK_LOOP | MOCK_HV);
	d = r.d;
	for (unsigned int i = 0; i < 3; i++) {
		CHECK_EQ(mock_start(d, packed ? MOCK_ALL : MOCK_ALL & ~MOCK_F_PACKED), 0);
		CHECK(works(d));
		mock_isr(d);
		mock_add(d, 0, &bad, 1, MOCK_DIRECT);
		mock_kick(d, 0);
		mock_settle(r.vm);
		CHECK(mock_read32(d, STATUS) & NEEDS_RESET);
		CHECK_EQ(mock_isr(d), 2);
		CHECK_EQ(r.vm->n_said, 1);
		kicks = r.m->kicks;
		mock_write32(d, NOTIFY, 1); /* nothing is processed until reset */
		mock_settle(r.vm);
		CHECK_EQ(r.m->kicks, kicks);
	}
	rig_close(&r);
}

/* --- reset, pause, destroy with requests in flight --- */

static void sleep_ms(unsigned int ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

static void complete_all(void *ctx)
{
	struct mock_device *m = ctx;

	sleep_ms(5);
	mock_device_complete(m, UINT32_MAX, 0);
}

static void *complete_thread(void *ctx)
{
	complete_all(ctx);
	return NULL;
}

static unsigned int in_flight(struct virtio_device *vd)
{
	unsigned int n;

	virtio_lock(vd);
	n = vd->in_flight;
	virtio_unlock(vd);
	return n;
}

static void put_in_flight(struct rig *r, unsigned int n)
{
	struct mock_buf buf = {mock_alloc(r->vm, 16, 16), 16, true};

	r->m->hold = true;
	for (unsigned int i = 0; i < n; i++)
		CHECK(mock_add(r->d, 0, &buf, 1, MOCK_DIRECT) >= 0);
	mock_kick(r->d, 0);
	for (unsigned int i = 0; i < 1000 && in_flight(r->m->vd) < n; i++)
		sleep_ms(1);
	CHECK_EQ(in_flight(r->m->vd), n);
}

static void reset_in_flight(void)
{
	struct rig r;
	pthread_t thread;

	rig_open(&r, MOCK_LOOP);
	for (unsigned int i = 0; i < 4; i++) {
		CHECK_EQ(mock_start(r.d, i & 1 ? MOCK_ALL : MOCK_ALL & ~MOCK_F_PACKED), 0);
		put_in_flight(&r, 5);
		pthread_create(&thread, NULL, complete_thread, r.m);
		mock_reset(r.d); /* returns when they are done */
		CHECK_EQ(r.m->n_held, 0);
		CHECK_EQ(r.m->vd->in_flight, 0);
		CHECK_EQ(r.m->overrun, 0);
		CHECK_EQ(mock_read32(r.d, 0x60), 0); /* their interrupt went with the reset */
		CHECK(!atomic_load(&r.d->level));
		CHECK_EQ(mock_read32(r.d, QUEUE_READY), 0);
		pthread_join(thread, NULL);
		CHECK_EQ(r.m->resets, 2 * i + 2); /* mock_start resets, too */
	}
	r.m->hold = false;
	CHECK_EQ(mock_start(r.d, MOCK_ALL), 0);
	CHECK(works(r.d));
	rig_close(&r);
}

static void pause_and_resume(void)
{
	struct rig r;
	pthread_t thread;
	unsigned int kicks;
	struct mock_buf buf;
	uint32_t written;

	rig_open(&r, MOCK_LOOP);
	CHECK_EQ(mock_start(r.d, MOCK_ALL), 0);
	put_in_flight(&r, 3);
	pthread_create(&thread, NULL, complete_thread, r.m);
	virtio_pause(r.m->vd);
	CHECK_EQ(r.m->vd->in_flight, 0);
	pthread_join(thread, NULL);
	for (unsigned int i = 0; i < 3; i++)
		CHECK(mock_used(r.d, 0, &written) >= 0);
	r.m->hold = false;
	kicks = r.m->kicks;
	buf = (struct mock_buf){mock_alloc(r.vm, 16, 16), 16, true};
	CHECK(mock_add(r.d, 0, &buf, 1, MOCK_DIRECT) >= 0);
	mock_kick(r.d, 0);
	mock_settle(r.vm);
	CHECK_EQ(r.m->kicks, kicks);
	CHECK_EQ(mock_used(r.d, 0, &written), (uint64_t)-1);
	virtio_resume(r.m->vd); /* the doorbell was kept */
	CHECK(mock_wait(r.d, 0, &written) >= 0);
	rig_close(&r);
}

static void destroy_in_flight(void)
{
	struct rig r;

	rig_open(&r, MOCK_LOOP);
	CHECK_EQ(mock_start(r.d, MOCK_ALL), 0);
	put_in_flight(&r, 3);
	mock_driver_destroy(r.d);
	mock_vm_stop(r.vm);
	CHECK_EQ(loop_post(r.vm->loop, complete_all, r.m), 0); /* the last completions of stopped I/O */
	virtio_destroy(r.m->vd);
	CHECK(r.destroyed);
	mock_vm_destroy(r.vm);
}

struct race {
	struct rig r;
	atomic_bool stop;
};

static void *race_complete(void *ctx)
{
	struct race *race = ctx;

	while (!atomic_load(&race->stop))
		mock_device_complete(race->r.m, 1, 1);
	return NULL;
}

static void *race_ring(void *ctx)
{
	struct race *race = ctx;

	/* Another vCPU rings without a lock, whatever happens. */
	for (unsigned int i = 0; !atomic_load(&race->stop); i++)
		virtio_ring(race->r.m->vd, i % 3);
	return NULL;
}

static void reset_race(void)
{
	static struct race race;
	pthread_t complete, ring;

	rig_open(&race.r, MOCK_LOOP);
	race.r.m->hold = true;
	pthread_create(&complete, NULL, race_complete, &race);
	pthread_create(&ring, NULL, race_ring, &race);
	for (unsigned int i = 0; i < 150; i++) {
		struct mock_buf buf = {MOCK_RAM_BASE + MOCK_RAM_SIZE - 64, 64, true};

		race.r.vm->next = MOCK_RAM_BASE;
		CHECK_EQ(mock_start(race.r.d, i & 1 ? MOCK_ALL : MOCK_F_EVENT_IDX), 0);
		for (unsigned int k = 0; k < i % 17; k++)
			if (mock_add(race.r.d, k & 1, &buf, 1, MOCK_DIRECT) >= 0)
				mock_kick(race.r.d, k & 1);
		if (i % 3 == 0)
			sched_yield();
		mock_reset(race.r.d);
		CHECK_EQ(race.r.m->vd->in_flight, 0);
	}
	CHECK_EQ(race.r.m->overrun, 0);
	atomic_store(&race.stop, true);
	pthread_join(complete, NULL);
	pthread_join(ring, NULL);
	rig_close(&race.r);
}

/* --- configuration space --- */

static void config(void)
{
	struct rig r;
	uint32_t generation;
	uint8_t buf[16], byte = 0xaa;

	rig_open(&r, 0);
	virtio_lock(r.m->vd);
	virtio_config_changed(r.m->vd);
	virtio_unlock(r.m->vd);
	CHECK_EQ(mock_isr(r.d), 0); /* before DRIVER_OK nobody is told */
	CHECK_EQ(mock_start(r.d, MOCK_ALL), 0);
	generation = mock_read32(r.d, GENERATION);
	virtio_lock(r.m->vd);
	r.m->config[4] = 99;
	virtio_config_changed(r.m->vd);
	virtio_unlock(r.m->vd);
	CHECK(mock_read32(r.d, GENERATION) != generation);
	CHECK_EQ(mock_isr(r.d), 2);
	mock_read(r.d, 0x104, buf, 1);
	CHECK_EQ(buf[0], 99);
	memset(buf, 0x55, sizeof(buf));
	virtio_lock(r.m->vd);
	virtio_config_read(r.m->vd, 60, buf, 8); /* half outside */
	virtio_unlock(r.m->vd);
	CHECK(buf[0] == 60 && buf[3] == 63 && !buf[4] && !buf[7] && buf[8] == 0x55);
	mock_read(r.d, 0x100 + 64, buf, 4);
	CHECK(!buf[0]);
	mock_write(r.d, 0x100 + 63, "\x01\x02", 2); /* crosses the end */
	CHECK_EQ(r.m->config[63], 1);
	mock_write(r.d, 0x100 + 64, &byte, 1);
	mock_write(r.d, 0x100 + 3, &byte, 1);
	CHECK_EQ(r.m->config[3], 0xaa);
	generation = mock_read32(r.d, GENERATION);
	mock_reset(r.d);
	CHECK_EQ(mock_read32(r.d, GENERATION), generation); /* goes on counting */
	rig_close(&r);
}

/* --- save and load --- */

static void save_and_load(uint64_t features)
{
	struct rig a, b;
	char *state, *bad;
	int64_t size;
	struct err e = {0};
	struct mock_buf buf;
	struct mock_driver *d;
	uint32_t written;
	uint64_t page[512];

	rig_open(&a, 0);
	CHECK_EQ(mock_start(a.d, features), 0);
	for (unsigned int i = 0; i < 21; i++)
		CHECK(works(a.d));
	a.m->config[7] = 77;
	size = virtio_save(a.m->vd, NULL, 0);
	CHECK(size > 0);
	state = calloc(1, size);
	bad = calloc(1, size);
	CHECK_EQ(virtio_save(a.m->vd, state, size), -EBUSY);
	virtio_pause(a.m->vd);
	buf = (struct mock_buf){mock_alloc(a.vm, 16, 16), 16, true};
	CHECK(mock_add(a.d, 0, &buf, 1, MOCK_DIRECT) >= 0); /* rung while paused: must not be forgotten */
	mock_kick(a.d, 0);
	CHECK_EQ(virtio_save(a.m->vd, state, size - 1), -ENOSPC);
	CHECK_EQ(virtio_save(a.m->vd, state, size), size);

	rig_open(&b, 0);
	for (uint64_t at = MOCK_RAM_BASE; at < a.vm->next; at += sizeof(page)) {
		memory_read(a.vm->memory, at, page, sizeof(page));
		memory_write(b.vm->memory, at, page, sizeof(page));
	}
	CHECK_EQ(virtio_load(b.m->vd, state, size, &e), -EBUSY); /* not paused */
	virtio_pause(b.m->vd);
	CHECK_EQ(virtio_load(b.m->vd, state, size - 1, NULL), -EINVAL);
	/* A state that is not one, in each of its bytes: refused, or taken without harm. */
	for (int64_t i = 0; i < size; i++) {
		static const uint8_t values[] = {0x00, 0xff, 0x80, 0x01};

		for (unsigned int k = 0; k < sizeof(values); k++) {
			memcpy(bad, state, size);
			bad[i] = values[k];
			if (virtio_load(b.m->vd, bad, size, NULL) >= 0) {
				virtio_resume(b.m->vd);
				virtio_pause(b.m->vd);
			}
			virtio_lock(b.m->vd);
			virtio_set_status(b.m->vd, 0);
			virtio_unlock(b.m->vd);
		}
	}
	for (uint64_t at = MOCK_RAM_BASE; at < a.vm->next; at += sizeof(page)) {
		memory_read(a.vm->memory, at, page, sizeof(page));
		memory_write(b.vm->memory, at, page, sizeof(page));
	}
	memset(&e, 0, sizeof(e));
	CHECK_EQ(virtio_load(b.m->vd, state, size, &e), 0);
	CHECK_STR(e.text, "");
	CHECK_EQ(b.m->config[7], 77);
	CHECK_EQ(mock_isr(b.d), 1); /* told once, to be sure */
	virtio_resume(b.m->vd);
	/* The driver goes on where it was. */
	d = b.d;
	memcpy(d->queue, a.d->queue, sizeof(d->queue));
	d->features = a.d->features;
	d->n_queues = a.d->n_queues;
	b.vm->next = a.vm->next;
	CHECK(mock_used(d, 0, &written) >= 0);
	for (unsigned int i = 0; i < 21; i++)
		CHECK(works(d));
	free(state);
	free(bad);
	rig_close(&a);
	rig_close(&b);
}

static void creation(void)
{
	struct mock_vm *vm = mock_vm_create(0);
	struct mock_device *m;

	CHECK_EQ(mock_device_create(&vm->env, (uint16_t[]){0}, 1, &m), -EINVAL);
	CHECK_EQ(mock_device_create(&vm->env, (uint16_t[]){QUEUE_MAX_SIZE + 1}, 1, &m), -EINVAL);
	virtio_destroy(NULL);
	mock_vm_destroy(vm);
}

int main(void)
{
	creation();
	negotiation();
	status();
	queue_registers();
	activation();
	broken_ring(false);
	broken_ring(true);
	reset_in_flight();
	pause_and_resume();
	destroy_in_flight();
	reset_race();
	config();
	save_and_load(MOCK_ALL);
	save_and_load(MOCK_F_VERSION_1);
	return test_result();
}
