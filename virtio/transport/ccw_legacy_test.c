// SPDX-License-Identifier: MIT
/* Drivers from before virtio 1.0 (virtio-ccw's revision 0): rings, configuration spaces and requests of a big-endian guest. */
#include <stdio.h>
#include <sys/socket.h>

#include "backend/stream.h"
#include "tests/mock_ccw.h"
#include "tests/mock_device.h"
#include "tests/temp_dir.h"
#include "tests/test.h"
#include "virtio/9p.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/net.h"

enum { WRITE_CONF = 0x21, READ_STATUS = 0x72, READ_FEAT = 0x12, WRITE_STATUS = 0x31, SET_VQ = 0x13 };
enum { ACK = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };

struct bench {
	struct mock_vm *vm;
	struct virtio_device *vd;
	struct mock_driver *d;
};

static void bench_end(struct bench *b)
{
	mock_driver_destroy(b->d);
	mock_vm_stop(b->vm);
	virtio_destroy(b->vd);
	mock_vm_destroy(b->vm);
}

static struct mock_device *bench_mock(struct bench *b, unsigned int flags)
{
	static const uint16_t sizes[] = {8, 64};
	struct mock_device *m = NULL;

	b->vm = mock_vm_create(flags);
	CHECK_EQ(mock_device_create(&b->vm->env, sizes, 2, &m), 0);
	b->vd = m->vd;
	b->d = mock_driver_create_over(&mock_over_legacy, b->vm, m->vd, IRQ_EDGE);
	return m;
}

/* Many times around the ring, with and without event index and indirect tables. */
static void test_rings(unsigned int flags)
{
	static const uint64_t features[] = {0, MOCK_F_EVENT_IDX, MOCK_F_INDIRECT, MOCK_ALL};

	for (unsigned int f = 0; f < ARRAY_SIZE(features); f++) {
		struct bench b;

		bench_mock(&b, flags);
		CHECK_EQ(mock_start(b.d, features[f]), 0);
		CHECK(b.vd->s.legacy && !(b.vd->features >> 32));
		CHECK_EQ(mock_status(b.d), ACK | DRIVER | DRIVER_OK);
		for (unsigned int i = 0; i < 200; i++) {
			char out[32], in[32] = "";
			int n = snprintf(out, sizeof(out), "request %u", i);

			CHECK_EQ(mock_request(b.d, i & 1, out, (uint32_t)n, in, (uint32_t)n), n);
			CHECK_STR(in, out);
			if (i == 0)
				CHECK_EQ(mock_isr(b.d) & 1, 1);
		}
		if (b.d->features & MOCK_F_INDIRECT) {
			uint64_t at = mock_alloc(b.vm, 64, 16);
			uint32_t written;
			int token;

			memory_write(b.vm->memory, at, "abcd", 4);
			token = mock_add(b.d, 0, (struct mock_buf[]){{at, 2, false}, {at + 2, 2, false}, {at + 8, 4, true}}, 3, MOCK_INDIRECT);
			mock_kick(b.d, 0);
			CHECK_EQ(mock_wait(b.d, 0, &written), token);
			CHECK_EQ(written, 4);
		}
		bench_end(&b);
	}
}

static void test_features_and_status(void)
{
	uint8_t raw[5] = {0, 0, 0, 0, 1}, status;
	struct bench b;

	bench_mock(&b, 0);
	CHECK_EQ(mock_offered(b.d), (uint32_t)VIRTIO_CORE_FEATURES | MOCK_DEVICE_F);
	CHECK(mock_ccw(b.d, READ_FEAT, 0, raw, 5, NULL));
	CHECK_EQ(get_le32(raw), 0); /* no second word, so no VERSION_1 */
	CHECK(!mock_ccw(b.d, READ_STATUS, 0, raw, 1, NULL));
	status = ACK | DRIVER | FEATURES_OK;
	CHECK(!mock_ccw(b.d, WRITE_STATUS, 0, &status, 1, NULL)); /* nobody knows that one */
	CHECK_EQ(mock_status(b.d), 0);
	/* What is not offered is not taken, and nobody says so. */
	CHECK_EQ(mock_negotiate(b.d, MOCK_DEVICE_F | 1 << 6), 0);
	CHECK_EQ(b.vd->features, MOCK_DEVICE_F);
	mock_reset(b.d);
	CHECK(b.vd->s.legacy);
	bench_end(&b);
}

