// SPDX-License-Identifier: MIT
#include "hw/plic.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/endian.h"

/* "Memory Map" */
#define PRIORITY_BASE 0x0
#define PENDING_BASE 0x1000
#define PENDING_END 0x1080
#define ENABLE_BASE 0x2000
#define ENABLE_END 0x1f2000
#define ENABLE_STRIDE 0x80
#define CONTEXT_BASE 0x200000
#define CONTEXT_STRIDE 0x1000
#define CONTEXT_THRESHOLD 0x0
#define CONTEXT_CLAIM 0x4

#define SOURCE_WORDS BITMAP_WORDS(PLIC_MAX_SOURCES + 1)
#define SHOWN_PAGE 4096 /* the smallest a memory slot can be; on hosts with larger pages it is refused */
#define HART_WORDS BITMAP_WORDS(PLIC_MAX_VCPUS)

#define IRQ_S_EXT 9
#define NOT_CONNECTED UINT32_C(0xffffffff)

enum zone_state { ZONE_NONE, ZONE_QUEUED, ZONE_REFUSED };

struct plic {
	struct plic_config config;
	struct bus *bus;
	struct hv_vcpu **vcpus;
	unsigned int n_contexts;
	size_t hart_words; /* words of a set of harts */

	pthread_mutex_t lock;
	struct plic_state s;
	struct plic_context_state *context; /* n_contexts */

	/* Derived from the state. */
	uint64_t valid[SOURCE_WORDS];				  /* sources that exist */
	uint64_t at_priority[PLIC_MAX_PRIORITY + 1][SOURCE_WORDS]; /* sources by priority */
	uint32_t pending_words;					  /* words of s.pending that are not 0 */
	uint64_t *listeners; /* [source][hart_words]: harts whose S context enables the source */
	uint64_t notified[HART_WORDS]; /* the level each vCPU was given last */
	struct plic_stats stats;

	/* What guests read in place of the enable registers; NULL until the first claim, or for good. Changed with them. */
	uint64_t *shown;
	bool shown_mapped;
	atomic_int shown_tried;

	/* Per hart: whether its completions are queued (enum zone_state). */
	_Atomic(unsigned int) zone[PLIC_MAX_VCPUS];
};

static uint64_t *source_listeners(struct plic *p, unsigned int source)
{
	return p->listeners + source * p->hart_words;
}

/* The pending, enabled source of the highest priority above `above`, the lowest id among equals; 0 when there is none. */
static unsigned int best_source(const struct plic *p, const struct plic_context_state *c, unsigned int above)
{
	uint64_t wanted[SOURCE_WORDS];
	uint32_t words = 0;

	for (uint32_t left = p->pending_words; left; left &= left - 1) {
		unsigned int w = (unsigned int)__builtin_ctz(left);

		wanted[w] = p->s.pending[w] & c->enable[w];
		if (wanted[w])
			words |= UINT32_C(1) << w;
	}
	if (!words)
		return 0;
	for (unsigned int prio = PLIC_MAX_PRIORITY; prio > above; prio--) {
		for (uint32_t left = words; left; left &= left - 1) {
			unsigned int w = (unsigned int)__builtin_ctz(left);
			uint64_t found = wanted[w] & p->at_priority[prio][w];

			if (found)
				return w * 64 + (unsigned int)__builtin_ctzll(found);
		}
	}
	return 0;
}

/* A failed call leaves `notified` as it was, so that the next change tries again. */
static void notify(struct plic *p, unsigned int hart, bool level)
{
	struct hv_vcpu *vcpu = p->vcpus[hart];

	if (bitmap_test(p->notified, hart) == level)
		return;
	if (vcpu->hv->ops->vcpu_interrupt(vcpu, level) < 0)
		return;
	bitmap_assign(p->notified, hart, level);
	p->stats.notifications++;
}

/* "Interrupt Notifications": EIP of the hart's S context. */
static void update_hart(struct plic *p, unsigned int hart)
{
	const struct plic_context_state *c = &p->context[2 * hart + 1];

	notify(p, hart, best_source(p, c, c->threshold) != 0);
}

static void update_listeners(struct plic *p, unsigned int source)
{
	const uint64_t *harts = source_listeners(p, source);

	for (size_t w = 0; w < p->hart_words; w++)
		for (uint64_t left = harts[w]; left; left &= left - 1)
			update_hart(p, (unsigned int)(w * 64) + (unsigned int)__builtin_ctzll(left));
}

