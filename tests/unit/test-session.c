/*
 * common/session.c: two sessions joined by queues of frames in memory, over a link that breaks at
 * random; and the frames a hostile peer sends.
 */
#include "common/session.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"

enum { MANY = 4096, PIECE = 50000 };

/* One end of the fake link. */
struct side {
	struct session session;
	struct side *peer;
	struct buf queue; /* frames on their way to the peer */
	uint64_t to_write[STREAM_COUNT], written[STREAM_COUNT];
	uint64_t got[STREAM_COUNT], unread[STREAM_COUNT];
	unsigned rooms[STREAM_COUNT], ends[STREAM_COUNT];
	bool full[STREAM_COUNT];
	unsigned requests, replies, events; /* how many were sent or came */
	unsigned data_frames, last_stream, turns;
	uint32_t open_request; /* agent: to be answered later */
	uint8_t executed[MANY];
};

static uint64_t seed;

static unsigned draw(unsigned below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(seed >> 33) % below;
}

static uint8_t byte_at(unsigned stream, uint64_t offset)
{
	return (uint8_t)(offset * 7 + (offset >> 8) * 13 + (offset >> 16) + stream * 101);
}

static void on_send(struct session *session, enum frame_type type, uint8_t flags, uint32_t id,
		    const void *head, size_t head_len, const void *body, size_t body_len)
{
	struct side *side = session->owner;
	struct frame frame = { .length = (uint32_t)(head_len + body_len),
			       .channel = 1,
			       .type = (uint8_t)type,
			       .flags = flags,
			       .id = id };
	uint8_t header[FRAME_HEADER];

	cr_assert(session->link_up);
	if (type == FRAME_DATA) {
		cr_assert_leq(body_len, FRAME_DATA_SENT);
		side->data_frames++;
		side->turns += side->last_stream != id;
		side->last_stream = id;
	}
	frame_put_header(header, &frame);
	buf_append(&side->queue, header, sizeof(header));
	buf_append(&side->queue, head, head_len);
	buf_append(&side->queue, body, body_len);
}

static void on_data(struct session *session, unsigned stream, const uint8_t *bytes, size_t n)
{
	struct side *side = session->owner;

	cr_assert_gt(n, 0);
	cr_assert_eq(side->ends[stream], 0);
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(bytes[i], byte_at(stream, side->got[stream] + i));
	side->got[stream] += n;
	side->unread[stream] += n;
	cr_assert_leq(side->unread[stream], STREAM_WINDOW);
}

static void on_end(struct session *session, unsigned stream)
{
	struct side *side = session->owner;

	side->ends[stream]++;
}

static void on_room(struct session *session, unsigned stream)
{
	struct side *side = session->owner;

	cr_assert_gt(session_room(session, stream), 0);
	side->rooms[stream]++;
	side->full[stream] = false;
}

static void answer(struct side *side)
{
	struct error err;
	int r;

	if (side->open_request % 3 == 0) {
		error_say(&err, ENOENT, "request %u", side->open_request);
		session_reply_error(&side->session, side->open_request, &err);
	} else {
		r = session_reply(&side->session, side->open_request, MSG_DONE, NULL, &err);
		cr_assert_eq(r, 0, "%s", err.text);
	}
	side->open_request = 0;
}

static void on_request(struct session *session, uint32_t id, const struct frame *frame)
{
	struct side *side = session->owner;
	struct error err;
	void *body;

	cr_assert_eq(wire_decode_as(MSG_SIGNAL, frame->payload, frame->length, &body, &err), 0);
	cr_assert_eq(((struct msg_signal *)body)->handle, id);
	wire_free(MSG_SIGNAL, body);
	cr_assert_lt(id, MANY);
	cr_assert_eq(side->executed[id]++, 0);
	cr_assert_eq(id, ++side->requests);
	side->open_request = id;
	if (draw(2) == 0)
		answer(side);
}

static void on_reply(struct session *session, const struct frame *frame)
{
	struct side *side = session->owner;
	struct error err;
	void *body;
	int r;

	side->replies++;
	cr_assert_eq(frame->id, side->replies);
	cr_assert_eq(side->replies, side->requests);
	r = wire_decode_as(MSG_DONE, frame->payload, frame->length, &body, &err);
	cr_assert_eq(r, frame->id % 3 == 0 ? -ENOENT : 0);
	if (r == 0)
		wire_free(MSG_DONE, body);
}

