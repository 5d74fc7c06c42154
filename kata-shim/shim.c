/*
 * Attach, session, exit: see shim.h. Called by main once rights are dropped; everything hangs on
 * one struct shim on shim_run()'s stack, whose handles are closed when uv_run() returns.
 *
 * The states follow each other in this order, and any of them may be skipped by a failure. What
 * comes from the proxy is not trusted: it passes the frame, wire and session checks. A connection
 * that is lost is made anew by link.c, whatever the state: OPEN carries what was received, and
 * session_link_up() sends the rest.
 */
#include "kata-shim/shim.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/fdpass.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/session.h"
#include "common/wire.h"
#include "kata-shim/drain.h"
#include "kata-shim/link.h"
#include "kata-shim/relay.h"
#include "kata-shim/signals.h"
#include "kata-shim/tty.h"

enum {
	ATTACH_MS = 60000,  /* until the agent has answered HELLO, OPEN and WINSIZE; TCG is slow */
	CONTROL_MS = 2000,  /* until the runtime takes our answer */
	DRAIN_MS = 2000,    /* for output that is here when the link is lost or we are to end */
	LEAVE_MS = 500,     /* until our last frames are written */
	LOOP_END_MS = 1000, /* for close callbacks */
};

enum shim_state {
	SHIM_OPENING,  /* the link is not up yet */
	SHIM_SIZING,   /* the terminal's first size is sent */
	SHIM_RUNNING,  /* attached: the runtime has its DONE */
	SHIM_DRAINING, /* the process or the link is gone; output is still being written */
	SHIM_LEAVING,  /* CLOSE is being written */
	SHIM_OVER,     /* handles are closing */
};

struct shim {
	const struct shim_params *params;
	enum shim_state state;
	uv_loop_t *loop;
	struct stdio *stdio;
	struct link link;
	struct session session;
	struct relay relay;
	uv_timer_t timer; /* the state's deadline */
	uv_poll_t signals;
	int control;
	bool in_frame; /* session_frame() is on the stack */
	int code;      /* of our exit: EXIT's once it has come */
	struct drain drain;
};

static void shim_next_request(struct shim *shim);

/* --- the end --------------------------------------------------------------------------------- */

/* Closes everything; shim_run() returns shim->code after that. */
static void shim_end(struct shim *shim)
{
	if (shim->state == SHIM_OVER)
		return;
	shim->state = SHIM_OVER;
	session_link_down(&shim->session);
	link_close(&shim->link);
	relay_stop(&shim->relay);
	stdio_close(shim->stdio);
	uv_close((uv_handle_t *)&shim->timer, NULL);
	uv_close((uv_handle_t *)&shim->signals, NULL);
}

static void on_leave_timeout(uv_timer_t *timer)
{
	shim_end(timer->data);
}

/* Says that the session is done and ends when that is written. */
static void shim_leave(struct shim *shim)
{
	if (shim->state >= SHIM_LEAVING)
		return;
	if (shim->link.state != LINK_UP) {
		shim_end(shim);
		return;
	}
	shim->state = SHIM_LEAVING;
	stdio_stop_reading(shim->stdio);
	uv_poll_stop(&shim->signals);
	uv_timer_start(&shim->timer, on_leave_timeout, LEAVE_MS, 0);
	link_finish(&shim->link); /* on_finished() follows */
}

/*
 * Something failed for good; the runtime is told when it still waits. No CLOSE: the proxy takes
 * the bare end of file for a lost client, and the agent then kills the process.
 */
static void shim_fail(struct shim *shim, int code, const struct error *err)
{
	if (shim->state >= SHIM_LEAVING)
		return;
	log_error("shim failed", KV("code", code), KV_ERR(err));
	if (shim->control >= 0)
		fdpass_send_error(shim->control, err);
	fd_close(&shim->control);
	shim->code = code;
	shim_end(shim);
}

static void get_pending(const struct shim *shim, uint64_t ret_pending[STREAM_COUNT])
{
	for (unsigned i = 0; i < STREAM_COUNT; i++)
		ret_pending[i] = stdio_pending(shim->stdio, i);
}

/* After anything that may have been the last thing to wait for. */
static void shim_progress(struct shim *shim)
{
	uint64_t pending[STREAM_COUNT];

	if (shim->in_frame || shim->state != SHIM_DRAINING)
		return;
	get_pending(shim, pending);
	if (drain_done(&shim->drain, shim->link.state != LINK_OVER, pending))
		shim_leave(shim);
}

