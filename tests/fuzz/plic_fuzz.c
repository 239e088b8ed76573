// SPDX-License-Identifier: MIT
/*
 * A hostile guest at the PLIC: any width at any offset with any value, mixed with devices that move their lines, with plain exits and with queued completions. What must hold: the
 * notification of each hart is what its registers say.
 *
 * Input: one byte of set-up (1: queued completions, 2: few sources), then operations of one byte and what they take.
 */
#include "hw/plic.h"

#include <linux/kvm.h>

#include "base/endian.h"
#include "hv/scripted.h"
#include "tests/fuzz/bytes.h"

#define BASE UINT64_C(0x08000000)
#define HARTS 2
#define FEW 37
#define MAX_OPS 300
#define MAX_CHECKS 4 /* they are slow */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t peek(struct plic *p, uint64_t offset)
{
	uint8_t data[8] = { 0 };

	plic_bus_ops.read(p, offset, data, 4);
	return get_le32(data);
}

static void guest_write(struct hv *hv, struct plic *p, uint64_t offset, uint64_t value, unsigned int len)
{
	uint8_t data[8];

	put_le64(data, value);
	if (!hv_scripted_guest_write(hv, BASE + offset, data, len))
		plic_bus_ops.write(p, offset, data, len);
}

/* From the registers alone, one source after the other. */
static bool expected(struct plic *p, unsigned int hart)
{
	unsigned int context = 2 * hart + 1;
	uint32_t threshold = peek(p, 0x200000 + context * 0x1000);

	for (unsigned int w = 0; w < 32; w++) {
		uint32_t bits = peek(p, 0x1000 + 4 * w) & peek(p, 0x2000 + context * 0x80 + 4 * w);

		for (unsigned int i = 0; i < 32; i++)
			if (bits >> i & 1 && peek(p, 4 * (w * 32 + i)) > threshold)
				return true;
	}
	return false;
}

static void check(struct plic *p, struct hv_vcpu **vcpu, unsigned int sources)
{
	MUST(!(peek(p, 0x1000) & 1));
	MUST(!peek(p, 0));
	for (unsigned int hart = 0; hart < HARTS; hart++) {
		unsigned int changes = 0, calls = 0;

		MUST(hv_scripted_interrupt(vcpu[hart], &changes, &calls) == expected(p, hart));
		MUST(changes == calls);
	}
	if (sources == FEW)
		for (unsigned int w = 2; w < 32; w++)
			MUST(!peek(p, 0x1000 + 4 * w));
}

/* Offsets that lead somewhere more often than chance would. */
static uint64_t some_offset(struct bytes *in)
{
	switch (bytes_take(in, 1) % 6) {
	case 0:
		return bytes_take(in, 2) % 0x1000;
	case 1:
		return 0x1000 + bytes_take(in, 1) % 0x90;
	case 2:
		return 0x2000 + bytes_take(in, 2) % 0x300;
	case 3:
		return 0x200000 + bytes_take(in, 1) % 6 * 0x1000 + bytes_take(in, 1) % 10;
	case 4:
		return 0x200004 + bytes_take(in, 1) % 4 * 0x1000;
	default:
		return bytes_take(in, 4) % (PLIC_SIZE - 8);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct scripted_cap caps[] = { { KVM_CAP_COALESCED_MMIO, 1 } };
	struct bytes in = { data, size };
	unsigned int setup = (unsigned int)bytes_take(&in, 1), sources = setup & 2 ? FEW : PLIC_MAX_SOURCES;
	const struct scripted_config config = { .caps = caps, .n_caps = setup & 1 };
	struct plic_config pc = { .n_vcpus = HARTS, .n_sources = sources, .base = BASE };
	struct hv_vcpu *vcpu[HARTS];
	static struct loop *loop;
	unsigned int checks = 0;
	struct hv *hv;
	struct plic *p;

	if (!loop)
		MUST(loop_create(&loop, NULL) >= 0);
	MUST(hv_scripted_create(&config, &hv) >= 0);
	if (setup & 1)
		MUST(coalescer_create(hv, loop, &pc.coalescer) >= 0);
	for (unsigned int i = 0; i < HARTS; i++)
		MUST(hv->ops->create_vcpu(hv, i, &vcpu[i]) >= 0);
	pc.vcpus = vcpu;
	MUST(plic_create(&pc, NULL, &p, NULL) >= 0);
	for (unsigned int op = 0; op < MAX_OPS && in.len; op++) {
		uint8_t what = (uint8_t)bytes_take(&in, 1), buf[8] = { 0 };
		unsigned int len = 4;
		struct irq_line line;
		uint64_t offset;

		switch (what % 8) {
		case 0: /* any width */
		case 1:
			len = what % 8 ? 4 : 1 + (what >> 3) % 8;
			offset = some_offset(&in);
			guest_write(hv, p, offset, bytes_take(&in, len), len);
			break;
		case 2:
		case 3:
			len = what & 1 ? 4 : 1 + (what >> 3) % 8;
			plic_bus_ops.read(p, some_offset(&in), buf, len);
			if (len != 4)
				MUST(!get_le64(buf));
			break;
		case 4:
		case 5:
			if (plic_line(p, (unsigned int)bytes_take(&in, 2), &line) >= 0) {
				irq_sync(&line);
				irq_set(&line, what & 8);
			}
			break;
		case 6:
			if (plic_line(p, 1 + (unsigned int)bytes_take(&in, 1), &line) >= 0)
				irq_pulse(&line);
			break;
		case 7:
			if (what & 0x80 && checks++ < MAX_CHECKS)
				check(p, vcpu, sources);
			else
				guest_write(hv, p, 0x201004 + (what & 8 ? 0x2000 : 0), peek(p, 0x201004), 4);
			break;
		}
	}
	check(p, vcpu, sources);

	/* What was saved is taken back and says the same; what was not may be refused, but does no harm. */
	uint8_t state[sizeof(struct plic_state) + 2 * HARTS * sizeof(struct plic_context_state)];

	MUST(plic_save(p, state, sizeof(state)) == sizeof(state));
	MUST(plic_load(p, state, sizeof(state), NULL) >= 0);
	check(p, vcpu, sources);
	if (in.len)
		state[sizeof(state) - 1 - in.len % sizeof(state)] ^= in.data[0];
	plic_load(p, state, sizeof(state), NULL);
	check(p, vcpu, sources);
	plic_destroy(p);
	coalescer_destroy(pc.coalescer);
	for (unsigned int i = 0; i < HARTS; i++)
		hv_vcpu_destroy(vcpu[i]);
	hv_destroy(hv);
	return 0;
}
