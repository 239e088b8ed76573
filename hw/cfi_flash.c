// SPDX-License-Identifier: MIT
#include "hw/cfi_flash.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/endian.h"
#include "base/sys.h"

/* Commands: the low byte of what is written, for both chips at once. */
enum {
	CMD_LOCK_BLOCK = 0x01, /* behind CMD_LOCK */
	CMD_PROGRAM_ALT = 0x10,
	CMD_ERASE = 0x20,
	CMD_LOCK_DOWN = 0x2f, /* behind CMD_LOCK */
	CMD_PROGRAM = 0x40,
	CMD_CLEAR_STATUS = 0x50,
	CMD_LOCK = 0x60,
	CMD_READ_STATUS = 0x70,
	CMD_READ_ID = 0x90,
	CMD_QUERY = 0x98,
	CMD_SUSPEND = 0xb0,
	CMD_CONFIRM = 0xd0, /* and resume, and unlock behind CMD_LOCK */
	CMD_BUFFER = 0xe8,
	CMD_READ_ARRAY = 0xff,
};

enum {
	SR_LOCKED = 0x02,
	SR_PROGRAM = 0x10,
	SR_ERASE = 0x20,
	SR_SEQUENCE = SR_PROGRAM | SR_ERASE,
	SR_READY = 0x80,
};

enum { MODE_ARRAY, MODE_STATUS, MODE_ID, MODE_QUERY, N_MODES };
enum { EXPECT_COMMAND, EXPECT_ERASE_CONFIRM, EXPECT_WORD, EXPECT_COUNT, EXPECT_DATA, EXPECT_PROGRAM_CONFIRM, EXPECT_LOCK, N_EXPECTS };

#define CHIPS 2
#define ID_MANUFACTURER 0x89 /* Intel */
#define ID_DEVICE 0x18
#define LABEL "System-firmware" /* by which EDK2 finds the place of its variables */

/* JEP137: what a query gives, by its address in one chip. Sizes are filled in. */
#define Q_FIRST 0x10
#define Q_DEVICE_SIZE 0x27
#define Q_BLOCKS 0x2d
static const uint8_t query[] = {
	'Q', 'R', 'Y', 0x01, 0x00, 0x31, 0x00, /* 10: command set 0x0001, its own table at 0x31 */
	0x00, 0x00, 0x00, 0x00,		       /* 17: no other command set */
	0x45, 0x55, 0x00, 0x00,		       /* 1b: 4.5 to 5.5 V, no programming voltage */
	0x01, 0x01, 0x01, 0x00,		       /* 1f: typical times, 2^n us (word, buffer) and ms (erase, whole chip) */
	0x01, 0x01, 0x01, 0x00,		       /* 23: the longest, 2^n times as much */
	0x00, 0x01, 0x00,		       /* 27: size of a chip, 2^n bytes; 16 bits wide */
	0x06, 0x00,			       /* 2a: buffer of a chip, 2^n bytes */
	0x01, 0x00, 0x00, 0x80, 0x00,	       /* 2c: one kind of block: number less 1, size in 256 bytes */
	'P', 'R', 'I', '1', '1',	       /* 31: version 1.1 */
	0x20, 0x00, 0x00, 0x00,		       /* 36: each block can be locked by itself */
	0x00, 0x01, 0x00,		       /* 3a: nothing goes on while suspended; lock bits are bit 0 */
	0x50, 0x00, 0x00,		       /* 3d: best at 5.0 V; no protection registers */
};
_Static_assert(CFI_FLASH_BUFFER_WORDS * 4 == CHIPS << 6, "the buffer that the table above promises");

struct cfi_flash {
	struct cfi_flash_config config;
	struct bus *bus;
	int fd;
	uint64_t size;
	uint8_t *data;
	pthread_mutex_t lock;
	struct cfi_flash_state s;
	bool mapped, can_map, said;
};

/* The slot is there exactly while reads give the array. */
static void follow_mode(struct cfi_flash *f)
{
	const struct cfi_flash_config *c = &f->config;
	bool map = f->can_map && f->s.mode == MODE_ARRAY;

	if (map == f->mapped)
		return;
	if (c->hv->ops->set_memory(c->hv, c->slot, KVM_MEM_READONLY, c->base, map ? f->size : 0, f->data) >= 0)
		f->mapped = map;
	else if (map)
		f->can_map = false; /* reads trap from now on; a slot that cannot be removed is tried again at the next command */
}

static bool test_block(const struct cfi_flash *f, uint64_t offset)
{
	uint64_t n = offset / CFI_FLASH_BLOCK;

	return f->s.locked[n / 64] >> (n % 64) & 1;
}

