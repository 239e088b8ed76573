// SPDX-License-Identifier: MIT
/*
 * What leaves the guest: instructions that KVM does not do itself, disabled waits, resets. An instruction is complete when it comes here: the PSW points behind it, which is also
 * what a program interruption needs.
 */
#include <errno.h>
#include <inttypes.h>

#include "arch/machine.h"
#include "arch/s390x/s390x.h"
#include "base/endian.h"
#include "base/sys.h"

/* SIE's interception codes. */
enum {
	ICPT_INSTRUCTION = 0x04,
	ICPT_PROGRAM = 0x08,
	ICPT_EXTERNAL = 0x14,
	ICPT_WAIT = 0x1c,
	ICPT_STOP = 0x28,
	ICPT_OPERATION = 0x2c,
};

enum {
	OP_DIAGNOSE = 0x83,
	OP_SIGNAL_PROCESSOR = 0xae,
	OP_B2 = 0xb2,
	OP_B2_SERVICE_CALL = 0x20,
	OP_B9 = 0xb9,
	OP_B9_PERFORM_TOPOLOGY_FUNCTION = 0xa2,
};

/* PERFORM TOPOLOGY FUNCTION: requests, and the reason why one is refused (bits 48 to 55). */
enum {
	PTF_HORIZONTAL = 0,
	PTF_VERTICAL = 1,
	PTF_CHECK = 2,
};
#define PTF_ALREADY 0x100
#define PTF_NOT_POSSIBLE 0x200

#define MEM_OP_MAX 4096

int s390x_program(struct machine *m, unsigned int i, unsigned int code)
{
	struct kvm_s390_irq irq = { .type = KVM_S390_PROGRAM_INT, .u.pgm.code = (uint16_t)code };

	return m->hv->ops->vcpu_ioctl(m->vcpu[i].hv, KVM_S390_IRQ, &irq);
}

void s390x_set_cc(struct machine *m, unsigned int i, unsigned int cc)
{
	uint64_t *mask = s390x_cpu(m, i)->regs.psw_mask;

	*mask = (*mask & ~(UINT64_C(3) << PSW_CC_SHIFT)) | (uint64_t)(cc & 3) << PSW_CC_SHIFT;
}

/* KVM translates, checks, and injects what the guest has earned: a positive result. */
static int mem_op(struct machine *m, unsigned int i, uint64_t addr, unsigned int ar, unsigned int op, uint64_t flags, void *buf, size_t len)
{
	struct kvm_s390_mem_op o = {
		.gaddr = addr,
		.flags = KVM_S390_MEMOP_F_INJECT_EXCEPTION | flags,
		.size = (uint32_t)len,
		.op = op,
		.buf = (uintptr_t)buf,
		.ar = (uint8_t)ar,
	};
	int r = m->hv->ops->vcpu_ioctl(m->vcpu[i].hv, KVM_S390_MEM_OP, &o);

	return r > 0 ? 1 : r;
}

int s390x_read(struct machine *m, unsigned int i, uint64_t addr, unsigned int ar, void *buf, size_t len)
{
	return mem_op(m, i, addr, ar, KVM_S390_MEMOP_LOGICAL_READ, 0, buf, len);
}

int s390x_write(struct machine *m, unsigned int i, uint64_t addr, unsigned int ar, const void *buf, size_t len)
{
	return mem_op(m, i, addr, ar, KVM_S390_MEMOP_LOGICAL_WRITE, 0, (void *)(uintptr_t)buf, len);
}

int s390x_check_write(struct machine *m, unsigned int i, uint64_t addr, unsigned int ar, size_t len)
{
	char nothing[MEM_OP_MAX]; /* not looked at */

	return mem_op(m, i, addr, ar, KVM_S390_MEMOP_LOGICAL_WRITE, KVM_S390_MEMOP_F_CHECK_ONLY, nothing, len);
}

static uint64_t base_displacement(const struct s390x_cpu *c, uint32_t ipb)
{
	unsigned int base = ipb >> 28;

	return (base ? c->regs.gpr[base] : 0) + (ipb >> 16 & 0xfff);
}

