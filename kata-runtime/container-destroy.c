/*
 * The end of a container, and of its VM with the last one: see container.h. Called by delete, and
 * by create for what it has begun. Every step may find its work done already, so that a delete that
 * was cut short is done again from the start.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/log.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/cgroup.h"
#include "kata-runtime/container-cgroup.h"
#include "kata-runtime/container.h"
#include "kata-runtime/network.h"
#include "kata-runtime/pod.h"
#include "kata-runtime/sandbox-process.h"
#include "kata-runtime/sandbox.h"
#include "kata-runtime/share.h"
#include "kata-runtime/uids.h"

enum {
	DESTROY_MS = 5000,
	REMOVE_MS = 2000, /* for the agent to end a container of a VM that lives on, */
	REMOVE_FORCE_MS = 1000,
	/* All that leave_vm() waits for, together; no holder of the VM's lock needs longer. */
	POD_LOCK_MS = 20000,
	POD_HOLDER_OLD_MS = 20000,
};

/* --- processes ------------------------------------------------------------------------------ */

void container_kill_process(const struct process_ref *process)
{
	CLEANUP(fd_close) int fd = process_open(process->pid, process->start_ticks, NULL);

	if (fd >= 0)
		pidfd_send_signal(fd, SIGKILL, NULL, 0);
}

/* The exec shims would end with their VM; killed, they look killed to who waits for them. */
static int kill_exec(struct process_ref shim, void *userdata)
{
	(void)userdata;
	container_kill_process(&shim);
	return 0;
}

static int continue_verb(struct process_ref verb, void *userdata)
{
	(void)userdata;
	process_continue(verb.pid, verb.start_ticks);
	return 0;
}

void container_continue_verbs(const struct store *store, const char *sid)
{
	store_each_exec(store, sid, STORE_EXEC_VERB, continue_verb, NULL, NULL);
}

static int wait_end(const struct process_ref *process, int64_t deadline, struct error *err)
{
	CLEANUP(fd_close) int fd = process_open(process->pid, process->start_ticks, NULL);
	int r = fd < 0 ? 0 : process_wait_gone(fd, deadline, err);

	waitpid(process->pid > 0 ? process->pid : -2, NULL, WNOHANG); /* when it is ours */
	return r;
}

static int end_netmon(const struct state *sandbox, int64_t deadline, struct error *err)
{
	container_kill_process(&sandbox->netmon);
	return wait_end(&sandbox->netmon, deadline, err);
}

/* --- the last container: the VM ends -------------------------------------------------------- */

/* Takes our filters from a network namespace that goes on without us. */
static int clean_network(const struct state *sandbox, bool force, struct error *err)
{
	struct error why;
	int r = network_clean(sandbox->netns, sandbox->sid, err);

	if (r == 0 || !force || network_clean(sandbox->netns, sandbox->sid, &why) == 0)
		return force ? 0 : r;
	log_warning("the network namespace keeps our filters", KV_ERR(&why));
	return 0;
}

/* What the state of the VM's first container names. */
static int remove_resources(const struct store *store, const struct state *sandbox, bool force,
			    int64_t deadline, struct error *err)
{
	char dir[PATH_MAX];
	int r = 0;

	/* Of what is in a namespace that goes with the shims nothing is left by now. */
	if (sandbox->netns != NULL && sandbox->netns[0] != '\0')
		r = clean_network(sandbox, force, err);
	if (r == 0)
		r = container_leave_cgroups(sandbox, deadline, err);
	if (r < 0 || sandbox->uid_base == 0)
		return r;
	if (str_format(dir, sizeof(dir), "%s/uid", store->base) < 0)
		return error_set(err, ENAMETOOLONG, "%s", store->base);
	return uids_release(dir, sandbox->uid_slot, err);
}

/* The member that goes last takes with it what the departed first container has left. */
static int remove_departed(const struct store *store, const struct state *state, bool force,
			   int64_t deadline, struct error *err)
{
	struct store_lock no_lock = STORE_LOCK_NONE;
	CLEANUP(state_fini) struct state sandbox = { 0 };
	int r = store_read_state(store, state->sandbox, &sandbox, err);

	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = end_netmon(&sandbox, deadline, err);
	if (r == 0)
		r = remove_resources(store, &sandbox, force, deadline, err);
	return r < 0 ? r : store_remove(store, sandbox.id, sandbox.sid, &no_lock, err);
}