/* Puts len bytes into the file and then into the array. */
static void store(struct cfi_flash *f, uint64_t offset, const uint8_t *data, uint64_t len, uint32_t error)
{
	ssize_t n;

	if (test_block(f, offset)) {
		f->s.status |= error | SR_LOCKED;
		return;
	}
	do
		n = pwrite(f->fd, data, len, (off_t)offset);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)len) {
		f->s.status |= error;
		if (!f->said)
			log_error(f->config.log, "flash %s cannot be written: %s; the guest has been told", f->config.path,
				  n < 0 ? err_name(-errno) : "not all of it");
		f->said = true;
		return;
	}
	memcpy(f->data + offset, data, len);
}

/* Programming clears bits and sets none. */
static void program(struct cfi_flash *f, uint64_t offset, const uint32_t *words, uint32_t n, uint32_t mask)
{
	uint8_t data[CFI_FLASH_BUFFER_WORDS * 4];

	for (uint32_t i = 0; i < n; i++) {
		uint32_t old = get_le32(f->data + offset + 4 * i);

		put_le32(data + 4 * i, mask >> i & 1 ? old & words[i] : old);
	}
	store(f, offset, data, n * 4, SR_PROGRAM);
}

static void erase(struct cfi_flash *f, uint64_t offset)
{
	uint8_t *ones = malloc(CFI_FLASH_BLOCK);

	if (!ones) {
		f->s.status |= SR_ERASE;
		return;
	}
	memset(ones, 0xff, CFI_FLASH_BLOCK);
	store(f, round_down(offset, CFI_FLASH_BLOCK), ones, CFI_FLASH_BLOCK, SR_ERASE);
	free(ones);
}

static void lock_block(struct cfi_flash *f, uint64_t offset, uint8_t command)
{
	uint64_t n = offset / CFI_FLASH_BLOCK;

	switch (command) {
	case CMD_LOCK_BLOCK:
	case CMD_LOCK_DOWN:
		f->s.locked[n / 64] |= UINT64_C(1) << (n % 64);
		break;
	case CMD_CONFIRM:
		f->s.locked[n / 64] &= ~(UINT64_C(1) << (n % 64));
		break;
	default:
		f->s.status |= SR_SEQUENCE;
		break;
	}
}

/* A first write. Commands that nobody has, such as another command set's reset, end in reading the array. */
static void command(struct cfi_flash *f, uint8_t what)
{
	static const struct {
		uint8_t command, mode, expects;
	} table[] = {
		{ CMD_READ_STATUS, MODE_STATUS, EXPECT_COMMAND },
		{ CMD_READ_ID, MODE_ID, EXPECT_COMMAND },
		{ CMD_QUERY, MODE_QUERY, EXPECT_COMMAND },
		{ CMD_SUSPEND, MODE_STATUS, EXPECT_COMMAND }, /* everything is done at once */
		{ CMD_CONFIRM, MODE_STATUS, EXPECT_COMMAND },
		{ CMD_ERASE, MODE_STATUS, EXPECT_ERASE_CONFIRM },
		{ CMD_PROGRAM, MODE_STATUS, EXPECT_WORD },
		{ CMD_PROGRAM_ALT, MODE_STATUS, EXPECT_WORD },
		{ CMD_BUFFER, MODE_STATUS, EXPECT_COUNT },
		{ CMD_LOCK, MODE_STATUS, EXPECT_LOCK },
	};

	if (what == CMD_CLEAR_STATUS) {
		f->s.status = 0;
		return;
	}
	f->s.mode = MODE_ARRAY;
	for (unsigned int i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].command == what) {
			f->s.mode = table[i].mode;
			f->s.expects = table[i].expects;
		}
	}
}

/* One word for the buffer: all lie in the places behind the first one, and in its block. */
static void buffer_word(struct cfi_flash *f, uint64_t offset, uint32_t value)
{
	struct cfi_flash_state *s = &f->s;
	uint64_t at;

	if (!s->filled)
		s->start = (uint32_t)offset;
	at = (offset - s->start) / 4;
	if (offset < s->start || at >= s->count || offset / CFI_FLASH_BLOCK != s->start / CFI_FLASH_BLOCK) {
		s->status |= SR_SEQUENCE;
		s->expects = EXPECT_COMMAND;
		return;
	}
	s->buffer[at] = value;
	s->mask |= UINT32_C(1) << at;
	if (++s->filled == s->count)
		s->expects = EXPECT_PROGRAM_CONFIRM;
}

static void program_buffer(struct cfi_flash *f)
{
	uint32_t n = 32 - (uint32_t)__builtin_clz(f->s.mask);

	program(f, f->s.start, f->s.buffer, n, f->s.mask);
}

