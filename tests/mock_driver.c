// SPDX-License-Identifier: MIT
#include "mock_driver.h"

#include <linux/kvm.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/endian.h"
#include "base/sys.h"
#include "hw/css.h"
#include "hv/scripted.h"

#define REQUIRE(cond)                                                                              \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: the mock needs: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

enum { REG_DEVICE_ID = 0x08, REG_FEATURES = 0x10, REG_FEATURES_SEL = 0x14, REG_DRIVER_FEATURES = 0x20, REG_DRIVER_FEATURES_SEL = 0x24 };
enum { REG_QUEUE_SEL = 0x30, REG_QUEUE_MAX = 0x34, REG_QUEUE_NUM = 0x38, REG_QUEUE_READY = 0x44, REG_NOTIFY = 0x50 };
enum { REG_ISR = 0x60, REG_ACK = 0x64, REG_STATUS = 0x70, REG_DESC = 0x80, REG_DRIVER = 0x90, REG_DEVICE = 0xa0 };
enum { REG_GENERATION = 0xfc, REG_CONFIG = 0x100 };
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64 };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4, AVAIL = 0x80, USED = 0x8000 };
enum { EVENT_ENABLE, EVENT_DISABLE, EVENT_DESC };

/* --- the VM --- */

static void emit(void *ctx, enum log_level level, const char *line)
{
	struct mock_vm *vm = ctx;

	snprintf(vm->said, sizeof(vm->said), "%s", line);
	atomic_fetch_add(&vm->n_said, 1);
}

static void *loop_thread(void *ctx)
{
	struct mock_vm *vm = ctx;

	loop_run(vm->loop);
	return NULL;
}

static void set_flag(void *ctx)
{
	atomic_store((atomic_bool *)ctx, true);
}

struct mock_vm *mock_vm_create(unsigned int flags)
{
	return mock_vm_create_failing(flags, 0);
}

struct mock_vm *mock_vm_create_failing(unsigned int flags, unsigned long nth)
{
	static const struct scripted_cap caps[] = {
		{KVM_CAP_READONLY_MEM, 1},
		{KVM_CAP_IOEVENTFD, 1},
		{KVM_CAP_COALESCED_MMIO, 1},
	};
	const struct scripted_config config = {.caps = caps, .n_caps = ARRAY_SIZE(caps), .fail_nth = nth};
	struct mock_vm *vm = calloc(1, sizeof(*vm));
	atomic_bool turning = false;

	REQUIRE(vm);
	REQUIRE(memory_create(&vm->memory) >= 0);
	REQUIRE(memory_add(vm->memory, MOCK_RAM_BASE, MOCK_RAM_SIZE, &(struct memory_backing){0}, NULL) >= 0);
	vm->next = MOCK_RAM_BASE;
	REQUIRE(bus_create(&vm->bus) >= 0);
	bus_add_reader(vm->bus, &vm->reader);
	if (flags & MOCK_LOOP)
		REQUIRE(loop_create(&vm->loop, NULL) >= 0);
	if (flags & MOCK_HV)
		REQUIRE(hv_scripted_create(&config, &vm->hv) >= 0);
	if (vm->hv && vm->loop)
		REQUIRE(coalescer_create(vm->hv, vm->loop, &vm->coalescer) >= 0 || nth);
	vm->log = (struct log){.emit = emit, .ctx = vm, .level = LOG_DEBUG};
	vm->env = (struct virtio_env){.memory = vm->memory, .loop = vm->loop, .log = &vm->log};
	if (vm->loop) {
		REQUIRE(!pthread_create(&vm->thread, NULL, loop_thread, vm));
		vm->running = true;
		/* Only a running loop handles posts; until then loop_call would not wait for anything. */
		REQUIRE(loop_post(vm->loop, set_flag, &turning) >= 0);
		while (!atomic_load(&turning))
			sched_yield();
	}
	return vm;
}

