// SPDX-License-Identifier: MIT
/* The arm64 machine: where things are, and in what order a VM is put together. */
#include <errno.h>

#include "arch/arm64/arm64.h"
#include "arch/machine.h"

static const struct arch_map map = {
	.ram_base = ARM64_RAM_BASE,
	.ram_moves = true,
	.uart_base = ARM64_UART_BASE,
	.uart_step = 0x1000,
	.rtc = ARCH_RTC_PL031,
	.rtc_base = ARM64_RTC_BASE,
	.poweroff_base = ARM64_POWEROFF_BASE,
	.pvpanic_base = ARM64_PVPANIC_BASE,
	.flash_base = ARM64_FLASH_BASE,
	.flash_size = ARM64_FLASH_MAX,
	.virtio_base = ARM64_VIRTIO_BASE,
	.virtio_step = 0x1000,
	.n_virtio = ARM64_N_VIRTIO,
};

static unsigned int gpa_bits(uint64_t ram_base, uint64_t ram_size)
{
	uint64_t base = ram_base ? ram_base : ARM64_RAM_BASE, last;
	unsigned int bits = 32;

	if (__builtin_add_overflow(base, ram_size - 1, &last))
		return 64;
	while (bits < 64 && last >> bits)
		bits++;
	return bits;
}

static int prepare(struct machine *m, struct err *e)
{
	int bits = hv_capability(m->hv, KVM_CAP_ARM_VM_IPA_SIZE);
	struct arm64_state *s;
	int r = machine_check_vcpus(m, e);

	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, -ENOMEM, "not enough memory for the machine");
	boot_init(&s->boot);
	m->arch_state = s;
	r = gic_choose(m->hv, arm64_config(m)->irqchip, m->n_vcpus, &s->irqchip, e);
	if (r >= 0)
		r = arm64_choose_features(m, e);
	if (r >= 0 && s->has[ARM64_EL2] && s->irqchip >= ARM64_IRQCHIP_GICV2M)
		r = err_set(e, -EINVAL, "--nested needs a GICv3: leave --irqchip out, or use a machine that has one");
	/* VM type 0 has 40 bits on every host that does not say otherwise. */
	return r < 0 ? r : machine_add_ram(m, ARM64_MIN_RAM, bits >= 32 && bits < 63 ? (unsigned int)bits : 40, e);
}

static int create_irqchip(struct machine *m, struct err *e)
{
	struct arm64_state *s = arm64_state(m);
	const struct gic_config config = {
		.kind = s->irqchip,
		.n_vcpus = m->n_vcpus,
		.vcpu = m->vcpu,
		.n_spis = ARM64_N_IRQS,
		.dist_base = ARM64_GIC_DIST_BASE,
		.redist_floor = ARM64_REDIST_FLOOR,
		.redist_high = ARM64_REDIST_MORE,
		.bus = m->bus,
		.phandle = ARM64_PHANDLE_GIC,
		.nested = s->has[ARM64_EL2],
	};
	int r = gic_create(m->hv, &config, &s->gic, e);

	return r < 0 ? r : arm64_finish_vcpus(m, e);
}

static int alloc_irq(struct machine *m, enum irq_trigger preferred, struct irq_line *ret, struct err *e)
{
	struct arm64_state *s = arm64_state(m);
	int r = gic_line(s->gic, s->next_spi, preferred, ret);

	if (r < 0)
		return err_set(e, -ENOSPC, "all %u interrupts are taken: use fewer devices", s->next_spi);
	s->next_spi++;
	return 0;
}

static const char *irqchip(struct machine *m)
{
	return gic_name(arm64_state(m)->irqchip);
}

static void destroy(struct machine *m)
{
	struct arm64_state *s = arm64_state(m);

	if (!s)
		return;
	if (m->affinity == s->pmu_cpus)
		m->affinity = NULL;
	gic_destroy(s->gic);
	boot_close(&s->boot);
	free(s);
	m->arch_state = NULL;
}

const struct arch_ops arch_arm64 = {
	.name = "arm64",
	.cpu_word = "vCPU",
	.map = &map,
	.options = arm64_options,
	.n_options = ARM64_N_OPTIONS,
	.config_size = sizeof(struct arm64_config),
	.gpa_bits = gpa_bits,
	.prepare = prepare,
	.create_vcpu = arm64_create_vcpu,
	.create_irqchip = create_irqchip,
	.alloc_irq = alloc_irq,
	.load = arm64_load,
	.handle_exit = arm64_handle_exit,
	.for_each_reg = arm64_for_each_reg,
	.dump_vcpu = arm64_dump_vcpu,
	.doctor = arm64_doctor,
	.irqchip = irqchip,
	.destroy = destroy,
};
