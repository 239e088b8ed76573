// SPDX-License-Identifier: MIT
/*
 * relay DISK SHARE TTY PROGRAM [ARGUMENT]... : run a program in a machine that has nothing but a disk to speak with.
 *
 * What the program writes, what changes below the folder SHARE (may be empty: none), and how the program ended goes to DISK as
 * frames, one behind the other, each in whole blocks and written through: who reads the disk's image meanwhile has it at once.
 * TTY is empty, or a terminal that carries the keyboard as lines of hexadecimal digits; the program then gets a terminal of
 * its own. Ends when the program has, with status 0 when the frames are on the disk.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define BLOCK 512
#define FRAME_DATA (60 * 1024 - BLOCK)
#define SCAN_MS 300

/* A frame: this header, big-endian and without holes, then the data; the next frame begins at the next block. tools/hercules reads it. */
struct frame {
	char magic[4]; /* "RLY" and the kind: o output, f a piece of a file, k a line of the keyboard was taken, s the program's status, which is the last */
	uint32_t number;
	uint32_t len;
	uint32_t crc; /* of the data */
	uint32_t mode; /* f: the file's mode bits */
	uint32_t name_len; /* f: the data begins with its path below the share */
	uint64_t offset; /* f: where the piece belongs; the file ends behind it */
};

struct file {
	struct file *next;
	char *path;
	struct stat seen;
	uLong crc;
	uint64_t len;
};

static struct {
	int fd;
	uint64_t at, size;
	uint32_t number;
	unsigned char *block;
	const char *share;
	struct file *files;
} relay;

