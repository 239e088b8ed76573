// SPDX-License-Identifier: MIT
/* Interrupt lines: a small value that a device keeps; who is behind it (PLIC, in-kernel AIA, GIC, a test) it does not know. */
#ifndef LKVM_IRQ_H
#define LKVM_IRQ_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

enum irq_trigger { IRQ_LEVEL, IRQ_EDGE };

/* set: level is idempotent, callable from any thread, never blocks on the guest. pulse: one edge; NULL for level-only controllers. */
struct irq_ops {
	void (*set)(void *ctx, unsigned int n, bool level);
	void (*pulse)(void *ctx, unsigned int n);
	/* Applies guest writes that KVM has queued (coalesced MMIO), so that state is current before a level is computed. May be NULL. */
	void (*sync)(void *ctx);
	/*
	 * Has each signal of the eventfd fd raise the line inside the kernel (connect false: no longer): an edge line gets an edge, as by pulse. A level line needs
	 * resample_fd (else -1): it stays high until the guest has completed the interrupt, which signals resample_fd. Both descriptors stay the caller's. -EOPNOTSUPP
	 * where the controller is in user space, or KVM would take the descriptor and lose interrupts; or KVM's own. NULL: -EOPNOTSUPP.
	 */
	int (*irqfd)(void *ctx, unsigned int n, int fd, int resample_fd, bool connect);
};

struct irq_line {
	const struct irq_ops *ops; /* NULL: not connected */
	void *ctx;
	unsigned int n; /* the controller's source number, as in the device tree */
	enum irq_trigger trigger;
};

static inline void irq_set(const struct irq_line *line, bool level)
{
	if (line->ops)
		line->ops->set(line->ctx, line->n, level);
}

static inline void irq_pulse(const struct irq_line *line)
{
	if (line->ops && line->ops->pulse)
		line->ops->pulse(line->ctx, line->n);
}

static inline void irq_sync(const struct irq_line *line)
{
	if (line->ops && line->ops->sync)
		line->ops->sync(line->ctx);
}

static inline int irq_connect(const struct irq_line *line, int fd, int resample_fd, bool connect)
{
	if (!line->ops || !line->ops->irqfd || (line->trigger == IRQ_LEVEL && resample_fd < 0))
		return -EOPNOTSUPP;
	return line->ops->irqfd(line->ctx, line->n, fd, resample_fd, connect);
}

/* The line, level or edge, follows a device's condition; *level remembers the last one. Under the device's lock. */
static inline void irq_follow(const struct irq_line *line, bool *level, bool now)
{
	if (*level == now)
		return;
	*level = now;
	if (now)
		irq_sync(line);
	if (line->trigger == IRQ_LEVEL)
		irq_set(line, now);
	else if (now)
		irq_pulse(line);
}

#endif
