// SPDX-License-Identifier: MIT
/* The configuration: options as text, as JSON, and back. */
#include <errno.h>

#include "tests/test.h"
#include "vm/config.h"

static const struct arch_ops *arch = &arch_riscv64; /* whose options are tested */

static struct lkvm_config *make(void)
{
	struct lkvm_config *c = NULL;

	if (config_create_for(arch, &c) < 0)
		abort();
	return c;
}

static int set(struct lkvm_config *c, const char *name, const char *value, const char *says)
{
	struct lkvm_error e = { 0 };
	int r = lkvm_config_set(c, name, value, &e);

	CHECK((r < 0) == (e.code < 0));
	CHECK(r >= 0 || e.message[0]);
	if (says && !strstr(e.message, says)) {
		fprintf(stderr, "--%s %s: \"%s\" does not say \"%s\"\n", name, value ? value : "", e.message, says);
		CHECK(!"the sentence");
	}
	return r;
}

static void test_values(void)
{
	static const struct {
		const char *text;
		uint64_t bytes; /* 0: refused */
	} sizes[] = {
		{ "128", MIB(128) }, { "1G", GIB(1) }, { "512M", MIB(512) }, { "512m", MIB(512) }, { "262144K", MIB(256) }, { "0x80", MIB(128) },
		{ "2GiB", GIB(2) }, { "2T", UINT64_C(2) << 40 }, { "0", 0 }, { "", 0 }, { "M", 0 }, { "-1", 0 }, { "1.5G", 0 }, { "12Q", 0 },
		{ "99999999999999999999", 0 }, { "128 M", 0 }, { "1P", 0 }, { "18446744073709551615T", 0 },
	};
	struct lkvm_config *c = make();
	char text[64], long_tag[4 + 256 + 1] = "";

	CHECK_EQ(c->cpus, 1);
	CHECK_EQ(c->mem, MIB(256));
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		c->mem = 7;
		CHECK_EQ(set(c, "mem", sizes[i].text, sizes[i].bytes ? NULL : "--mem"), sizes[i].bytes ? 0 : -EINVAL);
		CHECK_EQ(c->mem, sizes[i].bytes ? sizes[i].bytes : 7);
	}
	CHECK_EQ(set(c, "cpus", "512", NULL), 0);
	CHECK_EQ(set(c, "cpus", "513", "512"), -EINVAL);
	CHECK_EQ(set(c, "cpus", "0", "1 to"), -EINVAL);
	CHECK_EQ(c->cpus, 512);
	CHECK_EQ(set(c, "console", "virtio", NULL), 0);
	CHECK_EQ(set(c, "console", "tube", "serial or virtio"), -EINVAL);
	CHECK_EQ(c->console, CONSOLE_VIRTIO);
	CHECK_EQ(set(c, "rng", NULL, NULL), 0);
	CHECK(c->rng);
	CHECK_EQ(set(c, "rng", "please", "takes no value"), -EINVAL);
	CHECK_EQ(set(c, "kernel", "one", NULL), 0);
	CHECK_EQ(set(c, "kernel", "two", NULL), 0);
	CHECK_STR(c->kernel, "two");
	CHECK_EQ(set(c, "kernel", NULL, "needs a value"), -EINVAL);
	CHECK_EQ(set(c, "colour", "red", "no such option"), -EINVAL);
	/* what the words alone can tell, whatever the host has */
	CHECK_EQ(set(c, "tty", "3", NULL), 0);
	CHECK_EQ(set(c, "tty", "4", "0 to 3"), -EINVAL);
	CHECK_EQ(set(c, "tty", "x", "0 to 3"), -EINVAL);
	CHECK_EQ(c->tty.n, 1);
	CHECK_EQ(set(c, "name", "a-b", NULL), 0);
	CHECK_EQ(set(c, "name", "a/b", "--name"), -EINVAL);
	CHECK_EQ(set(c, "name", "", "--name"), -EINVAL);
	CHECK_STR(c->name, "a-b");
	CHECK_EQ(set(c, "disk", "x,serial=12345678901234567890", NULL), 0);
	CHECK_EQ(set(c, "disk", "x,serial=123456789012345678901", "20"), -EINVAL);
	CHECK_EQ(set(c, "disk", ",ro", "no path"), -EINVAL);
	CHECK_EQ(set(c, "network", "mode=tap,guest_mac=1:2", "guest_mac"), -EINVAL);
	CHECK_EQ(set(c, "network", "mode=tap,mtu=9", "mtu"), -EINVAL);
	CHECK_EQ(set(c, "9p", ",tag", "DIR,TAG"), -EINVAL);
	memset(long_tag, 'x', sizeof(long_tag) - 1);
	memcpy(long_tag, "dir,", 4);
	CHECK_EQ(set(c, "9p", long_tag, "at most 255"), -EINVAL);
	long_tag[4 + 255] = 0;
	CHECK_EQ(set(c, "9p", long_tag, NULL), 0);
	CHECK_EQ(set(c, "virtio-transport", "mmio", NULL), 0);
	CHECK_EQ(set(c, "virtio-transport", "pci", "no PCI transport yet"), -EOPNOTSUPP);
	CHECK_EQ(set(c, "virtio-transport", "pci-legacy", "no PCI transport yet"), -EOPNOTSUPP);
	CHECK_EQ(set(c, "virtio-transport", "pigeon", "mmio or ccw"), -EINVAL);
	CHECK_EQ(set(c, "vsock", "3", "vsock"), -EOPNOTSUPP);
	CHECK_EQ(set(c, "disable-zbb", NULL, NULL), 0);
	CHECK_EQ(set(c, "irqchip", "gic", "plic"), -EINVAL);
	CHECK_EQ(lkvm_config_set(c, "colour", "red", NULL), -EINVAL);

	CHECK_EQ(lkvm_config_get(c, "kernel", text, sizeof(text)), 3);
	CHECK_STR(text, "two");
	CHECK_EQ(lkvm_config_get(c, "cpus", text, sizeof(text)), 3);
	CHECK_STR(text, "512");
	CHECK_EQ(lkvm_config_get(c, "kernel", text, 2), 3);
	CHECK_STR(text, "t");
	CHECK_EQ(lkvm_config_get(c, "initrd", text, sizeof(text)), 0);
	CHECK_STR(text, "");
	CHECK_EQ(lkvm_config_get(c, "colour", text, sizeof(text)), -EINVAL);
	CHECK_EQ(lkvm_config_set_console(c, CONFIG_CONSOLES, 0, 0), -EINVAL);
	lkvm_config_destroy(c);
	lkvm_config_destroy(NULL);
}

