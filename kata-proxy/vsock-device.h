/*
 * A virtio socket device (VIRTIO 1.2, section 5.10) with one port, the agent's, and room for one
 * connection in its life: the guest connects from where it likes to CID 2, port 1025, and what
 * comes and goes there is the agent's link. Anything else the guest sends is answered with RST or
 * dropped. Pure: two virtqueues in memory that the caller names, no I/O.
 *
 * Each run does a bounded number of packets, so that a guest that floods its queues has its share
 * of the loop and no more.
 */
#ifndef KATA_PROXY_VSOCK_DEVICE_H
#define KATA_PROXY_VSOCK_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/launch.h"
#include "kata-proxy/virtqueue.h"

enum {
	VSOCK_HOST_CID = 2,
	VSOCK_GUEST_CID = 3, /* nobody else hears of it: each VM has a device of its own */
	VSOCK_AGENT_PORT = LAUNCH_VSOCK_PORT,
	VSOCK_BUFFER = 256 * 1024, /* what the guest may send and we have not consumed */
	VSOCK_PACKET_MAX = 64 * 1024,
	VSOCK_BUDGET = 128, /* packets a run takes from the guest */
	VSOCK_RESETS_MAX = 16,
};

/* The device's queues by the numbers of VIRTIO; the third, of events, is QEMU's. */
enum { VSOCK_RX, VSOCK_TX, VSOCK_QUEUES };

enum vsock_state {
	VSOCK_LISTENING,
	VSOCK_OPEN,
	VSOCK_CLOSED, /* by the guest or for its fault; input may still hold its last bytes */
};

struct vsock_reset {
	uint32_t host_port, guest_port;
};

struct vsock_device {
	struct virtqueue queues[VSOCK_QUEUES];
	enum vsock_state state;
	uint32_t guest_port;
	struct buf input; /* from the guest, for the owner: see vsock_device_consumed() */
	/* Flow control: totals modulo 2^32, as they stand in packets. */
	uint32_t consumed, told; /* told: the guest knows that so much was consumed */
	uint32_t sent, peer_consumed, peer_buffer;
	bool owes_response, owes_credit;
	uint32_t *port_note; /* when set: gets guest_port before the guest knows that it connects */
	struct vsock_reset resets[VSOCK_RESETS_MAX];
	unsigned n_resets;
	uint64_t faults; /* packets that no driver would send */
};

void vsock_device_init(struct vsock_device *device);
void vsock_device_fini(struct vsock_device *device);

/*
 * Takes packets from the guest and sends what is owed to it. True when the budget ended it: call
 * again. Without that the guest tells when there is more.
 */
bool vsock_device_run(struct vsock_device *device);

/*
 * Sends at most len bytes: how many were taken, fewer when the guest has no room; a later run
 * makes some. 0 when the connection is not open.
 */
size_t vsock_device_send(struct vsock_device *device, const void *data, size_t len);

/* The owner has used the first n bytes of input: the guest may send as many more. */
void vsock_device_consumed(struct vsock_device *device, size_t n);

/* Tells the guest that its connection from this port is over: one of an earlier back-end. */
void vsock_device_reset_port(struct vsock_device *device, uint32_t guest_port);

#endif
