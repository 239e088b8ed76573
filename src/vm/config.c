// SPDX-License-Identifier: MIT
#include "vm/config.h"

#include <errno.h>
#include <stdio.h>

#define FIELD(f) offsetof(struct lkvm_config, f)

static const char *const consoles[] = { "serial", "virtio", NULL };
static const char *const transports[] = { "mmio", "ccw", NULL };
static const char *const levels[] = { "error", "warning", "info", "debug", NULL };

#define REFUSED(option, why) { .name = option, .group = "Not served", .refused = why }

/* Defaults are in config_create_for(); kvmtool's names and meanings. */
static const struct option common_options[] = {
	{ "name", 0, OPTION_STRING, FIELD(name), .value = "NAME", .group = "Basic", .help = "the guest's name (default: guest-PID)" },
	{ "cpus", 'c', OPTION_UINT, FIELD(cpus), .min = 1, .max = MACHINE_MAX_VCPUS, .value = "N", .group = "Basic", .help = "number of virtual CPUs" },
	{ "mem", 'm', OPTION_SIZE, FIELD(mem), .at_offset = FIELD(mem_base), .min = MIB(1), .max = UINT64_C(1) << 46, .unit = MIB(1), .value = "SIZE[@ADDRESS]", .group = "Basic", .help = "RAM in MiB, or with a suffix: K, M, G, T; arm64: and where it begins" },
	{ "disk", 'd', OPTION_LIST, FIELD(disk), .value = "PATH[,ro][,direct][,serial=TEXT][,queues=N][,access-platform]", .group = "Basic", .help = "a raw disk image or block device; a folder becomes the root" },
	{ "balloon", 0, OPTION_FLAG, FIELD(balloon), .group = "Basic", .help = "a virtio balloon" },
	{ "rng", 0, OPTION_FLAG, FIELD(rng), .group = "Basic", .help = "a virtio source of randomness" },
	{ "9p", 0, OPTION_LIST, FIELD(share), .value = "DIR,TAG[,ro][,access-platform]", .group = "Basic", .help = "share a folder with the guest" },
	{ "console", 0, OPTION_CHOICE, FIELD(console), .choices = consoles, .value = "serial|virtio", .group = "Basic", .help = "kind of the guest's console" },
	{ "tty", 0, OPTION_LIST, FIELD(tty), .value = "N", .group = "Basic", .help = "connect console N (0 to 3) to a new pseudo-terminal" },
	{ "vcpu-affinity", 0, OPTION_STRING, FIELD(vcpu_affinity), .value = "LIST", .group = "Basic", .help = "host CPUs that run the guest's, such as 0,2-5" },
	{ "dev", 0, OPTION_STRING, FIELD(dev), .value = "PATH", .group = "Basic", .help = "the KVM device (default: /dev/kvm)" },
	{ "hugetlbfs", 0, OPTION_STRING, FIELD(hugetlbfs), .value = "DIR", .group = "Basic", .help = "take the guest's RAM from this hugetlbfs" },
	{ "nodefaults", 0, OPTION_FLAG, FIELD(nodefaults), .group = "Basic", .help = "add nothing that was not asked for: no kernel parameters, no devices" },
	{ "virtio-transport", 0, OPTION_CHOICE, FIELD(transport), .choices = transports, .value = "mmio|ccw", .group = "Basic", .help = "how virtio devices are reached: s390x has ccw, the others mmio" },
	{ "access-platform", 0, OPTION_FLAG, FIELD(access_platform), .group = "Basic", .help = "virtio devices insist on VIRTIO_F_ACCESS_PLATFORM" },
	{ "loglevel", 0, OPTION_CHOICE, FIELD(loglevel), .choices = levels, .value = "LEVEL", .group = "Basic", .help = "error, warning, info or debug" },
	{ "kernel", 'k', OPTION_STRING, FIELD(kernel), .value = "PATH", .group = "Kernel", .help = "the guest's kernel: Image, ELF or flat, also packed with gzip or zstd, or EFI zboot" },
	{ "firmware", 'f', OPTION_STRING, FIELD(firmware), .value = "PATH", .group = "Kernel", .help = "start this in place of a kernel, at its first byte" },
	{ "firmware-address", 0, OPTION_UINT, FIELD(firmware_address), .value = "ADDRESS", .group = "Kernel", .help = "where the firmware goes (default: the start of RAM)" },
	{ "flash", 'F', OPTION_STRING, FIELD(flash), .value = "PATH", .group = "Kernel", .help = "a file that is the guest's flash memory: where UEFI keeps its variables; arm64" },
	{ "initrd", 'i', OPTION_STRING, FIELD(initrd), .value = "PATH", .group = "Kernel", .help = "initial ramdisk" },
	{ "params", 'p', OPTION_STRING, FIELD(params), .value = "TEXT", .group = "Kernel", .help = "kernel command line" },
	{ "network", 'n', OPTION_LIST, FIELD(network), .value = "mode=tap|none[,KEY=VALUE]", .group = "Network", .help = "a network card; keys: tapif, fd, guest_mac, host_ip, script, downscript, queues, mtu, vhost, access-platform" },
	{ "no-dhcp", 0, OPTION_FLAG, FIELD(no_dhcp), .group = "Network", .help = "no ip=dhcp on the command line of a shared-folder root" },
	{ "debug", 0, OPTION_FLAG, FIELD(debug), .group = "Debug", .help = "say more: every log line, and registers at the end" },
	{ "debug-mmio", 0, OPTION_FLAG, FIELD(debug_mmio), .group = "Debug", .help = "log MMIO accesses that no device takes" },
	{ "dump-dtb", 0, OPTION_STRING, FIELD(dump_dtb), .value = "PATH", .group = "Debug", .help = "write the device tree to a file; riscv64, arm64" },
	REFUSED("vsock", "--vsock: no vsock device yet; use --network or a console port"),
	REFUSED("vfio-pci", "--vfio-pci: no device assignment without a PCI transport yet"),
	REFUSED("sdl", "--sdl: there is no graphical display; use the console"),
	REFUSED("gtk", "--gtk: there is no graphical display; use the console"),
	REFUSED("vnc", "--vnc: there is no graphical display; use the console"),
	REFUSED("sandbox", "--sandbox: no sandbox script is run; use --params or a 9P root"),
	REFUSED("force-pci", "--force-pci: there is no PCI transport yet; leave it out"),
	REFUSED("debug-single-step", "--debug-single-step: single-stepping is not served; use --debug"),
	REFUSED("debug-ioport", "--debug-ioport: this machine has no I/O ports; use --debug-mmio"),
	REFUSED("debug-iodelay", "--debug-iodelay: artificial I/O delay is not served"),
};

