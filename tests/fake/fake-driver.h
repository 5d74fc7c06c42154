/*
 * The guest and QEMU before a vhost-user back-end: a megabyte of guest memory in a sealed memfd,
 * with two virtqueues in it whose rings a test fills as it likes, and the messages that hand them
 * over.
 */
#ifndef KATA_FAKE_DRIVER_H
#define KATA_FAKE_DRIVER_H

#include <linux/virtio_ring.h>
#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kata-proxy/guest-memory.h"
#include "kata-proxy/virtqueue.h"

#define DRIVER_GUEST UINT64_C(0x100000)      /* where the guest sees its memory */
#define DRIVER_USER UINT64_C(0x7f0000000000) /* where QEMU does */

enum {
	DRIVER_QUEUES = 2,
	DRIVER_SIZE = 16, /* descriptors of a queue */
	DRIVER_BYTES = 1 << 20,
	DRIVER_BUFFERS = 0x20000, /* offset of memory that is free for buffers */
	DRIVER_FEATURES_BITS = 1 << VIRTIO_RING_F_EVENT_IDX | 1 << VIRTIO_RING_F_INDIRECT_DESC,
};

struct fake_queue {
	struct vring_desc *descriptors;
	struct vring_avail *available;
	struct vring_used *used;
	uint16_t offered, seen; /* how far the driver is in each ring */
	int kick, call;         /* eventfds, once driver_hand_over() made them */
};

struct fake_driver {
	int fd;
	uint8_t *bytes; /* the guest's memory */
	struct fake_queue queues[DRIVER_QUEUES];
};

void driver_init(struct fake_driver *driver);
void driver_fini(struct fake_driver *driver);

/* The one region, and the rings of a queue, as the front-end names them. */
struct guest_region driver_region(void);
struct virtqueue_rings driver_rings(int queue);

/* Fills a descriptor: offset is into the memory, and may lead out of it. */
void driver_describe(struct fake_driver *driver, int queue, unsigned i, uint64_t offset,
		     uint32_t len, uint16_t flags, uint16_t next);

/* Puts the chain that begins at head into the ring of available ones. */
void driver_offer(struct fake_driver *driver, int queue, uint16_t head);

/* Takes the next used element: false when there is none. */
bool driver_take(struct fake_driver *driver, int queue, struct vring_used_elem *ret);

/* A packet from the guest's port to the host's, as the driver sends it: CIDs 3 and 2, a stream. */
struct virtio_vsock_hdr driver_packet(uint16_t op, uint32_t guest_port, uint32_t host_port,
				      uint32_t len);

/* Offers a packet with len bytes of data, in descriptor i alone, whose buffer is its own. */
void driver_send(struct fake_driver *driver, unsigned i, const struct virtio_vsock_hdr *header,
		 const void *data, size_t len);

/* Offers descriptor i of the receive queue with a buffer of len bytes. */
void driver_make_room(struct fake_driver *driver, unsigned i, uint32_t len);

/* The next packet that was received: its header and where its data lies, or false. */
bool driver_receive(struct fake_driver *driver, struct virtio_vsock_hdr *ret, uint8_t **ret_data,
		    unsigned *ret_i);

/* --- the front-end --- */

/* Sends one vhost-user message with count descriptors. */
void front_send(int socket, uint32_t request, bool need_reply, const void *payload, uint32_t size,
		const int *fds, size_t count);

/* Receives the reply to a message: its payload's size, or -1 when the back-end has gone. */
int front_receive(int socket, uint32_t request, void *payload, size_t size);

/* The whole handshake as QEMU 7.2 does it, up to both queues running. */
void front_hand_over(struct fake_driver *driver, int socket);

/* Tells the back-end that a queue has something new. */
void front_kick(struct fake_driver *driver, int queue);

/* Waits for the back-end's word about a queue, as a guest for its interrupt: false after 5 s. */
bool front_await_call(struct fake_driver *driver, int queue);

#endif
