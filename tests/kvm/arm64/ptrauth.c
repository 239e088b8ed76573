// SPDX-License-Identifier: MIT
/*
 * Pointer authentication in guests, on every kind of host: keys are the guest's own, they survive exits to user space and preemption by a vCPU with other keys,
 * user space sees them, and they do not leak into the host's own keys.
 */
#include <sys/auxv.h>
#include <sys/resource.h>

#include "machine.h"

/* For the instructions below; what the compiler makes stays what it was. */
__asm__(".arch armv8.3-a");

#define POINTERS 8
#define N_KEYS 10 /* halves */

enum { CALL_READY, CALL_SIGNED, CALL_DONE, CALL_FAULT };

/* In the order of the system registers: APIA, APIB, APDA, APDB, APGA, low and high halves. */
static const uint64_t key_id[N_KEYS] = {
	SYS(3, 0, 2, 1, 0), SYS(3, 0, 2, 1, 1), SYS(3, 0, 2, 1, 2), SYS(3, 0, 2, 1, 3), SYS(3, 0, 2, 2, 0),
	SYS(3, 0, 2, 2, 1), SYS(3, 0, 2, 2, 2), SYS(3, 0, 2, 2, 3), SYS(3, 0, 2, 3, 0), SYS(3, 0, 2, 3, 1),
};

static struct shared {
	uint64_t key[MAX_VCPUS][N_KEYS]; /* what the guest sets, then what it finds */
	uint64_t plain[POINTERS], mac[MAX_VCPUS][5][POINTERS];
	volatile uint64_t bad[MAX_VCPUS], rounds[MAX_VCPUS];
	volatile uint64_t stop;
	uint64_t isar1, isar2;
} shared;

/* ---- guest ---- */

static void set_keys(const uint64_t *k)
{
	sysreg_write(s3_0_c2_c1_0, k[0]);
	sysreg_write(s3_0_c2_c1_1, k[1]);
	sysreg_write(s3_0_c2_c1_2, k[2]);
	sysreg_write(s3_0_c2_c1_3, k[3]);
	sysreg_write(s3_0_c2_c2_0, k[4]);
	sysreg_write(s3_0_c2_c2_1, k[5]);
	sysreg_write(s3_0_c2_c2_2, k[6]);
	sysreg_write(s3_0_c2_c2_3, k[7]);
	sysreg_write(s3_0_c2_c3_0, k[8]);
	sysreg_write(s3_0_c2_c3_1, k[9]);
}

static void get_keys(uint64_t *k)
{
	k[0] = sysreg_read(s3_0_c2_c1_0);
	k[1] = sysreg_read(s3_0_c2_c1_1);
	k[2] = sysreg_read(s3_0_c2_c1_2);
	k[3] = sysreg_read(s3_0_c2_c1_3);
	k[4] = sysreg_read(s3_0_c2_c2_0);
	k[5] = sysreg_read(s3_0_c2_c2_1);
	k[6] = sysreg_read(s3_0_c2_c2_2);
	k[7] = sysreg_read(s3_0_c2_c2_3);
	k[8] = sysreg_read(s3_0_c2_c3_0);
	k[9] = sysreg_read(s3_0_c2_c3_1);
}

#define CONTEXT UINT64_C(0x5a5a1234)
#define SIGN(insn, p) ({ uint64_t p_ = (p); __asm__ volatile(insn " %0, %1" : "+r"(p_) : "r"(CONTEXT)); p_; })
#define GENERIC(p) ({ uint64_t r_; __asm__ volatile("pacga %0, %1, %2" : "=r"(r_) : "r"((uint64_t)(p)), "r"(CONTEXT)); r_; })

static void sign_all(uint64_t mac[5][POINTERS], const uint64_t *plain)
{
	for (unsigned int i = 0; i < POINTERS; i++) {
		mac[0][i] = SIGN("pacia", plain[i]);
		mac[1][i] = SIGN("pacib", plain[i]);
		mac[2][i] = SIGN("pacda", plain[i]);
		mac[3][i] = SIGN("pacdb", plain[i]);
		mac[4][i] = GENERIC(plain[i]);
	}
}

