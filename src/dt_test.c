// SPDX-License-Identifier: MIT
#include "dt.h"

#include <errno.h>
#include <libfdt.h>

#include "tests/test.h"

static unsigned int cells(const struct irq_line *line, uint32_t out[4])
{
	out[0] = line->n;
	out[1] = line->trigger == IRQ_EDGE ? 1 : 4;
	return 2;
}

static void test_tree(void)
{
	static const char *const names[] = {"one", "three"};
	struct irq_line line = {.n = 33, .trigger = IRQ_EDGE};
	struct dt dt;
	void *blob;
	size_t size;
	const fdt32_t *p;
	int node, len;

	CHECK_EQ(dt_start(&dt), 0);
	dt.irq.cells = cells;
	dt_begin(&dt, "%s", "");
	dt_prop_u32(&dt, "#address-cells", 2);
	dt_begin(&dt, "uart@%x", 0x10000000);
	dt_prop_reg(&dt, 0x110000000, 0x100);
	dt_prop_strings(&dt, "names", names, 2);
	dt_prop_string(&dt, "compatible", "ns16550a");
	dt_prop_u64(&dt, "big", 0x1122334455667788);
	dt_prop_empty(&dt, "flag");
	dt_prop_irq(&dt, &line);
	dt_end(&dt);
	/* Far more than the first buffer. */
	for (unsigned int i = 0; i < 600; i++) {
		dt_begin(&dt, "cpu@%u", i);
		dt_prop_u32(&dt, "reg", i);
		dt_prop_string(&dt, "riscv,isa", "rv64imafdcvh_zicsr_zifencei_zba_zbb_zbs");
		dt_end(&dt);
	}
	dt_end(&dt);
	CHECK_EQ(dt_finish(&dt, &blob, &size), 0);
	CHECK_EQ(fdt_check_full(blob, size), 0);
	CHECK_EQ(fdt_totalsize(blob), size);
	node = fdt_path_offset(blob, "/uart@10000000");
	CHECK(node > 0);
	p = fdt_getprop(blob, node, "reg", &len);
	CHECK(p && len == 16 && fdt32_to_cpu(p[0]) == 1 && fdt32_to_cpu(p[1]) == 0x10000000 &&
	      fdt32_to_cpu(p[3]) == 0x100);
	p = fdt_getprop(blob, node, "interrupts", &len);
	CHECK(p && len == 8 && fdt32_to_cpu(p[0]) == 33 && fdt32_to_cpu(p[1]) == 1);
	CHECK_EQ(fdt_stringlist_count(blob, node, "names"), 2);
	CHECK_STR(fdt_stringlist_get(blob, node, "names", 1, NULL), "three");
	CHECK(fdt_getprop(blob, node, "flag", &len) && len == 0);
	node = fdt_path_offset(blob, "/cpu@599");
	p = fdt_getprop(blob, node, "reg", &len);
	CHECK(p && fdt32_to_cpu(*p) == 599);
	free(blob);
}

static void test_misuse(void)
{
	struct irq_line line = {0};
	struct dt dt;
	void *blob = &dt;
	size_t size = 5;
	char name[200];

	/* An open node. */
	dt_start(&dt);
	dt_begin(&dt, "%s", "");
	CHECK_EQ(dt_finish(&dt, &blob, &size), (uint64_t)-EINVAL);
	/* One end too many. */
	dt_start(&dt);
	dt_begin(&dt, "%s", "");
	dt_end(&dt);
	dt_end(&dt);
	CHECK_EQ(dt_finish(&dt, &blob, &size), (uint64_t)-EINVAL);
	/* An interrupt without controller; a property after a child; a name without end. */
	dt_start(&dt);
	dt_begin(&dt, "%s", "");
	dt_prop_irq(&dt, &line);
	dt_end(&dt);
	CHECK_EQ(dt_finish(&dt, &blob, &size), (uint64_t)-EINVAL);
	memset(name, 'a', sizeof(name));
	name[199] = 0;
	dt_start(&dt);
	dt_begin(&dt, "%s", name);
	CHECK_EQ(dt_finish(&dt, &blob, &size), (uint64_t)-EINVAL);
	CHECK(blob == &dt && size == 5);
	dt_start(&dt);
	dt_abort(&dt);
}

int main(void)
{
	test_tree();
	test_misuse();
	return test_result();
}
