// SPDX-License-Identifier: MIT
/* What the guest starts with: kernel, initrd and device tree in RAM, and hart 0 at the kernel's entry (Linux: arch/riscv/boot). */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>

#include "arch/riscv/riscv.h"
#include "base/endian.h"

#define KERNEL_ALIGN MIB(2) /* RV64 kernels map themselves with 2 MiB pages */

/*
 * Linux for RISC-V maps all RAM that its page tables reach, with Sv39 128 GiB; tree and initrd go below this distance where they
 * fit, so that every kernel reaches them.
 */
#define LOW_RAM GIB(2)

#ifndef EM_RISCV
#define EM_RISCV 243
#endif

/* The Image header of RISC-V Linux: text_offset at 8, image_size at 16, flags at 24 (bit 0: big-endian), "RISCV" at 48, "RSC\5" at 56. */
static int image_header(const uint8_t head[IMAGE_HEAD], struct image_header *ret, struct err *e)
{
	struct image_header h;

	if (memcmp(head + 56, "RSC\x05", 4) && memcmp(head + 48, "RISCV\0\0", 8))
		return 0;
	h.text_offset = get_le64(head + 8);
	h.image_size = get_le64(head + 16);
	if (get_le64(head + 24) & 1)
		return err_set(e, -EINVAL, "its header says big-endian, which RISC-V guests here are not: build it little-endian");
	if (h.text_offset & 0xfff)
		return err_set(e, -EINVAL, "its header has the wild text offset 0x%" PRIx64 ": copy or build it again", h.text_offset);
	*ret = h;
	return 1;
}

static int set_core(struct machine *m, unsigned int i, uint64_t id, uint64_t v, struct err *e)
{
	struct hv_vcpu *vcpu = m->vcpu[i].hv;
	int r = vcpu->hv->ops->set_reg(vcpu, id, &v);

	if (r < 0)
		return err_set(e, r, "hart %u cannot be started: KVM refuses register 0x%" PRIx64 " (%s)", i, id, err_name(r));
	return 0;
}

static int set_state(struct machine *m, unsigned int i, uint32_t state, struct err *e)
{
	struct hv_vcpu *vcpu = m->vcpu[i].hv;
	int r = vcpu->hv->ops->set_mp_state(vcpu, state);

	if (r < 0)
		return err_set(e, r, "hart %u cannot be %s: KVM refuses (%s)", i,
			       state == KVM_MP_STATE_STOPPED ? "stopped" : "started", err_name(r));
	return 0;
}

/* Back to power-on: harts, interrupt controller, RAM. Devices are their owner's business, and have been reset before. */
static int restart(struct machine *m, struct err *e)
{
	int r;

	for (unsigned int i = 0; i < m->n_vcpus; i++) {
		r = set_state(m, i, KVM_MP_STATE_STOPPED, e);
		if (r >= 0)
			r = riscv_reset_vcpu(m, i, e);
		if (r < 0)
			return r;
	}
	r = riscv_reset_irqchip(m, e);
	if (r < 0)
		return r;
	/* Nothing of the last run is left, and the host gets its pages back; huge pages may refuse, then the kernel clears what it needs. */
	memory_discard(m->memory, RISCV_RAM_BASE, m->ram_size);
	return 0;
}

int riscv_load(struct machine *m, struct err *e)
{
	static const struct boot_layout layout = {
		.align = KERNEL_ALIGN,
		.flat_offset = KERNEL_ALIGN,
		.elf_machine = EM_RISCV,
		.header = image_header,
		.low = LOW_RAM,
		.write_tree = riscv_fdt_build,
	};
	struct riscv_state *s = riscv_state(m);
	struct boot_entry entry = { 0 };
	int r;

	if (s->loaded) {
		r = restart(m, e);
		if (r < 0)
			return r;
	}
	r = boot_load(m, &s->boot, &layout, &entry, e);
	if (r < 0)
		return r;
	/* Hart 0 starts with its id in a0 and the tree in a1; the others wait for the SBI's hart_start. */
	r = set_core(m, 0, RISCV_REG_CORE(regs.pc), entry.pc, e);
	if (r >= 0)
		r = set_core(m, 0, RISCV_REG_CORE(regs.a0), 0, e);
	if (r >= 0)
		r = set_core(m, 0, RISCV_REG_CORE(regs.a1), entry.dtb, e);
	for (unsigned int i = 0; r >= 0 && i < m->n_vcpus; i++)
		r = set_state(m, i, i ? KVM_MP_STATE_STOPPED : KVM_MP_STATE_RUNNABLE, e);
	if (r < 0)
		return r;
	s->loaded = true;
	return 0;
}
