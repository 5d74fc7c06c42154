/* Tap devices joined to interfaces by filters; in the network namespace of the caller. */
#ifndef KATA_RUNTIME_NETWORK_TAP_H
#define KATA_RUNTIME_NETWORK_TAP_H

#include "kata-runtime/netlink.h"
#include "kata-runtime/network.h"

#define NETWORK_VHOST "/dev/vhost-net"

void network_queues_init(struct network_queues *queues);
void network_queues_close(struct network_queues *queues);

/* Opens vhost-net, which is at path, for each queue, or for none. */
void network_queues_open_vhosts(struct network_queues *queues, const char *path);

/* "kt", 12 digits of the sandbox id, the interface's number. */
void network_tap_name(char ret[NETWORK_NAME_SIZE], const char *sid, uint32_t number);

/*
 * Whether it is the name of a VM's tap device; *ret_slot is its number when that VM's sandbox id is
 * sid, else UINT32_MAX.
 */
bool network_tap_slot(const char *name, const char *sid, uint32_t *ret_slot);

/* From a tap device's alias to the interface it is joined to; 0: it says nothing of the kind. */
void network_tap_parse_alias(const char *text, int32_t *ret_target, uint8_t ret_mac[6]);

struct network_join {
	uint32_t vcpus;
	bool macvtap; /* where it can be; needs rights of root's */
	int host;     /* the program of network-host.h, or -1: all that is received is the VM's */
};

/*
 * Makes the tap device with a queue for each of the processors, as far as the kernel and
 * LAUNCH_QUEUES_MAX allow, and joins it to the interface both ways. Unless it is a macvtap it is
 * not persistent: closing the last descriptor of it removes the device with its filters. *ret was
 * initialized. -EEXIST: another VM has the interface, or somebody has filters on what it receives.
 */
int network_tap_join(struct netlink *netlink, const struct network_link *link, const char *tap,
		     const struct network_join *join, struct network_queues *ret,
		     struct error *err);

int network_tap_set_mtu(struct netlink *netlink, int32_t index, uint32_t mtu, struct error *err);

/* Takes our filters from an interface: 0, or -ENOENT when it has none of ours. */
int network_tap_part(struct netlink *netlink, int32_t index, struct error *err);

/* The same of what a tap device is joined to, and it itself if it stays when it is closed. */
int network_tap_remove(struct netlink *netlink, const struct network_tap *tap, struct error *err);

/*
 * Removes this VM's macvtap devices, and takes filters from every interface of the namespace,
 * whatever became of it since, but from those that a tap device of another VM than sid's is joined
 * to.
 */
int network_tap_clean(struct netlink *netlink, const char *sid, struct error *err);

#endif
