// SPDX-License-Identifier: MIT
#include "hw/uart8250.h"

#include <errno.h>
#include <pthread.h>

/* Registers, data sheet table II; [dlab] where the divisor latch access bit selects another. */
enum {
	REG_DATA = 0, /* RBR, THR; [dlab] DLL */
	REG_IER = 1,  /* [dlab] DLM */
	REG_IIR = 2,  /* FCR on writes */
	REG_LCR = 3,
	REG_MCR = 4,
	REG_LSR = 5,
	REG_MSR = 6,
	REG_SCR = 7,
};

#define LSR_POLLS 4 /* so many looks at the line status in a row, and the next, are listening */
#define TX_BURST (16 * UART8250_FIFO) /* bytes that one visit of the guest's interrupt handler may send */

#define IER_RDI 0x01
#define IER_THRI 0x02
#define IER_RLSI 0x04
#define IER_MSI 0x08

/* Interrupt identification, in the order of priority (8.6). */
#define IIR_RLS 0x06
#define IIR_RDA 0x04
#define IIR_TIMEOUT 0x0c
#define IIR_THRE 0x02
#define IIR_MSI 0x00
#define IIR_NONE 0x01
#define IIR_FIFOS 0xc0

#define FCR_ENABLE 0x01
#define FCR_RESET_RX 0x02
#define FCR_RESET_TX 0x04
#define FCR_KEPT 0xc9

#define LCR_BREAK 0x40
#define LCR_DLAB 0x80

#define MCR_DTR 0x01
#define MCR_RTS 0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10

#define LSR_DR 0x01
#define LSR_OE 0x02
#define LSR_PE 0x04
#define LSR_FE 0x08
#define LSR_BI 0x10
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define LSR_FIFO_ERROR 0x80
#define LSR_BYTE_ERRORS (LSR_PE | LSR_FE | LSR_BI)

#define MSR_DCTS 0x01
#define MSR_DDSR 0x02
#define MSR_TERI 0x04
#define MSR_DDCD 0x08
#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI 0x40
#define MSR_DCD 0x80
#define MSR_DELTAS 0x0f

struct uart8250 {
	struct uart8250_config config;
	struct bus *bus, *alias_bus;
	uint64_t alias;
	pthread_mutex_t lock;
	struct uart8250_state s;
	bool irq_level;
	unsigned int burst; /* bytes sent, with the interrupt enabled, since the guest last left its handler */
	bool thre_held;	    /* the transmitter-empty interrupt waits for the loop to come by */
};

static bool looped(const struct uart8250 *u)
{
	return u->s.mcr & MCR_LOOP;
}

static unsigned int fifo_size(const struct uart8250 *u)
{
	return u->s.fcr & FCR_ENABLE ? UART8250_FIFO : 1;
}

/* --- interrupts --- */

static uint8_t cause(const struct uart8250 *u)
{
	static const uint8_t triggers[] = { 1, 4, 8, 14 };
	const struct uart8250_state *s = &u->s;

	if (s->ier & IER_RLSI && s->lsr_errors)
		return IIR_RLS;
	if (s->ier & IER_RDI && s->rx_count)
		return !(s->fcr & FCR_ENABLE) || s->rx_count >= triggers[s->fcr >> 6] ? IIR_RDA : IIR_TIMEOUT;
	if (s->ier & IER_THRI && s->thre_pending)
		return IIR_THRE;
	if (s->ier & IER_MSI && s->msr & MSR_DELTAS)
		return IIR_MSI;
	return IIR_NONE;
}

/* After every change, once all of it is done: the line does not move in between. */
static void update_irq(struct uart8250 *u)
{
	irq_follow(&u->config.irq, &u->irq_level, cause(u) != IIR_NONE);
}

/* --- receiver --- */

/* A byte's errors become visible when it reaches the head (8.5). */
static void show_head(struct uart8250 *u)
{
	if (!u->s.rx_count) {
		u->s.rx_seen = 0;
		return;
	}
	u->s.lsr_errors |= u->s.rx_error[0];
	u->s.rx_error[0] = 0;
}

