// SPDX-License-Identifier: MIT
/*
 * The PLIC's behaviour: by hand, the edges of its specification; by chance, against a model that is as plain as the specification, with plain exits and
 * with queued completions.
 */
#ifdef PLIC_RIG
#include PLIC_RIG
#else
#include "hw/plic_rig_test.h"
#endif

static void test_basics(void)
{
	struct rig r;

	rig_start(&r, 2, 100, false);
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
				odd_access(&r, offsets[i] + shift, len, data);
				CHECK(!memcmp(data, (uint8_t[8]){ 0 }, sizeof(data)));
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

static void test_many_harts(void)
{
	struct rig r;

	rig_start(&r, RIG_MAX_HARTS, 1023, false);
	for (unsigned int source = 1; source <= 1023; source++)
		poke(&r, source * 4, 1 + source % 7);
	for (unsigned int hart = 0; hart < r.n; hart++)
		for (unsigned int w = 0; w < 32; w++)
			poke(&r, 0x2000 + S(hart) * 0x80 + w * 4, UINT32_MAX);
	for (unsigned int source = 1; source <= 1023; source++)
		line(&r, source, true);
	CHECK(eip(&r, 0) && eip(&r, r.n - 1) && eip(&r, r.n / 2));
	/* Each is claimed once: by priority, then by id. */
	unsigned int last = 0, n = 0, source;

	while (n <= 1023 && (source = peek(&r, CLAIM(S((n * 37) % r.n))))) {
		CHECK(!last || 1 + source % 7 < 1 + last % 7 || (source % 7 == last % 7 && source > last));
		last = source;
		n++;
	}
	CHECK_EQ(n, 1023);
	for (unsigned int hart = 0; hart < r.n; hart++)
		CHECK(!eip(&r, hart));
	rig_end(&r);
}

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

/* The first operation after which the PLIC and the model differ; 0: they never did. */
static unsigned int compare(uint64_t seed, unsigned int n_ops, enum mistake mistake, bool queued)
{
	struct model *m = calloc(1, sizeof(*m));
	unsigned int claimed[64], n_claimed = 0, differs = 0;
	uint32_t words[32];
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
		peek_pending(&r, words);
		for (unsigned int w = 0; w < 32; w++) {
			uint32_t expected = 0;

			for (unsigned int i = 0; i < 32; i++)
				expected |= (uint32_t)m->source[w * 32 + i].pending << i;
			if (words[w] != expected)
				differs = op;
		}
		for (unsigned int hart = 0; hart < MODEL_HARTS; hart++) {
			if (eip(&r, hart) != model_eip(m, hart))
				differs = op;
			CHECK(told_once(&r, hart));
		}
	}
	rig_end(&r);
	free(m);
	return differs;
}

static void test_model(void)
{
	for (unsigned int queued = 0; queued < RIG_WAYS; queued++) {
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

int main(void)
{
	test_basics();
	test_widths();
	test_many_harts();
	test_model();
	return test_result();
}