static void write_word(struct cfi_flash *f, uint64_t offset, uint32_t value)
{
	struct cfi_flash_state *s = &f->s;
	uint32_t expects = s->expects;
	uint8_t low = (uint8_t)value;

	s->expects = EXPECT_COMMAND;
	switch (expects) {
	case EXPECT_ERASE_CONFIRM:
		if (low == CMD_CONFIRM)
			erase(f, offset);
		else
			s->status |= SR_SEQUENCE;
		break;
	case EXPECT_WORD:
		program(f, offset, &value, 1, 1);
		break;
	case EXPECT_COUNT:
		/* The number less 1, for each chip. */
		if ((value & 0xffff) >= CFI_FLASH_BUFFER_WORDS) {
			s->status |= SR_SEQUENCE;
			break;
		}
		s->count = (value & 0xffff) + 1;
		s->filled = s->mask = 0;
		s->expects = EXPECT_DATA;
		break;
	case EXPECT_DATA:
		s->expects = EXPECT_DATA;
		buffer_word(f, offset, value);
		break;
	case EXPECT_PROGRAM_CONFIRM:
		if (low == CMD_CONFIRM)
			program_buffer(f);
		else
			s->status |= SR_SEQUENCE;
		break;
	case EXPECT_LOCK:
		lock_block(f, offset, low);
		break;
	default:
		command(f, low);
		break;
	}
}

static void cfi_flash_write(void *dev, uint64_t offset, const void *data, unsigned int len)
{
	struct cfi_flash *f = dev;

	if (len != 4 || offset & 3 || offset > f->size - 4)
		return;
	pthread_mutex_lock(&f->lock);
	write_word(f, offset, get_le32(data));
	follow_mode(f);
	pthread_mutex_unlock(&f->lock);
}

/* What one chip says at a word's address. */
static uint16_t query_word(const struct cfi_flash *f, uint64_t word)
{
	unsigned int chip_log = (unsigned int)__builtin_ctzll(f->size / CHIPS);
	uint64_t blocks = f->size / CFI_FLASH_BLOCK - 1;

	if (word == Q_DEVICE_SIZE)
		return (uint16_t)chip_log;
	if (word == Q_BLOCKS)
		return blocks & 0xff;
	if (word == Q_BLOCKS + 1)
		return (uint16_t)(blocks >> 8);
	return word >= Q_FIRST && word - Q_FIRST < ARRAY_SIZE(query) ? query[word - Q_FIRST] : 0;
}

static uint16_t id_word(const struct cfi_flash *f, uint64_t offset)
{
	switch (offset % CFI_FLASH_BLOCK / 4) {
	case 0:
		return ID_MANUFACTURER;
	case 1:
		return ID_DEVICE;
	case 2:
		return test_block(f, offset);
	default:
		return 0;
	}
}

static uint8_t read_byte(const struct cfi_flash *f, uint64_t offset)
{
	uint16_t v;

	switch (f->s.mode) {
	case MODE_STATUS:
		v = (uint16_t)(SR_READY | f->s.status);
		break;
	case MODE_ID:
		v = id_word(f, offset);
		break;
	case MODE_QUERY:
		v = query_word(f, offset / 4);
		break;
	default:
		return f->data[offset];
	}
	return (uint8_t)(v >> 8 * (offset & 1));
}

static void cfi_flash_read(void *dev, uint64_t offset, void *data, unsigned int len)
{
	struct cfi_flash *f = dev;

	if (offset > f->size || len > f->size - offset)
		return;
	pthread_mutex_lock(&f->lock);
	for (unsigned int i = 0; i < len; i++)
		((uint8_t *)data)[i] = read_byte(f, offset + i);
	pthread_mutex_unlock(&f->lock);
}

const struct bus_ops cfi_flash_bus_ops = {
	.read = cfi_flash_read,
	.write = cfi_flash_write,
};

