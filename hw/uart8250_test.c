// SPDX-License-Identifier: MIT
/* The serial port, register by register, and as a driver under load sees it. */
#include "hw/uart8250.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/sys.h"
#include "tests/test.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define FCR IIR
#define WAIT_NS UINT64_C(10000000000)

/* --- a line that remembers --- */

struct wire {
	pthread_mutex_t lock;
	bool level;
	unsigned int changes, repeats, pulses, syncs;
};

static void wire_set(void *ctx, unsigned int n, bool level)
{
	struct wire *w = ctx;

	pthread_mutex_lock(&w->lock);
	w->changes += level != w->level;
	w->repeats += level == w->level;
	w->level = level;
	pthread_mutex_unlock(&w->lock);
}

static void wire_pulse(void *ctx, unsigned int n)
{
	struct wire *w = ctx;

	pthread_mutex_lock(&w->lock);
	w->pulses++;
	pthread_mutex_unlock(&w->lock);
}

static void wire_sync(void *ctx)
{
	struct wire *w = ctx;

	pthread_mutex_lock(&w->lock);
	w->syncs++;
	pthread_mutex_unlock(&w->lock);
}

static const struct irq_ops wire_ops = { .set = wire_set, .pulse = wire_pulse, .sync = wire_sync };

static bool wire_level(struct wire *w)
{
	bool level;

	pthread_mutex_lock(&w->lock);
	level = w->level;
	pthread_mutex_unlock(&w->lock);
	return level;
}

/* --- a port, perhaps with pipes behind it --- */

struct rig {
	struct wire wire;
	struct loop *loop;
	struct stream *stream;
	unsigned long thread;
	int in[2], out[2];
	struct uart8250 *uart;
};

static void *run_loop(void *loop)
{
	loop_run(loop);
	return NULL;
}

static void rig_start(struct rig *r, enum irq_trigger trigger, bool pipes)
{
	struct uart8250_config config = { .base = 0x10000000 };
	struct err e = { 0 };

	*r = (struct rig){ .in = { -1, -1 }, .out = { -1, -1 } };
	pthread_mutex_init(&r->wire.lock, NULL);
	if (pipes) {
		struct stream_config stream = { 0 };

		CHECK(!pipe2(r->in, O_CLOEXEC) && !pipe2(r->out, O_CLOEXEC));
		stream.in_fd = r->in[0];
		stream.out_fd = r->out[1];
		CHECK(loop_create(&r->loop, &e) >= 0);
		CHECK(stream_open(r->loop, &stream, &r->stream, &e) >= 0);
		CHECK(sys_thread_start(run_loop, r->loop, "loop", &r->thread) >= 0);
	}
	config.irq = (struct irq_line){ .ops = &wire_ops, .ctx = &r->wire, .n = 1, .trigger = trigger };
	config.stream = r->stream;
	CHECK_EQ(uart8250_create(&config, NULL, &r->uart, &e), 0);
}

static void rig_end(struct rig *r)
{
	uart8250_destroy(r->uart);
	if (r->loop) {
		loop_stop(r->loop);
		pthread_join((pthread_t)r->thread, NULL);
		stream_close(r->stream);
		loop_destroy(r->loop);
	}
	for (unsigned int i = 0; i < 2; i++) {
		close_fd(&r->in[i]);
		close_fd(&r->out[i]);
	}
}

static uint8_t in(struct rig *r, unsigned int reg)
{
	uint8_t byte = 0;

	uart8250_bus_ops.read(r->uart, reg, &byte, 1);
	return byte;
}

static void out(struct rig *r, unsigned int reg, uint8_t value)
{
	uart8250_bus_ops.write(r->uart, reg, &value, 1);
}

