// SPDX-License-Identifier: MIT
/* virtio-ccw's commands, each with good and bad input, by channel programs; resets; saved state. */
#include "virtio/transport/ccw_rig_test.h"

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
	test_reset();
	test_saved();
	return test_result();
}
