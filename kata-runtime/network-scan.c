/*
 * From the kernel's messages to struct network: see network-scan.h. Runs in the network's child
 * process. Sizes are checked although the kernel sends them: a message may be of a newer one.
 */
#include "kata-runtime/network-scan.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/ipv6.h>
#include <net/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/network-tap.h"

enum { TRIES = 5 };

static int malformed(struct error *err, const char *what)
{
	return error_say(err, EBADMSG, "the kernel's message about %s cannot be understood", what);
}

/* Remembers, once, what is not given to the VM. */
static void skip(struct network *network, const char *what, const char *why)
{
	char item[96];
	size_t used = strlen(network->skipped);

	snprintf(item, sizeof(item), "%s (%s)", what, why);
	if (strstr(network->skipped, item) == NULL)
		snprintf(network->skipped + used, sizeof(network->skipped) - used, "%s%s",
			 used > 0 ? ", " : "", item);
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
	const char *text;

	snprintf(kind, size, "device");
	if (info == NULL || mnl_attr_parse_nested(info, netlink_sort, &table) < 0)
		return;
	name = places[IFLA_INFO_KIND];
	if (name == NULL)
		return;
	text = mnl_attr_get_payload(name);
	str_escape(kind, size, text, strnlen(text, mnl_attr_get_payload_len(name)));
}

