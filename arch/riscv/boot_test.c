// SPDX-License-Identifier: MIT
#include <sys/utsname.h>

#include "arch/riscv/aia.h"
#include "arch/riscv/test_machine.h"
#include "tests/dtc.h"
#include "tests/test.h"

static uint8_t image[0x3000];

static void node(void *ctx, struct dt *dt)
{
	const struct irq_line *line = ctx;

	dt_begin(dt, "thing@%x", 0x10020000);
	dt_prop_reg(dt, 0x10020000, 0x1000);
	dt_prop_irq(dt, line);
	dt_end(dt);
}

static void check_common(const void *fdt, unsigned int harts)
{
	char path[64];
	int len;

	CHECK_EQ(fdt_check_full(fdt, fdt_totalsize(fdt)), 0);
	CHECK_EQ(tree_u32(fdt, "/", "#address-cells"), 2);
	CHECK(!tree_prop(fdt, "/", "interrupt-parent", NULL)); /* or Linux takes the PLIC for the parent of each hart's controller */
	CHECK_STR(tree_str(fdt, "/chosen", "bootargs"), "console=ttyS0");
	CHECK_STR(tree_str(fdt, "/chosen", "stdout-path"), "/soc/serial@10000000");
	CHECK(tree_prop(fdt, "/chosen", "rng-seed", &len) && len == 64);
	CHECK(tree_u64(fdt, "/chosen", "kaslr-seed"));
	CHECK(tree_prop(fdt, "/memory@80000000", "reg", &len) && len == 16);
	CHECK_EQ(get_be64((const char *)tree_prop(fdt, "/memory@80000000", "reg", NULL) + 8), TM_RAM);
	CHECK_EQ(tree_u32(fdt, "/cpus", "timebase-frequency"), 10000000);
	for (unsigned int i = 0; i < harts; i++) {
		snprintf(path, sizeof(path), "/cpus/cpu@%u", i);
		CHECK_EQ(tree_u32(fdt, path, "reg"), i);
		CHECK_STR(tree_str(fdt, path, "mmu-type"), "riscv,sv48");
		CHECK(!strncmp(tree_str(fdt, path, "riscv,isa"), "rv64imafdc_", 11));
		CHECK_STR(tree_str(fdt, path, "riscv,isa-base"), "rv64i");
		CHECK(fdt_stringlist_search(fdt, fdt_path_offset(fdt, path), "riscv,isa-extensions", "zbb") >= 6);
		CHECK_EQ(tree_u32(fdt, path, "riscv,cbom-block-size"), 64);
		CHECK(!tree_prop(fdt, path, "riscv,cboz-block-size", NULL));
		snprintf(path, sizeof(path), "/cpus/cpu-map/cluster0/core%u", i);
		CHECK(fdt_node_offset_by_phandle(fdt, tree_u32(fdt, path, "cpu")) > 0);
		snprintf(path, sizeof(path), "/cpus/cpu@%u/interrupt-controller", i);
		CHECK(tree_u32(fdt, path, "phandle"));
	}
	snprintf(path, sizeof(path), "/cpus/cpu@%u", harts);
	CHECK(fdt_path_offset(fdt, path) < 0);
}

