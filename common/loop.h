/* The libuv loop of a daemon: start, orderly end, and the check that no handle was forgotten. */
#ifndef KATA_LOOP_H
#define KATA_LOOP_H

#include <uv.h>

#include "common/error.h"

/*
 * Makes the loop and has libuv open the descriptors of its own now, before a sandbox forbids that.
 * Ignores SIGPIPE in this process: a child that runs a foreign program sets it back.
 */
int loop_start(uv_loop_t *loop, struct error *err);

/* The same where there is no file to open: libuv gets a copy of null, an open /dev/null. */
int loop_start_with(uv_loop_t *loop, int null, struct error *err);

/*
 * Runs until nothing is left or uv_stop(); then runs the close callbacks that are pending, at most
 * deadline_ms, and closes the loop. When a handle was not closed: -EBUSY with the types of those
 * in err; the loop and its handles are left as they are.
 */
int loop_run(uv_loop_t *loop, int deadline_ms, struct error *err);

#endif
