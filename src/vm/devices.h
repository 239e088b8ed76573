// SPDX-License-Identifier: MIT
/* The devices of a VM: which there are, where they go, and in which order. */
#ifndef LKVM_VM_DEVICES_H
#define LKVM_VM_DEVICES_H

#include "vm/vm.h"

/* What was found out about the guest's root file system on the way. */
struct vm_root {
	bool is_share;	  /* a folder, over 9P */
	bool has_init;	  /* made by lkvm_setup_root */
	bool has_network;
};

int vm_open_streams(struct lkvm_vm *vm, struct err *e);
int vm_add_platform_devices(struct lkvm_vm *vm, struct err *e);
int vm_add_virtio_devices(struct lkvm_vm *vm, struct vm_root *ret_root, struct err *e);
/*
 * Gives the running guest what the value of this option ("disk", "9p", "network") says: *ret is a copy of the device's row. On failure nothing is left behind. -EOPNOTSUPP: not on
 * this architecture; -ESRCH: the guest does not run; -EINVAL, and what opening gives. On any thread but the loop's and a vCPU's, as vm_detach.
 */
int vm_attach(struct lkvm_vm *vm, const char *option, const char *value, struct vm_virtio *ret, struct err *e);
/* Takes the device of this name away, after its requests in flight. -ENODEV: there is none; -EBUSY: it is not one that can come and go. */
int vm_detach(struct lkvm_vm *vm, const char *name, struct err *e);
void vm_remove_devices(struct lkvm_vm *vm); /* half-built is fine */

#endif
