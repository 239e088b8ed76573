// SPDX-License-Identifier: MIT
#include "mock_ccw.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/endian.h"
#include "hv/scripted.h"

#define REQUIRE(cond)                                                                              \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: the mock needs: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

enum { WRITE_FEAT = 0x11, READ_FEAT = 0x12, SET_VQ = 0x13, WRITE_CONF = 0x21, READ_CONF = 0x22, WRITE_STATUS = 0x31, READ_VQ_CONF = 0x32 };
enum { VDEV_RESET = 0x33, SET_IND = 0x43, SET_CONF_IND = 0x53, READ_STATUS = 0x72, SET_IND_ADAPTER = 0x73, SET_VIRTIO_REV = 0x83 };
enum { SENSE = 0x04, SENSE_ID = 0xe4 };

/* --- the machine --- */

static void io_interrupt(void *ctx, uint32_t sid, uint32_t intparm, unsigned int isc)
{
	struct mock_vm *vm = ctx;

	for (unsigned int i = 0; i < vm->n_ccw; i++) {
		struct mock_driver *d = vm->ccw[i];

		if (d && d->sid == sid && !atomic_load(&d->in_program))
			atomic_fetch_add(&d->raises, 1);
	}
}

static void io_interrupt_clear(void *ctx, uint32_t sid, unsigned int isc)
{
}

static void crw_pending(void *ctx)
{
}

static void defer(void *ctx)
{
}

static const struct css_machine_ops machine_ops = {
	.io_interrupt = io_interrupt,
	.io_interrupt_clear = io_interrupt_clear,
	.crw_pending = crw_pending,
	.defer = defer,
};

static void adapter_interrupt(void *ctx, unsigned int isc)
{
	struct mock_driver *d = ctx;

	REQUIRE(isc <= 7);
	atomic_fetch_add(&d->raises, 1);
}

static const struct virtio_ccw_machine_ops ccw_ops = {
	.adapter_interrupt = adapter_interrupt,
};

static uint64_t low(const struct mock_driver *d, uint32_t offset)
{
	return d->base + offset;
}

/* --- channel programs --- */

bool mock_ccw_alert(struct mock_driver *d)
{
	struct css_irb irb;
	size_t len;

	return css_tsch(d->vm->css, d->sid, &irb, &len) == 0 && get_be16(irb.scsw.ctrl) & SCSW_STCTL_ALERT;
}

/* 0: ended with CE and DE. */
static void start(struct mock_driver *d, const uint8_t ccw[8], struct mock_ccw_result *ret)
{
	struct memory *m = d->vm->memory;
	struct css_orb orb = {0};
	struct css_irb irb;
	size_t len;

	*ret = (struct mock_ccw_result){0};
	REQUIRE(memory_write(m, low(d, MOCK_LOW_CCW), ccw, 8) >= 0);
	put_be32(orb.flags, ORB_FORMAT1 | 0x8000 /* path 0 */);
	put_be32(orb.cpa, (uint32_t)low(d, MOCK_LOW_CCW));
	mock_ccw_alert(d); /* what is pending stands in the way */
	mock_ccw_alert(d);
	atomic_store(&d->in_program, true);
	ret->cc = css_ssch(d->vm->css, d->sid, &orb);
	while (css_continue(d->vm->css))
		;
	atomic_store(&d->in_program, false);
	if (ret->cc)
		return;
	REQUIRE(css_tsch(d->vm->css, d->sid, &irb, &len) == 0);
	ret->dstat = irb.scsw.dstat;
	ret->cstat = irb.scsw.cstat;
	ret->left = get_be16(irb.scsw.count);
}

