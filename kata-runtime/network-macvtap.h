/*
 * The model macvtap: a device on top of an interface takes all that it receives, and sends through
 * it, without filters. It stays when its descriptors are closed, until it is removed.
 */
#ifndef KATA_RUNTIME_NETWORK_MACVTAP_H
#define KATA_RUNTIME_NETWORK_MACVTAP_H

#include "kata-runtime/netlink.h"
#include "kata-runtime/network.h"

/*
 * Makes one on the interface, which is up, and opens it as often as there are processors:
 * *ret_index is its number. -EINVAL, -EBUSY, -EOPNOTSUPP: it cannot be on this one, or the kernel
 * has no such devices. On failure nothing of it is left. Needs rights of root's, to make a device
 * node.
 */
int network_macvtap_open(struct netlink *netlink, const struct network_link *link, const char *name,
			 uint32_t vcpus, struct network_queues *ret, int *ret_index,
			 struct error *err);

/* -ENODEV: it is gone. */
int network_macvtap_remove(struct netlink *netlink, int32_t index, struct error *err);

/* Removes those of the VM with that sandbox id. */
int network_macvtap_clean(struct netlink *netlink, const char *sid, struct error *err);

#endif
