// SPDX-License-Identifier: MIT
/* One function assembles a VM, in an order one can read; another takes it apart in the reverse order. */
#include <errno.h>
#include <stdio.h>

#include "base/sys.h"
#include "vm/devices.h"
#include "vm/vm.h"

static size_t console_put(void *ctx, const void *data, size_t len)
{
	struct lkvm_vm *vm = ctx;

	return vm->stream[0] ? stream_write(vm->stream[0], data, len) : len;
}

static size_t console_get(void *ctx, void *buf, size_t len)
{
	struct lkvm_vm *vm = ctx;

	return vm->stream[0] ? stream_read(vm->stream[0], buf, len) : 0;
}

/* What a kernel needs to be told beside the user's own words; with --nodefaults nothing. */
static int make_cmdline(struct lkvm_vm *vm, const struct vm_root *root, struct err *e)
{
	const struct lkvm_config *c = vm->config;
	const struct arch_map *map = vm->machine.arch->map;
	const char *params = c->params ? c->params : "";
	const bool plain = c->nodefaults || c->firmware; /* what firmware starts is its own business */
	int r;

	if (plain)
		r = asprintf(&vm->cmdline, "%s", params);
	else
		r = asprintf(&vm->cmdline, "console=%s%s%s%s%s%s",
			     c->console == CONSOLE_VIRTIO ? "hvc0" : map->console ? map->console : "ttyS0",
			     root->is_share ? " root=/dev/root rw rootflags=trans=virtio,version=9p2000.L,cache=loose rootfstype=9p" : "",
			     root->has_init ? " init=/virt/init" : "",
			     root->has_init && !c->no_dhcp && root->has_network ? " ip=dhcp" : "",
			     root->is_share || strstr(params, "root=") ? "" : " root=/dev/vda rw",
			     *params ? " " : "");
	if (r >= 0 && !plain && *params) {
		char *with = NULL;

		r = asprintf(&with, "%s%s", vm->cmdline, params);
		if (r >= 0) {
			free(vm->cmdline);
			vm->cmdline = with;
		}
	}
	if (r < 0) {
		vm->cmdline = NULL;
		return err_set(e, -ENOMEM, "out of memory");
	}
	log_info(&vm->log, "kernel command line: %s", vm->cmdline);
	return 0;
}

static int make_machine(struct lkvm_vm *vm, struct err *e)
{
	struct machine *m = &vm->machine;
	const struct lkvm_config *c = vm->config;
	int r;

	m->arch = c->arch;
	m->arch_config = c->arch_config;
	m->log = &vm->log;
	m->name = c->name;
	m->ram_base = c->mem_base;
	m->ram_size = c->mem;
	if (c->vcpu_affinity && sys_parse_cpulist(c->vcpu_affinity, vm->affinity, MACHINE_MAX_HOST_CPUS) >= 0)
		m->affinity = vm->affinity;
	m->backing = (struct memory_backing){ .hugetlbfs = c->hugetlbfs };
	m->console_put = console_put;
	m->console_get = console_get;
	m->console_ctx = vm;
	r = loop_create(&m->loop, e);
	if (r < 0)
		return r;
	r = memory_create(&m->memory);
	if (r >= 0)
		r = bus_create(&m->bus);
	if (r < 0)
		return err_set(e, r, "out of memory");
	vm->env = (struct virtio_env){ .memory = m->memory, .loop = m->loop, .log = &vm->log };
	return 0;
}

static int make_vcpus(struct lkvm_vm *vm, struct err *e)
{
	struct machine *m = &vm->machine;
	unsigned int n = (unsigned int)vm->config->cpus;
	int r;

	m->vcpu = aligned_alloc(64, n * sizeof(*m->vcpu));
	vm->vcpu = calloc(n, sizeof(*vm->vcpu));
	if (!m->vcpu || !vm->vcpu)
		return err_set(e, -ENOMEM, "out of memory");
	memset(m->vcpu, 0, n * sizeof(*m->vcpu));
	m->n_vcpus = n;
	for (unsigned int i = 0; i < n; i++) {
		r = m->arch->create_vcpu(m, i, e);
		if (r < 0)
			return err_set(e, r, "vCPU %u cannot be created: %s", i, err_name(r));
		bus_add_reader(m->bus, &m->vcpu[i].reader);
		vm->vcpu[i].vm = vm;
		vm->vcpu[i].index = i;
	}
	return 0;
}

