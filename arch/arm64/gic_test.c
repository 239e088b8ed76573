// SPDX-License-Identifier: MIT
/* The GIC's set-up, as the calls that a hypervisor sees; what it does to the tree; the lines; the v2m frame; the reset. */
#include <asm/kvm.h>
#include <linux/kvm.h>

#include <errno.h>
#include <libfdt.h>

#include "arch/arm64/gic.h"
#include "arch/arm64/v2m.h"
#include "base/endian.h"
#include "base/sys.h"
#include "hv/scripted.h"
#include "tests/test.h"

#define DIST UINT64_C(0x3fff0000)
#define REG_MPIDR ARM64_SYS_REG(3, 0, 0, 0, 5)
#define SPI(n) ((uint32_t)KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | (32 + (n)))

/* A host between us and the scripted one: it has some devices and not others, and remembers what was asked of them. */
struct call {
	enum { CREATE, SET, GET, LINE } what;
	uint32_t type, group; /* of the device; LINE: the number in group */
	uint64_t attr, value;
};

static struct {
	const struct hv_ops *inner;
	uint32_t has[3];
	unsigned int n_has;
	int fd_type[8], fd[8];
	unsigned int n_fds;
	struct call call[40000];
	unsigned int n;
} host;

static bool host_has(uint32_t type)
{
	for (unsigned int i = 0; i < host.n_has; i++)
		if (host.has[i] == type)
			return true;
	return false;
}

static void record(struct call call)
{
	if (host.n < ARRAY_SIZE(host.call))
		host.call[host.n++] = call;
}

static int host_create_device(struct hv *hv, uint32_t type, int *ret_fd)
{
	int r;

	if (!host_has(type))
		return -ENODEV;
	r = host.inner->create_device(hv, type, ret_fd);
	if (r < 0 || !ret_fd)
		return r;
	record((struct call){ CREATE, type, 0, 0, 0 });
	host.fd[host.n_fds] = *ret_fd;
	host.fd_type[host.n_fds++] = (int)type;
	return r;
}

static unsigned int attr_size(uint32_t group)
{
	switch (group) {
	case KVM_DEV_ARM_VGIC_GRP_ADDR:
	case KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS:
		return 8;
	case KVM_DEV_ARM_VGIC_GRP_CTRL:
		return 0;
	default:
		return 4;
	}
}

static int host_device_attr(struct hv *hv, int fd, uint32_t group, uint64_t attr, void *value, bool set)
{
	struct call call = { set ? SET : GET, 0, group, attr, 0 };
	int r = host.inner->device_attr(hv, fd, group, attr, value, set);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < host.n_fds; i++)
		if (host.fd[i] == fd)
			call.type = (uint32_t)host.fd_type[i];
	if (attr_size(group) && set)
		memcpy(&call.value, value, attr_size(group));
	else if (attr_size(group))
		memset(value, 0xff, attr_size(group));
	record(call);
	return r;
}

static int host_irq_line(struct hv *hv, uint32_t irq, bool level)
{
	record((struct call){ LINE, 0, irq, 0, level });
	return 0;
}

static struct {
	unsigned int n;
	uint32_t gsi;
	int fd, resample_fd;
	bool assign;
} irqfd;

static int host_irqfd(struct hv *hv, uint32_t gsi, int fd, int resample_fd, bool assign)
{
	irqfd.n++;
	irqfd.gsi = gsi;
	irqfd.fd = fd;
	irqfd.resample_fd = resample_fd;
	irqfd.assign = assign;
	return 0;
}

/* Only those KVM_DEV_TYPE_* that are given (0: none; the real numbers start above it). */
static struct hv *make_host(uint32_t a, uint32_t b, uint32_t c, unsigned long fail_nth)
{
	static const uint64_t regs[] = { REG_MPIDR };
	const struct scripted_config config = { .regs = regs, .n_regs = 1, .fail_nth = fail_nth, .fail_errno = ENXIO };
	static struct hv_ops ops;
	struct hv *hv;

