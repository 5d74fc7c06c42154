/* A proxy and an agent in one, for tests of kata-shim: see fake-agent.h. */
#include "tests/fake/fake-agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/frame.h"
#include "common/wire.h"

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void fail(struct fake_agent *agent, const char *what, const char *why)
{
	if (agent->failure[0] == '\0')
		snprintf(agent->failure, sizeof(agent->failure), "%s: %.180s", what, why);
}

/* --- sending --------------------------------------------------------------------------------- */

void fake_agent_send_raw(struct fake_agent *agent, const void *bytes, size_t n)
{
	if (buf_append(&agent->output, bytes, n) < 0)
		die("fake agent: memory");
}

static void send_frame(struct fake_agent *agent, struct frame *frame, const void *head,
		       size_t head_len, const void *body, size_t body_len)
{
	uint8_t header[FRAME_HEADER];

	frame->length = (uint32_t)(head_len + body_len);
	frame_put_header(header, frame);
	fake_agent_send_raw(agent, header, sizeof(header));
	fake_agent_send_raw(agent, head, head_len);
	fake_agent_send_raw(agent, body, body_len);
}

static void send_message(struct fake_agent *agent, struct frame *frame, enum msg_type type,
			 const void *body)
{
	CLEANUP(buf_fini) struct buf payload = { 0 };
	struct error err;

	if (wire_encode(type, body, &payload, &err) < 0) {
		fprintf(stderr, "fake agent: %s\n", err.text);
		exit(2);
	}
	send_frame(agent, frame, NULL, 0, buf_at(&payload), buf_len(&payload));
}

void fake_agent_send_close(struct fake_agent *agent, uint32_t channel, enum close_reason reason,
			   const char *text)
{
	struct frame frame = { .channel = channel, .type = FRAME_CLOSE };
	char words[256];
	struct msg_close body = { .reason = reason, .text = words };

	snprintf(words, sizeof(words), "%s", text);
	send_message(agent, &frame, MSG_CLOSE, &body);
}

void fake_agent_exit(struct fake_agent *agent, uint64_t handle, uint32_t code)
{
	struct msg_exit body = { .handle = handle,
				 .code = code,
				 .stdout_end = agent->total[STREAM_STDOUT],
				 .stderr_end = agent->total[STREAM_STDERR] };
	struct error err;

	if (session_event(&agent->session, MSG_EXIT, &body, &err) < 0)
		fail(agent, "EXIT", err.text);
}

/* Gives the session as much of the pattern as it takes. */
static void produce(struct fake_agent *agent)
{
	uint8_t bytes[STREAM_WINDOW];

	for (unsigned i = STREAM_STDOUT; i <= STREAM_STDERR && agent->opened; i++) {
		uint64_t left = agent->total[i] - agent->sent[i];
		size_t n = session_room(&agent->session, i);

		n = n < left ? n : (size_t)left;
		for (size_t k = 0; k < n; k++)
			bytes[k] = fake_agent_byte(i, agent->sent[i] + k);
		agent->sent[i] += session_write(&agent->session, i, bytes, n);
		if (agent->end[i] && agent->sent[i] == agent->total[i]) {
			agent->end[i] = false;
			session_end_stream(&agent->session, i);
		}
	}
}

/* --- the session ----------------------------------------------------------------------------- */

static void on_send(struct session *session, enum frame_type type, uint8_t flags, uint32_t id,
		    const void *head, size_t head_len, const void *body, size_t body_len)
{
	struct frame frame = { .channel = 1, .type = (uint8_t)type, .flags = flags, .id = id };

	send_frame(session->owner, &frame, head, head_len, body, body_len);
}

static void on_data(struct session *session, unsigned stream, const uint8_t *bytes, size_t n)
{
	struct fake_agent *agent = session->owner;

	for (size_t i = 0; i < n; i++) {
		if (bytes[i] != fake_agent_byte(stream, agent->received + i))
			fail(agent, "stdin", "a byte differs");
	}
	agent->received += n;
	if (agent->stdin_end)
		fail(agent, "stdin", "bytes behind its end");
	if (!agent->hold_stdin)
		session_consumed(session, stream, n);
}

static void on_end(struct session *session, unsigned stream)
{
	struct fake_agent *agent = session->owner;

	(void)stream;
	agent->stdin_end = true;
}

static void on_room(struct session *session, unsigned stream)
{
	(void)session; /* produce() is called at each step */
	(void)stream;
}