bool mock_ccw(struct mock_driver *d, uint8_t code, uint8_t flags, void *buf, uint16_t count, struct mock_ccw_result *ret)
{
	struct memory *m = d->vm->memory;
	struct mock_ccw_result result, sense;
	uint8_t ccw[8] = {code, flags};

	REQUIRE(count <= MOCK_LOW_IND - MOCK_LOW_DATA);
	put_be16(ccw + 2, count);
	put_be32(ccw + 4, (uint32_t)low(d, MOCK_LOW_DATA));
	memory_write(m, low(d, MOCK_LOW_DATA), buf, count);
	start(d, ccw, &result);
	memory_read(m, low(d, MOCK_LOW_DATA), buf, count);
	if (!result.cc && result.dstat & DSTAT_UNIT_CHECK) {
		uint8_t ask[8] = {SENSE, MOCK_SLI, 0, 32};

		put_be32(ask + 4, (uint32_t)low(d, MOCK_LOW_DATA));
		start(d, ask, &sense);
		memory_read(m, low(d, MOCK_LOW_DATA), &result.sense, 1);
	}
	if (ret)
		*ret = result;
	return !result.cc && result.dstat == (DSTAT_CHANNEL_END | DSTAT_DEVICE_END) && !result.cstat;
}

static void must(struct mock_driver *d, uint8_t code, void *buf, uint16_t count)
{
	if (!mock_ccw(d, code, 0, buf, count, NULL)) {
		fprintf(stderr, "the mock's command 0x%02x failed\n", code);
		abort();
	}
}

void mock_ccw_enable(struct mock_driver *d)
{
	struct css_schib schib;

	REQUIRE(css_stsch(d->vm->css, d->sid, &schib) == 0);
	mock_ccw_alert(d);
	mock_ccw_alert(d);
	put_be16(schib.pmcw.flags, get_be16(schib.pmcw.flags) & ~PMCW_ENABLED);
	REQUIRE(css_msch(d->vm->css, d->sid, &schib) == 0);
	put_be16(schib.pmcw.flags, (uint16_t)((get_be16(schib.pmcw.flags) & ~PMCW_ISC_MASK) | PMCW_ENABLED | MOCK_ISC << 11));
	REQUIRE(css_msch(d->vm->css, d->sid, &schib) == 0);
}

bool mock_ccw_revision(struct mock_driver *d, uint16_t revision)
{
	uint8_t raw[4] = {0};

	put_be16(raw, revision);
	return mock_ccw(d, SET_VIRTIO_REV, 0, raw, sizeof(raw), NULL);
}

/* --- the transport --- */

static uint32_t find(struct css *css, uint16_t devno)
{
	struct css_schib schib;
	uint32_t sid;

	for (sid = CSS_SID_ONE; css_stsch(css, sid, &schib) == 0; sid++)
		if (get_be16(schib.pmcw.flags) & PMCW_VALID && get_be16(schib.pmcw.devno) == devno)
			return sid;
	abort();
}

static void ccw_create(struct mock_driver *d)
{
	struct mock_vm *vm = d->vm;
	struct virtio_ccw_config config = {.hv = vm->hv, .ops = &ccw_ops, .ctx = d, .devno = (uint16_t)vm->n_ccw};
	struct css_config css = {.memory = vm->memory, .ops = &machine_ops, .ctx = vm};

	REQUIRE(vm->n_ccw < ARRAY_SIZE(vm->ccw));
	if (!vm->css) {
		REQUIRE(memory_add(vm->memory, MOCK_LOW_BASE, MOCK_LOW_SIZE, &(struct memory_backing){0}, NULL) >= 0);
		REQUIRE(css_create(&css, &vm->css, NULL) >= 0);
	}
	d->base = MOCK_LOW_BASE + 4096 * (uint64_t)vm->n_ccw;
	vm->ccw[vm->n_ccw++] = d;
	REQUIRE(virtio_ccw_create(d->vd, vm->css, &config, &d->ccw, NULL) >= 0);
	d->sid = find(vm->css, config.devno);
	mock_ccw_enable(d);
	if (!d->vd->s.status) {
		REQUIRE(mock_ccw_revision(d, d->transport->legacy ? 0 : 2));
	} else {
		/* A driver that was there before: the device's state was loaded. */
		struct virtio_ccw_state s;

		virtio_ccw_save(d->ccw, &s);
		s.revision = d->transport->legacy ? 0 : 2;
		REQUIRE(virtio_ccw_load(d->ccw, &s) >= 0);
	}
}

