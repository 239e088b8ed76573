// SPDX-License-Identifier: MIT
/*
 * Devices that come and go while the guest runs: the scripted RISC-V machine with a channel subsystem in it, whose device numbers and channel reports are looked at as a guest does.
 */
#include <dirent.h>

#include "hw/css.h"
#include "tests/mock_ccw.h"
#include "tests/scripted_vm.h"
#include "tests/temp_dir.h"

enum { VDEV_RESET = 0x33 };

static char folder[256];
static atomic_uint reports;
static struct mock_driver *driver; /* what hears adapter interrupts */

/* ---- the architecture ---- */

static void io_interrupt(void *ctx, uint32_t sid, uint32_t intparm, unsigned int isc)
{
}

static void io_interrupt_clear(void *ctx, uint32_t sid, unsigned int isc)
{
}

static void crw_pending(void *ctx)
{
	atomic_fetch_add(&reports, 1);
}

static void defer(void *ctx)
{
}

static void adapter_interrupt(void *ctx, unsigned int isc)
{
	atomic_fetch_add(&driver->raises, 1);
}

static int hot_prepare(struct machine *m, struct err *e)
{
	static const struct css_machine_ops ops = { io_interrupt, io_interrupt_clear, crw_pending, defer };
	int r = arch_riscv64.prepare(m, e);

	if (r >= 0)
		r = memory_add(m->memory, MOCK_LOW_BASE, MOCK_LOW_SIZE, &(struct memory_backing){ 0 }, e);
	return r < 0 ? r : css_create(&(struct css_config){ .memory = m->memory, .ops = &ops }, &m->css, e);
}

static int hot_attach(struct machine *m, struct virtio_device *vd, unsigned int index, bool hotplug, void **ret, struct err *e)
{
	static const struct virtio_ccw_machine_ops ops = { .adapter_interrupt = adapter_interrupt };
	const struct virtio_ccw_config config = { .ops = &ops, .devno = (uint16_t)index, .hotplug = hotplug };
	struct virtio_ccw *c;
	int r = virtio_ccw_create(vd, m->css, &config, &c, e);

	if (r >= 0)
		*ret = c;
	return r;
}

static void hot_detach(struct machine *m, void *transport)
{
	virtio_ccw_destroy(transport);
}

static uint64_t hot_exits(const void *transport)
{
	return virtio_ccw_exits(transport);
}

static void hot_destroy(struct machine *m)
{
	css_destroy(m->css);
	arch_riscv64.destroy(m);
}

static void hot_init(struct test_vm *t, struct arch_ops *arch)
{
	*arch = arch_riscv64;
	arch->prepare = hot_prepare;
	arch->attach = hot_attach;
	arch->detach = hot_detach;
	arch->attached_exits = hot_exits;
	arch->destroy = hot_destroy;
	atomic_store(&reports, 0);
	tv_init(t);
	t->config->arch = arch;
	tv_set(t, "virtio-transport", "ccw");
	tv_set(t, "rng", NULL);
}

/* ---- calls ---- */

static int call(struct test_vm *t, const char *name, const char *params, const char *says)
{
	struct lkvm_error e = { 0 };
	char *reply = NULL;
	int r = lkvm_control(t->vm, name, params, &reply, &e);

	if (says && !strstr(r < 0 ? e.message : reply, says)) {
		fprintf(stderr, "%s(%s) gives %s, without \"%s\"\n", name, params ? params : "", r < 0 ? e.message : reply, says);
		CHECK(!"the reply");
	}
	free(reply);
	return r;
}

static int attach_disk(struct test_vm *t, const char *name, const char *keys, const char *says)
{
	char params[512];

	snprintf(params, sizeof(params), "{\"disk\":\"%s/%s%s\"}", folder, name, keys);
	return call(t, "attach", params, says);
}

static unsigned int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Valid devices as STSCH finds them; *ret_sid is that of the highest device number. */
static unsigned int visible(struct test_vm *t, uint32_t *ret_sid)
{
	struct css_schib schib;
	unsigned int n = 0, highest = 0;

	for (uint32_t sid = 0x10000; css_stsch(t->vm->machine.css, sid, &schib) == 0; sid++) {
		if (!(get_be16(schib.pmcw.flags) & PMCW_VALID))
			continue;
		if (!n++ || get_be16(schib.pmcw.devno) >= highest) {
			highest = get_be16(schib.pmcw.devno);
			if (ret_sid)
				*ret_sid = sid;
		}
	}
	return n;
}

