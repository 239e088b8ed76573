// SPDX-License-Identifier: MIT
/* What the guest starts with: kernel, initrd and device tree in RAM, and hart 0 at the kernel's entry (Linux: arch/riscv/boot). */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include "arch/riscv/aia.h"
#include "arch/riscv/riscv.h"
#include "base/endian.h"
#include "base/sys.h"
#include "hw/plic.h"

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

static int no_room(struct machine *m, uint64_t need, struct err *e)
{
	uint64_t mib = (need + MIB(1) - 1) >> 20;

	return err_set(e, -ENOSPC, "kernel%s and device tree need %" PRIu64 " MiB of RAM, the guest has %" PRIu64
		       " MiB: give it more with -m %" PRIu64, m->boot.initrd ? ", initrd" : "", mib, m->ram_size >> 20, mib);
}

/*
 * Places `size` bytes as high as they go: in the low RAM when they fit there above the kernel, else at the end of all RAM. below
 * is the first address that is taken at the low RAM's end.
 */
static uint64_t place(const struct image *kernel, uint64_t low_end, uint64_t ram_end, uint64_t size, uint64_t align)
{
	uint64_t floor = round_up(kernel->end, align), at;

	if (low_end > floor && low_end - floor >= size) {
		at = round_down(low_end - size, align);
		if (at >= floor)
			return at;
	}
	if (ram_end > floor && ram_end - floor >= size) {
		at = round_down(ram_end - size, align);
		if (at >= floor)
			return at;
	}
	return 0;
}

