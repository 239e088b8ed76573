// SPDX-License-Identifier: MIT
/* Values with keys: "image.raw,ro,direct", "mode=tap,tapif=tap0", "dir,tag". */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include <linux/virtio_blk.h>

#include "base/bitmap.h"
#include "base/sys.h"
#include "virtio/9p.h"
#include "vm/config.h"
#include "vm/runtime.h"

struct parse {
	const char *text;
	const char *option;
	void *out;
	unsigned int position;
	struct err *e;
};

/* A key of a value: a string, number or flag at an offset of the structure parsed into. */
enum key_type { KEY_STRING, KEY_UINT, KEY_FLAG };
struct key {
	const char *name;
	enum key_type type;
	size_t offset;
	uint64_t min, max;
};

static int set_string(char **field, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

/* -ENOENT: no such key. */
static int set_key(const struct parse *p, const struct key *keys, unsigned int n, const char *key,
		   const char *value)
{
	for (unsigned int i = 0; i < n; i++) {
		void *field = (char *)p->out + keys[i].offset;
		uint64_t number;

		if (strcmp(keys[i].name, key))
			continue;
		if (keys[i].type == KEY_FLAG) {
			if (value)
				return err_set(p->e, -EINVAL, "--%s %s: \"%s\" takes no value", p->option,
					       p->text, key);
			*(bool *)field = true;
			return 0;
		}
		if (!value || !*value)
			return err_set(p->e, -EINVAL, "--%s %s: \"%s\" needs a value", p->option, p->text, key);
		if (keys[i].type == KEY_STRING)
			return set_string(field, value);
		if (option_parse_uint(value, &number) < 0 || number < keys[i].min || number > keys[i].max)
			return err_set(p->e, -EINVAL, "--%s %s: \"%s\" takes a number from %llu to %llu",
				       p->option, p->text, key, (unsigned long long)keys[i].min,
				       (unsigned long long)keys[i].max);
		*(uint64_t *)field = number;
		return 0;
	}
	return -ENOENT;
}

static int unknown_key(const struct parse *p, const char *key)
{
	return err_set(p->e, -EINVAL, "--%s %s: \"%s\" is not known here", p->option, p->text, key);
}

static const struct key disk_keys[] = {
	{ "ro", KEY_FLAG, offsetof(struct config_disk, readonly) },
	{ "direct", KEY_FLAG, offsetof(struct config_disk, direct) },
	{ "access-platform", KEY_FLAG, offsetof(struct config_disk, access_platform) },
	{ "serial", KEY_STRING, offsetof(struct config_disk, serial) },
	{ "queues", KEY_UINT, offsetof(struct config_disk, queues), 1, 16 },
};

static int disk_key(void *ctx, const char *key, const char *value)
{
	struct parse *p = ctx;
	struct config_disk *d = p->out;
	int r;

	if (p->position++ == 0) {
		/* The path; it may itself contain '='. */
		if (!value)
			return set_string(&d->path, key);
		free(d->path);
		return asprintf(&d->path, "%s=%s", key, value) < 0 ? -ENOMEM : 0;
	}
	r = set_key(p, disk_keys, ARRAY_SIZE(disk_keys), key, value);
	return r == -ENOENT ? unknown_key(p, key) : r;
}

int config_parse_disk(const char *text, struct config_disk *ret, struct err *e)
{
	struct config_disk d = { .queues = 1 };
	struct parse p = { text, "disk", &d, 0, e };
	int r = option_for_each_key(text, disk_key, &p);

	if (r >= 0 && (*text == ',' || !d.path || !*d.path))
		r = err_set(e, -EINVAL, "--disk %s: no path given", text);
	if (r >= 0 && d.serial && strlen(d.serial) > VIRTIO_BLK_ID_BYTES)
		r = err_set(e, -EINVAL, "--disk %s: the serial has at most %d characters", text, VIRTIO_BLK_ID_BYTES);
	if (r < 0) {
		config_disk_clear(&d);
		return r;
	}
	*ret = d;
	return 0;
}

void config_disk_clear(struct config_disk *d)
{
	free(d->path);
	free(d->serial);
	*d = (struct config_disk){ 0 };
}

struct network_parse {
	struct config_network n;
	char *mode, *mac;
	uint64_t fd;
};

static const struct key network_keys[] = {
	{ "mode", KEY_STRING, offsetof(struct network_parse, mode) },
	{ "tapif", KEY_STRING, offsetof(struct network_parse, n.tapif) },
	{ "fd", KEY_UINT, offsetof(struct network_parse, fd), 0, 1 << 20 },
	{ "guest_mac", KEY_STRING, offsetof(struct network_parse, mac) },
	{ "host_ip", KEY_STRING, offsetof(struct network_parse, n.host_ip) },
	{ "script", KEY_STRING, offsetof(struct network_parse, n.script) },
	{ "downscript", KEY_STRING, offsetof(struct network_parse, n.downscript) },
	{ "queues", KEY_UINT, offsetof(struct network_parse, n.queues), 1, 16 },
	{ "mq", KEY_UINT, offsetof(struct network_parse, n.queues), 1, 16 },
	{ "mtu", KEY_UINT, offsetof(struct network_parse, n.mtu), 68, 65521 },
	{ "access-platform", KEY_FLAG, offsetof(struct network_parse, n.access_platform) },
	{ "vhost", KEY_UINT, offsetof(struct network_parse, n.vhost), 0, 1 },
};

static int network_key(void *ctx, const char *key, const char *value)
{
	struct parse *p = ctx;
	int r;

	/* kvmtool's short form: "none" or "tap" alone is the mode. */
	if (p->position++ == 0 && !value)
		return set_string(&((struct network_parse *)p->out)->mode, key);
	/* What kvmtool's users also write, and what makes no difference here. */
	if (value && (!strcmp(key, "trans") || !strcmp(key, "guest_ip") || !strcmp(key, "host_mac")))
		return 0;
	r = set_key(p, network_keys, ARRAY_SIZE(network_keys), key, value);
	return r == -ENOENT ? unknown_key(p, key) : r;
}

static int parse_mac(const char *text, uint8_t mac[6])
{
	for (unsigned int i = 0; i < 6; i++) {
		char *end;

		if (!isxdigit((unsigned char)text[0]))
			return -EINVAL;
		mac[i] = (uint8_t)strtoul(text, &end, 16);
		if (end - text > 2 || *end != (i < 5 ? ':' : 0))
			return -EINVAL;
		text = end + 1;
	}
	return mac[0] & 1 ? -EINVAL : 0;
}

int config_parse_network(const char *text, struct config_network *ret, struct err *e)
{
	struct network_parse np = { .n = { .queues = 1, .fd = -1 }, .fd = UINT64_MAX };
	struct parse p = { text, "network", &np, 0, e };
	int r = option_for_each_key(text, network_key, &p);

	if (r < 0)
		goto out;
	if (np.fd != UINT64_MAX)
		np.n.fd = (int)np.fd;
	if (np.mode && !strcmp(np.mode, "none"))
		np.n.none = true;
	else if (np.mode && !strcmp(np.mode, "user"))
		r = err_set(e, -EOPNOTSUPP, "--network %s: user-mode networking is not served; use mode=tap or mode=none",
			    text);
	else if (np.mode && strcmp(np.mode, "tap"))
		r = err_set(e, -EINVAL, "--network %s: mode is tap or none", text);
	if (r >= 0 && np.mac) {
		r = parse_mac(np.mac, np.n.mac);
		np.n.has_mac = true;
		if (r < 0)
			err_set(e, r, "--network %s: guest_mac takes a unicast address such as 02:15:15:15:15:15", text);
	}
out:
	free(np.mode);
	free(np.mac);
	if (r < 0) {
		config_network_clear(&np.n);
		return r;
	}
	*ret = np.n;
	return 0;
}

void config_network_clear(struct config_network *n)
{
	free(n->tapif);
	free(n->host_ip);
	free(n->script);
	free(n->downscript);
	*n = (struct config_network){ .fd = -1 };
}

static int share_key(void *ctx, const char *key, const char *value)
{
	struct parse *p = ctx;
	struct config_share *s = p->out;
	bool *flag;

	if (value && p->position != 0)
		return unknown_key(p, key);
	switch (p->position++) {
	case 0:
		if (!value)
			return set_string(&s->path, key);
		free(s->path);
		return asprintf(&s->path, "%s=%s", key, value) < 0 ? -ENOMEM : 0;
	case 1:
		return set_string(&s->tag, key);
	default:
		flag = !strcmp(key, "ro")	       ? &s->readonly :
		       !strcmp(key, "access-platform") ? &s->access_platform :
							 NULL;
		if (!flag || *flag)
			return unknown_key(p, key);
		*flag = true;
		return 0;
	}
}

int config_parse_share(const char *text, struct config_share *ret, struct err *e)
{
	struct config_share s = { 0 };
	struct parse p = { text, "9p", &s, 0, e };
	int r = option_for_each_key(text, share_key, &p);

	if (r >= 0 && (*text == ',' || !s.path || !*s.path || !s.tag || !*s.tag))
		r = err_set(e, -EINVAL, "--9p %s: give a folder and a tag: --9p DIR,TAG", text);
	if (r >= 0 && strlen(s.tag) > VIRTIO_9P_MAX_TAG)
		r = err_set(e, -EINVAL, "--9p %s: the tag has at most %d characters", text, VIRTIO_9P_MAX_TAG);
	if (r < 0) {
		config_share_clear(&s);
		return r;
	}
	*ret = s;
	return 0;
}

void config_share_clear(struct config_share *s)
{
	free(s->path);
	free(s->tag);
	*s = (struct config_share){ 0 };
}

int config_parse_tty(const char *text, unsigned int *ret, struct err *e)
{
	uint64_t n;

	if (option_parse_uint(text, &n) < 0 || n >= CONFIG_CONSOLES)
		return err_set(e, -EINVAL, "--tty %s: takes a number from 0 to %u", text, CONFIG_CONSOLES - 1);
	*ret = (unsigned int)n;
	return 0;
}

int config_check_value(const struct option *o, const char *value, struct err *e)
{
	struct config_network n;
	struct config_share s;
	struct config_disk d;
	unsigned int number;
	int r = 0;

	if (!value)
		return 0;
	if (!strcmp(o->name, "disk")) {
		if ((r = config_parse_disk(value, &d, e)) >= 0)
			config_disk_clear(&d);
	} else if (!strcmp(o->name, "network")) {
		if ((r = config_parse_network(value, &n, e)) >= 0)
			config_network_clear(&n);
	} else if (!strcmp(o->name, "9p")) {
		if ((r = config_parse_share(value, &s, e)) >= 0)
			config_share_clear(&s);
	} else if (!strcmp(o->name, "virtio-transport") && !strncmp(value, "pci", 3)) {
		r = err_set(e, -EOPNOTSUPP, "--virtio-transport %s: there is no PCI transport yet; leave it out", value);
	} else if (!strcmp(o->name, "vcpu-affinity")) {
		uint64_t cpus[BITMAP_WORDS(MACHINE_MAX_HOST_CPUS)];

		if (sys_parse_cpulist(value, cpus, MACHINE_MAX_HOST_CPUS) < 0)
			r = err_set(e, -EINVAL, "--vcpu-affinity takes a list of host CPUs such as 0,2-5, not \"%s\"", value);
	} else if (!strcmp(o->name, "tty")) {
		r = config_parse_tty(value, &number, e);
	} else if (!strcmp(o->name, "name")) {
		r = runtime_check_name(value, e);
		if (r < 0)
			err_prefix(e, "--name");
	}
	return r;
}
