/* The container's life after create: see container.h. Runs in kata-runtime as root. */
#include "kata-runtime/container.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/filter.h"
#include "common/id.h"
#include "common/log.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/cause.h"
#include "kata-runtime/cgroup.h"
#include "kata-runtime/config.h"
#include "kata-runtime/hooks.h"
#include "kata-runtime/json.h"
#include "kata-runtime/logs.h"
#include "kata-runtime/netmon.h"
#include "kata-runtime/pod.h"
#include "kata-runtime/sandbox.h"

enum {
	LOCK_MS = 10000,
	AGENT_MS = 10000,    /* an answer of the agent */
	AGENT_KILL_MS = 500, /* to SIGKILL: then the VM is killed instead */
	KILL_MS = 5000,
	FORCE_MS = 10000,   /* to get the lock of a container, whoever has it */
	NETWORK_MS = 60000, /* to bring the network into the VM; devices take their time */
};

static int no_container(const char *id, struct error *err)
{
	return error_say(err, ENOENT, "container does not exist: %s", id);
}

int container_load(const struct cli *cli, const char *id, struct store *ret_store,
		   struct state *ret_state, struct error *err)
{
	char sid[SID_SIZE];
	int r = id_check(id, err);

	if (r == 0)
		r = store_open(ret_store, cli->root, NULL, false, err);
	if (r == 0)
		r = store_sid(ret_store, id, sid, err);
	if (r == 0)
		r = store_read_state(ret_store, sid, ret_state, err);
	if (r == 0 && ret_state->departed) {
		state_fini(ret_state);
		r = -ENOENT;
	}
	return r == -ENOENT ? no_container(id, err) : r;
}

int container_find_sandbox(const struct store *store, const char *word, char ret_sid[SID_SIZE],
			   struct error *err)
{
	CLEANUP(state_fini) struct state state = { 0 };
	char sid[SID_SIZE];
	int r = sid_check(word, NULL);

	if (r == 0)
		memcpy(sid, word, SID_SIZE);
	else
		r = store_sid(store, word, sid, err);
	if (r == 0)
		r = store_read_state(store, sid, &state, err);
	/* A container's id may look like one, too. */
	if (r == -ENOENT && str_eq(sid, word)) {
		r = store_sid(store, word, sid, err);
		if (r == 0)
			r = store_read_state(store, sid, &state, err);
	}
	if (r == 0)
		memcpy(ret_sid, state.sandbox, SID_SIZE);
	if (r == -ENOENT)
		return error_say(err, ENOENT, "there is no sandbox or container %s", word);
	return r;
}

enum container_status container_status(const struct state *state)
{
	/* While it is being created there may be no shim yet; its creator then lives. */
	if (state->status == STATUS_CREATING && state->shim.pid == 0)
		return STATUS_CREATING;
	if (!process_alive(state->shim.pid, state->shim.start_ticks))
		return STATUS_STOPPED;
	return state->paused ? STATUS_PAUSED : state->status;
}

const char *container_status_name(const struct state *state)
{
	enum container_status status = container_status(state);

	return status_name(status == STATUS_STARTING ? STATUS_RUNNING : status);
}

int container_begin(const struct cli *cli, const char *id, struct store *store, struct state *state,
		    struct error *err)
{
	struct config config;
	int r = container_load(cli, id, store, state, err);

	if (r < 0)
		return r;
	/* A configuration broken since then must not keep a container from being ended. */
	if (logs_start_runtime(cli->config_file, cli->debug, state->sandbox, id, NULL, &config,
			       NULL) == 0)
		config_fini(&config);
	return 0;
}

int container_config(const struct cli *cli, const struct store *store, const struct state *state,
		     struct config *ret, struct error *err)
{
	CLEANUP(config_fini) struct config config = { 0 };
	CLEANUP(state_fini) struct state first = { 0 };
	int r = config_load(cli->config_file, &config, err);

