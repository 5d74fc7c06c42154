/*
 * Frames and clients of kata-agent's component tests: see agent-rig.h. In the test's own thread;
 * everything happens while one of these functions waits.
 */
#include "tests/component/agent-rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/wire.h"

/* --- frames ----------------------------------------------------------------------------------- */

static void write_all(int fd, const void *data, size_t n)
{
	const uint8_t *p = data;

	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && (errno == EPIPE || errno == ECONNRESET))
			return;
		cr_assert(done > 0, "write to the agent: %s", strerror(errno));
		p += done;
		n -= (size_t)done;
	}
}

static void send_frame(struct rig *rig, enum frame_type type, uint8_t flags, uint32_t channel,
		       uint32_t id, const void *head, size_t head_len, const void *body,
		       size_t body_len)
{
	struct frame frame = { .length = (uint32_t)(head_len + body_len),
			       .type = (uint8_t)type,
			       .flags = flags,
			       .channel = channel,
			       .id = id };
	uint8_t header[FRAME_HEADER];

	frame_put_header(header, &frame);
	write_all(rig->link, header, sizeof(header));
	write_all(rig->link, head, head_len);
	write_all(rig->link, body, body_len);
}

static void send_message(struct rig *rig, enum frame_type type, uint32_t channel,
			 enum msg_type message, const void *body)
{
	CLEANUP(buf_fini) struct buf payload = { 0 };
	struct error err;

	cr_assert(wire_encode(message, body, &payload, &err) == 0, "%s", err.text);
	send_frame(rig, type, 0, channel, 0, NULL, 0, buf_at(&payload), buf_len(&payload));
}

static void on_hop_frame(struct rig *rig, const struct frame *frame)
{
	enum msg_type type;
	void *body;
	struct error err;

	if (frame->type == FRAME_HELLO) {
		rig->greeted = true;
		return;
	}
	if (frame->type == FRAME_PONG) {
		rig->pongs++;
		return;
	}
	cr_assert(frame->type == FRAME_EVENT, "%s on channel 0", frame_type_name(frame->type));
	cr_assert(wire_decode(frame->payload, frame->length, &type, &body, &err) == 0);
	cr_assert(type == MSG_LOG);
	rig->logs++;
	snprintf(rig->last_log, sizeof(rig->last_log), "%s", ((struct msg_log *)body)->text);
	wire_free(type, body);
}

static void on_opened(struct caller *caller, const struct frame *frame)
{
	const struct msg_opened *opened;
	uint64_t received[STREAM_COUNT] = { 0 };
	void *body;
	struct error err;

	cr_assert(wire_decode_as(MSG_OPENED, frame->payload, frame->length, &body, &err) == 0);
	opened = body;
	received[STREAM_STDIN] = opened->received_stdin;
	wire_free(MSG_OPENED, body);
	caller->open = true;
	cr_assert(session_link_up(&caller->session, received) == 0);
}

static void on_caller_frame(struct caller *caller, const struct frame *frame)
{
	struct error err;
	void *body;

	if (frame->type == FRAME_OPEN) {
		on_opened(caller, frame);
	} else if (frame->type == FRAME_CLOSE) {
		cr_assert(wire_decode_as(MSG_CLOSE, frame->payload, frame->length, &body, &err) ==
			  0);
		caller->closed = caller->open = true;
		caller->close_reason = ((struct msg_close *)body)->reason;
		snprintf(caller->close_text, sizeof(caller->close_text), "%s",
			 ((struct msg_close *)body)->text);
		wire_free(MSG_CLOSE, body);
	} else if (!caller->closed) {
		cr_assert(session_frame(&caller->session, frame, &err) == 0, "%s", err.text);
	}
}

static void take_frames(struct rig *rig)
{
	struct frame frame;
	struct error err;
	int r;

	while ((r = frame_next(&rig->input, &frame, &err)) > 0) {
		if (frame.channel == 0)
			on_hop_frame(rig, &frame);
		else if (frame.channel < RIG_CALLERS && rig->callers[frame.channel] != NULL)
			on_caller_frame(rig->callers[frame.channel], &frame);
		buf_consume(&rig->input, FRAME_HEADER + frame.length);
	}
	cr_assert(r == 0, "%s", err.text);
}