static int open_file(struct cfi_flash *f, struct err *e)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	const struct cfi_flash_config *c = &f->config;
	struct stat st;
	ssize_t n;

	/* Before opening: to open a FIFO waits. */
	if (stat(c->path, &st) < 0)
		return err_set(e, -errno, "flash %s cannot be opened: %s", c->path, err_name(-errno));
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "flash %s is no file: give one (`truncate -s 1M`)", c->path);
	f->fd = sys_open(c->path, O_RDWR, 0);
	if (f->fd < 0)
		return err_set(e, f->fd, "flash %s cannot be opened: %s; give a file that you may read and write", c->path, err_name(f->fd));
	if (fcntl(f->fd, F_OFD_SETLK, &lock) && (errno == EAGAIN || errno == EACCES))
		return err_set(e, -EBUSY, "flash %s is in use by another guest: stop that one, or give each its own", c->path);
	if (fstat(f->fd, &st) < 0)
		return err_set(e, -errno, "flash %s cannot be read: %s", c->path, err_name(-errno));
	if ((uint64_t)st.st_size < CFI_FLASH_BLOCK)
		return err_set(e, -EINVAL, "flash %s is too small: give at least 64 KiB (`truncate -s 1M`)", c->path);
	f->size = MIN(MIN((uint64_t)st.st_size, c->room), CFI_FLASH_BLOCK * CFI_FLASH_MAX_BLOCKS);
	f->size = UINT64_C(1) << (63 - __builtin_clzll(f->size));
	if (f->size < (uint64_t)st.st_size)
		log_warning(c->log, "flash %s: the guest has its first %llu KiB", c->path, (unsigned long long)f->size >> 10);
	f->data = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f->data == MAP_FAILED) {
		f->data = NULL;
		return err_set(e, -ENOMEM, "not enough memory for the flash");
	}
	n = sys_pread_all(f->fd, f->data, f->size, 0);
	if (n != (ssize_t)f->size)
		return err_set(e, n < 0 ? (int)n : -EIO, "flash %s cannot be read: %s", c->path, n < 0 ? err_name((int)n) : "it became shorter");
	return 0;
}

int cfi_flash_create(const struct cfi_flash_config *config, struct bus *bus, struct cfi_flash **ret, struct err *e)
{
	CLEANUP(cleanup_cfi_flash_destroy) struct cfi_flash *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return err_set(e, -ENOMEM, "not enough memory for the flash");
	pthread_mutex_init(&f->lock, NULL);
	f->config = *config;
	f->fd = -1;
	f->s.version = CFI_FLASH_STATE_VERSION;
	r = open_file(f, e);
	if (r < 0)
		return r;
	if (bus) {
		r = bus_add(bus, "flash", config->base, f->size, &cfi_flash_bus_ops, f, e);
		if (r < 0)
			return r;
		f->bus = bus;
	}
	f->can_map = config->hv && hv_capability(config->hv, KVM_CAP_READONLY_MEM) > 0;
	follow_mode(f);
	*ret = TAKE(f);
	return 0;
}

void cfi_flash_destroy(struct cfi_flash *f)
{
	if (!f)
		return;
	if (f->bus)
		bus_remove(f->bus, f->config.base);
	f->can_map = false;
	follow_mode(f);
	if (f->data)
		munmap(f->data, f->size);
	close_fd(&f->fd);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

uint64_t cfi_flash_size(const struct cfi_flash *f)
{
	return f->size;
}

void cfi_flash_write_dt(const struct cfi_flash *f, struct dt *dt)
{
	dt_begin(dt, "flash@%llx", (unsigned long long)f->config.base);
	dt_prop_string(dt, "compatible", "cfi-flash");
	dt_prop_string(dt, "label", LABEL);
	dt_prop_u32(dt, "bank-width", 4);
	dt_prop_reg(dt, f->config.base, f->size);
	dt_end(dt);
}

static void set_state(struct cfi_flash *f, const struct cfi_flash_state *s)
{
	pthread_mutex_lock(&f->lock);
	f->s = *s;
	follow_mode(f);
	pthread_mutex_unlock(&f->lock);
}

void cfi_flash_reset(struct cfi_flash *f)
{
	const struct cfi_flash_state s = { .version = CFI_FLASH_STATE_VERSION };

	set_state(f, &s);
}

void cfi_flash_save(struct cfi_flash *f, struct cfi_flash_state *ret)
{
	pthread_mutex_lock(&f->lock);
	*ret = f->s;
	pthread_mutex_unlock(&f->lock);
}

/* The words that a buffered program will write lie in one block of this flash. */
static bool buffer_fits(const struct cfi_flash *f, const struct cfi_flash_state *s)
{
	if (s->expects != EXPECT_DATA && s->expects != EXPECT_PROGRAM_CONFIRM)
		return true;
	if (!s->count || s->count > CFI_FLASH_BUFFER_WORDS || s->filled > s->count || !s->mask != !s->filled ||
	    (s->expects == EXPECT_PROGRAM_CONFIRM) != (s->filled == s->count))
		return false;
	return !s->mask || (!(s->start & 3) && s->start < f->size && s->mask >> (s->count - 1) <= 1 &&
			    s->start / CFI_FLASH_BLOCK == (s->start + (31 - (uint64_t)__builtin_clz(s->mask)) * 4) / CFI_FLASH_BLOCK);
}

int cfi_flash_load(struct cfi_flash *f, const struct cfi_flash_state *s)
{
	if (s->version != CFI_FLASH_STATE_VERSION || s->mode >= N_MODES || s->expects >= N_EXPECTS ||
	    s->status & ~(uint32_t)(SR_LOCKED | SR_SEQUENCE) || !buffer_fits(f, s))
		return -EINVAL;
	set_state(f, s);
	return 0;
}
