// SPDX-License-Identifier: MIT
/*
 * vCPUs: stopped and operating, and who makes them so. KVM leaves the state to us, refuses to run a stopped vCPU, and does the quick orders of SIGNAL PROCESSOR itself
 * (sense, external call, emergency signal). A stopped vCPU's thread sleeps in vcpu_wait; whoever holds the lock may then act on its registers. One that runs gets an
 * order and a kick, and its own thread obeys before it runs the guest again. Nobody ever waits for another vCPU here, since that one may be parked (vm_gate).
 */
#include <errno.h>
#include <inttypes.h>

#include "arch/s390x/s390x.h"
#include "base/endian.h"
#include "base/sys.h"

/* SIGNAL PROCESSOR: orders and status bits (Principles of Operation, chapter 4). */
enum {
	SIGP_START = 0x04,
	SIGP_STOP = 0x05,
	SIGP_RESTART = 0x06,
	SIGP_STOP_AND_STORE_STATUS = 0x09,
	SIGP_INITIAL_CPU_RESET = 0x0b,
	SIGP_CPU_RESET = 0x0c,
	SIGP_SET_PREFIX = 0x0d,
	SIGP_STORE_STATUS_AT_ADDRESS = 0x0e,
	SIGP_SET_ARCHITECTURE = 0x12,
};

#define STATUS_INCORRECT_STATE 0x200
#define STATUS_INVALID_PARAMETER 0x100
#define STATUS_INVALID_ORDER 0x002

#define CC_ACCEPTED 0
#define CC_STATUS 1
#define CC_BUSY 2
#define CC_NOT_OPERATIONAL 3

#define STORE_STATUS_SIZE 512

/* A short PSW: what of it becomes the mask, and the address; bit 12 says that it is one. */
#define SHORT_PSW_MASK UINT64_C(0xfff7ffff80000000)
#define SHORT_PSW_ADDRESS UINT64_C(0x7fffffff)

static int set_state(struct machine *m, unsigned int i, bool stopped)
{
	struct s390x_cpu *c = s390x_cpu(m, i);
	int r = m->hv->ops->set_mp_state(m->vcpu[i].hv, stopped ? KVM_MP_STATE_STOPPED : KVM_MP_STATE_OPERATING);

	if (r < 0)
		return r;
	c->stopped = stopped;
	if (stopped)
		c->waits_for_good = false;
	atomic_store(&c->attention, true);
	return 0;
}

static int reset_cpu(struct machine *m, unsigned int i, unsigned long request)
{
	const bool has_all = hv_capability(m->hv, KVM_CAP_S390_VCPU_RESETS) > 0;
	struct s390x_cpu *c = s390x_cpu(m, i);
	int r;

	if (request == KVM_S390_CLEAR_RESET && !has_all)
		request = KVM_S390_INITIAL_RESET;
	r = request == KVM_S390_NORMAL_RESET && !has_all ? 0 : m->hv->ops->vcpu_ioctl(m->vcpu[i].hv, request, NULL);
	*c->regs.dirty = 0;
	return r < 0 ? r : set_state(m, i, true);
}

int s390x_create_vcpu(struct machine *m, unsigned int i, struct err *e)
{
	struct kvm_enable_cap css = { .cap = KVM_CAP_S390_CSS_SUPPORT };
	const struct hv_ops *ops = m->hv->ops;
	struct s390x_cpu *c = s390x_cpu(m, i);
	int r = ops->create_vcpu(m->hv, i, &m->vcpu[i].hv);

	if (r < 0)
		return err_set(e, r, "vCPU %u cannot be created: %s", i, err_name(r));
	ops->s390_regs(m->vcpu[i].hv, &c->regs);
	r = ops->vcpu_ioctl(m->vcpu[i].hv, KVM_ENABLE_CAP, &css);
	if (r < 0)
		return err_set(e, r, "KVM has no support for channel I/O (%s): use Linux 6.1 or newer on the host", err_name(r));
	r = set_state(m, i, true);
	return r < 0 ? err_set(e, r, "vCPU %u cannot be stopped before its start: %s", i, err_name(r)) : 0;
}

