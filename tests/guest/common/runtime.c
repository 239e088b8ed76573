// SPDX-License-Identifier: MIT
/* Console, results, arguments, harts, time. */
#include "guest.h"

struct guest_machine machine;
volatile uint64_t timer_count[MAX_HARTS], software_count[MAX_HARTS];
struct probe probe[MAX_HARTS];
static unsigned int failures;
static volatile uint32_t print_lock;

/* The compiler calls these. */
void *memcpy(void *to, const void *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile char *)to)[i] = ((const char *)from)[i];
	return to;
}

void *memset(void *to, int c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile char *)to)[i] = (char)c;
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const volatile unsigned char *x = a, *y = b;

	for (size_t i = 0; i < n; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

/* --- output --- */

struct line {
	char text[256];
	unsigned int n;
};

static void put(struct line *l, char c)
{
	if (l->n < sizeof(l->text) - 1)
		l->text[l->n++] = c;
}

static void put_number(struct line *l, uint64_t v, unsigned int base)
{
	char digits[24];
	unsigned int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	while (n)
		put(l, digits[--n]);
}

static void format(struct line *l, const char *f, va_list args)
{
	for (; *f; f++) {
		bool wide = false;
		const char *s;
		int64_t d;

		if (*f != '%') {
			put(l, *f);
			continue;
		}
		for (f++; *f == 'l'; f++)
			wide = true;
		switch (*f) {
		case 's':
			for (s = va_arg(args, const char *); *s; s++)
				put(l, *s);
			break;
		case 'd':
			d = wide ? va_arg(args, long) : va_arg(args, int);
			if (d < 0)
				put(l, '-');
			put_number(l, d < 0 ? -(uint64_t)d : (uint64_t)d, 10);
			break;
		case 'u':
			put_number(l, wide ? va_arg(args, unsigned long) : va_arg(args, unsigned int), 10);
			break;
		case 'x':
			put_number(l, wide ? va_arg(args, unsigned long) : va_arg(args, unsigned int), 16);
			break;
		default:
			put(l, *f);
		}
	}
}

static void emit(struct line *l)
{
	uint64_t was;

	put(l, '\n');
	was = interrupts_save();
	while (__atomic_exchange_n(&print_lock, 1, __ATOMIC_ACQUIRE))
		;
	arch_console(l->text, l->n);
	__atomic_store_n(&print_lock, 0, __ATOMIC_RELEASE);
	interrupts_restore(was);
}

void print(const char *f, ...)
{
	struct line l = { .n = 0 };
	va_list args;

	va_start(args, f);
	format(&l, f, args);
	va_end(args);
	emit(&l);
}

void pass(const char *what)
{
	print("PASS %s", what);
}

void skip(const char *what, const char *why)
{
	print("SKIP %s: %s", what, why);
}

static void say_failure(const char *what, const char *f, va_list args)
{
	struct line l = { .n = 0 };

	for (const char *s = "FAIL "; *s; s++)
		put(&l, *s);
	for (; *what; what++)
		put(&l, *what);
	put(&l, ':');
	put(&l, ' ');
	format(&l, f, args);
	emit(&l);
	__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
}

void fail(const char *what, const char *f, ...)
{
	va_list args;

	va_start(args, f);
	say_failure(what, f, args);
	va_end(args);
}

bool check(bool ok, const char *what, const char *f, ...)
{
	va_list args;

	if (ok) {
		pass(what);
		return true;
	}
	va_start(args, f);
	say_failure(what, f, args);
	va_end(args);
	return false;
}

bool check_equal(const char *what, uint64_t is, uint64_t should)
{
	return check(is == should, what, "is 0x%lx, should be 0x%lx", is, should);
}

/* --- words --- */

uint32_t be32(const void *p)
{
	const volatile uint8_t *b = p;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

uint64_t be64(const void *p)
{
	return (uint64_t)be32(p) << 32 | be32((const char *)p + 4);
}

bool same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

bool starts(const char *s, const char *with)
{
	while (*with)
		if (*s++ != *with++)
			return false;
	return true;
}

unsigned int length(const char *s)
{
	unsigned int n = 0;

	while (s[n])
		n++;
	return n;
}

/* --- arguments --- */

bool arg_word(const char *word)
{
	for (const char *s = machine.args; *s; s++)
		if ((s == machine.args || s[-1] == ' ') && starts(s, word) && (!s[length(word)] || s[length(word)] == ' '))
			return true;
	return false;
}

static unsigned int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned int)(c - '0');
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? (unsigned int)(c - 'a') + 10 : 99;
}

