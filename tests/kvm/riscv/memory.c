// SPDX-License-Identifier: MIT
/* What the host takes out of a guest's memory is gone for the guest: madvise, a page that goes read-only, a deleted slot; and dirty logging sees each write. */
#include "machine.h"

#define AREA UINT64_C(0x80000000)
#define PAGE UINT64_C(4096)
#define PAGES 64

/* ---- guest ---- */

static void reader(uint64_t arg)
{
	for (;;)
		guest_call(0, *(volatile uint64_t *)AREA);
}

static void read_write(uint64_t arg)
{
	guest_call(0, *(volatile uint64_t *)AREA);
	*(volatile uint64_t *)AREA = arg;
	guest_call(1, 0);
	for (;;)
		;
}

static void writer(uint64_t arg)
{
	for (uint64_t i = 0;; i++) {
		for (uint64_t p = arg; p < PAGES; p += arg)
			*(volatile uint64_t *)(AREA + p * PAGE) = i;
		guest_call(0, i);
	}
}

/* ---- host ---- */

static uint64_t *area(void)
{
	void *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(p == MAP_FAILED ? -1 : 0, "memory");
	return p;
}

static void is(struct vm *vm, const char *what, uint64_t expected)
{
	uint64_t value;

	if (vcpu_expect(&vm->vcpu[0], what, 0, &value))
		check(value == expected, what, "the guest reads 0x%" PRIx64 ", should be 0x%" PRIx64, value, expected);
}

static void unmap(void)
{
	uint64_t *a = area(), *b = area();
	struct vm vm;

	vm_create(&vm, 1);
	must(vm_set_slot(&vm, 1, AREA, a, PAGES * PAGE, 0), "slot");
	*a = 0x1111;
	*b = 0x2222;
	vcpu_enter(&vm.vcpu[0], reader, 0);
	is(&vm, "mapped", 0x1111);
	must(madvise(a, PAGE, MADV_DONTNEED), "madvise");
	is(&vm, "madvise", 0);
	*a = 0x3333;
	is(&vm, "written", 0x3333);
	must(vm_set_slot(&vm, 1, AREA, NULL, 0, 0), "slot");
	must(vm_set_slot(&vm, 1, AREA, b, PAGES * PAGE, 0), "slot");
	is(&vm, "other-slot", 0x2222);
	/* Moved: what was there is another page now. */
	must(mremap(a, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, b) == MAP_FAILED ? -1 : 0, "mremap");
	is(&vm, "mremap", 0x3333);
	must(vm_set_slot(&vm, 1, AREA, NULL, 0, 0), "slot");
	check(vcpu_run(&vm.vcpu[0], NULL) == RUN_OTHER && !errno && vm.vcpu[0].run->exit_reason == KVM_EXIT_MMIO && vm.vcpu[0].run->mmio.phys_addr == AREA,
	      "deleted-slot", "the guest goes on reading memory that is not there");
	vm_destroy(&vm);
	munmap(b, PAGES * PAGE);
}

static void dirty(void)
{
	uint64_t *a = area(), bitmap = 0, expected = 0;
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = &bitmap };
	struct vm vm;

	vm_create(&vm, 1);
	must(vm_set_slot(&vm, 1, AREA, a, PAGES * PAGE, 0), "slot");
	vcpu_enter(&vm.vcpu[0], writer, 3);
	must(vcpu_expect(&vm.vcpu[0], "writes", 0, NULL) ? 0 : -1, "a guest that writes");
	must(vm_set_slot(&vm, 1, AREA, a, PAGES * PAGE, KVM_MEM_LOG_DIRTY_PAGES), "dirty log");
	for (unsigned int p = 3; p < PAGES; p += 3)
		expected |= UINT64_C(1) << p;
	for (unsigned int round = 0; round < 3; round++) {
		must(ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log), "KVM_GET_DIRTY_LOG");
		vcpu_expect(&vm.vcpu[0], "writes", 0, NULL);
		must(ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log), "KVM_GET_DIRTY_LOG");
		check(bitmap == expected, "dirty", "pages 0x%" PRIx64 ", should be 0x%" PRIx64, bitmap, expected);
	}
	vm_destroy(&vm);
	munmap(a, PAGES * PAGE);
}

static void read_only(void)
{
	uint64_t *a = area(), value;
	struct vm vm;

	vm_create(&vm, 1);
	must(vm_set_slot(&vm, 1, AREA, a, PAGES * PAGE, KVM_MEM_READONLY), "slot");
	a[0] = 0x4444;
	vcpu_enter(&vm.vcpu[0], reader, 0);
	is(&vm, "read-only", 0x4444);
	vcpu_enter(&vm.vcpu[0], writer, 1);
	check(vcpu_run(&vm.vcpu[0], &value) == RUN_OTHER && !errno && vm.vcpu[0].run->exit_reason == KVM_EXIT_MMIO && vm.vcpu[0].run->mmio.is_write,
	      "read-only-write", "a write to a read-only slot does not leave the guest");
	/* Nor where it has read before. */
	vcpu_enter(&vm.vcpu[0], read_write, 0x5555);
	is(&vm, "read-only-again", 0x4444);
	check(vcpu_run(&vm.vcpu[0], &value) == RUN_OTHER && !errno && vm.vcpu[0].run->exit_reason == KVM_EXIT_MMIO && vm.vcpu[0].run->mmio.is_write &&
		      vm.vcpu[0].run->mmio.phys_addr == AREA && a[0] == 0x4444,
	      "read-only-write-again", "a write to a page of a read-only slot that was read does not leave the guest");
	vm_destroy(&vm);
	munmap(a, PAGES * PAGE);
}

int main(void)
{
	unmap();
	dirty();
	read_only();
	return finish();
}
