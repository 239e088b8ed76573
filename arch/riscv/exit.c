// SPDX-License-Identifier: MIT
/* What leaves the guest and is no device's: SBI calls that KVM forwards, CSRs that it does not emulate, system events, and failures. */
#include <errno.h>

#include "arch/machine.h"
#include "arch/riscv/riscv.h"
#include "base/sys.h"

/* "RISC-V Supervisor Binary Interface Specification" 2.0 */
#define SBI_SUCCESS 0
#define SBI_ERR_FAILED -1
#define SBI_ERR_NOT_SUPPORTED -2
#define SBI_ERR_INVALID_PARAM -3

#define SBI_LEGACY_PUTCHAR 0x01
#define SBI_LEGACY_GETCHAR 0x02
#define SBI_LEGACY_SHUTDOWN 0x08
#define SBI_DBCN 0x4442434e
#define SBI_DBCN_WRITE 0
#define SBI_DBCN_READ 1
#define SBI_DBCN_WRITE_BYTE 2
#define SBI_SUSP 0x53555350
#define SBI_SRST 0x53525354
#define SBI_SRST_SHUTDOWN 0
#define SBI_SRST_REASON_SYSFAIL 1

#define DBCN_MAX 65536 /* bytes moved per call; the specification lets a call move fewer than asked */

#define CSR_SEED 0x015
#define SEED_ES16 (UINT64_C(2) << 30)

static void console_put(struct machine *m, const void *data, size_t len)
{
	if (m->console_put)
		m->console_put(m->console_ctx, data, len);
}

static size_t console_get(struct machine *m, void *buf, size_t len)
{
	return m->console_get ? m->console_get(m->console_ctx, buf, len) : 0;
}

/* Moves up to DBCN_MAX bytes between the console and guest memory; the whole range must be RAM. Returns an SBI error; *ret_n bytes went. */
static long dbcn_move(struct machine *m, const unsigned long args[6], bool write, unsigned long *ret_n)
{
	uint64_t len = args[0], gpa = args[1], done = 0;
	char buf[1024];

	*ret_n = 0;
	if (args[2]) /* the address's upper half, on RV64 beyond any memory */
		return SBI_ERR_INVALID_PARAM;
	if (!len)
		return SBI_SUCCESS;
	if (gpa > UINT64_MAX - len || gpa < RISCV_RAM_BASE || gpa + len > RISCV_RAM_BASE + m->ram_size)
		return SBI_ERR_INVALID_PARAM;
	len = MIN(len, DBCN_MAX);
	while (done < len) {
		size_t n = MIN(len - done, sizeof(buf));

		if (write) {
			if (memory_read(m->memory, gpa + done, buf, n) < 0)
				return SBI_ERR_INVALID_PARAM;
			console_put(m, buf, n);
		} else {
			n = console_get(m, buf, n);
			if (!n || n > len - done)
				break;
			if (memory_write(m->memory, gpa + done, buf, n) < 0)
				return SBI_ERR_INVALID_PARAM;
		}
		done += n;
	}
	*ret_n = done;
	return SBI_SUCCESS;
}

static enum arch_verdict handle_sbi(struct machine *m, struct hv_exit *exit)
{
	const unsigned long *args = exit->sbi.args;
	long error = SBI_ERR_NOT_SUPPORTED;
	unsigned long value = 0;
	enum arch_verdict verdict = ARCH_CONTINUE;
	uint8_t c;