static int signal_processor(struct machine *m, unsigned int i, uint16_t ipa, uint32_t ipb)
{
	const struct s390x_cpu *c = s390x_cpu(m, i);
	unsigned int r1 = ipa >> 4 & 15, r3 = ipa & 15, cc;
	uint32_t status = 0;

	cc = s390x_sigp(m, i, (uint16_t)c->regs.gpr[r3], (uint8_t)base_displacement(c, ipb), c->regs.gpr[r1 | 1], &status);
	if (cc == 1)
		c->regs.gpr[r1] = (c->regs.gpr[r1] & ~UINT64_C(0xffffffff)) | status;
	*c->regs.dirty |= KVM_SYNC_GPRS;
	s390x_set_cc(m, i, cc);
	return 0;
}

static int service_call(struct machine *m, unsigned int i, uint32_t ipb)
{
	const struct s390x_cpu *c = s390x_cpu(m, i);
	int r = sclp_service_call(s390x_state(m)->sclp, (uint32_t)c->regs.gpr[ipb >> 20 & 15], c->regs.gpr[ipb >> 16 & 15], *c->regs.prefix);

	if (r < 0)
		return s390x_program(m, i, (unsigned int)-r);
	s390x_set_cc(m, i, (unsigned int)r);
	return 0;
}

/*
 * The topology is one row of CPUs, and never changes. Also for guests whose model has no facility 11: where a machine's SIE shows them its own list of facilities all the same
 * (Hercules does), Linux asks once a minute.
 */
static int topology(struct machine *m, unsigned int i, uint32_t ipb)
{
	const struct s390x_cpu *c = s390x_cpu(m, i);
	uint64_t *r1 = &c->regs.gpr[ipb >> 20 & 15];

	switch (*r1) {
	case PTF_HORIZONTAL:
	case PTF_VERTICAL:
		*r1 |= *r1 == PTF_HORIZONTAL ? PTF_ALREADY : PTF_NOT_POSSIBLE;
		*c->regs.dirty |= KVM_SYNC_GPRS;
		s390x_set_cc(m, i, 2);
		return 0;
	case PTF_CHECK:
		s390x_set_cc(m, i, 0);
		return 0;
	}
	return s390x_program(m, i, PGM_SPECIFICATION);
}

static int instruction(struct machine *m, unsigned int i, uint16_t ipa, uint32_t ipb)
{
	const struct s390x_cpu *c = s390x_cpu(m, i);
	int r = -EOPNOTSUPP;

	switch (ipa >> 8) {
	case OP_DIAGNOSE:
	case OP_SIGNAL_PROCESSOR:
	case OP_B2:
	case OP_B9:
		if (*c->regs.psw_mask & PSW_PROBLEM)
			return s390x_program(m, i, PGM_PRIVILEGED);
		break;
	}
	switch (ipa >> 8) {
	case OP_DIAGNOSE:
		r = s390x_diagnose(m, i, base_displacement(c, ipb) & 0xffff, ipa >> 4 & 15, ipa & 15);
		break;
	case OP_SIGNAL_PROCESSOR:
		r = signal_processor(m, i, ipa, ipb);
		break;
	case OP_B2:
		r = (ipa & 0xff) == OP_B2_SERVICE_CALL ? service_call(m, i, ipb) : s390x_channel_io(m, i, (uint8_t)ipa, ipb);
		break;
	case OP_B9:
		r = (ipa & 0xff) == OP_B9_PERFORM_TOPOLOGY_FUNCTION ? topology(m, i, ipb) : -EOPNOTSUPP;
		break;
	}
	return r == -EOPNOTSUPP ? s390x_program(m, i, PGM_OPERATION) : r;
}

/*
 * SYSIB 3.2.2 is KVM's; ours is the guest's name in it, in EBCDIC and, whole, in UTF-8 (Principles of Operation, STORE SYSTEM INFORMATION). The first of eight descriptions of 64
 * bytes is the innermost machine's.
 */
