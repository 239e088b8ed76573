// SPDX-License-Identifier: MIT
#include <asm/kvm.h>
#include <linux/kvm.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/utsname.h>

#include "arch/hv_lines.h"
#include "arch/riscv/aia.h"

/* APLIC registers (AIA 4.5), offsets are the attributes of KVM_DEV_RISCV_AIA_GRP_APLIC. */
#define APLIC_DOMAINCFG 0x0000
#define APLIC_SOURCECFG 0x0004 /* of source 1 */
#define APLIC_SETIP 0x1c00
#define APLIC_IN_CLRIP 0x1d00
#define APLIC_SETIE 0x1e00
#define APLIC_CLRIE 0x1f00
#define APLIC_TARGET 0x3004 /* of source 1 */

/* Indirect IMSIC registers (AIA 3.8). */
#define IMSIC_EIDELIVERY 0x70
#define IMSIC_EITHRESHOLD 0x72
#define IMSIC_EIP0 0x80
#define IMSIC_EIE0 0xc0

#define DT_EDGE_RISING 1
#define DT_LEVEL_HIGH 4

struct aia {
	struct hv *hv;
	int fd;
	struct aia_config config;
	uint32_t n_ids;
	bool upper_lost; /* see aia_n_delivered() */
	struct hv_lines *lines; /* n_sources + 1: there is no source 0 */
};

static int attr(struct aia *a, uint32_t group, uint64_t number, void *value, bool set)
{
	return a->hv->ops->device_attr(a->hv, a->fd, group, number, value, set);
}

static int set_config(struct aia *a, uint64_t number, uint32_t value, const char *what, struct err *e)
{
	int r = attr(a, KVM_DEV_RISCV_AIA_GRP_CONFIG, number, &value, true);

	if (r < 0)
		return err_set(e, r, "KVM's AIA refuses %u %s (%s): try --irqchip plic", value, what, err_name(r));
	return 0;
}

static int set_address(struct aia *a, uint64_t number, uint64_t gpa, struct err *e)
{
	int r = attr(a, KVM_DEV_RISCV_AIA_GRP_ADDR, number, &gpa, true);

	if (r < 0)
		return err_set(e, r, "KVM's AIA refuses the address 0x%llx (%s): try --irqchip plic", (unsigned long long)gpa, err_name(r));
	return 0;
}

/* Bits that tell n harts apart. */
static uint32_t hart_bits(unsigned int n)
{
	uint32_t bits = 0;

	while ((1u << bits) < n)
		bits++;
	return bits;
}

/* Emulated, do registers of an interrupt file have an upper half? Before the guest runs nobody else looks at them. */
static bool loses_upper_halves(struct aia *a)
{
	const uint64_t eie0 = KVM_DEV_RISCV_AIA_IMSIC_MKATTR(0, IMSIC_EIE0);
	unsigned long v = (unsigned long)UINT64_C(0x100000000), is = v, none = 0;
	uint32_t mode = 0;

	if (attr(a, KVM_DEV_RISCV_AIA_GRP_CONFIG, KVM_DEV_RISCV_AIA_CONFIG_MODE, &mode, false) < 0 || mode != KVM_DEV_RISCV_AIA_MODE_EMUL)
		return false;
	attr(a, KVM_DEV_RISCV_AIA_GRP_IMSIC, eie0, &v, true);
	attr(a, KVM_DEV_RISCV_AIA_GRP_IMSIC, eie0, &is, false);
	attr(a, KVM_DEV_RISCV_AIA_GRP_IMSIC, eie0, &none, true);
	return is != v;
}

