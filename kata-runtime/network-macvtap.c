/*
 * Macvtap devices: see network-macvtap.h. Called by network-tap.c, in the network's child process
 * of kata-runtime; netmon only removes them. The device node is made in a filesystem of its own
 * that no mount table has: what /dev holds is the host's own namespace's, where it holds such nodes
 * at all. Its numbers come with the kernel's event about it, so no sysfs of that namespace is
 * needed.
 */
#include "kata-runtime/network-macvtap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"
#include "kata-runtime/network-tap.h"

enum { EVENT_MS = 5000, TRIES = 5 };

/* --- the device ------------------------------------------------------------------------------ */

static int make_device(struct netlink *netlink, const struct network_link *link, const char *name,
		       struct error *err)
{
	struct netlink_request request;
	struct nlmsghdr *header = netlink_begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct nlattr *info, *data;

	mnl_nlmsg_put_extra_header(header, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(header, IFLA_IFNAME, name);
	mnl_attr_put_u32(header, IFLA_LINK, (uint32_t)link->index);
	mnl_attr_put_u32(header, IFLA_MTU, link->mtu);
	info = mnl_attr_nest_start(header, IFLA_LINKINFO);
	mnl_attr_put_strz(header, IFLA_INFO_KIND, "macvtap");
	data = mnl_attr_nest_start(header, IFLA_INFO_DATA);
	/* It has the interface's address, and all that comes in is its. */
	mnl_attr_put_u32(header, IFLA_MACVLAN_MODE, MACVLAN_MODE_PASSTHRU);
	mnl_attr_nest_end(header, data);
	mnl_attr_nest_end(header, info);
	return netlink_ask(netlink, header, err);
}

int network_macvtap_remove(struct netlink *netlink, int32_t index, struct error *err)
{
	struct netlink_request request;
	struct nlmsghdr *header = netlink_begin(&request, RTM_DELLINK, 0);
	struct ifinfomsg *body = mnl_nlmsg_put_extra_header(header, sizeof(*body));

	body->ifi_index = index;
	return netlink_ask(netlink, header, err);
}

/* --- its node -------------------------------------------------------------------------------- */

static int open_events(struct error *err)
{
	CLEANUP(fd_close)
	int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK, .nl_groups = 1 };

