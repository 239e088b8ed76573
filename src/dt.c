// SPDX-License-Identifier: MIT
#include "dt.h"

#include <errno.h>
#include <libfdt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"

#define DT_FIRST_SIZE KIB(16)
#define DT_MAX_SIZE MIB(16)

int dt_start(struct dt *dt)
{
	*dt = (struct dt){.size = DT_FIRST_SIZE};
	dt->blob = malloc(dt->size);
	if (!dt->blob) {
		dt->error = -FDT_ERR_NOSPACE;
		return -ENOMEM;
	}
	/* Names are not looked for among those before: that costs more than the bytes it saves. */
	dt->error = fdt_create_with_flags(dt->blob, (int)dt->size, FDT_CREATE_FLAG_NO_NAME_DEDUP);
	if (!dt->error)
		dt->error = fdt_finish_reservemap(dt->blob);
	return dt->error ? -EINVAL : 0;
}

/* After a call that found no space: true when there is more now and the call can be made again. */
static bool grow(struct dt *dt, int code)
{
	void *blob;

	if (code != -FDT_ERR_NOSPACE || dt->size >= DT_MAX_SIZE)
		return false;
	blob = malloc(dt->size * 2);
	if (!blob)
		return false;
	if (fdt_resize(dt->blob, blob, (int)dt->size * 2) < 0) {
		free(blob);
		return false;
	}
	free(dt->blob);
	dt->blob = blob;
	dt->size *= 2;
	return true;
}

#define WITH_ROOM(dt, call)                                                                        \
	do {                                                                                       \
		int code_;                                                                         \
                                                                                                   \
		if ((dt)->error)                                                                   \
			break;                                                                     \
		do                                                                                 \
			code_ = (call);                                                            \
		while (code_ < 0 && grow(dt, code_));                                              \
		(dt)->error = code_ < 0 ? code_ : 0;                                               \
	} while (0)

void dt_begin(struct dt *dt, const char *fmt, ...)
{
	const char *name = fmt;
	char text[128];

	if (strchr(fmt, '%')) {
		va_list ap;
		int n;

		va_start(ap, fmt);
		n = vsnprintf(text, sizeof(text), fmt, ap);
		va_end(ap);
		if (n < 0 || (size_t)n >= sizeof(text)) {
			if (!dt->error)
				dt->error = -FDT_ERR_BADVALUE;
			return;
		}
		name = text;
	}
	WITH_ROOM(dt, fdt_begin_node(dt->blob, name));
	dt->depth++;
}

void dt_end(struct dt *dt)
{
	if (!dt->depth) {
		if (!dt->error)
			dt->error = -FDT_ERR_BADSTATE;
		return;
	}
	WITH_ROOM(dt, fdt_end_node(dt->blob));
	dt->depth--;
}

void dt_prop(struct dt *dt, const char *name, const void *data, size_t len)
{
	if (len > DT_MAX_SIZE) {
		if (!dt->error)
			dt->error = -FDT_ERR_BADVALUE;
		return;
	}
	WITH_ROOM(dt, fdt_property(dt->blob, name, data, (int)len));
}

void dt_prop_empty(struct dt *dt, const char *name)
{
	dt_prop(dt, name, "", 0);
}

void dt_prop_u32(struct dt *dt, const char *name, uint32_t v)
{
	uint8_t be[4];

	put_be32(be, v);
	dt_prop(dt, name, be, sizeof(be));
}

void dt_prop_u64(struct dt *dt, const char *name, uint64_t v)
{
	uint8_t be[8];

	put_be64(be, v);
	dt_prop(dt, name, be, sizeof(be));
}

/* Room for a property of len bytes, to be filled in before the next call; NULL when an error sticks. */
static void *prop_placeholder(struct dt *dt, const char *name, size_t len)
{
	void *p = NULL;

	if (len > DT_MAX_SIZE && !dt->error)
		dt->error = -FDT_ERR_BADVALUE;
	WITH_ROOM(dt, fdt_property_placeholder(dt->blob, name, (int)len, &p));
	return dt->error ? NULL : p;
}

void dt_prop_cells(struct dt *dt, const char *name, const uint32_t *cells, unsigned int n)
{
	char *p = prop_placeholder(dt, name, (size_t)n * 4);

	for (unsigned int i = 0; p && i < n; i++)
		put_be32(p + (size_t)i * 4, cells[i]);
}

void dt_prop_string(struct dt *dt, const char *name, const char *s)
{
	dt_prop(dt, name, s, strlen(s) + 1);
}

void dt_prop_strings(struct dt *dt, const char *name, const char *const *list, unsigned int n)
{
	size_t len = 0;
	char *p;

	for (unsigned int i = 0; i < n; i++)
		len += strlen(list[i]) + 1;
	p = prop_placeholder(dt, name, len);
	for (unsigned int i = 0; p && i < n; i++)
		p = stpcpy(p, list[i]) + 1;
}

void dt_prop_reg(struct dt *dt, uint64_t base, uint64_t size)
{
	uint8_t be[16];

	put_be64(be, base);
	put_be64(be + 8, size);
	dt_prop(dt, "reg", be, sizeof(be));
}

void dt_prop_irq(struct dt *dt, const struct irq_line *line)
{
	uint32_t cells[4];

	if (!dt->irq.cells) {
		if (!dt->error)
			dt->error = -FDT_ERR_BADSTATE;
		return;
	}
	dt_prop_cells(dt, "interrupts", cells, dt->irq.cells(line, cells));
}

int dt_finish(struct dt *dt, void **ret_blob, size_t *ret_size)
{
	int code;

	if (dt->depth && !dt->error)
		dt->error = -FDT_ERR_BADSTATE;
	WITH_ROOM(dt, fdt_finish(dt->blob));
	if (dt->error) {
		code = dt->error == -FDT_ERR_NOSPACE ? -ENOMEM : -EINVAL;
		dt_abort(dt);
		return code;
	}
	*ret_size = fdt_totalsize(dt->blob);
	*ret_blob = dt->blob;
	dt->blob = NULL;
	return 0;
}

void dt_abort(struct dt *dt)
{
	free(dt->blob);
	dt->blob = NULL;
	dt->size = 0;
}
