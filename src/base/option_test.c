// SPDX-License-Identifier: MIT
#include "base/option.h"

#include <errno.h>

#include "base/sys.h"
#include "base/util.h"
#include "tests/test.h"

struct config {
	bool flag;
	uint64_t cpus, mem, at;
	char *kernel;
	struct option_list disks;
	unsigned int mode;
};

static const char *const modes[] = {"auto", "plic", "aia", NULL};
static const struct option options[] = {
	{"flag", 'f', OPTION_FLAG, offsetof(struct config, flag)},
	{"cpus", 'c', OPTION_UINT, offsetof(struct config, cpus), .min = 1, .max = 512},
	{"mem", 'm', OPTION_SIZE, offsetof(struct config, mem), .min = MIB(32), .unit = MIB(1), .at_offset = offsetof(struct config, at)},
	{"kernel", 'k', OPTION_STRING, offsetof(struct config, kernel)},
	{"disk", 'd', OPTION_LIST, offsetof(struct config, disks)},
	{"irqchip", 0, OPTION_CHOICE, offsetof(struct config, mode), .choices = modes},
	{"sdl", 0, .refused = "--sdl: there is no display"},
};

enum { FLAG, CPUS, MEM, KERNEL, DISK, MODE, SDL };

static void test_address(void)
{
	static const char *const bad[] = {"64@", "64@x", "@1", "64@0", "64@1@2", "64@0x80000000000000000", "1@2G"};
	struct config c = {0};
	struct err e = {0};
	char buf[64];

	CHECK_EQ(option_set(&options[MEM], &c, "64@0x90000000", &e), 0);
	CHECK(c.mem == MIB(64) && c.at == 0x90000000);
	option_get(&options[MEM], &c, 0, buf, sizeof(buf));
	CHECK_STR(buf, "64M@0x90000000");
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_EQ(option_set(&options[MEM], &c, bad[i], &e), -EINVAL);
		CHECK(c.mem == MIB(64) && c.at == 0x90000000);
	}
	CHECK_EQ(option_set(&options[MEM], &c, "1G@4G", &e), 0);
	CHECK(c.mem == GIB(1) && c.at == GIB(4));
	CHECK_EQ(option_set(&options[MEM], &c, "1G", &e), 0);
	CHECK(c.mem == GIB(1) && c.at == 0);
}

static void test_cpulist(void)
{
	static const char *const bad[] = {"", ",", "1,,2", "a", "1-", "3-2", "64", "0-64", "1 2", "-1"};
	uint64_t map;

	CHECK_EQ(sys_parse_cpulist("0,2-4,63\n", &map, 64), 0);
	CHECK_EQ(map, UINT64_C(0x800000000000001d));
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_EQ(sys_parse_cpulist(bad[i], &map, 64), -EINVAL);
}

