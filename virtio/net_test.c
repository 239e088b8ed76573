// SPDX-License-Identifier: MIT
/* The network device through its registers and rings, split and packed, on a datagram socket and on a tap where one can be made. */
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>

#include "base/endian.h"
#include "tests/mock_driver.h"
#include "tests/test.h"
#include "virtio/net.h"

#define MRG (UINT64_C(1) << 15)
#define CTRL_Q 2
#define FRAME 12 /* where a frame starts in a buffer */

static const uint8_t mac[6] = {2, 0x15, 0x15, 0x15, 0x15, 0x15};

struct fixture {
	struct mock_vm *vm;
	struct virtio_device *vd;
	struct mock_driver *d;
	int peer;
};

static struct virtio_device *create(struct mock_vm *vm, int *ret_peer, unsigned int mtu)
{
	struct virtio_net_config config = {.pairs = 1, .mtu = mtu};
	struct link_config link_config = {.pairs = 1};
	struct virtio_device *vd = NULL;
	struct err e = {0};
	int sv[2];

	memcpy(config.mac, mac, 6);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv), 0);
	link_config.fd = sv[0];
	*ret_peer = sv[1];
	CHECK_EQ(link_open(&link_config, &config.link, &e), 0);
	CHECK_EQ(virtio_net_create(&config, &vm->env, &vd, &e), 0);
	return vd;
}

static void begin(struct fixture *f, uint64_t features)
{
	f->vm = mock_vm_create(MOCK_LOOP | MOCK_HV);
	f->vd = create(f->vm, &f->peer, 0);
	f->d = mock_driver_create(f->vm, f->vd, IRQ_LEVEL);
	CHECK_EQ(mock_start(f->d, features), 0);
}

static void finish(struct fixture *f)
{
	mock_driver_destroy(f->d);
	mock_vm_stop(f->vm);
	virtio_destroy(f->vd);
	mock_vm_destroy(f->vm);
	close(f->peer);
}

static void fill(uint8_t *buf, size_t len, uint8_t seed)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(seed + i * 7);
}

static bool same(const uint8_t *buf, size_t len, uint8_t seed)
{
	for (size_t i = 0; i < len; i++)
		if (buf[i] != (uint8_t)(seed + i * 7))
			return false;
	return true;
}

static void send_peer(struct fixture *f, size_t len, uint8_t seed)
{
	uint8_t buf[4096];

	fill(buf, len, seed);
	CHECK_EQ(send(f->peer, buf, len, 0), len);
}

/* A receive buffer; its address is found again by its token. */
static uint64_t at_token[QUEUE_MAX_SIZE];

static void give(struct fixture *f, uint32_t len)
{
	uint64_t at = mock_alloc(f->vm, len, 16);
	int token = mock_add(f->d, 0, (struct mock_buf[]){{at, len, true}}, 1, MOCK_DIRECT);

	CHECK(token >= 0);
	at_token[token] = at;
}

/* Puts a frame that came in together from its buffers; its length with header, or -1. */
static int64_t take(struct fixture *f, uint8_t *buf, size_t cap)
{
	unsigned int n = 1;
	size_t len = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint32_t written = 0;
		int token = i ? mock_used(f->d, 0, &written) : mock_wait(f->d, 0, &written);

		if (token < 0 || len + written > cap)
			return -1; /* also: the rest of a frame that is not there at once */
		memory_read(f->vm->memory, at_token[token], buf + len, written);
		len += written;
		if (!i)
			n = get_le16(buf + 10);
	}
	return (int64_t)len;
}

static bool nothing_used(struct fixture *f)
{
	mock_settle(f->vm);
	return mock_used(f->d, 0, NULL) == -1;
}

