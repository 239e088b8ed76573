// SPDX-License-Identifier: MIT
/* For tests of machines over the scripted hypervisor: their way up and down, files that have no name, and the device tree that a guest finds. */
#ifndef LKVM_ARCH_TEST_COMMON_H
#define LKVM_ARCH_TEST_COMMON_H

#include <libfdt.h>
#include <stdio.h>
#include <sys/mman.h>

#include "arch/arch.h"
#include "base/endian.h"
#include "base/sys.h"
#include "hv/scripted.h"

/* Up to and including prepare, on a scripted hypervisor whose ops are *ops with `between` applied: what the test wants to see or answer itself. */
static inline int tm_machine_prepare(struct machine *m, const struct scripted_config *scripted, struct hv_ops *ops, void (*between)(struct hv_ops *ops),
				     struct err *e)
{
	int r = hv_scripted_create(scripted, &m->hv);

	if (r < 0)
		return err_set(e, r, "hv_scripted_create");
	*ops = *m->hv->ops;
	between(ops);
	m->hv->ops = ops;
	r = memory_create(&m->memory);
	if (r >= 0)
		r = bus_create(&m->bus);
	return r < 0 ? err_set(e, r, "memory or bus") : m->arch->prepare(m, e);
}

/* From there up to and including the interrupt controller. */
static inline int tm_machine_build(struct machine *m, struct err *e)
{
	int r = 0;

	for (unsigned int i = 0; r >= 0 && i < m->n_vcpus; i++)
		r = m->arch->create_vcpu(m, i, e);
	return r < 0 ? r : m->arch->create_irqchip(m, e);
}

/* Of n_vcpus that there is room for. */
static inline void tm_machine_destroy(struct machine *m, unsigned int n_vcpus)
{
	m->arch->destroy(m);
	for (unsigned int i = n_vcpus; i-- > 0;)
		hv_vcpu_destroy(m->vcpu[i].hv);
	bus_destroy(m->bus);
	hv_destroy(m->hv);
	memory_destroy(m->memory);
}

/* The first 8 bytes of a register; UINT64_MAX: there is none. */
static inline uint64_t tm_machine_reg(struct machine *m, unsigned int i, uint64_t id)
{
	uint64_t v[32] = { 0 };

	return m->hv->ops->get_reg(m->vcpu[i].hv, id, v) < 0 ? UINT64_MAX : v[0];
}

static inline void tm_machine_set_reg(struct machine *m, unsigned int i, uint64_t id, uint64_t v)
{
	m->hv->ops->set_reg(m->vcpu[i].hv, id, &v);
}

/* A file with this content; its path goes to path[32]. The descriptor is the caller's. */
static inline int tm_file(const void *data, size_t len, char path[32])
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	if (fd < 0 || sys_write_all(fd, data, len) < 0)
		abort();
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

/* The tree that a guest was given at gpa, copied out of its memory; the caller frees it. NULL: there is none. */
static inline void *tm_tree(struct memory *memory, uint64_t gpa)
{
	uint8_t head[8];
	void *blob;
	uint32_t size;

	if (memory_read(memory, gpa, head, 8) < 0 || get_be32(head) != FDT_MAGIC)
		return NULL;
	size = get_be32(head + 4);
	blob = malloc(size);
	if (!blob || memory_read(memory, gpa, blob, size) < 0 || fdt_check_header(blob) || gpa & 7) {
		free(blob);
		return NULL;
	}
	return blob;
}

static inline const void *tree_prop(const void *fdt, const char *path, const char *name, int *ret_len)
{
	int n = fdt_path_offset(fdt, path), len = -1;
	const void *p = n < 0 ? NULL : fdt_getprop(fdt, n, name, &len);

	if (ret_len)
		*ret_len = len;
	return p;
}

static inline uint32_t tree_u32(const void *fdt, const char *path, const char *name)
{
	int len;
	const void *p = tree_prop(fdt, path, name, &len);

	return p && len == 4 ? get_be32(p) : 0xdeadbeef;
}

static inline uint64_t tree_u64(const void *fdt, const char *path, const char *name)
{
	int len;
	const void *p = tree_prop(fdt, path, name, &len);

	return p && len == 8 ? get_be64(p) : 0xdeadbeef;
}

static inline const char *tree_str(const void *fdt, const char *path, const char *name)
{
	const char *p = tree_prop(fdt, path, name, NULL);

	return p ? p : "";
}

#endif
