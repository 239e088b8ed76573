// SPDX-License-Identifier: MIT
/* The RISC-V machine: where things are, and in what order a VM is put together. */
#include <errno.h>

#include "arch/machine.h"
#include "arch/riscv/aia.h"
#include "arch/riscv/fdt.h"
#include "arch/riscv/plic_kernel.h"
#include "arch/riscv/riscv.h"
#include "hw/plic.h"

static const struct arch_map map = {
	.ram_base = RISCV_RAM_BASE,
	.uart_base = RISCV_UART_BASE,
	.uart_step = 0x1000,
	.uart_alias = 0x3f8,
	.rtc_base = RISCV_RTC_BASE,
	.poweroff_base = RISCV_POWEROFF_BASE,
	.pvpanic_base = RISCV_PVPANIC_BASE,
	.virtio_base = RISCV_VIRTIO_BASE,
	.virtio_step = 0x1000,
	.n_virtio = RISCV_N_VIRTIO,
};

static int choose_irqchip(struct machine *m, struct err *e)
{
	struct riscv_state *s = riscv_state(m);
	bool have_aia = hv_capability(m->hv, KVM_CAP_IRQCHIP) > 0;

	s->irqchip = riscv_config(m)->irqchip;
	if (s->irqchip == RISCV_IRQCHIP_AUTO)
		s->irqchip = have_aia && !riscv_config(m)->disable_isa[KVM_RISCV_ISA_EXT_SSAIA] ? RISCV_IRQCHIP_AIA :
			     plic_kernel_present(m->hv)						? RISCV_IRQCHIP_PLIC_KERNEL :
												  RISCV_IRQCHIP_PLIC;
	if (s->irqchip == RISCV_IRQCHIP_PLIC_KERNEL && !plic_kernel_present(m->hv))
		return err_set(e, -EOPNOTSUPP,
			       "--irqchip plic-kernel: this host's KVM has no PLIC (it needs the patches of lkvm's arch/riscv/kernel); use --irqchip plic");
	if (s->irqchip != RISCV_IRQCHIP_AIA)
		return 0;
	if (!have_aia)
		return err_set(e, -EOPNOTSUPP, "--irqchip aia: this host's KVM has no AIA (it needs harts with Ssaia, and Linux 6.5); use --irqchip plic");
	if (riscv_config(m)->disable_isa[KVM_RISCV_ISA_EXT_SSAIA])
		return err_set(e, -EINVAL, "--irqchip aia needs the extension that --disable-ssaia hides: leave one of them out");
	return 0;
}

static int prepare(struct machine *m, struct err *e)
{
	struct riscv_state *s;
	int bits = hv_capability(m->hv, KVM_CAP_VM_GPA_BITS);
	uint64_t args[4] = { 0 };
	int r = machine_check_vcpus(m, e);

	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, -ENOMEM, "not enough memory for the machine");
	boot_init(&s->boot);
	s->next_irq = 1;
	m->arch_state = s;
	r = choose_irqchip(m, e);
	if (r < 0)
		return r;
	if (hv_capability(m->hv, KVM_CAP_RISCV_MP_STATE_RESET) > 0)
		s->reset_by_hv = m->hv->ops->enable_capability(m->hv, KVM_CAP_RISCV_MP_STATE_RESET, args) >= 0;
	/* Sv39x4 has 41 bits, and every host has it. */
	return machine_add_ram(m, RISCV_MIN_RAM, bits >= 32 && bits < 63 ? (unsigned int)bits : 41, e);
}

static int create_vcpu(struct machine *m, unsigned int i, struct err *e)
{
	int r = m->hv->ops->create_vcpu(m->hv, i, &m->vcpu[i].hv);

	if (r < 0)
		return err_set(e, r, "vCPU %u cannot be created: %s%s", i, err_name(r),
			       r == -EMFILE ? "; raise the limit of open files (ulimit -n)" : "");
	r = riscv_isa_apply(m, m->vcpu[i].hv, e);
	if (r >= 0 && !i)
		r = riscv_isa_read(m, m->vcpu[i].hv, e);
	return r;
}

static int create_aia(struct machine *m, struct err *e)
{
	struct aia_config config = {
		.n_vcpus = m->n_vcpus,
		.n_sources = RISCV_N_IRQS,
		.aplic_base = RISCV_APLIC_BASE,
		.imsic_base = RISCV_IRQCHIP_BASE,
		.phandle = RISCV_PHANDLE_IRQCHIP,
		.intc_phandle = RISCV_PHANDLE_INTC,
	};

	config.emulate = aia_host_loses_wakeups();
	return aia_create(m->hv, &config, &riscv_state(m)->aia, e);
}

