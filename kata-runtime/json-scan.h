/* What is checked in JSON text before json-c gets it: see json.h. */
#ifndef KATA_JSON_SCAN_H
#define KATA_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

/*
 * Refuses NUL bytes, \u0000, keys that are there twice in one object and nesting beyond
 * JSON_DEPTH_MAX, with file and line. comments: replaces // and C comments in text by blanks, so
 * that a strict parser can follow; else they are left for it to refuse.
 */
int json_scan(const char *file, char *text, size_t len, bool comments, struct error *err);

/*
 * What json_scan() has passed, with every character beyond ASCII written as \u escapes: json-c 0.18
 * takes such bytes for control characters when it is strict. *ret belongs to the caller and ends
 * with a NUL that *ret_len does not count. Refuses what is not UTF-8.
 */
int json_to_ascii(const char *file, const char *text, size_t len, char **ret, size_t *ret_len,
		  struct error *err);

/* The line of an offset, from 1. */
size_t json_line(const char *text, size_t offset);

#endif
