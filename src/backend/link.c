// SPDX-License-Identifier: MIT
#include "backend/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/sys.h"

#define LINK_MAX_PAIRS 16
#define ALL_OFFLOADS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)

struct link {
	struct link_info info;
	int fd[LINK_MAX_PAIRS];
	unsigned int n_fd;
	unsigned int active; /* queues attached */
	bool socket;
	bool tap;
	char *downscript;
};

const struct link_info *link_info(const struct link *link)
{
	return &link->info;
}

int link_fd(const struct link *link, unsigned int pair)
{
	return pair < link->n_fd ? link->fd[pair] : -1;
}

/* --- frames --- */

/* Leaves out the header in front. */
static int skip_header(const struct iovec *iov, unsigned int n, struct iovec *ret)
{
	size_t skip = LINK_HEADER;
	unsigned int k = 0;

	for (unsigned int i = 0; i < n; i++) {
		size_t s = MIN(skip, iov[i].iov_len);

		skip -= s;
		if (iov[i].iov_len > s)
			ret[k++] = (struct iovec){(char *)iov[i].iov_base + s, iov[i].iov_len - s};
	}
	return (int)k;
}

static void zero_header(const struct iovec *iov, unsigned int n)
{
	size_t left = LINK_HEADER;

	for (unsigned int i = 0; i < n && left; i++) {
		size_t s = MIN(left, iov[i].iov_len);

		memset(iov[i].iov_base, 0, s);
		left -= s;
	}
}

