// SPDX-License-Identifier: MIT
/* Links on datagram sockets, and on real taps in a network namespace of the test's own where the machine allows that. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "backend/link.h"
#include "base/sys.h"
#include "tests/test.h"

#define TYPE 0x88b5 /* Ethernet's type for local experiments */

static int open_link(struct link_config config, struct link **ret, struct err *e)
{
	*ret = NULL;
	*e = (struct err){0};
	return link_open(&config, ret, e);
}

static void test_socket(void)
{
	uint8_t header[LINK_HEADER] = {1, 2, 3}, back[64] = {0};
	char frame[] = "a frame of bytes", got[64];
	struct iovec out[3] = {{header, 5}, {header + 5, 7}, {frame, sizeof(frame)}};
	struct iovec in[2] = {{back, 14}, {back + 14, 50}};
	struct link *link;
	struct err e;
	int sv[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv), 0);
	CHECK_EQ(open_link((struct link_config){.fd = sv[0], .pairs = 1}, &link, &e), 0);
	if (!link)
		return;
	CHECK(!link_info(link)->vnet_hdr && !link_info(link)->offloads);
	CHECK_EQ(link_receive(link, 0, in, 2), -EAGAIN);
	CHECK_EQ(link_send(link, 0, out, 3), LINK_HEADER + sizeof(frame));
	CHECK_EQ(recv(sv[1], got, sizeof(got), 0), sizeof(frame));
	CHECK(!memcmp(got, frame, sizeof(frame)));
	memset(back, 0xff, sizeof(back));
	CHECK_EQ(send(sv[1], "0123456789", 10, 0), 10);
	CHECK_EQ(link_receive(link, 0, in, 2), LINK_HEADER + 10);
	CHECK(!memcmp(back, "\0\0\0\0\0\0\0\0\0\0\0\0" "0123456789", 22));
	for (int i = 0; i < 1000; i++)
		if (link_send(link, 0, out, 3) == -EAGAIN)
			goto full;
	CHECK(!"a socket that nobody reads is full at some time");
full:
	CHECK_EQ(link_set_offloads(link, 0), 0);
	CHECK_EQ(link_set_offloads(link, TUN_F_CSUM), -EOPNOTSUPP);
	CHECK_EQ(link_set_pairs(link, 2), -EINVAL);
	close(sv[1]);
	CHECK(link_send(link, 0, out, 3) < 0);
	link_close(link);
	CHECK(fcntl(sv[0], F_GETFL) < 0); /* taken over */
}

