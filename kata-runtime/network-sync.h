/*
 * Makes a running VM have what its network namespace has: devices are plugged and unplugged, and
 * the agent is told the whole. The kernel holds all the state: a tap device's alias says which
 * interface it is joined to.
 */
#ifndef KATA_RUNTIME_NETWORK_SYNC_H
#define KATA_RUNTIME_NETWORK_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "kata-runtime/netlink.h"
#include "kata-runtime/network.h"

/* What it needs of the VM. */
struct network_sync_ops {
	/* How many processors it has. */
	uint32_t (*vcpus)(void *context);
	/* As network_plug(), network_unplug(); queues are without vhost-net yet. */
	int (*plug)(void *context, uint32_t slot, const uint8_t mac[6],
		    struct network_queues *queues, struct error *err);
	int (*unplug)(void *context, uint32_t slot, struct error *err);
	/* Tells the agent. */
	int (*tell)(void *context, const struct network *network, struct error *err);
};

struct network_sync {
	const struct network_sync_ops *ops;
	void *context;
	struct netlink *netlink; /* in the namespace */
	const char *sid;
	int host;            /* for network_tap_join() */
	struct network last; /* what the agent was told; */
	bool told;           /* if it was */
};

/*
 * Once. An interface that cannot be joined is left out and the error is its, after everything else
 * is done. Called by a process in the namespace, under the sandbox's lock.
 */
int network_sync_run(struct network_sync *sync, struct error *err);

#endif
