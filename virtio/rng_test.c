// SPDX-License-Identifier: MIT
#include "virtio/rng.h"

#include "tests/mock_driver.h"
#include "tests/test.h"

#define NEEDS_RESET 64

static void test(unsigned int flags, uint64_t features)
{
	struct mock_vm *vm = mock_vm_create(flags);
	uint8_t one[4096], other[4096], sum[4096];
	struct virtio_device *vd;
	struct mock_driver *d;
	unsigned int n = 0;
	uint64_t at;

	CHECK_EQ(virtio_rng_create(&vm->env, &vd, NULL), 0);
	d = mock_driver_create(vm, vd, IRQ_LEVEL);
	CHECK_EQ(mock_device_id(d), 4);
	CHECK_EQ(mock_start(d, features), 0);
	CHECK_EQ(d->n_queues, 1);

	/* Every byte comes, none behind the buffer, and never the same twice. */
	memset(one, 0, sizeof(one));
	CHECK_EQ(mock_request(d, 0, NULL, 0, one, 64), 64);
	memset(sum, 0, sizeof(sum));
	for (unsigned int i = 0; i < 20; i++) {
		memset(other, 0, sizeof(other));
		CHECK_EQ(mock_request(d, 0, NULL, 0, other, 64), 64);
		CHECK(memcmp(one, other, 64));
		for (unsigned int k = 0; k < 64; k++)
			sum[k] |= other[k];
	}
	for (unsigned int k = 0; k < 64; k++)
		n += sum[k] != 0;
	CHECK_EQ(n, 64);
	CHECK_EQ(mock_request(d, 0, "x", 1, one, 1), 1);

	/* A large request gives a part; several segments are filled one after the other. */
	at = mock_alloc(vm, MIB(1), 4096);
	{
		struct mock_buf bufs[3] = { { at, 100, true }, { at + 200, 100, true }, { at + 4096, KIB(512), true } };
		uint32_t written = 0;

		CHECK(mock_add(d, 0, bufs, 3, MOCK_DIRECT) >= 0);
		mock_kick(d, 0);
		CHECK(mock_wait(d, 0, &written) >= 0);
		CHECK(written >= 201 && written <= 4096);
		memory_read(vm->memory, at, one, 300);
		n = 0;
		for (unsigned int i = 0; i < 100; i++)
			n += one[100 + i] != 0;
		CHECK_EQ(n, 0);
		for (unsigned int i = 0; i < 100; i++)
			n += one[i] != 0;
		CHECK(n > 80);
	}
	/* More than one kick takes. */
	for (unsigned int round = 0; round < 10; round++) {
		for (unsigned int i = 0; i < 16; i++)
			CHECK(mock_add(d, 0, (struct mock_buf[]){ { at + 64 * i, 64, true } }, 1, MOCK_DIRECT) >= 0);
		mock_kick(d, 0);
		for (unsigned int i = 0; i < 16; i++)
			CHECK(mock_wait(d, 0, NULL) >= 0);
	}
	CHECK(!(mock_status(d) & NEEDS_RESET));

	/* No place for an answer: the driver's fault, until it resets. */
	CHECK(mock_add(d, 0, (struct mock_buf[]){ { at, 16, false } }, 1, MOCK_DIRECT) >= 0);
	mock_kick(d, 0);
	mock_settle(vm);
	CHECK(mock_status(d) & NEEDS_RESET);
	CHECK_EQ(mock_start(d, features), 0);
	CHECK_EQ(mock_request(d, 0, NULL, 0, one, 64), 64);

	mock_driver_destroy(d);
	mock_vm_stop(vm);
	virtio_destroy(vd);
	mock_vm_destroy(vm);
}

int main(void)
{
	for (unsigned int flags = 0; flags <= (MOCK_LOOP | MOCK_HV); flags++) {
		test(flags, MOCK_ALL);
		test(flags, MOCK_ALL & ~MOCK_F_PACKED);
		test(flags, 0);
	}
	return test_result();
}
