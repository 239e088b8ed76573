// SPDX-License-Identifier: MIT
/*
 * Flash memory with the Intel command set (JEDEC JESD68.01 and JEP137, command set 0x0001): two chips of 16 bits side by side on a bus of 32, erase blocks of 64 KiB,
 * as UEFI firmware made for kvmtool and Linux's cfi driver expect it. Its content is a file, which has each program and erase before the guest sees it done.
 *
 * While it reads as an array it is a read-only memory slot, so reads (and instructions) cost nothing and only writes trap; in all other modes, and on hosts without
 * KVM_CAP_READONLY_MEM, reads trap as well. Commands are 32 bits wide; writes of other widths are ignored, reads may have any.
 *
 * Locking: one mutex; order: flash, hypervisor. Thread-safe unless said otherwise.
 */
#ifndef LKVM_HW_CFI_FLASH_H
#define LKVM_HW_CFI_FLASH_H

#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "bus.h"
#include "dt.h"
#include "hv/hv.h"

#define CFI_FLASH_BLOCK KIB(64)
#define CFI_FLASH_MAX_BLOCKS 256
#define CFI_FLASH_BUFFER_WORDS 32

struct cfi_flash;

struct cfi_flash_config {
	const char *path;  /* of the file; its first power of two of bytes counts, from a block to `room` */
	uint64_t base, room; /* where it goes, and how much of it there is */
	struct hv *hv;	   /* may be NULL: no memory slot */
	unsigned int slot; /* of memory, ours */
	const struct log *log; /* may be NULL */
};

#define CFI_FLASH_STATE_VERSION 1

/* What the chips keep beside their content. */
struct cfi_flash_state {
	uint32_t version;
	uint32_t mode;	  /* what reads give */
	uint32_t expects; /* what the next write is */
	uint32_t status;  /* SR bits but SR.7, which is always set */
	uint32_t start, count, filled; /* buffered program: first offset, words announced, words written */
	uint32_t mask;	  /* which of buffer are valid */
	uint32_t buffer[CFI_FLASH_BUFFER_WORDS];
	uint64_t locked[CFI_FLASH_MAX_BLOCKS / 64];
};

/* -errno of the file with a sentence, -EINVAL for one that is too small, -EBUSY when another guest has it, -ENOMEM, -EEXIST. bus NULL: on none. */
int cfi_flash_create(const struct cfi_flash_config *config, struct bus *bus, struct cfi_flash **ret, struct err *e);
void cfi_flash_destroy(struct cfi_flash *flash); /* NULL is fine */
DEFINE_CLEANUP(cfi_flash, cfi_flash_destroy)

extern const struct bus_ops cfi_flash_bus_ops;

uint64_t cfi_flash_size(const struct cfi_flash *flash); /* bytes */

/* flash@<base> */
void cfi_flash_write_dt(const struct cfi_flash *flash, struct dt *dt);

/* As after power-on: reads as an array, nothing locked. With vCPUs stopped. */
void cfi_flash_reset(struct cfi_flash *flash);

/* With vCPUs stopped. load: -EINVAL for a state that cannot be. */
void cfi_flash_save(struct cfi_flash *flash, struct cfi_flash_state *ret);
int cfi_flash_load(struct cfi_flash *flash, const struct cfi_flash_state *state);

#endif
