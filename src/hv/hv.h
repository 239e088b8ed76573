// SPDX-License-Identifier: MIT
/*
 * What a hypervisor does for us. Two backends implement it: KVM (kvm.c), and the scripted one (scripted.c) that plays
 * exits, records calls and can fail the Nth. Register ids, device types, attribute groups and capability numbers are those of the
 * kernel's <linux/kvm.h>; struct kvm_run is seen by the KVM backend alone.
 */
#ifndef LKVM_HV_HV_H
#define LKVM_HV_HV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/util.h"

struct hv;	/* one VM */
struct hv_vcpu; /* one vCPU of it */

enum hv_exit_kind {
	HV_EXIT_INTR,	      /* kicked, or a signal: look whether there is something to do */
	HV_EXIT_MMIO,	      /* .mmio */
	HV_EXIT_SYSTEM_EVENT, /* .system_event: KVM_SYSTEM_EVENT_* with data */
	HV_EXIT_SHUTDOWN,
	HV_EXIT_DEBUG,
	HV_EXIT_FAIL_ENTRY,	/* .fail_entry */
	HV_EXIT_INTERNAL_ERROR, /* .internal */
	HV_EXIT_MEMORY_FAULT,	/* .memory_fault */
	HV_EXIT_RISCV_SBI,	/* .sbi */
	HV_EXIT_RISCV_CSR,	/* .csr */
	HV_EXIT_ARM_NISV,	/* .memory_fault.gpa and .nisv_syndrome; also for 64-byte loads and stores */
	HV_EXIT_ARM_SEA,	/* .sea: memory of the host has failed under the guest */
	HV_EXIT_S390_SIEIC,	/* .s390_sieic: an instruction, an operator's order or a PSW that KVM leaves to us */
	HV_EXIT_S390_TSCH,	/* .s390_tsch */
	HV_EXIT_S390_STSI,	/* .s390_stsi */
	HV_EXIT_S390_RESET,	/* .s390_reset_flags: diagnose 308 subcodes 0 and 1; other vCPUs may still run */
	HV_EXIT_UNKNOWN,	/* .unknown_reason */
};

/* What ended one run. Pointers lead into the vCPU's own record: answers written there reach the guest at the next run. */
struct hv_exit {
	enum hv_exit_kind kind;
	unsigned int unknown_reason; /* the kernel's number, always set */
	union {
		struct {
			uint64_t gpa;
			uint8_t *data; /* len bytes; for a read (zeroed before), fill them in */
			uint8_t len;   /* 1 to 8 */
			bool is_write;
		} mmio;
		struct {
			uint32_t type;
			uint32_t ndata;
			uint64_t data[16];
		} system_event;
		struct {
			uint64_t reason;
			uint32_t cpu;
		} fail_entry;
		struct {
			uint32_t suberror;
			uint32_t ndata;
			uint64_t data[16];
		} internal;
		struct {
			uint64_t flags, gpa, size;
			uint64_t nisv_syndrome;
		} memory_fault;
		struct {
			uint64_t flags, esr, gva, gpa; /* KVM_EXIT_ARM_SEA_FLAG_* */
		} sea;
		struct {
			unsigned long extension, function;
			unsigned long args[6];
			unsigned long *ret; /* ret[0] error, ret[1] value */
		} sbi;
		struct {
			unsigned long number, new_value, write_mask;
			unsigned long *ret_value;
		} csr;
		/* The interception code and parameters of SIE: ipa is the instruction's first two bytes, ipb its next four (left-aligned). */
		struct {
			uint8_t icptcode;
			uint16_t ipa;
			uint32_t ipb;
		} s390_sieic;
		/* TEST SUBCHANNEL: KVM has taken a pending I/O interruption of this subchannel out of its queue when `dequeued`; with condition code 1 the caller puts it back. */
		struct {
			uint16_t subchannel_id, subchannel_nr; /* of the interruption taken out */
			uint32_t io_int_parm, io_int_word;
			uint32_t ipb;
			bool dequeued;
		} s390_tsch;
		/* STORE SYSTEM INFORMATION, condition code set and SYSIB stored by KVM; the caller may improve on what lies at addr. */
		struct {
			uint64_t addr; /* logical, in access register ar's space */
			uint8_t ar, fc, sel1;
			uint16_t sel2;
		} s390_stsi;
		uint64_t s390_reset_flags; /* KVM_S390_RESET_* */
	};
};

