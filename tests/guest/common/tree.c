// SPDX-License-Identifier: MIT
/* The machine, from its device tree (Devicetree Specification 0.4, 5). */
#include "guest.h"

/* Registers of a node come before its interrupts here, whatever their order in the tree: a place is filled by both. */
static void property(const char *node, const char *name, const void *value, uint32_t len)
{
	struct place *p = NULL;

	if (same(node, "chosen") && same(name, "bootargs")) {
		for (unsigned int i = 0; i < len && i < sizeof(machine.args) - 1; i++)
			machine.args[i] = ((const char *)value)[i];
	} else if (starts(node, "memory@") && same(name, "reg")) {
		machine.ram = be64(value);
		machine.ram_size = be64((const char *)value + 8);
	} else {
		arch_property(node, name, value, len);
	}
	if (starts(node, "virtio_mmio@"))
		p = &machine.virtio[machine.n_virtio - 1];
	else if (starts(node, "serial@"))
		p = &machine.uart[machine.n_uarts - 1];
	else if (starts(node, "rtc@"))
		p = &machine.rtc;
	if (p && same(name, "reg"))
		p->base = be64(value);
	else if (p && same(name, "interrupts"))
		p->irq = arch_interrupt(value);
}

void machine_read(const void *boot)
{
	const char *dtb = boot, *at = dtb + be32(dtb + 8), *strings = dtb + be32(dtb + 12), *node[8] = { "" };
	unsigned int depth = 0;

	for (;;) {
		uint32_t token = be32(at), len;

		at += 4;
		switch (token) {
		case 1:
			depth++;
			node[depth % 8] = at;
			machine.harts += starts(at, "cpu@");
			machine.n_uarts += starts(at, "serial@");
			machine.n_virtio += starts(at, "virtio_mmio@");
			at += (length(at) + 4) & ~3u;
			break;
		case 2:
			depth--;
			break;
		case 3:
			len = be32(at);
			property(node[depth % 8], strings + be32(at + 4), at + 8, len);
			at += 8 + ((len + 3) & ~3u);
			break;
		case 4:
			break;
		default:
			return;
		}
	}
}
