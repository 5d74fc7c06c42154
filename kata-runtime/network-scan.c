/*
 * From the kernel's messages to struct network: see network-scan.h. Runs in the network's child
 * process. Sizes are checked although the kernel sends them: a message may be of a newer one.
 */
#include "kata-runtime/network-scan.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <net/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

enum { TRIES = 5 };

static int malformed(struct error *err, const char *what)
{
	return error_say(err, EBADMSG, "the kernel's message about %s cannot be understood", what);
}

/* Sorts a message's attributes behind a header of that size. */
static int sort(const struct nlmsghdr *message, size_t header, const struct nlattr **places,
		uint16_t max)
{
	struct netlink_table table = { places, max };

	if (message->nlmsg_len < NLMSG_HDRLEN + header)
		return -EBADMSG;
	return mnl_attr_parse(message, (unsigned)header, netlink_sort, &table) < 0 ? -EBADMSG : 0;
}

static void skip(struct network *network, const char *what, const char *why)
{
	size_t used = strlen(network->skipped);

	snprintf(network->skipped + used, sizeof(network->skipped) - used, "%s%s (%s)",
		 used > 0 ? ", " : "", what, why);
}

/* A name as the kernel gives it: short, ends in a NUL. */
static bool take_name(char dst[NETWORK_NAME_SIZE], const struct nlattr *attribute)
{
	size_t len = attribute == NULL ? 0 : mnl_attr_get_payload_len(attribute);
	const char *text = len > 0 ? mnl_attr_get_payload(attribute) : NULL;

	if (text == NULL || len > NETWORK_NAME_SIZE || text[len - 1] != '\0' || text[0] == '\0')
		return false;
	snprintf(dst, NETWORK_NAME_SIZE, "%s", text);
	return true;
}

/* An address of the family; false when it has another size. None is fine. */
static bool take_ip(struct network_ip *ip, uint32_t family, const struct nlattr *attribute)
{
	uint32_t len = family == AF_INET ? 4 : 16;
	const void *value = netlink_value(attribute, len);

	*ip = (struct network_ip){ 0 };
	if (attribute == NULL)
		return true;
	if (value == NULL)
		return false;
	memcpy(ip->bytes, value, len);
	ip->len = len;
	return true;
}

static uint32_t take_u32(const struct nlattr *attribute)
{
	const uint32_t *value = netlink_value(attribute, sizeof(*value));

	return value != NULL ? *value : 0;
}

static struct network_link *find_link(struct network *network, int64_t index)
{
	for (uint32_t i = 0; i < network->n_links; i++)
		if (network->links[i].index == index)
			return &network->links[i];
	return NULL;
}

/* "veth", "macvlan"; "device" for what has no kind, as a card of the host. */
static void link_kind(const struct nlattr *info, char *kind, size_t size)
{
	const struct nlattr *places[IFLA_INFO_KIND + 1] = { 0 };
	struct netlink_table table = { places, IFLA_INFO_KIND };
	const struct nlattr *name;

	snprintf(kind, size, "device");
	if (info == NULL || mnl_attr_parse_nested(info, netlink_sort, &table) < 0)
		return;
	name = places[IFLA_INFO_KIND];
	if (name != NULL && mnl_attr_get_payload_len(name) > 0)
		snprintf(kind, size, "%.*s", (int)mnl_attr_get_payload_len(name),
			 (const char *)mnl_attr_get_payload(name));
}

int network_take_link(const struct nlmsghdr *message, void *userdata, struct error *err)
{
	const struct nlattr *places[IFLA_LINKINFO + 1] = { 0 };
	struct network *network = userdata;
	struct network_link link = { 0 };
	const struct ifinfomsg *info;
	const void *mac;
	char kind[32];

	if (sort(message, sizeof(*info), places, IFLA_LINKINFO) < 0 ||
	    !take_name(link.name, places[IFLA_IFNAME]))
		return malformed(err, "an interface");
	info = mnl_nlmsg_get_payload(message);
	if ((info->ifi_flags & IFF_LOOPBACK) != 0)
		return 0;
	link_kind(places[IFLA_LINKINFO], kind, sizeof(kind));
	mac = netlink_value(places[IFLA_ADDRESS], sizeof(link.mac));
	if (!str_eq(kind, "veth") || mac == NULL || info->ifi_type != ARPHRD_ETHER) {
		/* The kernel's own fallback tunnels are down, and nobody asked for them. */
		if ((info->ifi_flags & IFF_UP) != 0)
			skip(network, link.name, kind);
		return 0;
	}
	if (network->n_links >= LAUNCH_NET_MAX)
		return error_say(err, E2BIG, "more than %d network interfaces", LAUNCH_NET_MAX);
	link.index = info->ifi_index;
	memcpy(link.mac, mac, sizeof(link.mac));
	link.mtu = take_u32(places[IFLA_MTU]);
	link.up = (info->ifi_flags & IFF_UP) != 0;
	network->links[network->n_links++] = link;
	return 0;
}

