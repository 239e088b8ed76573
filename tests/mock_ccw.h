// SPDX-License-Identifier: MIT
/* The mock driver's side of virtio-ccw: channel programs through the instructions of the channel subsystem, indicators as Linux uses them. */
#ifndef LKVM_TESTS_MOCK_CCW_H
#define LKVM_TESTS_MOCK_CCW_H

#include "hw/css.h"
#include "tests/mock_driver.h"
#include "virtio/transport/ccw.h"

/* Below 2 GiB, where CCWs can lie: programs, what they move, indicators. */
#define MOCK_LOW_BASE UINT64_C(0x10000)
#define MOCK_LOW_SIZE KIB(64)
#define MOCK_ISC 3 /* of subchannels */
#define MOCK_AIRQ_ISC 1

enum { MOCK_CD = 0x80, MOCK_CC = 0x40, MOCK_SLI = 0x20, MOCK_SKIP = 0x10 }; /* flags of a CCW */

/* A driver's memory for channel I/O, at MOCK_LOW_BASE + its number * 4 KiB: offsets. */
enum { MOCK_LOW_CCW = 0, MOCK_LOW_DATA = 64, MOCK_LOW_IND = 1024, MOCK_LOW_CONF_IND = 1040, MOCK_LOW_SUMMARY = 1048 };

struct mock_ccw_result {
	int cc;		/* of SSCH; 0: the rest is what TSCH showed */
	uint8_t dstat, cstat;
	uint16_t left;	/* residual count */
	uint8_t sense;	/* byte 0, after a unit check */
};

/* One command with `count` bytes at buf, which is what lies there afterwards. True when it ended with channel end and device end and nothing else. */
bool mock_ccw(struct mock_driver *d, uint8_t code, uint8_t flags, void *buf, uint16_t count, struct mock_ccw_result *ret);
/* Disables and enables the subchannel. */
void mock_ccw_enable(struct mock_driver *d);
/* SET_VIRTIO_REV with this number; tells whether it was accepted. */
bool mock_ccw_revision(struct mock_driver *d, uint16_t revision);
/* Takes pending status away (TSCH): true when there was alert status. */
bool mock_ccw_alert(struct mock_driver *d);

#endif
