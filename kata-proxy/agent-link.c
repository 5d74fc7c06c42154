/*
 * The link to the agent: see agent-link.h. proxy.c owns it; its callbacks run in the worker's loop.
 * Everything read here comes from the guest and is hostile until it has been checked.
 */
#include "kata-proxy/agent-link.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/wire.h"

enum { PING_MAX = 16 }; /* bytes of payload */

static int take_hello(struct agent_link *link, const struct frame *frame, struct error *err)
{
	uint8_t nonce[FRAME_NONCE];
	int r;

	if (frame->type != FRAME_HELLO || frame->flags != FRAME_ACK || frame->channel != 0)
		return error_say(err, EBADMSG, "the agent's first frame is %s, not its HELLO",
				 frame_type_name(frame->type));
	r = frame_get_hello(frame, nonce, &link->hello, err);
	if (r < 0)
		return error_prefix(err, "the agent's HELLO");
	if (memcmp(nonce, link->nonce, FRAME_NONCE) != 0)
		return error_say(err, EBADMSG, "the agent answered another HELLO");
	return 0;
}

static int take_log(struct agent_link *link, const struct frame *frame, struct error *err)
{
	void *log;
	int r;

	r = wire_decode_as(MSG_LOG, frame->payload, frame->length, &log, err);
	if (r < 0)
		return r;
	link->ops->log(link, log);
	wire_free(MSG_LOG, log);
	return 0;
}

/* An agent that asks and does not read its answers gets no more of them. */
static int take_ping(struct agent_link *link, const struct frame *frame, struct error *err)
{
	const struct frame pong = { .type = FRAME_PONG, .id = frame->id };

	if (frame->length > PING_MAX)
		return error_say(err, EBADMSG, "the agent's PING has %u bytes", frame->length);
	if (!agent_link_congested(link))
		channel_send(&link->channel, &pong, NULL, 0, frame->payload, frame->length);
	return 0;
}

/* A frame of the hop itself. */
static int take_own(struct agent_link *link, const struct frame *frame, struct error *err)
{
	switch (frame->type) {
	case FRAME_EVENT:
		if (frame->flags == 0)
			return take_log(link, frame, err);
		break;
	case FRAME_CLOSE:
		link->ops->goodbye(link);
		return 0;
	case FRAME_PING:
		return take_ping(link, frame, err);
	case FRAME_PONG:
		return 0;
	}
	return error_say(err, EBADMSG, "the agent sent %s on channel 0",
			 frame_type_name(frame->type));
}

static void on_frame(struct channel *channel, const struct frame *frame)
{
	struct agent_link *link = channel->owner;
	struct error err = { 0 };
	int r = 0;

	if (link->hello == NULL) {
		r = take_hello(link, frame, &err);
		if (r == 0)
			link->ops->ready(link);
	} else if (frame->channel == 0) {
		r = take_own(link, frame, &err);
	} else {
		link->ops->frame(link, frame);
	}
	if (r < 0 && !channel->closing) {
		link->ops->ended(link, &err);
		channel_close(channel);
	}
}

static void on_ended(struct channel *channel, const struct error *err)
{
	struct agent_link *link = channel->owner;

	link->ops->ended(link, err);
}

static void on_drained(struct channel *channel)
{
	struct agent_link *link = channel->owner;

	link->ops->drained(link);
}

static void on_closed(struct channel *channel)
{
	struct agent_link *link = channel->owner;

	wire_free(MSG_HELLO, link->hello);
	link->hello = NULL;
	link->ops->closed(link);
}

static int skip_stale(struct channel *channel, struct buf *input)
{
	struct agent_link *link = channel->owner;

	return frame_find_hello(input, true, link->nonce);
}

static const struct channel_ops channel_ops = {
	.frame = on_frame,
	.ended = on_ended,
	.drained = on_drained,
	.closed = on_closed,
	.preamble = skip_stale,
};

static int say_hello(struct agent_link *link, struct error *err)
{
	static char component[] = "proxy", release[] = KATA_VERSION;
	const struct msg_hello hello = { .version = PROTOCOL_VERSION,
					 .component = component,
					 .release = release };
	const struct frame frame = { .type = FRAME_HELLO };
	CLEANUP(buf_fini) struct buf payload = { 0 };
	int r = frame_put_hello(&payload, link->nonce, &hello, err);

	if (r < 0)
		return r;
	/* When QEMU is gone already, reading tells. */
	channel_send(&link->channel, &frame, NULL, 0, buf_at(&payload), buf_len(&payload));
	return 0;
}

int agent_link_open(struct agent_link *link, uv_loop_t *loop, int fd, const uint8_t key[FRAME_KEY],
		    const struct agent_link_ops *ops, void *owner, struct error *err)
{
	int r;

	link->ops = ops;
	link->owner = owner;
	link->hello = NULL;
	frame_new_nonce(link->nonce);
	frame_set_key(link->nonce, key);
	r = channel_open(&link->channel, loop, fd, &channel_ops, link, err);
	if (r < 0)
		return r;
	return say_hello(link, err);
}

void agent_link_send(struct agent_link *link, const struct frame *frame)
{
	channel_send(&link->channel, frame, NULL, 0, frame->payload, frame->length);
}

void agent_link_end_channel(struct agent_link *link, uint32_t number, enum close_reason reason,
			    const char *text)
{
	char none[] = "";
	const struct msg_close close = { .reason = reason,
					 .text = text != NULL ? (char *)text : none };

	channel_send_message(&link->channel, FRAME_CLOSE, 0, number, 0, MSG_CLOSE, &close);
}

bool agent_link_congested(const struct agent_link *link)
{
	return link->channel.queued > CHANNEL_HIGH;
}

void agent_link_close(struct agent_link *link)
{
	channel_close(&link->channel);
}
