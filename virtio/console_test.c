// SPDX-License-Identifier: MIT
/* The console device through its registers and rings: nothing lost in either direction, whatever fills up first. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "base/endian.h"
#include "base/sys.h"
#include "tests/mock_driver.h"
#include "tests/test.h"
#include "virtio/console.h"

#define MULTIPORT (UINT64_C(1) << 1)
#define MAX_PORTS 3

/* Each port: the guest's input is what the test writes to in[1], its output arrives at out[0]. */
struct fixture {
	struct mock_vm *vm;
	struct virtio_device *vd;
	struct mock_driver *d;
	unsigned int n;
	struct stream *stream[MAX_PORTS];
	int in[MAX_PORTS][2], out[MAX_PORTS][2];
};

static uint64_t at_token[VIRTIO_MAX_QUEUES][QUEUE_MAX_SIZE];

static void begin(struct fixture *f, unsigned int n, const char *const *names, uint64_t features)
{
	struct virtio_console_config config = {.names = names, .n = n, .columns = 132, .rows = 43};
	struct err e = {0};

	f->vm = mock_vm_create(MOCK_LOOP | MOCK_HV);
	f->n = n;
	for (unsigned int i = 0; i < n; i++) {
		struct stream_config sc;

		CHECK_EQ(pipe(f->in[i]) | pipe(f->out[i]), 0);
		sc = (struct stream_config){.in_fd = f->in[i][0], .out_fd = f->out[i][1]};
		CHECK_EQ(stream_open(f->vm->loop, &sc, &f->stream[i], &e), 0);
	}
	config.streams = f->stream;
	CHECK_EQ(virtio_console_create(&config, &f->vm->env, &f->vd, &e), 0);
	f->d = mock_driver_create(f->vm, f->vd, IRQ_LEVEL);
	CHECK_EQ(mock_start(f->d, features), 0);
}

static void finish(struct fixture *f)
{
	mock_driver_destroy(f->d);
	mock_vm_stop(f->vm);
	virtio_destroy(f->vd);
	for (unsigned int i = 0; i < f->n; i++) {
		stream_close(f->stream[i]);
		close(f->in[i][0]);
		close(f->in[i][1]);
		close(f->out[i][0]);
		close(f->out[i][1]);
	}
	mock_vm_destroy(f->vm);
}

static void give(struct fixture *f, unsigned int q, uint32_t len)
{
	uint64_t at = mock_alloc(f->vm, len, 4);
	int token = mock_add(f->d, q, (struct mock_buf[]){{at, len, true}}, 1, MOCK_DIRECT);

	CHECK(token >= 0);
	if (token >= 0)
		at_token[q][token] = at;
	mock_kick(f->d, q);
}

/* The next used buffer's content, waiting for it; its length or -1. */
static int64_t take(struct fixture *f, unsigned int q, void *buf)
{
	uint32_t written = 0;
	int token = mock_wait(f->d, q, &written);

	if (token < 0)
		return -1;
	memory_read(f->vm->memory, at_token[q][token], buf, written);
	return written;
}

static bool nothing_used(struct fixture *f, unsigned int q)
{
	for (int i = 0; i < 5; i++) {
		mock_settle(f->vm);
		usleep(1000);
	}
	return mock_used(f->d, q, NULL) == -1;
}

static void read_all(int fd, void *buf, size_t len)
{
	size_t got = 0;

	while (got < len) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t r = poll(&p, 1, 40000) > 0 ? read(fd, (char *)buf + got, len - got) : -1;

		if (r <= 0)
			break;
		got += (size_t)r;
	}
	CHECK_EQ(got, len);
}

static void test_plain(uint64_t features)
{
	uint8_t config[12], buf[256];
	struct fixture f;

	begin(&f, 1, NULL, features);
	CHECK(!(mock_offered(f.d) & MULTIPORT));
	mock_config_read(f.d, 0, config, sizeof(config));
	CHECK_EQ(get_le16(config), 132);
	CHECK_EQ(get_le16(config + 2), 43);
	CHECK_EQ(get_le32(config + 4), 1);
	CHECK_EQ(mock_request(f.d, 1, "hello", 5, NULL, 0), 0);
	read_all(f.out[0][0], buf, 5);
	CHECK(!memcmp(buf, "hello", 5));

	give(&f, 0, 64);
	CHECK_EQ(write(f.in[0][1], "typed", 5), 5);
	CHECK_EQ(take(&f, 0, buf), 5);
	CHECK(!memcmp(buf, "typed", 5));
	mock_settle(f.vm);
	CHECK(mock_isr(f.d) & 1);
	/* Without buffers the input waits. */
	CHECK_EQ(write(f.in[0][1], "abcdefgh", 8), 8);
	CHECK(nothing_used(&f, 0));
	give(&f, 0, 3);
	CHECK_EQ(take(&f, 0, buf), 3);
	give(&f, 0, 64);
	CHECK_EQ(take(&f, 0, buf + 3), 5);
	CHECK(!memcmp(buf, "abcdefgh", 8));

	/* Emergency write, before and after the driver. */
	config[0] = '!';
	mock_config_write(f.d, 8, config, 4);
	mock_reset(f.d);
	mock_config_write(f.d, 8, config, 1);
	read_all(f.out[0][0], buf, 2);
	CHECK(!memcmp(buf, "!!", 2));

	CHECK_EQ(mock_start(f.d, features), 0);
	mock_isr(f.d);
	virtio_console_resize(f.vd, 80, 25);
	CHECK_EQ(mock_isr(f.d), 2);
	mock_config_read(f.d, 0, config, sizeof(config));
	CHECK_EQ(get_le16(config), 80);
	CHECK_EQ(get_le16(config + 2), 25);
	finish(&f);
}

