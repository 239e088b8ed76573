// SPDX-License-Identifier: MIT
/* The PLIC against a model that is as plain as the specification, with plain exits and with queued completions; then by hand; then under threads. */
#include "hw/plic.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/endian.h"
#include "base/sys.h"
#include "hv/scripted.h"
#include "tests/test.h"

#define BASE UINT64_C(0x08000000)
#define PENDING(source) (0x1000 + (source) / 32 * 4)
#define ENABLE(context, source) (0x2000 + (context) * 0x80 + (source) / 32 * 4)
#define THRESHOLD(context) (0x200000 + (context) * 0x1000)
#define CLAIM(context) (0x200004 + (context) * 0x1000)
#define S(hart) (2 * (hart) + 1)
#define M(hart) (2 * (hart))

/* --- a machine with nothing but vCPUs and a PLIC --- */

struct rig {
	struct hv *hv;
	struct loop *loop;
	struct coalescer *coalescer;
	struct hv_vcpu *vcpu[PLIC_MAX_VCPUS];
	unsigned int n;
	struct plic *plic;
};

static void rig_start(struct rig *r, unsigned int n, unsigned int sources, bool queued)
{
	static const struct scripted_cap caps[] = { { KVM_CAP_COALESCED_MMIO, 1 } };
	const struct scripted_config config = { .caps = caps, .n_caps = queued };
	struct plic_config plic = { .n_vcpus = n, .n_sources = sources, .base = BASE };
	struct err e = { 0 };

	*r = (struct rig){ .n = n };
	CHECK(hv_scripted_create(&config, &r->hv) >= 0);
	CHECK(loop_create(&r->loop, &e) >= 0);
	CHECK_EQ(coalescer_create(r->hv, r->loop, &r->coalescer), queued ? 0 : -EOPNOTSUPP);
	for (unsigned int i = 0; i < n; i++)
		CHECK(r->hv->ops->create_vcpu(r->hv, i, &r->vcpu[i]) >= 0);
	plic.vcpus = r->vcpu;
	plic.coalescer = r->coalescer;
	CHECK_EQ(plic_create(&plic, NULL, &r->plic, &e), 0);
}

static void rig_end(struct rig *r)
{
	plic_destroy(r->plic);
	coalescer_destroy(r->coalescer);
	for (unsigned int i = 0; i < r->n; i++)
		hv_vcpu_destroy(r->vcpu[i]);
	loop_destroy(r->loop);
	hv_destroy(r->hv);
}

static uint32_t peek(struct rig *r, uint64_t offset)
{
	uint8_t data[8] = { 0 };

	plic_bus_ops.read(r->plic, offset, data, 4);
	return get_le32(data);
}

/* As KVM does it: into the ring if there is a zone, else an exit. */
static void poke(struct rig *r, uint64_t offset, uint32_t value)
{
	uint8_t data[8] = { 0 };

	put_le32(data, value);
	if (!hv_scripted_guest_write(r->hv, BASE + offset, data, 4))
		plic_bus_ops.write(r->plic, offset, data, 4);
}

static bool eip(struct rig *r, unsigned int hart)
{
	return hv_scripted_interrupt(r->vcpu[hart], NULL, NULL);
}

static void line(struct rig *r, unsigned int source, bool level)
{
	struct irq_line l = { 0 };

	CHECK_EQ(plic_line(r->plic, source, &l), 0);
	irq_sync(&l);
	irq_set(&l, level);
}

static void pulse(struct rig *r, unsigned int source)
{
	struct irq_line l = { 0 };

	CHECK_EQ(plic_line(r->plic, source, &l), 0);
	irq_sync(&l);
	irq_pulse(&l);
}

static void enable(struct rig *r, unsigned int context, unsigned int source, bool on)
{
	uint32_t word = peek(r, ENABLE(context, source)), bit = UINT32_C(1) << source % 32;

	poke(r, ENABLE(context, source), on ? word | bit : word & ~bit);
}

static bool pending(struct rig *r, unsigned int source)
{
	return peek(r, PENDING(source)) >> source % 32 & 1;
}

/* --- the model --- */

