/*
 * Routes that are replaced: see network-routes.h. Parsed in kata-runtime by cmd-network.c, applied
 * in the network's child process.
 */
#include "kata-runtime/network-routes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

enum { TEXT_MAX = 64 };

/* --- what is wanted -------------------------------------------------------------------------- */

/* Sets the family, or finds that it is another one. */
static int take_family(const struct json_at *at, struct network_route *route, uint32_t family,
		       struct error *err)
{
	if (route->family != 0 && route->family != family)
		return json_error(at, err, "addresses of both families");
	route->family = family;
	return 0;
}

static int take_ip(const struct json_at *at, const char *key, const char *text,
		   struct network_route *route, struct network_ip *ret, struct error *err)
{
	uint32_t family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;

	if (inet_pton((int)family, text, ret->bytes) != 1)
		return json_error(at, err, "%s: expected an address", key);
	ret->len = family == AF_INET ? 4 : 16;
	return take_family(at, route, family, err);
}

static bool has_host_bits(const struct network_ip *ip, uint32_t prefix)
{
	for (uint32_t bit = prefix; bit < ip->len * 8; bit++)
		if (ip->bytes[bit / 8] & (0x80 >> bit % 8))
			return true;
	return false;
}

/* "10.0.0.0/8"; a default route is "", "default", or has the prefix 0. */
static int take_destination(const struct json_at *at, char *text, struct network_route *route,
			    struct error *err)
{
	char *slash = strchr(text, '/');
	uint64_t prefix;
	int r;

	if (text[0] == '\0' || str_eq(text, "default"))
		return 0;
	if (slash != NULL)
		*slash = '\0';
	r = take_ip(at, "dest", text, route, &route->destination, err);
	if (r < 0)
		return r;
	prefix = route->destination.len * 8;
	if (slash != NULL && str_to_u64(slash + 1, prefix, &prefix) < 0)
		return json_error(at, err, "dest: \"%s\" is no length of a network", slash + 1);
	if (has_host_bits(&route->destination, (uint32_t)prefix))
		return json_error(at, err, "dest: bits beyond its network's are set");
	route->prefix = (uint32_t)prefix;
	if (prefix == 0)
		route->destination = (struct network_ip){ 0 };
	return 0;
}

static int take_optional_ip(const struct json_at *at, const char *key, struct network_route *route,
			    struct network_ip *ret, struct error *err)
{
	CLEANUP(freep) char *text = NULL;
	int r = json_get_string(at, key, TEXT_MAX, &text, err);

	if (r < 0 || text == NULL || text[0] == '\0')
		return r < 0 ? r : 0;
	return take_ip(at, key, text, route, ret, err);
}

/* What says nothing of the family is IPv4, unless the number of Kata's says otherwise. */
static int take_numbers(const struct json_at *at, struct network_route *route, struct error *err)
{
	uint32_t family = UINT32_MAX, scope = RT_SCOPE_UNIVERSE, flags = 0;
	int r = json_get_u32(at, "family", 1, &family, err);

	if (r >= 0)
		r = json_get_u32(at, "scope", RT_SCOPE_NOWHERE, &scope, err);
	if (r >= 0)
		r = json_get_u32(at, "flags", RTNH_F_ONLINK, &flags, err);
	if (r >= 0 && family != UINT32_MAX)
		r = take_family(at, route, family == 0 ? AF_INET : AF_INET6, err);
	if (r < 0)
		return r;
	if (route->family == 0)
		route->family = AF_INET;
	if (route->family == AF_INET && scope == RT_SCOPE_UNIVERSE && route->gateway.len == 0)
		scope = RT_SCOPE_LINK;
	route->scope = scope;
	route->flags = flags & RTNH_F_ONLINK;
	return 0;
}

static int parse_route(const struct json_at *at, struct network_route *ret, struct error *err)
{
	CLEANUP(freep) char *destination = NULL;
	CLEANUP(freep) char *device = NULL;
	int r = json_need_object(at, err);

	*ret = (struct network_route){ .type = RTN_UNICAST, .protocol = RTPROT_STATIC };
	if (r < 0 || (r = json_get_string(at, "dest", TEXT_MAX, &destination, err)) < 0 ||
	    (r = json_get_string(at, "device", NETWORK_NAME_SIZE - 1, &device, err)) < 0)
		return r;
	if (device != NULL)
		memcpy(ret->device, device, strlen(device));
	r = destination == NULL ? 0 : take_destination(at, destination, ret, err);
	if (r == 0)
		r = take_optional_ip(at, "gateway", ret, &ret->gateway, err);
	if (r == 0)
		r = take_optional_ip(at, "source", ret, &ret->source, err);
	return r < 0 ? r : take_numbers(at, ret, err);
}

int network_routes_parse(const struct json_at *list, struct network_routes *ret, struct error *err)
{
	int r = json_need_list(list, NETWORK_ROUTES_MAX, err);

	ret->n = 0;
	for (size_t i = 0; r == 0 && i < json_count(list); i++) {
		struct json_at at = json_item(list, i);

		r = parse_route(&at, &ret->items[ret->n++], err);
	}
	return r;
}

/* --- making it so ---------------------------------------------------------------------------- */

static void put_ip(struct nlmsghdr *header, uint16_t type, const struct network_ip *ip)
{
	if (ip->len > 0)
		mnl_attr_put(header, type, ip->len, ip->bytes);
}

static void put_metrics(struct nlmsghdr *header, const struct network_route *route)
{
	struct nlattr *metrics = NULL;

	for (uint16_t i = 0; i < NETWORK_METRICS_MAX; i++) {
		if (route->metrics[i] == 0)
			continue;
		if (metrics == NULL)
			metrics = mnl_attr_nest_start(header, RTA_METRICS);
		mnl_attr_put_u32(header, i, route->metrics[i]);
	}
	if (metrics != NULL)
		mnl_attr_nest_end(header, metrics);
}