int s390x_clear_vcpu(struct machine *m, unsigned int i, struct err *e)
{
	struct s390x_state *s = s390x_state(m);
	int r;

	pthread_mutex_lock(&s->lock);
	s->cpu[i].orders = 0;
	r = reset_cpu(m, i, KVM_S390_CLEAR_RESET);
	pthread_mutex_unlock(&s->lock);
	return r < 0 ? err_set(e, r, "vCPU %u cannot be reset: %s", i, err_name(r)) : 0;
}

int s390x_start_vcpu(struct machine *m, unsigned int i, uint64_t mask, uint64_t addr, struct err *e)
{
	struct s390x_state *s = s390x_state(m);
	int r;

	pthread_mutex_lock(&s->lock);
	*s->cpu[i].regs.psw_mask = mask;
	*s->cpu[i].regs.psw_addr = addr;
	r = set_state(m, i, false);
	pthread_mutex_unlock(&s->lock);
	return r < 0 ? err_set(e, r, "vCPU %u cannot be started: %s", i, err_name(r)) : 0;
}

/* ---- orders; the lock is held ---- */

/* Whoever runs finds what has failed. */
static void call_attention(struct machine *m)
{
	for (unsigned int i = 0; i < m->n_vcpus; i++)
		atomic_store(&s390x_state(m)->cpu[i].attention, true);
}

static void failed(struct machine *m, unsigned int i, int code, const char *what)
{
	struct s390x_state *s = s390x_state(m);

	if (!s->failure.code)
		err_set(&s->failure, code, "vCPU %u: KVM does not %s: %s", i, what, err_name(code));
	call_attention(m);
}

void s390x_failed(struct machine *m, int code)
{
	struct s390x_state *s = s390x_state(m);

	pthread_mutex_lock(&s->lock);
	if (!s->failure.code)
		err_set(&s->failure, code, "KVM does not take an interruption for the guest: %s", err_name(code));
	call_attention(m);
	for (unsigned int i = 0; i < m->n_vcpus; i++)
		m->hv->ops->vcpu_kick(m->vcpu[i].hv);
	pthread_mutex_unlock(&s->lock);
}

static void start(struct machine *m, unsigned int i)
{
	int r = set_state(m, i, false);

	if (r < 0)
		failed(m, i, r, "start it");
	m->hv->ops->vcpu_kick(m->vcpu[i].hv);
}

/* The last one to get here resets what is no CPU's; nothing runs then. */
static void finish_system_reset(struct machine *m)
{
	struct s390x_state *s = s390x_state(m);
	struct s390x_cpu *c = &s->cpu[s->reset.initiator];
	uint8_t psw[8] = { 0 };

	/* Until left is 0 nobody takes the machine for one that stands still, nor starts another vCPU. */
	pthread_mutex_unlock(&s->lock);
	css_reset(m->css);
	sclp_reset(s->sclp);
	s390x_clear_interrupts(m);
	memory_read(m->memory, 0, psw, sizeof(psw));
	pthread_mutex_lock(&s->lock);
	s->reset.left = 0;
	*c->regs.psw_mask = get_be64(psw) & SHORT_PSW_MASK;
	*c->regs.psw_addr = get_be64(psw) & SHORT_PSW_ADDRESS;
	start(m, s->reset.initiator);
}

static void obey(struct machine *m, unsigned int i, unsigned int orders)
{
	struct s390x_state *s = s390x_state(m);
	int r = 0;

	if (orders & S390X_ORDER_STOP && (r = set_state(m, i, true)) < 0)
		failed(m, i, r, "stop it");
	if (orders & S390X_ORDER_STORE_STATUS &&
	    (r = m->hv->ops->vcpu_ioctl(m->vcpu[i].hv, KVM_S390_STORE_STATUS, (void *)KVM_S390_STORE_STATUS_NOADDR)) < 0)
		failed(m, i, r, "store its status");
	if (orders & S390X_ORDER_RESET && (r = reset_cpu(m, i, KVM_S390_NORMAL_RESET)) < 0)
		failed(m, i, r, "reset it");
	if (orders & S390X_ORDER_INITIAL_RESET && (r = reset_cpu(m, i, KVM_S390_INITIAL_RESET)) < 0)
		failed(m, i, r, "reset it");
	if (orders & S390X_ORDER_SYSTEM) {
		r = reset_cpu(m, i, s->reset.clear ? KVM_S390_CLEAR_RESET
			      : i == s->reset.initiator ? KVM_S390_INITIAL_RESET
							: KVM_S390_NORMAL_RESET);
		if (r < 0)
			failed(m, i, r, "reset it");
		if (s->reset.left == 1)
			finish_system_reset(m);
		else
			s->reset.left--;
	}
}

