// SPDX-License-Identifier: MIT
/*
 * A storm of interrupts: all disks and sources of entropy at once, on all CPUs, classic and adapter interrupts, each device with a subclass of its own, and handlers that let
 * further interrupts in: they nest. Every used buffer must be noticed through an interrupt, and every answer be right. Arguments: requests=N of each device.
 */
#include "vccw.h"

#define LOST_MS 5000
#define STUCK_MS 60000
#define MAX_LOADS 6

struct load {
	struct vccw v;
	const char *kind;
	unsigned int isc;
	uint32_t want, submitted, done, interrupts, errors;
	uint32_t busy, again;
	uint8_t summary;
	uint64_t bits;
	bool adapter;
};

static struct load loads[MAX_LOADS];
static unsigned int n_loads;
static uint32_t depth[MAX_HARTS], max_depth, strangers, taken[MAX_HARTS];
static struct irb irbs[MAX_HARTS];

/* One CPU at a time; who finds it busy leaves word. */
static void serve(struct load *l)
{
	__atomic_store_n(&l->again, 1, __ATOMIC_SEQ_CST);
	if (__atomic_exchange_n(&l->busy, 1, __ATOMIC_SEQ_CST))
		return;
	do {
		unsigned int n = 0;
		int slot;

		__atomic_store_n(&l->again, 0, __ATOMIC_SEQ_CST);
		while ((slot = vccw_pop(&l->v)) != -1) {
			if (slot < 0) {
				l->errors++;
				slot = 0;
			}
			__atomic_store_n(&l->done, l->done + 1, __ATOMIC_RELEASE);
			if (l->submitted < l->want) {
				l->submitted++;
				vccw_add(&l->v, (unsigned int)slot);
				n++;
			}
		}
		if (n)
			vccw_notify(&l->v, 0);
		__atomic_store_n(&l->busy, 0, __ATOMIC_SEQ_CST);
	} while (__atomic_load_n(&l->again, __ATOMIC_SEQ_CST) && !__atomic_exchange_n(&l->busy, 1, __ATOMIC_SEQ_CST));
}

static void on_storm(struct frame *f)
{
	unsigned int cpu = this_hart();
	struct load *l = NULL;
	uint32_t d = ++depth[cpu];

	taken[cpu]++;
	if (d > max_depth)
		max_depth = d;
	for (unsigned int i = 0; i < n_loads; i++) {
		struct load *k = &loads[i];

		if (f->io.word >> 31 ? k->adapter && (f->io.word >> 27 & 7) == k->isc : !k->adapter && k->v.sid == f->io.sid)
			l = k;
	}
	if (!l) {
		strangers++;
		depth[cpu]--;
		return;
	}
	l->interrupts++;
	if (l->adapter)
		__atomic_store_n(&l->summary, 0, __ATOMIC_SEQ_CST);
	else
		css_tsch(l->v.sid, &irbs[cpu]);
	/* Not too deep: the stack is not endless. Now and then it takes its time, so that others come. */
	if (d < 8)
		interrupts_on();
	if (d < 3 && l->interrupts % 8 == 0)
		delay_ms(1);
	serve(l);
	interrupts_off();
	depth[cpu]--;
}

static bool add_load(struct device *d, const char *kind)
{
	struct load *l = &loads[n_loads];
	struct vccw_adapter adapter;

	l->kind = kind;
	l->isc = 1 + n_loads;
	l->adapter = n_loads & 1;
	adapter = (struct vccw_adapter){ ABSOLUTE(&l->summary), ABSOLUTE(&l->bits), 0, (uint8_t)l->isc };
	if (!vccw_start(&l->v, d->sid, l->isc, l->adapter ? &adapter : NULL)) {
		fail("start", "%s at 0x%x does not start", kind, d->sid);
		return false;
	}
	n_loads++;
	return true;
}

static void open_io(void *ctx)
{
	(void)ctx;
	control_write(6, CR6_ALL_SUBCLASSES);
}

/* Until all is done; false when one gets no further. */
static bool watch(void)
{
	uint32_t last[MAX_LOADS] = { 0 };
	uint64_t since[MAX_LOADS] = { 0 }, unseen[MAX_LOADS] = { 0 };
	bool all;

	do {
		all = true;
		for (unsigned int i = 0; i < n_loads; i++) {
			struct load *l = &loads[i];
			uint32_t done = __atomic_load_n(&l->done, __ATOMIC_ACQUIRE);
			uint64_t t = now();

			all &= done >= l->want;
			if (done != last[i] || !since[i]) {
				last[i] = done;
				since[i] = t;
				unseen[i] = 0;
			}
			if (!vccw_used(&l->v) || __atomic_load_n(&l->busy, __ATOMIC_ACQUIRE))
				unseen[i] = 0;
			else if (!unseen[i])
				unseen[i] = t;
			if (unseen[i] && t - unseen[i] > ms(LOST_MS)) {
				fail("storm", "%s has a used buffer and no interrupt after %u of %u", l->kind, done, l->want);
				return false;
			}
			if (done < l->want && t - since[i] > ms(STUCK_MS)) {
				fail("storm", "%s gives no answer after %u of %u", l->kind, done, l->want);
				return false;
			}
		}
	} while (!all);
	return true;
}

void guest(void)
{
	uint32_t requests = (uint32_t)arg_number("requests", 300), errors = 0, sum = 0;
	bool ok;

	if (!css_find())
		return fail("devices", "there are none");
	for (unsigned int i = 0; i < n_devices && n_loads < MAX_LOADS; i++)
		if (devices[i].cu_type == CU_VIRTIO && (devices[i].cu_model == 4 || devices[i].cu_model == 2) &&
		    !add_load(&devices[i], devices[i].cu_model == 2 ? "disk" : "entropy"))
			return;
	if (!check(n_loads, "loads", "there is neither disk nor source of entropy"))
		return;
	interrupt_on(INTERRUPT_IO, on_storm);
	harts_start();
	for (unsigned int h = 1; h < machine.harts; h++)
		check(run_on(h, open_io, NULL), "cpu", "CPU %u does nothing", h);
	for (unsigned int i = 0; i < n_loads; i++) {
		struct load *l = &loads[i];

		l->want = requests;
		for (unsigned int s = 0; s < VCCW_SLOTS; s++) {
			l->submitted++;
			vccw_add(&l->v, s);
		}
		vccw_notify(&l->v, 0);
	}
	interrupts_on();
	ok = watch();
	interrupts_off();
	for (unsigned int i = 0; i < n_loads; i++) {
		struct load *l = &loads[i];

		print("%s at 0x%x, subclass %u, %s: %u requests, %u interrupts", l->kind, l->v.sid, l->isc, l->adapter ? "adapter" : "classic", l->done,
		      l->interrupts);
		errors += l->errors;
		sum += l->interrupts;
	}
	for (unsigned int h = 0; h < machine.harts; h++)
		print("CPU %u took %u", h, taken[h]);
	print("handlers were nested %u deep", max_depth);
	check(ok, "storm", "did not come to its end");
	check_equal("answers", errors, 0);
	check_equal("strangers", strangers, 0);
	check(sum, "interrupts", "there were none");
	check(n_loads == 1 || max_depth > 1, "re-entry", "no handler was interrupted");
}
