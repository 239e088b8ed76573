// SPDX-License-Identifier: MIT
/* Network links: where a NIC's frames go. A link has one or more queue pairs; each is a descriptor of a tap. */
#ifndef LKVM_BACKEND_LINK_H
#define LKVM_BACKEND_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/util.h"

struct link;

struct link_config {
	const char *tapif;  /* an existing tap interface, or NULL: one is made (needs CAP_NET_ADMIN) and vanishes with the VM */
	int fd;		    /* an open tap, or a datagram socket that carries bare frames (taken over on success), or -1 */
	unsigned int pairs; /* queue pairs, 1 to 16 */
	const char *host_ip; /* address for a tap made here ("192.168.33.1", /24), or NULL */
	const char *script, *downscript; /* run with the interface's name as argument, or NULL */
};

/* The header of every frame: struct virtio_net_hdr_v1 (virtio 1.3, 5.1.6), little-endian. */
#define LINK_HEADER 12
#define LINK_MAX_IOV 512 /* in one frame */

/* What the peer can take: checksum offload and segmentation, as virtio-net feature semantics. */
struct link_info {
	unsigned int pairs;
	bool vnet_hdr; /* the header reaches the peer; otherwise it is dropped on sending and zero on receiving */
	bool offloads; /* TUNSETOFFLOAD works: checksum, TSO4, TSO6, ECN */
	char ifname[16];
};

/*
 * Errors, each with a sentence and a cure: no /dev/net/tun, no permission, no such interface (none is ever made under a name given), not a tap, in use, too few
 * queues, a script that fails.
 */
int link_open(const struct link_config *config, struct link **ret, struct err *e);
void link_close(struct link *link); /* NULL is fine; a tap made here is gone afterwards */
DEFINE_CLEANUP(link, link_close)

const struct link_info *link_info(const struct link *link);
int link_fd(const struct link *link, unsigned int pair); /* to wait for; non-blocking */
/* Tells the peer which offloads the guest's driver accepts on receive (TUN_F_* bits). 0 or -errno. */
int link_set_offloads(struct link *link, unsigned int tun_flags);
/* Frames use the first `pairs` queues from now on (1 after link_open). 0 or -errno. */
int link_set_pairs(struct link *link, unsigned int pairs);
/* One frame with its 12-byte header in front. Bytes moved, -EAGAIN when it would block, or -errno. */
int64_t link_send(struct link *link, unsigned int pair, const struct iovec *iov, unsigned int n);
int64_t link_receive(struct link *link, unsigned int pair, const struct iovec *iov, unsigned int n);

#endif