/* Waits for at most ms and takes what has come: false at the end of the link. */
static bool take(struct rig *rig, int ms)
{
	struct pollfd p = { .fd = rig->link, .events = POLLIN };
	uint8_t *to;
	ssize_t n;

	if (poll(&p, 1, ms) <= 0)
		return true;
	to = buf_reserve(&rig->input, 65536);
	n = read(rig->link, to, 65536);
	if (n <= 0)
		return false;
	buf_commit(&rig->input, (size_t)n);
	take_frames(rig);
	return true;
}

void rig_until(struct rig *rig, const bool *flag, const char *what)
{
	int64_t deadline = deadline_in_ms(RIG_WAIT_MS);

	while (!*flag) {
		cr_assert(deadline_left_ms(deadline) > 0, "%s did not come; last log: %s", what,
			  rig->last_log);
		cr_assert(take(rig, 200), "the agent ended the link before %s; last log: %s", what,
			  rig->last_log);
	}
}

void rig_pump(struct rig *rig, int ms)
{
	int64_t deadline = deadline_in_ms(ms);

	while (deadline_left_ms(deadline) > 0)
		if (!take(rig, deadline_left_ms(deadline)))
			return;
}

/* --- callers ---------------------------------------------------------------------------------- */

static void on_send(struct session *session, enum frame_type type, uint8_t flags, uint32_t id,
		    const void *head, size_t head_len, const void *body, size_t body_len)
{
	struct caller *caller = session->owner;

	send_frame(caller->rig, type, flags, caller->channel, id, head, head_len, body, body_len);
}

static void on_data(struct session *session, unsigned stream, const uint8_t *bytes, size_t n)
{
	struct caller *caller = session->owner;

	cr_assert(buf_append(&caller->out[stream], bytes, n) == 0);
	if (caller->paused && stream == STREAM_STDOUT)
		caller->held += n;
	else
		session_consumed(session, stream, n);
}

static void on_end(struct session *session, unsigned stream)
{
	struct caller *caller = session->owner;

	caller->ended[stream] = true;
}

static void on_room(struct session *session, unsigned stream)
{
	(void)session;
	(void)stream;
}

static void on_reply(struct session *session, const struct frame *frame)
{
	struct caller *caller = session->owner;
	struct error err;

	caller->replied = true;
	cr_assert(wire_decode(frame->payload, frame->length, &caller->reply_type, &caller->reply,
			      &err) == 0,
		  "%s", err.text);
}

static void on_event(struct session *session, const struct frame *frame)
{
	struct caller *caller = session->owner;
	struct error err;
	void *body;

	cr_assert(wire_decode_as(MSG_EXIT, frame->payload, frame->length, &body, &err) == 0);
	cr_assert(!caller->exited, "EXIT came twice");
	caller->exited = true;
	caller->exit = *(struct msg_exit *)body;
	wire_free(MSG_EXIT, body);
}

static const struct session_ops caller_ops = {
	.send = on_send,
	.data = on_data,
	.end = on_end,
	.room = on_room,
	.reply = on_reply,
	.event = on_event,
};

static void send_open(struct caller *caller)
{
	struct msg_open open = { .session = { caller->id, sizeof(caller->id) },
				 .role = caller->role,
				 .handle = caller->handle,
				 .received_stdout = caller->session.in[STREAM_STDOUT].received,
				 .received_stderr = caller->session.in[STREAM_STDERR].received };

	caller->open = false;
	send_message(caller->rig, FRAME_OPEN, caller->channel, MSG_OPEN, &open);
	rig_until(caller->rig, &caller->open, "OPENED");
}

struct caller *caller_open(struct rig *rig, uint32_t role, uint64_t handle)
{
	struct caller *caller = calloc(1, sizeof(*caller));

	cr_assert(rig->next_channel < RIG_CALLERS);
	caller->rig = rig;
	caller->role = role;
	caller->handle = handle;
	caller->channel = rig->next_channel++;
	caller->reply_type = MSG_NONE;
	rig->callers[caller->channel] = caller;
	cr_assert(getrandom(caller->id, sizeof(caller->id), 0) == sizeof(caller->id));
	session_init(&caller->session, false, &caller_ops, caller);
	send_open(caller);
	return caller;
}

void caller_reopen(struct caller *caller)
{
	struct rig *rig = caller->rig;

	rig->callers[caller->channel] = NULL;
	caller->channel = rig->next_channel++;
	rig->callers[caller->channel] = caller;
	send_open(caller);
}

