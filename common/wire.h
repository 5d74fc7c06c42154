/*
 * Messages as bytes: the codec of protocol.def, over msgpack.
 *
 * A control frame's payload is [message number, body]; the body is a map from field name to value.
 * msgpack-c trusts announced sizes (five bytes make it allocate 512 MiB), so wire_check() walks
 * the bytes before it sees them. Decoding yields a checked struct or an error that names the
 * field: "signal.signum: 65 is over 64". No handler ever sees msgpack.
 */
#ifndef KATA_WIRE_H
#define KATA_WIRE_H

#include "common/buf.h"
#include "common/error.h"
#include "common/protocol.h"

enum { WIRE_MAX = 1024 * 1024 }; /* most bytes of an encoded message */

enum wire_type {
	WIRE_u32,
	WIRE_u64,
	WIRE_i32,
	WIRE_bool,
	WIRE_str,
	WIRE_raw,
	WIRE_bin,
	WIRE_strings,
	WIRE_nested,
	WIRE_list
};
enum wire_need { WIRE_REQUIRED, WIRE_OPTIONAL };

struct wire_struct;

/* A row of protocol.def. */
struct wire_field {
	const char *name, *doc;
	enum wire_type type;
	enum wire_need need;
	size_t offset;
	size_t n_offset;                            /* list: where its count is */
	uint64_t max;                               /* value, bytes, or items */
	uint64_t item_max;                          /* strings: bytes of one */
	const struct wire_struct *(*element)(void); /* nested, list */
};

struct wire_struct {
	const char *name, *doc;
	size_t size;
	const struct wire_field *fields; /* the last has no name */
};

struct wire_message {
	const char *name, *doc;
	enum msg_type type, reply;
	enum peer from, to;
	const struct wire_struct *(*body)(void);
};

/* All messages; ret_count gets how many. */
const struct wire_message *wire_messages(size_t *ret_count);

/* The STRUCTs of protocol.def, for the generated document. */
const struct wire_struct *const *wire_structs(size_t *ret_count);

/* NULL when there is no such number. */
const struct wire_message *wire_message(int64_t number);

/* "UNKNOWN" when there is no such number. */
const char *wire_name(int64_t number);

/*
 * Whether data is exactly one msgpack value that is safe to unpack: depth at most 8, every
 * announced count fits in the bytes that are left, no float, no ext. 0 or -EBADMSG.
 */
int wire_check(const void *data, size_t len);

/*
 * Appends [number, body] to out. body is the struct of that message; NULL stands for one whose
 * fields are all zero. Checks limits as the decoder does, so that what is sent can be received.
 */
int wire_encode(enum msg_type type, const void *body, struct buf *out, struct error *err);

/* Decodes [number, body]; *ret_body is freed with wire_free(). -EBADMSG, -ERANGE, -EMSGSIZE. */
int wire_decode(const void *data, size_t len, enum msg_type *ret_type, void **ret_body,
		struct error *err);

/* As wire_decode, but only the one type is accepted; a FAILED instead becomes that error. */
int wire_decode_as(enum msg_type type, const void *data, size_t len, void **ret_body,
		   struct error *err);

/* Frees a body that wire_decode() made; NULL is fine. */
void wire_free(enum msg_type type, void *body);

#endif
