// SPDX-License-Identifier: MIT
/*
 * The PLIC, hammered by all harts with all sources. First in turns, each step against a model of the specification: random priorities, thresholds, enables,
 * claims, completions, levels and edges, and what every hart's interrupt shows. Then all at once, with interrupts on: none is lost, none comes twice.
 * Sources are serial ports (levels) and disks (levels, or with the argument "edge" edges: what the machine makes of them the tree does not tell).
 * Arguments: steps=N of each hart, seed=N, edge.
 */
#include "guest.h"

#define MAX_DISKS 44
#define MAX_LINES (3 + MAX_DISKS)
#define SOURCES 128
#define CONTEXTS (2 * MAX_HARTS)
#define BURST 16      /* steps of one turn: more harts than host CPUs hand the lock over slowly */
#define GRACE_MS 5000 /* for an interrupt to show */
#define ENABLE_AT(context) (machine.plic + 0x2000 + 0x80UL * (context))
#define THRESHOLD_AT(context) (machine.plic + 0x200000 + 0x1000UL * (context))

struct line {
	uint32_t irq;
	const struct place *uart; /* or */
	struct vdev *disk;
	uint8_t head[16], data[512], status;
	volatile uint32_t busy, handled; /* all at once: raised and not yet seen */
};

static struct vdev vdev[MAX_DISKS];
static struct line line[MAX_LINES];
static unsigned int n_lines;
static bool edge;
static uint32_t steps, failures;
static uint64_t seed;
static volatile uint32_t lock;

/* The model. */
static struct {
	uint8_t priority[SOURCES], threshold[CONTEXTS];
	bool pending[SOURCES], busy[SOURCES], level[SOURCES], edge[SOURCES], enable[CONTEXTS][SOURCES];
} model;

static uint32_t random_below(uint64_t *state, uint32_t n)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 16) % n;
}

static bool wrong(const char *what, uint32_t n, uint32_t is, uint32_t should)
{
	if (!failures++)
		fail("model", "hart %u: %s %u is 0x%x, should be 0x%x (seed %lu)", this_hart(), what, n, is, should, seed);
	return false;
}

/* --- the model's rules --- */

static uint32_t model_best(unsigned int context, unsigned int above)
{
	uint32_t best = 0;

	for (uint32_t s = 1; s <= machine.n_sources; s++)
		if (model.pending[s] && model.enable[context][s] && model.priority[s] > above && (!best || model.priority[s] > model.priority[best]))
			best = s;
	return best;
}

static void model_request(uint32_t s)
{
	model.busy[s] = model.pending[s] = true;
}

static void model_level(uint32_t s, bool level)
{
	model.level[s] = level;
	if (level && !model.busy[s])
		model_request(s);
}

static void model_edge(uint32_t s)
{
	if (!model.busy[s])
		model_request(s);
	else if (!model.pending[s])
		model.edge[s] = true;
}

static void model_complete(unsigned int context, uint32_t s)
{
	if (s >= SOURCES || !model.enable[context][s])
		return;
	model.busy[s] = false;
	if (!model.level[s] && !model.edge[s])
		return;
	model.edge[s] = false;
	model_request(s);
}

/* --- lines --- */

/* Waits for the device to have done all it does, its interrupt included: the register takes the device's lock and leaves the guest. */
static void settle(struct line *l)
{
	write32(l->disk->at->base + V_QUEUE_SEL, 0);
}

static void read_sector(struct line *l)
{
	struct vseg seg[3] = { { l->head, sizeof(l->head), false }, { l->data, sizeof(l->data), true }, { &l->status, 1, true } };

	virtio_add(l->disk, 0, seg, 3);
	virtio_kick(l->disk);
}

static bool is_used(void *ctx)
{
	struct line *l = ctx;

	return virtio_used(l->disk) != l->disk->seen;
}

static bool raise(struct line *l)
{
	if (l->uart) {
		uart_raise(l->uart);
		model_level(l->irq, true);
		return true;
	}
	read_sector(l);
	if (!wait_ms(GRACE_MS, is_used, l))
		return wrong("request of source", l->irq, 0, 1);
	virtio_pop(l->disk, NULL);
	settle(l);
	if (edge)
		model_edge(l->irq);
	else
		model_level(l->irq, true);
	return true;
}

static void lower(struct line *l)
{
	if (l->uart) {
		uart_lower(l->uart);
	} else {
		write32(l->disk->at->base + V_ACK, 1);
		settle(l);
	}
	model_level(l->irq, false);
}

/* --- in turns --- */

static bool eip_is(void *ctx)
{
	return eip() == *(bool *)ctx;
}

static bool check_eip(void)
{
	unsigned int context = PLIC_CONTEXT(this_hart());
	bool should = model_best(context, model.threshold[context]) != 0;

	return wait_ms(GRACE_MS, eip_is, &should) || wrong("interrupt of hart", this_hart(), !should, should);
}

