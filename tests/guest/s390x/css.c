// SPDX-License-Identifier: MIT
/* Instructions of the channel subsystem, and a driver of subchannels. */
#include "css.h"

struct device devices[MAX_DEVICES];
unsigned int n_devices;
volatile uint32_t io_count, io_sid, io_parameter, io_word;

#define WAIT_MS 10000

/* --- instructions --- */

/* With an operand in memory. The register is set after the call, which would change it. */
#define INSTRUCTION(name, type)                                                                                            \
	long css_##name(uint32_t sid, type at)                                                                             \
	{                                                                                                                  \
		struct guard was = guard();                                                                                \
		register uint64_t r1 __asm__("1") = sid;                                                                   \
		long cc;                                                                                                   \
                                                                                                                           \
		__asm__ volatile(#name " 0(%2)\nipm %0\nsrl %0, 28" : "=&d"(cc) : "d"(r1), "a"(at) : "cc", "memory");      \
		return guarded(was, (int)cc);                                                                              \
	}
INSTRUCTION(stsch, void *)
INSTRUCTION(msch, const void *)
INSTRUCTION(ssch, const void *)
INSTRUCTION(tsch, void *)

#define PLAIN_INSTRUCTION(name)                                                                                 \
	long css_##name(uint32_t sid)                                                                           \
	{                                                                                                       \
		struct guard was = guard();                                                                     \
		register uint64_t r1 __asm__("1") = sid;                                                        \
		long cc;                                                                                        \
                                                                                                                \
		__asm__ volatile(#name "\nipm %0\nsrl %0, 28" : "=&d"(cc) : "d"(r1) : "cc", "memory");          \
		return guarded(was, (int)cc);                                                                   \
	}
PLAIN_INSTRUCTION(hsch)
PLAIN_INSTRUCTION(csch)
PLAIN_INSTRUCTION(rsch)
PLAIN_INSTRUCTION(xsch)

long css_stcrw(void *crw)
{
	struct guard was = guard();
	long cc;

	__asm__ volatile("stcrw 0(%1)\nipm %0\nsrl %0, 28" : "=&d"(cc) : "a"(crw) : "cc", "memory");
	return guarded(was, (int)cc);
}

long css_schm(uint32_t mode, uint64_t origin)
{
	struct guard was = guard();
	register uint64_t r1 __asm__("1") = mode;
	register uint64_t r2 __asm__("2") = origin;

	__asm__ volatile("schm" : : "d"(r1), "d"(r2) : "cc", "memory");
	return guarded(was, 0);
}

long css_tpi(void *code)
{
	struct guard was = guard();
	long cc;

	/* At address 0 it stores in the prefix area. */
	if (code)
		__asm__ volatile("tpi 0(%1)\nipm %0\nsrl %0, 28" : "=&d"(cc) : "a"(code) : "cc", "memory");
	else
		__asm__ volatile("tpi 0\nipm %0\nsrl %0, 28" : "=&d"(cc) : : "cc", "memory");
	return guarded(was, (int)cc);
}

long css_chsc(void *block)
{
	struct guard was = guard();
	long cc;

	__asm__ volatile(".insn rre, 0xb25f0000, %1, %%r0\nipm %0\nsrl %0, 28" : "=&d"(cc) : "d"(block) : "cc", "memory");
	return guarded(was, (int)cc);
}

long in_problem_state(void (*fn)(void *ctx), void *ctx)
{
	struct guard was = guard();
	uint64_t off = interrupts_save();
	uint8_t byte;
	long cause;

	load_psw(PSW_PROBLEM);
	/* The instruction's own guard takes what comes and leaves problem state; this one takes it where none came. */
	fn(ctx);
	__asm__ volatile("stosm %0, 0" : "=Q"(byte) : : "memory");
	cause = guarded(was, 0);
	interrupts_restore(off);
	return cause;
}

/* --- interrupts --- */

void css_on_io(struct frame *f)
{
	io_sid = f->io.sid;
	io_parameter = f->io.parameter;
	io_word = f->io.word;
	io_count++;
}

bool css_wait(uint32_t count_was)
{
	uint64_t end = now() + ms(WAIT_MS);

	while (io_count == count_was && now() < end)
		doze_ms(100);
	return io_count != count_was;
}

/* --- subchannels --- */

bool css_enable(uint32_t sid, bool on, unsigned int isc, uint32_t parameter)
{
	struct schib s;

	for (unsigned int tries = 0; tries < 5; tries++) {
		if (css_stsch(sid, &s) || !(s.pmcw.flags & PMCW_VALID))
			return false;
		s.pmcw.parameter = parameter;
		s.pmcw.flags = (uint16_t)((s.pmcw.flags & PMCW_VALID) | isc << PMCW_ISC_SHIFT | (on ? PMCW_ENABLED : 0));
		s.pmcw.more_flags = 0;
		if (css_msch(sid, &s) < 0)
			return false;
		if (css_stsch(sid, &s))
			return false;
		if (!(s.pmcw.flags & PMCW_ENABLED) == !on && (s.pmcw.flags & PMCW_ISC) >> PMCW_ISC_SHIFT == isc && s.pmcw.parameter == parameter)
			return true;
		/* Status may have kept MSCH from it. */
		css_quiet(sid);
		delay_ms(10);
	}
	return false;
}

void css_quiet(uint32_t sid)
{
	struct irb irb;
	uint8_t code[8] __attribute__((aligned(8)));

	for (unsigned int i = 0; i < 8 && css_tsch(sid, &irb) == 0; i++)
		;
	for (unsigned int i = 0; i < 64 && css_tpi(code) == 1; i++)
		;
}

bool css_clear(uint32_t sid)
{
	uint32_t was = io_count;
	struct irb irb;

	return css_csch(sid) == 0 && css_wait(was) && css_tsch(sid, &irb) == 0 && irb.scsw.word0 & FC_CLEAR;
}

struct result css_start(uint32_t sid, const struct orb *orb)
{
	uint32_t first = io_count, was = first;
	struct result r = { .tsch = -1 };
	struct irb more;

	r.cc = css_ssch(sid, orb);
	if (r.cc)
		return r;
	if (!css_wait(was)) {
		r.cc = -1000;
		return r;
	}
	was = io_count;
	r.tsch = css_tsch(sid, &r.irb);
	/* Suspended, or not at its end yet: what is intermediate stays in what is collected. */
	while (!r.tsch && !(r.irb.scsw.word0 & (SC_SECONDARY | SC_ALERT | AC_SUSPENDED))) {
		uint32_t before = r.irb.scsw.word0 & SC;

		if (!css_wait(was) || css_tsch(sid, &more))
			break;
		was = io_count;
		more.scsw.word0 |= before;
		more.scsw.channel |= r.irb.scsw.channel;
		more.scsw.device |= r.irb.scsw.device;
		r.irb = more;
	}
	r.interrupts = io_count - first;
	return r;
}

struct result css_run(uint32_t sid, const void *program, uint32_t orb_flags)
{
	struct orb orb = {
		.parameter = sid ^ 0x5a5a0000, .flags = ORB_FORMAT_1 | 0x80u << ORB_LPM_SHIFT | orb_flags, .program = ABSOLUTE(program),
	};

	return css_start(sid, &orb);
}

static void identify(struct device *d)
{
	static struct sense_id id;
	static struct ccw program[1];
	struct result r;

	memset(&id, 0, sizeof(id));
	program[0] = CCW(CMD_SENSE_ID, CCW_SLI, sizeof(id), &id);
	if (!css_enable(d->sid, true, 3, d->sid)) {
		fail("enable", "subchannel 0x%x cannot be enabled", d->sid);
		return;
	}
	r = css_run(d->sid, program, 0);
	if (r.cc || r.tsch) {
		fail("identify", "subchannel 0x%x: SSCH %ld, TSCH %ld", d->sid, r.cc, r.tsch);
		return;
	}
	d->cu_type = id.cu_type;
	d->cu_model = id.cu_model;
	d->device_type = id.device_type;
}

bool css_find(void)
{
	struct schib s;

	interrupt_on(INTERRUPT_IO, css_on_io);
	n_devices = 0;
	for (unsigned int n = 0; n < 0x10000 && n_devices < MAX_DEVICES; n++) {
		long cc = css_stsch(SID(n), &s);

		if (cc == 3)
			break;
		if (cc || !(s.pmcw.flags & PMCW_VALID))
			continue;
		devices[n_devices] = (struct device){ .sid = SID(n), .devno = s.pmcw.devno };
		identify(&devices[n_devices++]);
	}
	return n_devices;
}

struct device *css_virtio(unsigned int type)
{
	for (unsigned int i = 0; i < n_devices; i++)
		if (devices[i].cu_type == CU_VIRTIO && (!type || devices[i].cu_model == type))
			return &devices[i];
	return NULL;
}