int network_take_address(const struct nlmsghdr *message, void *userdata, struct error *err)
{
	const struct nlattr *places[IFA_FLAGS + 1] = { 0 };
	struct network_address address = { 0 };
	const struct ifaddrmsg *info;
	struct network_link *link;
	bool good;

	if (sort(message, sizeof(*info), places, IFA_FLAGS) < 0)
		return malformed(err, "an address");
	info = mnl_nlmsg_get_payload(message);
	link = find_link(userdata, info->ifa_index);
	if (link == NULL || (info->ifa_family != AF_INET && info->ifa_family != AF_INET6))
		return 0;
	address.family = info->ifa_family;
	address.prefix = info->ifa_prefixlen;
	address.scope = info->ifa_scope;
	address.flags = places[IFA_FLAGS] != NULL ? take_u32(places[IFA_FLAGS]) : info->ifa_flags;
	if ((address.flags & IFA_F_DADFAILED) != 0 ||
	    (info->ifa_family == AF_INET6 && (address.flags & IFA_F_TEMPORARY) != 0))
		return 0;
	address.flags &= IFA_F_NOPREFIXROUTE | IFA_F_NODAD;
	/* IFA_ADDRESS is the other end; without one it is the address itself. */
	good = take_ip(&address.peer, address.family, places[IFA_ADDRESS]) &&
	       take_ip(&address.local, address.family, places[IFA_LOCAL]) &&
	       take_ip(&address.broadcast, address.family, places[IFA_BROADCAST]);
	if (address.local.len == 0)
		address.local = address.peer;
	if (!good || address.local.len == 0 || address.prefix > address.local.len * 8)
		return malformed(err, "an address");
	if (memcmp(&address.local, &address.peer, sizeof(address.local)) == 0)
		address.peer.len = 0;
	if (link->n_addresses >= NETWORK_ADDRESSES_MAX)
		return error_say(err, E2BIG, "interface %s has more than %d addresses", link->name,
				 NETWORK_ADDRESSES_MAX);
	link->addresses[link->n_addresses++] = address;
	return 0;
}

static uint32_t route_mtu(const struct nlattr *metrics)
{
	const struct nlattr *places[RTAX_MTU + 1] = { 0 };
	struct netlink_table table = { places, RTAX_MTU };

	if (metrics == NULL || mnl_attr_parse_nested(metrics, netlink_sort, &table) < 0)
		return 0;
	return take_u32(places[RTAX_MTU]);
}

/* Whether it is a route of a kind that is carried over: of the main table, not learnt. */
static bool route_matters(const struct rtmsg *info, const struct nlattr *const *places)
{
	uint32_t table = places[RTA_TABLE] != NULL ? take_u32(places[RTA_TABLE]) : info->rtm_table;

	return table == RT_TABLE_MAIN && (info->rtm_flags & RTM_F_CLONED) == 0 &&
	       (info->rtm_family == AF_INET || info->rtm_family == AF_INET6) &&
	       info->rtm_protocol != RTPROT_REDIRECT && info->rtm_type <= RTN_THROW &&
	       info->rtm_type != RTN_UNSPEC;
}

/* Its interface: false when the route belongs to one that the VM does not get. */
static bool route_device(struct network *network, const struct nlattr *oif,
			 struct network_route *route)
{
	const struct network_link *link;

	if (oif == NULL || route->type != RTN_UNICAST)
		return route->type != RTN_UNICAST;
	link = find_link(network, take_u32(oif));
	if (link == NULL)
		return false;
	memcpy(route->device, link->name, sizeof(route->device));
	return true;
}

