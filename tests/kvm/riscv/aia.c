// SPDX-License-Identifier: MIT
/* irqfds of KVM's AIA: each signal is an edge of the wired source. No guest runs: the interrupt is looked for in the interrupt file. */
#include <sys/eventfd.h>

#include "machine.h"

#define SOURCE 5
#define IDENTITY 7
#define SIGNALS 20
#define APLIC_BASE UINT64_C(0x0d000000)
#define IMSIC_BASE UINT64_C(0x28000000)

/* AIA 4.5, offsets are attributes. */
#define APLIC_DOMAINCFG 0x0000
#define APLIC_SOURCECFG(source) (4 * (source))
#define APLIC_SETIENUM 0x1edc
#define APLIC_TARGET(source) (0x3000 + 4 * (source))
#define EDGE_RISE 4

/* AIA 3.8 */
#define IMSIC_EIDELIVERY 0x70
#define IMSIC_EIP0 0x80
#define IMSIC_EIE0 0xc0

static void set(int fd, uint32_t group, uint64_t attr, void *value, const char *what)
{
	errno = -device_attr(fd, true, group, attr, value);
	must(errno ? -1 : 0, what);
}

static void aplic(int fd, uint64_t offset, uint32_t value)
{
	set(fd, KVM_DEV_RISCV_AIA_GRP_APLIC, offset, &value, "an APLIC register");
}

static void imsic(int fd, uint64_t select, unsigned long value)
{
	set(fd, KVM_DEV_RISCV_AIA_GRP_IMSIC, KVM_DEV_RISCV_AIA_IMSIC_MKATTR(0, select), &value, "an IMSIC register");
}

static bool arrives(int fd)
{
	uint64_t end = now_ns() + UINT64_C(2000000000);
	unsigned long pending = 0;

	do {
		errno = -device_attr(fd, false, KVM_DEV_RISCV_AIA_GRP_IMSIC, KVM_DEV_RISCV_AIA_IMSIC_MKATTR(0, IMSIC_EIP0), &pending);
		must(errno ? -1 : 0, "an IMSIC register");
	} while (!(pending & 1u << IDENTITY) && now_ns() < end);
	return pending & 1u << IDENTITY;
}

int main(void)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_RISCV_AIA };
	uint64_t base = APLIC_BASE, file = IMSIC_BASE, one = 1;
	uint32_t sources = 16, mode = KVM_DEV_RISCV_AIA_MODE_EMUL;
	unsigned int n = 0;
	struct vm vm;
	int fd, event;

	vm_create(&vm, 1);
	if (ioctl(vm.fd, KVM_CREATE_DEVICE, &device) < 0) {
		skip("aia", "this host has none: %s", strerror(errno));
		return finish();
	}
	fd = (int)device.fd;
	set(fd, KVM_DEV_RISCV_AIA_GRP_CONFIG, KVM_DEV_RISCV_AIA_CONFIG_MODE, &mode, "the mode");
	set(fd, KVM_DEV_RISCV_AIA_GRP_CONFIG, KVM_DEV_RISCV_AIA_CONFIG_SRCS, &sources, "the number of sources");
	set(fd, KVM_DEV_RISCV_AIA_GRP_ADDR, KVM_DEV_RISCV_AIA_ADDR_APLIC, &base, "the APLIC's address");
	set(fd, KVM_DEV_RISCV_AIA_GRP_ADDR, KVM_DEV_RISCV_AIA_ADDR_IMSIC(0), &file, "the IMSIC's address");
	set(fd, KVM_DEV_RISCV_AIA_GRP_CTRL, KVM_DEV_RISCV_AIA_CTRL_INIT, NULL, "the initialization");
	imsic(fd, IMSIC_EIDELIVERY, 1);
	imsic(fd, IMSIC_EIE0, 1u << IDENTITY);
	aplic(fd, APLIC_DOMAINCFG, 0x100);
	aplic(fd, APLIC_SOURCECFG(SOURCE), EDGE_RISE);
	aplic(fd, APLIC_TARGET(SOURCE), IDENTITY);
	aplic(fd, APLIC_SETIENUM, SOURCE);
	event = (int)must(eventfd(0, EFD_CLOEXEC), "eventfd");
	must(vm_irqfd(&vm, SOURCE, event, 0, 0) ? -1 : 0, "KVM_IRQFD");
	while (n < SIGNALS) {
		must(write(event, &one, sizeof(one)) < 0 ? -1 : 0, "eventfd");
		if (!arrives(fd))
			break;
		imsic(fd, IMSIC_EIP0, 0);
		n++;
	}
	check(n == SIGNALS, "irqfd-edges", "%u of %u signals became interrupts", n, SIGNALS);
	vm_destroy(&vm);
	return finish();
}
