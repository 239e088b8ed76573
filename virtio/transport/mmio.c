// SPDX-License-Identifier: MIT
/*
 * Registers without exits. Three things make it so, each optional:
 *
 * The page. Once the device is active, a page with what the registers read is a read-only memory slot at their address. The device keeps it true:
 * every change is stored there (mirror_refresh) before the vCPU that caused it goes on, or before the interrupt that tells of it.
 *
 * The acknowledge. Guest writes to InterruptACK wait in KVM's ring (coalescer). They change nothing but InterruptStatus and the line,
 * which isr_lock guards together with InterruptStatus's place in the page. Lock order: device, coalescer, isr_lock, interrupt controller.
 *
 * The doorbell, an eventfd.
 *
 * Why no interrupt is lost. To raise, the device (1) has stored the used buffer, (2) passes a full barrier, (3) applies the queued
 * acknowledges, (4) under isr_lock sets the bit and the line. The driver (a) reads InterruptStatus, (b) writes the acknowledge, (c) looks at its
 * rings; between (b) and (c) lies a full barrier of the host's kernel (it re-enters the guest). An acknowledge that is queued when
 * (3) looks is applied before the bit is set, and cannot clear it: the line rises again. One that (3) does not see was queued
 * later than (1), so its driver sees the used buffer at (c), and clearing the bit then is right. The same holds for a change of the configuration space with the
 * page in place of the ring.
 *
 * Why none is doubled. An acknowledge is applied in the order of the guest's writes, so before the interrupt controller's complete
 * that follows it; whoever reads the line after that complete sees it low unless something new has come.
 *
 * A level line into a controller that never asks for queued writes (in the kernel: no irq_ops.sync) would stay high until somebody happens
 * to look, and the guest would take the same interrupt over and over: there, acknowledges are not queued. An edge stays unaffected, since a stale
 * InterruptStatus only makes the driver look at its rings once more, and each notification is a new edge.
 *
 * Signals of others. The kernel's vhost interrupts through an eventfd on an edge line (mmio_call) and sets no InterruptStatus. While such an eventfd is
 * connected, the used-buffer bit therefore stands, whatever is acknowledged: the driver looks at its rings at every interrupt, which is all that the bit says. A level
 * line would need somebody who lowers it: there the eventfd comes over the loop.
 */
#include "virtio/transport/mmio.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/endian.h"

/* 4.2.2 */
enum {
	REG_MAGIC = 0x000,
	REG_VERSION = 0x004,
	REG_DEVICE_ID = 0x008,
	REG_VENDOR_ID = 0x00c,
	REG_DEVICE_FEATURES = 0x010,
	REG_DEVICE_FEATURES_SEL = 0x014,
	REG_DRIVER_FEATURES = 0x020,
	REG_DRIVER_FEATURES_SEL = 0x024,
	REG_QUEUE_SEL = 0x030,
	REG_QUEUE_SIZE_MAX = 0x034,
	REG_QUEUE_SIZE = 0x038,
	REG_QUEUE_READY = 0x044,
	REG_QUEUE_NOTIFY = 0x050,
	REG_INTERRUPT_STATUS = 0x060,
	REG_INTERRUPT_ACK = 0x064,
	REG_STATUS = 0x070,
	REG_QUEUE_DESC_LOW = 0x080,
	REG_QUEUE_DESC_HIGH = 0x084,
	REG_QUEUE_DRIVER_LOW = 0x090,
	REG_QUEUE_DRIVER_HIGH = 0x094,
	REG_QUEUE_DEVICE_LOW = 0x0a0,
	REG_QUEUE_DEVICE_HIGH = 0x0a4,
	REG_SHM_LEN_LOW = 0x0b0,
	REG_SHM_LEN_HIGH = 0x0b4,
	REG_SHM_BASE_LOW = 0x0b8,
	REG_SHM_BASE_HIGH = 0x0bc,
	REG_CONFIG_GENERATION = 0x0fc,
	REG_CONFIG = 0x100,
};

#define MAGIC 0x74726976 /* "virt" */
#define VERSION 2
#define VENDOR 0x4d564b4c /* "LKVM" */
#define INTERRUPT_USED 1
#define INTERRUPT_CONFIG 2

#define CONFIG_MAX (VIRTIO_MMIO_SIZE - REG_CONFIG)

