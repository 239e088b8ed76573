// SPDX-License-Identifier: MIT
/*
 * Interrupts that the host gives to a guest without a wire of the VMM's own: messages through the ITS (KVM_SIGNAL_MSI, and an eventfd with a route), and eventfds on
 * wired SPIs, with and without resampling. The guest sets up its ITS and redistributors itself (Arm IHI 0069, 5 and 12.19); it must take exactly what was sent, on the vCPU
 * that it chose, and nothing when an event is unmapped, an LPI is disabled, or the device is another one.
 */
#include <poll.h>
#include <sys/eventfd.h>

#include "machine.h"

#define ITS UINT64_C(0x08200000)
#define TRANSLATER (ITS + 0x10040)
#define KIB64 65536
#define FIRST_LPI 8192
#define ID_BITS 14 /* of LPIs: 8192 of them */
#define DEVICE 42u
#define OTHER_DEVICE 43u
#define EVENTS 32u
#define N_VCPUS 2
#define PATIENCE 20000 /* ms */
#define NOTHING 100   /* ms in which nothing may come */

/* ITS commands, IHI 0069, 5.3. */
enum { CMD_MOVI = 1, CMD_SYNC = 5, CMD_MAPD = 8, CMD_MAPC = 9, CMD_MAPTI = 10, CMD_INV = 12, CMD_DISCARD = 15 };

/* What the guest gives to the ITS and its redistributors; 64 KiB is what they want at most, for size and alignment. */
static uint8_t its_queue[KIB64] __attribute__((aligned(KIB64)));
static uint8_t its_devices[KIB64] __attribute__((aligned(KIB64)));
static uint8_t its_collections[KIB64] __attribute__((aligned(KIB64)));
static uint8_t its_translations[2][4096] __attribute__((aligned(4096)));
static uint8_t lpi_pending[N_VCPUS][KIB64] __attribute__((aligned(KIB64)));
static uint8_t lpi_config[1 << ID_BITS] __attribute__((aligned(KIB64)));

/* What vCPU 0 is asked to do: an ITS command, or with no command a 32-bit write. */
static struct shared {
	volatile uint64_t asked, done, stop;
	volatile uint64_t is_command, dw[4];
	volatile uint64_t running, total, lpi[N_VCPUS][EVENTS], spi[N_VCPUS][32], others;
} shared;

/* ---- guest ---- */

static void write64(uint64_t at, uint64_t value)
{
	__asm__ volatile("str %0, [%1]" : : "r"(value), "r"(at) : "memory");
}

static void write32(uint64_t at, uint32_t value)
{
	__asm__ volatile("str %w0, [%1]" : : "r"(value), "r"(at) : "memory");
}

static uint64_t read64(uint64_t at)
{
	uint64_t value;

	__asm__ volatile("ldr %0, [%1]" : "=r"(value) : "r"(at) : "memory");
	return value;
}

static void on_irq(void)
{
	uint64_t me = sysreg_read(tpidr_el1);
	uint32_t intid = guest_irq_acknowledge();

	if (intid >= FIRST_LPI && intid < FIRST_LPI + EVENTS)
		__atomic_fetch_add(&shared.lpi[me][intid - FIRST_LPI], 1, __ATOMIC_RELEASE);
	else if (intid >= 32 && intid < 64)
		__atomic_fetch_add(&shared.spi[me][intid - 32], 1, __ATOMIC_RELEASE);
	else
		__atomic_fetch_add(&shared.others, 1, __ATOMIC_RELEASE);
	guest_irq_end(intid);
	__atomic_fetch_add(&shared.total, 1, __ATOMIC_RELEASE);
}

static void setup_its(void)
{
	write64(ITS + 0x80, UINT64_C(1) << 63 | (uintptr_t)its_queue | (KIB64 / 4096 - 1)); /* GITS_CBASER */
	write64(ITS + 0x88, 0);							       /* GITS_CWRITER */
	for (uint64_t baser = ITS + 0x100; baser < ITS + 0x140; baser += 8) {
		uint64_t type = read64(baser) >> 56 & 7;
		uint64_t table = type == 1 ? (uintptr_t)its_devices : type == 4 ? (uintptr_t)its_collections : 0;

		if (table)
			write64(baser, UINT64_C(1) << 63 | 2 << 8 | table); /* one page of 64 KiB */
	}
	write32(ITS, 1); /* GITS_CTLR: enabled */
}

