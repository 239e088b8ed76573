// SPDX-License-Identifier: MIT
/* Files that are no kernels, told by what they begin with. For arch/image.c. */
#ifndef LKVM_ARCH_IMAGE_KIND_H
#define LKVM_ARCH_IMAGE_KIND_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The file's (or its unpacked content's) first n bytes: -EINVAL with a sentence that names what it is and the cure, or 0. */
int image_refuse_file(const char *path, const uint8_t *head, size_t n, struct err *e);

/* What nobody knew is about to be loaded as a flat binary for `machine`: text,
 * disks and other machines' kernels are refused the same way. 1104 bytes show all. */
int image_refuse_flat(const char *path, const char *machine, const uint8_t *head, size_t n, struct err *e);

#endif
