/* rtnetlink over libmnl: see netlink.h. Used by the network's child process of kata-runtime. */
#include "kata-runtime/netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/deadline.h"

int netlink_open(struct netlink *netlink, struct error *err)
{
	*netlink = (struct netlink)NETLINK_NONE;
	netlink->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (netlink->socket == NULL)
		return error_set(err, errno, "open a netlink socket");
	if (mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		error_set(err, errno, "bind a netlink socket");
		netlink_close(netlink);
		return -err->num;
	}
	return 0;
}

void netlink_close(struct netlink *netlink)
{
	if (netlink->socket != NULL)
		mnl_socket_close(netlink->socket);
	netlink->socket = NULL;
}

struct nlmsghdr *netlink_begin(struct netlink_request *request, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *header;

	/* libmnl leaves what pads an attribute as it was, and the kernel gets it too. */
	memset(request, 0, sizeof(*request));
	header = mnl_nlmsg_put_header(request->bytes);
	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | flags;
	return header;
}

/* One datagram of the kernel's: its length. */
static ssize_t receive(struct netlink *netlink, void *buffer, size_t size, int64_t deadline,
		       struct error *err)
{
	struct pollfd p = { .fd = mnl_socket_get_fd(netlink->socket), .events = POLLIN };
	ssize_t n;
	int ready;

	do
		ready = poll(&p, 1, deadline_left_ms(deadline));
	while (ready < 0 && errno == EINTR);
	if (ready == 0)
		return error_set(err, ETIMEDOUT, "wait for the kernel's answer");
	n = mnl_socket_recvfrom(netlink->socket, buffer, size);
	return n < 0 ? error_set(err, errno, "receive the kernel's answer") : n;
}

struct dump {
	netlink_each_fn *each;
	void *userdata;
	int result;
	struct error *err;
};

