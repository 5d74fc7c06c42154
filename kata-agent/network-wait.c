/*
 * SET_NETWORK: see network-wait.h. Called by requests.c; everything runs in the agent's loop. While
 * a device is waited for, the kernel's events about interfaces say when to look again.
 */
#include "kata-agent/network-wait.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/wire.h"
#include "kata-agent/network.h"

enum { DEVICE_MS = 10000 };

void network_wait_init(struct network_wait *wait, uv_loop_t *loop)
{
	*wait = (struct network_wait){ .fd = -1 };
	uv_timer_init(loop, &wait->deadline);
	wait->deadline.data = wait;
}

static void stop_waiting(struct network_wait *wait)
{
	wire_free(MSG_SET_NETWORK, wait->wanted);
	wait->wanted = NULL;
	uv_timer_stop(&wait->deadline);
	if (wait->fd >= 0)
		uv_poll_stop(&wait->events);
}

static void on_events_closed(uv_handle_t *handle)
{
	int *fd = &((struct network_wait *)handle->data)->fd;

	fd_close(fd);
}

void network_wait_stop(struct network_wait *wait)
{
	wait->request.client = NULL;
	stop_waiting(wait);
	wire_free(MSG_SET_NETWORK, wait->before);
	wait->before = NULL;
	uv_close((uv_handle_t *)&wait->deadline, NULL);
	if (wait->fd >= 0)
		uv_close((uv_handle_t *)&wait->events, on_events_closed);
}

/* A message of our own, as it came. */
static int copy(const struct msg_set_network *message, struct msg_set_network **ret,
		struct error *err)
{
	CLEANUP(buf_fini) struct buf text = { 0 };
	void *body;
	int r = wire_encode(MSG_SET_NETWORK, message, &text, err);

	if (r == 0)
		r = wire_decode_as(MSG_SET_NETWORK, buf_at(&text), buf_len(&text), &body, err);
	if (r == 0)
		*ret = body;
	return r;
}

/* Done; remembered for the next one. Without memory that one takes nothing away. */
static void keep(struct network_wait *wait, const struct msg_set_network *wanted)
{
	struct error err;

	wire_free(MSG_SET_NETWORK, wait->before);
	wait->before = NULL;
	if (copy(wanted, &wait->before, &err) < 0)
		log_error("the network's state is not remembered", KV_ERR(&err));
}

static void answer(struct network_wait *wait, int r, const struct error *err)
{
	stop_waiting(wait);
	if (wait->request.client == NULL)
		return;
	if (r < 0)
		client_fail(&wait->request, err);
	else
		client_reply(&wait->request, MSG_DONE, NULL);
}

static int try(struct network_wait *wait, struct error *err)
{
	int r = network_set(wait->wanted, wait->before, err);

	if (r == 0)
		keep(wait, wait->wanted);
	return r;
}

static void on_event(uv_poll_t *poll, int status, int events)
{
	struct network_wait *wait = poll->data;
	char dropped[8192];
	struct error err;
	int r;

	(void)status;
	(void)events;
	/* What it says does not matter, only that something has changed. */
	while (recv(wait->fd, dropped, sizeof(dropped), MSG_DONTWAIT) > 0)
		continue;
	if (wait->wanted == NULL)
		return;
	r = try(wait, &err);
	if (r != -ENODEV)
		answer(wait, r, &err);
}

static void on_deadline(uv_timer_t *timer)
{
	struct network_wait *wait = timer->data;
	struct error err;

	answer(wait, try(wait, &err), &err);
}

static int listen_to_kernel(struct network_wait *wait, struct error *err)
{
	struct sockaddr_nl groups = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int r;

	if (wait->fd < 0) {
		CLEANUP(fd_close)
		int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

		if (fd < 0 || bind(fd, (struct sockaddr *)&groups, sizeof(groups)) < 0)
			return error_set(err, errno, "listen to the kernel's network events");
		r = uv_poll_init(wait->deadline.loop, &wait->events, fd);
		if (r < 0)
			return error_set(err, -r, "watch the kernel's network events");
		wait->events.data = wait;
		wait->fd = steal_fd(&fd);
	}
	r = uv_poll_start(&wait->events, UV_READABLE, on_event);
	return r < 0 ? error_set(err, -r, "watch the kernel's network events") : 0;
}

int network_wait_set(struct network_wait *wait, const struct msg_set_network *wanted,
		     const struct client_request *request, struct error *err)
{
	struct error replaced;
	int r;

	if (wait->wanted != NULL) {
		error_say(&replaced, ECANCELED, "network: a later request took its place");
		answer(wait, -ECANCELED, &replaced);
	}
	r = copy(wanted, &wait->wanted, err);
	if (r == 0)
		r = listen_to_kernel(wait, err); /* before the look, so that no device is missed */
	if (r == 0)
		r = try(wait, err);
	if (r == -ENODEV) {
		wait->request = *request;
		uv_timer_start(&wait->deadline, on_deadline, DEVICE_MS, 0);
		return 0;
	}
	stop_waiting(wait);
	return r < 0 ? r : 1;
}

void network_wait_forget(struct network_wait *wait, const struct client *client)
{
	if (wait->request.client == client)
		wait->request.client = NULL;
}
