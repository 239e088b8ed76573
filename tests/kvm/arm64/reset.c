// SPDX-License-Identifier: MIT
/*
 * A reset never shows junk. A vCPU is reset again and again, by PSCI and by KVM_ARM_VCPU_INIT, while others look at its affinity and send it SGIs, and the host
 * reads all its registers: after a reset each has the value of a fresh vCPU's, nothing written before survives, and no other value is ever seen. The registers are
 * those of KVM_GET_REG_LIST, whatever the kernel. (KVM's word for UNKNOWN, 0x1de7ec7edbadc0de, is a fresh vCPU's value like any other.)
 */
#include "machine.h"

enum { CALL_DIRTY, CALL_OVER };

#define VICTIM 1u
#define OBSERVER 2u
#define ROUNDS 200
#define ENOUGH 5 /* of them */
#define HOST_RESETS 20
#define TIME_LIMIT UINT64_C(40000000000) /* ns; then what was done so far counts */
#define JUNK UINT64_C(0xdead4bad5ca1ab1e)
#define UNKNOWN UINT64_C(0x1de7ec7edbadc0de) /* KVM's word for it */

/* What the victim finds when it comes up, before it touches anything. Those with a 1 it then fills with junk, the others it needs. */
#define GUEST_REGS(X)                                                                                                                    \
	X(ttbr1_el1, 1) X(amair_el1, 1) X(esr_el1, 1) X(far_el1, 1) X(afsr0_el1, 1) X(afsr1_el1, 1)          \
	X(contextidr_el1, 1) X(tpidr_el0, 1) X(tpidrro_el0, 1) X(sp_el0, 1) X(cntkctl_el1, 1) X(ttbr0_el1, 0)                             \
	X(tcr_el1, 0) X(mair_el1, 0) X(vbar_el1, 0) X(sctlr_el1, 0) X(cpacr_el1, 0) X(tpidr_el1, 0) X(mpidr_el1, 0)

#define COUNT_(name, fill) +1
#define N_GUEST_REGS (0 GUEST_REGS(COUNT_))

struct shared {
	uint64_t found[N_GUEST_REGS + 1], general[32]; /* by victim_entry; found[] has one to spare for pairs */
	uint64_t first[N_GUEST_REGS], first_general[32];
	volatile uint64_t up, order, mpidr;
	volatile uint64_t sent, acknowledged;
	/* what went wrong */
	volatile uint64_t bad_register, bad_value, bad_general, bad_affinity, bad_affinity_value, bad_on, lost, stuck;
	volatile uint64_t rounds, looks, stop, over;
};
extern struct shared shared; /* the assembler's, too */
struct shared shared __attribute__((aligned(64)));

static const char *const guest_reg_name[] = {
#define NAME_(name, fill) #name,
	GUEST_REGS(NAME_)
};

/* ---- guest ---- */

/* x1 is lost, x0 is the context. */
#define STORE_(name, fill) "	mrs	x2, " #name "\n	str	x2, [x1], #8\n"
#define PLUS_(name, fill) " + 1"
void victim_entry(void);
__asm__(".pushsection .text\n"
	".globl	victim_entry\n"
	"victim_entry:\n"
	"	adrp	x1, shared\n"
	"	add	x1, x1, :lo12:shared\n"
	"	add	x1, x1, #(8 * (0" GUEST_REGS(PLUS_) " + 1))\n"
	"	stp	x2, x3, [x1, #16]\n"
	"	stp	x4, x5, [x1, #32]\n"
	"	stp	x6, x7, [x1, #48]\n"
	"	stp	x8, x9, [x1, #64]\n"
	"	stp	x10, x11, [x1, #80]\n"
	"	stp	x12, x13, [x1, #96]\n"
	"	stp	x14, x15, [x1, #112]\n"
	"	stp	x16, x17, [x1, #128]\n"
	"	stp	x18, x19, [x1, #144]\n"
	"	stp	x20, x21, [x1, #160]\n"
	"	stp	x22, x23, [x1, #176]\n"
	"	stp	x24, x25, [x1, #192]\n"
	"	stp	x26, x27, [x1, #208]\n"
	"	stp	x28, x29, [x1, #224]\n"
	"	str	x30, [x1, #240]\n"
	"	adrp	x1, shared\n"
	"	add	x1, x1, :lo12:shared\n"
	GUEST_REGS(STORE_)
	"	b	guest_secondary\n"
	".popsection\n");

