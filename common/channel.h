/*
 * A peer connection on libuv: frames in, frames out, with the queue counted. The embedder owns the
 * channel and learns of its end once; libuv handles cannot be moved, so neither can the channel.
 *
 * Lifetime: channel_open(), any number of sends, channel_close() (any number of times, from any
 * callback), then ops->closed exactly once, after which the memory is the owner's again.
 */
#ifndef KATA_CHANNEL_H
#define KATA_CHANNEL_H

#include <stdbool.h>
#include <uv.h>

#include "common/frame.h"

struct channel;

struct channel_ops {
	/* One frame; its payload is borrowed for the call. May close the channel. */
	void (*frame)(struct channel *channel, const struct frame *frame);
	/* The peer ended (err NULL) or broke a rule or the connection; the channel closes by itself. */
	void (*ended)(struct channel *channel, const struct error *err);
	/* The write queue fell to CHANNEL_LOW or below, after it was above. May be NULL. */
	void (*drained)(struct channel *channel);
	/* All handles are closed. */
	void (*closed)(struct channel *channel);
	/*
	 * Bytes before the first frame, when set: called with what has come until it returns 1 (go
	 * on with frames); 0 means more is needed, negative closes. Used to skip stale bytes.
	 */
	int (*preamble)(struct channel *channel, struct buf *input);
};

enum { CHANNEL_LOW = 32768, CHANNEL_HIGH = 98304 };

struct channel {
	uv_pipe_t pipe;
	const struct channel_ops *ops;
	void *owner;
	struct buf input;
	size_t queued;  /* bytes handed to libuv and not yet written */
	bool above_low; /* drained is owed */
	bool synced;    /* the preamble is over */
	bool reading, ended, closing;
};

/*
 * Takes fd (a stream socket, or a character device that poll(2) knows) and starts to read. On
 * error fd is closed and nothing is owed.
 */
int channel_open(struct channel *channel, uv_loop_t *loop, int fd, const struct channel_ops *ops,
		 void *owner, struct error *err);

/*
 * Queues one frame: head (head_len bytes, may be 0) and then body make the payload; both are
 * copied. frame->length is set from them. After the end or on -ENOMEM it is dropped, the channel
 * closes. Returns 0 or a negative errno.
 */
int channel_send(struct channel *channel, const struct frame *frame, const void *head,
		 size_t head_len, const void *body, size_t body_len);

/* Encodes a message and sends it as the payload. */
int channel_send_message(struct channel *channel, enum frame_type frame_type, uint8_t flags,
			 uint32_t number, uint32_t id, enum msg_type type, const void *body);

/* Stops and starts reading: back pressure. */
void channel_pause(struct channel *channel);
void channel_resume(struct channel *channel);

void channel_close(struct channel *channel);

#endif
