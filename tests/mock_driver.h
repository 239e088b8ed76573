// SPDX-License-Identifier: MIT
/*
 * The other side of a virtio device: a small VM without vCPUs, and a driver that works a device over a transport as a guest would: virtio-mmio, or what the
 * test is compiled with (-DMOCK_TRANSPORT=mock_over_ccw), so that one source is a test over both. For unit tests and fuzzers of devices and transports; every test and fuzz target is linked with it. One test (#include "tests/mock_driver.h"):
 *
 *	struct mock_vm *vm = mock_vm_create(MOCK_LOOP | MOCK_HV);
 *	virtio_foo_create(&vm->env, ..., &vd);			// the device under test
 *	struct mock_driver *d = mock_driver_create(vm, vd, IRQ_LEVEL);
 *	CHECK_EQ(mock_start(d, MOCK_ALL), 0);			// reset, features, all queues, DRIVER_OK
 *
 *	n = mock_request(d, 0, "abc", 3, answer, sizeof(answer));	// one request and its answer; or by hand:
 *	uint64_t at = mock_alloc(vm, 512, 16);
 *	int token = mock_add(d, 0, (struct mock_buf[]){{at, 16, false}, {at + 16, 496, true}}, 2, MOCK_DIRECT);
 *	mock_kick(d, 0);
 *	CHECK_EQ(mock_wait(d, 0, &written), token);		// or mock_used() after mock_settle()
 *	CHECK(mock_isr(d) & 1);					// read and acknowledge, as an interrupt handler does
 *
 *	mock_driver_destroy(d);		// the transport
 *	mock_vm_stop(vm);		// ends the loop's thread
 *	virtio_destroy(vd);
 *	mock_vm_destroy(vm);
 *
 * Everything of a driver is called from one thread at a time. Failures of the mock itself abort.
 */
#ifndef LKVM_TESTS_MOCK_DRIVER_H
#define LKVM_TESTS_MOCK_DRIVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "bus.h"
#include "coalesce.h"
#include "hv/hv.h"
#include "irq.h"
#include "loop/loop.h"
#include "memory.h"
#include "virtio/device.h"
#include "virtio/transport/mmio.h"

#define MOCK_RAM_BASE UINT64_C(0x80000000)
#define MOCK_RAM_SIZE MIB(32)
#define MOCK_MMIO_BASE UINT64_C(0x10020000) /* driver i at + i * VIRTIO_MMIO_SIZE */

enum {
	MOCK_LOOP = 1, /* a loop with a thread of its own; without it env.loop is NULL and kicks run inside mock_kick */
	MOCK_HV = 2,   /* a scripted hypervisor: doorbells, register page, and (with MOCK_LOOP) queued acknowledges */
};

struct css;
struct virtio_ccw;

struct mock_vm {
	struct memory *memory;
	struct loop *loop;
	struct bus *bus;
	struct bus_reader reader;
	struct hv *hv;
	struct coalescer *coalescer;
	struct log log;
	struct virtio_env env; /* what devices are created with */
	char said[512];	       /* the last line logged */
	atomic_uint n_said;
	pthread_t thread;
	bool running;
	unsigned int n_drivers;
	struct css *css; /* from the first driver over ccw on */
	struct mock_driver *ccw[16];
	unsigned int n_ccw;
	uint64_t next; /* first free guest address */
};

struct mock_vm *mock_vm_create(unsigned int flags);
/* The same with a hypervisor whose nth call fails (counted from 1); hv_scripted_calls() tells how many there were. */
struct mock_vm *mock_vm_create_failing(unsigned int flags, unsigned long nth);
void mock_vm_stop(struct mock_vm *vm); /* stops the loop's thread, if there is one and it runs */
void mock_vm_destroy(struct mock_vm *vm);
/* Guest memory, zeroed at first, freed with the VM. A test with many requests may put vm->next back to an earlier value. */
uint64_t mock_alloc(struct mock_vm *vm, uint64_t len, uint64_t align);
/* Everything that was rung or posted before has been handled by the loop when this returns (not I/O in flight). */
void mock_settle(struct mock_vm *vm);

/* --- the driver --- */

struct mock_buf {
	uint64_t gpa;
	uint32_t len;
	bool write; /* device-writable */
};

enum mock_layout { MOCK_DIRECT, MOCK_INDIRECT };

#define MOCK_ALL UINT64_MAX
#define MOCK_F_VERSION_1 (UINT64_C(1) << 32)
#define MOCK_F_PACKED (UINT64_C(1) << 34)
#define MOCK_F_INDIRECT (UINT64_C(1) << 28)
#define MOCK_F_EVENT_IDX (UINT64_C(1) << 29)

/* A queue as the driver sees it. Tests may look at everything here, and fuzzers scribble over the rings. */
struct mock_queue {
	uint64_t desc, driver, device; /* guest addresses of the areas */
	uint16_t num;		       /* 0: the device has no such queue, or it was left out */
	uint16_t free_head, n_free;    /* split: descriptors; packed: n_free counts slots */
	uint16_t next[QUEUE_MAX_SIZE]; /* free list of descriptors or buffer ids */
	uint16_t count[QUEUE_MAX_SIZE]; /* slots of the request `id`, 0: not in flight */
	uint16_t avail, used;	       /* split: free-running; packed: slots */
	bool avail_wrap, used_wrap;
	uint16_t kicked; /* split: avail at the last kick */
	uint16_t added;	 /* packed: slots made available since the last kick */
};

struct mock_transport;

