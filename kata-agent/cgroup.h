/*
 * The cgroup of a container: ROOT/kata/ID in the guest's cgroup2 hierarchy. It names all processes
 * of the container, whatever they fork.
 */
#ifndef KATA_AGENT_CGROUP_H
#define KATA_AGENT_CGROUP_H

#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"

/* Makes it: a descriptor of its directory, or a negative errno. */
int cgroup_create(const char *root, const char *id, struct error *err);

/*
 * Sends a signal to every process in it and below. SIGKILL is one step of the kernel's that no
 * fork escapes; others reach who is there now.
 */
int cgroup_signal(int cgroup, int signum, struct error *err);

/* The process ids in it and below, in the agent's pid namespace: their number, or an errno. */
int cgroup_pids(int cgroup, pid_t *pids, size_t size, struct error *err);

/* Removes it and what the container made below it: 0, -EBUSY while a process is in it. */
int cgroup_remove(const char *root, const char *id, struct error *err);

#endif
