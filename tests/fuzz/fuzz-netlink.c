/* Any bytes as a message of the kernel about the network, after a good one about an interface. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "kata-runtime/network-scan.h"
#include "kata-runtime/network-tap.h"

static netlink_each_fn *const takers[] = { network_take_link, network_take_address,
					   network_take_route, network_take_neighbour,
					   network_take_rule };

static void check(const struct network *network)
{
	if (network->n_links > LAUNCH_NET_MAX || network->n_routes > NETWORK_ROUTES_MAX ||
	    memchr(network->skipped, '\0', sizeof(network->skipped)) == NULL)
		abort();
	for (uint32_t i = 0; i < network->n_links; i++)
		if (memchr(network->links[i].name, '\0', NETWORK_NAME_SIZE) == NULL ||
		    network->links[i].n_addresses > NETWORK_ADDRESSES_MAX)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each message: which kind, the length of what is behind its header, that. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct network *network = calloc(1, sizeof(*network));
	struct msg_set_network message;
	struct error err;

	if (network == NULL)
		abort();
	memcpy(network->sid, "0123456789abcdef0123456789abcdef", SID_LEN);
	network->n_links = 1;
	network->links[0] = (struct network_link){ .name = "eth0", .index = 7 };
	while (size >= 2) {
		size_t n = data[1] < size - 2 ? data[1] : size - 2;
		struct nlmsghdr *copy = malloc(NLMSG_HDRLEN + n);

		if (copy == NULL)
			abort();
		*copy = (struct nlmsghdr){ .nlmsg_len = (uint32_t)(NLMSG_HDRLEN + n) };
		memcpy((uint8_t *)copy + NLMSG_HDRLEN, data + 2, n);
		takers[data[0] % (sizeof(takers) / sizeof(takers[0]))](copy, network, &err);
		free(copy);
		data += 2 + n;
		size -= 2 + n;
	}
	check(network);
	if (network_message(network, &message, &err) == 0)
		network_message_fini(&message);
	free(network);
	return 0;
}
