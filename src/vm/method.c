// SPDX-License-Identifier: MIT
/* The methods of the control API: one table. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <yyjson.h>

#include "base/sys.h"
#include "hw/uart8250.h"
#include "virtio/balloon.h"
#include "vm/devices.h"
#include "vm/vm.h"

#define STATS_WAIT_NS UINT64_C(1000000000) /* for a guest that is asked for its statistics */
#define POLL_NS 10000000
#define PAGES_PER_MIB 256u
#define DUMP_BYTES 4096

struct call {
	struct lkvm_vm *vm;
	yyjson_val *params; /* an object, or NULL */
	yyjson_mut_doc *doc;
	yyjson_mut_val *result; /* an object to be filled */
};

static const char *state_name(struct lkvm_vm *vm)
{
	const char *name = "created";

	pthread_mutex_lock(&vm->lock);
	if (vm->state == VM_ENDED)
		name = "ended";
	else if (vm->state == VM_RUNNING)
		name = vm->user_paused ? "paused" : vm->suspended ? "suspended" : "running";
	pthread_mutex_unlock(&vm->lock);
	return name;
}

static int not_running(int r, struct err *e)
{
	return r < 0 ? err_set(e, r, "the guest is not running") : 0;
}

static int state(struct call *c, struct err *e)
{
	yyjson_mut_obj_add_str(c->doc, c->result, "state", state_name(c->vm));
	return 0;
}

static int version(struct call *c, struct err *e)
{
	yyjson_mut_obj_add_str(c->doc, c->result, "version", lkvm_version());
	return 0;
}

/* ---- stat ---- */

static void add_number(void *ctx, const char *name, uint64_t value)
{
	struct call *c = ctx;
	yyjson_mut_val *obj = yyjson_mut_obj_get(c->result, "irqchip");

	yyjson_mut_obj_add_uint(c->doc, obj, name, value);
}

static void stat_vcpus(struct call *c)
{
	yyjson_mut_val *array = yyjson_mut_obj_add_arr(c->doc, c->result, "vcpus");

	for (unsigned int i = 0; i < c->vm->machine.n_vcpus; i++) {
		struct vm_vcpu_stat *s = &c->vm->vcpu[i].stat;
		const struct {
			const char *name;
			atomic_ulong *n;
		} counters[] = {
			{ "exits", &s->exits }, { "mmio_reads", &s->mmio_reads }, { "mmio_writes", &s->mmio_writes },
			{ "unclaimed", &s->unclaimed }, { "interrupted", &s->interrupted }, { "other", &s->other },
		};
		yyjson_mut_val *obj = yyjson_mut_arr_add_obj(c->doc, array);

		for (unsigned int k = 0; k < ARRAY_SIZE(counters); k++)
			yyjson_mut_obj_add_uint(c->doc, obj, counters[k].name, atomic_load_explicit(counters[k].n, memory_order_relaxed));
	}
}

static void stat_devices(struct call *c)
{
	yyjson_mut_val *array = yyjson_mut_obj_add_arr(c->doc, c->result, "devices");

	pthread_mutex_lock(&c->vm->lock);
	for (unsigned int i = 0; i < c->vm->n_virtio; i++) {
		yyjson_mut_val *obj = yyjson_mut_arr_add_obj(c->doc, array);

		yyjson_mut_obj_add_strcpy(c->doc, obj, "name", c->vm->virtio[i].name);
		if (c->vm->virtio[i].transport)
			yyjson_mut_obj_add_uint(c->doc, obj, "ccw_exits", c->vm->machine.arch->attached_exits(c->vm->virtio[i].transport));
		else
			yyjson_mut_obj_add_uint(c->doc, obj, "mmio_exits", c->vm->virtio[i].mmio ? virtio_mmio_exits(c->vm->virtio[i].mmio) : 0);
	}
	pthread_mutex_unlock(&c->vm->lock);
}

static const char *const balloon_names[] = {
	[BALLOON_SWAP_IN] = "swap_in",
	[BALLOON_SWAP_OUT] = "swap_out",
	[BALLOON_MAJOR_FAULTS] = "major_faults",
	[BALLOON_MINOR_FAULTS] = "minor_faults",
	[BALLOON_FREE_MEMORY] = "free_memory",
	[BALLOON_TOTAL_MEMORY] = "total_memory",
	[BALLOON_AVAILABLE_MEMORY] = "available_memory",
	[BALLOON_DISK_CACHES] = "disk_caches",
	[BALLOON_HUGETLB_ALLOCATIONS] = "hugetlb_allocations",
	[BALLOON_HUGETLB_FAILURES] = "hugetlb_failures",
};

