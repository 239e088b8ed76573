// SPDX-License-Identifier: MIT
/*
 * A hostile guest at the channel subsystem: any instruction with any operand, any control block, channel programs, IDAWs and MIDAWs of any
 * bytes, mixed with devices that come and go, and saved states with wrong bytes. What must hold: at most one interruption is pending for a
 * subchannel, none is withdrawn that is not; a go of channel programs is bounded; nothing stays half done; and in the end a subchannel that is
 * cleared works.
 *
 * Input: the guest's memory from 0x1000 on (a length of 2 bytes, and so many), then operations of one byte and what they take.
 */
#include "hw/css.h"

#include <string.h>

#include "base/endian.h"
#include "tests/fuzz/bytes.h"

#define RAM 0x10000
#define PROGRAM 0x1000
#define N_SUBCHANNELS 4
#define MAX_OPS 300
#define MAX_REPORTS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	struct memory *memory;
	struct css *css;
	struct css_subchannel *sch[N_SUBCHANNELS];
	bool pending[CSS_SETS][N_SUBCHANNELS + 1];
	bool deferred;
	unsigned int commands; /* since the last instruction began */
	uint8_t buf[0x3000];
};

static bool *pending(struct fuzz *f, uint32_t sid)
{
	MUST(CSS_SID_NUMBER(sid) <= N_SUBCHANNELS);
	return &f->pending[CSS_SID_SSID(sid)][CSS_SID_NUMBER(sid)];
}

static void io_interrupt(void *ctx, uint32_t sid, uint32_t intparm, unsigned int isc)
{
	MUST(isc < 8 && !*pending(ctx, sid));
	*pending(ctx, sid) = true;
}

static void io_interrupt_clear(void *ctx, uint32_t sid, unsigned int isc)
{
	MUST(*pending(ctx, sid));
	*pending(ctx, sid) = false;
}

static void crw_pending(void *ctx)
{
}

static void defer(void *ctx)
{
	struct fuzz *f = ctx;

	MUST(!f->deferred);
	f->deferred = true;
}

static const struct css_machine_ops machine_ops = {
	.io_interrupt = io_interrupt,
	.io_interrupt_clear = io_interrupt_clear,
	.crw_pending = crw_pending,
	.defer = defer,
};

/* The command's high half says how much data, and what comes of it. */
static unsigned int command(void *dev, struct css_command *c)
{
	struct fuzz *f = dev;
	size_t want = c->code & 0x80 ? sizeof(f->buf) : (c->code >> 4 & 7) * 5;
	int r;

	f->commands++;
	switch (c->code & 3) {
	case 1:
		r = css_data_read(c, f->buf, want);
		break;
	case 2:
	case 0:
		r = css_data_write(c, f->buf, want);
		break;
	default:
		if (c->code & 0x40)
			return c->code & 0x20 ? CSS_IMMEDIATE : DSTAT_CHANNEL_END | DSTAT_DEVICE_END | DSTAT_STATUS_MODIFIER;
		r = css_data_read(c, f->buf, want);
		if (r >= 0)
			r = css_data_write(c, f->buf, want);
	}
	MUST(r <= (int)want);
	if (c->code == 0x77)
		return css_command_reject(c);
	return 0;
}

static const struct css_device_ops device_ops = { .cu_type = 0x3832, .command = command };

static void plug(struct fuzz *f, unsigned int n)
{
	struct css_device_config dc = { .devno = (uint16_t)n, .ssid = n / 3, .ops = &device_ops, .cu_model = -1, .dev = f, .hotplug = true };

	MUST(css_add_device(f->css, &dc, &f->sch[n], NULL) >= 0);
}

static uint32_t some_sid(struct bytes *in)
{
	uint8_t b = (uint8_t)bytes_take(in, 1);

	if (b & 0x80)
		return (uint32_t)bytes_take(in, 4);
	return CSS_SID_ONE | (b & 0x40 ? UINT32_C(0xfe080000) : 0) | (b >> 4 & 1) << 17 | b % 4;
}

/* A block of bytes, with some of them the fuzzer's. */
static void some_block(struct bytes *in, void *block, size_t len)
{
	uint8_t edits = (uint8_t)bytes_take(in, 1) % 8;

	while (edits--) {
		uint8_t at = (uint8_t)bytes_take(in, 1);

		((uint8_t *)block)[at % len] = (uint8_t)bytes_take(in, 1);
	}
}

