/*
 * The agent's link as vhost-user-vsock: the worker itself is the guest's vsock device. Here are the
 * device's events in the loop: QEMU's messages, the queues' kicks, and a stream socket whose other
 * end agent-link.c has, so that the link is a descriptor like any other.
 *
 * The guest connects once; before, what is written to the stream waits. When the guest closes its
 * connection, or QEMU ends or breaks the protocol, the stream ends.
 */
#ifndef KATA_PROXY_VSOCK_LINK_H
#define KATA_PROXY_VSOCK_LINK_H

#include <stdbool.h>
#include <uv.h>

#include "common/fdpass.h"
#include "kata-proxy/vhost-user.h"
#include "kata-proxy/vsock-device.h"

struct vsock_kick;

struct vsock_link {
	uv_loop_t *loop;
	struct vhost_user user;
	struct vsock_device device;
	int front;  /* the socket to QEMU */
	int stream; /* our end of the link */
	uv_poll_t front_poll, stream_poll;
	uv_idle_t more; /* runs while a budget was not enough */
	struct vsock_kick *kicks[VHOST_USER_QUEUES];
	/* QEMU's message as far as it has come. */
	uint8_t header[VHOST_USER_HEADER];
	struct vhost_user_message message;
	size_t have;
	int fds[FDPASS_MAX];
	size_t n_fds;
	/* From the stream for the guest. */
	uint8_t output[VSOCK_PACKET_MAX];
	size_t output_start, output_end;
	bool told_broken[VSOCK_QUEUES];
	bool closing;
};

/*
 * Takes the socket to QEMU and serves it until vsock_link_close(): the descriptor of the link's
 * other end, or an error, after which the process cannot go on.
 */
int vsock_link_open(struct vsock_link *link, uv_loop_t *loop, int front, struct error *err);

/* Any number of times; its memory is the loop's until that has ended. */
void vsock_link_close(struct vsock_link *link);

#endif
