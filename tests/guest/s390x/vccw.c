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

	return !r.cc && !r.tsch && (r.irb.scsw.word0 & SC) == SC_ENDED && r.irb.scsw.device == DS_ENDED && !r.irb.scsw.channel;
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
	for (unsigned int i = 0; i < n_devices; i++)
		v->disk |= devices[i].sid == sid && devices[i].cu_model == 2;
	revision = (struct vccw_revision){ .revision = 1 };
	features = (struct vccw_features){ le32(1), 1 };
	vq = (struct vccw_vq){ .desc = ABSOLUTE(v->desc), .num = VCCW_QUEUE, .driver = ABSOLUTE(&v->avail), .device = ABSOLUTE(&v->used) };
	/* The revision comes first: any other command before it would make this a legacy driver. */
	if (!css_enable(sid, false, isc, sid) || !css_enable(sid, true, isc, sid) || !vccw_do(sid, VCCW_SET_REVISION, 4, &revision) || !vccw_do(sid, VCCW_RESET, 0, NULL) ||
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

static uint8_t pattern(const struct vccw *v, unsigned int slot, uint32_t serial, unsigned int i)
{
	return (uint8_t)(v->sid * 31 + slot * 7 + (serial >> 1) * 13 + i);
}

static void describe(struct vccw *v, unsigned int n, void *at, uint32_t length, uint16_t flags)
{
	v->desc[n].address = le64(ABSOLUTE(at));
	v->desc[n].length = le32(length);
	v->desc[n].flags = le16(flags);
	v->desc[n].next = le16((uint16_t)(n + 1));
}

enum { NEXT = 1, WRITE = 2 };

void vccw_add(struct vccw *v, unsigned int slot)
{
	uint16_t index = le16(v->avail.index);
	bool write = !(v->slot[slot].serial & 1);

	v->slot[slot].status = 0xff;
	v->slot[slot].type = le32(write);
	v->slot[slot].sector = le64(slot);
	for (unsigned int i = 0; i < 512; i++)
		v->slot[slot].data[i] = v->disk && write ? pattern(v, slot, v->slot[slot].serial, i) : 0;
	if (v->disk) {
		describe(v, 3 * slot, &v->slot[slot].type, 16, NEXT);
		describe(v, 3 * slot + 1, v->slot[slot].data, 512, write ? NEXT : NEXT | WRITE);
		describe(v, 3 * slot + 2, &v->slot[slot].status, 1, WRITE);
	} else {
		describe(v, 3 * slot, v->slot[slot].data, 64, WRITE);
	}
	v->avail.ring[index % VCCW_QUEUE] = le16((uint16_t)(3 * slot));
	fence();
	*(volatile uint16_t *)&v->avail.index = le16((uint16_t)(index + 1));
	fence();
}

static bool right(struct vccw *v, unsigned int slot, uint32_t used)
{
	uint32_t serial = v->slot[slot].serial++;
	bool same = true;

	if (!v->disk)
		return used && used <= 64;
	if (v->slot[slot].status)
		return false;
	for (unsigned int i = 0; serial & 1 && i < 512; i++)
		same &= *(volatile uint8_t *)&v->slot[slot].data[i] == pattern(v, slot, serial, i);
	return same;
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
	uint32_t id, used;

	if (!vccw_used(v))
		return -1;
	fence();
	id = le32(*(volatile uint32_t *)&v->used.ring[v->seen % VCCW_QUEUE].id);
	used = le32(*(volatile uint32_t *)&v->used.ring[v->seen % VCCW_QUEUE].length);
	v->seen++;
	return id % 3 == 0 && id / 3 < VCCW_SLOTS && right(v, id / 3, used) ? (int)(id / 3) : -2;
}