	switch (exit->sbi.extension) {
	case SBI_LEGACY_PUTCHAR:
		c = (uint8_t)args[0];
		console_put(m, &c, 1);
		error = 0;
		value = args[1]; /* legacy calls leave a1 alone */
		break;
	case SBI_LEGACY_GETCHAR:
		error = console_get(m, &c, 1) == 1 ? c : -1;
		value = args[1];
		break;
	case SBI_LEGACY_SHUTDOWN:
		verdict = ARCH_POWEROFF;
		break;
	case SBI_DBCN:
		if (exit->sbi.function == SBI_DBCN_WRITE || exit->sbi.function == SBI_DBCN_READ) {
			error = dbcn_move(m, args, exit->sbi.function == SBI_DBCN_WRITE, &value);
		} else if (exit->sbi.function == SBI_DBCN_WRITE_BYTE) {
			c = (uint8_t)args[0];
			console_put(m, &c, 1);
			error = SBI_SUCCESS;
		}
		break;
	case SBI_SUSP:
		/* KVM has checked the call and prepared the hart to continue at the resume address. */
		if (exit->sbi.function == 0) {
			error = SBI_SUCCESS;
			verdict = ARCH_SUSPEND;
		}
		break;
	case SBI_SRST:
		/* KVM answers these itself; a host that forwards them gets the same. */
		if (exit->sbi.function == 0) {
			if (args[1] == SBI_SRST_REASON_SYSFAIL)
				verdict = ARCH_PANIC;
			else
				verdict = args[0] == SBI_SRST_SHUTDOWN ? ARCH_POWEROFF : ARCH_REBOOT;
		}
		break;
	default:
		if (machine_may_say(m))
			log_debug(m->log, "SBI call 0x%lx function 0x%lx is not served", exit->sbi.extension,
				  exit->sbi.function);
		break;
	}
	exit->sbi.ret[0] = (unsigned long)error;
	exit->sbi.ret[1] = value;
	return verdict;
}

static enum arch_verdict handle_csr(struct machine *m, struct hv_exit *exit)
{
	uint16_t seed;

	*exit->csr.ret_value = 0;
	if (exit->csr.number == CSR_SEED) {
		/* Entropy source (scalar cryptography, 4.1): ES16 with 16 fresh bits, or BIST (0) when there are none. */
		if (!sys_random(&seed, sizeof(seed)))
			*exit->csr.ret_value = SEED_ES16 | seed;
	} else if (machine_may_say(m)) {
		log_debug(m->log, "CSR 0x%lx is not there, reads as 0", exit->csr.number);
	}
	return ARCH_CONTINUE;
}

static enum arch_verdict handle_system_event(struct machine *m, unsigned int i, struct hv_exit *exit, struct err *e)
{
	uint64_t reason = exit->system_event.ndata ? exit->system_event.data[0] : 0;

	switch (exit->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		return reason == SBI_SRST_REASON_SYSFAIL ? ARCH_PANIC : ARCH_POWEROFF;
	case KVM_SYSTEM_EVENT_RESET:
		return reason == SBI_SRST_REASON_SYSFAIL ? ARCH_PANIC : ARCH_REBOOT;
	case KVM_SYSTEM_EVENT_CRASH:
		return ARCH_PANIC;
	case KVM_SYSTEM_EVENT_SUSPEND:
		return ARCH_SUSPEND;
	case KVM_SYSTEM_EVENT_WAKEUP:
		return ARCH_CONTINUE;
	}
	err_set(e, -EIO, "hart %u: KVM reports system event %u, which lkvm does not know; a newer lkvm may", i, exit->system_event.type);
	return ARCH_ERROR;
}

enum arch_verdict riscv_handle_exit(struct machine *m, unsigned int i, struct hv_exit *exit, struct err *e)
{
	switch (exit->kind) {
	case HV_EXIT_INTR:
	case HV_EXIT_MMIO: /* nobody there: reads give zeroes, writes vanish */
		return ARCH_CONTINUE;
	case HV_EXIT_RISCV_SBI:
		return handle_sbi(m, exit);
	case HV_EXIT_RISCV_CSR:
		return handle_csr(m, exit);
	case HV_EXIT_SYSTEM_EVENT:
		return handle_system_event(m, i, exit, e);
	case HV_EXIT_SHUTDOWN:
		return ARCH_POWEROFF;
	case HV_EXIT_FAIL_ENTRY:
		if (!(exit->fail_entry.reason & KVM_EXIT_FAIL_ENTRY_NO_VSFILE))
			break;
		err_set(e, -EIO, "hart %u cannot run: host CPU %u has no free guest interrupt file; use fewer harts, or --irqchip plic", i,
			exit->fail_entry.cpu);
		return ARCH_ERROR;
	default:
		break;
	}
	return machine_failed_exit(m, i, exit, e);
}
