// SPDX-License-Identifier: MIT
/*
 * KVM's PLIC as user space uses it: its attributes, what is refused, irqfds as edges and resampled, routing, many vCPUs, saving and loading. What its registers do
 * is plic-model's. Also without a PLIC: no irqchip, no irqfd.
 */
#include <poll.h>
#include <sys/eventfd.h>

#include "machine.h"

#define SOURCES 200
#define HARTS 8
#define PATIENCE 10000 /* ms for what should be at once: the emulated machine is slow */

static struct shared {
	volatile uint64_t ready, taken[SOURCES + 1], by[MAX_VCPUS], spurious, hold, holding, order[8], n_order;
} shared;

/* ---- guest ---- */

static void on_irq(uint64_t cause)
{
	unsigned int context = S_CONTEXT(guest_index());
	uint32_t source = guest_read32(PLIC_CLAIM(context));

	if (cause != 9 || !source || source > SOURCES) {
		shared.spurious++;
		return;
	}
	if (shared.hold == source) {
		shared.holding = source;
		while (shared.hold)
			;
		shared.holding = 0;
	}
	/* Before the completion, after which another hart may take the next one. */
	if (shared.n_order < ARRAY_SIZE(shared.order))
		shared.order[shared.n_order++] = source;
	shared.taken[source]++;
	shared.by[guest_index()]++;
	guest_write32(PLIC_CLAIM(context), source);
}

/* Takes the sources arg (bits of the first 64), and sleeps. */
static void taker(uint64_t arg)
{
	unsigned int context = S_CONTEXT(guest_index());

	guest_irq = on_irq;
	for (unsigned int source = 1; source < 64; source++)
		if (arg >> source & 1)
			guest_write32(PLIC_PRIORITY(source), 1);
	guest_write32(PLIC_ENABLE(context, 0), (uint32_t)arg);
	guest_write32(PLIC_ENABLE(context, 32), (uint32_t)(arg >> 32));
	guest_write32(PLIC_THRESHOLD(context), 0);
	csr_set(sie, 1 << 9);
	guest_irqs_on();
	__atomic_fetch_add(&shared.ready, 1, __ATOMIC_RELEASE);
	for (;;)
		__asm__ volatile("wfi" : : : "memory");
}

/* Enables source 3 for hart 1 and leaves. */
static void enabler(uint64_t arg)
{
	guest_write32(PLIC_PRIORITY(3), 1);
	guest_write32(PLIC_ENABLE(S_CONTEXT(1), 0), 1 << 3);
	guest_call(0, 0);
	/* Hart 1 begins. */
	guest_call(1, (uint64_t)guest_sbi(SBI_HSM, SBI_HSM_START, 1, (uintptr_t)guest_start, (uintptr_t)&guest_boot[1]).error);
	for (;;)
		__asm__ volatile("wfi" : : : "memory");
}

static void claimer(uint64_t arg)
{
	uint64_t sip = csr_read(sip);

	guest_call(0, sip & SIP_SEIP);
	guest_call(1, guest_read32(PLIC_CLAIM(S_CONTEXT(guest_index()))));
	for (;;)
		;
}

/* ---- host ---- */

static void on_call(struct vcpu *v, unsigned int op, uint64_t value)
{
	fail("run", "vCPU %u calls %u with 0x%" PRIx64, v->i, op, value);
	v->stop = true;
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	must(write(fd, &one, sizeof(one)) == (ssize_t)sizeof(one) ? 0 : -1, "eventfd");
}

static bool signalled(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n;

	return poll(&p, 1, ms) == 1 && read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n);
}