/* It ends by itself behind the monitor: what is gained is that nothing of it is left. */
static void end_unit(const struct store *store, const char *sandbox, int64_t deadline)
{
	struct error err;

	if (sandbox_stop_unit(store, sandbox, deadline, &err) < 0)
		log_warning("systemd did not end the worker's unit", KV_ERR(&err));
}

static int end_vm(const struct store *store, const struct state *state, bool force,
		  int64_t deadline, struct error *err)
{
	int r;

	container_kill_process(&state->netmon);
	r = sandbox_kill(state, deadline, err);
	if (r == 0)
		end_unit(store, state->sandbox, deadline);
	if (r == 0)
		r = wait_end(&state->shim, deadline, err);
	if (r == 0)
		r = end_netmon(state, deadline, err);
	if (r < 0)
		return r;
	if (pod_is_first(state))
		return remove_resources(store, state, force, deadline, err);
	r = container_leave_cgroups(state, deadline, err);
	return r < 0 ? r : remove_departed(store, state, force, deadline, err);
}

/* --- others stay: the VM lives on ----------------------------------------------------------- */

static int remove_in_guest(const struct store *store, const struct state *state, bool force,
			   struct error *err)
{
	CLEANUP(decoder_close) struct decoder decoder = DECODER_NONE;
	struct msg_remove message = { .container = state->id };
	int64_t deadline = deadline_in_ms(force ? REMOVE_FORCE_MS : REMOVE_MS);
	int r = sandbox_connect(store, state, &decoder, deadline, err);

	if (r == 0)
		r = decoder_request(&decoder, MSG_REMOVE, &message, deadline, NULL, NULL, err);
	return r == -ENOENT ? 0 : r;
}

/* What of it is in the VM. A guest that hangs cannot keep it on the host. */
static void leave_guest(const struct store *store, const struct state *state, bool force)
{
	struct error err = { 0 };

	if (!process_alive(state->monitor.pid, state->monitor.start_ticks))
		return;
	if (remove_in_guest(store, state, force, &err) < 0)
		log_warning("the agent did not remove the container", KV_ERR(&err));
	if (share_remove(&state->monitor, state->id, &err) < 0)
		log_warning("the VM keeps files of the container", KV_ERR(&err));
}

/*
 * The first container's cgroup has the VM's processes too. It must go, since its manager may make
 * it again, for another container of the same id: they move to one beside it.
 */
static int depart(const struct store *store, struct state *state, int64_t deadline,
		  struct error *err)
{
	CLEANUP(cgroup_fini) struct cgroup own = { 0 };
	CLEANUP(cgroup_fini) struct cgroup beside = { 0 };
	char name[SID_SIZE + 8];
	int r = cgroup_load(&state->cgroups, false, &own, err);

	snprintf(name, sizeof(name), "kata-%s", state->sid);
	if (r == 0)
		r = cgroup_move_beside(&own, name, &beside, err);
	if (r == 0)
		r = cgroup_remove(&own, deadline, err);
	if (r == 0)
		r = cgroup_save(&beside, &state->cgroups, err);
	if (r < 0)
		return r;
	container_end_scope(state);
	state->systemd_unit[0] = '\0'; /* the name may be another container's from now on */
	return store_depart(store, state, err);
}

static int leave_vm(const struct store *store, struct state *state, bool force, int64_t deadline,
		    struct error *err)
{
	int r = wait_end(&state->shim, deadline, err);

	if (r < 0)
		return r;
	leave_guest(store, state, force);
	if (pod_is_first(state))
		return depart(store, state, deadline, err);
	return container_leave_cgroups(state, deadline, err);
}

/* --- both ----------------------------------------------------------------------------------- */

/*
 * A holder that has hung is killed: removal must not depend on it. One that has come meanwhile is
 * waited for, as the first was.
 */
static int lock_pod(const struct store *store, const struct state *state, struct store_lock *lock,
		    struct error *err)
{
	struct store_holder holder;
	int r = store_lock_pod(store, state->sandbox, deadline_in_ms(POD_LOCK_MS), lock, err);

