/*
 * The agent's loop and its link: see agent.h. Frames of channel 0 are handled here, those of other
 * channels go to the client that has opened a session there.
 */
#include "kata-agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/loop.h"
#include "common/wire.h"
#include "kata-agent/client.h"
#include "kata-agent/container.h"
#include "kata-agent/process.h"
#include "kata-agent/reap.h"
#include "kata-agent/sandbox.h"

enum { STOP_LOOK_MS = 5, STOP_DEADLINE_MS = 5000, LOOP_CLOSE_MS = 1000 };

static void look_for_link(struct agent *agent);
static void close_all(struct agent *agent);

/* --- frames ----------------------------------------------------------------------------------- */

static void on_lease_over(uv_timer_t *timer)
{
	struct agent *agent = timer->data;

	clients_expire(agent);
}

/* A new host: whatever an earlier one left half done on this link is void. */
static int greet(struct agent *agent, const struct frame *frame, struct error *err)
{
	static char component[] = "agent", release[] = KATA_VERSION;
	struct msg_hello mine = { .version = PROTOCOL_VERSION,
				  .component = component,
				  .release = release };
	CLEANUP(buf_fini) struct buf payload = { 0 };
	struct frame answer = { .type = FRAME_HELLO, .flags = FRAME_ACK };
	uint8_t nonce[FRAME_NONCE];
	struct msg_hello *theirs = NULL;
	int r;

	r = frame_get_hello(frame, nonce, &theirs, err);
	if (r < 0)
		return r;
	wire_free(MSG_HELLO, theirs);
	if (!agent->keyed)
		frame_get_key(nonce, agent->key);
	agent->keyed = true;
	r = frame_put_hello(&payload, nonce, &mine, err);
	if (r < 0)
		return r;
	channel_send(&agent->link, &answer, NULL, 0, buf_at(&payload), buf_len(&payload));
	/*
	 * The port may have told of the earlier host's end just before this one came. libuv makes
	 * an end of such news behind what it reads, unless reading was stopped; on_flush() resumes.
	 */
	channel_pause(&agent->link);
	clients_link_down(agent);
	if (agent->clients != NULL)
		uv_timer_start(&agent->lease, on_lease_over, AGENT_LEASE_MS, 0);
	agent->greeted = true;
	log_link_use(&agent->log, agent->log_level);
	log_info("link is up", KV("uptime_ms", deadline_now_ms())); /* since the kernel began */
	return 0;
}

static int on_hop_frame(struct agent *agent, const struct frame *frame, struct error *err)
{
	struct frame pong = { .type = FRAME_PONG, .id = frame->id };
	const uint8_t nil = 0xc0;

	switch (frame->type) {
	case FRAME_HELLO:
		if ((frame->flags & FRAME_ACK) != 0)
			return error_say(err, EBADMSG, "the host answers a HELLO nobody sent");
		return greet(agent, frame, err);
	case FRAME_PING:
		channel_send(&agent->link, &pong, &nil, 1, NULL, 0);
		return 0;
	case FRAME_CLOSE:
		return error_say(err, ENOTCONN, "the host says goodbye");
	case FRAME_PONG:
	case FRAME_EVENT: /* of a LOG, acknowledged */
		return 0;
	default:
		return error_say(err, EBADMSG, "%s on channel 0", frame_type_name(frame->type));
	}
}

static void on_open(struct agent *agent, const struct frame *frame)
{
	struct msg_close close = { .reason = CLOSE_PROTOCOL };
	void *body = NULL;
	struct error err;

	if ((frame->flags & FRAME_ACK) == 0 &&
	    wire_decode_as(MSG_OPEN, frame->payload, frame->length, &body, &err) == 0) {
		client_open(agent, frame->channel, body);
		wire_free(MSG_OPEN, body);
		return;
	}
	close.text = (frame->flags & FRAME_ACK) != 0 ? (char[]){ "OPEN with flag ACK" } : err.text;
	channel_send_message(&agent->link, FRAME_CLOSE, 0, frame->channel, 0, MSG_CLOSE, &close);
}

static void on_close(struct client *client, const struct frame *frame)
{
	enum close_reason reason = CLOSE_PROTOCOL;
	void *body = NULL;

	if (wire_decode_as(MSG_CLOSE, frame->payload, frame->length, &body, NULL) == 0) {
		reason = (enum close_reason)((struct msg_close *)body)->reason;
		wire_free(MSG_CLOSE, body);
	}
	client_close(client, reason);
}

