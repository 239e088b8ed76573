// SPDX-License-Identifier: MIT
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "arch/image.h"
#include "arch/image_kind.h"
#include "arch/image_stream.h"
#include "base/endian.h"
#include "base/sys.h"

#define CHUNK 65536
#define MAX_SEGMENTS 64

/* Copies a pipe or the like into a file without a name. */
static int image_slurp(struct image_file *f, const char *what, uint64_t max, struct err *e)
{
	CLEANUP_FREE char *buf = malloc(CHUNK);
	CLEANUP_CLOSE int fd = -1;
	ssize_t n;
	int r;

	if (!buf)
		return err_set(e, -ENOMEM, "%s: not enough memory to read it", f->path);
	fd = memfd_create("lkvm-image", MFD_CLOEXEC);
	if (fd < 0)
		return err_set(e, -errno, "%s is no regular file and cannot be copied: %s; give a file", f->path, err_name(-errno));
	while ((n = sys_read_all(f->fd, buf, CHUNK)) > 0) {
		if (f->size + (uint64_t)n > max)
			return err_set(e, -EFBIG, "%s %s is larger than the guest's RAM (%" PRIu64 " MiB): give it more with -m", what,
				       f->path, max >> 20);
		r = sys_write_all(fd, buf, (size_t)n);
		if (r < 0)
			return err_set(e, r, "%s cannot be copied to memory: %s", f->path, err_name(r));
		f->size += (uint64_t)n;
	}
	if (n < 0)
		return err_set(e, (int)n, "%s cannot be read: %s", f->path, err_name((int)n));
	close(f->fd);
	f->fd = take_fd(&fd);
	return 0;
}

int image_open(const char *path, const char *what, uint64_t max, struct image_file *ret, struct err *e)
{
	struct image_file f = { .path = path, .fd = -1 };
	struct stat st;
	int r;

	f.fd = sys_open(path, O_RDONLY, 0);
	if (f.fd < 0) {
		r = f.fd;
		return err_set(e, r, "Unable to open %s %s: %s", what, path, err_name(r));
	}
	if (fstat(f.fd, &st) < 0) {
		r = err_set(e, -errno, "%s %s cannot be read: %s", what, path, err_name(-errno));
		goto fail;
	}
	if (S_ISDIR(st.st_mode)) {
		r = err_set(e, -EISDIR, "%s %s is a folder: give the file itself", what, path);
		goto fail;
	}
	if (S_ISREG(st.st_mode)) {
		f.size = (uint64_t)st.st_size;
	} else {
		r = image_slurp(&f, what, max, e);
		if (r < 0)
			goto fail;
	}
	if (!f.size) {
		r = err_set(e, -EINVAL, "%s %s is empty: give a file with content", what, path);
		goto fail;
	}
	if (f.size > max) {
		r = err_set(e, -EFBIG, "%s %s has %" PRIu64 " MiB, the guest's RAM only %" PRIu64 " MiB: give it more with -m", what, path,
			    f.size >> 20, max >> 20);
		goto fail;
	}
	*ret = f;
	return 0;
fail:
	close(f.fd);
	return r;
}

void image_close(struct image_file *f)
{
	if (f->path && f->fd >= 0)
		close(f->fd);
	*f = (struct image_file){ .fd = -1 };
}

static int too_small(const struct image_file *f, const struct image_target *t, uint64_t end, struct err *e)
{
	uint64_t need = end > t->ram_base ? end - t->ram_base : end;

	return err_set(e, -ENOSPC, "kernel %s needs %" PRIu64 " MiB of RAM, the guest has %" PRIu64 " MiB: give it more with -m %" PRIu64,
		       f->path, (need + MIB(1) - 1) >> 20, t->ram_size >> 20, ((need + MIB(1) - 1) >> 20) + 8);
}

/* Reads the rest of the content to gpa; *ret_len bytes of it. It may take what RAM there is from gpa on, no more. */
static int load_whole(struct image_stream *s, const struct image_target *t, uint64_t gpa, uint64_t *ret_len, struct err *e)
{
	uint64_t room = t->ram_base + t->ram_size - gpa;
	struct slice to;
	uint8_t more;
	int64_t n;
	int r;

	if (!s->packing)
		room = MIN(room, s->end - s->start - s->offset);
	r = memory_slice(t->memory, gpa, room, &to);
	if (r < 0)
		return err_set(e, r, "kernel %s: no RAM at 0x%" PRIx64, s->f->path, gpa);
	n = image_stream_read(s, to.p, room, e);
	if (n < 0)
		return (int)n;
	*ret_len = (uint64_t)n;
	memory_mark_dirty(t->memory, gpa, (uint64_t)n);
	n = image_stream_read(s, &more, 1, e);
	if (n < 0)
		return (int)n;
	if (n > 0)
		return err_set(e, -ENOSPC, "kernel %s does not fit into the guest's %" PRIu64 " MiB of RAM: give it more with -m",
			       s->f->path, t->ram_size >> 20);
	return 0;
}

