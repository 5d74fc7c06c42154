/*
 * The cgroup of a container: ROOT/kata/ID in the guest's cgroup2 hierarchy. It names all processes
 * of the container, whatever they fork.
 */
#ifndef KATA_AGENT_CGROUP_H
#define KATA_AGENT_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/protocol.h"

/*
 * Makes the directory above those of containers and gives it the controllers that the hierarchy
 * has. One that cannot be given (it belongs to another hierarchy) is left out.
 */
int cgroup_prepare(const char *root, struct error *err);

/* Makes it: a descriptor of its directory, or a negative errno. */
int cgroup_create(const char *root, const char *id, struct error *err);

/*
 * Sends a signal to every process in it and below. SIGKILL is one step of the kernel's that no
 * fork escapes; others reach who is there now.
 */
int cgroup_signal(int cgroup, int signum, struct error *err);

/* The process ids in it and below, in the agent's pid namespace: their number, or an errno. */
int cgroup_pids(int cgroup, pid_t *pids, size_t size, struct error *err);

/*
 * Writes limits to its files, in order. One that may be missing, and is, or is not taken, is only
 * logged.
 */
int cgroup_set(int cgroup, const struct msg_cgroup_value *values, uint32_t count,
	       struct error *err);

/* -EBUSY when one of the values is a limit of memory that is below what is in use now. */
int cgroup_check_memory(int cgroup, const struct msg_cgroup_value *values, uint32_t count,
			struct error *err);

/* Reads a small file of it: its length, or a negative errno. text ends in a NUL. */
int cgroup_read(int cgroup, const char *name, char *text, size_t size);

/* Freezes all processes in it and below, or lets them go on. The kernel needs a moment for it. */
int cgroup_freeze(int cgroup, bool freeze, struct error *err);

/* Whether all of them stand still: 1, 0, or a negative errno. */
int cgroup_is_frozen(int cgroup, struct error *err);

/* Removes it and what the container made below it: 0, -EBUSY while a process is in it. */
int cgroup_remove(const char *root, const char *id, struct error *err);

#endif
