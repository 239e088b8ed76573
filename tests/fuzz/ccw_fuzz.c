// SPDX-License-Identifier: MIT
/*
 * virtio-ccw's commands by channel programs of any make: a hostile driver of one device, through the channel subsystem. Afterwards the subchannel is enabled anew and the device serves an
 * honest driver, of whatever revision.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/endian.h"
#include "tests/mock_ccw.h"
#include "tests/mock_device.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(cond)                                                                              \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct fuzz {
	const uint8_t *p;
	size_t left;
	struct mock_vm *vm;
	struct mock_device *m;
	struct mock_driver *d;
};

static uint64_t take(struct fuzz *f, unsigned int n)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < n && f->left; i++, f->left--)
		v |= (uint64_t)*f->p++ << (8 * i);
	return v;
}

/* An address: in the driver's own memory, near an edge of RAM, or anywhere. */
static uint64_t take_gpa(struct fuzz *f)
{
	uint8_t how = (uint8_t)take(f, 1);

	switch (how & 7) {
	case 0:
		return f->d->base + MOCK_LOW_IND + (how >> 3);
	case 1:
		return MOCK_RAM_BASE + MOCK_RAM_SIZE - (how >> 3);
	case 2:
		return take(f, 8);
	case 3:
		return 0;
	case 4:
		return UINT64_MAX - (how >> 3);
	default:
		return MOCK_RAM_BASE + 16 * take(f, 2);
	}
}

/* The data of a command that is likely to pass its first checks, or bytes. */
static uint16_t fill(struct fuzz *f, uint8_t code, uint8_t buf[64])
{
	memset(buf, 0, 64);
	switch (code) {
	case 0x13:
		put_be64(buf, take_gpa(f));
		put_be16(buf + 12, (uint16_t)(take(f, 1) & 3));
		put_be16(buf + 14, (uint16_t)(1u << take(f, 1) % 8));
		if (take(f, 1) & 1) {
			put_be32(buf + 8, 1u << take(f, 1) % 32);
			return 16;
		}
		put_be64(buf + 16, take_gpa(f));
		put_be64(buf + 24, take_gpa(f));
		return 32;
	case 0x43:
	case 0x53:
		put_be64(buf, take_gpa(f));
		return 8;
	case 0x73:
		put_be64(buf, take_gpa(f));
		put_be64(buf + 8, take_gpa(f));
		put_be64(buf + 16, take(f, 2));
		buf[24] = MOCK_AIRQ_ISC;
		return 25;
	case 0x83:
		buf[1] = (uint8_t)(take(f, 1) & 3);
		return 4;
	case 0x11:
	case 0x12:
		put_le32(buf, (uint32_t)take(f, 4));
		buf[4] = (uint8_t)(take(f, 1) & 3);
		return 5;
	case 0x31:
		buf[0] = (uint8_t)take(f, 1);
		return 1;
	default:
		for (unsigned int i = 0; i < 16; i++)
			buf[i] = (uint8_t)take(f, 1);
		return (uint16_t)(take(f, 1) % 64);
	}
}

static void command(struct fuzz *f)
{
	static const uint8_t codes[] = {0x11, 0x12, 0x13, 0x21, 0x22, 0x31, 0x32, 0x33, 0x43, 0x53, 0x72, 0x73, 0x83};
	uint8_t what = (uint8_t)take(f, 1), code = codes[what % ARRAY_SIZE(codes)], before, after;
	struct virtio_ccw_state state;
	struct mock_ccw_result r;
	uint8_t buf[64];
	uint16_t count;

	if (what >= 250)
		code = (uint8_t)take(f, 1);
	count = fill(f, code, buf);
	if (what & 0x80)
		count = (uint16_t)(take(f, 1) % 64);
	virtio_ccw_save(f->d->ccw, &state);
	before = f->m->vd->s.status;
	mock_ccw(f->d, code, what & 0x40 ? MOCK_SLI : 0, buf, count, &r);
	after = f->m->vd->s.status;
	/* What is rejected has no effect, but that the first command tells what sort the driver is; a status only grows, but by reset. */
	REQUIRE(r.cc || !(r.dstat & DSTAT_UNIT_CHECK) || before == after || !after);
	REQUIRE(!after || state.revision < 0 || !(before & ~after) || code == 0x83 || code == 0x33);
	REQUIRE(!f->m->vd->active || after & VIRTIO_STATUS_DRIVER_OK || f->m->vd->s.legacy);
}