static void demand(struct machine *m, unsigned int i, unsigned int orders)
{
	struct s390x_cpu *c = s390x_cpu(m, i);

	if (c->stopped) {
		obey(m, i, orders);
		return;
	}
	c->orders |= orders;
	atomic_store(&c->attention, true);
	m->hv->ops->vcpu_kick(m->vcpu[i].hv);
}

void s390x_reset_system(struct machine *m, unsigned int i, bool clear)
{
	struct s390x_state *s = s390x_state(m);

	pthread_mutex_lock(&s->lock);
	/* Another one's is under way: this vCPU is about to be reset anyway. */
	if (!s->reset.left) {
		s->reset.left = m->n_vcpus;
		s->reset.initiator = i;
		s->reset.clear = clear;
		for (unsigned int k = 0; k < m->n_vcpus; k++)
			demand(m, k, S390X_ORDER_SYSTEM);
	}
	pthread_mutex_unlock(&s->lock);
}

static void restart(struct machine *m, unsigned int i)
{
	struct kvm_s390_irq irq = { .type = KVM_S390_RESTART };
	struct s390x_cpu *c = s390x_cpu(m, i);
	int r;

	if (c->stopped && (r = set_state(m, i, false)) < 0)
		failed(m, i, r, "start it");
	r = m->hv->ops->vcpu_ioctl(m->vcpu[i].hv, KVM_S390_IRQ, &irq);
	if (r < 0)
		failed(m, i, r, "restart it");
	c->waits_for_good = false;
	m->hv->ops->vcpu_kick(m->vcpu[i].hv);
}

/* Orders that need a stopped vCPU and `size` bytes of real memory. */
static unsigned int give_address(struct machine *m, unsigned int i, uint8_t order, uint64_t at, size_t size, uint32_t *status)
{
	struct s390x_cpu *c = s390x_cpu(m, i);
	struct slice area;
	int r = 0;

	if (memory_slice(m->memory, at, size, &area) < 0) {
		*status = STATUS_INVALID_PARAMETER;
		return CC_STATUS;
	}
	if (!c->stopped) {
		*status = STATUS_INCORRECT_STATE;
		return CC_STATUS;
	}
	if (order == SIGP_SET_PREFIX) {
		*c->regs.prefix = at;
		*c->regs.dirty |= KVM_SYNC_PREFIX;
	} else {
		r = m->hv->ops->vcpu_ioctl(m->vcpu[i].hv, KVM_S390_STORE_STATUS, (void *)(uintptr_t)at);
	}
	if (r < 0)
		failed(m, i, r, "store its status");
	return CC_ACCEPTED;
}

static unsigned int do_order(struct machine *m, unsigned int i, uint8_t order, uint64_t parameter, uint32_t *status)
{
	struct s390x_cpu *c = s390x_cpu(m, i);

	switch (order) {
	case SIGP_START:
		if (c->stopped)
			start(m, i);
		return CC_ACCEPTED;
	case SIGP_STOP:
		if (!c->stopped)
			demand(m, i, S390X_ORDER_STOP);
		return CC_ACCEPTED;
	case SIGP_STOP_AND_STORE_STATUS:
		demand(m, i, S390X_ORDER_STOP | S390X_ORDER_STORE_STATUS);
		return CC_ACCEPTED;
	case SIGP_RESTART:
		restart(m, i);
		return CC_ACCEPTED;
	case SIGP_INITIAL_CPU_RESET:
		demand(m, i, S390X_ORDER_INITIAL_RESET);
		return CC_ACCEPTED;
	case SIGP_CPU_RESET:
		demand(m, i, S390X_ORDER_RESET);
		return CC_ACCEPTED;
	case SIGP_SET_PREFIX:
		return give_address(m, i, order, parameter & 0x7fffe000, LC_SIZE, status);
	case SIGP_STORE_STATUS_AT_ADDRESS:
		return give_address(m, i, order, parameter & 0x7ffffe00, STORE_STATUS_SIZE, status);
	case SIGP_SET_ARCHITECTURE: /* always z/Architecture */
		*status = STATUS_INVALID_PARAMETER;
		return CC_STATUS;
	}
	*status = STATUS_INVALID_ORDER;
	return CC_STATUS;
}

