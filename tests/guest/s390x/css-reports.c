// SPDX-License-Identifier: MIT
/*
 * Channel reports: what RCHP makes, the machine check that tells of them, STCRW; with "hotplug=SECONDS" also those of a device that comes
 * within that time, and goes again within it.
 * SAL and RCHP themselves.
 */
#include "judge.h"

static volatile uint32_t machine_checks;
static volatile uint64_t last_code;

enum { CRW_SOURCE_SUBCHANNEL = 3, CRW_SOURCE_PATH = 4, CRW_RECOVERY_INITIALIZED = 2 };
#define CRW_SOURCE(c) ((c) >> 24 & 15)
#define CRW_SOLICITED(c) ((c) >> 30 & 1)
#define CRW_OVERFLOW(c) ((c) >> 29 & 1)
#define CRW_CHAINED(c) ((c) >> 28 & 1)
#define CRW_CODE(c) ((c) >> 16 & 63)
#define CRW_ID(c) ((c) & 0xffff)

static void on_machine_check(struct frame *f)
{
	last_code = f->machine_check;
	machine_checks++;
}

static long with_r1(bool rchp, uint64_t value)
{
	struct guard was = guard();
	register uint64_t r1 __asm__("1") = value;
	long cc = 0;

	if (rchp)
		__asm__ volatile("rchp\nipm %0\nsrl %0, 28" : "=&d"(cc) : "d"(r1) : "cc", "memory");
	else
		__asm__ volatile("sal" : : "d"(r1) : "cc", "memory");
	return guarded(was, (int)cc);
}

static uint32_t next_report(void)
{
	static uint32_t crw;

	return css_stcrw(&crw) ? 0 : crw;
}

static void show(uint32_t crw)
{
	print("  CRW 0x%x: source %u, code %u, id 0x%x%s%s", crw, CRW_SOURCE(crw), CRW_CODE(crw), CRW_ID(crw), CRW_CHAINED(crw) ? ", chained" : "",
	      CRW_OVERFLOW(crw) ? ", overflow" : "");
}

static void let_in(void)
{
	control_write(14, CR14_CHANNEL_REPORT);
	load_psw(PSW_MACHINE_CHECK);
	delay_ms(5);
	load_psw(0);
	control_write(14, 0);
}

static void paths(void)
{
	uint32_t crw;

	while (next_report())
		;
	judge_equal("rchp-reserved", with_r1(true, 0x00010000), -PIC_OPERAND);
	judge_equal("rchp-no-path", with_r1(true, 0x77), 3);
	judge_equal("rchp", with_r1(true, 0), 0);
	let_in();
	judge_equal("machine-check", machine_checks, 1);
	judge_equal("machine-check-code", last_code >> 54 & 1, 1);
	crw = next_report();
	show(crw);
	judge("report-of-path", CRW_SOURCE(crw) == CRW_SOURCE_PATH && CRW_CODE(crw) == CRW_RECOVERY_INITIALIZED && CRW_ID(crw) == 0 && CRW_SOLICITED(crw) && !CRW_OVERFLOW(crw));
	judge_equal("report-once", next_report(), 0);
	let_in();
	judge_equal("machine-check-once", machine_checks, 1);
	judge_equal("sal-unaligned", with_r1(false, 1), -PIC_OPERAND);
	judge_equal("sal-bit-0", with_r1(false, 0x80000000), -PIC_OPERAND);
	judge_equal("sal", with_r1(false, 0), 0);
}

/* More reports than any machine keeps: the overflow is told, and what was lost is nobody's loss. */
static void flood(void)
{
	unsigned int n = 0;
	bool overflow = false;
	uint32_t crw;

	for (unsigned int i = 0; i < 2000; i++)
		with_r1(true, 0);
	while (n < 100000 && (crw = next_report())) {
		overflow |= CRW_OVERFLOW(crw);
		n++;
	}
	print("%u reports of 2000 were kept", n);
	judge("flood", n && n < 2000 && overflow);
	judge_equal("flood-ends", next_report(), 0);
	machine_checks = 0;
	let_in();
}

/* The first report of a subchannel after a machine check, 0: none. */
static uint32_t subchannel_report(uint64_t seconds, const char *machine_check)
{
	uint64_t end = now() + ms(seconds * 1000);
	uint32_t crw = 0;

	do {
		let_in();
		doze_ms(20);
	} while (!machine_checks && now() < end);
	check(machine_checks, machine_check, "does not come");
	for (unsigned int n = 0; n < 16; n++) {
		uint32_t next = next_report();

		if (!next)
			break;
		show(next);
		if (CRW_SOURCE(next) == CRW_SOURCE_SUBCHANNEL && !crw)
			crw = next;
	}
	return crw;
}

static void hotplug(uint64_t seconds)
{
	struct schib schib;
	uint32_t crw, gone;

	machine_checks = 0;
	print("READY for a device");
	crw = subchannel_report(seconds, "hotplug-machine-check");
	check(crw, "hotplug-report", "there is no report of a subchannel");
	check(css_stsch(SID(CRW_ID(crw)), &schib) == 0 && schib.pmcw.flags & PMCW_VALID, "hotplug-device", "subchannel 0x%x has no device", CRW_ID(crw));
	css_find();
	for (unsigned int i = 0; i < n_devices; i++)
		if (devices[i].sid == SID(CRW_ID(crw)))
			check_equal("hotplug-identity", devices[i].cu_type, CU_VIRTIO);
	machine_checks = 0;
	print("READY to lose it");
	gone = subchannel_report(seconds, "unplug-machine-check");
	check(gone && CRW_ID(gone) == CRW_ID(crw), "unplug-report", "it is 0x%x", gone);
	check(css_stsch(SID(CRW_ID(crw)), &schib) != 0 || !(schib.pmcw.flags & PMCW_VALID), "unplug-device", "subchannel 0x%x still has its device", CRW_ID(crw));
}

void guest(void)
{
	uint64_t seconds = arg_number("hotplug", 0);

	interrupt_on(INTERRUPT_MACHINE_CHECK, on_machine_check);
	paths();
	flood();
	if (seconds)
		hotplug(seconds);
	else
		skip("hotplug", "no device is announced");
}