static void test_receive(uint64_t features)
{
	uint8_t buf[4096];
	struct fixture f;

	begin(&f, features);
	for (int i = 0; i < 8; i++)
		give(&f, 2048);
	mock_kick(f.d, 0);
	send_peer(&f, 100, 1);
	CHECK_EQ(take(&f, buf, sizeof(buf)), 112);
	CHECK_EQ(get_le16(buf + 10), 1);
	CHECK(same(buf + FRAME, 100, 1));
	mock_settle(f.vm);
	CHECK(mock_isr(f.d) & 1);
	for (uint8_t i = 0; i < 7; i++)
		send_peer(&f, 1000u + i, i);
	for (uint8_t i = 0; i < 7; i++) {
		CHECK_EQ(take(&f, buf, sizeof(buf)), 1012 + i);
		CHECK(same(buf + FRAME, 1000u + i, i));
	}
	/* No buffers: frames wait outside, in order. */
	for (uint8_t i = 0; i < 5; i++)
		send_peer(&f, 500, i);
	CHECK(nothing_used(&f));
	for (int i = 0; i < 5; i++) {
		give(&f, 1600);
		CHECK(mock_kick(f.d, 0)); /* the device asked to be told */
		CHECK_EQ(take(&f, buf, sizeof(buf)), 512);
		CHECK(same(buf + FRAME, 500, (uint8_t)i));
	}
	/* Many times round the ring. */
	for (unsigned int i = 0; i < 1000; i++) {
		f.vm->next = round_up(f.vm->next, 2) > MOCK_RAM_BASE + MIB(24) ? MOCK_RAM_BASE + MIB(8) : f.vm->next;
		give(&f, 2048);
		mock_kick(f.d, 0);
		send_peer(&f, 60, (uint8_t)i);
		if (take(&f, buf, sizeof(buf)) != 72 || !same(buf + FRAME, 60, (uint8_t)i)) {
			CHECK(!"every frame arrives");
			break;
		}
	}
	finish(&f);
}

static void test_merge(uint64_t features)
{
	uint8_t buf[4096];
	struct fixture f;

	begin(&f, features | MRG);
	for (int i = 0; i < 12; i++)
		give(&f, 300);
	mock_kick(f.d, 0);
	send_peer(&f, 1400, 3);
	CHECK_EQ(take(&f, buf, sizeof(buf)), 1412);
	CHECK_EQ(get_le16(buf + 10), 5);
	CHECK(same(buf + FRAME, 1400, 3));
	/* Seven are left. 3000 bytes need eleven: the frame waits for the rest, and nothing of it is seen before. */
	send_peer(&f, 3000, 9);
	send_peer(&f, 50, 10);
	CHECK(nothing_used(&f));
	give(&f, 300);
	mock_kick(f.d, 0);
	CHECK(nothing_used(&f));
	for (int i = 0; i < 5; i++)
		give(&f, 300);
	mock_kick(f.d, 0);
	CHECK_EQ(take(&f, buf, sizeof(buf)), 3012);
	CHECK_EQ(get_le16(buf + 10), 11);
	CHECK(same(buf + FRAME, 3000, 9));
	CHECK_EQ(take(&f, buf, sizeof(buf)), 62);
	CHECK(same(buf + FRAME, 50, 10));
	finish(&f);

	/* Without the feature a frame that does not fit its buffer is lost, and the next one is not. */
	begin(&f, features & ~MRG);
	give(&f, 300);
	give(&f, 2048);
	mock_kick(f.d, 0);
	send_peer(&f, 1400, 3);
	send_peer(&f, 60, 4);
	CHECK_EQ(take(&f, buf, sizeof(buf)), 72);
	CHECK_EQ(get_le16(buf + 10), 1);
	CHECK(same(buf + FRAME, 60, 4));
	send_peer(&f, 1400, 5);
	CHECK_EQ(take(&f, buf, sizeof(buf)), 1412);
	CHECK(same(buf + FRAME, 1400, 5));
	finish(&f);
}