static void rx_push(struct uart8250 *u, uint8_t byte, uint8_t error)
{
	u->s.rx[u->s.rx_count] = byte;
	u->s.rx_error[u->s.rx_count++] = error;
	if (u->s.rx_count == 1)
		show_head(u);
}

static uint8_t rx_pop(struct uart8250 *u)
{
	struct uart8250_state *s = &u->s;
	uint8_t byte = s->rx[0];

	s->rx_count--;
	memmove(s->rx, s->rx + 1, s->rx_count);
	memmove(s->rx_error, s->rx_error + 1, s->rx_count);
	show_head(u);
	return byte;
}

/* Lets bytes in while there is room: what was held back first, then from the stream. */
static void rx_fill(struct uart8250 *u)
{
	struct uart8250_state *s = &u->s;
	unsigned int n = 0;
	uint8_t buf[UART8250_FIFO];

	if (!s->rx_open || looped(u))
		return;
	while (n < s->held_count && s->rx_count < fifo_size(u)) {
		rx_push(u, s->held[n], s->held_error[n]);
		n++;
	}
	s->held_count -= n;
	memmove(s->held, s->held + n, s->held_count);
	memmove(s->held_error, s->held_error + n, s->held_count);
	if (s->held_count || s->rx_count >= fifo_size(u) || !u->config.stream)
		return;
	n = (unsigned int)stream_read(u->config.stream, buf, fifo_size(u) - s->rx_count);
	for (unsigned int i = 0; i < n; i++)
		rx_push(u, buf[i], 0);
}

static void rx_listen(struct uart8250 *u)
{
	u->s.rx_open = 1;
	rx_fill(u);
}

/* The guest stops listening. Bytes it knows nothing of go back to where they came from. */
static void rx_hide(struct uart8250 *u)
{
	struct uart8250_state *s = &u->s;

	if (s->rx_seen)
		return;
	s->rx_open = 0;
	if (!s->rx_count)
		return;
	s->rx_error[0] = s->lsr_errors & LSR_BYTE_ERRORS;
	s->lsr_errors &= LSR_OE;
	memmove(s->held + s->rx_count, s->held, s->held_count);
	memmove(s->held_error + s->rx_count, s->held_error, s->held_count);
	memcpy(s->held, s->rx, s->rx_count);
	memcpy(s->held_error, s->rx_error, s->rx_count);
	s->held_count += s->rx_count;
	s->rx_count = 0;
}

static void rx_reset(struct uart8250 *u)
{
	rx_hide(u);
	u->s.rx_count = 0;
	u->s.rx_seen = 0;
	u->s.rx_open = (u->s.ier & IER_RDI) != 0;
	rx_fill(u);
}

/* A byte on the line. In loopback, where the guest may send more than fits, the newest is lost (8.5, OE). */
static void rx_loop(struct uart8250 *u, uint8_t byte, uint8_t error)
{
	if (u->s.rx_count + u->s.held_count >= UART8250_FIFO || u->s.rx_count >= fifo_size(u)) {
		u->s.lsr_errors |= LSR_OE;
		return;
	}
	rx_push(u, byte, error);
	u->s.rx_seen = 1;
}

static int rx_inject(struct uart8250 *u, uint8_t byte, uint8_t error)
{
	struct uart8250_state *s = &u->s;

	if (s->rx_count + s->held_count >= UART8250_FIFO)
		return -EAGAIN;
	if (s->rx_open && !looped(u) && !s->held_count && s->rx_count < fifo_size(u)) {
		rx_push(u, byte, error);
	} else {
		s->held[s->held_count] = byte;
		s->held_error[s->held_count++] = error;
	}
	return 0;
}

/* --- transmitter --- */

/*
 * A wire takes its time; this transmitter is empty again at once. A driver whose handler sends as long as it is told so would stay in it, interrupts off, as long as others have
 * something to print. So after a burst the interrupt waits until the guest has seen that there is none and the loop has come by, or for a millisecond: the handler
 * ends, and whatever else the hart has to do gets its turn.
 */
static void thre_raise(struct uart8250 *u)
{
	if (u->burst < TX_BURST || !u->config.stream) {
		u->s.thre_pending = 1;
		return;
	}
	if (!u->thre_held)
		stream_want_output(u->config.stream, false);
	u->thre_held = true;
}

