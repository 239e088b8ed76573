// SPDX-License-Identifier: MIT
/*
 * The control blocks of channel I/O as they lie in guest memory (z/Architecture Principles of Operation, chapters 13 to 17): structures of
 * bytes, big-endian numbers read and written with get_be16() and its like, and the bits of their words. No alignment, no padding.
 */
#ifndef LKVM_HW_CSS_BLOCKS_H
#define LKVM_HW_CSS_BLOCKS_H

#include <stdint.h>

/* Subsystem-identification word (general register 1): channel-subsystem image, M bit, subchannel set, one, subchannel number. */
#define CSS_SID_CSSID(sid) ((uint8_t)((sid) >> 24))
#define CSS_SID_RESERVED UINT32_C(0x00f00000)
#define CSS_SID_M UINT32_C(0x00080000)
#define CSS_SID_SSID(sid) (((sid) >> 17) & 3)
#define CSS_SID_ONE UINT32_C(0x00010000)
#define CSS_SID_NUMBER(sid) ((uint16_t)(sid))

/* Path-management-control word: words 0 to 6 of the SCHIB. */
struct css_pmcw {
	uint8_t intparm[4];
	uint8_t flags[2]; /* PMCW_* */
	uint8_t devno[2];
	uint8_t lpm, pnom, lpum, pim;
	uint8_t mbi[2];
	uint8_t pom, pam;
	uint8_t chpid[8];
	uint8_t chars[4]; /* PMCW_CHARS_* */
};

#define PMCW_ISC(flags) (((flags) >> 11) & 7)
#define PMCW_ISC_MASK 0x3800
#define PMCW_ENABLED 0x0080
#define PMCW_LIMIT 0x0060	/* limit mode: */
#define PMCW_LIMIT_LOW 0x0020	/* addresses below the limit are refused */
#define PMCW_LIMIT_HIGH 0x0040	/* the limit and addresses above are */
#define PMCW_MEASURE 0x0018
#define PMCW_MEASURE_BLOCK 0x0010 /* measurement-block update */
#define PMCW_MEASURE_TIME 0x0008  /* device-connect time */
#define PMCW_MULTIPATH 0x0004
#define PMCW_TIMING 0x0002
#define PMCW_VALID 0x0001 /* a device number is there */
#define PMCW_INVALID 0xc700
#define PMCW_CHARS_TYPE 0x00e00000 /* subchannel type: 0, I/O */
#define PMCW_CHARS_FORMAT1 0x4	   /* measurement block of format 1, at the address in the SCHIB */
#define PMCW_CHARS_EXTENDED 0x2	   /* extended measurement word */
#define PMCW_CHARS_SENSE 0x1	   /* concurrent sense */
#define PMCW_CHARS_INVALID 0xff1ffff8

/* Subchannel-status word. */
struct css_scsw {
	uint8_t flags[2]; /* SCSW_* */
	uint8_t ctrl[2];  /* SCSW_{FCTL,ACTL,STCTL}_* */
	uint8_t cpa[4];	  /* channel-program address */
	uint8_t dstat, cstat;
	uint8_t count[2];
};

#define SCSW_KEY 0xf000
#define SCSW_SUSPEND 0x0800 /* suspend control */
#define SCSW_ESWF 0x0400    /* extended-status word of format 0 */
#define SCSW_CC 0x0300	    /* deferred condition code */
#define SCSW_CC_SHIFT 8
#define SCSW_FORMAT1 0x0080
#define SCSW_PREFETCH 0x0040
#define SCSW_INITIAL 0x0020
#define SCSW_LIMIT 0x0010
#define SCSW_SUPPRESS 0x0008 /* no interruption for suspension */
#define SCSW_ZERO 0x0004     /* zero condition code */
#define SCSW_EXTENDED 0x0002 /* extended control: the ECW is there */
#define SCSW_PNO 0x0001	     /* path not operational */

