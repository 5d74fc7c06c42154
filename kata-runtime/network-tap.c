/*
 * Tap devices and their filters: see network-tap.h. Runs in the network's child process. A filter
 * matches every frame by u32 with an empty mask, which kernels have longer than matchall.
 */
#include "kata-runtime/network-tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/cleanup.h"
#include "common/str.h"

enum {
	FILTER_PRIORITY = 0x4b74, /* "Kt": by it ours are known */
	INGRESS = 0xffff0000,     /* the qdisc's handle */
};

void network_tap_name(char ret[NETWORK_NAME_SIZE], const char *sid, uint32_t number)
{
	snprintf(ret, NETWORK_NAME_SIZE, "kt%.12s%x", sid, number & 0xf);
}

bool network_tap_slot(const char *name, const char *sid, uint32_t *ret_slot)
{
	static const char digits[] = "0123456789abcdef";
	size_t len = strlen(name);
	char mine[NETWORK_NAME_SIZE];
	uint32_t slot;

	if (!str_starts(name, "kt") || len != NETWORK_NAME_SIZE - 1 ||
	    strspn(name + 2, digits) != len - 2)
		return false;
	slot = (uint32_t)(strchr(digits, name[len - 1]) - digits);
	network_tap_name(mine, sid, slot);
	*ret_slot = str_eq(name, mine) ? slot : UINT32_MAX;
	return true;
}

static void make_alias(char ret[64], int32_t target, const uint8_t mac[6])
{
	snprintf(ret, 64, "kata %d %02x:%02x:%02x:%02x:%02x:%02x", target, mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
}

void network_tap_parse_alias(const char *text, int32_t *ret_target, uint8_t ret_mac[6])
{
	unsigned m[6];
	int target, end = 0;

	*ret_target = 0;
	memset(ret_mac, 0, 6);
	if (sscanf(text, "kata %d %2x:%2x:%2x:%2x:%2x:%2x%n", &target, &m[0], &m[1], &m[2], &m[3],
		   &m[4], &m[5], &end) != 7 ||
	    text[end] != '\0' || target <= 0)
		return;
	*ret_target = target;
	for (int i = 0; i < 6; i++)
		ret_mac[i] = (uint8_t)m[i];
}

/*
 * vnet_hdr lets frames pass with checksums and segmentation left to do; which of it the guest can
 * take QEMU tells the device (TUNSETOFFLOAD) when the guest's driver says so, and none before.
 */
static int open_tap(const char *name, int *ret_index, struct error *err)
{
	CLEANUP(fd_close) int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq request = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
						      IFF_TUN_EXCL) };
	unsigned index;

	if (fd < 0)
		return error_set(err, errno, "open /dev/net/tun");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return error_set(err, errno, "make the tap device %s", name);
	index = if_nametoindex(name);
	if (index == 0)
		return error_set(err, errno, "find the tap device %s", name);
	*ret_index = (int)index;
	return steal_fd(&fd);
}

static struct ifinfomsg *begin_link(struct netlink_request *request, int32_t index)
{
	struct nlmsghdr *header = netlink_begin(request, RTM_NEWLINK, 0);
	struct ifinfomsg *body = mnl_nlmsg_put_extra_header(header, sizeof(*body));

	body->ifi_index = index;
	return body;
}

