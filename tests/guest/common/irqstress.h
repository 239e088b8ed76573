/* SPDX-License-Identifier: MIT */
#ifndef IRQSTRESS_H
#define IRQSTRESS_H

#include "guest.h"

/* The edge cases of the interrupt controller, with all loads at rest. Secondary harts are up. */
void edges(struct vdev *rng);

#endif
