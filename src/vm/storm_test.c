// SPDX-License-Identifier: MIT
/*
 * A hostile guest with several vCPUs: each sets up, rings, resets and abuses every device at random while the others do the same, on a whole
 * virtual machine over the scripted hypervisor, and while its host sends frames, pauses it, looks inside and moves the balloon. All of it must
 * end. A random walk: the seed is printed, and can be given.
 */
#include <sys/socket.h>

#include "base/endian.h"
#include "tests/scripted_vm.h"

#define GUST_NS UINT64_C(4000000) /* between two moments at which a vCPU can be held */
#define GUSTS 125
#define RAM RISCV_RAM_BASE
#define RINGS (RAM + MIB(8)) /* 64 KiB for each queue of a device */
#define POOL (RAM + MIB(16))

static struct lkvm_vm *vm;
static uint64_t seed;
static atomic_ulong n_ops, n_live;

static uint32_t next(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*state >> 33);
}

static void put(struct hv_vcpu *vcpu, uint64_t gpa, uint64_t v, unsigned int len)
{
	tv_guest_put(vm, vcpu, gpa, v, len);
}

static uint32_t get(struct hv_vcpu *vcpu, uint64_t gpa, unsigned int len)
{
	return tv_guest_get(vm, vcpu, gpa, len);
}

static uint64_t ring_of(unsigned int device, unsigned int queue)
{
	return RINGS + (device % 8) * MIB(1) + (queue % 16) * KIB(64);
}

/* Sixteen descriptors in chains of up to three, mostly good. */
static void fill_ring(uint64_t *r, unsigned int device, unsigned int queue)
{
	static const uint16_t flags[3][2] = { { 1, 0 }, { 3, 2 }, { 2, 2 } }; /* NEXT, WRITE */
	uint64_t at = ring_of(device, queue);
	uint8_t d[16], avail[4 + 2 * 16 + 2] = { 0 };

	for (unsigned int i = 0; i < 16; i++) {
		uint32_t x = next(r);

		put_le64(d, x % 64 ? POOL + (x % 2048) * 512 : (uint64_t)x << 16);
		put_le32(d + 8, x % 5 ? 1 + (x >> 8) % 5000 : 16);
		put_le16(d + 12, x % 97 ? flags[i % 3][x >> 4 & 1] : (uint16_t)x);
		put_le16(d + 14, (uint16_t)((i + 1) % 16));
		memory_write(vm->machine.memory, at + 16 * i, d, sizeof(d));
		put_le16(avail + 4 + 2 * i, (uint16_t)(x % 89 ? x % 5 * 3 : x % 17));
	}
	memory_read(vm->machine.memory, at + 0x1000 + 2, avail + 2, 2);
	put_le16(avail + 2, (uint16_t)(get_le16(avail + 2) + next(r) % 3));
	put_le32(d, next(r) % 6 ? next(r) % 2 : 8);
	put_le32(d + 4, 0);
	put_le64(d + 8, next(r) % 8);
	for (unsigned int i = 0; i < 4; i++) /* block headers among the data */
		memory_write(vm->machine.memory, POOL + (next(r) % 2048) * 512, d, 16);
	memory_write(vm->machine.memory, at + 0x1000, avail, sizeof(avail));
}

