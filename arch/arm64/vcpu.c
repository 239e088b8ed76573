// SPDX-License-Identifier: MIT
/* vCPUs: target and features, SVE vector lengths, PMU, stolen time, reset. Documentation/virt/kvm/api.rst and devices/vcpu.rst. */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>

#include "arch/arm64/arm64.h"
#include "base/sys.h"

#define MPIDR_AFFINITY UINT64_C(0xff00ffffff)

int arm64_set_reg(struct machine *m, unsigned int i, uint64_t id, uint64_t v, struct err *e)
{
	struct hv_vcpu *vcpu = m->vcpu[i].hv;
	int r = vcpu->hv->ops->set_reg(vcpu, id, &v);
	char name[48];

	if (r < 0) {
		arm64_reg_name(id, name);
		return err_set(e, r, "vCPU %u cannot be started: KVM refuses register %s (%s)", i, name, err_name(r));
	}
	return 0;
}

int arm64_init_vcpu(struct machine *m, unsigned int i, struct err *e)
{
	struct hv_vcpu *vcpu = m->vcpu[i].hv;
	struct kvm_vcpu_init init = arm64_state(m)->init;
	int r;

	if (i)
		init.features[0] |= 1u << KVM_ARM_VCPU_POWER_OFF;
	r = vcpu->hv->ops->vcpu_ioctl(vcpu, KVM_ARM_VCPU_INIT, &init);
	if (r < 0)
		return err_set(e, r, "KVM refuses vCPU %u with features 0x%x (%s): leave out what was asked for, or try --disable-sve, "
			       "--disable-ptrauth or --disable-mte", i, init.features[0], err_name(r));
	return 0;
}

static int choose_vector_lengths(struct hv_vcpu *vcpu, uint64_t max_vl, struct err *e)
{
	uint64_t vls[KVM_ARM64_SVE_VLS_WORDS];
	unsigned int least = 0;
	int r = vcpu->hv->ops->get_reg(vcpu, KVM_REG_ARM64_SVE_VLS, vls);

	if (r < 0)
		return err_set(e, r, "KVM does not say which SVE vector lengths there are (%s): leave out --sve-max-vl", err_name(r));
	/* Bit n is a vector of n + 1 times 128 bits. */
	for (unsigned int n = 0; n < KVM_ARM64_SVE_VLS_WORDS * 64; n++) {
		if (!bitmap_test(vls, n))
			continue;
		if (!least)
			least = (n + 1) * 128;
		if ((n + 1) * 128 > max_vl)
			bitmap_clear(vls, n);
	}
	if (least > max_vl)
		return err_set(e, -EINVAL, "--sve-max-vl %" PRIu64 ": this host's shortest vector has %u bits", max_vl, least);
	r = vcpu->hv->ops->set_reg(vcpu, KVM_REG_ARM64_SVE_VLS, vls);
	if (r < 0)
		return err_set(e, r, "--sve-max-vl %" PRIu64 ": KVM refuses it (%s); give another length", max_vl, err_name(r));
	return 0;
}

int arm64_finalize_vcpu(struct hv_vcpu *vcpu, const struct kvm_vcpu_init *init, uint64_t max_vl, struct err *e)
{
	int feature = KVM_ARM_VCPU_SVE, r = 0;

	if (!(init->features[0] & 1u << KVM_ARM_VCPU_SVE))
		return 0;
	if (max_vl)
		r = choose_vector_lengths(vcpu, max_vl, e);
	if (r < 0)
		return r;
	r = vcpu->hv->ops->vcpu_ioctl(vcpu, KVM_ARM_VCPU_FINALIZE, &feature);
	if (r < 0)
		return err_set(e, r, "KVM refuses to give vCPU %lu its SVE registers (%s): try --disable-sve", vcpu->id, err_name(r));
	return 0;
}

int arm64_create_vcpu(struct machine *m, unsigned int i, struct err *e)
{
	int r = m->hv->ops->create_vcpu(m->hv, i, &m->vcpu[i].hv);

	if (r < 0)
		return err_set(e, r, "vCPU %u cannot be created: %s%s", i, err_name(r),
			       r == -EMFILE ? "; raise the limit of open files (ulimit -n)" : "");
	r = arm64_init_vcpu(m, i, e);
	if (r >= 0)
		r = arm64_finalize_vcpu(m->vcpu[i].hv, &arm64_state(m)->init, arm64_config(m)->sve_max_vl, e);
	return r < 0 ? r : arm64_set_cpu_id(m, m->vcpu[i].hv, e);
}

