// SPDX-License-Identifier: MIT
/*
 * Tables are immutable: a change makes a new one and publishes it. A reader announces the table it looks at, as a hazard pointer; tables that
 * nobody announces any more are freed at the next change.
 */
#include "bus.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct bus_entry {
	uint64_t base, size;
	const struct bus_ops *ops;
	void *dev;
	const char *name;
};

struct bus_table {
	struct bus_table *older; /* retired tables, newest first */
	uint64_t generation;
	unsigned int n;
	struct bus_entry entry[]; /* sorted by base, disjoint */
};

struct bus {
	_Atomic(struct bus_table *) table;
	pthread_mutex_t lock; /* everything below, and changes of table */
	struct bus_table *retired;
	struct bus_reader *readers;
};

static struct bus_table *table_new(unsigned int n)
{
	struct bus_table *t = malloc(sizeof(*t) + n * sizeof(t->entry[0]));

	if (t)
		*t = (struct bus_table){.n = n};
	return t;
}

int bus_create(struct bus **ret)
{
	struct bus *bus = calloc(1, sizeof(*bus));
	struct bus_table *t = table_new(0);

	if (!bus || !t) {
		free(bus);
		free(t);
		return -ENOMEM;
	}
	atomic_init(&bus->table, t);
	pthread_mutex_init(&bus->lock, NULL);
	*ret = bus;
	return 0;
}

void bus_destroy(struct bus *bus)
{
	if (!bus)
		return;
	for (struct bus_table *t = bus->retired, *older; t; t = older) {
		older = t->older;
		free(t);
	}
	free(atomic_load(&bus->table));
	pthread_mutex_destroy(&bus->lock);
	free(bus);
}

void bus_add_reader(struct bus *bus, struct bus_reader *reader)
{
	atomic_store(&reader->table, NULL);
	pthread_mutex_lock(&bus->lock);
	reader->next = bus->readers;
	bus->readers = reader;
	pthread_mutex_unlock(&bus->lock);
}

void bus_remove_reader(struct bus *bus, struct bus_reader *reader)
{
	pthread_mutex_lock(&bus->lock);
	for (struct bus_reader **p = &bus->readers; *p; p = &(*p)->next)
		if (*p == reader) {
			*p = reader->next;
			break;
		}
	pthread_mutex_unlock(&bus->lock);
}

/* Is a reader inside a table older than generation? Locked: a table that is announced stays allocated. */
static bool in_use(struct bus *bus, uint64_t generation)
{
	for (struct bus_reader *r = bus->readers; r; r = r->next) {
		const struct bus_table *t = atomic_load(&r->table);

		/*
		 * A reader can announce a retired, even a freed table for a moment before it sees that it is not current
		 * any more (bus_enter), so it is looked for by address and not followed.
		 */
		for (const struct bus_table *old = bus->retired; t && old; old = old->older)
			if (old == t && old->generation < generation)
				return true;
	}
	return false;
}

static void free_unused(struct bus *bus)
{
	struct bus_table **p = &bus->retired;

	while (*p) {
		struct bus_table *t = *p;
		bool used = false;

		for (struct bus_reader *r = bus->readers; r && !used; r = r->next)
			used = atomic_load(&r->table) == t;
		if (used) {
			p = &t->older;
		} else {
			*p = t->older;
			free(t);
		}
	}
}

/* Locked. Makes t current; pairs with the load after the announcement in bus_enter (both seq_cst). */
static void publish(struct bus *bus, struct bus_table *t)
{
	struct bus_table *old = atomic_load(&bus->table);

	t->generation = old->generation + 1;
	atomic_store(&bus->table, t);
	old->older = bus->retired;
	bus->retired = old;
	free_unused(bus);
}

int bus_add(struct bus *bus, const char *name, uint64_t base, uint64_t size,
	    const struct bus_ops *ops, void *dev, struct err *e)
{
	struct bus_table *old, *t;
	unsigned int at = 0;
	int code = 0;

	if (!size || base + (size - 1) < base)
		return err_set(e, -EINVAL, "%s at 0x%" PRIx64 ": an address range of 0x%" PRIx64
			       " bytes is empty or wraps", name, base, size);
	pthread_mutex_lock(&bus->lock);
	old = atomic_load(&bus->table);
	for (unsigned int i = 0; i < old->n; i++) {
		const struct bus_entry *o = &old->entry[i];

		if (base <= o->base + (o->size - 1) && o->base <= base + (size - 1)) {
			code = err_set(e, -EEXIST,
				       "%s at 0x%" PRIx64 " (0x%" PRIx64 " bytes) overlaps %s at 0x%"
				       PRIx64, name, base, size, o->name, o->base);
			goto out;
		}
		if (o->base < base)
			at = i + 1;
	}
	t = table_new(old->n + 1);
	if (!t) {
		code = err_set(e, -ENOMEM, "out of memory");
		goto out;
	}
	memcpy(t->entry, old->entry, at * sizeof(t->entry[0]));
	t->entry[at] = (struct bus_entry){base, size, ops, dev, name};
	memcpy(t->entry + at + 1, old->entry + at, (old->n - at) * sizeof(t->entry[0]));
	publish(bus, t);
out:
	pthread_mutex_unlock(&bus->lock);
	return code;
}

