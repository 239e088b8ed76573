// SPDX-License-Identifier: MIT
#include "arch/machine.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>

#define SAID_MAX 100

int machine_check_vcpus(const struct machine *m, struct err *e)
{
	int max = hv_capability(m->hv, KVM_CAP_MAX_VCPUS);

	if (max <= 0)
		max = hv_capability(m->hv, KVM_CAP_NR_VCPUS);
	if (max <= 0)
		max = 4; /* what the KVM documentation promises in that case */
	max = MIN(max, MACHINE_MAX_VCPUS);
	if (!m->n_vcpus || m->n_vcpus > (unsigned int)max)
		return err_set(e, -EINVAL, "%u vCPUs are not possible here: give -c a number from 1 to %d", m->n_vcpus, max);
	return 0;
}

static int check_ram(struct machine *m, uint64_t min, unsigned int bits, struct err *e)
{
	const struct arch_map *map = m->arch->map;
	const uint64_t limit = UINT64_C(1) << bits;
	const uint64_t align = MIB(2); /* kernels map themselves in such blocks */

	if (!m->ram_base)
		m->ram_base = map->ram_base;
	if (m->ram_base != map->ram_base && !map->ram_moves)
		return err_set(e, -EINVAL, "-m ...@0x%" PRIx64 ": the RAM of %s guests begins at 0x%" PRIx64 "; leave the address out", m->ram_base,
			       m->arch->name, map->ram_base);
	if (m->ram_base < map->ram_base || m->ram_base >= limit || m->ram_base & (align - 1))
		return err_set(e, -EINVAL, "-m ...@0x%" PRIx64 ": RAM can begin at addresses from 0x%" PRIx64 " to 0x%" PRIx64
			       " that are multiples of 2M", m->ram_base, map->ram_base, limit - align);
	if (m->ram_size < min)
		return err_set(e, -EINVAL, "%" PRIu64 " MiB of RAM are too few: give at least -m %" PRIu64, m->ram_size >> 20, min >> 20);
	if (m->ram_size > limit - m->ram_base)
		return err_set(e, -EINVAL, "%" PRIu64 " MiB of RAM are more than this host can give a guest: at most -m %" PRIu64, m->ram_size >> 20,
			       (limit - m->ram_base) >> 20);
	return 0;
}

int machine_add_ram(struct machine *m, uint64_t min, unsigned int bits, struct err *e)
{
	int r = check_ram(m, min, bits, e);

	if (r < 0)
		return r;
	m->ram_size = round_down(m->ram_size, (uint64_t)sysconf(_SC_PAGESIZE));
	r = memory_add(m->memory, m->ram_base, m->ram_size, &m->backing, e);
	if (r < 0)
		return err_set(e, r, "%" PRIu64 " MiB of RAM cannot be had: %s", m->ram_size >> 20, err_name(r));
	for (unsigned int i = 0; i < m->memory->n_regions; i++) {
		const struct memory_region *g = &m->memory->region[i];

		if (g->gpa != m->ram_base)
			continue;
		r = m->hv->ops->set_memory(m->hv, m->next_slot++, 0, g->gpa, g->size, g->host);
		if (r < 0)
			return err_set(e, r, "KVM refuses %" PRIu64 " MiB of RAM (%s): give less with -m", m->ram_size >> 20, err_name(r));
	}
	return 0;
}

bool machine_may_say(struct machine *m)
{
	/* Looked at first, so that it does not wrap. */
	return atomic_load_explicit(&m->said, memory_order_relaxed) < SAID_MAX &&
	       atomic_fetch_add_explicit(&m->said, 1, memory_order_relaxed) < SAID_MAX;
}

void machine_doctor(struct hv *hv, const struct machine_cap *caps, unsigned int n,
		    void (*fn)(void *ctx, const char *what, bool present, const char *cure), void *ctx)
{
	for (unsigned int i = 0; i < n; i++) {
		bool present = hv_capability(hv, caps[i].cap) > 0;

		fn(ctx, caps[i].what, present, present ? NULL : caps[i].cure);
	}
}

