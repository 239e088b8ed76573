// SPDX-License-Identifier: MIT
/*
 * Virtual machine identifiers (hgatp.VMID): each VM has one of its own, none has more bits than it was told, and when they are used up they are given anew, after
 * each hart has forgotten what it knew by the old ones. Seen by trace events, since emulators that forget more than they must do not show who is confused.
 */
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "machine.h"

#define TRACING "/sys/kernel/tracing/"
#define PARAMETER "/sys/module/kvm/parameters/vmid_bits"
#define VMS 7
#define ROUNDS 40

#define HGATP_MODE(hgatp) ((unsigned int)((hgatp) >> 60))
#define HGATP_VMID(hgatp) ((unsigned int)((hgatp) >> 44 & 0x3fff))
#define HGATP_PPN(hgatp) ((hgatp) & 0xfffffffffff)

/* ---- guest ---- */

static void caller(uint64_t arg)
{
	for (;;)
		guest_call(0, arg);
}

static void spinner(uint64_t arg)
{
	guest_call(1, 0);
	for (;;)
		;
}

/* ---- host ---- */

/* The module again, with so many bits; negative: with all that there are. KVM_MODULE says where it is, if not where it was installed. */
static void reload(int bits)
{
	const char *file = getenv("KVM_MODULE");
	char words[32] = "", installed[256];
	struct utsname name;
	int fd;

	uname(&name);
	snprintf(installed, sizeof(installed), "/lib/modules/%s/kernel/arch/riscv/kvm/kvm.ko", name.release);
	fd = (int)must(open(file ? file : installed, O_RDONLY | O_CLOEXEC), file ? file : installed);
	if (bits >= 0)
		snprintf(words, sizeof(words), "vmid_bits=%d", bits);
	must(syscall(SYS_delete_module, "kvm", O_NONBLOCK), "unloading KVM");
	must(syscall(SYS_finit_module, fd, words, 0), "loading KVM");
	close(fd);
}

static void trace(bool on)
{
	if (on)
		write_file(TRACING "trace", "");
	write_file(TRACING "events/kvm/kvm_entry/enable", on ? "1" : "0");
	write_file(TRACING "events/kvm/kvm_vmid_forget/enable", on ? "1" : "0");
}

/* What was seen of one width. */
static struct seen {
	unsigned int bits;
	uint64_t owner[1 << 14], ppn[VMS + 1]; /* who has a number, by the root of its tables */
	unsigned int given[1 << 14]; /* when: gifts are counted */
	unsigned int vms, gifts, entries, taken, wide, early, unheard;
	unsigned int modes; /* of hgatp, a bit for each */
	uint64_t generation, heard; /* the harts that have forgotten all of them, last */
} seen;

static uint64_t online; /* harts */

static void entered(struct seen *s, uint64_t hgatp)
{
	const unsigned int vmid = HGATP_VMID(hgatp);
	const uint64_t ppn = HGATP_PPN(hgatp);
	unsigned int i;

	s->entries++;
	s->modes |= 1u << HGATP_MODE(hgatp);
	for (i = 0; i < s->vms && s->ppn[i] != ppn; i++)
		;
	if (i == s->vms && s->vms <= VMS)
		s->ppn[s->vms++] = ppn;
	if (vmid >> s->bits) {
		s->wide++;
		return;
	}
	if (!s->bits || s->owner[vmid] == ppn)
		return;
	if (s->owner[vmid]) {
		/* It was another's: then all others were given, too, and every hart has forgotten what it knew. */
		s->taken++;
		s->early += s->gifts - s->given[vmid] < 1u << s->bits;
		s->unheard += s->heard != online;
	}
	s->owner[vmid] = ppn;
	s->given[vmid] = s->gifts++;
}

static void read_trace(struct seen *s)
{
	static const char enter[] = "HGATP: ", forget[] = "kvm_vmid_forget: GENERATION: ";
	FILE *f = fopen(TRACING "trace", "re");
	char line[512];

	must(f ? 0 : -1, TRACING "trace");
	while (fgets(line, sizeof(line), f)) {
		const char *cpu = strchr(line, '['), *at = strstr(line, enter);

		if (at) {
			entered(s, strtoull(at + strlen(enter), NULL, 16));
		} else if ((at = strstr(line, forget)) && cpu) {
			const uint64_t generation = strtoull(at + strlen(forget), NULL, 10);

			if (generation != s->generation)
				s->heard = 0;
			s->generation = generation;
			s->heard |= UINT64_C(1) << strtoul(cpu + 1, NULL, 10);
		}
	}
	fclose(f);
}