static void test_registers(void)
{
	uint8_t data[8];
	struct rig r;

	rig_start(&r, IRQ_LEVEL, false);
	CHECK_EQ(in(&r, IER), 0);
	CHECK_EQ(in(&r, IIR), 0x01);
	CHECK_EQ(in(&r, LSR), 0x60);
	CHECK_EQ(in(&r, MSR), 0xb0);
	out(&r, SCR, 0xa5);
	CHECK_EQ(in(&r, SCR), 0xa5);
	out(&r, IER, 0xff);
	CHECK_EQ(in(&r, IER), 0x0f);
	out(&r, IER, 0);
	out(&r, LCR, 0x83);
	out(&r, DATA, 0x12);
	out(&r, IER, 0x34);
	CHECK_EQ(in(&r, DATA), 0x12);
	CHECK_EQ(in(&r, IER), 0x34);
	out(&r, LCR, 0x03);
	CHECK_EQ(in(&r, IER), 0);
	/* How Linux knows a 16550A, and that the port is one. */
	out(&r, FCR, 0x01);
	CHECK_EQ(in(&r, IIR) >> 6, 3);
	out(&r, FCR, 0x00);
	CHECK_EQ(in(&r, IIR) >> 6, 0);
	out(&r, FCR, 0xc0); /* without bit 0 the others are not taken */
	CHECK_EQ(in(&r, IIR) >> 6, 0);
	out(&r, MCR, 0x1a);
	CHECK_EQ(in(&r, MSR) & 0xf0, 0x90);
	out(&r, MCR, 0xff);
	CHECK_EQ(in(&r, MCR), 0x1f);
	out(&r, MCR, 0x08);
	/* LSR and MSR are read-only. */
	out(&r, LSR, 0xff);
	out(&r, MSR, 0xff);
	CHECK_EQ(in(&r, LSR), 0x60);
	/* Other widths read 0 and write nothing. */
	for (unsigned int len = 2; len <= 8; len++) {
		memset(data, 0xff, sizeof(data));
		uart8250_bus_ops.write(r.uart, SCR, data, len);
		memset(data, 0, sizeof(data));
		uart8250_bus_ops.read(r.uart, LSR, data, len);
		CHECK(!data[0] && !data[1]);
	}
	CHECK_EQ(in(&r, SCR), 0xa5);
	CHECK_EQ(in(&r, 8), 0);
	rig_end(&r);
}

/* The transmitter-empty interrupt: exactly when it comes and when it goes. */
static void test_thre(void)
{
	struct rig r;

	rig_start(&r, IRQ_LEVEL, false);
	out(&r, FCR, 0x01);
	CHECK(!wire_level(&r.wire));
	out(&r, IER, 0x02);
	CHECK(wire_level(&r.wire));
	CHECK_EQ(in(&r, IIR), 0xc2);
	CHECK(!wire_level(&r.wire));
	CHECK_EQ(in(&r, IIR), 0xc1);
	/* Writing the same enable again is no rise ... */
	out(&r, IER, 0x02);
	CHECK_EQ(in(&r, IIR), 0xc1);
	/* ... off and on is. */
	out(&r, IER, 0x00);
	out(&r, IER, 0x02);
	CHECK_EQ(in(&r, IIR), 0xc2);
	/* A byte is sent at once: empty again. */
	out(&r, DATA, 'x');
	CHECK(wire_level(&r.wire));
	/* The line does not move while a cause is left. */
	unsigned int changes = r.wire.changes;
	for (unsigned int i = 0; i < 100; i++)
		out(&r, DATA, 'x');
	CHECK_EQ(r.wire.changes, changes);
	CHECK(in(&r, LSR) & 0x20);
	CHECK(wire_level(&r.wire)); /* reading the line status does not answer it */
	/* Reading a higher cause leaves it. */
	out(&r, IER, 0x03);
	CHECK_EQ(uart8250_receive(r.uart, 'a'), 0);
	CHECK_EQ(in(&r, IIR), 0xc4);
	CHECK_EQ(in(&r, DATA), 'a');
	CHECK_EQ(in(&r, IIR), 0xc2);
	CHECK_EQ(in(&r, IIR), 0xc1);
	CHECK_EQ(r.wire.repeats, 0);
	CHECK(r.wire.syncs * 2 >= r.wire.changes);
	rig_end(&r);
}