void mock_vm_stop(struct mock_vm *vm)
{
	if (!vm->running)
		return;
	loop_stop(vm->loop);
	pthread_join(vm->thread, NULL);
	vm->running = false;
}

void mock_vm_destroy(struct mock_vm *vm)
{
	if (!vm)
		return;
	mock_vm_stop(vm);
	coalescer_destroy(vm->coalescer);
	css_destroy(vm->css);
	hv_destroy(vm->hv);
	bus_remove_reader(vm->bus, &vm->reader);
	bus_destroy(vm->bus);
	loop_destroy(vm->loop);
	memory_destroy(vm->memory);
	free(vm);
}

uint64_t mock_alloc(struct mock_vm *vm, uint64_t len, uint64_t align)
{
	uint64_t at = round_up(vm->next, align);

	REQUIRE(at + len <= MOCK_RAM_BASE + MOCK_RAM_SIZE);
	vm->next = at + len;
	return at;
}

static void nothing(void *ctx)
{
}

void mock_settle(struct mock_vm *vm)
{
	/* Twice: what was rung in the same turn as the first call may be handled after it. */
	for (int i = 0; vm->running && i < 2; i++)
		loop_call(vm->loop, nothing, NULL);
}

/* --- registers --- */

static void line_set(void *ctx, unsigned int n, bool level)
{
	struct mock_driver *d = ctx;

	if (!atomic_exchange(&d->level, level) && level)
		atomic_fetch_add(&d->raises, 1);
}

static void line_pulse(void *ctx, unsigned int n)
{
	struct mock_driver *d = ctx;

	atomic_fetch_add(&d->raises, 1);
}

static void line_sync(void *ctx)
{
	struct mock_driver *d = ctx;

	coalescer_drain(d->vm->coalescer);
}

/* Who plays the kernel signals what is connected as it likes. */
static int line_irqfd(void *ctx, unsigned int n, int fd, int resample_fd, bool connect)
{
	struct mock_driver *d = ctx;
	int last;

	if (!d->takes_eventfds)
		return -EOPNOTSUPP;
	if (connect) {
		d->eventfd[d->n_eventfds++] = fd;
		return 0;
	}
	for (int i = 0; i < d->n_eventfds; i++) {
		if (d->eventfd[i] != fd)
			continue;
		last = --d->n_eventfds;
		d->eventfd[i] = atomic_load(&d->eventfd[last]);
		return 0;
	}
	return -ENOENT;
}

static const struct irq_ops line_ops = {
	.set = line_set,
	.pulse = line_pulse,
	.sync = line_sync,
	.irqfd = line_irqfd,
};

static void mmio_create(struct mock_driver *d)
{
	const struct virtio_mmio_config config = {
		.hv = d->vm->hv,
		.slot = 8 + d->vm->n_drivers,
		.base = MOCK_MMIO_BASE + VIRTIO_MMIO_SIZE * (uint64_t)d->vm->n_drivers,
		.coalescer = d->vm->coalescer,
		.irq = d->irq,
	};

	d->base = config.base;
	REQUIRE(virtio_mmio_create(d->vd, d->vm->bus, &config, &d->mmio, NULL) >= 0);
}

static void mmio_destroy(struct mock_driver *d)
{
	virtio_mmio_destroy(d->mmio);
}

struct mock_driver *mock_driver_create_over(const struct mock_transport *transport, struct mock_vm *vm,
					    struct virtio_device *vd, enum irq_trigger trigger)
{
	struct mock_driver *d = calloc(1, sizeof(*d));

	REQUIRE(d);
	d->vm = vm;
	d->vd = vd;
	d->transport = transport;
	d->irq = (struct irq_line){.ops = &line_ops, .ctx = d, .n = 1 + vm->n_drivers, .trigger = trigger};
	transport->create(d);
	vm->n_drivers++;
	return d;
}

void mock_driver_destroy(struct mock_driver *d)
{
	if (!d)
		return;
	d->transport->destroy(d);
	free(d);
}

