// SPDX-License-Identifier: MIT
#include <elf.h>

#include "arch/s390x/test_machine.h"
#include "tests/test.h"

static struct test_machine t;

#define KERNEL_SIZE 0x20000

static uint8_t kernel[KERNEL_SIZE];

/* A raw kernel file: entered at 0x10000, with Linux's mark. */
static void make_kernel(uint64_t cmdline_max)
{
	memset(kernel, 0, sizeof(kernel));
	memset(kernel + 0x10000, 0x47, 8);
	memcpy(kernel + 0x10008, "S390EP", 6);
	put_be64(kernel + 0x10430, cmdline_max);
}

static int load(const void *data, size_t len, const void *initrd, size_t initrd_len, uint64_t ram, const char *cmdline, struct err *e)
{
	static char path[2][32];
	int fd = tm_file(data, len, path[0]), fd2 = initrd ? tm_file(initrd, initrd_len, path[1]) : -1, r;

	*e = (struct err){ 0 };
	tm_init(&t, 2);
	t.m.ram_size = ram;
	t.m.boot.kernel = path[0];
	t.m.boot.initrd = initrd ? path[1] : NULL;
	t.m.boot.cmdline = cmdline;
	CHECK_EQ(tm_build(&t, e), 0);
	r = arch_s390x.load(&t.m, e);
	close(fd);
	if (fd2 >= 0)
		close(fd2);
	return r;
}

static uint64_t word(uint64_t addr)
{
	uint8_t v[8];

	return memory_read(t.m.memory, addr, v, sizeof(v)) < 0 ? UINT64_MAX : get_be64(v);
}

static void test_linux(void)
{
	static uint8_t initrd[100000];
	char text[32] = "";
	struct err e;

	memset(initrd, 0x77, sizeof(initrd));
	make_kernel(4096);
	CHECK_EQ(load(kernel, sizeof(kernel), initrd, sizeof(initrd), TM_RAM, "console=ttysclp0 quiet", &e), 0);
	CHECK_EQ(*tm_regs(&t, 0)->psw_mask, 0x0000000180000000);
	CHECK_EQ(*tm_regs(&t, 0)->psw_addr, 0x10000);
	memory_read(t.m.memory, 0x10480, text, 23);
	CHECK_STR(text, "console=ttysclp0 quiet");
	CHECK_EQ(word(0x10408), MIB(32));
	CHECK_EQ(word(0x10410), sizeof(initrd));
	CHECK_EQ(word(MIB(32)), 0x7777777777777777);
	CHECK_EQ(t.seen[1].n_clear, 1);
	/* Again, as after a reset: the same, and nothing of what the guest wrote. */
	memory_zero(t.m.memory, 0x10480, 16);
	memory_write(t.m.memory, MIB(48), "left", 4);
	CHECK_EQ(arch_s390x.load(&t.m, &e), 0);
	memory_read(t.m.memory, 0x10480, text, 23);
	CHECK_STR(text, "console=ttysclp0 quiet");
	CHECK_EQ(word(MIB(48)), 0);
	tm_destroy(&t);
	/* Little RAM: the initrd goes to its end. */
	CHECK_EQ(load(kernel, sizeof(kernel), initrd, sizeof(initrd), MIB(32), "x", &e), 0);
	CHECK_EQ(word(0x10408), round_down(MIB(32) - sizeof(initrd), 4096));
	tm_destroy(&t);
}

/* The command line's room is what the kernel says, or what kernels had that said nothing. */
static void test_cmdline(void)
{
	static char text[5000];
	struct err e;

	memset(text, 'x', sizeof(text) - 1);
	text[4095] = 0;
	make_kernel(4096);
	CHECK_EQ(load(kernel, sizeof(kernel), NULL, 0, TM_RAM, text, &e), 0);
	tm_destroy(&t);
	text[4095] = 'x';
	text[4096] = 0;
	CHECK_EQ((uint64_t)load(kernel, sizeof(kernel), NULL, 0, TM_RAM, text, &e), (uint64_t)-E2BIG);
	CHECK(strstr(e.text, "4095"));
	tm_destroy(&t);
	make_kernel(0);
	text[896] = 0;
	CHECK_EQ((uint64_t)load(kernel, sizeof(kernel), NULL, 0, TM_RAM, text, &e), (uint64_t)-E2BIG);
	tm_destroy(&t);
	text[895] = 0;
	CHECK_EQ(load(kernel, sizeof(kernel), NULL, 0, TM_RAM, text, &e), 0);
	tm_destroy(&t);
	/* A wild number counts for none. */
	make_kernel(UINT64_MAX);
	CHECK_EQ(load(kernel, sizeof(kernel), NULL, 0, TM_RAM, text, &e), 0);
	tm_destroy(&t);
}

