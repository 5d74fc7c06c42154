/*
 * The routes of a network namespace as an operator gives them, all of them at once: Kata's
 * update-routes. Routes that the kernel has made by itself stay, and so do those that are no way to
 * anywhere (blackhole and the like).
 */
#ifndef KATA_RUNTIME_NETWORK_ROUTES_H
#define KATA_RUNTIME_NETWORK_ROUTES_H

#include "kata-runtime/json.h"
#include "kata-runtime/netlink.h"
#include "kata-runtime/network.h"

struct network_routes {
	struct network_route items[NETWORK_ROUTES_MAX];
	uint32_t n;
};

/*
 * Reads a list of Kata's Route objects, as list-routes prints it. -EINVAL names place and reason:
 * no address, families that differ.
 */
int network_routes_parse(const struct json_at *list, struct network_routes *ret, struct error *err);

/*
 * Makes the namespace, of which network was read, have those. On failure everything is as before:
 * -ENODEV names an interface that is not there, else the kernel says why it takes a route not.
 */
int network_routes_replace(struct netlink *netlink, const struct network *network,
			   const struct network_routes *routes, struct error *err);

#endif