static void on_request(struct session *session, uint32_t id, const struct frame *frame)
{
	struct fake_agent *agent = session->owner;
	struct fake_agent_request request = { 0 };
	uint64_t handle = 0;
	struct error err;
	void *body;

	if (wire_decode(frame->payload, frame->length, &request.type, &body, &err) < 0) {
		fail(agent, "request", err.text);
		return;
	}
	if (request.type == MSG_SIGNAL) {
		const struct msg_signal *m = body;

		handle = m->handle;
		request.signum = m->signum;
	} else if (request.type == MSG_WINSIZE) {
		const struct msg_winsize *m = body;

		handle = m->handle;
		request.rows = m->rows;
		request.columns = m->columns;
	} else {
		fail(agent, "request", "neither SIGNAL nor WINSIZE");
	}
	wire_free(request.type, body);
	if (handle != FAKE_AGENT_HANDLE)
		fail(agent, "request", "another handle");
	if (agent->n_requests < FAKE_AGENT_REQUESTS)
		agent->requests[agent->n_requests++] = request;
	if (!agent->hold_replies && session_reply(session, id, MSG_DONE, NULL, &err) < 0)
		fail(agent, "reply", err.text);
}

void fake_agent_answer(struct fake_agent *agent)
{
	struct error err;

	if (session_reply(&agent->session, agent->session.request_id, MSG_DONE, NULL, &err) < 0)
		fail(agent, "reply", err.text);
}

static const struct session_ops ops = {
	.send = on_send,
	.data = on_data,
	.end = on_end,
	.room = on_room,
	.request = on_request,
};

/* --- receiving ------------------------------------------------------------------------------- */

static void on_hello(struct fake_agent *agent, const struct frame *frame)
{
	CLEANUP(buf_fini) struct buf payload = { 0 };
	struct msg_hello mine = { .version = PROTOCOL_VERSION,
				  .component = (char[]){ "agent" },
				  .release = (char[]){ "fake" } };
	struct frame answer = { .type = FRAME_HELLO, .flags = FRAME_ACK };
	uint8_t nonce[FRAME_NONCE];
	struct msg_hello *hello;
	struct error err;

	if (frame_get_hello(frame, nonce, &hello, &err) < 0) {
		fail(agent, "HELLO", err.text);
		return;
	}
	if (strcmp(hello->component, "shim") != 0)
		fail(agent, "HELLO from", hello->component);
	wire_free(MSG_HELLO, hello);
	agent->greeted = true;
	if (agent->deaf)
		return;
	frame_put_hello(&payload, nonce, &mine, &err);
	send_frame(agent, &answer, NULL, 0, buf_at(&payload), buf_len(&payload));
}

static void on_open(struct fake_agent *agent, const struct frame *frame)
{
	struct frame answer = { .channel = 1, .type = FRAME_OPEN, .flags = FRAME_ACK };
	struct msg_opened opened = { .received_stdin = agent->received };
	uint64_t received[STREAM_COUNT] = { 0 };
	const struct msg_open *open;
	struct error err;
	void *body;

	if (wire_decode_as(MSG_OPEN, frame->payload, frame->length, &body, &err) < 0) {
		fail(agent, "OPEN", err.text);
		return;
	}
	open = body;
	if (open->role != ROLE_SHIM || open->handle != FAKE_AGENT_HANDLE || open->session.len != 16)
		fail(agent, "OPEN", "role, handle or session is wrong");
	received[STREAM_STDOUT] = open->received_stdout;
	received[STREAM_STDERR] = open->received_stderr;
	wire_free(MSG_OPEN, body);
	if (agent->refuse) {
		fake_agent_send_close(agent, 1, CLOSE_REFUSED, "there is no such handle");
		return;
	}
	send_message(agent, &answer, MSG_OPENED, &opened);
	if (session_link_up(&agent->session, received) < 0)
		fail(agent, "OPEN", "offsets");
	agent->opened = true;
}

static void on_close(struct fake_agent *agent, const struct frame *frame)
{
	struct error err;
	void *body;

	if (wire_decode_as(MSG_CLOSE, frame->payload, frame->length, &body, &err) < 0) {
		fail(agent, "CLOSE", err.text);
		return;
	}
	agent->close_reason = (int)((struct msg_close *)body)->reason;
	wire_free(MSG_CLOSE, body);
}

