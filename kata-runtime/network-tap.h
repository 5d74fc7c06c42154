/* Tap devices joined to interfaces by filters; in the network namespace of the caller. */
#ifndef KATA_RUNTIME_NETWORK_TAP_H
#define KATA_RUNTIME_NETWORK_TAP_H

#include "kata-runtime/netlink.h"
#include "kata-runtime/network.h"

/* "kt", 12 digits of the sandbox id, the interface's number. */
void network_tap_name(char ret[NETWORK_NAME_SIZE], const char *sid, uint32_t number);

/*
 * Makes the tap device and joins it to the interface both ways: its descriptor. It is not
 * persistent: closing the last descriptor of it removes the device with its filters.
 */
int network_tap_join(struct netlink *netlink, const struct network_link *link, const char *tap,
		     struct error *err);

/* Takes our filter and its qdisc from an interface: 0, or -ENOENT when it has none of ours. */
int network_tap_part(struct netlink *netlink, int32_t index, struct error *err);

/* The message for a filter that sends everything that index receives out of target. */
struct nlmsghdr *network_tap_filter(struct netlink_request *request, int32_t index, int32_t target);

#endif
