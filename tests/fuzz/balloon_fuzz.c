// SPDX-License-Identifier: MIT
#include "device_fuzz.h"
#include "virtio/balloon.h"

static int create(struct fuzz_guest *g)
{
	return virtio_balloon_create(&g->vm->env, &g->vd, NULL);
}

static uint32_t pfn(struct fuzz_guest *g)
{
	return (uint32_t)(fuzz_gpa(g) >> 12);
}

/* Page numbers, statistics, or free pages. */
static unsigned int request(struct fuzz_guest *g, struct mock_buf *bufs, unsigned int *ret_queue)
{
	uint8_t what = (uint8_t)fuzz_bytes(g, 1), raw[16 * 10];
	unsigned int n = what >> 4, len = 0;
	uint64_t at = g->pool + fuzz_bytes(g, 2) % (FUZZ_POOL - sizeof(raw));

	*ret_queue = what % 5;
	if (what % 5 > 2) {
		for (unsigned int i = 0; i < n; i++)
			bufs[i] = (struct mock_buf){
				.gpa = (uint64_t)pfn(g) << 12,
				.len = what & 8 ? fuzz_len(g) : 4096,
				.write = true,
			};
		return n;
	}
	for (unsigned int i = 0; i < n; i++) {
		if (what % 5 == 2) {
			put_le16(raw + len, (uint16_t)(fuzz_bytes(g, 1) % 20));
			put_le64(raw + len + 2, fuzz_bytes(g, 8));
			len += 10;
		} else if (i && what & 8) {
			put_le32(raw + len, get_le32(raw + len - 4) + (uint32_t)(int8_t)fuzz_bytes(g, 1));
			len += 4;
		} else {
			put_le32(raw + len, pfn(g));
			len += 4;
		}
	}
	memory_write(g->vm->memory, at, raw, len);
	bufs[0] = (struct mock_buf){ at, len / 2, false };
	bufs[1] = (struct mock_buf){ at + len / 2, len - len / 2, false };
	return 2;
}

static void act(struct fuzz_guest *g, uint8_t what)
{
	struct virtio_balloon_stats stats;
	uint32_t target, actual;

	if (what & 1)
		virtio_balloon_set_target(g->vd, (uint32_t)fuzz_bytes(g, 4));
	else
		virtio_balloon_get(g->vd, &target, &actual, &stats);
}

static bool alive(struct fuzz_guest *g)
{
	uint8_t raw[4];
	char c = 'x';

	put_le32(raw, (uint32_t)(g->pool >> 12));
	memory_write(g->vm->memory, g->pool, &c, 1);
	return mock_request(g->d, 0, raw, 4, NULL, 0) == 0 && !memory_read(g->vm->memory, g->pool, &c, 1) && !c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_device device = { .create = create, .request = request, .act = act, .alive = alive };

	return fuzz_run(&device, NULL, data, size);
}