int arm64_mpidr(struct machine *m, unsigned int i, uint64_t *ret, struct err *e)
{
	uint64_t v = 0;
	int r = m->hv->ops->get_reg(m->vcpu[i].hv, ARM64_REG_MPIDR_EL1, &v);

	if (r < 0)
		return err_set(e, r, "KVM does not say how vCPU %u is called (MPIDR_EL1: %s)", i, err_name(r));
	*ret = v & MPIDR_AFFINITY;
	return 0;
}

static int set_attr(struct hv_vcpu *vcpu, uint32_t group, uint64_t attr, const void *value)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	return vcpu->hv->ops->vcpu_ioctl(vcpu, KVM_SET_DEVICE_ATTR, &a);
}

static bool has_attr(struct hv_vcpu *vcpu, uint32_t group, uint64_t attr)
{
	struct kvm_device_attr a = { .group = group, .attr = attr };

	return vcpu->hv->ops->vcpu_ioctl(vcpu, KVM_HAS_DEVICE_ATTR, &a) >= 0;
}

/* ---- PMU ---- */

#define PMU_FOLDER "/sys/bus/event_source/devices"

static bool read_line(const char *folder, const char *name, const char *file, char *buf, size_t len)
{
	char path[512];
	CLEANUP_CLOSE int fd = -1;
	ssize_t n;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s/%s", folder, name, file) >= sizeof(path))
		return false;
	fd = sys_open(path, O_RDONLY, 0);
	n = fd < 0 ? -1 : sys_read_all(fd, buf, len - 1);
	if (n <= 0)
		return false;
	buf[n] = 0;
	return true;
}

