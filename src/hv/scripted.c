// SPDX-License-Identifier: MIT
/* Played, not run: what KVM would do with the guest's accesses, without a guest. */
#include "hv/scripted.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "base/sys.h"

#define MAX_SLOTS 128
#define MAX_IOEVENTFDS 256
#define MAX_ZONES 256
#define RING_SIZE 64 /* small, so that tests meet a full one */
#define REG_BYTES 256

struct slot {
	uint32_t flags;
	uint64_t gpa, size;
	char *host;
};

struct zone {
	uint64_t gpa;
	uint32_t size;
};

struct scripted {
	struct hv hv;
	struct scripted_config config;
	atomic_ulong calls;
	pthread_mutex_t lock; /* everything below */
	struct slot slot[MAX_SLOTS];
	struct hv_ioeventfd io[MAX_IOEVENTFDS];
	unsigned int n_io;
	struct zone zone[MAX_ZONES];
	unsigned int n_zones;
	struct hv_coalesced ring[RING_SIZE];
	unsigned int ring_first, ring_n;
};

struct scripted_vcpu {
	struct hv_vcpu vcpu;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool kicked;
	bool level;
	unsigned int changes, interrupts;
	uint32_t mp_state;
	/* The running thread's own. */
	const struct scripted_step *script;
	unsigned int n_steps, at;
	const struct scripted_step *checking; /* the read that the last exit was */
	uint8_t data[8];
	unsigned long sbi_ret[2], csr_ret;
	struct {
		uint64_t psw[2], gpr[16], cr[16], prefix, dirty;
		uint32_t ar[16];
	} s390;
	uint8_t (*reg)[REG_BYTES];
};

static struct scripted *scripted_of(struct hv *hv)
{
	return container_of(hv, struct scripted, hv);
}

static struct scripted_vcpu *vcpu_of(struct hv_vcpu *vcpu)
{
	return container_of(vcpu, struct scripted_vcpu, vcpu);
}

/* Counts a host call; the one that shall fail gives its -errno. */
static int host_call(struct hv *hv)
{
	struct scripted *s = scripted_of(hv);

	if (atomic_fetch_add(&s->calls, 1) + 1 != s->config.fail_nth)
		return 0;
	return s->config.fail_errno > 0 ? -s->config.fail_errno
	       : s->config.fail_errno	? s->config.fail_errno
					: -EIO;
}

#define HOST_CALL(hv)                                                                              \
	do {                                                                                       \
		int failed_ = host_call(hv);                                                       \
                                                                                                   \
		if (failed_)                                                                       \
			return failed_;                                                            \
	} while (0)

/* --- the VM --- */

static void scripted_destroy(struct hv *hv)
{
	struct scripted *s = scripted_of(hv);

	pthread_mutex_destroy(&s->lock);
	free(s);
}

static int scripted_capability(struct hv *hv, unsigned int cap)
{
	struct scripted *s = scripted_of(hv);

	for (unsigned int i = 0; i < s->config.n_caps; i++)
		if (s->config.caps[i].cap == cap)
			return s->config.caps[i].value;
	return 0;
}

static int scripted_enable_capability(struct hv *hv, unsigned int cap, const uint64_t args[4])
{
	HOST_CALL(hv);
	return scripted_capability(hv, cap) ? 0 : -EINVAL;
}

static int scripted_set_memory(struct hv *hv, unsigned int slot, uint32_t flags, uint64_t gpa,
			       uint64_t size, void *host)
{
	struct scripted *s = scripted_of(hv);
	int code = 0;

	HOST_CALL(hv);
	if (slot >= MAX_SLOTS || (gpa | size) & 0xfff || gpa + size < gpa)
		return -EINVAL;
	pthread_mutex_lock(&s->lock);
	for (unsigned int i = 0; size && i < MAX_SLOTS; i++)
		if (i != slot && s->slot[i].size &&
		    ranges_overlap(gpa, size, s->slot[i].gpa, s->slot[i].size))
			code = -EEXIST;
	if (!size && !s->slot[slot].size)
		code = -EINVAL;
	if (!code)
		s->slot[slot] = (struct slot){flags, gpa, size, host};
	pthread_mutex_unlock(&s->lock);
	return code;
}