struct segment {
	uint64_t offset, filesz, memsz, vaddr, paddr;
};

static int compare_segments(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int elf_error(struct image_stream *s, struct err *e, const char *what)
{
	return err_set(e, -EINVAL, "kernel %s is no usable ELF file: %s", s->f->path, what);
}

static uint16_t elf16(bool be, const uint8_t *p)
{
	return be ? get_be16(p) : get_le16(p);
}

static uint64_t elf64(bool be, const uint8_t *p)
{
	return be ? get_be64(p) : get_le64(p);
}

/* Reads and checks the headers: the PT_LOAD segments, sorted by file offset. */
static int elf_segments(struct image_stream *s, const struct image_target *t, struct segment *seg, uint64_t *ret_entry, struct err *e)
{
	const bool be = t->elf_machine == EM_S390;
	const uint8_t *h = s->head;
	uint64_t phoff;
	unsigned int phnum, phentsize, n = 0;
	int r;

	if (s->n_head < sizeof(Elf64_Ehdr))
		return elf_error(s, e, "it ends inside its header; copy it again");
	if (h[EI_CLASS] != ELFCLASS64 || h[EI_DATA] != (be ? ELFDATA2MSB : ELFDATA2LSB))
		return err_set(e, -EINVAL, t->elf_machine == EM_ARM ? "kernel %s is an ELF file, which 32-bit guests cannot start from: give the zImage of %s"
								    : "kernel %s is not a 64-bit ELF file of %s: build it for that", s->f->path, t->name);
	if (elf16(be, h + offsetof(Elf64_Ehdr, e_machine)) != t->elf_machine)
		return err_set(e, -EINVAL, "kernel %s is an ELF file of another machine: this guest is %s", s->f->path, t->name);
	*ret_entry = elf64(be, h + offsetof(Elf64_Ehdr, e_entry));
	phoff = elf64(be, h + offsetof(Elf64_Ehdr, e_phoff));
	phnum = elf16(be, h + offsetof(Elf64_Ehdr, e_phnum));
	phentsize = elf16(be, h + offsetof(Elf64_Ehdr, e_phentsize));
	if (!phnum || phnum > 1024 || phentsize < sizeof(Elf64_Phdr) || phentsize > 4096)
		return elf_error(s, e, "its program headers are wild");
	if (phoff > INT64_MAX || (s->packing && phoff + (uint64_t)phnum * phentsize > s->n_head))
		return elf_error(s, e, "its program headers are not at its start; unpack it, or give the Image");
	r = image_stream_seek(s, phoff, e);
	for (unsigned int i = 0; r >= 0 && i < phnum; i++) {
		uint8_t ph[sizeof(Elf64_Phdr)];
		int64_t got;

		r = image_stream_seek(s, phoff + (uint64_t)i * phentsize, e);
		if (r < 0)
			return r;
		got = image_stream_read(s, ph, sizeof(ph), e);
		if (got < 0)
			return (int)got;
		if (got < (int64_t)sizeof(ph))
			return elf_error(s, e, "it ends inside its program headers; copy it again");
		if ((be ? get_be32(ph) : get_le32(ph)) != PT_LOAD || !elf64(be, ph + offsetof(Elf64_Phdr, p_memsz)))
			continue;
		if (n == MAX_SEGMENTS)
			return elf_error(s, e, "it has too many segments");
		seg[n] = (struct segment){
			.offset = elf64(be, ph + offsetof(Elf64_Phdr, p_offset)),
			.filesz = elf64(be, ph + offsetof(Elf64_Phdr, p_filesz)),
			.memsz = elf64(be, ph + offsetof(Elf64_Phdr, p_memsz)),
			.vaddr = elf64(be, ph + offsetof(Elf64_Phdr, p_vaddr)),
			.paddr = elf64(be, ph + offsetof(Elf64_Phdr, p_paddr)),
		};
		if (seg[n].filesz > seg[n].memsz || seg[n].offset > INT64_MAX || seg[n].memsz > INT64_MAX ||
		    seg[n].paddr > UINT64_MAX - seg[n].memsz || seg[n].vaddr > UINT64_MAX - seg[n].memsz)
			return elf_error(s, e, "a segment's sizes are wild");
		n++;
	}
	if (r < 0)
		return r;
	if (!n)
		return elf_error(s, e, "it has nothing to load; give an executable kernel");
	qsort(seg, n, sizeof(seg[0]), compare_segments);
	return (int)n;
}

/*
 * Segments that lie in RAM stay where they want to be. Others (vmlinux is linked to physical address 0) move together, so that the
 * lowest lands where a flat kernel would.
 */
static int load_elf(struct image_stream *s, const struct image_target *t, struct image *ret, struct err *e)
{
	struct segment seg[MAX_SEGMENTS];
	uint64_t entry = 0, low = UINT64_MAX, high = 0, shift = 0;
	const uint64_t ram_end = t->ram_base + t->ram_size;
	bool found = false;
	int n = elf_segments(s, t, seg, &entry, e);

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		low = MIN(low, seg[i].paddr);
		high = MAX(high, seg[i].paddr + seg[i].memsz);
	}
	if (low < t->ram_base || low >= ram_end) {
		if (high - low > t->ram_size - MIN(t->ram_size, t->flat_offset))
			return too_small(s->f, t, t->ram_base + t->flat_offset + (high - low), e);
		shift = t->ram_base + t->flat_offset - round_down(low, t->align); /* may wrap; the sums below wrap back */
		if (high + shift > ram_end || high + shift < t->ram_base)
			return too_small(s->f, t, t->ram_base + t->flat_offset + (high - round_down(low, t->align)), e);
	} else if (high > ram_end) {
		return too_small(s->f, t, high, e);
	}
	for (int i = 0; i < n; i++) {
		uint64_t gpa = seg[i].paddr + shift;
		struct slice to;
		int64_t got;
		int r;

		if (!found && entry >= seg[i].vaddr && entry - seg[i].vaddr < seg[i].memsz) {
			ret->entry = entry - seg[i].vaddr + gpa;
			found = true;
		}
		r = memory_slice(t->memory, gpa, seg[i].memsz, &to);
		if (r < 0)
			return err_set(e, r, "kernel %s: no RAM at 0x%" PRIx64 " where a segment belongs", s->f->path, gpa);
		r = image_stream_seek(s, seg[i].offset, e);
		if (r < 0)
			return r;
		got = image_stream_read(s, to.p, seg[i].filesz, e);
		if (got < 0)
			return (int)got;
		if ((uint64_t)got < seg[i].filesz)
			return elf_error(s, e, "it ends inside a segment; copy it again");
		memory_mark_dirty(t->memory, gpa, seg[i].filesz);
		/* bss: guest memory is zero here already, unless a segment came over it */
		memory_zero(t->memory, gpa + seg[i].filesz, seg[i].memsz - seg[i].filesz);
	}
	if (!found)
		return elf_error(s, e, "its entry point lies in no segment");
	ret->start = low + shift;
	ret->end = high + shift;
	return 0;
}

