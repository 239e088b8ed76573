// SPDX-License-Identifier: MIT
/* The PLIC by hand: the edges of its specification, of its queue, and of its saved state. */
#include "hw/plic_rig_test.h"

static void test_lines(void)
{
	struct plic_stats stats;
	struct irq_line l;
	struct rig r;

	rig_start(&r, 2, 100, false);
	CHECK_EQ(plic_line(r.plic, 0, &l), -EINVAL);
	CHECK_EQ(plic_line(r.plic, 101, &l), -EINVAL);
	CHECK_EQ(plic_line(r.plic, 100, &l), 0);
	poke(&r, 7 * 4, 1);
	enable(&r, S(0), 7, true);
	CHECK_EQ(peek(&r, CLAIM(S(0))), 0);
	line(&r, 7, true);
	CHECK_EQ(peek(&r, CLAIM(S(0))), 7);
	plic_stats(r.plic, &stats);
	CHECK_EQ(stats.claims, 1);
	CHECK_EQ(stats.empty_claims, 1);
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
	/* Reset: nothing is enabled, but a line that is high is pending again, and only it. */
	for (unsigned int i = 0; i < ARRAY_SIZE(interesting); i++)
		line(&a, interesting[i], interesting[i] == 33);
	for (unsigned int source = 1; source <= 1023; source++)
		if (source != 33)
			line(&a, source, false);
	plic_reset(a.plic);
	for (unsigned int hart = 0; hart < 3; hart++)
		CHECK(!eip(&a, hart));
	for (unsigned int w = 0; w < 32; w++) {
		CHECK_EQ(peek(&a, 0x1000 + 4 * w), w == 1 ? 2 : 0);
		CHECK_EQ(peek(&a, 0x2000 + 0x80 * S(1) + 4 * w), 0);
	}
	CHECK_EQ(peek(&a, THRESHOLD(S(2))), 0);
	poke(&a, 33 * 4, 1);
	enable(&a, S(1), 33, true);
	CHECK(eip(&a, 1));
	CHECK_EQ(peek(&a, CLAIM(S(1))), 33);
	/* What cannot be is refused, and changes nothing. */
	CHECK_EQ(plic_load(b.plic, buf, len - 1, &e), -EINVAL);
	e = (struct err){ 0 };
	((struct plic_state *)buf)->priority[5] = PLIC_MAX_PRIORITY + 1;
	CHECK_EQ(plic_load(b.plic, buf, len, &e), -EINVAL);
	((struct plic_state *)buf)->priority[5] = 0;
	/* An edge is remembered of a source that is served, not of one that is idle or waits for its claim. */
	for (unsigned int i = 0; i < 4; i++) {
		struct plic_state *s = (struct plic_state *)buf;

		s->busy[0] = (s->busy[0] & ~(UINT64_C(1) << 7)) | (uint64_t)(i & 1) << 7;
		s->pending[0] = (s->pending[0] & ~(UINT64_C(1) << 7)) | (uint64_t)(i >> 1) << 7;
		s->edge[0] |= UINT64_C(1) << 7;
		CHECK_EQ(plic_load(b.plic, buf, len, NULL), i == 1 ? 0 : -EINVAL);
	}
	((struct plic_state *)buf)->pending[0] = 1;
	((struct plic_state *)buf)->edge[0] = 0;
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

/* What the memory slot shows is what the registers read. */
static bool enables_true(struct rig *r, unsigned int contexts)
{
	for (unsigned int context = 0; context < contexts; context++)
		for (unsigned int source = 0; source <= PLIC_MAX_SOURCES; source += 32) {
			uint8_t data[4];

			if (!hv_scripted_guest_read(r->hv, BASE + ENABLE(context, source), data, 4) ||
			    get_le32(data) != peek(r, ENABLE(context, source)))
				return false;
		}
	return true;
}

static void test_shown(unsigned int harts, bool capable)
{
	static const struct scripted_cap caps[] = { { KVM_CAP_READONLY_MEM, 1 } };
	const struct scripted_config config = { .caps = caps, .n_caps = capable };
	struct plic_config plic = { .n_vcpus = harts, .n_sources = PLIC_MAX_SOURCES, .base = BASE, .slot = 3 };
	struct rig r = { .n = harts };
	uint8_t data[4];
	char *state;
	size_t len;

	CHECK(hv_scripted_create(&config, &r.hv) >= 0);
	for (unsigned int i = 0; i < harts; i++)
		CHECK(r.hv->ops->create_vcpu(r.hv, i, &r.vcpu[i]) >= 0);
	plic.vcpus = r.vcpu;
	plic.hv = r.hv;
	CHECK_EQ(plic_create(&plic, NULL, &r.plic, NULL), 0);
	enable(&r, S(0), 5, true);
	poke(&r, 5 * 4, 1);
	CHECK_EQ(peek(&r, CLAIM(S(0))), 0);
	CHECK_EQ(hv_scripted_memory_slots(r.hv), 0);
	line(&r, 5, true);
	CHECK_EQ(peek(&r, CLAIM(S(0))), 5);
	CHECK_EQ(hv_scripted_memory_slots(r.hv), capable);
	if (capable) {
		CHECK(enables_true(&r, 2 * harts));
		/* Contexts that do not exist, on the same page; and neighbours that are not registers of this kind. */
		if (harts % 16) {
			CHECK(hv_scripted_guest_read(r.hv, BASE + ENABLE(2 * harts, 0), data, 4));
			CHECK_EQ(get_le32(data), 0);
		}
		CHECK(!hv_scripted_guest_read(r.hv, BASE + PENDING(0), data, 4));
		CHECK(!hv_scripted_guest_read(r.hv, BASE + ENABLE(round_up(2 * harts, 32), 0), data, 4));
		for (unsigned int i = 0; i < 200; i++) {
			poke(&r, ENABLE(rnd(2 * harts), some_source()), rnd(1u << 31) * 2 + rnd(2));
			CHECK(enables_true(&r, 2 * harts));
		}
		len = plic_save(r.plic, NULL, 0);
		state = malloc(len);
		CHECK_EQ(plic_save(r.plic, state, len), len);
		plic_reset(r.plic);
		CHECK_EQ(peek(&r, ENABLE(S(0), 5)), 0);
		CHECK(enables_true(&r, 2 * harts));
		CHECK_EQ(plic_load(r.plic, state, len, NULL), 0);
		CHECK(enables_true(&r, 2 * harts));
		free(state);
	}
	plic_destroy(r.plic);
	CHECK_EQ(hv_scripted_memory_slots(r.hv), 0);
	for (unsigned int i = 0; i < harts; i++)
		hv_vcpu_destroy(r.vcpu[i]);
	hv_destroy(r.hv);
}

int main(void)
{
	rng_state = 88172645463325252;
	test_shown(1, true);
	test_shown(1, false);
	test_shown(20, true);
	test_lines();
	test_queued();
	test_state();
	test_failing_host();
	test_dt();
	return test_result();
}
