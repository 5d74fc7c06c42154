/*
 * The guest's network: see network.h. Called by requests.c for SET_NETWORK, before the first
 * container is made. The containers of a VM share its network, as those of a pod do.
 */
#include "kata-agent/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/log.h"
#include "common/str.h"
#include "kata-agent/netlink.h"

enum { DEVICE_MS = 5000, INTERFACES_MAX = 8 };

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
	bool good = i->mac.len == 6 && i->name[0] != '\0';

	for (uint32_t k = 0; good && k < i->n_addresses; k++) {
		const struct msg_address *a = &i->addresses[k];

		good = is_address(a->family, &a->local, true) &&
		       is_address(a->family, &a->peer, false) &&
		       is_address(a->family, &a->broadcast, false);
	}
	return good ? 0
		    : error_say(err, EINVAL, "interface %s: an address of a wrong size", i->name);
}

static int check(const struct msg_set_network *wanted, struct error *err)
{
	int r = 0;

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

static int wait_device(struct netlink *netlink, const struct msg_interface *wanted,
		       struct error *err)
{
	static const struct timespec pause = { .tv_nsec = 20000000 };
	int64_t deadline = deadline_in_ms(DEVICE_MS);
	int r;

	for (;;) {
		r = netlink_find(netlink, wanted->mac.data, err);
		if (r != -ENODEV || deadline_left_ms(deadline) == 0)
			return r;
		nanosleep(&pause, NULL);
	}
}

static void begin_link(struct netlink_request *request, int index, bool up)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC,
				  .ifi_index = index,
				  .ifi_flags = up ? IFF_UP : 0,
				  .ifi_change = up ? IFF_UP : 0 };

	netlink_begin(request, RTM_NEWLINK, 0, &link, sizeof(link));
}

static int rename_device(struct netlink *netlink, int index, const char *name, struct error *err)
{
	struct netlink_request request;
	char now[IF_NAMESIZE];

	if (if_indextoname((unsigned)index, now) != NULL && str_eq(now, name))
		return 0;
	begin_link(&request, index, false);
	netlink_add(&request, IFLA_IFNAME, name, strlen(name) + 1);
	return netlink_ask(netlink, &request, err);
}

/* Each first gets a name that nobody wants, since the names wanted may be those of the others. */
static int rename_all(struct netlink *netlink, const struct device *devices, uint32_t count,
		      struct error *err)
{
	int r = 0;

	for (uint32_t i = 0; i < count && r == 0; i++) {
		char now[IF_NAMESIZE] = "", temporary[IF_NAMESIZE];

		if (if_indextoname((unsigned)devices[i].index, now) != NULL &&
		    str_eq(now, devices[i].wanted->name))
			continue;
		snprintf(temporary, sizeof(temporary), "kata-net%u", i);
		r = rename_device(netlink, devices[i].index, temporary, err);
	}
	for (uint32_t i = 0; i < count && r == 0; i++) {
		r = rename_device(netlink, devices[i].index, devices[i].wanted->name, err);
		if (r < 0)
			error_prefix(err, "name interface %s", devices[i].wanted->name);
	}
	return r;
}

static int set_link(struct netlink *netlink, const struct device *device, bool up,
		    struct error *err)
{
	struct netlink_request request;
	int r;

	begin_link(&request, device->index, up);
	if (!up)
		netlink_add_u32(&request, IFLA_MTU, device->wanted->mtu);
	r = netlink_ask(netlink, &request, err);
	return r < 0 ? error_prefix(err, "interface %s", device->wanted->name) : 0;
}

/* A guest kernel may lack IPv6; the rest of the network is of use without it. */
static int tolerate(uint32_t family, int r, const char *what, const struct error *err)
{
	if (family != AF_INET6 || (r != -EOPNOTSUPP && r != -EAFNOSUPPORT))
		return r;
	log_warning("the guest's kernel has no IPv6", KV_S("left_out", what), KV_ERR(err));
	return 0;
}

/* An IPv6 address is used at once: the host's side has made sure already that it is unique. */
static int add_address(struct netlink *netlink, int index, const struct msg_address *a,
		       struct error *err)
{
	struct ifaddrmsg header = { .ifa_family = (uint8_t)a->family,
				    .ifa_prefixlen = (uint8_t)a->prefix,
				    .ifa_scope = (uint8_t)a->scope,
				    .ifa_index = (uint32_t)index };
	const struct wire_bin *other = a->peer.len > 0 ? &a->peer : &a->local;
	uint32_t flags = a->flags | (a->family == AF_INET6 ? IFA_F_NODAD : 0);
	struct netlink_request request;
	int r;

