// SPDX-License-Identifier: MIT
#include "machine.h"

#include <signal.h>
#include <sys/utsname.h>

#define STACK 16384u

struct guest_state guest_state[MAX_VCPUS];
struct guest_boot guest_boot[MAX_VCPUS];
void (*volatile guest_irq)(uint64_t cause);
uint64_t (*volatile guest_exception)(const struct guest_state *s);

uint64_t guest_trap(uint64_t cause, uint64_t epc, uint64_t tval);

/* ---- guest ---- */

uint64_t guest_trap(uint64_t cause, uint64_t epc, uint64_t tval)
{
	struct guest_state *s = &guest_state[guest_index() % MAX_VCPUS];

	if ((int64_t)cause < 0 && guest_irq) {
		guest_irq(cause & ~(UINT64_C(1) << 63));
		return epc;
	}
	s->cause = cause;
	s->epc = epc;
	s->tval = tval;
	s->n_traps++;
	if (guest_exception)
		return guest_exception(s);
	if (s->skip_traps && (int64_t)cause >= 0)
		return epc + 4;
	guest_call(CALL_TRAP, cause);
	for (;;)
		;
}

/* ---- host ---- */

void vm_create(struct vm *vm, unsigned int n)
{
	long size;

	memset(vm, 0, sizeof(*vm));
	vm->plic = -1;
	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0) {
		skip("kvm", "/dev/kvm: %s", strerror(errno));
		exit(77);
	}
	vm->fd = (int)must(ioctl(vm->kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	vm->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(vm->ram == MAP_FAILED ? -1 : 0, "RAM");
	vm_copy_image(vm);
	must(vm_set_slot(vm, 0, RAM_BASE, vm->ram, RAM_SIZE, 0), "KVM_SET_USER_MEMORY_REGION");
	size = must(ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	vm->n = n;
	for (unsigned int i = 0; i < n; i++) {
		struct vcpu *v = &vm->vcpu[i];

		v->vm = vm;
		v->i = i;
		v->fd = (int)must(ioctl(vm->fd, KVM_CREATE_VCPU, i), "KVM_CREATE_VCPU");
		v->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
		must(v->run == MAP_FAILED ? -1 : 0, "struct kvm_run");
	}
}

int device_attr(int fd, bool set, uint32_t group, uint64_t attr, void *value)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	return ioctl(fd, set ? KVM_SET_DEVICE_ATTR : KVM_GET_DEVICE_ATTR, &a) < 0 ? -errno : 0;
}

bool vm_add_plic(struct vm *vm, unsigned int n_sources)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_RISCV_PLIC };
	uint64_t base = PLIC_BASE;
	uint32_t sources = n_sources;

	if (ioctl(vm->fd, KVM_CREATE_DEVICE, &device) < 0)
		return false;
	vm->plic = (int)device.fd;
	errno = -device_attr(vm->plic, true, KVM_DEV_RISCV_PLIC_GRP_CONFIG, KVM_DEV_RISCV_PLIC_CONFIG_SRCS, &sources);
	must(errno ? -1 : 0, "the number of sources of the PLIC");
	errno = -device_attr(vm->plic, true, KVM_DEV_RISCV_PLIC_GRP_ADDR, KVM_DEV_RISCV_PLIC_ADDR_BASE, &base);
	must(errno ? -1 : 0, "the base address of the PLIC");
	errno = -device_attr(vm->plic, true, KVM_DEV_RISCV_PLIC_GRP_CTRL, KVM_DEV_RISCV_PLIC_CTRL_INIT, NULL);
	must(errno ? -1 : 0, "the initialization of the PLIC");
	return true;
}

bool kvm_is_ours(void)
{
	struct utsname name;
	unsigned int major, minor;

	return !uname(&name) && sscanf(name.release, "%u.%u", &major, &minor) == 2 && (major < 5 || (major == 5 && minor < 16));
}

int vm_irq_line(struct vm *vm, uint32_t irq, uint32_t level)
{
	struct kvm_irq_level l = { .irq = irq, .level = level };

	return ioctl(vm->fd, KVM_IRQ_LINE, &l) < 0 ? -errno : 0;
}

