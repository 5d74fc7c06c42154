/* kata-runtime/netlink.c: requests to the kernel, about the loopback device of a new namespace. */
#include "kata-runtime/netlink.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/netns.h"

/* libmnl writes attributes of three bytes, and the fourth goes to the kernel as well. */
Test(netlink, nothing_old_is_sent)
{
	struct netlink_request request;
	struct nlmsghdr *header;
	const char *attribute;

	memset(&request, 0xa5, sizeof(request));
	header = netlink_begin(&request, RTM_NEWLINK, 0);
	mnl_attr_put_strz(header, IFLA_IFNAME, "lo");
	attribute = request.bytes + NLMSG_HDRLEN + MNL_ATTR_HDRLEN;
	cr_expect(header->nlmsg_len == NLMSG_HDRLEN + MNL_ATTR_HDRLEN + 4);
	cr_expect(memcmp(attribute, "lo\0\0", 4) == 0, "the last byte is %x", attribute[3]);
}

static struct nlmsghdr *set_lo(struct netlink_request *request, uint16_t type, const char *text)
{
	struct nlmsghdr *header = netlink_begin(request, RTM_SETLINK, 0);
	struct ifinfomsg *body = mnl_nlmsg_put_extra_header(header, sizeof(*body));

	body->ifi_index = 1;
	mnl_attr_put_strz(header, type, text);
	return header;
}

static int note_lo(const struct nlmsghdr *message, void *userdata, struct error *err)
{
	const struct ifinfomsg *body = mnl_nlmsg_get_payload(message);

	(void)err;
	*(bool *)userdata = *(bool *)userdata || body->ifi_index == 1;
	return 0;
}

Test(netlink, the_kernel_answers)
{
	CLEANUP(netlink_close) struct netlink netlink = NETLINK_NONE;
	struct netlink_request request, second;
	struct error err = { 0 };
	bool found = false;
	int r;

	NETNS_OR_SKIP();
	cr_assert(netlink_open(&netlink, &err) == 0, "%s", err.text);
	cr_expect(netlink_dump(&netlink, RTM_GETLINK, AF_UNSPEC, note_lo, &found, &err) == 0, "%s",
		  err.text);
	cr_expect(found, "no device has the index 1");
	/* As it is called already, so that nothing changes; and a number of one byte. */
	cr_expect(netlink_ask(&netlink, set_lo(&request, IFLA_IFNAME, "lo"), &err) == 0, "%s",
		  err.text);
	r = netlink_ask(&netlink, set_lo(&request, IFLA_MTU, ""), &err);
	cr_expect(r == -EINVAL || r == -ERANGE, "%d", r);
	r = netlink_ask_two(&netlink, set_lo(&request, IFLA_MTU, ""),
			    set_lo(&second, IFLA_IFNAME, "lo"), &err);
	cr_expect(r == -EINVAL || r == -ERANGE, "the first one's: %d", r);
}
