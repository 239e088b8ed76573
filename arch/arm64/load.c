// SPDX-License-Identifier: MIT
/*
 * What the guest starts with: kernel, initrd and device tree in RAM, and vCPU 0 at the kernel's entry (Linux: Documentation/arch/arm64/booting.rst,
 * and arch/arm/booting.rst for 32-bit guests).
 */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>

#include "arch/arm64/arm64.h"
#include "base/endian.h"

#define KERNEL_ALIGN MIB(2)

/* Where old Images (no image_size) and flat binaries go; programs made for kvmtool are linked to it. */
#define TEXT_OFFSET 0x80000

/* Linux finds tree and initrd anywhere in RAM that is within 32 GiB of it; kernels before 4.2 want the tree within 512 MiB. */
#define LOW_RAM MIB(512)

/* A 32-bit kernel unpacks itself to 32 KiB behind a boundary of 128 MiB, and wants tree and initrd in low memory. */
#define AARCH32_OFFSET KIB(32)
#define AARCH32_LOW MIB(256)
#define ZIMAGE_MAGIC 0x016f2818

#ifndef EM_AARCH64
#define EM_AARCH64 183
#endif

static int wild(const char *what, uint64_t v, struct err *e)
{
	return err_set(e, -EINVAL, "its header has the wild %s 0x%" PRIx64 ": copy or build it again", what, v);
}

/*
 * The Image header: text_offset at 8, image_size at 16, flags at 24 (bit 0: big-endian, 1-2: page size, 3: anywhere in memory),
 * "ARM\x64" at 56. Whether the CPU has that page size the kernel itself says at once.
 */
static int image_header(const uint8_t head[IMAGE_HEAD], struct image_header *ret, struct err *e)
{
	struct image_header h;

	if (memcmp(head + 56, "ARM\x64", 4))
		return 0;
	h.text_offset = get_le64(head + 8);
	h.image_size = get_le64(head + 16);
	/* Before Linux 3.17 the size was 0, the flags unknown, and the offset in an unknown byte order. */
	if (!h.image_size)
		h.text_offset = TEXT_OFFSET;
	else if (get_le64(head + 24) & 1)
		return err_set(e, -EINVAL, "its header says big-endian, which guests here are not: build it little-endian");
	if (h.text_offset & 0xfff || h.text_offset > GIB(1))
		return wild("text offset", h.text_offset, e);
	*ret = h;
	return 1;
}

/* A zImage says where it ends in the file; its unpacked size it does not say. */
static int zimage_header(const uint8_t head[IMAGE_HEAD], struct image_header *ret, struct err *e)
{
	if (get_le32(head + 36) != ZIMAGE_MAGIC)
		return 0;
	if (get_le32(head + 44) < get_le32(head + 40))
		return wild("end", get_le32(head + 44), e);
	*ret = (struct image_header){ .text_offset = AARCH32_OFFSET, .image_size = get_le32(head + 44) - get_le32(head + 40) };
	return 1;
}

static const struct boot_layout layout64 = {
	.align = KERNEL_ALIGN,
	.flat_offset = TEXT_OFFSET,
	.elf_machine = EM_AARCH64,
	.header = image_header,
	.low = LOW_RAM,
	.reach = GIB(32), /* booting.rst: kernel and initrd lie in a window of 32 GiB, aligned to 1 GiB */
	.write_tree = arm64_fdt_build,
};

static const struct boot_layout layout32 = {
	.machine = "32-bit arm",
	.align = KERNEL_ALIGN,
	.flat_offset = AARCH32_OFFSET,
	.elf_machine = EM_ARM,
	.header = zimage_header,
	.low = AARCH32_LOW,
	.write_tree = arm64_fdt_build,
};

/* Back to power-on: vCPUs, interrupt controller, RAM. Devices are their owner's business, and have been reset before. */
static int restart(struct machine *m, struct err *e)
{
	struct arm64_state *s = arm64_state(m);
	int r;

	for (unsigned int i = 0; i < m->n_vcpus; i++) {
		r = arm64_init_vcpu(m, i, e);
		if (r < 0)
			return r;
	}
	r = gic_reset(s->gic);
	if (r < 0)
		return err_set(e, r, "the interrupt controller cannot be reset: %s", err_name(r));
	/* Nothing of the last run is left, and the host gets its pages back; huge pages may refuse, then the kernel clears what it needs. */
	memory_discard(m->memory, m->ram_base, m->ram_size);
	if (s->has[ARM64_PVTIME])
		memory_discard(m->memory, ARM64_PVTIME_BASE, ARM64_PVTIME_SIZE);
	return 0;
}

int arm64_load(struct machine *m, struct err *e)
{
	struct arm64_state *s = arm64_state(m);
	const bool aarch32 = s->has[ARM64_AARCH32];
	struct boot_entry entry = { 0 };
	uint64_t x[4] = { 0 };
	int r = s->loaded ? restart(m, e) : 0;

	if (r >= 0)
		r = boot_load(m, &s->boot, aarch32 ? &layout32 : &layout64, &entry, e);
	if (r < 0)
		return r;
	if (aarch32) {
		x[1] = UINT32_MAX; /* the machine is what the tree says */
		x[2] = entry.dtb;
	} else {
		x[0] = entry.dtb;
	}
	/* The exception level and the masks are those of KVM's reset: EL1 (or EL2), interrupts off. The others wait for PSCI CPU_ON. */
	for (unsigned int i = 0; r >= 0 && i < ARRAY_SIZE(x); i++)
		r = arm64_set_reg(m, 0, ARM64_REG_X(i), x[i], e);
	if (r >= 0)
		r = arm64_set_reg(m, 0, ARM64_REG_PC, entry.pc, e);
	if (r < 0)
		return r;
	s->loaded = true;
	return 0;
}