static void die(const char *what)
{
	dprintf(2, "relay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void put_frame(char kind, uint32_t mode, uint64_t offset, const char *name, const void *data, uint32_t len)
{
	struct frame *f = (struct frame *)relay.block;
	uint32_t name_len = strlen(name), total;

	memcpy(relay.block + sizeof(*f), name, name_len);
	memcpy(relay.block + sizeof(*f) + name_len, data, len);
	len += name_len;
	total = (sizeof(*f) + len + BLOCK - 1) / BLOCK * BLOCK;
	memset(relay.block + sizeof(*f) + len, 0, total - sizeof(*f) - len);
	*f = (struct frame){.magic = {'R', 'L', 'Y', kind}, .number = relay.number++, .len = len,
			    .crc = crc32(0, relay.block + sizeof(*f), len), .mode = mode, .name_len = name_len, .offset = offset};
	if (relay.at + total + BLOCK > relay.size) {
		errno = ENOSPC;
		die("the disk");
	}
	for (uint32_t done = 0; done < total;) {
		ssize_t n = pwrite(relay.fd, relay.block + done, total - done, relay.at + done);

		if (n <= 0)
			die("the disk");
		done += n;
	}
	relay.at += total;
}

/* The emulator keeps what was written last until another part of the disk is wanted. */
static void flush(void)
{
	static uint32_t flushed;

	if (flushed == relay.number)
		return;
	flushed = relay.number;
	if (pread(relay.fd, relay.block, BLOCK, relay.size - BLOCK) != BLOCK)
		die("the disk");
}

static struct file *find_file(const char *path)
{
	struct file *f;

	for (f = relay.files; f; f = f->next)
		if (!strcmp(f->path, path))
			return f;
	f = calloc(1, sizeof(*f));
	if (!f || !(f->path = strdup(path)))
		die("memory");
	f->next = relay.files;
	f->crc = crc32(0, NULL, 0);
	relay.files = f;
	return f;
}

/* Sends what is new in a file: its end when it grew, else all of it. */
static void send_file(struct file *f, const struct stat *st, const char *name, int quiet)
{
	static unsigned char data[FRAME_DATA - 4096];
	uLong crc = crc32(0, NULL, 0), first;
	uint64_t len = 0, from;
	ssize_t n;
	int fd = open(f->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	for (; len < f->len && (n = read(fd, data, f->len - len < sizeof(data) ? f->len - len : sizeof(data))) > 0; len += n)
		crc = crc32(crc, data, n);
	from = len == f->len && crc == f->crc && f->seen.st_ino ? len : 0;
	first = from ? crc : crc32(0, NULL, 0);
	lseek(fd, from, SEEK_SET);
	f->len = from;
	f->crc = first;
	do {
		n = read(fd, data, sizeof(data));
		if (n < 0 || (n == 0 && f->len > 0 && f->len == from && f->seen.st_mode == st->st_mode))
			break;
		if (!quiet)
			put_frame('f', st->st_mode & 0777, f->len, name, data, n);
		f->crc = crc32(f->crc, data, n);
		f->len += n;
	} while (n == sizeof(data));
	f->seen = *st;
	close(fd);
}

static void scan(const char *folder, int quiet)
{
	char path[4096];
	struct dirent *e;
	struct file *f;
	struct stat st;
	DIR *dir = opendir(folder);

	if (!dir)
		return;
	while ((e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || snprintf(path, sizeof(path), "%s/%s", folder, e->d_name) >= (int)sizeof(path) ||
		    lstat(path, &st))
			continue;
		if (S_ISDIR(st.st_mode))
			scan(path, quiet);
		if (!S_ISREG(st.st_mode))
			continue;
		f = find_file(path);
		if (f->seen.st_ino == st.st_ino && f->seen.st_size == st.st_size && f->seen.st_mode == st.st_mode &&
		    !memcmp(&f->seen.st_mtim, &st.st_mtim, sizeof(st.st_mtim)))
			continue;
		send_file(f, &st, path + strlen(relay.share) + 1, quiet);
	}
	closedir(dir);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

static pid_t start(char **argv, int tty, int *ret_fd)
{
	int ends[2], null;
	pid_t pid;

	if (tty) {
		pid = forkpty(ret_fd, NULL, NULL, NULL);
	} else {
		if (pipe2(ends, O_CLOEXEC))
			die("pipe");
		*ret_fd = ends[0];
		pid = fork();
	}
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		if (!tty) {
			null = open("/dev/null", O_RDONLY);
			setsid();
			dup2(null, 0);
			dup2(ends[1], 1);
			dup2(ends[1], 2);
		}
		execvp(argv[0], argv);
		die(argv[0]);
	}
	if (!tty)
		close(ends[1]);
	fcntl(*ret_fd, F_SETFD, FD_CLOEXEC);
	return pid;
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Each line begins with its number, 1 to 255, and comes again until it is acknowledged. */
static void feed(int keyboard, int to)
{
	static unsigned char last;
	unsigned char bytes[256];
	char line[512];
	ssize_t n = read(keyboard, line, sizeof(line)), len = 0;

	for (ssize_t i = 0; i + 1 < n && hex(line[i]) >= 0 && hex(line[i + 1]) >= 0; i += 2)
		bytes[len++] = hex(line[i]) << 4 | hex(line[i + 1]);
	if (len < 1)
		return;
	if (bytes[0] != last && write(to, bytes + 1, len - 1) == len - 1)
		last = bytes[0];
	put_frame('k', 0, 0, "", bytes, 1);
}

static int open_keyboard(const char *name)
{
	struct termios t;
	int fd;

	if (!*name)
		return -1;
	fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		die(name);
	if (tcgetattr(fd, &t) == 0) {
		t.c_lflag &= ~(ECHO | ECHONL | ISIG);
		tcsetattr(fd, TCSANOW, &t);
	}
	return fd;
}

int main(int argc, char **argv)
{
	static unsigned char data[16384];
	struct pollfd fds[2];
	uint64_t scanned = 0;
	int status = 0, out, ended = 0, code;
	char text[16];
	ssize_t n;
	pid_t pid;

	if (argc < 5)
		return 2;
	relay.fd = open(argv[1], O_RDWR | O_DIRECT | O_SYNC | O_CLOEXEC);
	if (relay.fd < 0)
		die(argv[1]);
	relay.size = lseek(relay.fd, 0, SEEK_END);
	if (posix_memalign((void **)&relay.block, 4096, FRAME_DATA + 8192))
		die("memory");
	relay.share = argv[2];
	if (*relay.share)
		scan(relay.share, 1);
	fds[1] = (struct pollfd){.fd = open_keyboard(argv[3]), .events = POLLIN};
	pid = start(argv + 4, fds[1].fd >= 0, &out);
	fds[0] = (struct pollfd){.fd = out, .events = POLLIN};
	/* A background process of the program's may keep its output open: half a second more is all it gets. */
	while (ended < 5) {
		int ready = poll(fds, 2, 100);

		if (ready > 0 && fds[0].revents) {
			n = read(out, data, sizeof(data));
			if (n > 0)
				put_frame('o', 0, 0, "", data, n);
			else if (n == 0 || errno != EINTR)
				fds[0].fd = -1;
		}
		if (ready > 0 && fds[1].revents)
			feed(fds[1].fd, out);
		if (*relay.share && now_ms() - scanned >= SCAN_MS) {
			scan(relay.share, 0);
			scanned = now_ms();
		}
		flush();
		if (ended)
			ended = fds[0].fd < 0 ? 5 : ended + !ready;
		else if (waitpid(pid, &status, WNOHANG) == pid)
			ended = fds[0].fd < 0 ? 5 : 1;
	}
	if (*relay.share)
		scan(relay.share, 0);
	code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	snprintf(text, sizeof(text), "%d", code);
	put_frame('s', 0, 0, "", text, strlen(text));
	flush();
	return 0;
}
