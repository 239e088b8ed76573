/* SPDX-License-Identifier: MIT */
/* For tests: what the device-tree compiler, where it is installed, has to say of a tree. */
#ifndef LKVM_TESTS_DTC_H
#define LKVM_TESTS_DTC_H

#include <stdio.h>
#include <stdlib.h>

/* The number of complaints about the blob in a file, which go to stderr; 0 where there is no dtc. */
static inline unsigned int dtc_complaints(const char *path)
{
	char command[256], line[512];
	unsigned int n = 0;
	FILE *f;

	if (system("command -v dtc >/dev/null 2>&1"))
		return 0;
	snprintf(command, sizeof(command), "dtc -I dtb -O dts -o /dev/null %s 2>&1", path);
	f = popen(command, "r");
	if (!f)
		return 1;
	for (; fgets(line, sizeof(line), f); n++)
		fprintf(stderr, "dtc: %s", line);
	return n + (pclose(f) != 0);
}

#endif
