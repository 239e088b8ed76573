// SPDX-License-Identifier: MIT
/*
 * What the host takes out of a guest's memory is gone for the guest at once, at 4 KiB and at block level: madvise, a punched hole, a deleted slot, dirty
 * logging that splits blocks. The guest never leaves by itself meanwhile, so that only the host's TLB invalidation tells it.
 * Where kprobes are, also the level that KVM gives to that invalidation.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include "machine.h"

#define AREA UINT64_C(0xc0000000)
#define PAGE UINT64_C(4096)
#define BLOCK (UINT64_C(2) << 20)
#define AREA_SIZE (2 * BLOCK)
#define SLOT 1
#define ROUNDS 50
#define PATIENCE 20000 /* ms for what should be at once: the emulated machine is slow */

static struct shared {
	volatile uint64_t seen, neighbour, writes, stop;
	volatile uint64_t gone, knows, stale; /* what must not be read any more; that the guest has heard of it; how often it was read all the same */
} shared;

/* ---- guest ---- */

static void reader(uint64_t at)
{
	while (!shared.stop) {
		uint64_t gone = __atomic_load_n(&shared.gone, __ATOMIC_ACQUIRE), v = *(volatile uint64_t *)at;

		shared.stale += gone && v == gone;
		shared.seen = v;
		shared.neighbour = *(volatile uint64_t *)(at + PAGE);
		__atomic_store_n(&shared.knows, gone, __ATOMIC_RELEASE);
	}
	for (;;)
		guest_call(0, 0);
}

/* Two pages of the area, again and again. */
static void writer(uint64_t at)
{
	uint64_t n = 0;

	while (!shared.stop) {
		*(volatile uint64_t *)at = ++n;
		*(volatile uint64_t *)(at + 5 * PAGE) = n;
		shared.writes = n;
	}
	for (;;)
		guest_call(0, 0);
}

/* ---- host ---- */

enum kind { PAGES, THP, HUGETLB, KINDS };
static const char *const kind_name[KINDS] = { [PAGES] = "4k", [THP] = "thp", [HUGETLB] = "hugetlb" };

struct area {
	enum kind kind;
	char *memory;
	int fd; /* of a hugetlb file */
	struct vm vm;
	struct shared *shared;
	uint64_t mmio_exits;
};

/* KiB of transparent huge pages behind an address. */
static unsigned long huge_kib(const void *p)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long from = 0, to = 0, kib = 0, a, b, n;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &a, &b) == 2) {
			from = a;
			to = b;
		}
		if ((uintptr_t)p >= from && (uintptr_t)p < to && sscanf(line, "AnonHugePages: %lu kB", &n) == 1)
			kib = n;
	}
	if (f)
		fclose(f);
	return kib;
}

