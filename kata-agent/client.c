/*
 * Sessions of the agent's clients: see client.h. Frames come from agent.c; streams go to the
 * client's process, requests to requests.c.
 */
#include "kata-agent/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "kata-agent/agent.h"
#include "kata-agent/container.h"
#include "kata-agent/process.h"
#include "kata-agent/requests.h"

/* --- the session's calls ---------------------------------------------------------------------- */

static void on_send(struct session *session, enum frame_type type, uint8_t flags, uint32_t id,
		    const void *head, size_t head_len, const void *body, size_t body_len)
{
	struct client *client = session->owner;
	struct agent *agent = client->agent;
	struct frame frame = {
		.type = (uint8_t)type, .flags = flags, .channel = client->channel, .id = id
	};

	if (type == FRAME_DATA)
		channel_send_in_place(&agent->link, &frame, head, head_len, (uint8_t *)body,
				      body_len);
	else
		channel_send(&agent->link, &frame, head, head_len, body, body_len);
	if (agent->link.queued > CHANNEL_HIGH)
		agent->congested = true;
}

static void on_data(struct session *session, unsigned stream, const uint8_t *bytes, size_t n)
{
	struct client *client = session->owner;

	if (client->process != NULL) {
		streams_input(&client->process->streams, bytes, n);
		return;
	}
	if (client->role == ROLE_RELAY && dns_input(&client->agent->dns, bytes, n) < 0) {
		log_warning("the name relay broke the rules");
		dns_detach(&client->agent->dns, client);
	}
	session_consumed(session, stream, n);
}

static void on_end(struct session *session, unsigned stream)
{
	struct client *client = session->owner;

	(void)stream; /* the agent receives no other than stdin */
	if (client->process != NULL)
		streams_input_end(&client->process->streams);
}

static void on_room(struct session *session, unsigned stream)
{
	struct client *client = session->owner;

	(void)stream;
	if (client->process != NULL)
		streams_update(&client->process->streams);
}

static void on_request(struct session *session, uint32_t id, const struct frame *frame)
{
	struct client_request request = { .client = session->owner, .id = id };

	requests_handle(&request, frame);
}

static const struct session_ops session_ops = {
	.send = on_send,
	.data = on_data,
	.end = on_end,
	.room = on_room,
	.request = on_request,
};

/* --- open and close --------------------------------------------------------------------------- */

static void refuse(struct agent *agent, uint32_t channel, enum close_reason reason,
		   const struct error *err)
{
	char text[ERROR_TEXT_MAX];
	struct msg_close close = { .reason = reason, .text = text };

	memcpy(text, err->text, sizeof(text));
	log_info("session refused", KV_ERR(err));
	channel_send_message(&agent->link, FRAME_CLOSE, 0, channel, 0, MSG_CLOSE, &close);
}

static struct client *find(struct agent *agent, const struct msg_open *open)
{
	for (struct client *c = agent->clients; c != NULL; c = c->next) {
		if (memcmp(c->id, open->session.data, CLIENT_ID_SIZE) == 0)
			return c;
	}
	return NULL;
}

static size_t count(const struct agent *agent)
{
	size_t n = 0;

	for (const struct client *c = agent->clients; c != NULL; c = c->next)
		n++;
	return n;
}

static int attach(struct client *client, uint64_t handle, struct error *err)
{
	struct process *process = process_find(client->agent, handle);

	if (process == NULL)
		return error_say(err, ESRCH, "there is no process with that handle");
	return process_attach(process, client, err);
}

static struct client *make(struct agent *agent, const struct msg_open *open, struct error *err)
{
	struct client *client;

	if (open->role != ROLE_RUNTIME && open->role != ROLE_SHIM && open->role != ROLE_RELAY) {
		error_say(err, EINVAL, "there is no role %u", open->role);
		return NULL;
	}
	if (count(agent) >= AGENT_CLIENTS_MAX) {
		error_say(err, EMFILE, "the agent has %d sessions already", AGENT_CLIENTS_MAX);
		return NULL;
	}
	client = calloc(1, sizeof(*client));
	if (client == NULL) {
		error_set(err, ENOMEM, "open a session");
		return NULL;
	}
	client->agent = agent;
	client->role = (enum session_role)open->role;
	memcpy(client->id, open->session.data, CLIENT_ID_SIZE);
	session_init(&client->session, true, &session_ops, client);
	if ((client->role == ROLE_SHIM && attach(client, open->handle, err) < 0) ||
	    (client->role == ROLE_RELAY &&
	     dns_attach(&agent->dns, client, agent->options.cgroup, err) < 0)) {
		session_fini(&client->session);
		free(client);
		return NULL;
	}
	client->next = agent->clients;
	agent->clients = client;
	return client;
}