static void set_pending(struct plic *p, unsigned int source)
{
	const uint64_t *harts = source_listeners(p, source);

	bitmap_set(p->s.pending, source);
	p->pending_words |= UINT32_C(1) << source / 64;
	for (size_t w = 0; w < p->hart_words; w++) {
		for (uint64_t left = harts[w]; left; left &= left - 1) {
			unsigned int hart = (unsigned int)(w * 64) + (unsigned int)__builtin_ctzll(left);

			if (p->s.priority[source] > p->context[2 * hart + 1].threshold)
				notify(p, hart, true);
		}
	}
}

static void clear_pending(struct plic *p, unsigned int source)
{
	bitmap_clear(p->s.pending, source);
	if (!p->s.pending[source / 64])
		p->pending_words &= ~(UINT32_C(1) << source / 64);
	update_listeners(p, source);
}

/* "Interrupt Gateways": one request to the core, then none until completion. */
static void gateway_request(struct plic *p, unsigned int source)
{
	bitmap_set(p->s.busy, source);
	set_pending(p, source);
}

/* --- enables without exits --- */

/* All registers are little-endian words, so a pair is a little-endian double word. Relaxed: the vCPU that wrote is not running, others have no order. */
static void show_enable(struct plic *p, unsigned int context, unsigned int w)
{
	if (p->shown)
		atomic_store_explicit((_Atomic(uint64_t) *)&p->shown[context * (ENABLE_STRIDE / 8) + w],
				      htole64(p->context[context].enable[w]), memory_order_relaxed);
}

static void show_all(struct plic *p)
{
	for (unsigned int context = 0; context < p->n_contexts; context++)
		for (unsigned int w = 0; w < SOURCE_WORDS; w++)
			show_enable(p, context, w);
}

static size_t shown_size(const struct plic *p)
{
	return round_up((size_t)p->n_contexts * ENABLE_STRIDE, SHOWN_PAGE);
}

static bool show_slot(struct plic *p, bool present)
{
	struct hv *hv = p->config.hv;

	return hv->ops->set_memory(hv, p->config.slot, present ? KVM_MEM_READONLY : 0, p->config.base + ENABLE_BASE,
				   present ? shown_size(p) : 0, present ? p->shown : NULL) >= 0;
}