static void test_plic(void)
{
	struct test_machine t;
	struct irq_line line, other;
	struct err e = { 0 };
	char path[32], initrd_path[32];
	uint64_t initrd;
	int fd = tm_file(image, sizeof(image), path), fd2 = tm_file("initrd!", 7, initrd_path), len;
	char buf[8] = "";
	uint32_t mp;
	void *fdt;

	tm_init(&t, 2, false);
	t.m.boot.kernel = path;
	t.m.boot.initrd = initrd_path;
	t.m.stdout_path = "/serial@10000000";
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK_EQ(arch_riscv64.alloc_irq(&t.m, IRQ_EDGE, &line, &e), 0);
	CHECK_EQ(arch_riscv64.alloc_irq(&t.m, IRQ_LEVEL, &other, &e), 0);
	CHECK(line.n == 1 && other.n == 2 && line.trigger == IRQ_LEVEL);
	t.m.node[t.m.n_nodes++] = (struct machine_node){ node, &line };
	CHECK_EQ(arch_riscv64.load(&t.m, &e), 0);
	CHECK_STR(e.text, "");

	CHECK_EQ(tm_reg(&t, 0, RISCV_REG_CORE(regs.pc)), RISCV_RAM_BASE + 0x200000);
	CHECK_EQ(tm_reg(&t, 0, RISCV_REG_CORE(regs.a0)), 0);
	CHECK_EQ(t.m.hv->ops->get_mp_state(t.vcpus[0].hv, &mp), 0);
	CHECK_EQ(mp, KVM_MP_STATE_RUNNABLE);
	CHECK_EQ(t.m.hv->ops->get_mp_state(t.vcpus[1].hv, &mp), 0);
	CHECK_EQ(mp, KVM_MP_STATE_STOPPED);
	fdt = tm_tree(t.m.memory, tm_reg(&t, 0, RISCV_REG_CORE(regs.a1)));
	CHECK(fdt);
	if (fdt) {
		check_common(fdt, 2);
		CHECK(!fdt_node_check_compatible(fdt, fdt_path_offset(fdt, "/soc"), "simple-bus"));
		CHECK(fdt_node_offset_by_compatible(fdt, -1, "sifive,plic-1.0.0") > 0);
		CHECK_EQ(fdt_node_offset_by_phandle(fdt, tree_u32(fdt, "/soc", "interrupt-parent")),
			 fdt_node_offset_by_compatible(fdt, -1, "sifive,plic-1.0.0"));
		CHECK_EQ(tree_u32(fdt, "/soc/thing@10020000", "interrupts"), 1);
		initrd = tree_u64(fdt, "/chosen", "linux,initrd-start");
		CHECK_EQ(tree_u64(fdt, "/chosen", "linux,initrd-end"), initrd + 7);
		CHECK(!memory_read(t.m.memory, initrd, buf, 7));
		CHECK_STR(buf, "initrd!");
		CHECK(initrd >= RISCV_RAM_BASE + 0x200000 + MIB(16)); /* beyond the kernel's bss */
		CHECK(tree_prop(fdt, "/soc/thing@10020000", "interrupts", &len) && len == 4);
	}
	free(fdt);
	tm_destroy(&t);
	close(fd);
	close(fd2);
}

static void root_node(void *ctx, struct dt *dt)
{
	dt_begin(dt, "finisher");
	dt_prop_string(dt, "compatible", "test,thing");
	dt_end(dt);
}

static void test_aia(void)
{
	struct test_machine t;
	struct irq_line edge, level;
	struct err e = { 0 };
	char path[32], dtb[64];
	int fd = tm_file(image, sizeof(image), path), len;
	const void *p;
	void *fdt;

	snprintf(dtb, sizeof(dtb), "/tmp/lkvm-boot-test-%d.dtb", (int)getpid());
	tm_init(&t, 4, true);
	t.m.boot.kernel = path;
	t.m.boot.dump_dtb = dtb;
	t.m.stdout_path = "/soc/serial@10000000";
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK_EQ(t.n_init, 1);
	CHECK_EQ(t.aplic, RISCV_APLIC_BASE);
	for (unsigned int i = 0; i < 4; i++)
		CHECK_EQ(t.imsic[i], RISCV_IRQCHIP_BASE + i * 0x1000);
	CHECK_EQ(arch_riscv64.alloc_irq(&t.m, IRQ_EDGE, &edge, &e), 0);
	CHECK_EQ(arch_riscv64.alloc_irq(&t.m, IRQ_LEVEL, &level, &e), 0);
	CHECK(edge.trigger == IRQ_EDGE && level.trigger == IRQ_LEVEL);
	irq_pulse(&edge);
	irq_pulse(&edge);
	CHECK_STR(t.lines, "UDUD");
	irq_set(&level, true);
	irq_set(&level, true); /* idempotent */
	irq_set(&level, false);
	irq_set(&level, false);
	CHECK_STR(t.lines, "UDUDUD");
	t.m.node[t.m.n_nodes++] = (struct machine_node){ node, &edge };
	t.m.node[t.m.n_nodes++] = (struct machine_node){ .write = root_node, .root = true };
	CHECK_EQ(arch_riscv64.load(&t.m, &e), 0);
	CHECK_EQ(dtc_complaints(dtb), 0);
	CHECK_EQ(unlink(dtb), 0);
	fdt = tm_tree(t.m.memory, tm_reg(&t, 0, RISCV_REG_CORE(regs.a1)));
	CHECK(fdt);
	if (fdt) {
		check_common(fdt, 4);
		CHECK(fdt_path_offset(fdt, "/finisher") > 0 && fdt_path_offset(fdt, "/soc/finisher") < 0);
		CHECK_EQ(fdt_node_offset_by_phandle(fdt, tree_u32(fdt, "/soc", "interrupt-parent")),
			 fdt_node_offset_by_compatible(fdt, -1, "riscv,aplic"));
		CHECK_EQ(tree_u32(fdt, "/soc/aplic@c000000", "riscv,num-sources"), RISCV_N_IRQS);
		CHECK_EQ(tree_u32(fdt, "/soc/imsics@8000000", "riscv,num-ids"), 255);
		CHECK_EQ(fdt_node_offset_by_phandle(fdt, tree_u32(fdt, "/soc/aplic@c000000", "msi-parent")),
			 fdt_path_offset(fdt, "/soc/imsics@8000000"));
		p = tree_prop(fdt, "/soc/imsics@8000000", "interrupts-extended", &len);
		CHECK(p && len == 4 * 8);
		CHECK(p && get_be32((const char *)p + 3 * 8 + 4) == 9);
		p = tree_prop(fdt, "/soc/thing@10020000", "interrupts", &len);
		CHECK(p && len == 8 && get_be32(p) == 1 && get_be32((const char *)p + 4) == 1);
	}
	free(fdt);
	/* all sources given out, then a sentence */
	for (unsigned int i = 2; i < RISCV_N_IRQS; i++)
		CHECK_EQ(arch_riscv64.alloc_irq(&t.m, IRQ_EDGE, &edge, &e), 0);
	CHECK(arch_riscv64.alloc_irq(&t.m, IRQ_EDGE, &edge, &e) < 0 && strstr(e.text, "interrupts"));
	tm_destroy(&t);
	close(fd);
}

