// SPDX-License-Identifier: MIT
/* virtio-ccw's notifications: indicators of both kinds, doorbells, eventfds. */
#include "virtio/transport/ccw_rig_test.h"

static void test_classic(void)
{
	uint8_t raw[25], bad[8];
	unsigned int raises;
	struct bench b;

	bench_begin(&b, 0);
	start_without_indicators(&b);
	raises = atomic_load(&b.d->raises);
	CHECK(works(&b)); /* nobody is told */
	CHECK_EQ(atomic_load(&b.d->raises), raises);

	put_be64(raw, low(&b, MOCK_LOW_IND));
	check_lengths(&b, SET_IND, raw, 8);
	put_be64(raw, low(&b, MOCK_LOW_CONF_IND));
	check_lengths(&b, SET_CONF_IND, raw, 8);
	static const uint64_t outside[] = {1, UINT64_MAX, UINT64_MAX - 7, MOCK_RAM_BASE - 1, MOCK_RAM_BASE + MOCK_RAM_SIZE - 7, MOCK_RAM_BASE - 8};
	for (unsigned int i = 0; i < ARRAY_SIZE(outside); i++) {
		put_be64(bad, outside[i]);
		CHECK(rejected(&b, SET_IND, bad, 8));
		CHECK(rejected(&b, SET_CONF_IND, bad, 8));
	}
	put_thin(raw, low(&b, MOCK_LOW_SUMMARY), low(&b, MOCK_LOW_IND), 0, MOCK_AIRQ_ISC);
	CHECK(rejected(&b, SET_IND_ADAPTER, raw, 25)); /* one kind or the other */

	/* Bit n of a big-endian doubleword; unsolicited status, once while it waits. */
	raises = atomic_load(&b.d->raises);
	CHECK(works(&b));
	CHECK_EQ(byte_at(&b, low(&b, MOCK_LOW_IND) + 7), 1);
	CHECK_EQ(atomic_load(&b.d->raises), raises + 1);
	used_buffer(&b, 1);
	used_buffer(&b, 13);
	used_buffer(&b, 63);
	used_buffer(&b, 64);
	CHECK_EQ(byte_at(&b, low(&b, MOCK_LOW_IND) + 7), 3);
	CHECK_EQ(byte_at(&b, low(&b, MOCK_LOW_IND) + 6), 0x20);
	CHECK_EQ(byte_at(&b, low(&b, MOCK_LOW_IND)), 0x80);
	CHECK_EQ(byte_at(&b, low(&b, MOCK_LOW_IND) + 8), 0);
	CHECK_EQ(byte_at(&b, low(&b, MOCK_LOW_IND) - 1), 0);
	while (mock_ccw_alert(b.d))
		;
	raises = atomic_load(&b.d->raises);
	virtio_lock(b.vd);
	virtio_config_changed(b.vd);
	virtio_unlock(b.vd);
	CHECK_EQ(byte_at(&b, low(&b, MOCK_LOW_CONF_IND) + 7), 1);
	CHECK_EQ(atomic_load(&b.d->raises), raises + 1);
	CHECK(mock_ccw_alert(b.d));
	CHECK(!mock_ccw_alert(b.d));

	/* Taken away: address 0. */
	memory_zero(b.vm->memory, low(&b, MOCK_LOW_IND), 64);
	memset(raw, 0, 8);
	CHECK(good(&b, SET_IND, raw, 8));
	CHECK(good(&b, SET_CONF_IND, raw, 8));
	raises = atomic_load(&b.d->raises);
	CHECK(works(&b));
	virtio_lock(b.vd);
	virtio_config_changed(b.vd);
	virtio_unlock(b.vd);
	CHECK_EQ(atomic_load(&b.d->raises), raises);
	CHECK_EQ(byte_at(&b, low(&b, MOCK_LOW_IND) + 7), 0);
	put_thin(raw, low(&b, MOCK_LOW_SUMMARY), low(&b, MOCK_LOW_IND), 0, MOCK_AIRQ_ISC);
	CHECK(good(&b, SET_IND_ADAPTER, raw, 25)); /* which makes room for the other kind */
	bench_end(&b);
}

