// SPDX-License-Identifier: MIT
/* The edge to the operating system: wrappers that answer -errno and retry EINTR. Thread-safe. */
#ifndef LKVM_BASE_SYS_H
#define LKVM_BASE_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ioctl with its result or -errno; EINTR is handed back (KVM_RUN needs it). */
int sys_ioctl(int fd, unsigned long request, void *arg);
int sys_ioctl_value(int fd, unsigned long request, unsigned long value);

/* Opens with O_CLOEXEC added. */
int sys_open(const char *path, int flags, unsigned int mode);

/* Reads or writes all of len; a short read at the end of file is 0 < n < len; else -errno. */
ssize_t sys_read_all(int fd, void *buf, size_t len);
ssize_t sys_pread_all(int fd, void *buf, size_t len, uint64_t offset);
int sys_write_all(int fd, const void *buf, size_t len);

/* A new eventfd, non-blocking, close-on-exec. */
int sys_eventfd(void);
void sys_eventfd_signal(int fd);
void sys_eventfd_clear(int fd);

/* Fills buf with random bytes (getrandom); 0 or -errno. */
int sys_random(void *buf, size_t len);

/* Monotonic time in nanoseconds. */
uint64_t sys_now_ns(void);

/* A list of CPUs as the kernel writes it, "0,2-5", into a bitmap of `bits` (a multiple of 64): 0, or -EINVAL, also for none and for numbers beyond. */
int sys_parse_cpulist(const char *text, uint64_t *map, size_t bits);
/* The calling thread runs on these CPUs only. 0 or -errno. */
int sys_set_affinity(const uint64_t *map, size_t bits);

/* Starts a thread with every signal blocked, so that a host program's handlers never run on ours. 0 or -errno. */
int sys_thread_start(void *(*fn)(void *), void *arg, const char *name, unsigned long *ret_thread);

#endif