	netlink_begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &header, sizeof(header));
	netlink_add(&request, IFA_LOCAL, a->local.data, a->local.len);
	netlink_add(&request, IFA_ADDRESS, other->data, other->len);
	if (a->broadcast.len > 0)
		netlink_add(&request, IFA_BROADCAST, a->broadcast.data, a->broadcast.len);
	netlink_add_u32(&request, IFA_FLAGS, flags);
	r = netlink_ask(netlink, &request, err);
	return tolerate(a->family, r, "an address", err);
}

static int configure(struct netlink *netlink, const struct device *device, struct error *err)
{
	const struct msg_interface *wanted = device->wanted;
	int r = set_link(netlink, device, false, err);

	for (uint32_t i = 0; i < wanted->n_addresses && r == 0; i++) {
		r = add_address(netlink, device->index, &wanted->addresses[i], err);
		if (r < 0)
			error_prefix(err, "interface %s: address %u", wanted->name, i);
	}
	if (r == 0 && wanted->up)
		r = set_link(netlink, device, true, err);
	return r;
}

static int set_interfaces(struct netlink *netlink, const struct msg_set_network *wanted,
			  struct error *err)
{
	struct device devices[INTERFACES_MAX];
	int r = 0;

	if (wanted->n_interfaces > INTERFACES_MAX)
		return error_say(err, E2BIG, "more than %d interfaces", INTERFACES_MAX);
	for (uint32_t i = 0; i < wanted->n_interfaces; i++) {
		devices[i].wanted = &wanted->interfaces[i];
		devices[i].index = wait_device(netlink, devices[i].wanted, err);
		if (devices[i].index < 0)
			return error_prefix(err, "interface %s", devices[i].wanted->name);
	}
	r = rename_all(netlink, devices, wanted->n_interfaces, err);
	for (uint32_t i = 0; i < wanted->n_interfaces && r == 0; i++)
		r = configure(netlink, &devices[i], err);
	return r;
}

/* --- routes and neighbours ------------------------------------------------------------------ */

/* A name that is not there yields 0, which the kernel refuses where it needs one. */
static uint32_t device_index(const char *name)
{
	return name[0] != '\0' ? if_nametoindex(name) : 0;
}

static void add_route_mtu(struct netlink_request *request, uint32_t mtu)
{
	size_t metrics = netlink_nest(request, RTA_METRICS);

	netlink_add_u32(request, RTAX_MTU, mtu);
	netlink_nest_end(request, metrics);
}

static int add_route(struct netlink *netlink, const struct msg_route *t, struct error *err)
{
	struct rtmsg header = { .rtm_family = (uint8_t)t->family,
				.rtm_dst_len = (uint8_t)t->prefix,
				.rtm_table = RT_TABLE_MAIN,
				.rtm_protocol = (uint8_t)t->protocol,
				.rtm_scope = (uint8_t)t->scope,
				.rtm_type = (uint8_t)t->type,
				.rtm_flags = t->flags & RTNH_F_ONLINK };
	struct netlink_request request;

	netlink_begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &header,
		      sizeof(header));
	if (t->destination.len > 0)
		netlink_add(&request, RTA_DST, t->destination.data, t->destination.len);
	if (t->gateway.len > 0)
		netlink_add(&request, RTA_GATEWAY, t->gateway.data, t->gateway.len);
	if (t->source.len > 0)
		netlink_add(&request, RTA_PREFSRC, t->source.data, t->source.len);
	if (t->device[0] != '\0')
		netlink_add_u32(&request, RTA_OIF, device_index(t->device));
	if (t->metric != 0)
		netlink_add_u32(&request, RTA_PRIORITY, t->metric);
	if (t->mtu != 0)
		add_route_mtu(&request, t->mtu);
	return tolerate(t->family, netlink_ask(netlink, &request, err), "a route", err);
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

static int set_neighbours(struct netlink *netlink, const struct msg_set_network *wanted,
			  struct error *err)
{
	for (uint32_t i = 0; i < wanted->n_neighbours; i++) {
		const struct msg_neighbour *n = &wanted->neighbours[i];
		struct ndmsg header = { .ndm_family = (uint8_t)n->family,
					.ndm_ifindex = (int32_t)device_index(n->device),
					.ndm_state = NUD_PERMANENT };
		struct netlink_request request;
		int r;

		netlink_begin(&request, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &header,
			      sizeof(header));
		netlink_add(&request, NDA_DST, n->address.data, n->address.len);
		netlink_add(&request, NDA_LLADDR, n->mac.data, n->mac.len);
		r = tolerate(n->family, netlink_ask(netlink, &request, err), "a neighbour", err);
		if (r < 0)
			return error_prefix(err, "neighbour %u on %s", i, n->device);
	}
	return 0;
}

int network_set(const struct msg_set_network *wanted, struct error *err)
{
	CLEANUP(netlink_close) struct netlink netlink = { .fd = -1 };
	int r = check(wanted, err);

	if (r == 0)
		r = netlink_open(&netlink, err);
	if (r == 0)
		r = set_interfaces(&netlink, wanted, err);
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
