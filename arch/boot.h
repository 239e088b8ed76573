// SPDX-License-Identifier: MIT
/* What a guest starts with, where a device tree describes it: kernel, initrd and tree in RAM. */
#ifndef LKVM_ARCH_BOOT_H
#define LKVM_ARCH_BOOT_H

#include "arch/arch.h"
#include "arch/image.h"

/* The files, open from the first start on, so that a restart finds the same ones. The kernel's is the firmware where that is given. */
struct boot {
	struct image_file kernel, initrd;
};

/* What the architecture knows of its kernels. */
struct boot_layout {
	const char *machine; /* what sentences call the guest, NULL: the architecture's name */
	uint64_t align, flat_offset; /* as in struct image_target */
	uint16_t elf_machine;
	int (*header)(const uint8_t head[IMAGE_HEAD], struct image_header *ret, struct err *e);
	uint64_t low; /* tree and initrd go below this distance from the start of RAM where they fit: every kernel reaches them there */
	uint64_t reach; /* elsewhere they end below this distance from the GiB that the RAM begins in; 0: anywhere */
	/* The whole tree; *ret_blob is the caller's. initrd_size 0: none. */
	int (*write_tree)(struct machine *m, uint64_t initrd, uint64_t initrd_size, void **ret_blob, size_t *ret_size, struct err *e);
};

struct boot_entry {
	uint64_t pc, dtb; /* guest physical */
};

void boot_init(struct boot *b);
void boot_close(struct boot *b);

/* Opens the files that m->boot names (the first time), reads them into RAM and writes the tree (and --dump-dtb). Errors carry the sentence. */
int boot_load(struct machine *m, struct boot *b, const struct boot_layout *layout, struct boot_entry *ret, struct err *e);

/* Begins a tree: root with two cells of address and size. -ENOMEM. */
int boot_open_tree(struct dt *dt, const struct dt_irq *irq, const char *model, struct err *e);
/* What every tree has: /chosen (the devices stand on /soc) and /memory. kaslr 0: random. */
int boot_write_chosen(struct machine *m, struct dt *dt, uint64_t initrd, uint64_t initrd_size, uint64_t kaslr, struct err *e);
void boot_write_memory(struct machine *m, struct dt *dt);
/* cpu-map of one cluster whose cores are the phandles from `first` on; inside /cpus. */
void boot_write_cpu_map(struct machine *m, struct dt *dt, uint32_t first);
/* The devices' own nodes: those with an address inside the open /soc, or the others at the root. */
void boot_write_nodes(struct machine *m, struct dt *dt, bool root);

#endif
