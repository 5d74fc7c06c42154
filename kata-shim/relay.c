/*
 * Names: see relay.h. Part of struct shim, in its loop. What arrives comes from the guest: how many
 * questions there are at one time is bounded, each has a deadline, and they go to one address only.
 */
#include "kata-shim/relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/relay.h"

enum { ANSWER_MS = 15000, SERVER_PORT = 53 };

static const char server_address[] = "127.0.0.11";

struct relay_question {
	struct relay_question *next;
	struct relay *relay;
	uint32_t number;
	enum relay_kind kind;
	int fd;
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned handles; /* open ones */
	struct buf out;   /* TCP: not sent yet, its length before it */
	struct buf in;    /* TCP: what has come of the answer */
};

/* --- the end of a question ------------------------------------------------------------------- */

static void on_question_closed(uv_handle_t *handle)
{
	struct relay_question *q = handle->data;

	if (--q->handles > 0)
		return;
	fd_close(&q->fd);
	buf_fini(&q->out);
	buf_fini(&q->in);
	free(q);
}

static void end_question(struct relay_question *q)
{
	struct relay_question **at = &q->relay->questions;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	q->relay->n_questions--;
	uv_close((uv_handle_t *)&q->poll, on_question_closed);
	uv_close((uv_handle_t *)&q->timer, on_question_closed);
}

/* An answer that finds no room is lost, as on a network: who asked will ask again. */
static void send_answer(struct relay *relay, uint32_t number, enum relay_kind kind,
			const uint8_t *message, size_t len)
{
	const struct relay_record record = { .number = number, .kind = kind, .len = (uint16_t)len };
	uint8_t header[RELAY_HEADER];

	if (session_room(&relay->session, STREAM_STDIN) < sizeof(header) + len)
		return;
	relay_put_header(header, &record);
	session_write(&relay->session, STREAM_STDIN, header, sizeof(header));
	if (len > 0)
		session_write(&relay->session, STREAM_STDIN, message, len);
}

static void answer(struct relay_question *q, const uint8_t *message, size_t len)
{
	send_answer(q->relay, q->number, q->kind, message, len);
	end_question(q);
}

static void on_timeout(uv_timer_t *timer)
{
	answer(timer->data, NULL, 0);
}

/* --- asking ---------------------------------------------------------------------------------- */

static void read_datagram(struct relay_question *q)
{
	static uint8_t message[RELAY_MESSAGE_MAX];
	ssize_t n = recv(q->fd, message, sizeof(message), MSG_DONTWAIT);

	if (n >= 0 || (errno != EAGAIN && errno != EINTR))
		answer(q, message, n > 0 ? (size_t)n : 0);
}

/* Whether the question goes on. */
static bool write_stream(struct relay_question *q)
{
	ssize_t n = send(q->fd, buf_at(&q->out), buf_len(&q->out), MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0) {
		buf_consume(&q->out, (size_t)n);
	} else if (errno != EAGAIN && errno != EINTR) {
		answer(q, NULL, 0);
		return false;
	}
	return true;
}

static void read_stream(struct relay_question *q)
{
	uint8_t *room = buf_reserve(&q->in, 4096);
	ssize_t n = room == NULL ? 0 : recv(q->fd, room, 4096, MSG_DONTWAIT);
	const uint8_t *p;
	size_t len;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		answer(q, NULL, 0);
		return;
	}
	buf_commit(&q->in, (size_t)n);
	p = buf_at(&q->in);
	len = buf_len(&q->in) < 2 ? SIZE_MAX : (size_t)p[0] << 8 | p[1];
	if (len != SIZE_MAX && buf_len(&q->in) >= 2 + len)
		answer(q, p + 2, len);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct relay_question *q = poll->data;

	(void)events;
	if (status < 0) {
		answer(q, NULL, 0);
	} else if (q->kind == RELAY_UDP) {
		read_datagram(q);
	} else if (buf_len(&q->out) == 0) {
		read_stream(q);
	} else if (write_stream(q) && buf_len(&q->out) == 0) {
		uv_poll_start(poll, UV_READABLE, on_poll);
	}
}

static int connect_question(struct relay_question *q)
{
	int type = q->kind == RELAY_UDP ? SOCK_DGRAM : SOCK_STREAM;

	q->fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (q->fd < 0)
		return -errno;
	if (connect(q->fd, (const struct sockaddr *)&q->relay->server, sizeof(q->relay->server)) <
		    0 &&
	    errno != EINPROGRESS)
		return -errno;
	return 0;
}

