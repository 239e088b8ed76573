// SPDX-License-Identifier: MIT
#include "vm/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <termios.h>

#include "backend/disk.h"
#include "backend/link.h"
#include "backend/share.h"
#include "base/sys.h"
#include "hw/cfi_flash.h"
#include "hw/goldfish_rtc.h"
#include "hw/pl031.h"
#include "hw/poweroff.h"
#include "hw/pvpanic.h"
#include "hw/uart8250.h"
#include "virtio/9p.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/net.h"
#include "virtio/rng.h"

/* ---- streams ---- */

static void escaped(void *ctx)
{
	vm_end(ctx, LKVM_END_STOPPED, NULL);
}

/* A pseudo-terminal for --tty N: its master is console N. */
static int open_pty(struct lkvm_vm *vm, const char *text, struct err *e)
{
	unsigned int n;
	struct termios t;
	int fd, r = config_parse_tty(text, &n, e);

	if (r < 0)
		return r;
	if (vm->pty[n] >= 0)
		return err_set(e, -EINVAL, "--tty %s: given twice", text);
	fd = sys_open("/dev/ptmx", O_RDWR | O_NOCTTY, 0);
	if (fd < 0)
		return err_set(e, fd, "--tty %s: no pseudo-terminal: /dev/ptmx: %s", text, err_name(fd));
	vm->pty[n] = fd;
	r = grantpt(fd) || unlockpt(fd) || tcgetattr(fd, &t) ? -errno : 0;
	if (!r) {
		cfmakeraw(&t);
		r = tcsetattr(fd, TCSANOW, &t) ? -errno : 0;
	}
	if (r < 0)
		return err_set(e, r, "--tty %s: no pseudo-terminal: %s", text, err_name(r));
	log_warning(&vm->log, "console %u is on %s", n, ptsname(fd));
	return 0;
}

