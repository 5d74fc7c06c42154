/*
 * The filters that join an interface to a tap device: see network-filter.h. Called by
 * network-tap.c, in the network's child process and in netmon. A filter matches every frame by u32
 * with an empty mask, which kernels have longer than matchall.
 *
 * What is ours the filter's priority tells, and also whether the qdisc below it is: qdisc and
 * filter are made by one system call and go by one, so a qdisc of ours without a filter is never
 * left.
 *
 * Before it stand, where a program for it is given, filters for what the host itself waits for: see
 * network-host.h.
 */
#include "kata-runtime/network-filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"

enum {
	PRIORITY_HOST = 0x4b70,     /* "Kp": answers to sockets of the host, */
	PRIORITY_HOST_ARP = 0x4b71, /* and who its neighbours are, in IPv4 */
	PRIORITY_HOST_NDP = 0x4b72, /* and in IPv6 */
	PRIORITY_OWN = 0x4b74,      /* everything, on a qdisc of ours */
	PRIORITY_GUEST = 0x4b75,    /* everything, on somebody else's */
	INGRESS = 0xffff0000,       /* the qdisc's handle */
	/* A filter's parent, whether the qdisc is ingress or clsact. */
	PARENT = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
};

enum {
	TRIES = 5, /* of a list that changes meanwhile */
	BUSY_MS = 2000,
	PAUSE_MS = 10,
};

static struct nlmsghdr *begin_tc(struct netlink_request *request, uint16_t type, uint16_t flags,
				 int32_t index, const char *kind, struct tcmsg **ret_body)
{
	struct nlmsghdr *header = netlink_begin(request, type, flags);
	struct tcmsg *body = mnl_nlmsg_put_extra_header(header, sizeof(*body));

	body->tcm_ifindex = index;
	mnl_attr_put_strz(header, TCA_KIND, kind);
	*ret_body = body;
	return header;
}

static struct nlmsghdr *make_qdisc(struct netlink_request *request, uint16_t type, uint16_t flags,
				   int32_t index)
{
	struct tcmsg *body;
	struct nlmsghdr *header = begin_tc(request, type, flags, index, "ingress", &body);

	body->tcm_parent = TC_H_INGRESS;
	body->tcm_handle = INGRESS;
	return header;
}

static void put_mirred(struct nlmsghdr *header, const struct tc_mirred *mirred)
{
	struct nlattr *actions = mnl_attr_nest_start(header, TCA_U32_ACT);
	struct nlattr *first = mnl_attr_nest_start(header, 1);
	struct nlattr *options;

	mnl_attr_put_strz(header, TCA_ACT_KIND, "mirred");
	options = mnl_attr_nest_start(header, TCA_ACT_OPTIONS);
	mnl_attr_put(header, TCA_MIRRED_PARMS, sizeof(*mirred), mirred);
	mnl_attr_nest_end(header, options);
	mnl_attr_nest_end(header, first);
	mnl_attr_nest_end(header, actions);
}

static void set_place(struct tcmsg *body, uint32_t priority, uint16_t protocol)
{
	body->tcm_parent = PARENT;
	body->tcm_info = TC_H_MAKE(priority << 16, htons(protocol));
}

/* Frames of a protocol that have all the keys, and what is done with them. */
struct rule {
	uint32_t priority;
	uint16_t protocol;
	struct tc_u32_key keys[2]; /* in network byte order, from the network header on */
	uint8_t n_keys;
	struct tc_mirred mirred;
};

static struct nlmsghdr *make_filter(struct netlink_request *request, int32_t index,
				    const struct rule *rule)
{
	uint8_t match[sizeof(struct tc_u32_sel) + sizeof(rule->keys)] = { 0 };
	const struct tc_u32_sel selector = { .flags = TC_U32_TERMINAL, .nkeys = rule->n_keys };
	struct nlattr *options;
	struct tcmsg *body;
	struct nlmsghdr *header =
		begin_tc(request, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, index, "u32", &body);

	memcpy(match, &selector, sizeof(selector));
	memcpy(match + sizeof(selector), rule->keys, sizeof(rule->keys));
	set_place(body, rule->priority, rule->protocol);
	options = mnl_attr_nest_start(header, TCA_OPTIONS);
	mnl_attr_put(header, TCA_U32_SEL, sizeof(selector) + rule->n_keys * sizeof(rule->keys[0]),
		     match);
	put_mirred(header, &rule->mirred);
	mnl_attr_nest_end(header, options);
	return header;
}

