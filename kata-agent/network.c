/*
 * The guest's network: see network.h. Called by network-wait.c for SET_NETWORK.
 */
#include "kata-agent/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/str.h"
#include "kata-agent/netlink.h"

enum { INTERFACES_MAX = 8 };

struct device {
	int index;
	const struct msg_interface *wanted;
};

/* --- checks --------------------------------------------------------------------------------- */

/* Whether the bytes are an address of the family, or none where that is allowed. */
static bool is_address(uint32_t family, const struct wire_bin *bin, bool needed)
{
	if (family != AF_INET && family != AF_INET6)
		return false;
	return bin->len == (family == AF_INET ? 4 : 16) || (bin->len == 0 && !needed);
}

static int check_interface(const struct msg_interface *i, struct error *err)
{
	/* A name that is a way out of a directory of /proc/sys is none for the kernel either. */
	bool good = i->mac.len == 6 && i->name[0] != '\0' && i->name[0] != '.' &&
		    strchr(i->name, '/') == NULL;

	for (uint32_t k = 0; good && k < i->n_addresses; k++) {
		const struct msg_address *a = &i->addresses[k];

		good = is_address(a->family, &a->local, true) &&
		       is_address(a->family, &a->peer, false) &&
		       is_address(a->family, &a->broadcast, false);
	}
	return good ? 0
		    : error_say(err, EINVAL, "interface %s: its name or an address is none",
				i->name);
}

int network_check(const struct msg_set_network *wanted, struct error *err)
{
	int r = 0;

	if (wanted->n_interfaces > INTERFACES_MAX)
		return error_say(err, EINVAL, "more than %d interfaces", INTERFACES_MAX);
	for (uint32_t i = 0; i < wanted->n_interfaces && r == 0; i++)
		r = check_interface(&wanted->interfaces[i], err);
	for (uint32_t i = 0; i < wanted->n_routes && r == 0; i++) {
		const struct msg_route *t = &wanted->routes[i];

		if (!is_address(t->family, &t->destination, t->prefix > 0) ||
		    !is_address(t->family, &t->gateway, false) ||
		    !is_address(t->family, &t->source, false))
			r = error_say(err, EINVAL, "route %u: an address of a wrong size", i);
	}
	for (uint32_t i = 0; i < wanted->n_neighbours && r == 0; i++) {
		const struct msg_neighbour *n = &wanted->neighbours[i];

		if (!is_address(n->family, &n->address, true) || n->mac.len != 6)
			r = error_say(err, EINVAL, "neighbour %u: an address of a wrong size", i);
	}
	return r;
}

/* --- interfaces ----------------------------------------------------------------------------- */

/* change: the flags that are to be as given. */
static void begin_link(struct netlink_request *request, int index, unsigned flags, unsigned change)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC,
				  .ifi_index = index,
				  .ifi_flags = flags,
				  .ifi_change = change };

	netlink_begin(request, RTM_NEWLINK, 0, &link, sizeof(link));
}

static int set_up(struct netlink *netlink, int index, bool up, struct error *err)
{
	struct netlink_request request;

	begin_link(&request, index, up ? IFF_UP : 0, IFF_UP);
	return netlink_ask(netlink, &request, err);
}

/* Kernels before 6.2 rename only what is down; what it loses by that is set up again after it. */
static int rename_device(struct netlink *netlink, int index, const char *name, struct error *err)
{
	struct netlink_request request;
	char now[IF_NAMESIZE];
	int r;

	if (if_indextoname((unsigned)index, now) != NULL && str_eq(now, name))
		return 0;
	r = set_up(netlink, index, false, err);
	if (r < 0)
		return r;
	begin_link(&request, index, 0, 0);
	netlink_add(&request, IFLA_IFNAME, name, strlen(name) + 1);
	return netlink_ask(netlink, &request, err);
}

/* A name that is wanted may be that of a device that is not: the kernel gave it. */
static int free_name(struct netlink *netlink, const struct device *devices, uint32_t count,
		     uint32_t wanted, struct error *err)
{
	int index = (int)if_nametoindex(devices[wanted].wanted->name);
	char temporary[IF_NAMESIZE];

	for (uint32_t i = 0; i < count; i++)
		if (devices[i].index == index)
			return 0;
	if (index == 0)
		return 0;
	snprintf(temporary, sizeof(temporary), "old%d", index);
	return rename_device(netlink, index, temporary, err);
}