static void command(const volatile uint64_t dw[4])
{
	uint64_t writer = read64(ITS + 0x88), next = (writer + 32) % KIB64;

	for (unsigned int i = 0; i < 4; i++)
		((volatile uint64_t *)(its_queue + writer))[i] = dw[i];
	__asm__ volatile("dsb sy" : : : "memory");
	write64(ITS + 0x88, next);
	while (read64(ITS + 0x90) != next) /* GITS_CREADR */
		;
}

static void guest(uint64_t me)
{
	uint64_t redist = GIC_REDIST + me * UINT64_C(0x20000);

	if (!me) {
		guest_gic_init();
		setup_its();
	}
	write64(redist + 0x70, (uintptr_t)lpi_config | (ID_BITS - 1));			 /* GICR_PROPBASER */
	write64(redist + 0x78, (uintptr_t)lpi_pending[me] | UINT64_C(1) << 62);		 /* GICR_PENDBASER, all zero */
	write32(redist, 1);								 /* GICR_CTLR: EnableLPIs */
	guest_gic_vcpu_init((unsigned int)me);
	guest_irq = on_irq;
	guest_irqs_on();
	__atomic_fetch_add(&shared.running, 1, __ATOMIC_RELEASE);
	while (!shared.stop) {
		if (me || __atomic_load_n(&shared.asked, __ATOMIC_ACQUIRE) == shared.done)
			continue;
		if (shared.is_command)
			command(shared.dw);
		else
			write32(shared.dw[0], (uint32_t)shared.dw[1]);
		__atomic_store_n(&shared.done, shared.asked, __ATOMIC_RELEASE);
	}
	for (;;)
		guest_call(0, 0);
}

/* ---- host ---- */

static struct vm vm;
static struct shared *s;

static void on_call(struct vcpu *v, unsigned int op, uint64_t value)
{
	usleep(1000);
}

static void ask(bool is_command, uint64_t dw0, uint64_t dw1, uint64_t dw2)
{
	s->is_command = is_command;
	s->dw[0] = dw0;
	s->dw[1] = dw1;
	s->dw[2] = dw2;
	s->dw[3] = 0;
	__atomic_store_n(&s->asked, s->asked + 1, __ATOMIC_RELEASE);
	if (!wait_for(&s->done, s->asked, PATIENCE)) {
		fail("guest", "it does not do what it is asked to");
		exit(1);
	}
}

static void map_device(uint32_t device, unsigned int translations)
{
	ask(true, CMD_MAPD | (uint64_t)device << 32, 4 /* 32 events */, UINT64_C(1) << 63 | (uintptr_t)its_translations[translations]);
}

static void map_collection(unsigned int collection, unsigned int vcpu)
{
	ask(true, CMD_MAPC, 0, UINT64_C(1) << 63 | vcpu << 16 | collection);
}

static void map_event(uint32_t device, unsigned int event, unsigned int lpi, unsigned int collection)
{
	ask(true, CMD_MAPTI | (uint64_t)device << 32, event | (uint64_t)(FIRST_LPI + lpi) << 32, collection);
}

static void on_event(unsigned int cmd, uint32_t device, unsigned int event, unsigned int collection)
{
	ask(true, cmd | (uint64_t)device << 32, event, collection);
}

static void sync_its(unsigned int vcpu)
{
	ask(true, CMD_SYNC, 0, vcpu << 16);
}

static void enable_lpi(uint32_t device, unsigned int event, unsigned int lpi, bool on)
{
	guest_of(&vm, lpi_config)[lpi] = 0xa0 | on;
	on_event(CMD_INV, device, event, 0);
	sync_its(0);
}

/* KVM_SIGNAL_MSI: 1 delivered, 0 the guest did not want it, -errno. */
static int signal_msi(uint32_t device, unsigned int event)
{
	struct kvm_msi msi = { .address_lo = (uint32_t)TRANSLATER, .address_hi = TRANSLATER >> 32, .data = event, .flags = KVM_MSI_VALID_DEVID, .devid = device };
	int r = ioctl(vm.fd, KVM_SIGNAL_MSI, &msi);

	return r < 0 ? -errno : r;
}

/* All that the guest takes from now on is n times this counter. n 0: nothing at all. */
static uint64_t total_before, counter_before;

static void before(const volatile uint64_t *counter)
{
	counter_before = counter ? *counter : 0;
	total_before = s->total;
}

