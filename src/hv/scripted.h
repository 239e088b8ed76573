// SPDX-License-Identifier: MIT
/*
 * The scripted hypervisor: an hv backend without a hypervisor. It plays a list of exits to each vCPU, records every call, keeps
 * registers in a table, and can fail the Nth host call. For tests and fuzzers; it is part of no installed program.
 */
#ifndef LKVM_HV_SCRIPTED_H
#define LKVM_HV_SCRIPTED_H

#include "hv/hv.h"

/* What a vCPU does next. After its script's end it sleeps until kicked (as a halted vCPU does). */
struct scripted_step {
	enum { STEP_MMIO_READ, STEP_MMIO_WRITE, STEP_EXIT, STEP_CALL, STEP_ERROR } what;
	uint64_t gpa;
	uint64_t value; /* written; or, for reads, the value expected when check is set */
	unsigned int len;
	bool check;
	struct hv_exit exit;		   /* STEP_EXIT */
	void (*call)(struct hv_vcpu *vcpu); /* STEP_CALL: guest code in C */
	int error;			   /* STEP_ERROR: vcpu_run's result */
};

struct scripted_cap {
	unsigned int cap;
	int value;
};

struct scripted_config {
	const struct scripted_cap *caps; /* others are 0 */
	unsigned int n_caps;
	const uint64_t *regs; /* ids that exist on each vCPU (values start at 0) */
	unsigned int n_regs;
	const struct scripted_step *const *scripts; /* one per vCPU id, NULL for none */
	const unsigned int *script_len;
	unsigned int n_scripts;
	unsigned long fail_nth; /* this host call (counted from 1) fails, 0: none */
	int fail_errno;
};

int hv_scripted_create(const struct scripted_config *config, struct hv **ret);

/* Number of host calls so far; with fail_nth above it, a run has passed every point of failure. */
unsigned long hv_scripted_calls(struct hv *hv);

/* The last level given to vcpu_interrupt, how often it changed, and how many calls were made. */
bool hv_scripted_interrupt(struct hv_vcpu *vcpu, unsigned int *ret_changes, unsigned int *ret_calls);

/* Presence of in-kernel resources, by the calls made so far. */
unsigned int hv_scripted_ioeventfds(struct hv *hv);
unsigned int hv_scripted_memory_slots(struct hv *hv);

/* A guest write as KVM would treat it: doorbell, coalesced ring, or false: an exit that the caller must play. */
bool hv_scripted_guest_write(struct hv *hv, uint64_t gpa, const void *data, unsigned int len);
/* A guest's diagnose 500 with subcode 3 as KVM would treat it: true when a doorbell took it. */
bool hv_scripted_guest_notify(struct hv *hv, uint32_t sid, uint64_t queue);
/* A guest read as KVM would treat it: true with data when a memory slot answers. */
bool hv_scripted_guest_read(struct hv *hv, uint64_t gpa, void *data, unsigned int len);

#endif
