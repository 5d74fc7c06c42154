/*
 * JSON for the parsers of kata-runtime: see json.h. json-c's objects belong to whoever called
 * json_parse(); places borrow from them. kata-runtime's process only.
 */
#include "kata-runtime/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/json-scan.h"

void json_freep(struct json_object **object)
{
	json_object_put(*object);
	*object = NULL;
}

int json_read_fd(int fd, const char *name, char **ret_text, size_t *ret_len, struct error *err)
{
	CLEANUP(buf_fini) struct buf buf = { 0 };
	ssize_t n;

	for (;;) {
		uint8_t *to = buf_reserve(&buf, 65536);

		if (to == NULL)
			return error_set(err, ENOMEM, "read %s", name);
		n = read(fd, to, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, errno, "read %s", name);
		if (n == 0)
			break;
		buf_commit(&buf, (size_t)n);
		if (buf_len(&buf) > JSON_FILE_MAX)
			return error_say(err, EFBIG, "%s: larger than %d bytes", name,
					 JSON_FILE_MAX);
	}
	buf_at(&buf)[buf_len(&buf)] = '\0'; /* the last reserve left room, nothing was consumed */
	*ret_len = buf_len(&buf);
	*ret_text = (char *)steal_ptr(&buf.data);
	return 0;
}

int json_read_file(const char *path, char **ret_text, size_t *ret_len, struct error *err)
{
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return error_set(err, errno, "open %s", path);
	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "stat %s", path);
	if (!S_ISREG(st.st_mode))
		return error_say(err, EINVAL, "%s: not a regular file", path);
	return json_read_fd(fd, path, ret_text, ret_len, err);
}

/* What json-c says, as words for people. */
static int parse_error(const char *file, const char *text, struct json_tokener *tokener,
		       struct error *err)
{
	enum json_tokener_error e = json_tokener_get_error(tokener);
	size_t at = json_tokener_get_parse_end(tokener);

	return error_say(err, EINVAL, "%s: line %zu: %s", file, json_line(text, at),
			 json_tokener_error_desc(e));
}

static void tokener_free(struct json_tokener **tokener)
{
	if (*tokener != NULL)
		json_tokener_free(*tokener);
}

int json_parse(const char *file, const char *text, size_t len, bool comments,
	       struct json_object **ret, struct error *err)
{
	CLEANUP(tokener_free) struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
	CLEANUP(json_freep) struct json_object *object = NULL;
	CLEANUP(freep) char *copy = NULL, *ascii = NULL;
	size_t ascii_len;
	int r;

	if (len > JSON_FILE_MAX)
		return error_say(err, EFBIG, "%s: larger than %d bytes", file, JSON_FILE_MAX);
	copy = malloc(len + 1);
	if (tokener == NULL || copy == NULL)
		return error_set(err, ENOMEM, "parse %s", file);
	memcpy(copy, text, len);
	copy[len] = '\0';
	r = json_scan(file, copy, len, comments, err);
	if (r < 0)
		return r;
	r = json_to_ascii(file, copy, len, &ascii, &ascii_len, err);
	if (r < 0)
		return r;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	/* The NUL is parsed too: it ends a number, and an empty text is an error. */
	object = json_tokener_parse_ex(tokener, ascii, (int)ascii_len + 1);
	if (json_tokener_get_error(tokener) != json_tokener_success)
		return parse_error(file, ascii, tokener, err);
	/* That is success, too, where there was no memory for a locale. */
	if (object == NULL && ascii[strspn(ascii, " \t\r\n")] != 'n')
		return error_set(err, ENOMEM, "parse %s", file);
	*ret = steal_ptr(&object);
	return 0;
}

struct json_at json_root(const char *file, struct json_object *value)
{
	return (struct json_at){ .file = file, .value = value };
}

void json_place(const struct json_at *at, char *dst, size_t size)
{
	char key[160];
	size_t used;

	dst[0] = '\0';
	if (at->up == NULL)
		return;
	json_place(at->up, dst, size);
	used = strlen(dst);
	if (at->key != NULL) {
		str_escape(key, sizeof(key), at->key, strlen(at->key));
		snprintf(dst + used, size - used, "%s%s", used > 0 ? "." : "", key);
	} else {
		snprintf(dst + used, size - used, "[%zu]", at->index);
	}
}

