// SPDX-License-Identifier: MIT
#include "hw/pl031.h"

#include <errno.h>
#include <pthread.h>

#include "base/endian.h"

#define NS UINT64_C(1000000000)

/* DDI 0224, 3.2 */
enum {
	RTCDR = 0x00,
	RTCMR = 0x04,
	RTCLR = 0x08,
	RTCCR = 0x0c,
	RTCIMSC = 0x10,
	RTCRIS = 0x14,
	RTCMIS = 0x18,
	RTCICR = 0x1c,
	PERIPH_ID0 = 0xfe0,
};

/* RTCPeriphID0-3: part 0x031, designer 0x41, revision 0; then RTCPCellID0-3. */
static const uint8_t ids[] = { 0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };

struct pl031 {
	struct pl031_config config;
	struct bus *bus;
	pthread_mutex_t lock;
	struct pl031_state s;
	struct alarm alarm;
	bool irq_level;
};

static uint64_t guest_now(struct pl031 *rtc)
{
	return alarm_now(&rtc->alarm) + (uint64_t)rtc->s.offset;
}

static void update_irq(struct pl031 *rtc)
{
	irq_follow(&rtc->config.irq, &rtc->irq_level, rtc->s.ris & rtc->s.imsc);
}

static void look_at_match(struct pl031 *rtc)
{
	uint64_t now = guest_now(rtc);

	/* Whole seconds are compared: a nanosecond is left over where 64 bits of them end. */
	if (!rtc->s.armed || !(now / NS >= rtc->s.alarm || (rtc->s.alarm < UINT64_MAX / NS && alarm_due(&rtc->alarm, now, rtc->s.alarm * NS))))
		return;
	rtc->s.armed = 0;
	rtc->s.ris = 1;
	update_irq(rtc);
}

/* The next second that ends in the match register's value is waited for: this one counts, one that has passed comes again after 2^32. */
static void arm(struct pl031 *rtc)
{
	uint64_t second = guest_now(rtc) / NS;

	rtc->s.alarm = second + (uint32_t)(rtc->s.match - (uint32_t)second);
	rtc->s.armed = 1;
	look_at_match(rtc);
}

static void on_alarm(void *ctx)
{
	struct pl031 *rtc = ctx;

	pthread_mutex_lock(&rtc->lock);
	look_at_match(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

static void set_time(struct pl031 *rtc, uint32_t second)
{
	rtc->s.load = second;
	rtc->s.offset = (int64_t)((uint64_t)rtc->s.offset + (second * NS - guest_now(rtc)));
	if (rtc->s.armed)
		arm(rtc);
}

static void pl031_read(void *dev, uint64_t offset, void *data, unsigned int len)
{
	struct pl031 *rtc = dev;
	uint32_t value = 0;

	if (len != 4 || offset & 3)
		return;
	if (offset >= PERIPH_ID0) {
		put_le32(data, ids[(offset - PERIPH_ID0) / 4]);
		return;
	}
	pthread_mutex_lock(&rtc->lock);
	switch (offset) {
	case RTCDR:
		value = (uint32_t)(guest_now(rtc) / NS);
		break;
	case RTCMR:
		value = rtc->s.match;
		break;
	case RTCLR:
		value = rtc->s.load;
		break;
	case RTCCR:
		value = 1;
		break;
	case RTCIMSC:
		value = rtc->s.imsc;
		break;
	case RTCRIS:
		value = rtc->s.ris;
		break;
	case RTCMIS:
		value = rtc->s.ris & rtc->s.imsc;
		break;
	default:
		break;
	}
	pthread_mutex_unlock(&rtc->lock);
	put_le32(data, value);
}

static void pl031_write(void *dev, uint64_t offset, const void *data, unsigned int len)
{
	struct pl031 *rtc = dev;
	uint32_t value;

	if (len != 4)
		return;
	value = get_le32(data);
	pthread_mutex_lock(&rtc->lock);
	switch (offset) {
	case RTCMR:
		rtc->s.match = value;
		arm(rtc);
		break;
	case RTCLR:
		set_time(rtc, value);
		break;
	case RTCIMSC:
		rtc->s.imsc = value & 1;
		break;
	case RTCICR:
		rtc->s.ris &= ~value;
		break;
	default:
		break;
	}
	update_irq(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

const struct bus_ops pl031_bus_ops = {
	.read = pl031_read,
	.write = pl031_write,
};

int pl031_create(const struct pl031_config *config, struct bus *bus, struct pl031 **ret, struct err *e)
{
	struct pl031 *rtc = calloc(1, sizeof(*rtc));
	int r;

	if (!rtc)
		return err_set(e, -ENOMEM, "Not enough memory for the clock");
	pthread_mutex_init(&rtc->lock, NULL);
	rtc->config = *config;
	alarm_start(&rtc->alarm, &config->alarm, on_alarm, rtc);
	rtc->s.version = PL031_STATE_VERSION;
	if (bus) {
		r = bus_add(bus, "rtc", config->base, PL031_SIZE, &pl031_bus_ops, rtc, e);
		if (r < 0) {
			pl031_destroy(rtc);
			return r;
		}
		rtc->bus = bus;
	}
	*ret = rtc;
	return 0;
}

void pl031_destroy(struct pl031 *rtc)
{
	if (!rtc)
		return;
	if (rtc->bus)
		bus_remove(rtc->bus, rtc->config.base);
	alarm_stop(&rtc->alarm);
	pthread_mutex_destroy(&rtc->lock);
	free(rtc);
}

void pl031_write_dt(const struct pl031 *rtc, struct dt *dt)
{
	static const char *const compatible[] = { "arm,pl031", "arm,primecell" };

	dt_begin(dt, "rtc@%llx", (unsigned long long)rtc->config.base);
	dt_prop_strings(dt, "compatible", compatible, ARRAY_SIZE(compatible));
	dt_prop_reg(dt, rtc->config.base, PL031_SIZE);
	if (rtc->config.irq.ops)
		dt_prop_irq(dt, &rtc->config.irq);
	dt_prop_u32(dt, "clocks", rtc->config.clock_phandle);
	dt_prop_string(dt, "clock-names", "apb_pclk");
	dt_end(dt);
}

void pl031_write_clock_dt(const struct pl031 *rtc, struct dt *dt)
{
	dt_begin(dt, "apb-pclk");
	dt_prop_string(dt, "compatible", "fixed-clock");
	dt_prop_u32(dt, "#clock-cells", 0);
	dt_prop_u32(dt, "clock-frequency", 24000000);
	dt_prop_u32(dt, "phandle", rtc->config.clock_phandle);
	dt_end(dt);
}

void pl031_reset(struct pl031 *rtc)
{
	pthread_mutex_lock(&rtc->lock);
	rtc->s = (struct pl031_state){ .version = PL031_STATE_VERSION, .offset = rtc->s.offset };
	update_irq(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

void pl031_save(struct pl031 *rtc, struct pl031_state *ret)
{
	pthread_mutex_lock(&rtc->lock);
	*ret = rtc->s;
	pthread_mutex_unlock(&rtc->lock);
}

int pl031_load(struct pl031 *rtc, const struct pl031_state *state)
{
	if (state->version != PL031_STATE_VERSION || state->imsc > 1 || state->ris > 1 || state->armed > 1 ||
	    (state->armed && (uint32_t)state->alarm != state->match))
		return -EINVAL;
	pthread_mutex_lock(&rtc->lock);
	rtc->s = *state;
	look_at_match(rtc);
	update_irq(rtc);
	pthread_mutex_unlock(&rtc->lock);
	return 0;
}