static void test_adapter(void)
{
	uint64_t end = MOCK_RAM_BASE + MOCK_RAM_SIZE;
	uint8_t raw[25], ind[8];
	unsigned int raises;
	struct bench b;

	bench_begin(&b, 0);
	start_without_indicators(&b);
	put_thin(raw, low(&b, MOCK_LOW_SUMMARY), low(&b, MOCK_LOW_IND), 14, MOCK_AIRQ_ISC);
	check_lengths(&b, SET_IND_ADAPTER, raw, 25);
	put_be64(ind, low(&b, MOCK_LOW_IND));
	CHECK(rejected(&b, SET_IND, ind, 8));
	CHECK(good(&b, SET_CONF_IND, ind, 8)); /* these are always classic */
	memset(ind, 0, 8);
	CHECK(good(&b, SET_CONF_IND, ind, 8));
	{
		const struct {
			uint64_t summary, indicator, bit;
			uint8_t isc;
		} wrong[] = {
			{low(&b, MOCK_LOW_SUMMARY), low(&b, MOCK_LOW_IND), 0, 8},
			{end, low(&b, MOCK_LOW_IND), 0, 1}, {low(&b, MOCK_LOW_SUMMARY), end, 0, 1},
			{low(&b, MOCK_LOW_SUMMARY), end - 1, 7, 1}, /* the second queue's bit lies outside */
			{low(&b, MOCK_LOW_SUMMARY), low(&b, MOCK_LOW_IND), UINT64_MAX, 1},
			{low(&b, MOCK_LOW_SUMMARY), UINT64_MAX, 8, 1},
			{low(&b, MOCK_LOW_SUMMARY), UINT64_MAX, 8 * (MOCK_RAM_BASE + 1), 1}, /* around the end, into RAM */
			{low(&b, MOCK_LOW_SUMMARY), low(&b, MOCK_LOW_IND), 8 * MOCK_LOW_SIZE, 1},
		};

		for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
			uint8_t bad[25];

			put_thin(bad, wrong[i].summary, wrong[i].indicator, wrong[i].bit, wrong[i].isc);
			CHECK(rejected(&b, SET_IND_ADAPTER, bad, 25));
		}
	}
	put_thin(raw, low(&b, MOCK_LOW_SUMMARY), end - 1, 6, 1);
	CHECK(good(&b, SET_IND_ADAPTER, raw, 25)); /* just inside */
	put_thin(raw, low(&b, MOCK_LOW_SUMMARY), low(&b, MOCK_LOW_IND), 14, MOCK_AIRQ_ISC);
	CHECK(good(&b, SET_IND_ADAPTER, raw, 25));

	/* Bits counted from the left, a summary of 1, and one interruption until the driver has cleared that. */
	raises = atomic_load(&b.d->raises);
	CHECK(works(&b));
	CHECK_EQ(byte_at(&b, low(&b, MOCK_LOW_IND)), 0);
	CHECK_EQ(byte_at(&b, low(&b, MOCK_LOW_IND) + 1), 2);
	CHECK_EQ(byte_at(&b, low(&b, MOCK_LOW_SUMMARY)), 1);
	CHECK_EQ(atomic_load(&b.d->raises), raises + 1);
	used_buffer(&b, 1);
	used_buffer(&b, 1);
	CHECK_EQ(byte_at(&b, low(&b, MOCK_LOW_IND) + 1), 3);
	CHECK_EQ(atomic_load(&b.d->raises), raises + 1);
	memory_zero(b.vm->memory, low(&b, MOCK_LOW_SUMMARY), 1);
	used_buffer(&b, 0);
	CHECK_EQ(byte_at(&b, low(&b, MOCK_LOW_SUMMARY)), 1);
	CHECK_EQ(atomic_load(&b.d->raises), raises + 2);
	CHECK(!mock_ccw_alert(b.d)); /* the subchannel has nothing to do with it */

	/* Forgotten with the reset. */
	memory_zero(b.vm->memory, low(&b, MOCK_LOW_IND), 64);
	CHECK(good(&b, VDEV_RESET, NULL, 0));
	used_buffer(&b, 0);
	CHECK_EQ(byte_at(&b, low(&b, MOCK_LOW_SUMMARY)), 0);
	put_be64(ind, low(&b, MOCK_LOW_IND));
	CHECK(good(&b, SET_IND, ind, 8));
	bench_end(&b);
}