#define SCSW_FCTL 0x7000
#define SCSW_FCTL_START 0x4000
#define SCSW_FCTL_HALT 0x2000
#define SCSW_FCTL_CLEAR 0x1000
#define SCSW_ACTL 0x0fe0
#define SCSW_ACTL_RESUME_PENDING 0x0800
#define SCSW_ACTL_START_PENDING 0x0400
#define SCSW_ACTL_HALT_PENDING 0x0200
#define SCSW_ACTL_CLEAR_PENDING 0x0100
#define SCSW_ACTL_SUBCHANNEL 0x0080
#define SCSW_ACTL_DEVICE 0x0040
#define SCSW_ACTL_SUSPENDED 0x0020
#define SCSW_STCTL 0x001f
#define SCSW_STCTL_ALERT 0x0010
#define SCSW_STCTL_INTERMEDIATE 0x0008
#define SCSW_STCTL_PRIMARY 0x0004
#define SCSW_STCTL_SECONDARY 0x0002
#define SCSW_STCTL_PENDING 0x0001

#define DSTAT_ATTENTION 0x80
#define DSTAT_STATUS_MODIFIER 0x40
#define DSTAT_CONTROL_UNIT_END 0x20
#define DSTAT_BUSY 0x10
#define DSTAT_CHANNEL_END 0x08
#define DSTAT_DEVICE_END 0x04
#define DSTAT_UNIT_CHECK 0x02
#define DSTAT_UNIT_EXCEPTION 0x01

#define CSTAT_PCI 0x80
#define CSTAT_INCORRECT_LENGTH 0x40
#define CSTAT_PROGRAM_CHECK 0x20
#define CSTAT_PROTECTION_CHECK 0x10
#define CSTAT_DATA_CHECK 0x08
#define CSTAT_CONTROL_CHECK 0x04
#define CSTAT_INTERFACE_CHECK 0x02
#define CSTAT_CHAINING_CHECK 0x01

/* Subchannel-information block. */
struct css_schib {
	struct css_pmcw pmcw;
	struct css_scsw scsw;
	uint8_t mba[8]; /* measurement-block address (format 1) */
	uint8_t mda[4]; /* model-dependent */
};

/* Interruption-response block. Without the extended-I/O-measurement word (PMCW_CHARS_EXTENDED) TSCH stores the first 64 bytes only. */
struct css_irb {
	struct css_scsw scsw;
	uint8_t esw[20]; /* word 0: logout or last-path-used mask; word 1: extended-report word */
	uint8_t ecw[32]; /* sense data */
	uint8_t emw[32]; /* measurement */
};

#define IRB_SIZE 64
#define ERW_SENSE 0x01000000 /* concurrent sense: its length in bits 10 to 15 */
#define ERW_SENSE_COUNT(n) ((uint32_t)(n) << 16)

/* Operation-request block. */
struct css_orb {
	uint8_t intparm[4];
	uint8_t flags[4]; /* ORB_* */
	uint8_t cpa[4];
	uint8_t extension[20]; /* priorities; ours has no use for them */
};

#define ORB_KEY 0xf0000000
#define ORB_SUSPEND 0x08000000
#define ORB_STREAMING 0x04000000
#define ORB_MODIFICATION 0x02000000
#define ORB_SYNCHRONIZE 0x01000000
#define ORB_FORMAT1 0x00800000
#define ORB_PREFETCH 0x00400000
#define ORB_INITIAL 0x00200000
#define ORB_LIMIT 0x00100000
#define ORB_SUPPRESS 0x00080000
#define ORB_TRANSPORT 0x00040000 /* a transport-mode program: not installed */
#define ORB_IDAW2 0x00020000	 /* format-2 IDAWs */
#define ORB_IDAW2K 0x00010000	 /* format-2 IDAWs for blocks of 2 KiB */
#define ORB_LPM(flags) ((uint8_t)((flags) >> 8))
#define ORB_LENGTH 0x00000080 /* incorrect-length-suppression mode */
#define ORB_MIDAW 0x00000040  /* modified indirect data addressing */
#define ORB_EXTENSION 0x00000001
#define ORB_INVALID 0x0004003e

/* Channel-command words. */
struct css_ccw0 {
	uint8_t cmd;
	uint8_t address[3];
	uint8_t flags;
	uint8_t reserved;
	uint8_t count[2];
};

struct css_ccw1 {
	uint8_t cmd;
	uint8_t flags;
	uint8_t count[2];
	uint8_t address[4];
};