/* Small buffers, many held at a time, so that the tables of held ones are moved; and a frame that never fits. */
static void test_many(uint64_t features)
{
	static uint8_t buf[70000];
	struct fixture f;
	bool ok = true;

	begin(&f, features | MRG);
	for (unsigned int i = 0; i < 200; i++)
		give(&f, 40);
	mock_kick(f.d, 0);
	for (unsigned int i = 0; i < 300 && ok; i++) {
		send_peer(&f, 100 + i, (uint8_t)i);
		ok = take(&f, buf, sizeof(buf)) == 112 + i && same(buf + FRAME, 100 + i, (uint8_t)i);
		for (unsigned int k = get_le16(buf + 10); k; k--)
			give(&f, 40);
		mock_kick(f.d, 0);
	}
	CHECK(ok);
	/* 4000 bytes in buffers of 40: more than the device takes for one frame. */
	send_peer(&f, 4000, 1);
	send_peer(&f, 70, 2);
	CHECK_EQ(take(&f, buf, sizeof(buf)), 82);
	CHECK(same(buf + FRAME, 70, 2));
	finish(&f);

	/* Buffers in several pieces, and frames as large as a socket takes. */
	begin(&f, features | MRG);
	for (unsigned int i = 0; i < 40; i++) {
		uint64_t at = mock_alloc(f.vm, 2048, 16);
		int token = mock_add(f.d, 0, (struct mock_buf[]){{at, 5, true}, {at + 5, 1000, true}, {at + 1005, 1043, true}},
				     3, MOCK_DIRECT);

		CHECK(token >= 0);
		at_token[token] = at;
	}
	mock_kick(f.d, 0);
	fill(buf, 60000, 5);
	CHECK_EQ(send(f.peer, buf, 60000, 0), 60000);
	memset(buf, 0, sizeof(buf));
	CHECK_EQ(take(&f, buf, sizeof(buf)), 60012);
	CHECK_EQ(get_le16(buf + 10), 30);
	CHECK(same(buf + FRAME, 60000, 5));
	finish(&f);
}

/* Frames of `len` bytes in pieces: the header cut in two, then the data in two. */
static int put_frame(struct fixture *f, uint64_t at, uint32_t len, uint8_t seed, enum mock_layout layout)
{
	uint8_t buf[4096] = {0};
	struct mock_buf bufs[] = {
		{at, 5, false},
		{at + 5, 7 + 11, false},
		{at + 23, len - 11, false},
	};

	memset(buf, 0xff, 12); /* a header of nonsense: no feature allows any of it */
	fill(buf + 12, len, seed);
	memory_write(f->vm->memory, at, buf, 12 + len);
	return mock_add(f->d, 1, bufs, 3, layout);
}

