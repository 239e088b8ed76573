// SPDX-License-Identifier: MIT
/* The device tree: chosen, memory, harts, and a simple bus with the interrupt controller and whatever devices write of themselves. */
#include <errno.h>
#include <stdio.h>

#include "arch/riscv/aia.h"
#include "arch/riscv/fdt.h"
#include "arch/riscv/plic_kernel.h"
#include "arch/riscv/riscv.h"
#include "hw/plic.h"

static const char *mmu_type(uint64_t satp_mode)
{
	switch (satp_mode) {
	case 0:
		return "riscv,none";
	case 9:
		return "riscv,sv48";
	case 10:
		return "riscv,sv57";
	default:
		return "riscv,sv39";
	}
}

static void write_cpus(struct machine *m, struct dt *dt, const char *isa)
{
	const struct riscv_state *s = riscv_state(m);
	const char *exts[KVM_RISCV_ISA_EXT_MAX];
	unsigned int n = 0;

	for (unsigned int i = 0; i < riscv_n_isa_exts; i++)
		if (s->isa[riscv_isa_exts[i].id])
			exts[n++] = riscv_isa_exts[i].name;
	dt_begin(dt, "cpus");
	dt_prop_u32(dt, "#address-cells", 1);
	dt_prop_u32(dt, "#size-cells", 0);
	dt_prop_u32(dt, "timebase-frequency", (uint32_t)s->timebase);
	for (unsigned int i = 0; i < m->n_vcpus; i++) {
		dt_begin(dt, "cpu@%x", i);
		dt_prop_string(dt, "device_type", "cpu");
		dt_prop_string(dt, "compatible", "riscv");
		dt_prop_u32(dt, "reg", i);
		dt_prop_string(dt, "status", "okay");
		dt_prop_string(dt, "mmu-type", mmu_type(s->satp_mode));
		dt_prop_string(dt, "riscv,isa", isa);
		dt_prop_string(dt, "riscv,isa-base", "rv64i");
		dt_prop_strings(dt, "riscv,isa-extensions", exts, n);
		if (s->cbom)
			dt_prop_u32(dt, "riscv,cbom-block-size", (uint32_t)s->cbom);
		if (s->cboz)
			dt_prop_u32(dt, "riscv,cboz-block-size", (uint32_t)s->cboz);
		if (s->cbop)
			dt_prop_u32(dt, "riscv,cbop-block-size", (uint32_t)s->cbop);
		dt_prop_u32(dt, "phandle", RISCV_PHANDLE_CPU + i);
		dt_begin(dt, "interrupt-controller");
		dt_prop_string(dt, "compatible", "riscv,cpu-intc");
		dt_prop_u32(dt, "#address-cells", 0);
		dt_prop_u32(dt, "#interrupt-cells", 1);
		dt_prop_empty(dt, "interrupt-controller");
		dt_prop_u32(dt, "phandle", RISCV_PHANDLE_INTC + i);
		dt_end(dt);
		dt_end(dt);
	}
	boot_write_cpu_map(m, dt, RISCV_PHANDLE_CPU);
	dt_end(dt);
}

static void write_soc(struct machine *m, struct dt *dt)
{
	const struct riscv_state *s = riscv_state(m);

	dt_begin(dt, "soc");
	dt_prop_string(dt, "compatible", "simple-bus");
	dt_prop_u32(dt, "#address-cells", 2);
	dt_prop_u32(dt, "#size-cells", 2);
	dt_prop_empty(dt, "ranges");
	/* Not at the root: the harts' own controllers have no parent. */
	dt_prop_u32(dt, "interrupt-parent", RISCV_PHANDLE_IRQCHIP);
	if (s->aia)
		aia_write_dt(s->aia, dt);
	else if (s->plic)
		plic_write_dt(s->plic, dt);
	else if (s->plic_kernel)
		plic_kernel_write_dt(s->plic_kernel, dt);
	boot_write_nodes(m, dt, false);
	dt_end(dt);
	boot_write_nodes(m, dt, true);
}

int riscv_fdt_build(struct machine *m, uint64_t initrd, uint64_t initrd_size, void **ret_blob, size_t *ret_size, struct err *e)
{
	const struct riscv_state *s = riscv_state(m);
	char isa[1024];
	const struct dt_irq irq = {
		.phandle = RISCV_PHANDLE_IRQCHIP,
		.cells = s->irqchip == RISCV_IRQCHIP_AIA ? aia_dt_cells : plic_dt_cells,
	};
	struct dt dt = { 0 };
	int r;

	if (riscv_isa_string(s, isa, sizeof(isa)) >= (int)sizeof(isa))
		return err_set(e, -E2BIG, "the guest's list of ISA extensions is too long; --disable-... some");
	r = boot_open_tree(&dt, &irq, "lkvm,riscv-virt", e);
	if (r < 0)
		return r;
	r = boot_write_chosen(m, &dt, initrd, initrd_size, 0, e);
	if (r < 0) {
		dt_abort(&dt);
		return r;
	}
	boot_write_memory(m, &dt);
	write_cpus(m, &dt, isa);
	write_soc(m, &dt);
	dt_end(&dt);
	r = dt_finish(&dt, ret_blob, ret_size);
	if (r < 0)
		return err_set(e, r, "the device tree cannot be built: %s", err_name(r));
	return 0;
}
