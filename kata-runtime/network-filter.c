/*
 * The filters that join an interface to a tap device: see network-filter.h. Called by
 * network-tap.c, in the network's child process and in netmon. A filter matches every frame by u32
 * with an empty mask, which kernels have longer than matchall.
 *
 * What is ours the filter's priority tells, and also whether the qdisc below it is: qdisc and filter
 * are made by one system call and go by one, so a qdisc of ours without a filter is never left.
 */
#include "kata-runtime/network-filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <poll.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"

enum {
	PRIORITY_OWN = 0x4b74,   /* "Kt": the qdisc is ours too; */
	PRIORITY_GUEST = 0x4b75, /* it is somebody else's */
	INGRESS = 0xffff0000,    /* the qdisc's handle */
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

static void put_redirect(struct nlmsghdr *header, int32_t target)
{
	struct tc_mirred mirred = { .action = TC_ACT_STOLEN,
				    .eaction = TCA_EGRESS_REDIR,
				    .ifindex = (uint32_t)target };
	struct nlattr *actions = mnl_attr_nest_start(header, TCA_U32_ACT);
	struct nlattr *first = mnl_attr_nest_start(header, 1);
	struct nlattr *options;

	mnl_attr_put_strz(header, TCA_ACT_KIND, "mirred");
	options = mnl_attr_nest_start(header, TCA_ACT_OPTIONS);
	mnl_attr_put(header, TCA_MIRRED_PARMS, sizeof(mirred), &mirred);
	mnl_attr_nest_end(header, options);
	mnl_attr_nest_end(header, first);
	mnl_attr_nest_end(header, actions);
}

static void set_place(struct tcmsg *body, uint32_t priority)
{
	body->tcm_parent = PARENT;
	body->tcm_info = TC_H_MAKE(priority << 16, htons(ETH_P_ALL));
}

static struct nlmsghdr *make_filter(struct netlink_request *request, int32_t index, int32_t target,
				    uint32_t priority)
{
	/* The selector, and behind it one key of which no bit counts. */
	uint8_t match[sizeof(struct tc_u32_sel) + sizeof(struct tc_u32_key)] = { 0 };
	const struct tc_u32_sel selector = { .flags = TC_U32_TERMINAL, .nkeys = 1 };
	struct nlattr *options;
	struct tcmsg *body;
	struct nlmsghdr *header =
		begin_tc(request, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, index, "u32", &body);

	memcpy(match, &selector, sizeof(selector));
	set_place(body, priority);
	options = mnl_attr_nest_start(header, TCA_OPTIONS);
	mnl_attr_put(header, TCA_U32_SEL, sizeof(match), match);
	put_redirect(header, target);
	mnl_attr_nest_end(header, options);
	return header;
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
	else
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

/* Ours alone, and theirs stay. */
static int remove_filter(struct netlink *netlink, int32_t index, uint32_t priority,
			 struct error *err)
{
	struct netlink_request request;
	struct tcmsg *body;
	struct nlmsghdr *header = begin_tc(&request, RTM_DELTFILTER, 0, index, "u32", &body);
	int r;

	set_place(body, priority);
	r = netlink_ask(netlink, header, err);
	return is_none(r) ? -ENOENT : r;
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
				make_filter(&filter, index, target, PRIORITY_OWN), err);

	if (r == 0)
		return 0;
	if (r == -EEXIST)
		remove_filter(netlink, index, PRIORITY_OWN, &ignored); /* made this moment */
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
	r = netlink_ask(netlink, make_filter(&request, index, target, PRIORITY_GUEST), err);
	return r < 0 ? error_prefix(err, "add a u32 filter with mirred") : 0;
}

int network_filter_remove(struct netlink *netlink, int32_t index, struct error *err)
{
	struct found found;
	int r = look(netlink, index, &found, err);

	if (r == -ENOENT || (r == 0 && found.priority == 0))
		return -ENOENT;
	if (r == 0)
		r = found.others || found.priority == PRIORITY_GUEST
			    ? remove_filter(netlink, index, found.priority, err)
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
