// SPDX-License-Identifier: MIT
/*
 * The guest's memory as the host gives, takes and changes it: pages of all sizes, dirty logging that splits them, slots that come, move and go, addresses that are
 * none, and the host's own ways with its memory (copy on write, protection, collapsing). The guest answers for each page what it finds.
 */
#include <sys/wait.h>

#include "insn.h"

#define AREA UINT64_C(0x80000000)
#define PAGE UINT64_C(4096)
#define MEGA (PAGE << 9)
#define GIGA (MEGA << 9)
#define PAGES 1024 /* two blocks of 2 MiB */

#ifndef MAP_HUGE_1GB
#define MAP_HUGE_1GB (30 << 26)
#endif

enum { READ, WRITTEN, SUM };

/* ---- guest ---- */

/* arg: an address. */
static void read_at(uint64_t arg)
{
	for (;;)
		guest_call(READ, *(volatile uint64_t *)arg);
}

static void write_at(uint64_t arg)
{
	for (;;) {
		*(volatile uint64_t *)arg = arg;
		guest_call(WRITTEN, 0);
	}
}

/* Each page's first word, added up; or a word of its own in each. */
static void read_pages(uint64_t n)
{
	for (;;) {
		uint64_t sum = 0;

		for (uint64_t i = 0; i < n; i++)
			sum += *(volatile uint64_t *)(AREA + i * PAGE);
		guest_call(SUM, sum);
	}
}

static void write_pages(uint64_t n)
{
	for (uint64_t round = 1;; round++) {
		for (uint64_t i = 0; i < n; i++)
			*(volatile uint64_t *)(AREA + i * PAGE) = round * 1000000 + i;
		guest_call(SUM, round);
	}
}

/* Jumps into the area. */
static void run_there(uint64_t arg)
{
	for (;;)
		guest_call(READ, ((uint64_t(*)(void))arg)());
}

/* An address that may be none: how many exceptions it took. */
static void try_at(uint64_t arg)
{
	guest_state[0].skip_traps = 1;
	__asm__ volatile(".option push\n\t.option norvc\n\tld t0, 0(%0)\n\t.option pop" : : "r"(arg) : "t0", "memory");
	guest_call(SUM, guest_state[0].n_traps);
	for (;;)
		;
}

/* ---- host ---- */

/* Memory, aligned to that size, in a mapping of its own. */
static void *memory(uint64_t size, uint64_t align, int flags)
{
	char *p = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), *a;

	if (p == MAP_FAILED)
		return p;
	a = (char *)(((uintptr_t)p + align - 1) & ~(align - 1));
	return mmap(a, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0);
}

static void *small_pages(uint64_t n)
{
	void *p = memory(n * PAGE, MEGA, 0);

	must(p == MAP_FAILED ? -1 : 0, "memory");
	madvise(p, n * PAGE, MADV_NOHUGEPAGE);
	return p;
}

/* So many are set aside; how many there were. What was set aside at boot may be there for once: Linux 5.10 can give back a page of 1 GiB, and not take one. */
static unsigned int huge_pages(const char *folder, unsigned int n)
{
	unsigned int before = 0;
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/%s/nr_hugepages", folder);
	f = fopen(path, "r+");
	if (!f)
		return 0;
	if (fscanf(f, "%u", &before) != 1)
		before = 0;
	rewind(f);
	fprintf(f, "%u\n", n);
	fclose(f);
	return before;
}

static void fill(void *memory, uint64_t pages, uint64_t seed)
{
	for (uint64_t i = 0; i < pages; i++)
		*(volatile uint64_t *)((char *)memory + i * PAGE) = seed + i;
}

static uint64_t sum(const void *memory, uint64_t pages)
{
	uint64_t s = 0;

	for (uint64_t i = 0; i < pages; i++)
		s += *(const volatile uint64_t *)((const char *)memory + i * PAGE);
	return s;
}