/* A driver that clears summary and indicators as Linux does sees every notification that comes meanwhile. */
struct storm {
	struct bench b;
	atomic_uint told, done;
};

static void *storm_device(void *ctx)
{
	struct storm *s = ctx;

	for (unsigned int i = 0; i < 20000; i++) {
		atomic_fetch_add(&s->told, 1); /* "the used buffer" */
		used_buffer(&s->b, i & 1);
	}
	atomic_store(&s->done, 1);
	return NULL;
}

static void test_storm(void)
{
	unsigned int handled = 0, seen = 0, interrupts = 0;
	struct storm s = {0};
	pthread_t thread;
	uint8_t raw[25];

	bench_begin(&s.b, 0);
	start_without_indicators(&s.b);
	put_thin(raw, low(&s.b, MOCK_LOW_SUMMARY), low(&s.b, MOCK_LOW_IND), 3, MOCK_AIRQ_ISC);
	CHECK(good(&s.b, SET_IND_ADAPTER, raw, 25));
	handled = atomic_load(&s.b.d->raises);
	CHECK_EQ(pthread_create(&thread, NULL, storm_device, &s), 0);
	for (bool last = false; !last;) {
		last = atomic_load(&s.done);
		if (atomic_load(&s.b.d->raises) == handled) {
			sched_yield();
			continue;
		}
		handled++;
		interrupts++;
		last = false;
		mock_isr(s.b.d); /* may find nothing: an indicator that was seen between its setting and the summary's */
		seen = atomic_load(&s.told);
	}
	pthread_join(thread, NULL);
	while (atomic_load(&s.b.d->raises) != handled) {
		handled++;
		mock_isr(s.b.d);
		seen = atomic_load(&s.told);
	}
	CHECK_EQ(seen, 20000);
	CHECK(interrupts);
	bench_end(&s.b);
}

/* --- doorbells --- */

static void test_notify(void)
{
	static const uint64_t wrong[] = {2, UINT64_MAX, UINT64_C(1) << 32};
	uint8_t chsc[CHSC_PAGE] = {0};
	struct bench b;
	uint64_t exits;

	bench_begin(&b, MOCK_LOOP | MOCK_HV);
	CHECK_EQ(hv_scripted_ioeventfds(b.vm->hv), 0);
	CHECK_EQ(mock_start(b.d, MOCK_ALL), 0);
	CHECK_EQ(hv_scripted_ioeventfds(b.vm->hv), 2);
	exits = virtio_ccw_exits(b.d->ccw);
	CHECK(works(&b));
	CHECK_EQ(virtio_ccw_exits(b.d->ccw), exits); /* in the kernel */
	CHECK_EQ(virtio_ccw_notify(b.vm->css, b.d->sid, 1), 0);
	CHECK_EQ(virtio_ccw_exits(b.d->ccw), exits + 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++)
		CHECK((int64_t)virtio_ccw_notify(b.vm->css, b.d->sid, wrong[i]) < 0);
	CHECK((int64_t)virtio_ccw_notify(b.vm->css, b.d->sid + 1, 0) < 0);
	CHECK((int64_t)virtio_ccw_notify(b.vm->css, 0, 0) < 0);
	CHECK((int64_t)virtio_ccw_notify(b.vm->css, UINT32_MAX, 0) < 0);
	/* The guest switches to longer names of subchannels; no doorbell is left behind. */
	put_be16(chsc, 0x400);
	put_be16(chsc + 2, CHSC_SET_DOMAIN);
	CHECK_EQ(css_chsc(b.vm->css, chsc), 0);
	CHECK_EQ(get_be16(chsc + 0x402), CHSC_OK);
	virtio_ccw_destroy(b.d->ccw);
	b.d->ccw = NULL;
	CHECK_EQ(hv_scripted_ioeventfds(b.vm->hv), 0);
	CHECK((int64_t)virtio_ccw_notify(b.vm->css, b.d->sid, 0) < 0);
	bench_end(&b);
}

