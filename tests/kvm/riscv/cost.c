// SPDX-License-Identifier: MIT
/*
 * What KVM's own work costs: nanoseconds each, which on a host whose clock counts instructions are instructions of the whole host. The VMM is this program and
 * does nothing but enter the guest again. Prints "NAME VALUE" lines; tools/bench makes a table of them.
 */
#include "machine.h"

#define MMIO UINT64_C(0x20000000)
#define AREA UINT64_C(0x80000000)
#define PAGE UINT64_C(4096)
#define BLOCK (PAGE << 9)
#define CALLS 2000
#define TIMERS 500
#define IPIS 500
#define PAGES 2048
#define BLOCKS 16
#define PATIENCE 60000 /* ms */

enum { START, END };

static struct shared {
	volatile uint64_t fired, late, turn, again;
} shared;

/* ---- guest ---- */

#define MEASURED(n, body)                      \
	do {                                   \
		guest_call(START, 0);          \
		for (uint64_t i = 0; i < n; i++) \
			body;                  \
		guest_call(END, 0);            \
		for (;;)                       \
			;                      \
	} while (0)

static void null_calls(uint64_t n)
{
	MEASURED(n, guest_sbi(SBI_BASE, 0, 0, 0, 0));
}

static void writes(uint64_t n)
{
	MEASURED(n, guest_write32(MMIO, 0));
}

static void reads(uint64_t n)
{
	MEASURED(n, guest_read32(MMIO));
}

static void touch_pages(uint64_t n)
{
	MEASURED(n, *(volatile uint64_t *)(AREA + i * PAGE));
}

static void touch_blocks(uint64_t n)
{
	MEASURED(n, *(volatile uint64_t *)(AREA + i * BLOCK));
}

static void on_irq(uint64_t cause)
{
	if (cause == 5) {
		shared.late += csr_read(time) - shared.turn;
		guest_sbi(SBI_TIME, 0, UINT64_MAX, 0, 0);
	} else {
		csr_clear(sip, SIP_SSIP);
	}
	shared.fired++;
}

/* A KVM that loses a deadline (see kvm-wake) is asked again, and the time of that one does not count. */
static void timer_at(uint64_t i, uint64_t at, bool asleep)
{
	uint64_t lost;

	shared.turn = at;
	guest_sbi(SBI_TIME, 0, at, 0, 0);
	while (shared.fired <= i) {
		if (asleep)
			__asm__ volatile("wfi" : : : "memory");
		guest_irqs_on();
		lost = csr_read(time) + 100000;
		while (shared.fired <= i && csr_read(time) < lost)
			;
		if (shared.fired <= i) {
			shared.again++;
			guest_sbi(SBI_TIME, 0, 0, 0, 0);
			shared.turn = csr_read(time);
		}
	}
	guest_irqs_off();
}

/* Each expires once: set, taken, set to never. */
static void timers(uint64_t n)
{
	guest_irq = on_irq;
	csr_set(sie, SIP_STIP);
	MEASURED(n, timer_at(i, 0, false));
}

/* Asleep until it comes: how long after its time the handler runs. */
static void late_timers(uint64_t n)
{
	guest_irq = on_irq;
	csr_set(sie, SIP_STIP);
	guest_call(START, 0);
	for (uint64_t i = 0; i < n; i++)
		timer_at(i, csr_read(time) + 20000, true);
	guest_call(END, shared.late);
	for (;;)
		;
}

/* Hart 0 and hart 1 wake each other: the one whose turn it is gives it to the other, and sleeps. */
static void ping_pong(uint64_t n)
{
	uint64_t me = guest_index();

	guest_irq = on_irq;
	csr_set(sie, SIP_SSIP);
	guest_irqs_on();
	if (!me)
		guest_call(START, 0);
	for (uint64_t i = 0; i < n; i++) {
		guest_irqs_off();
		while (shared.turn % 2 != me) {
			__asm__ volatile("wfi" : : : "memory");
			guest_irqs_on();
			__asm__ volatile("nop");
			guest_irqs_off();
		}
		guest_irqs_on();
		shared.turn++;
		guest_sbi(SBI_IPI, 0, UINT64_C(1) << !me, 0, 0);
	}
	if (me)
		guest_call(END, 0);
	for (;;)
		__asm__ volatile("wfi" : : : "memory");
}

static void without_fp(uint64_t n)
{
	csr_clear(sstatus, 3 << 13);
	MEASURED(n, guest_write32(MMIO, 0));
}

static void with_fp(uint64_t n)
{
	MEASURED(n, ({
			 __asm__ volatile("fmv.d.x f0, %0" : : "r"(i));
			 guest_write32(MMIO, 0);
		 }));
}

/* ---- host ---- */

static void result(const char *name, uint64_t total, uint64_t n)
{
	printf("%s %" PRIu64 "\n", name, (total + n / 2) / n);
	fflush(stdout);
}

/* Enters it again and again, until it calls. */
static uint64_t until(struct vcpu *v, unsigned int op, uint64_t *ret_value)
{
	uint64_t value = 0;

	do {
		if (ioctl(v->fd, KVM_RUN, 0) < 0 || v->run->exit_reason != KVM_EXIT_MMIO) {
			fail("run", "exit reason %u, %s", v->run->exit_reason, strerror(errno));
			exit(1);
		}
	} while (v->run->mmio.phys_addr != CALL_BASE + 8 * op);
	memcpy(&value, v->run->mmio.data, sizeof(value));
	if (ret_value)
		*ret_value = value;
	return now_ns();
}