/* KVM's lost wake-ups, cured in Linux 6.17. */
static void test_wakeups(void)
{
	static const char *const loses[] = { "6.5.0", "6.12.107+deb13-riscv64", "6.16.12-rc1", "5.10", "6" };
	static const char *const keeps[] = { "6.17.0", "6.17-rc3", "6.100.1", "7.0", "7.3.4-trixie", "10.1" };

	for (unsigned int i = 0; i < ARRAY_SIZE(loses); i++)
		CHECK(aia_loses_wakeups(loses[i]));
	for (unsigned int i = 0; i < ARRAY_SIZE(keeps); i++)
		CHECK(!aia_loses_wakeups(keeps[i]));
}

struct findings {
	char wrong[512]; /* of what is said not to be there */
	unsigned int files, legacy;
};

static void on_finding(void *ctx, const char *what, bool present, const char *cure)
{
	struct findings *f = ctx;

	CHECK(present == !cure);
	f->legacy += strstr(what, "SBI extension legacy (its calls work only if") != NULL;
	if (!strstr(what, "guest interrupt files"))
		return;
	f->files++;
	if (cure)
		snprintf(f->wrong, sizeof(f->wrong), "%s", cure);
}

/* On kernels whose guest interrupt files lose wake-ups the files are emulated, and the doctor says so; elsewhere KVM chooses. */
static void test_emulated_files(void)
{
	const struct aia_config config = { .n_vcpus = 2, .n_sources = 96, .aplic_base = RISCV_APLIC_BASE, .imsic_base = RISCV_IRQCHIP_BASE };
	bool loses = aia_host_loses_wakeups();
	struct utsname host;

	CHECK(!uname(&host) && aia_loses_wakeups(host.release) == loses);
	for (unsigned int emulate = 0; emulate < 2; emulate++) {
		struct aia_config c = config;
		struct findings f = { 0 };
		struct aia *aia = NULL;
		struct test_machine t;
		struct err e = { 0 };
		uint64_t on = 1;

		tm_init(&t, 2, true);
		CHECK_EQ(tm_build(&t, &e), 0);
		CHECK_EQ(t.aia_mode, loses ? KVM_DEV_RISCV_AIA_MODE_EMUL : UINT32_MAX);
		t.aia_mode = UINT32_MAX;
		c.emulate = emulate;
		CHECK_EQ(aia_create(t.m.hv, &c, &aia, &e), 0);
		CHECK_EQ(t.aia_mode, emulate ? KVM_DEV_RISCV_AIA_MODE_EMUL : UINT32_MAX);
		aia_destroy(aia);
		tm_inner->set_reg(t.vcpus[0].hv, RISCV_REG_SBI(KVM_RISCV_SBI_EXT_V01), &on);
		arch_riscv64.doctor(t.m.hv, t.vcpus[0].hv, on_finding, &f);
		CHECK_EQ(f.files, 1);
		CHECK_EQ(f.legacy, 1);
		CHECK_EQ(strstr(f.wrong, "MODE_EMUL") != NULL, loses);
		tm_destroy(&t);
	}
}