#define MODEL_SOURCES 1023
#define MODEL_HARTS 3

/* What a wrong PLIC might do; each must be noticed, or the comparison is worth nothing. */
enum mistake {
	NO_MISTAKE,
	THRESHOLD_FORGOTTEN,
	THRESHOLD_IN_CLAIM,
	TIES_BY_HIGHEST,
	COMPLETION_UNCHECKED,
	NO_REARM,
	FALL_CLEARS_PENDING,
	EDGE_DROPPED,
	PRIORITY_0_FIRES,
	N_MISTAKES,
};

struct model {
	enum mistake mistake;
	struct {
		bool level, pending, waiting, edge;
		unsigned int priority;
	} source[MODEL_SOURCES + 1];
	struct {
		bool enable[MODEL_SOURCES + 1];
		unsigned int threshold;
	} context[2 * MODEL_HARTS];
};

static unsigned int model_best(const struct model *m, unsigned int context, unsigned int threshold)
{
	unsigned int best = 0, best_priority = threshold;

	for (unsigned int i = 1; i <= MODEL_SOURCES; i++) {
		unsigned int priority = m->source[i].priority;

		if (m->mistake == PRIORITY_0_FIRES)
			priority++;
		if (!m->source[i].pending || !m->context[context].enable[i])
			continue;
		if (priority > best_priority || (m->mistake == TIES_BY_HIGHEST && best && priority == best_priority)) {
			best = i;
			best_priority = priority;
		}
	}
	return best;
}

static bool model_eip(const struct model *m, unsigned int hart)
{
	return model_best(m, S(hart), m->mistake == THRESHOLD_FORGOTTEN ? 0 : m->context[S(hart)].threshold) != 0;
}

static void model_request(struct model *m, unsigned int source)
{
	m->source[source].waiting = true;
	m->source[source].pending = true;
}

static void model_line(struct model *m, unsigned int source, bool level)
{
	bool rose = level && !m->source[source].level;

	m->source[source].level = level;
	if (!level && m->mistake == FALL_CLEARS_PENDING)
		m->source[source].pending = false;
	if (rose && !m->source[source].waiting)
		model_request(m, source);
}

static void model_pulse(struct model *m, unsigned int source)
{
	if (!m->source[source].waiting)
		model_request(m, source);
	else if (!m->source[source].pending && m->mistake != EDGE_DROPPED)
		m->source[source].edge = true;
}

static unsigned int model_claim(struct model *m, unsigned int context)
{
	unsigned int source =
		model_best(m, context, m->mistake == THRESHOLD_IN_CLAIM ? m->context[context].threshold : 0);

	m->source[source].pending = false;
	return source;
}

static void model_complete(struct model *m, unsigned int context, unsigned int source)
{
	if (!source || source > MODEL_SOURCES)
		return;
	if (!m->context[context].enable[source] && m->mistake != COMPLETION_UNCHECKED)
		return;
	m->source[source].waiting = false;
	if (m->mistake == NO_REARM)
		return;
	if (m->source[source].level || m->source[source].edge)
		model_request(m, source);
	m->source[source].edge = false;
}

static void model_enable(struct model *m, unsigned int context, unsigned int word, uint32_t value)
{
	for (unsigned int i = 0; i < 32; i++)
		if (word * 32 + i)
			m->context[context].enable[word * 32 + i] = value >> i & 1;
}

static uint64_t rng_state;

static unsigned int rnd(unsigned int below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (unsigned int)(rng_state >> 33) % below;
}

static const unsigned int interesting[] = { 1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 511, 512, 991, 992, 1022, 1023 };

static unsigned int some_source(void)
{
	return rnd(8) ? interesting[rnd(ARRAY_SIZE(interesting))] : 1 + rnd(MODEL_SOURCES);
}

