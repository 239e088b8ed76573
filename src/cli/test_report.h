/* SPDX-License-Identifier: MIT */
/* What lkvm test writes: for people, as TAP (version 13), as JUnit's XML. Texts of records are printable UTF-8 already. */
#ifndef LKVM_CLI_TEST_REPORT_H
#define LKVM_CLI_TEST_REPORT_H

#include <stdio.h>

#include "suite.h"

struct report_counts {
	unsigned int files[VERDICTS], results[RESULT_KINDS], points; /* TAP's points */
};

/* One file's outcome; width: of the column of names. */
void report_text(FILE *f, const struct suite_case *c, int width, struct report_counts *counts);
void report_summary(FILE *f, const struct suite *s, const struct report_counts *counts, int64_t took_ms);

/* After "TAP version 13", and before the plan "1..points". */
void report_tap(FILE *f, const struct suite_case *c, struct report_counts *counts);

/* All of them: those that were never started are skipped ones. */
void report_junit(FILE *f, const struct suite *s);

#endif
