/* common/str.c: nothing is cut silently, and bytes of any source become one printable line. */
#include "common/str.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"

Test(str, starts)
{
	cr_assert(str_starts("abc", "ab") && str_starts("abc", "") && str_starts("", ""));
	cr_assert(!str_starts("ab", "abc") && !str_starts("xab", "ab"));
	cr_assert(str_eq("a", "a") && !str_eq("a", "ab"));
}

Test(str, format)
{
	char dst[4] = "xyz";

	cr_assert(str_format(dst, sizeof(dst), "%d", 123) == 0);
	cr_assert_str_eq(dst, "123");
	cr_assert(str_format(dst, sizeof(dst), "%d", 1234) == -ENAMETOOLONG);
	cr_assert_str_eq(dst, "");
	cr_assert(str_format(dst, 1, "%s", "") == 0);
	cr_assert(str_format(dst, 1, "a") == -ENAMETOOLONG);
}

Test(str, to_u64)
{
	static const struct {
		const char *text;
		uint64_t max;
		int r;
		uint64_t value;
	} cases[] = {
		{ "0", 0, 0, 0 },
		{ "1", 0, -ERANGE, 0 },
		{ "007", 7, 0, 7 },
		{ "255", 255, 0, 255 },
		{ "256", 255, -ERANGE, 0 },
		{ "18446744073709551615", UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, -ERANGE, 0 },
		{ "28446744073709551616", UINT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999999999", UINT64_MAX, -ERANGE, 0 },
		{ "", 9, -EINVAL, 0 },
		{ " 1", 9, -EINVAL, 0 },
		{ "1 ", 9, -EINVAL, 0 },
		{ "+1", 9, -EINVAL, 0 },
		{ "-1", 9, -EINVAL, 0 },
		{ "0x1", 9, -EINVAL, 0 },
		{ "1\n", 9, -EINVAL, 0 },
		{ "1.0", 9, -EINVAL, 0 },
		{ "\xd9\xa1", 9, -EINVAL, 0 }, /* a digit elsewhere */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t value = 77;

		cr_assert(str_to_u64(cases[i].text, cases[i].max, &value) == cases[i].r, "%s",
			  cases[i].text);
		cr_assert(value == (cases[i].r == 0 ? cases[i].value : 77), "%s", cases[i].text);
	}
}

static const struct {
	const char *text;
	bool valid;
} utf8_cases[] = {
	{ "", true },
	{ "plain", true },
	{ "\x7f", true },
	{ "\xc2\x80", true },
	{ "\xdf\xbf", true },
	{ "\xe0\xa0\x80", true },
	{ "\xed\x9f\xbf", true },
	{ "\xee\x80\x80", true },
	{ "\xef\xbf\xbf", true },
	{ "\xf0\x90\x80\x80", true },
	{ "\xf4\x8f\xbf\xbf", true },
	{ "\x80", false },             /* continuation alone */
	{ "\xc0\x80", false },         /* overlong */
	{ "\xc1\xbf", false },         /* overlong */
	{ "\xe0\x9f\xbf", false },     /* overlong */
	{ "\xf0\x8f\xbf\xbf", false }, /* overlong */
	{ "\xed\xa0\x80", false },     /* surrogate */
	{ "\xed\xbf\xbf", false },     /* surrogate */
	{ "\xf4\x90\x80\x80", false }, /* over U+10FFFF */
	{ "\xf8\x88\x80\x80\x80", false },
	{ "\xff", false },
	{ "\xc3", false },         /* cut */
	{ "\xe2\x82", false },     /* cut */
	{ "\xf0\x9f\x98", false }, /* cut */
	{ "\xe2\x28\xa1", false }, /* continuation missing */
	{ "ok\xc3\x28", false },
};

Test(str, is_utf8)
{
	for (size_t i = 0; i < ARRAY_SIZE(utf8_cases); i++)
		cr_assert(str_is_utf8(utf8_cases[i].text, strlen(utf8_cases[i].text)) ==
				  utf8_cases[i].valid,
			  "case %zu", i);
	cr_assert(str_is_utf8("a\0b", 3));
}

/* A sequence that is cut is not read beyond its length: the copy has no byte behind it. */
Test(str, is_utf8_at_the_end)
{
	for (size_t len = 1; len < 4; len++) {
		char *copy = malloc(len);

		cr_assert(!str_is_utf8("\xf0\x9f\x98\x80", len)); /* the rest lies behind */
		cr_assert(copy != NULL);
		memcpy(copy, "\xf0\x9f\x98\x80", len);
		cr_assert(!str_is_utf8(copy, len));
		free(copy);
	}
}

Test(str, scrub)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "plain \xc3\xa9", "plain \xc3\xa9" },
		{ "\xff\xfe", "??" },
		{ "a\xc3", "a?" },
		{ "a\xe2\x82", "a??" },
		{ "\xe2\x82z", "??z" },
		{ "\xed\xa0\x80", "???" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[32];

		cr_assert(str_format(text, sizeof(text), "%s", cases[i][0]) == 0);
		str_scrub(text);
		cr_assert_str_eq(text, cases[i][1]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(utf8_cases); i++) {
		char text[32];

		cr_assert(str_format(text, sizeof(text), "%s", utf8_cases[i].text) == 0);
		str_scrub(text);
		cr_assert(str_is_utf8(text, strlen(text)));
		cr_assert(utf8_cases[i].valid == str_eq(text, utf8_cases[i].text), "case %zu", i);
	}
}

