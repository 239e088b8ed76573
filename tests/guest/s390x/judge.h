/* SPDX-License-Identifier: MIT */
/*
 * Results that a second opinion may have otherwise. What a test demands is what the Principles of Operation (or the virtio specification) say; where
 * another machine is known to differ (the table in judge.c), its result is told as DIFFERS. One that is in the table and does not differ is a failure.
 */
#ifndef GUEST_JUDGE_H
#define GUEST_JUDGE_H

#include "css.h"

bool judge(const char *what, bool ok);
bool judge_equal(const char *what, long is, long should);
/* For what the second machine would never come back from. */
bool judge_skip(const char *what);

#define ANY_COUNT (-1)
#define ANY_CCW ((const void *)1)
/* Status control, device and channel status; the CCW address (behind the CCW given) and the residual count, or any. */
bool judge_result(const char *what, const struct result *r, uint32_t status, uint8_t device, uint8_t channel, const void *ccw, int count);
/* What ends well. */
bool judge_good(const char *what, const struct result *r, const void *last_ccw, int count);
/* A program check, for the CCW given. */
bool judge_program_check(const char *what, const struct result *r, const void *ccw);
/* A unit check that leaves this first sense byte behind. */
bool judge_unit_check(const char *what, uint32_t sid, const struct result *r, uint8_t sense);

#endif