/* A client that breaks the rules loses its session, and its process. */
static void on_session_frame(struct client *client, const struct frame *frame)
{
	struct agent *agent = client->agent;
	struct msg_close close = { .reason = CLOSE_PROTOCOL };
	uint32_t channel = client->channel;
	struct error err;

	if (session_frame(&client->session, frame, &err) == 0)
		return;
	log_warning("client broke the protocol", KV_ERR(&err));
	close.text = err.text;
	channel_send_message(&agent->link, FRAME_CLOSE, 0, channel, 0, MSG_CLOSE, &close);
	client_close(client, CLOSE_PROTOCOL);
}

static void link_lost(struct agent *agent, const struct error *err)
{
	agent->greeted = false;
	agent->congested = false;
	clients_link_down(agent);
	log_link_use_console(&agent->log, agent->log_level);
	log_warning("link is lost", KV_S("error", err != NULL ? err->text : "the host closed it"));
}

static void on_frame(struct channel *channel, const struct frame *frame)
{
	struct agent *agent = channel->owner;
	struct client *client;
	struct error err;

	if (frame->channel == 0) {
		if (on_hop_frame(agent, frame, &err) < 0) {
			link_lost(agent, &err);
			channel_close(channel);
		}
		return;
	}
	client = client_on_channel(agent, frame->channel);
	if (!agent->greeted)
		return;
	if (frame->type == FRAME_OPEN)
		on_open(agent, frame);
	else if (client == NULL)
		log_debug("frame for no session", KV_S("type", frame_type_name(frame->type)));
	else if (frame->type == FRAME_CLOSE)
		on_close(client, frame);
	else
		on_session_frame(client, frame);
}

/* --- the link --------------------------------------------------------------------------------- */

static int on_preamble(struct channel *channel, struct buf *input)
{
	(void)channel;
	return frame_find_hello(input, false, NULL);
}

/*
 * A new worker may be there before the loss of the old one was seen: the port only tells its
 * present state. The driver never reads across two writes of the host, so that a HELLO, which is a
 * worker's first, begins what was read; what the old one did not finish then goes.
 */
static bool on_anew(struct channel *channel, const uint8_t *bytes, size_t n)
{
	struct agent *agent = channel->owner;

	return agent->keyed && frame_begins_hello(bytes, n, agent->key);
}

static void on_ended(struct channel *channel, const struct error *err)
{
	link_lost(channel->owner, err);
}

static void on_drained(struct channel *channel)
{
	struct agent *agent = channel->owner;

	agent->congested = false;
	clients_resume(agent);
}

static void on_closed(struct channel *channel)
{
	struct agent *agent = channel->owner;

	agent->link_open = false;
	if (agent->stopping)
		return;
	uv_timer_start(&agent->lease, on_lease_over, AGENT_LEASE_MS, 0);
	look_for_link(agent);
}

static const struct channel_ops link_ops = {
	.frame = on_frame,
	.ended = on_ended,
	.drained = on_drained,
	.closed = on_closed,
	.preamble = on_preamble,
	.anew = on_anew,
};

static void on_flush(uv_prepare_t *prepare)
{
	struct agent *agent = prepare->data;

	if (!agent->link_open)
		return;
	channel_flush(&agent->link);
	channel_resume(&agent->link);
}

static void on_retry(uv_timer_t *timer)
{
	look_for_link(timer->data);
}

static void look_for_link(struct agent *agent)
{
	struct error err;
	int fd = link_open(&agent->source, &err);

	if (fd >= 0 && channel_open(&agent->link, &agent->loop, fd, &link_ops, agent, &err) == 0) {
		agent->link_open = true;
		agent->link.device = agent->source.kind == LINK_PORT_DEVICE;
		agent->link.gathers = true;
		return;
	}
	if (err.num == ENOTCONN) {
		agent_stop(agent);
		return;
	}
	if (err.num != EAGAIN)
		log_error("link not opened", KV_ERR(&err));
	uv_timer_start(&agent->retry, on_retry, AGENT_LINK_RETRY_MS, 0);
}

