/*
 * The two halves of one byte stream of a session, as pure state: no I/O, no clock. Offsets count
 * bytes from the stream's start, so repeating anything is harmless and a lost connection loses and
 * doubles nothing.
 */
#ifndef KATA_STREAM_H
#define KATA_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/frame.h"

/*
 * The sending half keeps what the peer has not acknowledged: at most STREAM_WINDOW bytes, in a
 * ring, where a byte lies at its offset modulo the ring's size. So nothing is ever moved.
 */
struct stream_out {
	uint8_t *ring;    /* with FRAME_HEADER + FRAME_DATA_HEAD bytes before it, or NULL */
	size_t size;      /* of the ring */
	size_t window;    /* greatest number of bytes kept */
	uint64_t acked;   /* what the peer has received: the first byte kept */
	uint64_t total;   /* offset behind the last byte written */
	uint64_t emptied; /* what total was when the ring was empty last */
	uint64_t sent;    /* next offset to send */
	uint64_t limit;   /* greatest offset the peer will take */
	bool ended;       /* no more bytes will be written */
	bool end_sent;    /* on this connection; END is repeated on each */
};

void stream_out_init(struct stream_out *out, size_t window);
void stream_out_fini(struct stream_out *out);

/* Bytes that stream_out_write() takes now. */
size_t stream_out_room(const struct stream_out *out);

/* How many bytes are kept. */
size_t stream_out_kept(const struct stream_out *out);

/*
 * A place for the next bytes, at most *n of them; *n becomes how many fit there in one piece. NULL
 * when there is no room, after the end and when memory is out. stream_out_commit() says how many
 * were put there.
 */
uint8_t *stream_out_reserve(struct stream_out *out, size_t *n);
void stream_out_commit(struct stream_out *out, size_t n);

/* Copies n bytes, at most stream_out_room(): 0, else -ENOBUFS; -EPIPE after the end; -ENOMEM. */
int stream_out_write(struct stream_out *out, const void *data, size_t n);

void stream_out_end(struct stream_out *out);

/*
 * What is to be sent next, at most max bytes: *ret_offset, *ret_data (borrowed), and their number;
 * 0 when nothing is, and fewer at the ring's end. stream_out_sent() says that it went out.
 */
size_t stream_out_next(const struct stream_out *out, size_t max, uint64_t *ret_offset,
		       const uint8_t **ret_data);
void stream_out_sent(struct stream_out *out, size_t n);

/* Whether END is to be sent now; its offset is total. Then set end_sent. */
bool stream_out_end_due(const struct stream_out *out);

/* The peer's WINDOW: 0, or -EBADMSG when it acknowledges what was not sent or goes back. */
int stream_out_window(struct stream_out *out, uint64_t received, uint64_t limit);

/*
 * A new connection: the peer has received this much; the rest, and END, is sent again. -EBADMSG
 * when that was never sent or goes back.
 */
int stream_out_resume(struct stream_out *out, uint64_t received);

/* The receiving half delivers each byte once and in order. */
struct stream_in {
	size_t window;                      /* what the sender may be ahead of us */
	uint64_t received;                  /* offset behind what was delivered */
	uint64_t consumed;                  /* of that, what the reader is done with */
	uint64_t told_received, told_limit; /* what the last WINDOW said */
	uint64_t end;                       /* offset of END, UINT64_MAX before it is known */
};

void stream_in_init(struct stream_in *in, size_t window);

/*
 * DATA: on 0 *ret_skip bytes at its start are old (all of them, possibly) and the rest counts as
 * received. -EBADMSG on a gap and behind the end, -EMSGSIZE beyond the limit the peer was told.
 */
int stream_in_data(struct stream_in *in, uint64_t offset, size_t n, size_t *ret_skip);

/*
 * END, which may be repeated: 0, or -EBADMSG when it contradicts what came, is another one than
 * before, or lies beyond the limit. The stream has ended once received == end.
 */
int stream_in_end(struct stream_in *in, uint64_t offset);

static inline bool stream_in_ended(const struct stream_in *in)
{
	return in->received == in->end;
}

/* n bytes more are consumed; never more than were received, whatever n is. */
void stream_in_consumed(struct stream_in *in, size_t n);

/* Whether a WINDOW is worth sending: half of the window has moved, or all is newly consumed. */
bool stream_in_window_due(const struct stream_in *in);

/* The numbers of the WINDOW to send now; from here on the peer counts as told. */
void stream_in_window(struct stream_in *in, uint64_t *ret_received, uint64_t *ret_limit);

#endif