/* 200000 bytes to a reader that comes late: what does not fit waits in the ring. */
static void test_full(uint64_t features)
{
	static uint8_t big[4096], back[200000];
	const unsigned int total = sizeof(back) / 4000;
	unsigned int sent = 0, done = 0;
	bool equal = true;
	struct fixture f;
	uint64_t at;

	begin(&f, 1, NULL, features);
	at = mock_alloc(f.vm, 50 * 4096, 16);
	for (; sent < total; sent++) {
		for (unsigned int i = 0; i < 4000; i++)
			big[i] = (uint8_t)((sent * 4000 + i) % 251);
		memory_write(f.vm->memory, at + sent * 4096, big, 4000);
		if (mock_add(f.d, 1, (struct mock_buf[]){{at + sent * 4096, 4000, false}}, 1, MOCK_DIRECT) < 0)
			break;
		mock_kick(f.d, 1);
	}
	CHECK_EQ(sent, total);
	usleep(20000);
	mock_settle(f.vm);
	while (mock_used(f.d, 1, NULL) >= 0)
		done++;
	CHECK(done < total); /* it is full */
	/* Pausing in the middle of a request loses and doubles nothing. */
	virtio_pause(f.vd);
	virtio_resume(f.vd);
	read_all(f.out[0][0], back, sizeof(back));
	for (unsigned int i = 0; i < sizeof(back); i++)
		equal &= back[i] == i % 251;
	CHECK(equal);
	while (done < total && mock_wait(f.d, 1, NULL) >= 0)
		done++;
	CHECK_EQ(done, total);
	finish(&f);
}

/* A flood of input into few small buffers. */
static void test_flood(uint64_t features)
{
	static uint8_t text[30000], back[30000];
	struct fixture f;
	size_t put = 0, got = 0;

	begin(&f, 1, NULL, features);
	CHECK(fcntl(f.in[0][1], F_SETFL, O_NONBLOCK) >= 0);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i % 241);
	for (unsigned int i = 0; i < 8; i++)
		give(&f, 0, 100);
	while (got < sizeof(text)) {
		ssize_t w = write(f.in[0][1], text + put, MIN(sizeof(text) - put, 4096u));
		int64_t r;

		put += w > 0 ? (size_t)w : 0;
		r = take(&f, 0, back + got);
		if (r <= 0)
			break;
		got += (size_t)r;
		if (f.vm->next > MOCK_RAM_BASE + MIB(20))
			break;
		give(&f, 0, 100);
	}
	CHECK_EQ(got, sizeof(text));
	CHECK(!memcmp(text, back, sizeof(text)));
	finish(&f);
}

static void say(struct fixture *f, uint32_t id, uint16_t event, uint16_t value)
{
	uint8_t m[8];

	put_le32(m, id);
	put_le16(m + 4, event);
	put_le16(m + 6, value);
	CHECK_EQ(mock_request(f->d, 3, m, sizeof(m), NULL, 0), 0);
}

/* The next control message: id and event as one number; its extra bytes in extra. */
static uint32_t hear(struct fixture *f, char *extra)
{
	char m[100] = "";
	int64_t len = take(f, 2, m);

	if (len < 8)
		return UINT32_MAX;
	memcpy(extra, m + 8, (size_t)len - 8);
	extra[len - 8] = 0;
	return get_le32(m) << 16 | get_le16(m + 4);
}

