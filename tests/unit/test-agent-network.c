/* kata-agent/network.c and network-wait.c: what is refused, and networks in a real namespace. */
#include "kata-agent/network.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/loop.h"
#include "kata-agent/network-wait.h"
#include "tests/unit/netns.h"

static uint8_t mac0[6] = { 2, 0, 0, 0, 0, 1 }, mac1[6] = { 2, 0, 0, 0, 0, 2 };
static uint8_t a2[4] = { 10, 1, 0, 2 }, a3[4] = { 10, 1, 0, 3 }, gateway[4] = { 10, 1, 0, 1 };
static uint8_t net9[4] = { 10, 9, 0, 0 };
static uint8_t a6[16] = { 0xfd, 0, 0, 1, [15] = 2 };

#define BIN(array) \
	{ \
		array, sizeof(array) \
	}

static char eth0[] = "eth0", eth1[] = "eth1", empty[] = "";

static struct msg_address addresses[] = {
	{ .family = AF_INET, .local = BIN(a2), .prefix = 24, .label = empty },
	{ .family = AF_INET6, .local = BIN(a6), .prefix = 64, .label = empty },
	{ .family = AF_INET, .local = BIN(a3), .prefix = 24, .label = empty },
};
static struct msg_route_metric metrics[] = { { .kind = RTAX_MTU, .value = 1200 } };
static struct msg_route routes[] = {
	{ .family = AF_INET,
	  .destination = BIN(net9),
	  .prefix = 16,
	  .gateway = BIN(gateway),
	  .device = eth0,
	  .type = RTN_UNICAST,
	  .flags = RTNH_F_ONLINK,
	  .properties = metrics,
	  .n_properties = 1 },
	{ .family = AF_INET, .gateway = BIN(gateway), .device = eth0, .type = RTN_UNICAST },
};
static struct msg_neighbour neighbours[] = {
	{ .family = AF_INET, .address = BIN(gateway), .mac = BIN(mac1), .device = eth0 },
};

Test(agent_network, order_of_routes)
{
	cr_expect(network_route_first(&routes[0], &routes[1]));
	cr_expect(!network_route_first(&routes[1], &routes[0]));
}

Test(agent_network, refused)
{
	static uint8_t five[5];
	struct msg_address address = { .family = AF_INET, .local = BIN(five), .label = empty };
	struct msg_interface interface = { .name = eth0, .mac = BIN(mac0), .mtu = 1500 };
	struct msg_set_network m = { .interfaces = &interface, .n_interfaces = 1 };
	struct msg_route route = { .family = AF_INET, .prefix = 8, .device = empty };
	char bad_name[] = "../../x";
	struct error err;

	cr_expect(network_check(&m, &err) == 0);
	interface.addresses = &address;
	interface.n_addresses = 1;
	cr_expect(network_check(&m, &err) == -EINVAL);
	address.family = AF_UNIX;
	address.local.len = 4;
	cr_expect(network_check(&m, &err) == -EINVAL);
	interface.n_addresses = 0;
	interface.name = bad_name;
	cr_expect(network_check(&m, &err) == -EINVAL);
	interface.name = empty;
	cr_expect(network_check(&m, &err) == -EINVAL);
	interface.name = eth0;
	interface.mac.len = 5;
	cr_expect(network_check(&m, &err) == -EINVAL);
	interface.mac.len = 6;
	m.routes = &route;
	m.n_routes = 1;
	cr_expect(network_check(&m, &err) == -EINVAL, "a destination is missing");
	m.n_routes = 0;
	m.n_interfaces = 9;
	cr_expect(network_check(&m, &err) == -EINVAL);
}

/* Two devices of a VM, with other names than they shall have. */
static bool make_devices(void)
{
	return sh("ip link add br0 type bridge && ip link set br0 up && "
		  "ip link add eth1 address 02:00:00:00:00:01 type veth peer p0 && "
		  "ip link add eth0 address 02:00:00:00:00:02 type veth peer p1 && "
		  "ip link set p0 master br0 up && ip link set p1 master br0 up");
}