static int dump_dtb(const char *path, const void *blob, size_t size, struct err *e)
{
	CLEANUP_CLOSE int fd = sys_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	int r;

	if (fd < 0)
		return err_set(e, fd, "--dump-dtb: %s cannot be written: %s; give a path in a folder that is there and that you may write to", path,
			       err_name(fd));
	r = sys_write_all(fd, blob, size);
	if (r < 0)
		return err_set(e, r, "--dump-dtb: %s cannot be written: %s", path, err_name(r));
	return 0;
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

/* The PLIC as it was when made: its own saved form with everything but the header zero. */
static int reset_plic(struct plic *plic, struct err *e)
{
	size_t size = plic_save(plic, NULL, 0);
	CLEANUP_FREE uint8_t *buf = calloc(1, size);
	const size_t header = offsetof(struct plic_state, priority);

	if (!buf)
		return err_set(e, -ENOMEM, "not enough memory to restart the guest");
	plic_save(plic, buf, size);
	memset(buf + header, 0, size - header);
	return plic_load(plic, buf, size, e);
}

/* Back to power-on: harts, interrupt controller, RAM. Devices are their owner's business, and have been reset before. */
static int restart(struct machine *m, struct err *e)
{
	struct riscv_state *s = riscv_state(m);
	int r;

	for (unsigned int i = 0; i < m->n_vcpus; i++) {
		r = set_state(m, i, KVM_MP_STATE_STOPPED, e);
		if (r >= 0)
			r = riscv_reset_vcpu(m, i, e);
		if (r < 0)
			return r;
	}
	if (s->aia)
		aia_reset(s->aia);
	if (s->plic) {
		r = reset_plic(s->plic, e);
		if (r < 0)
			return r;
	}
	/* Nothing of the last run is left, and the host gets its pages back; huge pages may refuse, then the kernel clears what it needs. */
	memory_discard(m->memory, RISCV_RAM_BASE, m->ram_size);
	return 0;
}

static int load_files(struct machine *m, uint64_t *ret_entry, uint64_t *ret_dtb, struct err *e)
{
	struct riscv_state *s = riscv_state(m);
	const struct image_target target = {
		.memory = m->memory,
		.ram_base = RISCV_RAM_BASE,
		.ram_size = m->ram_size,
		.align = KERNEL_ALIGN,
		.flat_offset = KERNEL_ALIGN,
		.elf_machine = EM_RISCV,
		.name = "riscv64",
		.header = image_header,
	};
	const uint64_t ram_end = RISCV_RAM_BASE + m->ram_size;
	const uint64_t low_end = RISCV_RAM_BASE + MIN(m->ram_size, LOW_RAM);
	const uint64_t dtb_room = round_up(KIB(32) + m->n_vcpus * KIB(4) + m->n_nodes * 512 + strlen(m->boot.cmdline ? m->boot.cmdline : ""),
					   KIB(64));
	uint64_t initrd = 0, initrd_size = s->initrd.path ? s->initrd.size : 0, dtb;
	CLEANUP_FREE void *blob = NULL;
	struct image kernel;
	size_t size;
	int r;

	/* A small kernel uses little of its 2 MiB; what the tree leaves of the last ones is used late, if ever. */
	if (s->kernel.size <= KIB(256))
		memory_expect_sparse(m->memory, RISCV_RAM_BASE + target.flat_offset, s->kernel.size);
	r = image_load(&s->kernel, &target, &kernel, e);
	if (r < 0)
		return r;
	dtb = place(&kernel, low_end, ram_end, dtb_room, KIB(64));
	if (!dtb)
		return no_room(m, kernel.end - RISCV_RAM_BASE + initrd_size + dtb_room, e);
	if (initrd_size) {
		initrd = place(&kernel, dtb < low_end ? dtb : low_end, dtb < low_end ? ram_end : dtb, initrd_size, KIB(4));
		if (!initrd || ranges_overlap(initrd, initrd_size, dtb, dtb_room))
			return no_room(m, kernel.end - RISCV_RAM_BASE + initrd_size + dtb_room + KIB(64), e);
		r = image_read_to(&s->initrd, m->memory, initrd, e);
		if (r < 0)
			return r;
	}
	r = riscv_fdt_build(m, initrd, initrd_size, &blob, &size, e);
	if (r < 0)
		return r;
	if (size > dtb_room)
		return err_set(e, -E2BIG, "the device tree has %zu bytes, only %" PRIu64 " have a place: use fewer devices or harts", size,
			       dtb_room);
	if (m->boot.dump_dtb) {
		r = dump_dtb(m->boot.dump_dtb, blob, size, e);
		if (r < 0)
			return r;
	}
	memory_expect_sparse(m->memory, dtb, size);
	r = memory_write(m->memory, dtb, blob, size);
	if (r < 0)
		return err_set(e, r, "the device tree cannot be put into the guest's RAM: %s", err_name(r));
	log_debug(m->log, "kernel 0x%" PRIx64 "-0x%" PRIx64 ", initrd 0x%" PRIx64 " (%" PRIu64 " bytes), device tree 0x%" PRIx64, kernel.start,
		  kernel.end, initrd, initrd_size, dtb);
	*ret_entry = kernel.entry;
	*ret_dtb = dtb;
	return 0;
}

int riscv_load(struct machine *m, struct err *e)
{
	struct riscv_state *s = riscv_state(m);
	uint64_t entry = 0, dtb = 0;
	int r;

	if (s->loaded) {
		r = restart(m, e);
		if (r < 0)
			return r;
	}
	if (!m->boot.kernel)
		return err_set(e, -EINVAL, "no kernel to start: give one with -k");
	if (!s->kernel.path) {
		r = image_open(m->boot.kernel, "kernel", m->ram_size, &s->kernel, e);
		if (r < 0)
			return r;
	}
	if (m->boot.initrd && !s->initrd.path) {
		r = image_open(m->boot.initrd, "initrd", m->ram_size, &s->initrd, e);
		if (r < 0)
			return r;
	}
	r = load_files(m, &entry, &dtb, e);
	if (r < 0)
		return r;
	/* Hart 0 starts with its id in a0 and the tree in a1; the others wait for the SBI's hart_start. */
	r = set_core(m, 0, RISCV_REG_CORE(regs.pc), entry, e);
	if (r >= 0)
		r = set_core(m, 0, RISCV_REG_CORE(regs.a0), 0, e);
	if (r >= 0)
		r = set_core(m, 0, RISCV_REG_CORE(regs.a1), dtb, e);
	for (unsigned int i = 0; r >= 0 && i < m->n_vcpus; i++)
		r = set_state(m, i, i ? KVM_MP_STATE_STOPPED : KVM_MP_STATE_RUNNABLE, e);
	if (r < 0)
		return r;
	s->loaded = true;
	return 0;
}