/* The guest goes on and finds this. */
static void finds(struct vcpu *v, const char *what, unsigned int op, uint64_t expected)
{
	uint64_t value;

	if (vcpu_expect(v, what, op, &value))
		check(value == expected, what, "the guest finds 0x%" PRIx64 ", should be 0x%" PRIx64, value, expected);
}

/* ---- pages of all sizes ---- */

static unsigned int n_dirty(struct vm *vm, uint64_t pages, uint64_t bitmap[])
{
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };
	unsigned int n = 0;

	memset(bitmap, 0, pages / 8);
	must(ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log), "KVM_GET_DIRTY_LOG");
	for (uint64_t i = 0; i < pages / 64; i++)
		n += (unsigned int)__builtin_popcountll(bitmap[i]);
	return n;
}

static bool writes(struct vcpu *v, const char *what, uint64_t pages)
{
	vcpu_enter(v, write_pages, pages);
	return vcpu_expect(v, what, SUM, NULL);
}

/* Of a slot of that size; the guest goes to its first PAGES pages alone. */
static void dirty_log(struct vm *vm, const char *what, void *area, uint64_t size)
{
	static uint64_t bitmap[GIGA / PAGE / 64];
	struct vcpu *v = &vm->vcpu[0];
	const uint64_t pages = size / PAGE, last = *(uint64_t *)((char *)area + size - 8);
	unsigned int n;

	if (!writes(v, what, PAGES))
		return;
	must(vm_set_slot(vm, 1, AREA, area, size, KVM_MEM_LOG_DIRTY_PAGES), "dirty log");
	n_dirty(vm, pages, bitmap);
	/* One page, which lay in a block: that page is dirty and no other, and the others are still as they were. */
	vcpu_enter(v, write_at, AREA + 5 * PAGE);
	if (vcpu_expect(v, what, WRITTEN, NULL)) {
		n = n_dirty(vm, pages, bitmap);
		check(n == 1 && bitmap[0] == 1 << 5, what, "%u pages are dirty, of the first 64: 0x%" PRIx64 "; page 5 should be", n, bitmap[0]);
		vcpu_enter(v, read_pages, PAGES);
		finds(v, what, SUM, sum(area, PAGES));
		vcpu_enter(v, read_at, AREA + size - 8);
		finds(v, what, READ, last);
		n = n_dirty(vm, pages, bitmap);
		check(!n, what, "%u pages are dirty, and were only read", n);
		if (writes(v, what, PAGES)) {
			n = n_dirty(vm, pages, bitmap);
			check(n == PAGES, what, "%u pages are dirty, should be %u", n, PAGES);
		}
	}
	/* No more is logged, and the guest goes on. */
	must(vm_set_slot(vm, 1, AREA, area, size, 0), "no dirty log");
	if (writes(v, what, PAGES))
		check(*(uint64_t *)((char *)area + 7 * PAGE) == 1000007, what, "the guest writes elsewhere: 0x%" PRIx64, *(uint64_t *)((char *)area + 7 * PAGE));
	vcpu_enter(v, read_at, AREA + size - 8);
	finds(v, what, READ, last);
}

static const struct kind {
	const char *name, *dirty, *folder;
	uint64_t size, align;
	int flags, advice;
} kinds[] = {
	{ "4k", "dirty-4k", NULL, PAGES * PAGE, PAGE, 0, MADV_NOHUGEPAGE },
	{ "4k-odd", "dirty-4k-odd", NULL, PAGES * PAGE, MEGA, 0, MADV_HUGEPAGE }, /* its host address lies otherwise within a block than the guest's */
	{ "thp", "dirty-thp", NULL, PAGES * PAGE, MEGA, 0, MADV_HUGEPAGE },
	{ "hugetlb-2m", "dirty-hugetlb-2m", "hugepages-2048kB", PAGES * PAGE, MEGA, MAP_HUGETLB, 0 },
	{ "hugetlb-1g", "dirty-hugetlb-1g", "hugepages-1048576kB", GIGA, GIGA, MAP_HUGETLB | MAP_HUGE_1GB, 0 },
};