/* The first operation after which the PLIC and the model differ; 0: they never did. */
static unsigned int compare(uint64_t seed, unsigned int n_ops, enum mistake mistake, bool queued)
{
	struct model *m = calloc(1, sizeof(*m));
	unsigned int claimed[64], n_claimed = 0, differs = 0;
	struct rig r;

	rng_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	rig_start(&r, MODEL_HARTS, MODEL_SOURCES, queued);
	m->mistake = mistake;
	for (unsigned int op = 1; op <= n_ops && !differs; op++) {
		unsigned int context = rnd(2 * MODEL_HARTS), source = some_source(), value = rnd(8), got;

		switch (rnd(12)) {
		case 0:
		case 1:
			line(&r, source, value & 1);
			model_line(m, source, value & 1);
			break;
		case 2:
			pulse(&r, source);
			model_pulse(m, source);
			break;
		case 3:
			poke(&r, source * 4, value | rnd(4) << 3);
			m->source[source].priority = value;
			break;
		case 4:
		case 5: {
			uint32_t bits = rnd(2) ? UINT32_MAX : (uint32_t)rng_state;

			poke(&r, ENABLE(context, source), bits);
			model_enable(m, context, source / 32, bits);
			break;
		}
		case 6:
			value &= rnd(8);
			poke(&r, THRESHOLD(context), value);
			m->context[context].threshold = value;
			break;
		case 7:
		case 8:
		case 9:
			got = peek(&r, CLAIM(context));
			if (got != model_claim(m, context))
				differs = op;
			if (got && n_claimed < ARRAY_SIZE(claimed))
				claimed[n_claimed++] = context << 16 | got;
			break;
		default:
			if (n_claimed && rnd(2)) {
				unsigned int at = rnd(n_claimed);

				context = claimed[at] >> 16;
				source = claimed[at] & 0xffff;
				claimed[at] = claimed[--n_claimed];
			}
			if (!rnd(16))
				source = (uint32_t[]){ 0, 1024, 0x10001, UINT32_MAX }[rnd(4)];
			poke(&r, CLAIM(context), source);
			model_complete(m, context, source);
			break;
		}
		if (queued && rnd(4))
			continue; /* the ring is left to fill */
		for (unsigned int w = 0; w < 32; w++) {
			uint32_t expected = 0;

			for (unsigned int i = 0; i < 32; i++)
				expected |= (uint32_t)m->source[w * 32 + i].pending << i;
			if (peek(&r, 0x1000 + 4 * w) != expected)
				differs = op;
		}
		for (unsigned int hart = 0; hart < MODEL_HARTS; hart++) {
			unsigned int changes = 0, calls = 0;

			if (hv_scripted_interrupt(r.vcpu[hart], &changes, &calls) != model_eip(m, hart))
				differs = op;
			CHECK_EQ(changes, calls);
		}
	}
	rig_end(&r);
	free(m);
	return differs;
}

static void test_model(void)
{
	for (unsigned int queued = 0; queued < 2; queued++) {
		for (unsigned int seed = 1; seed <= 6; seed++)
			CHECK_EQ(compare(seed, 3000, NO_MISTAKE, queued), 0);
		for (enum mistake mistake = 1; mistake < N_MISTAKES; mistake++) {
			unsigned int noticed = 0;

			for (unsigned int seed = 1; seed <= 6 && !noticed; seed++)
				noticed = compare(seed, 3000, mistake, queued);
			if (!noticed)
				fprintf(stderr, "mistake %d is not noticed\n", mistake);
			CHECK(noticed);
		}
	}
}

/* --- by hand --- */

