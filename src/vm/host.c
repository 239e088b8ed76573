// SPDX-License-Identifier: MIT
/* What this host can do, and what a vCPU here is like, without a guest. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include <liburing.h>

#include "base/sys.h"
#include "vm/vm.h"

#define PROBE_RAM MIB(64) /* never touched */

const char *lkvm_version(void)
{
	return LKVM_VERSION;
}

struct findings {
	lkvm_doctor_fn fn;
	void *ctx;
};

static void find(const struct findings *f, const char *what, bool present, const char *cure)
{
	f->fn(f->ctx, what, present, present ? NULL : cure);
}

/* The architecture's findings. */
static void forward(void *ctx, const char *what, bool present, const char *cure)
{
	find(ctx, what, present, cure ? cure : "use a newer host kernel");
}

static void find_file_io(const struct findings *f)
{
	struct io_uring ring;
	bool present = !io_uring_queue_init(2, &ring, 0);

	if (present)
		io_uring_queue_exit(&ring);
	find(f, "io_uring (asynchronous disk I/O)", present,
	     "a few threads do the same, more slowly; allow it with sysctl kernel.io_uring_disabled=0, or in the container's seccomp profile");
}

static void find_tap(const struct findings *f)
{
	int fd = sys_open("/dev/net/tun", O_RDWR, 0);

	find(f, "/dev/net/tun (--network mode=tap)", fd >= 0,
	     fd == -EACCES ? "become a member of the group that owns it, or let root make a tap for you: ip tuntap add mode tap user $USER"
			   : "load the module: modprobe tun");
	close_fd(&fd);
}

static void find_hugepages(const struct findings *f)
{
	CLEANUP_CLOSE int fd = sys_open("/proc/sys/vm/nr_hugepages", O_RDONLY, 0);
	char text[32] = "";

	if (fd >= 0)
		sys_read_all(fd, text, sizeof(text) - 1);
	find(f, "huge pages set aside (--hugetlbfs)", atoi(text) > 0,
	     "only needed for --hugetlbfs: sysctl vm.nr_hugepages=N and mount -t hugetlbfs none DIR");
}

static void find_host(const struct findings *f)
{
	find_file_io(f);
	find_tap(f);
	find_hugepages(f);
}

static int doctor(const struct lkvm_config *c, const struct findings *f, struct err *e)
{
	const struct arch_ops *arch = c ? c->arch : arch_host();
	const char *dev = c && c->dev ? c->dev : "/dev/kvm";
	CLEANUP(cleanup_hv_destroy) struct hv *hv = NULL;
	struct hv_vcpu *vcpu = NULL;
	char what[256];
	int r;

	if (!arch) {
		find(f, "guests of this machine's architecture", false, "use a riscv64, arm64 or s390x host");
		find_host(f);
		return err_set(e, -EOPNOTSUPP, "this machine's architecture is not served yet; use a riscv64, arm64 or s390x host");
	}
	snprintf(what, sizeof(what), "%s (guests for %s)", dev, arch->name);
	r = hv_kvm_create(dev, arch_gpa_bits(arch, 0, PROBE_RAM), &hv, e);
	find(f, what, r >= 0, e->text);
	if (r < 0) {
		find_host(f);
		return r;
	}
	r = hv->ops->create_vcpu(hv, 0, &vcpu);
	snprintf(what, sizeof(what), "a vCPU can be created: %s", err_name(r));
	find(f, "vCPUs", r >= 0, what);
	if (arch->doctor)
		arch->doctor(hv, r < 0 ? NULL : vcpu, forward, (void *)(uintptr_t)f);
	if (r < 0)
		err_set(e, r, "no vCPU can be created on %s: %s", dev, err_name(r));
	else
		hv_vcpu_destroy(vcpu);
	find_host(f);
	return MIN(r, 0);
}

int lkvm_doctor(const struct lkvm_config *config, lkvm_doctor_fn fn, void *ctx, struct lkvm_error *e)
{
	const struct findings f = { fn, ctx };
	struct err err = { 0 };
	int r = doctor(config, &f, &err);

	if (r < 0)
		vm_error_copy(e, &err);
	return r;
}

struct registers {
	lkvm_register_fn fn;
	void *ctx;
};

static void give_register(void *ctx, const struct arch_reg *reg)
{
	const struct registers *r = ctx;

	r->fn(r->ctx, reg->name, reg->id, reg->readable ? reg->value : NULL, reg->readable ? reg->size : 0);
}

/* A machine that is nothing but one vCPU with its interrupt controller. */
static int fresh_registers(struct machine *m, const struct registers *out, struct err *e)
{
	int r = memory_create(&m->memory);

	if (r >= 0)
		r = bus_create(&m->bus);
	m->vcpu = aligned_alloc(64, sizeof(*m->vcpu));
	if (r < 0 || !m->vcpu)
		return err_set(e, -ENOMEM, "out of memory");
	memset(m->vcpu, 0, sizeof(*m->vcpu));
	m->n_vcpus = 1;
	if ((r = m->arch->prepare(m, e)) < 0 || (r = m->arch->create_vcpu(m, 0, e)) < 0 || (r = m->arch->create_irqchip(m, e)) < 0)
		return r;
	r = m->arch->for_each_reg(m, 0, give_register, (void *)(uintptr_t)out);
	return r < 0 ? err_set(e, r, "the registers cannot be read: %s", err_name(r)) : 0;
}

static void machine_clear(struct machine *m)
{
	if (m->arch->destroy)
		m->arch->destroy(m);
	if (m->vcpu)
		hv_vcpu_destroy(m->vcpu[0].hv);
	free(m->vcpu);
	bus_destroy(m->bus);
	hv_destroy(m->hv);
	memory_destroy(m->memory);
}

int lkvm_fresh_registers(const struct lkvm_config *config, lkvm_register_fn fn, void *ctx, struct lkvm_error *e)
{
	const struct registers out = { fn, ctx };
	struct err err = { 0 };
	struct machine m = {
		.arch = config->arch,
		.arch_config = config->arch_config,
		.ram_size = PROBE_RAM,
	};
	int r;

	if (!m.arch) {
		r = err_set(&err, -EOPNOTSUPP, "there are no vCPUs on this machine's architecture yet; use a riscv64, arm64 or s390x host");
	} else {
		r = hv_kvm_create(config->dev, arch_gpa_bits(m.arch, 0, PROBE_RAM), &m.hv, &err);
		if (r >= 0) {
			r = fresh_registers(&m, &out, &err);
			machine_clear(&m);
		}
	}
	if (r < 0)
		vm_error_copy(e, &err);
	return r;
}
