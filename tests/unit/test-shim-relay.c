/* kata-shim/relay.c: questions from an agent that is the test, to a name server that it is too. */
#include "kata-shim/relay.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/loop.h"
#include "common/relay.h"

static struct buf answers; /* what went to the agent: records */

static void on_send(struct session *session, enum frame_type type, uint8_t flags, uint32_t id,
		    const void *head, size_t head_len, const void *body, size_t body_len)
{
	(void)session;
	(void)flags;
	(void)id;
	(void)head;
	(void)head_len;
	if (type == FRAME_DATA)
		cr_assert(buf_append(&answers, body, body_len) == 0);
}

struct stand {
	uv_loop_t loop;
	struct relay relay;
	struct session_ops ops; /* the relay's own, but what is sent comes to the test */
	char socket[64];
	int proxy; /* takes the relay's connection, and says nothing */
	int server;
};

/* A name server of that type, which is asked from then on. */
static int open_server(int type, struct sockaddr_in *ret)
{
	socklen_t len = sizeof(*ret);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	*ret = (struct sockaddr_in){ .sin_family = AF_INET };
	ret->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)ret, len) == 0);
	cr_assert(getsockname(fd, (struct sockaddr *)ret, &len) == 0);
	cr_assert(type == SOCK_DGRAM || listen(fd, 80) == 0);
	return fd;
}

static struct stand *begin(int type)
{
	struct stand *s = calloc(1, sizeof(*s));
	struct sockaddr_un proxy = { .sun_family = AF_UNIX };
	struct sockaddr_in server;
	struct error err = { 0 };

	cr_assert(s != NULL && loop_start(&s->loop, &err) == 0);
	snprintf(s->socket, sizeof(s->socket), "/tmp/test-shim-relay.%d", getpid());
	strcpy(proxy.sun_path, s->socket);
	s->proxy = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unlink(s->socket);
	cr_assert(bind(s->proxy, (struct sockaddr *)&proxy, sizeof(proxy)) == 0);
	cr_assert(listen(s->proxy, 1) == 0);
	s->server = open_server(type, &server);
	relay_start(&s->relay, &s->loop, s->socket, &server);
	cr_assert(s->relay.started);
	s->ops = *s->relay.session.ops;
	s->ops.send = on_send;
	s->relay.session.ops = &s->ops;
	cr_assert(session_link_up(&s->relay.session, (uint64_t[STREAM_COUNT]){ 0 }) == 0);
	return s;
}

static void end(struct stand *s)
{
	struct error err = { 0 };

	relay_stop(&s->relay);
	relay_stop(&s->relay);
	cr_expect(s->relay.questions == NULL && s->relay.n_questions == 0);
	cr_expect(loop_run(&s->loop, 1000, &err) == 0, "%s", err.text);
	relay_fini(&s->relay);
	fd_close(&s->proxy);
	fd_close(&s->server);
	unlink(s->socket);
	buf_fini(&answers);
	free(s);
}

/* Bytes from the agent, as the session gives them. */
static void give(struct stand *s, const void *bytes, size_t n)
{
	s->relay.session.in[STREAM_STDOUT].received += n;
	s->ops.data(&s->relay.session, STREAM_STDOUT, bytes, n);
}

static void ask(struct stand *s, uint32_t number, enum relay_kind kind, const char *question)
{
	const struct relay_record record = { .number = number,
					     .kind = kind,
					     .len = (uint16_t)strlen(question) };
	uint8_t bytes[64];

	relay_put_header(bytes, &record);
	memcpy(bytes + RELAY_HEADER, question, strlen(question));
	give(s, bytes, RELAY_HEADER + strlen(question));
}

/* Takes the next answer, which must be that. */
static void expect(struct stand *s, uint32_t number, enum relay_kind kind, const char *text)
{
	struct relay_record record;

	while (relay_next(&answers, &record) != 1)
		uv_run(&s->loop, UV_RUN_ONCE);
	cr_expect(record.number == number && record.kind == kind);
	cr_expect(record.len == strlen(text) && memcmp(record.message, text, record.len) == 0);
	relay_took(&answers, &record);
}