static void test_basics(void)
{
	struct plic_stats stats;
	struct irq_line l;
	struct rig r;

	rig_start(&r, 2, 100, false);
	CHECK_EQ(plic_line(r.plic, 0, &l), -EINVAL);
	CHECK_EQ(plic_line(r.plic, 101, &l), -EINVAL);
	CHECK_EQ(plic_line(r.plic, 100, &l), 0);

	/* Sources that do not exist have neither priority nor enable. */
	poke(&r, 0, 7);
	poke(&r, 101 * 4, 7);
	CHECK_EQ(peek(&r, 0), 0);
	CHECK_EQ(peek(&r, 101 * 4), 0);
	poke(&r, ENABLE(S(0), 0), UINT32_MAX);
	poke(&r, ENABLE(S(0), 96), UINT32_MAX);
	CHECK_EQ(peek(&r, ENABLE(S(0), 0)), 0xfffffffe);
	CHECK_EQ(peek(&r, ENABLE(S(0), 96)), 0x1f);
	/* WARL: three bits. */
	poke(&r, 5 * 4, UINT32_MAX);
	CHECK_EQ(peek(&r, 5 * 4), 7);
	poke(&r, THRESHOLD(S(0)), 0xfffffff9);
	CHECK_EQ(peek(&r, THRESHOLD(S(0))), 1);
	/* Pending is read-only. */
	poke(&r, PENDING(5), UINT32_MAX);
	CHECK_EQ(peek(&r, PENDING(5)), 0);
	CHECK(!eip(&r, 0));

	/* Priority 0 never interrupts and is never claimed, but it is pending. */
	line(&r, 7, true);
	CHECK(pending(&r, 7) && !eip(&r, 0));
	CHECK_EQ(peek(&r, CLAIM(S(0))), 0);
	/* Not above the threshold: pending, no notification, yet a claim returns it. */
	poke(&r, 7 * 4, 1);
	CHECK(!eip(&r, 0));
	poke(&r, 7 * 4, 2);
	CHECK(eip(&r, 0) && !eip(&r, 1));
	poke(&r, THRESHOLD(S(0)), 2);
	CHECK(!eip(&r, 0));
	CHECK_EQ(peek(&r, CLAIM(S(0))), 7);
	CHECK(!pending(&r, 7));
	poke(&r, THRESHOLD(S(0)), 0);
	/* In service: nothing more of it, whatever the line does. */
	line(&r, 7, false);
	line(&r, 7, true);
	CHECK(!pending(&r, 7) && !eip(&r, 0));
	/* The other hart does not enable it: its completion is ignored. */
	poke(&r, CLAIM(S(1)), 7);
	poke(&r, CLAIM(M(0)), 7);
	CHECK(!pending(&r, 7));
	poke(&r, CLAIM(S(0)), 7);
	CHECK(pending(&r, 7) && eip(&r, 0));
	/* A level that falls before the claim leaves the request. */
	line(&r, 7, false);
	CHECK(pending(&r, 7));
	CHECK_EQ(peek(&r, CLAIM(S(0))), 7);
	poke(&r, CLAIM(S(0)), 7);
	CHECK(!pending(&r, 7) && !eip(&r, 0));

	/* Edges: one in service is remembered, more merge. */
	pulse(&r, 7);
	pulse(&r, 7);
	CHECK_EQ(peek(&r, CLAIM(S(0))), 7);
	pulse(&r, 7);
	pulse(&r, 7);
	CHECK_EQ(peek(&r, CLAIM(S(0))), 0);
	poke(&r, CLAIM(S(0)), 7);
	CHECK_EQ(peek(&r, CLAIM(S(0))), 7);
	poke(&r, CLAIM(S(0)), 7);
	CHECK_EQ(peek(&r, CLAIM(S(0))), 0);

	/* Multicast: both harts are told, one claims, the other reads 0 and is not told any more. */
	enable(&r, S(1), 5, true);
	pulse(&r, 5);
	CHECK(eip(&r, 0) && eip(&r, 1));
	CHECK_EQ(peek(&r, CLAIM(S(1))), 5);
	CHECK(!eip(&r, 0) && !eip(&r, 1));
	CHECK_EQ(peek(&r, CLAIM(S(0))), 0);
	/* Completed by another context that enables it: the specification does not compare. */
	poke(&r, CLAIM(S(0)), 5);
	pulse(&r, 5);
	CHECK(eip(&r, 0));
	/* M contexts claim, too, and never notify. */
	CHECK_EQ(peek(&r, CLAIM(M(1))), 0);
	enable(&r, M(1), 5, true);
	CHECK_EQ(peek(&r, CLAIM(M(1))), 5);
	CHECK(!eip(&r, 0) && !eip(&r, 1));
	poke(&r, CLAIM(M(1)), 5);

	plic_stats(r.plic, &stats);
	CHECK_EQ(stats.claims, 6);
	rig_end(&r);
}

