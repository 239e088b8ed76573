// SPDX-License-Identifier: MIT
/* The PLIC in the kernel: how it is set up, which calls its lines make, how it stands in the tree and what is saved. */
#include "arch/riscv/plic_kernel.h"

#include <sys/mman.h>

#include <libfdt.h>

#include "arch/riscv/test_machine.h"
#include "tests/test.h"

static uint8_t image[4096];
static struct irq_line source_1;

static void node(void *ctx, struct dt *dt)
{
	dt_begin(dt, "thing@10020000");
	dt_prop_reg(dt, 0x10020000, 0x1000);
	dt_prop_irq(dt, &source_1);
	dt_end(dt);
}

/* The interrupt controller's node, its name and properties; what the guest is told must not depend on who serves it. */
static void describe(struct test_machine *t, char *buf, size_t len)
{
	void *fdt = tm_tree(t->m.memory, tm_reg(t, 0, RISCV_REG_CORE(regs.a1)));
	int at = fdt ? fdt_node_offset_by_compatible(fdt, -1, "sifive,plic-1.0.0") : -1, prop;
	size_t n = 0;

	CHECK(at > 0);
	buf[0] = 0;
	if (at > 0)
		n += (size_t)snprintf(buf + n, len - n, "%s", fdt_get_name(fdt, at, NULL));
	if (at > 0)
		fdt_for_each_property_offset(prop, fdt, at) {
			const char *name;
			int size;
			const uint8_t *p = fdt_getprop_by_offset(fdt, prop, &name, &size);

			n += (size_t)snprintf(buf + n, len - n, " %s:", name);
			for (int i = 0; i < size && n < len; i++)
				n += (size_t)snprintf(buf + n, len - n, "%02x", p[i]);
			CHECK(n < len);
		}
	free(fdt);
}

static void test_machine_with(enum riscv_irqchip chip, char *tree, size_t len)
{
	struct irq_line level;
	struct test_machine t;
	struct err e = { 0 };
	char path[32];
	int fd = tm_file(image, sizeof(image), path);

	tm_init(&t, 4, false);
	t.plic_kernel = true;
	t.config.irqchip = chip;
	t.m.boot.kernel = path;
	t.m.stdout_path = "/soc/serial@10000000";
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK_EQ(arch_riscv64.alloc_irq(&t.m, IRQ_EDGE, &source_1, &e), 0);
	CHECK_EQ(arch_riscv64.alloc_irq(&t.m, IRQ_LEVEL, &level, &e), 0);
	CHECK_EQ(source_1.n, 1);
	CHECK_EQ(level.n, 2);
	t.m.node[t.m.n_nodes++] = (struct machine_node){ node, NULL };
	CHECK_EQ(arch_riscv64.load(&t.m, &e), 0);
	describe(&t, tree, len);
	if (chip == RISCV_IRQCHIP_PLIC) {
		CHECK_EQ(t.n_plic_init, 0);
	} else {
		CHECK_EQ(t.n_plic_init, 1);
		CHECK_EQ(t.plic_sources, RISCV_N_IRQS);
		CHECK_EQ(t.plic_contexts, KVM_DEV_RISCV_PLIC_CONTEXTS_MS);
		CHECK_EQ(t.plic_base, RISCV_IRQCHIP_BASE);
		CHECK(source_1.trigger == IRQ_EDGE && level.trigger == IRQ_LEVEL);
		irq_set(&level, true);
		irq_set(&level, true); /* idempotent */
		irq_set(&level, false);
		CHECK_STR(t.lines, "UD");
		CHECK_EQ(irq_connect(&source_1, 0, -1, true), 0);
		CHECK_EQ(t.n_irqfds, 1);
		for (unsigned int i = 2; i < RISCV_N_IRQS; i++)
			CHECK_EQ(arch_riscv64.alloc_irq(&t.m, IRQ_EDGE, &level, &e), 0);
		CHECK(arch_riscv64.alloc_irq(&t.m, IRQ_EDGE, &level, &e) < 0 && strstr(e.text, "interrupts"));
	}
	tm_destroy(&t);
	close(fd);
}

