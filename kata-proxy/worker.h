/*
 * The worker: the only process of ours that faces the guest. It routes frames between the clients'
 * socket and the agent's link, and writes the logs of those who cannot: the agent, the guest's
 * console, QEMU and virtiofsd. It starts without any right and opens nothing; its descriptors are
 * WORKER_FD_* of common/privsep.def, and any log may be missing. It may end at any instant: the
 * monitor then starts another one, and clients and agent take up their sessions.
 */
#ifndef KATA_PROXY_WORKER_H
#define KATA_PROXY_WORKER_H

#include <stdbool.h>

#include "common/privsep.h"
#include "common/protocol.h"

/* Behind the last number a worker's descriptor may have. */
enum { WORKER_FD_COUNT = WORKER_FD_PARKED + PARK_SLOTS };

enum { WORKER_ARGS_MAX = 9 };

/*
 * Its argument vector for a VM: borrows from launch; args has WORKER_ARGS_MAX + 1 places. foreign:
 * its uid is none of the VM's block.
 */
void worker_args(const struct msg_launch *launch, bool foreign, char *args[WORKER_ARGS_MAX + 1]);

/*
 * Runs until the VM has ended or SIGTERM: the exit status, 0 when it ended orderly. args are what
 * follows the word worker.
 */
int worker_run(int argc, char *const args[]);

#endif