static const struct kind odd_blocks = { "hugetlb-odd", "dirty-hugetlb-odd", "hugepages-2048kB", PAGES * PAGE, MEGA, MAP_HUGETLB, 0 };

static void one_kind(const struct kind *k)
{
	bool odd = strstr(k->name, "odd");
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];
	unsigned int set_aside = 0;
	char *all, *a;

	if (k->folder)
		set_aside = huge_pages(k->folder, (unsigned int)(k->size / (strstr(k->name, "1g") ? GIGA : MEGA)) + odd);
	all = memory(k->size + (odd ? MEGA : 0), k->align, k->flags);
	if (all == MAP_FAILED) {
		skip(k->name, "the host has no such pages: %s", strerror(errno));
		if (k->folder)
			huge_pages(k->folder, set_aside);
		return;
	}
	if (k->advice)
		madvise(all, k->size, k->advice);
	a = odd ? all + 3 * PAGE : all;
	vm_create(&vm, 1);
	/* AREA is aligned to 1 GiB. */
	must(vm_set_slot(&vm, 1, AREA, a, k->size, 0), "slot");
	fill(a, PAGES, 0x100);
	vcpu_enter(v, read_pages, PAGES);
	finds(v, k->name, SUM, sum(a, PAGES));
	fill(a, PAGES, 0x100000);
	finds(v, k->name, SUM, sum(a, PAGES));
	/* One page taken out of the block's middle, where the host can. */
	if (!(k->flags & MAP_HUGETLB)) {
		must(madvise(a + 9 * PAGE, PAGE, MADV_DONTNEED), "madvise");
		finds(v, k->name, SUM, sum(a, PAGES));
	}
	*(uint64_t *)(a + k->size - 8) = 0x1a57;
	vcpu_enter(v, read_at, AREA + k->size - 8);
	finds(v, k->name, READ, 0x1a57);
	must(vm_set_slot(&vm, 1, AREA, NULL, 0, 0), "slot");
	must(vm_set_slot(&vm, 1, AREA, a, k->size, 0), "slot");
	dirty_log(&vm, k->dirty, a, k->size);
	vm_destroy(&vm);
	munmap(all, k->size + (odd ? MEGA : 0));
	if (k->folder)
		huge_pages(k->folder, set_aside);
}

static void sizes(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		one_kind(&kinds[i]);
}

/* In a process of its own: a KVM that maps the wrong page keeps the guest from coming anywhere. */
static void sizes_odd(void)
{
	int status = 0;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child) {
		alarm(30);
		said_failures = 0;
		one_kind(&odd_blocks);
		_exit(finish());
	}
	waitpid(child, &status, 0);
	check(!status || WEXITSTATUS(status) == 77, odd_blocks.name, "the blocks of a slot whose host address is an odd one: status 0x%x", status);
}

/* ---- slots ---- */

static int set(struct vm *vm, uint32_t slot, uint64_t gpa, void *hva, uint64_t size, uint32_t flags)
{
	return vm_set_slot(vm, slot, gpa, hva, size, flags);
}

