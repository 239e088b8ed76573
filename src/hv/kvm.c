// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include <linux/kvm.h>

#include "base/sys.h"
#include "hv/hv.h"

/* The kick: always blocked in our threads, let in by KVM_SET_SIGNAL_MASK while the guest runs, and taken back without a handler. */
#define KICK_SIGNAL SIGUSR1
#define CAP_CACHE 512
#define KERNEL_SIGSET_BYTES 8

struct kvm_hv {
	struct hv hv;
	int sys_fd, vm_fd;
	size_t run_size;
	size_t page; /* bytes in a host page: the ring is one */
	unsigned int coalesced_page; /* page of the ring in a vCPU's mapping, 0: none */
	struct kvm_coalesced_mmio_ring *ring; /* of the first vCPU: all share it */
	_Atomic int caps[CAP_CACHE]; /* value + 1; 0: not asked yet */
};

struct kvm_vcpu {
	struct hv_vcpu vcpu;
	int fd;
	struct kvm_run *run;
	size_t run_size;
	pthread_t thread;
	atomic_bool bound;
};

static struct kvm_hv *to_kvm(struct hv *hv)
{
	return container_of(hv, struct kvm_hv, hv);
}

static struct kvm_vcpu *to_vcpu(struct hv_vcpu *vcpu)
{
	return container_of(vcpu, struct kvm_vcpu, vcpu);
}

static void kvm_destroy(struct hv *hv)
{
	struct kvm_hv *k = to_kvm(hv);

	close_fd(&k->vm_fd);
	close_fd(&k->sys_fd);
	free(k);
}

static int kvm_capability(struct hv *hv, unsigned int cap)
{
	struct kvm_hv *k = to_kvm(hv);
	int v;

	if (cap < CAP_CACHE) {
		v = atomic_load_explicit(&k->caps[cap], memory_order_relaxed);
		if (v)
			return v - 1;
	}
	v = sys_ioctl_value(k->vm_fd, KVM_CHECK_EXTENSION, cap);
	if (v < 0)
		v = 0;
	if (cap < CAP_CACHE)
		atomic_store_explicit(&k->caps[cap], v + 1, memory_order_relaxed);
	return v;
}

static int kvm_enable_capability(struct hv *hv, unsigned int cap, const uint64_t args[4])
{
	struct kvm_enable_cap c = { .cap = cap };

	memcpy(c.args, args, 4 * sizeof(args[0]));
	return sys_ioctl(to_kvm(hv)->vm_fd, KVM_ENABLE_CAP, &c);
}

static int kvm_set_memory(struct hv *hv, unsigned int slot, uint32_t flags, uint64_t gpa,
			  uint64_t size, void *host)
{
	struct kvm_userspace_memory_region r = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};

	return sys_ioctl(to_kvm(hv)->vm_fd, KVM_SET_USER_MEMORY_REGION, &r);
}

static int kvm_dirty_log(struct hv *hv, unsigned int slot, uint64_t *bitmap)
{
	struct kvm_dirty_log log = { .slot = slot };

	log.dirty_bitmap = bitmap;
	return sys_ioctl(to_kvm(hv)->vm_fd, KVM_GET_DIRTY_LOG, &log);
}

static int kvm_create_device(struct hv *hv, uint32_t type, int *ret_fd)
{
	struct kvm_create_device d = { .type = type, .flags = ret_fd ? 0 : KVM_CREATE_DEVICE_TEST };
	int r = sys_ioctl(to_kvm(hv)->vm_fd, KVM_CREATE_DEVICE, &d);

	if (r < 0 || !ret_fd)
		return r;
	*ret_fd = (int)d.fd;
	return 0;
}

static int kvm_device_attr(struct hv *hv, int fd, uint32_t group, uint64_t attr, void *value, bool set)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	return sys_ioctl(fd, set ? KVM_SET_DEVICE_ATTR : KVM_GET_DEVICE_ATTR, &a);
}