int network_take_route(const struct nlmsghdr *message, void *userdata, struct error *err)
{
	const struct nlattr *places[RTA_VIA + 1] = { 0 };
	struct network_route route = { 0 };
	struct network *network = userdata;
	const struct rtmsg *info;

	if (sort(message, sizeof(*info), places, RTA_VIA) < 0)
		return malformed(err, "a route");
	info = mnl_nlmsg_get_payload(message);
	if (!route_matters(info, places))
		return 0;
	if (places[RTA_MULTIPATH] != NULL || places[RTA_VIA] != NULL) {
		skip(network, "a route", "several ways, or a router of another family");
		return 0;
	}
	route.family = info->rtm_family;
	route.prefix = info->rtm_dst_len;
	route.type = info->rtm_type;
	route.scope = info->rtm_scope;
	route.protocol = info->rtm_protocol;
	route.flags = info->rtm_flags & RTNH_F_ONLINK;
	route.metric = take_u32(places[RTA_PRIORITY]);
	route.mtu = route_mtu(places[RTA_METRICS]);
	if (!take_ip(&route.destination, route.family, places[RTA_DST]) ||
	    !take_ip(&route.gateway, route.family, places[RTA_GATEWAY]) ||
	    !take_ip(&route.source, route.family, places[RTA_PREFSRC]) ||
	    route.prefix > (route.family == AF_INET ? 32 : 128) ||
	    (route.prefix > 0 && route.destination.len == 0))
		return malformed(err, "a route");
	if (!route_device(network, places[RTA_OIF], &route))
		return 0;
	if (network->n_routes >= NETWORK_ROUTES_MAX)
		return error_say(err, E2BIG, "more than %d routes", NETWORK_ROUTES_MAX);
	network->routes[network->n_routes++] = route;
	return 0;
}

int network_take_neighbour(const struct nlmsghdr *message, void *userdata, struct error *err)
{
	const struct nlattr *places[NDA_LLADDR + 1] = { 0 };
	struct network_neighbour neighbour = { 0 };
	struct network *network = userdata;
	const struct network_link *link;
	const struct ndmsg *info;
	const void *mac;

	if (sort(message, sizeof(*info), places, NDA_LLADDR) < 0)
		return malformed(err, "a neighbour");
	info = mnl_nlmsg_get_payload(message);
	link = find_link(network, info->ndm_ifindex);
	if (link == NULL || (info->ndm_state & NUD_PERMANENT) == 0 ||
	    (info->ndm_flags & NTF_PROXY) != 0 ||
	    (info->ndm_family != AF_INET && info->ndm_family != AF_INET6))
		return 0;
	mac = netlink_value(places[NDA_LLADDR], sizeof(neighbour.mac));
	neighbour.family = info->ndm_family;
	if (mac == NULL || places[NDA_DST] == NULL ||
	    !take_ip(&neighbour.address, neighbour.family, places[NDA_DST]))
		return malformed(err, "a neighbour");
	memcpy(neighbour.mac, mac, sizeof(neighbour.mac));
	memcpy(neighbour.device, link->name, sizeof(neighbour.device));
	if (network->n_neighbours >= NETWORK_NEIGHBOURS_MAX)
		return error_say(err, E2BIG, "more than %d permanent neighbours",
				 NETWORK_NEIGHBOURS_MAX);
	network->neighbours[network->n_neighbours++] = neighbour;
	return 0;
}

static int scan_once(struct netlink *netlink, struct network *network, struct error *err)
{
	static const struct {
		uint16_t type;
		uint8_t family;
		netlink_each_fn *take;
	} steps[] = { { RTM_GETLINK, AF_UNSPEC, network_take_link },
		      { RTM_GETADDR, AF_INET, network_take_address },
		      { RTM_GETADDR, AF_INET6, network_take_address },
		      { RTM_GETROUTE, AF_INET, network_take_route },
		      { RTM_GETROUTE, AF_INET6, network_take_route },
		      { RTM_GETNEIGH, AF_INET, network_take_neighbour },
		      { RTM_GETNEIGH, AF_INET6, network_take_neighbour } };

	memset(network, 0, sizeof(*network));
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int r;

		if (i == 1 && network->n_links == 0)
			return 0; /* only the loopback device */
		r = netlink_dump(netlink, steps[i].type, steps[i].family, steps[i].take, network,
				 err);
		/* A kernel without IPv6 */
		if (r < 0 && !(steps[i].family == AF_INET6 && r == -EOPNOTSUPP))
			return r;
	}
	return 0;
}

int network_scan(struct netlink *netlink, struct network *ret, struct error *err)
{
	int r = -EAGAIN;

	for (int i = 0; i < TRIES && r == -EAGAIN; i++)
		r = scan_once(netlink, ret, err);
	return r < 0 ? error_prefix(err, "read the network") : 0;
}
