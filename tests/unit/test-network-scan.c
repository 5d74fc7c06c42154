/* kata-runtime/network-scan.c: messages of the kernel, also broken ones, and a real namespace. */
#include "kata-runtime/network-scan.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "tests/unit/netns.h"

#define SID "0123456789abcdef0123456789abcdef"

static const uint8_t a_mac[6] = { 2, 0, 0, 0, 0, 1 };

static struct network *new_network(void)
{
	struct network *network = calloc(1, sizeof(*network));

	cr_assert(network != NULL);
	snprintf(network->sid, sizeof(network->sid), SID);
	return network;
}

struct link {
	const char *name, *kind, *alias;
	unsigned flags, type;
	uint32_t master;
	int index;
	uint8_t mac;
};

static struct nlmsghdr *link_message(struct netlink_request *request, const struct link *link)
{
	const uint8_t mac[6] = { 2, 0, 0, 0, 0, link->mac };
	struct nlmsghdr *header;
	struct ifinfomsg *body;
	struct nlattr *info;

	memset(request, 0, sizeof(*request));
	header = netlink_begin(request, RTM_NEWLINK, 0);
	body = mnl_nlmsg_put_extra_header(header, sizeof(*body));
	body->ifi_index = link->index != 0 ? link->index : 7;
	body->ifi_flags = link->flags;
	body->ifi_type = (unsigned short)(link->type != 0 ? link->type : ARPHRD_ETHER);
	if (link->name != NULL)
		mnl_attr_put_strz(header, IFLA_IFNAME, link->name);
	mnl_attr_put(header, IFLA_ADDRESS, sizeof(mac), mac);
	mnl_attr_put_u32(header, IFLA_MTU, 1400);
	if (link->master != 0)
		mnl_attr_put_u32(header, IFLA_MASTER, link->master);
	if (link->alias != NULL)
		mnl_attr_put_str(header, IFLA_IFALIAS, link->alias);
	if (link->kind != NULL) {
		info = mnl_attr_nest_start(header, IFLA_LINKINFO);
		mnl_attr_put_strz(header, IFLA_INFO_KIND, link->kind);
		mnl_attr_nest_end(header, info);
	}
	return header;
}

static int take_link(struct network *network, const struct link *link)
{
	struct netlink_request request;

	return network_take_link(link_message(&request, link), network, NULL);
}

Test(network_scan, which_links)
{
	static const struct {
		struct link link;
		bool taken;
		const char *skipped;
	} cases[] = {
		{ { .name = "eth0", .kind = "veth", .flags = IFF_UP }, true, "" },
		{ { .name = "eth0", .kind = "veth" }, true, "" },
		{ { .name = "eth0", .kind = "macvlan", .flags = IFF_UP }, true, "" },
		{ { .name = "eth0", .kind = "ipvlan", .flags = IFF_UP | IFF_NOARP }, true, "" },
		{ { .name = "br0", .kind = "bridge", .flags = IFF_UP }, true, "" },
		{ { .name = "eth0", .kind = "veth", .flags = IFF_UP, .master = 3 }, false, "" },
		{ { .name = "lo", .flags = IFF_UP | IFF_LOOPBACK }, false, "" },
		{ { .name = "card0", .flags = IFF_UP }, true, "" },
		{ { .name = "wg0", .kind = "wireguard", .flags = IFF_UP, .type = ARPHRD_NONE },
		  false,
		  "wg0 (wireguard)" },
		{ { .name = "sit0", .kind = "sit", .type = ARPHRD_SIT }, false, "" },
		{ { .name = "gretap0", .kind = "gretap" }, false, "" },
		{ { .name = "g1", .kind = "gretap", .flags = IFF_UP }, false, "g1 (gretap)" },
		{ { .name = "tap0", .kind = "tun", .flags = IFF_UP }, true, "" },
		{ { .name = "kt0123456789ab2", .kind = "tun", .flags = IFF_UP }, false, "" },
		{ { .name = "ktffffffffffff2", .kind = "tun", .flags = IFF_UP }, false, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep) struct network *network = new_network();

		cr_expect(take_link(network, &cases[i].link) == 0, "%zu", i);
		cr_expect(network->n_links == cases[i].taken, "%zu", i);
		cr_expect_str_eq(network->skipped, cases[i].skipped);
	}
}