static bool took(const volatile uint64_t *counter, uint64_t n, const char *what)
{
	bool came = !n || wait_for(&s->total, total_before + n, PATIENCE);

	usleep(NOTHING * 1000);
	return check(came && (!n || *counter == counter_before + n) && s->total == total_before + n, what,
		     "of %" PRIu64 " %" PRIu64 " came, and %" PRIu64 " altogether", n, counter ? *counter - counter_before : 0, s->total - total_before);
}

/* How a message is sent: by the ioctl, or by an eventfd whose route is this message. */
static int msi_fd = -1;

static void route(const struct kvm_irq_routing_entry *e, unsigned int n)
{
	struct kvm_irq_routing *r = calloc(1, sizeof(*r) + n * sizeof(*e));

	must(r ? 0 : -1, "memory");
	r->nr = n;
	memcpy(r->entries, e, n * sizeof(*e));
	must(ioctl(vm.fd, KVM_SET_GSI_ROUTING, r), "KVM_SET_GSI_ROUTING");
	free(r);
}

#define MSI_GSI 100 /* no wire has this number */

static void route_msi(uint32_t device, unsigned int event, bool devid)
{
	route(&(struct kvm_irq_routing_entry){
		      .gsi = MSI_GSI,
		      .type = KVM_IRQ_ROUTING_MSI,
		      .flags = devid ? KVM_MSI_VALID_DEVID : 0,
		      .u.msi = { .address_lo = (uint32_t)TRANSLATER, .address_hi = TRANSLATER >> 32, .data = event, .devid = device },
	      },
	      1);
}

static int irqfd(uint32_t gsi, int fd, uint32_t flags, int resample)
{
	struct kvm_irqfd i = { .fd = (uint32_t)fd, .gsi = gsi, .flags = flags, .resamplefd = (uint32_t)resample };

	return ioctl(vm.fd, KVM_IRQFD, &i) < 0 ? -errno : 0;
}

static void ring(int fd)
{
	must(write(fd, &(uint64_t){ 1 }, 8) == 8 ? 0 : -1, "an eventfd");
}

static void one_message(bool by_fd, uint32_t device, unsigned int event, int should, const char *what)
{
	int r = should;

	if (by_fd) {
		route_msi(device, event, true);
		ring(msi_fd);
	} else {
		r = signal_msi(device, event);
	}
	if (r != should)
		fail(what, "KVM_SIGNAL_MSI returned %d, should be %d", r, should);
}

static void messages(bool by_fd)
{
	const char *how = by_fd ? "irqfd" : "signal";
	char what[64];
	bool ok = true;

#define WHAT(name) (snprintf(what, sizeof(what), "%s-" name, how), what)
	/* Device 42: events 0 to 15 are LPIs 8192 + n, the odd ones on vCPU 1. Device 43: event 0 is LPI 8192 + 20. */
	for (unsigned int i = 0; i < 16 && ok; i++) {
		WHAT("each");
		before(&s->lpi[i & 1][i]);
		one_message(by_fd, DEVICE, i, 1, what);
		ok = wait_for(&s->total, total_before + 1, PATIENCE) && s->lpi[i & 1][i] == counter_before + 1;
		if (i == 15 || !ok)
			check(ok, what, "event %u: %" PRIu64 " came on vCPU %u, %" PRIu64 " altogether", i, s->lpi[i & 1][i] - counter_before, i & 1,
			      s->total - total_before);
	}
	WHAT("many");
	before(&s->lpi[1][3]);
	for (unsigned int i = 1; i <= 100; i++) {
		one_message(by_fd, DEVICE, 3, 1, what);
		if (!wait_for(&s->lpi[1][3], counter_before + i, PATIENCE))
			break;
	}
	took(&s->lpi[1][3], 100, what);
	WHAT("other-device");
	before(&s->lpi[0][20]);
	one_message(by_fd, OTHER_DEVICE, 0, 1, what);
	took(&s->lpi[0][20], 1, what);

	WHAT("unmapped-event");
	before(NULL);
	one_message(by_fd, DEVICE, 16, 0, what);
	one_message(by_fd, OTHER_DEVICE, 1, 0, what);
	one_message(by_fd, DEVICE, 32, 0, what);
	one_message(by_fd, DEVICE, 1u << 20, 0, what);
	took(NULL, 0, what);
	WHAT("unknown-device");
	before(NULL);
	one_message(by_fd, DEVICE + 2, 0, 0, what);
	one_message(by_fd, 0xffffffff, 0, 0, what);
	took(NULL, 0, what);

	/* A disabled LPI waits, and comes once. */
	WHAT("disabled");
	enable_lpi(DEVICE, 4, 4, false);
	before(&s->lpi[0][4]);
	one_message(by_fd, DEVICE, 4, 1, what);
	one_message(by_fd, DEVICE, 4, 1, what);
	took(NULL, 0, what);
	WHAT("enabled-again");
	before(&s->lpi[0][4]);
	enable_lpi(DEVICE, 4, 4, true);
	took(&s->lpi[0][4], 1, what);
	WHAT("moved");
	on_event(CMD_MOVI, DEVICE, 4, 1);
	sync_its(0);
	before(&s->lpi[1][4]);
	one_message(by_fd, DEVICE, 4, 1, what);
	took(&s->lpi[1][4], 1, what);
	on_event(CMD_MOVI, DEVICE, 4, 0);
	WHAT("discarded");
	on_event(CMD_DISCARD, DEVICE, 4, 0);
	before(NULL);
	one_message(by_fd, DEVICE, 4, 0, what);
	took(NULL, 0, what);
	map_event(DEVICE, 4, 4, 0);
	enable_lpi(DEVICE, 4, 4, true);
	WHAT("mapped-again");
	before(&s->lpi[0][4]);
	one_message(by_fd, DEVICE, 4, 1, what);
	took(&s->lpi[0][4], 1, what);
#undef WHAT
}