	if (r == 0)
		r = store_read_state(store, state->sandbox, &first, err);
	if (r == 0)
		r = config_annotate(&config, first.annotations, first.n_annotations,
				    &first.configured, err);
	if (r < 0)
		return r;
	*ret = config;
	config = (struct config){ 0 };
	return 0;
}

/* --- hooks ---------------------------------------------------------------------------------- */

#define KEPT_SPEC "config.json"

int container_keep_spec(const struct store *store, const struct state *state, struct error *err)
{
	CLEANUP(freep) char *text = NULL;
	CLEANUP(fd_close) int fd = -1;
	char from[PATH_MAX], to[PATH_MAX];
	size_t len;
	int r = store_path(store, state->sid, KEPT_SPEC, to, err);

	if (r < 0)
		return r;
	if (str_format(from, sizeof(from), "%s/config.json", state->bundle) < 0)
		return error_set(err, ENAMETOOLONG, "%s", state->bundle);
	r = json_read_file(from, &text, &len, err);
	if (r < 0)
		return r;
	fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		return error_set(err, errno != 0 ? errno : EIO, "write %s", to);
	return 0;
}

/* The spec that was kept, when there is one: hooks are the only reason to keep it. */
static void load_kept_spec(const struct store *store, const struct state *state, struct spec **ret)
{
	CLEANUP(freep) char *text = NULL;
	struct error err = { 0 };
	char path[PATH_MAX];
	size_t len;

	if (store_path(store, state->sid, KEPT_SPEC, path, NULL) < 0 || access(path, F_OK) < 0)
		return;
	if (json_read_file(path, &text, &len, &err) < 0 ||
	    spec_parse(path, state->bundle, text, len, ret, &err) < 0)
		log_error("the container's hooks cannot be read", KV_ERR(&err));
}

/* How long START may take: the hooks of the container run first. */
static int64_t start_ms(const struct spec *spec)
{
	const struct spec_hooks *hooks = &spec->hooks[HOOK_START_CONTAINER];
	int64_t ms = 0;

	for (uint32_t i = 0; i < hooks->count; i++)
		ms += 1000LL * hooks_timeout_s(&hooks->items[i]);
	return ms;
}

/* --- start ---------------------------------------------------------------------------------- */

/* Once before the process runs, and then as long as it does, the VM gets the network's changes. */
static int follow_network(const struct cli *cli, const struct store *store, struct state *state,
			  struct error *err)
{
	CLEANUP(config_fini) struct config config = { 0 };
	int r = container_config(cli, store, state, &config, err);

	if (r == 0 && config.runtime.internetworking_model == MODEL_NONE)
		return 0;
	return r < 0 ? r
		     : netmon_start(store, &config, state, &state->shim, cli->debug,
				    deadline_in_ms(NETWORK_MS), err);
}

/* For a further container of a VM: starts netmon again if it was killed. */
static int follow_again(const struct cli *cli, const struct store *store, const struct state *state,
			struct error *err)
{
	CLEANUP(store_unlock) struct store_lock lock = STORE_LOCK_NONE;
	CLEANUP(config_fini) struct config config = { 0 };
	CLEANUP(state_fini) struct state first = { 0 };
	int r = config_load(cli->config_file, &config, err);

	if (r == 0 && !config.netmon.enable_netmon)
		return 0;
	if (r == 0)
		r = store_lock(store, state->sandbox, deadline_in_ms(LOCK_MS), &lock, err);
	if (r == 0)
		r = store_read_state(store, state->sandbox, &first, err);
	if (r < 0 || first.netmon.pid <= 0 ||
	    process_alive(first.netmon.pid, first.netmon.start_ticks))
		return r;
	return netmon_start(store, &config, &first, &state->shim, cli->debug,
			    deadline_in_ms(NETWORK_MS), err);
}