static void *kvm_device_page(struct hv *hv, int fd)
{
	void *page = mmap(NULL, to_kvm(hv)->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return page == MAP_FAILED ? NULL : page;
}

static int kvm_irq_line(struct hv *hv, uint32_t irq, bool level)
{
	struct kvm_irq_level l = { .irq = irq, .level = level };

	return sys_ioctl(to_kvm(hv)->vm_fd, KVM_IRQ_LINE, &l);
}

static int kvm_irqfd(struct hv *hv, uint32_t gsi, int fd, int resample_fd, bool assign)
{
	struct kvm_irqfd f = {
		.fd = (uint32_t)fd,
		.gsi = gsi,
		.flags = !assign ? KVM_IRQFD_FLAG_DEASSIGN : resample_fd >= 0 ? KVM_IRQFD_FLAG_RESAMPLE : 0,
		.resamplefd = resample_fd >= 0 ? (uint32_t)resample_fd : 0,
	};

	return sys_ioctl(to_kvm(hv)->vm_fd, KVM_IRQFD, &f);
}

static int kvm_set_routes(struct hv *hv, const struct hv_route *routes, unsigned int n)
{
	CLEANUP_FREE struct kvm_irq_routing *table =
		calloc(1, sizeof(*table) + n * sizeof(table->entries[0]));

	if (!table)
		return -ENOMEM;
	table->nr = n;
	for (unsigned int i = 0; i < n; i++) {
		struct kvm_irq_routing_entry *e = &table->entries[i];
		const struct hv_route *r = &routes[i];

		e->gsi = r->gsi;
#if defined(__s390x__)
		if (r->is_adapter) {
			e->type = KVM_IRQ_ROUTING_S390_ADAPTER;
			e->u.adapter.ind_addr = r->adapter.ind;
			e->u.adapter.ind_offset = r->adapter.ind_offset;
			e->u.adapter.summary_addr = r->adapter.summary;
			e->u.adapter.summary_offset = r->adapter.summary_offset;
			e->u.adapter.adapter_id = r->adapter.id;
			continue;
		}
#endif
		if (r->is_msi) {
			e->type = KVM_IRQ_ROUTING_MSI;
			e->flags = r->msi_has_devid ? KVM_MSI_VALID_DEVID : 0;
			e->u.msi.address_lo = (uint32_t)r->msi_address;
			e->u.msi.address_hi = (uint32_t)(r->msi_address >> 32);
			e->u.msi.data = r->msi_data;
			e->u.msi.devid = r->msi_devid;
		} else {
			e->type = KVM_IRQ_ROUTING_IRQCHIP;
			e->u.irqchip.irqchip = 0;
			e->u.irqchip.pin = r->pin;
		}
	}
	return sys_ioctl(to_kvm(hv)->vm_fd, KVM_SET_GSI_ROUTING, table);
}

static int kvm_signal_msi(struct hv *hv, const struct hv_route *msi)
{
	struct kvm_msi m = {
		.address_lo = (uint32_t)msi->msi_address,
		.address_hi = (uint32_t)(msi->msi_address >> 32),
		.data = msi->msi_data,
		.flags = msi->msi_has_devid ? KVM_MSI_VALID_DEVID : 0,
		.devid = msi->msi_devid,
	};

	return sys_ioctl(to_kvm(hv)->vm_fd, KVM_SIGNAL_MSI, &m);
}

static int kvm_ioeventfd(struct hv *hv, const struct hv_ioeventfd *io, bool assign)
{
	struct kvm_ioeventfd e = {
		.datamatch = io->data,
		.addr = io->gpa,
		.len = io->len,
		.fd = io->fd,
		.flags = (io->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0) |
			 (io->ccw ? KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY : 0) |
			 (assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return sys_ioctl(to_kvm(hv)->vm_fd, KVM_IOEVENTFD, &e);
}

static int kvm_coalesce(struct hv *hv, uint64_t gpa, uint32_t size, bool add)
{
	struct kvm_hv *k = to_kvm(hv);
	struct kvm_coalesced_mmio_zone zone = { .addr = gpa, .size = size };

	if (!k->ring)
		return -EOPNOTSUPP;
	return sys_ioctl(k->vm_fd, add ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO,
			 &zone);
}

static int kvm_coalesced_pop(struct hv *hv, struct hv_coalesced *ret)
{
	struct kvm_hv *k = to_kvm(hv);
	struct kvm_coalesced_mmio_ring *ring = k->ring;
	const struct kvm_coalesced_mmio *m;
	uint32_t first, last, max;

	if (!ring)
		return 0;
	max = (uint32_t)((k->page - sizeof(*ring)) / sizeof(ring->coalesced_mmio[0]));
	first = __atomic_load_n(&ring->first, __ATOMIC_RELAXED);
	/* Pairs with the kernel's smp_wmb before it moves `last`. */
	last = __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE);
	if (first == last || first >= max)
		return 0;
	m = &ring->coalesced_mmio[first];
	ret->gpa = m->phys_addr;
	ret->len = MIN(m->len, (uint32_t)sizeof(ret->data));
	memcpy(ret->data, m->data, sizeof(ret->data));
	/* The entry has been copied before the kernel may reuse it. */
	__atomic_store_n(&ring->first, (first + 1) % max, __ATOMIC_RELEASE);
	return 1;
}

static int kvm_vm_ioctl(struct hv *hv, unsigned long request, void *arg)
{
	return sys_ioctl(to_kvm(hv)->vm_fd, request, arg);
}

static void kvm_vcpu_destroy(struct hv_vcpu *vcpu)
{
	struct kvm_vcpu *v = to_vcpu(vcpu);
	struct kvm_hv *k = to_kvm(vcpu->hv);

	if (k->ring && (char *)k->ring > (char *)v->run &&
	    (char *)k->ring < (char *)v->run + v->run_size)
		k->ring = NULL;
	if (v->run)
		munmap(v->run, v->run_size);
	close_fd(&v->fd);
	free(v);
}

static int kvm_create_vcpu(struct hv *hv, unsigned long id, struct hv_vcpu **ret)
{
	struct kvm_hv *k = to_kvm(hv);
	struct kvm_vcpu *v = calloc(1, sizeof(*v));
	void *run;
	int r;

	if (!v)
		return -ENOMEM;
	v->vcpu = (struct hv_vcpu){ .hv = hv, .id = id };
	v->run_size = k->run_size;
	v->fd = sys_ioctl_value(k->vm_fd, KVM_CREATE_VCPU, id);
	if (v->fd < 0) {
		r = v->fd;
		goto fail;
	}
	run = mmap(NULL, k->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (run == MAP_FAILED) {
		r = -errno;
		goto fail;
	}
	v->run = run;
	if (!k->ring && k->coalesced_page)
		k->ring = (void *)((char *)run + (size_t)k->coalesced_page * k->page);
	*ret = &v->vcpu;
	return 0;
fail:
	kvm_vcpu_destroy(&v->vcpu);
	return r;
}

/* The VM whose vCPU this thread runs. */
static _Thread_local const struct hv *bound_to;

static bool kvm_on_vcpu(struct hv *hv)
{
	return bound_to == hv;
}

static int kvm_vcpu_bind(struct hv_vcpu *vcpu)
{
	struct kvm_vcpu *v = to_vcpu(vcpu);
	const uint64_t all_but_kick = ~(UINT64_C(1) << (KICK_SIGNAL - 1)); /* the kernel's sigset_t is a number */
	struct {
		struct kvm_signal_mask head;
		uint8_t set[KERNEL_SIGSET_BYTES];
	} mask = { .head.len = KERNEL_SIGSET_BYTES };
	sigset_t kick;
	int r;

	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_BLOCK, &kick, NULL);
	/* While the guest runs: everything blocked but the kick. */
	memcpy(mask.head.sigset, &all_but_kick, sizeof(all_but_kick));
	r = sys_ioctl(v->fd, KVM_SET_SIGNAL_MASK, &mask);
	if (r < 0)
		return r;
	bound_to = vcpu->hv;
	v->thread = pthread_self();
	atomic_store_explicit(&v->bound, true, memory_order_release);
	return 0;
}

/* immediate_exit covers a kick that comes before KVM_RUN, the signal one that comes during it; a signal that came too late stays pending and is taken here. */
static void kvm_vcpu_kick(struct hv_vcpu *vcpu)
{
	struct kvm_vcpu *v = to_vcpu(vcpu);

	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (atomic_load_explicit(&v->bound, memory_order_acquire))
		pthread_kill(v->thread, KICK_SIGNAL);
}

static void kvm_take_kick(struct kvm_vcpu *v)
{
	static const struct timespec now = { 0 };
	sigset_t kick;

	__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	while (sigtimedwait(&kick, NULL, &now) < 0 && errno == EINTR)
		;
}

#if defined(__s390x__)
static void kvm_vcpu_wait(struct hv_vcpu *vcpu)
{
	struct kvm_vcpu *v = to_vcpu(vcpu);
	sigset_t kick;

	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	/* Pairs with the kick's store before it looks whether the thread is known: one of us sees the other. */
	atomic_thread_fence(memory_order_seq_cst);
	while (!__atomic_load_n(&v->run->immediate_exit, __ATOMIC_SEQ_CST))
		sigwaitinfo(&kick, NULL);
	kvm_take_kick(v);
}
#endif

static void decode_exit(struct kvm_run *run, struct hv_exit *x)
{
	x->unknown_reason = run->exit_reason;
	switch (run->exit_reason) {
	case KVM_EXIT_MMIO:
		x->kind = HV_EXIT_MMIO;
		x->mmio.gpa = run->mmio.phys_addr;
		x->mmio.data = run->mmio.data;
		x->mmio.len = (uint8_t)MIN(run->mmio.len, sizeof(run->mmio.data));
		x->mmio.is_write = run->mmio.is_write;
		if (!x->mmio.is_write)
			memset(run->mmio.data, 0, sizeof(run->mmio.data));
		break;
	case KVM_EXIT_INTR:
		x->kind = HV_EXIT_INTR;
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		x->kind = HV_EXIT_SYSTEM_EVENT;
		x->system_event.type = run->system_event.type;
		x->system_event.ndata = MIN(run->system_event.ndata, 16u);
		memcpy(x->system_event.data, run->system_event.data, sizeof(x->system_event.data));
		break;
	case KVM_EXIT_SHUTDOWN:
		x->kind = HV_EXIT_SHUTDOWN;
		break;
	case KVM_EXIT_DEBUG:
		x->kind = HV_EXIT_DEBUG;
		break;
	case KVM_EXIT_FAIL_ENTRY:
		x->kind = HV_EXIT_FAIL_ENTRY;
		x->fail_entry.reason = run->fail_entry.hardware_entry_failure_reason;
		x->fail_entry.cpu = run->fail_entry.cpu;
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		x->kind = HV_EXIT_INTERNAL_ERROR;
		x->internal.suberror = run->internal.suberror;
		x->internal.ndata = MIN(run->internal.ndata, 16u);
		memcpy(x->internal.data, run->internal.data, sizeof(x->internal.data));
		break;
	case KVM_EXIT_MEMORY_FAULT:
		x->kind = HV_EXIT_MEMORY_FAULT;
		x->memory_fault.flags = run->memory_fault.flags;
		x->memory_fault.gpa = run->memory_fault.gpa;
		x->memory_fault.size = run->memory_fault.size;
		break;
	case KVM_EXIT_RISCV_SBI:
		x->kind = HV_EXIT_RISCV_SBI;
		x->sbi.extension = run->riscv_sbi.extension_id;
		x->sbi.function = run->riscv_sbi.function_id;
		memcpy(x->sbi.args, run->riscv_sbi.args, sizeof(x->sbi.args));
		x->sbi.ret = run->riscv_sbi.ret;
		break;
	case KVM_EXIT_RISCV_CSR:
		x->kind = HV_EXIT_RISCV_CSR;
		x->csr.number = run->riscv_csr.csr_num;
		x->csr.new_value = run->riscv_csr.new_value;
		x->csr.write_mask = run->riscv_csr.write_mask;
		x->csr.ret_value = &run->riscv_csr.ret_value;
		break;
	case KVM_EXIT_ARM_SEA:
		x->kind = HV_EXIT_ARM_SEA;
		x->sea.flags = run->arm_sea.flags;
		x->sea.esr = run->arm_sea.esr;
		x->sea.gva = run->arm_sea.gva;
		x->sea.gpa = run->arm_sea.gpa;
		break;
	case KVM_EXIT_ARM_LDST64B: /* the same record, and the same answer */
	case KVM_EXIT_ARM_NISV:
		x->kind = HV_EXIT_ARM_NISV;
		x->memory_fault.gpa = run->arm_nisv.fault_ipa;
		x->memory_fault.nisv_syndrome = run->arm_nisv.esr_iss;
		break;
#if defined(__s390x__)
	case KVM_EXIT_S390_SIEIC:
		x->kind = HV_EXIT_S390_SIEIC;
		x->s390_sieic.icptcode = run->s390_sieic.icptcode;
		x->s390_sieic.ipa = run->s390_sieic.ipa;
		x->s390_sieic.ipb = run->s390_sieic.ipb;
		break;
	case KVM_EXIT_S390_TSCH:
		x->kind = HV_EXIT_S390_TSCH;
		x->s390_tsch.subchannel_id = run->s390_tsch.subchannel_id;
		x->s390_tsch.subchannel_nr = run->s390_tsch.subchannel_nr;
		x->s390_tsch.io_int_parm = run->s390_tsch.io_int_parm;
		x->s390_tsch.io_int_word = run->s390_tsch.io_int_word;
		x->s390_tsch.ipb = run->s390_tsch.ipb;
		x->s390_tsch.dequeued = run->s390_tsch.dequeued;
		break;
	case KVM_EXIT_S390_STSI:
		x->kind = HV_EXIT_S390_STSI;
		x->s390_stsi.addr = run->s390_stsi.addr;
		x->s390_stsi.ar = run->s390_stsi.ar;
		x->s390_stsi.fc = run->s390_stsi.fc;
		x->s390_stsi.sel1 = run->s390_stsi.sel1;
		x->s390_stsi.sel2 = run->s390_stsi.sel2;
		break;
	case KVM_EXIT_S390_RESET:
		x->kind = HV_EXIT_S390_RESET;
		x->s390_reset_flags = run->s390_reset_flags;
		break;
#endif
	default:
		x->kind = HV_EXIT_UNKNOWN;
	}
}

static int kvm_vcpu_run(struct hv_vcpu *vcpu, struct hv_exit *ret)
{
	struct kvm_vcpu *v = to_vcpu(vcpu);
	int r = sys_ioctl(v->fd, KVM_RUN, NULL);

	if (r == -EINTR || r == -EAGAIN) {
		kvm_take_kick(v);
		ret->kind = HV_EXIT_INTR;
		ret->unknown_reason = KVM_EXIT_INTR;
		return 0;
	}
	/* Some kernels answer -EFAULT together with KVM_EXIT_MEMORY_FAULT, which says where. */
	if (r < 0 && !(r == -EFAULT && v->run->exit_reason == KVM_EXIT_MEMORY_FAULT))
		return r;
	decode_exit(v->run, ret);
	return 0;
}

static int kvm_one_reg(struct hv_vcpu *vcpu, unsigned long request, uint64_t id, const void *value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)value };

	return sys_ioctl(to_vcpu(vcpu)->fd, request, &reg);
}