static void slots(void)
{
	char *a = small_pages(16), *b = small_pages(16);
	int bits, r;
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];
	uint64_t top, value;

	vm_create(&vm, 1);
	bits = ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_VM_GPA_BITS);
	top = UINT64_C(1) << bits;
	fill(a, 16, 0x1000);
	fill(b, 16, 0x2000);
	check(set(&vm, 1, AREA + 1, a, PAGE, 0) == -EINVAL, "slot-address", "an address within a page");
	check(set(&vm, 1, AREA, a + 1, PAGE, 0) == -EINVAL, "slot-host-address", "a host address within a page");
	check(set(&vm, 1, AREA, a, PAGE + 1, 0) == -EINVAL, "slot-size", "a part of a page");
	check(set(&vm, 1, AREA, a, PAGE, 1u << 31) == -EINVAL, "slot-flags", "flags that are none");
	check(set(&vm, 100000, AREA, a, PAGE, 0) == -EINVAL, "slot-number", "slot 100000");
	check(set(&vm, 1, RAM_BASE + PAGE, a, PAGE, 0) == -EEXIST, "slot-overlap", "memory on top of memory");
	check(set(&vm, 1, UINT64_MAX - PAGE + 1, a, 2 * PAGE, 0) == -EINVAL, "slot-wraps", "memory around the end of all addresses");
	check(set(&vm, 1, top, a, PAGE, 0) == -EFAULT, "slot-beyond", "memory behind the last address that a guest can have (%d bits)", bits);
	check(set(&vm, 1, top - PAGE, a, 2 * PAGE, 0) == -EFAULT, "slot-across", "memory across the last address that a guest can have (%d bits)", bits);
	/* Whether the very last page can be had, KVMs differ. */
	if (check(!set(&vm, 1, top - 2 * PAGE, a, PAGE, 0), "slot-last", "no memory at the end of what a guest can have (%d bits)", bits)) {
		vcpu_enter(v, read_at, top - 2 * PAGE);
		finds(v, "slot-last", READ, 0x1000);
		must(set(&vm, 1, 0, NULL, 0, 0), "slot");
	}
	/* Moved in the guest: what was there is MMIO, and there it is now. */
	must(set(&vm, 1, AREA, a, 16 * PAGE, 0), "slot");
	vcpu_enter(v, read_at, AREA);
	finds(v, "slot", READ, 0x1000);
	check(!set(&vm, 1, AREA + 32 * PAGE, a, 16 * PAGE, 0), "slot-moves", "it does not");
	check(vcpu_run(v, NULL) == RUN_OTHER && !errno && v->run->exit_reason == KVM_EXIT_MMIO && v->run->mmio.phys_addr == AREA, "slot-moved-from", "memory is still there");
	vcpu_enter(v, read_at, AREA + 32 * PAGE);
	finds(v, "slot-moved-to", READ, 0x1000);
	check(set(&vm, 1, AREA + 32 * PAGE, b, 16 * PAGE, 0) == -EINVAL, "slot-host-moves", "its host address can be another");
	check(set(&vm, 1, AREA + 32 * PAGE, a, 8 * PAGE, 0) == -EINVAL, "slot-resized", "its size can be another");
	check(set(&vm, 2, AREA + 47 * PAGE, b, PAGE, 0) == -EEXIST, "slot-overlaps-end", "memory on top of memory");
	must(set(&vm, 2, AREA + 48 * PAGE, b, 16 * PAGE, 0), "a slot behind");
	vcpu_enter(v, read_at, AREA + 48 * PAGE);
	finds(v, "slot-behind", READ, 0x2000);
	check(!set(&vm, 1, 0, NULL, 0, 0), "slot-goes", "it does not");
	vcpu_enter(v, read_at, AREA + 49 * PAGE);
	finds(v, "slot-other-stays", READ, 0x2001);
	/* Behind all: for the VMM, an error, or the guest's exception; but nothing to read. */
	vcpu_enter(v, try_at, top);
	value = 0;
	r = vcpu_run(v, &value);
	check(r == RUN_OTHER || (r == SUM && value == 1), "beyond", "a guest reads memory behind its last address");
	vm_destroy(&vm);
	munmap(a, 16 * PAGE);
	munmap(b, 16 * PAGE);
}

/* ---- what the host does with its memory ---- */