int arm64_for_each_pmu(int (*fn)(void *ctx, const char *name, int type, const uint64_t *cpus), void *ctx)
{
	uint64_t cpus[BITMAP_WORDS(MACHINE_MAX_HOST_CPUS)];
	char text[1024];
	struct dirent *d;
	DIR *dir = opendir(PMU_FOLDER);
	int r = 0;

	while (dir && !r && (d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		/* Core PMUs alone say which CPUs they belong to in "cpus"; others have a cpumask, or nothing. */
		if (!read_line(PMU_FOLDER, d->d_name, "cpus", text, sizeof(text)) || sys_parse_cpulist(text, cpus, MACHINE_MAX_HOST_CPUS) < 0 ||
		    !read_line(PMU_FOLDER, d->d_name, "type", text, sizeof(text)))
			continue;
		r = fn(ctx, d->d_name, atoi(text), cpus);
	}
	if (dir)
		closedir(dir);
	return r;
}

struct pmu_choice {
	const uint64_t *wanted; /* the vCPUs' CPUs, or NULL: cpu */
	unsigned int cpu, n;	/* n: PMUs seen */
	int type;		/* -1: none fits */
	uint64_t cpus[BITMAP_WORDS(MACHINE_MAX_HOST_CPUS)];
};

static int consider_pmu(void *ctx, const char *name, int type, const uint64_t *cpus)
{
	struct pmu_choice *c = ctx;
	bool fits = true;

	c->n++;
	for (unsigned int w = 0; c->wanted && w < ARRAY_SIZE(c->cpus); w++)
		fits &= !(c->wanted[w] & ~cpus[w]);
	if (!c->wanted)
		fits = bitmap_test(cpus, c->cpu);
	if (fits && c->type < 0) {
		c->type = type;
		memcpy(c->cpus, cpus, sizeof(c->cpus));
	}
	return 0;
}

/*
 * On big.LITTLE each kind of CPU has its own PMU, and a vCPU with one cannot run on the others: the one of the vCPUs' CPUs, or of the
 * CPU we are on, is taken, and the vCPUs stay there. 0 when KVM is left to choose (one PMU, or a kernel before 5.18).
 */
static int choose_pmu(struct machine *m, int *ret_type, struct err *e)
{
	struct arm64_state *s = arm64_state(m);
	struct pmu_choice c = { .wanted = m->affinity, .type = -1 };
	int cpu = sched_getcpu();

	if (!has_attr(m->vcpu[0].hv, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_SET_PMU))
		return 0;
	c.cpu = cpu < 0 || cpu >= MACHINE_MAX_HOST_CPUS ? 0 : (unsigned int)cpu;
	arm64_for_each_pmu(consider_pmu, &c);
	if (c.type < 0 && m->affinity && c.n > 1)
		return err_set(e, -EINVAL, "--pmu: no PMU counts on all the host CPUs of --vcpu-affinity; give CPUs of one kind");
	if (c.type < 0)
		return 0;
	if (c.n > 1 && !m->affinity) {
		memcpy(s->pmu_cpus, c.cpus, sizeof(s->pmu_cpus));
		m->affinity = s->pmu_cpus;
	}
	*ret_type = c.type;
	return 1;
}

static int give_pmu(struct machine *m, struct err *e)
{
	static const char refused[] = "--pmu: KVM refuses vCPU %u its performance counters (%s, %s); leave it out, or try --vcpu-affinity";
	int irq = ARM64_PPI_PMU, type = -1, chosen = choose_pmu(m, &type, e);

	if (chosen < 0)
		return chosen;
	for (unsigned int i = 0; i < m->n_vcpus; i++) {
		struct hv_vcpu *vcpu = m->vcpu[i].hv;
		int r = chosen ? set_attr(vcpu, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_SET_PMU, &type) : 0;

		if (r < 0)
			return err_set(e, r, refused, i, "the PMU", err_name(r));
		r = set_attr(vcpu, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_IRQ, &irq);
		if (r < 0)
			return err_set(e, r, refused, i, "its interrupt", err_name(r));
		r = set_attr(vcpu, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_INIT, NULL);
		if (r < 0)
			return err_set(e, r, refused, i, "initialisation", err_name(r));
	}
	return 0;
}

/* ---- stolen time (Arm DEN0057A): KVM writes it into memory of its own, 64 bytes a vCPU ---- */

static int add_pvtime_memory(struct machine *m, struct err *e)
{
	const struct memory_backing plain = { 0 };
	struct slice room;
	int r = memory_add(m->memory, ARM64_PVTIME_BASE, ARM64_PVTIME_SIZE, &plain, e);

	if (r >= 0)
		r = memory_slice(m->memory, ARM64_PVTIME_BASE, ARM64_PVTIME_SIZE, &room);
	if (r >= 0)
		r = m->hv->ops->set_memory(m->hv, m->next_slot++, 0, ARM64_PVTIME_BASE, ARM64_PVTIME_SIZE, room.p);
	if (r < 0)
		return err_set(e, r, "there is no place for stolen time (%s): leave it out with --no-pvtime", err_name(r));
	return 0;
}

static int give_pvtime(struct machine *m, struct err *e)
{
	int r;

	if (!has_attr(m->vcpu[0].hv, KVM_ARM_VCPU_PVTIME_CTRL, KVM_ARM_VCPU_PVTIME_IPA)) {
		arm64_state(m)->has[ARM64_PVTIME] = false;
		return 0;
	}
	r = add_pvtime_memory(m, e);
	for (unsigned int i = 0; r >= 0 && i < m->n_vcpus; i++) {
		uint64_t at = ARM64_PVTIME_BASE + UINT64_C(64) * i;

		r = set_attr(m->vcpu[i].hv, KVM_ARM_VCPU_PVTIME_CTRL, KVM_ARM_VCPU_PVTIME_IPA, &at);
		if (r < 0)
			err_set(e, r, "KVM refuses vCPU %u its stolen time (%s): leave it out with --no-pvtime", i, err_name(r));
	}
	return r;
}

_Static_assert(ARM64_PVTIME_SIZE >= MACHINE_MAX_VCPUS * 64, "stolen time of all vCPUs");

int arm64_finish_vcpus(struct machine *m, struct err *e)
{
	struct arm64_state *s = arm64_state(m);
	int r = s->has[ARM64_PMU] ? give_pmu(m, e) : 0;

	return r < 0 || !s->has[ARM64_PVTIME] ? r : give_pvtime(m, e);
}
