// SPDX-License-Identifier: MIT
/*
 * The state of a paused VM as a row of parts, each with a head that says what it is and how long. They are saved in the order in which they are loaded: vCPUs, then the devices with
 * their lines, and the interrupt controller last, so that whatever loading a device did to a line is overruled by what was saved. Both happen on the loop thread: nothing else
 * moves a line meanwhile.
 */
#include <errno.h>

#include "arch/machine.h"
#include "vm/vm.h"

#define MAGIC UINT32_C(0x736d766c) /* "lvms" */
#define VERSION 1

enum part_kind { PART_HEAD = 1, PART_VCPU, PART_DEVICE, PART_VIRTIO, PART_TRANSPORT, PART_IRQCHIP };

struct part {
	uint32_t kind, index;
	uint64_t len; /* of what follows, rounded up to 8 */
};

struct head {
	uint32_t magic, version, n_vcpus, n_devices, n_virtio, reserved;
	uint64_t ram_size;
};

struct walk {
	struct lkvm_vm *vm;
	uint8_t *to;	      /* saving: NULL or len bytes; */
	const uint8_t *from; /* or loading */
	size_t len, used;
	struct err *e;
	int r;
};

static struct head head_of(const struct lkvm_vm *vm)
{
	return (struct head){
		.magic = MAGIC,
		.version = VERSION,
		.n_vcpus = vm->machine.n_vcpus,
		.n_devices = vm->n_devices,
		.n_virtio = vm->n_virtio,
		.ram_size = vm->machine.ram_size,
	};
}

/* --- saving: into len bytes, NULL when there is too little room; what it needs, or -errno --- */

static int64_t save_head(struct lkvm_vm *vm, unsigned int i, void *buf, size_t len)
{
	const struct head h = head_of(vm);

	if (len >= sizeof(h))
		memcpy(buf, &h, sizeof(h));
	return sizeof(h);
}

static int64_t save_vcpu(struct lkvm_vm *vm, unsigned int i, void *buf, size_t len)
{
	return machine_save_vcpu(&vm->machine, i, buf, len);
}

static int64_t save_device(struct lkvm_vm *vm, unsigned int i, void *buf, size_t len)
{
	const struct vm_device *d = &vm->device[i];

	if (d->ops->state_size && len >= d->ops->state_size) {
		memset(buf, 0, d->ops->state_size);
		d->ops->save(d->dev, buf);
	}
	return (int64_t)d->ops->state_size;
}

static int64_t save_virtio(struct lkvm_vm *vm, unsigned int i, void *buf, size_t len)
{
	int64_t size = virtio_save(vm->virtio[i].vd, NULL, 0);

	return size < 0 || len < (size_t)size ? size : virtio_save(vm->virtio[i].vd, buf, len);
}

static int64_t save_transport(struct lkvm_vm *vm, unsigned int i, void *buf, size_t len)
{
	const uint32_t status = virtio_mmio_save(vm->virtio[i].mmio);

	if (len >= sizeof(status))
		memcpy(buf, &status, sizeof(status));
	return sizeof(status);
}

static int64_t save_irqchip(struct lkvm_vm *vm, unsigned int i, void *buf, size_t len)
{
	return vm->machine.arch->save_irqchip(&vm->machine, buf, len);
}

/* --- loading --- */

static int load_head(struct lkvm_vm *vm, unsigned int i, const void *buf, size_t len, struct err *e)
{
	const struct head h = head_of(vm);

	return len == sizeof(h) && !memcmp(buf, &h, sizeof(h)) ? 0 : err_set(e, -EINVAL, "the saved state is not of a machine like this one");
}

static int load_vcpu(struct lkvm_vm *vm, unsigned int i, const void *buf, size_t len, struct err *e)
{
	return machine_load_vcpu(&vm->machine, i, buf, len, e);
}

static int load_device(struct lkvm_vm *vm, unsigned int i, const void *buf, size_t len, struct err *e)
{
	const struct vm_device *d = &vm->device[i];

	if (len != d->ops->state_size || (len && d->ops->load(d->dev, buf) < 0))
		return err_set(e, -EINVAL, "the saved state of platform device %u cannot be", i);
	return 0;
}

static int load_virtio(struct lkvm_vm *vm, unsigned int i, const void *buf, size_t len, struct err *e)
{
	return virtio_load(vm->virtio[i].vd, buf, len, e);
}

static int load_transport(struct lkvm_vm *vm, unsigned int i, const void *buf, size_t len, struct err *e)
{
	uint32_t status = UINT32_MAX;

	if (len == sizeof(status))
		memcpy(&status, buf, sizeof(status));
	return virtio_mmio_load(vm->virtio[i].mmio, status) < 0 ? err_set(e, -EINVAL, "%s: the saved interrupt status cannot be", vm->virtio[i].name) : 0;
}

static int load_irqchip(struct lkvm_vm *vm, unsigned int i, const void *buf, size_t len, struct err *e)
{
	return vm->machine.arch->load_irqchip(&vm->machine, buf, len, e);
}

/* --- both --- */