static int send_question(struct relay_question *q, const struct relay_record *record)
{
	const uint8_t head[2] = { (uint8_t)(record->len >> 8), (uint8_t)record->len };

	if (q->kind == RELAY_UDP)
		return send(q->fd, record->message, record->len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0
			       ? -errno
			       : 0;
	if (buf_append(&q->out, head, sizeof(head)) < 0)
		return -ENOMEM;
	return buf_append(&q->out, record->message, record->len);
}

static void drop(struct relay_question *q)
{
	fd_close(&q->fd);
	buf_fini(&q->out);
	free(q);
}

static int ask(struct relay *relay, const struct relay_record *record)
{
	struct relay_question *q;
	int r;

	if (relay->n_questions >= RELAY_OPEN_MAX || record->len == 0)
		return -EBUSY;
	q = calloc(1, sizeof(*q));
	if (q == NULL)
		return -ENOMEM;
	q->relay = relay;
	q->number = record->number;
	q->kind = record->kind;
	r = connect_question(q);
	if (r == 0)
		r = send_question(q, record);
	if (r == 0)
		r = uv_poll_init(relay->loop, &q->poll, q->fd);
	if (r < 0) {
		drop(q);
		return r;
	}
	uv_timer_init(relay->loop, &q->timer);
	q->poll.data = q->timer.data = q;
	q->handles = 2;
	q->next = relay->questions;
	relay->questions = q;
	relay->n_questions++;
	uv_timer_start(&q->timer, on_timeout, ANSWER_MS, 0);
	uv_poll_start(&q->poll, q->kind == RELAY_UDP ? UV_READABLE : UV_WRITABLE, on_poll);
	return 0;
}

/* --- the session ----------------------------------------------------------------------------- */

static void on_send(struct session *session, enum frame_type type, uint8_t flags, uint32_t id,
		    const void *head, size_t head_len, const void *body, size_t body_len)
{
	struct relay *relay = session->owner;

	link_send(&relay->link, type, flags, id, head, head_len, body, body_len);
}

static void on_data(struct session *session, unsigned stream, const uint8_t *bytes, size_t n)
{
	struct relay *relay = session->owner;
	struct relay_record record;
	int r = buf_append(&relay->input, bytes, n);

	session_consumed(session, stream, n);
	while (r == 0 && (r = relay_next(&relay->input, &record)) == 1) {
		if (ask(relay, &record) < 0)
			send_answer(relay, record.number, record.kind, NULL, 0);
		relay_took(&relay->input, &record);
		r = 0;
	}
	if (r < 0) {
		log_warning("the guest's name relay broke the rules");
		relay_stop(relay);
	}
}

static void on_nothing(struct session *session, unsigned stream)
{
	(void)session;
	(void)stream;
}

static void on_unasked(struct session *session, const struct frame *frame)
{
	(void)session;
	(void)frame;
}

static const struct session_ops session_ops = {
	.send = on_send,
	.data = on_data,
	.end = on_nothing,
	.room = on_nothing,
	.reply = on_unasked,
	.event = on_unasked,
};

/* --- the link -------------------------------------------------------------------------------- */

static void on_describe(struct link *link, struct msg_open *open)
{
	struct relay *relay = link->owner;

	open->role = ROLE_RELAY;
	open->received_stdout = relay->session.in[STREAM_STDOUT].received;
}

static int on_opened(struct link *link, const struct msg_opened *opened, struct error *err)
{
	struct relay *relay = link->owner;
	const uint64_t received[STREAM_COUNT] = { [STREAM_STDIN] = opened->received_stdin };

	return session_link_up(&relay->session, received) < 0
		       ? error_say(err, EBADMSG, "the agent tells of bytes that were never sent")
		       : 0;
}

static int on_frame(struct link *link, const struct frame *frame, struct error *err)
{
	struct relay *relay = link->owner;

	return session_frame(&relay->session, frame, err);
}

static void on_down(struct link *link)
{
	struct relay *relay = link->owner;

	session_link_down(&relay->session);
}

static void on_over(struct link *link, int closed, const struct error *err)
{
	log_debug("the name relay is over", KV("closed", closed), KV_ERR(err));
	relay_stop(link->owner);
}

static void on_finished(struct link *link)
{
	(void)link;
}

static const struct link_ops link_ops = {
	.describe = on_describe,
	.opened = on_opened,
	.frame = on_frame,
	.down = on_down,
	.over = on_over,
	.finished = on_finished,
};

void relay_start(struct relay *relay, uv_loop_t *loop, const char *socket,
		 const struct sockaddr_in *server)
{
	struct error err;

	*relay = (struct relay){ .loop = loop };
	if (server != NULL) {
		relay->server = *server;
	} else {
		relay->server = (struct sockaddr_in){ .sin_family = AF_INET,
						      .sin_port = htons(SERVER_PORT) };
		relay->server.sin_addr.s_addr = inet_addr(server_address);
	}
	session_init(&relay->session, false, &session_ops, relay);
	relay->started = true;
	if (link_start(&relay->link, loop, socket, &link_ops, relay, &err) < 0) {
		log_warning("no name relay", KV_ERR(&err));
		relay_stop(relay);
	}
}

void relay_stop(struct relay *relay)
{
	if (!relay->started)
		return;
	relay->started = false;
	session_link_down(&relay->session);
	link_close(&relay->link);
	while (relay->questions != NULL)
		end_question(relay->questions);
}

void relay_fini(struct relay *relay)
{
	session_fini(&relay->session);
	buf_fini(&relay->input);
}