static uint64_t measured(struct vcpu *v, uint64_t *ret_value)
{
	uint64_t start = until(v, START, NULL);

	return until(v, END, ret_value) - start;
}

static void simple(const char *name, void (*fn)(uint64_t n), uint64_t n)
{
	struct vm vm;

	vm_create(&vm, 1);
	vcpu_enter(&vm.vcpu[0], fn, n);
	result(name, measured(&vm.vcpu[0], NULL), n);
	vm_destroy(&vm);
}

/* The host has the memory already; what remains is the guest's page table. */
static void faults(const char *name, void (*fn)(uint64_t n), uint64_t n, uint64_t size, int flags)
{
	char *a = mmap(NULL, n * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	struct vm vm;

	if (a == MAP_FAILED) {
		skip(name, "the host has no such pages: %s", strerror(errno));
		return;
	}
	madvise(a, n * size, MADV_NOHUGEPAGE);
	for (uint64_t i = 0; i < n; i++)
		a[i * size] = 1;
	vm_create(&vm, 1);
	must(vm_set_slot(&vm, 1, AREA, a, n * size, 0), "slot");
	vcpu_enter(&vm.vcpu[0], fn, n);
	result(name, measured(&vm.vcpu[0], NULL), n);
	vm_destroy(&vm);
	munmap(a, n * size);
}

static void small_faults(void)
{
	faults("fault-4k", touch_pages, PAGES, PAGE, 0);
}

static void huge_faults(void)
{
	FILE *f = fopen("/proc/sys/vm/nr_hugepages", "w");

	if (f) {
		fprintf(f, "%u\n", BLOCKS);
		fclose(f);
	}
	faults("fault-2m", touch_blocks, BLOCKS, BLOCK, MAP_HUGETLB);
}

static void late(void)
{
	uint64_t frequency, ticks;
	struct vm vm;

	vm_create(&vm, 1);
	frequency = reg_get(&vm.vcpu[0], KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_TIMER | KVM_REG_RISCV_TIMER_REG(frequency));
	vcpu_enter(&vm.vcpu[0], late_timers, TIMERS);
	measured(&vm.vcpu[0], &ticks);
	result("timer-asleep", ticks * (UINT64_C(1000000000) / frequency), TIMERS);
	vm_destroy(&vm);
}

static volatile uint64_t started, ended, over;

static void on_call(struct vcpu *v, unsigned int op, uint64_t value)
{
	*(op == START ? &started : &ended) = now_ns();
	if (op == END)
		__atomic_store_n(&over, 1, __ATOMIC_RELEASE);
}

static void ipis(void)
{
	struct vm vm;
	bool done;

	vm_create(&vm, 2);
	for (unsigned int i = 2; i-- > 0;) {
		vcpu_enter(&vm.vcpu[i], ping_pong, IPIS);
		vcpu_start(&vm.vcpu[i], -1, on_call);
	}
	for (uint64_t end = now_ns() + PATIENCE * UINT64_C(1000000); !(done = over) && now_ns() < end;)
		usleep(10000);
	for (unsigned int i = 0; i < 2; i++)
		vcpu_stop(&vm.vcpu[i]);
	if (done)
		result("ipi", ended - started, 2 * IPIS);
	else
		fail("ipi", "no end in %u ms", PATIENCE);
	vm_destroy(&vm);
}

/* Two guests, which one thread enters in turns. */
static void switches(const char *name, void (*fn)(uint64_t n))
{
	struct vm vm[2];
	uint64_t start;

	for (unsigned int i = 0; i < 2; i++) {
		vm_create(&vm[i], 1);
		vcpu_enter(&vm[i].vcpu[0], fn, CALLS);
		until(&vm[i].vcpu[0], START, NULL);
	}
	start = now_ns();
	for (unsigned int i = 0; i < CALLS; i++)
		for (unsigned int k = 0; k < 2; k++)
			ioctl(vm[k].vcpu[0].fd, KVM_RUN, 0);
	start = now_ns() - start;
	for (unsigned int i = 0; i < 2; i++) {
		until(&vm[i].vcpu[0], END, NULL);
		vm_destroy(&vm[i]);
	}
	result(name, start, 2 * CALLS);
}

static void switches_without_fp(void)
{
	switches("switch", without_fp);
}

static void switches_with_fp(void)
{
	switches("switch-fp", with_fp);
}

int main(int argc, char *argv[])
{
	static const struct {
		const char *name;
		void (*guest)(uint64_t n);
		uint64_t n;
		void (*host)(void);
	} figures[] = {
		{ "sbi", null_calls, CALLS, NULL },   { "mmio-write", writes, CALLS, NULL }, { "mmio-read", reads, CALLS, NULL },    { "fault-4k", NULL, 0, small_faults },
		{ "fault-2m", NULL, 0, huge_faults }, { "timer", timers, TIMERS, NULL },     { "timer-asleep", NULL, 0, late },	     { "ipi", NULL, 0, ipis },
		{ "switch", NULL, 0, switches_without_fp }, { "switch-fp", NULL, 0, switches_with_fp },
	};

	/* All, or those named. */
	for (unsigned int i = 0; i < ARRAY_SIZE(figures); i++) {
		bool wanted = argc < 2;

		for (int k = 1; k < argc; k++)
			wanted |= !strcmp(argv[k], figures[i].name);
		if (!wanted)
			continue;
		if (figures[i].host)
			figures[i].host();
		else
			simple(figures[i].name, figures[i].guest, figures[i].n);
	}
	return said_failures != 0;
}