static int kvm_get_reg(struct hv_vcpu *vcpu, uint64_t id, void *value)
{
	return kvm_one_reg(vcpu, KVM_GET_ONE_REG, id, value);
}

static int kvm_set_reg(struct hv_vcpu *vcpu, uint64_t id, const void *value)
{
	return kvm_one_reg(vcpu, KVM_SET_ONE_REG, id, value);
}

static int kvm_reg_list(struct hv_vcpu *vcpu, uint64_t *ids, unsigned int max)
{
	CLEANUP_FREE struct kvm_reg_list *list =
		calloc(1, sizeof(*list) + (size_t)max * sizeof(list->reg[0]));
	int r;

	if (!list)
		return -ENOMEM;
	list->n = max;
	r = sys_ioctl(to_vcpu(vcpu)->fd, KVM_GET_REG_LIST, list);
	if (r < 0 && r != -E2BIG)
		return r;
	if (!r)
		for (uint64_t i = 0; i < list->n && i < max; i++)
			ids[i] = list->reg[i];
	return (int)list->n;
}

static int kvm_vcpu_interrupt(struct hv_vcpu *vcpu, bool level)
{
#if defined(__riscv)
	struct kvm_interrupt irq = {
		.irq = level ? (uint32_t)KVM_INTERRUPT_SET : (uint32_t)KVM_INTERRUPT_UNSET
	};

	return sys_ioctl(to_vcpu(vcpu)->fd, KVM_INTERRUPT, &irq);
#else
	return -EOPNOTSUPP;
#endif
}

