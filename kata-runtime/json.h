/*
 * JSON as this program reads it: bounded, strict, and with errors that name the file, the place
 * and what was expected ("config.json: process.user.uid: expected an unsigned number").
 *
 * json-c parses; before it sees the text a scan of our own refuses what json-c lets pass or drops
 * silently: a key that is there twice, a NUL written as \u0000, nesting beyond JSON_DEPTH_MAX.
 */
#ifndef KATA_JSON_H
#define KATA_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/protocol.h"

struct json_object;

enum { JSON_DEPTH_MAX = 32, JSON_FILE_MAX = 4 << 20 };

/* A place in a document; lives on the stack, borrows everything. */
struct json_at {
	const char *file;
	const struct json_at *up; /* NULL: the document itself */
	const char *key;          /* NULL: item number index of a list */
	size_t index;
	struct json_object *value; /* NULL: null */
};

/* Releases *object and sets it to NULL: for CLEANUP(). */
void json_freep(struct json_object **object);

/*
 * Reads a whole file of at most JSON_FILE_MAX bytes: *ret_text is to be freed and ends in a NUL
 * that *ret_len does not count. A fifo or device is refused, not waited for.
 */
int json_read_file(const char *path, char **ret_text, size_t *ret_len, struct error *err);

/* The same from a descriptor, from its offset to its end; name is for errors. */
int json_read_fd(int fd, const char *name, char **ret_text, size_t *ret_len, struct error *err);

/*
 * Parses text of len bytes; file names it in errors. comments: // and C comments are blanks.
 * *ret belongs to the caller. -EINVAL with file, line and reason.
 */
int json_parse(const char *file, const char *text, size_t len, bool comments,
	       struct json_object **ret, struct error *err);

/* The place of a document's outermost value. */
struct json_at json_root(const char *file, struct json_object *value);

/* "FILE: PLACE: words", returns -EINVAL. */
int json_error(const struct json_at *at, struct error *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The place as text, "process.rlimits[3].type"; what does not fit is cut. */
void json_place(const struct json_at *at, char *dst, size_t size);

/* -EINVAL unless the value is an object / a list of at most max items. */
int json_need_object(const struct json_at *at, struct error *err);
int json_need_list(const struct json_at *at, size_t max, struct error *err);

/* Whether the object has the member and it is not null; *ret is its place, up points to at. */
bool json_member(const struct json_at *at, const char *key, struct json_at *ret);

size_t json_count(const struct json_at *at);                      /* items of a list */
struct json_at json_item(const struct json_at *at, size_t index); /* index is below the count */

/*
 * Calls each for every member of an object, in order, until it returns other than 0: that number.
 */
int json_each(const struct json_at *at,
	      int (*each)(const struct json_at *member, void *userdata, struct error *err),
	      void *userdata, struct error *err);

/* The value itself. Strings have no NUL and at most max bytes; *ret_text is to be freed. */
int json_to_u64(const struct json_at *at, uint64_t max, uint64_t *ret, struct error *err);
int json_to_i64(const struct json_at *at, int64_t min, int64_t max, int64_t *ret,
		struct error *err);
int json_to_bool(const struct json_at *at, bool *ret, struct error *err);
int json_to_string(const struct json_at *at, size_t max, char **ret_text, struct error *err);

/* A list of strings, each of at most bytes; *ret belongs to the caller: json_strings_fini(). */
int json_to_strings(const struct json_at *at, size_t max_items, size_t max_bytes,
		    struct wire_strings *ret, struct error *err);
void json_strings_fini(struct wire_strings *strings);

/* Appends a copy: 0 or -ENOMEM. */
int json_strings_add(struct wire_strings *strings, const char *text);

/*
 * A member by its key: 1 when it was there, 0 when not (or null) and *ret is left alone. A string
 * that was there replaces *ret_text, which is freed.
 */
int json_get_u64(const struct json_at *at, const char *key, uint64_t max, uint64_t *ret,
		 struct error *err);
int json_get_u32(const struct json_at *at, const char *key, uint32_t max, uint32_t *ret,
		 struct error *err);
int json_get_i64(const struct json_at *at, const char *key, int64_t min, int64_t max, int64_t *ret,
		 struct error *err);
int json_get_bool(const struct json_at *at, const char *key, bool *ret, struct error *err);
int json_get_string(const struct json_at *at, const char *key, size_t max, char **ret_text,
		    struct error *err);
int json_get_strings(const struct json_at *at, const char *key, size_t max_items, size_t max_bytes,
		     struct wire_strings *ret, struct error *err);

#endif
