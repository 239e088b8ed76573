// SPDX-License-Identifier: MIT
/* A device of tests/mock_device.h behind virtio-ccw, and its commands by channel programs. */
#ifndef LKVM_VIRTIO_TRANSPORT_CCW_RIG_TEST_H
#define LKVM_VIRTIO_TRANSPORT_CCW_RIG_TEST_H

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

static inline void bench_begin(struct bench *b, unsigned int flags)
{
	static const uint16_t sizes[] = {16, 64};

	*b = (struct bench){.vm = mock_vm_create(flags)};
	CHECK_EQ(mock_device_create(&b->vm->env, sizes, 2, &b->m), 0);
	b->vd = b->m->vd;
	b->d = mock_driver_create_over(&mock_over_ccw, b->vm, b->vd, IRQ_EDGE);
}

static inline void bench_end(struct bench *b)
{
	mock_driver_destroy(b->d);
	mock_vm_stop(b->vm);
	virtio_destroy(b->vd);
	mock_vm_destroy(b->vm);
}

/* As a device says it. */
static inline void used_buffer(struct bench *b, unsigned int n)
{
	virtio_lock(b->vd);
	b->vd->transport->notify_queue(b->vd->transport_ctx, n);
	virtio_unlock(b->vd);
}

static inline bool works(struct bench *b)
{
	char answer[4] = "";

	return mock_request(b->d, 0, "ping", 4, answer, 4) == 4 && !memcmp(answer, "ping", 4);
}

/* The command, exactly as long as it says. */
static inline bool good(struct bench *b, uint8_t code, void *buf, uint16_t count)
{
	return mock_ccw(b->d, code, 0, buf, count, &b->r);
}

/* Unit check with command reject, and nothing else. */
static inline bool rejected(struct bench *b, uint8_t code, void *buf, uint16_t count)
{
	return !mock_ccw(b->d, code, MOCK_SLI, buf, count, &b->r) && !b->r.cc && b->r.dstat == (NORMAL | DSTAT_UNIT_CHECK) &&
	       !b->r.cstat && b->r.sense == REJECT;
}

/* Every command that takes data: one byte less than it needs is rejected; one more is too long, which only SLI forgives. */
static inline void check_lengths(struct bench *b, uint8_t code, const void *data, uint16_t len)
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

static inline uint64_t low(const struct bench *b, uint32_t offset)
{
	return b->d->base + offset;
}

static inline uint8_t byte_at(const struct bench *b, uint64_t gpa)
{
	uint8_t v = 0;

	CHECK_EQ(memory_read(b->vm->memory, gpa, &v, 1), 0);
	return v;
}

static inline void put_thin(uint8_t raw[25], uint64_t summary, uint64_t indicator, uint64_t bit, uint8_t isc)
{
	put_be64(raw, summary);
	put_be64(raw + 8, indicator);
	put_be64(raw + 16, bit);
	raw[24] = isc;
}

static inline void start_without_indicators(struct bench *b)
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

#endif
