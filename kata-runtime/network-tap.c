/*
 * Tap devices joined to interfaces: see network-tap.h. Runs in the network's child process and in
 * netmon. A tap's alias is there before any filter, so that at every point at which one of them may
 * be killed the kernel tells whose a filter is: that of a VM whose tap is there, or nobody's.
 */
#include "kata-runtime/network-tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/str.h"
#include "kata-runtime/network-filter.h"
#include "kata-runtime/network-macvtap.h"

enum { TAKEN_MAX = 64, TRIES = 5 };

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

/* --- queues ---------------------------------------------------------------------------------- */

void network_queues_init(struct network_queues *queues)
{
	queues->n = 0;
	for (int i = 0; i < LAUNCH_QUEUES_MAX; i++)
		queues->taps[i] = queues->vhosts[i] = -1;
}

static void close_vhosts(struct network_queues *queues)
{
	for (int i = 0; i < LAUNCH_QUEUES_MAX; i++)
		fd_close(&queues->vhosts[i]);
}

void network_queues_close(struct network_queues *queues)
{
	for (int i = 0; i < LAUNCH_QUEUES_MAX; i++)
		fd_close(&queues->taps[i]);
	close_vhosts(queues);
	queues->n = 0;
}

void network_queues_open_vhosts(struct network_queues *queues, const char *path)
{
	for (uint32_t i = 0; i < queues->n; i++) {
		queues->vhosts[i] = open(path, O_RDWR | O_CLOEXEC);
		if (queues->vhosts[i] < 0) {
			close_vhosts(queues);
			return;
		}
	}
}

/*
 * vnet_hdr lets frames pass with checksums and segmentation left to do; which of it the guest can
 * take QEMU tells the device (TUNSETOFFLOAD) when the guest's driver says so, and none before.
 */
static int open_queue(const char *name, int flags)
{
	CLEANUP(fd_close) int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq request = { 0 };

	if (fd < 0)
		return -errno;
	request.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	return ioctl(fd, TUNSETIFF, &request) < 0 ? -errno : steal_fd(&fd);
}

/* The device with its queues; how many there are is the kernel's to say. */
static int open_tap(const char *name, uint32_t vcpus, struct network_queues *ret, int *ret_index,
		    struct error *err)
{
	int flags = vcpus > 1 ? IFF_MULTI_QUEUE : 0;
	int fd = open_queue(name, IFF_TUN_EXCL | flags);
	unsigned index;

	if (fd == -EINVAL && flags != 0) { /* a kernel without */
		flags = 0;
		fd = open_queue(name, IFF_TUN_EXCL);
	}
	if (fd < 0)
		return error_set(err, -fd, "make the tap device %s", name);
	while (fd >= 0) {
		ret->taps[ret->n++] = fd;
		if (flags == 0 || ret->n >= vcpus || ret->n >= LAUNCH_QUEUES_MAX)
			break;
		fd = open_queue(name, flags);
	}
	index = if_nametoindex(name);
	if (index == 0)
		return error_set(err, errno, "find the tap device %s", name);
	*ret_index = (int)index;
	return 0;
}

/* --- the device ------------------------------------------------------------------------------ */

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

static int set_alias(struct netlink *netlink, int32_t index, const struct network_link *link,
		     struct error *err)
{
	struct netlink_request request;
	char alias[64];

	begin_link(&request, index);
	make_alias(alias, link->index, link->mac);
	mnl_attr_put_str(&request.header, IFLA_IFALIAS, alias);
	return netlink_ask(netlink, &request.header, err);
}

static int bring_up(struct netlink *netlink, int32_t index, uint32_t mtu, struct error *err)
{
	struct netlink_request request;
	struct ifinfomsg *body = begin_link(&request, index);

	body->ifi_flags = IFF_UP;
	body->ifi_change = IFF_UP;
	mnl_attr_put_u32(&request.header, IFLA_MTU, mtu);
	return netlink_ask(netlink, &request.header, err);
}

int network_tap_set_mtu(struct netlink *netlink, int32_t index, uint32_t mtu, struct error *err)
{
	struct netlink_request request;

	begin_link(&request, index);
	mnl_attr_put_u32(&request.header, IFLA_MTU, mtu);
	return netlink_ask(netlink, &request.header, err);
}

/* --- joining and parting --------------------------------------------------------------------- */

/* Interfaces that tap devices of VMs are joined to. */
struct taken {
	const char *sid; /* but for this VM's; "" */
	int32_t but;     /* but for this device; 0 */
	int32_t targets[TAKEN_MAX];
	uint32_t n;
};

static int take_tap(const struct nlmsghdr *message, void *userdata, struct error *err)
{
	const struct nlattr *places[IFLA_IFALIAS + 1] = { 0 };
	char name[NETWORK_NAME_SIZE], alias[64];
	const struct ifinfomsg *info;
	struct taken *taken = userdata;
	uint32_t slot;
	uint8_t mac[6];
	int32_t target;

	if (netlink_sort_message(message, sizeof(*info), places, IFLA_IFALIAS) < 0)
		return error_say(err, EBADMSG, "the kernel's message cannot be understood");
	info = mnl_nlmsg_get_payload(message);
	netlink_text(places[IFLA_IFNAME], name, sizeof(name));
	netlink_text(places[IFLA_IFALIAS], alias, sizeof(alias));
	if (info->ifi_index == taken->but || !network_tap_slot(name, taken->sid, &slot) ||
	    slot != UINT32_MAX)
		return 0;
	network_tap_parse_alias(alias, &target, mac);
	if (target <= 0)
		return 0;
	if (taken->n >= TAKEN_MAX)
		return error_say(err, E2BIG, "more than %d tap devices of VMs", TAKEN_MAX);
	taken->targets[taken->n++] = target;
	return 0;
}

