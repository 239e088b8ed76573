// SPDX-License-Identifier: MIT
#include <asm/kvm.h>
#include <linux/kvm.h>

#include <errno.h>

#include "arch/arm64/gic.h"
#include "arch/arm64/gic_internal.h"

#define DIST_SIZE KIB(64)
#define GICC_SPACE KIB(128) /* what the CPU interface has for itself; 64 KiB pages fit */
#define V2M_SPACE KIB(64)
#define REDIST_SIZE KIB(128)
#define ITS_SIZE KIB(128)

#define DT_SPI 0
#define DT_PPI 1
#define DT_EDGE_RISING 1
#define DT_LEVEL_HIGH 4

/* What each kind is, best first: what AUTO tries in this order. */
static const struct kind {
	enum arm64_irqchip kind;
	const char *name; /* as --irqchip spells it */
	uint32_t type;	  /* KVM_DEV_TYPE_* */
	bool its, v2m;
	unsigned int max_vcpus;
} kinds[] = {
	{ ARM64_IRQCHIP_GICV3_ITS, "gicv3-its", KVM_DEV_TYPE_ARM_VGIC_V3, true, false, GIC_MAX_VCPUS },
	{ ARM64_IRQCHIP_GICV3, "gicv3", KVM_DEV_TYPE_ARM_VGIC_V3, false, false, GIC_MAX_VCPUS },
	{ ARM64_IRQCHIP_GICV2M, "gicv2m", KVM_DEV_TYPE_ARM_VGIC_V2, false, true, GICV2_MAX_VCPUS },
	{ ARM64_IRQCHIP_GICV2, "gicv2", KVM_DEV_TYPE_ARM_VGIC_V2, false, false, GICV2_MAX_VCPUS },
};

static const struct kind *kind_of(enum arm64_irqchip kind)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].kind == kind)
			return &kinds[i];
	return NULL;
}

static bool host_creates(struct hv *hv, const struct kind *k)
{
	return hv->ops->create_device(hv, k->type, NULL) >= 0 &&
	       (!k->its || hv->ops->create_device(hv, KVM_DEV_TYPE_ARM_VGIC_ITS, NULL) >= 0);
}

int gic_choose(struct hv *hv, enum arm64_irqchip wish, unsigned int n_vcpus, enum arm64_irqchip *ret, struct err *e)
{
	const struct kind *k = kind_of(wish);

	for (unsigned int i = 0; !k && i < ARRAY_SIZE(kinds); i++)
		if (host_creates(hv, &kinds[i]))
			k = &kinds[i];
	if (!k)
		return err_set(e, -EOPNOTSUPP, "this host's KVM can create neither a GICv3 nor a GICv2: a guest cannot run here");
	if (wish != ARM64_IRQCHIP_AUTO && !host_creates(hv, k))
		return err_set(e, -EOPNOTSUPP, "--irqchip %s: this host's KVM cannot create one; leave the option out", k->name);
	if (n_vcpus > k->max_vcpus)
		return err_set(e, -EINVAL, "a %s serves at most %u vCPUs, not %u: give less with -c%s", k->type == KVM_DEV_TYPE_ARM_VGIC_V2 ? "GICv2" : "GICv3",
			       k->max_vcpus, n_vcpus, wish != ARM64_IRQCHIP_AUTO && k->max_vcpus < GIC_MAX_VCPUS ? ", or try --irqchip gicv3" : "");
	*ret = k->kind;
	return 0;
}

static int set_attr(struct gic *g, int fd, uint32_t group, uint64_t number, void *value, const char *what, struct err *e)
{
	int r = g->hv->ops->device_attr(g->hv, fd, group, number, value, true);

	if (r < 0)
		return err_set(e, r, "KVM's interrupt controller (%s) refuses %s: %s", g->name, what, err_name(r));
	return 0;
}

static int set_address(struct gic *g, int fd, uint64_t type, uint64_t value, const char *what, struct err *e)
{
	return set_attr(g, fd, KVM_DEV_ARM_VGIC_GRP_ADDR, type, &value, what, e);
}

/* Below the ITS as many redistributors as there is place for, the others in a second region. */
static int place_redists(struct gic *g, struct err *e)
{
	const struct gic_config *c = &g->config;
	uint64_t top = c->dist_base - (g->its ? ITS_SIZE : 0);
	uint64_t room = top > c->redist_floor ? (top - c->redist_floor) / REDIST_SIZE : 0;
	unsigned int first = (unsigned int)MIN(room, (uint64_t)c->n_vcpus);
	int r = 0;

	if (first < c->n_vcpus && !c->redist_high)
		return err_set(e, -EINVAL, "there is no place for the redistributors of %u vCPUs: give at most -c %u", c->n_vcpus, first);
	if (first)
		g->redist[g->n_redists++] = (struct gic_redist){ top - first * REDIST_SIZE, first };
	if (first < c->n_vcpus)
		g->redist[g->n_redists++] = (struct gic_redist){ c->redist_high, c->n_vcpus - first };
	/* devices/arm-vgic-v3: count 63..52, base 51..16, flags 15..12, index 11..0 */
	for (unsigned int i = 0; r >= 0 && i < g->n_redists; i++)
		r = set_address(g, g->fd, KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION, (uint64_t)g->redist[i].n << 52 | g->redist[i].base | i,
				"the place of its redistributors", e);
	return r;
}