struct virtio_mmio {
	struct virtio_device *vd;
	struct bus *bus;
	struct virtio_mmio_config config;
	char name[32];
	bool ack_queued;
	bool on_bus;
	/* The page; changed under the device's lock, but for InterruptStatus. */
	uint32_t *page;
	bool page_tried, page_mapped;
	pthread_mutex_t isr_lock;
	uint32_t isr; /* InterruptStatus; isr_lock */
	unsigned int n_calls; /* eventfds that pulse the line without us; isr_lock */
	_Atomic uint64_t exits;
};

/* --- what registers read --- */

/* Registers that depend on the device's state, device locked; InterruptStatus and the configuration space are not among them. */
static uint32_t read_register(struct virtio_mmio *m, uint32_t offset)
{
	struct virtio_device *vd = m->vd;
	struct virtio_queue_slot *slot = virtio_selected_queue(vd);

	switch (offset) {
	case REG_MAGIC:
		return MAGIC;
	case REG_VERSION:
		return VERSION;
	case REG_DEVICE_ID:
		return vd->class->device_id;
	case REG_VENDOR_ID:
		return VENDOR;
	case REG_DEVICE_FEATURES:
		return virtio_device_features(vd);
	case REG_QUEUE_SIZE_MAX:
		return slot ? slot->max_num : 0;
	case REG_QUEUE_READY:
		return slot ? slot->q.s.ready : 0;
	case REG_STATUS:
		return vd->s.status;
	case REG_SHM_LEN_LOW: /* no shared memory region: all ones */
	case REG_SHM_LEN_HIGH:
	case REG_SHM_BASE_LOW:
	case REG_SHM_BASE_HIGH:
		return UINT32_MAX;
	case REG_CONFIG_GENERATION:
		return vd->s.config_generation;
	default: /* write-only, reserved, or of features not offered (QueueReset) */
		return 0;
	}
}

static const uint16_t mirrored[] = {
	REG_MAGIC,	    REG_VERSION,     REG_DEVICE_ID,    REG_VENDOR_ID,
	REG_DEVICE_FEATURES, REG_QUEUE_SIZE_MAX, REG_QUEUE_READY,  REG_STATUS,
	REG_SHM_LEN_LOW,    REG_SHM_LEN_HIGH, REG_SHM_BASE_LOW, REG_SHM_BASE_HIGH,
};

/* What InterruptStatus reads; isr_lock held. */
static uint32_t isr_shown(const struct virtio_mmio *m)
{
	return m->isr | (m->n_calls ? INTERRUPT_USED : 0);
}

static void page_store(struct virtio_mmio *m, uint32_t offset, uint32_t v)
{
	/* Release: a vCPU that sees this word sees all earlier ones (the generation after the configuration space). */
	atomic_store_explicit((_Atomic(uint32_t) *)&m->page[offset / 4], htole32(v), memory_order_release);
}

static uint32_t page_load(struct virtio_mmio *m, uint32_t offset)
{
	return le32toh(m->page[offset / 4]); /* only we write, under the device's lock */
}

static bool slot_set(struct virtio_mmio *m, bool present)
{
	struct hv *hv = m->config.hv;

	return hv->ops->set_memory(hv, m->config.slot, present ? KVM_MEM_READONLY : 0, m->config.base,
				   present ? VIRTIO_MMIO_SIZE : 0, present ? m->page : NULL) >= 0;
}

/*
 * The configuration space and its generation. A driver that reads fields between two equal generations must have read one state (2.5.3). With one word
 * changed that is so when the word is stored before the generation. With several, a driver that reads without exits could see
 * a mixture and the same generation twice; so the slot goes away meanwhile, reads exit and wait for the device's lock. Rare: a driver's own
 * writes leave the generation alone and need none of this.
 */
static void config_refresh(struct virtio_mmio *m)
{
	uint32_t now[CONFIG_MAX / 4] = {0}, n = round_up(m->vd->config_size, 4) / 4, changed = 0;
	bool away = false;

	virtio_config_read(m->vd, 0, now, m->vd->config_size);
	for (uint32_t i = 0; i < n; i++)
		changed += le32toh(now[i]) != page_load(m, REG_CONFIG + 4 * i);
	if (changed > 1 && m->page_mapped && page_load(m, REG_CONFIG_GENERATION) != m->vd->s.config_generation) {
		slot_set(m, false);
		m->page_mapped = false;
		away = true;
	}
	for (uint32_t i = 0; changed && i < n; i++)
		page_store(m, REG_CONFIG + 4 * i, le32toh(now[i]));
	page_store(m, REG_CONFIG_GENERATION, m->vd->s.config_generation);
	if (away)
		m->page_mapped = slot_set(m, true);
}

