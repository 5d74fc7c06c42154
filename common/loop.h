/* The libuv loop of a daemon: start, orderly end, and the check that no handle was forgotten. */
#ifndef KATA_LOOP_H
#define KATA_LOOP_H

#include <uv.h>

#include "common/error.h"

/* Makes the loop and touches every handle type once, so that libuv opens its spare descriptors. */
int loop_start(uv_loop_t *loop, struct error *err);

/*
 * Runs until nothing is left or uv_stop(); then runs the close callbacks that are pending, at most
 * deadline_ms, and closes the loop. -EBUSY, logged with the handle's type, when one is left open.
 */
int loop_run(uv_loop_t *loop, int deadline_ms, struct error *err);

#endif
