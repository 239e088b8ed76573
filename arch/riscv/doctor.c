// SPDX-License-Identifier: MIT
/* What this host can do for a guest, for `lkvm doctor`. */
#include <stdio.h>

#include "arch/machine.h"
#include "arch/riscv/aia.h"
#include "arch/riscv/plic_kernel.h"
#include "arch/riscv/riscv.h"

static const struct machine_cap caps[] = {
	{ KVM_CAP_IRQCHIP, "AIA in the kernel (--irqchip aia)",
	  "the PLIC in user space serves instead; for the AIA use a machine whose harts have Ssaia, and Linux 6.5 or newer" },
	{ KVM_CAP_MP_STATE, "harts that can be stopped", "use Linux 6.1 or newer on the host" },
	{ KVM_CAP_RISCV_MP_STATE_RESET, "reset of a hart by KVM", "lkvm resets harts itself; Linux 6.16 or newer does it all" },
};

static void extensions(struct hv_vcpu *vcpu, const char *kind, const struct riscv_ext *exts, unsigned int n, uint64_t base,
		       void (*fn)(void *ctx, const char *what, bool present, const char *cure), void *ctx)
{
	for (unsigned int i = 0; i < n; i++) {
		char what[160];
		uint64_t v = 0;
		int r = vcpu->hv->ops->get_reg(vcpu, base + exts[i].id, &v);

		/* KVM says yes to the legacy calls also when it was built without them. */
		snprintf(what, sizeof(what), "%s extension %s%s", kind, exts[i].name,
			 *kind == 'S' && exts[i].id == KVM_RISCV_SBI_EXT_V01 && r >= 0 && v
				 ? " (its calls work only if the host kernel has CONFIG_RISCV_SBI_V01)" : "");
		if (r >= 0 && (v || exts[i].enable))
			fn(ctx, what, true, NULL);
		else if (r >= 0)
			fn(ctx, what, false, "KVM has it, and leaves it off for guests");
		else
			fn(ctx, what, false, *kind == 'S' ? "use a newer host kernel if the guest needs it"
							  : "use a machine that has it, or a newer host kernel, if the guest needs it");
	}
}

void riscv_doctor(struct hv *hv, struct hv_vcpu *vcpu, void (*fn)(void *ctx, const char *what, bool present, const char *cure),
		  void *ctx)
{
	char what[96];
	uint64_t id;
	int n;

	machine_doctor(hv, caps, ARRAY_SIZE(caps), fn, ctx);
	fn(ctx, "PLIC in the kernel (--irqchip plic-kernel)", plic_kernel_present(hv),
	   plic_kernel_present(hv) ? NULL : "the PLIC in user space serves instead; the patches of lkvm's arch/riscv/kernel put one into KVM");
	machine_doctor_common(hv, "harts", fn, ctx);
	/* Not all that has it is well: what lkvm does about it is said, or a slower machine would be a riddle. */
	if (hv_capability(hv, KVM_CAP_IRQCHIP) > 0)
		fn(ctx, "AIA through guest interrupt files, where harts have them (interrupts without exit)", !aia_host_loses_wakeups(),
		   aia_host_loses_wakeups() ? "KVM emulates the IMSIC (MODE_EMUL): before Linux 6.17 guest interrupt files can lose a wake-up; "
					      "use Linux 6.17 or newer on the host"
					    : NULL);
	n = hv_capability(hv, KVM_CAP_VM_GPA_BITS);
	if (n > 0) {
		snprintf(what, sizeof(what), "%d bits of guest physical address", n);
		fn(ctx, what, true, NULL);
	}
	if (!vcpu)
		return;
	n = hv->ops->reg_list(vcpu, &id, 0);
	if (n > 0)
		snprintf(what, sizeof(what), "list of registers (%d)", n);
	else
		snprintf(what, sizeof(what), "list of registers");
	fn(ctx, what, n > 0, n > 0 ? NULL : "lkvm tries the registers it knows; Linux 6.6 or newer lists them");
	extensions(vcpu, "ISA", riscv_isa_exts, riscv_n_isa_exts, RISCV_REG_ISA(0), fn, ctx);
	extensions(vcpu, "SBI", riscv_sbi_exts, riscv_n_sbi_exts, RISCV_REG_SBI(0), fn, ctx);
}