static void thre_release(struct uart8250 *u)
{
	u->s.thre_pending |= u->thre_held && !u->s.tx_count;
	u->thre_held = false;
}

static void tx_flush(struct uart8250 *u)
{
	struct uart8250_state *s = &u->s;
	size_t n = s->tx_count;

	if (!n)
		return;
	if (u->config.stream)
		n = stream_write(u->config.stream, s->tx, n);
	s->tx_count -= (uint8_t)n;
	memmove(s->tx, s->tx + n, s->tx_count);
	if (!s->tx_count)
		thre_raise(u);
}

static void write_thr(struct uart8250 *u, uint8_t byte)
{
	struct uart8250_state *s = &u->s;

	s->thre_pending = 0;
	if (looped(u)) {
		rx_loop(u, byte, 0);
		s->thre_pending = !s->tx_count;
		return;
	}
	/* A full FIFO loses what is written to it. */
	if (s->tx_count < fifo_size(u))
		s->tx[s->tx_count++] = byte;
	if (s->ier & IER_THRI) /* polled output is no handler's */
		u->burst++;
	tx_flush(u);
}

/* --- registers --- */

static void write_ier(struct uart8250 *u, uint8_t value)
{
	uint8_t rises = value & ~u->s.ier, falls = u->s.ier & ~value;

	u->s.ier = value & 0x0f;
	if (rises & IER_THRI && !u->s.tx_count)
		thre_raise(u);
	if (rises & IER_RDI)
		rx_listen(u);
	if (falls & IER_RDI)
		rx_hide(u);
}

static void write_fcr(struct uart8250 *u, uint8_t value)
{
	uint8_t changed = u->s.fcr ^ value;

	/* The other bits are taken only with bit 0 set; changing bit 0 empties both FIFOs (8.4). */
	u->s.fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
	if (changed & FCR_ENABLE)
		value |= FCR_RESET_RX | FCR_RESET_TX;
	else if (!(value & FCR_ENABLE))
		return;
	if (value & FCR_RESET_TX && u->s.tx_count) {
		u->s.tx_count = 0;
		u->s.thre_pending = 1;
	}
	if (value & FCR_RESET_RX)
		rx_reset(u);
}