static int create_plic(struct machine *m, struct err *e)
{
	CLEANUP_FREE struct hv_vcpu **vcpus = NULL;
	struct plic_config config = {
		.n_vcpus = m->n_vcpus,
		.n_sources = RISCV_N_IRQS,
		.base = RISCV_IRQCHIP_BASE,
		.coalescer = m->coalescer,
		.hv = m->hv,
		.slot = m->next_slot,
		.phandle = RISCV_PHANDLE_IRQCHIP,
		.intc_phandle = RISCV_PHANDLE_INTC,
	};

	if (riscv_state(m)->irqchip == RISCV_IRQCHIP_PLIC_KERNEL)
		return plic_kernel_create(m->hv, &config, &riscv_state(m)->plic_kernel, e);
	m->next_slot++;
	vcpus = calloc(m->n_vcpus, sizeof(*vcpus));
	if (!vcpus)
		return err_set(e, -ENOMEM, "not enough memory for the PLIC");
	for (unsigned int i = 0; i < m->n_vcpus; i++)
		vcpus[i] = m->vcpu[i].hv;
	config.vcpus = vcpus;
	return plic_create(&config, m->bus, &riscv_state(m)->plic, e);
}

static int create_irqchip(struct machine *m, struct err *e)
{
	return riscv_state(m)->irqchip == RISCV_IRQCHIP_AIA ? create_aia(m, e) : create_plic(m, e);
}

static int alloc_irq(struct machine *m, enum irq_trigger preferred, struct irq_line *ret, struct err *e)
{
	struct riscv_state *s = riscv_state(m);
	unsigned int n = s->next_irq;
	int r = s->aia	       ? aia_line(s->aia, n, preferred, ret) :
		s->plic_kernel ? plic_kernel_line(s->plic_kernel, n, preferred, ret) :
				 plic_line(s->plic, n, ret);

	if (r < 0)
		return err_set(e, -ENOSPC, "all %u interrupts are taken: use fewer devices", n - 1);
	if (s->aia && n == m->n_vcpus * aia_n_delivered(s->aia) + 1)
		log_warning(m->log, "this host's KVM delivers %u interrupts to each hart through the AIA that it emulates, and there are more: use fewer devices, more vCPUs, or --irqchip plic",
			    aia_n_delivered(s->aia));
	s->next_irq++;
	return 0;
}

static int64_t save_irqchip(struct machine *m, void *buf, size_t len)
{
	struct riscv_state *s = riscv_state(m);

	return s->aia	      ? aia_save(s->aia, buf, len) :
	       s->plic_kernel ? plic_kernel_save(s->plic_kernel, buf, len) :
				(int64_t)plic_save(s->plic, buf, len);
}

static int load_irqchip(struct machine *m, const void *buf, size_t len, struct err *e)
{
	struct riscv_state *s = riscv_state(m);

	return s->aia	      ? aia_load(s->aia, buf, len, e) :
	       s->plic_kernel ? plic_kernel_load(s->plic_kernel, buf, len, e) :
				plic_load(s->plic, buf, len, e);
}

int riscv_reset_irqchip(struct machine *m, struct err *e)
{
	struct riscv_state *s = riscv_state(m);

	if (s->plic_kernel)
		return plic_kernel_reset(s->plic_kernel, e);
	if (s->aia)
		aia_reset(s->aia);
	else
		plic_reset(s->plic);
	return 0;
}

static const char *irqchip(struct machine *m)
{
	return riscv_irqchip_name(riscv_state(m)->irqchip);
}

static void stat_irqchip(struct machine *m, void (*fn)(void *ctx, const char *name, uint64_t value), void *ctx)
{
	struct riscv_state *s = riscv_state(m);
	struct plic_stats stats;

	if (!s || !s->plic)
		return;
	plic_stats(s->plic, &stats);
	fn(ctx, "exits", stats.exits);
	fn(ctx, "claims", stats.claims);
	fn(ctx, "empty_claims", stats.empty_claims);
	fn(ctx, "completions", stats.completions);
	fn(ctx, "notifications", stats.notifications);
}

static void destroy(struct machine *m)
{
	struct riscv_state *s = riscv_state(m);

	if (!s)
		return;
	aia_destroy(s->aia);
	plic_destroy(s->plic);
	plic_kernel_destroy(s->plic_kernel);
	boot_close(&s->boot);
	free(s);
	m->arch_state = NULL;
}

const struct arch_ops arch_riscv64 = {
	.name = "riscv64",
	.cpu_word = "hart",
	.map = &map,
	.options = riscv_options,
	.n_options = RISCV_N_OPTIONS,
	.config_size = sizeof(struct riscv_config),
	.prepare = prepare,
	.create_vcpu = create_vcpu,
	.create_irqchip = create_irqchip,
	.save_irqchip = save_irqchip,
	.load_irqchip = load_irqchip,
	.reset_irqchip = riscv_reset_irqchip,
	.alloc_irq = alloc_irq,
	.load = riscv_load,
	.handle_exit = riscv_handle_exit,
	.for_each_reg = riscv_for_each_reg,
	.dump_vcpu = riscv_dump_vcpu,
	.doctor = riscv_doctor,
	.irqchip = irqchip,
	.stat = stat_irqchip,
	.destroy = destroy,
};