static void test_widths(void)
{
	static const uint64_t offsets[] = { 0,	      4,	0xffc,	  0x1000,   0x107c,   0x1080,	0x1ffc,	   0x2000,   0x2080,
					    0x2100,   0x1f1ffc, 0x1f2000, 0x1ffffc, 0x200000, 0x200004, 0x200008, 0x201000,
					    0x201004, 0x202004, 0x3fff004, 0x3fffffc };
	uint8_t data[8];
	struct rig r;

	rig_start(&r, 1, 1023, false);
	poke(&r, 4, 1);
	enable(&r, S(0), 1, true);
	line(&r, 1, true);
	for (unsigned int i = 0; i < ARRAY_SIZE(offsets); i++) {
		for (unsigned int shift = 0; shift < 4; shift++) {
			for (unsigned int len = 1; len <= 8; len++) {
				if (len == 4 && !shift)
					continue;
				memset(data, 0xff, sizeof(data));
				plic_bus_ops.write(r.plic, offsets[i] + shift, data, len);
				memset(data, 0, sizeof(data));
				plic_bus_ops.read(r.plic, offsets[i] + shift, data, len);
				CHECK_EQ(get_le64(data), 0);
			}
		}
	}
	/* Nothing has changed: the interrupt is there and is claimed once. */
	CHECK_EQ(peek(&r, 4), 1);
	CHECK_EQ(peek(&r, ENABLE(S(0), 1)), 2);
	CHECK_EQ(peek(&r, THRESHOLD(S(0))), 0);
	CHECK(eip(&r, 0));
	CHECK_EQ(peek(&r, CLAIM(3)), 0); /* hart 1 does not exist */
	CHECK_EQ(peek(&r, CLAIM(15871)), 0);
	CHECK_EQ(peek(&r, CLAIM(S(0))), 1);
	rig_end(&r);
}

/* Completions in the ring: who needs them applied gets them applied. */
static void test_queued(void)
{
	struct plic_stats stats;
	struct rig r;

	rig_start(&r, 2, 1023, true);
	for (unsigned int i = 1; i <= 2; i++)
		poke(&r, i * 4, 1);
	poke(&r, ENABLE(S(0), 0), 6);
	/* No zone before the first successful claim: start-up costs nothing. */
	CHECK_EQ(peek(&r, CLAIM(S(0))), 0);
	CHECK_EQ(hv_scripted_calls(r.hv), 2); /* the two vCPUs */
	line(&r, 1, true);
	CHECK_EQ(peek(&r, CLAIM(S(0))), 1);
	plic_stats(r.plic, &stats);
	CHECK_EQ(stats.completions, 0);
	poke(&r, CLAIM(S(0)), 1);
	plic_stats(r.plic, &stats);
	CHECK_EQ(stats.completions, 0); /* it waits */
	CHECK(!eip(&r, 0));
	/* The line is high still: the claim applies the completion first and gets the next interrupt. */
	CHECK_EQ(peek(&r, CLAIM(S(0))), 1);
	line(&r, 1, false);
	poke(&r, CLAIM(S(0)), 1);
	CHECK_EQ(peek(&r, CLAIM(S(0))), 0);
	/* A device that raises applies it. */
	line(&r, 1, true);
	CHECK_EQ(peek(&r, CLAIM(S(0))), 1);
	line(&r, 1, false);
	poke(&r, CLAIM(S(0)), 1);
	CHECK(!eip(&r, 0));
	line(&r, 1, true);
	CHECK(eip(&r, 0));
	/* An odd width at the register is queued by KVM and ignored here. */
	CHECK_EQ(peek(&r, CLAIM(S(0))), 1);
	CHECK(hv_scripted_guest_write(r.hv, BASE + CLAIM(S(0)), "\1", 1));
	CHECK_EQ(peek(&r, CLAIM(S(0))), 0);
	/* A full ring: writes leave the guest again, and in order. */
	for (unsigned int i = 0; i < 500; i++)
		poke(&r, CLAIM(S(0)), 2);
	poke(&r, CLAIM(S(0)), 1);
	CHECK_EQ(peek(&r, CLAIM(S(0))), 1);
	/* The enable is taken away behind a queued completion, which still counts: it came first. */
	line(&r, 1, false);
	poke(&r, CLAIM(S(0)), 1);
	poke(&r, ENABLE(S(0), 0), 0);
	poke(&r, ENABLE(S(0), 0), 6);
	line(&r, 1, true);
	CHECK_EQ(peek(&r, CLAIM(S(0))), 1);
	/* The exits of a request at queue depth 1: its claim, and the claim that reads 0. */
	line(&r, 1, false);
	poke(&r, CLAIM(S(0)), 1);
	CHECK_EQ(peek(&r, CLAIM(S(0))), 0);
	plic_stats(r.plic, &stats);
	uint64_t before = stats.exits;
	for (unsigned int i = 0; i < 100; i++) {
		line(&r, 1, true);
		CHECK_EQ(peek(&r, CLAIM(S(0))), 1);
		line(&r, 1, false);
		poke(&r, CLAIM(S(0)), 1);
		CHECK_EQ(peek(&r, CLAIM(S(0))), 0);
	}
	plic_stats(r.plic, &stats);
	CHECK_EQ(stats.exits - before, 200);
	rig_end(&r);
}