/* Each first gets a name that nobody wants, since the names wanted may be those of the others. */
static int rename_all(struct netlink *netlink, const struct device *devices, uint32_t count,
		      struct error *err)
{
	int r = 0;

	for (uint32_t i = 0; i < count && r == 0; i++)
		r = free_name(netlink, devices, count, i, err);
	for (uint32_t i = 0; i < count && r == 0; i++) {
		char now[IF_NAMESIZE] = "", temporary[IF_NAMESIZE];

		if (if_indextoname((unsigned)devices[i].index, now) != NULL &&
		    str_eq(now, devices[i].wanted->name))
			continue;
		snprintf(temporary, sizeof(temporary), "kata-net%hhu", (uint8_t)i);
		r = rename_device(netlink, devices[i].index, temporary, err);
	}
	for (uint32_t i = 0; i < count && r == 0; i++) {
		r = rename_device(netlink, devices[i].index, devices[i].wanted->name, err);
		if (r < 0)
			error_prefix(err, "name interface %s", devices[i].wanted->name);
	}
	return r;
}

static void write_sysctl(const char *device, const char *name, const char *value)
{
	CLEANUP(fd_close) int fd = -1;
	char path[128];

	if (str_format(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", device, name) < 0)
		return;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		log_debug("a kernel parameter was not set", KV_S("path", path), KV("errno", errno));
}

/* Its own addresses are used at once: the host's side has made sure that they are unique. */
static void set_inet6(struct netlink *netlink, const struct device *device)
{
	const struct msg_interface *wanted = device->wanted;
	struct netlink_request request;
	struct error err;
	size_t families, inet6;
	uint8_t mode = wanted->no_link_local ? IN6_ADDR_GEN_MODE_NONE : IN6_ADDR_GEN_MODE_EUI64;

	write_sysctl(wanted->name, "accept_dad", "0");
	write_sysctl(wanted->name, "dad_transmits", "0");
	write_sysctl(wanted->name, "disable_ipv6", wanted->no_ipv6 ? "1" : "0");
	begin_link(&request, device->index, 0, 0);
	families = netlink_nest(&request, IFLA_AF_SPEC);
	inet6 = netlink_nest(&request, AF_INET6);
	netlink_add(&request, IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof(mode));
	netlink_nest_end(&request, inet6);
	netlink_nest_end(&request, families);
	if (netlink_ask(netlink, &request, &err) < 0)
		log_debug("no choice of IPv6 addresses", KV_S("interface", wanted->name),
			  KV_ERR(&err));
}

static int set_link(struct netlink *netlink, const struct device *device, struct error *err)
{
	const struct msg_interface *wanted = device->wanted;
	struct netlink_request request;
	int r;

	begin_link(&request, device->index, wanted->noarp ? IFF_NOARP : 0, IFF_NOARP);
	netlink_add_u32(&request, IFLA_MTU, wanted->mtu);
	r = netlink_ask(netlink, &request, err);
	if (r == 0 && !wanted->up)
		r = set_up(netlink, device->index, false, err);
	return r < 0 ? error_prefix(err, "interface %s", wanted->name) : 0;
}

/* A guest kernel may lack IPv6; the rest of the network is of use without it. */
static int tolerate(uint32_t family, int r, const char *what, const struct error *err)
{
	if (family != AF_INET6 || (r != -EOPNOTSUPP && r != -EAFNOSUPPORT))
		return r;
	log_warning("the guest's kernel has no IPv6", KV_S("left_out", what), KV_ERR(err));
	return 0;
}

static void begin_address(struct netlink_request *request, uint16_t type, uint16_t flags, int index,
			  const struct msg_address *a)
{
	struct ifaddrmsg header = { .ifa_family = (uint8_t)a->family,
				    .ifa_prefixlen = (uint8_t)a->prefix,
				    .ifa_scope = (uint8_t)a->scope,
				    .ifa_index = (uint32_t)index };
	const struct wire_bin *other = a->peer.len > 0 ? &a->peer : &a->local;

	netlink_begin(request, type, flags, &header, sizeof(header));
	netlink_add(request, IFA_LOCAL, a->local.data, a->local.len);
	netlink_add(request, IFA_ADDRESS, other->data, other->len);
}

static int add_address(struct netlink *netlink, int index, const struct msg_address *a,
		       struct error *err)
{
	const struct ifa_cacheinfo times = { .ifa_valid = a->valid_s,
					     .ifa_prefered = a->preferred_s };
	struct netlink_request request;
	int r;

	begin_address(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, index, a);
	if (a->broadcast.len > 0)
		netlink_add(&request, IFA_BROADCAST, a->broadcast.data, a->broadcast.len);
	if (a->limited)
		netlink_add(&request, IFA_CACHEINFO, &times, sizeof(times));
	if (a->family == AF_INET && a->label != NULL && a->label[0] != '\0')
		netlink_add(&request, IFA_LABEL, a->label, strlen(a->label) + 1);
	netlink_add_u32(&request, IFA_FLAGS, a->flags | (a->family == AF_INET6 ? IFA_F_NODAD : 0));
	r = netlink_ask(netlink, &request, err);
	return tolerate(a->family, r, "an address", err);
}

static int configure(struct netlink *netlink, const struct device *device, struct error *err)
{
	const struct msg_interface *wanted = device->wanted;
	int r = set_link(netlink, device, err);

	set_inet6(netlink, device);
	for (uint32_t i = 0; i < wanted->n_addresses && r == 0; i++) {
		r = add_address(netlink, device->index, &wanted->addresses[i], err);
		if (r < 0)
			error_prefix(err, "interface %s: address %u", wanted->name, i);
	}
	if (r == 0 && wanted->up) {
		r = set_up(netlink, device->index, true, err);
		if (r < 0)
			error_prefix(err, "interface %s", wanted->name);
	}
	return r;
}

static int find_devices(struct netlink *netlink, const struct msg_set_network *wanted,
			struct device devices[INTERFACES_MAX], struct error *err)
{
	for (uint32_t i = 0; i < wanted->n_interfaces; i++) {
		devices[i].wanted = &wanted->interfaces[i];
		devices[i].index = netlink_find(netlink, devices[i].wanted->mac.data, err);
		if (devices[i].index < 0)
			return error_prefix(err, "interface %s", devices[i].wanted->name);
	}
	return 0;
}

/* --- routes and neighbours ------------------------------------------------------------------ */

/* A name that is not there yields 0, which the kernel refuses where it needs one. */
static uint32_t device_index(const char *name)
{
	return name[0] != '\0' ? if_nametoindex(name) : 0;
}

static void add_metrics(struct netlink_request *request, const struct msg_route *t)
{
	size_t nest = netlink_nest(request, RTA_METRICS);

	for (uint32_t i = 0; i < t->n_properties; i++)
		netlink_add_u32(request, (uint16_t)t->properties[i].kind, t->properties[i].value);
	netlink_nest_end(request, nest);
}

static void make_route(struct netlink_request *request, uint16_t type, uint16_t flags,
		       const struct msg_route *t)
{
	struct rtmsg header = { .rtm_family = (uint8_t)t->family,
				.rtm_dst_len = (uint8_t)t->prefix,
				.rtm_table = RT_TABLE_MAIN,
				.rtm_protocol = (uint8_t)t->protocol,
				.rtm_scope = (uint8_t)t->scope,
				.rtm_type = (uint8_t)t->type,
				.rtm_flags = t->flags & RTNH_F_ONLINK };

	netlink_begin(request, type, flags, &header, sizeof(header));
	if (t->destination.len > 0)
		netlink_add(request, RTA_DST, t->destination.data, t->destination.len);
	if (t->gateway.len > 0)
		netlink_add(request, RTA_GATEWAY, t->gateway.data, t->gateway.len);
	if (t->source.len > 0)
		netlink_add(request, RTA_PREFSRC, t->source.data, t->source.len);
	if (t->device[0] != '\0')
		netlink_add_u32(request, RTA_OIF, device_index(t->device));
	if (t->metric != 0)
		netlink_add_u32(request, RTA_PRIORITY, t->metric);
	if (t->n_properties > 0)
		add_metrics(request, t);
}

static int add_route(struct netlink *netlink, const struct msg_route *t, struct error *err)
{
	struct netlink_request request;
	int r;

	/* Another route to the same network, through another interface, stays beside it. */
	make_route(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, t);
	r = netlink_ask(netlink, &request, err);
	return r == -EEXIST ? 0 : tolerate(t->family, r, "a route", err);
}

bool network_route_first(const struct msg_route *a, const struct msg_route *b)
{
	if ((a->gateway.len == 0) != (b->gateway.len == 0))
		return a->gateway.len == 0;
	/* A router that a route through another router leads to: the narrower network first. */
	return a->gateway.len > 0 && a->prefix > b->prefix;
}

static int set_routes(struct netlink *netlink, const struct msg_set_network *wanted,
		      struct error *err)
{
	/* 256 at most: the simplest sort is fast enough. */
	for (uint32_t i = 1; i < wanted->n_routes; i++)
		for (uint32_t k = i;
		     k > 0 && network_route_first(&wanted->routes[k], &wanted->routes[k - 1]);
		     k--) {
			struct msg_route t = wanted->routes[k];

			wanted->routes[k] = wanted->routes[k - 1];
			wanted->routes[k - 1] = t;
		}
	for (uint32_t i = 0; i < wanted->n_routes; i++) {
		const struct msg_route *t = &wanted->routes[i];
		char destination[INET6_ADDRSTRLEN] = "default";
		int r = add_route(netlink, t, err);

		if (r < 0 && t->destination.len > 0)
			inet_ntop((int)t->family, t->destination.data, destination,
				  sizeof(destination));
		if (r < 0)
			return error_prefix(err, "route %s/%u on %s", destination, t->prefix,
					    t->device);
	}
	return 0;
}

static void make_neighbour(struct netlink_request *request, uint16_t type, uint16_t flags,
			   const struct msg_neighbour *n)
{
	struct ndmsg header = { .ndm_family = (uint8_t)n->family,
				.ndm_ifindex = (int32_t)device_index(n->device),
				.ndm_state = NUD_PERMANENT };

	netlink_begin(request, type, flags, &header, sizeof(header));
	netlink_add(request, NDA_DST, n->address.data, n->address.len);
	netlink_add(request, NDA_LLADDR, n->mac.data, n->mac.len);
}

static int set_neighbours(struct netlink *netlink, const struct msg_set_network *wanted,
			  struct error *err)
{
	for (uint32_t i = 0; i < wanted->n_neighbours; i++) {
		const struct msg_neighbour *n = &wanted->neighbours[i];
		struct netlink_request request;
		int r;

		make_neighbour(&request, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, n);
		r = tolerate(n->family, netlink_ask(netlink, &request, err), "a neighbour", err);
		if (r < 0)
			return error_prefix(err, "neighbour %u on %s", i, n->device);
	}
	return 0;
}

/* --- what is no longer wanted ----------------------------------------------------------------- */

static bool same_bin(const struct wire_bin *a, const struct wire_bin *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static const struct msg_interface *find_interface(const struct msg_set_network *network,
						  const struct wire_bin *mac)
{
	for (uint32_t i = 0; i < network->n_interfaces; i++)
		if (same_bin(&network->interfaces[i].mac, mac))
			return &network->interfaces[i];
	return NULL;
}

static bool has_address(const struct msg_interface *interface, const struct msg_address *a)
{
	for (uint32_t i = 0; i < interface->n_addresses; i++) {
		const struct msg_address *b = &interface->addresses[i];

		if (a->family == b->family && a->prefix == b->prefix &&
		    same_bin(&a->local, &b->local) && same_bin(&a->peer, &b->peer))
			return true;
	}
	return false;
}

static bool same_properties(const struct msg_route *a, const struct msg_route *b)
{
	if (a->n_properties != b->n_properties)
		return false;
	for (uint32_t i = 0; i < a->n_properties; i++)
		if (a->properties[i].kind != b->properties[i].kind ||
		    a->properties[i].value != b->properties[i].value)
			return false;
	return true;
}

static bool has_route(const struct msg_set_network *network, const struct msg_route *a)
{
	for (uint32_t i = 0; i < network->n_routes; i++) {
		const struct msg_route *b = &network->routes[i];

		if (a->family == b->family && a->prefix == b->prefix && a->metric == b->metric &&
		    a->type == b->type && a->scope == b->scope && a->flags == b->flags &&
		    a->protocol == b->protocol && str_eq(a->device, b->device) &&
		    same_bin(&a->destination, &b->destination) &&
		    same_bin(&a->gateway, &b->gateway) && same_bin(&a->source, &b->source) &&
		    same_properties(a, b))
			return true;
	}
	return false;
}

static bool has_neighbour(const struct msg_set_network *network, const struct msg_neighbour *a)
{
	for (uint32_t i = 0; i < network->n_neighbours; i++) {
		const struct msg_neighbour *b = &network->neighbours[i];

		if (a->family == b->family && str_eq(a->device, b->device) &&
		    same_bin(&a->address, &b->address))
			return true;
	}
	return false;
}

/* It may have gone by itself, with its interface or address: nothing is wrong then. */
static void take_away(struct netlink *netlink, struct netlink_request *request, const char *what)
{
	struct error err;

	if (netlink_ask(netlink, request, &err) < 0)
		log_debug("what is not wanted any more was gone", KV_S("what", what), KV_ERR(&err));
}

static void remove_addresses(struct netlink *netlink, const struct msg_interface *before,
			     const struct msg_interface *wanted)
{
	struct netlink_request request;
	struct error err;
	int index = netlink_find(netlink, before->mac.data, &err);

	if (index < 0)
		return;
	if (wanted == NULL) {
		set_up(netlink, index, false, &err);
		return;
	}
	for (uint32_t i = 0; i < before->n_addresses; i++) {
		if (has_address(wanted, &before->addresses[i]))
			continue;
		begin_address(&request, RTM_DELADDR, 0, index, &before->addresses[i]);
		take_away(netlink, &request, "an address");
	}
}

/* Runs before interfaces are renamed: the names are those of then. */
static void remove_old(struct netlink *netlink, const struct msg_set_network *before,
		       const struct msg_set_network *wanted)
{
	struct netlink_request request;

	for (uint32_t i = 0; i < before->n_neighbours; i++) {
		if (has_neighbour(wanted, &before->neighbours[i]))
			continue;
		make_neighbour(&request, RTM_DELNEIGH, 0, &before->neighbours[i]);
		take_away(netlink, &request, "a neighbour");
	}
	for (uint32_t i = 0; i < before->n_routes; i++) {
		if (has_route(wanted, &before->routes[i]))
			continue;
		make_route(&request, RTM_DELROUTE, 0, &before->routes[i]);
		take_away(netlink, &request, "a route");
	}
	for (uint32_t i = 0; i < before->n_interfaces; i++)
		remove_addresses(netlink, &before->interfaces[i],
				 find_interface(wanted, &before->interfaces[i].mac));
}

int network_set(const struct msg_set_network *wanted, const struct msg_set_network *before,
		struct error *err)
{
	CLEANUP(netlink_close) struct netlink netlink = { .fd = -1 };
	struct device devices[INTERFACES_MAX];
	int r = network_check(wanted, err);

	if (r == 0)
		r = netlink_open(&netlink, err);
	if (r == 0)
		r = find_devices(&netlink, wanted, devices, err);
	if (r < 0)
		return error_prefix(err, "network");
	if (before != NULL)
		remove_old(&netlink, before, wanted);
	r = rename_all(&netlink, devices, wanted->n_interfaces, err);
	for (uint32_t i = 0; i < wanted->n_interfaces && r == 0; i++)
		r = configure(&netlink, &devices[i], err);
	if (r == 0)
		r = set_routes(&netlink, wanted, err);
	if (r == 0)
		r = set_neighbours(&netlink, wanted, err);
	if (r < 0)
		return error_prefix(err, "network");
	log_info("network configured", KV("interfaces", wanted->n_interfaces),
		 KV("routes", wanted->n_routes));
	return 0;
}