static unsigned int drain(struct test_vm *t)
{
	struct css_crw crw;
	unsigned int n = 0;

	while (css_stcrw(t->vm->machine.css, &crw) == 0)
		n++;
	return n;
}

/* ---- tests ---- */

static void test_come_and_go(void)
{
	struct arch_ops arch;
	struct test_vm t;

	hot_init(&t, &arch);
	CHECK_EQ(tv_create(&t), 0);
	CHECK_EQ(attach_disk(&t, "a", "", "not running"), -ESRCH);
	CHECK_EQ(lkvm_start(t.vm, &t.e), 0);
	CHECK_EQ(visible(&t, NULL), 1);
	CHECK_EQ(drain(&t), 0); /* what was there from the start is reported to nobody */
	CHECK_EQ(attach_disk(&t, "a", "", "{\"name\":\"blk0\",\"number\":1}"), 0);
	CHECK_EQ(atomic_load(&reports), 1);
	CHECK_EQ(visible(&t, NULL), 2);
	CHECK(drain(&t));
	CHECK_EQ(attach_disk(&t, "b", ",ro,serial=x", "{\"name\":\"blk1\",\"number\":2}"), 0);
	CHECK_EQ(call(&t, "stat", NULL, "{\"name\":\"blk1\",\"ccw_exits\":0}"), 0);
	drain(&t);
	CHECK_EQ(call(&t, "detach", "{\"device\":\"blk0\"}", "{}"), 0);
	CHECK_EQ(atomic_load(&reports), 3);
	CHECK(drain(&t));
	CHECK_EQ(visible(&t, NULL), 2);
	CHECK_EQ(call(&t, "detach", "{\"device\":\"blk0\"}", "no device"), -ENODEV);
	/* The first free name, but a number that the guest has never seen; its file is free again, too. */
	CHECK_EQ(attach_disk(&t, "a", "", "{\"name\":\"blk0\",\"number\":3}"), 0);
	CHECK_EQ(call(&t, "detach", "{\"device\":\"blk1\"}", "{}"), 0);
	CHECK_EQ(call(&t, "stat", NULL, "[{\"name\":\"rng0\",\"ccw_exits\":0},{\"name\":\"blk0\",\"ccw_exits\":0}]"), 0);
	/* While it is paused; the device waits with the guest. */
	CHECK_EQ(call(&t, "pause", NULL, "paused"), 0);
	CHECK_EQ(attach_disk(&t, "b", "", "blk1"), 0);
	CHECK(t.vm->virtio[2].vd->paused);
	CHECK_EQ(call(&t, "detach", "{\"device\":\"blk0\"}", "{}"), 0);
	CHECK_EQ(call(&t, "resume", NULL, "running"), 0);
	CHECK(!t.vm->virtio[1].vd->paused);
	lkvm_stop(t.vm);
	CHECK_EQ(lkvm_wait(t.vm, NULL), 0);
	CHECK_EQ(attach_disk(&t, "a", "", "not running"), -ESRCH);
	CHECK_EQ(call(&t, "detach", "{\"device\":\"blk1\"}", "not running"), -ESRCH);
	tv_done(&t);
}

