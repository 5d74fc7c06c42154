/*
 * The name relay's end in the guest: see dns.h. Called by client.c; everything runs in the agent's
 * loop. Questions come from containers, which are not trusted: their number and length is bounded,
 * and what cannot be passed on now is dropped, as a network would do it.
 */
#include "kata-agent/dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/str.h"
#include "kata-agent/dns-redirect.h"

enum { CONNECTIONS_MAX = 32, BACKLOG = 16, PORT_TRIES = 16, IDLE_MS = 30000 };

/* A connection over TCP; it has one question at a time on its way. */
struct dns_connection {
	struct dns_connection *next;
	struct dns *dns;
	uv_tcp_t tcp;
	uv_timer_t idle;
	unsigned handles;
	bool closing;
	bool ended;      /* nothing more will be asked: it closes with the last answer */
	uint32_t number; /* of the question; 0: none */
	struct buf input;
	uint8_t chunk[2048];
};

/* An answer that is being written; it belongs to libuv until then. */
struct writing {
	union {
		uv_write_t tcp;
		uv_udp_send_t udp;
	};
	uint8_t bytes[];
};

static uint32_t next_number(struct dns *dns)
{
	dns->last_number = dns->last_number == UINT32_MAX ? 1 : dns->last_number + 1;
	return dns->last_number;
}

/* Sends a question on: whether it went. */
static bool ask(struct dns *dns, enum relay_kind kind, uint32_t number, const uint8_t *message,
		size_t len)
{
	const struct relay_record record = { .number = number, .kind = kind, .len = (uint16_t)len };
	uint8_t header[RELAY_HEADER];

	if (dns->client == NULL ||
	    session_room(&dns->client->session, STREAM_STDOUT) < sizeof(header) + len)
		return false;
	relay_put_header(header, &record);
	session_write(&dns->client->session, STREAM_STDOUT, header, sizeof(header));
	session_write(&dns->client->session, STREAM_STDOUT, message, len);
	return true;
}

static struct writing *begin_writing(const void *head, size_t head_len, const uint8_t *message,
				     size_t len)
{
	struct writing *writing = malloc(sizeof(*writing) + head_len + len);

	if (writing == NULL)
		return NULL;
	if (head_len > 0)
		memcpy(writing->bytes, head, head_len);
	memcpy(writing->bytes + head_len, message, len);
	return writing;
}

/* --- UDP ------------------------------------------------------------------------------------- */

static void on_datagram_room(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	struct dns *dns = handle->data;

	(void)suggested;
	*ret = uv_buf_init((char *)dns->datagram, sizeof(dns->datagram));
}

static void on_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *bytes,
			const struct sockaddr *from, unsigned flags)
{
	struct dns *dns = udp->data;
	uint32_t number;

	if (n <= 0 || from == NULL || from->sa_family != AF_INET || (flags & UV_UDP_PARTIAL) != 0)
		return;
	number = next_number(dns);
	if (!ask(dns, RELAY_UDP, number, (const uint8_t *)bytes->base, (size_t)n))
		return;
	dns->questions[number % RELAY_OPEN_MAX].number = number;
	memcpy(&dns->questions[number % RELAY_OPEN_MAX].from, from, sizeof(struct sockaddr_in));
}

static void on_sent(uv_udp_send_t *send, int status)
{
	(void)status;
	free(send); /* its first member */
}

static void answer_datagram(struct dns *dns, const struct relay_record *record)
{
	struct dns_question *question = &dns->questions[record->number % RELAY_OPEN_MAX];
	struct writing *writing;
	uv_buf_t bytes;

	if (question->number != record->number || record->number == 0)
		return; /* it had to give way */
	question->number = 0;
	writing = record->len > 0 ? begin_writing(NULL, 0, record->message, record->len) : NULL;
	if (writing == NULL)
		return;
	bytes = uv_buf_init((char *)writing->bytes, record->len);
	if (uv_udp_send(&writing->udp, &dns->udp, &bytes, 1,
			(const struct sockaddr *)&question->from, on_sent) < 0)
		free(writing);
}

/* --- TCP ------------------------------------------------------------------------------------- */

static void on_connection_closed(uv_handle_t *handle)
{
	struct dns_connection *c = handle->data;

	if (--c->handles > 0)
		return;
	buf_fini(&c->input);
	free(c);
}