static int place_v3(struct gic *g, struct err *e)
{
	int r = set_address(g, g->fd, KVM_VGIC_V3_ADDR_TYPE_DIST, g->config.dist_base, "the distributor's address", e);

	return r < 0 ? r : place_redists(g, e);
}

static int place_v2(struct gic *g, struct err *e)
{
	int r = set_address(g, g->fd, KVM_VGIC_V2_ADDR_TYPE_DIST, g->config.dist_base, "the distributor's address", e);

	return r < 0 ? r : set_address(g, g->fd, KVM_VGIC_V2_ADDR_TYPE_CPU, g->config.dist_base - GICC_SPACE, "the CPU interface's address", e);
}

static int create_its(struct gic *g, struct err *e)
{
	int r = g->hv->ops->create_device(g->hv, KVM_DEV_TYPE_ARM_VGIC_ITS, &g->its_fd);

	if (r < 0)
		return err_set(e, r, "KVM has no ITS to give (%s): try --irqchip gicv3", err_name(r));
	r = set_address(g, g->its_fd, KVM_VGIC_ITS_ADDR_TYPE, g->config.dist_base - ITS_SIZE, "the ITS's address", e);
	return r < 0 ? r : set_attr(g, g->its_fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL, "to set up its ITS", e);
}

static int create_v2m(struct gic *g, struct err *e)
{
	struct irq_line line[GIC_V2M_SPIS] = { 0 };
	struct v2m_config config = {
		.base = g->config.dist_base - GICC_SPACE - V2M_SPACE,
		.first_intid = GIC_FIRST_SPI + g->n_spis,
		.n = GIC_V2M_SPIS,
		.line = line,
		.phandle = g->config.phandle + 1,
	};

	for (unsigned int i = 0; i < GIC_V2M_SPIS; i++)
		hv_lines_get(g->lines, g->n_spis + i, IRQ_EDGE, &line[i]);
	return v2m_create(&config, g->config.bus, &g->v2m, e);
}

static int set_up(struct gic *g, const struct kind *k, struct err *e)
{
	uint32_t n_irqs, maintenance = GIC_MAINTENANCE_INTID;
	struct hv_lines_config lines;
	int r = g->hv->ops->create_device(g->hv, k->type, &g->fd);

	if (r < 0)
		return err_set(e, r, "KVM has no %s to give (%s): try another --irqchip", g->v3 ? "GICv3" : "GICv2", err_name(r));
	r = g->v3 ? place_v3(g, e) : place_v2(g, e);
	if (r < 0)
		return r;
	g->n_spis = (unsigned int)round_up(MAX(g->config.n_spis, 1u) + (k->v2m ? GIC_V2M_SPIS : 0), 32);
	n_irqs = GIC_FIRST_SPI + g->n_spis;
	r = set_attr(g, g->fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &n_irqs, "so many interrupts", e);
	if (r >= 0 && g->config.nested)
		r = set_attr(g, g->fd, KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ, 0, &maintenance, "a maintenance interrupt for guests with an EL2", e);
	if (r >= 0)
		r = set_attr(g, g->fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL, "to be set up", e);
	if (r >= 0 && k->its)
		r = create_its(g, e);
	if (r < 0)
		return r;
	/* KVM_IRQ_LINE takes INTIDs, with what they are above (api.rst, 4.25); the default routing table, SPIs (vgic.rst). */
	lines = (struct hv_lines_config){
		.n = g->n_spis,
		.first = (uint32_t)KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | GIC_FIRST_SPI,
		.irqfd = true,
	};
	r = hv_lines_create(g->hv, &lines, &g->lines);
	if (r < 0)
		return err_set(e, r, "not enough memory for the interrupt controller");
	if (!k->v2m)
		return 0;
	g->n_spis -= GIC_V2M_SPIS;
	return create_v2m(g, e);
}