int vm_assemble(struct lkvm_vm *vm, struct hv *hv, struct err *e)
{
	const struct arch_ops *arch = vm->config->arch;
	struct machine *m = &vm->machine;
	struct vm_root root = { 0 };
	int r;

	m->hv = hv;
	m->n_vcpus = 0;
	if (!vm->config->kernel && !vm->config->firmware)
		return err_set(e, -EINVAL, "no kernel given: use -k PATH");
	if (vm->config->kernel && vm->config->firmware)
		return err_set(e, -EINVAL, "--kernel and --firmware: one of them starts the guest; leave the other out");
	if (vm->config->transport != (arch->attach != NULL))
		return err_set(e, -EINVAL, "--virtio-transport: %s guests have virtio-%s; leave the option out", arch->name, arch->attach ? "ccw" : "mmio");
	if (vm->config->initrd && vm->config->firmware)
		log_warning(&vm->log, "--initrd is not used: firmware finds its own");
	if (vm->config->firmware_address && !vm->config->firmware)
		log_warning(&vm->log, "--firmware-address is not used: no --firmware is given, and a kernel goes where it says itself");
	if ((r = make_machine(vm, e)) < 0)
		return r;
	m->n_vcpus = (unsigned int)vm->config->cpus; /* prepare checks the number against the host's */
	r = m->arch->prepare(m, e);
	m->n_vcpus = 0;
	if (r < 0 || (r = make_vcpus(vm, e)) < 0)
		return r;
	/* The ring of queued writes is part of the first vCPU's mapping. */
	r = coalescer_create(hv, m->loop, &m->coalescer);
	if (r < 0 && r != -EOPNOTSUPP)
		return err_set(e, r, "coalesced MMIO cannot be set up: %s", err_name(r));
	if ((r = m->arch->create_irqchip(m, e)) < 0 || (r = vm_open_streams(vm, e)) < 0 ||
	    (r = vm_add_platform_devices(vm, e)) < 0 || (r = vm_add_virtio_devices(vm, &root, e)) < 0 ||
	    (r = make_cmdline(vm, &root, e)) < 0)
		return r;
	m->boot = (struct machine_boot){
		.kernel = vm->config->kernel,
		.firmware = vm->config->firmware,
		.firmware_address = vm->config->firmware_address,
		.initrd = vm->config->initrd,
		.cmdline = vm->cmdline,
		.dump_dtb = vm->config->dump_dtb,
	};
	if ((r = m->arch->load(m, e)) < 0)
		return r;
	if (vm->config->name)
		return control_open(vm, vm->config->name, &vm->control, e);
	return 0;
}

void vm_disassemble(struct lkvm_vm *vm)
{
	struct machine *m = &vm->machine;

	vm_remove_devices(vm);
	if (m->arch && m->arch->destroy)
		m->arch->destroy(m);
	coalescer_destroy(m->coalescer);
	/* The last vCPU to go is the first made: its mapping holds the ring. */
	for (unsigned int i = m->n_vcpus; i-- > 0;) {
		if (m->vcpu[i].hv) {
			bus_remove_reader(m->bus, &m->vcpu[i].reader);
			hv_vcpu_destroy(m->vcpu[i].hv);
		}
	}
	free(m->vcpu);
	free(vm->vcpu);
	free(vm->cmdline);
	for (unsigned int i = 0; i < CONFIG_CONSOLES; i++)
		stream_close(vm->stream[i]);
	for (unsigned int i = 0; i < CONFIG_CONSOLES; i++)
		close_fd(&vm->pty[i]);
	bus_destroy(m->bus);
	loop_destroy(m->loop);
	hv_destroy(m->hv);
	memory_destroy(m->memory);
}