/* A handler that sends as long as it is told so is let go after 256 bytes; the interrupt comes back from the loop, and no byte is lost. */
static void test_burst(void)
{
	unsigned int sent = 0, visits = 0;
	uint64_t until = sys_now_ns() + WAIT_NS;
	struct rig r;
	char buf[4096];
	size_t got = 0;

	rig_start(&r, IRQ_LEVEL, true);
	out(&r, FCR, 0x01);
	/* Polled output does not count: Linux takes a port that has nothing to say just after it for a broken one. */
	for (; sent < 512; sent++)
		out(&r, DATA, (uint8_t)sent);
	out(&r, IER, 0x02);
	CHECK(wire_level(&r.wire));
	while (sent < sizeof(buf) && sys_now_ns() < until) {
		unsigned int visit = 0;

		while (!wire_level(&r.wire) && sys_now_ns() < until)
			sched_yield();
		while (sent < sizeof(buf) && in(&r, IIR) == 0xc2) {
			CHECK(in(&r, LSR) & 0x20);
			for (unsigned int i = 0; i < 16; i++)
				out(&r, DATA, (uint8_t)sent++);
			visit += 16;
		}
		CHECK(visit > 0);
		visits++;
	}
	CHECK_EQ(sent, sizeof(buf));
	/* A visit goes on past 256 only when this thread was away for a millisecond in the middle of it. */
	CHECK(visits >= 4);
	while (got < sizeof(buf)) {
		ssize_t n = read(r.out[0], buf + got, sizeof(buf) - got);

		CHECK(n > 0);
		got += (size_t)n;
	}
	for (unsigned int i = 0; i < sizeof(buf); i++)
		CHECK_EQ((uint8_t)buf[i], i % 256);
	rig_end(&r);
}

static void test_edge_line(void)
{
	struct rig r;

	rig_start(&r, IRQ_EDGE, false);
	out(&r, IER, 0x02);
	CHECK_EQ(r.wire.pulses, 1);
	out(&r, DATA, 'x');
	CHECK_EQ(r.wire.pulses, 1); /* high all the time */
	in(&r, IIR);
	out(&r, DATA, 'x');
	CHECK_EQ(r.wire.pulses, 2);
	CHECK_EQ(r.wire.changes, 0);
	rig_end(&r);
}

static void test_receiver(void)
{
	static const struct {
		uint8_t fcr;
		unsigned int at;
	} triggers[] = { { 0x01, 1 }, { 0x41, 4 }, { 0x81, 8 }, { 0xc1, 14 } };
	struct rig r;

	rig_start(&r, IRQ_LEVEL, false);
	for (unsigned int t = 0; t < ARRAY_SIZE(triggers); t++) {
		out(&r, FCR, triggers[t].fcr);
		out(&r, IER, 0x05);
		for (unsigned int i = 1; i <= 16; i++) {
			CHECK_EQ(uart8250_receive(r.uart, (uint8_t)i), 0);
			CHECK(wire_level(&r.wire));
			CHECK_EQ(in(&r, IIR), i >= triggers[t].at ? 0xc4 : 0xcc);
		}
		CHECK_EQ(uart8250_receive(r.uart, 17), -EAGAIN);
		CHECK_EQ(uart8250_break(r.uart), -EAGAIN);
		for (unsigned int i = 1; i <= 16; i++) {
			CHECK_EQ(in(&r, LSR), 0x61);
			CHECK_EQ(in(&r, DATA), i);
		}
		CHECK_EQ(in(&r, LSR), 0x60);
		CHECK_EQ(in(&r, IIR), 0xc1);
		CHECK(!wire_level(&r.wire));
		out(&r, IER, 0);
	}
	/* A break among bytes: seen when it is at the head, cleared by reading the line status. */
	out(&r, IER, 0x05);
	uart8250_receive(r.uart, 'a');
	uart8250_break(r.uart);
	uart8250_receive(r.uart, 'b');
	CHECK_EQ(in(&r, IIR), 0xcc);
	CHECK_EQ(in(&r, LSR), 0xe1); /* an error is in the FIFO */
	CHECK_EQ(in(&r, DATA), 'a');
	CHECK_EQ(in(&r, IIR), 0xc6);
	CHECK_EQ(in(&r, LSR), 0xf1);
	CHECK_EQ(in(&r, LSR), 0x61);
	CHECK_EQ(in(&r, IIR), 0xcc);
	CHECK_EQ(in(&r, DATA), 0);
	CHECK_EQ(in(&r, DATA), 'b');
	/* Reset empties what the guest has been told of. */
	uart8250_receive(r.uart, 'c');
	CHECK_EQ(in(&r, LSR), 0x61);
	out(&r, FCR, 0x03);
	CHECK_EQ(in(&r, LSR), 0x60);
	/* Without FIFOs: one byte at a time, in order. */
	out(&r, FCR, 0x00);
	for (unsigned int i = 0; i < 5; i++)
		CHECK_EQ(uart8250_receive(r.uart, (uint8_t)('0' + i)), 0);
	for (unsigned int i = 0; i < 5; i++) {
		CHECK_EQ(in(&r, IIR), 0x04);
		CHECK_EQ(in(&r, DATA), '0' + i);
	}
	CHECK_EQ(in(&r, IIR), 0x01);
	rig_end(&r);
}

