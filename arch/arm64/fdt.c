// SPDX-License-Identifier: MIT
/* The device tree: chosen, memory, CPUs, PSCI, timer, PMU, and a simple bus with the interrupt controller and whatever devices write of themselves. */
#include <errno.h>
#include <inttypes.h>

#include "arch/arm64/arm64.h"

static int write_cpus(struct machine *m, struct dt *dt, struct err *e)
{
	int r = 0;

	dt_begin(dt, "cpus");
	dt_prop_u32(dt, "#address-cells", 1);
	dt_prop_u32(dt, "#size-cells", 0);
	for (unsigned int i = 0; r >= 0 && i < m->n_vcpus; i++) {
		uint64_t mpidr = i;

		r = arm64_mpidr(m, i, &mpidr, e);
		if (r >= 0 && mpidr > UINT32_MAX)
			r = err_set(e, -EINVAL, "vCPU %u has the wild affinity 0x%" PRIx64 "; a newer lkvm may know what to do", i, mpidr);
		dt_begin(dt, "cpu@%x", (unsigned int)mpidr);
		dt_prop_string(dt, "device_type", "cpu");
		dt_prop_string(dt, "compatible", "arm,armv8");
		dt_prop_u32(dt, "reg", (uint32_t)mpidr);
		dt_prop_string(dt, "enable-method", "psci");
		dt_prop_u32(dt, "phandle", ARM64_PHANDLE_CPU + i);
		dt_end(dt);
	}
	boot_write_cpu_map(m, dt, ARM64_PHANDLE_CPU);
	dt_end(dt);
	return r;
}

/* KVM serves PSCI 1.x; a hypervisor in the guest calls by SMC, since its HVC is its own. */
static void write_psci(const struct arm64_state *s, struct dt *dt)
{
	static const char *const compatible[] = { "arm,psci-1.0", "arm,psci-0.2", "arm,psci" };

	dt_begin(dt, "psci");
	dt_prop_strings(dt, "compatible", compatible, ARRAY_SIZE(compatible));
	dt_prop_string(dt, "method", s->has[ARM64_EL2] ? "smc" : "hvc");
	/* For what knows PSCI 0.1 alone. */
	dt_prop_u32(dt, "cpu_suspend", s->has[ARM64_AARCH32] ? 0x84000001 : 0xc4000001);
	dt_prop_u32(dt, "cpu_off", 0x84000002);
	dt_prop_u32(dt, "cpu_on", s->has[ARM64_AARCH32] ? 0x84000003 : 0xc4000003);
	dt_prop_u32(dt, "migrate", s->has[ARM64_AARCH32] ? 0x84000005 : 0xc4000005);
	dt_end(dt);
}

static void write_ppis(const struct arm64_state *s, struct dt *dt, const unsigned int *ppi, unsigned int n)
{
	uint32_t cells[8 * 3];

	for (unsigned int i = 0; i < n; i++)
		gic_dt_ppi(s->gic, ppi[i], cells + 3 * i);
	dt_prop_cells(dt, "interrupts", cells, 3 * n);
}

static void write_timer(const struct arm64_state *s, struct dt *dt)
{
	static const unsigned int ppi[] = { ARM64_PPI_SECURE_TIMER, ARM64_PPI_PHYS_TIMER, ARM64_PPI_VIRT_TIMER, ARM64_PPI_HYP_TIMER,
					    ARM64_PPI_HYP_VIRT_TIMER };
	static const char *const compatible[] = { "arm,armv8-timer", "arm,armv7-timer" };

	dt_begin(dt, "timer");
	if (s->has[ARM64_AARCH32])
		dt_prop_strings(dt, "compatible", compatible, ARRAY_SIZE(compatible));
	else
		dt_prop_string(dt, "compatible", compatible[0]);
	write_ppis(s, dt, ppi, s->has[ARM64_EL2] ? 5 : 4);
	dt_prop_empty(dt, "always-on");
	dt_end(dt);
}

static void write_pmu(const struct arm64_state *s, struct dt *dt)
{
	static const unsigned int ppi = ARM64_PPI_PMU;

	dt_begin(dt, "pmu");
	dt_prop_string(dt, "compatible", s->has[ARM64_AARCH32] ? "arm,cortex-a15-pmu" : "arm,armv8-pmuv3");
	write_ppis(s, dt, &ppi, 1);
	dt_end(dt);
}

static void write_soc(struct machine *m, struct dt *dt)
{
	dt_begin(dt, "soc");
	dt_prop_string(dt, "compatible", "simple-bus");
	dt_prop_u32(dt, "#address-cells", 2);
	dt_prop_u32(dt, "#size-cells", 2);
	dt_prop_empty(dt, "ranges");
	gic_write_node(arm64_state(m)->gic, dt);
	boot_write_nodes(m, dt, false);
	dt_end(dt);
	boot_write_nodes(m, dt, true);
}

int arm64_fdt_build(struct machine *m, uint64_t initrd, uint64_t initrd_size, void **ret_blob, size_t *ret_size, struct err *e)
{
	const struct arm64_state *s = arm64_state(m);
	const struct dt_irq irq = { .phandle = ARM64_PHANDLE_GIC, .cells = gic_dt_cells };
	struct dt dt = { 0 };
	int r = boot_open_tree(&dt, &irq, "lkvm,arm64-virt", e);

	if (r < 0)
		return r;
	dt_prop_u32(&dt, "interrupt-parent", ARM64_PHANDLE_GIC);
	r = boot_write_chosen(m, &dt, initrd, initrd_size, arm64_config(m)->kaslr_seed, e);
	if (r >= 0) {
		boot_write_memory(m, &dt);
		r = write_cpus(m, &dt, e);
	}
	if (r < 0) {
		dt_abort(&dt);
		return r;
	}
	write_psci(s, &dt);
	write_timer(s, &dt);
	if (s->has[ARM64_PMU])
		write_pmu(s, &dt);
	write_soc(m, &dt);
	dt_end(&dt);
	r = dt_finish(&dt, ret_blob, ret_size);
	if (r < 0)
		return err_set(e, r, "the device tree cannot be built: %s", err_name(r));
	return 0;
}
