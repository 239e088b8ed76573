// SPDX-License-Identifier: MIT
/*
 * The first process of the benchmark's guest. What it does stands on the kernel's command line, bench=WORD[,WORD]...:
 *
 *   boot         says "@init NS", the guest's clock since its kernel started, as the very first thing (always)
 *   up           says "@up?" when the drivers are there and waits for a line
 *   read:QD:N    N random reads of 4 KiB, QD at a time, O_DIRECT, after a warm-up of 64; says "@qdQD-start?" before,
 *                "@qdQD NS-PER-READ" and "@qdQD-end?" after; each with a question mark waits for a line
 *
 * Then it powers off. Modules in /modules are loaded in the order of their names.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <linux/reboot.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096
#define DEPTH_MAX 128
#define WARM_UP 64
#define DISK "/dev/vda"

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* One write, so that no line of the kernel's gets into it. */
static void say(const char *what, int64_t n)
{
	char line[80];
	int len = snprintf(line, sizeof(line), "\n@%s %lld\n", what, (long long)n);

	if (write(1, line, (size_t)len) < 0)
		return;
}

static void ask(const char *what)
{
	char line[80], c;
	int len = snprintf(line, sizeof(line), "\n@%s?\n", what);

	if (write(1, line, (size_t)len) < 0)
		return;
	while (read(0, &c, 1) == 1 && c != '\n')
		;
}

static void end(const char *why)
{
	if (why)
		dprintf(1, "\n@failed %s\n", why);
	sync();
	reboot(LINUX_REBOOT_CMD_POWER_OFF);
	for (;;)
		pause();
}

static void load_modules(void)
{
	struct dirent **entry;
	int n = scandir("/modules", &entry, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		char path[300];
		int fd;

		if (entry[i]->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/modules/%s", entry[i]->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0)
			dprintf(1, "\n@no module %s\n", path);
		close(fd);
	}
}

static struct iocb iocbs[DEPTH_MAX];
static uint64_t seed = 88172645463325252ULL;

static void next(unsigned int slot, int fd, char *buffers, uint64_t blocks)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	iocbs[slot] = (struct iocb){
		.aio_data = slot,
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)fd,
		.aio_buf = (uintptr_t)(buffers + (size_t)slot * BLOCK),
		.aio_nbytes = BLOCK,
		.aio_offset = (int64_t)(seed % blocks * BLOCK),
	};
}

/* Nanoseconds for n reads. */
static int64_t reads(int fd, aio_context_t ctx, char *buffers, uint64_t blocks, unsigned int depth, unsigned int n)
{
	struct io_event events[DEPTH_MAX];
	struct iocb *list[DEPTH_MAX];
	unsigned int started = 0, done = 0, ready = 0;
	int64_t start = now();

	for (; ready < depth && ready < n; ready++) {
		next(ready, fd, buffers, blocks);
		list[ready] = &iocbs[ready];
	}
	while (done < n) {
		long got, r = ready ? syscall(SYS_io_submit, ctx, (long)ready, list) : 0;

		if (r < 0 || (unsigned int)r != ready)
			end("io_submit");
		started += ready;
		got = syscall(SYS_io_getevents, ctx, 1L, (long)depth, events, NULL);
		if (got < 1)
			end("io_getevents");
		ready = 0;
		for (long i = 0; i < got; i++) {
			if (events[i].res != BLOCK)
				end("a read failed");
			done++;
			if (started + ready < n) {
				next((unsigned int)events[i].data, fd, buffers, blocks);
				list[ready++] = &iocbs[events[i].data];
			}
		}
	}
	return now() - start;
}

static void bench_read(unsigned int depth, unsigned int n)
{
	char name[32], *buffers = NULL;
	aio_context_t ctx = 0;
	uint64_t size = 0;
	int64_t ns;
	int fd = -1;

	if (depth < 1 || depth > DEPTH_MAX || n < 1)
		end("read:QD:N");
	for (int i = 0; i < 200 && fd < 0; i++) {
		fd = open(DISK, O_RDONLY | O_DIRECT | O_CLOEXEC);
		if (fd < 0)
			usleep(50000);
	}
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0 || size < BLOCK)
		end("no disk");
	if (posix_memalign((void **)&buffers, BLOCK, (size_t)depth * BLOCK) || syscall(SYS_io_setup, depth, &ctx) < 0)
		end("io_setup");
	reads(fd, ctx, buffers, size / BLOCK, depth, WARM_UP);
	snprintf(name, sizeof(name), "qd%u-start", depth);
	ask(name);
	ns = reads(fd, ctx, buffers, size / BLOCK, depth, n);
	snprintf(name, sizeof(name), "qd%u", depth);
	say(name, ns / n);
	snprintf(name, sizeof(name), "qd%u-end", depth);
	ask(name);
	syscall(SYS_io_destroy, ctx);
	close(fd);
	free(buffers);
}

int main(void)
{
	static char line[4096];
	unsigned int depth, n;
	int64_t born = now();
	char *word;
	int fd;

	say("init", born);
	mkdir("/proc", 0755);
	mkdir("/dev", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, line, sizeof(line) - 1) < 0)
		end("no command line");
	close(fd);
	word = strstr(line, "bench=");
	if (!word)
		end("no bench= on the command line");
	word += strlen("bench=");
	word[strcspn(word, " \n")] = 0;
	if (strcmp(word, "boot"))
		load_modules();
	for (word = strtok(word, ","); word; word = strtok(NULL, ",")) {
		if (sscanf(word, "read:%u:%u", &depth, &n) == 2)
			bench_read(depth, n);
		else if (!strcmp(word, "up"))
			ask("up");
	}
	end(NULL);
}