static void test_loopback(void)
{
	struct rig r;

	rig_start(&r, IRQ_LEVEL, false);
	out(&r, FCR, 0xc7);
	out(&r, MCR, 0x10);
	in(&r, MSR);
	out(&r, IER, 0x0f);
	CHECK_EQ(in(&r, IIR), 0xc2);
	for (unsigned int i = 0; i < 16; i++)
		out(&r, DATA, (uint8_t)i);
	CHECK_EQ(in(&r, LSR), 0x61);
	out(&r, DATA, 99); /* one too many */
	CHECK_EQ(in(&r, IIR), 0xc6);
	CHECK_EQ(in(&r, LSR), 0x63);
	CHECK_EQ(in(&r, IIR), 0xc4);
	for (unsigned int i = 0; i < 16; i++)
		CHECK_EQ(in(&r, DATA), i);
	CHECK_EQ(in(&r, LSR), 0x60);
	out(&r, LCR, 0x43); /* break */
	CHECK_EQ(in(&r, LSR), 0xf1);
	CHECK_EQ(in(&r, DATA), 0);
	/* Modem lines; the ring indicator counts when it ends. */
	in(&r, IIR);
	CHECK_EQ(in(&r, IIR), 0xc1);
	out(&r, MCR, 0x1f);
	CHECK_EQ(in(&r, IIR), 0xc0);
	CHECK_EQ(in(&r, MSR), 0xfb);
	CHECK_EQ(in(&r, MSR), 0xf0);
	CHECK_EQ(in(&r, IIR), 0xc1);
	out(&r, MCR, 0x1b);
	CHECK_EQ(in(&r, MSR), 0xb4);
	/* Reset is power-on. */
	out(&r, DATA, 1);
	out(&r, IER, 0x0f);
	CHECK(wire_level(&r.wire));
	uart8250_reset(r.uart);
	CHECK(!wire_level(&r.wire));
	CHECK_EQ(in(&r, IER), 0);
	CHECK_EQ(in(&r, IIR), 0x01);
	CHECK_EQ(in(&r, LSR), 0x60);
	CHECK_EQ(in(&r, MSR), 0xb0);
	out(&r, FCR, 0x01);
	out(&r, IER, 0x01);
	out(&r, MCR, 0x1b);
	in(&r, MSR);
	/* What arrives from outside waits until the loop ends. */
	uart8250_receive(r.uart, 'o');
	CHECK_EQ(in(&r, LSR), 0x60);
	out(&r, MCR, 0x0b);
	CHECK_EQ(in(&r, LSR), 0x61);
	CHECK_EQ(in(&r, DATA), 'o');
	rig_end(&r);
}