/* A channel program of the input's own making, with its ORB, anywhere in low memory. */
static void program(struct fuzz *f)
{
	uint64_t at = f->d->base + 8 * (take(f, 1) % 64);
	struct css_orb orb = {0};
	struct css_irb irb;
	uint8_t ccw[8];
	size_t len;
	unsigned int n = (unsigned int)take(f, 1) % 8;

	for (unsigned int i = 0; i < n; i++) {
		put_be64(ccw, take(f, 8));
		if (take(f, 1) & 1)
			put_be32(ccw + 4, (uint32_t)(f->d->base + take(f, 1) * 8));
		memory_write(f->vm->memory, at + 8 * i, ccw, 8);
	}
	put_be32(orb.flags, (uint32_t)take(f, 4));
	if (n & 1)
		put_be32(orb.flags, ORB_FORMAT1 | 0x8000);
	put_be32(orb.cpa, (uint32_t)at);
	mock_ccw_alert(f->d);
	css_ssch(f->vm->css, f->d->sid, &orb);
	/* What loops is ended by the guest, as it may at any time. */
	for (unsigned int i = 0; i < 20; i++)
		css_continue(f->vm->css);
	css_csch(f->vm->css, f->d->sid);
	while (css_continue(f->vm->css))
		;
	css_tsch(f->vm->css, f->d->sid, &irb, &len);
}

static void request(struct fuzz *f)
{
	unsigned int n = (unsigned int)take(f, 1) % 3;
	struct mock_queue *q = &f->d->queue[n];
	struct mock_buf buf = {take_gpa(f), (uint32_t)take(f, 2), true};

	if (q->num && f->m->vd->active)
		mock_add(f->d, n, &buf, 1, MOCK_DIRECT);
	virtio_ccw_notify(f->vm->css, f->d->sid, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t sizes[] = {8, 64};
	struct fuzz f = {.p = data, .left = size};
	struct virtio_ccw_state s;
	char answer[4] = "";
	uint8_t how;

	how = (uint8_t)take(&f, 1);
	f.vm = mock_vm_create(0);
	REQUIRE(mock_device_create(&f.vm->env, sizes, 2, &f.m) == 0);
	if (how & 1)
		virtio_offer_access_platform(f.m->vd);
	f.d = mock_driver_create_over(how & 2 && !(how & 1) ? &mock_over_legacy : &mock_over_ccw, f.vm, f.m->vd, IRQ_EDGE);
	if (how & 4)
		REQUIRE(mock_start(f.d, take(&f, 8) | VIRTIO_ACCESS_PLATFORM) == 0);
	if (how & 8)
		mock_ccw_enable(f.d);
	for (unsigned int ops = 0; f.left && ops < 300; ops++) {
		switch (take(&f, 1) % 16) {
		case 0:
			mock_ccw_enable(f.d);
			break;
		case 1:
			program(&f);
			break;
		case 2:
		case 3:
			request(&f);
			break;
		case 4:
			virtio_lock(f.m->vd);
			virtio_config_changed(f.m->vd);
			virtio_unlock(f.m->vd);
			break;
		case 5:
			css_reset(f.vm->css);
			mock_ccw_enable(f.d);
			break;
		case 6:
			mock_isr(f.d);
			break;
		case 7:
			virtio_ccw_save(f.d->ccw, &s);
			((uint8_t *)&s)[take(&f, 1) % sizeof(s)] ^= (uint8_t)take(&f, 1);
			virtio_ccw_load(f.d->ccw, &s);
			break;
		default:
			command(&f);
			break;
		}
	}
	f.vm->next = MOCK_RAM_BASE;
	mock_ccw_enable(f.d);
	REQUIRE(mock_ccw_revision(f.d, f.d->transport->legacy ? 0 : 2));
	REQUIRE(mock_start(f.d, MOCK_ALL) == 0);
	REQUIRE(mock_request(f.d, 0, "ping", 4, answer, 4) == 4);
	REQUIRE(!memcmp(answer, "ping", 4));
	mock_driver_destroy(f.d);
	virtio_destroy(f.m->vd);
	mock_vm_destroy(f.vm);
	return 0;
}