static void host_changes(void)
{
	char *a = small_pages(PAGES), *b = small_pages(PAGES);
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];
	int status = 0;
	pid_t child;

	vm_create(&vm, 1);
	must(set(&vm, 1, AREA, a, PAGES * PAGE, 0), "slot");

	/* Never written: zeroes, which are one page for all until it is written. */
	vcpu_enter(v, read_at, AREA);
	finds(v, "zero", READ, 0);
	vcpu_enter(v, write_at, AREA);
	must(vcpu_expect(v, "zero-written", WRITTEN, NULL) ? 0 : -1, "a guest that writes");
	check(*(uint64_t *)a == AREA && !*(uint64_t *)(a + PAGE), "zero-written", "the host reads 0x%" PRIx64 " and 0x%" PRIx64, *(uint64_t *)a, *(uint64_t *)(a + PAGE));
	vcpu_enter(v, read_at, AREA + PAGE);
	finds(v, "zero-others", READ, 0);

	/* A child shares all pages until one of both writes: the guest's writes are its VMM's alone. */
	fill(a, PAGES, 0x5000);
	vcpu_enter(v, write_pages, 8);
	must(vcpu_expect(v, "fork", SUM, NULL) ? 0 : -1, "a guest that writes");
	fill(a, PAGES, 0x5000);
	fflush(stdout);
	child = fork();
	if (!child) {
		usleep(200000);
		_exit(*(volatile uint64_t *)(a + 3 * PAGE) == 0x5003 ? 0 : 1);
	}
	must(vcpu_expect(v, "fork", SUM, NULL) ? 0 : -1, "a guest that writes");
	check(*(volatile uint64_t *)(a + 3 * PAGE) == 2000003, "fork-own", "what the guest writes does not come to its VMM: 0x%" PRIx64, *(uint64_t *)(a + 3 * PAGE));
	waitpid(child, &status, 0);
	check(!status, "fork-child", "what the guest writes comes to a child of its VMM");

	/* Write-protected: the guest's store does not come through; unprotected, it does. */
	fill(a, PAGES, 0x6000);
	vcpu_enter(v, read_pages, 16);
	finds(v, "protect", SUM, sum(a, 16));
	must(mprotect(a, 16 * PAGE, PROT_READ), "mprotect");
	finds(v, "protect-read", SUM, sum(a, 16));
	vcpu_enter(v, write_at, AREA + 2 * PAGE);
	check(vcpu_run(v, NULL) == RUN_OTHER && *(volatile uint64_t *)(a + 2 * PAGE) == 0x6002, "protect-write", "the guest writes memory that its VMM must not");
	must(mprotect(a, 16 * PAGE, PROT_READ | PROT_WRITE), "mprotect");
	vcpu_enter(v, write_at, AREA + 2 * PAGE);
	must(vcpu_expect(v, "unprotected", WRITTEN, NULL) ? 0 : -1, "a guest that writes");
	check(*(volatile uint64_t *)(a + 2 * PAGE) == AREA + 2 * PAGE, "unprotected", "the guest does not write");

	/* Other pages under the same host address: by mmap, and by mremap from elsewhere. */
	fill(a, PAGES, 0x7000);
	fill(b, PAGES, 0x8000);
	vcpu_enter(v, read_pages, PAGES);
	finds(v, "before-remap", SUM, sum(a, PAGES));
	must(mremap(b, MEGA, MEGA, MREMAP_MAYMOVE | MREMAP_FIXED, a) == MAP_FAILED ? -1 : 0, "mremap");
	finds(v, "mremap", SUM, sum(a, PAGES));
	must(mmap(a, MEGA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? -1 : 0, "mmap");
	finds(v, "mmap", SUM, sum(a, PAGES));

	/* Huge pages made of the small ones, and taken apart again, under the guest. */
	fill(a, PAGES, 0x9000);
	for (unsigned int round = 0; round < 4; round++) {
		madvise(a, PAGES * PAGE, round % 2 ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
		madvise(a, PAGES * PAGE, 25 /* MADV_COLLAPSE: newer kernels only */);
		finds(v, "collapse", SUM, sum(a, PAGES));
		must(madvise(a + (100 + round) * PAGE, PAGE, MADV_DONTNEED), "madvise");
		finds(v, "split", SUM, sum(a, PAGES));
	}
	/* No memory at all behind the slot. */
	must(munmap(a + MEGA, MEGA), "munmap");
	vcpu_enter(v, read_at, AREA + MEGA);
	check(vcpu_run(v, NULL) == RUN_OTHER && (errno == EFAULT || v->run->exit_reason == KVM_EXIT_MMIO), "munmap", "the guest reads memory that is gone: %s, exit %u",
	      strerror(errno), v->run->exit_reason);
	vcpu_enter(v, read_at, AREA + 5 * PAGE);
	finds(v, "munmap-others", READ, 0x9005);
	vm_destroy(&vm);
	munmap(a, MEGA);
	munmap(b + MEGA, MEGA);
}

/* A file's pages, shared with who else has it; a hole punched into it is gone for the guest. */
static void shared_file(void)
{
	int fd = memfd_create("guest", 0);
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];
	char *a, *b;

	if (fd < 0) {
		skip("memfd", "%s", strerror(errno));
		return;
	}
	must(ftruncate(fd, 64 * PAGE), "ftruncate");
	a = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	vm_create(&vm, 1);
	must(set(&vm, 1, AREA, a, 64 * PAGE, 0), "slot");
	fill(b, 64, 0x100);
	vcpu_enter(v, read_pages, 64);
	finds(v, "file", SUM, sum(b, 64));
	vcpu_enter(v, write_pages, 64);
	must(vcpu_expect(v, "file-written", SUM, NULL) ? 0 : -1, "a guest that writes");
	check(*(volatile uint64_t *)(b + 9 * PAGE) == 1000009, "file-written", "0x%" PRIx64, *(volatile uint64_t *)(b + 9 * PAGE));
	must(fallocate(fd, 1 | 2 /* keep the size, punch a hole */, 8 * (off_t)PAGE, 8 * (off_t)PAGE), "fallocate");
	vcpu_enter(v, read_pages, 64);
	finds(v, "file-hole", SUM, sum(b, 64));
	check(!*(volatile uint64_t *)(b + 9 * PAGE), "file-hole", "there is none");
	vm_destroy(&vm);
	munmap(a, 64 * PAGE);
	munmap(b, 64 * PAGE);
	close(fd);
}