#define SYSIB_SIZE 4096
#define SYSIB_VM 32
#define SYSIB_VM_NAME (SYSIB_VM + 12)
#define SYSIB_VM_NAME_SIZE 8
#define SYSIB_VM_ENCODING (SYSIB_VM + 43)
#define SYSIB_UTF8 2
#define SYSIB_LONG_NAME 2048
#define SYSIB_LONG_NAME_SIZE 256

static int store_system_information(struct machine *m, unsigned int i, const struct hv_exit *x)
{
	const char *name = m->name;
	uint8_t sysib[SYSIB_SIZE];
	size_t len;
	int r;

	if (x->s390_stsi.fc != 3 || x->s390_stsi.sel1 != 2 || x->s390_stsi.sel2 != 2 || !name)
		return 0;
	r = s390x_read(m, i, x->s390_stsi.addr, x->s390_stsi.ar, sysib, sizeof(sysib));
	if (r)
		return MIN(r, 0);
	len = strlen(name);
	for (unsigned int k = 0; k < SYSIB_VM_NAME_SIZE; k++)
		sysib[SYSIB_VM_NAME + k] = ascii_to_ebcdic(k < len ? name[k] : ' ');
	sysib[SYSIB_VM_ENCODING] = SYSIB_UTF8;
	memset(sysib + SYSIB_LONG_NAME, 0, SYSIB_LONG_NAME_SIZE);
	memcpy(sysib + SYSIB_LONG_NAME, name, MIN(len, SYSIB_LONG_NAME_SIZE - 1));
	return MIN(s390x_write(m, i, x->s390_stsi.addr, x->s390_stsi.ar, sysib, sizeof(sysib)), 0);
}

static enum arch_verdict done(const struct machine *m, unsigned int i, int r, struct err *e)
{
	if (r >= 0)
		return ARCH_CONTINUE;
	err_set(e, r, "vCPU %u: KVM does not complete an instruction: %s", i, err_name(r));
	return ARCH_ERROR;
}

static enum arch_verdict intercepted(struct machine *m, unsigned int i, struct hv_exit *x, struct err *e)
{
	switch (x->s390_sieic.icptcode) {
	case ICPT_INSTRUCTION:
		return done(m, i, instruction(m, i, x->s390_sieic.ipa, x->s390_sieic.ipb), e);
	case ICPT_OPERATION:
		return done(m, i, s390x_program(m, i, PGM_OPERATION), e);
	case ICPT_WAIT:
		s390x_wait_for_good(m, i, false);
		return ARCH_CONTINUE;
	case ICPT_PROGRAM:
	case ICPT_EXTERNAL: /* the new PSW leads straight to the next such interruption */
		s390x_wait_for_good(m, i, true);
		return ARCH_CONTINUE;
	case ICPT_STOP:
		return ARCH_CONTINUE;
	}
	err_set(e, -EIO, "vCPU %u left the guest with interception code 0x%02x (instruction %04x %08x), which lkvm does not know; a newer lkvm may", i,
		x->s390_sieic.icptcode, x->s390_sieic.ipa, x->s390_sieic.ipb);
	return ARCH_ERROR;
}

enum arch_verdict s390x_handle_exit(struct machine *m, unsigned int i, struct hv_exit *exit, struct err *e)
{
	switch (exit->kind) {
	case HV_EXIT_INTR:
		return ARCH_CONTINUE;
	case HV_EXIT_S390_SIEIC:
		return intercepted(m, i, exit, e);
	case HV_EXIT_S390_TSCH:
		return done(m, i, s390x_test_subchannel(m, i, exit), e);
	case HV_EXIT_S390_STSI:
		return done(m, i, store_system_information(m, i, exit), e);
	case HV_EXIT_S390_RESET: /* diagnose 308, subcodes 3 and 4: the same system again */
		return ARCH_REBOOT;
	default:
		return machine_failed_exit(m, i, exit, e);
	}
}