void mock_read(struct mock_driver *d, uint32_t offset, void *buf, unsigned int len)
{
	memset(buf, 0, len);
	if (d->vm->hv && hv_scripted_guest_read(d->vm->hv, d->base + offset, buf, len))
		return;
	coalescer_drain(d->vm->coalescer); /* as a vCPU does before it handles an exit */
	bus_read(d->vm->bus, &d->vm->reader, d->base + offset, buf, len);
}

void mock_write(struct mock_driver *d, uint32_t offset, const void *buf, unsigned int len)
{
	if (d->vm->hv && hv_scripted_guest_write(d->vm->hv, d->base + offset, buf, len))
		return;
	coalescer_drain(d->vm->coalescer);
	bus_write(d->vm->bus, &d->vm->reader, d->base + offset, buf, len);
}

uint32_t mock_read32(struct mock_driver *d, uint32_t offset)
{
	uint8_t buf[4];

	mock_read(d, offset, buf, 4);
	return get_le32(buf);
}

void mock_write32(struct mock_driver *d, uint32_t offset, uint32_t v)
{
	uint8_t buf[4];

	put_le32(buf, v);
	mock_write(d, offset, buf, 4);
}

static uint32_t mmio_device_id(struct mock_driver *d)
{
	return mock_read32(d, REG_DEVICE_ID);
}

static uint8_t mmio_status(struct mock_driver *d)
{
	return (uint8_t)mock_read32(d, REG_STATUS);
}

static void mmio_set_status(struct mock_driver *d, uint8_t status)
{
	mock_write32(d, REG_STATUS, status);
}

static uint64_t mmio_offered(struct mock_driver *d)
{
	uint64_t f;

	mock_write32(d, REG_FEATURES_SEL, 1);
	f = (uint64_t)mock_read32(d, REG_FEATURES) << 32;
	mock_write32(d, REG_FEATURES_SEL, 0);
	return f | mock_read32(d, REG_FEATURES);
}

static void mmio_accept(struct mock_driver *d, uint64_t features)
{
	mock_write32(d, REG_DRIVER_FEATURES_SEL, 1);
	mock_write32(d, REG_DRIVER_FEATURES, features >> 32);
	mock_write32(d, REG_DRIVER_FEATURES_SEL, 0);
	mock_write32(d, REG_DRIVER_FEATURES, (uint32_t)features);
}

static void mmio_config_read(struct mock_driver *d, uint32_t offset, void *buf, unsigned int len)
{
	uint32_t before;

	do {
		before = mock_read32(d, REG_GENERATION);
		for (unsigned int i = 0; i < len; i++)
			mock_read(d, REG_CONFIG + offset + i, (char *)buf + i, 1);
	} while (mock_read32(d, REG_GENERATION) != before);
}

static void mmio_config_write(struct mock_driver *d, uint32_t offset, const void *buf, unsigned int len)
{
	mock_write(d, REG_CONFIG + offset, buf, len);
}

static uint32_t mmio_queue_max(struct mock_driver *d, unsigned int n)
{
	mock_write32(d, REG_QUEUE_SEL, n);
	return mock_read32(d, REG_QUEUE_MAX);
}

static void mmio_queue_set(struct mock_driver *d, unsigned int n, const struct mock_queue *q)
{
	mock_write32(d, REG_QUEUE_SEL, n);
	mock_write32(d, REG_QUEUE_NUM, q->num);
	mock_write32(d, REG_DESC, (uint32_t)q->desc);
	mock_write32(d, REG_DESC + 4, q->desc >> 32);
	mock_write32(d, REG_DRIVER, (uint32_t)q->driver);
	mock_write32(d, REG_DRIVER + 4, q->driver >> 32);
	mock_write32(d, REG_DEVICE, (uint32_t)q->device);
	mock_write32(d, REG_DEVICE + 4, q->device >> 32);
	mock_write32(d, REG_QUEUE_READY, 1);
}

static void mmio_ready(struct mock_driver *d)
{
}