/* Code in memory that the host exchanges. */
static void new_code(void)
{
	uint32_t *a = (uint32_t *)small_pages(2);
	struct vm vm;

	vm_create(&vm, 1);
	must(set(&vm, 1, AREA, a, 2 * PAGE, 0), "slot");
	a[1] = 0x00008067; /* ret */
	a[0] = 0x00100513; /* li a0, 1 */
	__builtin___clear_cache((char *)a, (char *)a + PAGE);
	vcpu_enter(&vm.vcpu[0], run_there, AREA);
	finds(&vm.vcpu[0], "code", READ, 1);
	must(madvise(a, PAGE, MADV_DONTNEED), "madvise");
	a[1] = 0x00008067;
	a[0] = 0x00200513;
	__builtin___clear_cache((char *)a, (char *)a + PAGE);
	finds(&vm.vcpu[0], "code-exchanged", READ, 2);
	vm_destroy(&vm);
	munmap(a, 2 * PAGE);
}

/* Each VM has its own memory at the same addresses, in turns on one hart. */
static void many_vms(void)
{
	enum { N = 12 };
	static struct vm vms[N];
	uint64_t *a[N], value;
	unsigned int wrong = 0;

	for (unsigned int i = 0; i < N; i++) {
		vm_create(&vms[i], 1);
		a[i] = (uint64_t *)small_pages(1);
		*a[i] = 0x700 + i;
		must(set(&vms[i], 1, AREA, a[i], PAGE, 0), "slot");
		vcpu_enter(&vms[i].vcpu[0], read_at, AREA);
	}
	for (unsigned int round = 0; round < 50; round++)
		for (unsigned int i = 0; i < N; i++)
			if (vcpu_expect(&vms[i].vcpu[0], "vms", READ, &value))
				wrong += value != 0x700 + i;
	check(!wrong, "vms", "%u times a guest found another one's memory", wrong);
	for (unsigned int i = 0; i < N; i++) {
		vm_destroy(&vms[i]);
		munmap(a[i], PAGE);
	}
}

int main(void)
{
	sizes();
	slots();
	host_changes();
	shared_file();
	new_code();
	many_vms();
	sizes_odd();
	return finish();
}