int vm_irqfd(struct vm *vm, uint32_t gsi, int fd, uint32_t flags, int resamplefd)
{
	struct kvm_irqfd f = { .fd = (uint32_t)fd, .gsi = gsi, .flags = flags, .resamplefd = (uint32_t)resamplefd };

	return ioctl(vm->fd, KVM_IRQFD, &f) < 0 ? -errno : 0;
}

void vm_destroy(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->n; i++) {
		munmap(vm->vcpu[i].run, (size_t)ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
		close(vm->vcpu[i].fd);
	}
	if (vm->plic >= 0)
		close(vm->plic);
	close(vm->fd);
	close(vm->kvm);
	munmap(vm->ram, RAM_SIZE);
}

/* ---- running ---- */

void vcpu_boot(struct vcpu *v, void (*fn)(uint64_t arg), uint64_t arg)
{
	guest_of(v->vm, guest_boot)[v->i] = (struct guest_boot){
		.sp = RAM_BASE + RAM_SIZE - v->i * STACK, .index = v->i, .fn = fn, .arg = arg,
	};
}

void vcpu_enter(struct vcpu *v, void (*fn)(uint64_t arg), uint64_t arg)
{
	struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };

	/* The access it left with is completed, or the new PC would be advanced by it. */
	if (v->run->exit_reason == KVM_EXIT_MMIO) {
		v->run->immediate_exit = 1;
		ioctl(v->fd, KVM_RUN, 0);
		v->run->immediate_exit = 0;
	}
	vcpu_boot(v, fn, arg);
	reg_set(v, REG_CORE(regs.pc), (uintptr_t)guest_start);
	reg_set(v, REG_CORE(regs.a0), v->i);
	reg_set(v, REG_CORE(regs.a1), (uintptr_t)&guest_boot[v->i]);
	reg_set(v, REG_CORE(mode), KVM_RISCV_MODE_S);
	reg_set(v, REG_CSR(sstatus), 0);
	reg_set(v, REG_CSR(sie), 0);
	must(ioctl(v->fd, KVM_SET_MP_STATE, &runnable), "KVM_SET_MP_STATE");
}

int vcpu_run(struct vcpu *v, uint64_t *ret_value)
{
	uint64_t value = 0, op;

	if (ioctl(v->fd, KVM_RUN, 0) < 0)
		return RUN_OTHER;
	errno = 0;
	op = (v->run->mmio.phys_addr - CALL_BASE) / 8;
	if (v->run->exit_reason != KVM_EXIT_MMIO || !v->run->mmio.is_write || op >= N_CALLS)
		return RUN_OTHER;
	memcpy(&value, v->run->mmio.data, sizeof(value));
	if (op == CALL_TRAP) {
		const struct guest_state *s = &guest_of(v->vm, guest_state)[v->i];

		fail("guest", "vCPU %u: scause 0x%" PRIx64 ", sepc 0x%" PRIx64 ", stval 0x%" PRIx64, v->i, value, s->epc, s->tval);
	}
	if (ret_value)
		*ret_value = value;
	return (int)op;
}

void vcpu_poke(struct vcpu *v)
{
	pthread_kill(v->thread, SIGUSR1);
}

static void on_alarm(int number)
{
}

int run_for(struct vcpu *v, unsigned int ms)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	const struct itimerspec soon = { .it_value = { ms / 1000, ms % 1000 * 1000000L }, .it_interval.tv_nsec = 50000000 };
	timer_t timer;
	int r;

	sigaction(SIGALRM, &action, NULL);
	must(timer_create(CLOCK_MONOTONIC, NULL, &timer), "a timer");
	timer_settime(timer, 0, &soon, NULL);
	r = ioctl(v->fd, KVM_RUN, 0) < 0 ? -errno : 0;
	timer_delete(timer);
	return r;
}

int run_briefly(struct vcpu *v)
{
	return run_for(v, 50);
}
