// SPDX-License-Identifier: MIT
/* The network device against a hostile driver and a hostile network. */
#include <sys/socket.h>

#include "drive.h"
#include "virtio/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int peer = -1;

static struct virtio_device *create(struct drive *v)
{
	/* CSUM, CTRL_GUEST_OFFLOADS, HOST_TSO4, HOST_TSO6, HOST_ECN, MQ: a socket has none of it, but what the driver says is checked as for a tap. */
	const uint64_t more = 1 | 1 << 2 | 7 << 11 | 1 << 22;
	struct virtio_net_config config = {.mac = {2}, .pairs = 1};
	struct link_config link_config = {.pairs = 1};
	struct virtio_device *vd;
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) < 0)
		abort();
	link_config.fd = sv[0];
	if (link_open(&link_config, &config.link, NULL) < 0 ||
	    virtio_net_create(&config, &v->vm->env, &vd, NULL) < 0)
		abort();
	vd->offered |= more;
	if (peer < 0)
		peer = sv[1];
	else
		close(sv[1]); /* of a device that is loaded with a state */
	return vd;
}

static void op(struct drive *v, uint8_t what)
{
	static uint8_t frame[70000];
	size_t len = drive_take(v, 2);

	if (what & 1) {
		while (recv(peer, frame, sizeof(frame), 0) >= 0)
			;
		return;
	}
	memset(frame, what, len);
	if (send(peer, frame, len, MSG_NOSIGNAL) >= 0)
		virtio_ring(v->vd, 0); /* there is no loop to see it */
}

static bool alive(struct drive *v)
{
	uint8_t ack = 9;

	return mock_request(v->d, 2, "\2\0\1\0", 4, &ack, 1) == 1 && ack == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct drive v = {.create = create, .op = op, .alive = alive};

	drive_run(&v, data, size);
	close(peer);
	peer = -1;
	return 0;
}