	CHECK_EQ(hv_scripted_create(&config, &hv), 0);
	host.inner = hv->ops;
	host.n = host.n_has = host.n_fds = 0;
	if (a)
		host.has[host.n_has++] = a;
	if (b)
		host.has[host.n_has++] = b;
	if (c)
		host.has[host.n_has++] = c;
	ops = *hv->ops;
	ops.create_device = host_create_device;
	ops.device_attr = host_device_attr;
	ops.irq_line = host_irq_line;
	ops.irqfd = host_irqfd;
	hv->ops = &ops;
	return hv;
}

#define V3 KVM_DEV_TYPE_ARM_VGIC_V3
#define V2 KVM_DEV_TYPE_ARM_VGIC_V2
#define ITS KVM_DEV_TYPE_ARM_VGIC_ITS

/* The value of the only such call, or UINT64_MAX. */
static uint64_t value_of(uint32_t type, uint32_t group, uint64_t attr)
{
	uint64_t value = UINT64_MAX;
	unsigned int n = 0;

	for (unsigned int i = 0; i < host.n; i++) {
		const struct call *c = &host.call[i];

		if (c->what == SET && c->type == type && c->group == group && c->attr == attr) {
			value = c->value;
			n++;
		}
	}
	return n == 1 ? value : UINT64_MAX;
}

static uint64_t address(uint32_t type, uint64_t attr)
{
	return value_of(type, KVM_DEV_ARM_VGIC_GRP_ADDR, attr);
}

/* When the only such call came, counted from the first one. */
static unsigned int when(uint32_t type, uint32_t group, uint64_t attr)
{
	for (unsigned int i = 0; i < host.n; i++)
		if (host.call[i].what == SET && host.call[i].type == type && host.call[i].group == group && host.call[i].attr == attr)
			return i;
	CHECK(!"no such call");
	return 0;
}

/* All redistributor regions: their number, and each of them. */
static unsigned int regions(uint64_t base[4], unsigned int n[4])
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < host.n; i++) {
		const struct call *c = &host.call[i];

		if (c->what != SET || c->group != KVM_DEV_ARM_VGIC_GRP_ADDR || c->attr != KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION)
			continue;
		CHECK_EQ(c->value & 0xffff, count); /* index, and no flags */
		base[count] = c->value & UINT64_C(0xfffffffff0000);
		n[count++] = (unsigned int)(c->value >> 52);
	}
	return count;
}

/* The tree with the GIC in it; the caller frees it. */
static void *tree(struct gic *g, int *ret_node)
{
	struct dt dt;
	void *blob = NULL;
	size_t size;

	CHECK_EQ(dt_start(&dt), 0);
	dt_begin(&dt, "%s", "");
	dt_prop_u32(&dt, "#address-cells", 2);
	dt_prop_u32(&dt, "#size-cells", 2);
	gic_write_node(g, &dt);
	dt_end(&dt);
	CHECK_EQ(dt_finish(&dt, &blob, &size), 0);
	*ret_node = fdt_path_offset(blob, "/interrupt-controller@3fff0000");
	CHECK(*ret_node > 0);
	return blob;
}

static uint32_t cell(const void *blob, int node, const char *name, unsigned int i)
{
	int len;
	const uint8_t *p = fdt_getprop(blob, node, name, &len);

	CHECK(p && len > (int)(4 * i));
	return p && len > (int)(4 * i) ? (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3] : 0;
}

static unsigned int cells(const void *blob, int node, const char *name)
{
	int len = 0;

	fdt_getprop(blob, node, name, &len);
	return len > 0 ? (unsigned int)len / 4 : 0;
}

static struct gic_config config_for(enum arm64_irqchip kind, unsigned int n_vcpus)
{
	static struct machine_vcpu none[GIC_MAX_VCPUS];