/* Everything goes out of target; a key of which no bit counts. */
static struct nlmsghdr *make_redirect(struct netlink_request *request, int32_t index,
				      int32_t target, uint32_t priority)
{
	const struct rule rule = { .priority = priority,
				   .protocol = ETH_P_ALL,
				   .n_keys = 1,
				   .mirred = { .action = TC_ACT_STOLEN,
					       .eaction = TCA_EGRESS_REDIR,
					       .ifindex = (uint32_t)target } };

	return make_filter(request, index, &rule);
}

/* What hangs on an interface's ingress qdisc. */
struct found {
	uint32_t priority; /* of ours; 0: there is none */
	bool others;
};

static int take_filter(const struct nlmsghdr *message, void *userdata, struct error *err)
{
	const struct nlattr *places[TCA_KIND + 1] = { 0 };
	const struct tcmsg *body;
	struct found *found = userdata;
	uint32_t priority;
	char kind[8];

	if (netlink_sort_message(message, sizeof(*body), places, TCA_KIND) < 0)
		return error_say(err, EBADMSG, "the kernel's message about a filter");
	body = mnl_nlmsg_get_payload(message);
	priority = TC_H_MAJ(body->tcm_info) >> 16;
	netlink_text(places[TCA_KIND], kind, sizeof(kind));
	if ((priority == PRIORITY_OWN || priority == PRIORITY_GUEST) && str_eq(kind, "u32"))
		found->priority = priority;
	else if (priority < PRIORITY_HOST || priority > PRIORITY_HOST_NDP)
		found->others = true;
	return 0;
}

static bool is_none(int r)
{
	return r == -ENOENT || r == -EINVAL || r == -ENODEV; /* what the kernel says, by version */
}

/* -ENOENT: there is no qdisc. */
static int look(struct netlink *netlink, int32_t index, struct found *ret, struct error *err)
{
	int r = -EAGAIN;

	for (int i = 0; i < TRIES && r == -EAGAIN; i++) {
		struct netlink_request request;
		struct nlmsghdr *header = netlink_begin(&request, RTM_GETTFILTER, NLM_F_DUMP);
		struct tcmsg *body = mnl_nlmsg_put_extra_header(header, sizeof(*body));

		body->tcm_ifindex = index;
		body->tcm_parent = PARENT;
		*ret = (struct found){ 0 };
		r = netlink_dump_request(netlink, header, take_filter, ret, err);
	}
	return is_none(r) ? -ENOENT : r;
}

/* It goes with all its filters. Somebody who looks at them at that moment makes it busy. */
static int remove_qdisc(struct netlink *netlink, int32_t index, struct error *err)
{
	int64_t deadline = deadline_in_ms(BUSY_MS);

	for (;;) {
		struct netlink_request request;
		int r = netlink_ask(netlink, make_qdisc(&request, RTM_DELQDISC, 0, index), err);

		if (r != -EBUSY || deadline_left_ms(deadline) == 0)
			return is_none(r) ? -ENOENT : r;
		poll(NULL, 0, PAUSE_MS);
	}
}

static int remove_filter(struct netlink *netlink, int32_t index, const char *kind,
			 uint32_t priority, uint16_t protocol, struct error *err)
{
	struct netlink_request request;
	struct tcmsg *body;
	struct nlmsghdr *header = begin_tc(&request, RTM_DELTFILTER, 0, index, kind, &body);
	int r;

	set_place(body, priority, protocol);
	r = netlink_ask(netlink, header, err);
	return is_none(r) ? -ENOENT : r;
}

