/* SPDX-License-Identifier: MIT */
/*
 * The per-user runtime folder with a socket for each running guest: $XDG_RUNTIME_DIR/lkvm (if that is the user's own), else /run/user/UID/lkvm, else /tmp/lkvm-UID. It is the user's own,
 * mode 0700, or it is not used. Who makes or removes sockets holds the folder's lock (flock).
 */
#ifndef LKVM_VM_RUNTIME_H
#define LKVM_VM_RUNTIME_H

#include <stdbool.h>
#include <sys/un.h>

#include "base/err.h"
#include "base/util.h"

#define RUNTIME_NAME_MAX 64 /* bytes of a guest's name */
#define RUNTIME_MAX_REQUEST 65536	   /* bytes */
#define RUNTIME_MAX_REPLY (64u << 20)

struct runtime {
	int fd; /* the folder */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* make: creates the folder when it is not there; else -ENOENT then, without a sentence. */
int runtime_open(bool make, struct runtime *ret, struct err *e);
void runtime_close(struct runtime *r);
/* Whether a guest can have this name: 0 or -EINVAL. */
int runtime_check_name(const char *name, struct err *e);
/* Fills the address of a guest's socket. -EINVAL: a name that cannot be. */
int runtime_address(const struct runtime *r, const char *name, struct sockaddr_un *ret, struct err *e);

/*
 * Connects to a guest: a descriptor that does not block, or -errno. -ECONNREFUSED: nobody is there any more; the stale entry is gone then. -ENOENT: nobody is there.
 */
int runtime_connect(const struct runtime *r, const char *name, struct err *e);
/* A listening socket under this name, or -EEXIST when a guest has it. */
int runtime_listen(const struct runtime *r, const char *name, struct err *e);
void runtime_remove(const struct runtime *r, const char *name);

/* One line with a deadline (sys_now_ns()): up to the newline, which is taken away, or the end of file. The text is the caller's. -ETIMEDOUT, -E2BIG beyond max. */
int runtime_read_line(int fd, size_t max, uint64_t deadline_ns, char **ret);
/* All of it, with a deadline. */
int runtime_write(int fd, const char *text, size_t len, uint64_t deadline_ns);

#endif
