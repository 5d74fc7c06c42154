/*
 * The agent's link as vhost-vsock: the host's kernel is the guest's vsock device, and the worker
 * listens at a port of the host that was made for this guest. Any guest of the host may connect
 * there, so who it is is asked of the kernel, by CID.
 */
#ifndef KATA_PROXY_VSOCK_PORT_H
#define KATA_PROXY_VSOCK_PORT_H

#include <stdbool.h>
#include <sys/socket.h>
#include <uv.h>

#include "common/error.h"

struct vsock_port {
	uv_poll_t poll;
	int fd; /* listening; borrowed */
	uint32_t cid;
	/* The guest has connected: fd is the callee's. Called once. */
	void (*connected)(struct vsock_port *port, int fd);
	void *owner;
	bool closing;
};

int vsock_port_open(struct vsock_port *port, uv_loop_t *loop, int fd, uint32_t cid,
		    void (*connected)(struct vsock_port *port, int fd), void *owner,
		    struct error *err);
void vsock_port_close(struct vsock_port *port);

/* Whether the address of a peer, len bytes, is of the guest with that CID. */
bool vsock_port_is_guest(const struct sockaddr_storage *address, socklen_t len, uint32_t cid);

#endif
