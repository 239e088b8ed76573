// SPDX-License-Identifier: MIT
/* Wires of an in-kernel controller: what reaches KVM_IRQ_LINE and KVM_IRQFD, and under which numbers. */
#include "arch/hv_lines.h"

#include <stdio.h>

#include "base/sys.h"
#include "hv/scripted.h"
#include "tests/test.h"

/* What the hypervisor was asked, as text: "100U" a rise of line 100, "32+" an eventfd for entry 32, "32+r" with resampling, "32-" no longer. */
static char said[256];
static int answer; /* to irqfd */
static int last_fd;

static void say(uint32_t n, const char *what)
{
	size_t at = strlen(said);

	snprintf(said + at, sizeof(said) - at, "%s%u%s", at ? " " : "", n, what);
}

static int irq_line(struct hv *hv, uint32_t irq, bool level)
{
	say(irq, level ? "U" : "D");
	return 0;
}

static int irqfd(struct hv *hv, uint32_t gsi, int fd, int resample_fd, bool assign)
{
	say(gsi, !assign ? "-" : resample_fd >= 0 ? "+r" : "+");
	last_fd = fd;
	return answer;
}

static struct hv_ops ops;

static struct hv *make(const struct hv_lines_config *config, struct hv_lines **ret)
{
	struct scripted_config none = {0};
	struct hv *hv = NULL;

	CHECK_EQ(hv_scripted_create(&none, &hv), 0);
	ops = *hv->ops;
	ops.irq_line = irq_line;
	ops.irqfd = irqfd;
	hv->ops = &ops;
	CHECK_EQ(hv_lines_create(hv, config, ret), 0);
	said[0] = 0;
	answer = 0;
	return hv;
}

static void unmake(struct hv *hv, struct hv_lines *lines)
{
	hv_lines_destroy(lines);
	hv_destroy(hv);
}

static void test_lines(void)
{
	struct hv_lines *lines = NULL;
	struct hv *hv = make(&(struct hv_lines_config){.n = 4, .first = 100, .gsi = 32, .irqfd = true}, &lines);
	struct irq_line line, edge;

	CHECK_EQ(hv_lines_get(lines, 4, IRQ_LEVEL, &line), -EINVAL);
	CHECK_EQ(hv_lines_get(lines, 1, IRQ_LEVEL, &line), 0);
	CHECK_EQ(hv_lines_get(lines, 3, IRQ_EDGE, &edge), 0);
	irq_set(&line, true);
	irq_set(&line, true);
	irq_set(&line, false);
	irq_pulse(&edge);
	CHECK_STR(said, "101U 101D 103U 103D");
	unmake(hv, lines);
}

static void test_irqfd(void)
{
	struct hv_lines *lines = NULL;
	struct hv *hv = make(&(struct hv_lines_config){.n = 4, .first = 100, .gsi = 32, .irqfd = true}, &lines);
	struct irq_line line, edge, loose = {0};

	hv_lines_get(lines, 1, IRQ_LEVEL, &line);
	hv_lines_get(lines, 3, IRQ_EDGE, &edge);
	CHECK_EQ(irq_connect(&edge, 5, -1, true), 0);
	CHECK_EQ(last_fd, 5);
	CHECK_EQ(irq_connect(&edge, 5, -1, false), 0);
	/* A level that nobody lowers would never end. */
	CHECK_EQ(irq_connect(&line, 5, -1, true), -EOPNOTSUPP);
	CHECK_EQ(irq_connect(&line, 5, 6, true), 0);
	CHECK_STR(said, "35+ 35- 33+r");
	answer = -ENOSPC;
	CHECK_EQ(irq_connect(&edge, 5, -1, true), -ENOSPC);
	CHECK_EQ(irq_connect(&loose, 5, -1, true), -EOPNOTSUPP);
	unmake(hv, lines);

	/* A host that takes the descriptor and delivers nothing is not asked. */
	hv = make(&(struct hv_lines_config){.n = 4}, &lines);
	hv_lines_get(lines, 3, IRQ_EDGE, &edge);
	CHECK_EQ(irq_connect(&edge, 5, -1, true), -EOPNOTSUPP);
	CHECK_STR(said, "");
	unmake(hv, lines);
}

/* A controller with a number for edges. */
static void test_edge(void)
{
	struct hv_lines *lines = NULL;
	struct hv *hv = make(&(struct hv_lines_config){.n = 4, .edge = 1000}, &lines);
	struct irq_line edge;

	hv_lines_get(lines, 3, IRQ_EDGE, &edge);
	irq_pulse(&edge);
	irq_set(&edge, true);
	CHECK_STR(said, "1003U 3U");
	unmake(hv, lines);
}

static bool vcpu_thread;

static bool on_vcpu(struct hv *hv)
{
	return vcpu_thread;
}

/* Levels in memory: falls are silent, rises told by a call or, from a vCPU's thread, by the flag. */
static void test_shared(void)
{
	uint64_t level[2] = {0};
	uint32_t raised = 0;
	struct hv_lines *lines = NULL;
	struct hv *hv = make(&(struct hv_lines_config){.n = 128, .first = 1000, .level = level, .raised = &raised}, &lines);
	struct irq_line line;

	ops.on_vcpu = on_vcpu;
	hv_lines_get(lines, 66, IRQ_LEVEL, &line);
	irq_set(&line, true);
	CHECK_EQ(level[0], 0);
	CHECK_EQ(level[1], 1 << 2);
	irq_set(&line, true);
	irq_set(&line, false);
	CHECK_EQ(level[1], 0);
	CHECK_STR(said, "1066U");
	CHECK_EQ(raised, 0);
	vcpu_thread = true;
	irq_set(&line, true);
	CHECK_EQ(level[1], 1 << 2);
	CHECK_EQ(raised, 1);
	/* KVM has seen it: it is high already, and nothing to tell. */
	raised = 0;
	irq_set(&line, true);
	CHECK_EQ(raised, 0);
	irq_set(&line, false);
	CHECK_EQ(level[1], 0);
	CHECK_EQ(raised, 0);
	CHECK_STR(said, "1066U");
	unmake(hv, lines);
}

/* Pulses through an eventfd: one for each line, made at its first pulse; where KVM refuses it, as ever. */
static void test_pulse_by_irqfd(void)
{
	const struct hv_lines_config config = {.n = 4, .irqfd = true, .pulse_by_irqfd = true};
	struct hv_lines *lines = NULL;
	struct hv *hv = make(&config, &lines);
	struct irq_line edge;
	uint64_t n = 0;

	hv_lines_get(lines, 3, IRQ_EDGE, &edge);
	irq_pulse(&edge);
	irq_pulse(&edge);
	CHECK_STR(said, "3+");
	CHECK_EQ(sys_read_all(last_fd, &n, sizeof(n)), 8);
	CHECK_EQ(n, 2);
	irq_set(&edge, true);
	CHECK_STR(said, "3+ 3U");
	unmake(hv, lines);

	hv = make(&config, &lines);
	answer = -EINVAL;
	hv_lines_get(lines, 2, IRQ_EDGE, &edge);
	irq_pulse(&edge);
	irq_pulse(&edge);
	CHECK_STR(said, "2+ 2U 2D 2U 2D");
	unmake(hv, lines);
}

int main(void)
{
	test_lines();
	test_irqfd();
	test_edge();
	test_shared();
	test_pulse_by_irqfd();
	return test_result();
}