/* A driver that finds and starts the port the way Linux does loses nothing that was typed before. */
static void test_early_input(void)
{
	static const char typed[] = "typed before anybody listened\n";
	char got[sizeof(typed)] = "";
	unsigned int n = 0;
	struct rig r;
	uint64_t start;

	rig_start(&r, IRQ_LEVEL, true);
	CHECK(write(r.in[1], typed, sizeof(typed) - 1) > 0);
	uart8250_break(r.uart);
	usleep(20000);
	out(&r, IER, 0);
	out(&r, IER, 0x0f);
	CHECK_EQ(in(&r, IER), 0x0f);
	out(&r, IER, 0);
	out(&r, MCR, 0x1a);
	in(&r, MSR);
	out(&r, MCR, 0);
	for (unsigned int i = 0; i < 3; i++) {
		out(&r, FCR, 0x01);
		out(&r, FCR, 0x07);
		out(&r, FCR, 0x00);
		in(&r, LSR);
		in(&r, DATA);
		in(&r, IIR);
		in(&r, MSR);
	}
	out(&r, LCR, 0x03);
	out(&r, FCR, 0x81);
	in(&r, LSR);
	in(&r, DATA);
	in(&r, IIR);
	in(&r, MSR);
	/* Is there a port at all? Does it tell when the transmitter is empty? */
	in(&r, LSR);
	in(&r, LSR);
	out(&r, IER, 0x02);
	in(&r, IIR);
	out(&r, IER, 0);
	in(&r, LSR);
	in(&r, DATA);
	in(&r, IIR);
	in(&r, MSR);
	out(&r, IER, 0x05);
	CHECK(wire_level(&r.wire));
	CHECK_EQ(in(&r, LSR) & 0x11, 0x11);
	CHECK_EQ(in(&r, DATA), 0);
	start = sys_now_ns();
	while (n < sizeof(typed) - 1 && sys_now_ns() - start < WAIT_NS)
		if (in(&r, LSR) & 1)
			got[n++] = (char)in(&r, DATA);
	CHECK_STR(got, typed);

	/* Without interrupts: looking again and again is listening. */
	out(&r, IER, 0);
	out(&r, FCR, 0x87);
	CHECK(write(r.in[1], "p", 1) == 1);
	usleep(20000);
	CHECK_EQ(in(&r, LSR), 0x60);
	start = sys_now_ns();
	while (!(in(&r, LSR) & 1) && sys_now_ns() - start < WAIT_NS)
		;
	CHECK_EQ(in(&r, DATA), 'p');

	/* A byte alone raises the line of a guest that does nothing. */
	out(&r, IER, 0x01);
	CHECK(!wire_level(&r.wire));
	CHECK(write(r.in[1], "q", 1) == 1);
	start = sys_now_ns();
	while (!wire_level(&r.wire) && sys_now_ns() - start < WAIT_NS)
		sched_yield();
	CHECK(wire_level(&r.wire));
	CHECK_EQ(in(&r, DATA), 'q');
	CHECK(!wire_level(&r.wire));
	rig_end(&r);
}

/* --- a driver under load: input and output driven by interrupts alone, while the other side is slow and bursty --- */

#define LOAD_BYTES 300000

static uint8_t pattern(unsigned int i)
{
	return (uint8_t)(i * 7 + (i >> 8) * 13);
}

struct load {
	struct rig r;
	atomic_uint wrong, out_n, full;
};

/* False: nothing moves any more, and a blocking call would wait for ever. */
static bool ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, (int)(WAIT_NS / 1000000)) == 1;
}

static void *load_writer(void *arg)
{
	struct load *l = arg;
	uint8_t buf[777];

	for (unsigned int i = 0; i < LOAD_BYTES;) {
		unsigned int n = MIN((unsigned int)sizeof(buf) - i % 31, LOAD_BYTES - i);

		for (unsigned int k = 0; k < n; k++)
			buf[k] = pattern(i + k);
		if (!ready(l->r.in[1], POLLOUT) || sys_write_all(l->r.in[1], buf, n) < 0)
			break;
		i += n;
	}
	return NULL;
}

static void *load_reader(void *arg)
{
	struct load *l = arg;
	uint8_t buf[5000];
	ssize_t n;

	uint64_t start = sys_now_ns();

	/* Pipe and buffers fill first: the port must hold the guest back. */
	while (!atomic_load(&l->full) && sys_now_ns() - start < WAIT_NS)
		usleep(1000);
	while (atomic_load(&l->out_n) < LOAD_BYTES && ready(l->r.out[0], POLLIN) && (n = read(l->r.out[0], buf, sizeof(buf))) > 0) {
		for (ssize_t k = 0; k < n; k++)
			if (buf[k] != pattern(atomic_load(&l->out_n) + (unsigned int)k))
				atomic_fetch_add(&l->wrong, 1);
		atomic_fetch_add(&l->out_n, (unsigned int)n);
	}
	return NULL;
}

