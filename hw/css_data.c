// SPDX-License-Identifier: MIT
/*
 * Where a command's data lies: in the CCW's own area, in the blocks of its indirect-data-address words (formats 1 and 2), or in those of
 * modified IDAWs; then in those of the CCWs that it chains. Each word is checked when the data comes to it.
 */
#include <errno.h>

#include "base/endian.h"
#include "hw/css_internal.h"

#define MIDAW_BLOCK 4096

/* Contiguous storage for data. */
struct piece {
	uint64_t address; /* of its first byte, also when it is filled backward */
	uint32_t len;
	bool skip; /* no storage at all */
};

static int program_check(struct css_run *r)
{
	r->check |= CSTAT_PROGRAM_CHECK;
	return -EFAULT;
}

static bool backward(const struct css_run *r)
{
	return (r->code & 0xf) == CCW_CMD_READ_BACKWARD;
}

/* The list's next word; its address walks on. */
static int read_word(struct css_run *r, void *word, uint32_t size)
{
	uint32_t max = r->orb & ORB_FORMAT1 ? INT32_MAX : 0xffffff;

	if (r->address & (size - 1) || r->address > max || memory_read(r->css->config.memory, r->address, word, size) < 0)
		return program_check(r);
	r->address += size;
	return 0;
}

static int next_idaw(struct css_run *r)
{
	bool format2 = r->orb & ORB_IDAW2;
	uint32_t size = format2 && !(r->orb & ORB_IDAW2K) ? 4096 : 2048, offset;
	uint8_t word[8];

	if (read_word(r, word, format2 ? 8 : 4) < 0)
		return -EFAULT;
	r->block = format2 ? get_be64(word) : get_be32(word);
	if (!format2 && r->block > INT32_MAX)
		return program_check(r);
	offset = r->block & (size - 1);
	/* Only the first may point into a block. */
	if (r->block_used && offset != (backward(r) ? size - 1 : 0))
		return program_check(r);
	r->block_left = backward(r) ? offset + 1 : size - offset;
	r->block_used = true;
	return 0;
}

static int next_midaw(struct css_run *r)
{
	struct css_midaw m;
	uint32_t count;

	/* The counts add up to the CCW's; the list stays in one block of storage. */
	if (r->block_last || backward(r) || (r->block_used && !(r->address & (MIDAW_BLOCK - 1))))
		return program_check(r);
	if (read_word(r, &m, sizeof(m)) < 0)
		return -EFAULT;
	r->block_used = true;
	r->block_last = m.flags & MIDAW_LAST;
	r->block_skip = m.flags & MIDAW_SKIP;
	r->block = get_be64(m.address);
	count = get_be16(m.count);
	if (m.flags & MIDAW_INVALID || get_be32(m.reserved) || m.reserved[4] || !count || count > r->left || r->block_last != (count == r->left))
		return program_check(r);
	if (!r->block_skip && (r->block & (MIDAW_BLOCK - 1)) + count > MIDAW_BLOCK)
		return program_check(r);
	r->block_left = count;
	return 0;
}

/* Address-limit checking ("I/O Support Functions"): one part of storage only. Shortens the piece to what is allowed. */
static int check_limit(struct css_run *r, struct piece *p)
{
	uint64_t first = p->address, last = p->address + p->len - 1;

	if (r->limit_mode == PMCW_LIMIT_LOW ? first >= r->limit : r->limit_mode != PMCW_LIMIT_HIGH || last < r->limit)
		return 0;
	if (r->limit_mode == PMCW_LIMIT_HIGH && first < r->limit && !backward(r))
		p->len = (uint32_t)(r->limit - first);
	else if (r->limit_mode == PMCW_LIMIT_LOW && last >= r->limit && backward(r)) {
		p->len = (uint32_t)(last - r->limit + 1);
		p->address = r->limit;
	} else {
		return program_check(r);
	}
	return 0;
}

