// SPDX-License-Identifier: MIT
/* What both architectures' machine.h promise, in the same words: memory, registers, and vCPUs that run in threads of their own. */
#include "machine.h"

#include <elf.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/uio.h>

unsigned int said_passes, said_failures;

/* ---- the watchdog ---- */

static char watched[128] = "start";

void under_way(const char *what)
{
	snprintf(watched, sizeof(watched), "%s", what);
}

/* In a signal handler, whatever the program is in the middle of. */
static void on_watchdog(int number)
{
	static char begin[] = "FAIL ", end[] = ": came to no end\n";
	const struct iovec words[] = { { begin, sizeof(begin) - 1 }, { watched, strnlen(watched, sizeof(watched)) }, { end, sizeof(end) - 1 } };

	_exit(writev(STDOUT_FILENO, words, ARRAY_SIZE(words)) < 0 ? 2 : 124);
}

/* Before main: no program can forget it. */
__attribute__((constructor)) static void watch(void)
{
	const struct sigaction action = { .sa_handler = on_watchdog };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGPROF };
	const char *seconds = getenv("KVM_WATCHDOG");
	const struct itimerspec at = { .it_value.tv_sec = seconds ? atoi(seconds) : 0 };
	timer_t timer;

	if (!at.it_value.tv_sec)
		return;
	sigaction(SIGPROF, &action, NULL);
	must(timer_create(CLOCK_MONOTONIC, &event, &timer), "a timer");
	timer_settime(timer, 0, &at, NULL);
}

/* ---- memory, registers, vCPUs ---- */

void vm_copy_image(struct vm *vm)
{
	const Elf64_Phdr *p = (const Elf64_Phdr *)getauxval(AT_PHDR);

	for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++)
		if (p[i].p_type == PT_LOAD)
			memcpy((char *)vm->ram + (p[i].p_vaddr - RAM_BASE), (const void *)p[i].p_vaddr, p[i].p_memsz);
}

int vm_set_slot(struct vm *vm, uint32_t slot, uint64_t gpa, void *memory, uint64_t size, uint32_t flags)
{
	struct kvm_userspace_memory_region r = {
		.slot = slot, .flags = flags, .guest_phys_addr = gpa, .memory_size = size, .userspace_addr = (uintptr_t)memory,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r) < 0 ? -errno : 0;
}

int reg_read(struct vcpu *v, uint64_t id, void *value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)value };

	return ioctl(v->fd, KVM_GET_ONE_REG, &reg) < 0 ? -errno : 0;
}

int reg_write(struct vcpu *v, uint64_t id, const void *value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)value };

	return ioctl(v->fd, KVM_SET_ONE_REG, &reg) < 0 ? -errno : 0;
}

uint64_t reg_get(struct vcpu *v, uint64_t id)
{
	char what[64];
	uint64_t value = 0;

	snprintf(what, sizeof(what), "KVM_GET_ONE_REG 0x%" PRIx64, id);
	errno = -reg_read(v, id, &value);
	must(errno ? -1 : 0, what);
	return value;
}

void reg_set(struct vcpu *v, uint64_t id, uint64_t value)
{
	char what[64];

	snprintf(what, sizeof(what), "KVM_SET_ONE_REG 0x%" PRIx64, id);
	errno = -reg_write(v, id, &value);
	must(errno ? -1 : 0, what);
}

bool vcpu_expect(struct vcpu *v, const char *what, unsigned int op, uint64_t *ret_value)
{
	int r;

	under_way(what);
	do
		r = vcpu_run(v, ret_value);
	while (r == RUN_OTHER && errno == EINTR);
	if (r == (int)op)
		return true;
	if (r == RUN_OTHER && errno)
		fail(what, "KVM_RUN: %s", strerror(errno));
	else
		fail(what, "exit reason %u, call %d, should be call %u", v->run->exit_reason, r, op);
	return false;
}

void pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned int)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

struct thread {
	struct vcpu *v;
	int cpu;
};

static void *thread_main(void *ctx)
{
	struct thread *t = ctx;
	struct vcpu *v = t->v;
	uint64_t value;

	pin(t->cpu);
	free(t);
	while (!__atomic_load_n(&v->stop, __ATOMIC_ACQUIRE)) {
		int op = vcpu_run(v, &value);

		if (op == N_CALLS - 1) /* an exception, which has been said */
			break;
		if (op >= 0) {
			v->called(v, (unsigned int)op, value);
		} else if (errno != EINTR && !(v->other && !errno && v->other(v))) {
			fail("run", "vCPU %u: exit reason %u, %s", v->i, v->run->exit_reason, strerror(errno));
			break;
		}
	}
	return NULL;
}

static void on_kick(int number)
{
}

void vcpu_start(struct vcpu *v, int cpu, void (*called)(struct vcpu *v, unsigned int op, uint64_t value))
{
	const struct sigaction action = { .sa_handler = on_kick };
	struct thread *t = malloc(sizeof(*t));

	must(t ? 0 : -1, "memory");
	*t = (struct thread){ v, cpu };
	sigaction(SIGUSR1, &action, NULL);
	v->stop = false;
	v->called = called;
	v->run->immediate_exit = 0;
	errno = pthread_create(&v->thread, NULL, thread_main, t);
	must(errno ? -1 : 0, "a thread");
}

void vcpu_stop(struct vcpu *v)
{
	__atomic_store_n(&v->stop, true, __ATOMIC_RELEASE);
	v->run->immediate_exit = 1;
	pthread_kill(v->thread, SIGUSR1);
	pthread_join(v->thread, NULL);
	v->run->immediate_exit = 0;
}
