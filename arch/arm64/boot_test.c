// SPDX-License-Identifier: MIT
/* What a guest finds at its start: kernel, initrd, tree and registers, for each kind of kernel and machine; and again after a restart. */
#include "arch/arm64/test_machine.h"
#include "tests/dtc.h"
#include "tests/test.h"

static struct test_machine t;
static uint8_t image[0x3000];

/* An arm64 Image of len bytes into buf: header, then bytes that count up. */
static void make_image(uint64_t text_offset, uint64_t image_size, uint64_t flags)
{
	for (size_t i = 0; i < sizeof(image); i++)
		image[i] = (uint8_t)(i * 7);
	memset(image, 0, 64);
	put_le64(image + 8, text_offset);
	put_le64(image + 16, image_size);
	put_le64(image + 24, flags);
	memcpy(image + 56, "ARM\x64", 4);
}

static int start(const char *kernel, const char *initrd, struct err *e)
{
	int r;

	t.m.boot.kernel = kernel;
	t.m.boot.initrd = initrd;
	r = tm_build(&t, e);
	return r < 0 ? r : arch_arm64.load(&t.m, e);
}

static void device_node(void *ctx, struct dt *dt)
{
	const struct irq_line *line = ctx;

	dt_begin(dt, "thing@%x", 0x3000000);
	dt_prop_reg(dt, 0x3000000, 0x1000);
	dt_prop_irq(dt, line);
	dt_end(dt);
}

static uint32_t cell(const void *fdt, const char *path, const char *name, unsigned int i)
{
	int len;
	const char *p = tree_prop(fdt, path, name, &len);

	return p && len >= 4 * (int)(i + 1) ? get_be32(p + 4 * i) : 0xdeadbeef;
}

static void test_image(void)
{
	char path[32], initrd_path[32], buf[8] = "";
	int fd, fd2 = tm_file("initrd!", 7, initrd_path), len;
	struct irq_line line, other;
	struct err e = { 0 };
	uint64_t dtb, initrd;
	void *fdt;

	make_image(0, 0x10000, 0xa);
	fd = tm_file(image, sizeof(image), path);
	tm_init(&t, 2);
	t.m.boot.kernel = path;
	t.m.boot.initrd = initrd_path;
	t.m.stdout_path = "/serial@1000000";
	tm_option(&t, "pmu", NULL, &e);
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK_EQ(arch_arm64.alloc_irq(&t.m, IRQ_LEVEL, &line, &e), 0);
	CHECK_EQ(arch_arm64.alloc_irq(&t.m, IRQ_EDGE, &other, &e), 0);
	CHECK(line.n == 0 && other.n == 1 && other.trigger == IRQ_EDGE);
	t.m.node[t.m.n_nodes++] = (struct machine_node){ device_node, &other };
	CHECK_EQ(arch_arm64.load(&t.m, &e), 0);
	CHECK_STR(e.text, "");

	dtb = tm_reg(&t, 0, ARM64_REG_X(0));
	CHECK_EQ(tm_reg(&t, 0, ARM64_REG_PC), ARM64_RAM_BASE);
	for (unsigned int i = 1; i < 4; i++)
		CHECK_EQ(tm_reg(&t, 0, ARM64_REG_X(i)), 0);
	fdt = tm_tree(t.m.memory, dtb);
	CHECK(fdt && !(dtb & 7) && fdt_totalsize(fdt) < MIB(2));
	CHECK_EQ(fdt_check_full(fdt, fdt_totalsize(fdt)), 0);
	CHECK_STR(tree_str(fdt, "/chosen", "bootargs"), "console=ttyS0");
	CHECK_STR(tree_str(fdt, "/chosen", "stdout-path"), "/soc/serial@1000000");
	CHECK(tree_prop(fdt, "/chosen", "rng-seed", &len) && len == 64);
	CHECK(tree_u64(fdt, "/chosen", "kaslr-seed"));
	initrd = tree_u64(fdt, "/chosen", "linux,initrd-start");
	CHECK_EQ(tree_u64(fdt, "/chosen", "linux,initrd-end"), initrd + 7);
	CHECK_EQ(memory_read(t.m.memory, initrd, buf, 7), 0);
	CHECK_STR(buf, "initrd!");
	CHECK_EQ(get_be64((const char *)tree_prop(fdt, "/memory@80000000", "reg", NULL) + 8), TM_RAM);
	CHECK_EQ(tree_u32(fdt, "/cpus/cpu@1", "reg"), 1);
	CHECK_STR(tree_str(fdt, "/cpus/cpu@1", "enable-method"), "psci");
	CHECK(fdt_node_offset_by_phandle(fdt, tree_u32(fdt, "/cpus/cpu-map/cluster0/core1", "cpu")) == fdt_path_offset(fdt, "/cpus/cpu@1"));
	CHECK(fdt_path_offset(fdt, "/cpus/cpu@2") < 0);
	CHECK_STR(tree_str(fdt, "/psci", "method"), "hvc");
	CHECK(fdt_stringlist_contains(tree_str(fdt, "/psci", "compatible"), 34, "arm,psci-0.2"));
	/* secure 13, physical 14, virtual 11, hypervisor 10 */
	CHECK(tree_prop(fdt, "/timer", "interrupts", &len) && len == 48);
	CHECK(cell(fdt, "/timer", "interrupts", 1) == 13 && cell(fdt, "/timer", "interrupts", 4) == 14);
	CHECK(cell(fdt, "/timer", "interrupts", 7) == 11 && cell(fdt, "/timer", "interrupts", 10) == 10);
	CHECK(cell(fdt, "/pmu", "interrupts", 0) == 1 && cell(fdt, "/pmu", "interrupts", 1) == 7);
	CHECK_EQ(tree_u32(fdt, "/", "interrupt-parent"), tree_u32(fdt, "/soc/interrupt-controller@3fff0000", "phandle"));
	/* SPI 1, rising edge */
	CHECK(cell(fdt, "/soc/thing@3000000", "interrupts", 0) == 0 && cell(fdt, "/soc/thing@3000000", "interrupts", 1) == 1);
	CHECK_EQ(cell(fdt, "/soc/thing@3000000", "interrupts", 2), 1);
	free(fdt);
	tm_destroy(&t);
	close(fd);
	close(fd2);
}

