/* Untrusted text as lines: splitting, length, rate, memory of the last ones, words for errors. */
#include "kata-proxy/lines.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

/* What was given, a line each, and the sum of what was reported as dropped. */
static struct {
	char text[1 << 20];
	size_t used;
	unsigned lines, dropped;
} seen;

static struct lines lines;

static void on_line(struct lines *from, const char *text, size_t len, unsigned dropped)
{
	cr_assert_eq(from, &lines);
	cr_assert_leq(len, LINES_TEXT);
	cr_assert_gt(len, 0);
	memcpy(seen.text + seen.used, text, len);
	seen.used += len;
	seen.text[seen.used++] = '\n';
	seen.text[seen.used] = '\0';
	seen.lines++;
	seen.dropped += dropped;
}

static const struct lines_ops ops = { .line = on_line };

static void start(void)
{
	memset(&seen, 0, sizeof(seen));
	lines_init(&lines, &ops, NULL, 1000);
}

TestSuite(lines, .init = start);

Test(lines, splits)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "" },
		{ "\n", "" },
		{ "\r\n", "" },
		{ "one", "one\n" },
		{ "one\n", "one\n" },
		{ "one\r\n", "one\n" },
		{ "one\ntwo\n", "one\ntwo\n" },
		{ "one\n\n\ntwo", "one\ntwo\n" },
		{ "a\rb\r\n", "a\rb\n" },
		{ "\r", "" },
		{ " \n", " \n" },
		{ "%s%n\\x00\n", "%s%n\\x00\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		start();
		lines_feed(&lines, cases[i].in, strlen(cases[i].in), 1000);
		lines_end(&lines, 1000);
		cr_assert_str_eq(seen.text, cases[i].out, "whole, case %zu", i);
		start();
		for (const char *p = cases[i].in; *p != '\0'; p++)
			lines_feed(&lines, p, 1, 1000);
		lines_end(&lines, 1000);
		cr_assert_str_eq(seen.text, cases[i].out, "byte by byte, case %zu", i);
	}
}

Test(lines, takes_any_byte)
{
	char all[256];
	size_t len;

	for (int i = 0; i < 256; i++)
		all[i] = (char)(i == '\n' ? 'n' : i);
	lines_feed(&lines, all, sizeof(all), 1000);
	lines_feed(&lines, "\n", 1, 1000);
	cr_assert_eq(seen.used, 257);
	cr_assert_arr_eq(seen.text, all, 256);
	cr_assert_arr_eq(lines_last(&lines, 0, &len), all, 256);
	cr_assert_eq(len, 256);
}

Test(lines, cuts_long_lines)
{
	static const struct {
		size_t in, out;
	} cases[] = {
		{ LINES_MAX - 1, LINES_MAX - 1 },
		{ LINES_MAX, LINES_MAX },
		{ LINES_MAX + 1, LINES_MAX + 3 },
		{ 100000, LINES_MAX + 3 },
	};
	static char text[100001];

	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		start();
		lines_feed(&lines, text, cases[i].in, 1000);
		lines_feed(&lines, "\nshort\n", 7, 1000);
		cr_assert_eq(seen.used, cases[i].out + 1 + 6, "case %zu: %zu", i, seen.used);
		cr_assert_str_eq(seen.text + cases[i].out + 1, "short\n");
		if (cases[i].in > LINES_MAX)
			cr_assert_arr_eq(seen.text + LINES_MAX, "...\n", 4);
	}
}

Test(lines, limits_the_rate)
{
	int64_t now = 1000;

	for (int i = 0; i < 1000; i++)
		lines_feed(&lines, "x\n", 2, now);
	cr_assert_eq(seen.lines, LINES_BURST);
	cr_assert_eq(seen.dropped, 0);
	/* After a second there is room for so many, and the first says what is missing. */
	now += 1000;
	for (int i = 0; i < 1000; i++)
		lines_feed(&lines, "y\n", 2, now);
	cr_assert_eq(seen.lines, LINES_BURST + LINES_PER_S);
	cr_assert_eq(seen.dropped, 1000 - LINES_BURST);
	/* A long silence saves up one burst, no more. */
	now += 3600 * 1000;
	for (int i = 0; i < 1000; i++)
		lines_feed(&lines, "z\n", 2, now);
	cr_assert_eq(seen.lines, 2 * LINES_BURST + LINES_PER_S);
	/* Over many small steps no more than the rate comes through. */
	start();
	for (int i = 0; i < 10000; i++)
		lines_feed(&lines, "s\n", 2, 1000 + i);
	cr_assert_geq(seen.lines, LINES_BURST + 9 * LINES_PER_S);
	cr_assert_leq(seen.lines, LINES_BURST + 10 * LINES_PER_S);
}

