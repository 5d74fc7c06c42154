/*
 * Frames: what travels on every hop (ARCHITECTURE.md, "The link").
 *
 *	0-3 payload length, big endian   4-7 channel   8 type   9 flags   10-11 zero   12-15 id
 *
 * The length is checked against its type's limit before anything is allocated. The payload is
 * exactly one msgpack value.
 */
#ifndef KATA_FRAME_H
#define KATA_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/error.h"
#include "common/protocol.h"

enum frame_type {
	FRAME_HELLO = 1,   /* [magic and nonce, body of HELLO] */
	FRAME_OPEN = 2,    /* [number, body]; with ACK the answer */
	FRAME_CLOSE = 3,   /* [number, body] */
	FRAME_REQUEST = 4, /* [number, body]; id: request number, from 1 */
	FRAME_REPLY = 5,   /* [number, body]; id: the request's */
	FRAME_EVENT = 6,   /* [number, body]; id: event number; with ACK the acknowledgement, nil */
	FRAME_DATA = 7,    /* [offset, bytes]; id: stream */
	FRAME_WINDOW = 8,  /* [received, limit]; id: stream */
	FRAME_END = 9,     /* [offset]; id: stream */
	FRAME_PING = 10,   /* nil */
	FRAME_PONG = 11,   /* nil */
};

enum { FRAME_ACK = 1 };

enum {
	FRAME_HEADER = 16,
	FRAME_DATA_MAX = 65536,       /* most payload bytes of a DATA we accept */
	FRAME_DATA_PORT = 32768 - 64, /* most stream bytes in a DATA we send: a port takes 32 KiB */
	FRAME_DATA_SENT = 2 * FRAME_DATA_PORT, /* the same of the agent where its link is no port */
	FRAME_CONTROL_MAX = 1024 * 1024,       /* most payload bytes of any other frame */
	FRAME_NONCE = 24,                      /* magic and nonce of a HELLO: 8 + 16 bytes */
	FRAME_KEY = 8, /* the part of the nonce behind the magic, see below */
};

struct frame {
	uint32_t length; /* of the payload */
	uint32_t channel;
	uint8_t type;
	uint8_t flags;
	uint32_t id;
	const uint8_t *payload; /* borrowed */
};

/* Writes the header of a frame. */
void frame_put_header(uint8_t out[FRAME_HEADER], const struct frame *frame);

/* Reads and checks a header: type, flags, zero bytes, the type's length limit. -EBADMSG. */
int frame_get_header(const uint8_t in[FRAME_HEADER], struct frame *ret_frame, struct error *err);

/*
 * Takes the first whole frame from what a stream has brought: 1 and *ret_frame, whose payload
 * points into buf and holds until buf changes; 0 when more bytes are needed; -EBADMSG. After use
 * call buf_consume(buf, FRAME_HEADER + frame.length).
 */
int frame_next(const struct buf *buf, struct frame *ret_frame, struct error *err);

/* Payloads that are no messages. Each appends the payload to out: 0 or -ENOMEM. */
int frame_put_window(struct buf *out, uint64_t received, uint64_t limit);
int frame_put_end(struct buf *out, uint64_t offset);
int frame_put_nil(struct buf *out);

/*
 * The part of a DATA payload before its bytes: returns its length, at most FRAME_DATA_HEAD. The
 * frame's length is that plus n.
 */
enum { FRAME_DATA_HEAD = 16 };
size_t frame_put_data_head(uint8_t out[FRAME_DATA_HEAD], uint64_t offset, size_t n);

/* The parts of those payloads, checked: 0 or -EBADMSG. */
int frame_get_data(const struct frame *frame, uint64_t *ret_offset, const uint8_t **ret_bytes,
		   size_t *ret_n);
int frame_get_window(const struct frame *frame, uint64_t *ret_received, uint64_t *ret_limit);
int frame_get_end(const struct frame *frame, uint64_t *ret_offset);

/*
 * HELLO. nonce is 8 bytes of magic and 16 chosen by the side that connects; the answer (flag ACK)
 * repeats it.
 */
void frame_new_nonce(uint8_t ret_nonce[FRAME_NONCE]);
int frame_put_hello(struct buf *out, const uint8_t nonce[FRAME_NONCE],
		    const struct msg_hello *hello, struct error *err);
int frame_get_hello(const struct frame *frame, uint8_t ret_nonce[FRAME_NONCE],
		    struct msg_hello **ret_hello, struct error *err);

/*
 * Finds the start of a HELLO among stale bytes of an earlier connection: drops everything before
 * it from buf and returns 1, or 0 when it is not there yet (what cannot begin one is dropped).
 * ack: look for an answer to *nonce; else for any peer's HELLO and nonce may be NULL.
 */
int frame_find_hello(struct buf *buf, bool ack, const uint8_t *nonce);

/*
 * The nonces of one VM's workers begin with the same secret key. By it the agent knows the HELLO of
 * a new worker where the port did not show that the old one went, and where bytes of a stream may
 * look like anything.
 */
void frame_set_key(uint8_t nonce[FRAME_NONCE], const uint8_t key[FRAME_KEY]);
void frame_get_key(const uint8_t nonce[FRAME_NONCE], uint8_t ret_key[FRAME_KEY]);

/* Whether n bytes begin with a HELLO, no answer, of that key. */
bool frame_begins_hello(const uint8_t *bytes, size_t n, const uint8_t key[FRAME_KEY]);

const char *frame_type_name(uint8_t type);

#endif
