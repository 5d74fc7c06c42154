/*
 * Processes of containers: see process.h. A process is owned by the agent's list; its memory goes
 * with the close callback of its last handle.
 */
#include "kata-agent/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/fdpass.h"
#include "common/log.h"
#include "kata-agent/agent.h"
#include "kata-agent/container.h"
#include "kata-agent/enter.h"
#include "kata-agent/spawn.h"
#include "kata-agent/terminal.h"

/* Output after the death of a terminal's process that is still taken for its own. */
enum { TERMINAL_REST_MAX = 262144 };

/* Messages a child can have sent: its terminal, ready, failed, and end of file. */
enum { LAST_WORDS_MAX = 4 };

struct process *process_find(struct agent *agent, uint64_t handle)
{
	for (struct process *p = agent->processes; p != NULL; p = p->next) {
		if (p->handle == handle)
			return p;
	}
	return NULL;
}

/* --- end of life ------------------------------------------------------------------------------ */

static void free_if_closed(struct process *p)
{
	if (p->closing && p->handles == 0 && p->streams.closed != NULL &&
	    p->streams.poll_count == 0)
		free(p);
}

static void handle_closed(uv_handle_t *handle)
{
	struct process *p = handle->data;

	p->handles--;
	free_if_closed(p);
}

static void streams_closed(struct streams *streams)
{
	struct process *p = (struct process *)((char *)streams - offsetof(struct process, streams));

	free_if_closed(p);
}

static void close_status(struct process *p)
{
	if (p->status < 0)
		return;
	uv_close((uv_handle_t *)&p->status_poll, handle_closed);
	fd_close(&p->status);
}

static void unlink_process(struct process *p)
{
	struct process **at = &p->agent->processes;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
}

/* Nobody can ask for it any more. */
static void dispose(struct process *p)
{
	if (p->closing)
		return;
	unlink_process(p);
	if (p->container != NULL && p->container->first == p)
		p->container->first = NULL;
	fd_close(&p->pidfd);
	close_status(p);
	uv_close((uv_handle_t *)&p->timer, handle_closed);
	p->closing = true;
	streams_close(&p->streams, streams_closed);
}

/*
 * A further process is over with its client; the first one's exit may be asked for as long as its
 * container is there.
 */
static void dispose_if_over(struct process *p)
{
	bool told = p->container == NULL || (!p->first && p->had_client);

	if (p->state == PROCESS_ENDED && p->client == NULL && told)
		dispose(p);
}

void process_forget(struct process *process)
{
	process->container = NULL;
	dispose_if_over(process);
}

void process_forget_client(struct process *process, const struct client *client)
{
	if (process->waiting.client == client)
		process->waiting.client = NULL;
}

/* --- exit ------------------------------------------------------------------------------------- */

static void send_exit(struct process *p)
{
	struct msg_exit event = { .handle = p->handle,
				  .code = p->code,
				  .stdout_end = p->written[STREAM_STDOUT],
				  .stderr_end = p->written[STREAM_STDERR] };
	struct error err;

	p->exit_sent = true;
	if (session_event(&p->client->session, MSG_EXIT, &event, &err) < 0)
		log_error("exit code not sent", KV("pid", p->pid), KV_ERR(&err));
}

static void look_if_quiet(struct process *p);

static void on_quiet_time(uv_timer_t *timer)
{
	look_if_quiet(timer->data);
}

/*
 * What the kernel still holds of a terminal's output cannot be asked for, so it is read until it
 * ends or nothing has come for a while. Time in which the client takes nothing does not count.
 */
static void look_if_quiet(struct process *p)
{
	const struct streams *s = &p->streams;
	bool first = p->quiet_total == UINT64_MAX;
	bool quiet = !first && s->total[STREAM_STDOUT] == p->quiet_total && !streams_held_back(s);

	p->quiet_total = s->total[STREAM_STDOUT];
	if (s->ended[STREAM_STDOUT] || quiet ||
	    s->total[STREAM_STDOUT] - p->reaped_total > TERMINAL_REST_MAX) {
		p->written[STREAM_STDOUT] = s->total[STREAM_STDOUT];
		send_exit(p);
		return;
	}
	uv_timer_start(&p->timer, on_quiet_time, PROCESS_QUIET_MS, 0);
}

/* Does a further process of its container that has ended still have its client? */
static bool others_have_clients(const struct process *p)
{
	for (const struct process *q = p->agent->processes; q != NULL; q = q->next) {
		if (q != p && q->container == p->container && q->state == PROCESS_ENDED &&
		    q->client != NULL)
			return true;
	}
	return false;
}

static void report_exit(struct process *p);

static void on_others_time(uv_timer_t *timer)
{
	struct process *p = timer->data;

	p->hurries = true;
	report_exit(p);
}

/*
 * With the exit of a container's first process managers forget the container, and who waits for a
 * further one whose exit comes after that waits for ever. So the first one's comes last, but for a
 * client that takes its time.
 */
