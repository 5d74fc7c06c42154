/*
 * A session between a client (shim or runtime) and the agent: three streams, one outstanding
 * request, events repeated until acknowledged. A pure state machine above a link that may be lost
 * and replaced: it does no I/O and has no clock; ops->send is called with what is to go out.
 *
 * The client side sends stream 0 and requests; the agent side sends streams 1 and 2, replies and
 * events. Requests and events are numbered from 1 in each session, without gaps.
 *
 * All ops but send may call the session again; send may call session_link_down() only. None may
 * call session_fini(). Memory: two windows or three, and one request, reply or event of each kind.
 */
#ifndef KATA_SESSION_H
#define KATA_SESSION_H

#include "common/frame.h"
#include "common/stream.h"

struct session;

struct session_ops {
	/*
	 * Send one frame: payload = head, then body; borrowed. The channel number is the
	 * embedder's. Called only while the link is up. Of DATA the FRAME_HEADER + head_len bytes
	 * before body may be written, if they are as before when this returns.
	 */
	void (*send)(struct session *session, enum frame_type type, uint8_t flags, uint32_t id,
		     const void *head, size_t head_len, const void *body, size_t body_len);
	/* New bytes of a stream, in order, once; session_consumed() reopens the window. */
	void (*data)(struct session *session, unsigned stream, const uint8_t *bytes, size_t n);
	/* A stream has ended: all its bytes have been given. */
	void (*end)(struct session *session, unsigned stream);
	/*
	 * A stream we send has room again, after session_write() took less than all or filled it.
	 * May be called when nothing changed.
	 */
	void (*room)(struct session *session, unsigned stream);
	/* Agent side: a request, new or repeated ones already answered excepted. */
	void (*request)(struct session *session, uint32_t id, const struct frame *frame);
	/* Client side: the reply to the outstanding request. */
	void (*reply)(struct session *session, const struct frame *frame);
	/* Client side: an event, once each; it is acknowledged when this returns. */
	void (*event)(struct session *session, const struct frame *frame);
};

struct session {
	const struct session_ops *ops;
	void *owner;
	bool agent_side;
	bool link_up;
	size_t data_max; /* stream bytes in a DATA; the owner may make it FRAME_DATA_SENT */
	struct stream_out out[STREAM_COUNT]; /* those this side sends are used */
	struct stream_in in[STREAM_COUNT];   /* the others are */
	bool want_room[STREAM_COUNT];
	bool end_told[STREAM_COUNT];
	unsigned next_stream; /* round robin */
	/* The last request; open: not answered yet. client: kept for a resend. */
	uint32_t request_id;
	bool request_open;
	struct buf request_payload;
	uint32_t resent_id; /* client: sent again on this link, so its reply may come twice */
	/* agent: the last request's reply, kept for a repeated request. */
	uint32_t reply_id;
	struct buf reply_payload;
	/* agent: the event not acknowledged. client: the last one seen. */
	uint32_t event_id;
	bool event_open;
	struct buf event_payload;
};

void session_init(struct session *session, bool agent_side, const struct session_ops *ops,
		  void *owner);
void session_fini(struct session *session);

/*
 * The link is up and the peer has said what it received (OPEN or OPENED): everything behind that
 * is sent again, with the open request (its repetition fetches the reply) or event. The agent
 * sends OPENED first. -EBADMSG when the peer cannot have received that: nothing is sent then and
 * the session is of no more use. received[i] counts for the streams this side sends.
 */
int session_link_up(struct session *session, const uint64_t received[STREAM_COUNT]);
void session_link_down(struct session *session);

/*
 * A frame of this session: DATA, WINDOW, END, REQUEST, REPLY, EVENT. 0; or -EBADMSG with err when
 * the peer broke the rules: tell it CLOSE(PROTOCOL) and give the session up. The payloads of
 * REQUEST, REPLY and EVENT are the ops' to check.
 */
int session_frame(struct session *session, const struct frame *frame, struct error *err);

/*
 * Gives bytes to a stream this side sends: how many were taken, 0 to n. When fewer than n, or
 * when the stream is full now, ops->room will be called.
 */
size_t session_write(struct session *session, unsigned stream, const void *data, size_t n);

/* How much session_write() would take. */
size_t session_room(const struct session *session, unsigned stream);

/*
 * The same without a copy: a place for at most *n bytes of the stream, *n becomes how many fit
 * there; NULL when there is no room now. session_commit() says how many were put there, at once.
 */
uint8_t *session_reserve(struct session *session, unsigned stream, size_t *n);
void session_commit(struct session *session, unsigned stream, size_t n);

/* No more bytes will be written to it: END follows the last one. */
void session_end_stream(struct session *session, unsigned stream);

/* The reader is done with n bytes that ops->data gave. */
void session_consumed(struct session *session, unsigned stream, size_t n);

/*
 * Client: sends a request, now or when the link is up. -EBUSY while one is open, -EMSGSIZE when it
 * does not fit in a frame, or what wire_encode() says.
 */
int session_request(struct session *session, enum msg_type type, const void *body,
		    struct error *err);

/*
 * Agent: answers the open request; the answer is kept for a repeated request. -EINVAL when id is
 * not the open request; as session_request() else, and then the request is still open.
 */
int session_reply(struct session *session, uint32_t id, enum msg_type type, const void *body,
		  struct error *err);
/* Agent: the answer is FAILED with that error. */
void session_reply_error(struct session *session, uint32_t id, const struct error *error);

/* Agent: sends an event until it is acknowledged. -EBUSY while one is not. */
int session_event(struct session *session, enum msg_type type, const void *body, struct error *err);

/* Agent: every byte written and the last event, if any, are acknowledged. */
bool session_settled(const struct session *session);

#endif