static void on_drain_timeout(uv_timer_t *timer)
{
	struct shim *shim = timer->data;

	log_warning("output is lost: its reader did not take it in time",
		    KV("stdout", stdio_pending(shim->stdio, STREAM_STDOUT)),
		    KV("stderr", stdio_pending(shim->stdio, STREAM_STDERR)));
	shim_leave(shim);
}

/* Writes what is still to be written and then ends; limited: for no longer than DRAIN_MS. */
static void shim_drain(struct shim *shim, bool limited)
{
	shim->state = SHIM_DRAINING;
	stdio_stop_reading(shim->stdio);
	if (limited)
		uv_timer_start(&shim->timer, on_drain_timeout, DRAIN_MS, 0);
	else
		uv_timer_stop(&shim->timer);
	shim_next_request(shim);
	shim_progress(shim);
}

/*
 * The way to the process is gone for good. An exit code that came in time holds if the output did
 * too; else this process ends with code.
 */
static void shim_lost(struct shim *shim, int code, const struct error *err)
{
	uint64_t pending[STREAM_COUNT];

	if (shim->state >= SHIM_LEAVING) {
		shim_end(shim);
		return;
	}
	if (shim->state < SHIM_RUNNING) {
		shim_fail(shim, code, err);
		return;
	}
	session_link_down(&shim->session);
	get_pending(shim, pending);
	if (!drain_complete(&shim->drain, pending)) {
		log_error("connection to the process lost", KV("code", code), KV_ERR(err));
		shim->code = code;
	}
	shim_drain(shim, true);
}

/* --- attaching ------------------------------------------------------------------------------- */

static void on_attach_timeout(uv_timer_t *timer)
{
	struct shim *shim = timer->data;
	struct error err;

	error_say(&err, ETIMEDOUT, "the guest's agent did not answer the shim within %d s",
		  ATTACH_MS / 1000);
	shim_fail(shim, SHIM_EXIT_FAILED, &err);
}

/* Where the session stands on our side. */
static void on_describe(struct link *link, struct msg_open *open)
{
	const struct shim *shim = link->owner;

	open->role = ROLE_SHIM;
	open->handle = shim->params->handle;
	open->received_stdout = shim->session.in[STREAM_STDOUT].received;
	open->received_stderr = shim->session.in[STREAM_STDERR].received;
}

/* Tells the runtime that all is in place, and begins to copy. */
static void shim_attached(struct shim *shim)
{
	struct error err;

	if (fdpass_send(shim->control, MSG_DONE, NULL, NULL, 0, deadline_in_ms(CONTROL_MS), &err) <
	    0) {
		fd_close(&shim->control);
		shim_fail(shim, SHIM_EXIT_FAILED, &err);
		return;
	}
	fd_close(&shim->control);
	if (shim->params->relay)
		relay_start(&shim->relay, shim->loop, shim->params->socket, NULL);
	uv_timer_stop(&shim->timer);
	log_info("attached to the process", KV("handle", shim->params->handle));
	shim->state = SHIM_RUNNING;
	stdio_read(shim->stdio);
	shim_next_request(shim);
}

/* Sends the terminal's size if it has one: 1 when a request is out, else 0 or an error. */
static int send_size(struct shim *shim, struct error *err)
{
	struct msg_winsize size = { .handle = shim->params->handle };
	int r;

	if (!shim->params->terminal || !tty_size(STDIN_FILENO, &size.rows, &size.columns))
		return 0;
	r = session_request(&shim->session, MSG_WINSIZE, &size, err);
	return r < 0 ? r : 1;
}

static int on_opened(struct link *link, const struct msg_opened *opened, struct error *err)
{
	const uint64_t received[STREAM_COUNT] = { [STREAM_STDIN] = opened->received_stdin };
	struct shim *shim = link->owner;
	int r = session_link_up(&shim->session, received);

	if (r < 0)
		return error_set(err, -r, "take up the session");
	if (shim->state != SHIM_OPENING)
		return 0; /* it is taken up again */
	shim->state = SHIM_SIZING;
	r = send_size(shim, err);
	if (r == 0)
		shim_attached(shim);
	return r < 0 ? r : 0;
}

/* --- requests: signals and window sizes ------------------------------------------------------ */

