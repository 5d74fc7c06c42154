/*
 * The guest's network: what SET_NETWORK asks for, made with rtnetlink(7). The containers of a VM
 * share it, as those of a pod do.
 *
 * Each SET_NETWORK is the whole network. What the one before asked for and this one does not is
 * taken away; what containers have set up themselves stays.
 */
#ifndef KATA_AGENT_NETWORK_H
#define KATA_AGENT_NETWORK_H

#include <stdbool.h>

#include "common/error.h"
#include "common/protocol.h"

/*
 * Makes the network what is wanted; before (may be NULL) is what was set the last time. Names and
 * configures the VM's interfaces, then adds routes and neighbours. Nothing is changed for -ENODEV:
 * there is no device with one of the MAC addresses, perhaps not yet; or -EINVAL: the message is
 * wrong in itself.
 */
int network_set(const struct msg_set_network *wanted, const struct msg_set_network *before,
		struct error *err);

/* Whether route a has to be made before b: first what leads to the routers of others. */
bool network_route_first(const struct msg_route *a, const struct msg_route *b);

/* Whether the message can be carried out as far as it shows by itself: 0 or -EINVAL. */
int network_check(const struct msg_set_network *wanted, struct error *err);

#endif
