// SPDX-License-Identifier: MIT
/* CHANNEL SUBSYSTEM CALL: what the subsystem and its one path are, and switching on of more subchannel sets and images. */
#include "base/endian.h"
#include "hw/css_internal.h"

#define REQUEST_MIN 16
#define RESPONSE_MIN 8 /* header and the first word */
#define REQUEST_M 0x20000000 /* the request names an image */

static const uint8_t general[] = {
	41, /* adapter interruptions */
	45, /* several images, and sets */
	46, /* full-fledged subchannel sets */
	48, /* measurement blocks of format 1 */
};

struct request {
	struct css *css;
	const uint8_t *p;
	unsigned int len;
	uint8_t *out; /* the response after its first word: zeroes */
	unsigned int room;
	uint32_t word; /* that word */
};

/* Writes at most r->room bytes at r->out, and says how many. Returns the response code. */
struct command {
	uint16_t code;
	uint16_t len; /* of its request */
	unsigned int (*fn)(struct request *r, unsigned int *ret_len);
};

/* The default image has no name. */
static bool this_image(uint32_t word, uint8_t image)
{
	return !image || (word & REQUEST_M && image == CSS_ID);
}

static unsigned int store_path_description(struct request *r, unsigned int *ret_len)
{
	uint32_t word0 = get_be32(r->p + 4), word1 = get_be32(r->p + 8), word2 = get_be32(r->p + 12);
	unsigned int first = word0 & 0xff, last = word1 & 0xff;
	bool comprehensive = word0 & 0x10000000;

	if (word0 & 0xc000f000 || word1 & ~0xffu || word2)
		return CHSC_BAD_REQUEST;
	if (word0 & 0x0f000000 || (word0 >> 8 & 0xf) > 1)
		return CHSC_BAD_FORMAT;
	if (!this_image(word0, (uint8_t)(word0 >> 16)))
		return CHSC_BAD_IMAGE;
	if (first > last)
		return CHSC_BAD_REQUEST;
	r->word = comprehensive;
	if (first > CSS_PATH_ID)
		return CHSC_OK;
	/* Valid; its type and number. It has no links. */
	r->out[0] = 0x80;
	r->out[2] = CSS_PATH_TYPE;
	r->out[3] = CSS_PATH_ID;
	*ret_len = comprehensive ? 32 : 8;
	return CHSC_OK;
}

static unsigned int store_subchannel_description(struct request *r, unsigned int *ret_len)
{
	uint32_t word0 = get_be32(r->p + 4), word1 = get_be32(r->p + 8);
	unsigned int ssid = word0 >> 20 & 3, first = word0 & 0xffff, last = word1 & 0xffff, n = 0;

	if (word0 & 0xffcf0000 || word1 & 0xffff0000 || get_be32(r->p + 12) || first > last || (ssid && !r->css->s.mss))
		return CHSC_BAD_REQUEST;
	for (unsigned int i = first; i <= last && (n + 1) * 32 <= r->room; i++, n++) {
		uint8_t *d = r->out + n * 32;
		const struct css_sch_state *s;

		if (i >= r->css->set[ssid].n)
			break;
		s = &r->css->set[ssid].sch[i]->s;
		d[0] = s->pmcw & PMCW_VALID ? 0xc0 : 0x80; /* subchannel; device; an I/O subchannel */
		put_be16(d + 2, s->devno);
		d[4] = s->pim;
		put_be16(d + 6, (uint16_t)i);
		if (s->pim)
			d[8] = CSS_PATH_ID;
		*ret_len += 32;
	}
	return CHSC_OK;
}

/* General characteristics by the bit, 2040 bytes of them; those of CHSC itself, to the end of the page, are zero. */
static unsigned int store_characteristics(struct request *r, unsigned int *ret_len)
{
	uint32_t word0 = get_be32(r->p + 4);

	if (word0 & 0x000f0000)
		return CHSC_BAD_FORMAT;
	if (!this_image(word0, (uint8_t)(word0 >> 8)))
		return CHSC_BAD_IMAGE;
	if (word0 & 0xdff000ff || get_be32(r->p + 8) || get_be32(r->p + 12))
		return CHSC_BAD_REQUEST;
	for (unsigned int i = 0; i < ARRAY_SIZE(general); i++)
		r->out[general[i] / 8] |= (uint8_t)(0x80 >> general[i] % 8);
	*ret_len = r->room;
	return CHSC_OK;
}

static unsigned int store_event(struct request *r, unsigned int *ret_len)
{
	return CHSC_NO_EVENT;
}

/* Subchannels have longer names from now on, in interruptions that are pending, too. */
static void name_images(struct css *css)
{
	if (css->s.mcsse)
		return;
	css->s.mcsse = 1;
	for (unsigned int ssid = 0; ssid < CSS_SETS; ssid++)
		for (unsigned int i = 0; i < css->set[ssid].n; i++) {
			struct css_subchannel *sch = css->set[ssid].sch[i];

			if (!sch->s.interrupt)
				continue;
			css->s.mcsse = 0;
			css_withdraw(css, sch);
			css->s.mcsse = 1;
			css_interrupt(css, sch);
		}
}

static unsigned int set_domain(struct request *r, unsigned int *ret_len)
{
	uint32_t word0 = get_be32(r->p + 4);

	if (word0 & 0xf0ff0000)
		return CHSC_BAD_REQUEST;
	if (word0 & 0x0f000000)
		return CHSC_BAD_FORMAT;
	switch (word0 & 0xffff) {
	case 0:
		name_images(r->css);
		return CHSC_OK;
	case 2:
		r->css->s.mss = 1;
		return CHSC_OK;
	default:
		return CHSC_BAD_REQUEST;
	}
}

static const struct command commands[] = {
	{ CHSC_STORE_PATH_DESCRIPTION, 0x10, store_path_description },
	{ CHSC_STORE_SUBCHANNEL_DESCRIPTION, 0x10, store_subchannel_description },
	{ CHSC_STORE_EVENT, 0x10, store_event },
	{ CHSC_STORE_CHARACTERISTICS, 0x10, store_characteristics },
	{ CHSC_SET_DOMAIN, 0x400, set_domain },
};

int css_chsc(struct css *css, uint8_t page[CHSC_PAGE])
{
	unsigned int len = get_be16(page), code = CHSC_NOT_PROVIDED, out = 0;
	struct request r;

	/* The response's header needs room behind it. */
	if (len < REQUEST_MIN || len > CHSC_PAGE - RESPONSE_MIN || len % 8)
		return -CSS_PGM_OPERAND;
	memset(page + len, 0, CHSC_PAGE - len);
	r = (struct request){ .css = css, .p = page, .len = len, .out = page + len + RESPONSE_MIN, .room = CHSC_PAGE - len - RESPONSE_MIN };
	pthread_mutex_lock(&css->lock);
	for (unsigned int i = 0; i < ARRAY_SIZE(commands); i++) {
		if (commands[i].code != get_be16(page + 2))
			continue;
		code = commands[i].len == len ? commands[i].fn(&r, &out) : CHSC_BAD_REQUEST;
		break;
	}
	pthread_mutex_unlock(&css->lock);
	put_be16(page + len, (uint16_t)(RESPONSE_MIN + out));
	put_be16(page + len + 2, (uint16_t)code);
	put_be32(page + len + 4, r.word);
	return 0;
}