static void mmio_notify(struct mock_driver *d, unsigned int n)
{
	mock_write32(d, REG_NOTIFY, n);
}

static uint32_t mmio_isr(struct mock_driver *d)
{
	uint32_t isr = mock_read32(d, REG_ISR);

	if (isr)
		mock_write32(d, REG_ACK, isr);
	return isr;
}

const struct mock_transport mock_over_mmio = {
	.name = "mmio",
	.create = mmio_create,
	.destroy = mmio_destroy,
	.device_id = mmio_device_id,
	.status = mmio_status,
	.set_status = mmio_set_status,
	.offered = mmio_offered,
	.accept = mmio_accept,
	.config_read = mmio_config_read,
	.config_write = mmio_config_write,
	.queue_max = mmio_queue_max,
	.queue_set = mmio_queue_set,
	.ready = mmio_ready,
	.notify = mmio_notify,
	.isr = mmio_isr,
};

uint32_t mock_device_id(struct mock_driver *d)
{
	return d->transport->device_id(d);
}

uint8_t mock_status(struct mock_driver *d)
{
	return d->transport->status(d);
}

void mock_config_read(struct mock_driver *d, uint32_t offset, void *buf, unsigned int len)
{
	d->transport->config_read(d, offset, buf, len);
}

void mock_config_write(struct mock_driver *d, uint32_t offset, const void *buf, unsigned int len)
{
	d->transport->config_write(d, offset, buf, len);
}

uint32_t mock_isr(struct mock_driver *d)
{
	return d->transport->isr(d);
}

/* --- initialisation --- */

void mock_reset(struct mock_driver *d)
{
	d->transport->set_status(d, 0);
	d->n_queues = 0;
	d->features = 0;
}

uint64_t mock_offered(struct mock_driver *d)
{
	return d->transport->offered(d);
}