static void test_bad_input(void)
{
	static const struct {
		const char *method, *params;
		int code;
		const char *says;
	} bad[] = {
		{ "attach", NULL, -EINVAL, "takes one of" },
		{ "attach", "{}", -EINVAL, "takes one of" },
		{ "attach", "{\"disk\":1}", -EINVAL, "takes one of" },
		{ "attach", "{\"disk\":\"/nowhere\\u0000\"}", -EINVAL, "takes one of" },
		{ "attach", "{\"disk\":\"/a\",\"network\":\"tap\"}", -EINVAL, "takes one of" },
		{ "attach", "{\"tape\":\"/a\"}", -EINVAL, "\"tape\" cannot be attached" },
		{ "attach", "{\"disk\":\"\"}", -EINVAL, "no path" },
		{ "attach", "{\"disk\":\"/nowhere/at/all\"}", -ENOENT, "/nowhere/at/all" },
		{ "attach", "{\"disk\":\"/a,frobnicate\"}", -EINVAL, "frobnicate" },
		{ "attach", "{\"disk\":\"/a,queues=17\"}", -EINVAL, "queues" },
		{ "attach", "{\"disk\":\"/tmp\"}", -EINVAL, "--9p" },
		{ "attach", "{\"9p\":\"/nowhere/at/all,tag\"}", -ENOENT, "/nowhere/at/all" },
		{ "attach", "{\"network\":\"mode=none\"}", -EINVAL, "no network card" },
		{ "attach", "{\"network\":\"mode=tap,fd=0\"}", -EINVAL, NULL },
		{ "detach", NULL, -EINVAL, "\"device\"" },
		{ "detach", "{\"device\":3}", -EINVAL, "\"device\"" },
		{ "detach", "{\"device\":\"\"}", -ENODEV, "no device" },
		{ "detach", "{\"device\":\"rng0\"}", -EBUSY, "rng0 stays" },
	};
	struct arch_ops arch;
	struct test_vm t;
	unsigned int before;

	hot_init(&t, &arch);
	tv_start(&t);
	CHECK_EQ(attach_disk(&t, "b", "", "blk0"), 0);
	CHECK_EQ(call(&t, "attach", "{\"disk\":\"/nowhere\"}", NULL), -ENOENT);
	before = descriptors();
	drain(&t);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_EQ(call(&t, bad[i].method, bad[i].params, bad[i].says), bad[i].code);
	CHECK(attach_disk(&t, "b", "", folder) < 0); /* in use, by this guest */
	/* Room for so many and no more; the last one's file is closed again. */
	while (t.vm->n_virtio < arch_riscv64.map->n_virtio)
		CHECK_EQ(attach_disk(&t, "a", ",ro", "blk"), 0);
	drain(&t);
	before += t.vm->n_virtio - 2;
	CHECK_EQ(attach_disk(&t, "a", ",ro", "room for"), -ENOSPC);
	CHECK_EQ(drain(&t), 0);
	CHECK_EQ(visible(&t, NULL), arch_riscv64.map->n_virtio);
	CHECK_EQ(descriptors(), before);
	tv_done(&t);

	/* A machine whose devices are on virtio-mmio. */
	tv_init(&t);
	tv_set(&t, "rng", NULL);
	tv_start(&t);
	CHECK_EQ(attach_disk(&t, "a", "", "lkvm run"), -EOPNOTSUPP);
	CHECK_EQ(call(&t, "detach", "{\"device\":\"rng0\"}", "lkvm run"), -EOPNOTSUPP);
	tv_done(&t);
}

struct worker {
	struct test_vm *t;
	struct mock_driver *d;
	atomic_bool done;
};

static void *detach_it(void *ctx)
{
	struct worker *w = ctx;

	CHECK_EQ(call(w->t, "detach", "{\"device\":\"blk0\"}", NULL), 0);
	atomic_store(&w->done, true);
	return NULL;
}

static void *reset_it(void *ctx)
{
	struct worker *w = ctx;
	struct css_orb orb = { 0 };
	uint8_t ccw[8] = { VDEV_RESET };

	/* Without the TSCH: the device may be gone by then. */
	put_be32(ccw + 4, (uint32_t)w->d->base + MOCK_LOW_DATA);
	CHECK_EQ(memory_write(w->d->vm->memory, w->d->base + MOCK_LOW_CCW, ccw, sizeof(ccw)), 0);
	put_be32(orb.flags, ORB_FORMAT1 | 0x8000 /* path 0 */);
	put_be32(orb.cpa, (uint32_t)w->d->base + MOCK_LOW_CCW);
	mock_ccw_alert(w->d);
	CHECK_EQ(css_ssch(w->d->vm->css, w->d->sid, &orb), 0);
	atomic_store(&w->done, true);
	return NULL;
}

static bool is_resetting(struct virtio_device *vd)
{
	bool is;

	virtio_lock(vd);
	is = vd->resetting;
	virtio_unlock(vd);
	return is;
}

static void finish(void *vd)
{
	virtio_lock(vd);
	virtio_put(vd);
	virtio_unlock(vd);
}