/* Eventfds that interrupt without us: with adapter indicators, where the machine can. */
struct routed {
	struct hv_route route;
	unsigned int isc, n;
	int fd;
};

static void no_interrupt(void *ctx, unsigned int isc)
{
}

static int routed_irqfd(void *ctx, const struct hv_route *route, unsigned int isc, int fd, bool connect)
{
	struct routed *r = ctx;

	*r = (struct routed){*route, isc, connect ? r->n + 1 : r->n - 1, fd};
	return 0;
}

static void test_call(void)
{
	static const struct virtio_ccw_machine_ops can = {.adapter_interrupt = no_interrupt, .adapter_irqfd = routed_irqfd};
	static const struct virtio_ccw_machine_ops cannot = {.adapter_interrupt = no_interrupt};
	struct routed routed = {.n = 0};
	uint8_t raw[25];
	struct bench b;

	for (unsigned int i = 0; i < 2; i++) {
		struct virtio_ccw_config config = {.ops = i ? &cannot : &can, .ctx = &routed};

		bench_begin(&b, 0);
		virtio_ccw_destroy(b.d->ccw);
		CHECK_EQ(virtio_ccw_create(b.vd, b.vm->css, &config, &b.d->ccw, NULL), 0);
		mock_ccw_enable(b.d);
		CHECK(mock_ccw_revision(b.d, 1));
		virtio_lock(b.vd);
		CHECK_EQ(b.vd->transport->call(b.vd->transport_ctx, 1, 77, true), -EOPNOTSUPP); /* no adapter indicators */
		virtio_unlock(b.vd);
		put_thin(raw, low(&b, MOCK_LOW_SUMMARY), low(&b, MOCK_LOW_IND), 9, 5);
		CHECK(good(&b, SET_IND_ADAPTER, raw, 25));
		virtio_lock(b.vd);
		CHECK_EQ(b.vd->transport->call(b.vd->transport_ctx, 1, 77, true), i ? -EOPNOTSUPP : 0);
		virtio_unlock(b.vd);
		if (!i) {
			CHECK(routed.route.is_adapter && routed.isc == 5 && routed.fd == 77 && routed.n == 1);
			CHECK_EQ(routed.route.adapter.ind, low(&b, MOCK_LOW_IND) + 1);
			CHECK_EQ(routed.route.adapter.ind_offset, 2);
			CHECK_EQ(routed.route.adapter.summary, low(&b, MOCK_LOW_SUMMARY));
			CHECK_EQ(routed.route.adapter.summary_offset, 7);
			/* However far away the bits are: KVM looks for them in ind's page alone. */
			put_thin(raw, low(&b, MOCK_LOW_SUMMARY), MOCK_RAM_BASE, 8 * 0x1234 + 9, 5);
			CHECK(good(&b, SET_IND_ADAPTER, raw, 25));
			virtio_lock(b.vd);
			CHECK_EQ(b.vd->transport->call(b.vd->transport_ctx, 1, 77, true), 0);
			virtio_unlock(b.vd);
			CHECK_EQ(routed.route.adapter.ind, MOCK_RAM_BASE + 0x1235);
			CHECK_EQ(routed.route.adapter.ind_offset, 2);
		}
		bench_end(&b);
	}
}

int main(void)
{
	test_classic();
	test_adapter();
	test_storm();
	test_notify();
	test_call();
	return test_result();
}