static void *run_loop(void *loop)
{
	loop_run(loop);
	return NULL;
}

/* A guest that leaves nothing but its completion, its line high: the watch applies it. */
static void test_watch(void)
{
	unsigned long thread;
	struct rig r;
	uint64_t start;

	rig_start(&r, 1, 10, true);
	CHECK(sys_thread_start(run_loop, r.loop, "loop", &thread) >= 0);
	poke(&r, 4, 1);
	enable(&r, S(0), 1, true);
	for (unsigned int i = 0; i < 20; i++) {
		line(&r, 1, true);
		CHECK_EQ(peek(&r, CLAIM(S(0))), 1);
		/* A handler slower than the watch's first looks. */
		usleep(i * 300);
		CHECK(!eip(&r, 0));
		poke(&r, CLAIM(S(0)), 1);
		start = sys_now_ns();
		while (!eip(&r, 0) && sys_now_ns() - start < UINT64_C(5000000000))
			sched_yield();
		CHECK(eip(&r, 0));
		CHECK_EQ(peek(&r, CLAIM(S(0))), 1);
		line(&r, 1, false);
		poke(&r, CLAIM(S(0)), 1);
	}
	loop_stop(r.loop);
	pthread_join((pthread_t)thread, NULL);
	rig_end(&r);
}

static void test_many_harts(void)
{
	struct rig r;

	rig_start(&r, PLIC_MAX_VCPUS, 1023, false);
	for (unsigned int source = 1; source <= 1023; source++)
		poke(&r, source * 4, 1 + source % 7);
	for (unsigned int hart = 0; hart < r.n; hart++)
		for (unsigned int w = 0; w < 32; w++)
			poke(&r, 0x2000 + S(hart) * 0x80 + w * 4, UINT32_MAX);
	for (unsigned int source = 1; source <= 1023; source++)
		line(&r, source, true);
	CHECK(eip(&r, 0) && eip(&r, 511) && eip(&r, 300));
	/* Each is claimed once: by priority, then by id. */
	unsigned int last = 0, n = 0, source;

	while ((source = peek(&r, CLAIM(S((n * 37) % r.n))))) {
		CHECK(!last || 1 + source % 7 < 1 + last % 7 || (source % 7 == last % 7 && source > last));
		last = source;
		n++;
	}
	CHECK_EQ(n, 1023);
	for (unsigned int hart = 0; hart < r.n; hart++)
		CHECK(!eip(&r, hart));
	rig_end(&r);
}

