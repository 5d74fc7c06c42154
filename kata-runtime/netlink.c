/* rtnetlink over libmnl: see netlink.h. Used by the network's child process of kata-runtime. */
#include "kata-runtime/netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <poll.h>
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
	struct nlmsghdr *header = mnl_nlmsg_put_header(request->bytes);

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

static int exchange(struct netlink *netlink, struct nlmsghdr *request, struct dump *dump,
		    struct error *err)
{
	int64_t deadline = deadline_in_ms(NETLINK_MS);
	_Alignas(struct nlmsghdr) char buffer[32768];

	request->nlmsg_seq = ++netlink->sequence;
	if (mnl_socket_sendto(netlink->socket, request, request->nlmsg_len) < 0)
		return error_set(err, errno, "send to the kernel");
	for (;;) {
		ssize_t n = receive(netlink, buffer, sizeof(buffer), deadline, err);
		int r;

		if (n < 0)
			return (int)n;
		errno = 0;
		r = mnl_cb_run(buffer, (size_t)n, netlink->sequence,
			       mnl_socket_get_portid(netlink->socket), on_message, dump);
		if (dump->result < 0)
			return dump->result;
		if (r == MNL_CB_STOP)
			return 0;
		if (r < 0 && errno == EINTR)
			return error_set(err, EAGAIN, "the network changed meanwhile");
		/* A late answer to an earlier request, which had run into its deadline. */
		if (r < 0 && (errno == EPROTO || errno == ESRCH) && n >= (ssize_t)NLMSG_HDRLEN &&
		    ((const struct nlmsghdr *)buffer)->nlmsg_seq != netlink->sequence)
			continue;
		if (r < 0)
			return error_set(err, errno != 0 ? errno : EBADMSG, "the kernel refused");
	}
}

int netlink_ask(struct netlink *netlink, struct nlmsghdr *request, struct error *err)
{
	struct dump dump = { .err = err };

	request->nlmsg_flags |= NLM_F_ACK;
	return exchange(netlink, request, &dump, err);
}

int netlink_dump(struct netlink *netlink, uint16_t type, uint8_t family, netlink_each_fn *each,
		 void *userdata, struct error *err)
{
	struct dump dump = { .each = each, .userdata = userdata, .err = err };
	struct netlink_request request;
	struct nlmsghdr *header = netlink_begin(&request, type, NLM_F_DUMP);
	/* Every kind of object begins its header with the family; the longest is the link's. */
	struct ifinfomsg *body = mnl_nlmsg_put_extra_header(header, sizeof(*body));

	body->ifi_family = family;
	return exchange(netlink, header, &dump, err);
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