/* fresh: asks the guest and waits a moment for what it says. */
static void stat_balloon(struct call *c, bool fresh)
{
	const struct timespec nap = { .tv_nsec = POLL_NS };
	struct virtio_balloon_stats s;
	yyjson_mut_val *obj, *stats;
	uint64_t asked = sys_now_ns();
	uint32_t target, actual;

	virtio_balloon_get(c->vm->balloon, &target, &actual, &s);
	while (fresh && s.when < asked && sys_now_ns() - asked < STATS_WAIT_NS) {
		nanosleep(&nap, NULL);
		virtio_balloon_get(c->vm->balloon, &target, &actual, &s);
	}
	obj = yyjson_mut_obj_add_obj(c->doc, c->result, "balloon");
	yyjson_mut_obj_add_uint(c->doc, obj, "target", (uint64_t)target * 4096);
	yyjson_mut_obj_add_uint(c->doc, obj, "actual", (uint64_t)actual * 4096);
	stats = yyjson_mut_obj_add_obj(c->doc, obj, "stats");
	for (unsigned int i = 0; i < ARRAY_SIZE(balloon_names); i++)
		if (s.valid & 1u << i)
			yyjson_mut_obj_add_uint(c->doc, stats, balloon_names[i], s.value[i]);
}

static int stat_all(struct call *c, struct err *e)
{
	struct lkvm_vm *vm = c->vm;
	bool memory = yyjson_get_bool(yyjson_obj_get(c->params, "memory"));
	yyjson_mut_val *obj;

	if (memory && !vm->balloon)
		return err_set(e, -ENODEV, "this guest has no balloon to ask for its memory: start it with --balloon");
	if (vm->config->name)
		yyjson_mut_obj_add_strcpy(c->doc, c->result, "name", vm->config->name);
	yyjson_mut_obj_add_int(c->doc, c->result, "pid", getpid());
	yyjson_mut_obj_add_str(c->doc, c->result, "state", state_name(vm));
	yyjson_mut_obj_add_uint(c->doc, c->result, "uptime_ms", vm->started_ns ? (sys_now_ns() - vm->started_ns) / 1000000 : 0);
	obj = yyjson_mut_obj_add_obj(c->doc, c->result, "memory");
	yyjson_mut_obj_add_uint(c->doc, obj, "ram", vm->machine.ram_size);
	stat_vcpus(c);
	stat_devices(c);
	if (vm->machine.arch->irqchip) {
		obj = yyjson_mut_obj_add_obj(c->doc, c->result, "irqchip");
		yyjson_mut_obj_add_str(c->doc, obj, "kind", vm->machine.arch->irqchip(&vm->machine));
		if (vm->machine.arch->stat)
			vm->machine.arch->stat(&vm->machine, add_number, c);
	}
	if (vm->balloon)
		stat_balloon(c, memory);
	return 0;
}

/* ---- life ---- */

static int pause_guest(struct call *c, struct err *e)
{
	int r = not_running(lkvm_pause(c->vm), e);

	return r < 0 ? r : state(c, e);
}

static int resume_guest(struct call *c, struct err *e)
{
	int r = not_running(lkvm_resume(c->vm), e);

	return r < 0 ? r : state(c, e);
}

static int shutdown_guest(struct call *c, struct err *e)
{
	const struct arch_ops *arch = c->vm->machine.arch;
	int r;

	if (!arch->ask_shutdown)
		return err_set(e, -EOPNOTSUPP, "%s guests have no power button: use stop", arch->name);
	r = arch->ask_shutdown(&c->vm->machine);
	return r < 0 ? err_set(e, r, "the guest does not listen (%s): use stop", err_name(r)) : 0;
}

static int stop_guest(struct call *c, struct err *e)
{
	return lkvm_stop(c->vm);
}

/* ---- balloon ---- */

static int balloon(struct call *c, struct err *e)
{
	static const char *const keys[] = { "size", "inflate", "deflate" };
	struct lkvm_vm *vm = c->vm;
	uint32_t target;
	uint64_t mib;

	if (!vm->balloon)
		return err_set(e, -ENODEV, "this guest has no balloon: start it with --balloon");
	virtio_balloon_get(vm->balloon, &target, NULL, NULL);
	mib = target / PAGES_PER_MIB;
	for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++) {
		yyjson_val *v = yyjson_obj_get(c->params, keys[i]);
		uint64_t n = yyjson_get_uint(v), ram = vm->machine.ram_size >> 20;

		if (!v)
			continue;
		if (!yyjson_is_uint(v) || n > ram)
			return err_set(e, -EINVAL, "\"%s\" takes a number of MiB, at most the guest's %" PRIu64, keys[i], ram);
		mib = i == 0 ? n : i == 1 ? mib + n : mib - MIN(n, mib);
		if (mib >= ram)
			return err_set(e, -EINVAL, "a balloon of %" PRIu64 " MiB would leave nothing of the guest's %" PRIu64 " MiB", mib, ram);
	}
	virtio_balloon_set_target(vm->balloon, (uint32_t)mib * PAGES_PER_MIB);
	yyjson_mut_obj_add_uint(c->doc, c->result, "target", mib << 20);
	return 0;
}