/* Ours alone, and theirs stay; last the one by which ours are known. */
static int remove_filters(struct netlink *netlink, int32_t index, uint32_t priority,
			  struct error *err)
{
	struct error ignored;

	remove_filter(netlink, index, "bpf", PRIORITY_HOST, ETH_P_ALL, &ignored);
	remove_filter(netlink, index, "u32", PRIORITY_HOST_ARP, ETH_P_ARP, &ignored);
	remove_filter(netlink, index, "u32", PRIORITY_HOST_NDP, ETH_P_IPV6, &ignored);
	return remove_filter(netlink, index, "u32", priority, ETH_P_ALL, err);
}

/* --- the qdiscs that there are --------------------------------------------------------------- */

static int take_qdisc(const struct nlmsghdr *message, void *userdata, struct error *err)
{
	const struct nlattr *places[TCA_KIND + 1] = { 0 };
	const struct tcmsg *body;
	struct network_filters *filters = userdata;
	char kind[16];

	if (netlink_sort_message(message, sizeof(*body), places, TCA_KIND) < 0)
		return error_say(err, EBADMSG, "the kernel's message about a qdisc");
	body = mnl_nlmsg_get_payload(message);
	netlink_text(places[TCA_KIND], kind, sizeof(kind));
	if (!str_eq(kind, "ingress") && !str_eq(kind, "clsact"))
		return 0;
	if (filters->n >= ARRAY_SIZE(filters->devices))
		return error_say(err, E2BIG, "more than %zu interfaces with an ingress qdisc",
				 ARRAY_SIZE(filters->devices));
	filters->devices[filters->n++] = body->tcm_ifindex;
	return 0;
}

/* The devices with a qdisc for what they receive, be it ours or not. */
static int list_qdiscs(struct netlink *netlink, struct network_filters *ret, struct error *err)
{
	int r = -EAGAIN;

	for (int i = 0; i < TRIES && r == -EAGAIN; i++) {
		struct netlink_request request;
		struct nlmsghdr *header = netlink_begin(&request, RTM_GETQDISC, NLM_F_DUMP);

		mnl_nlmsg_put_extra_header(header, sizeof(struct tcmsg));
		ret->n = 0;
		r = netlink_dump_request(netlink, header, take_qdisc, ret, err);
	}
	return r < 0 ? error_prefix(err, "list ingress qdiscs") : 0;
}

static bool has_qdisc(const struct network_filters *qdiscs, int32_t index)
{
	for (uint32_t i = 0; i < qdiscs->n; i++)
		if (qdiscs->devices[i] == index)
			return true;
	return false;
}

/* --- what the header has --------------------------------------------------------------------- */

static int add_with_qdisc(struct netlink *netlink, int32_t index, int32_t target, struct error *err)
{
	const uint16_t flags = NLM_F_CREATE | NLM_F_EXCL;
	struct netlink_request qdisc, filter;
	struct error ignored;
	int r = netlink_ask_two(netlink, make_qdisc(&qdisc, RTM_NEWQDISC, flags, index),
				make_redirect(&filter, index, target, PRIORITY_OWN), err);

	if (r == 0)
		return 0;
	if (r == -EEXIST)
		remove_filters(netlink, index, PRIORITY_OWN, &ignored); /* made this moment */
	else
		remove_qdisc(netlink, index, &ignored);
	return error_prefix(err, "add an ingress qdisc and a u32 filter with mirred");
}

