/*
 * The state of a session: see session.h. The shim has the client side of one, the agent one agent
 * side for each of its clients; whoever owns the link calls in here and is called back through
 * ops. What arrives in session_frame() is not trusted.
 */
#include "common/session.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/str.h"
#include "common/wire.h"

_Static_assert(STREAM_WINDOW % FRAME_DATA_SENT == 0 && STREAM_WINDOW_STDIN % FRAME_DATA_PORT == 0,
	       "windows are whole frames");

/* stdin flows from the client to the agent, the others the other way. */
static bool sends(const struct session *s, unsigned stream)
{
	return stream < STREAM_COUNT && (stream == STREAM_STDIN) == !s->agent_side;
}

static bool receives(const struct session *s, unsigned stream)
{
	return stream < STREAM_COUNT && !sends(s, stream);
}

void session_init(struct session *session, bool agent_side, const struct session_ops *ops,
		  void *owner)
{
	*session = (struct session){
		.ops = ops, .owner = owner, .agent_side = agent_side, .data_max = FRAME_DATA_PORT
	};
	for (unsigned i = 0; i < STREAM_COUNT; i++) {
		size_t window = i == STREAM_STDIN ? STREAM_WINDOW_STDIN : STREAM_WINDOW;

		stream_out_init(&session->out[i], window);
		stream_in_init(&session->in[i], window);
	}
}

void session_fini(struct session *session)
{
	for (unsigned i = 0; i < STREAM_COUNT; i++)
		stream_out_fini(&session->out[i]);
	buf_fini(&session->request_payload);
	buf_fini(&session->reply_payload);
	buf_fini(&session->event_payload);
	session->link_up = false;
}

/* --- sending ---------------------------------------------------------------------------------- */

static void send_buf(struct session *s, enum frame_type type, uint8_t flags, uint32_t id,
		     const struct buf *payload)
{
	s->ops->send(s, type, flags, id, NULL, 0, buf_at(payload), buf_len(payload));
}

/* One DATA of a stream, or its END; false when the stream has nothing to send now. */
static bool push_stream(struct session *s, unsigned stream)
{
	struct stream_out *out = &s->out[stream];
	uint8_t head[FRAME_DATA_HEAD];
	const uint8_t *bytes;
	uint64_t offset;
	size_t n = stream_out_next(out, s->data_max, &offset, &bytes);

	if (n > 0) {
		stream_out_sent(out, n);
		s->ops->send(s, FRAME_DATA, 0, stream, head, frame_put_data_head(head, offset, n),
			     bytes, n);
		return true;
	}
	if (stream_out_end_due(out)) {
		CLEANUP(buf_fini) struct buf end = { 0 };

		if (frame_put_end(&end, out->total) < 0)
			return false; /* the next push tries again */
		out->end_sent = true;
		send_buf(s, FRAME_END, 0, stream, &end);
		return true;
	}
	return false;
}

/* Sends what the windows allow, a frame of each stream in turn. */
static void push(struct session *s)
{
	unsigned idle = 0;

	while (s->link_up && idle < STREAM_COUNT) {
		unsigned stream = s->next_stream;

		s->next_stream = (stream + 1) % STREAM_COUNT;
		idle = sends(s, stream) && push_stream(s, stream) ? 0 : idle + 1;
	}
}

static void send_window(struct session *s, unsigned stream)
{
	CLEANUP(buf_fini) struct buf window = { 0 };
	struct stream_in told = s->in[stream];
	uint64_t received, limit;

	stream_in_window(&told, &received, &limit);
	if (frame_put_window(&window, received, limit) < 0)
		return; /* still due */
	s->in[stream] = told;
	send_buf(s, FRAME_WINDOW, 0, stream, &window);
}

/* Calls the writers that wait and may go on. */
static void tell_room(struct session *s)
{
	for (unsigned i = 0; i < STREAM_COUNT; i++) {
		if (!s->want_room[i] || stream_out_room(&s->out[i]) == 0)
			continue;
		s->want_room[i] = false;
		s->ops->room(s, i);
	}
}

/* --- the link --------------------------------------------------------------------------------- */