int64_t link_send(struct link *link, unsigned int pair, const struct iovec *iov, unsigned int n)
{
	struct iovec bare[LINK_MAX_IOV];
	int64_t header = 0;
	ssize_t r;

	if (n > LINK_MAX_IOV)
		return -EMSGSIZE;
	if (!link->info.vnet_hdr) {
		n = (unsigned int)skip_header(iov, n, bare);
		iov = bare;
		header = LINK_HEADER;
	}
	do {
		if (link->socket) {
			struct msghdr msg = {.msg_iovlen = n};

			memcpy(&msg.msg_iov, &iov, sizeof(iov));
			r = sendmsg(link->fd[pair], &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		} else {
			r = writev(link->fd[pair], iov, (int)n);
		}
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return errno == ENOBUFS ? -EAGAIN : -errno;
	return r + header;
}

int64_t link_receive(struct link *link, unsigned int pair, const struct iovec *iov, unsigned int n)
{
	struct iovec bare[LINK_MAX_IOV];
	const struct iovec *whole = iov;
	unsigned int n_whole = n;
	ssize_t r;

	if (n > LINK_MAX_IOV)
		return -EMSGSIZE;
	if (!link->info.vnet_hdr) {
		n = (unsigned int)skip_header(iov, n, bare);
		iov = bare;
	}
	do
		r = readv(link->fd[pair], iov, (int)n);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (link->info.vnet_hdr)
		return r;
	if (r == 0 && link->socket)
		return -EAGAIN; /* an empty datagram, or a peer that went away: an event comes with the next frame */
	zero_header(whole, n_whole);
	return r + LINK_HEADER;
}

/* --- settings --- */

int link_set_offloads(struct link *link, unsigned int tun_flags)
{
	int r = 0;

	if (!link->info.offloads)
		return tun_flags ? -EOPNOTSUPP : 0;
	/* A setting of the interface: any attached queue serves. */
	r = sys_ioctl_value(link->fd[0], TUNSETOFFLOAD, tun_flags);
	return r < 0 ? r : 0;
}

int link_set_pairs(struct link *link, unsigned int pairs)
{
	if (!pairs || pairs > link->info.pairs)
		return -EINVAL;
	while (link->active != pairs) {
		bool more = link->active < pairs;
		unsigned int i = more ? link->active : link->active - 1;
		struct ifreq ifr = {.ifr_flags = more ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE};
		int r = sys_ioctl(link->fd[i], TUNSETQUEUE, &ifr);

		if (r < 0)
			return r;
		link->active = more ? i + 1 : i;
	}
	return 0;
}

/* --- taps --- */

static int open_tun(struct err *e)
{
	int fd = sys_open("/dev/net/tun", O_RDWR | O_NONBLOCK, 0);

	if (fd == -ENOENT || fd == -ENODEV || fd == -ENXIO)
		return err_set(e, fd,
			       "this host has no /dev/net/tun: load the module (modprobe tun), or run without a network "
			       "(--network mode=none)");
	if (fd == -EACCES || fd == -EPERM)
		return err_set(e, fd,
			       "no permission to open /dev/net/tun: run as root, or have its mode set to 0666, or run without a "
			       "network (--network mode=none)");
	if (fd < 0)
		return err_set(e, fd, "cannot open /dev/net/tun: %s", err_name(fd));
	return fd;
}

/* Asked of the driver rather than of sysfs, which may belong to another network namespace. True when nobody can say. */
static bool is_tap(const char *name)
{
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq ifr = {.ifr_data = (char *)&info};
	int r;

	memcpy(ifr.ifr_name, name, strlen(name));
	r = fd < 0 ? -errno : sys_ioctl(fd, SIOCETHTOOL, &ifr);
	if (r == -EOPNOTSUPP)
		return false;
	return r < 0 || (!strcmp(info.driver, "tun") && !strcmp(info.bus_info, "tap"));
}

static int set_if(int fd, const char *name, int flags, char ret_name[IFNAMSIZ])
{
	struct ifreq ifr = {.ifr_flags = (short)flags};
	int r;

	memcpy(ifr.ifr_name, name, MIN(strlen(name), sizeof(ifr.ifr_name) - 1));
	r = sys_ioctl(fd, TUNSETIFF, &ifr);
	if (r < 0)
		return r;
	memcpy(ret_name, ifr.ifr_name, IFNAMSIZ);
	ret_name[IFNAMSIZ - 1] = 0;
	return 0;
}

static int tap_error(struct err *e, int r, const char *name, unsigned int pairs)
{
	switch (r) {
	case -EBUSY:
		return err_set(e, r,
			       "tap %s is in use by another guest or program: stop that one, or make another tap "
			       "(ip tuntap add NAME mode tap)",
			       name);
	case -EPERM:
	case -EACCES:
		return err_set(e, r,
			       "no permission for tap %s: run as root, or make it over to this user "
			       "(ip tuntap add %s mode tap user USER)",
			       name, name);
	case -EINVAL:
	case -E2BIG:
		return err_set(e, r, "tap %s cannot serve %u queue pair%s: make it with 'ip tuntap add %s mode tap%s'", name,
			       pairs, pairs > 1 ? "s" : "", name, pairs > 1 ? " multi_queue" : "");
	default:
		return err_set(e, r, "cannot attach to tap %s: %s", name, err_name(r));
	}
}

/* Opens every queue of an interface that exists, or of a new one (name NULL). */
static int open_tap(struct link *link, const char *name, unsigned int pairs, struct err *e)
{
	int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, r;
	char *ifname = link->info.ifname;
	unsigned int index = 0;

	if (pairs > 1)
		flags |= IFF_MULTI_QUEUE;
	if (name) {
		index = strlen(name) < IFNAMSIZ ? if_nametoindex(name) : 0;
		if (!index)
			return err_set(e, -ENODEV,
				       "there is no interface %s: make it with 'ip tuntap add %s mode tap' and 'ip link set %s up'",
				       name, name, name);
		if (!is_tap(name))
			return err_set(e, -EINVAL, "interface %s is not a tap: make one with 'ip tuntap add NAME mode tap'", name);
	}
	for (unsigned int i = 0; i < pairs; i++) {
		int fd = open_tun(e);

		if (fd < 0)
			return fd;
		link->fd[link->n_fd++] = fd;
		if (name || i)
			r = set_if(fd, name ? name : ifname, flags, ifname);
		else
			r = set_if(fd, "lkvm-tap%d", flags | IFF_TUN_EXCL, ifname);
		if (r == -EINVAL && name && pairs == 1) /* made with multi_queue: one is enough for us */
			r = set_if(fd, name, flags | IFF_MULTI_QUEUE, ifname);
		if (r < 0 && !name && !i)
			return err_set(e, r,
				       "cannot make a tap: %s; run as root (CAP_NET_ADMIN), or name a tap made for this user "
				       "(--network mode=tap,tapif=NAME)",
				       err_name(r));
		if (r < 0)
			return tap_error(e, r, name ? name : ifname, pairs);
		/* It went away since it was looked up, and this made a new one: closing removes it. */
		if (index && if_nametoindex(name) != index)
			return err_set(e, -ENODEV, "interface %s was removed while it was being opened", name);
	}
	link->tap = true;
	return 0;
}

/* Header size and byte order, offloads; each queue has its own header size before 3.x kernels, so say it to all. */
static int set_up_queues(struct link *link, struct err *e)
{
	int size = LINK_HEADER, le = 1, r;

	for (unsigned int i = 0; i < link->n_fd; i++) {
		r = sys_ioctl(link->fd[i], TUNSETVNETHDRSZ, &size);
		if (r >= 0)
			r = sys_ioctl(link->fd[i], TUNSETVNETLE, &le);
		if (r < 0)
			return err_set(e, r, "tap %s takes no 12-byte header: %s", link->info.ifname, err_name(r));
	}
	link->info.vnet_hdr = true;
	link->info.offloads = sys_ioctl_value(link->fd[0], TUNSETOFFLOAD, ALL_OFFLOADS) >= 0;
	if (link->info.offloads)
		sys_ioctl_value(link->fd[0], TUNSETOFFLOAD, 0);
	return 0;
}

/* A descriptor that somebody opened for us. */
static int adopt(struct link *link, int fd, struct err *e)
{
	struct ifreq ifr = {0};
	int flags, type;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0) {
		if (type != SOCK_DGRAM && type != SOCK_SEQPACKET)
			return err_set(e, -EINVAL, "descriptor %d is a stream socket: the network needs a tap or a datagram socket",
				       fd);
		link->socket = true;
	} else if (sys_ioctl(fd, TUNGETIFF, &ifr) < 0) {
		return err_set(e, -EINVAL, "descriptor %d is not a tap: open /dev/net/tun and attach it with TUNSETIFF", fd);
	} else if (!(ifr.ifr_flags & IFF_TAP) || !(ifr.ifr_flags & IFF_NO_PI)) {
		return err_set(e, -EINVAL, "descriptor %d is a tunnel without Ethernet frames: make it with IFF_TAP and IFF_NO_PI",
			       fd);
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_set(e, -errno, "descriptor %d: %s", fd, err_name(-errno));
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	memcpy(link->info.ifname, ifr.ifr_name, sizeof(link->info.ifname));
	link->fd[0] = fd;
	link->n_fd = 1;
	link->tap = !link->socket;
	if (link->tap && (ifr.ifr_flags & IFF_VNET_HDR)) {
		int r = set_up_queues(link, e);

		if (r < 0) {
			link->n_fd = 0; /* the caller keeps it */
			return r;
		}
	}
	return 0;
}

/* --- the host's side of a tap made here --- */

static int set_address(const char *ifname, const char *host_ip, struct err *e)
{
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in addr = {.sin_family = AF_INET};
	struct ifreq ifr = {0};
	int r = 0;

	if (fd < 0)
		return err_set(e, -errno, "cannot make a socket to set up %s: %s", ifname, err_name(-errno));
	memcpy(ifr.ifr_name, ifname, sizeof(ifr.ifr_name));
	if (host_ip) {
		if (inet_pton(AF_INET, host_ip, &addr.sin_addr) != 1)
			return err_set(e, -EINVAL, "host_ip=%s is not an IPv4 address such as 192.168.33.1", host_ip);
		memcpy(&ifr.ifr_addr, &addr, sizeof(addr));
		r = sys_ioctl(fd, SIOCSIFADDR, &ifr);
		if (r >= 0) {
			addr.sin_addr.s_addr = htonl(0xffffff00);
			memcpy(&ifr.ifr_netmask, &addr, sizeof(addr));
			r = sys_ioctl(fd, SIOCSIFNETMASK, &ifr);
		}
		if (r < 0)
			return err_set(e, r, "cannot give %s the address %s: %s", ifname, host_ip, err_name(r));
	}
	r = sys_ioctl(fd, SIOCGIFFLAGS, &ifr);
	if (r >= 0) {
		ifr.ifr_flags |= IFF_UP;
		r = sys_ioctl(fd, SIOCSIFFLAGS, &ifr);
	}
	return r < 0 ? err_set(e, r, "cannot bring %s up: %s", ifname, err_name(r)) : 0;
}

static bool is_script(const char *script)
{
	return script && *script && strcmp(script, "none");
}

/* Runs `script ifname` and waits for it, with the signals a program expects. 0, or -errno with a sentence. */
static int run_script(const char *script, const char *ifname, struct err *e)
{
	char *name = strdup(script), *arg = strdup(ifname), *argv[] = {name, arg, NULL};
	posix_spawnattr_t attr;
	sigset_t none, all;
	int status = 0, r = -ENOMEM;
	pid_t pid;

	if (!name || !arg)
		goto out;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	r = -posix_spawn(&pid, script, NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	while (r == 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			break; /* the host program reaps children by itself */
out:
	free(name);
	free(arg);
	if (r < 0)
		return err_set(e, r, "cannot run the network script %s: %s", script, err_name(r));
	if (status)
		return err_set(e, -EIO, "the network script %s failed for %s (%s %d)", script, ifname,
			       WIFEXITED(status) ? "exit status" : "signal",
			       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return 0;
}

int link_open(const struct link_config *config, struct link **ret, struct err *e)
{
	CLEANUP(cleanup_link_close) struct link *link = NULL;
	unsigned int pairs = config->pairs ? config->pairs : 1;
	int r;

	if (pairs > LINK_MAX_PAIRS)
		return err_set(e, -EINVAL, "%u network queue pairs: 1 to %d are possible", pairs, LINK_MAX_PAIRS);
	if (config->fd >= 0 && pairs > 1)
		return err_set(e, -EINVAL, "a network given by descriptor has one queue pair: name the tap instead to use %u", pairs);
	link = calloc(1, sizeof(*link));
	if (!link)
		return err_set(e, -ENOMEM, "out of memory for the network");
	link->info.pairs = pairs;
	if (config->fd >= 0) {
		r = adopt(link, config->fd, e);
	} else {
		r = open_tap(link, config->tapif, pairs, e);
		if (r >= 0)
			r = set_up_queues(link, e);
	}
	if (r >= 0 && link->tap && is_script(config->script))
		r = run_script(config->script, link->info.ifname, e);
	if (r >= 0 && config->fd < 0 && !config->tapif)
		r = set_address(link->info.ifname, is_script(config->script) ? NULL : config->host_ip, e);
	link->active = pairs;
	if (r >= 0 && pairs > 1) {
		r = link_set_pairs(link, 1);
		if (r < 0)
			err_set(e, r, "tap %s: cannot detach a queue: %s", link->info.ifname, err_name(r));
	}
	if (r >= 0 && link->tap && is_script(config->downscript)) {
		link->downscript = strdup(config->downscript);
		if (!link->downscript)
			r = err_set(e, -ENOMEM, "out of memory for the network");
	}
	if (r < 0) {
		if (config->fd >= 0)
			link->n_fd = 0; /* still the caller's */
		return r;
	}
	*ret = TAKE(link);
	return 0;
}

void link_close(struct link *link)
{
	if (!link)
		return;
	if (link->downscript)
		run_script(link->downscript, link->info.ifname, NULL);
	for (unsigned int i = 0; i < link->n_fd; i++)
		close_fd(&link->fd[i]);
	free(link->downscript);
	free(link);
}
