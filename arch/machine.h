// SPDX-License-Identifier: MIT
/* What the architectures' machines have in common: limits, RAM, exits that mean failure everywhere, and registers by name. */
#ifndef LKVM_ARCH_MACHINE_H
#define LKVM_ARCH_MACHINE_H

#include "arch/arch.h"

/* Whether the host can have m->n_vcpus; -EINVAL with the sentence that says how many. */
int machine_check_vcpus(const struct machine *m, struct err *e);

/*
 * Decides m->ram_base, rounds m->ram_size to pages, and adds RAM to memory and hv, within `bits` of guest physical address. -EINVAL
 * with the sentence that says what -m takes.
 */
int machine_add_ram(struct machine *m, uint64_t min, unsigned int bits, struct err *e);

/* True for the first lines that a guest causes in the log; it can go on for ever, and the log may be a pipe or a disk. Thread-safe. */
bool machine_may_say(struct machine *m);

/* A line of `lkvm doctor` for each capability. */
struct machine_cap {
	unsigned int cap; /* KVM_CAP_* */
	const char *what, *cure;
};
void machine_doctor(struct hv *hv, const struct machine_cap *caps, unsigned int n,
		    void (*fn)(void *ctx, const char *what, bool present, const char *cure), void *ctx);
/* Those that every architecture's machine looks for, and how many vCPUs there can be; machine_doctor's output. */
void machine_doctor_common(struct hv *hv, const char *cpus, void (*fn)(void *ctx, const char *what, bool present, const char *cure), void *ctx);

/* Failures of the host that any architecture's vCPU can meet, and exits nobody handles: ARCH_ERROR with the sentence. */
enum arch_verdict machine_failed_exit(const struct machine *m, unsigned int i, const struct hv_exit *exit, struct err *e);

/* Gives out one register, 1 when it did; with `probe` not one that the host does not have. name as in reg_names. */
int reg_give(struct hv_vcpu *vcpu, uint64_t id, bool probe, bool (*name)(uint64_t id, char name[48]),
	     void (*fn)(void *ctx, const struct arch_reg *reg), void *ctx);

/*
 * The registers that the host lists; returns their number, 0 when it cannot list them (the architecture tries its table then), -ENOMEM, -E2BIG.
 */
int reg_give_all(struct hv_vcpu *vcpu, bool (*name)(uint64_t id, char name[48]), void (*fn)(void *ctx, const struct arch_reg *reg), void *ctx);

/*
 * All that KVM tells of a vCPU that does not run, registers and what it is doing (MP state): how many bytes it takes, written when that is no more than len; or -errno. Loaded into
 * one that has not run: -EINVAL when it is none of its kind, which is also so when a register cannot be written and has another value.
 */
int64_t machine_save_vcpu(struct machine *m, unsigned int i, void *buf, size_t len);
int machine_load_vcpu(struct machine *m, unsigned int i, const void *buf, size_t len, struct err *e);

/* Four to a line. */
struct reg_dumped {
	const char *name;
	uint64_t id; /* of 8 bytes */
};
void reg_dump(struct hv_vcpu *vcpu, const struct reg_dumped *rows, unsigned int n, char *buf, size_t len);

#endif
