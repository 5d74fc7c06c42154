/* kata-runtime/json.c and json-scan.c: what is refused, and how the error says so. */
#include "kata-runtime/json.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

static int parse(const char *text, bool comments, struct json_object **ret, struct error *err)
{
	return json_parse("f", text, strlen(text), comments, ret, err);
}

Test(json, refuses)
{
	static const struct {
		const char *text;
		bool comments;
		const char *why; /* a part of the error's text */
	} cases[] = {
		{ "", false, "unexpected end of data" },
		{ "{", false, "unexpected end of data" },
		{ "{\"a\":1} x", false, "unexpected character" },
		{ "{\"a\":1}{}", false, "unexpected character" },
		{ "{\"a\":1,}", false, "f: line 1: " },
		{ "[1,2,]", true, "f: line 1: " },
		{ "{'a':1}", true, "f: line 1: " },
		{ "{a:1}", true, "f: line 1: " },
		{ "[NaN]", true, "f: line 1: " },
		{ "[TRUE]", true, "f: line 1: " },
		{ "[01]", true, "f: line 1: " },
		{ "{\n\"a\":1,\n\"a\":2}", false, "line 3: the key \"a\" is there twice" },
		{ "{\"a\":{\"b\":1},\"c\":{\"b\":1,\"d\":{},\"b\":1}}", false,
		  "\"b\" is there twice" },
		{ "[\"a\\u0000b\"]", false, "NUL character" },
		{ "{\"a\\u0000b\":1}", false, "NUL character" },
		{ "{\"a\":\n\"\xff\"}", false, "f: line 2: not UTF-8" },
		{ "[\"\xc3\"]", false, "not UTF-8" },
		{ "[\"\\\xc3\xa4\"]", false, "an escape that is none" },
		{ "[\xc3\xa4]", false, "f: line 1: " },
		{ "[\"abc", false, "a string has no end" },
		{ "[\"abc\\\"", false, "a string has no end" },
		{ "[\"a\nb\"]", false, "f: line 1" },
		{ "{} /* x", true, "a comment has no end" },
		{ "{} /*/", true, "a comment has no end" },
		{ "{} // x", false, "unexpected character" },
		{ "{ // x\n}", false, "f: line 1: " },
		{ "{ /x/ }", true, "f: line 1: " },
		{ "]", true, "f: line 1: " },
		{ "[}", true, "f: line 1: " },
		{ "\"a\":1", true, "unexpected character" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct json_object *object = NULL;
		struct error err = { 0 };
		int r = parse(cases[i].text, cases[i].comments, &object, &err);

		cr_expect(r == -EINVAL && err.num == EINVAL, "case %zu: accepted %s", i,
			  cases[i].text);
		cr_expect(strstr(err.text, cases[i].why) != NULL, "case %zu: %s", i, err.text);
		cr_expect(object == NULL);
	}
}

Test(json, refuses_a_nul_byte)
{
	struct json_object *object = NULL;
	struct error err = { 0 };

	cr_assert(json_parse("f", "[1]\0", 4, false, &object, &err) == -EINVAL);
	cr_assert(json_parse("f", "[\"a\0b\"]", 7, false, &object, &err) == -EINVAL);
	cr_assert(json_parse("f", "{\"a\\\0b\":1,\"a\\\0b\":1}", 18, false, &object, &err) ==
		  -EINVAL);
}

Test(json, depth)
{
	char text[256];
	struct json_object *object = NULL;
	struct error err = { 0 };

	for (int depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
		memset(text, '[', (size_t)depth);
		memset(text + depth, ']', (size_t)depth);
		text[2 * depth] = '\0';
		if (depth < JSON_DEPTH_MAX) {
			cr_assert(parse(text, false, &object, &err) == 0, "%s", err.text);
			json_freep(&object);
		} else if (depth > JSON_DEPTH_MAX) {
			cr_assert(parse(text, false, &object, &err) == -EINVAL);
			cr_assert(strstr(err.text, "nested too deeply") != NULL, "%s", err.text);
		}
	}
}

Test(json, comments_and_lines)
{
	const char *text =
		"// first\n{ /* a\n b */ \"a\": \"// no /* comment */\", // x\n\"b\": 1 }\n";
	CLEANUP(json_freep) struct json_object *object = NULL;
	CLEANUP(freep) char *value = NULL;
	struct error err = { 0 };
	struct json_at root;

	cr_assert(parse(text, true, &object, &err) == 0, "%s", err.text);
	root = json_root("f", object);
	cr_assert(json_get_string(&root, "a", 100, &value, &err) == 1);
	cr_assert_str_eq(value, "// no /* comment */");
}

Test(json, characters_beyond_ascii)
{
	static const struct {
		const char *text, *value;
	} cases[] = {
		{ "{\"v\":\"\xc3\xa4\"}", "\xc3\xa4" },
		{ "{\"v\":\"x\xe2\x82\xac\"}", "x\xe2\x82\xac" },
		{ "{\"v\":\"\xf0\x9f\x90\xb1!\"}", "\xf0\x9f\x90\xb1!" },
		{ "{\"v\":\"\\\\\xc3\xa4\"}", "\\\xc3\xa4" },
		{ "// \\\xc3\xa4 \xff\n{\"v\":\"\xc3\xa4\"}", "\xc3\xa4" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(json_freep) struct json_object *object = NULL;
		CLEANUP(freep) char *value = NULL;
		struct error err = { 0 };
		struct json_at root;

		cr_assert(parse(cases[i].text, true, &object, &err) == 0, "case %zu: %s", i,
			  err.text);
		root = json_root("f", object);
		cr_assert(json_get_string(&root, "v", 100, &value, &err) == 1);
		cr_expect_str_eq(value, cases[i].value);
	}
}

Test(json, comments_keep_line_numbers)
{
	struct json_object *object = NULL;
	struct error err = { 0 };

	cr_assert(parse("// a\n/* b\n c */\n{ \"x\" 1 }", true, &object, &err) == -EINVAL);
	cr_assert(strstr(err.text, "f: line 4: ") != NULL, "%s", err.text);
}

/* Each case reads member "v" in one way. */
enum kind { U64, U32, I64, BOOL, STRING, STRINGS };

Test(json, types_and_ranges)
{
	static const struct {
		enum kind kind;
		const char *text;
		int r;
		const char *why;
	} cases[] = {
		{ U64, "{\"v\":18446744073709551615}", 1, "" },
		{ U64, "{\"v\":0}", 1, "" },
		{ U64, "{}", 0, "" },
		{ U64, "{\"v\":null}", 0, "" },
		{ U64, "{\"v\":-1}", -EINVAL, "f: v: expected an unsigned number" },
		{ U64, "{\"v\":1.0}", -EINVAL, "f: v: expected an unsigned number" },
		{ U64, "{\"v\":1e3}", -EINVAL, "f: v: expected an unsigned number" },
		{ U64, "{\"v\":\"1\"}", -EINVAL, "f: v: expected an unsigned number" },
		{ U64, "{\"v\":true}", -EINVAL, "f: v: expected an unsigned number" },
		{ U32, "{\"v\":4294967296}", -EINVAL, "f: v: 4294967296 is over 4294967295" },
		{ U32, "{\"v\":4294967295}", 1, "" },
		{ I64, "{\"v\":-1000}", 1, "" },
		{ I64, "{\"v\":-1001}", -EINVAL, "expected a number from -1000 to 1000" },
		{ I64, "{\"v\":18446744073709551615}", -EINVAL, "expected a number from" },
		{ I64, "{\"v\":\"0\"}", -EINVAL, "f: v: expected a number" },
		{ BOOL, "{\"v\":false}", 1, "" },
		{ BOOL, "{\"v\":0}", -EINVAL, "f: v: expected true or false" },
		{ STRING, "{\"v\":\"12345678\"}", 1, "" },
		{ STRING, "{\"v\":\"123456789\"}", -EINVAL, "f: v: longer than 8 bytes" },
		{ STRING, "{\"v\":8}", -EINVAL, "f: v: expected a string" },
		{ STRING, "{\"v\":[]}", -EINVAL, "f: v: expected a string" },
		{ STRINGS, "{\"v\":[]}", 1, "" },
		{ STRINGS, "{\"v\":[\"a\",\"b\",\"c\"]}", 1, "" },
		{ STRINGS, "{\"v\":[\"a\",\"b\",\"c\",\"d\"]}", -EINVAL,
		  "f: v: more than 3 items" },
		{ STRINGS, "{\"v\":[\"a\",1]}", -EINVAL, "f: v[1]: expected a string" },
		{ STRINGS, "{\"v\":[null]}", -EINVAL, "f: v[0]: expected a string" },
		{ STRINGS, "{\"v\":{}}", -EINVAL, "f: v: expected a list" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(json_freep) struct json_object *object = NULL;
		CLEANUP(json_strings_fini) struct wire_strings strings = { 0 };
		CLEANUP(freep) char *text = NULL;
		struct error err = { 0 };
		struct json_at root;
		uint64_t u64;
		uint32_t u32;
		int64_t i64;
		bool yes;
		int r = 99;

		cr_assert(parse(cases[i].text, false, &object, &err) == 0, "%s", err.text);
		root = json_root("f", object);
		switch (cases[i].kind) {
		case U64:
			r = json_get_u64(&root, "v", UINT64_MAX, &u64, &err);
			break;
		case U32:
			r = json_get_u32(&root, "v", UINT32_MAX, &u32, &err);
			break;
		case I64:
			r = json_get_i64(&root, "v", -1000, 1000, &i64, &err);
			break;
		case BOOL:
			r = json_get_bool(&root, "v", &yes, &err);
			break;
		case STRING:
			r = json_get_string(&root, "v", 8, &text, &err);
			break;
		case STRINGS:
			r = json_get_strings(&root, "v", 3, 8, &strings, &err);
			break;
		}
		cr_expect(r == cases[i].r, "case %zu: %s: %d", i, cases[i].text, r);
		cr_expect(strstr(err.text, cases[i].why) != NULL, "case %zu: %s", i, err.text);
	}
}

Test(json, numbers_beyond_64_bits_are_no_other_number)
{
	CLEANUP(json_freep) struct json_object *object = NULL;
	struct error err = { 0 };
	struct json_at root;
	uint64_t value;

	if (parse("{\"v\":18446744073709551616}", false, &object, &err) < 0)
		return;
	root = json_root("f", object);
	cr_assert(json_get_u64(&root, "v", UINT64_MAX - 1, &value, &err) < 0);
}

Test(json, place_is_bounded_and_escaped)
{
	char text[4096];
	struct json_object *object = NULL;
	struct error err = { 0 };
	struct json_at at, inner;

	snprintf(text, sizeof(text), "{\"a\\n\":{\"%01000d\":1}}", 0);
	cr_assert(parse(text, false, &object, &err) == 0, "%s", err.text);
	at = json_root("f", object);
	cr_assert(json_member(&at, "a\n", &inner));
	cr_assert(json_need_list(&inner, 3, &err) == -EINVAL);
	cr_assert_str_eq(err.text, "f: a\\x0a: expected a list");
	json_freep(&object);
}

Test(json, strings_grow)
{
	CLEANUP(json_strings_fini) struct wire_strings strings = { 0 };
	char text[16];

	for (unsigned i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "%u", i);
		cr_assert(json_strings_add(&strings, text) == 0);
		cr_assert(strings.count == i + 1 && strings.items[i + 1] == NULL);
	}
	for (unsigned i = 0; i < 1000; i++)
		cr_assert(strtoul(strings.items[i], NULL, 10) == i);
}

Test(json, files)
{
	char dir[] = "/tmp/kata-test-json-XXXXXX", path[64];
	CLEANUP(freep) char *text = NULL;
	struct error err = { 0 };
	size_t len;
	FILE *file;

	cr_assert(mkdtemp(dir) != NULL);
	cr_assert(json_read_file(dir, &text, &len, &err) == -EINVAL);
	snprintf(path, sizeof(path), "%s/f", dir);
	cr_assert(json_read_file(path, &text, &len, &err) == -ENOENT);
	cr_assert(strstr(err.text, "o such file") == NULL, "%s", err.text);
	cr_assert(mkfifo(path, 0600) == 0);
	cr_assert(json_read_file(path, &text, &len, &err) == -EINVAL);
	unlink(path);
	file = fopen(path, "we");
	cr_assert(file != NULL);
	fprintf(file, "[1]\n");
	fclose(file);
	cr_assert(json_read_file(path, &text, &len, &err) == 0);
	cr_assert(len == 4 && strcmp(text, "[1]\n") == 0);
	cr_assert(truncate(path, JSON_FILE_MAX + 1) == 0);
	cr_assert(json_read_file(path, &text, &len, &err) == -EFBIG);
	unlink(path);
	rmdir(dir);
}