static void set_up(struct hv_vcpu *vcpu, uint64_t *r, unsigned int device)
{
	uint64_t base = RISCV_VIRTIO_BASE + device * 0x1000;
	const uint8_t zero[64] = { 0 };

	put(vcpu, base + 0x70, 0, 4);
	put(vcpu, base + 0x70, 3, 4);
	put(vcpu, base + 0x24, 1, 4);
	put(vcpu, base + 0x20, 1, 4);
	put(vcpu, base + 0x24, 0, 4);
	/* All that it offers, or little of it. */
	put(vcpu, base + 0x20, next(r) % 2 ? get(vcpu, base + 0x10, 4) : next(r) % 2 ? UINT32_C(1) << 29 : 0, 4);
	put(vcpu, base + 0x70, 11, 4);
	for (unsigned int q = 0; q < 6; q++) {
		uint64_t at = ring_of(device, q);

		memory_write(vm->machine.memory, at + 0x1000, zero, sizeof(zero));
		put(vcpu, base + 0x30, q, 4);
		put(vcpu, base + 0x38, 16, 4);
		put(vcpu, base + 0x80, (uint32_t)at, 4);
		put(vcpu, base + 0x90, (uint32_t)at + 0x1000, 4);
		put(vcpu, base + 0xa0, (uint32_t)at + 0x2000, 4);
		put(vcpu, base + 0x44, 1, 4);
	}
	put(vcpu, base + 0x70, 15, 4);
	if (get(vcpu, base + 0x70, 4) == 15)
		atomic_fetch_add(&n_live, 1);
}

static void step(struct hv_vcpu *vcpu, uint64_t *r)
{
	static const uint64_t places[] = { RISCV_UART_BASE, RISCV_RTC_BASE, RISCV_IRQCHIP_BASE, RISCV_IRQCHIP_BASE + 0x2000,
					   RISCV_IRQCHIP_BASE + 0x2080, RISCV_IRQCHIP_BASE + 0x201000, 0x3f8 };
	unsigned int device = next(r) % vm->n_virtio, queue = next(r) % 6;
	uint64_t base = RISCV_VIRTIO_BASE + device * 0x1000, place;
	static const uint8_t lens[] = { 1, 2, 4, 4, 4, 8 };
	unsigned int len = lens[next(r) % 6];

	switch (next(r) % 16) {
	case 0:
		set_up(vcpu, r, device);
		break;
	case 1:
	case 2:
	case 3:
	case 4:
	case 5:
	case 6:
		fill_ring(r, device, queue);
		put(vcpu, base + 0x50, queue, 4);
		break;
	case 7:
	case 8:
		put(vcpu, base + 0x64, get(vcpu, base + 0x60, 4), 4);
		break;
	case 9:
		put(vcpu, base + next(r) % 0x140, next(r), len);
		break;
	case 10:
		get(vcpu, base + next(r) % 0x1000, len);
		break;
	case 11: /* a claim, and its end */
		place = RISCV_IRQCHIP_BASE + 0x201004 + 0x2000 * vcpu->id;
		put(vcpu, place, get(vcpu, place, 4), 4);
		break;
	case 12:
		put(vcpu, RISCV_IRQCHIP_BASE + 4 * (next(r) % 96), 1, 4);
		put(vcpu, RISCV_IRQCHIP_BASE + 0x2080 + 0x100 * vcpu->id, UINT32_MAX, 4);
		break;
	default:
		place = places[next(r) % ARRAY_SIZE(places)] + next(r) % 32;
		if (next(r) % 2)
			put(vcpu, place, next(r), len);
		else
			get(vcpu, place, len);
	}
	atomic_fetch_add(&n_ops, 1);
}

static void storm(struct hv_vcpu *vcpu)
{
	static uint64_t state[4];
	uint64_t until = sys_now_ns() + GUST_NS, *r = &state[vcpu->id];

	if (!*r)
		*r = seed + vcpu->id * 77;
	while (sys_now_ns() < until)
		for (unsigned int i = 0; i < 16; i++)
			step(vcpu, r);
}

struct host {
	int wire;
	atomic_bool stop;
	unsigned int n;
};

