// SPDX-License-Identifier: MIT
/* Console and machine data through the service-call logical processor; one command at a time, the caller sees to that. */
#include "guest.h"

enum { WRITE_EVENT_DATA = 0x00760005, WRITE_EVENT_MASK = 0x00780005 };
enum { EVENT_MESSAGE = 0x02, EVENT_ASCII = 0x1a };
#define MASK_OF(event) (0x80000000u >> ((event) - 1))

struct sccb {
	uint16_t length;
	uint8_t function, control[3];
	uint16_t response;
	uint8_t data[4088];
};

struct event {
	uint16_t length;
	uint8_t type, flags;
	uint16_t reserved;
} __attribute__((packed));

/* A message: its header, one general object without anything in it, one text object. */
struct message {
	struct event event;
	uint16_t length, type;
	uint32_t tag, revision;
	uint16_t general_length, general_type;
	uint8_t general[52];
	uint16_t text_length, text_type, line_type;
	uint8_t alarm, reserved[3];
	uint8_t text[256];
} __attribute__((packed));
#define MESSAGE_HEAD (offsetof(struct message, text) - offsetof(struct message, length))

static struct sccb block __attribute__((aligned(4096)));
static uint32_t events; /* those that the processor takes */

/* Printable ASCII in code page 037. */
static const uint8_t ebcdic[96] = {
	0x40, 0x5a, 0x7f, 0x7b, 0x5b, 0x6c, 0x50, 0x7d, 0x4d, 0x5d, 0x5c, 0x4e, 0x6b, 0x60, 0x4b, 0x61, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7,
	0xf8, 0xf9, 0x7a, 0x5e, 0x4c, 0x7e, 0x6e, 0x6f, 0x7c, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6,
	0xd7, 0xd8, 0xd9, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xba, 0xe0, 0xbb, 0xb0, 0x6d, 0x79, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
	0x88, 0x89, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xc0, 0x4f, 0xd0, 0xa1, 0x07,
};

int sclp_call(uint32_t command, void *at)
{
	uint64_t was = interrupts_save(), cr0 = control_read(0);
	struct sccb *s = at;
	int cc;

	/* Its end is an external interrupt; nothing else comes in meanwhile. */
	do {
		__asm__ volatile(".insn rre, 0xb2200000, %1, %2\n"
				 "ipm %0\n"
				 "srl %0, 28" : "=d"(cc) : "d"(command), "a"(s) : "cc", "memory");
	} while (cc == 2);
	if (!cc) {
		control_write(0, CR0_SERVICE_SIGNAL);
		sleep_psw(PSW_EXTERNAL);
		control_write(0, cr0);
	}
	interrupts_restore(was);
	return cc ? -1 : ((volatile struct sccb *)s)->response;
}

bool sclp_init(void)
{
	struct {
		uint16_t reserved, length;
		uint32_t receive, send, sclp_receive, sclp_send;
	} *mask = (void *)block.data;

	memset(&block, 0, sizeof(block));
	block.length = (uint16_t)(8 + sizeof(*mask));
	mask->length = 4;
	mask->send = MASK_OF(EVENT_MESSAGE) | MASK_OF(EVENT_ASCII);
	if (sclp_call(WRITE_EVENT_MASK, &block) != 0x20)
		return false;
	events = mask->sclp_receive;
	return events & mask->send;
}

void sclp_write(const char *text, unsigned int n)
{
	struct message *m = (void *)block.data;

	memset(&block, 0, 8 + sizeof(*m));
	if (n > sizeof(m->text))
		n = sizeof(m->text);
	if (events & MASK_OF(EVENT_MESSAGE)) {
		/* A line is a message; its end is not written. */
		while (n && text[n - 1] == '\n')
			n--;
		m->event.type = EVENT_MESSAGE;
		m->length = (uint16_t)(MESSAGE_HEAD + n);
		m->type = 1;
		m->tag = 0xd4c4c240;
		m->revision = 1;
		m->general_length = sizeof(m->general) + 4;
		m->general_type = 1;
		m->text_length = (uint16_t)(10 + n);
		m->text_type = 4;
		m->line_type = 0x1000;
		for (unsigned int i = 0; i < n; i++)
			m->text[i] = text[i] >= 0x20 && text[i] < 0x7f ? ebcdic[text[i] - 0x20] : 0x6f;
		m->event.length = (uint16_t)(sizeof(m->event) + m->length);
	} else {
		m->event.type = EVENT_ASCII;
		m->event.length = (uint16_t)(sizeof(m->event) + n);
		memcpy((uint8_t *)m + sizeof(m->event), text, n);
	}
	block.length = (uint16_t)(8 + m->event.length);
	sclp_call(WRITE_EVENT_DATA, &block);
}