static void clean(const volatile void *p, size_t len)
{
	for (uintptr_t a = (uintptr_t)p & ~UINT64_C(15); a < (uintptr_t)p + len; a += 16)
		__asm__ volatile("dc civac, %0" : : "r"(a) : "memory");
	__asm__ volatile("dsb ish" : : : "memory");
}

static void fill_with_junk(void)
{
#define FILL_(name, fill)                                                                                                                \
	if (fill)                                                                                                                        \
		sysreg_write(name, JUNK);
	GUEST_REGS(FILL_)
}

static void on_sgi(void)
{
	uint32_t intid = guest_irq_acknowledge();

	if (intid >= 1020)
		return;
	__atomic_store_n(&shared.acknowledged, __atomic_load_n(&shared.sent, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
	guest_irq_end(intid);
}

static void look_at_found(bool first)
{
	for (unsigned int i = 0; i < N_GUEST_REGS; i++) {
		if (first) {
			shared.first[i] = shared.found[i];
		} else if (shared.found[i] != shared.first[i]) {
			shared.bad_register = i + 1;
			shared.bad_value = shared.found[i];
		}
	}
	for (unsigned int i = 2; i < 31; i++) {
		if (first)
			shared.first_general[i] = shared.general[i];
		else if (shared.general[i] != shared.first_general[i])
			shared.bad_general = i;
	}
}

/* Comes up, looks, makes a mess, takes SGIs until it is told to go, and goes. */
static void victim(uint64_t round)
{
	clean(&shared.found, sizeof(shared.found) + sizeof(shared.general));
	look_at_found(round == 0);
	fill_with_junk();
	guest_irq = on_sgi;
	guest_gic_vcpu_init(VICTIM);
	__atomic_store_n(&shared.up, round + 1, __ATOMIC_RELEASE);
	guest_irqs_on();
	while (__atomic_load_n(&shared.order, __ATOMIC_ACQUIRE) <= round)
		;
	guest_irqs_off();
	fill_with_junk();
	clean(&shared.found, sizeof(shared.found) + sizeof(shared.general));
	guest_hvc(PSCI_CPU_OFF, JUNK, JUNK, JUNK);
}

/* ON 0, OFF 1, ON_PENDING 2. */
static int64_t affinity(void)
{
	int64_t r = guest_hvc(PSCI_AFFINITY_INFO, shared.mpidr, 0, 0);

	/* Exits are expensive, and the victim needs the CPUs, too. */
	for (volatile unsigned int i = 0; i < 2000; i++)
		;

	if (r < 0 || r > 2) {
		shared.bad_affinity++;
		shared.bad_affinity_value = (uint64_t)r;
	}
	return r;
}

static uint64_t now(void)
{
	return sysreg_read(cntvct_el0);
}

/* Until the victim has done this round, or is off again: the host resets it, too. */
static void one_round(uint64_t round)
{
	struct guest_boot *b = &guest_boot[VICTIM];
	uint64_t end = now() + 60 * sysreg_read(cntfrq_el0);
	int64_t r;

	b->fn = victim;
	b->arg = round;
	clean(b, sizeof(*b));
	while (affinity() != 1)
		if (now() > end) {
			shared.stuck++;
			return;
		}
	r = guest_hvc(PSCI_CPU_ON, shared.mpidr, (uintptr_t)victim_entry, (uintptr_t)b);
	if (r && r != -4) {
		shared.bad_on = (uint64_t)r;
		return;
	}
	while (__atomic_load_n(&shared.up, __ATOMIC_ACQUIRE) != round + 1 && affinity() != 1)
		if (now() > end) {
			shared.stuck++;
			return;
		}
	for (volatile unsigned int i = 0; i < (round * 7919 & 0x3fff); i++)
		;
}

static void controller(uint64_t rounds)
{
	guest_gic_init();
	for (uint64_t i = 0; i < rounds && !shared.bad_on && !shared.stuck && !shared.stop; i++) {
		one_round(i);
		__atomic_store_n(&shared.order, i + 1, __ATOMIC_RELEASE);
		shared.rounds++;
	}
	shared.over = 1;
	guest_call(CALL_OVER, 0);
}

static void observer(uint64_t arg)
{
	while (!shared.up)
		affinity();
	while (!shared.over) {
		uint64_t n = shared.sent + 1, end = now() + 10 * sysreg_read(cntfrq_el0);

		__atomic_store_n(&shared.sent, n, __ATOMIC_RELEASE);
		guest_send_sgi(VICTIM, 3);
		while (__atomic_load_n(&shared.acknowledged, __ATOMIC_ACQUIRE) != n && !shared.over) {
			affinity();
			shared.looks++;
			if (now() > end) {
				shared.lost++;
				break;
			}
		}
	}
	guest_call(CALL_OVER, 0);
}

static void dirty(uint64_t arg)
{
	fill_with_junk();
	guest_call(CALL_DIRTY, 0);
}

/* ---- host ---- */

struct registers {
	struct kvm_reg_list *list;
	unsigned char (*value)[256];
	int *error;
};

static void read_all(struct vcpu *v, struct registers *r)
{
	if (!r->list) {
		r->list = reg_list(v);
		r->value = calloc(r->list->n, sizeof(*r->value));
		r->error = calloc(r->list->n, sizeof(*r->error));
		must(r->value && r->error ? 0 : -1, "memory");
	}
	for (uint64_t i = 0; i < r->list->n; i++) {
		memset(r->value[i], 0, sizeof(*r->value));
		r->error[i] = reg_read(v, r->list->reg[i], r->value[i]);
	}
}

static void free_all(struct registers *r)
{
	free(r->list);
	free(r->value);
	free(r->error);
	*r = (struct registers){ 0 };
}

/* They count on by themselves. */
static bool is_counter(uint64_t id)
{
	return id == KVM_REG_ARM_TIMER_CNT || id == KVM_REG_ARM_PTIMER_CNT;
}

/*
 * What user space says of the machine once, and a reset leaves: identification (MPIDR_EL1 too), firmware (Documentation/virt/kvm/arm/hypercalls.rst),
 * counters.
 */
static bool is_of_machine(uint64_t id)
{
	uint64_t class = id & KVM_REG_ARM_COPROC_MASK;

	if (class == KVM_REG_ARM_FW || class == KVM_REG_ARM_FW_FEAT_BMAP || class == KVM_REG_ARM_DEMUX || class == KVM_REG_ARM64_SVE || is_counter(id))
		return true;
	return class == KVM_REG_ARM64_SYSREG && (id & 0xffff) >> 14 == 3 && !(id & KVM_REG_ARM64_SYSREG_CRN_MASK) &&
	       (id & KVM_REG_ARM64_SYSREG_OP1_MASK) >> KVM_REG_ARM64_SYSREG_OP1_SHIFT != 2;
}

/*
 * What the architecture leaves UNKNOWN at reset, and KVM has been seen to leave as it was: said as an expected failure, since it is the guest's own, old value.
 * Everything else that survives is a failure.
 */
static const struct {
	const char *name;
	uint64_t id;
} survivors[] = {
	{ "CNTV_CVAL_EL0", KVM_REG_ARM_TIMER_CVAL }, { "CNTP_CVAL_EL0", KVM_REG_ARM_PTIMER_CVAL }, { "SP_EL1", CORE(sp_el1) },
	{ "ELR_EL1", CORE(elr_el1) },		     { "SPSR_EL1", CORE(spsr[0]) },
};

static bool may_survive(uint64_t id)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(survivors); i++)
		if (survivors[i].id == id)
			return true;
	return false;
}