Test(str, escape)
{
	static const struct {
		const char *text;
		size_t len;
		const char *want;
	} cases[] = {
		{ "", 0, "" },
		{ "plain = text", 12, "plain = text" },
		{ "a\0b", 3, "a\\x00b" },
		{ "\n\t\r\x1b\x7f", 5, "\\x0a\\x09\\x0d\\x1b\\x7f" },
		{ "\"\\'", 3, "\\x22\\x5c'" },
		{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9,
		  "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\xc2\x9b\xc2\xa0", 4, "\\xc2\\x9b\xc2\xa0" }, /* C1: CSI in 8 bits */
		{ "\xff\xc3", 2, "\\xff\\xc3" },
		{ "\xe2\x82", 2, "\\xe2\\x82" },
		{ "\xc0\xaf", 2, "\\xc0\\xaf" },
	};
	char dst[128];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(dst, '#', sizeof(dst));
		str_escape(dst, sizeof(dst), cases[i].text, cases[i].len);
		cr_assert_str_eq(dst, cases[i].want, "case %zu: %s", i, dst);
	}
}

/* What fits is not cut, to the last byte; what does not ends in "...". */
Test(str, escape_cuts)
{
	static const struct {
		size_t size;
		const char *text, *want;
	} cases[] = {
		{ 8, "1234567", "1234567" },
		{ 8, "12345678", "1234..." },
		{ 8, "\n123", "\\x0a123" },
		{ 8, "\n1234", "\\x0a..." },
		{ 8, "123\n", "123\\x0a" },
		{ 8, "1234\n", "1234..." },
		{ 9, "1234\n", "1234\\x0a" },
		{ 8, "1\xe2\x82\xac\xe2\x82\xac", "1\xe2\x82\xac\xe2\x82\xac" },
		{ 8, "12\xe2\x82\xac\xe2\x82\xac", "12..." }, /* no sequence is cut in two */
		{ 8, "\n\n", "\\x0a..." },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *dst = malloc(cases[i].size); /* so that a sanitizer sees its end */

		cr_assert(dst != NULL);
		str_escape(dst, cases[i].size, cases[i].text, strlen(cases[i].text));
		cr_assert_str_eq(dst, cases[i].want, "case %zu: %s", i, dst);
		free(dst);
	}
}

/* Random bytes into every small size: printable, ended, UTF-8. */
Test(str, escape_random)
{
	unsigned seed = 1;
	char text[40];

	for (int round = 0; round < 20000; round++) {
		size_t size = 8 + (size_t)rand_r(&seed) % 60;
		size_t len = (size_t)rand_r(&seed) % sizeof(text);
		char *dst = malloc(size);

		cr_assert(dst != NULL);
		for (size_t i = 0; i < len; i++)
			text[i] = (char)(rand_r(&seed) >> (round % 2 != 0 ? 8 : 7));
		str_escape(dst, size, text, len);
		cr_assert(strlen(dst) < size);
		cr_assert(str_is_utf8(dst, strlen(dst)));
		for (const char *p = dst; *p != '\0'; p++)
			cr_assert((unsigned char)*p >= 0x20 && *p != 0x7f && *p != '"');
		free(dst);
	}
}