void machine_doctor_common(struct hv *hv, const char *cpus, void (*fn)(void *ctx, const char *what, bool present, const char *cure), void *ctx)
{
	static const struct machine_cap caps[] = {
		{ KVM_CAP_READONLY_MEM, "read-only memory slots (device registers read without exit)",
		  "reads of device registers leave the guest, which is slower; use a newer host kernel" },
		{ KVM_CAP_COALESCED_MMIO, "coalesced MMIO (acknowledgements without exit)",
		  "each acknowledgement leaves the guest, which is slower; use a host kernel with CONFIG_KVM_MMIO" },
		{ KVM_CAP_IOEVENTFD, "ioeventfd (doorbells without exit)", "use a host kernel with CONFIG_EVENTFD" },
		{ KVM_CAP_IMMEDIATE_EXIT, "immediate exit (vCPUs stop at once)", "use Linux 6.1 or newer on the host" },
		{ KVM_CAP_ONE_REG, "registers by number", "use Linux 6.1 or newer on the host" },
	};
	int n = hv_capability(hv, KVM_CAP_MAX_VCPUS);
	char what[96];

	machine_doctor(hv, caps, ARRAY_SIZE(caps), fn, ctx);
	snprintf(what, sizeof(what), "guests with up to %d %s", MIN(MAX(n, 1), MACHINE_MAX_VCPUS), cpus);
	fn(ctx, what, true, NULL);
}

/* Names of exit reasons that can reach us, for sentences. */
static const struct {
	uint8_t number;
	char name[22];
} reasons[] = {
	{ KVM_EXIT_UNKNOWN, "unknown" },
	{ KVM_EXIT_EXCEPTION, "exception" },
	{ KVM_EXIT_IO, "port I/O" },
	{ KVM_EXIT_HYPERCALL, "hypercall" },
	{ KVM_EXIT_DEBUG, "debug" },
	{ KVM_EXIT_HLT, "halt" },
	{ KVM_EXIT_MMIO, "MMIO" },
	{ KVM_EXIT_IRQ_WINDOW_OPEN, "interrupt window" },
	{ KVM_EXIT_SHUTDOWN, "shutdown" },
	{ KVM_EXIT_FAIL_ENTRY, "failed entry" },
	{ KVM_EXIT_INTR, "signal" },
	{ KVM_EXIT_INTERNAL_ERROR, "internal error" },
	{ KVM_EXIT_SYSTEM_EVENT, "system event" },
	{ KVM_EXIT_ARM_NISV, "MMIO without syndrome" },
	{ KVM_EXIT_DIRTY_RING_FULL, "dirty ring full" },
	{ KVM_EXIT_RISCV_SBI, "SBI call" },
	{ KVM_EXIT_RISCV_CSR, "CSR access" },
	{ KVM_EXIT_NOTIFY, "notify" },
	{ KVM_EXIT_MEMORY_FAULT, "memory fault" },
	{ KVM_EXIT_ARM_SEA, "external abort" },
};

static const char *reason_name(unsigned int n)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].number == n)
			return reasons[i].name;
	return "unheard-of";
}

enum arch_verdict machine_failed_exit(const struct machine *m, unsigned int i, const struct hv_exit *exit, struct err *e)
{
	const char *cpu = m->arch->cpu_word;

	switch (exit->kind) {
	case HV_EXIT_FAIL_ENTRY:
		err_set(e, -EIO, "%s %u cannot run: host CPU %u refuses to enter the guest (reason 0x%" PRIx64 ")", cpu, i, exit->fail_entry.cpu,
			exit->fail_entry.reason);
		break;
	case HV_EXIT_INTERNAL_ERROR:
		err_set(e, -EIO, "%s %u: KVM reports an internal error (%u, 0x%" PRIx64 "); the host's kernel log may say more", cpu, i,
			exit->internal.suberror, exit->internal.ndata ? exit->internal.data[0] : 0);
		break;
	case HV_EXIT_MEMORY_FAULT:
		err_set(e, -EFAULT, "%s %u: the host cannot provide guest memory at 0x%" PRIx64 " (%" PRIu64
			" bytes); it may be out of memory or huge pages", cpu, i, exit->memory_fault.gpa, exit->memory_fault.size);
		break;
	default:
		err_set(e, -EIO, "%s %u left the guest for a reason that lkvm does not handle (%u, %s)", cpu, i, exit->unknown_reason,
			reason_name(exit->unknown_reason));
	}
	return ARCH_ERROR;
}

/* The UAPI's KVM_REG_SIZE field, which has the same place on all architectures. */
static unsigned int reg_size(uint64_t id)
{
	return 1u << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
}

int reg_give(struct hv_vcpu *vcpu, uint64_t id, bool probe, bool (*name)(uint64_t id, char name[48]),
	     void (*fn)(void *ctx, const struct arch_reg *reg), void *ctx)
{
	struct arch_reg reg = { .id = id, .size = reg_size(id) };
	int r = -EFBIG;

	if (reg.size <= sizeof(reg.value))
		r = vcpu->hv->ops->get_reg(vcpu, id, reg.value);
	if (r < 0 && probe)
		return 0;
	reg.readable = r >= 0;
	name(id, reg.name);
	fn(ctx, &reg);
	return 1;
}

