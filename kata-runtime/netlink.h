/* Requests to the kernel's network configuration over rtnetlink(7), each with a deadline. */
#ifndef KATA_RUNTIME_NETLINK_H
#define KATA_RUNTIME_NETLINK_H

#include <libmnl/libmnl.h>
#include <stdint.h>

#include "common/error.h"

enum { NETLINK_MS = 5000, NETLINK_REQUEST_MAX = 4096 };

struct netlink {
	struct mnl_socket *socket;
	uint32_t sequence;
};
#define NETLINK_NONE \
	{ \
		0 \
	}

/* A message that is being built; nested attributes are libmnl's business. */
struct netlink_request {
	union {
		char bytes[NETLINK_REQUEST_MAX];
		struct nlmsghdr header;
	};
};

/* A socket in the network namespace of the caller. */
int netlink_open(struct netlink *netlink, struct error *err);
void netlink_close(struct netlink *netlink);

/* Begins a message; flags beyond NLM_F_REQUEST. Returns it; its body follows with libmnl. */
struct nlmsghdr *netlink_begin(struct netlink_request *request, uint16_t type, uint16_t flags);

/* Sends it and waits for the kernel's word: 0, or its errno. The text says only why. */
int netlink_ask(struct netlink *netlink, struct nlmsghdr *request, struct error *err);

/*
 * Two at once: the kernel takes both in one system call, so who is killed has done both or none.
 * Each is tried, whatever becomes of the other one; the result is that of the first that failed.
 */
int netlink_ask_two(struct netlink *netlink, struct nlmsghdr *first, struct nlmsghdr *second,
		    struct error *err);

/*
 * Asks for all objects of a kind: type is RTM_GET*, family AF_*. Calls each for every message; a
 * negative return ends it and is passed on. -EAGAIN: the list changed meanwhile, ask again.
 */
typedef int netlink_each_fn(const struct nlmsghdr *message, void *userdata, struct error *err);
int netlink_dump(struct netlink *netlink, uint16_t type, uint8_t family, netlink_each_fn *each,
		 void *userdata, struct error *err);

/* The same with a request of netlink_begin() with NLM_F_DUMP and a body. */
int netlink_dump_request(struct netlink *netlink, struct nlmsghdr *request, netlink_each_fn *each,
			 void *userdata, struct error *err);

/* An attribute's value when it has exactly size bytes, else NULL; attribute may be NULL. */
const void *netlink_value(const struct nlattr *attribute, size_t size);

/* Sorts attributes by type into a table of max + 1 places: for mnl_attr_parse() and _nested(). */
struct netlink_table {
	const struct nlattr **places;
	uint16_t max;
};
int netlink_sort(const struct nlattr *attribute, void *table);

/* The same with all of a message behind a header of that size: 0, or -EBADMSG. */
int netlink_sort_message(const struct nlmsghdr *message, size_t header,
			 const struct nlattr **places, uint16_t max);

/* An attribute's text, cut to size; "" when it is NULL or empty. */
void netlink_text(const struct nlattr *attribute, char *ret, size_t size);

#endif
