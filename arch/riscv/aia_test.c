// SPDX-License-Identifier: MIT
/* The in-kernel AIA against a register file that takes writes as KVM's does: what is saved comes back, whatever was there, and nothing else is taken. */
#include "arch/riscv/aia.h"

#include <asm/kvm.h>
#include <linux/kvm.h>
#include <stdlib.h>

#include "hv/scripted.h"
#include "tests/test.h"

#define HARTS 2
#define IDS 127

static struct {
	uint32_t domaincfg, sourcecfg[1024], target[1024], ip[32], ie[32];
	uint64_t imsic[HARTS][256];
	unsigned int lost; /* writes that an inactive source did not take, or delivery before its registers */
	bool halves;	   /* registers of an interrupt file change in their lower half only */
	unsigned int fail; /* this access, counted down, fails; 0: none */
} chip;

static int aplic(uint64_t at, uint32_t *v, bool set)
{
	uint32_t *reg = at == 0			      ? &chip.domaincfg :
			at < 0x1000		      ? &chip.sourcecfg[at / 4] :
			at >= 0x3000		      ? &chip.target[(at - 0x3000) / 4] :
			at >= 0x1e00 && at < 0x2000   ? &chip.ie[at % 0x80 / 4] :
							&chip.ip[at % 0x80 / 4];
	uint32_t active = 0;

	if (!set) {
		*v = *reg;
		return 0;
	}
	if (at >= 0x1c00 && at < 0x2000) {
		for (unsigned int i = 0; i < 32; i++)
			active |= (uint32_t)(chip.sourcecfg[at % 0x80 / 4 * 32 + i] != 0) << i;
		if (at < 0x1d00 || (at >= 0x1e00 && at < 0x1f00)) {
			chip.lost += (*v & ~active) != 0;
			*reg |= *v & active;
		} else {
			*reg &= ~*v;
		}
		return 0;
	}
	*reg = *v;
	return 0;
}

static int device_attr(struct hv *hv, int fd, uint32_t group, uint64_t number, void *value, bool set)
{
	if (chip.fail && !--chip.fail)
		return -EBUSY;
	if (group == KVM_DEV_RISCV_AIA_GRP_CONFIG && !set) {
		memcpy(value, &(uint32_t){ number == KVM_DEV_RISCV_AIA_CONFIG_MODE ? KVM_DEV_RISCV_AIA_MODE_EMUL : IDS }, 4);
	} else if (group == KVM_DEV_RISCV_AIA_GRP_APLIC) {
		return aplic(number, value, set);
	} else if (group == KVM_DEV_RISCV_AIA_GRP_IMSIC) {
		uint64_t *reg = &chip.imsic[KVM_DEV_RISCV_AIA_IMSIC_GET_VCPU(number)][KVM_DEV_RISCV_AIA_IMSIC_GET_ISEL(number)];

		if (set)
			memcpy(reg, value, chip.halves ? sizeof(uint32_t) : sizeof(unsigned long));
		else
			memcpy(value, reg, sizeof(unsigned long));
	}
	return 0;
}

static struct hv_ops ops;

static struct aia *make(unsigned int n_sources, struct hv **ret)
{
	const struct aia_config config = { .n_vcpus = HARTS, .n_sources = n_sources, .aplic_base = 0xd000000, .imsic_base = 0x28000000 };
	struct scripted_config none = { 0 };
	struct aia *a = NULL;
	struct err e = { 0 };

	CHECK_EQ(hv_scripted_create(&none, ret), 0);
	ops = *(*ret)->ops;
	ops.device_attr = device_attr;
	(*ret)->ops = &ops;
	CHECK_EQ(aia_create(*ret, &config, &a, &e), 0);
	return a;
}