static void test_set(void)
{
	struct config c = {0};
	struct err e = {0};
	char buf[64];

#define SET(i, v) (e = (struct err){0}, option_set(&options[i], &c, v, &e))
#define GET(i) (option_get(&options[i], &c, 0, buf, sizeof(buf)), buf)
	CHECK_STR(GET(FLAG), "");
	CHECK_EQ(SET(FLAG, NULL), 0);
	CHECK(c.flag);
	CHECK_STR(GET(FLAG), "true");
	CHECK_EQ(SET(FLAG, "false"), 0);
	CHECK(!c.flag);
	CHECK_EQ(SET(FLAG, "maybe"), (uint64_t)-EINVAL);
	CHECK_EQ(SET(CPUS, "512"), 0);
	CHECK_EQ(c.cpus, 512);
	CHECK_STR(GET(CPUS), "512");
	CHECK_EQ(SET(CPUS, "0x10"), 0);
	CHECK_EQ(c.cpus, 16);
	CHECK_EQ(SET(CPUS, "513"), (uint64_t)-EINVAL);
	CHECK_STR(e.text, "--cpus takes 1 to 512, not 513");
	CHECK_EQ(SET(CPUS, "0"), (uint64_t)-EINVAL);
	CHECK_EQ(SET(CPUS, "two"), (uint64_t)-EINVAL);
	CHECK_STR(e.text, "--cpus takes a number, not \"two\"");
	CHECK_EQ(SET(CPUS, NULL), (uint64_t)-EINVAL);
	CHECK_EQ(c.cpus, 16);
	CHECK_EQ(SET(MEM, "128"), 0);
	CHECK_EQ(c.mem, MIB(128));
	CHECK_STR(GET(MEM), "128M");
	CHECK_EQ(SET(MEM, "3G"), 0);
	CHECK_EQ(c.mem, GIB(3));
	CHECK_EQ(SET(MEM, "31M"), (uint64_t)-EINVAL);
	CHECK_STR(e.text, "--mem takes at least 32M, not 31M");
	CHECK_EQ(SET(MEM, "4x"), (uint64_t)-EINVAL);
	CHECK_EQ(SET(KERNEL, "a"), 0);
	CHECK_EQ(SET(KERNEL, "Image"), 0);
	CHECK_STR(GET(KERNEL), "Image");
	CHECK_EQ(SET(DISK, "one,ro"), 0);
	CHECK_EQ(SET(DISK, "two"), 0);
	CHECK_EQ(c.disks.n, 2);
	CHECK_EQ(option_get(&options[DISK], &c, 1, buf, sizeof(buf)), 3);
	CHECK_STR(buf, "two");
	CHECK_EQ(option_get(&options[DISK], &c, 2, buf, sizeof(buf)), 0);
	CHECK_EQ(SET(MODE, "aia"), 0);
	CHECK_EQ(c.mode, 2);
	CHECK_STR(GET(MODE), "aia");
	CHECK_EQ(SET(MODE, "gic"), (uint64_t)-EINVAL);
	CHECK_STR(e.text, "--irqchip takes auto, plic or aia, not \"gic\"");
	CHECK_EQ(SET(MODE, "auto"), 0);
	CHECK_STR(GET(MODE), "");
	CHECK_EQ(SET(SDL, NULL), (uint64_t)-EINVAL);
	CHECK_STR(e.text, "--sdl: there is no display");
	CHECK_EQ(option_get(&options[SDL], &c, 0, buf, sizeof(buf)), 0);
	option_clear(options, ARRAY_SIZE(options), &c);
	CHECK(!c.kernel && !c.disks.n && !c.disks.items);
	option_clear(options, ARRAY_SIZE(options), &c);
}

static void test_numbers(void)
{
	static const struct {
		const char *text;
		uint64_t unit, want;
	} good[] = {
		{"0", 1, 0}, {"1", MIB(1), MIB(1)}, {"1B", MIB(1), 1}, {"4k", 1, 4096}, {"2GiB", 1, GIB(2)},
		{"2gb", 1, GIB(2)}, {"1T", 1, GIB(1024)}, {"0x10M", 1, MIB(16)},
		{"18446744073709551615", 1, UINT64_MAX}, {"16383P", 1, UINT64_C(16383) << 50},
	};
	static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "M", "0x", "1MM", "1Bi", "16384P",
					  "18446744073709551616", "99999999999999999999", "1.5G", "1iB"};
	uint64_t v;

	for (unsigned int i = 0; i < ARRAY_SIZE(good); i++) {
		CHECK_EQ(option_parse_size(good[i].text, good[i].unit, &v), 0);
		CHECK_EQ(v, good[i].want);
	}
	v = 42;
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_EQ(option_parse_size(bad[i], 1, &v), (uint64_t)-EINVAL);
		CHECK_EQ(option_parse_uint(bad[i], &v), (uint64_t)-EINVAL);
	}
	CHECK_EQ(option_parse_uint("1k", &v), (uint64_t)-EINVAL);
	CHECK_EQ(v, 42);
	CHECK_EQ(option_parse_uint("0xFf", &v), 0);
	CHECK_EQ(v, 255);
}

static int add_key(void *ctx, const char *key, const char *value)
{
	char *s = ctx;

	if (!strcmp(key, "stop"))
		return -ECANCELED;
	strcat(strcat(s, key), ":");
	if (value)
		strcat(s, value);
	strcat(s, ";");
	return 0;
}

static void test_keys(void)
{
	char s[128] = "";

	CHECK_EQ(option_for_each_key("path=/a=b,ro,,tag=", add_key, s), 0);
	CHECK_STR(s, "path:/a=b;ro:;tag:;");
	s[0] = 0;
	CHECK_EQ(option_for_each_key("a,stop=1,b", add_key, s), (uint64_t)-ECANCELED);
	CHECK_STR(s, "a:;");
	CHECK_EQ(option_for_each_key("", add_key, s), 0);
	CHECK_STR(s, "a:;");
}

int main(void)
{
	test_set();
	test_address();
	test_cpulist();
	test_numbers();
	test_keys();
	return test_result();
}
