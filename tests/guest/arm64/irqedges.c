// SPDX-License-Identifier: MIT
/* The GIC's edge cases have a guest of their own: gic.c. */
#include "irqstress.h"

void edges(struct vdev *rng)
{
}
