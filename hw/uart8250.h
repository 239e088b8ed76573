// SPDX-License-Identifier: MIT
/*
 * A 16550A serial port (PC16550D data sheet, section 8 for the registers): 16-byte FIFOs, loopback, break, modem lines that are always connected. Registers are one byte
 * wide, one byte apart; other widths read 0 and write nothing.
 *
 * Sending: a byte goes to the stream at once, so that the transmitter is empty again; what the stream does not take waits in the transmit FIFO
 * and the line status says so. Receiving: bytes leave the stream only as the FIFO has room, so that none overruns, and they appear only to a guest that listens (receive
 * interrupts on, or polling): what was typed before a driver resets the FIFOs is not lost. The receive timeout elapses at once.
 *
 * Interrupts: a level, or on an edge line one pulse for each rise. The line is lowered and raised under the port's lock, after what the
 * guest wrote to the controller has been applied (irq_sync); it is never lowered while a cause is left. The transmitter-empty interrupt makes a pause after
 * 256 bytes without one: an interrupt handler that sends until told to stop would otherwise hold its hart as long as others print.
 *
 * Locking: one mutex; order: port, stream, interrupt controller. Functions are thread-safe unless said otherwise.
 */
#ifndef LKVM_HW_UART8250_H
#define LKVM_HW_UART8250_H

#include "backend/stream.h"
#include "base/err.h"
#include "base/util.h"
#include "bus.h"
#include "dt.h"
#include "irq.h"

#define UART8250_SIZE 8	      /* bytes of registers */
#define UART8250_CLOCK 1843200 /* Hz */
#define UART8250_FIFO 16

struct uart8250;

struct uart8250_config {
	uint64_t base;
	struct irq_line irq;
	struct stream *stream; /* outlives the port; NULL: nobody is at the other end, output vanishes */
};

/* What the guest can see; saved and loaded by copy. */
#define UART8250_STATE_VERSION 1

struct uart8250_state {
	uint32_t version;
	uint8_t ier, fcr, lcr, mcr, msr, scr, dll, dlm;
	uint8_t lsr_errors;   /* OE, and the errors of bytes that have been at the head of the receive FIFO */
	uint8_t thre_pending; /* the transmitter-empty interrupt has not been seen */
	uint8_t rx_open;      /* the guest listens */
	uint8_t rx_seen;      /* it was told that there is input */
	uint8_t lsr_polls;    /* line status reads in a row that found the transmitter empty */
	uint8_t rx_count, held_count, tx_count;
	/* Oldest first. held: taken from the stream, then hidden again from a guest that was not listening; rx_count + held_count <= 16. */
	uint8_t rx[UART8250_FIFO], rx_error[UART8250_FIFO];
	uint8_t held[UART8250_FIFO], held_error[UART8250_FIFO];
	uint8_t tx[UART8250_FIFO];
};

/* Puts the port on the bus at config->base (bus NULL: on none) and connects it to the stream. -ENOMEM, -EEXIST. */
int uart8250_create(const struct uart8250_config *config, struct bus *bus, struct uart8250 **ret, struct err *e);
/* NULL is fine. */
void uart8250_destroy(struct uart8250 *u);
DEFINE_CLEANUP(uart8250, uart8250_destroy)

extern const struct bus_ops uart8250_bus_ops;

/* The same registers at a second address; one alias a port (-EBUSY). Before the guest runs. */
int uart8250_add_alias(struct uart8250 *u, struct bus *bus, uint64_t base, struct err *e);

/* "ns16550a" node, named serial@<base>. */
void uart8250_write_dt(const struct uart8250 *u, struct dt *dt);

/* A break arrives on the line (Linux: what follows is a sysrq command). -EAGAIN when the receive FIFO is full. */
int uart8250_break(struct uart8250 *u);
/* A byte arrives on the line behind the stream's back. -EAGAIN when the receive FIFO is full. */
int uart8250_receive(struct uart8250 *u, uint8_t byte);

/* Registers as after creation; input that no guest was told of stays. With vCPUs stopped. */
void uart8250_reset(struct uart8250 *u);

/* With vCPUs stopped. load: -EINVAL for a state that cannot be. */
void uart8250_save(struct uart8250 *u, struct uart8250_state *ret);
int uart8250_load(struct uart8250 *u, const struct uart8250_state *state);

#endif
