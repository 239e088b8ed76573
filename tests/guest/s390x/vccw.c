// SPDX-License-Identifier: MIT
#include "vccw.h"

static struct ccw program[1];

struct result vccw_command(uint32_t sid, uint8_t command, uint8_t flags, unsigned int count, const void *data)
{
	program[0] = CCW(command, flags, count, data);
	return css_run(sid, program, 0);
}

bool vccw_do(uint32_t sid, uint8_t command, unsigned int count, const void *data)
{
	struct result r = vccw_command(sid, command, 0, count, data);

	return !r.cc && !r.tsch && (r.irb.scsw.word0 & SC) == SC_ENDED && r.irb.scsw.device == DS_ENDED && !r.irb.scsw.channel && !r.irb.scsw.count;
}

static bool set_status(uint32_t sid, uint8_t status)
{
	static uint8_t byte;

	byte = status;
	return vccw_do(sid, VCCW_WRITE_STATUS, 1, &byte);
}

bool vccw_start(struct vccw *v, uint32_t sid, unsigned int isc, const struct vccw_adapter *adapter)
{
	static struct vccw_revision revision;
	static struct vccw_features features;
	static struct vccw_vq vq;
	static uint64_t at;

	memset(v, 0, sizeof(*v));
	v->sid = sid;
	v->cookie = 0;
	revision = (struct vccw_revision){ .revision = 1 };
	features = (struct vccw_features){ le32(1), 1 };
	vq = (struct vccw_vq){ .desc = ABSOLUTE(v->desc), .num = VCCW_QUEUE, .driver = ABSOLUTE(&v->avail), .device = ABSOLUTE(&v->used) };
	if (!css_enable(sid, true, isc, sid) || !vccw_do(sid, VCCW_RESET, 0, NULL) || !vccw_do(sid, VCCW_SET_REVISION, 4, &revision) ||
	    !set_status(sid, STATUS_ACKNOWLEDGE | STATUS_DRIVER) || !vccw_do(sid, VCCW_WRITE_FEATURES, sizeof(features), &features) ||
	    !set_status(sid, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK) || !vccw_do(sid, VCCW_SET_VQ, sizeof(vq), &vq))
		return false;
	if (adapter) {
		if (!vccw_do(sid, VCCW_SET_ADAPTER, sizeof(*adapter), adapter))
			return false;
	} else {
		at = ABSOLUTE(&v->indicators);
		if (!vccw_do(sid, VCCW_SET_INDICATORS, sizeof(at), &at))
			return false;
	}
	at = ABSOLUTE(&v->config_indicators);
	return vccw_do(sid, VCCW_SET_CONFIG_INDICATORS, sizeof(at), &at) &&
	       set_status(sid, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}

void vccw_add(struct vccw *v, unsigned int slot)
{
	uint16_t index = le16(v->avail.index);

	memset(v->buffer[slot], 0, sizeof(v->buffer[slot]));
	v->desc[slot].address = le64(ABSOLUTE(v->buffer[slot]));
	v->desc[slot].length = le32(sizeof(v->buffer[slot]));
	v->desc[slot].flags = le16(2);
	v->avail.ring[index % VCCW_QUEUE] = le16((uint16_t)slot);
	fence();
	*(volatile uint16_t *)&v->avail.index = le16((uint16_t)(index + 1));
	fence();
}

long vccw_diagnose(uint64_t function, uint64_t sid, uint64_t queue, uint64_t cookie)
{
	struct guard was = guard();
	register uint64_t r1 __asm__("1") = function;
	register uint64_t r2 __asm__("2") = sid;
	register uint64_t r3 __asm__("3") = queue;
	register uint64_t r4 __asm__("4") = cookie;
	long answer;

	__asm__ volatile("diag %%r2, %%r4, 0x500" : "+d"(r2) : "d"(r1), "d"(r3), "d"(r4) : "cc", "memory");
	answer = (long)r2;
	return guarded(was, answer);
}

long vccw_notify(struct vccw *v, unsigned int queue)
{
	long answer = vccw_diagnose(3, v->sid, queue, v->cookie);

	if (answer >= 0)
		v->cookie = (uint64_t)answer;
	return answer;
}

int vccw_pop(struct vccw *v)
{
	uint16_t used = le16(*(volatile uint16_t *)&v->used.index);
	int id;

	if (used == v->seen)
		return -1;
	fence();
	id = (int)le32(*(volatile uint32_t *)&v->used.ring[v->seen % VCCW_QUEUE].id);
	v->seen++;
	return id < VCCW_QUEUE ? id : -1;
}
