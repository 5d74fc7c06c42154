/* kata-runtime/network.c: the message to the agent, and a whole namespace through its child. */
#include "kata-runtime/network.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/wire.h"
#include "tests/unit/netns.h"

#define SID "0123456789abcdef0123456789abcdef"

Test(network, the_message_has_what_the_vm_has)
{
	CLEANUP(freep) struct network *network = calloc(1, sizeof(*network));
	CLEANUP(buf_fini) struct buf encoded = { 0 };
	struct msg_set_network m;
	struct error err = { 0 };

	network->n_links = 2;
	network->links[0] = (struct network_link){ .name = "eth0",
						   .slot = 0,
						   .mtu = 1500,
						   .up = true,
						   .noarp = true,
						   .no_ipv6 = true,
						   .n_addresses = 2 };
	network->links[0].addresses[0] = (struct network_address){
		.family = AF_INET,
		.prefix = 24,
		.valid_s = UINT32_MAX,
		.preferred_s = UINT32_MAX,
		.local = { .bytes = { 10, 0, 0, 2 }, .len = 4 },
	};
	network->links[0].addresses[1] = network->links[0].addresses[0];
	network->links[0].addresses[1].preferred_s = 0;
	network->links[1] = (struct network_link){ .name = "eth1", .slot = -1, .mtu = 1500 };
	network->n_routes = 3;
	for (int i = 0; i < 3; i++) {
		network->routes[i] = (struct network_route){ .family = AF_INET, .type = 1 };
		snprintf(network->routes[i].device, sizeof(network->routes[i].device), "%s",
			 i == 0   ? "eth0"
			 : i == 1 ? "eth1"
				  : "");
	}
	network->routes[0].metrics[2] = 1400;
	network->n_neighbours = 1;
	snprintf(network->neighbours[0].device, sizeof(network->neighbours[0].device), "eth1");

	cr_assert(network_message(network, &m, &err) == 0, "%s", err.text);
	cr_assert(m.n_interfaces == 1 && m.n_routes == 2 && m.n_neighbours == 0);
	cr_expect_str_eq(m.interfaces[0].name, "eth0");
	cr_expect(m.interfaces[0].up && m.interfaces[0].noarp && m.interfaces[0].no_ipv6);
	cr_expect(!m.interfaces[0].addresses[0].limited && m.interfaces[0].addresses[1].limited);
	cr_assert(m.routes[0].n_properties == 1);
	cr_expect(m.routes[0].properties[0].kind == 2 && m.routes[0].properties[0].value == 1400);
	cr_expect(wire_encode(MSG_SET_NETWORK, &m, &encoded, &err) == 0, "%s", err.text);
	network_message_fini(&m);
}

Test(network, a_namespace_is_attached_and_cleaned)
{
	CLEANUP(freep) struct network *network = NULL;
	CLEANUP(fd_close) int netns = -1;
	struct network_taps taps;
	struct error err = { 0 };

	NETNS_OR_SKIP();
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		cr_skip_test("no /dev/net/tun");
	cr_assert(sh("ip link add eth0 type veth peer p0 && ip link set eth0 up"));
	cr_assert(sh("ip link add br0 type bridge && ip link set p0 master br0 up"));
	netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	cr_assert(network_attach(netns, SID, 2, false, &network, &taps, &err) == 0, "%s", err.text);
	cr_expect(network->n_links == 2 && network->links[0].slot == 0 &&
		  network->links[1].slot == 1);
	cr_expect(taps.of[0].n == 2 && taps.of[1].n == 2 && taps.of[1].taps[1] >= 0 &&
		  taps.of[2].n == 0 && taps.of[2].taps[0] == -1);
	cr_expect(sh("ip link show kt0123456789ab1 >/dev/null"));
	network_taps_close(&taps);
	cr_expect(sh("! ip link show kt0123456789ab1 2>/dev/null"));
	cr_expect(sh("tc qdisc show dev eth0 | grep -q ingress"));
	cr_expect(network_clean("/proc/self/ns/net", SID, &err) == 0, "%s", err.text);
	cr_expect(sh("! tc qdisc show | grep -q ingress"));
	cr_expect(network_clean("/nowhere/at/all", SID, &err) == 0);
}
