/* common/error.c: numbers and sentences; what container managers must never read in them. */
#include "common/error.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

Test(error, set)
{
	struct error err = { 0 };

	cr_assert(error_set(&err, EBUSY, "lock %s", "a") == -EBUSY);
	cr_assert(err.num == EBUSY);
	cr_assert_str_eq(err.text, "lock a: Device or resource busy");
}

Test(error, say)
{
	struct error err = { 0 };

	cr_assert(error_say(&err, EINVAL, "%d is odd", 3) == -EINVAL);
	cr_assert(err.num == EINVAL);
	cr_assert_str_eq(err.text, "3 is odd");
}

Test(error, prefix)
{
	struct error err = { 0 };

	error_set(&err, ENOENT, "open /x");
	cr_assert(error_prefix(&err, "sandbox %d", 7) == -ENOENT);
	cr_assert(error_prefix(&err, "start") == -ENOENT);
	cr_assert_str_eq(err.text, "start: sandbox 7: open /x: not found");
	cr_assert(err.num == ENOENT);
}

Test(error, without_struct)
{
	cr_assert(error_set(NULL, ENOENT, "x") == -ENOENT);
	cr_assert(error_say(NULL, ERANGE, "x") == -ERANGE);
	cr_assert(error_prefix(NULL, "x") < 0);
}

/* Docker and containerd search for these words, whatever their case. */
Test(error, forbidden_words)
{
	static const char *const words[] = { "no such file or directory", "permission denied",
					     "operation not permitted",   "not a directory",
					     "no such process",           "does not exist" };
	struct error err = { 0 };

	for (int num = 1; num < 140; num++) {
		char text[ERROR_TEXT_MAX];

		error_set(&err, num, "x");
		cr_assert(strlen(err.text) > strlen("x: "), "errno %d", num);
		for (size_t i = 0; i <= strlen(err.text); i++)
			text[i] = (char)tolower((unsigned char)err.text[i]);
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			cr_assert(strstr(text, words[i]) == NULL, "errno %d: %s", num, text);
	}
	cr_assert(error_reason(99999)[0] != '\0');
}

/* Words of any length: the buffer's end holds, and the reason stays. */
Test(error, long_words)
{
	static char words[3 * ERROR_TEXT_MAX];
	struct error err = { 0 };

	for (size_t n = ERROR_TEXT_MAX - 40; n < ERROR_TEXT_MAX + 4; n++) {
		memset(words, 'w', n);
		words[n] = '\0';
		error_set(&err, ENOENT, "%s", words);
		cr_assert(strlen(err.text) < ERROR_TEXT_MAX);
		cr_assert_str_eq(err.text + strlen(err.text) - 11, ": not found");
		error_say(&err, ENOENT, "%s", words);
		cr_assert(strlen(err.text) < ERROR_TEXT_MAX);
	}
	memset(words, 'w', sizeof(words) - 1);
	error_set(&err, ENOENT, "%s", words);
	cr_assert_str_eq(err.text + ERROR_TEXT_MAX - 15, "...: not found");
	error_prefix(&err, "%s", words);
	cr_assert(strlen(err.text) == ERROR_TEXT_MAX - 1);
	error_prefix(&err, "new");
	cr_assert(str_starts(err.text, "new: www"));
}

/* Paths may hold any byte, but the text travels as a str: it is UTF-8 also where it was cut. */
Test(error, text_is_utf8)
{
	struct error err = { 0 };
	char words[2 * ERROR_TEXT_MAX];

	error_set(&err, ENOENT, "open /tmp/%s", "caf\xe9 \xff\xc3\xa9");
	cr_assert_str_eq(err.text, "open /tmp/caf? ?\xc3\xa9: not found");
	for (size_t n = 0; n < sizeof(words) - 3; n += 3)
		memcpy(words + n, "\xe2\x82\xac", 4);
	for (size_t shift = 0; shift < 3; shift++) {
		error_set(&err, ENOENT, "%.*s%s", (int)shift, "ab", words);
		cr_assert(str_is_utf8(err.text, strlen(err.text)));
		error_say(&err, ENOENT, "%.*s%s", (int)shift, "ab", words);
		cr_assert(str_is_utf8(err.text, strlen(err.text)));
		error_prefix(&err, "%.*s", (int)shift, "ab");
		cr_assert(str_is_utf8(err.text, strlen(err.text)));
	}
}
