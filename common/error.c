/* Errors as values: see error.h. Used by every component; owns nothing. */
#include "common/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"

const char *error_reason(int num)
{
	switch (num) {
	case ENOENT:
		return "not found";
	case EACCES:
		return "access refused";
	case EPERM:
		return "not allowed";
	case ENOTDIR:
		return "a part of the path is no directory";
	case ESRCH:
		return "the process is gone";
	default:
		return strerror(num);
	}
}

__attribute__((format(printf, 2, 0))) static void format(char *text, const char *fmt, va_list args)
{
	if (vsnprintf(text, ERROR_TEXT_MAX, fmt, args) < 0)
		text[0] = '\0';
	str_scrub(text);
}

/* Appends to text, cutting at its end. */
static void append(char *text, const char *more)
{
	size_t used = strlen(text);

	snprintf(text + used, ERROR_TEXT_MAX - used, "%s", more);
	str_scrub(text); /* what was cut, and what came in, may be no UTF-8 */
}

int error_set(struct error *err, int num, const char *fmt, ...)
{
	const char *reason = error_reason(num);
	size_t room = ERROR_TEXT_MAX - sizeof(": ") - strlen(reason);
	va_list args;

	if (err != NULL) {
		err->num = num;
		va_start(args, fmt);
		format(err->text, fmt, args);
		va_end(args);
		if (strlen(err->text) > room)
			memcpy(err->text + room - 3, "...", 4);
		append(err->text, ": ");
		append(err->text, reason);
	}
	return -num;
}

int error_say(struct error *err, int num, const char *fmt, ...)
{
	va_list args;

	if (err != NULL) {
		err->num = num;
		va_start(args, fmt);
		format(err->text, fmt, args);
		va_end(args);
	}
	return -num;
}

int error_prefix(struct error *err, const char *fmt, ...)
{
	char old[ERROR_TEXT_MAX];
	va_list args;

	if (err == NULL)
		return -EIO;
	memcpy(old, err->text, sizeof(old));
	va_start(args, fmt);
	format(err->text, fmt, args);
	va_end(args);
	append(err->text, ": ");
	append(err->text, old);
	return -err->num;
}