int session_link_up(struct session *session, const uint64_t received[STREAM_COUNT])
{
	for (unsigned i = 0; i < STREAM_COUNT; i++)
		if (sends(session, i) && stream_out_resume(&session->out[i], received[i]) < 0)
			return -EBADMSG;
	session->link_up = true;
	session->resent_id = 0;
	/* What the peer knows of our windows may be old. */
	for (unsigned i = 0; i < STREAM_COUNT && session->link_up; i++)
		if (receives(session, i) && session->in[i].received > 0)
			send_window(session, i);
	if (session->link_up && !session->agent_side && session->request_open) {
		session->resent_id = session->request_id;
		send_buf(session, FRAME_REQUEST, 0, session->request_id, &session->request_payload);
	}
	push(session);
	if (session->link_up && session->agent_side && session->event_open)
		send_buf(session, FRAME_EVENT, 0, session->event_id, &session->event_payload);
	tell_room(session);
	return 0;
}

void session_link_down(struct session *session)
{
	session->link_up = false;
}

/* --- streams ---------------------------------------------------------------------------------- */

/* Tells the reader of a stream's end, once. */
static void tell_end(struct session *s, unsigned stream)
{
	if (s->end_told[stream] || !stream_in_ended(&s->in[stream]))
		return;
	s->end_told[stream] = true;
	s->ops->end(s, stream);
}

static int on_data(struct session *s, const struct frame *frame, struct error *err)
{
	struct stream_in *in;
	const uint8_t *bytes;
	uint64_t offset;
	size_t n, skip;

	if (!receives(s, frame->id))
		return error_say(err, EBADMSG, "DATA of stream %u", frame->id);
	in = &s->in[frame->id];
	if (frame_get_data(frame, &offset, &bytes, &n) < 0)
		return error_say(err, EBADMSG, "DATA of stream %u is malformed", frame->id);
	if (stream_in_data(in, offset, n, &skip) < 0)
		return error_say(err, EBADMSG,
				 "DATA of stream %u: %zu bytes at %llu, received %llu, limit %llu",
				 frame->id, n, (unsigned long long)offset,
				 (unsigned long long)in->received,
				 (unsigned long long)in->told_limit);
	if (skip < n)
		s->ops->data(s, frame->id, bytes + skip, n - skip);
	tell_end(s, frame->id);
	return 0;
}

static int on_end(struct session *s, const struct frame *frame, struct error *err)
{
	uint64_t offset;

	if (!receives(s, frame->id))
		return error_say(err, EBADMSG, "END of stream %u", frame->id);
	if (frame_get_end(frame, &offset) < 0)
		return error_say(err, EBADMSG, "END of stream %u is malformed", frame->id);
	if (stream_in_end(&s->in[frame->id], offset) < 0)
		return error_say(err, EBADMSG, "END of stream %u at %llu, received %llu", frame->id,
				 (unsigned long long)offset,
				 (unsigned long long)s->in[frame->id].received);
	tell_end(s, frame->id);
	return 0;
}

static int on_window(struct session *s, const struct frame *frame, struct error *err)
{
	struct stream_out *out;
	uint64_t received, limit;

	if (!sends(s, frame->id))
		return error_say(err, EBADMSG, "WINDOW of stream %u", frame->id);
	out = &s->out[frame->id];
	if (frame_get_window(frame, &received, &limit) < 0)
		return error_say(err, EBADMSG, "WINDOW of stream %u is malformed", frame->id);
	if (stream_out_window(out, received, limit) < 0)
		return error_say(err, EBADMSG,
				 "WINDOW of stream %u: %llu to %llu, acknowledged %llu, sent %llu",
				 frame->id, (unsigned long long)received, (unsigned long long)limit,
				 (unsigned long long)out->acked, (unsigned long long)out->sent);
	push(s);
	return 0;
}

size_t session_room(const struct session *session, unsigned stream)
{
	return sends(session, stream) ? stream_out_room(&session->out[stream]) : 0;
}

