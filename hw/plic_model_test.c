// SPDX-License-Identifier: MIT
/* The PLIC against a model that is as plain as the specification, with plain exits and with queued completions. */
#include "hw/plic_rig_test.h"

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

int main(void)
{
	test_model();
	return test_result();
}