static const struct network_link *find_device(const struct network *network, const char *name)
{
	for (uint32_t i = 0; i < network->n_links; i++)
		if (str_eq(network->links[i].name, name))
			return &network->links[i];
	return NULL;
}

static int tell(struct netlink *netlink, const struct network *network, uint16_t type,
		uint16_t flags, const struct network_route *route, struct error *err)
{
	const struct network_link *link = find_device(network, route->device);
	struct netlink_request request;
	struct nlmsghdr *header = netlink_begin(&request, type, flags);
	struct rtmsg *body = mnl_nlmsg_put_extra_header(header, sizeof(*body));

	body->rtm_family = (uint8_t)route->family;
	body->rtm_dst_len = (uint8_t)route->prefix;
	body->rtm_table = RT_TABLE_MAIN;
	body->rtm_type = (uint8_t)route->type;
	body->rtm_scope = (uint8_t)route->scope;
	body->rtm_protocol = (uint8_t)route->protocol;
	body->rtm_flags = route->flags;
	put_ip(header, RTA_DST, &route->destination);
	put_ip(header, RTA_GATEWAY, &route->gateway);
	put_ip(header, RTA_PREFSRC, &route->source);
	if (link != NULL)
		mnl_attr_put_u32(header, RTA_OIF, (uint32_t)link->index);
	if (route->metric != 0)
		mnl_attr_put_u32(header, RTA_PRIORITY, route->metric);
	put_metrics(header, route);
	return netlink_ask(netlink, header, err);
}

/* As far as an operator gives it: two that differ by their metric are one. */
static bool same_route(const struct network_route *a, const struct network_route *b)
{
	return a->family == b->family && a->prefix == b->prefix && str_eq(a->device, b->device) &&
	       memcmp(&a->destination, &b->destination, sizeof(a->destination)) == 0 &&
	       memcmp(&a->gateway, &b->gateway, sizeof(a->gateway)) == 0 &&
	       memcmp(&a->source, &b->source, sizeof(a->source)) == 0;
}

static bool stays(const struct network_route *route)
{
	return route->protocol == RTPROT_KERNEL || route->type != RTN_UNICAST;
}

static bool is_wanted(const struct network_routes *routes, const struct network_route *route)
{
	for (uint32_t i = 0; i < routes->n; i++)
		if (same_route(&routes->items[i], route))
			return true;
	return false;
}

/* Whether item number i of the list stands before in it. */
static bool is_again(const struct network_routes *routes, uint32_t i)
{
	for (uint32_t k = 0; k < i; k++)
		if (same_route(&routes->items[k], &routes->items[i]))
			return true;
	return false;
}

static bool is_there(const struct network *network, const struct network_route *route)
{
	for (uint32_t i = 0; i < network->n_routes; i++)
		if (same_route(&network->routes[i], route))
			return true;
	return false;
}

/* Those without a gateway, or those with one, which may lie behind one of the former. */
static int add_new(struct netlink *netlink, const struct network *network,
		   const struct network_routes *routes, bool gateways, struct error *err)
{
	for (uint32_t i = 0; i < routes->n; i++) {
		const struct network_route *route = &routes->items[i];
		int r;

		if ((route->gateway.len > 0) != gateways || is_there(network, route) ||
		    is_again(routes, i))
			continue;
		r = tell(netlink, network, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route, err);
		if (r < 0)
			return error_prefix(err, "route %u of the list", i);
	}
	return 0;
}

static void restore(struct netlink *netlink, const struct network *network,
		    const struct network_routes *routes)
{
	struct error ignored;

	for (uint32_t i = 0; i < routes->n; i++)
		if (!is_there(network, &routes->items[i]))
			tell(netlink, network, RTM_DELROUTE, 0, &routes->items[i], &ignored);
	for (int gateways = 0; gateways < 2; gateways++)
		for (uint32_t i = 0; i < network->n_routes; i++)
			if ((network->routes[i].gateway.len > 0) == gateways)
				tell(netlink, network, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL,
				     &network->routes[i], &ignored);
}

/* First those with a gateway, whose gateway may lie behind another one. */
static int remove_old(struct netlink *netlink, const struct network *network,
		      const struct network_routes *routes, bool gateways, struct error *err)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < network->n_routes; i++) {
		const struct network_route *route = &network->routes[i];

		if ((route->gateway.len > 0) != gateways || stays(route) ||
		    is_wanted(routes, route))
			continue;
		r = tell(netlink, network, RTM_DELROUTE, 0, route, err);
		if (r == -ESRCH)
			r = 0; /* gone with another one */
	}
	return r < 0 ? error_prefix(err, "remove a route") : 0;
}

int network_routes_replace(struct netlink *netlink, const struct network *network,
			   const struct network_routes *routes, struct error *err)
{
	int r = 0;

	for (uint32_t i = 0; i < routes->n; i++)
		if (find_device(network, routes->items[i].device) == NULL &&
		    !is_there(network, &routes->items[i]))
			return error_say(err, ENODEV,
					 "route %u of the list: there is no interface \"%s\"", i,
					 routes->items[i].device);
	/* Two ways to one destination cannot both be there with one metric: old ones go first. */
	r = remove_old(netlink, network, routes, true, err);
	if (r == 0)
		r = remove_old(netlink, network, routes, false, err);
	if (r == 0)
		r = add_new(netlink, network, routes, false, err);
	if (r == 0)
		r = add_new(netlink, network, routes, true, err);
	if (r < 0)
		restore(netlink, network, routes);
	return r;
}