size_t session_write(struct session *session, unsigned stream, const void *data, size_t n)
{
	size_t room = session_room(session, stream);
	size_t taken = n < room ? n : room;

	if (!sends(session, stream))
		return 0;
	if (stream_out_write(&session->out[stream], data, taken) < 0)
		taken = 0; /* ended, or out of memory: ops->room at the next frame */
	session->want_room[stream] = taken < n || taken == room;
	push(session);
	return taken;
}

uint8_t *session_reserve(struct session *session, unsigned stream, size_t *n)
{
	return sends(session, stream) ? stream_out_reserve(&session->out[stream], n) : NULL;
}

void session_commit(struct session *session, unsigned stream, size_t n)
{
	struct stream_out *out = &session->out[stream];

	stream_out_commit(out, n);
	session->want_room[stream] = stream_out_room(out) == 0;
	push(session);
}

void session_end_stream(struct session *session, unsigned stream)
{
	if (!sends(session, stream))
		return;
	stream_out_end(&session->out[stream]);
	push(session);
}

void session_consumed(struct session *session, unsigned stream, size_t n)
{
	if (!receives(session, stream))
		return;
	stream_in_consumed(&session->in[stream], n);
	if (session->link_up && stream_in_window_due(&session->in[stream]))
		send_window(session, stream);
}

/* --- requests, replies, events ---------------------------------------------------------------- */

/* Encodes into payload in place of what it held: 0 or an error, and then it is empty. */
static int encode(struct buf *payload, enum msg_type type, const void *body, struct error *err)
{
	buf_fini(payload);
	return wire_encode(type, body, payload, err);
}

int session_request(struct session *session, enum msg_type type, const void *body,
		    struct error *err)
{
	int r;

	if (session->agent_side)
		return error_say(err, EINVAL, "the agent sends no requests");
	if (session->request_open)
		return error_say(err, EBUSY, "request %u is not answered", session->request_id);
	if (session->request_id == UINT32_MAX)
		return error_say(err, EOVERFLOW, "the session has no more request numbers");
	r = encode(&session->request_payload, type, body, err);
	if (r < 0)
		return r;
	session->request_id++;
	session->request_open = true;
	if (session->link_up)
		send_buf(session, FRAME_REQUEST, 0, session->request_id, &session->request_payload);
	return 0;
}

static int on_request(struct session *s, const struct frame *frame, struct error *err)
{
	if (!s->agent_side)
		return error_say(err, EBADMSG, "REQUEST from the agent");
	if (frame->id != 0 && frame->id == s->reply_id) {
		send_buf(s, FRAME_REPLY, 0, s->reply_id, &s->reply_payload);
		return 0;
	}
	if (s->request_open && frame->id == s->request_id)
		return 0; /* repeated on a new link while it is carried out */
	if (s->request_open || frame->id == 0 || frame->id != s->request_id + 1)
		return error_say(err, EBADMSG, "REQUEST %u after %s %u", frame->id,
				 s->request_open ? "open" : "answered", s->request_id);
	/* The client has the last reply, or it would not ask anew. */
	s->reply_id = 0;
	buf_fini(&s->reply_payload);
	s->request_id = frame->id;
	s->request_open = true;
	s->ops->request(s, frame->id, frame);
	return 0;
}

int session_reply(struct session *session, uint32_t id, enum msg_type type, const void *body,
		  struct error *err)
{
	int r;

	if (!session->agent_side || !session->request_open || id != session->request_id)
		return error_say(err, EINVAL, "request %u is not open", id);
	r = encode(&session->reply_payload, type, body, err);
	if (r < 0)
		return r;
	session->request_open = false;
	session->reply_id = id;
	if (session->link_up)
		send_buf(session, FRAME_REPLY, 0, id, &session->reply_payload);
	return 0;
}

void session_reply_error(struct session *session, uint32_t id, const struct error *error)
{
	char text[ERROR_TEXT_MAX];
	struct msg_failed failed = { .errnum = EIO, .text = text };
	struct error err;

	if (error->num > 0 && error->num <= 4095)
		failed.errnum = (uint32_t)error->num;
	if (str_is_utf8(error->text, strlen(error->text)))
		memcpy(text, error->text, sizeof(text));
	else
		str_escape(text, sizeof(text), error->text, strlen(error->text));
	if (session_reply(session, id, MSG_FAILED, &failed, &err) < 0)
		log_error("a request was not answered", KV("request", id), KV_ERR(&err));
}

