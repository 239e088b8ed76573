// SPDX-License-Identifier: MIT
/* Writing a device tree with libfdt: a growing buffer whose first error sticks, so that writers need not check each call. */
#ifndef LKVM_DT_H
#define LKVM_DT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/util.h"
#include "irq.h"

/* How the machine's interrupt controller spells an interrupt in the tree; set by the architecture. */
struct dt_irq {
	uint32_t phandle; /* of the interrupt controller */
	unsigned int (*cells)(const struct irq_line *line, uint32_t cells[4]); /* returns their number */
};

struct dt {
	void *blob; /* the tree being written; dt_finish hands it over */
	size_t size;
	int error; /* libfdt's, sticks */
	unsigned int depth; /* nodes that are open */
	struct dt_irq irq;
};

int dt_start(struct dt *dt);
void dt_begin(struct dt *dt, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void dt_end(struct dt *dt);
void dt_prop(struct dt *dt, const char *name, const void *data, size_t len);
void dt_prop_empty(struct dt *dt, const char *name);
void dt_prop_u32(struct dt *dt, const char *name, uint32_t v);
void dt_prop_u64(struct dt *dt, const char *name, uint64_t v);
void dt_prop_cells(struct dt *dt, const char *name, const uint32_t *cells, unsigned int n);
void dt_prop_string(struct dt *dt, const char *name, const char *s);
/* n strings as one stringlist. */
void dt_prop_strings(struct dt *dt, const char *name, const char *const *list, unsigned int n);
/* reg with two cells each for address and size. */
void dt_prop_reg(struct dt *dt, uint64_t base, uint64_t size);
/* "interrupts" in the machine's spelling (with interrupt-parent inherited from an ancestor). */
void dt_prop_irq(struct dt *dt, const struct irq_line *line);

/* Ends the tree; the blob (malloc'ed, at least totalsize bytes) is the caller's. -ENOMEM, or -EINVAL for our own misuse. On failure everything is freed. */
int dt_finish(struct dt *dt, void **ret_blob, size_t *ret_size);
void dt_abort(struct dt *dt);

#endif
