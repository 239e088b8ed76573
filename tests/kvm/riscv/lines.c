// SPDX-License-Identifier: MIT
/*
 * What KVM's PLIC does where a vCPU has just left the guest: loads and stores of each kind, and the interrupts that change meanwhile. And the level inputs as memory that
 * is shared: what is told, and what is found without.
 */
#include <sys/mman.h>

#include "machine.h"

#define SOURCES 100
#define PATIENCE 60000 /* ms */
#define SEIP_BEFORE (UINT64_C(1) << 32)
#define SEIP_AFTER (UINT64_C(1) << 33)

static struct shared {
	volatile uint64_t ready, ipis, reads, stop;
} shared;

/* ---- guest ---- */

static void accesses(uint64_t arg)
{
	uint64_t enable = PLIC_ENABLE(S_CONTEXT(0), 0), threshold = PLIC_THRESHOLD(S_CONTEXT(0)), claim = PLIC_CLAIM(S_CONTEXT(0)), v;
	register uint64_t at __asm__("s1");
	register uint64_t x __asm__("s0");

	guest_write32(PLIC_PRIORITY(3), 1);
	guest_write32(enable, 0xfffffffe);
	__asm__ volatile("lw %0, 0(%1)" : "=r"(v) : "r"(enable) : "memory");
	guest_call(0, v);
	__asm__ volatile("lwu %0, 0(%1)" : "=r"(v) : "r"(enable) : "memory");
	guest_call(1, v);
	at = enable;
	__asm__ volatile(".option push; .option rvc; c.lw %0, 0(%1); .option pop" : "=r"(x) : "r"(at) : "memory");
	guest_call(2, x);
	__asm__ volatile(".option push; .option rvc; mv t0, sp; mv sp, %1; c.lwsp %0, 0(sp); mv sp, t0; .option pop" : "=r"(x) : "r"(at) : "t0", "memory");
	guest_call(3, x);
	__asm__ volatile("lbu %0, 0(%1)" : "=r"(v) : "r"(enable) : "memory");
	guest_call(4, v);
	__asm__ volatile("ld %0, 0(%1)" : "=r"(v) : "r"(enable) : "memory");
	guest_call(5, v);
	at = threshold, x = 5;
	__asm__ volatile(".option push; .option rvc; c.sw %0, 0(%1); .option pop" : : "r"(x), "r"(at) : "memory");
	guest_call(6, guest_read32(threshold));
	x = 6;
	__asm__ volatile(".option push; .option rvc; mv t0, sp; mv sp, %1; c.swsp %0, 0(sp); mv sp, t0; .option pop" : : "r"(x), "r"(at) : "t0", "memory");
	guest_call(7, guest_read32(threshold));
	__asm__ volatile("sw x0, 0(%0)" : : "r"(threshold) : "memory");
	guest_call(8, guest_read32(threshold));
	/* Source 3 is raised meanwhile; a claim that nobody reads is one. */
	__asm__ volatile("lw x0, 0(%0)" : : "r"(claim) : "memory");
	guest_call(9, guest_read32(claim));
	/* And x0 is none the less 0. */
	__asm__ volatile("sw x0, 0(%0)" : : "r"(threshold) : "memory");
	guest_call(10, guest_read32(threshold));
	for (;;)
		;
}

/* Says each claim, with what sip said before and after, and completes it. */
static void claims(uint64_t arg)
{
	uint64_t claim = PLIC_CLAIM(S_CONTEXT(0));

	for (unsigned int i = 1; i < 32; i++)
		guest_write32(PLIC_PRIORITY(i), 1);
	for (unsigned int i = 0; i < 256; i += 32)
		guest_write32(PLIC_ENABLE(S_CONTEXT(0), i), ~0u);
	guest_call(1, 0);
	for (;;) {
		uint64_t before = csr_read(sip), source = guest_read32(claim), after = csr_read(sip);

		guest_call(0, source | (before & SIP_SEIP ? SEIP_BEFORE : 0) | (after & SIP_SEIP ? SEIP_AFTER : 0));
		if (source)
			guest_write32(claim, (uint32_t)source);
	}
}

static void on_irq(uint64_t cause)
{
	csr_clear(sip, SIP_SSIP);
	if (cause == 1)
		__atomic_fetch_add(&shared.ipis, 1, __ATOMIC_RELAXED);
}