int json_error(const struct json_at *at, struct error *err, const char *fmt, ...)
{
	char place[512], words[400];
	va_list args;

	json_place(at, place, sizeof(place));
	va_start(args, fmt);
	if (vsnprintf(words, sizeof(words), fmt, args) < 0)
		words[0] = '\0';
	va_end(args);
	return error_say(err, EINVAL, "%s: %s%s%s", at->file, place, place[0] != '\0' ? ": " : "",
			 words);
}

int json_need_object(const struct json_at *at, struct error *err)
{
	if (!json_object_is_type(at->value, json_type_object))
		return json_error(at, err, "expected an object");
	return 0;
}

int json_need_list(const struct json_at *at, size_t max, struct error *err)
{
	if (!json_object_is_type(at->value, json_type_array))
		return json_error(at, err, "expected a list");
	if (json_count(at) > max)
		return json_error(at, err, "more than %zu items", max);
	return 0;
}

bool json_member(const struct json_at *at, const char *key, struct json_at *ret)
{
	struct json_object *value;

	if (!json_object_is_type(at->value, json_type_object) ||
	    !json_object_object_get_ex(at->value, key, &value) || value == NULL)
		return false;
	*ret = (struct json_at){ .file = at->file, .up = at, .key = key, .value = value };
	return true;
}

size_t json_count(const struct json_at *at)
{
	return json_object_array_length(at->value);
}

struct json_at json_item(const struct json_at *at, size_t index)
{
	return (struct json_at){ .file = at->file,
				 .up = at,
				 .index = index,
				 .value = json_object_array_get_idx(at->value, index) };
}

int json_each(const struct json_at *at,
	      int (*each)(const struct json_at *member, void *userdata, struct error *err),
	      void *userdata, struct error *err)
{
	int r = json_need_object(at, err);

	if (r < 0)
		return r;
	json_object_object_foreach(at->value, key, value)
	{
		struct json_at member = { .file = at->file, .up = at, .key = key, .value = value };

		r = each(&member, userdata, err);
		if (r != 0)
			return r;
	}
	return 0;
}

int json_to_u64(const struct json_at *at, uint64_t max, uint64_t *ret, struct error *err)
{
	uint64_t value;

	if (!json_object_is_type(at->value, json_type_int) || json_object_get_int64(at->value) < 0)
		return json_error(at, err, "expected an unsigned number");
	value = json_object_get_uint64(at->value);
	if (value > max)
		return json_error(at, err, "%" PRIu64 " is over %" PRIu64, value, max);
	*ret = value;
	return 0;
}

int json_to_i64(const struct json_at *at, int64_t min, int64_t max, int64_t *ret, struct error *err)
{
	int64_t value;

	if (!json_object_is_type(at->value, json_type_int))
		return json_error(at, err, "expected a number");
	value = json_object_get_int64(at->value);
	if (value < min || value > max ||
	    (value == INT64_MAX && json_object_get_uint64(at->value) > INT64_MAX))
		return json_error(at, err, "expected a number from %" PRId64 " to %" PRId64, min,
				  max);
	*ret = value;
	return 0;
}

int json_to_bool(const struct json_at *at, bool *ret, struct error *err)
{
	if (!json_object_is_type(at->value, json_type_boolean))
		return json_error(at, err, "expected true or false");
	*ret = json_object_get_boolean(at->value);
	return 0;
}

/* The text belongs to the document. */
static int peek_string(const struct json_at *at, size_t max, const char **ret, struct error *err)
{
	const char *text;
	size_t len;

	if (!json_object_is_type(at->value, json_type_string))
		return json_error(at, err, "expected a string");
	text = json_object_get_string(at->value);
	len = (size_t)json_object_get_string_len(at->value);
	if (strlen(text) != len)
		return json_error(at, err, "a NUL character is not allowed");
	if (len > max)
		return json_error(at, err, "longer than %zu bytes", max);
	*ret = text;
	return 0;
}

