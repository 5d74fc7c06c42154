/* A further process in a container: see container.h. Runs in kata-runtime as root. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/filter.h"
#include "common/launch.h"
#include "common/log.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/cgroup.h"
#include "kata-runtime/config.h"
#include "kata-runtime/console.h"
#include "kata-runtime/container.h"
#include "kata-runtime/guest-spec.h"
#include "kata-runtime/logs.h"
#include "kata-runtime/process-io.h"
#include "kata-runtime/sandbox.h"
#include "kata-runtime/shim.h"

enum { AGENT_MS = 30000 };

struct execution {
	const struct cli *cli;
	const struct container_options *options;
	const struct spec_process *process;
	struct config config;
	struct store store;
	struct state state;
	struct cgroup cgroup;
	struct process_io io;
	struct shim shim;
	struct decoder decoder;
	struct msg_exec request;
	int netns, pidns, shared;
	char name[32]; /* of this exec, for logs */
};

static void execution_fini(struct execution *e)
{
	decoder_close(&e->decoder);
	guest_process_fini(&e->request.process);
	process_io_close(&e->io);
	cgroup_fini(&e->cgroup);
	state_fini(&e->state);
	config_fini(&e->config);
	fd_close(&e->shim.control);
	fd_close(&e->netns);
	fd_close(&e->pidns);
	fd_close(&e->shared);
}