/* Where the low RAM is taken by the kernel, tree and initrd still lie in the window that booting.rst gives them. */
static void test_window(void)
{
	char path[32], initrd_path[32];
	int fd, fd2 = tm_file("initrd!", 7, initrd_path);
	struct err e = { 0 };
	uint64_t dtb, initrd;
	void *fdt;

	make_image(0, GIB(1), 0xa);
	fd = tm_file(image, sizeof(image), path);
	for (unsigned int i = 0; i < 2; i++) {
		tm_init(&t, 1);
		t.m.ram_size = i ? GIB(48) : GIB(3);
		t.m.ram_base = i ? GIB(3) + MIB(64) : ARM64_RAM_BASE;
		CHECK_EQ(start(path, initrd_path, &e), 0);
		dtb = tm_reg(&t, 0, ARM64_REG_X(0));
		fdt = tm_tree(t.m.memory, dtb);
		initrd = fdt ? tree_u64(fdt, "/chosen", "linux,initrd-start") : 0;
		CHECK(dtb > t.m.ram_base + GIB(1) && initrd > t.m.ram_base + GIB(1));
		CHECK(dtb < (i ? GIB(35) : GIB(5)) && initrd + 7 <= (i ? GIB(35) : GIB(5)));
		CHECK(!i || dtb > GIB(34)); /* as high as they may */
		free(fdt);
		tm_destroy(&t);
	}
	close(fd);
	close(fd2);
}