int json_to_string(const struct json_at *at, size_t max, char **ret_text, struct error *err)
{
	const char *text;
	int r = peek_string(at, max, &text, err);

	if (r < 0)
		return r;
	text = strdup(text);
	if (text == NULL)
		return error_set(err, ENOMEM, "parse %s", at->file);
	*ret_text = (char *)text;
	return 0;
}

void json_strings_fini(struct wire_strings *strings)
{
	for (uint32_t i = 0; i < strings->count; i++)
		free(strings->items[i]);
	free(strings->items);
	*strings = (struct wire_strings){ 0 };
}

int json_strings_add(struct wire_strings *strings, const char *text)
{
	uint32_t count = strings->count;
	char **items = strings->items;
	char *copy;

	/* Room grows at powers of two: count + 1 texts and the NULL. */
	if (items == NULL || (count >= 2 && (count & (count - 1)) == 0)) {
		items = realloc(items, (count < 2 ? 4 : 2 * (size_t)count + 2) * sizeof(*items));
		if (items == NULL)
			return -ENOMEM;
		strings->items = items;
	}
	copy = strdup(text);
	if (copy == NULL)
		return -ENOMEM;
	items[count] = copy;
	items[count + 1] = NULL;
	strings->count = count + 1;
	return 0;
}

int json_to_strings(const struct json_at *at, size_t max_items, size_t max_bytes,
		    struct wire_strings *ret, struct error *err)
{
	CLEANUP(json_strings_fini) struct wire_strings strings = { 0 };
	const char *text;
	int r = json_need_list(at, max_items, err);

	for (size_t i = 0; r == 0 && i < json_count(at); i++) {
		struct json_at item = json_item(at, i);

		r = peek_string(&item, max_bytes, &text, err);
		if (r == 0 && json_strings_add(&strings, text) < 0)
			r = error_set(err, ENOMEM, "parse %s", at->file);
	}
	if (r < 0)
		return r;
	*ret = strings;
	strings = (struct wire_strings){ 0 };
	return 0;
}

int json_get_u64(const struct json_at *at, const char *key, uint64_t max, uint64_t *ret,
		 struct error *err)
{
	struct json_at member;
	int r;

	if (!json_member(at, key, &member))
		return 0;
	r = json_to_u64(&member, max, ret, err);
	return r < 0 ? r : 1;
}

int json_get_u32(const struct json_at *at, const char *key, uint32_t max, uint32_t *ret,
		 struct error *err)
{
	uint64_t value;
	int r = json_get_u64(at, key, max, &value, err);

	if (r > 0)
		*ret = (uint32_t)value;
	return r;
}

int json_get_i64(const struct json_at *at, const char *key, int64_t min, int64_t max, int64_t *ret,
		 struct error *err)
{
	struct json_at member;
	int r;

	if (!json_member(at, key, &member))
		return 0;
	r = json_to_i64(&member, min, max, ret, err);
	return r < 0 ? r : 1;
}

int json_get_bool(const struct json_at *at, const char *key, bool *ret, struct error *err)
{
	struct json_at member;
	int r;

	if (!json_member(at, key, &member))
		return 0;
	r = json_to_bool(&member, ret, err);
	return r < 0 ? r : 1;
}

int json_get_string(const struct json_at *at, const char *key, size_t max, char **ret_text,
		    struct error *err)
{
	struct json_at member;
	char *text;
	int r;

	if (!json_member(at, key, &member))
		return 0;
	r = json_to_string(&member, max, &text, err);
	if (r < 0)
		return r;
	free(*ret_text);
	*ret_text = text;
	return 1;
}

int json_get_strings(const struct json_at *at, const char *key, size_t max_items, size_t max_bytes,
		     struct wire_strings *ret, struct error *err)
{
	struct wire_strings strings;
	struct json_at member;
	int r;

	if (!json_member(at, key, &member))
		return 0;
	r = json_to_strings(&member, max_items, max_bytes, &strings, err);
	if (r < 0)
		return r;
	json_strings_fini(ret);
	*ret = strings;
	return 1;
}