static int event(void)
{
	return (int)must(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
}

static bool host_has(uint32_t type)
{
	struct kvm_create_device d = { .type = type, .flags = KVM_CREATE_DEVICE_TEST };
	struct vm vm;
	bool has;

	vm_create(&vm, 0);
	has = ioctl(vm.fd, KVM_CREATE_DEVICE, &d) == 0;
	vm_destroy(&vm);
	return has;
}

static void without_irqchip(void)
{
	int fd = event(), r;
	struct vm vm;

	vm_create(&vm, 1);
	r = vm_irqfd(&vm, 5, fd, 0, 0);
	check(r == -EINVAL, "irqfd-refused", "KVM_IRQFD of a VM without an irqchip returns %d", r);
	r = vm_irqfd(&vm, 5, fd, KVM_IRQFD_FLAG_RESAMPLE, event());
	check(r == -EINVAL, "resample-refused", "KVM_IRQFD of a VM without an irqchip returns %d", r);
	r = vm_irq_line(&vm, 5, 1);
	check(r == -ENXIO, "line-refused", "KVM_IRQ_LINE of a VM without an irqchip returns %d", r);
	if (host_has(KVM_DEV_TYPE_RISCV_AIA)) {
		skip("no-irqfd-capability", "this host has an AIA to give");
	} else {
		r = ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQFD);
		check(r == 0, "no-irqfd-capability", "KVM_CAP_IRQFD of a VM without an irqchip is %d", r);
	}
	vm_destroy(&vm);
	close(fd);
}

static int set_u32(struct vm *vm, uint32_t group, uint64_t attr, uint32_t value)
{
	return device_attr(vm->plic, true, group, attr, &value);
}

static uint32_t get_u32(struct vm *vm, uint64_t attr)
{
	uint32_t value = 0xdead;

	errno = -device_attr(vm->plic, false, KVM_DEV_RISCV_PLIC_GRP_CONFIG, attr, &value);
	must(errno ? -1 : 0, "KVM_GET_DEVICE_ATTR");
	return value;
}