uint64_t arg_number(const char *name, uint64_t otherwise)
{
	uint64_t v = 0;
	unsigned int digit;
	bool hex;

	for (const char *s = machine.args; *s; s++) {
		if ((s != machine.args && s[-1] != ' ') || !starts(s, name) || s[length(name)] != '=')
			continue;
		s += length(name) + 1;
		hex = starts(s, "0x");
		for (s += hex ? 2 : 0; (digit = digit_of(*s)) < (hex ? 16 : 10); s++)
			v = (hex ? 16 : 10) * v + digit;
		return v;
	}
	return otherwise;
}

/* --- time --- */

void delay_ms(uint64_t n)
{
	uint64_t end = now() + ms(n);

	while (now() < end)
		;
}

bool wait_ms(uint64_t n, bool (*fn)(void *ctx), void *ctx)
{
	uint64_t end = now() + ms(n);

	do {
		if (fn(ctx))
			return true;
	} while (now() < end);
	return fn(ctx);
}

/* --- traps --- */

long trap_of(void (*fn)(void *ctx), void *ctx)
{
	unsigned int hart = this_hart();

	probe[hart].cause = -1;
	probe[hart].armed = true;
	__asm__ volatile("" : : : "memory");
	fn(ctx);
	__asm__ volatile("" : : : "memory");
	probe[hart].armed = false;
	return probe[hart].cause;
}

struct access {
	uint64_t address, value;
	unsigned int size;
};

static void load(void *ctx)
{
	struct access *a = ctx;

	switch (a->size) {
	case 1: a->value = read8(a->address); break;
	case 2: a->value = read16(a->address); break;
	case 4: a->value = read32(a->address); break;
	default: a->value = read64(a->address); break;
	}
}

static void store(void *ctx)
{
	struct access *a = ctx;

	switch (a->size) {
	case 1: write8(a->address, (uint8_t)a->value); break;
	case 2: write16(a->address, (uint16_t)a->value); break;
	case 4: write32(a->address, (uint32_t)a->value); break;
	default: write64(a->address, a->value); break;
	}
}

long try_load(uint64_t address, unsigned int size, uint64_t *value)
{
	struct access a = { .address = address, .size = size };
	long cause = trap_of(load, &a);

	*value = a.value;
	return cause;
}

long try_store(uint64_t address, unsigned int size, uint64_t value)
{
	struct access a = { .address = address, .value = value, .size = size };

	return trap_of(store, &a);
}

/* --- harts --- */

static struct {
	void (*volatile fn)(void *ctx);
	void *volatile ctx;
	volatile uint32_t up;
} mailbox[MAX_HARTS];

void guest_secondary(unsigned long hart)
{
	arch_hart_init();
	mailbox[hart].up = 1;
	for (;;) {
		void (*fn)(void *) = __atomic_load_n(&mailbox[hart].fn, __ATOMIC_ACQUIRE);

		if (fn) {
			fn(mailbox[hart].ctx);
			__atomic_store_n(&mailbox[hart].fn, (void (*)(void *))0, __ATOMIC_RELEASE);
			continue;
		}
		/* Looked at with interrupts off, so that one that comes now ends the sleep. */
		interrupts_off();
		if (!__atomic_load_n(&mailbox[hart].fn, __ATOMIC_ACQUIRE))
			arch_sleep();
		interrupts_on();
	}
}

static bool is_up(void *ctx)
{
	return mailbox[(uintptr_t)ctx].up;
}

void harts_start(void)
{
	for (unsigned int h = 0; h < machine.harts; h++) {
		if (h == this_hart())
			continue;
		arch_start_hart(h);
		if (!wait_ms(10000, is_up, (void *)(uintptr_t)h))
			fail("harts", "hart %u does not start", h);
	}
}

static bool has_run(void *ctx)
{
	return !__atomic_load_n(&mailbox[(uintptr_t)ctx].fn, __ATOMIC_ACQUIRE);
}

void start_on(unsigned int hart, void (*fn)(void *ctx), void *ctx)
{
	mailbox[hart].ctx = ctx;
	__atomic_store_n(&mailbox[hart].fn, fn, __ATOMIC_RELEASE);
	arch_kick_hart(hart);
}

bool join(unsigned int hart, uint64_t n)
{
	return wait_ms(n, has_run, (void *)(uintptr_t)hart);
}

bool run_on(unsigned int hart, void (*fn)(void *ctx), void *ctx)
{
	start_on(hart, fn, ctx);
	return join(hart, 10000);
}

void guest_end(void)
{
	interrupts_off();
	print("DONE %u failures", failures);
	arch_power_off(failures);
	for (;;)
		;
}

void guest_main(unsigned long hart, const void *boot)
{
	machine_read(boot);
	if (machine.harts > MAX_HARTS)
		machine.harts = MAX_HARTS;
	arch_init();
	arch_hart_init();
	guest();
	guest_end();
}