static void *host_main(void *ctx)
{
	static const struct {
		const char *method, *params;
	} calls[] = {
		{ "pause", NULL }, { "resume", NULL }, { "stat", NULL }, { "stat", "{\"memory\":true}" }, { "regs", NULL },
		{ "balloon", "{\"size\":4}" }, { "balloon", "{\"size\":0}" }, { "debug", "{\"sysrq\":\"h\"}" },
	};
	struct host *host = ctx;
	uint64_t r = seed;
	char frame[1514] = { 0 };

	for (; !atomic_load(&host->stop); host->n++) {
		unsigned int i = next(&r) % ARRAY_SIZE(calls);
		struct lkvm_error e = { 0 };
		char *reply = NULL;

		if (lkvm_control(vm, calls[i].method, calls[i].params, &reply, &e) >= 0)
			free(reply);
		if (i == 0 && lkvm_control(vm, "resume", NULL, &reply, &e) >= 0)
			free(reply);
		for (unsigned int k = 0; k < 50; k++) {
			send(host->wire, frame, 14 + next(&r) % 1500, MSG_DONTWAIT | MSG_NOSIGNAL);
			recv(host->wire, frame, sizeof(frame), MSG_DONTWAIT);
		}
	}
	return NULL;
}

/* disk: kept in memory, or on a disk, where requests are in flight when the guest resets the device. */
static void run(int disk, const char *how)
{
	static struct scripted_step steps[GUSTS + 1];
	int wire[2];
	struct host host = { 0 };
	unsigned long thread;
	struct lkvm_end end;
	struct test_vm t;
	char path[32], network[48];

	for (unsigned int i = 0; i < GUSTS; i++)
		steps[i] = (struct scripted_step){ .what = STEP_CALL, .call = storm };
	steps[GUSTS] = (struct scripted_step){ .what = STEP_MMIO_WRITE, .gpa = RISCV_POWEROFF_BASE, .value = 0x5555, .len = 4 };
	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, wire), 0);
	snprintf(network, sizeof(network), "mode=tap,fd=%d", wire[0]);
	CHECK_EQ(ftruncate(disk, MIB(1)), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d%s", disk, how);
	tv_init(&t);
	tv_set(&t, "cpus", "4");
	tv_set(&t, "disk", path);
	tv_set(&t, "network", network);
	tv_set(&t, "rng", NULL);
	tv_set(&t, "balloon", NULL);
	tv_set(&t, "console", "virtio");
	for (unsigned int i = 0; i < 4; i++) {
		t.script[i] = steps;
		t.script_len[i] = ARRAY_SIZE(steps);
	}
	if (tv_create(&t) < 0) {
		fprintf(stderr, "%s\n", t.e.message);
		abort();
	}
	vm = t.vm;
	host.wire = wire[1];
	CHECK_EQ(lkvm_start(vm, &t.e), 0);
	CHECK_EQ(sys_thread_start(host_main, &host, "host", &thread), 0);
	for (unsigned int i = 0; i < 3000 && !tv_saw(&t, LKVM_EVENT_ENDED, 1); i++)
		;
	atomic_store(&host.stop, true);
	pthread_join((pthread_t)thread, NULL);
	CHECK_EQ(lkvm_wait(vm, &end), 0);
	CHECK(host.n > 3);
	CHECK_EQ(end.reason, LKVM_END_POWEROFF);
	CHECK(atomic_load(&t.log_lines) < 50);
	tv_done(&t);
	close(wire[1]);
	close(disk);
}

static bool open_direct(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = sys_open(path, O_RDWR | O_DIRECT, 0);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int main(int argc, char **argv)
{
	char path[] = "/var/tmp/lkvm-storm-XXXXXX";
	int disk;

	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : sys_now_ns();
	fprintf(stderr, "seed %" PRIu64 "\n", seed);
	alarm(250);
	run(memfd_create("disk", MFD_CLOEXEC), "");
	disk = mkostemp(path, O_CLOEXEC);
	if (disk >= 0) {
		unlink(path);
		/* Not every file system has O_DIRECT. */
		run(disk, open_direct(disk) ? ",direct" : "");
	}
	fprintf(stderr, "%lu operations, %lu times a device came alive\n", atomic_load(&n_ops), atomic_load(&n_live));
	CHECK(atomic_load(&n_live) > 10);
	return test_result();
}