/* How many do not come out as they went in. */
static unsigned int authenticate_all(uint64_t mac[5][POINTERS], const uint64_t *plain)
{
	unsigned int bad = 0;

	for (unsigned int i = 0; i < POINTERS; i++) {
		bad += SIGN("autia", mac[0][i]) != plain[i];
		bad += SIGN("autib", mac[1][i]) != plain[i];
		bad += SIGN("autda", mac[2][i]) != plain[i];
		bad += SIGN("autdb", mac[3][i]) != plain[i];
		bad += GENERIC(plain[i]) != mac[4][i];
	}
	return bad;
}

/* Sign, leave, come back, authenticate. */
static void guest_signs(uint64_t me)
{
	shared.isar1 = sysreg_read(id_aa64isar1_el1);
	shared.isar2 = sysreg_read(s3_0_c0_c6_2);
	/* A host that promises too little or too much is found by the first instruction. */
	guest_state[me].skip_exceptions = 1;
	set_keys(shared.key[me]);
	sign_all(shared.mac[me], shared.plain);
	guest_state[me].skip_exceptions = 0;
	guest_call(guest_state[me].n_exceptions ? CALL_FAULT : CALL_SIGNED, guest_state[me].esr);
	for (unsigned int i = 0; i < 100; i++) {
		shared.bad[me] += authenticate_all(shared.mac[me], shared.plain);
		guest_call(CALL_READY, i);
	}
	get_keys(shared.key[me]);
	guest_call(CALL_DONE, 0);
	/* User space has put other keys in. */
	get_keys(shared.key[me]);
	sign_all(shared.mac[me], shared.plain);
	guest_call(CALL_DONE, 1);
	/* A wrong signature: an exception (FEAT_FPAC), or a pointer that is none. */
	guest_state[me].skip_exceptions = 1;
	guest_state[me].n_exceptions = 0;
	shared.bad[me] = SIGN("autia", shared.mac[me][0][0] ^ UINT64_C(1) << 45) == shared.plain[0] && !guest_state[me].n_exceptions;
	guest_call(CALL_DONE, 2);
}

/* Without exits: only the host's scheduler comes between. */
static void guest_spins(uint64_t me)
{
	uint64_t mac[5][POINTERS];

	guest_state[me].skip_exceptions = 1;
	set_keys(shared.key[me]);
	sign_all(shared.mac[me], shared.plain);
	while (!shared.stop) {
		sign_all(mac, shared.plain);
		for (volatile unsigned int i = 0; i < 100; i++)
			;
		shared.bad[me] += authenticate_all(mac, shared.plain) + authenticate_all(shared.mac[me], shared.plain);
		shared.rounds[me]++;
	}
	shared.bad[me] += guest_state[me].n_exceptions;
	guest_call(CALL_DONE, 0);
	for (;;)
		;
}

/* The guest has not asked for it. */
static void guest_has_none(uint64_t me)
{
	shared.isar1 = sysreg_read(id_aa64isar1_el1);
	shared.isar2 = sysreg_read(s3_0_c0_c6_2);
	guest_state[me].skip_exceptions = 1;
	(void)sysreg_read(s3_0_c2_c1_0);
	guest_call(CALL_DONE, guest_state[me].n_exceptions);
	(void)SIGN("pacia", shared.plain[0]);
	guest_call(CALL_DONE, guest_state[me].n_exceptions);
}

/* ---- host ---- */

#define BOTH (1u << KVM_ARM_VCPU_PTRAUTH_ADDRESS | 1u << KVM_ARM_VCPU_PTRAUTH_GENERIC)
#define SCTLR_KEYS (UINT64_C(1) << 31 | UINT64_C(1) << 30 | UINT64_C(1) << 27 | UINT64_C(1) << 13)
/* APA, API, GPA and GPI of ID_AA64ISAR1_EL1; GPA3 and APA3 of ID_AA64ISAR2_EL1. */
#define ISAR1_PTRAUTH UINT64_C(0xff000ff0)
#define ISAR2_PTRAUTH UINT64_C(0x0000ff00)

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static struct shared *prepare(struct vm *vm, unsigned int n, uint32_t features)
{
	struct shared *s;

	vm_create(vm, n, features);
	vm->sctlr = SCTLR_KEYS;
	s = guest_of(vm, &shared);
	for (unsigned int i = 0; i < POINTERS; i++)
		s->plain[i] = RAM_BASE + 16 * i * 4711;
	for (unsigned int v = 0; v < n; v++)
		for (unsigned int k = 0; k < N_KEYS; k++)
			s->key[v][k] = mix(100 * v + k + 1);
	return s;
}

