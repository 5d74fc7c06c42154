/*
 * Connecting, and connecting again: see link.h. Part of struct shim, in its loop. What comes from
 * the proxy is not trusted: it passes the frame and wire checks here, and the session's in shim.c.
 */
#include "kata-shim/link.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "common/cleanup.h"
#include "common/connect.h"
#include "common/log.h"
#include "common/wire.h"
#include "kata-shim/greet.h"

enum {
	CONNECT_MS = 5000, /* until the proxy's socket takes a connection */
	AGAIN_MS = 15000,  /* until a lost link is up again; the agent keeps a session for 10 s */
};

static const struct channel_ops channel_ops;

/* The handles go; no callback of the owner's comes from here. */
static void stop(struct link *link)
{
	if (link->state == LINK_OVER)
		return;
	link->state = LINK_OVER;
	if (link->channel_open)
		channel_close(&link->channel);
	uv_close((uv_handle_t *)&link->timer, NULL);
}

void link_close(struct link *link)
{
	stop(link);
}

static void give_up(struct link *link, int closed, const struct error *err)
{
	if (link->state == LINK_OVER)
		return;
	stop(link);
	link->ops->over(link, closed, err);
}

/* --- up --------------------------------------------------------------------------------------- */

/* Connects to the proxy and says HELLO; the answer goes to on_hello(). */
static int connect_proxy(struct link *link, struct error *err)
{
	CLEANUP(buf_fini) struct buf payload = { 0 };
	struct frame frame = { .type = FRAME_HELLO };
	int fd, r;

	r = greet_hello(link->nonce, &payload, err);
	if (r < 0)
		return r;
	fd = connect_unix(link->socket, "the proxy", CONNECT_MS, err);
	if (fd < 0)
		return fd;
	r = channel_open(&link->channel, link->loop, fd, &channel_ops, link, err);
	if (r < 0)
		return r;
	link->channel_open = true;
	link->state = LINK_GREETING;
	channel_send(&link->channel, &frame, NULL, 0, buf_at(&payload), buf_len(&payload));
	return 0;
}

/* The agent is there: opens the session. */
static int on_hello(struct link *link, const struct frame *frame, struct error *err)
{
	struct msg_open open = { .session = { .data = link->id, .len = sizeof(link->id) } };
	int r = greet_check(frame, link->nonce, err);

	if (r < 0)
		return r;
	if (link->state != LINK_GREETING)
		return error_say(err, EBADMSG, "a second HELLO came");
	link->state = LINK_OPENING;
	link->ops->describe(link, &open);
	r = channel_send_message(&link->channel, FRAME_OPEN, 0, LINK_CHANNEL_SESSION, 0, MSG_OPEN,
				 &open);
	/* A proxy that has gone meanwhile is seen by reading. */
	return r < 0 && r != -EPIPE ? error_set(err, -r, "send OPEN") : 0;
}

static int on_opened(struct link *link, const struct frame *frame, struct error *err)
{
	void *body;
	int r;

	if (link->state != LINK_OPENING || !(frame->flags & FRAME_ACK))
		return error_say(err, EBADMSG, "an OPEN came that answers none of ours");
	r = wire_decode_as(MSG_OPENED, frame->payload, frame->length, &body, err);
	if (r < 0)
		return error_prefix(err, "open the session");
	uv_timer_stop(&link->timer);
	link->state = LINK_UP;
	r = link->ops->opened(link, body, err);
	wire_free(MSG_OPENED, body);
	return r;
}

static void on_close(struct link *link, const struct frame *frame)
{
	struct msg_close *body;
	struct error err;
	void *decoded;
	int reason = -1;

	if (wire_decode_as(MSG_CLOSE, frame->payload, frame->length, &decoded, &err) == 0) {
		body = decoded;
		reason = (int)body->reason;
		error_say(&err, ECONNABORTED, "%s",
			  body->text != NULL && body->text[0] != '\0'
				  ? body->text
				  : "the proxy closed the session");
		wire_free(MSG_CLOSE, decoded);
	}
	give_up(link, reason, &err);
}