Test(network_scan, a_mac_address_twice_is_told)
{
	CLEANUP(freep) struct network *network = new_network();
	const struct link first = { .name = "eth0", .kind = "ipvlan", .flags = IFF_UP, .index = 2 };
	const struct link second = { .name = "eth1", .kind = "ipvlan", .flags = IFF_UP };

	cr_expect(take_link(network, &first) == 0 && take_link(network, &second) == 0);
	cr_expect(network->n_links == 1);
	cr_expect_str_eq(network->skipped, "eth1 (its MAC address is that of another one)");
}

Test(network_scan, too_many_links)
{
	CLEANUP(freep) struct network *network = new_network();

	for (uint8_t i = 0; i <= LAUNCH_NET_MAX; i++) {
		const struct link link = { .name = "e", .kind = "veth", .mac = i };

		cr_expect(take_link(network, &link) == (i < LAUNCH_NET_MAX ? 0 : -E2BIG));
	}
}

Test(network_scan, a_link_without_a_name)
{
	CLEANUP(freep) struct network *network = new_network();
	const struct link links[] = { { .kind = "veth" },
				      { .name = "", .kind = "veth" },
				      { .name = "a-name-of-over-15-bytes" } };

	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		cr_expect(take_link(network, &links[i]) == -EBADMSG, "%zu", i);
}

/* One message of each kind with many attributes. */
static struct nlmsghdr *example(struct netlink_request *request, int kind)
{
	static const uint8_t address[16] = { 10, 0, 0, 1 };
	const struct link link = { .name = "eth0", .kind = "veth", .alias = "x", .flags = IFF_UP };
	struct ifa_cacheinfo times = { .ifa_valid = 100, .ifa_prefered = 50 };
	struct nlmsghdr *header;
	struct nlattr *nest;

	if (kind == 0)
		return link_message(request, &link);
	memset(request, 0, sizeof(*request));
	header = netlink_begin(request, RTM_NEWADDR, 0);
	if (kind == 1) {
		struct ifaddrmsg *body = mnl_nlmsg_put_extra_header(header, sizeof(*body));

		*body = (struct ifaddrmsg){ .ifa_family = AF_INET,
					    .ifa_prefixlen = 24,
					    .ifa_index = 7 };
		mnl_attr_put(header, IFA_LOCAL, 4, address);
		mnl_attr_put(header, IFA_ADDRESS, 4, address);
		mnl_attr_put(header, IFA_CACHEINFO, sizeof(times), &times);
		mnl_attr_put_strz(header, IFA_LABEL, "eth0:1");
	} else if (kind == 2) {
		struct rtmsg *body = mnl_nlmsg_put_extra_header(header, sizeof(*body));

		*body = (struct rtmsg){ .rtm_family = AF_INET,
					.rtm_dst_len = 8,
					.rtm_table = RT_TABLE_MAIN,
					.rtm_type = RTN_UNICAST };
		mnl_attr_put(header, RTA_DST, 4, address);
		mnl_attr_put_u32(header, RTA_OIF, 7);
		nest = mnl_attr_nest_start(header, RTA_METRICS);
		mnl_attr_put_u32(header, RTAX_MTU, 1300);
		mnl_attr_nest_end(header, nest);
	} else if (kind == 3) {
		struct ndmsg *body = mnl_nlmsg_put_extra_header(header, sizeof(*body));

		*body = (struct ndmsg){ .ndm_family = AF_INET,
					.ndm_ifindex = 7,
					.ndm_state = NUD_PERMANENT };
		mnl_attr_put(header, NDA_DST, 4, address);
		mnl_attr_put(header, NDA_LLADDR, 6, a_mac);
	} else {
		struct fib_rule_hdr *body = mnl_nlmsg_put_extra_header(header, sizeof(*body));

		*body = (struct fib_rule_hdr){ .family = AF_INET, .action = FR_ACT_TO_TBL };
		mnl_attr_put_u32(header, FRA_TABLE, 100);
	}
	return header;
}

static netlink_each_fn *const takers[] = { network_take_link, network_take_address,
					   network_take_route, network_take_neighbour,
					   network_take_rule };