static void test_bad(void)
{
	struct link *link;
	struct err e;
	int sv[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	CHECK_EQ(open_link((struct link_config){.fd = sv[0], .pairs = 1}, &link, &e), -EINVAL);
	CHECK(strstr(e.text, "stream socket") && fcntl(sv[0], F_GETFL) >= 0); /* still the caller's */
	close(sv[0]);
	close(sv[1]);
	CHECK_EQ(pipe(sv), 0);
	CHECK_EQ(open_link((struct link_config){.fd = sv[0], .pairs = 1}, &link, &e), -EINVAL);
	CHECK(strstr(e.text, "not a tap"));
	CHECK_EQ(open_link((struct link_config){.fd = sv[0], .pairs = 2}, &link, &e), -EINVAL);
	close(sv[0]);
	close(sv[1]);
	CHECK_EQ(open_link((struct link_config){.fd = -1, .pairs = 17}, &link, &e), -EINVAL);
	CHECK_EQ(open_link((struct link_config){.fd = -1, .pairs = 1, .tapif = "no-such-tap"}, &link, &e), -ENODEV);
	CHECK(strstr(e.text, "no-such-tap") && strstr(e.text, "ip tuntap add"));
	CHECK(!if_nametoindex("no-such-tap"));
	CHECK_EQ(open_link((struct link_config){.fd = -1, .tapif = "a-name-longer-than-any-interface"}, &link, &e), -ENODEV);
	CHECK(!link);
}

/* Frames of our own type only: the kernel has things of its own to say on a new interface. */
static ssize_t receive_ours(struct link *link, uint8_t *buf, size_t len)
{
	for (int i = 0; i < 10000; i++) {
		struct iovec iov = {buf, len};
		int64_t r = link_receive(link, 0, &iov, 1);

		if (r == -EAGAIN)
			usleep(1000);
		else if (r < 0)
			return (ssize_t)r;
		else if (r > 26 && buf[24] == TYPE >> 8 && buf[25] == (TYPE & 255))
			return (ssize_t)r;
	}
	return -ETIMEDOUT;
}

static void test_frames(struct link *link)
{
	uint8_t frame[LINK_HEADER + 100] = {0}, back[2048];
	struct iovec iov = {frame, sizeof(frame)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(TYPE));
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(TYPE),
		.sll_ifindex = (int)if_nametoindex(link_info(link)->ifname),
	};

	if (fd < 0)
		return;
	CHECK_EQ(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	memset(frame + LINK_HEADER, 0xff, 6);
	frame[LINK_HEADER + 12] = TYPE >> 8;
	frame[LINK_HEADER + 13] = TYPE & 255;
	frame[LINK_HEADER + 99] = 42;
	CHECK_EQ(link_send(link, 0, &iov, 1), sizeof(frame));
	CHECK_EQ(recv(fd, back, sizeof(back), 0), 100);
	CHECK_EQ(back[99], 42);
	CHECK_EQ(send(fd, frame + LINK_HEADER, 100, 0), 100);
	CHECK_EQ(receive_ours(link, back, sizeof(back)), sizeof(frame));
	CHECK_EQ(back[LINK_HEADER + 99], 42);
	/* A header that lies: refused, and nothing else happens. */
	frame[0] = 1;
	frame[6] = 0xff;
	CHECK(link_send(link, 0, &iov, 1) < 0);
	frame[0] = 0;
	frame[6] = 0;
	frame[1] = 0x55;
	CHECK(link_send(link, 0, &iov, 1) < 0);
	close(fd);
}

static uint32_t address_of(const char *ifname, short *ret_flags)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq ifr = {0};
	struct sockaddr_in addr = {0};

	memcpy(ifr.ifr_name, ifname, MIN(strlen(ifname), 15u));
	if (ioctl(fd, SIOCGIFADDR, &ifr) == 0)
		memcpy(&addr, &ifr.ifr_addr, sizeof(addr));
	*ret_flags = ioctl(fd, SIOCGIFFLAGS, &ifr) == 0 ? ifr.ifr_flags : 0;
	close(fd);
	return ntohl(addr.sin_addr.s_addr);
}

static void test_made(void)
{
	struct link *a, *b;
	struct err e;
	short flags;

	CHECK_EQ(open_link((struct link_config){.fd = -1, .pairs = 1, .host_ip = "192.168.33.1"}, &a, &e), 0);
	if (!a) {
		fprintf(stderr, "%s\n", e.text);
		return;
	}
	CHECK_STR(link_info(a)->ifname, "lkvm-tap0");
	CHECK(link_info(a)->vnet_hdr);
	CHECK_EQ(address_of("lkvm-tap0", &flags), 0xc0a82101);
	CHECK(flags & IFF_UP);
	CHECK_EQ(link_set_offloads(a, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN), 0);
	CHECK_EQ(link_set_offloads(a, 0), 0);
	CHECK_EQ(open_link((struct link_config){.fd = -1, .pairs = 4}, &b, &e), 0);
	CHECK(b && link_info(b)->pairs == 4);
	CHECK_STR(b ? link_info(b)->ifname : "", "lkvm-tap1");
	if (b) {
		CHECK_EQ(link_set_pairs(b, 4), 0);
		CHECK_EQ(link_set_pairs(b, 2), 0);
		CHECK_EQ(link_set_pairs(b, 5), -EINVAL);
		CHECK(link_fd(b, 3) >= 0 && link_fd(b, 4) < 0);
	}
	test_frames(a);
	link_close(b);
	link_close(a);
	CHECK(!if_nametoindex("lkvm-tap0") && !if_nametoindex("lkvm-tap1"));
	CHECK_EQ(open_link((struct link_config){.fd = -1, .pairs = 1, .host_ip = "33.1"}, &a, &e), -EINVAL);
	CHECK(strstr(e.text, "33.1"));
	CHECK(!if_nametoindex("lkvm-tap0"));
}

static int make_tap(const char *name, short flags, bool persist)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq ifr = {.ifr_flags = flags};

	memcpy(ifr.ifr_name, name, strlen(name));
	CHECK_EQ(ioctl(fd, TUNSETIFF, &ifr), 0);
	if (!persist)
		return fd;
	CHECK_EQ(ioctl(fd, TUNSETPERSIST, 1), 0);
	close(fd);
	return -1;
}