static const struct {
	const char *name;
	int64_t (*save)(struct lkvm_vm *vm, unsigned int i, void *buf, size_t len);
	int (*load)(struct lkvm_vm *vm, unsigned int i, const void *buf, size_t len, struct err *e);
} part_class[] = {
	[PART_HEAD] = { "head", save_head, load_head },
	[PART_VCPU] = { "vCPU", save_vcpu, load_vcpu },
	[PART_DEVICE] = { "platform device", save_device, load_device },
	[PART_VIRTIO] = { "virtio device", save_virtio, load_virtio },
	[PART_TRANSPORT] = { "transport of virtio device", save_transport, load_transport },
	[PART_IRQCHIP] = { "interrupt controller", save_irqchip, load_irqchip },
};

static void save_part(struct walk *w, enum part_kind kind, unsigned int i)
{
	size_t at = w->used + sizeof(struct part), room = w->to && w->len > at ? w->len - at : 0, end;
	int64_t n;

	if (w->r < 0)
		return;
	n = part_class[kind].save(w->vm, i, room ? w->to + at : NULL, room);
	if (n < 0) {
		w->r = err_set(w->e, (int)n, "the state of %s %u cannot be saved: %s", part_class[kind].name, i, err_name((int)n));
		return;
	}
	end = at + round_up((size_t)n, 8);
	if (w->to && end <= w->len) {
		memcpy(w->to + w->used, &(struct part){ kind, i, (uint64_t)n }, sizeof(struct part));
		memset(w->to + at + n, 0, end - at - (size_t)n);
	}
	w->used = end;
}

static void load_part(struct walk *w, enum part_kind kind, unsigned int i)
{
	const uint8_t *at = w->from + w->used;
	size_t left = w->len - w->used;
	struct part p;

	if (w->r < 0)
		return;
	if (left >= sizeof(p)) {
		memcpy(&p, at, sizeof(p));
		left -= sizeof(p);
		if (p.kind == kind && p.index == i && p.len <= left && round_up(p.len, 8) <= left) {
			w->used += sizeof(p) + round_up(p.len, 8);
			w->r = part_class[kind].load(w->vm, i, at + sizeof(p), p.len, w->e);
			return;
		}
	}
	w->r = err_set(w->e, -EINVAL, "the saved state is not of a machine like this one, or cut off: %s %u is not where it belongs", part_class[kind].name, i);
}

/* The parts in their order. */
static void each_part(struct walk *w, void (*fn)(struct walk *w, enum part_kind kind, unsigned int i))
{
	const struct lkvm_vm *vm = w->vm;

	fn(w, PART_HEAD, 0);
	for (unsigned int i = 0; i < vm->machine.n_vcpus; i++)
		fn(w, PART_VCPU, i);
	for (unsigned int i = 0; i < vm->n_devices; i++)
		fn(w, PART_DEVICE, i);
	for (unsigned int i = 0; i < vm->n_virtio; i++) {
		fn(w, PART_VIRTIO, i);
		fn(w, PART_TRANSPORT, i);
	}
	fn(w, PART_IRQCHIP, 0);
}

static void save_all(void *ctx)
{
	each_part(ctx, save_part);
}

static void load_all(void *ctx)
{
	struct walk *w = ctx;

	/* Until the start: what comes after this may be the RAM. */
	for (unsigned int i = 0; i < w->vm->n_virtio; i++)
		virtio_pause(w->vm->virtio[i].vd);
	each_part(w, load_part);
	if (w->r >= 0 && w->used != w->len)
		w->r = err_set(w->e, -EINVAL, "the saved state is longer than this machine's");
}

static int run(struct walk *w, void (*fn)(void *ctx))
{
	const struct arch_ops *arch = w->vm->machine.arch;
	int r;

	if (!arch->save_irqchip || arch->attach)
		return err_set(w->e, -EOPNOTSUPP, "the state of %s guests cannot be saved yet", arch->name);
	r = loop_call(w->vm->machine.loop, fn, w);
	return r < 0 ? r : w->r;
}

int64_t vm_save(struct lkvm_vm *vm, void *buf, size_t len, struct err *e)
{
	struct walk w = { .vm = vm, .to = buf, .len = len, .e = e };
	bool paused;
	int r;

	pthread_mutex_lock(&vm->pause_lock);
	pthread_mutex_lock(&vm->lock);
	paused = vm->state == VM_RUNNING && vm->user_paused;
	pthread_mutex_unlock(&vm->lock);
	r = paused ? run(&w, save_all) : err_set(e, -EBUSY, "the guest is not paused");
	pthread_mutex_unlock(&vm->pause_lock);
	return r < 0 ? r : (int64_t)w.used;
}

int vm_load(struct lkvm_vm *vm, const void *buf, size_t len, struct err *e)
{
	struct walk w = { .vm = vm, .from = buf, .len = len, .e = e };
	bool created;
	int r;

	pthread_mutex_lock(&vm->pause_lock);
	pthread_mutex_lock(&vm->lock);
	created = vm->state == VM_CREATED;
	pthread_mutex_unlock(&vm->lock);
	r = created ? run(&w, load_all) : err_set(e, -EBUSY, "this virtual machine was started before");
	pthread_mutex_unlock(&vm->pause_lock);
	return r;
}
