// SPDX-License-Identifier: MIT
/* A virtual machine from its creation to its end, on the scripted hypervisor. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>

#include "base/endian.h"
#include "tests/dtc.h"
#include "tests/scripted_vm.h"

#define UART RISCV_UART_BASE
#define WRITE(at, v, n) { .what = STEP_MMIO_WRITE, .gpa = (at), .value = (v), .len = (n) }
#define EVENT(t) { .what = STEP_EXIT, .exit = { .kind = HV_EXIT_SYSTEM_EVENT, .unknown_reason = KVM_EXIT_SYSTEM_EVENT, .system_event = { .type = (t) } } }
#define RUN(t, cpu, steps)                                                                         \
	do {                                                                                       \
		(t)->script[cpu] = (steps);                                                        \
		(t)->script_len[cpu] = ARRAY_SIZE(steps);                                          \
	} while (0)

static unsigned int open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Runs one vCPU through its steps (a second one idles) to the guest's end. */
static struct lkvm_end play(const struct scripted_step *steps, unsigned int n, char *out, size_t out_size)
{
	struct lkvm_end end = { 0 };
	struct test_vm t;

	tv_init(&t);
	tv_set(&t, "cpus", "2");
	t.script[0] = steps;
	t.script_len[0] = n;
	tv_start(&t);
	CHECK_EQ(lkvm_wait(t.vm, &end), 0);
	CHECK_EQ(atomic_load(&t.events[LKVM_EVENT_STARTED]), 1);
	CHECK_EQ(atomic_load(&t.events[LKVM_EVENT_ENDED]), 1);
	CHECK_EQ(lkvm_wait(t.vm, NULL), 0);
	/* The last of the output goes when the VM does. */
	lkvm_destroy(TAKE(t.vm));
	if (out)
		tv_console(&t, out, out_size);
	tv_done(&t);
	return end;
}

static void test_ends(void)
{
	static const struct scripted_step hello[] = { WRITE(UART, 'H', 1), WRITE(UART, 'i', 1), WRITE(0x3f8, '!', 1), EVENT(KVM_SYSTEM_EVENT_SHUTDOWN) };
	static const struct scripted_step reboot[] = { EVENT(KVM_SYSTEM_EVENT_RESET) };
	static const struct scripted_step panic[] = { EVENT(KVM_SYSTEM_EVENT_CRASH) };
	static const struct scripted_step unheard[] = { EVENT(77) };
	static const struct scripted_step finisher[] = { WRITE(RISCV_POWEROFF_BASE, 0x5555, 4) };
	static const struct scripted_step finisher_reset[] = { WRITE(RISCV_POWEROFF_BASE, 0x7777, 4) };
	static const struct scripted_step pvpanic[] = { WRITE(RISCV_PVPANIC_BASE, 1, 1) };
	static const struct scripted_step nowhere[] = { WRITE(0x70000000, 1, 4), EVENT(KVM_SYSTEM_EVENT_SHUTDOWN) };
	static const struct scripted_step internal[] = { { .what = STEP_EXIT, .exit = { .kind = HV_EXIT_INTERNAL_ERROR } } };
	static const struct scripted_step broken[] = { { .what = STEP_ERROR, .error = ENXIO } };
	struct lkvm_end end;
	char out[64];

	end = play(hello, ARRAY_SIZE(hello), out, sizeof(out));
	CHECK(end.reason == LKVM_END_POWEROFF && end.exit_status == 0 && !end.error.code);
	CHECK_STR(out, "Hi!");
	end = play(reboot, 1, NULL, 0);
	CHECK(end.reason == LKVM_END_REBOOT && end.exit_status == 3);
	end = play(panic, 1, NULL, 0);
	CHECK(end.reason == LKVM_END_PANIC && end.exit_status == 4);
	end = play(finisher, 1, NULL, 0);
	CHECK(end.reason == LKVM_END_POWEROFF);
	end = play(finisher_reset, 1, NULL, 0);
	CHECK(end.reason == LKVM_END_REBOOT);
	end = play(pvpanic, 1, NULL, 0);
	CHECK(end.reason == LKVM_END_PANIC);
	end = play(nowhere, 2, NULL, 0);
	CHECK(end.reason == LKVM_END_POWEROFF);
	end = play(unheard, 1, NULL, 0);
	CHECK(end.reason == LKVM_END_ERROR && end.exit_status == 1 && strstr(end.error.message, "77"));
	end = play(internal, 1, NULL, 0);
	CHECK(end.reason == LKVM_END_ERROR && strstr(end.error.message, "internal error"));
	end = play(broken, 1, NULL, 0);
	CHECK(end.reason == LKVM_END_ERROR && end.error.code == -ENXIO && strstr(end.error.message, "vCPU 0"));
}

