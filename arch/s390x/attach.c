// SPDX-License-Identifier: MIT
/* Devices on the channel subsystem, 0.0.0000 and on in the order of their making; and their eventfds' way to the guest, which is KVM's table of adapter routes. */
#include <errno.h>

#include "arch/s390x/s390x.h"
#include "virtio/transport/ccw.h"

static void adapter_interrupt(void *ctx, unsigned int isc)
{
	s390x_adapter_interrupt(ctx, isc);
}

/* KVM takes the table as a whole. */
static int set_routes(struct machine *m)
{
	const struct s390x_state *s = s390x_state(m);

	return m->hv->ops->set_routes(m->hv, s->route, s->n_routes);
}

static int connect(struct machine *m, const struct hv_route *route, unsigned int isc, int fd)
{
	struct s390x_state *s = s390x_state(m);
	unsigned int at = 0, gsi = 0;
	int r;

	if (s->n_routes == S390X_N_ROUTES)
		return -ENOSPC;
	/* Sorted by gsi: the first number that nobody has. */
	while (at < s->n_routes && s->route[at].gsi == at)
		at++;
	gsi = at;
	memmove(&s->route[at + 1], &s->route[at], (s->n_routes - at) * sizeof(s->route[0]));
	memmove(&s->route_fd[at + 1], &s->route_fd[at], (s->n_routes - at) * sizeof(s->route_fd[0]));
	s->route[at] = *route;
	s->route[at].is_adapter = true;
	s->route[at].gsi = gsi;
	s->route[at].adapter.id = isc;
	s->route_fd[at] = fd;
	s->n_routes++;
	r = set_routes(m);
	if (r >= 0)
		r = m->hv->ops->irqfd(m->hv, gsi, fd, -1, true);
	if (r >= 0)
		return 0;
	s->n_routes--;
	memmove(&s->route[at], &s->route[at + 1], (s->n_routes - at) * sizeof(s->route[0]));
	memmove(&s->route_fd[at], &s->route_fd[at + 1], (s->n_routes - at) * sizeof(s->route_fd[0]));
	return r;
}

static int disconnect(struct machine *m, int fd)
{
	struct s390x_state *s = s390x_state(m);
	unsigned int at = 0;

	while (at < s->n_routes && s->route_fd[at] != fd)
		at++;
	if (at == s->n_routes)
		return -ENOENT;
	m->hv->ops->irqfd(m->hv, s->route[at].gsi, fd, -1, false);
	s->n_routes--;
	memmove(&s->route[at], &s->route[at + 1], (s->n_routes - at) * sizeof(s->route[0]));
	memmove(&s->route_fd[at], &s->route_fd[at + 1], (s->n_routes - at) * sizeof(s->route_fd[0]));
	return set_routes(m);
}

static int adapter_irqfd(void *ctx, const struct hv_route *route, unsigned int isc, int fd, bool on)
{
	struct machine *m = ctx;
	struct s390x_state *s = s390x_state(m);
	int r;

	if (!s->can_route || isc > 7)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&s->route_lock);
	r = on ? connect(m, route, isc, fd) : disconnect(m, fd);
	pthread_mutex_unlock(&s->route_lock);
	return r;
}

static const struct virtio_ccw_machine_ops ops = {
	.adapter_interrupt = adapter_interrupt,
	.adapter_irqfd = adapter_irqfd,
};

int s390x_attach(struct machine *m, struct virtio_device *vd, unsigned int index, bool hotplug, void **ret, struct err *e)
{
	const struct virtio_ccw_config config = { .hv = m->hv, .ops = &ops, .ctx = m, .devno = (uint16_t)index, .hotplug = hotplug };
	struct virtio_ccw *c;
	int r = virtio_ccw_create(vd, m->css, &config, &c, e);

	if (r < 0)
		return r;
	*ret = c;
	return 0;
}

void s390x_detach(struct machine *m, void *transport)
{
	virtio_ccw_destroy(transport);
}

uint64_t s390x_attached_exits(const void *transport)
{
	return virtio_ccw_exits(transport);
}
