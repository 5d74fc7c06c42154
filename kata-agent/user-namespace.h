/*
 * A container's user namespace, which the clone of its first process made: its maps, and the way of
 * a process to be its root. Files on the share have the ids outside of it, as on the host.
 */
#ifndef KATA_AGENT_USER_NAMESPACE_H
#define KATA_AGENT_USER_NAMESPACE_H

#include <sys/types.h>

#include "common/error.h"
#include "common/protocol.h"
#include "kata-agent/container.h"

/* Agent: writes the maps of the child pid and tells it so over the socket. */
int user_namespace_map(pid_t pid, int socket, const struct msg_create *create, struct error *err);

/* The id that a user of the container has outside; without a user namespace the same. */
uid_t user_namespace_uid(const struct container *container, uid_t uid);

/* Child: waits for the maps. */
int user_namespace_await(int socket, struct error *err);

/* Child: becomes the root of the user namespace it is in. */
int user_namespace_become_root(struct error *err);

#endif