static int on_message(const struct nlmsghdr *message, void *data)
{
	struct dump *dump = data;

	if (dump->each != NULL && dump->result == 0)
		dump->result = dump->each(message, dump->userdata, dump->err);
	return dump->result < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

/* Whether the answer to the request ends in this datagram. */
static bool is_last(const void *buffer, ssize_t n)
{
	const struct nlmsghdr *message = buffer;
	int left = (int)n;

	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
		if ((message->nlmsg_flags & NLM_F_MULTI) == 0 || message->nlmsg_type == NLMSG_DONE)
			return true;
	return false;
}

/* Before the end of a list the kernel takes no other request: one given up is read nevertheless. */
static int read_rest(struct netlink *netlink, int64_t deadline, int result, struct error *err)
{
	_Alignas(struct nlmsghdr) char buffer[32768];
	ssize_t n;

	do {
		n = receive(netlink, buffer, sizeof(buffer), deadline, err);
		if (n < 0)
			return (int)n;
	} while (!is_last(buffer, n));
	return result;
}

/* Waits for all of the answer to the request of that number. */
static int await(struct netlink *netlink, uint32_t sequence, struct dump *dump, struct error *err)
{
	int64_t deadline = deadline_in_ms(NETLINK_MS);
	_Alignas(struct nlmsghdr) char buffer[32768];

	for (;;) {
		ssize_t n = receive(netlink, buffer, sizeof(buffer), deadline, err);
		int r;

		if (n < 0)
			return (int)n;
		errno = 0;
		r = mnl_cb_run(buffer, (size_t)n, sequence, mnl_socket_get_portid(netlink->socket),
			       on_message, dump);
		if (r == MNL_CB_STOP)
			return 0;
		if (dump->result == 0 && r < 0 && errno == EINTR)
			dump->result = error_set(err, EAGAIN, "the network changed meanwhile");
		if (dump->result < 0)
			return is_last(buffer, n) ? dump->result
						  : read_rest(netlink, deadline, dump->result, err);
		/* A late answer to an earlier request, which had run into its deadline. */
		if (r < 0 && (errno == EPROTO || errno == ESRCH) && n >= (ssize_t)NLMSG_HDRLEN &&
		    ((const struct nlmsghdr *)buffer)->nlmsg_seq != sequence)
			continue;
		if (r < 0)
			return error_set(err, errno != 0 ? errno : EBADMSG, "the kernel refused");
	}
}

static int exchange(struct netlink *netlink, struct nlmsghdr *request, struct dump *dump,
		    struct error *err)
{
	request->nlmsg_seq = ++netlink->sequence;
	if (mnl_socket_sendto(netlink->socket, request, request->nlmsg_len) < 0)
		return error_set(err, errno, "send to the kernel");
	return await(netlink, request->nlmsg_seq, dump, err);
}

int netlink_ask(struct netlink *netlink, struct nlmsghdr *request, struct error *err)
{
	struct dump dump = { .err = err };

	request->nlmsg_flags |= NLM_F_ACK;
	return exchange(netlink, request, &dump, err);
}

int netlink_ask_two(struct netlink *netlink, struct nlmsghdr *first, struct nlmsghdr *second,
		    struct error *err)
{
	struct dump dumps[2] = { { .err = err }, { .err = err } };
	_Alignas(struct nlmsghdr) char both[2 * NETLINK_REQUEST_MAX];
	size_t at = NLMSG_ALIGN(first->nlmsg_len);
	struct error later;
	int r, s;

	first->nlmsg_flags |= NLM_F_ACK;
	second->nlmsg_flags |= NLM_F_ACK;
	first->nlmsg_seq = ++netlink->sequence;
	second->nlmsg_seq = ++netlink->sequence;
	memset(both, 0, sizeof(both));
	memcpy(both, first, first->nlmsg_len);
	memcpy(both + at, second, second->nlmsg_len);
	if (mnl_socket_sendto(netlink->socket, both, at + second->nlmsg_len) < 0)
		return error_set(err, errno, "send to the kernel");
	r = await(netlink, first->nlmsg_seq, &dumps[0], err);
	s = await(netlink, second->nlmsg_seq, &dumps[1], &later);
	if (r == 0 && s < 0)
		*err = later;
	return r < 0 ? r : s;
}

int netlink_dump_request(struct netlink *netlink, struct nlmsghdr *request, netlink_each_fn *each,
			 void *userdata, struct error *err)
{
	struct dump dump = { .each = each, .userdata = userdata, .err = err };

	return exchange(netlink, request, &dump, err);
}

int netlink_dump(struct netlink *netlink, uint16_t type, uint8_t family, netlink_each_fn *each,
		 void *userdata, struct error *err)
{
	struct netlink_request request;
	struct nlmsghdr *header = netlink_begin(&request, type, NLM_F_DUMP);
	/* These kinds begin their header with the family; the longest is the link's. */
	struct ifinfomsg *body = mnl_nlmsg_put_extra_header(header, sizeof(*body));

	body->ifi_family = family;
	return netlink_dump_request(netlink, header, each, userdata, err);
}

const void *netlink_value(const struct nlattr *attribute, size_t size)
{
	if (attribute == NULL || mnl_attr_get_payload_len(attribute) != size)
		return NULL;
	return mnl_attr_get_payload(attribute);
}

int netlink_sort(const struct nlattr *attribute, void *table)
{
	struct netlink_table *t = table;
	uint16_t type = mnl_attr_get_type(attribute);

	if (type <= t->max)
		t->places[type] = attribute;
	return MNL_CB_OK;
}

/*
 * The kernel pads the last attribute, and libmnl, which rounds up, would read beyond a length that
 * is not.
 */
int netlink_sort_message(const struct nlmsghdr *message, size_t header,
			 const struct nlattr **places, uint16_t max)
{
	struct netlink_table table = { places, max };

	if (message->nlmsg_len < NLMSG_HDRLEN + header || message->nlmsg_len % NLMSG_ALIGNTO != 0)
		return -EBADMSG;
	return mnl_attr_parse(message, (unsigned)header, netlink_sort, &table) < 0 ? -EBADMSG : 0;
}

void netlink_text(const struct nlattr *attribute, char *ret, size_t size)
{
	int len = attribute == NULL ? 0 : (int)mnl_attr_get_payload_len(attribute);

	snprintf(ret, size, "%.*s", len,
		 attribute == NULL ? "" : (const char *)mnl_attr_get_payload(attribute));
}