static void ccw_destroy(struct mock_driver *d)
{
	for (unsigned int i = 0; i < d->vm->n_ccw; i++)
		if (d->vm->ccw[i] == d)
			d->vm->ccw[i] = NULL;
	virtio_ccw_destroy(d->ccw);
}

static uint32_t ccw_device_id(struct mock_driver *d)
{
	uint8_t id[7] = {0};

	REQUIRE(mock_ccw(d, SENSE_ID, MOCK_SLI, id, sizeof(id), NULL));
	REQUIRE(id[0] == 0xff && get_be16(id + 1) == VIRTIO_CCW_CU_TYPE);
	return id[3];
}

static uint8_t ccw_status(struct mock_driver *d)
{
	uint8_t status;

	must(d, READ_STATUS, &status, 1);
	return status;
}

static void ccw_set_status(struct mock_driver *d, uint8_t status)
{
	if (status)
		mock_ccw(d, WRITE_STATUS, 0, &status, 1, NULL); /* may be refused */
	else
		must(d, VDEV_RESET, NULL, 0);
}

static uint64_t ccw_offered(struct mock_driver *d)
{
	uint64_t f = 0;

	for (uint8_t i = 0; i < 2; i++) {
		uint8_t raw[5] = {0, 0, 0, 0, i};

		must(d, READ_FEAT, raw, sizeof(raw));
		f |= (uint64_t)get_le32(raw) << (32 * i);
	}
	return f;
}

static void ccw_accept(struct mock_driver *d, uint64_t features)
{
	for (uint8_t i = 0; i < 2; i++) {
		uint8_t raw[5] = {0, 0, 0, 0, i};

		put_le32(raw, (uint32_t)(features >> (32 * i)));
		must(d, WRITE_FEAT, raw, sizeof(raw));
	}
}

static void ccw_config_read(struct mock_driver *d, uint32_t offset, void *buf, unsigned int len)
{
	uint8_t config[512] = {0};

	REQUIRE(offset + len <= sizeof(config));
	REQUIRE(mock_ccw(d, READ_CONF, MOCK_SLI, config, (uint16_t)(offset + len), NULL));
	memcpy(buf, config + offset, len);
}

/* As Linux does it: all fields up to the one that changes. */
static void ccw_config_write(struct mock_driver *d, uint32_t offset, const void *buf, unsigned int len)
{
	uint8_t config[512] = {0};

	REQUIRE(offset + len <= sizeof(config));
	ccw_config_read(d, 0, config, offset);
	memcpy(config + offset, buf, len);
	REQUIRE(mock_ccw(d, WRITE_CONF, MOCK_SLI, config, (uint16_t)(offset + len), NULL));
}

static uint32_t ccw_queue_max(struct mock_driver *d, unsigned int n)
{
	uint8_t raw[4] = {0};

	put_be16(raw, (uint16_t)n);
	return mock_ccw(d, READ_VQ_CONF, 0, raw, sizeof(raw), NULL) ? get_be16(raw + 2) : 0;
}

static void ccw_queue_set(struct mock_driver *d, unsigned int n, const struct mock_queue *q)
{
	uint8_t raw[32] = {0};

	put_be64(raw, q->desc);
	put_be16(raw + 12, (uint16_t)n);
	put_be16(raw + 14, q->num);
	put_be64(raw + 16, q->driver);
	put_be64(raw + 24, q->device);
	must(d, SET_VQ, raw, sizeof(raw));
}