/* A driver that rings before DRIVER_OK is served; so were those that Linux had. */
static void test_early(void)
{
	char answer[4] = "";
	struct mock_device *m;
	struct bench b;

	m = bench_mock(&b, 0);
	CHECK_EQ(mock_negotiate(b.d, 0), 0);
	virtio_ccw_notify(b.vm->css, b.d->sid, 0); /* no queue yet */
	CHECK_EQ(m->activated, 0);
	mock_setup_queue(b.d, 0);
	mock_interrupts(b.d, 0, true);
	CHECK_EQ(mock_request(b.d, 0, "soon", 4, answer, 4), 4);
	CHECK(!memcmp(answer, "soon", 4));
	CHECK_EQ(m->activated, 1);
	b.d->transport->set_status(b.d, ACK | DRIVER | DRIVER_OK);
	CHECK_EQ(mock_status(b.d), ACK | DRIVER | DRIVER_OK);
	CHECK_EQ(m->activated, 1);
	CHECK_EQ(mock_request(b.d, 0, "then", 4, answer, 4), 4);
	bench_end(&b);
}

static void test_queue_blocks(void)
{
	struct mock_ccw_result r;
	uint8_t raw[16] = {0};
	struct bench b;

	bench_mock(&b, 0);
	CHECK_EQ(mock_negotiate(b.d, 0), 0);
	put_be64(raw, MOCK_RAM_BASE);
	put_be32(raw + 8, 4096);
	put_be16(raw + 14, 8);
	CHECK(mock_ccw(b.d, SET_VQ, 0, raw, 16, NULL));
	CHECK_EQ(b.vd->queue[0].q.s.desc, MOCK_RAM_BASE);
	CHECK_EQ(b.vd->queue[0].q.s.driver, MOCK_RAM_BASE + 8 * 16);
	CHECK_EQ(b.vd->queue[0].q.s.device, MOCK_RAM_BASE + 4096);
	CHECK(!mock_ccw(b.d, SET_VQ, 0, raw, 15, &r));
	CHECK_EQ(r.sense, 0x80);
	put_be32(raw + 8, 4095); /* no power of two */
	CHECK(!mock_ccw(b.d, SET_VQ, 0, raw, 16, NULL));
	put_be32(raw + 8, 0);
	CHECK(!mock_ccw(b.d, SET_VQ, 0, raw, 16, NULL));
	put_be32(raw + 8, 4096);
	put_be64(raw, UINT64_MAX - 64); /* around the end of everything */
	CHECK(!mock_ccw(b.d, SET_VQ, 0, raw, 16, NULL));
	put_be64(raw, MOCK_RAM_BASE);
	put_be16(raw + 14, 9);
	CHECK(!mock_ccw(b.d, SET_VQ, 0, raw, 16, NULL));
	put_be16(raw + 14, 8);
	put_be16(raw + 12, 2);
	CHECK(!mock_ccw(b.d, SET_VQ, 0, raw, 16, NULL));
	memset(raw, 0, sizeof(raw)); /* taken down */
	CHECK(mock_ccw(b.d, SET_VQ, 0, raw, 16, NULL));
	CHECK(!b.vd->queue[0].q.s.ready);
	bench_end(&b);
}

/* Fields of 4, 2, 1, 1 and 8 bytes, then bytes. */
static void test_config(void)
{
	uint8_t c[24], value[8];
	struct mock_device *m;
	struct bench b;

	m = bench_mock(&b, 0);
	mock_config_read(b.d, 0, c, sizeof(c));
	CHECK(!memcmp(c, "\3\2\1\0\5\4\6\7\17\16\15\14\13\12\11\10\20\21\22", 19));
	mock_config_read(b.d, 1, value, 4);
	CHECK(!memcmp(value, "\2\1\0\5", 4));
	CHECK(mock_ccw(b.d, WRITE_CONF, MOCK_SLI, memcpy(c, "\xa1\xa2\xa3\xa4\xb1", 5), 5, NULL));
	CHECK(!memcmp(m->config, "\xa4\xa3\xa2\xa1\4\xb1\6\7\10", 9)); /* half of the second field */
	mock_config_write(b.d, 8, "\1\2\3\4\5\6\7\10\x77", 9);
	CHECK(!memcmp(m->config + 8, "\10\7\6\5\4\3\2\1\x77\21", 10));
	bench_end(&b);
}

