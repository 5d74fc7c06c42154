/*
 * The network of a container: what its network namespace on the host holds is read, each of its
 * interfaces is joined to a tap device of the VM, and the guest gets the same as a message.
 *
 *	veth (host namespace) -- veth (container's namespace) == tap -- QEMU -- guest
 *
 * "==" is a filter on the ingress of either side that sends every frame out of the other one. All
 * of it goes with the namespace and with QEMU; network_clean() is for a namespace that stays.
 */
#ifndef KATA_RUNTIME_NETWORK_H
#define KATA_RUNTIME_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/launch.h"
#include "common/protocol.h"
#include "kata-runtime/sid.h"

enum {
	NETWORK_ADDRESSES_MAX = 32, /* of an interface */
	NETWORK_ROUTES_MAX = 256,
	NETWORK_NEIGHBOURS_MAX = 256,
	NETWORK_METRICS_MAX = 18, /* RTAX_* numbers below it are carried over */
	NETWORK_NAME_SIZE = 16,
};

/* The alias of an interface that is not for the VM. */
#define NETWORK_APART "kata: not for the VM"

/* An IPv4 or IPv6 address; len is 0 (none), 4 or 16. */
struct network_ip {
	uint8_t bytes[16];
	uint32_t len;
};

struct network_address {
	uint32_t family, prefix, scope, flags;
	uint32_t valid_s, preferred_s; /* UINT32_MAX: for ever */
	struct network_ip local, peer, broadcast;
	char label[NETWORK_NAME_SIZE]; /* "" when it is the interface's name */
};

struct network_link {
	char name[NETWORK_NAME_SIZE];
	int32_t index;
	int32_t slot; /* its number in the VM: of its tap device; -1: not joined yet */
	uint8_t mac[6];
	uint32_t mtu;
	bool up, noarp;
	bool no_ipv6;       /* IPv6 is off */
	bool no_link_local; /* the kernel makes no address: all there are stand below */
	struct network_address addresses[NETWORK_ADDRESSES_MAX];
	uint32_t n_addresses;
};

struct network_route {
	uint32_t family, prefix, type, scope, protocol, flags, metric;
	uint32_t metrics[NETWORK_METRICS_MAX]; /* by RTAX_*; 0: not set */
	struct network_ip destination, gateway, source;
	char device[NETWORK_NAME_SIZE];
};

struct network_neighbour {
	uint32_t family;
	struct network_ip address;
	uint8_t mac[6];
	char device[NETWORK_NAME_SIZE];
};

/* A tap device of this VM, and which interface it is joined to. */
struct network_tap {
	int32_t index; /* 0: there is none */
	int32_t target;
	uint8_t mac[6];
	uint32_t mtu;
	bool macvtap; /* it stays when it is closed */
};

/* Of fixed size, since it comes out of a child process on a pipe. */
struct network {
	char sid[SID_SIZE]; /* whose tap devices are known as such */
	struct network_link links[LAUNCH_NET_MAX];
	struct network_route routes[NETWORK_ROUTES_MAX];
	struct network_neighbour neighbours[NETWORK_NEIGHBOURS_MAX];
	uint32_t n_links, n_routes, n_neighbours;
	struct network_tap taps[LAUNCH_NET_MAX]; /* by slot */
	char skipped[256]; /* what was found and is not given to the VM, in words; "" */
};

/* The queues of a tap device: descriptors, of which the first n are there. */
struct network_queues {
	uint32_t n;
	int taps[LAUNCH_QUEUES_MAX];
	int vhosts[LAUNCH_QUEUES_MAX]; /* -1, all of them, where the host has no vhost-net */
};

/* The tap devices of a network: the first n_links have queues. */
struct network_taps {
	struct network_queues of[LAUNCH_NET_MAX];
};
void network_taps_init(struct network_taps *taps);
void network_taps_close(struct network_taps *taps);

/*
 * Reads the network namespace netns (borrowed) and joins its interfaces to new tap devices, named
 * after the sandbox, with a queue for each of the VM's processors as far as that is possible.
 * macvtap: of that kind where they can be. Done by a forked child that enters it. *ret_network is
 * to be freed.
 */
int network_attach(int netns, const char *sid, uint32_t vcpus, bool macvtap,
		   struct network **ret_network, struct network_taps *ret_taps, struct error *err);

/*
 * Takes the filters of the VM with that sandbox id, which has ended, out of a namespace that was
 * made by somebody else. One that is gone is no error.
 */
int network_clean(const char *netns_path, const char *sid, struct error *err);

/* Reads the network namespace of the VM with that sandbox id, changing nothing: to be freed. */
int network_look(int netns, const char *sid, struct network **ret_network, struct error *err);

/*
 * Keeps an interface from the VM, or gives it to it again: by its alias, which who follows the
 * network sees. -ENODEV: there is none of that name, or with mac, unless NULL, none that has it.
 */
int network_set_apart(int netns, const char *name, const uint8_t *mac, bool apart,
		      struct error *err);

/* Replaces its routes: see network-routes.h. */
struct network_routes;
int network_set_routes(int netns, const char *sid, const struct network_routes *routes,
		       struct error *err);

/*
 * SET_NETWORK of a network, of its interfaces those with a slot; it borrows from that: free with
 * network_message_fini().
 */
int network_message(const struct network *network, struct msg_set_network *ret, struct error *err);
void network_message_fini(struct msg_set_network *message);

#endif