/* How long a file with a PE header (Linux's EFI stub) must be for its sections to be whole; 0: it has none. */
static uint64_t pe_size(const uint8_t *h, uint32_t n)
{
	uint32_t pe, sections, end = 0;

	if (n < 64 || h[0] != 'M' || h[1] != 'Z')
		return 0;
	pe = get_le32(h + 60);
	if (pe > n - 24 || memcmp(h + pe, "PE\0\0", 4))
		return 0;
	sections = pe + 24 + get_le16(h + pe + 20);
	for (unsigned int i = 0; i < get_le16(h + pe + 6); i++, sections += 40) {
		if (sections + 40 > n)
			break;
		end = MAX(end, get_le32(h + sections + 16) + get_le32(h + sections + 20));
	}
	return end;
}

static int load_content(struct image_stream *s, const struct image_target *t, struct image *ret, struct err *e)
{
	struct image_header h = { 0 };
	uint8_t head[IMAGE_HEAD] = { 0 };
	uint64_t start, len = 0;
	int r;

	r = image_stream_peek(s, e);
	if (r < 0)
		return r;
	if (s->n_head >= 4 && !memcmp(s->head, ELFMAG, SELFMAG))
		return load_elf(s, t, ret, e);
	r = image_refuse_file(s->f->path, s->head, s->n_head, e);
	if (r < 0)
		return r;
	memcpy(head, s->head, MIN(s->n_head, IMAGE_HEAD));
	r = s->n_head >= IMAGE_HEAD ? t->header(head, &h, e) : 0;
	if (r < 0) {
		err_prefix(e, "kernel %s", s->f->path);
		return r;
	}
	if (!r) {
		r = image_refuse_flat(s->f->path, t->name, s->head, s->n_head, e);
		if (r < 0)
			return r;
	}
	if (r) {
		if (h.text_offset > t->ram_size || h.image_size > t->ram_size - h.text_offset)
			return too_small(s->f, t, h.text_offset > UINT64_MAX / 4 || h.image_size > UINT64_MAX / 4
							   ? UINT64_MAX / 2
							   : t->ram_base + h.text_offset + h.image_size, e);
		start = round_up(t->ram_base, t->align) + h.text_offset;
	} else {
		start = t->ram_base + t->flat_offset;
	}
	if (start - t->ram_base >= t->ram_size)
		return too_small(s->f, t, start + MAX(h.image_size, s->f->size), e);
	if (!s->packing && s->end - s->start > t->ram_base + t->ram_size - start)
		return too_small(s->f, t, start + (s->end - s->start), e);
	r = load_whole(s, t, start, &len, e);
	if (r < 0)
		return r;
	/* An Image leaves out its bss; that its code is whole only the PE header of the EFI stub can tell. */
	if (len < pe_size(s->head, s->n_head))
		return err_set(e, -EINVAL, "kernel %s is truncated: copy it again", s->f->path);
	*ret = (struct image){ .start = start, .end = start + MAX(h.image_size, len), .entry = start };
	if (ret->end > t->ram_base + t->ram_size)
		return too_small(s->f, t, ret->end, e);
	return 0;
}