static void test_keys(void)
{
	struct lkvm_config *c = make();
	struct config_disk d;
	struct config_network n;
	struct config_share s;
	struct err e = { 0 };

	CHECK_EQ(set(c, "disk", "a=b.img,ro,direct,serial=x y,queues=4", NULL), 0);
	CHECK_EQ(set(c, "disk", "b", NULL), 0);
	CHECK_EQ(c->disk.n, 2);
	CHECK_EQ(config_parse_disk(c->disk.items[0], &d, &e), 0);
	CHECK_STR(d.path, "a=b.img");
	CHECK_STR(d.serial, "x y");
	CHECK(d.readonly && d.direct && d.queues == 4);
	config_disk_clear(&d);
	CHECK_EQ(config_parse_disk("b,access-platform", &d, &e), 0);
	CHECK(d.access_platform && !d.readonly);
	config_disk_clear(&d);
	CHECK_EQ(set(c, "disk", "b,access-platform=1", "takes no value"), -EINVAL);
	CHECK_EQ(set(c, "disk", "b,queues=17", "1 to 16"), -EINVAL);
	CHECK_EQ(set(c, "disk", "b,ro=1", "takes no value"), -EINVAL);
	CHECK_EQ(set(c, "disk", "b,serial", "needs a value"), -EINVAL);
	CHECK_EQ(set(c, "disk", "b,wo", "wo"), -EINVAL);
	CHECK_EQ(set(c, "disk", "", "path"), -EINVAL);
	CHECK_EQ(c->disk.n, 2);

	CHECK_EQ(set(c, "network", "mode=tap,tapif=tap0,guest_mac=02:11:22:33:44:5f,queues=2,fd=5", NULL), 0);
	CHECK_EQ(config_parse_network(c->network.items[0], &n, &e), 0);
	CHECK_STR(n.tapif, "tap0");
	CHECK(n.has_mac && n.mac[5] == 0x5f && n.queues == 2 && n.fd == 5 && !n.none);
	config_network_clear(&n);
	CHECK_EQ(config_parse_network("none", &n, &e), 0);
	CHECK(n.none && n.fd == -1);
	config_network_clear(&n);
	CHECK_EQ(config_parse_network("tap,access-platform", &n, &e), 0);
	CHECK(n.access_platform && !n.none);
	config_network_clear(&n);
	CHECK_EQ(set(c, "network", "mode=tap,access-platform=on", "takes no value"), -EINVAL);
	CHECK_EQ(set(c, "network", "mode=pigeon", "tap or none"), -EINVAL);
	CHECK_EQ(set(c, "network", "mode=user", "user-mode"), -EOPNOTSUPP);
	CHECK_EQ(set(c, "network", "mode=tap,vhost=2", "0 to 1"), -EINVAL);
	CHECK_EQ(set(c, "network", "mode=tap,vhost", "needs a value"), -EINVAL);
	CHECK_EQ(config_parse_network("mode=tap,vhost=1", &n, &e), 0);
	CHECK(n.vhost);
	config_network_clear(&n);
	CHECK_EQ(set(c, "network", "mode=tap,guest_mac=03:11:22:33:44:5f", "unicast"), -EINVAL);
	CHECK_EQ(set(c, "network", "mode=tap,guest_mac=02:11:22:33:44", "guest_mac"), -EINVAL);
	CHECK_EQ(set(c, "network", "mode=tap,guest_mac=02:11:22:33:44:555", "guest_mac"), -EINVAL);
	CHECK_EQ(set(c, "network", "mode=tap,guest_mac=02:11:22:33:44:0x5", "guest_mac"), -EINVAL);
	CHECK_EQ(set(c, "network", "mode=tap,guest_mac=02:11:22: 3:44:55", "guest_mac"), -EINVAL);
	CHECK_EQ(set(c, "network", "mode=tap,guest_mac=2:1:2:3:4:5", NULL), 0);
	CHECK_EQ(set(c, "network", "mode=tap,mtu=60", "68"), -EINVAL);

	CHECK_EQ(set(c, "9p", "/x=y,tag,ro", NULL), 0);
	CHECK_EQ(config_parse_share(c->share.items[0], &s, &e), 0);
	CHECK_STR(s.path, "/x=y");
	CHECK_STR(s.tag, "tag");
	CHECK(s.readonly);
	config_share_clear(&s);
	CHECK_EQ(config_parse_share("/x,t,access-platform,ro", &s, &e), 0);
	CHECK(s.readonly && s.access_platform);
	config_share_clear(&s);
	CHECK_EQ(config_parse_share("/x,t,access-platform", &s, &e), 0);
	CHECK(!s.readonly && s.access_platform);
	config_share_clear(&s);
	CHECK_EQ(set(c, "9p", "/x,t,access-platform,access-platform", "access-platform"), -EINVAL);
	CHECK_EQ(set(c, "9p", "/x", "DIR,TAG"), -EINVAL);
	CHECK_EQ(set(c, "9p", "/x,t,rw", "rw"), -EINVAL);
	CHECK_EQ(set(c, "9p", "/x,t,ro,ro", "ro"), -EINVAL);
	lkvm_config_destroy(c);
}

