/* SPDX-License-Identifier: MIT */
/* The channel subsystem: its control blocks, its instructions, and a small driver (z/Architecture Principles of Operation, 13 to 17). */
#ifndef GUEST_CSS_H
#define GUEST_CSS_H

#include "guest.h"

/* --- control blocks --- */

enum {
	PMCW_ISC_SHIFT = 11, PMCW_ISC = 7 << PMCW_ISC_SHIFT, PMCW_ENABLED = 0x80, PMCW_LIMIT = 0x60, PMCW_MEASURE_UPDATE = 0x10, PMCW_MEASURE_CONNECT = 0x08,
	PMCW_MULTIPATH = 0x04, PMCW_TIMING = 0x02, PMCW_VALID = 0x01,
	PMCW_CONCURRENT = 0x1, PMCW_XMWME = 0x2, PMCW_FORMAT_1 = 0x4,
};

struct pmcw {
	uint32_t parameter;
	uint16_t flags, devno;
	uint8_t lpm, pnom, lpum, pim;
	uint16_t measurement_index;
	uint8_t pom, pam, chpid[8];
	uint32_t more_flags;
};

/* Of the first word of a subchannel-status word. */
enum {
	SCSW_SUSPEND = 0x08000000, SCSW_EXTENDED = 0x04000000, SCSW_CC = 0x03000000, SCSW_FORMAT_1 = 0x00800000, SCSW_PREFETCH = 0x00400000,
	SCSW_INITIAL = 0x00200000, SCSW_Z = 0x00040000, SCSW_E = 0x00020000, SCSW_NOT_OPERATIONAL = 0x00010000,
	FC_START = 0x4000, FC_HALT = 0x2000, FC_CLEAR = 0x1000, FC = 0x7000,
	AC_RESUME_PENDING = 0x0800, AC_START_PENDING = 0x0400, AC_HALT_PENDING = 0x0200, AC_CLEAR_PENDING = 0x0100, AC_SUBCHANNEL = 0x80, AC_DEVICE = 0x40,
	AC_SUSPENDED = 0x20, AC = 0x0fe0,
	SC_ALERT = 0x10, SC_INTERMEDIATE = 0x08, SC_PRIMARY = 0x04, SC_SECONDARY = 0x02, SC_PENDING = 0x01, SC = 0x1f,
	SC_ENDED = SC_PRIMARY | SC_SECONDARY | SC_PENDING, SC_FAILED = SC_ENDED | SC_ALERT,
};
enum { DS_CHANNEL_END = 0x08, DS_DEVICE_END = 0x04, DS_UNIT_CHECK = 0x02, DS_ENDED = 0x0c };
enum { CS_PCI = 0x80, CS_INCORRECT_LENGTH = 0x40, CS_PROGRAM_CHECK = 0x20, CS_PROTECTION_CHECK = 0x10 };

struct scsw {
	uint32_t word0, ccw;
	uint8_t device, channel;
	uint16_t count;
};

struct schib {
	struct pmcw pmcw;
	struct scsw scsw;
	uint64_t measurement_block;
	uint8_t model[4];
} __attribute__((packed, aligned(4)));
_Static_assert(sizeof(struct schib) == 52, "schib");

struct irb {
	struct scsw scsw;
	uint32_t esw[5], ecw[8], emw[8];
};
_Static_assert(sizeof(struct irb) == 96, "irb");

enum {
	ORB_KEY_SHIFT = 28, ORB_SUSPEND = 0x08000000, ORB_FORMAT_1 = 0x00800000, ORB_PREFETCH = 0x00400000, ORB_INITIAL = 0x00200000, ORB_ADDRESS_LIMIT = 0x00100000,
	ORB_SUPPRESS_SUSPENDED = 0x00080000, ORB_IDAW_2 = 0x00020000, ORB_IDAW_2K = 0x00010000, ORB_LPM_SHIFT = 8, ORB_SUPPRESS_LENGTH = 0x80, ORB_MIDAW = 0x40,
	ORB_EXTENDED = 0x01,
};

struct orb {
	uint32_t parameter, flags, program, more[5];
};

enum { CCW_CHAIN_DATA = 0x80, CCW_CHAIN = 0x40, CCW_SLI = 0x20, CCW_SKIP = 0x10, CCW_PCI = 0x08, CCW_IDA = 0x04, CCW_SUSPEND = 0x02, CCW_MIDA = 0x01 };
enum { CMD_WRITE = 0x01, CMD_READ = 0x02, CMD_NOP = 0x03, CMD_SENSE = 0x04, CMD_TIC = 0x08, CMD_SENSE_ID = 0xe4 };

