/*
 * Where the link to the host comes from: the virtio-serial port named agent.0, or, without a VM, a
 * socket the agent was started with.
 */
#ifndef KATA_AGENT_LINK_H
#define KATA_AGENT_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define LINK_PORT "agent.0"

enum link_kind { LINK_PORT_DEVICE, LINK_CONNECTED, LINK_LISTENING };

struct link_source {
	enum link_kind kind;
	char device[64]; /* LINK_PORT_DEVICE */
	int socket;      /* a port's, or what listens; LINK_CONNECTED gives it away once */
};

/* Finds the port by its name; waits for the driver until the deadline. -ETIMEDOUT. */
int link_find_port(struct link_source *ret_source, int64_t deadline, struct error *err);

/* Takes over a socket that is connected, or listens. */
int link_from_socket(struct link_source *ret_source, int socket, struct error *err);

/*
 * Opens the link when the host is there: its descriptor; -EAGAIN when it is not yet; -ENOTCONN
 * when none will ever come.
 */
int link_open(struct link_source *source, struct error *err);

void link_close(struct link_source *source);

#endif