/* At the first claim, no lock held. */
static void show_enables(struct plic *p)
{
	void *page;

	if (!p->config.hv || atomic_exchange(&p->shown_tried, 1) || hv_capability(p->config.hv, KVM_CAP_READONLY_MEM) <= 0)
		return;
	page = mmap(NULL, shown_size(p), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return;
	pthread_mutex_lock(&p->lock);
	p->shown = page;
	show_all(p);
	pthread_mutex_unlock(&p->lock);
	p->shown_mapped = show_slot(p, true);
	if (p->shown_mapped)
		return;
	pthread_mutex_lock(&p->lock);
	p->shown = NULL;
	pthread_mutex_unlock(&p->lock);
	munmap(page, shown_size(p));
}

/* --- queued completions --- */

static bool in_service(struct plic *p)
{
	for (size_t w = 0; w < SOURCE_WORDS; w++)
		if (p->s.busy[w] & ~p->s.pending[w])
			return true;
	return false;
}

/* The coalescer looks into its ring again and again while this is so: the end of a service may be all that a guest leaves there. */
static bool in_service_now(void *ctx)
{
	struct plic *p = ctx;
	bool yes;

	pthread_mutex_lock(&p->lock);
	yes = in_service(p);
	pthread_mutex_unlock(&p->lock);
	return yes;
}

static void completion_queued(void *ctx, uint64_t gpa, const void *data, unsigned int len);

static uint64_t zone_address(const struct plic *p, unsigned int hart)
{
	return p->config.base + CONTEXT_BASE + (uint64_t)(2 * hart + 1) * CONTEXT_STRIDE + CONTEXT_CLAIM;
}

/*
 * After a successful claim of a hart's S context, no lock held. At the first one its completions begin to be queued, if the host lets them. Two vCPUs may claim
 * for one hart at once: one of them adds the zone, the other's completion leaves the guest if it is early.
 */
static void watch_claim(struct plic *p, unsigned int hart)
{
	unsigned int zone = atomic_load_explicit(&p->zone[hart], memory_order_relaxed);

	if (!atomic_load_explicit(&p->shown_tried, memory_order_relaxed))
		show_enables(p);
	if (!p->config.coalescer)
		return;
	if (zone == ZONE_NONE && atomic_compare_exchange_strong(&p->zone[hart], &zone, ZONE_REFUSED)) {
		if (coalescer_add(p->config.coalescer, zone_address(p, hart), 4, completion_queued, p) >= 0)
			zone = ZONE_QUEUED;
		atomic_store(&p->zone[hart], zone == ZONE_QUEUED ? ZONE_QUEUED : ZONE_REFUSED);
	}
	if (zone == ZONE_QUEUED)
		coalescer_watch(p->config.coalescer);
}

/* --- claim and completion --- */

/* "Interrupt Claim Process": not affected by the threshold. */
static unsigned int claim(struct plic *p, unsigned int context)
{
	unsigned int source = best_source(p, &p->context[context], 0);

	if (source) {
		clear_pending(p, source);
		p->stats.claims++;
	} else {
		p->stats.empty_claims++;
	}
	return source;
}

/* "Interrupt Completion": ignored for a source that this context does not enable; not compared with what was claimed. */
static void complete(struct plic *p, unsigned int context, uint32_t source)
{
	if (source > PLIC_MAX_SOURCES || !bitmap_test(p->context[context].enable, source))
		return;
	p->stats.completions++;
	bitmap_clear(p->s.busy, source);
	if (bitmap_test(p->s.level, source) || bitmap_test(p->s.edge, source)) {
		bitmap_clear(p->s.edge, source);
		gateway_request(p, source);
	}
}

/* Under the coalescer's lock. Zones are exactly the claim/complete registers of S contexts. */
static void completion_queued(void *ctx, uint64_t gpa, const void *data, unsigned int len)
{
	struct plic *p = ctx;
	uint64_t offset = gpa - p->config.base - CONTEXT_BASE;

	if (len != 4 || offset % CONTEXT_STRIDE != CONTEXT_CLAIM || offset / CONTEXT_STRIDE >= p->n_contexts)
		return;
	pthread_mutex_lock(&p->lock);
	complete(p, (unsigned int)(offset / CONTEXT_STRIDE), get_le32(data));
	pthread_mutex_unlock(&p->lock);
}

/* --- registers --- */

static void write_priority(struct plic *p, unsigned int source, uint32_t value)
{
	unsigned int prio = value & PLIC_MAX_PRIORITY; /* WARL */

	if (!source || source > p->config.n_sources || prio == p->s.priority[source])
		return;
	bitmap_clear(p->at_priority[p->s.priority[source]], source);
	bitmap_set(p->at_priority[prio], source);
	p->s.priority[source] = (uint8_t)prio;
	if (bitmap_test(p->s.pending, source))
		update_listeners(p, source);
}

static void write_enable(struct plic *p, unsigned int context, unsigned int word32, uint32_t value)
{
	unsigned int w = word32 / 2, shift = 32 * (word32 % 2);
	uint64_t *enable = &p->context[context].enable[w];
	uint64_t old = *enable, changed;

	*enable = ((old & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)value << shift) & p->valid[w];
	changed = old ^ *enable;
	show_enable(p, context, w);
	if (!changed || context % 2 == 0)
		return;
	for (uint64_t left = changed; left; left &= left - 1) {
		unsigned int source = w * 64 + (unsigned int)__builtin_ctzll(left);

		bitmap_assign(source_listeners(p, source), context / 2, bitmap_test(p->context[context].enable, source));
	}
	if (changed & p->s.pending[w])
		update_hart(p, context / 2);
}

static void write_threshold(struct plic *p, unsigned int context, uint32_t value)
{
	p->context[context].threshold = value & PLIC_MAX_PRIORITY; /* WARL */
	if (context % 2)
		update_hart(p, context / 2);
}

static uint32_t word32_of(const uint64_t *map, unsigned int word32)
{
	return (uint32_t)(map[word32 / 2] >> 32 * (word32 % 2));
}

/* "Memory Map": registers are 32 bits wide; other accesses, and what does not exist, read 0 and swallow writes. */
static void plic_read(void *dev, uint64_t offset, void *data, unsigned int len)
{
	struct plic *p = dev;
	uint32_t value = 0;
	uint64_t context;

	/* A claim must come after this vCPU's own queued completions, and a picture after everybody's. */
	coalescer_drain(p->config.coalescer);
	pthread_mutex_lock(&p->lock);
	p->stats.exits++;
	if (len != 4 || offset % 4) {
		pthread_mutex_unlock(&p->lock);
		return;
	}
	if (offset < PENDING_BASE) {
		value = p->s.priority[offset / 4];
	} else if (offset < PENDING_END) {
		value = word32_of(p->s.pending, (unsigned int)(offset - PENDING_BASE) / 4);
	} else if (offset >= ENABLE_BASE && offset < ENABLE_END) {
		context = (offset - ENABLE_BASE) / ENABLE_STRIDE;
		if (context < p->n_contexts)
			value = word32_of(p->context[context].enable, (unsigned int)(offset % ENABLE_STRIDE) / 4);
	} else if (offset >= CONTEXT_BASE && offset < PLIC_SIZE) {
		context = (offset - CONTEXT_BASE) / CONTEXT_STRIDE;
		if (context < p->n_contexts && offset % CONTEXT_STRIDE == CONTEXT_THRESHOLD) {
			value = p->context[context].threshold;
		} else if (context < p->n_contexts && offset % CONTEXT_STRIDE == CONTEXT_CLAIM) {
			value = claim(p, (unsigned int)context);
			pthread_mutex_unlock(&p->lock);
			if (value && context % 2)
				watch_claim(p, (unsigned int)context / 2);
			put_le32(data, value);
			return;
		}
	}
	pthread_mutex_unlock(&p->lock);
	put_le32(data, value);
}

static void plic_write(void *dev, uint64_t offset, const void *data, unsigned int len)
{
	struct plic *p = dev;
	uint64_t context;
	uint32_t value;

	/* This write may have left the guest because the ring was full: what is queued came first. */
	coalescer_drain(p->config.coalescer);
	pthread_mutex_lock(&p->lock);
	p->stats.exits++;
	if (len == 4 && offset % 4 == 0) {
		value = get_le32(data);
		if (offset < PENDING_BASE) {
			write_priority(p, (unsigned int)offset / 4, value);
		} else if (offset >= ENABLE_BASE && offset < ENABLE_END) {
			context = (offset - ENABLE_BASE) / ENABLE_STRIDE;
			if (context < p->n_contexts)
				write_enable(p, (unsigned int)context, (unsigned int)(offset % ENABLE_STRIDE) / 4, value);
		} else if (offset >= CONTEXT_BASE && offset < PLIC_SIZE) {
			context = (offset - CONTEXT_BASE) / CONTEXT_STRIDE;
			if (context < p->n_contexts && offset % CONTEXT_STRIDE == CONTEXT_THRESHOLD)
				write_threshold(p, (unsigned int)context, value);
			else if (context < p->n_contexts && offset % CONTEXT_STRIDE == CONTEXT_CLAIM)
				complete(p, (unsigned int)context, value);
		}
	}
	pthread_mutex_unlock(&p->lock);
}

const struct bus_ops plic_bus_ops = {
	.read = plic_read,
	.write = plic_write,
};

/* --- lines --- */

static void line_set(void *ctx, unsigned int n, bool level)
{
	struct plic *p = ctx;

	pthread_mutex_lock(&p->lock);
	if (bitmap_test(p->s.level, n) != level) {
		bitmap_assign(p->s.level, n, level);
		if (level && !bitmap_test(p->s.busy, n))
			gateway_request(p, n);
	}
	pthread_mutex_unlock(&p->lock);
}

static void line_pulse(void *ctx, unsigned int n)
{
	struct plic *p = ctx;

	pthread_mutex_lock(&p->lock);
	if (!bitmap_test(p->s.busy, n))
		gateway_request(p, n);
	else if (!bitmap_test(p->s.pending, n))
		bitmap_set(p->s.edge, n);
	pthread_mutex_unlock(&p->lock);
}

static void line_sync(void *ctx)
{
	struct plic *p = ctx;

	coalescer_drain(p->config.coalescer);
}

static const struct irq_ops line_ops = {
	.set = line_set,
	.pulse = line_pulse,
	.sync = line_sync,
};

int plic_line(struct plic *p, unsigned int source, struct irq_line *ret)
{
	if (!source || source > p->config.n_sources)
		return -EINVAL;
	*ret = (struct irq_line){ .ops = &line_ops, .ctx = p, .n = source, .trigger = IRQ_LEVEL };
	return 0;
}

/* --- making, describing, saving --- */

int plic_create(const struct plic_config *config, struct bus *bus, struct plic **ret, struct err *e)
{
	struct plic *p;
	int r;

	if (!config->n_vcpus || config->n_vcpus > PLIC_MAX_VCPUS)
		return err_set(e, -EINVAL, "The PLIC serves 1 to %u vCPUs, not %u", PLIC_MAX_VCPUS, config->n_vcpus);
	if (!config->n_sources || config->n_sources > PLIC_MAX_SOURCES)
		return err_set(e, -EINVAL, "The PLIC has 1 to %u sources, not %u", PLIC_MAX_SOURCES, config->n_sources);
	p = calloc(1, sizeof(*p));
	if (!p)
		goto oom;
	pthread_mutex_init(&p->lock, NULL);
	p->config = *config;
	p->config.vcpus = NULL;
	p->n_contexts = 2 * config->n_vcpus;
	p->hart_words = BITMAP_WORDS(config->n_vcpus);
	p->vcpus = calloc(config->n_vcpus, sizeof(struct hv_vcpu *));
	p->context = calloc(p->n_contexts, sizeof(*p->context));
	p->listeners = calloc((PLIC_MAX_SOURCES + 1) * p->hart_words, sizeof(*p->listeners));
	if (!p->vcpus || !p->context || !p->listeners)
		goto oom;
	memcpy(p->vcpus, config->vcpus, config->n_vcpus * sizeof(struct hv_vcpu *));
	p->s.version = PLIC_STATE_VERSION;
	p->s.n_sources = config->n_sources;
	p->s.n_contexts = p->n_contexts;
	for (unsigned int source = 1; source <= config->n_sources; source++)
		bitmap_set(p->valid, source);
	memcpy(p->at_priority[0], p->valid, sizeof(p->valid));
	if (bus) {
		r = bus_add(bus, "plic", config->base, PLIC_SIZE, &plic_bus_ops, p, e);
		if (r < 0) {
			plic_destroy(p);
			return r;
		}
		p->bus = bus;
	}
	coalescer_set_busy(config->coalescer, in_service_now, p);
	*ret = p;
	return 0;
oom:
	plic_destroy(p);
	return err_set(e, -ENOMEM, "Not enough memory for the PLIC");
}

void plic_destroy(struct plic *p)
{
	if (!p)
		return;
	if (p->bus)
		bus_remove(p->bus, p->config.base);
	coalescer_set_busy(p->config.coalescer, NULL, NULL);
	for (unsigned int hart = 0; hart < p->config.n_vcpus; hart++)
		if (p->zone[hart] == ZONE_QUEUED)
			coalescer_remove(p->config.coalescer, zone_address(p, hart));
	if (p->shown_mapped)
		show_slot(p, false);
	if (p->shown)
		munmap(p->shown, shown_size(p));
	pthread_mutex_destroy(&p->lock);
	free(p->listeners);
	free(p->context);
	free(p->vcpus);
	free(p);
}

unsigned int plic_dt_cells(const struct irq_line *line, uint32_t cells[4])
{
	cells[0] = line->n;
	return 1;
}

void plic_write_node(const struct plic_config *config, struct dt *dt)
{
	static const char *const compatible[] = { "sifive,plic-1.0.0", "riscv,plic0" };
	uint32_t contexts[4 * PLIC_MAX_VCPUS];

	for (uint32_t hart = 0; hart < config->n_vcpus; hart++) {
		contexts[4 * hart] = config->intc_phandle + hart;
		contexts[4 * hart + 1] = NOT_CONNECTED;
		contexts[4 * hart + 2] = config->intc_phandle + hart;
		contexts[4 * hart + 3] = IRQ_S_EXT;
	}
	dt_begin(dt, "interrupt-controller@%llx", (unsigned long long)config->base);
	dt_prop_strings(dt, "compatible", compatible, ARRAY_SIZE(compatible));
	dt_prop_reg(dt, config->base, PLIC_SIZE);
	dt_prop_empty(dt, "interrupt-controller");
	dt_prop_u32(dt, "#interrupt-cells", 1);
	dt_prop_u32(dt, "#address-cells", 0);
	dt_prop_cells(dt, "interrupts-extended", contexts, 4 * config->n_vcpus);
	dt_prop_u32(dt, "riscv,ndev", config->n_sources);
	dt_prop_u32(dt, "phandle", config->phandle);
	dt_end(dt);
}

void plic_write_dt(const struct plic *p, struct dt *dt)
{
	plic_write_node(&p->config, dt);
}

void plic_stats(struct plic *p, struct plic_stats *ret)
{
	pthread_mutex_lock(&p->lock);
	*ret = p->stats;
	pthread_mutex_unlock(&p->lock);
}

size_t plic_save(struct plic *p, void *buf, size_t len)
{
	size_t contexts = p->n_contexts * sizeof(*p->context);

	if (len < sizeof(p->s) + contexts)
		return sizeof(p->s) + contexts;
	coalescer_drain(p->config.coalescer);
	pthread_mutex_lock(&p->lock);
	memcpy(buf, &p->s, sizeof(p->s));
	memcpy((char *)buf + sizeof(p->s), p->context, contexts);
	pthread_mutex_unlock(&p->lock);
	return sizeof(p->s) + contexts;
}

static bool within(const uint64_t *map, const uint64_t *valid)
{
	for (size_t w = 0; w < SOURCE_WORDS; w++)
		if (map[w] & ~valid[w])
			return false;
	return true;
}

/* An edge is remembered between the claim and the completion, and only then. */
static bool edges_fit(const struct plic_state *s)
{
	for (size_t w = 0; w < SOURCE_WORDS; w++)
		if (s->edge[w] & ~(s->busy[w] & ~s->pending[w]))
			return false;
	return true;
}

static bool state_fits(const struct plic *p, const struct plic_state *s)
{
	if (s->version != PLIC_STATE_VERSION || s->n_sources != p->config.n_sources || s->n_contexts != p->n_contexts)
		return false;
	for (unsigned int source = 0; source <= PLIC_MAX_SOURCES; source++)
		if (s->priority[source] > PLIC_MAX_PRIORITY || (s->priority[source] && !bitmap_test(p->valid, source)))
			return false;
	return within(s->pending, p->valid) && within(s->busy, p->valid) && within(s->level, p->valid) && edges_fit(s);
}

/* Everything that follows from s and context; the vCPUs are told. */
static void derive(struct plic *p)
{
	show_all(p);
	p->pending_words = 0;
	memset(p->at_priority, 0, sizeof(p->at_priority));
	memset(p->listeners, 0, (PLIC_MAX_SOURCES + 1) * p->hart_words * sizeof(*p->listeners));
	for (unsigned int source = 1; source <= p->config.n_sources; source++) {
		bitmap_set(p->at_priority[p->s.priority[source]], source);
		for (unsigned int hart = 0; hart < p->config.n_vcpus; hart++)
			if (bitmap_test(p->context[2 * hart + 1].enable, source))
				bitmap_set(source_listeners(p, source), hart);
	}
	for (unsigned int w = 0; w < SOURCE_WORDS; w++)
		if (p->s.pending[w])
			p->pending_words |= UINT32_C(1) << w;
	for (unsigned int hart = 0; hart < p->config.n_vcpus; hart++)
		update_hart(p, hart);
}

void plic_reset(struct plic *p)
{
	coalescer_drain(p->config.coalescer);
	pthread_mutex_lock(&p->lock);
	memset(p->context, 0, p->n_contexts * sizeof(*p->context));
	memset(p->s.priority, 0, sizeof(p->s.priority));
	memset(p->s.edge, 0, sizeof(p->s.edge));
	memcpy(p->s.busy, p->s.level, sizeof(p->s.busy));
	memcpy(p->s.pending, p->s.level, sizeof(p->s.pending));
	derive(p);
	pthread_mutex_unlock(&p->lock);
}

int plic_load(struct plic *p, const void *buf, size_t len, struct err *e)
{
	size_t contexts = p->n_contexts * sizeof(*p->context);
	CLEANUP_FREE struct plic_context_state *context = malloc(contexts);
	struct plic_state s;

	if (!context)
		return err_set(e, -ENOMEM, "Not enough memory for the PLIC's state");
	if (len != sizeof(s) + contexts)
		return err_set(e, -EINVAL, "The PLIC's state has %zu bytes, expected %zu", len, sizeof(s) + contexts);
	memcpy(&s, buf, sizeof(s));
	memcpy(context, (const char *)buf + sizeof(s), contexts);
	if (!state_fits(p, &s))
		return err_set(e, -EINVAL, "The PLIC's state is not that of a PLIC with %u sources and %u contexts",
			       p->config.n_sources, p->n_contexts);
	for (unsigned int i = 0; i < p->n_contexts; i++)
		if (context[i].threshold > PLIC_MAX_PRIORITY || !within(context[i].enable, p->valid))
			return err_set(e, -EINVAL, "The PLIC's state of context %u is not valid", i);
	coalescer_drain(p->config.coalescer);
	pthread_mutex_lock(&p->lock);
	p->s = s;
	memcpy(p->context, context, contexts);
	derive(p);
	pthread_mutex_unlock(&p->lock);
	return 0;
}
