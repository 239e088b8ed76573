// SPDX-License-Identifier: MIT
/* virtio-ccw's commands, each with good and bad input, by channel programs; indicators; doorbells; resets; saved state. */
#include <errno.h>
#include <sched.h>

#include "base/endian.h"
#include "base/sys.h"
#include "hv/scripted.h"
#include "tests/mock_ccw.h"
#include "tests/mock_device.h"
#include "tests/test.h"

enum { WRITE_FEAT = 0x11, READ_FEAT = 0x12, SET_VQ = 0x13, WRITE_CONF = 0x21, READ_CONF = 0x22, WRITE_STATUS = 0x31, READ_VQ_CONF = 0x32 };
enum { VDEV_RESET = 0x33, SET_IND = 0x43, SET_CONF_IND = 0x53, READ_STATUS = 0x72, SET_IND_ADAPTER = 0x73, SET_VIRTIO_REV = 0x83 };
enum { SENSE_ID = 0xe4, ACK = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64, FAILED = 128 };
#define REJECT 0x80
#define NORMAL (DSTAT_CHANNEL_END | DSTAT_DEVICE_END)

struct bench {
	struct mock_vm *vm;
	struct mock_device *m;
	struct virtio_device *vd;
	struct mock_driver *d;
	struct mock_ccw_result r;
};

static void bench_begin(struct bench *b, unsigned int flags)
{
	static const uint16_t sizes[] = {16, 64};

	*b = (struct bench){.vm = mock_vm_create(flags)};
	CHECK_EQ(mock_device_create(&b->vm->env, sizes, 2, &b->m), 0);
	b->vd = b->m->vd;
	b->d = mock_driver_create_over(&mock_over_ccw, b->vm, b->vd, IRQ_EDGE);
}

static void bench_end(struct bench *b)
{
	mock_driver_destroy(b->d);
	mock_vm_stop(b->vm);
	virtio_destroy(b->vd);
	mock_vm_destroy(b->vm);
}

/* As a device says it. */
static void used_buffer(struct bench *b, unsigned int n)
{
	virtio_lock(b->vd);
	b->vd->transport->notify_queue(b->vd->transport_ctx, n);
	virtio_unlock(b->vd);
}

static bool works(struct bench *b)
{
	char answer[4] = "";

	return mock_request(b->d, 0, "ping", 4, answer, 4) == 4 && !memcmp(answer, "ping", 4);
}

/* The command, exactly as long as it says. */
static bool good(struct bench *b, uint8_t code, void *buf, uint16_t count)
{
	return mock_ccw(b->d, code, 0, buf, count, &b->r);
}

/* Unit check with command reject, and nothing else. */
static bool rejected(struct bench *b, uint8_t code, void *buf, uint16_t count)
{
	return !mock_ccw(b->d, code, MOCK_SLI, buf, count, &b->r) && !b->r.cc && b->r.dstat == (NORMAL | DSTAT_UNIT_CHECK) &&
	       !b->r.cstat && b->r.sense == REJECT;
}

/* Every command that takes data: one byte less than it needs is rejected; one more is too long, which only SLI forgives. */
static void check_lengths(struct bench *b, uint8_t code, const void *data, uint16_t len)
{
	uint8_t buf[64] = {0};

	for (uint16_t n = 1; n < len; n++) {
		memcpy(buf, data, len);
		CHECK(rejected(b, code, buf, n));
		CHECK(!mock_ccw(b->d, code, 0, buf, n, &b->r));
		CHECK_EQ(b->r.dstat, NORMAL | DSTAT_UNIT_CHECK);
		CHECK_EQ(b->r.cstat, CSTAT_INCORRECT_LENGTH);
	}
	memcpy(buf, data, len);
	CHECK(!mock_ccw(b->d, code, 0, buf, len + 7, &b->r));
	CHECK_EQ(b->r.dstat, NORMAL);
	CHECK_EQ(b->r.cstat, CSTAT_INCORRECT_LENGTH);
	CHECK_EQ(b->r.left, 7);
	memcpy(buf, data, len);
	CHECK(mock_ccw(b->d, code, MOCK_SLI, buf, len + 7, &b->r));
	CHECK_EQ(b->r.left, 7);
	memcpy(buf, data, len);
	CHECK(good(b, code, buf, len));
	CHECK_EQ(b->r.left, 0);
}