static void test_state(void)
{
	struct rig a, b;
	struct err e = { 0 };
	size_t len;
	uint8_t *buf, *again;

	rig_start(&a, 3, 1023, false);
	rig_start(&b, 3, 1023, false);
	rng_state = 7;
	for (unsigned int i = 0; i < 400; i++) {
		poke(&a, some_source() * 4, rnd(8));
		poke(&a, ENABLE(rnd(6), some_source()), (uint32_t)rng_state);
		line(&a, some_source(), rnd(2));
		peek(&a, CLAIM(rnd(6)));
	}
	poke(&a, THRESHOLD(S(2)), 3);
	len = plic_save(a.plic, NULL, 0);
	buf = malloc(len);
	again = malloc(len);
	CHECK_EQ(plic_save(a.plic, buf, len), len);
	CHECK_EQ(plic_load(b.plic, buf, len, &e), 0);
	CHECK_EQ(plic_save(b.plic, again, len), len);
	CHECK(!memcmp(buf, again, len));
	for (unsigned int hart = 0; hart < 3; hart++)
		CHECK_EQ(eip(&a, hart), eip(&b, hart));
	for (unsigned int i = 0; i < 30; i++)
		CHECK_EQ(peek(&a, CLAIM(S(i % 3))), peek(&b, CLAIM(S(i % 3))));
	/* What cannot be is refused, and changes nothing. */
	CHECK_EQ(plic_load(b.plic, buf, len - 1, &e), -EINVAL);
	e = (struct err){ 0 };
	((struct plic_state *)buf)->priority[5] = PLIC_MAX_PRIORITY + 1;
	CHECK_EQ(plic_load(b.plic, buf, len, &e), -EINVAL);
	((struct plic_state *)buf)->priority[5] = 0;
	((struct plic_state *)buf)->pending[0] |= 1;
	CHECK_EQ(plic_load(b.plic, buf, len, NULL), -EINVAL);
	free(buf);
	free(again);
	rig_end(&a);
	rig_end(&b);
}

/* A notification that the host refuses is given again at the next change. */
static void test_failing_host(void)
{
	const struct scripted_config config = { .fail_nth = 2, .fail_errno = EINTR };
	struct hv_vcpu *vcpu;
	struct plic_config plic = { .vcpus = &vcpu, .n_vcpus = 1, .n_sources = 10, .base = BASE };
	struct rig r = { 0 };

	CHECK(hv_scripted_create(&config, &r.hv) >= 0);
	CHECK(r.hv->ops->create_vcpu(r.hv, 0, &vcpu) >= 0);
	r.vcpu[0] = vcpu;
	CHECK_EQ(plic_create(&plic, NULL, &r.plic, NULL), 0);
	poke(&r, 4, 1);
	poke(&r, 8, 1);
	poke(&r, ENABLE(S(0), 0), 6);
	line(&r, 1, true);
	CHECK(!eip(&r, 0));
	line(&r, 2, true);
	CHECK(eip(&r, 0));
	plic_destroy(r.plic);

	struct err e = { 0 };

	plic.n_vcpus = 0;
	CHECK_EQ(plic_create(&plic, NULL, &r.plic, &e), -EINVAL);
	CHECK(e.text[0]);
	plic.n_vcpus = 1;
	plic.n_sources = 1024;
	CHECK_EQ(plic_create(&plic, NULL, &r.plic, NULL), -EINVAL);
	plic_destroy(NULL);
	hv_vcpu_destroy(vcpu);
	hv_destroy(r.hv);
}

/* --- under threads: no interrupt lost, none doubled --- */

#define STRESS_HARTS 2
#define STRESS_DEVICES 3
#define STRESS_EVENTS 4000

struct stress_device {
	struct rig *r;
	struct irq_line line;
	pthread_mutex_t lock;
	unsigned int made, seen; /* events */
	atomic_uint in_handler;
};

struct stress {
	struct rig r;
	struct stress_device device[STRESS_DEVICES];
	atomic_uint seen, doubled;
	atomic_bool stop;
};

struct stress_hart {
	struct stress *s;
	unsigned int hart;
};

static void *stress_device_run(void *arg)
{
	struct stress_device *d = arg;

	for (unsigned int i = 0; i < STRESS_EVENTS; i++) {
		pthread_mutex_lock(&d->lock);
		irq_sync(&d->line);
		d->made++;
		irq_set(&d->line, true);
		pthread_mutex_unlock(&d->lock);
		if (i % 3 == 0)
			sched_yield();
		if (i % 50 == 0)
			usleep(100);
	}
	return NULL;
}

