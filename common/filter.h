/*
 * System call filters from the table in seccomp.def: made with libseccomp, loaded for all threads
 * of the calling process, for good. A call that a row lacks kills the process.
 */
#ifndef KATA_FILTER_H
#define KATA_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

/*
 * The calls of a sanitizer's own runtime library, or of Valgrind (configure --enable-valgrind), are
 * no business of the table, nor are the files it opens that of a root: such a build only logs what
 * it else would refuse.
 */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

/* The rows, by name. */
enum filter {
#define FILTER(NAME, name, what) FILTER_##NAME,
#define ALLOW(call, why)
#define WHEN(call, condition, why)
#define WHEN2(call, condition, other, why)
#define ANSWER(call, number, why)
#define REFUSE(call, why)
#define REFUSE_WHEN(call, condition, why)
#define ALSO(NAME, why)
#define END
#include "common/seccomp.def"
#include "common/privsep-undef.h"
	FILTER_COUNT,
	FILTER_NONE = FILTER_COUNT
};

enum filter_kind {
	FILTER_RULE_ALLOW,
	FILTER_RULE_ANSWER,
	FILTER_RULE_REFUSE, /* as the first line: what the row does not name is allowed */
	FILTER_RULE_ALSO,
	FILTER_RULE_END
};

/* A line of the table, for those who print it. */
struct filter_rule {
	enum filter_kind kind;
	const char *call, *condition, *why; /* condition "" when there is none */
	enum filter also;
	const void *match; /* filter.c's own */
};

const char *filter_name(enum filter filter);
const char *filter_what(enum filter filter);

/* Its lines, the last one of kind FILTER_RULE_END. */
const struct filter_rule *filter_rules(enum filter filter);

/*
 * Loads the row. log: what it lacks is written to the kernel's log and done, instead of killing; so
 * it is too in a program built with sanitizers or for Valgrind, which make calls of their own.
 */
int filter_load(enum filter filter, bool log, struct error *err);

/* Writes the row's BPF program to fd: for tests and for who wants to see it. */
int filter_export(enum filter filter, int fd, struct error *err);

#endif