static void test_blk(const char *dir)
{
	uint8_t out[16 + 512], in[513], c[60];
	struct virtio_blk_config config = {.queues = 1};
	struct disk_config dc;
	struct bench b;
	char path[4200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/disk", dir);
	f = fopen(path, "w");
	CHECK(f && !fseek(f, 1024 * 1024 - 1, SEEK_SET) && fputc(0, f) == 0 && !fclose(f));
	b.vm = mock_vm_create(MOCK_LOOP);
	dc = (struct disk_config){.path = path};
	CHECK_EQ(disk_open(b.vm->loop, &dc, &config.disk, NULL), 0);
	CHECK_EQ(virtio_blk_create(&config, &b.vm->env, &b.vd, NULL), 0);
	b.d = mock_driver_create_over(&mock_over_legacy, b.vm, b.vd, IRQ_EDGE);
	CHECK_EQ(mock_start(b.d, MOCK_ALL), 0);
	mock_config_read(b.d, 0, c, sizeof(c));
	CHECK_EQ(get_be64(c), 2048);
	CHECK_EQ(get_be32(c + 20), 512);
	CHECK_EQ(get_be16(c + 34), 1); /* queues */
	memset(out, 0, sizeof(out));
	put_be32(out, 1); /* write */
	put_be64(out + 8, 3);
	memset(out + 16, 0x5a, 512);
	in[0] = 9;
	CHECK_EQ(mock_request(b.d, 0, out, sizeof(out), in, 1), 1);
	CHECK_EQ(in[0], 0);
	put_be32(out, 0); /* read */
	CHECK_EQ(mock_request(b.d, 0, out, 16, in, 513), 513);
	CHECK(in[0] == 0x5a && in[511] == 0x5a && in[512] == 0);
	put_be64(out + 8, 4);
	CHECK_EQ(mock_request(b.d, 0, out, 16, in, 513), 513);
	CHECK(in[0] == 0 && in[511] == 0 && in[512] == 0);
	put_be32(out, 13); /* write zeroes: le64, le32, le32 */
	put_be64(out + 16, 3);
	put_be32(out + 24, 1);
	put_be32(out + 28, 0);
	CHECK_EQ(mock_request(b.d, 0, out, 32, in, 1), 1);
	CHECK_EQ(in[0], 0);
	put_be32(out, 0);
	put_be64(out + 8, 3);
	CHECK_EQ(mock_request(b.d, 0, out, 16, in, 513), 513);
	CHECK(in[0] == 0 && in[512] == 0);
	bench_end(&b);
}

/* Headers of 10 bytes, or of 12 with mergeable buffers. */
static void test_net(bool mergeable)
{
	struct virtio_net_config config = {.mac = {2, 1, 2, 3, 4, 5}, .pairs = 1, .mtu = 1400};
	struct link_config link_config = {.pairs = 1};
	unsigned int header = mergeable ? 12 : 10;
	uint8_t frame[1600] = {0}, got[1600], c[12];
	uint32_t written = 0;
	struct bench b;
	uint64_t at;
	int sv[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv), 0);
	link_config.fd = sv[0];
	b.vm = mock_vm_create(MOCK_LOOP | MOCK_HV);
	CHECK_EQ(link_open(&link_config, &config.link, NULL), 0);
	CHECK_EQ(virtio_net_create(&config, &b.vm->env, &b.vd, NULL), 0);
	b.d = mock_driver_create_over(&mock_over_legacy, b.vm, b.vd, IRQ_EDGE);
	CHECK_EQ(mock_start(b.d, MOCK_ALL & ~(mergeable ? 0 : 1 << 15)), 0);
	mock_config_read(b.d, 0, c, sizeof(c));
	CHECK(!memcmp(c, config.mac, 6));
	CHECK_EQ(get_be16(c + 6), 1); /* up */
	CHECK_EQ(get_be16(c + 10), 1400);
	/* Out. */
	for (unsigned int i = 0; i < 100; i++)
		frame[header + i] = (uint8_t)i;
	CHECK_EQ(mock_request(b.d, 1, frame, header + 100, NULL, 0), 0);
	CHECK_EQ(recv(sv[1], got, sizeof(got), 0), 100);
	CHECK(!memcmp(got, frame + header, 100));
	/* In: header and frame in one buffer; one that is too small is not used when buffers do not merge. */
	for (unsigned int round = 0; round < 40; round++) {
		unsigned int len = 60 + 30 * round;

		at = mock_alloc(b.vm, 1600, 16);
		memory_write(b.vm->memory, at, memset(got, 0xee, sizeof(got)), sizeof(got));
		CHECK(mock_add(b.d, 0, &(struct mock_buf){at, 1600, true}, 1, MOCK_DIRECT) >= 0);
		mock_kick(b.d, 0);
		for (unsigned int i = 0; i < len; i++)
			frame[i] = (uint8_t)(i + round);
		CHECK_EQ(send(sv[1], frame, len, 0), len);
		CHECK(mock_wait(b.d, 0, &written) >= 0);
		CHECK_EQ(written, header + len);
		memory_read(b.vm->memory, at, got, sizeof(got));
		CHECK(!memcmp(got, "\0\0\0\0\0\0\0\0\0\0", 10));
		if (mergeable)
			CHECK_EQ(get_be16(got + 10), 1);
		CHECK(!memcmp(got + header, frame, len));
		CHECK_EQ(got[header + len], 0xee);
	}
	at = mock_alloc(b.vm, 200, 16);
	CHECK(mock_add(b.d, 0, &(struct mock_buf){at, 100, true}, 1, MOCK_DIRECT) >= 0);
	CHECK(mock_add(b.d, 0, &(struct mock_buf){at + 100, 100, true}, 1, MOCK_DIRECT) >= 0);
	mock_kick(b.d, 0);
	mock_settle(b.vm);
	CHECK_EQ(send(sv[1], frame, 150, 0), 150);
	if (mergeable) {
		CHECK(mock_wait(b.d, 0, &written) >= 0);
		CHECK_EQ(written, 100);
		CHECK(mock_used(b.d, 0, &written) >= 0);
		CHECK_EQ(written, 62);
		memory_read(b.vm->memory, at, got, 12);
		CHECK_EQ(get_be16(got + 10), 2);
	} else {
		CHECK_EQ(send(sv[1], frame, 80, 0), 80);
		CHECK(mock_wait(b.d, 0, &written) >= 0);
		CHECK_EQ(written, 90); /* the one before was lost */
	}
	CHECK_EQ(mock_request(b.d, 2, "\4\0\0\1", 4, got, 1), 1); /* pairs, without multiqueue */
	CHECK_EQ(got[0], 1);
	bench_end(&b);
	close(sv[1]);
}