static void close_connection(struct dns_connection *c)
{
	struct dns_connection **at = &c->dns->connections;

	if (c->closing)
		return;
	c->closing = true;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->dns->n_connections--;
	uv_close((uv_handle_t *)&c->tcp, on_connection_closed);
	uv_close((uv_handle_t *)&c->idle, on_connection_closed);
}

static void on_idle(uv_timer_t *timer)
{
	close_connection(timer->data);
}

/* The next question of a connection, when the one before is answered. */
static void pump(struct dns_connection *c)
{
	const uint8_t *p = buf_at(&c->input);
	size_t len;

	if (c->number != 0 || buf_len(&c->input) < 2)
		return;
	len = (size_t)p[0] << 8 | p[1];
	if (len == 0) {
		close_connection(c);
		return;
	}
	if (buf_len(&c->input) < 2 + len)
		return;
	c->number = next_number(c->dns);
	if (!ask(c->dns, RELAY_TCP, c->number, p + 2, len)) {
		close_connection(c);
		return;
	}
	buf_consume(&c->input, 2 + len);
	uv_timer_start(&c->idle, on_idle, IDLE_MS, 0);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	struct dns_connection *c = handle->data;

	(void)suggested;
	*ret = uv_buf_init((char *)c->chunk, sizeof(c->chunk));
}

static void on_bytes(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
	struct dns_connection *c = stream->data;

	if (n == UV_EOF && c->number != 0) {
		c->ended = true;
		uv_read_stop(stream);
		return;
	}
	/* One question on its way and one that waits are all that is kept. */
	if (n < 0 || buf_len(&c->input) + (size_t)n > 2 * (2 + RELAY_MESSAGE_MAX) ||
	    buf_append(&c->input, bytes->base, (size_t)n) < 0) {
		close_connection(c);
		return;
	}
	pump(c);
}

static void on_connection(uv_stream_t *server, int status)
{
	struct dns *dns = server->data;
	struct dns_connection *c;

	if (status < 0)
		return;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return; /* libuv accepts no more until this one is */
	c->dns = dns;
	c->handles = 2;
	uv_tcp_init(dns->loop, &c->tcp);
	uv_timer_init(dns->loop, &c->idle);
	c->tcp.data = c->idle.data = c;
	c->next = dns->connections;
	dns->connections = c;
	dns->n_connections++;
	if (uv_accept(server, (uv_stream_t *)&c->tcp) < 0 || dns->client == NULL ||
	    dns->n_connections > CONNECTIONS_MAX ||
	    uv_read_start((uv_stream_t *)&c->tcp, on_room, on_bytes) < 0) {
		close_connection(c);
		return;
	}
	uv_timer_start(&c->idle, on_idle, IDLE_MS, 0);
}

static void on_written(uv_write_t *write, int status)
{
	struct dns_connection *c = write->handle->data;

	(void)status;
	if (c->ended && c->number == 0)
		close_connection(c);
	free(write); /* its first member */
}

static void answer_connection(struct dns *dns, const struct relay_record *record)
{
	const uint8_t head[2] = { (uint8_t)(record->len >> 8), (uint8_t)record->len };
	struct dns_connection *c = dns->connections;
	struct writing *writing;
	uv_buf_t bytes;

	while (c != NULL && c->number != record->number)
		c = c->next;
	if (c == NULL || record->number == 0)
		return;
	c->number = 0;
	writing = record->len > 0 ? begin_writing(head, 2, record->message, record->len) : NULL;
	if (writing == NULL) {
		close_connection(c);
		return;
	}
	bytes = uv_buf_init((char *)writing->bytes, 2U + record->len);
	if (uv_write(&writing->tcp, (uv_stream_t *)&c->tcp, &bytes, 1, on_written) < 0) {
		free(writing);
		close_connection(c);
		return;
	}
	pump(c);
}

/* --- listening ------------------------------------------------------------------------------- */

static void close_listeners(struct dns *dns)
{
	if (dns->port == 0)
		return;
	dns->port = 0;
	uv_close((uv_handle_t *)&dns->udp, NULL);
	uv_close((uv_handle_t *)&dns->tcp, NULL);
}