	return (struct gic_config){
		.kind = kind,
		.n_vcpus = n_vcpus,
		.vcpu = none,
		.n_spis = 96,
		.dist_base = DIST,
		.redist_floor = 0x3e000000,
		.redist_high = UINT64_C(0x100000000),
		.phandle = 1,
	};
}

static void test_choice(void)
{
	static const struct {
		uint32_t has[3];
		enum arm64_irqchip wish;
		unsigned int n_vcpus;
		int result;
		enum arm64_irqchip got;
		const char *says;
	} cases[] = {
		{ { V3, ITS, V2 }, ARM64_IRQCHIP_AUTO, 4, 0, ARM64_IRQCHIP_GICV3_ITS, NULL },
		{ { V3, V2 }, ARM64_IRQCHIP_AUTO, 512, 0, ARM64_IRQCHIP_GICV3, NULL },
		{ { V2 }, ARM64_IRQCHIP_AUTO, 8, 0, ARM64_IRQCHIP_GICV2M, NULL },
		{ { V2 }, ARM64_IRQCHIP_AUTO, 9, -EINVAL, 0, "at most 8 vCPUs" },
		{ { 0 }, ARM64_IRQCHIP_AUTO, 1, -EOPNOTSUPP, 0, "neither" },
		{ { V3, ITS, V2 }, ARM64_IRQCHIP_GICV2, 8, 0, ARM64_IRQCHIP_GICV2, NULL },
		{ { V3, ITS, V2 }, ARM64_IRQCHIP_GICV2M, 9, -EINVAL, 0, "--irqchip gicv3" },
		{ { V3, ITS, V2 }, ARM64_IRQCHIP_GICV3, 512, 0, ARM64_IRQCHIP_GICV3, NULL },
		{ { V3, ITS, V2 }, ARM64_IRQCHIP_GICV3, 513, -EINVAL, 0, "at most 512" },
		{ { V3, V2 }, ARM64_IRQCHIP_GICV3_ITS, 1, -EOPNOTSUPP, 0, "--irqchip gicv3-its" },
		{ { V3, ITS }, ARM64_IRQCHIP_GICV2, 1, -EOPNOTSUPP, 0, "--irqchip gicv2:" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct hv *hv = make_host(cases[i].has[0], cases[i].has[1], cases[i].has[2], 0);
		enum arm64_irqchip got = ARM64_IRQCHIP_AUTO;
		struct err e = { 0 };

		CHECK_EQ(gic_choose(hv, cases[i].wish, cases[i].n_vcpus, &got, &e), cases[i].result);
		CHECK_EQ(got, cases[i].got);
		CHECK(!cases[i].says || strstr(e.text, cases[i].says));
		CHECK_EQ(host.n, 0);
		hv_destroy(hv);
	}
}

static void test_v3(bool with_its)
{
	struct hv *hv = make_host(V3, with_its ? ITS : 0, 0, 0);
	struct gic_config config = config_for(ARM64_IRQCHIP_AUTO, 5);
	uint64_t base[4], top = DIST - (with_its ? 0x20000 : 0);
	unsigned int n[4];
	struct err e = { 0 };
	struct gic *g;
	void *blob;
	int node, child;

	config.nested = true;
	CHECK_EQ(gic_create(hv, &config, &g, &e), 0);
	CHECK_EQ(gic_kind(g), with_its ? ARM64_IRQCHIP_GICV3_ITS : ARM64_IRQCHIP_GICV3);
	CHECK_STR(gic_name(gic_kind(g)), with_its ? "gicv3-its" : "gicv3");
	CHECK_EQ(gic_n_spis(g), 96);
	CHECK_EQ(address(V3, KVM_VGIC_V3_ADDR_TYPE_DIST), DIST);
	CHECK_EQ(regions(base, n), 1);
	CHECK_EQ(base[0], top - 5 * 0x20000);
	CHECK_EQ(n[0], 5);
	CHECK_EQ(value_of(V3, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0), 128);
	CHECK_EQ(value_of(V3, KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ, 0), 25);
	CHECK(when(V3, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT) > when(V3, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0));
	CHECK(when(V3, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT) >
	      when(V3, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION));
	if (with_its) {
		CHECK_EQ(address(ITS, KVM_VGIC_ITS_ADDR_TYPE), top);
		CHECK(when(ITS, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT) >
		      when(ITS, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE));
	}
	blob = tree(g, &node);
	CHECK_EQ(fdt_node_check_compatible(blob, node, "arm,gic-v3"), 0);
	CHECK_EQ(cells(blob, node, "reg"), 8);
	CHECK_EQ(cell(blob, node, "reg", 1), DIST);
	CHECK_EQ(cell(blob, node, "reg", 3), 0x10000);
	CHECK_EQ(cell(blob, node, "reg", 5), base[0]);
	CHECK_EQ(cell(blob, node, "reg", 7), 5 * 0x20000);
	CHECK_EQ(cell(blob, node, "#interrupt-cells", 0), 3);
	CHECK_EQ(cell(blob, node, "phandle", 0), 1);
	CHECK_EQ(cell(blob, node, "interrupts", 0), 1);
	CHECK_EQ(cell(blob, node, "interrupts", 1), 9);
	CHECK_EQ(cell(blob, node, "interrupts", 2), 4);
	CHECK(!fdt_getprop(blob, node, "#redistributor-regions", NULL));
	CHECK(fdt_getprop(blob, node, "interrupt-controller", NULL) != NULL);
	child = fdt_first_subnode(blob, node);
	CHECK_EQ(child > 0, with_its);
	if (with_its) {
		CHECK_STR(fdt_get_name(blob, child, NULL), "msi-controller@3ffd0000");
		CHECK_EQ(fdt_node_check_compatible(blob, child, "arm,gic-v3-its"), 0);
		CHECK_EQ(cell(blob, child, "reg", 1), 0x3ffd0000);
		CHECK_EQ(cell(blob, child, "reg", 3), 0x20000);
		CHECK_EQ(cell(blob, child, "#msi-cells", 0), 1);
		CHECK_EQ(cell(blob, child, "phandle", 0), 2);
		CHECK(fdt_getprop(blob, child, "msi-controller", NULL) != NULL);
	}
	free(blob);
	gic_destroy(g);
	hv_destroy(hv);
}

/* No redistributor outside its place, none missing, whatever the number of vCPUs. */
static void test_redists(void)
{
	const uint64_t low = 0x3e000000, top = DIST - 0x20000, high = UINT64_C(0x100000000);
	const unsigned int room = (unsigned int)((top - low) / 0x20000);
	unsigned int twice = 0;

	CHECK(room < 512);
	for (unsigned int n_vcpus = 1; n_vcpus <= 512; n_vcpus += n_vcpus < 16 || (n_vcpus + 38 > room && n_vcpus < room + 3) ? 1 : 37) {
		struct hv *hv = make_host(V3, ITS, 0, 0);
		struct gic_config config = config_for(ARM64_IRQCHIP_AUTO, n_vcpus);
		uint64_t base[4];
		unsigned int n[4], count, sum = 0;
		struct err e = { 0 };
		struct gic *g;

		CHECK_EQ(gic_create(hv, &config, &g, &e), 0);
		count = regions(base, n);
		for (unsigned int i = 0; i < count; i++) {
			sum += n[i];
			CHECK(n[i] > 0);
			CHECK(i ? base[i] == high : base[i] >= low && base[i] + n[i] * UINT64_C(0x20000) == top);
		}
		CHECK_EQ(sum, n_vcpus);
		CHECK_EQ(count, n_vcpus > room ? 2 : 1);
		if (count == 2 && !twice++) {
			int node;
			void *blob = tree(g, &node);

			CHECK_EQ(cells(blob, node, "reg"), 12);
			CHECK_EQ(cell(blob, node, "#redistributor-regions", 0), 2);
			CHECK_EQ(cell(blob, node, "reg", 8), 1);
			CHECK_EQ(cell(blob, node, "reg", 11), n[1] * 0x20000);
			free(blob);
		}
		gic_destroy(g);
		config.redist_high = 0;
		g = NULL;
		e = (struct err){ 0 };
		CHECK_EQ(gic_create(hv, &config, &g, &e), n_vcpus > room ? -EINVAL : 0);
		CHECK(n_vcpus <= room || strstr(e.text, "no place"));
		gic_destroy(g);
		/* No room below at all. */
		config.redist_floor = DIST;
		config.redist_high = high;
		host.n = 0;
		CHECK_EQ(gic_create(hv, &config, &g, &e), 0);
		CHECK_EQ(regions(base, n), 1);
		CHECK_EQ(base[0], high);
		gic_destroy(g);
		hv_destroy(hv);
	}
	CHECK(twice > 0);
}

static unsigned int last_lines(struct call *ret, unsigned int max)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < host.n && n < max; i++)
		if (host.call[i].what == LINE)
			ret[n++] = host.call[i];
	host.n = 0;
	return n;
}