static void json(const char *text, int code, const char *says)
{
	struct lkvm_config *c = make();
	struct lkvm_error e = { 0 };

	CHECK_EQ(lkvm_config_load_json(c, text, strlen(text), "f.json", &e), code);
	if (says && strncmp(e.message, says, strlen(says))) {
		fprintf(stderr, "%s\n gives \"%s\", should begin with \"%s\"\n", text, e.message, says);
		CHECK(!"the sentence");
	}
	lkvm_config_destroy(c);
}

static void test_json_errors(void)
{
	json("{}", 0, NULL);
	json("{ \"cpus\": 2, \"rng\": true, \"access-platform\": true, \"balloon\": false, \"mem\": 128, \"disk\": [\"a\", \"b,ro\"], \"network\": \"none\" }", 0, NULL);
	json("", -EINVAL, "f.json:1:1:");
	json("[]", -EINVAL, "f.json:1:1:");
	json("{\n\"cpus\": 2\n\"mem\": 3}", -EINVAL, "f.json:3:1:");
	json("{\n  \"cpus\": 2,\n  \"mem\" 3\n}", -EINVAL, "f.json:3:9:");
	json("{\n  \"cpus\": 2,\n  \"mems\": 3\n}", -EINVAL, "f.json:3:3: \"mems\"");
	json("{ \"cpus\": 0 }", -EINVAL, "f.json:1:3:");
	json("{ \"cpus\": -1 }", -EINVAL, "f.json:1:3: \"cpus\"");
	json("{ \"cpus\": 1.5 }", -EINVAL, "f.json:1:3:");
	json("{ \"cpus\": true }", -EINVAL, "f.json:1:3: \"cpus\" is no flag");
	json("{ \"cpus\": null }", -EINVAL, "f.json:1:3:");
	json("{ \"cpus\": [1] }", -EINVAL, "f.json:1:3:");
	json("{ \"rng\": \"yes\" }", -EINVAL, "f.json:1:3: \"rng\" takes true or false");
	json("{ \"rng\": 1 }", -EINVAL, "f.json:1:3:");
	json("{ \"kernel\": \"a\\u0000b\" }", -EINVAL, "f.json:1:3: \"kernel\" holds a NUL");
	json("{ \"disk\": [\"a\", [\"b\"]] }", -EINVAL, "f.json:1:3:");
	json("{ \"disk\": [\"a,huge\"] }", -EINVAL, "f.json:1:3:");
	json("{ \"network\": \"mode=pigeon\" }", -EINVAL, "f.json:1:3:");
	json("{ \"vsock\": 3 }", -EOPNOTSUPP, "f.json:1:3: --vsock");
	json("{ \"cpus\": 2 } x", -EINVAL, "f.json:1:15:");
}