static void test_send(uint64_t features)
{
	uint64_t at, mark;
	unsigned int sent = 0, got = 0, done = 0;
	uint8_t buf[4096];
	struct fixture f;

	begin(&f, features);
	at = mock_alloc(f.vm, 4096, 16);
	CHECK(put_frame(&f, at, 100, 7, MOCK_DIRECT) >= 0);
	mock_kick(f.d, 1);
	CHECK(mock_wait(f.d, 1, NULL) >= 0);
	CHECK_EQ(recv(f.peer, buf, sizeof(buf), 0), 100);
	CHECK(same(buf, 100, 7));

	/* More than the socket holds: the device waits for it and loses nothing. */
	mark = mock_alloc(f.vm, 256 * 256, 16);
	while (got < 300) {
		struct timeval tv = {.tv_sec = 2};
		enum mock_layout layout = features & MOCK_F_INDIRECT ? MOCK_INDIRECT : MOCK_DIRECT;

		while (sent < 300 && put_frame(&f, mark + 256 * (sent % 256), 70, (uint8_t)sent, layout) >= 0) {
			sent++;
			if (sent - done >= 60)
				break;
		}
		mock_kick(f.d, 1);
		setsockopt(f.peer, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		if (recv(f.peer, buf, sizeof(buf), 0) != 70 || !same(buf, 70, (uint8_t)got)) {
			CHECK(!"every frame arrives, in order");
			break;
		}
		got++;
		while (mock_used(f.d, 1, NULL) >= 0)
			done++;
	}
	while (done < 300 && mock_wait(f.d, 1, NULL) >= 0)
		done++;
	CHECK_EQ(done, 300);

	/* Too short to be a frame: handed back, nothing is sent. */
	CHECK_EQ(mock_request(f.d, 1, "short", 5, NULL, 0), 0);
	CHECK_EQ(mock_request(f.d, 1, "only a head.", 12, NULL, 0), 0);
	CHECK_EQ(recv(f.peer, buf, sizeof(buf), MSG_DONTWAIT), -1);
	finish(&f);
}

static uint8_t control(struct fixture *f, const void *command, uint32_t len)
{
	uint8_t ack = 0x77;

	CHECK_EQ(mock_request(f->d, CTRL_Q, command, len, &ack, 1), 1);
	return ack;
}

static void test_control(uint64_t features)
{
	uint8_t config[12];
	struct fixture f;

	begin(&f, features);
	mock_config_read(f.d, 0, config, sizeof(config));
	CHECK(!memcmp(config, mac, 6));
	CHECK_EQ(get_le16(config + 6), 1);
	CHECK_EQ(get_le16(config + 8), 1);
	CHECK(!(mock_offered(f.d) & (1 | 1 << 3 | 1 << 11))); /* no offloads on a socket, no MTU given */
	CHECK_EQ(control(&f, "\1\1\2\0\0\0\0\x99", 8), 0);
	mock_config_read(f.d, 0, config, sizeof(config));
	CHECK(!memcmp(config, "\2\0\0\0\0\x99", 6));
	CHECK_EQ(control(&f, "\0\0\1", 3), 0);
	CHECK_EQ(control(&f, "\2\0\1\0", 4), 0);
	CHECK_EQ(control(&f, "\1\1\2", 3), 1);	     /* cut off */
	CHECK_EQ(control(&f, "\4\0\1\0", 4), 1);     /* multiqueue was not offered */
	CHECK_EQ(control(&f, "\5\0\0\0\0\0\0\0\0\0", 10), 1);
	CHECK_EQ(control(&f, "\x63\0", 2), 1);
	CHECK_EQ(control(&f, "\1", 1), 1);
	CHECK(!atomic_load(&f.vm->n_said));
	/* After reset the address is the old one. */
	CHECK_EQ(mock_start(f.d, features), 0);
	mock_config_read(f.d, 0, config, sizeof(config));
	CHECK(!memcmp(config, mac, 6));
	finish(&f);
}

static void test_reset(uint64_t features)
{
	uint8_t buf[4096];
	struct fixture f;

	begin(&f, features);
	for (int i = 0; i < 4; i++)
		give(&f, 2048);
	mock_kick(f.d, 0);
	send_peer(&f, 60, 1);
	CHECK_EQ(take(&f, buf, sizeof(buf)), 72); /* now buffers are held */
	CHECK_EQ(mock_start(f.d, features), 0);
	send_peer(&f, 60, 2);
	CHECK(nothing_used(&f));
	give(&f, 2048);
	mock_kick(f.d, 0);
	CHECK_EQ(take(&f, buf, sizeof(buf)), 72);
	CHECK(same(buf + FRAME, 60, 2));

	/* A buffer that is no receive buffer: said once, and good again after a reset. */
	CHECK(mock_add(f.d, 0, (struct mock_buf[]){{f.vm->next, 100, false}}, 1, MOCK_DIRECT) >= 0);
	mock_kick(f.d, 0);
	mock_settle(f.vm);
	CHECK(mock_status(f.d) & 64);
	CHECK_EQ(atomic_load(&f.vm->n_said), 1);
	send_peer(&f, 60, 3); /* nothing happens to it */
	mock_settle(f.vm);
	CHECK_EQ(mock_start(f.d, features), 0);
	give(&f, 10); /* smaller than a header */
	mock_kick(f.d, 0);
	mock_settle(f.vm);
	CHECK(mock_status(f.d) & 64);
	CHECK_EQ(mock_start(f.d, features), 0);
	give(&f, 2048);
	mock_kick(f.d, 0);
	CHECK_EQ(take(&f, buf, sizeof(buf)), 72);
	CHECK(same(buf + FRAME, 60, 3));
	finish(&f);
}

static void test_save(uint64_t features)
{
	struct virtio_device *other;
	struct err e = {0};
	uint8_t buf[4096];
	static char state[16384];
	struct fixture f;
	int64_t len;
	int peer;

	begin(&f, features | MRG);
	for (int i = 0; i < 4; i++)
		give(&f, 400);
	mock_kick(f.d, 0);
	send_peer(&f, 60, 1);
	CHECK_EQ(take(&f, buf, sizeof(buf)), 72);
	CHECK_EQ(control(&f, "\1\1\2\0\0\0\0\x99", 8), 0);
	virtio_pause(f.vd);
	CHECK_EQ(f.vd->queue[0].q.s.next_avail, f.vd->queue[0].q.s.next_used); /* held buffers are back */
	send_peer(&f, 60, 2);
	CHECK(nothing_used(&f));
	len = virtio_save(f.vd, state, sizeof(state));
	CHECK(len > 0);
	other = create(f.vm, &peer, 0);
	virtio_pause(other);
	CHECK_EQ(virtio_load(other, state, (size_t)len, &e), 0);
	CHECK_EQ(other->queue[0].q.s.next_avail, f.vd->queue[0].q.s.next_avail);
	virtio_lock(other);
	virtio_config_read(other, 5, buf, 1);
	virtio_unlock(other);
	CHECK_EQ(buf[0], 0x99);
	mock_settle(f.vm);
	mock_vm_stop(f.vm);
	virtio_destroy(other);
	other = create(f.vm, &peer, 0);
	virtio_pause(other);
	memset(state + len - 16, 0xff, 4); /* pairs and status, in the device's own part */
	CHECK(virtio_load(other, state, (size_t)len, &e) < 0);
	virtio_destroy(other);
	f.vm->running = false;
	finish(&f);

	begin(&f, features | MRG);
	for (int i = 0; i < 4; i++)
		give(&f, 400);
	mock_kick(f.d, 0);
	mock_settle(f.vm);
	virtio_pause(f.vd);
	send_peer(&f, 60, 2);
	CHECK(nothing_used(&f));
	virtio_resume(f.vd);
	CHECK_EQ(take(&f, buf, sizeof(buf)), 72);
	CHECK(same(buf + FRAME, 60, 2));
	finish(&f);
}

static void test_create(void)
{
	struct mock_vm *vm = mock_vm_create(0);
	struct virtio_net_config config = {.pairs = 2};
	struct link_config link_config = {.pairs = 1};
	struct virtio_device *vd = NULL;
	struct err e = {0};
	int sv[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv), 0);
	link_config.fd = sv[0];
	CHECK_EQ(link_open(&link_config, &config.link, &e), 0);
	CHECK_EQ(virtio_net_create(&config, &vm->env, &vd, &e), -EINVAL);
	CHECK(strstr(e.text, "2 queue pairs"));
	config.pairs = 1;
	config.mtu = 20;
	CHECK_EQ(virtio_net_create(&config, &vm->env, &vd, NULL), -EINVAL);
	config.mtu = 9000;
	config.mac[0] = 1;
	CHECK_EQ(virtio_net_create(&config, &vm->env, &vd, NULL), -EINVAL);
	config.mac[0] = 2;
	CHECK(!vd && link_fd(config.link, 0) >= 0); /* the link stays the caller's */
	CHECK_EQ(virtio_net_create(&config, &vm->env, &vd, NULL), 0);
	CHECK(vd->offered & 1 << 3);
	virtio_destroy(vd);
	mock_vm_destroy(vm);
	close(sv[1]);
}

