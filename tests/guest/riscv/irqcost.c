// SPDX-License-Identifier: MIT
/*
 * What an interrupt costs, for tools/bench: a serial port's line rises, its interrupt is taken, claimed, served and completed, and the next claim reads 0, as Linux
 * does it. Beside it as many accesses to the same port that raise nothing. Both as the nanoseconds of one.
 * Arguments: irqs=N.
 */
#include "guest.h"

static const struct place *uart;
static volatile uint32_t served;

static void serve(void *ctx)
{
	(void)read8(uart->base + UART_IIR);
	served++;
}

static void one(void)
{
	uint32_t was = served;

	write8(uart->base + UART_IER, 0);
	write8(uart->base + UART_IER, 2);
	while (served == was)
		;
}

static void none(void)
{
	write8(uart->base + UART_SCR, 0);
	write8(uart->base + UART_SCR, 2);
	(void)read8(uart->base + UART_SCR);
}

/* "@NAME?", and a line from whoever measures. */
static void ask(const char *name)
{
	uint64_t at = machine.uart[0].base;

	print("@%s?", name);
	do
		while (!(read8(at + UART_LSR) & 1))
			;
	while (read8(at + UART_RBR) != '\n');
}

static uint64_t nanoseconds(void (*fn)(void), uint32_t n)
{
	uint64_t start = now();

	for (uint32_t i = 0; i < n; i++)
		fn();
	return (now() - start) * (1000000000 / machine.timebase) / n;
}

void guest(void)
{
	uint32_t n = (uint32_t)arg_number("irqs", 2000);

	uart = &machine.uart[1];
	irq_setup(uart->irq, true, serve, NULL);
	irq_enable(uart->irq, 0, true);
	interrupts_on();
	/* Warm first. */
	nanoseconds(none, 100);
	nanoseconds(one, 100);
	print("@none %lu", nanoseconds(none, n));
	ask("start");
	print("@each %lu", nanoseconds(one, n));
	ask("end");
	interrupts_off();
}
