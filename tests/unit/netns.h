/*
 * A network namespace for one test, in which ip(8) makes what is to be found or looks at what was
 * made. Tests that need one are skipped where they may not have it.
 */
#ifndef KATA_TEST_NETNS_H
#define KATA_TEST_NETNS_H

#include <criterion/criterion.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NETNS_OR_SKIP() \
	do { \
		if (unshare(CLONE_NEWNET) < 0) \
			cr_skip_test("no right to make a network namespace"); \
	} while (0)

/* Runs a shell command; whether it succeeded. */
static inline bool sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline bool sh(const char *fmt, ...)
{
	char command[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	return system(command) == 0; /* NOLINT(cert-env33-c) */
}

#endif
