/* The fork that begins a process of a container: its pipes, its namespaces, its cgroup. */
#ifndef KATA_AGENT_SPAWN_H
#define KATA_AGENT_SPAWN_H

#include <sys/types.h>

#include "common/error.h"
#include "common/protocol.h"
#include "kata-agent/streams.h"

struct container;

struct spawned {
	pid_t pid;
	int pidfd;
	int status; /* the socket of enter.h */
};

/*
 * Forks the child, which goes its way by enter_run(). create is the container's message for its
 * first process, else NULL and the container has one. streams gets the agent's ends of the pipes,
 * also when an error is returned; with a terminal they come later over the status socket.
 */
int spawn_process(struct container *container, const struct msg_process *wanted,
		  const struct msg_create *create, struct streams *streams,
		  struct spawned *ret_spawned, struct error *err);

#endif