Test(agent_network, set_changed_and_taken_away)
{
	struct msg_interface both[] = { { .name = eth0,
					  .mac = BIN(mac0),
					  .mtu = 1400,
					  .up = true,
					  .addresses = addresses,
					  .n_addresses = 3 },
					{ .name = eth1, .mac = BIN(mac1), .mtu = 1300 } };
	struct msg_set_network first = { both, 2, routes, 2, neighbours, 1 };
	struct msg_interface one = both[0];
	struct msg_set_network second = { &one, 1, &routes[0], 1, NULL, 0 };
	struct msg_set_network none = { 0 };
	struct error err = { 0 };

	NETNS_OR_SKIP();
	cr_assert(make_devices());
	cr_assert(network_set(&first, NULL, &err) == 0, "%s", err.text);
	cr_expect(sh("ip link show eth0 | grep -q 'mtu 1400.*UP' && "
		     "ip link show eth0 | grep -q 02:00:00:00:00:01"));
	cr_expect(sh("ip link show eth1 | grep -q 'mtu 1300' && "
		     "! ip link show eth1 | grep -q '[<,]UP'"));
	cr_expect(sh("ip addr show eth0 | grep -q 10.1.0.2/24"));
	cr_expect(sh("ip -6 addr show eth0 | grep fd00:1::2/64 | grep -vq tentative"));
	cr_expect(sh("ip route | grep -q 'default via 10.1.0.1'"));
	cr_expect(sh("ip route | grep -q '10.9.0.0/16 via 10.1.0.1.*mtu 1200'"));
	cr_expect(sh("ip neigh | grep -q '10.1.0.1 dev eth0.*PERMANENT'"));

	/* What a container has made itself stays. */
	cr_assert(sh("ip addr add 10.77.0.1/24 dev eth0 && ip route add 10.78.0.0/16 dev eth0"));
	one.n_addresses = 2;
	one.mtu = 1280;
	cr_assert(network_set(&second, &first, &err) == 0, "%s", err.text);
	cr_expect(sh("ip link show eth0 | grep -q 'mtu 1280'"));
	cr_expect(sh(
		"! ip addr show eth0 | grep -q 10.1.0.3 && ip addr show eth0 | grep -q 10.1.0.2"));
	cr_expect(sh("! ip route | grep -q default && ip route | grep -q 10.9.0.0/16"));
	cr_expect(sh("! ip neigh | grep -q PERMANENT"));
	cr_expect(sh("ip addr show eth0 | grep -q 10.77.0.1 && ip route | grep -q 10.78.0.0"));
	cr_assert(network_set(&none, &second, &err) == 0, "%s", err.text);
	cr_expect(sh("! ip link show eth0 | grep -q '[<,]UP'"));
}

Test(agent_network, two_ways_to_one_network)
{
	struct msg_interface both[] = { { .name = eth0,
					  .mac = BIN(mac0),
					  .mtu = 1400,
					  .up = true,
					  .addresses = addresses,
					  .n_addresses = 1 },
					{ .name = eth1,
					  .mac = BIN(mac1),
					  .mtu = 1400,
					  .up = true,
					  .addresses = &addresses[2],
					  .n_addresses = 1 } };
	static uint8_t net1[4] = { 10, 1, 0, 0 };
	struct msg_route_metric mtu = { .kind = RTAX_MTU, .value = 1111 };
	struct msg_route way = { .family = AF_INET,
				 .destination = BIN(net1),
				 .prefix = 24,
				 .device = eth0,
				 .source = BIN(a2),
				 .type = RTN_UNICAST,
				 .scope = RT_SCOPE_LINK,
				 .protocol = RTPROT_KERNEL };
	struct msg_route ways[] = { way, way, routes[0] };
	struct msg_set_network m = { both, 2, ways, 3, NULL, 0 };
	struct msg_route before[] = { way, way, routes[0] };
	struct msg_set_network first = { both, 2, before, 3, NULL, 0 };
	struct error err = { 0 };

	NETNS_OR_SKIP();
	ways[1].device = before[1].device = eth1;
	ways[1].source = before[1].source = (struct wire_bin)BIN(a3);
	cr_assert(make_devices());
	for (int i = 0; i < 2; i++) {
		cr_assert(network_set(&m, i == 0 ? NULL : &first, &err) == 0, "%s", err.text);
		cr_expect(sh("test $(ip route | grep -c '^10.1.0.0/24 dev') = 2"));
	}
	for (int i = 0; i < 3; i++)
		if (ways[i].prefix == 16)
			ways[i].properties = &mtu;
	cr_assert(network_set(&m, &first, &err) == 0, "%s", err.text);
	cr_expect(sh("ip route | grep '^10.9.0.0/16' | grep -q 'mtu 1111'"));
	cr_expect(sh("test $(ip route | grep -c '^10.9.0.0/16') = 1"));
}

