/*
 * The C types of protocol.def, and the few numbers of the protocol that are no messages.
 * wire.h encodes and decodes the types; frame.h has the frames that carry them.
 */
#ifndef KATA_PROTOCOL_H
#define KATA_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROTOCOL_VERSION = 1 };

/* Who may send or get a message. */
enum peer { PEER_ANY, PEER_CLIENT, PEER_RUNTIME, PEER_SHIM, PEER_PROXY, PEER_AGENT };

/* The role in OPEN. */
enum session_role { ROLE_RUNTIME = 1, ROLE_SHIM = 2, ROLE_RELAY = 3 };

enum close_reason {
	CLOSE_DONE = 0,     /* the sender has no more to say */
	CLOSE_LOST = 1,     /* the client is gone without a word: its process is killed */
	CLOSE_REFUSED = 2,  /* the session or the connection is not accepted */
	CLOSE_PROTOCOL = 3, /* the peer broke the protocol */
	CLOSE_LIMIT = 4,    /* the peer exceeded a limit */
	CLOSE_VM_ENDED = 5, /* the link to the agent is gone */
};

/* Stream numbers: the id of DATA, WINDOW and END frames. */
enum { STREAM_STDIN = 0, STREAM_STDOUT = 1, STREAM_STDERR = 2, STREAM_COUNT = 3 };

/*
 * Bytes that a sender may have unacknowledged on a stream: whole DATA frames as we send them, since
 * the rest of one would go alone, and be acknowledged alone, again and again. Of stdin it is less,
 * so that what others send to the guest need not wait for it long.
 */
enum { STREAM_WINDOW_STDIN = 65408, STREAM_WINDOW = 130816 };

struct wire_bin {
	uint8_t *data;
	uint32_t len;
};

struct wire_strings {
	char **items; /* NULL-terminated */
	uint32_t count;
};

typedef uint32_t wire_u32;
typedef uint64_t wire_u64;
typedef int32_t wire_i32;
typedef bool wire_bool;
typedef char *wire_str;
typedef char *wire_raw;
typedef struct wire_bin wire_bin;

/* Message numbers. */
enum msg_type {
	MSG_NONE = -1,
#define MSG(NAME, name, number, from, to, reply, doc) MSG_##NAME = number,
#define STRUCT(name, doc)
#define FIELD(type, name, need, max, doc)
#define STRINGS(name, items, bytes, doc)
#define NESTED(strct, name, doc)
#define LIST(strct, name, max, doc)
#define END
#include "common/protocol.def"
#include "common/protocol-undef.h"
};

/* One struct msg_NAME per STRUCT and MSG. What wire_decode() makes owns its pointers. */
#define MSG(NAME, name, number, from, to, reply, doc) struct msg_##name {
#define STRUCT(name, doc) struct msg_##name {
#define FIELD(type, name, need, max, doc) wire_##type name;
#define STRINGS(name, items, bytes, doc) struct wire_strings name;
#define NESTED(strct, name, doc) struct msg_##strct name;
#define LIST(strct, name, max, doc) \
	struct msg_##strct *name; \
	uint32_t n_##name;
/* The formatter would take this brace apart. */
/* clang-format off */
#define END };
/* clang-format on */
#include "common/protocol.def"
#include "common/protocol-undef.h"

#endif
