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
 * Starts it in the network namespace of shim, which is that of a container of the VM, and in the
 * cgroups of the first one, whose state is given; waits until the VM has what is there now. The
 * caller holds the lock of that one. state->netmon is filled in and written. On failure it has
 * ended.
 */
int netmon_start(const struct store *store, const struct config *config, struct state *state,
		 const struct process_ref *shim, bool debug, int64_t deadline, struct error *err);

/* The process itself: its exit status. */
int netmon_main(const char *sid);

#endif