static int start_locked(const struct cli *cli, const struct store *store, struct state *state,
			struct hook_launcher *hooks, struct error *err)
{
	CLEANUP(hook_launcher_end) struct hook_launcher own = HOOK_LAUNCHER_NONE;
	CLEANUP(decoder_close) struct decoder decoder = DECODER_NONE;
	CLEANUP(spec_freep) struct spec *spec = NULL;
	struct msg_start start;
	int r = 0;

	switch (container_status(state)) {
	case STATUS_CREATED:
		break;
	case STATUS_STARTING:
	case STATUS_RUNNING:
		return error_say(err, EBUSY, "cannot start an already running container");
	case STATUS_PAUSED:
		return error_say(err, EBUSY, "cannot start a paused container");
	default:
		return error_say(err, EINVAL, "cannot start a container that has stopped");
	}
	load_kept_spec(store, state, &spec);
	if (hooks == NULL) {
		hooks = &own;
		r = hook_launcher_start(&own, cli->rights, spec, state->id, HOOK_POSTSTART, err);
	}
	state->status = STATUS_STARTING;
	if (r == 0)
		r = store_write_state(store, state, err);
	/* The network is the VM's: it is followed as long as one of its containers runs. */
	if (r == 0)
		r = pod_is_first(state) ? follow_network(cli, store, state, err)
					: follow_again(cli, store, state, err);
	if (r == 0)
		r = filter_load(FILTER_ASKER, cli->seccomp_log, err);
	if (r == 0)
		r = sandbox_connect(store, state, &decoder, deadline_in_ms(AGENT_MS), err);
	if (r < 0)
		return r;
	start.handle = state->handle;
	r = decoder_request(&decoder, MSG_START, &start,
			    deadline_in_ms(AGENT_MS + (spec != NULL ? start_ms(spec) : 0)), NULL,
			    NULL, err);
	if (r < 0)
		return r;
	state->status = STATUS_RUNNING;
	log_info("container started");
	r = store_write_state(store, state, err);
	if (r < 0)
		return r;
	if (spec != NULL)
		hook_launcher_run_all(hooks, spec, HOOK_POSTSTART, state->shim.pid);
	return 0;
}

int container_lock(const struct cli *cli, const char *id, struct store *ret_store,
		   struct state *ret_state, struct store_lock *ret_lock, struct error *err)
{
	int r = container_begin(cli, id, ret_store, ret_state, err);

	if (r == 0)
		r = store_lock(ret_store, ret_state->sid, deadline_in_ms(LOCK_MS), ret_lock, err);
	if (r < 0)
		return r;
	state_fini(ret_state); /* what it was before we had the lock */
	r = container_load(cli, id, ret_store, ret_state, err);
	if (r == -ENOENT)
		unlink(ret_lock->path);
	return r;
}

int container_start(const struct cli *cli, const char *id, struct hook_launcher *hooks,
		    struct error *err)
{
	CLEANUP(store_unlock) struct store_lock lock = STORE_LOCK_NONE;
	CLEANUP(state_fini) struct state state = { 0 };
	struct store store;
	int r = container_lock(cli, id, &store, &state, &lock, err);

	return r < 0 ? r : start_locked(cli, &store, &state, hooks, err);
}

bool container_has_poststop(const struct store *store, const struct state *state)
{
	CLEANUP(spec_freep) struct spec *spec = NULL;

	load_kept_spec(store, state, &spec);
	return spec != NULL && spec->hooks[HOOK_POSTSTOP].count > 0;
}

/* --- kill ----------------------------------------------------------------------------------- */

static int request_signal(const struct store *store, const struct state *state, int signal,
			  bool all, int64_t deadline, struct error *err)
{
	CLEANUP(decoder_close) struct decoder decoder = DECODER_NONE;
	struct msg_signal message = { .handle = state->handle,
				      .signum = (uint32_t)signal,
				      .all = all };
	int r = sandbox_connect(store, state, &decoder, deadline, err);

	return r < 0 ? r
		     : decoder_request(&decoder, MSG_SIGNAL, &message, deadline, NULL, NULL, err);
}