#define CCW_CD 0x80 /* chain data */
#define CCW_CC 0x40 /* chain command */
#define CCW_SLI 0x20
#define CCW_SKIP 0x10
#define CCW_PCI 0x08
#define CCW_IDA 0x04
#define CCW_SUSPEND 0x02
#define CCW_MIDA 0x01

#define CCW_CMD_WRITE 0x01
#define CCW_CMD_READ 0x02
#define CCW_CMD_NOP 0x03
#define CCW_CMD_SENSE 0x04
#define CCW_CMD_TIC 0x08
#define CCW_CMD_READ_BACKWARD 0x0c
#define CCW_CMD_SENSE_ID 0xe4

/* Modified indirect-data-address word; a list is aligned to 16 and stays in one 4 KiB block. */
struct css_midaw {
	uint8_t reserved[5];
	uint8_t flags; /* MIDAW_* */
	uint8_t count[2];
	uint8_t address[8];
};

#define MIDAW_LAST 0x80
#define MIDAW_SKIP 0x40
#define MIDAW_INTERRUPT 0x20 /* data-transfer interruption: not offered */
#define MIDAW_INVALID 0x3f

/* What SENSE ID gives. */
struct css_sense_id {
	uint8_t ff;
	uint8_t cu_type[2];
	uint8_t cu_model;
	uint8_t dev_type[2];
	uint8_t dev_model;
};

#define SENSE_COMMAND_REJECT 0x80
#define SENSE_INTERVENTION 0x40
#define SENSE_BUS_OUT 0x20
#define SENSE_EQUIPMENT 0x10

/* Channel-report word. */
struct css_crw {
	uint8_t flags[2]; /* CRW_*; error-recovery code in the low six bits */
	uint8_t rsid[2];
};

#define CRW_SOLICITED 0x4000
#define CRW_OVERFLOW 0x2000
#define CRW_CHAIN 0x1000
#define CRW_RSC(n) ((n) << 8)
#define CRW_RSC_SUBCHANNEL 0x3
#define CRW_RSC_PATH 0x4
#define CRW_ANCILLARY 0x0080
#define CRW_ERC 0x003f
#define CRW_ERC_AVAILABLE 0x01
#define CRW_ERC_INITIALIZED 0x02
#define CRW_ERC_INSTALLED 0x04 /* installed parameters initialized */
#define CRW_ERC_TERMINAL 0x05

/* What TPI stores (12 bytes; the first 8 with a nonzero second operand). */
struct css_tpi {
	uint8_t sid[4];
	uint8_t intparm[4];
	uint8_t word[4]; /* interruption-identification word: interruption subclass in bits 2 to 4 */
};

/* SET CHANNEL MONITOR, general register 1. */
#define SCHM_KEY 0xf0000000
#define SCHM_INVALID 0x0ffffffc
#define SCHM_BLOCKS 0x2
#define SCHM_TIME 0x1

/* Measurement blocks: 32 bytes in one array (format 0), 64 bytes each at its own address (format 1). */
struct css_block0 {
	uint8_t starts[2], samples[2];
	uint8_t connect[4], pending[4], disconnect[4], queuing[4], active_only[4];
	uint8_t reserved[8];
};

struct css_block1 {
	uint8_t starts[4], samples[4];
	uint8_t connect[4], pending[4], disconnect[4], queuing[4], active_only[4], busy[4], response[4];
	uint8_t reserved[28];
};

/* CHSC: a request block and, right after it, the response block, both in one page. */
struct css_chsc_header {
	uint8_t len[2];
	uint8_t code[2]; /* command, or response code */
};

#define CHSC_PAGE 4096
#define CHSC_STORE_PATH_DESCRIPTION 0x0002
#define CHSC_STORE_SUBCHANNEL_DESCRIPTION 0x0004
#define CHSC_STORE_EVENT 0x000e
#define CHSC_STORE_CHARACTERISTICS 0x0010
#define CHSC_SET_DOMAIN 0x0031
#define CHSC_OK 0x0001
#define CHSC_BAD_REQUEST 0x0003
#define CHSC_NOT_PROVIDED 0x0004
#define CHSC_NO_EVENT 0x0005
#define CHSC_BAD_FORMAT 0x0007
#define CHSC_BAD_IMAGE 0x0008

#endif