static void test_load(void)
{
	static struct load l;
	unsigned int sent = 0, got = 0;
	pthread_t writer, reader;
	uint64_t last;

	memset(&l, 0, sizeof(l));
	rig_start(&l.r, IRQ_LEVEL, true);
	pthread_create(&writer, NULL, load_writer, &l);
	pthread_create(&reader, NULL, load_reader, &l);
	out(&l.r, FCR, 0xc7);
	out(&l.r, IER, 0x07);
	last = sys_now_ns();
	while ((sent < LOAD_BYTES || got < LOAD_BYTES) && sys_now_ns() - last < WAIT_NS) {
		unsigned int before = sent + got;
		uint8_t id;

		/* Only the line says that there is something to do. */
		if (!wire_level(&l.r.wire)) {
			struct pollfd pipe = { .fd = l.r.out[1], .events = POLLOUT };

			/* Held back: not for a moment, but because the pipe is full. */
			if (sent < LOAD_BYTES && sys_now_ns() - last > 20000000 && poll(&pipe, 1, 0) == 0)
				atomic_store(&l.full, 1);
			sched_yield();
			continue;
		}
		while (!((id = in(&l.r, IIR)) & 1)) {
			switch (id & 0x0f) {
			case 0x04:
			case 0x0c:
				for (unsigned int i = 0; i < 64 && in(&l.r, LSR) & 1; i++)
					if (in(&l.r, DATA) != pattern(got++))
						atomic_fetch_add(&l.wrong, 1);
				break;
			case 0x02:
				if (!(in(&l.r, LSR) & 0x20))
					atomic_fetch_add(&l.wrong, 1);
				for (unsigned int i = 0; i < 16 && sent < LOAD_BYTES; i++)
					out(&l.r, DATA, pattern(sent++));
				break;
			default:
				atomic_fetch_add(&l.wrong, 1);
				in(&l.r, LSR);
				break;
			}
		}
		if (sent + got != before)
			last = sys_now_ns();
	}
	CHECK_EQ(sent, LOAD_BYTES);
	CHECK_EQ(got, LOAD_BYTES);
	CHECK(l.full > 0);
	pthread_join(writer, NULL);
	pthread_join(reader, NULL);
	CHECK_EQ(l.out_n, LOAD_BYTES);
	CHECK_EQ(l.wrong, 0);
	rig_end(&l.r);
}

static void test_bus_and_state(void)
{
	struct uart8250_config config = { .base = 0x10000000 };
	struct uart8250_state s, t;
	struct bus_reader reader = { .next = NULL };
	struct uart8250 *u, *v;
	struct bus *bus;
	struct err e = { 0 };
	uint8_t byte = 0x5a;
	struct dt dt;
	void *blob;
	size_t size;

	CHECK(bus_create(&bus) >= 0);
	bus_add_reader(bus, &reader);
	CHECK_EQ(uart8250_create(&config, bus, &u, &e), 0);
	CHECK_EQ(uart8250_add_alias(u, bus, 0x3f8, &e), 0);
	CHECK_EQ(uart8250_add_alias(u, bus, 0x2f8, &e), -EBUSY);
	e = (struct err){ 0 };
	CHECK_EQ(uart8250_create(&config, bus, &v, &e), -EEXIST);
	CHECK(e.text[0]);
	CHECK(bus_write(bus, &reader, 0x3f8 + SCR, &byte, 1));
	byte = 0;
	CHECK(bus_read(bus, &reader, 0x10000000 + SCR, &byte, 1));
	CHECK_EQ(byte, 0x5a);

	uart8250_receive(u, 'h');
	uart8250_save(u, &s);
	config.base = 0x10001000;
	CHECK_EQ(uart8250_create(&config, bus, &v, NULL), 0);
	CHECK_EQ(uart8250_load(v, &s), 0);
	uart8250_save(v, &t);
	CHECK(!memcmp(&s, &t, sizeof(s)));
	s.rx_count = 16;
	CHECK_EQ(uart8250_load(v, &s), -EINVAL);
	s.rx_count = 0;
	s.tx_count = 17;
	CHECK_EQ(uart8250_load(v, &s), -EINVAL);

	CHECK_EQ(dt_start(&dt), 0);
	dt_begin(&dt, "%s", "");
	uart8250_write_dt(u, &dt);
	uart8250_write_dt(v, &dt);
	dt_end(&dt);
	CHECK_EQ(dt_finish(&dt, &blob, &size), 0);
	CHECK(memmem(blob, size, "serial@10001000", 16) != NULL);
	CHECK(memmem(blob, size, "ns16550a", 9) != NULL);
	free(blob);
	uart8250_destroy(u);
	uart8250_destroy(v);
	uart8250_destroy(NULL);
	CHECK(!bus_read(bus, &reader, 0x3f8, &byte, 1));
	bus_remove_reader(bus, &reader);
	bus_destroy(bus);
}

int main(void)
{
	test_registers();
	test_thre();
	test_burst();
	test_edge_line();
	test_receiver();
	test_loopback();
	test_early_input();
	test_load();
	test_bus_and_state();
	return test_result();
}
