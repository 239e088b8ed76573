// SPDX-License-Identifier: MIT
#include "judge.h"

#define RESERVED "reserved bits of a subchannel's identification are not looked at"
#define SETS "other sets have names at once, without subchannels"
#define LENGTH "wrong lengths are program checks, not incorrect length"
#define CHAIN_DATA "there is no data chaining"
#define IDA_1 "IDAWs of format 1 are read in the host's byte order"
#define IDA_BUFFER "the second IDAW's storage gets what the first one's got"
#define NO_MIDAW "there are no MIDAWs"
#define SUSPEND "suspending makes no status pending"
#define NEWER "a command of revision 2 is known to all revisions"
#define WITHDRAW "an interruption stays when its status is taken"

/* QEMU's s390-ccw-virtio, as of 10.0: names of results, and what it does instead. */
static const struct {
	const char *what, *instead;
} differences[] = {
	{ "stsch-sid-reserved", RESERVED },
	{ "msch-sid-reserved", RESERVED },
	{ "ssch-sid-reserved", RESERVED },
	{ "tsch-sid-reserved", RESERVED },
	{ "hsch-sid-reserved", RESERVED },
	{ "csch-sid-reserved", RESERVED },
	{ "rsch-sid-reserved", RESERVED },
	{ "xsch-sid-reserved", RESERVED },
	{ "stsch-no-set", SETS },
	{ "msch-no-set", SETS },
	{ "ssch-no-set", SETS },
	{ "tsch-no-set", SETS },
	{ "hsch-no-set", SETS },
	{ "csch-no-set", SETS },
	{ "rsch-no-set", SETS },
	{ "xsch-no-set", SETS },
	{ "msch-limit-mode-3", "is not refused" },
	{ "tsch-withdraws", WITHDRAW },
	{ "csch-withdraws", WITHDRAW },
	{ "last-used-path", "is not said" },
	{ "sigp-start-runs", "a CPU that SIGP has started goes on by chance" },
	{ "restart-again", "a CPU that SIGP restarts as soon as it is stopped goes on by chance" },
	{ "flags-shown", "the ORB's flags are not in the status" },
	{ "initial-status", "there is no intermediate status" },
	{ "zero-condition", "there is no intermediate status" },
	{ "format-0-shown", "the bit of an earlier ORB stays" },
	{ "tic-first", "is taken" },
	{ "tic-unaligned", "the CCW address follows the bad one" },
	{ "tic-address-bit-0", "the CCW address follows the bad one" },
	{ "chain-data", CHAIN_DATA },
	{ "chain-data-bytes", CHAIN_DATA },
	{ "chain-data-tic", CHAIN_DATA },
	{ "chain-data-tic-bytes", CHAIN_DATA },
	{ "chain-data-and-command", CHAIN_DATA },
	{ "chain-data-and-command-bytes", CHAIN_DATA },
	{ "chain-data-to-count-0", CHAIN_DATA },
	{ "skip-then-store", CHAIN_DATA },
	{ "ida2-chain-data", CHAIN_DATA },
	{ "short-count", LENGTH },
	{ "incorrect-length-chained", LENGTH },
	{ "long-count", LENGTH },
	{ "immediate-suppressed", "the residual count is an earlier one" },
	{ "immediate-with-count", "an immediate command's length is never wrong" },
	{ "pci-intermediate", "the flag is not looked at" },
	{ "pci-flag", "the flag is not looked at" },
	{ "ida1", IDA_1 },
	{ "ida1-data", IDA_1 },
	{ "ida1-two", IDA_1 },
	{ "ida1-two-data", IDA_1 },
	{ "ida1-unused", IDA_1 },
	{ "ida2-data", IDA_BUFFER },
	{ "ida2-2k-data", IDA_BUFFER },
	{ "ida2-list-across-pages-data", IDA_BUFFER },
	{ "ida2-second-unaligned", "is not looked at" },
	{ "ida2-skip-looks-at-nothing", "addresses are looked at" },
	{ "limit-high-above", "address limits are not looked at" },
	{ "limit-high-stores-nothing", "address limits are not looked at" },
	{ "midaw", NO_MIDAW },
	{ "midaw-data", NO_MIDAW },
	{ "midaw-skip", NO_MIDAW },
	{ "midaw-skip-data", NO_MIDAW },
	{ "midaw-unaligned", NO_MIDAW },
	{ "midaw-reserved", NO_MIDAW },
	{ "midaw-count-0", NO_MIDAW },
	{ "midaw-across-page", NO_MIDAW },
	{ "midaw-last-too-early", NO_MIDAW },
	{ "midaw-without-last", NO_MIDAW },
	{ "midaw-nowhere", NO_MIDAW },
	{ "midaw-list-nowhere", NO_MIDAW },
	{ "midaw-list-across-page", NO_MIDAW },
	{ "midaw-and-idaw", NO_MIDAW },
	{ "midaw-and-skip", NO_MIDAW },
	{ "clear-status-pending", "what was pending stays in the status" },
	{ "halt-bring-suspended", SUSPEND },
	{ "clear-bring-suspended", SUSPEND },
	{ "suspend-status", SUSPEND },
	{ "suspended-again", SUSPEND },
	{ "suppressed-no-interrupt", "an interruption without status comes" },
	{ "read-status-in-revision-0", NEWER },
	{ "read-status-in-revision-1", NEWER },
	{ "features-not-offered", "they are left out, and the rest is accepted" },
	{ "alert-behind-status", "status that is pending stands for it" },
	{ "flood", "any number of reports is kept" },
	{ "running", "a channel program without end stops the machine" },
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

	if (ok && ccw != ANY_CCW && s->ccw != ABSOLUTE(ccw) + 8) {
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
		  (ccw == ANY_CCW || s->ccw == ABSOLUTE(ccw) + 8);

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