/* A disk with a driver, that goes with a request in flight: at once with the vCPU waiting for the same in a reset, too. */
static void test_in_flight(bool reset)
{
	uint8_t header[16] = { 0 }, sector[513];
	struct worker detach = { 0 }, other = { 0 };
	struct mock_vm vm = { .next = MOCK_RAM_BASE + MIB(1) };
	struct mock_driver d = { .transport = &mock_over_ccw, .vm = &vm, .base = MOCK_LOW_BASE };
	struct virtio_device *vd;
	pthread_t thread[2];
	struct arch_ops arch;
	struct test_vm t;

	hot_init(&t, &arch);
	tv_start(&t);
	CHECK_EQ(attach_disk(&t, "a", "", "blk0"), 0);
	vm.memory = t.vm->machine.memory;
	vm.css = t.vm->machine.css;
	vm.loop = t.vm->machine.loop;
	vm.env = t.vm->env;
	d.vd = vd = t.vm->virtio[1].vd;
	driver = &d;
	CHECK_EQ(visible(&t, &d.sid), 2);
	mock_ccw_enable(&d);
	CHECK(mock_ccw_revision(&d, 2));
	CHECK_EQ(mock_device_id(&d), 2);
	CHECK_EQ(mock_start(&d, MOCK_ALL), 0);
	CHECK_EQ(mock_request(&d, 0, header, sizeof(header), sector, sizeof(sector)), 513);
	CHECK(sector[0] == 'a' && !sector[512]);

	virtio_lock(vd);
	virtio_get(vd);
	virtio_unlock(vd);
	detach.t = other.t = &t;
	other.d = &d;
	if (reset) {
		pthread_create(&thread[1], NULL, reset_it, &other);
		while (!is_resetting(vd))
			poll(NULL, 0, 1);
	}
	pthread_create(&thread[0], NULL, detach_it, &detach);
	poll(NULL, 0, 100);
	CHECK(!atomic_load(&detach.done) && !atomic_load(&other.done));
	CHECK_EQ(call(&t, "stat", NULL, "\"rng0\""), 0); /* nobody else waits */
	loop_post(t.vm->machine.loop, finish, vd);
	for (unsigned int i = 0; i <= reset; i++)
		pthread_join(thread[i], NULL);
	CHECK_EQ(visible(&t, NULL), 1);
	CHECK_EQ(virtio_ccw_notify(vm.css, d.sid, 0), -EINVAL);
	CHECK_EQ(attach_disk(&t, "a", "", "blk0"), 0); /* its file is free */
	tv_done(&t);
}

static void *attach_and_detach(void *ctx)
{
	struct test_vm *t = ctx;

	for (unsigned int i = 0; i < 40; i++) {
		attach_disk(t, "a", ",ro", NULL);
		call(t, "detach", i & 1 ? "{\"device\":\"blk1\"}" : "{\"device\":\"blk0\"}", NULL);
		call(t, i & 1 ? "pause" : "resume", NULL, NULL);
		call(t, "stat", NULL, NULL);
	}
	return NULL;
}

/* From several clients at once, and the end comes in the middle of it. */
static void test_crowd(void)
{
	pthread_t thread[3];
	struct arch_ops arch;
	struct test_vm t;

	hot_init(&t, &arch);
	tv_start(&t);
	for (unsigned int i = 0; i < ARRAY_SIZE(thread); i++)
		pthread_create(&thread[i], NULL, attach_and_detach, &t);
	for (unsigned int i = 0; i < 100; i++) {
		struct css_crw crw;

		css_stcrw(t.vm->machine.css, &crw);
		poll(NULL, 0, 1);
	}
	lkvm_stop(t.vm);
	CHECK_EQ(lkvm_wait(t.vm, NULL), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(thread); i++)
		pthread_join(thread[i], NULL);
	CHECK_EQ(visible(&t, NULL), t.vm->n_virtio);
	tv_done(&t);
}

int main(void)
{
	char path[300];

	alarm(250);
	temp_dir_make(folder, sizeof(folder));
	temp_file_write(folder, "a", "a disk");
	temp_file_write(folder, "b", "b disk");
	snprintf(path, sizeof(path), "%s/a", folder);
	CHECK_EQ(truncate(path, 65536), 0);
	snprintf(path, sizeof(path), "%s/b", folder);
	CHECK_EQ(truncate(path, 65536), 0);
	test_come_and_go();
	test_bad_input();
	test_in_flight(false);
	test_in_flight(true);
	test_crowd();
	temp_dir_remove(folder);
	return test_result();
}