/* The host's own IPv6 stays silent there: the guest's neighbours are not the host's. */
static void silence(struct netlink *netlink, int32_t index)
{
	struct netlink_request request;
	struct nlattr *families, *inet6;

	begin_link(&request, index);
	families = mnl_attr_nest_start(&request.header, IFLA_AF_SPEC);
	inet6 = mnl_attr_nest_start(&request.header, AF_INET6);
	mnl_attr_put_u8(&request.header, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(&request.header, inet6);
	mnl_attr_nest_end(&request.header, families);
	netlink_ask(netlink, &request.header, NULL); /* a kernel without IPv6 is silent already */
}

/* The alias, by which a later call knows what it is for, is there before any frame passes. */
static int bring_up(struct netlink *netlink, int32_t index, const struct network_link *link,
		    struct error *err)
{
	struct netlink_request request;
	struct ifinfomsg *body = begin_link(&request, index);
	char alias[64];

	make_alias(alias, link->index, link->mac);
	body->ifi_flags = IFF_UP;
	body->ifi_change = IFF_UP;
	mnl_attr_put_u32(&request.header, IFLA_MTU, link->mtu);
	mnl_attr_put_str(&request.header, IFLA_IFALIAS, alias);
	return netlink_ask(netlink, &request.header, err);
}

int network_tap_set_mtu(struct netlink *netlink, int32_t index, uint32_t mtu, struct error *err)
{
	struct netlink_request request;

	begin_link(&request, index);
	mnl_attr_put_u32(&request.header, IFLA_MTU, mtu);
	return netlink_ask(netlink, &request.header, err);
}

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

static int set_qdisc(struct netlink *netlink, uint16_t type, uint16_t flags, int32_t index,
		     struct error *err)
{
	struct netlink_request request;
	struct tcmsg *body;
	struct nlmsghdr *header = begin_tc(&request, type, flags, index, "ingress", &body);

	body->tcm_parent = TC_H_INGRESS;
	body->tcm_handle = INGRESS;
	return netlink_ask(netlink, header, err);
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

struct nlmsghdr *network_tap_filter(struct netlink_request *request, int32_t index, int32_t target)
{
	/* The selector, and behind it one key of which no bit counts. */
	uint8_t match[sizeof(struct tc_u32_sel) + sizeof(struct tc_u32_key)] = { 0 };
	const struct tc_u32_sel selector = { .flags = TC_U32_TERMINAL, .nkeys = 1 };
	struct nlattr *options;
	struct tcmsg *body;
	struct nlmsghdr *header =
		begin_tc(request, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, index, "u32", &body);

	memcpy(match, &selector, sizeof(selector));
	body->tcm_parent = INGRESS;
	body->tcm_info = TC_H_MAKE((uint32_t)FILTER_PRIORITY << 16, htons(ETH_P_ALL));
	options = mnl_attr_nest_start(header, TCA_OPTIONS);
	mnl_attr_put(header, TCA_U32_SEL, sizeof(match), match);
	put_redirect(header, target);
	mnl_attr_nest_end(header, options);
	return header;
}

static int redirect(struct netlink *netlink, int32_t index, int32_t target, struct error *err)
{
	struct netlink_request request;
	int r = set_qdisc(netlink, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, index, err);

	if (r == -EEXIST)
		return error_say(err, EEXIST, "it has an ingress qdisc of somebody else already");
	if (r < 0)
		return error_prefix(err, "add an ingress qdisc");
	r = netlink_ask(netlink, network_tap_filter(&request, index, target), err);
	return r < 0 ? error_prefix(err, "add a u32 filter with mirred") : 0;
}

int network_tap_join(struct netlink *netlink, const struct network_link *link, const char *tap,
		     struct error *err)
{
	CLEANUP(fd_close) int fd = -1;
	int index = 0, r;

	fd = open_tap(tap, &index, err);
	if (fd < 0)
		return fd;
	silence(netlink, index);
	r = redirect(netlink, index, link->index, err);
	if (r == 0)
		r = redirect(netlink, link->index, index, err);
	if (r == 0)
		r = bring_up(netlink, index, link, err);
	if (r < 0)
		return error_prefix(err, "join interface %s to %s", link->name, tap);
	return steal_fd(&fd);
}

int network_tap_part(struct netlink *netlink, int32_t index, struct error *err)
{
	struct netlink_request request;
	struct tcmsg *body;
	struct nlmsghdr *header = begin_tc(&request, RTM_DELTFILTER, 0, index, "u32", &body);
	int r;

	body->tcm_parent = INGRESS;
	body->tcm_info = TC_H_MAKE((uint32_t)FILTER_PRIORITY << 16, htons(ETH_P_ALL));
	r = netlink_ask(netlink, header, err);
	if (r < 0)
		return r == -EINVAL ? -ENOENT : r; /* EINVAL: not even a qdisc */
	return set_qdisc(netlink, RTM_DELQDISC, 0, index, err);
}