static void test_identity(void)
{
	uint8_t id[7];
	struct bench b;

	bench_begin(&b, 0);
	CHECK(mock_ccw(b.d, SENSE_ID, MOCK_SLI, id, sizeof(id), NULL));
	CHECK_EQ(id[0], 0xff);
	CHECK_EQ(get_be16(id + 1), 0x3832);
	CHECK_EQ(id[3], MOCK_DEVICE_ID);
	for (unsigned int code = 0x11; code < 256; code++) {
		static const uint8_t known[] = {0x11, 0x12, 0x13, 0x21, 0x22, 0x31, 0x32, 0x33, 0x43, 0x53, 0x72, 0x73, 0x83};

		/* TIC, NOP and the SENSE family are the channel subsystem's; without modifier bits it is no command. */
		if (memchr(known, (int)code, sizeof(known)) || !(code & 3) || (code & 0xf) == 8 || code == 3)
			continue;
		CHECK(rejected(&b, (uint8_t)code, id, 4));
	}
	bench_end(&b);
}

static void test_revision(void)
{
	static const uint8_t junk[3][4] = {{0, 3, 0, 0}, {0, 1, 0, 1}, {0xff, 0xff, 0, 0}};
	uint8_t raw[16] = {0}, one[4] = {0, 1, 0, 0}, two[4] = {0, 2, 0, 0}, zero[4] = {0};
	struct bench b;

	bench_begin(&b, 0); /* has selected 2 */
	CHECK(rejected(&b, SET_VIRTIO_REV, two, 4));
	CHECK(rejected(&b, SET_VIRTIO_REV, one, 4));
	CHECK(good(&b, READ_STATUS, raw, 1));
	mock_ccw_enable(b.d);
	for (unsigned int i = 0; i < 3; i++) {
		memcpy(raw, junk[i], 4);
		CHECK(rejected(&b, SET_VIRTIO_REV, raw, 4));
	}
	for (uint16_t n = 1; n < 4; n++)
		CHECK(rejected(&b, SET_VIRTIO_REV, one, n));
	/* Nothing of that was a selection. */
	CHECK(good(&b, SET_VIRTIO_REV, one, 4));
	CHECK(rejected(&b, SET_VIRTIO_REV, one, 4));
	CHECK(rejected(&b, SET_VIRTIO_REV, two, 4));
	CHECK(rejected(&b, READ_STATUS, raw, 1));
	CHECK(good(&b, VDEV_RESET, NULL, 0)); /* which does not forget it */
	CHECK(rejected(&b, SET_VIRTIO_REV, two, 4));

	mock_ccw_enable(b.d);
	memcpy(raw, two, 4);
	CHECK(mock_ccw(b.d, SET_VIRTIO_REV, MOCK_SLI, raw, 12, NULL)); /* data that it has none of */
	CHECK_EQ(mock_start(b.d, MOCK_ALL), 0);
	CHECK(works(&b));

	/* Without a selection: a legacy driver. An unknown command tells nothing yet. */
	mock_ccw_enable(b.d);
	CHECK(rejected(&b, 0x99, raw, 4));
	CHECK(!b.vd->s.legacy);
	CHECK(rejected(&b, READ_STATUS, raw, 1));
	CHECK(b.vd->s.legacy);
	CHECK_EQ(b.vd->s.status, 0); /* what the driver before left is reset */
	CHECK(rejected(&b, SET_VIRTIO_REV, one, 4));
	mock_ccw_enable(b.d);
	CHECK(good(&b, SET_VIRTIO_REV, zero, 4));
	CHECK(rejected(&b, SET_VIRTIO_REV, zero, 4));
	CHECK(rejected(&b, READ_STATUS, raw, 1));

	/* And back. */
	mock_ccw_enable(b.d);
	CHECK(good(&b, SET_VIRTIO_REV, two, 4));
	CHECK_EQ(mock_start(b.d, MOCK_ALL), 0);
	CHECK(works(&b));
	bench_end(&b);
}

