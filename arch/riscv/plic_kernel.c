// SPDX-License-Identifier: MIT
#include "arch/riscv/plic_kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "arch/hv_lines.h"
#include "hv/compat_kvm.h"

struct plic_kernel {
	struct hv *hv;
	int fd;
	struct plic_config config;
	struct kvm_riscv_plic_lines *shared; /* a page; NULL: this host does not share them */
	struct hv_lines *lines; /* n_sources + 1: there is no source 0 */
};

static int set(struct plic_kernel *p, uint32_t group, uint64_t attr, void *value, const char *what, struct err *e)
{
	int r = p->hv->ops->device_attr(p->hv, p->fd, group, attr, value, true);

	/* Once it is made, another one is no help. */
	return r < 0 ? err_set(e, r, "KVM's PLIC refuses %s (%s)%s", what, err_name(r), p->lines ? "" : ": try --irqchip plic") : 0;
}

bool plic_kernel_present(struct hv *hv)
{
	return hv->ops->create_device(hv, KVM_DEV_TYPE_RISCV_PLIC, NULL) >= 0;
}

static int configure(struct plic_kernel *p, struct err *e)
{
	uint32_t sources = p->config.n_sources, contexts = KVM_DEV_RISCV_PLIC_CONTEXTS_MS;
	uint64_t base = p->config.base;
	int r = set(p, KVM_DEV_RISCV_PLIC_GRP_CONFIG, KVM_DEV_RISCV_PLIC_CONFIG_SRCS, &sources, "so many sources", e);

	if (r >= 0)
		r = set(p, KVM_DEV_RISCV_PLIC_GRP_CONFIG, KVM_DEV_RISCV_PLIC_CONFIG_CONTEXTS, &contexts, "two contexts a hart", e);
	if (r >= 0)
		r = set(p, KVM_DEV_RISCV_PLIC_GRP_ADDR, KVM_DEV_RISCV_PLIC_ADDR_BASE, &base, "its address", e);
	if (r >= 0)
		r = set(p, KVM_DEV_RISCV_PLIC_GRP_CTRL, KVM_DEV_RISCV_PLIC_CTRL_INIT, NULL, "to be set up", e);
	return r;
}

int plic_kernel_create(struct hv *hv, const struct plic_config *config, struct plic_kernel **ret, struct err *e)
{
	struct hv_lines_config lines = {
		.n = config->n_sources + 1,
		.edge = KVM_RISCV_PLIC_IRQ_EDGE,
		.irqfd = true,
		.pulse_by_irqfd = true,
	};
	CLEANUP(cleanup_plic_kernel_destroy) struct plic_kernel *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(e, -ENOMEM, "not enough memory for the PLIC");
	p->hv = hv;
	p->fd = -1;
	p->config = *config;
	r = hv->ops->create_device(hv, KVM_DEV_TYPE_RISCV_PLIC, &p->fd);
	if (r < 0)
		return err_set(e, r, "KVM has no PLIC to give (%s): try --irqchip plic", err_name(r));
	r = configure(p, e);
	if (r < 0)
		return r;
	p->shared = hv->ops->device_page(hv, p->fd);
	if (p->shared) {
		lines.level = (uint64_t *)p->shared->level;
		lines.raised = &p->shared->raised;
	}
	r = hv_lines_create(hv, &lines, &p->lines);
	if (r < 0)
		return err_set(e, r, "not enough memory for the PLIC");
	*ret = TAKE(p);
	return 0;
}

void plic_kernel_destroy(struct plic_kernel *p)
{
	if (!p)
		return;
	hv_lines_destroy(p->lines);
	if (p->shared)
		munmap(p->shared, sizeof(*p->shared));
	close_fd(&p->fd);
	free(p);
}

int plic_kernel_line(struct plic_kernel *p, unsigned int source, enum irq_trigger preferred, struct irq_line *ret)
{
	return source ? hv_lines_get(p->lines, source, preferred, ret) : -EINVAL;
}

int plic_kernel_reset(struct plic_kernel *p, struct err *e)
{
	return set(p, KVM_DEV_RISCV_PLIC_GRP_CTRL, KVM_DEV_RISCV_PLIC_CTRL_RESET, NULL, "to be reset", e);
}

int64_t plic_kernel_save(struct plic_kernel *p, void *buf, size_t len)
{
	struct kvm_riscv_plic_state head = { .version = KVM_RISCV_PLIC_STATE_VERSION, .size = sizeof(head) };
	struct kvm_riscv_plic_state *state = len >= sizeof(head) ? buf : &head;
	int r;

	*state = head;
	if (state == buf)
		state->size = (uint32_t)MIN(len, UINT32_MAX);
	r = p->hv->ops->device_attr(p->hv, p->fd, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, state, false);
	return r < 0 && r != -E2BIG ? r : state->size;
}

int plic_kernel_load(struct plic_kernel *p, const void *buf, size_t len, struct err *e)
{
	const struct kvm_riscv_plic_state *state = buf;
	CLEANUP_FREE void *copy = NULL;

	if (len < sizeof(*state) || state->size != len)
		return err_set(e, -EINVAL, "the PLIC's saved state has %zu bytes, not what it says", len);
	copy = malloc(len);
	if (!copy)
		return err_set(e, -ENOMEM, "not enough memory for the PLIC's state");
	memcpy(copy, buf, len);
	return set(p, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, copy, "the saved state", e);
}

void plic_kernel_write_dt(const struct plic_kernel *p, struct dt *dt)
{
	plic_write_node(&p->config, dt);
}
