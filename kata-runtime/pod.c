/*
 * Deciding which VM a container belongs to: see pod.h. Called by create before anything is made;
 * reads the states of other containers, without their locks. What it finds may have changed when
 * it is used: store_join() is what decides then.
 */
#include "kata-runtime/pod.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/id.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/container.h"

/* --- annotations ------------------------------------------------------------------------------ */

static const struct {
	const char *type, *sandbox, *member, *id;
} managers[] = {
	{ "io.kubernetes.cri.container-type", "sandbox", "container",
	  "io.kubernetes.cri.sandbox-id" },
	{ "io.kubernetes.cri-o.ContainerType", "sandbox", "container",
	  "io.kubernetes.cri-o.SandboxID" },
	{ "io.kubernetes.docker.type", "podsandbox", "container", "io.kubernetes.sandbox.id" },
};

int pod_annotated(const struct spec *spec, const char **ret_sandbox, const char **ret_key,
		  struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(managers); i++) {
		const char *type = spec_annotation(spec, managers[i].type);

		if (type == NULL)
			continue;
		if (str_eq(type, managers[i].sandbox))
			return 2;
		if (!str_eq(type, managers[i].member))
			return error_say(err, EINVAL,
					 "config.json: annotation %s is \"%s\", neither \"%s\" nor "
					 "\"%s\"",
					 managers[i].type, type, managers[i].sandbox,
					 managers[i].member);
		*ret_key = managers[i].id;
		*ret_sandbox = spec_annotation(spec, managers[i].id);
		if (*ret_sandbox == NULL || (*ret_sandbox)[0] == '\0')
			return error_say(
				err, EINVAL,
				"config.json: annotation %s is missing: the container is of a "
				"pod by %s",
				managers[i].id, managers[i].type);
		return 1;
	}
	return 0;
}

/* --- namespaces ------------------------------------------------------------------------------- */

static const struct shared {
	enum spec_namespace_type type;
	const char *name;
} shared[] = {
	{ NAMESPACE_NETWORK, "net" },
	{ NAMESPACE_PID, "pid" },
	{ NAMESPACE_IPC, "ipc" },
	{ NAMESPACE_UTS, "uts" },
};

pid_t pod_namespace_pid(const char *path, const char *name)
{
	const char begin[] = "/proc/";
	char digits[16] = "";
	uint64_t pid;
	size_t len;

	if (!str_starts(path, begin))
		return 0;
	path += strlen(begin);
	len = strspn(path, "0123456789");
	if (len == 0 || len >= sizeof(digits))
		return 0;
	memcpy(digits, path, len);
	path += len;
	if (str_to_u64(digits, INT32_MAX, &pid) < 0 || !str_starts(path, "/ns/") ||
	    !str_eq(path + 4, name))
		return 0;
	return (pid_t)pid;
}

/* --- finding containers ----------------------------------------------------------------------- */

/* A container found by its id or by its shim's pid. */
struct found {
	pid_t pid;
	char *id;
	char sandbox[SID_SIZE];
	struct process_ref shim;
	enum container_status status;
};

static void found_fini(struct found *found)
{
	free(found->id);
	found->id = NULL;
}

static int keep(struct found *found, const struct state *state, struct error *err)
{
	found->id = strdup(state->id);
	if (found->id == NULL)
		return error_set(err, ENOMEM, "container");
	memcpy(found->sandbox, state->sandbox, SID_SIZE);
	found->shim = state->shim;
	found->status = container_status(state);
	return 0;
}

static int look_at(const char *id, const char *sid, const struct state *state,
		   const struct error *why, void *userdata)
{
	struct found *found = userdata;

	(void)id;
	(void)sid;
	(void)why;
	if (state == NULL || state->shim.pid != found->pid ||
	    !process_alive(state->shim.pid, state->shim.start_ticks))
		return 0;
	return keep(found, state, NULL) < 0 ? -ENOMEM : 1;
}

