/* kata-agent/netlink.c: requests that do not fit, and answers of the kernel, also broken ones. */
#include "kata-agent/netlink.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 5 };

Test(agent_netlink, a_request_that_does_not_fit)
{
	uint8_t much[NETLINK_SIZE] = { 0 };
	struct ifinfomsg link = { .ifi_index = 3 };
	struct netlink_request request;
	size_t nest;

	netlink_begin(&request, RTM_NEWLINK, 0, &link, sizeof(link));
	nest = netlink_nest(&request, IFLA_AF_SPEC);
	netlink_add_u32(&request, IFLA_MTU, 7);
	netlink_nest_end(&request, nest);
	cr_expect(!request.failed);
	cr_expect(request.header.nlmsg_len ==
		  NLMSG_SPACE(sizeof(link)) + RTA_SPACE(0) + RTA_SPACE(4));
	netlink_add(&request, 1, much, sizeof(much));
	cr_expect(request.failed);
	netlink_begin(&request, RTM_NEWLINK, 0, &link, sizeof(link));
	for (int i = 0; i < 300; i++)
		netlink_add_u32(&request, IFLA_MTU, 7);
	cr_expect(request.failed && request.header.nlmsg_len <= NETLINK_SIZE);
}

struct ack {
	struct nlmsghdr header;
	int32_t error;
};

Test(agent_netlink, acknowledgements)
{
	struct ack ack = {
		.header = { .nlmsg_len = sizeof(ack), .nlmsg_type = NLMSG_ERROR, .nlmsg_seq = 4 },
		.error = -EEXIST
	};
	int errnum = 0;

	cr_expect(netlink_take_ack(&ack, sizeof(ack), 4, &errnum) == 1 && errnum == EEXIST);
	cr_expect(netlink_take_ack(&ack, sizeof(ack), 5, &errnum) == 0);
	for (size_t len = 0; len < sizeof(ack); len++)
		cr_expect(netlink_take_ack(&ack, len, 4, &errnum) == -EBADMSG);
	ack.header.nlmsg_len = sizeof(ack.header);
	cr_expect(netlink_take_ack(&ack, sizeof(ack), 4, &errnum) == -EBADMSG);
	ack.header.nlmsg_len = sizeof(ack);
	ack.error = 5;
	cr_expect(netlink_take_ack(&ack, sizeof(ack), 4, &errnum) == -EBADMSG);
	ack.error = INT32_MIN;
	cr_expect(netlink_take_ack(&ack, sizeof(ack), 4, &errnum) == -EBADMSG);
	ack.header.nlmsg_type = RTM_NEWLINK;
	cr_expect(netlink_take_ack(&ack, sizeof(ack), 4, &errnum) == 0);
}

/* Two links and the end, as the kernel sends them; the second has the address. */
static size_t make_dump(uint8_t dump[256])
{
	struct nlmsghdr done = { .nlmsg_len = sizeof(done), .nlmsg_type = NLMSG_DONE };
	size_t len = 0;

	for (int i = 1; i <= 2; i++) {
		struct ifinfomsg link = { .ifi_index = 10 + i };
		uint8_t address[6];
		struct netlink_request request;

		memcpy(address, mac, sizeof(mac));
		address[0] = i == 2 ? 2 : 4;
		netlink_begin(&request, RTM_NEWLINK, 0, &link, sizeof(link));
		netlink_add(&request, IFLA_IFNAME, "eth0", 5);
		netlink_add(&request, IFLA_ADDRESS, address, sizeof(address));
		memcpy(dump + len, request.bytes, request.header.nlmsg_len);
		len += request.header.nlmsg_len;
	}
	memcpy(dump + len, &done, sizeof(done));
	return len + sizeof(done);
}

Test(agent_netlink, a_device_by_its_address)
{
	uint8_t dump[256];
	size_t len = make_dump(dump);

	cr_expect(netlink_find_in(dump, len, mac) == 12);
	cr_expect(netlink_find_in(dump, len, (uint8_t[6]){ 0 }) == -ENODEV);
	cr_expect(netlink_find_in(dump, len - sizeof(struct nlmsghdr), (uint8_t[6]){ 0 }) == 0);
}

/* What is said when the kernel cannot be asked, or what it would be asked was too much. */
Test(agent_netlink, questions_that_are_not_asked)
{
	struct netlink closed = { .fd = -1 };
	struct netlink_request request;
	struct ifinfomsg link = { .ifi_index = 3 };
	struct error err = { 0 };

	netlink_begin(&request, RTM_NEWLINK, 0, &link, sizeof(link));
	cr_expect(netlink_ask(&closed, &request, &err) == -EBADF);
	cr_expect_str_eq(err.text, "send to the kernel: Bad file descriptor");
	cr_expect(netlink_find(&closed, mac, &err) == -EBADF);
	request.failed = true;
	cr_expect(netlink_ask(&closed, &request, &err) == -EMSGSIZE);
	cr_expect_str_eq(err.text, "the request is too long");
}

/* A dump that the kernel gives up. */
Test(agent_netlink, an_error_for_a_dump)
{
	struct ack ack = { .header = { .nlmsg_len = sizeof(ack), .nlmsg_type = NLMSG_ERROR },
			   .error = -EPERM };

	cr_expect(netlink_find_in(&ack, sizeof(ack), mac) == -EIO);
}

Test(agent_netlink, broken_dumps)
{
	uint8_t good[256];
	size_t len = make_dump(good);

	for (size_t cut = 0; cut < len; cut++) {
		CLEANUP(freep) uint8_t *copy = malloc(cut + 1);

		memcpy(copy, good, cut);
		netlink_find_in(copy, cut, mac); /* the sanitizer looks */
	}
	for (size_t at = 0; at < len; at++)
		for (int value = 0; value < 256; value += 5) {
			CLEANUP(freep) uint8_t *copy = malloc(len);
			int r;

			memcpy(copy, good, len);
			copy[at] = (uint8_t)value;
			r = netlink_find_in(copy, len, mac);
			cr_expect(r >= 0 || r == -EBADMSG || r == -ENODEV || r == -EIO, "%d", r);
		}
}