static int configure(struct aia *a, struct err *e)
{
	const struct aia_config *c = &a->config;
	int r;

	/* Else the mode stays what KVM chose: guest interrupt files where the hardware has them, emulation elsewhere. */
	if (c->emulate) {
		r = set_config(a, KVM_DEV_RISCV_AIA_CONFIG_MODE, KVM_DEV_RISCV_AIA_MODE_EMUL, "as its mode", e);
		if (r < 0)
			return r;
	}
	r = attr(a, KVM_DEV_RISCV_AIA_GRP_CONFIG, KVM_DEV_RISCV_AIA_CONFIG_IDS, &a->n_ids, false);
	if (r < 0 || a->n_ids < KVM_DEV_RISCV_AIA_IDS_MIN)
		return err_set(e, r < 0 ? r : -EINVAL, "KVM's AIA does not say how many interrupts it has: try --irqchip plic");
	a->config.n_sources = MIN(c->n_sources, a->n_ids);
	r = set_config(a, KVM_DEV_RISCV_AIA_CONFIG_SRCS, c->n_sources, "interrupt sources", e);
	if (r >= 0)
		r = set_config(a, KVM_DEV_RISCV_AIA_CONFIG_HART_BITS, hart_bits(c->n_vcpus), "hart index bits", e);
	if (r >= 0)
		r = set_address(a, KVM_DEV_RISCV_AIA_ADDR_APLIC, c->aplic_base, e);
	for (unsigned int i = 0; r >= 0 && i < c->n_vcpus; i++)
		r = set_address(a, KVM_DEV_RISCV_AIA_ADDR_IMSIC(i), c->imsic_base + (uint64_t)i * KVM_DEV_RISCV_IMSIC_SIZE, e);
	if (r < 0)
		return r;
	r = attr(a, KVM_DEV_RISCV_AIA_GRP_CTRL, KVM_DEV_RISCV_AIA_CTRL_INIT, NULL, true);
	if (r < 0)
		return err_set(e, r, "KVM cannot set up its AIA (%s): try --irqchip plic", err_name(r));
	a->upper_lost = loses_upper_halves(a);
	return 0;
}

bool aia_loses_wakeups(const char *release)
{
	char *end;
	unsigned long major = strtoul(release, &end, 10), minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;

	return major < 6 || (major == 6 && minor < 17);
}

bool aia_host_loses_wakeups(void)
{
	struct utsname host;

	return !uname(&host) && aia_loses_wakeups(host.release);
}

int aia_create(struct hv *hv, const struct aia_config *config, struct aia **ret, struct err *e)
{
	CLEANUP(cleanup_aia_destroy) struct aia *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return err_set(e, -ENOMEM, "not enough memory for the AIA");
	a->hv = hv;
	a->fd = -1;
	a->config = *config;
	r = hv->ops->create_device(hv, KVM_DEV_TYPE_RISCV_AIA, &a->fd);
	if (r < 0)
		return err_set(e, r, "KVM has no AIA to give (%s): try --irqchip plic", err_name(r));
	r = configure(a, e);
	if (r < 0)
		return r;
	r = hv_lines_create(hv, &(struct hv_lines_config){ .n = a->config.n_sources + 1 }, &a->lines);
	if (r < 0)
		return err_set(e, r, "not enough memory for the AIA");
	*ret = TAKE(a);
	return 0;
}

void aia_destroy(struct aia *a)
{
	if (!a)
		return;
	hv_lines_destroy(a->lines);
	close_fd(&a->fd);
	free(a);
}

unsigned int aia_n_sources(const struct aia *a)
{
	return a->config.n_sources;
}

unsigned int aia_n_delivered(const struct aia *a)
{
	return a->upper_lost ? 31 : a->n_ids;
}

int aia_line(struct aia *a, unsigned int source, enum irq_trigger preferred, struct irq_line *ret)
{
	return source ? hv_lines_get(a->lines, source, preferred, ret) : -EINVAL;
}

static void write_aplic(struct aia *a, uint64_t offset, uint32_t v)
{
	attr(a, KVM_DEV_RISCV_AIA_GRP_APLIC, offset, &v, true);
}

static void write_imsic(struct aia *a, uint64_t hart, uint64_t select)
{
	unsigned long v = 0;

	attr(a, KVM_DEV_RISCV_AIA_GRP_IMSIC, KVM_DEV_RISCV_AIA_IMSIC_MKATTR(hart, select), &v, true);
}

