/*
 * The container's cgroups on the host: the same path in every v1 hierarchy, or in v2, or both.
 * They hold the shim, and the VM's processes of a single container, so that the manager's
 * statistics and limits see them. No limit is set here: the guest enforces the container's.
 */
#ifndef KATA_CGROUP_H
#define KATA_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/protocol.h"

enum { CGROUP_HIERARCHIES_MAX = 24 };

/* What those are in that have no path of their manager's: ours, whichever of them made it. */
#define CGROUP_OWN "/kata"

/* Where a hierarchy is mounted. */
struct cgroup_mount {
	char *path;
	bool v2;
	bool cpuset; /* v1: new directories need cpus and mems */
};

struct cgroup_mounts {
	struct cgroup_mount items[CGROUP_HIERARCHIES_MAX];
	size_t count;
};

struct cgroup_dir {
	char *path;      /* absolute */
	unsigned levels; /* how many of its last components are ours to remove; 0: was there */
	unsigned base;   /* length of the mount point's path */
	bool v2, cpuset;
};

struct cgroup {
	struct cgroup_dir dirs[CGROUP_HIERARCHIES_MAX];
	size_t count;
	bool lenient; /* --rootless: what cannot be made or joined is left out */
};

/* From the text of /proc/self/mountinfo; *ret is for cgroup_mounts_fini(). */
int cgroup_parse_mounts(const char *mountinfo, struct cgroup_mounts *ret, struct error *err);
void cgroup_mounts_fini(struct cgroup_mounts *mounts);

/*
 * cgroupsPath of config.json as a path below each mount point, "/..."; *ret is to be freed.
 * "": /kata/SID. A relative path counts from the mount point. slice:prefix:name, what engines
 * send with --systemd-cgroup, becomes /slice/prefix-name.scope with the slices above it as systemd
 * nests them. ".." is refused.
 */
int cgroup_path(const char *cgroups_path, const char *sid, char **ret, struct error *err);

/*
 * With --systemd-cgroup: -EINVAL unless cgroupsPath has that form or is not there at all. Where
 * systemd does not run the cgroup is made where it would make the scope.
 */
int cgroup_check_systemd(const char *cgroups_path, struct error *err);

/* What systemd calls it: prefix-name.scope in slice. */
struct cgroup_scope {
	char unit[NAME_MAX + 1], slice[NAME_MAX + 1];
};

/* Of such a cgroupsPath. The unit is "" for any other, and for a NAME that is itself a slice's. */
int cgroup_parse_scope(const char *cgroups_path, struct cgroup_scope *ret, struct error *err);

/*
 * For a scope that systemd is to make: nothing above the scope is ours to remove. When it is made,
 * counts again for hierarchies that systemd leaves alone.
 */
void cgroup_keep_leaves(struct cgroup *cgroup);
int cgroup_plan_again(struct cgroup *cgroup, struct error *err);

/*
 * Says which directories there will be and which of them are to be made, without making any: to
 * be recorded (cgroup_save) before cgroup_create(). lenient as in the struct.
 */
int cgroup_plan(const char *cgroups_path, const char *sid, bool lenient, struct cgroup *ret,
		struct error *err);
/* The same with the mounts given: for tests. */
int cgroup_plan_on(const struct cgroup_mounts *mounts, const char *path, bool lenient,
		   struct cgroup *ret, struct error *err);

/* Makes what was planned. What was made stays on failure: cgroup_remove(). */
int cgroup_create(const struct cgroup *cgroup, struct error *err);

/* Puts a process into all of them. */
int cgroup_join(const struct cgroup *cgroup, pid_t pid, struct error *err);

/*
 * Both, for the first process: systemd, which goes through the cgroups of a unit when it likes,
 * removes empty ones of hierarchies of v1 that the unit does not need.
 */
int cgroup_enter(const struct cgroup *cgroup, pid_t pid, struct error *err);

/*
 * Makes a cgroup NAME beside each of them and puts all their processes there: *ret_beside, for
 * cgroup_fini(). A directory that is not ours to remove stays as it is. Again is no error.
 */
int cgroup_move_beside(const struct cgroup *cgroup, const char *name, struct cgroup *ret_beside,
		       struct error *err);

/*
 * Kills every process in the directories that are ours, and removes them with the levels above
 * them that are ours and empty; CGROUP_OWN goes with the last of its children. -EBUSY at the
 * deadline. What is gone already is no error.
 */
int cgroup_remove(const struct cgroup *cgroup, int64_t deadline, struct error *err);

/* Whether the kernel killed a process in them for want of memory, as it counts. */
bool cgroup_oom_killed(const struct cgroup *cgroup);

/* The file in which it counts: a descriptor, -1 where there is none. */
int cgroup_open_oom(const struct cgroup *cgroup);

/* As strings for state.json, and back (paths are checked). */
int cgroup_save(const struct cgroup *cgroup, struct wire_strings *ret, struct error *err);
int cgroup_load(const struct wire_strings *strings, bool lenient, struct cgroup *ret,
		struct error *err);

void cgroup_fini(struct cgroup *cgroup);

#endif
