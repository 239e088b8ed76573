// SPDX-License-Identifier: MIT
/*
 * Character streams: what a serial port or a console port is connected to. A stream has an input descriptor, an output
 * descriptor (either may be -1), and a bounded buffer for each direction. Output never blocks the VM: what does not fit is kept up to the bound, then the writer is told.
 * Thread-safe; the callbacks come on the loop thread without any lock of the stream held.
 */
#ifndef LKVM_BACKEND_STREAM_H
#define LKVM_BACKEND_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/util.h"
#include "loop/loop.h"

struct stream;

struct stream_user {
	void (*input_ready)(void *ctx);	 /* stream_read has something */
	void (*output_ready)(void *ctx); /* stream_write takes bytes again after it was full, or stream_want_output was called */
	void *ctx;
};

/* Takes over no descriptor: they stay the caller's and outlive the stream. escape: Ctrl-A x typed on input calls `escaped`. */
struct stream_config {
	int in_fd, out_fd; /* may be any file: pipe, terminal, regular file, /dev/null, or -1 */
	void (*escaped)(void *ctx); /* NULL: Ctrl-A is an ordinary character */
	void *escaped_ctx;
};

int stream_open(struct loop *loop, const struct stream_config *config, struct stream **ret, struct err *e);
void stream_close(struct stream *s); /* writes out what is pending (for at most a second) */
DEFINE_CLEANUP(stream, stream_close)

/* Connects the device; user NULL disconnects. Calls input_ready at once if there is input. */
void stream_attach(struct stream *s, const struct stream_user *user);
size_t stream_read(struct stream *s, void *buf, size_t len);	  /* bytes taken, 0 when empty */
size_t stream_write(struct stream *s, const void *buf, size_t len); /* bytes accepted; fewer than len: full, output_ready follows */
void stream_want_output(struct stream *s, bool now); /* asks for one output_ready, at once or in about a millisecond, when there is room */

#endif
