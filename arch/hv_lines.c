// SPDX-License-Identifier: MIT
#include "arch/hv_lines.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/sys.h"

struct line_state {
	pthread_mutex_t lock; /* a leaf: holds up nobody but the same line */
	bool level;
	bool tried_fd;
	int fd; /* pulses the line; -1: none */
};

struct hv_lines {
	struct hv *hv;
	struct hv_lines_config config;
	struct line_state line[];
};

int hv_lines_create(struct hv *hv, const struct hv_lines_config *config, struct hv_lines **ret)
{
	struct hv_lines *l = calloc(1, sizeof(*l) + config->n * sizeof(l->line[0]));

	if (!l)
		return -ENOMEM;
	l->hv = hv;
	l->config = *config;
	for (unsigned int i = 0; i < config->n; i++) {
		pthread_mutex_init(&l->line[i].lock, NULL);
		l->line[i].fd = -1;
	}
	*ret = l;
	return 0;
}

void hv_lines_destroy(struct hv_lines *l)
{
	if (!l)
		return;
	for (unsigned int i = 0; i < l->config.n; i++) {
		close_fd(&l->line[i].fd);
		pthread_mutex_destroy(&l->line[i].lock);
	}
	free(l);
}

static int line_irqfd(void *ctx, unsigned int n, int fd, int resample_fd, bool connect)
{
	struct hv_lines *l = ctx;

	if (!l->config.irqfd)
		return -EOPNOTSUPP;
	return l->hv->ops->irqfd(l->hv, l->config.gsi + n, fd, resample_fd, connect);
}

/* Memory has the level. Who asks for both at once has a lock of his own. */
static void set_shared(struct hv_lines *l, unsigned int n, bool level)
{
	uint64_t *word = &l->config.level[n / 64], bit = UINT64_C(1) << (n % 64);

	if (!level) {
		__atomic_fetch_and(word, ~bit, __ATOMIC_SEQ_CST);
		return;
	}
	if (__atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST) & bit)
		return;
	/* The level first: KVM takes `raised` back before it looks. */
	if (l->hv->ops->on_vcpu(l->hv))
		__atomic_store_n(l->config.raised, 1, __ATOMIC_SEQ_CST);
	else
		l->hv->ops->irq_line(l->hv, l->config.first + n, true);
}

static void line_set(void *ctx, unsigned int n, bool level)
{
	struct hv_lines *l = ctx;
	struct line_state *line = &l->line[n];

	if (l->config.level) {
		set_shared(l, n, level);
		return;
	}
	pthread_mutex_lock(&line->lock);
	if (line->level != level) {
		line->level = level;
		l->hv->ops->irq_line(l->hv, l->config.first + n, level);
	}
	pthread_mutex_unlock(&line->lock);
}

/* The line's lock is held. An eventfd of our own at the first pulse, where pulses go that way and the host has one to spare. */
static bool pulse_by_fd(struct hv_lines *l, unsigned int n)
{
	struct line_state *line = &l->line[n];

	if (!line->tried_fd) {
		line->tried_fd = true;
		line->fd = l->config.pulse_by_irqfd ? sys_eventfd() : -1;
		if (line->fd >= 0 && line_irqfd(l, n, line->fd, -1, true) < 0)
			close_fd(&line->fd);
	}
	if (line->fd >= 0)
		sys_eventfd_signal(line->fd);
	return line->fd >= 0;
}

/* The lock keeps two pulses from merging into up, up, down, down: the second rise would be none, and its interrupt missing. */
static void line_pulse(void *ctx, unsigned int n)
{
	struct hv_lines *l = ctx;
	struct line_state *line = &l->line[n];

	pthread_mutex_lock(&line->lock);
	if (pulse_by_fd(l, n)) {
		/* done */
	} else if (l->config.edge) {
		l->hv->ops->irq_line(l->hv, l->config.edge + n, true);
	} else {
		l->hv->ops->irq_line(l->hv, l->config.first + n, true);
		l->hv->ops->irq_line(l->hv, l->config.first + n, false);
	}
	pthread_mutex_unlock(&line->lock);
}

static const struct irq_ops line_ops = { .set = line_set, .pulse = line_pulse, .irqfd = line_irqfd };

int hv_lines_get(struct hv_lines *l, unsigned int i, enum irq_trigger trigger, struct irq_line *ret)
{
	if (i >= l->config.n)
		return -EINVAL;
	*ret = (struct irq_line){ .ops = &line_ops, .ctx = l, .n = i, .trigger = trigger };
	return 0;
}
