/* A growing argument vector. The first error sticks, so that a list of adds is checked once. */
#ifndef KATA_ARGV_H
#define KATA_ARGV_H

#include <stdint.h>

struct argv {
	char **items; /* NULL-terminated, or NULL while empty */
	uint32_t count;
	int failed; /* 0, or the negative errno of the first add that failed */
};

/* Frees all items; the vector may be used again. */
void argv_fini(struct argv *argv);

/* Appends a copy of text. */
void argv_add(struct argv *argv, const char *text);

/* Appends what the format makes. */
void argv_addf(struct argv *argv, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