/* A device that wants ACCESS_PLATFORM serves no legacy driver, and no other that does not accept it. */
static void test_access_platform(const struct mock_transport *transport)
{
	static const uint16_t sizes[] = {16, 64};
	uint8_t raw[5] = {0}, two[4] = {0, 2, 0, 0};
	struct bench b = {.vm = mock_vm_create(0)};

	CHECK_EQ(mock_device_create(&b.vm->env, sizes, 2, &b.m), 0);
	b.vd = b.m->vd;
	virtio_offer_access_platform(b.vd);
	b.d = mock_driver_create_over(transport, b.vm, b.vd, IRQ_EDGE);
	CHECK_EQ(mock_offered(b.d), VIRTIO_CORE_FEATURES | MOCK_DEVICE_F | VIRTIO_ACCESS_PLATFORM);
	CHECK_EQ(mock_negotiate(b.d, MOCK_F_VERSION_1), -1);
	CHECK_EQ(mock_status(b.d), ACK | DRIVER);
	CHECK_EQ(mock_start(b.d, MOCK_ALL & ~VIRTIO_ACCESS_PLATFORM), -1);
	CHECK_EQ(mock_start(b.d, VIRTIO_ACCESS_PLATFORM), 0);
	CHECK(works(&b));
	CHECK_EQ(mock_start(b.d, MOCK_ALL), 0);
	CHECK(works(&b));
	if (transport == &mock_over_ccw) {
		mock_ccw_enable(b.d);
		CHECK(rejected(&b, READ_FEAT, raw, 5));
		CHECK(rejected(&b, VDEV_RESET, NULL, 0));
		CHECK(rejected(&b, SET_VIRTIO_REV, raw, 4));
		CHECK(good(&b, SET_VIRTIO_REV, two, 4));
		CHECK_EQ(mock_start(b.d, MOCK_ALL), 0);
		CHECK(works(&b));
	}
	bench_end(&b);
}

static void test_features(void)
{
	uint8_t raw[5] = {1, 2, 3, 4, 0}, status;
	struct bench b;

	bench_begin(&b, 0);
	CHECK(good(&b, READ_FEAT, raw, 5));
	CHECK_EQ(get_le32(raw), (uint32_t)VIRTIO_CORE_FEATURES | (uint32_t)MOCK_DEVICE_F);
	CHECK_EQ(raw[4], 0);
	raw[4] = 1;
	CHECK(good(&b, READ_FEAT, raw, 5));
	CHECK_EQ(get_le32(raw), VIRTIO_CORE_FEATURES >> 32);
	for (unsigned int i = 2; i < 256; i++) {
		memset(raw, 0xff, 4);
		raw[4] = (uint8_t)i;
		CHECK(good(&b, READ_FEAT, raw, 5));
		CHECK_EQ(get_le32(raw), 0);
	}
	check_lengths(&b, READ_FEAT, "\0\0\0\0\0", 5);
	check_lengths(&b, WRITE_FEAT, "\0\0\0\0\0", 5);

	/* FEATURES_OK for what was not offered, or without VERSION_1: refused, the status stays. */
	for (unsigned int i = 0; i < 3; i++) {
		CHECK(good(&b, VDEV_RESET, NULL, 0));
		status = ACK | DRIVER;
		CHECK(good(&b, WRITE_STATUS, &status, 1));
		memset(raw, 0, 5);
		raw[0] = i == 1 ? 0x40 : 0;
		CHECK(good(&b, WRITE_FEAT, raw, 5));
		memset(raw, 0, 5);
		raw[4] = 1;
		raw[0] = i == 0 ? 0 : 1;
		CHECK(good(&b, WRITE_FEAT, raw, 5));
		status = ACK | DRIVER | FEATURES_OK;
		CHECK_EQ(i == 2 ? good(&b, WRITE_STATUS, &status, 1) : rejected(&b, WRITE_STATUS, &status, 1), true);
		CHECK_EQ(mock_status(b.d), i == 2 ? status : ACK | DRIVER);
	}
	memset(raw, 0, 5); /* too late */
	CHECK(good(&b, WRITE_FEAT, raw, 5));
	CHECK(b.vd->features >> 32);
	bench_end(&b);
}

