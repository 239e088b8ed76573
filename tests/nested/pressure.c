// SPDX-License-Identifier: MIT
/*
 * pressure WORD PID...: what a host does with the memory of another process.
 *   out, cold      advises the kernel to swap its largest mapping out, to take it for unused
 *   collapse       makes huge pages of it
 *   poke OFFSET    writes a wrong number there, OFFSET bytes into its largest mapping
 *   huge           prints how much of all its memory lies in huge pages, in KiB
 *   swapped        prints how much of it is swapped out, in KiB
 * Exit status 0 when it was done, 2 when this kernel cannot, 1 otherwise.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
enum { COLD = 20, PAGEOUT = 21, COLLAPSE = 25 };

struct map {
	unsigned long from, to;
};

/* The guest's RAM. */
static struct map largest(const char *pid)
{
	struct map m = { 0, 0 };
	char path[64], line[512];
	unsigned long from, to;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx rw", &from, &to) == 2 && strstr(line, " rw") && to - from > m.to - m.from)
			m = (struct map){ from, to };
	if (f)
		fclose(f);
	if (!m.to) {
		fprintf(stderr, "pressure: process %s has no memory\n", pid);
		exit(1);
	}
	return m;
}

static int advise(const char *pid, int advice)
{
	struct map m = largest(pid);
	int fd = (int)syscall(SYS_pidfd_open, atoi(pid), 0);
	struct iovec v;
	long n;

	if (fd < 0) {
		perror("pressure: pidfd_open");
		return 1;
	}
	while (m.from < m.to) {
		v = (struct iovec){ (void *)m.from, m.to - m.from };
		n = syscall(SYS_process_madvise, fd, &v, 1, advice, 0);
		/* Huge pages are a matter of luck: what cannot become one now is left out. */
		if (n < 0 && advice == COLLAPSE && (errno == EAGAIN || errno == EBUSY || errno == ENOMEM || errno == EINVAL) && m.to - m.from > 2UL << 20 && m.from % (2UL << 20) == 0)
			n = 2L << 20;
		if (n < 0) {
			perror("pressure: process_madvise");
			return errno == ENOSYS || errno == EINVAL ? 2 : 1;
		}
		if (!n)
			break;
		m.from += (unsigned long)n;
	}
	return 0;
}

static int sum_of(const char *pid, const char *field)
{
	char path[64], line[512];
	unsigned long n, total = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/smaps", pid);
	f = fopen(path, "r");
	if (!f) {
		perror("pressure: smaps");
		return 1;
	}
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)) && sscanf(line + strlen(field), ": %lu", &n) == 1)
			total += n;
	fclose(f);
	printf("%lu\n", total);
	return 0;
}

static int poke(const char *pid, unsigned long offset)
{
	static const unsigned long wrong = 0x5a5a5a5a;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/mem", pid);
	fd = open(path, O_RDWR);
	if (fd < 0 || pwrite(fd, &wrong, sizeof(wrong), (off_t)(largest(pid).from + offset)) != sizeof(wrong)) {
		perror("pressure: mem");
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *word = argc > 2 ? argv[1] : "";

	if (!strcmp(word, "out"))
		return advise(argv[2], PAGEOUT);
	if (!strcmp(word, "cold"))
		return advise(argv[2], COLD);
	if (!strcmp(word, "collapse"))
		return advise(argv[2], COLLAPSE);
	if (!strcmp(word, "huge"))
		return sum_of(argv[2], "AnonHugePages");
	if (!strcmp(word, "swapped"))
		return sum_of(argv[2], "Swap");
	if (!strcmp(word, "poke") && argc > 3)
		return poke(argv[2], strtoul(argv[3], NULL, 0));
	fprintf(stderr, "usage: pressure out|cold|collapse|huge|swapped PID, pressure poke PID OFFSET\n");
	return 1;
}