/* ---- devices ---- */

static int attach(struct call *c, struct err *e)
{
	yyjson_obj_iter iter = yyjson_obj_iter_with(c->params);
	yyjson_val *key = yyjson_obj_iter_next(&iter), *v = yyjson_obj_iter_get_val(key);
	const char *value = yyjson_get_str(v);
	struct vm_virtio row;
	int r;

	if (!value || yyjson_obj_size(c->params) != 1 || strlen(value) != yyjson_get_len(v))
		return err_set(e, -EINVAL, "\"attach\" takes one of \"disk\", \"9p\" and \"network\", with what lkvm run's option takes");
	r = vm_attach(c->vm, yyjson_get_str(key), value, &row, e);
	if (r < 0)
		return r;
	yyjson_mut_obj_add_strcpy(c->doc, c->result, "name", row.name);
	yyjson_mut_obj_add_uint(c->doc, c->result, "number", row.number);
	return 0;
}

static int detach(struct call *c, struct err *e)
{
	const char *name = yyjson_get_str(yyjson_obj_get(c->params, "device"));

	return name ? vm_detach(c->vm, name, e) : err_set(e, -EINVAL, "\"detach\" takes the \"device\", by the name that \"stat\" gives it");
}

/* ---- looking inside ---- */

struct register_list {
	struct call *call;
	yyjson_mut_val *obj;
};

static void add_register(void *ctx, const struct arch_reg *reg)
{
	const uint16_t probe = 1;
	bool little = *(const uint8_t *)&probe;
	struct register_list *list = ctx;
	yyjson_mut_doc *doc = list->call->doc;
	char text[2 * sizeof(reg->value) + 3] = "0x";
	yyjson_mut_val *key = yyjson_mut_strcpy(doc, reg->name);

	for (unsigned int i = 0; i < reg->size; i++)
		snprintf(text + 2 + 2 * i, 3, "%02x", reg->value[little ? reg->size - 1 - i : i]);
	yyjson_mut_obj_add(list->obj, key, reg->readable ? yyjson_mut_strcpy(doc, text) : yyjson_mut_null(doc));
}

static int regs(struct call *c, struct err *e)
{
	struct machine *m = &c->vm->machine;
	yyjson_mut_val *array;
	int r = not_running(vm_hold(c->vm), e);

	if (r < 0)
		return r;
	array = yyjson_mut_obj_add_arr(c->doc, c->result, "vcpus");
	for (unsigned int i = 0; i < m->n_vcpus && r >= 0; i++) {
		yyjson_mut_val *vcpu = yyjson_mut_arr_add_obj(c->doc, array);
		struct register_list list = { c, yyjson_mut_obj_add_obj(c->doc, vcpu, "registers") };

		r = m->arch->for_each_reg(m, i, add_register, &list);
		if (r < 0)
			err_set(e, r, "the registers of vCPU %u cannot be read: %s", i, err_name(r));
	}
	vm_release(c->vm);
	return MIN(r, 0);
}

static int dump(struct call *c, struct err *e)
{
	struct machine *m = &c->vm->machine;
	yyjson_mut_val *array;
	char text[DUMP_BYTES];
	int r = not_running(vm_hold(c->vm), e);

	if (r < 0)
		return r;
	array = yyjson_mut_obj_add_arr(c->doc, c->result, "dump");
	for (unsigned int i = 0; i < m->n_vcpus; i++) {
		text[0] = 0;
		m->arch->dump_vcpu(m, i, text, sizeof(text));
		yyjson_mut_arr_add_strcpy(c->doc, array, text);
	}
	vm_release(c->vm);
	return 0;
}

/* Linux's "magic" key on a serial port: a break, then the command. */
static int sysrq(struct call *c, yyjson_val *v, struct err *e)
{
	struct uart8250 *uart = c->vm->uart[0];
	struct machine *m = &c->vm->machine;
	int r;

	if (yyjson_get_len(v) != 1)
		return err_set(e, -EINVAL, "\"sysrq\" takes one character");
	if (!uart && !m->arch->sysrq)
		return err_set(e, -ENODEV, "this guest has no serial port");
	r = uart ? uart8250_break(uart) : m->arch->sysrq(m, yyjson_get_str(v)[0]);
	if (r >= 0 && uart)
		r = uart8250_receive(uart, (uint8_t)yyjson_get_str(v)[0]);
	return r < 0 ? err_set(e, r, "the guest does not read its serial port") : 0;
}