unsigned int s390x_sigp(struct machine *m, unsigned int i, uint16_t target, uint8_t order, uint64_t parameter, uint32_t *status)
{
	struct s390x_state *s = s390x_state(m);
	unsigned int cc = CC_BUSY;

	if (target >= m->n_vcpus)
		return CC_NOT_OPERATIONAL;
	pthread_mutex_lock(&s->lock);
	if (!s->cpu[target].orders && !s->reset.left)
		cc = do_order(m, target, order, parameter, status);
	pthread_mutex_unlock(&s->lock);
	return cc;
}

int s390x_psw_restart(struct machine *m, unsigned int i)
{
	struct s390x_state *s = s390x_state(m);
	int r = -EINVAL;

	pthread_mutex_lock(&s->lock);
	if (i < m->n_vcpus) {
		r = s->reset.left ? -EBUSY : 0;
		if (!r)
			restart(m, i);
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* ---- before a run ---- */

void s390x_wait_for_good(struct machine *m, unsigned int i, bool loops)
{
	struct s390x_state *s = s390x_state(m);
	struct s390x_cpu *c = &s->cpu[i];

	pthread_mutex_lock(&s->lock);
	c->waits_for_good = true;
	c->loops = loops;
	c->wait_mask = *c->regs.psw_mask;
	c->wait_addr = *c->regs.psw_addr;
	atomic_store(&c->attention, true);
	pthread_mutex_unlock(&s->lock);
}

static bool all_stand_still(struct machine *m)
{
	struct s390x_state *s = s390x_state(m);

	for (unsigned int i = 0; i < m->n_vcpus; i++)
		if (s->cpu[i].orders || (!s->cpu[i].stopped && !s->cpu[i].waits_for_good))
			return false;
	return !s->reset.left;
}

/* Nobody is left to wake anybody: Linux has powered off, or given up. */
static enum arch_verdict end(struct machine *m, struct err *e)
{
	for (unsigned int i = 0; i < m->n_vcpus; i++) {
		const struct s390x_cpu *c = s390x_cpu(m, i);

		if (!c->waits_for_good || (!c->loops && c->wait_addr == S390X_QUIESCE_ADDRESS))
			continue;
		err_set(e, -EDEADLK, c->loops ? "the guest is in a loop of interruptions on vCPU %u, PSW %016" PRIx64 " %016" PRIx64
					      : "the guest is in a disabled wait on vCPU %u, PSW %016" PRIx64 " %016" PRIx64 ": nothing can wake it",
			i, c->wait_mask, c->wait_addr);
		return ARCH_HALTED;
	}
	return ARCH_POWEROFF;
}

enum arch_verdict s390x_before_run(struct machine *m, unsigned int i, bool *ret_wait, struct err *e)
{
	struct s390x_state *s = s390x_state(m);
	enum arch_verdict verdict = ARCH_CONTINUE;
	struct s390x_cpu *c = &s->cpu[i];
	unsigned int orders;

	if (!atomic_load_explicit(&c->attention, memory_order_acquire))
		return ARCH_CONTINUE;
	pthread_mutex_lock(&s->lock);
	orders = c->orders;
	c->orders = 0;
	if (orders)
		obey(m, i, orders);
	if (s->failure.code) {
		*e = s->failure;
		verdict = ARCH_ERROR;
	} else if (c->stopped || c->waits_for_good) {
		*ret_wait = true;
		if (all_stand_still(m))
			verdict = end(m, e);
	} else {
		atomic_store(&c->attention, false);
	}
	pthread_mutex_unlock(&s->lock);
	return verdict;
}
