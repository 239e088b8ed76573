// SPDX-License-Identifier: MIT
/*
 * Writes a flattened device tree (Devicetree Specification 0.4, section 5), version 17, from front to back. By hand, because each property costs
 * libfdt some thousand instructions and the tree is written on each start; the test has libfdt check what comes out.
 *
 * While writing, the blob holds header, empty reservation map and structure block; the strings block grows beside it and is joined on at the end.
 */
#include "dt.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define FDT_MAGIC 0xd00dfeed
#define FDT_VERSION 17
#define FDT_COMPATIBLE 16

enum { TOKEN_BEGIN_NODE = 1, TOKEN_END_NODE = 2, TOKEN_PROP = 3, TOKEN_END = 9 };

struct header {
	uint32_t magic, totalsize, off_struct, off_strings, off_rsvmap, version, compatible, boot_cpuid,
		size_strings, size_struct;
};

#define RSVMAP_SIZE 16 /* the entry that ends it */
#define STRUCT_START (sizeof(struct header) + RSVMAP_SIZE)
#define FIRST_ROOM KIB(4)
#define MAX_ROOM MIB(16)

static void fail(struct dt *dt, int error)
{
	if (!dt->error)
		dt->error = error;
}

/* Room for len more bytes at the end of a buffer; NULL when an error sticks. */
static char *room(struct dt *dt, struct dt_buffer *b, size_t len)
{
	size_t capacity = b->capacity;
	char *p;

	if (dt->error)
		return NULL;
	if (len <= capacity - b->size)
		goto fits;
	if (len > MAX_ROOM || b->size > MAX_ROOM) {
		fail(dt, -E2BIG);
		return NULL;
	}
	if (!capacity)
		capacity = b == &dt->tree ? FIRST_ROOM : KIB(1);
	while (capacity - b->size < len)
		capacity *= 2;
	p = realloc(b->p, capacity);
	if (!p) {
		fail(dt, -ENOMEM);
		return NULL;
	}
	b->p = p;
	b->capacity = capacity;
fits:
	p = b->p + b->size;
	b->size += len;
	return p;
}

/* Room in the structure block, which is always aligned to tokens. */
static uint32_t *tokens(struct dt *dt, size_t n)
{
	return (void *)room(dt, &dt->tree, n * 4);
}

int dt_start(struct dt *dt)
{
	char *p;

	*dt = (struct dt){0};
	p = room(dt, &dt->tree, STRUCT_START);
	if (!p)
		return dt->error;
	memset(p, 0, STRUCT_START);
	return 0;
}

/*
 * "%s", "%u", "%x" with l or ll for names of nodes; anything else goes to vsnprintf, which costs a thousand instructions. Returns the length, or -1 when it
 * does not fit.
 */
static int format_name(char *name, size_t size, const char *fmt, va_list ap)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;
	va_list copy;
	int code = -1;

	va_copy(copy, ap);
	for (const char *f = fmt; *f; f++) {
		unsigned int longs = 0, base, len = 0;
		char reversed[24];
		uint64_t v;

		if (n >= size - 1)
			goto out;
		if (*f != '%') {
			name[n++] = *f;
			continue;
		}
		for (f++; *f == 'l'; f++)
			longs++;
		if (*f == 's' && !longs) {
			for (const char *s = va_arg(copy, const char *); *s; s++) {
				if (n >= size - 1)
					goto out;
				name[n++] = *s;
			}
			continue;
		}
		base = *f == 'x' ? 16 : 10;
		if (*f != 'x' && *f != 'u') {
			code = vsnprintf(name, size, fmt, ap);
			goto out;
		}
		v = longs > 1 ? va_arg(copy, unsigned long long)
		    : longs   ? va_arg(copy, unsigned long)
			      : va_arg(copy, unsigned int);
		do {
			reversed[len++] = digits[v % base];
			v /= base;
		} while (v);
		if (n + len >= size)
			goto out;
		while (len)
			name[n++] = reversed[--len];
	}
	name[n] = 0;
	code = (int)n;
out:
	va_end(copy);
	return code;
}

void dt_begin(struct dt *dt, const char *fmt, ...)
{
	size_t words;
	char name[128];
	uint32_t *p;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = format_name(name, sizeof(name), fmt, ap);
	va_end(ap);
	/* One root, which has no name. */
	if (n < 0 || (size_t)n >= sizeof(name) || (!dt->depth && dt->tree.size != STRUCT_START)) {
		fail(dt, -EINVAL);
		return;
	}
	words = (size_t)n / 4 + 1;
	p = tokens(dt, 1 + words);
	if (!p)
		return;
	p[0] = htobe32(TOKEN_BEGIN_NODE);
	p[words] = 0;
	memcpy(p + 1, name, (size_t)n);
	dt->depth++;
	dt->after_child = false;
}

void dt_end(struct dt *dt)
{
	uint32_t *p;

	if (!dt->depth) {
		fail(dt, -EINVAL);
		return;
	}
	p = tokens(dt, 1);
	if (p)
		*p = htobe32(TOKEN_END_NODE);
	dt->depth--;
	dt->after_child = true;
}

