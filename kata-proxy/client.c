/*
 * One client of the worker: see client.h. proxy.c makes and lists clients; callbacks run in the
 * worker's loop. The client has two handles, its channel and a timer, and frees itself when both
 * are closed.
 */
#include "kata-proxy/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/wire.h"

enum { PING_MAX = 16 }; /* bytes of payload */

/* What may be sent on a session's channel. */
struct rule {
	uint8_t type, flags;
};

static const struct rule from_client[] = {
	{ FRAME_OPEN, 0 }, { FRAME_CLOSE, 0 },  { FRAME_REQUEST, 0 }, { FRAME_EVENT, FRAME_ACK },
	{ FRAME_DATA, 0 }, { FRAME_WINDOW, 0 }, { FRAME_END, 0 },
};

static const struct rule from_agent[] = {
	{ FRAME_OPEN, FRAME_ACK }, { FRAME_CLOSE, 0 },  { FRAME_REPLY, 0 }, { FRAME_EVENT, 0 },
	{ FRAME_DATA, 0 },         { FRAME_WINDOW, 0 }, { FRAME_END, 0 },
};

static bool ruled(const struct rule *rules, size_t count, const struct frame *frame)
{
	for (size_t i = 0; i < count; i++)
		if (rules[i].type == frame->type && rules[i].flags == frame->flags)
			return true;
	return false;
}

static void handle_closed(struct client *client)
{
	if (--client->open_handles > 0)
		return;
	client->ops->closed(client);
	free(client);
}

static void on_timer_closed(uv_handle_t *handle)
{
	handle_closed(handle->data);
}

/* The owner learns, once, that this client is over for it. */
static void tell_gone(struct client *client, enum client_state next)
{
	enum client_state before = client->state;

	client->state = next;
	if (before < CLIENT_LEAVING)
		client->ops->gone(client, before == CLIENT_OPENED);
}

void client_close(struct client *client)
{
	if (client->state == CLIENT_GONE)
		return;
	tell_gone(client, CLIENT_GONE);
	channel_close(&client->channel);
	uv_close((uv_handle_t *)&client->timer, on_timer_closed);
}

/* By client_close(), or because all was written to a leaving client. */
static void on_closed(struct channel *channel)
{
	struct client *client = channel->owner;

	client_close(client);
	handle_closed(client);
}

static void on_timer(uv_timer_t *timer)
{
	struct client *client = timer->data;

	if (client->state == CLIENT_NEW)
		client_dismiss(client, CLOSE_LIMIT, "no HELLO came in time");
	else
		client_close(client);
}

/* What is queued is still written; the client has some time to take it. */
static void leave(struct client *client)
{
	tell_gone(client, CLIENT_LEAVING);
	uv_timer_start(&client->timer, on_timer, CLIENT_LEAVE_MS, 0);
	channel_finish(&client->channel);
}

/* Sends a frame; a client whose queue is over its limit, because it does not read, is cut off. */
static void send_frame(struct client *client, const struct frame *frame, const void *payload,
		       size_t len)
{
	if (client->channel.queued + FRAME_HEADER + len > CLIENT_QUEUE_MAX) {
		log_warning("a client does not read: it is cut off", KV("channel", client->number),
			    KV("queued", client->channel.queued));
		client_close(client);
		return;
	}
	channel_send(&client->channel, frame, NULL, 0, payload, len);
}

void client_dismiss(struct client *client, enum close_reason reason, const char *text)
{
	const struct msg_close close = { .reason = reason, .text = (char *)text };
	const struct frame frame = { .type = FRAME_CLOSE };
	CLEANUP(buf_fini) struct buf payload = { 0 };

	if (client->state >= CLIENT_LEAVING)
		return;
	log_debug("a client is dismissed", KV("channel", client->number), KV_S("reason", text));
	if (wire_encode(MSG_CLOSE, &close, &payload, NULL) == 0)
		send_frame(client, &frame, buf_at(&payload), buf_len(&payload));
	if (client->state < CLIENT_LEAVING)
		leave(client);
}

static int take_hello(struct client *client, const struct frame *frame, struct error *err)
{
	struct msg_hello *hello;
	int r;

	r = frame_get_hello(frame, client->nonce, &hello, err);
	if (r < 0)
		return r;
	wire_free(MSG_HELLO, hello);
	uv_timer_stop(&client->timer);
	client->state = CLIENT_GREETED;
	client->ops->greeted(client);
	return 0;
}

