// SPDX-License-Identifier: MIT
/*
 * Channel-I/O instructions (Principles of Operation, chapter 14): operands come from registers and guest memory, the channel subsystem does the rest. KVM does TPI, and takes the pending
 * interruption of a TEST SUBCHANNEL out of its queue before it hands that to us. Operands are checked for access before anything changes.
 */
#include <errno.h>

#include "arch/s390x/s390x.h"

enum {
	OP_CSCH = 0x30,
	OP_HSCH = 0x31,
	OP_MSCH = 0x32,
	OP_SSCH = 0x33,
	OP_STSCH = 0x34,
	OP_TSCH = 0x35,
	OP_TPI = 0x36,
	OP_SAL = 0x37,
	OP_RSCH = 0x38,
	OP_STCRW = 0x39,
	OP_STCPS = 0x3a,
	OP_RCHP = 0x3b,
	OP_SCHM = 0x3c,
	OP_CHSC = 0x5f,
	OP_XSCH = 0x76,
};

#define CHANNEL_PATH_STATUS_SIZE 32

/* The second operand of S format; its access register is the base's. */
struct operand {
	uint64_t addr;
	unsigned int ar;
};

static struct operand operand(const struct s390x_cpu *c, uint32_t ipb)
{
	unsigned int base = ipb >> 28;

	return (struct operand){ (base ? c->regs.gpr[base] : 0) + (ipb >> 16 & 0xfff), base };
}

/* The instruction's end: a condition code or a program interruption. */
static int conclude(struct machine *m, unsigned int i, int r)
{
	if (r < 0)
		return s390x_program(m, i, (unsigned int)-r);
	s390x_set_cc(m, i, (unsigned int)r);
	return 0;
}

/* Stores, then sets the condition code. */
static int conclude_store(struct machine *m, unsigned int i, int cc, const struct operand *to, const void *buf, size_t len)
{
	int r = s390x_write(m, i, to->addr, to->ar, buf, len);

	return r ? MIN(r, 0) : conclude(m, i, cc);
}

static int store_subchannel(struct machine *m, unsigned int i, uint32_t sid, const struct operand *to)
{
	struct css_schib schib;
	int r = s390x_check_write(m, i, to->addr, to->ar, sizeof(schib)), cc;

	if (r)
		return MIN(r, 0);
	cc = css_stsch(m->css, sid, &schib);
	return cc == 0 ? conclude_store(m, i, cc, to, &schib, sizeof(schib)) : conclude(m, i, cc);
}

static int modify_subchannel(struct machine *m, unsigned int i, uint32_t sid, const struct operand *from)
{
	struct css_schib schib;
	int r = s390x_read(m, i, from->addr, from->ar, &schib, sizeof(schib));

	return r ? MIN(r, 0) : conclude(m, i, css_msch(m->css, sid, &schib));
}

static int start_subchannel(struct machine *m, unsigned int i, uint32_t sid, const struct operand *from)
{
	struct css_orb orb;
	int r = s390x_read(m, i, from->addr, from->ar, &orb, sizeof(orb));

	return r ? MIN(r, 0) : conclude(m, i, css_ssch(m->css, sid, &orb));
}

static int store_report(struct machine *m, unsigned int i, const struct operand *to)
{
	struct css_crw crw = { 0 };
	int r = s390x_check_write(m, i, to->addr, to->ar, sizeof(crw)), cc;

	if (r)
		return MIN(r, 0);
	cc = css_stcrw(m->css, &crw);
	return cc < 0 ? conclude(m, i, cc) : conclude_store(m, i, cc, to, &crw, sizeof(crw));
}

/* No channel path has anything to say. */
static int store_path_status(struct machine *m, unsigned int i, const struct operand *to)
{
	const uint8_t none[CHANNEL_PATH_STATUS_SIZE] = { 0 };
	int r = s390x_write(m, i, to->addr, to->ar, none, sizeof(none));

	return MIN(r, 0);
}