/* A doorbell: a write of `len` bytes (0: any) at gpa, equal to `data` if match, signals fd instead of leaving the kernel. */
struct hv_ioeventfd {
	uint64_t gpa;
	uint64_t data;
	uint32_t len;
	bool match;
	int fd;
	bool ccw; /* virtio-ccw's doorbell (diagnose 500): gpa is the subchannel-identification word, data the queue, len 8 */
};

/* One queued write of the coalesced-MMIO ring. */
struct hv_coalesced {
	uint64_t gpa;
	uint32_t len;
	uint8_t data[8];
};

/* One row of the interrupt routing table: a wired pin, a message, or an s390 adapter interrupt. */
struct hv_route {
	uint32_t gsi;
	bool is_msi, is_adapter;
	uint32_t pin; /* wired */
	uint64_t msi_address;
	uint32_t msi_data, msi_devid;
	bool msi_has_devid;
	/* Bit ind_offset from guest address ind on is set, then summary_offset from summary on; the adapter (KVM_DEV_FLIC_ADAPTER_REGISTER) is interrupted. */
	struct {
		uint64_t ind, summary, ind_offset;
		uint32_t summary_offset, id;
	} adapter;
};

/*
 * Where the registers that SIE exits are about can be read and written, for as long as the vCPU lives; by its own thread between two runs. What was changed,
 * but for the PSW, is marked in *dirty (KVM_SYNC_GPRS, KVM_SYNC_CRS, KVM_SYNC_PREFIX, KVM_SYNC_ACRS). Control registers and prefix are up to date after a run only.
 */
struct hv_s390_regs {
	uint64_t *psw_mask, *psw_addr;
	uint64_t *gpr, *cr; /* 16 each */
	uint32_t *ar;	    /* 16 */
	uint64_t *prefix;
	uint64_t *dirty;
};

struct hv_ops {
	const char *name;
	void (*destroy)(struct hv *hv);
	/* KVM_CHECK_EXTENSION: 0 when missing, never negative. Read once per number, then remembered. */
	int (*capability)(struct hv *hv, unsigned int cap);
	int (*enable_capability)(struct hv *hv, unsigned int cap, const uint64_t args[4]);
	/* flags: KVM_MEM_*; size 0 removes the slot. */
	int (*set_memory)(struct hv *hv, unsigned int slot, uint32_t flags, uint64_t gpa, uint64_t size, void *host);
	int (*dirty_log)(struct hv *hv, unsigned int slot, uint64_t *bitmap);
	/* An in-kernel device (KVM_CREATE_DEVICE); *ret_fd is the caller's. ret_fd NULL: only whether there could be one. */
	int (*create_device)(struct hv *hv, uint32_t type, int *ret_fd);
	int (*device_attr)(struct hv *hv, int fd, uint32_t group, uint64_t attr, void *value, bool set);
	/* The first page of what the device's descriptor maps, shared; the caller's to unmap. NULL when it has none. */
	void *(*device_page)(struct hv *hv, int fd);
	/* Interrupts of the in-kernel controller. */
	int (*irq_line)(struct hv *hv, uint32_t irq, bool level);
	/* A signal of fd becomes an edge of the routing table's entry gsi; with resample_fd (else -1) the line stays up until the guest is done, which signals that. */
	int (*irqfd)(struct hv *hv, uint32_t gsi, int fd, int resample_fd, bool assign);
	int (*set_routes)(struct hv *hv, const struct hv_route *routes, unsigned int n);
	int (*signal_msi)(struct hv *hv, const struct hv_route *msi);
	int (*ioeventfd)(struct hv *hv, const struct hv_ioeventfd *io, bool assign);
	/* Coalesced MMIO: writes in the zone wait in a ring. pop: 1 and the oldest, 0 when empty; callers serialise pops. */
	int (*coalesce)(struct hv *hv, uint64_t gpa, uint32_t size, bool add);
	int (*coalesced_pop)(struct hv *hv, struct hv_coalesced *ret);
	/* A VM ioctl that no operation covers (KVM_ARM_PREFERRED_TARGET, ...), by the kernel's number. Result or -errno. */
	int (*vm_ioctl)(struct hv *hv, unsigned long request, void *arg);
	int (*create_vcpu)(struct hv *hv, unsigned long id, struct hv_vcpu **ret);