static void test_pause(void)
{
	struct lkvm_end end;
	struct test_vm t;

	tv_init(&t);
	tv_set(&t, "cpus", "3");
	tv_set(&t, "rng", NULL);
	CHECK_EQ(tv_create(&t), 0);
	CHECK_EQ(lkvm_wait(t.vm, NULL), -EINVAL);
	CHECK_EQ(lkvm_resume(t.vm), -ESRCH);
	CHECK_EQ(lkvm_start(t.vm, &t.e), 0);
	CHECK_EQ(lkvm_start(t.vm, &t.e), -EBUSY);
	CHECK(t.e.message[0]);
	for (unsigned int i = 1; i <= 20; i++) {
		CHECK_EQ(lkvm_pause(t.vm), 0);
		CHECK_EQ(t.vm->n_running, 0);
		CHECK_EQ(lkvm_pause(t.vm), 0);
		CHECK_EQ(lkvm_resume(t.vm), 0);
		CHECK_EQ(lkvm_resume(t.vm), 0);
		CHECK_EQ(atomic_load(&t.events[LKVM_EVENT_PAUSED]), i);
		CHECK_EQ(atomic_load(&t.events[LKVM_EVENT_RESUMED]), i);
	}
	/* A stop ends a pause as well. */
	CHECK_EQ(lkvm_pause(t.vm), 0);
	CHECK_EQ(lkvm_stop(t.vm), 0);
	CHECK_EQ(lkvm_wait(t.vm, &end), 0);
	CHECK(end.reason == LKVM_END_STOPPED && end.exit_status == 0);
	CHECK_EQ(lkvm_stop(t.vm), 0);
	CHECK_EQ(lkvm_resume(t.vm), -ESRCH);
	tv_done(&t);
}

/* A VM that is paused while it starts does not run. */
static void on_started(struct hv_vcpu *vcpu)
{
	abort();
}

static void *early_pauser(void *ctx)
{
	struct test_vm *t = ctx;

	while (lkvm_pause(t->vm) == -ESRCH)
		;
	return NULL;
}

static void test_pause_early(void)
{
	static const struct scripted_step steps[] = { { .what = STEP_CALL, .call = on_started } };
	pthread_t thread;
	struct test_vm t;

	tv_init(&t);
	tv_set(&t, "cpus", "2");
	RUN(&t, 0, steps);
	CHECK_EQ(tv_create(&t), 0);
	t.vm->holds = 1; /* before any thread is there */
	CHECK_EQ(lkvm_start(t.vm, &t.e), 0);
	CHECK_EQ(pthread_create(&thread, NULL, early_pauser, &t), 0);
	pthread_join(thread, NULL);
	CHECK_EQ(t.vm->n_running, 0);
	CHECK_EQ(atomic_load(&t.vm->vcpu[0].stat.exits), 0);
	lkvm_stop(t.vm);
	CHECK_EQ(lkvm_wait(t.vm, NULL), 0);
	tv_done(&t);
}

/* Pauses and resumes from many threads at once: at the end the guest runs, and nobody hangs. */
static void *pauser(void *ctx)
{
	struct test_vm *t = ctx;

	for (unsigned int i = 0; i < 200; i++) {
		lkvm_pause(t->vm);
		lkvm_resume(t->vm);
	}
	return NULL;
}

static void test_pause_threads(void)
{
	pthread_t thread[3];
	struct test_vm t;

	tv_init(&t);
	tv_set(&t, "cpus", "2");
	tv_start(&t);
	for (unsigned int i = 0; i < ARRAY_SIZE(thread); i++)
		pthread_create(&thread[i], NULL, pauser, &t);
	for (unsigned int i = 0; i < ARRAY_SIZE(thread); i++)
		pthread_join(thread[i], NULL);
	CHECK_EQ(lkvm_resume(t.vm), 0);
	CHECK_EQ(t.vm->holds, 0);
	CHECK_EQ(lkvm_stop(t.vm), 0);
	CHECK_EQ(lkvm_wait(t.vm, NULL), 0);
	tv_done(&t);
}

