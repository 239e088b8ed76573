// SPDX-License-Identifier: MIT
/* The logging hook: the library never prints; whoever embeds it decides where lines go. */
#ifndef LKVM_BASE_LOG_H
#define LKVM_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Owned by the VM, read-only after creation; emit may be called from any thread. */
struct log {
	void (*emit)(void *ctx, enum log_level level, const char *line);
	void *ctx;
	enum log_level level; /* lines above it are dropped */
};

/* log may be NULL (nothing is emitted). One line, without newline, at most 500 bytes. */
void log_line(const struct log *log, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(log, ...) log_line(log, LOG_ERROR, __VA_ARGS__)
#define log_warning(log, ...) log_line(log, LOG_WARNING, __VA_ARGS__)
#define log_info(log, ...) log_line(log, LOG_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_line(log, LOG_DEBUG, __VA_ARGS__)

/* True the first time only; for what a guest could otherwise repeat without end. `said` starts 0 (a word: RISC-V has no atomic exchange of bytes). */
static inline bool log_once(atomic_int *said)
{
	return !atomic_exchange_explicit(said, 1, memory_order_relaxed);
}

#endif