/*
 * SIGKILL never depends on the guest. The shim first, so that the container looks killed; then its
 * VM, unless that has other containers that run: then its processes may go on until the agent
 * notices that the shim has gone, or the VM ends.
 */
static int kill_hard(const struct store *store, const struct state *state, int64_t since,
		     struct error *err)
{
	bool alone = !pod_others_run(store, state);
	CLEANUP(fd_close)
	int fd = process_open(state->shim.pid, state->shim.start_ticks, NULL);
	int r = 0;

	if (alone)
		log_warning("the agent did not take SIGKILL, the VM is killed", KV_ERR(err));
	else
		log_warning("the agent did not take SIGKILL, the shim is killed; the processes in "
			    "the VM may go on",
			    KV_ERR(err));
	cause_note_signal(store, state, SIGKILL, since, true);
	container_kill_process(&state->shim);
	if (alone)
		return sandbox_kill(state, deadline_in_ms(KILL_MS), err);
	if (fd >= 0)
		r = process_wait_gone(fd, deadline_in_ms(KILL_MS), err);
	return r < 0 ? error_prefix(err, "neither the agent nor the shim took SIGKILL") : 0;
}

int container_kill(const struct cli *cli, const char *id, int signal, bool all, struct error *err)
{
	CLEANUP(state_fini) struct state state = { 0 };
	struct store store;
	int64_t since = deadline_now_ms();
	int r = container_begin(cli, id, &store, &state, err);

	if (r < 0)
		return r;
	if (container_status(&state) == STATUS_STOPPED)
		return all ? 0 : error_say(err, ESRCH, "container not running");
	r = request_signal(&store, &state, signal, all,
			   deadline_in_ms(signal == SIGKILL ? AGENT_KILL_MS : AGENT_MS), err);
	/* A shim that somebody has stopped would not tell that its process has ended. */
	if (r == 0 && signal == SIGKILL)
		process_continue(state.shim.pid, state.shim.start_ticks);
	if (signal == SIGKILL)
		container_continue_verbs(&store, state.sid);
	if (r == 0 && signal != 0)
		cause_note_signal(&store, &state, signal, since, false);
	if (r == 0)
		return 0;
	if (r == -ESRCH)
		return all ? 0 : error_say(err, ESRCH, "container not running");
	if (signal != SIGKILL)
		return r;
	return kill_hard(&store, &state, since, err);
}

/* --- delete --------------------------------------------------------------------------------- */

/* How long a holder of the lock still has: none, when it has had it for long. */
static int64_t holder_ms(const struct store *store, const char *sid)
{
	struct store_holder holder;

	if (store_lock_holder(store, sid, &holder, NULL) != 1 || holder.held_ms < 0)
		return STORE_HOLDER_OLD_MS;
	return holder.held_ms < STORE_HOLDER_OLD_MS ? STORE_HOLDER_OLD_MS - holder.held_ms : 0;
}

/*
 * A verb that hangs must not keep a container from being removed. Several of us may see the same
 * old holder: who of us has the lock then is none, and is waited for.
 */
static int lock_by_force(const struct store *store, const char *sid, struct store_lock *lock,
			 struct error *err)
{
	int64_t deadline = deadline_in_ms(FORCE_MS);
	struct store_holder holder;
	unsigned unknown = 0;
	int r;

	for (;;) {
		r = store_lock(store, sid, deadline_in_ms(holder_ms(store, sid)), lock, err);
		if (r != -ETIMEDOUT || deadline_left_ms(deadline) == 0)
			return r;
		if (store_lock_holder(store, sid, &holder, NULL) != 1) {
			/* Who has just got it has not said so yet; nobody else says nothing. */
			if (++unknown > 1)
				return r;
		} else if (holder.held_ms >= STORE_HOLDER_OLD_MS) {
			log_warning("the holder of the container's lock is killed",
				    KV("pid", holder.process.pid));
			container_kill_process(&holder.process);
		}
	}
}