static int open_namespace(const struct execution *e, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", e->state.shim.pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/*
 * The container's network namespace is that of its shim. Its pid namespace is joined for the
 * kernel's sake: it lets nobody see the end of the container's shim, process 1, before those of its
 * execs, and container managers depend on that order.
 */
static int open_places(struct execution *e, struct error *err)
{
	char path[PATH_MAX];
	int r;

	e->netns = open_namespace(e, "net");
	e->pidns = open_namespace(e, "pid");
	if (e->netns < 0 || e->pidns < 0 ||
	    !process_alive(e->state.shim.pid, e->state.shim.start_ticks))
		return error_say(err, ESRCH, "container not running");
	r = store_path(&e->store, e->state.sandbox, "client", path, err);
	if (r < 0)
		return r;
	e->shared = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return e->shared < 0 ? error_set(err, errno, "open %s", path) : 0;
}

struct pruning {
	const struct execution *e;
	enum store_exec kind;
};

static int prune(struct process_ref process, void *userdata)
{
	const struct pruning *p = userdata;

	if (!process_alive(process.pid, process.start_ticks))
		store_remove_exec(&p->e->store, p->e->state.sid, p->kind, process.pid, NULL);
	return 0;
}

/*
 * Records this verb, and removes those of earlier execs that have ended: a health check makes one
 * every few seconds.
 */
static int record_verb(const struct execution *e, struct error *err)
{
	struct pruning kinds[] = { { e, STORE_EXEC_SHIM }, { e, STORE_EXEC_VERB } };
	struct process_ref own = { .pid = getpid() };
	int r = process_start_time(own.pid, &own.start_ticks, err);

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		store_each_exec(&e->store, e->state.sid, kinds[i].kind, prune, &kinds[i], NULL);
	return r < 0 ? r : store_add_exec(&e->store, e->state.sid, STORE_EXEC_VERB, own, err);
}

static int start_shim(struct execution *e, struct error *err)
{
	struct shim_options options = {
		.config = &e->config,
		.state = &e->state,
		.exec = e->name,
		.args = &e->process->args,
		.cgroup = &e->cgroup,
		.exit = -1,
		.debug = e->cli->debug,
	};
	int r = open_places(e, err);

	if (r == 0)
		r = cgroup_load(&e->state.cgroups, e->cli->rootless, &e->cgroup, err);
	if (r == 0)
		r = process_io_open(&e->io, e->process, e->options, err);
	if (r < 0)
		return r;
	memcpy(options.stdio, e->io.stdio, sizeof(options.stdio));
	options.shared = e->shared;
	options.netns = e->netns;
	options.pidns = e->pidns;
	r = record_verb(e, err);
	if (r < 0)
		return r;
	r = shim_start(&e->shim, &options, err);
	if (r < 0 && !process_alive(e->state.shim.pid, e->state.shim.start_ticks))
		return error_say(err, ESRCH, "container not running");
	return r < 0 ? r
		     : store_add_exec(&e->store, e->state.sid, STORE_EXEC_SHIM, e->shim.process,
				      err);
}

static int run_in_guest(struct execution *e, struct error *err)
{
	struct decoder_reply reply;
	struct msg_start start;
	int r = guest_process_make(e->process, &e->request.process, err);

	e->request.container = e->state.id;
	if (r == 0)
		r = sandbox_connect(&e->store, &e->state, &e->decoder, deadline_in_ms(AGENT_MS),
				    err);
	if (r == 0)
		r = decoder_request(&e->decoder, MSG_EXEC, &e->request, deadline_in_ms(AGENT_MS),
				    &reply, NULL, err);
	if (r == 0)
		r = shim_attach(&e->shim, reply.handle, e->process->terminal, false,
				deadline_in_ms(AGENT_MS), err);
	if (r < 0)
		return r;
	start.handle = reply.handle;
	return decoder_request(&e->decoder, MSG_START, &start, deadline_in_ms(AGENT_MS), NULL, NULL,
			       err);
}

static int execute(struct execution *e, const char *id, struct error *err)
{
	int r = container_load(e->cli, id, &e->store, &e->state, err);

	if (r < 0)
		return r;
	snprintf(e->name, sizeof(e->name), "%d", getpid());
	r = logs_start_runtime(e->cli->config_file, e->cli->debug, e->state.sandbox, id, e->name,
			       &e->config, err);
	if (r == 0)
		r = process_io_check(e->options, err);
	if (r == 0 && container_status(&e->state) == STATUS_STOPPED)
		r = error_say(err, ESRCH, "cannot exec in a stopped container");
	if (r == 0 && container_status(&e->state) == STATUS_CREATING)
		r = error_say(err, EAGAIN, "cannot exec in a container that is being created");
	if (r == 0 && container_status(&e->state) == STATUS_PAUSED && !e->options->ignore_paused)
		r = error_say(
			err, EBUSY,
			"cannot exec in a paused container (use --ignore-paused to override)");
	if (r == 0)
		r = start_shim(e, err);
	if (r == 0) /* nothing is executed any more */
		r = filter_load(FILTER_ASKER, e->cli->seccomp_log, err);
	if (r == 0)
		r = run_in_guest(e, err);
	if (r == 0 && e->options->pidfd_socket != NULL)
		r = console_send_pidfd(e->options->pidfd_socket, &e->shim.process,
				       deadline_in_ms(AGENT_MS), err);
	if (r == 0 && e->options->pid_file != NULL)
		r = container_write_pid(e->options->pid_file, e->shim.process.pid, err);
	return r;
}

int container_exec(const struct cli *cli, const char *id, const struct spec_process *process,
		   const struct container_options *options, struct container_child *ret_child,
		   struct error *err)
{
	CLEANUP(execution_fini)
	struct execution e = { .cli = cli,
			       .options = options,
			       .process = process,
			       .io = PROCESS_IO_NONE,
			       .shim = SHIM_NONE,
			       .decoder = DECODER_NONE,
			       .netns = -1,
			       .pidns = -1,
			       .shared = -1 };
	int r = execute(&e, id, err);

	if (r < 0) {
		pid_t pid = e.shim.process.pid;

		shim_abort(&e.shim);
		if (pid > 0)
			store_remove_exec(&e.store, e.state.sid, STORE_EXEC_SHIM, pid, NULL);
		return error_prefix(err, str_starts(err->text, "exec: ")
						 ? "exec failed: unable to start container process"
						 : "exec failed");
	}
	log_debug("process started", KV("shim", e.shim.process.pid));
	if (ret_child != NULL) {
		ret_child->shim = e.shim.process;
		ret_child->master = steal_fd(&e.io.master);
		ret_child->uid = e.state.uid_base + UID_DECODER;
	}
	return 0;
}