static bool check_pending(uint32_t word)
{
	uint32_t is = read32(PLIC_PENDING_AT + 4 * word), should = 0;

	for (uint32_t i = 0; i < 32; i++)
		should |= (uint32_t)model.pending[32 * word + i] << i;
	return is == should || wrong("pending word", word, is, should);
}

static bool claim(unsigned int context)
{
	uint32_t is = read32(THRESHOLD_AT(context) + 4), should = model_best(context, 0);

	model.pending[should] = false;
	return is == should || wrong("claim of context", context, is, should);
}

/* Any source that is not pending: one in service, one at rest, one that does not exist. */
static void complete(uint64_t *state, unsigned int context)
{
	uint32_t s = line[random_below(state, n_lines)].irq;

	if (!random_below(state, 16))
		s = 1000 + random_below(state, 1000);
	if (s < SOURCES && model.pending[s])
		return;
	write32(THRESHOLD_AT(context) + 4, s);
	model_complete(context, s);
}

static bool change_enable(uint64_t *state, unsigned int context)
{
	uint32_t word = random_below(state, (machine.n_sources + 32) / 32), v = 0, is;

	for (unsigned int i = 0; i < n_lines; i++) {
		uint32_t s = line[i].irq;

		if (s / 32 != word)
			continue;
		model.enable[context][s] = random_below(state, 4); /* mostly on */
		v |= (uint32_t)model.enable[context][s] << s % 32;
	}
	write32(ENABLE_AT(context) + 4 * word, v);
	is = read32(ENABLE_AT(context) + 4 * word);
	return is == v || wrong("enable word of context", context, is, v);
}

static bool step(uint64_t *state)
{
	unsigned int context = random_below(state, 8) ? PLIC_CONTEXT(random_below(state, machine.harts)) : 2 * random_below(state, machine.harts);
	struct line *l = &line[random_below(state, n_lines)];
	uint8_t level = (uint8_t)random_below(state, 8);
	bool ok = true;

	switch (random_below(state, 10)) {
	case 0:
		plic_priority(l->irq, level);
		model.priority[l->irq] = level;
		break;
	case 1:
		level = (uint8_t)(random_below(state, 4) ? level / 3 : level);
		write32(THRESHOLD_AT(context), level);
		model.threshold[context] = level;
		break;
	case 2:
		ok = change_enable(state, context);
		break;
	case 3:
	case 4:
		ok = raise(l);
		break;
	case 5:
		lower(l);
		break;
	case 6:
	case 7:
		ok = claim(context);
		break;
	default:
		complete(state, context);
		break;
	}
	return ok && check_pending(random_below(state, (machine.n_sources + 32) / 32)) && check_eip();
}

static void take_turns(void *ctx)
{
	uint64_t state = seed * 1000003 + this_hart() + 1;
	bool ok = true;

	csr_clear(sie, SIE_EXTERNAL);
	for (uint32_t done = 0; done < steps && ok; done += BURST) {
		while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
			;
		ok = !failures && check_eip();
		for (unsigned int i = 0; i < BURST && ok; i++)
			ok = step(&state);
		__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
		for (volatile unsigned int i = 0; i < 200; i++) /* others have a chance */
			;
	}
}

/* --- all at once --- */

static volatile uint32_t in_service[SOURCES], running;
static volatile uint32_t twice, unasked, foreign, claims[MAX_HARTS];
static struct line *line_of[SOURCES];

static void on_external(void)
{
	unsigned int hart = this_hart();
	uint32_t s;

	while ((s = plic_claim(hart))) {
		struct line *l = s < SOURCES ? line_of[s] : NULL;

		claims[hart]++;
		if (!l) {
			foreign = s;
			continue;
		}
		if (__atomic_exchange_n(&in_service[s], 1, __ATOMIC_SEQ_CST))
			twice = s;
		if (!l->busy)
			unasked = s;
		if (l->uart) {
			uart_lower(l->uart);
		} else {
			uint32_t status = read32(l->disk->at->base + V_ISR);

			write32(l->disk->at->base + V_ACK, status);
			fence();
			if (virtio_pop(l->disk, NULL) < 0)
				unasked = s;
		}
		l->handled++;
		__atomic_store_n(&in_service[s], 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&l->busy, 0, __ATOMIC_SEQ_CST);
		plic_complete(hart, s);
	}
}

