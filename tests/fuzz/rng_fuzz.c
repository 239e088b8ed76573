// SPDX-License-Identifier: MIT
#include "device_fuzz.h"
#include "virtio/rng.h"

static int create(struct fuzz_guest *g)
{
	return virtio_rng_create(&g->vm->env, &g->vd, NULL);
}

static unsigned int request(struct fuzz_guest *g, struct mock_buf *bufs, unsigned int *ret_queue)
{
	unsigned int n = 1 + fuzz_bytes(g, 1) % 4;

	*ret_queue = 0;
	for (unsigned int i = 0; i < n; i++) {
		bufs[i] = (struct mock_buf){ .write = true };
		bufs[i].gpa = fuzz_gpa(g);
		bufs[i].len = fuzz_len(g);
	}
	return n;
}

static bool alive(struct fuzz_guest *g)
{
	uint8_t got[64];

	return mock_request(g->d, 0, NULL, 0, got, sizeof(got)) == sizeof(got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_device device = { .create = create, .request = request, .alive = alive };

	return fuzz_run(&device, NULL, data, size);
}