static void test_lines(void)
{
	struct hv *hv = make_host(V3, 0, 0, 0);
	struct gic_config config = config_for(ARM64_IRQCHIP_GICV3, 1);
	uint32_t c[4];
	struct irq_line line = { .n = 77 };
	struct call call[8];
	struct gic *g;

	config.n_spis = 33;
	CHECK_EQ(gic_create(hv, &config, &g, NULL), 0);
	CHECK_EQ(gic_n_spis(g), 64);
	CHECK_EQ(value_of(V3, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0), 96);
	CHECK_EQ(gic_line(g, 64, IRQ_LEVEL, &line), -EINVAL);
	CHECK_EQ(line.n, 77);
	CHECK_EQ(gic_line(g, 63, IRQ_LEVEL, &line), 0);
	host.n = 0;
	irq_set(&line, false);
	irq_set(&line, true);
	irq_set(&line, true);
	irq_set(&line, false);
	CHECK_EQ(last_lines(call, 8), 2);
	CHECK_EQ(call[0].group, SPI(63));
	CHECK_EQ(call[0].value, 1);
	CHECK_EQ(call[1].group, SPI(63));
	CHECK_EQ(call[1].value, 0);
	CHECK_EQ(gic_dt_cells(&line, c), 3);
	CHECK(c[0] == 0 && c[1] == 63 && c[2] == 4);
	CHECK_EQ(gic_line(g, 0, IRQ_EDGE, &line), 0);
	irq_pulse(&line);
	CHECK_EQ(last_lines(call, 8), 2);
	CHECK(call[0].group == SPI(0) && call[0].value == 1 && call[1].group == SPI(0) && !call[1].value);
	CHECK_EQ(gic_dt_cells(&line, c), 3);
	CHECK(c[0] == 0 && c[1] == 0 && c[2] == 1);
	/* Eventfds are connected to SPIs by their number alone, without what KVM_IRQ_LINE's numbers are above it. */
	CHECK_EQ(gic_line(g, 33, IRQ_EDGE, &line), 0);
	CHECK_EQ(line.ops->irqfd(line.ctx, line.n, 77, -1, true), 0);
	CHECK(irqfd.n == 1 && irqfd.gsi == 33 && irqfd.fd == 77 && irqfd.resample_fd == -1 && irqfd.assign);
	CHECK_EQ(line.ops->irqfd(line.ctx, line.n, 77, 78, false), 0);
	CHECK(irqfd.n == 2 && irqfd.gsi == 33 && irqfd.resample_fd == 78 && !irqfd.assign);
	gic_dt_ppi(g, 27, c);
	CHECK(c[0] == 1 && c[1] == 11 && c[2] == 4);
	gic_destroy(g);
	hv_destroy(hv);
}

