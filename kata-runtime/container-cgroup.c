/*
 * A container's cgroups: see container-cgroup.h. Called by create and delete with the container's
 * lock held, as root.
 */
#include "kata-runtime/container-cgroup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/log.h"
#include "common/str.h"
#include "kata-runtime/systemd-property.h"
#include "kata-runtime/systemd.h"

enum { START_MS = 30000, STOP_MS = 2000 };

/* systemd.unit(5) of the scope, "" when there is to be none. */
static int record_scope(const char *path, struct state *state, struct cgroup *cgroup,
			struct error *err)
{
	struct cgroup_scope scope;
	int r = cgroup_parse_scope(path, &scope, err);

	if (r < 0 || scope.unit[0] == '\0')
		return r;
	free(state->systemd_unit);
	free(state->systemd_slice);
	state->systemd_unit = strdup(scope.unit);
	state->systemd_slice = strdup(scope.slice);
	if (state->systemd_unit == NULL || state->systemd_slice == NULL)
		return error_set(err, ENOMEM, "state");
	cgroup_keep_leaves(cgroup);
	return 0;
}

int container_plan_cgroups(const struct cli *cli, const char *cgroups_path, struct state *state,
			   struct cgroup *ret, struct error *err)
{
	bool scoped = cli->systemd_cgroup && systemd_is_here(SYSTEMD_SOCKET);
	char own[SID_SIZE + 32];
	int r;

	if (scoped && cgroups_path[0] == '\0') {
		str_format(own, sizeof(own), "system.slice:kata:%s", state->sid);
		cgroups_path = own;
	}
	r = cgroup_plan(cgroups_path, state->sid, cli->rootless, ret, err);
	if (r == 0 && cli->systemd_cgroup)
		r = systemd_properties_check(state->annotations, state->n_annotations, err);
	if (r == 0 && scoped)
		r = record_scope(cgroups_path, state, ret, err);
	return r < 0 ? r : cgroup_save(ret, &state->cgroups, err);
}

static int start_scope(struct state *state, struct cgroup *cgroup, pid_t pid, struct error *err)
{
	const struct systemd_scope scope = {
		.unit = state->systemd_unit,
		.slice = state->systemd_slice,
		.container = state->id,
		.pid = pid,
		.annotations = state->annotations,
		.n_annotations = state->n_annotations,
	};
	int r = systemd_start_scope(SYSTEMD_SOCKET, &scope, deadline_in_ms(START_MS), err);

	if (r == -EEXIST)
		state->systemd_unit[0] = '\0'; /* somebody else's, and not ours to end */
	/* Where systemd keeps no cgroups, as in some hierarchies of v1, they are ours. */
	if (r == 0)
		r = cgroup_plan_again(cgroup, err);
	return r < 0 ? r : cgroup_save(cgroup, &state->cgroups, err);
}

int container_enter_cgroups(struct state *state, struct cgroup *cgroup, pid_t pid,
			    struct error *err)
{
	int r = 0;

	if (state->systemd_unit[0] != '\0')
		r = start_scope(state, cgroup, pid, err);
	return r < 0 ? r : cgroup_enter(cgroup, pid, err);
}

void container_end_scope(const struct state *state)
{
	struct error err;

	if (state->systemd_unit == NULL || state->systemd_unit[0] == '\0' ||
	    !systemd_is_here(SYSTEMD_SOCKET))
		return;
	if (systemd_stop_unit(SYSTEMD_SOCKET, state->systemd_unit, deadline_in_ms(STOP_MS), &err) <
	    0)
		log_warning("systemd did not end the container's scope", KV_ERR(&err));
}

int container_leave_cgroups(const struct state *state, int64_t deadline, struct error *err)
{
	CLEANUP(cgroup_fini) struct cgroup cgroup = { 0 };
	int r = cgroup_load(&state->cgroups, false, &cgroup, err);

	if (r == 0)
		r = cgroup_remove(&cgroup, deadline, err);
	container_end_scope(state);
	return r;
}