/* The modem inputs: all there, or in loopback the port's own outputs (8.7). */
static uint8_t modem_lines(uint8_t mcr)
{
	if (!(mcr & MCR_LOOP))
		return MSR_DCD | MSR_DSR | MSR_CTS;
	return (mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) | (mcr & MCR_OUT1 ? MSR_RI : 0) |
	       (mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void write_mcr(struct uart8250 *u, uint8_t value)
{
	uint8_t old = u->s.msr & ~MSR_DELTAS, new = modem_lines(value), changed = old ^ new;

	u->s.mcr = value & 0x1f;
	u->s.msr = (u->s.msr & MSR_DELTAS) | new;
	u->s.msr |= (changed & MSR_CTS ? MSR_DCTS : 0) | (changed & MSR_DSR ? MSR_DDSR : 0) |
		    (changed & old & MSR_RI ? MSR_TERI : 0) | (changed & MSR_DCD ? MSR_DDCD : 0);
	rx_fill(u);
}

static void write_lcr(struct uart8250 *u, uint8_t value)
{
	if (looped(u) && value & ~u->s.lcr & LCR_BREAK)
		rx_loop(u, 0, LSR_BI);
	u->s.lcr = value;
}

static void write_reg(struct uart8250 *u, unsigned int reg, uint8_t value)
{
	bool dlab = u->s.lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			u->s.dll = value;
		else
			write_thr(u, value);
		break;
	case REG_IER:
		if (dlab)
			u->s.dlm = value;
		else
			write_ier(u, value);
		break;
	case REG_IIR:
		write_fcr(u, value);
		break;
	case REG_LCR:
		write_lcr(u, value);
		break;
	case REG_MCR:
		write_mcr(u, value);
		break;
	case REG_SCR:
		u->s.scr = value;
		break;
	default: /* LSR and MSR are read-only in operation */
		break;
	}
}

static uint8_t read_rbr(struct uart8250 *u)
{
	uint8_t byte = 0;

	if (u->s.rx_count) {
		u->s.rx_seen = 1;
		byte = rx_pop(u);
	}
	if (!u->s.rx_count)
		rx_fill(u);
	return byte;
}

static uint8_t read_iir(struct uart8250 *u)
{
	uint8_t id = cause(u);

	if (id == IIR_THRE)
		u->s.thre_pending = 0;
	if (id == IIR_NONE && u->thre_held)
		stream_want_output(u->config.stream, true);
	else if (id == IIR_NONE)
		u->burst = 0;
	if (id == IIR_RDA || id == IIR_TIMEOUT || id == IIR_RLS)
		u->s.rx_seen = u->s.rx_count > 0;
	return id | (u->s.fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

static uint8_t read_lsr(struct uart8250 *u)
{
	struct uart8250_state *s = &u->s;
	uint8_t value;

	/*
	 * A guest that waits for input without interrupts reads this register over and over; one that only sends stops when it finds
	 * the transmitter empty, so looks before that do not count. Linux looks twice in a row while it starts the port.
	 */
	if (s->lsr_polls >= LSR_POLLS && !s->rx_open)
		rx_listen(u);
	if (s->tx_count)
		s->lsr_polls = 0;
	else if (s->lsr_polls < LSR_POLLS)
		s->lsr_polls++;
	value = s->lsr_errors | (s->rx_count ? LSR_DR : 0) | (s->tx_count ? 0 : LSR_THRE | LSR_TEMT);
	if (s->fcr & FCR_ENABLE) {
		bool bad = s->lsr_errors & LSR_BYTE_ERRORS;

		for (unsigned int i = 1; i < s->rx_count; i++)
			bad |= s->rx_error[i] != 0;
		value |= bad ? LSR_FIFO_ERROR : 0;
	}
	s->lsr_errors = 0;
	if (s->rx_count)
		s->rx_seen = 1;
	return value;
}

static uint8_t read_reg(struct uart8250 *u, unsigned int reg)
{
	bool dlab = u->s.lcr & LCR_DLAB;
	uint8_t value;

	switch (reg) {
	case REG_DATA:
		return dlab ? u->s.dll : read_rbr(u);
	case REG_IER:
		return dlab ? u->s.dlm : u->s.ier;
	case REG_IIR:
		return read_iir(u);
	case REG_LCR:
		return u->s.lcr;
	case REG_MCR:
		return u->s.mcr;
	case REG_LSR:
		return read_lsr(u);
	case REG_MSR:
		value = u->s.msr;
		u->s.msr &= ~MSR_DELTAS;
		return value;
	case REG_SCR:
		return u->s.scr;
	default:
		return 0;
	}
}

static void uart8250_read(void *dev, uint64_t offset, void *data, unsigned int len)
{
	struct uart8250 *u = dev;

	if (len != 1 || offset >= UART8250_SIZE)
		return;
	pthread_mutex_lock(&u->lock);
	if (offset != REG_LSR)
		u->s.lsr_polls = 0;
	*(uint8_t *)data = read_reg(u, (unsigned int)offset);
	update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

static void uart8250_write(void *dev, uint64_t offset, const void *data, unsigned int len)
{
	struct uart8250 *u = dev;

	if (len != 1 || offset >= UART8250_SIZE)
		return;
	pthread_mutex_lock(&u->lock);
	u->s.lsr_polls = 0;
	write_reg(u, (unsigned int)offset, *(const uint8_t *)data);
	update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

const struct bus_ops uart8250_bus_ops = {
	.read = uart8250_read,
	.write = uart8250_write,
};

/* --- the stream, on the loop thread --- */

static void input_ready(void *ctx)
{
	struct uart8250 *u = ctx;

	pthread_mutex_lock(&u->lock);
	rx_fill(u);
	update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

static void output_ready(void *ctx)
{
	struct uart8250 *u = ctx;

	pthread_mutex_lock(&u->lock);
	tx_flush(u);
	u->burst = 0;
	thre_release(u);
	update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

static int inject(struct uart8250 *u, uint8_t byte, uint8_t error)
{
	int r;

	pthread_mutex_lock(&u->lock);
	r = rx_inject(u, byte, error);
	update_irq(u);
	pthread_mutex_unlock(&u->lock);
	return r;
}

int uart8250_break(struct uart8250 *u)
{
	return inject(u, 0, LSR_BI);
}

int uart8250_receive(struct uart8250 *u, uint8_t byte)
{
	return inject(u, byte, 0);
}

/* --- making, describing, saving --- */

static void power_on(struct uart8250 *u)
{
	struct uart8250_state *s = &u->s;
	struct uart8250_state fresh = { .version = UART8250_STATE_VERSION, .msr = modem_lines(0) };

	fresh.held_count = s->held_count;
	memcpy(fresh.held, s->held, sizeof(s->held));
	memcpy(fresh.held_error, s->held_error, sizeof(s->held_error));
	*s = fresh;
	u->burst = 0;
	u->thre_held = false;
}

void uart8250_reset(struct uart8250 *u)
{
	pthread_mutex_lock(&u->lock);
	rx_hide(u);
	power_on(u);
	update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

int uart8250_create(const struct uart8250_config *config, struct bus *bus, struct uart8250 **ret, struct err *e)
{
	struct uart8250 *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return err_set(e, -ENOMEM, "Not enough memory for a serial port");
	pthread_mutex_init(&u->lock, NULL);
	u->config = *config;
	power_on(u);
	if (bus) {
		r = bus_add(bus, "uart", config->base, UART8250_SIZE, &uart8250_bus_ops, u, e);
		if (r < 0) {
			pthread_mutex_destroy(&u->lock);
			free(u);
			return r;
		}
		u->bus = bus;
	}
	if (config->stream)
		stream_attach(config->stream, &(struct stream_user){ input_ready, output_ready, u });
	*ret = u;
	return 0;
}

void uart8250_destroy(struct uart8250 *u)
{
	if (!u)
		return;
	if (u->alias_bus)
		bus_remove(u->alias_bus, u->alias);
	if (u->bus)
		bus_remove(u->bus, u->config.base);
	if (u->config.stream)
		stream_attach(u->config.stream, NULL);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

int uart8250_add_alias(struct uart8250 *u, struct bus *bus, uint64_t base, struct err *e)
{
	int r;

	if (u->alias_bus)
		return err_set(e, -EBUSY, "The serial port has a second address already");
	r = bus_add(bus, "uart", base, UART8250_SIZE, &uart8250_bus_ops, u, e);
	if (r < 0)
		return r;
	u->alias_bus = bus;
	u->alias = base;
	return 0;
}

void uart8250_write_dt(const struct uart8250 *u, struct dt *dt)
{
	dt_begin(dt, "serial@%llx", (unsigned long long)u->config.base);
	dt_prop_string(dt, "compatible", "ns16550a");
	dt_prop_reg(dt, u->config.base, UART8250_SIZE);
	dt_prop_u32(dt, "clock-frequency", UART8250_CLOCK);
	if (u->config.irq.ops)
		dt_prop_irq(dt, &u->config.irq);
	dt_end(dt);
}

void uart8250_save(struct uart8250 *u, struct uart8250_state *ret)
{
	pthread_mutex_lock(&u->lock);
	*ret = u->s;
	ret->thre_pending |= u->thre_held && !u->s.tx_count; /* how long it is held is nothing that the guest can see */
	pthread_mutex_unlock(&u->lock);
}

int uart8250_load(struct uart8250 *u, const struct uart8250_state *state)
{
	if (state->version != UART8250_STATE_VERSION || state->rx_count + state->held_count > UART8250_FIFO ||
	    state->tx_count > UART8250_FIFO || state->ier & ~0x0f || state->mcr & ~0x1f || state->fcr & ~FCR_KEPT ||
	    (state->msr & ~MSR_DELTAS) != modem_lines(state->mcr))
		return -EINVAL;
	pthread_mutex_lock(&u->lock);
	u->s = *state;
	u->burst = 0;
	u->thre_held = false;
	tx_flush(u);
	rx_fill(u);
	update_irq(u);
	pthread_mutex_unlock(&u->lock);
	return 0;
}
