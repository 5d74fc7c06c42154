/*
 * Requests to the agent: see requests.h. One row and one function each; a function answers by its
 * return value, or keeps the request and answers later.
 */
#include "kata-agent/requests.h"

#include <errno.h>
#include <signal.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/wire.h"
#include "kata-agent/agent.h"
#include "kata-agent/cgroup.h"
#include "kata-agent/container.h"
#include "kata-agent/process.h"
#include "kata-agent/ps.h"
#include "kata-agent/sandbox.h"
#include "kata-agent/stats.h"

/* What a function returns beside a negative errno with err filled. */
enum { ANSWER_DONE = 0, ANSWERED = 1 }; /* DONE is to be sent; it was, or will be, sent */

enum { FROM_RUNTIME = 1 << ROLE_RUNTIME, FROM_SHIM = 1 << ROLE_SHIM };

static int on_create_sandbox(struct client_request *request, const void *body, struct error *err)
{
	return sandbox_prepare(request->client->agent, body, err);
}

static int on_set_network(struct client_request *request, const void *body, struct error *err)
{
	int r = network_wait_set(&request->client->agent->network, body, request, err);

	if (r < 0)
		return r;
	return r == 1 ? ANSWER_DONE : ANSWERED;
}

static int on_online(struct client_request *request, const void *body, struct error *err)
{
	const struct msg_online *online = body;
	int r = vcpus_online(&request->client->agent->vcpus, online->vcpus, request, err);

	if (r < 0)
		return r;
	return r == 1 ? ANSWER_DONE : ANSWERED;
}

static int on_create(struct client_request *request, const void *body, struct error *err)
{
	int r = container_create(request->client->agent, body, request, err);

	return r < 0 ? r : ANSWERED;
}

static int on_exec(struct client_request *request, const void *body, struct error *err)
{
	const struct msg_exec *exec = body;
	struct container *container;
	struct process *process;
	int r;

	r = container_find(request->client->agent, exec->container, &container, err);
	if (r < 0)
		return r;
	if (!container_is_alive(container))
		return error_say(err, ESRCH, "container not running");
	r = process_spawn(container, &exec->process, NULL, request, &process, err);
	return r < 0 ? r : ANSWERED;
}

/* A handle that is no more was one of a process that has ended. */
static int find_process(const struct client_request *request, uint64_t handle,
			struct process **ret_process, struct error *err)
{
	*ret_process = process_find(request->client->agent, handle);
	if (*ret_process == NULL)
		return error_say(err, ESRCH, "os: process already finished");
	if (request->client->role == ROLE_SHIM && request->client->process != *ret_process)
		return error_say(err, EPERM, "the process is another client's");
	return 0;
}

static int on_start(struct client_request *request, const void *body, struct error *err)
{
	const struct msg_start *start = body;
	struct process *process;
	int r = find_process(request, start->handle, &process, err);

	if (r == 0)
		r = process_run(process, request, err);
	return r < 0 ? r : ANSWERED;
}

/* To all: what has ended already needs no signal. */
static int signal_all(struct process *process, int signum, struct error *err)
{
	if (process->container == NULL || signum == 0)
		return 0;
	if (process->state == PROCESS_PREPARING || process->state == PROCESS_CREATED) {
		int r = process_signal(process, signum, err);

		if (r < 0)
			return r;
	}
	return cgroup_signal(process->container->cgroup, signum, err);
}

static int on_signal(struct client_request *request, const void *body, struct error *err)
{
	const struct msg_signal *signal = body;
	struct process *process;
	int r = find_process(request, signal->handle, &process, err);

	if (r < 0)
		return r;
	if (signal->all)
		return signal_all(process, (int)signal->signum, err);
	return process_signal(process, (int)signal->signum, err);
}

static int on_winsize(struct client_request *request, const void *body, struct error *err)
{
	const struct msg_winsize *size = body;
	struct process *process;
	int r = find_process(request, size->handle, &process, err);

	return r < 0 ? r : process_resize(process, size->rows, size->columns, err);
}

static int on_ps(struct client_request *request, const void *body, struct error *err)
{
	const struct msg_ps *ps = body;
	CLEANUP(ps_free) struct msg_ps_rows rows = { 0 };
	struct container *container;
	int r = container_find(request->client->agent, ps->container, &container, err);

	if (r == 0)
		r = ps_list(container->cgroup, &rows, err);
	if (r < 0)
		return r;
	client_reply(request, MSG_PS_ROWS, &rows);
	return ANSWERED;
}

static int on_remove(struct client_request *request, const void *body, struct error *err)
{
	const struct msg_remove *remove = body;
	struct container *container;
	int r = container_find(request->client->agent, remove->container, &container, err);

	if (r == 0)
		r = container_remove(container, request, err);
	return r < 0 ? r : ANSWERED;
}

