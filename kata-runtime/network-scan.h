/* Reading a network namespace, and the pure functions that understand the kernel's messages. */
#ifndef KATA_RUNTIME_NETWORK_SCAN_H
#define KATA_RUNTIME_NETWORK_SCAN_H

#include "kata-runtime/netlink.h"
#include "kata-runtime/network.h"

/*
 * Everything of the caller's network namespace that a VM can get, and what of it the VM with that
 * sandbox id ("": none) has tap devices for.
 */
int network_scan(struct netlink *netlink, const char *sid, struct network *ret, struct error *err);

/*
 * One message each, added to the network: 0, also when it is nothing for a VM; -E2BIG when there is
 * no room; -EBADMSG when it is none. userdata is the struct network.
 */
netlink_each_fn network_take_link, network_take_address, network_take_route, network_take_rule,
	network_take_neighbour;

#endif