static void test_status(void)
{
	static const struct {
		uint8_t before, want;
		bool ok;
	} rows[] = {
		{0, ACK, true}, {ACK, ACK | DRIVER, true},
		{ACK | DRIVER, ACK, false},		 /* nothing is taken back */
		{ACK | DRIVER, ACK | DRIVER | 16, false}, /* unknown */
		{ACK | DRIVER, ACK | DRIVER | NEEDS_RESET, false}, /* the device's to say */
		{ACK | DRIVER, ACK | DRIVER | DRIVER_OK, false}, /* before FEATURES_OK */
		{ACK | DRIVER, ACK | DRIVER | FAILED, true}, {0, FEATURES_OK, false},
	};
	uint8_t status;
	struct bench b;

	bench_begin(&b, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		mock_reset(b.d);
		status = rows[i].before;
		CHECK(good(&b, WRITE_STATUS, &status, 1)); /* 0 is a reset, too */
		status = rows[i].want;
		CHECK_EQ(rows[i].ok ? good(&b, WRITE_STATUS, &status, 1) : rejected(&b, WRITE_STATUS, &status, 1), true);
		CHECK_EQ(mock_status(b.d), rows[i].ok ? rows[i].want : rows[i].before);
	}
	check_lengths(&b, READ_STATUS, "", 1);
	CHECK_EQ(mock_start(b.d, MOCK_ALL), 0);
	virtio_lock(b.vd);
	virtio_broken(b.vd, "a test");
	virtio_unlock(b.vd);
	CHECK_EQ(mock_isr(b.d), 2);
	CHECK_EQ(mock_status(b.d), ACK | DRIVER | DRIVER_OK | FEATURES_OK | NEEDS_RESET);
	status = ACK | DRIVER | DRIVER_OK | FEATURES_OK | FAILED; /* a driver that has not looked */
	CHECK(good(&b, WRITE_STATUS, &status, 1));
	status = 0;
	CHECK(good(&b, WRITE_STATUS, &status, 1));
	CHECK_EQ(mock_status(b.d), 0);
	CHECK_EQ(mock_start(b.d, MOCK_ALL), 0);
	CHECK(works(&b));
	bench_end(&b);
}

static void put_vq(uint8_t raw[32], uint64_t desc, uint16_t index, uint16_t num)
{
	memset(raw, 0, 32);
	put_be64(raw, desc);
	put_be32(raw + 8, 0xdeadbeef); /* reserved: ignored */
	put_be16(raw + 12, index);
	put_be16(raw + 14, num);
	put_be64(raw + 16, desc + 0x1000);
	put_be64(raw + 24, desc + 0x2000);
}

static void test_queues(void)
{
	uint64_t at = MOCK_RAM_BASE + MIB(1);
	uint8_t raw[32] = {0};
	struct bench b;

	bench_begin(&b, 0);
	CHECK(good(&b, READ_VQ_CONF, memcpy(raw, "\0\0\xff\xff", 4), 4));
	CHECK(!memcmp(raw, "\0\0\0\20", 4));
	CHECK(good(&b, READ_VQ_CONF, memcpy(raw, "\0\1\0\0", 4), 4));
	CHECK(!memcmp(raw, "\0\1\0\100", 4));
	CHECK(rejected(&b, READ_VQ_CONF, memcpy(raw, "\0\2\0\0", 4), 4));
	CHECK(rejected(&b, READ_VQ_CONF, memcpy(raw, "\xff\xff\0\0", 4), 4));
	check_lengths(&b, READ_VQ_CONF, "\0\1\0\0", 4);

	put_vq(raw, at, 0, 16);
	CHECK(rejected(&b, SET_VQ, raw, 32)); /* before FEATURES_OK */
	memset(raw, 0, 32);
	CHECK(good(&b, SET_VQ, raw, 32)); /* but there is nothing to take down */
	CHECK_EQ(mock_negotiate(b.d, MOCK_F_VERSION_1), 0);
	put_vq(raw, at, 1, 64);
	check_lengths(&b, SET_VQ, raw, 32);
	put_vq(raw, at, 2, 16);
	CHECK(rejected(&b, SET_VQ, raw, 32));
	put_vq(raw, at, 0xffff, 16);
	CHECK(rejected(&b, SET_VQ, raw, 32));
	for (unsigned int num = 0; num <= 17; num += 17) {
		put_vq(raw, at, 0, (uint16_t)num);
		CHECK(rejected(&b, SET_VQ, raw, 32));
	}
	put_vq(raw, at, 0, 8);
	CHECK(good(&b, SET_VQ, raw, 32));
	CHECK(b.vd->queue[0].q.s.ready && b.vd->queue[0].q.s.num == 8);
	CHECK_EQ(b.vd->queue[0].q.s.desc, at);
	CHECK_EQ(b.vd->queue[0].q.s.driver, at + 0x1000);
	CHECK_EQ(b.vd->queue[0].q.s.device, at + 0x2000);
	put_vq(raw, at + 0x4000, 0, 16); /* again, elsewhere */
	CHECK(good(&b, SET_VQ, raw, 32));
	CHECK_EQ(b.vd->queue[0].q.s.desc, at + 0x4000);
	memset(raw, 0, 32);
	CHECK(good(&b, SET_VQ, raw, 32));
	CHECK(!b.vd->queue[0].q.s.ready);
	CHECK_EQ(mock_start(b.d, MOCK_F_VERSION_1), 0);
	put_vq(raw, at, 0, 8);
	CHECK(rejected(&b, SET_VQ, raw, 32)); /* after DRIVER_OK */
	memset(raw, 0, 32);
	CHECK(rejected(&b, SET_VQ, raw, 32));
	CHECK(works(&b));
	mock_reset(b.d);
	CHECK(good(&b, SET_VQ, raw, 32));

	/* Outside memory: DRIVER_OK shows that. */
	CHECK_EQ(mock_negotiate(b.d, MOCK_F_VERSION_1), 0);
	put_vq(raw, UINT64_C(1) << 60, 0, 8);
	CHECK(good(&b, SET_VQ, raw, 32));
	raw[0] = ACK | DRIVER | FEATURES_OK | DRIVER_OK;
	CHECK(good(&b, WRITE_STATUS, raw, 1));
	CHECK(mock_status(b.d) & NEEDS_RESET);
	bench_end(&b);
}