static int find_taken(struct netlink *netlink, struct taken *taken, struct error *err)
{
	int r = -EAGAIN;

	for (int i = 0; i < TRIES && r == -EAGAIN; i++) {
		taken->n = 0;
		r = netlink_dump(netlink, RTM_GETLINK, AF_UNSPEC, take_tap, taken, err);
	}
	return r < 0 ? error_prefix(err, "look for tap devices") : 0;
}

static bool is_taken(const struct taken *taken, int32_t index)
{
	for (uint32_t i = 0; i < taken->n; i++)
		if (taken->targets[i] == index)
			return true;
	return false;
}

/* One that was left by a VM that is gone counts as none. */
static int redirect_both(struct netlink *netlink, int32_t link, int32_t tap, struct error *err)
{
	struct taken taken = { .sid = "", .but = tap };
	int r = find_taken(netlink, &taken, err);

	if (r < 0)
		return r;
	if (is_taken(&taken, link))
		return error_say(err, EEXIST, "another VM has it");
	r = network_filter_add(netlink, tap, link, err);
	return r < 0 ? r : network_filter_add(netlink, link, tap, err);
}

static int join_by_filters(struct netlink *netlink, const struct network_link *link, int index,
			   int host, struct error *err)
{
	struct error ignored;
	int r = set_alias(netlink, index, link, err);

	if (r == 0)
		r = redirect_both(netlink, link->index, index, err);
	if (r < 0)
		return r;
	if (host >= 0 && network_filter_keep(netlink, link->index, index, host, &ignored) < 0)
		log_warning("docker's name server has no answers from others", KV_ERR(&ignored));
	r = bring_up(netlink, index, link->mtu, err);
	if (r < 0)
		network_filter_remove(netlink, link->index, &ignored);
	return r;
}

static int join_by_macvtap(struct netlink *netlink, const struct network_link *link,
			   const char *tap, uint32_t vcpus, struct network_queues *ret,
			   struct error *err)
{
	struct taken taken = { .sid = "" };
	struct error ignored;
	int index, r = find_taken(netlink, &taken, err);

	if (r == 0 && is_taken(&taken, link->index))
		r = error_say(err, EEXIST, "another VM has it");
	if (r == 0)
		r = network_macvtap_open(netlink, link, tap, vcpus, ret, &index, err);
	if (r < 0)
		return r;
	silence(netlink, index);
	r = set_alias(netlink, index, link, err);
	if (r == 0)
		r = bring_up(netlink, index, link->mtu, err);
	if (r < 0)
		network_macvtap_remove(netlink, index, &ignored);
	return r;
}

int network_tap_join(struct netlink *netlink, const struct network_link *link, const char *tap,
		     const struct network_join *join, struct network_queues *ret, struct error *err)
{
	bool macvtap = join->macvtap && link->up;
	int index = 0, r = -EOPNOTSUPP;

	if (macvtap)
		r = join_by_macvtap(netlink, link, tap, join->vcpus, ret, err);
	if (macvtap && (r == -EINVAL || r == -EBUSY || r == -EOPNOTSUPP)) {
		log_warning("an interface takes no macvtap device", KV_S("name", link->name),
			    KV_ERR(err));
		macvtap = false;
	}
	if (!macvtap) {
		r = open_tap(tap, join->vcpus, ret, &index, err);
		if (r == 0) {
			silence(netlink, index);
			r = join_by_filters(netlink, link, index, join->host, err);
		}
	}
	if (r < 0) {
		network_queues_close(ret);
		return error_prefix(err, "join interface %s to %s", link->name, tap);
	}
	return 0;
}

int network_tap_remove(struct netlink *netlink, const struct network_tap *tap, struct error *err)
{
	return tap->macvtap ? network_macvtap_remove(netlink, tap->index, err)
			    : network_tap_part(netlink, tap->target, err);
}

int network_tap_part(struct netlink *netlink, int32_t index, struct error *err)
{
	return network_filter_remove(netlink, index, err);
}

int network_tap_clean(struct netlink *netlink, const char *sid, struct error *err)
{
	struct taken taken = { .sid = sid };
	struct network_filters filters;
	int result = network_macvtap_clean(netlink, sid, err);

	/* In this order: the tap of a filter that is found was there before it. */
	if (result == 0)
		result = network_filter_list(netlink, &filters, err);
	if (result == 0)
		result = find_taken(netlink, &taken, err);
	if (result < 0)
		return result;
	for (uint32_t i = 0; i < filters.n; i++) {
		int r = is_taken(&taken, filters.devices[i])
				? 0
				: network_filter_remove(netlink, filters.devices[i], err);

		if (r < 0 && r != -ENOENT)
			result = r;
	}
	return result;
}
