/*
 * rtnetlink(7) as the agent needs it: requests that the kernel acknowledges, and the way from a MAC
 * address to a device. By hand, since the agent is static and libmnl has no static library.
 */
#ifndef KATA_AGENT_NETLINK_H
#define KATA_AGENT_NETLINK_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum { NETLINK_SIZE = 1024 };

/* A request under construction; failed once something did not fit. */
struct netlink_request {
	union {
		struct nlmsghdr header;
		uint8_t bytes[NETLINK_SIZE];
	};
	bool failed;
};

struct netlink {
	int fd;
	uint32_t sequence;
};

int netlink_open(struct netlink *netlink, struct error *err);
void netlink_close(struct netlink *netlink);

/* Begins a request with its family's header, which is copied. */
void netlink_begin(struct netlink_request *request, uint16_t type, uint16_t flags,
		   const void *header, size_t size);
void netlink_add(struct netlink_request *request, uint16_t type, const void *data, size_t len);
void netlink_add_u32(struct netlink_request *request, uint16_t type, uint32_t value);

/* Begins an attribute that holds others; netlink_nest_end() gets what this returned. */
size_t netlink_nest(struct netlink_request *request, uint16_t type);
void netlink_nest_end(struct netlink_request *request, size_t nest);

/* Sends it and waits for the kernel's word: 0 or its errno, the text of which says only why. */
int netlink_ask(struct netlink *netlink, struct netlink_request *request, struct error *err);

/* The index of the device with that MAC address: -ENODEV when there is none. */
int netlink_find(struct netlink *netlink, const uint8_t mac[6], struct error *err);

/*
 * Looks for the device in a datagram of the kernel's answer: its index, 0 when it is not in there,
 * -ENODEV at the end of the answer, -EBADMSG.
 */
int netlink_find_in(const void *data, size_t len, const uint8_t mac[6]);

/* The acknowledgement in a datagram: 1 with *ret_errnum (0: done), 0: something else, -EBADMSG. */
int netlink_take_ack(const void *data, size_t len, uint32_t sequence, int *ret_errnum);

#endif