/* Trees that differ: a hypervisor, a 32-bit guest, many vCPUs, RAM elsewhere; dtc has nothing to say of any. */
static void test_machines(void)
{
	char path[32], out[32];
	int fd, fd2;
	struct err e = { 0 };
	void *fdt;

	make_image(0, 0x10000, 0xa);
	fd = tm_file(image, sizeof(image), path);
	fd2 = tm_file("old", 3, out);
	snprintf(out, sizeof(out), "/proc/%d/fd/%d", (int)getpid(), fd2);
	for (unsigned int i = 0; i < 4; i++) {
		tm_init(&t, i == 1 ? 16 : 1);
		t.m.boot.dump_dtb = out;
		if (i == 0)
			tm_option(&t, "nested", NULL, &e);
		if (i == 2)
			t.m.ram_base = GIB(3);
		if (i == 3)
			tm_option(&t, "irqchip", "gicv2m", &e);
		tm_option(&t, "kaslr-seed", "0x1234", &e);
		CHECK_EQ(start(path, NULL, &e), 0);
		CHECK_STR(e.text, "");
		fdt = tm_tree(t.m.memory, tm_reg(&t, 0, ARM64_REG_X(0)));
		CHECK(fdt);
		CHECK_EQ(tree_u64(fdt, "/chosen", "kaslr-seed"), 0x1234);
		CHECK_STR(tree_str(fdt, "/psci", "method"), i ? "hvc" : "smc");
		CHECK_EQ(cell(fdt, "/timer", "interrupts", 13), i ? 0xdeadbeef : 12);
		if (i == 1)
			CHECK_EQ(tree_u32(fdt, "/cpus/cpu@f", "reg"), 15);
		if (i == 2) {
			CHECK_EQ(tm_reg(&t, 0, ARM64_REG_PC), GIB(3));
			CHECK_EQ(get_be64(tree_prop(fdt, "/memory@c0000000", "reg", NULL)), GIB(3));
		}
		CHECK_EQ(dtc_complaints(out), 0);
		free(fdt);
		tm_destroy(&t);
	}
	close(fd);
	close(fd2);
}