/* After the queues, before DRIVER_OK. Indicator bit 5 is the first queue's. */
static void ccw_ready(struct mock_driver *d)
{
	uint8_t thin[25] = {0}, conf[8];

	put_be64(thin, low(d, MOCK_LOW_SUMMARY));
	put_be64(thin + 8, low(d, MOCK_LOW_IND));
	put_be64(thin + 16, 5);
	thin[24] = MOCK_AIRQ_ISC;
	put_be64(conf, low(d, MOCK_LOW_CONF_IND));
	memory_zero(d->vm->memory, low(d, MOCK_LOW_IND), 64);
	must(d, SET_IND_ADAPTER, thin, sizeof(thin));
	must(d, SET_CONF_IND, conf, sizeof(conf));
}

static void ccw_notify(struct mock_driver *d, unsigned int n)
{
	if (d->vm->hv && hv_scripted_guest_notify(d->vm->hv, d->sid, n))
		return;
	virtio_ccw_notify(d->vm->css, d->sid, n);
}

static uint8_t exchange(struct mock_driver *d, uint64_t gpa)
{
	struct slice s;

	REQUIRE(memory_slice(d->vm->memory, gpa, 1, &s) >= 0);
	return __atomic_exchange_n((uint8_t *)s.p, 0, __ATOMIC_SEQ_CST);
}

static uint32_t ccw_isr(struct mock_driver *d)
{
	uint32_t isr = 0;

	exchange(d, low(d, MOCK_LOW_SUMMARY));
	for (uint32_t i = 0; i < 8; i++)
		if (exchange(d, low(d, MOCK_LOW_IND) + i))
			isr |= 1;
	mock_ccw_alert(d);
	if (exchange(d, low(d, MOCK_LOW_CONF_IND) + 7))
		isr |= 2;
	return isr;
}

/* --- revision 0 --- */

static uint8_t legacy_status(struct mock_driver *d)
{
	uint8_t status;

	/* There is no command for it. */
	virtio_lock(d->vd);
	status = d->vd->s.status;
	virtio_unlock(d->vd);
	return status;
}

static void legacy_set_status(struct mock_driver *d, uint8_t status)
{
	ccw_set_status(d, status & ~VIRTIO_STATUS_FEATURES_OK);
}

static void legacy_queue_set(struct mock_driver *d, unsigned int n, const struct mock_queue *q)
{
	uint8_t raw[16];

	put_be64(raw, q->desc);
	put_be32(raw + 8, 4096);
	put_be16(raw + 12, (uint16_t)n);
	put_be16(raw + 14, q->num);
	must(d, SET_VQ, raw, sizeof(raw));
}

static void legacy_ready(struct mock_driver *d)
{
	uint8_t at[8];

	memory_zero(d->vm->memory, low(d, MOCK_LOW_IND), 64);
	put_be64(at, low(d, MOCK_LOW_IND));
	must(d, SET_IND, at, sizeof(at));
	put_be64(at, low(d, MOCK_LOW_CONF_IND));
	must(d, SET_CONF_IND, at, sizeof(at));
}

const struct mock_transport mock_over_legacy = {
	.name = "legacy",
	.legacy = true,
	.create = ccw_create,
	.destroy = ccw_destroy,
	.device_id = ccw_device_id,
	.status = legacy_status,
	.set_status = legacy_set_status,
	.offered = ccw_offered,
	.accept = ccw_accept,
	.config_read = ccw_config_read,
	.config_write = ccw_config_write,
	.queue_max = ccw_queue_max,
	.queue_set = legacy_queue_set,
	.ready = legacy_ready,
	.notify = ccw_notify,
	.isr = ccw_isr,
};

const struct mock_transport mock_over_ccw = {
	.name = "ccw",
	.create = ccw_create,
	.destroy = ccw_destroy,
	.device_id = ccw_device_id,
	.status = ccw_status,
	.set_status = ccw_set_status,
	.offered = ccw_offered,
	.accept = ccw_accept,
	.config_read = ccw_config_read,
	.config_write = ccw_config_write,
	.queue_max = ccw_queue_max,
	.queue_set = ccw_queue_set,
	.ready = ccw_ready,
	.notify = ccw_notify,
	.isr = ccw_isr,
};
