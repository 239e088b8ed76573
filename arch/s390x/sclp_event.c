// SPDX-License-Identifier: MIT
/*
 * The SCLP's events, most of which are the console's: messages of lines in EBCDIC (a message data block out, an operator's command as GDS vectors in), and the ASCII console (bytes as on
 * a terminal). Both lead to the same place; input goes to the face that the guest last wrote to.
 */
#include "arch/s390x/sclp.h"
#include "base/endian.h"

#define SEND_EVENTS (EVENT_BIT(EVENT_OPERATOR_COMMAND) | EVENT_BIT(EVENT_ASCII_CONSOLE) | EVENT_BIT(EVENT_SIGNAL_QUIESCE))
#define RECEIVE_EVENTS (EVENT_BIT(EVENT_MESSAGE) | EVENT_BIT(EVENT_ASCII_CONSOLE))

/* Event buffer: length, type, flags. */
#define EVENT_TYPE 2
#define EVENT_FLAGS 3
#define EVENT_ACCEPTED 0x80
#define EVENT_HEADER 6

/* Message data block. */
#define MDB_TYPE 2
#define MDB_TAG 4
#define MDB_HEADER 12
#define MDB_TYPE_MESSAGE 1
#define MDB_TAG_VALUE UINT32_C(0xd4c4c240) /* "MDB " */
#define MDO_TYPE 2
#define MDO_HEADER 4
#define MDO_TEXT_TYPE 4
#define MDO_TEXT 10 /* flags, alarm, reserved; then the text */

#define ASCII_DATA 0 /* first byte of what the ASCII console sends: typed bytes follow */

/* Vectors around an operator's command: length, id; in the innermost ones bytes. */
#define GDS_MDS_MU 0x1310
#define GDS_CP_MSU 0x1212
#define GDS_TEXT_COMMAND 0x1320
#define GDS_SELF_DEFINING 0x31
#define GDS_TEXT 0x30
#define OPERATOR_HEADER (EVENT_HEADER + 4 + 4 + 4 + 2 + 2)
#define OPERATOR_TEXT_MAX 250

#define MASK_LENGTH 10
#define MASKS 12

#define CONTROL_MASK2 5
#define VARIABLE_LENGTH 0x80
#define FUNCTION_CODE 2
#define READ_ALL 0
#define READ_SELECTED 1

/* ---- out ---- */

bool sclp_flush(struct sclp *s)
{
	struct machine *m = s->m;

	while (s->out_at < s->n_out) {
		size_t n = m->console_put ? m->console_put(m->console_ctx, s->out + s->out_at, s->n_out - s->out_at) : s->n_out - s->out_at;

		s->out_at += (unsigned int)n;
		if (s->out_at < s->n_out && m->console_changed)
			return false; /* which is called when there is room */
		if (s->out_at < s->n_out)
			break;
	}
	s->out_at = s->n_out = 0;
	return true;
}

static void put_char(struct sclp *s, char c)
{
	if (s->n_out < sizeof(s->out))
		s->out[s->n_out++] = c;
}

/* A text object is a line. */
static void put_line(struct sclp *s, const uint8_t *text, unsigned int len)
{
	for (unsigned int i = 0; i < len; i++)
		put_char(s, ebcdic_to_ascii(text[i]));
	put_char(s, '\n');
}

static uint16_t put_message(struct sclp *s, const uint8_t *mdb, unsigned int len)
{
	unsigned int at = MDB_HEADER, size;

	if (len < MDB_HEADER || get_be16(mdb) < MDB_HEADER || get_be16(mdb) > len)
		return SCLP_RC_INCONSISTENT;
	len = get_be16(mdb);
	if (get_be16(mdb + MDB_TYPE) != MDB_TYPE_MESSAGE || get_be32(mdb + MDB_TAG) != MDB_TAG_VALUE)
		return SCLP_RC_SYNTAX;
	for (; at < len; at += size) {
		size = len - at < MDO_HEADER ? 0 : get_be16(mdb + at);
		if (size < MDO_HEADER || size > len - at)
			return SCLP_RC_INCONSISTENT;
		if (get_be16(mdb + at + MDO_TYPE) != MDO_TEXT_TYPE)
			continue;
		if (size < MDO_TEXT)
			return SCLP_RC_INCONSISTENT;
		put_line(s, mdb + at + MDO_TEXT, size - MDO_TEXT);
	}
	s->line_mode = true;
	return SCLP_RC_DONE;
}