static void test_irqchip_choice(void)
{
	static const struct {
		bool host, disable;
		enum riscv_irqchip asked, got; /* got AUTO: refused */
		bool plic;		       /* KVM has one */
	} cases[] = {
		{ false, false, RISCV_IRQCHIP_AUTO, RISCV_IRQCHIP_PLIC }, { true, false, RISCV_IRQCHIP_AUTO, RISCV_IRQCHIP_AIA },
		{ true, false, RISCV_IRQCHIP_PLIC, RISCV_IRQCHIP_PLIC },  { true, false, RISCV_IRQCHIP_AIA, RISCV_IRQCHIP_AIA },
		{ false, false, RISCV_IRQCHIP_AIA, RISCV_IRQCHIP_AUTO },  { true, true, RISCV_IRQCHIP_AUTO, RISCV_IRQCHIP_PLIC },
		{ true, true, RISCV_IRQCHIP_AIA, RISCV_IRQCHIP_AUTO },
		{ false, false, RISCV_IRQCHIP_AUTO, RISCV_IRQCHIP_PLIC_KERNEL, true }, { true, false, RISCV_IRQCHIP_AUTO, RISCV_IRQCHIP_AIA, true },
		{ true, true, RISCV_IRQCHIP_AUTO, RISCV_IRQCHIP_PLIC_KERNEL, true },   { false, false, RISCV_IRQCHIP_PLIC, RISCV_IRQCHIP_PLIC, true },
		{ true, false, RISCV_IRQCHIP_PLIC_KERNEL, RISCV_IRQCHIP_PLIC_KERNEL, true }, { true, false, RISCV_IRQCHIP_PLIC_KERNEL, RISCV_IRQCHIP_AUTO },
	};
	static const char *const names[] = { "auto", "plic", "aia", "plic-kernel" };

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct test_machine t;
		struct err e = { 0 };
		int r;

		tm_init(&t, 1, cases[i].host);
		t.plic_kernel = cases[i].plic;
		t.config.irqchip = cases[i].asked;
		t.config.disable_isa[KVM_RISCV_ISA_EXT_SSAIA] = cases[i].disable;
		r = tm_build(&t, &e);
		if (cases[i].got == RISCV_IRQCHIP_AUTO) {
			CHECK(r < 0 && strstr(e.text, "--irqchip"));
		} else {
			CHECK_EQ(r, 0);
			CHECK(riscv_state(&t.m)->irqchip == cases[i].got);
			CHECK_STR(arch_riscv64.irqchip(&t.m), names[cases[i].got]);
			CHECK(!riscv_state(&t.m)->aia == (cases[i].got != RISCV_IRQCHIP_AIA));
			CHECK(!riscv_state(&t.m)->plic == (cases[i].got != RISCV_IRQCHIP_PLIC));
			CHECK(!riscv_state(&t.m)->plic_kernel == (cases[i].got != RISCV_IRQCHIP_PLIC_KERNEL));
		}
		tm_destroy(&t);
	}
}