static int on_reply(struct session *s, const struct frame *frame, struct error *err)
{
	if (s->agent_side)
		return error_say(err, EBADMSG, "REPLY from a client");
	if (s->request_open && frame->id == s->request_id) {
		s->request_open = false;
		buf_fini(&s->request_payload);
		s->ops->reply(s, frame);
		return 0;
	}
	/* Sent when it was ready and again when the request was repeated. */
	if (frame->id != 0 && frame->id == s->resent_id) {
		s->resent_id = 0;
		return 0;
	}
	return error_say(err, EBADMSG, "REPLY to request %u, which is not open", frame->id);
}

int session_event(struct session *session, enum msg_type type, const void *body, struct error *err)
{
	int r;

	if (!session->agent_side)
		return error_say(err, EINVAL, "a client sends no events");
	if (session->event_open)
		return error_say(err, EBUSY, "event %u is not acknowledged", session->event_id);
	if (session->event_id == UINT32_MAX)
		return error_say(err, EOVERFLOW, "the session has no more event numbers");
	r = encode(&session->event_payload, type, body, err);
	if (r < 0)
		return r;
	session->event_id++;
	session->event_open = true;
	if (session->link_up)
		send_buf(session, FRAME_EVENT, 0, session->event_id, &session->event_payload);
	return 0;
}

static int on_event_ack(struct session *s, const struct frame *frame, struct error *err)
{
	if (!s->agent_side)
		return error_say(err, EBADMSG, "an EVENT was acknowledged by the agent");
	if (!s->event_open || frame->id != s->event_id)
		return error_say(err, EBADMSG, "EVENT %u was acknowledged, which is not open",
				 frame->id);
	s->event_open = false;
	buf_fini(&s->event_payload);
	return 0;
}

static int on_event(struct session *s, const struct frame *frame, struct error *err)
{
	CLEANUP(buf_fini) struct buf nil = { 0 };

	if (s->agent_side)
		return error_say(err, EBADMSG, "EVENT from a client");
	if (frame->id == 0 || (frame->id != s->event_id && frame->id != s->event_id + 1))
		return error_say(err, EBADMSG, "EVENT %u after %u", frame->id, s->event_id);
	if (frame->id != s->event_id) {
		s->event_id = frame->id;
		s->ops->event(s, frame);
	}
	/* Without memory it stays open, and comes again on the next link. */
	if (s->link_up && frame_put_nil(&nil) == 0)
		send_buf(s, FRAME_EVENT, FRAME_ACK, frame->id, &nil);
	return 0;
}

/* --- the frames ------------------------------------------------------------------------------- */

int session_frame(struct session *session, const struct frame *frame, struct error *err)
{
	bool ack = (frame->flags & FRAME_ACK) != 0;
	int r;

	if (!session->link_up)
		return error_say(err, EBADMSG, "%s before the session is open",
				 frame_type_name(frame->type));
	if (ack && frame->type == FRAME_EVENT)
		r = on_event_ack(session, frame, err);
	else if (ack)
		r = error_say(err, EBADMSG, "%s with flag ACK", frame_type_name(frame->type));
	else if (frame->type == FRAME_DATA)
		r = on_data(session, frame, err);
	else if (frame->type == FRAME_WINDOW)
		r = on_window(session, frame, err);
	else if (frame->type == FRAME_END)
		r = on_end(session, frame, err);
	else if (frame->type == FRAME_REQUEST)
		r = on_request(session, frame, err);
	else if (frame->type == FRAME_REPLY)
		r = on_reply(session, frame, err);
	else if (frame->type == FRAME_EVENT)
		r = on_event(session, frame, err);
	else
		r = error_say(err, EBADMSG, "%s does not belong to a session",
			      frame_type_name(frame->type));
	if (r == 0)
		tell_room(session);
	return r;
}

bool session_settled(const struct session *session)
{
	for (unsigned i = 0; i < STREAM_COUNT; i++)
		if (stream_out_kept(&session->out[i]) > 0)
			return false;
	return !session->event_open;
}