static uint32_t frame_read(struct bus *bus, uint64_t offset, unsigned int len)
{
	struct bus_reader reader = { .next = NULL };
	uint8_t data[8] = { 0 };

	bus_add_reader(bus, &reader);
	CHECK(bus_read(bus, &reader, DIST - 0x30000 + offset, data, len));
	bus_remove_reader(bus, &reader);
	return get_le32(data);
}

static void frame_write(struct bus *bus, uint64_t offset, uint32_t value, unsigned int len)
{
	struct bus_reader reader = { .next = NULL };
	uint8_t data[8];

	put_le64(data, value);
	bus_add_reader(bus, &reader);
	CHECK(bus_write(bus, &reader, DIST - 0x30000 + offset, data, len));
	bus_remove_reader(bus, &reader);
}

static void test_v2(bool frame)
{
	struct hv *hv = make_host(V2, V3, ITS, 0);
	struct gic_config config = config_for(frame ? ARM64_IRQCHIP_GICV2M : ARM64_IRQCHIP_GICV2, 3);
	struct irq_line line;
	uint32_t c[4];
	struct call call[8];
	struct bus *bus;
	struct gic *g;
	void *blob;
	int node, child;

	CHECK_EQ(bus_create(&bus), 0);
	config.bus = bus;
	CHECK_EQ(gic_create(hv, &config, &g, NULL), 0);
	CHECK_EQ(gic_n_spis(g), 96);
	CHECK_EQ(gic_line(g, 96, IRQ_EDGE, &line), -EINVAL);
	CHECK_EQ(address(V2, KVM_VGIC_V2_ADDR_TYPE_DIST), DIST);
	CHECK_EQ(address(V2, KVM_VGIC_V2_ADDR_TYPE_CPU), DIST - 0x20000);
	CHECK_EQ(value_of(V2, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0), frame ? 160 : 128);
	gic_dt_ppi(g, 30, c);
	CHECK(c[0] == 1 && c[1] == 14 && c[2] == 0x704);
	blob = tree(g, &node);
	CHECK_EQ(fdt_node_check_compatible(blob, node, "arm,cortex-a15-gic"), 0);
	CHECK_EQ(cells(blob, node, "reg"), 8);
	CHECK_EQ(cell(blob, node, "reg", 5), DIST - 0x20000);
	CHECK_EQ(cell(blob, node, "reg", 7), 0x2000);
	CHECK(!fdt_getprop(blob, node, "interrupts", NULL));
	child = fdt_first_subnode(blob, node);
	CHECK_EQ(child > 0, frame);
	if (frame) {
		CHECK_STR(fdt_get_name(blob, child, NULL), "v2m@3ffc0000");
		CHECK_EQ(fdt_node_check_compatible(blob, child, "arm,gic-v2m-frame"), 0);
		CHECK_EQ(cell(blob, child, "reg", 1), DIST - 0x30000);
		CHECK_EQ(cell(blob, child, "reg", 3), 0x1000);
		CHECK_EQ(cell(blob, child, "phandle", 0), 2);
		CHECK_EQ(frame_read(bus, 0x8, 4), 128u << 16 | 32);
		CHECK_EQ(frame_read(bus, 0xfcc, 4) & 0xfffff, 0); /* architecture GICv2m, revision 0 */
		CHECK_EQ(frame_read(bus, 0x40, 4), 0);
		CHECK_EQ(frame_read(bus, 0x8, 2), 0);
		host.n = 0;
		frame_write(bus, 0x40, 128, 4);
		frame_write(bus, 0x40, 159, 4);
		CHECK_EQ(last_lines(call, 8), 4);
		CHECK(call[0].group == SPI(96) && call[0].value && call[1].group == SPI(96) && !call[1].value);
		CHECK(call[2].group == SPI(127) && call[2].value && call[3].group == SPI(127) && !call[3].value);
		/* Others' interrupts, no interrupts, other places and widths. */
		frame_write(bus, 0x40, 127, 4);
		frame_write(bus, 0x40, 160, 4);
		frame_write(bus, 0x40, 0, 4);
		frame_write(bus, 0x40, UINT32_MAX, 4);
		frame_write(bus, 0x44, 128, 4);
		frame_write(bus, 0x8, 128, 4);
		frame_write(bus, 0x40, 128, 2);
		frame_write(bus, 0x40, 128, 8);
		CHECK_EQ(last_lines(call, 8), 0);
	}
	free(blob);
	gic_destroy(g);
	bus_destroy(bus);
	hv_destroy(hv);
}