static void test_suspend(void)
{
	static const struct scripted_step steps[] = { EVENT(KVM_SYSTEM_EVENT_SUSPEND), EVENT(KVM_SYSTEM_EVENT_SHUTDOWN) };
	struct lkvm_end end;
	struct test_vm t;

	tv_init(&t);
	tv_set(&t, "cpus", "2");
	RUN(&t, 0, steps);
	tv_start(&t);
	CHECK(tv_saw(&t, LKVM_EVENT_SUSPENDED, 1));
	poll(NULL, 0, 50);
	CHECK_EQ(atomic_load(&t.events[LKVM_EVENT_ENDED]), 0);
	CHECK_EQ(lkvm_resume(t.vm), 0);
	CHECK_EQ(lkvm_wait(t.vm, &end), 0);
	CHECK_EQ(end.reason, LKVM_END_POWEROFF);
	tv_done(&t);
}

/* All vCPUs power the guest off at once: nobody kicks a thread that is gone already (and may have been joined). */
static atomic_int running_tid[2];
static atomic_uint kicked_dead;

static int note_thread(struct hv_vcpu *vcpu)
{
	atomic_store(&running_tid[vcpu->id], (int)syscall(SYS_gettid));
	return tv_inner->vcpu_bind(vcpu);
}

static void slow_kick(struct hv_vcpu *vcpu)
{
	int tid;

	poll(NULL, 0, 20);
	tid = atomic_load(&running_tid[vcpu->id]);
	if (tid && syscall(SYS_tgkill, getpid(), tid, 0) < 0)
		atomic_fetch_add(&kicked_dead, 1);
	tv_inner->vcpu_kick(vcpu);
}

static void test_ends_at_once(void)
{
	static const struct scripted_step off[] = { WRITE(RISCV_POWEROFF_BASE, 0x5555, 4) };
	struct lkvm_end end;
	struct test_vm t;

	for (unsigned int i = 0; i < 10; i++) {
		tv_init(&t);
		tv_set(&t, "cpus", "2");
		RUN(&t, 0, off);
		RUN(&t, 1, off);
		atomic_store(&running_tid[0], 0);
		atomic_store(&running_tid[1], 0);
		if (tv_create(&t) < 0)
			abort();
		t.ops.vcpu_bind = note_thread;
		t.ops.vcpu_kick = slow_kick;
		CHECK_EQ(lkvm_start(t.vm, &t.e), 0);
		CHECK_EQ(lkvm_wait(t.vm, &end), 0);
		CHECK_EQ(end.reason, LKVM_END_POWEROFF);
		tv_done(&t);
	}
	CHECK_EQ(atomic_load(&kicked_dead), 0);
}

static void test_destroy(void)
{
	struct test_vm t;

	/* Never started; running; twice in one process. */
	tv_init(&t);
	CHECK_EQ(tv_create(&t), 0);
	tv_done(&t);
	tv_init(&t);
	tv_start(&t);
	tv_done(&t);
	lkvm_destroy(NULL);
	tv_init(&t);
	lkvm_config_destroy(t.config);
	CHECK_EQ(config_create_for(&arch_riscv64, &t.config), 0);
	CHECK(tv_create(&t) < 0);
	CHECK(strstr(t.e.message, "kernel"));
	tv_done(&t);
}

/* VIRTIO_F_ACCESS_PLATFORM for one device, for all, for none. */
static void test_access_platform(void)
{
	for (unsigned int i = 0; i < 3; i++) {
		struct test_vm t;

		tv_init(&t);
		tv_set(&t, "9p", i == 1 ? "/tmp,t,access-platform" : "/tmp,t");
		tv_set(&t, "rng", NULL);
		tv_set(&t, "balloon", NULL);
		if (i == 2)
			tv_set(&t, "access-platform", NULL);
		CHECK_EQ(tv_create(&t), 0);
		CHECK_EQ(t.vm->n_virtio, 3);
		for (unsigned int k = 0; k < 3; k++)
			CHECK_EQ(!!(t.vm->virtio[k].vd->offered & VIRTIO_ACCESS_PLATFORM), i == 2 || (i == 1 && k == 0));
		tv_done(&t);
	}
}