/* By the path of a namespace that a container of ours must have. */
static int find_by_pid(const struct store *store, const struct shared *type, const char *path,
		       struct found *ret, struct error *err)
{
	int r;

	ret->pid = pod_namespace_pid(path, type->name);
	r = store_list(store, look_at, ret, err);
	if (r < 0)
		return r;
	if (r == 0)
		return error_say(
			err, ENOTSUP,
			"config.json: linux.namespaces: the %s namespace %s is that of process "
			"%d, which is no running container of kata-runtime below %s, so a "
			"container in a VM cannot share it",
			type->name, path, ret->pid, store->root);
	return 0;
}

static int find_by_id(const struct store *store, const char *id, const char *key, struct found *ret,
		      struct error *err)
{
	CLEANUP(state_fini) struct state state = { 0 };
	char sid[SID_SIZE];
	int r = id_check(id, err);

	if (r == 0)
		r = store_sid(store, id, sid, err);
	if (r == 0)
		r = store_read_state(store, sid, &state, err);
	if (r == -ENOENT || (r == 0 && state.departed))
		r = error_say(err, ENOENT, "container does not exist: %s", id);
	if (r == 0)
		r = keep(ret, &state, err);
	return r < 0 ? error_prefix(err, "config.json: annotation %s", key) : 0;
}

/* --- deciding --------------------------------------------------------------------------------- */

/* What is known so far: the first container found says which VM, the others have to agree. */
struct search {
	const struct store *store;
	struct pod *pod;
	struct found first;
	const char *annotated; /* id of the sandbox by annotation, NULL */
};

static int agree(struct search *s, struct found *found, struct error *err)
{
	if (found->status == STATUS_CREATING)
		return error_say(err, EAGAIN, "container %s is still being created", found->id);
	if (s->first.id == NULL) {
		s->first = *found;
		s->first.id = strdup(found->id);
		return s->first.id != NULL ? 0 : error_set(err, ENOMEM, "container");
	}
	if (!str_eq(s->first.sandbox, found->sandbox))
		return error_say(
			err, ENOTSUP,
			"containers %s and %s are in different VMs, so one container cannot "
			"share the namespaces of both",
			s->first.id, found->id);
	return 0;
}

static char **sharer(struct pod *pod, enum spec_namespace_type type)
{
	switch ((int)type) {
	case NAMESPACE_PID:
		return &pod->pid_of;
	case NAMESPACE_IPC:
		return &pod->ipc_of;
	case NAMESPACE_UTS:
		return &pod->uts_of;
	default:
		return NULL;
	}
}

static int look_at_namespace(struct search *s, const struct shared *type,
			     const struct spec_namespace *namespace, struct error *err)
{
	CLEANUP(found_fini) struct found found = { 0 };
	char **of = sharer(s->pod, type->type);
	int r;

	if (!namespace->wanted || pod_namespace_pid(namespace->path, type->name) == 0)
		return 0; /* its own, or a network that is no container's */
	r = find_by_pid(s->store, type, namespace->path, &found, err);
	if (r == 0)
		r = agree(s, &found, err);
	if (r == 0 && of != NULL) {
		free(*of);
		*of = steal_ptr(&found.id);
	}
	return r;
}

static int look_at_annotations(struct search *s, const struct spec *spec, struct error *err)
{
	CLEANUP(found_fini) struct found found = { 0 };
	const char *key;
	int r = pod_annotated(spec, &s->annotated, &key, err);

	s->pod->pause = r == 2;
	if (r != 1)
		return r < 0 ? r : 0;
	r = find_by_id(s->store, s->annotated, key, &found, err);
	return r < 0 ? r : agree(s, &found, err);
}

