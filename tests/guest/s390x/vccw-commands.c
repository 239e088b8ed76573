// SPDX-License-Identifier: MIT
/* Each command of virtio over channel I/O, with good and with bad input; notifications; classic and adapter interrupts. */
#include "vccw.h"

static uint32_t sid;
static struct vccw v;
static struct vccw_revision revision;
static struct vccw_features features;
static struct vccw_vq vq;
static struct {
	uint16_t index, max;
} vq_config;
static uint8_t status, config[64];
static uint64_t address;
static struct vccw_adapter adapter;
static struct irb irb;
static struct ccw nop[1];
static struct orb orb;
static volatile uint8_t summary;
static volatile uint64_t bits;
#define NOWHERE (1UL << 44)

/* Whatever check it is. */
static bool refused(const struct result *r)
{
	return !r->cc && !r->tsch && r->irb.scsw.word0 & SC_PENDING && (r->irb.scsw.channel || r->irb.scsw.device & DS_UNIT_CHECK);
}

static void refuses(const char *what, uint8_t command, unsigned int count, const void *data)
{
	struct result r = vccw_command(sid, command, CCW_SLI, count, data);

	if (!judge(what, refused(&r)))
		css_dump_irb(&r.irb);
}

/* SLI: where a machine says that there is a length to be checked, it is. */
static void short_count(const char *what, uint8_t command, unsigned int count, const void *data)
{
	struct result r = vccw_command(sid, command, 0, count, data);

	if (!judge(what, refused(&r)))
		css_dump_irb(&r.irb);
}

/* Enabling makes a revision unset. */
static bool fresh(unsigned int to)
{
	revision = (struct vccw_revision){ .revision = (uint16_t)to };
	return css_enable(sid, false, 3, 0) && css_enable(sid, true, 3, sid) && vccw_do(sid, VCCW_SET_REVISION, 4, &revision) && vccw_do(sid, VCCW_RESET, 0, NULL);
}

static bool set_status(uint8_t to)
{
	status = to;
	return vccw_do(sid, VCCW_WRITE_STATUS, 1, &status);
}

static void revisions(void)
{
	struct result r;

	css_enable(sid, false, 3, 0);
	css_enable(sid, true, 3, sid);
	/* Any other command first makes the driver a legacy one. */
	judge("reset", vccw_do(sid, VCCW_RESET, 0, NULL));
	revision = (struct vccw_revision){ .revision = 1 };
	r = vccw_command(sid, VCCW_SET_REVISION, 0, 4, &revision);
	judge_unit_check("revision-after-reset", sid, &r, 0x80);
	css_enable(sid, false, 3, 0);
	css_enable(sid, true, 3, sid);
	revision = (struct vccw_revision){ .revision = 0x7fff };
	r = vccw_command(sid, VCCW_SET_REVISION, 0, 4, &revision);
	judge_unit_check("revision-unknown", sid, &r, 0x80);
	revision = (struct vccw_revision){ .revision = 1 };
	short_count("revision-short", VCCW_SET_REVISION, 2, &revision);
	refuses("revision-short-suppressed", VCCW_SET_REVISION, 2, &revision);
	r = vccw_command(sid, VCCW_SET_REVISION, 0, 4, &revision);
	judge_good("revision-1", &r, ANY_CCW, 0);
	r = vccw_command(sid, VCCW_SET_REVISION, 0, 4, &revision);
	judge_unit_check("revision-twice", sid, &r, 0x80);
	r = vccw_command(sid, VCCW_READ_STATUS, 0, 1, &status);
	judge_unit_check("read-status-in-revision-1", sid, &r, 0x80);
	judge("revision-2", fresh(2));
	status = 0xee;
	judge("read-status", vccw_do(sid, VCCW_READ_STATUS, 1, &status) && status == 0);
	judge("revision-0", fresh(0));
	r = vccw_command(sid, VCCW_READ_STATUS, 0, 1, &status);
	judge_unit_check("read-status-in-revision-0", sid, &r, 0x80);
	revision = (struct vccw_revision){ .revision = 1, .length = 4 };
	css_enable(sid, false, 3, 0);
	css_enable(sid, true, 3, sid);
	refuses("revision-with-missing-data", VCCW_SET_REVISION, 4, &revision);
}

