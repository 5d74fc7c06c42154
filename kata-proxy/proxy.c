/*
 * Routing between clients and the agent: see proxy.h. worker.c owns the one struct proxy; all runs
 * in the worker's loop. A client is on the list clients while its frames are routed, then on
 * leaving until its handles are closed.
 */
#include "kata-proxy/proxy.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/privsep.h"
#include "common/wire.h"

enum { ACCEPTS_AT_ONCE = 16, ACCEPT_AGAIN_MS = 100 };

static bool list_remove(struct client **list, struct client *client)
{
	for (struct client **at = list; *at != NULL; at = &(*at)->next) {
		if (*at == client) {
			*at = client->next;
			return true;
		}
	}
	return false;
}

static struct client *find_client(const struct proxy *proxy, uint32_t number)
{
	struct client *client = proxy->clients;

	while (client != NULL && client->number != number)
		client = client->next;
	return client;
}

/* --- back pressure and memory ----------------------------------------------------------------- */

/* The agent does not keep up: no client is read until it does. */
static void pause_clients(struct proxy *proxy)
{
	for (struct client *c = proxy->clients; c != NULL; c = c->next)
		channel_pause(&c->channel);
}

static void resume_clients(struct proxy *proxy)
{
	for (struct client *c = proxy->clients; c != NULL; c = c->next)
		channel_resume(&c->channel);
}

/* Cuts off the client that holds most memory while all together hold too much. */
static void bound_memory(struct proxy *proxy)
{
	for (;;) {
		struct client *const lists[] = { proxy->clients, proxy->leaving };
		struct client *greatest = NULL;
		size_t sum = 0;

		for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
			for (struct client *c = lists[i]; c != NULL; c = c->next) {
				if (c->state == CLIENT_GONE)
					continue;
				sum += client_memory(c);
				if (greatest == NULL || client_memory(c) > client_memory(greatest))
					greatest = c;
			}
		}
		if (sum <= PROXY_MEMORY_MAX || greatest == NULL)
			return;
		log_warning("clients hold too much memory: the greatest is cut off",
			    KV("channel", greatest->number), KV("bytes", client_memory(greatest)));
		client_close(greatest);
		/* Its handle closes later, and until then many others may be read. */
		channel_discard(&greatest->channel);
	}
}

/* --- clients ---------------------------------------------------------------------------------- */

static void on_greeted(struct client *client)
{
	struct proxy *proxy = client->owner;

	if (proxy->link.hello != NULL)
		client_welcome(client, proxy->link.hello);
}

static void on_client_frame(struct client *client, const struct frame *frame)
{
	struct proxy *proxy = client->owner;
	struct frame numbered = *frame;

	if (!proxy->link_open)
		return;
	numbered.channel = client->number;
	agent_link_send(&proxy->link, &numbered);
	if (proxy->link_open && agent_link_congested(&proxy->link))
		pause_clients(proxy);
}

static void on_client_waiting(struct client *client)
{
	bound_memory(client->owner);
}

static void on_client_gone(struct client *client, bool lost)
{
	struct proxy *proxy = client->owner;

	list_remove(&proxy->clients, client);
	client->next = proxy->leaving;
	proxy->leaving = client;
	if (lost && proxy->link_open) {
		log_debug("a client is gone", KV("channel", client->number));
		agent_link_end_channel(&proxy->link, client->number, CLOSE_LOST, NULL);
	}
}

/* When the proxy is ending and no client is left, nothing is waited for any more. */
static void end_farewell(struct proxy *proxy)
{
	if (proxy->ending && proxy->n_clients == 0)
		uv_close((uv_handle_t *)&proxy->farewell, NULL);
}

static void on_client_closed(struct client *client)
{
	struct proxy *proxy = client->owner;

	list_remove(&proxy->leaving, client);
	proxy->n_clients--;
	end_farewell(proxy);
}

static const struct client_ops client_ops = {
	.greeted = on_greeted,
	.frame = on_client_frame,
	.waiting = on_client_waiting,
	.gone = on_client_gone,
	.closed = on_client_closed,
};