/* A network with the interface that the examples are about. */
static struct network *with_link(void)
{
	struct network *network = new_network();
	const struct link link = { .name = "eth0", .kind = "veth", .mac = 9 };

	cr_assert(take_link(network, &link) == 0);
	return network;
}

Test(network_scan, examples)
{
	CLEANUP(freep) struct network *network = with_link();
	struct netlink_request request;

	for (int i = 1; i < 5; i++)
		cr_expect(takers[i](example(&request, i), network, NULL) == 0, "%d", i);
	cr_assert(network->links[0].n_addresses == 1 && network->n_routes == 1 &&
		  network->n_neighbours == 1);
	cr_expect(network->links[0].addresses[0].valid_s == 100 &&
		  network->links[0].addresses[0].preferred_s == 50);
	cr_expect_str_eq(network->links[0].addresses[0].label, "eth0:1");
	cr_expect(network->routes[0].metrics[RTAX_MTU] == 1300);
	cr_expect_str_eq(network->skipped, "a routing rule (policy routing: table 100)");
}

/* Cut at every length, and with every byte changed: an answer, and no harm. */
Test(network_scan, broken_messages)
{
	for (int kind = 0; kind < 5; kind++) {
		struct netlink_request good;
		uint32_t len = example(&good, kind)->nlmsg_len;

		for (uint32_t cut = NLMSG_HDRLEN; cut < len; cut++) {
			CLEANUP(freep) struct network *network = with_link();
			CLEANUP(freep) struct nlmsghdr *copy = malloc(cut);
			int r;

			memcpy(copy, &good, cut);
			copy->nlmsg_len = cut;
			r = takers[kind](copy, network, NULL);
			cr_expect(r == 0 || r == -EBADMSG, "%d %u: %d", kind, cut, r);
			cr_expect(cut >= NLMSG_HDRLEN + sizeof(struct ifaddrmsg) || r == -EBADMSG);
		}
		for (uint32_t at = NLMSG_HDRLEN; at < len; at++)
			for (int value = 0; value < 256; value += 15) {
				CLEANUP(freep) struct network *network = with_link();
				CLEANUP(freep) uint8_t *copy = malloc(len);
				int r;

				memcpy(copy, &good, len);
				copy[at] = (uint8_t)value;
				r = takers[kind]((struct nlmsghdr *)copy, network, NULL);
				cr_expect(r == 0 || r == -EBADMSG);
			}
	}
}

/* --- a real namespace ------------------------------------------------------------------------- */

static struct network *scan(void)
{
	CLEANUP(netlink_close) struct netlink netlink = NETLINK_NONE;
	struct network *network = new_network();
	struct error err;

	cr_assert(netlink_open(&netlink, &err) == 0, "%s", err.text);
	cr_assert(network_scan(&netlink, SID, network, &err) == 0, "%s", err.text);
	return network;
}

static const struct network_route *find_route(const struct network *network, int family,
					      const char *destination)
{
	uint8_t bytes[16] = { 0 };

	if (destination[0] != '\0')
		inet_pton(family, destination, bytes);
	for (uint32_t i = 0; i < network->n_routes; i++) {
		const struct network_route *r = &network->routes[i];

		if (r->family == (uint32_t)family && (r->prefix == 0) == (destination[0] == '\0') &&
		    memcmp(r->destination.bytes, bytes, sizeof(bytes)) == 0)
			return r;
	}
	return NULL;
}

Test(network_scan, only_the_loopback_device)
{
	CLEANUP(freep) struct network *network = NULL;

	NETNS_OR_SKIP();
	network = scan();
	cr_expect(network->n_links == 0 && network->n_routes == 0 && network->skipped[0] == '\0');
}