	void (*vcpu_destroy)(struct hv_vcpu *vcpu);
	/* Runs the guest until something is for us; only from the vCPU's own thread. 0 with *ret filled, or -errno. */
	int (*vcpu_run)(struct hv_vcpu *vcpu, struct hv_exit *ret);
	/* In vcpu_run's place for a vCPU that is not to run: returns after a kick, however long ago. NULL on other hosts than s390x. */
	void (*vcpu_wait)(struct hv_vcpu *vcpu);
	/* Makes the current or the next vcpu_run return HV_EXIT_INTR; any thread; none is lost. */
	void (*vcpu_kick)(struct hv_vcpu *vcpu);
	/* Declares the calling thread to be the one that runs this vCPU from now on (before its first vcpu_run). */
	int (*vcpu_bind)(struct hv_vcpu *vcpu);
	/* Does the calling thread run a vCPU of this VM, and so come to vcpu_run before long? */
	bool (*on_vcpu)(struct hv *hv);
	/* ONE_REG; the number of bytes is in the id (KVM_REG_SIZE). -ENOENT: this host has no such register. */
	int (*get_reg)(struct hv_vcpu *vcpu, uint64_t id, void *value);
	int (*set_reg)(struct hv_vcpu *vcpu, uint64_t id, const void *value);
	/* KVM_GET_REG_LIST: up to max ids; returns how many there are (may exceed max), -ENOTTY or -EINVAL on a host without it. */
	int (*reg_list)(struct hv_vcpu *vcpu, uint64_t *ids, unsigned int max);
	/* The vCPU's external interrupt input (KVM_INTERRUPT); any thread. */
	int (*vcpu_interrupt)(struct hv_vcpu *vcpu, bool level);
	int (*get_mp_state)(struct hv_vcpu *vcpu, uint32_t *ret_state);
	int (*set_mp_state)(struct hv_vcpu *vcpu, uint32_t state);
	/* A vCPU ioctl that no operation above covers (ARM_VCPU_INIT, ...), by the kernel's number. Result or -errno. */
	int (*vcpu_ioctl)(struct hv_vcpu *vcpu, unsigned long request, void *arg);
	/* NULL on other hosts than s390x. */
	void (*s390_regs)(struct hv_vcpu *vcpu, struct hv_s390_regs *ret);
};

/* Backends embed these first in their own structures. */
struct hv {
	const struct hv_ops *ops;
};

struct hv_vcpu {
	struct hv *hv;
	unsigned long id;
};

/*
 * A VM from /dev/kvm (or `path`). Errors carry the sentence: no such device, no permission, API version, no memory.
 * The VM and all vCPUs belong to the caller: vCPUs are destroyed before it. gpa_bits: of guest physical address that the guest needs, for hosts where the VM's
 * type says so (arm64); 0: KVM's own choice.
 */
int hv_kvm_create(const char *path, unsigned int gpa_bits, struct hv **ret, struct err *e);

static inline void hv_destroy(struct hv *hv)
{
	if (hv)
		hv->ops->destroy(hv);
}
DEFINE_CLEANUP(hv, hv_destroy)

static inline void hv_vcpu_destroy(struct hv_vcpu *vcpu)
{
	if (vcpu)
		vcpu->hv->ops->vcpu_destroy(vcpu);
}
DEFINE_CLEANUP(hv_vcpu, hv_vcpu_destroy)

static inline int hv_capability(struct hv *hv, unsigned int cap)
{
	return hv->ops->capability(hv, cap);
}

#endif
