// SPDX-License-Identifier: MIT
#include "arch/arm64/v2m.h"

#include <errno.h>

#include "base/endian.h"

enum {
	MSI_TYPER = 0x008,
	MSI_SETSPI_NS = 0x040,
	MSI_IIDR = 0xfcc,
};

/* Product 'L', architecture version GICv2m, revision 0, no JEP106 code. */
#define IIDR ((uint32_t)'L' << 20)

struct v2m {
	struct v2m_config config;
	struct bus *bus;
	struct irq_line line[];
};

static void v2m_read(void *dev, uint64_t offset, void *data, unsigned int len)
{
	const struct v2m_config *c = &((struct v2m *)dev)->config;

	if (len != 4)
		return;
	if (offset == MSI_TYPER)
		put_le32(data, c->first_intid << 16 | c->n);
	else if (offset == MSI_IIDR)
		put_le32(data, IIDR);
}

static void v2m_write(void *dev, uint64_t offset, const void *data, unsigned int len)
{
	struct v2m *v = dev;
	uint32_t intid;

	if (len != 4 || offset != MSI_SETSPI_NS)
		return;
	intid = get_le32(data);
	if (intid >= v->config.first_intid && intid - v->config.first_intid < v->config.n)
		irq_pulse(&v->line[intid - v->config.first_intid]);
}

const struct bus_ops v2m_bus_ops = {
	.read = v2m_read,
	.write = v2m_write,
};

int v2m_create(const struct v2m_config *config, struct bus *bus, struct v2m **ret, struct err *e)
{
	struct v2m *v = calloc(1, sizeof(*v) + config->n * sizeof(v->line[0]));
	int r;

	if (!v)
		return err_set(e, -ENOMEM, "not enough memory for the MSI frame");
	v->config = *config;
	memcpy(v->line, config->line, config->n * sizeof(v->line[0]));
	v->config.line = v->line;
	if (bus) {
		r = bus_add(bus, "v2m", config->base, V2M_SIZE, &v2m_bus_ops, v, e);
		if (r < 0) {
			v2m_destroy(v);
			return r;
		}
		v->bus = bus;
	}
	*ret = v;
	return 0;
}

void v2m_destroy(struct v2m *v)
{
	if (!v)
		return;
	if (v->bus)
		bus_remove(v->bus, v->config.base);
	free(v);
}

void v2m_write_dt(const struct v2m *v, struct dt *dt)
{
	dt_begin(dt, "v2m@%llx", (unsigned long long)v->config.base);
	dt_prop_string(dt, "compatible", "arm,gic-v2m-frame");
	dt_prop_empty(dt, "msi-controller");
	dt_prop_reg(dt, v->config.base, V2M_SIZE);
	dt_prop_u32(dt, "phandle", v->config.phandle);
	dt_end(dt);
}