static void fill(void)
{
	uint32_t seed = 1;

	memset(&chip, 0, sizeof(chip));
	for (unsigned int i = 1; i <= 96; i++) {
		seed = seed * 1664525 + 1013904223;
		chip.sourcecfg[i] = seed >> 30 ? 4 + (seed >> 29 & 2) : 0;
		chip.target[i] = seed >> 8 & 0x7f;
		if (chip.sourcecfg[i]) {
			chip.ip[i / 32] |= (seed >> 20 & 1) << i % 32;
			chip.ie[i / 32] |= (seed >> 21 & 1) << i % 32;
		}
	}
	chip.domaincfg = 0x104;
	for (unsigned int h = 0; h < HARTS; h++) {
		chip.imsic[h][0x70] = 1;
		chip.imsic[h][0x72] = 5 + h;
		for (unsigned int i = 0; i <= IDS / 64; i++) {
			chip.imsic[h][0x80 + 2 * i] = UINT64_C(0x123456789abcdef0) << h;
			chip.imsic[h][0xc0 + 2 * i] = UINT64_C(0xfedcba9876543210) >> h;
		}
	}
}

int main(void)
{
	uint8_t *buf, *more;
	__typeof__(chip) was;
	struct hv *hv = NULL, *other_hv = NULL;
	struct aia *a = make(96, &hv), *other;
	struct err e = { 0 };
	int64_t size = aia_save(a, NULL, 0);

	CHECK(size > 96 * 16);
	buf = calloc(1, (size_t)size + 8);
	fill();
	was = chip;
	CHECK_EQ(aia_save(a, buf, (size_t)size), size);
	CHECK_EQ(memcmp(&was, &chip, sizeof(was)), 0);
	/* Into a chip as new, and into one that is full of something else. */
	memset(&chip, 0, sizeof(chip));
	CHECK_EQ(aia_load(a, buf, (size_t)size, &e), 0);
	CHECK_EQ(chip.lost, 0);
	CHECK_EQ(memcmp(&was, &chip, sizeof(was)), 0);
	for (unsigned int i = 1; i <= 96; i++)
		chip.sourcecfg[i] = 6, chip.target[i] = 9;
	memset(chip.ip, 0xff, 12);
	memset(chip.ie, 0xff, 12);
	for (unsigned int i = 0; i <= IDS / 64; i++)
		chip.imsic[1][0x80 + 2 * i] = UINT64_MAX;
	CHECK_EQ(aia_load(a, buf, (size_t)size, &e), 0);
	chip.ip[3] &= 1, chip.ie[3] &= 1; /* there are no sources above 96 */
	CHECK_EQ(memcmp(&was, &chip, sizeof(was)), 0);

	/* What is no such state changes nothing. */
	CHECK_EQ(aia_load(a, buf, (size_t)size - 8, NULL), -EINVAL);
	CHECK_EQ(aia_load(a, buf, (size_t)size + 8, NULL), -EINVAL);
	for (unsigned int word = 0; word < 4; word++) {
		buf[4 * word] ^= 1;
		CHECK_EQ(aia_load(a, buf, (size_t)size, &e), -EINVAL);
		buf[4 * word] ^= 1;
	}
	CHECK(strstr(e.text, "not of a machine"));
	CHECK_EQ(memcmp(&was, &chip, sizeof(was)), 0);
	chip.halves = true;
	other = make(64, &other_hv);
	CHECK_EQ(aia_n_delivered(a), IDS);
	CHECK_EQ(aia_n_delivered(other), 31);
	CHECK_EQ(aia_load(other, buf, (size_t)size, NULL), -EINVAL);
	aia_destroy(other);
	hv_destroy(other_hv);
	chip = was;

	/* KVM's refusals are passed on. */
	more = calloc(1, (size_t)size);
	chip.fail = 20;
	CHECK_EQ(aia_save(a, more, (size_t)size), -EBUSY);
	chip.fail = (unsigned int)(size / 8); /* behind the reset */
	CHECK_EQ(aia_load(a, buf, (size_t)size, &e), -EBUSY);
	CHECK(strstr(e.text, "saved state"));
	aia_destroy(a);
	hv_destroy(hv);
	free(buf);
	free(more);
	return test_result();
}