static bool same_namespace(int netns, const struct process_ref *process)
{
	struct stat ours, theirs;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", process->pid);
	return netns >= 0 && fstat(netns, &ours) == 0 && stat(path, &theirs) == 0 &&
	       ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

/* A VM has one network, so its containers have too. */
static int check_network(const struct search *s, int netns, struct error *err)
{
	const struct found *with = &s->first;

	if (!process_alive(with->shim.pid, with->shim.start_ticks))
		return error_say(err, ESRCH,
				 "container %s, whose VM is to be shared, is not running",
				 with->id);
	if (same_namespace(netns, &with->shim))
		return 0;
	return error_say(
		err, ENOTSUP,
		"config.json: linux.namespaces: the container is to share the VM of container "
		"%s, but not its network; in one VM all have the same, so give it that one "
		"too (docker: --network container:%s)",
		with->id, with->id);
}

/* The VM, which must be there. */
static int read_sandbox(struct search *s, struct error *err)
{
	struct state *sandbox = &s->pod->sandbox;
	int r = store_read_state(s->store, s->first.sandbox, sandbox, err);

	if (r < 0)
		return error_prefix(err, "the VM of container %s", s->first.id);
	if (!process_alive(sandbox->monitor.pid, sandbox->monitor.start_ticks))
		return error_say(err, ESRCH, "the VM of container %s has ended", s->first.id);
	return 0;
}

static int empty_names(struct pod *pod, struct error *err)
{
	char **names[] = { &pod->pid_of, &pod->ipc_of, &pod->uts_of };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		*names[i] = strdup("");
		if (*names[i] == NULL)
			return error_set(err, ENOMEM, "container");
	}
	return 0;
}

int pod_find(const struct store *store, const struct spec *spec, int netns, struct pod *ret,
	     struct error *err)
{
	struct search s = { .store = store, .pod = ret };
	int r;

	*ret = (struct pod){ 0 };
	r = empty_names(ret, err);
	if (r == 0)
		r = look_at_annotations(&s, spec, err);
	for (size_t i = 0; i < ARRAY_SIZE(shared) && r == 0; i++)
		r = look_at_namespace(&s, &shared[i], &spec->namespaces[shared[i].type], err);
	ret->member = s.first.id != NULL;
	if (r == 0 && ret->member)
		r = check_network(&s, netns, err);
	if (r == 0 && ret->member)
		r = read_sandbox(&s, err);
	found_fini(&s.first);
	if (r < 0)
		pod_fini(ret);
	return r;
}

void pod_fini(struct pod *pod)
{
	state_fini(&pod->sandbox);
	free(pod->pid_of);
	free(pod->ipc_of);
	free(pod->uts_of);
	*pod = (struct pod){ 0 };
}

/* --- the others in a VM ----------------------------------------------------------------------- */

bool pod_is_first(const struct state *state)
{
	return str_eq(state->sid, state->sandbox);
}

struct look {
	const struct store *store;
	const char *except;
	bool running; /* only these count */
};

static bool runs(const struct store *store, const char *sid)
{
	CLEANUP(state_fini) struct state state = { 0 };

	return store_read_state(store, sid, &state, NULL) == 0 &&
	       process_alive(state.shim.pid, state.shim.start_ticks);
}

static int count_member(const char *sid, void *userdata)
{
	const struct look *look = userdata;

	if (str_eq(sid, look->except))
		return 0;
	return !look->running || runs(look->store, sid);
}

int pod_has_others(const struct store *store, const struct state *state, struct error *err)
{
	struct look look = { .except = state->sid };
	CLEANUP(state_fini) struct state sandbox = { 0 };
	int r = store_each_member(store, state->sandbox, count_member, &look, err);

	if (r != 0)
		return r;
	if (pod_is_first(state))
		return 0;
	r = store_read_state(store, state->sandbox, &sandbox, NULL);
	/* A first container whose state is lost still has to be deleted itself. */
	return r != -ENOENT && !sandbox.departed;
}

bool pod_others_run(const struct store *store, const struct state *state)
{
	struct look look = { .store = store, .except = state->sid, .running = true };

	if (store_each_member(store, state->sandbox, count_member, &look, NULL) != 0)
		return true;
	return !pod_is_first(state) && runs(store, state->sandbox);
}
