// SPDX-License-Identifier: MIT
/*
 * Address dispatch. Devices are added and removed rarely and looked up on each exit, so a look-up takes no lock
 * and writes to nothing that other vCPUs read: each vCPU has a reader of its own, and removal waits until no
 * reader is inside the device.
 */
#ifndef LKVM_BUS_H
#define LKVM_BUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/util.h"

/*
 * `data` holds `len` bytes (1 to 8) in the guest's byte order (little-endian on riscv and arm64). A device ignores
 * widths it does not have: reads give zeroes (data is zeroed before the call), writes nothing. Called from vCPU threads, several at once.
 */
struct bus_ops {
	void (*read)(void *dev, uint64_t offset, void *data, unsigned int len);
	void (*write)(void *dev, uint64_t offset, const void *data, unsigned int len);
};

struct bus;

/* One per vCPU thread (or other caller); plain storage inside its owner, registered with bus_add_reader. */
struct bus_reader {
	_Alignas(64) _Atomic(const void *) table; /* the table this reader is looking at, NULL when outside */
	struct bus_reader *next;
};

int bus_create(struct bus **ret);
void bus_destroy(struct bus *bus);
DEFINE_CLEANUP(bus, bus_destroy)

void bus_add_reader(struct bus *bus, struct bus_reader *reader);
void bus_remove_reader(struct bus *bus, struct bus_reader *reader);

/*
 * [base, base+size) answers to dev from now on. -EEXIST with a sentence when it meets another device, -EINVAL for an
 * empty or wrapping range, -ENOMEM. `name` must outlive the entry. Thread-safe.
 */
int bus_add(struct bus *bus, const char *name, uint64_t base, uint64_t size, const struct bus_ops *ops,
	    void *dev, struct err *e);

/* Removes the device that starts at base; returns after running calls have left it. Must not be called from inside a bus call. */
void bus_remove(struct bus *bus, uint64_t base);

/* True when a device took the access; false: nobody there (reads give zeroes). An access that crosses a device's end is nobody's. */
bool bus_read(struct bus *bus, struct bus_reader *reader, uint64_t addr, void *data, unsigned int len);
bool bus_write(struct bus *bus, struct bus_reader *reader, uint64_t addr, const void *data, unsigned int len);

/* Calls fn for each device in address order (for debug dumps). */
void bus_for_each(struct bus *bus, void (*fn)(void *ctx, const char *name, uint64_t base, uint64_t size), void *ctx);

#endif
