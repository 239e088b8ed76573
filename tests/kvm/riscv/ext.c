// SPDX-License-Identifier: MIT
/*
 * Extensions: a vCPU is offered those of the device tree's harts, one that is switched off is not there for the guest, and CSRs that user space has for a guest
 * are asked of it. Instructions are run one by one, see insn.h.
 */
#include "insn.h"

#define DATA (CODE + 0x1000)
#define CSR_SEED 0x015u
#define ILLEGAL 2

/* ---- names ---- */

/* Is that a name in riscv,isa of the first hart? Behind the letters, names stand between underscores. */
static bool host_has(const char *isa, const char *name)
{
	char word[32];

	snprintf(word, sizeof(word), "_%s_", name);
	return strstr(isa, word) != NULL;
}

/* Of names that need no switch, those that the harts have, and no other. */
static void names(void)
{
	static const struct {
		const char *name;
		unsigned int ext;
	} rows[] = {
		{ "zba", KVM_RISCV_ISA_EXT_ZBA },	      { "zbb", KVM_RISCV_ISA_EXT_ZBB },		{ "zbs", KVM_RISCV_ISA_EXT_ZBS },
		{ "zicond", KVM_RISCV_ISA_EXT_ZICOND },	      { "zfa", KVM_RISCV_ISA_EXT_ZFA },		{ "zihintpause", KVM_RISCV_ISA_EXT_ZIHINTPAUSE },
		{ "svinval", KVM_RISCV_ISA_EXT_SVINVAL },     { "svnapot", KVM_RISCV_ISA_EXT_SVNAPOT }, { "zcf", KVM_RISCV_ISA_EXT_ZCF },
	};
	int fd = open("/proc/device-tree/cpus/cpu@0/riscv,isa", O_RDONLY | O_CLOEXEC);
	unsigned int has = 0;
	char isa[2048] = "";
	struct vm vm;

	if (fd < 0 || read(fd, isa, sizeof(isa) - 2) <= 0) {
		skip("names", "this host's device tree has no riscv,isa of cpu@0");
		return;
	}
	close(fd);
	strcat(isa, "_");
	vm_create(&vm, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t value = 0;
		bool offered = !reg_read(&vm.vcpu[0], REG_ISA(rows[i].ext), &value);

		check(offered == host_has(isa, rows[i].name) && value == offered, rows[i].name, "%s",
		      offered ? "is offered to guests, and the harts have it not" : "is not offered to guests, and the harts have it");
		has += offered;
	}
	printf("# %u of %zu\n", has, ARRAY_SIZE(rows));
	vm_destroy(&vm);
}

/* ---- switches ---- */

/* One instruction of a guest: what run_to_end() says of it. After an exception the guest ends in the same way, with scause other than before. */
static int execute(struct vcpu *v, uint32_t insn, uint64_t x[32])
{
	insn_put(v->vm, insn_put(v->vm, CODE, insn), STORE_TO_0);
	insn_put(v->vm, CODE + 0x800, STORE_TO_0);
	x[0] = CODE;
	regs_set(v, x);
	reg_set(v, REG_CORE(mode), KVM_RISCV_MODE_S);
	reg_set(v, REG_CSR(stvec), CODE + 0x800);
	reg_set(v, REG_CSR(scause), 0);
	return run_to_end(v);
}

/* Where KVM has a switch, hardware acts on it: the guest of a vCPU that has not the extension gets an illegal instruction. */
static void switches(void)
{
	static const struct {
		const char *name;
		unsigned int ext;
		uint32_t insn;
	} rows[] = {
		{ "zicboz", KVM_RISCV_ISA_EXT_ZICBOZ, 0x0045a00f }, /* cbo.zero (a1) */
		{ "zicbom", KVM_RISCV_ISA_EXT_ZICBOM, 0x0025a00f }, /* cbo.flush (a1) */
		{ "sstc", KVM_RISCV_ISA_EXT_SSTC, 0x14d02573 },	    /* csrr a0, stimecmp */
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		for (unsigned int on = 0; on < 2; on++) {
			uint64_t x[32] = { 0 }, value = 0, cause;
			char what[32];
			struct vm vm;
			struct vcpu *v = &vm.vcpu[0];
			int r;

			vm_create(&vm, 1);
			snprintf(what, sizeof(what), "%s-%s", rows[i].name, on ? "on" : "off");
			if (reg_read(v, REG_ISA(rows[i].ext), &value) || !value || (!on && (value = 0, reg_write(v, REG_ISA(rows[i].ext), &value)))) {
				skip(what, "not on this host, or without a switch");
			} else {
				x[11] = DATA;
				r = execute(v, rows[i].insn, x);
				cause = reg_get(v, REG_CSR(scause));
				check(!r && cause == (on ? 0 : ILLEGAL), what, "KVM_RUN: %d, exit %u, scause %" PRIu64, r, v->run->exit_reason, cause);
			}
			vm_destroy(&vm);
		}
	}
}