static void test_bad_config(void)
{
	static const struct {
		const char *name, *value, *says;
	} bad[] = {
		{ "kernel", "/nowhere/Image", "Unable to open kernel /nowhere/Image" },
		{ "kernel", "/tmp", "/tmp" },
		{ "initrd", "/nowhere/rd", "/nowhere/rd" },
		{ "disk", "/nowhere/disk", "/nowhere/disk" },
		{ "disk", "/dev/zero", "disk /dev/zero is neither a file nor a block device: give" },
		{ "cpus", "5", "vCPU" },
		{ "mem", "8", "RAM" },
		{ "9p", "/nowhere/folder,tag", "/nowhere/folder cannot be opened: No such file or directory; make it" },
		{ "hugetlbfs", "/tmp", "/tmp" },
		{ "hugetlbfs", "/nowhere/huge", "mount -t hugetlbfs none /nowhere/huge" },
		{ "irqchip", "aia", "aia" },
		{ "firmware", "/tmp", "--kernel and --firmware" },
		{ "flash", "/tmp", "--flash: a riscv64 machine has no place" },
		{ "virtio-transport", "ccw", "riscv64 guests have virtio-mmio; leave" },
		{ "dump-dtb", "/nowhere/dtb", "/nowhere/dtb cannot be written: No such file or directory; give" },
	};

	struct hv *hv = NULL;
	struct err e = { 0 };

	CHECK(hv_kvm_create("/dev/null", 0, &hv, &e) < 0);
	CHECK(strstr(e.text, "/dev/null: this is no KVM device") && strstr(e.text, "/dev/kvm"));
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct test_vm t;

		tv_init(&t);
		tv_set(&t, bad[i].name, bad[i].value);
		CHECK(tv_create(&t) < 0);
		if (!strstr(t.e.message, bad[i].says)) {
			fprintf(stderr, "--%s %s says: %s\n", bad[i].name, bad[i].value, t.e.message);
			CHECK(!"the sentence");
		}
		tv_done(&t);
	}
}

/* The Nth host call fails, for every N: an end with a sentence or none at all, no leak, no hang. */
static void test_failing_calls(void)
{
	static const struct scripted_step steps[] = { WRITE(UART, 'x', 1), EVENT(KVM_SYSTEM_EVENT_SHUTDOWN) };
	unsigned int files = open_files(), refused = 0, ended = 0, unharmed = 0;
	char disk[32];
	int fd = memfd_create("disk", MFD_CLOEXEC);

	CHECK_EQ(ftruncate(fd, 1 << 20), 0);
	snprintf(disk, sizeof(disk), "/proc/self/fd/%d", fd);
	for (unsigned long n = 1; n < 5000; n++) {
		struct lkvm_end end = { 0 };
		struct test_vm t;
		bool all;

		alarm(100);
		tv_init(&t);
		tv_set(&t, "cpus", "2");
		tv_set(&t, "disk", disk);
		tv_set(&t, "rng", NULL);
		tv_set(&t, "balloon", NULL);
		tv_set(&t, "console", "virtio");
		RUN(&t, 0, steps);
		t.fail_nth = n;
		if (tv_create(&t) < 0 || lkvm_start(t.vm, &t.e) < 0) {
			refused++;
			all = false;
			CHECK(t.e.code < 0 && t.e.message[0]);
		} else {
			CHECK_EQ(lkvm_wait(t.vm, &end), 0);
			all = hv_scripted_calls(t.hv) < n;
			if (end.reason == LKVM_END_ERROR) {
				ended++;
				CHECK(end.error.code < 0 && end.error.message[0]);
			} else {
				unharmed++;
				CHECK_EQ(end.reason, LKVM_END_POWEROFF);
			}
		}
		tv_done(&t);
		CHECK_EQ(open_files(), files + 1);
		if (all)
			break;
	}
	alarm(0);
	close(fd);
	fprintf(stderr, "failing calls: %u refused, %u ended the guest, %u did not matter\n", refused, ended, unharmed);
	CHECK(refused > 10 && ended >= 2);
}

