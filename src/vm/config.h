// SPDX-License-Identifier: MIT
/* The configuration of a VM: one structure, one table of options over it. */
#ifndef LKVM_VM_CONFIG_H
#define LKVM_VM_CONFIG_H

#include <lkvm/lkvm.h>

#include "arch/arch.h"
#include "base/option.h"

#define CONFIG_CONSOLES 4

enum config_console { CONSOLE_SERIAL, CONSOLE_VIRTIO };

struct lkvm_config {
	char *kernel, *firmware, *flash, *initrd, *params, *name, *hugetlbfs, *dev, *dump_dtb, *vcpu_affinity;
	uint64_t firmware_address;
	uint64_t cpus, mem, mem_base; /* mem_base 0: the architecture's */
	struct option_list disk, network, share, tty;
	unsigned int console, transport, loglevel;
	bool access_platform, balloon, rng, nodefaults, no_dhcp, debug, debug_mmio;
	/* not options: given by the embedder */
	int console_in[CONFIG_CONSOLES], console_out[CONFIG_CONSOLES];
	bool escape;
	const struct arch_ops *arch;
	void *arch_config;
};

/* Where a row's value lives: the common structure or the architecture's. Row `index` over both tables, NULL past the end. */
const struct option *config_option(const struct lkvm_config *config, unsigned int index, void **ret_base);
const struct option *config_find_option(const struct lkvm_config *config, const char *name, void **ret_base);

/* Like lkvm_config_create, for an architecture other than the host's (tests). arch may be NULL. */
int config_create_for(const struct arch_ops *arch, struct lkvm_config **ret);
int config_copy(const struct lkvm_config *config, struct lkvm_config **ret);

/* Values with keys, parsed. Strings are malloc'ed into the structure; *_clear frees. */
struct config_disk {
	char *path, *serial;
	bool readonly, direct, access_platform;
	uint64_t queues;
};
struct config_network {
	bool none;
	char *tapif, *host_ip, *script, *downscript;
	uint8_t mac[6];
	bool has_mac;
	bool access_platform;
	uint64_t queues, mtu, vhost;
	int fd;
};
struct config_share {
	char *path, *tag;
	bool readonly, access_platform;
};
int config_parse_disk(const char *text, struct config_disk *ret, struct err *e);
int config_parse_network(const char *text, struct config_network *ret, struct err *e);
int config_parse_share(const char *text, struct config_share *ret, struct err *e);
int config_parse_tty(const char *text, unsigned int *ret, struct err *e);
/* For options whose values are more than a word: whether the value can be parsed. What the words alone can tell is told here, not at the start. */
int config_check_value(const struct option *o, const char *value, struct err *e);
void config_disk_clear(struct config_disk *d);
void config_network_clear(struct config_network *n);
void config_share_clear(struct config_share *s);

/* What the API's callers see of an error; the first one stays. `to` may be NULL. */
static inline void vm_error_copy(struct lkvm_error *to, const struct err *from)
{
	if (!to || to->code)
		return;
	to->code = from->code;
	memcpy(to->message, from->text, sizeof(to->message));
	to->message[sizeof(to->message) - 1] = 0;
}

#endif
