/*
 * Session frames from a hostile peer. The first byte chooses the side; then each record is an
 * operation and, for a frame, its parts. Whatever comes: no crash, bytes at most as many as the
 * window allows, and no memory beyond what session.h says.
 */
#include "common/session.h"

#include <stdlib.h>
#include <string.h>

#include "common/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct target {
	uint64_t unread[STREAM_COUNT];
	uint64_t got[STREAM_COUNT];
	bool ended[STREAM_COUNT];
	uint32_t open_request;
	uint32_t last_request, last_reply, last_event;
};

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void on_send(struct session *session, enum frame_type type, uint8_t flags, uint32_t id,
		    const void *head, size_t head_len, const void *body, size_t body_len)
{
	static uint8_t copy[FRAME_CONTROL_MAX];
	const struct frame frame = { .type = (uint8_t)type,
				     .flags = flags,
				     .id = id,
				     .length = (uint32_t)(head_len + body_len) };
	uint8_t header[FRAME_HEADER];
	struct frame back;

	must(session->link_up);
	must(body_len <= FRAME_CONTROL_MAX - head_len);
	if (head_len > 0)
		memcpy(copy, head, head_len);
	memcpy(copy + head_len, body, body_len);
	frame_put_header(header, &frame);
	must(frame_get_header(header, &back, NULL) == 0);
	must(wire_check(copy, head_len + body_len) == 0);
}

static void on_data(struct session *session, unsigned stream, const uint8_t *bytes, size_t n)
{
	struct target *target = session->owner;

	must(n > 0 && !target->ended[stream] && (stream == STREAM_STDIN) == session->agent_side);
	must(bytes[0] + bytes[n - 1] >= 0);
	target->unread[stream] += n;
	target->got[stream] += n;
	must(target->unread[stream] <= STREAM_WINDOW);
	must(target->got[stream] == session->in[stream].received);
}

static void on_end(struct session *session, unsigned stream)
{
	struct target *target = session->owner;

	must(!target->ended[stream]);
	target->ended[stream] = true;
}

static void on_room(struct session *session, unsigned stream)
{
	must(session_room(session, stream) > 0);
}

static void on_request(struct session *session, uint32_t id, const struct frame *frame)
{
	struct target *target = session->owner;

	must(session->agent_side && id == target->last_request + 1 && frame->id == id);
	must(target->open_request == 0);
	target->last_request = target->open_request = id;
}

static void on_reply(struct session *session, const struct frame *frame)
{
	struct target *target = session->owner;

	must(!session->agent_side && frame->id == target->last_reply + 1);
	target->last_reply = frame->id;
}

static void on_event(struct session *session, const struct frame *frame)
{
	struct target *target = session->owner;

	must(!session->agent_side && frame->id == target->last_event + 1);
	target->last_event = frame->id;
}

static const struct session_ops ops = {
	.send = on_send,
	.data = on_data,
	.end = on_end,
	.room = on_room,
	.request = on_request,
	.reply = on_reply,
	.event = on_event,
};

struct input {
	const uint8_t *at;
	size_t left;
};

static unsigned take(struct input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->at++;
}

static unsigned take_16(struct input *input)
{
	unsigned high = take(input);

	return high << 8 | take(input);
}

/* A frame whose payload is well formed: offset or received is base, moved a little. */
static void make_payload(struct buf *payload, struct input *input, uint8_t type, uint64_t base)
{
	static const uint8_t bytes[FRAME_DATA_MAX];
	uint64_t a = base + take_16(input) - take(input), b = a + take_16(input) * 2;
	uint8_t head[FRAME_DATA_HEAD];

	if (type == FRAME_DATA) {
		size_t n = b - a < sizeof(bytes) ? (size_t)(b - a) : sizeof(bytes);

		buf_append(payload, head, frame_put_data_head(head, a, n));
		buf_append(payload, bytes, n);
	} else if (type == FRAME_WINDOW) {
		frame_put_window(payload, a, b + STREAM_WINDOW);
	} else if (type == FRAME_END) {
		frame_put_end(payload, a);
	} else {
		frame_put_nil(payload);
	}
}

static int feed(struct session *session, struct input *input, bool raw)
{
	struct frame frame = { .type = (uint8_t)(take(input) % 12), .channel = 1 };
	struct buf payload = { 0 };
	uint64_t base = 0;
	int r;

	frame.flags = take(input) & 1;
	frame.id = take(input);
	if (frame.id < STREAM_COUNT)
		base = frame.type == FRAME_WINDOW ? session->out[frame.id].acked
						  : session->in[frame.id].received;
	if (raw) {
		size_t n = take(input);

		n = n < input->left ? n : input->left;
		buf_append(&payload, input->at, n);
		input->at += n;
		input->left -= n;
	} else {
		make_payload(&payload, input, frame.type, base);
	}
	frame.length = (uint32_t)buf_len(&payload);
	frame.payload = buf_at(&payload);
	r = session_frame(session, &frame, NULL);
	buf_fini(&payload);
	return r;
}

static void relink(struct session *session, struct input *input)
{
	uint64_t received[STREAM_COUNT];

	session_link_down(session);
	for (unsigned i = 0; i < STREAM_COUNT; i++)
		received[i] = session->out[i].acked + take(input);
	if (session_link_up(session, received) < 0) {
		for (unsigned i = 0; i < STREAM_COUNT; i++)
			received[i] = session->out[i].acked;
		must(session_link_up(session, received) == 0);
	}
}

static void act(struct session *session, struct input *input)
{
	static const uint8_t bytes[STREAM_WINDOW];
	struct target *target = session->owner;
	unsigned stream = take(input) % STREAM_COUNT;
	size_t n = take_16(input);

	switch (take(input) % 6) {
	case 0:
		session_write(session, stream, bytes, n);
		break;
	case 1:
		if (n > target->unread[stream])
			n = (size_t)target->unread[stream];
		target->unread[stream] -= n;
		session_consumed(session, stream, n);
		break;
	case 2:
		session_request(session, MSG_START, NULL, NULL);
		session_event(session, MSG_EXIT, NULL, NULL);
		break;
	case 3:
		if (target->open_request != 0)
			must(session_reply(session, target->open_request, MSG_DONE, NULL, NULL) ==
			     0);
		target->open_request = 0;
		break;
	case 4:
		session_end_stream(session, stream);
		break;
	default:
		relink(session, input);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct target target = { 0 };
	struct session session;
	bool agent_side = (take(&input) & 1) != 0, good = true;

	session_init(&session, agent_side, &ops, &target);
	must(session_link_up(&session, (uint64_t[STREAM_COUNT]){ 0 }) == 0);
	while (good && input.left > 0) {
		unsigned what = take(&input);

		if (what % 3 == 0)
			act(&session, &input);
		else
			good = feed(&session, &input, what % 3 == 1) == 0;
		for (unsigned i = 0; i < STREAM_COUNT; i++) {
			must(session.out[i].size <= STREAM_WINDOW);
			must(session.in[i].consumed <= session.in[i].received);
		}
		must(session.request_payload.size + session.reply_payload.size +
			     session.event_payload.size <=
		     4096);
	}
	session_fini(&session);
	return 0;
}
