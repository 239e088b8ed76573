// SPDX-License-Identifier: MIT
#include "arch/s390x/sclp.h"

#include <errno.h>

#include "base/endian.h"

/* Command words. */
enum {
	READ_CPU_INFO = 0x00010001,
	READ_SCP_INFO = 0x00020001,
	READ_SCP_INFO_FORCED = 0x00120001,
	WRITE_EVENT_DATA = 0x00760005,
	READ_EVENT_DATA = 0x00770005,
	WRITE_EVENT_MASK = 0x00780005,
};

/* Header of an SCCB. */
#define SCCB_LENGTH 0
#define SCCB_RESPONSE 6

/* Condition codes of SERVICE CALL. */
#define CC_INITIATED 0
#define CC_BUSY 2

#define SIGNAL_EVENT_PENDING 1

/* Read SCP info. */
#define INFO_INCREMENTS 8
#define INFO_INCREMENT_SIZE 10 /* MiB, a byte */
#define INFO_CPUS 16
#define INFO_CPU_OFFSET 18
#define INFO_LOADPARM 24
#define INFO_FACILITIES 48
#define INFO_INCREMENT_SIZE2 100
#define INFO_INCREMENTS2 104
#define INFO_HIGHEST_CPU 120
#define INFO_SIZE 128 /* CPU entries follow */
#define FACILITY_CPU_INFO UINT64_C(0x0800000000000000)
#define MAX_INCREMENTS 0xffff

/* Read CPU info. */
#define CPUS_CONFIGURED 8
#define CPUS_CONFIGURED_OFFSET 10
#define CPUS_STANDBY_OFFSET 14
#define CPUS_SIZE 40

#define CPU_ENTRY 16 /* bytes: the core's address, capabilities (none), and at 14 its type: 0, general */

static void put_cpus(const struct sclp *s, uint8_t *at)
{
	for (unsigned int i = 0; i < s->m->n_vcpus; i++)
		at[i * CPU_ENTRY] = (uint8_t)i;
}

static uint16_t read_info(const struct sclp *s, uint8_t *sccb, unsigned int len)
{
	const unsigned int n = s->m->n_vcpus;
	uint64_t mib = s->m->ram_size >> 20, increment = 1;

	if (len < INFO_SIZE + n * CPU_ENTRY)
		return SCLP_RC_LENGTH;
	while (mib / increment > MAX_INCREMENTS)
		increment *= 2;
	memset(sccb + SCCB_HEADER, 0, len - SCCB_HEADER);
	put_be16(sccb + INFO_INCREMENTS, (uint16_t)(mib / increment));
	if (increment <= UINT8_MAX)
		sccb[INFO_INCREMENT_SIZE] = (uint8_t)increment;
	else
		put_be32(sccb + INFO_INCREMENT_SIZE2, (uint32_t)increment);
	put_be16(sccb + INFO_CPUS, (uint16_t)n);
	put_be16(sccb + INFO_CPU_OFFSET, INFO_SIZE);
	memset(sccb + INFO_LOADPARM, ascii_to_ebcdic(' '), 8);
	put_be64(sccb + INFO_FACILITIES, FACILITY_CPU_INFO);
	put_be16(sccb + INFO_HIGHEST_CPU, (uint16_t)(n - 1));
	put_cpus(s, sccb + INFO_SIZE);
	return SCLP_RC_READ;
}

static uint16_t read_cpus(const struct sclp *s, uint8_t *sccb, unsigned int len)
{
	const unsigned int n = s->m->n_vcpus;

	if (len < CPUS_SIZE + n * CPU_ENTRY)
		return SCLP_RC_LENGTH;
	memset(sccb + SCCB_HEADER, 0, len - SCCB_HEADER);
	put_be16(sccb + CPUS_CONFIGURED, (uint16_t)n);
	put_be16(sccb + CPUS_CONFIGURED_OFFSET, CPUS_SIZE);
	put_be16(sccb + CPUS_STANDBY_OFFSET, (uint16_t)(CPUS_SIZE + n * CPU_ENTRY));
	put_cpus(s, sccb + CPUS_SIZE);
	return SCLP_RC_READ;
}

