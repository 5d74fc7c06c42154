/*
 * The shim's life: connect to the proxy, attach to a process of the guest, copy its streams and
 * forward signals until it has ended and all it wrote is written, and come back with its exit code.
 */
#ifndef KATA_SHIM_H
#define KATA_SHIM_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "kata-shim/stdio.h"

enum {
	SHIM_EXIT_FAILED = 255, /* the shim or its connection failed: never mistaken for success */
	SHIM_EXIT_VM_ENDED = 137, /* the VM ended under the process, as if by SIGKILL */
};

struct shim_params {
	const char *socket; /* the proxy's */
	uint64_t handle;    /* the process, from ATTACH */
	bool terminal;      /* descriptors 0 to 2 are its terminal */
	bool relay;         /* questions to the name server are answered, see relay.h */
	bool controlling;   /* and it is our controlling one: its hangup arrives as SIGHUP */
	int exit;           /* gets "CODE MONOTONIC_MS" when the process has ended; borrowed */
	int control;        /* gets DONE or FAILED, then is closed; shim_run() takes it */
	int signals;        /* signals_open()'s; borrowed */
};

/*
 * Does all of that on the loop, which it runs to its end: the exit code for this process. Every
 * failure is logged, and told to control when it comes before the answer DONE.
 */
int shim_run(uv_loop_t *loop, struct stdio *stdio, const struct shim_params *params);

#endif