int mock_negotiate(struct mock_driver *d, uint64_t features)
{
	mock_reset(d);
	d->transport->set_status(d, ACKNOWLEDGE);
	d->transport->set_status(d, ACKNOWLEDGE | DRIVER);
	d->transport->accept(d, features);
	d->features = features;
	if (d->transport->legacy)
		return 0;
	d->transport->set_status(d, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	if (mock_status(d) & FEATURES_OK)
		return 0;
	d->features = 0;
	return -1;
}

static bool packed(const struct mock_driver *d)
{
	return d->features & MOCK_F_PACKED;
}

void mock_setup_queue(struct mock_driver *d, unsigned int n)
{
	struct mock_queue *q = &d->queue[n];
	uint64_t desc, driver, device;
	uint32_t max;

	memset(q, 0, sizeof(*q));
	max = d->transport->queue_max(d, n);
	if (!max)
		return;
	q->num = d->queue_size ? MIN(d->queue_size, max) : max;
	queue_area_sizes(q->num, packed(d), &desc, &driver, &device);
	q->desc = mock_alloc(d->vm, desc, d->transport->legacy ? 4096 : 16);
	q->driver = mock_alloc(d->vm, driver, d->transport->legacy ? 1 : 4);
	q->device = mock_alloc(d->vm, device, d->transport->legacy ? 4096 : 4);
	memory_zero(d->vm->memory, q->desc, d->vm->next - q->desc);
	q->n_free = q->num;
	for (unsigned int i = 0; i < q->num; i++)
		q->next[i] = i + 1;
	q->avail_wrap = q->used_wrap = true;
	d->transport->queue_set(d, n, q);
	d->n_queues = MAX(d->n_queues, n + 1);
}

int mock_start(struct mock_driver *d, uint64_t features)
{
	if (mock_negotiate(d, (features | MOCK_F_VERSION_1) & mock_offered(d)) < 0)
		return -1;
	for (unsigned int i = 0; i < VIRTIO_MAX_QUEUES; i++)
		mock_setup_queue(d, i);
	for (unsigned int i = 0; i < d->n_queues; i++)
		mock_interrupts(d, i, true);
	d->transport->ready(d);
	d->transport->set_status(d, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	return mock_status(d) & NEEDS_RESET ? -1 : 0;
}

/* --- rings --- */

static uint16_t ring16(const struct mock_driver *d, uint16_t v)
{
	return d->transport->legacy ? __builtin_bswap16(v) : v;
}

static uint16_t load16(struct mock_driver *d, uint64_t gpa)
{
	struct slice s;

	REQUIRE(memory_slice(d->vm->memory, gpa, 2, &s) >= 0);
	return ring16(d, slice_load_le16(&s, 0, memory_order_acquire));
}

static void store16(struct mock_driver *d, uint64_t gpa, uint16_t v)
{
	struct slice s;

	REQUIRE(memory_slice(d->vm->memory, gpa, 2, &s) >= 0);
	slice_store_le16(&s, 0, ring16(d, v), memory_order_release);
}

static void store32(struct mock_driver *d, uint64_t gpa, uint32_t v)
{
	struct slice s;

	REQUIRE(memory_slice(d->vm->memory, gpa, 4, &s) >= 0);
	slice_store_le32(&s, 0, d->transport->legacy ? __builtin_bswap32(v) : v, memory_order_release);
}

static uint32_t load32(struct mock_driver *d, uint64_t gpa)
{
	struct slice s;
	uint32_t v;

	REQUIRE(memory_slice(d->vm->memory, gpa, 4, &s) >= 0);
	v = slice_load_le32(&s, 0, memory_order_acquire);
	return d->transport->legacy ? __builtin_bswap32(v) : v;
}

/* All of a descriptor but the flags of a packed one, which the caller stores when it may be seen. */
static void write_desc(struct mock_driver *d, uint64_t at, uint64_t gpa, uint32_t len, uint16_t flags, uint16_t link)
{
	uint8_t raw[16];

	if (d->transport->legacy) {
		put_be64(raw, gpa);
		put_be32(raw + 8, len);
	} else {
		put_le64(raw, gpa);
		put_le32(raw + 8, len);
	}
	put_le16(raw + 12, ring16(d, packed(d) ? link : flags));
	put_le16(raw + 14, ring16(d, packed(d) ? flags : link));
	memory_write(d->vm->memory, at, raw, packed(d) ? 14 : 16);
}

static uint64_t indirect_table(struct mock_driver *d, const struct mock_buf *bufs, unsigned int n_bufs)
{
	uint64_t table = mock_alloc(d->vm, 16 * (uint64_t)n_bufs, 16);

	for (unsigned int i = 0; i < n_bufs; i++) {
		uint16_t flags = bufs[i].write ? WRITE : 0;

		if (!packed(d) && i + 1 < n_bufs)
			flags |= NEXT;
		write_desc(d, table + 16 * i, bufs[i].gpa, bufs[i].len, flags, packed(d) ? 0 : i + 1);
		if (packed(d))
			store16(d, table + 16 * i + 14, flags);
	}
	return table;
}

static int add_split(struct mock_driver *d, struct mock_queue *q, const struct mock_buf *bufs, unsigned int n,
		     uint16_t extra)
{
	uint16_t head = q->free_head, at = head;

	for (unsigned int i = 0; i < n; i++) {
		uint16_t flags = (bufs[i].write ? WRITE : 0) | (i + 1 < n ? NEXT : 0) | extra;

		write_desc(d, q->desc + 16 * (uint64_t)at, bufs[i].gpa, bufs[i].len, flags, q->next[at]);
		if (i + 1 < n)
			at = q->next[at];
	}
	q->free_head = q->next[at];
	q->n_free -= n;
	q->count[head] = n;
	store16(d, q->driver + 4 + 2 * (uint64_t)(q->avail & (q->num - 1)), head);
	q->avail++;
	store16(d, q->driver + 2, q->avail);
	return head;
}

static int add_packed(struct mock_driver *d, struct mock_queue *q, const struct mock_buf *bufs, unsigned int n,
		      uint16_t extra)
{
	uint16_t id = q->free_head, first = q->avail, first_flags = 0;

	q->free_head = q->next[id];
	q->n_free -= n;
	q->count[id] = n;
	for (unsigned int i = 0; i < n; i++) {
		uint64_t at = q->desc + 16 * (uint64_t)q->avail;
		uint16_t flags = (bufs[i].write ? WRITE : 0) | (i + 1 < n ? NEXT : 0) | extra | (q->avail_wrap ? AVAIL : USED);

		write_desc(d, at, bufs[i].gpa, bufs[i].len, flags, id);
		if (i)
			store16(d, at + 14, flags);
		else
			first_flags = flags;
		if (++q->avail == q->num) {
			q->avail = 0;
			q->avail_wrap = !q->avail_wrap;
		}
	}
	q->added += n;
	store16(d, q->desc + 16 * (uint64_t)first + 14, first_flags); /* the whole list appears at once */
	return id;
}

int mock_add(struct mock_driver *d, unsigned int n, const struct mock_buf *bufs, unsigned int n_bufs,
	     enum mock_layout layout)
{
	struct mock_queue *q = &d->queue[n];
	struct mock_buf table;
	uint16_t extra = 0;

	REQUIRE(n_bufs);
	if (q->n_free < (layout == MOCK_INDIRECT ? 1 : n_bufs))
		return -1;
	if (layout == MOCK_INDIRECT) {
		table = (struct mock_buf){.gpa = indirect_table(d, bufs, n_bufs), .len = 16 * n_bufs};
		bufs = &table;
		n_bufs = 1;
		extra = INDIRECT;
	}
	return packed(d) ? add_packed(d, q, bufs, n_bufs, extra) : add_split(d, q, bufs, n_bufs, extra);
}

static bool wants_kick_split(struct mock_driver *d, struct mock_queue *q)
{
	uint16_t before = q->kicked;

	q->kicked = q->avail;
	if (!(d->features & MOCK_F_EVENT_IDX))
		return !(load16(d, q->device) & 1);
	return (uint16_t)(load16(d, q->device + 4 + 8 * (uint64_t)q->num) - before) < (uint16_t)(q->avail - before);
}

static bool wants_kick_packed(struct mock_driver *d, struct mock_queue *q)
{
	uint32_t area = load32(d, q->device), event = area & 0x7fff;
	/* The slots added lie in (end - added, end] on a line that starts with the round before. */
	uint32_t end = q->num + q->avail, start = end - q->added;

	q->added = 0;
	if ((area >> 16 & 3) != EVENT_DESC)
		return (area >> 16 & 3) != EVENT_DISABLE;
	if ((area >> 15 & 1) == q->avail_wrap)
		event += q->num;
	return event >= start && event < end;
}

bool mock_kick(struct mock_driver *d, unsigned int n)
{
	struct mock_queue *q = &d->queue[n];
	bool wants;

	atomic_thread_fence(memory_order_seq_cst); /* pairs with the one in queue_doorbell_on */
	wants = packed(d) ? wants_kick_packed(d, q) : wants_kick_split(d, q);
	if (wants)
		d->transport->notify(d, n);
	return wants;
}

void mock_interrupts(struct mock_driver *d, unsigned int n, bool on)
{
	struct mock_queue *q = &d->queue[n];
	bool event_idx = d->features & MOCK_F_EVENT_IDX;

	if (!q->num)
		return;
	if (packed(d)) {
		uint32_t at = q->used | (q->used_wrap ? 0x8000u : 0);

		store32(d, q->driver, !on ? EVENT_DISABLE << 16 : event_idx ? EVENT_DESC << 16 | at : EVENT_ENABLE << 16);
	} else if (event_idx) {
		store16(d, q->driver + 4 + 2 * (uint64_t)q->num, on ? q->used : q->used - 1);
	} else {
		store16(d, q->driver, !on);
	}
	atomic_thread_fence(memory_order_seq_cst); /* pairs with the one in queue_wants_interrupt */
}

static bool interrupts_on(struct mock_driver *d, struct mock_queue *q)
{
	if (packed(d))
		return (load32(d, q->driver) >> 16 & 3) != EVENT_DISABLE;
	if (d->features & MOCK_F_EVENT_IDX)
		return load16(d, q->driver + 4 + 2 * (uint64_t)q->num) == q->used;
	return !load16(d, q->driver);
}

static int used_split(struct mock_driver *d, struct mock_queue *q, uint32_t *ret_written)
{
	uint64_t at = q->device + 4 + 8 * (uint64_t)(q->used & (q->num - 1));
	uint32_t id;
	uint16_t last;

	if (load16(d, q->device + 2) == q->used)
		return -1;
	id = load32(d, at);
	*ret_written = load32(d, at + 4);
	if (id >= q->num || !q->count[id])
		return -2;
	last = id;
	for (unsigned int i = 1; i < q->count[id]; i++)
		last = q->next[last];
	q->next[last] = q->free_head;
	q->free_head = id;
	q->n_free += q->count[id];
	q->count[id] = 0;
	q->used++;
	return id;
}

static int used_packed(struct mock_driver *d, struct mock_queue *q, uint32_t *ret_written)
{
	uint64_t at = q->desc + 16 * (uint64_t)q->used;
	uint16_t flags = load16(d, at + 14), id;

	if (!!(flags & AVAIL) != q->used_wrap || !!(flags & USED) != q->used_wrap)
		return -1;
	id = load16(d, at + 12);
	*ret_written = load32(d, at + 8);
	if (id >= q->num || !q->count[id])
		return -2;
	q->used += q->count[id];
	if (q->used >= q->num) {
		q->used -= q->num;
		q->used_wrap = !q->used_wrap;
	}
	q->n_free += q->count[id];
	q->count[id] = 0;
	q->next[id] = q->free_head;
	q->free_head = id;
	return id;
}

int mock_used(struct mock_driver *d, unsigned int n, uint32_t *ret_written)
{
	struct mock_queue *q = &d->queue[n];
	bool on = interrupts_on(d, q);
	uint32_t written = 0;
	int token = packed(d) ? used_packed(d, q, &written) : used_split(d, q, &written);

	if (token >= 0) {
		mock_interrupts(d, n, on);
		if (ret_written)
			*ret_written = written;
	}
	return token;
}

int mock_wait(struct mock_driver *d, unsigned int n, uint32_t *ret_written)
{
	uint64_t end = sys_now_ns() + UINT64_C(5000000000);
	int token;

	for (;;) {
		/* Under the device's lock: a driver that polls between the device's push and its look at used_event gets no interrupt, rightly. */
		virtio_lock(d->vd);
		token = mock_used(d, n, ret_written);
		virtio_unlock(d->vd);
		if (token != -1 || sys_now_ns() >= end)
			return token;
		sched_yield();
	}
}

int64_t mock_request(struct mock_driver *d, unsigned int n, const void *out, uint32_t out_len, void *in,
		     uint32_t in_len)
{
	uint64_t mark = d->vm->next, at = mock_alloc(d->vm, (uint64_t)out_len + in_len, 64);
	struct mock_buf bufs[2];
	unsigned int n_bufs = 0;
	uint32_t written = 0;
	int token, got;

	memory_write(d->vm->memory, at, out, out_len);
	if (out_len)
		bufs[n_bufs++] = (struct mock_buf){at, out_len, false};
	if (in_len) {
		memory_write(d->vm->memory, at + out_len, in, in_len);
		bufs[n_bufs++] = (struct mock_buf){at + out_len, in_len, true};
	}
	token = mock_add(d, n, bufs, n_bufs, MOCK_DIRECT);
	if (token < 0)
		return -1;
	mock_kick(d, n);
	got = mock_wait(d, n, &written);
	if (got != token)
		return -1;
	if (in_len)
		memory_read(d->vm->memory, at + out_len, in, in_len);
	d->vm->next = mark;
	return written;
}
