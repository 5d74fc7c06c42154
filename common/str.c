/* Checked string helpers: see str.h. */
#include "common/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int str_format(char *dst, size_t size, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(dst, size, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= size) {
		dst[0] = '\0';
		return -ENAMETOOLONG;
	}
	return 0;
}

int str_to_u64(const char *text, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (text[0] == '\0')
		return -EINVAL;
	for (const char *p = text; *p != '\0'; p++) {
		if (*p < '0' || *p > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value) || value > max)
			return -ERANGE;
	}
	*ret_value = value;
	return 0;
}

size_t str_utf8_next(const char *text, size_t left, uint32_t *ret_code)
{
	const unsigned char *p = (const unsigned char *)text;
	uint32_t code, min;
	size_t n;

	if (p[0] < 0x80) {
		*ret_code = p[0];
		return 1;
	}
	if ((p[0] & 0xe0) == 0xc0) {
		n = 2;
		code = p[0] & 0x1f;
		min = 0x80;
	} else if ((p[0] & 0xf0) == 0xe0) {
		n = 3;
		code = p[0] & 0x0f;
		min = 0x800;
	} else if ((p[0] & 0xf8) == 0xf0) {
		n = 4;
		code = p[0] & 0x07;
		min = 0x10000;
	} else {
		return 0;
	}
	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < min || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return n;
}

void str_scrub(char *text)
{
	size_t len = strlen(text), n;
	uint32_t code;

	for (size_t i = 0; i < len; i += n) {
		n = str_utf8_next(text + i, len - i, &code);
		if (n == 0) {
			text[i] = '?';
			n = 1;
		}
	}
}

bool str_is_utf8(const char *text, size_t len)
{
	uint32_t code;
	size_t n;

	for (size_t i = 0; i < len; i += n) {
		n = str_utf8_next(text + i, len - i, &code);
		if (n == 0)
			return false;
	}
	return true;
}

void str_escape(char *dst, size_t size, const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t used = 0, cut = 0; /* cut: where "..." still fits */

	for (size_t i = 0; i < len;) {
		uint32_t code = 0;
		size_t n = str_utf8_next(text + i, len - i, &code);
		bool plain = n > 0 && code >= 0x20 && code != '"' && code != '\\' &&
			     (code < 0x7f || code >= 0xa0); /* DEL and C1 controls */
		size_t need = plain ? n : 4;

		if (used + 4 <= size)
			cut = used;
		if (used + need + 1 > size) {
			memcpy(dst + cut, "...", 4);
			return;
		}
		if (plain)
			memcpy(dst + used, p + i, n);
		else
			snprintf(dst + used, 5, "\\x%02x", p[i]);
		used += need;
		i += plain ? n : 1;
	}
	dst[used] = '\0';
}
