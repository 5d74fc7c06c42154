/* kata-agent/dns.c: questions over UDP and TCP to a relay that is the test, and its answers. */
#include "kata-agent/dns.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/loop.h"
#include "kata-agent/dns-redirect.h"

static struct buf sent; /* what went to the relay: records */

static void on_send(struct session *session, enum frame_type type, uint8_t flags, uint32_t id,
		    const void *head, size_t head_len, const void *body, size_t body_len)
{
	(void)session;
	(void)flags;
	(void)id;
	(void)head;
	(void)head_len;
	if (type == FRAME_DATA)
		cr_assert(buf_append(&sent, body, body_len) == 0);
}

static void on_room(struct session *session, unsigned stream)
{
	(void)session;
	(void)stream;
}

static const struct session_ops ops = { .send = on_send, .room = on_room };

struct stand {
	uv_loop_t loop;
	struct dns dns;
	struct client client;
};

static struct stand *begin(void)
{
	struct stand *s = calloc(1, sizeof(*s));
	struct error err = { 0 };

	cr_assert(s != NULL && loop_start(&s->loop, &err) == 0);
	dns_init(&s->dns, &s->loop);
	s->client.role = ROLE_RELAY;
	session_init(&s->client.session, true, &ops, &s->client);
	cr_assert(session_link_up(&s->client.session, (uint64_t[STREAM_COUNT]){ 0 }) == 0);
	cr_assert(dns_attach(&s->dns, &s->client, NULL, &err) == 0, "%s", err.text);
	return s;
}

static void end(struct stand *s)
{
	struct error err = { 0 };

	dns_stop(&s->dns);
	cr_expect(loop_run(&s->loop, 1000, &err) == 0, "%s", err.text);
	session_fini(&s->client.session);
	buf_fini(&sent);
	free(s);
}

static int connect_to(struct stand *s, int type)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(s->dns.port) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = inet_addr(DNS_ADDRESS);
	cr_assert(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

/* Runs the loop until a question has come: it. */
static struct relay_record next_question(struct stand *s)
{
	struct relay_record record;

	while (relay_next(&sent, &record) != 1)
		uv_run(&s->loop, UV_RUN_ONCE);
	return record;
}

static void give_answer(struct stand *s, uint32_t number, enum relay_kind kind, const char *text)
{
	const struct relay_record record = { .number = number,
					     .kind = kind,
					     .len = (uint16_t)strlen(text) };
	uint8_t bytes[64];

	relay_put_header(bytes, &record);
	memcpy(bytes + RELAY_HEADER, text, strlen(text));
	cr_assert(dns_input(&s->dns, bytes, RELAY_HEADER + strlen(text)) == 0);
	for (int i = 0; i < 5; i++)
		uv_run(&s->loop, UV_RUN_NOWAIT);
}

Test(dns, over_udp)
{
	struct stand *s = begin();
	CLEANUP(fd_close) int one = connect_to(s, SOCK_DGRAM);
	CLEANUP(fd_close) int two = connect_to(s, SOCK_DGRAM);
	uint32_t numbers[2];
	char text[16] = "";

	cr_assert(send(one, "first", 5, 0) == 5);
	numbers[0] = next_question(s).number;
	relay_took(&sent, &(struct relay_record){ .len = 5 });
	cr_assert(send(two, "other", 5, 0) == 5);
	numbers[1] = next_question(s).number;
	cr_expect(numbers[0] != numbers[1]);
	give_answer(s, numbers[1], RELAY_UDP, "two");
	give_answer(s, numbers[0], RELAY_UDP, "one");
	cr_expect(recv(one, text, sizeof(text), MSG_DONTWAIT) == 3 && memcmp(text, "one", 3) == 0);
	cr_expect(recv(two, text, sizeof(text), MSG_DONTWAIT) == 3 && memcmp(text, "two", 3) == 0);
	/* A second answer, one that nobody waits for, and none at all are nothing. */
	give_answer(s, numbers[0], RELAY_UDP, "again");
	give_answer(s, 4711, RELAY_UDP, "x");
	give_answer(s, 0, RELAY_TCP, "x");
	cr_expect(recv(one, text, sizeof(text), MSG_DONTWAIT) < 0);
	end(s);
}

Test(dns, over_tcp_one_after_the_other)
{
	struct stand *s = begin();
	CLEANUP(fd_close) int fd = connect_to(s, SOCK_STREAM);
	struct relay_record record;
	char text[16] = "";
	uint32_t first;

	cr_assert(send(fd, "\0\3abc\0\2de", 9, 0) == 9);
	shutdown(fd, SHUT_WR);
	record = next_question(s);
	first = record.number;
	cr_expect(record.kind == RELAY_TCP && record.len == 3);
	relay_took(&sent, &record);
	for (int i = 0; i < 5; i++)
		uv_run(&s->loop, UV_RUN_NOWAIT);
	cr_expect(relay_next(&sent, &record) == 0, "the second one waits");
	give_answer(s, first, RELAY_TCP, "ABC");
	record = next_question(s);
	cr_expect(record.len == 2 && memcmp(record.message, "de", 2) == 0);
	give_answer(s, record.number, RELAY_TCP, "");
	cr_expect(recv(fd, text, sizeof(text), MSG_DONTWAIT) == 5);
	cr_expect(memcmp(text, "\0\3ABC", 5) == 0);
	cr_expect(recv(fd, text, sizeof(text), MSG_DONTWAIT) == 0, "no answer ends it");
	end(s);
}

Test(dns, a_relay_that_breaks_the_rules_or_goes)
{
	struct stand *s = begin();
	struct client other = { .role = ROLE_RELAY };
	struct error err = { 0 };
	uint16_t port = s->dns.port;

	cr_expect(dns_attach(&s->dns, &other, NULL, &err) == -EBUSY);
	dns_detach(&s->dns, &other);
	cr_expect(s->dns.client == &s->client);
	cr_expect(dns_input(&s->dns, (const uint8_t *)"\0\0\0\1\7\0\0\0", 8) == -EBADMSG);
	dns_detach(&s->dns, &s->client);
	cr_expect(dns_attach(&s->dns, &s->client, NULL, &err) == 0 && s->dns.port == port);
	end(s);
}
