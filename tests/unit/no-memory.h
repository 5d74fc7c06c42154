/*
 * Each allocation of a function fails once. Included by a test program, whose malloc and kin these
 * then are; not where a sanitizer has them (SANITIZED).
 */
#ifndef KATA_TESTS_NO_MEMORY_H
#define KATA_TESTS_NO_MEMORY_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED __has_feature(address_sanitizer)
#else
#define SANITIZED 0
#endif

#if !SANITIZED

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

/* Which allocation from now on fails; 0: none does. */
static unsigned fail_at, count;

static bool fails(void)
{
	return fail_at != 0 && ++count == fail_at;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
	return fails() ? NULL : __libc_realloc(old, size);
}

/* Runs it with each allocation failing once, until one run needs fewer. */
static void try_each(const char *what, int (*run)(const char *text, size_t len, struct error *err),
		     const char *text, size_t len)
{
	struct error err = { 0 };
	unsigned failures = 0;
	bool all = false;
	int r;

	for (unsigned n = 1; !all; n++) {
		count = 0;
		err.text[0] = '\0';
		fail_at = n;
		r = run(text, len, &err);
		fail_at = 0;
		all = count < n;
		failures += r < 0;
		cr_assert(r == 0 || (!all && r == -ENOMEM && err.text[0] != '\0'),
			  "%s, allocation %u of %u: %d, %s", what, n, count, r, err.text);
	}
	cr_assert(failures > 3, "%s needs no memory?", what);
}

#endif

#endif