/* The value that a register has after the reset, and that it was written. */
static uint64_t after(uint32_t group, uint64_t attr)
{
	uint64_t value = UINT64_MAX;

	for (unsigned int i = 0; i < host.n; i++)
		if (host.call[i].what == SET && host.call[i].group == group && host.call[i].attr == attr)
			value = host.call[i].value;
	return value;
}

static void test_reset(void)
{
	struct hv *hv = make_host(V3, ITS, V2, 0);
	struct machine_vcpu vcpu[2] = { 0 };
	const uint64_t mpidr = UINT64_C(0x0000000780030201), cpu = UINT64_C(0x0703020100000000);
	struct gic_config config = config_for(ARM64_IRQCHIP_AUTO, 2);
	unsigned int n;
	struct gic *g;

	config.vcpu = vcpu;
	for (unsigned int i = 0; i < 2; i++)
		CHECK_EQ(hv->ops->create_vcpu(hv, i, &vcpu[i].hv), 0);
	CHECK_EQ(hv->ops->set_reg(vcpu[1].hv, REG_MPIDR, &mpidr), 0);
	CHECK_EQ(gic_create(hv, &config, &g, NULL), 0);
	host.n = 0;
	CHECK_EQ(gic_reset(g), 0);
	n = host.n;
	CHECK_EQ(host.call[0].type, ITS);
	CHECK_EQ(host.call[0].attr, KVM_DEV_ARM_ITS_CTRL_RESET);
	CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0), 0);
	for (unsigned int i = 1; i < 4; i++) { /* SPIs 0 to 95, but not the private ones and nothing behind */
		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x180 + 4 * i), UINT32_MAX);
		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x200 + 4 * i), 0);
		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x380 + 4 * i), UINT32_MAX);
		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x80 + 4 * i), UINT32_MAX);
	}
	CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x180), UINT64_MAX);
	CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x190), UINT64_MAX);
	CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x400 + 127 - 3), 0);
	CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x400 + 128), UINT64_MAX);
	CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0xc00 + 28), 0);
	CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x6000 + 8 * 32), 0);
	CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x6000 + 8 * 127), 0);
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t c = i ? cpu : 0;

		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, c), 0);
		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, c | 0x7c), 0);
		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, c | 0x10180), UINT32_MAX);
		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, c | 0x10100), 0xffff);
		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, c | 0x10400), 0);
		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, c | 0x1041c), 0);
		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, c | 0x10420), UINT64_MAX);
		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, c | 0xc230), 0);		  /* ICC_PMR_EL1 */
		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, c | 0xc667), 0);		  /* ICC_IGRPEN1_EL1 */
		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, c | 0xc664), UINT64_MAX - 3); /* ICC_CTLR_EL1: what it was, less two bits */
	}
	gic_destroy(g);

	/* Every error is told, and none ends the reset. */
	hv_vcpu_destroy(vcpu[0].hv);
	hv_vcpu_destroy(vcpu[1].hv);
	hv_destroy(hv);
	for (unsigned int i = 0; i < 3; i++) {
		unsigned long at[] = { 1, 2, 40 };
		unsigned long start;

		for (unsigned int pass = 0; pass < 2; pass++) {
			hv = make_host(V3, ITS, 0, pass ? start + at[i] : 0);
			for (unsigned int k = 0; k < 2; k++)
				CHECK_EQ(hv->ops->create_vcpu(hv, k, &vcpu[k].hv), 0);
			CHECK_EQ(gic_create(hv, &config, &g, NULL), 0);
			start = hv_scripted_calls(hv);
			host.n = 0;
			CHECK_EQ(gic_reset(g), pass ? -ENXIO : 0);
			CHECK(host.n >= n - 1);
			gic_destroy(g);
			for (unsigned int k = 0; k < 2; k++)
				hv_vcpu_destroy(vcpu[k].hv);
			hv_destroy(hv);
		}
	}

	hv = make_host(V2, 0, 0, 0);
	config.kind = ARM64_IRQCHIP_GICV2M;
	CHECK_EQ(gic_create(hv, &config, &g, NULL), 0);
	host.n = 0;
	CHECK_EQ(gic_reset(g), 0);
	CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0), 0);
	CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x280 + 4 * 4), UINT32_MAX); /* the frame's SPIs, too */
	CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x280 + 4 * 5), UINT64_MAX);
	CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x800 + 159 - 3), 0);
	CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x84), UINT64_MAX); /* groups are not for GICv2 guests */
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t c = (uint64_t)i << 32;

		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, c | 0x180), UINT32_MAX);
		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, c | 0x100), 0xffff);
		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, c | 0xf1c), UINT32_MAX);
		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_CPU_REGS, c | 0x4), 0);
		CHECK_EQ(after(KVM_DEV_ARM_VGIC_GRP_CPU_REGS, c | 0xd0), 0);
	}
	gic_destroy(g);
	hv_destroy(hv);
}

