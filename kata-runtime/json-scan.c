/*
 * A walk over JSON text before json-c parses it: see json-scan.h. Used by json_parse() only. It
 * knows strings, comments and brackets and nothing else of the grammar; that is json-c's work.
 */
#include "kata-runtime/json-scan.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/json.h"

struct scan {
	const char *file;
	char *text;
	size_t len, at;
	bool comments;
	int depth;
	bool object[JSON_DEPTH_MAX + 1];              /* is the value at that depth an object */
	struct json_object *seen[JSON_DEPTH_MAX + 1]; /* its keys so far, as they are written */
	size_t string, string_len;                    /* the last string: offset behind its quote */
};

size_t json_line(const char *text, size_t offset)
{
	size_t line = 1;

	for (size_t i = 0; i < offset && text[i] != '\0'; i++)
		line += text[i] == '\n';
	return line;
}

static int scan_error(const struct scan *s, struct error *err, const char *what)
{
	return error_say(err, EINVAL, "%s: line %zu: %s", s->file, json_line(s->text, s->at), what);
}

static void scan_fini(struct scan *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(s->seen); i++)
		json_object_put(s->seen[i]);
}

/* From behind the opening quote to behind the closing one. */
static int scan_string(struct scan *s, struct error *err)
{
	s->string = s->at;
	for (bool escaped = false; s->at < s->len; s->at++) {
		char c = s->text[s->at];

		if ((unsigned char)c < ' ')
			return scan_error(s, err, "a control character in a string");
		if (escaped && s->len - s->at >= 5 && memcmp(s->text + s->at, "u0000", 5) == 0)
			return scan_error(s, err, "a NUL character is not allowed in a string");
		if (!escaped && c == '"')
			break;
		escaped = !escaped && c == '\\';
	}
	if (s->at >= s->len)
		return scan_error(s, err, "a string has no end");
	s->string_len = s->at - s->string;
	s->at++;
	return 0;
}

/* From the slash on. Newlines stay, so that lines keep their numbers. */
static int scan_comment(struct scan *s, struct error *err)
{
	bool line = s->text[s->at + 1] == '/';
	size_t end = s->at + 2;

	if (line) {
		while (end < s->len && s->text[end] != '\n')
			end++;
	} else {
		while (end + 1 < s->len && (s->text[end] != '*' || s->text[end + 1] != '/'))
			end++;
		if (end + 1 >= s->len)
			return scan_error(s, err, "a comment has no end");
		end += 2;
	}
	for (; s->at < end; s->at++)
		if (s->text[s->at] != '\n')
			s->text[s->at] = ' ';
	return 0;
}

static int scan_open(struct scan *s, bool object, struct error *err)
{
	if (s->depth >= JSON_DEPTH_MAX)
		return scan_error(s, err, "nested too deeply");
	s->depth++;
	s->object[s->depth] = object;
	json_object_put(s->seen[s->depth]);
	s->seen[s->depth] = object ? json_object_new_object() : NULL;
	if (object && s->seen[s->depth] == NULL)
		return error_set(err, ENOMEM, "%s", s->file);
	return 0;
}

/* At a colon: the last string was a key. */
static int scan_key(struct scan *s, struct error *err)
{
	CLEANUP(freep) char *key = NULL;
	char shown[128];

	if (!s->object[s->depth])
		return 0; /* json-c refuses it */
	key = strndup(s->text + s->string, s->string_len);
	if (key == NULL)
		return error_set(err, ENOMEM, "%s", s->file);
	if (json_object_object_get_ex(s->seen[s->depth], key, NULL)) {
		str_escape(shown, sizeof(shown), key, strlen(key));
		return error_say(err, EINVAL, "%s: line %zu: the key \"%s\" is there twice",
				 s->file, json_line(s->text, s->string), shown);
	}
	if (json_object_object_add(s->seen[s->depth], key, NULL) < 0)
		return error_set(err, ENOMEM, "%s", s->file);
	return 0;
}

static int scan_one(struct scan *s, struct error *err)
{
	char c = s->text[s->at];

	if (c == '/' && s->comments && s->at + 1 < s->len &&
	    (s->text[s->at + 1] == '/' || s->text[s->at + 1] == '*'))
		return scan_comment(s, err);
	if (c == '\0')
		return scan_error(s, err, "a NUL byte");
	if (c == '\'' || c == 'N' || c == 'I') /* 'text', NaN, Infinity: json-c takes them */
		return scan_error(s, err, "unexpected character");
	s->at++;
	if (c == '"')
		return scan_string(s, err);
	if (c == '{' || c == '[')
		return scan_open(s, c == '{', err);
	if ((c == '}' || c == ']') && s->depth > 0)
		s->depth--;
	if (c == ':')
		return scan_key(s, err);
	return 0;
}

int json_scan(const char *file, char *text, size_t len, bool comments, struct error *err)
{
	CLEANUP(scan_fini)
	struct scan s = { .file = file, .text = text, .len = len, .comments = comments };
	int r = 0;

	while (r == 0 && s.at < s.len)
		r = scan_one(&s, err);
	return r;
}

/* RFC 8259 section 7: beyond the basic plane as a surrogate pair. */
static int add_escaped(struct buf *buf, uint32_t code)
{
	char text[16];
	int n = code < 0x10000 ? snprintf(text, sizeof(text), "\\u%04x", code)
			       : snprintf(text, sizeof(text), "\\u%04x\\u%04x",
					  0xd800 + ((code - 0x10000) >> 10),
					  0xdc00 + ((code - 0x10000) & 0x3ff));

	return buf_append(buf, text, (size_t)n);
}

int json_to_ascii(const char *file, const char *text, size_t len, char **ret, size_t *ret_len,
		  struct error *err)
{
	CLEANUP(buf_fini) struct buf buf = { 0 };
	bool escaped = false; /* behind a backslash that is not itself escaped */
	uint32_t code;
	size_t n;
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i += n) {
		n = str_utf8_next(text + i, len - i, &code);
		if (n == 0 || (n > 1 && escaped))
			return error_say(err, EINVAL, "%s: line %zu: %s", file, json_line(text, i),
					 n == 0 ? "not UTF-8" : "an escape that is none");
		escaped = !escaped && code == '\\';
		r = n > 1 ? add_escaped(&buf, code) : buf_append(&buf, text + i, 1);
	}
	*ret_len = buf_len(&buf);
	if (r < 0 || buf_append(&buf, "", 1) < 0)
		return error_set(err, ENOMEM, "parse %s", file);
	*ret = (char *)steal_ptr(&buf.data);
	return 0;
}