/* Every option with a value of its own comes back the same, through JSON and through a copy. */
static void test_round_trip(void)
{
	struct lkvm_config *c = make(), *d = make(), *copy;
	const struct option *o;
	struct lkvm_error e = { 0 };
	char *text, *again;
	void *base;

	CHECK_EQ(lkvm_config_dump_json(c, &text), 0);
	CHECK_STR(text, "{}");
	free(text);
	for (unsigned int i = 0; (o = config_option(c, i, &base)); i++) {
		char value[64];

		if (o->refused)
			continue;
		if (o->type == OPTION_UINT)
			snprintf(value, sizeof(value), "%" PRIu64, o->min + 3 + i);
		else if (o->type == OPTION_SIZE)
			snprintf(value, sizeof(value), "%uK%s", 65536 + 4 * i, o->at_offset ? "@0x90000000" : "");
		else if (o->type == OPTION_CHOICE)
			snprintf(value, sizeof(value), "%s", o->choices[o->choices[1] ? 1 : 0]);
		else if (!strcmp(o->name, "network"))
			snprintf(value, sizeof(value), "mode=tap,tapif=t%u", i);
		else if (!strcmp(o->name, "tty"))
			snprintf(value, sizeof(value), "3");
		else if (!strcmp(o->name, "vcpu-affinity"))
			snprintf(value, sizeof(value), "0,2-5");
		else if (!strcmp(o->name, "name"))
			snprintf(value, sizeof(value), "\"%u\"\\,t", i);
		else
			snprintf(value, sizeof(value), "%s \"%u\"\\,t", o->name, i);
		CHECK_EQ(set(c, o->name, o->type == OPTION_FLAG ? NULL : !strcmp(o->name, "disk") ? "a,ro" : value, NULL), 0);
		if (o->type == OPTION_LIST)
			CHECK_EQ(set(c, o->name, !strcmp(o->name, "network") ? "none" : !strcmp(o->name, "tty") ? "2" : "b,c" + (strcmp(o->name, "disk") ? 0 : 2), NULL), 0);
	}
	CHECK_EQ(lkvm_config_dump_json(c, &text), 0);
	CHECK_EQ(lkvm_config_load_json(d, text, strlen(text), "dump", &e), 0);
	CHECK_STR(e.message, "");
	CHECK_EQ(lkvm_config_dump_json(d, &again), 0);
	CHECK_STR(again, text);
	free(again);
	CHECK_EQ(config_copy(c, &copy), 0);
	CHECK_EQ(lkvm_config_dump_json(copy, &again), 0);
	CHECK_STR(again, text);
	CHECK(strstr(text, arch == &arch_riscv64 ? "disable-zbb" : "disable-sve") && strstr(text, "\"cpus\"") && strstr(text, "tapif=t"));
	free(again);
	free(text);
	lkvm_config_destroy(c);
	lkvm_config_destroy(d);
	lkvm_config_destroy(copy);
}

/* The table itself: no name twice, no letter twice, something to say for each row. */
static void test_table(void)
{
	struct lkvm_config *c = make();
	const struct option *a, *b;
	void *base;

	for (unsigned int i = 0; (a = config_option(c, i, &base)); i++) {
		CHECK(a->refused || (a->help && a->group));
		CHECK(!a->refused || strstr(a->refused, a->name));
		for (unsigned int k = 0; k < i; k++) {
			b = config_option(c, k, &base);
			CHECK(strcmp(a->name, b->name));
			CHECK(!a->letter || a->letter != b->letter);
		}
	}
	lkvm_config_destroy(c);
}

int main(void)
{
	test_values();
	test_keys();
	test_json_errors();
	test_round_trip();
	test_table();
	arch = &arch_arm64;
	test_round_trip();
	test_table();
	return test_result();
}