static unsigned char *bytes_of(struct registers *r, uint64_t id)
{
	for (uint64_t i = 0; i < r->list->n; i++)
		if (r->list->reg[i] == id)
			return r->value[i];
	return NULL;
}

/* How many differ; the first ones are said. Those of `but` may. What is UNKNOWN in a fresh vCPU may become anything but junk once it was on a CPU. */
static unsigned int differ(const char *what, struct registers *is, struct registers *should, bool ran, bool (*but)(uint64_t id))
{
	unsigned int n = 0;

	for (uint64_t i = 0; i < is->list->n; i++) {
		uint64_t id = is->list->reg[i], a, b;
		unsigned char *fresh = bytes_of(should, id);

		if (!fresh || is_counter(id) || (but && but(id)) || !memcmp(is->value[i], fresh, sizeof(*is->value)))
			continue;
		memcpy(&a, is->value[i], 8);
		memcpy(&b, fresh, 8);
		/* ISTATUS is what the compare value and the counter make it. */
		if ((id == KVM_REG_ARM_TIMER_CTL || id == KVM_REG_ARM_PTIMER_CTL) && !((a ^ b) & ~UINT64_C(4)))
			continue;
		if (ran && b == UNKNOWN && a != JUNK)
			continue;
		if (n++ < 8)
			fail(what, "register 0x%" PRIx64 " is 0x%" PRIx64 ", a fresh vCPU's is 0x%" PRIx64, id, a, b);
	}
	return n;
}