static void test_multiport(uint64_t features)
{
	static const char *const names[] = {NULL, "org.example.agent", NULL};
	char extra[100], buf[100];
	uint8_t config[12];
	struct fixture f;

	begin(&f, 3, names, features);
	CHECK(mock_offered(f.d) & MULTIPORT);
	mock_config_read(f.d, 0, config, sizeof(config));
	CHECK_EQ(get_le32(config + 4), 3);
	say(&f, UINT32_MAX, 0, 1); /* DEVICE_READY, before there are buffers */
	CHECK(nothing_used(&f, 2));
	for (int i = 0; i < 10; i++)
		give(&f, 2, 80);
	for (uint32_t i = 0; i < 3; i++)
		CHECK_EQ(hear(&f, extra), i << 16 | 1);
	say(&f, 0, 3, 1); /* PORT_READY */
	CHECK_EQ(hear(&f, extra), 0 << 16 | 4);
	CHECK_EQ(hear(&f, extra), 0 << 16 | 6);
	say(&f, 1, 3, 1);
	CHECK_EQ(hear(&f, extra), 1 << 16 | 6);
	CHECK_EQ(hear(&f, extra), 1 << 16 | 7);
	CHECK_STR(extra, "org.example.agent");
	say(&f, 77, 3, 1); /* no such port */
	say(&f, 1, 99, 1); /* no such event */
	CHECK(nothing_used(&f, 2));

	/* Input reaches a port that the guest has open, and waits for it otherwise. Queues of port 1: 4 and 5. */
	give(&f, 4, 64);
	CHECK_EQ(write(f.in[1][1], "to the agent", 12), 12);
	CHECK(nothing_used(&f, 4));
	say(&f, 1, 6, 1);
	CHECK_EQ(take(&f, 4, buf), 12);
	CHECK(!memcmp(buf, "to the agent", 12));
	CHECK_EQ(mock_request(f.d, 5, "from the agent", 14, NULL, 0), 0);
	read_all(f.out[1][0], buf, 14);
	CHECK(!memcmp(buf, "from the agent", 14));
	CHECK_EQ(mock_request(f.d, 7, "third", 5, NULL, 0), 0);
	read_all(f.out[2][0], buf, 5);
	CHECK(!memcmp(buf, "third", 5));
	say(&f, 1, 6, 0);
	give(&f, 4, 64);
	CHECK_EQ(write(f.in[1][1], "closed", 6), 6);
	CHECK(nothing_used(&f, 4));
	CHECK(!atomic_load(&f.vm->n_said));

	/* A driver that does not know several ports has the first one. */
	CHECK_EQ(mock_start(f.d, features & ~MULTIPORT), 0);
	CHECK_EQ(mock_request(f.d, 1, "plain", 5, NULL, 0), 0);
	read_all(f.out[0][0], buf, 5);
	CHECK(!memcmp(buf, "plain", 5));

	/* A control buffer too small for any message breaks the device, until reset. */
	CHECK_EQ(mock_start(f.d, features), 0);
	give(&f, 2, 4);
	say(&f, 0, 0, 1);
	mock_settle(f.vm);
	CHECK(mock_status(f.d) & 64);
	CHECK_EQ(atomic_load(&f.vm->n_said), 1);
	CHECK_EQ(mock_start(f.d, features), 0);
	CHECK_EQ(mock_request(f.d, 1, "again", 5, NULL, 0), 0);
	read_all(f.out[0][0], buf, 5);
	finish(&f);
}

static void test_save(void)
{
	static const char *const names[] = {NULL, "a"};
	static char state[16384];
	struct virtio_console_config config = {.names = names, .n = 2, .columns = 80, .rows = 25};
	struct stream *none[2] = {0};
	struct virtio_device *other = NULL;
	struct err e = {0};
	struct fixture f;
	int64_t len;

	begin(&f, 2, names, MOCK_ALL);
	say(&f, 0, 0, 1);
	say(&f, 1, 6, 1);
	virtio_pause(f.vd);
	len = virtio_save(f.vd, state, sizeof(state));
	CHECK(len > 0);
	config.streams = none;
	CHECK_EQ(virtio_console_create(&config, &f.vm->env, &other, &e), 0);
	virtio_pause(other);
	CHECK_EQ(virtio_load(other, state, (size_t)len, &e), 0);
	mock_vm_stop(f.vm);
	virtio_destroy(other);
	/* A state that says things no driver can have caused. */
	CHECK_EQ(virtio_console_create(&config, &f.vm->env, &other, &e), 0);
	virtio_pause(other);
	state[len - 1] = 1;
	state[len - 2] = 1;
	CHECK(virtio_load(other, state, (size_t)len, &e) < 0);
	virtio_destroy(other);
	config.n = 17;
	CHECK_EQ(virtio_console_create(&config, &f.vm->env, &other, &e), -EINVAL);
	finish(&f);
}

int main(void)
{
	static const uint64_t variants[] = {
		MOCK_ALL & ~(MOCK_F_PACKED | MOCK_F_EVENT_IDX | MOCK_F_INDIRECT),
		MOCK_ALL & ~MOCK_F_PACKED,
		MOCK_ALL & ~MOCK_F_EVENT_IDX,
		MOCK_ALL,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(variants); i++) {
		test_plain(variants[i]);
		test_full(variants[i]);
		test_flood(variants[i]);
		test_multiport(variants[i]);
	}
	test_save();
	return test_result();
}
