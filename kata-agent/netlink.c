/* rtnetlink(7) by hand: see netlink.h. Used by network.c in the agent's process. */
#include "kata-agent/netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "common/cleanup.h"

enum { ANSWER_S = 5, ANSWER_SIZE = 32768 };

int netlink_open(struct netlink *netlink, struct error *err)
{
	struct timeval patience = { .tv_sec = ANSWER_S };

	netlink->sequence = 0;
	netlink->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (netlink->fd < 0)
		return error_set(err, errno, "open a netlink socket");
	if (setsockopt(netlink->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return error_set(err, errno, "set up a netlink socket");
	return 0;
}

void netlink_close(struct netlink *netlink)
{
	fd_close(&netlink->fd);
}

void netlink_begin(struct netlink_request *request, uint16_t type, uint16_t flags,
		   const void *header, size_t size)
{
	memset(request, 0, sizeof(*request));
	request->header.nlmsg_type = type;
	request->header.nlmsg_flags = NLM_F_REQUEST | flags;
	request->header.nlmsg_len = (uint32_t)NLMSG_SPACE(size);
	memcpy(request->bytes + NLMSG_HDRLEN, header, size);
}

void netlink_add(struct netlink_request *request, uint16_t type, const void *data, size_t len)
{
	size_t at = request->header.nlmsg_len;
	struct rtattr attribute = { .rta_len = (uint16_t)RTA_LENGTH(len), .rta_type = type };

	if (len > NETLINK_SIZE || at + RTA_SPACE(len) > NETLINK_SIZE) {
		request->failed = true;
		return;
	}
	memcpy(request->bytes + at, &attribute, sizeof(attribute));
	if (len > 0)
		memcpy(request->bytes + at + RTA_LENGTH(0), data, len);
	request->header.nlmsg_len = (uint32_t)(at + RTA_SPACE(len));
}

void netlink_add_u32(struct netlink_request *request, uint16_t type, uint32_t value)
{
	netlink_add(request, type, &value, sizeof(value));
}

size_t netlink_nest(struct netlink_request *request, uint16_t type)
{
	size_t at = request->header.nlmsg_len;

	netlink_add(request, type | NLA_F_NESTED, NULL, 0);
	return at;
}

void netlink_nest_end(struct netlink_request *request, size_t nest)
{
	uint16_t len = (uint16_t)(request->header.nlmsg_len - nest);

	if (!request->failed) /* rta_len is its first field */
		memcpy(request->bytes + nest, &len, sizeof(len));
}

int netlink_take_ack(const void *data, size_t len, uint32_t sequence, int *ret_errnum)
{
	struct nlmsghdr header;
	int32_t error;

	if (len < sizeof(header))
		return -EBADMSG;
	memcpy(&header, data, sizeof(header));
	if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > len)
		return -EBADMSG;
	if (header.nlmsg_type != NLMSG_ERROR || header.nlmsg_seq != sequence)
		return 0;
	if (header.nlmsg_len < NLMSG_LENGTH(sizeof(error)))
		return -EBADMSG;
	memcpy(&error, (const uint8_t *)data + NLMSG_HDRLEN, sizeof(error));
	if (error > 0 || error < -4095)
		return -EBADMSG;
	*ret_errnum = -error;
	return 1;
}

/* Only the kernel's datagrams count: nobody else may send to the socket, but may be root. */
static ssize_t receive(struct netlink *netlink, void *buffer, size_t size, struct error *err)
{
	struct sockaddr_nl from = { 0 };
	socklen_t from_len = sizeof(from);
	ssize_t n;

	do {
		from_len = sizeof(from);
		n = recvfrom(netlink->fd, buffer, size, 0, (struct sockaddr *)&from, &from_len);
	} while ((n < 0 && errno == EINTR) || (n >= 0 && from.nl_pid != 0));
	return n < 0 ? error_set(err, errno == EAGAIN ? ETIMEDOUT : errno, "the kernel's answer")
		     : n;
}

static int send_request(struct netlink *netlink, struct netlink_request *request, struct error *err)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	if (request->failed)
		return error_say(err, EMSGSIZE, "the request is too long");
	request->header.nlmsg_seq = ++netlink->sequence;
	if (sendto(netlink->fd, request->bytes, request->header.nlmsg_len, 0,
		   (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return error_set(err, errno, "send to the kernel");
	return 0;
}

int netlink_ask(struct netlink *netlink, struct netlink_request *request, struct error *err)
{
	uint8_t answer[ANSWER_SIZE];
	int errnum = 0, r;

	request->header.nlmsg_flags |= NLM_F_ACK;
	r = send_request(netlink, request, err);
	while (r == 0) {
		ssize_t n = receive(netlink, answer, sizeof(answer), err);

		if (n < 0)
			return (int)n;
		r = netlink_take_ack(answer, (size_t)n, netlink->sequence, &errnum);
		if (r < 0)
			return error_set(err, -r, "the kernel's answer");
	}
	if (r < 0)
		return r;
	return errnum != 0 ? error_set(err, errnum, "the kernel refused") : 0;
}

/* Whether a message about a link is of the device with that MAC address: its index or 0. */
static int match_link(const uint8_t *message, size_t len, const uint8_t mac[6])
{
	size_t at = NLMSG_SPACE(sizeof(struct ifinfomsg));
	struct ifinfomsg info;
	struct rtattr attribute;

	if (len < at)
		return -EBADMSG;
	memcpy(&info, message + NLMSG_HDRLEN, sizeof(info));
	while (at + sizeof(attribute) <= len) {
		memcpy(&attribute, message + at, sizeof(attribute));
		if (attribute.rta_len < sizeof(attribute) || attribute.rta_len > len - at)
			return -EBADMSG;
		if (attribute.rta_type == IFLA_ADDRESS && attribute.rta_len == RTA_LENGTH(6) &&
		    memcmp(message + at + RTA_LENGTH(0), mac, 6) == 0)
			return info.ifi_index > 0 ? info.ifi_index : -EBADMSG;
		at += RTA_ALIGN(attribute.rta_len);
	}
	return 0;
}

int netlink_find_in(const void *data, size_t len, const uint8_t mac[6])
{
	const uint8_t *p = data;

	while (len >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr header;
		int r;

		memcpy(&header, p, sizeof(header));
		if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > len)
			return -EBADMSG;
		if (header.nlmsg_type == NLMSG_DONE)
			return -ENODEV;
		if (header.nlmsg_type == NLMSG_ERROR)
			return -EIO;
		r = header.nlmsg_type == RTM_NEWLINK ? match_link(p, header.nlmsg_len, mac) : 0;
		if (r != 0)
			return r;
		if (NLMSG_ALIGN(header.nlmsg_len) >= len)
			return 0;
		p += NLMSG_ALIGN(header.nlmsg_len);
		len -= NLMSG_ALIGN(header.nlmsg_len);
	}
	return 0;
}

int netlink_find(struct netlink *netlink, const uint8_t mac[6], struct error *err)
{
	struct ifinfomsg all = { .ifi_family = AF_UNSPEC };
	struct netlink_request request;
	uint8_t answer[ANSWER_SIZE];
	int r, found = 0;

	netlink_begin(&request, RTM_GETLINK, NLM_F_DUMP, &all, sizeof(all));
	r = send_request(netlink, &request, err);
	while (r == 0) {
		ssize_t n = receive(netlink, answer, sizeof(answer), err);

		if (n < 0)
			return (int)n;
		r = netlink_find_in(answer, (size_t)n, mac);
		if (r > 0) { /* the rest of the answer is to be read too */
			found = r;
			r = netlink_find_in(answer, (size_t)n, (const uint8_t[6]){ 0 });
			r = r > 0 ? 0 : r;
		}
	}
	if (r == -ENODEV && found > 0)
		return found;
	return error_set(err, -r, "find the device");
}