int config_create_for(const struct arch_ops *arch, struct lkvm_config **ret)
{
	struct lkvm_config *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->arch = arch;
	c->cpus = 1;
	c->mem = MIB(256);
	c->transport = arch && arch->attach;
	c->loglevel = LOG_WARNING;
	for (unsigned int i = 0; i < CONFIG_CONSOLES; i++)
		c->console_in[i] = c->console_out[i] = -1;
	if (arch && arch->config_size) {
		c->arch_config = calloc(1, arch->config_size);
		if (!c->arch_config) {
			free(c);
			return -ENOMEM;
		}
	}
	*ret = c;
	return 0;
}

int lkvm_config_create(struct lkvm_config **ret)
{
	return config_create_for(arch_host(), ret);
}

void lkvm_config_destroy(struct lkvm_config *c)
{
	if (!c)
		return;
	option_clear(common_options, ARRAY_SIZE(common_options), c);
	if (c->arch_config)
		option_clear(c->arch->options, c->arch->n_options, c->arch_config);
	free(c->arch_config);
	free(c);
}

/* One table after the other; without an architecture only the common one. */
static const struct option *option_row(const struct arch_ops *arch, unsigned int index, bool *ret_of_arch)
{
	*ret_of_arch = index >= ARRAY_SIZE(common_options);
	if (!*ret_of_arch)
		return &common_options[index];
	index -= ARRAY_SIZE(common_options);
	return arch && index < arch->n_options ? &arch->options[index] : NULL;
}

const struct option *config_option(const struct lkvm_config *c, unsigned int index, void **ret_base)
{
	bool of_arch;
	const struct option *o = option_row(c->arch, index, &of_arch);

	if (o)
		*ret_base = of_arch ? c->arch_config : (void *)(uintptr_t)c;
	return o;
}

