/*
 * The worker: the only process of ours that faces the guest. It routes frames between the clients'
 * socket and the agent's link, and writes the logs of those who cannot: the agent, the guest's
 * console, QEMU and virtiofsd. It starts without any right and opens nothing.
 */
#ifndef KATA_PROXY_WORKER_H
#define KATA_PROXY_WORKER_H

#include "common/protocol.h"

/* The descriptors it is started with; 0, 1 and 2 are /dev/null, a log may be missing. */
enum {
	WORKER_FD_AGENT = 3,   /* connection to the virtio-serial port */
	WORKER_FD_LOG = 4,     /* its own log */
	WORKER_FD_CLIENTS = 5, /* listening socket */
	WORKER_FD_CONSOLE = 6, /* the guest's serial console */
	WORKER_FD_QEMU_STDERR = 7,
	WORKER_FD_VIRTIOFSD_STDERR = 8,
	WORKER_FD_LOG_AGENT = 9,
	WORKER_FD_LOG_CONSOLE = 10,
	WORKER_FD_LOG_QEMU = 11,
	WORKER_FD_LOG_VIRTIOFSD = 12,
	WORKER_FD_CAUSE = 13, /* the monitor writes the cause of death here, one line */
	WORKER_FD_COUNT = 14,
};

enum { WORKER_ARGS_MAX = 5 };

/* Its argument vector for a VM: borrows from launch; args has WORKER_ARGS_MAX + 1 places. */
void worker_args(const struct msg_launch *launch, char *args[WORKER_ARGS_MAX + 1]);

/*
 * Runs until the VM has ended or SIGTERM: the exit status, 0 when it ended orderly. args are what
 * follows the word worker.
 */
int worker_run(int argc, char *const args[]);

#endif