static int delete_locked(const struct cli *cli, const char *id, const struct store *store,
			 const char *sid, bool force, struct store_lock *lock,
			 struct hook_launcher *hooks, struct error *err)
{
	CLEANUP(hook_launcher_end) struct hook_launcher own = HOOK_LAUNCHER_NONE;
	CLEANUP(state_fini) struct state state = { 0 };
	CLEANUP(spec_freep) struct spec *spec = NULL;
	int r = store_read_state(store, sid, &state, err);

	/* Once more: what was short for a moment must not cost the state. */
	if (r < 0 && r != -ENOENT && force)
		r = store_read_state(store, sid, &state, err);
	if (r == 0 && state.departed) {
		/* Only its name was left, by a delete that was cut short. */
		r = store_unlink(store, id, sid, err);
		return r < 0 || force ? r : no_container(id, err);
	}
	/* It went while we waited; the lock's file was made again by that. */
	if (r == -ENOENT && !force)
		unlink(lock->path);
	if (r == -ENOENT)
		return force ? store_remove(store, id, sid, lock, err) : no_container(id, err);
	if (r < 0)
		return force ? container_destroy_unknown(store, id, sid, lock, err) : r;
	if (!force && container_status(&state) != STATUS_STOPPED &&
	    container_status(&state) != STATUS_CREATED)
		return error_say(err, EBUSY, "cannot delete container %s that is not stopped: %s",
				 id, container_status_name(&state));
	load_kept_spec(store, &state, &spec);
	if (hooks == NULL) {
		hooks = &own;
		r = hook_launcher_start(&own, cli->rights, spec, id, HOOK_POSTSTOP, err);
		if (r == 0)
			r = filter_load(FILTER_ASKER, cli->seccomp_log, err);
	}
	if (r == 0)
		r = container_destroy(store, &state, lock, force, err);
	if (r < 0)
		return r;
	log_info("container deleted");
	if (spec != NULL)
		hook_launcher_run_all(hooks, spec, HOOK_POSTSTOP, 0);
	return 0;
}

int container_delete(const struct cli *cli, const char *id, bool force, struct hook_launcher *hooks,
		     struct error *err)
{
	CLEANUP(store_unlock) struct store_lock lock = STORE_LOCK_NONE;
	CLEANUP(state_fini) struct state state = { 0 };
	char sid[SID_SIZE];
	struct store store;
	int r = id_check(id, err);

	if (r == 0)
		r = store_open(&store, cli->root, NULL, false, err);
	if (r == 0)
		r = store_sid(&store, id, sid, err);
	if (r < 0)
		return r;
	if (!store_exists(&store, id, sid)) {
		if (force)
			store_drop_lock(&store, sid);
		return force ? 0 : no_container(id, err);
	}
	container_begin(cli, id, &store, &state, NULL);
	r = force ? lock_by_force(&store, sid, &lock, err)
		  : store_lock(&store, sid, deadline_in_ms(LOCK_MS), &lock, err);
	return r < 0 ? r : delete_locked(cli, id, &store, sid, force, &lock, hooks, err);
}

/* --- pid files ------------------------------------------------------------------------------ */

int container_write_pid(const char *path, pid_t pid, struct error *err)
{
	CLEANUP(fd_close) int fd = -1;
	char temp[PATH_MAX], text[16];
	int n = snprintf(text, sizeof(text), "%d", pid);

	if (str_format(temp, sizeof(temp), "%s.%d.tmp", path, getpid()) < 0)
		return error_set(err, ENAMETOOLONG, "pid file %s", path);
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0644);
	if (fd < 0)
		return error_set(err, errno, "make pid file %s", temp);
	if (write(fd, text, (size_t)n) != n || rename(temp, path) < 0) {
		n = errno;
		unlink(temp);
		return error_set(err, n, "write pid file %s", path);
	}
	return 0;
}
