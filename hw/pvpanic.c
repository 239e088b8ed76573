// SPDX-License-Identifier: MIT
#include "hw/pvpanic.h"

#include <errno.h>

#define EVENTS (PVPANIC_PANICKED | PVPANIC_CRASHLOADED | PVPANIC_SHUTDOWN)

struct pvpanic {
	struct pvpanic_config config;
	struct bus *bus;
};

static void pvpanic_read(void *dev, uint64_t offset, void *data, unsigned int len)
{
	if (offset == 0 && len == 1)
		*(uint8_t *)data = EVENTS;
}

static void pvpanic_write(void *dev, uint64_t offset, const void *data, unsigned int len)
{
	const struct pvpanic_config *config = &((struct pvpanic *)dev)->config;
	uint8_t events;

	if (offset || len != 1)
		return;
	events = *(const uint8_t *)data & EVENTS;
	if (events)
		config->fn(config->ctx, events);
}

const struct bus_ops pvpanic_bus_ops = {
	.read = pvpanic_read,
	.write = pvpanic_write,
};

int pvpanic_create(const struct pvpanic_config *config, struct bus *bus, struct pvpanic **ret, struct err *e)
{
	struct pvpanic *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(e, -ENOMEM, "Not enough memory for the panic device");
	p->config = *config;
	if (bus) {
		r = bus_add(bus, "pvpanic", config->base, PVPANIC_SIZE, &pvpanic_bus_ops, p, e);
		if (r < 0) {
			pvpanic_destroy(p);
			return r;
		}
		p->bus = bus;
	}
	*ret = p;
	return 0;
}

void pvpanic_destroy(struct pvpanic *p)
{
	if (!p)
		return;
	if (p->bus)
		bus_remove(p->bus, p->config.base);
	free(p);
}

void pvpanic_write_dt(const struct pvpanic *p, struct dt *dt)
{
	dt_begin(dt, "pvpanic@%llx", (unsigned long long)p->config.base);
	dt_prop_string(dt, "compatible", "qemu,pvpanic-mmio");
	dt_prop_reg(dt, p->config.base, PVPANIC_SIZE);
	dt_end(dt);
}