static void test_flat(void)
{
	uint8_t flat[64] = { 0 };
	struct err e;

	put_be64(flat, UINT64_C(0x0008000080000020));
	CHECK_EQ(load(flat, sizeof(flat), NULL, 0, TM_RAM, "", &e), 0);
	CHECK_EQ(*tm_regs(&t, 0)->psw_mask, 0x80000000);
	CHECK_EQ(*tm_regs(&t, 0)->psw_addr, 0x20);
	CHECK_EQ(word(0), 0x0008000080000020);
	tm_destroy(&t);
	flat[1] = 0;
	CHECK_EQ((uint64_t)load(flat, sizeof(flat), NULL, 0, TM_RAM, "", &e), (uint64_t)-EINVAL);
	CHECK(strstr(e.text, "0x10000"));
	tm_destroy(&t);
	put_be64(flat, UINT64_C(0x0008000080000020));
	CHECK_EQ((uint64_t)load(flat, sizeof(flat), flat, sizeof(flat), TM_RAM, "", &e), (uint64_t)-EINVAL);
	CHECK(strstr(e.text, "-i"));
	tm_destroy(&t);
}

static size_t make_elf(uint8_t *f, unsigned int machine, uint8_t order, uint64_t paddr)
{
	const size_t ph = sizeof(Elf64_Ehdr), data = ph + sizeof(Elf64_Phdr);

	memset(f, 0, data + 64);
	memcpy(f, ELFMAG, SELFMAG);
	f[EI_CLASS] = ELFCLASS64;
	f[EI_DATA] = order;
	put_be16(f + offsetof(Elf64_Ehdr, e_machine), (uint16_t)machine);
	put_be64(f + offsetof(Elf64_Ehdr, e_entry), paddr + 16);
	put_be64(f + offsetof(Elf64_Ehdr, e_phoff), ph);
	put_be16(f + offsetof(Elf64_Ehdr, e_phnum), 1);
	put_be16(f + offsetof(Elf64_Ehdr, e_phentsize), sizeof(Elf64_Phdr));
	put_be32(f + ph, PT_LOAD);
	put_be64(f + ph + offsetof(Elf64_Phdr, p_offset), data);
	put_be64(f + ph + offsetof(Elf64_Phdr, p_paddr), paddr);
	put_be64(f + ph + offsetof(Elf64_Phdr, p_vaddr), paddr);
	put_be64(f + ph + offsetof(Elf64_Phdr, p_filesz), 64);
	put_be64(f + ph + offsetof(Elf64_Phdr, p_memsz), 128);
	memset(f + data, 0x5a, 64);
	return data + 64;
}

static void test_elf(void)
{
	uint8_t f[512];
	struct err e;

	CHECK_EQ(load(f, make_elf(f, EM_S390, ELFDATA2MSB, 0x100000), NULL, 0, TM_RAM, "", &e), 0);
	CHECK_EQ(*tm_regs(&t, 0)->psw_addr, 0x100010);
	CHECK_EQ(*tm_regs(&t, 0)->psw_mask, 0x0000000180000000);
	CHECK_EQ(word(0x100000), 0x5a5a5a5a5a5a5a5a);
	tm_destroy(&t);
	CHECK_EQ((uint64_t)load(f, make_elf(f, EM_PPC64, ELFDATA2MSB, 0x100000), NULL, 0, TM_RAM, "", &e), (uint64_t)-EINVAL);
	tm_destroy(&t);
	CHECK_EQ((uint64_t)load(f, make_elf(f, EM_S390, ELFDATA2LSB, 0x100000), NULL, 0, TM_RAM, "", &e), (uint64_t)-EINVAL);
	tm_destroy(&t);
	CHECK_EQ((uint64_t)load(f, make_elf(f, EM_S390, ELFDATA2MSB, GIB(1)), NULL, 0, TM_RAM, "", &e), 0); /* moved into RAM, as on the others */
	tm_destroy(&t);
}

static void test_refused(void)
{
	static uint8_t big[MIB(16)];
	struct err e;

	make_kernel(4096);
	CHECK_EQ((uint64_t)load(kernel, sizeof(kernel), big, sizeof(big), MIB(16), "", &e), (uint64_t)-ENOSPC);
	tm_destroy(&t);
	CHECK_EQ((uint64_t)load("just some text, and no kernel", 29, NULL, 0, TM_RAM, "", &e), (uint64_t)-EINVAL);
	tm_destroy(&t);
	tm_init(&t, 1);
	t.m.boot.firmware = "/dev/null";
	e = (struct err){ 0 };
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK_EQ((uint64_t)arch_s390x.load(&t.m, &e), (uint64_t)-EINVAL);
	CHECK(strstr(e.text, "-k"));
	tm_destroy(&t);
	tm_init(&t, 1);
	t.m.boot.dump_dtb = "/dev/null";
	e = (struct err){ 0 };
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK_EQ((uint64_t)arch_s390x.load(&t.m, &e), (uint64_t)-EINVAL);
	CHECK(strstr(e.text, "no device tree"));
	tm_destroy(&t);
	tm_init(&t, 1);
	t.m.backing.hugetlbfs = "/";
	e = (struct err){ 0 };
	CHECK(tm_build(&t, &e) < 0);
	CHECK(strstr(e.text, "hpage=1"));
	tm_destroy(&t);
	/* RAM comes in segments. */
	tm_init(&t, 1);
	t.m.ram_size = MIB(20) + KIB(512);
	CHECK_EQ(tm_build(&t, &e), 0);
	CHECK_EQ(t.m.ram_size, MIB(20));
	tm_destroy(&t);
}

int main(void)
{
	test_linux();
	test_cmdline();
	test_flat();
	test_elf();
	test_refused();
	return test_result();
}