void caller_close(struct caller *caller, enum close_reason reason)
{
	struct msg_close close = { .reason = reason, .text = (char[]){ "" } };

	send_message(caller->rig, FRAME_CLOSE, caller->channel, MSG_CLOSE, &close);
	session_link_down(&caller->session);
	caller->closed = true;
}

enum msg_type caller_ask(struct caller *caller, enum msg_type type, const void *body)
{
	struct error err;

	wire_free(caller->reply_type, caller->reply);
	caller->reply = NULL;
	caller->reply_type = MSG_NONE;
	caller->replied = false;
	cr_assert(session_request(&caller->session, type, body, &err) == 0, "%s", err.text);
	rig_until(caller->rig, &caller->replied, wire_name(type));
	return caller->reply_type;
}

static void check_answer(struct caller *caller, enum msg_type asked, enum msg_type wanted)
{
	const struct msg_failed *failed = caller->reply;

	cr_assert(caller->reply_type == wanted, "%s gave %s%s%s", wire_name(asked),
		  wire_name(caller->reply_type), caller->reply_type == MSG_FAILED ? ": " : "",
		  caller->reply_type == MSG_FAILED ? failed->text : "");
}

void caller_must(struct caller *caller, enum msg_type type, const void *body)
{
	caller_ask(caller, type, body);
	check_answer(caller, type, MSG_DONE);
}

uint64_t caller_must_create(struct caller *caller, enum msg_type type, const void *body)
{
	const struct msg_created *created;

	caller_ask(caller, type, body);
	check_answer(caller, type, MSG_CREATED);
	created = caller->reply;
	cr_assert(created->handle > 0 && created->pid > 1);
	return created->handle;
}

void caller_must_fail(struct caller *caller, enum msg_type type, const void *body, int errnum,
		      const char *text)
{
	const struct msg_failed *failed;

	caller_ask(caller, type, body);
	cr_assert(caller->reply_type == MSG_FAILED, "%s gave %s", wire_name(type),
		  wire_name(caller->reply_type));
	failed = caller->reply;
	cr_expect_str_eq(failed->text, text);
	cr_expect(failed->errnum == (uint32_t)errnum, "%s: errno %u instead of %d", text,
		  failed->errnum, errnum);
}

void caller_write(struct caller *caller, const void *data, size_t n)
{
	int64_t deadline = deadline_in_ms(RIG_WAIT_MS);
	const uint8_t *p = data;

	while (n > 0) {
		size_t taken = session_write(&caller->session, STREAM_STDIN, p, n);

		p += taken;
		n -= taken;
		cr_assert(deadline_left_ms(deadline) > 0, "stdin is not taken");
		cr_assert(take(caller->rig, taken > 0 ? 0 : 200), "the link ended");
	}
}

char *caller_text(struct caller *caller, unsigned stream)
{
	size_t n = buf_len(&caller->out[stream]);
	char *text = malloc(n + 1);

	if (n > 0)
		memcpy(text, buf_at(&caller->out[stream]), n);
	text[n] = '\0';
	return text;
}

void caller_expect(struct caller *caller, const char *text)
{
	int64_t deadline = deadline_in_ms(RIG_WAIT_MS);

	for (;;) {
		CLEANUP(freep) char *got = caller_text(caller, STREAM_STDOUT);

		if (strstr(got, text) != NULL)
			return;
		cr_assert(deadline_left_ms(deadline) > 0, "\"%s\" did not come, but \"%s\"", text,
			  got);
		cr_assert(take(caller->rig, 200), "the link ended");
	}
}

int caller_wait_exit(struct caller *caller)
{
	int64_t deadline = deadline_in_ms(RIG_WAIT_MS);

	rig_until(caller->rig, &caller->exited, "EXIT");
	while (caller->session.in[STREAM_STDOUT].received < caller->exit.stdout_end ||
	       caller->session.in[STREAM_STDERR].received < caller->exit.stderr_end) {
		cr_assert(deadline_left_ms(deadline) > 0, "output up to %llu, %llu did not come",
			  (unsigned long long)caller->exit.stdout_end,
			  (unsigned long long)caller->exit.stderr_end);
		cr_assert(take(caller->rig, 200), "the link ended");
	}
	return (int)caller->exit.code;
}