#define IS(what, expression, expected)                                                      \
	do {                                                                                \
		long r_ = (expression);                                                     \
		check(r_ == (expected), what, #expression " is %ld, should be %ld", r_, (long)(expected)); \
	} while (0)

static void attributes(void)
{
	struct kvm_create_device d = { .type = KVM_DEV_TYPE_RISCV_PLIC };
	struct kvm_interrupt interrupt = { .irq = KVM_INTERRUPT_SET };
	struct kvm_riscv_plic_state head = { .size = sizeof(head) };
	struct kvm_msi msi = { .address_lo = 0x28000000, .data = 1 };
	const uint32_t config = KVM_DEV_RISCV_PLIC_GRP_CONFIG;
	uint64_t base = PLIC_BASE + 8;
	int fd = event();
	struct vm vm;

	for (unsigned int i = 1; i < 5; i++) {
		struct kvm_create_device other = { .type = KVM_DEV_TYPE_RISCV_PLIC + i, .flags = KVM_CREATE_DEVICE_TEST };

		vm_create(&vm, 0);
		if (ioctl(vm.fd, KVM_CREATE_DEVICE, &other) != -1 || errno != ENODEV)
			fail("type", "0x%x is a device, too", other.type);
		vm_destroy(&vm);
	}
	vm_create(&vm, 2);
	must(ioctl(vm.fd, KVM_CREATE_DEVICE, &d), "KVM_CREATE_DEVICE");
	vm.plic = (int)d.fd;
	IS("one", ioctl(vm.fd, KVM_CREATE_DEVICE, &d) < 0 ? -errno : 0, -EEXIST);
	d.type = KVM_DEV_TYPE_RISCV_AIA;
	if (host_has(KVM_DEV_TYPE_RISCV_AIA))
		IS("one-aia", ioctl(vm.fd, KVM_CREATE_DEVICE, &d) < 0 ? -errno : 0, -EEXIST);
	IS("capability", ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP), 1);
	IS("capability-irqfd", ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQFD), 1);
	IS("capability-resample", ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQFD_RESAMPLE), 1);
	IS("capability-dev-kvm", ioctl(vm.kvm, KVM_CHECK_EXTENSION, KVM_CAP_IRQFD), 1);
	/* Without a VM it is the AIA that is spoken of, where there is one. */
	IS("capability-resample-dev-kvm", ioctl(vm.kvm, KVM_CHECK_EXTENSION, KVM_CAP_IRQFD_RESAMPLE), !host_has(KVM_DEV_TYPE_RISCV_AIA));

	/* Before the initialization. */
	IS("early-line", vm_irq_line(&vm, 1, 1), -EBUSY);
	IS("early-irqfd", vm_irqfd(&vm, 1, fd, 0, 0), -EINVAL);
	IS("early-state", device_attr(vm.plic, false, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, &head), -EBUSY);
	IS("early-load", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, &head), -EBUSY);
	IS("early-reset", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_CTRL, KVM_DEV_RISCV_PLIC_CTRL_RESET, NULL), -EBUSY);
	IS("early-harts", get_u32(&vm, KVM_DEV_RISCV_PLIC_CONFIG_NR_HARTS), 0);
	IS("no-base", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_CTRL, KVM_DEV_RISCV_PLIC_CTRL_INIT, NULL), -EINVAL);
	IS("no-base-read", device_attr(vm.plic, false, KVM_DEV_RISCV_PLIC_GRP_ADDR, 0, &base), -ENOENT);
	IS("base-unaligned", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_ADDR, 0, &base), -EINVAL);
	base = UINT64_MAX - 0xfff;
	IS("base-wraps", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_ADDR, 0, &base), -EINVAL);
	base = PLIC_BASE;
	IS("base-other", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_ADDR, 1, &base), -ENXIO);
	IS("base-fault", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_ADDR, 0, NULL), -EFAULT);
	IS("base", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_ADDR, 0, &base), 0);
	IS("default-sources", get_u32(&vm, KVM_DEV_RISCV_PLIC_CONFIG_SRCS), 1023);
	IS("default-contexts", get_u32(&vm, KVM_DEV_RISCV_PLIC_CONFIG_CONTEXTS), KVM_DEV_RISCV_PLIC_CONTEXTS_MS);
	IS("sources-0", set_u32(&vm, config, KVM_DEV_RISCV_PLIC_CONFIG_SRCS, 0), -EINVAL);
	IS("sources-1024", set_u32(&vm, config, KVM_DEV_RISCV_PLIC_CONFIG_SRCS, 1024), -EINVAL);
	IS("sources", set_u32(&vm, config, KVM_DEV_RISCV_PLIC_CONFIG_SRCS, 100), 0);
	IS("contexts-0", set_u32(&vm, config, KVM_DEV_RISCV_PLIC_CONFIG_CONTEXTS, 0), -EINVAL);
	IS("contexts-3", set_u32(&vm, config, KVM_DEV_RISCV_PLIC_CONFIG_CONTEXTS, 3), -EINVAL);
	IS("contexts", set_u32(&vm, config, KVM_DEV_RISCV_PLIC_CONFIG_CONTEXTS, KVM_DEV_RISCV_PLIC_CONTEXTS_S), 0);
	IS("harts-written", set_u32(&vm, config, KVM_DEV_RISCV_PLIC_CONFIG_NR_HARTS, 2), -EPERM);
	IS("config-other", set_u32(&vm, config, 77, 2), -ENXIO);
	IS("group-other", set_u32(&vm, 77, 0, 2), -ENXIO);
	IS("ctrl-other", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_CTRL, 2, NULL), -ENXIO);
	IS("init", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_CTRL, KVM_DEV_RISCV_PLIC_CTRL_INIT, NULL), 0);

	/* After it. */
	IS("init-twice", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_CTRL, KVM_DEV_RISCV_PLIC_CTRL_INIT, NULL), -EBUSY);
	IS("late-sources", set_u32(&vm, config, KVM_DEV_RISCV_PLIC_CONFIG_SRCS, 5), -EBUSY);
	IS("late-contexts", set_u32(&vm, config, KVM_DEV_RISCV_PLIC_CONFIG_CONTEXTS, 2), -EBUSY);
	IS("late-base", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_ADDR, 0, &base), -EBUSY);
	base = 0;
	IS("base-read", device_attr(vm.plic, false, KVM_DEV_RISCV_PLIC_GRP_ADDR, 0, &base), 0);
	IS("base-kept", (long)base, (long)PLIC_BASE);
	IS("harts", get_u32(&vm, KVM_DEV_RISCV_PLIC_CONFIG_NR_HARTS), 2);
	IS("late-vcpu", ioctl(vm.fd, KVM_CREATE_VCPU, 2) < 0 ? -errno : 0, -EBUSY);
	IS("kvm-interrupt", ioctl(vm.vcpu[0].fd, KVM_INTERRUPT, &interrupt) < 0 ? -errno : 0, -ENXIO);
	IS("signal-msi", ioctl(vm.fd, KVM_SIGNAL_MSI, &msi) < 0 ? -errno : 0, -ENXIO);
	IS("line-0", vm_irq_line(&vm, 0, 1), -EINVAL);
	IS("line-100", vm_irq_line(&vm, 100, 1), 0);
	IS("line-101", vm_irq_line(&vm, 101, 1), -EINVAL);
	IS("edge-101", vm_irq_line(&vm, 101 | KVM_RISCV_PLIC_IRQ_EDGE, 1), -EINVAL);
	IS("line-junk", vm_irq_line(&vm, UINT32_MAX, 1), -EINVAL);
	IS("line-more-junk", vm_irq_line(&vm, 1 | 1u << 25, 1), -EINVAL);
	IS("state-size", device_attr(vm.plic, false, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, &head), -E2BIG);
	IS("state-size-told", head.size, sizeof(struct kvm_riscv_plic_state) + 2 * sizeof(struct kvm_riscv_plic_context));
	IS("state-other", device_attr(vm.plic, false, KVM_DEV_RISCV_PLIC_GRP_STATE, 1, &head), -ENXIO);
	IS("state-fault", device_attr(vm.plic, false, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, NULL), -EFAULT);
	vm_destroy(&vm);
	close(fd);

	vm_create(&vm, 0);
	d.type = KVM_DEV_TYPE_RISCV_PLIC;
	must(ioctl(vm.fd, KVM_CREATE_DEVICE, &d), "KVM_CREATE_DEVICE");
	vm.plic = (int)d.fd;
	base = PLIC_BASE;
	IS("base-again", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_ADDR, 0, &base), 0);
	IS("no-vcpu", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_CTRL, KVM_DEV_RISCV_PLIC_CTRL_INIT, NULL), -EINVAL);
	vm_destroy(&vm);
}