static uint64_t host_signs(void)
{
	uint64_t p = UINT64_C(0x12345678), mac = GENERIC(p);

	return mac ^ SIGN("pacia", p) ^ SIGN("pacib", p) << 1 ^ SIGN("pacda", p) << 2 ^ SIGN("pacdb", p) << 3;
}

static bool keys_are(struct vcpu *v, const uint64_t *should, const char *what)
{
	for (unsigned int k = 0; k < N_KEYS; k++) {
		uint64_t is;
		int r = reg_read(v, key_id[k], &is);

		if (r < 0 || is != should[k]) {
			fail(what, "register 0x%" PRIx64 " is 0x%" PRIx64 " (%s), should be 0x%" PRIx64, key_id[k], r < 0 ? 0 : is, strerror(-r), should[k]);
			return false;
		}
	}
	return check(true, what, "-");
}

static bool signs(void)
{
	struct vm vm;
	struct shared *s = prepare(&vm, 1, BOTH);
	struct vcpu *v = &vm.vcpu[0];
	uint64_t host = host_signs(), first[N_KEYS], other[N_KEYS], value, old[POINTERS];
	unsigned int same = 0;
	bool host_kept = true;
	int r;

	memcpy(first, s->key[0], sizeof(first));
	vcpu_enter(v, guest_signs, 0);
	r = vcpu_run(v, &value);
	if (r == CALL_FAULT) {
		fail("sign", "the guest was promised PtrAuth and gets %s (ESR_EL1 0x%" PRIx64 ")", value >> 26 ? "an exception" : "UNDEFINED", value);
		vm_destroy(&vm);
		return false;
	}
	if (!check(r == CALL_SIGNED, "sign", "exit reason %u, call %d", v->run->exit_reason, r))
		return false;
	check((s->isar1 & ISAR1_PTRAUTH) || (s->isar2 & ISAR2_PTRAUTH), "id", "ID_AA64ISAR1_EL1 0x%" PRIx64 " and ID_AA64ISAR2_EL1 0x%" PRIx64 " say none", s->isar1,
	      s->isar2);
	keys_are(v, first, "keys-seen");
	for (unsigned int k = 0; k < 4; k++)
		for (unsigned int i = 0; i < POINTERS; i++)
			same += s->mac[0][k][i] == s->plain[i];
	check(same < 4, "signatures", "%u of %u pointers come out unsigned", same, 4 * POINTERS);
	for (unsigned int i = 0; i < 100; i++) {
		if (!vcpu_expect(v, "exits", CALL_READY, &value))
			return false;
		host_kept &= host_signs() == host;
	}
	check(!s->bad[0], "exits", "%" PRIu64 " of %u authentications fail across exits to user space", s->bad[0], 100 * 5 * POINTERS);
	check(host_kept, "host-keys", "the keys of this process changed while its vCPU ran");
	if (!vcpu_expect(v, "keys-stay", CALL_DONE, &value))
		return false;
	check(!memcmp(s->key[0], first, sizeof(first)), "keys-stay", "the guest does not find the keys it wrote");

	for (unsigned int k = 0; k < N_KEYS; k++) {
		other[k] = mix(1000 + k);
		reg_set(v, key_id[k], other[k]);
	}
	memcpy(old, s->mac[0][0], sizeof(old));
	if (!vcpu_expect(v, "keys-set", CALL_DONE, &value))
		return false;
	check(!memcmp(s->key[0], other, sizeof(other)), "keys-set", "the guest does not find the keys that user space set");
	check(memcmp(old, s->mac[0][0], sizeof(old)), "keys-used", "another key gives the same signatures");
	if (vcpu_expect(v, "forged", CALL_DONE, &value))
		check(!s->bad[0], "forged", "a wrong signature is taken");
	errno = -vcpu_init(v, false);
	must(errno ? -1 : 0, "KVM_ARM_VCPU_INIT");
	same = 0;
	for (unsigned int k = 0; k < N_KEYS; k++)
		same += reg_get(v, key_id[k]) == other[k];
	check(!same, "keys-reset", "%u of %u halves survive KVM_ARM_VCPU_INIT", same, N_KEYS);
	vm_destroy(&vm);
	return true;
}