static uint16_t put_event(struct sclp *s, const uint8_t *event, unsigned int len)
{
	switch (event[EVENT_TYPE]) {
	case EVENT_MESSAGE:
		return put_message(s, event + EVENT_HEADER, len - EVENT_HEADER);
	case EVENT_ASCII_CONSOLE:
		for (unsigned int i = EVENT_HEADER; i < len; i++)
			put_char(s, (char)event[i]);
		s->line_mode = false;
		return SCLP_RC_DONE;
	}
	return SCLP_RC_FUNCTION;
}

uint16_t sclp_write_events(struct sclp *s, uint8_t *sccb, unsigned int len)
{
	unsigned int at = SCCB_HEADER, size;
	uint16_t rc = SCLP_RC_DONE;

	if (len < SCCB_HEADER + EVENT_HEADER)
		return SCLP_RC_INCONSISTENT;
	for (; at < len && rc == SCLP_RC_DONE; at += size) {
		size = len - at < EVENT_HEADER ? 0 : get_be16(sccb + at);
		if (size < EVENT_HEADER || size > len - at)
			return SCLP_RC_INCONSISTENT;
		rc = put_event(s, sccb + at, size);
		if (rc == SCLP_RC_DONE)
			sccb[at + EVENT_FLAGS] |= EVENT_ACCEPTED;
	}
	return rc;
}

/* ---- in ---- */

static unsigned int line_length(const struct sclp *s)
{
	unsigned int n = 0;

	while (n < s->n_in && s->in[n] != '\n' && s->in[n] != '\r')
		n++;
	return n;
}

bool sclp_by_line(const struct sclp *s, bool *ret_heard)
{
	const uint32_t ascii = s->receive & EVENT_BIT(EVENT_ASCII_CONSOLE), line = s->receive & EVENT_BIT(EVENT_OPERATOR_COMMAND);

	*ret_heard = ascii || line;
	return line && (s->line_mode || !ascii);
}

uint32_t sclp_pending(struct sclp *s)
{
	const uint32_t ascii = s->receive & EVENT_BIT(EVENT_ASCII_CONSOLE), line = s->receive & EVENT_BIT(EVENT_OPERATOR_COMMAND);
	struct machine *m = s->m;
	uint32_t events = 0;
	bool heard;
	const bool by_line = sclp_by_line(s, &heard);

	if (s->quiesce && s->receive & EVENT_BIT(EVENT_SIGNAL_QUIESCE))
		events |= EVENT_BIT(EVENT_SIGNAL_QUIESCE);
	if (!heard)
		return events;
	/* Without console_changed the input is somebody else's. */
	if (m->console_get && m->console_changed && s->n_in < sizeof(s->in))
		s->n_in += (unsigned int)m->console_get(m->console_ctx, s->in + s->n_in, sizeof(s->in) - s->n_in);
	if (s->n_in && !by_line)
		events |= ascii;
	else if (s->n_in && (line_length(s) < s->n_in || s->n_in >= OPERATOR_TEXT_MAX))
		events |= line;
	return events;
}

static void consume(struct sclp *s, unsigned int n)
{
	s->n_in -= n;
	memmove(s->in, s->in + n, s->n_in);
}

static void put_event_header(uint8_t *at, unsigned int len, uint8_t type)
{
	memset(at, 0, EVENT_HEADER);
	put_be16(at, (uint16_t)len);
	at[EVENT_TYPE] = type;
}

/* Each puts one event into room bytes and returns its size, 0 when it does not fit. */
static unsigned int get_typed(struct sclp *s, uint8_t *at, unsigned int room)
{
	unsigned int n = room <= EVENT_HEADER + 1 ? 0 : MIN(s->n_in, room - EVENT_HEADER - 1);

	if (!n)
		return 0;
	put_event_header(at, EVENT_HEADER + 1 + n, EVENT_ASCII_CONSOLE);
	at[EVENT_HEADER] = ASCII_DATA;
	memcpy(at + EVENT_HEADER + 1, s->in, n);
	consume(s, n);
	return EVENT_HEADER + 1 + n;
}