/* Each call to the host fails once; each failure is told in a sentence and leaves nothing behind. */
static void test_refused(void)
{
	static const enum arm64_irqchip kinds[] = { ARM64_IRQCHIP_AUTO, ARM64_IRQCHIP_GICV3, ARM64_IRQCHIP_GICV2M, ARM64_IRQCHIP_GICV2 };

	for (unsigned int k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct gic_config config = config_for(kinds[k], 4);
		unsigned int failed = 0;

		config.nested = true;
		for (unsigned long nth = 1;; nth++) {
			struct hv *hv = make_host(V3, ITS, V2, nth);
			struct err e = { 0 };
			struct bus *bus;
			struct gic *g = NULL;
			bool passed;
			int r;

			CHECK_EQ(bus_create(&bus), 0);
			config.bus = bus;
			r = gic_create(hv, &config, &g, &e);
			passed = hv_scripted_calls(hv) < nth;
			/* AUTO takes the next best when the question itself fails. */
			CHECK(r < 0 ? !g && e.text[0] && (r == -ENXIO || r == -EOPNOTSUPP) : passed || (kinds[k] == ARM64_IRQCHIP_AUTO && nth <= 2));
			failed += r < 0;
			gic_destroy(g);
			bus_destroy(bus);
			hv_destroy(hv);
			if (passed)
				break;
		}
		CHECK(failed >= 5);
	}
	/* The frame's place is taken. */
	{
		static const struct bus_ops ops = { 0 };
		struct gic_config config = config_for(ARM64_IRQCHIP_GICV2M, 1);
		struct hv *hv = make_host(V2, 0, 0, 0);
		struct err e = { 0 };
		struct bus *bus;
		struct gic *g = NULL;

		CHECK_EQ(bus_create(&bus), 0);
		CHECK_EQ(bus_add(bus, "squatter", DIST - 0x30000, 8, &ops, NULL, NULL), 0);
		config.bus = bus;
		CHECK_EQ(gic_create(hv, &config, &g, &e), -EEXIST);
		CHECK(!g && strstr(e.text, "squatter"));
		bus_destroy(bus);
		hv_destroy(hv);
	}
	gic_destroy(NULL);
}

int main(void)
{
	test_choice();
	test_v3(true);
	test_v3(false);
	test_redists();
	test_lines();
	test_v2(true);
	test_v2(false);
	test_reset();
	test_refused();
	return test_result();
}