struct mock_driver {
	struct mock_vm *vm;
	struct virtio_device *vd;
	const struct mock_transport *transport;
	struct virtio_mmio *mmio;
	uint64_t base; /* mmio: of the registers; ccw: of its own memory */
	struct virtio_ccw *ccw;
	uint32_t sid;
	atomic_bool in_program;
	uint64_t features; /* negotiated */
	unsigned int n_queues;
	struct mock_queue queue[VIRTIO_MAX_QUEUES];
	uint16_t queue_size; /* asked of each queue; 0: its maximum. May be set before mock_start */
	/* The interrupt line. */
	struct irq_line irq;
	atomic_bool level;
	atomic_uint raises; /* low to high, or pulses */
	bool takes_eventfds; /* the line has irq_ops.irqfd; what is connected: */
	atomic_int eventfd[2 * VIRTIO_MAX_QUEUES], n_eventfds;
	bool queued_writes; /* may acknowledges wait in the hypervisor's ring? */
};

/* What differs between transports. isr: as InterruptStatus, read and acknowledged. ready: before DRIVER_OK. */
struct mock_transport {
	const char *name;
	bool legacy; /* no FEATURES_OK, big-endian rings in one piece */
	void (*create)(struct mock_driver *d);
	void (*destroy)(struct mock_driver *d);
	uint32_t (*device_id)(struct mock_driver *d);
	uint8_t (*status)(struct mock_driver *d);
	void (*set_status)(struct mock_driver *d, uint8_t status);
	uint64_t (*offered)(struct mock_driver *d);
	void (*accept)(struct mock_driver *d, uint64_t features);
	void (*config_read)(struct mock_driver *d, uint32_t offset, void *buf, unsigned int len);
	void (*config_write)(struct mock_driver *d, uint32_t offset, const void *buf, unsigned int len);
	uint32_t (*queue_max)(struct mock_driver *d, unsigned int n); /* 0: there is none */
	void (*queue_set)(struct mock_driver *d, unsigned int n, const struct mock_queue *q);
	void (*ready)(struct mock_driver *d);
	void (*notify)(struct mock_driver *d, unsigned int n);
	uint32_t (*isr)(struct mock_driver *d);
};

/* mock_over_legacy: virtio-ccw's revision 0, classic indicators. */
extern const struct mock_transport mock_over_mmio, mock_over_ccw, mock_over_legacy;

#ifndef MOCK_TRANSPORT
#define MOCK_TRANSPORT mock_over_mmio
#endif

struct mock_driver *mock_driver_create_over(const struct mock_transport *transport, struct mock_vm *vm,
					    struct virtio_device *vd, enum irq_trigger trigger);
static inline struct mock_driver *mock_driver_create(struct mock_vm *vm, struct virtio_device *vd, enum irq_trigger trigger)
{
	return mock_driver_create_over(&MOCK_TRANSPORT, vm, vd, trigger);
}
void mock_driver_destroy(struct mock_driver *d);

uint32_t mock_device_id(struct mock_driver *d);
uint8_t mock_status(struct mock_driver *d);

/* virtio-mmio alone: register access of 4 bytes; with a hypervisor as KVM would treat it (page, doorbell, ring), otherwise over the bus. */
uint32_t mock_read32(struct mock_driver *d, uint32_t offset);
void mock_write32(struct mock_driver *d, uint32_t offset, uint32_t v);
/* Any access (mmio alone). */
void mock_read(struct mock_driver *d, uint32_t offset, void *buf, unsigned int len);
void mock_write(struct mock_driver *d, uint32_t offset, const void *buf, unsigned int len);
/* The configuration space from `offset` on, in bytes, between equal generations. */
void mock_config_read(struct mock_driver *d, uint32_t offset, void *buf, unsigned int len);
void mock_config_write(struct mock_driver *d, uint32_t offset, const void *buf, unsigned int len);

/* Steps of the initialisation, for tests of the transport. */
uint64_t mock_offered(struct mock_driver *d);
int mock_negotiate(struct mock_driver *d, uint64_t features); /* reset to FEATURES_OK; -1: refused */
void mock_setup_queue(struct mock_driver *d, unsigned int n); /* lays the rings out and makes it ready */
/*
 * All of it: negotiates those of `features` that the device offers (VERSION_1 always), sets every queue up, DRIVER_OK. 0, or -1 when the
 * device refused FEATURES_OK or answers with NEEDS_RESET.
 */
int mock_start(struct mock_driver *d, uint64_t features);
void mock_reset(struct mock_driver *d);

/* Puts a request into the ring and makes it visible: its token, or -1 without room. Indirect needs the feature. */
int mock_add(struct mock_driver *d, unsigned int n, const struct mock_buf *bufs, unsigned int n_bufs,
	     enum mock_layout layout);
/* Rings the doorbell unless the device has suppressed that; tells whether it rang. */
bool mock_kick(struct mock_driver *d, unsigned int n);
/* The next used request's token, or -1: none. -2: the device gave back what it was not given. Asks for an interrupt for the one after it. */
int mock_used(struct mock_driver *d, unsigned int n, uint32_t *ret_written);
/* mock_used, waiting at most 5 seconds, for requests that the device pushes and signals under one lock: the interrupt has come, too. */
int mock_wait(struct mock_driver *d, unsigned int n, uint32_t *ret_written);
/* Does the driver want interrupts from this queue (without event index: flag; with it: index at the next used one)? On after mock_start. */
void mock_interrupts(struct mock_driver *d, unsigned int n, bool on);
/* Reads InterruptStatus and acknowledges what it shows, as an interrupt handler does; the bits. */
uint32_t mock_isr(struct mock_driver *d);

/*
 * One request from host memory and back: copies, adds, kicks, waits, copies the answer. Returns the bytes that the device says it wrote, or -1 when
 * nothing came. Either part may be empty.
 */
int64_t mock_request(struct mock_driver *d, unsigned int n, const void *out, uint32_t out_len, void *in,
		     uint32_t in_len);

#endif
