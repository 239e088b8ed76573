// SPDX-License-Identifier: MIT
/* An arm64 machine: exits of a hostile guest that are no device's, with any number in any field; or any file as its kernel, 64-bit or 32-bit. */
#include "arch/arm64/test_machine.h"
#include "tests/fuzz/bytes.h"

/* Numbers near where something begins or ends. */
static uint64_t number(struct bytes *b)
{
	switch (bytes_take(b, 1) % 6) {
	case 0:
		return bytes_take(b, 1);
	case 1:
		return ARM64_RAM_BASE + bytes_take(b, 2);
	case 2:
		return ARM64_RAM_BASE + TM_RAM - 300 + bytes_take(b, 2);
	case 3:
		return ~bytes_take(b, 1);
	default:
		return bytes_take(b, 8);
	}
}

static void leave(struct test_machine *t, struct bytes *b)
{
	struct hv_exit x = { .kind = (enum hv_exit_kind)(bytes_take(b, 1) % (HV_EXIT_UNKNOWN + 2)) };
	struct err e = { 0 };
	enum arch_verdict v;

	x.unknown_reason = (unsigned int)number(b);
	if (x.kind == HV_EXIT_SYSTEM_EVENT) {
		x.system_event.type = (uint32_t)(bytes_take(b, 1) & 1 ? bytes_take(b, 1) % 8 : number(b));
		x.system_event.ndata = (uint32_t)number(b);
		tm_set_reg(t, 0, ARM64_REG_X(1), number(b));
		tm_set_reg(t, 0, ARM64_REG_X(2), number(b));
	} else if (x.kind == HV_EXIT_ARM_SEA) {
		x.sea.flags = bytes_take(b, 1);
		x.sea.esr = bytes_take(b, 8);
		x.sea.gpa = number(b);
	} else {
		x.memory_fault.gpa = number(b);
	}
	v = t->m.arch->handle_exit(&t->m, 0, &x, &e);
	MUST(v <= ARCH_ERROR);
	MUST((v == ARCH_ERROR) == (*e.text != 0));
	/* Who is put to sleep wakes up in RAM. */
	if (v == ARCH_SUSPEND)
		MUST(tm_reg(t, 0, ARM64_REG_PC) - ARM64_RAM_BASE < TM_RAM);
}

/* Either it is refused with a sentence, or it starts inside RAM with a tree beside it. */
static void boot(struct test_machine *t, const struct bytes *b, bool aarch32)
{
	struct err e = { 0 };
	char path[32];
	int fd = tm_file(b->data, b->len, path), r;

	tm_init(t, 1);
	t->config.asked[ARM64_AARCH32] = aarch32;
	t->m.boot.kernel = path;
	MUST(tm_build(t, &e) == 0);
	r = t->m.arch->load(&t->m, &e);
	MUST((r < 0) == (*e.text != 0));
	if (r >= 0) {
		void *tree = tm_tree(t->m.memory, tm_reg(t, 0, ARM64_REG_X(aarch32 ? 2 : 0)));

		MUST(tree);
		MUST(tm_reg(t, 0, ARM64_REG_PC) - ARM64_RAM_BASE < TM_RAM);
		free(tree);
	}
	tm_destroy(t);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct test_machine t;
	struct bytes b = { data, size };
	struct err e = { 0 };
	unsigned int what = bytes_take(&b, 1) % 4;

	if (what < 2) {
		boot(&t, &b, what);
		return 0;
	}
	tm_init(&t, 1);
	t.config.asked[ARM64_AARCH32] = what == 3;
	MUST(tm_build(&t, &e) == 0);
	for (unsigned int n = 0; b.len && n < 256; n++)
		leave(&t, &b);
	tm_destroy(&t);
	return 0;
}
