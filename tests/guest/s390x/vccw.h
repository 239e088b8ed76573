/* SPDX-License-Identifier: MIT */
/* virtio over channel I/O (Virtual I/O Device 1.2, 4.3): a driver's half, with one split queue in the device's byte order of revision 1. */
#ifndef GUEST_VCCW_H
#define GUEST_VCCW_H

#include "judge.h"

enum {
	VCCW_SET_VQ = 0x13, VCCW_RESET = 0x33, VCCW_SET_INDICATORS = 0x43, VCCW_SET_CONFIG_INDICATORS = 0x53, VCCW_SET_ADAPTER = 0x73, VCCW_READ_FEATURES = 0x12,
	VCCW_WRITE_FEATURES = 0x11, VCCW_READ_CONFIG = 0x22, VCCW_WRITE_CONFIG = 0x21, VCCW_WRITE_STATUS = 0x31, VCCW_READ_STATUS = 0x72,
	VCCW_READ_VQ = 0x32, VCCW_SET_REVISION = 0x83,
};
enum { STATUS_ACKNOWLEDGE = 1, STATUS_DRIVER = 2, STATUS_DRIVER_OK = 4, STATUS_FEATURES_OK = 8, STATUS_FAILED = 128 };

struct vccw_revision {
	uint16_t revision, length;
	uint8_t data[4];
};

struct vccw_features {
	uint32_t features; /* little-endian */
	uint8_t index;
} __attribute__((packed));

struct vccw_vq {
	uint64_t desc;
	uint32_t reserved;
	uint16_t index, num;
	uint64_t driver, device;
} __attribute__((packed));

struct vccw_adapter {
	uint64_t summary, indicator, bit;
	uint8_t isc;
} __attribute__((packed));

#define VCCW_QUEUE 8
#define VCCW_SLOTS 2 /* requests at once: slot s has descriptors 3s to 3s+2 */

/* A device with its queue 0, of the entropy kind (a buffer is filled) or a disk (one sector is written and read in turn). */
struct vccw {
	struct {
		uint64_t address;
		uint32_t length;
		uint16_t flags, next;
	} desc[VCCW_QUEUE] __attribute__((aligned(4096)));
	struct {
		uint16_t flags, index, ring[VCCW_QUEUE], event;
	} avail __attribute__((aligned(16)));
	struct {
		uint16_t flags, index;
		struct {
			uint32_t id, length;
		} ring[VCCW_QUEUE];
		uint16_t event;
	} used __attribute__((aligned(16)));
	uint64_t indicators, config_indicators; /* classic */
	uint16_t seen;
	bool disk;
	uint32_t sid;
	uint64_t cookie;
	struct {
		uint32_t type, reserved;
		uint64_t sector;
		uint8_t data[512], status;
		uint32_t serial;
	} slot[VCCW_SLOTS] __attribute__((aligned(8)));
} __attribute__((aligned(4096)));

/* One command with its data; flags: CCW_*. */
struct result vccw_command(uint32_t sid, uint8_t command, uint8_t flags, unsigned int count, const void *data);
/* The same, and it has to end well; SLI is not set. */
bool vccw_do(uint32_t sid, uint8_t command, unsigned int count, const void *data);

/* Reset, revision 1, features, queue 0, classic indicators. Subchannel enabled with subclass isc; adapter: instead of indicators, or NULL. */
bool vccw_start(struct vccw *v, uint32_t sid, unsigned int isc, const struct vccw_adapter *adapter);
/* Makes a slot's next request available. */
void vccw_add(struct vccw *v, unsigned int slot);
/* Diagnose 0x500, function 3. Its answer: a cookie, or below 0. */
long vccw_notify(struct vccw *v, unsigned int queue);
long vccw_diagnose(uint64_t function, uint64_t sid, uint64_t queue, uint64_t cookie);
/* A used slot, or -1; -2: its answer is wrong. */
int vccw_pop(struct vccw *v);
static inline bool vccw_used(struct vccw *v)
{
	return *(volatile uint16_t *)&v->used.index != __builtin_bswap16(*(volatile uint16_t *)&v->seen);
}

static inline uint16_t le16(uint16_t v) { return __builtin_bswap16(v); }
static inline uint32_t le32(uint32_t v) { return __builtin_bswap32(v); }
static inline uint64_t le64(uint64_t v) { return __builtin_bswap64(v); }

#endif