const struct option *config_find_option(const struct lkvm_config *c, const char *name, void **ret_base)
{
	const struct option *o;

	for (unsigned int i = 0; (o = config_option(c, i, ret_base)); i++)
		if (!strcmp(o->name, name))
			return o;
	return NULL;
}

int lkvm_option_get(unsigned int index, struct lkvm_option *ret)
{
	bool of_arch;
	const struct option *o = option_row(arch_host(), index, &of_arch);

	if (!o)
		return -ENOENT;
	*ret = (struct lkvm_option){
		.name = o->name,
		.letter = o->letter,
		.value = o->refused || o->type == OPTION_FLAG ? NULL : o->value ? o->value : "VALUE",
		.help = o->refused ? o->refused : o->help,
		.group = o->group,
		.choices = o->choices,
		.repeatable = o->type == OPTION_LIST,
		.refused = o->refused != NULL,
	};
	return 0;
}

int lkvm_config_set(struct lkvm_config *c, const char *name, const char *value, struct lkvm_error *e)
{
	struct err err = { 0 };
	const struct option *o;
	void *base;
	int r;

	o = config_find_option(c, name, &base);
	if (!o)
		r = err_set(&err, -EINVAL, "--%s: no such option; see lkvm help run", name);
	else if (o->refused)
		r = err_set(&err, -EOPNOTSUPP, "%s", o->refused);
	else if ((r = config_check_value(o, value, &err)) >= 0)
		r = option_set(o, base, value, &err);
	if (r < 0)
		vm_error_copy(e, &err);
	return r;
}

int lkvm_config_get(const struct lkvm_config *c, const char *name, char *buf, size_t len)
{
	const struct option *o;
	void *base;

	o = config_find_option(c, name, &base);
	return o ? option_get(o, base, 0, buf, len) : -EINVAL;
}

int lkvm_config_set_console(struct lkvm_config *c, unsigned int port, int in_fd, int out_fd)
{
	if (port >= CONFIG_CONSOLES)
		return -EINVAL;
	c->console_in[port] = in_fd;
	c->console_out[port] = out_fd;
	return 0;
}

int lkvm_config_set_escape(struct lkvm_config *c, int escape)
{
	c->escape = escape != 0;
	return 0;
}

int config_copy(const struct lkvm_config *from, struct lkvm_config **ret)
{
	struct lkvm_config *to;
	const struct option *o;
	void *base, *to_base;
	char *text = NULL;
	int r = config_create_for(from->arch, &to);

	if (r < 0)
		return r;
	for (unsigned int i = 0; (o = config_option(from, i, &base)); i++) {
		if (o->refused)
			continue;
		config_option(to, i, &to_base);
		switch (o->type) {
		case OPTION_FLAG:
			memcpy((char *)to_base + o->offset, (char *)base + o->offset, sizeof(bool));
			break;
		case OPTION_UINT:
		case OPTION_SIZE:
			memcpy((char *)to_base + o->offset, (char *)base + o->offset, sizeof(uint64_t));
			if (o->at_offset)
				memcpy((char *)to_base + o->at_offset, (char *)base + o->at_offset, sizeof(uint64_t));
			break;
		case OPTION_CHOICE:
			memcpy((char *)to_base + o->offset, (char *)base + o->offset, sizeof(unsigned int));
			break;
		case OPTION_STRING:
			memcpy(&text, (char *)base + o->offset, sizeof(text));
			if (text && (r = option_set(o, to_base, text, NULL)) < 0)
				goto fail;
			break;
		case OPTION_LIST: {
			const struct option_list *list = (const void *)((char *)base + o->offset);

			for (unsigned int k = 0; k < list->n; k++)
				if ((r = option_set(o, to_base, list->items[k], NULL)) < 0)
					goto fail;
			break;
		}
		}
	}
	memcpy(to->console_in, from->console_in, sizeof(to->console_in));
	memcpy(to->console_out, from->console_out, sizeof(to->console_out));
	to->escape = from->escape;
	*ret = to;
	return 0;
fail:
	lkvm_config_destroy(to);
	return r;
}