static void test_headers(void)
{
	static const struct {
		uint64_t text_offset, image_size, flags, entry; /* 0: refused */
		const char *word;
	} cases[] = {
		{ 0, 0x10000, 0, ARM64_RAM_BASE, NULL },
		{ 0x80000, 0x10000, 2, ARM64_RAM_BASE + 0x80000, NULL },
		{ 0x80000, 0x10000, 6, ARM64_RAM_BASE + 0x80000, NULL },
		/* before 3.17: no size, and an offset in whatever byte order */
		{ 0x8000000000000, 0, 0, ARM64_RAM_BASE + 0x80000, NULL },
		{ 0, 0x10000, 1, 0, "big-endian" },
		{ 0x123, 0x10000, 0, 0, "wild text offset" },
		{ UINT64_MAX & ~0xfffull, 0x10000, 0, 0, "wild text offset" },
		{ 0, MIB(65), 0, 0, "-m" },
		{ MIB(63), MIB(2), 0, 0, "-m" },
		{ 0, UINT64_MAX, 0, 0, "-m" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = { 0 };
		char path[32];
		int fd, r;

		make_image(cases[i].text_offset, cases[i].image_size, cases[i].flags);
		fd = tm_file(image, sizeof(image), path);
		tm_init(&t, 1);
		r = start(path, NULL, &e);
		if (cases[i].entry) {
			CHECK_STR(e.text, "");
			CHECK_EQ(tm_reg(&t, 0, ARM64_REG_PC), cases[i].entry);
		} else {
			CHECK(r < 0 && strstr(e.text, cases[i].word));
		}
		tm_destroy(&t);
		close(fd);
	}
}

static void test_flat_and_32bit(void)
{
	static uint8_t flat[4096], zimage[4096];
	struct err e = { 0 };
	char path[32];
	void *fdt;
	int fd;

	for (unsigned int i = 0; i < sizeof(flat); i += 4)
		put_le32(flat + i, 0xd503201f); /* nop */
	fd = tm_file(flat, sizeof(flat), path);
	tm_init(&t, 1);
	CHECK_EQ(start(path, NULL, &e), 0);
	CHECK_EQ(tm_reg(&t, 0, ARM64_REG_PC), ARM64_RAM_BASE + 0x80000);
	tm_destroy(&t);
	close(fd);

	put_le32(zimage + 36, 0x016f2818);
	put_le32(zimage + 44, sizeof(zimage));
	fd = tm_file(zimage, sizeof(zimage), path);
	tm_init(&t, 1);
	tm_option(&t, "aarch32", NULL, &e);
	CHECK_EQ(start(path, NULL, &e), 0);
	CHECK_STR(e.text, "");
	CHECK_EQ(tm_reg(&t, 0, ARM64_REG_PC), ARM64_RAM_BASE + 0x8000);
	CHECK_EQ(tm_reg(&t, 0, ARM64_REG_X(0)), 0);
	CHECK_EQ(tm_reg(&t, 0, ARM64_REG_X(1)), UINT32_MAX);
	fdt = tm_tree(t.m.memory, tm_reg(&t, 0, ARM64_REG_X(2)));
	CHECK(fdt && !tree_prop(fdt, "/pmu", "compatible", NULL));
	CHECK_EQ(tree_u32(fdt, "/psci", "cpu_on"), 0x84000003);
	free(fdt);
	tm_destroy(&t);
	/* and neither takes the other's */
	tm_init(&t, 1);
	CHECK(start(path, NULL, &e) < 0 && strstr(e.text, "zImage") && strstr(e.text, "arm64"));
	tm_destroy(&t);
	close(fd);
	e = (struct err){ 0 };
	make_image(0, 0x10000, 0);
	fd = tm_file(image, sizeof(image), path);
	tm_init(&t, 1);
	tm_option(&t, "aarch32", NULL, &e);
	CHECK(start(path, NULL, &e) < 0 && strstr(e.text, "32-bit arm"));
	tm_destroy(&t);
	close(fd);
}

/* After a restart everything is as at first, whatever the guest did. */
static void test_restart(void)
{
	struct err e = { 0 };
	char path[32], dirt[64];
	uint8_t head[64];
	uint64_t dtb;
	void *fdt;
	int fd;

	make_image(0, 0x10000, 0);
	fd = tm_file(image, sizeof(image), path);
	tm_init(&t, 2);
	CHECK_EQ(start(path, NULL, &e), 0);
	dtb = tm_reg(&t, 0, ARM64_REG_X(0));
	CHECK(t.seen[0].n_init == 1 && t.seen[1].n_init == 1);
	memset(dirt, 0xee, sizeof(dirt));
	memory_write(t.m.memory, ARM64_RAM_BASE, dirt, sizeof(dirt));
	memory_write(t.m.memory, ARM64_RAM_BASE + MIB(40), dirt, sizeof(dirt));
	memory_write(t.m.memory, ARM64_PVTIME_BASE, dirt, sizeof(dirt));
	memory_write(t.m.memory, dtb, dirt, sizeof(dirt));
	tm_set_reg(&t, 0, ARM64_REG_PC, 0xffffffff80001234);
	tm_set_reg(&t, 0, ARM64_REG_X(1), 77);
	CHECK_EQ(arch_arm64.load(&t.m, &e), 0);
	CHECK_STR(e.text, "");
	CHECK(t.seen[0].n_init == 2 && t.seen[1].n_init == 2);
	CHECK(!(t.seen[0].init.features[0] & 1u << KVM_ARM_VCPU_POWER_OFF));
	CHECK(t.seen[1].init.features[0] & 1u << KVM_ARM_VCPU_POWER_OFF);
	CHECK_EQ(t.seen[0].n_finalize, 1); /* SVE stays what it is */
	CHECK_EQ(tm_reg(&t, 0, ARM64_REG_PC), ARM64_RAM_BASE);
	CHECK_EQ(tm_reg(&t, 0, ARM64_REG_X(0)), dtb);
	CHECK_EQ(tm_reg(&t, 0, ARM64_REG_X(1)), 0);
	memory_read(t.m.memory, ARM64_RAM_BASE, head, sizeof(head));
	CHECK(!memcmp(head, image, sizeof(head)));
	memory_read(t.m.memory, ARM64_RAM_BASE + MIB(40), head, sizeof(head));
	CHECK_EQ(head[0] | head[63], 0);
	memory_read(t.m.memory, ARM64_PVTIME_BASE, head, sizeof(head));
	CHECK_EQ(head[0] | head[63], 0);
	fdt = tm_tree(t.m.memory, dtb);
	CHECK(fdt);
	free(fdt);
	tm_destroy(&t);
	close(fd);
}

/* Every host call fails once: an error with a sentence, or the machine does without; nothing leaks. */
static void test_host_failures(void)
{
	unsigned int failed = 0, survived = 0;
	char path[32];
	int fd;

	make_image(0, 0x10000, 0);
	fd = tm_file(image, sizeof(image), path);
	for (unsigned long n = 1;; n++) {
		struct err e = { 0 };
		bool done;
		int r;

		tm_init(&t, 2);
		tm_option(&t, "pmu", NULL, &e);
		tm_option(&t, "sve-max-vl", "256", &e);
		tm_option(&t, "counter-offset", "5", &e);
		tm_option(&t, "cpu-id", "ID_AA64ISAR0_EL1=0", &e);
		t.scripted.fail_nth = n;
		t.scripted.fail_errno = EIO;
		r = start(path, NULL, &e);
		if (r >= 0)
			r = arch_arm64.load(&t.m, &e);
		done = hv_scripted_calls(t.m.hv) < n;
		if (!done && r < 0) {
			CHECK(*e.text);
			failed++;
		} else if (!done) {
			CHECK_STR(e.text, "");
			survived++;
		}
		tm_destroy(&t);
		if (done) {
			CHECK_EQ(r, 0);
			break;
		}
		CHECK(n < 10000);
	}
	printf("failing calls: %u refused, %u did not matter\n", failed, survived);
	CHECK(failed > 30);
	close(fd);
}

/* Firmware lies where it is asked for, as it is, and the tree behind it; its initrd is its own business. */
static void test_firmware(void)
{
	static const struct {
		uint64_t at;
		const char *says; /* NULL: it works */
	} cases[] = {
		{ 0, NULL },
		{ ARM64_RAM_BASE, NULL },
		{ ARM64_RAM_BASE + MIB(4) + 4, NULL },
		{ ARM64_RAM_BASE + TM_RAM - MIB(4), NULL },
		{ ARM64_RAM_BASE + TM_RAM - MIB(2), "-m" },
		{ ARM64_RAM_BASE + TM_RAM - 4, "-m" },
		{ ARM64_RAM_BASE - 4, "no place for code" },
		{ ARM64_RAM_BASE + TM_RAM, "no place for code" },
		{ ARM64_RAM_BASE + 2, "no place for code" },
		{ UINT64_MAX - 3, "no place for code" },
	};
	char path[32], initrd_path[32];
	int fd, fd2 = tm_file("initrd!", 7, initrd_path);
	uint8_t back[sizeof(image)];
	struct err e;

	make_image(0, 0x100000, 0xa);
	memset(image, 0x55, 64); /* no header, which nobody asks for */
	fd = tm_file(image, sizeof(image), path);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t at = cases[i].at ? cases[i].at : ARM64_RAM_BASE, dtb;
		void *fdt;
		int r;

		tm_init(&t, 1);
		e = (struct err){ 0 };
		t.m.boot.firmware = path;
		t.m.boot.firmware_address = cases[i].at;
		r = start(NULL, initrd_path, &e);
		CHECK_EQ(r < 0, cases[i].says != NULL);
		if (r < 0) {
			CHECK(cases[i].says && strstr(e.text, cases[i].says));
			tm_destroy(&t);
			continue;
		}
		dtb = tm_reg(&t, 0, ARM64_REG_X(0));
		CHECK_EQ(tm_reg(&t, 0, ARM64_REG_PC), at);
		CHECK_EQ(dtb, round_up(at + sizeof(image), MIB(2)) + (at < ARM64_RAM_BASE + TM_RAM - MIB(4) ? MIB(2) : 0));
		CHECK_EQ(memory_read(t.m.memory, at, back, sizeof(back)), 0);
		CHECK(!memcmp(back, image, sizeof(back)));
		fdt = tm_tree(t.m.memory, dtb);
		CHECK(fdt && !tree_prop(fdt, "/chosen", "linux,initrd-start", NULL));
		free(fdt);
		tm_destroy(&t);
	}
	tm_init(&t, 1);
	e = (struct err){ 0 };
	t.m.boot.firmware = "/nonexistent/fw";
	CHECK_EQ(start(NULL, NULL, &e), -ENOENT);
	CHECK_STR(e.text, "Unable to open firmware /nonexistent/fw: No such file or directory");
	tm_destroy(&t);
	close(fd);
	close(fd2);
}

int main(void)
{
	test_image();
	test_window();
	test_machines();
	test_headers();
	test_flat_and_32bit();
	test_firmware();
	test_restart();
	test_host_failures();
	return test_result();
}
