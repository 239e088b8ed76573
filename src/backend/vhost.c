// SPDX-License-Identifier: MIT
#include "backend/vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdlib.h>

#include "base/sys.h"

#define MAX_PAIRS 16

struct vhost_pair {
	int fd;
	bool served[2]; /* has a backend */
};

struct vhost {
	struct vhost_config config;
	uint64_t features;
	struct vhost_pair pair[MAX_PAIRS];
};

static int call(struct vhost *v, unsigned int pair, unsigned long request, void *arg)
{
	return v->config.ioctl(v->pair[pair].fd, request, arg);
}

static int open_pair(struct vhost *v, unsigned int pair, struct err *e)
{
	const char *path = v->config.path;
	int fd = sys_open(path, O_RDWR, 0), r;

	if (fd == -ENOENT || fd == -ENODEV || fd == -ENXIO)
		return err_set(e, fd, "this host has no %s: load the module (modprobe vhost_net), or leave vhost=1 out", path);
	if (fd == -EACCES || fd == -EPERM)
		return err_set(e, fd, "no permission to open %s: run as root, or have its mode set to 0666, or leave vhost=1 out", path);
	if (fd < 0)
		return err_set(e, fd, "cannot open %s: %s", path, err_name(fd));
	v->pair[pair].fd = fd;
	r = call(v, pair, VHOST_SET_OWNER, NULL);
	if (r >= 0 && !pair)
		r = call(v, pair, VHOST_GET_FEATURES, &v->features);
	if (r < 0)
		return err_set(e, r, "%s cannot be used: %s; leave vhost=1 out", path, err_name(r));
	return 0;
}

int vhost_open(const struct vhost_config *config, struct vhost **ret, struct err *e)
{
	CLEANUP(cleanup_vhost_close) struct vhost *v = NULL;
	int r;

	if (!config->pairs || config->pairs > MAX_PAIRS)
		return err_set(e, -EINVAL, "%u network queue pairs: 1 to %d are possible", config->pairs, MAX_PAIRS);
	v = calloc(1, sizeof(*v));
	if (!v)
		return err_set(e, -ENOMEM, "out of memory for the network");
	v->config = *config;
	if (!v->config.path)
		v->config.path = "/dev/vhost-net";
	if (!v->config.ioctl)
		v->config.ioctl = sys_ioctl;
	for (unsigned int i = 0; i < MAX_PAIRS; i++)
		v->pair[i].fd = -1;
	for (unsigned int i = 0; i < config->pairs; i++) {
		r = open_pair(v, i, e);
		if (r < 0)
			return r;
	}
	if (!(v->features & UINT64_C(1) << 32))
		return err_set(e, -EOPNOTSUPP, "%s knows only the virtio of before 1.0: leave vhost=1 out", v->config.path);
	*ret = TAKE(v);
	return 0;
}

void vhost_close(struct vhost *v)
{
	uint16_t base[2];

	if (!v)
		return;
	for (unsigned int i = 0; i < MAX_PAIRS; i++) {
		if (v->pair[i].fd < 0)
			continue;
		vhost_stop(v, i, base);
		close_fd(&v->pair[i].fd);
	}
	free(v);
}

uint64_t vhost_features(const struct vhost *v)
{
	return v->features & VHOST_RING_FEATURES;
}

static int set_memory(struct vhost *v, unsigned int pair)
{
	const struct memory *m = v->config.memory;
	union {
		struct vhost_memory table;
		char room[sizeof(struct vhost_memory) + MEMORY_MAX_REGIONS * sizeof(struct vhost_memory_region)];
	} u = { .table.nregions = m->n_regions };

	for (unsigned int i = 0; i < m->n_regions; i++) {
		const struct memory_region *r = &m->region[i];

		u.table.regions[i] = (struct vhost_memory_region){
			.guest_phys_addr = r->gpa, .memory_size = r->size, .userspace_addr = (uintptr_t)r->host,
		};
	}
	return call(v, pair, VHOST_SET_MEM_TABLE, &u.table);
}

static int set_ring(struct vhost *v, unsigned int pair, unsigned int index, const struct vhost_ring *ring)
{
	struct vhost_vring_addr addr = {
		.index = index,
		.desc_user_addr = (uintptr_t)ring->desc,
		.avail_user_addr = (uintptr_t)ring->driver,
		.used_user_addr = (uintptr_t)ring->device,
	};
	const struct {
		unsigned long request;
		unsigned int value;
	} numbers[] = { { VHOST_SET_VRING_NUM, ring->num }, { VHOST_SET_VRING_BASE, ring->next_avail } };
	const struct {
		unsigned long request;
		int fd;
	} files[] = { { VHOST_SET_VRING_KICK, ring->kick }, { VHOST_SET_VRING_CALL, ring->call }, { VHOST_SET_VRING_ERR, ring->err } };
	int r = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(numbers) && r >= 0; i++)
		r = call(v, pair, numbers[i].request, &(struct vhost_vring_state){ .index = index, .num = numbers[i].value });
	if (r >= 0)
		r = call(v, pair, VHOST_SET_VRING_ADDR, &addr);
	for (unsigned int i = 0; i < ARRAY_SIZE(files) && r >= 0; i++)
		r = call(v, pair, files[i].request, &(struct vhost_vring_file){ .index = index, .fd = files[i].fd });
	return r;
}

int vhost_start(struct vhost *v, unsigned int pair, uint64_t features, const struct vhost_ring ring[2], int tap)
{
	uint16_t base[2];
	int r;

	features &= vhost_features(v);
	r = call(v, pair, VHOST_SET_FEATURES, &features);
	if (r >= 0)
		r = set_memory(v, pair);
	for (unsigned int i = 0; i < 2 && r >= 0; i++)
		if (ring[i].desc)
			r = set_ring(v, pair, i, &ring[i]);
	for (unsigned int i = 0; i < 2 && r >= 0; i++) {
		if (!ring[i].desc)
			continue;
		r = call(v, pair, VHOST_NET_SET_BACKEND, &(struct vhost_vring_file){ .index = i, .fd = tap });
		v->pair[pair].served[i] = r >= 0;
	}
	if (r < 0)
		vhost_stop(v, pair, base);
	return r < 0 ? r : 0;
}

void vhost_stop(struct vhost *v, unsigned int pair, uint16_t ret_next_avail[2])
{
	for (unsigned int i = 0; i < 2; i++) {
		struct vhost_vring_state state = { .index = i };

		if (!v->pair[pair].served[i])
			continue;
		call(v, pair, VHOST_NET_SET_BACKEND, &(struct vhost_vring_file){ .index = i, .fd = -1 });
		v->pair[pair].served[i] = false;
		if (call(v, pair, VHOST_GET_VRING_BASE, &state) >= 0)
			ret_next_avail[i] = (uint16_t)state.num;
	}
}
