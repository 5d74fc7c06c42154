/* Reaping: the agent is the parent of all containers' processes and, as pid 1, of every orphan. */
#ifndef KATA_AGENT_REAP_H
#define KATA_AGENT_REAP_H

#include "common/error.h"

struct agent;

/* Begins to listen to SIGCHLD. uv_spawn() must not be used in the agent. */
int reap_start(struct agent *agent, struct error *err);
void reap_stop(struct agent *agent);

#endif