/* Takes the next signal when no request is out: the kernel keeps those that wait. */
static void on_signal(uv_poll_t *poll_handle, int status, int events)
{
	struct shim *shim = poll_handle->data;
	struct msg_signal body = { .handle = shim->params->handle };
	int signum = signals_next(shim->params->signals);
	struct error err;
	int r = 0;

	(void)status;
	(void)events;
	if (signum == 0)
		return;
	if (shim->state == SHIM_DRAINING) {
		if (signals_is_end(signum))
			shim_drain(shim, true);
		return;
	}
	switch (signals_action(signum, shim->params->terminal)) {
	case SIGNALS_WINSIZE:
		r = send_size(shim, &err);
		break;
	case SIGNALS_FORWARD:
		log_debug("signal forwarded", KV("signum", signum));
		body.signum = (uint32_t)signum;
		r = session_request(&shim->session, MSG_SIGNAL, &body, &err);
		break;
	case SIGNALS_LEAVE:
		break;
	}
	if (r < 0)
		shim_fail(shim, SHIM_EXIT_FAILED, &err);
	else
		shim_next_request(shim);
}

/* Lets the next signal come when it can be dealt with. */
static void shim_next_request(struct shim *shim)
{
	if (shim->state == SHIM_DRAINING ||
	    (shim->state == SHIM_RUNNING && !shim->session.request_open))
		uv_poll_start(&shim->signals, UV_READABLE, on_signal);
	else if (shim->state < SHIM_OVER)
		uv_poll_stop(&shim->signals);
}

static void on_reply(struct session *session, const struct frame *frame)
{
	struct error err;
	void *body;

	(void)session;
	/* A process that has just ended refuses signals; there is nobody to tell. */
	if (wire_decode_as(MSG_DONE, frame->payload, frame->length, &body, &err) < 0)
		log_debug("request refused", KV_ERR(&err));
	else
		wire_free(MSG_DONE, body);
}

/* --- streams and the exit -------------------------------------------------------------------- */

static void on_send(struct session *session, enum frame_type type, uint8_t flags, uint32_t id,
		    const void *head, size_t head_len, const void *body, size_t body_len)
{
	struct shim *shim = session->owner;

	link_send(&shim->link, type, flags, id, head, head_len, body, body_len);
}

static void on_data(struct session *session, unsigned stream, const uint8_t *bytes, size_t n)
{
	struct shim *shim = session->owner;
	struct error err;

	if (stdio_write(shim->stdio, stream, bytes, n) < 0) {
		error_set(&err, ENOMEM, "keep output");
		shim_fail(shim, SHIM_EXIT_FAILED, &err);
	}
}

static void on_end(struct session *session, unsigned stream)
{
	struct shim *shim = session->owner;

	shim->drain.over[stream] = true;
	stdio_end(shim->stdio, stream);
}

static void on_room(struct session *session, unsigned stream)
{
	struct shim *shim = session->owner;

	if (stream == STREAM_STDIN && shim->state == SHIM_RUNNING)
		stdio_read(shim->stdio);
}

/* For those who ask later why the container ended; what is not written is not told. */
static void record_exit(const struct shim *shim)
{
	char text[48];
	int n = snprintf(text, sizeof(text), "%d %" PRId64 "\n", shim->code, deadline_now_ms());

	if (write(shim->params->exit, text, (size_t)n) != n)
		log_warning("the exit code was not recorded", KV("code", shim->code));
}

static void on_event(struct session *session, const struct frame *frame)
{
	struct shim *shim = session->owner;
	struct msg_exit *body;
	struct error err;
	void *decoded;

	if (wire_decode_as(MSG_EXIT, frame->payload, frame->length, &decoded, &err) < 0) {
		shim_fail(shim, SHIM_EXIT_FAILED, &err);
		return;
	}
	body = decoded;
	if (body->handle == shim->params->handle &&
	    drain_exit(&shim->drain, body->stdout_end, body->stderr_end)) {
		shim->code = (int)body->code;
		record_exit(shim);
		log_info("process ended", KV("code", body->code));
	} else {
		log_warning("an EXIT came that is not ours", KV("handle", body->handle));
	}
	wire_free(MSG_EXIT, decoded);
}

static const struct session_ops session_ops = {
	.send = on_send,
	.data = on_data,
	.end = on_end,
	.room = on_room,
	.reply = on_reply,
	.event = on_event,
};

static size_t on_input_room(struct stdio *stdio)
{
	struct shim *shim = stdio->owner;

	return session_room(&shim->session, STREAM_STDIN);
}

static uint8_t *on_input_place(struct stdio *stdio, size_t *n)
{
	struct shim *shim = stdio->owner;

	return session_reserve(&shim->session, STREAM_STDIN, n);
}