static void test_config(void)
{
	uint8_t c[128];
	struct bench b;

	bench_begin(&b, 0);
	for (uint16_t n = 1; n <= MOCK_DEVICE_CONFIG; n++) {
		memset(c, 0xee, sizeof(c));
		CHECK(good(&b, READ_CONF, c, n));
		for (unsigned int i = 0; i < sizeof(c); i++)
			CHECK_EQ(c[i], i < n ? i : 0xee);
	}
	CHECK(!mock_ccw(b.d, READ_CONF, 0, c, MOCK_DEVICE_CONFIG + 1, &b.r));
	CHECK_EQ(b.r.cstat, CSTAT_INCORRECT_LENGTH);
	CHECK_EQ(b.r.left, 1);
	memset(c, 0xee, sizeof(c));
	CHECK(mock_ccw(b.d, READ_CONF, MOCK_SLI, c, sizeof(c), &b.r));
	CHECK_EQ(b.r.left, sizeof(c) - MOCK_DEVICE_CONFIG);
	CHECK(c[MOCK_DEVICE_CONFIG - 1] == MOCK_DEVICE_CONFIG - 1 && c[MOCK_DEVICE_CONFIG] == 0xee);
	memset(c, 0xee, sizeof(c));
	CHECK(mock_ccw(b.d, READ_CONF, MOCK_SKIP, c, 8, NULL)); /* nothing is stored */
	CHECK_EQ(c[0], 0xee);

	memset(c, 0x31, sizeof(c));
	CHECK(good(&b, WRITE_CONF, c, 5));
	CHECK(b.m->config[4] == 0x31 && b.m->config[5] == 5);
	CHECK(mock_ccw(b.d, WRITE_CONF, MOCK_SLI, c, sizeof(c), &b.r));
	CHECK_EQ(b.r.left, sizeof(c) - MOCK_DEVICE_CONFIG);
	CHECK_EQ(b.m->config[MOCK_DEVICE_CONFIG - 1], 0x31);
	CHECK(!mock_ccw(b.d, WRITE_CONF, 0, c, MOCK_DEVICE_CONFIG + 3, &b.r));
	CHECK_EQ(b.r.cstat, CSTAT_INCORRECT_LENGTH);
	bench_end(&b);
}

/* --- indicators --- */

static uint64_t low(const struct bench *b, uint32_t offset)
{
	return b->d->base + offset;
}

static uint8_t byte_at(const struct bench *b, uint64_t gpa)
{
	uint8_t v = 0;

	CHECK_EQ(memory_read(b->vm->memory, gpa, &v, 1), 0);
	return v;
}

static void put_thin(uint8_t raw[25], uint64_t summary, uint64_t indicator, uint64_t bit, uint8_t isc)
{
	put_be64(raw, summary);
	put_be64(raw + 8, indicator);
	put_be64(raw + 16, bit);
	raw[24] = isc;
}

static void start_without_indicators(struct bench *b)
{
	uint8_t status = ACK | DRIVER | FEATURES_OK | DRIVER_OK;

	CHECK_EQ(mock_negotiate(b->d, MOCK_F_VERSION_1), 0);
	for (unsigned int i = 0; i < 2; i++) {
		mock_setup_queue(b->d, i);
		mock_interrupts(b->d, i, true);
	}
	CHECK(good(b, WRITE_STATUS, &status, 1));
	memory_zero(b->vm->memory, low(b, MOCK_LOW_IND), 64);
}

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