static void chsc(struct fuzz *f, struct bytes *in)
{
	uint8_t page[CHSC_PAGE];
	int cc;

	memset(page, 0x5a, sizeof(page));
	memset(page, 0, 16);
	put_be16(page, (uint16_t)(bytes_take(in, 1) * 16));
	put_be16(page + 2, (uint16_t)bytes_take(in, 1));
	some_block(in, page, 16);
	cc = css_chsc(f->css, page);
	MUST(cc == 0 || cc == -CSS_PGM_OPERAND);
	if (!cc)
		MUST(get_be16(page) + get_be16(page + get_be16(page)) <= CHSC_PAGE);
}

/* Nothing waits that nobody will see to, and no status is there without being pending. */
static void check(struct fuzz *f)
{
	struct css_schib schib;

	for (unsigned int i = 0; i < N_SUBCHANNELS; i++) {
		uint32_t sid = css_subchannel_sid(f->css, f->sch[i]);
		uint16_t ctrl;

		/* Sets beyond the first have no names as long as they are off. */
		if (css_stsch(f->css, sid, &schib) < 0)
			continue;
		ctrl = get_be16(schib.scsw.ctrl);
		MUST(!(ctrl & (SCSW_ACTL_HALT_PENDING | SCSW_ACTL_CLEAR_PENDING)));
		MUST(!(ctrl & SCSW_STCTL) || ctrl & SCSW_STCTL_PENDING);
		MUST(!(ctrl & SCSW_ACTL) || ctrl & SCSW_FCTL);
		MUST(!*pending(f, sid) || ctrl & SCSW_STCTL_PENDING);
		if (ctrl & SCSW_ACTL_SUBCHANNEL)
			MUST(f->deferred);
		if (ctrl & SCSW_ACTL_RESUME_PENDING)
			MUST(ctrl & SCSW_FCTL_HALT || f->deferred);
	}
}

static void go_on(struct fuzz *f)
{
	if (!f->deferred)
		return;
	f->deferred = false;
	f->commands = 0;
	css_continue(f->css);
	MUST(f->commands <= N_SUBCHANNELS * CSS_GO);
}

static void instruction(struct fuzz *f, struct bytes *in, uint8_t what)
{
	uint32_t sid = some_sid(in);
	struct css_schib schib = { 0 };
	struct css_orb orb = { 0 };
	struct css_tpi tpi;
	struct css_irb irb;
	int cc = 0;
	size_t len;

	f->commands = 0;
	switch (what) {
	case 0:
		put_be32(orb.flags, ORB_FORMAT1 | 0xff00);
		put_be32(orb.cpa, PROGRAM + 8 * (uint32_t)bytes_take(in, 1));
		some_block(in, &orb, 12);
		cc = css_ssch(f->css, sid, &orb);
		MUST(f->commands <= CSS_GO);
		break;
	case 1:
		cc = css_tsch(f->css, sid, &irb, &len);
		MUST(cc < 0 || cc == 3 || len == 64 || len == 96);
		break;
	case 2:
		if (css_stsch(f->css, sid, &schib) == 0) {
			some_block(in, &schib, sizeof(schib));
			cc = css_msch(f->css, sid, &schib);
		}
		break;
	case 3:
		cc = css_hsch(f->css, sid);
		break;
	case 4:
		cc = css_csch(f->css, sid);
		MUST(cc <= 0 || cc == 3);
		break;
	case 5:
		cc = css_rsch(f->css, sid);
		MUST(f->commands <= CSS_GO);
		break;
	case 6:
		cc = css_xsch(f->css, sid);
		break;
	case 7:
		cc = css_tpi(f->css, (uint8_t)bytes_take(in, 1), &tpi);
		break;
	}
	MUST(cc >= -CSS_PGM_OPERAND && cc <= 3);
}