Test(agent_network, ipv6_switched_off_and_link_local_addresses)
{
	struct msg_interface interface = {
		.name = eth0, .mac = BIN(mac0), .mtu = 1400, .up = true
	};
	struct msg_set_network m = { .interfaces = &interface, .n_interfaces = 1 };
	struct error err = { 0 };

	NETNS_OR_SKIP();
	cr_assert(make_devices());
	cr_assert(network_set(&m, NULL, &err) == 0, "%s", err.text);
	/* Its own address is there, and can be used at once. */
	cr_expect(sh("for i in $(seq 100); do ip -6 addr show eth0 | grep 'fe80::ff:fe00:1/64' | "
		     "grep -vq tentative && exit 0; sleep 0.05; done; exit 1"));
	interface.no_ipv6 = true;
	cr_assert(network_set(&m, &m, &err) == 0, "%s", err.text);
	cr_expect(sh("! ip -6 addr show eth0 | grep -q inet6"));
	interface.no_ipv6 = false;
	interface.no_link_local = true;
	cr_assert(sh("ip link set eth0 down"));
	cr_assert(network_set(&m, &m, &err) == 0, "%s", err.text);
	cr_expect(sh("! ip -6 addr show eth0 | grep -q fe80"));
}

Test(agent_network, a_device_that_is_plugged_later)
{
	struct msg_interface interface = { .name = eth0,
					   .mac = BIN(mac0),
					   .mtu = 1400,
					   .up = true,
					   .addresses = addresses,
					   .n_addresses = 1 };
	struct msg_set_network m = { .interfaces = &interface, .n_interfaces = 1 };
	const struct client_request nobody = { 0 };
	struct network_wait wait;
	struct error err = { 0 };
	uv_loop_t loop;

	NETNS_OR_SKIP();
	cr_assert(loop_start(&loop, &err) == 0);
	network_wait_init(&wait, &loop);
	cr_assert(network_wait_set(&wait, &m, &nobody, &err) == 0, "%s", err.text);
	uv_run(&loop, UV_RUN_NOWAIT);
	cr_expect(wait.wanted != NULL && wait.before == NULL);
	cr_assert(make_devices());
	while (wait.wanted != NULL)
		uv_run(&loop, UV_RUN_ONCE);
	cr_expect(sh("ip addr show eth0 | grep -q 10.1.0.2/24"));
	cr_expect(wait.before != NULL && wait.before->n_interfaces == 1);
	/* The same again, then a new one that takes the place of one that waits. */
	cr_expect(network_wait_set(&wait, &m, &nobody, &err) == 1);
	interface.mac.data = (uint8_t[6]){ 2, 9, 9, 9, 9, 9 };
	cr_expect(network_wait_set(&wait, &m, &nobody, &err) == 0);
	interface.mac.data = mac0;
	cr_expect(network_wait_set(&wait, &m, &nobody, &err) == 1 && wait.wanted == NULL);
	network_wait_stop(&wait);
	cr_expect(loop_run(&loop, 1000, &err) == 0, "%s", err.text);
}