static void rage(void *ctx)
{
	unsigned int hart = this_hart();
	uint64_t state = seed * 7919 + hart + 1;

	csr_set(sie, SIE_EXTERNAL);
	interrupts_on();
	for (uint32_t i = 0; i < steps; i++) {
		struct line *l = &line[random_below(&state, n_lines)];
		uint64_t was;

		switch (random_below(&state, 8)) {
		case 0:
			plic_priority(l->irq, random_below(&state, 8));
			break;
		case 1:
			plic_threshold(hart, random_below(&state, 5));
			break;
		case 2:
			plic_enable(hart, l->irq, random_below(&state, 4));
			break;
		default:
			/* Off, or this hart's handler could need the lock of the device it is about to ring. */
			was = interrupts_save();
			if (!__atomic_exchange_n(&l->busy, 1, __ATOMIC_SEQ_CST)) {
				if (l->uart)
					uart_raise(l->uart);
				else
					read_sector(l);
			}
			interrupts_restore(was);
			break;
		}
	}
	__atomic_fetch_sub(&running, 1, __ATOMIC_SEQ_CST);
}

static bool at_rest(void *ctx)
{
	for (unsigned int i = 0; i < n_lines; i++)
		if (line[i].busy || in_service[line[i].irq])
			return false;
	return true;
}

static bool nobody(void *ctx)
{
	return !running;
}

static void all_at_once(void)
{
	uint32_t handled = 0, claimed = 0, left = 0;

	external_hook = on_external;
	for (unsigned int h = 0; h < machine.harts; h++) {
		plic_threshold(h, 0);
		for (unsigned int i = 0; i < n_lines; i++)
			plic_enable(h, line[i].irq, true);
	}
	for (unsigned int i = 0; i < n_lines; i++)
		plic_priority(line[i].irq, 1);
	running = machine.harts;
	for (unsigned int h = 1; h < machine.harts; h++)
		start_on(h, rage, NULL);
	rage(NULL);
	wait_ms(60000, nobody, NULL);
	/* Everything may come now, and must. */
	for (unsigned int h = 0; h < machine.harts; h++) {
		plic_threshold(h, 0);
		for (unsigned int i = 0; i < n_lines; i++)
			plic_enable(h, line[i].irq, true);
	}
	for (unsigned int i = 0; i < n_lines; i++)
		plic_priority(line[i].irq, 1);
	if (!wait_ms(10000, at_rest, NULL))
		for (unsigned int i = 0; i < n_lines; i++)
			if (line[i].busy)
				left = line[i].irq;
	delay_ms(30); /* late ones count, too */
	interrupts_off();
	external_hook = NULL;
	for (unsigned int i = 0; i < n_lines; i++)
		handled += line[i].handled;
	for (unsigned int h = 0; h < machine.harts; h++)
		claimed += claims[h];
	print("# all at once: %u interrupts", handled);
	check(!left, "lost", "the interrupt of source %u", left);
	check(!twice, "twice", "source %u was in service on two harts", twice);
	check(!unasked, "unasked", "source %u interrupted without reason", unasked);
	check(!foreign, "foreign", "source %u is nobody's", foreign);
	check_equal("claims", claimed, handled);
}

/* --- both --- */

static bool find_lines(void)
{
	const struct place *at;

	for (unsigned int i = 1; i < machine.n_uarts; i++)
		line[n_lines++] = (struct line){ .irq = machine.uart[i].irq, .uart = &machine.uart[i] };
	for (unsigned int i = 0; i < MAX_DISKS && (at = virtio_find(2, i)); i++) {
		line[n_lines] = (struct line){ .irq = at->irq, .disk = &vdev[i] };
		if (!virtio_start(&vdev[i], at))
			return check(false, "start", "disk %u does not take DRIVER_OK", i);
		n_lines++;
	}
	for (unsigned int i = 0; i < n_lines; i++)
		line_of[line[i].irq] = &line[i];
	return true;
}

void guest(void)
{
	steps = (uint32_t)arg_number("steps", 400);
	seed = arg_number("seed", now());
	edge = arg_word("edge");
	if (machine.aia || machine.n_sources >= SOURCES) {
		fail("plic", "this machine has none, or a larger one");
		return;
	}
	if (!find_lines())
		return;
	harts_start();
	print("# %u harts, %u sources, %s, %u steps each, seed %lu", machine.harts, n_lines, edge ? "edges" : "levels", steps, seed);
	for (unsigned int h = 1; h < machine.harts; h++)
		start_on(h, take_turns, NULL);
	take_turns(NULL);
	for (unsigned int h = 1; h < machine.harts; h++)
		if (!join(h, 120000))
			wrong("end of hart", h, 0, 1);
	if (!failures)
		pass("model");
	/* Back to rest: no line up, nothing enabled, nothing in service. */
	for (unsigned int i = 0; i < n_lines; i++)
		lower(&line[i]);
	for (unsigned int c = 0; c < 2 * machine.harts; c++)
		for (unsigned int w = 0; w <= machine.n_sources / 32; w++)
			write32(ENABLE_AT(c) + 4 * w, 0);
	for (unsigned int i = 0; i < n_lines; i++) {
		plic_priority(line[i].irq, 1);
		plic_enable(0, line[i].irq, true);
		plic_complete(0, line[i].irq);
	}
	plic_quiet(0);
	check_equal("rest", plic_claim(0), 0);
	all_at_once();
}