static int scripted_dirty_log(struct hv *hv, unsigned int slot, uint64_t *bitmap)
{
	struct scripted *s = scripted_of(hv);
	int code = -ENOENT;

	HOST_CALL(hv);
	pthread_mutex_lock(&s->lock);
	if (slot < MAX_SLOTS && s->slot[slot].size && s->slot[slot].flags & KVM_MEM_LOG_DIRTY_PAGES) {
		memset(bitmap, 0, (size_t)((s->slot[slot].size >> 12) + 63) / 64 * 8);
		code = 0;
	}
	pthread_mutex_unlock(&s->lock);
	return code;
}

static int scripted_create_device(struct hv *hv, uint32_t type, int *ret_fd)
{
	int fd;

	HOST_CALL(hv);
	if (!ret_fd)
		return 0;
	fd = sys_eventfd();
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

static int scripted_device_attr(struct hv *hv, int fd, uint32_t group, uint64_t attr, void *value,
				bool set)
{
	HOST_CALL(hv);
	return fd < 0 ? -EBADF : 0;
}

static int scripted_irq_line(struct hv *hv, uint32_t irq, bool level)
{
	HOST_CALL(hv);
	return 0;
}

static int scripted_irqfd(struct hv *hv, uint32_t gsi, int fd, int resample_fd, bool assign)
{
	HOST_CALL(hv);
	return fd < 0 ? -EBADF : 0;
}

static int scripted_set_routes(struct hv *hv, const struct hv_route *routes, unsigned int n)
{
	HOST_CALL(hv);
	return 0;
}

static int scripted_signal_msi(struct hv *hv, const struct hv_route *msi)
{
	HOST_CALL(hv);
	return 1;
}

static bool same_doorbell(const struct hv_ioeventfd *a, const struct hv_ioeventfd *b)
{
	return a->ccw == b->ccw && a->gpa == b->gpa && a->len == b->len && a->match == b->match &&
	       (!a->match || a->data == b->data);
}

static int scripted_ioeventfd(struct hv *hv, const struct hv_ioeventfd *io, bool assign)
{
	struct scripted *s = scripted_of(hv);
	int code = assign ? 0 : -ENOENT;

	HOST_CALL(hv);
	if (io->fd < 0)
		return -EBADF;
	if ((io->len & (io->len - 1)) || io->len > 8 || (io->match && !io->len))
		return -EINVAL;
	pthread_mutex_lock(&s->lock);
	for (unsigned int i = 0; i < s->n_io; i++) {
		if (!same_doorbell(&s->io[i], io))
			continue;
		if (assign) {
			code = -EEXIST;
		} else if (s->io[i].fd == io->fd) {
			s->io[i] = s->io[--s->n_io];
			code = 0;
		}
		break;
	}
	if (assign && !code) {
		if (s->n_io < MAX_IOEVENTFDS)
			s->io[s->n_io++] = *io;
		else
			code = -ENOSPC;
	}
	pthread_mutex_unlock(&s->lock);
	return code;
}

static int scripted_coalesce(struct hv *hv, uint64_t gpa, uint32_t size, bool add)
{
	struct scripted *s = scripted_of(hv);
	int code = 0;

	HOST_CALL(hv);
	if (!scripted_capability(hv, KVM_CAP_COALESCED_MMIO))
		return -ENOTTY;
	pthread_mutex_lock(&s->lock);
	if (add && s->n_zones == MAX_ZONES) {
		code = -ENOSPC;
	} else if (add) {
		s->zone[s->n_zones++] = (struct zone){gpa, size};
	} else {
		/* As KVM: every zone that lies in the range goes. */
		for (unsigned int i = s->n_zones; i-- > 0;)
			if (s->zone[i].gpa >= gpa && s->zone[i].gpa + s->zone[i].size <= gpa + size)
				s->zone[i] = s->zone[--s->n_zones];
	}
	pthread_mutex_unlock(&s->lock);
	return code;
}

static int scripted_coalesced_pop(struct hv *hv, struct hv_coalesced *ret)
{
	struct scripted *s = scripted_of(hv);
	int n = 0;

	pthread_mutex_lock(&s->lock);
	if (s->ring_n) {
		*ret = s->ring[s->ring_first];
		s->ring_first = (s->ring_first + 1) % RING_SIZE;
		s->ring_n--;
		n = 1;
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

static int scripted_vm_ioctl(struct hv *hv, unsigned long request, void *arg)
{
	HOST_CALL(hv);
	return 0;
}

/* --- vCPUs --- */

static int scripted_create_vcpu(struct hv *hv, unsigned long id, struct hv_vcpu **ret)
{
	struct scripted *s = scripted_of(hv);
	struct scripted_vcpu *v;

	HOST_CALL(hv);
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->reg = calloc(s->config.n_regs + 1, sizeof(*v->reg));
	if (!v->reg) {
		free(v);
		return -ENOMEM;
	}
	v->vcpu = (struct hv_vcpu){.hv = hv, .id = id};
	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->cond, NULL);
	if (id < s->config.n_scripts && s->config.scripts[id]) {
		v->script = s->config.scripts[id];
		v->n_steps = s->config.script_len[id];
	}
	*ret = &v->vcpu;
	return 0;
}

static void scripted_vcpu_destroy(struct hv_vcpu *vcpu)
{
	struct scripted_vcpu *v = vcpu_of(vcpu);

	pthread_mutex_destroy(&v->lock);
	pthread_cond_destroy(&v->cond);
	free(v->reg);
	free(v);
}

static bool take_kick(struct scripted_vcpu *v, bool wait)
{
	bool kicked;

	pthread_mutex_lock(&v->lock);
	while (wait && !v->kicked)
		pthread_cond_wait(&v->cond, &v->lock);
	kicked = v->kicked;
	v->kicked = false;
	pthread_mutex_unlock(&v->lock);
	return kicked;
}

/* A script whose expectation fails is a failed test, whatever the code under test makes of it. */
static void check_read(const struct scripted_step *step, const uint8_t *data)
{
	uint64_t got = get_le(data, step->len);

	if (!step->check || got == step->value)
		return;
	fprintf(stderr, "scripted guest: read of %u bytes at 0x%" PRIx64 " gave 0x%" PRIx64
		", expected 0x%" PRIx64 "\n", step->len, step->gpa, got, step->value);
	abort();
}

/* Plays one step; true when it is an exit. */
static bool play(struct scripted_vcpu *v, const struct scripted_step *step, struct hv_exit *ret)
{
	struct hv *hv = v->vcpu.hv;

	switch (step->what) {
	case STEP_MMIO_READ:
		memset(v->data, 0, sizeof(v->data));
		if (hv_scripted_guest_read(hv, step->gpa, v->data, step->len)) {
			check_read(step, v->data);
			return false;
		}
		memset(v->data, 0, sizeof(v->data));
		v->checking = step;
		break;
	case STEP_MMIO_WRITE:
		put_le(v->data, step->len, step->value);
		if (hv_scripted_guest_write(hv, step->gpa, v->data, step->len))
			return false;
		break;
	case STEP_CALL:
		step->call(&v->vcpu);
		return false;
	case STEP_EXIT:
		*ret = step->exit;
		memset(v->sbi_ret, 0, sizeof(v->sbi_ret));
		v->csr_ret = 0;
		memset(v->data, 0, sizeof(v->data));
		/* Scripts are const: the answers go into our own room, as they do in a run page. */
		if (ret->kind == HV_EXIT_RISCV_SBI)
			ret->sbi.ret = v->sbi_ret;
		else if (ret->kind == HV_EXIT_RISCV_CSR)
			ret->csr.ret_value = &v->csr_ret;
		else if (ret->kind == HV_EXIT_MMIO) {
			if (ret->mmio.data)
				memcpy(v->data, ret->mmio.data, ret->mmio.len);
			ret->mmio.data = v->data;
		}
		return true;
	case STEP_ERROR:
		return true;
	}
	*ret = (struct hv_exit){.kind = HV_EXIT_MMIO,
				.unknown_reason = KVM_EXIT_MMIO,
				.mmio = {.gpa = step->gpa,
					 .data = v->data,
					 .len = (uint8_t)step->len,
					 .is_write = step->what == STEP_MMIO_WRITE}};
	return true;
}

static int scripted_vcpu_run(struct hv_vcpu *vcpu, struct hv_exit *ret)
{
	struct scripted_vcpu *v = vcpu_of(vcpu);

	HOST_CALL(vcpu->hv);
	/* The answer to the last exit arrives first, as in KVM_RUN, also when the run is cut short. */
	if (v->checking) {
		const struct scripted_step *step = v->checking;

		v->checking = NULL;
		check_read(step, v->data);
	}
	for (;;) {
		const struct scripted_step *step;

		if (take_kick(v, v->at >= v->n_steps)) {
			*ret = (struct hv_exit){.kind = HV_EXIT_INTR,
						.unknown_reason = KVM_EXIT_INTR};
			return 0;
		}
		step = &v->script[v->at++];
		if (play(v, step, ret))
			return step->what != STEP_ERROR ? 0
			       : step->error > 0	? -step->error
							: step->error;
	}
}

static void scripted_vcpu_wait(struct hv_vcpu *vcpu)
{
	take_kick(vcpu_of(vcpu), true);
}

static void scripted_vcpu_kick(struct hv_vcpu *vcpu)
{
	struct scripted_vcpu *v = vcpu_of(vcpu);

	pthread_mutex_lock(&v->lock);
	v->kicked = true;
	pthread_cond_broadcast(&v->cond);
	pthread_mutex_unlock(&v->lock);
}

static void *scripted_device_page(struct hv *hv, int fd)
{
	return NULL;
}

static bool scripted_on_vcpu(struct hv *hv)
{
	return false;
}

static int scripted_vcpu_bind(struct hv_vcpu *vcpu)
{
	HOST_CALL(vcpu->hv);
	return 0;
}

static uint8_t *find_reg(struct hv_vcpu *vcpu, uint64_t id)
{
	struct scripted *s = scripted_of(vcpu->hv);

	for (unsigned int i = 0; i < s->config.n_regs; i++)
		if (s->config.regs[i] == id)
			return vcpu_of(vcpu)->reg[i];
	return NULL;
}

static size_t reg_size(uint64_t id)
{
	return MIN((size_t)1 << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT), REG_BYTES);
}

static int scripted_get_reg(struct hv_vcpu *vcpu, uint64_t id, void *value)
{
	const uint8_t *reg = find_reg(vcpu, id);

	HOST_CALL(vcpu->hv);
	if (!reg)
		return -ENOENT;
	memcpy(value, reg, reg_size(id));
	return 0;
}

static int scripted_set_reg(struct hv_vcpu *vcpu, uint64_t id, const void *value)
{
	uint8_t *reg = find_reg(vcpu, id);

	HOST_CALL(vcpu->hv);
	if (!reg)
		return -ENOENT;
	memcpy(reg, value, reg_size(id));
	return 0;
}

static int scripted_reg_list(struct hv_vcpu *vcpu, uint64_t *ids, unsigned int max)
{
	struct scripted *s = scripted_of(vcpu->hv);

	HOST_CALL(vcpu->hv);
	if (s->config.n_regs)
		memcpy(ids, s->config.regs, MIN(max, s->config.n_regs) * sizeof(*ids));
	return (int)s->config.n_regs;
}

static int scripted_vcpu_interrupt(struct hv_vcpu *vcpu, bool level)
{
	struct scripted_vcpu *v = vcpu_of(vcpu);

	HOST_CALL(vcpu->hv);
	pthread_mutex_lock(&v->lock);
	v->changes += v->level != level;
	v->interrupts++;
	v->level = level;
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static int scripted_get_mp_state(struct hv_vcpu *vcpu, uint32_t *ret_state)
{
	struct scripted_vcpu *v = vcpu_of(vcpu);

	HOST_CALL(vcpu->hv);
	pthread_mutex_lock(&v->lock);
	*ret_state = v->mp_state;
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static int scripted_set_mp_state(struct hv_vcpu *vcpu, uint32_t state)
{
	struct scripted_vcpu *v = vcpu_of(vcpu);

	HOST_CALL(vcpu->hv);
	pthread_mutex_lock(&v->lock);
	v->mp_state = state;
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static int scripted_vcpu_ioctl(struct hv_vcpu *vcpu, unsigned long request, void *arg)
{
	HOST_CALL(vcpu->hv);
	return 0;
}

static void scripted_s390_regs(struct hv_vcpu *vcpu, struct hv_s390_regs *ret)
{
	struct scripted_vcpu *v = vcpu_of(vcpu);

	*ret = (struct hv_s390_regs){
		.psw_mask = &v->s390.psw[0],
		.psw_addr = &v->s390.psw[1],
		.gpr = v->s390.gpr,
		.cr = v->s390.cr,
		.ar = v->s390.ar,
		.prefix = &v->s390.prefix,
		.dirty = &v->s390.dirty,
	};
}

static const struct hv_ops scripted_ops = {
	.name = "scripted",
	.destroy = scripted_destroy,
	.capability = scripted_capability,
	.enable_capability = scripted_enable_capability,
	.set_memory = scripted_set_memory,
	.dirty_log = scripted_dirty_log,
	.create_device = scripted_create_device,
	.device_attr = scripted_device_attr,
	.device_page = scripted_device_page,
	.irq_line = scripted_irq_line,
	.irqfd = scripted_irqfd,
	.set_routes = scripted_set_routes,
	.signal_msi = scripted_signal_msi,
	.ioeventfd = scripted_ioeventfd,
	.coalesce = scripted_coalesce,
	.coalesced_pop = scripted_coalesced_pop,
	.vm_ioctl = scripted_vm_ioctl,
	.create_vcpu = scripted_create_vcpu,
	.vcpu_destroy = scripted_vcpu_destroy,
	.vcpu_run = scripted_vcpu_run,
	.vcpu_wait = scripted_vcpu_wait,
	.vcpu_kick = scripted_vcpu_kick,
	.vcpu_bind = scripted_vcpu_bind,
	.on_vcpu = scripted_on_vcpu,
	.get_reg = scripted_get_reg,
	.set_reg = scripted_set_reg,
	.reg_list = scripted_reg_list,
	.vcpu_interrupt = scripted_vcpu_interrupt,
	.get_mp_state = scripted_get_mp_state,
	.set_mp_state = scripted_set_mp_state,
	.vcpu_ioctl = scripted_vcpu_ioctl,
	.s390_regs = scripted_s390_regs,
};

int hv_scripted_create(const struct scripted_config *config, struct hv **ret)
{
	struct scripted *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->hv.ops = &scripted_ops;
	s->config = *config;
	pthread_mutex_init(&s->lock, NULL);
	*ret = &s->hv;
	return 0;
}

/* --- for tests --- */

unsigned long hv_scripted_calls(struct hv *hv)
{
	return atomic_load(&scripted_of(hv)->calls);
}

bool hv_scripted_interrupt(struct hv_vcpu *vcpu, unsigned int *ret_changes, unsigned int *ret_calls)
{
	struct scripted_vcpu *v = vcpu_of(vcpu);
	bool level;

	pthread_mutex_lock(&v->lock);
	level = v->level;
	if (ret_changes)
		*ret_changes = v->changes;
	if (ret_calls)
		*ret_calls = v->interrupts;
	pthread_mutex_unlock(&v->lock);
	return level;
}

unsigned int hv_scripted_ioeventfds(struct hv *hv)
{
	struct scripted *s = scripted_of(hv);
	unsigned int n;

	pthread_mutex_lock(&s->lock);
	n = s->n_io;
	pthread_mutex_unlock(&s->lock);
	return n;
}

unsigned int hv_scripted_memory_slots(struct hv *hv)
{
	struct scripted *s = scripted_of(hv);
	unsigned int n = 0;

	pthread_mutex_lock(&s->lock);
	for (unsigned int i = 0; i < MAX_SLOTS; i++)
		n += s->slot[i].size != 0;
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* Locked. */
static struct slot *slot_of(struct scripted *s, uint64_t gpa, unsigned int len)
{
	for (unsigned int i = 0; i < MAX_SLOTS; i++)
		if (s->slot[i].size && gpa - s->slot[i].gpa < s->slot[i].size &&
		    len <= s->slot[i].size - (gpa - s->slot[i].gpa))
			return &s->slot[i];
	return NULL;
}

bool hv_scripted_guest_write(struct hv *hv, uint64_t gpa, const void *data, unsigned int len)
{
	struct scripted *s = scripted_of(hv);
	struct slot *slot;
	bool done = false;

	pthread_mutex_lock(&s->lock);
	slot = slot_of(s, gpa, len);
	if (slot && !(slot->flags & KVM_MEM_READONLY)) {
		memcpy(slot->host + (gpa - slot->gpa), data, len);
		done = true;
	}
	for (unsigned int i = 0; !done && i < s->n_io; i++) {
		const struct hv_ioeventfd *io = &s->io[i];

		if (!io->ccw && io->gpa == gpa && (!io->len || io->len == len) &&
		    (!io->match || get_le(data, len) == io->data)) {
			sys_eventfd_signal(io->fd);
			done = true;
		}
	}
	/* As KVM does: a zone holds the whole write, and a full ring makes an exit (one entry always stays free). */
	for (unsigned int i = 0; !done && i < s->n_zones; i++) {
		struct hv_coalesced *w;

		if (gpa < s->zone[i].gpa || len > 8 ||
		    gpa + len > s->zone[i].gpa + s->zone[i].size || s->ring_n == RING_SIZE - 1)
			continue;
		w = &s->ring[(s->ring_first + s->ring_n++) % RING_SIZE];
		*w = (struct hv_coalesced){.gpa = gpa, .len = len};
		memcpy(w->data, data, len);
		done = true;
	}
	pthread_mutex_unlock(&s->lock);
	return done;
}

bool hv_scripted_guest_notify(struct hv *hv, uint32_t sid, uint64_t queue)
{
	struct scripted *s = scripted_of(hv);
	bool done = false;

	pthread_mutex_lock(&s->lock);
	for (unsigned int i = 0; !done && i < s->n_io; i++) {
		done = s->io[i].ccw && s->io[i].gpa == sid && s->io[i].data == queue;
		if (done)
			sys_eventfd_signal(s->io[i].fd);
	}
	pthread_mutex_unlock(&s->lock);
	return done;
}

bool hv_scripted_guest_read(struct hv *hv, uint64_t gpa, void *data, unsigned int len)
{
	struct scripted *s = scripted_of(hv);
	const struct slot *slot;

	pthread_mutex_lock(&s->lock);
	slot = slot_of(s, gpa, len);
	if (slot)
		memcpy(data, slot->host + (gpa - slot->gpa), len);
	pthread_mutex_unlock(&s->lock);
	return slot;
}
