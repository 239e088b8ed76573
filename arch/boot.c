// SPDX-License-Identifier: MIT
#include "arch/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/sys.h"

#define FIRMWARE_ALIGN MIB(2) /* of the tree behind it */

void boot_init(struct boot *b)
{
	*b = (struct boot){ .kernel.fd = -1, .initrd.fd = -1 };
}

void boot_close(struct boot *b)
{
	image_close(&b->kernel);
	image_close(&b->initrd);
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

/*
 * Firmware is put down as it is, and starts at its first byte. The tree comes behind it, as kvmtool's users know it; but not at once where there is room, since what the
 * firmware zeroes at its start (a bss of which the file says nothing) lies there, too.
 */
static int load_firmware(struct machine *m, const struct image_file *f, uint64_t dtb_room, struct image *ret, uint64_t *ret_dtb, struct err *e)
{
	const uint64_t at = m->boot.firmware_address ? m->boot.firmware_address : m->ram_base, ram_end = m->ram_base + m->ram_size;
	uint64_t dtb;
	int r;

	if (at < m->ram_base || at >= ram_end || at & 3)
		return err_set(e, -EINVAL, "--firmware-address 0x%" PRIx64 " is no place for code: RAM is 0x%" PRIx64 " to 0x%" PRIx64, at, m->ram_base,
			       ram_end - 1);
	dtb = f->size < ram_end - at ? round_up(at + f->size, FIRMWARE_ALIGN) : ram_end;
	if (dtb < ram_end && f->size + FIRMWARE_ALIGN + dtb_room <= ram_end - dtb)
		dtb = round_up(dtb + f->size, FIRMWARE_ALIGN);
	if (dtb >= ram_end || dtb_room > ram_end - dtb)
		return err_set(e, -ENOSPC, "firmware %s and the device tree behind it do not fit into RAM from 0x%" PRIx64 " on: give it more with -m",
			       f->path, at);
	r = image_read_to(f, m->memory, at, e);
	if (r < 0)
		return r;
	*ret = (struct image){ .start = at, .end = at + f->size, .entry = at };
	*ret_dtb = dtb;
	return 0;
}

static int load_files(struct machine *m, struct boot *b, const struct boot_layout *l, struct boot_entry *ret, struct err *e)
{
	const struct image_target target = {
		.memory = m->memory,
		.ram_base = m->ram_base,
		.ram_size = m->ram_size,
		.align = l->align,
		.flat_offset = l->flat_offset,
		.elf_machine = l->elf_machine,
		.name = l->machine ? l->machine : m->arch->name,
		.header = l->header,
	};
	const uint64_t ram_end = m->ram_base + m->ram_size;
	const uint64_t low_end = m->ram_base + MIN(m->ram_size, l->low);
	const uint64_t end = l->reach ? MIN(ram_end, round_down(m->ram_base, GIB(1)) + l->reach) : ram_end;
	const uint64_t dtb_room = round_up(KIB(32) + m->n_vcpus * KIB(4) + m->n_nodes * 512 + strlen(m->boot.cmdline ? m->boot.cmdline : ""),
					   KIB(64));
	uint64_t initrd = 0, initrd_size = b->initrd.path ? b->initrd.size : 0, dtb = 0;
	CLEANUP_FREE void *blob = NULL;
	struct image kernel;
	size_t size;
	int r;

	/* A small kernel uses little of its 2 MiB; what the tree leaves of the last ones is used late, if ever. */
	if (b->kernel.size <= KIB(256))
		memory_expect_sparse(m->memory, m->ram_base + target.flat_offset, b->kernel.size);
	if (m->boot.firmware) {
		r = load_firmware(m, &b->kernel, dtb_room, &kernel, &dtb, e);
	} else {
		r = image_load(&b->kernel, &target, &kernel, e);
		if (r >= 0)
			dtb = place(&kernel, low_end, end, dtb_room, KIB(64));
	}
	if (r < 0)
		return r;
	if (!dtb)
		return no_room(m, kernel.end - m->ram_base + initrd_size + dtb_room, e);
	if (initrd_size) {
		initrd = place(&kernel, dtb < low_end ? dtb : low_end, dtb < low_end ? end : dtb, initrd_size, KIB(4));
		if (!initrd || ranges_overlap(initrd, initrd_size, dtb, dtb_room))
			return no_room(m, kernel.end - m->ram_base + initrd_size + dtb_room + KIB(64), e);
		r = image_read_to(&b->initrd, m->memory, initrd, e);
		if (r < 0)
			return r;
	}
	r = l->write_tree(m, initrd, initrd_size, &blob, &size, e);
	if (r < 0)
		return r;
	if (size > dtb_room)
		return err_set(e, -E2BIG, "the device tree has %zu bytes, only %" PRIu64 " have a place: use fewer devices or vCPUs", size,
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
	*ret = (struct boot_entry){ .pc = kernel.entry, .dtb = dtb };
	return 0;
}

int boot_load(struct machine *m, struct boot *b, const struct boot_layout *layout, struct boot_entry *ret, struct err *e)
{
	const char *what = m->boot.firmware ? "firmware" : "kernel", *path = m->boot.firmware ? m->boot.firmware : m->boot.kernel;
	int r = 0;

	if (!path)
		return err_set(e, -EINVAL, "no kernel to start: give one with -k");
	if (!b->kernel.path)
		r = image_open(path, what, m->ram_size, &b->kernel, e);
	if (r >= 0 && m->boot.initrd && !m->boot.firmware && !b->initrd.path)
		r = image_open(m->boot.initrd, "initrd", m->ram_size, &b->initrd, e);
	return r < 0 ? r : load_files(m, b, layout, ret, e);
}

int boot_open_tree(struct dt *dt, const struct dt_irq *irq, const char *model, struct err *e)
{
	int r = dt_start(dt);

	if (r < 0)
		return err_set(e, r, "not enough memory for the device tree");
	dt->irq = *irq;
	dt_begin(dt, "%s", "");
	dt_prop_u32(dt, "#address-cells", 2);
	dt_prop_u32(dt, "#size-cells", 2);
	dt_prop_string(dt, "compatible", "linux,dummy-virt");
	dt_prop_string(dt, "model", model);
	return 0;
}

int boot_write_chosen(struct machine *m, struct dt *dt, uint64_t initrd, uint64_t initrd_size, uint64_t kaslr, struct err *e)
{
	uint8_t seed[64];
	char path[128];
	int r = sys_random(seed, sizeof(seed));

	if (r >= 0 && !kaslr)
		r = sys_random(&kaslr, sizeof(kaslr));
	if (r < 0)
		return err_set(e, r, "the host has no random numbers for the guest: %s", err_name(r));
	dt_begin(dt, "chosen");
	dt_prop_string(dt, "bootargs", m->boot.cmdline ? m->boot.cmdline : "");
	if (m->stdout_path) {
		/* Devices stand on /soc. */
		snprintf(path, sizeof(path), "%s%s", strncmp(m->stdout_path, "/soc/", 5) ? "/soc" : "", m->stdout_path);
		dt_prop_string(dt, "stdout-path", path);
	}
	if (initrd_size) {
		dt_prop_u64(dt, "linux,initrd-start", initrd);
		dt_prop_u64(dt, "linux,initrd-end", initrd + initrd_size);
	}
	dt_prop(dt, "rng-seed", seed, sizeof(seed));
	dt_prop_u64(dt, "kaslr-seed", kaslr);
	dt_end(dt);
	return 0;
}

void boot_write_memory(struct machine *m, struct dt *dt)
{
	dt_begin(dt, "memory@%llx", (unsigned long long)m->ram_base);
	dt_prop_string(dt, "device_type", "memory");
	dt_prop_reg(dt, m->ram_base, m->ram_size);
	dt_end(dt);
}

void boot_write_cpu_map(struct machine *m, struct dt *dt, uint32_t first)
{
	dt_begin(dt, "cpu-map");
	dt_begin(dt, "cluster0");
	for (unsigned int i = 0; i < m->n_vcpus; i++) {
		dt_begin(dt, "core%u", i);
		dt_prop_u32(dt, "cpu", first + i);
		dt_end(dt);
	}
	dt_end(dt);
	dt_end(dt);
}

void boot_write_nodes(struct machine *m, struct dt *dt, bool root)
{
	for (unsigned int i = 0; i < m->n_nodes; i++)
		if (m->node[i].root == root)
			m->node[i].write(m->node[i].ctx, dt);
}
