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
void vm_remove_devices(struct lkvm_vm *vm); /* half-built is fine */

#endif
