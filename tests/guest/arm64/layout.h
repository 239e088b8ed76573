/* SPDX-License-Identifier: MIT */
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

#define MAX_HARTS 16
#define STACK_SIZE 16384

#endif