Test(network_scan, everything)
{
	CLEANUP(freep) struct network *network = NULL;
	const struct network_route *route;
	const struct network_link *eth0;

	NETNS_OR_SKIP();
	cr_assert(sh(
		"set -e; ip link add eth0 mtu 1400 address 02:00:00:00:00:01 type veth peer p0;"
		"ip link add eth1 type veth peer p1; "
		"ip link add eth2 address 02:00:00:00:00:03 type veth peer p2;"
		"ip link add br0 type bridge;"
		"for p in p0 p1 p2; do ip link set $p master br0 up; done;"
		"ip link set eth0 up; ip link set eth1 up; ip link set lo up;"
		"ip addr add 10.1.0.2/24 brd + dev eth0; ip addr add 10.1.0.3/24 dev eth0;"
		"ip addr add fd00:1::2/64 dev eth0 nodad valid_lft 1000 preferred_lft 500;"
		"ip route add default via 10.1.0.1 dev eth0 metric 7;"
		"ip route add 10.9.0.0/16 via 172.16.0.1 dev eth0 onlink src 10.1.0.3 mtu 1200 "
		"advmss 1100; ip route add 10.8.0.0/16 dev eth0 scope link;"
		"ip -6 route add default via fd00:1::1 dev eth0;"
		"ip route add 10.7.0.0/16 dev eth0 table 100; ip rule add from 10.1.0.2 table 100;"
		"ip neigh add 10.1.0.9 lladdr 02:00:00:00:00:99 dev eth0 nud permanent;"
		"ip neigh add 10.1.0.8 lladdr 02:00:00:00:00:98 dev eth0 nud stale"));
	network = scan();
	cr_assert(network->n_links == 4, "%u", network->n_links);
	eth0 = NULL;
	for (uint32_t i = 0; i < network->n_links; i++)
		if (str_eq(network->links[i].name, "eth0"))
			eth0 = &network->links[i];
	cr_assert(eth0 != NULL);
	cr_expect(eth0->mtu == 1400 && eth0->up && eth0->slot == -1 && !eth0->no_ipv6);
	cr_expect(memcmp(eth0->mac, a_mac, 6) == 0);
	cr_assert(eth0->n_addresses >= 3);
	cr_expect(eth0->addresses[0].broadcast.len == 4 && eth0->addresses[0].prefix == 24);
	cr_expect(eth0->addresses[0].valid_s == UINT32_MAX);
	for (uint32_t i = 0; i < eth0->n_addresses; i++)
		if (eth0->addresses[i].family == AF_INET6 &&
		    eth0->addresses[i].scope == RT_SCOPE_UNIVERSE)
			cr_expect(eth0->addresses[i].valid_s <= 1000 &&
				  eth0->addresses[i].preferred_s <= 500);
	route = find_route(network, AF_INET, "");
	cr_assert(route != NULL);
	cr_expect(route->metric == 7 && route->gateway.len == 4);
	route = find_route(network, AF_INET, "10.9.0.0");
	cr_assert(route != NULL);
	cr_expect(route->flags == RTNH_F_ONLINK && route->source.len == 4 &&
		  route->metrics[RTAX_MTU] == 1200 && route->metrics[RTAX_ADVMSS] == 1100);
	cr_expect(find_route(network, AF_INET, "10.8.0.0")->scope == RT_SCOPE_LINK);
	cr_expect(find_route(network, AF_INET6, "") != NULL);
	cr_expect(find_route(network, AF_INET, "10.7.0.0") == NULL);
	cr_expect(strstr(network->skipped, "routes (policy routing: table 100)") != NULL);
	cr_expect(strstr(network->skipped, "a routing rule (policy routing: table 100)") != NULL);
	cr_expect(network->n_neighbours == 1 && network->neighbours[0].mac[5] == 0x99);
}

Test(network_scan, ipv6_that_is_off)
{
	CLEANUP(freep) struct network *network = NULL;

	NETNS_OR_SKIP();
	cr_assert(
		sh("ip link add eth0 type veth peer p0; ip link set p0 address 02:00:00:00:00:77"));
	cr_assert(sh("ip link set dev eth0 addrgenmode none && ip link set p0 up"));
	if (!sh("sysctl -q -w net.ipv6.conf.eth0.disable_ipv6=1 2>/dev/null"))
		cr_skip_test("/proc/sys cannot be written");
	network = scan();
	cr_assert(network->n_links == 2);
	for (uint32_t i = 0; i < 2; i++) {
		bool is_eth0 = str_eq(network->links[i].name, "eth0");

		cr_expect(network->links[i].no_ipv6 == is_eth0 &&
			  network->links[i].no_link_local == is_eth0);
	}
}