static void test_limits(void)
{
	static const struct {
		unsigned int cpus;
		uint64_t ram;
		const char *says; /* NULL: fine */
	} cases[] = {
		{ 8, TM_RAM, NULL }, { 0, TM_RAM, "-c" }, { 9, TM_RAM, "1 to 8" }, { 1, MIB(32), NULL }, { 1, MIB(31), "-m 32" },
		{ 1, GIB(2048) - GIB(2), NULL }, { 1, GIB(2048) - GIB(2) + MIB(1), "at most" }, { 1, UINT64_MAX, "at most" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct test_machine t;
		struct err e = { 0 };
		int r;

		tm_init(&t, cases[i].cpus, false);
		t.m.ram_size = cases[i].ram;
		r = tm_prepare(&t, &e);
		/* more than this machine's address space may be more than a sanitizer leaves: that is no failure of ours */
		if (!cases[i].says)
			CHECK(r == 0 || (r == -ENOMEM && cases[i].ram > GIB(64)));
		else
			CHECK(r < 0 && strstr(e.text, cases[i].says));
		tm_destroy(&t);
	}
}

/* After a restart everything is as at first, whatever the guest did. */
static void test_restart(void)
{
	for (int chip = 0; chip < 3; chip++) {
		bool aia = chip == 1;
		struct test_machine t;
		struct irq_line line;
		struct err e = { 0 };
		char path[32], dirt[64];
		uint8_t head[64], word[4];
		int fd = tm_file(image, sizeof(image), path);
		unsigned int attrs;
		uint64_t dtb;
		uint32_t mp;
		void *fdt;

		tm_init(&t, 2, aia);
		t.plic_kernel = chip == 2;
		t.m.boot.kernel = path;
		t.m.stdout_path = "/serial@10000000";
		CHECK_EQ(tm_build(&t, &e), 0);
		CHECK_EQ(arch_riscv64.alloc_irq(&t.m, IRQ_LEVEL, &line, &e), 0);
		CHECK_EQ(arch_riscv64.load(&t.m, &e), 0);
		dtb = tm_reg(&t, 0, RISCV_REG_CORE(regs.a1));
		attrs = t.n_attrs;

		/* the guest's life */
		memset(dirt, 0xee, sizeof(dirt));
		memory_write(t.m.memory, RISCV_RAM_BASE + 0x200000, dirt, sizeof(dirt));
		memory_write(t.m.memory, RISCV_RAM_BASE + 0x400000, dirt, sizeof(dirt));
		memory_write(t.m.memory, dtb, dirt, sizeof(dirt));
		for (unsigned int i = 0; i < 2; i++) {
			tm_set_reg(&t, i, RISCV_REG_CSR(satp), 0x8000000000080000);
			tm_set_reg(&t, i, RISCV_REG_CSR(sie), 0x222);
			tm_set_reg(&t, i, RISCV_REG_CORE(regs.pc), 0xffffffff80001234);
			t.m.hv->ops->set_mp_state(t.vcpus[i].hv, i ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_STOPPED);
		}
		if (chip == 2) {
			CHECK_EQ(arch_riscv64.load(&t.m, &e), 0);
			CHECK_EQ(t.n_plic_init, 1);
			CHECK_EQ(t.n_plic_reset, 1);
		} else if (!aia) {
			struct bus_reader reader = { 0 };

			bus_add_reader(t.m.bus, &reader);
			put_le32(word, 1);
			bus_write(t.m.bus, &reader, RISCV_IRQCHIP_BASE + 4, word, 4); /* priority of source 1 */
			put_le32(word, 2);
			bus_write(t.m.bus, &reader, RISCV_IRQCHIP_BASE + 0x2080, word, 4); /* enabled for hart 0's S mode */
			irq_set(&line, true);
			CHECK(hv_scripted_interrupt(t.vcpus[0].hv, NULL, NULL));
			irq_set(&line, false);
			CHECK_EQ(arch_riscv64.load(&t.m, &e), 0);
			CHECK(!hv_scripted_interrupt(t.vcpus[0].hv, NULL, NULL));
			bus_read(t.m.bus, &reader, RISCV_IRQCHIP_BASE + 4, word, 4);
			CHECK_EQ(get_le32(word), 0);
			bus_remove_reader(t.m.bus, &reader);
		} else {
			CHECK_EQ(arch_riscv64.load(&t.m, &e), 0);
			CHECK(t.n_attrs > attrs + 2 * RISCV_N_IRQS); /* APLIC and IMSICs written back */
			CHECK_EQ(t.n_init, 1);
		}
		CHECK_EQ(tm_reg(&t, 0, RISCV_REG_CORE(regs.pc)), RISCV_RAM_BASE + 0x200000);
		CHECK_EQ(tm_reg(&t, 0, RISCV_REG_CORE(regs.a1)), dtb);
		for (unsigned int i = 0; i < 2; i++) {
			CHECK_EQ(tm_reg(&t, i, RISCV_REG_CSR(satp)), 0);
			CHECK_EQ(tm_reg(&t, i, RISCV_REG_CSR(sie)), 0);
			t.m.hv->ops->get_mp_state(t.vcpus[i].hv, &mp);
			CHECK_EQ(mp, i ? KVM_MP_STATE_STOPPED : KVM_MP_STATE_RUNNABLE);
		}
		CHECK(!memory_read(t.m.memory, RISCV_RAM_BASE + 0x200000, head, 64) && !memcmp(head, image, 64));
		CHECK(!memory_read(t.m.memory, RISCV_RAM_BASE + 0x400000, head, 64) && !head[0] && !head[63]); /* its bss */
		fdt = tm_tree(t.m.memory, tm_reg(&t, 0, RISCV_REG_CORE(regs.a1)));
		CHECK(fdt);
		if (fdt)
			check_common(fdt, 2);
		free(fdt);
		tm_destroy(&t);
		close(fd);
	}
}

static void test_refusals(void)
{
	uint8_t bad[sizeof(image)];
	struct test_machine t;
	struct err e = { 0 };
	char path[32], big[32];
	int fd, fd2;

	tm_init(&t, 1, false);
	t.m.boot.kernel = "/nonexistent/Image";
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK(arch_riscv64.load(&t.m, &e) < 0);
	CHECK_STR(e.text, "Unable to open kernel /nonexistent/Image: No such file or directory");
	tm_destroy(&t);

	tm_init(&t, 1, false);
	e = (struct err){ 0 };
	memcpy(bad, image, sizeof(bad));
	bad[24] = 1;
	fd = tm_file(bad, sizeof(bad), path);
	t.m.boot.kernel = path;
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK(arch_riscv64.load(&t.m, &e) < 0 && strstr(e.text, "big-endian") && strstr(e.text, path));
	tm_destroy(&t);
	close(fd);

	/* an initrd that fits into RAM, but not beside the kernel */
	tm_init(&t, 1, false);
	e = (struct err){ 0 };
	fd = tm_file(image, sizeof(image), path);
	fd2 = memfd_create("big", MFD_CLOEXEC);
	if (ftruncate(fd2, (off_t)MIB(50)) < 0)
		abort();
	snprintf(big, sizeof(big), "/proc/self/fd/%d", fd2);
	t.m.boot.kernel = path;
	t.m.boot.initrd = big;
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK(arch_riscv64.load(&t.m, &e) < 0 && strstr(e.text, "-m") && strstr(e.text, "initrd"));
	tm_destroy(&t);
	close(fd);
	close(fd2);
}

/* Every host call fails once: an error with a sentence, or the machine does without; nothing leaks. */
static void test_host_failures(void)
{
	for (int chip = 0; chip < 3; chip++) {
		unsigned long n, calls = 0;

		for (n = 1; n < 3000; n++) {
			struct test_machine t;
			struct err e = { 0 };
			char path[32];
			int fd = tm_file(image, sizeof(image), path), r;

			tm_init(&t, 2, chip == 1);
			t.plic_kernel = chip == 2;
			if (chip == 2)
				t.config.irqchip = RISCV_IRQCHIP_PLIC_KERNEL;
			t.scripted.fail_nth = n;
			t.scripted.fail_errno = EIO;
			t.m.boot.kernel = path;
			r = tm_build(&t, &e);
			if (r >= 0)
				r = arch_riscv64.load(&t.m, &e);
			if (r >= 0)
				r = arch_riscv64.load(&t.m, &e);
			CHECK(r >= 0 || *e.text);
			calls = t.m.hv ? hv_scripted_calls(t.m.hv) : 0;
			tm_destroy(&t);
			close(fd);
			if (r >= 0 && calls < n)
				break;
		}
		CHECK(n > 20 && n < 3000);
	}
}

static void test_dump_dtb(void)
{
	struct test_machine t;
	struct err e = { 0 };
	char path[32], out[32];
	int fd = tm_file(image, sizeof(image), path), fd2 = tm_file("old", 3, out);
	uint8_t head[4] = { 0 };

	tm_init(&t, 1, false);
	t.m.boot.kernel = path;
	t.m.boot.dump_dtb = out;
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK_EQ(arch_riscv64.load(&t.m, &e), 0);
	CHECK(sys_pread_all(fd2, head, 4, 0) == 4 && get_be32(head) == FDT_MAGIC);
	t.m.boot.dump_dtb = "/nonexistent/x.dtb";
	CHECK(arch_riscv64.load(&t.m, &e) < 0 && strstr(e.text, "--dump-dtb"));
	tm_destroy(&t);
	close(fd);
	close(fd2);
}

int main(void)
{
	tm_image(image, sizeof(image), MIB(16));
	test_plic();
	test_aia();
	test_wakeups();
	test_emulated_files();
	test_irqchip_choice();
	test_limits();
	test_restart();
	test_refusals();
	test_host_failures();
	test_dump_dtb();
	return test_result();
}