	if (fd < 0 || bind(fd, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return error_set(err, errno, "listen to the kernel's device events");
	return steal_fd(&fd);
}

/* The value of "KEY=value" among the texts of an event; NULL: there is none. */
static const char *event_value(const char *event, size_t len, const char *key)
{
	const size_t n = strlen(key);

	for (const char *p = event; p < event + len; p += strlen(p) + 1)
		if (strncmp(p, key, n) == 0 && p[n] == '=')
			return p + n + 1;
	return NULL;
}

/* Whether the event is about the node of that device: its numbers. */
static bool is_node(const char *event, size_t len, const char *node, dev_t *ret)
{
	const char *action = event_value(event, len, "ACTION");
	const char *name = event_value(event, len, "DEVNAME");
	const char *major = event_value(event, len, "MAJOR");
	const char *minor = event_value(event, len, "MINOR");
	uint64_t numbers[2];

	if (action == NULL || name == NULL || major == NULL || minor == NULL ||
	    !str_eq(action, "add") || !str_eq(name, node) ||
	    str_to_u64(major, UINT32_MAX, &numbers[0]) < 0 ||
	    str_to_u64(minor, UINT32_MAX, &numbers[1]) < 0)
		return false;
	*ret = makedev((unsigned)numbers[0], (unsigned)numbers[1]);
	return true;
}

static int await_node(int events, int index, dev_t *ret, struct error *err)
{
	int64_t deadline = deadline_in_ms(EVENT_MS);
	char node[32], event[8192];

	snprintf(node, sizeof(node), "tap%d", index);
	for (;;) {
		struct pollfd p = { .fd = events, .events = POLLIN };
		ssize_t n = recv(events, event, sizeof(event) - 1, 0);

		if (n >= 0) {
			event[n] = '\0';
			if (is_node(event, (size_t)n, node, ret))
				return 0;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return error_set(err, errno, "receive the kernel's device events");
		if (deadline_left_ms(deadline) == 0)
			return error_say(err, ETIMEDOUT, "no event about the device %s", node);
		poll(&p, 1, deadline_left_ms(deadline));
	}
}

static int make_node(dev_t device, struct error *err)
{
	CLEANUP(fd_close) int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	CLEANUP(fd_close) int mount = -1;

	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return error_set(err, errno, "make a tmpfs");
	mount = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID);
	if (mount < 0 || mknodat(mount, "tap", S_IFCHR | 0600, device) < 0)
		return error_set(err, errno, "make a node for the macvtap device");
	return steal_fd(&mount);
}

static int open_queue(int dir)
{
	CLEANUP(fd_close) int fd = openat(dir, "tap", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
		return -errno;
	return steal_fd(&fd);
}

static int open_queues(dev_t device, uint32_t vcpus, struct network_queues *ret, struct error *err)
{
	CLEANUP(fd_close) int dir = make_node(device, err);
	int fd;

	if (dir < 0)
		return dir;
	fd = open_queue(dir);
	if (fd < 0)
		return error_set(err, -fd, "open the macvtap device");
	while (fd >= 0) {
		ret->taps[ret->n++] = fd;
		if (ret->n >= vcpus || ret->n >= LAUNCH_QUEUES_MAX)
			break;
		fd = open_queue(dir);
	}
	return 0;
}

int network_macvtap_open(struct netlink *netlink, const struct network_link *link, const char *name,
			 uint32_t vcpus, struct network_queues *ret, int *ret_index,
			 struct error *err)
{
	CLEANUP(fd_close) int events = open_events(err);
	struct error ignored;
	dev_t device = 0;
	int index, r;

	if (events < 0)
		return events;
	r = make_device(netlink, link, name, err);
	if (r < 0)
		return error_prefix(err, "make the macvtap device %s", name);
	index = (int)if_nametoindex(name);
	r = await_node(events, index, &device, err);
	if (r == 0)
		r = open_queues(device, vcpus, ret, err);
	if (r < 0) {
		network_queues_close(ret);
		network_macvtap_remove(netlink, index, &ignored);
		return r;
	}
	*ret_index = index;
	return 0;
}

/* --- what a VM has left ---------------------------------------------------------------------- */

struct left {
	const char *sid;
	int32_t devices[LAUNCH_NET_MAX];
	uint32_t n;
};

static int take_device(const struct nlmsghdr *message, void *userdata, struct error *err)
{
	const struct nlattr *places[IFLA_LINKINFO + 1] = { 0 };
	const struct nlattr *infos[IFLA_INFO_KIND + 1] = { 0 };
	struct netlink_table table = { infos, IFLA_INFO_KIND };
	char name[NETWORK_NAME_SIZE], kind[16];
	const struct ifinfomsg *info;
	struct left *left = userdata;
	uint32_t slot;

	if (netlink_sort_message(message, sizeof(*info), places, IFLA_LINKINFO) < 0)
		return error_say(err, EBADMSG, "the kernel's message cannot be understood");
	info = mnl_nlmsg_get_payload(message);
	netlink_text(places[IFLA_IFNAME], name, sizeof(name));
	if (places[IFLA_LINKINFO] != NULL)
		mnl_attr_parse_nested(places[IFLA_LINKINFO], netlink_sort, &table);
	netlink_text(infos[IFLA_INFO_KIND], kind, sizeof(kind));
	if (str_eq(kind, "macvtap") && network_tap_slot(name, left->sid, &slot) &&
	    slot != UINT32_MAX && left->n < LAUNCH_NET_MAX)
		left->devices[left->n++] = info->ifi_index;
	return 0;
}

int network_macvtap_clean(struct netlink *netlink, const char *sid, struct error *err)
{
	struct left left = { .sid = sid };
	int r = -EAGAIN;

	for (int i = 0; i < TRIES && r == -EAGAIN; i++) {
		left.n = 0;
		r = netlink_dump(netlink, RTM_GETLINK, AF_UNSPEC, take_device, &left, err);
	}
	for (uint32_t i = 0; i < left.n && r == 0; i++) {
		r = network_macvtap_remove(netlink, left.devices[i], err);
		if (r == -ENODEV)
			r = 0;
	}
	return r < 0 ? error_prefix(err, "remove macvtap devices") : 0;
}