static void feature_bits(void)
{
	uint32_t offered;

	judge("revision-for-features", fresh(2));
	features = (struct vccw_features){ 0, 1 };
	judge("read-features", vccw_do(sid, VCCW_READ_FEATURES, sizeof(features), &features));
	offered = le32(features.features);
	judge_equal("version-1-offered", offered & 1, 1);
	judge_equal("features-keep-index", features.index, 1);
	features = (struct vccw_features){ 0xffffffff, 200 };
	judge("read-features-beyond", vccw_do(sid, VCCW_READ_FEATURES, sizeof(features), &features) && !features.features);
	short_count("read-features-short", VCCW_READ_FEATURES, 3, &features);
	short_count("write-features-short", VCCW_WRITE_FEATURES, 3, &features);
	judge("write-status", set_status(STATUS_ACKNOWLEDGE | STATUS_DRIVER));
	judge("status-is-kept", vccw_do(sid, VCCW_READ_STATUS, 1, &status) && status == (STATUS_ACKNOWLEDGE | STATUS_DRIVER));
	/* What is not offered is not accepted. */
	features = (struct vccw_features){ le32(1 | ~offered), 1 };
	(void)vccw_command(sid, VCCW_WRITE_FEATURES, 0, sizeof(features), &features);
	status = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK;
	refuses("features-not-offered", VCCW_WRITE_STATUS, 1, &status);
	judge("revision-for-features-again", fresh(2));
	judge("status-after-reset", vccw_do(sid, VCCW_READ_STATUS, 1, &status) && status == 0);
	set_status(STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	features = (struct vccw_features){ le32(1), 1 };
	judge("write-features", vccw_do(sid, VCCW_WRITE_FEATURES, sizeof(features), &features));
	judge("features-ok", set_status(STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK));
}

/* Up to where queues are set up. */
static bool negotiated(void)
{
	if (!fresh(1) || !set_status(STATUS_ACKNOWLEDGE | STATUS_DRIVER))
		return false;
	features = (struct vccw_features){ le32(1), 1 };
	return vccw_do(sid, VCCW_WRITE_FEATURES, sizeof(features), &features) && set_status(STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
}

static void queues(void)
{
	judge("revision-for-queues", negotiated());
	vq_config.index = 0;
	vq_config.max = 0;
	judge("read-queue", vccw_do(sid, VCCW_READ_VQ, 4, &vq_config) && vq_config.max >= VCCW_QUEUE && vq_config.index == 0);
	vq_config.index = 0xfff0;
	vq_config.max = 0xffff;
	{
		struct result r = vccw_command(sid, VCCW_READ_VQ, 0, 4, &vq_config);

		judge("read-queue-beyond", refused(&r) || (!r.cc && vq_config.max == 0));
	}
	short_count("read-queue-short", VCCW_READ_VQ, 3, &vq_config);
	vq = (struct vccw_vq){ .desc = ABSOLUTE(v.desc), .num = VCCW_QUEUE, .driver = ABSOLUTE(&v.avail), .device = ABSOLUTE(&v.used) };
	short_count("set-queue-short", VCCW_SET_VQ, sizeof(vq) - 1, &vq);
	refuses("set-queue-short-suppressed", VCCW_SET_VQ, sizeof(vq) - 1, &vq);
	vq.index = 0xfff0;
	refuses("set-queue-beyond", VCCW_SET_VQ, sizeof(vq), &vq);
	vq.index = 0;
	vq.num = 0x8000;
	refuses("set-queue-too-large", VCCW_SET_VQ, sizeof(vq), &vq);
	vq.num = VCCW_QUEUE;
	judge("set-queue", vccw_do(sid, VCCW_SET_VQ, sizeof(vq), &vq));
	refuses("set-queue-nowhere", VCCW_SET_VQ, sizeof(vq), (void *)0x7fff0000);
}

static void configuration(void)
{
	struct device *disk = css_virtio(2);
	struct result r;

	if (!disk)
		return skip("configuration", "there is no disk");
	sid = disk->sid;
	fresh(1);
	features = (struct vccw_features){ le32(1), 1 };
	judge("configuration-features", vccw_do(sid, VCCW_WRITE_FEATURES, sizeof(features), &features));
	memset(config, 0xee, sizeof(config));
	judge("read-config", vccw_do(sid, VCCW_READ_CONFIG, 8, config) && config[8] == 0xee);
	judge("read-config-capacity", le64(*(uint64_t *)(void *)config) > 0 && le64(*(uint64_t *)(void *)config) < 1UL << 40);
	r = vccw_command(sid, VCCW_READ_CONFIG, CCW_SLI, 4, config + 16);
	judge("read-config-part", !r.cc && !r.irb.scsw.channel && !memcmp(config, config + 16, 4) && config[20] == 0xee);
	r = vccw_command(sid, VCCW_READ_CONFIG, CCW_SLI, 4096, 0);
	refuses("read-config-nowhere", VCCW_READ_CONFIG, 8, (void *)0x7fff0000);
	r = vccw_command(sid, VCCW_WRITE_CONFIG, CCW_SLI, 8, config);
	judge("write-config", !r.cc && !r.tsch);
	memset(config, 0, 8);
	judge("config-after-write", vccw_do(sid, VCCW_READ_CONFIG, 8, config) && *(uint64_t *)(void *)config);
	refuses("write-config-nowhere", VCCW_WRITE_CONFIG, 8, (void *)0x7fff0000);
	r = vccw_command(sid, 0x7b, CCW_SLI, 4, config);
	judge_unit_check("unknown-command", sid, &r, 0x80);
}

static void indicators(void)
{
	judge("revision-for-indicators", fresh(1));
	address = ABSOLUTE(&v.indicators);
	judge("set-indicators", vccw_do(sid, VCCW_SET_INDICATORS, 8, &address));
	short_count("set-indicators-short", VCCW_SET_INDICATORS, 4, &address);
	judge("set-config-indicators", vccw_do(sid, VCCW_SET_CONFIG_INDICATORS, 8, &address));
	short_count("set-config-indicators-short", VCCW_SET_CONFIG_INDICATORS, 4, &address);
	/* Whether that is refused is left to the device. */
	address = NOWHERE;
	(void)vccw_command(sid, VCCW_SET_INDICATORS, CCW_SLI, 8, &address);
	(void)vccw_command(sid, VCCW_SET_CONFIG_INDICATORS, CCW_SLI, 8, &address);
	adapter = (struct vccw_adapter){ ABSOLUTE(&summary), ABSOLUTE(&bits), 0, 5 };
	short_count("set-adapter-short", VCCW_SET_ADAPTER, 8, &adapter);
	judge("revision-for-adapter", fresh(1));
	judge("set-adapter", vccw_do(sid, VCCW_SET_ADAPTER, sizeof(adapter), &adapter));
	address = ABSOLUTE(&v.indicators);
	refuses("indicators-beside-adapter", VCCW_SET_INDICATORS, 8, &address);
	judge("revision-for-adapter-again", fresh(1));
	adapter.summary = NOWHERE;
	adapter.isc = 9;
	(void)vccw_command(sid, VCCW_SET_ADAPTER, CCW_SLI, sizeof(adapter), &adapter);
	fresh(1);
}

static bool one_request(void)
{
	vccw_add(&v, 0);
	if (vccw_notify(&v, 0) < 0)
		return false;
	for (uint64_t end = now() + ms(10000); !vccw_used(&v) && now() < end;)
		;
	return vccw_pop(&v) == 0;
}

static void classic(void)
{
	uint32_t was;

	judge("start", vccw_start(&v, sid, 3, NULL));
	was = io_count;
	judge("classic-request", one_request());
	judge("classic-interrupt", css_wait(was));
	judge_equal("classic-subchannel", io_sid, sid);
	judge_equal("classic-parameter", io_parameter, sid ^ 0x5a5a0000);
	judge_equal("classic-indicators", __atomic_exchange_n(&v.indicators, 0, __ATOMIC_ACQ_REL), 1);
	judge_equal("classic-tsch", css_tsch(sid, &irb), 0);
	if (!judge("classic-status", (irb.scsw.word0 & SC) == (SC_ALERT | SC_PENDING) && !irb.scsw.channel && !(irb.scsw.word0 & (FC | AC))))
		css_dump_irb(&irb);
	was = io_count;
	doze_ms(5);
	judge_equal("classic-once", io_count, was);
	/* Status that nobody has taken yet stands for both. */
	v.avail.flags = 0;
	judge("classic-two-requests", one_request() && one_request());
	judge("classic-again", css_wait(was));
	judge_equal("classic-tsch-again", css_tsch(sid, &irb), 0);
	css_quiet(sid);
	/* Behind the status of a channel program it waits. */
	orb = (struct orb){ .flags = ORB_FORMAT_1 | 0x80u << ORB_LPM_SHIFT, .program = ABSOLUTE(nop) };
	nop[0] = CCW(CMD_NOP, 0, 0, 0);
	judge("alert-behind-status-request", css_ssch(sid, &orb) == 0 && one_request());
	judge("alert-behind-status-first", css_tsch(sid, &irb) == 0 && (irb.scsw.word0 & SC_ENDED) == SC_ENDED);
	judge("alert-behind-status", css_tsch(sid, &irb) == 0 && (irb.scsw.word0 & SC) == (SC_ALERT | SC_PENDING));
	css_quiet(sid);
	/* Without interrupts, by the driver's flag. */
	v.avail.flags = le16(1);
	was = io_count;
	judge("no-interrupt-request", one_request());
	doze_ms(5);
	judge_equal("no-interrupt", io_count, was);
	css_quiet(sid);
}

/* A legacy driver: no revision, one page of descriptors and available ring, the used ring behind it, all in the guest's byte order. */
static void legacy(void)
{
	static struct {
		struct {
			uint64_t address;
			uint32_t length;
			uint16_t flags, next;
		} desc[VCCW_QUEUE];
		struct {
			uint16_t flags, index, ring[VCCW_QUEUE], event;
		} avail;
		struct {
			uint16_t flags, index;
			struct {
				uint32_t id, length;
			} ring[VCCW_QUEUE];
			uint16_t event;
		} used __attribute__((aligned(4096)));
	} ring __attribute__((aligned(4096)));
	static struct {
		uint64_t queue;
		uint32_t align;
		uint16_t index, num;
	} info;
	static uint8_t buffer[64], version_1;
	uint64_t end;

	memset(&ring, 0, sizeof(ring));
	memset(buffer, 0, sizeof(buffer));
	css_enable(sid, false, 3, 0);
	css_enable(sid, true, 3, sid);
	judge("legacy-reset", vccw_do(sid, VCCW_RESET, 0, NULL));
	features = (struct vccw_features){ 0, 1 };
	version_1 = !vccw_do(sid, VCCW_READ_FEATURES, sizeof(features), &features) || le32(features.features) & 1;
	judge("legacy-without-version-1", !version_1);
	set_status(STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	features = (struct vccw_features){ 0, 0 };
	judge("legacy-features", vccw_do(sid, VCCW_WRITE_FEATURES, sizeof(features), &features));
	info.queue = ABSOLUTE(&ring);
	info.align = 4096;
	info.num = VCCW_QUEUE;
	judge("legacy-queue", vccw_do(sid, VCCW_SET_VQ, sizeof(info), &info));
	address = ABSOLUTE(&v.indicators);
	judge("legacy-indicators", vccw_do(sid, VCCW_SET_INDICATORS, 8, &address));
	judge("legacy-ok", set_status(STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_DRIVER_OK));
	ring.desc[0].address = ABSOLUTE(buffer);
	ring.desc[0].length = sizeof(buffer);
	ring.desc[0].flags = 2;
	fence();
	*(volatile uint16_t *)&ring.avail.index = 1;
	fence();
	judge("legacy-notify", vccw_diagnose(3, sid, 0, 0) >= 0);
	for (end = now() + ms(10000); *(volatile uint16_t *)&ring.used.index != 1 && now() < end;)
		;
	judge("legacy-answer", *(volatile uint16_t *)&ring.used.index == 1 && *(volatile uint32_t *)&ring.used.ring[0].id == 0 &&
				       *(volatile uint32_t *)&ring.used.ring[0].length - 1 < sizeof(buffer));
	css_quiet(sid);
	vccw_do(sid, VCCW_RESET, 0, NULL);
	css_quiet(sid);
}

static long notify_in_problem(void)
{
	long cause;

	load_psw(PSW_PROBLEM);
	cause = vccw_diagnose(3, sid, 0, 0);
	return cause;
}

static void notifications(void)
{
	judge("notify-no-subchannel", vccw_diagnose(3, SID(0xfff0), 0, 0) < 0);
	judge("notify-bad-subchannel", vccw_diagnose(3, 0x12, 0, 0) < 0);
	judge("notify-no-queue", vccw_diagnose(3, sid, 0xfff0, 0) < 0);
	judge("notify-function", vccw_diagnose(77, sid, 0, 0) < 0);
	judge("notify-stale-cookie", vccw_diagnose(3, sid, 0, 0x7777) >= 0);
	judge_equal("notify-privileged", notify_in_problem(), -PIC_PRIVILEGED);
	judge("notified-alive", one_request());
	css_quiet(sid);
}

static void adapters(void)
{
	uint32_t was;

	adapter = (struct vccw_adapter){ ABSOLUTE(&summary), ABSOLUTE(&bits), 17, 5 };
	summary = 0;
	bits = 0;
	judge("adapter-start", vccw_start(&v, sid, 3, &adapter));
	was = io_count;
	judge("adapter-request", one_request());
	judge("adapter-interrupt", css_wait(was));
	judge_equal("adapter-word", io_word & 0xf8000000, 0x80000000 | 5u << 27);
	judge("adapter-summary", summary != 0);
	judge_equal("adapter-bit", (long)bits, 1L << (63 - 17));
	judge_equal("adapter-no-status", css_tsch(sid, &irb), 1);
	/* While the summary is set there is no second one. */
	was = io_count;
	bits = 0;
	judge("adapter-second-request", one_request());
	doze_ms(5);
	judge_equal("adapter-summary-stands", io_count, was);
	judge_equal("adapter-second-bit", (long)bits, 1L << (63 - 17));
	summary = 0;
	bits = 0;
	judge("adapter-third-request", one_request());
	judge("adapter-third-interrupt", css_wait(was));
	/* Masked in control register 6 it waits. */
	control_write(6, CR6_ALL_SUBCLASSES & ~(0x80000000u >> 5));
	summary = 0;
	bits = 0;
	was = io_count;
	one_request();
	doze_ms(5);
	judge_equal("adapter-masked", io_count, was);
	control_write(6, CR6_ALL_SUBCLASSES);
	judge("adapter-unmasked", css_wait(was));
	vccw_do(sid, VCCW_RESET, 0, NULL);
}

void guest(void)
{
	struct device *d;

	if (!css_find() || !(d = css_virtio(4)))
		return fail("devices", "there is no source of entropy");
	sid = d->sid;
	revisions();
	feature_bits();
	queues();
	indicators();
	classic();
	notifications();
	adapters();
	legacy();
	configuration();
}
