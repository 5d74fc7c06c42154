/*
 * netmon: a process that follows a sandbox's network from `start` on. It brings what changes in the
 * network namespace into the VM, and ends with the container.
 */
#ifndef KATA_RUNTIME_NETMON_H
#define KATA_RUNTIME_NETMON_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "kata-runtime/config.h"
#include "kata-runtime/store.h"

/* Its argv[0]; the other argument is the sandbox id. */
#define NETMON_NAME "kata-netmon"

/*
 * Starts it in the network namespace of the container's shim and in its cgroups, and waits until
 * the VM has what is there now; the caller holds the sandbox's lock. state->netmon is filled in and
 * written. On failure it has ended.
 */
int netmon_start(const struct store *store, const struct config *config, struct state *state,
		 bool debug, int64_t deadline, struct error *err);

/* The process itself: its exit status. */
int netmon_main(const char *sid);

#endif