static void test_named(void)
{
	struct link *a, *b;
	struct err e;
	int fd;

	make_tap("single", IFF_TAP | IFF_NO_PI, true);
	make_tap("multi", IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE, true);
	make_tap("tunnel", IFF_TUN | IFF_NO_PI, true);
	CHECK_EQ(open_link((struct link_config){.fd = -1, .tapif = "single", .pairs = 1}, &a, &e), 0);
	CHECK_EQ(open_link((struct link_config){.fd = -1, .tapif = "single", .pairs = 1}, &b, &e), -EBUSY);
	CHECK(strstr(e.text, "in use"));
	link_close(a);
	CHECK(if_nametoindex("single"));
	CHECK_EQ(open_link((struct link_config){.fd = -1, .tapif = "single", .pairs = 2}, &a, &e), -EINVAL);
	CHECK(strstr(e.text, "multi_queue"));
	CHECK_EQ(open_link((struct link_config){.fd = -1, .tapif = "multi", .pairs = 1}, &a, &e), 0);
	link_close(a);
	CHECK_EQ(open_link((struct link_config){.fd = -1, .tapif = "multi", .pairs = 2}, &a, &e), 0);
	link_close(a);
	CHECK_EQ(open_link((struct link_config){.fd = -1, .tapif = "lo", .pairs = 1}, &a, &e), -EINVAL);
	CHECK(strstr(e.text, "not a tap"));
	CHECK_EQ(open_link((struct link_config){.fd = -1, .tapif = "tunnel", .pairs = 1}, &a, &e), -EINVAL);

	/* Opened by somebody else: with header and without. */
	fd = make_tap("given", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, false);
	CHECK_EQ(open_link((struct link_config){.fd = fd, .pairs = 1}, &a, &e), 0);
	CHECK(a && link_info(a)->vnet_hdr && link_info(a)->offloads);
	CHECK_STR(a ? link_info(a)->ifname : "", "given");
	link_close(a);
	fd = make_tap("bare", IFF_TAP | IFF_NO_PI, false);
	CHECK_EQ(open_link((struct link_config){.fd = fd, .pairs = 1}, &a, &e), 0);
	CHECK(a && !link_info(a)->vnet_hdr && !link_info(a)->offloads);
	link_close(a);
	fd = make_tap("ip", IFF_TUN | IFF_NO_PI, false);
	CHECK_EQ(open_link((struct link_config){.fd = fd, .pairs = 1}, &a, &e), -EINVAL);
	close(fd);
}

static void write_script(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void test_scripts(void)
{
	char dir[] = "/tmp/lkvm-link-XXXXXX", up[64], down[64], bad[64], said[64], text[256], back[64] = "";
	struct link *a;
	struct err e;
	int fd;

	CHECK(mkdtemp(dir));
	snprintf(up, sizeof(up), "%s/up", dir);
	snprintf(down, sizeof(down), "%s/down", dir);
	snprintf(bad, sizeof(bad), "%s/bad", dir);
	snprintf(said, sizeof(said), "%s/said", dir);
	snprintf(text, sizeof(text), "#!/bin/sh\necho up $1 >>%s\n", said);
	write_script(up, text);
	snprintf(text, sizeof(text), "#!/bin/sh\necho down $1 >>%s\n", said);
	write_script(down, text);
	write_script(bad, "#!/bin/sh\nexit 3\n");
	CHECK_EQ(open_link((struct link_config){.fd = -1, .script = up, .downscript = down}, &a, &e), 0);
	link_close(a);
	fd = open(said, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0 && read(fd, back, sizeof(back) - 1) > 0);
	CHECK_STR(back, "up lkvm-tap0\ndown lkvm-tap0\n");
	close(fd);
	CHECK_EQ(open_link((struct link_config){.fd = -1, .script = bad}, &a, &e), -EIO);
	CHECK(strstr(e.text, bad) && strstr(e.text, "status 3"));
	CHECK(!if_nametoindex("lkvm-tap0"));
	CHECK_EQ(open_link((struct link_config){.fd = -1, .script = "/no/such/script"}, &a, &e), -ENOENT);
	CHECK_EQ(open_link((struct link_config){.fd = -1, .script = "none"}, &a, &e), 0);
	link_close(a);
	unlink(up);
	unlink(down);
	unlink(bad);
	unlink(said);
	rmdir(dir);
}

int main(void)
{
	int fd;

	test_socket();
	test_bad();
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0 || (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)) {
		fprintf(stderr, "taps are not tried: no /dev/net/tun or no network namespaces\n");
		return test_result();
	}
	close(fd);
	test_made();
	test_named();
	test_scripts();
	return test_result();
}