/* A message that KVM must refuse. */
static void refused(void)
{
	struct kvm_msi nobody = { .address_lo = 0x0a000000, .data = 0, .flags = KVM_MSI_VALID_DEVID, .devid = DEVICE };
	struct kvm_msi no_device = { .address_lo = (uint32_t)TRANSLATER, .data = 0 };

	before(NULL);
	check(ioctl(vm.fd, KVM_SIGNAL_MSI, &nobody) < 0, "no-doorbell", "a message to an address where no ITS is was taken");
	check(ioctl(vm.fd, KVM_SIGNAL_MSI, &no_device) < 0, "no-device-id", "a message without a device id was taken");
	route_msi(DEVICE, 0, false);
	ring(msi_fd);
	took(NULL, 0, "refused");
}

/* Eventfds on wires: gsi n is SPI n, INTID 32 + n, without any route of one's own. */
static void wires(void)
{
	int edge = eventfd(0, EFD_CLOEXEC), level = eventfd(0, EFD_CLOEXEC), resample = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), r;
	const unsigned int edge_spi = 7, level_spi = 31;
	uint64_t n = 0;

	must(edge < 0 || level < 0 || resample < 0 ? -1 : 0, "an eventfd");
	ask(false, GIC_DIST + 0x84, 0xffffffff, 0);				   /* GICD_IGROUPR1 */
	/* GICD_ICFGR: of those two times 16 one is an edge. */
	ask(false, GIC_DIST + 0xc00 + 4 * ((32 + edge_spi) / 16), 2u << edge_spi % 16 * 2, 0);
	ask(false, GIC_DIST + 0xc00 + 4 * ((32 + level_spi) / 16), 0, 0);
	ask(false, GIC_DIST + 0x104, 1u << edge_spi | 1u << level_spi, 0);	   /* GICD_ISENABLER1 */
	r = irqfd(edge_spi, edge, 0, 0);
	if (!check(!r, "wire-irqfd", "KVM_IRQFD: %s", strerror(-r)))
		return;
	before(&s->spi[0][edge_spi]);
	for (unsigned int i = 1; i <= 20; i++) {
		ring(edge);
		if (!wait_for(&s->spi[0][edge_spi], counter_before + i, PATIENCE))
			break;
	}
	took(&s->spi[0][edge_spi], 20, "wire-edge");
	/* Where the guest wants it. */
	ask(false, GIC_DIST + 0x6000 + 8 * (32 + edge_spi), 1, 0); /* GICD_IROUTER: vCPU 1 */
	before(&s->spi[1][edge_spi]);
	ring(edge);
	took(&s->spi[1][edge_spi], 1, "wire-routed");
	ask(false, GIC_DIST + 0x184, 1u << edge_spi, 0); /* GICD_ICENABLER1 */
	before(NULL);
	ring(edge);
	took(NULL, 0, "wire-disabled");
	before(&s->spi[1][edge_spi]);
	ask(false, GIC_DIST + 0x104, 1u << edge_spi, 0);
	took(&s->spi[1][edge_spi], 1, "wire-enabled-again");
	r = irqfd(edge_spi, edge, KVM_IRQFD_FLAG_DEASSIGN, 0);
	must(r ? -1 : 0, "KVM_IRQFD, deassign");
	before(NULL);
	ring(edge);
	took(NULL, 0, "wire-taken-off");

	/* A level stays until the guest has ended the interrupt; then the device is asked, and raises it again when it still wants. */
	r = irqfd(level_spi, level, KVM_IRQFD_FLAG_RESAMPLE, resample);
	if (!check(!r, "resample-irqfd", "KVM_IRQFD: %s", strerror(-r)))
		return;
	before(&s->spi[0][level_spi]);
	for (unsigned int i = 1; i <= 10; i++) {
		struct pollfd p = { .fd = resample, .events = POLLIN };

		ring(level);
		if (poll(&p, 1, PATIENCE) != 1 || read(resample, &n, 8) != 8 || n != 1)
			break;
	}
	took(&s->spi[0][level_spi], 10, "level");
	check(n == 1 && read(resample, &n, 8) < 0, "level-resampled", "the end of the last interrupt was told %" PRIu64 " times", n);
	irqfd(level_spi, level, KVM_IRQFD_FLAG_DEASSIGN, resample);
	close(edge);
	close(level);
	close(resample);
}