static int kvm_get_mp_state(struct hv_vcpu *vcpu, uint32_t *ret_state)
{
	struct kvm_mp_state s = { 0 };
	int r = sys_ioctl(to_vcpu(vcpu)->fd, KVM_GET_MP_STATE, &s);

	if (r < 0)
		return r;
	*ret_state = s.mp_state;
	return 0;
}

static int kvm_set_mp_state(struct hv_vcpu *vcpu, uint32_t state)
{
	struct kvm_mp_state s = { .mp_state = state };

	return sys_ioctl(to_vcpu(vcpu)->fd, KVM_SET_MP_STATE, &s);
}

static int kvm_vcpu_ioctl(struct hv_vcpu *vcpu, unsigned long request, void *arg)
{
	return sys_ioctl(to_vcpu(vcpu)->fd, request, arg);
}

#if defined(__s390x__)
static void kvm_s390_regs(struct hv_vcpu *vcpu, struct hv_s390_regs *ret)
{
	struct kvm_run *run = to_vcpu(vcpu)->run;
	struct kvm_sync_regs *s = &run->s.regs;

	*ret = (struct hv_s390_regs){
		.psw_mask = (uint64_t *)&run->psw_mask,
		.psw_addr = (uint64_t *)&run->psw_addr,
		.gpr = (uint64_t *)s->gprs,
		.cr = (uint64_t *)s->crs,
		.ar = s->acrs,
		.prefix = (uint64_t *)&s->prefix,
		.dirty = (uint64_t *)&run->kvm_dirty_regs,
	};
}
#endif

