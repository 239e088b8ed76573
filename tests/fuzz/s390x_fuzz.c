// SPDX-License-Identifier: MIT
/* An s390x machine: the SCLP with any request, instructions with any operands, TEST SUBCHANNEL and waits of a hostile guest; or any file as its kernel. */
#include "arch/s390x/sclp.h"
#include "arch/s390x/test_machine.h"
#include "tests/fuzz/bytes.h"

#define AT 0x30000

static uint64_t number(struct bytes *b)
{
	switch (bytes_take(b, 1) % 6) {
	case 0:
		return bytes_take(b, 1);
	case 1:
		return AT + bytes_take(b, 2);
	case 2:
		return TM_RAM - 300 + bytes_take(b, 2);
	case 3:
		return ~bytes_take(b, 1);
	default:
		return bytes_take(b, 8);
	}
}

static void check(struct test_machine *t, enum arch_verdict v, const struct err *e)
{
	MUST(v <= ARCH_ERROR);
	MUST((v == ARCH_ERROR || v == ARCH_HALTED) == (*e->text != 0));
	MUST(s390x_state(&t->m)->sclp->n_in <= SCLP_IN);
	t->n_irqs = 0;
	t->n_console = 0;
}

static void service_call(struct test_machine *t, struct bytes *b)
{
	static const uint32_t commands[] = { 0x00020001, 0x00120001, 0x00010001, 0x00760005, 0x00770005, 0x00780005 };
	struct hv_s390_regs *g = tm_regs(t, 0);
	unsigned int n = (unsigned int)bytes_take(b, 1), len = (unsigned int)bytes_take(b, 1) * 2;
	struct err e = { 0 };

	t->input = bytes_take(b, 1) & 1 ? "typed\nmore" : NULL;
	t->room = bytes_take(b, 1) & 3 ? SIZE_MAX : 5;
	len = (unsigned int)MIN(len, b->len);
	memory_write(t->m.memory, AT, b->data, len);
	b->data += len;
	b->len -= len;
	g->gpr[1] = n < 250 ? commands[n % ARRAY_SIZE(commands)] : (uint32_t)number(b);
	g->gpr[2] = n & 64 ? number(b) : AT;
	check(t, tm_instruction(t, 0, 0xb220, 0x00120000, &e), &e);
	t->room = SIZE_MAX;
	sclp_console_changed(&t->m);
}

static void instruction(struct test_machine *t, struct bytes *b)
{
	static const uint16_t ops[] = { 0xae13, 0x8324, 0x8313, 0xb230, 0xb231, 0xb232, 0xb233, 0xb234, 0xb237, 0xb238, 0xb239, 0xb23a, 0xb23b, 0xb23c, 0xb25f, 0xb276,
					0xb9a2 };
	static const uint16_t codes[] = { 0x308, 0x500, 0x501 };
	unsigned int n = (unsigned int)bytes_take(b, 1);
	uint32_t ipb = (uint32_t)bytes_take(b, 4);
	struct err e = { 0 };

	for (unsigned int i = 0; i < 4; i++)
		tm_regs(t, 0)->gpr[bytes_take(b, 1) & 15] = number(b);
	if (n & 64)
		tm_regs(t, 0)->gpr[1] = 0x00010000 | (n & 3);
	if (n & 128)
		ipb = (uint32_t)codes[n % 3] << 16;
	check(t, tm_instruction(t, 0, n < 250 ? ops[n % ARRAY_SIZE(ops)] : (uint16_t)bytes_take(b, 2), ipb, &e), &e);
}

static void leave(struct test_machine *t, struct bytes *b)
{
	struct hv_exit x = { .kind = HV_EXIT_S390_SIEIC + bytes_take(b, 1) % 5 };
	struct err e = { 0 };

	if (x.kind == HV_EXIT_S390_SIEIC) {
		x.s390_sieic.icptcode = (uint8_t)bytes_take(b, 1);
	} else if (x.kind == HV_EXIT_S390_TSCH) {
		x.s390_tsch.ipb = (uint32_t)bytes_take(b, 4);
		x.s390_tsch.dequeued = bytes_take(b, 1) & 1;
	} else if (x.kind == HV_EXIT_S390_STSI) {
		x.s390_stsi.addr = number(b);
		x.s390_stsi.fc = (uint8_t)(bytes_take(b, 1) & 15);
		x.s390_stsi.sel1 = x.s390_stsi.sel2 = 2;
	}
	check(t, t->m.arch->handle_exit(&t->m, 0, &x, &e), &e);
}

static void take_turns(struct test_machine *t)
{
	for (unsigned int i = 0; i < t->m.n_vcpus; i++) {
		enum arch_verdict v;
		struct err e = { 0 };

		tm_waits(t, i, &v, &e);
		check(t, v, &e);
	}
}

static void boot(struct test_machine *t, const struct bytes *b)
{
	struct err e = { 0 };
	char path[32];
	int fd = tm_file(b->data, b->len, path), r;

	tm_init(t, 1);
	t->m.boot.kernel = path;
	MUST(tm_build(t, &e) == 0);
	r = t->m.arch->load(&t->m, &e);
	MUST((r < 0) == (*e.text != 0));
	tm_destroy(t);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct test_machine t;
	struct bytes b = { data, size };
	struct err e = { 0 };

	if (!(bytes_take(&b, 1) & 15)) {
		boot(&t, &b);
		return 0;
	}
	tm_init(&t, 3);
	t.m.ram_size = TM_RAM;
	MUST(tm_build(&t, &e) == 0);
	MUST(s390x_start_vcpu(&t.m, 0, PSW_64BIT, 0x10000, &e) == 0);
	for (unsigned int i = 0; b.len && i < 64; i++) {
		switch (bytes_take(&b, 1) % 4) {
		case 0:
		case 1:
			service_call(&t, &b);
			break;
		case 2:
			instruction(&t, &b);
			break;
		default:
			leave(&t, &b);
		}
		*tm_regs(&t, 0)->psw_mask &= ~PSW_PROBLEM;
		take_turns(&t);
	}
	tm_destroy(&t);
	return 0;
}