/* The next piece for up to `want` bytes; 0 with len 0 at the end of the program's count; -EFAULT: the program ends. */
static int next_piece(struct css_run *r, size_t want, bool skip, struct piece *ret)
{
	struct piece p = { 0 };

	while (!r->left) {
		if (!(r->flags & CCW_CD)) {
			r->wanted_more = true;
			ret->len = 0;
			return 0;
		}
		if (css_fetch_ccw(r, true) < 0)
			return -EFAULT;
	}
	p.len = (uint32_t)MIN(want, r->left);
	p.skip = skip && r->flags & CCW_SKIP;
	if (!p.skip && r->flags & (CCW_IDA | CCW_MIDA)) {
		if (!r->block_left && (r->flags & CCW_IDA ? next_idaw(r) : next_midaw(r)) < 0)
			return -EFAULT;
		p.len = MIN(p.len, r->block_left);
		p.address = backward(r) ? r->block + 1 - p.len : r->block;
		p.skip = r->block_skip && skip;
	} else if (p.skip) {
		if (r->block_left)
			p.len = MIN(p.len, r->block_left);
	} else {
		uint64_t end = r->orb & ORB_FORMAT1 ? UINT64_C(1) << 31 : 1 << 24;

		/* Past either end of what the format can address. */
		if (r->address >= end)
			return program_check(r);
		p.len = (uint32_t)MIN(p.len, backward(r) ? r->address + UINT64_C(1) : end - r->address);
		p.address = backward(r) ? r->address + UINT64_C(1) - p.len : r->address;
	}
	if (!p.skip && r->limit_mode && check_limit(r, &p) < 0)
		return -EFAULT;
	*ret = p;
	return 0;
}

static void advance(struct css_run *r, const struct piece *p)
{
	r->left -= p->len;
	r->moved = true;
	if (r->block_left) {
		r->block += backward(r) ? -(uint64_t)p->len : p->len;
		r->block_left -= p->len;
	} else {
		r->address += backward(r) ? -p->len : p->len;
	}
}

static int store(struct css_run *r, const struct piece *p, const uint8_t *data)
{
	uint8_t turned[256];
	struct piece part = *p;

	if (!backward(r))
		return memory_write(r->css->config.memory, p->address, data, p->len);
	for (uint32_t done = 0; done < p->len; done += part.len) {
		part.len = MIN(p->len - done, (uint32_t)sizeof(turned));
		part.address = p->address + p->len - done - part.len;
		for (uint32_t i = 0; i < part.len; i++)
			turned[i] = data[done + part.len - 1 - i];
		if (memory_write(r->css->config.memory, part.address, turned, part.len) < 0)
			return -EFAULT;
	}
	return 0;
}

int css_data_read(struct css_command *c, void *buf, size_t len)
{
	struct css_run *r = c->run;
	struct piece p;
	size_t done;

	if (r->check)
		return -EFAULT;
	for (done = 0; done < len; done += p.len) {
		if (next_piece(r, len - done, false, &p) < 0)
			return -EFAULT;
		if (!p.len)
			break;
		if (memory_read(r->css->config.memory, p.address, (char *)buf + done, p.len) < 0)
			return program_check(r);
		advance(r, &p);
	}
	return (int)done;
}

int css_data_write(struct css_command *c, const void *buf, size_t len)
{
	struct css_run *r = c->run;
	struct piece p;
	size_t done;

	if (r->check)
		return -EFAULT;
	for (done = 0; done < len; done += p.len) {
		if (next_piece(r, len - done, true, &p) < 0)
			return -EFAULT;
		if (!p.len)
			break;
		if (!p.skip && store(r, &p, (const uint8_t *)buf + done) < 0)
			return program_check(r);
		advance(r, &p);
	}
	return (int)done;
}

void css_data_rewind(struct css_command *c)
{
	struct css_run *r = c->run;

	if (r->check)
		return;
	r->flags = r->begin.flags;
	r->left = r->begin.left;
	r->address = r->begin.address;
	r->cpa = r->begin.cpa;
	r->sch->s.next = r->begin.cpa;
	r->block_left = 0;
	r->block_used = r->block_last = r->block_skip = false;
	r->wanted_more = r->moved = false;
}

uint32_t css_data_left(const struct css_command *c)
{
	return c->run->left;
}
