// SPDX-License-Identifier: MIT
/* A virtual machine: what src/vm's files share. The order of assembly is in assemble.c, of life and death in life.c. */
#ifndef LKVM_VM_VM_H
#define LKVM_VM_VM_H

#include <pthread.h>
#include <stdatomic.h>

#include <lkvm/lkvm.h>

#include "arch/arch.h"
#include "backend/stream.h"
#include "base/bitmap.h"
#include "base/log.h"
#include "vm/config.h"
#include "virtio/device.h"
#include "virtio/transport/mmio.h"

#define VM_MAX_DEVICES 64

enum vm_state { VM_CREATED, VM_RUNNING, VM_ENDED };

/* Counters a vCPU thread keeps; read by `stat` while it runs. */
struct vm_vcpu_stat {
	atomic_ulong exits, mmio_reads, mmio_writes, unclaimed, interrupted, other;
};

struct vm_vcpu {
	struct lkvm_vm *vm;
	unsigned int index;
	unsigned long thread;
	bool started;
	struct vm_vcpu_stat stat;
};

/* A virtio device and its place. */
struct vm_virtio {
	struct virtio_device *vd;
	struct virtio_mmio *mmio; /* or the architecture's own: */
	void *transport;
	unsigned int number;	  /* of its place: that of the address or of the device */
	char name[16];		  /* "blk0" */
};

struct vm_device_ops {
	void (*destroy)(void *dev);
	/* The device's plain state, with vCPUs stopped; state_size 0: it has none. load: -EINVAL for what cannot be. */
	size_t state_size;
	void (*save)(void *dev, void *state);
	int (*load)(void *dev, const void *state);
};

/* A platform device: destroyed in reverse order of creation. */
struct vm_device {
	const struct vm_device_ops *ops;
	void *dev;
};

struct lkvm_vm {
	struct lkvm_config *config;
	struct lkvm_callbacks callbacks;
	struct log log;
	struct machine machine;
	uint64_t affinity[BITMAP_WORDS(MACHINE_MAX_HOST_CPUS)];
	struct virtio_env env;
	struct stream *stream[CONFIG_CONSOLES];
	int pty[CONFIG_CONSOLES]; /* ours, for --tty; else -1 */
	struct vm_virtio virtio[VM_MAX_DEVICES]; /* once it runs they change under pause_lock and lock: either is enough to look */
	unsigned int n_virtio;
	unsigned int next_place; /* never one that was used: a guest may not have noticed yet that its device is gone, and would take the new one for that */
	struct vm_device device[VM_MAX_DEVICES];
	unsigned int n_devices;
	struct virtio_device *balloon; /* one of virtio[], or NULL */
	struct uart8250 *uart[CONFIG_CONSOLES];
	char *cmdline;
	char stdout_path[40];
	struct control *control; /* the runtime socket, NULL without a name */

	struct vm_vcpu *vcpu;
	unsigned long loop_thread;
	bool loop_started;

	pthread_mutex_t pause_lock; /* before lock */
	pthread_mutex_t lock;	    /* for what follows */
	pthread_cond_t changed;
	enum vm_state state;
	uint64_t started_ns;	/* sys_now_ns(), 0: not yet */
	unsigned int holds;	/* vCPUs run only while this is 0 */
	unsigned int n_running; /* vCPU threads neither parked nor gone */
	bool user_paused;	/* one of the holds is the user's */
	bool suspended;		/* one of the holds is the guest's own suspend */
	bool said_suspended;
	bool joined;
	struct lkvm_end end;
	bool has_end;
};

/* assemble.c */
int vm_assemble(struct lkvm_vm *vm, struct hv *hv, struct err *e); /* hv is taken over, also on failure */
void vm_disassemble(struct lkvm_vm *vm);

/* vcpu.c: body of a vCPU thread */
void *vm_vcpu_main(void *vcpu);
/* The main registers of a vCPU that does not run, line by line. */
void vm_log_registers(struct lkvm_vm *vm, unsigned int i, enum log_level level);

/* life.c */
/* The VM ends for this reason unless it has already ended; any thread. e only with LKVM_END_ERROR and LKVM_END_HALTED. */
void vm_end(struct lkvm_vm *vm, enum lkvm_end_reason reason, const struct err *e);
/*
 * Stops all vCPUs for a while; each successful vm_hold needs one vm_release. Waits until none runs, so never on the loop or a vCPU thread (a vCPU may itself wait
 * for the loop). -ESRCH when the VM is not running.
 */
int vm_hold(struct lkvm_vm *vm);
void vm_release(struct lkvm_vm *vm);
/* The guest put itself to sleep: a hold that lkvm_resume ends. From a vCPU thread. */
void vm_suspend(struct lkvm_vm *vm);
/* After each interrupted run: a held vCPU parks here. False: the VM has ended. */
bool vm_gate(struct lkvm_vm *vm);
/* A vCPU thread ends. */
void vm_leave(struct lkvm_vm *vm);
void vm_event(struct lkvm_vm *vm, enum lkvm_event_type type);
/* Like lkvm_create with a hypervisor given (tests). */
int vm_create_on(const struct lkvm_config *config, const struct lkvm_callbacks *callbacks, struct hv *hv,
		 struct lkvm_vm **ret, struct err *e);

/* state.c */
/*
 * The whole state of a paused VM (lkvm_pause) but for its RAM, which is the caller's to copy: how many bytes it takes, written to buf (aligned as malloc does) when that is no
 * more than len; or -errno, -EBUSY when it is not paused, -EOPNOTSUPP where the architecture cannot yet, or a device has what cannot go elsewhere.
 */
int64_t vm_save(struct lkvm_vm *vm, void *buf, size_t len, struct err *e);
/*
 * The same into a VM of the same configuration that was not started yet; RAM comes before or after. Once started it goes on where the other was paused. -EINVAL: it is no
 * state of such a VM; after a failure the VM is good for nothing but lkvm_destroy.
 */
int vm_load(struct lkvm_vm *vm, const void *buf, size_t len, struct err *e);

/* control.c: the runtime socket, whose clients are each served by a short-lived thread */
/*
 * Makes the guest reachable under this name: -EEXIST when a running guest has it, -EINVAL for a name that is none. Where the host offers no runtime folder, a warning is logged and
 * *ret is NULL.
 */
int control_open(struct lkvm_vm *vm, const char *name, struct control **ret, struct err *e);
/* Nobody new is served, and those being served are waited for (the loop must still run if it ever did). NULL is fine. */
void control_close(struct control *c);

/* method.c: runs a method; the reply is malloc'ed JSON, an object. On any thread but the loop's. */
int control_call(struct lkvm_vm *vm, const char *method, const char *params, char **ret_reply, struct err *e);

#endif
