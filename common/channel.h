/*
 * A peer connection on libuv: frames in, frames out, with the queue counted. The embedder owns the
 * channel and learns of its end once; libuv handles cannot be moved, so neither can the channel.
 *
 * Lifetime: channel_open(), any number of sends, channel_close() (any number of times, from any
 * callback), then ops->closed exactly once, after which the memory is the owner's again. No ops
 * function is called from within channel_open(), a send, a pause, a resume or a close.
 *
 * SIGPIPE must be ignored; loop_start() does that.
 */
#ifndef KATA_CHANNEL_H
#define KATA_CHANNEL_H

#include <stdbool.h>
#include <uv.h>

#include "common/frame.h"

struct channel;

struct channel_ops {
	/*
	 * One frame; its payload is borrowed for the call. May close the channel: then none
	 * follows.
	 */
	void (*frame)(struct channel *channel, const struct frame *frame);
	/*
	 * The peer ended (err NULL) or broke a rule or the connection; the channel closes
	 * by itself. At most once, and not when the owner closed it first.
	 */
	void (*ended)(struct channel *channel, const struct error *err);
	/* The write queue fell to CHANNEL_LOW or below, after it was above. May be NULL. */
	void (*drained)(struct channel *channel);
	/*
	 * Bytes that are no whole frame yet wait in input, which takes input.size bytes of memory:
	 * the owner may close a channel that holds too much. May be NULL.
	 */
	void (*waiting)(struct channel *channel);
	/* All handles are closed. */
	void (*closed)(struct channel *channel);
	/*
	 * Bytes before the first frame, when set: called with what has come until it returns 1 (go
	 * on with frames); 0 means more is needed, a negative errno closes. Used to skip
	 * stale bytes.
	 * It must not let input grow without end.
	 */
	int (*preamble)(struct channel *channel, struct buf *input);
	/*
	 * Whether n bytes, just read behind a frame's part, come from a new peer that has taken
	 * the connection over: that part is dropped then. May be NULL.
	 */
	bool (*anew)(struct channel *channel, const uint8_t *bytes, size_t n);
};

enum { CHANNEL_LOW = 32768, CHANNEL_HIGH = 98304 };

struct channel {
	uv_pipe_t pipe;
	const struct channel_ops *ops;
	void *owner;
	struct buf input;
	struct buf gathered; /* sent and not handed on yet: see channel_flush() */
	size_t queued;       /* bytes handed to libuv and not yet written */
	size_t held;         /* memory these take, with what is needed to keep each */
	bool above_low;      /* drained is owed */
	bool device;         /* set by the owner: a character device, no socket */
	bool gathers;        /* set by the owner, who calls channel_flush() */
	bool synced;         /* the preamble is over */
	bool reading;
	bool broken;    /* writing failed: what is sent is dropped */
	bool finishing; /* closes when the queue is written */
	bool closing;
	int failure; /* negative errno that ops->ended is still to be told of */
};

/*
 * Takes fd (a stream socket, or a character device that epoll(7) knows) and starts to read. On
 * error fd is closed and nothing is owed.
 */
int channel_open(struct channel *channel, uv_loop_t *loop, int fd, const struct channel_ops *ops,
		 void *owner, struct error *err);

/*
 * Sends one frame: head (head_len bytes, may be 0) and then body make the payload, at least one
 * byte; frame->length and frame->payload do not count. What cannot be written at once is copied
 * and queued. 0; -EPIPE after the end or channel_finish(), and the frame is dropped; -EMSGSIZE;
 * -ENOMEM, and then the channel closes with ops->ended. When the connection is lost the end comes
 * by reading, after what the peer still said.
 */
int channel_send(struct channel *channel, const struct frame *frame, const void *head,
		 size_t head_len, const void *body, size_t body_len);

/*
 * The same, where the FRAME_HEADER + head_len bytes before body may be written while this runs: a
 * character device takes a frame in one piece, which is made there in place of a copy.
 */
int channel_send_in_place(struct channel *channel, const struct frame *frame, const void *head,
			  size_t head_len, uint8_t *body, size_t body_len);

/* Encodes a message and sends it as the payload; number is the channel number in the frame. */
int channel_send_message(struct channel *channel, enum frame_type frame_type, uint8_t flags,
			 uint32_t number, uint32_t id, enum msg_type type, const void *body);

/*
 * Writes what a channel that gathers was sent. The owner calls it before its loop waits, so that
 * the frames of one turn, which may be many small ones, are few large writes.
 */
void channel_flush(struct channel *channel);

/* Stops and starts reading: back pressure. Frames that were read with this one still come. */
void channel_pause(struct channel *channel);
void channel_resume(struct channel *channel);

/*
 * Closes once the queue is written, or writing fails; the owner sets a deadline and closes then.
 * Nothing more is read or sent.
 */
void channel_finish(struct channel *channel);

/* Closes now; what is queued is dropped. */
void channel_close(struct channel *channel);

/* The same, and the memory of its input is free at once: not from within ops->frame of its own. */
void channel_discard(struct channel *channel);

#endif