/* Kinds whose frames can be handed on as they are. */
static bool kind_known(const char *kind)
{
	static const char *const kinds[] = { "veth",   "macvlan", "ipvlan", "macvtap",
					     "ipvtap", "tun",     "bridge", "vlan",
					     "dummy",  "bond",    "team",   "device" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (str_eq(kind, kinds[i]))
			return true;
	return false;
}

/* Whether the kernel was told to make no IPv6 addresses there, and whether IPv6 is off at all. */
static void take_inet6(struct network_link *link, const struct nlattr *families)
{
	const struct nlattr *by_family[AF_INET6 + 1] = { 0 };
	const struct nlattr *places[IFLA_INET6_ADDR_GEN_MODE + 1] = { 0 };
	struct netlink_table family_table = { by_family, AF_INET6 };
	struct netlink_table table = { places, IFLA_INET6_ADDR_GEN_MODE };
	const struct nlattr *conf;
	const uint8_t *mode;
	int32_t off;

	if (families == NULL || mnl_attr_parse_nested(families, netlink_sort, &family_table) < 0 ||
	    by_family[AF_INET6] == NULL ||
	    mnl_attr_parse_nested(by_family[AF_INET6], netlink_sort, &table) < 0)
		return;
	mode = netlink_value(places[IFLA_INET6_ADDR_GEN_MODE], sizeof(*mode));
	link->no_link_local = mode != NULL && *mode == IN6_ADDR_GEN_MODE_NONE;
	conf = places[IFLA_INET6_CONF];
	if (conf == NULL ||
	    mnl_attr_get_payload_len(conf) < (DEVCONF_DISABLE_IPV6 + 1) * sizeof(off))
		return;
	memcpy(&off,
	       (const uint8_t *)mnl_attr_get_payload(conf) + DEVCONF_DISABLE_IPV6 * sizeof(off),
	       sizeof(off));
	link->no_ipv6 = off != 0;
}

/* A tap device of a VM of ours: true. Of this VM when its name says so; then it is remembered. */
static bool take_tap(struct network *network, const struct network_link *link, const char *kind,
		     const struct nlattr *alias)
{
	char text[64];
	struct network_tap *tap;
	uint32_t slot;

	bool macvtap = str_eq(kind, "macvtap");

	if ((!str_eq(kind, "tun") && !macvtap) ||
	    !network_tap_slot(link->name, network->sid, &slot))
		return false;
	if (slot >= LAUNCH_NET_MAX)
		return true;
	tap = &network->taps[slot];
	netlink_text(alias, text, sizeof(text));
	tap->index = link->index;
	tap->mtu = link->mtu;
	tap->macvtap = macvtap;
	network_tap_parse_alias(text, &tap->target, tap->mac);
	return true;
}

/* Somebody has taken it from the VM: see network_set_apart(). */
static bool is_apart(const struct nlattr *alias)
{
	const size_t len = strlen(NETWORK_APART);

	return alias != NULL && mnl_attr_get_payload_len(alias) >= len &&
	       memcmp(mnl_attr_get_payload(alias), NETWORK_APART, len) == 0;
}

static bool has_mac(const struct network *network, const uint8_t mac[6])
{
	for (uint32_t i = 0; i < network->n_links; i++)
		if (memcmp(network->links[i].mac, mac, sizeof(network->links[i].mac)) == 0)
			return true;
	return false;
}

/* Why an interface is not for a VM; NULL when it is. */
static const char *link_unfit(const struct network *network, const struct ifinfomsg *info,
			      const char *kind, const uint8_t *mac)
{
	if (mac == NULL || info->ifi_type != ARPHRD_ETHER || !kind_known(kind))
		return kind;
	return has_mac(network, mac) ? "its MAC address is that of another one" : NULL;
}

int network_take_link(const struct nlmsghdr *message, void *userdata, struct error *err)
{
	const struct nlattr *places[IFLA_AF_SPEC + 1] = { 0 };
	struct network *network = userdata;
	struct network_link link = { .slot = -1 };
	const struct ifinfomsg *info;
	const char *unfit;
	const void *mac;
	char kind[32];

	if (netlink_sort_message(message, sizeof(*info), places, IFLA_AF_SPEC) < 0 ||
	    !take_name(link.name, places[IFLA_IFNAME]))
		return malformed(err, "an interface");
	info = mnl_nlmsg_get_payload(message);
	link.index = info->ifi_index;
	link.mtu = take_u32(places[IFLA_MTU]);
	link.up = (info->ifi_flags & IFF_UP) != 0;
	link.noarp = (info->ifi_flags & IFF_NOARP) != 0;
	link_kind(places[IFLA_LINKINFO], kind, sizeof(kind));
	/* The port of a bridge or bond belongs to that one, which the VM gets. */
	if ((info->ifi_flags & IFF_LOOPBACK) != 0 || take_u32(places[IFLA_MASTER]) != 0 ||
	    take_tap(network, &link, kind, places[IFLA_IFALIAS]) || is_apart(places[IFLA_IFALIAS]))
		return 0;
	mac = netlink_value(places[IFLA_ADDRESS], sizeof(link.mac));
	unfit = link_unfit(network, info, kind, mac);
	if (unfit != NULL) {
		/* The kernel's own fallback tunnels are down, and nobody asked for them. */
		if (link.up)
			skip(network, link.name, unfit);
		return 0;
	}
	if (network->n_links >= LAUNCH_NET_MAX)
		return error_say(err, E2BIG, "more than %d network interfaces", LAUNCH_NET_MAX);
	memcpy(link.mac, mac, sizeof(link.mac));
	take_inet6(&link, places[IFLA_AF_SPEC]);
	network->links[network->n_links++] = link;
	return 0;
}

static void take_lifetime(struct network_address *address, const struct nlattr *attribute)
{
	const struct ifa_cacheinfo *info = netlink_value(attribute, sizeof(*info));
	bool permanent = (address->flags & IFA_F_PERMANENT) != 0 || info == NULL;

	address->valid_s = permanent ? UINT32_MAX : info->ifa_valid;
	address->preferred_s = info == NULL ? UINT32_MAX : info->ifa_prefered;
}

/* IFA_ADDRESS is the other end; without one it is the address itself. */
static bool take_ends(struct network_address *address, const struct nlattr *const *places)
{
	bool good = take_ip(&address->peer, address->family, places[IFA_ADDRESS]) &&
		    take_ip(&address->local, address->family, places[IFA_LOCAL]) &&
		    take_ip(&address->broadcast, address->family, places[IFA_BROADCAST]);

	if (address->local.len == 0)
		address->local = address->peer;
	if (memcmp(&address->local, &address->peer, sizeof(address->local)) == 0)
		address->peer = (struct network_ip){ 0 };
	return good && address->local.len > 0 && address->prefix <= address->local.len * 8;
}

int network_take_address(const struct nlmsghdr *message, void *userdata, struct error *err)
{
	const struct nlattr *places[IFA_FLAGS + 1] = { 0 };
	struct network_address address = { 0 };
	const struct ifaddrmsg *info;
	struct network_link *link;

	if (netlink_sort_message(message, sizeof(*info), places, IFA_FLAGS) < 0)
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
	take_lifetime(&address, places[IFA_CACHEINFO]);
	address.flags &= IFA_F_NOPREFIXROUTE | IFA_F_NODAD | IFA_F_HOMEADDRESS |
			 IFA_F_MANAGETEMPADDR | IFA_F_MCAUTOJOIN;
	if (!take_ends(&address, places))
		return malformed(err, "an address");
	if (take_name(address.label, places[IFA_LABEL]) && str_eq(address.label, link->name))
		memset(address.label, 0, sizeof(address.label));
	/* Its own link-local address shows that all that it shall have are here. */
	if (address.family == AF_INET6 && address.scope == RT_SCOPE_LINK)
		link->no_link_local = true;
	if (link->n_addresses >= NETWORK_ADDRESSES_MAX)
		return error_say(err, E2BIG, "interface %s has more than %d addresses", link->name,
				 NETWORK_ADDRESSES_MAX);
	link->addresses[link->n_addresses++] = address;
	return 0;
}

static void take_metrics(uint32_t values[NETWORK_METRICS_MAX], const struct nlattr *metrics)
{
	const struct nlattr *places[NETWORK_METRICS_MAX] = { 0 };
	struct netlink_table table = { places, NETWORK_METRICS_MAX - 1 };

	if (metrics == NULL || mnl_attr_parse_nested(metrics, netlink_sort, &table) < 0)
		return;
	for (uint32_t i = 0; i < NETWORK_METRICS_MAX; i++)
		if (i != RTAX_CC_ALGO) /* a name, of what the guest may not have */
			values[i] = take_u32(places[i]);
}

static uint32_t table_of(uint8_t small, const struct nlattr *large)
{
	return large != NULL ? take_u32(large) : small;
}

static void skip_table(struct network *network, const char *what, uint32_t table)
{
	char why[48];

	snprintf(why, sizeof(why), "policy routing: table %" PRIu32, table);
	skip(network, what, why);
}

/* Whether it is a route of a kind that is carried over: of the main table, not learnt. */
static bool route_matters(struct network *network, const struct rtmsg *info,
			  const struct nlattr *const *places)
{
	uint32_t table = table_of(info->rtm_table, places[RTA_TABLE]);

	if ((info->rtm_flags & RTM_F_CLONED) != 0 || info->rtm_protocol == RTPROT_REDIRECT ||
	    (info->rtm_family != AF_INET && info->rtm_family != AF_INET6) ||
	    info->rtm_type > RTN_THROW || info->rtm_type == RTN_UNSPEC)
		return false;
	if (table != RT_TABLE_MAIN && table != RT_TABLE_LOCAL && table != RT_TABLE_DEFAULT)
		skip_table(network, "routes", table);
	return table == RT_TABLE_MAIN;
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
	const struct nlattr *places[RTA_NH_ID + 1] = { 0 };
	struct network_route route = { 0 };
	struct network *network = userdata;
	const struct rtmsg *info;

	if (netlink_sort_message(message, sizeof(*info), places, RTA_NH_ID) < 0)
		return malformed(err, "a route");
	info = mnl_nlmsg_get_payload(message);
	if (!route_matters(network, info, places))
		return 0;
	if (places[RTA_MULTIPATH] != NULL || places[RTA_VIA] != NULL ||
	    (places[RTA_NH_ID] != NULL && places[RTA_OIF] == NULL)) {
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
	take_metrics(route.metrics, places[RTA_METRICS]);
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

	if (netlink_sort_message(message, sizeof(*info), places, NDA_LLADDR) < 0)
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

int network_take_rule(const struct nlmsghdr *message, void *userdata, struct error *err)
{
	const struct nlattr *places[FRA_TABLE + 1] = { 0 };
	const struct fib_rule_hdr *rule;
	uint32_t table;

	if (netlink_sort_message(message, sizeof(*rule), places, FRA_TABLE) < 0)
		return malformed(err, "a routing rule");
	rule = mnl_nlmsg_get_payload(message);
	table = table_of(rule->table, places[FRA_TABLE]);
	if (rule->action != FR_ACT_TO_TBL ||
	    (table != RT_TABLE_MAIN && table != RT_TABLE_LOCAL && table != RT_TABLE_DEFAULT))
		skip_table(userdata, "a routing rule", table);
	return 0;
}

/* Which interface has which tap device already. */
static void find_slots(struct network *network)
{
	for (int32_t slot = 0; slot < LAUNCH_NET_MAX; slot++) {
		const struct network_tap *tap = &network->taps[slot];
		struct network_link *link =
			tap->index != 0 ? find_link(network, tap->target) : NULL;

		if (link != NULL && memcmp(link->mac, tap->mac, sizeof(link->mac)) == 0)
			link->slot = slot;
	}
}

static int scan_once(struct netlink *netlink, const char *sid, struct network *network,
		     struct error *err)
{
	static const struct {
		uint16_t type;
		uint8_t family;
		bool may_miss; /* the kernel may have been built without it */
		netlink_each_fn *take;
	} steps[] = { { RTM_GETLINK, AF_UNSPEC, false, network_take_link },
		      { RTM_GETADDR, AF_INET, false, network_take_address },
		      { RTM_GETADDR, AF_INET6, true, network_take_address },
		      { RTM_GETROUTE, AF_INET, false, network_take_route },
		      { RTM_GETROUTE, AF_INET6, true, network_take_route },
		      { RTM_GETRULE, AF_INET, true, network_take_rule },
		      { RTM_GETRULE, AF_INET6, true, network_take_rule },
		      { RTM_GETNEIGH, AF_INET, false, network_take_neighbour },
		      { RTM_GETNEIGH, AF_INET6, true, network_take_neighbour } };

	memset(network, 0, sizeof(*network));
	snprintf(network->sid, sizeof(network->sid), "%s", sid);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int r;

		if (i == 1 && network->n_links == 0)
			return 0; /* only the loopback device */
		r = netlink_dump(netlink, steps[i].type, steps[i].family, steps[i].take, network,
				 err);
		if (r < 0 && !(steps[i].may_miss && (r == -EOPNOTSUPP || r == -EAFNOSUPPORT)))
			return r;
	}
	find_slots(network);
	return 0;
}

int network_scan(struct netlink *netlink, const char *sid, struct network *ret, struct error *err)
{
	int r = -EAGAIN;

	for (int i = 0; i < TRIES && r == -EAGAIN; i++)
		r = scan_once(netlink, sid, ret, err);
	return r < 0 ? error_prefix(err, "read the network") : 0;
}
