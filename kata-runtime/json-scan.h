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

/* The line of an offset, from 1. */
size_t json_line(const char *text, size_t offset);

#endif
