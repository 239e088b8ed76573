// SPDX-License-Identifier: MIT
#include "hw/poweroff.h"

#include <errno.h>

#include "base/endian.h"

#define FINISH_PASS 0x5555
#define FINISH_RESET 0x7777
#define FINISH_FAIL 0x3333

struct poweroff {
	struct poweroff_config config;
	struct bus *bus;
};

static void poweroff_read(void *dev, uint64_t offset, void *data, unsigned int len)
{
	/* Reads as zero. */
}

static void poweroff_write(void *dev, uint64_t offset, const void *data, unsigned int len)
{
	const struct poweroff_config *config = &((struct poweroff *)dev)->config;
	uint32_t value;

	if (offset || (len != 4 && len != 2))
		return;
	value = (uint32_t)get_le(data, len);
	switch (value & 0xffff) {
	case FINISH_PASS:
		config->fn(config->ctx, POWEROFF_PASS, 0);
		break;
	case FINISH_RESET:
		config->fn(config->ctx, POWEROFF_RESET, 0);
		break;
	case FINISH_FAIL:
		config->fn(config->ctx, POWEROFF_FAIL, value >> 16);
		break;
	default:
		break;
	}
}

const struct bus_ops poweroff_bus_ops = {
	.read = poweroff_read,
	.write = poweroff_write,
};

int poweroff_create(const struct poweroff_config *config, struct bus *bus, struct poweroff **ret, struct err *e)
{
	struct poweroff *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(e, -ENOMEM, "Not enough memory for the poweroff device");
	p->config = *config;
	if (bus) {
		r = bus_add(bus, "poweroff", config->base, POWEROFF_SIZE, &poweroff_bus_ops, p, e);
		if (r < 0) {
			poweroff_destroy(p);
			return r;
		}
		p->bus = bus;
	}
	*ret = p;
	return 0;
}

void poweroff_destroy(struct poweroff *p)
{
	if (!p)
		return;
	if (p->bus)
		bus_remove(p->bus, p->config.base);
	free(p);
}

static void write_syscon(const struct poweroff *p, struct dt *dt, const char *name, const char *compatible,
			 uint32_t value)
{
	dt_begin(dt, "%s", name);
	dt_prop_string(dt, "compatible", compatible);
	dt_prop_u32(dt, "regmap", p->config.phandle);
	dt_prop_u32(dt, "offset", 0);
	dt_prop_u32(dt, "value", value);
	dt_end(dt);
}

void poweroff_write_dt(const struct poweroff *p, struct dt *dt)
{
	static const char *const compatible[] = { "sifive,test1", "sifive,test0", "syscon" };

	dt_begin(dt, "test@%llx", (unsigned long long)p->config.base);
	dt_prop_strings(dt, "compatible", compatible, ARRAY_SIZE(compatible));
	dt_prop_reg(dt, p->config.base, POWEROFF_SIZE);
	dt_prop_u32(dt, "phandle", p->config.phandle);
	dt_end(dt);
}

void poweroff_write_syscon_dt(const struct poweroff *p, struct dt *dt)
{
	write_syscon(p, dt, "poweroff", "syscon-poweroff", FINISH_PASS);
	write_syscon(p, dt, "reboot", "syscon-reboot", FINISH_RESET);
}