struct ccw { /* format 1 */
	uint8_t command, flags;
	uint16_t count;
	uint32_t data;
} __attribute__((aligned(8)));

struct ccw0 {
	uint8_t command, data[3], flags, reserved;
	uint16_t count;
} __attribute__((aligned(8)));

struct midaw {
	uint8_t reserved[5], flags;
	uint16_t count;
	uint64_t data;
} __attribute__((aligned(16)));
enum { MIDAW_LAST = 0x80, MIDAW_SKIP = 0x40, MIDAW_INTERRUPT = 0x20 };

/* An address as channel programs have it; what lies there changes behind the compiler's back. */
static inline uint32_t absolute(uintptr_t a)
{
	__asm__ volatile("" : "+r"(a) : : "memory");
	return (uint32_t)a;
}
#define ABSOLUTE(p) absolute((uintptr_t)(p))
#define CCW(command_, flags_, count_, data_) ((struct ccw){ (command_), (flags_), (uint16_t)(count_), ABSOLUTE(data_) })

/* What SENSE ID answers. */
struct sense_id {
	uint8_t ff;
	uint16_t cu_type;
	uint8_t cu_model;
	uint16_t device_type;
	uint8_t device_model;
} __attribute__((packed));
#define CU_VIRTIO 0x3832

/* --- instructions: the condition code, or the program-interruption code below 0 --- */

enum { PIC_OPERATION = 1, PIC_PRIVILEGED = 2, PIC_PROTECTION = 4, PIC_ADDRESSING = 5, PIC_SPECIFICATION = 6, PIC_OPERAND = 0x15 };

long css_stsch(uint32_t sid, void *schib);
long css_msch(uint32_t sid, const void *schib);
long css_ssch(uint32_t sid, const void *orb);
long css_tsch(uint32_t sid, void *irb);
long css_hsch(uint32_t sid);
long css_csch(uint32_t sid);
long css_rsch(uint32_t sid);
long css_xsch(uint32_t sid);
long css_stcrw(void *crw);
long css_schm(uint32_t mode, uint64_t origin);
long css_tpi(void *code);
long css_chsc(void *block);
/* fn(ctx) with the problem-state bit on for its first privileged instruction. */
long in_problem_state(void (*fn)(void *ctx), void *ctx);

/* --- the driver --- */

#define SID(n) (0x00010000u | (n))
#define MAX_DEVICES 32

/* What was found, in the order of subchannels. */
struct device {
	uint32_t sid;
	uint16_t devno, cu_type, device_type;
	uint8_t cu_model;
};
extern struct device devices[MAX_DEVICES];
extern unsigned int n_devices;

/* Enumerates all subchannels, enables each with subclass 3 and asks it what it is. False when there is none. */
bool css_find(void);
/* A device with this type of virtio, or NULL; 0: any virtio device. */
struct device *css_virtio(unsigned int type);
/* By MSCH that STSCH verifies, at most five times. */
bool css_enable(uint32_t sid, bool on, unsigned int isc, uint32_t parameter);

/* The I/O interrupts that came through css_on_io: how many, and the last one. */
extern volatile uint32_t io_count, io_sid, io_parameter, io_word;
void css_on_io(struct frame *f);
/* Lets I/O interrupts in until one more came than were there; false after some seconds. */
bool css_wait(uint32_t count_was);

/* What became of a channel program. */
struct result {
	long cc; /* of SSCH, or -1000 for an interrupt that did not come */
	long tsch;
	uint32_t interrupts;
	struct irb irb;
};
/* SSCH, the interrupt, TSCH; then further interrupts until secondary status or nothing is left. */
struct result css_start(uint32_t sid, const struct orb *orb);
/* The same with format 1 and one path, and further flags. */
struct result css_run(uint32_t sid, const void *program, uint32_t orb_flags);
/* CSCH, and takes what comes of it. */
bool css_clear(uint32_t sid);
/* Interrupts and status that nobody waits for any more are taken. */
void css_quiet(uint32_t sid);

/* --- words --- */

void css_dump_schib(const struct schib *s);
void css_dump_scsw(const struct scsw *s);
void css_dump_irb(const struct irb *i);
void css_dump_orb(const struct orb *o);
void css_dump_program(const struct ccw *c, unsigned int n);

#endif