/* Two plain sockets of one port that the kernel chooses. */
static int open_sockets(int *ret_udp, int *ret_tcp, uint16_t *ret_port, struct error *err)
{
	for (int i = 0; i < PORT_TRIES; i++) {
		CLEANUP(fd_close)
		int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		CLEANUP(fd_close)
		int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		struct sockaddr_in address = { .sin_family = AF_INET };
		socklen_t len = sizeof(address);

		address.sin_addr.s_addr = inet_addr(DNS_ADDRESS);
		if (udp < 0 || tcp < 0 || bind(udp, (struct sockaddr *)&address, len) < 0 ||
		    getsockname(udp, (struct sockaddr *)&address, &len) < 0)
			return error_set(err, errno, "a socket for the name relay");
		if (bind(tcp, (struct sockaddr *)&address, len) < 0)
			continue; /* taken there */
		*ret_udp = steal_fd(&udp);
		*ret_tcp = steal_fd(&tcp);
		*ret_port = ntohs(address.sin_port);
		return 0;
	}
	return error_set(err, EADDRINUSE, "a port for the name relay");
}

static int start_listening(struct dns *dns, struct error *err)
{
	uint16_t port = 0;
	int udp = -1, tcp = -1, r = open_sockets(&udp, &tcp, &port, err);

	if (r < 0)
		return r;
	uv_udp_init(dns->loop, &dns->udp);
	uv_tcp_init(dns->loop, &dns->tcp);
	dns->udp.data = dns->tcp.data = dns;
	dns->port = port;
	r = uv_udp_open(&dns->udp, udp);
	if (r < 0)
		close(udp);
	if (uv_tcp_open(&dns->tcp, tcp) < 0) {
		close(tcp);
		r = -EIO;
	}
	if (r == 0)
		r = uv_udp_recv_start(&dns->udp, on_datagram_room, on_datagram);
	if (r == 0)
		r = uv_listen((uv_stream_t *)&dns->tcp, BACKLOG, on_connection);
	if (r < 0)
		close_listeners(dns);
	return r < 0 ? error_set(err, -r, "listen for the name relay") : 0;
}

static int redirect(const char *cgroup_root, uint16_t port, struct error *err)
{
	CLEANUP(fd_close) int cgroup = -1;
	char path[PATH_MAX];

	if (str_format(path, sizeof(path), "%s/kata", cgroup_root) < 0)
		return error_set(err, ENAMETOOLONG, "%s", cgroup_root);
	cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup < 0)
		return error_set(err, errno, "open the cgroup %s", path);
	return dns_redirect_attach(cgroup, port, err);
}

void dns_init(struct dns *dns, uv_loop_t *loop)
{
	memset(dns, 0, offsetof(struct dns, datagram));
	dns->loop = loop;
}

void dns_stop(struct dns *dns)
{
	dns->client = NULL;
	while (dns->connections != NULL)
		close_connection(dns->connections);
	close_listeners(dns);
	buf_fini(&dns->input);
}

int dns_attach(struct dns *dns, struct client *client, const char *cgroup_root, struct error *err)
{
	int r = 0;

	if (dns->client != NULL)
		return error_say(err, EBUSY, "the VM has a name relay already");
	if (dns->port == 0) { /* then it stays: the redirection cannot be moved */
		r = start_listening(dns, err);
		if (r == 0 && cgroup_root != NULL)
			r = redirect(cgroup_root, dns->port, err);
		if (r < 0)
			close_listeners(dns);
	}
	if (r < 0)
		return r;
	dns->client = client;
	buf_fini(&dns->input);
	dns->input = (struct buf){ 0 };
	log_info("names are asked for on the host", KV("port", dns->port));
	return 0;
}

void dns_detach(struct dns *dns, const struct client *client)
{
	if (dns->client != client || client == NULL)
		return;
	dns->client = NULL;
	memset(dns->questions, 0, sizeof(dns->questions));
	while (dns->connections != NULL)
		close_connection(dns->connections);
}

int dns_input(struct dns *dns, const uint8_t *bytes, size_t n)
{
	struct relay_record record;
	int r;

	if (buf_append(&dns->input, bytes, n) < 0)
		return -ENOMEM;
	while ((r = relay_next(&dns->input, &record)) == 1) {
		if (record.kind == RELAY_UDP)
			answer_datagram(dns, &record);
		else
			answer_connection(dns, &record);
		relay_took(&dns->input, &record);
	}
	return r;
}