int gic_create(struct hv *hv, const struct gic_config *config, struct gic **ret, struct err *e)
{
	CLEANUP(cleanup_gic_destroy) struct gic *g = NULL;
	enum arm64_irqchip kind;
	const struct kind *k;
	int r = gic_choose(hv, config->kind, config->n_vcpus, &kind, e);

	if (r < 0)
		return r;
	g = calloc(1, sizeof(*g));
	if (!g)
		return err_set(e, -ENOMEM, "not enough memory for the interrupt controller");
	k = kind_of(kind);
	g->hv = hv;
	g->config = *config;
	g->config.kind = kind;
	g->name = k->name;
	g->v3 = k->type == KVM_DEV_TYPE_ARM_VGIC_V3;
	g->its = k->its;
	g->fd = g->its_fd = -1;
	r = set_up(g, k, e);
	if (r < 0)
		return r;
	*ret = TAKE(g);
	return 0;
}

void gic_destroy(struct gic *g)
{
	if (!g)
		return;
	v2m_destroy(g->v2m);
	hv_lines_destroy(g->lines);
	close_fd(&g->its_fd);
	close_fd(&g->fd);
	free(g);
}

enum arm64_irqchip gic_kind(const struct gic *g)
{
	return g->config.kind;
}

const char *gic_name(enum arm64_irqchip kind)
{
	return kind_of(kind)->name;
}

unsigned int gic_n_spis(const struct gic *g)
{
	return g->n_spis;
}

int gic_line(struct gic *g, unsigned int spi, enum irq_trigger trigger, struct irq_line *ret)
{
	return spi < g->n_spis ? hv_lines_get(g->lines, spi, trigger, ret) : -EINVAL;
}

unsigned int gic_dt_cells(const struct irq_line *line, uint32_t cells[4])
{
	cells[0] = DT_SPI;
	cells[1] = line->n;
	cells[2] = line->trigger == IRQ_EDGE ? DT_EDGE_RISING : DT_LEVEL_HIGH;
	return 3;
}

/* With a GICv2 bits 15..8 of the flags are the CPUs that have the interrupt. */
void gic_dt_ppi(const struct gic *g, unsigned int intid, uint32_t cells[3])
{
	cells[0] = DT_PPI;
	cells[1] = intid - 16;
	cells[2] = DT_LEVEL_HIGH | (g->v3 ? 0 : ((1u << g->config.n_vcpus) - 1) << 8);
}

struct reg_cells {
	uint32_t cell[4 * (1 + GIC_MAX_REDISTS)];
	unsigned int n;
};

static void add_reg(struct reg_cells *reg, uint64_t base, uint64_t size)
{
	const uint32_t cells[] = { (uint32_t)(base >> 32), (uint32_t)base, (uint32_t)(size >> 32), (uint32_t)size };

	memcpy(reg->cell + reg->n, cells, sizeof(cells));
	reg->n += ARRAY_SIZE(cells);
}

static void write_its(const struct gic *g, struct dt *dt)
{
	uint64_t base = g->config.dist_base - ITS_SIZE;

	dt_begin(dt, "msi-controller@%llx", (unsigned long long)base);
	dt_prop_string(dt, "compatible", "arm,gic-v3-its");
	dt_prop_empty(dt, "msi-controller");
	dt_prop_u32(dt, "#msi-cells", 1);
	dt_prop_reg(dt, base, ITS_SIZE);
	dt_prop_u32(dt, "phandle", g->config.phandle + 1);
	dt_end(dt);
}

void gic_write_node(const struct gic *g, struct dt *dt)
{
	const struct gic_config *c = &g->config;
	struct reg_cells reg = { .n = 0 };

	dt_begin(dt, "interrupt-controller@%llx", (unsigned long long)c->dist_base);
	dt_prop_string(dt, "compatible", g->v3 ? "arm,gic-v3" : "arm,cortex-a15-gic");
	if (g->v3) {
		add_reg(&reg, c->dist_base, DIST_SIZE);
		for (unsigned int i = 0; i < g->n_redists; i++)
			add_reg(&reg, g->redist[i].base, g->redist[i].n * REDIST_SIZE);
		if (g->n_redists > 1)
			dt_prop_u32(dt, "#redistributor-regions", g->n_redists);
	} else {
		add_reg(&reg, c->dist_base, KVM_VGIC_V2_DIST_SIZE);
		add_reg(&reg, c->dist_base - GICC_SPACE, KVM_VGIC_V2_CPU_SIZE);
	}
	dt_prop_cells(dt, "reg", reg.cell, reg.n);
	dt_prop_empty(dt, "interrupt-controller");
	dt_prop_u32(dt, "#interrupt-cells", 3);
	dt_prop_u32(dt, "#address-cells", 2);
	dt_prop_u32(dt, "#size-cells", 2);
	dt_prop_empty(dt, "ranges");
	if (c->nested) {
		uint32_t cells[3];

		gic_dt_ppi(g, GIC_MAINTENANCE_INTID, cells);
		dt_prop_cells(dt, "interrupts", cells, 3);
	}
	dt_prop_u32(dt, "phandle", c->phandle);
	if (g->its)
		write_its(g, dt);
	if (g->v2m)
		v2m_write_dt(g->v2m, dt);
	dt_end(dt);
}