/* Does nothing but to read a register of the PLIC, and to take IPIs. */
static void reader(uint64_t arg)
{
	guest_irq = on_irq;
	csr_set(sie, SIP_SSIP);
	guest_irqs_on();
	shared.ready = 1;
	for (;;) {
		guest_read32(PLIC_CLAIM(S_CONTEXT(0)));
		shared.reads++;
	}
}

static void sender(uint64_t arg)
{
	for (uint64_t i = 0; i < arg; i++) {
		guest_sbi(SBI_IPI, 0, 1, 0, 0);
		while (shared.ipis <= i)
			if (shared.stop)
				break;
	}
	guest_call(0, shared.ipis);
	for (;;)
		;
}

/* ---- host ---- */

/* The sender has come to its end. */
static void on_call(struct vcpu *v, unsigned int op, uint64_t value)
{
	v->stop = true;
}

static struct kvm_riscv_plic_lines *map_lines(struct vm *vm, size_t size, off_t offset)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->plic, offset);
}

static void access_kinds(void)
{
	static const struct {
		const char *what;
		uint64_t value;
	} expected[] = {
		{ "lw", 0xfffffffffffffffe }, { "lwu", 0xfffffffe }, { "c.lw", 0xfffffffffffffffe }, { "c.lwsp", 0xfffffffffffffffe },
		{ "lbu", 0 }, { "ld", 0 }, { "c.sw", 5 }, { "c.swsp", 6 }, { "sw-zero", 0 }, { "lw-zero", 0 }, { "x0", 0 },
	};
	struct vm vm;
	uint64_t v;

	vm_create(&vm, 1);
	must(vm_add_plic(&vm, SOURCES) ? 0 : -1, "the PLIC");
	vcpu_enter(&vm.vcpu[0], accesses, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(expected); i++) {
		if (!vcpu_expect(&vm.vcpu[0], expected[i].what, i, &v))
			break;
		check(v == expected[i].value, expected[i].what, "0x%" PRIx64 ", should be 0x%" PRIx64, v, expected[i].value);
		if (i == 8)
			must(vm_irq_line(&vm, 3 | KVM_RISCV_PLIC_IRQ_EDGE, 1), "KVM_IRQ_LINE");
	}
	vm_destroy(&vm);
}

static void other_interrupts(void)
{
	const uint64_t n = 100;
	struct shared *s;
	struct vm vm;
	uint64_t v = 0;

	vm_create(&vm, 2);
	must(vm_add_plic(&vm, SOURCES) ? 0 : -1, "the PLIC");
	s = guest_of(&vm, &shared);
	vcpu_enter(&vm.vcpu[0], reader, 0);
	vcpu_enter(&vm.vcpu[1], sender, n);
	vcpu_start(&vm.vcpu[0], -1, on_call);
	if (!wait_for(&s->ready, 1, PATIENCE))
		fail("reader", "it does not begin");
	vcpu_start(&vm.vcpu[1], -1, on_call);
	check(wait_for(&s->ipis, n, PATIENCE), "ipis", "%" PRIu64 " of %" PRIu64 " IPIs reach a hart that is busy with the PLIC", s->ipis, n);
	check(s->reads > 0, "reads", "the hart was not busy with it");
	s->stop = 1;
	/* A signal ends it, too. */
	vcpu_stop(&vm.vcpu[0]);
	vcpu_stop(&vm.vcpu[1]);
	v = s->reads;
	usleep(50000);
	check(s->reads == v, "stopped", "the hart goes on");
	vm_destroy(&vm);
}

static void claim_is(struct vm *vm, const char *what, uint64_t expected)
{
	uint64_t v = ~UINT64_C(0);

	if (vcpu_expect(&vm->vcpu[0], what, 0, &v))
		check(v == expected, what, "0x%" PRIx64 ", should be 0x%" PRIx64, v, expected);
}

static void set_bit(struct kvm_riscv_plic_lines *l, unsigned int n, bool level)
{
	if (level)
		__atomic_fetch_or(&l->level[n / 64], UINT64_C(1) << n % 64, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&l->level[n / 64], ~(UINT64_C(1) << n % 64), __ATOMIC_SEQ_CST);
}