static void operation(struct fuzz *f, struct bytes *in)
{
	uint8_t what = (uint8_t)bytes_take(in, 1), word[8];
	static uint8_t state[8192];
	struct css_crw crw;
	unsigned int n;
	size_t len;

	switch (what % 20) {
	case 8:
	case 9: /* guest memory */
		put_be64(word, bytes_take(in, 8));
		memory_write(f->memory, PROGRAM + 8 * bytes_take(in, 1), word, 8);
		break;
	case 10:
		go_on(f);
		break;
	case 11:
		chsc(f, in);
		break;
	case 12:
		n = 0;
		while (css_stcrw(f->css, &crw) == 0)
			MUST(++n <= MAX_REPORTS);
		break;
	case 13:
		css_schm(f->css, bytes_take(in, 4), bytes_take(in, 3) & ~UINT64_C(31));
		break;
	case 14:
		css_sal(f->css, bytes_take(in, 1) << 16);
		css_rchp(f->css, bytes_take(in, 4));
		break;
	case 15:
		n = (unsigned int)bytes_take(in, 1) % N_SUBCHANNELS;
		css_remove_device(f->css, f->sch[n]);
		plug(f, n);
		break;
	case 16:
		css_present_alert(f->css, f->sch[what >> 5 & 3], what);
		break;
	case 17:
		n = (unsigned int)bytes_take(in, 1) % N_SUBCHANNELS;
		if (f->pending[n / 3][n % 3])
			css_interrupt_taken(f->css, css_subchannel_sid(f->css, f->sch[n]));
		f->pending[n / 3][n % 3] = false;
		break;
	case 18:
		len = css_save(f->css, state, sizeof(state));
		MUST(len <= sizeof(state));
		if (what & 0x80)
			some_block(in, state, len);
		css_load(f->css, state, len, NULL);
		break;
	case 19:
		css_reset(f->css);
		break;
	default:
		instruction(f, in, what % 20);
	}
	/* A state with wrong bytes may say anything until it is cleared. */
	if (what % 20 != 18)
		check(f);
}

/* Cleared and enabled, the subchannel does what an honest program says. */
static void check_alive(struct fuzz *f, unsigned int n)
{
	static const struct css_ccw1 sense_id = { .cmd = CCW_CMD_SENSE_ID, .count = { 0, 7 }, .address = { 0, 0, 0x20, 0 } };
	struct css_schib schib = { 0 };
	struct css_orb orb = { 0 };
	struct css_irb irb;
	uint8_t data[7];
	uint32_t sid;
	size_t len;

	css_reset(f->css);
	sid = css_subchannel_sid(f->css, f->sch[n]);
	put_be16(schib.pmcw.flags, PMCW_ENABLED);
	MUST(css_msch(f->css, sid, &schib) == 0);
	MUST(memory_write(f->memory, PROGRAM, &sense_id, sizeof(sense_id)) >= 0);
	put_be32(orb.flags, ORB_FORMAT1 | 0x8000);
	put_be32(orb.cpa, PROGRAM);
	MUST(css_ssch(f->css, sid, &orb) == 0);
	MUST(*pending(f, sid));
	MUST(css_tsch(f->css, sid, &irb, &len) == 0);
	MUST(irb.scsw.dstat == (DSTAT_CHANNEL_END | DSTAT_DEVICE_END) && !irb.scsw.cstat && !get_be16(irb.scsw.count));
	MUST(memory_read(f->memory, 0x2000, data, sizeof(data)) >= 0 && get_be16(data + 1) == 0x3832);
	MUST(css_tsch(f->css, sid, &irb, &len) == 1);
	MUST(!*pending(f, sid));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct css_config config = { .ops = &machine_ops };
	struct memory_backing backing = { 0 };
	struct bytes in = { data, size };
	static struct fuzz f;
	size_t n;

	memset(&f, 0, offsetof(struct fuzz, buf));
	MUST(memory_create(&f.memory) >= 0 && memory_add(f.memory, 0, RAM, &backing, NULL) >= 0);
	config.memory = f.memory;
	config.ctx = &f;
	MUST(css_create(&config, &f.css, NULL) >= 0);
	for (unsigned int i = 0; i < N_SUBCHANNELS; i++) {
		struct css_schib schib = { 0 };

		plug(&f, i);
		put_be16(schib.pmcw.flags, PMCW_ENABLED);
		css_msch(f.css, css_subchannel_sid(f.css, f.sch[i]), &schib);
	}
	n = bytes_take(&in, 2) % 0x2000;
	n = MIN(n, in.len);
	MUST(memory_write(f.memory, PROGRAM, in.data, n) >= 0);
	in.data += n;
	in.len -= n;
	for (unsigned int op = 0; op < MAX_OPS && in.len; op++)
		operation(&f, &in);
	for (unsigned int i = 0; i < 5; i++)
		go_on(&f);
	check_alive(&f, 0);
	css_destroy(f.css);
	memory_destroy(f.memory);
	return 0;
}