static volatile uint64_t spins;

static void called(struct vcpu *v, unsigned int op, uint64_t value)
{
	__atomic_store_n(&spins, 1, __ATOMIC_RELEASE);
}

/*
 * VMs that run in turn on one hart; with a `neighbour`, one more is in its guest on another hart all the time. bits: negative for all that there are.
 */
static void in_turn(int bits, bool neighbour)
{
	static struct vm vm[VMS + 1];
	const unsigned int n = VMS + neighbour;
	char name[32], what[64], text[16] = "";
	struct seen *s = &seen;
	unsigned int mode;
	int fd;

	reload(bits);
	fd = (int)must(open(PARAMETER, O_RDONLY | O_CLOEXEC), PARAMETER);
	must(read(fd, text, sizeof(text) - 1), PARAMETER);
	close(fd);
	*s = (struct seen){ .bits = (unsigned int)atoi(text) };
	snprintf(name, sizeof(name), "%u%s", s->bits, neighbour ? "-neighbour" : "");
#define NAME(x) (snprintf(what, sizeof(what), "%s-%s", x, name), what)
	check(bits < 0 || s->bits == (unsigned int)bits, NAME("bits"), "there are %u", s->bits);
	for (unsigned int i = 0; i < n; i++) {
		vm_create(&vm[i], 1);
		vcpu_enter(&vm[i].vcpu[0], i < VMS ? caller : spinner, i);
	}
	trace(true);
	if (neighbour) {
		spins = 0;
		vcpu_start(&vm[VMS].vcpu[0], 1, called);
		check(wait_for(&spins, 1, 20000), NAME("spins"), "the neighbour does not come to its guest");
	}
	for (unsigned int round = 0; round < ROUNDS; round++)
		for (unsigned int i = 0; i < VMS; i++) {
			uint64_t value = ~UINT64_C(0);

			if (!vcpu_expect(&vm[i].vcpu[0], NAME("runs"), 0, &value) || value != i) {
				check(value == i, NAME("others"), "VM %u says that it is %" PRIu64, i, value);
				round = ROUNDS;
				break;
			}
		}
	if (neighbour)
		vcpu_stop(&vm[VMS].vcpu[0]);
	trace(false);
	read_trace(s);
	/* Sv39x4 is mode 8 and has 41 bits, each further level has nine more. */
	mode = 8 + ((unsigned int)ioctl(vm[0].fd, KVM_CHECK_EXTENSION, KVM_CAP_VM_GPA_BITS) - 41) / 9;
	for (unsigned int i = 0; i < n; i++)
		vm_destroy(&vm[i]);
	check(s->entries >= ROUNDS * VMS && s->vms == n, NAME("entries"), "%u entries of %u VMs were seen", s->entries, s->vms);
	check(s->modes == 1u << mode, NAME("mode"), "modes 0x%x of hgatp were seen, it should be %u by the width of addresses", s->modes, mode);
	check(!s->wide, NAME("width"), "%u of %u entries with more than %u bits", s->wide, s->entries, s->bits);
	if (!s->bits)
		return;
	if (1u << s->bits >= n) {
		check(!s->taken, NAME("kept"), "%u times a number was given that was in use, though there are %u", s->taken, 1u << s->bits);
		return;
	}
	check(s->taken >= ROUNDS, NAME("given-again"), "%u times", s->taken);
	/* A number may be given and taken back before its VM enters, where another hart wants some, too. */
	if (!neighbour)
		check(!s->early, NAME("turn"), "%u of %u times a number changed its VM before the others were given", s->early, s->taken);
	check(!s->unheard, NAME("forgotten"), "%u of %u times a number changed its VM and not all harts had forgotten it", s->unheard, s->taken);
}

int main(void)
{
	if (access(PARAMETER, F_OK) < 0) {
		skip("vmid", "this KVM uses as many VMIDs as the hart has, and cannot be told a smaller number");
		return 77;
	}
	mount("none", TRACING, "tracefs", 0, NULL);
	if (access(TRACING "events/kvm/kvm_vmid_forget", F_OK) < 0) {
		skip("vmid", "this kernel has no trace events that tell");
		return 77;
	}
	online = (UINT64_C(1) << sysconf(_SC_NPROCESSORS_ONLN)) - 1;
	pin(0);
	for (int bits = 0; bits <= 3; bits++)
		in_turn(bits, false);
	for (int bits = 1; bits <= 2 && online > 1; bits++)
		in_turn(bits, true);
	in_turn(-1, false);
	return finish();
}