static void shared_lines(void)
{
	struct kvm_create_device d = { .type = KVM_DEV_TYPE_RISCV_PLIC };
	struct kvm_riscv_plic_state *state = calloc(1, 65536);
	struct kvm_riscv_plic_lines *l;
	struct vm vm;

	vm_create(&vm, 1);
	must(ioctl(vm.fd, KVM_CREATE_DEVICE, &d), "KVM_CREATE_DEVICE");
	vm.plic = (int)d.fd;
	check(map_lines(&vm, 4096, 0) == MAP_FAILED && errno == EBUSY, "map-early", "mmap before the initialization: %s", strerror(errno));
	vm_destroy(&vm);

	vm_create(&vm, 1);
	must(vm_add_plic(&vm, SOURCES) ? 0 : -1, "the PLIC");
	check(map_lines(&vm, 8192, 0) == MAP_FAILED && errno == EINVAL, "map-two", "mmap of two pages: %s", strerror(errno));
	check(map_lines(&vm, 4096, 4096) == MAP_FAILED && errno == EINVAL, "map-offset", "mmap of the second page: %s", strerror(errno));
	l = map_lines(&vm, 4096, 0);
	must(l == MAP_FAILED ? -1 : 0, "mmap of the lines");
	vcpu_enter(&vm.vcpu[0], claims, 0);
	vcpu_expect(&vm.vcpu[0], "begin", 1, NULL);
	claim_is(&vm, "nothing", 0);
	set_bit(l, 3, true);
	claim_is(&vm, "unsaid", 0);
	l->raised = 1;
	claim_is(&vm, "raised", 3 | SEIP_BEFORE);
	check(!l->raised, "raised-taken", "raised is still %u", l->raised);
	claim_is(&vm, "still-high", 3 | SEIP_BEFORE);
	set_bit(l, 3, false);
	claim_is(&vm, "lowered", 0);
	/* The same bits by KVM_IRQ_LINE. */
	must(vm_irq_line(&vm, 5, 1), "KVM_IRQ_LINE");
	check(l->level[0] == 1 << 5, "line-sets", "0x%" PRIx64, (uint64_t)l->level[0]);
	claim_is(&vm, "line", 5 | SEIP_BEFORE);
	must(vm_irq_line(&vm, 5, 0), "KVM_IRQ_LINE");
	check(!l->level[0], "line-clears", "0x%" PRIx64, (uint64_t)l->level[0]);
	claim_is(&vm, "line-lowered", 0);
	set_bit(l, 3, true);
	must(vm_irq_line(&vm, 3, 1), "KVM_IRQ_LINE");
	claim_is(&vm, "told-by-line", 3 | SEIP_BEFORE);
	set_bit(l, 3, false);
	claim_is(&vm, "told-lowered", 0);
	/* Two at once, and what is no source. */
	set_bit(l, 0, true);
	set_bit(l, SOURCES + 1, true);
	set_bit(l, 1023, true);
	set_bit(l, 9, true);
	set_bit(l, 4, true);
	l->raised = 0x80000000;
	claim_is(&vm, "first-of-two", 4 | SEIP_BEFORE | SEIP_AFTER);
	set_bit(l, 4, false);
	claim_is(&vm, "second-of-two", 9 | SEIP_BEFORE);
	/* In service, it has been told and is kept; with 7, which is high and not told, it is state, and what is no source is none. */
	set_bit(l, 7, true);
	state->size = 65536;
	check(!device_attr(vm.plic, false, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, state), "save", "it fails");
	check(state->level[0] == (1 << 9 | 1 << 7) && !state->level[1] && !state->level[15], "save-levels", "0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64,
	      (uint64_t)state->level[0], (uint64_t)state->level[1], (uint64_t)state->level[15]);
	check(state->pending[0] == 1 << 7, "save-pending", "0x%" PRIx64, (uint64_t)state->pending[0]);
	state->level[0] = 1 << 9;
	check(!device_attr(vm.plic, true, KVM_DEV_RISCV_PLIC_GRP_STATE, 0, state), "load", "it fails");
	check(l->level[0] == 1 << 9 && !l->level[1], "load-levels", "0x%" PRIx64 ", 0x%" PRIx64, (uint64_t)l->level[0], (uint64_t)l->level[1]);
	claim_is(&vm, "after-load", 7 | SEIP_BEFORE | SEIP_AFTER);
	munmap(l, 4096);
	vm_destroy(&vm);
	free(state);
}

int main(void)
{
	static void (*const tests[])(void) = { access_kinds, other_interrupts, shared_lines };
	struct vm vm;
	bool has;

	vm_create(&vm, 1);
	has = vm_add_plic(&vm, SOURCES);
	vm_destroy(&vm);
	if (!has) {
		skip("lines", "this host's KVM has no PLIC");
		return finish();
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(tests) && !said_failures; i++)
		tests[i]();
	return finish();
}