int reg_give_all(struct hv_vcpu *vcpu, bool (*name)(uint64_t id, char name[48]), void (*fn)(void *ctx, const struct arch_reg *reg), void *ctx)
{
	CLEANUP_FREE uint64_t *ids = NULL;
	unsigned int max = 512;
	int n;

	for (;;) {
		free(ids);
		ids = malloc(max * sizeof(*ids));
		if (!ids)
			return -ENOMEM;
		n = vcpu->hv->ops->reg_list(vcpu, ids, max);
		if (n < 0 || (unsigned int)n <= max)
			break;
		if (n > 65536)
			return -E2BIG;
		max = (unsigned int)n;
	}
	for (int k = 0; k < n; k++)
		reg_give(vcpu, ids[k], false, name, fn, ctx);
	return MAX(n, 0);
}

/* What is saved of a vCPU: its MP state, then id and value of each register, without gaps. */
struct saving {
	uint8_t *buf;
	size_t len, used;
	bool unreadable;
};

static void save_bytes(struct saving *s, const void *data, size_t n)
{
	if (s->len - MIN(s->used, s->len) >= n)
		memcpy(s->buf + s->used, data, n);
	s->used += n;
}

static void save_reg(void *ctx, const struct arch_reg *reg)
{
	struct saving *s = ctx;

	/* One that is too large has no value here. */
	if (!reg->readable) {
		s->unreadable = true;
		return;
	}
	save_bytes(s, &reg->id, sizeof(reg->id));
	save_bytes(s, reg->value, reg->size);
}

int64_t machine_save_vcpu(struct machine *m, unsigned int i, void *buf, size_t len)
{
	struct saving s = { .buf = buf, .len = len };
	uint32_t state;
	int r = m->hv->ops->get_mp_state(m->vcpu[i].hv, &state);

	if (r < 0)
		return r;
	save_bytes(&s, &state, sizeof(state));
	r = m->arch->for_each_reg(m, i, save_reg, &s);
	return r < 0 ? r : s.unreadable ? -EIO : (int64_t)s.used;
}

/* A register that cannot be written must have the value already. */
static int load_reg(struct hv_vcpu *vcpu, uint64_t id, const uint8_t *value, unsigned int size)
{
	uint8_t aligned[256] __attribute__((aligned(8))), is[256] __attribute__((aligned(8)));
	int r;

	memcpy(aligned, value, size);
	r = vcpu->hv->ops->set_reg(vcpu, id, aligned);
	if (r < 0 && vcpu->hv->ops->get_reg(vcpu, id, is) >= 0 && !memcmp(is, aligned, size))
		return 0;
	return r;
}

int machine_load_vcpu(struct machine *m, unsigned int i, const void *buf, size_t len, struct err *e)
{
	struct hv_vcpu *vcpu = m->vcpu[i].hv;
	const uint8_t *at = buf, *end = at + len;
	uint32_t state;
	uint64_t id;
	int r;

	if (len < sizeof(state))
		return err_set(e, -EINVAL, "the saved state of vCPU %u is cut off", i);
	memcpy(&state, at, sizeof(state));
	for (at += sizeof(state); at < end; at += reg_size(id)) {
		if ((size_t)(end - at) < sizeof(id))
			return err_set(e, -EINVAL, "the saved state of vCPU %u is cut off", i);
		memcpy(&id, at, sizeof(id));
		at += sizeof(id);
		if (reg_size(id) > 256 || (size_t)(end - at) < reg_size(id))
			return err_set(e, -EINVAL, "the saved state of vCPU %u is cut off", i);
		r = load_reg(vcpu, id, at, reg_size(id));
		if (r < 0)
			return err_set(e, -EINVAL, "vCPU %u is not like the saved one: KVM refuses register 0x%" PRIx64 " (%s)", i, id, err_name(r));
	}
	r = m->hv->ops->set_mp_state(vcpu, state);
	return r < 0 ? err_set(e, -EINVAL, "vCPU %u cannot be in the saved state %u (%s)", i, state, err_name(r)) : 0;
}

void reg_dump(struct hv_vcpu *vcpu, const struct reg_dumped *rows, unsigned int n_rows, char *buf, size_t len)
{
	size_t used = 0;

	if (!len)
		return;
	buf[0] = 0;
	for (unsigned int k = 0; vcpu && k < n_rows && used < len; k++) {
		const char *end = k % 4 == 3 || k + 1 == n_rows ? "\n" : "  ";
		uint64_t v = 0;
		int n;

		if (vcpu->hv->ops->get_reg(vcpu, rows[k].id, &v) < 0)
			n = snprintf(buf + used, len - used, "%8s %-18s%s", rows[k].name, "?", end);
		else
			n = snprintf(buf + used, len - used, "%8s 0x%016" PRIx64 "%s", rows[k].name, v, end);
		used += (size_t)MAX(n, 0);
	}
}