static uint16_t execute(struct sclp *s, uint32_t command, uint8_t *sccb, unsigned int len)
{
	switch (command) {
	case READ_SCP_INFO:
	case READ_SCP_INFO_FORCED:
		return read_info(s, sccb, len);
	case READ_CPU_INFO:
		return read_cpus(s, sccb, len);
	case WRITE_EVENT_DATA:
		return sclp_write_events(s, sccb, len);
	case READ_EVENT_DATA:
		return sclp_read_events(s, sccb, len);
	case WRITE_EVENT_MASK:
		return sclp_write_masks(s, sccb, len);
	}
	return SCLP_RC_COMMAND;
}

static void signal_end(struct sclp *s)
{
	s->busy = false;
	s390x_service_signal(s->m, s->sccb | (sclp_pending(s) ? SIGNAL_EVENT_PENDING : 0));
}

/* The request at addr, which stays where it is in guest memory; 0 or minus a program-interruption code. */
static int request(struct sclp *s, uint32_t command, uint32_t addr)
{
	struct memory *memory = s->m->memory;
	uint8_t sccb[SCCB_MAX] = { 0 };
	unsigned int len;
	uint16_t rc;

	if (memory_read(memory, addr, sccb, SCCB_HEADER) < 0)
		return -PGM_ADDRESSING;
	len = get_be16(sccb + SCCB_LENGTH);
	if (len < SCCB_HEADER)
		return -PGM_SPECIFICATION;
	if (len > SCCB_MAX - addr % SCCB_MAX) {
		rc = SCLP_RC_BOUNDARY;
		len = SCCB_HEADER;
	} else if (memory_read(memory, addr + SCCB_HEADER, sccb + SCCB_HEADER, len - SCCB_HEADER) < 0) {
		return -PGM_ADDRESSING;
	} else {
		rc = execute(s, command, sccb, len);
	}
	put_be16(sccb + SCCB_RESPONSE, rc);
	memory_write(memory, addr, sccb, len);
	s->sccb = addr;
	s->busy = true;
	if (sclp_flush(s))
		signal_end(s);
	return 0;
}

int sclp_service_call(struct sclp *s, uint32_t command, uint64_t sccb, uint64_t prefix)
{
	int r = CC_BUSY;

	if (sccb & ~UINT64_C(0x7ffffff8) || sccb < LC_SIZE || (sccb & ~(uint64_t)(LC_SIZE - 1)) == prefix)
		return -PGM_SPECIFICATION;
	pthread_mutex_lock(&s->lock);
	if (!s->busy) {
		r = request(s, command, (uint32_t)sccb);
		r = r < 0 ? r : CC_INITIATED;
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

void sclp_console_changed(struct machine *m)
{
	struct sclp *s = s390x_state(m)->sclp;

	pthread_mutex_lock(&s->lock);
	if (s->busy) {
		if (sclp_flush(s))
			signal_end(s);
	} else if (sclp_pending(s)) {
		s390x_service_signal(m, SIGNAL_EVENT_PENDING);
	}
	pthread_mutex_unlock(&s->lock);
}

int sclp_quiesce(struct sclp *s)
{
	int r = -EAGAIN;

	pthread_mutex_lock(&s->lock);
	if (s->receive & EVENT_BIT(EVENT_SIGNAL_QUIESCE)) {
		s->quiesce = true;
		r = s390x_service_signal(s->m, SIGNAL_EVENT_PENDING);
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

#define CTRL_O 0x0f

int sclp_sysrq(struct sclp *s, char key)
{
	bool heard, by_line;
	int r = -EAGAIN;

	pthread_mutex_lock(&s->lock);
	by_line = sclp_by_line(s, &heard);
	/* Before what has been typed: it is urgent. */
	if (heard && s->n_in + 4 <= sizeof(s->in)) {
		const char line[] = { '^', '-', key, '\n' }, typed[] = { CTRL_O, key };
		const size_t n = by_line ? sizeof(line) : sizeof(typed);

		memmove(s->in + n, s->in, s->n_in);
		memcpy(s->in, by_line ? line : typed, n);
		s->n_in += (unsigned int)n;
		r = s390x_service_signal(s->m, SIGNAL_EVENT_PENDING);
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

int sclp_create(struct machine *m, struct sclp **ret, struct err *e)
{
	struct sclp *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->m = m;
	pthread_mutex_init(&s->lock, NULL);
	*ret = s;
	return 0;
}

void sclp_destroy(struct sclp *s)
{
	if (!s)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void sclp_reset(struct sclp *s)
{
	pthread_mutex_lock(&s->lock);
	s->receive = 0;
	s->quiesce = s->line_mode = s->busy = false;
	s->out_at = s->n_out = 0;
	pthread_mutex_unlock(&s->lock);
}
