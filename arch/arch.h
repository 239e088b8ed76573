// SPDX-License-Identifier: MIT
/*
 * What differs between architectures, as one const table each. src/vm assembles the machine in an order one can read (see src/vm/assemble.c):
 * prepare, vCPUs, irqchip, devices, load, run. All architectures compile on every host; the running program uses the one of its host.
 */
#ifndef LKVM_ARCH_ARCH_H
#define LKVM_ARCH_ARCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/option.h"
#include "bus.h"
#include "coalesce.h"
#include "dt.h"
#include "hv/hv.h"
#include "irq.h"
#include "loop/loop.h"
#include "memory.h"

#define MACHINE_MAX_VCPUS 512
#define MACHINE_MAX_HOST_CPUS 4096

/* What the guest is started with; strings belong to the configuration. */
struct machine_boot {
	const char *kernel;   /* path, or NULL */
	const char *firmware; /* path of what starts in the kernel's place, or NULL: one of the two */
	uint64_t firmware_address; /* where it is put and entered; 0: at the start of RAM */
	const char *initrd;   /* path, or NULL */
	const char *cmdline;  /* complete kernel command line */
	const char *dump_dtb; /* path to write the tree to, or NULL */
};

struct machine_vcpu {
	struct hv_vcpu *hv; /* NULL until created */
	struct bus_reader reader;
};

/* A device that stands in the device tree; filled by src/vm, read by the architecture's load. */
struct machine_node {
	void (*write)(void *ctx, struct dt *dt);
	void *ctx;
	bool root; /* it has no address: it stands at the root, not on the bus */
};

struct arch_ops;
struct css;
struct virtio_device;

struct machine {
	const struct arch_ops *arch;
	void *arch_config; /* the architecture's options, arch->config_size bytes */
	void *arch_state;  /* the architecture's own */
	struct hv *hv;
	struct memory *memory;
	struct bus *bus;
	struct loop *loop;
	struct coalescer *coalescer; /* or NULL */
	struct css *css;	     /* the channel subsystem where the architecture has one (made by prepare), else NULL */
	const struct log *log;
	const char *name;  /* the guest's, or NULL */
	uint64_t ram_base; /* 0: the map's, until prepare */
	uint64_t ram_size; /* bytes */
	struct memory_backing backing;
	const uint64_t *affinity; /* bitmap of MACHINE_MAX_HOST_CPUS host CPUs that run the vCPUs' threads, or NULL: all */
	unsigned int n_vcpus;
	struct machine_vcpu *vcpu; /* n_vcpus */
	struct machine_boot boot;
	struct machine_node node[64];
	unsigned int n_nodes;
	const char *stdout_path; /* for /chosen, e.g. "/uart@10000000", or NULL */
	unsigned int next_slot;	 /* next free memory slot number */
	atomic_uint said;	 /* lines of the log that the guest caused; see machine_may_say */
	/* Bytes the guest prints through firmware (SBI, SCLP) and reads from it: how many were taken. Set by src/vm; thread-safe. */
	size_t (*console_put)(void *ctx, const void *data, size_t len);
	size_t (*console_get)(void *ctx, void *buf, size_t len);
	void *console_ctx;
	/* Set by the architecture in create_irqchip where its machine has no UART: there is something to read, or room again for output. On the loop thread. */
	void (*console_changed)(struct machine *m);
};

/* What the machine wants after an exit. */
enum arch_verdict {
	ARCH_CONTINUE,
	ARCH_POWEROFF, /* orderly */
	ARCH_REBOOT,
	ARCH_PANIC,   /* the guest says that it has crashed */
	ARCH_HALTED,  /* no vCPU can ever go on (s390x: a disabled wait); err says where they stand */
	ARCH_SUSPEND, /* the guest sleeps until resumed */
	ARCH_ERROR,   /* err says why; the VM stops */
};

/* Which clock a machine has: what its kernels have a driver for. */
enum arch_rtc { ARCH_RTC_GOLDFISH, ARCH_RTC_PL031 };

/* Where the devices go; virtio-mmio device i is at virtio_base + i * virtio_step. */
struct arch_map {
	uint64_t ram_base;
	bool ram_moves; /* -m SIZE@ADDRESS may give a higher one */
	uint64_t uart_base, uart_step, uart_alias; /* base 0: no UARTs, the console is the architecture's own; alias: a second address of the first UART, 0: none */
	uint64_t rtc_base, poweroff_base, pvpanic_base;
	enum arch_rtc rtc;
	uint64_t flash_base, flash_size; /* bytes there is room for; 0: this machine has no flash */
	uint64_t virtio_base, virtio_step; /* without attach: virtio-mmio */
	unsigned int n_virtio;
	const char *console; /* what kernels call the machine's own console, NULL: ttyS0 */
};

/* A register by name, for `lkvm regs` and state dumps. */
struct arch_reg {
	char name[48];	   /* "core.pc", "csr.sstatus", "isa.zbb", or "0x8030..." when the table does not know it */
	uint64_t id;	   /* ONE_REG id */
	unsigned int size; /* bytes, 1 to 256 */
	uint8_t value[256]; /* host byte order */
	bool readable;
};

struct arch_ops {
	const char *name; /* "riscv64" */
	const char *cpu_word; /* what sentences call a vCPU: "hart" */
	const struct arch_map *map;
	const struct option *options; /* rows over arch_config */
	unsigned int n_options;
	size_t config_size;

