// SPDX-License-Identifier: MIT
/*
 * Runs a fuzz target over every file of the folders given, and then over inputs made from a fixed seed, without libFuzzer.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 65536
#define RANDOM_RUNS 2000

static uint64_t rng = 0x9e3779b97f4a7c15;

static uint64_t next(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

int main(int argc, char **argv)
{
	static uint8_t buf[INPUT_MAX];
	unsigned int n = 0;

	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		struct dirent *d;

		while (dir && (d = readdir(dir))) {
			char path[4096];
			FILE *f;
			size_t len;

			if (d->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "%s/%s", argv[i], d->d_name);
			f = fopen(path, "rb");
			if (!f)
				continue;
			len = fread(buf, 1, sizeof(buf), f);
			fclose(f);
			LLVMFuzzerTestOneInput(buf, len);
			n++;
		}
		if (dir)
			closedir(dir);
	}
	for (unsigned int i = 0; i < RANDOM_RUNS; i++) {
		size_t len = next() % 1024;

		for (size_t k = 0; k < len; k++)
			buf[k] = (uint8_t)next();
		LLVMFuzzerTestOneInput(buf, len);
	}
	printf("%u corpus files and %u made inputs\n", n, RANDOM_RUNS);
	return 0;
}