static void turn(struct stand *s)
{
	for (int i = 0; i < 5; i++)
		uv_run(&s->loop, UV_RUN_NOWAIT);
}

Test(shim_relay, over_udp)
{
	struct stand *s = begin(SOCK_DGRAM);
	struct sockaddr_in peers[2];
	char text[16];

	ask(s, 1, RELAY_UDP, "first");
	ask(s, 2, RELAY_UDP, "other");
	for (int i = 0; i < 2; i++) {
		socklen_t len = sizeof(peers[i]);

		cr_assert(recvfrom(s->server, text, sizeof(text), 0, (struct sockaddr *)&peers[i],
				   &len) == 5);
		cr_expect(memcmp(text, i == 0 ? "first" : "other", 5) == 0);
	}
	/* Each by a socket of its own, so that the answers are not mixed up. */
	cr_assert(sendto(s->server, "two", 3, 0, (struct sockaddr *)&peers[1], sizeof(peers[1])) ==
		  3);
	expect(s, 2, RELAY_UDP, "two");
	cr_assert(sendto(s->server, "one", 3, 0, (struct sockaddr *)&peers[0], sizeof(peers[0])) ==
		  3);
	expect(s, 1, RELAY_UDP, "one");
	cr_expect(s->relay.n_questions == 0);
	end(s);
}

Test(shim_relay, over_tcp_in_parts)
{
	struct stand *s = begin(SOCK_STREAM);
	CLEANUP(fd_close) int fd = -1;
	char text[16];

	ask(s, 9, RELAY_TCP, "question");
	fd = accept4(s->server, NULL, NULL, SOCK_CLOEXEC);
	turn(s);
	cr_assert(recv(fd, text, sizeof(text), 0) == 10);
	cr_expect(memcmp(text, "\0\010question", 10) == 0);
	for (size_t i = 0; i < 8; i++) {
		cr_expect(s->relay.n_questions == 1);
		cr_assert(send(fd, "\0\006answer" + i, 1, 0) == 1);
		turn(s);
	}
	expect(s, 9, RELAY_TCP, "answer");
	end(s);
}

/* Who has no answer says so, that the guest need not wait. */
Test(shim_relay, no_answer)
{
	struct stand *s = begin(SOCK_STREAM);
	int fd;

	ask(s, 1, RELAY_UDP, "nobody hears"); /* the port is TCP's */
	expect(s, 1, RELAY_UDP, "");
	ask(s, 2, RELAY_UDP, "");
	expect(s, 2, RELAY_UDP, "");
	ask(s, 3, RELAY_TCP, "question");
	fd = accept4(s->server, NULL, NULL, SOCK_CLOEXEC);
	turn(s);
	cr_assert(send(fd, "\0\006ans", 5, 0) == 5);
	close(fd);
	expect(s, 3, RELAY_TCP, "");
	fd_close(&s->server);
	ask(s, 4, RELAY_TCP, "question");
	expect(s, 4, RELAY_TCP, "");
	end(s);
}

Test(shim_relay, questions_at_one_time_are_bounded)
{
	struct stand *s = begin(SOCK_DGRAM);

	for (uint32_t i = 0; i < RELAY_OPEN_MAX; i++)
		ask(s, i, RELAY_UDP, "x");
	cr_expect(s->relay.n_questions == RELAY_OPEN_MAX && buf_len(&answers) == 0);
	ask(s, 1000, RELAY_UDP, "x");
	expect(s, 1000, RELAY_UDP, "");
	cr_expect(s->relay.n_questions == RELAY_OPEN_MAX);
	end(s); /* which ends those that are open */
}

Test(shim_relay, what_is_no_question_ends_it)
{
	struct stand *s = begin(SOCK_DGRAM);
	static const uint8_t broken[RELAY_HEADER] = { [4] = 9 };

	/* A whole one in two parts is none of that. */
	give(s, "\0\0\0\7\1\0\0", 7);
	cr_expect(s->relay.started && s->relay.n_questions == 0);
	give(s, "\1x", 2);
	cr_expect(s->relay.started && s->relay.n_questions == 1);
	give(s, broken, sizeof(broken));
	cr_expect(!s->relay.started && s->relay.n_questions == 0);
	end(s);
}