static int on_session_frame(struct link *link, const struct frame *frame, struct error *err)
{
	if (frame->type == FRAME_OPEN)
		return on_opened(link, frame, err);
	if (link->state != LINK_UP)
		return error_say(err, EBADMSG, "%s came before the session was open",
				 frame_type_name(frame->type));
	return link->ops->frame(link, frame, err);
}

static void on_frame(struct channel *channel, const struct frame *frame)
{
	struct link *link = channel->owner;
	struct frame pong = { .type = FRAME_PONG, .id = frame->id };
	static const uint8_t nil = 0xc0;
	struct error err;
	int r = 0;

	if (link->state == LINK_OVER || link->state == LINK_DOWN)
		return;
	if (frame->type == FRAME_CLOSE)
		on_close(link, frame);
	else if (frame->channel == LINK_CHANNEL_SESSION)
		r = on_session_frame(link, frame, &err);
	else if (frame->type == FRAME_HELLO)
		r = on_hello(link, frame, &err);
	else if (frame->type == FRAME_PING)
		channel_send(channel, &pong, NULL, 0, &nil, 1);
	else
		r = error_say(&err, EBADMSG, "%s on channel %u", frame_type_name(frame->type),
			      frame->channel);
	if (r < 0)
		give_up(link, -1, &err);
}

/* --- down, and up again ----------------------------------------------------------------------- */

static void on_timeout(uv_timer_t *timer)
{
	struct error err;

	error_say(&err, ETIMEDOUT, "the guest's agent did not answer the shim in time");
	give_up(timer->data, -1, &err);
}

/* The proxy's worker is gone; what broke the rules is no case for another connection. */
static void on_ended(struct channel *channel, const struct error *err)
{
	struct link *link = channel->owner;
	bool was_up = link->state == LINK_UP;

	if (err != NULL && err->num != ECONNRESET && err->num != EPIPE) {
		give_up(link, -1, err);
		return;
	}
	if (link->state == LINK_OVER)
		return;
	link->state = LINK_DOWN; /* on_channel_closed() follows */
	if (!was_up)
		return; /* a deadline is set */
	log_debug("the proxy's connection is lost");
	uv_timer_start(&link->timer, on_timeout, AGAIN_MS, 0);
	link->ops->down(link);
}

static void on_channel_closed(struct channel *channel)
{
	struct link *link = channel->owner;
	struct error err;

	link->channel_open = false;
	if (link->state == LINK_DOWN && connect_proxy(link, &err) < 0)
		give_up(link, -1, &err);
	else if (link->state == LINK_UP) /* and closed by link_finish() */
		link->ops->finished(link);
}

static const struct channel_ops channel_ops = {
	.frame = on_frame,
	.ended = on_ended,
	.closed = on_channel_closed,
};

/* --- start and end ---------------------------------------------------------------------------- */

int link_start(struct link *link, uv_loop_t *loop, const char *socket, const struct link_ops *ops,
	       void *owner, struct error *err)
{
	*link = (struct link){ .ops = ops, .owner = owner, .loop = loop, .socket = socket };
	if (getrandom(link->id, sizeof(link->id), 0) != (ssize_t)sizeof(link->id))
		return error_set(err, errno, "name the session");
	uv_timer_init(loop, &link->timer); /* never fails */
	link->timer.data = link;
	return connect_proxy(link, err);
}

void link_send(struct link *link, enum frame_type type, uint8_t flags, uint32_t id,
	       const void *head, size_t head_len, const void *body, size_t body_len)
{
	const struct frame frame = {
		.channel = LINK_CHANNEL_SESSION, .type = (uint8_t)type, .flags = flags, .id = id
	};

	if (link->state == LINK_UP)
		channel_send(&link->channel, &frame, head, head_len, body, body_len);
}

void link_finish(struct link *link)
{
	struct msg_close body = { .reason = CLOSE_DONE };

	if (link->state != LINK_UP)
		return;
	channel_send_message(&link->channel, FRAME_CLOSE, 0, LINK_CHANNEL_SESSION, 0, MSG_CLOSE,
			     &body);
	channel_finish(&link->channel);
}