static long switches[MAX_VCPUS];
static unsigned int ended;

static void on_done(struct vcpu *v, unsigned int op, uint64_t value)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	switches[v->i] = u.ru_nivcsw;
	__atomic_fetch_add(&ended, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&v->stop, true, __ATOMIC_RELEASE);
}

static void preempted(void)
{
	struct vm vm;
	struct shared *s = prepare(&vm, 2, BOTH);

	errno = -vcpu_init(&vm.vcpu[1], false);
	must(errno ? -1 : 0, "KVM_ARM_VCPU_INIT");
	for (unsigned int i = 0; i < 2; i++)
		vcpu_enter(&vm.vcpu[i], guest_spins, i);
	for (unsigned int i = 0; i < 2; i++)
		vcpu_start(&vm.vcpu[i], 0, on_done);
	sleep(3);
	s->stop = 1;
	for (unsigned int i = 0; i < 100 && __atomic_load_n(&ended, __ATOMIC_ACQUIRE) < 2; i++)
		usleep(100000);
	check(ended == 2, "preempted-end", "%u of 2 vCPUs end", ended);
	for (unsigned int i = 0; i < 2; i++)
		vcpu_stop(&vm.vcpu[i]);
	check(!s->bad[0] && !s->bad[1], "preempted", "%" PRIu64 " and %" PRIu64 " mistakes in %" PRIu64 " and %" PRIu64 " rounds", s->bad[0], s->bad[1],
	      s->rounds[0], s->rounds[1]);
	check(s->rounds[0] && s->rounds[1], "both-run", "%" PRIu64 " and %" PRIu64 " rounds", s->rounds[0], s->rounds[1]);
	check(memcmp(s->mac[0], s->mac[1], sizeof(s->mac[0])), "both-differ", "two vCPUs with other keys sign alike");
	if (switches[0] + switches[1] < 10)
		skip("switches", "the vCPUs were preempted %ld times only", switches[0] + switches[1]);
	else
		check(true, "switches", "-");
	vm_destroy(&vm);
}

static void without(void)
{
	struct vm vm;
	struct shared *s = prepare(&vm, 1, 0);
	uint64_t n;

	vcpu_enter(&vm.vcpu[0], guest_has_none, 0);
	if (vcpu_expect(&vm.vcpu[0], "hidden-keys", CALL_DONE, &n))
		check(n == 1, "hidden-keys", "a guest that was given no PtrAuth reads a key");
	if (vcpu_expect(&vm.vcpu[0], "hidden", CALL_DONE, &n))
		check(n == 2, "hidden", "a guest that was given no PtrAuth can sign");
	check(!(s->isar1 & ISAR1_PTRAUTH) && !(s->isar2 & ISAR2_PTRAUTH), "hidden-id", "ID_AA64ISAR1_EL1 0x%" PRIx64 ", ID_AA64ISAR2_EL1 0x%" PRIx64, s->isar1, s->isar2);
	vm_destroy(&vm);
}

int main(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	unsigned long has = getauxval(AT_HWCAP) & (HWCAP_PACA | HWCAP_PACG);
	bool address, generic;

	if (kvm < 0) {
		skip("kvm", "/dev/kvm: %s", strerror(errno));
		return finish();
	}
	address = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_PTRAUTH_ADDRESS) > 0;
	generic = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_PTRAUTH_GENERIC) > 0;
	close(kvm);
	if (has != (HWCAP_PACA | HWCAP_PACG)) {
		skip("ptrauth", "this host's CPUs have none");
		return finish();
	}
	if (!check(address && generic, "offered", "the host has PtrAuth, KVM does not offer it (address %d, generic %d)", address, generic))
		return finish();
	if (signs())
		preempted();
	without();
	return finish();
}