static const struct hv_ops kvm_ops = {
	.name = "kvm",
	.destroy = kvm_destroy,
	.capability = kvm_capability,
	.enable_capability = kvm_enable_capability,
	.set_memory = kvm_set_memory,
	.dirty_log = kvm_dirty_log,
	.create_device = kvm_create_device,
	.device_attr = kvm_device_attr,
	.device_page = kvm_device_page,
	.irq_line = kvm_irq_line,
	.irqfd = kvm_irqfd,
	.set_routes = kvm_set_routes,
	.signal_msi = kvm_signal_msi,
	.ioeventfd = kvm_ioeventfd,
	.coalesce = kvm_coalesce,
	.coalesced_pop = kvm_coalesced_pop,
	.vm_ioctl = kvm_vm_ioctl,
	.create_vcpu = kvm_create_vcpu,
	.vcpu_destroy = kvm_vcpu_destroy,
	.vcpu_run = kvm_vcpu_run,
	.vcpu_kick = kvm_vcpu_kick,
	.vcpu_bind = kvm_vcpu_bind,
	.on_vcpu = kvm_on_vcpu,
	.get_reg = kvm_get_reg,
	.set_reg = kvm_set_reg,
	.reg_list = kvm_reg_list,
	.vcpu_interrupt = kvm_vcpu_interrupt,
	.get_mp_state = kvm_get_mp_state,
	.set_mp_state = kvm_set_mp_state,
	.vcpu_ioctl = kvm_vcpu_ioctl,
#if defined(__s390x__)
	.vcpu_wait = kvm_vcpu_wait,
	.s390_regs = kvm_s390_regs,
#endif
};

