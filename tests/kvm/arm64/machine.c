// SPDX-License-Identifier: MIT
#include "machine.h"

#define PAGE 4096u
#define STACK 32768u
#define TABLE (RAM_BASE + RAM_SIZE - PAGE) /* the one page table */

extern char guest_vectors[];
uint64_t guest_exception(uint64_t kind);

struct guest_state guest_state[MAX_VCPUS];
struct guest_boot guest_boot[MAX_VCPUS];
void (*volatile guest_irq)(void);

/* ---- guest ---- */

uint64_t guest_exception(uint64_t kind)
{
	struct guest_state *s = &guest_state[sysreg_read(tpidr_el1) % MAX_VCPUS];
	uint64_t elr = sysreg_read(elr_el1);

	if (kind == 5 && guest_irq) {
		guest_irq();
		return elr;
	}
	s->esr = sysreg_read(esr_el1);
	s->elr = elr;
	s->far = sysreg_read(far_el1);
	s->n_exceptions++;
	/* Synchronous ones only: others have no instruction to skip. */
	if (s->skip_exceptions && kind == 4)
		return elr + 4;
	guest_call(CALL_EXCEPTION, kind);
	for (;;)
		;
}

static void write32(uint64_t at, uint32_t value)
{
	__asm__ volatile("str %w0, [%1]" : : "r"(value), "r"(at) : "memory");
}

void guest_gic_init(void)
{
	write32(GIC_DIST, 0x12); /* GICD_CTLR: ARE, EnableGrp1 */
}

void guest_gic_vcpu_init(unsigned int i)
{
	uint64_t redist = GIC_REDIST + i * UINT64_C(0x20000);

	write32(redist + 0x14, 0);		/* GICR_WAKER */
	write32(redist + 0x10080, 0xffffffff);	/* GICR_IGROUPR0 */
	write32(redist + 0x10100, 0xffff);	/* GICR_ISENABLER0 */
	sysreg_write(s3_0_c12_c12_5, 1);	/* ICC_SRE_EL1 */
	sysreg_write(s3_0_c4_c6_0, 0xff);	/* ICC_PMR_EL1 */
	sysreg_write(s3_0_c12_c12_7, 1);	/* ICC_IGRPEN1_EL1 */
}

/* ---- host ---- */

/* Level 1, 4 KiB granule, 39 bits: blocks of 1 GiB. Where there is RAM it is normal memory, the rest are devices. */
static void make_table(struct vm *vm)
{
	uint64_t *table = (uint64_t *)((char *)vm->ram + (TABLE - RAM_BASE));

	for (uint64_t i = 0; i < 16; i++) {
		bool normal = i << 30 >= RAM_BASE;

		/* Valid block, AttrIndx, inner shareable, access flag; devices are never executed. */
		table[i] = i << 30 | 1 | (normal ? 0 : 1) << 2 | 3 << 8 | 1 << 10 | (normal ? 0 : UINT64_C(3) << 53);
	}
}

int vcpu_init(struct vcpu *v, bool powered_off)
{
	struct kvm_vcpu_init init = v->vm->init;

	if (powered_off)
		init.features[0] |= 1u << KVM_ARM_VCPU_POWER_OFF;
	return ioctl(v->fd, KVM_ARM_VCPU_INIT, &init) < 0 ? -errno : 0;
}

void vm_create(struct vm *vm, unsigned int n, uint32_t features)
{
	long size;

	memset(vm, 0, sizeof(*vm));
	vm->gic = -1;
	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0) {
		skip("kvm", "/dev/kvm: %s", strerror(errno));
		exit(77);
	}
	vm->fd = (int)must(ioctl(vm->kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	vm->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(vm->ram == MAP_FAILED ? -1 : 0, "RAM");
	vm_copy_image(vm);
	make_table(vm);
	must(vm_set_slot(vm, 0, RAM_BASE, vm->ram, RAM_SIZE, 0), "KVM_SET_USER_MEMORY_REGION");
	must(ioctl(vm->fd, KVM_ARM_PREFERRED_TARGET, &vm->init), "KVM_ARM_PREFERRED_TARGET");
	vm->init.features[0] = features | 1u << KVM_ARM_VCPU_PSCI_0_2;
	size = must(ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	vm->n = n;
	for (unsigned int i = 0; i < n; i++) {
		struct vcpu *v = &vm->vcpu[i];

		v->vm = vm;
		v->i = i;
		v->fd = (int)must(ioctl(vm->fd, KVM_CREATE_VCPU, i), "KVM_CREATE_VCPU");
		v->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
		must(v->run == MAP_FAILED ? -1 : 0, "struct kvm_run");
		errno = -vcpu_init(v, i > 0);
		must(errno ? -1 : 0, "KVM_ARM_VCPU_INIT");
	}
}

bool vm_add_gic(struct vm *vm)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };
	uint64_t dist = GIC_DIST, redist = GIC_REDIST;
	uint32_t irqs = 64;
	struct kvm_device_attr attrs[] = {
		{ .group = KVM_DEV_ARM_VGIC_GRP_ADDR, .attr = KVM_VGIC_V3_ADDR_TYPE_DIST, .addr = (uintptr_t)&dist },
		{ .group = KVM_DEV_ARM_VGIC_GRP_ADDR, .attr = KVM_VGIC_V3_ADDR_TYPE_REDIST, .addr = (uintptr_t)&redist },
		{ .group = KVM_DEV_ARM_VGIC_GRP_NR_IRQS, .addr = (uintptr_t)&irqs },
		{ .group = KVM_DEV_ARM_VGIC_GRP_CTRL, .attr = KVM_DEV_ARM_VGIC_CTRL_INIT },
	};

	if (ioctl(vm->fd, KVM_CREATE_DEVICE, &device) < 0)
		return false;
	vm->gic = (int)device.fd;
	for (unsigned int i = 0; i < ARRAY_SIZE(attrs); i++)
		must(ioctl(vm->gic, KVM_SET_DEVICE_ATTR, &attrs[i]), "KVM_SET_DEVICE_ATTR of the GIC");
	return true;
}

