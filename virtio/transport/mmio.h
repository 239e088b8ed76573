// SPDX-License-Identifier: MIT
/*
 * virtio over MMIO, version 2 (virtio 1.3, 4.2). Where the host has read-only memory slots, the register page of an active device is one, so that
 * reads do not leave the guest; where it has coalesced MMIO, InterruptACK waits in its ring and is applied (irq_sync) before a line is computed;
 * QueueNotify is an ioeventfd. Plain exits where a capability is missing.
 *
 * A level line whose controller has no irq_ops.sync gets no queued InterruptACK, since nothing would lower it in time (see mmio.c).
 * Registers take the device's lock (see virtio/device.h for who may wait there), except QueueNotify and InterruptACK.
 */
#ifndef LKVM_VIRTIO_TRANSPORT_MMIO_H
#define LKVM_VIRTIO_TRANSPORT_MMIO_H

#include "bus.h"
#include "coalesce.h"
#include "dt.h"
#include "hv/hv.h"
#include "irq.h"
#include "virtio/device.h"

#define VIRTIO_MMIO_SIZE 0x1000 /* a page each, so that it can be a memory slot */

struct virtio_mmio;

/* What the transport may use of the host; hv NULL: plain exits only. slot: memory slot number kept free for this device's register page. */
struct virtio_mmio_config {
	struct hv *hv;
	unsigned int slot;
	uint64_t base; /* page-aligned */
	struct coalescer *coalescer; /* or NULL */
	struct irq_line irq; /* level: high while InterruptStatus is not 0; edge: a pulse for each notification */
};

/*
 * Puts vd on the bus at config->base. The transport does not own vd: destroy the transport first. -EINVAL for a base that is not aligned or a
 * configuration space that does not fit, -ENOMEM, bus_add's own.
 */
int virtio_mmio_create(struct virtio_device *vd, struct bus *bus, const struct virtio_mmio_config *config,
		       struct virtio_mmio **ret, struct err *e);
void virtio_mmio_destroy(struct virtio_mmio *m);
DEFINE_CLEANUP(virtio_mmio, virtio_mmio_destroy)

/*
 * What the transport keeps beside the device's own state: InterruptStatus, and with it a level line. While the device is paused; loaded after the device, whose queues have been
 * notified by then. Edges that are under way are the interrupt controller's state. -EINVAL: no such status.
 */
uint32_t virtio_mmio_save(struct virtio_mmio *m);
int virtio_mmio_load(struct virtio_mmio *m, uint32_t status);

/* "virtio,mmio" node. */
void virtio_mmio_write_dt(const struct virtio_mmio *m, struct dt *dt);

/* Register accesses of this device that left the guest, for `lkvm stat` and the benchmarks. */
uint64_t virtio_mmio_exits(const struct virtio_mmio *m);

#endif