/*
 * Where the name stands in the strings block. Names are mostly literals, so their addresses find them; the text decides, since a caller may use
 * one buffer for many names. A name that is not found is written again, which is right, too.
 */
static uint32_t name_offset(struct dt *dt, const char *name)
{
	uintptr_t hash = (uintptr_t)name;
	struct dt_name *seen;
	uint32_t at;
	size_t len;
	char *p;

	seen = &dt->seen[(hash ^ hash >> 6 ^ hash >> 12) % ARRAY_SIZE(dt->seen)];
	if (seen->name == name && !strcmp(dt->strings.p + seen->offset, name))
		return seen->offset;
	len = strlen(name) + 1;
	at = (uint32_t)dt->strings.size;
	p = room(dt, &dt->strings, len);
	if (!p)
		return 0;
	memcpy(p, name, len);
	*seen = (struct dt_name){name, at};
	return at;
}

/* Room for a property of len bytes, to be filled in before the next call; NULL when an error sticks. */
static void *prop(struct dt *dt, const char *name, size_t len)
{
	uint32_t at = name_offset(dt, name), *p;
	size_t words = (len + 3) / 4;

	/* Properties stand before a node's children. */
	if (!dt->depth || dt->after_child || len > MAX_ROOM) {
		fail(dt, -EINVAL);
		return NULL;
	}
	p = tokens(dt, 3 + words);
	if (!p)
		return NULL;
	p[0] = htobe32(TOKEN_PROP);
	p[1] = htobe32((uint32_t)len);
	p[2] = htobe32(at);
	if (words)
		p[2 + words] = 0;
	return p + 3;
}

void dt_prop(struct dt *dt, const char *name, const void *data, size_t len)
{
	void *p = prop(dt, name, len);

	if (p && len)
		memcpy(p, data, len);
}

void dt_prop_empty(struct dt *dt, const char *name)
{
	prop(dt, name, 0);
}

void dt_prop_u32(struct dt *dt, const char *name, uint32_t v)
{
	dt_prop_cells(dt, name, &v, 1);
}

void dt_prop_u64(struct dt *dt, const char *name, uint64_t v)
{
	dt_prop_cells(dt, name, (const uint32_t[]){(uint32_t)(v >> 32), (uint32_t)v}, 2);
}

void dt_prop_cells(struct dt *dt, const char *name, const uint32_t *cells, unsigned int n)
{
	uint32_t *p = prop(dt, name, (size_t)n * 4);

	for (unsigned int i = 0; p && i < n; i++)
		p[i] = htobe32(cells[i]);
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
	p = prop(dt, name, len);
	for (unsigned int i = 0; p && i < n; i++) {
		size_t size = strlen(list[i]) + 1;

		memcpy(p, list[i], size);
		p += size;
	}
}

void dt_prop_reg(struct dt *dt, uint64_t base, uint64_t size)
{
	const uint32_t cells[] = {(uint32_t)(base >> 32), (uint32_t)base, (uint32_t)(size >> 32),
				  (uint32_t)size};

	dt_prop_cells(dt, "reg", cells, 4);
}

void dt_prop_irq(struct dt *dt, const struct irq_line *line)
{
	uint32_t cells[4];

	if (!dt->irq.cells) {
		fail(dt, -EINVAL);
		return;
	}
	dt_prop_cells(dt, "interrupts", cells, dt->irq.cells(line, cells));
}

int dt_finish(struct dt *dt, void **ret_blob, size_t *ret_size)
{
	size_t strings = dt->strings.size, end;
	uint32_t *token;
	char *p;
	int code;

	if (dt->depth || dt->tree.size == STRUCT_START)
		fail(dt, -EINVAL);
	token = tokens(dt, 1);
	if (token)
		*token = htobe32(TOKEN_END);
	end = dt->tree.size;
	p = room(dt, &dt->tree, strings);
	if (!p) {
		code = dt->error == -ENOMEM ? -ENOMEM : -EINVAL;
		dt_abort(dt);
		return code;
	}
	if (strings)
		memcpy(p, dt->strings.p, strings);
	{
		const struct header h = {
			.magic = htobe32(FDT_MAGIC),
			.totalsize = htobe32((uint32_t)dt->tree.size),
			.off_struct = htobe32(STRUCT_START),
			.off_strings = htobe32((uint32_t)end),
			.off_rsvmap = htobe32(sizeof(h)),
			.version = htobe32(FDT_VERSION),
			.compatible = htobe32(FDT_COMPATIBLE),
			.size_strings = htobe32((uint32_t)strings),
			.size_struct = htobe32((uint32_t)(end - STRUCT_START)),
		};

		memcpy(dt->tree.p, &h, sizeof(h));
	}
	*ret_size = dt->tree.size;
	*ret_blob = TAKE(dt->tree.p);
	dt_abort(dt);
	return 0;
}

void dt_abort(struct dt *dt)
{
	free(dt->tree.p);
	free(dt->strings.p);
	dt->tree = dt->strings = (struct dt_buffer){0};
}
