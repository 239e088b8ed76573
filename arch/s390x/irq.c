// SPDX-License-Identifier: MIT
/* Interruptions that are no single vCPU's: KVM's floating interrupt controller (FLIC) holds them until a vCPU is ready for one. */
#include <errno.h>

#include "arch/s390x/s390x.h"
#include "base/sys.h"

/* I/O-interruption word: subclass in bits 2 to 4, bit 0: of an adapter. */
#define IO_WORD(isc) ((uint32_t)(isc) << 27)
#define IO_WORD_ADAPTER UINT32_C(0x80000000)

/* Machine-check-interruption code, bit by bit: channel report pending; what is valid. */
#define MCIC(bit) (UINT64_C(1) << (63 - (bit)))
#define MCIC_CHANNEL_REPORT                                                                                                                          \
	(MCIC(9) | MCIC(20) | MCIC(21) | MCIC(22) | MCIC(23) | MCIC(27) | MCIC(28) | MCIC(29) | MCIC(31) | MCIC(33) | MCIC(42) | MCIC(43) | \
	 MCIC(46) | MCIC(47))
#define CR14_CHANNEL_REPORT (UINT64_C(1) << (63 - 35))

int s390x_create_flic(struct machine *m, struct err *e)
{
	const struct hv_ops *ops = m->hv->ops;
	struct s390x_state *s = s390x_state(m);
	uint64_t none[4] = { 0 };
	int r = ops->create_device(m->hv, KVM_DEV_TYPE_FLIC, &s->flic);

	if (r < 0)
		return err_set(e, r, "KVM's floating interrupt controller cannot be created (%s): use Linux 6.1 or newer on the host", err_name(r));
	/* One adapter for each subclass, which is its number; Linux numbers indicator bits from the left. */
	for (unsigned int isc = 0; isc < 8; isc++) {
		struct kvm_s390_io_adapter adapter = { .id = isc, .isc = (uint8_t)isc, .swap = 1 };

		r = ops->device_attr(m->hv, s->flic, KVM_DEV_FLIC_ADAPTER_REGISTER, 0, &adapter, true);
		if (r < 0)
			return err_set(e, r, "KVM cannot register an I/O adapter: %s", err_name(r));
	}
	/* eventfds can then be routed to adapters; what KVM lacks here, a thread does. */
	if (hv_capability(m->hv, KVM_CAP_S390_IRQCHIP) > 0 && ops->enable_capability(m->hv, KVM_CAP_S390_IRQCHIP, none) >= 0)
		s->can_route = ops->vm_ioctl(m->hv, KVM_CREATE_IRQCHIP, NULL) >= 0;
	return 0;
}

/* KVM has room for hundreds of thousands: who lets so many lie takes none. Whatever else goes wrong would be an interruption that the guest waits for in vain. */
static int enqueue(struct machine *m, struct kvm_s390_irq *irq)
{
	struct s390x_state *s = s390x_state(m);
	int r = m->hv->ops->device_attr(m->hv, s->flic, KVM_DEV_FLIC_ENQUEUE, sizeof(*irq), irq, true);

	if (r == -EBUSY && log_once(&s->said_full))
		log_warning(m->log, "the guest takes no interruptions: KVM holds no more of them, and further ones are lost");
	else if (r < 0 && r != -EBUSY)
		s390x_failed(m, r);
	return r;
}

int s390x_service_signal(struct machine *m, uint32_t parameter)
{
	struct kvm_s390_irq irq = { .type = KVM_S390_INT_SERVICE, .u.ext.ext_params = parameter };

	return enqueue(m, &irq);
}

int s390x_io_interrupt(struct machine *m, uint32_t sid, uint32_t intparm, uint32_t word)
{
	struct kvm_s390_irq irq = {
		.type = KVM_S390_INT_IO(0, (sid >> 24) & 0xff, (sid >> 17) & 3, sid & 0xffff),
		.u.io = { .subchannel_id = (uint16_t)(sid >> 16), .subchannel_nr = (uint16_t)sid, .io_int_parm = intparm, .io_int_word = word },
	};

	return enqueue(m, &irq);
}

int s390x_adapter_interrupt(struct machine *m, unsigned int isc)
{
	struct kvm_s390_irq irq = { .type = KVM_S390_INT_IO(1, 0, 0, 0), .u.io.io_int_word = IO_WORD(isc) | IO_WORD_ADAPTER };

	return enqueue(m, &irq);
}

void s390x_clear_interrupts(struct machine *m)
{
	m->hv->ops->device_attr(m->hv, s390x_state(m)->flic, KVM_DEV_FLIC_CLEAR_IRQS, 0, NULL, true);
}

/* ---- what the channel subsystem asks for ---- */

static void css_interrupt(void *ctx, uint32_t sid, uint32_t intparm, unsigned int isc)
{
	s390x_io_interrupt(ctx, sid, intparm, IO_WORD(isc));
}

static void css_withdraw(void *ctx, uint32_t sid, unsigned int isc)
{
	struct machine *m = ctx;

	m->hv->ops->device_attr(m->hv, s390x_state(m)->flic, KVM_DEV_FLIC_CLEAR_IO_IRQ, sizeof(sid), &sid, true);
}

static void css_report(void *ctx)
{
	struct kvm_s390_irq irq = { .type = KVM_S390_MCHK, .u.mchk = { .cr14 = CR14_CHANNEL_REPORT, .mcic = MCIC_CHANNEL_REPORT } };

	enqueue(ctx, &irq);
}

static void go_on(void *ctx)
{
	struct machine *m = ctx;

	css_continue(m->css);
}

static void css_defer(void *ctx)
{
	struct machine *m = ctx;

	loop_post(m->loop, go_on, m);
}

const struct css_machine_ops s390x_css_ops = {
	.io_interrupt = css_interrupt,
	.io_interrupt_clear = css_withdraw,
	.crw_pending = css_report,
	.defer = css_defer,
};