static void send_log(struct log_link *log, enum log_level level, const char *text)
{
	struct agent *agent = (struct agent *)((char *)log - offsetof(struct agent, log));
	struct msg_log record = { .level = level, .text = (char *)text };

	if (!agent->greeted || agent->congested)
		return; /* it has been written for whoever reads the console, or is lost */
	channel_send_message(&agent->link, FRAME_EVENT, 0, 0, ++agent->log_id, MSG_LOG, &record);
}

/* Modules cannot be loaded any more when this is asked, so the answer stays true. */
static bool has_vsock(void)
{
	CLEANUP(fd_close) int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0;
}

/* --- start and stop --------------------------------------------------------------------------- */

static int start_parts(struct agent *agent, struct error *err)
{
	int r = log_link_start(&agent->log, &agent->loop, agent->options.console, send_log, err);

	if (r == 0)
		r = reap_start(agent, err);
	if (r < 0)
		return r;
	log_link_use_console(&agent->log, agent->log_level);
	agent->vsock = has_vsock();
	agent->own_pid_namespace = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (agent->own_pid_namespace < 0)
		return error_set(err, errno, "open the agent's pid namespace");
	return 0;
}

int agent_start(struct agent *agent, const struct agent_options *options,
		const struct link_source *source, struct error *err)
{
	int r;

	*agent = (struct agent){
		.options = *options, .source = *source, .log_level = LOG_INFO, .next_handle = 1
	};
	r = loop_start(&agent->loop, err);
	if (r < 0)
		return r;
	uv_timer_init(&agent->loop, &agent->retry);
	uv_timer_init(&agent->loop, &agent->lease);
	uv_timer_init(&agent->loop, &agent->stop);
	network_wait_init(&agent->network, &agent->loop);
	vcpus_init(&agent->vcpus, &agent->loop, options->guest ? VCPUS_DIR : NULL);
	dns_init(&agent->dns, &agent->loop);
	uv_prepare_init(&agent->loop, &agent->flush);
	agent->retry.data = agent->lease.data = agent->stop.data = agent->flush.data = agent;
	uv_prepare_start(&agent->flush, on_flush);
	r = start_parts(agent, err);
	if (r == 0)
		look_for_link(agent);
	return r;
}

int agent_run(struct agent *agent, struct error *err)
{
	int r = loop_run(&agent->loop, LOOP_CLOSE_MS, err);

	fd_close(&agent->own_pid_namespace);
	link_close(&agent->source);
	return r;
}

static void close_all(struct agent *agent)
{
	while (agent->clients != NULL)
		client_close(agent->clients, CLOSE_DONE);
	log_link_flush(&agent->log);
	log_link_use_console(&agent->log, agent->log_level);
	log_link_stop(&agent->log);
	reap_stop(agent);
	if (agent->link_open)
		channel_finish(&agent->link);
	network_wait_stop(&agent->network);
	vcpus_stop(&agent->vcpus);
	dns_stop(&agent->dns);
	uv_close((uv_handle_t *)&agent->retry, NULL);
	uv_close((uv_handle_t *)&agent->lease, NULL);
	uv_close((uv_handle_t *)&agent->stop, NULL);
	uv_close((uv_handle_t *)&agent->flush, NULL);
}

static void on_stop_look(uv_timer_t *timer)
{
	struct agent *agent = timer->data;
	bool over = deadline_left_ms(agent->stop_deadline) == 0;

	if (agent->options.guest) {
		if (agent->link_open)
			channel_flush(&agent->link);
		if (!over && agent->link_open && agent->link.queued > 0)
			return;
		sandbox_power_off();
	}
	if (agent->containers == NULL || over)
		close_all(agent);
}

/* In a VM all ends with it. Elsewhere the agent leaves nothing behind. */
void agent_stop(struct agent *agent)
{
	const struct client_request nobody = { 0 };
	struct container *next;

	if (agent->stopping)
		return;
	agent->stopping = true;
	log_info("sandbox ends");
	uv_timer_stop(&agent->retry);
	agent->stop_deadline =
		deadline_in_ms(agent->options.guest ? AGENT_SHUTDOWN_MS : STOP_DEADLINE_MS);
	for (struct container *c = agent->containers; c != NULL && !agent->options.guest;
	     c = next) {
		next = c->next;
		container_remove(c, &nobody, NULL);
	}
	uv_timer_start(&agent->stop, on_stop_look, 0, STOP_LOOK_MS);
}