static void delete_interface(const char *name)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} m = {
		.h = {.nlmsg_len = sizeof(m), .nlmsg_type = RTM_DELLINK, .nlmsg_flags = NLM_F_REQUEST},
		.i = {.ifi_index = (int)if_nametoindex(name)},
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	CHECK_EQ(send(fd, &m, sizeof(m), 0), sizeof(m));
	close(fd);
}

/* A real tap: offloads, multiqueue, and a hostile header. */
static void test_tap(void)
{
	struct mock_vm *vm = mock_vm_create(MOCK_LOOP | MOCK_HV);
	struct virtio_net_config config = {.pairs = 4, .mac = {2}};
	struct link_config link_config = {.fd = -1, .pairs = 4};
	uint8_t frame[12 + 60] = {0}, ack = 9;
	struct virtio_device *vd = NULL;
	struct fixture f = {.vm = vm};
	struct mock_driver *d;
	struct err e = {0};
	uint64_t offered;
	unsigned int ctrl = 8;

	if (link_open(&link_config, &config.link, &e) < 0) {
		fprintf(stderr, "a tap is not tried: %s\n", e.text);
		mock_vm_destroy(vm);
		return;
	}
	CHECK_EQ(virtio_net_create(&config, &vm->env, &vd, &e), 0);
	f.d = d = mock_driver_create(vm, vd, IRQ_LEVEL);
	offered = mock_offered(d);
	CHECK_EQ(offered & (1 | 1 << 1 | 1 << 7 | 1 << 11 | 1 << 22), 1 | 1 << 1 | 1 << 7 | 1 << 11 | 1 << 22);
	CHECK_EQ(mock_start(d, MOCK_ALL), 0);
	CHECK_EQ(mock_request(d, ctrl, "\4\0\4\0", 4, &ack, 1), 1);
	CHECK_EQ(ack, 0);
	CHECK_EQ(mock_request(d, ctrl, "\4\0\5\0", 4, &ack, 1), 1);
	CHECK_EQ(ack, 1);
	CHECK_EQ(mock_request(d, ctrl, "\5\0\x83\0\0\0\0\0\0\0", 10, &ack, 1), 1);
	CHECK_EQ(ack, 1); /* bit 0 is no guest offload */
	CHECK_EQ(mock_request(d, ctrl, "\5\0\x82\0\0\0\0\0\0\0", 10, &ack, 1), 1);
	CHECK_EQ(ack, 0);
	for (unsigned int i = 0; i < 256; i++) { /* every type and flag: taken or dropped, never a fault */
		frame[0] = (uint8_t)(i >> 4);
		frame[1] = (uint8_t)i;
		frame[2] = frame[4] = frame[6] = frame[8] = (uint8_t)(i * 37);
		CHECK_EQ(mock_request(d, 2 * (i % 4) + 1, frame, sizeof(frame), NULL, 0), 0);
	}
	/* Back to one pair and other features. */
	CHECK_EQ(mock_start(d, MOCK_ALL & ~(UINT64_C(1) << 22)), 0);
	CHECK_EQ(mock_request(d, 2, "\0\0\1", 3, &ack, 1), 1); /* the control queue is the third now */
	CHECK_EQ(ack, 0);
	CHECK_EQ(mock_request(d, 1, frame, sizeof(frame), NULL, 0), 0);

	/* Somebody takes the interface away: the link is down, said once, and nothing spins. */
	mock_isr(d);
	for (int i = 0; i < 16; i++) /* the kernel sends frames of its own, and without a buffer nobody reads */
		give(&f, 2048);
	mock_kick(d, 0);
	mock_settle(vm);
	delete_interface("lkvm-tap0");
	for (int i = 0; i < 5000 && !(mock_isr(d) & 2); i++) /* a machine with much to do may take its time */
		usleep(2000);
	mock_config_read(d, 6, frame, 2);
	CHECK_EQ(get_le16(frame), 0);
	CHECK_EQ(atomic_load(&vm->n_said), 1);
	CHECK(strstr(vm->said, "lkvm-tap0"));
	CHECK_EQ(mock_request(d, 1, frame, sizeof(frame), NULL, 0), 0);
	mock_driver_destroy(d);
	mock_vm_stop(vm);
	virtio_destroy(vd);
	mock_vm_destroy(vm);
}

int main(void)
{
	static const uint64_t variants[] = {
		MOCK_ALL & ~(MOCK_F_PACKED | MOCK_F_EVENT_IDX | MOCK_F_INDIRECT),
		MOCK_ALL & ~MOCK_F_PACKED,
		MOCK_ALL & ~MOCK_F_EVENT_IDX,
		MOCK_ALL,
	};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	for (unsigned int i = 0; i < ARRAY_SIZE(variants); i++) {
		test_receive(variants[i]);
		test_merge(variants[i]);
		test_many(variants[i]);
		test_send(variants[i]);
		test_control(variants[i]);
		test_reset(variants[i]);
		test_save(variants[i]);
	}
	test_create();
	/* In a network namespace of our own: the machine's interfaces are nobody's toys. */
	if (fd >= 0 && (unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0))
		test_tap();
	if (fd >= 0)
		close(fd);
	return test_result();
}