void bus_remove(struct bus *bus, uint64_t base)
{
	const struct timespec nap = {.tv_nsec = 20000};
	struct bus_table *old, *t;
	uint64_t generation;
	unsigned int at;
	bool busy;

	pthread_mutex_lock(&bus->lock);
	old = atomic_load(&bus->table);
	for (at = 0; at < old->n && old->entry[at].base != base; at++)
		;
	if (at == old->n) {
		pthread_mutex_unlock(&bus->lock);
		return;
	}
	t = table_new(old->n - 1);
	while (!t) {
		/* Removal cannot fail: wait for memory. */
		nanosleep(&nap, NULL);
		t = table_new(old->n - 1);
	}
	memcpy(t->entry, old->entry, at * sizeof(t->entry[0]));
	memcpy(t->entry + at, old->entry + at + 1, (old->n - at - 1) * sizeof(t->entry[0]));
	publish(bus, t);
	generation = t->generation;
	/* Unlocked between looks: a device that is still being called may change the bus itself. */
	for (unsigned int tries = 0; (busy = in_use(bus, generation)); tries++) {
		pthread_mutex_unlock(&bus->lock);
		if (tries < 64)
			sched_yield();
		else
			nanosleep(&nap, NULL);
		pthread_mutex_lock(&bus->lock);
	}
	free_unused(bus);
	pthread_mutex_unlock(&bus->lock);
}

/*
 * The table this reader may look at until bus_leave. A device that calls the bus again with its caller's reader stays in the outer call's
 * table: what has been removed since waits for the outer call.
 */
static const struct bus_table *bus_enter(struct bus *bus, struct bus_reader *reader,
					 bool *ret_nested)
{
	const struct bus_table *t = atomic_load_explicit(&reader->table, memory_order_relaxed);

	*ret_nested = t;
	if (t)
		return t;
	do {
		t = atomic_load(&bus->table);
		atomic_store(&reader->table, t);
		/* Still current after the announcement: its removal would see us. */
	} while (atomic_load(&bus->table) != t);
	return t;
}

static void bus_leave(struct bus_reader *reader, bool nested)
{
	if (!nested)
		atomic_store_explicit(&reader->table, NULL, memory_order_release);
}

static const struct bus_entry *lookup(const struct bus_table *t, uint64_t addr, unsigned int len)
{
	unsigned int low = 0, high = t->n;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;
		const struct bus_entry *en = &t->entry[mid];

		if (addr < en->base)
			high = mid;
		else if (addr - en->base >= en->size)
			low = mid + 1;
		else
			return len <= en->size - (addr - en->base) ? en : NULL;
	}
	return NULL;
}

bool bus_read(struct bus *bus, struct bus_reader *reader, uint64_t addr, void *data,
	      unsigned int len)
{
	const struct bus_entry *en;
	bool nested;

	memset(data, 0, len);
	en = lookup(bus_enter(bus, reader, &nested), addr, len);
	if (en)
		en->ops->read(en->dev, addr - en->base, data, len);
	bus_leave(reader, nested);
	return en;
}

bool bus_write(struct bus *bus, struct bus_reader *reader, uint64_t addr, const void *data,
	       unsigned int len)
{
	const struct bus_entry *en;
	bool nested;

	en = lookup(bus_enter(bus, reader, &nested), addr, len);
	if (en)
		en->ops->write(en->dev, addr - en->base, data, len);
	bus_leave(reader, nested);
	return en;
}

void bus_for_each(struct bus *bus,
		  void (*fn)(void *ctx, const char *name, uint64_t base, uint64_t size), void *ctx)
{
	const struct bus_table *t;

	pthread_mutex_lock(&bus->lock);
	t = atomic_load(&bus->table);
	for (unsigned int i = 0; i < t->n; i++)
		fn(ctx, t->entry[i].name, t->entry[i].base, t->entry[i].size);
	pthread_mutex_unlock(&bus->lock);
}