static void on_frame(struct fake_agent *agent, const struct frame *frame)
{
	struct error err;

	if (frame->channel != (frame->type == FRAME_HELLO || frame->type == FRAME_PONG ? 0 : 1))
		fail(agent, frame_type_name(frame->type), "wrong channel");
	if (agent->close_reason >= 0)
		fail(agent, frame_type_name(frame->type), "after CLOSE");
	if (frame->type == FRAME_HELLO)
		on_hello(agent, frame);
	else if (frame->type == FRAME_OPEN)
		on_open(agent, frame);
	else if (frame->type == FRAME_CLOSE)
		on_close(agent, frame);
	else if (frame->type == FRAME_PONG)
		agent->pongs++;
	else if (session_frame(&agent->session, frame, &err) < 0)
		fail(agent, "session", err.text);
	if (frame->type == FRAME_EVENT && (frame->flags & FRAME_ACK))
		agent->exit_acknowledged = true;
}

static void receive(struct fake_agent *agent)
{
	uint8_t *to = buf_reserve(&agent->input, 65536);
	ssize_t n = recv(agent->fd, to, 65536, MSG_DONTWAIT);
	struct frame frame;
	struct error err;
	int r;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		agent->gone = true;
		return;
	}
	buf_commit(&agent->input, (size_t)n);
	while ((r = frame_next(&agent->input, &frame, &err)) == 1) {
		on_frame(agent, &frame);
		buf_consume(&agent->input, FRAME_HEADER + frame.length);
	}
	if (r < 0)
		fail(agent, "frame", err.text);
}

static void transmit(struct fake_agent *agent)
{
	while (buf_len(&agent->output) > 0) {
		ssize_t n = send(agent->fd, buf_at(&agent->output), buf_len(&agent->output),
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) { /* the rest can be read still */
			buf_fini(&agent->output);
			return;
		}
		buf_consume(&agent->output, (size_t)n);
	}
}

void fake_agent_step(struct fake_agent *agent, struct pollfd *more, unsigned count, int timeout_ms)
{
	struct pollfd p[16] = { { .fd = agent->fd < 0 && !agent->gone ? agent->listener : -1,
				  .events = POLLIN } };
	short wanted = agent->stop_reading ? 0 : POLLIN;

	produce(agent);
	if (agent->fd >= 0)
		transmit(agent);
	p[1].fd = agent->gone ? -1 : agent->fd;
	p[1].events = (short)(wanted | (buf_len(&agent->output) > 0 ? POLLOUT : 0));
	for (unsigned i = 0; i < count; i++)
		p[2 + i] = more[i];
	if (poll(p, 2 + count, timeout_ms) < 0)
		die("fake agent: poll");
	for (unsigned i = 0; i < count; i++)
		more[i].revents = p[2 + i].revents;
	if (p[0].revents & POLLIN) {
		agent->fd = accept4(agent->listener, NULL, NULL, SOCK_CLOEXEC);
		agent->connections++;
	}
	if (p[1].revents & (POLLIN | POLLHUP) && !agent->stop_reading)
		receive(agent);
	if (agent->fd >= 0)
		transmit(agent);
}

/* --- the beginning and the end --------------------------------------------------------------- */

void fake_agent_open(struct fake_agent *agent)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	*agent = (struct fake_agent){ .fd = -1, .close_reason = -1 };
	snprintf(agent->dir, sizeof(agent->dir), "/tmp/fake-agent-XXXXXX");
	if (mkdtemp(agent->dir) == NULL || chmod(agent->dir, 0711) < 0)
		die("fake agent: directory");
	snprintf(address.sun_path, sizeof(address.sun_path), "%.63s/proxy.sock", agent->dir);
	agent->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(agent->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(address.sun_path, 0666) < 0 || listen(agent->listener, 4) < 0)
		die("fake agent: socket");
	session_init(&agent->session, true, &ops, agent);
}

void fake_agent_hang_up(struct fake_agent *agent)
{
	transmit(agent);
	fd_close(&agent->fd);
	fd_close(&agent->listener);
	agent->gone = true;
	session_link_down(&agent->session);
}

void fake_agent_cut(struct fake_agent *agent)
{
	fd_close(&agent->fd);
	buf_fini(&agent->input);
	buf_fini(&agent->output);
	agent->greeted = agent->opened = false;
	session_link_down(&agent->session);
}

void fake_agent_close(struct fake_agent *agent)
{
	char path[96];

	fd_close(&agent->fd);
	fd_close(&agent->listener);
	snprintf(path, sizeof(path), "%.63s/proxy.sock", agent->dir);
	unlink(path);
	rmdir(agent->dir);
	session_fini(&agent->session);
	buf_fini(&agent->input);
	buf_fini(&agent->output);
}