static void test_save(void)
{
	const struct plic_config config = { .n_vcpus = 2, .n_sources = 31, .base = 0x8000000 };
	struct plic_kernel *p = NULL;
	struct test_machine t;
	struct err e = { 0 };
	struct {
		struct kvm_riscv_plic_state state;
		char more[16];
	} buf;

	tm_init(&t, 2, false);
	t.plic_kernel = true;
	t.config.irqchip = RISCV_IRQCHIP_PLIC;
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK_EQ(plic_kernel_create(t.m.hv, &config, &p, &e), 0);
	t.plic_state = (struct kvm_riscv_plic_state){ .version = KVM_RISCV_PLIC_STATE_VERSION, .size = sizeof(buf.state), .nr_sources = 31 };
	t.plic_state.priority[5] = 3;
	CHECK_EQ(plic_kernel_save(p, NULL, 0), sizeof(buf.state));
	memset(&buf, 0, sizeof(buf));
	CHECK_EQ(plic_kernel_save(p, &buf, sizeof(buf)), sizeof(buf.state));
	CHECK_EQ(buf.state.priority[5], 3);
	memset(&t.plic_state, 0, sizeof(t.plic_state));
	CHECK_EQ(plic_kernel_load(p, &buf, sizeof(buf.state), &e), 0);
	CHECK_EQ(t.plic_state.priority[5], 3);
	/* Bad input: no header, another length than it says, a version that KVM refuses. */
	CHECK_EQ(plic_kernel_load(p, &buf, 8, NULL), -EINVAL);
	CHECK_EQ(plic_kernel_load(p, &buf, sizeof(buf), NULL), -EINVAL);
	buf.state.version++;
	CHECK_EQ(plic_kernel_load(p, &buf, sizeof(buf.state), &e), -EINVAL);
	CHECK(strstr(e.text, "saved state"));
	CHECK_EQ(t.plic_state.priority[5], 3);
	CHECK_EQ(plic_kernel_reset(p, &e), 0);
	CHECK_EQ(t.n_plic_reset, 1);
	plic_kernel_destroy(p);
	tm_destroy(&t);
}

static struct kvm_riscv_plic_lines *page;

static void *device_page(struct hv *hv, int fd)
{
	void *p = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	page = p == MAP_FAILED ? NULL : p;
	return page;
}

/* A host that shares the level inputs. */
static void test_shared(void)
{
	const struct plic_config config = { .n_vcpus = 2, .n_sources = 31, .base = 0x8000000 };
	struct plic_kernel *p = NULL;
	struct test_machine t;
	struct irq_line line;
	struct err e = { 0 };
	struct hv_ops ops;

	tm_init(&t, 2, false);
	t.plic_kernel = true;
	t.config.irqchip = RISCV_IRQCHIP_PLIC;
	CHECK_EQ(tm_build(&t, &e), 0);
	ops = *t.m.hv->ops;
	ops.device_page = device_page;
	t.m.hv->ops = &ops;
	CHECK_EQ(plic_kernel_create(t.m.hv, &config, &p, &e), 0);
	CHECK_EQ(plic_kernel_line(p, 5, IRQ_LEVEL, &line), 0);
	irq_set(&line, true);
	CHECK_EQ(page->level[0], 1 << 5);
	irq_set(&line, false);
	CHECK_EQ(page->level[0], 0);
	CHECK_STR(t.lines, "U");
	plic_kernel_destroy(p);
	tm_destroy(&t);
}

int main(void)
{
	char user[4096], kernel[4096];

	tm_image(image, sizeof(image), MIB(16));
	test_machine_with(RISCV_IRQCHIP_PLIC, user, sizeof(user));
	test_machine_with(RISCV_IRQCHIP_PLIC_KERNEL, kernel, sizeof(kernel));
	CHECK_STR(kernel, user);
	test_save();
	test_shared();
	return test_result();
}