void aia_reset(struct aia *a)
{
	write_aplic(a, APLIC_DOMAINCFG, 0);
	for (unsigned int w = 0; w <= a->config.n_sources / 32; w++) {
		write_aplic(a, APLIC_CLRIE + 4 * w, UINT32_MAX);
		write_aplic(a, APLIC_IN_CLRIP + 4 * w, UINT32_MAX); /* before sourcecfg: an inactive source's bit cannot be written */
	}
	for (unsigned int i = 1; i <= a->config.n_sources; i++) {
		write_aplic(a, APLIC_SOURCECFG + 4 * (i - 1), 0);
		write_aplic(a, APLIC_TARGET + 4 * (i - 1), 0);
	}
	for (unsigned int h = 0; h < a->config.n_vcpus; h++) {
		write_imsic(a, h, IMSIC_EIDELIVERY);
		write_imsic(a, h, IMSIC_EITHRESHOLD);
		/* 64 identities a register; odd numbers do not exist on RV64 */
		for (unsigned int i = 0; i <= a->n_ids / 64; i++) {
			write_imsic(a, h, IMSIC_EIE0 + 2 * i);
			write_imsic(a, h, IMSIC_EIP0 + 2 * i);
		}
	}
}

#define STATE_VERSION 1

struct aia_state {
	uint32_t version;
	uint32_t n_sources, n_vcpus, n_ids;
	uint64_t value[]; /* in the order of walk() */
};

struct walk {
	struct aia *a;
	struct aia_state *state; /* NULL: only count */
	bool load;
	size_t n;
	int r; /* the first failure */
};

static void visit(struct walk *w, uint32_t group, uint64_t number)
{
	uint64_t *value = w->state ? &w->state->value[w->n] : NULL;
	uint32_t word;
	unsigned long wide;

	w->n++;
	if (!value || w->r < 0)
		return;
	word = (uint32_t)*value;
	wide = (unsigned long)*value;
	w->r = attr(w->a, group, number, group == KVM_DEV_RISCV_AIA_GRP_APLIC ? (void *)&word : &wide, w->load);
	if (!w->load)
		*value = group == KVM_DEV_RISCV_AIA_GRP_APLIC ? word : wide;
}

/* All registers that hold state. In this order they can be written: what a source does not take while inactive comes after its sourcecfg, and delivery is last. */
static int walk(struct walk *w)
{
	const struct aia *a = w->a;

	for (unsigned int i = 1; i <= a->config.n_sources; i++) {
		visit(w, KVM_DEV_RISCV_AIA_GRP_APLIC, APLIC_SOURCECFG + 4 * (i - 1));
		visit(w, KVM_DEV_RISCV_AIA_GRP_APLIC, APLIC_TARGET + 4 * (i - 1));
	}
	for (unsigned int i = 0; i <= a->config.n_sources / 32; i++) {
		visit(w, KVM_DEV_RISCV_AIA_GRP_APLIC, APLIC_SETIP + 4 * i);
		visit(w, KVM_DEV_RISCV_AIA_GRP_APLIC, APLIC_SETIE + 4 * i);
	}
	for (unsigned int h = 0; h < a->config.n_vcpus; h++) {
		for (unsigned int i = 0; i <= a->n_ids / 64; i++) {
			visit(w, KVM_DEV_RISCV_AIA_GRP_IMSIC, KVM_DEV_RISCV_AIA_IMSIC_MKATTR((uint64_t)h, IMSIC_EIE0 + 2 * i));
			visit(w, KVM_DEV_RISCV_AIA_GRP_IMSIC, KVM_DEV_RISCV_AIA_IMSIC_MKATTR((uint64_t)h, IMSIC_EIP0 + 2 * i));
		}
		visit(w, KVM_DEV_RISCV_AIA_GRP_IMSIC, KVM_DEV_RISCV_AIA_IMSIC_MKATTR((uint64_t)h, IMSIC_EITHRESHOLD));
		visit(w, KVM_DEV_RISCV_AIA_GRP_IMSIC, KVM_DEV_RISCV_AIA_IMSIC_MKATTR((uint64_t)h, IMSIC_EIDELIVERY));
	}
	visit(w, KVM_DEV_RISCV_AIA_GRP_APLIC, APLIC_DOMAINCFG);
	return w->r;
}

