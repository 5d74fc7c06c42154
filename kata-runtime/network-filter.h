/* What sends all that an interface receives out of another one: an ingress qdisc and a filter. */
#ifndef KATA_RUNTIME_NETWORK_FILTER_H
#define KATA_RUNTIME_NETWORK_FILTER_H

#include "kata-runtime/netlink.h"

/*
 * A qdisc of somebody else without a filter is used as it is, and stays when ours is removed.
 * -EEXIST: somebody else has filters there. On failure nothing of it is left.
 */
int network_filter_add(struct netlink *netlink, int32_t index, int32_t target, struct error *err);

/*
 * Beside the filter that is there: what program, of network-host.h, lets pass stays with the host,
 * and answers about neighbours reach both.
 */
int network_filter_keep(struct netlink *netlink, int32_t index, int32_t target, int program,
			struct error *err);

/*
 * Takes our filters away, with the qdisc that was made for it unless somebody has put filters of
 * their own there: 0, or -ENOENT when there is no filter of ours.
 */
int network_filter_remove(struct netlink *netlink, int32_t index, struct error *err);

/* The devices with a filter of ours, of whatever VM. */
struct network_filters {
	int32_t devices[1024];
	uint32_t n;
};
int network_filter_list(struct netlink *netlink, struct network_filters *ret, struct error *err);

#endif
