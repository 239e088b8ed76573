// SPDX-License-Identifier: MIT
/*
 * Queue pairs in the kernel, against a /dev/vhost-net that is played here: it takes the same ioctls, checks their order and arguments, and serves the rings
 * when the test says so. The tap is a real one; without one only the opening is tried.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <sched.h>
#include <sys/socket.h>

#include "base/endian.h"
#include "base/sys.h"
#include "tests/mock_driver.h"
#include "tests/test.h"
#include "virtio/net.h"

#define F_MQ (UINT64_C(1) << 22)
#define F_MRG (UINT64_C(1) << 15)
#define F_LOG_ALL (UINT64_C(1) << 26)
#define F_NET_HDR (UINT64_C(1) << 27)
#define PAIRS 2

/* --- the kernel --- */

struct fake_ring {
	struct queue q; /* addresses once VRING_ADDR is set */
	int kick, call, err, backend;
	bool placed;
};

static struct fake {
	struct memory *memory; /* of the VM, to check the table and find the rings */
	uint64_t features;     /* what it has */
	int fd[PAIRS];
	struct fake_pair {
		bool owned, table;
		uint64_t acked;
		struct fake_ring ring[2];
	} pair[PAIRS];
	unsigned int calls, fail_nth;
	int fail_errno;
} fake;

static void fake_begin(struct memory *memory, uint64_t features)
{
	fake = (struct fake){.memory = memory, .features = features, .fail_errno = -EIO};
	for (unsigned int i = 0; i < PAIRS; i++) {
		fake.fd[i] = -1;
		for (unsigned int k = 0; k < 2; k++)
			fake.pair[i].ring[k].backend = -1;
	}
}

static struct fake_pair *pair_of(int fd)
{
	for (unsigned int i = 0; i < PAIRS; i++) {
		if (fake.fd[i] < 0)
			fake.fd[i] = fd;
		if (fake.fd[i] == fd)
			return &fake.pair[i];
	}
	abort();
}

static void check_table(const struct vhost_memory *table)
{
	CHECK_EQ(table->nregions, fake.memory->n_regions);
	CHECK_EQ(table->padding, 0);
	for (unsigned int i = 0; i < table->nregions && i < fake.memory->n_regions; i++) {
		CHECK_EQ(table->regions[i].guest_phys_addr, fake.memory->region[i].gpa);
		CHECK_EQ(table->regions[i].memory_size, fake.memory->region[i].size);
		CHECK_EQ(table->regions[i].userspace_addr, (uintptr_t)fake.memory->region[i].host);
		CHECK_EQ(table->regions[i].flags_padding, 0);
	}
}

static uint64_t gpa(uint64_t user)
{
	const void *p;

	memcpy(&p, &user, sizeof(p));
	return memory_gpa(fake.memory, p);
}

