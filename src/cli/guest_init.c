// SPDX-License-Identifier: MIT
/*
 * The program as the first process of a guest whose root `lkvm setup` has made: mounts what programs expect, runs a shell on the console, and powers the
 * guest off when that ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

static const struct {
	const char *type, *at, *options;
	unsigned long flags;
} mounts[] = {
	{ "proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "devtmpfs", "/dev", "mode=0755", MS_NOSUID },
	{ "devpts", "/dev/pts", "mode=0620,gid=5,ptmxmode=0666", MS_NOSUID | MS_NOEXEC },
	{ "tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV },
	{ "tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV },
	{ "tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV },
};

static const char *const environment[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root", "SHELL=/bin/sh",
};

static void mount_all(void)
{
	for (unsigned int i = 0; i < CLI_COUNT(mounts); i++) {
		mkdir(mounts[i].at, 0755);
		/* What the kernel has mounted already, or does not have, is no reason to give up. */
		mount(mounts[i].type, mounts[i].at, mounts[i].type, mounts[i].flags, mounts[i].options);
	}
}

/* The terminal behind /dev/console, which itself cannot control a session. Standard streams come from it. */
static void open_console(void)
{
	char names[256] = "", path[300] = "/dev/console", *name;
	int fd = open("/sys/class/tty/console/active", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, names, sizeof(names) - 1);

	if (fd >= 0)
		close(fd);
	if (n > 0) {
		names[strcspn(names, "\n")] = 0;
		name = strrchr(names, ' ');
		snprintf(path, sizeof(path), "/dev/%s", name ? name + 1 : names);
	}
	fd = open(path, O_RDWR | O_NOCTTY);
	if (fd < 0)
		fd = open("/dev/console", O_RDWR | O_NOCTTY);
	if (fd < 0)
		fd = open("/dev/null", O_RDWR);
	if (fd < 0)
		return;
	for (int i = 0; i < 3; i++)
		if (fd != i)
			dup2(fd, i);
	if (fd > 2)
		close(fd);
}

static void set_names(void)
{
	char host[65] = "lkvm";
	FILE *f = fopen("/etc/hostname", "re");

	if (f) {
		if (!fgets(host, sizeof(host), f) || host[0] == '\n')
			strcpy(host, "lkvm");
		fclose(f);
	}
	host[strcspn(host, "\n")] = 0;
	if (sethostname(host, strlen(host)) < 0)
		perror("init: the host name cannot be set");
	for (unsigned int i = 0; i < CLI_COUNT(environment); i++)
		putenv((char *)(uintptr_t)environment[i]);
	if (!getenv("TERM") || !strcmp(getenv("TERM"), "linux"))
		setenv("TERM", "vt100", 1);
}

static pid_t start_shell(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	setsid();
	ioctl(0, TIOCSCTTY, 1);
	if (chdir("/root") < 0 && chdir("/") < 0)
		perror("init: /");
	execl("/bin/sh", "-sh", (char *)NULL);
	fprintf(stderr, "init: /bin/sh cannot be run: %s\n", strerror(errno));
	_exit(127);
}

int guest_init_main(int argc, char **argv)
{
	pid_t shell, pid;

	/* What ends here is the machine. */
	if (getpid() != 1) {
		fprintf(stderr, "init: this is for the first process of a guest\n");
		return EXIT_FAILED;
	}
	mount_all();
	open_console();
	set_names();
	shell = start_shell();
	while (shell > 0 && (pid = wait(NULL)) != shell)
		if (pid < 0 && errno == ECHILD)
			break;
	if (shell < 0)
		perror("init: no shell");
	sync();
	reboot(RB_POWER_OFF);
	perror("init: the guest cannot be powered off");
	for (;;)
		pause();
}