static void report_exit(struct process *p)
{
	if (p->exit_sent || p->client == NULL)
		return;
	if (p->first && p->container != NULL && !p->hurries && others_have_clients(p)) {
		uv_timer_start(&p->timer, on_others_time, PROCESS_OTHERS_MS, 0);
		return;
	}
	if (!p->streams.terminal) {
		send_exit(p);
		return;
	}
	p->quiet_total = UINT64_MAX;
	look_if_quiet(p);
}

/* --- the child's reports ---------------------------------------------------------------------- */

/* The child is not listened to any more. One whose handle was never told will have no client. */
static void give_up(struct process *p, const struct error *err)
{
	if (p->state == PROCESS_PREPARING)
		p->failed = p->had_client = true;
	client_fail(&p->waiting, err);
	close_status(p);
	uv_timer_stop(&p->timer);
}

static void abandon(struct process *p, const struct error *err)
{
	give_up(p, err);
	process_signal(p, SIGKILL, NULL);
}

/* It ends by itself, with the exit code that its failure has. */
static void on_failed(struct process *p, const struct enter_failure *failure)
{
	struct error err = { .num = failure->num };

	memcpy(err.text, failure->text, sizeof(err.text));
	err.text[sizeof(err.text) - 1] = '\0';
	log_info("process not started", KV("pid", p->pid), KV_ERR(&err));
	give_up(p, &err);
}

static void on_ready(struct process *p)
{
	struct msg_created created = { .handle = p->handle, .pid = (uint32_t)p->pid };
	struct error err;

	uv_timer_stop(&p->timer);
	if (streams_start(&p->streams, &p->agent->loop, &err) < 0) {
		abandon(p, &err);
		return;
	}
	p->state = PROCESS_CREATED;
	client_reply(&p->waiting, MSG_CREATED, &created);
}

/* The socket closes at exec, or at death before it, which EXIT tells of. */
static void on_status_end(struct process *p)
{
	struct error err;

	if (p->state == PROCESS_PREPARING) {
		error_say(&err, ECHILD, "the process ended while it was prepared");
		abandon(p, &err);
		return;
	}
	if (p->state == PROCESS_STARTING)
		p->state = PROCESS_RUNNING;
	close_status(p);
	uv_timer_stop(&p->timer);
	client_reply(&p->waiting, MSG_DONE, NULL);
}

static void on_terminal(struct process *p)
{
	struct error err;
	char kind;
	int fd = fdpass_receive_one(p->status, &kind, 1, deadline_in_ms(0), &err);

	if (fd >= 0 && p->wants_terminal && !p->streams.terminal && p->state == PROCESS_PREPARING &&
	    fcntl(fd, F_SETFL, O_NONBLOCK) == 0) {
		streams_set_terminal(&p->streams, fd);
		return;
	}
	/* Only a child that somebody else has taken over would send this. */
	if (fd >= 0)
		close(fd);
	error_say(&err, EPROTO, "the child sent a terminal that was not expected");
	abandon(p, &err);
}

/* One message; what a child says after it was given up is not read. */
static void on_status(uv_poll_t *poll, int status, int events)
{
	struct process *p = poll->data;
	struct enter_failure message = { 0 };
	ssize_t n;

	(void)status;
	(void)events;
	n = recv(p->status, &message, sizeof(message), MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && message.kind == ENTER_TERMINAL) {
		on_terminal(p);
		return;
	}
	if (n > 0)
		recv(p->status, &message, sizeof(message), MSG_DONTWAIT);
	if (n == sizeof(message) && message.kind == ENTER_FAILED)
		on_failed(p, &message);
	else if (n > 0 && message.kind == ENTER_READY && p->state == PROCESS_PREPARING)
		on_ready(p);
	else
		on_status_end(p);
}

static void on_deadline(uv_timer_t *timer)
{
	struct process *p = timer->data;
	struct error err;

	error_set(&err, ETIMEDOUT, "prepare the process");
	abandon(p, &err);
}

/* --- making one ------------------------------------------------------------------------------- */

static struct process *allocate(struct container *c, bool first, bool terminal,
				const struct client_request *request)
{
	struct process *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->agent = c->agent;
	p->container = c;
	p->first = first;
	p->wants_terminal = terminal;
	p->waiting = *request;
	streams_init(&p->streams, &p->agent->congested);
	return p;
}

/* From here on the process belongs to the list. */
static void enlist(struct process *p)
{
	struct agent *agent = p->agent;

	p->handle = agent->next_handle++;
	uv_timer_init(&agent->loop, &p->timer);
	uv_poll_init(&agent->loop, &p->status_poll, p->status);
	p->timer.data = p->status_poll.data = p;
	p->handles = 2;
	uv_timer_start(&p->timer, on_deadline, PROCESS_PREPARE_MS, 0);
	uv_poll_start(&p->status_poll, UV_READABLE, on_status);
	p->next = agent->processes;
	agent->processes = p;
}

static int check(const struct msg_process *wanted, struct error *err)
{
	if (wanted->args.count == 0 || wanted->args.items[0][0] == '\0')
		return error_say(err, EINVAL, "the process has no program");
	if (wanted->cwd[0] != '/')
		return error_say(err, EINVAL, "working directory %s is not absolute", wanted->cwd);
	return 0;
}