/* NULL: ready. */
static const char *add_its(void)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_ARM_VGIC_ITS };
	uint64_t base = ITS;
	struct kvm_device_attr attrs[] = {
		{ .group = KVM_DEV_ARM_VGIC_GRP_ADDR, .attr = KVM_VGIC_ITS_ADDR_TYPE, .addr = (uintptr_t)&base },
		{ .group = KVM_DEV_ARM_VGIC_GRP_CTRL, .attr = KVM_DEV_ARM_VGIC_CTRL_INIT },
	};

	if (!vm_add_gic(&vm))
		return "no GICv3 for guests";
	if (ioctl(vm.fd, KVM_CREATE_DEVICE, &device) < 0)
		return "no ITS for guests";
	for (unsigned int i = 0; i < ARRAY_SIZE(attrs); i++)
		must(ioctl((int)device.fd, KVM_SET_DEVICE_ATTR, &attrs[i]), "KVM_SET_DEVICE_ATTR of the ITS");
	return NULL;
}

int main(void)
{
	const char *why;
	int r;

	vm_create(&vm, N_VCPUS, 0);
	why = add_its();
	if (why) {
		skip("its", "%s on this host: %s", why, strerror(errno));
		return finish();
	}
	s = guest_of(&vm, &shared);
	for (unsigned int i = 0; i < N_VCPUS; i++) {
		must(vcpu_init(&vm.vcpu[i], false), "KVM_ARM_VCPU_INIT");
		vcpu_enter(&vm.vcpu[i], guest, i);
		vcpu_start(&vm.vcpu[i], -1, on_call);
	}
	if (!wait_for(&s->running, N_VCPUS, PATIENCE)) {
		fail("guest", "it does not come up");
		return finish();
	}
	wires();
	for (unsigned int i = 0; i < N_VCPUS; i++)
		map_collection(i, i);
	map_device(DEVICE, 0);
	map_device(OTHER_DEVICE, 1);
	for (unsigned int i = 0; i < 16; i++) {
		map_event(DEVICE, i, i, i & 1);
		enable_lpi(DEVICE, i, i, true);
	}
	map_event(OTHER_DEVICE, 0, 20, 0);
	enable_lpi(OTHER_DEVICE, 0, 20, true);
	messages(false);
	msi_fd = eventfd(0, EFD_CLOEXEC);
	must(msi_fd, "an eventfd");
	route_msi(DEVICE, 0, true);
	r = irqfd(MSI_GSI, msi_fd, 0, 0);
	if (check(!r, "irqfd", "KVM_IRQFD with a message: %s", strerror(-r))) {
		messages(true);
		refused();
	}
	check(!s->others, "others", "%" PRIu64 " interrupts came that nobody sent", s->others);
	s->stop = 1;
	for (unsigned int i = 0; i < N_VCPUS; i++)
		vcpu_stop(&vm.vcpu[i]);
	vm_destroy(&vm);
	return finish();
}