/* False: said why not. */
static bool get_memory(struct area *a, const char *what)
{
	a->fd = -1;
	if (a->kind == HUGETLB) {
		write_file("/proc/sys/vm/nr_hugepages", "8");
		a->fd = memfd_create("area", MFD_CLOEXEC | MFD_HUGETLB);
		if (a->fd >= 0 && !ftruncate(a->fd, (off_t)AREA_SIZE))
			a->memory = mmap(NULL, AREA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, a->fd, 0);
		if (a->fd < 0 || a->memory == MAP_FAILED || !a->memory) {
			skip(what, "no huge pages: %s", strerror(errno));
			return false;
		}
		return true;
	}
	a->memory = mmap(NULL, AREA_SIZE + BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(a->memory == MAP_FAILED ? -1 : 0, "memory");
	a->memory = (char *)(((uintptr_t)a->memory + BLOCK - 1) & ~(BLOCK - 1));
	madvise(a->memory, AREA_SIZE, a->kind == THP ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	memset(a->memory, 0x11, AREA_SIZE);
	if (a->kind == THP && huge_kib(a->memory) < AREA_SIZE / 1024) {
		skip(what, "the host gave no transparent huge pages");
		return false;
	}
	return true;
}

/* Reads from where no memory is any more. */
static bool on_other(struct vcpu *v)
{
	struct area *a = (struct area *)((char *)v->vm - offsetof(struct area, vm));

	if (v->run->exit_reason != KVM_EXIT_MMIO || v->run->mmio.is_write || v->run->mmio.phys_addr < AREA || v->run->mmio.phys_addr >= AREA + AREA_SIZE)
		return false;
	memset(v->run->mmio.data, 0x77, sizeof(v->run->mmio.data));
	__atomic_fetch_add(&a->mmio_exits, 1, __ATOMIC_RELEASE);
	return true;
}

static void on_call(struct vcpu *v, unsigned int op, uint64_t value)
{
	usleep(1000);
}

static bool begin(struct area *a, enum kind kind, const char *what, void (*guest)(uint64_t), uint64_t at)
{
	*a = (struct area){ .kind = kind };
	if (!get_memory(a, what))
		return false;
	vm_create(&a->vm, 1, 0);
	a->shared = guest_of(&a->vm, &shared);
	must(vm_set_slot(&a->vm, SLOT, AREA, a->memory, AREA_SIZE, 0), "KVM_SET_USER_MEMORY_REGION");
	vcpu_enter(&a->vm.vcpu[0], guest, at);
	a->vm.vcpu[0].other = on_other;
	return true;
}

static void end(struct area *a)
{
	a->shared->stop = 1;
	vcpu_stop(&a->vm.vcpu[0]);
	vm_destroy(&a->vm);
	munmap(a->memory, AREA_SIZE);
	if (a->fd >= 0)
		close(a->fd);
}

static void set_word(struct area *a, uint64_t offset, uint64_t value)
{
	__atomic_store_n((uint64_t *)(a->memory + offset), value, __ATOMIC_RELEASE);
}

#define OLD UINT64_C(0x1010101010101010)
#define NEW UINT64_C(0x2020202020202020)
#define NEAR UINT64_C(0x3030303030303030)

static void name(char *buf, size_t len, const char *what, enum kind kind)
{
	snprintf(buf, len, "%s-%s", what, kind_name[kind]);
}

/* `len` bytes at the start of the second block are dropped while the guest reads the first word of them, again and again. */
static void unmap(enum kind kind, const char *how, uint64_t len)
{
	struct area a;
	char what[64];
	bool kept;

	name(what, sizeof(what), how, kind);
	if (!begin(&a, kind, what, reader, AREA + BLOCK))
		return;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		set_word(&a, BLOCK, OLD + round);
		set_word(&a, BLOCK + PAGE, NEAR);
		if (!round)
			vcpu_start(&a.vm.vcpu[0], 1, on_call);
		if (!wait_for(&a.shared->seen, OLD + round, PATIENCE)) {
			fail(what, "round %u: the guest does not read what the host wrote", round);
			goto out;
		}
		if (kind == HUGETLB)
			must(fallocate(a.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)BLOCK, (off_t)len), "fallocate");
		else
			must(madvise(a.memory + BLOCK, len, MADV_DONTNEED), "madvise");
		/* Not a matter of time: an emulated CPU forgets its TLB at the next exit, and the stale entry must be caught before. */
		__atomic_store_n(&a.shared->gone, OLD + round, __ATOMIC_RELEASE);
		if (!wait_for(&a.shared->knows, OLD + round, PATIENCE) || a.shared->stale) {
			fail(what, "round %u: %" PRIu64 " times the guest read what was taken away before", round, a.shared->stale);
			goto out;
		}
		set_word(&a, BLOCK, NEW + round);
		if (!wait_for(&a.shared->seen, NEW + round, PATIENCE)) {
			fail(what, "round %u: the guest still reads 0x%" PRIx64 " from memory that was taken away", round, a.shared->seen);
			goto out;
		}
	}
	kept = len > PAGE || wait_for(&a.shared->neighbour, NEAR, PATIENCE);
	check(kept, what, "the page beside it is lost");
out:
	end(&a);
}

static void delete_slot(enum kind kind)
{
	struct area a;
	char what[64];
	uint64_t until;

	name(what, sizeof(what), "slot", kind);
	if (!begin(&a, kind, what, reader, AREA + BLOCK))
		return;
	set_word(&a, BLOCK, OLD);
	vcpu_start(&a.vm.vcpu[0], 1, on_call);
	if (!wait_for(&a.shared->seen, OLD, PATIENCE)) {
		fail(what, "the guest does not read what the host wrote");
		goto out;
	}
	must(vm_set_slot(&a.vm, SLOT, AREA, NULL, 0, 0), "deleting a slot");
	for (until = now_ns() + PATIENCE * UINT64_C(1000000); !__atomic_load_n(&a.mmio_exits, __ATOMIC_ACQUIRE) && now_ns() < until;)
		;
	if (!check(a.mmio_exits, what, "the guest still reads 0x%" PRIx64 " where no memory is", a.shared->seen))
		goto out;
	name(what, sizeof(what), "slot-again", kind);
	set_word(&a, BLOCK, NEW);
	must(vm_set_slot(&a.vm, SLOT, AREA, a.memory, AREA_SIZE, 0), "making a slot");
	check(wait_for(&a.shared->seen, NEW, PATIENCE), what, "the guest reads 0x%" PRIx64 " from the new slot", a.shared->seen);
out:
	end(&a);
}

static bool dirty_log(struct area *a, uint64_t *bits)
{
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bits };

	return !ioctl(a->vm.fd, KVM_GET_DIRTY_LOG, &log);
}

static bool wait_writes(struct area *a, uint64_t more)
{
	uint64_t want = a->shared->writes + more, until = now_ns() + PATIENCE * UINT64_C(1000000);

	while (a->shared->writes < want)
		if (now_ns() > until)
			return false;
	return true;
}

#define N_PAGES (AREA_SIZE / PAGE)
#define IS_SET(bits, page) ((bits)[(page) / 64] >> (page) % 64 & 1)

