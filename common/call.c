/*
 * The protocol without an event loop: see call.h. Used by the runtime's decoder process, which has
 * no rights, since what it reads comes from the guest. The socket is the caller's.
 */
#include "common/call.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "config.h"
#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"
#include "common/wire.h"

enum { CHANNEL_HOP = 0, CHANNEL_SESSION = 1 };
enum { READ_SIZE = 16384, SESSION_BYTES = 16 };

void call_init(struct call *call, int fd)
{
	*call = (struct call){ .fd = fd, .next_id = 1 };
}

void call_fini(struct call *call)
{
	buf_fini(&call->input);
}

/* --- bytes ------------------------------------------------------------------------------------ */

/*
 * Waits until fd is ready for events, or broken, which the next call tells. A peer that never
 * stops to send does not outlast the deadline either.
 */
static int wait_ready(const struct call *call, short events, int64_t deadline, struct error *err)
{
	struct pollfd p = { .fd = call->fd, .events = events };
	int left, n;

	while ((left = deadline_left_ms(deadline)) > 0) {
		n = poll(&p, 1, left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return error_set(err, errno, "sandbox connection: poll");
	}
	return error_set(err, ETIMEDOUT, "sandbox connection");
}

/* The peer may say why it goes before it goes: what cannot be sent is not yet the end. */
static int send_all(const struct call *call, const uint8_t *data, size_t n, int64_t deadline,
		    struct error *err)
{
	ssize_t sent;
	int r;

	while (n > 0) {
		sent = send(call->fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent >= 0) {
			data += sent;
			n -= (size_t)sent;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			return 0; /* reading tells */
		} else if (errno == EAGAIN) {
			r = wait_ready(call, POLLOUT, deadline, err);
			if (r < 0)
				return r;
		} else if (errno != EINTR) {
			return error_set(err, errno, "sandbox connection: send");
		}
	}
	return 0;
}

static int read_more(struct call *call, int64_t deadline, struct error *err)
{
	uint8_t *to = buf_reserve(&call->input, READ_SIZE);
	ssize_t n;
	int r;

	if (to == NULL)
		return error_set(err, ENOMEM, "sandbox connection");
	for (;;) {
		r = wait_ready(call, POLLIN, deadline, err);
		if (r < 0)
			return r;
		n = recv(call->fd, to, READ_SIZE, MSG_DONTWAIT);
		if (n > 0) {
			buf_commit(&call->input, (size_t)n);
			return 0;
		}
		call->lost = n == 0 || errno == ECONNRESET;
		if (n == 0)
			return error_say(err, ECONNRESET, "sandbox connection: ended by the proxy");
		if (errno != EAGAIN && errno != EINTR)
			return error_set(err, errno, "sandbox connection: read");
	}
}

/* --- frames ----------------------------------------------------------------------------------- */

static int send_frame(const struct call *call, enum frame_type type, uint32_t channel, uint32_t id,
		      const void *payload, size_t len, int64_t deadline, struct error *err)
{
	struct frame frame = {
		.length = (uint32_t)len, .channel = channel, .type = (uint8_t)type, .id = id
	};
	CLEANUP(buf_fini) struct buf out = { 0 };
	uint8_t header[FRAME_HEADER];

	if (len == 0 || len > FRAME_CONTROL_MAX)
		return error_say(err, EMSGSIZE, "%s of %zu bytes, the limit is %d",
				 frame_type_name((uint8_t)type), len, FRAME_CONTROL_MAX);
	frame_put_header(header, &frame);
	if (buf_append(&out, header, sizeof(header)) < 0 || buf_append(&out, payload, len) < 0)
		return error_set(err, ENOMEM, "sandbox connection");
	return send_all(call, buf_at(&out), buf_len(&out), deadline, err);
}

/*
 * Words of QEMU or the guest, made fit for an error about the VM: see error_reason() for what
 * container managers make of these sentences.
 */
static void disarm(char *text)
{
	static const char *const sentences[] = {
		"no such file or directory", "permission denied", "operation not permitted",
		"not a directory",           "no such process",   "does not exist",
	};

	for (size_t i = 0; i < ARRAY_SIZE(sentences); i++) {
		char *p = text;

		while ((p = strcasestr(p, sentences[i])) != NULL)
			for (size_t left = strlen(sentences[i]); left > 0; left--, p++)
				if (*p == ' ')
					*p = '-';
	}
}

/* A CLOSE as the error it stands for. */
static int closed(const struct frame *frame, struct error *err)
{
	struct msg_close *body;
	char text[ERROR_TEXT_MAX / 2];
	void *decoded;
	int r = wire_decode_as(MSG_CLOSE, frame->payload, frame->length, &decoded, err);

	if (r < 0)
		return error_prefix(err, "sandbox connection: CLOSE");
	body = decoded;
	str_escape(text, sizeof(text), body->text, strlen(body->text));
	disarm(text);
	r = error_say(err, ECONNABORTED, "the sandbox closed the connection: %s",
		      text[0] != '\0' ? text : "no reason given");
	wire_free(MSG_CLOSE, decoded);
	return r;
}

static void done_with(struct call *call, const struct frame *frame)
{
	buf_consume(&call->input, FRAME_HEADER + frame->length);
	if (buf_len(&call->input) == 0)
		buf_fini(&call->input);
}

/* The second reply to a request that was repeated: one was sent when it was ready, one for that. */
static bool is_second_reply(struct call *call, const struct frame *frame)
{
	if (frame->type != FRAME_REPLY || frame->channel != CHANNEL_SESSION || frame->flags != 0 ||
	    frame->id != call->resent_id || frame->id == 0)
		return false;
	call->resent_id = 0;
	return true;
}

/*
 * Waits for one frame: of that type, flags, channel and id. It is at the front of call->input,
 * to be taken by done_with().
 */
static int expect(struct call *call, const struct frame *wanted, struct frame *ret_frame,
		  int64_t deadline, struct error *err)
{
	struct frame f;
	int r;

	for (;;) {
		r = frame_next(&call->input, &f, err);
		if (r == 0)
			r = read_more(call, deadline, err);
		else if (r < 0)
			return error_prefix(err, "sandbox connection");
		else if (f.type == wanted->type && f.flags == wanted->flags &&
			 f.channel == wanted->channel && f.id == wanted->id) {
			*ret_frame = f;
			return 0;
		} else if (f.type == FRAME_CLOSE && f.channel <= CHANNEL_SESSION) {
			return closed(&f, err);
		} else if (f.type == FRAME_PING && f.channel == CHANNEL_HOP) {
			r = send_frame(call, FRAME_PONG, CHANNEL_HOP, f.id, f.payload, f.length,
				       deadline, err);
			done_with(call, &f);
		} else if (is_second_reply(call, &f)) {
			done_with(call, &f);
		} else {
			return error_say(err, EBADMSG,
					 "sandbox connection: %s %u came on channel %u instead "
					 "of %s %u",
					 frame_type_name(f.type), f.id, f.channel,
					 frame_type_name(wanted->type), wanted->id);
		}
		if (r < 0)
			return r;
	}
}

/* --- the steps -------------------------------------------------------------------------------- */

static int hello(struct call *call, int64_t deadline, struct msg_hello **ret_hello,
		 struct error *err)
{
	const struct msg_hello hello = { .version = PROTOCOL_VERSION,
					 .component = (char *)call->component,
					 .release = (char *)PACKAGE_VERSION };
	const struct frame wanted = { .type = FRAME_HELLO, .flags = FRAME_ACK };
	uint8_t nonce[FRAME_NONCE], echo[FRAME_NONCE];
	CLEANUP(buf_fini) struct buf payload = { 0 };
	struct msg_hello *answer;
	struct frame frame;
	int r;

	frame_new_nonce(nonce);
	r = frame_put_hello(&payload, nonce, &hello, err);
	if (r == 0)
		r = send_frame(call, FRAME_HELLO, CHANNEL_HOP, 0, buf_at(&payload),
			       buf_len(&payload), deadline, err);
	if (r == 0)
		r = expect(call, &wanted, &frame, deadline, err);
	if (r < 0)
		return r;
	r = frame_get_hello(&frame, echo, &answer, err);
	if (r < 0)
		return error_prefix(err, "sandbox connection");
	done_with(call, &frame);
	if (memcmp(nonce, echo, sizeof(nonce)) != 0)
		r = error_say(err, EBADMSG, "sandbox connection: HELLO answers another one");
	if (r == 0 && ret_hello != NULL)
		*ret_hello = answer;
	else
		wire_free(MSG_HELLO, answer);
	return r;
}

static int open_session(struct call *call, int64_t deadline, struct error *err)
{
	const struct frame wanted = { .type = FRAME_OPEN,
				      .flags = FRAME_ACK,
				      .channel = CHANNEL_SESSION };
	const struct msg_open open = { .session = { call->session, sizeof(call->session) },
				       .role = ROLE_RUNTIME };
	CLEANUP(buf_fini) struct buf payload = { 0 };
	struct frame frame;
	void *opened;
	int r;

	r = wire_encode(MSG_OPEN, &open, &payload, err);
	if (r == 0)
		r = send_frame(call, FRAME_OPEN, CHANNEL_SESSION, 0, buf_at(&payload),
			       buf_len(&payload), deadline, err);
	if (r == 0)
		r = expect(call, &wanted, &frame, deadline, err);
	if (r < 0)
		return r;
	r = wire_decode_as(MSG_OPENED, frame.payload, frame.length, &opened, err);
	done_with(call, &frame);
	if (r < 0)
		return error_prefix(err, "sandbox connection");
	wire_free(MSG_OPENED, opened);
	return 0;
}

/*
 * After a step that failed with r: 0 when there is a new connection, at the point where the old one
 * stood, and the step may be repeated; else r, or what the next failure was.
 */
static int again(struct call *call, int r, int64_t deadline, struct error *err)
{
	int fd;

	while (call->lost && call->connect != NULL && deadline_left_ms(deadline) > 0) {
		fd = call->connect(call, deadline, err);
		if (fd < 0)
			return fd;
		call->fd = fd;
		call->lost = false;
		call->resent_id = 0;
		buf_fini(&call->input);
		r = call->opened ? hello(call, deadline, NULL, err) : 0;
		if (r == 0 && call->opened)
			r = open_session(call, deadline, err);
	}
	return r;
}

int call_hello(struct call *call, const char *component, int64_t deadline,
	       struct msg_hello **ret_hello, struct error *err)
{
	int r;

	call->component = component;
	do {
		r = hello(call, deadline, ret_hello, err);
	} while (r < 0 && call->lost && (r = again(call, r, deadline, err)) == 0);
	return r;
}

int call_open(struct call *call, int64_t deadline, struct error *err)
{
	int r;

	if (getrandom(call->session, sizeof(call->session), 0) != sizeof(call->session))
		return error_set(err, errno, "sandbox connection: random bytes");
	r = open_session(call, deadline, err);
	call->opened = true; /* or will be, by the next connection */
	return r < 0 ? again(call, r, deadline, err) : r;
}

static int request(struct call *call, const void *payload, size_t len, enum msg_type expected,
		   int64_t deadline, void **ret_body, struct error *err)
{
	const struct frame wanted = { .type = FRAME_REPLY,
				      .channel = CHANNEL_SESSION,
				      .id = call->next_id };
	struct frame frame;
	int r;

	r = send_frame(call, FRAME_REQUEST, CHANNEL_SESSION, wanted.id, payload, len, deadline,
		       err);
	if (r == 0)
		r = expect(call, &wanted, &frame, deadline, err);
	if (r < 0)
		return r;
	r = wire_decode_as(expected, frame.payload, frame.length, ret_body, err);
	done_with(call, &frame);
	return r;
}

int call_request(struct call *call, const void *payload, size_t len, enum msg_type expected,
		 int64_t deadline, void **ret_body, struct error *err)
{
	int r;

	if (len == 0 || len > FRAME_CONTROL_MAX)
		return error_say(err, EMSGSIZE, "REQUEST of %zu bytes, the limit is %d", len,
				 FRAME_CONTROL_MAX);
	r = request(call, payload, len, expected, deadline, ret_body, err);
	while (r < 0 && call->lost && (r = again(call, r, deadline, err)) == 0) {
		r = request(call, payload, len, expected, deadline, ret_body, err);
		call->resent_id = call->next_id;
	}
	call->next_id++;
	return r;
}