static int set_backend(struct fake_pair *p, const struct vhost_vring_file *f)
{
	struct fake_ring *ring = &p->ring[f->index];
	uint8_t idx[2];

	if (f->fd < 0) {
		CHECK(ring->backend >= 0);
		queue_stop(&ring->q);
	} else {
		CHECK(p->table && ring->placed && ring->kick >= 0 && ring->call >= 0 && ring->err >= 0);
		CHECK_EQ(ring->backend, -1);
		memory_read(fake.memory, ring->q.s.device + 2, idx, sizeof(idx));
		ring->q.s.next_used = get_le16(idx);
		if (queue_start(&ring->q, fake.memory, p->acked) < 0)
			return -EFAULT;
	}
	ring->backend = f->fd;
	return 0;
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	struct fake_pair *p = pair_of(fd);
	struct vhost_vring_state *state = arg;
	struct vhost_vring_addr *addr = arg;
	struct vhost_vring_file *file = arg;

	/* The kernel never refuses to stop. */
	if (request != VHOST_NET_SET_BACKEND || file->fd >= 0)
		fake.calls++;
	if (fake.calls == fake.fail_nth) {
		fake.fail_nth = 0;
		return fake.fail_errno;
	}
	CHECK(p->owned || request == VHOST_SET_OWNER);
	switch (request) {
	case VHOST_SET_OWNER:
		CHECK(!p->owned);
		p->owned = true;
		return 0;
	case VHOST_GET_FEATURES:
		memcpy(arg, &fake.features, 8);
		return 0;
	case VHOST_SET_FEATURES:
		memcpy(&p->acked, arg, 8);
		return p->acked & ~fake.features ? -EOPNOTSUPP : 0;
	case VHOST_SET_MEM_TABLE:
		check_table(arg);
		p->table = true;
		return 0;
	case VHOST_SET_VRING_NUM:
		p->ring[state->index].q.s.num = (uint16_t)state->num;
		return 0;
	case VHOST_SET_VRING_BASE:
		p->ring[state->index].q.s.next_avail = (uint16_t)state->num;
		return 0;
	case VHOST_GET_VRING_BASE:
		CHECK_EQ(p->ring[state->index].backend, -1);
		state->num = p->ring[state->index].q.s.next_avail;
		return 0;
	case VHOST_SET_VRING_ADDR:
		CHECK_EQ(addr->flags, 0);
		p->ring[addr->index].q.s.desc = gpa(addr->desc_user_addr);
		p->ring[addr->index].q.s.driver = gpa(addr->avail_user_addr);
		p->ring[addr->index].q.s.device = gpa(addr->used_user_addr);
		p->ring[addr->index].q.s.ready = p->ring[addr->index].placed = true;
		return 0;
	case VHOST_SET_VRING_KICK:
		p->ring[file->index].kick = file->fd;
		return 0;
	case VHOST_SET_VRING_CALL:
		p->ring[file->index].call = file->fd;
		return 0;
	case VHOST_SET_VRING_ERR:
		p->ring[file->index].err = file->fd;
		return 0;
	case VHOST_NET_SET_BACKEND:
		return set_backend(p, file);
	default:
		CHECK(!"an ioctl that vhost has");
		return -ENOTTY;
	}
}

static struct fake_ring *ring_of(unsigned int queue)
{
	return &fake.pair[queue / 2].ring[queue % 2];
}

static bool served(unsigned int queue)
{
	return ring_of(queue)->backend >= 0;
}

/* Was the doorbell rung since last asked? */
static bool rung(unsigned int queue)
{
	uint64_t n = 0;

	return read(ring_of(queue)->kick, &n, sizeof(n)) == 8;
}

static void used(struct fake_ring *ring, const struct chain *c, uint32_t written)
{
	queue_push(&ring->q, c, written);
	queue_doorbell_on(&ring->q);
	if (queue_wants_interrupt(&ring->q))
		sys_eventfd_signal(ring->call);
}

/* One frame out of a transmit queue; its length, -1: none. */
static int64_t fake_send(unsigned int queue, void *buf, size_t cap)
{
	struct fake_ring *ring = ring_of(queue);
	struct iovec iov[QUEUE_MAX_SIZE + 8];
	struct chain c = {.iov = iov, .cap = ARRAY_SIZE(iov)};

	if (queue_pop(&ring->q, &c) <= 0)
		return -1;
	chain_read(&c, 0, buf, MIN(cap, c.out_len));
	used(ring, &c, 0);
	return (int64_t)c.out_len;
}

static bool fake_receive(unsigned int queue, const void *buf, uint32_t len)
{
	struct fake_ring *ring = ring_of(queue);
	struct iovec iov[QUEUE_MAX_SIZE + 8];
	struct chain c = {.iov = iov, .cap = ARRAY_SIZE(iov)};

	if (queue_pop(&ring->q, &c) <= 0)
		return false;
	chain_write(&c, 0, buf, len);
	used(ring, &c, len);
	return true;
}

/* --- the device --- */

static const uint64_t kernel_has = VHOST_RING_FEATURES | F_LOG_ALL | F_NET_HDR | UINT64_C(1) << 24 | UINT64_C(1) << 33;

struct fixture {
	struct mock_vm *vm;
	struct virtio_device *vd;
	struct mock_driver *d;
};

static int open_link(unsigned int pairs, struct link **ret, struct err *e)
{
	struct link_config config = {.fd = -1, .pairs = pairs};

	return link_open(&config, ret, e);
}