static struct client *find_or_make(struct agent *agent, const struct msg_open *open,
				   struct error *err)
{
	struct client *client;

	if (open->session.len != CLIENT_ID_SIZE) {
		error_say(err, EINVAL, "a session is named by %d bytes", CLIENT_ID_SIZE);
		return NULL;
	}
	client = find(agent, open);
	if (client == NULL)
		return make(agent, open, err);
	if (client->role != (enum session_role)open->role ||
	    (client->process != NULL && client->process->handle != open->handle)) {
		error_say(err, EINVAL, "the session was opened for something else");
		return NULL;
	}
	session_link_down(&client->session);
	return client;
}

void client_open(struct agent *agent, uint32_t channel, const struct msg_open *open)
{
	const uint64_t received[STREAM_COUNT] = {
		[STREAM_STDOUT] = open->received_stdout, [STREAM_STDERR] = open->received_stderr
	};
	struct msg_opened opened = { 0 };
	struct client *client;
	struct error err;

	if (client_on_channel(agent, channel) != NULL) {
		error_say(&err, EBADMSG, "the channel has a session");
		refuse(agent, channel, CLOSE_PROTOCOL, &err);
		client_close(client_on_channel(agent, channel), CLOSE_PROTOCOL);
		return;
	}
	client = find_or_make(agent, open, &err);
	if (client == NULL) {
		refuse(agent, channel, err.num == EMFILE ? CLOSE_LIMIT : CLOSE_REFUSED, &err);
		return;
	}
	client->channel = channel;
	client->session.data_max = agent->link.device ? FRAME_DATA_PORT : FRAME_DATA_SENT;
	opened.received_stdin = client->session.in[STREAM_STDIN].received;
	channel_send_message(&agent->link, FRAME_OPEN, FRAME_ACK, channel, 0, MSG_OPENED, &opened);
	if (session_link_up(&client->session, received) < 0) {
		error_say(&err, EBADMSG, "OPEN tells of bytes that were never sent");
		refuse(agent, channel, CLOSE_PROTOCOL, &err);
		client_close(client, CLOSE_PROTOCOL);
		return;
	}
	/* Its output may have been held back by the link that is gone. */
	if (client->process != NULL)
		streams_update(&client->process->streams);
}

struct client *client_on_channel(struct agent *agent, uint32_t channel)
{
	for (struct client *c = agent->clients; c != NULL; c = c->next) {
		if (c->channel == channel)
			return c;
	}
	return NULL;
}

static void unlink_client(struct client *client)
{
	struct client **at = &client->agent->clients;

	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
}

void client_close(struct client *client, enum close_reason reason)
{
	struct agent *agent = client->agent;

	log_debug("session closed", KV("reason", reason), KV("role", client->role));
	unlink_client(client);
	for (struct process *p = agent->processes; p != NULL; p = p->next)
		process_forget_client(p, client);
	for (struct container *c = agent->containers; c != NULL; c = c->next)
		container_forget_client(c, client);
	network_wait_forget(&agent->network, client);
	vcpus_forget(&agent->vcpus, client);
	dns_detach(&agent->dns, client);
	session_link_down(&client->session);
	if (client->process != NULL)
		process_detach(client->process, reason != CLOSE_DONE);
	session_fini(&client->session);
	free(client);
}

void clients_link_down(struct agent *agent)
{
	for (struct client *c = agent->clients; c != NULL; c = c->next) {
		session_link_down(&c->session);
		c->channel = 0;
	}
}

void clients_expire(struct agent *agent)
{
	struct client *next;

	for (struct client *c = agent->clients; c != NULL; c = next) {
		next = c->next;
		if (c->channel != 0)
			continue;
		log_warning("a session without a link is given up", KV("role", c->role));
		client_close(c, CLOSE_LOST);
	}
}

void clients_resume(struct agent *agent)
{
	for (struct process *p = agent->processes; p != NULL; p = p->next)
		streams_update(&p->streams);
}

/* --- answers ---------------------------------------------------------------------------------- */

void client_reply(struct client_request *request, enum msg_type type, const void *body)
{
	struct client *client = request->client;
	struct error err;

	request->client = NULL;
	if (client == NULL)
		return;
	if (session_reply(&client->session, request->id, type, body, &err) < 0) {
		log_error("reply not sent", KV_ERR(&err));
		session_reply_error(&client->session, request->id, &err);
	}
}

void client_fail(struct client_request *request, const struct error *err)
{
	struct client *client = request->client;

	request->client = NULL;
	if (client != NULL)
		session_reply_error(&client->session, request->id, err);
}