static void test_console(void)
{
	struct stream *streams[2] = {NULL, NULL};
	struct virtio_console_config config = {.streams = streams, .n = 2};
	uint8_t in[8], c[12];
	struct bench b;

	b.vm = mock_vm_create(0);
	CHECK_EQ(virtio_console_create(&config, &b.vm->env, &b.vd, NULL), 0);
	b.d = mock_driver_create_over(&mock_over_legacy, b.vm, b.vd, IRQ_EDGE);
	CHECK_EQ(mock_start(b.d, MOCK_ALL), 0);
	mock_config_read(b.d, 0, c, sizeof(c));
	CHECK_EQ(get_be32(c + 4), 2); /* ports */
	CHECK_EQ(mock_request(b.d, 3, "\0\0\0\0\0\0\0\1", 8, NULL, 0), 0); /* DEVICE_READY */
	for (uint8_t port = 0; port < 2; port++) {
		CHECK_EQ(mock_request(b.d, 2, NULL, 0, in, 8), 8);
		CHECK_EQ(get_be32(in), port);
		CHECK_EQ(get_be16(in + 4), 1); /* DEVICE_ADD */
		CHECK_EQ(get_be16(in + 6), 1);
	}
	bench_end(&b);
}

/* Its configuration space is little-endian for everybody (5.5.4); page numbers and statistics are not. */
static void test_balloon(void)
{
	struct virtio_balloon_stats stats;
	uint8_t c[8], pfns[8], stat[20];
	uint64_t page = MOCK_RAM_BASE + MIB(8);
	uint32_t actual;
	struct bench b;
	char byte;

	b.vm = mock_vm_create(0);
	CHECK_EQ(virtio_balloon_create(&b.vm->env, &b.vd, NULL), 0);
	b.d = mock_driver_create_over(&mock_over_legacy, b.vm, b.vd, IRQ_EDGE);
	CHECK_EQ(mock_start(b.d, MOCK_ALL), 0);
	virtio_balloon_set_target(b.vd, 1234);
	CHECK_EQ(mock_isr(b.d) & 2, 2);
	mock_config_read(b.d, 0, c, sizeof(c));
	CHECK_EQ(get_le32(c), 1234);
	mock_config_write(b.d, 4, "\5\0\0", 4);
	virtio_balloon_get(b.vd, NULL, &actual, NULL);
	CHECK_EQ(actual, 5);
	memory_write(b.vm->memory, page, "x", 1);
	memory_write(b.vm->memory, page + 4096, "y", 1);
	put_be32(pfns, (uint32_t)(page >> 12));
	put_be32(pfns + 4, (uint32_t)(page >> 12) + 1);
	CHECK_EQ(mock_request(b.d, 0, pfns, 8, NULL, 0), 0);
	memory_read(b.vm->memory, page, &byte, 1);
	CHECK_EQ(byte, 0);
	memory_read(b.vm->memory, page + 4096, &byte, 1);
	CHECK_EQ(byte, 0);
	put_be16(stat, 4); /* free memory */
	put_be64(stat + 2, 0x123456789);
	memory_write(b.vm->memory, page, stat, 10);
	CHECK(mock_add(b.d, 2, &(struct mock_buf){page, 10, false}, 1, MOCK_DIRECT) >= 0);
	mock_kick(b.d, 2);
	virtio_balloon_get(b.vd, NULL, NULL, &stats);
	CHECK(stats.valid & 1 << 4);
	CHECK_EQ(stats.value[4], 0x123456789);
	bench_end(&b);
}