static void on_input(struct stdio *stdio, size_t n)
{
	struct shim *shim = stdio->owner;

	session_commit(&shim->session, STREAM_STDIN, n);
}

static void on_input_end(struct stdio *stdio)
{
	struct shim *shim = stdio->owner;

	session_end_stream(&shim->session, STREAM_STDIN);
	if (shim->params->terminal && !shim->params->controlling)
		raise(SIGHUP); /* what the kernel would have done; it is blocked and waits */
}

static void on_written(struct stdio *stdio, unsigned fd, size_t n)
{
	struct shim *shim = stdio->owner;

	shim->drain.written[fd] += n;
	session_consumed(&shim->session, fd, n);
	shim_progress(shim);
}

static const struct stdio_ops stdio_ops = {
	.room = on_input_room,
	.place = on_input_place,
	.input = on_input,
	.input_end = on_input_end,
	.written = on_written,
};

/* --- the link -------------------------------------------------------------------------------- */

static int on_frame(struct link *link, const struct frame *frame, struct error *err)
{
	struct shim *shim = link->owner;
	int r;

	shim->in_frame = true;
	r = session_frame(&shim->session, frame, err);
	shim->in_frame = false;
	if (r < 0 || shim->state >= SHIM_LEAVING)
		return r;
	if (shim->state == SHIM_SIZING && (!shim->session.request_open || shim->drain.exited))
		shim_attached(shim);
	if (shim->state == SHIM_RUNNING && shim->drain.exited)
		shim_drain(shim, false);
	shim_next_request(shim);
	shim_progress(shim);
	return 0;
}

/* The link is made again; when all has come already it is not needed. */
static void on_down(struct link *link)
{
	struct shim *shim = link->owner;
	uint64_t pending[STREAM_COUNT];

	session_link_down(&shim->session);
	get_pending(shim, pending);
	if (shim->state == SHIM_LEAVING) {
		shim_end(shim);
	} else if (shim->state == SHIM_DRAINING && drain_complete(&shim->drain, pending)) {
		link_close(link);
		shim_progress(shim);
	}
}

static void on_over(struct link *link, int closed, const struct error *err)
{
	struct shim *shim = link->owner;

	if (closed < 0 && err->num != ECONNREFUSED && err->num != ENOENT)
		shim_fail(shim, SHIM_EXIT_FAILED, err);
	else
		shim_lost(shim, closed == CLOSE_VM_ENDED ? SHIM_EXIT_VM_ENDED : SHIM_EXIT_FAILED,
			  err);
}

static void on_finished(struct link *link)
{
	shim_end(link->owner);
}

static const struct link_ops link_ops = {
	.describe = on_describe,
	.opened = on_opened,
	.frame = on_frame,
	.down = on_down,
	.over = on_over,
	.finished = on_finished,
};

/* --- the loop -------------------------------------------------------------------------------- */

static int shim_start(struct shim *shim, struct error *err)
{
	int r;

	uv_timer_init(shim->loop, &shim->timer); /* never fails */
	shim->timer.data = shim;
	r = uv_poll_init(shim->loop, &shim->signals, shim->params->signals);
	if (r < 0)
		return error_set(err, -r, "watch signals");
	shim->signals.data = shim;
	r = stdio_open(shim->stdio, shim->loop, &stdio_ops, shim, err);
	if (r < 0)
		return r;
	uv_update_time(shim->loop); /* it was made before the VM booted: so old is its time */
	uv_timer_start(&shim->timer, on_attach_timeout, ATTACH_MS, 0);
	return link_start(&shim->link, shim->loop, shim->params->socket, &link_ops, shim, err);
}

int shim_run(uv_loop_t *loop, struct stdio *stdio, const struct shim_params *params)
{
	struct shim shim = { .params = params,
			     .loop = loop,
			     .stdio = stdio,
			     .control = params->control,
			     .code = SHIM_EXIT_FAILED };
	struct error err;

	session_init(&shim.session, false, &session_ops, &shim);
	if (shim_start(&shim, &err) < 0) {
		log_error("shim cannot attach", KV_ERR(&err));
		fdpass_send_error(shim.control, &err);
		fd_close(&shim.control);
		return SHIM_EXIT_FAILED; /* the process ends now, and its handles with it */
	}
	if (loop_run(loop, LOOP_END_MS, &err) < 0)
		log_error("loop did not end cleanly", KV_ERR(&err));
	fd_close(&shim.control);
	session_fini(&shim.session);
	relay_fini(&shim.relay);
	return shim.code;
}
