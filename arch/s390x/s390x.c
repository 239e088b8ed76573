// SPDX-License-Identifier: MIT
/* The s390x machine: RAM from 0 on, a channel subsystem, and the SCLP. There is no MMIO. */
#include <errno.h>

#include "arch/machine.h"
#include "arch/s390x/s390x.h"

static const struct arch_map map = {
	.n_virtio = S390X_N_VIRTIO,
	.console = "ttysclp0",
};

/* What there is no guest without. */
static const struct {
	unsigned int cap;
	const char *what;
	bool enable;
} needed[] = {
	{ KVM_CAP_S390_USER_SIGP, "SIGNAL PROCESSOR in user space", true },
	{ KVM_CAP_S390_CSS_SUPPORT, "channel I/O", false },
	{ KVM_CAP_S390_MEM_OP, "guest memory at logical addresses", false },
	{ KVM_CAP_S390_INJECT_IRQ, "interruptions with parameters", false },
};

static int enable_needed(struct machine *m, struct err *e)
{
	const uint64_t none[4] = { 0 };

	/* Without it the guest learns KVM's name in place of its own. */
	if (hv_capability(m->hv, KVM_CAP_S390_USER_STSI) > 0)
		m->hv->ops->enable_capability(m->hv, KVM_CAP_S390_USER_STSI, none);
	for (unsigned int i = 0; i < ARRAY_SIZE(needed); i++)
		if (hv_capability(m->hv, needed[i].cap) <= 0 ||
		    (needed[i].enable && m->hv->ops->enable_capability(m->hv, needed[i].cap, none) < 0))
			return err_set(e, -EOPNOTSUPP, "this host's KVM lacks %s: use Linux 6.1 or newer", needed[i].what);
	if (m->backing.hugetlbfs &&
	    (hv_capability(m->hv, KVM_CAP_S390_HPAGE_1M) <= 0 || m->hv->ops->enable_capability(m->hv, KVM_CAP_S390_HPAGE_1M, none) < 0))
		return err_set(e, -EOPNOTSUPP, "--hugetlbfs: this host's KVM takes no huge pages; have it loaded with hpage=1, or leave the option out");
	return 0;
}

static int prepare(struct machine *m, struct err *e)
{
	struct css_config css = { .ops = &s390x_css_ops, .ctx = m };
	struct s390x_state *s;
	int r = machine_check_vcpus(m, e);

	if (r < 0)
		return r;
	if (m->n_vcpus > S390X_MAX_VCPUS)
		return err_set(e, -EINVAL, "%u vCPUs are not possible here: give -c a number from 1 to %d", m->n_vcpus, S390X_MAX_VCPUS);
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, -ENOMEM, "not enough memory for the machine");
	s->flic = s->kernel.fd = s->initrd.fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->route_lock, NULL);
	m->arch_state = s;
	s->cpu = calloc(m->n_vcpus, sizeof(*s->cpu));
	if (!s->cpu)
		return err_set(e, -ENOMEM, "not enough memory for the machine");
	css.memory = m->memory;
	if ((r = enable_needed(m, e)) < 0 || (r = s390x_choose_model(m, e)) < 0 || (r = css_create(&css, &m->css, e)) < 0)
		return r;
	/* KVM maps guests in segments. */
	m->ram_size = round_down(m->ram_size, MIB(1));
	return machine_add_ram(m, S390X_MIN_RAM, 47, e);
}

static int create_irqchip(struct machine *m, struct err *e)
{
	int r = s390x_create_flic(m, e);

	if (r >= 0)
		r = sclp_create(m, &s390x_state(m)->sclp, e);
	m->console_changed = sclp_console_changed;
	return r;
}

/* Devices have channels, and no lines. */
static int alloc_irq(struct machine *m, enum irq_trigger preferred, struct irq_line *ret, struct err *e)
{
	return err_set(e, -ENODEV, "an s390x machine has no interrupt lines; use virtio devices");
}

static int ask_shutdown(struct machine *m)
{
	return sclp_quiesce(s390x_state(m)->sclp);
}

static int sysrq(struct machine *m, char key)
{
	return sclp_sysrq(s390x_state(m)->sclp, key);
}

static void destroy(struct machine *m)
{
	struct s390x_state *s = s390x_state(m);

	css_destroy(m->css);
	m->css = NULL;
	if (!s)
		return;
	sclp_destroy(s->sclp);
	close_fd(&s->flic);
	image_close(&s->kernel);
	image_close(&s->initrd);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->route_lock);
	free(s->iplb);
	free(s->cpu);
	free(s);
	m->arch_state = NULL;
}

static void hold(struct machine *m, bool held)
{
	css_hold(m->css, held);
}

const struct arch_ops arch_s390x = {
	.name = "s390x",
	.cpu_word = "vCPU",
	.map = &map,
	.options = s390x_options,
	.n_options = S390X_N_OPTIONS,
	.config_size = sizeof(struct s390x_config),
	.prepare = prepare,
	.create_vcpu = s390x_create_vcpu,
	.create_irqchip = create_irqchip,
	.alloc_irq = alloc_irq,
	.attach = s390x_attach,
	.detach = s390x_detach,
	.attached_exits = s390x_attached_exits,
	.hold = hold,
	.load = s390x_load,
	.before_run = s390x_before_run,
	.handle_exit = s390x_handle_exit,
	.for_each_reg = s390x_for_each_reg,
	.dump_vcpu = s390x_dump_vcpu,
	.ask_shutdown = ask_shutdown,
	.sysrq = sysrq,
	.nmi = s390x_psw_restart,
	.doctor = s390x_doctor,
	.destroy = destroy,
};