Test(lines, a_clock_that_goes_back_gives_nothing)
{
	for (int i = 0; i < 1000; i++)
		lines_feed(&lines, "x\n", 2, 1000 - i * 10);
	cr_assert_eq(seen.lines, LINES_BURST);
}

Test(lines, keeps_the_last_ones)
{
	char text[32], want[32];
	const char *last;
	size_t len;

	cr_assert_null(lines_last(&lines, 0, &len));
	for (int i = 0; i < 1234; i++) {
		snprintf(text, sizeof(text), "line %d\n", i);
		lines_feed(&lines, text, strlen(text), 1000);
		last = lines_last(&lines, 0, &len); /* also of those that were dropped */
		cr_assert(last != NULL && len == strlen(text) - 1 && memcmp(last, text, len) == 0);
	}
	for (unsigned i = 0; i < LINES_KEPT; i++) {
		snprintf(want, sizeof(want), "line %u", 1233 - i);
		last = lines_last(&lines, i, &len);
		cr_assert(last != NULL && len == strlen(want) && memcmp(last, want, len) == 0);
	}
	cr_assert_null(lines_last(&lines, LINES_KEPT, &len));
	cr_assert_null(lines_last(&lines, UINT32_MAX, &len));
}

Test(lines, finds_the_newest_with_a_word)
{
	static const char text[] = "panic: 1\npanic: 2\nother\nnot pan\0ic\n";
	const char *found;
	size_t len;

	lines_feed(&lines, text, sizeof(text) - 1, 1000);
	found = lines_find(&lines, "panic", &len);
	cr_assert(found != NULL && len == 8 && memcmp(found, "panic: 2", 8) == 0);
	cr_assert_null(lines_find(&lines, "missing", &len));
	found = lines_find(&lines, "other", &len);
	cr_assert(found != NULL && len == 5);
}

Test(lines, has_words_for_errors)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "fine", "fine" },
		{ "open x: No such file or directory", "open x: not found" },
		{ "OPEN: PERMISSION DENIED, permission denied",
		  "OPEN: access refused, access refused" },
		{ "Operation not permitted", "not allowed" },
		{ "x: Not a directory!", "x: a part of the path is no directory!" },
		{ "No such process", "the process is gone" },
		{ "the file does not exist.", "the file is missing." },
		{ "a\x1b[0m\"b\"\n", "a\\x1b[0m\\x22b\\x22\\x0a" },
		{ "", "" },
	};
	char text[256];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		lines_for_error(text, sizeof(text), cases[i].in, strlen(cases[i].in));
		cr_assert_str_eq(text, cases[i].out);
	}
}

/* Whatever the size and text, the result fits, is UTF-8 and holds none of the phrases. */
Test(lines, words_for_errors_fit)
{
	static const char *const parts[] = {
		"not a directory",
		"\xc3\xa4",
		"no such file or directory",
		"x",
		"\xff",
		"\n",
		"no such process",
		"permission denied",
		"does not exist",
		"\xf0\x9f\x90\xb1",
	};
	static const char *const phrases[] = {
		"no such file or directory", "permission denied", "operation not permitted",
		"not a directory",           "no such process",   "does not exist",
	};
	unsigned seed = 42;

	for (int round = 0; round < 5000; round++) {
		char in[512] = "", *out;
		size_t size = 8 + (size_t)round % 300;

		while (strlen(in) < 400) {
			seed = seed * 1103515245 + 12345;
			strcat(in, parts[seed / 65536 % ARRAY_SIZE(parts)]);
		}
		out = malloc(size); /* so that a sanitizer sees each byte beyond it */
		lines_for_error(out, size, in, strlen(in));
		cr_assert_lt(strlen(out), size);
		cr_assert(str_is_utf8(out, strlen(out)));
		for (size_t i = 0; i < ARRAY_SIZE(phrases); i++)
			cr_assert_null(strcasestr(out, phrases[i]), "%s", out);
		free(out);
	}
}