/* What the architecture or KVM's documentation says of a fresh vCPU. */
static void documented(struct registers *r)
{
	static const struct {
		const char *name;
		uint64_t id, mask, value;
	} rows[] = {
		{ "PSTATE", CORE(regs.pstate), ~UINT64_C(0), 0x3c5 },	 { "PC", CORE(regs.pc), ~UINT64_C(0), 0 },
		{ "X0", CORE(regs.regs[0]), ~UINT64_C(0), 0 },		 { "X30", CORE(regs.regs[30]), ~UINT64_C(0), 0 },
		{ "SP_EL0", CORE(regs.sp), ~UINT64_C(0), 0 },		 { "SP_EL1", CORE(sp_el1), ~UINT64_C(0), 0 },
		{ "MPIDR_EL1", REG_MPIDR, UINT64_C(0xff00ffffff), VICTIM }, { "SCTLR_EL1", SYS(3, 0, 1, 0, 0), 0x1005, 0 },
		{ "CNTV_CTL_EL0", KVM_REG_ARM_TIMER_CTL, 3, 0 },		 { "CNTP_CTL_EL0", KVM_REG_ARM_PTIMER_CTL, 3, 0 },
		{ "MDSCR_EL1", SYS(2, 0, 0, 2, 2), 0x8001, 0 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned char *bytes = bytes_of(r, rows[i].id);
		char what[64];
		uint64_t v;

		snprintf(what, sizeof(what), "fresh-%s", rows[i].name);
		if (!bytes) {
			skip(what, "not in KVM_GET_REG_LIST");
			continue;
		}
		memcpy(&v, bytes, sizeof(v));
		check((v & rows[i].mask) == rows[i].value, what, "is 0x%" PRIx64, v);
	}
}

/* Every register that can be written, by the host and by the guest; then KVM_ARM_VCPU_INIT. */
static void reset_by_host(struct registers *fresh)
{
	struct registers now_ = { 0 };
	unsigned int written = 0;
	struct vm vm;
	struct vcpu *v = &vm.vcpu[VICTIM];

	vm_create(&vm, 3, 0);
	vm_add_gic(&vm);
	read_all(v, &now_);
	check(!differ("two-fresh", &now_, fresh, false, NULL), "two-fresh", "two fresh vCPUs differ");
	for (unsigned int round = 0; round < 2; round++) {
		const char *what = round ? "init-after-run" : "init-before-run";

		for (uint64_t i = 0; i < now_.list->n; i++) {
			unsigned char junk[256];

			for (unsigned int k = 0; k < sizeof(junk); k++)
				junk[k] = bytes_of(fresh, now_.list->reg[i])[k] ^ (unsigned char)(0xa5 + 16 * k + round);
			if (!is_of_machine(now_.list->reg[i]) && !reg_write(v, now_.list->reg[i], junk))
				written++;
		}
		must(vcpu_init(v, false), "KVM_ARM_VCPU_INIT");
		read_all(v, &now_);
		check(!differ(what, &now_, fresh, false, may_survive), what, "see above");
		if (!round) {
			vcpu_enter(v, dirty, 0);
			if (!vcpu_expect(v, "dirty", CALL_DIRTY, NULL))
				break;
			must(vcpu_init(v, false), "KVM_ARM_VCPU_INIT");
			read_all(v, &now_);
			check(!differ("init-after-guest", &now_, fresh, false, may_survive), "init-after-guest", "see above");
		}
	}
	check(written > 60, "written", "only %u registers could be written: is this a test?", written);
	for (unsigned int i = 0; i < ARRAY_SIZE(survivors); i++)
		if (memcmp(bytes_of(&now_, survivors[i].id), bytes_of(fresh, survivors[i].id), 8))
			expected_failure("survives", "%s, UNKNOWN at reset by the architecture, is what it was before KVM_ARM_VCPU_INIT", survivors[i].name);
	free_all(&now_);
	vm_destroy(&vm);
}

static unsigned int over;

static void on_call(struct vcpu *v, unsigned int op, uint64_t value)
{
	__atomic_fetch_add(&over, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&v->stop, true, __ATOMIC_RELEASE);
}

/* Where the victim starts by CPU_ON: what differs from a fresh vCPU then. */
static bool is_of_start(uint64_t id)
{
	return id == CORE(regs.pc) || id == CORE(regs.regs[0]) || may_survive(id);
}

/* The host stops the victim wherever it is, reads all its registers, and sometimes resets it. */
static void look_in(struct vm *vm, struct registers *fresh, unsigned int *ret_starts)
{
	struct vcpu *v = &vm->vcpu[VICTIM];
	struct registers r = { 0 };
	uint64_t end = now_ns() + TIME_LIMIT;
	unsigned int looks = 0;

	while (__atomic_load_n(&over, __ATOMIC_ACQUIRE) < 2) {
		uint64_t pc, mpidr;

		usleep(80000);
		vcpu_stop(v);
		/* First: a CPU_ON that comes while the others are read resets them half way. */
		pc = reg_get(v, CORE(regs.pc));
		read_all(v, &r);
		memcpy(&mpidr, bytes_of(&r, REG_MPIDR), 8);
		if ((mpidr & 0xff00ffffff) != VICTIM)
			fail("mpidr", "the host reads 0x%" PRIx64, mpidr);
		if (pc == (uintptr_t)victim_entry) {
			++*ret_starts;
			differ("started", &r, fresh, true, is_of_start);
		}
		/* By the time the registers are read, CPU_ON may have been there. */
		if (++looks % 4 == 0 && looks / 4 <= HOST_RESETS) {
			must(vcpu_init(v, true), "KVM_ARM_VCPU_INIT");
			read_all(v, &r);
			differ("init-running", &r, fresh, true, is_of_start);
		}
		if (said_failures > 20 || now_ns() > end)
			guest_of(vm, &shared)->stop = 1;
		vcpu_start(v, -1, on_call);
	}
	vcpu_stop(v);
	free_all(&r);
}

static void reset_by_psci(struct registers *fresh)
{
	struct shared *s;
	struct vm vm;
	unsigned int starts = 0;

	vm_create(&vm, 3, 0);
	if (!vm_add_gic(&vm)) {
		skip("psci", "no GICv3 for guests on this host: %s", strerror(errno));
		vm_destroy(&vm);
		return;
	}
	s = guest_of(&vm, &shared);
	s->mpidr = reg_get(&vm.vcpu[VICTIM], REG_MPIDR) & 0xff00ffffff;
	must(vcpu_init(&vm.vcpu[OBSERVER], false), "KVM_ARM_VCPU_INIT");
	vcpu_enter(&vm.vcpu[0], controller, ROUNDS);
	vcpu_enter(&vm.vcpu[OBSERVER], observer, 0);
	for (unsigned int i = 0; i < 3; i++)
		vcpu_start(&vm.vcpu[i], -1, on_call);
	look_in(&vm, fresh, &starts);
	vcpu_stop(&vm.vcpu[0]);
	vcpu_stop(&vm.vcpu[OBSERVER]);
	check(s->rounds >= ENOUGH && !s->stuck, "rounds", "%" PRIu64 " of %u; the victim %s", s->rounds, ROUNDS, s->stuck ? "never answers" : "answers");
	check(!s->bad_on, "cpu-on", "CPU_ON returned %" PRId64, (int64_t)s->bad_on);
	check(!s->bad_affinity, "affinity-info", "%" PRIu64 " of %" PRIu64 " calls returned %" PRId64 " or the like", s->bad_affinity, s->looks,
	      (int64_t)s->bad_affinity_value);
	check(!s->lost, "sgi", "%" PRIu64 " of %" PRIu64 " were lost", s->lost, s->sent);
	check(s->acknowledged > 3, "sgi-many", "%" PRIu64 " were taken: is this a test?", s->acknowledged);
	check(!s->bad_register, "guest-sees", "%s is 0x%" PRIx64 ", was 0x%" PRIx64 " the first time", s->bad_register ? guest_reg_name[s->bad_register - 1] : "",
	      s->bad_value, s->bad_register ? s->first[s->bad_register - 1] : 0);
	check(!s->bad_general, "guest-sees-general", "X%" PRIu64 " is not what it was the first time", s->bad_general);
	printf("# %" PRIu64 " rounds, %" PRIu64 " SGIs, %" PRIu64 " looks at its affinity, %u by the host just after its start\n", s->rounds, s->acknowledged, s->looks, starts);
	vm_destroy(&vm);
}

int main(void)
{
	struct registers fresh = { 0 };
	struct vm vm;

	vm_create(&vm, 3, 0);
	vm_add_gic(&vm);
	read_all(&vm.vcpu[VICTIM], &fresh);
	vm_destroy(&vm);
	documented(&fresh);
	reset_by_host(&fresh);
	reset_by_psci(&fresh);
	free_all(&fresh);
	return finish();
}