/* From the initialization on, the external interrupt is the PLIC's, whatever user space had said. */
static void taken_over(void)
{
	struct kvm_interrupt interrupt = { .irq = KVM_INTERRUPT_SET };
	struct vm vm;

	vm_create(&vm, 2);
	must(ioctl(vm.vcpu[1].fd, KVM_INTERRUPT, &interrupt), "KVM_INTERRUPT");
	check(reg_get(&vm.vcpu[1], REG_CSR(sip)) & SIP_SEIP, "interrupt-before", "KVM_INTERRUPT does nothing");
	must(vm_add_plic(&vm, SOURCES) ? 0 : -1, "the PLIC");
	check(!(reg_get(&vm.vcpu[1], REG_CSR(sip)) & SIP_SEIP), "interrupt-taken-over", "what KVM_INTERRUPT had set is there for ever");
	vm_destroy(&vm);
}

static struct shared *begin(struct vm *vm, unsigned int harts, uint64_t sources)
{
	struct shared *s;

	vm_create(vm, harts);
	must(vm_add_plic(vm, SOURCES) ? 0 : -1, "the PLIC");
	s = guest_of(vm, &shared);
	for (unsigned int i = 0; i < harts; i++) {
		/* Every hart its own; the first has all. */
		vcpu_enter(&vm->vcpu[i], taker, i ? UINT64_C(1) << (i + 8) : sources);
		vcpu_start(&vm->vcpu[i], -1, on_call);
	}
	if (!wait_for(&s->ready, harts, PATIENCE))
		fail("begin", "%" PRIu64 " of %u vCPUs are there", s->ready, harts);
	return s;
}

static void end(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->n; i++)
		vcpu_stop(&vm->vcpu[i]);
	if (guest_of(vm, &shared)->spurious)
		fail("spurious", "%" PRIu64 " interrupts without a source", guest_of(vm, &shared)->spurious);
	vm_destroy(vm);
}

