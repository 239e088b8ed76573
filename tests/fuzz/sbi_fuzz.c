// SPDX-License-Identifier: MIT
/* Exits of a hostile RISC-V guest that are no device's: SBI calls, CSRs, system events with any number in any field. */
#include "arch/riscv/test_machine.h"
#include "tests/fuzz/bytes.h"

static const unsigned long extensions[] = { 0, 1, 2, 8, 0x10, 0x4442434e, 0x53525354, 0x53555350, 0x48534d, 0x54494d45, 0x4d505859 };

/* Numbers near where something begins or ends. */
static unsigned long number(struct bytes *b)
{
	switch (bytes_take(b, 1) % 6) {
	case 0:
		return bytes_take(b, 1);
	case 1:
		return RISCV_RAM_BASE + bytes_take(b, 2);
	case 2:
		return RISCV_RAM_BASE + TM_RAM - 300 + bytes_take(b, 2);
	case 3:
		return ~bytes_take(b, 1);
	default:
		return bytes_take(b, 8);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct test_machine t;
	static bool built;
	struct bytes b = { data, size };
	struct err e = { 0 };

	if (!built) {
		tm_init(&t, 1, false);
		MUST(tm_build(&t, &e) == 0);
		built = true;
	}
	t.input = "some input that a guest may read\n";
	for (unsigned int n = 0; b.len && n < 256; n++) {
		unsigned long ret[2] = { 0, 0 }, csr = 0, len = 0, gpa = 0;
		struct hv_exit x = { .kind = (enum hv_exit_kind)(bytes_take(&b, 1) % (HV_EXIT_UNKNOWN + 2)) };
		enum arch_verdict v;

		e = (struct err){ 0 };
		t.n_console = 0;
		x.unknown_reason = (unsigned int)number(&b);
		if (x.kind == HV_EXIT_RISCV_SBI) {
			uint64_t pick = bytes_take(&b, 1);

			x.sbi.extension = pick < 200 ? extensions[pick % ARRAY_SIZE(extensions)] : number(&b);
			x.sbi.function = bytes_take(&b, 1) % 4;
			for (unsigned int i = 0; i < 3; i++)
				x.sbi.args[i] = i < 2 || bytes_take(&b, 1) > 200 ? number(&b) : 0;
			x.sbi.ret = ret;
			len = x.sbi.args[0];
			gpa = x.sbi.args[1];
		} else if (x.kind == HV_EXIT_RISCV_CSR) {
			x.csr.number = bytes_take(&b, 1) & 1 ? 0x15 : number(&b);
			x.csr.ret_value = &csr;
		} else if (x.kind == HV_EXIT_SYSTEM_EVENT) {
			x.system_event.type = (uint32_t)number(&b);
			x.system_event.ndata = (uint32_t)number(&b);
			x.system_event.data[0] = number(&b);
		} else {
			x.fail_entry.reason = number(&b);
		}
		v = arch_riscv64.handle_exit(&t.m, 0, &x, &e);
		MUST(v <= ARCH_ERROR);
		MUST((v == ARCH_ERROR) == (*e.text != 0));
		/* Data moved only where all of it is RAM, and never more than was asked for. */
		if (x.kind == HV_EXIT_RISCV_SBI && x.sbi.extension == 0x4442434e && x.sbi.function < 2 && ret[0] == 0) {
			MUST(ret[1] <= len);
			MUST(!len || (gpa >= RISCV_RAM_BASE && gpa - RISCV_RAM_BASE <= TM_RAM - len));
		}
	}
	return 0;
}