/* ---- CSRs of user space ---- */

/* seed: what would be written, and where; the answer is in rd. Reading alone is illegal. */
static void seed(void)
{
	static const struct {
		const char *name;
		unsigned int funct3, rd, rs1;
		uint64_t new_value, mask;
	} rows[] = {
		{ "csrrw", 1, 10, 11, 0x1234, UINT64_MAX }, { "csrrw-x0", 1, 10, 0, 0, UINT64_MAX },	    { "csrrw-rd-x0", 1, 0, 11, 0x1234, UINT64_MAX },
		{ "csrrw-same", 1, 11, 11, 0x1234, UINT64_MAX }, { "csrrs", 2, 10, 11, UINT64_MAX, 0x1234 }, { "csrrc", 3, 12, 11, 0, 0x1234 },
		{ "csrrwi", 5, 10, 21, 21, UINT64_MAX },    { "csrrsi", 6, 10, 21, UINT64_MAX, 21 },	    { "csrrci", 7, 10, 21, 0, 21 },
	};
	uint64_t x[32], after[32], value = 0;
	struct vm vm;
	struct vcpu *v = &vm.vcpu[0];
	struct kvm_run *run;
	int r;

	vm_create(&vm, 1);
	run = v->run;
	if (reg_read(v, REG_ISA(KVM_RISCV_ISA_EXT_ZKR), &value) || !value) {
		skip("seed", "the host's KVM has no Zkr for guests");
		vm_destroy(&vm);
		return;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		bool same;

		for (unsigned int n = 0; n < 32; n++)
			x[n] = pattern(n, i);
		x[11] = 0x1234;
		r = execute(v, CSR_SEED << 20 | rows[i].rs1 << 15 | rows[i].funct3 << 12 | rows[i].rd << 7 | 0x73, x);
		if (!r && reg_get(v, REG_CSR(scause)) == ILLEGAL) {
			/* mseccfg.SSEED is 0: the firmware has it, not KVM. */
			skip("seed", "the host's firmware keeps it for itself");
			break;
		}
		if (!check(r == 1 && run->exit_reason == KVM_EXIT_RISCV_CSR && run->riscv_csr.csr_num == CSR_SEED && run->riscv_csr.new_value == rows[i].new_value &&
				   run->riscv_csr.write_mask == rows[i].mask,
			   rows[i].name, "KVM_RUN: %d, exit %u, CSR 0x%" PRIx64 ", value 0x%" PRIx64 ", mask 0x%" PRIx64, r, run->exit_reason,
			   (uint64_t)run->riscv_csr.csr_num, (uint64_t)run->riscv_csr.new_value, (uint64_t)run->riscv_csr.write_mask))
			break;
		run->riscv_csr.ret_value = UINT64_C(0x80005eed) + i;
		vcpu_complete(v);
		regs_get(v, after);
		x[0] += 4;
		if (rows[i].rd)
			x[rows[i].rd] = UINT64_C(0x80005eed) + i;
		same = !memcmp(x, after, sizeof(x));
		check(same, rows[i].name, "the registers are others than they should: rd 0x%" PRIx64 ", pc 0x%" PRIx64, after[rows[i].rd], after[0]);
		check(!run_to_end(v), rows[i].name, "what follows: exit %u", run->exit_reason);
	}
	vm_destroy(&vm);
	if (r == 0)
		return;
	/* A vCPU that has it not asks nobody. */
	vm_create(&vm, 1);
	value = 0;
	if (!reg_write(v, REG_ISA(KVM_RISCV_ISA_EXT_ZKR), &value)) {
		r = execute(v, CSR_SEED << 20 | 11 << 15 | 1 << 12 | 10 << 7 | 0x73, x);
		check(!r && reg_get(v, REG_CSR(scause)) == ILLEGAL, "seed-off", "KVM_RUN: %d, exit %u", r, v->run->exit_reason);
	} else {
		skip("seed-off", "without a switch");
	}
	vm_destroy(&vm);
}

int main(void)
{
	names();
	switches();
	seed();
	return finish();
}
