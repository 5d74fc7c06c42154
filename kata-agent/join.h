/*
 * What a new container of a pod shares with another one. Runs in the forked child that becomes the
 * container's first process; allocates nothing.
 */
#ifndef KATA_AGENT_JOIN_H
#define KATA_AGENT_JOIN_H

#include "common/error.h"

/*
 * Joins the IPC namespace of one process and the UTS namespace of another, given by pidfd; -1
 * leaves the caller's own.
 */
int join_namespaces(int ipc_pidfd, int uts_pidfd, struct error *err);

/*
 * The process's /dev/shm as a detached mount, which belongs to its IPC namespace as shared memory
 * does: the descriptor, -ENOENT when it has no mount there, or another negative errno. The caller
 * is in its own mount namespace before and after, with "/" as root and working directory.
 */
int join_shm(int pidfd, struct error *err);

#endif
