// SPDX-License-Identifier: MIT
/*
 * A 9P2000.L server on a share: https://github.com/chaos/diod/blob/master/protocol.md and the 9P2000 manual pages name the messages. One request is one chain: the message in
 * its readable part, the reply into its writable one. File data moves between the host's file and the guest's buffers directly. Not thread-safe.
 */
#ifndef LKVM_VIRTIO_9P_SERVER_H
#define LKVM_VIRTIO_9P_SERVER_H

#include "backend/share.h"
#include "base/endian.h"
#include "memory.h"
#include "virtio/chain.h"

#define P9_MAX_MSIZE KIB(512)
#define P9_MIN_MSIZE KIB(4)
#define P9_MAX_FIDS 65536
#define P9_FID_BUCKETS 1024
#define P9_MAX_WALK 16
#define P9_HEADER 7	   /* size[4] type[1] tag[2] */
#define P9_DATA_HEADER 11  /* of a reply that carries data: and count[4] */
#define P9_WRITE_HEADER 23 /* fid[4] offset[8] count[4], after the header */
#define P9_IN_SIZE 8192	   /* the longest message without data: 16 names, or a symlink's target */
#define P9_OUT_SIZE 24576
#define P9_RING 128 /* what Linux's driver can fill */
#define P9_IOV_CAP (P9_RING + MEMORY_MAX_REGIONS)
#define P9_NOFID UINT32_MAX

struct p9_fid {
	struct p9_fid *next;
	uint32_t number;
	uint32_t uid; /* who attached: owner of what is made */
	struct share_node *node;
	struct share_file *file; /* when it is open */
};

struct p9_server {
	struct share *share;
	uint32_t msize; /* 0 until a version is agreed on */
	unsigned int n_fids;
	struct p9_fid *fid[P9_FID_BUCKETS];
	/* The request at hand. */
	const struct chain *chain;
	uint8_t *at;	 /* next byte of the message to take */
	size_t left;	 /* bytes of it */
	bool bad;	 /* it ended too early, or a string is none */
	uint64_t room;	 /* for the reply */
	size_t out_len;	 /* of the reply, header included */
	uint64_t direct; /* bytes of file data behind it, in place already */
	uint8_t in[P9_IN_SIZE], out[P9_OUT_SIZE];
	struct iovec iov[P9_IOV_CAP];
};

/* Handles one request; the bytes of the reply, or -EPROTO for a chain that can hold no message or no reply. */
int64_t p9_handle(struct p9_server *s, const struct chain *c);
/* Forgets every fid and the version. */
void p9_reset(struct p9_server *s);

/* --- for the handlers of messages --- */

/* Numbers from the message; 0 and `bad` after its end. */
uint64_t p9_take(struct p9_server *s, unsigned int bytes);
/* A string without NUL inside, valid until the reply is sent; "" and `bad` otherwise. */
const char *p9_take_string(struct p9_server *s);
/* Into the reply, which has room for every fixed part. */
void p9_put(struct p9_server *s, unsigned int bytes, uint64_t value);
void p9_put_string(struct p9_server *s, const char *text, size_t len);
void p9_put_qid(struct p9_server *s, const struct stat *st);

/* NULL: there is none. */
struct p9_fid *p9_fid(struct p9_server *s, uint32_t number);
/* A new fid on a node, of which it takes the reference on success. */
int p9_fid_new(struct p9_server *s, uint32_t number, uint32_t uid, struct share_node *node);
void p9_fid_clunk(struct p9_server *s, struct p9_fid *fid);

/* Handlers: 0 with the reply's body in s->out, or -errno. Indexed by half the message's number, NULL: not served. */
typedef int (*p9_handler)(struct p9_server *s);
extern const p9_handler p9_handlers[128 / 2];

#endif
