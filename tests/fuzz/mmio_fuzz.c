// SPDX-License-Identifier: MIT
/*
 * Every register, width and value, over the bus and through the hypervisor (page, doorbell, queued writes), on a trivial device. After each step
 * the page shows what the registers read, and status bits are only cleared by reset.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/endian.h"
#include "hv/scripted.h"
#include "tests/mock_device.h"
#include "tests/mock_driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(cond)                                                                              \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

enum { STATUS = 0x70, CONFIG = 0x100 };

static uint64_t take(const uint8_t **p, size_t *left, unsigned int n)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < n && *left; i++, --*left)
		v |= (uint64_t) * (*p)++ << (8 * i);
	return v;
}

static void check_page(struct mock_driver *d)
{
	for (uint32_t at = 0; at < CONFIG + MOCK_DEVICE_CONFIG + 16; at += 4) {
		uint8_t shown[4], truth[4] = {0};

		if (!hv_scripted_guest_read(d->vm->hv, d->base + at, shown, 4))
			return;
		bus_read(d->vm->bus, &d->vm->reader, d->base + at, truth, 4);
		REQUIRE(!memcmp(shown, truth, 4));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t sizes[] = {8, 16, 64};
	struct mock_vm *vm;
	struct mock_device *m;
	struct mock_driver *d;
	uint8_t how, buf[8];
	char answer[4] = "";

	how = (uint8_t)take(&data, &size, 1);
	vm = mock_vm_create(how & 1 ? MOCK_HV : 0);
	REQUIRE(mock_device_create(&vm->env, sizes, 3, &m) == 0);
	d = mock_driver_create(vm, m->vd, how & 2 ? IRQ_EDGE : IRQ_LEVEL);
	if (how & 4)
		REQUIRE(mock_start(d, take(&data, &size, 8)) == 0);
	if (how & 8)
		REQUIRE(mock_negotiate(d, MOCK_F_VERSION_1) == 0);
	for (unsigned int ops = 0; size && ops < 1000; ops++) {
		uint8_t op = (uint8_t)take(&data, &size, 1), before, after;
		uint32_t at;

		before = m->vd->s.status;
		/* Bits 0, 1: width. Bit 2: an aligned register or any offset. Bits 3 to 7: what. */
		at = op & 4 ? (uint32_t)take(&data, &size, 2) % VIRTIO_MMIO_SIZE : 4 * (uint32_t)take(&data, &size, 1);
		memset(buf, 0, sizeof(buf));
		switch (op >> 3 & 3) {
		case 0:
		case 1:
			put_le64(buf, take(&data, &size, op & 0x20 ? 1u << (op & 3) : 1));
			mock_write(d, at, buf, op & 4 ? 1u << (op & 3) : 4);
			break;
		case 2:
			mock_read(d, at, buf, op & 4 ? 1u + (op >> 5) : 4);
			break;
		case 3:
			virtio_lock(m->vd);
			for (unsigned int i = 0; i < (op & 3u); i++)
				m->config[at % MOCK_DEVICE_CONFIG] ^= (uint8_t)(1 + i), at += 17;
			virtio_config_changed(m->vd);
			virtio_unlock(m->vd);
			break;
		}
		after = m->vd->s.status;
		REQUIRE(!after || !(before & ~after));
		REQUIRE(d->irq.trigger == IRQ_EDGE || atomic_load(&d->level) == !!mock_read32(d, 0x60));
		REQUIRE(!(after & 4) || after & 8);
		if (vm->hv && (ops % 8 == 0 || !size))
			check_page(d);
	}
	vm->next = MOCK_RAM_BASE;
	REQUIRE(mock_start(d, MOCK_ALL) == 0);
	REQUIRE(mock_request(d, 0, "ping", 4, answer, 4) == 4);
	REQUIRE(!memcmp(answer, "ping", 4));
	mock_driver_destroy(d);
	virtio_destroy(m->vd);
	mock_vm_destroy(vm);
	return 0;
}