static unsigned int get_command(struct sclp *s, uint8_t *at, unsigned int room)
{
	unsigned int n = MIN(line_length(s), (unsigned int)OPERATOR_TEXT_MAX), len = OPERATOR_HEADER + n;
	static const uint16_t vectors[] = { GDS_MDS_MU, GDS_CP_MSU, GDS_TEXT_COMMAND };
	uint8_t *p = at + EVENT_HEADER;

	if (len > room)
		return 0;
	put_event_header(at, len, EVENT_OPERATOR_COMMAND);
	for (unsigned int i = 0; i < ARRAY_SIZE(vectors); i++, p += 4) {
		put_be16(p, (uint16_t)(at + len - p));
		put_be16(p + 2, vectors[i]);
	}
	p[0] = (uint8_t)(n + 4);
	p[1] = GDS_SELF_DEFINING;
	p[2] = (uint8_t)(n + 2);
	p[3] = GDS_TEXT;
	for (unsigned int i = 0; i < n; i++)
		p[4 + i] = ascii_to_ebcdic(s->in[i]);
	if (n < s->n_in && n == line_length(s))
		n++; /* its end */
	consume(s, n);
	return len;
}

static unsigned int get_quiesce(struct sclp *s, uint8_t *at, unsigned int room)
{
	const unsigned int len = EVENT_HEADER + 4; /* no time limit */

	if (room < len)
		return 0;
	put_event_header(at, len, EVENT_SIGNAL_QUIESCE);
	memset(at + EVENT_HEADER, 0, 4);
	s->quiesce = false;
	return len;
}

uint16_t sclp_read_events(struct sclp *s, uint8_t *sccb, unsigned int len)
{
	static unsigned int (*const get[])(struct sclp *s, uint8_t *at, unsigned int room) = { get_quiesce, get_command, get_typed };
	static const uint8_t type[] = { EVENT_SIGNAL_QUIESCE, EVENT_OPERATOR_COMMAND, EVENT_ASCII_CONSOLE };
	unsigned int at = SCCB_HEADER;
	uint32_t wanted = s->receive;

	switch (sccb[FUNCTION_CODE]) {
	case READ_ALL:
		break;
	case READ_SELECTED:
		wanted = len < MASKS + 4 || get_be16(sccb + MASK_LENGTH) < 4 ? 0 : get_be32(sccb + MASKS);
		if (!wanted || wanted & ~s->receive)
			return SCLP_RC_SELECTION_MASK;
		break;
	default:
		return SCLP_RC_FUNCTION;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(get); i++)
		if (sclp_pending(s) & wanted & EVENT_BIT(type[i]))
			at += get[i](s, sccb + at, len - at);
	if (at == SCCB_HEADER)
		return SCLP_RC_NO_EVENTS;
	if (sccb[CONTROL_MASK2] & VARIABLE_LENGTH) {
		sccb[CONTROL_MASK2] &= (uint8_t)~VARIABLE_LENGTH;
		put_be16(sccb, (uint16_t)at);
	} else {
		memset(sccb + at, 0, len - at);
	}
	return SCLP_RC_DONE;
}

/* The guest's two masks come in, ours go out. */
uint16_t sclp_write_masks(struct sclp *s, uint8_t *sccb, unsigned int len)
{
	unsigned int size;
	uint8_t mask[4] = { 0 };

	if (len < MASKS)
		return SCLP_RC_MASK_LENGTH;
	size = get_be16(sccb + MASK_LENGTH);
	if (!size || size > (len - MASKS) / 4)
		return SCLP_RC_MASK_LENGTH;
	memcpy(mask, sccb + MASKS, MIN(size, 4u));
	s->receive = get_be32(mask) & SEND_EVENTS;
	memset(sccb + MASKS + 2 * size, 0, 2 * size);
	put_be32(mask, RECEIVE_EVENTS);
	memcpy(sccb + MASKS + 2 * size, mask, MIN(size, 4u));
	put_be32(mask, SEND_EVENTS);
	memcpy(sccb + MASKS + 3 * size, mask, MIN(size, 4u));
	return SCLP_RC_DONE;
}
