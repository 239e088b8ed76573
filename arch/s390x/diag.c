// SPDX-License-Identifier: MIT
/*
 * DIAGNOSE: 308 (IPL; subcodes 3 and 4 come as resets) and 500 (virtio), as Linux's Documentation/virt/kvm/s390/s390-diag.rst describes 500 and its kernels use 308. KVM does 10, 44,
 * 9C, 258 and the doorbells it knows of.
 */
#include <errno.h>

#include "arch/s390x/s390x.h"
#include "base/endian.h"
#include "virtio/transport/ccw.h"

enum {
	DIAG_IPL = 0x308,
	DIAG_VIRTIO = 0x500,
};

enum {
	IPL_CLEAR = 0,
	IPL_LOAD_NORMAL = 1,
	IPL_SET = 5,
	IPL_STORE = 6,
};

#define IPL_DONE 0x0001
#define IPL_NONE 0x0102
#define IPL_INVALID 0x0402
#define IPLB_MIN 8 /* the header */

#define VIRTIO_CCW_NOTIFY 3

/* Subcodes 5 and 6: a block at an absolute address of 4 KiB. */
static int parameter_block(struct machine *m, unsigned int i, uint64_t subcode, unsigned int r1)
{
	const struct s390x_cpu *c = s390x_cpu(m, i);
	struct s390x_state *s = s390x_state(m);
	uint64_t addr = c->regs.gpr[r1], rc = IPL_DONE;
	uint8_t head[IPLB_MIN];
	struct slice page;
	uint32_t len;
	int r = 0;

	if (r1 & 1 || addr & 0xfff)
		return s390x_program(m, i, PGM_SPECIFICATION);
	if (memory_slice(m->memory, addr, S390X_IPLB_SIZE, &page) < 0)
		return s390x_program(m, i, PGM_ADDRESSING);
	pthread_mutex_lock(&s->lock);
	if (subcode == IPL_SET) {
		r = memory_read(m->memory, addr, head, sizeof(head));
		len = r < 0 ? 0 : get_be32(head);
		if (!s->iplb)
			s->iplb = calloc(1, S390X_IPLB_SIZE);
		if (r >= 0 && (len < IPLB_MIN || len > S390X_IPLB_SIZE || !s->iplb)) {
			rc = IPL_INVALID;
		} else if (r >= 0) {
			memset(s->iplb, 0, S390X_IPLB_SIZE);
			r = memory_read(m->memory, addr, s->iplb, len);
			put_be32(s->iplb, len); /* the guest may write meanwhile */
		}
	} else if (!s->iplb || !get_be32(s->iplb)) {
		rc = IPL_NONE;
	} else {
		r = memory_write(m->memory, addr, s->iplb, get_be32(s->iplb));
	}
	pthread_mutex_unlock(&s->lock);
	if (r < 0)
		return s390x_program(m, i, PGM_ADDRESSING);
	c->regs.gpr[r1 + 1] = rc;
	*c->regs.dirty |= KVM_SYNC_GPRS;
	return 0;
}

static int ipl(struct machine *m, unsigned int i, unsigned int r1, unsigned int r3)
{
	uint64_t subcode = s390x_cpu(m, i)->regs.gpr[r3];

	switch (subcode) {
	case IPL_CLEAR:
	case IPL_LOAD_NORMAL:
		s390x_reset_system(m, i, subcode == IPL_CLEAR);
		return 0;
	case IPL_SET:
	case IPL_STORE:
		return parameter_block(m, i, subcode, r1);
	}
	return s390x_program(m, i, PGM_SPECIFICATION);
}

/* General register 1: function 3; 2: subchannel, 3: queue, 4: what the last notification gave. Result in 2. */
static int virtio(struct machine *m, unsigned int i)
{
	const struct s390x_cpu *c = s390x_cpu(m, i);
	int64_t r;

	if (c->regs.gpr[1] != VIRTIO_CCW_NOTIFY)
		return s390x_program(m, i, PGM_SPECIFICATION);
	r = virtio_ccw_notify(m->css, (uint32_t)c->regs.gpr[2], c->regs.gpr[3]);
	c->regs.gpr[2] = (uint64_t)r;
	*c->regs.dirty |= KVM_SYNC_GPRS;
	return 0;
}

int s390x_diagnose(struct machine *m, unsigned int i, unsigned int code, unsigned int r1, unsigned int r3)
{
	switch (code) {
	case DIAG_IPL:
		return ipl(m, i, r1, r3);
	case DIAG_VIRTIO:
		return virtio(m, i);
	}
	/* Among them 501: a breakpoint of nobody's. */
	return s390x_program(m, i, PGM_SPECIFICATION);
}
