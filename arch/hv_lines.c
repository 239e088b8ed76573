// SPDX-License-Identifier: MIT
#include "arch/hv_lines.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct line_state {
	pthread_mutex_t lock; /* a leaf: holds up nobody but the same line */
	bool level;
};

struct hv_lines {
	struct hv *hv;
	uint32_t first;
	unsigned int n;
	struct line_state line[];
};

int hv_lines_create(struct hv *hv, uint32_t first, unsigned int n, struct hv_lines **ret)
{
	struct hv_lines *l = calloc(1, sizeof(*l) + n * sizeof(l->line[0]));

	if (!l)
		return -ENOMEM;
	l->hv = hv;
	l->first = first;
	l->n = n;
	for (unsigned int i = 0; i < n; i++)
		pthread_mutex_init(&l->line[i].lock, NULL);
	*ret = l;
	return 0;
}

void hv_lines_destroy(struct hv_lines *l)
{
	if (!l)
		return;
	for (unsigned int i = 0; i < l->n; i++)
		pthread_mutex_destroy(&l->line[i].lock);
	free(l);
}

static void line_set(void *ctx, unsigned int n, bool level)
{
	struct hv_lines *l = ctx;
	struct line_state *line = &l->line[n];

	pthread_mutex_lock(&line->lock);
	if (line->level != level) {
		line->level = level;
		l->hv->ops->irq_line(l->hv, l->first + n, level);
	}
	pthread_mutex_unlock(&line->lock);
}

/* The lock keeps two pulses from merging into up, up, down, down: the second rise would be none, and its interrupt missing. */
static void line_pulse(void *ctx, unsigned int n)
{
	struct hv_lines *l = ctx;
	struct line_state *line = &l->line[n];

	pthread_mutex_lock(&line->lock);
	l->hv->ops->irq_line(l->hv, l->first + n, true);
	l->hv->ops->irq_line(l->hv, l->first + n, false);
	pthread_mutex_unlock(&line->lock);
}

static const struct irq_ops line_ops = { .set = line_set, .pulse = line_pulse };

int hv_lines_get(struct hv_lines *l, unsigned int i, enum irq_trigger trigger, struct irq_line *ret)
{
	if (i >= l->n)
		return -EINVAL;
	*ret = (struct irq_line){ .ops = &line_ops, .ctx = l, .n = i, .trigger = trigger };
	return 0;
}
