// SPDX-License-Identifier: MIT
#include "vm/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/sys.h"

#define SUFFIX ".sock"

/* The folder's path, cut to what an address holds together with the longest name. */
static int folder_path(struct runtime *r, struct err *e)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	unsigned int uid = (unsigned int)geteuid();
	char user[64];
	struct stat st;
	int n;

	snprintf(user, sizeof(user), "/run/user/%u", uid);
	/* After su or sudo it may be somebody else's. */
	if (xdg && xdg[0] == '/' && !stat(xdg, &st) && st.st_uid == geteuid())
		n = snprintf(r->path, sizeof(r->path), "%s/lkvm", xdg);
	else if (!stat(user, &st) && S_ISDIR(st.st_mode))
		n = snprintf(r->path, sizeof(r->path), "%s/lkvm", user);
	else
		n = snprintf(r->path, sizeof(r->path), "/tmp/lkvm-%u", uid);
	if ((size_t)n + sizeof("/x" SUFFIX) > sizeof(r->path))
		return err_set(e, -ENAMETOOLONG, "the path in XDG_RUNTIME_DIR is too long for a socket: %s", xdg);
	return 0;
}

int runtime_open(bool make, struct runtime *ret, struct err *e)
{
	struct runtime r = { .fd = -1 };
	struct stat st;
	int fd;

	fd = folder_path(&r, e);
	if (fd < 0)
		return fd;
	if (make && mkdir(r.path, 0700) < 0 && errno != EEXIST)
		return err_set(e, -errno, "the folder for running guests cannot be made: %s: %s", r.path, err_name(-errno));
	fd = sys_open(r.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd == -ENOENT && !make)
		return fd;
	if (fd < 0)
		return err_set(e, fd, "the folder for running guests cannot be opened: %s: %s", r.path, err_name(fd));
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 077)) {
		close(fd);
		return err_set(e, -EPERM, "%s is open to others or not yours: remove it, or set XDG_RUNTIME_DIR to a folder of yours", r.path);
	}
	r.fd = fd;
	*ret = r;
	return 0;
}

void runtime_close(struct runtime *r)
{
	close_fd(&r->fd);
}

int runtime_check_name(const char *name, struct err *e)
{
	size_t n = strlen(name);
	bool good = n > 0 && n <= RUNTIME_NAME_MAX && name[0] != '.';

	for (size_t i = 0; i < n; i++)
		good &= (unsigned char)name[i] > ' ' && name[i] != '/' && name[i] != 0x7f;
	if (!good)
		return err_set(e, -EINVAL, "a guest's name has 1 to %u characters, no space and no '/', and does not start with '.': not \"%.*s\"",
			       RUNTIME_NAME_MAX, RUNTIME_NAME_MAX, name);
	return 0;
}