int network_filter_add(struct netlink *netlink, int32_t index, int32_t target, struct error *err)
{
	struct network_filters qdiscs;
	struct netlink_request request;
	struct found found = { 0 };
	int r = list_qdiscs(netlink, &qdiscs, err);

	if (r < 0)
		return r;
	if (has_qdisc(&qdiscs, index))
		r = look(netlink, index, &found, err);
	else
		r = -ENOENT;
	if (r == 0 && found.others)
		return error_say(err, EEXIST, "it has an ingress qdisc of somebody else already");
	if (r == 0 && found.priority != 0) { /* of a VM that is gone */
		r = network_filter_remove(netlink, index, err);
		if (r == 0 && found.priority == PRIORITY_OWN)
			r = -ENOENT;
	}
	if (r == -ENOENT)
		return add_with_qdisc(netlink, index, target, err);
	if (r < 0)
		return r;
	r = netlink_ask(netlink, make_redirect(&request, index, target, PRIORITY_GUEST), err);
	return r < 0 ? error_prefix(err, "add a u32 filter with mirred") : 0;
}

static int add_program(struct netlink *netlink, int32_t index, int program, struct error *err)
{
	struct netlink_request request;
	struct nlattr *options;
	struct tcmsg *body;
	struct nlmsghdr *header =
		begin_tc(&request, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, index, "bpf", &body);

	set_place(body, PRIORITY_HOST, ETH_P_ALL);
	options = mnl_attr_nest_start(header, TCA_OPTIONS);
	mnl_attr_put_u32(header, TCA_BPF_FD, (uint32_t)program);
	mnl_attr_put_strz(header, TCA_BPF_NAME, "kata");
	mnl_attr_put_u32(header, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	mnl_attr_nest_end(header, options);
	return netlink_ask(netlink, header, err);
}

int network_filter_keep(struct netlink *netlink, int32_t index, int32_t target, int program,
			struct error *err)
{
	/* Both get an answer about a neighbour, since either may have asked. */
	const struct tc_mirred mirror = { .action = TC_ACT_OK,
					  .eaction = TCA_EGRESS_MIRROR,
					  .ifindex = (uint32_t)target };
	const struct rule rules[] = {
		{ .priority = PRIORITY_HOST_ARP,
		  .protocol = ETH_P_ARP,
		  .keys = { { .off = 4, .mask = htonl(0xffff), .val = htonl(ARPOP_REPLY) } },
		  .n_keys = 1,
		  .mirred = mirror },
		{ .priority = PRIORITY_HOST_NDP,
		  .protocol = ETH_P_IPV6,
		  .keys = { { .off = 4, .mask = htonl(0xff00), .val = htonl(IPPROTO_ICMPV6 << 8) },
			    { .off = sizeof(struct ip6_hdr),
			      .mask = htonl(0xff000000),
			      .val = htonl((uint32_t)ND_NEIGHBOR_ADVERT << 24) } },
		  .n_keys = 2,
		  .mirred = mirror },
	};
	int r = add_program(netlink, index, program, err);

	for (size_t i = 0; i < ARRAY_SIZE(rules) && r == 0; i++) {
		struct netlink_request request;

		r = netlink_ask(netlink, make_filter(&request, index, &rules[i]), err);
	}
	return r < 0 ? error_prefix(err, "filters for what the host receives itself") : 0;
}

int network_filter_remove(struct netlink *netlink, int32_t index, struct error *err)
{
	struct found found;
	int r = look(netlink, index, &found, err);

	if (r == -ENOENT || (r == 0 && found.priority == 0))
		return -ENOENT;
	if (r == 0)
		r = found.others || found.priority == PRIORITY_GUEST
			    ? remove_filters(netlink, index, found.priority, err)
			    : remove_qdisc(netlink, index, err);
	return r < 0 && r != -ENOENT ? error_prefix(err, "remove the filter of interface %d", index)
				     : r;
}

int network_filter_list(struct netlink *netlink, struct network_filters *ret, struct error *err)
{
	struct network_filters qdiscs;
	int r = list_qdiscs(netlink, &qdiscs, err);

	ret->n = 0;
	for (uint32_t i = 0; i < qdiscs.n && r == 0; i++) {
		struct found found;

		r = look(netlink, qdiscs.devices[i], &found, err);
		if (r == 0 && found.priority != 0)
			ret->devices[ret->n++] = qdiscs.devices[i];
		else if (r == -ENOENT)
			r = 0;
	}
	return r;
}