static int create(struct mock_vm *vm, unsigned int pairs, struct virtio_device **ret, struct err *e)
{
	struct virtio_net_config config = {.pairs = pairs, .mac = {2}};
	struct vhost_config vhost = {.pairs = pairs, .memory = vm->memory, .path = "/dev/null", .ioctl = fake_ioctl};
	int r = open_link(pairs, &config.link, e);

	if (r >= 0)
		r = vhost_open(&vhost, &config.vhost, e);
	if (r >= 0)
		r = virtio_net_create(&config, &vm->env, ret, e);
	if (r < 0) {
		vhost_close(config.vhost);
		link_close(config.link);
	}
	return r;
}

static void begin(struct fixture *f, unsigned int pairs, enum irq_trigger trigger, bool irqfd)
{
	struct err e = {0};

	f->vm = mock_vm_create(MOCK_LOOP | MOCK_HV);
	fake_begin(f->vm->memory, kernel_has);
	CHECK_EQ(create(f->vm, pairs, &f->vd, &e), 0);
	f->d = mock_driver_create(f->vm, f->vd, trigger);
	f->d->takes_eventfds = irqfd;
}

static void finish(struct fixture *f)
{
	mock_driver_destroy(f->d);
	mock_vm_stop(f->vm);
	virtio_destroy(f->vd);
	mock_vm_destroy(f->vm);
	for (unsigned int i = 0; i < 2 * PAIRS; i++)
		CHECK(!served(i));
}

/* InterruptStatus, acknowledged; not one that waits in the ring. */
static uint32_t isr(struct fixture *f)
{
	uint32_t bits = mock_isr(f->d);

	coalescer_drain(f->vm->coalescer);
	return bits;
}

static uint64_t give(struct fixture *f, unsigned int queue)
{
	uint64_t at = mock_alloc(f->vm, 2048, 16);

	CHECK(mock_add(f->d, queue, (struct mock_buf[]){{at, 2048, true}}, 1, MOCK_DIRECT) >= 0);
	return at;
}

static void send_one(struct fixture *f, unsigned int queue, char what)
{
	uint64_t at = mock_alloc(f->vm, 64, 16);
	char frame[64];

	memset(frame, what, sizeof(frame));
	memory_write(f->vm->memory, at, frame, sizeof(frame));
	CHECK(mock_add(f->d, queue, (struct mock_buf[]){{at, 64, false}}, 1, MOCK_DIRECT) >= 0);
	CHECK(mock_kick(f->d, queue));
	CHECK(rung(queue));
	memset(frame, 0, sizeof(frame));
	CHECK_EQ(fake_send(queue, frame, sizeof(frame)), 64);
	CHECK_EQ(frame[63], what);
	CHECK(mock_wait(f->d, queue, NULL) >= 0);
}

static void receive_one(struct fixture *f, unsigned int queue, char what)
{
	uint64_t at = give(f, queue);
	uint32_t written = 0;
	char frame[100];

	mock_kick(f->d, queue);
	memset(frame, what, sizeof(frame));
	CHECK(fake_receive(queue, frame, sizeof(frame)));
	CHECK(mock_wait(f->d, queue, &written) >= 0);
	CHECK_EQ(written, 100);
	memory_read(f->vm->memory, at + 99, frame, 1);
	CHECK_EQ(frame[0], what);
}