static size_t state_size(struct aia *a)
{
	struct walk count = { .a = a };

	walk(&count);
	return sizeof(struct aia_state) + count.n * sizeof(uint64_t);
}

int64_t aia_save(struct aia *a, void *buf, size_t len)
{
	struct walk w = { .a = a, .state = buf };
	size_t size = state_size(a);
	int r;

	if (len < size)
		return (int64_t)size;
	memset(buf, 0, size);
	*w.state = (struct aia_state){ .version = STATE_VERSION, .n_sources = a->config.n_sources, .n_vcpus = a->config.n_vcpus, .n_ids = a->n_ids };
	r = walk(&w);
	return r < 0 ? r : (int64_t)size;
}

int aia_load(struct aia *a, const void *buf, size_t len, struct err *e)
{
	CLEANUP_FREE struct aia_state *state = NULL;
	struct walk w = { .a = a, .load = true };
	int r;

	if (len != state_size(a))
		return err_set(e, -EINVAL, "the AIA's saved state is not of a machine like this one");
	w.state = state = malloc(len);
	if (!state)
		return err_set(e, -ENOMEM, "not enough memory for the AIA's state");
	memcpy(state, buf, len);
	if (state->version != STATE_VERSION || state->n_sources != a->config.n_sources || state->n_vcpus != a->config.n_vcpus || state->n_ids != a->n_ids)
		return err_set(e, -EINVAL, "the AIA's saved state is not of a machine like this one");
	aia_reset(a);
	r = walk(&w);
	return r < 0 ? err_set(e, r, "KVM's AIA refuses the saved state (%s)", err_name(r)) : 0;
}

unsigned int aia_dt_cells(const struct irq_line *line, uint32_t cells[4])
{
	cells[0] = line->n;
	cells[1] = line->trigger == IRQ_EDGE ? DT_EDGE_RISING : DT_LEVEL_HIGH;
	return 2;
}

void aia_write_dt(const struct aia *a, struct dt *dt)
{
	const struct aia_config *c = &a->config;
	uint32_t *cells = calloc(c->n_vcpus, 2 * sizeof(*cells));

	if (!cells) {
		dt->error = -1;
		return;
	}
	for (unsigned int i = 0; i < c->n_vcpus; i++) {
		cells[2 * i] = c->intc_phandle + i;
		cells[2 * i + 1] = 9; /* supervisor external interrupt */
	}
	dt_begin(dt, "imsics@%llx", (unsigned long long)c->imsic_base);
	dt_prop_string(dt, "compatible", "riscv,imsics");
	dt_prop_reg(dt, c->imsic_base, (uint64_t)c->n_vcpus * KVM_DEV_RISCV_IMSIC_SIZE);
	dt_prop_empty(dt, "interrupt-controller");
	dt_prop_u32(dt, "#interrupt-cells", 0);
	dt_prop_u32(dt, "#address-cells", 0);
	dt_prop_empty(dt, "msi-controller");
	dt_prop_u32(dt, "#msi-cells", 0);
	dt_prop_u32(dt, "riscv,num-ids", a->n_ids);
	dt_prop_cells(dt, "interrupts-extended", cells, 2 * c->n_vcpus);
	dt_prop_u32(dt, "phandle", c->phandle + 1);
	dt_end(dt);

	dt_begin(dt, "aplic@%llx", (unsigned long long)c->aplic_base);
	dt_prop_string(dt, "compatible", "riscv,aplic");
	dt_prop_reg(dt, c->aplic_base, KVM_DEV_RISCV_APLIC_SIZE);
	dt_prop_empty(dt, "interrupt-controller");
	dt_prop_u32(dt, "#interrupt-cells", 2);
	dt_prop_u32(dt, "#address-cells", 0);
	dt_prop_u32(dt, "riscv,num-sources", c->n_sources);
	dt_prop_u32(dt, "msi-parent", c->phandle + 1);
	dt_prop_u32(dt, "phandle", c->phandle);
	dt_end(dt);
	free(cells);
}
