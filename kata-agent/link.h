/*
 * Where the link to the host comes from: a vsock port of the host that the kernel's command line
 * names, else the virtio-serial port named agent.0; or, without a VM, a socket the agent was
 * started with.
 */
#ifndef KATA_AGENT_LINK_H
#define KATA_AGENT_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define LINK_PORT "agent.0"

enum link_kind { LINK_VSOCK, LINK_PORT_DEVICE, LINK_CONNECTED, LINK_LISTENING };

struct link_source {
	enum link_kind kind;
	uint32_t port;   /* LINK_VSOCK */
	char device[64]; /* LINK_PORT_DEVICE */
	int socket;      /* a port's, or what listens; until the host is there when it was dialled;
			    LINK_CONNECTED gives it away once */
};

/* Whether the kernel's command line, cmdline, names a vsock port to dial, and which. */
bool link_parse_vsock(const char *cmdline, uint32_t *ret_port);

/* The same for the command line of this kernel. */
bool link_wants_vsock(uint32_t *ret_port);

/* Will dial the host at that port. -EAFNOSUPPORT: this kernel has no vsock. */
int link_find_vsock(struct link_source *ret_source, uint32_t port, struct error *err);

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