/* Interrupts over the loop, as a controller in user space needs them. */
static void test_traffic(enum irq_trigger trigger)
{
	struct fixture f;
	uint64_t offered;
	unsigned int n;
	uint8_t ack = 9;

	begin(&f, 1, trigger, false);
	offered = mock_offered(f.d);
	CHECK(offered & F_MRG && offered & MOCK_F_EVENT_IDX && offered & MOCK_F_INDIRECT && offered & 1);
	CHECK(!(offered & (MOCK_F_PACKED | F_LOG_ALL | F_NET_HDR | UINT64_C(1) << 24)));
	CHECK_EQ(mock_start(f.d, MOCK_ALL), 0);
	CHECK(served(0) && served(1));
	CHECK_EQ(fake.pair[0].acked, VHOST_RING_FEATURES & f.d->features);
	CHECK(rung(0) && rung(1)); /* what was made available before */
	n = atomic_load(&f.d->raises);
	for (int i = 0; i < 600; i++) { /* more than once around */
		send_one(&f, 1, (char)i);
		if (i % 3)
			receive_one(&f, 0, (char)i);
		f.vm->next -= 64; /* memory for the next one */
		isr(&f);
	}
	mock_settle(f.vm);
	CHECK(atomic_load(&f.d->raises) > n);
	/* InterruptStatus says what came, and nothing after the acknowledge. */
	isr(&f);
	send_one(&f, 1, 'x');
	mock_settle(f.vm);
	CHECK_EQ(isr(&f), 1);
	CHECK_EQ(isr(&f), 0);
	/* The control queue is ours. */
	CHECK_EQ(mock_request(f.d, 2, "\0\0\1", 3, &ack, 1), 1);
	CHECK_EQ(ack, 0);
	/* Not told what the driver does not want to hear. */
	mock_interrupts(f.d, 1, false);
	n = atomic_load(&f.d->raises);
	send_one(&f, 1, 'y');
	mock_settle(f.vm);
	CHECK_EQ(atomic_load(&f.d->raises), n);
	mock_reset(f.d);
	CHECK(!served(0) && !served(1));
	CHECK_EQ(mock_start(f.d, MOCK_ALL & ~F_MRG), 0);
	send_one(&f, 1, 'z');
	receive_one(&f, 0, 'z');
	finish(&f);
}

/* Interrupts without us: InterruptStatus stands. */
static void test_irqfd(void)
{
	struct fixture f;
	unsigned int n;

	begin(&f, 1, IRQ_EDGE, true);
	CHECK_EQ(mock_read32(f.d, 0x60), 0);
	CHECK_EQ(mock_start(f.d, MOCK_ALL), 0);
	CHECK_EQ(f.d->n_eventfds, 2);
	CHECK_EQ(f.d->eventfd[0], ring_of(0)->call);
	CHECK_EQ(f.d->eventfd[1], ring_of(1)->call);
	CHECK_EQ(isr(&f), 1);
	CHECK_EQ(isr(&f), 1);
	n = atomic_load(&f.d->raises);
	send_one(&f, 1, 'a');
	receive_one(&f, 0, 'b');
	mock_settle(f.vm);
	CHECK_EQ(atomic_load(&f.d->raises), n); /* the loop has nothing to do with it */
	CHECK_EQ(isr(&f), 1);
	/* Paused, nothing is connected; what came before stays visible. */
	virtio_pause(f.vd);
	CHECK_EQ(f.d->n_eventfds, 0);
	CHECK_EQ(isr(&f), 1);
	CHECK_EQ(isr(&f), 0);
	virtio_resume(f.vd);
	CHECK_EQ(f.d->n_eventfds, 2);
	CHECK_EQ(isr(&f), 1);
	send_one(&f, 1, 'c');
	mock_reset(f.d);
	CHECK_EQ(f.d->n_eventfds, 0);
	CHECK_EQ(mock_read32(f.d, 0x60), 0);
	finish(&f);

	/* A level line cannot: nobody would lower it. */
	begin(&f, 1, IRQ_LEVEL, true);
	CHECK_EQ(mock_start(f.d, MOCK_ALL), 0);
	CHECK_EQ(f.d->n_eventfds, 0);
	send_one(&f, 1, 'a');
	mock_settle(f.vm);
	CHECK_EQ(isr(&f), 1);
	CHECK_EQ(isr(&f), 0);
	finish(&f);
}