static int channel_subsystem_call(struct machine *m, unsigned int i, uint64_t addr, unsigned int ar)
{
	CLEANUP_FREE uint8_t *page = NULL;
	int r, cc;

	if (addr & (CHSC_PAGE - 1))
		return s390x_program(m, i, PGM_SPECIFICATION);
	page = malloc(CHSC_PAGE);
	if (!page)
		return -ENOMEM;
	r = s390x_read(m, i, addr, ar, page, CHSC_PAGE);
	if (!r)
		r = s390x_check_write(m, i, addr, ar, CHSC_PAGE);
	if (r)
		return MIN(r, 0);
	cc = css_chsc(m->css, page);
	if (cc >= 0) {
		r = s390x_write(m, i, addr, ar, page, CHSC_PAGE);
		if (r)
			return MIN(r, 0);
	}
	return conclude(m, i, cc);
}

int s390x_test_subchannel(struct machine *m, unsigned int i, const struct hv_exit *exit)
{
	const struct s390x_cpu *c = s390x_cpu(m, i);
	const struct operand to = operand(c, exit->s390_tsch.ipb);
	const uint32_t sid = (uint32_t)c->regs.gpr[1];
	struct css_irb irb = { 0 };
	int r = 0, cc = -1;
	size_t len = 0;

	if (to.addr & 3)
		r = s390x_program(m, i, PGM_SPECIFICATION);
	else
		r = s390x_check_write(m, i, to.addr, to.ar, IRB_SIZE);
	if (!r && !(to.addr & 3)) {
		cc = css_tsch(m->css, sid, &irb, &len);
		r = cc == 0 || cc == 1 ? conclude_store(m, i, cc, &to, &irb, len) : conclude(m, i, cc);
	}
	/* The instruction was suppressed: what KVM took out goes back. With any condition code it was taken, or was about status that is gone. */
	if (cc < 0 && exit->s390_tsch.dequeued)
		s390x_io_interrupt(m, (uint32_t)exit->s390_tsch.subchannel_id << 16 | exit->s390_tsch.subchannel_nr, exit->s390_tsch.io_int_parm,
				   exit->s390_tsch.io_int_word);
	return MIN(r, 0);
}

int s390x_channel_io(struct machine *m, unsigned int i, uint8_t opcode, uint32_t ipb)
{
	const struct s390x_cpu *c = s390x_cpu(m, i);
	const struct operand o = operand(c, ipb);
	const uint64_t gr1 = c->regs.gpr[1];
	const uint32_t sid = (uint32_t)gr1;
	const unsigned int r1 = ipb >> 20 & 15;

	switch (opcode) {
	case OP_MSCH:
	case OP_SSCH:
	case OP_STSCH:
	case OP_STCRW:
	case OP_STCPS:
		/* Operands are words; STCPS's are sixteen of them. */
		if (o.addr & (opcode == OP_STCPS ? CHANNEL_PATH_STATUS_SIZE - 1 : 3))
			return s390x_program(m, i, PGM_SPECIFICATION);
		break;
	}
	switch (opcode) {
	case OP_CSCH:
		return conclude(m, i, css_csch(m->css, sid));
	case OP_HSCH:
		return conclude(m, i, css_hsch(m->css, sid));
	case OP_MSCH:
		return modify_subchannel(m, i, sid, &o);
	case OP_SSCH:
		return start_subchannel(m, i, sid, &o);
	case OP_STSCH:
		return store_subchannel(m, i, sid, &o);
	case OP_SAL:
		return css_sal(m->css, gr1) < 0 ? s390x_program(m, i, PGM_OPERAND) : 0; /* the condition code remains */
	case OP_RSCH:
		return conclude(m, i, css_rsch(m->css, sid));
	case OP_STCRW:
		return store_report(m, i, &o);
	case OP_STCPS:
		return store_path_status(m, i, &o);
	case OP_RCHP:
		return conclude(m, i, css_rchp(m->css, gr1));
	case OP_SCHM: {
		int r = css_schm(m->css, gr1, c->regs.gpr[2]);

		return r < 0 ? s390x_program(m, i, (unsigned int)-r) : 0; /* the condition code remains */
	}
	case OP_CHSC:
		return channel_subsystem_call(m, i, c->regs.gpr[r1], r1);
	case OP_XSCH:
		return conclude(m, i, css_xsch(m->css, sid));
	}
	return -EOPNOTSUPP;
}