/* A connection that is not taken hears why, if its socket has room for a frame, and is closed. */
static void refuse(int fd, enum close_reason reason, const char *text)
{
	const struct msg_close close = { .reason = reason, .text = (char *)text };
	struct frame frame = { .type = FRAME_CLOSE };
	CLEANUP(buf_fini) struct buf out = { 0 };

	if (buf_reserve(&out, FRAME_HEADER) == NULL)
		return;
	buf_commit(&out, FRAME_HEADER);
	if (wire_encode(MSG_CLOSE, &close, &out, NULL) < 0)
		return;
	frame.length = (uint32_t)(buf_len(&out) - FRAME_HEADER);
	frame_put_header(buf_at(&out), &frame);
	if (send(fd, buf_at(&out), buf_len(&out), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("a refused client did not hear why");
}

/* Takes or refuses one new connection; fd changes its owner. */
static void take_connection(struct proxy *proxy, int fd)
{
	CLEANUP(fd_close) int connection = fd;
	struct client *client;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct error err;

	if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return;
	/* netmon connects again when there is a new worker; the first time root did it for it. */
	if (peer.uid != 0 && peer.uid != proxy->shim_uid &&
	    peer.uid != proxy->shim_uid - UID_SHIM + UID_NETMON) {
		log_warning("a client of another user is refused", KV("uid", peer.uid));
		refuse(connection, CLOSE_REFUSED, "this user may not connect");
		return;
	}
	if (proxy->n_clients >= PROXY_CLIENTS_MAX || proxy->last_number == UINT32_MAX) {
		log_warning("a client too many is refused", KV("clients", proxy->n_clients));
		refuse(connection, CLOSE_LIMIT, "there are too many clients");
		return;
	}
	if (client_new(&client, proxy->loop, steal_fd(&connection), proxy->last_number + 1,
		       peer.uid, &client_ops, proxy, &err) < 0) {
		log_warning("a client was not accepted", KV_ERR(&err));
		return;
	}
	proxy->last_number++;
	proxy->n_clients++;
	client->next = proxy->clients;
	proxy->clients = client;
	if (agent_link_congested(&proxy->link))
		channel_pause(&client->channel);
}

static void on_connection(uv_poll_t *poll, int status, int events);

static void on_accept_again(uv_timer_t *timer)
{
	struct proxy *proxy = timer->data;

	uv_poll_start(&proxy->listener, UV_READABLE, on_connection);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct proxy *proxy = poll->data;

	(void)events;
	if (status < 0)
		return;
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		int fd = accept4(proxy->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			take_connection(proxy, fd);
		} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
			/* Descriptors or memory are short: that does not get better at once. */
			log_warning("accept failed", KV("errno", errno));
			uv_poll_stop(&proxy->listener);
			uv_timer_start(&proxy->accept_again, on_accept_again, ACCEPT_AGAIN_MS, 0);
			return;
		} else {
			return;
		}
	}
}

/* --- the agent -------------------------------------------------------------------------------- */

static void on_ready(struct agent_link *link)
{
	struct proxy *proxy = link->owner;
	struct client *next;

	proxy->ops->ready(proxy, link->hello);
	for (struct client *c = proxy->clients; c != NULL; c = next) {
		next = c->next;
		client_welcome(c, link->hello);
	}
}

static void link_over(struct proxy *proxy, const struct error *err)
{
	if (!proxy->link_open)
		return;
	proxy->link_open = false;
	resume_clients(proxy); /* so that their own end is seen */
	proxy->ops->link_ended(proxy, err);
}

static void on_agent_frame(struct agent_link *link, const struct frame *frame)
{
	struct proxy *proxy = link->owner;
	struct client *client = find_client(proxy, frame->channel);
	struct error err;

	if (client == NULL)
		return; /* it is gone and the agent does not know yet */
	if (client_deliver(client, frame, &err) < 0) {
		agent_link_close(link);
		link_over(proxy, &err);
		return;
	}
	if (client->channel.held > CHANNEL_LOW)
		bound_memory(proxy);
}