static void test_pause_save_load(void)
{
	static char state[8192];
	struct virtio_device *other = NULL;
	struct fixture f;
	struct err e = {0};
	int64_t len;

	begin(&f, 1, IRQ_EDGE, false);
	CHECK_EQ(mock_start(f.d, MOCK_ALL), 0);
	for (int i = 0; i < 300; i++) {
		send_one(&f, 1, (char)i);
		f.vm->next -= 64;
	}
	receive_one(&f, 0, 'r');
	give(&f, 0); /* stays available */
	virtio_pause(f.vd);
	CHECK(!served(0) && !served(1));
	CHECK_EQ(f.vd->queue[1].q.s.next_avail, 300);
	CHECK_EQ(f.vd->queue[1].q.s.next_used, 300);
	CHECK_EQ(f.vd->queue[0].q.s.next_avail, 1);
	virtio_resume(f.vd);
	CHECK(served(0) && served(1));
	send_one(&f, 1, 's');

	virtio_pause(f.vd);
	len = virtio_save(f.vd, state, sizeof(state));
	CHECK(len > 0);
	mock_driver_destroy(f.d); /* its place on the bus */
	f.d = NULL;
	virtio_destroy(f.vd);
	fake_begin(f.vm->memory, kernel_has);
	CHECK_EQ(create(f.vm, 1, &other, &e), 0);
	f.vd = other;
	virtio_pause(other);
	CHECK_EQ(virtio_load(other, state, (size_t)len, &e), 0);
	CHECK(!served(0) && !served(1)); /* not before the VM goes on */
	virtio_resume(other);
	CHECK(served(0) && served(1));
	CHECK_EQ(ring_of(1)->q.s.next_avail, 301);
	CHECK_EQ(ring_of(0)->q.s.next_avail, 1);
	CHECK(fake_receive(0, "the one that was available", 12));
	finish(&f);
}

/* A ring that vhost cannot serve is the guest's fault: NEEDS_RESET, once, and a reset cures it. */
static void test_broken(void)
{
	struct fixture f;
	uint8_t ack;

	begin(&f, 1, IRQ_EDGE, true);
	CHECK_EQ(mock_start(f.d, MOCK_ALL), 0);
	sys_eventfd_signal(ring_of(1)->err);
	for (int i = 0; i < 10000 && !(mock_read32(f.d, 0x70) & 64); i++)
		usleep(2000);
	CHECK(mock_read32(f.d, 0x70) & 64);
	CHECK(!served(0) && !served(1));
	CHECK_EQ(f.d->n_eventfds, 0);
	CHECK_EQ(atomic_load(&f.vm->n_said), 1);
	CHECK(strstr(f.vm->said, "transmit"));
	CHECK_EQ(mock_start(f.d, MOCK_ALL), 0);
	send_one(&f, 1, 'a');
	/* The same when it breaks the control queue. */
	CHECK(mock_add(f.d, 2, (struct mock_buf[]){{mock_alloc(f.vm, 16, 16), 16, false}}, 1, MOCK_DIRECT) >= 0);
	mock_kick(f.d, 2);
	for (int i = 0; i < 10000 && !(mock_read32(f.d, 0x70) & 64); i++)
		usleep(2000);
	CHECK(!served(0) && !served(1));
	CHECK_EQ(mock_start(f.d, MOCK_ALL), 0);
	CHECK_EQ(mock_request(f.d, 2, "\0\0\1", 3, &ack, 1), 1);
	send_one(&f, 1, 'b');
	finish(&f);
}

static void test_pairs(void)
{
	struct fixture f;
	uint8_t ack = 9;

	begin(&f, 2, IRQ_EDGE, true);
	CHECK_EQ(mock_start(f.d, MOCK_ALL), 0);
	for (unsigned int i = 0; i < 4; i++)
		CHECK(served(i));
	CHECK_EQ(f.d->n_eventfds, 4);
	CHECK_EQ(mock_request(f.d, 4, "\4\0\2\0", 4, &ack, 1), 1);
	CHECK_EQ(ack, 0);
	send_one(&f, 3, 'a');
	receive_one(&f, 2, 'b');
	send_one(&f, 1, 'c');
	/* Without MQ the third queue is the control queue, and the loop's. */
	CHECK_EQ(mock_start(f.d, MOCK_ALL & ~F_MQ), 0);
	CHECK(served(0) && served(1) && !served(2) && !served(3));
	CHECK_EQ(mock_request(f.d, 2, "\0\0\1", 3, &ack, 1), 1);
	CHECK_EQ(mock_start(f.d, MOCK_ALL), 0);
	CHECK(served(2) && served(3));
	send_one(&f, 3, 'd');
	finish(&f);
}

