/*
 * The monitor's side of a worker that systemd keeps: kata-proxy@SANDBOX.service connects to the
 * monitor, and is told over that connection what to start (kata-proxy/unit.h is the other side).
 */
#ifndef KATA_PROXY_UNIT_LINK_H
#define KATA_PROXY_UNIT_LINK_H

#include "common/error.h"
#include "kata-proxy/spawn.h"

/* As spawn_start(), in the unit and with its user; a worker there has ended before. */
int unit_link_start(int unit, const struct spawn *spawn, struct error *err);

/* Has the worker killed; that it ended is told as any end is. Best effort. */
void unit_link_stop(int unit);

/* Its worker ended: 0 with *ret_status as waitpid(2). A negative errno: the unit itself did. */
int unit_link_read(int unit, int *ret_status, struct error *err);

#endif