static int debug(struct call *c, struct err *e)
{
	yyjson_val *key = yyjson_obj_get(c->params, "sysrq"), *nmi = yyjson_obj_get(c->params, "nmi");
	struct machine *m = &c->vm->machine;
	int r = 0;

	if (nmi && !m->arch->nmi)
		return err_set(e, -EOPNOTSUPP, "there is no non-maskable interrupt on this architecture: use --dump or --sysrq");
	if (nmi && (r = m->arch->nmi(m, (unsigned int)MIN(yyjson_get_uint(nmi), UINT32_MAX))) < 0)
		return err_set(e, r, "\"nmi\" takes the number of a vCPU");
	if (yyjson_get_bool(yyjson_obj_get(c->params, "dump")))
		r = dump(c, e);
	if (r >= 0 && key)
		r = sysrq(c, key, e);
	return r;
}

/* ---- the table ---- */

static int help(struct call *c, struct err *e);

static const struct {
	const char *name;
	int (*fn)(struct call *c, struct err *e);
	const char *help;
} methods[] = {
	{ "help", help, "the methods" },
	{ "version", version, "the library's version" },
	{ "state", state, "created, running, paused, suspended or ended" },
	{ "stat", stat_all, "counters; {\"memory\":true} asks the guest for its own" },
	{ "pause", pause_guest, "stops the vCPUs and the devices" },
	{ "resume", resume_guest, "goes on after a pause, or wakes a guest that suspended itself" },
	{ "shutdown", shutdown_guest, "asks the guest to shut itself down (s390x)" },
	{ "stop", stop_guest, "ends the guest as if its power were cut" },
	{ "balloon", balloon, "{\"size\":MIB}, {\"inflate\":MIB} or {\"deflate\":MIB}" },
	{ "attach", attach, "{\"disk\":\"PATH[,KEY]...\"}, {\"9p\":...} or {\"network\":...}: a device for the running guest (s390x), its name and number" },
	{ "detach", detach, "{\"device\":\"NAME\"}: takes such a device away (s390x)" },
	{ "debug", debug, "{\"dump\":true}: the vCPUs' state as text; {\"sysrq\":\"CHAR\"}: a break and CHAR on the serial port; {\"nmi\":N} (s390x: PSW restart of vCPU N)" },
	{ "regs", regs, "every register of every vCPU" },
};

static int help(struct call *c, struct err *e)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(methods); i++)
		yyjson_mut_obj_add_str(c->doc, c->result, methods[i].name, methods[i].help);
	return 0;
}

static int find_method(const char *name, struct err *e)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(methods); i++)
		if (!strcmp(methods[i].name, name))
			return (int)i;
	return err_set(e, -ENOENT, "there is no method \"%.64s\"; \"help\" lists them", name);
}

static int call_method(struct call *c, int method, char **ret_reply, struct err *e)
{
	int r;

	c->doc = yyjson_mut_doc_new(NULL);
	c->result = yyjson_mut_obj(c->doc);
	if (!c->result) {
		yyjson_mut_doc_free(c->doc);
		return err_set(e, -ENOMEM, "out of memory");
	}
	yyjson_mut_doc_set_root(c->doc, c->result);
	r = methods[method].fn(c, e);
	if (r >= 0) {
		/* A guest's name may be any bytes. */
		char *reply = yyjson_mut_write(c->doc, YYJSON_WRITE_ALLOW_INVALID_UNICODE, NULL);

		if (reply)
			*ret_reply = reply;
		else
			r = err_set(e, -ENOMEM, "out of memory");
	}
	yyjson_mut_doc_free(c->doc);
	return r;
}

int control_call(struct lkvm_vm *vm, const char *method, const char *params, char **ret_reply, struct err *e)
{
	struct call c = { .vm = vm };
	yyjson_doc *doc = NULL;
	int r = find_method(method, e);

	if (r < 0)
		return r;
	if (params) {
		doc = yyjson_read(params, strlen(params), 0);
		c.params = yyjson_doc_get_root(doc);
		if (!yyjson_is_obj(c.params)) {
			yyjson_doc_free(doc);
			return err_set(e, -EBADMSG, "the parameters of \"%s\" are no JSON object", method);
		}
	}
	r = call_method(&c, r, ret_reply, e);
	yyjson_doc_free(doc);
	return r;
}

int lkvm_control(struct lkvm_vm *vm, const char *method, const char *params, char **ret_reply, struct lkvm_error *e)
{
	struct err err = { 0 };
	int r = control_call(vm, method, params, ret_reply, &err);

	if (r < 0)
		vm_error_copy(e, &err);
	return r;
}