/* --- life --- */

static void test_reset(void)
{
	uint8_t two[4] = {0, 2, 0, 0}, raw[4];
	struct bench b;
	int token;

	bench_begin(&b, 0);
	CHECK_EQ(mock_start(b.d, MOCK_ALL), 0);
	CHECK(works(&b));
	CHECK(good(&b, VDEV_RESET, NULL, 0));
	CHECK(mock_ccw(b.d, VDEV_RESET, MOCK_SLI, raw, 4, NULL));
	CHECK_EQ(b.vd->s.status, 0);
	CHECK(!b.vd->active);
	CHECK_EQ(mock_start(b.d, MOCK_ALL), 0);
	CHECK(works(&b));
	css_reset(b.vm->css); /* the subchannel is disabled, the revision unset, the device as new */
	CHECK_EQ(b.vd->s.status, 0);
	CHECK(!mock_ccw(b.d, VDEV_RESET, 0, NULL, 0, &b.r));
	CHECK_EQ(b.r.cc, 3);
	mock_ccw_enable(b.d);
	CHECK(good(&b, SET_VIRTIO_REV, two, 4));
	CHECK_EQ(mock_start(b.d, MOCK_ALL), 0);
	CHECK(works(&b));
	bench_end(&b);

	/* With requests in flight the command takes until they are done. */
	bench_begin(&b, MOCK_LOOP);
	b.m->hold = true;
	CHECK_EQ(mock_start(b.d, MOCK_ALL), 0);
	for (unsigned int i = 0; i < 5; i++) {
		struct mock_buf buf = {mock_alloc(b.vm, 16, 16), 16, true};

		token = mock_add(b.d, 0, &buf, 1, MOCK_DIRECT);
		CHECK(token >= 0);
	}
	mock_kick(b.d, 0);
	mock_settle(b.vm);
	CHECK_EQ(b.vd->in_flight, 5);
	mock_device_complete(b.m, 5, 1);
	CHECK(good(&b, VDEV_RESET, NULL, 0));
	CHECK_EQ(b.vd->in_flight, 0);
	CHECK_EQ(b.m->overrun, 0);
	bench_end(&b);
}

static void test_saved(void)
{
	struct virtio_ccw_state s, bad;
	struct bench b;

	bench_begin(&b, 0);
	CHECK_EQ(mock_start(b.d, MOCK_ALL), 0);
	virtio_ccw_save(b.d->ccw, &s);
	CHECK(s.version == 1 && s.revision == 2 && s.kind == 2 && s.isc == MOCK_AIRQ_ISC && s.bit_nr == 5);
	for (unsigned int i = 0; i < 10; i++) {
		bad = s;
		switch (i) {
		case 0: bad.version++; break;
		case 1: bad.revision = 3; break;
		case 2: bad.revision = -2; break;
		case 3: bad.kind = 3; break;
		case 4: bad.isc = 8; break;
		case 5: bad.queues = UINT64_MAX; break;
		case 6: bad.summary = 1; break;
		case 7: bad.config = UINT64_MAX - 3; break;
		case 8: bad.kind = 1; bad.queues = MOCK_RAM_BASE + MOCK_RAM_SIZE - 4; break;
		case 9: bad.revision = 0; break; /* the device's driver is none of those */
		}
		CHECK_EQ(virtio_ccw_load(b.d->ccw, &bad), -EINVAL);
	}
	CHECK(works(&b));
	/* Indicators of the state are those that are used. */
	mock_isr(b.d);
	s.bit_nr = 16;
	CHECK_EQ(virtio_ccw_load(b.d->ccw, &s), 0);
	CHECK(works(&b));
	CHECK_EQ(byte_at(&b, low(&b, MOCK_LOW_IND) + 2), 0x80);
	bench_end(&b);
}

int main(void)
{
	test_identity();
	test_revision();
	test_access_platform(&mock_over_ccw);
	test_access_platform(&mock_over_mmio);
	test_features();
	test_status();
	test_queues();
	test_config();
	test_classic();
	test_adapter();
	test_storm();
	test_notify();
	test_call();
	test_reset();
	test_saved();
	return test_result();
}
