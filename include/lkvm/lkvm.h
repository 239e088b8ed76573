// SPDX-License-Identifier: MIT
/*
 * lkvm: virtual machines on Linux KVM, as a library.
 *
 * The library has no global mutable state: any number of virtual machines live in one process. It never exits the process, never prints, installs no
 * signal handler, and starts no child process unless a configuration asks for one (network scripts). Its threads run with every signal blocked.
 *
 *	struct lkvm_config *config;
 *	struct lkvm_vm *vm;
 *	struct lkvm_end end;
 *	struct lkvm_error e = { 0 };
 *
 *	lkvm_config_create(&config);
 *	lkvm_config_set(config, "kernel", "Image", &e);
 *	lkvm_config_set_console(config, 0, 0, 1);
 *	if (lkvm_create(config, NULL, &vm, &e) == 0 && lkvm_start(vm, &e) == 0)
 *		lkvm_wait(vm, &end);
 *	lkvm_destroy(vm);
 *	lkvm_config_destroy(config);
 *
 * Functions return 0 (or a positive number where said), or a negative errno; where an lkvm_error is taken it then holds one sentence for a person (NULL is fine).
 * Objects belong to the caller until the matching destroy function, which accepts NULL.
 * Unless said otherwise functions on one object are for one thread at a time, on different objects for any.
 */
#ifndef LKVM_H
#define LKVM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LKVM_VERSION "0.1.0"

#if defined(__GNUC__)
#define LKVM_API __attribute__((visibility("default")))
#else
#define LKVM_API
#endif

/* The version of the library that runs, "MAJOR.MINOR.PATCH". */
LKVM_API const char *lkvm_version(void);

/* A structured message: starts all zero; the first failure fills it and later ones leave it alone. */
struct lkvm_error {
	int code;	   /* negative errno */
	char message[480]; /* one sentence that names the thing and the cure */
};

/* ---- configuration ---- */

struct lkvm_config;

LKVM_API int lkvm_config_create(struct lkvm_config **ret);
LKVM_API void lkvm_config_destroy(struct lkvm_config *config);

/*
 * Sets an option by its long name ("cpus", "mem", "disk", ...: lkvm_option_get lists them), with the text that the command line would take. Repeatable
 * options add. value NULL is right for flags only. -EINVAL: no such option, or a value out of range; -EOPNOTSUPP: known, but served by no device yet.
 */
LKVM_API int lkvm_config_set(struct lkvm_config *config, const char *name, const char *value,
			     struct lkvm_error *e);

/*
 * The value of an option as text (a repeatable option's first) into buf, cut to len; returns its whole length, 0 for a default that is empty, false or
 * the first choice. -EINVAL: no such option.
 */
LKVM_API int lkvm_config_get(const struct lkvm_config *config, const char *name, char *buf, size_t len);

/* Reads a JSON object whose keys are option names; source names the text in errors, which give line and column. */
LKVM_API int lkvm_config_load_json(struct lkvm_config *config, const char *text, size_t len,
				   const char *source, struct lkvm_error *e);

/* The configuration as JSON text, every option that differs from its default; malloc'ed, the caller frees. */
LKVM_API int lkvm_config_dump_json(const struct lkvm_config *config, char **ret_text);

/*
 * Connects a console stream: `port` 0 is the guest's main console, 1 to 3 further serial or console ports. The descriptors (-1: none; they may be equal) stay the
 * caller's and must outlive the VM. With `escape`, Ctrl-A x on the input stops the VM.
 */
LKVM_API int lkvm_config_set_console(struct lkvm_config *config, unsigned int port, int in_fd, int out_fd);
LKVM_API int lkvm_config_set_escape(struct lkvm_config *config, int escape);

/* One row of the option table: what a command line, a man page or a completion script is made from. */
struct lkvm_option {
	const char *name;  /* long name */
	char letter;	   /* or 0 */
	const char *value; /* what it takes, NULL for a flag */
	const char *help, *group;
	const char *const *choices; /* NULL-terminated, or NULL */
	int repeatable;
	int refused; /* known from kvmtool, served by no device yet */
};

/* Row `index`, from 0; -ENOENT past the end. */
LKVM_API int lkvm_option_get(unsigned int index, struct lkvm_option *ret);

/* ---- a virtual machine ---- */

struct lkvm_vm;

enum lkvm_event_type {
	LKVM_EVENT_LOG,	     /* level, text: a line for people */
	LKVM_EVENT_STARTED,
	LKVM_EVENT_PAUSED,
	LKVM_EVENT_RESUMED,
	LKVM_EVENT_SUSPENDED, /* the guest put itself to sleep; lkvm_resume wakes it */
	LKVM_EVENT_ENDED,     /* end */
};

enum lkvm_log_level { LKVM_LOG_ERROR, LKVM_LOG_WARNING, LKVM_LOG_INFO, LKVM_LOG_DEBUG };

