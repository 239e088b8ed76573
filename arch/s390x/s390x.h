// SPDX-License-Identifier: MIT
/* What the files of the s390x machine share. Compiled against s390's own UAPI headers on every host. */
#ifndef LKVM_ARCH_S390X_S390X_H
#define LKVM_ARCH_S390X_S390X_H

#include <asm/kvm.h>
#include <linux/kvm.h>

#include <pthread.h>
#include <stdatomic.h>

#include "arch/arch.h"
#include "arch/image.h"
#include "base/bitmap.h"
#include "hw/css.h"

#define S390X_MAX_VCPUS 248 /* a core's address is a byte in SCLP's lists */
#define S390X_MIN_RAM MIB(16)
#define S390X_N_VIRTIO 64
#define S390X_IPLB_SIZE 4096
#define S390X_N_ROUTES 1024

/* Program-interruption codes (Principles of Operation, chapter 6). */
enum {
	PGM_OPERATION = 0x01,
	PGM_PRIVILEGED = 0x02,
	PGM_ADDRESSING = 0x05,
	PGM_SPECIFICATION = 0x06,
	PGM_OPERAND = 0x15,
};

/* PSW, bit 0 being the leftmost of 64. */
#define PSW_IO UINT64_C(0x0200000000000000)
#define PSW_EXTERNAL UINT64_C(0x0100000000000000)
#define PSW_MACHINE_CHECK UINT64_C(0x0004000000000000)
#define PSW_WAIT UINT64_C(0x0002000000000000)
#define PSW_PROBLEM UINT64_C(0x0001000000000000)
#define PSW_CC_SHIFT 44
#define PSW_64BIT UINT64_C(0x0000000180000000)

/* Where Linux waits without a way back once it has powered off. */
#define S390X_QUIESCE_ADDRESS 0xfff

/* Offsets in the prefix area. */
#define LC_SIZE 8192

/* Filled by the option table. */
struct s390x_config {
	struct option_list hide; /* facilities by number */
};

/* What is asked of a vCPU that runs: its own thread does it before the next run, the lowest bit first. */
enum {
	S390X_ORDER_STOP = 1,
	S390X_ORDER_STORE_STATUS = 2,
	S390X_ORDER_RESET = 4,
	S390X_ORDER_INITIAL_RESET = 8,
	S390X_ORDER_SYSTEM = 16, /* its part in a reset of all */
};

struct s390x_cpu {
	struct hv_s390_regs regs;
	atomic_bool attention; /* its thread has to look at what follows before it runs the guest again */
	bool stopped;	   /* else operating */
	bool waits_for_good; /* operating, in a disabled wait */
	unsigned int orders;
	uint64_t wait_mask, wait_addr; /* the PSW of the disabled wait */
	bool loops;		       /* that was no wait but a loop of interruptions */
};

struct sclp;

struct s390x_state {
	struct image_file kernel, initrd;
	bool loaded;
	int flic; /* descriptor of KVM's floating interrupt controller, -1 */
	bool can_route; /* irqfds to adapters */
	pthread_mutex_t route_lock; /* what follows, up to the next one */
	unsigned int n_routes;
	struct hv_route route[S390X_N_ROUTES]; /* by gsi */
	int route_fd[S390X_N_ROUTES];
	struct sclp *sclp;
	pthread_mutex_t lock; /* what follows; a leaf but for KVM's own and the loop's. Stopped vCPUs' registers belong to who holds it */
	struct s390x_cpu *cpu; /* m->n_vcpus */
	struct {
		unsigned int left; /* vCPUs that have not done their part, 0: none under way */
		unsigned int initiator;
		bool clear; /* CPU resets are clear ones: subcode 0 */
	} reset;
	uint8_t *iplb; /* what diagnose 308 subcode 5 has set, S390X_IPLB_SIZE bytes, or NULL */
	struct err failure; /* of the host, while one vCPU acted on another, or with an interruption that is no vCPU's */
	atomic_int said_full;
};

static inline struct s390x_state *s390x_state(struct machine *m)
{
	return m->arch_state;
}

static inline const struct s390x_config *s390x_config(struct machine *m)
{
	return m->arch_config;
}

static inline struct s390x_cpu *s390x_cpu(struct machine *m, unsigned int i)
{
	return &s390x_state(m)->cpu[i];
}

/* model.c */
extern const struct option s390x_options[];
#define S390X_N_OPTIONS 1
/* Decides the guest's CPU model. Before the first vCPU. */
int s390x_choose_model(struct machine *m, struct err *e);
/* Whether a facility (STFLE's number) is in a list as KVM gives it. */
bool s390x_has_facility(const __u64 *list, unsigned int n);