static void mirror_refresh(struct virtio_mmio *m)
{
	if (!m->page)
		return;
	config_refresh(m);
	for (unsigned int i = 0; i < ARRAY_SIZE(mirrored); i++)
		page_store(m, mirrored[i], read_register(m, mirrored[i]));
}

/* At the first DRIVER_OK. Without the capability, or when the host refuses (pages larger than ours), reads go on to exit. */
static void page_create(struct virtio_mmio *m)
{
	void *page;

	m->page_tried = true;
	if (!m->config.hv || hv_capability(m->config.hv, KVM_CAP_READONLY_MEM) <= 0)
		return;
	page = mmap(NULL, VIRTIO_MMIO_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return;
	pthread_mutex_lock(&m->isr_lock);
	m->page = page;
	page_store(m, REG_INTERRUPT_STATUS, isr_shown(m));
	pthread_mutex_unlock(&m->isr_lock);
	mirror_refresh(m);
	m->page_mapped = slot_set(m, true);
	if (m->page_mapped)
		return;
	pthread_mutex_lock(&m->isr_lock);
	m->page = NULL;
	pthread_mutex_unlock(&m->isr_lock);
	munmap(page, VIRTIO_MMIO_SIZE);
}

/* --- interrupts --- */

/* isr_lock held: InterruptStatus, its mirror and a level line change as one. */
static void isr_set(struct virtio_mmio *m, uint32_t isr)
{
	m->isr = isr;
	if (m->page)
		page_store(m, REG_INTERRUPT_STATUS, isr_shown(m));
	if (m->config.irq.trigger == IRQ_LEVEL)
		irq_set(&m->config.irq, isr != 0);
}

/* Device locked, isr_lock not: see the top of this file. */
static void raise(struct virtio_mmio *m, uint32_t bit)
{
	/* Pairs with the host kernel's barrier between queueing an acknowledge and re-entering the guest: used buffer, then ring. */
	atomic_thread_fence(memory_order_seq_cst);
	irq_sync(&m->config.irq);
	if (m->ack_queued && !m->config.irq.ops->sync)
		coalescer_drain(m->config.coalescer);
	pthread_mutex_lock(&m->isr_lock);
	isr_set(m, m->isr | bit);
	if (m->config.irq.trigger == IRQ_EDGE)
		irq_pulse(&m->config.irq);
	pthread_mutex_unlock(&m->isr_lock);
}

/* A queued acknowledge (coalescer locked), or one that exited. */
static void acknowledge(struct virtio_mmio *m, uint32_t bits)
{
	pthread_mutex_lock(&m->isr_lock);
	isr_set(m, m->isr & ~bits);
	pthread_mutex_unlock(&m->isr_lock);
}

static void queued_ack(void *ctx, uint64_t gpa, const void *data, unsigned int len)
{
	struct virtio_mmio *m = ctx;

	if (gpa == m->config.base + REG_INTERRUPT_ACK && len == 4)
		acknowledge(m, get_le32(data));
}

/* At the first DRIVER_OK: may acknowledges wait in the ring? See the top of this file. */
static void queue_acks(struct virtio_mmio *m)
{
	const struct virtio_mmio_config *c = &m->config;

	if (c->coalescer && c->irq.ops && (c->irq.trigger == IRQ_EDGE || c->irq.ops->sync))
		m->ack_queued = coalescer_add(c->coalescer, c->base + REG_INTERRUPT_ACK, 4, queued_ack, m) >= 0;
}

static void mmio_notify_queue(void *t, unsigned int n)
{
	raise(t, INTERRUPT_USED);
}

static void mmio_notify_config(void *t)
{
	raise(t, INTERRUPT_CONFIG);
}

static void mmio_changed(void *t)
{
	struct virtio_mmio *m = t;

	if (!m->vd->s.status) {
		pthread_mutex_lock(&m->isr_lock);
		if (m->isr)
			isr_set(m, 0);
		pthread_mutex_unlock(&m->isr_lock);
	}
	if (!m->page_tried && m->vd->active) {
		queue_acks(m);
		page_create(m);
	} else {
		mirror_refresh(m);
	}
}

static int mmio_doorbell(void *t, unsigned int n, int fd, bool connect)
{
	struct virtio_mmio *m = t;
	const struct hv_ioeventfd io = {
		.gpa = m->config.base + REG_QUEUE_NOTIFY,
		.len = 4,
		.data = n,
		.match = true,
		.fd = fd,
	};

	if (!m->config.hv)
		return -EOPNOTSUPP;
	return m->config.hv->ops->ioeventfd(m->config.hv, &io, connect);
}

/* See the top of this file: signals of others. When the last one goes, what it may have said stands until it is acknowledged. */
static int mmio_call(void *t, unsigned int n, int fd, bool connect)
{
	struct virtio_mmio *m = t;
	int r = m->config.irq.trigger == IRQ_EDGE ? irq_connect(&m->config.irq, fd, -1, connect) : -EOPNOTSUPP;

	if (r < 0)
		return r;
	pthread_mutex_lock(&m->isr_lock);
	m->n_calls += connect ? 1 : -1;
	isr_set(m, m->isr | (connect ? 0 : INTERRUPT_USED));
	pthread_mutex_unlock(&m->isr_lock);
	return 0;
}

static const struct virtio_transport_ops transport_ops = {
	.notify_queue = mmio_notify_queue,
	.notify_config = mmio_notify_config,
	.changed = mmio_changed,
	.doorbell = mmio_doorbell,
	.call = mmio_call,
};

/* --- accesses that exit --- */

static void count_exit(struct virtio_mmio *m)
{
	atomic_fetch_add_explicit(&m->exits, 1, memory_order_relaxed);
}

static void mmio_read(void *dev, uint64_t offset, void *data, unsigned int len)
{
	struct virtio_mmio *m = dev;
	uint32_t v;

	count_exit(m);
	if (offset >= REG_CONFIG) {
		virtio_lock(m->vd);
		virtio_config_read(m->vd, offset - REG_CONFIG, data, len);
		virtio_unlock(m->vd);
		return;
	}
	/* 4.2.2.2: control registers are read and written as aligned words. */
	if (len != 4 || offset % 4)
		return;
	if (offset == REG_INTERRUPT_STATUS) {
		pthread_mutex_lock(&m->isr_lock);
		v = isr_shown(m);
		pthread_mutex_unlock(&m->isr_lock);
	} else {
		virtio_lock(m->vd);
		v = read_register(m, offset);
		virtio_unlock(m->vd);
	}
	put_le32(data, v);
}

/* Device locked. */
static void write_register(struct virtio_mmio *m, uint32_t offset, uint32_t v)
{
	struct virtio_device *vd = m->vd;

	switch (offset) {
	case REG_DEVICE_FEATURES_SEL:
		vd->s.device_features_sel = v;
		mirror_refresh(m);
		break;
	case REG_DRIVER_FEATURES:
		virtio_set_driver_features(vd, v);
		break;
	case REG_DRIVER_FEATURES_SEL:
		vd->s.driver_features_sel = v;
		break;
	case REG_QUEUE_SEL:
		vd->s.queue_sel = v;
		mirror_refresh(m);
		break;
	case REG_QUEUE_SIZE:
		virtio_queue_set_num(vd, v);
		break;
	case REG_QUEUE_READY:
		virtio_queue_set_ready(vd, v);
		break;
	case REG_STATUS:
		virtio_set_status(vd, v);
		break;
	case REG_QUEUE_DESC_LOW:
	case REG_QUEUE_DESC_HIGH:
		virtio_queue_set_address(vd, VIRTIO_AREA_DESC, offset & 4, v);
		break;
	case REG_QUEUE_DRIVER_LOW:
	case REG_QUEUE_DRIVER_HIGH:
		virtio_queue_set_address(vd, VIRTIO_AREA_DRIVER, offset & 4, v);
		break;
	case REG_QUEUE_DEVICE_LOW:
	case REG_QUEUE_DEVICE_HIGH:
		virtio_queue_set_address(vd, VIRTIO_AREA_DEVICE, offset & 4, v);
		break;
	default: /* read-only, reserved, SHMSel, QueueReset */
		break;
	}
}

static void mmio_write(void *dev, uint64_t offset, const void *data, unsigned int len)
{
	struct virtio_mmio *m = dev;

	count_exit(m);
	if (offset >= REG_CONFIG) {
		virtio_lock(m->vd);
		virtio_config_write(m->vd, offset - REG_CONFIG, data, len);
		virtio_unlock(m->vd);
		return;
	}
	if (len != 4 || offset % 4)
		return;
	switch (offset) {
	case REG_QUEUE_NOTIFY: /* without VIRTIO_F_NOTIFICATION_DATA the value is the queue's number */
		virtio_ring(m->vd, get_le32(data));
		break;
	case REG_INTERRUPT_ACK:
		acknowledge(m, get_le32(data));
		break;
	default:
		virtio_lock(m->vd);
		write_register(m, offset, get_le32(data));
		virtio_unlock(m->vd);
		break;
	}
}

static const struct bus_ops mmio_bus_ops = {
	.read = mmio_read,
	.write = mmio_write,
};

/* --- life --- */

int virtio_mmio_create(struct virtio_device *vd, struct bus *bus, const struct virtio_mmio_config *config,
		       struct virtio_mmio **ret, struct err *e)
{
	CLEANUP(cleanup_virtio_mmio_destroy) struct virtio_mmio *m = NULL;
	int r;

	if (config->base % VIRTIO_MMIO_SIZE || vd->config_size > CONFIG_MAX)
		return err_set(e, -EINVAL, "virtio-%s does not fit at 0x%" PRIx64, vd->class->name, config->base);
	m = calloc(1, sizeof(*m));
	if (!m)
		return err_set(e, -ENOMEM, "no memory for virtio-%s", vd->class->name);
	pthread_mutex_init(&m->isr_lock, NULL);
	m->vd = vd;
	m->bus = bus;
	m->config = *config;
	snprintf(m->name, sizeof(m->name), "virtio-%s", vd->class->name);
	r = bus_add(bus, m->name, config->base, VIRTIO_MMIO_SIZE, &mmio_bus_ops, m, e);
	if (r < 0)
		return r;
	m->on_bus = true;
	virtio_connect(vd, &transport_ops, m);
	*ret = TAKE(m);
	return 0;
}

void virtio_mmio_destroy(struct virtio_mmio *m)
{
	if (!m)
		return;
	if (m->on_bus)
		bus_remove(m->bus, m->config.base);
	if (m->vd->transport_ctx == m)
		virtio_connect(m->vd, NULL, NULL);
	if (m->ack_queued)
		coalescer_remove(m->config.coalescer, m->config.base + REG_INTERRUPT_ACK);
	if (m->page_mapped)
		slot_set(m, false);
	if (m->page)
		munmap(m->page, VIRTIO_MMIO_SIZE);
	if (m->isr && m->config.irq.trigger == IRQ_LEVEL)
		irq_set(&m->config.irq, false);
	pthread_mutex_destroy(&m->isr_lock);
	free(m);
}

uint32_t virtio_mmio_save(struct virtio_mmio *m)
{
	uint32_t isr;

	coalescer_drain(m->config.coalescer);
	pthread_mutex_lock(&m->isr_lock);
	isr = m->isr;
	pthread_mutex_unlock(&m->isr_lock);
	return isr;
}

int virtio_mmio_load(struct virtio_mmio *m, uint32_t status)
{
	if (status & ~(INTERRUPT_USED | INTERRUPT_CONFIG))
		return -EINVAL;
	pthread_mutex_lock(&m->isr_lock);
	isr_set(m, status);
	pthread_mutex_unlock(&m->isr_lock);
	return 0;
}

void virtio_mmio_write_dt(const struct virtio_mmio *m, struct dt *dt)
{
	dt_begin(dt, "virtio_mmio@%" PRIx64, m->config.base);
	dt_prop_string(dt, "compatible", "virtio,mmio");
	dt_prop_reg(dt, m->config.base, VIRTIO_MMIO_SIZE);
	dt_prop_irq(dt, &m->config.irq);
	dt_end(dt);
}

uint64_t virtio_mmio_exits(const struct virtio_mmio *m)
{
	return atomic_load_explicit(&m->exits, memory_order_relaxed);
}