static void on_event(struct session *session, const struct frame *frame)
{
	struct side *side = session->owner;
	struct error err;
	void *body;

	side->events++;
	cr_assert_eq(wire_decode_as(MSG_EXIT, frame->payload, frame->length, &body, &err), 0);
	cr_assert_eq(((struct msg_exit *)body)->handle, side->events);
	wire_free(MSG_EXIT, body);
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

static struct side *side_new(bool agent_side)
{
	struct side *side = calloc(1, sizeof(*side));

	session_init(&side->session, agent_side, &ops, side);
	return side;
}

static void side_free(struct side *side)
{
	session_fini(&side->session);
	buf_fini(&side->queue);
	free(side);
}

/* Gives the peer up to count frames. */
static void deliver(struct side *from, unsigned count)
{
	struct frame frame;
	struct error err;

	while (count-- > 0 && frame_next(&from->queue, &frame, &err) == 1) {
		int r = session_frame(&from->peer->session, &frame, &err);

		cr_assert_eq(r, 0, "%s", err.text);
		buf_consume(&from->queue, FRAME_HEADER + frame.length);
	}
}

static void cut(struct side *client, struct side *agent)
{
	buf_fini(&client->queue);
	buf_fini(&agent->queue);
	session_link_down(&client->session);
	session_link_down(&agent->session);
}

/* As after OPEN and OPENED. */
static void join(struct side *client, struct side *agent)
{
	uint64_t by_client[STREAM_COUNT], by_agent[STREAM_COUNT];

	for (unsigned i = 0; i < STREAM_COUNT; i++) {
		by_client[i] = client->session.in[i].received;
		by_agent[i] = agent->session.in[i].received;
	}
	cr_assert_eq(session_link_up(&agent->session, by_client), 0);
	cr_assert_eq(session_link_up(&client->session, by_agent), 0);
}

static void write_some(struct side *side, unsigned stream, size_t most)
{
	static uint8_t piece[PIECE];
	uint64_t left = side->to_write[stream] - side->written[stream];
	size_t n = left < most ? (size_t)left : most, taken;

	if (side->full[stream])
		return;
	for (size_t i = 0; i < n; i++)
		piece[i] = byte_at(stream, side->written[stream] + i);
	taken = session_write(&side->session, stream, piece, n);
	side->full[stream] = taken < n;
	side->written[stream] += taken;
	cr_assert_leq(stream_out_kept(&side->session.out[stream]), STREAM_WINDOW);
	if (side->written[stream] == side->to_write[stream])
		session_end_stream(&side->session, stream);
}

static void consume(struct side *side, unsigned stream, size_t most)
{
	size_t n = side->unread[stream] < most ? (size_t)side->unread[stream] : most;

	side->unread[stream] -= n;
	session_consumed(&side->session, stream, n);
}

static void request(struct side *side)
{
	struct msg_signal body = { .handle = side->requests + 1, .signum = 15 };
	struct error err;
	int r = session_request(&side->session, MSG_SIGNAL, &body, &err);

	if (r == 0)
		side->requests++;
	else
		cr_assert_eq(r, -EBUSY, "%s", err.text);
}

static void event(struct side *side)
{
	struct msg_exit body = { .handle = side->events + 1 };
	struct error err;
	int r = session_event(&side->session, MSG_EXIT, &body, &err);

	if (r == 0)
		side->events++;
	else
		cr_assert_eq(r, -EBUSY, "%s", err.text);
}

/* One thing that may happen. */
static void step(struct side *client, struct side *agent, unsigned losses)
{
	unsigned n = draw(2) == 0 ? draw(20) + 1 : draw(PIECE) + 1;

	switch (draw(11)) {
	case 0:
		write_some(client, STREAM_STDIN, n);
		break;
	case 1:
		write_some(agent, STREAM_STDOUT, n);
		break;
	case 2:
		write_some(agent, STREAM_STDERR, n);
		break;
	case 3:
		consume(agent, STREAM_STDIN, n);
		break;
	case 4:
		consume(client, STREAM_STDOUT, n);
		break;
	case 5:
		consume(client, STREAM_STDERR, n);
		break;
	case 6:
		if (client->requests < 200)
			request(client);
		if (agent->events < 50 && draw(4) == 0)
			event(agent);
		break;
	case 7:
		if (agent->open_request != 0)
			answer(agent);
		break;
	case 8:
		deliver(client, draw(4));
		break;
	case 9:
		deliver(agent, draw(4));
		break;
	default:
		if (!client->session.link_up)
			join(client, agent);
		else if (losses > 0 && draw(losses) == 0)
			cut(client, agent);
	}
}

static bool finished(const struct side *client, const struct side *agent)
{
	return agent->ends[0] > 0 && client->ends[1] > 0 && client->ends[2] > 0 &&
	       client->requests == 200 && !client->session.request_open && agent->events == 50 &&
	       session_settled(&agent->session) && session_settled(&client->session);
}

static void run(uint64_t start, unsigned losses)
{
	struct side *client = side_new(false), *agent = side_new(true);
	unsigned rounds = 0;

	seed = start;
	client->peer = agent;
	agent->peer = client;
	client->to_write[0] = draw(600000);
	agent->to_write[1] = draw(600000);
	agent->to_write[2] = draw(3) * 1000;
	join(client, agent);
	while (!finished(client, agent)) {
		cr_assert_lt(rounds++, 1000000, "seed %llu stands still",
			     (unsigned long long)start);
		step(client, agent, losses);
	}
	/* What is still on its way changes nothing. */
	if (!client->session.link_up)
		join(client, agent);
	deliver(client, UINT32_MAX);
	deliver(agent, UINT32_MAX);
	deliver(client, UINT32_MAX);
	for (unsigned i = 0; i < STREAM_COUNT; i++) {
		cr_assert_eq(client->got[i], agent->to_write[i]);
		cr_assert_eq(agent->got[i], client->to_write[i]);
		cr_assert_eq(client->ends[i], i != 0);
		cr_assert_eq(agent->ends[i], i == 0);
	}
	cr_assert_eq(agent->requests, 200);
	cr_assert_eq(client->replies, 200);
	cr_assert_eq(client->events, 50);
	side_free(client);
	side_free(agent);
}

Test(session, sound_link)
{
	for (uint64_t i = 0; i < 20; i++)
		run(i, 0);
}

Test(session, lossy_link)
{
	for (uint64_t i = 0; i < 200; i++)
		run(1000 + i, 2 + (unsigned)i % 10);
}

/* --- single rules ----------------------------------------------------------------------------- */

static void pair_new(struct side **client, struct side **agent)
{
	*client = side_new(false);
	*agent = side_new(true);
	(*client)->peer = *agent;
	(*agent)->peer = *client;
	join(*client, *agent);
}

static void pair_free(struct side *client, struct side *agent)
{
	side_free(client);
	side_free(agent);
}

Test(session, streams_take_turns)
{
	struct side *client, *agent;

	pair_new(&client, &agent);
	session_link_down(&agent->session);
	agent->session.data_max = FRAME_DATA_PORT;
	agent->to_write[1] = agent->to_write[2] = 100000;
	for (unsigned i = 0; i < 3; i++) {
		write_some(agent, 1, PIECE);
		write_some(agent, 2, PIECE);
	}
	join(client, agent);
	cr_assert_eq(agent->data_frames, 8, "of each stream three frames and a rest");
	cr_assert_geq(agent->turns, 7);
	pair_free(client, agent);
}

Test(session, a_place_is_told_of_when_full)
{
	struct side *client, *agent;
	uint64_t total = 0;
	uint8_t *to;
	size_t n;

	pair_new(&client, &agent);
	n = 10;
	cr_assert_null(session_reserve(&agent->session, STREAM_STDIN, &n), "not ours");
	for (n = PIECE; (to = session_reserve(&agent->session, 1, &n)) != NULL; n = PIECE) {
		for (size_t i = 0; i < n; i++)
			to[i] = byte_at(1, total + i);
		total += n;
		session_commit(&agent->session, 1, n);
	}
	cr_assert_eq(total, STREAM_WINDOW);
	deliver(agent, UINT32_MAX);
	cr_assert_eq(client->got[1], STREAM_WINDOW);
	cr_assert_eq(agent->rooms[1], 0);
	consume(client, 1, STREAM_WINDOW);
	deliver(client, UINT32_MAX);
	cr_assert_eq(agent->rooms[1], 1);
	n = PIECE;
	cr_assert_not_null(session_reserve(&agent->session, 1, &n));
	pair_free(client, agent);
}

Test(session, room_is_told_when_full)
{
	struct side *client, *agent;

	pair_new(&client, &agent);
	agent->to_write[1] = 200000;
	for (size_t room; (room = session_room(&agent->session, 1)) > 0;)
		write_some(agent, 1, room < PIECE ? room : PIECE); /* exactly full */
	deliver(agent, UINT32_MAX);
	deliver(client, UINT32_MAX);
	cr_assert_eq(agent->rooms[1], 0, "nothing is consumed");
	consume(client, 1, STREAM_WINDOW);
	deliver(client, UINT32_MAX);
	cr_assert_eq(agent->rooms[1], 1);
	cr_assert_eq(session_write(&agent->session, STREAM_STDIN, "a", 1), 0, "not ours");
	cr_assert_eq(session_room(&agent->session, STREAM_STDIN), 0);
	cr_assert_eq(session_room(&agent->session, 77), 0);
	pair_free(client, agent);
}

Test(session, a_repeated_request_gets_the_kept_reply)
{
	struct side *client, *agent;
	struct error err;

	pair_new(&client, &agent);
	request(client);
	deliver(client, 1);
	if (agent->open_request != 0)
		answer(agent);
	cut(client, agent); /* the reply is lost */
	cr_assert_eq(client->replies, 0);
	join(client, agent);
	deliver(client, UINT32_MAX);
	deliver(agent, UINT32_MAX);
	cr_assert_eq(client->replies, 1);
	cr_assert_eq(agent->requests, 1);
	cr_assert_eq(session_reply(&agent->session, 1, MSG_DONE, NULL, &err), -EINVAL);
	pair_free(client, agent);
}

Test(session, a_reply_between_open_and_the_repeated_request_counts_once)
{
	struct side *client, *agent;

	pair_new(&client, &agent);
	request(client);
	deliver(client, 1);
	while (agent->open_request == 0) { /* answered at once: another one */
		deliver(agent, 1);
		request(client);
		deliver(client, 1);
	}
	cut(client, agent);
	join(client, agent);
	answer(agent); /* before the repeated request comes */
	deliver(client, UINT32_MAX);
	deliver(agent, UINT32_MAX);
	cr_assert_eq(client->replies, client->requests);
	cr_assert_eq(agent->requests, client->requests);
	pair_free(client, agent);
}

Test(session, an_event_is_repeated_until_acknowledged)
{
	struct side *client, *agent;
	struct error err;

	pair_new(&client, &agent);
	event(agent);
	cr_assert_not(session_settled(&agent->session));
	for (unsigned i = 0; i < 3; i++) {
		deliver(agent, UINT32_MAX);
		cr_assert_eq(client->events, 1);
		cut(client, agent); /* with the acknowledgement */
		join(client, agent);
	}
	cr_assert_eq(session_event(&agent->session, MSG_EXIT, NULL, &err), -EBUSY);
	deliver(agent, UINT32_MAX);
	deliver(client, UINT32_MAX);
	cr_assert(session_settled(&agent->session));
	pair_free(client, agent);
}

Test(session, settled_needs_the_acknowledgement_of_bytes)
{
	struct side *client, *agent;

	pair_new(&client, &agent);
	agent->to_write[1] = 5;
	write_some(agent, 1, 5);
	deliver(agent, UINT32_MAX);
	cr_assert_not(session_settled(&agent->session));
	consume(client, 1, 5);
	deliver(client, UINT32_MAX);
	cr_assert(session_settled(&agent->session));
	pair_free(client, agent);
}

Test(session, limits_of_what_is_sent)
{
	struct side *client, *agent;
	struct msg_signal bad = { .signum = 65 };
	char long_item[65536];
	char *items[33];
	struct msg_create big = { .container = (char *)"c",
				  .rootfs = (char *)"r",
				  .process = { .args = { items, 32 }, .cwd = (char *)"/" } };
	struct error err;

	pair_new(&client, &agent);
	memset(long_item, 'a', sizeof(long_item) - 1);
	long_item[sizeof(long_item) - 1] = '\0';
	for (unsigned i = 0; i < 32; i++)
		items[i] = long_item;
	items[32] = NULL;
	cr_assert_eq(session_request(&client->session, MSG_CREATE, &big, &err), -EMSGSIZE);
	cr_assert_eq(session_request(&client->session, MSG_SIGNAL, &bad, &err), -ERANGE);
	cr_assert_not(client->session.request_open);
	cr_assert_eq(buf_len(&client->queue), 0);
	cr_assert_eq(session_request(&agent->session, MSG_SIGNAL, NULL, &err), -EINVAL);
	cr_assert_eq(session_event(&client->session, MSG_EXIT, NULL, &err), -EINVAL);
	request(client);
	cr_assert_eq(client->requests, 1);
	pair_free(client, agent);
}

Test(session, a_failure_that_is_no_utf8_is_escaped)
{
	struct side *client, *agent;
	struct error error = { .num = 0, .text = "a\xff" }, err;
	struct frame frame;
	void *body;

	pair_new(&client, &agent);
	agent->session.request_id = 1;
	agent->session.request_open = true;
	session_reply_error(&agent->session, 1, &error);
	cr_assert_eq(frame_next(&agent->queue, &frame, &err), 1);
	cr_assert_eq(wire_decode_as(MSG_DONE, frame.payload, frame.length, &body, &err), -EIO);
	cr_assert_str_eq(err.text, "a\\xff");
	pair_free(client, agent);
}

/* --- hostile peers ---------------------------------------------------------------------------- */

/* What a frame says, so that cases fit on a line. */
enum says { BYTES, WINDOW, ENDS, NIL, MESSAGE, RUBBISH };

struct hostile {
	const char *what;
	bool to_agent;
	enum frame_type type;
	uint8_t flags;
	uint32_t id;
	enum says says;
	uint64_t a, b; /* offset and length; received and limit */
};

static const struct hostile hostile_frames[] = {
	{ "gap", true, FRAME_DATA, 0, 0, BYTES, 1, 5 },
	{ "huge offset", true, FRAME_DATA, 0, 0, BYTES, UINT64_MAX, 5 },
	{ "more than the window", false, FRAME_DATA, 0, 1, BYTES, 0, STREAM_WINDOW + 1 },
	{ "stdin to the client", false, FRAME_DATA, 0, 0, BYTES, 0, 5 },
	{ "stdout to the agent", true, FRAME_DATA, 0, 1, BYTES, 0, 5 },
	{ "stderr to the agent", true, FRAME_DATA, 0, 2, BYTES, 0, 5 },
	{ "no such stream", true, FRAME_DATA, 0, 3, BYTES, 0, 5 },
	{ "no such stream", false, FRAME_DATA, 0, UINT32_MAX, BYTES, 0, 5 },
	{ "rubbish as DATA", true, FRAME_DATA, 0, 0, RUBBISH, 0, 0 },
	{ "a window as DATA", true, FRAME_DATA, 0, 0, WINDOW, 0, 5 },
	{ "DATA with ACK", true, FRAME_DATA, FRAME_ACK, 0, BYTES, 0, 5 },
	{ "unsent is acknowledged", true, FRAME_WINDOW, 0, 1, WINDOW, 1, STREAM_WINDOW + 1 },
	{ "unsent is acknowledged", false, FRAME_WINDOW, 0, 0, WINDOW, UINT64_MAX, UINT64_MAX },
	{ "limit goes back", true, FRAME_WINDOW, 0, 2, WINDOW, 0, STREAM_WINDOW - 1 },
	{ "window of stdin", true, FRAME_WINDOW, 0, 0, WINDOW, 0, STREAM_WINDOW },
	{ "window of stdout", false, FRAME_WINDOW, 0, 1, WINDOW, 0, STREAM_WINDOW },
	{ "window of no stream", false, FRAME_WINDOW, 0, 9, WINDOW, 0, STREAM_WINDOW },
	{ "rubbish as WINDOW", true, FRAME_WINDOW, 0, 1, RUBBISH, 0, 0 },
	{ "end far away", true, FRAME_END, 0, 0, ENDS, UINT64_MAX, 0 },
	{ "end of stdout", true, FRAME_END, 0, 1, ENDS, 0, 0 },
	{ "end of stdin", false, FRAME_END, 0, 0, ENDS, 0, 0 },
	{ "end of no stream", false, FRAME_END, 0, 4, ENDS, 0, 0 },
	{ "rubbish as END", false, FRAME_END, 0, 1, RUBBISH, 0, 0 },
	{ "request 0", true, FRAME_REQUEST, 0, 0, MESSAGE, 0, 0 },
	{ "request 2 first", true, FRAME_REQUEST, 0, 2, MESSAGE, 0, 0 },
	{ "request of the agent", false, FRAME_REQUEST, 0, 1, MESSAGE, 0, 0 },
	{ "request with ACK", true, FRAME_REQUEST, FRAME_ACK, 1, MESSAGE, 0, 0 },
	{ "reply without request", false, FRAME_REPLY, 0, 1, MESSAGE, 0, 0 },
	{ "reply 0", false, FRAME_REPLY, 0, 0, MESSAGE, 0, 0 },
	{ "reply of a client", true, FRAME_REPLY, 0, 1, MESSAGE, 0, 0 },
	{ "event 0", false, FRAME_EVENT, 0, 0, MESSAGE, 0, 0 },
	{ "event 2 first", false, FRAME_EVENT, 0, 2, MESSAGE, 0, 0 },
	{ "event of a client", true, FRAME_EVENT, 0, 1, MESSAGE, 0, 0 },
	{ "event acknowledged that was not", true, FRAME_EVENT, FRAME_ACK, 1, NIL, 0, 0 },
	{ "event 0 acknowledged", true, FRAME_EVENT, FRAME_ACK, 0, NIL, 0, 0 },
	{ "event acknowledged by the agent", false, FRAME_EVENT, FRAME_ACK, 1, NIL, 0, 0 },
	{ "HELLO", true, FRAME_HELLO, 0, 0, NIL, 0, 0 },
	{ "OPEN", true, FRAME_OPEN, 0, 0, NIL, 0, 0 },
	{ "CLOSE", false, FRAME_CLOSE, 0, 0, NIL, 0, 0 },
	{ "PING", false, FRAME_PING, 0, 0, NIL, 0, 0 },
};

static void say(struct buf *payload, enum says says, uint64_t a, uint64_t b)
{
	uint8_t head[FRAME_DATA_HEAD];

	switch (says) {
	case BYTES:
		buf_append(payload, head, frame_put_data_head(head, a, (size_t)b));
		for (uint64_t i = 0; i < b; i++)
			buf_append(payload, &(uint8_t){ byte_at(0, a + i) }, 1);
		break;
	case WINDOW:
		frame_put_window(payload, a, b);
		break;
	case ENDS:
		frame_put_end(payload, a);
		break;
	case NIL:
		frame_put_nil(payload);
		break;
	case MESSAGE:
		wire_encode(MSG_DONE, NULL, payload, NULL);
		break;
	case RUBBISH:
		buf_append(payload, "\xdd\xff\xff\xff\xff", 5);
		break;
	}
}

static int feed(struct side *to, const struct hostile *h, struct error *err)
{
	struct buf payload = { 0 };
	struct frame frame = {
		.channel = 1, .type = (uint8_t)h->type, .flags = h->flags, .id = h->id
	};
	int r;

	say(&payload, h->says, h->a, h->b);
	frame.length = (uint32_t)buf_len(&payload);
	frame.payload = buf_at(&payload);
	r = session_frame(&to->session, &frame, err);
	buf_fini(&payload);
	return r;
}

Test(session, refuses_hostile_frames)
{
	for (size_t i = 0; i < sizeof(hostile_frames) / sizeof(hostile_frames[0]); i++) {
		const struct hostile *h = &hostile_frames[i];
		struct side *client, *agent, *to;
		struct error err = { 0 };

		pair_new(&client, &agent);
		to = h->to_agent ? agent : client;
		cr_expect_eq(feed(to, h, &err), -EBADMSG, "case %zu: %s", i, h->what);
		cr_expect_gt(strlen(err.text), 0, "case %zu: %s", i, h->what);
		cr_expect_eq(buf_len(&to->queue), 0, "case %zu: %s is answered", i, h->what);
		for (unsigned k = 0; k < STREAM_COUNT; k++) {
			cr_expect_eq(to->got[k] + to->ends[k], 0, "case %zu: %s", i, h->what);
			cr_expect_eq(to->session.out[k].size, 0, "case %zu: %s", i, h->what);
		}
		cr_expect_eq(to->session.request_payload.size + to->session.reply_payload.size +
				     to->session.event_payload.size,
			     0, "case %zu: %s", i, h->what);
		pair_free(client, agent);
	}
}

Test(session, refuses_what_goes_back)
{
	const struct hostile ok[] = {
		{ "bytes", true, FRAME_DATA, 0, 0, BYTES, 0, 10 },
		{ "old bytes", true, FRAME_DATA, 0, 0, BYTES, 2, 5 },
		{ "partly old bytes", true, FRAME_DATA, 0, 0, BYTES, 4, 16 },
		{ "window", true, FRAME_WINDOW, 0, 1, WINDOW, 5, STREAM_WINDOW + 5 },
		{ "the open request again", true, FRAME_REQUEST, 0, 1, MESSAGE, 0, 0 },
	};
	const struct hostile bad[] = {
		{ "end before received bytes", true, FRAME_END, 0, 0, ENDS, 19, 0 },
		{ "acknowledgement goes back", true, FRAME_WINDOW, 0, 1, WINDOW, 4,
		  STREAM_WINDOW + 5 },
		{ "limit goes back", true, FRAME_WINDOW, 0, 1, WINDOW, 5, STREAM_WINDOW + 4 },
		{ "two requests at once", true, FRAME_REQUEST, 0, 2, MESSAGE, 0, 0 },
		{ "a request's number goes back", true, FRAME_REQUEST, 0, 0, MESSAGE, 0, 0 },
	};
	struct side *client, *agent;
	struct error err;

	pair_new(&client, &agent);
	agent->to_write[1] = 20;
	write_some(agent, 1, 10);
	agent->session.request_id = 1; /* being carried out */
	agent->session.request_open = true;
	for (size_t i = 0; i < sizeof(ok) / sizeof(ok[0]); i++)
		cr_assert_eq(feed(agent, &ok[i], &err), 0, "%s: %s", ok[i].what, err.text);
	cr_assert_eq(agent->got[0], 20);
	cr_assert_eq(agent->requests, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(feed(agent, &bad[i], &err), -EBADMSG, "%s", bad[i].what);
	pair_free(client, agent);
}

Test(session, refuses_frames_without_link)
{
	const struct hostile h = { "early", true, FRAME_DATA, 0, 0, BYTES, 0, 5 };
	struct side *agent = side_new(true);
	struct error err;

	cr_assert_eq(feed(agent, &h, &err), -EBADMSG);
	side_free(agent);
}

Test(session, refuses_a_resume_of_what_was_not_sent)
{
	struct side *client, *agent;
	uint64_t received[STREAM_COUNT] = { 0, 11, 0 };

	pair_new(&client, &agent);
	agent->to_write[1] = 20;
	write_some(agent, 1, 10);
	cut(client, agent);
	cr_assert_eq(session_link_up(&agent->session, received), -EBADMSG);
	cr_assert_not(agent->session.link_up);
	cr_assert_eq(buf_len(&agent->queue), 0);
	received[1] = 10;
	cr_assert_eq(session_link_up(&agent->session, received), 0);
	pair_free(client, agent);
}

Test(session, a_second_reply_is_taken_only_after_a_repetition)
{
	const struct hostile reply = { "reply", false, FRAME_REPLY, 0, 1, MESSAGE, 0, 0 };
	struct side *client, *agent;
	struct error err;

	pair_new(&client, &agent);
	request(client);
	cr_assert_eq(feed(client, &reply, &err), 0);
	cr_assert_eq(feed(client, &reply, &err), -EBADMSG);
	pair_free(client, agent);

	pair_new(&client, &agent);
	request(client);
	cut(client, agent);
	join(client, agent);
	cr_assert_eq(feed(client, &reply, &err), 0);
	cr_assert_eq(feed(client, &reply, &err), 0);
	cr_assert_eq(client->replies, 1);
	cr_assert_eq(feed(client, &reply, &err), -EBADMSG);
	pair_free(client, agent);
}