/* EFI zboot: "MZ", "zimg" at 4, payload offset at 8 and size at 12, compression by name at 24. */
static int zboot_payload(const struct image_file *f, const uint8_t *head, uint64_t *ret_start, uint64_t *ret_size,
			 const struct image_packing **ret_packing, struct err *e)
{
	const struct image_packing *packing;
	uint64_t start = get_le32(head + 8), size = get_le32(head + 12);
	char how[9];

	memcpy(how, head + 24, 8);
	how[8] = 0;
	for (char *p = how; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	if (start > f->size || size > f->size - start || size < 18)
		return err_set(e, -EINVAL, "kernel %s is a truncated EFI zboot file: copy it again", f->path);
	packing = image_packing_by_name(how);
	if (!packing)
		return err_set(e, -EINVAL, "kernel %s is an EFI zboot file packed with %s, only gzip and zstd are understood: give the unpacked Image",
			       f->path, how);
	*ret_packing = packing;
	*ret_start = start;
	*ret_size = size;
	return 0;
}

int image_load(const struct image_file *f, const struct image_target *t, struct image *ret, struct err *e)
{
	uint8_t head[IMAGE_HEAD] = { 0 };
	uint64_t start = 0, size = f->size;
	const struct image_packing *packing, *said = NULL;
	struct image image = { 0 };
	struct image_stream s;
	ssize_t n;
	int r;

	n = sys_pread_all(f->fd, head, sizeof(head), 0);
	if (n < 0)
		return err_set(e, (int)n, "kernel %s cannot be read: %s", f->path, err_name((int)n));
	if (n == sizeof(head) && head[0] == 'M' && head[1] == 'Z' && !memcmp(head + 4, "zimg", 4)) {
		r = zboot_payload(f, head, &start, &size, &said, e);
		if (r < 0)
			return r;
		n = sys_pread_all(f->fd, head, sizeof(head), start);
		if (n < 2)
			return err_set(e, n < 0 ? (int)n : -EINVAL, "kernel %s is a truncated EFI zboot file: copy it again", f->path);
	}
	packing = image_packing_of(head, (size_t)n);
	if (said && packing != said)
		return err_set(e, -EINVAL, "kernel %s is a damaged EFI zboot file: copy it again", f->path);
	r = image_stream_open(&s, f, start, size, packing, e);
	if (r >= 0)
		r = load_content(&s, t, &image, e);
	image_stream_close(&s);
	if (r < 0)
		return r;
	*ret = image;
	return 0;
}

int image_read_to(const struct image_file *f, struct memory *memory, uint64_t gpa, struct err *e)
{
	struct slice to;
	ssize_t n;
	int r = memory_slice(memory, gpa, f->size, &to);

	if (r < 0)
		return err_set(e, r, "%s does not fit into the guest's RAM at 0x%" PRIx64 ": give it more with -m", f->path, gpa);
	n = sys_pread_all(f->fd, to.p, to.len, 0);
	if (n < 0)
		return err_set(e, (int)n, "%s cannot be read: %s", f->path, err_name((int)n));
	if ((uint64_t)n < f->size)
		return err_set(e, -EIO, "%s became shorter while it was read: try again", f->path);
	memory_mark_dirty(memory, gpa, f->size);
	return 0;
}