static int on_pause(struct client_request *request, const void *body, struct error *err)
{
	const struct msg_pause *pause = body;
	struct container *container;
	int r = container_find(request->client->agent, pause->container, &container, err);

	if (r == 0)
		r = container_pause(container, request, err);
	return r < 0 ? r : ANSWERED;
}

static int on_resume(struct client_request *request, const void *body, struct error *err)
{
	const struct msg_resume *resume = body;
	struct container *container;
	int r = container_find(request->client->agent, resume->container, &container, err);

	return r < 0 ? r : container_resume(container, err);
}

static int on_update(struct client_request *request, const void *body, struct error *err)
{
	const struct msg_update *update = body;
	struct container *container;
	int r = container_find(request->client->agent, update->container, &container, err);

	if (r == 0 && update->check_memory)
		r = cgroup_check_memory(container->cgroup, update->cgroup, update->n_cgroup, err);
	return r < 0 ? r : cgroup_set(container->cgroup, update->cgroup, update->n_cgroup, err);
}

static int on_stats(struct client_request *request, const void *body, struct error *err)
{
	const struct msg_stats *stats = body;
	CLEANUP(stats_free) struct msg_statistics statistics = { 0 };
	struct container *container;
	int r = container_find(request->client->agent, stats->container, &container, err);

	if (r == 0)
		r = stats_read(container->cgroup, &statistics, err);
	if (r < 0)
		return r;
	client_reply(request, MSG_STATISTICS, &statistics);
	return ANSWERED;
}

static int on_shutdown(struct client_request *request, const void *body, struct error *err)
{
	struct agent *agent = request->client->agent;

	(void)body;
	(void)err;
	client_reply(request, MSG_DONE, NULL);
	agent_stop(agent);
	return ANSWERED;
}

static const struct row {
	enum msg_type type;
	unsigned from;
	int (*handle)(struct client_request *request, const void *body, struct error *err);
} table[] = {
	{ MSG_CREATE_SANDBOX, FROM_RUNTIME, on_create_sandbox },
	{ MSG_SET_NETWORK, FROM_RUNTIME, on_set_network },
	{ MSG_ONLINE, FROM_RUNTIME, on_online },
	{ MSG_CREATE, FROM_RUNTIME, on_create },
	{ MSG_EXEC, FROM_RUNTIME, on_exec },
	{ MSG_START, FROM_RUNTIME, on_start },
	{ MSG_SIGNAL, FROM_RUNTIME | FROM_SHIM, on_signal },
	{ MSG_WINSIZE, FROM_SHIM, on_winsize },
	{ MSG_PS, FROM_RUNTIME, on_ps },
	{ MSG_REMOVE, FROM_RUNTIME, on_remove },
	{ MSG_PAUSE, FROM_RUNTIME, on_pause },
	{ MSG_RESUME, FROM_RUNTIME, on_resume },
	{ MSG_UPDATE, FROM_RUNTIME, on_update },
	{ MSG_STATS, FROM_RUNTIME, on_stats },
	{ MSG_SHUTDOWN, FROM_RUNTIME, on_shutdown },
};

static const struct row *find_row(enum msg_type type)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].type == type)
			return &table[i];
	}
	return NULL;
}

bool requests_known(enum msg_type type)
{
	return find_row(type) != NULL;
}

bool requests_allowed(enum msg_type type, enum session_role role)
{
	const struct row *row = find_row(type);

	return row != NULL && (row->from & 1u << role) != 0;
}

static int dispatch(struct client_request *request, enum msg_type type, const void *body,
		    struct error *err)
{
	const struct row *row = find_row(type);

	log_debug("request", KV_S("message", wire_name(type)), KV("role", request->client->role));
	if (row == NULL)
		return error_say(err, EOPNOTSUPP, "%s is no request", wire_name(type));
	if (!requests_allowed(type, request->client->role))
		return error_say(err, EPERM, "%s is not for this client to send", wire_name(type));
	if (request->client->agent->stopping)
		return error_say(err, ESHUTDOWN, "the sandbox is ending");
	return row->handle(request, body, err);
}

void requests_handle(struct client_request *request, const struct frame *frame)
{
	enum msg_type type = MSG_NONE;
	void *body = NULL;
	struct error err;
	int r;

	r = wire_decode(frame->payload, frame->length, &type, &body, &err);
	if (r == 0)
		r = dispatch(request, type, body, &err);
	if (r < 0)
		client_fail(request, &err);
	else if (r == ANSWER_DONE)
		client_reply(request, MSG_DONE, NULL);
	wire_free(type, body);
}