/* The console that a kernel finds by itself: the first serial port, unless the console is a virtio one. */
static void test_stdout_path(void)
{
	for (unsigned int virtio = 0; virtio < 2; virtio++) {
		char path[64], blob[65536];
		struct test_vm t;
		ssize_t n;
		int fd;

		snprintf(path, sizeof(path), "/tmp/lkvm-vm-test-%d.dtb", (int)getpid());
		tv_init(&t);
		tv_set(&t, "console", virtio ? "virtio" : "serial");
		tv_set(&t, "rng", NULL);
		tv_set(&t, "balloon", NULL);
		tv_set(&t, "dump-dtb", path);
		CHECK_EQ(tv_create(&t), 0);
		CHECK_EQ(dtc_complaints(path), 0);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = read(fd, blob, sizeof(blob));
		CHECK(n > 0);
		close(fd);
		unlink(path);
		CHECK_EQ(!!memmem(blob, (size_t)n, "stdout-path", 12), !virtio);
		CHECK_EQ(!!memmem(blob, (size_t)n, "/soc/serial@10000000", 21), !virtio);
		CHECK(memmem(blob, (size_t)n, "serial@10000000", 16));
		tv_done(&t);
	}
}

/* Firmware in the kernel's place, and a flash in a machine that has room for it. */
/* An address for firmware that is not there is said, once. */
static void test_firmware_address_alone(void)
{
	unsigned int lines[2];

	for (unsigned int i = 0; i < 2; i++) {
		struct test_vm t;

		tv_init(&t);
		if (i)
			tv_set(&t, "firmware-address", "0x80000000");
		CHECK_EQ(tv_create(&t), 0);
		lines[i] = atomic_load(&t.log_lines);
		tv_done(&t);
	}
	CHECK_EQ(lines[1], lines[0] + 1);
}

static void test_firmware_and_flash(void)
{
	static const struct scripted_step steps[] = {
		WRITE(0x4000000, 0x400040, 4), WRITE(0x4000000, 0x12345678, 4), EVENT(KVM_SYSTEM_EVENT_SHUTDOWN)
	};
	struct arch_map map = *arch_riscv64.map;
	struct arch_ops arch = arch_riscv64;
	char flash[40], dtb[40], text[65536] = "";
	int fd = memfd_create("flash", MFD_CLOEXEC), fd2 = memfd_create("dtb", MFD_CLOEXEC);
	struct lkvm_end end = { 0 };
	uint8_t ones[65536], word[4];
	struct test_vm t;

	memset(ones, 0xff, sizeof(ones));
	CHECK_EQ(sys_write_all(fd, ones, sizeof(ones)), 0);
	snprintf(flash, sizeof(flash), "/proc/self/fd/%d", fd);
	snprintf(dtb, sizeof(dtb), "/proc/self/fd/%d", fd2);
	map.flash_base = 0x4000000;
	map.flash_size = MIB(1);
	arch.map = &map;
	tv_init(&t);
	t.config->arch = &arch;
	free(t.config->kernel);
	t.config->kernel = NULL;
	tv_set(&t, "firmware", t.kernel);
	tv_set(&t, "flash", flash);
	tv_set(&t, "dump-dtb", dtb);
	tv_set(&t, "params", "to the loader");
	t.config->nodefaults = false;
	t.script[0] = steps;
	t.script_len[0] = ARRAY_SIZE(steps);
	tv_start(&t);
	CHECK_EQ(lkvm_wait(t.vm, &end), 0);
	CHECK_EQ(end.reason, LKVM_END_POWEROFF);
	CHECK_EQ(pread(fd, word, 4, 0), 4);
	CHECK_EQ(get_le32(word), 0x12345678);
	CHECK(pread(fd2, text, sizeof(text), 0) > 0);
	CHECK(memmem(text, sizeof(text), "flash@4000000", 14) && memmem(text, sizeof(text), "to the loader", 14));
	CHECK(!memmem(text, sizeof(text), "root=", 5));
	tv_done(&t);
	close(fd);
	close(fd2);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_ends();
	test_pause();
	test_pause_early();
	test_pause_threads();
	test_suspend();
	test_ends_at_once();
	test_destroy();
	test_stdout_path();
	test_bad_config();
	test_access_platform();
	test_firmware_address_alone();
	test_firmware_and_flash();
	test_failing_calls();
	return test_result();
}