static void edges(void)
{
	unsigned int n = 0;
	struct shared *s;
	struct vm vm;
	int fd = event();

	s = begin(&vm, 1, 0xfe);
	IS("irqfd", vm_irqfd(&vm, 5, fd, 0, 0), 0);
	while (n < 200) {
		signal_fd(fd);
		if (!wait_for(&s->taken[5], ++n, PATIENCE))
			break;
	}
	check(s->taken[5] == n && n == 200, "irqfd-edge", "%u signals, %" PRIu64 " interrupts", n, s->taken[5]);
	/* One in service is remembered, and no more. */
	s->hold = 5;
	signal_fd(fd);
	if (!wait_for(&s->holding, 5, PATIENCE))
		fail("in-service", "the interrupt does not come");
	for (unsigned int i = 0; i < 3; i++)
		signal_fd(fd);
	s->hold = 0;
	check(wait_for(&s->taken[5], 202, PATIENCE), "irqfd-in-service", "%" PRIu64 " of 202 interrupts", s->taken[5]);
	usleep(200000);
	check(s->taken[5] == 202, "irqfd-merged", "%" PRIu64 " of 202 interrupts", s->taken[5]);
	IS("deassign", vm_irqfd(&vm, 5, fd, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	signal_fd(fd);
	usleep(200000);
	check(s->taken[5] == 202, "irqfd-deassigned", "%" PRIu64 " of 202 interrupts", s->taken[5]);
	/* A GSI that is no source does nobody harm. */
	IS("irqfd-gsi-0", vm_irqfd(&vm, 0, fd, 0, 0), 0);
	signal_fd(fd);
	end(&vm);
	close(fd);
}

static void levels(void)
{
	struct shared *s;
	uint64_t n;
	struct vm vm;

	s = begin(&vm, 1, 0xfe);
	IS("raise", vm_irq_line(&vm, 7, 1), 0);
	check(wait_for(&s->taken[7], 20, PATIENCE) || s->taken[7] > 20, "level-again", "%" PRIu64 " interrupts of a line that stays high", s->taken[7]);
	IS("lower", vm_irq_line(&vm, 7, 0), 0);
	usleep(200000);
	n = s->taken[7];
	usleep(100000);
	check(s->taken[7] == n, "level-lowered", "%" PRIu64 " interrupts of a line that is low", s->taken[7] - n);
	end(&vm);
}

static void resampled(void)
{
	int fd = event(), resample = event(), fd2 = event(), resample2 = event();
	unsigned int acks = 0;
	struct shared *s;
	struct vm vm;

	s = begin(&vm, 1, 0xfe);
	IS("resample", vm_irqfd(&vm, 6, fd, KVM_IRQFD_FLAG_RESAMPLE, resample), 0);
	IS("resample-shared", vm_irqfd(&vm, 6, fd2, KVM_IRQFD_FLAG_RESAMPLE, resample2), 0);
	check(!signalled(resample, 0), "resample-early", "signalled before anything happened");
	/* A device that stays asserted: it signals again each time. */
	signal_fd(fd);
	while (acks < 50 && signalled(resample, PATIENCE)) {
		if (++acks < 50)
			signal_fd(fd);
	}
	check(acks == 50, "resample-acks", "%u of 50 completions are told", acks);
	check(wait_for(&s->taken[6], 50, PATIENCE), "resample-taken", "%" PRIu64 " of 50 interrupts", s->taken[6]);
	check(signalled(resample2, PATIENCE), "resample-all", "another irqfd of the same GSI is not told");
	usleep(200000);
	check(s->taken[6] == 50, "resample-lowered", "the line stays high: %" PRIu64 " interrupts", s->taken[6]);
	/* In service: the signal is a level, and is there after the completion. */
	s->hold = 6;
	signal_fd(fd);
	if (!wait_for(&s->holding, 6, PATIENCE))
		fail("resample-service", "the interrupt does not come");
	IS("resample-deassign", vm_irqfd(&vm, 6, fd, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	IS("resample-deassign", vm_irqfd(&vm, 6, fd2, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	s->hold = 0;
	check(wait_for(&s->taken[6], 51, PATIENCE), "resample-gone", "%" PRIu64 " of 51 interrupts", s->taken[6]);
	usleep(200000);
	check(s->taken[6] == 51, "resample-gone-low", "an irqfd that is gone keeps its line high: %" PRIu64 " of 51 interrupts", s->taken[6]);
	/* An ordinary irqfd beside a resampled one of another GSI is an edge still. */
	IS("mixed", vm_irqfd(&vm, 6, fd, KVM_IRQFD_FLAG_RESAMPLE, resample), 0);
	IS("mixed-edge", vm_irqfd(&vm, 4, fd2, 0, 0), 0);
	signal_fd(fd2);
	check(wait_for(&s->taken[4], 1, PATIENCE), "mixed-taken", "%" PRIu64 " of 1 interrupts", s->taken[4]);
	usleep(100000);
	check(s->taken[4] == 1 && !signalled(resample, 100), "mixed-once", "%" PRIu64 " of 1 interrupts", s->taken[4]);
	end(&vm);
	close(fd);
	close(resample);
	close(fd2);
	close(resample2);
}

/* Three are there before the vCPU looks: by priority, then by number. */
static void order(void)
{
	static const uint64_t expected[] = { 5, 2, 3 };
	struct shared *s;
	struct vm vm;

	s = begin(&vm, 1, 0xfe);
	s->hold = 7;
	IS("first", vm_irq_line(&vm, 7 | KVM_RISCV_PLIC_IRQ_EDGE, 1), 0);
	if (!wait_for(&s->holding, 7, PATIENCE))
		fail("order", "the interrupt does not come");
	vm_irq_line(&vm, 3 | KVM_RISCV_PLIC_IRQ_EDGE, 1);
	vm_irq_line(&vm, 2 | KVM_RISCV_PLIC_IRQ_EDGE, 1);
	vm_irq_line(&vm, 5 | KVM_RISCV_PLIC_IRQ_EDGE, 1);
	vcpu_stop(&vm.vcpu[0]);
	{
		/* Source 5 gets another priority, behind the guest's back. */
		struct kvm_riscv_plic_state *state = calloc(1, 65536);

		state->size = 65536;
		IS("save", device_attr(vm.plic, false, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, state), 0);
		state->priority[5] = 7;
		IS("load", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, state), 0);
		free(state);
	}
	s->hold = 0;
	vcpu_start(&vm.vcpu[0], -1, on_call);
	check(wait_for(&s->taken[3], 1, PATIENCE), "order-all", "%" PRIu64 " are taken", s->n_order);
	for (unsigned int i = 0; i < ARRAY_SIZE(expected); i++)
		if (s->order[i + 1] != expected[i])
			fail("order", "number %u is %" PRIu64 ", should be %" PRIu64, i, s->order[i + 1], expected[i]);
	end(&vm);
}

static void routing(void)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry[2];
	} table = { .head = { .nr = 1 } };
	struct shared *s;
	int fd = event();
	struct vm vm;

	s = begin(&vm, 1, 0xfe);
	table.entry[0] = (struct kvm_irq_routing_entry){ .gsi = 900, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip.pin = 3 };
	IS("route", ioctl(vm.fd, KVM_SET_GSI_ROUTING, &table) < 0 ? -errno : 0, 0);
	IS("route-irqfd", vm_irqfd(&vm, 900, fd, 0, 0), 0);
	signal_fd(fd);
	check(wait_for(&s->taken[3], 1, PATIENCE), "route-taken", "%" PRIu64 " of 1 interrupts", s->taken[3]);
	table.entry[0] = (struct kvm_irq_routing_entry){ .gsi = 900, .type = KVM_IRQ_ROUTING_MSI };
	IS("route-msi", ioctl(vm.fd, KVM_SET_GSI_ROUTING, &table) < 0 ? -errno : 0, -EINVAL);
	table.entry[0] = (struct kvm_irq_routing_entry){ .gsi = 900, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip.pin = 1024 };
	IS("route-pin", ioctl(vm.fd, KVM_SET_GSI_ROUTING, &table) < 0 ? -errno : 0, -EINVAL);
	signal_fd(fd);
	check(wait_for(&s->taken[3], 2, PATIENCE), "route-kept", "%" PRIu64 " of 2 interrupts", s->taken[3]);
	end(&vm);
	close(fd);
}

struct signaller {
	int fd;
	volatile uint64_t *taken;
	unsigned int n, lost;
};

static void *signal_many(void *ctx)
{
	struct signaller *s = ctx;

	for (unsigned int i = 1; i <= s->n; i++) {
		signal_fd(s->fd);
		if (!wait_for(s->taken, i, PATIENCE)) {
			s->lost++;
			break;
		}
	}
	return NULL;
}

static void many(void)
{
	struct signaller signaller[HARTS];
	pthread_t thread[HARTS];
	struct shared *s;
	struct vm vm;
	uint64_t total = 0;

	s = begin(&vm, HARTS, 0);
	for (unsigned int i = 1; i < HARTS; i++) {
		signaller[i] = (struct signaller){ .fd = event(), .taken = &s->taken[i + 8], .n = 60 };
		must(vm_irqfd(&vm, i + 8, signaller[i].fd, 0, 0), "KVM_IRQFD");
		pthread_create(&thread[i], NULL, signal_many, &signaller[i]);
	}
	for (unsigned int i = 1; i < HARTS; i++) {
		pthread_join(thread[i], NULL);
		if (signaller[i].lost)
			fail("many", "hart %u lost an interrupt after %" PRIu64, i, s->taken[i + 8]);
		if (s->by[i] != s->taken[i + 8])
			fail("many-hart", "hart %u took %" PRIu64 " interrupts, its source has %" PRIu64, i, s->by[i], s->taken[i + 8]);
		total += s->taken[i + 8];
		close(signaller[i].fd);
	}
	check(total == 60 * (HARTS - 1), "many", "%" PRIu64 " of %u interrupts", total, 60 * (HARTS - 1));
	end(&vm);
}

/* An interrupt that came before the hart was started is there when it is. */
static void started_hart(void)
{
	uint64_t value = 0;
	struct vm vm;

	vm_create(&vm, 2);
	must(vm_add_plic(&vm, SOURCES) ? 0 : -1, "the PLIC");
	vcpu_boot(&vm.vcpu[1], claimer, 0);
	vcpu_enter(&vm.vcpu[0], enabler, 0);
	if (!vcpu_expect(&vm.vcpu[0], "enabler", 0, NULL))
		return;
	IS("raise-for-stopped", vm_irq_line(&vm, 3, 1), 0);
	if (!vcpu_expect(&vm.vcpu[0], "hart-start", 1, &value))
		return;
	IS("hart-start", (int64_t)value, 0);
	if (vcpu_expect(&vm.vcpu[1], "started", 0, &value))
		check(value != 0, "started-pending", "a hart that is started has lost its external interrupt");
	if (vcpu_expect(&vm.vcpu[1], "started", 1, &value))
		IS("started-claims", (long)value, 3);
	vm_destroy(&vm);
}

static void save_and_load(void)
{
	struct kvm_riscv_plic_state *a = calloc(1, 65536), *b = calloc(1, 65536);
	struct vm vm, other;
	uint64_t seed = 88172645463325252u;
	struct kvm_riscv_plic_state bad;

	vm_create(&vm, 3);
	vm_create(&other, 3);
	must(vm_add_plic(&vm, 1000) && vm_add_plic(&other, 1000) ? 0 : -1, "the PLIC");
	a->size = 65536;
	IS("save", device_attr(vm.plic, false, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, a), 0);
	check(a->version == KVM_RISCV_PLIC_STATE_VERSION && a->nr_sources == 1000 && a->nr_contexts == 6, "save-head", "version %u, %u sources, %u contexts",
	      a->version, a->nr_sources, a->nr_contexts);
	for (unsigned int i = 1; i <= 1000; i++) {
		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		a->priority[i] = seed >> 20 & 7;
		a->pending[i / 64] |= (seed >> 30 & 1) << i % 64;
		/* A gateway whose level is high is busy. */
		a->busy[i / 64] |= (seed >> 31 & 1) << i % 64;
		a->level[i / 64] |= (seed >> 31 & seed >> 32 & 1) << i % 64;
		a->resample[i / 64] |= (seed >> 31 & seed >> 33 & 1) << i % 64;
		/* One whose interrupt is being served may have an edge to remember. */
		a->edge[i / 64] |= (seed >> 31 & ~seed >> 30 & seed >> 34 & 1) << i % 64;
		for (unsigned int c = 0; c < 6; c++)
			a->context[c].enable[i / 64] |= (seed >> (35 + c) & 1) << i % 64;
	}
	for (unsigned int c = 0; c < 6; c++)
		a->context[c].threshold = c;
	a->context[5].threshold = 7;
	IS("load", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, a), 0);
	b->size = a->size;
	IS("save-again", device_attr(vm.plic, false, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, b), 0);
	check(!memcmp(a, b, a->size), "round-trip", "what is saved is not what was loaded");
	IS("load-other", device_attr(other.plic, true, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, b), 0);
	for (unsigned int i = 0; i < 3; i++) {
		bool level = reg_get(&vm.vcpu[i], REG_CSR(sip)) & SIP_SEIP, there = reg_get(&other.vcpu[i], REG_CSR(sip)) & SIP_SEIP;

		check(level == (i < 2) && there == level, "load-notifies", "hart %u: %d, %d", i, level, there);
	}
	/* Lines go on from where they were: all low, none of them can come again. */
	memset(a->pending, 0, sizeof(a->pending));
	IS("load-none-pending", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, a), 0);
	for (unsigned int i = 0; i < 3; i++)
		check(!(reg_get(&vm.vcpu[i], REG_CSR(sip)) & SIP_SEIP), "load-lowers", "hart %u has an external interrupt still", i);

	/* What cannot be is refused. */
#define REFUSED(what, field, value)                                                                         \
	do {                                                                                                \
		memcpy(b, a, a->size);                                                                      \
		b->field = (value);                                                                         \
		IS(what, device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, b), -EINVAL);          \
	} while (0)
	REFUSED("bad-version", version, 2);
	REFUSED("bad-size", size, a->size - 1);
	REFUSED("bad-size-large", size, UINT32_MAX);
	REFUSED("bad-sources", nr_sources, 999);
	REFUSED("bad-contexts", nr_contexts, 7);
	REFUSED("bad-priority", priority[9], 8);
	REFUSED("bad-priority-0", priority[0], 1);
	REFUSED("bad-priority-1001", priority[1001], 1);
	REFUSED("bad-pending-0", pending[0], 1);
	REFUSED("bad-busy", busy[15], UINT64_C(1) << 63);
	REFUSED("bad-level", level[15], UINT64_C(1) << 63);
	REFUSED("bad-resample", resample[15], UINT64_C(1) << 63);
	REFUSED("bad-edge", edge[15], UINT64_C(1) << 63);
	REFUSED("bad-edge-idle", edge[1], ~a->busy[1]);
	REFUSED("bad-edge-pending", pending[1], a->edge[1]);
	REFUSED("bad-enable", context[5].enable[0], 1);
	REFUSED("bad-threshold", context[5].threshold, 8);
	REFUSED("bad-reserved", context[5].reserved, 1);
	memcpy(b, a, a->size);
	b->size = 65536;
	IS("save-after-bad", device_attr(vm.plic, false, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, b), 0);
	check(!memcmp(a, b, a->size), "bad-changes-nothing", "a refused state has changed something");
	memset(&bad, 0, sizeof(bad));
	IS("save-small", device_attr(vm.plic, false, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, &bad), -E2BIG);
	check(bad.size == a->size, "save-small-size", "%u bytes are said to do", bad.size);

	/* Reset: registers as new, and lines that are high request. */
	IS("reset", device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_CTRL, KVM_DEV_RISCV_PLIC_CTRL_RESET, NULL), 0);
	b->size = 65536;
	IS("save-reset", device_attr(vm.plic, false, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, b), 0);
	for (unsigned int w = 0; w < KVM_DEV_RISCV_PLIC_WORDS; w++) {
		uint64_t high = a->level[w] | a->resample[w];

		if (b->level[w] != a->level[w] || b->resample[w] != a->resample[w] || b->pending[w] != high || b->busy[w] != high || b->edge[w])
			fail("reset", "word %u: pending 0x%" PRIx64 ", busy 0x%" PRIx64 ", lines 0x%" PRIx64, w, (uint64_t)b->pending[w], (uint64_t)b->busy[w], high);
		for (unsigned int c = 0; c < 6; c++)
			if (b->context[c].enable[w] || b->context[c].threshold)
				fail("reset", "context %u is not as new", c);
	}
	vm_destroy(&vm);
	vm_destroy(&other);
	free(a);
	free(b);
}

int main(void)
{
	static void (*const tests[])(void) = { attributes, save_and_load, taken_over, started_hart, edges, levels, resampled, order, routing, many };

	without_irqchip();
	if (!host_has(KVM_DEV_TYPE_RISCV_PLIC)) {
		skip("plic", "this host's KVM has none");
		return finish();
	}
	/* Each begins with what the ones before it have shown to work. */
	for (unsigned int i = 0; i < ARRAY_SIZE(tests) && !said_failures; i++)
		tests[i]();
	return finish();
}