enum lkvm_end_reason {
	LKVM_END_POWEROFF, /* the guest powered off */
	LKVM_END_REBOOT,   /* the guest asked for a reset */
	LKVM_END_PANIC,	   /* the guest says that it has crashed */
	LKVM_END_STOPPED,  /* lkvm_stop, or the escape on the console */
	LKVM_END_HALTED,   /* its CPUs stand still for good (s390x: a disabled wait); error says where */
	LKVM_END_ERROR,	   /* error says why: a vCPU that cannot go on, a host that fails */
};

/* How it ended. exit_status: what the lkvm program exits with (0 poweroff and stopped, 1 error, 3 reboot, 4 panic, 5 halted). */
struct lkvm_end {
	enum lkvm_end_reason reason;
	int exit_status;
	struct lkvm_error error;
};

struct lkvm_event {
	enum lkvm_event_type type;
	enum lkvm_log_level level;
	const char *text;	    /* valid during the call */
	const struct lkvm_end *end; /* valid during the call */
};

/* Called from any of the VM's threads, LKVM_EVENT_LOG also from within lkvm_create. It must not call lkvm_wait, lkvm_pause or lkvm_destroy on the same VM. */
struct lkvm_callbacks {
	void (*event)(void *ctx, struct lkvm_vm *vm, const struct lkvm_event *event);
	void *ctx;
};

/*
 * Builds the machine: opens every file, creates vCPUs and devices, loads the kernel. Nothing runs yet. The configuration is copied; callbacks may be NULL.
 */
LKVM_API int lkvm_create(const struct lkvm_config *config, const struct lkvm_callbacks *callbacks,
			 struct lkvm_vm **ret, struct lkvm_error *e);

/* Lets the vCPUs run. Once for each VM. */
LKVM_API int lkvm_start(struct lkvm_vm *vm, struct lkvm_error *e);

/* Waits until the guest has ended and every thread of the VM has gone. ret may be NULL. Any one thread. */
LKVM_API int lkvm_wait(struct lkvm_vm *vm, struct lkvm_end *ret);

/* Thread-safe. lkvm_pause returns when no vCPU runs and no device touches guest memory; -ESRCH when it has ended. */
LKVM_API int lkvm_pause(struct lkvm_vm *vm);
LKVM_API int lkvm_resume(struct lkvm_vm *vm);
/* Ends the VM as if its power were cut; lkvm_wait then returns. Thread-safe; does not wait. */
LKVM_API int lkvm_stop(struct lkvm_vm *vm);

/* Stops it if need be, waits, and frees everything: memory, descriptors, the runtime socket, network interfaces made for it. */
LKVM_API void lkvm_destroy(struct lkvm_vm *vm);

/*
 * Calls a method of the control API ("stat", "regs", "balloon", "attach", ...; "help" lists them) with parameters as a JSON object (NULL: none). The reply, a JSON object, is
 * malloc'ed and the caller's. Thread-safe, not from callbacks.
 */
LKVM_API int lkvm_control(struct lkvm_vm *vm, const char *method, const char *params, char **ret_reply,
			  struct lkvm_error *e);

/* ---- guests of this user that run in other processes ---- */

/* Names the running guests, in order; stale entries are removed on the way. Stops at fn's first non-zero result, which it returns. */
LKVM_API int lkvm_guests(int (*fn)(void *ctx, const char *name, int pid), void *ctx, struct lkvm_error *e);

/* lkvm_control for a guest by name: -ENOENT with a sentence when there is none. timeout in milliseconds, -1 waits for ever. */
LKVM_API int lkvm_guest_control(const char *name, const char *method, const char *params, int timeout_ms,
				char **ret_reply, struct lkvm_error *e);

/* ---- the host ---- */

/* What this host can do. cure is NULL where `present`. config gives the KVM device (may be NULL). */
typedef void (*lkvm_doctor_fn)(void *ctx, const char *what, int present, const char *cure);
LKVM_API int lkvm_doctor(const struct lkvm_config *config, lkvm_doctor_fn fn, void *ctx, struct lkvm_error *e);

/* Every register of a fresh vCPU. value: size bytes in the host's byte order; size 0: it cannot be read. */
typedef void (*lkvm_register_fn)(void *ctx, const char *name, uint64_t id, const void *value, unsigned int size);
LKVM_API int lkvm_fresh_registers(const struct lkvm_config *config, lkvm_register_fn fn, void *ctx,
				  struct lkvm_error *e);

/*
 * Makes a guest's own root folder at path: the folders a root file system needs, an init that starts a shell, and links to the host's programs, which such a guest
 * sees read-only. An existing folder is completed; nothing in it is replaced but init itself, when it is another program
 * now. Symlinks that a guest left there are not followed. init: path of the program to use as the guest's init (the lkvm program itself serves).
 */
LKVM_API int lkvm_setup_root(const char *path, const char *init, struct lkvm_error *e);

#ifdef __cplusplus
}
#endif

#endif
