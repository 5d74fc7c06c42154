/*
 * A container's cgroups on the host over its life: planned and recorded before anything is made,
 * entered by its shim, and left at its end. With --systemd-cgroup, where systemd runs, they are
 * those of a scope that it makes and ends; elsewhere kata-runtime makes them itself.
 */
#ifndef KATA_RUNTIME_CONTAINER_CGROUP_H
#define KATA_RUNTIME_CONTAINER_CGROUP_H

#include "common/error.h"
#include "kata-runtime/cgroup.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/store.h"

/* Fills *ret and what state records of it. cgroups_path is that of config.json. */
int container_plan_cgroups(const struct cli *cli, const char *cgroups_path, struct state *state,
			   struct cgroup *ret, struct error *err);

/*
 * Makes what was planned with pid as its first process. state may say more of it then and is to
 * be written. What was made stays on failure: container_leave_cgroups().
 */
int container_enter_cgroups(struct state *state, struct cgroup *cgroup, pid_t pid,
			    struct error *err);

/* Kills who is left in them and removes what is ours. What is gone already is no error. */
int container_leave_cgroups(const struct state *state, int64_t deadline, struct error *err);

/* Ends the scope alone; that it cannot be is only logged, since nothing of ours hangs on it. */
void container_end_scope(const struct state *state);

#endif
