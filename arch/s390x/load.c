// SPDX-License-Identifier: MIT
/*
 * Start-up: Linux's way of being loaded by something that is no boot loader (arch/s390's parameter area, beginning at 0x10400), flat files and ELF. A raw kernel file begins at absolute 0 and is
 * entered at 0x10000; a flat file too small for that is started as an IPL would, with the PSW that it brings at location 0.
 */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>

#include "arch/s390x/s390x.h"
#include "base/endian.h"

#define ENTRY 0x10000
#define MAGIC_AT 0x10008
#define MAGIC "S390EP"
#define MAGIC_SIZE 6

/* The parameter area. */
#define PARM_INITRD 0x10408
#define PARM_INITRD_SIZE 0x10410
#define PARM_CMDLINE_MAX 0x10430 /* 0 in kernels before 5.17 */
#define PARM_CMDLINE 0x10480
#define OLD_CMDLINE_MAX 896
#define CMDLINE_MAX (KIB(64) - (PARM_CMDLINE - ENTRY))

#define INITRD_AT MIB(32) /* behind what a kernel unpacks itself to, mostly; they move it otherwise */

#define SHORT_PSW UINT64_C(0x0008000000000000)
#define SHORT_PSW_MASK UINT64_C(0xfff7ffff80000000)
#define SHORT_PSW_ADDRESS UINT64_C(0x7fffffff)

#ifndef EM_S390
#define EM_S390 22
#endif

static int no_header(const uint8_t head[IMAGE_HEAD], struct image_header *ret, struct err *e)
{
	return 0;
}

/* Back to power-on. Devices are their owner's business, and have been reset before. */
static int restart(struct machine *m, struct err *e)
{
	struct s390x_state *s = s390x_state(m);
	int r = 0;

	for (unsigned int i = 0; r >= 0 && i < m->n_vcpus; i++)
		r = s390x_clear_vcpu(m, i, e);
	if (r < 0 || !s->loaded)
		return r;
	css_reset(m->css);
	sclp_reset(s->sclp);
	s390x_clear_interrupts(m);
	memory_discard(m->memory, 0, m->ram_size);
	return 0;
}

static int open_files(struct machine *m, struct err *e)
{
	struct s390x_state *s = s390x_state(m);
	int r = 0;

	if (m->boot.firmware)
		return err_set(e, -EINVAL, "--firmware: s390x guests start from a kernel file; give it with -k");
	if (m->boot.dump_dtb)
		return err_set(e, -EINVAL, "--dump-dtb: s390x guests have no device tree; leave it out");
	if (!m->boot.kernel)
		return err_set(e, -EINVAL, "no kernel to start: give one with -k");
	if (!s->kernel.path)
		r = image_open(m->boot.kernel, "kernel", m->ram_size, &s->kernel, e);
	if (r >= 0 && m->boot.initrd && !s->initrd.path)
		r = image_open(m->boot.initrd, "initrd", m->ram_size, &s->initrd, e);
	return r;
}

static int write_cmdline(struct machine *m, bool linux_kernel, struct err *e)
{
	const char *text = m->boot.cmdline ? m->boot.cmdline : "";
	uint64_t max = OLD_CMDLINE_MAX;
	uint8_t said[8] = { 0 };
	int r;

	memory_read(m->memory, PARM_CMDLINE_MAX, said, sizeof(said));
	if (linux_kernel && get_be64(said) && get_be64(said) <= CMDLINE_MAX)
		max = get_be64(said);
	if (strlen(text) >= max)
		return err_set(e, -E2BIG, "the kernel command line has %zu bytes, this kernel takes %" PRIu64 ": make it shorter (-p)", strlen(text), max - 1);
	r = memory_write(m->memory, PARM_CMDLINE, text, strlen(text) + 1);
	return r < 0 ? err_set(e, -ENOSPC, "the kernel command line does not fit into the guest's RAM: give it more with -m") : 0;
}

static int put_initrd(struct machine *m, const struct image *kernel, struct err *e)
{
	const struct image_file *f = &s390x_state(m)->initrd;
	uint64_t at = MAX(round_up(kernel->end, MIB(1)), INITRD_AT);
	uint8_t words[16];
	int r;

	if (!f->path)
		return 0;
	if (at > m->ram_size || f->size > m->ram_size - at)
		at = f->size < m->ram_size ? round_down(m->ram_size - f->size, KIB(4)) : 0;
	if (at < kernel->end)
		return err_set(e, -ENOSPC, "kernel and initrd need %" PRIu64 " MiB of RAM, the guest has %" PRIu64 " MiB: give it more with -m",
			       (kernel->end + f->size + MIB(1) - 1) >> 20, m->ram_size >> 20);
	r = image_read_to(f, m->memory, at, e);
	if (r < 0)
		return r;
	put_be64(words, at);
	put_be64(words + 8, f->size);
	log_debug(m->log, "initrd 0x%" PRIx64 " (%" PRIu64 " bytes)", at, f->size);
	return memory_write(m->memory, PARM_INITRD, words, sizeof(words));
}

/* Where a flat file begins. */
static int flat_entry(struct machine *m, const struct image *image, uint64_t *ret_mask, uint64_t *ret_addr, struct err *e)
{
	uint8_t psw[8] = { 0 };
	uint64_t v;

	if (image->end > ENTRY) {
		*ret_addr = ENTRY;
		return 0;
	}
	memory_read(m->memory, 0, psw, sizeof(psw));
	v = get_be64(psw);
	if (!(v & SHORT_PSW))
		return err_set(e, -EINVAL, "kernel %s has no code at 0x10000 and no PSW at its start: give a raw kernel file or an ELF file", m->boot.kernel);
	*ret_mask = v & SHORT_PSW_MASK;
	*ret_addr = v & SHORT_PSW_ADDRESS;
	return 0;
}

int s390x_load(struct machine *m, struct err *e)
{
	const struct image_target target = {
		.memory = m->memory,
		.ram_size = m->ram_size,
		.align = MIB(1),
		.elf_machine = EM_S390,
		.name = "s390x",
		.header = no_header,
	};
	struct s390x_state *s = s390x_state(m);
	uint64_t mask = PSW_64BIT, addr;
	char magic[MAGIC_SIZE] = { 0 };
	struct image image;
	int r;

	if ((r = restart(m, e)) < 0 || (r = open_files(m, e)) < 0 || (r = image_load(&s->kernel, &target, &image, e)) < 0)
		return r;
	addr = image.entry;
	r = addr ? 0 : flat_entry(m, &image, &mask, &addr, e);
	if (r < 0)
		return r;
	memory_read(m->memory, MAGIC_AT, magic, sizeof(magic));
	if (addr == ENTRY) {
		r = write_cmdline(m, !memcmp(magic, MAGIC, MAGIC_SIZE), e);
		if (r >= 0)
			r = put_initrd(m, &image, e);
	} else if (s->initrd.path) {
		r = err_set(e, -EINVAL, "kernel %s does not begin at 0x10000, so nothing tells it of an initrd: leave -i out", m->boot.kernel);
	}
	if (r >= 0)
		r = s390x_start_vcpu(m, 0, mask, addr, e);
	if (r < 0)
		return r;
	log_debug(m->log, "kernel 0x%" PRIx64 "-0x%" PRIx64 ", PSW %016" PRIx64 " %016" PRIx64, image.start, image.end, mask, addr);
	s->loaded = true;
	return 0;
}