static int open_failed(const char *path, int code, struct err *e)
{
	switch (code) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return err_set(e, code, "%s: there is no KVM here; load the kvm module, or use a host with virtualisation",
			       path);
	case -EACCES:
	case -EPERM:
		return err_set(e, code, "%s: permission denied; join the group that owns it (usually kvm)", path);
	default:
		return err_set(e, code, "%s: %s", path, err_name(code));
	}
}

#define ARM_DEFAULT_GPA_BITS 40 /* of VM type 0; hosts may have fewer or more */

/* KVM_CREATE_VM's type (Documentation/virt/kvm/api.rst, 4.2), or -errno. */
static int vm_type(int sys_fd, unsigned int gpa_bits, struct err *e)
{
	int max = gpa_bits ? sys_ioctl_value(sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE) : 0;

	if (!gpa_bits || (max <= 0 && gpa_bits <= ARM_DEFAULT_GPA_BITS))
		return 0;
	if (gpa_bits > (unsigned int)MAX(max, 0))
		return err_set(e, -EINVAL, "the guest's RAM ends beyond the %d bits of address that this host can give a guest: give it less, or "
			       "lower, with -m", max > 0 ? max : ARM_DEFAULT_GPA_BITS);
	return MIN(max, (int)MAX(gpa_bits, (unsigned int)ARM_DEFAULT_GPA_BITS)) & (int)KVM_VM_TYPE_ARM_IPA_SIZE_MASK;
}