	/* Bits of guest physical address that this RAM needs (base 0: the map's), for hv_kvm_create. NULL: none need be asked for. */
	unsigned int (*gpa_bits)(uint64_t ram_base, uint64_t ram_size);
	/* Chooses the irqchip, adds RAM to memory and hv, checks limits (number of vCPUs, RAM size). */
	int (*prepare)(struct machine *m, struct err *e);
	/* Creates vCPU i (m->vcpu[i].hv) and applies the options that must come before its first run. */
	int (*create_vcpu)(struct machine *m, unsigned int i, struct err *e);
	/* After all vCPUs: creates the interrupt controller, in the kernel or on the bus. */
	int (*create_irqchip)(struct machine *m, struct err *e);
	/*
	 * The interrupt controller's state, with vCPUs stopped: how many bytes it takes, written when that is no more than len; or -errno. It is loaded into a machine like this one,
	 * after the vCPUs' registers and what drives the lines. -EINVAL: it is none of such a machine. Reset: as after creation, but lines keep their levels. All three NULL:
	 * no such thing yet.
	 */
	int64_t (*save_irqchip)(struct machine *m, void *buf, size_t len);
	int (*load_irqchip)(struct machine *m, const void *buf, size_t len, struct err *e);
	int (*reset_irqchip)(struct machine *m, struct err *e);
	/* Gives out the next free interrupt source. */
	int (*alloc_irq)(struct machine *m, enum irq_trigger preferred, struct irq_line *ret, struct err *e);
	/*
	 * The transport of virtio device number `index` where that is not virtio-mmio (NULL: it is): *ret is what detach takes, before the machine is destroyed. vd
	 * stays the caller's. Such devices can come and go while the guest runs (hotplug), which the guest is told. detach may wait for a vCPU: while the guest runs
	 * not on the loop thread, and vd is paused before.
	 */
	int (*attach)(struct machine *m, struct virtio_device *vd, unsigned int index, bool hotplug, void **ret, struct err *e);
	void (*detach)(struct machine *m, void *transport);
	uint64_t (*attached_exits)(const void *transport); /* of vCPUs to it so far, for `lkvm stat`; any thread */
	/* A pause begins (vCPUs are stopped, devices are not yet paused) or ends: what the machine does beside them stands still meanwhile. NULL: nothing. */
	void (*hold)(struct machine *m, bool held);
	/* Loads kernel, initrd and device tree; sets vCPU registers. Also called to start again after a reset. */
	int (*load)(struct machine *m, struct err *e);
	/*
	 * Before each run of vCPU i, on its thread: what others want of it is done. *ret_wait: it is not to run, but to sleep until it is kicked (hv's vcpu_wait). NULL: there is
	 * nothing of the kind.
	 */
	enum arch_verdict (*before_run)(struct machine *m, unsigned int i, bool *ret_wait, struct err *e);
	/* Everything but HV_EXIT_INTR and HV_EXIT_MMIO that hits a device. */
	enum arch_verdict (*handle_exit)(struct machine *m, unsigned int i, struct hv_exit *exit, struct err *e);
	/* All registers of vCPU i, by name; returns their number, fn gets each. The vCPU must not be running. */
	int (*for_each_reg)(struct machine *m, unsigned int i, void (*fn)(void *ctx, const struct arch_reg *reg),
			    void *ctx);
	/* The main registers in a few lines of text, for debug dumps and fatal exits. */
	void (*dump_vcpu)(struct machine *m, unsigned int i, char *buf, size_t len);
	/* One line each for `lkvm doctor`: what this host can do; `cure` NULL when present. */
	void (*doctor)(struct hv *hv, struct hv_vcpu *vcpu, void (*fn)(void *ctx, const char *what, bool present, const char *cure),
		       void *ctx);
	/* Asks the guest to shut itself down, as its power button would. -EAGAIN: it does not listen. NULL: no such thing. Any thread. */
	int (*ask_shutdown)(struct machine *m);
	/* Linux's "magic" key on a console that is no UART, as ask_shutdown. */
	int (*sysrq)(struct machine *m, char key);
	/* An interrupt that vCPU i cannot mask. -EINVAL: there is no such vCPU. NULL: no such thing. Any thread. */
	int (*nmi)(struct machine *m, unsigned int i);
	/* Which interrupt controller the machine has, as --irqchip spells it; never auto. Any thread. NULL: there is one kind only. */
	const char *(*irqchip)(struct machine *m);
	/* Its counters, for `lkvm stat`; any thread. NULL: none, as without irqchip. */
	void (*stat)(struct machine *m, void (*fn)(void *ctx, const char *name, uint64_t value), void *ctx);
	void (*destroy)(struct machine *m);			 /* frees arch_state; half-built is fine */
};

extern const struct arch_ops arch_riscv64;
extern const struct arch_ops arch_arm64;
extern const struct arch_ops arch_s390x;

static inline unsigned int arch_gpa_bits(const struct arch_ops *arch, uint64_t ram_base, uint64_t ram_size)
{
	return arch->gpa_bits ? arch->gpa_bits(ram_base, ram_size) : 0;
}

/* The host's own architecture, or NULL where no guest can run (a developer's machine). */
const struct arch_ops *arch_host(void);

#endif