/* Every refusal of the kernel's: said, nothing left behind, and the next try works. */
static void test_refusals(void)
{
	for (unsigned int n = 1;; n++) {
		struct mock_vm *vm = mock_vm_create(MOCK_LOOP | MOCK_HV);
		struct virtio_device *vd = NULL;
		struct mock_driver *d;
		struct err e = {0};
		fake_begin(vm->memory, kernel_has);
		fake.fail_nth = n;
		if (create(vm, 2, &vd, &e) < 0) {
			CHECK(strstr(e.text, "vhost=1"));
			mock_vm_stop(vm);
			mock_vm_destroy(vm);
			continue;
		}
		d = mock_driver_create(vm, vd, IRQ_EDGE);
		d->takes_eventfds = true;
		if (mock_start(d, MOCK_ALL) < 0) {
			CHECK(mock_read32(d, 0x70) & 64);
			for (unsigned int i = 0; i < 4; i++)
				CHECK(!served(i));
			CHECK_EQ(d->n_eventfds, 0);
			CHECK_EQ(mock_start(d, MOCK_ALL), 0);
		}
		CHECK(served(0) && served(3));
		mock_driver_destroy(d);
		mock_vm_stop(vm);
		virtio_destroy(vd);
		mock_vm_destroy(vm);
		if (fake.fail_nth)
			break;
	}
}

static void test_open(void)
{
	struct memory *memory = NULL;
	struct vhost_config config = {.pairs = 1, .path = "/dev/lkvm-has-no-such-device"};
	struct virtio_net_config net = {.pairs = 1, .mac = {2}};
	struct link_config link_config = {.pairs = 1};
	struct mock_vm *vm = mock_vm_create(MOCK_LOOP);
	struct virtio_device *vd = NULL;
	struct vhost *v = NULL;
	struct err e = {0};
	int sv[2];

	CHECK_EQ(memory_create(&memory), 0);
	config.memory = memory;
	fake_begin(memory, kernel_has);
	CHECK_EQ(vhost_open(&config, &v, &e), -ENOENT);
	CHECK(strstr(e.text, "modprobe vhost_net") && strstr(e.text, "vhost=1"));
	e = (struct err){0};
	config.path = "/dev/null"; /* another device */
	CHECK_EQ(vhost_open(&config, &v, &e), -ENOTTY);
	CHECK(strstr(e.text, "/dev/null"));
	config.ioctl = fake_ioctl;
	config.pairs = 17;
	CHECK_EQ(vhost_open(&config, &v, NULL), -EINVAL);
	config.pairs = 1;
	fake_begin(memory, kernel_has & ~(UINT64_C(1) << 32));
	e = (struct err){0};
	CHECK_EQ(vhost_open(&config, &v, &e), -EOPNOTSUPP);
	CHECK(strstr(e.text, "before 1.0"));
	/* Frames without headers are not for vhost. */
	fake_begin(memory, kernel_has);
	CHECK_EQ(vhost_open(&config, &net.vhost, NULL), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv), 0);
	link_config.fd = sv[0];
	CHECK_EQ(link_open(&link_config, &net.link, NULL), 0);
	e = (struct err){0};
	CHECK_EQ(virtio_net_create(&net, &vm->env, &vd, &e), -EINVAL);
	CHECK(strstr(e.text, "vhost=1"));
	vhost_close(net.vhost);
	link_close(net.link);
	close(sv[1]);
	memory_destroy(memory);
	mock_vm_stop(vm);
	mock_vm_destroy(vm);
}

int main(void)
{
	struct link *link = NULL;
	struct err e = {0};

	test_open();
	/* In a network namespace of our own: the machine's interfaces are nobody's toys. */
	if ((unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET)) || open_link(1, &link, &e) < 0) {
		fprintf(stderr, "a tap is not tried: %s\n", e.text);
		return test_result();
	}
	link_close(link);
	test_traffic(IRQ_LEVEL);
	test_traffic(IRQ_EDGE);
	test_irqfd();
	test_pause_save_load();
	test_broken();
	test_pairs();
	test_refusals();
	return test_result();
}
