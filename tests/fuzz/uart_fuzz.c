// SPDX-License-Identifier: MIT
/*
 * A hostile guest at the serial port. What must hold: the line is high exactly when the identification register names a cause, it is told of changes only, and
 * no count leaves its FIFO.
 *
 * Input: operations of one byte: a register with one or another width, bytes and breaks from outside, a saved state with a few bytes changed.
 */
#include "hw/uart8250.h"

#include "base/endian.h"
#include "tests/fuzz/bytes.h"

#define MAX_OPS 2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void set(void *ctx, unsigned int n, bool level)
{
	bool *line = ctx;

	MUST(*line != level);
	*line = level;
}

static const struct irq_ops ops = { .set = set };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = { data, size };
	bool line = false, before;
	struct uart8250_config config = { .base = 0x3f8, .irq = { .ops = &ops, .ctx = &line, .n = 1 } };
	struct uart8250_state s;
	struct uart8250 *u;

	MUST(uart8250_create(&config, NULL, &u, NULL) >= 0);
	for (unsigned int op = 0; op < MAX_OPS && in.len; op++) {
		uint8_t what = (uint8_t)bytes_take(&in, 1), buf[8] = { 0 };
		unsigned int reg = what >> 3 & 7;

		switch (what & 7) {
		case 0:
		case 1:
		case 2:
			put_le64(buf, bytes_take(&in, 1));
			uart8250_bus_ops.write(u, reg, buf, 1);
			break;
		case 3:
		case 4:
			before = line;
			uart8250_bus_ops.read(u, reg, buf, 1);
			if (reg == 2)
				MUST(before == !(buf[0] & 1));
			break;
		case 5: {
			uint64_t offset = bytes_take(&in, 1), len = 1 + offset % 8;

			offset = offset / 8 + (what & 0x80 ? bytes_take(&in, 4) : 0);
			put_le64(buf, bytes_take(&in, (unsigned int)len));
			uart8250_bus_ops.write(u, offset, buf, (unsigned int)len);
			memset(buf, 0, sizeof(buf));
			uart8250_bus_ops.read(u, offset, buf, (unsigned int)len);
			break;
		}
		case 6:
			if (reg)
				uart8250_receive(u, (uint8_t)(what + op));
			else
				uart8250_break(u);
			break;
		default:
			uart8250_save(u, &s);
			if (reg) {
				size_t at = bytes_take(&in, 1) % sizeof(s);

				((uint8_t *)&s)[at] = (uint8_t)bytes_take(&in, 1);
				uart8250_load(u, &s);
			} else {
				MUST(uart8250_load(u, &s) >= 0);
			}
			break;
		}
		uart8250_save(u, &s);
		MUST(s.rx_count + s.held_count <= UART8250_FIFO && s.tx_count <= UART8250_FIFO);
	}
	uart8250_destroy(u);
	return 0;
}