/* vcpu.c */
int s390x_create_vcpu(struct machine *m, unsigned int i, struct err *e);
/* The vCPU as after power-on, stopped. Not running. */
int s390x_clear_vcpu(struct machine *m, unsigned int i, struct err *e);
/* Lets vCPU i run from this PSW on. Not running, lock not held. */
int s390x_start_vcpu(struct machine *m, unsigned int i, uint64_t mask, uint64_t addr, struct err *e);
enum arch_verdict s390x_before_run(struct machine *m, unsigned int i, bool *ret_wait, struct err *e);
/* vCPU i, whose thread this is, stands still in a disabled wait (or loops, which looks the same from outside). */
void s390x_wait_for_good(struct machine *m, unsigned int i, bool loops);
/* PSW restart, from outside. -EINVAL: there is no such vCPU. Any thread. */
int s390x_psw_restart(struct machine *m, unsigned int i);
/* KVM has refused an interruption that is no vCPU's: the machine ends, and says so. Any thread, lock not held. */
void s390x_failed(struct machine *m, int code);
/* SIGNAL PROCESSOR, what KVM leaves to us: the condition code; *status for code 1. */
unsigned int s390x_sigp(struct machine *m, unsigned int i, uint16_t target, uint8_t order, uint64_t parameter, uint32_t *status);
/* Resets the whole machine but for its memory, then starts vCPU i with the PSW at absolute 0: diagnose 308 subcodes 0 (clear) and 1. */
void s390x_reset_system(struct machine *m, unsigned int i, bool clear);

/* exit.c */
enum arch_verdict s390x_handle_exit(struct machine *m, unsigned int i, struct hv_exit *exit, struct err *e);
/* A program interruption for vCPU i. 0 or -errno. */
int s390x_program(struct machine *m, unsigned int i, unsigned int code);
void s390x_set_cc(struct machine *m, unsigned int i, unsigned int cc);
/*
 * Guest memory at a logical address of vCPU i, on its thread. 0; 1 when the access is not allowed and the guest has got its program interruption; or -errno.
 */
int s390x_read(struct machine *m, unsigned int i, uint64_t addr, unsigned int ar, void *buf, size_t len);
int s390x_write(struct machine *m, unsigned int i, uint64_t addr, unsigned int ar, const void *buf, size_t len);
/* Only whether it could be written. */
int s390x_check_write(struct machine *m, unsigned int i, uint64_t addr, unsigned int ar, size_t len);

/* diag.c: DIAGNOSE with this function code */
int s390x_diagnose(struct machine *m, unsigned int i, unsigned int code, unsigned int r1, unsigned int r3);

/* io.c: a channel-I/O instruction (opcode B2 and this byte). -EOPNOTSUPP: it is none. */
int s390x_channel_io(struct machine *m, unsigned int i, uint8_t opcode, uint32_t ipb);
int s390x_test_subchannel(struct machine *m, unsigned int i, const struct hv_exit *exit);

/* irq.c */
int s390x_create_flic(struct machine *m, struct err *e);
/* The service signal: an SCCB's address, bit 31: events are pending. */
int s390x_service_signal(struct machine *m, uint32_t parameter);
/* An adapter interruption of this subclass; any thread. */
int s390x_adapter_interrupt(struct machine *m, unsigned int isc);
int s390x_io_interrupt(struct machine *m, uint32_t sid, uint32_t intparm, uint32_t word);
/* All that is pending is forgotten. */
void s390x_clear_interrupts(struct machine *m);
extern const struct css_machine_ops s390x_css_ops;

/* attach.c: arch_ops */
int s390x_attach(struct machine *m, struct virtio_device *vd, unsigned int index, bool hotplug, void **ret, struct err *e);
void s390x_detach(struct machine *m, void *transport);
uint64_t s390x_attached_exits(const void *transport);

/* load.c */
int s390x_load(struct machine *m, struct err *e);

/* regs.c */
int s390x_for_each_reg(struct machine *m, unsigned int i, void (*fn)(void *ctx, const struct arch_reg *reg), void *ctx);
void s390x_dump_vcpu(struct machine *m, unsigned int i, char *buf, size_t len);

/* doctor.c */
void s390x_doctor(struct hv *hv, struct hv_vcpu *vcpu, void (*fn)(void *ctx, const char *what, bool present, const char *cure), void *ctx);

/* sclp.c */
int sclp_create(struct machine *m, struct sclp **ret, struct err *e);
void sclp_destroy(struct sclp *s); /* NULL is fine */
void sclp_reset(struct sclp *s);
/* SERVICE CALL: the condition code, or minus a program-interruption code. On a vCPU's thread. */
int sclp_service_call(struct sclp *s, uint32_t command, uint64_t sccb, uint64_t prefix);
/* The console has input, or room for output; any thread. */
void sclp_console_changed(struct machine *m);
/* Asks the guest to shut down (signal quiesce). -EAGAIN: it does not listen. */
int sclp_quiesce(struct sclp *s);
/* Linux's "magic" key: Ctrl-O and the key on the ASCII console, ^- and the key as a line. -EAGAIN as above. */
int sclp_sysrq(struct sclp *s, char key);

/* ebcdic.c: code page 500 */
char ebcdic_to_ascii(uint8_t c); /* '.' for what ASCII does not have */
uint8_t ascii_to_ebcdic(char c);

#endif