/* Blocks are split, each written page is in the log, and no other; after each look they are read-only again, and the next write is seen. */
static void dirty_logging(enum kind kind)
{
	const unsigned int page = BLOCK / PAGE + 7;
	uint64_t bits[N_PAGES / 64];
	unsigned int lost = 0, others = 0;
	struct area a;
	char what[64];

	name(what, sizeof(what), "dirty", kind);
	if (!begin(&a, kind, what, writer, AREA + page * PAGE))
		return;
	set_word(&a, BLOCK + 9 * PAGE, NEAR);
	vcpu_start(&a.vm.vcpu[0], 1, on_call);
	if (!wait_writes(&a, 10)) {
		fail(what, "the guest does not run");
		goto out;
	}
	must(vm_set_slot(&a.vm, SLOT, AREA, a.memory, AREA_SIZE, KVM_MEM_LOG_DIRTY_PAGES), "dirty logging");
	for (unsigned int round = 0; round < 20; round++) {
		if (!wait_writes(&a, 2)) {
			fail(what, "the guest does not go on");
			goto out;
		}
		must(dirty_log(&a, bits) ? 0 : -1, "KVM_GET_DIRTY_LOG");
		lost += !IS_SET(bits, page) + !IS_SET(bits, page + 5);
		for (unsigned int i = 0; i < N_PAGES; i++)
			others += i != page && i != page + 5 && IS_SET(bits, i);
	}
	check(!lost && !others, what, "of 40 pages written %u are not in the log, %u that were not written are", lost, others);
	name(what, sizeof(what), "dirty-data", kind);
	check(*(uint64_t *)(a.memory + BLOCK + 9 * PAGE) == NEAR, what, "a split block has lost its contents");
	name(what, sizeof(what), "dirty-off", kind);
	must(vm_set_slot(&a.vm, SLOT, AREA, a.memory, AREA_SIZE, 0), "dirty logging off");
	check(wait_writes(&a, 1000), what, "the guest does not go on");
out:
	end(&a);
}

/* ---- the level, by kprobes ---- */

#define TRACING "/sys/kernel/tracing/"

static bool probe(void)
{
	mount("none", TRACING, "tracefs", 0, NULL);
	write_file(TRACING "events/kprobes/enable", "0");
	write_file(TRACING "kprobe_events", "");
	return write_file(TRACING "kprobe_events", "p:lkvm_all __kvm_tlb_flush_vmid_ipa ipa=$arg2:x64 level=$arg3:s32\n"
						   "p:lkvm_nsh __kvm_tlb_flush_vmid_ipa_nsh ipa=$arg2:x64 level=$arg3:s32\n") &&
	       write_file(TRACING "trace", "") && write_file(TRACING "events/kprobes/enable", "1");
}

/* Flushes of addresses in the area: how many at each level (4: other ones). */
static void read_probe(unsigned int levels[5])
{
	FILE *f = fopen(TRACING "trace", "re");
	char line[512];

	memset(levels, 0, 5 * sizeof(*levels));
	while (f && fgets(line, sizeof(line), f)) {
		const char *p = strstr(line, " ipa=");
		unsigned long ipa;
		int level;

		if (p && sscanf(p, " ipa=0x%lx level=%d", &ipa, &level) == 2 && ipa >= AREA && ipa < AREA + AREA_SIZE)
			levels[level >= 0 && level <= 3 ? level : 4]++;
	}
	if (f)
		fclose(f);
}

/* Splitting a block invalidates at level 2, pages at 3; never a level that the entry had not. */
static void levels_of(enum kind kind)
{
	const unsigned int right = kind == PAGES ? 3 : 2;
	unsigned int n[5];
	struct area a;
	char what[64];

	name(what, sizeof(what), "level", kind);
	if (!probe()) {
		skip(what, "no kprobes for __kvm_tlb_flush_vmid_ipa in this kernel");
		return;
	}
	if (!begin(&a, kind, what, writer, AREA + BLOCK))
		return;
	vcpu_start(&a.vm.vcpu[0], 1, on_call);
	wait_writes(&a, 10);
	must(vm_set_slot(&a.vm, SLOT, AREA, a.memory, AREA_SIZE, KVM_MEM_LOG_DIRTY_PAGES), "dirty logging");
	wait_writes(&a, 10);
	end(&a);
	read_probe(n);
	write_file(TRACING "events/kprobes/enable", "0");
	write_file(TRACING "kprobe_events", "");
	if (!n[0] && !n[1] && !n[2] && !n[3] && !n[4])
		skip(what, "no such invalidation was seen: it is not the kernel proper that does it (nVHE)");
	else
		check(n[right] && !n[0] && !n[1] && !n[4] && (right == 3 ? !n[2] : true), what,
		      "invalidations at levels 0 to 3 and others: %u %u %u %u %u, should be at level %u", n[0], n[1], n[2], n[3], n[4], right);
}

int main(void)
{
	/* The guest runs beside, on the other CPU if there is one. */
	pin(0);
	for (enum kind k = PAGES; k < KINDS; k++) {
		if (k != HUGETLB)
			unmap(k, "unmap-page", PAGE);
		unmap(k, "unmap-block", BLOCK);
		delete_slot(k);
		dirty_logging(k);
		levels_of(k);
	}
	return finish();
}
