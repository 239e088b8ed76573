// SPDX-License-Identifier: MIT
#include "judge.h"

/* QEMU's s390-ccw-virtio, as of 10.0: names of results, and what it does instead. */
static const struct {
	const char *what, *instead;
} differences[] = {
	{ "", "" },
};

static const char *difference(const char *what)
{
	for (unsigned int i = 0; machine.second && i < ARRAY_SIZE(differences); i++)
		if (same(differences[i].what, what))
			return differences[i].instead;
	return NULL;
}

static bool verdict(const char *what, bool ok)
{
	const char *instead = difference(what);

	if (instead && ok)
		fail(what, "is said to differ here (%s), and does not", instead);
	else if (instead)
		print("DIFFERS %s: %s", what, instead);
	else if (ok)
		pass(what);
	return ok || instead;
}

bool judge(const char *what, bool ok)
{
	if (verdict(what, ok))
		return true;
	fail(what, "is not so");
	return false;
}

bool judge_equal(const char *what, long is, long should)
{
	if (verdict(what, is == should))
		return true;
	fail(what, "is %ld (0x%lx), should be %ld (0x%lx)", is, is, should, should);
	return false;
}

bool judge_skip(const char *what)
{
	const char *instead = difference(what);

	if (instead)
		print("DIFFERS %s: %s", what, instead);
	return instead;
}

static bool failed(const char *what, const struct result *r, const char *reason)
{
	if (r->cc == -1000)
		fail(what, "no interrupt came");
	else if (r->cc)
		fail(what, "SSCH ended with %ld", r->cc);
	else if (r->tsch)
		fail(what, "TSCH ended with %ld", r->tsch);
	else
		fail(what, "%s", reason);
	if (!r->cc && !r->tsch)
		css_dump_irb(&r->irb);
	return false;
}

bool judge_result(const char *what, const struct result *r, uint32_t status, uint8_t device, uint8_t channel, const void *ccw, int count)
{
	const struct scsw *s = &r->irb.scsw;
	const char *reason = "status";
	bool ok = !r->cc && !r->tsch && (s->word0 & SC) == status && s->device == device && s->channel == channel;

	if (ok && ccw != ANY_CCW && s->ccw != (uint32_t)(uintptr_t)ccw + 8) {
		reason = "CCW address";
		ok = false;
	}
	if (ok && count != ANY_COUNT && s->count != count) {
		reason = "residual count";
		ok = false;
	}
	return verdict(what, ok) || failed(what, r, reason);
}

bool judge_good(const char *what, const struct result *r, const void *last_ccw, int count)
{
	return judge_result(what, r, SC_ENDED, DS_ENDED, 0, last_ccw, count);
}

bool judge_program_check(const char *what, const struct result *r, const void *ccw)
{
	const struct scsw *s = &r->irb.scsw;
	bool ok = !r->cc && !r->tsch && (s->word0 & SC) == SC_FAILED && s->channel == CS_PROGRAM_CHECK && !(s->device & DS_UNIT_CHECK) &&
		  (ccw == ANY_CCW || s->ccw == (uint32_t)(uintptr_t)ccw + 8);

	return verdict(what, ok) || failed(what, r, "status or CCW address");
}

bool judge_unit_check(const char *what, uint32_t sid, const struct result *r, uint8_t sense)
{
	static uint8_t bytes[32];
	static struct ccw program[1];
	const struct scsw *s = &r->irb.scsw;
	bool ok = !r->cc && !r->tsch && (s->word0 & SC) == SC_FAILED && s->device & DS_UNIT_CHECK && !(s->channel & CS_PROGRAM_CHECK);
	struct result sensed;

	/* With concurrent sense the bytes are in the IRB, else the device keeps them. */
	if (ok && s->word0 & SCSW_E && r->irb.ecw[0]) {
		ok = r->irb.ecw[0] >> 24 == sense;
	} else if (ok) {
		memset(bytes, 0, sizeof(bytes));
		program[0] = CCW(CMD_SENSE, CCW_SLI, sizeof(bytes), bytes);
		sensed = css_run(sid, program, 0);
		ok = !sensed.cc && !sensed.tsch && bytes[0] == sense;
	}
	return verdict(what, ok) || failed(what, r, "status or sense");
}
