/* Strings with their checks: nothing is cut silently. */
#ifndef KATA_STR_H
#define KATA_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool str_eq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static inline bool str_starts(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/* snprintf that refuses to cut: 0, or -ENAMETOOLONG with dst holding "". */
int str_format(char *dst, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A whole decimal number without sign or blanks, at most max: 0, -EINVAL or -ERANGE. */
int str_to_u64(const char *text, uint64_t max, uint64_t *ret_value);

/* Length (1 to 4) of the UTF-8 sequence at text, of left bytes, and its code point; 0: none. */
size_t str_utf8_next(const char *text, size_t left, uint32_t *ret_code);

/* Whether the bytes are UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool str_is_utf8(const char *text, size_t len);

/* Makes text UTF-8: each byte that is none becomes '?'. */
void str_scrub(char *text);

/*
 * Writes text into dst as one printable line: control characters, bytes that are not UTF-8, '"'
 * and '\' become \xNN. What does not fit is cut and ends in "...". size is at least 8.
 */
void str_escape(char *dst, size_t size, const char *text, size_t len);

#endif