static int take_own(struct client *client, const struct frame *frame, struct error *err)
{
	const struct frame pong = { .type = FRAME_PONG, .id = frame->id };

	if (frame->type == FRAME_HELLO && frame->flags == 0 && client->state == CLIENT_NEW)
		return take_hello(client, frame, err);
	if (client->state == CLIENT_NEW)
		return error_say(err, EBADMSG, "%s came before HELLO",
				 frame_type_name(frame->type));
	if (frame->type == FRAME_CLOSE) {
		client_close(client);
		return 0;
	}
	if (frame->type == FRAME_PING && frame->length <= PING_MAX) {
		send_frame(client, &pong, frame->payload, frame->length);
		return 0;
	}
	if (frame->type == FRAME_PONG)
		return 0;
	return error_say(err, EBADMSG, "%s is not for channel 0", frame_type_name(frame->type));
}

static int take_session(struct client *client, const struct frame *frame, struct error *err)
{
	bool opens = frame->type == FRAME_OPEN;

	if (!ruled(from_client, ARRAY_SIZE(from_client), frame))
		return error_say(err, EBADMSG, "a client must not send %s",
				 frame_type_name(frame->type));
	if (client->state != (opens ? CLIENT_READY : CLIENT_OPENED))
		return error_say(err, EBADMSG, "%s came at the wrong time",
				 frame_type_name(frame->type));
	if (opens)
		client->state = CLIENT_OPENED;
	if (frame->type == FRAME_CLOSE) {
		client->state = CLIENT_DONE;
		uv_timer_start(&client->timer, on_timer, CLIENT_LEAVE_MS, 0);
	}
	client->ops->frame(client, frame);
	return 0;
}

static void on_frame(struct channel *channel, const struct frame *frame)
{
	struct client *client = channel->owner;
	struct error err = { 0 };
	int r;

	if (frame->channel == 0)
		r = take_own(client, frame, &err);
	else if (frame->channel == 1)
		r = take_session(client, frame, &err);
	else
		r = error_say(&err, EBADMSG, "channel %u is used", frame->channel);
	if (r < 0) {
		log_warning("a client broke the protocol", KV("channel", client->number),
			    KV("uid", client->uid), KV_ERR(&err));
		client_dismiss(client, CLOSE_PROTOCOL, err.text);
	}
}

static void on_ended(struct channel *channel, const struct error *err)
{
	struct client *client = channel->owner;

	if (err != NULL && client->state < CLIENT_LEAVING)
		log_warning("a client's connection broke", KV("channel", client->number),
			    KV_ERR(err));
	client_close(client);
}

static void on_waiting(struct channel *channel)
{
	struct client *client = channel->owner;

	client->ops->waiting(client);
}

static const struct channel_ops channel_ops = {
	.frame = on_frame,
	.ended = on_ended,
	.waiting = on_waiting,
	.closed = on_closed,
};

int client_new(struct client **ret_client, uv_loop_t *loop, int fd, uint32_t number, uid_t uid,
	       const struct client_ops *ops, void *owner, struct error *err)
{
	CLEANUP(freep) struct client *client = calloc(1, sizeof(*client));
	int r;

	if (client == NULL) {
		close(fd);
		return error_set(err, ENOMEM, "accept a client");
	}
	client->ops = ops;
	client->owner = owner;
	client->number = number;
	client->uid = uid;
	r = channel_open(&client->channel, loop, fd, &channel_ops, client, err);
	if (r < 0)
		return r;
	uv_timer_init(loop, &client->timer);
	client->timer.data = client;
	uv_timer_start(&client->timer, on_timer, CLIENT_HELLO_MS, 0);
	client->open_handles = 2;
	*ret_client = steal_ptr(&client);
	return 0;
}

void client_welcome(struct client *client, const struct msg_hello *agent)
{
	const struct frame frame = { .type = FRAME_HELLO, .flags = FRAME_ACK };
	CLEANUP(buf_fini) struct buf payload = { 0 };
	struct error err;

	if (client->state != CLIENT_GREETED)
		return;
	if (frame_put_hello(&payload, client->nonce, agent, &err) < 0) {
		client_dismiss(client, CLOSE_PROTOCOL, err.text);
		return;
	}
	client->state = CLIENT_READY;
	send_frame(client, &frame, buf_at(&payload), buf_len(&payload));
}

int client_deliver(struct client *client, const struct frame *frame, struct error *err)
{
	struct frame own = *frame;

	if (!ruled(from_agent, ARRAY_SIZE(from_agent), frame))
		return error_say(err, EBADMSG, "an agent must not send %s on a client's channel",
				 frame_type_name(frame->type));
	if (client->state != CLIENT_OPENED && client->state != CLIENT_DONE)
		return error_say(err, EBADMSG, "the agent sent %s to a client without a session",
				 frame_type_name(frame->type));
	own.channel = 1;
	send_frame(client, &own, frame->payload, frame->length);
	if (frame->type == FRAME_CLOSE && client->state < CLIENT_LEAVING) {
		client->state = CLIENT_DONE; /* the agent knows: nothing is lost */
		leave(client);
	}
	return 0;
}

size_t client_memory(const struct client *client)
{
	return sizeof(*client) + client->channel.held + client->channel.input.size;
}