	if (r != -ETIMEDOUT)
		return r;
	if (store_pod_holder(store, state->sandbox, &holder, NULL) == 1 &&
	    holder.held_ms >= POD_HOLDER_OLD_MS) {
		log_warning("the holder of the VM's lock is killed", KV("pid", holder.process.pid));
		container_kill_process(&holder.process);
	}
	return store_lock_pod(store, state->sandbox, deadline_in_ms(POD_LOCK_MS), lock, err);
}

int container_destroy(const struct store *store, struct state *state, struct store_lock *lock,
		      bool force, struct error *err)
{
	CLEANUP(store_unlock) struct store_lock pod = STORE_LOCK_NONE;
	bool first = pod_is_first(state), last;
	int64_t deadline;
	int r;

	container_kill_process(&state->shim);
	store_each_exec(store, state->sid, STORE_EXEC_SHIM, kill_exec, NULL, NULL);
	container_continue_verbs(store, state->sid);
	r = lock_pod(store, state, &pod, err);
	if (r < 0)
		return r;
	/* Without knowing it, a VM would be left to nobody, or taken from somebody. */
	r = pod_has_others(store, state, err);
	if (r < 0 && force)
		r = pod_has_others(store, state, err);
	if (r < 0)
		return r;
	last = r == 0;
	store_lock_renew(lock);
	deadline = deadline_in_ms(DESTROY_MS);
	r = last ? end_vm(store, state, force, deadline, err)
		 : leave_vm(store, state, force, deadline, err);
	store_lock_renew(lock);
	if (r == 0 && !first && !last)
		r = store_leave(store, state, err);
	if (r == 0 && last)
		unlink(pod.path);
	if (r == 0 && first && !last) {
		/* Its directory is the VM's now. A new container of its id has another lock. */
		unlink(lock->path);
		store_unlock(lock);
		return 0;
	}
	return r < 0 ? r : store_remove(store, state->id, state->sid, lock, err);
}

/* What a container without any usable record was given by default: its cgroups derive from sid. */
static int guess_state(const struct store *store, const char *id, const char *sid,
		       struct state *ret, struct error *err)
{
	CLEANUP(cgroup_fini) struct cgroup cgroup = { 0 };
	int r = state_init(ret, store, id, err);

	if (r < 0)
		return r;
	memcpy(ret->sid, sid, SID_SIZE);
	store_find_sandbox(store, sid, ret->sandbox);
	r = cgroup_plan("", sid, true, &cgroup, err);
	for (size_t i = 0; i < cgroup.count && r == 0; i++)
		cgroup.dirs[i].levels = 2; /* kata/SID; what is not empty stays */
	return r < 0 ? r : cgroup_save(&cgroup, &ret->cgroups, err);
}

/*
 * Whose state is lost may have been given a network namespace, which goes on without it: takes our
 * filters from those that the processes of its cgroup are in.
 */
static void clean_networks(const struct wire_strings *saved, const char *sid)
{
	CLEANUP(cgroup_fini) struct cgroup cgroup = { 0 };
	CLEANUP(file_close) FILE *file = NULL;
	char path[PATH_MAX];
	struct stat own, theirs;
	int pid;

	if (cgroup_load(saved, false, &cgroup, NULL) < 0 || cgroup.count == 0 ||
	    stat("/proc/self/ns/net", &own) < 0 ||
	    str_format(path, sizeof(path), "%s/cgroup.procs", cgroup.dirs[0].path) < 0)
		return;
	file = fopen(path, "re");
	while (file != NULL && fscanf(file, "%d", &pid) == 1) {
		snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
		if (stat(path, &theirs) == 0 && theirs.st_ino != own.st_ino)
			network_clean(path, sid, NULL);
	}
}

int container_destroy_unknown(const struct store *store, const char *id, const char *sid,
			      struct store_lock *lock, struct error *err)
{
	CLEANUP(state_fini) struct state state = { 0 };
	int r = store_read_intent(store, sid, &state, NULL);

	if (r < 0) {
		r = guess_state(store, id, sid, &state, err);
		if (r == 0)
			clean_networks(&state.cgroups, state.sandbox);
	}
	if (r < 0)
		return r;
	/* Whether it has to end is to be found out: others may be in that VM. */
	sandbox_find_monitor(state.sandbox, &state.monitor);
	return container_destroy(store, &state, lock, true, err);
}
