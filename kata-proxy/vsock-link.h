/*
 * The agent's link as vhost-user-vsock: the worker itself is the guest's vsock device. Here are the
 * device's events in the loop: QEMU's messages, the queues' kicks, and a stream socket whose other
 * end agent-link.c has, so that the link is a descriptor like any other.
 *
 * The guest connects once; before, what is written to the stream waits. When the guest closes its
 * connection, or QEMU ends or breaks the protocol, the stream ends.
 *
 * When a worker dies neither QEMU nor the guest notices. What the next one needs is kept by the
 * monitor: QEMU's socket, a small shared memory, and every descriptor QEMU sent, each in its slot.
 * The next one takes the rings on where the guest's memory says they are, and resets the guest's
 * connection; the agent dials again, and the sessions know what was lost on the way.
 */
#ifndef KATA_PROXY_VSOCK_LINK_H
#define KATA_PROXY_VSOCK_LINK_H

#include <stdbool.h>
#include <uv.h>

#include "kata-proxy/vhost-user.h"
#include "kata-proxy/vsock-device.h"

/* Slots of park.h. */
enum {
	VSOCK_SLOT_STATE, /* the shared memory */
	VSOCK_SLOT_MEMORY,
	VSOCK_SLOT_KICK = VSOCK_SLOT_MEMORY + GUEST_REGIONS_MAX,
	VSOCK_SLOT_CALL = VSOCK_SLOT_KICK + VHOST_USER_QUEUES,
	VSOCK_SLOTS = VSOCK_SLOT_CALL + VHOST_USER_QUEUES
};

struct vsock_kick;
struct vsock_kept;

struct vsock_link {
	uv_loop_t *loop;
	struct vhost_user user;
	struct vsock_device device;
	struct vsock_kept *state; /* shared with the next worker */
	int park;                 /* to the monitor */
	int front;                /* the socket to QEMU */
	int stream;               /* our end of the link */
	uv_poll_t front_poll, stream_poll;
	uv_idle_t more;  /* runs while a budget was not enough */
	uv_timer_t tell; /* runs while the guest does not know what was taken of it */
	struct vsock_kick *kicks[VHOST_USER_QUEUES];
	/* QEMU's message as far as it has come. */
	uint8_t header[VHOST_USER_HEADER];
	struct vhost_user_message message;
	size_t have;
	int fds[VHOST_USER_FDS_MAX];
	size_t n_fds;
	/* From the stream for the guest. */
	uint8_t output[VSOCK_PACKET_MAX];
	size_t output_start, output_end;
	bool told_broken[VSOCK_QUEUES];
	bool closing;
};

/* Makes the shared memory, empty, for the monitor to keep: a descriptor. */
int vsock_link_make_state(struct error *err);

/*
 * Takes the socket to QEMU and the VSOCK_SLOTS descriptors of parked, -1 where there is none, and
 * serves until vsock_link_close(): the descriptor of the link's other end, or an error, after which
 * the process cannot go on. park is the worker's end of park.h, borrowed.
 */
int vsock_link_open(struct vsock_link *link, uv_loop_t *loop, int front, int park, int *parked,
		    struct error *err);

/* Any number of times; its memory is the loop's until that has ended. */
void vsock_link_close(struct vsock_link *link);

#endif