int hv_kvm_create(const char *path, unsigned int gpa_bits, struct hv **ret, struct err *e)
{
	const char *dev = path ? path : "/dev/kvm";
	struct kvm_hv *k = calloc(1, sizeof(*k));
	int r, type;

	if (!k)
		return err_set(e, -ENOMEM, "out of memory");
	k->hv.ops = &kvm_ops;
	k->vm_fd = -1;
	k->page = (size_t)sysconf(_SC_PAGESIZE);
	r = k->sys_fd = sys_open(dev, O_RDWR, 0);
	if (r < 0) {
		open_failed(dev, r, e);
		goto fail;
	}
	r = sys_ioctl(k->sys_fd, KVM_GET_API_VERSION, NULL);
	if (r != KVM_API_VERSION) {
		r = err_set(e, r < 0 ? r : -EOPNOTSUPP, r < 0 ? "%s: this is no KVM device (%s); leave out --dev, or give /dev/kvm" : "%s: KVM speaks another API version than %s",
			    dev, r < 0 ? err_name(r) : "12");
		goto fail;
	}
	r = type = vm_type(k->sys_fd, gpa_bits, e);
	if (r < 0)
		goto fail;
	do
		r = k->vm_fd = sys_ioctl_value(k->sys_fd, KVM_CREATE_VM, (unsigned long)type);
	while (r == -EINTR);
	if (r < 0) {
		err_set(e, r, "%s: a virtual machine cannot be created: %s%s", dev, err_name(r),
#if defined(__s390x__)
			r == -EINVAL ? "; link the program with -Wl,--s390-pgste, or set vm.allocate_pgste=1" :
#endif
			"");
		goto fail;
	}
	r = sys_ioctl(k->sys_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
	if (r < (int)sizeof(struct kvm_run)) {
		r = err_set(e, r < 0 ? r : -EOPNOTSUPP, "%s: KVM's vCPU record is too small; this kernel is too old", dev);
		goto fail;
	}
	k->run_size = (size_t)r;
	if (!kvm_capability(&k->hv, KVM_CAP_IMMEDIATE_EXIT)) {
		r = err_set(e, -EOPNOTSUPP, "%s: this kernel's KVM lacks immediate_exit; use Linux 6.1 or newer", dev);
		goto fail;
	}
	/* The capability's value is the page of the ring in a vCPU's mapping. */
	r = kvm_capability(&k->hv, KVM_CAP_COALESCED_MMIO);
	if (r > 0 && (size_t)(r + 1) * k->page <= k->run_size)
		k->coalesced_page = (unsigned int)r;
	*ret = &k->hv;
	return 0;
fail:
	kvm_destroy(&k->hv);
	return r;
}