static void on_agent_log(struct agent_link *link, const struct msg_log *log)
{
	struct proxy *proxy = link->owner;

	proxy->ops->log(proxy, log);
}

static void on_goodbye(struct agent_link *link)
{
	struct proxy *proxy = link->owner;

	proxy->ops->goodbye(proxy);
}

static void on_link_drained(struct agent_link *link)
{
	resume_clients(link->owner);
}

static void on_link_ended(struct agent_link *link, const struct error *err)
{
	link_over(link->owner, err);
}

static void on_link_closed(struct agent_link *link)
{
	(void)link; /* a member of the proxy, which outlives the loop */
}

static const struct agent_link_ops link_ops = {
	.ready = on_ready,
	.frame = on_agent_frame,
	.log = on_agent_log,
	.goodbye = on_goodbye,
	.drained = on_link_drained,
	.ended = on_link_ended,
	.closed = on_link_closed,
};

/* --- start and end ---------------------------------------------------------------------------- */

int proxy_start(struct proxy *proxy, uv_loop_t *loop, int listen_fd, uid_t shim_uid,
		const struct proxy_ops *ops, void *owner, struct error *err)
{
	int r;

	*proxy = (struct proxy){ .loop = loop,
				 .ops = ops,
				 .owner = owner,
				 .listen_fd = listen_fd,
				 .shim_uid = shim_uid };
	r = uv_poll_init(loop, &proxy->listener, listen_fd); /* makes it non-blocking */
	if (r == 0)
		r = uv_poll_start(&proxy->listener, UV_READABLE, on_connection);
	if (r < 0)
		return error_set(err, -r, "listen for clients");
	proxy->listener.data = proxy;
	uv_timer_init(loop, &proxy->accept_again);
	proxy->accept_again.data = proxy;
	uv_timer_init(loop, &proxy->farewell);
	proxy->farewell.data = proxy;
	return 0;
}

int proxy_link(struct proxy *proxy, int fd, const uint8_t key[FRAME_KEY], struct error *err)
{
	int r = agent_link_open(&proxy->link, proxy->loop, fd, key, &link_ops, proxy, err);

	if (r < 0)
		return r;
	proxy->link_made = proxy->link_open = true;
	return 0;
}

/* Closes those of a list that are left. A closing client leaves the list in a later callback. */
static void close_list(struct client **list)
{
	struct client *next;

	for (struct client *c = *list; c != NULL; c = next) {
		next = c->next;
		client_close(c);
	}
}

static void on_farewell(uv_timer_t *timer)
{
	struct proxy *proxy = timer->data;

	close_list(&proxy->clients);
	close_list(&proxy->leaving);
}

static void on_listener_closed(uv_handle_t *handle)
{
	struct proxy *proxy = handle->data;

	fd_close(&proxy->listen_fd);
}

/* Who connected and was not accepted yet hears the last word too. */
static void refuse_waiting(struct proxy *proxy, const char *text)
{
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		CLEANUP(fd_close)
		int fd = accept4(proxy->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		refuse(fd, CLOSE_VM_ENDED, text);
	}
}

void proxy_end(struct proxy *proxy, const char *text)
{
	struct client *next;

	if (proxy->ending)
		return;
	proxy->ending = true;
	proxy->link_open = false;
	if (proxy->link_made)
		agent_link_close(&proxy->link);
	refuse_waiting(proxy, text);
	uv_close((uv_handle_t *)&proxy->listener, on_listener_closed);
	uv_close((uv_handle_t *)&proxy->accept_again, NULL);
	for (struct client *c = proxy->clients; c != NULL; c = next) {
		next = c->next;
		client_dismiss(c, CLOSE_VM_ENDED, text);
	}
	uv_timer_start(&proxy->farewell, on_farewell, PROXY_FAREWELL_MS, 0);
	end_farewell(proxy);
}
