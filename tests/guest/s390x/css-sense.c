// SPDX-License-Identifier: MIT
/* Enumerates every subchannel, remembers the first device, enables it, and asks it by SENSE ID, with the interrupt, what it is. */
#include "judge.h"

static struct schib schib;
static struct sense_id id;
static struct ccw program[1];
static uint32_t first;

static void enumerate(void)
{
	unsigned int n = 0, valid = 0;

	for (; n < 0x10000; n++) {
		long cc = css_stsch(SID(n), &schib);

		if (cc == 3)
			break;
		if (cc) {
			fail("stsch", "condition code %ld for subchannel %u", cc, n);
			return;
		}
		if (!(schib.pmcw.flags & PMCW_VALID))
			continue;
		if (!valid++)
			first = SID(n);
	}
	print("%u subchannels, %u devices, the first 0x%x", n, valid, first);
	check(valid, "enumerate", "there is no device");
}

static void enable(void)
{
	check(css_enable(first, true, 3, 0xcafe), "enable", "MSCH does not enable it");
	css_stsch(first, &schib);
	css_dump_schib(&schib);
	check_equal("path-installed", schib.pmcw.pim, 0x80);
	check_equal("path-available", schib.pmcw.pam & 0x80, 0x80);
	check_equal("path-logical", schib.pmcw.lpm & 0x80, 0x80);
}

static void sense(void)
{
	struct result r;

	memset(&id, 0xee, sizeof(id));
	program[0] = CCW(CMD_SENSE_ID, CCW_SLI, sizeof(id), &id);
	interrupt_on(INTERRUPT_IO, css_on_io);
	r = css_run(first, program, 0);
	judge_good("sense-id", &r, program, ANY_COUNT);
	check_equal("interrupts", io_count, 1);
	check_equal("interrupt-subchannel", io_sid, first);
	check_equal("interrupt-parameter", io_parameter, first ^ 0x5a5a0000);
	check_equal("interrupt-subclass", io_word, 3u << 27);
	check_equal("start-function", r.irb.scsw.word0 & FC, FC_START);
	check_equal("no-activity", r.irb.scsw.word0 & AC, 0);
	check_equal("first-byte", id.ff, 0xff);
	check_equal("control-unit-type", id.cu_type, CU_VIRTIO);
	check(id.cu_model, "control-unit-model", "is 0");
	check_equal("device-type", id.device_type, 0);
	print("control unit 0x%x model %u, device 0x%x model %u", id.cu_type, id.cu_model, id.device_type, id.device_model);
	css_stsch(first, &schib);
	check_equal("status-is-taken", schib.scsw.word0 & (FC | AC | SC), 0);
	check(css_enable(first, false, 0, 0), "disable", "MSCH does not disable it");
}

void guest(void)
{
	enumerate();
	if (!first)
		return;
	enable();
	sense();
}