void vm_destroy(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->n; i++) {
		munmap(vm->vcpu[i].run, (size_t)ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
		close(vm->vcpu[i].fd);
	}
	if (vm->gic >= 0)
		close(vm->gic);
	close(vm->fd);
	close(vm->kvm);
	munmap(vm->ram, RAM_SIZE);
}

/* ---- registers ---- */

unsigned int reg_size(uint64_t id)
{
	return 1u << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
}

struct kvm_reg_list *reg_list(struct vcpu *v)
{
	struct kvm_reg_list probe = { .n = 0 }, *list;

	if (ioctl(v->fd, KVM_GET_REG_LIST, &probe) < 0 && errno != E2BIG)
		must(-1, "KVM_GET_REG_LIST");
	list = malloc(sizeof(*list) + probe.n * sizeof(list->reg[0]));
	must(list ? 0 : -1, "memory");
	list->n = probe.n;
	must(ioctl(v->fd, KVM_GET_REG_LIST, list), "KVM_GET_REG_LIST");
	return list;
}

/* ---- running ---- */

static void fill_boot(struct vm *vm, unsigned int i, struct guest_boot *b)
{
	*b = (struct guest_boot){
		.ttbr = TABLE,
		/* T0SZ 25, 4 KiB, write-back and inner shareable walks, no TTBR1, 40 bits out. */
		.tcr = 25 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | UINT64_C(2) << 32,
		.mair = 0xff | 0x00 << 8,
		.sctlr = 0x30d00800 | 1 << 0 | 1 << 2 | 1 << 12 | vm->sctlr,
		.vbar = (uintptr_t)guest_vectors,
		.cpacr = 3 << 20,
		.sp = TABLE - i * STACK,
		.index = i,
	};
}

void vcpu_enter(struct vcpu *v, void (*fn)(uint64_t arg), uint64_t arg)
{
	struct guest_boot b;

	for (unsigned int i = 0; i < v->vm->n; i++)
		fill_boot(v->vm, i, &guest_of(v->vm, guest_boot)[i]);
	fill_boot(v->vm, v->i, &b);
	reg_set(v, SYS(3, 0, 2, 0, 0), b.ttbr);
	reg_set(v, SYS(3, 0, 2, 0, 2), b.tcr);
	reg_set(v, SYS(3, 0, 10, 2, 0), b.mair);
	reg_set(v, SYS(3, 0, 12, 0, 0), b.vbar);
	reg_set(v, SYS(3, 0, 1, 0, 2), b.cpacr);
	reg_set(v, SYS(3, 0, 1, 0, 0), b.sctlr);
	reg_set(v, SYS(3, 0, 13, 0, 4), v->i); /* TPIDR_EL1 */
	reg_set(v, CORE(sp_el1), b.sp);
	reg_set(v, CORE(regs.regs[0]), arg);
	reg_set(v, CORE(regs.pc), (uintptr_t)fn);
	reg_set(v, CORE(regs.pstate), 0x3c5); /* EL1h, all masked */
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
	if (op == CALL_EXCEPTION) {
		const struct guest_state *s = &guest_of(v->vm, guest_state)[v->i];

		fail("guest", "vCPU %u: vector %" PRIu64 ", ESR_EL1 0x%" PRIx64 ", ELR_EL1 0x%" PRIx64 ", FAR_EL1 0x%" PRIx64, v->i, value, s->esr, s->elr,
		     s->far);
	}
	if (ret_value)
		*ret_value = value;
	return (int)op;
}