static void *stress_hart_run(void *arg)
{
	struct stress_hart *h = arg;
	struct stress *s = h->s;

	while (!atomic_load(&s->stop)) {
		unsigned int source;

		if (!eip(&s->r, h->hart)) {
			sched_yield();
			continue;
		}
		/* As Linux does: claim until nothing is left. */
		while ((source = peek(&s->r, CLAIM(S(h->hart))))) {
			struct stress_device *d = &s->device[source - 1];

			if (atomic_fetch_add(&d->in_handler, 1))
				atomic_fetch_add(&s->doubled, 1);
			pthread_mutex_lock(&d->lock);
			irq_sync(&d->line);
			atomic_fetch_add(&s->seen, d->made - d->seen);
			d->seen = d->made;
			irq_set(&d->line, false);
			pthread_mutex_unlock(&d->lock);
			atomic_fetch_sub(&d->in_handler, 1);
			poke(&s->r, CLAIM(S(h->hart)), source);
		}
	}
	return NULL;
}

static void test_stress(bool queued)
{
	static struct stress s;
	pthread_t device[STRESS_DEVICES], hart[STRESS_HARTS];
	struct stress_hart h[STRESS_HARTS];
	unsigned long loop;
	uint64_t start;

	memset(&s, 0, sizeof(s));
	rig_start(&s.r, STRESS_HARTS, STRESS_DEVICES, queued);
	CHECK(sys_thread_start(run_loop, s.r.loop, "loop", &loop) >= 0);
	for (unsigned int i = 0; i < STRESS_HARTS; i++) {
		poke(&s.r, ENABLE(S(i), 0), UINT32_MAX);
		h[i] = (struct stress_hart){ &s, i };
		CHECK_EQ(pthread_create(&hart[i], NULL, stress_hart_run, &h[i]), 0);
	}
	for (unsigned int i = 0; i < STRESS_DEVICES; i++) {
		poke(&s.r, (i + 1) * 4, i + 1);
		s.device[i].r = &s.r;
		pthread_mutex_init(&s.device[i].lock, NULL);
		CHECK_EQ(plic_line(s.r.plic, i + 1, &s.device[i].line), 0);
		CHECK_EQ(pthread_create(&device[i], NULL, stress_device_run, &s.device[i]), 0);
	}
	for (unsigned int i = 0; i < STRESS_DEVICES; i++)
		pthread_join(device[i], NULL);
	start = sys_now_ns();
	while (atomic_load(&s.seen) < STRESS_DEVICES * STRESS_EVENTS && sys_now_ns() - start < UINT64_C(10000000000))
		usleep(100);
	CHECK_EQ(s.seen, STRESS_DEVICES * STRESS_EVENTS);
	CHECK_EQ(s.doubled, 0);
	atomic_store(&s.stop, true);
	for (unsigned int i = 0; i < STRESS_HARTS; i++)
		pthread_join(hart[i], NULL);
	loop_stop(s.r.loop);
	pthread_join((pthread_t)loop, NULL);
	rig_end(&s.r);
}

static void test_dt(void)
{
	struct rig r;
	struct dt dt;
	void *blob;
	size_t size;

	rig_start(&r, 3, 42, false);
	CHECK_EQ(dt_start(&dt), 0);
	dt_begin(&dt, "%s", "");
	plic_write_dt(r.plic, &dt);
	dt_end(&dt);
	CHECK_EQ(dt_finish(&dt, &blob, &size), 0);
	CHECK(memmem(blob, size, "interrupt-controller@8000000", 29) != NULL);
	CHECK(memmem(blob, size, "sifive,plic-1.0.0\0riscv,plic0", 30) != NULL);
	CHECK(memmem(blob, size, "\0\0\0\2\377\377\377\377\0\0\0\2\0\0\0\11", 16) != NULL);
	free(blob);
	rig_end(&r);
}

int main(void)
{
	test_basics();
	test_widths();
	test_queued();
	test_model();
	test_many_harts();
	test_state();
	test_failing_host();
	test_watch();
	test_stress(false);
	test_stress(true);
	test_dt();
	return test_result();
}