int runtime_address(const struct runtime *r, const char *name, struct sockaddr_un *ret, struct err *e)
{
	int code = runtime_check_name(name, e);

	if (code < 0)
		return code;
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if ((size_t)snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/%s" SUFFIX, r->path, name) >= sizeof(ret->sun_path))
		return err_set(e, -ENAMETOOLONG, "the name \"%s\" is too long for a socket in %s", name, r->path);
	return 0;
}

static int make_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

static int try_connect(const struct sockaddr_un *a)
{
	int fd = make_socket(), r;

	if (fd < 0)
		return fd;
	if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

/* Under the folder's lock nobody is between bind and listen, so that a refused connection means a dead owner. */
static int connect_or_remove(const struct runtime *r, const struct sockaddr_un *a)
{
	int fd = try_connect(a);

	if (fd != -ECONNREFUSED)
		return fd;
	while (flock(r->fd, LOCK_EX) < 0 && errno == EINTR)
		;
	fd = try_connect(a);
	if (fd == -ECONNREFUSED)
		unlink(a->sun_path);
	flock(r->fd, LOCK_UN);
	return fd;
}

int runtime_connect(const struct runtime *r, const char *name, struct err *e)
{
	struct sockaddr_un a;
	int fd = runtime_address(r, name, &a, e);

	if (fd < 0)
		return fd;
	fd = connect_or_remove(r, &a);
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return err_set(e, fd, "no guest named \"%s\" is running; lkvm list shows those that are", name);
	if (fd < 0)
		return err_set(e, fd, "guest \"%s\" cannot be reached: %s", name, err_name(fd));
	return fd;
}

int runtime_listen(const struct runtime *r, const char *name, struct err *e)
{
	struct sockaddr_un a;
	int fd = runtime_address(r, name, &a, e), other, code = 0;

	if (fd < 0)
		return fd;
	fd = make_socket();
	if (fd < 0)
		return err_set(e, fd, "no socket for guest \"%s\": %s", name, err_name(fd));
	while (flock(r->fd, LOCK_EX) < 0 && errno == EINTR)
		;
	code = bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
	if (code == -EADDRINUSE) {
		/* What a dead guest left is removed, what lives is left alone. */
		other = try_connect(&a);
		if (other >= 0 || other == -EAGAIN) {
			close_fd(&other);
			code = err_set(e, -EEXIST,
				       "a guest named \"%s\" is running already: choose another --name, or stop it with lkvm stop --name %s",
				       name, name);
			goto out;
		}
		if (other == -ECONNREFUSED)
			unlink(a.sun_path);
		code = bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
	}
	if (!code && listen(fd, 16) < 0)
		code = -errno;
	if (code < 0)
		err_set(e, code, "the socket of guest \"%s\" cannot be made: %s: %s", name, a.sun_path, err_name(code));
out:
	flock(r->fd, LOCK_UN);
	if (code < 0) {
		close(fd);
		return code;
	}
	return fd;
}

void runtime_remove(const struct runtime *r, const char *name)
{
	struct sockaddr_un a;

	if (runtime_address(r, name, &a, NULL) >= 0)
		unlink(a.sun_path);
}

/* 0 when fd is ready for `events`. */
static int wait_for(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd p = { .fd = fd, .events = events };
	uint64_t now = sys_now_ns();
	int n;

	if (deadline_ns == UINT64_MAX)
		n = poll(&p, 1, -1);
	else if (now >= deadline_ns)
		return -ETIMEDOUT;
	else
		n = poll(&p, 1, (int)MIN((deadline_ns - now) / 1000000 + 1, (uint64_t)60000));
	return n < 0 && errno != EINTR ? -errno : 0;
}

int runtime_read_line(int fd, size_t max, uint64_t deadline_ns, char **ret)
{
	CLEANUP_FREE char *buf = NULL;
	size_t len = 0, size = 0;

	for (;;) {
		char *end;
		ssize_t n;

		if (len + 1 >= size) {
			char *more;

			if (size > max)
				return -E2BIG;
			size = size ? size * 2 : 4096;
			more = realloc(buf, size);
			if (!more)
				return -ENOMEM;
			buf = more;
		}
		n = recv(fd, buf + len, size - len - 1, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			int r = wait_for(fd, POLLIN, deadline_ns);

			if (r < 0)
				return r;
			continue;
		}
		if (n < 0)
			return -errno;
		end = n ? memchr(buf + len, '\n', (size_t)n) : NULL;
		len += (size_t)n;
		if (end)
			len = (size_t)(end - buf);
		if (len > max)
			return -E2BIG;
		if (end || !n)
			break;
	}
	buf[len] = 0;
	if (strlen(buf) != len)
		return -EBADMSG;
	*ret = TAKE(buf);
	return 0;
}

int runtime_write(int fd, const char *text, size_t len, uint64_t deadline_ns)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		int r;

		if (n >= 0) {
			text += n;
			len -= (size_t)n;
		} else if (errno != EAGAIN && errno != EINTR) {
			return -errno;
		} else if ((r = wait_for(fd, POLLOUT, deadline_ns)) < 0) {
			return r;
		}
	}
	return 0;
}