static void test_9p(const char *dir)
{
	const struct share_config sc = {.path = dir};
	struct virtio_9p_config config = {.tag = "tag"};
	uint8_t c[5];
	struct bench b;

	b.vm = mock_vm_create(0);
	CHECK_EQ(share_open(&sc, &config.share, NULL), 0);
	CHECK_EQ(virtio_9p_create(&config, &b.vm->env, &b.vd, NULL), 0);
	b.d = mock_driver_create_over(&mock_over_legacy, b.vm, b.vd, IRQ_EDGE);
	mock_config_read(b.d, 0, c, sizeof(c));
	CHECK(!memcmp(c, "\0\3tag", 5));
	bench_end(&b);
}

/* A saved device of a legacy driver goes on as one. */
static void test_save(void)
{
	static const uint16_t sizes[] = {8, 64};
	char buf[4096], answer[4] = "";
	struct mock_device *copy = NULL;
	struct virtio_ccw_state s;
	struct mock_driver *d;
	struct bench b;
	int64_t len;

	bench_mock(&b, 0);
	CHECK_EQ(mock_start(b.d, MOCK_ALL), 0);
	CHECK_EQ(mock_request(b.d, 0, "ping", 4, answer, 4), 4);
	virtio_pause(b.vd);
	len = virtio_save(b.vd, buf, sizeof(buf));
	CHECK(len > 0);
	virtio_ccw_save(b.d->ccw, &s);
	CHECK_EQ(s.revision, 0);
	CHECK_EQ(mock_device_create(&b.vm->env, sizes, 2, &copy), 0);
	virtio_pause(copy->vd);
	CHECK(virtio_load(copy->vd, buf, (size_t)len, NULL) < 0); /* no legacy driver is known of yet */
	d = mock_driver_create_over(&mock_over_ccw, b.vm, copy->vd, IRQ_EDGE);
	CHECK(virtio_load(copy->vd, buf, (size_t)len, NULL) < 0);
	d->transport = &mock_over_legacy;
	CHECK_EQ(virtio_ccw_load(d->ccw, &s), 0);
	CHECK_EQ(virtio_load(copy->vd, buf, (size_t)len, NULL), 0);
	memcpy(d->queue, b.d->queue, sizeof(d->queue));
	d->features = b.d->features;
	virtio_resume(copy->vd);
	CHECK_EQ(mock_request(d, 0, "pong", 4, answer, 4), 4);
	CHECK(!memcmp(answer, "pong", 4));
	/* A device that serves no legacy driver refuses it. */
	mock_driver_destroy(d);
	virtio_destroy(copy->vd);
	CHECK_EQ(mock_device_create(&b.vm->env, sizes, 2, &copy), 0);
	copy->vd->modern = true;
	virtio_pause(copy->vd);
	d = mock_driver_create_over(&mock_over_ccw, b.vm, copy->vd, IRQ_EDGE);
	CHECK(virtio_ccw_load(d->ccw, &s) < 0);
	CHECK(virtio_load(copy->vd, buf, (size_t)len, NULL) < 0);
	mock_driver_destroy(d);
	virtio_destroy(copy->vd);
	bench_end(&b);
}

int main(void)
{
	char dir[4096];

	temp_dir_make(dir, sizeof(dir));
	test_rings(0);
	test_rings(MOCK_LOOP | MOCK_HV);
	test_features_and_status();
	test_early();
	test_queue_blocks();
	test_config();
	test_blk(dir);
	test_net(false);
	test_net(true);
	test_console();
	test_balloon();
	test_9p(dir);
	test_save();
	temp_dir_remove(dir);
	return test_result();
}
