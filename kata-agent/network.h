/* The guest's network: what SET_NETWORK asks for, made with rtnetlink(7). */
#ifndef KATA_AGENT_NETWORK_H
#define KATA_AGENT_NETWORK_H

#include <stdbool.h>

#include "common/error.h"
#include "common/protocol.h"

/*
 * Names and configures the VM's interfaces, then adds routes and neighbours. A device that is not
 * there yet is waited for, some seconds at most, which no container can notice: none runs yet.
 * What is there already is replaced, so that it can be asked for again. -ENODEV: no device with
 * that MAC address; -EINVAL: an address of a wrong size.
 */
int network_set(const struct msg_set_network *wanted, struct error *err);

/* Whether route a has to be made before b: first what leads to the routers of others. */
bool network_route_first(const struct msg_route *a, const struct msg_route *b);

#endif