int vm_open_streams(struct lkvm_vm *vm, struct err *e)
{
	const struct lkvm_config *c = vm->config;
	int r;

	for (unsigned int i = 0; i < c->tty.n; i++)
		if ((r = open_pty(vm, c->tty.items[i], e)) < 0)
			return r;
	for (unsigned int i = 0; i < CONFIG_CONSOLES; i++) {
		struct stream_config sc = {
			.in_fd = vm->pty[i] >= 0 ? vm->pty[i] : c->console_in[i],
			.out_fd = vm->pty[i] >= 0 ? vm->pty[i] : c->console_out[i],
			.escaped = c->escape && vm->pty[i] < 0 ? escaped : NULL,
			.escaped_ctx = vm,
		};

		if (sc.in_fd < 0 && sc.out_fd < 0)
			continue;
		r = stream_open(vm->machine.loop, &sc, &vm->stream[i], e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- platform devices ---- */

/* Of nodes that others point to: the test finisher's, the clock's bus clock. The architectures number theirs from 1. */
#define POWEROFF_PHANDLE 0x10000
#define RTC_CLOCK_PHANDLE 0x10001

static void poweroff_requested(void *ctx, enum poweroff_kind kind, unsigned int code)
{
	static const enum lkvm_end_reason ends[] = {
		[POWEROFF_PASS] = LKVM_END_POWEROFF,
		[POWEROFF_RESET] = LKVM_END_REBOOT,
		[POWEROFF_FAIL] = LKVM_END_PANIC,
	};

	vm_end(ctx, ends[kind], NULL);
}

static void pvpanic_reported(void *ctx, unsigned int events)
{
	if (events & PVPANIC_PANICKED)
		vm_end(ctx, LKVM_END_PANIC, NULL);
	else if (events & PVPANIC_SHUTDOWN)
		vm_end(ctx, LKVM_END_POWEROFF, NULL);
}

static void add_node(struct machine *m, void (*write)(void *, struct dt *), void *ctx)
{
	if (m->n_nodes < ARRAY_SIZE(m->node))
		m->node[m->n_nodes++] = (struct machine_node){ .write = write, .ctx = ctx };
}

/* A node that stands at the root. */
static void add_root_node(struct machine *m, void (*write)(void *, struct dt *), void *ctx)
{
	add_node(m, write, ctx);
	m->node[m->n_nodes - 1].root = true;
}

static void keep(struct lkvm_vm *vm, const struct vm_device_ops *ops, void *dev)
{
	vm->device[vm->n_devices++] = (struct vm_device){ ops, dev };
}

/* The faces under which the machine keeps a platform device: how it stands in the tree, how it is freed, and more of its operations. */
#define PLATFORM_DEVICE(type, ...)                                                                 \
	static void type##_free(void *dev)                                                         \
	{                                                                                          \
		type##_destroy(dev);                                                               \
	}                                                                                          \
	static void type##_node(void *dev, struct dt *dt)                                          \
	{                                                                                          \
		type##_write_dt(dev, dt);                                                          \
	}                                                                                          \
	static const struct vm_device_ops type##_ops = { .destroy = type##_free, __VA_ARGS__ };

/* One that has a state. */
#define STATE_DEVICE(type)                                                                         \
	static void type##_save_state(void *dev, void *state)                                      \
	{                                                                                          \
		type##_save(dev, state);                                                           \
	}                                                                                          \
	static int type##_load_state(void *dev, const void *state)                                 \
	{                                                                                          \
		return type##_load(dev, state);                                                    \
	}                                                                                          \
	PLATFORM_DEVICE(type, .state_size = sizeof(struct type##_state), .save = type##_save_state, .load = type##_load_state)

STATE_DEVICE(uart8250)
STATE_DEVICE(goldfish_rtc)
STATE_DEVICE(pl031)
STATE_DEVICE(cfi_flash)
PLATFORM_DEVICE(poweroff)
PLATFORM_DEVICE(pvpanic)

static void rtc_clock_node(void *dev, struct dt *dt)
{
	pl031_write_clock_dt(dev, dt);
}

static void syscon_node(void *dev, struct dt *dt)
{
	poweroff_write_syscon_dt(dev, dt);
}

static void virtio_node(void *dev, struct dt *dt)
{
	virtio_mmio_write_dt(dev, dt);
}

static void console_changed(void *ctx)
{
	struct machine *m = ctx;

	m->console_changed(m);
}

/* Without UARTs the machine has one console, which is the architecture's. */
static int use_console(struct lkvm_vm *vm, struct err *e)
{
	struct machine *m = &vm->machine;

	for (unsigned int i = 1; i < CONFIG_CONSOLES && vm->config->console != CONSOLE_VIRTIO; i++)
		if (vm->pty[i] >= 0)
			return err_set(e, -EINVAL, "--tty %u: a %s machine has one console, which is number 0; add --console virtio", i, m->arch->name);
	if (vm->stream[0] && vm->config->console == CONSOLE_SERIAL && m->console_changed)
		stream_attach(vm->stream[0], &(struct stream_user){ console_changed, console_changed, m });
	else
		m->console_changed = NULL; /* nobody would call it */
	return 0;
}

static int add_uarts(struct lkvm_vm *vm, struct err *e)
{
	struct machine *m = &vm->machine;
	const struct arch_map *map = m->arch->map;

	if (!map->uart_base)
		return use_console(vm, e);
	for (unsigned int i = 0; i < CONFIG_CONSOLES; i++) {
		struct uart8250_config uc = {
			.base = map->uart_base + i * map->uart_step,
			/* With a virtio console the first port has the main stream only for firmware output. */
			.stream = i == 0 && vm->config->console == CONSOLE_VIRTIO ? NULL : vm->stream[i],
		};
		int r = m->arch->alloc_irq(m, IRQ_LEVEL, &uc.irq, e);

		if (r >= 0)
			r = uart8250_create(&uc, m->bus, &vm->uart[i], e);
		if (r < 0)
			return r;
		keep(vm, &uart8250_ops, vm->uart[i]);
		add_node(m, uart8250_node, vm->uart[i]);
	}
	/* What a kernel takes when no console= is given, and what a bare earlycon means. */
	if (vm->config->console == CONSOLE_SERIAL) {
		snprintf(vm->stdout_path, sizeof(vm->stdout_path), "/soc/serial@%llx", (unsigned long long)map->uart_base);
		m->stdout_path = vm->stdout_path;
	}
	if (!map->uart_alias)
		return 0;
	return uart8250_add_alias(vm->uart[0], m->bus, map->uart_alias, e);
}

static int add_goldfish_rtc(struct lkvm_vm *vm, const struct irq_line *irq, struct err *e)
{
	struct machine *m = &vm->machine;
	const struct goldfish_rtc_config rc = { .base = m->arch->map->rtc_base, .irq = *irq, .alarm.loop = m->loop };
	struct goldfish_rtc *rtc;
	int r = goldfish_rtc_create(&rc, m->bus, &rtc, e);

	if (r < 0)
		return r;
	keep(vm, &goldfish_rtc_ops, rtc);
	add_node(m, goldfish_rtc_node, rtc);
	return 0;
}

static int add_pl031(struct lkvm_vm *vm, const struct irq_line *irq, struct err *e)
{
	struct machine *m = &vm->machine;
	const struct pl031_config rc = {
		.base = m->arch->map->rtc_base,
		.clock_phandle = RTC_CLOCK_PHANDLE,
		.irq = *irq,
		.alarm.loop = m->loop,
	};
	struct pl031 *rtc;
	int r = pl031_create(&rc, m->bus, &rtc, e);

	if (r < 0)
		return r;
	keep(vm, &pl031_ops, rtc);
	add_node(m, pl031_node, rtc);
	add_root_node(m, rtc_clock_node, rtc);
	return 0;
}

static int add_rtc(struct lkvm_vm *vm, struct err *e)
{
	struct irq_line irq;
	int r = vm->machine.arch->alloc_irq(&vm->machine, IRQ_LEVEL, &irq, e);

	if (r < 0)
		return r;
	return vm->machine.arch->map->rtc == ARCH_RTC_PL031 ? add_pl031(vm, &irq, e) : add_goldfish_rtc(vm, &irq, e);
}

static int add_flash(struct lkvm_vm *vm, struct err *e)
{
	struct machine *m = &vm->machine;
	const struct cfi_flash_config fc = {
		.path = vm->config->flash,
		.base = m->arch->map->flash_base,
		.room = m->arch->map->flash_size,
		.hv = m->hv,
		.slot = m->next_slot,
		.log = &vm->log,
	};
	struct cfi_flash *flash;
	int r;

	if (!fc.room)
		return err_set(e, -EINVAL, "--flash: a %s machine has no place for flash memory; leave it out", m->arch->name);
	r = cfi_flash_create(&fc, m->bus, &flash, e);
	if (r < 0)
		return r;
	m->next_slot++;
	keep(vm, &cfi_flash_ops, flash);
	add_node(m, cfi_flash_node, flash);
	return 0;
}

int vm_add_platform_devices(struct lkvm_vm *vm, struct err *e)
{
	struct machine *m = &vm->machine;
	const struct arch_map *map = m->arch->map;
	int r = add_uarts(vm, e);

	if (r < 0)
		return r;
	if (map->rtc_base && (r = add_rtc(vm, e)) < 0)
		return r;
	if (vm->config->flash && (r = add_flash(vm, e)) < 0)
		return r;
	if (map->poweroff_base) {
		struct poweroff_config pc = {
			.base = map->poweroff_base,
			.phandle = POWEROFF_PHANDLE,
			.fn = poweroff_requested,
			.ctx = vm,
		};
		struct poweroff *p;

		if ((r = poweroff_create(&pc, m->bus, &p, e)) < 0)
			return r;
		keep(vm, &poweroff_ops, p);
		add_node(m, poweroff_node, p);
		add_root_node(m, syscon_node, p);
	}
	if (map->pvpanic_base) {
		struct pvpanic_config pc = { .base = map->pvpanic_base, .fn = pvpanic_reported, .ctx = vm };
		struct pvpanic *p;

		if ((r = pvpanic_create(&pc, m->bus, &p, e)) < 0)
			return r;
		keep(vm, &pvpanic_ops, p);
		add_node(m, pvpanic_node, p);
	}
	return 0;
}

/* ---- virtio devices ---- */

/* The first number that no device of this class is named with. */
static unsigned int free_number(const struct lkvm_vm *vm, const char *class)
{
	char name[sizeof(vm->virtio[0].name)];
	unsigned int n = 0, i;

	do {
		snprintf(name, sizeof(name), "%s%u", class, n++);
		for (i = 0; i < vm->n_virtio && strcmp(vm->virtio[i].name, name); i++)
			;
	} while (i < vm->n_virtio);
	return n - 1;
}

/* Gives vd its place on the bus; vd is the VM's from here on, destroyed on failure. */
static int place(struct lkvm_vm *vm, struct virtio_device *vd, bool access_platform, struct err *e)
{
	struct machine *m = &vm->machine;
	const struct arch_map *map = m->arch->map;
	CLEANUP(cleanup_virtio_destroy) struct virtio_device *mine = vd;
	struct vm_virtio v = { .vd = vd, .number = vm->next_place };
	struct virtio_mmio_config mc = {
		.hv = m->hv,
		.slot = m->next_slot,
		.base = map->virtio_base + v.number * map->virtio_step,
		.coalescer = m->coalescer,
	};
	bool running, paused;
	int r;

	if (vm->n_virtio >= MIN(map->n_virtio, (unsigned int)ARRAY_SIZE(vm->virtio)))
		return err_set(e, -ENOSPC, "too many devices: this machine has room for %u virtio devices",
			       MIN(map->n_virtio, (unsigned int)ARRAY_SIZE(vm->virtio)));
	if (v.number > UINT16_MAX)
		return err_set(e, -ENOSPC, "this guest has had %u devices, and no number is given twice", v.number);
	pthread_mutex_lock(&vm->lock);
	running = vm->state != VM_CREATED;
	paused = vm->user_paused;
	pthread_mutex_unlock(&vm->lock);
	if (paused)
		virtio_pause(vd);
	if (access_platform || vm->config->access_platform)
		virtio_offer_access_platform(vd);
	snprintf(v.name, sizeof(v.name), "%s%u", vd->class->name, free_number(vm, vd->class->name));
	if (m->arch->attach) {
		r = m->arch->attach(m, vd, v.number, running, &v.transport, e);
	} else {
		r = m->arch->alloc_irq(m, IRQ_EDGE, &mc.irq, e);
		if (r >= 0)
			r = virtio_mmio_create(vd, m->bus, &mc, &v.mmio, e);
	}
	if (r < 0)
		return r;
	if (v.mmio) {
		m->next_slot++;
		add_node(m, virtio_node, v.mmio);
	}
	pthread_mutex_lock(&vm->lock);
	vm->virtio[vm->n_virtio++] = v;
	vm->next_place++;
	pthread_mutex_unlock(&vm->lock);
	mine = NULL;
	return 0;
}

static int open_share(struct lkvm_vm *vm, const struct share_config *sc, const char *tag, bool access_platform, struct err *e)
{
	struct virtio_9p_config nc = { .tag = tag };
	struct virtio_device *vd;
	int r = share_open(sc, &nc.share, e);

	if (r < 0)
		return r;
	r = virtio_9p_create(&nc, &vm->env, &vd, e);
	if (r < 0) {
		share_close(nc.share);
		return r;
	}
	return place(vm, vd, access_platform, e);
}

/* A folder given as the disk is the root file system. */
static int open_root(struct lkvm_vm *vm, const struct config_disk *d, struct vm_root *root, struct err *e)
{
	const char *path = d->path;
	static const struct share_overlay host = { .path = "/host", .host_path = "/" };
	struct share_config sc = { .path = path };
	CLEANUP_FREE char *init = NULL;

	if (!root)
		return err_set(e, -EINVAL, "--disk %s: a folder can be the root only from the start; use --9p DIR,TAG", path);
	if (root->is_share)
		return err_set(e, -EINVAL, "--disk %s: there is a root folder already", path);
	if (asprintf(&init, "%s/virt/init", path) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	root->is_share = true;
	root->has_init = !access(init, X_OK);
	if (root->has_init) {
		sc.overlays = &host;
		sc.n_overlays = 1;
	}
	return open_share(vm, &sc, "/dev/root", d->access_platform, e);
}

static int open_disk(struct lkvm_vm *vm, const struct config_disk *d, struct err *e)
{
	struct disk_config dc = { .path = d->path, .readonly = d->readonly, .direct = d->direct };
	struct virtio_blk_config bc = { .serial = d->serial, .queues = (unsigned int)d->queues };
	struct virtio_device *vd;
	int r = disk_open(vm->machine.loop, &dc, &bc.disk, e);

	if (r < 0)
		return r;
	r = virtio_blk_create(&bc, &vm->env, &vd, e);
	if (r < 0) {
		disk_close(bc.disk);
		return r;
	}
	return place(vm, vd, d->access_platform, e);
}

static int open_network(struct lkvm_vm *vm, const struct config_network *n, struct err *e)
{
	struct link_config lc = {
		.tapif = n->tapif,
		.fd = n->fd,
		.pairs = (unsigned int)n->queues,
		.host_ip = n->host_ip,
		.script = n->script,
		.downscript = n->downscript,
	};
	struct virtio_net_config nc = {
		.mac = { 0x02, 0x15, 0x15, 0x15, 0x15, (uint8_t)(0x15 + free_number(vm, "net")) },
		.mtu = (unsigned int)n->mtu,
	};
	const struct vhost_config hc = { .pairs = lc.pairs, .memory = vm->machine.memory };
	struct virtio_device *vd;
	int r = link_open(&lc, &nc.link, e);

	if (r < 0)
		return r;
	if (n->has_mac)
		memcpy(nc.mac, n->mac, sizeof(nc.mac));
	if (n->vhost)
		r = vhost_open(&hc, &nc.vhost, e);
	if (r >= 0)
		r = virtio_net_create(&nc, &vm->env, &vd, e);
	if (r < 0) {
		vhost_close(nc.vhost);
		link_close(nc.link);
		return r;
	}
	return place(vm, vd, n->access_platform, e);
}

/* One value of an option. root is NULL when the guest runs. */
static int add_disk(struct lkvm_vm *vm, const char *text, struct vm_root *root, struct err *e)
{
	struct config_disk d;
	struct stat st;
	int r = config_parse_disk(text, &d, e);

	if (r < 0)
		return r;
	if (!stat(d.path, &st) && S_ISDIR(st.st_mode))
		r = open_root(vm, &d, root, e);
	else
		r = open_disk(vm, &d, e);
	config_disk_clear(&d);
	return r;
}

static int add_share(struct lkvm_vm *vm, const char *text, struct vm_root *root, struct err *e)
{
	struct config_share s;
	struct share_config sc = { 0 };
	int r = config_parse_share(text, &s, e);

	if (r < 0)
		return r;
	sc.path = s.path;
	sc.readonly = s.readonly;
	r = open_share(vm, &sc, s.tag, s.access_platform, e);
	config_share_clear(&s);
	return r;
}

static int add_network(struct lkvm_vm *vm, const char *text, struct vm_root *root, struct err *e)
{
	struct config_network n;
	int r = config_parse_network(text, &n, e);

	if (r < 0)
		return r;
	if (!n.none) {
		r = open_network(vm, &n, e);
		if (root)
			root->has_network = true;
	} else if (!root) {
		r = err_set(e, -EINVAL, "--network %s: that is no network card; use mode=tap", text);
	}
	config_network_clear(&n);
	return r;
}

/* What an option's values become, in the order of their making; these can also come and go while the guest runs. */
static const struct {
	const char *option, *class;
	size_t list; /* of struct lkvm_config */
	int (*add)(struct lkvm_vm *vm, const char *text, struct vm_root *root, struct err *e);
} kinds[] = {
	{ "disk", "blk", offsetof(struct lkvm_config, disk), add_disk },
	{ "9p", "9p", offsetof(struct lkvm_config, share), add_share },
	{ "network", "net", offsetof(struct lkvm_config, network), add_network },
};

static int add_console(struct lkvm_vm *vm, struct err *e)
{
	struct stream *streams[CONFIG_CONSOLES];
	struct virtio_console_config cc = { .streams = streams };
	struct virtio_device *vd;
	int r;

	for (unsigned int i = 0; i < CONFIG_CONSOLES; i++)
		if (i == 0 || vm->stream[i])
			streams[cc.n++] = vm->stream[i];
	r = virtio_console_create(&cc, &vm->env, &vd, e);
	return r < 0 ? r : place(vm, vd, false, e);
}

int vm_add_virtio_devices(struct lkvm_vm *vm, struct vm_root *root, struct err *e)
{
	const struct lkvm_config *c = vm->config;
	struct virtio_device *vd;
	int r;

	for (unsigned int k = 0; k < ARRAY_SIZE(kinds); k++) {
		const struct option_list *list = (const void *)((const char *)c + kinds[k].list);

		for (unsigned int i = 0; i < list->n; i++)
			if ((r = kinds[k].add(vm, list->items[i], root, e)) < 0)
				return r;
	}
	if (c->console == CONSOLE_VIRTIO && (r = add_console(vm, e)) < 0)
		return r;
	if (c->rng && ((r = virtio_rng_create(&vm->env, &vd, e)) < 0 || (r = place(vm, vd, false, e)) < 0))
		return r;
	if (c->balloon) {
		if ((r = virtio_balloon_create(&vm->env, &vd, e)) < 0 || (r = place(vm, vd, false, e)) < 0)
			return r;
		vm->balloon = vd;
	}
	return 0;
}

/* ---- coming and going ---- */

/* pause_lock held. Until it is released the loop runs, even if the guest ends. */
static int can_change(struct lkvm_vm *vm, struct err *e)
{
	const struct arch_ops *arch = vm->machine.arch;
	enum vm_state state;

	if (!arch->attach)
		return err_set(e, -EOPNOTSUPP, "the devices of %s guests are virtio-mmio, which stay as they were at the start: give them to lkvm run", arch->name);
	pthread_mutex_lock(&vm->lock);
	state = vm->state;
	pthread_mutex_unlock(&vm->lock);
	return state == VM_RUNNING ? 0 : err_set(e, -ESRCH, "the guest is not running");
}

struct attachment {
	struct lkvm_vm *vm;
	unsigned int kind;
	const char *value;
	struct err *e;
	int result;
};

static void attach(void *ctx)
{
	struct attachment *a = ctx;

	a->result = kinds[a->kind].add(a->vm, a->value, NULL, a->e);
}

int vm_attach(struct lkvm_vm *vm, const char *option, const char *value, struct vm_virtio *ret, struct err *e)
{
	struct attachment a = { .vm = vm, .value = value, .e = e };
	int r;

	while (a.kind < ARRAY_SIZE(kinds) && strcmp(kinds[a.kind].option, option))
		a.kind++;
	if (a.kind == ARRAY_SIZE(kinds))
		return err_set(e, -EINVAL, "a \"%.64s\" cannot be attached: a \"disk\", \"9p\" or \"network\" can", option);
	pthread_mutex_lock(&vm->pause_lock);
	r = can_change(vm, e);
	if (r >= 0)
		r = loop_call(vm->machine.loop, attach, &a);
	if (r >= 0)
		r = a.result;
	if (r >= 0)
		*ret = vm->virtio[vm->n_virtio - 1];
	pthread_mutex_unlock(&vm->pause_lock);
	return r;
}

/* pause_lock held. */
static int find_attached(const struct lkvm_vm *vm, const char *name, unsigned int *ret, struct err *e)
{
	for (unsigned int i = 0; i < vm->n_virtio; i++) {
		if (strcmp(vm->virtio[i].name, name))
			continue;
		for (unsigned int k = 0; k < ARRAY_SIZE(kinds); k++) {
			if (!strcmp(kinds[k].class, vm->virtio[i].vd->class->name)) {
				*ret = i;
				return 0;
			}
		}
		return err_set(e, -EBUSY, "%s stays with its guest: only disks, shared folders and network cards can be taken away", name);
	}
	return err_set(e, -ENODEV, "the guest has no device \"%.64s\"; lkvm stat lists them", name);
}

static void destroy_device(void *vd)
{
	virtio_destroy(vd);
}

int vm_detach(struct lkvm_vm *vm, const char *name, struct err *e)
{
	struct vm_virtio v;
	unsigned int i = 0;
	int r;

	pthread_mutex_lock(&vm->pause_lock);
	r = can_change(vm, e);
	if (r >= 0)
		r = find_attached(vm, name, &i, e);
	if (r >= 0) {
		pthread_mutex_lock(&vm->lock);
		v = vm->virtio[i];
		memmove(&vm->virtio[i], &vm->virtio[i + 1], (--vm->n_virtio - i) * sizeof(v));
		pthread_mutex_unlock(&vm->lock);
		/* Here and not on the loop, which what is in flight needs, and with it a vCPU that is in a command of this device. */
		virtio_pause(v.vd);
		vm->machine.arch->detach(&vm->machine, v.transport);
		r = loop_call(vm->machine.loop, destroy_device, v.vd);
	}
	pthread_mutex_unlock(&vm->pause_lock);
	return r;
}

void vm_remove_devices(struct lkvm_vm *vm)
{
	if (vm->machine.arch && !vm->machine.arch->map->uart_base && vm->stream[0])
		stream_attach(vm->stream[0], NULL);
	while (vm->n_virtio) {
		struct vm_virtio *v = &vm->virtio[--vm->n_virtio];

		if (v->transport)
			vm->machine.arch->detach(&vm->machine, v->transport);
		virtio_mmio_destroy(v->mmio);
		virtio_destroy(v->vd);
	}
	while (vm->n_devices) {
		struct vm_device *d = &vm->device[--vm->n_devices];

		d->ops->destroy(d->dev);
	}
}
