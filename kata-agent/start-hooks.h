/* The hooks that OCI has run inside of a container at START, before its own program. */
#ifndef KATA_AGENT_START_HOOKS_H
#define KATA_AGENT_START_HOOKS_H

#include "common/error.h"
#include "common/protocol.h"

/*
 * Runs them in their order as the user and with the rights of the calling process, each with the
 * state on its standard input; env: for those without an environment of their own. The first that
 * fails, or runs beyond its time and is killed, ends it: the error names it and has its last words.
 */
int start_hooks_run(const struct msg_create *create, char **env, struct error *err);

#endif