int process_spawn(struct container *container, const struct msg_process *wanted,
		  const struct msg_create *create, const struct client_request *request,
		  struct process **ret_process, struct error *err)
{
	int r = check(wanted, err);
	struct spawned spawned;
	struct process *p;

	if (r < 0)
		return r;
	p = allocate(container, create != NULL, wanted->terminal, request);
	if (p == NULL)
		return error_set(err, ENOMEM, "make a process");
	r = spawn_process(container, wanted, create, &p->streams, &spawned, err);
	if (r < 0) {
		for (unsigned i = 0; i < STREAM_COUNT; i++)
			fd_close(&p->streams.ends[i].fd);
		free(p);
		return r;
	}
	p->pid = spawned.pid;
	p->pidfd = spawned.pidfd;
	p->status = spawned.status;
	enlist(p);
	*ret_process = p;
	return 0;
}

/* --- requests --------------------------------------------------------------------------------- */

static int say_ended(const struct process *p, struct error *err)
{
	if (p->first)
		return error_say(err, ESRCH, "container not running");
	return error_say(err, ESRCH, "os: process already finished");
}

int process_run(struct process *process, const struct client_request *request, struct error *err)
{
	const char start = ENTER_START;

	if (process->state == PROCESS_ENDED)
		return say_ended(process, err);
	if (process->state != PROCESS_CREATED || process->status < 0)
		return error_say(err, EBUSY, "the process was started already");
	if (send(process->status, &start, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
		return error_set(err, errno, "start the process");
	process->state = PROCESS_STARTING;
	process->waiting = *request;
	uv_timer_start(&process->timer, on_deadline,
		       PROCESS_PREPARE_MS + (process->first ? process->container->hooks_ms : 0), 0);
	return 0;
}

/*
 * One that waits for START has no handlers yet, and a container's first one would not even notice
 * SIGTERM: it ends for any signal that is meant to end it.
 */
int process_signal(struct process *process, int signum, struct error *err)
{
	bool waits = process->state == PROCESS_PREPARING || process->state == PROCESS_CREATED;

	if (process->state == PROCESS_ENDED)
		return say_ended(process, err);
	if (waits && signum == SIGTERM)
		signum = SIGKILL;
	if (syscall(SYS_pidfd_send_signal, process->pidfd, signum, NULL, 0) < 0) {
		if (errno == ESRCH)
			return say_ended(process, err);
		return error_set(err, errno, "send signal %d", signum);
	}
	return 0;
}

int process_resize(struct process *process, uint32_t rows, uint32_t columns, struct error *err)
{
	int master = process->streams.ends[STREAM_STDOUT].fd;

	if (!process->streams.terminal)
		return error_say(err, ENOTTY, "the process has no terminal");
	if (master < 0)
		return say_ended(process, err);
	return terminal_resize(master, rows, columns, err);
}

int process_attach(struct process *process, struct client *client, struct error *err)
{
	if (process->state == PROCESS_PREPARING)
		return error_say(err, EBUSY, "the process is not prepared yet");
	if (process->had_client)
		return error_say(err, EBUSY, "the process has or had a client");
	process->had_client = true;
	process->client = client;
	client->process = process;
	streams_attach(&process->streams, &client->session);
	if (process->state == PROCESS_ENDED)
		report_exit(process);
	return 0;
}

void process_detach(struct process *process, bool kill)
{
	struct process *first = process->container != NULL ? process->container->first : NULL;

	process->client->process = NULL;
	process->client = NULL;
	streams_attach(&process->streams, NULL);
	uv_timer_stop(&process->timer);
	if (kill && process->state != PROCESS_ENDED) {
		log_info("client lost, process killed", KV("pid", process->pid));
		process_signal(process, SIGKILL, NULL);
	}
	if (first != NULL && first != process && first->state == PROCESS_ENDED)
		report_exit(first);
	dispose_if_over(process);
}

static unsigned exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + (unsigned)WTERMSIG(status)
				   : (unsigned)WEXITSTATUS(status);
}

void process_reaped(struct agent *agent, pid_t pid, int status)
{
	struct process *p = agent->processes;

	while (p != NULL && (p->pid != pid || p->state == PROCESS_ENDED))
		p = p->next;
	if (p == NULL)
		return;
	/* Its last words may be unread. They are few, since it is dead. */
	for (int i = 0; i < LAST_WORDS_MAX && p->status >= 0; i++)
		on_status(&p->status_poll, 0, UV_READABLE);
	if (p->status >= 0)
		on_status_end(p);
	p->state = PROCESS_ENDED;
	p->code = exit_code(status);
	uv_timer_stop(&p->timer);
	p->reaped_total = p->streams.total[STREAM_STDOUT];
	for (unsigned i = STREAM_STDOUT; i < STREAM_COUNT; i++)
		p->written[i] = streams_written(&p->streams, i);
	log_info("process ended", KV("pid", pid), KV("code", p->code));
	report_exit(p);
	if (p->container != NULL)
		container_process_ended(p->container, p);
	dispose_if_over(p);
}
