// SPDX-License-Identifier: MIT
#include "hw/goldfish_rtc.h"

#include <errno.h>
#include <pthread.h>

#include "base/endian.h"

enum {
	REG_TIME_LOW = 0x00,
	REG_TIME_HIGH = 0x04,
	REG_ALARM_LOW = 0x08,
	REG_ALARM_HIGH = 0x0c,
	REG_IRQ_ENABLED = 0x10,
	REG_CLEAR_ALARM = 0x14,
	REG_ALARM_STATUS = 0x18,
	REG_CLEAR_INTERRUPT = 0x1c,
};

struct goldfish_rtc {
	struct goldfish_rtc_config config;
	struct bus *bus;
	pthread_mutex_t lock;
	struct goldfish_rtc_state s;
	struct alarm alarm;
	bool irq_level;
};

static uint64_t guest_now(struct goldfish_rtc *rtc)
{
	return alarm_now(&rtc->alarm) + (uint64_t)rtc->s.offset;
}

static void update_irq(struct goldfish_rtc *rtc)
{
	irq_follow(&rtc->config.irq, &rtc->irq_level, rtc->s.irq_enabled && rtc->s.irq_pending);
}

/* The alarm goes off, or is waited for. */
static void look_at_alarm(struct goldfish_rtc *rtc)
{
	if (!rtc->s.armed || !alarm_due(&rtc->alarm, guest_now(rtc), rtc->s.alarm))
		return;
	rtc->s.armed = 0;
	rtc->s.irq_pending = 1;
	update_irq(rtc);
}

static void on_alarm(void *ctx)
{
	struct goldfish_rtc *rtc = ctx;

	pthread_mutex_lock(&rtc->lock);
	look_at_alarm(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

static void set_time(struct goldfish_rtc *rtc, uint64_t now, uint64_t wanted)
{
	rtc->s.offset = (int64_t)((uint64_t)rtc->s.offset + (wanted - now));
	look_at_alarm(rtc);
}

static void goldfish_rtc_read(void *dev, uint64_t offset, void *data, unsigned int len)
{
	struct goldfish_rtc *rtc = dev;
	uint32_t value = 0;
	uint64_t now;

	if (len != 4)
		return;
	pthread_mutex_lock(&rtc->lock);
	switch (offset) {
	case REG_TIME_LOW:
		now = guest_now(rtc);
		rtc->s.time_high = (uint32_t)(now >> 32);
		value = (uint32_t)now;
		break;
	case REG_TIME_HIGH:
		value = rtc->s.time_high;
		break;
	case REG_ALARM_LOW:
		value = (uint32_t)rtc->s.alarm;
		break;
	case REG_ALARM_HIGH:
		value = (uint32_t)(rtc->s.alarm >> 32);
		break;
	case REG_IRQ_ENABLED:
		value = rtc->s.irq_enabled;
		break;
	case REG_ALARM_STATUS:
		value = rtc->s.armed;
		break;
	default:
		break;
	}
	pthread_mutex_unlock(&rtc->lock);
	put_le32(data, value);
}

static void goldfish_rtc_write(void *dev, uint64_t offset, const void *data, unsigned int len)
{
	struct goldfish_rtc *rtc = dev;
	uint32_t value;
	uint64_t now;

	if (len != 4)
		return;
	value = get_le32(data);
	pthread_mutex_lock(&rtc->lock);
	switch (offset) {
	case REG_TIME_LOW:
		now = guest_now(rtc);
		set_time(rtc, now, (now & ~(uint64_t)UINT32_MAX) | value);
		break;
	case REG_TIME_HIGH:
		now = guest_now(rtc);
		set_time(rtc, now, (now & UINT32_MAX) | (uint64_t)value << 32);
		break;
	case REG_ALARM_LOW:
		rtc->s.alarm = (rtc->s.alarm & ~(uint64_t)UINT32_MAX) | value;
		rtc->s.armed = 1;
		look_at_alarm(rtc);
		break;
	case REG_ALARM_HIGH:
		rtc->s.alarm = (rtc->s.alarm & UINT32_MAX) | (uint64_t)value << 32;
		look_at_alarm(rtc);
		break;
	case REG_IRQ_ENABLED:
		rtc->s.irq_enabled = value & 1;
		break;
	case REG_CLEAR_ALARM:
		rtc->s.armed = 0;
		break;
	case REG_CLEAR_INTERRUPT:
		rtc->s.irq_pending = 0;
		break;
	default:
		break;
	}
	update_irq(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

const struct bus_ops goldfish_rtc_bus_ops = {
	.read = goldfish_rtc_read,
	.write = goldfish_rtc_write,
};

int goldfish_rtc_create(const struct goldfish_rtc_config *config, struct bus *bus, struct goldfish_rtc **ret,
			struct err *e)
{
	struct goldfish_rtc *rtc = calloc(1, sizeof(*rtc));
	int r;

	if (!rtc)
		return err_set(e, -ENOMEM, "Not enough memory for the clock");
	pthread_mutex_init(&rtc->lock, NULL);
	rtc->config = *config;
	alarm_start(&rtc->alarm, &config->alarm, on_alarm, rtc);
	rtc->s.version = GOLDFISH_RTC_STATE_VERSION;
	if (bus) {
		r = bus_add(bus, "rtc", config->base, GOLDFISH_RTC_SIZE, &goldfish_rtc_bus_ops, rtc, e);
		if (r < 0) {
			goldfish_rtc_destroy(rtc);
			return r;
		}
		rtc->bus = bus;
	}
	*ret = rtc;
	return 0;
}

void goldfish_rtc_destroy(struct goldfish_rtc *rtc)
{
	if (!rtc)
		return;
	if (rtc->bus)
		bus_remove(rtc->bus, rtc->config.base);
	alarm_stop(&rtc->alarm);
	pthread_mutex_destroy(&rtc->lock);
	free(rtc);
}

void goldfish_rtc_write_dt(const struct goldfish_rtc *rtc, struct dt *dt)
{
	dt_begin(dt, "rtc@%llx", (unsigned long long)rtc->config.base);
	dt_prop_string(dt, "compatible", "google,goldfish-rtc");
	dt_prop_reg(dt, rtc->config.base, GOLDFISH_RTC_SIZE);
	if (rtc->config.irq.ops)
		dt_prop_irq(dt, &rtc->config.irq);
	dt_end(dt);
}

void goldfish_rtc_reset(struct goldfish_rtc *rtc)
{
	pthread_mutex_lock(&rtc->lock);
	rtc->s = (struct goldfish_rtc_state){ .version = GOLDFISH_RTC_STATE_VERSION, .offset = rtc->s.offset };
	update_irq(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

void goldfish_rtc_save(struct goldfish_rtc *rtc, struct goldfish_rtc_state *ret)
{
	pthread_mutex_lock(&rtc->lock);
	*ret = rtc->s;
	pthread_mutex_unlock(&rtc->lock);
}

int goldfish_rtc_load(struct goldfish_rtc *rtc, const struct goldfish_rtc_state *state)
{
	if (state->version != GOLDFISH_RTC_STATE_VERSION || state->irq_enabled > 1 || state->irq_pending > 1 ||
	    state->armed > 1)
		return -EINVAL;
	pthread_mutex_lock(&rtc->lock);
	rtc->s = *state;
	look_at_alarm(rtc);
	update_irq(rtc);
	pthread_mutex_unlock(&rtc->lock);
	return 0;
}
